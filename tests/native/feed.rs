//! The audit log, read forward: each entry is listened to once, whatever order they come in, how late, and by whose clock.

use c1_cloudflare::audit::{activity, entries, feed};
use c1_cloudflare::base::ports::{Clock as _, Sql as _};
use c1_cloudflare::model::id::{MemberId, UserId};
use serde_json::{Value, json};
use sim::cloudflare::{Fault, Permission, Route, Spec};

use crate::support::World;

fn world() -> World {
    let world = World::new(Spec { members: 3, ..Spec::default() });
    world.now();
    world
}

/// One reading, or as many turns as it takes; whether any brought something new.
async fn read(world: &World) -> bool {
    let mut is_new = false;
    for _ in 0..2_000 {
        is_new |= feed::read_on(world, &world.config.cloudflare, None).await.unwrap();
        if feed::state(world).unwrap().is_none_or(|state| state.reading.is_none()) {
            return is_new;
        }
        world.advance(2);
    }
    panic!("the reading has no end");
}

fn member() -> MemberId {
    format!("{:032x}", 77).parse().unwrap()
}

fn of_member() -> Value {
    let uri = format!("/accounts/a/members/{}", member());
    json!({ "raw": { "uri": uri }, "resource": { "id": member().to_string(), "product": "members" },
        "actor": { "email": "jane@example.com", "id": format!("{:032x}", 5) } })
}

fn heard(world: &World) -> usize {
    let (from, until) = (world.now().plus_secs(-1_000_000), world.now().plus_secs(1_000_000));
    entries::of_member(world, member(), from, until).unwrap().len()
}

#[tokio::test]
async fn an_idle_log_costs_two_requests_a_minute_and_an_entry_is_listened_to_once() {
    let world = world();
    read(&world).await;
    world.cloudflare.reset_log();
    for _ in 0..60 {
        world.advance(10);
        assert!(!feed::read_on(&world, &world.config.cloudflare, None).await.unwrap());
    }
    assert_eq!(world.cloudflare.requests(Route::ListAuditLogs), 20, "in ten minutes");
    world.cloudflare.log_entry(None, 0, of_member());
    for n in 0..40 {
        world.advance(30);
        assert_eq!(read(&world).await, n == 0, "{n}");
    }
    assert_eq!(heard(&world), 1);
}

#[tokio::test]
async fn an_entry_that_comes_ten_minutes_late_is_read_and_so_is_one_by_a_clock_that_differs() {
    let world = world();
    read(&world).await;
    let now = world.now().secs();
    // Late; by a clock that is behind; by one that is ahead.
    for (at, shown_after) in [(now, 600), (now - 240, 40), (now + 240, 0)] {
        world.cloudflare.log_entry(Some(at), shown_after, of_member());
    }
    let mut seen = Vec::new();
    for _ in 0..24 {
        world.advance(30);
        read(&world).await;
        seen.push(heard(&world));
    }
    assert_eq!((seen[0], seen[1], seen[18], seen[23]), (1, 2, 2, 3), "{seen:?}");
}

#[tokio::test]
async fn a_thousand_entries_a_minute_are_read_by_few_requests_and_nothing_is_left_out() {
    let world = world();
    read(&world).await;
    world.cloudflare.reset_log();
    let minutes = 4;
    for minute in 0..minutes {
        for n in 0..1_000 {
            let mut entry = json!({ "actor": { "id": format!("{:032x}", 9), "email": "busy@example.com" } });
            if n == 500 {
                entry = of_member();
            }
            world.cloudflare.log_entry(Some(world.now().secs() + n * 60 / 1_000), n * 60 / 1_000, entry);
        }
        for _ in 0..2 {
            world.advance(30);
            read(&world).await;
        }
        assert_eq!(heard(&world), usize::try_from(minute + 1).unwrap());
    }
    let requests = world.cloudflare.requests(Route::ListAuditLogs);
    println!("{requests} requests in {minutes} minutes of 1,000 entries each");
    assert!(requests < 4 * 20, "{requests} requests in {minutes} minutes: of a sync's 160 a minute");
}

/// A reading that goes back far is rare where that takes several pages: an entry that comes right after one waits for the next.
#[tokio::test]
async fn an_entry_that_comes_fourteen_minutes_late_right_after_a_reading_that_went_back_far_is_read_on_a_busy_log() {
    let world = world();
    read(&world).await;
    let wide_at = || feed::state(&world).unwrap().unwrap().wide_at;
    let mut rounds = 0;
    let turn = async || {
        for n in 0..60 {
            world.cloudflare.log_entry(Some(world.now().secs() + n / 2), n / 2, json!({}));
        }
        world.advance(30);
        read(&world).await;
    };
    // Until the log is busy, and one such reading was right before.
    let mut before = wide_at();
    while rounds < 50 || wide_at() == before || before.is_none() {
        before = wide_at();
        turn().await;
        rounds += 1;
        assert!(rounds < 100, "no reading goes back far: {before:?}");
    }
    world.cloudflare.log_entry(Some(world.now().secs() - 14 * 60), 0, of_member());
    let (mut wide, mut last) = (0, wide_at());
    for _ in 0..24 {
        turn().await;
        wide += usize::from(wide_at() != last);
        last = wide_at();
    }
    assert_eq!(heard(&world), 1);
    assert!((2..=3).contains(&wide), "the control: {wide} of 24 readings went back far");
}

/// What is on a page is not what is on the next one: where that begins the cursor says alone.
#[tokio::test]
async fn a_page_without_an_entry_that_can_be_read_is_not_the_end_of_the_log() {
    for is_empty in [false, true] {
        let world = world();
        read(&world).await;
        let now = world.now().secs();
        for n in 0..600 {
            world.cloudflare.log_entry(Some(now + n / 10), 0, json!({ "id": null }));
        }
        world.cloudflare.log_entry(Some(now + 61), 0, of_member());
        if is_empty {
            world.cloudflare.answer_null(Route::ListAuditLogs);
            world.cloudflare.after_next(Route::ListAuditLogs, |account, _| account.make_even());
        }
        world.advance(90);
        assert!(read(&world).await, "nothing at all on the first page: {is_empty}");
        assert_eq!(heard(&world), 1);
    }
}

#[tokio::test]
async fn pages_with_nothing_on_them_are_not_read_for_ever() {
    let world = world();
    read(&world).await;
    for _ in 0..5_000 {
        world.cloudflare.log_entry(None, 0, json!({}));
    }
    world.cloudflare.answer_null(Route::ListAuditLogs);
    world.advance(30);
    world.cloudflare.reset_log();
    read(&world).await;
    assert_eq!(world.cloudflare.requests(Route::ListAuditLogs), 3);
    assert_eq!(feed::state(&world).unwrap().unwrap().read_until, Some(world.now()));
}

#[tokio::test]
async fn a_log_that_was_not_read_for_two_days_has_a_gap_that_is_told_and_one_of_an_hour_has_none() {
    for (hours, has_gap) in [(1, false), (48, true)] {
        let world = world();
        read(&world).await;
        let since = feed::state(&world).unwrap().unwrap().since;
        world.cloudflare.log_entry(None, 0, of_member());
        world.advance(hours * 3_600);
        read(&world).await;
        assert_eq!(heard(&world), usize::from(!has_gap), "{hours}");
        let after = feed::state(&world).unwrap().unwrap().since;
        assert_eq!(after != since, has_gap, "{hours}");
        assert_eq!(world.desk.lines.borrow().iter().any(|line| line.contains("left out")), has_gap, "{hours}");
    }
}

#[tokio::test]
async fn an_entry_of_a_kind_that_is_not_known_is_passed_over_or_makes_the_whole_be_looked_at() {
    let world = world();
    read(&world).await;
    let uri = |uri: &str| json!({ "raw": { "uri": uri } });
    for (entry, concerns) in [
        (json!({ "resource": { "product": "quantum_teleport", "type": "beam", "id": 7 } }), false),
        (json!({ "action": null, "actor": null, "raw": null, "resource": null }), false),
        (uri("/zones/x/dns_records"), false),
        // What customers call their things is no part of the account's access.
        (uri("/accounts/a/workers/scripts/roles"), false),
        (uri("/accounts/a/pages/projects/members/deployments/x"), false),
        (uri("/client/v4/accounts/a/workflows/tokens"), false),
        (uri("/client/v4/accounts/a/storage/kv/namespaces/n/values/user_groups"), false),
        (uri("/accounts/a/workers"), false),
        (uri("/accounts/a/workers/scripts/sso_connectors"), false),
        (uri("/client/v4/accounts/a/pages/projects/oauth_clients"), false),
        // How the account itself is set.
        (uri("/accounts/a"), true),
        (uri("/client/v4/accounts/a?x=1"), true),
        (uri("/accounts/a/sso_connectors/x"), true),
        (uri("/client/v4/accounts/a/oauth_clients/x/rotate_secret"), true),
        (uri("/client/v4/accounts/a/roles"), true),
        (uri("/accounts/a/members"), true),
        (uri("/accounts/a/iam/user_groups/x/members"), true),
        (uri("/organizations/o/members/x"), true),
        (uri("/user/invites/x"), true),
        (uri("/memberships/x"), true),
        (uri("/accounts/a/iam/something_new/x"), true),
        (uri("/accounts/a/scim/v2/Users"), true),
        (uri("/accounts/a/tokens"), true),
        (uri("/user/tokens/0123456789abcdef0123456789abcdef"), false),
        (json!({ "resource": { "product": "members", "id": "not an id" } }), true),
    ] {
        world.cloudflare.log_entry(None, 0, entry.clone());
        world.advance(30);
        assert_eq!(read(&world).await, concerns, "{entry}");
    }
}

#[tokio::test]
async fn a_log_that_may_not_be_read_is_off_with_the_permission_named_and_tried_again_in_an_hour() {
    let world = world();
    world.cloudflare.revoke_permission(Permission::Audit);
    for _ in 0..240 {
        world.advance(30);
        read(&world).await;
    }
    let state = feed::state(&world).unwrap().unwrap();
    assert!(!state.readable && state.message.contains("Account Settings: Read"), "{state:?}");
    assert_eq!(world.cloudflare.requests(Route::ListAuditLogs), 2, "in two hours");
}

#[tokio::test]
async fn a_failure_loses_no_place_and_a_cursor_that_is_refused_begins_the_reading_again() {
    let world = world();
    read(&world).await;
    world.cloudflare.log_entry(None, 0, of_member());
    world.cloudflare.fail_next(Route::ListAuditLogs, 3, Fault::Html { status: 502 });
    for _ in 0..8 {
        world.advance(30);
        read(&world).await;
    }
    assert_eq!(heard(&world), 1);
    let state = feed::state(&world).unwrap().unwrap();
    assert!(state.readable, "{state:?}");
    // As if the cursor had expired.
    let state = serde_json::to_string(&state).unwrap().replace(
        "\"wide_at\"",
        "\"reading\":{\"since\":\"2027-01-15T00:00:00Z\",\"until\":\"2027-01-16T00:00:00Z\",\"began_at\":\"2027-01-15T08:00:00Z\",\"wide\":true,\"pages\":1,\"cursor\":\"odd\"},\"wide_at\"",
    );
    world.query("UPDATE audit_log SET state = ?", &[state.into()]).unwrap();
    world.cloudflare.log_entry(None, 0, of_member());
    for _ in 0..4 {
        world.advance(60);
        read(&world).await;
    }
    assert_eq!(heard(&world), 2);
}

/// The cursor is a place in the list: what comes in before it moves everything behind it.
#[tokio::test]
async fn a_list_that_moves_between_its_pages_loses_nothing_and_nothing_is_listened_to_twice() {
    for (late, forgotten) in [(700, 0), (0, 600)] {
        let world = world();
        read(&world).await;
        world.advance(400);
        let begin = world.now().secs();
        let write =
            |at: i64, count: usize| (0..count).for_each(|_| world.cloudflare.log_entry(Some(at), 0, of_member()));
        write(begin, 2_600);
        // Three pages of six.
        world.advance(30);
        assert!(feed::read_on(&world, &world.config.cloudflare, None).await.unwrap());
        assert!(feed::state(&world).unwrap().unwrap().reading.is_some(), "there is more");
        // Late ones come in before those that were read: the next page begins with what was read already. Where some are gone of those that
        // were read, it leaves out as many.
        write(begin - 60, late);
        world.cloudflare.forget_log_entries(forgotten);
        world.advance(2);
        read(&world).await;
        world.advance(301);
        read(&world).await;
        let kept = world.one("SELECT COUNT(*) FROM audit_entry", &[]).unwrap();
        let kept = kept.and_then(|count| count.integer()).unwrap();
        assert_eq!((heard(&world), kept), (2_600 + late, i64::try_from(2_600 + late).unwrap()), "{late} {forgotten}");
        world.advance(30);
        assert!(!read(&world).await, "all of it was heard of");
    }
}

#[tokio::test]
async fn who_changed_something_last_is_known_with_what_and_a_clock_that_is_ahead_makes_nobody_active_for_ever() {
    let world = world();
    let user: UserId = format!("{:032x}", 5).parse().unwrap();
    read(&world).await;
    let by = |product: &str| json!({ "actor": { "id": user.to_string() }, "resource": { "product": product } });
    world.cloudflare.log_entry(Some(world.now().secs() + 200), 0, by("dns"));
    world.advance(30);
    read(&world).await;
    let known = activity::of(&world, user).unwrap().unwrap();
    assert_eq!(known.last_change_at, Some(world.now()));
    assert_eq!(known.last_change_from.as_deref(), Some("the dashboard"));
    world.advance(91 * 86_400);
    world.cloudflare.log_entry(None, 0, by("workers"));
    world.advance(1);
    read(&world).await;
    let products = activity::of(&world, user).unwrap().unwrap().products;
    assert_eq!(products.keys().collect::<Vec<_>>(), ["workers"], "what lies back more than 90 days is forgotten");
}

#[tokio::test]
async fn entries_that_are_too_large_for_a_page_keep_nobody_waiting() {
    for kilobytes in [250, 13_000] {
        let world = world();
        read(&world).await;
        for _ in 0..if kilobytes > 1_000 { 1 } else { 50 } {
            world.cloudflare.log_entry(None, 0, json!({ "large": "x".repeat(kilobytes * 1_024) }));
        }
        world.advance(120);
        world.cloudflare.log_entry(None, 0, of_member());
        // One that is too large alone is left behind as soon as no reading goes back to it.
        for _ in 0..22 {
            world.advance(60);
            read(&world).await;
        }
        assert_eq!(heard(&world), 1, "{kilobytes} KiB each");
    }
}
