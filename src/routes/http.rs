//! A request, its answer, and the error that an answer may be: `application/problem+json` (RFC 9457), each with a `code` that
//! programs may rely on.

use std::fmt;
use std::pin::Pin;

use futures::Stream;
use serde::Serialize;

use crate::base::ports::Method;
use crate::base::time::Timestamp;

/// A request as the runtime read it.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The method.
    pub method: Method,
    /// The scheme and the host that it was sent to, such as `https://connector.example.com`. Whoever asks may have made the host up.
    pub origin: String,
    /// The path, as on the wire.
    pub path: String,
    /// The query's parameters, decoded.
    pub query: Vec<(String, String)>,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

/// A request's body.
#[derive(Clone, Debug)]
pub enum Body {
    /// Read to its end.
    Read(Vec<u8>),
    /// Longer than this many bytes, which is the limit of its path, and not read further than that.
    TooLarge(usize),
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Content,
}

/// The pieces of a body. One that fails is the last, and the transfer is broken off.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Vec<u8>, String>>>>;

/// A response's body.
pub enum Content {
    /// All of it.
    Bytes(Vec<u8>),
    /// Made while it is sent; its length in bytes.
    Stream(Pieces, u64),
    /// Of a length that is not known, and not sent: the answer to `HEAD`.
    Unsent,
}

impl Answer {
    /// An answer that nobody keeps.
    pub(super) fn of(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned()), ("Cache-Control", "no-store".to_owned())];
        Self { status, headers, body: Content::Bytes(body) }
    }

    /// A JSON answer.
    pub(super) fn json(status: u16, body: &impl Serialize) -> Self {
        Self::written(status, &|into| body.serialize(&mut serde_json::Serializer::new(into)))
    }

    /// The same without the body's type, so that it is compiled once.
    fn written(status: u16, write: &dyn Fn(&mut Vec<u8>) -> serde_json::Result<()>) -> Self {
        let mut body = Vec::with_capacity(128);
        // Our own types serialise; should one not, the client reads `null` rather than nothing.
        if write(&mut body).is_err() {
            body = b"null".to_vec();
        }
        Self::of(status, "application/json", body)
    }

    /// Sets a header, in the place of one that is there.
    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
    }

    /// That it is done, and there is nothing to show.
    pub(super) const fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), body: Content::none() }
    }
}

impl Content {
    /// An empty body.
    pub(super) const fn none() -> Self {
        Self::Bytes(Vec::new())
    }

    /// The bytes; of a body that is made while it is sent there are none yet.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Stream(..) | Self::Unsent => &[],
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_, length) => write!(f, "a stream of {length} bytes"),
            Self::Unsent => f.write_str("nothing of unknown length"),
        }
    }
}

impl Incoming {
    /// The first value of a header; `name` in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of the query.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the client has what has this tag.
    pub(super) fn knows(&self, tag: &str) -> bool {
        self.header("if-none-match").is_some_and(|known| names(known, tag))
    }

    /// The bytes of the body.
    pub(super) fn bytes(&self) -> Result<&[u8], Problem> {
        match &self.body {
            Body::Read(bytes) => Ok(bytes),
            Body::TooLarge(limit) => Err(Problem::too_large(*limit)),
        }
    }
}

/// Whether a list of entity tags has this one. The comparison is the weak one (RFC 9110 section 13.1.2): two representations of one resource are
/// equal here.
pub(super) fn names(list: &str, tag: &str) -> bool {
    let tag = opaque(tag);
    list.split(',').map(opaque).any(|known| known == "*" || known == tag)
}

/// A tag without its strength.
fn opaque(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/")
}

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
        Self::new(404, "not_found", "there is nothing at this path; GET /v1/openapi.json lists the routes")
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", detail)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(413, "body_too_large", format!("the body is longer than {limit} bytes"))
    }

    pub(super) fn unavailable(code: &'static str, detail: impl Into<String>, retry_after_secs: i64) -> Self {
        Self::new(503, code, detail).retry_after(retry_after_secs)
    }

    /// It may be done later: at a time that is known, or in a moment.
    pub(super) fn not_now(detail: String, retry_at: Option<Timestamp>, now: Timestamp) -> Self {
        Self::unavailable("not_now", detail, retry_at.map_or(5, |at| at.since(now) / 1000))
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
        answer.set("Content-Type", "application/problem+json");
        answer.headers.extend(self.headers);
        answer
    }
}

/// RFC 9457 section 4.2.1: with `about:blank` the title is the status's own phrase.
const fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::{Problem, names};
    use crate::base::time::Timestamp;

    #[test]
    fn a_problem_has_the_phrase_of_its_status_for_a_title() {
        let title = |status| {
            let answer = Problem::new(status, "code", "why").into_answer();
            let told: serde_json::Value = serde_json::from_slice(answer.body.bytes()).unwrap();
            told["title"].as_str().unwrap().to_owned()
        };
        assert_eq!([403, 404, 412].map(title), ["Forbidden", "Not Found", "Precondition Failed"]);
    }

    #[test]
    fn a_version_is_compared_without_regard_to_its_strength() {
        assert!(names("W/\"a\", \"b\"", "W/\"b\"") && names("*", "\"x\"") && !names("\"c\"", "W/\"b\""));
    }

    #[test]
    fn what_cannot_be_done_now_says_when_it_may_be() {
        let now = Timestamp::from_secs(1_800_000_000);
        let wait = |at| Problem::not_now(String::new(), at, now).headers;
        for (at, secs) in [(None, "5"), (Some(now.plus_secs(90)), "90"), (Some(now), "1")] {
            assert_eq!(wait(at), [("Retry-After", secs.to_owned())]);
        }
    }
}
