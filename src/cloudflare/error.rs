//! Why a call to the Cloudflare API failed, by class: HTTP status first, then code, then message
//! (`reference/cloudflare.md` 3.2).

use std::fmt;

use crate::base::ports::{HttpError, SqlError};
use crate::base::time::Timestamp;

/// What Cloudflare said when it refused a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// Cloudflare's own code, which may be below 1000; absent from pages of the edge.
    pub code: Option<i64>,
    /// Cloudflare's message, at most 300 characters, without anything that looks like a token.
    pub message: String,
    /// The `cf-ray` header: what Cloudflare's support asks for.
    pub ray: Option<String>,
}

impl Failure {
    /// Whether it is a word about the path alone, and not about what is asked for (`reference/cloudflare.md` 3.2).
    const fn is_no_path(&self) -> bool {
        matches!(self.code, Some(7000 | 7003))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if let Some(code) = self.code {
            write!(f, ", code {code}")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        f.write_str(&ray_told(self.ray.as_deref()))
    }
}

/// The `cf-ray` of an answer, as it is put behind what is told of that.
pub(crate) fn ray_told(ray: Option<&str>) -> String {
    ray.map(|ray| format!(" (cf-ray {ray})")).unwrap_or_default()
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// What was asked for does not exist: HTTP 404 or 410, or code 1003.
    #[error("not found at Cloudflare: {0}")]
    NotFound(Failure),
    /// What was to be created is there already: code 1004 or 1008 for a member, or a message that says so.
    #[error("already there at Cloudflare: {0}")]
    AlreadyExists(Failure),
    /// The API token is missing, malformed, revoked or expired: HTTP 401, or a code that says so.
    #[error("Cloudflare does not accept the API token: {0}")]
    Unauthorized(Failure),
    /// The API token lacks a permission: HTTP 403.
    #[error("the API token may not do this: {0}")]
    Forbidden(Failure),
    /// Too many requests: HTTP 429. Calls are refused for up to five minutes.
    #[error("Cloudflare refuses requests until {until}, for there were too many: {failure}")]
    RateLimited {
        /// What Cloudflare said.
        failure: Failure,
        /// When to try again.
        until: Timestamp,
    },
    /// A quota of the account is used up ("add limit reached"); waiting does not help.
    #[error("a quota of the account is used up: {0}")]
    Quota(Failure),
    /// The request itself is refused: any other 4xx, or a redirect.
    #[error("Cloudflare refused the request: {0}")]
    Invalid(Failure),
    /// Cloudflare failed: 5xx, pages of its edge included; or something else is in the way for now: HTTP 408, 409.
    #[error("Cloudflare failed: {0}")]
    Server(Failure),
    /// There was no answer.
    #[error("no answer from Cloudflare: {0}")]
    Transport(HttpError),
    /// A successful answer that cannot be read.
    #[error("cannot read Cloudflare's answer: {what} ({failure})")]
    Malformed {
        /// Which field is missing or wrong, or where the body stops being JSON.
        what: String,
        /// The status and the ray of the answer.
        failure: Failure,
    },
    /// A record that came, and of which something is missing or of a form that is not known.
    #[error("Cloudflare's record of {of} cannot be read in full: {what}")]
    Unreadable {
        /// Whose record: an e-mail address, or `member` and an id.
        of: String,
        /// What is missing or odd.
        what: String,
    },
    /// Nothing was sent: the budget for requests is used up, or a block by Cloudflare is still in force.
    #[error("the budget for Cloudflare requests is used up until {until}")]
    OutOfBudget {
        /// When to try again.
        until: Timestamp,
    },
    /// Nothing was sent: as many requests as there may be at once are under way for others, or this invocation has sent as many as it may.
    #[error("not sent, since too many requests to Cloudflare are under way for others")]
    NoSeat,
    /// Nothing was sent: the request would do harm.
    #[error("not sent: {0}")]
    Refused(&'static str),
    /// The budget could not be read or written; nothing was sent.
    #[error("not sent: {0}")]
    Storage(#[from] SqlError),
}

impl ApiError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            // 501 and 505 stay as they are; 525 and 526 are a TLS failure behind the edge (`reference/cloudflare.md` 3.5).
            Self::Server(failure) => !matches!(failure.status, 501 | 505 | 525 | 526),
            Self::RateLimited { .. }
            | Self::Transport(_)
            | Self::Malformed { .. }
            | Self::OutOfBudget { .. }
            | Self::NoSeat
            | Self::Storage(_) => true,
            Self::NotFound(_)
            | Self::AlreadyExists(_)
            | Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::Quota(_)
            | Self::Invalid(_)
            | Self::Unreadable { .. }
            | Self::Refused(_) => false,
        }
    }

    /// Whether a write that ended so may have been carried out all the same; reading settles it.
    pub const fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Server(_) | Self::Transport(_) | Self::Malformed { .. })
    }

    /// The same of a removal, and of coming into a user group or leaving it: of a conflict (HTTP 409) it is known there that nothing was carried out.
    pub fn unknown_but_for_conflict(&self) -> bool {
        self.outcome_unknown() && self.status() != Some(409)
    }

    /// Whether a write that ended so may still be carried out later: nobody answered who had finished with it. A page of the
    /// edge (520 to 524, 504, a 502 without a code of the API's) says that Cloudflare's own server did not answer in time or broke off, not
    /// that it stopped (`reference/cloudflare.md` 3.5).
    pub const fn may_come_late(&self) -> bool {
        match self {
            Self::Transport(_) => true,
            Self::Server(failure) => {
                matches!(failure.status, 408 | 504 | 520..=524) || (failure.status == 502 && failure.code.is_none())
            }
            _ => false,
        }
    }

    /// What an answer means about something whose id Cloudflare gave, a member's, a group's or a token's: that the API has no such path (codes 7000 and 7003) says
    /// nothing of whether it is there (`reference/cloudflare.md` 3.2). Of a list it says that the account has none.
    pub(super) fn of_one(self) -> Self {
        match self {
            Self::NotFound(failure) if failure.is_no_path() => Self::Server(failure),
            error => error,
        }
    }

    /// Whether it was one that the API has no path for.
    pub fn is_no_path(&self) -> bool {
        matches!(self, Self::Server(failure) if failure.is_no_path())
    }

    /// Whether nothing was found, or no path to it: whether it is gone is for a list to say.
    pub fn is_nowhere(&self) -> bool {
        matches!(self, Self::NotFound(_)) || self.is_no_path()
    }

    /// The HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.failure().map(|failure| failure.status)
    }

    /// When to try again, where that is known.
    pub const fn retry_at(&self) -> Option<Timestamp> {
        match self {
            Self::RateLimited { until, .. } | Self::OutOfBudget { until } => Some(*until),
            _ => None,
        }
    }

    /// What Cloudflare said, where it said anything.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::NotFound(failure)
            | Self::AlreadyExists(failure)
            | Self::Unauthorized(failure)
            | Self::Forbidden(failure)
            | Self::RateLimited { failure, .. }
            | Self::Quota(failure)
            | Self::Invalid(failure)
            | Self::Server(failure)
            | Self::Malformed { failure, .. } => Some(failure),
            Self::Transport(_)
            | Self::Unreadable { .. }
            | Self::OutOfBudget { .. }
            | Self::NoSeat
            | Self::Refused(_)
            | Self::Storage(_) => None,
        }
    }
}

/// There was no answer. What the runtime itself did not send any more, since an invocation has sent as many requests as it may, is not under way:
/// whoever has to have a seat waits for the next invocation as they wait for one.
pub(super) fn unanswered(error: HttpError, is_seated: bool) -> ApiError {
    match error {
        HttpError::Connection(why) if is_seated && why.contains("subrequests") => ApiError::NoSeat,
        error => ApiError::Transport(error),
    }
}

/// Codes that speak of the token whatever the status: malformed `Authorization` header (6003 with its chain 6102, 6103, 6111), failed
/// authentication (9106, 10001).
const AUTHENTICATION_CODES: [i64; 6] = [6003, 6102, 6103, 6111, 9106, 10_001];

/// The class of a call that was refused; `until` is when a rate limit ends.
pub(super) fn classify(failure: Failure, until: Timestamp) -> ApiError {
    let message = failure.message.to_ascii_lowercase();
    let exists = message.contains("already exists");
    // A quota comes as code 429 in the body of another status: it is no rate limit.
    let quota = message.contains("add limit reached");
    match (failure.status, failure.code) {
        (_, _) if quota => ApiError::Quota(failure),
        (429, _) => ApiError::RateLimited { failure, until },
        (401, _) => ApiError::Unauthorized(failure),
        (408 | 500.., _) => ApiError::Server(failure),
        (_, Some(code)) if AUTHENTICATION_CODES.contains(&code) => ApiError::Unauthorized(failure),
        // 9109 and 10000 speak of a permission where a successful status comes with `"success": false`; under 405 they do not.
        (403, _) | (..300, Some(9109 | 10_000)) => ApiError::Forbidden(failure),
        (404 | 410, _) | (_, Some(1003)) => ApiError::NotFound(failure),
        (400 | 409, _) if exists => ApiError::AlreadyExists(failure),
        // A success that says it is none: what came of the request is not known, and no rule of the API is broken that would be
        // broken again. Nor is one by a conflict, which Cloudflare's own clients send again (`reference/cloudflare.md` 3.4).
        (..300 | 409, _) => ApiError::Server(failure),
        _ => ApiError::Invalid(failure),
    }
}

/// How much of a message is kept.
const MAX_MESSAGE: usize = 300;

/// A message that is safe to keep and to show: bounded, in one line, and without tokens (`reference/cloudflare.md` 1).
pub(super) fn presentable(text: &str, secret: &str) -> String {
    let text = if secret.len() >= 8 { text.replace(secret, "…") } else { text.to_owned() };
    let mut shown = String::new();
    let mut rest = text.as_str();
    while let Some((at, prefix)) = TOKEN_PREFIXES.iter().filter_map(|prefix| Some((rest.find(prefix)?, prefix))).min() {
        let (before, token) = rest.split_at(at + prefix.len());
        shown.push_str(before);
        shown.push('…');
        rest = token.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    }
    shown.push_str(rest);
    let line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > MAX_MESSAGE { line.chars().take(MAX_MESSAGE - 1).chain(['…']).collect() } else { line }
}

const TOKEN_PREFIXES: [&str; 3] = ["cfut_", "cfat_", "cfk_"];

#[cfg(test)]
mod tests {
    use super::{ApiError, Failure, classify, presentable, unanswered};
    use crate::base::time::Timestamp;

    fn class(status: u16, code: Option<i64>, message: &str) -> &'static str {
        let failure = Failure { status, code, message: message.to_owned(), ray: None };
        match classify(failure, Timestamp::from_secs(61)) {
            ApiError::NotFound(_) => "not found",
            ApiError::AlreadyExists(_) => "already exists",
            ApiError::Unauthorized(_) => "unauthorized",
            ApiError::Forbidden(_) => "forbidden",
            ApiError::RateLimited { .. } => "rate limited",
            ApiError::Quota(_) => "quota",
            ApiError::Invalid(_) => "invalid",
            ApiError::Server(_) => "server",
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_status_decides_first_then_the_code_then_the_message() {
        let cases = [
            (400, Some(6003), "Invalid request headers", "unauthorized"),
            (400, Some(9106), "Authentication failed", "unauthorized"),
            (401, Some(10_000), "Authentication error", "unauthorized"),
            (403, Some(10_000), "Authentication error", "forbidden"),
            (403, Some(9109), "Unauthorized to access requested resource", "forbidden"),
            (403, Some(10_001), "Unable to authenticate request", "unauthorized"),
            (404, Some(1003), "Member not found for account", "not found"),
            (404, Some(7003), "Could not route", "not found"),
            (404, Some(404), "not found", "not found"),
            (410, None, "", "not found"),
            (400, Some(1003), "Member not found for account", "not found"),
            (405, Some(10_000), "Method not allowed", "invalid"),
            (400, Some(1001), "Invalid role assignments found", "invalid"),
            (400, Some(1006), "invalid permission group and resource group combination", "invalid"),
            (400, Some(1004), "Account member already exists for email address", "already exists"),
            (409, Some(1004), "Account member already exists for email address", "already exists"),
            (409, Some(1001), "The resource is being changed", "server"),
            (409, None, "", "server"),
            (408, None, "", "server"),
            (400, Some(429), "add limit reached", "quota"),
            (429, Some(10_013), "More than 1200 requests", "rate limited"),
            (429, None, "", "rate limited"),
            (422, None, "", "invalid"),
            (500, Some(1003), "", "server"),
            (524, None, "a timeout occurred", "server"),
            (302, None, "", "invalid"),
            (200, Some(1003), "Member not found", "not found"),
            (200, Some(9109), "", "forbidden"),
            (200, Some(1), "", "server"),
        ];
        for (status, code, message, expected) in cases {
            assert_eq!(class(status, code, message), expected, "{status} {code:?} {message}");
        }
    }

    #[test]
    fn a_message_shows_no_token_and_stays_short() {
        assert_eq!(
            presentable("token cfat_abc-DEF_1 and\n  cfut_x, cfk_y", "nothing!"),
            "token cfat_… and cfut_…, cfk_…"
        );
        assert_eq!(presentable("Invalid token 0123456789abcdef.", "0123456789abcdef"), "Invalid token ….");
        assert_eq!(presentable(&"ä".repeat(1000), "").chars().count(), 300);
    }

    #[test]
    fn only_a_write_without_a_clear_answer_is_unknown() {
        assert!(ApiError::Transport(crate::base::ports::HttpError::Timeout(1)).outcome_unknown());
        assert!(!ApiError::OutOfBudget { until: Timestamp::from_secs(1) }.outcome_unknown());
        assert!(!ApiError::Forbidden(Failure::default()).outcome_unknown());
        let server = |status| ApiError::Server(Failure { status, ..Failure::default() });
        assert!(server(409).outcome_unknown() && !server(409).unknown_but_for_conflict());
        assert!(server(408).unknown_but_for_conflict());
    }

    #[test]
    fn what_the_runtime_did_not_send_is_no_write_that_may_come_late() {
        for (why, is_seated, is_open) in [
            ("Error: Too many subrequests.", true, false),
            ("Error: Too many subrequests by single Worker invocation.", true, false),
            // The controls: a sync tells why it is in trouble, and a connection that broke may have carried the request.
            ("Error: Too many subrequests.", false, true),
            ("Error: Network connection lost.", true, true),
        ] {
            let error = unanswered(crate::base::ports::HttpError::Connection(why.to_owned()), is_seated);
            assert_eq!((error.outcome_unknown(), error.may_come_late()), (is_open, is_open), "{why} {is_seated}");
            assert!(error.is_retryable());
        }
    }

    #[test]
    fn what_the_server_answered_itself_does_not_come_later() {
        let server = |status| ApiError::Server(Failure { status, ..Failure::default() }).may_come_late();
        assert!(server(524) && server(504) && server(502) && !server(500) && !server(503) && !server(409));
        let failure = Failure { status: 502, code: Some(10_000), ..Failure::default() };
        assert!(!ApiError::Server(failure).may_come_late(), "the API itself has answered");
        assert!(ApiError::Transport(crate::base::ports::HttpError::Timeout(1)).may_come_late());
    }
}
