//! Whose a policy is that a member's record shows, and what it costs to know.

use c1_cloudflare::account::inherited;
use c1_cloudflare::model::ask::Action;
use c1_cloudflare::model::operation::{Effect, Outcome, Refusal};
use c1_cloudflare::provision::{LastRole, Provisioning, heard};
use c1_cloudflare::sync;
use futures::future::join_all;
use sim::cloudflare::{Cloudflare, Fault, Latency, Oddity, On, Route};
use std::time::Duration;

use super::guards::unsynced;
use super::{
    Bench, JANE, NEW, Target, assert_done, assert_not_now, assert_refused, atom, group_target, holds, member, person,
    roles, target,
};

fn without_groups(account: &Cloudflare) {
    for group in account.truth().groups.into_keys() {
        account.remove_group(&group);
    }
}

fn showing(account: &Cloudflare) {
    account.configure(|behaviour| behaviour.lists_inherited_policies = true);
}

fn giving(account: &Cloudflare) -> String {
    let known = roles(account);
    let group = account.add_group("Operators", vec![holds(account, &known[5])]);
    let one = account.add_member("operator@example.com", vec![holds(account, &known[0])]);
    account.join_group(&group, &one);
    group
}

async fn grants(bench: &Bench, place: usize) -> usize {
    let account = bench.account();
    let known = roles(account);
    let jane = account.membership_of(JANE).unwrap().id;
    account.reset_log();
    assert_done(&bench.operate(Action::Grant, target(&known[place]), member(&jane)).await, Effect::Granted);
    account.total_requests()
}

#[tokio::test]
async fn a_grant_takes_three_calls_from_the_first_one_on() {
    for (what, shows, gives) in [
        ("no groups", false, false),
        ("no groups, shown", true, false),
        ("a group", false, true),
        ("a group, shown", true, true),
    ] {
        let bench = Bench::with(
            |account| {
                without_groups(account);
                if shows {
                    showing(account);
                }
                if gives {
                    giving(account);
                }
                account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
            },
            |_| {},
        )
        .await;
        assert_eq!(inherited::shows_inherited(&bench.world).unwrap(), gives.then_some(shows), "{what}");
        // The second one changes what the first one wrote.
        assert_eq!([grants(&bench, 1).await, grants(&bench, 2).await], [3, 3], "{what}");
        // What somebody else wrote is looked into once, where a group's might be among it.
        let account = bench.account();
        let jane = account.membership_of(JANE).unwrap().id;
        account.add_policy(&jane, holds(account, &roles(account)[4]));
        let asked = if gives && !shows { 3 } else { 5 };
        assert_eq!([grants(&bench, 3).await, grants(&bench, 6).await], [asked, 3], "{what}");
    }
}

#[tokio::test]
async fn what_a_group_that_was_made_since_gives_stays_the_groups() {
    let bench = Bench::with(
        |account| {
            without_groups(account);
            showing(account);
            account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
        },
        |_| {},
    )
    .await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.membership_of(JANE).unwrap().id;
    let group = account.add_group("Operators", vec![holds(account, &known[5])]);
    account.join_group(&group, &jane);
    grants(&bench, 1).await;
    assert_eq!(bench.atoms(&jane), [atom(account, &known[0]), atom(account, &known[1])].into());
    // And again where it gives more, right after a grant that found everything to be the member's own.
    account.set_group_policies(&group, vec![holds(account, &known[5]), holds(account, &known[6])]);
    grants(&bench, 2).await;
    assert_eq!(bench.atoms(&jane).len(), 3);
}

/// Jane in the one group that there is, where records show what groups give; and the group's id, and hers.
async fn in_a_group() -> (Bench, String, String) {
    let prepare = |account: &Cloudflare| {
        without_groups(account);
        showing(account);
        let group = giving(account);
        let jane = account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
        account.join_group(&group, &jane);
    };
    let bench = Bench::with(prepare, |_| {}).await;
    let jane = bench.account().membership_of(JANE).unwrap();
    let group = jane.groups.into_iter().next().unwrap();
    (bench, group, jane.id)
}

#[tokio::test]
async fn what_a_group_gives_stays_the_groups_where_lists_and_the_answers_to_writes_show_it_too() {
    let (bench, _, jane) = in_a_group().await;
    let account = bench.account();
    account.configure(|behaviour| behaviour.lists_inherited_policies_everywhere = true);
    bench.world.sync().await;
    let (known, own) = (roles(account), bench.atoms(&jane));
    grants(&bench, 1).await;
    assert_eq!(bench.atoms(&jane).difference(&own).collect::<Vec<_>>(), [&atom(account, &known[1])]);
    // Whom an address alone names is looked for in the list.
    let outcome = bench.operate(Action::Revoke, target(&known[1]), person(JANE)).await;
    assert_done(&outcome, Effect::Revoked);
    assert_eq!(bench.atoms(&jane), own);
    let outcome = bench.operate(Action::Revoke, target(&known[5]), member(&jane)).await;
    assert_refused(&outcome, Refusal::HeldThroughGroup, "Operators");
    assert_eq!(bench.atoms(&jane), own);
}

/// The group gives what it gave, and more, both under ids that no sync has seen.
fn gives_more(account: &Cloudflare, group: &str) {
    let known = roles(account);
    account.set_group_policies(group, [5, 6].map(|place| holds(account, &known[place])).to_vec());
}

#[tokio::test]
async fn what_a_group_gives_is_granted_all_the_same_where_no_sync_has_seen_that_it_is_the_groups() {
    for (is_own, is_on) in [(false, true), (true, true), (false, false), (true, false)] {
        let (mut bench, group, jane) = in_a_group().await;
        let account = bench.account().clone();
        let known = roles(&account);
        gives_more(&account, &group);
        if is_own {
            account.add_policy(&jane, holds(&account, &known[5]));
        }
        if !is_on {
            bench.world.config.provision.provisioning = Provisioning::Off;
        }
        let before = bench.atoms(&jane);
        let outcome = bench.operate(Action::Grant, target(&known[5]), member(&jane)).await;
        match (is_own, is_on) {
            (true, _) => assert_done(&outcome, Effect::AlreadyGranted),
            (false, true) => assert_done(&outcome, Effect::Granted),
            (false, false) => assert_refused(&outcome, Refusal::ProvisioningOff, "would have granted"),
        }
        let granted = (is_own || is_on).then(|| atom(&account, &known[5]));
        assert_eq!(bench.atoms(&jane), before.into_iter().chain(granted).collect(), "{is_own} {is_on}");
    }
}

#[tokio::test]
async fn whose_a_policy_is_that_was_granted_already_is_not_asked_where_records_do_not_show_the_groups() {
    let prepare = |account: &Cloudflare| {
        without_groups(account);
        giving(account);
        account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
    };
    let bench = Bench::with(prepare, |_| {}).await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.membership_of(JANE).unwrap().id;
    account.add_policy(&jane, holds(account, &known[5]));
    account.reset_log();
    assert_done(&bench.operate(Action::Grant, target(&known[5]), member(&jane)).await, Effect::AlreadyGranted);
    assert_eq!(account.total_requests(), 1, "the read");
}

#[tokio::test]
async fn readers_are_shown_none_of_what_a_group_gives_after_an_operation_on_it_or_on_the_account() {
    for is_told in [true, false] {
        let (bench, group, jane) = in_a_group().await;
        let account = bench.account();
        let known = roles(account);
        let shown = async |id: &str| bench.laid_over(id).await.map(|row| row.unwrap().atoms.len());
        gives_more(account, &group);
        if !is_told {
            account.fail_randomly(Route::ListUserGroups, 1.0, Fault::status(403, 10_000));
        }
        assert_done(&bench.operate(Action::Grant, Target::Account, member(&jane)).await, Effect::AlreadyGranted);
        assert!(shown(&jane).await.is_none_or(|atoms| atoms == 1), "told: {is_told}");
        assert_done(&bench.operate(Action::Revoke, group_target(&group), member(&jane)).await, Effect::Revoked);
        assert_eq!(shown(&jane).await, Some(1), "told: {is_told}");
        // Nobody is asked whose what she was given by hand is: the next sync tells it.
        account.add_policy(&jane, holds(account, &known[4]));
        let lists = account.requests(Route::ListUserGroups);
        assert_done(&bench.operate(Action::Grant, group_target(&group), member(&jane)).await, Effect::Granted);
        assert_eq!(shown(&jane).await, Some(1), "told: {is_told}");
        assert_eq!(account.requests(Route::ListUserGroups), lists, "told: {is_told}");
        // Of whom nothing is known, what was read is shown.
        let invited = account.invite(NEW, vec![holds(account, &known[0])]);
        assert_done(&bench.operate(Action::Grant, Target::Account, member(&invited)).await, Effect::AlreadyGranted);
        assert_eq!(shown(&invited).await, Some(1), "told: {is_told}");
    }
}

fn gives_another(account: &Cloudflare, group: &str) {
    account.set_group_policies(group, vec![holds(account, &roles(account)[6])]);
}

#[tokio::test]
async fn what_a_group_gives_is_not_the_members_own_where_a_sync_is_not_told_of_the_groups() {
    type Trouble = fn(&Cloudflare, String);
    let troubles: [(&str, Trouble); 4] = [
        ("the control", |account, group| gives_another(account, &group)),
        ("no list", |account, group| {
            gives_another(account, &group);
            account.fail_next(Route::ListUserGroups, 100, Fault::status(404, 7_003));
        }),
        ("no list once the members are read", |account, group| {
            account.after_page(Route::ListUserGroups, 1, move |account, _| gives_another(account, &group));
            account.fail_later(Route::ListUserGroups, 1, Fault::status(404, 7_003));
        }),
        ("an empty list once the members are read", |account, group| {
            account.after_page(Route::ListUserGroups, 1, move |account, _| gives_another(account, &group));
            account.after_page(Route::ListMembers, 1, |account, _| account.answer_null(Route::ListUserGroups));
        }),
    ];
    for (what, trouble) in troubles {
        let (bench, group, jane) = in_a_group().await;
        let account = bench.account();
        let known = roles(account);
        // Whom the list does not tell in full is read, and shows what the group gives.
        account.make_odd(Route::ListMembers, &jane, Oddity::Without("policies"));
        trouble(account, group);
        bench.world.sync().await;
        account.clear_faults();
        account.make_even();
        grants(&bench, 1).await;
        assert_eq!(bench.atoms(&jane), [atom(account, &known[0]), atom(account, &known[1])].into(), "{what}");
    }
}

#[tokio::test]
async fn what_a_group_gives_is_not_written_while_the_list_of_the_groups_that_are_known_is_not_there() {
    let (bench, group, jane) = in_a_group().await;
    let account = bench.account();
    let known = roles(account);
    gives_another(account, &group);
    account.fail_next(Route::ListUserGroups, 100, Fault::status(404, 7_003));
    // It is not there for the last sync either.
    bench.world.sync().await;
    let before = bench.atoms(&jane);
    let grant = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
    assert_not_now(&bench.attempt(grant).await, "lists no user groups");
    assert_eq!(bench.atoms(&jane), before);
    account.clear_faults();
    bench.world.advance(10);
    assert_done(&bench.settle(grant).await, Effect::Granted);
    assert_eq!(bench.atoms(&jane), [atom(account, &known[0]), atom(account, &known[1])].into());
}

/// Jane, who has a role of her own and by the one group that there is, which makes Super Administrators as well, and somebody who was invited into it;
/// records do not show what groups give. With the ids of both.
async fn twice_by_a_group() -> (Bench, String, String) {
    let prepare = |account: &Cloudflare| {
        without_groups(account);
        let known = roles(account);
        let admin = account.permission_group("super_admin").unwrap();
        let group = account.add_group("Operators", vec![holds(account, &known[5]), holds(account, &admin)]);
        let jane = account.add_member(JANE, vec![holds(account, &known[0]), holds(account, &known[5])]);
        let invited = account.invite(NEW, vec![holds(account, &known[0])]);
        for member in [jane, invited] {
            account.join_group(&group, &member);
        }
    };
    let bench = Bench::with(prepare, |config| config.provision.guards.min_super_admins = 100).await;
    let [jane, invited] = [JANE, NEW].map(|email| bench.account().membership_of(email).unwrap().id);
    (bench, jane, invited)
}

#[tokio::test]
async fn no_group_is_taken_for_gone_while_the_list_of_those_that_are_known_is_not_there_for_a_sync_either() {
    let (bench, jane, invited) = twice_by_a_group().await;
    let account = bench.account();
    let known = roles(account);
    account.fail_randomly(Route::ListUserGroups, 1.0, Fault::status(404, 7_003));
    bench.world.sync().await;
    let [removal, revoke, renewal] = [
        bench.arrive(Action::Revoke, Target::Account, member(&jane)),
        bench.arrive(Action::Revoke, target(&known[5]), member(&jane)),
        bench.arrive(Action::Grant, Target::Renewal, member(&invited)),
    ];
    for operation in [removal, revoke, renewal] {
        assert_not_now(&bench.attempt(operation).await, "lists no user groups");
    }
    assert!(account.membership(&jane).is_some() && account.membership(&invited).is_some());
    account.clear_faults();
    bench.world.advance(10);
    assert_refused(&bench.settle(removal).await, Refusal::MinSuperAdmins, JANE);
    assert_refused(&bench.settle(revoke).await, Refusal::HeldThroughGroup, "Operators");
    assert_done(&bench.settle(renewal).await, Effect::Renewed);
    assert_eq!(account.membership_of(NEW).unwrap().groups.len(), 1);
}

#[tokio::test]
async fn no_group_is_taken_for_gone_while_nothing_that_was_published_can_be_read() {
    for is_empty in [false, true] {
        let (bench, jane, _) = twice_by_a_group().await;
        let account = bench.account();
        bench.world.desk.values.borrow_mut().clear();
        without_a_list(account, is_empty);
        let revoke = bench.arrive(Action::Revoke, target(&roles(account)[5]), member(&jane));
        let outcome = bench.attempt(revoke).await;
        assert!(matches!(outcome, Outcome::NotNow { .. }), "empty: {is_empty}: {outcome:?}");
        account.clear_faults();
        account.make_even();
        bench.world.advance(10);
        assert_refused(&bench.settle(revoke).await, Refusal::HeldThroughGroup, "Operators");
        // The control: nothing was ever published.
        let bench = Bench::with(without_groups, |_| {}).await;
        let unsynced = unsynced(&bench);
        let jane = bench.account().add_member(JANE, vec![]);
        without_a_list(bench.account(), is_empty);
        assert_done(&unsynced.operate(Action::Revoke, Target::Account, member(&jane)).await, Effect::Removed);
    }
}

/// Cloudflare tells of no user group: the list is empty, or there is none.
fn without_a_list(account: &Cloudflare, is_empty: bool) {
    if is_empty {
        account.answer_null(Route::ListUserGroups);
    } else {
        account.fail_randomly(Route::ListUserGroups, 1.0, Fault::status(404, 7_003));
    }
}

#[tokio::test]
async fn what_members_have_is_their_own_for_certain_once_the_account_has_no_groups_any_more() {
    let (bench, group, jane) = in_a_group().await;
    let account = bench.account();
    account.remove_group(&group);
    account.add_policy(&jane, holds(account, &roles(account)[4]));
    // The first one doubts the empty list.
    for _ in 0..2 {
        bench.world.sync().await;
    }
    assert_eq!(grants(&bench, 1).await, 3);
    assert_eq!(bench.atoms(&jane).len(), 3);
}

/// Jane, who is in no group, where records show what groups give and the one there is does not tell it.
async fn beside_a_silent_group(oddity: Oddity) -> Bench {
    let prepare = |account: &Cloudflare| {
        without_groups(account);
        showing(account);
        account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
        account.make_odd(On::Reads, &giving(account), oddity);
    };
    Bench::with(prepare, |_| {}).await
}

/// What a group gives that does not tell it, or not under which ids, its members' records alone may show.
#[tokio::test]
async fn a_group_that_does_not_tell_its_policies_keeps_changes_from_its_members_alone() {
    for oddity in [Oddity::NullInPolicies("permission_groups"), Oddity::NullInPolicies("id")] {
        let bench = beside_a_silent_group(oddity).await;
        let account = bench.account();
        let known = roles(account);
        grants(&bench, 1).await;
        let jane = account.membership_of(JANE).unwrap().id;
        assert_eq!(bench.atoms(&jane), [atom(account, &known[0]), atom(account, &known[1])].into());
        let operator = account.membership_of("operator@example.com").unwrap().id;
        let before = bench.atoms(&operator);
        let outcome = bench.operate(Action::Grant, target(&known[1]), member(&operator)).await;
        assert_refused(&outcome, Refusal::UnreadableMember, "the user group Operators");
        assert_eq!(bench.atoms(&operator), before);
        // The control: once the group tells it.
        account.make_even();
        assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&operator)).await, Effect::Granted);
        assert_eq!(bench.atoms(&operator), [atom(account, &known[0]), atom(account, &known[1])].into());
    }
}

/// A user group that holds nothing is told without policies.
#[tokio::test]
async fn a_group_whose_policies_were_all_taken_off_keeps_no_change_from_its_members() {
    for oddity in [Oddity::Null("policies"), Oddity::Without("policies")] {
        let what = format!("{oddity:?}");
        let (bench, group, jane) = in_a_group().await;
        let account = bench.account();
        let known = roles(account);
        account.set_group_policies(&group, vec![]);
        account.make_odd(On::Reads, &group, oddity);
        bench.world.sync().await;
        assert_eq!(grants(&bench, 1).await, 3, "{what}");
        // What the group gave, what is held directly, and the account.
        let revoke = async |what: Target| bench.operate(Action::Revoke, what, member(&jane)).await;
        assert_done(&revoke(target(&known[5])).await, Effect::AlreadyRevoked);
        assert_done(&revoke(target(&known[1])).await, Effect::Revoked);
        assert_eq!(bench.atoms(&jane), [atom(account, &known[0])].into(), "{what}");
        assert_done(&revoke(Target::Account).await, Effect::Removed);
    }
}

/// A sync that read such an answer by mistake takes nothing of the group's for the members' own.
#[tokio::test]
async fn what_a_group_gives_stays_the_groups_where_one_answer_told_it_without_policies() {
    let (bench, group, jane) = in_a_group().await;
    let account = bench.account();
    account.configure(|behaviour| behaviour.lists_inherited_policies_everywhere = true);
    bench.world.sync().await;
    let (known, own) = (roles(account), bench.atoms(&jane));
    account.make_odd(Route::ListUserGroups, &group, Oddity::Null("policies"));
    bench.world.sync().await;
    account.make_even();
    grants(&bench, 1).await;
    account.leave_group(&group, &jane);
    assert_eq!(bench.atoms(&jane).difference(&own).collect::<Vec<_>>(), [&atom(account, &known[1])]);
}

#[tokio::test]
async fn what_a_group_gives_that_only_the_list_tells_without_policies_is_held_through_it() {
    for oddity in [Oddity::Null("policies"), Oddity::Without("policies")] {
        let (bench, group, jane) = in_a_group().await;
        let account = bench.account();
        let before = bench.atoms(&jane);
        // Of those that gave nothing at the last sync either nobody asks.
        for n in 0..3 {
            let empty = account.add_group(&format!("Empty {n}"), vec![]);
            account.make_odd(Route::ListUserGroups, &empty, oddity.clone());
        }
        bench.world.sync().await;
        account.make_odd(Route::ListUserGroups, &group, oddity);
        account.reset_log();
        let outcome = bench.operate(Action::Revoke, target(&roles(account)[5]), member(&jane)).await;
        assert_refused(&outcome, Refusal::HeldThroughGroup, "Operators");
        assert_eq!(account.requests(Route::GetUserGroup), account.requests(Route::ListUserGroups));
        assert_eq!(bench.atoms(&jane), before);
    }
}

/// A generation names few of those that could not be read in full, and tells of none of the others then that it was.
#[tokio::test]
async fn groups_that_are_known_to_give_nothing_are_not_asked_however_many_others_cannot_be_read() {
    let mut asked = Vec::new();
    for (number, is_known) in [(0, true), (3, true), (3, false)] {
        let prepare = |account: &Cloudflare| {
            without_groups(account);
            account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
            for n in 0..6 {
                let odd = account.add_group(&format!("Odd {n}"), vec![holds(account, &roles(account)[5])]);
                account.make_odd(On::Reads, &odd, Oddity::NullInPolicies("permission_groups"));
            }
        };
        let bench = Bench::with(prepare, |_| {}).await;
        let account = bench.account();
        for n in 0..number {
            let empty = account.add_group(&format!("Empty {n}"), vec![]);
            account.make_odd(Route::ListUserGroups, &empty, Oddity::Without("policies"));
        }
        if is_known {
            bench.world.sync().await;
        }
        grants(&bench, 1).await;
        asked.push(account.requests(Route::GetUserGroup));
    }
    let [none, known, new] = asked[..] else { panic!("{asked:?}") };
    // The control: of those that no sync was told of nobody knows it.
    assert!(known == none && new >= none + 3, "{asked:?}");
}

/// So it is where somebody accepted that its own record cannot be read, which the syncs remember.
#[tokio::test]
async fn a_group_that_gives_nothing_by_the_last_sync_keeps_nobody_waiting_where_its_own_record_cannot_be_read() {
    for fault in [Fault::status(500, 1), Fault::status(404, 404)] {
        let what = fault.name();
        let (bench, _, jane) = in_a_group().await;
        let account = bench.account();
        let add = |name: &str| {
            let group = account.add_group(name, vec![]);
            account.join_group(&group, &jane);
            account.make_odd(Route::ListUserGroups, &group, Oddity::Without("policies"));
        };
        add("Empty");
        account.fail_randomly(Route::GetUserGroup, 1.0, fault);
        for accept_removals in [false, true] {
            bench.world.sync_as(sync::Trigger { by: "test".to_owned(), accept_removals }).await;
        }
        account.reset_log();
        let known = roles(account);
        let revoke = || bench.arrive(Action::Revoke, target(&known[6]), member(&jane));
        assert_done(&bench.settle(revoke()).await, Effect::AlreadyRevoked);
        assert!(account.requests(Route::GetUserGroup) > 0, "{what}: it is asked for all the same");
        // The control: one that no sync has seen.
        add("New");
        let outcome = bench.attempt(revoke()).await;
        assert!(!matches!(outcome, Outcome::Done { .. }), "{what}: {outcome:?}");
    }
}

/// By the last sync it gave nothing, and nobody knows of more until its own record tells it.
#[tokio::test]
async fn a_revoke_waits_for_the_own_record_of_a_group_that_gave_nothing_and_that_changed() {
    let (bench, group, jane) = in_a_group().await;
    let account = bench.account();
    account.set_group_policies(&group, vec![]);
    account.make_odd(Route::ListUserGroups, &group, Oddity::Without("policies"));
    bench.world.sync().await;
    let revoke = || bench.arrive(Action::Revoke, target(&roles(account)[5]), member(&jane));
    account.fail_randomly(Route::GetUserGroup, 1.0, Fault::status(503, 1));
    // The control: it gives nothing still.
    assert_done(&bench.settle(revoke()).await, Effect::AlreadyRevoked);
    account.set_group_policies(&group, vec![holds(account, &roles(account)[5])]);
    let id = revoke();
    let outcome = bench.attempt(id).await;
    assert!(matches!(outcome, Outcome::NotNow { .. }), "{outcome:?}");
    account.clear_faults();
    assert_refused(&bench.settle(id).await, Refusal::HeldThroughGroup, "Operators");
}

/// KV takes a minute to show everywhere what was written to it.
#[tokio::test]
async fn what_a_group_gives_that_gave_nothing_by_the_generation_that_kv_shows_is_held_through_it() {
    let (bench, group, jane) = in_a_group().await;
    let (account, desk) = (bench.account(), &bench.world.desk);
    let is_silent = || account.make_odd(Route::ListUserGroups, &group, Oddity::Without("policies"));
    account.set_group_policies(&group, vec![]);
    is_silent();
    bench.world.sync().await;
    let older = desk.values.borrow()[&desk.key("current")].clone();
    account.make_even();
    account.set_group_policies(&group, vec![holds(account, &roles(account)[5])]);
    bench.world.sync().await;
    is_silent();
    let last = sync::generations(&bench.world).unwrap().remove(0).generation;
    let name = desk.key(&format!("manifest/{last}"));
    let manifest = desk.values.borrow_mut().remove(&name).unwrap();
    desk.values.borrow_mut().insert(desk.key("current"), older);
    let revoke = async || bench.operate(Action::Revoke, target(&roles(account)[5]), member(&jane)).await;
    assert_refused(&revoke().await, Refusal::HeldThroughGroup, "Operators");
    // The control: by the last one itself.
    desk.values.borrow_mut().insert(name, manifest);
    assert_refused(&revoke().await, Refusal::HeldThroughGroup, "Operators");
}

/// Jane in the one group that there is, whose policies the list told at no sync, nor its own record where that failed.
async fn in_a_silent_group(shows: bool, own_fails: bool) -> (Bench, String) {
    let prepare = |account: &Cloudflare| {
        without_groups(account);
        if shows {
            showing(account);
            account.configure(|behaviour| behaviour.lists_inherited_policies_everywhere = true);
        }
        let group = giving(account);
        let jane = account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
        account.join_group(&group, &jane);
        account.make_odd(Route::ListUserGroups, &group, Oddity::Without("policies"));
        if own_fails {
            account.fail_randomly(Route::GetUserGroup, 1.0, Fault::status(500, 1));
        }
    };
    let bench = Bench::with(prepare, |_| {}).await;
    bench.account().clear_faults();
    let jane = bench.account().membership_of(JANE).unwrap().id;
    (bench, jane)
}

#[tokio::test]
async fn what_a_group_gives_that_its_list_told_at_no_sync_is_held_through_it() {
    for own_fails in [false, true] {
        let (bench, jane) = in_a_silent_group(false, own_fails).await;
        let known = roles(bench.account());
        let revoke = async |place: usize| bench.operate(Action::Revoke, target(&known[place]), member(&jane)).await;
        assert_refused(&revoke(5).await, Refusal::HeldThroughGroup, "Operators");
        // The control: what the group does not give.
        assert_done(&revoke(6).await, Effect::AlreadyRevoked);
    }
}

/// The list had the group just now.
#[tokio::test]
async fn a_group_that_its_list_tells_without_policies_does_not_give_nothing_because_its_own_record_is_not_found_for_a_moment()
 {
    let (bench, jane) = in_a_silent_group(false, false).await;
    let account = bench.account();
    account.fail_next(Route::GetUserGroup, 1, Fault::status(404, 404));
    let revoke = async || bench.operate(Action::Revoke, target(&roles(account)[5]), member(&jane)).await;
    assert_refused(&revoke().await, Refusal::UnreadableMember, "Operators");
    // The control: it is found the next time.
    assert_refused(&revoke().await, Refusal::HeldThroughGroup, "Operators");
}

#[tokio::test]
async fn what_a_group_gives_stays_the_groups_where_no_sync_was_told_what_that_is() {
    let (bench, jane) = in_a_silent_group(true, true).await;
    let (account, own) = (bench.account(), bench.atoms(&jane));
    grants(&bench, 1).await;
    assert_eq!(bench.atoms(&jane).difference(&own).collect::<Vec<_>>(), [&atom(account, &roles(account)[1])]);
}

#[tokio::test]
async fn what_two_learn_at_once_of_what_user_groups_give_is_all_kept() {
    let prepare = |account: &Cloudflare| {
        without_groups(account);
        showing(account);
        giving(account);
        // Whoever learns it has to ask who is in this one.
        let silent = account.add_group("Silent", vec![holds(account, &roles(account)[6])]);
        account.make_odd(On::Reads, &silent, Oddity::NullInPolicies("permission_groups"));
        for email in [JANE, NEW] {
            account.add_member(email, vec![holds(account, &roles(account)[0])]);
        }
    };
    let bench = Bench::with(prepare, |_| {}).await;
    let account = bench.account();
    let known = roles(account);
    let [jane, joe] = [JANE, NEW].map(|email| account.membership_of(email).unwrap().id);
    for id in [&jane, &joe] {
        account.add_policy(id, holds(account, &known[4]));
    }
    let (locks, config) = (bench.locks.borrow().clone(), &bench.world.config);
    let look = async |id: &str| {
        let with = (&config.cloudflare, &config.provision);
        Box::pin(heard::look_again(&bench.world, with, &locks, id.parse().unwrap(), None)).await.unwrap()
    };
    let learned = || inherited::group_policies(&bench.world).unwrap();
    let before = learned();
    account.reset_log();
    account.fail_next(Route::GetUserGroupMember, 1, Fault::Delay(Duration::from_millis(500)));
    let (first, meanwhile) = tokio::join!(look(&jane), async {
        while account.requests(Route::GetUserGroupMember) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        account.add_group("New", vec![holds(account, &known[5])]);
        assert_eq!(look(&joe).await, heard::Look::Noted);
        learned()
    });
    assert_eq!(first, heard::Look::Noted);
    assert_eq!(meanwhile.difference(&before).count(), 1);
    assert_eq!(learned(), meanwhile);
}

/// Who came into such a group a moment ago may not be found in it yet, and its policy is not theirs.
#[tokio::test]
async fn what_a_group_gives_that_does_not_tell_it_is_not_the_members_own_where_a_read_is_behind() {
    let bench = beside_a_silent_group(Oddity::NullInPolicies("permission_groups")).await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.membership_of(JANE).unwrap().id;
    let group = account.membership_of("operator@example.com").unwrap().groups.into_iter().next().unwrap();
    account.join_group(&group, &jane);
    for route in [Route::GetUserGroupMember, Route::ListUserGroupMembers] {
        account.fail_next(route, 100, Fault::status(404, 7_003));
    }
    let before = bench.atoms(&jane);
    let grant = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    assert_eq!(bench.atoms(&jane), before);
    account.clear_faults();
    assert_refused(&bench.settle(grant).await, Refusal::UnreadableMember, "the user group Operators");
    account.make_even();
    assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&jane)).await, Effect::Granted);
    assert_eq!(bench.atoms(&jane), [atom(account, &known[0]), atom(account, &known[1])].into(), "the control");
}

/// That what somebody has besides is a user group's may come out right before the write.
#[tokio::test]
async fn last_role_does_what_is_configured_also_where_it_comes_out_late_that_it_is_the_last() {
    for (last_role, is_done) in [(LastRole::MinimalAccess, true), (LastRole::RemoveMember, false)] {
        let bench = Bench::with(
            |account| {
                without_groups(account);
                showing(account);
                giving(account);
            },
            |config| config.provision.guards.last_role = last_role,
        )
        .await;
        let account = bench.account();
        let known = roles(account);
        let operator = account.membership_of("operator@example.com").unwrap();
        let group = operator.groups.iter().next().unwrap();
        account.set_group_policies(group, vec![holds(account, &known[6])]);
        let outcome = bench.operate(Action::Revoke, target(&known[0]), member(&operator.id)).await;
        if is_done {
            assert_done(&outcome, Effect::Revoked);
        } else {
            assert_refused(&outcome, Refusal::LastRole, "through the user group Operators");
        }
        assert_eq!(bench.atoms(&operator.id).contains(&atom(account, &known[0])), !is_done);
    }
}

#[tokio::test]
async fn what_was_learned_is_looked_at_with_each_sync() {
    let bench = Bench::with(|account| drop(giving(account)), |_| {}).await;
    assert_eq!(inherited::shows_inherited(&bench.world).unwrap(), Some(false));
    showing(bench.account());
    bench.world.sync().await;
    assert_eq!(inherited::shows_inherited(&bench.world).unwrap(), Some(true));
    bench.account().configure(|behaviour| behaviour.lists_inherited_policies = false);
    bench.world.sync().await;
    assert_eq!(inherited::shows_inherited(&bench.world).unwrap(), Some(false));
}

/// A connector that has not synced, so that nothing was learned, and 24 people.
async fn fresh() -> (Bench, Vec<String>) {
    let bench = Bench::with(without_groups, |_| {}).await;
    let account = bench.account();
    let first = roles(account)[0].clone();
    let people =
        (0..24).map(|n| account.add_member(&format!("person{n}@example.com"), vec![holds(account, &first)])).collect();
    account.set_latency(Latency { base: Duration::from_millis(20), jitter: Duration::ZERO });
    account.reset_log();
    (bench, people)
}

#[tokio::test]
async fn those_who_come_at_once_share_one_question_about_groups() {
    let (bench, people) = fresh().await;
    let account = bench.account();
    let role = roles(account)[1].clone();
    let all = people.iter().map(|jane| bench.operate(Action::Grant, target(&role), member(jane)));
    for outcome in join_all(all).await {
        assert_done(&outcome, Effect::Granted);
    }
    // How many share one answer depends on how fast the machine is, and that most do does not.
    let asked = account.requests(Route::ListUserGroups);
    assert!((1..=people.len() / 4).contains(&asked), "{asked}");
    assert_eq!(account.requests(Route::UpdateMember), people.len());
}

#[tokio::test]
async fn where_the_one_who_asks_is_cut_off_or_fails_the_next_one_asks() {
    let (bench, people) = fresh().await;
    let account = bench.account();
    let role = roles(account)[1].clone();
    // As many at once as have a seat: nobody is put off for others.
    account.fail_next(Route::ListUserGroups, 1, Fault::Hang(Duration::from_mins(1)));
    account.reset_log();
    let first = bench.arrive(Action::Grant, target(&role), member(&people[0]));
    let mut cut_off = Box::pin(bench.attempt(first));
    let others = people[1..4].iter().map(|jane| bench.arrive(Action::Grant, target(&role), member(jane)));
    let others: Vec<_> = others.collect();
    let has_asked = async {
        while account.requests(Route::ListUserGroups) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = &mut cut_off => panic!("it hangs"),
        () = has_asked => {}
    }
    let rest = join_all(others.iter().map(|id| bench.attempt(*id)));
    let (rest, ()) = tokio::join!(rest, async {
        tokio::time::sleep(Duration::from_millis(120)).await;
        drop(cut_off);
    });
    for outcome in rest {
        assert_done(&outcome, Effect::Granted);
    }
    // One that fails takes nobody along.
    account.fail_next(Route::ListUserGroups, 1, Fault::status(503, 1));
    let others: Vec<_> =
        people[8..12].iter().map(|jane| bench.arrive(Action::Grant, target(&role), member(jane))).collect();
    let outcomes = join_all(others.iter().map(|id| bench.attempt(*id))).await;
    // On a slow machine one may be put off for those who are under way, and that is nobody's failure.
    let is_told =
        |outcome: &&Outcome| matches!(outcome, Outcome::NotNow { message, .. } if message.contains("HTTP 503"));
    assert_eq!(outcomes.iter().filter(is_told).count(), 1, "{outcomes:?}");
}
