//! What the doctor asks the token for is what `make up` asks it for before a deployment, and what docs/deploying.md tells.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use sim::cloudflare::Permission;

use crate::calls::deployed;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of an exported table of permissions.mjs: each line of it is an array as JSON has them.
fn table(script: &str, name: &str) -> Vec<Value> {
    let (_, rest) = script.split_once(&format!("export const {name} = [\n")).unwrap();
    let (rows, _) = rest.split_once("];").unwrap();
    rows.lines().map(|row| serde_json::from_str(row.trim().trim_end_matches(',')).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_doctor_make_up_and_the_documents_ask_for_the_same_permissions() {
    let deployment = deployed(|options| options.var("AUDIT_FEED", "on").var("LAST_LOGINS", "on")).await;
    for permission in Permission::ALL.into_iter().filter(|permission| *permission != Permission::Write) {
        deployment.cloudflare.revoke_permission(permission);
    }
    let report = deployment.get("/v1/doctor").await.json();
    let mut examined: Vec<(String, bool, &str)> = Vec::new();
    for check in report["checks"].as_array().unwrap() {
        let Some(what) = check["name"].as_str().unwrap().strip_prefix("permission: ") else { continue };
        assert_eq!(check["ok"], false, "{check}");
        let (_, permission) = check["message"].as_str().unwrap().split_once("add the permission ").unwrap();
        examined.push((what.to_owned(), check["required"] == true, permission.split(": Read").next().unwrap()));
    }
    let script = read("scripts/up/permissions.mjs");
    let text = |row: &Value, at: usize| row[at].as_str().unwrap().to_owned();
    let reads = table(&script, "READS");
    let asked: Vec<(String, bool, String)> =
        reads.iter().map(|row| (text(row, 0), row[3] == true, text(row, 2))).collect();
    let told: Vec<(String, bool, String)> =
        examined.into_iter().map(|(what, required, permission)| (what, required, permission.to_owned())).collect();
    assert_eq!(told, asked);

    let permissions: BTreeSet<String> = table(&script, "PERMISSIONS").iter().map(|row| text(row, 0)).collect();
    let used: BTreeSet<String> = reads.iter().map(|row| text(row, 2)).collect();
    assert_eq!(permissions, used);
    let page = read("docs/deploying.md");
    let rows = page.lines().skip_while(|line| !line.starts_with("| Permission |")).skip(2);
    let documented: BTreeSet<String> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|row| row.split('|').nth(1).unwrap().trim().split_once(" · ").unwrap().1.to_owned())
        .collect();
    assert_eq!(documented, permissions);
}
