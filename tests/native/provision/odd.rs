//! A member whose record cannot be read in full is never written: a write would replace what was not read.

use c1_cloudflare::base::ports::Sql as _;
use sim::cloudflare::{Behaviour, Cloudflare, Oddity, On, PolicySpec, Route};

use super::{
    Action, Bench, Effect, Outcome, Refusal, Target, assert_done, assert_refused, atom, group_target, holds, member,
    person, roles, target,
};
use crate::sync_crawl::oracle::{manifest, published};

/// What changes a member of the account.
const WRITES: [Route; 4] =
    [Route::UpdateMember, Route::DeleteMember, Route::AddUserGroupMembers, Route::DeleteUserGroupMember];

fn writes(bench: &Bench) -> usize {
    WRITES.into_iter().map(|route| bench.account().requests(route)).sum()
}

#[tokio::test]
async fn unreadable_member_is_refused_whatever_is_asked_and_nothing_is_written() {
    let odd = [
        Oddity::Without("policies"),
        Oddity::Null("policies"),
        Oddity::Empty("policies"),
        Oddity::NullInPolicies("resource_groups"),
        Oddity::NullInPolicies("permission_groups"),
        Oddity::Text("status", "suspended"),
        Oddity::NoEmail,
        Oddity::UserText("id", "usr_1"),
    ];
    for oddity in odd {
        let bench = Bench::start().await;
        let account = bench.account();
        let (first, wanted) = (roles(account)[0].clone(), roles(account)[5].clone());
        let whom = account.add_member("odd@example.com", vec![holds(account, &first)]);
        let other = account.add_member("even@example.com", vec![holds(account, &first)]);
        let group = account.add_group("Group", vec![holds(account, &wanted)]);
        account.make_odd(On::Reads, &whom, oddity.clone());
        let before = bench.atoms(&whom);
        let asked = [
            (Action::Grant, target(&wanted)),
            (Action::Revoke, target(&first)),
            (Action::Revoke, target(&wanted)),
            (Action::Grant, group_target(&group)),
            (Action::Revoke, Target::Account),
        ];
        for (action, what) in asked {
            let refused = bench.operate(action, what.clone(), member(&whom)).await;
            let Outcome::Refused { code, .. } = &refused else { panic!("{oddity:?}, {what:?}: {refused:?}") };
            assert_eq!(*code, Refusal::UnreadableMember, "{oddity:?}, {what:?}");
            assert_refused(&refused, Refusal::UnreadableMember, "Cloudflare's dashboard");
        }
        assert_eq!((writes(&bench), bench.atoms(&whom)), (0, before), "{oddity:?}");
        // The one beside is not concerned.
        assert_done(&bench.operate(Action::Grant, target(&wanted), member(&other)).await, Effect::Granted);
        assert!(bench.atoms(&other).contains(&atom(account, &wanted)));
        // And once Cloudflare tells the rest, neither is this one.
        account.make_even();
        assert_done(&bench.operate(Action::Grant, target(&wanted), member(&whom)).await, Effect::Granted);
        assert!(bench.atoms(&whom).is_superset(&[atom(account, &first), atom(account, &wanted)].into()));
    }
}

/// Reads are as they should be after this many.
fn even_after(account: &Cloudflare, reads: u32) {
    account.before_next(Route::GetMember, move |account, _| match reads.checked_sub(1) {
        None => account.make_even(),
        Some(left) => even_after(account, left),
    });
}

#[tokio::test]
async fn a_record_that_cannot_be_read_a_few_times_is_asked_for_until_it_can() {
    for oddity in [Oddity::Without("policies"), Oddity::NoEmail] {
        for (reads, is_read) in [(1, true), (3, true), (4, false)] {
            let (bench, known, jane) = Bench::with_jane().await;
            bench.account().make_odd(Route::GetMember, &jane, oddity.clone());
            even_after(bench.account(), reads);
            let outcome = bench.operate(Action::Grant, target(&known[5]), member(&jane)).await;
            if is_read {
                assert_done(&outcome, Effect::Granted);
            } else {
                assert_refused(&outcome, Refusal::UnreadableMember, "Cloudflare's dashboard");
            }
        }
    }
}

#[tokio::test]
async fn unknown_policy_of_a_member_is_refused_and_never_written_back() {
    let bench = Bench::start().await;
    let account = bench.account();
    let (first, second, wanted) = (roles(account)[0].clone(), roles(account)[1].clone(), roles(account)[5].clone());
    let odd = account.add_member("odd@example.com", vec![holds(account, &first), holds(account, &second)]);
    let even = account.add_member("even@example.com", vec![holds(account, &first), holds(account, &second)]);
    account.make_odd(Route::GetMember, &odd, Oddity::TextInPolicies("access", "perhaps"));
    for (action, role) in [(Action::Grant, &wanted), (Action::Revoke, &first)] {
        let refused = bench.operate(action, target(role), member(&odd)).await;
        assert_refused(&refused, Refusal::UnknownPolicy, "Cloudflare's dashboard");
        assert_eq!(writes(&bench), 0);
    }
    assert_done(&bench.operate(Action::Grant, target(&wanted), member(&even)).await, Effect::Granted);
    assert_done(&bench.operate(Action::Revoke, target(&first), member(&even)).await, Effect::Revoked);
}

/// It gives nothing, and Cloudflare would not take it back: it goes with the first change.
#[tokio::test]
async fn a_policy_that_names_nothing_keeps_nobody_from_a_role() {
    for is_grant in [true, false] {
        let bench = Bench::start().await;
        let account = bench.account();
        let known = roles(account);
        let nothing = PolicySpec { resource_groups: Vec::new(), ..holds(account, &known[0]) };
        let held = vec![nothing, holds(account, &known[1]), holds(account, &known[2])];
        let whom = account.add_member("odd@example.com", held);
        let before = bench.atoms(&whom);
        let (action, role) = if is_grant { (Action::Grant, &known[5]) } else { (Action::Revoke, &known[2]) };
        let outcome = bench.operate(action, target(role), member(&whom)).await;
        assert_done(&outcome, if is_grant { Effect::Granted } else { Effect::Revoked });
        let changed: Vec<_> = bench.atoms(&whom).symmetric_difference(&before).cloned().collect();
        assert_eq!(changed, [atom(account, role)]);
    }
}

/// Nothing that is written could be kept of them, and nobody is told of it then.
#[tokio::test]
async fn who_holds_more_than_can_be_kept_of_a_member_is_refused_and_nothing_is_written() {
    let bench = Bench::start().await;
    let account = bench.account();
    let (groups, wanted) = (account.permission_groups(), roles(account)[5].clone());
    let groups: Vec<String> = groups.into_iter().filter(|it| !it.account_wide).take(8).map(|it| it.id).collect();
    assert_eq!(groups.len(), 8);
    let zones: Vec<String> = (0..2_900).map(|n| account.add_zone(&format!("shop{n}.example"))).collect();
    let whom = account.add_member("odd@example.com", vec![holds(account, &roles(account)[0])]);
    for (count, is_kept) in [(2_900, false), (874, true)] {
        let (permission_groups, resource_groups) = (groups.clone(), zones[..count].to_vec());
        let many = PolicySpec { permission_groups, resource_groups, ..holds(account, &wanted) };
        account.set_policies(&whom, vec![many]);
        let before = bench.atoms(&whom);
        account.reset_log();
        let outcome = bench.operate(Action::Grant, target(&wanted), member(&whom)).await;
        if is_kept {
            assert_done(&outcome, Effect::Granted);
            assert_eq!(bench.atoms(&whom).len(), before.len() + 1);
            let kept = bench.world.one("SELECT length(kept) FROM overlay ORDER BY seq DESC LIMIT 1", &[]).unwrap();
            println!("{} bytes", kept.and_then(|length| length.integer()).unwrap());
            continue;
        }
        assert_refused(&outcome, Refusal::UnreadableMember, "more than 7,000 pairs");
        assert_eq!((writes(&bench), bench.atoms(&whom)), (0, before));
        let run = bench.world.sync().await;
        assert!(!run.warnings.iter().any(|told| told.contains("7,000 pairs")), "{:?}", run.warnings);
    }
    // Nor is that written of which nothing could be kept.
    let (permission_groups, resource_groups) = (groups.clone(), zones[..875].to_vec());
    account.set_policies(&whom, vec![PolicySpec { permission_groups, resource_groups, ..holds(account, &wanted) }]);
    account.reset_log();
    let outcome = bench.operate(Action::Grant, target(&wanted), member(&whom)).await;
    assert_refused(&outcome, Refusal::Cloudflare, "more than 7,000 pairs");
    assert_eq!((writes(&bench), bench.atoms(&whom).len()), (0, 7_000));
    // Of still more a sync reads no more than its memory holds, whatever stands first, beside what was known.
    let (permission_groups, resource_groups) = (groups, zones);
    let many = PolicySpec { permission_groups, resource_groups, ..holds(account, &wanted) };
    let last = roles(account)[1].clone();
    account.set_policies(&whom, vec![many.clone(), many.clone(), many, holds(account, &last)]);
    let run = bench.world.sync().await;
    assert!(run.warnings.iter().any(|told| told.contains("50000 pairs")), "{:?} {}", run.warnings, run.message);
    let grants = manifest(&bench.world).await.counts.grants;
    assert!((23_200..26_500).contains(&grants), "{grants}");
    let user = account.membership(&whom).unwrap().user_id.unwrap();
    let grant = format!("role:{}:member:user:{user}", last.governed_as());
    assert!(published(&bench.world).await.grants.contains(&grant), "what fits is read");
    // The account can be taken away all the same.
    let removed = bench.operate(Action::Revoke, Target::Account, member(&whom)).await;
    assert_done(&removed, Effect::Removed);
}

/// What a user group gives is none of the member's own, whether the record shows it or not.
#[tokio::test]
async fn who_is_in_a_group_that_gives_more_than_can_be_kept_of_a_member_is_granted_and_revoked() {
    let behaviour = Behaviour { lists_inherited_policies: true, ..Behaviour::default() };
    let bench = Bench::with(move |account| account.configure(|it| *it = behaviour), |_| {}).await;
    let account = bench.account();
    let groups = account.permission_groups();
    let permission_groups: Vec<String> =
        groups.into_iter().filter(|it| !it.account_wide).take(8).map(|it| it.id).collect();
    let resource_groups: Vec<String> = (0..260).map(|n| account.add_zone(&format!("shop{n}.example"))).collect();
    let [own, wanted] = [0, 5].map(|place| roles(account)[place].clone());
    let policy = PolicySpec { permission_groups, resource_groups, ..holds(account, &own) };
    let whom = account.add_member("many@example.com", vec![holds(account, &own)]);
    let group = account.add_group("Shops", vec![policy; 10]);
    account.join_group(&group, &whom);
    bench.world.sync().await;
    for (action, effect) in [(Action::Grant, Effect::Granted), (Action::Revoke, Effect::Revoked)] {
        assert_done(&bench.operate(action, target(&wanted), member(&whom)).await, effect);
    }
}

/// A list that counts fewer than its full pages have goes on after them.
#[tokio::test]
async fn who_is_behind_what_a_list_of_members_counts_is_found_and_who_is_gone_is_gone() {
    let bench = Bench::start().await;
    let account = bench.account();
    for n in 0..100 {
        account.add_member(&format!("a{n:03}@example.com"), vec![]);
    }
    let last = account.add_member("zzz@example.com", vec![holds(account, &roles(account)[0])]);
    bench.world.bends.replace(Some(Box::new(|asked, body| {
        if asked.contains("/members?") && !asked.contains("user_groups") {
            body["result_info"]["total_count"] = 90.into();
            body["result_info"].as_object_mut().unwrap().remove("total_pages");
        }
    })));
    for effect in [Effect::Removed, Effect::AlreadyRevoked] {
        let outcome = bench.operate(Action::Revoke, Target::Account, person("zzz@example.com")).await;
        assert_done(&outcome, effect);
        assert!(account.membership(&last).is_none());
    }
}

#[tokio::test]
async fn an_answer_that_leaves_something_out_once_is_read_again() {
    let bench = Bench::start().await;
    let account = bench.account();
    let (first, wanted) = (roles(account)[0].clone(), roles(account)[5].clone());
    let whom = account.add_member("odd@example.com", vec![holds(account, &first)]);
    account.make_odd(Route::GetMember, &whom, Oddity::Without("policies"));
    account.after_next(Route::GetMember, |account, _| account.make_even());
    assert_done(&bench.operate(Action::Grant, target(&wanted), member(&whom)).await, Effect::Granted);
    assert_eq!(bench.atoms(&whom).len(), 2, "what was held is held still");
}

#[tokio::test]
async fn whoever_has_the_address_under_an_id_that_cannot_be_read_is_not_nobody() {
    let bench = Bench::start().await;
    let account = bench.account();
    let first = roles(account)[0].clone();
    let whom = account.add_member("odd@example.com", vec![holds(account, &first)]);
    account.make_odd(Route::ListMembers, &whom, Oddity::Text("id", "mem_1"));
    let refused = bench.operate(Action::Revoke, target(&first), person("odd@example.com")).await;
    assert_refused(&refused, Refusal::UnreadableMember, "Cloudflare's dashboard");
    // Somebody who is in no record at all is nobody.
    let nobody = bench.operate(Action::Revoke, target(&first), person("nobody@example.com")).await;
    assert!(!matches!(nobody, Outcome::Refused { code: Refusal::UnreadableMember, .. }), "{nobody:?}");
}

#[tokio::test]
async fn declined_is_no_member_to_grant_to_and_the_account_can_be_revoked() {
    // Also where the list has them only when it is asked for them.
    for is_hidden in [false, true] {
        let bench = Bench::start().await;
        let account = bench.account();
        account.configure(|behaviour| behaviour.hides_rejected = is_hidden);
        let (first, wanted) = (roles(account)[0].clone(), roles(account)[5].clone());
        let group = account.add_group("Group", vec![holds(account, &wanted)]);
        let whom = account.invite("declined@example.com", vec![holds(account, &first)]);
        account.set_status(&whom, "rejected");
        for what in [target(&first), target(&wanted), group_target(&group), Target::Account, Target::Renewal] {
            let refused = bench.operate(Action::Grant, what, member(&whom)).await;
            assert_refused(&refused, Refusal::Declined, "grant it once more");
        }
        assert_eq!(writes(&bench), 0);
        assert_done(&bench.operate(Action::Revoke, Target::Account, member(&whom)).await, Effect::Removed);
        let again = bench.operate(Action::Grant, target(&wanted), person("declined@example.com")).await;
        assert_done(&again, Effect::Granted);
        assert_eq!(account.membership_of("declined@example.com").unwrap().status, "pending");
    }
}

/// ConductorOne has no account of theirs any more, and asks for them by their address.
#[tokio::test]
async fn who_declined_our_invitation_and_is_in_no_list_is_told_to_have_declined_and_can_be_taken_away_by_their_address()
{
    let bench = Bench::start().await;
    let account = bench.account();
    account.configure(|behaviour| behaviour.hides_rejected = true);
    let (first, wanted) = (roles(account)[0].clone(), roles(account)[5].clone());
    let whom = person("declined@example.com");
    assert_done(&bench.operate(Action::Grant, target(&first), whom.clone()).await, Effect::Granted);
    account.set_status(&account.membership_of("declined@example.com").unwrap().id, "rejected");
    bench.world.advance(2 * 60 * 60);
    bench.world.sync().await;
    let before = writes(&bench);
    let refused = bench.operate(Action::Grant, target(&wanted), whom.clone()).await;
    assert_refused(&refused, Refusal::Declined, "grant it once more");
    assert_eq!(writes(&bench), before, "nobody is invited again and again");
    assert_done(&bench.operate(Action::Revoke, Target::Account, whom.clone()).await, Effect::Removed);
    assert_done(&bench.operate(Action::Grant, target(&wanted), whom.clone()).await, Effect::Granted);
    // The control: who was removed in the dashboard is invited again.
    account.remove_member(&account.membership_of("declined@example.com").unwrap().id);
    bench.world.advance(2 * 60 * 60);
    assert_done(&bench.operate(Action::Grant, target(&wanted), whom).await, Effect::Granted);
    assert_eq!(account.membership_of("declined@example.com").unwrap().status, "pending");
}
