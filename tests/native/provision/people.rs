//! Who is meant: by ids that stay and addresses that do not, and that nobody is meant only where that was proven.

use std::cell::Cell;

use c1_cloudflare::account::default_role::MINIMAL_ACCESS;
use c1_cloudflare::account::overlay::oldest_open;
use c1_cloudflare::base::ports::{Clock as _, Sql as _};
use c1_cloudflare::base::settings::Plan;
use c1_cloudflare::base::tree::BTreeMap;
use c1_cloudflare::model::ask::EntitlementRef;
use c1_cloudflare::model::operation::EntryId;
use c1_cloudflare::sync::{self, refresh};
use sim::cloudflare::{Cloudflare, Fault, KnownPermissionGroup, Oddity, On, Route};

use super::guards::unsynced;
use super::{
    Action, Arrival, Bench, Effect, JANE, NEW, Origin, Outcome, Refusal, Request, Subject, Target, account_of,
    assert_done, assert_not_now, assert_refused, atom, holds, journal, member, person, roles, target,
};

/// A member as C1 knows them after a sync.
fn known(bench: &Bench, id: &str) -> Subject {
    let membership = bench.account().membership(id).unwrap();
    Subject {
        emails: vec![membership.email],
        member_id: Some(id.parse().unwrap()),
        user_id: membership.user_id.map(|user| user.parse().unwrap()),
        has_account: true,
        ..Subject::default()
    }
}

#[tokio::test]
async fn a_renamed_member_loses_the_role_and_the_account_and_is_granted_nothing_under_the_old_address() {
    let bench = Bench::start().await;
    let account = bench.account();
    let roles = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &roles[0]), holds(account, &roles[1])]);
    let with_ids = known(&bench, &jane);
    account.change_email(&jane, "jane.married@example.com");
    // By the membership id, and where that is outdated by the user id alone.
    let by_user = Subject { member_id: Some(format!("{:032x}", 77).parse().unwrap()), ..with_ids.clone() };
    let refused = bench.operate(Action::Grant, target(&roles[2]), with_ids.clone()).await;
    assert_refused(&refused, Refusal::AmbiguousMember, "jane.married@example.com");
    assert_done(&bench.operate(Action::Revoke, target(&roles[0]), with_ids.clone()).await, Effect::Revoked);
    assert_eq!(bench.atoms(&jane), [atom(account, &roles[1])].into());
    assert_done(&bench.operate(Action::Revoke, Target::Account, by_user).await, Effect::Removed);
    assert!(account.membership(&jane).is_none());
    // Now it is proven.
    assert_done(&bench.operate(Action::Revoke, Target::Account, with_ids).await, Effect::AlreadyRevoked);
}

#[tokio::test]
async fn a_renamed_member_without_known_ids_is_found_by_the_new_address_alone() {
    let bench = Bench::start().await;
    let account = bench.account();
    let roles = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &roles[0]), holds(account, &roles[1])]);
    account.change_email(&jane, "jane.married@example.com");
    // The address is all that is known, and nobody has it.
    assert_done(&bench.operate(Action::Revoke, target(&roles[0]), account_of(JANE)).await, Effect::AlreadyRevoked);
    // The membership is there under another address, and no user id tells whose it is.
    let unsure = Subject { member_id: Some(jane.parse().unwrap()), ..account_of(JANE) };
    let refused = bench.operate(Action::Revoke, target(&roles[0]), unsure).await;
    assert_refused(&refused, Refusal::AmbiguousMember, "jane.married@example.com");
    let now = person("jane.married@example.com");
    assert_done(&bench.operate(Action::Revoke, target(&roles[0]), now).await, Effect::Revoked);
}

#[tokio::test]
async fn ambiguous_member_is_whom_the_last_sync_had_under_an_address_and_who_has_another_one_since() {
    // Also where a sync has read the new address since: what the ledger has of the old one tells.
    for is_synced in [false, true] {
        let (bench, held, jane) = Bench::with_jane().await;
        let account = bench.account();
        bench.world.sync().await;
        account.change_email(&jane, "jane.married@example.com");
        if is_synced {
            bench.world.advance(1_200);
            bench.world.sync().await;
        }
        for who in [person(JANE), account_of(JANE)] {
            for what in [target(&held[0]), Target::Account] {
                let refused = bench.operate(Action::Revoke, what, who.clone()).await;
                assert_refused(&refused, Refusal::AmbiguousMember, "jane.married@example.com");
            }
        }
        assert_eq!(bench.atoms(&jane), [atom(account, &held[0])].into());
        // The controls: who never had another address, and who is gone.
        let never = account_of("never@example.com");
        assert_done(&bench.operate(Action::Revoke, Target::Account, never).await, Effect::AlreadyRevoked);
        account.remove_member(&jane);
        for what in [target(&held[0]), Target::Account] {
            assert_done(&bench.operate(Action::Revoke, what, account_of(JANE)).await, Effect::AlreadyRevoked);
        }
    }
}

#[tokio::test]
async fn an_address_is_of_whoever_had_it_last() {
    let (bench, held, jane) = Bench::with_jane().await;
    let account = bench.account();
    let next = async || {
        bench.world.advance(1_200);
        bench.world.sync().await;
    };
    next().await;
    account.change_email(&jane, "jane.married@example.com");
    next().await;
    let revoke = async || bench.operate(Action::Revoke, target(&held[0]), account_of(JANE)).await;
    assert_refused(&revoke().await, Refusal::AmbiguousMember, "jane.married@example.com");
    // What the ledger tells and nobody can look up now is no proof.
    let lost = std::mem::take(&mut *bench.world.desk.values.borrow_mut());
    let waiting = bench.arrive(Action::Revoke, target(&held[0]), account_of(JANE));
    assert_not_now(&bench.attempt(waiting).await, "who had the address jane@example.com before");
    *bench.world.desk.values.borrow_mut() = lost;
    let newcomer = account.invite(JANE, vec![holds(account, &held[0])]);
    next().await;
    account.remove_member(&newcomer);
    next().await;
    assert_done(&revoke().await, Effect::AlreadyRevoked);
    assert_eq!(bench.atoms(&jane), [atom(account, &held[0])].into());
}

/// What a sync then finds is one invitation less, and a user more, of another address.
#[tokio::test]
async fn ambiguous_member_is_also_who_was_invited_by_hand_and_has_another_address_since_it_was_accepted() {
    const EVE: &str = "eve@example.com";
    for becomes in ["accepted", "removed", "rejected", "somebody else's"] {
        let bench = Bench::start().await;
        let account = bench.account();
        account.configure(|behaviour| behaviour.hides_rejected = true);
        let role = roles(account)[0].clone();
        let next = async || {
            bench.world.advance(1_200);
            bench.world.sync().await;
        };
        let eve = account.invite(EVE, vec![holds(account, &role)]);
        next().await;
        if becomes == "rejected" {
            account.set_status(&eve, becomes);
        } else {
            account.accept_invitation(&eve);
            account.change_email(&eve, "eve.married@example.com");
        }
        next().await;
        if becomes == "removed" {
            account.remove_member(&eve);
        }
        if becomes == "somebody else's" {
            let newcomer = account.invite(EVE, vec![holds(account, &role)]);
            next().await;
            account.remove_member(&newcomer);
            next().await;
        }
        for what in [target(&role), Target::Account] {
            let outcome = bench.operate(Action::Revoke, what, account_of(EVE)).await;
            if becomes == "accepted" {
                assert_refused(&outcome, Refusal::AmbiguousMember, "eve.married@example.com");
            } else {
                assert_done(&outcome, Effect::AlreadyRevoked);
            }
        }
        assert_eq!(bench.atoms(&eve).is_empty(), becomes == "removed", "nothing was changed");
    }
}

#[tokio::test]
async fn ambiguous_member_of_two_accounts_of_one_person_the_other_one_is_never_touched() {
    let bench = Bench::start().await;
    let account = bench.account();
    let roles = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &roles[0])]);
    let root = account.add_member("jane.root@example.com", vec![holds(account, &roles[0])]);
    let outdated = Subject { member_id: Some(format!("{:032x}", 77).parse().unwrap()), ..person(JANE) };
    assert_done(&bench.operate(Action::Grant, target(&roles[1]), outdated.clone()).await, Effect::Granted);
    assert_done(&bench.operate(Action::Revoke, target(&roles[1]), outdated).await, Effect::Revoked);
    // Both addresses, and nothing that tells which of the two is meant.
    let both = Subject { emails: vec![JANE.to_owned(), "jane.root@example.com".to_owned()], ..Subject::default() };
    for action in [Action::Grant, Action::Revoke] {
        let refused = bench.operate(action, target(&roles[0]), both.clone()).await;
        assert_refused(&refused, Refusal::AmbiguousMember, "jane.root@example.com");
    }
    assert_eq!((bench.atoms(&jane).len(), bench.atoms(&root).len()), (1, 1));
    let decided = Subject { emails: both.emails, ..known(&bench, &root) };
    assert_done(&bench.operate(Action::Grant, target(&roles[1]), decided).await, Effect::Granted);
    assert_eq!((bench.atoms(&jane).len(), bench.atoms(&root).len()), (1, 2));
}

#[tokio::test]
async fn unknown_member_is_who_is_not_known_and_it_is_not_said_that_they_hold_nothing() {
    let bench = Bench::start().await;
    let roles = roles(bench.account());
    for action in [Action::Grant, Action::Revoke] {
        for what in [target(&roles[0]), Target::Account] {
            let refused = bench.operate(action, what, Subject { has_account: true, ..Subject::default() }).await;
            assert_refused(&refused, Refusal::UnknownMember, "sync this connector");
        }
    }
}

/// Somebody who was a member, in an account whose list takes several pages to say that they are not.
async fn somebody_gone_among_many() -> (Bench, Subject) {
    let bench = Bench::start().await;
    let account = bench.account();
    let jane = account.add_member(JANE, vec![]);
    let gone = known(&bench, &jane);
    account.remove_member(&jane);
    for n in 0..120 {
        account.add_member(&format!("zoe{n:03}@example.com"), vec![]);
    }
    (bench, gone)
}

#[tokio::test]
async fn a_list_that_cannot_be_read_to_its_end_proves_nothing() {
    let (bench, gone) = somebody_gone_among_many().await;
    let account = bench.account();
    let id = bench.arrive(Action::Revoke, Target::Account, gone);
    account.fail_next(Route::ListMembers, 1, Fault::status(502, 1));
    assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
    bench.world.advance(10);
    // Somebody whose record cannot be read may be the one.
    let odd = account.memberships().into_iter().find(|member| member.email == "zoe099@example.com").unwrap();
    account.make_odd(Route::ListMembers, &odd.id, Oddity::NoEmail);
    let other = bench.attempt(id).await;
    assert!(!matches!(other, Outcome::Done { .. }), "{other:?}");
}

#[tokio::test]
async fn a_list_that_changes_while_it_is_read_proves_nothing() {
    let (bench, gone) = somebody_gone_among_many().await;
    let account = bench.account();
    let first = account.membership_of("zoe000@example.com").unwrap().id;
    account.after_page(Route::ListMembers, 1, move |account, _| account.remove_member(&first));
    let id = bench.arrive(Action::Revoke, Target::Account, gone);
    let outcome = bench.attempt(id).await;
    assert_not_now(&outcome, "changed while");
    assert_done(&bench.attempt(id).await, Effect::AlreadyRevoked);
}

/// One of two who may be meant was given something a moment ago: by two addresses of one account, and by an id whose membership has another address.
#[tokio::test]
async fn a_list_that_changes_while_it_is_read_leaves_it_unclear_who_is_meant_whomever_our_own_operations_know() {
    const ROOT: &str = "jane.root@example.com";
    for by_id in [false, true] {
        for (action, is_account) in [(Action::Grant, false), (Action::Revoke, true)] {
            let bench = Bench::start().await;
            let account = bench.account();
            let known = roles(account);
            for n in 0..120 {
                account.add_member(&format!("!c{n:03}@example.com"), vec![]);
            }
            let root = account.add_member(ROOT, vec![holds(account, &known[0])]);
            assert_done(&bench.operate(Action::Grant, target(&known[1]), person(JANE)).await, Effect::Granted);
            let jane = account.membership_of(JANE).unwrap().id;
            let subject = if by_id {
                Subject { member_id: Some(root.parse().unwrap()), ..account_of(JANE) }
            } else {
                Subject { emails: vec![JANE.to_owned(), ROOT.to_owned()], ..account_of(JANE) }
            };
            let changes = |leaver: &str| {
                let leaver = account.membership_of(leaver).unwrap().id;
                account.after_page(Route::ListMembers, 1, move |account, _| account.remove_member(&leaver));
            };
            changes("!c000@example.com");
            let what = if is_account { Target::Account } else { target(&known[2]) };
            let id = bench.arrive(action, what, subject);
            assert_not_now(&bench.attempt(id).await, "changed while");
            assert_eq!(bench.atoms(&jane), [atom(account, &known[1])].into());
            assert_eq!(bench.atoms(&root), [atom(account, &known[0])].into());
            assert_refused(&bench.attempt(id).await, Refusal::AmbiguousMember, "nothing was changed");
            // The control: an address alone is one membership's at most, whoever else there is.
            changes("!c001@example.com");
            let id = bench.arrive(Action::Grant, target(&known[2]), person(JANE));
            assert_done(&bench.attempt(id).await, Effect::Granted);
        }
    }
}

/// Who has the address by now was given something a moment ago, and is somebody else by the user id.
#[tokio::test]
async fn a_list_that_changes_while_it_is_read_does_not_make_unclear_whom_the_user_id_names() {
    let (bench, jane) = somebody_new_among_many().await;
    let account = bench.account();
    let known_roles = roles(account);
    assert_done(&bench.operate(Action::Grant, target(&known_roles[2]), person(NEW)).await, Effect::Granted);
    account.accept_invitation(&account.membership_of(NEW).unwrap().id);
    let subject = Subject { member_id: None, emails: vec![NEW.to_owned()], ..known(&bench, &jane) };
    // The first one of the second page, who comes to stand on the first when that was read.
    let leaver = account.membership_of("!a010@example.com").unwrap().id;
    account.after_page(Route::ListMembers, 1, move |account, _| account.remove_member(&leaver));
    let id = bench.arrive(Action::Revoke, target(&known_roles[1]), subject);
    assert_not_now(&bench.attempt(id).await, "changed while");
    assert_done(&bench.attempt(id).await, Effect::Revoked);
    assert_eq!(bench.atoms(&jane).len(), 1);
}

#[tokio::test]
async fn a_name_and_the_first_role_are_looked_up_in_the_newest_sync_whatever_kv_shows() {
    let bench = Bench::start().await;
    let account = bench.account();
    let role = &roles(account)[0];
    let named =
        |name: &str| Target::Named(EntitlementRef { display_name: Some(name.to_owned()), ..EntitlementRef::default() });
    // The pointer has not reached this place, then neither has the manifest.
    let pointer = bench.world.desk.space.key("current");
    let current = bench.world.desk.values.borrow_mut().remove(&pointer).unwrap();
    let role_name = named(&format!("{} Member Role", role.name));
    assert_done(&bench.operate(Action::Grant, role_name.clone(), person(NEW)).await, Effect::Granted);
    assert_done(&bench.operate(Action::Grant, Target::Account, person("new2@example.com")).await, Effect::Invited);
    let all: Vec<(String, Vec<u8>)> = bench.world.desk.values.borrow().clone().into_iter().collect();
    bench.world.desk.values.borrow_mut().clear();
    let id = bench.arrive(Action::Grant, role_name, person("new3@example.com"));
    assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
    // Cloudflare's own list has the label.
    assert!(account.permission_group(MINIMAL_ACCESS).is_some());
    assert_done(&bench.operate(Action::Grant, Target::Account, person("new4@example.com")).await, Effect::Invited);
    bench.world.desk.values.borrow_mut().extend(all);
    bench.world.desk.values.borrow_mut().insert(pointer, current);
    bench.world.advance(10);
    assert_done(&bench.settle(id).await, Effect::Granted);
    let unknown = bench.operate(Action::Grant, named("No Such Role"), person(NEW)).await;
    assert_refused(&unknown, Refusal::UnknownEntitlement, "sync this connector");
}

/// Its name is known, and what its label is no document says for certain.
#[tokio::test]
async fn the_first_role_is_known_by_its_name_where_its_label_is_another() {
    for label in [MINIMAL_ACCESS, "account_minimal"] {
        let relabelled = |account: &Cloudflare| {
            let role = account.permission_group(MINIMAL_ACCESS).unwrap();
            account.make_odd(On::Reads, &role.id, Oddity::MetaText("label", label));
        };
        let bench = Bench::with(relabelled, |_| {}).await;
        let account = bench.account();
        let outcome = bench.operate(Action::Grant, Target::Account, person(NEW)).await;
        assert_done(&outcome, Effect::Invited);
        let invited = account.membership_of(NEW).unwrap().id;
        let role = account.permission_group(MINIMAL_ACCESS).unwrap();
        assert_eq!(bench.atoms(&invited), [atom(account, &role)].into(), "{label}");
    }
}

#[tokio::test]
async fn a_name_in_other_letter_case_means_the_same_in_any_script() {
    let accented = |account: &Cloudflare| {
        account.add_group("Équipe Réseau", vec![holds(account, &roles(account)[5])]);
        account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
    };
    let bench = Bench::with(accented, |_| {}).await;
    let named =
        |name: &str| Target::Named(EntitlementRef { display_name: Some(name.to_owned()), ..EntitlementRef::default() });
    let granted = bench.operate(Action::Grant, named("ÉQUIPE RÉSEAU Member"), person(JANE)).await;
    assert_done(&granted, Effect::Granted);
    let other = bench.operate(Action::Grant, named("Equipe Reseau Member"), person(JANE)).await;
    assert_refused(&other, Refusal::UnknownEntitlement, "sync this connector");
}

#[tokio::test]
async fn ambiguous_entitlement_is_a_builtin_one_with_a_roles_id() {
    let bench = Bench::start().await;
    let role = &roles(bench.account())[0];
    let id = format!("role:{}:member", role.governed_as());
    let both = EntitlementRef { builtin: true, candidates: vec![id], ..EntitlementRef::default() };
    for action in [Action::Grant, Action::Revoke] {
        let refused = bench.operate(action, Target::Named(both.clone()), person(NEW)).await;
        assert_refused(&refused, Refusal::AmbiguousEntitlement, "the account itself");
    }
    let account = EntitlementRef { builtin: true, ..EntitlementRef::default() };
    assert_done(&bench.operate(Action::Grant, Target::Named(account), person(NEW)).await, Effect::Invited);
}

#[tokio::test]
async fn whose_membership_becomes_another_persons_between_two_reads_is_left_alone() {
    let bench = Bench::start().await;
    let account = bench.account();
    let roles = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &roles[0])]);
    let before = bench.atoms(&jane);
    let whom = jane.clone();
    account.before_next(Route::GetMember, move |account, _| account.change_email(&whom, "somebody@example.com"));
    let id = bench.arrive(Action::Grant, target(&roles[1]), person(JANE));
    assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
    assert_eq!((account.requests(Route::UpdateMember), bench.atoms(&jane)), (0, before));
    account.change_email(&jane, JANE);
    assert_done(&bench.settle(id).await, Effect::Granted);
}

#[tokio::test]
async fn who_was_written_to_is_meant_also_under_another_address() {
    let bench = Bench::start().await;
    let account = bench.account();
    let roles = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &roles[0])]);
    account.fail_next(Route::UpdateMember, 1, Fault::Reset.after());
    account.fail_later(Route::GetMember, 2, Fault::status(503, 10_000));
    let id = bench.arrive(Action::Grant, target(&roles[1]), person(JANE));
    assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
    assert_eq!(account.requests(Route::UpdateMember), 1, "it was written, and nobody knows");
    account.change_email(&jane, "jane.married@example.com");
    assert_done(&bench.settle(id).await, Effect::Granted);
    assert!(bench.atoms(&jane).contains(&atom(account, &roles[1])));
    assert_eq!(account.requests(Route::CreateMember), 0, "nobody is invited under the old address");
}

#[tokio::test]
async fn who_had_an_account_and_is_gone_is_not_invited_by_a_grant() {
    let bench = Bench::start().await;
    let role = roles(bench.account())[1].clone();
    let gone = Subject { has_account: true, ..person(NEW) };
    let refused = bench.operate(Action::Grant, target(&role), gone).await;
    assert_refused(&refused, Refusal::UnknownMember, "sync this connector in ConductorOne");
    assert_eq!(bench.account().requests(Route::CreateMember), 0);
    assert_done(&bench.operate(Action::Grant, target(&role), person(NEW)).await, Effect::Granted);
}

#[tokio::test]
async fn who_slips_past_the_list_while_it_is_read_is_known_by_the_last_sync() {
    let many = |account: &Cloudflare| {
        account.add_member(JANE, vec![holds(account, &roles(account)[0]), holds(account, &roles(account)[1])]);
        for n in 0..110 {
            let name = if n < 50 { "!a" } else { "!c" };
            account.add_member(&format!("{name}{n:03}@example.com"), vec![]);
        }
    };
    let bench = Bench::with(many, |_| {}).await;
    let account = bench.account();
    let jane = account.membership_of(JANE).unwrap().id;
    let outdated = Subject { member_id: Some(format!("{:032x}", 77).parse().unwrap()), ..known(&bench, &jane) };
    // The first one of the second page, who comes to stand on the first when that was read; and there are as many as before.
    account.change_email(&jane, "!b@example.com");
    let leaver = account.membership_of("!a010@example.com").unwrap().id;
    account.after_page(Route::ListMembers, 1, move |account, _| {
        account.remove_member(&leaver);
        account.add_member("~last@example.com", vec![]);
    });
    let outcome = bench.operate(Action::Revoke, target(&roles(account)[1]), outdated.clone()).await;
    assert_done(&outcome, Effect::Revoked);
    assert_eq!(bench.atoms(&jane).len(), 1);
    // Who is gone is gone, whatever the last sync says.
    account.remove_member(&jane);
    let outcome = bench.operate(Action::Revoke, target(&roles(account)[0]), outdated).await;
    assert_done(&outcome, Effect::AlreadyRevoked);
}

/// An account of 111 with somebody whom no sync has seen, first on the second of the pages of its list.
async fn somebody_new_among_many() -> (Bench, String) {
    let many = |account: &Cloudflare| {
        for n in 0..110 {
            let name = if n < 50 { "!a" } else { "!c" };
            account.add_member(&format!("{name}{n:03}@example.com"), vec![]);
        }
    };
    let bench = Bench::with(many, |_| {}).await;
    let account = bench.account();
    let jane = account
        .add_member("!b@example.com", vec![holds(account, &roles(account)[0]), holds(account, &roles(account)[1])]);
    (bench, jane)
}

#[tokio::test]
async fn who_is_known_by_the_address_alone_is_nobody_only_where_two_readings_agree() {
    let (bench, jane) = somebody_new_among_many().await;
    let account = bench.account();
    let leaver = account.membership_of("!a010@example.com").unwrap().id;
    account.after_page(Route::ListMembers, 1, move |account, _| {
        account.remove_member(&leaver);
        account.add_member("~last@example.com", vec![]);
    });
    let outcome = bench.operate(Action::Revoke, target(&roles(account)[1]), person("!b@example.com")).await;
    assert_done(&outcome, Effect::Revoked);
    assert_eq!(bench.atoms(&jane).len(), 1);
    // Where others come and go between the two, nothing is known.
    account.remove_member(&jane);
    account.reset_log();
    let leaver = account.membership_of("!a011@example.com").unwrap().id;
    account.after_page(Route::ListMembers, 3, move |account, _| {
        account.remove_member(&leaver);
        account.add_member("~later@example.com", vec![]);
    });
    let id = bench.arrive(Action::Revoke, target(&roles(account)[0]), person("!b@example.com"));
    let outcome = bench.attempt(id).await;
    assert_not_now(&outcome, "changed while");
    account.reset_log();
    assert_done(&bench.attempt(id).await, Effect::AlreadyRevoked);
    assert_eq!(account.requests(Route::ListMembers), 6, "three pages, twice");
}

#[tokio::test]
async fn who_slips_past_the_list_since_somebody_else_changed_their_address_is_not_nobody() {
    let (bench, jane) = somebody_new_among_many().await;
    let account = bench.account();
    let subject = Subject { member_id: Some(format!("{:032x}", 77).parse().unwrap()), ..known(&bench, &jane) };
    let other = account.membership_of("!a010@example.com").unwrap().id;
    account.after_page(Route::ListMembers, 1, move |account, _| account.change_email(&other, "~last@example.com"));
    let id = bench.arrive(Action::Revoke, target(&roles(account)[1]), subject);
    // Who came to stand on two pages is counted as one, and so the list is read again.
    assert_done(&bench.attempt(id).await, Effect::Revoked);
    assert_eq!(bench.atoms(&jane).len(), 1);
}

#[tokio::test]
async fn who_is_on_a_page_that_comes_without_them_once_is_not_nobody() {
    let (bench, jane) = somebody_new_among_many().await;
    let account = bench.account();
    let is_left = Cell::new(true);
    bench.world.bends.replace(Some(Box::new(move |asked, body| {
        if asked.contains("/members?page=2&") && is_left.replace(false) {
            body["result"] = serde_json::json!([]);
        }
    })));
    let id = bench.arrive(Action::Revoke, target(&roles(account)[1]), person("!b@example.com"));
    assert_done(&bench.attempt(id).await, Effect::Revoked);
    assert_eq!(bench.atoms(&jane).len(), 1);
}

/// An account in which somebody declined, which its list counts and does not show, with so many others more.
async fn with_somebody_who_declined(others: usize) -> Bench {
    let bench = Bench::start().await;
    let account = bench.account();
    account.configure(|behaviour| behaviour.hides_rejected = true);
    let declined = account.invite("declined@example.com", vec![]);
    account.set_status(&declined, "rejected");
    for n in 0..others {
        account.add_member(&format!("zoe{n:03}@example.com"), vec![]);
    }
    bench
}

#[tokio::test]
async fn who_is_gone_is_gone_also_where_the_list_counts_those_who_declined_and_does_not_show_them() {
    for (others, pages) in [(0, 1), (120, 3)] {
        let bench = with_somebody_who_declined(others).await;
        let account = bench.account();
        let jane = account.add_member(JANE, vec![]);
        let gone = known(&bench, &jane);
        account.remove_member(&jane);
        for subject in [gone, account_of(JANE)] {
            account.reset_log();
            let began = bench.world.now();
            let id = bench.arrive(Action::Revoke, Target::Account, subject);
            assert_done(&bench.attempt(id).await, Effect::AlreadyRevoked);
            assert_eq!(account.requests(Route::ListMembers), 2 * pages, "twice");
            assert!(bench.world.now().since(began) >= 5_000, "a while apart");
        }
        // The control: where others come and go between the two readings, nothing is known.
        let leaver = account.add_member("leaver@example.com", vec![]);
        account.after_page(Route::ListMembers, u64::try_from(pages).unwrap(), move |account, _| {
            account.remove_member(&leaver);
            account.add_member("newcomer@example.com", vec![]);
        });
        let id = bench.arrive(Action::Revoke, Target::Account, account_of(JANE));
        assert_not_now(&bench.attempt(id).await, "changed while");
    }
}

/// A revoke of an account that comes again by itself.
fn revoke_that_comes_again(bench: &Bench, subject: Subject) -> EntryId {
    let (action, target) = (Action::Revoke, Target::Account);
    let key = Some("task/step".to_owned());
    let request = Request { key, action, target, subject, origin: Origin::default() };
    let now = bench.world.now();
    match journal::arrive(&bench.world, &request, now, now.plus_secs(30)).unwrap() {
        Arrival::New(id) => id,
        other => panic!("{other:?}"),
    }
}

/// Somebody invited her by hand just before, whom the list counts and shows only half a minute later; also where ConductorOne knows her by the ids of
/// the membership that was removed before that.
#[tokio::test]
async fn who_is_counted_and_not_listed_is_nobody_only_once_no_list_can_be_behind() {
    for (is_there, was_there) in [(true, false), (false, false), (true, true), (false, true)] {
        let bench = with_somebody_who_declined(0).await;
        let account = bench.account();
        let mut subject = account_of(JANE);
        if was_there {
            let jane = account.add_member(JANE, vec![]);
            subject = known(&bench, &jane);
            assert!(subject.member_id.is_some() && subject.user_id.is_some());
            account.remove_member(&jane);
        }
        if is_there {
            account.configure(|behaviour| behaviour.unlisted = vec![JANE.to_owned()]);
            account.invite(JANE, vec![]);
        }
        let revoke = revoke_that_comes_again(&bench, subject);
        assert_not_now(&bench.attempt(revoke).await, "tells of more");
        bench.world.advance(30);
        account.configure(|behaviour| behaviour.unlisted = Vec::new());
        if is_there {
            assert_done(&bench.settle(revoke).await, Effect::Removed);
            assert!(account.membership_of(JANE).is_none());
        } else {
            assert_not_now(&bench.attempt(revoke).await, "tells of more");
            // The control: the list counts those who declined, and always will.
            bench.world.advance(30);
            assert_done(&bench.attempt(revoke).await, Effect::AlreadyRevoked);
        }
    }
}

#[tokio::test]
async fn who_may_be_meant_is_seen_again_by_the_attempt_that_goes_on_where_the_last_one_failed() {
    let many = |account: &Cloudflare| {
        for n in 0..1_050 {
            account.add_member(&format!("!c{n:04}@example.com"), vec![]);
        }
    };
    let bench = Bench::with(many, |_| {}).await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member("~b@example.com", known[..2].iter().map(|role| holds(account, role)).collect());
    // Either of two addresses: whoever has one of them may be somebody else as long as the other was not looked for everywhere.
    let subject = Subject { emails: vec!["~b@example.com".into(), "zz@example.com".into()], ..Subject::default() };
    // Once in each of the two readings.
    for after in [15, 35] {
        account.fail_later(Route::ListMembers, after, Fault::status(500, 1));
    }
    let id = bench.arrive(Action::Revoke, target(&known[1]), subject);
    for _ in 0..2 {
        assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
    }
    assert_done(&bench.attempt(id).await, Effect::Revoked);
    assert_eq!(bench.atoms(&jane).len(), 1);
    let read = account.requests(Route::ListMembers);
    assert!((44..60).contains(&read), "22 pages, twice, and where it went on: {read}");
}

#[tokio::test]
async fn one_role_under_two_ids_is_one_role() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let role = known.iter().find(|role| role.role_id.is_some()).unwrap();
    let whole = account.account_resource_group();
    let ids = [
        format!("role:{}:member", role.governed_as()),
        format!("role:{}:member", role.id),
        format!("scoped_role:{}-{whole}:member", role.id),
    ]
    .map(|id| Target::Entitlement(id.parse().unwrap()));
    for (n, (older, newer)) in [(0, 1), (1, 0), (2, 0), (0, 2)].into_iter().enumerate() {
        let other = known.iter().find(|other| other.id != role.id).unwrap();
        let jane =
            account.add_member(&format!("jane{n}@example.com"), vec![holds(account, role), holds(account, other)]);
        account.fail_next(Route::UpdateMember, 1, Fault::status(429, 10_013));
        let put_off = bench.arrive(Action::Revoke, ids[older].clone(), member(&jane));
        assert!(matches!(bench.attempt(put_off).await, Outcome::NotNow { .. }));
        bench.world.advance(400);
        assert_done(&bench.operate(Action::Grant, ids[newer].clone(), member(&jane)).await, Effect::AlreadyGranted);
        assert_refused(&bench.settle(put_off).await, Refusal::Superseded, "asked for the contrary later");
        assert_eq!(bench.atoms(&jane).len(), 2);
        // Another role is another.
        assert_done(&bench.operate(Action::Revoke, target(other), member(&jane)).await, Effect::Revoked);
    }
}

/// Where the list of roles is refused, a role is known by its permission group until somebody is seen to hold it.
#[tokio::test]
async fn a_role_whose_own_id_is_learned_meanwhile_is_the_same_role_for_an_operation_that_waits() {
    let refuses = |account: &Cloudflare| account.fail_next(Route::ListRoles, 10_000, Fault::status(404, 10_000));
    for is_granted_again in [true, false] {
        let bench = Bench::with(refuses, |_| {}).await;
        let account = bench.account();
        let known = roles(account);
        let is_held = |role: &KnownPermissionGroup| {
            account.memberships().iter().any(|one| bench.atoms(&one.id).contains(&atom(account, role)))
        };
        let role = known.iter().find(|role| role.governed_as() != role.id && !is_held(role)).unwrap();
        let other = known.iter().find(|other| other.id != role.id).unwrap();
        let jane = account.add_member(JANE, vec![holds(account, role), holds(account, other)]);
        let what = Target::Entitlement(format!("role:{}:member", role.id).parse().unwrap());
        account.fail_next(Route::UpdateMember, 1, Fault::status(429, 10_013));
        let revoke = bench.arrive(Action::Revoke, what.clone(), member(&jane));
        assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
        bench.world.advance(400);
        if is_granted_again {
            assert_done(&bench.operate(Action::Grant, what, member(&jane)).await, Effect::AlreadyGranted);
        }
        let under = |id: &str| Some(format!("role:{id}:member"));
        assert_eq!(bench.entry(revoke).entitlement, under(&role.id));
        bench.world.sync().await;
        let outcome = bench.settle(revoke).await;
        assert_eq!(bench.entry(revoke).entitlement, under(role.governed_as()), "it is learned");
        if is_granted_again {
            assert_refused(&outcome, Refusal::Superseded, "asked for the contrary later");
        } else {
            assert_done(&outcome, Effect::Revoked);
        }
        assert_eq!(bench.atoms(&jane).contains(&atom(account, role)), is_granted_again);
    }
}

#[tokio::test]
async fn a_role_is_told_by_its_name_also_where_no_generation_can_be_read() {
    let (bench, roles, jane) = Bench::with_jane().await;
    bench.world.desk.values.borrow_mut().clear();
    let Outcome::Done { message, .. } = bench.operate(Action::Grant, target(&roles[1]), member(&jane)).await else {
        panic!("it is granted")
    };
    assert!(message.contains(&roles[1].name), "{message}");
}

/// Shows the lists of a kind without what is on them, and with how much there is.
fn emptied(bench: &Bench, list: &'static str) {
    bench.world.bends.replace(Some(Box::new(move |asked, body| {
        if asked.contains(list) {
            body["result"] = serde_json::json!([]);
        }
    })));
}

#[tokio::test]
async fn a_list_that_has_fewer_than_it_says_proves_nothing() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &known[0]), holds(account, &known[1])]);
    let group = account.add_group("Group", vec![holds(account, &known[1])]);
    account.join_group(&group, &jane);
    emptied(&bench, "/members?");
    let id = bench.arrive(Action::Revoke, target(&known[0]), person(JANE));
    let outcome = bench.attempt(id).await;
    assert_not_now(&outcome, "no account is without");
    bench.world.bends.take();
    assert_done(&bench.settle(id).await, Effect::Revoked);
    account.add_policy(&jane, holds(account, &known[0]));
    bench.world.advance(70);
    // Nor do the user groups: one of them gives what is revoked.
    emptied(&bench, "/user_groups?");
    let id = bench.arrive(Action::Revoke, target(&known[1]), person(JANE));
    let outcome = bench.attempt(id).await;
    assert_not_now(&outcome, "lists no user group");
    bench.world.bends.take();
    assert_refused(&bench.settle(id).await, Refusal::HeldThroughGroup, "Group");
}

/// Tells of a list of user groups without this one, as long as that is wanted, and with how many there are.
fn without_group(bench: &Bench, group: &str, is_wanted: impl Fn() -> bool + 'static) {
    let group = group.to_owned();
    bench.world.bends.replace(Some(Box::new(move |asked, body| {
        if asked.contains("/user_groups?") && is_wanted() {
            body["result"].as_array_mut().unwrap().retain(|told| told["id"] != group);
        }
    })));
}

#[tokio::test]
async fn a_wrong_count_of_the_groups_keeps_no_revoke_from_its_end_and_a_list_without_one_of_them_proves_nothing() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member(JANE, known[..4].iter().map(|role| holds(account, role)).collect());
    let join = |name: &str, place: usize| {
        let group = account.add_group(name, vec![holds(account, &known[place])]);
        account.join_group(&group, &jane);
        group
    };
    let older = join("Older", 1);
    bench.world.sync().await;
    let newer = join("Newer", 2);
    // One that the last sync saw is left out for long, and one that is newer for a moment.
    without_group(&bench, &older, || true);
    let of_older = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
    assert_not_now(&bench.attempt(of_older).await, "lists no user group");
    let is_left = Cell::new(true);
    without_group(&bench, &newer, move || is_left.replace(false));
    let of_newer = bench.arrive(Action::Revoke, target(&known[2]), member(&jane));
    assert_not_now(&bench.attempt(of_newer).await, "user groups changed");
    // What is counted is wrong for good.
    bench.world.bends.replace(Some(Box::new(|asked, body| {
        if asked.contains("/user_groups?") {
            let count = body["result_info"]["total_count"].as_u64().unwrap();
            body["result_info"]["total_count"] = (count + 1).into();
        }
    })));
    bench.world.advance(10);
    let began = bench.world.now();
    assert_refused(&bench.attempt(of_older).await, Refusal::HeldThroughGroup, "Older");
    assert!(bench.world.now().since(began) < 5_000, "an attempt has no time to wait for each list that it reads");
    assert_refused(&bench.attempt(of_newer).await, Refusal::HeldThroughGroup, "Newer");
    assert_done(&bench.operate(Action::Revoke, target(&known[3]), member(&jane)).await, Effect::Revoked);
}

#[tokio::test]
async fn what_stands_before_the_api_forbids_nothing_for_good() {
    for status in [400, 401, 403, 405] {
        for fault in [Fault::Html { status }, Fault::Problem { status, retryable: false, retry_after: None }] {
            let (bench, roles, jane) = Bench::with_jane().await;
            bench.account().fail_next(Route::GetMember, 1, fault.clone());
            let id = bench.arrive(Action::Grant, target(&roles[1]), member(&jane));
            let outcome = bench.attempt(id).await;
            assert!(matches!(outcome, Outcome::NotNow { .. }), "{fault:?}: {outcome:?}");
            assert_done(&bench.settle(id).await, Effect::Granted);
        }
    }
    // The API's own word does.
    let (bench, roles, jane) = Bench::with_jane().await;
    bench.account().fail_next(Route::GetMember, 1, Fault::status(403, 10_000));
    let outcome = bench.operate(Action::Grant, target(&roles[1]), member(&jane)).await;
    assert_refused(&outcome, Refusal::Cloudflare, "may not do this");
}

#[tokio::test]
async fn a_list_without_anybody_or_any_group_proves_nothing() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &known[0]), holds(account, &known[1])]);
    let group = account.add_group("Group", vec![holds(account, &known[1])]);
    account.join_group(&group, &jane);
    bench.world.sync().await;
    let late = account.add_member("late@example.com", vec![holds(account, &known[0]), holds(account, &known[2])]);
    let none = |list: &'static str, told: serde_json::Value| {
        bench.world.bends.replace(Some(Box::new(move |asked, body| {
            if asked.contains(list) {
                body["result"] = serde_json::json!([]);
                body["result_info"] = told.clone();
            }
        })));
    };
    for told in [serde_json::Value::Null, serde_json::json!({ "page": 1, "total_pages": 0, "total_count": 0 })] {
        for action in [Action::Revoke, Action::Grant] {
            none("/members?", told.clone());
            let id = bench.arrive(action, target(&known[0]), person("late@example.com"));
            let outcome = bench.attempt(id).await;
            assert_not_now(&outcome, "no account is without");
            bench.world.bends.take();
            let effect = if action == Action::Grant { Effect::Granted } else { Effect::Revoked };
            assert_done(&bench.settle(id).await, effect);
            bench.world.advance(70);
        }
        none("/user_groups?", told);
        let id = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
        let outcome = bench.attempt(id).await;
        assert_not_now(&outcome, "lists no user group");
        bench.world.bends.take();
        assert_refused(&bench.settle(id).await, Refusal::HeldThroughGroup, "Group");
        bench.world.advance(70);
    }
    assert!(account.membership(&late).is_some());
    // Where the last one is gone by itself, there is none.
    account.remove_group(&group);
    assert_done(&bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await, Effect::AlreadyRevoked);
}

#[tokio::test]
async fn a_list_that_has_fewer_pages_at_its_second_proves_nothing() {
    let (bench, jane) = somebody_new_among_many().await;
    let account = bench.account();
    account.change_email(&jane, "~last@example.com");
    let subject = Subject { member_id: Some(format!("{:032x}", 77).parse().unwrap()), ..known(&bench, &jane) };
    bench.world.bends.replace(Some(Box::new(|asked, body| {
        if asked.contains("/members?") {
            let pages = if asked.contains("page=1&") { 3 } else { 2 };
            body["result_info"] = serde_json::json!({ "total_pages": pages });
        }
    })));
    let id = bench.arrive(Action::Revoke, target(&roles(account)[1]), Subject { emails: vec![], ..subject });
    let outcome = bench.attempt(id).await;
    assert_not_now(&outcome, "changed while");
    bench.world.bends.take();
    assert_done(&bench.settle(id).await, Effect::Revoked);
}

#[tokio::test]
async fn that_somebody_is_gone_is_the_apis_own_word() {
    // Neither a page of the edge's, in whatever form, nor that there is no such path is.
    let problem = Fault::Problem { status: 404, retryable: false, retry_after: None };
    for other in [Some(Fault::Html { status: 404 }), Some(problem), Some(Fault::status(404, 7003)), None] {
        let bench = Bench::start().await;
        let account = bench.account();
        let jane = account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
        let is_other = other.is_some();
        // The removal fails, and nobody has the page of the one who is there still.
        if let Some(fault) = other {
            for failed in [Fault::status(500, 10_000), fault.clone()] {
                account.fail_next(Route::DeleteMember, 1, failed);
                account.fail_later(Route::GetMember, 1, fault.clone());
                let id = bench.arrive(Action::Revoke, Target::Account, member(&jane));
                let outcome = bench.attempt(id).await;
                assert!(matches!(outcome, Outcome::NotNow { .. }), "{outcome:?}");
                assert!(account.membership(&jane).is_some());
                bench.world.advance(10);
            }
        }
        let id = bench.arrive(Action::Revoke, Target::Account, member(&jane));
        let outcome = if is_other { bench.settle(id).await } else { bench.attempt(id).await };
        assert_done(&outcome, Effect::Removed);
        assert!(account.membership(&jane).is_none());
    }
}

#[tokio::test]
async fn an_invitation_is_told_only_with_the_role_that_it_shows() {
    for told in [serde_json::json!([]), serde_json::Value::Null] {
        let bench = Bench::start().await;
        let account = bench.account();
        let (wanted, other) = (roles(account)[1].clone(), roles(account)[2].clone());
        // Cloudflare answers an invitation that it made with less than was asked for.
        let less = holds(account, &other);
        account.after_next(Route::CreateMember, move |account, _| {
            let new = account.membership_of(NEW).unwrap().id;
            account.set_policies(&new, vec![less]);
        });
        bench.world.bends.replace(Some(Box::new(move |asked, body| {
            if asked.starts_with("POST") {
                body["result"]["policies"] = told.clone();
            }
        })));
        let grant = bench.arrive(Action::Grant, target(&wanted), person(NEW));
        let outcome = bench.attempt(grant).await;
        assert!(matches!(outcome, Outcome::NotNow { .. }), "{outcome:?}");
        bench.world.bends.take();
        assert_done(&bench.settle(grant).await, Effect::Granted);
        let new = account.membership_of(NEW).unwrap();
        assert!(bench.atoms(&new.id).contains(&atom(account, &wanted)));
        assert_eq!(account.requests(Route::CreateMember), 1);
    }
}

#[tokio::test]
async fn an_invitation_whose_answer_tells_less_than_its_record_is_told_at_once() {
    let bench = Bench::start().await;
    let account = bench.account();
    let wanted = roles(account)[1].clone();
    bench.world.bends.replace(Some(Box::new(|asked, body| {
        if asked.starts_with("POST") {
            body["result"].as_object_mut().unwrap().remove("policies");
        }
    })));
    assert_done(&bench.attempt(bench.arrive(Action::Grant, target(&wanted), person(NEW))).await, Effect::Granted);
}

#[tokio::test]
async fn who_is_named_by_a_user_id_alone_may_be_whoever_is_listed_without_one_that_can_be_read() {
    for (oddity, may_be) in [
        (Oddity::UserText("id", "usr_1"), true),
        (Oddity::UserText("id", ""), true),
        // Somebody else for certain, whatever else cannot be read of them.
        (Oddity::Text("id", "mem_1"), false),
    ] {
        let bench = Bench::start().await;
        let account = bench.account();
        // They came since the last sync.
        let [jane, joe] =
            [JANE, "joe@example.com"].map(|email| account.add_member(email, vec![holds(account, &roles(account)[0])]));
        let user = |id: &str| Subject { member_id: None, emails: Vec::new(), ..known(&bench, id) };
        let (jane_by_id, odd_one) = (user(&jane), if may_be { &jane } else { &joe });
        account.make_odd(Route::ListMembers, odd_one, oddity);
        if !may_be {
            account.remove_member(&jane);
        }
        let outcome = bench.operate(Action::Revoke, Target::Account, jane_by_id.clone()).await;
        if may_be {
            assert_refused(&outcome, Refusal::UnreadableMember, "Cloudflare's dashboard");
            account.make_even();
            assert_done(&bench.operate(Action::Revoke, Target::Account, jane_by_id).await, Effect::Removed);
        } else {
            assert_done(&outcome, Effect::AlreadyRevoked);
        }
        assert!(account.membership(&jane).is_none());
    }
}

#[tokio::test]
async fn whose_address_a_membership_that_is_not_listed_yet_has_may_be_somebody_else() {
    for action in [Action::Grant, Action::Revoke] {
        let bench = Bench::start().await;
        let account = bench.account();
        let known = roles(account);
        assert_done(&bench.operate(Action::Grant, target(&known[0]), person(JANE)).await, Effect::Granted);
        let jane = account.membership_of(JANE).unwrap().id;
        account.accept_invitation(&jane);
        account.configure(|behaviour| behaviour.unlisted = vec![JANE.to_owned()]);
        let other = Subject { user_id: Some(format!("{:032x}", 78).parse().unwrap()), ..person(JANE) };
        let held = bench.atoms(&jane);
        let role = if action == Action::Grant { &known[1] } else { &known[0] };
        let refused = bench.operate(action, target(role), other).await;
        assert_refused(&refused, Refusal::AmbiguousMember, JANE);
        assert_eq!(bench.atoms(&jane), held);
        assert_done(&bench.operate(Action::Grant, target(&known[2]), person(JANE)).await, Effect::Granted);
    }
}

/// A person and none of their accounts: what is known of them is what was done for them before.
#[tokio::test]
async fn a_revoke_of_a_person_ends_a_grant_that_waits_and_does_not_yet_know_whom_it_is_about() {
    let bench = Bench::start().await;
    let role = roles(bench.account())[1].clone();
    bench.account().fail_next(Route::ListMembers, 9, Fault::status(503, 10_000));
    let grant = bench.arrive(Action::Grant, target(&role), person(NEW));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    bench.account().clear_faults();
    assert_done(&bench.operate(Action::Revoke, target(&role), person(NEW)).await, Effect::AlreadyRevoked);
    assert_refused(&bench.settle(grant).await, Refusal::Superseded, "");
    assert!(bench.account().membership_of(NEW).is_none());
}

/// An operation stands under one address, and a person may have several.
#[tokio::test]
async fn a_revoke_ends_a_grant_that_waits_under_another_address_of_the_person() {
    const OTHER: &str = "j.doe@example.com";
    // As the directory has it, in which nobody's address has a blank.
    const BLANK: &str = " j.doe@example.com";
    const JORG: &str = "JÖRG@müller.example";
    for (other, has_account) in [(OTHER, true), (OTHER, false), (JORG, true), (JORG, false), (BLANK, false)] {
        let bench = Bench::start().await;
        let account = bench.account();
        let known = roles(account);
        let both = Subject { emails: vec![JANE.to_owned(), other.to_owned()], ..Subject::default() };
        let (given, taken, effect) = if has_account {
            account.add_member(other, vec![holds(account, &known[0])]);
            (both, account_of(other), Effect::Removed)
        } else {
            (person(other), both, Effect::AlreadyRevoked)
        };
        account.fail_next(Route::ListMembers, 9, Fault::status(503, 10_000));
        let grant = bench.arrive(Action::Grant, target(&known[1]), given.clone());
        assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
        account.clear_faults();
        assert_done(&bench.operate(Action::Revoke, Target::Account, taken).await, effect);
        assert_refused(&bench.settle(grant).await, Refusal::Superseded, "asked for the contrary later");
        assert!(account.membership_of(JANE).is_none() && account.membership_of(other).is_none());
        // Who asks once more has it, where Cloudflare takes the address.
        if other != BLANK {
            assert_done(&bench.operate(Action::Grant, target(&known[1]), given).await, Effect::Granted);
        }
    }
}

/// What an earlier version stored has no folded addresses.
#[tokio::test]
async fn a_revoke_that_was_stored_by_an_earlier_version_ends_a_grant_that_waits_under_another_address_of_the_person() {
    let bench = Bench::start().await;
    let known = roles(bench.account());
    bench.account().fail_next(Route::ListMembers, 9, Fault::status(503, 10_000));
    let grant = bench.arrive(Action::Grant, target(&known[1]), person(NEW));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    bench.account().clear_faults();
    let both = Subject { emails: vec![JANE.to_owned(), NEW.to_uppercase()], ..Subject::default() };
    assert_done(&bench.operate(Action::Revoke, Target::Account, both).await, Effect::AlreadyRevoked);
    let without = "UPDATE operation SET request = json_remove(request, '$.folded')";
    bench.world.query(without, &[]).unwrap();
    assert_refused(&bench.settle(grant).await, Refusal::Superseded, "asked for the contrary later");
}

#[tokio::test]
async fn a_revoke_by_an_id_that_is_nobodys_any_more_ends_a_grant_that_waits_under_the_address_that_went_with_it() {
    let jane = |account: &Cloudflare| drop(account.add_member(JANE, vec![holds(account, &roles(account)[0])]));
    let bench = Bench::with(jane, |_| {}).await;
    let account = bench.account();
    let role = target(&roles(account)[1]);
    let jane = account.membership_of(JANE).unwrap().id;
    let by_user = Subject { emails: Vec::new(), member_id: None, ..known(&bench, &jane) };
    account.fail_next(Route::GetMember, 9, Fault::status(503, 10_000));
    let grant = bench.arrive(Action::Grant, role.clone(), person(JANE));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    account.clear_faults();
    account.remove_member(&jane);
    assert_done(&bench.operate(Action::Revoke, Target::Account, by_user).await, Effect::AlreadyRevoked);
    assert_refused(&bench.settle(grant).await, Refusal::Superseded, "asked for the contrary later");
    assert!(account.membership_of(JANE).is_none());
    // Who asks once more has it.
    assert_done(&bench.operate(Action::Grant, role, person(JANE)).await, Effect::Granted);
}

#[tokio::test]
async fn ambiguous_member_is_whose_account_has_another_address_than_the_person_it_was_given_to() {
    let bench = Bench::start().await;
    let account = bench.account();
    let held = roles(account);
    assert_done(&bench.operate(Action::Grant, target(&held[0]), person(NEW)).await, Effect::Granted);
    let new = account.membership_of(NEW).unwrap().id;
    account.accept_invitation(&new);
    account.change_email(&new, "married@example.com");
    // Nor does it help that an account is named, of which nothing but that address is known.
    for who in [person(NEW), account_of(NEW)] {
        let refused = bench.operate(Action::Revoke, target(&held[0]), who).await;
        assert_refused(&refused, Refusal::AmbiguousMember, "married@example.com");
        assert_eq!(bench.atoms(&new), [atom(account, &held[0])].into());
    }
    // Whose account is named loses it.
    assert_done(&bench.operate(Action::Revoke, Target::Account, known(&bench, &new)).await, Effect::Removed);
    for who in [person(NEW), account_of(NEW)] {
        assert_done(&bench.operate(Action::Revoke, target(&held[0]), who).await, Effect::AlreadyRevoked);
    }
}

/// Revokes something from Jane, and lets nothing be read of her once Cloudflare has answered the write; gives the operation, which is put off.
async fn cut_off(bench: &Bench, write: Route, what: Target) -> EntryId {
    let account = bench.account();
    account.after_next(write, |account, _| {
        account.fail_next(Route::GetMember, 9, Fault::status(500, 10_000));
    });
    let revoke = bench.arrive(Action::Revoke, what, person(JANE));
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    account.clear_faults();
    revoke
}

#[tokio::test]
async fn a_revoke_of_a_person_that_was_carried_out_and_cut_off_is_done() {
    for is_looked_for in [false, true] {
        let bench = Bench::with(
            |account| {
                account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
            },
            |config| config.provision.guards.last_role = c1_cloudflare::provision::LastRole::RemoveMember,
        )
        .await;
        let account = bench.account();
        let role = roles(account)[0].clone();
        let revoke = cut_off(&bench, Route::DeleteMember, target(&role)).await;
        assert!(account.membership_of(JANE).is_none());
        if is_looked_for {
            // Whoever looks whether a write came late sees that she is gone before the next attempt does.
            bench.later(120).await;
        }
        assert_done(&bench.settle(revoke).await, Effect::Removed);
        let shown = bench.world.query("SELECT 1 FROM overlay", &[]).unwrap();
        assert_eq!(shown.len(), 1, "readers see that she is gone");
    }
}

#[tokio::test]
async fn who_is_removed_by_another_hand_after_a_revoke_of_a_role_was_cut_off_was_not_removed_by_it() {
    let bench = Bench::with(
        |account| {
            account.add_member(JANE, roles(account)[..2].iter().map(|role| holds(account, role)).collect());
        },
        |config| config.provision.guards.last_role = c1_cloudflare::provision::LastRole::RemoveMember,
    )
    .await;
    let account = bench.account();
    let revoke = cut_off(&bench, Route::UpdateMember, target(&roles(account)[0])).await;
    account.remove_member(&account.membership_of(JANE).unwrap().id);
    assert_done(&bench.settle(revoke).await, Effect::AlreadyRevoked);
}

#[tokio::test]
async fn who_is_removed_by_another_hand_after_super_administrator_was_taken_and_cut_off_was_not_removed_by_it() {
    let bench = Bench::with(
        |account| {
            for email in [JANE, "second@example.com", "third@example.com"] {
                let gives = [account.permission_group("super_admin").unwrap(), roles(account)[0].clone()];
                account.add_member(email, gives.iter().map(|role| holds(account, role)).collect());
            }
        },
        |config| config.provision.guards.last_role = c1_cloudflare::provision::LastRole::RemoveMember,
    )
    .await;
    let account = bench.account();
    // It counts as the removal of an account, and is none.
    let admin = account.permission_group("super_admin").unwrap();
    let revoke = cut_off(&bench, Route::UpdateMember, target(&admin)).await;
    account.remove_member(&account.membership_of(JANE).unwrap().id);
    assert_done(&bench.settle(revoke).await, Effect::AlreadyRevoked);
}

#[tokio::test]
async fn an_invitation_for_which_there_is_no_path_for_a_moment_is_sent_again() {
    let bench = Bench::start().await;
    let account = bench.account();
    account.fail_next(Route::CreateMember, 1, Fault::status(404, 7003));
    let grant = bench.arrive(Action::Grant, target(&roles(account)[0]), person(NEW));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    assert_done(&bench.settle(grant).await, Effect::Granted);
}

#[tokio::test]
async fn what_a_grant_puts_back_is_noted_though_the_last_sync_had_it() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let grant = || bench.operate(Action::Grant, target(&known[1]), member(&jane));
    assert_done(&grant().await, Effect::Granted);
    bench.world.sync().await;
    // Every place shows it by then.
    bench.world.advance(120);
    let noted = || oldest_open(&bench.world).unwrap().is_some();
    assert_done(&grant().await, Effect::AlreadyGranted);
    assert!(!noted(), "nothing was written, and readers see it");
    account.set_policies(&jane, vec![holds(account, &known[0])]);
    assert_done(&grant().await, Effect::Granted);
    assert!(noted(), "a list may show for a while what was before");
}

#[tokio::test]
async fn a_removal_that_was_carried_out_is_done_though_the_address_was_somebody_elses_once() {
    let bench = Bench::start().await;
    let account = bench.account();
    let held = roles(account);
    assert_done(&bench.operate(Action::Grant, target(&held[0]), person(NEW)).await, Effect::Granted);
    let elder = account.membership_of(NEW).unwrap().id;
    account.accept_invitation(&elder);
    account.change_email(&elder, "married@example.com");
    let younger = account.invite(NEW, vec![holds(account, &held[1])]);
    let who = known(&bench, &younger);
    account.after_next(Route::DeleteMember, |account, _| {
        account.fail_next(Route::GetMember, 9, Fault::status(500, 10_000));
    });
    let revoke = bench.arrive(Action::Revoke, Target::Account, who);
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    assert!(account.membership(&younger).is_none());
    account.clear_faults();
    assert_done(&bench.settle(revoke).await, Effect::Removed);
    assert!(account.membership(&elder).is_some());
}

#[tokio::test]
async fn who_was_invited_again_by_another_hand_after_a_removal_that_was_cut_off_stays() {
    for invited_again in [true, false] {
        let jane = |account: &Cloudflare| drop(account.add_member(JANE, vec![holds(account, &roles(account)[0])]));
        let bench = Bench::with(jane, |_| {}).await;
        let account = bench.account();
        account.after_next(Route::DeleteMember, |account, _| {
            account.fail_next(Route::GetMember, 9, Fault::status(500, 10_000));
        });
        let revoke = bench.arrive(Action::Revoke, Target::Account, account_of(JANE));
        assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
        assert!(account.membership_of(JANE).is_none());
        account.clear_faults();
        if invited_again {
            account.invite(JANE, vec![holds(account, &roles(account)[1])]);
        }
        // That attempt is cut off as well.
        account.fail_next(Route::ListMembers, 1, Fault::status(500, 10_000));
        for _ in 0..2 {
            bench.attempt(revoke).await;
            bench.world.advance(30);
        }
        assert_done(&bench.settle(revoke).await, Effect::Removed);
        assert_eq!(account.membership_of(JANE).is_some(), invited_again);
        // Whoever asks once more means who is there now.
        let effect = if invited_again { Effect::Removed } else { Effect::AlreadyRevoked };
        assert_done(&bench.operate(Action::Revoke, Target::Account, account_of(JANE)).await, effect);
    }
}

/// What Cloudflare refused removed nobody.
#[tokio::test]
async fn who_was_invited_again_by_another_hand_after_a_removal_that_was_refused_is_removed() {
    for invited_again in [true, false] {
        let jane = |account: &Cloudflare| drop(account.add_member(JANE, vec![holds(account, &roles(account)[0])]));
        let bench = Bench::with(jane, |_| {}).await;
        let account = bench.account();
        account.fail_next(Route::DeleteMember, 1, Fault::status(429, 10_013));
        let revoke = bench.arrive(Action::Revoke, Target::Account, account_of(JANE));
        assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
        account.remove_member(&account.membership_of(JANE).unwrap().id);
        if invited_again {
            account.invite(JANE, vec![holds(account, &roles(account)[1])]);
        }
        bench.world.advance(400);
        let effect = if invited_again { Effect::Removed } else { Effect::AlreadyRevoked };
        assert_done(&bench.settle(revoke).await, effect);
        assert!(account.membership_of(JANE).is_none());
    }
}

#[tokio::test]
async fn who_was_invited_again_by_an_older_grant_of_our_own_is_removed() {
    for is_answered in [true, false] {
        let jane = |account: &Cloudflare| drop(account.add_member(JANE, vec![holds(account, &roles(account)[0])]));
        let bench = Bench::with(jane, |_| {}).await;
        let account = bench.account();
        account.fail_next(Route::GetMember, 9, Fault::status(503, 10_000));
        let grant = bench.arrive(Action::Grant, target(&roles(account)[1]), person(JANE));
        assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
        account.clear_faults();
        let revoke = bench.arrive(Action::Revoke, Target::Account, account_of(JANE));
        if !is_answered {
            account.fail_next(Route::DeleteMember, 1, Fault::Reset.after());
        }
        account.after_next(Route::DeleteMember, |account, _| {
            account.fail_next(Route::GetMember, 9, Fault::status(500, 10_000));
        });
        assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
        assert!(account.membership_of(JANE).is_none());
        account.clear_faults();
        let older = bench.settle(grant).await;
        if is_answered {
            assert_refused(&older, Refusal::Superseded, "");
        }
        assert_done(&bench.settle(revoke).await, Effect::Removed);
        assert!(account.membership_of(JANE).is_none(), "{older:?}");
    }
}

#[tokio::test]
async fn who_was_removed_by_an_attempt_that_was_cut_off_is_shown_as_gone() {
    let jane = |account: &Cloudflare| drop(account.add_member(JANE, vec![holds(account, &roles(account)[0])]));
    let bench = Bench::with(jane, |_| {}).await;
    let account = bench.account();
    account.after_next(Route::DeleteMember, |account, _| account.fail_next(Route::GetMember, 1, Fault::status(503, 1)));
    let id = bench.arrive(Action::Revoke, Target::Account, account_of(JANE));
    assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
    assert!(account.membership_of(JANE).is_none());
    assert_done(&bench.settle(id).await, Effect::Removed);
    let shown = bench.world.query("SELECT 1 FROM overlay", &[]).unwrap();
    assert_eq!(shown.len(), 1);
}

/// Readers tell whom they leave out by the membership alone. KV takes a minute to show everywhere what was written to it.
#[tokio::test]
async fn who_is_gone_is_shown_as_gone_also_where_the_last_generation_has_not_come_here_yet() {
    for is_ours in [true, false] {
        let jane = |account: &Cloudflare| drop(account.add_member(JANE, vec![holds(account, &roles(account)[0])]));
        let bench = Bench::with(jane, |_| {}).await;
        let (account, desk) = (bench.account(), &bench.world.desk);
        let jane = account.membership_of(JANE).unwrap().id;
        let who = if is_ours { account_of(JANE) } else { known(&bench, &jane) };
        let pointer = desk.key("current");
        let older = desk.values.borrow()[&pointer].clone();
        account.add_member(NEW, vec![]);
        bench.world.sync().await;
        let id = bench.arrive(Action::Revoke, Target::Account, who);
        if is_ours {
            account.after_next(Route::DeleteMember, |account, _| {
                account.fail_next(Route::GetMember, 1, Fault::status(503, 1));
            });
            assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
        } else {
            account.remove_member(&jane);
        }
        assert_eq!(bench.laid_over(&jane).await, None, "ours: {is_ours}");
        let name = desk.key(&format!("manifest/{}", sync::generations(&bench.world).unwrap().remove(0).generation));
        let manifest = desk.values.borrow_mut().remove(&name).unwrap();
        let newest = desk.values.borrow_mut().insert(pointer.clone(), older).unwrap();
        assert_done(&bench.settle(id).await, if is_ours { Effect::Removed } else { Effect::AlreadyRevoked });
        assert_eq!(bench.laid_over(&jane).await, Some(None), "ours: {is_ours}");
        // Whose row it was a sweep tells: until then nothing is published that has her, and counts for what is without her.
        desk.values.borrow_mut().insert(name, manifest);
        desk.values.borrow_mut().insert(pointer, newest);
        bench.world.advance(60);
        let came = refresh::publish(&bench.world, Plan::Paid, BTreeMap::new()).await.unwrap();
        assert_eq!(came, refresh::Outcome::Sweep, "ours: {is_ours}");
        assert_eq!(bench.laid_over(&jane).await, Some(None), "ours: {is_ours}");
    }
}

/// Somebody may give another resource group the name that the whole account's has, and the list may have that one first.
#[tokio::test]
async fn what_is_revoked_before_the_first_sync_is_on_the_whole_account_whatever_else_has_its_name() {
    let bench = Bench::start().await;
    let account = bench.account();
    let is_ordinary = |group: &KnownPermissionGroup| group.account_wide && group.label != "super_admin";
    let mut groups = account.permission_groups().into_iter();
    let role = groups.find(|group| is_ordinary(group) && group.role_id.is_none()).unwrap();
    let other = roles(account)[0].clone();
    let jane = account.add_member(JANE, vec![holds(account, &role), holds(account, &other)]);
    let zone = account.add_domain("example.com");
    let narrower = account.add_scope(&format!("com.cloudflare.api.account.{}", account.account_id()), &[&zone]);
    let unsynced = unsynced(&bench);
    *unsynced.world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
        if asked.contains("/iam/resource_groups") {
            told["result"].as_array_mut().unwrap().sort_by_key(|group| group["id"] != narrower.as_str());
        }
    }));
    let outcome = unsynced.operate(Action::Revoke, target(&role), member(&jane)).await;
    assert_done(&outcome, Effect::Revoked);
    assert_eq!(bench.atoms(&jane), [atom(account, &other)].into());
    // What is granted then is on the whole account, too.
    assert_done(&unsynced.operate(Action::Grant, target(&role), member(&jane)).await, Effect::Granted);
    assert!(bench.atoms(&jane).contains(&atom(account, &role)));
}
