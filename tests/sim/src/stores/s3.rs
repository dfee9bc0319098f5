//! An S3 server in this process: the crate `s3s` with its file system, which checks Signature Version 4 as S3 does.

use std::path::PathBuf;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use s3s::auth::SimpleAuth;
use s3s::host::SingleDomain;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;

use crate::http::{Handler, Reply, ReplyFuture, Request};

/// The access key that the server knows.
pub const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";

/// The secret that belongs to it.
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The region that tests say.
pub const REGION: &str = "eu-central-1";

/// Where AWS's S3 is in that region.
pub const HOST: &str = "s3.eu-central-1.amazonaws.com";

/// The server. Its files are gone when it is dropped.
pub struct S3 {
    service: S3Service,
    directory: TempDir,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The server could not be made.
#[derive(Debug, thiserror::Error)]
#[error("could not make the S3 server: {0}")]
pub struct StartError(String);

impl S3 {
    /// A server with these buckets.
    pub fn with_buckets(buckets: &[&str]) -> Result<Arc<Self>, StartError> {
        let failed = |error: String| StartError(error);
        let directory = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
        for bucket in buckets {
            std::fs::create_dir(directory.path().join(bucket)).map_err(|error| failed(error.to_string()))?;
        }
        let files = s3s_fs::FileSystem::new(directory.path()).map_err(|error| failed(format!("{error:?}")))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        builder.set_host(SingleDomain::new(HOST).map_err(|error| failed(error.to_string()))?);
        Ok(Arc::new(Self { service: builder.build(), directory }))
    }

    /// An object's bytes; `None` where it is not there.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.directory.path().join(bucket).join(key)).ok()
    }

    /// The parts of uploads that are neither completed nor aborted.
    pub fn loose_parts(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.directory.path()).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains(".part-")).collect()
    }

    /// The bucket that a request is for: the host's first part, or the path's.
    fn is_there(&self, request: &Request) -> bool {
        let bucket = match request.host().strip_suffix(HOST) {
            Some(bucket) if !bucket.is_empty() => bucket.trim_end_matches('.').to_owned(),
            _ => request.segments().first().cloned().unwrap_or_default(),
        };
        self.directory.path().join(bucket).is_dir()
    }

    async fn answer(&self, request: Request) -> Option<Reply> {
        // The file system would make the bucket.
        if !self.is_there(&request) {
            let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>";
            return Some(Reply::text(404, "application/xml", body));
        }
        let question = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        let mut incoming =
            hyper::Request::builder().method(request.method.as_str()).uri(format!("{}{question}", request.path));
        for (name, value) in &request.headers {
            incoming = incoming.header(name, value);
        }
        let incoming = incoming.body(s3s::Body::from(request.body)).ok()?;
        let (parts, body) = self.service.call(incoming).await.ok()?.into_parts();
        let headers = parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            // The server that sends this writes its own.
            .filter(|(name, _)| !matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection"))
            .collect();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Reply::Response { status: parts.status.as_u16(), headers, body })
    }
}

impl Handler for S3 {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        Box::pin(async move { self.answer(request).await.unwrap_or(Reply::Reset) })
    }
}
