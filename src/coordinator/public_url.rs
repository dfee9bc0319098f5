//! Where this Worker is reached, where `PUBLIC_URL` is not set: learned once from a request with the full token, and kept.
//!
//! It is what the audience of C1's webhooks is compared with, so it is never learned again: a later request by another host, of whomever,
//! changes nothing, and a setting stands above it.

use serde::Serialize;

use super::schema::{meta, set_meta};
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError};
use crate::base::time::Timestamp;
use crate::conductorone::settings::PublicUrl;

/// Under this name it stands in the table `meta`.
const NAME: &str = "public_url";

/// A request that may teach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestTarget {
    /// The scheme and the host that it was sent to.
    pub origin: String,
    /// Its method and path.
    pub by: String,
}

/// What was learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedUrl {
    /// The URL, without a slash at its end.
    pub url: String,
    /// When.
    pub learned_at: Timestamp,
    /// From which request: its method and path.
    pub learned_from: String,
}

impl LearnedUrl {
    /// As a setting would have it.
    pub fn public_url(&self) -> Option<PublicUrl> {
        PublicUrl::parse(&self.url).ok()
    }
}

/// What was learned. What a newer version has written otherwise is as if it was not learned.
pub(super) fn learned(sql: &dyn Sql) -> Result<Option<LearnedUrl>, SqlError> {
    Ok(meta(sql, NAME)?.and_then(|text| json::read_str(&text).ok()))
}

/// Learns it, unless it is known or the request came by an address that C1 cannot use.
pub(super) fn learn(sql: &dyn Sql, seen: &RequestTarget, now: Timestamp) -> Result<(), SqlError> {
    let Some(url) = PublicUrl::of_request(&seen.origin) else { return Ok(()) };
    if meta(sql, NAME)?.is_some() {
        return Ok(());
    }
    let known = LearnedUrl { url: url.base, learned_at: now, learned_from: seen.by.clone() };
    set_meta(sql, NAME, &serde_json::to_string(&known)?)
}
