//! `POST /v1/invitations/{id}/renew`.

use serde_json::json;

use crate::calls::{NEWCOMER, invited};
use crate::deployment::{assert_is_account, assert_is_problem};

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
