//! Cloudflare's and ConductorOne's own SDKs, from the Python package index, read what the simulators answer.
//!
//! They validate each answer by the services' descriptions of their APIs, so the connector is not tested against answers that
//! only this project believes in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use sim::cloudflare::{Behaviour, Cloudflare, Route, ScopeShape, Spec};
use sim::conductorone::{App, ConductorOne, Entitlement};
use sim::http::Server;

const PATIENCE: Duration = Duration::from_mins(10);

/// Runs one of `tests/sdk/`; what it printed, or what it broke off with.
async fn run(script: &str, environment: &[(&str, &str)]) -> Result<Value, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join(".tools/python/bin/python");
    assert!(python.is_file(), "{} is missing: run bash scripts/setup.sh tests", python.display());
    let run = tokio::process::Command::new(python)
        .arg(root.join("tests/sdk").join(script))
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

async fn read_cloudflare(cloudflare: &Cloudflare) -> Result<Value, String> {
    let server = cloudflare.serve(0).await.unwrap();
    let (url, account, token) = (Cloudflare::api_url(&server), cloudflare.account_id(), cloudflare.token());
    let environment =
        [("CLOUDFLARE_API_URL", &*url), ("CLOUDFLARE_ACCOUNT_ID", &*account), ("CLOUDFLARE_API_TOKEN", &*token)];
    run("read_cloudflare.py", &environment).await
}

#[tokio::test]
async fn cloudflares_own_sdk_reads_every_ordinary_answer() {
    let cloudflare = Cloudflare::new(Spec { members: 90, pending_share: 0.3, ..Spec::default() });
    let before: BTreeMap<String, Value> =
        cloudflare.memberships().into_iter().map(|member| (member.id, json!(member.email))).collect();
    let read = read_cloudflare(&cloudflare).await.unwrap_or_else(|error| panic!("{error}"));

    assert_eq!(read["members"], json!(before), "each member once, with the address");
    assert_eq!(read["roles"].as_array().unwrap().len(), 60);
    assert_eq!(read["user_groups"].as_array().unwrap().len(), 4);
    assert_eq!(read["tokens"].as_array().unwrap().len(), 6);
    assert!(read["changes"].as_u64().unwrap() >= 3, "{read}");
    let whole = cloudflare.account_resource_group();
    assert!(read["resource_groups"].as_array().unwrap().contains(&json!(whole)));
    // Those for a user's token, and SCIM, which the SDK does not have.
    let others = [
        Route::VerifyUserToken,
        Route::GetUser,
        Route::ListScimUsers,
        Route::ListOauthClients,
        Route::ListSsoConnectors,
    ];
    let unused: BTreeSet<_> =
        Route::ALL.iter().filter(|route| cloudflare.requests(**route) == 0 && !others.contains(route)).collect();
    assert!(unused.is_empty(), "the SDK did not call {unused:?}");
}

type Make = fn(&mut Behaviour);

/// What the API's description does not have is an oddity: it is switched on by name, and the SDK refuses it.
#[tokio::test]
async fn cloudflares_own_sdk_refuses_what_its_description_does_not_have() {
    let odd: [(&str, Make); 3] = [
        ("scope", |behaviour| behaviour.scope = ScopeShape::Array),
        ("scope", |behaviour| behaviour.scope = ScopeShape::Mixed),
        ("eol_at", |behaviour| behaviour.blank_end_of_life = true),
    ];
    for (field, make) in odd {
        let cloudflare = Cloudflare::new(Spec { members: 5, ..Spec::default() });
        cloudflare.configure(make);
        let error = read_cloudflare(&cloudflare).await.unwrap_err();
        assert!(error.contains("APIResponseValidationError") && error.contains(field), "{error}");
    }
}

#[tokio::test]
async fn conductorones_own_sdk_reads_webhooks_apps_entitlements_and_connectors() {
    let c1 = ConductorOne::new();
    let (app, connector) = (App::default(), "2fCjgConnector00000000000000");
    let entitlements: Vec<Entitlement> =
        (0..25).map(|number| Entitlement::role(&format!("{number:032x}"), &format!("Role {number}"))).collect();
    c1.add_app(&app, &entitlements);
    c1.add_connector(&app.id, connector);
    for number in 0..12 {
        c1.add_webhook(&format!("Other {number}"), &format!("https://example.com/{number}"));
    }
    let server = Server::start(0, c1.handler()).await.unwrap();
    let token = access_token(&c1, &server).await;
    let url = server.url();
    let environment =
        [("C1_URL", &*url), ("C1_TOKEN", &*token), ("C1_APP_ID", &*app.id), ("C1_CONNECTOR_ID", connector)];
    let read = run("read_conductorone.py", &environment).await.unwrap_or_else(|error| panic!("{error}"));

    assert_eq!(read["webhooks"].as_array().unwrap().len(), 13, "{read}");
    assert_eq!(read["found"], json!([read["webhook"]]), "{read}");
    assert_eq!(read["apps"], json!([app.id]));
    let sources: BTreeMap<&str, Value> = entitlements
        .iter()
        .map(|known| (known.id.as_str(), json!(known.source_connector_ids.iter().cloned().collect::<BTreeMap<_, _>>())))
        .collect();
    assert_eq!(read["entitlements"], json!(sources));
    let states = ["DONE", "RUNNING", "DONE", "DONE"].map(|state| format!("SYNC_STATUS_{state}"));
    assert_eq!(read["states"], json!(states));
    assert_eq!(read["later"], true);
    assert_eq!(c1.forced_syncs(connector), 1);
    let webhook = json!({ "webhook": { "webhookId": read["webhook"] } });
    assert_eq!(c1.policies(&entitlements[0].id), (webhook.clone(), webhook));
    assert!(c1.api_requests().iter().all(|request| request.status == 200), "{:?}", c1.api_requests());
}

/// A token, as C1 gives one for an API key.
async fn access_token(c1: &ConductorOne, server: &Server) -> String {
    let credential = c1.plain_credential("otter");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &*credential.client_id),
        ("client_secret", &*credential.client_secret),
    ];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = reqwest::Client::new().post(format!("{}/auth/v1/token", server.url())).body(body);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = sim::client::send(request, PATIENCE).await.unwrap();
    answer.json()["access_token"].as_str().unwrap().to_owned()
}
