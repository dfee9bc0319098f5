//! Signals to C1's incoming webhook, after a sync.

use serde_json::{Value, json};
use sim::cloudflare::KnownPermissionGroup;
use sim::conductorone::{ConductorOne, InboundFault, Proof};
use sim::harness::Options;

use crate::deployment::{Deployment, PATIENCE, holds, roles, small};

const SECRET: &str = "hmac-secret-of-the-tests-0123456789";

/// A connector that signals by HMAC, to an account that was synced once.
struct SignalCase {
    deployment: Deployment,
    member: String,
    user: String,
    roles: Vec<KnownPermissionGroup>,
}

fn url(suffix: &str) -> String {
    format!("https://{}/api/v1/webhooks/incoming/listener{suffix}", sim::conductorone::HOST)
}

impl SignalCase {
    async fn start() -> Self {
        Self::with(|options| options.var("SIGNAL_URL", &url("")).var("SIGNAL_HMAC_SECRET", SECRET)).await
    }

    async fn with(change: impl FnOnce(Options) -> Options) -> Self {
        let deployment = Deployment::with(small(), change).await;
        deployment.c1.listen("listener", Proof::Hmac(SECRET.to_owned()));
        let roles = roles(&deployment.cloudflare);
        let policies = vec![holds(&deployment.cloudflare, &roles[0])];
        let member = deployment.cloudflare.add_member("jane.doe@example.com", policies);
        let user = deployment.cloudflare.membership(&member).unwrap().user_id.unwrap();
        let deployment = deployment.synced().await;
        Self { deployment, member, user, roles }
    }

    /// Somebody gives Jane a role in the dashboard.
    fn given(&self, role: &KnownPermissionGroup) {
        self.deployment.cloudflare.add_policy(&self.member, holds(&self.deployment.cloudflare, role));
    }

    async fn synced(&self) -> Value {
        self.deployment.world.sync().await.unwrap()
    }

    /// Waits until the job of signals stands as wanted.
    async fn job(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let status = self.deployment.wait_for("/v1/status", PATIENCE, |status| wanted(signal(status))).await.unwrap();
        signal(&status).clone()
    }

    async fn done(&self) -> Value {
        self.job(|job| job["state"] == "done").await
    }

    fn events(&self) -> Vec<String> {
        let events = self.deployment.c1.events();
        events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    }
}

fn signal(status: &Value) -> &Value {
    let jobs = status["jobs"].as_array().unwrap();
    jobs.iter().find(|job| job["kind"] == "signal").unwrap_or(&Value::Null)
}

fn statuses(c1: &ConductorOne) -> Vec<u16> {
    c1.inbound_requests().iter().map(|request| request.status).collect()
}

#[tokio::test]
async fn what_changed_is_told_with_who_did_it_past_c1() {
    let desk = SignalCase::start().await;
    let super_admin = desk.deployment.cloudflare.permission_group("super_admin").unwrap();
    desk.job(|job| job.is_null() || job["state"] == "done").await;
    assert_eq!(desk.events(), [""; 0], "the first generation differs from nothing");

    // Super Administrator by somebody else, and one role by us. In this order: right after a write of ours, the crawl's read is
    // not believed for a moment, and what came then is told after the next sync.
    desk.given(&super_admin);
    let path = format!("/v1/roles/{}/members/{}", desk.roles[1].governed_as(), desk.user);
    assert_eq!(desk.deployment.request("PUT", &path, &[], None).await.status, 200);
    let status = desk.synced().await;
    desk.deployment.wait_for("/v1/status", PATIENCE, |_| desk.events().len() == 2).await.unwrap();
    assert_eq!(desk.events(), ["foreign_change", "access_changed"]);
    assert_eq!(statuses(&desk.deployment.c1), [200, 200]);

    let events = desk.deployment.c1.events();
    let [foreign, changed] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(
        (&foreign["generation"], &foreign["run"]),
        (&status["generations"][0]["generation"], &status["runs"][0]["run"])
    );
    assert_eq!(
        foreign["grants"],
        json!([{
            "to": "jane.doe@example.com", "principal": format!("user:{}", desk.user),
            "entitlement": format!("role:{}:member", super_admin.governed_as()), "name": foreign["grants"][0]["name"],
            "super_administrator": true, "by": { "who": "unknown", "through": "unknown", "at": null, "entry": null },
        }])
    );
    assert!(foreign["grants"][0]["name"].as_str().unwrap().contains("Super Administrator"), "{foreign}");
    assert_eq!(changed["summary"]["grants_added"], 2);
    assert_eq!(changed["changes"][0]["name"], "jane.doe@example.com");
    assert_eq!(
        (changed["left_out"].as_u64(), changed["account_id"].as_str()),
        (Some(0), Some(desk.deployment.cloudflare.account_id().as_str()))
    );
    let job = desk.done().await;
    assert_eq!(job["message"], "Sent 2 signals.");

    // A sync that finds nothing tells nothing, and a grant that is ours alone is nobody else's.
    desk.synced().await;
    let path = format!("/v1/roles/{}/members/{}", desk.roles[2].governed_as(), desk.user);
    assert_eq!(desk.deployment.request("PUT", &path, &[], None).await.status, 200);
    desk.synced().await;
    desk.deployment.wait_for("/v1/status", PATIENCE, |_| desk.events().len() == 3).await.unwrap();
    assert_eq!(desk.events()[2], "access_changed");
}

#[tokio::test]
async fn a_sync_that_fails_or_is_held_is_told_and_only_what_was_asked_for() {
    let change = |options: Options| {
        options.var("SIGNAL_URL", &url("")).var("SIGNAL_HMAC_SECRET", SECRET).var("SIGNALS", "sync_failed")
    };
    let desk = SignalCase::with(change).await;
    desk.given(&desk.roles[3]);
    desk.synced().await;
    desk.deployment.cloudflare.set_token_status("disabled");
    let failed = desk.synced().await;
    assert_eq!(failed["runs"][0]["outcome"], "failed", "{failed}");
    desk.done().await;
    let events = desk.deployment.c1.events();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((&event["event"], &event["outcome"]), (&json!("sync_failed"), &json!("failed")));
    assert_eq!(event["message"], failed["runs"][0]["message"], "what to do");

    desk.deployment.cloudflare.set_token_status("active");
    let people = desk.deployment.cloudflare.memberships();
    for n in 0..30 {
        desk.deployment.cloudflare.add_member(&format!("extra{n}@example.com"), Vec::new());
    }
    let run = async |body: Value| {
        let begun = desk.deployment.request("POST", "/v1/sync", &[], Some(&body)).await;
        assert_eq!(begun.status, 202, "{}", begun.text());
        let id = begun.json()["run"].clone();
        desk.deployment.wait_for("/v1/status", PATIENCE, |status| status["runs"][0]["run"] == id).await.unwrap()
    };
    run(json!({})).await;
    for member in desk.deployment.cloudflare.memberships() {
        if !people.iter().any(|known| known.id == member.id) {
            desk.deployment.cloudflare.remove_member(&member.id);
        }
    }
    assert_eq!(run(json!({})).await["runs"][0]["outcome"], "held");
    desk.deployment.wait_for("/v1/status", PATIENCE, |_| desk.events().len() == 2).await.unwrap();
    assert_eq!(desk.deployment.c1.events()[1]["outcome"], "held");
}

#[tokio::test]
async fn jwts_are_signed_with_the_key_that_is_shown_and_need_no_other_secret() {
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let desk = SignalCase::with(|options| options.var("SIGNAL_URL", &url("")).var("SIGNAL_SIGNING_KEY", seed)).await;
    let keys = desk.deployment.raw("GET", "/.well-known/jwks.json", &[], None).await;
    assert_eq!((keys.status, keys.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        keys.json()["keys"][0]["x"],
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "the public key of RFC 8032"
    );
    assert!(!keys.text().contains("\"d\"") && !keys.text().contains(seed));
    desk.deployment.c1.listen("listener", Proof::Jwt(keys.json()));
    desk.given(&desk.roles[1]);
    desk.synced().await;
    desk.deployment.wait_for("/v1/status", PATIENCE, |_| desk.events().len() == 2).await.unwrap();
    let requests = desk.deployment.c1.inbound_requests();
    assert!(requests.iter().all(|request| request.status == 200), "{requests:?}");
    let report = desk.deployment.json("/v1/doctor").await;
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "SIGNAL_URL").unwrap();
    assert!(
        check["message"].as_str().unwrap().contains("https://connector.example.com/.well-known/jwks.json"),
        "{check}"
    );
}

#[tokio::test]
async fn a_capability_url_is_all_there_is_and_is_never_shown() {
    let desk = SignalCase::with(|options| options.var("SIGNAL_URL", &url("/t/capability-of-the-tests"))).await;
    desk.deployment.c1.listen("listener", Proof::Capability("capability-of-the-tests".to_owned()));
    desk.given(&desk.roles[1]);
    desk.deployment.c1.fail_inbound(InboundFault::Refused(401), 1);
    desk.synced().await;
    let job = desk.job(|job| job["state"] == "failed").await;
    desk.synced().await;
    desk.deployment.wait_for("/v1/status", PATIENCE, |_| desk.events().len() == 2).await.unwrap();
    let report = desk.deployment.get("/v1/doctor").await.text();
    for text in desk.deployment.worker.logs().iter().chain([&report, &job.to_string()]) {
        assert!(!text.contains("capability-of-the-tests"), "{text}");
    }
    let none = desk.deployment.raw("GET", "/.well-known/jwks.json", &[], None).await;
    assert_eq!(none.status, 404);
}

#[tokio::test]
async fn an_answer_that_was_lost_does_not_make_an_event_happen_twice() {
    let desk = SignalCase::start().await;
    desk.given(&desk.roles[1]);
    desk.deployment.c1.fail_inbound(InboundFault::TakenButFailed(502), 1);
    desk.synced().await;
    desk.job(|job| job["attempts"] == 1 && job["message"].as_str().is_some_and(|said| said.contains("502"))).await;
    // The wait before another attempt is too long for a test: the next sync asks for one.
    desk.synced().await;
    desk.deployment.wait_for("/v1/status", PATIENCE, |_| desk.events().len() == 2).await.unwrap();
    assert_eq!(desk.events(), ["foreign_change", "access_changed"]);
    let requests = desk.deployment.c1.inbound_requests();
    assert_eq!(statuses(&desk.deployment.c1), [502, 409, 200]);
    assert_eq!(requests[0].event_id, requests[1].event_id);
    assert_eq!(requests[0].body, requests[1].body, "the same event, byte for byte");
    assert_eq!(desk.done().await["message"], "Sent 2 signals.");
}

#[tokio::test]
async fn what_c1_could_not_take_for_a_while_comes_later_in_order_and_once() {
    let desk = SignalCase::start().await;
    desk.deployment.c1.fail_inbound(InboundFault::Reset, u32::MAX);
    let mut runs = Vec::new();
    for role in &desk.roles[1..3] {
        desk.given(role);
        let status = desk.synced().await;
        runs.push(status["runs"][0]["run"].clone());
        let failing = |job: &Value| job["subject"] == *runs.last().unwrap() && job["attempts"].as_i64() >= Some(1);
        desk.job(failing).await;
    }
    // A crash in between loses nothing.
    desk.deployment.worker.kill().await;
    desk.deployment.worker.restart().await.unwrap();
    desk.deployment.c1.heal_inbound();
    desk.given(&desk.roles[3]);
    runs.push(desk.synced().await["runs"][0]["run"].clone());
    desk.deployment.wait_for("/v1/status", PATIENCE, |_| desk.events().len() >= 6).await.unwrap();
    desk.done().await;
    let told: Vec<Value> = desk.deployment.c1.events().iter().map(|event| event["run"].clone()).collect();
    let expected: Vec<Value> = runs.iter().flat_map(|run| [run.clone(), run.clone()]).collect();
    assert_eq!(told, expected);
    let taken = statuses(&desk.deployment.c1).into_iter().filter(|status| *status != 0);
    assert_eq!(taken.collect::<Vec<_>>(), [200; 6], "each once");
    for (event, role) in desk.deployment.c1.events().iter().step_by(2).zip(&desk.roles[1..4]) {
        assert_eq!(event["grants"][0]["name"], json!(role.name), "each of what its own sync found");
    }
}

#[tokio::test]
async fn what_c1_refuses_is_told_with_what_to_do() {
    let desk = SignalCase::start().await;
    for (status, says) in [(401, "SIGNAL_HMAC_SECRET"), (403, "networks"), (404, "SIGNAL_URL")] {
        desk.deployment.c1.fail_inbound(InboundFault::Refused(status), 1);
        desk.given(&desk.roles[usize::from(status) - 400]);
        let run = desk.synced().await["runs"][0]["run"].clone();
        let job = desk.job(|job| job["subject"] == run && job["state"] == "failed").await;
        assert!(job["message"].as_str().unwrap().contains(says), "{job}");
    }
    let report = desk.deployment.json("/v1/doctor").await;
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "SIGNAL_URL").unwrap();
    assert_eq!(check["ok"], false, "{check}");
    assert_eq!(desk.events(), [""; 0]);
    // Nothing of it is lost, and one event that is refused for good is not in the others' way.
    desk.deployment.c1.fail_inbound(InboundFault::Refused(400), 1);
    desk.synced().await;
    let job = desk
        .job(|job| job["state"] == "failed" && job["message"].as_str().is_some_and(|said| said.contains("400")))
        .await;
    assert!(job["message"].as_str().unwrap().contains("foreign_change"), "{job}");
    assert_eq!(desk.events().len(), 5);
    desk.synced().await;
    tokio::task::yield_now().await;
    assert_eq!(desk.deployment.c1.inbound_requests().len(), 3 + 6, "nothing waits any more");
}

#[tokio::test]
async fn half_a_configuration_names_what_is_missing() {
    let deployment = Deployment::with(small(), |options| options.var("SIGNAL_URL", &url(""))).await;
    let report = deployment.get("/v1/doctor").await;
    assert_eq!(report.status, 200, "everything else goes on");
    let checks = report.json()["checks"].as_array().unwrap().clone();
    assert!(checks.iter().any(|check| check["name"] == "SIGNAL_HMAC_SECRET" && check["ok"] == false), "{checks:?}");
}
