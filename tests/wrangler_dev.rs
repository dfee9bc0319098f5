//! The Worker starts as wrangler.toml describes it, with wrangler's own KV and Durable Objects.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod wrangler;

use std::sync::Arc;
use std::time::Duration;

use sim::http::{Handler, Reply, ReplyFuture, Request, Server};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use wrangler::{Scratch, Wrangler};

/// wrangler starts in about three seconds; the rest is for a build that was not fresh, which it then makes.
const PATIENCE: Duration = Duration::from_mins(5);
/// One request to a Worker that runs already.
const REQUEST_PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_worker_answers_under_wrangler_dev() {
    let upstream = Server::start(0, Arc::new(Unavailable)).await.unwrap();
    let scratch = Scratch::new("wrangler-dev");
    let variables = scratch.path("variables");
    std::fs::write(&variables, variables_file(&upstream.url())).unwrap();
    let state = scratch.path("state");
    let mut dev = Wrangler::start(
        &scratch,
        [
            "dev".as_ref(),
            "--local".as_ref(),
            "--ip=127.0.0.1".as_ref(),
            "--port=0".as_ref(),
            "--inspector-port=0".as_ref(),
            "--show-interactive-dev-session=false".as_ref(),
            "--persist-to".as_ref(),
            state.as_os_str(),
            // In the place of the developer's own .dev.vars.
            "--env-file".as_ref(),
            variables.as_os_str(),
        ],
    );
    let address = tokio::time::timeout(PATIENCE, ready(&mut dev)).await.expect("wrangler is ready in time");

    let health = get(&address, "/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");

    let unknown = get(&address, "/no-such-route").await;
    assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");

    drop(dev);
    assert!(is_gone(&address).await, "wrangler's runtime should not outlive the test");
}

/// Whether nobody listens there any more; a killed process may take a moment to let go of its port.
async fn is_gone(address: &str) -> bool {
    for _ in 0..50 {
        if TcpStream::connect(address).await.is_err() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Stands for both services: this test needs neither, but the Worker must not reach the real ones.
struct Unavailable;

impl Handler for Unavailable {
    fn handle(self: Arc<Self>, _request: Request) -> ReplyFuture {
        Box::pin(async { Reply::text(503, "text/plain", "not in this test") })
    }
}

fn variables_file(upstream: &str) -> String {
    [
        ("CLOUDFLARE_ACCOUNT_ID", "0123456789abcdef0123456789abcdef"),
        ("CLOUDFLARE_API_TOKEN", "a-token-of-the-test"),
        ("CONNECTOR_TOKEN", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        ("C1_TENANT", "acme.conductor.one"),
        ("PUBLIC_URL", "https://connector.example.com"),
        ("CLOUDFLARE_API_URL", upstream),
        ("C1_URL", upstream),
    ]
    .map(|(name, value)| format!("{name}=\"{value}\"\n"))
    .concat()
}

/// Reads what wrangler prints until it names the address it serves on; what comes later is read and thrown away, so that
/// wrangler never waits for a full pipe.
async fn ready(dev: &mut Wrangler) -> String {
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
            return address.trim().to_owned();
        }
        said.push_str(&line);
        said.push('\n');
    }
    panic!("wrangler ended before it served:\n{said}\n{}", errors.await.unwrap());
}

async fn drain<R: tokio::io::AsyncRead + Unpin>(mut lines: Lines<BufReader<R>>) {
    while let Ok(Some(_)) = lines.next_line().await {}
}

/// The whole response to a GET, as it came over the wire.
async fn get(address: &str, path: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        String::from_utf8_lossy(&response).into_owned()
    };
    tokio::time::timeout(REQUEST_PATIENCE, exchange).await.expect("the Worker answers in time")
}
