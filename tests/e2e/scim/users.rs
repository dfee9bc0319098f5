//! `/Users`: filters, pages, inviting, deactivating.

use c1_cloudflare::model::address::folded;
use serde_json::{Value, json};

use super::{assert_error, patch};
use crate::deployment::Deployment;

const NEWCOMER: &str = "new.hire@example.com";

fn user() -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": NEWCOMER, "active": true })
}

#[tokio::test]
async fn a_user_is_invited_shown_found_and_cancelled() {
    let deployment = Deployment::start().await.synced().await;
    let created = deployment.request("POST", "/scim/v2/Users", &[], Some(&user())).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.header("content-type"), Some("application/scim+json"));
    let member = deployment.cloudflare.membership_of(NEWCOMER).unwrap();
    let body = created.json();
    assert_eq!((&body["id"], &body["userType"]), (&json!(format!("invitation-{}", member.id)), &json!("invitation")));
    let path = format!("/scim/v2/Users/invitation-{}", member.id);
    assert_eq!(body["meta"]["location"].as_str().unwrap().split_once("/scim").unwrap().1, &path["/scim".len()..]);
    assert_eq!(deployment.json(&path).await, body);
    assert_error(&deployment.request("POST", "/scim/v2/Users", &[], Some(&user())).await, 409, Some("uniqueness"));
    let found = deployment.json("/scim/v2/Users?filter=userName%20eq%20%22NEW.HIRE@example.com%22").await;
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &body["id"]));

    let tag = created.header("etag").unwrap();
    assert_eq!(deployment.request("GET", &path, &[("if-none-match", tag)], None).await.status, 304);
    let stale = deployment.request("DELETE", &path, &[("if-match", "W/\"x\"")], None).await;
    assert_error(&stale, 412, None);
    let gone = patch(&deployment, &path, json!([{ "op": "Replace", "path": "active", "value": "False" }])).await;
    assert_eq!((gone.status, &gone.json()["active"]), (200, &json!(false)), "{}", gone.text());
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_none());
    assert_error(&deployment.get(&path).await, 404, None);
    assert_error(&deployment.request("DELETE", &path, &[], None).await, 404, None);
}

/// The addresses that are hard to compare: letters that are written in several ways, and domains that a URL would read as something else.
const HARD: [&str; 24] = [
    "JÖRG@müller.example",
    "jo\u{308}sef@mu\u{308}ller.example",
    "plain@XN--MLLER-KVA.example",
    "a@faß.example",
    "b@fass.example",
    "ΟΔΥΣΣΕΥΣ@ΟΔΥΣΣΕΥΣ.gr",
    "\u{130}zmir@\u{130}stanbul.example",
    "dotless\u{131}@\u{131}stanbul.example",
    "c@\u{2615}.example",
    "d@\u{1f469}\u{200d}\u{1f4bb}.example",
    "e@क्\u{200d}ष.example",
    "f@ü.example:80",
    "g@ü.example/path",
    "h@ü%41.example",
    "i@a\u{2100}b.example",
    "j@ü\u{ff0f}a.example",
    "k@\u{ff11}.\u{ff12}",
    "l@ü.1",
    "m@1.2",
    "n@[::1]ü",
    "o@ü\u{3002}example\u{3002}",
    "p@xn--ü.example",
    "q@ü\u{ad}ber.example",
    "r@\u{ff38}\u{ff2e}\u{ff0d}\u{ff0d}.example",
];

/// Natively an address is folded with other tables than those of the runtime: each member is found by what the native code makes of the
/// address, and only that one.
#[tokio::test]
async fn the_runtime_folds_an_address_as_the_native_code_does() {
    let deployment = Deployment::start().await;
    for address in HARD {
        deployment.cloudflare.add_member(address, Vec::new());
    }
    let deployment = deployment.synced().await;
    let found = async |address: &str| {
        let filter = format!("userName eq {}", Value::String(address.to_owned()));
        let encoded: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let found = deployment.json(&format!("/scim/v2/Users?filter={encoded}")).await;
        found["Resources"].as_array().unwrap().iter().map(|user| user["userName"].clone()).collect::<Vec<Value>>()
    };
    for address in HARD {
        assert_eq!(found(&folded(address)).await, [json!(address)], "{address:?}, folded {:?}", folded(address));
    }
    // What a URL would make of some of them is somebody else's address.
    for other in [
        "f@ü.example",
        "g@ü.example",
        "h@üa.example",
        "k@1.2",
        "k@1.0.0.2",
        "n@\u{fc}",
        "i@aa/cb.example",
        "p@ü.example",
    ] {
        assert!(found(other).await.is_empty(), "{other}");
    }
}
