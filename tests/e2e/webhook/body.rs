//! Bodies that are too large.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::deployment::{Deployment, assert_is_problem};

/// What a webhook's body may have at most.
const LIMIT: usize = 1024 * 1024;

/// A body of exactly this many bytes that means nothing and is well-formed.
fn padded(bytes: usize) -> String {
    let empty = json!({ "version": "v1", "event": "c1.webhooks.v1.PayloadTest", "padding": "" }).to_string();
    empty.replace("\"padding\":\"\"", &format!("\"padding\":\"{}\"", "x".repeat(bytes - empty.len())))
}

#[tokio::test]
async fn a_body_of_one_megabyte_is_read_and_one_byte_more_is_not() {
    let deployment = Deployment::start().await;
    let largest = deployment.c1.test_event().with_body(padded(LIMIT));
    assert_eq!(deployment.send(&largest).await.status, 200);
    let answer = deployment.send(&deployment.c1.test_event().with_body(padded(LIMIT + 1))).await;
    assert_eq!(answer.status, 413);
    assert_eq!(assert_is_problem(&answer, "too large"), "body_too_large");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_not_read_past_the_limit() {
    let deployment = Deployment::start().await;
    let address = deployment.worker.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"POST /webhooks/conductorone HTTP/1.1\r\nhost: connector\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    for _ in 0..17 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    // The body has not ended, and never will: the answer must come all the same.
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(crate::deployment::PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(deployment.c1.jwks_fetches(), 0);
}
