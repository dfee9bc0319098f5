//! `c1/connector/connector.ts`.

use std::collections::BTreeSet;

use c1_cloudflare::base::time::Timestamp;
use serde_json::{Value, json};
use sim::harness::workerd::CONNECTOR_TOKEN;

use super::hosted::Hosted;
use super::pb;
use crate::deployment::{Deployment, atom, roles};
use crate::export::database;
use crate::found::{
    EVE, Found, JANE, JOE, deployed, group_of, id_of, resync, scoped_role_of_no_group, with_odd_statuses,
};

async fn hosted(deployment: &Deployment, name: &str) -> Hosted {
    let config =
        json!({ "worker-url": deployment.worker.url().trim_end_matches('/'), "connector-token": CONNECTOR_TOKEN });
    Hosted::bundled(name, config).await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text was expected, not {value}")).to_owned()
}

/// An annotation of a kind, where there is one.
fn annotation<'a>(of: &'a Value, kind: &str) -> Option<&'a Value> {
    let name = format!("type.googleapis.com/c1.connector.v2.{kind}");
    of["annotations"].as_array().into_iter().flatten().find(|annotation| annotation["@type"] == name)
}

/// Everything that a sync finds, with the requests it took.
async fn sync(connector: &Hosted) -> (Found, Vec<Value>, Vec<String>) {
    let mut found = Found::default();
    let (mut results, mut requests) = connector.calls(&[json!({ "at": "resources" })]).await;
    let resources = results.remove(0).as_array().unwrap().clone();
    let mut of = Vec::new();
    for resource in &resources {
        let (kind, id) = (text(&resource["id"]["resourceType"]), text(&resource["id"]["resource"]));
        found.resource(&kind, &id, &text(&resource["displayName"]));
        if let Some(person) = annotation(resource, "UserTrait") {
            assert_eq!(person["emails"][0]["address"], person["login"]);
            found.emails.insert(id.clone(), text(&person["login"]));
            let (status, word) = (&person["status"], text(&person["profile"]["status"]));
            assert_eq!(status["details"], word.as_str(), "{resource}");
            found.statuses.insert(id.clone(), (status["status"] == "STATUS_ENABLED", word));
        }
        of.push(json!({ "type": kind, "id": id, "displayName": resource["displayName"] }));
    }
    let (mut results, more) = connector.calls(&[json!({ "at": "grants", "of": of })]).await;
    requests.extend(more);
    let told = results.remove(0);
    for entitlement in told["entitlements"].as_array().unwrap() {
        assert!(found.entitlements.insert(text(&entitlement["id"])), "{entitlement}");
        assert!(text(&entitlement["displayName"]).contains(" Member"), "{entitlement}");
    }
    let grants = told["grants"].as_array().unwrap().clone();
    for grant in &grants {
        let id = text(&grant["id"]);
        let principal = &grant["principal"]["id"];
        let (kind, of) = (text(&principal["resourceType"]), text(&principal["resource"]));
        assert_eq!(id, format!("{}:{kind}:{of}", text(&grant["entitlement"]["id"])));
        let expandable = annotation(grant, "GrantExpandable").map(|note| note["entitlement_ids"].clone());
        assert_eq!(expandable, (kind == "group").then(|| json!([format!("group:{of}:member")])));
        found.grant(&id);
    }
    (found, resources, requests)
}

#[tokio::test]
async fn the_hosted_connector_finds_the_account_in_large_and_small_pages_without_a_call_to_cloudflare() {
    let deployment = deployed().await;
    deployment.cloudflare.reset_log();
    let mut connector = hosted(&deployment, "sync").await;
    assert_eq!(connector.call(json!({ "at": "validate" })).await, json!({}));
    let (whole, resources, requests) = sync(&connector).await;
    whole.assert_is(&deployment, true);
    assert!(whole.of("role").len() > 60 && whole.grants.iter().any(|id| id.contains(":member:group:")));
    let grantable: usize = ["role", "scoped_role", "group"].map(|kind| whole.of(kind).len()).iter().sum();
    assert_eq!(
        requests.len(),
        7 + grantable,
        "one request for each list, each resource's holders, and the application"
    );
    connector.page_size = Some(4);
    let (found, _, requests) = sync(&connector).await;
    assert_eq!(found, whole, "in small pages");
    assert!(requests.iter().any(|path| path.contains("cursor=")) && requests.len() > 7 + grantable);
    assert_eq!(deployment.cloudflare.total_requests(), 0, "all of it is read from the snapshot");

    let of = |kind: &str, id: &str| {
        let wanted = json!({ "resourceType": kind, "resource": id });
        resources.iter().find(|resource| resource["id"] == wanted).unwrap()
    };
    let joe = of("user", &id_of(&deployment.cloudflare, JOE));
    let person = annotation(joe, "UserTrait").unwrap();
    assert_eq!(person["status"]["status"], "STATUS_ENABLED");
    assert_eq!(person["profile"]["member_id"], deployment.cloudflare.membership_of(JOE).unwrap().id);
}

/// What `sync.c1z` has.
async fn of_the_file(deployment: &Deployment) -> Vec<pb::Resource> {
    let file = deployment.get("/v1/export/sync.c1z").await.body;
    let connection = database(&file);
    let mut statement = connection.prepare("SELECT data FROM v1_resources").unwrap();
    let rows: Vec<Vec<u8>> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    rows.iter().map(|data| pb::read(data)).collect()
}

#[tokio::test]
async fn the_hosted_connector_tells_of_tokens_and_of_peoples_status_what_the_file_does() {
    let deployment = deployed().await;
    let cloudflare = &deployment.cloudflare;
    for (name, creator) in
        [("Of somebody invited", JANE), ("Of a member", JOE), ("Of nobody any more", "gone@example.com")]
    {
        cloudflare.add_token(name, Some(creator), &json!({ "last_used_on": "2026-08-20T09:08:07Z" }));
    }
    let [odd, came] = with_odd_statuses(&deployment).await;
    let (found, resources, _) = sync(&hosted(&deployment, "traits").await).await;
    let jane = id_of(cloudflare, JANE);
    for (id, is_enabled, word) in [(&odd, false, "Other"), (&came, true, "Accepted"), (&jane, true, "Pending")] {
        assert_eq!(found.statuses[id], (is_enabled, word.to_owned()));
    }
    let at = |time: Option<pb::Timestamp>| time.map(|time| time.seconds);
    let read = |time: &Value| time.as_str().map(|time| Timestamp::parse(time).unwrap().secs());
    let (mut people, mut makers, mut used) = (0, BTreeSet::new(), 0);
    for told in of_the_file(&deployment).await {
        let id = told.id.unwrap();
        if let Some(status) = told.status.filter(|_| id.resource_type != "api_token") {
            assert_eq!(found.statuses[&id.resource], (status.status == 1, status.details), "{}", id.resource);
            people += 1;
        }
        if id.resource_type != "api_token" {
            continue;
        }
        let secret: pb::SecretTrait = told.annotations[0].unpack("SecretTrait");
        let wanted = json!({ "resourceType": id.resource_type, "resource": id.resource });
        let resource = resources.iter().find(|resource| resource["id"] == wanted).unwrap();
        let handed = annotation(resource, "SecretTrait").unwrap();
        let times = ["createdAt", "expiresAt", "lastUsedAt"].map(|name| read(&handed[name]));
        used += usize::from(secret.last_used_at.is_some());
        assert_eq!(times, [secret.created_at, secret.expires_at, secret.last_used_at].map(at), "{resource}");
        let maker = secret.created_by_id.map(|id| json!({ "resourceType": id.resource_type, "resource": id.resource }));
        assert_eq!(handed.get("createdById"), maker.as_ref(), "{resource}");
        makers.extend(maker.map(|maker| maker.to_string()));
    }
    assert_eq!(people, found.statuses.len());
    for (kind, id) in [("invitation", jane), ("user", id_of(cloudflare, JOE))] {
        let maker = json!({ "resourceType": kind, "resource": id }).to_string();
        assert!(makers.contains(&maker), "the control: {makers:?}");
    }
    assert!(used >= 3, "the control: {used}");
}

fn change(at: &str, (kind, id): (&str, &str), (principal, of): (&str, &str)) -> Value {
    json!({ "at": at, "type": kind, "id": id, "principal": { "type": principal, "id": of } })
}

#[tokio::test]
async fn the_hosted_connector_grants_and_revokes_and_says_what_held_already() {
    let deployment = deployed().await;
    let cloudflare = &deployment.cloudflare;
    let connector = hosted(&deployment, "grants").await;
    let role = roles(cloudflare)[3].clone();
    let truth = cloudflare.truth();
    let scoped = &scoped_role_of_no_group(&truth);
    let group = truth.groups.iter().find(|(_, name)| *name != "Operators").unwrap().0;
    let kept = atom(cloudflare, &roles(cloudflare)[7]);
    for (email, kind) in [(JOE, "user"), (JANE, "invitation")] {
        let (id, member) = (id_of(cloudflare, email), cloudflare.membership_of(email).unwrap().id);
        for resource in [("role", role.governed_as()), ("scoped_role", scoped), ("group", group)] {
            let grant = format!("{}:{}:member:{kind}:{id}", resource.0, resource.1);
            for (at, already, there) in
                [("grant", "GrantAlreadyExists", true), ("revoke", "GrantAlreadyRevoked", false)]
            {
                // C1 may run an entry point again.
                let call = change(at, resource, (kind, &id));
                let (answers, _) = connector.calls(&[call.clone(), call]).await;
                let told: Vec<bool> = answers.iter().map(|answer| annotation(answer, already).is_some()).collect();
                assert_eq!(told, [false, true], "{at} {grant}: {answers:?}");
                assert_eq!(cloudflare.truth().grants.contains(&grant), there, "{at} {grant}");
            }
        }
        assert_eq!(cloudflare.member_atoms(&member), [kept.clone()].into(), "{email} has what they had");
    }
    let before = cloudflare.truth();
    let refused = [
        (
            change("revoke", ("role", roles(cloudflare)[7].governed_as()), ("user", &id_of(cloudflare, JOE))),
            "last_role",
        ),
        (change("grant", ("role", role.governed_as()), ("user", &"f".repeat(32))), "unknown_member"),
        (change("grant", ("role", role.governed_as()), ("group", group)), "invalid_request"),
    ];
    for (call, code) in refused {
        let answer = connector.call(call).await;
        assert_eq!(answer["refused"]["body"]["code"], code, "{answer}");
    }
    assert_eq!(cloudflare.truth(), before);
}

#[tokio::test]
async fn a_revoke_is_not_done_where_a_user_group_still_has_the_role_however_often_it_is_run() {
    let deployment = deployed().await;
    let cloudflare = &deployment.cloudflare;
    let connector = hosted(&deployment, "again").await;
    // Operators, whom Jane belongs to, hold the role that she holds herself too.
    let (role, spare) = (roles(cloudflare)[7].clone(), roles(cloudflare)[3].clone());
    let id = id_of(cloudflare, JANE);
    let call = |at, role: &str| change(at, ("role", role), ("invitation", &id));
    assert!(annotation(&connector.call(call("grant", spare.governed_as())).await, "GrantAlreadyExists").is_none());
    let revoke = call("revoke", role.governed_as());
    let (answers, _) = connector.calls(&[revoke.clone(), revoke]).await;
    for answer in &answers {
        assert_eq!(answer["refused"]["body"]["code"], "held_through_group", "{answers:?}");
    }
    // Whoever never held it but through the group is told which.
    cloudflare.join_group(&group_of(cloudflare, "Operators"), &cloudflare.membership_of(EVE).unwrap().id);
    let eve = id_of(cloudflare, EVE);
    let answer = connector.call(change("revoke", ("role", role.governed_as()), ("user", &eve))).await;
    assert_eq!(answer["refused"]["body"]["code"], "held_through_group", "{answer}");
    assert!(text(&answer["refused"]["body"]["detail"]).contains("Operators"));
}

#[tokio::test]
async fn the_hosted_connector_makes_and_removes_accounts_and_may_be_run_again() {
    let deployment = deployed().await;
    let cloudflare = &deployment.cloudflare;
    let connector = hosted(&deployment, "accounts").await;
    let role = roles(cloudflare)[5].clone();
    let create = |info: Value| json!({ "at": "createAccount", "info": info });

    // The mapped field comes first, then the primary address, then the login.
    let entitlement = format!("role:{}:member", role.governed_as());
    let mapped =
        json!({ "login": "x@example.com", "profile": { "email": "ann.new@example.com", "entitlement": entitlement } });
    let primary = json!({ "login": "bob", "emails": [
        { "address": "other@example.com", "isPrimary": false }, { "address": "bob.new@example.com", "isPrimary": true },
    ] });
    let login = json!({ "login": "cy.new@example.com", "profile": { "entitlement": "" } });
    for (info, email) in
        [(mapped, "ann.new@example.com"), (primary, "bob.new@example.com"), (login, "cy.new@example.com")]
    {
        let (answers, _) = connector.calls(&[create(info.clone()), create(info)]).await;
        let member = cloudflare.membership_of(email).unwrap_or_else(|| panic!("{email}: {answers:?}"));
        assert_eq!(member.status, "pending");
        for answer in &answers {
            let resource = &answer["actionRequired"]["resource"];
            assert_eq!(resource["id"], json!({ "resourceType": "invitation", "resource": member.id }), "{answer}");
            assert!(text(&answer["actionRequired"]["message"]).contains(email), "{answer}");
            assert_eq!(annotation(resource, "UserTrait").unwrap()["login"], email);
        }
        if email.starts_with("ann") {
            assert_eq!(cloudflare.member_atoms(&member.id), [atom(cloudflare, &role)].into());
        }
    }
    assert_eq!(cloudflare.memberships().len(), 36, "nobody is invited twice");

    let joe = connector.call(create(json!({ "login": JOE }))).await;
    let expected = json!({ "resourceType": "user", "resource": id_of(cloudflare, JOE) });
    assert_eq!(joe["alreadyExists"]["resource"]["id"], expected, "{joe}");
    let nobody = connector.call(create(json!({ "login": "nobody" }))).await;
    assert_eq!(nobody["refused"]["status"], 400, "{nobody}");

    for (email, kind) in [(JOE, "user"), (JANE, "invitation"), ("bob.new@example.com", "invitation")] {
        let call = json!({ "at": "delete", "type": kind, "id": id_of(cloudflare, email) });
        let (answers, _) = connector.calls(&[call.clone(), call]).await;
        assert_eq!(answers, vec![json!({ "annotations": [] }); 2], "{email}");
        assert!(cloudflare.membership_of(email).is_none());
    }
    resync(&deployment).await;
    let (found, ..) = sync(&connector).await;
    found.assert_is(&deployment, true);
    let invited: BTreeSet<String> = found.emails.into_values().filter(|email| email.contains(".new@")).collect();
    assert_eq!(invited, BTreeSet::from(["ann.new@example.com".to_owned(), "cy.new@example.com".to_owned()]));
}

#[tokio::test]
async fn a_wrong_token_is_told_when_the_hosted_connector_is_set_up() {
    let deployment = deployed().await;
    let config = json!({ "worker-url": deployment.worker.url().trim_end_matches('/'), "connector-token": "wrong" });
    let connector = Hosted::bundled("wrong", config).await;
    let answer = connector.call(json!({ "at": "validate" })).await;
    assert_eq!(
        (&answer["refused"]["status"], &answer["refused"]["body"]["code"]),
        (&json!(401), &json!("unauthorized"))
    );
}
