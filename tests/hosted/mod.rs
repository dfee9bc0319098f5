//! Runs `c1/connector/connector.ts` under Node, on a stand-in for ConductorOne's hosted runtime.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A file of the project.
pub(crate) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// One of npm's programs, which scripts/setup.sh installs.
pub(crate) fn npm(program: &str) -> Command {
    let path = file("node_modules/.bin").join(program);
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    let mut command = Command::new(path);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// What a program that failed said.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The connector, bundled with the runtime; `name` keeps tests that run at once apart.
pub(crate) struct Hosted {
    bundle: PathBuf,
    config: Value,
    /// In place of the connector's own page size.
    pub(crate) page_size: Option<usize>,
}

impl Hosted {
    pub(crate) async fn bundled(name: &str, config: Value) -> Self {
        let bundle = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hosted-{name}.mjs"));
        let mut esbuild = npm("esbuild");
        esbuild.args(["tests/hosted/run.mjs", "--bundle", "--platform=node", "--format=esm", "--log-level=warning"]);
        for module in ["runtime", "helpers", "types"] {
            esbuild.arg(format!("--alias:@baton/{module}=./tests/hosted/runtime.mjs"));
        }
        let output = esbuild.arg(format!("--outfile={}", bundle.display())).output().await.unwrap();
        assert!(output.status.success(), "esbuild: {}", said(&output));
        Self { bundle, config, page_size: None }
    }

    /// Makes some calls, one after the other; gives their results, and what was requested for them.
    pub(crate) async fn calls(&self, calls: &[Value]) -> (Vec<Value>, Vec<String>) {
        let mut input = json!({ "config": self.config, "calls": calls });
        if let Some(size) = self.page_size {
            input["pageSize"] = json!(size);
        }
        let mut node = Command::new("node");
        node.arg(&self.bundle).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut running = node.spawn().unwrap_or_else(|error| panic!("node does not start: {error}"));
        let mut stdin = running.stdin.take().unwrap();
        stdin.write_all(input.to_string().as_bytes()).await.unwrap();
        drop(stdin);
        let output = running.wait_with_output().await.unwrap();
        assert!(output.status.success(), "the connector failed: {}", said(&output));
        let mut told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let requests = told["requests"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
        let requests = requests.collect();
        match told["results"].take() {
            Value::Array(results) => (results, requests),
            other => panic!("results were expected, not {other}"),
        }
    }

    /// Makes one call.
    pub(crate) async fn call(&self, call: Value) -> Value {
        self.calls(&[call]).await.0.remove(0)
    }
}
