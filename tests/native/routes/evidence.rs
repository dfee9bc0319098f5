//! `GET /v1/evidence`: all of it, once; the same bytes for the same generation; hashes and a signature that others find right.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use c1_cloudflare::base::ports::{Clock as _, Sql as _};
use serde_json::{Value, json};
use sim::cloudflare::{Cloudflare, Fault, KnownPermissionGroup, Route};
use sim::conductorone::{Entitlement, Person, Task};

use crate::deployment::Deployment;
use crate::jane::{EMAIL, Jane};
use crate::looks::{assert_is_problem, holds, roles, small};

/// What Node makes of the file, with its own SHA-256 and Ed25519: what is wrong with it, or nothing.
const CHECK: &str = r#"
const { createHash, createPublicKey, verify } = require("node:crypto");
const { file, keys } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const lines = file.split("\n").slice(0, -1);
const parts = { head: "", grants: "", findings: "" };
let sums, signature;
for (const line of lines) {
  const { part } = JSON.parse(line);
  if (part === "sums") sums = line;
  else if (part === "signature") signature = JSON.parse(line).jwt;
  else parts[part === "head" ? "head" : part + "s"] += line + "\n";
}
const wrong = [];
for (const [part, text] of Object.entries(parts)) {
  if (createHash("sha256").update(text).digest("hex") !== JSON.parse(sums).sha256[part]) wrong.push(part);
}
if (keys) {
  const [header, claims, signed] = signature.split(".");
  const { kid } = JSON.parse(Buffer.from(header, "base64url"));
  const key = createPublicKey({ key: keys.keys.find((key) => key.kid === kid), format: "jwk" });
  if (!verify(null, Buffer.from(`${header}.${claims}`), key, Buffer.from(signed, "base64url"))) wrong.push("signature");
  const is = (value) => JSON.stringify(value, Object.keys(value.sha256).concat(Object.keys(value)).sort());
  if (is(JSON.parse(Buffer.from(claims, "base64url"))) !== is(JSON.parse(sums))) wrong.push("claims");
} else if (signature) wrong.push("a signature without a key");
console.log(wrong.join(" "));
"#;

fn wrong_with(file: &str, keys: &Value) -> String {
    let mut node =
        Command::new("node").args(["-e", CHECK]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = json!({ "file": file, "keys": keys }).to_string();
    node.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn parts<'a>(lines: &'a [Value], part: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["part"] == part).collect()
}

async fn file(jane: &Jane, query: &str) -> String {
    file_of(&jane.deployment, query).await
}

async fn file_of(deployment: &Deployment, query: &str) -> String {
    let answer = deployment.get(&format!("/v1/evidence{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.header("content-length").map(str::to_owned).unwrap_or(answer.body.len().to_string()),
        answer.body.len().to_string()
    );
    answer.text()
}

fn read(file: &str) -> Vec<Value> {
    file.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn evidence_has_each_grant_once_with_who_approved_it_and_others_find_its_hashes_and_signature_right() {
    let jane = Jane::holding(2).await;
    let deployment = &jane.deployment;
    deployment.set_var("AUDIT_FEED", "on");
    let entitlement = Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name);
    let task = deployment.c1.task(&Task::grant(entitlement, Person::member(EMAIL, &jane.user, &jane.member)));
    assert_eq!(deployment.send_as(&task, "t").await.status, 200);
    deployment.wait(Duration::from_mins(1)).await;
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;

    // Without a key there is no signature.
    let unsigned = file(&jane, "").await;
    assert_eq!(wrong_with(&unsigned, &Value::Null), "");
    let lines = read(&unsigned);
    let truth = deployment.cloudflare.truth();
    let id = |grant: &&Value| {
        let text = |field: &str| grant[field].as_str().unwrap().to_owned();
        format!("{}:{}", text("entitlement"), text("principal"))
    };
    let mut told: Vec<String> = parts(&lines, "grant").iter().map(id).collect();
    told.sort();
    assert_eq!(told, truth.grants.iter().cloned().collect::<Vec<_>>());
    let role = format!("role:{}:member", jane.lacks.governed_as());
    let grant =
        parts(&lines, "grant").into_iter().find(|one| one["entitlement"] == role.as_str() && one["person"] == EMAIL);
    let by = &grant.unwrap()["gained"]["by"];
    assert!(by["operation"].is_number() && by["task"].is_string(), "{by}");
    assert!(!by["approvers"].as_array().unwrap().is_empty(), "{by}");
    let head = parts(&lines, "head")[0].clone();
    assert_eq!(head["generation"], parts(&lines, "sums")[0]["generation"]);
    assert!(!parts(&lines, "finding").is_empty());

    // With one there is, whether signals are sent or not, and a byte that is changed is found.
    deployment.set_var("SIGNAL_SIGNING_KEY", &"07".repeat(32));
    let signed = file(&jane, "").await;
    let keys = deployment.json("/.well-known/jwks.json").await;
    assert_eq!(wrong_with(&signed, &keys), "");
    assert!(signed.starts_with(unsigned.trim_end()), "the same but for the signature");
    assert_eq!(wrong_with(&signed.replacen(EMAIL, "mallory@example.com", 1), &keys), "grants");
    let generation = head["generation"].as_str().unwrap().to_owned();
    let forged = signed.replace(
        &format!("\"generation\":\"{generation}\",\"part\":\"sums\""),
        "\"generation\":\"x\",\"part\":\"sums\"",
    );
    assert_ne!(forged, signed);
    assert!(wrong_with(&forged, &keys).contains("claims"), "what is signed is what is said");

    // The same generation, the same bytes: again, after another life, in another month, and when it is not the current one any more.
    assert_eq!(file(&jane, "").await, signed);
    deployment.restart();
    deployment.wait(Duration::from_hours(5)).await;
    assert_eq!(file(&jane, &format!("?generation={generation}")).await, signed);
    let known = roles(&deployment.cloudflare);
    deployment.cloudflare.set_log_delay(600);
    deployment.cloudflare.add_policy(&jane.member, holds(&deployment.cloudflare, &known[5]));
    deployment.sync().await;
    assert_eq!(file(&jane, &format!("?generation={generation}")).await, signed);
    // Of the new one the author may still be told: it waits.
    let newer = deployment.get("/v1/evidence").await;
    assert_eq!((newer.status, assert_is_problem(&newer, "evidence").as_str()), (503, "evidence_not_settled"));
    deployment.wait(Duration::from_mins(17)).await;
    let newer = file(&jane, "").await;
    assert_eq!(wrong_with(&newer, &keys), "");
    let newer = read(&newer);
    assert_eq!(parts(&newer, "grant").len(), told.len() + 1);
    let role = format!("role:{}:member", known[5].governed_as());
    let grant =
        parts(&newer, "grant").into_iter().find(|one| one["entitlement"] == role.as_str() && one["person"] == EMAIL);
    assert_eq!(grant.unwrap()["gained"]["by"]["who"], "somebody.else@example.com");
    let etag = deployment.get("/v1/evidence").await.header("etag").unwrap().to_owned();
    let headers = [("If-None-Match", etag.as_str())];
    assert_eq!(deployment.request("GET", "/v1/evidence", &headers, None).await.status, 304);
}

#[tokio::test(start_paused = true)]
async fn evidence_of_a_generation_stays_the_same_when_what_it_tells_grows_too_old_to_be_kept() {
    let deployment =
        Deployment::with(small(), |options| options.var("AUDIT_FEED", "off").var("JOURNAL_DAYS", "30")).await;
    let account = deployment.cloudflare.clone();
    let known = roles(&account);
    let member = account.add_member(EMAIL, vec![holds(&account, &known[0])]);
    let deployment = deployment.synced().await;
    let day = async |days: u64| {
        deployment.wait(Duration::from_hours(24 * days)).await;
        deployment.sync().await;
        deployment.wait(Duration::from_hours(2)).await;
    };
    let answer = async |query: &str| {
        let answer = deployment.get(&format!("/v1/evidence{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    day(1).await;
    account.add_policy(&member, holds(&account, &known[1]));
    day(1).await;
    let first = answer("").await;
    let generation = read(&first)[0]["generation"].as_str().unwrap().to_owned();
    let gained = |file: &str, role: usize| {
        let id = format!("role:{}:member", known[role].governed_as());
        let grants: Vec<Value> =
            read(file).into_iter().filter(|it| it["person"] == EMAIL && it["entitlement"] == id.as_str()).collect();
        assert_eq!(grants.len(), 1, "{file}");
        grants[0]["gained"].clone()
    };
    assert!(gained(&first, 1).is_object());
    // Nothing happens for longer than changes are kept.
    day(40).await;
    assert_eq!(answer("").await, first);
    // What is published then does not tell of it any more, and neither does the history.
    account.add_policy(&member, holds(&account, &known[2]));
    day(1).await;
    let newer = answer("").await;
    assert_eq!((gained(&newer, 1), gained(&newer, 2).is_object()), (Value::Null, true));
    assert_eq!(answer(&format!("?generation={generation}")).await, first);
    let history = deployment.json("/v1/history").await;
    assert_eq!(history["items"].as_array().unwrap().len(), 1, "{history:#}");
    let at = history["begins_at"].as_str().unwrap();
    let now = deployment.json(&format!("/v1/as-of?at={at}&person={EMAIL}")).await;
    let held = now["items"].as_array().unwrap();
    assert!(held.len() == 2 && held.iter().all(|item| item["gained"].is_null()), "{now:#}");
    // It is kept as long as the generation is.
    for role in &known[3..7] {
        account.add_policy(&member, holds(&account, role));
        day(2).await;
    }
    assert_eq!(deployment.get(&format!("/v1/evidence?generation={generation}")).await.status, 410);
    let kept = deployment.world().one("SELECT COUNT(*) FROM ledger", &[]).unwrap().unwrap().integer();
    assert_eq!(kept, Some(5), "what was gained when the generation was made is forgotten");
}

/// What a list told that cannot be read any more is told of each generation since, and nobody looked whether it is still so.
#[tokio::test(start_paused = true)]
async fn evidence_says_which_lists_were_off_and_of_which_generation_what_they_told_is() {
    let deployment = Deployment::with(small(), |options| options.var("AUDIT_FEED", "off")).await;
    let account = deployment.cloudflare.clone();
    let group = account.add_group("Operators", vec![holds(&account, &roles(&account)[3])]);
    account.join_group(&group, &account.add_member(EMAIL, Vec::new()));
    let mut kept_from = json!(null);
    for is_on in [true, false] {
        if !is_on {
            account.fail_next(Route::ListUserGroups, 10_000, Fault::status(403, 10_000));
            account.add_member("somebody.else@example.com", Vec::new());
        }
        deployment.sync().await;
        deployment.wait(Duration::from_hours(2)).await;
        let lines = read(&file_of(&deployment, "").await);
        let (head, entitlement) = (parts(&lines, "head")[0].clone(), format!("group:{group}:member"));
        assert!(
            parts(&lines, "grant")
                .iter()
                .any(|one| one["person"] == EMAIL && one["entitlement"] == entitlement.as_str())
        );
        let told = &head["capabilities"]["user_groups"];
        assert_eq!((&told["on"], &told["kept_from"]), (&json!(is_on), &kept_from), "{head}");
        kept_from = head["generation"].clone();
    }
}

#[tokio::test(start_paused = true)]
async fn evidence_tells_what_is_accepted_by_whom_and_until_when_and_is_the_same_when_more_is() {
    let deployment = Deployment::with(small(), |options| options.var("AUDIT_FEED", "off")).await;
    let tokens = ["ci", "deploys"].map(|name| deployment.cloudflare.add_token(name, None, &json!({})));
    let deployment = deployment.synced().await;
    deployment.wait(Duration::from_hours(2)).await;
    let ids = tokens.map(|token| format!("token-without-expiry:api_token:{token}"));
    let accept = async |id: &str| {
        let body = json!({ "reason": "so agreed", "until": "2027-03-01" });
        let answer = deployment.request("POST", &format!("/v1/findings/{id}/accept"), &[], Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    accept(&ids[0]).await;
    let file = file_of(&deployment, "").await;
    assert_eq!(wrong_with(&file, &Value::Null), "");
    let lines = read(&file);
    let told = |id: &str| {
        let found = parts(&lines, "finding").into_iter().map(|line| line["finding"].clone());
        found.into_iter().find(|finding| finding["id"] == id).unwrap()
    };
    let (accepted, open) = (told(&ids[0]), told(&ids[1]));
    assert_eq!((&accepted["state"], &open["state"]), (&json!("accepted"), &json!("open")));
    assert_eq!((&accepted["accepted"]["reason"], &open["accepted"]), (&json!("so agreed"), &json!(null)));
    assert!(accepted["accepted"]["until"].as_str().unwrap().starts_with("2027-03-01"), "{accepted}");
    assert!(accepted["accepted"]["by"].is_string(), "{accepted}");
    accept(&ids[1]).await;
    assert_eq!(file_of(&deployment, "").await, file);
}

#[tokio::test(start_paused = true)]
async fn evidence_with_another_signature_has_another_tag() {
    let jane = Jane::holding(2).await;
    jane.deployment.wait(Duration::from_hours(2)).await;
    let mut tags: Vec<String> = Vec::new();
    for key in ["", "07", "08"] {
        if !key.is_empty() {
            jane.deployment.set_var("SIGNAL_SIGNING_KEY", &key.repeat(32));
        }
        for tag in &tags {
            let answer = jane.deployment.request("GET", "/v1/evidence", &[("If-None-Match", tag)], None).await;
            assert_eq!(answer.status, 200, "{tag} is the tag of other bytes");
        }
        let tag = jane.deployment.get("/v1/evidence").await.header("etag").unwrap().to_owned();
        let answer = jane.deployment.request("GET", "/v1/evidence", &[("If-None-Match", &tag)], None).await;
        assert_eq!(answer.status, 304);
        tags.push(tag);
    }
}

/// The one grant of a role to somebody, as the newest evidence tells it.
async fn granted(deployment: &Deployment, person: &str, role: &str) -> Value {
    let lines = read(&file_of(deployment, "").await);
    let id = format!("role:{role}:member");
    let of: Vec<&Value> = parts(&lines, "grant")
        .into_iter()
        .filter(|it| it["person"] == person && it["entitlement"] == id.as_str())
        .collect();
    assert_eq!(of.len(), 1, "{of:#?}");
    of[0].clone()
}

#[tokio::test(start_paused = true)]
async fn evidence_goes_on_telling_who_approved_a_grant_when_the_invitation_is_accepted() {
    let deployment = Deployment::with(small(), |options| options.var("AUDIT_FEED", "on")).await.synced().await;
    let cloudflare = deployment.cloudflare.clone();
    let role = roles(&cloudflare)[2].clone();
    let entitlement = Entitlement::role(role.governed_as(), &role.name);
    let task = deployment.c1.task(&Task::grant(entitlement, Person::newcomer("new.hire@example.com")));
    assert_eq!(deployment.send_as(&task, "t").await.status, 200);
    deployment.wait(Duration::from_mins(1)).await;
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;
    let invited = granted(&deployment, "new.hire@example.com", role.governed_as()).await;
    assert!(!invited["gained"]["by"]["approvers"].as_array().unwrap().is_empty(), "the control: {invited}");
    let member = cloudflare.membership_of("new.hire@example.com").unwrap().id;
    cloudflare.accept_invitation(&member).unwrap();
    deployment.wait(Duration::from_mins(20)).await;
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;
    let accepted = granted(&deployment, "new.hire@example.com", role.governed_as()).await;
    assert_eq!(
        (&accepted["gained"]["cause"], accepted["principal"] == invited["principal"]),
        (&json!("accepted"), false)
    );
    for field in ["by", "happened_at"] {
        assert_eq!(accepted["gained"][field], invited["gained"][field], "{accepted}");
    }
}

#[tokio::test(start_paused = true)]
async fn evidence_waits_for_an_author_whose_entry_comes_late_though_another_changed_the_same_person_before() {
    let jane = Jane::holding(2).await;
    let deployment = &jane.deployment;
    deployment.set_var("AUDIT_FEED", "on");
    deployment.wait(Duration::from_hours(1)).await;
    let known = roles(&deployment.cloudflare);
    // Alice changes something that the next generation tells.
    let uri = format!("/accounts/{}/members/{}", deployment.cloudflare.account_id(), jane.member);
    let entry = json!({ "raw": { "uri": uri }, "resource": { "id": jane.member, "product": "members" },
        "actor": { "email": "alice@example.com", "id": format!("{:032x}", 5) } });
    deployment.cloudflare.log_entry(Some(deployment.now()), 0, entry);
    deployment.wait(Duration::from_mins(5)).await;
    deployment.sync().await;
    deployment.wait(Duration::from_mins(4)).await;
    // What somebody else does then is in the log later than in the account.
    deployment.cloudflare.set_log_delay(600);
    deployment.cloudflare.add_policy(&jane.member, holds(&deployment.cloudflare, &known[5]));
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;
    let early = deployment.get("/v1/evidence").await;
    assert_eq!((early.status, assert_is_problem(&early, "evidence").as_str()), (503, "evidence_not_settled"));
    deployment.wait(Duration::from_mins(20)).await;
    let grant = granted(deployment, EMAIL, known[5].governed_as()).await;
    assert_eq!(grant["gained"]["cause"], "foreign", "{grant}");
    assert!(grant["gained"]["by"]["who"].as_str().unwrap().contains("somebody.else@example.com"), "{grant}");
}

/// A deployment that does not read the log, its account and roles, and somebody who has the first of these.
async fn with_a_member() -> (Deployment, Cloudflare, Vec<KnownPermissionGroup>, String) {
    let deployment = Deployment::with(small(), |options| options.var("AUDIT_FEED", "off")).await;
    let cloudflare = deployment.cloudflare.clone();
    let known = roles(&cloudflare);
    let member = cloudflare.add_member(EMAIL, vec![holds(&cloudflare, &known[0])]);
    (deployment.synced().await, cloudflare, known, member)
}

#[tokio::test(start_paused = true)]
async fn evidence_waits_for_the_ledger_and_the_findings_of_its_own_generation() {
    let (deployment, cloudflare, known, member) = with_a_member().await;
    deployment.wait(Duration::from_mins(20)).await;
    let current = async || deployment.json("/v1/changes?limit=1").await["generation"].as_str().unwrap().to_owned();
    let before = current().await;
    cloudflare.add_policy(&member, holds(&cloudflare, &known[1]));
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;
    let refused = async || {
        let answer = deployment.get("/v1/evidence").await;
        assert_eq!((answer.status, assert_is_problem(&answer, "evidence").as_str()), (503, "evidence_not_settled"));
    };
    let world = deployment.world();
    // What is wrong was worked out of the generation before, so far.
    let subject = world.one("SELECT subject FROM job WHERE kind = 'findings'", &[]).unwrap().unwrap();
    let is_about = |subject: &str| {
        world.query("UPDATE job SET subject = ? WHERE kind = 'findings'", &[subject.into()]).unwrap();
    };
    is_about(&format!("{before} 2027-01-15"));
    refused().await;
    is_about(subject.text().unwrap());
    // As a publication leaves it after which the generation before could not be read.
    let generation = current().await;
    for table in ["ledger", "ledger_mark"] {
        world.query(&format!("DELETE FROM {table} WHERE generation = ?"), &[generation.as_str().into()]).unwrap();
    }
    refused().await;
    let of_before = file_of(&deployment, &format!("?generation={before}")).await;
    // The next sync catches up.
    deployment.wait(Duration::from_mins(20)).await;
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;
    assert_eq!(current().await, generation, "the control");
    assert!(granted(&deployment, EMAIL, known[1].governed_as()).await["gained"].is_object());
    assert_eq!(file_of(&deployment, &format!("?generation={before}")).await, of_before);
}

#[tokio::test(start_paused = true)]
async fn evidence_tells_where_the_ledger_has_gaps_up_to_its_generation() {
    let (deployment, cloudflare, known, member) = with_a_member().await;
    let publish = async |role: usize| {
        deployment.wait(Duration::from_mins(70)).await;
        cloudflare.set_policies(&member, vec![holds(&cloudflare, &known[role])]);
        deployment.sync().await;
        deployment.wait(Duration::from_mins(2)).await;
        read(&file_of(&deployment, "").await)[0].clone()
    };
    let whole = publish(1).await;
    assert_eq!((&whole["findings"]["gaps"], &whole["findings"]["left_out"]), (&json!([]), &json!(0)));
    deployment.world().desk.values.borrow_mut().retain(|key, _| !key.contains("manifest/"));
    let first = publish(2).await;
    assert_eq!(first["findings"]["gaps"], json!([first["published_at"]]), "{first}");
    // Another one comes before the evidence of this one is asked for.
    deployment.wait(Duration::from_mins(70)).await;
    cloudflare.set_policies(&member, vec![holds(&cloudflare, &known[3])]);
    deployment.sync().await;
    let between = deployment.json("/v1/changes?limit=1").await["generation"].as_str().unwrap().to_owned();
    let world = deployment.world();
    world
        .query(
            "INSERT INTO ledger_mark (generation, at, kind) VALUES ('99991231T000000Z-00000000', ?, 'gap')",
            &[world.now().into()],
        )
        .unwrap();
    deployment.wait(Duration::from_mins(2)).await;
    let head = read(&file_of(&deployment, &format!("?generation={between}")).await)[0].clone();
    assert_eq!(head["findings"]["gaps"], json!([first["published_at"]]), "what comes later is none of it: {head}");
    // What is recorded of neither is in the gap that the next one has.
    let unrecorded = publish(4).await["generation"].as_str().unwrap().to_owned();
    for table in ["ledger", "ledger_mark", "finding_cut"] {
        world.query(&format!("DELETE FROM {table} WHERE generation = ?"), &[unrecorded.as_str().into()]).unwrap();
    }
    let head = read(&file_of(&deployment, &format!("?generation={unrecorded}")).await)[0].clone();
    assert_eq!(head["findings"]["gaps"].as_array().unwrap().len(), 2, "{head}");
}

/// What is known of all generations is forgotten where KV loses a part of the newest one, and those before can be read all the same.
#[tokio::test(start_paused = true)]
async fn evidence_of_a_generation_is_never_another_though_the_store_loses_a_part_of_a_later_one() {
    let (deployment, cloudflare, known, member) = with_a_member().await;
    deployment.wait(Duration::from_mins(20)).await;
    let first = file_of(&deployment, "").await;
    let of_first = format!("?generation={}", read(&first)[0]["generation"].as_str().unwrap());
    let chunks = deployment.names_under("chunk/");
    cloudflare.add_policy(&member, holds(&cloudflare, &known[1]));
    deployment.sync().await;
    deployment.wait(Duration::from_mins(20)).await;
    assert_eq!(file_of(&deployment, &of_first).await, first, "the control: it is kept");
    let mut of_second = deployment.names_under("chunk/");
    of_second.retain(|name| !chunks.contains(name));
    assert!(!of_second.is_empty(), "{chunks:?}");
    for name in &of_second {
        deployment.lose(name);
    }
    // What is wrong with the account is more by now.
    cloudflare.add_token("ci", None, &json!({}));
    for _ in 0..2 {
        deployment.sync().await;
        deployment.wait(Duration::from_mins(20)).await;
    }
    let answer = deployment.get(&format!("/v1/evidence{of_first}")).await;
    assert_eq!((answer.status, assert_is_problem(&answer, "evidence").as_str()), (503, "evidence_not_settled"));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    let (_, settled) = detail.rsplit_once("generation=").unwrap();
    assert_eq!(read(&file_of(&deployment, &format!("?generation={settled}")).await)[0]["generation"], settled);
}

/// Somebody whom C1 had invited with a role, with approval, as the evidence has it.
async fn approved_invitation(email: &str) -> (Deployment, String, String) {
    let deployment = Deployment::with(small(), |options| options.var("AUDIT_FEED", "on")).await.synced().await;
    let role = roles(&deployment.cloudflare)[2].clone();
    let entitlement = Entitlement::role(role.governed_as(), &role.name);
    let task = deployment.c1.task(&Task::grant(entitlement, Person::newcomer(email)));
    assert_eq!(deployment.send_as(&task, "t").await.status, 200);
    deployment.wait(Duration::from_mins(1)).await;
    deployment.sync().await;
    deployment.wait(Duration::from_mins(20)).await;
    let member = deployment.cloudflare.membership_of(email).unwrap().id;
    (deployment, member, role.governed_as().to_owned())
}

#[tokio::test(start_paused = true)]
async fn evidence_does_not_tell_who_approved_it_before_of_what_somebody_else_gives_back_past_c1() {
    let (deployment, invitation, role) = approved_invitation(EMAIL).await;
    let cloudflare = deployment.cloudflare.clone();
    let policies = || {
        let known = roles(&cloudflare).into_iter().find(|known| known.governed_as() == role);
        vec![holds(&cloudflare, &known.unwrap())]
    };
    let approved = granted(&deployment, EMAIL, &role).await;
    assert!(!approved["gained"]["by"]["approvers"].as_array().unwrap().is_empty(), "the control: {approved}");
    // C1's account is an invitation first, and somebody who accepted one then.
    let mut person = format!("invitation:{invitation}");
    for is_accepted in [false, true] {
        let answer = deployment.request("DELETE", &format!("/v1/accounts/{person}"), &[], None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        deployment.wait(Duration::from_secs(5)).await;
        let again = cloudflare.invite(EMAIL, policies());
        deployment.sync().await;
        deployment.wait(Duration::from_mins(20)).await;
        let given_back = granted(&deployment, EMAIL, &role).await;
        assert_eq!(
            (&given_back["gained"]["cause"], &given_back["gained"]["by"]["who"]),
            (&json!("foreign"), &json!("somebody.else@example.com")),
            "accepted {is_accepted}: {given_back}"
        );
        person = cloudflare.accept_invitation(&again).unwrap();
        deployment.sync().await;
        deployment.wait(Duration::from_mins(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn evidence_goes_on_telling_who_approved_a_grant_when_we_send_the_invitation_again_and_of_nothing_else_with_it() {
    let (deployment, invitation, role) = approved_invitation(EMAIL).await;
    let cloudflare = deployment.cloudflare.clone();
    let approved = granted(&deployment, EMAIL, &role).await;
    deployment.wait(Duration::from_mins(20)).await;
    let answer = deployment.request("POST", &format!("/v1/invitations/{invitation}/renew"), &[], None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    deployment.wait(Duration::from_mins(1)).await;
    // What an account of ours brings first is no part of an invitation that held something else.
    let first = cloudflare.permission_group("minimal_account_access").unwrap();
    let again = cloudflare.membership_of(EMAIL).unwrap().id;
    cloudflare.add_policy(&again, holds(&cloudflare, &first));
    deployment.sync().await;
    deployment.wait(Duration::from_mins(20)).await;
    let sent_again = granted(&deployment, EMAIL, &role).await;
    assert_ne!(sent_again["principal"], approved["principal"]);
    assert_eq!(sent_again["gained"]["cause"], "accepted", "{sent_again}");
    for field in ["by", "happened_at"] {
        assert_eq!(sent_again["gained"][field], approved["gained"][field], "{sent_again}");
    }
    let added = granted(&deployment, EMAIL, first.governed_as()).await;
    assert_eq!(
        (&added["gained"]["cause"], &added["gained"]["by"]["who"]),
        (&json!("foreign"), &json!("somebody.else@example.com")),
        "{added}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_an_invitation_lost_and_has_again_since_a_gap_is_not_told_as_given_before() {
    let deployment = Deployment::with(small(), |options| options.var("AUDIT_FEED", "off")).await;
    let cloudflare = deployment.cloudflare.clone();
    let known = roles(&cloudflare);
    let member = cloudflare.invite(EMAIL, vec![holds(&cloudflare, &known[0])]);
    let deployment = deployment.synced().await;
    let publish = async || {
        deployment.wait(Duration::from_mins(70)).await;
        deployment.sync().await;
        deployment.wait(Duration::from_mins(2)).await;
    };
    let both = || vec![holds(&cloudflare, &known[0]), holds(&cloudflare, &known[1])];
    cloudflare.set_policies(&member, both());
    publish().await;
    cloudflare.set_policies(&member, vec![holds(&cloudflare, &known[0])]);
    publish().await;
    deployment.world().desk.values.borrow_mut().retain(|key, _| !key.contains("manifest/"));
    cloudflare.set_policies(&member, both());
    publish().await;
    cloudflare.accept_invitation(&member).unwrap();
    publish().await;
    let accepted = granted(&deployment, EMAIL, known[1].governed_as()).await;
    assert_eq!(accepted["gained"]["cause"], "accepted", "{accepted}");
    assert_eq!(accepted["gained"]["by"], Value::Null, "{accepted}");
}

#[tokio::test(start_paused = true)]
async fn evidence_that_is_not_settled_yet_names_the_newest_that_is_and_when_to_ask_again() {
    let jane = Jane::holding(2).await;
    let deployment = &jane.deployment;
    deployment.set_var("AUDIT_FEED", "on");
    deployment.wait(Duration::from_mins(80)).await;
    let current = async || deployment.json("/v1/changes?limit=1").await["generation"].as_str().unwrap().to_owned();
    let known = roles(&deployment.cloudflare);
    // Somebody changes something every few minutes.
    for role in &known[5..7] {
        deployment.cloudflare.add_policy(&jane.member, holds(&deployment.cloudflare, role));
        deployment.sync().await;
        deployment.wait(Duration::from_mins(4)).await;
    }
    let early = deployment.get("/v1/evidence").await;
    assert_eq!((early.status, assert_is_problem(&early, "evidence").as_str()), (503, "evidence_not_settled"));
    let detail = early.json()["detail"].as_str().unwrap().to_owned();
    let (_, settled) = detail.rsplit_once("generation=").unwrap();
    let latest = current().await;
    assert!(settled < latest.as_str(), "{detail}, of {latest}");
    assert_eq!(deployment.get(&format!("/v1/evidence?generation={settled}")).await.status, 200);
    let secs: u64 = early.header("retry-after").unwrap().parse().unwrap();
    assert!((600..=1_200).contains(&secs), "{secs}");
    // Not before, and soon after.
    deployment.wait(Duration::from_secs(secs - 120)).await;
    assert_eq!(deployment.get(&format!("/v1/evidence?generation={latest}")).await.status, 503);
    deployment.wait(Duration::from_mins(6)).await;
    assert_eq!(deployment.get(&format!("/v1/evidence?generation={latest}")).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_generation_with_many_changes_is_explained_soon_after_it_though_no_log_is_read() {
    let deployment = Deployment::with(small(), |options| options.var("AUDIT_FEED", "off")).await;
    let cloudflare = deployment.cloudflare.clone();
    let deployment = deployment.synced().await;
    deployment.wait(Duration::from_mins(20)).await;
    let known = roles(&cloudflare);
    for n in 0..130 {
        let policies = known[..6].iter().map(|role| holds(&cloudflare, role)).collect();
        cloudflare.add_member(&format!("new{n}@example.com"), policies);
    }
    deployment.sync().await;
    deployment.wait(Duration::from_mins(1)).await;
    let open = deployment.world().one("SELECT COUNT(*) FROM ledger WHERE cause < '@'", &[]).unwrap().unwrap();
    let all = deployment.world().one("SELECT COUNT(*) FROM ledger", &[]).unwrap().unwrap();
    assert_eq!((open.integer(), all.integer()), (Some(0), Some(780)));
}
