//! Errors as `application/problem+json` (RFC 9457), each with a `code` that programs may rely on.

use serde::Serialize;

use super::Answer;
use super::settings::NotConfigured;

/// An error as the client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) detail: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    pub(super) fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), headers: Vec::new() }
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "not_found", "there is nothing at this path; docs/routes.md lists the routes")
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", detail)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(413, "body_too_large", format!("the body is longer than {limit} bytes"))
    }

    /// The names of what is missing go to those who hold the token (`/v1/doctor`) and to the log, not to everybody.
    pub(super) fn not_configured(error: &NotConfigured) -> Self {
        let count = error.problems.len();
        Self::new(503, "not_configured", format!("the Worker is not configured: {count} of its variables are missing or malformed; see GET /v1/doctor or the Worker's log"))
            .retry_after(60)
    }

    pub(super) fn unavailable(code: &'static str, detail: impl Into<String>, retry_after_secs: i64) -> Self {
        Self::new(503, code, detail).retry_after(retry_after_secs)
    }

    pub(super) fn retry_after(mut self, secs: i64) -> Self {
        self.headers.push(("Retry-After", secs.max(1).to_string()));
        self
    }

    pub(super) fn into_answer(self) -> Answer {
        let document = Document {
            r#type: "about:blank",
            title: title(self.status),
            status: self.status,
            code: self.code,
            detail: &self.detail,
        };
        let mut answer = Answer::json(self.status, &document);
        answer.headers.retain(|(name, _)| *name != "Content-Type");
        answer.headers.push(("Content-Type", "application/problem+json".to_owned()));
        answer.headers.extend(self.headers);
        answer
    }
}

/// RFC 9457 section 4.2.1: with `about:blank` the title is the status's own phrase.
const fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Error",
    }
}
