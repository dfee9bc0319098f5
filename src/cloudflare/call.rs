//! A request to Cloudflare on its way.
//!
//! **Invariant:** whatever is no GET is made by [`Call::write`], which asks for a [`Cleared`]: this is the one door through which anything
//! is changed at Cloudflare, whatever flow it belongs to.

use serde_json::Value;

use super::cleared::Cleared;
use crate::base::ports::Method;

/// 50 members with 60 roles each are about 2 MB: a role carries a map of some 30 permissions, 600 bytes.
pub(super) const MAX_BODY: usize = 4 * 1024 * 1024;

/// A list that has no pages, and a page of a few records, may be this long: four of them are read at once in an isolate of 128 MB.
pub(super) const MAX_LONG_BODY: usize = 8 * 1024 * 1024;

/// A request on its way into `Client::call`.
pub(super) struct Call {
    method: Method,
    path: String,
    body: Option<Value>,
    max_bytes: usize,
}

impl Call {
    /// A read. The path is what stands beneath the base URL, beginning with a slash.
    pub(super) const fn get(path: String) -> Self {
        Self { method: Method::Get, path, body: None, max_bytes: MAX_BODY }
    }

    /// A read whose answer may be long.
    pub(super) const fn get_long(path: String) -> Self {
        Self::get(path).up_to(MAX_LONG_BODY)
    }

    /// A change, which the guards have let pass.
    pub(super) fn write(_: &Cleared, method: Method, path: String, body: Option<Value>) -> Self {
        Self { method, path, body, max_bytes: MAX_BODY }
    }

    /// The same, with another bound for the answer.
    pub(super) const fn up_to(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// The method.
    pub(super) const fn method(&self) -> Method {
        self.method
    }

    /// The path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The body, which is taken out.
    pub(super) const fn take_body(&mut self) -> Option<Value> {
        self.body.take()
    }

    /// The longest answer that is read.
    pub(super) const fn max_bytes(&self) -> usize {
        self.max_bytes
    }
}
