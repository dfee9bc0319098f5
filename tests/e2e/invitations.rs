//! Invitations: `/v1/…/members/invitation:{id}`, `POST /v1/invitations/{id}/renew`, and C1's accounts that are invitations.

use serde_json::json;
use sim::cloudflare::{Fault, Route};
use sim::conductorone::{Person, Task};

use crate::calls::{NEWCOMER, invited};
use crate::deployment::{assert_is_account, assert_is_problem, atom, roles};
use crate::webhook::provision::{completed, named};

#[tokio::test]
async fn c1s_account_may_be_an_invitation() {
    let (deployment, invitation) = invited().await;
    let role = roles(&deployment.cloudflare)[1].clone();
    let person = Person::member(NEWCOMER, "", &invitation);
    completed(&deployment.deliver(&deployment.c1.task(&Task::grant(named(&role), person.clone()))).await);
    assert!(deployment.cloudflare.member_atoms(&invitation).contains(&atom(&deployment.cloudflare, &role)));
    assert_eq!(deployment.cloudflare.total_requests(), 3);
    completed(&deployment.deliver(&deployment.c1.task(&Task::revoke(named(&role), person))).await);
    assert!(!deployment.cloudflare.member_atoms(&invitation).contains(&atom(&deployment.cloudflare, &role)));
}

#[tokio::test]
async fn an_invitation_is_renewed_by_rest() {
    let (deployment, old) = invited().await;
    let held = deployment.cloudflare.member_atoms(&old);
    let path = format!("/v1/invitations/{old}/renew");
    let answer = deployment.request("POST", &path, &[], None).await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("renewed")), "{}", answer.text());
    let new = deployment.cloudflare.membership_of(NEWCOMER).unwrap();
    assert_ne!(new.id, old);
    assert_eq!(deployment.cloudflare.member_atoms(&new.id), held);
    assert!(answer.text().contains(&new.id), "{}", answer.text());
    assert_is_account(&deployment).await;
    let gone = deployment.request("POST", &path, &[], None).await;
    assert_eq!((gone.status, assert_is_problem(&gone, &path).as_str()), (404, "unknown_member"));
    let accepted = deployment.cloudflare.accept_invitation(&new.id);
    assert!(accepted.is_some());
    let path = format!("/v1/invitations/{}/renew", new.id);
    let refused = deployment.request("POST", &path, &[], None).await;
    assert_eq!((refused.status, assert_is_problem(&refused, &path).as_str()), (409, "not_pending"));
}

#[tokio::test]
async fn a_renewal_that_is_cut_off_after_the_removal_goes_on_by_itself_after_a_restart() {
    let (deployment, old) = invited().await;
    let held = deployment.cloudflare.member_atoms(&old);
    // Who asked is told that it could not be finished yet, and does not come again.
    deployment.cloudflare.fail_next(Route::CreateMember, 1, Fault::status(500, 10_000));
    let answer = deployment.request("POST", &format!("/v1/invitations/{old}/renew"), &[], None).await;
    assert_eq!((answer.status, assert_is_problem(&answer, "renew").as_str()), (503, "not_now"));
    assert!(answer.text().contains("goes on by itself"), "{}", answer.text());
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_none());
    deployment.worker.restart().await.unwrap();
    let settled = |list: &serde_json::Value| list["items"][0]["outcome"]["effect"] == "renewed";
    deployment.wait_for("/v1/operations", crate::deployment::PATIENCE, settled).await.unwrap();
    let new = deployment.cloudflare.membership_of(NEWCOMER).unwrap();
    assert_eq!(deployment.cloudflare.member_atoms(&new.id), held);
}
