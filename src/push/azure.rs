//! Azure Blob Storage through a SAS URL: Put Blob for a small file, Put Block and Put Block List for a large one (Azure Storage
//! REST API, "Operations on block blobs").

use super::error::StoreError;
use super::exchange::{self, Sendable};
use super::settings::Azure;
use super::sigv4::encoded_query;
use super::upload::{Part, Target};
use crate::base::base64;
use crate::base::hash::sha256_hex;
use crate::base::ports::{Clock, Http, HttpResponse, Method};
use crate::base::remedy::set_secret;

/// The version of the REST API: old enough for every emulator and every sovereign cloud.
const VERSION: &str = "2021-12-02";

/// What people call it.
const SERVICE: &str = "Azure Blob Storage";

/// The blob that the file is written to.
#[derive(Debug)]
pub(super) struct Blob<'a, P> {
    pub(super) ports: &'a P,
    pub(super) settings: &'a Azure,
    pub(super) content_type: &'static str,
}

impl<P: Http + Clock> Blob<'_, P> {
    async fn send(
        &self,
        query: &[(&str, &str)],
        mut headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    ) -> Result<HttpResponse, StoreError> {
        if let Some(at) = self.settings.expires_at.filter(|at| *at <= self.ports.now()) {
            return Err(StoreError::Refused(format!("The SAS URL expired on {}: {NEW_SAS}.", at.date())));
        }
        headers.push(("x-ms-version", VERSION.to_owned()));
        let before = if query.is_empty() { String::new() } else { format!("{}&", encoded_query(query)) };
        let sendable = Sendable {
            method: Method::Put,
            url: format!("{}?{before}{}", self.settings.blob, self.settings.sas.expose()),
            headers,
            body: Some(body),
        };
        let answer = exchange::send(self.ports, SERVICE, sendable).await?;
        if exchange::is_done(&answer) { Ok(answer) } else { Err(self.explained(&answer)) }
    }

    /// Sends what makes a blob of what was sent: one has a tag.
    async fn whole(
        &self,
        query: &[(&str, &str)],
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    ) -> Result<(), StoreError> {
        let answer = self.send(query, headers, body).await?;
        exchange::tag(&answer, SERVICE, "AZURE_SAS_URL").map(drop)
    }

    /// Says what to do about an error (Azure Storage REST API, "Blob service error codes").
    fn explained(&self, answer: &HttpResponse) -> StoreError {
        let code = exchange::code(answer, Some("x-ms-error-code"));
        let told = exchange::told(answer, &code, "");
        let blob = &self.settings.blob;
        let refused = |todo: String| exchange::refused(&todo, &told);
        match (answer.status, code.as_str()) {
            (_, "InvalidBlockList" | "InvalidBlockId") => StoreError::UnknownUpload,
            (
                _,
                "ServerBusy" | "OperationTimedOut" | "InternalError" | "ContainerBeingDeleted" | "AccountBeingCreated",
            )
            | (408 | 429 | 500 | 502.., _) => exchange::busy(SERVICE, &told),
            (_, "ContainerNotFound") => refused(format!(
                "There is no such container: create it, or make a SAS URL of one that is there; the file was to go to {blob}"
            )),
            (_, "AuthenticationFailed") => refused(format!(
                "Azure does not accept the SAS URL; it has expired, was cut off while copying, or its key was rotated: {NEW_SAS}"
            )),
            (
                _,
                "AuthorizationPermissionMismatch"
                | "AuthorizationProtocolMismatch"
                | "AuthorizationResourceTypeMismatch"
                | "AuthorizationServiceMismatch",
            ) => refused(format!("The SAS URL does not allow to write {blob}: {NEW_SAS}")),
            (_, "AuthorizationSourceIPMismatch" | "AuthorizationFailure" | "PublicAccessNotPermitted") => {
                refused(format!(
                    "Azure does not accept the SAS URL, or its storage account lets no one in from Cloudflare's network: allow public network access under Networking, restrict no IP range in the SAS, or {NEW_SAS}"
                ))
            }
            (_, "InvalidBlobType") => refused(format!("{blob} is there already as an append or page blob: delete it")),
            (_, "LeaseIdMissing" | "BlobImmutableDueToPolicy" | "BlobOverwriteNotAllowed") => {
                refused(format!("{blob} may not be overwritten: end its lease, or remove the immutability policy"))
            }
            (401 | 403, _) => refused(format!("Azure does not accept the SAS URL: {NEW_SAS}")),
            _ => refused(format!("Azure refused the file for {blob}; see AZURE_SAS_URL")),
        }
    }

    /// Whether the file could be written, found out by a block that no list names: nothing of it is ever visible, and Azure clears it
    /// away.
    pub(super) async fn examine(&self) -> Result<(), StoreError> {
        let upload = self.begin("examination").await?;
        self.part(&upload, 0, b"?".to_vec()).await.map(drop)
    }
}

const NEW_SAS: &str = concat!(
    "make a new one under Generate SAS, with the permissions Create and Write, and set it ",
    set_secret!("AZURE_SAS_URL")
);

impl<P: Http + Clock> Target for Blob<'_, P> {
    fn name(&self) -> String {
        self.settings.blob.clone()
    }

    fn place(&self) -> String {
        self.settings.blob.clone()
    }

    async fn put(&self, body: Vec<u8>) -> Result<(), StoreError> {
        let headers = vec![("x-ms-blob-type", "BlockBlob".to_owned()), ("content-type", self.content_type.to_owned())];
        self.whole(&[], headers, body).await
    }

    /// Azure knows no uploads, only blocks by their names: the upload's id is the beginning of its blocks' names, and the same for the
    /// same subject.
    async fn begin(&self, subject: &str) -> Result<String, StoreError> {
        Ok(sha256_hex(subject.as_bytes()).chars().take(16).collect())
    }

    /// All names of a blob's blocks have one length.
    async fn part(&self, upload: &str, number: u32, body: Vec<u8>) -> Result<String, StoreError> {
        let id = base64::padded(format!("{upload}-{number:07}").as_bytes());
        self.send(&[("comp", "block"), ("blockid", &id)], Vec::new(), body).await?;
        Ok(id)
    }

    async fn complete(&self, _upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        let list = parts.iter().map(|part| format!("<Latest>{}</Latest>", part.tag)).collect::<Vec<_>>().concat();
        let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{list}</BlockList>");
        let headers = vec![
            ("content-type", "application/xml".to_owned()),
            ("x-ms-blob-content-type", self.content_type.to_owned()),
        ];
        self.whole(&[("comp", "blocklist")], headers, body.into_bytes()).await
    }

    /// Blocks that no list names are cleared away with the next list, or after a week.
    async fn abort(&self, _upload: &str) -> Result<(), StoreError> {
        Ok(())
    }
}
