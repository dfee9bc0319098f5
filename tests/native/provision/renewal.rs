//! Invitations that are made again.

use std::cell::Cell;
use std::time::Duration;

use super::{
    Action, Bench, Effect, NEW, Outcome, Refusal, Target, assert_done, assert_refused, atom, group_target, holds,
    member, person, roles, target,
};
use c1_cloudflare::base::ports::{Clock as _, Sql as _};
use serde_json::json;
use sim::cloudflare::{Access, Collation, Fault, Latency, Oddity, PolicySpec, Route};

/// An invitation with two policies, one of them denied, in a group; and the group.
async fn invited() -> (Bench, String, String) {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let mut denied = holds(account, &known[4]);
    denied.access = Access::Deny;
    let policies = vec![
        PolicySpec { permission_groups: vec![known[0].id.clone(), known[1].id.clone()], ..holds(account, &known[0]) },
        denied,
    ];
    let invitation = account.invite(NEW, policies);
    let group = account.add_group("Operators", vec![holds(account, &known[2])]);
    account.join_group(&group, &invitation);
    (bench, invitation, group)
}

#[tokio::test]
async fn an_invitation_is_made_again_with_exactly_what_it_held() {
    let (bench, old, group) = invited().await;
    bench.account().expire_invitation(&old);
    let held = bench.atoms(&old);
    let outcome = bench.operate(Action::Grant, Target::Renewal, member(&old)).await;
    assert_done(&outcome, Effect::Renewed);
    let new = bench.account().membership_of(NEW).unwrap();
    assert_ne!(new.id, old);
    assert_eq!(bench.atoms(&new.id), held);
    assert!(new.groups.contains(&group));
    assert!(bench.account().accept_invitation(&new.id).is_some(), "it can be accepted again");
    assert_refused(
        &bench.operate(Action::Grant, Target::Renewal, member(&new.id)).await,
        Refusal::NotPending,
        "accepted",
    );
    assert_refused(
        &bench.operate(Action::Grant, Target::Renewal, member(&old)).await,
        Refusal::UnknownMember,
        "no invitation",
    );
}

/// What could not be sent again is not taken away.
#[tokio::test]
async fn an_invitation_is_not_removed_where_it_could_not_be_made_again() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let groups: Vec<String> =
        account.permission_groups().into_iter().filter(|it| !it.account_wide).take(8).map(|it| it.id).collect();
    let zones: Vec<String> = (0..2_501).map(|n| account.add_zone(&format!("shop{n}.example"))).collect();
    let many = PolicySpec { permission_groups: groups, resource_groups: zones, ..holds(account, &known[0]) };
    let none = PolicySpec { permission_groups: Vec::new(), ..holds(account, &known[1]) };
    for (policies, refusal) in [
        (vec![many], Some((Refusal::UnreadableMember, "more than 7,000 pairs"))),
        (vec![none.clone()], Some((Refusal::LastRole, "holds nothing of their own"))),
        (vec![], Some((Refusal::LastRole, "holds nothing of their own"))),
        (vec![none, holds(account, &known[0])], None),
    ] {
        let old = account.invite(NEW, policies);
        let held = bench.atoms(&old);
        account.reset_log();
        let outcome = bench.operate(Action::Grant, Target::Renewal, member(&old)).await;
        if let Some((code, why)) = refusal {
            assert_refused(&outcome, code, why);
            assert_eq!(account.requests(Route::DeleteMember), 0, "{why}");
            account.remove_member(&old);
        } else {
            assert_done(&outcome, Effect::Renewed);
            let new = account.membership_of(NEW).unwrap().id;
            assert_eq!((new == old, bench.atoms(&new)), (false, held));
        }
    }
}

#[tokio::test]
async fn a_worker_that_vanishes_at_any_moment_leaves_nobody_uninvited() {
    let mut moments = 0;
    for moment in 0.. {
        let (bench, old, group) = invited().await;
        let held = bench.atoms(&old);
        let id = bench.arrive(Action::Grant, Target::Renewal, member(&old));
        bench.world.cuts_answers.set(true);
        let ended = bench.world.cut_off(moment, Box::pin(bench.attempt(id))).await;
        bench.world.cuts_answers.set(false);
        bench.vanish();
        if ended.is_none() {
            assert_done(&bench.settle(id).await, Effect::Renewed);
        }
        let new = bench.account().membership_of(NEW).unwrap_or_else(|| panic!("lost at moment {moment}"));
        assert_ne!(new.id, old, "moment {moment}");
        assert_eq!(bench.atoms(&new.id), held, "moment {moment}");
        assert!(new.groups.contains(&group), "moment {moment}");
        moments += 1;
        if ended.is_some() {
            break;
        }
    }
    assert!(moments > 12, "{moments}");
}

#[tokio::test]
async fn whatever_fails_on_the_way_the_invitation_comes_back() {
    for route in [Route::DeleteMember, Route::CreateMember, Route::GetMember, Route::AddUserGroupMembers] {
        for fault in
            [Fault::Reset, Fault::Reset.after(), Fault::status(500, 10_000), Fault::Html { status: 524 }.after()]
        {
            let (bench, old, group) = invited().await;
            let held = bench.atoms(&old);
            bench.account().fail_next(route, 2, fault.clone());
            assert_done(&bench.operate(Action::Grant, Target::Renewal, member(&old)).await, Effect::Renewed);
            let new = bench.account().membership_of(NEW).unwrap();
            assert_eq!((bench.atoms(&new.id), new.groups.contains(&group)), (held, true), "{route:?} {fault:?}");
            let sent = bench.account().exchanges();
            let struck = sent.iter().any(|it| it.route == Some(route) && it.fault.is_some());
            assert!(struck, "nothing failed: {route:?} {fault:?}");
        }
    }
}

/// An invitation that was removed and is not there again, with what made it; nothing is open any more of a new one.
async fn between_the_two(fault: Fault) -> (Bench, String, super::EntryId) {
    let (bench, old, group) = invited().await;
    bench.account().fail_next(Route::CreateMember, 1, fault);
    let renewal = bench.arrive(Action::Grant, Target::Renewal, member(&old));
    assert!(matches!(bench.attempt(renewal).await, Outcome::NotNow { .. }));
    assert!(bench.account().membership_of(NEW).is_none());
    assert!(super::provision::must_go_on(&bench.world, renewal).unwrap(), "nobody may give it up now");
    // By then a request that nobody answered is not carried out any more.
    bench.world.advance(2_500);
    (bench, group, renewal)
}

#[tokio::test]
async fn the_new_invitation_is_found_wherever_it_stands_in_the_list() {
    let (bench, _, renewal) = between_the_two(Fault::Held).await;
    let account = bench.account();
    // In this order a dot comes after all letters, and nothing on the pages that are looked at tells so.
    account.configure(|behaviour| behaviour.collation = Collation::CaseInsensitive);
    for letters in 0..200_u8 {
        let [a, b] = [letters / 26, letters % 26].map(|place| char::from(b'a' + place));
        account.add_member(&format!("new{a}{b}@example.com"), Vec::new());
    }
    assert_eq!(account.release_held(), 1);
    assert_done(&bench.settle(renewal).await, Effect::Renewed);
    assert_eq!(bench.atoms(&account.membership_of(NEW).unwrap().id).len(), 3);
}

/// Whether nobody knows what became of the new invitation, or it is certain that there is none yet.
fn faults() -> [Fault; 2] {
    [Fault::status(500, 10_000), Fault::TooManyRequests { retry_after: Some(1), headers: false }]
}

#[tokio::test]
async fn who_grants_something_meanwhile_is_told_to_come_again() {
    for fault in faults() {
        let (bench, _, renewal) = between_the_two(fault).await;
        let role = roles(bench.account())[5].clone();
        let grant = bench.arrive(Action::Grant, target(&role), person(NEW));
        assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }), "one invitation is enough");
        assert_done(&bench.settle(renewal).await, Effect::Renewed);
        assert!(!super::provision::must_go_on(&bench.world, renewal).unwrap());
        assert_done(&bench.settle(grant).await, Effect::Granted);
        assert_eq!(bench.account().requests(Route::CreateMember), 2);
    }
}

#[tokio::test]
async fn what_is_revoked_meanwhile_is_taken_from_the_new_invitation() {
    for fault in faults() {
        let (bench, group, renewal) = between_the_two(fault).await;
        let known = roles(bench.account());
        let revokes =
            [target(&known[0]), group_target(&group)].map(|what| bench.arrive(Action::Revoke, what, person(NEW)));
        for revoke in revokes {
            assert!(
                matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }),
                "or it would come back after the revoke"
            );
        }
        assert_done(&bench.settle(renewal).await, Effect::Renewed);
        for revoke in revokes {
            assert_done(&bench.settle(revoke).await, Effect::Revoked);
        }
        let new = bench.account().membership_of(NEW).unwrap();
        assert!(new.groups.is_empty() && !bench.atoms(&new.id).contains(&atom(bench.account(), &known[0])));
        assert!(bench.atoms(&new.id).contains(&atom(bench.account(), &known[1])), "the rest comes back");
    }
}

#[tokio::test]
async fn whose_account_is_revoked_meanwhile_is_not_invited_again_and_the_revoke_ends() {
    for fault in faults() {
        let (mut bench, _, renewal) = between_the_two(fault).await;
        // Nothing can be brought back for long.
        bench.world.config.provision.provisioning = c1_cloudflare::provision::Provisioning::Off;
        assert!(matches!(bench.attempt(renewal).await, Outcome::NotNow { .. }));
        let revoke = bench.arrive(Action::Revoke, Target::Account, person(NEW));
        assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
        assert_refused(&bench.attempt(renewal).await, Refusal::Superseded, "");
        assert_done(&bench.attempt(revoke).await, Effect::AlreadyRevoked);
        bench.world.config.provision.provisioning = c1_cloudflare::provision::Provisioning::On;
        assert!(bench.account().membership_of(NEW).is_none());
    }
}

#[tokio::test]
async fn an_invitation_whose_last_role_was_taken_away_meanwhile_comes_back_with_what_was_left() {
    use c1_cloudflare::provision::LastRole;
    // Whether the revoke left Minimal Account Access, or something that somebody had given by hand and nobody told of.
    for by_hand in [false, true] {
        let bench = Bench::with(|_| {}, |config| config.provision.guards.last_role = LastRole::MinimalAccess).await;
        let account = bench.account();
        let known = roles(account);
        let old = account.invite(NEW, vec![holds(account, &known[0])]);
        let group = account.add_group("Operators", vec![holds(account, &known[2])]);
        account.join_group(&group, &old);
        account.fail_next(Route::DeleteMember, 1, Fault::Held);
        let renewal = bench.arrive(Action::Grant, Target::Renewal, member(&old));
        assert!(matches!(bench.attempt(renewal).await, Outcome::NotNow { .. }));
        if by_hand {
            account.add_policy(&old, holds(account, &known[3]));
        }
        let revoke = bench.arrive(Action::Revoke, target(&known[0]), member(&old));
        assert_done(&bench.settle(revoke).await, Effect::Revoked);
        account.release_held();
        let outcome = bench.settle(renewal).await;
        if by_hand {
            assert_refused(&outcome, Refusal::LastRole, "was revoked meanwhile");
            assert!(account.membership_of(NEW).is_none());
            continue;
        }
        assert_done(&outcome, Effect::Renewed);
        let new = account.membership_of(NEW).unwrap();
        let minimal = account.permission_group("minimal_account_access").unwrap();
        assert_eq!((bench.atoms(&new.id), new.groups), ([atom(account, &minimal)].into(), [group].into()));
    }
}

#[tokio::test]
async fn a_renewal_does_not_do_the_work_of_a_revoke_that_waits() {
    let (bench, old, _, renewal) = put_off_before_the_removal(Fault::status(500, 10_000)).await;
    let account = bench.account();
    account.fail_next(Route::DeleteMember, 1, Fault::status(429, 10_013));
    let revoke = bench.arrive(Action::Revoke, Target::Account, member(&old));
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    bench.world.advance(70);
    let Outcome::NotNow { message, .. } = bench.attempt(renewal).await else { panic!("the revoke comes first") };
    assert!(message.contains("a revoke of the account") && account.membership(&old).is_some(), "{message}");
    assert_done(&bench.settle(revoke).await, Effect::Removed);
    assert_refused(&bench.settle(renewal).await, Refusal::UnknownMember, "no invitation");
    assert_eq!(account.requests(Route::CreateMember), 0);
}

#[tokio::test]
async fn an_invitation_that_gives_nothing_comes_back_as_it_was() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let denied = PolicySpec { access: Access::Deny, ..holds(account, &known[0]) };
    let old = account.invite(NEW, vec![denied]);
    let held = bench.atoms(&old);
    assert_done(&bench.operate(Action::Grant, Target::Renewal, member(&old)).await, Effect::Renewed);
    assert_eq!(bench.atoms(&account.membership_of(NEW).unwrap().id), held);
}

/// A renewal that sent the new invitation and could not put it into its group.
#[tokio::test]
async fn a_renewal_of_the_new_invitation_takes_nothing_from_one_that_is_not_over() {
    let (bench, old, group) = invited().await;
    let account = bench.account();
    account.fail_randomly(Route::AddUserGroupMembers, 1.0, Fault::status(500, 10_000));
    let first = bench.arrive(Action::Grant, Target::Renewal, member(&old));
    assert!(matches!(bench.attempt(first).await, Outcome::NotNow { .. }));
    let new = account.membership_of(NEW).unwrap().id;
    let second = bench.arrive(Action::Grant, Target::Renewal, member(&new));
    bench.attempt(second).await;
    account.clear_faults();
    for renewal in [first, second] {
        let _ = bench.settle(renewal).await;
    }
    assert!(account.membership_of(NEW).unwrap().groups.contains(&group), "what the first had to bring back");
}

#[tokio::test]
async fn a_removal_that_cannot_be_read_back_loses_nothing_of_the_invitation() {
    let (bench, old, group) = invited().await;
    let held = bench.atoms(&old);
    bench.account().after_next(Route::DeleteMember, |cloudflare, _| {
        cloudflare.fail_next(Route::GetMember, 2, Fault::status(403, 10_000));
    });
    assert_done(&bench.operate(Action::Grant, Target::Renewal, member(&old)).await, Effect::Renewed);
    let new = bench.account().membership_of(NEW).unwrap();
    assert_eq!((bench.atoms(&new.id), new.groups.contains(&group)), (held, true));
}

#[tokio::test]
async fn a_renewal_that_cloudflare_refuses_says_what_was_held() {
    let (bench, old, _) = invited().await;
    bench.account().fail_next(
        Route::CreateMember,
        1,
        Fault::Status { status: 400, code: 429, message: "add limit reached".into() },
    );
    let outcome = bench.operate(Action::Grant, Target::Renewal, member(&old)).await;
    assert_refused(&outcome, Refusal::Cloudflare, &roles(bench.account())[0].id);
    bench.account().fail_next(Route::DeleteMember, 1, Fault::status(403, 9109));
    let other = bench.account().invite("other@example.com", vec![holds(bench.account(), &roles(bench.account())[0])]);
    let refused = bench.operate(Action::Grant, Target::Renewal, member(&other)).await;
    assert_refused(&refused, Refusal::Cloudflare, "9109");
    assert!(bench.account().membership(&other).is_some(), "nothing was removed");
}

#[tokio::test]
async fn a_grant_of_the_account_renews_our_own_invitation_when_it_is_old_enough() {
    for (days, renews) in [(None, false), (Some(7), true), (Some(30), false)] {
        let bench = Bench::with(|_| {}, |config| config.provision.renew_invitations_after_days = days).await;
        assert_done(&bench.operate(Action::Grant, Target::Account, person(NEW)).await, Effect::Invited);
        let old = bench.account().membership_of(NEW).unwrap().id;
        bench.world.advance(8 * 24 * 60 * 60);
        let outcome = bench.operate(Action::Grant, Target::Account, person(NEW)).await;
        assert_done(&outcome, if renews { Effect::Renewed } else { Effect::AlreadyGranted });
        assert_eq!(bench.account().membership_of(NEW).unwrap().id != old, renews, "{days:?}");
    }
    // Whom somebody else invited may have been invited yesterday.
    let bench = Bench::with(|_| {}, |config| config.provision.renew_invitations_after_days = Some(1)).await;
    bench.account().invite(NEW, vec![holds(bench.account(), &roles(bench.account())[0])]);
    bench.world.advance(8 * 24 * 60 * 60);
    assert_done(&bench.operate(Action::Grant, Target::Account, person(NEW)).await, Effect::AlreadyGranted);
}

#[tokio::test]
async fn a_renewal_that_is_refused_says_what_was_held_also_where_an_invitation_got_no_answer() {
    let bench = Bench::with(|_| {}, |config| config.provision.renew_invitations_after_days = Some(7)).await;
    assert_done(&bench.operate(Action::Grant, Target::Account, person(NEW)).await, Effect::Invited);
    bench.world.advance(8 * 24 * 60 * 60);
    bench.account().fail_next(Route::CreateMember, 1, Fault::Held);
    let grant = bench.arrive(Action::Grant, Target::Account, person(NEW));
    let with_key = "UPDATE operation SET request = json_set(request, '$.key', 'task') WHERE id = ?";
    bench.world.query(with_key, &[grant.0.into()]).unwrap();
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    let refused = Fault::Status { status: 400, code: 429, message: "add limit reached".into() };
    bench.account().fail_next(Route::CreateMember, 1, refused);
    assert_refused(&bench.attempt(grant).await, Refusal::Cloudflare, "give back what it held");
}

#[tokio::test]
async fn what_was_removed_waits_while_a_guard_forbids_to_bring_it_back() {
    let (mut bench, old, _) = invited().await;
    let held = bench.atoms(&old);
    let id = bench.arrive(Action::Grant, Target::Renewal, member(&old));
    bench.account().fail_next(Route::CreateMember, 1, Fault::status(503, 1));
    assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
    assert!(bench.account().membership_of(NEW).is_none());
    bench.world.config.provision.provisioning = c1_cloudflare::provision::Provisioning::Off;
    bench.account().reset_log();
    let Outcome::NotNow { message, .. } = bench.attempt(id).await else { panic!("it must wait") };
    assert!(message.contains("Provisioning is off"), "{message}");
    assert_eq!(bench.account().requests(Route::CreateMember), 0);
    bench.world.config.provision.provisioning = c1_cloudflare::provision::Provisioning::On;
    assert_done(&bench.settle(id).await, Effect::Renewed);
    assert_eq!(bench.atoms(&bench.account().membership_of(NEW).unwrap().id), held);
}

#[tokio::test]
async fn a_removal_that_comes_late_is_made_good_though_a_guard_forbids_the_renewal_by_then() {
    use c1_cloudflare::provision::Provisioning;
    for is_carried_out in [true, false] {
        let (mut bench, old, group, id) = put_off_before_the_removal(Fault::Held).await;
        let held = bench.atoms(&old);
        bench.world.advance(300);
        bench.world.config.provision.provisioning = Provisioning::Off;
        let Outcome::NotNow { message, .. } = bench.attempt(id).await else { panic!("the removal may come yet") };
        assert!(message.contains("Provisioning is off") && message.contains("may still be carried out"), "{message}");
        if !is_carried_out {
            bench.world.advance(2_500);
            assert_refused(&bench.attempt(id).await, Refusal::ProvisioningOff, "off");
            assert!(bench.account().membership(&old).is_some());
            continue;
        }
        bench.account().release_held();
        assert!(bench.account().membership(&old).is_none());
        bench.world.advance(70);
        assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }), "what was removed waits for the guard");
        bench.world.config.provision.provisioning = Provisioning::On;
        assert_done(&bench.settle(id).await, Effect::Renewed);
        let new = bench.account().membership_of(NEW).unwrap();
        assert_eq!((bench.atoms(&new.id), new.groups), (held, [group].into()));
    }
}

#[tokio::test]
async fn who_accepts_before_a_removal_that_comes_late_is_invited_again() {
    let (bench, old, _, id) = put_off_before_the_removal(Fault::Held).await;
    let account = bench.account();
    let held = bench.atoms(&old);
    account.accept_invitation(&old);
    bench.world.advance(300);
    let outcome = bench.attempt(id).await;
    assert!(matches!(outcome, Outcome::NotNow { .. }), "{outcome:?}");
    account.release_held();
    assert!(account.membership_of(NEW).is_none());
    assert_done(&bench.settle(id).await, Effect::Renewed);
    assert_eq!(bench.atoms(&account.membership_of(NEW).unwrap().id), held);
    // Where the removal never comes, there is nothing to renew.
    let (bench, old, _, id) = put_off_before_the_removal(Fault::Held).await;
    bench.account().accept_invitation(&old);
    bench.world.advance(2_500);
    assert_refused(&bench.settle(id).await, Refusal::NotPending, "has accepted");
}

#[tokio::test]
async fn a_group_that_refuses_a_new_invitation_for_a_moment_is_joined_all_the_same() {
    let (bench, old, group) = invited().await;
    let account = bench.account();
    account.fail_next(Route::AddUserGroupMembers, 1, Fault::status(403, 10_000));
    let id = bench.arrive(Action::Grant, Target::Renewal, member(&old));
    assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
    assert_done(&bench.settle(id).await, Effect::Renewed);
    assert_eq!(account.membership_of(NEW).unwrap().groups, [group].into());
}

#[tokio::test]
async fn what_a_group_gives_does_not_come_back_as_the_invitations_own() {
    let bench =
        Bench::with(|account| account.configure(|behaviour| behaviour.lists_inherited_policies = true), |_| {}).await;
    let account = bench.account();
    let known = roles(account);
    let invitation = account.invite(NEW, vec![holds(account, &known[0])]);
    let group = account.add_group("Operators", vec![holds(account, &known[2])]);
    account.join_group(&group, &invitation);
    let outcome = bench.operate(Action::Grant, Target::Renewal, member(&invitation)).await;
    assert_done(&outcome, Effect::Renewed);
    let new = account.membership_of(NEW).unwrap();
    assert_eq!(bench.atoms(&new.id), [atom(account, &known[0])].into());
    assert!(new.groups.contains(&group));
}

#[tokio::test]
async fn not_pending_is_an_invitation_that_is_accepted_before_it_is_removed() {
    let (bench, old, _) = invited().await;
    let whom = old.clone();
    bench.account().before_next(Route::GetMember, move |account, _| {
        account.before_next(Route::GetMember, move |account, _| drop(account.accept_invitation(&whom)));
    });
    let refused = bench.operate(Action::Grant, Target::Renewal, member(&old)).await;
    super::assert_refused(&refused, super::Refusal::NotPending, "accepted the invitation");
    assert_eq!(bench.account().requests(Route::DeleteMember), 0);
    assert!(bench.account().membership(&old).is_some());
}

#[tokio::test]
async fn who_has_accepted_is_told_so_whatever_the_guards_say_and_takes_up_no_place() {
    let bench = Bench::with(|_| {}, |config| config.provision.guards.max_removals_per_hour = 0).await;
    let account = bench.account();
    let jane = account.add_member("jane@example.com", vec![holds(account, &roles(account)[0])]);
    let refused = bench.operate(Action::Grant, Target::Renewal, member(&jane)).await;
    assert_refused(&refused, Refusal::NotPending, "accepted the invitation");
    let invitation = account.invite(NEW, vec![holds(account, &roles(account)[0])]);
    let refused = bench.operate(Action::Grant, Target::Renewal, member(&invitation)).await;
    assert_refused(&refused, Refusal::RemovalCap, "MAX_REMOVALS_PER_HOUR");
}

#[tokio::test]
async fn what_an_invitation_held_by_another_version_is_not_guessed_and_the_operation_is_given_up() {
    for change in ["version = 2", "held = '{\"policies\":2}'"] {
        let (bench, old, _) = invited().await;
        bench.account().fail_next(Route::CreateMember, 1, Fault::status(503, 1));
        let id = bench.arrive(Action::Grant, Target::Renewal, member(&old));
        assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
        bench.world.query(&format!("UPDATE renewal SET {change}"), &[]).unwrap();
        assert!(!super::provision::must_go_on(&bench.world, id).unwrap(), "nobody knows what to bring back");
        assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
        assert!(bench.account().membership_of(NEW).is_none(), "nobody is invited with less or more than was held");
        // Others are not kept waiting for it.
        let other = bench.operate(Action::Grant, Target::Account, person("other@example.com")).await;
        assert_done(&other, Effect::Invited);
        super::journal::settle_unreadable(&bench.world, bench.world.now()).unwrap();
        assert!(super::journal::outcome(&bench.world, id).unwrap().is_some());
        let entry = bench.entry(id);
        assert_refused(&entry.outcome.unwrap(), Refusal::GaveUp, "cannot read");
    }
}

#[tokio::test]
async fn an_invitation_that_is_accepted_right_before_it_is_removed_is_told() {
    for is_accepted in [true, false] {
        let (bench, old, _) = invited().await;
        let account = bench.account();
        bench.world.advance(60);
        if is_accepted {
            let whom = old.clone();
            account.before_next(Route::DeleteMember, move |account, _| drop(account.accept_invitation(&whom)));
        }
        assert_done(&bench.operate(Action::Grant, Target::Renewal, member(&old)).await, Effect::Renewed);
        assert!(account.membership(&old).is_none());
        bench.later_times(4, 60).await;
        if is_accepted {
            bench.assert_told("has to accept the new invitation");
        } else {
            assert!(c1_cloudflare::provision::incident::latest(&bench.world).unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn who_is_named_by_a_user_id_alone_may_be_who_is_invited_again() {
    let (bench, old, _) = invited().await;
    let account = bench.account();
    account.fail_next(Route::CreateMember, 1, Fault::status(429, 10_013));
    let renewal = bench.arrive(Action::Grant, Target::Renewal, member(&old));
    assert!(matches!(bench.attempt(renewal).await, Outcome::NotNow { .. }));
    assert!(account.membership_of(NEW).is_none(), "between the two");
    bench.world.advance(400);
    let user = super::Subject { user_id: Some(format!("{:032x}", 78).parse().unwrap()), ..super::Subject::default() };
    let revoke = bench.arrive(Action::Revoke, Target::Account, user);
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    assert_done(&bench.settle(renewal).await, Effect::Renewed);
    assert_done(&bench.settle(revoke).await, Effect::AlreadyRevoked);
}

/// A renewal whose removal was not carried out, so that the old invitation is there still, in the group.
async fn put_off_before_the_removal(fault: Fault) -> (Bench, String, String, super::EntryId) {
    let (bench, old, group) = invited().await;
    bench.account().fail_next(Route::DeleteMember, 1, fault);
    let renewal = bench.arrive(Action::Grant, Target::Renewal, member(&old));
    assert!(matches!(bench.attempt(renewal).await, Outcome::NotNow { .. }));
    assert!(bench.account().membership(&old).is_some());
    (bench, old, group, renewal)
}

#[tokio::test]
async fn who_is_removed_while_a_renewal_is_put_off_is_not_invited_again_by_it() {
    let (bench, old, _, renewal) = put_off_before_the_removal(Fault::status(500, 10_000)).await;
    assert_done(&bench.operate(Action::Revoke, Target::Account, member(&old)).await, Effect::Removed);
    assert_refused(&bench.settle(renewal).await, Refusal::UnknownMember, "no invitation");
    assert!(bench.account().membership_of(NEW).is_none());
    assert_eq!(bench.account().requests(Route::CreateMember), 0);
}

#[tokio::test]
async fn who_is_removed_by_another_hand_after_the_removal_of_a_renewal_was_refused_is_not_invited_again_by_it() {
    for is_removed in [true, false] {
        let (bench, old, _, renewal) = put_off_before_the_removal(Fault::status(429, 10_013)).await;
        let account = bench.account();
        assert!(!super::provision::must_go_on(&bench.world, renewal).unwrap(), "nothing was taken away");
        bench.world.advance(400);
        if is_removed {
            account.remove_member(&old);
            assert_refused(&bench.settle(renewal).await, Refusal::UnknownMember, "no invitation");
            assert_eq!(account.requests(Route::CreateMember), 0);
        } else {
            assert_done(&bench.settle(renewal).await, Effect::Renewed);
        }
    }
}

#[tokio::test]
async fn what_is_taken_away_while_a_renewal_is_put_off_does_not_come_back_with_it_and_what_is_given_does() {
    // Whether the removal is never carried out, or late.
    for fault in [Fault::status(500, 10_000), Fault::Held] {
        let (bench, old, group, renewal) = put_off_before_the_removal(fault).await;
        let account = bench.account();
        let known = roles(account);
        let other = account.add_group("Others", vec![holds(account, &known[3])]);
        for what in [group_target(&group), target(&known[0])] {
            assert_done(&bench.operate(Action::Revoke, what, member(&old)).await, Effect::Revoked);
        }
        // A removal that may still be carried out would take along what is granted.
        bench.world.advance(200);
        for what in [group_target(&other), target(&known[5])] {
            assert_done(&bench.operate(Action::Grant, what, member(&old)).await, Effect::Granted);
        }
        let held = bench.atoms(&old);
        account.release_held();
        assert_done(&bench.settle(renewal).await, Effect::Renewed);
        let new = account.membership_of(NEW).unwrap();
        assert_ne!(new.id, old);
        assert_eq!((bench.atoms(&new.id), new.groups), (held, [other].into()));
    }
}

/// The id of the invitation that is made in the place of this one, as soon as it is there.
async fn made_anew(bench: &Bench, old: &str) -> String {
    loop {
        if let Some(new) = bench.account().membership_of(NEW).filter(|found| found.id != old) {
            return new.id;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_group_that_the_new_invitation_is_told_not_to_be_in_is_not_joined_again() {
    let (bench, old, group) = invited().await;
    let account = bench.account();
    // It is there for a while before the renewal hears of it.
    account.set_route_latency(Route::CreateMember, Latency::of(Duration::from_secs(2)));
    let renewal = bench.arrive(Action::Grant, Target::Renewal, member(&old));
    let (renewed, revoked) = tokio::join!(bench.attempt(renewal), async {
        let new = made_anew(&bench, &old).await;
        bench.attempt(bench.arrive(Action::Revoke, group_target(&group), member(&new))).await
    });
    assert_done(&revoked, Effect::AlreadyRevoked);
    assert_done(&renewed, Effect::Renewed);
    assert!(account.membership_of(NEW).unwrap().groups.is_empty());
}

#[tokio::test]
async fn what_is_revoked_from_the_new_invitation_before_the_renewal_hears_of_it_is_not_shown_by_it() {
    let (bench, old, _) = invited().await;
    let account = bench.account();
    let known = roles(account);
    account.set_route_latency(Route::CreateMember, Latency::of(Duration::from_secs(2)));
    let renewal = bench.arrive(Action::Grant, Target::Renewal, member(&old));
    let (renewed, revoked) = tokio::join!(bench.attempt(renewal), async {
        let new = made_anew(&bench, &old).await;
        let revoked = bench.attempt(bench.arrive(Action::Revoke, target(&known[1]), member(&new))).await;
        // And the next read is behind.
        let (role, was_asked) = (known[1].id.clone(), Cell::new(false));
        *bench.world.bends.borrow_mut() = Some(Box::new(move |asked, body| {
            let is_hers = asked.starts_with("GET") && asked.contains(&new) && !asked.contains("user_groups");
            if is_hers && !was_asked.replace(true) {
                let policies = body["result"]["policies"].as_array_mut().unwrap();
                let mut former = policies[0].clone();
                former["id"] = json!("f".repeat(32));
                former["access"] = json!("allow");
                former["permission_groups"] = json!([{ "id": role, "name": "Former" }]);
                policies.push(former);
            }
        }));
        revoked
    });
    assert_done(&revoked, Effect::Revoked);
    assert_done(&renewed, Effect::Renewed);
    let new = account.membership_of(NEW).unwrap().id;
    assert!(!bench.atoms(&new).contains(&atom(account, &known[1])));
    let shown = bench.laid_over(&new).await.unwrap().unwrap();
    let has = |place: usize| shown.atoms.iter().any(|atom| atom.permission_group.to_string() == known[place].id);
    assert!(has(0) && !has(1), "{shown:?}");
    // Nor is what it holds taken for what it held before.
    let grant = bench.arrive(Action::Grant, target(&known[5]), member(&new));
    assert_done(&bench.attempt(grant).await, Effect::Granted);
}

#[tokio::test]
async fn a_revoke_under_the_id_that_an_invitation_had_before_it_was_renewed_is_of_the_one_that_is_there_now() {
    let (bench, old, group) = invited().await;
    let account = bench.account();
    let known = roles(account);
    let now = || account.membership_of(NEW).unwrap().id;
    // Twice before ConductorOne reads of it; the second time the answer is lost, and the new invitation is found.
    for fault in [None, Some(Fault::Reset.after())] {
        if let Some(fault) = fault {
            account.fail_next(Route::CreateMember, 1, fault);
        }
        assert_done(&bench.operate(Action::Grant, Target::Renewal, member(&now())).await, Effect::Renewed);
        bench.world.advance(2_500);
    }
    for what in [target(&known[0]), group_target(&group)] {
        assert_done(&bench.operate(Action::Revoke, what, member(&old)).await, Effect::Revoked);
    }
    let new = account.membership_of(NEW).unwrap();
    assert!(new.groups.is_empty() && !bench.atoms(&new.id).contains(&atom(account, &known[0])));
    assert_done(&bench.operate(Action::Revoke, Target::Account, member(&old)).await, Effect::Removed);
    assert!(account.membership_of(NEW).is_none());
    // Whom somebody else invites afterwards has another invitation.
    account.invite(NEW, vec![holds(account, &known[0])]);
    assert_done(&bench.operate(Action::Revoke, Target::Account, member(&old)).await, Effect::AlreadyRevoked);
    assert!(account.membership_of(NEW).is_some());
}

#[tokio::test]
async fn the_groups_of_an_invitation_are_looked_up_again_where_its_renewal_was_put_off() {
    let (bench, old, group, renewal) = put_off_before_the_removal(Fault::status(500, 10_000)).await;
    let account = bench.account();
    let other = account.add_group("Others", vec![holds(account, &roles(account)[3])]);
    account.leave_group(&group, &old);
    account.join_group(&other, &old);
    assert_done(&bench.settle(renewal).await, Effect::Renewed);
    assert_eq!(account.membership_of(NEW).unwrap().groups, [other].into());
}

#[tokio::test]
async fn a_removal_that_may_be_what_shows_takes_no_group_from_a_renewal_that_was_put_off() {
    let (bench, old, group, renewal) = put_off_before_the_removal(Fault::status(500, 10_000)).await;
    let account = bench.account();
    // As a read would be that is not behind any more, beside one that is, had the removal been carried out.
    account.leave_group(&group, &old);
    bench.world.advance(5);
    let outcome = bench.attempt(renewal).await;
    assert!(
        matches!(&outcome, Outcome::NotNow { message, .. } if message.contains("may be removed already")),
        "{outcome:?}"
    );
    account.join_group(&group, &old);
    assert_done(&bench.settle(renewal).await, Effect::Renewed);
    assert_eq!(account.membership_of(NEW).unwrap().groups, [group].into());
}

#[tokio::test]
async fn a_renewal_that_was_put_off_goes_on_with_the_groups_it_knows_where_they_cannot_be_read_any_more() {
    let (bench, _, group, renewal) = put_off_before_the_removal(Fault::status(500, 10_000)).await;
    let account = bench.account();
    account.make_odd(Route::ListUserGroups, &group, Oddity::Without("id"));
    let outcome = bench.settle(renewal).await;
    assert!(matches!(outcome, Outcome::Done { effect: Effect::Renewed, .. }), "{outcome:?}");
    assert_eq!(account.membership_of(NEW).unwrap().groups, [group].into());
}

#[tokio::test]
async fn not_eligible_is_whom_somebody_else_invited_meanwhile_without_what_was_denied() {
    for is_denied in [false, true] {
        let (bench, group, renewal) = between_the_two(Fault::status(500, 10_000)).await;
        let account = bench.account();
        let known = roles(account);
        let mut by_hand = vec![holds(account, &known[3])];
        if is_denied {
            by_hand.push(PolicySpec { access: Access::Deny, ..holds(account, &known[4]) });
        }
        let new = account.invite(NEW, by_hand);
        let before = bench.atoms(&new);
        let outcome = bench.settle(renewal).await;
        let has = (bench.atoms(&new), account.membership_of(NEW).unwrap().groups);
        if is_denied {
            assert_done(&outcome, Effect::Renewed);
            let held = [0, 1].map(|place| atom(account, &known[place]));
            assert_eq!(has, (before.into_iter().chain(held).collect(), [group].into()));
        } else {
            assert_refused(
                &outcome,
                Refusal::NotEligible,
                &format!("denied {}, the user group Operators", known[4].id),
            );
            assert_eq!(has, (before, [].into()), "more than the old one gave");
            assert!(!super::provision::must_go_on(&bench.world, renewal).unwrap());
        }
    }
}

#[tokio::test]
async fn what_somebody_takes_away_from_the_new_invitation_stays_away() {
    for whole in [false, true] {
        let (bench, old, _) = invited().await;
        let account = bench.account();
        account.fail_next(Route::AddUserGroupMembers, 4, Fault::status(503, 1));
        let id = bench.arrive(Action::Grant, Target::Renewal, member(&old));
        assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
        let new = account.membership_of(NEW).unwrap().id;
        let held = bench.atoms(&new);
        bench.world.advance(90);
        if whole {
            account.remove_member(&new);
            assert_refused(&bench.settle(id).await, Refusal::UnknownMember, "somebody removed that one");
            assert!(account.membership_of(NEW).is_none());
            continue;
        }
        let other = holds(account, &roles(account)[5]);
        account.set_policies(&new, vec![other]);
        let by_hand = bench.atoms(&new);
        assert_ne!(by_hand, held);
        assert_done(&bench.settle(id).await, Effect::Renewed);
        assert_eq!(bench.atoms(&new), by_hand);
    }
}

#[tokio::test]
async fn a_renewal_that_finds_another_invitation_which_it_cannot_complete_says_what_was_held() {
    for (fault, says) in [("refused", "1006"), ("unknown", "a kind"), ("odd", "cannot be read")] {
        let bench = Bench::start().await;
        let account = bench.account();
        let known = roles(account);
        let role = known[0].id.clone();
        let old = account.invite(NEW, known[..2].iter().map(|role| holds(account, role)).collect());
        let id = bench.arrive(Action::Grant, Target::Renewal, member(&old));
        account.fail_next(Route::CreateMember, 1, Fault::status(503, 1));
        assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
        let theirs = account.invite(NEW, vec![holds(account, &known[4])]);
        match fault {
            "refused" => account.fail_next(
                Route::UpdateMember,
                1,
                Fault::Status { status: 400, code: 1006, message: "invalid combination".into() },
            ),
            "unknown" => account.make_odd(Route::GetMember, &theirs, Oddity::TextInPolicies("access", "sometimes")),
            _ => account.make_odd(Route::GetMember, &theirs, Oddity::NullInPolicies("permission_groups")),
        }
        let outcome = bench.settle(id).await;
        let Outcome::Refused { message, .. } = &outcome else { panic!("{fault}: {outcome:?}") };
        assert!(message.contains(says) && message.contains(&role), "{fault}: {message}");
        let left = bench.world.query("SELECT 1 FROM renewal", &[]).unwrap();
        assert!(left.is_empty(), "{fault}: nothing is to be brought back any more");
    }
}

#[tokio::test]
async fn a_revoke_that_waits_for_a_renewal_of_the_same_invitation_is_not_done_with_the_old_one() {
    for what in [Target::Account, target(&roles(Bench::start().await.account())[0])] {
        let (bench, old, _) = invited().await;
        let account = bench.account();
        let renewal = bench.arrive(Action::Grant, Target::Renewal, member(&old));
        let revoke = bench.arrive(Action::Revoke, what.clone(), member(&old));
        account.set_route_latency(Route::CreateMember, Latency::of(Duration::from_millis(50)));
        let (renewed, revoked) = futures::join!(Box::pin(bench.attempt(renewal)), Box::pin(bench.attempt(revoke)));
        assert_done(&renewed, Effect::Renewed);
        assert!(matches!(revoked, Outcome::NotNow { .. }), "{revoked:?}");
        let outcome = bench.settle(revoke).await;
        assert!(matches!(outcome, Outcome::Done { effect: Effect::Removed | Effect::Revoked, .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_revoke_of_the_account_that_waits_is_not_void_by_a_renewal_that_came_later() {
    let (bench, old, _) = invited().await;
    let revoke = bench.arrive(Action::Revoke, Target::Account, member(&old));
    assert_done(&bench.operate(Action::Grant, Target::Renewal, member(&old)).await, Effect::Renewed);
    assert_done(&bench.settle(revoke).await, Effect::Removed);
    assert!(bench.account().membership_of(NEW).is_none());
    // The control: what was granted later makes it void.
    let (bench, old, _) = invited().await;
    let revoke = bench.arrive(Action::Revoke, Target::Account, member(&old));
    let role = roles(bench.account())[7].clone();
    assert_done(&bench.operate(Action::Grant, target(&role), member(&old)).await, Effect::Granted);
    assert_refused(&bench.settle(revoke).await, Refusal::Superseded, "asked for the contrary later");
}
