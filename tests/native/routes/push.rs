//! What is pushed, and when again.

use std::time::Duration;

use c1_cloudflare::base::ports::Sql as _;
use c1_cloudflare::coordinator::{Ask, Command, Reply, Unreachable, succession};
use serde_json::json;
use sim::conductorone::{ApiFault, ConductorOne, SyncEnd};
use sim::harness::Options;
use sim::http;
use sim::stores::s3::{self, S3};
use sim::stores::{Front, StoreFault, azurite};

use crate::deployment::Deployment;
use crate::jane::EMAIL;
use crate::looks::{holds, roles, small};

const BUCKET: &str = "governance";

/// A Worker that pushes into the bucket.
fn into_bucket(options: Options) -> Options {
    options
        .var("S3_REGION", s3::REGION)
        .var("S3_BUCKET", BUCKET)
        .var("S3_ACCESS_KEY_ID", s3::ACCESS_KEY_ID)
        .var("S3_SECRET_ACCESS_KEY", s3::SECRET_ACCESS_KEY)
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_out_of_order_is_told_by_the_doctor_and_the_connector_works_without_it() {
    for (buckets, is_there) in [(&[BUCKET][..], true), (&["elsewhere"], false)] {
        let front = Front::new(S3::with_buckets(buckets).unwrap());
        let host = (format!("{BUCKET}.{}", s3::HOST), front.handler());
        let deployment = Deployment::beside_host(small(), into_bucket, Some(host)).await;
        let doctor = deployment.get("/v1/doctor").await;
        let report = doctor.json();
        let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "S3_BUCKET").unwrap();
        assert_eq!((doctor.status, &report["ok"]), (200, &json!(true)), "{report}");
        assert_eq!((&check["ok"], &check["required"]), (&json!(is_there), &json!(false)), "{check}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_with_findings_has_those_of_its_own_generation_and_is_pushed_again_when_they_change() {
    let store = S3::with_buckets(&[BUCKET]).unwrap();
    let front = Front::new(store.clone());
    let change = |options: Options| into_bucket(options).var("FINDINGS_IN_C1Z", "on");
    let host = (format!("{BUCKET}.{}", s3::HOST), front.handler());
    let deployment = Deployment::beside_host(small(), change, Some(host)).await;
    // What the store has is what the connector itself gives, and it was brought there this often.
    let pushed = async |times: usize, why: &str| {
        deployment.wait(Duration::from_mins(2)).await;
        let job = deployment.json("/v1/status").await["jobs"].clone();
        let file = deployment.get("/v1/export/sync.c1z").await.body.to_vec();
        assert!(store.object(BUCKET, "sync.c1z").unwrap() == file, "{why}: another file: {job}");
        assert_eq!(front.count("PUT"), times, "{why}: {job}");
    };
    deployment.sync().await;
    pushed(1, "the first").await;
    // With somebody goes what was found about that one, and somebody else comes with a finding.
    let member = deployment.cloudflare.memberships().into_iter().rfind(|one| one.status == "accepted").unwrap();
    deployment.cloudflare.remove_member(&member.id);
    deployment.cloudflare.add_token("never ends", None, &json!({}));
    deployment.sync().await;
    pushed(2, "with another generation").await;
    let open = deployment.list("/v1/findings", 1000).await;
    let one = open.iter().find(|one| one["rule"] == "token-without-expiry").unwrap()["id"].as_str().unwrap();
    let until = json!({ "reason": "so agreed", "until": "2027-03-01" });
    let accepted = deployment.request("POST", &format!("/v1/findings/{one}/accept"), &[], Some(&until)).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
    pushed(3, "when a finding is accepted").await;
    deployment.sync().await;
    pushed(3, "when nothing changed").await;
    // More than there is room for: both have the gravest.
    let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
        INSERT INTO finding (id, rule, severity, about, name, evidence, opened_at)
        SELECT 'new:' || n, 'deny-policy', 'low', 'user:x', 'x', 'x', 1 FROM n";
    deployment.world().query(many, &[]).unwrap();
    assert_eq!(deployment.request("POST", "/v1/push", &[], None).await.status, 202);
    pushed(4, "when that is asked for").await;
    deployment.world().query("DELETE FROM finding WHERE id LIKE 'new:%'", &[]).unwrap();
    deployment.set_var("S3_KEY", "elsewhere.c1z");
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;
    assert!(store.object(BUCKET, "elsewhere.c1z").is_some(), "a store that was moved has the file without a change");
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;
    assert_eq!(front.count("PUT"), 5, "and once");
}

/// A file that goes up in parts may take longer than it is until the next publication. What goes on failing may do so for its generation,
/// and the findings that are known are the newest one's alone.
#[tokio::test(start_paused = true)]
async fn what_is_published_while_parts_are_on_their_way_is_pushed_after_them_unless_they_go_on_failing() {
    for (failures, findings, comes_first) in [(2, "off", true), (3, "off", false), (2, "on", false)] {
        let store = S3::with_buckets(&[BUCKET]).unwrap();
        let front = Front::new(store.clone());
        let host = (format!("{BUCKET}.{}", s3::HOST), front.handler());
        let change = |options: Options| into_bucket(options).var("FINDINGS_IN_C1Z", findings);
        let deployment = Deployment::beside_host(small(), change, Some(host)).await;
        let pushes = async || {
            let jobs = deployment.json("/v1/status").await["jobs"].clone();
            let push = jobs.as_array().unwrap().iter().find(|job| job["kind"] == "push").unwrap().clone();
            push["subject"].as_str().unwrap().split(' ').next().unwrap().to_owned()
        };
        front.fail("PUT", StoreFault::Reply(http::Reply::text(503, "text/plain", "")), failures);
        deployment.sync().await;
        // It is tried again after 15 s, and after 30 s more; where it waits for findings all that is 5 s later.
        deployment.wait(Duration::from_secs(if failures == 2 { 25 } else { 50 })).await;
        let first = pushes().await;
        let parts = "INSERT INTO push_upload (one, subject, place, upload) VALUES (1, ?, 'elsewhere', 'u')";
        deployment.world().query(parts, &[format!("{first} sync.c1z").into()]).unwrap();
        deployment.cloudflare.add_member("new@example.com", Vec::new());
        let published = deployment.sync().await["generations"][0]["generation"].clone();
        assert_ne!(published, first.as_str());
        assert_eq!(pushes().await == first, comes_first, "{failures} {findings}");
        deployment.wait(Duration::from_mins(2)).await;
        assert_eq!(front.count("PUT"), if comes_first { 2 } else { 1 }, "the one that had begun, and the newest");
        assert_eq!(published, pushes().await.as_str());
        let file = deployment.get("/v1/export/sync.c1z").await.body.to_vec();
        assert!(store.object(BUCKET, "sync.c1z").unwrap() == file, "{failures} {findings}");
    }
}

/// KV shows what was written to it a minute later at the latest, and a push that began anew meanwhile, as after a restart, must not be the last.
#[tokio::test(start_paused = true)]
async fn a_generation_that_kv_does_not_show_yet_is_pushed_all_the_same() {
    let store = S3::with_buckets(&[BUCKET]).unwrap();
    let front = Front::new(store.clone());
    let host = (format!("{BUCKET}.{}", s3::HOST), front.handler());
    let deployment = Deployment::beside_host(small(), into_bucket, Some(host)).await.synced().await;
    deployment.wait(Duration::from_mins(2)).await;
    assert_eq!(front.count("PUT"), 1);
    let name = deployment.names_under("manifest/").pop().unwrap();
    let late = deployment.lose(&name);
    deployment.restart();
    assert_eq!(deployment.request("POST", "/v1/push", &[], None).await.status, 202);
    deployment.wait(Duration::from_secs(20)).await;
    assert_eq!(front.count("PUT"), 1, "there is nothing to push yet");
    deployment.keep(&name, late);
    deployment.wait(Duration::from_mins(10)).await;
    assert_eq!(front.count("PUT"), 2, "{}", deployment.json("/v1/status").await["jobs"]);
}

/// C1's app, and its connector.
const APP: &str = "2aPPapp000000000000000000001";
const CONNECTOR: &str = "2coNNector00000000000000001";

/// C1 takes for gone what it was told is done and does not find in the file.
#[tokio::test(start_paused = true)]
async fn what_was_granted_a_moment_before_a_publication_is_in_the_file_that_c1_is_told_to_sync() {
    let key = ConductorOne::new().credential("connector");
    for grants in [1, 2] {
        let store = S3::with_buckets(&[BUCKET]).unwrap();
        let host = (format!("{BUCKET}.{}", s3::HOST), Front::new(store.clone()).handler());
        let change = |options: Options| {
            let options = into_bucket(options).var("PUSH_FILE", "grants.csv").var("AUDIT_FEED", "on");
            let options = options.var("PROVISIONING", "on").var("C1_APP_ID", APP).var("C1_CONNECTOR_ID", CONNECTOR);
            options.var("C1_CLIENT_ID", &key.client_id).var("C1_CLIENT_SECRET", &key.client_secret)
        };
        let deployment = Deployment::beside_host(small(), change, Some(host)).await;
        deployment.c1.credential("connector");
        deployment.c1.add_connector(APP, CONNECTOR);
        let cloudflare = &deployment.cloudflare;
        let known = roles(cloudflare);
        let member = cloudflare.add_member(EMAIL, vec![holds(cloudflare, &known[0])]);
        let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
        deployment.sync().await;
        deployment.wait(Duration::from_mins(4)).await;
        let (told, began) = (deployment.c1.forced_syncs(CONNECTOR), deployment.now());
        for role in &known[1..=grants] {
            let path = format!("/v1/roles/{}/members/{user}", role.governed_as());
            assert_eq!(deployment.request("PUT", &path, &[], None).await.status, 200);
            deployment.wait(Duration::from_secs(if role.id == known[grants].id { 0 } else { 10 })).await;
        }
        while deployment.c1.forced_syncs(CONNECTOR) == told {
            deployment.wait(Duration::from_millis(500)).await;
            assert!(
                deployment.now() - began < 300,
                "{grants}: {} one is there as soon as it always was",
                deployment.now() - began
            );
        }
        let file = String::from_utf8(store.object(BUCKET, "grants.csv").unwrap()).unwrap();
        let hers = file.lines().filter(|line| line.contains(EMAIL)).count();
        assert_eq!(hers, 1 + grants, "{file}");
    }
}

/// A key that is refused is mended by somebody who need not know that the push is to be asked for.
#[tokio::test(start_paused = true)]
async fn a_push_that_was_given_up_is_tried_again_an_hour_later_though_nothing_changed() {
    let store = S3::with_buckets(&[BUCKET]).unwrap();
    let front = Front::new(store.clone());
    let host = (format!("{BUCKET}.{}", s3::HOST), front.handler());
    let deployment = Deployment::beside_host(small(), into_bucket, Some(host)).await;
    let tried = || front.seen().iter().filter(|seen| seen.route.starts_with("PUT")).count();
    let synced = async |minutes: u64| {
        deployment.sync().await;
        deployment.wait(Duration::from_mins(minutes)).await;
        let jobs = deployment.json("/v1/status").await["jobs"].clone();
        jobs.as_array().unwrap().iter().find(|job| job["kind"] == "push").unwrap().clone()
    };
    let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    front.fail("PUT", StoreFault::Reply(http::Reply::text(403, "application/xml", denied)), 1);
    for _ in 0..4 {
        let job = synced(13).await;
        assert_eq!((&job["state"], tried()), (&json!("failed"), 1), "within the hour it is left alone: {job}");
    }
    let mut job = json!(null);
    for _ in 0..5 {
        job = synced(15).await;
    }
    assert_eq!((&job["state"], tried()), (&json!("done"), 2), "{job}");
    assert!(store.object(BUCKET, "sync.c1z").is_some());
}

/// Whatever answers at the address that is set may say that all is well.
#[tokio::test(start_paused = true)]
async fn a_file_was_taken_by_what_gives_it_a_tag_alone() {
    let sas = format!("https://{}/{BUCKET}?sp=cw&se=2099-01-01T00:00:00Z&sig=c2VjcmV0", azurite::HOST);
    for is_azure in [false, true] {
        let front = Front::new(S3::with_buckets(&[BUCKET]).unwrap());
        let host = if is_azure { azurite::HOST.to_owned() } else { format!("{BUCKET}.{}", s3::HOST) };
        let variable = if is_azure { "AZURE_SAS_URL" } else { "S3_ENDPOINT" };
        let change =
            |options: Options| if is_azure { options.var("AZURE_SAS_URL", &sas) } else { into_bucket(options) };
        let deployment = Deployment::beside_host(small(), change, Some((host, front.handler()))).await;
        let push = async || {
            let jobs = deployment.json("/v1/status").await["jobs"].clone();
            jobs.as_array().unwrap().iter().find(|job| job["kind"] == "push").unwrap().clone()
        };
        let well = http::Reply::text(201, "text/html", "It works.");
        front.fail("PUT", StoreFault::Reply(well.clone()), 2);
        deployment.sync().await;
        deployment.wait(Duration::from_secs(10)).await;
        let job = push().await;
        let message = job["message"].as_str().unwrap();
        assert!(job["state"] == "due" && message.contains("without an ETag"), "{job}");
        assert!(message.contains(variable), "{job}");
        // The control: what gives one has it.
        front.heal();
        front.fail("PUT", StoreFault::Reply(well.with_header("etag", "\"0x8D\"")), 1);
        deployment.wait(Duration::from_mins(1)).await;
        let job = push().await;
        assert!(job["state"] == "done" && job["message"].as_str().unwrap().starts_with("Uploaded "), "{job}");
    }
}

/// C1 was out of reach from the moment in which it was told, or was to be, and did meanwhile what it was told.
#[tokio::test(start_paused = true)]
async fn a_push_after_which_c1_was_out_of_reach_for_hours_is_looked_at_before_it_is_given_up() {
    let key = ConductorOne::new().credential("connector");
    // So long that the next try comes after two hours.
    let out_of_reach = Duration::from_mins(70);
    for (is_limited, is_told) in [(false, true), (false, false), (true, true)] {
        // Whoever looks hears nothing of what C1 goes on with.
        let fault = if is_limited { ApiFault::RateLimited(60) } else { ApiFault::DoneButFailed(503) };
        let store = S3::with_buckets(&[BUCKET]).unwrap();
        let host = (format!("{BUCKET}.{}", s3::HOST), Front::new(store).handler());
        let change = |options: Options| {
            let options = into_bucket(options).var("C1_APP_ID", APP).var("C1_CONNECTOR_ID", CONNECTOR);
            options.var("C1_CLIENT_ID", &key.client_id).var("C1_CLIENT_SECRET", &key.client_secret)
        };
        let deployment = Deployment::beside_host(small(), change, Some(host)).await;
        deployment.c1.credential("connector");
        deployment.c1.add_connector(APP, CONNECTOR);
        let push = async || {
            let jobs = deployment.json("/v1/status").await["jobs"].clone();
            jobs.as_array().unwrap().iter().find(|job| job["kind"] == "push").unwrap().clone()
        };
        if is_told {
            deployment.c1.end_syncs(CONNECTOR, &SyncEnd::Never);
            deployment.sync().await;
            let began = deployment.now();
            while deployment.c1.forced_syncs(CONNECTOR) == 0 {
                deployment.wait(Duration::from_millis(500)).await;
                assert!(deployment.now() - began < 300, "{}", push().await);
            }
            deployment.c1.fail_api("GET /api/v1/apps", fault, None);
            deployment.c1.end_syncs(CONNECTOR, &SyncEnd::Done);
        } else {
            deployment.c1.fail_api("GET /api/v1/apps", fault, None);
            deployment.sync().await;
        }
        if is_limited {
            // It is not waited for without end, nor said to be anything else.
            deployment.wait(Duration::from_hours(3)).await;
            assert_eq!(push().await["state"], "due", "it may pass");
            deployment.wait(Duration::from_mins(570)).await;
            let job = push().await;
            let message = job["message"].as_str().unwrap();
            assert!(job["state"] == "failed" && message.contains("limits the rate"), "{job}");
            continue;
        }
        deployment.wait(out_of_reach).await;
        assert_eq!(push().await["state"], "due");
        deployment.c1.heal_api();
        deployment.wait(out_of_reach).await;
        let job = push().await;
        let message = job["message"].as_str().unwrap();
        assert!(job["state"] == "done" && message.ends_with("ConductorOne has synced."), "{is_told}: {job}");
        assert_eq!(deployment.c1.forced_syncs(CONNECTOR), 1, "{is_told}");
    }
}

/// Nobody can put right what is not wanted any more.
#[tokio::test(start_paused = true)]
async fn a_push_that_does_not_work_out_is_in_the_metrics_until_nothing_is_to_be_pushed_any_more() {
    let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    // One is given up at once, the other waits to be tried again.
    for (reply, state) in [
        (http::Reply::text(403, "application/xml", denied), "failed"),
        (http::Reply::text(503, "text/plain", ""), "failing"),
    ] {
        let front = Front::new(S3::with_buckets(&[BUCKET]).unwrap());
        let host = (format!("{BUCKET}.{}", s3::HOST), front.handler());
        let deployment = Deployment::beside_host(small(), into_bucket, Some(host)).await;
        front.fail("PUT", StoreFault::Reply(reply), 100);
        let told = async |minutes: u64| {
            deployment.sync().await;
            deployment.wait(Duration::from_mins(minutes)).await;
            let metrics = deployment.get("/metrics").await.text();
            let of_push = metrics.lines().filter(|line| line.starts_with("connector_jobs{kind=\"push\""));
            of_push.map(str::to_owned).collect::<Vec<_>>()
        };
        let expected = [format!("connector_jobs{{kind=\"push\",state=\"{state}\"}} 1")];
        assert_eq!(told(10).await, expected);
        deployment.restart();
        assert_eq!(told(10).await, expected, "the control: it is to be pushed");
        for name in ["S3_REGION", "S3_BUCKET", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"] {
            deployment.unset_var(name);
        }
        assert_eq!(told(60).await, [""; 0], "{state}");
    }
}

/// What C1 reads of this Worker comes out of KV, which may show the generation before for a minute: C1 would sync that, and it would be said to have
/// synced.
#[tokio::test(start_paused = true)]
async fn without_a_bucket_c1_is_told_to_sync_once_kv_shows_everywhere_what_was_published() {
    // The same name is the same key in any tenant of this host.
    let key = ConductorOne::new().credential("connector");
    for has_bucket in [true, false] {
        let store = S3::with_buckets(&[BUCKET]).unwrap();
        let host = (format!("{BUCKET}.{}", s3::HOST), Front::new(store).handler());
        let change = |options: Options| {
            let options = if has_bucket { into_bucket(options) } else { options };
            let options = options.var("C1_APP_ID", APP).var("C1_CONNECTOR_ID", CONNECTOR);
            options.var("C1_CLIENT_ID", &key.client_id).var("C1_CLIENT_SECRET", &key.client_secret)
        };
        let deployment = Deployment::beside_host(small(), change, Some(host)).await;
        deployment.c1.credential("connector");
        deployment.c1.add_connector(APP, CONNECTOR);
        deployment.sync().await;
        deployment.wait(Duration::from_secs(50)).await;
        assert_eq!(deployment.c1.forced_syncs(CONNECTOR), usize::from(has_bucket), "the control has a bucket");
        if !has_bucket {
            // Who asks for it does not have it sooner.
            assert_eq!(deployment.request("POST", "/v1/push", &[], None).await.status, 202);
            deployment.wait(Duration::from_secs(10)).await;
            assert_eq!(deployment.c1.forced_syncs(CONNECTOR), 0);
        }
        deployment.wait(Duration::from_mins(2)).await;
        assert_eq!(deployment.c1.forced_syncs(CONNECTOR), 1);
        let jobs = deployment.json("/v1/status").await["jobs"].clone();
        let push = jobs.as_array().unwrap().iter().find(|job| job["kind"] == "push").unwrap();
        assert_eq!(push["state"], "done", "{push}");
        assert!(push["message"].as_str().unwrap().ends_with("ConductorOne has synced."), "{push}");
        // What changes again and again keeps C1 from hearing of it no longer than that.
        for number in 0..12 {
            deployment.cloudflare.add_member(&format!("new{number}@example.com"), Vec::new());
            deployment.sync().await;
            deployment.wait(Duration::from_secs(30)).await;
        }
        let told = deployment.c1.forced_syncs(CONNECTOR);
        assert!((4..=13).contains(&told), "{told}");
        deployment.wait(Duration::from_mins(4)).await;
        let told_at_last = deployment.c1.forced_syncs(CONNECTOR);
        deployment.wait(Duration::from_mins(4)).await;
        assert_eq!(deployment.c1.forced_syncs(CONNECTOR), told_at_last, "nothing is new");
        assert!(has_bucket || told_at_last > told, "of the last change as well");
    }
}

/// The object that there was before one for each account: there was none.
struct NoFormer;

impl Ask for NoFormer {
    async fn ask(&self, _: Command) -> Result<Reply, Unreachable> {
        Ok(Reply::NothingToHandOver)
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_configured_again_pushes_once_more_what_another_may_have_replaced() {
    let store = S3::with_buckets(&[BUCKET]).unwrap();
    let front = Front::new(store.clone());
    let host = (format!("{BUCKET}.{}", s3::HOST), front.handler());
    let deployment = Deployment::beside_host(small(), into_bucket, Some(host)).await.synced().await;
    let takes_over = async || {
        let account = deployment.cloudflare.account_id().parse().unwrap();
        succession::take_over(deployment.world(), account, &NoFormer).await.unwrap()
    };
    let synced = async |pushed: usize, why: &str| {
        deployment.wait(Duration::from_mins(2)).await;
        deployment.sync().await;
        deployment.wait(Duration::from_mins(2)).await;
        let jobs = deployment.json("/v1/status").await["jobs"].clone();
        assert_eq!(front.count("PUT"), pushed, "{why}: {jobs}");
    };
    synced(1, "nothing changed since the first").await;
    assert!(!takes_over().await);
    synced(1, "the control: no other account was configured").await;
    // Its alarm rings while another one is.
    succession::fall_asleep(deployment.world()).unwrap();
    assert!(takes_over().await, "the alarm is to ring");
    deployment.restart();
    synced(2, "it is back").await;
    assert!(!takes_over().await);
    synced(2, "and once").await;
}
