//! What belongs to an account goes by the account: another one is configured, and a version comes that keeps them apart.

use std::sync::Arc;

use serde_json::json;
use sim::cloudflare::{Cloudflare, Spec};
use sim::harness::CLOUDFLARE_HOST;
use sim::harness::kv::name_of;
use sim::harness::workerd::{kv_prefix, object_id};

use crate::deployment::{Deployment, assert_is_problem, small, snapshot};
use crate::jane::Jane;

/// Deploys the connector for an account.
async fn configure(deployment: &Deployment, account: &Cloudflare) {
    deployment.gateway.route(CLOUDFLARE_HOST, Arc::new(account.clone()));
    deployment.worker.set_var("CLOUDFLARE_ACCOUNT_ID", &account.account_id());
    deployment.worker.set_var("CLOUDFLARE_API_TOKEN", &account.token());
    deployment.worker.restart().await.unwrap();
}

#[tokio::test]
async fn another_account_finds_nothing_of_the_first_and_changing_back_finds_the_first_again() {
    let deployment = Deployment::with(Spec { members: 30, ..small() }, |options| options).await.synced().await;
    let first = snapshot(&deployment, 100).await;
    let other = Cloudflare::new(Spec {
        account_id: "f174e90afafe4643bbbc4a0ed4fc8415".to_owned(),
        seed: 99,
        members: 5,
        ..small()
    });
    configure(&deployment, &other).await;
    let status = deployment.json("/v1/status").await;
    assert_eq!((&status["state"], &status["generations"]), (&json!("not_connected"), &json!([])), "{status}");
    assert_eq!(deployment.json("/v1/operations").await["items"], json!([]));
    for path in ["/v1/users", "/v1/grants", "/v1/export/sync.c1z"] {
        let answer = deployment.get(path).await;
        assert_eq!((answer.status, assert_is_problem(&answer, path).as_str()), (503, "no_snapshot"));
    }
    // All of the first account's people are gone, which is nobody's mistake.
    let status = deployment.world.sync().await.unwrap();
    assert_eq!(
        (&status["state"], &status["runs"][0]["outcome"]),
        (&json!("connected"), &json!("published")),
        "{status}"
    );
    assert_eq!(snapshot(&deployment, 100).await, other.truth());
    configure(&deployment, &deployment.cloudflare).await;
    assert_eq!(deployment.json("/v1/status").await["state"], "connected");
    assert_eq!(snapshot(&deployment, 100).await, first);
}

#[tokio::test]
async fn what_the_version_before_left_under_names_without_an_account_is_taken_over() {
    let jane = Jane::start().await;
    let granted = jane.call("PUT", &jane.lacks).await;
    assert_eq!(granted.status, 200, "{}", granted.text());
    let deployment = &jane.deployment;
    let operations = deployment.json("/v1/operations").await;
    let before = snapshot(deployment, 100).await;
    deployment.worker.kill().await;

    // As that version would have left it.
    let account = deployment.cloudflare.account_id();
    let (own, former) = (object_id(&account), object_id("account"));
    let directory = deployment.worker.databases();
    let path = |object: &str, end: &str| directory.join(format!("{object}.sqlite{end}"));
    if path(&former, "").exists() {
        let database = rusqlite::Connection::open(path(&former, "")).unwrap();
        let tables = "SELECT COUNT(*) FROM sqlite_master WHERE name NOT LIKE '\\_cf\\_%' ESCAPE '\\'";
        let made: i64 = database.query_row(tables, [], |row| row.get(0)).unwrap();
        assert_eq!(made, 0, "where there was nothing before, nothing is made");
    }
    {
        let database = rusqlite::Connection::open(path(&own, "")).unwrap();
        database
            .execute_batch(
                "UPDATE meta SET value = '2' WHERE name = 'schema';
                 DELETE FROM meta WHERE name = 'predecessor';
                 DROP TABLE legacy_value;
                 DROP TABLE renewed;
                 DROP TABLE looked_through;
                 ALTER TABLE operation DROP COLUMN carried_out;
                 ALTER TABLE operation DROP COLUMN wrote_at;
                 DROP INDEX expiry_member;
                 ALTER TABLE expiry DROP COLUMN member;
                 ALTER TABLE sent DROP COLUMN held;
                 ALTER TABLE finding DROP COLUMN extent;
                 ALTER TABLE finding DROP COLUMN accepted_extent;
                 DROP INDEX decision_lately;
                 PRAGMA wal_checkpoint(TRUNCATE);",
            )
            .unwrap();
    }
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(path(&former, end));
        let _ = std::fs::rename(path(&own, end), path(&former, end));
    }
    for (key, value) in deployment.kv.contents() {
        assert!(key.starts_with(&kv_prefix(&account)), "{key}");
        deployment.kv.delete(&key);
        deployment.kv.put(name_of(&key), value);
    }

    deployment.worker.restart().await.unwrap();
    let status = deployment.json("/v1/status").await;
    assert_eq!(status["state"], "connected", "{status}");
    assert_eq!(deployment.json("/v1/operations").await, operations);
    assert_eq!(snapshot(deployment, 100).await, before, "the overlay of a moment ago included");
    // Numbers go on where they were.
    let revoked = jane.call("DELETE", &jane.lacks).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    let number = |operations: &serde_json::Value| operations["items"][0]["id"].as_i64().unwrap();
    assert_eq!(number(&deployment.json("/v1/operations").await), number(&operations) + 1);
    let status = deployment.world.sync().await.unwrap();
    assert_eq!(status["runs"][0]["outcome"], "published", "{status}");
    assert!(deployment.kv.keys().contains(&format!("{}current", kv_prefix(&account))));
    assert_eq!(snapshot(deployment, 100).await, deployment.cloudflare.truth());
}
