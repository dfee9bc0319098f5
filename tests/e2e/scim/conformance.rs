//! scim2-tester from the Python package index, against the built Worker.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use sim::cloudflare::Spec;
use sim::harness::workerd::CONNECTOR_TOKEN;

use crate::deployment::{Deployment, small};

/// What the tester skips, and why that is right.
const SKIPPED: [(&str, &str, &str); 5] = [
    // `active` cannot be unassigned; `patch.rs` tests that this is a 400 with the keyword `mutability`.
    ("User", "check_remove_attribute", "cannot be unassigned"),
    // Roles and user groups are Cloudflare's own, so POST and DELETE of Groups are answered 405.
    ("Group", "object_creation", "Cloudflare's own"),
    ("Group", "object_deletion", "Cloudflare's own"),
    // RFC 7644 section 3.4.3 leaves a search over all kinds of resources at once to the server; it is answered 501.
    ("User", "search_with_attributes", "not supported by the server"),
    ("Group", "search_with_attributes", "not supported by the server"),
];

#[tokio::test]
async fn scim2_tester_finds_no_error() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".tools/python/bin/python");
    assert!(python.is_file(), "{} is missing: run make setup", python.display());
    let spec = Spec { roles: 40, ..small() };
    let deployment =
        Deployment::with(spec, |options| options.var("MAX_REMOVALS_PER_HOUR", "1000")).await.synced().await;
    let run = tokio::process::Command::new(python)
        .arg(root.join("tests/scim/conformance.py"))
        .args([format!("{}/scim/v2", deployment.worker.url()).as_str(), CONNECTOR_TOKEN])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_mins(5), run).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let results: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut passed = 0;
    for result in &results {
        let is_known = SKIPPED.iter().any(|(kind, title, reason)| {
            result["type"] == *kind && result["title"] == *title && result["reason"].as_str().unwrap().contains(reason)
        });
        match result["status"].as_str().unwrap() {
            "SUCCESS" | "COMPLIANT" | "ACCEPTABLE" => passed += 1,
            "SKIPPED" if is_known => {}
            _ => panic!("{result}\n{text}"),
        }
    }
    assert!(passed >= 40, "only {passed} checks were made:\n{text}");
}
