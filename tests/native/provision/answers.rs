//! Answers of Cloudflare's that are well formed and not so: another's record, a list that does not tell how long it is or that moves while
//! it is read, a list or a membership that is not there for a moment.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use c1_cloudflare::base::ports::Sql as _;
use serde_json::{Value, json};
use sim::cloudflare::{Cloudflare, Collation, Fault, PolicySpec, Route};

use super::{
    Action, Bench, Effect, JANE, NEW, Outcome, Refusal, Target, account_of, aftercare, assert_done, assert_refused,
    atom, group_target, holds, member, person, roles, target,
};

fn is_put_off(outcome: &Outcome, says: &str) {
    assert!(matches!(outcome, Outcome::NotNow { message, .. } if message.contains(says)), "{says}: {outcome:?}");
}

/// Cloudflare's own clients send again what met a conflict.
#[tokio::test]
async fn a_conflict_is_written_again_and_what_is_refused_is_not() {
    for (status, writes) in [(409, 2), (400, 1)] {
        let (bench, known, jane) = Bench::with_jane().await;
        let account = bench.account();
        account.fail_next(Route::UpdateMember, 1, Fault::status(status, 1_001));
        let grant = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
        let outcome = bench.attempt(grant).await;
        if status == 409 {
            assert_done(&outcome, Effect::Granted);
        } else {
            assert_refused(&outcome, Refusal::Cloudflare, "1001");
        }
        assert_eq!(bench.atoms(&jane).contains(&atom(account, &known[1])), status == 409);
        assert_eq!(account.requests(Route::UpdateMember), writes);
        assert_eq!(aftercare::late_writes_due(&bench.world).unwrap(), None, "it was answered, and does not come late");
    }
}

/// Else nothing would ever end the renewal, which would keep its place among the removals.
#[tokio::test]
async fn an_invitation_whose_removal_meets_a_conflict_is_not_one_to_be_brought_back() {
    let bench = Bench::start().await;
    let account = bench.account();
    let old = account.invite(NEW, vec![holds(account, &roles(account)[0])]);
    let renewal = bench.arrive(Action::Grant, Target::Renewal, member(&old));
    account.fail_next(Route::DeleteMember, 99, Fault::status(409, 1_001));
    for _ in 0..3 {
        is_put_off(&bench.attempt(renewal).await, "HTTP 409");
        let kept = "SELECT operation FROM renewal UNION ALL SELECT operation FROM removal WHERE writes > 0";
        assert_eq!(bench.world.query(kept, &[]), Ok(Vec::new()));
        assert_eq!(aftercare::late_writes_due(&bench.world).unwrap(), None);
        bench.world.advance(60);
    }
    // One alone passes.
    account.clear_faults();
    account.fail_next(Route::DeleteMember, 1, Fault::status(409, 1_001));
    assert_done(&bench.settle(renewal).await, Effect::Renewed);
    // The control: what nobody answered may have been carried out.
    let new = account.membership_of(NEW).unwrap().id;
    let renewal = bench.arrive(Action::Grant, Target::Renewal, member(&new));
    account.fail_next(Route::DeleteMember, 1, Fault::status(503, 1_001));
    is_put_off(&bench.attempt(renewal).await, "still shows");
    assert_eq!(bench.world.query("SELECT operation FROM renewal", &[]).unwrap().len(), 1);
}

/// The status says less than the code: that somebody has the address already is no conflict that passes.
#[tokio::test]
async fn who_is_a_member_already_is_one_under_whichever_status() {
    for (code, says) in
        [(1_004, "is a member already"), (1_008, "is a member already"), (1_001, "it is not known whether")]
    {
        let bench = Bench::start().await;
        bench.account().fail_next(Route::CreateMember, 1, Fault::status(409, code));
        let grant = bench.arrive(Action::Grant, Target::Account, person(NEW));
        is_put_off(&bench.attempt(grant).await, says);
    }
}

/// Jane, who holds a role of her own and through a user group.
async fn jane_in_a_group() -> (Bench, Target, String, String) {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    account.add_policy(&jane, holds(account, &known[1]));
    let group = account.add_group("Operators", vec![holds(account, &known[1])]);
    account.join_group(&group, &jane);
    (bench, target(&known[1]), jane, group)
}

fn not_known_yet(account: &Cloudflare, group: &str) {
    account.make_new(group);
    account.configure(|behaviour| behaviour.new_group_lag = Duration::from_hours(1));
}

fn known_by_now(account: &Cloudflare) {
    account.configure(|behaviour| behaviour.new_group_lag = Duration::ZERO);
}

#[tokio::test]
async fn that_nobody_is_found_in_a_group_whose_members_are_not_known_yet_proves_nothing() {
    let (bench, role, jane, group) = jane_in_a_group().await;
    let account = bench.account();
    not_known_yet(account, &group);
    let revoke = bench.arrive(Action::Revoke, role.clone(), member(&jane));
    is_put_off(&bench.attempt(revoke).await, "does not know the members");
    known_by_now(account);
    bench.world.advance(10);
    assert_refused(&bench.attempt(revoke).await, Refusal::HeldThroughGroup, "Operators");
    // Who is not in it is told at once.
    let joe = account.add_member("joe@example.com", vec![holds(account, &roles(account)[0])]);
    account.add_policy(&joe, holds(account, &roles(account)[1]));
    assert_done(&bench.operate(Action::Revoke, role, member(&joe)).await, Effect::Revoked);
}

/// A group with an invalid policy refuses the list of its members, and tells all the same who is in it and who is not.
#[tokio::test]
async fn who_is_in_a_group_that_refuses_the_list_of_its_members_is_known_one_by_one() {
    let (bench, role, jane, group) = jane_in_a_group().await;
    let account = bench.account();
    let known = roles(account);
    account.break_group(&group, true);
    let joe = account.add_member("joe@example.com", vec![holds(account, &known[0]), holds(account, &known[1])]);
    assert_done(&bench.operate(Action::Revoke, role.clone(), member(&joe)).await, Effect::Revoked);
    assert!(!bench.atoms(&joe).contains(&atom(account, &known[1])));
    assert_refused(&bench.operate(Action::Revoke, role, member(&jane)).await, Refusal::HeldThroughGroup, "Operators");
    assert_done(&bench.operate(Action::Revoke, group_target(&group), member(&jane)).await, Effect::Revoked);
    assert!(!account.membership(&jane).unwrap().groups.contains(&group));
}

#[tokio::test]
async fn a_super_administrator_through_a_group_that_is_too_new_is_not_taken_for_none() {
    let bench = Bench::with(|_| {}, |config| config.provision.guards.min_super_admins = 100).await;
    let account = bench.account();
    let group = account.add_group("Admins", vec![holds(account, &account.permission_group("super_admin").unwrap())]);
    let jane = account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
    let joe = account.add_member("joe@example.com", vec![holds(account, &roles(account)[0])]);
    account.join_group(&group, &jane);
    not_known_yet(account, &group);
    let removal = bench.arrive(Action::Revoke, Target::Account, member(&jane));
    is_put_off(&bench.attempt(removal).await, "does not know the members");
    known_by_now(account);
    bench.world.advance(10);
    assert_refused(&bench.attempt(removal).await, Refusal::MinSuperAdmins, JANE);
    assert_done(&bench.operate(Action::Revoke, Target::Account, member(&joe)).await, Effect::Removed);
}

#[tokio::test]
async fn a_member_who_is_not_found_in_a_group_for_a_moment_is_not_told_to_have_left_it() {
    let (bench, _, jane, group) = jane_in_a_group().await;
    let account = bench.account();
    // Found in it, and then the group is as if it were new.
    let at = group.clone();
    account.after_next(Route::GetUserGroupMember, move |account, _| not_known_yet(account, &at));
    let revoke = bench.arrive(Action::Revoke, group_target(&group), member(&jane));
    is_put_off(&bench.attempt(revoke).await, "does not show the change");
    assert!(account.membership(&jane).unwrap().groups.contains(&group));
    known_by_now(account);
    assert_done(&bench.settle(revoke).await, Effect::Revoked);
    assert!(!account.membership(&jane).unwrap().groups.contains(&group));
}

#[tokio::test]
async fn an_invitation_is_not_renewed_while_it_is_not_known_which_groups_it_is_in() {
    let (bench, known, _) = Bench::with_jane().await;
    let account = bench.account();
    let group = account.add_group("Operators", vec![holds(account, &known[1])]);
    let invitation = account.invite(NEW, vec![holds(account, &known[0])]);
    account.join_group(&group, &invitation);
    not_known_yet(account, &group);
    let renewal = bench.arrive(Action::Grant, Target::Renewal, member(&invitation));
    is_put_off(&bench.attempt(renewal).await, "does not know the members");
    assert!(account.membership(&invitation).is_some());
    known_by_now(account);
    // Nor while the list of them is not there.
    account.fail_next(Route::ListUserGroups, 1, Fault::status(404, 404));
    bench.world.advance(10);
    is_put_off(&bench.attempt(renewal).await, "no user groups");
    bench.world.advance(10);
    assert_done(&bench.attempt(renewal).await, Effect::Renewed);
    assert!(account.membership_of(NEW).unwrap().groups.contains(&group));
}

#[tokio::test]
async fn a_list_of_groups_that_the_last_sync_read_is_not_taken_for_none_when_it_is_not_there() {
    let (bench, role, jane, _) = jane_in_a_group().await;
    let account = bench.account();
    account.fail_next(Route::ListUserGroups, 1, Fault::status(404, 7003));
    let revoke = bench.arrive(Action::Revoke, role, member(&jane));
    is_put_off(&bench.attempt(revoke).await, "no user groups");
    bench.world.advance(10);
    assert_refused(&bench.attempt(revoke).await, Refusal::HeldThroughGroup, "Operators");
}

#[tokio::test]
async fn an_account_that_never_had_user_groups_has_none() {
    let bench =
        Bench::with(|account| account.fail_randomly(Route::ListUserGroups, 1.0, Fault::status(404, 7003)), |_| {})
            .await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &known[0]), holds(account, &known[1])]);
    assert_done(&bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await, Effect::Revoked);
}

/// Five hundred groups that stand before the one that Jane is in, and so fill a page.
fn fill_a_page(account: &Cloudflare) -> Vec<String> {
    (0..500).map(|number| account.add_group(&format!("A{number:03}"), vec![])).collect()
}

#[tokio::test]
async fn a_list_of_groups_that_does_not_tell_how_long_it_is_goes_on_after_a_full_page() {
    let (bench, role, jane, _) = jane_in_a_group().await;
    fill_a_page(bench.account());
    bench.world.bends.replace(Some(Box::new(without_totals)));
    assert_refused(&bench.operate(Action::Revoke, role, member(&jane)).await, Refusal::HeldThroughGroup, "Operators");
}

/// A list says nothing of its length.
fn without_totals(_: &str, body: &mut Value) {
    body.as_object_mut().unwrap().remove("result_info");
}

#[tokio::test]
async fn a_list_of_groups_that_moves_while_it_is_looked_through_proves_nothing() {
    let (bench, role, jane, group) = jane_in_a_group().await;
    let account = bench.account();
    let before = fill_a_page(account);
    // The next one is the first of the second page, and slips to the first one.
    account.set_group_policies(&before[1], vec![holds(account, &roles(account)[7])]);
    account.remove_group(&group);
    let group = account.add_group("AA", vec![holds(account, &roles(account)[1])]);
    account.join_group(&group, &jane);
    let gone = before[0].clone();
    account.after_page(Route::ListUserGroups, 1, move |account, _| account.remove_group(&gone));
    let revoke = bench.arrive(Action::Revoke, role, member(&jane));
    is_put_off(&bench.attempt(revoke).await, "changed while it was looked through");
    bench.world.advance(10);
    assert_refused(&bench.attempt(revoke).await, Refusal::HeldThroughGroup, "AA");
}

#[tokio::test]
async fn a_list_of_members_that_does_not_tell_how_long_it_is_is_read_to_its_end() {
    let (bench, known, _) = Bench::with_jane().await;
    let account = bench.account();
    for number in 0..160 {
        account.add_member(&format!("a{number:03}@example.com"), vec![holds(account, &known[0])]);
    }
    let zoe = account.add_member("zoe@example.com", vec![holds(account, &known[0]), holds(account, &known[1])]);
    bench.world.bends.replace(Some(Box::new(without_totals)));
    let outcome = bench.operate(Action::Revoke, target(&known[1]), person("zoe@example.com")).await;
    assert_done(&outcome, Effect::Revoked);
    assert!(!bench.atoms(&zoe).contains(&atom(account, &known[1])));
    let outcome = bench.operate(Action::Grant, target(&known[2]), person("zoe@example.com")).await;
    assert_done(&outcome, Effect::Granted);
    // Nobody is nobody.
    let outcome = bench.operate(Action::Revoke, target(&known[1]), account_of("zoe@example.org")).await;
    assert_done(&outcome, Effect::AlreadyRevoked);
}

#[tokio::test]
async fn nobody_has_an_address_only_where_the_whole_list_says_so_whatever_its_order() {
    let (bench, known, _) = Bench::with_jane().await;
    let account = bench.account();
    // In this order a dot comes after all letters, and nothing on the pages that are looked at tells so.
    account.configure(|behaviour| behaviour.collation = Collation::CaseInsensitive);
    account.memberships().iter().for_each(|member| account.remove_member(&member.id));
    let role = || vec![holds(account, &known[0]), holds(account, &known[1])];
    for letters in 0..200_u8 {
        let [a, b] = [letters / 26, letters % 26].map(|place| char::from(b'a' + place));
        account.add_member(&format!("j{a}{b}@example.com"), role());
    }
    let whom = account.add_member("j.a@example.com", role());
    let outcome = bench.operate(Action::Revoke, target(&known[1]), person("j.a@example.com")).await;
    assert_done(&outcome, Effect::Revoked);
    assert!(!bench.atoms(&whom).contains(&atom(account, &known[1])));
    // Who is granted something is found where Cloudflare says that somebody has the address.
    let outcome = bench.operate(Action::Grant, target(&known[1]), person("j.a@example.com")).await;
    assert_done(&outcome, Effect::Granted);
    assert!(bench.atoms(&whom).contains(&atom(account, &known[1])));
}

/// Somebody may give the resource group that is the whole account a namesake, and members may hold that.
#[tokio::test]
async fn a_role_is_taken_back_also_after_the_list_of_resource_groups_was_not_there_for_a_moment_beside_a_namesake() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let whole = account.account_resource_group();
    let name = format!("com.cloudflare.api.account.{}", account.account_id());
    // Of those that members hold, the lowest id comes first.
    let namesakes = std::iter::repeat_with(|| account.add_scope(&name, &[name.as_str()]));
    let namesake = namesakes.take(10_000).find(|id| *id < whole).unwrap();
    account.add_policy(&jane, holds(account, &known[1]));
    account.add_policy(&jane, PolicySpec::allow(known[2].id.clone(), namesake));
    account.fail_next(Route::ListResourceGroups, 1, Fault::status(403, 10_000));
    for _ in 0..2 {
        bench.world.sync().await;
    }
    assert_done(&bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await, Effect::Revoked);
    assert!(!bench.atoms(&jane).contains(&atom(account, &known[1])));
}

#[tokio::test]
async fn another_members_record_proves_nothing_of_the_one_who_was_asked_for() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    account.add_policy(&jane, holds(account, &known[1]));
    let joe = account.add_member("joe@example.com", vec![holds(account, &known[0])]);
    account.fail_next(Route::UpdateMember, 3, Fault::status(500, 10_000));
    let (path, wrote) =
        (format!("GET /client/v4/accounts/{}/members/{jane}?", account.account_id()), Rc::new(Cell::new(false)));
    let other = json!({ "id": joe, "email": "joe@example.com", "status": "accepted", "policies": [] });
    let policy = json!({ "id": "f".repeat(32), "access": "allow", "permission_groups": [{ "id": known[0].id }],
        "resource_groups": [{ "id": account.account_resource_group() }] });
    bench.world.bends.replace(Some(Box::new(move |asked, body| {
        wrote.set(wrote.get() || asked.starts_with("PUT"));
        if asked == path && wrote.get() {
            body["result"] = other.clone();
            body["result"]["policies"] = json!([policy]);
        }
    })));
    let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
    is_put_off(&bench.attempt(revoke).await, "was asked for");
    bench.world.bends.take();
    assert_done(&bench.settle(revoke).await, Effect::Revoked);
    assert!(!bench.atoms(&jane).contains(&atom(account, &known[1])));
}

#[tokio::test]
async fn another_record_in_answer_to_an_invitation_puts_nobody_else_into_a_group() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let group = account.add_group("Operators", vec![holds(account, &known[1])]);
    let other = json!({ "id": jane, "email": JANE, "status": "accepted", "policies": [] });
    bench.world.bends.replace(Some(Box::new(move |asked, body| {
        if asked.starts_with("POST") && asked.ends_with("/members?") && !asked.contains("user_groups") {
            body["result"] = other.clone();
        }
    })));
    assert_done(&bench.operate(Action::Grant, group_target(&group), person(NEW)).await, Effect::Granted);
    assert!(!account.membership(&jane).unwrap().groups.contains(&group));
    assert!(account.membership_of(NEW).unwrap().groups.contains(&group));
}

#[tokio::test]
async fn managed_elsewhere_tells_of_the_invitation_that_went_out_before() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let group = account.add_group("Operators", vec![holds(account, &known[1])]);
    account.manage_by_scim(&group);
    let outcome = bench.operate(Action::Grant, group_target(&group), person(NEW)).await;
    assert_refused(&outcome, Refusal::ManagedElsewhere, "new.hire@example.com was invited");
    assert!(account.membership_of(NEW).is_some());
    // The same where the invitation was found by a later attempt.
    account.fail_next(Route::CreateMember, 1, Fault::Html { status: 524 }.after());
    account.fail_next(Route::ListMembers, 2, Fault::status(500, 1));
    let outcome = bench.operate(Action::Grant, group_target(&group), person("newer.hire@example.com")).await;
    assert_refused(&outcome, Refusal::ManagedElsewhere, "newer.hire@example.com was invited");
    // And nothing of the kind where nobody was.
    let outcome = bench.operate(Action::Grant, group_target(&group), member(&jane)).await;
    let Outcome::Refused { message, .. } = outcome else { panic!("{outcome:?}") };
    assert!(!message.contains("was invited"), "{message}");
}

#[tokio::test]
async fn superseded_tells_of_the_invitation_that_went_out_before() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let group = account.add_group("Operators", vec![holds(account, &known[1])]);
    let grants = [person(NEW), member(&jane)].map(|who| bench.arrive(Action::Grant, group_target(&group), who));
    not_known_yet(account, &group);
    for grant in grants {
        assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    }
    known_by_now(account);
    for who in [person(NEW), member(&jane)] {
        assert_done(&bench.operate(Action::Revoke, group_target(&group), who).await, Effect::AlreadyRevoked);
    }
    let [invited, not_invited] = [bench.settle(grants[0]).await, bench.settle(grants[1]).await];
    assert_refused(&invited, Refusal::Superseded, "new.hire@example.com was invited");
    assert!(account.membership_of(NEW).is_some());
    assert_refused(&not_invited, Refusal::Superseded, "this one is void");
    assert!(matches!(not_invited, Outcome::Refused { message, .. } if !message.contains("was invited")));
}

#[tokio::test]
async fn superseded_tells_of_no_invitation_that_a_later_operation_sent() {
    let (bench, known, _) = Bench::with_jane().await;
    let account = bench.account();
    let group = account.add_group("Operators", vec![holds(account, &known[1])]);
    let grant = bench.arrive(Action::Grant, group_target(&group), person(NEW));
    not_known_yet(account, &group);
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    known_by_now(account);
    for (action, effect) in [(Action::Revoke, Effect::Removed), (Action::Grant, Effect::Invited)] {
        assert_done(&bench.operate(action, Target::Account, person(NEW)).await, effect);
        bench.world.advance(1);
    }
    let outcome = bench.settle(grant).await;
    assert_refused(&outcome, Refusal::Superseded, "this one is void");
    assert!(matches!(outcome, Outcome::Refused { message, .. } if !message.contains("was invited")));
    assert!(account.membership_of(NEW).is_some());
}
