//! What `src/worker/io.js` says where the runtime takes a request for none, tried under Node.

use std::process::Stdio;

use tokio::process::Command;

use crate::wrangler::PROJECT;

/// The URL of a push, and a token in a header, must not come into the log by the runtime's own words.
#[tokio::test]
async fn a_request_that_the_runtime_does_not_take_is_told_without_its_url_and_headers() {
    let mut node = Command::new("node");
    node.arg("tests/wrangler/io.mjs").current_dir(PROJECT).stdin(Stdio::null()).kill_on_drop(true);
    let output = node.output().await.unwrap_or_else(|error| panic!("node does not start: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
