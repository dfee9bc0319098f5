//! What others do to a member while an operation works on it, and writes of ours that come late.

use c1_cloudflare::account::apps::Apps;
use c1_cloudflare::audit::{entries, feed};
use c1_cloudflare::base::ports::{Clock as _, Secret};
use c1_cloudflare::model::operation::Target;
use c1_cloudflare::provision::incident::{self, IncidentKind};
use c1_cloudflare::provision::{Provisioning, aftercare, journal};
use sim::cloudflare::{Fault, KnownPermissionGroup, Permission, Route};

use super::{
    Action, Bench, Effect, EntryId, JANE, NEW, Outcome, Refusal, assert_done, assert_refused, atom, holds, member,
    person, roles, target,
};

#[tokio::test]
async fn a_write_that_fell_between_our_read_and_our_write_is_found_in_the_audit_log() {
    let bench = Bench::with(super::guards::somebody_in_a_group, |_| {}).await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &known[0])]);
    // The first write of all learns what member records show of groups.
    let somebody = account.membership_of("somebody@example.com").unwrap().id;
    assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&somebody)).await, Effect::Granted);
    bench.later(130).await;
    bench.later(1_800).await;
    let theirs = holds(account, &known[2]);
    account.before_next_put(move |cloudflare, member| cloudflare.add_policy(member, theirs));
    account.reset_log();
    let id = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
    assert_done(&bench.settle(id).await, Effect::Granted);
    assert_eq!(account.total_requests(), 3, "the log is not in the grant's way");
    assert!(!bench.atoms(&jane).contains(&atom(account, &known[2])), "theirs was overwritten");
    assert_eq!(bench.entry(id).incidents, []);

    bench.later(130).await;
    let incidents = bench.entry(id).incidents;
    // The addition of Jane may be as near in time as the write in between.
    assert!(!incidents.is_empty());
    for found in &incidents {
        assert_eq!(
            (found.kind, found.actor.as_deref()),
            (IncidentKind::ForeignWrite, Some("somebody.else@example.com"))
        );
        assert!(found.message.contains(JANE), "{}", found.message);
    }
    assert_eq!(incident::latest(&bench.world).unwrap().len(), incidents.len());
    assert_eq!(incidents[0].through.as_deref(), Some("the dashboard"));
    assert!(feed::state(&bench.world).unwrap().unwrap().readable);

    // It is looked once more, and nothing is reported twice; then it is over.
    bench.later(2_000).await;
    assert_eq!(bench.entry(id).incidents.len(), incidents.len());
    assert_eq!(account.requests(Route::ListAuditLogs), 2, "the feed's own two readings");
    assert_eq!(aftercare::next_due(&bench.world).unwrap(), None);
}

/// Somebody takes a role in the dashboard, and the read that a grant of another one is worked out from shows it still.
#[tokio::test]
async fn a_change_that_our_read_was_too_far_behind_to_show_is_found_in_the_audit_log() {
    for (secs, told) in [(5, 1), (40, 0)] {
        let bench = Bench::with(super::guards::somebody_in_a_group, |_| {}).await;
        let account = bench.account();
        let known = roles(account);
        let jane = account.add_member(JANE, vec![holds(account, &known[0]), holds(account, &known[2])]);
        // The first write of all learns what member records show of groups.
        let somebody = account.membership_of("somebody@example.com").unwrap().id;
        assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&somebody)).await, Effect::Granted);
        bench.later(130).await;
        bench.later(1_800).await;
        account.stale_reads(&jane, 1);
        account.set_policies(&jane, vec![holds(account, &known[0])]);
        bench.world.advance(secs);
        let id = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
        assert_done(&bench.settle(id).await, Effect::Granted);
        assert!(bench.atoms(&jane).contains(&atom(account, &known[2])), "what was taken is back");
        bench.later(130).await;
        let incidents = bench.entry(id).incidents;
        let kinds: Vec<IncidentKind> = incidents.iter().map(|found| found.kind).collect();
        assert_eq!(kinds, vec![IncidentKind::ForeignWrite; told], "{secs} s before the read: {incidents:?}");
        assert!(incidents.iter().all(|found| found.actor.as_deref() == Some("somebody.else@example.com")));
        // It is looked once more, and nothing is told twice.
        bench.later(2_000).await;
        assert_eq!(bench.entry(id).incidents.len(), told);
    }
}

#[tokio::test]
async fn a_log_that_is_not_there_for_a_moment_puts_the_look_into_it_off() {
    let bench = Bench::with(super::guards::somebody_in_a_group, |_| {}).await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &known[0])]);
    let somebody = account.membership_of("somebody@example.com").unwrap().id;
    assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&somebody)).await, Effect::Granted);
    bench.later(130).await;
    bench.later(1_800).await;
    let theirs = holds(account, &known[2]);
    account.before_next_put(move |cloudflare, member| cloudflare.add_policy(member, theirs));
    let id = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
    assert_done(&bench.settle(id).await, Effect::Granted);
    account.fail_next(Route::ListAuditLogs, 1, Fault::status(404, 7_003));
    bench.later(130).await;
    assert!(!feed::state(&bench.world).unwrap().unwrap().readable);
    bench.later(1_000).await;
    assert_eq!(bench.entry(id).incidents, []);
    bench.later(4_000).await;
    bench.later(60).await;
    assert!(!bench.entry(id).incidents.is_empty(), "told as soon as the log is back");
    bench.later(2_000).await;
    assert_eq!(aftercare::next_due(&bench.world).unwrap(), None);
}

#[tokio::test]
async fn our_own_writes_are_nobody_elses_and_many_are_looked_up_at_once() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let people: Vec<String> = (0..6)
        .map(|n| account.add_member(&format!("person{n}@example.com"), vec![holds(account, &known[0])]))
        .collect();
    bench.world.advance(20);
    account.reset_log();
    for person in &people {
        for role in &known[1..3] {
            assert_done(&bench.operate(Action::Grant, target(role), member(person)).await, Effect::Granted);
        }
    }
    bench.later(125).await;
    assert_eq!(incident::latest(&bench.world).unwrap(), []);
    assert_eq!(account.requests(Route::ListAuditLogs), 1);
}

#[tokio::test]
async fn what_the_token_before_wrote_until_another_was_set_is_our_own_and_what_it_writes_since_is_not() {
    let (mut bench, known, jane) = Bench::with_jane().await;
    let account = bench.account().clone();
    bench.world.advance(20);
    let before = bench.world.now().plus_secs(-5);
    for role in &known[1..3] {
        assert_done(&bench.operate(Action::Grant, target(role), member(&jane)).await, Effect::Granted);
    }
    bench.later(125).await;
    bench.world.config.cloudflare.token = Secret::new(account.user_token());
    bench.later(2_000).await;
    assert_eq!(aftercare::next_due(&bench.world).unwrap(), None, "each was looked up again");
    assert_eq!(incident::latest(&bench.world).unwrap(), []);
    let author = entries::author_of(&bench.world, Some(&jane), None, before, bench.world.now()).unwrap();
    assert_eq!(author.unwrap().who, "", "this connector");

    for (n, token) in [account.token_id(), "c".repeat(32)].into_iter().enumerate() {
        bench.world.advance(600);
        let grant = bench.arrive(Action::Grant, target(&known[n + 3]), member(&jane));
        assert_done(&bench.settle(grant).await, Effect::Granted);
        let entry = serde_json::json!({
            "raw": { "uri": format!("/accounts/a/members/{jane}") },
            "actor": { "context": "api_token", "type": "account", "token_id": token, "token_name": "another" },
        });
        account.log_entry(Some(bench.world.now().secs()), 0, entry);
        bench.later(125).await;
        assert_eq!(bench.entry(grant).incidents.len(), 1, "{token}");
    }
}

/// An entry of the log need not name the token that something was done with.
#[tokio::test]
async fn our_own_write_is_known_by_its_request_where_the_log_tells_no_token() {
    for is_ours in [true, false] {
        let (bench, known, jane) = Bench::with_jane().await;
        let account = bench.account();
        bench.world.advance(60);
        account.reset_log();
        let grant = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
        assert_done(&bench.settle(grant).await, Effect::Granted);
        let exchanges = account.exchanges();
        let write = exchanges.iter().find(|exchange| exchange.method == "PUT").unwrap();
        let ray = &write.response_headers.iter().find(|(name, _)| name == "cf-ray").unwrap().1;
        // The log has it without the data centre.
        let ray = if is_ours { ray.split('-').next().unwrap() } else { "0123456789abcdef" };
        let entry = serde_json::json!({
            "raw": { "uri": format!("/accounts/a/members/{jane}"), "cf_ray_id": ray },
            "actor": { "context": "api_token", "type": "account" },
        });
        account.log_entry(Some(bench.world.now().secs()), 0, entry);
        bench.later(130).await;
        let incidents = bench.entry(grant).incidents;
        assert_eq!(incidents.len(), usize::from(!is_ours), "{incidents:?}");
    }
}

/// Several webhooks about one person come within seconds.
#[tokio::test]
async fn our_write_of_a_moment_before_is_nobody_elses_where_the_log_tells_no_token() {
    for is_ours in [true, false] {
        let (bench, known, jane) = Bench::with_jane().await;
        let account = bench.account();
        bench.world.advance(60);
        account.reset_log();
        let first = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
        assert_done(&bench.settle(first).await, Effect::Granted);
        let exchanges = account.exchanges();
        let write = exchanges.iter().find(|exchange| exchange.method == "PUT").unwrap();
        let ray = &write.response_headers.iter().find(|(name, _)| name == "cf-ray").unwrap().1;
        let ray = if is_ours { ray.split('-').next().unwrap() } else { "0123456789abcdef" };
        let written_at = bench.world.now();
        bench.world.advance(8);
        let second = bench.arrive(Action::Grant, target(&known[2]), member(&jane));
        assert_done(&bench.settle(second).await, Effect::Granted);
        let entry = serde_json::json!({
            "raw": { "uri": format!("/accounts/a/members/{jane}"), "cf_ray_id": ray },
            "actor": { "context": "api_token", "type": "account" },
        });
        account.log_entry(Some(written_at.secs()), 0, entry);
        bench.later(130).await;
        bench.later(2_000).await;
        let incidents = bench.entry(second).incidents;
        assert_eq!(incidents.len(), usize::from(!is_ours), "{incidents:?}");
    }
}

#[tokio::test]
async fn a_log_that_may_not_be_read_is_said_and_not_asked_for_again_and_again() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    account.revoke_permission(Permission::Audit);
    let jane = account.add_member(JANE, vec![holds(account, &known[0])]);
    for role in &known[1..4] {
        assert_done(&bench.operate(Action::Grant, target(role), member(&jane)).await, Effect::Granted);
        bench.later(130).await;
    }
    assert_eq!(account.requests(Route::ListAuditLogs), 1);
    let log = feed::state(&bench.world).unwrap().unwrap();
    assert!(!log.readable && log.message.contains("Account Settings: Read"), "{log:?}");
    // It is looked into when it is asked again, for a day.
    assert!(aftercare::next_due(&bench.world).unwrap() >= log.next_at);
    bench.later(90_000).await;
    assert_eq!(aftercare::next_due(&bench.world).unwrap(), None);
}

/// A grant that was written twice: nobody answered the first time, and that one may still be carried out.
async fn with_a_grant_that_may_come_late(bench: &Bench, role: &KnownPermissionGroup, jane: &str) -> EntryId {
    bench.account().fail_next(Route::UpdateMember, 1, Fault::Held);
    let grant = bench.arrive(Action::Grant, target(role), member(jane));
    assert_done(&bench.settle(grant).await, Effect::Granted);
    grant
}

#[tokio::test]
async fn a_write_that_comes_late_over_a_later_one_is_put_right() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let first = with_a_grant_that_may_come_late(&bench, &known[1], &jane).await;
    assert_done(&bench.operate(Action::Grant, target(&known[2]), member(&jane)).await, Effect::Granted);
    assert_done(&bench.operate(Action::Grant, target(&known[3]), member(&jane)).await, Effect::Granted);
    assert_done(&bench.operate(Action::Revoke, target(&known[2]), member(&jane)).await, Effect::Revoked);
    let settled = bench.atoms(&jane);
    assert_eq!(account.release_held(), 1);
    assert_ne!(bench.atoms(&jane), settled, "the late write has undone the latest grant");
    bench.later(16).await;
    assert_ne!(bench.atoms(&jane), settled, "it may be a read that is behind");
    bench.later_times(5, 16).await;
    assert_eq!(bench.atoms(&jane), settled);
    assert_reported(&bench, first);
}

/// What a later write of the same left, that was cut off before it was read back, looks like an earlier one that came late; and that one may come yet.
#[tokio::test]
async fn of_two_writes_that_were_to_leave_the_same_the_open_one_is_kept_where_the_later_one_was_answered() {
    for is_read in [true, false] {
        let (bench, known, jane) = Bench::with_jane().await;
        let account = bench.account();
        account.add_policy(&jane, holds(account, &known[1]));
        let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
        account.fail_next(Route::UpdateMember, 1, Fault::Held);
        account.fail_next(Route::UpdateMember, 1, Fault::TooManyRequests { retry_after: None, headers: false });
        assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
        account.clear_faults();
        bench.world.advance(400);
        // Somebody is told what the member holds without it.
        assert_done(&bench.operate(Action::Revoke, target(&known[3]), member(&jane)).await, Effect::AlreadyRevoked);
        if !is_read {
            account.fail_next(Route::UpdateMember, 1, Fault::TruncatedJson);
        }
        account.before_next_put(|account, _| account.fail_next(Route::GetMember, 20, Fault::status(500, 10_000)));
        assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
        account.clear_faults();
        bench.world.advance(70);
        assert_eq!(bench.atoms(&jane), [atom(account, &known[0])].into(), "the latest one was carried out");
        assert_done(&bench.operate(Action::Grant, target(&known[2]), member(&jane)).await, Effect::Granted);
        bench.world.advance(70);
        assert_eq!(account.release_held(), 1);
        assert_eq!(bench.atoms(&jane), [atom(account, &known[0])].into(), "the first one came over the grant");
        bench.later_times(4, 600).await;
        assert!(bench.atoms(&jane).contains(&atom(account, &known[2])), "{is_read}");
        assert_done(&bench.settle(revoke).await, Effect::Revoked);
        assert_eq!(bench.atoms(&jane), [0, 2].map(|n: usize| atom(account, &known[n])).into());
    }
}

/// A look at an open write may fall between another operation's write, which left the same, and its read-back.
#[tokio::test]
async fn what_an_operation_under_way_has_just_written_is_no_older_write_that_came_late() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    account.fail_next(Route::UpdateMember, 1, Fault::Held);
    assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&jane)).await, Effect::Granted);
    let left = bench.atoms(&jane);
    assert_done(&bench.operate(Action::Grant, target(&known[2]), member(&jane)).await, Effect::Granted);
    // The revoke is written, and not read back for a while.
    account.before_next_put(|account, _| account.fail_next(Route::GetMember, 20, Fault::status(500, 10_000)));
    let revoke = bench.arrive(Action::Revoke, target(&known[2]), member(&jane));
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    assert_eq!(bench.atoms(&jane), left);
    account.clear_faults();
    account.reset_log();
    bench.later_times(4, 30).await;
    assert_eq!((account.requests(Route::UpdateMember), bench.atoms(&jane)), (0, left.clone()));
    assert!(matches!(bench.settle(revoke).await, Outcome::Done { effect: Effect::Revoked, .. }));
    assert_eq!(bench.atoms(&jane), left);
    // The control: what comes late after that, over a later change, is put right.
    assert_done(&bench.operate(Action::Grant, target(&known[2]), member(&jane)).await, Effect::Granted);
    let settled = bench.atoms(&jane);
    bench.world.advance(120);
    account.release_held();
    assert_eq!(bench.atoms(&jane), left);
    bench.later_times(2, 600).await;
    assert_eq!(bench.atoms(&jane), settled);
}

/// Which of two open writes that were to leave the same was carried out cannot be told, and the other one may come as well.
#[tokio::test]
async fn of_two_writes_that_were_to_leave_the_same_both_may_come_late_and_are_put_right() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    account.fail_next(Route::UpdateMember, 2, Fault::Held);
    assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&jane)).await, Effect::Granted);
    assert_done(&bench.operate(Action::Grant, target(&known[2]), member(&jane)).await, Effect::Granted);
    let settled = bench.atoms(&jane);
    let next_look = async || {
        let due = aftercare::late_writes_due(&bench.world).unwrap().expect("one may come yet");
        bench.world.advance((due.since(bench.world.now()) + 999) / 1_000);
        bench.later(0).await;
    };
    // Either has been looked for twice, and the older one a third time: the younger one is next.
    for _ in 0..5 {
        next_look().await;
    }
    for _ in 0..2 {
        account.set_policies(&jane, vec![holds(account, &known[0]), holds(account, &known[1])]);
        next_look().await;
        assert_eq!(bench.atoms(&jane), settled);
    }
    assert_eq!(aftercare::late_writes_due(&bench.world).unwrap(), None, "both came");
}

#[tokio::test]
async fn nothing_is_said_to_be_gone_that_a_late_write_brings_back_while_the_proof_of_its_absence_is_answered() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let first = with_a_grant_that_may_come_late(&bench, &known[1], &jane).await;
    let gone = [atom(account, &known[0])].into();
    // The read that shows the role gone is carried out, and before anybody has the answer the first write arrives at last.
    account.after_next(Route::UpdateMember, |account, _| {
        account.after_next(Route::GetMember, |account, _| assert_eq!(account.release_held(), 1));
    });
    let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
    let outcome = bench.attempt(revoke).await;
    assert!(matches!(outcome, Outcome::NotNow { .. }), "{outcome:?}");
    assert_ne!(bench.atoms(&jane), gone, "it is there at the very moment at which it would have been said to be gone");
    bench.world.advance(61);
    assert_done(&bench.settle(revoke).await, Effect::Revoked);
    assert_eq!(bench.atoms(&jane), gone);
    assert_reported(&bench, first);
}

#[tokio::test]
async fn an_open_write_is_kept_for_as_long_as_the_operation_that_sent_it_is_not_settled() {
    for is_settled in [false, true] {
        let (bench, known, jane) = Bench::with_jane().await;
        let account = bench.account();
        account.fail_next(Route::UpdateMember, 3, Fault::Held);
        let grant = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
        assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
        account.clear_faults();
        if is_settled {
            let refused = Outcome::refused(Refusal::GaveUp, "it was given up");
            journal::settle(&bench.world, grant, &refused, bench.world.now()).unwrap();
        }
        bench.later_times(20, 600).await;
        // Twenty times as long as a write may live that nobody waits for.
        let open = aftercare::late_writes_due(&bench.world).unwrap();
        assert_eq!(open.is_some(), !is_settled, "{open:?}");
        if !is_settled {
            assert_done(&bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await, Effect::AlreadyRevoked);
            account.release_held();
            bench.later(600).await;
            assert_eq!(bench.atoms(&jane), [atom(account, &known[0])].into(), "it is known for what it is");
        }
    }
}

fn assert_reported(bench: &Bench, operation: EntryId) {
    let entry = bench.entry(operation);
    assert_eq!(entry.incidents.len(), 1);
    assert_eq!(entry.incidents[0].kind, IncidentKind::LateWrite);
    assert!(entry.trail.iter().any(|line| line.contains("came late")), "{:?}", entry.trail);
}

/// A token that ended on a Friday is renewed on Monday.
#[tokio::test]
async fn a_late_write_is_put_right_though_cloudflare_could_not_be_asked_for_days() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let first = with_a_grant_that_may_come_late(&bench, &known[1], &jane).await;
    assert_done(&bench.operate(Action::Grant, target(&known[2]), member(&jane)).await, Effect::Granted);
    account.fail_randomly(Route::GetMember, 1.0, Fault::status(401, 10_000));
    bench.later_times(60, 3_600).await;
    let due = aftercare::late_writes_due(&bench.world).unwrap().unwrap();
    assert!(due.since(bench.world.now()) > 15 * 60_000, "ever more rarely: {due}");
    account.release_held();
    account.clear_faults();
    bench.later_times(2, 3_600).await;
    assert_eq!(bench.atoms(&jane), [0, 1, 2].map(|n: usize| atom(account, &known[n])).into());
    assert_reported(&bench, first);
}

#[tokio::test]
async fn an_operation_that_finds_a_late_write_makes_what_it_undid_once_more() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let first = with_a_grant_that_may_come_late(&bench, &known[1], &jane).await;
    assert_done(&bench.operate(Action::Grant, target(&known[2]), member(&jane)).await, Effect::Granted);
    assert_done(&bench.operate(Action::Grant, target(&known[3]), member(&jane)).await, Effect::Granted);
    account.release_held();
    bench.world.advance(70);
    assert_done(&bench.operate(Action::Grant, target(&known[4]), member(&jane)).await, Effect::Granted);
    let expected = [0, 1, 2, 3, 4].map(|n: usize| atom(account, &known[n]));
    assert_eq!(bench.atoms(&jane), expected.into());
    assert_reported(&bench, first);
}

#[tokio::test]
async fn somebody_elses_later_change_is_not_taken_for_a_late_write() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    account.fail_next(Route::UpdateMember, 1, Fault::Reset);
    assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&jane)).await, Effect::Granted);
    assert_done(&bench.operate(Action::Grant, target(&known[2]), member(&jane)).await, Effect::Granted);
    account.set_policies(&jane, vec![holds(account, &known[5])]);
    bench.later_times(3, 70).await;
    assert_eq!(bench.atoms(&jane), [atom(account, &known[5])].into());
    assert_eq!(
        incident::latest(&bench.world).unwrap().iter().filter(|found| found.kind == IncidentKind::LateWrite).count(),
        0
    );
}

#[tokio::test]
async fn a_write_that_was_seen_is_not_looked_for() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    account.fail_next(Route::UpdateMember, 1, Fault::Reset.after());
    assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&jane)).await, Effect::Granted);
    account.reset_log();
    bench.later(30).await;
    assert_eq!(account.requests(Route::GetMember), 0);
}

#[tokio::test]
async fn an_invitation_that_is_accepted_meanwhile_is_granted_to_all_the_same() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.invite(NEW, vec![holds(account, &known[0])]);
    account.before_next_put(|cloudflare, member| {
        cloudflare.accept_invitation(member);
    });
    assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&jane)).await, Effect::Granted);
    assert_eq!(account.membership(&jane).unwrap().status, "accepted");
    assert_eq!(bench.atoms(&jane), [atom(account, &known[0]), atom(account, &known[1])].into());
}

#[tokio::test]
async fn who_is_removed_and_invited_again_meanwhile_is_found_by_the_address() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let old = account.invite(NEW, vec![holds(account, &known[0])]);
    let again = holds(account, &known[2]);
    account.before_next_put(move |cloudflare, member| {
        cloudflare.remove_member(member);
        cloudflare.invite(NEW, vec![again]);
    });
    let mut subject = person(NEW);
    (subject.member_id, subject.has_account) = (Some(old.parse().unwrap()), true);
    assert_done(&bench.operate(Action::Grant, target(&known[1]), subject).await, Effect::Granted);
    let new = account.membership_of(NEW).unwrap().id;
    assert_ne!(new, old);
    assert_eq!(bench.atoms(&new), [atom(account, &known[1]), atom(account, &known[2])].into());
}

#[tokio::test]
async fn a_membership_id_that_is_somebody_elses_by_now_is_ambiguous_and_nobody_is_touched() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let joe = account.add_member("joe@example.com", vec![holds(account, &known[0])]);
    let mut subject = person("joe@example.com");
    (subject.member_id, subject.has_account) = (Some(jane.parse().unwrap()), true);
    for action in [Action::Grant, Action::Revoke] {
        let outcome = bench.operate(action, target(&known[0]), subject.clone()).await;
        assert_refused(&outcome, Refusal::AmbiguousMember, "sync this connector");
    }
    assert_eq!((bench.atoms(&jane).len(), bench.atoms(&joe).len()), (1, 1));
    assert_done(&bench.operate(Action::Grant, target(&known[1]), person("joe@example.com")).await, Effect::Granted);
}

#[tokio::test]
async fn the_journal_has_the_ray_of_every_write() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let group = account.add_group("Operators", vec![holds(account, &known[3])]);
    let jane = account.add_member(JANE, vec![holds(account, &known[0])]);
    let rays = |id| bench.entry(id).trail.iter().filter(|line| line.contains("cf-ray")).count();
    for (action, what, whom) in [
        (Action::Grant, target(&known[1]), member(&jane)),
        (Action::Grant, super::group_target(&group), member(&jane)),
        (Action::Revoke, super::group_target(&group), member(&jane)),
        (Action::Grant, super::Target::Account, person(NEW)),
        (Action::Revoke, super::Target::Account, person(NEW)),
    ] {
        let id = bench.arrive(action, what, whom);
        assert!(matches!(bench.settle(id).await, Outcome::Done { .. }));
        assert_eq!(rays(id), 1, "{:?}", bench.entry(id).trail);
    }
}

#[tokio::test]
async fn the_journal_has_the_ray_of_a_removal_that_cannot_be_read_back_at_once() {
    let bench = Bench::start().await;
    let account = bench.account();
    let jane = account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
    account.before_next(Route::DeleteMember, |account, _| {
        account.fail_next(Route::GetMember, 12, Fault::status(500, 10_000));
    });
    let id = bench.arrive(Action::Revoke, super::Target::Account, member(&jane));
    assert!(matches!(bench.settle(id).await, Outcome::Done { .. }));
    let trail = bench.entry(id).trail;
    assert_eq!(trail.iter().filter(|line| line.contains("deleted (cf-ray ")).count(), 1, "{trail:?}");
}

#[tokio::test]
async fn what_an_operation_sent_that_was_refused_afterwards_does_not_come_late_unseen() {
    for is_on_again in [true, false] {
        let (mut bench, known, jane) = Bench::with_jane().await;
        let account = bench.account().clone();
        let before = bench.atoms(&jane);
        account.fail_next(Route::UpdateMember, 3, Fault::Held);
        let grant = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
        assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
        account.clear_faults();
        bench.world.advance(70);
        bench.world.config.provision.provisioning = Provisioning::Off;
        assert_refused(&bench.attempt(grant).await, Refusal::ProvisioningOff, "off");
        if is_on_again {
            bench.world.config.provision.provisioning = Provisioning::On;
        }
        bench.world.advance(120);
        assert!(account.release_held() > 0);
        bench.later_times(8, 61).await;
        bench.assert_told("carried out late");
        assert_eq!(bench.atoms(&jane) == before, is_on_again);
    }
    // A removal that was refused, and came all the same.
    let (mut bench, _, jane) = Bench::with_jane().await;
    bench.world.sync().await;
    let account = bench.account().clone();
    account.fail_next(Route::DeleteMember, 1, Fault::Held);
    let removal = bench.arrive(Action::Revoke, Target::Account, member(&jane));
    assert!(matches!(bench.attempt(removal).await, Outcome::NotNow { .. }));
    bench.world.config.provision.guards.protected = vec![JANE.to_owned()];
    assert_refused(&bench.settle(removal).await, Refusal::ProtectedMember, "PROTECTED_MEMBERS");
    assert_eq!(bench.laid_over(&jane).await, None);
    assert!(account.release_held() > 0);
    bench.later_times(8, 61).await;
    bench.assert_told("The removal of");
    assert_eq!(bench.laid_over(&jane).await, Some(None), "and readers see her no more");
}

#[tokio::test]
async fn what_is_in_force_is_told_as_done_whichever_app_was_pinned_meanwhile() {
    let (mut bench, known, jane) = Bench::with_jane().await;
    let account = bench.account().clone();
    account.after_next(Route::UpdateMember, |account, _| {
        account.fail_next(Route::GetMember, 4, Fault::status(503, 1));
    });
    let grant = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    account.clear_faults();
    bench.world.config.provision.apps = Apps::configured(vec!["another-app".to_owned()], None);
    assert_done(&bench.settle(grant).await, Effect::Granted);
    let other = bench.arrive(Action::Grant, target(&known[2]), member(&jane));
    assert_refused(&bench.attempt(other).await, Refusal::AppNotAllowed, "ALLOWED_APPS");
}
