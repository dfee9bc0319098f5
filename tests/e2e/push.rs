//! Files that are pushed to S3 and Azure Blob, and C1 that is told to sync.

use std::sync::Arc;

use chrono::{Duration, Utc};
use serde_json::Value;
use sim::cloudflare::Spec;
use sim::conductorone::{ApiFault, ConductorOne, SyncEnd};
use sim::harness::Options;
use sim::http::Reply;
use sim::stores::azurite::{self, Azurite};
use sim::stores::s3::{self, S3};
use sim::stores::{Front, StoreFault};

use crate::deployment::{Deployment, PATIENCE, assert_is_problem, holds, roles, small};

const BUCKET: &str = "governance";

/// What a connector to S3 is configured with.
fn to_s3(options: Options) -> Options {
    options
        .var("PUSH_FILE", "users.csv")
        .var("S3_REGION", s3::REGION)
        .var("S3_BUCKET", BUCKET)
        .var("S3_ACCESS_KEY_ID", s3::ACCESS_KEY_ID)
        .var("S3_SECRET_ACCESS_KEY", s3::SECRET_ACCESS_KEY)
}

/// A connector that pushes to S3 with the bucket in the host, and that S3.
async fn with_s3(spec: Spec, change: impl FnOnce(Options) -> Options) -> (Deployment, Arc<S3>, Front) {
    let s3 = S3::with_buckets(&[BUCKET]).unwrap();
    let front = Front::new(s3.clone());
    let deployment = Deployment::with(spec, |options| change(to_s3(options))).await;
    for host in [s3::HOST.to_owned(), format!("{BUCKET}.{}", s3::HOST), format!("elsewhere.{}", s3::HOST)] {
        deployment.gateway.route(&host, front.handler());
    }
    (deployment, s3, front)
}

/// A connector that pushes to Azure Blob with this SAS URL, and that Azure.
async fn with_azure(spec: Spec, sas_url: &str) -> (Deployment, Arc<Azurite>, Front) {
    let azure = Azurite::with_containers(&["governance"]).await.unwrap();
    let front = Front::new(azure.clone());
    let deployment =
        Deployment::with(spec, |options| options.var("PUSH_FILE", "grants.csv").var("AZURE_SAS_URL", sas_url)).await;
    deployment.gateway.route(azurite::HOST, front.handler());
    (deployment, azure, front)
}

fn in_a_year() -> chrono::DateTime<Utc> {
    Utc::now() + Duration::days(365)
}

fn job(status: &Value) -> &Value {
    status["jobs"].as_array().unwrap().iter().find(|job| job["kind"] == "push").unwrap_or(&Value::Null)
}

/// Waits until the push has come to this; gives the job.
async fn pushed(deployment: &Deployment, wanted: impl Fn(&Value) -> bool) -> Value {
    let status = deployment.wait_for("/v1/status", PATIENCE, |status| wanted(job(status))).await.unwrap();
    deployment.get("/v1/status").await;
    job(&status).clone()
}

async fn done(deployment: &Deployment) -> String {
    pushed(deployment, |job| job["state"] == "done").await["message"].as_str().unwrap().to_owned()
}

async fn given_up(deployment: &Deployment) -> String {
    pushed(deployment, |job| job["state"] == "failed").await["message"].as_str().unwrap().to_owned()
}

async fn push_again(deployment: &Deployment) {
    let answer = deployment.request("POST", "/v1/push", &[], None).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.json()["status"], "/v1/status");
}

/// Asks again and again, as somebody does who does not want to wait, until the push is done; it may be pushed more than once.
async fn hurried(deployment: &Deployment) {
    for _ in 0..50 {
        push_again(deployment).await;
        if pushed(deployment, |job| !job.is_null()).await["state"] == "done" {
            return;
        }
    }
    done(deployment).await;
}

/// The file as the Worker itself serves it.
async fn export(deployment: &Deployment, name: &str) -> Vec<u8> {
    let answer = deployment.get(&format!("/v1/export/{name}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.body.to_vec()
}

#[tokio::test]
async fn a_generation_is_pushed_once_and_once_more_when_that_is_asked_for() {
    let (deployment, s3, front) = with_s3(small(), |options| options).await;
    let answer = deployment.request("POST", "/v1/push", &[], None).await;
    assert_eq!((answer.status, assert_is_problem(&answer, "push").as_str()), (404, "nothing_to_push"));

    let deployment = deployment.synced().await;
    let message = done(&deployment).await;
    assert!(message.starts_with("Uploaded users.csv ("), "{message}");
    assert!(message.contains("to s3://governance/users.csv. ConductorOne pulls it by itself"), "{message}");
    let uploaded = s3.object(BUCKET, "users.csv").unwrap();
    assert_eq!(uploaded, export(&deployment, "users.csv").await);
    assert_eq!(front.seen()[0].route, "PUT /users.csv", "the bucket is a part of the host");

    let deployment = deployment.synced().await;
    assert_eq!(front.count("PUT"), 1, "nothing changed, so nothing is pushed");
    push_again(&deployment).await;
    pushed(&deployment, |job| job["state"] == "done" && front.count("PUT") == 2).await;

    let role = holds(&deployment.cloudflare, &roles(&deployment.cloudflare)[0]);
    deployment.cloudflare.add_member("new.person@example.com", vec![role]);
    let deployment = deployment.synced().await;
    pushed(&deployment, |job| job["state"] == "done" && front.count("PUT") == 3).await;
    assert_ne!(s3.object(BUCKET, "users.csv").unwrap(), uploaded);
}

#[tokio::test]
async fn two_who_ask_at_once_bring_about_one_upload() {
    let (deployment, _s3, front) = with_s3(small(), |options| options.var("S3_ADDRESSING", "path")).await;
    let deployment = deployment.synced().await;
    done(&deployment).await;
    assert_eq!(front.seen()[0].route, "PUT /governance/users.csv", "the bucket is a part of the path");
    front.fail("PUT", StoreFault::Hold, 1);
    push_again(&deployment).await;
    assert!(front.until_held(1, PATIENCE).await, "{:?}", front.seen());
    push_again(&deployment).await;
    front.release();
    done(&deployment).await;
    let deployment = deployment.synced().await;
    assert_eq!((front.count("PUT"), front.seen().len()), (2, 2));
    done(&deployment).await;
}

#[tokio::test]
async fn a_store_in_trouble_is_tried_again() {
    let (deployment, s3, front) = with_s3(small(), |options| options).await;
    let slow_down = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let troubles = [
        (
            StoreFault::Reply(Reply::text(503, "application/xml", slow_down)),
            "HTTP 503, SlowDown: Please reduce your request rate.",
        ),
        (StoreFault::Reply(Reply::text(500, "application/xml", "")), "HTTP 500"),
        (StoreFault::Reply(Reply::Reset), "does not answer"),
        (StoreFault::DoneButReset, "does not answer"),
    ];
    let mut deployment = deployment;
    for (fault, told) in troubles {
        // Until it was seen, however slow the machine is.
        front.fail("PUT", fault, 1_000);
        match pushed(&deployment, |_| true).await {
            Value::Null => deployment = deployment.synced().await,
            _ => push_again(&deployment).await,
        }
        let job = pushed(&deployment, |job| job["attempts"].as_i64() >= Some(1)).await;
        assert_eq!(job["state"], "due", "{job}");
        assert!(job["message"].as_str().unwrap().contains(told), "{job}");
        assert!(job["due_at"].is_i64() || job["due_at"].is_string(), "it says when: {job}");
        front.heal();
        hurried(&deployment).await;
    }
    assert_eq!(s3.object(BUCKET, "users.csv").unwrap(), export(&deployment, "users.csv").await);
}

#[tokio::test]
async fn what_s3_refuses_is_told_with_what_to_do_in_the_status_and_by_the_doctor() {
    let (deployment, _s3, front) = with_s3(small(), |options| options).await;
    let deployment = deployment.synced().await;
    done(&deployment).await;
    let report = deployment.json("/v1/doctor").await;
    assert!(report.to_string().contains("s3://governance/users.csv can be written"), "{report}");
    assert_eq!(front.count("PUT"), 1, "the doctor writes nothing");
    // AWS has a code of its own for it, which the server here does not know.
    let unknown = Reply::text(403, "application/xml", "<Error><Code>InvalidAccessKeyId</Code></Error>");
    let cases = [
        ("S3_SECRET_ACCESS_KEY", "not-the-secret", "The secret does not belong to the access key"),
        ("S3_ACCESS_KEY_ID", "AKIANOBODYKNOWSTHISKEY", "put an active one into S3_ACCESS_KEY_ID"),
        ("S3_BUCKET", "elsewhere", "There is no bucket elsewhere"),
    ];
    for (name, wrong, told) in cases {
        let right = to_s3(Options::default()).vars[name].clone();
        if name == "S3_ACCESS_KEY_ID" {
            front.fail("PUT", StoreFault::Reply(unknown.clone()), 1_000);
        }
        deployment.worker.set_var(name, wrong);
        deployment.worker.restart().await.unwrap();
        push_again(&deployment).await;
        let message = given_up(&deployment).await;
        front.heal();
        assert!(message.contains(told), "{message}");
        assert!(message.ends_with("POST /v1/push."), "{message}");
        assert!(!message.contains("not-the-secret"));
        let doctor = deployment.get("/v1/doctor").await;
        assert_eq!(doctor.status, 200, "the connector works without it");
        let checks = doctor.json()["checks"].as_array().unwrap().clone();
        let check = checks.iter().find(|check| check["name"] == "S3_BUCKET").unwrap();
        assert_eq!(check["ok"], false, "{check}");
        deployment.worker.set_var(name, &right);
    }
    deployment.worker.restart().await.unwrap();
    let elsewhere = Reply::text(301, "application/xml", "<Error><Code>PermanentRedirect</Code></Error>");
    front.fail("PUT", StoreFault::Reply(elsewhere.with_header("x-amz-bucket-region", "us-west-2")), 1);
    push_again(&deployment).await;
    assert!(given_up(&deployment).await.contains("set S3_REGION to us-west-2"));
    let denied =
        Reply::text(403, "application/xml", "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>");
    front.fail("PUT", StoreFault::Reply(denied), 1);
    push_again(&deployment).await;
    let message = pushed(&deployment, |job| job["message"].as_str().unwrap_or_default().contains("AccessDenied")).await;
    assert!(message.to_string().contains("s3:PutObject"), "{message}");
    push_again(&deployment).await;
    done(&deployment).await;
}

/// An account whose list of grants is longer than a part.
fn large() -> Spec {
    Spec { members: 8_000, ..Spec::default() }
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts_and_a_worker_that_is_killed_in_between_goes_on() {
    let (deployment, s3, front) = with_s3(large(), |options| options.var("PUSH_FILE", "grants.csv")).await;
    front.fail("partNumber=2", StoreFault::Hold, 1);
    // The answer to the first completion begins, and breaks off before it says that there is an object.
    front.fail("POST /grants.csv?uploadId=", StoreFault::Reply(Reply::text(200, "application/xml", " ")), 1);
    let deployment = deployment.synced().await;
    assert!(front.until_held(1, PATIENCE).await, "{:?}", front.seen());
    assert_eq!(s3.object(BUCKET, "grants.csv"), None, "nothing shows before it is whole");
    deployment.worker.kill().await;
    deployment.worker.restart().await.unwrap();
    front.release();
    let message = done(&deployment).await;
    assert!(message.contains("Uploaded grants.csv"), "{message}");
    assert_eq!(s3.object(BUCKET, "grants.csv").unwrap(), export(&deployment, "grants.csv").await);
    assert_eq!(front.count("?uploads="), 1, "the upload that was begun went on");
    assert_eq!(front.count("partNumber=1"), 1, "what was there was not sent again");
    assert!(s3.loose_parts().is_empty(), "nothing is left over");
    assert!(front.seen().iter().all(|seen| seen.length <= 5 * 1024 * 1024));
}

#[tokio::test]
async fn a_file_goes_to_azure_small_or_large() {
    for (spec, blocks) in [(small(), false), (large(), true)] {
        let (deployment, azure, front) =
            with_azure(spec, &azurite::sas_url("governance", "cw", in_a_year(), true)).await;
        let deployment = deployment.synced().await;
        let message = done(&deployment).await;
        assert!(message.contains("to https://acme.blob.core.windows.net/governance/grants.csv."), "{message}");
        let uploaded = azure.blob("/governance/grants.csv").await.unwrap();
        assert_eq!(uploaded, export(&deployment, "grants.csv").await);
        assert_eq!(front.count("blockid=") > 1, blocks, "{:?}", front.seen());
        let report = deployment.json("/v1/doctor").await;
        assert!(report.to_string().contains("governance/grants.csv can be written"), "{report}");
        assert_eq!(azure.blob("/governance/grants.csv").await.unwrap(), uploaded, "the doctor changes nothing");
    }
}

#[tokio::test]
async fn what_azure_refuses_is_told_with_what_to_do_before_it_expires_too() {
    let soon = azurite::sas_url("governance", "cw", Utc::now() + Duration::days(3), true);
    let (deployment, _azure, front) = with_azure(small(), &soon).await;
    let deployment = deployment.synced().await;
    let message = done(&deployment).await;
    assert!(message.contains("The SAS URL expires on "), "{message}");
    let report = deployment.json("/v1/doctor").await;
    assert!(report.to_string().contains("the SAS URL expires on "), "{report}");

    let expired = azurite::sas_url("governance", "cw", Utc::now() - Duration::days(1), true);
    let cases = [
        (expired.clone(), "The SAS URL expired on "),
        (azurite::sas_url("governance", "cw", in_a_year(), false), "Azure does not accept the SAS URL, or "),
        (azurite::sas_url("nowhere", "cw", in_a_year(), true), "There is no such container"),
    ];
    for (sas_url, told) in cases {
        deployment.worker.set_var("AZURE_SAS_URL", &sas_url);
        deployment.worker.restart().await.unwrap();
        push_again(&deployment).await;
        let message = given_up(&deployment).await;
        assert!(message.contains(told), "{message}");
        let doctor = deployment.get("/v1/doctor").await;
        assert_eq!(doctor.status, 200, "the connector works without it");
        assert!(doctor.text().contains(told), "{}", doctor.text());
    }
    // Where the clock here does not say so, Azure does.
    let asked = front.seen().len();
    deployment.worker.set_var("AZURE_SAS_URL", &expired.replace("&se=", "&x="));
    deployment.worker.restart().await.unwrap();
    push_again(&deployment).await;
    assert!(given_up(&deployment).await.contains("make a new one"));
    assert!(front.seen().len() > asked);
}

/// A connector to S3 whose C1 has a connector, and the connector's id.
async fn with_connector() -> (Deployment, Front, &'static str) {
    const IDS: (&str, &str) = ("2aPPapp000000000000000000001", "2coNNector00000000000000001");
    let c1 = ConductorOne::new();
    let key = c1.credential("connector");
    let (deployment, _s3, front) = with_s3(small(), |options| {
        options
            .var("C1_APP_ID", IDS.0)
            .var("C1_CONNECTOR_ID", IDS.1)
            .var("C1_CLIENT_ID", &key.client_id)
            .var("C1_CLIENT_SECRET", &key.client_secret)
    })
    .await;
    // The key follows from its name, so it is the same in the tenant that the Worker talks to.
    deployment.c1.credential("connector");
    deployment.c1.add_connector(IDS.0, IDS.1);
    (deployment, front, IDS.1)
}

#[tokio::test]
async fn c1_is_told_to_sync_and_waited_for() {
    let (deployment, front, connector) = with_connector().await;
    let deployment = deployment.synced().await;
    let message = done(&deployment).await;
    assert!(message.ends_with("ConductorOne has synced."), "{message}");
    assert_eq!((deployment.c1.forced_syncs(connector), front.count("PUT")), (1, 1));
    let report = deployment.json("/v1/doctor").await;
    assert!(report.to_string().contains("each push makes it sync"), "{report}");
}

#[tokio::test]
async fn a_sync_of_c1_that_fails_is_told_in_its_words() {
    let (deployment, front, connector) = with_connector().await;
    deployment.c1.end_syncs(connector, &SyncEnd::Error("could not read sync.c1z".to_owned()));
    let deployment = deployment.synced().await;
    let message = given_up(&deployment).await;
    assert!(message.contains("Uploaded users.csv") && message.contains("could not read sync.c1z"), "{message}");

    deployment.c1.end_syncs(connector, &SyncEnd::Disabled);
    push_again(&deployment).await;
    let message = pushed(&deployment, |job| job["message"].to_string().contains("disabled")).await;
    assert_eq!(message["state"], "failed", "{message}");
    assert!(deployment.get("/v1/doctor").await.text().contains("its syncs are disabled"));
    assert_eq!(front.count("PUT"), 2);
}

#[tokio::test]
async fn where_c1_refuses_the_file_is_there_all_the_same() {
    let (deployment, front, connector) = with_connector().await;
    deployment.c1.fail_api("POST /api/v1/apps", ApiFault::Status(403), Some(1));
    let deployment = deployment.synced().await;
    let message = given_up(&deployment).await;
    assert!(message.contains("Uploaded users.csv") && message.contains("may not make the connector sync"), "{message}");
    assert!(message.contains("It pulls by itself within the hour"), "{message}");

    deployment.c1.fail_api("POST /api/v1/apps", ApiFault::Status(404), Some(1));
    push_again(&deployment).await;
    let told = |job: &Value, text: &str| job["message"].to_string().contains(text);
    pushed(&deployment, |job| told(job, "check C1_APP_ID and C1_CONNECTOR_ID")).await;
    assert_eq!(deployment.c1.forced_syncs(connector), 0);

    // A sync under way is waited for, and a server in trouble tried again, without another upload.
    let uploads = front.count("PUT");
    deployment.c1.fail_api("POST /api/v1/apps", ApiFault::Status(409), Some(1));
    deployment.c1.fail_api("GET /api/v1/apps", ApiFault::Status(503), Some(1));
    push_again(&deployment).await;
    pushed(&deployment, |job| job["state"] == "due" && told(job, "ConductorOne answered 503")).await;
    push_again(&deployment).await;
    pushed(&deployment, |_| deployment.c1.api_requests().iter().any(|request| request.status == 409)).await;
    push_again(&deployment).await;
    let message = done(&deployment).await;
    assert!(message.ends_with("ConductorOne has synced."), "{message}");
    assert_eq!((deployment.c1.forced_syncs(connector), front.count("PUT")), (1, uploads + 1));
    let _deployment = deployment.synced().await;
    assert_eq!(front.count("PUT"), uploads + 1);
}

#[tokio::test]
async fn without_a_place_to_push_to_that_is_said() {
    let deployment = Deployment::start().await.synced().await;
    let answer = deployment.request("POST", "/v1/push", &[], None).await;
    assert_eq!((answer.status, assert_is_problem(&answer, "push").as_str()), (409, "push_not_configured"));
    let status = deployment.json("/v1/status").await;
    assert!(status["jobs"].as_array().unwrap().iter().all(|job| job["kind"] == "findings"), "{status}");
    assert_eq!(deployment.request("GET", "/v1/push", &[], None).await.status, 405);
}
