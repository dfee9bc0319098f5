//! wrangler.toml is what wrangler accepts, and binds what the Worker asks for.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod wrangler;

use std::time::Duration;

use tokio::io::AsyncReadExt;
use wrangler::{Scratch, Wrangler};

/// A dry run takes about a second; the rest is for a build that was not fresh, which wrangler then makes.
const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::test]
async fn a_dry_run_of_the_deployment_passes_without_a_warning_and_lists_every_binding() {
    let scratch = Scratch::new("wrangler-dry-run");
    let output = scratch.path("out");
    let mut run =
        Wrangler::start(&scratch, ["deploy".as_ref(), "--dry-run".as_ref(), "--outdir".as_ref(), output.as_os_str()]);
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let (mut out, mut err) = (run.child.stdout.take().unwrap(), run.child.stderr.take().unwrap());
    let finished = async {
        let (out, err, status) =
            tokio::join!(out.read_to_string(&mut stdout), err.read_to_string(&mut stderr), run.child.wait());
        out.and(err).and(status)
    };
    let status = tokio::time::timeout(PATIENCE, finished).await.expect("wrangler ends in time").unwrap();
    let said = format!("{stdout}\n{stderr}");

    assert!(status.success(), "{said}");
    assert!(!said.contains("WARNING"), "{said}");
    // Names only: who deploys fills the values in, and the tests still pass.
    for (binding, resource) in [
        ("env.STATE", "KV Namespace"),
        ("env.COORDINATOR (Coordinator)", "Durable Object"),
        ("env.CLOUDFLARE_ACCOUNT_ID", "Environment Variable"),
        ("env.C1_TENANT", "Environment Variable"),
        ("env.PUBLIC_URL", "Environment Variable"),
        ("env.PROVISIONING", "Environment Variable"),
        ("env.PLAN", "Environment Variable"),
    ] {
        let listed = said.lines().any(|line| {
            line.strip_prefix(binding).is_some_and(|rest| rest.starts_with(' ')) && line.trim_end().ends_with(resource)
        });
        assert!(listed, "{binding} should be a {resource}:\n{said}");
    }
    let uploads_wasm = std::fs::read_dir(&output)
        .unwrap()
        .any(|entry| entry.unwrap().path().extension().is_some_and(|extension| extension == "wasm"));
    assert!(uploads_wasm, "the compiled Worker should be among what is uploaded");
}
