//! One request to a store and its answer: what S3 and Azure begin alike.

use super::error::{StoreError, element, quote};
use crate::base::ports::{Http, HttpRequest, HttpResponse, Method};

/// How long one request may take: 5 MiB at 200 KiB/s.
const TIMEOUT_MILLIS: u32 = 25_000;

/// An answer is a few elements of XML, or nothing.
const MAX_ANSWER: usize = 64 * 1024;

/// A request, signed in whatever way its store wants it: by a header or in its query, so that it is never printed.
pub(super) struct Sendable {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Vec<u8>>,
}

/// Sends a request. `service` is what people call the store.
pub(super) async fn send<P: Http>(ports: &P, service: &str, sendable: Sendable) -> Result<HttpResponse, StoreError> {
    let Sendable { method, url, headers, body } = sendable;
    let request =
        HttpRequest { method, url, headers, bearer: None, body, timeout_millis: TIMEOUT_MILLIS, max_bytes: MAX_ANSWER };
    ports.send(request).await.map_err(|error| StoreError::Busy(format!("{service} does not answer: {error}.")))
}

/// The tag of what a store took: each gives one, so what answers without is none, whatever its status. `variable` says where the store is.
pub(super) fn tag(answer: &HttpResponse, service: &str, variable: &str) -> Result<String, StoreError> {
    match answer.header("etag") {
        Some(etag) if !etag.is_empty() && etag.len() <= 200 && !etag.contains(['<', '>', '&']) => Ok(etag.to_owned()),
        _ => Err(StoreError::Busy(format!(
            "{service} took it without an ETag, which every store gives: see {variable}."
        ))),
    }
}

/// Whether a store did what it was asked.
pub(super) fn is_done(answer: &HttpResponse) -> bool {
    (200..300).contains(&answer.status)
}

/// The code of a store's error: a header's where it has one, or the document's.
pub(super) fn code(answer: &HttpResponse, header: Option<&str>) -> String {
    let told = header.and_then(|name| answer.header(name)).map(quote);
    told.or_else(|| element(&answer.body, "Code").map(|code| quote(&code))).unwrap_or_default()
}

/// What a store told, as a message quotes it.
pub(super) fn told(answer: &HttpResponse, code: &str, said: &str) -> String {
    match (code, said) {
        ("", _) => format!("HTTP {}", answer.status),
        (code, "") => format!("HTTP {}, {code}", answer.status),
        (code, said) => format!("HTTP {}, {code}: {said}", answer.status),
    }
}

/// A refusal: what to do, and what the store told.
pub(super) fn refused(todo: &str, told: &str) -> StoreError {
    StoreError::Refused(format!("{todo} ({told})."))
}

/// What may work later.
pub(super) fn busy(service: &str, told: &str) -> StoreError {
    StoreError::Busy(format!("{service} could not take the file just now ({told})."))
}
