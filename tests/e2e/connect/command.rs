//! `make connect` itself.

use std::process::Output;

use sim::harness::workerd::CONNECTOR_TOKEN;
use tokio::process::Command;

use crate::connected::{Connected, prepared};

async fn make(connected: &Connected, arguments: &[&str]) -> Output {
    let mut command = Command::new("make");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["--no-print-directory", "connect"]);
    command.arg(format!("URL={}", connected.worker.url())).arg(format!("TOKEN={CONNECTOR_TOKEN}")).args(arguments);
    command.env("LOOK_MS", "50").kill_on_drop(true).output().await.unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn make_connect_says_line_by_line_what_it_changed_and_make_undo_puts_it_back() {
    let connected = prepared(|options| options).await;
    let dry = make(&connected, &["DRY_RUN=1"]).await;
    assert!(dry.status.success(), "{dry:?}");
    assert!(told(&dry).contains("would change ") && told(&dry).contains("Nothing was changed"), "{}", told(&dry));
    connected.assert_untouched();

    let output = make(&connected, &[]).await;
    assert!(output.status.success(), "{output:?}");
    connected.assert_wired(&connected.webhook());
    for role in &connected.roles {
        let line = told(&output).lines().find(|line| line.contains(&role.display_name)).unwrap().to_owned();
        assert!(line.starts_with("changed ") && line.contains("is now this webhook"), "{line}");
    }
    let again = make(&connected, &["DRY_RUN=0", &format!("APP={}", connected.app.id)]).await;
    assert!(again.status.success() && told(&again).contains(" 0 entitlements changed"), "{}", told(&again));

    let undo = make(&connected, &["UNDO=1"]).await;
    assert!(undo.status.success() && told(&undo).contains("Disconnected"), "{}", told(&undo));
    connected.assert_untouched();
}

#[tokio::test]
async fn make_connect_fails_where_something_failed() {
    let connected = prepared(|options| options).await;
    connected.c1.forbid_api("POST /api/v1/apps");
    let output = make(&connected, &[]).await;
    assert!(!output.status.success());
    // Why it failed is said where errors are, for whoever runs it from another program.
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.contains("connect: ") && stderr.contains("may not change an entitlement's provisioning"),
        "{output:?}"
    );
    // The token goes over the wire encrypted, or not at all.
    let open = "URL=http://connector.example.com";
    for (wrong, said) in [("TOKEN=wrong", ""), ("TOKEN=", ""), ("URL=here", ""), (open, "no https:// address")] {
        let output = make(&connected, &[wrong]).await;
        assert!(!output.status.success(), "{wrong:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("connect: ") && stderr.contains(said), "{output:?}");
    }
}
