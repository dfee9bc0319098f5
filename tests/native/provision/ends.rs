//! What ends an account takes nothing along that is newer than what it was asked for.

use std::time::Duration;

use c1_cloudflare::base::ports::{Clock as _, Sql as _};
use c1_cloudflare::model::ask::Subject;
use c1_cloudflare::provision::{LastRole, callback};
use sim::cloudflare::{Cloudflare, Fault, Latency, Route};

use super::{
    Action, Arrival, Bench, Effect, EntryId, JANE, Origin, Outcome, Refusal, Request, Target, account_of, assert_done,
    assert_not_now, assert_refused, group_target, holds, journal, member, person, roles, target,
};

/// Notes the end of what an operation granted for a time, as the Coordinator does.
fn end_of(bench: &Bench, granted: EntryId, target: Target) -> EntryId {
    end_for(bench, granted, target, account_of(JANE))
}

/// The same, of whoever is named otherwise.
fn end_for(bench: &Bench, granted: EntryId, target: Target, subject: Subject) -> EntryId {
    let request = Request {
        key: Some(format!("expiry/{}/1700000000", granted.0)),
        action: Action::Revoke,
        target,
        subject,
        origin: Origin { by: "expiry".to_owned(), ..Origin::default() },
    };
    let now = bench.world.now();
    match journal::arrive(&bench.world, &request, now, now).unwrap() {
        Arrival::New(id) => id,
        other => panic!("{other:?}"),
    }
}

/// Jane, who holds one role, where whoever loses the last one is removed.
async fn whoever_has_nothing_goes() -> (Bench, Vec<Target>, String) {
    let bench = Bench::with(|_| {}, |config| config.provision.guards.last_role = LastRole::RemoveMember).await;
    let known = roles(bench.account());
    let jane = bench.account().add_member(JANE, vec![holds(bench.account(), &known[0])]);
    (bench, known.iter().map(target).collect(), jane)
}

#[tokio::test]
async fn an_end_by_a_membership_id_that_is_somebody_elses_touches_nobody_else() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let [jane, joe] = [JANE, "joe@example.com"]
        .map(|email| account.add_member(email, vec![holds(account, &known[0]), holds(account, &known[1])]));
    let user = account.membership(&jane).unwrap().user_id.unwrap();
    let hint = Subject { user_id: Some(user.parse().unwrap()), ..member(&joe) };
    let subject = Subject { emails: vec![JANE.to_owned()], ..hint };
    let granted = bench.arrive(Action::Grant, target(&known[1]), account_of(JANE));
    assert_done(&bench.settle(granted).await, Effect::AlreadyGranted);
    let end = end_for(&bench, granted, target(&known[1]), subject);
    assert_done(&bench.settle(end).await, Effect::Revoked);
    assert_eq!([&jane, &joe].map(|whom| bench.atoms(whom).len()), [1, 2]);
}

/// Once the address may be another's, an end has the membership's id in its place.
#[tokio::test]
async fn an_end_of_an_account_that_was_carried_out_and_cut_off_is_done_by_whatever_the_person_is_known() {
    for by_id in [true, false] {
        let add = |account: &Cloudflare| drop(account.add_member(JANE, vec![holds(account, &roles(account)[0])]));
        let bench = Bench::with(add, |_| {}).await;
        let account = bench.account();
        let jane = account.membership_of(JANE).unwrap().id;
        let granted = bench.arrive(Action::Grant, Target::Account, account_of(JANE));
        assert_done(&bench.settle(granted).await, Effect::AlreadyGranted);
        let address = if by_id { jane.clone() } else { JANE.to_owned() };
        let end = end_for(&bench, granted, Target::Account, Subject { emails: vec![address], ..member(&jane) });
        account.after_next(Route::DeleteMember, |account, _| {
            account.fail_next(Route::GetMember, 1, Fault::status(503, 1));
        });
        assert!(matches!(bench.attempt(end).await, Outcome::NotNow { .. }));
        assert!(account.membership_of(JANE).is_none());
        let ended = tokio::time::timeout(Duration::from_secs(30), bench.settle(end)).await;
        assert_done(&ended.expect("it waits for nobody"), Effect::Removed);
        assert_eq!(bench.laid_over(&jane).await, Some(None), "readers see that she is gone");
    }
}

/// Webhooks come again by themselves.
fn come_again(bench: &Bench) {
    bench.world.query("UPDATE operation SET request = json_set(request, '$.key', 'task/' || id)", &[]).unwrap();
}

/// An attempt that finds out what an operation is about, and is put off.
async fn put_off(bench: &Bench, id: EntryId) {
    for route in [Route::GetMember, Route::ListMembers] {
        bench.account().fail_next(route, 99, Fault::status(503, 1));
    }
    assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
    bench.account().clear_faults();
}

/// Somebody leaves, or gets another role in the place of one: what belongs together arrives in a moment, in whatever order.
#[tokio::test]
async fn last_role_is_refused_only_once_nothing_is_under_way_that_makes_it_moot() {
    for (case, waits) in [
        ("her account", true),
        ("her account, for a day", true),
        ("another role", true),
        ("another role, which is refused", true),
        ("a user group, in which she is not removed", true),
        // The controls: who does not come again, somebody else, what makes nothing moot, and nothing.
        ("her account, by REST", false),
        ("another's account", false),
        ("the revoke of another role", false),
        ("a user group", false),
        ("a grant of the account", false),
        ("nothing", false),
    ] {
        let (mut bench, known, jane) = Bench::with_jane().await;
        let removes = case == "a user group, in which she is not removed";
        if removes {
            bench.world.config.provision.guards.last_role = LastRole::RemoveMember;
        }
        let joe = bench.account().add_member("joe@example.com", vec![holds(bench.account(), &known[0])]);
        let revoke = bench.arrive(Action::Revoke, target(&known[0]), member(&jane));
        let other = match case {
            "another role" | "another role, which is refused" => {
                bench.arrive(Action::Grant, target(&known[1]), account_of(JANE))
            }
            "another's account" => bench.arrive(Action::Revoke, Target::Account, member(&joe)),
            "the revoke of another role" => bench.arrive(Action::Revoke, target(&known[1]), account_of(JANE)),
            "a user group" | "a user group, in which she is not removed" => {
                let group = bench.account().add_group("Operators", vec![holds(bench.account(), &known[2])]);
                bench.account().join_group(&group, &jane);
                bench.arrive(Action::Revoke, group_target(&group), member(&jane))
            }
            "a grant of the account" => bench.arrive(Action::Grant, Target::Account, account_of(JANE)),
            _ => bench.arrive(Action::Revoke, Target::Account, account_of(JANE)),
        };
        if case != "her account, by REST" {
            come_again(&bench);
        }
        let refuse =
            || journal::settle(&bench.world, other, &Outcome::refused(Refusal::GaveUp, "No."), bench.world.now());
        if case == "nothing" {
            refuse().unwrap();
        } else {
            put_off(&bench, other).await;
        }
        let mut outcome = bench.attempt(revoke).await;
        if waits {
            assert_not_now(&outcome, &format!("operation {}, which may change that, is under way", other.0));
            match case {
                "another role, which is refused" => refuse().unwrap(),
                "another role" => assert_done(&bench.settle(other).await, Effect::Granted),
                "her account, for a day" => {
                    bench.world.advance(22 * 3_600);
                    assert_not_now(&bench.attempt(revoke).await, "which may change that, is under way");
                    bench.world.advance(3_601);
                }
                _ if removes => assert_done(&bench.settle(other).await, Effect::Revoked),
                _ => assert_done(&bench.settle(other).await, Effect::Removed),
            }
            outcome = bench.settle(revoke).await;
        }
        match case {
            "her account" => assert_done(&outcome, Effect::AlreadyRevoked),
            "another role" => assert_done(&outcome, Effect::Revoked),
            _ if removes => assert_done(&outcome, Effect::Removed),
            _ => assert_refused(&outcome, Refusal::LastRole, "revoke the account instead"),
        }
        assert_eq!(bench.account().membership(&jane).is_some(), case != "her account" && !removes, "{case}");
    }
}

/// It waits also while nobody could find out yet what the other one is about.
#[tokio::test]
async fn last_role_is_refused_only_once_it_is_known_what_else_is_under_way() {
    let (bench, known, jane) = Bench::with_jane().await;
    let revokes = [0, 1].map(|place| bench.arrive(Action::Revoke, target(&known[place]), member(&jane)));
    come_again(&bench);
    assert_not_now(&bench.attempt(revokes[0]).await, "which may change that, is under way");
    put_off(&bench, revokes[1]).await;
    assert_refused(&bench.attempt(revokes[0]).await, Refusal::LastRole, "revoke the account instead");
}

#[tokio::test]
async fn held_through_group_is_refused_only_once_no_revoke_of_that_is_under_way() {
    for (case, waits) in [("the group", true), ("her account", true), ("another role", false)] {
        let (bench, known, jane) = Bench::with_jane().await;
        let account = bench.account();
        let group = account.add_group("Operators", vec![holds(account, &known[1])]);
        account.join_group(&group, &jane);
        account.add_policy(&jane, holds(account, &known[1]));
        let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
        let (action, what) = match case {
            "the group" => (Action::Revoke, group_target(&group)),
            "her account" => (Action::Revoke, Target::Account),
            _ => (Action::Grant, target(&known[2])),
        };
        let other = bench.arrive(action, what, member(&jane));
        come_again(&bench);
        put_off(&bench, other).await;
        let outcome = bench.attempt(revoke).await;
        if waits {
            assert_not_now(&outcome, &format!("operation {}, which may change that, is under way", other.0));
            // Its turn may come late, behind others that wait for room.
            bench.world.advance(30 * 3_600);
            assert_not_now(&bench.attempt(revoke).await, "which may change that, is under way");
            assert!(matches!(bench.settle(other).await, Outcome::Done { .. }), "{case}");
            assert!(matches!(bench.settle(revoke).await, Outcome::Done { .. }), "{case}");
        } else {
            assert_refused(&outcome, Refusal::HeldThroughGroup, "Operators");
        }
    }
}

#[tokio::test]
async fn last_role_takes_no_account_along_while_something_else_is_being_granted() {
    for (granted, waits) in [(1, true), (0, false)] {
        let (bench, roles, jane) = whoever_has_nothing_goes().await;
        let account = bench.account();
        // The older of the two is put off, and does not say yet by which id it means her.
        account.fail_next(Route::ListMembers, 9, Fault::status(503, 10_000));
        let grant = bench.arrive(Action::Grant, roles[granted].clone(), person(JANE));
        assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
        account.clear_faults();
        let revoke = bench.arrive(Action::Revoke, roles[0].clone(), member(&jane));
        let outcome = bench.attempt(revoke).await;
        if waits {
            assert_not_now(&outcome, "which gives jane@example.com something, is under way");
            assert!(account.membership(&jane).is_some());
            assert_done(&bench.settle(grant).await, Effect::Granted);
            assert_done(&bench.settle(revoke).await, Effect::Revoked);
            assert_eq!(bench.atoms(&jane).len(), 1);
        } else {
            // What it gives is what is taken away: the later of the two decides.
            assert_done(&outcome, Effect::Removed);
            assert_refused(&bench.settle(grant).await, Refusal::Superseded, "");
            assert!(account.membership_of(JANE).is_none());
        }
    }
}

#[tokio::test]
async fn last_role_takes_no_account_along_though_the_grant_comes_while_the_guards_are_asked() {
    let (bench, roles, jane) = whoever_has_nothing_goes().await;
    let account = bench.account();
    account.set_route_latency(Route::ListUserGroups, Latency::of(Duration::from_millis(500)));
    let revoke = bench.arrive(Action::Revoke, roles[0].clone(), member(&jane));
    let (revoked, grant) = tokio::join!(bench.attempt(revoke), async {
        // Whether anything is being granted was looked for before they are asked for a second time.
        while account.requests(Route::ListUserGroups) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench.arrive(Action::Grant, roles[1].clone(), member(&jane))
    });
    assert_not_now(&revoked, "which gives jane@example.com something, is under way");
    assert!(account.membership(&jane).is_some());
    account.set_route_latency(Route::ListUserGroups, Latency::of(Duration::ZERO));
    assert_done(&bench.settle(grant).await, Effect::Granted);
    assert_done(&bench.settle(revoke).await, Effect::Revoked);
    assert_eq!(bench.atoms(&jane).len(), 1);
}

#[tokio::test]
async fn last_role_takes_no_account_along_that_was_granted_since() {
    for case in ["put off", "its end", "granted before", "taken back since", "taken away in the dashboard"] {
        let (bench, roles, jane) = whoever_has_nothing_goes().await;
        let (known, role) = (self::roles(bench.account()), roles[0].clone());
        let grant = async |what: &Target| bench.operate(Action::Grant, what.clone(), member(&jane)).await;
        let revoke = || bench.arrive(Action::Revoke, role.clone(), member(&jane));
        let revoked = match case {
            "put off" => {
                let revoked = revoke();
                assert_done(&grant(&Target::Account).await, Effect::AlreadyGranted);
                revoked
            }
            "its end" => {
                let granted = bench.arrive(Action::Grant, role.clone(), member(&jane));
                assert_done(&bench.settle(granted).await, Effect::AlreadyGranted);
                assert_done(&grant(&Target::Account).await, Effect::AlreadyGranted);
                end_of(&bench, granted, role.clone())
            }
            "granted before" => {
                assert_done(&grant(&Target::Account).await, Effect::AlreadyGranted);
                revoke()
            }
            _ => {
                let revoked = revoke();
                assert_done(&grant(&roles[1]).await, Effect::Granted);
                if case == "taken back since" {
                    let back = bench.operate(Action::Revoke, roles[1].clone(), member(&jane)).await;
                    assert_done(&back, Effect::Revoked);
                } else {
                    bench.world.advance(3_600);
                    bench.account().set_policies(&jane, vec![holds(bench.account(), &known[0])]);
                }
                revoked
            }
        };
        let outcome = bench.settle(revoked).await;
        let stays = matches!(case, "put off" | "its end");
        if stays {
            assert_refused(&outcome, Refusal::LastRole, "revoke the account instead");
        } else {
            assert_done(&outcome, Effect::Removed);
        }
        assert_eq!(bench.account().membership(&jane).is_some(), stays, "{case}");
    }
}

#[tokio::test]
async fn the_end_of_an_account_waits_for_a_newer_grant_to_the_same_person() {
    for what in ["account", "role", "group"] {
        for is_known in [false, true] {
            let (bench, known, jane) = Bench::with_jane().await;
            let account = bench.account();
            let group = account.add_group("Operators", vec![holds(account, &known[5])]);
            let granted = bench.arrive(Action::Grant, Target::Account, account_of(JANE));
            assert_done(&bench.settle(granted).await, Effect::AlreadyGranted);
            let asked = match what {
                "account" => Target::Account,
                "role" => target(&known[1]),
                _ => group_target(&group),
            };
            let whom: Subject = if is_known { member(&jane) } else { account_of("JANE@example.com") };
            let newer = bench.arrive(Action::Grant, asked, whom);
            let end = end_of(&bench, granted, Target::Account);
            assert_not_now(&bench.attempt(end).await, "is under way");
            assert_eq!(account.requests(Route::DeleteMember), 0, "{what}");
            assert!(matches!(bench.settle(newer).await, Outcome::Done { .. }), "{what}");
            assert_refused(&bench.settle(end).await, Refusal::Superseded, "later");
            assert!(account.membership(&jane).is_some());
        }
    }
}

/// Whom a grant is for that was begun is known by the membership, whatever the address is by now.
#[tokio::test]
async fn the_end_of_an_account_waits_for_a_newer_grant_to_who_has_another_address_since() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let granted = bench.arrive(Action::Grant, Target::Account, account_of(JANE));
    assert_done(&bench.settle(granted).await, Effect::AlreadyGranted);
    let newer = bench.arrive(Action::Grant, target(&known[1]), account_of(JANE));
    account.fail_next(Route::UpdateMember, 9, Fault::status(503, 1));
    assert!(matches!(bench.attempt(newer).await, Outcome::NotNow { .. }));
    account.change_email(&jane, "jane.married@example.com");
    let end = end_for(&bench, granted, Target::Account, member(&jane));
    assert_not_now(&bench.attempt(end).await, "is under way");
    assert!(account.membership(&jane).is_some());
}

/// Nor does it go on by what was taken back from who had another address by then.
#[tokio::test]
async fn an_account_ends_once_what_was_granted_since_was_taken_back_under_another_address() {
    for is_taken_back in [true, false] {
        let (bench, known, jane) = Bench::with_jane().await;
        let granted = bench.arrive(Action::Grant, Target::Account, member(&jane));
        assert_done(&bench.settle(granted).await, Effect::AlreadyGranted);
        let role = target(&known[1]);
        assert_done(&bench.operate(Action::Grant, role.clone(), member(&jane)).await, Effect::Granted);
        bench.account().change_email(&jane, "jane.married@example.com");
        if is_taken_back {
            assert_done(&bench.operate(Action::Revoke, role, member(&jane)).await, Effect::Revoked);
        }
        let end = end_for(&bench, granted, Target::Account, member(&jane));
        let outcome = bench.settle(end).await;
        if is_taken_back {
            assert_done(&outcome, Effect::Removed);
        } else {
            assert_refused(&outcome, Refusal::Superseded, "later");
        }
        assert_eq!(bench.account().membership(&jane).is_none(), is_taken_back);
    }
}

#[tokio::test]
async fn the_end_of_an_account_waits_for_nobody_elses_grant_and_for_no_older_one() {
    let (bench, known, jane) = Bench::with_jane().await;
    let joe = bench.account().add_member("joe@example.com", vec![holds(bench.account(), &known[0])]);
    bench.arrive(Action::Grant, target(&known[1]), member(&jane));
    let granted = bench.arrive(Action::Grant, Target::Account, account_of(JANE));
    assert_done(&bench.settle(granted).await, Effect::AlreadyGranted);
    bench.arrive(Action::Grant, target(&known[1]), member(&joe));
    bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
    let end = end_of(&bench, granted, Target::Account);
    assert_done(&bench.attempt(end).await, Effect::Removed);
}

#[tokio::test]
async fn the_end_of_a_last_role_waits_for_a_newer_grant_to_the_same_person() {
    let (bench, roles, jane) = whoever_has_nothing_goes().await;
    let granted = bench.arrive(Action::Grant, roles[0].clone(), member(&jane));
    assert_done(&bench.settle(granted).await, Effect::AlreadyGranted);
    let newer = bench.arrive(Action::Grant, Target::Account, member(&jane));
    let end = end_of(&bench, granted, roles[0].clone());
    assert_not_now(&bench.attempt(end).await, "is under way");
    assert_done(&bench.settle(newer).await, Effect::AlreadyGranted);
    assert_refused(&bench.settle(end).await, Refusal::LastRole, "revoke the account instead");
    assert!(bench.account().membership(&jane).is_some());
}

/// By it the account goes on when its time is over.
#[tokio::test]
async fn what_was_granted_since_to_who_has_another_address_is_not_forgotten_before_the_account_ends() {
    let (bench, known, jane) = Bench::with_jane().await;
    let joe = bench.account().add_member("joe@example.com", vec![holds(bench.account(), &known[0])]);
    let granted = bench.arrive(Action::Grant, Target::Account, member(&jane));
    let for_an_hour = "UPDATE operation SET request = json_set(request, '$.origin.duration_secs', 3600) WHERE id = ?";
    bench.world.query(for_an_hour, &[granted.0.into()]).unwrap();
    assert_done(&bench.settle(granted).await, Effect::AlreadyGranted);
    bench.account().change_email(&jane, "jane.married@example.com");
    let since = [&jane, &joe].map(|whom| bench.arrive(Action::Grant, target(&known[1]), member(whom)));
    for id in since {
        assert_done(&bench.settle(id).await, Effect::Granted);
    }
    bench.world.advance(2 * 24 * 60 * 60);
    journal::purge(&bench.world, bench.world.now()).unwrap();
    assert_eq!(since.map(|id| journal::outcome(&bench.world, id).unwrap().is_some()), [true, false]);
}

#[tokio::test]
async fn an_outcome_that_conductorone_was_not_told_yet_is_not_forgotten() {
    let (bench, known, jane) = Bench::with_jane().await;
    let [told, untold] = [1, 2].map(|place| bench.arrive(Action::Grant, target(&known[place]), member(&jane)));
    callback::want(&bench.world, untold, "https://c1.example.com/callback", bench.world.now()).unwrap();
    for id in [told, untold] {
        assert_done(&bench.settle(id).await, Effect::Granted);
    }
    bench.world.advance(2 * 24 * 60 * 60);
    let kept = || {
        journal::purge(&bench.world, bench.world.now()).unwrap();
        [told, untold].map(|id| journal::outcome(&bench.world, id).unwrap().is_some())
    };
    assert_eq!(kept(), [false, true]);
    callback::done(&bench.world, untold).unwrap();
    assert_eq!(kept(), [false, false]);
}
