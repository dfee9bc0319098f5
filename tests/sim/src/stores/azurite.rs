//! Azurite, Azure's own emulator of Blob Storage, from npm: it checks shared access signatures as Azure does.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::harness::workspace;
use crate::http::{Handler, Reply, ReplyFuture, Request};

/// The storage account's name.
pub const ACCOUNT: &str = "acme";

/// Where Azure's Blob Storage of that account is.
pub const HOST: &str = "acme.blob.core.windows.net";

/// The account's key.
const KEY: [u8; 32] = *b"a key of 32 bytes for the tests.";

/// The version of the signatures.
const VERSION: &str = "2021-12-02";

/// It is up within some seconds; a busy machine gets more.
const START: Duration = Duration::from_mins(5);

/// The emulator in a process of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Azurite {
    address: SocketAddr,
    client: reqwest::Client,
    // Kept for its drop: the process is killed.
    _child: Child,
    _directory: TempDir,
}

/// The emulator does not run.
#[derive(Debug, thiserror::Error)]
#[error("could not start Azurite, which make setup installs: {0}")]
pub struct StartError(String);

impl Azurite {
    /// Starts it with these containers.
    pub async fn with_containers(containers: &[&str]) -> Result<Arc<Self>, StartError> {
        let failed = |error: std::io::Error| StartError(error.to_string());
        let directory = tempfile::tempdir().map_err(failed)?;
        let program = workspace().join("node_modules/azurite/dist/src/blob/main.js");
        let mut child = Command::new("node")
            .arg(&program)
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--silent"])
            .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{}", STANDARD.encode(KEY)))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let output = child.stdout.take().ok_or_else(|| StartError("it has no output".to_owned()))?;
        let address = tokio::time::timeout(START, listening(BufReader::new(output)))
            .await
            .map_err(|_| StartError("it did not listen within a minute".to_owned()))?
            .ok_or_else(|| StartError(format!("{} ended at its start", program.display())))?;
        let azurite = Arc::new(Self { address, client: reqwest::Client::new(), _child: child, _directory: directory });
        for container in containers {
            let query = format!("restype=container&{}", account_sas());
            let created = azurite.send("PUT", &format!("/{container}"), &query).await?;
            if created.status() != 201 {
                return Err(StartError(format!("the container {container} could not be made: {}", created.status())));
            }
        }
        Ok(azurite)
    }

    /// A blob's bytes; `None` where it is not there.
    pub async fn blob(&self, path: &str) -> Option<Vec<u8>> {
        let answer = self.send("GET", path, &account_sas()).await.ok()?;
        (answer.status() == 200).then_some(answer)?.bytes().await.ok().map(|bytes| bytes.to_vec())
    }

    async fn send(&self, method: &str, path: &str, query: &str) -> Result<reqwest::Response, StartError> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).map_err(|error| StartError(error.to_string()))?;
        let request = self.client.request(method, format!("http://{}{path}?{query}", self.address));
        let request = request.header("host", HOST).header("x-ms-version", VERSION);
        request.send().await.map_err(|error| StartError(error.without_url().to_string()))
    }

    async fn answer(&self, request: Request) -> Option<Reply> {
        let method = reqwest::Method::from_bytes(request.method.as_bytes()).ok()?;
        let mut outgoing =
            self.client.request(method, format!("http://{}{}?{}", self.address, request.path, request.query));
        for (name, value) in &request.headers {
            // What this connection needs is its own matter; the host stays, since it says which account is meant.
            if !matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection") {
                outgoing = outgoing.header(name, value);
            }
        }
        let answer = outgoing.body(request.body).send().await.ok()?;
        let status = answer.status().as_u16();
        let headers = answer
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .filter(|(name, _)| {
                !matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection" | "keep-alive")
            })
            .collect();
        Some(Reply::Response { status, headers, body: answer.bytes().await.ok()? })
    }
}

impl Handler for Azurite {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        Box::pin(async move { self.answer(request).await.unwrap_or(Reply::Reset) })
    }
}

async fn listening<R: tokio::io::AsyncRead + Unpin>(output: BufReader<R>) -> Option<SocketAddr> {
    let mut lines = output.lines();
    while let Some(line) = lines.next_line().await.ok()? {
        if let Some((_, address)) = line.split_once("successfully listens on http://") {
            return address.trim().parse().ok();
        }
    }
    None
}

/// The URL of a container with a shared access signature (Azure Storage, "Create a service SAS"), or, with a key that is not
/// the account's, one that looks like it.
pub fn sas_url(container: &str, permissions: &str, expires: DateTime<Utc>, genuine: bool) -> String {
    let expiry = expires.to_rfc3339_opts(SecondsFormat::Secs, true);
    let resource = format!("/blob/{ACCOUNT}/{container}");
    let fields = [permissions, "", &expiry, &resource, "", "", "", VERSION, "c", "", "", "", "", "", "", ""];
    let key = if genuine { KEY } else { [7; 32] };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("sp", permissions).append_pair("se", &expiry).append_pair("sv", VERSION).append_pair("sr", "c");
    query.append_pair("sig", &signature(&key, &fields.join("\n")));
    format!("https://{HOST}/{container}?{}", query.finish())
}

/// Everything, on every container (Azure Storage, "Create an account SAS").
fn account_sas() -> String {
    let expiry = (Utc::now() + Duration::from_hours(1)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let fields = [ACCOUNT, "rwdlac", "b", "sco", "", &expiry, "", "", VERSION, "", ""];
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("sp", "rwdlac").append_pair("ss", "b").append_pair("srt", "sco");
    query.append_pair("se", &expiry).append_pair("sv", VERSION);
    query.append_pair("sig", &signature(&KEY, &fields.join("\n")));
    query.finish()
}

fn signature(key: &[u8], text: &str) -> String {
    // An HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}
