//! Cloudflare answers badly, slowly, or not at all.

use c1_cloudflare::base::ports::Clock;
use c1_cloudflare::model::kind::Kind;
use c1_cloudflare::sync::{self, Next, RunOutcome, RunRecord, Trigger};
use sim::cloudflare::{Fault, Limits, On, Route};

use super::account;
use super::oracle::{assert_same, manifest, published};
use crate::support::World;

fn trigger() -> Trigger {
    Trigger { by: "test".to_owned(), accept_removals: false }
}

#[tokio::test]
async fn what_passes_by_itself_is_waited_for() {
    let faults = [
        Fault::status(500, 10_000),
        Fault::Html { status: 524 },
        Fault::Problem { status: 502, retryable: true, retry_after: Some(5) },
        Fault::TruncatedJson,
        Fault::Reset,
    ];
    for fault in faults {
        for times in [1, 3, 9] {
            let what = format!("{} {times} times", fault.name());
            let world = World::new(account(160));
            world.cloudflare.fail_next(Route::ListMembers, times, fault.clone());
            let run = world.sync().await;
            assert_eq!(run.outcome, RunOutcome::Published, "{what}: {}", run.message);
            assert_same(&published(&world).await, &world.cloudflare.truth(), &what);
            assert_eq!(run.requests as usize, world.cloudflare.total_requests(), "{what}");
        }
    }
}

#[tokio::test]
async fn a_trouble_that_does_not_pass_fails_the_run_after_a_bounded_number_of_requests() {
    let world = World::new(account(160));
    world.sync().await;
    let before = published(&world).await;
    world.cloudflare.reset_log();
    world.cloudflare.fail_next(Route::ListMembers, 10_000, Fault::status(503, 1));
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Failed);
    assert!(run.message.contains("HTTP 503") && run.message.contains("cf-ray"), "{}", run.message);
    assert_eq!(world.cloudflare.requests(Route::ListMembers), 5 * 4, "five steps, four tries in each");
    world.cloudflare.clear_faults();
    assert_same(&published(&world).await, &before, "after the failure");
    assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged);
}

/// Of one list such an answer says that it may not be read; of the members, that it is the token.
#[tokio::test]
async fn a_list_that_is_answered_as_if_the_token_were_none_is_off_and_ends_no_sync() {
    for (status, code) in [(401, 10_000), (403, 10_001)] {
        let what = format!("{status} {code}");
        let world = World::new(account(60));
        world.cloudflare.add_oauth_client("Deploy bot", "private", &["account.read"]);
        world.sync().await;
        let before = published(&world).await;
        world.cloudflare.fail_next(Route::ListOauthClients, 10_000, Fault::status(status, code));
        for expected in [RunOutcome::Published, RunOutcome::Unchanged] {
            let run = world.sync().await;
            assert_eq!(run.outcome, expected, "{what}: {}", run.message);
            let manifest = manifest(&world).await;
            let told = &manifest.capabilities["oauth_clients"];
            assert!(!told.on && told.kept_from.is_some(), "{what}: {told:?}");
            assert!(told.message.as_ref().unwrap().contains("OAuth Client: Read"), "{what}: {told:?}");
            assert_eq!(manifest.counts.of(Kind::OauthClient), 1, "{what}: what was known is kept");
        }
        world.cloudflare.fail_next(Route::ListMembers, 10_000, Fault::status(status, code));
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Failed, "{what}, the control");
        assert!(run.message.contains("does not accept the API token"), "{what}: {}", run.message);
        assert_same(&published(&world).await, &before, &what);
    }
}

/// The lists that come after its end are off, and the members, who come last, do not come.
#[tokio::test]
async fn a_token_that_ends_while_the_lists_are_read_publishes_nothing() {
    for route in [Route::ListRoles, Route::ListUserGroups, Route::ListTokens, Route::ListUserGroupMembers] {
        let mut world = World::new(account(60));
        world.sync().await;
        let (before, told) = (published(&world).await, sync::status(&world).unwrap().capabilities);
        world.limits.in_flight = 1;
        world.cloudflare.after_page(route, 1, |cloudflare, _| cloudflare.set_token_status("disabled"));
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Failed, "{route:?}");
        assert!(run.message.contains("CLOUDFLARE_API_TOKEN"), "{route:?}: {}", run.message);
        assert_same(&published(&world).await, &before, &format!("{route:?}"));
        assert_eq!(sync::status(&world).unwrap().capabilities, told, "{route:?}");
    }
}

#[tokio::test]
async fn random_faults_on_every_route_change_nothing_of_the_outcome() {
    for seed in 1..=5 {
        let world = World::new(sim::cloudflare::Spec { seed, ..account(400) });
        world.cloudflare.fail_randomly(On::Any, 0.05, Fault::status(500, 1));
        world.cloudflare.fail_randomly(On::Any, 0.05, Fault::Reset);
        world.cloudflare.fail_randomly(On::Any, 0.05, Fault::TruncatedJson);
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Published, "seed {seed}: {}", run.message);
        assert_same(&published(&world).await, &world.cloudflare.truth(), &format!("seed {seed}"));
    }
}

#[tokio::test]
async fn a_rate_limit_puts_the_run_off_and_loses_nothing() {
    for retry_after in [Some(120), None] {
        let world = World::new(account(400));
        world.cloudflare.after_page(Route::ListMembers, 2, move |cloudflare, _| {
            cloudflare.fail_next(Route::ListMembers, 1, Fault::TooManyRequests { retry_after, headers: false });
        });
        world.advance(900);
        sync::begin(&world, &world.config.cloudflare, trigger()).unwrap();
        let Next::At(at) = sync::step(&world, &world.config.cloudflare, world.config.plan).await else {
            panic!("it went on")
        };
        let wait = i64::try_from(retry_after.unwrap_or(60)).unwrap();
        assert!((wait * 1000 - 1000..=wait * 1000).contains(&at.since(world.now())), "{at} is not {wait} s later");
        assert!(world.desk.names().contains("sync/cursor"), "how far it got is in KV meanwhile");
        let trouble = sync::status(&world).unwrap().running.unwrap().trouble.unwrap();
        assert!(trouble.contains("the limit of requests"), "{trouble}");
        let is_told = |line: &String| line.contains(&trouble) && line.contains(&at.to_string());
        assert!(world.desk.lines.borrow().iter().any(is_told), "the log says until when: {:?}", world.desk.lines);
        let sent = world.cloudflare.total_requests();
        assert_eq!(sync::step(&world, &world.config.cloudflare, world.config.plan).await, Next::At(at), "too early");
        assert_eq!(world.cloudflare.total_requests(), sent);
        let run = world.finish().await;
        assert_eq!(run.outcome, RunOutcome::Published);
        assert_same(&published(&world).await, &world.cloudflare.truth(), "after the block");
        // Only what was on its way when the block began is asked for again.
        assert!(run.requests as usize <= 8 + 9 + 4 + 4 + 4, "{} requests", run.requests);
    }
}

/// A list may be limited alone, and for good: no sync waits for it all day, nor where another one that is read beside it fails for good.
#[tokio::test]
async fn a_list_that_is_rate_limited_for_ever_is_left_out_and_what_was_known_of_it_is_kept() {
    for (retry_after, most_minutes, other_fails) in
        [(None, 15, false), (None, 15, true), (Some(3_600), 50, false), (Some(3_600), 50, true)]
    {
        let world = World::new(account(60));
        world.sync().await;
        let before = published(&world).await;
        assert!(!before.tokens.is_empty());
        world.cloudflare.fail_randomly(Route::ListTokens, 1.0, Fault::TooManyRequests { retry_after, headers: false });
        if other_fails {
            world.cloudflare.fail_randomly(Route::ListSsoConnectors, 1.0, Fault::status(502, 1));
        }
        let member = world.cloudflare.add_member("new@example.com", Vec::new());
        world.cloudflare.reset_log();
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Published, "{retry_after:?}: {}", run.message);
        assert!(run.duration_millis < most_minutes * 60_000, "{retry_after:?}: {}", run.duration_millis);
        let asked = world.cloudflare.requests(Route::ListTokens);
        assert!((5..=9).contains(&asked), "{retry_after:?}: {asked}");
        assert_same(&published(&world).await, &world.cloudflare.truth(), "the newcomer, and the tokens of before");
        let told = manifest(&world).await.capabilities["tokens"].clone();
        assert!(!told.on && told.message.as_ref().unwrap().contains("each sync tries it again"), "{told:?}");
        assert_eq!(manifest(&world).await.capabilities["sso_domains"].on, !other_fails, "{retry_after:?}");
        world.cloudflare.clear_faults();
        world.cloudflare.remove_member(&member);
        world.sync().await;
        assert_same(&published(&world).await, &before, "the control");
        assert!(manifest(&world).await.capabilities["tokens"].on);
    }
}

/// Each of a hundred is a list: the first have their tries, and the others behind them one.
#[tokio::test]
async fn user_groups_whose_members_are_rate_limited_for_ever_have_not_all_of_them_their_tries() {
    let world = World::new(sim::cloudflare::Spec { groups: 40, ..account(60) });
    world.sync().await;
    let before = published(&world).await;
    let limited = Fault::TooManyRequests { retry_after: None, headers: false };
    world.cloudflare.fail_randomly(Route::ListUserGroupMembers, 1.0, limited);
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    assert!(run.duration_millis < 20 * 60_000, "{}", run.duration_millis);
    assert_same(&published(&world).await, &before, "kept");
}

/// A sync during which all are refused for five minutes, from the first page of a list on.
async fn blocked(world: &World, route: Route, retry_after: Option<u64>) -> RunRecord {
    world.cloudflare.reset_log();
    world.cloudflare.after_page(route, 1, move |cloudflare, _| {
        cloudflare.fail_randomly(On::Any, 1.0, Fault::TooManyRequests { retry_after, headers: false });
    });
    world.advance(900);
    sync::begin(world, &world.config.cloudflare, trigger()).unwrap();
    let mut began = None;
    loop {
        let next = sync::step(world, &world.config.cloudflare, world.config.plan).await;
        if world.cloudflare.requests(route) > 0 {
            began.get_or_insert(world.now());
        }
        match next {
            Next::Idle => return sync::status(world).unwrap().runs.remove(0),
            Next::At(at) => world.desk.time.set(at.max(world.now())),
        }
        if began.is_some_and(|began| world.now().since(began) >= 300_000) {
            world.cloudflare.clear_faults();
        }
    }
}

/// A list that was given up for another fault says nothing of a block.
#[tokio::test]
async fn a_block_of_five_minutes_leaves_no_list_out_where_another_one_goes_on_failing() {
    for retry_after in [None, Some(300), Some(1)] {
        let world = World::new(sim::cloudflare::Spec { groups: 40, ..account(160) });
        world.sync().await;
        world.cloudflare.fail_randomly(Route::ListTokens, 1.0, Fault::status(503, 1));
        let run = blocked(&world, Route::ListUserGroupMembers, retry_after).await;
        assert_eq!(run.outcome, RunOutcome::Published, "{retry_after:?}: {}", run.message);
        assert!(run.duration_millis >= 300_000, "{retry_after:?}: it was blocked");
        let told = manifest(&world).await.capabilities;
        assert!(told["user_group_members"].on, "{retry_after:?}: {told:?}");
        assert!(!told["tokens"].on, "{retry_after:?}: the control, which was given up before");
    }
}

/// All are refused for five minutes, whatever is being read, and Cloudflare need not say for how long.
#[tokio::test]
async fn a_block_of_five_minutes_leaves_no_list_out() {
    for route in [Route::ListPermissionGroups, Route::ListTokens, Route::ListUserGroupMembers, Route::ListMembers] {
        for retry_after in [None, Some(300), Some(1)] {
            let what = format!("{route:?} {retry_after:?}");
            let world = World::new(account(160));
            world.sync().await;
            let told = sync::status(&world).unwrap().capabilities;
            let run = blocked(&world, route, retry_after).await;
            assert_eq!(run.outcome, RunOutcome::Unchanged, "{what}: {}", run.message);
            assert!(run.duration_millis >= 300_000, "{what}: it was blocked");
            assert_eq!(sync::status(&world).unwrap().capabilities, told, "{what}");
        }
    }
}

#[tokio::test]
async fn a_low_remainder_stops_the_sync_before_cloudflare_does() {
    let world = World::new(sim::cloudflare::Spec { groups: 650, ..account(60) });
    world.cloudflare.configure(|behaviour| behaviour.ratelimit_headers = true);
    world.cloudflare.set_limits(Limits { requests: 640, ..Limits::default() });
    world.advance(900);
    sync::begin(&world, &world.config.cloudflare, trigger()).unwrap();
    // A step reads 400 pages; the second one is stopped.
    assert_eq!(sync::step(&world, &world.config.cloudflare, world.config.plan).await, Next::At(world.now()));
    let Next::At(at) = sync::step(&world, &world.config.cloudflare, world.config.plan).await else {
        panic!("it went on")
    };
    assert!(at > world.now());
    let sent = world.cloudflare.total_requests();
    assert!((580..590).contains(&sent), "{sent} were sent: some are left for provisioning");
}

#[tokio::test]
async fn a_sync_beyond_its_share_of_the_budget_goes_on_when_the_window_has_passed() {
    let world = World::new(sim::cloudflare::Spec { groups: 850, ..account(60) });
    world.advance(900);
    sync::begin(&world, &world.config.cloudflare, trigger()).unwrap();
    let mut puts_off = 0;
    let run = loop {
        match sync::step(&world, &world.config.cloudflare, world.config.plan).await {
            Next::Idle => break sync::status(&world).unwrap().runs.remove(0),
            Next::At(at) => {
                if at > world.now() {
                    puts_off += 1;
                    assert!(world.cloudflare.total_requests() <= 800);
                    world.advance(at.since(world.now()) / 1000 + 1);
                }
            }
        }
    };
    assert_eq!((run.outcome, puts_off), (RunOutcome::Published, 1), "{}", run.message);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "many groups");
}

#[tokio::test]
async fn storage_that_fails_is_told_logged_and_counted_towards_the_end_of_the_run() {
    for part in [
        "INSERT OR REPLACE INTO staged ",
        "UPDATE OR REPLACE staged ",
        "UPDATE OR REPLACE staged_rest ",
        "SELECT 0 AS piece, rows FROM staged",
        "FROM overlay",
    ] {
        let world = World::new(account(60));
        world.sync().await;
        let before = published(&world).await;
        world.advance(900);
        sync::begin(&world, &world.config.cloudflare, trigger()).unwrap();
        world.sql_faults.replace(Some((part.to_owned(), usize::MAX)));
        let Next::At(_) = sync::step(&world, &world.config.cloudflare, world.config.plan).await else {
            panic!("{part}: it went on")
        };
        let running = sync::status(&world).unwrap().running.unwrap();
        assert!(running.trouble.unwrap().contains("failed on purpose"), "{part}");
        assert!(world.desk.lines.borrow().iter().any(|line| line.contains("failed on purpose")), "{part}");
        let run = world.finish().await;
        assert_eq!(run.outcome, RunOutcome::Failed, "{part}");
        assert!(run.message.contains("failed on purpose"), "{part}: {}", run.message);
        // The next one is begun, and goes well.
        world.sql_faults.replace(None);
        assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged, "{part}");
        assert_same(&published(&world).await, &before, part);
    }
}

#[tokio::test]
async fn storage_that_fails_a_few_times_fails_no_run() {
    let world = World::new(account(60));
    world.sql_faults.replace(Some(("INSERT OR REPLACE INTO staged ".to_owned(), 4)));
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "after four failures");
}

#[tokio::test]
async fn without_the_list_that_tells_the_roles_ids_no_role_is_published_under_another() {
    for route in [Route::ListRoles, Route::ListPermissionGroups] {
        // Of the last two it is the token that is refused, and not the list.
        for fault in [
            Fault::status(400, 1_000),
            Fault::status(503, 1),
            Fault::TruncatedJson,
            Fault::status(401, 10_000),
            Fault::status(403, 10_001),
        ] {
            let what = format!("{route:?} {}", fault.name());
            let world = World::new(account(160));
            world.cloudflare.fail_next(route, 10_000, fault);
            let run = world.sync().await;
            assert_eq!(run.outcome, RunOutcome::Failed, "{what}");
            assert!(run.message.contains("the next sync tries again"), "{}", run.message);
            assert!(c1_cloudflare::snapshot::latest(&world).await.unwrap().is_none(), "{what}");
            world.cloudflare.clear_faults();
            assert_eq!(world.sync().await.outcome, RunOutcome::Published, "{what}");
            assert_same(&published(&world).await, &world.cloudflare.truth(), &what);
            // What is known by then is known without the list.
            world.cloudflare.fail_next(route, 10_000, Fault::status(503, 1));
            assert_eq!(world.sync().await.outcome, RunOutcome::Published, "{what}");
            assert_eq!(published(&world).await.grants, world.cloudflare.truth().grants, "{what}");
        }
        // One that is refused for a moment is asked for again.
        for status in [403, 404, 410] {
            let world = World::new(account(160));
            world.cloudflare.fail_next(route, 3, Fault::status(status, 1));
            assert_eq!(world.sync().await.outcome, RunOutcome::Published, "{route:?} {status}");
            assert_same(&published(&world).await, &world.cloudflare.truth(), "refused three times");
        }
        // And one with nothing on it.
        let (world, left) = (World::new(account(160)), std::cell::Cell::new(3));
        let path = if route == Route::ListRoles { "/roles" } else { "/permission_groups" };
        *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
            if asked.contains(path) && left.get() > 0 {
                left.set(left.get() - 1);
                told["result"] = serde_json::json!([]);
            }
        }));
        assert_eq!(world.sync().await.outcome, RunOutcome::Published, "{route:?} with nothing on it");
        assert_same(&published(&world).await, &world.cloudflare.truth(), "nothing on it three times");
        // A list that is gone for good is no failure: then the permission groups' own ids are all there are.
        for fault in [Fault::status(404, 1), Fault::status(403, 10_000)] {
            let what = format!("{route:?} {}", fault.name());
            let world = World::new(account(160));
            world.cloudflare.fail_next(route, 10_000, fault);
            assert_eq!(world.sync().await.outcome, RunOutcome::Published, "{what}");
        }
    }
}

#[tokio::test]
async fn a_list_that_tells_no_roles_ids_for_a_day_is_done_without() {
    // A record of which nothing can be read, and a list that always fails.
    for odd in [true, false] {
        let world = World::new(account(60));
        if odd {
            *world.bends.borrow_mut() = Some(Box::new(|asked, told| {
                if asked.contains("/roles") {
                    told["result"][0] = serde_json::Value::Null;
                }
            }));
        } else {
            world.cloudflare.fail_next(Route::ListRoles, 10_000, Fault::status(501, 1));
        }
        for hours in [0, 11, 11] {
            world.advance(hours * 3_600);
            let run = world.sync().await;
            assert_eq!(run.outcome, RunOutcome::Failed, "{odd} {}", run.message);
            assert!(run.message.contains("for a day"), "{}", run.message);
        }
        world.advance(3 * 3_600);
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Published, "{odd} {}", run.message);
        // What is published has its ids by then, whatever the list tells later, until it is whole.
        world.advance(900);
        assert_ne!(world.sync().await.outcome, RunOutcome::Failed, "{odd}");
    }
}

#[tokio::test]
async fn a_day_of_roles_without_ids_begins_anew_once_they_were_told() {
    let world = World::new(account(60));
    let fails = || world.cloudflare.fail_next(Route::ListRoles, 10_000, Fault::status(503, 1));
    fails();
    for _ in 0..3 {
        assert_eq!(world.sync().await.outcome, RunOutcome::Failed);
    }
    world.cloudflare.clear_faults();
    assert_eq!(world.sync().await.outcome, RunOutcome::Published);
    world.advance(25 * 3_600);
    fails();
    *world.bends.borrow_mut() = Some(Box::new(|asked, told| {
        if asked.contains("/permission_groups") {
            let mut new = told["result"][0].clone();
            new["id"] = "f".repeat(32).into();
            new["name"] = "A new one".into();
            told["result"].as_array_mut().unwrap().push(new);
        }
    }));
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Failed, "{}", run.message);
    // One sync after a long rest is no day of them.
    let world = World::new(account(60));
    world.cloudflare.fail_next(Route::ListRoles, 10_000, Fault::status(503, 1));
    world.sync().await;
    world.advance(25 * 3_600);
    assert_eq!(world.sync().await.outcome, RunOutcome::Failed);
}

/// The sync between finds by what it reads that nothing changed, and puts nothing together.
#[tokio::test]
async fn a_day_of_roles_without_ids_begins_anew_too_where_nothing_changed_between() {
    let world = World::new(account(60));
    for expected in [RunOutcome::Published, RunOutcome::Unchanged] {
        assert_eq!(world.sync().await.outcome, expected);
    }
    let fails = |is_so: bool| {
        if is_so {
            world.cloudflare.fail_next(Route::ListRoles, 10_000, Fault::status(503, 1));
        } else {
            world.cloudflare.clear_faults();
        }
        *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
            if is_so && asked.contains("/permission_groups") {
                let mut new = told["result"][0].clone();
                new["id"] = "f".repeat(32).into();
                new["name"] = "A new one".into();
                told["result"].as_array_mut().unwrap().push(new);
            }
        }));
    };
    fails(true);
    for _ in 0..3 {
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Failed, "{}", run.message);
    }
    fails(false);
    assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged);
    world.advance(25 * 3_600);
    fails(true);
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Failed, "{}", run.message);
}
