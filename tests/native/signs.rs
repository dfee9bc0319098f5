//! Signs of life in the snapshot: last logins by address, last changes by user, both by the day, and nothing that is not known.

use c1_cloudflare::audit::signs::Watch;
use c1_cloudflare::audit::{activity, feed, logins};
use c1_cloudflare::base::ports::{Clock as _, Sql as _};
use c1_cloudflare::base::time::Timestamp;
use c1_cloudflare::model::kind::Kind;
use c1_cloudflare::model::signs::Signs;
use c1_cloudflare::snapshot::{self, RunOutcome};
use serde_json::json;
use sim::cloudflare::{Fault, Membership, Permission, Route, Spec};

use crate::support::World;

fn world(members: usize) -> World {
    let world = World::new(Spec { members, ..Spec::default() });
    world.now();
    world
}

/// What the Coordinator does between two syncs; cut off as often as it takes.
async fn read(world: &World) {
    for _ in 0..2_000 {
        logins::read_on(world, &world.config.cloudflare, Some(true)).await.unwrap();
        if logins::state(world).unwrap().is_some_and(|state| state.reading.is_none()) {
            return;
        }
        world.advance(2);
    }
    panic!("the reading has no end: {:?}", logins::state(world).unwrap());
}

/// Reads the log of changes to its end.
async fn hear(world: &World) {
    for _ in 0..50 {
        feed::read_on(world, &world.config.cloudflare, None).await.unwrap();
        if feed::state(world).unwrap().is_some_and(|state| state.reading.is_none()) {
            return;
        }
        world.advance(2);
    }
}

async fn tomorrow(world: &World) {
    world.advance(86_400);
    hear(world).await;
    read(world).await;
}

fn people(world: &World) -> Vec<Membership> {
    let mut people = world.cloudflare.memberships();
    people.retain(|one| one.status == "accepted" && one.user_id.is_some());
    people
}

/// The signs of life that the current generation shows of an address.
async fn shown(world: &World, email: &str) -> Signs {
    let snapshot = snapshot::latest(world).await.unwrap().unwrap();
    let mut found = None;
    let see = |row: c1_cloudflare::model::resource::Row| {
        let member = row.as_member().filter(|member| member.email == email);
        found = member.map(|member| member.signs.clone()).or(found.take());
    };
    snapshot.each(world, Kind::PEOPLE, see).await.unwrap();
    found.unwrap_or_else(|| panic!("{email} is not there"))
}

async fn login(world: &World, email: &str) -> Option<String> {
    shown(world, email).await.last_login_day
}

fn day(world: &World, days_ago: i64) -> String {
    world.now().plus_secs(-days_ago * 86_400).date()
}

#[tokio::test]
async fn a_last_login_is_shown_by_the_address_in_any_case_and_nobody_gets_one_that_is_not_told() {
    let world = world(12);
    let people = people(&world);
    let [jane, never, first_year, twice, unknown] = [0, 1, 2, 3, 4].map(|n| people[n].email.clone());
    let cloudflare = &world.cloudflare;
    cloudflare.set_access_user(&jane.to_uppercase(), Some("2026-12-03T23:59:59.123456Z"));
    cloudflare.set_access_user(&never, None);
    cloudflare.set_access_user(&first_year, Some("0001-01-01T00:00:00Z"));
    cloudflare.set_access_user(&twice, Some("2026-12-01T08:00:00Z"));
    cloudflare.set_access_user(&twice.to_uppercase(), Some("2026-12-02T08:00:00Z"));
    cloudflare.set_access_user("stranger@elsewhere.example", Some("2026-12-04T08:00:00Z"));
    let invited = cloudflare.invite("invited@example.com", Vec::new());
    cloudflare.set_access_user("invited@example.com", Some("2026-12-04T08:00:00Z"));
    read(&world).await;
    world.sync().await;
    assert_eq!(login(&world, &jane).await.as_deref(), Some("2026-12-03"));
    assert_eq!(login(&world, &twice).await.as_deref(), Some("2026-12-02"), "the later of two");
    for nobody in [&never, &first_year, &unknown, "invited@example.com"] {
        assert_eq!(shown(&world, nobody).await, Signs::default(), "{nobody}");
    }
    // Who accepts is a person with a login from the next sync on.
    cloudflare.accept_invitation(&invited);
    world.sync().await;
    assert_eq!(login(&world, "invited@example.com").await.as_deref(), Some("2026-12-04"));
    // A clock that is ahead makes nobody active tomorrow.
    cloudflare.set_access_user(&never, Some("2031-01-01T00:00:00Z"));
    tomorrow(&world).await;
    world.sync().await;
    assert_eq!(login(&world, &never).await, Some(day(&world, 0)));
}

#[tokio::test]
async fn where_last_logins_are_not_wanted_nothing_is_asked_and_what_was_read_is_forgotten() {
    let world = world(12);
    let jane = people(&world)[0].email.clone();
    world.cloudflare.set_access_user(&jane, Some("2026-12-03T10:00:00Z"));
    read(&world).await;
    world.sync().await;
    assert_eq!(login(&world, &jane).await.as_deref(), Some("2026-12-03"));
    let asked = world.cloudflare.requests(Route::ListAccessUsers);
    let set = async |is_wanted: bool| {
        logins::read_on(&world, &world.config.cloudflare, Some(is_wanted)).await.unwrap();
        world.advance(40);
    };
    set(false).await;
    world.sync().await;
    assert_eq!(login(&world, &jane).await, None);
    world.advance(2 * 86_400);
    set(false).await;
    assert_eq!(world.cloudflare.requests(Route::ListAccessUsers), asked);
    let state = logins::state(&world).unwrap().unwrap();
    assert!(state.off && state.message.contains("LAST_LOGINS") && state.next_at > Some(world.now()), "{state:?}");
    // Wanted again, it is read again at once.
    set(true).await;
    world.sync().await;
    assert_eq!(login(&world, &jane).await.as_deref(), Some("2026-12-03"));
}

#[tokio::test]
async fn nothing_is_published_because_somebody_logged_in_or_changed_something_again_and_the_next_day_shows_it() {
    let world = world(12);
    let jane = people(&world)[0].clone();
    let (email, user) = (jane.email.clone(), jane.user_id.clone().unwrap());
    let at = |secs: i64| world.now().plus_secs(secs).to_string();
    world.cloudflare.set_access_user(&email, Some(&at(-3 * 86_400)));
    hear(&world).await;
    read(&world).await;
    world.sync().await;
    let first = login(&world, &email).await;
    assert_eq!(first, Some(Timestamp::parse(&at(-3 * 86_400 - 900)).unwrap().date()));
    world.sync().await;
    for n in 0..4 {
        world.cloudflare.set_access_user(&email, Some(&at(-60)));
        let product = format!("product-{n}");
        world.cloudflare.log_entry(None, 0, json!({ "actor": { "id": user }, "resource": { "product": product } }));
        world.advance(40);
        hear(&world).await;
        read(&world).await;
        let puts = world.desk.puts.borrow().len();
        assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged, "{n}");
        assert_eq!(world.desk.puts.borrow().len(), puts, "{n}");
    }
    assert_eq!(world.cloudflare.requests(Route::ListAccessUsers), 1, "one request a day");
    let changed = day(&world, 0);
    tomorrow(&world).await;
    assert_eq!(world.sync().await.outcome, RunOutcome::Published);
    let signs = shown(&world, &email).await;
    assert_eq!((signs.last_login_day, signs.last_change_day), (Some(changed.clone()), Some(changed)));
    assert_eq!(signs.last_change_from.as_deref(), Some("the dashboard"));
    assert_eq!(signs.products, ["product-0", "product-1", "product-2", "product-3"]);
    // No time of a change stands in for a login, and what was touched is forgotten after 90 days.
    let other = people(&world)[1].clone();
    let entry = json!({ "actor": { "id": other.user_id }, "resource": { "product": "dns" } });
    world.cloudflare.log_entry(None, 0, entry);
    hear(&world).await;
    tomorrow(&world).await;
    world.sync().await;
    let signs = shown(&world, &other.email).await;
    assert_eq!((signs.last_login_day, signs.last_change_day), (None, Some(day(&world, 1))));
    for _ in 0..92 {
        tomorrow(&world).await;
    }
    world.sync().await;
    let signs = shown(&world, &other.email).await;
    assert!(signs.products.is_empty() && signs.last_change_day.is_some(), "{signs:?}");
}

#[tokio::test]
async fn a_list_that_may_not_be_read_is_off_with_the_permission_named_and_what_it_told_stays_and_makes_nobody_idle() {
    let world = world(12);
    let jane = people(&world)[0].email.clone();
    world.cloudflare.set_access_user(&jane, Some("2026-12-03T08:00:00Z"));
    world.cloudflare.revoke_permission(Permission::AccessUsers);
    read(&world).await;
    let state = logins::state(&world).unwrap().unwrap();
    assert!(!state.readable && state.message.contains("Access: Audit Logs: Read"), "{state:?}");
    world.sync().await;
    assert_eq!(login(&world, &jane).await, None);
    // It is asked for again in an hour.
    world.cloudflare.set_permissions(Permission::ALL);
    world.advance(3_600);
    read(&world).await;
    world.sync().await;
    assert!(logins::state(&world).unwrap().unwrap().readable);
    assert_eq!(login(&world, &jane).await.as_deref(), Some("2026-12-03"));
    // What was read is believed for three days: then somebody may have logged in since, and nobody is idle by it. The day is shown all the same.
    world.cloudflare.revoke_permission(Permission::AccessUsers);
    for (days, is_believed) in [(1, true), (3, false), (30, false)] {
        for _ in 0..days {
            tomorrow(&world).await;
        }
        world.cloudflare.invite(&format!("{days}@example.com"), Vec::new());
        world.sync().await;
        assert_eq!(login(&world, &jane).await.as_deref(), Some("2026-12-03"), "{days}");
        assert_eq!(silence(&world, &people(&world)[0]).0.is_some(), is_believed, "{days}");
    }
}

#[tokio::test]
async fn changes_are_shown_only_while_the_log_is_read() {
    let world = world(12);
    let jane = people(&world)[0].clone();
    hear(&world).await;
    world.cloudflare.log_entry(None, 0, json!({ "actor": { "id": jane.user_id } }));
    world.advance(30);
    hear(&world).await;
    tomorrow(&world).await;
    world.sync().await;
    assert!(shown(&world, &jane.email).await.last_change_day.is_some());
    world.cloudflare.revoke_permission(Permission::Audit);
    for _ in 0..4 {
        tomorrow(&world).await;
    }
    world.sync().await;
    assert_eq!(shown(&world, &jane.email).await, Signs::default());
}

#[tokio::test]
async fn the_old_audit_log_tells_logins_beside_access_and_is_asked_once_where_it_has_none() {
    let (with, without) = (world(12), world(12));
    let [jane, joe, max] = [0, 1, 3].map(|n| people(&with)[n].clone());
    let at = |world: &World, secs: i64| world.now().plus_secs(secs).to_string();
    with.cloudflare.set_access_user(&jane.email, Some(&at(&with, -9 * 86_400)));
    with.cloudflare.set_access_user(&max.email, Some(&at(&with, -4 * 86_400)));
    for (one, days) in [(&jane, 2), (&joe, 5), (&joe, 3), (&max, 6)] {
        let user = one.user_id.clone().unwrap();
        with.cloudflare.log_login(&user, &one.email, &at(&with, -days * 86_400), "login");
    }
    let (other, when) = (people(&with)[2].clone(), at(&with, -86_400));
    with.cloudflare.log_login(&other.user_id.clone().unwrap(), &other.email, &when, "logout");
    for world in [&with, &without] {
        read(world).await;
        world.sync().await;
    }
    let ago = |days: i64| Some(day(&with, days));
    assert_eq!(login(&with, &jane.email).await, ago(2), "who does not come in through Access any more");
    assert_eq!(login(&with, &max.email).await, ago(4), "whose login by Access the log does not have");
    assert_eq!((login(&with, &joe.email).await, login(&with, &other.email).await), (ago(3), None));
    // Each day, what is new.
    with.cloudflare.log_login(&joe.user_id.clone().unwrap(), &joe.email, &at(&with, 0), "login");
    for _ in 0..3 {
        for world in [&with, &without] {
            tomorrow(world).await;
            world.sync().await;
        }
    }
    assert_eq!(login(&with, &joe.email).await, ago(3));
    assert_eq!(with.cloudflare.requests(Route::ListOldAuditLogs), 4);
    assert_eq!(without.cloudflare.requests(Route::ListOldAuditLogs), 1, "asked once");
    assert_eq!(logins::state(&without).unwrap().unwrap().in_audit_log, Some(false));
}

#[tokio::test]
async fn an_old_audit_log_that_the_token_may_not_read_is_asked_for_again_each_day() {
    let world = world(12);
    let joe = people(&world)[1].clone();
    let when = world.now().plus_secs(-2 * 86_400).to_string();
    world.cloudflare.log_login(&joe.user_id.clone().unwrap(), &joe.email, &when, "login");
    world.cloudflare.revoke_permission(Permission::Audit);
    read(&world).await;
    world.sync().await;
    assert_eq!(login(&world, &joe.email).await, None);
    world.cloudflare.allow_permission(Permission::Audit);
    tomorrow(&world).await;
    world.sync().await;
    assert_eq!(login(&world, &joe.email).await, Some(day(&world, 3)));
}

#[tokio::test]
async fn a_long_list_is_read_whole_through_kills_failures_and_moves_or_not_believed() {
    let world = world(12);
    let people = people(&world);
    let jane = people[0].email.clone();
    for n in 0..2_400 {
        world.cloudflare.set_access_user(&format!("n{n}@elsewhere.example"), Some("2026-12-01T00:00:00Z"));
    }
    world.cloudflare.set_access_user(&jane, Some("2026-12-03T08:00:00Z"));
    // Until the list is read to its end, nothing of it is shown.
    world.cloudflare.fail_next(Route::ListAccessUsers, 2, Fault::Html { status: 502 });
    for operation in 1..40 {
        world.cut_off(operation, logins::read_on(&world, &world.config.cloudflare, Some(true))).await;
        world.advance(70);
    }
    read(&world).await;
    world.sync().await;
    assert_eq!(login(&world, &jane).await.as_deref(), Some("2026-12-03"));
    // A failure in the middle of the next day's reading leaves what was.
    world.advance(86_400);
    world.cloudflare.fail_next(Route::ListAccessUsers, 200, Fault::Html { status: 502 });
    for _ in 0..20 {
        logins::read_on(&world, &world.config.cloudflare, Some(true)).await.unwrap();
        world.advance(60);
    }
    world.sync().await;
    assert_eq!(login(&world, &jane).await.as_deref(), Some("2026-12-03"));
    // A page that is refused each time leaves nothing behind.
    world.cloudflare.clear_faults();
    world.advance(86_400);
    let pages =
        || world.one("SELECT COUNT(DISTINCT began_at) FROM login_page", &[]).unwrap().unwrap().integer().unwrap();
    for _ in 0..6 {
        world.cloudflare.fail_later(Route::ListAccessUsers, 2, Fault::status(400, 1));
        for _ in 0..5 {
            logins::read_on(&world, &world.config.cloudflare, Some(true)).await.unwrap();
            world.advance(800);
        }
    }
    assert!(pages() <= 2, "{}", pages());
}

#[tokio::test]
async fn a_list_that_ends_with_nobody_takes_the_place_of_one_that_is_not_believed_and_one_with_nobody_of_none() {
    type Cut = fn(&mut serde_json::Value);
    let cuts: [(&str, &str, Cut); 3] = [
        ("the second page is empty", "page=2&", |told| told["result"] = json!([])),
        ("the second page is null, and tells nothing of the list", "page=2&", |told| {
            *told = json!({ "success": true, "errors": [], "messages": [], "result": null });
        }),
        ("there is nobody on the list", "page=1&", |told| {
            let info = json!({ "page": 1, "per_page": 1_000, "count": 0, "total_count": 0, "total_pages": 0 });
            *told = json!({ "success": true, "errors": [], "messages": [], "result": [], "result_info": info });
        }),
    ];
    for (what, page, cut) in cuts {
        let world = world(12);
        let [first, last] = [0, 1].map(|n| people(&world)[n].email.clone());
        world.cloudflare.set_access_user(&first, Some("2026-12-01T08:00:00Z"));
        for n in 0..1_100 {
            world.cloudflare.set_access_user(&format!("n{n}@elsewhere.example"), Some("2026-12-01T00:00:00Z"));
        }
        world.cloudflare.set_access_user(&last, Some("2026-12-03T08:00:00Z"));
        read(&world).await;
        let asked = format!("/access/users?{page}");
        *world.bends.borrow_mut() = Some(Box::new(move |path, told| {
            if path.contains(&asked) {
                cut(told);
            }
        }));
        let has_nobody = page == "page=1&";
        let message = || logins::state(&world).unwrap().unwrap().message;
        let mut newer = String::new();
        for days in 1..=5 {
            if days == 3 {
                newer = day(&world, 0);
                world.cloudflare.set_access_user(&first, Some(&world.now().to_string()));
            }
            tomorrow(&world).await;
            world.sync().await;
            if has_nobody || days == 1 {
                assert_eq!(login(&world, &first).await.as_deref(), Some("2026-12-01"), "{what}: {days}");
                assert_eq!(login(&world, &last).await.as_deref(), Some("2026-12-03"), "{what}: {days}");
            }
            assert!(message().contains("nobody on it, or fewer"), "{what}: {}", message());
        }
        if !has_nobody {
            assert_eq!(login(&world, &first).await, Some(newer), "{what}");
        }
        // The control: a whole one takes its place.
        *world.bends.borrow_mut() = None;
        world.cloudflare.set_access_user(&last, Some(&world.now().to_string()));
        let today = day(&world, 0);
        tomorrow(&world).await;
        world.sync().await;
        assert_eq!(login(&world, &last).await, Some(today), "{what}");
        assert!(message().contains("their last logins are in it"), "{what}: {}", message());
    }
}

/// What Cloudflare counts may be wrong for good.
#[tokio::test]
async fn a_list_that_gives_fewer_than_it_tells_each_day_is_believed_where_no_other_is() {
    let world = world(12);
    let jane = people(&world)[0].email.clone();
    world.cloudflare.set_access_user(&jane, Some("2026-12-03T08:00:00Z"));
    *world.bends.borrow_mut() = Some(Box::new(|path, told| {
        if path.contains("/access/users?") {
            told["result_info"]["total_count"] = json!(2);
        }
    }));
    // A reading waits for a sync, and the next one may not: three days on, the one before is believed for some minutes more.
    let later = 60 * 60;
    for round in 0..7 {
        world.advance(86_400 - 2_400 - later);
        hear(&world).await;
        read(&world).await;
        for _ in 0..2 {
            // Something is published.
            world.cloudflare.invite(&format!("{}@example.com", world.now().secs()), Vec::new());
            world.sync().await;
            assert_eq!(login(&world, &jane).await.as_deref(), Some("2026-12-03"), "{round}");
            world.advance(later / 2);
        }
    }
}

/// For how many days somebody is silent, by logins, by changes, and by both.
fn silence(world: &World, one: &Membership) -> (Option<i64>, Option<i64>, Option<i64>) {
    let user = one.user_id.clone().unwrap().parse().unwrap();
    let (silence, now) = (Watch::load(world, world.now()).unwrap().silence(user, &one.email), world.now());
    let days = |at: Option<Timestamp>| at.map(|at| now.since(at).div_euclid(86_400_000));
    (days(silence.since_login), days(silence.since_change), silence.days(now))
}

#[tokio::test]
async fn silence_is_what_sources_tell_that_are_read_and_of_whom_none_tells_nothing_is_known() {
    let world = world(12);
    let people = people(&world);
    let (jane, joe) = (&people[0], &people[1]);
    assert_eq!(silence(&world, jane), (None, None, None), "nothing was read yet");
    let login = world.now().plus_secs(-40 * 86_400);
    world.cloudflare.set_access_user(&jane.email, Some(&login.to_string()));
    read(&world).await;
    assert_eq!(silence(&world, joe), (None, None, None), "the log of changes was not read");
    assert_eq!(silence(&world, jane).2, Some(39));
    hear(&world).await;
    assert_eq!(silence(&world, joe), (None, Some(0), Some(0)), "before that it is not known");
    for day in 0..50 {
        if day == 10 {
            world.cloudflare.log_entry(None, 0, json!({ "actor": { "id": jane.user_id } }));
        }
        world.advance(80_000);
        hear(&world).await;
        read(&world).await;
    }
    let (by_login, by_change, both) = silence(&world, jane);
    assert_eq!((by_login, by_change, both), (Some(85), Some(37), Some(37)), "a change is a sign of life");
    assert_eq!(silence(&world, joe), (None, Some(46), Some(46)));
    // A gap: what happened in it nobody knows.
    world.advance(2 * 86_400);
    hear(&world).await;
    assert_eq!(silence(&world, joe), (None, Some(0), Some(0)));
    // Neither is read any more.
    world.cloudflare.set_permissions([]);
    for _ in 0..5 {
        tomorrow(&world).await;
    }
    assert_eq!((silence(&world, jane), silence(&world, joe)), ((None, None, None), (None, None, None)));
}

/// Who works daily by password has no login by Access, and their changes are all that tells of them.
#[tokio::test]
async fn a_change_that_is_known_was_a_sign_of_life_though_the_log_is_not_read_any_more() {
    for has_changed in [true, false] {
        let world = world(12);
        let people = people(&world);
        let (jane, joe) = (&people[0], &people[1]);
        let login = world.now().plus_secs(-40 * 86_400);
        world.cloudflare.set_access_user(&jane.email, Some(&login.to_string()));
        read(&world).await;
        hear(&world).await;
        for day in 0..50 {
            if day == 10 && has_changed {
                for one in [jane, joe] {
                    world.cloudflare.log_entry(None, 0, json!({ "actor": { "id": one.user_id } }));
                }
            }
            world.advance(80_000);
            if day < 12 {
                hear(&world).await;
            }
            read(&world).await;
        }
        let last = if has_changed { 37 } else { 85 };
        assert_eq!(silence(&world, jane), (Some(85), None, Some(last)), "{has_changed}");
        assert_eq!(silence(&world, joe), (None, None, None), "{has_changed}: of whom no source tells now");
    }
}

#[tokio::test]
async fn what_was_known_of_who_left_is_forgotten_ninety_days_after_their_last_change() {
    let world = world(12);
    let people = people(&world);
    let [idle, left, back] = [0, 1, 2].map(|place: usize| people[place].clone());
    world.sync().await;
    hear(&world).await;
    for one in [&idle, &left, &back] {
        world.cloudflare.log_entry(None, 0, json!({ "actor": { "id": one.user_id } }));
    }
    world.advance(60);
    hear(&world).await;
    let known =
        |one: &Membership| activity::of(&world, one.user_id.clone().unwrap().parse().unwrap()).unwrap().is_some();
    world.cloudflare.remove_member(&left.id);
    world.cloudflare.remove_member(&back.id);
    world.sync().await;
    world.advance(85 * 86_400);
    world.sync().await;
    assert_eq!([&idle, &left, &back].map(known), [true; 3], "one of them may come back");
    world.cloudflare.add_member(&back.email, vec![]);
    world.advance(6 * 86_400);
    world.sync().await;
    assert!(known(&idle) && !known(&left), "a member stays known, however long ago the last change was");
}

#[tokio::test]
async fn a_log_of_logins_that_is_longer_than_is_read_at_once_is_read_on_from_there() {
    let world = world(12);
    let [jane, joe] = [0, 1].map(|n| people(&world)[n].clone());
    let began = world.now();
    let ago = move |days: i64| began.plus_secs(-days * 86_400);
    // A page for every login of Jane's; Joe's comes after the 300th.
    let logins = move |asked: &str, told: &mut serde_json::Value| {
        if !asked.contains("/audit_logs?action.type=login") {
            return;
        }
        let of = |name: &str| asked.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap().to_owned();
        let since = Timestamp::parse(&of("since=").replace("%3A", ":")).unwrap();
        let page: i64 = of("page=").parse().unwrap();
        let all: Vec<(Timestamp, &Membership)> = (0..305)
            .map(|n| if n == 302 { (ago(5), &joe) } else { (ago(88 - n * 80 / 305), &jane) })
            .filter(|(at, _)| *at >= since)
            .collect();
        let entry = all.get(usize::try_from(page - 1).unwrap()).map(|(at, who)| {
            json!({ "id": format!("login-{page}"), "when": at.to_string(), "action": { "type": "login", "result": true },
                "actor": { "id": who.user_id, "email": who.email, "type": "user" } })
        });
        told["result"] = entry.into_iter().collect();
        told["result_info"] =
            json!({ "page": page, "per_page": 1, "total_pages": all.len(), "total_count": all.len() });
    };
    let joes = people(&world)[1].email.clone();
    *world.bends.borrow_mut() = Some(Box::new(logins));
    read(&world).await;
    for _ in 0..2 {
        tomorrow(&world).await;
    }
    world.sync().await;
    assert_eq!(login(&world, &joes).await.as_deref(), Some(ago(5).date().as_str()));
}
