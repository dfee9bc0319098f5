//! What is told of a revoke: that it is done, once nothing that was sent can bring back what was taken.

use std::collections::BTreeSet;

use c1_cloudflare::account::default_role::Configured;
use c1_cloudflare::base::ports::{Clock as _, Sql as _};
use c1_cloudflare::provision::aftercare;
use sim::cloudflare::{Cloudflare, Fault, Permission, Route};

use super::{
    Action, Bench, Effect, EntryId, NEW, Outcome, Refusal, Target, account_of, assert_done, assert_not_now,
    assert_refused, atom, group_target, holds, member, person, roles, target,
};

/// For longer than this nothing is carried out late.
const LATEST: i64 = 2_400;

fn assert_not_yet(outcome: &Outcome) {
    let Outcome::NotNow { message, retry_at } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("may bring it back until") && retry_at.is_some(), "{message}");
}

/// A member of two roles, whose third one was written twice: nobody answered the first time, and it may still be carried out.
async fn with_a_grant_that_may_come_late(bench: &Bench) -> String {
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member("jane@example.com", vec![holds(account, &known[0]), holds(account, &known[1])]);
    account.fail_next(Route::UpdateMember, 1, Fault::Held);
    assert_done(&bench.operate(Action::Grant, target(&known[2]), member(&jane)).await, Effect::Granted);
    bench.world.advance(70);
    jane
}

#[tokio::test]
async fn a_revoke_is_told_once_no_write_that_nobody_answered_can_bring_the_role_back() {
    // The role that the open write is about, and one that it writes along.
    for place in [2, 0] {
        let bench = Bench::start().await;
        let account = bench.account();
        let known = roles(account);
        let jane = with_a_grant_that_may_come_late(&bench).await;
        let revoke = bench.arrive(Action::Revoke, target(&known[place]), member(&jane));
        assert_not_yet(&bench.attempt(revoke).await);
        assert!(!bench.atoms(&jane).contains(&atom(account, &known[place])), "it is taken away at once");
        bench.world.advance(LATEST - 200);
        assert_not_yet(&bench.attempt(revoke).await);
        bench.world.advance(200);
        assert_done(&bench.attempt(revoke).await, Effect::Revoked);
    }
}

#[tokio::test]
async fn a_role_that_the_open_write_does_not_hold_is_revoked_at_once() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = with_a_grant_that_may_come_late(&bench).await;
    assert_done(&bench.operate(Action::Grant, target(&known[3]), member(&jane)).await, Effect::Granted);
    let revoke = bench.arrive(Action::Revoke, target(&known[3]), member(&jane));
    assert_done(&bench.attempt(revoke).await, Effect::Revoked);
    // And so is any of somebody else's.
    let joe = account.add_member("joe@example.com", vec![holds(account, &known[0]), holds(account, &known[2])]);
    let revoke = bench.arrive(Action::Revoke, target(&known[2]), member(&joe));
    assert_done(&bench.attempt(revoke).await, Effect::Revoked);
}

#[tokio::test]
async fn a_write_that_came_late_and_was_taken_back_keeps_no_revoke_waiting() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = with_a_grant_that_may_come_late(&bench).await;
    let revoke = bench.arrive(Action::Revoke, target(&known[0]), member(&jane));
    assert_not_yet(&bench.attempt(revoke).await);
    assert_eq!(account.release_held(), 1);
    assert!(
        bench.atoms(&jane).contains(&atom(account, &known[0])),
        "it came back, and nobody was told that it was gone"
    );
    bench.world.advance(61);
    assert_done(&bench.attempt(revoke).await, Effect::Revoked);
    assert_eq!(bench.atoms(&jane), [atom(account, &known[1]), atom(account, &known[2])].into());
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_and_that_shows_keeps_no_revoke_waiting() {
    for fault in [Fault::Reset.after(), Fault::Html { status: 524 }.after(), Fault::TruncatedJson] {
        let bench = Bench::start().await;
        let account = bench.account();
        let known = roles(account);
        let jane = account.add_member("jane@example.com", vec![holds(account, &known[0])]);
        account.fail_next(Route::UpdateMember, 1, fault.clone());
        // Cut off before it was read back: the next attempt finds it there.
        account.fail_next(Route::GetMember, 2, Fault::status(500, 10_000));
        let grant = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
        assert_done(&bench.settle(grant).await, Effect::Granted);
        let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
        assert_done(&bench.attempt(revoke).await, Effect::Revoked);
        assert_eq!(account.requests(Route::UpdateMember), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_revoke_that_waits_for_its_proof_makes_an_older_grant_void() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member("jane@example.com", vec![holds(account, &known[0])]);
    account.fail_next(Route::UpdateMember, 3, Fault::Held);
    let grant = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    bench.world.advance(70);
    let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
    assert_not_yet(&bench.attempt(revoke).await);
    // Else the two would write against each other for as long as Cloudflare does not answer.
    assert_refused(&bench.attempt(grant).await, Refusal::Superseded, "this one is void");
    bench.world.advance(LATEST);
    assert_done(&bench.attempt(revoke).await, Effect::AlreadyRevoked);
    assert_eq!(bench.atoms(&jane), [atom(account, &known[0])].into());
}

#[tokio::test]
async fn a_group_that_may_still_be_joined_keeps_revokes_of_it_and_of_roles_waiting() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let group = account.add_group("Operators", vec![holds(account, &known[5])]);
    let other = account.add_group("Others", vec![holds(account, &known[6])]);
    let jane = account.add_member("jane@example.com", vec![holds(account, &known[0])]);
    account.join_group(&other, &jane);
    account.fail_next(Route::AddUserGroupMembers, 1, Fault::Held);
    let grant = bench.arrive(Action::Grant, group_target(&group), member(&jane));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    let revokes =
        [group_target(&group), target(&known[5])].map(|what| bench.arrive(Action::Revoke, what, member(&jane)));
    for revoke in revokes {
        assert_not_yet(&bench.attempt(revoke).await);
    }
    let leave = bench.arrive(Action::Revoke, group_target(&other), member(&jane));
    assert_done(&bench.attempt(leave).await, Effect::Revoked);
    bench.world.advance(LATEST);
    for revoke in revokes {
        assert_done(&bench.attempt(revoke).await, Effect::AlreadyRevoked);
    }
}

/// An invitation that nobody answered, and that is not there yet.
async fn with_an_open_invitation(bench: &Bench) -> EntryId {
    bench.account().fail_next(Route::CreateMember, 1, Fault::Held);
    let grant = bench.arrive(Action::Grant, Target::Account, person(NEW));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    grant
}

#[tokio::test]
async fn nobody_is_said_to_be_gone_whom_an_invitation_that_nobody_answered_may_make_a_member() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let grant = with_an_open_invitation(&bench).await;
    let revokes = [Target::Account, target(&known[1])].map(|what| bench.arrive(Action::Revoke, what, person(NEW)));
    for revoke in revokes {
        assert_not_yet(&bench.attempt(revoke).await);
    }
    let joe = bench.arrive(Action::Revoke, Target::Account, account_of("joe@example.com"));
    assert_done(&bench.attempt(joe).await, Effect::AlreadyRevoked);
    assert_refused(&bench.attempt(grant).await, Refusal::Superseded, "this one is void");
    assert_eq!(account.release_held(), 1);
    assert!(account.membership_of(NEW).is_some());
    assert_done(&bench.attempt(revokes[0]).await, Effect::Removed);
    assert!(account.membership_of(NEW).is_none());
    assert_done(&bench.attempt(revokes[1]).await, Effect::AlreadyRevoked);
}

#[tokio::test]
async fn a_removal_is_told_once_no_invitation_that_nobody_answered_can_undo_it() {
    let bench = Bench::start().await;
    let account = bench.account();
    let grant = with_an_open_invitation(&bench).await;
    // Invited once more, and this time it is answered.
    assert_done(&bench.settle(grant).await, Effect::Invited);
    let removal = bench.arrive(Action::Revoke, Target::Account, person(NEW));
    assert_not_yet(&bench.attempt(removal).await);
    assert!(account.membership_of(NEW).is_none(), "it is removed at once");
    assert_eq!(account.release_held(), 1);
    assert!(account.membership_of(NEW).is_some(), "it came back, and nobody was told that it was gone");
    assert_not_yet(&bench.attempt(removal).await);
    assert!(account.membership_of(NEW).is_none());
    bench.world.advance(LATEST);
    assert_done(&bench.attempt(removal).await, Effect::Removed);
}

#[tokio::test]
async fn an_invitation_whose_answer_was_lost_and_that_shows_keeps_no_removal_waiting() {
    let bench = Bench::start().await;
    let account = bench.account();
    account.fail_next(Route::CreateMember, 1, Fault::Reset.after());
    assert_done(&bench.operate(Action::Grant, Target::Account, person(NEW)).await, Effect::Invited);
    let removal = bench.arrive(Action::Revoke, Target::Account, person(NEW));
    assert_done(&bench.attempt(removal).await, Effect::Removed);
    assert!(account.membership_of(NEW).is_none());
}

#[tokio::test]
async fn who_accepts_an_invitation_whose_answer_was_lost_before_it_is_looked_at_again_is_invited_by_us() {
    let bench = Bench::start().await;
    let account = bench.account();
    let accept = |account: &Cloudflare, email: &str| {
        let whom = account.membership_of(email).unwrap().id;
        assert!(account.accept_invitation(&whom).is_some());
    };
    account.fail_next(Route::CreateMember, 1, Fault::Reset.after());
    account.after_next(Route::CreateMember, move |account, _| {
        accept(account, NEW);
        // The attempt that invited cannot look.
        account.fail_next(Route::ListMembers, 2, Fault::status(503, 1));
    });
    assert_done(&bench.operate(Action::Grant, Target::Account, person(NEW)).await, Effect::Invited);
    // Whom somebody else invited is none of ours.
    account.invite("other@example.com", Vec::new());
    accept(account, "other@example.com");
    let other = bench.operate(Action::Grant, Target::Account, person("other@example.com")).await;
    assert_done(&other, Effect::AlreadyGranted);
}

#[tokio::test]
async fn who_was_invited_long_ago_is_not_invited_by_a_grant_whose_first_look_missed_them() {
    for is_by_us in [true, false] {
        let bench = Bench::start().await;
        let account = bench.account();
        if is_by_us {
            assert_done(&bench.operate(Action::Grant, Target::Account, person(NEW)).await, Effect::Invited);
        } else {
            account.invite(NEW, vec![]);
        }
        assert!(account.accept_invitation(&account.membership_of(NEW).unwrap().id).is_some());
        bench.world.advance(24 * 60 * 60);
        account.configure(|behaviour| behaviour.unlisted.push(NEW.to_owned()));
        let grant = bench.arrive(Action::Grant, Target::Account, person(NEW));
        // Whom we invited is known by their membership.
        if !is_by_us {
            assert_not_now(&bench.attempt(grant).await, "is a member already, and not in the list yet");
            account.configure(|behaviour| behaviour.unlisted.clear());
        }
        assert_done(&bench.attempt(grant).await, Effect::AlreadyGranted);
    }
}

#[tokio::test]
async fn who_was_invited_by_an_operation_was_so_though_another_gave_them_more_before_that_one_could_tell() {
    let bench = Bench::start().await;
    let account = bench.account();
    let grant = bench.arrive(Action::Grant, Target::Account, person(NEW));
    let other = bench.arrive(Action::Grant, target(&roles(account)[1]), person(NEW));
    // The answer tells less than was asked for, and nothing can be read.
    bench.world.bends.replace(Some(Box::new(|asked, body| {
        if asked.starts_with("POST") {
            body["result"].as_object_mut().unwrap().remove("policies");
        }
    })));
    account.fail_next(Route::GetMember, 9, Fault::status(503, 10_000));
    assert_not_now(&bench.attempt(grant).await, "not shown with what was asked for");
    bench.world.bends.take();
    account.clear_faults();
    bench.world.advance(5);
    assert_done(&bench.settle(other).await, Effect::Granted);
    assert_done(&bench.settle(grant).await, Effect::Invited);
}

#[tokio::test]
async fn who_was_invited_a_moment_ago_is_removed_though_the_list_does_not_show_them_yet() {
    let bench = Bench::start().await;
    let account = bench.account();
    assert_done(&bench.operate(Action::Grant, Target::Account, person(NEW)).await, Effect::Invited);
    account.configure(|behaviour| behaviour.unlisted.push(NEW.to_owned()));
    assert_done(&bench.operate(Action::Revoke, Target::Account, person(NEW)).await, Effect::Removed);
    assert!(account.membership_of(NEW).is_none());
    // And who is gone is gone.
    assert_done(&bench.operate(Action::Revoke, Target::Account, person(NEW)).await, Effect::AlreadyRevoked);
}

/// Reads of an invitation that was answered may be behind it: neither the list nor the record has it, nor is it counted.
fn not_shown_yet(bench: &Bench) {
    let account = bench.account();
    account.configure(|behaviour| behaviour.unlisted = vec![NEW.to_owned()]);
    account.fail_next(Route::GetMember, 20, Fault::status(404, 1003));
    bench.world.bends.replace(Some(Box::new(|asked, body| {
        if asked.contains("/members?") && !asked.contains("user_groups") {
            let count = body["result_info"]["total_count"].as_u64().unwrap();
            body["result_info"]["total_count"] = (count - 1).into();
        }
    })));
}

#[tokio::test]
async fn who_was_invited_a_moment_ago_is_not_said_to_be_gone_though_no_read_shows_them_yet() {
    for by_id in [false, true] {
        let bench = Bench::start().await;
        let account = bench.account();
        let role = target(&roles(account)[0]);
        assert_done(&bench.operate(Action::Grant, role.clone(), person(NEW)).await, Effect::Granted);
        let new = account.membership_of(NEW).unwrap().id;
        not_shown_yet(&bench);
        let who = if by_id { member(&new) } else { person(NEW) };
        let revokes = [role, Target::Account].map(|what| bench.arrive(Action::Revoke, what, who.clone()));
        for revoke in revokes {
            assert_not_now(&bench.attempt(revoke).await, "was invited a moment ago");
        }
        assert!(account.membership_of(NEW).is_some());
        account.clear_faults();
        account.configure(|behaviour| behaviour.unlisted.clear());
        bench.world.bends.take();
        bench.world.advance(61);
        assert_done(&bench.attempt(revokes[1]).await, Effect::Removed);
        assert!(account.membership_of(NEW).is_none());
    }
    // The control: who is gone by another hand is gone, once no read is as far behind.
    let bench = Bench::start().await;
    assert_done(&bench.operate(Action::Grant, Target::Account, person(NEW)).await, Effect::Invited);
    let new = bench.account().membership_of(NEW).unwrap().id;
    bench.account().remove_member(&new);
    let revoke = bench.arrive(Action::Revoke, Target::Account, person(NEW));
    assert_not_now(&bench.attempt(revoke).await, "was invited a moment ago");
    bench.world.advance(61);
    assert_done(&bench.attempt(revoke).await, Effect::AlreadyRevoked);
}

#[tokio::test]
async fn who_was_invited_a_moment_ago_is_not_refused_anything_because_no_read_shows_them_yet() {
    for what in ["a role by the address", "a role by the id", "a renewal"] {
        let bench = Bench::start().await;
        let account = bench.account();
        assert_done(&bench.operate(Action::Grant, Target::Account, person(NEW)).await, Effect::Invited);
        let by_id = member(&account.membership_of(NEW).unwrap().id);
        let role = target(&roles(account)[1]);
        let (asked, whom, effect) = match what {
            "a role by the address" => (role, account_of(NEW), Effect::Granted),
            "a role by the id" => (role, by_id, Effect::Granted),
            _ => (Target::Renewal, by_id, Effect::Renewed),
        };
        not_shown_yet(&bench);
        let grant = bench.arrive(Action::Grant, asked, whom);
        assert_not_now(&bench.attempt(grant).await, "was invited a moment ago");
        account.clear_faults();
        account.configure(|behaviour| behaviour.unlisted.clear());
        bench.world.bends.take();
        bench.world.advance(61);
        assert_done(&bench.attempt(grant).await, effect);
    }
    // The controls: who is gone by another hand is refused, once no read is as far behind; and where nothing says that there is an account, they are
    // invited at once.
    for has_account in [true, false] {
        let bench = Bench::start().await;
        let account = bench.account();
        assert_done(&bench.operate(Action::Grant, Target::Account, person(NEW)).await, Effect::Invited);
        account.remove_member(&account.membership_of(NEW).unwrap().id);
        let whom = if has_account { account_of(NEW) } else { person(NEW) };
        let grant = bench.arrive(Action::Grant, target(&roles(account)[1]), whom);
        let outcome = bench.attempt(grant).await;
        if has_account {
            assert_not_now(&outcome, "was invited a moment ago");
            bench.world.advance(61);
            assert_refused(&bench.attempt(grant).await, Refusal::UnknownMember, "account any more");
        } else {
            assert_done(&outcome, Effect::Granted);
        }
        assert_eq!(account.membership_of(NEW).is_none(), has_account);
    }
}

#[tokio::test]
async fn a_read_that_is_behind_our_own_invitation_takes_nothing_back_and_proves_nothing() {
    // Answered, and found by the attempt after one that nobody answered.
    for is_answered in [true, false] {
        for (action, place, did, left) in
            [(Action::Grant, 2, Effect::Granted, vec![0, 1, 2]), (Action::Revoke, 1, Effect::Revoked, vec![0])]
        {
            let bench = Bench::start().await;
            let account = bench.account();
            let known = roles(account);
            if !is_answered {
                account.fail_next(Route::CreateMember, 1, Fault::Reset.after());
                account.fail_later(Route::ListMembers, 1, Fault::status(503, 10_000));
            }
            for role in &known[..2] {
                assert_done(&bench.operate(Action::Grant, target(role), person(NEW)).await, Effect::Granted);
            }
            let new = account.membership_of(NEW).unwrap().id;
            let now = [0, 1].map(|place| holds(account, &known[place])).to_vec();
            // As it was before it had anything.
            account.set_policies(&new, Vec::new());
            account.stale_reads(&new, 1);
            account.set_policies(&new, now);
            assert_done(&bench.operate(action, target(&known[place]), member(&new)).await, did);
            let expected: BTreeSet<_> = left.iter().map(|&place| atom(account, &known[place])).collect();
            assert_eq!(bench.atoms(&new), expected, "{is_answered}");
            // The control: what somebody takes away by hand is believed to be gone, once no read is as far behind.
            bench.world.advance(61);
            account.set_policies(&new, vec![holds(account, &known[5])]);
            let revoked = bench.operate(Action::Revoke, target(&known[0]), member(&new)).await;
            assert_done(&revoked, Effect::AlreadyRevoked);
        }
    }
}

#[tokio::test]
async fn a_read_that_is_behind_proves_nothing_of_a_write_that_nobody_answered() {
    // Also where what was so is not so long ago when the write is sent, and is by the time it is looked for.
    for (arrives, secs) in [(false, 1), (true, 1), (false, 58), (false, 59)] {
        let bench = Bench::start().await;
        let account = bench.account();
        let known = roles(account);
        let (one, both) = ([0].map(|n| holds(account, &known[n])), [0, 1].map(|n| holds(account, &known[n])));
        let jane = account.add_member("jane@example.com", both.to_vec());
        // Revoked and granted a moment ago: a read that is behind shows the member without the role.
        assert_done(&bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await, Effect::Revoked);
        bench.world.advance(1);
        assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&jane)).await, Effect::Granted);
        bench.world.advance(secs);
        account.fail_next(Route::UpdateMember, 1, if arrives { Fault::Reset.after() } else { Fault::Reset });
        // From the read that the write is worked out from, reads are behind.
        let member_id = jane.clone();
        account.after_next(Route::GetMember, move |account, _| {
            account.set_policies(&member_id, one.to_vec());
            account.stale_reads(&member_id, 3);
            account.set_policies(&member_id, both.to_vec());
        });
        let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
        let outcome = bench.attempt(revoke).await;
        assert!(!matches!(outcome, Outcome::Done { .. }) || bench.atoms(&jane).len() == 1, "{outcome:?}");
        if matches!(outcome, Outcome::NotNow { .. }) {
            assert!(matches!(bench.settle(revoke).await, Outcome::Done { .. }));
        }
        assert_eq!(bench.atoms(&jane), [atom(account, &known[0])].into());
    }
}

#[tokio::test]
async fn a_read_of_a_group_that_is_behind_proves_nothing_of_a_write_that_nobody_answered() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let group = account.add_group("Operators", vec![holds(account, &known[5])]);
    let jane = account.add_member("jane@example.com", vec![holds(account, &known[0])]);
    for (action, effect) in
        [(Action::Grant, Effect::Granted), (Action::Revoke, Effect::Revoked), (Action::Grant, Effect::Granted)]
    {
        assert_done(&bench.operate(action, group_target(&group), member(&jane)).await, effect);
        bench.world.advance(1);
    }
    account.fail_next(Route::DeleteUserGroupMember, 1, Fault::Reset);
    // The read after it is behind: it is answered as before the last grant.
    account.after_next(Route::GetUserGroupMember, |account, _| {
        account.fail_next(Route::GetUserGroupMember, 1, Fault::status(404, 1003));
    });
    let revoke = bench.arrive(Action::Revoke, group_target(&group), member(&jane));
    let outcome = bench.attempt(revoke).await;
    assert!(matches!(outcome, Outcome::NotNow { .. }), "{outcome:?}");
    account.clear_faults();
    assert_done(&bench.settle(revoke).await, Effect::Revoked);
    assert!(!account.membership(&jane).unwrap().groups.contains(&group));
}

#[tokio::test]
async fn a_role_that_a_group_gives_as_well_is_not_said_to_be_gone() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let group = account.add_group("Operators", vec![holds(account, &known[1])]);
    let jane = account.add_member("jane@example.com", vec![holds(account, &known[0]), holds(account, &known[1])]);
    let joe = account.add_member("joe@example.com", vec![holds(account, &known[0]), holds(account, &known[1])]);
    account.join_group(&group, &jane);
    let outcome = bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await;
    assert_refused(&outcome, Refusal::HeldThroughGroup, "the user group Operators");
    assert_eq!(bench.atoms(&jane), [atom(account, &known[0])].into(), "her own is taken from her");
    assert_done(&bench.operate(Action::Revoke, target(&known[1]), member(&joe)).await, Effect::Revoked);
    assert_done(&bench.operate(Action::Revoke, group_target(&group), member(&jane)).await, Effect::Revoked);
    assert_done(&bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await, Effect::AlreadyRevoked);
}

#[tokio::test]
async fn where_everything_is_answered_a_revoke_takes_one_request_more_than_a_grant() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member("jane@example.com", vec![holds(account, &known[0])]);
    assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&jane)).await, Effect::Granted);
    account.reset_log();
    assert_done(&bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await, Effect::Revoked);
    assert_eq!(account.total_requests(), 4, "the read, the write, the proof, and the groups");
    assert!(aftercare::late_writes_due(&bench.world).unwrap().is_none());
}

#[tokio::test]
async fn a_write_that_this_version_cannot_read_may_bring_back_anything() {
    for change in ["version = 2", "planned = '{}'", "version = 2, planned = '[]'"] {
        let bench = Bench::start().await;
        let jane = with_a_grant_that_may_come_late(&bench).await;
        bench.world.query(&format!("UPDATE sent SET {change}"), &[]).unwrap();
        let known = roles(bench.account());
        let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
        assert_not_yet(&bench.attempt(revoke).await);
        bench.world.advance(LATEST);
        assert_done(&bench.attempt(revoke).await, Effect::Revoked);
    }
}

#[tokio::test]
async fn an_invitation_by_somebody_else_is_no_sign_that_ours_was_carried_out() {
    let bench = Bench::start().await;
    let account = bench.account();
    account.fail_next(Route::CreateMember, 1, Fault::Held);
    let grant = bench.arrive(Action::Grant, Target::Account, person(NEW));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    account.invite(NEW, vec![holds(account, &roles(account)[3])]);
    // Nor is it told for ours.
    assert_done(&bench.settle(grant).await, Effect::AlreadyGranted);
    // Ours may come yet, once that one is gone.
    let removal = bench.arrive(Action::Revoke, Target::Account, person(NEW));
    assert_not_yet(&bench.attempt(removal).await);
    bench.world.advance(LATEST);
    assert_done(&bench.attempt(removal).await, Effect::Removed);
    assert!(account.membership_of(NEW).is_none());
}

#[tokio::test]
async fn a_write_of_which_something_was_told_is_never_taken_for_lost() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let policies = || vec![holds(account, &known[0]), holds(account, &known[1])];
    let jane = account.add_member("jane@example.com", policies());
    // Nobody answered it, and it shows.
    account.fail_next(Route::UpdateMember, 1, Fault::Reset.after());
    assert_done(&bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await, Effect::Revoked);
    // As before the revoke: put back by hand, or by a read that is behind, which cannot be told apart yet.
    account.set_policies(&jane, policies());
    let before = account.requests(Route::UpdateMember);
    let grant = bench.arrive(Action::Grant, target(&known[2]), member(&jane));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    assert_eq!(account.requests(Route::UpdateMember), before, "or it would bring the role back");
    bench.world.advance(61);
    assert_done(&bench.settle(grant).await, Effect::Granted);
}

#[tokio::test]
async fn a_read_that_may_be_behind_proves_nothing_at_the_second_attempt_either() {
    // Nobody answers, and it may come late; or Cloudflare says that it failed, and nothing comes.
    for fault in [Fault::Reset, Fault::status(500, 10_000)] {
        for action in [Action::Grant, Action::Revoke] {
            let bench = Bench::start().await;
            let account = bench.account();
            let known = roles(account);
            let policies = |count: usize| known[..count].iter().map(|role| holds(account, role)).collect::<Vec<_>>();
            let (contrary, did, before, wanted) = match action {
                Action::Grant => (Action::Revoke, Effect::Granted, 2, true),
                Action::Revoke => (Action::Grant, Effect::Revoked, 1, false),
            };
            let jane = account.add_member("jane@example.com", policies(before));
            let first = bench.operate(contrary, target(&known[1]), member(&jane)).await;
            assert!(matches!(first, Outcome::Done { .. }), "{first:?}");
            bench.world.advance(5);
            account.fail_next(Route::UpdateMember, 1, fault.clone());
            account.fail_later(Route::GetMember, 1, Fault::status(503, 10_000));
            let writes = account.requests(Route::UpdateMember);
            let id = bench.arrive(action, target(&known[1]), member(&jane));
            assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
            assert_eq!(account.requests(Route::UpdateMember), writes + 1, "it was sent, and is not known to be done");
            // What was there at first is shown once more.
            let now = 3 - before;
            account.set_policies(&jane, policies(before));
            account.stale_reads(&jane, 3);
            account.set_policies(&jane, policies(now));
            assert_done(&bench.settle(id).await, did);
            let has = bench.atoms(&jane).contains(&atom(account, &known[1]));
            assert_eq!(has, wanted, "{action:?} after {fault:?}");
        }
    }
}

#[tokio::test]
async fn an_invitation_that_this_version_cannot_read_may_make_anybody_a_member() {
    let bench = Bench::start().await;
    with_an_open_invitation(&bench).await;
    bench.world.query("UPDATE open_invitation SET version = 2, email = '{}', planned = '2'", &[]).unwrap();
    for who in [NEW, "other@example.com"] {
        let revoke = bench.arrive(Action::Revoke, Target::Account, person(who));
        assert_not_yet(&bench.attempt(revoke).await);
    }
    bench.world.advance(LATEST);
    assert_done(&bench.operate(Action::Revoke, Target::Account, person(NEW)).await, Effect::AlreadyRevoked);
}

#[tokio::test]
async fn what_another_version_wrote_last_makes_reads_doubtful_until_none_is_as_far_behind() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let [jane, joe] = ["jane@example.com", "joe@example.com"]
        .map(|email| account.add_member(email, vec![holds(account, &known[0]), holds(account, &known[1])]));
    let state = "INSERT INTO written (member, at, atoms) VALUES (?, ?, '{\"version\":2}')";
    bench.world.query(state, &[jane.as_str().into(), bench.world.now().into()]).unwrap();
    // What a read shows may be what that version has changed since.
    let revoke = bench.arrive(Action::Revoke, target(&known[2]), member(&jane));
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    assert_done(&bench.operate(Action::Revoke, target(&known[2]), member(&joe)).await, Effect::AlreadyRevoked);
    bench.world.advance(61);
    assert_done(&bench.attempt(revoke).await, Effect::AlreadyRevoked);
}

/// The revoke that waits for its proof makes the invitation void, and is not refused for that.
#[tokio::test]
async fn a_revoke_that_made_an_unanswered_invitation_void_is_done_once_nothing_can_come_of_it() {
    let bench = Bench::start().await;
    let grant = with_an_open_invitation(&bench).await;
    let revoke = bench.arrive(Action::Revoke, Target::Account, person(NEW));
    assert_not_yet(&bench.attempt(revoke).await);
    assert_refused(&bench.attempt(grant).await, Refusal::Superseded, "");
    bench.world.advance(LATEST);
    assert_done(&bench.attempt(revoke).await, Effect::AlreadyRevoked);
}

#[tokio::test]
async fn nobody_is_told_that_a_grant_was_refused_whose_invitation_may_still_be_carried_out() {
    for comes in [true, false] {
        let mut bench = Bench::start().await;
        bench.account().fail_next(Route::CreateMember, 1, Fault::Held);
        let grant = bench.arrive(Action::Grant, Target::Account, person(NEW));
        bench.world.query("UPDATE operation SET request = json_set(request, '$.key', 'task')", &[]).unwrap();
        assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
        bench.world.config.provision.default_role = Configured::read("None of these");
        assert_not_now(&bench.attempt(grant).await, "may still be carried out");
        if comes {
            assert_eq!(bench.account().release_held(), 1);
            assert_done(&bench.attempt(grant).await, Effect::Invited);
        } else {
            bench.world.advance(LATEST);
            assert_refused(&bench.attempt(grant).await, Refusal::NoDefaultRole, "");
        }
    }
}

#[tokio::test]
async fn a_read_that_is_two_writes_behind_proves_nothing_of_a_write_that_nobody_answered() {
    for fault in [Fault::Reset, Fault::status(500, 10_000), Fault::Reset.after()] {
        let bench = Bench::start().await;
        let account = bench.account();
        let known = roles(account);
        let first = vec![holds(account, &known[0])];
        let latest = [0, 1, 2].map(|place| holds(account, &known[place])).to_vec();
        let jane = account.add_member("jane@example.com", first.clone());
        for role in &known[1..3] {
            assert_done(&bench.operate(Action::Grant, target(role), member(&jane)).await, Effect::Granted);
            bench.world.advance(1);
        }
        account.fail_next(Route::UpdateMember, 1, fault.clone());
        // Without the second role there was never just the third one; before either there was the first alone.
        let whom = jane.clone();
        account.after_next(Route::GetMember, move |account, _| {
            account.set_policies(&whom, first);
            account.stale_reads(&whom, 3);
            account.set_policies(&whom, latest);
        });
        let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
        let outcome = bench.attempt(revoke).await;
        assert!(!matches!(outcome, Outcome::Done { .. }) || bench.atoms(&jane).len() == 2, "{fault:?}: {outcome:?}");
        if matches!(outcome, Outcome::NotNow { .. }) {
            assert!(matches!(bench.settle(revoke).await, Outcome::Done { .. }));
        }
        assert_eq!(bench.atoms(&jane), [0, 2].map(|place| atom(account, &known[place])).into(), "{fault:?}");
    }
}

/// A grant that was written, of which nobody knows since nothing could be read after it.
async fn with_a_grant_that_is_not_told(bench: &Bench, what: Target, jane: &str) -> EntryId {
    bench.account().after_next(Route::UpdateMember, |account, _| {
        account.fail_next(Route::GetMember, 1, Fault::status(503, 10_000));
    });
    let grant = bench.arrive(Action::Grant, what, member(jane));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    assert_eq!(bench.atoms(jane).len(), 2, "it is written");
    bench.world.advance(70);
    grant
}

#[tokio::test]
async fn a_revoke_of_what_a_group_gives_as_well_makes_an_older_grant_void() {
    let mut bench = Bench::start().await;
    let known = roles(bench.account());
    let group = bench.account().add_group("Operators", vec![holds(bench.account(), &known[1])]);
    let jane = bench.account().add_member("jane@example.com", vec![holds(bench.account(), &known[0])]);
    bench.account().join_group(&group, &jane);
    let grant = with_a_grant_that_is_not_told(&bench, target(&known[1]), &jane).await;
    let refused = bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await;
    assert_refused(&refused, Refusal::HeldThroughGroup, "Operators");
    assert_refused(&bench.settle(grant).await, Refusal::Superseded, "");
    assert_eq!(bench.atoms(&jane), [atom(bench.account(), &known[0])].into());
    // Also where it cannot be told whether a group gives it.
    bench.world.advance(70);
    let grant = with_a_grant_that_is_not_told(&bench, target(&known[1]), &jane).await;
    bench.account().revoke_permission(Permission::UserGroups);
    let refused = bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await;
    assert_refused(&refused, Refusal::HeldThroughGroup, "may not read");
    assert_refused(&bench.settle(grant).await, Refusal::Superseded, "");
    assert_eq!(bench.atoms(&jane), [atom(bench.account(), &known[0])].into());
    bench.account().allow_permission(Permission::UserGroups);
    // One that is refused for another reason takes nothing away.
    bench.world.advance(70);
    let grant = with_a_grant_that_is_not_told(&bench, target(&known[1]), &jane).await;
    bench.world.config.provision.guards.max_removals_per_hour = 0;
    let refused = bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await;
    assert_refused(&refused, Refusal::RemovalCap, "");
    assert_done(&bench.settle(grant).await, Effect::Granted);
}

#[tokio::test]
async fn who_was_invited_by_an_operation_that_is_not_over_is_removed_though_no_list_shows_or_counts_them() {
    let bench = Bench::start().await;
    let account = bench.account();
    let group = account.add_group("Operators", vec![holds(account, &roles(account)[1])]);
    account.make_new(&group);
    account.configure(|behaviour| behaviour.new_group_lag = std::time::Duration::from_hours(1));
    let grant = bench.arrive(Action::Grant, group_target(&group), person(NEW));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    assert!(account.membership_of(NEW).is_some(), "invited, and not in the group yet");
    account.configure(|behaviour| behaviour.unlisted.push(NEW.to_owned()));
    bench.world.bends.replace(Some(Box::new(|asked, body| {
        if asked.contains("/members?") && !asked.contains("user_groups") {
            let count = body["result_info"]["total_count"].as_u64().unwrap();
            body["result_info"]["total_count"] = (count - 1).into();
        }
    })));
    // Also where that operation has gone on for long.
    bench.world.advance(300);
    assert_done(&bench.operate(Action::Revoke, Target::Account, person(NEW)).await, Effect::Removed);
    assert!(account.membership_of(NEW).is_none());
    assert_refused(&bench.settle(grant).await, Refusal::Superseded, "");
}

/// Right after an invitation a read may not find it yet; what was sent for it is carried out all the same.
#[tokio::test]
async fn one_answer_that_somebody_is_not_there_ends_no_watch_over_what_may_come_late() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = with_a_grant_that_may_come_late(&bench).await;
    let revoke = bench.arrive(Action::Revoke, target(&known[2]), member(&jane));
    assert_not_yet(&bench.attempt(revoke).await);
    account.fail_next(Route::GetMember, 1, Fault::status(404, 1003));
    bench.later(61).await;
    account.clear_faults();
    assert_not_yet(&bench.attempt(revoke).await);
    account.release_held();
    bench.later_times(8, 61).await;
    assert!(!bench.atoms(&jane).contains(&atom(account, &known[2])), "it is taken back");
}
