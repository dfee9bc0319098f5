//! The Worker starts as wrangler.toml describes it, with wrangler's own KV and Durable Objects.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "wrangler/io.rs"]
mod io;
#[path = "wrangler/page.rs"]
mod page;
#[path = "wrangler/up.rs"]
mod up;
mod wrangler;

use std::sync::Arc;
use std::time::Duration;

use sim::cloudflare::{Cloudflare, Spec};
use sim::harness::workerd::CONNECTOR_TOKEN;
use sim::http::{Handler, Reply, ReplyFuture, Request, Server};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use wrangler::{Scratch, Wrangler};

/// wrangler starts in about three seconds; the rest is for a build that was not fresh, which it then makes.
const PATIENCE: Duration = Duration::from_mins(5);
/// One request to a Worker that runs already.
const REQUEST_PATIENCE: Duration = Duration::from_mins(2);
/// A sync of a small account takes about a second.
const SYNC_PATIENCE: Duration = Duration::from_mins(5);

#[tokio::test]
async fn the_worker_answers_and_syncs_under_wrangler_dev() {
    let cloudflare = Cloudflare::new(Spec { members: 60, roles: 12, ..Spec::default() });
    let account = Server::start(0, Arc::new(cloudflare.clone())).await.unwrap();
    let tenant = Server::start(0, Arc::new(Unavailable)).await.unwrap();
    let scratch = Scratch::new("wrangler-dev");
    let (dev, address) = start(&scratch, &variables_file(&cloudflare, &account, &tenant)).await;

    assert_eq!(get(&address, "/healthz").await.0, 200);
    assert_eq!(get(&address, "/no-such-route").await.0, 404);

    // The runtime's own /cdn-cgi/handler/scheduled does not reach a Worker that has assets in this version of wrangler.
    let (status, body) = get(&address, "/__scheduled").await;
    assert_eq!(status, 200, "the cron trigger: {body}");
    let synced = async {
        loop {
            let (status, body) = get(&address, "/v1/status").await;
            assert_eq!(status, 200, "{body}");
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_ne!(body["state"], "error", "{body}");
            if body["state"] == "connected" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(SYNC_PATIENCE, synced).await.expect("the sync ends in time");
    let (status, users) = get(&address, "/v1/users?limit=1").await;
    assert_eq!(status, 200, "the snapshot comes out of wrangler's KV: {users}");

    drop(dev);
    assert!(is_gone(&address).await, "wrangler's runtime should not outlive the test");
}

/// Starts the Worker as a developer does, with these variables, and gives its address.
async fn start(scratch: &Scratch, variables: &str) -> (Wrangler, String) {
    start_at(scratch, variables, "0").await
}

/// How many times a port is tried that somebody else may have for a moment.
const TRIES: usize = 20;

/// The same at a port; 0 is any.
async fn start_at(scratch: &Scratch, variables: &str, port: &str) -> (Wrangler, String) {
    let file = scratch.path("variables");
    std::fs::write(&file, variables).unwrap();
    let state = scratch.path("state");
    let mut tries = 0;
    loop {
        tries += 1;
        let mut dev = Wrangler::start(
            scratch,
            [
                "dev".as_ref(),
                "--local".as_ref(),
                "--test-scheduled".as_ref(),
                "--ip=127.0.0.1".as_ref(),
                format!("--port={port}").as_ref(),
                "--inspector-port=0".as_ref(),
                "--show-interactive-dev-session=false".as_ref(),
                "--persist-to".as_ref(),
                state.as_os_str(),
                // In the place of the developer's own .dev.vars.
                "--env-file".as_ref(),
                file.as_os_str(),
            ],
        );
        match tokio::time::timeout(PATIENCE, ready(&mut dev)).await.expect("wrangler is ready in time") {
            Ok(address) => return (dev, address),
            Err(said) => assert!(port != "0" && tries < TRIES, "wrangler ended before it served:\n{said}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Whether nobody listens there any more; a killed process may take a moment to let go of its port.
async fn is_gone(address: &str) -> bool {
    for _ in 0..600 {
        if TcpStream::connect(address).await.is_err() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Stands for ConductorOne, which this test does not need, but the Worker must not reach the real one.
struct Unavailable;

impl Handler for Unavailable {
    fn handle(self: Arc<Self>, _request: Request) -> ReplyFuture {
        Box::pin(async { Reply::text(503, "text/plain", "not in this test") })
    }
}

fn variables_file(cloudflare: &Cloudflare, account: &Server, tenant: &Server) -> String {
    [
        ("CLOUDFLARE_ACCOUNT_ID", cloudflare.account_id()),
        ("CLOUDFLARE_API_TOKEN", cloudflare.token()),
        ("CLOUDFLARE_API_URL", format!("{}/client/v4", account.url())),
        ("CONNECTOR_TOKEN", CONNECTOR_TOKEN.to_owned()),
        ("C1_TENANT", "acme.conductor.one".to_owned()),
        ("C1_URL", tenant.url()),
        ("PUBLIC_URL", "https://connector.example.com".to_owned()),
    ]
    .map(|(name, value)| format!("{name}=\"{value}\"\n"))
    .concat()
}

/// Reads what wrangler prints until it names the address it serves on; what comes later is read and thrown away, so that
/// wrangler never waits for a full pipe. Where it ends before that, all that it printed.
async fn ready(dev: &mut Wrangler) -> Result<String, String> {
    let mut stderr = BufReader::new(dev.child.stderr.take().unwrap()).lines();
    let mut stdout = BufReader::new(dev.child.stdout.take().unwrap()).lines();
    let errors = tokio::spawn(async move {
        let mut said = String::new();
        while let Ok(Some(line)) = stderr.next_line().await {
            said.push_str(&line);
            said.push('\n');
        }
        said
    });
    let mut said = String::new();
    while let Ok(Some(line)) = stdout.next_line().await {
        if let Some((_, address)) = line.split_once("Ready on http://") {
            tokio::spawn(drain(stdout));
            return Ok(address.trim().to_owned());
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(format!("{said}\n{}", errors.await.unwrap()))
}

async fn drain<R: tokio::io::AsyncRead + Unpin>(mut lines: Lines<BufReader<R>>) {
    while let Ok(Some(_)) = lines.next_line().await {}
}

/// The status and the body of an authorized GET. The connection may stay open, so the body ends where its length says.
async fn get(address: &str, path: &str) -> (u16, String) {
    let exchange = async {
        let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {CONNECTOR_TOKEN}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.split(' ').next().and_then(|digits| digits.parse().ok()).unwrap();
            } else if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        (status, String::from_utf8(body).unwrap())
    };
    tokio::time::timeout(REQUEST_PATIENCE, exchange).await.expect("the Worker answers in time")
}
