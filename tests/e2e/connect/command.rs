//! `make connect` itself.

use std::process::{Output, Stdio};

use serde_json::json;
use sim::conductorone::{App, Entitlement};
use sim::harness::workerd::CONNECTOR_TOKEN;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::connected::{Connected, prepared};

async fn make(connected: &Connected, arguments: &[&str]) -> Output {
    let mut command = Command::new("make");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["--no-print-directory", "connect"]);
    command.arg(format!("URL={}", connected.worker.url())).arg(format!("TOKEN={CONNECTOR_TOKEN}")).args(arguments);
    command.env("LOOK_MS", "50").kill_on_drop(true).output().await.unwrap()
}

/// The same at a terminal, where a person answers what is asked of them.
async fn answered(connected: &Connected, answer: &str) -> Output {
    let mut command = Command::new("python3");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["tests/wrangler/terminal.py", "node", "scripts/connect.mjs"]);
    command.env("URL", connected.worker.url()).env("TOKEN", CONNECTOR_TOKEN).env("LOOK_MS", "50");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let answers = json!([["Type yes to connect it", format!("{answer}\n")]]).to_string();
    child.stdin.take().unwrap().write_all(answers.as_bytes()).await.unwrap();
    child.wait_with_output().await.unwrap()
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

    let output = make(&connected, &[&format!("APP={}", connected.app.id)]).await;
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

/// Whoever owns an app in the tenant can have it look like the account's.
#[tokio::test]
async fn an_app_that_nobody_named_is_connected_once_somebody_at_a_terminal_says_that_it_is_the_right_one() {
    let connected = prepared(|options| options).await;
    let named = format!("The app is \"Cloudflare\" ({})", connected.app.id);
    let alone = make(&connected, &[]).await;
    let stderr = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(!alone.status.success() && told(&alone).contains(&named), "{alone:?}");
    assert!(stderr.contains("nobody is here to ask") && stderr.contains("APP="), "{stderr}");
    let refused = answered(&connected, "no").await;
    assert!(refused.status.code() == Some(1) && told(&refused).contains(&named), "{refused:?}");
    assert!(told(&refused).contains("nothing was changed"), "{refused:?}");
    connected.assert_untouched();
    assert!(connected.c1.webhooks().is_empty(), "nothing was connected");

    let output = answered(&connected, "yes").await;
    assert!(output.status.success() && told(&output).contains("Connected: "), "{output:?}");
    connected.assert_wired(&connected.webhook());
    // The app of the last time is no question, wherever it is asked for.
    let again = make(&connected, &[]).await;
    assert!(again.status.success() && told(&again).contains(" 0 entitlements changed"), "{again:?}");
    // Another one is, also where it is the only one that is to be seen by now.
    let twin = App { id: "2TwinTwinTwinTwinTwinTwinTw".into(), display_name: "Cloudflare (old)".into() };
    let group = Entitlement { id: "2TwinGroup".into(), ..connected.roles.last().unwrap().clone() };
    connected.c1.add_app(&twin, &[group]);
    let hidden = format!("GET /api/v1/apps/{}", connected.app.id);
    connected.c1.fail_api(&hidden, sim::conductorone::ApiFault::Status(404), None);
    let other = make(&connected, &[]).await;
    assert!(!other.status.success() && told(&other).contains(&twin.id), "{other:?}");
    assert_eq!(connected.c1.policies("2TwinGroup").0, json!({ "connector": {} }));
}

#[tokio::test]
async fn make_connect_fails_where_something_failed() {
    let connected = prepared(|options| options).await;
    connected.c1.forbid_api("POST /api/v1/apps");
    let output = make(&connected, &[&format!("APP={}", connected.app.id)]).await;
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
