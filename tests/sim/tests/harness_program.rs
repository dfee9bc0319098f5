//! The simulators as programs of their own.

use std::process::Stdio;
use std::time::Duration;

use crate::conductorone_support::{Act, Receiver};
use serde_json::Value;
use sim::client::{self, Answer};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const PATIENCE: Duration = Duration::from_mins(2);

/// A program that runs until it is dropped, and its first line of output.
struct Program {
    said: String,
    _output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Program {
    async fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
        let mut child = command.args(arguments).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        Self { said, _output: lines, _child: child }
    }
}

async fn get(url: &str) -> Answer {
    client::send(reqwest::Client::new().get(url), PATIENCE).await.unwrap()
}

#[tokio::test]
async fn the_simulators_say_where_they_are() {
    let tenant = Program::start(&["conductorone", "--port", "0"]).await;
    let url = tenant.said.strip_prefix("C1_URL=").unwrap();
    assert_eq!(get(&format!("{url}/auth/v1/jwks")).await.json()["keys"].as_array().unwrap().len(), 3);

    let account = Program::start(&["cloudflare", "--port", "0", "--members", "3"]).await;
    let url = account.said.strip_prefix("CLOUDFLARE_API_URL=").unwrap();
    let refused = get(&format!("{url}/accounts")).await;
    assert_eq!(refused.json()["success"], false, "{}", refused.text());
}

#[tokio::test]
async fn webhooks_are_sent_from_the_command_line() {
    let receiver = Receiver::start([
        Act::Answer(200, r#"{"version":"v1"}"#),
        Act::Answer(200, r#"{"version":"v1","complete":{"comment":"granted"}}"#),
        Act::Answer(410, ""),
    ])
    .await;
    let url = receiver.url();
    let role = ["--role", "05784afa30c1afe1440e79d9351c7430", "--email", "a@example.com", "--task", "one"];
    let deliver = async |event: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
        command.args(["deliver", "--to", &url]).args(event).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(deliver(&["test"]).await.0);
    let (good, said) = deliver(&[&["grant"], role.as_slice()].concat()).await;
    assert!(good && said.starts_with("200 in ") && said.contains("granted"), "{said}");
    assert!(!deliver(&[&["revoke"], role.as_slice()].concat()).await.0);

    let events: Vec<Value> = receiver.requests().iter().map(sim::http::Request::json).collect();
    let task = |event: &Value| event["payload"]["taskView"]["task"]["id"].clone();
    assert_eq!((task(events.get(1).unwrap()), task(events.get(2).unwrap())), ("one".into(), "one".into()));
}
