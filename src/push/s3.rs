//! S3 and what speaks its API: one PUT for a small file, an upload in parts for a large one (S3 API Reference).

use super::error::{StoreError, element, quote};
use super::exchange::{self, Sendable};
use super::settings::{Addressing, S3};
use super::sigv4::{self, Signer, UnsignedRequest, encoded_path, encoded_query};
use super::upload::{Part, Target};
use crate::base::hash::sha256_hex;
use crate::base::ports::{Clock, Http, HttpResponse, Method};
use crate::base::remedy::SET_SECRET;
use crate::base::url::Url;

/// The object that the file is written to.
#[derive(Debug)]
pub(super) struct Object<'a, P> {
    pub(super) ports: &'a P,
    pub(super) settings: &'a S3,
    pub(super) content_type: &'static str,
}

impl<P: Http + Clock> Object<'_, P> {
    /// The scheme and host, and the path, of the object.
    fn place(&self) -> (String, String) {
        let S3 { endpoint, bucket, key, addressing, .. } = self.settings;
        // The configuration has checked that it is a URL.
        let Ok(url) = Url::parse(endpoint) else { return (endpoint.clone(), String::new()) };
        let authority = url.host_and_port();
        let prefix = url.path().trim_end_matches('/');
        let (authority, path) = match addressing {
            Addressing::Virtual => (format!("{bucket}.{authority}"), format!("/{key}")),
            Addressing::Path => (authority.to_owned(), format!("/{bucket}/{key}")),
        };
        (format!("{}://{authority}", url.scheme()), format!("{prefix}{}", encoded_path(&path)))
    }

    async fn send(
        &self,
        method: Method,
        query: &[(&str, &str)],
        content_type: Option<&'static str>,
        body: Vec<u8>,
    ) -> Result<HttpResponse, StoreError> {
        let (origin, path) = self.place();
        let signer = Signer {
            access_key_id: &self.settings.access_key_id,
            secret_access_key: &self.settings.secret_access_key,
            session_token: self.settings.session_token.as_ref(),
            region: &self.settings.region,
            service: "s3",
        };
        let headers: Vec<_> = content_type.iter().map(|media| ("content-type", (*media).to_owned())).collect();
        let payload = sha256_hex(&body);
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        let request = UnsignedRequest { method, host, path: &path, query, headers: &headers, payload: &payload };
        let headers = sigv4::sign(&signer, &request, self.ports.now());
        let question = if query.is_empty() { String::new() } else { format!("?{}", encoded_query(query)) };
        let sendable = Sendable {
            method,
            url: format!("{origin}{path}{question}"),
            headers,
            // A PUT and a POST have a length, be it zero; a DELETE has no body.
            body: (method != Method::Delete).then_some(body),
        };
        let answer = exchange::send(self.ports, &self.service(), sendable).await?;
        // Completing an upload may fail with status 200 (S3 API Reference, "CompleteMultipartUpload").
        let failed = answer.status == 200 && method == Method::Post && element(&answer.body, "Code").is_some();
        if exchange::is_done(&answer) && !failed { Ok(answer) } else { Err(self.explained(&answer)) }
    }

    fn service(&self) -> String {
        let (origin, _) = self.place();
        format!("S3 at {}", origin.split_once("://").map_or("", |(_, host)| host))
    }

    fn tag(&self, answer: &HttpResponse) -> Result<String, StoreError> {
        exchange::tag(answer, &self.service(), "S3_ENDPOINT")
    }

    /// Says what to do about an error (S3 API Reference, "Error responses").
    fn explained(&self, answer: &HttpResponse) -> StoreError {
        let code = exchange::code(answer, None);
        let said = element(&answer.body, "Message").map(|message| quote(&message)).unwrap_or_default();
        let S3 { bucket, region, access_key_id, key, .. } = self.settings;
        let told = exchange::told(answer, &code, &said);
        let elsewhere = answer
            .header("x-amz-bucket-region")
            .map(quote)
            .or_else(|| element(&answer.body, "Region").map(|region| quote(&region)))
            .filter(|there| there != region);
        let refused = |todo: String| exchange::refused(&todo, &told);
        match (answer.status, code.as_str()) {
            // A part that the store has lost, or has otherwise than it was noted, is sent again with all the others.
            (_, "NoSuchUpload" | "InvalidPart" | "InvalidPartOrder" | "EntityTooSmall") => StoreError::UnknownUpload,
            (_, "SlowDown" | "RequestTimeout" | "OperationAborted" | "InternalError") | (408 | 409 | 429 | 500 | 502.., _) => {
                exchange::busy(&self.service(), &told)
            }
            (301 | 302 | 307 | 308, _) | (_, "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed") => {
                refused(match elsewhere {
                    Some(there) => format!("The bucket {bucket} is in another region: set S3_REGION to {there}"),
                    None => format!(
                        "The bucket {bucket} is not in the region {region}, or not at this endpoint: set S3_REGION to the one that its page shows, and S3_ENDPOINT if it is not at AWS"
                    ),
                })
            }
            (_, "NoSuchBucket") => refused(format!(
                "There is no bucket {bucket} at {}: create it, or put its name into S3_BUCKET",
                self.service()
            )),
            (_, "InvalidAccessKeyId") => refused(format!(
                "S3 does not know the access key {access_key_id}: put an active one into S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY"
            )),
            (_, "SignatureDoesNotMatch") => refused(format!(
                "The secret does not belong to the access key {access_key_id}: set it again {SET_SECRET}S3_SECRET_ACCESS_KEY"
            )),
            (_, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => refused(
                "The temporary credentials have expired: use an access key of an IAM user instead, and remove S3_SESSION_TOKEN"
                    .to_owned(),
            ),
            (403, "RequestTimeTooSkewed") => refused(
                "S3's clock and Cloudflare's differ by more than 15 minutes: set the clock of the server behind S3_ENDPOINT"
                    .to_owned(),
            ),
            (401 | 403, _) => refused(format!(
                "The access key {access_key_id} may not write {key} into the bucket {bucket}: its policy must allow s3:PutObject and s3:AbortMultipartUpload on arn:aws:s3:::{bucket}/{key}, and the bucket's policy must not deny it"
            )),
            _ => refused(format!("S3 refused the file for the bucket {bucket}; see the variables that begin with S3_")),
        }
    }

    /// Whether the file could be written, found out by an upload in parts that is aborted: nothing of it is ever visible.
    pub(super) async fn examine(&self) -> Result<(), StoreError> {
        let upload = self.begin("").await?;
        self.abort(&upload).await
    }
}

impl<P: Http + Clock> Target for Object<'_, P> {
    fn name(&self) -> String {
        format!("s3://{}/{}", self.settings.bucket, self.settings.key)
    }

    fn place(&self) -> String {
        let (origin, path) = Object::place(self);
        format!("{origin}{path}")
    }

    async fn put(&self, body: Vec<u8>) -> Result<(), StoreError> {
        let answer = self.send(Method::Put, &[], Some(self.content_type), body).await?;
        self.tag(&answer).map(drop)
    }

    async fn begin(&self, _subject: &str) -> Result<String, StoreError> {
        let answer = self.send(Method::Post, &[("uploads", "")], Some(self.content_type), Vec::new()).await?;
        match element(&answer.body, "UploadId") {
            // It goes into a URL and onto disk.
            Some(upload) if !upload.is_empty() && upload.len() <= 2048 => Ok(upload),
            _ => Err(StoreError::Busy(format!("{} began an upload without saying its id.", self.service()))),
        }
    }

    async fn part(&self, upload: &str, number: u32, body: Vec<u8>) -> Result<String, StoreError> {
        let number = number.to_string();
        let answer = self.send(Method::Put, &[("partNumber", &number), ("uploadId", upload)], None, body).await?;
        self.tag(&answer)
    }

    async fn complete(&self, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        let list = parts
            .iter()
            .zip(1_u32..)
            .map(|(part, number)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>", part.tag))
            .collect::<Vec<_>>()
            .concat();
        let body = format!(
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{list}</CompleteMultipartUpload>"
        );
        let query = [("uploadId", upload)];
        let answer = self.send(Method::Post, &query, Some("application/xml"), body.into_bytes()).await?;
        // The status comes first, and blanks while the parts are put together: that there is an object now is what the document says.
        match element(&answer.body, "ETag") {
            Some(_) => Ok(()),
            None => Err(StoreError::Busy(format!("{} did not say that the upload is complete.", self.service()))),
        }
    }

    async fn abort(&self, upload: &str) -> Result<(), StoreError> {
        self.send(Method::Delete, &[("uploadId", upload)], None, Vec::new()).await.map(drop)
    }
}
