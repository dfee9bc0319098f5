//! `/v1` as a program knows it that has read nothing but the `OpenAPI` document: schemathesis asks what the document allows and what it does
//! not, and every answer has to be one that the document has, and no 5xx.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sim::harness::workerd::CONNECTOR_TOKEN;
use tokio::process::Command;

use crate::deployment::Deployment;
use crate::looks::{openapi, small};

/// Of these the run has its bound below; the rest is for a busy machine.
const PATIENCE: Duration = Duration::from_mins(10);

/// The schemas of a run's own, which the program begins with, come on top.
const SECS: &str = "12";

#[tokio::test]
async fn what_knows_only_the_openapi_document_is_never_surprised() {
    let connector = Deployment::with(small(), |options| options).await.synced().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi");
    std::fs::create_dir_all(&folder).unwrap();
    let document = folder.join("openapi.json");
    std::fs::write(&document, openapi::DOCUMENT.to_string()).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/python/bin/schemathesis");
    assert!(program.is_file(), "{} is missing: run: bash scripts/setup.sh tests", program.display());
    let run = Command::new(program)
        .arg("run")
        .arg(&document)
        .args(["--url", &connector.world.worker.url()])
        .args(["--header", &format!("Authorization: Bearer {CONNECTOR_TOKEN}")])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--phases", "coverage,fuzzing", "--max-time", SECS, "--workers", "1", "--seed", "1", "--no-shrink"])
        .args(["--suppress-health-check", "all", "--warnings", "off"])
        .current_dir(&folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
