//! Which of C1's apps a task may be of.

use c1_cloudflare::account::apps::Apps;
use c1_cloudflare::base::ports::Sql as _;
use c1_cloudflare::model::ask::{Action, EntitlementRef};
use c1_cloudflare::model::operation::{Effect, Outcome, Refusal, Target};
use sim::cloudflare::{Fault, Route};

use super::{Bench, NEW, assert_done, assert_refused, group_target, holds, member, person, roles};
use crate::support::APP;

fn named(name: &str) -> Target {
    Target::Named(EntitlementRef { display_name: Some(name.to_owned()), ..EntitlementRef::default() })
}

const SUPER: &str = "Super Administrator - All Privileges";

#[tokio::test]
async fn app_not_allowed_is_a_task_of_another_app_or_of_none_by_name_and_by_id_and_nothing_is_written() {
    let bench = Bench::start().await;
    let role = &roles(bench.account())[0];
    for app in [Some("2other"), None] {
        for target in [named(SUPER), super::target(role)] {
            for action in [Action::Grant, Action::Revoke] {
                let outcome = bench.settle(bench.arrive_of(app, action, target.clone(), person(NEW))).await;
                assert_refused(&outcome, Refusal::AppNotAllowed, "ALLOWED_APPS");
            }
        }
    }
    assert!(bench.account().membership_of(NEW).is_none());
    let id = bench.arrive_of(Some(APP), Action::Grant, named(&role.name), person(NEW));
    assert_done(&bench.settle(id).await, Effect::Granted);
}

#[tokio::test]
async fn with_no_app_pinned_an_id_counts_and_a_name_does_not_until_connect_has_settled_on_an_app() {
    let bench = Bench::with(|_| {}, |config| config.provision.apps = Apps::NONE).await;
    let role = &roles(bench.account())[0];
    let by_name = |app| bench.arrive_of(app, Action::Grant, named(&role.name), person(NEW));
    assert_refused(&bench.settle(by_name(Some("2any"))).await, Refusal::AppNotAllowed, "make connect");
    let by_id = bench.arrive_of(None, Action::Grant, super::target(role), person("other@example.com"));
    assert_done(&bench.settle(by_id).await, Effect::Granted);
    let connection = serde_json::json!({
        "app": { "id": "2settled", "name": "Cloudflare" }, "webhook": null, "created": false, "creating": null,
        "former": [], "wired": 0, "connected_at": null, "verified_at": null,
    });
    let settled = "INSERT INTO connect_state (name, body) VALUES ('connection', ?)";
    bench.world.query(settled, &[connection.to_string().into()]).unwrap();
    assert_refused(&bench.settle(by_name(Some("2any"))).await, Refusal::AppNotAllowed, "was connected to");
    assert_done(&bench.settle(by_name(Some("2settled"))).await, Effect::Granted);
}

/// What was written is carried to its end. What Cloudflare refused was not written.
#[tokio::test]
async fn app_not_allowed_is_an_app_that_is_shut_out_after_cloudflare_refused_what_it_had_asked_for() {
    let refused = Fault::status(429, 10_013);
    for faults in [vec![refused.clone()], vec![Fault::status(500, 10_000), refused]] {
        for route in [Route::UpdateMember, Route::CreateMember, Route::AddUserGroupMembers] {
            let (mut bench, known, jane) = Bench::with_jane().await;
            let account = bench.account().clone();
            let group = account.add_group("Operators", vec![holds(&account, &known[2])]);
            let (what, whom) = match route {
                Route::UpdateMember => (super::target(&known[1]), member(&jane)),
                Route::CreateMember => (super::target(&known[1]), person(NEW)),
                _ => (group_target(&group), member(&jane)),
            };
            for fault in &faults {
                account.fail_next(route, 1, fault.clone());
            }
            let id = bench.arrive(Action::Grant, what, whom);
            while account.requests(route) < faults.len() {
                let outcome = bench.attempt(id).await;
                assert!(matches!(outcome, Outcome::NotNow { .. }), "{route:?}: {outcome:?}");
                bench.world.advance(400);
            }
            bench.world.config.provision.apps = Apps::configured(vec!["2other".to_owned()], None);
            let outcome = bench.settle(id).await;
            if faults.len() == 1 {
                assert_refused(&outcome, Refusal::AppNotAllowed, "ALLOWED_APPS");
                assert_eq!(account.requests(route), 1);
            } else {
                // The control: of the first one nobody knows whether it was carried out.
                assert_done(&outcome, Effect::Granted);
            }
        }
    }
}

/// Every app of the tenant has C1's builtin entitlement, and its owner may point it at this Worker.
#[tokio::test]
async fn app_not_allowed_is_the_builtin_entitlement_of_whatever_app_while_none_is_pinned() {
    let bench = Bench::with(|_| {}, |config| config.provision.apps = Apps::NONE).await;
    let access = Target::Named(EntitlementRef { builtin: true, ..EntitlementRef::default() });
    for app in [Some("2any"), None] {
        for action in [Action::Grant, Action::Revoke] {
            let id = bench.arrive_of(app, action, access.clone(), person(NEW));
            assert_refused(&bench.settle(id).await, Refusal::AppNotAllowed, "make connect");
        }
    }
    assert!(bench.account().membership_of(NEW).is_none());
    // The controls: by REST, which has a token, and in an app that is pinned.
    let by_rest = bench.arrive(Action::Grant, Target::Account, person(NEW));
    assert_done(&bench.settle(by_rest).await, Effect::Invited);
    let pinned = Bench::start().await;
    let id = pinned.arrive_of(Some(APP), Action::Grant, access, person(NEW));
    assert_done(&pinned.settle(id).await, Effect::Invited);
}
