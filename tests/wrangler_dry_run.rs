//! wrangler.toml is what wrangler accepts, and binds what the Worker asks for; what it uploads names nothing of the machine that built it.

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
    let wasm = std::fs::read_dir(&output)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .expect("the compiled Worker is among what is uploaded");
    // A panic's place, and a word that such a place has, for a control.
    let wasm = String::from_utf8_lossy(&std::fs::read(wasm).unwrap()).into_owned();
    assert!(wasm.contains("src/worker/edge.rs") && wasm.contains("/src/lib.rs"), "the places of panics are there");
    let here = [env!("CARGO_MANIFEST_DIR"), ".cargo/registry"].map(ToOwned::to_owned);
    for folder in here.into_iter().chain(std::env::var("HOME").ok().filter(|home| home.len() > 5)) {
        assert!(!wasm.contains(&folder), "the Worker names {folder}, a folder of whoever built it");
    }
}
