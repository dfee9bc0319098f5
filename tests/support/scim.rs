//! What tests of `/scim/v2` share.

#![allow(dead_code, reason = "each test binary uses its own part")]

use serde_json::{Value, json};
use sim::client::Answer;

use crate::deployment::Deployment;

pub(crate) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// `PATCH` with these operations.
pub(crate) async fn patch(deployment: &Deployment, path: &str, operations: Value) -> Answer {
    let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
    deployment.request("PATCH", path, &[("content-type", "application/scim+json")], Some(&body)).await
}

/// The values of a Group's members.
pub(crate) async fn members(deployment: &Deployment, group: &str) -> Vec<String> {
    let group = deployment.json(&format!("/scim/v2/Groups/{group}")).await;
    group["members"].as_array().unwrap().iter().map(|one| one["value"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn assert_error(answer: &Answer, status: u16, scim_type: Option<&str>) {
    let body = answer.json();
    let told = (answer.status, body["scimType"].as_str());
    assert_eq!(told, (status, scim_type), "{}", answer.text());
}
