//! Membership of user groups, and what Cloudflare has against it.

use std::time::Duration;

use super::{
    Action, Bench, Effect, JANE, Outcome, Refusal, Target, assert_done, assert_refused, group_target, holds, member,
    roles,
};
use c1_cloudflare::model::ask::EntitlementRef;
use c1_cloudflare::model::operation::EntryId;
use c1_cloudflare::provision::{heard, incident};
use c1_cloudflare::sync::Trigger;
use sim::cloudflare::{Fault, Route};

/// Jane, and a group that she is not in.
async fn jane() -> (Bench, String, String) {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let group = account.add_group("Operators", vec![holds(account, &known[1])]);
    let jane = account.add_member(JANE, vec![holds(account, &known[0])]);
    (bench, jane, group)
}

#[tokio::test]
async fn an_invitation_can_be_in_a_group() {
    let (bench, _, group) = jane().await;
    let invitation = bench.account().invite(super::NEW, vec![holds(bench.account(), &roles(bench.account())[0])]);
    assert_done(&bench.operate(Action::Grant, group_target(&group), member(&invitation)).await, Effect::Granted);
    assert!(bench.account().membership(&invitation).unwrap().groups.contains(&group));
    assert_done(&bench.operate(Action::Revoke, group_target(&group), member(&invitation)).await, Effect::Revoked);
    assert!(!bench.account().membership(&invitation).unwrap().groups.contains(&group));
}

#[tokio::test]
async fn a_grant_to_whom_is_invited_is_told_to_be_effective_once_that_is_accepted_and_nothing_else_is() {
    let (bench, jane, group) = jane().await;
    let account = bench.account();
    let known = roles(account);
    let invitation = account.invite(super::NEW, vec![holds(account, &known[0])]);
    for (whom, is_invited) in [(&invitation, true), (&jane, false)] {
        for what in [super::target(&known[2]), group_target(&group)] {
            for (action, effect) in [
                (Action::Grant, Effect::Granted),
                (Action::Grant, Effect::AlreadyGranted),
                (Action::Revoke, Effect::Revoked),
            ] {
                let outcome = bench.operate(action, what.clone(), member(whom)).await;
                assert_done(&outcome, effect);
                let is_told = outcome.message().ends_with("; it is effective once the invitation is accepted.");
                assert_eq!(is_told, is_invited && action == Action::Grant, "{outcome:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_was_begun_by_a_name_is_carried_to_its_end_though_something_else_has_the_name_by_then() {
    let (bench, jane, group) = jane().await;
    let account = bench.account();
    bench.world.sync().await;
    account.rename_group(&group, "Night watch");
    bench.world.sync().await;
    let named = EntitlementRef { display_name: Some("Night watch".to_owned()), ..EntitlementRef::default() };
    let grant = || bench.arrive(Action::Grant, Target::Named(named.clone()), member(&jane));
    account.fail_next(Route::AddUserGroupMembers, 9, Fault::status(500, 10_000));
    let begun = grant();
    let outcome = bench.attempt(begun).await;
    assert!(matches!(outcome, Outcome::NotNow { .. }), "{outcome:?}");
    // What is not begun means what has the name when it is.
    account.fail_next(Route::GetMember, 9, Fault::status(500, 10_000));
    let waiting = grant();
    assert!(matches!(bench.attempt(waiting).await, Outcome::NotNow { .. }));
    account.clear_faults();
    account.rename_group(&group, "Day watch");
    let other = account.add_group("Night watch", vec![holds(account, &roles(account)[2])]);
    bench.world.sync().await;
    assert_done(&bench.settle(begun).await, Effect::Granted);
    let is_in = |group: &String| account.membership(&jane).unwrap().groups.contains(group);
    assert!(is_in(&group) && !is_in(&other));
    assert_done(&bench.settle(waiting).await, Effect::Granted);
    assert!(is_in(&other), "the control");
}

#[tokio::test]
async fn not_eligible_is_who_cloudflare_takes_into_no_group() {
    let (bench, jane, group) = jane().await;
    bench.account().without_dsr(&jane);
    let outcome = bench.operate(Action::Grant, group_target(&group), member(&jane)).await;
    assert_refused(&outcome, Refusal::NotEligible, "one by one");
}

#[tokio::test]
async fn managed_elsewhere_is_a_group_whose_members_an_identity_provider_keeps() {
    let (bench, jane, group) = jane().await;
    bench.account().manage_by_scim(&group);
    let outcome = bench.operate(Action::Grant, group_target(&group), member(&jane)).await;
    assert_refused(&outcome, Refusal::ManagedElsewhere, "change the group there");
    bench.account().join_group(&group, &jane);
    let outcome = bench.operate(Action::Revoke, group_target(&group), member(&jane)).await;
    assert_refused(&outcome, Refusal::ManagedElsewhere, "Operators");
}

#[tokio::test]
async fn a_conflict_passes_unless_it_is_told_in_the_words_of_a_refusal() {
    let (bench, jane, group) = jane().await;
    let account = bench.account();
    account.fail_next(Route::AddUserGroupMembers, 1, Fault::status(409, 1_001));
    let join = bench.arrive(Action::Grant, group_target(&group), member(&jane));
    assert!(matches!(bench.attempt(join).await, Outcome::NotNow { .. }));
    assert_done(&bench.settle(join).await, Effect::Granted);
    let message = "This user group is managed via SCIM and cannot be modified".into();
    account.fail_next(Route::DeleteUserGroupMember, 1, Fault::Status { status: 409, code: 400, message });
    let outcome = bench.operate(Action::Revoke, group_target(&group), member(&jane)).await;
    assert_refused(&outcome, Refusal::ManagedElsewhere, "change the group there");
}

#[tokio::test]
async fn a_group_that_was_made_just_now_is_waited_for() {
    for action in [Action::Grant, Action::Revoke] {
        let (bench, jane, group) = jane().await;
        let account = bench.account();
        if action == Action::Revoke {
            account.join_group(&group, &jane);
        }
        account.make_new(&group);
        account.configure(|behaviour| behaviour.new_group_lag = Duration::from_hours(1));
        let id = bench.arrive(action, group_target(&group), member(&jane));
        assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }), "{action:?}");
        account.configure(|behaviour| behaviour.new_group_lag = Duration::ZERO);
        let effect = if action == Action::Grant { Effect::Granted } else { Effect::Revoked };
        assert_done(&bench.settle(id).await, effect);
    }
}

#[tokio::test]
async fn unknown_entitlement_is_a_group_that_is_gone() {
    let (bench, jane, group) = jane().await;
    bench.world.sync().await;
    bench.account().remove_group(&group);
    let outcome = bench.operate(Action::Grant, group_target(&group), member(&jane)).await;
    assert_refused(&outcome, Refusal::UnknownEntitlement, "Operators");
    let revoked = bench.operate(Action::Revoke, group_target(&group), member(&jane)).await;
    assert_done(&revoked, Effect::AlreadyRevoked);
}

#[tokio::test]
async fn that_a_group_is_gone_is_for_the_list_of_them_to_say() {
    for (route, code) in [(404, 404), (404, 7_003)] {
        let (bench, jane, group) = jane().await;
        bench.world.sync().await;
        for failing in [Route::AddUserGroupMembers, Route::GetUserGroup] {
            bench.account().fail_next(failing, 1, Fault::status(route, code));
        }
        let id = bench.arrive(Action::Grant, group_target(&group), member(&jane));
        assert_done(&bench.settle(id).await, Effect::Granted);
    }
}

#[tokio::test]
async fn a_group_of_an_account_that_has_none_any_more_is_gone() {
    let (bench, jane, group) = jane().await;
    bench.world.sync().await;
    for route in [Route::ListUserGroups, Route::GetUserGroup, Route::AddUserGroupMembers, Route::GetUserGroupMember] {
        bench.account().fail_randomly(route, 1.0, Fault::status(404, 7_003));
    }
    let id = bench.arrive(Action::Grant, group_target(&group), member(&jane));
    // The last sync read the list, or met the same fault and kept what it knew.
    for _ in 0..2 {
        super::assert_not_now(&bench.attempt(id).await, "start a sync with accept_removals");
        bench.world.sync().await;
    }
    bench.world.sync_as(accepting()).await;
    assert_refused(&bench.settle(id).await, Refusal::UnknownEntitlement, "knows no user group");
}

fn accepting() -> Trigger {
    Trigger { by: "test".to_owned(), accept_removals: true }
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_and_a_read_that_is_behind_are_settled_by_reading() {
    for fault in [Fault::Reset.after(), Fault::status(500, 10_000).after(), Fault::Html { status: 524 }.after()] {
        let (bench, jane, group) = jane().await;
        bench.account().fail_next(Route::AddUserGroupMembers, 1, fault.clone());
        assert_done(&bench.operate(Action::Grant, group_target(&group), member(&jane)).await, Effect::Granted);
        assert_eq!(bench.account().requests(Route::AddUserGroupMembers), 1);
        // The read-back does not find her at first.
        bench.account().leave_group(&group, &jane);
        bench.world.advance(120);
        bench.account().after_next(Route::AddUserGroupMembers, |cloudflare, _| {
            cloudflare.fail_next(Route::GetUserGroupMember, 2, Fault::status(404, 404));
        });
        assert_done(&bench.operate(Action::Grant, group_target(&group), member(&jane)).await, Effect::Granted);
    }
}

#[tokio::test]
async fn that_a_read_is_refused_is_no_answer_about_what_was_written() {
    let lost = |route| {
        move |cloudflare: &sim::cloudflare::Cloudflare, _: &sim::cloudflare::Call| {
            cloudflare.fail_next(route, 3, Fault::status(403, 10_000));
        }
    };
    for action in [Action::Grant, Action::Revoke] {
        let (bench, jane, group) = jane().await;
        let (account, done) = match action {
            Action::Grant => (bench.account(), Effect::Granted),
            Action::Revoke => (bench.account(), Effect::Revoked),
        };
        // The next read of her after the write is refused, and so are those of the next attempt.
        let written = if action == Action::Grant {
            Route::AddUserGroupMembers
        } else {
            account.join_group(&group, &jane);
            Route::DeleteUserGroupMember
        };
        account.after_next(written, lost(Route::GetUserGroupMember));
        let id = bench.arrive(action, group_target(&group), member(&jane));
        let outcome = bench.attempt(id).await;
        assert!(matches!(outcome, Outcome::NotNow { .. }), "{action:?}: {outcome:?}");
        bench.world.advance(10);
        let outcome = bench.attempt(id).await;
        assert!(matches!(outcome, Outcome::NotNow { .. }), "the second attempt to {action:?}: {outcome:?}");
        assert_done(&bench.settle(id).await, done);
        // Where nothing was written, the refusal is one.
        account.fail_next(Route::GetUserGroupMember, 1, Fault::status(403, 10_000));
        let outcome = bench.operate(action, group_target(&group), member(&jane)).await;
        assert_refused(&outcome, Refusal::Cloudflare, "may not do this");
    }
}

#[tokio::test]
async fn a_membership_that_shows_as_before_our_own_change_is_not_told_to_be_gone_until_no_read_is_as_far_behind() {
    let (bench, jane, group) = jane().await;
    assert_done(&bench.operate(Action::Grant, group_target(&group), member(&jane)).await, Effect::Granted);
    // By hand, which cannot be told from a read that is behind.
    bench.account().leave_group(&group, &jane);
    let revoke = bench.arrive(Action::Revoke, group_target(&group), member(&jane));
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    bench.world.advance(61);
    assert_done(&bench.attempt(revoke).await, Effect::AlreadyRevoked);
}

/// A read that is behind a change cannot be told from the contrary change by hand.
#[tokio::test]
async fn a_read_that_is_behind_our_own_leave_is_not_taken_for_a_membership_whenever_the_worker_vanishes() {
    let mut were_sent = 0;
    for moment in 0.. {
        let (bench, jane, group) = jane().await;
        let account = bench.account();
        account.join_group(&group, &jane);
        let (whom, what) = (jane.clone(), group.clone());
        account.after_next(Route::DeleteUserGroupMember, move |account, _| account.join_group(&what, &whom));
        let leave = bench.arrive(Action::Revoke, group_target(&group), member(&jane));
        bench.world.cuts_answers.set(true);
        let ended = bench.world.cut_off(moment, Box::pin(bench.attempt(leave))).await;
        bench.world.cuts_answers.set(false);
        bench.vanish();
        if account.requests(Route::DeleteUserGroupMember) > 0 {
            were_sent += 1;
            let join = bench.arrive(Action::Grant, group_target(&group), member(&jane));
            super::assert_not_now(&bench.attempt(join).await, "as before an earlier change");
            // Reads show it at last.
            account.leave_group(&group, &jane);
            assert_done(&bench.settle(join).await, Effect::Granted);
            assert!(account.membership(&jane).unwrap().groups.contains(&group), "{moment}");
            assert_refused(&bench.settle(leave).await, Refusal::Superseded, "later");
        }
        if ended.is_some() {
            break;
        }
    }
    assert!(were_sent > 3, "{were_sent}");
}

/// A revoke of Jane's membership of which the next reads show nothing yet.
async fn leave_behind_a_read(bench: &Bench, jane: &str, group: &str) -> EntryId {
    let (whom, what) = (jane.to_owned(), group.to_owned());
    bench.account().after_next(Route::DeleteUserGroupMember, move |account, _| account.join_group(&what, &whom));
    let leave = bench.arrive(Action::Revoke, group_target(group), member(jane));
    super::assert_not_now(&bench.attempt(leave).await, "does not show");
    leave
}

/// Out, in, and out again within a minute: what is asked for now was there before.
#[tokio::test]
async fn a_read_that_is_behind_the_second_leave_is_not_taken_for_a_membership_either() {
    let (bench, jane, group) = jane().await;
    let account = bench.account();
    assert_done(&bench.operate(Action::Grant, group_target(&group), member(&jane)).await, Effect::Granted);
    bench.world.advance(1);
    let leave = leave_behind_a_read(&bench, &jane, &group).await;
    let join = bench.arrive(Action::Grant, group_target(&group), member(&jane));
    super::assert_not_now(&bench.attempt(join).await, "as before an earlier change");
    account.leave_group(&group, &jane);
    assert_done(&bench.settle(leave).await, Effect::Revoked);
    assert_done(&bench.settle(join).await, Effect::Granted);
}

#[tokio::test]
async fn nobody_is_put_back_into_a_group_after_a_leave_that_was_answered() {
    let (bench, jane, group) = jane().await;
    let account = bench.account();
    account.join_group(&group, &jane);
    leave_behind_a_read(&bench, &jane, &group).await;
    bench.world.advance(61);
    assert_done(&bench.operate(Action::Grant, group_target(&group), member(&jane)).await, Effect::AlreadyGranted);
    bench.world.advance(61);
    // By hand.
    account.leave_group(&group, &jane);
    bench.later_times(8, 300).await;
    assert!(!account.membership(&jane).unwrap().groups.contains(&group));
    assert!(incident::latest(&bench.world).unwrap().is_empty());
}

#[tokio::test]
async fn a_change_of_a_group_that_was_refused_puts_no_read_in_doubt() {
    let (bench, jane, group) = jane().await;
    let account = bench.account();
    account.fail_next(Route::AddUserGroupMembers, 1, Fault::status(403, 10_000));
    let refused = bench.operate(Action::Grant, group_target(&group), member(&jane)).await;
    assert_refused(&refused, Refusal::Cloudflare, "Account Settings: Edit");
    let join = bench.arrive(Action::Grant, group_target(&group), member(&jane));
    assert_done(&bench.attempt(join).await, Effect::Granted);
}

/// For a moment Cloudflare knows neither the group nor who is in it, though the list has it.
fn hide(account: &sim::cloudflare::Cloudflare, code: u32) {
    for route in [Route::GetUserGroupMember, Route::ListUserGroupMembers, Route::GetUserGroup] {
        account.fail_randomly(route, 1.0, Fault::status(404, code));
    }
}

#[tokio::test]
async fn nobody_has_left_a_group_that_is_not_there_for_a_moment_while_the_list_has_it() {
    for code in [404, 7003] {
        let (bench, jane, group) = jane().await;
        let account = bench.account();
        account.join_group(&group, &jane);
        bench.world.sync().await;
        let revoke = bench.arrive(Action::Revoke, group_target(&group), member(&jane));
        hide(account, code);
        assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }), "{code}");
        account.clear_faults();
        // Nor where it is hidden in the middle of the revoke, whether the answer is that there is nobody, or none.
        for fault in [Fault::status(404, code), Fault::status(500, 10_000)] {
            account.fail_next(Route::DeleteUserGroupMember, 1, fault);
            // Right after the guards have looked at what the group gives.
            account.after_next(Route::GetUserGroup, move |account, _| hide(account, code));
            assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }), "{code}");
            account.clear_faults();
            assert!(account.membership(&jane).unwrap().groups.contains(&group));
            bench.world.advance(70);
        }
        assert_done(&bench.settle(revoke).await, Effect::Revoked);
        assert!(!account.membership(&jane).unwrap().groups.contains(&group));
    }
}

#[tokio::test]
async fn nobody_is_in_a_group_of_an_account_that_has_none_any_more() {
    let (bench, jane, group) = jane().await;
    let account = bench.account();
    account.join_group(&group, &jane);
    bench.world.sync().await;
    account.fail_randomly(Route::ListUserGroups, 1.0, Fault::status(404, 7003));
    hide(account, 7003);
    let of_group = bench.arrive(Action::Revoke, group_target(&group), member(&jane));
    let of_role = bench.arrive(Action::Revoke, super::target(&roles(account)[1]), member(&jane));
    // The last sync read the list, or met the same fault and kept what it knew.
    for _ in 0..2 {
        for revoke in [of_group, of_role] {
            super::assert_not_now(&bench.attempt(revoke).await, "start a sync with accept_removals");
        }
        bench.world.sync().await;
    }
    bench.world.sync_as(accepting()).await;
    bench.world.advance(70);
    assert_done(&bench.attempt(of_role).await, Effect::AlreadyRevoked);
    // As of any group that a sync has found gone.
    assert_refused(&bench.attempt(of_group).await, Refusal::UnknownEntitlement, "knows no user group");
}

#[tokio::test]
async fn a_role_is_not_told_to_be_gone_while_the_group_that_gives_it_is_not_there_for_a_moment() {
    let (bench, jane, group) = jane().await;
    let account = bench.account();
    account.join_group(&group, &jane);
    let revoke = bench.arrive(Action::Revoke, super::target(&roles(account)[1]), member(&jane));
    hide(account, 404);
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    account.clear_faults();
    assert_refused(&bench.attempt(revoke).await, Refusal::HeldThroughGroup, "Operators");
}

#[tokio::test]
async fn a_group_of_super_administrators_is_not_left_while_nobody_tells_what_it_gives() {
    let (bench, jane, _) = jane().await;
    let account = bench.account();
    let group = account.add_group("Admins", vec![holds(account, &account.permission_group("super_admin").unwrap())]);
    account.join_group(&group, &jane);
    bench.world.sync().await;
    account.fail_next(Route::GetUserGroup, 1, Fault::status(404, 404));
    let revoke = bench.arrive(Action::Revoke, group_target(&group), member(&jane));
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    assert!(account.membership(&jane).unwrap().groups.contains(&group));
    assert_done(&bench.settle(revoke).await, Effect::Revoked);
}

/// Reads of who is in a group are behind for a while: they show nobody.
fn behind(account: &sim::cloudflare::Cloudflare) {
    account.fail_next(Route::GetUserGroupMember, 9, Fault::status(404, 1003));
}

#[tokio::test]
async fn a_role_is_not_told_to_be_gone_nor_held_by_a_group_that_shows_as_before_our_own_change() {
    let (bench, jane, group) = jane().await;
    let account = bench.account();
    let role = super::target(&roles(account)[1]);
    assert_done(&bench.operate(Action::Grant, group_target(&group), member(&jane)).await, Effect::Granted);
    behind(account);
    let revoke = bench.arrive(Action::Revoke, role.clone(), member(&jane));
    super::assert_not_now(&bench.attempt(revoke).await, "as before an earlier change");
    account.clear_faults();
    assert_refused(&bench.attempt(revoke).await, Refusal::HeldThroughGroup, "Operators");
    // By hand, which cannot be told from a read that is behind.
    account.leave_group(&group, &jane);
    bench.world.advance(61);
    assert_done(&bench.operate(Action::Revoke, role.clone(), member(&jane)).await, Effect::AlreadyRevoked);
    account.join_group(&group, &jane);
    assert_done(&bench.operate(Action::Revoke, group_target(&group), member(&jane)).await, Effect::Revoked);
    account.join_group(&group, &jane);
    let revoke = bench.arrive(Action::Revoke, role, member(&jane));
    super::assert_not_now(&bench.attempt(revoke).await, "as before an earlier change");
    bench.world.advance(61);
    assert_refused(&bench.attempt(revoke).await, Refusal::HeldThroughGroup, "Operators");
}

#[tokio::test]
async fn min_super_admins_counts_who_came_into_their_group_a_moment_ago() {
    let bench = Bench::with(|_| {}, |config| config.provision.guards.min_super_admins = 100).await;
    let account = bench.account();
    let group = account.add_group("Admins", vec![holds(account, &account.permission_group("super_admin").unwrap())]);
    let [jane, joe] =
        [JANE, "joe@example.com"].map(|email| account.add_member(email, vec![holds(account, &roles(account)[0])]));
    assert_done(&bench.operate(Action::Grant, group_target(&group), member(&jane)).await, Effect::Granted);
    behind(account);
    let removal = bench.arrive(Action::Revoke, super::Target::Account, member(&jane));
    super::assert_not_now(&bench.attempt(removal).await, "as before an earlier change");
    account.clear_faults();
    assert_refused(&bench.attempt(removal).await, Refusal::MinSuperAdmins, JANE);
    assert_done(&bench.operate(Action::Revoke, super::Target::Account, member(&joe)).await, Effect::Removed);
}

#[tokio::test]
async fn nobody_is_heard_to_leave_a_group_that_is_not_there_for_a_moment() {
    let (bench, jane, group) = jane().await;
    let account = bench.account();
    account.join_group(&group, &jane);
    bench.world.sync().await;
    let locks = bench.locks.borrow().clone();
    let (member, named) = (jane.parse().unwrap(), Some(group.parse().unwrap()));
    let look = async || {
        let config = &bench.world.config;
        heard::look_again(&bench.world, (&config.cloudflare, &config.provision), &locks, member, named).await
    };
    hide(account, 404);
    assert_eq!(look().await.unwrap(), heard::Look::Doubtful);
    account.clear_faults();
    account.leave_group(&group, &jane);
    assert_eq!(look().await.unwrap(), heard::Look::Noted);
}

/// Jane in one group as the last sync has it, and in another by a grant since, with a role that was granted to her; and her id.
async fn in_two_groups() -> (Bench, String) {
    let (bench, jane, group) = jane().await;
    let account = bench.account();
    account.join_group(&group, &jane);
    let other = account.add_group("Others", vec![holds(account, &roles(account)[2])]);
    bench.world.sync().await;
    let role = super::target(&roles(account)[3]);
    for what in [group_target(&other), role] {
        assert_done(&bench.operate(Action::Grant, what, member(&jane)).await, Effect::Granted);
    }
    let held = bench.laid_over(&jane).await.unwrap().unwrap();
    assert_eq!((held.groups.len(), held.atoms.len()), (2, 2));
    (bench, jane)
}

/// Looks at her as whoever the audit log names is looked at.
async fn look(bench: &Bench, jane: &str) -> heard::Look {
    let (locks, config) = (bench.locks.borrow().clone(), &bench.world.config);
    let with = (&config.cloudflare, &config.provision);
    Box::pin(heard::look_again(&bench.world, with, &locks, jane.parse().unwrap(), None)).await.unwrap()
}

async fn note_gone(bench: &Bench, jane: &str) -> Result<(), String> {
    let (locks, config) = (bench.locks.borrow().clone(), &bench.world.config);
    let with = Some((&config.cloudflare, &config.provision));
    let noted = Box::pin(heard::note_gone(&bench.world, with, &locks, &[jane.parse().unwrap()])).await;
    noted.map_err(|why| why.to_string())
}

/// The next reads of members find nobody.
fn not_found(bench: &Bench, times: usize) {
    bench.account().fail_next(Route::GetMember, times, Fault::status(404, 1003));
}

#[tokio::test]
async fn who_was_not_found_before_an_operation_was_at_work_on_them_is_not_gone_after_it() {
    let (bench, jane) = in_two_groups().await;
    // Right after our own write a read that is behind tells nothing.
    not_found(&bench, 1);
    assert_eq!(look(&bench, &jane).await, heard::Look::Doubtful);
    bench.world.advance(20);
    not_found(&bench, 1);
    assert_eq!(look(&bench, &jane).await, heard::Look::Gone);
    let role = super::target(&roles(bench.account())[4]);
    assert_done(&bench.operate(Action::Grant, role, member(&jane)).await, Effect::Granted);
    let held = bench.laid_over(&jane).await;
    note_gone(&bench, &jane).await.unwrap();
    assert_eq!(bench.laid_over(&jane).await, held);
    // Where even that look tells nothing, she is looked at again later.
    not_found(&bench, 1);
    assert!(note_gone(&bench, &jane).await.is_err());
    assert_eq!(bench.laid_over(&jane).await, held);
    assert_eq!(held.unwrap().unwrap().atoms.len(), 3);
    // The control.
    bench.account().remove_member(&jane);
    bench.world.advance(20);
    assert_eq!(look(&bench, &jane).await, heard::Look::Gone);
    note_gone(&bench, &jane).await.unwrap();
    assert_eq!(bench.laid_over(&jane).await, Some(None));
}

#[tokio::test]
async fn who_is_found_again_has_the_user_groups_that_they_had() {
    let (bench, jane) = in_two_groups().await;
    let held = bench.laid_over(&jane).await;
    bench.world.advance(20);
    not_found(&bench, 2);
    assert_eq!(look(&bench, &jane).await, heard::Look::Gone);
    note_gone(&bench, &jane).await.unwrap();
    assert_eq!(bench.laid_over(&jane).await, Some(None));
    assert_eq!(look(&bench, &jane).await, heard::Look::Noted);
    assert_eq!(bench.laid_over(&jane).await, held);
}
