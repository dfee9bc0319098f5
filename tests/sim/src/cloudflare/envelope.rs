//! Cloudflare's answers as values: the success and failure envelopes (`reference/cloudflare.md` 3.1).

use serde_json::{Value, json};

use super::render;
use crate::http::Reply;

/// A success: the whole body, and its content type.
#[derive(Debug)]
pub(super) struct Success {
    pub(super) body: Value,
    pub(super) content_type: &'static str,
}

/// What `result` is in a failure; the services differ.
#[derive(Clone, Copy, Debug)]
pub(super) enum FailureResult {
    Null,
    EmptyArray,
    EmptyObject,
    Missing,
}

/// A refusal with one error.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: u16,
    error: Value,
    result: FailureResult,
}

/// What a route answers.
pub(super) type Answer = Result<Success, Failure>;

/// The envelope around a result.
pub(super) fn success(result: Value) -> Success {
    let mut body = json!({ "success": true, "errors": [], "messages": [] });
    render::set(&mut body, "result", result);
    success_body(body)
}

/// The envelope around one page of a list.
pub(super) fn page(result: Vec<Value>, result_info: Value) -> Success {
    let mut answer = success(Value::Array(result));
    render::set(&mut answer.body, "result_info", result_info);
    answer
}

/// A success with a body of its own.
pub(super) const fn success_body(body: Value) -> Success {
    Success { body, content_type: "application/json" }
}

/// A failure with one error; `result` is null.
pub(super) fn failure(status: u16, code: u32, message: impl Into<String>) -> Failure {
    Failure { status, error: json!({ "code": code, "message": message.into() }), result: FailureResult::Null }
}

impl Failure {
    /// The same failure with another `result`.
    pub(super) const fn with_result(mut self, result: FailureResult) -> Self {
        self.result = result;
        self
    }

    /// The same failure, pointing at a place in the request body.
    pub(super) fn at(mut self, pointer: impl Into<String>) -> Self {
        self.add("source", json!({ "pointer": pointer.into() }));
        self
    }

    /// The same failure with the error that led to it.
    pub(super) fn caused_by(mut self, code: u32, message: &str) -> Self {
        self.add("error_chain", json!([{ "code": code, "message": message }]));
        self
    }

    fn add(&mut self, field: &str, value: Value) {
        render::set(&mut self.error, field, value);
    }

    /// The failure on the wire.
    pub(super) fn reply(&self) -> Reply {
        let mut body = json!({ "success": false, "errors": [self.error], "messages": [] });
        let result = match self.result {
            FailureResult::Null => Some(Value::Null),
            FailureResult::EmptyArray => Some(json!([])),
            FailureResult::EmptyObject => Some(json!({})),
            FailureResult::Missing => None,
        };
        if let Some(result) = result {
            render::set(&mut body, "result", result);
        }
        Reply::json(self.status, &body)
    }
}

impl Success {
    /// The success on the wire.
    pub(super) fn reply(&self) -> Reply {
        Reply::text(200, self.content_type, self.body.to_string())
    }
}
