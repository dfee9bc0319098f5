//! The envelope around every answer, read leniently (`reference/cloudflare.md` 3.1): a call failed when the status says
//! so or `success` is `false`; codes in `messages` mean nothing, since one stands there on success too.

use crate::base::json;
use crate::base::json::Deserialize;
use serde::Serialize;
use serde::de::Deserializer;
use serde_json::Value;

/// What an answer carries on success.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<T> {
    #[serde(default)]
    pub(super) success: Option<bool>,
    #[serde(default)]
    pub(super) result: Presence<T>,
    #[serde(default)]
    pub(super) result_info: Option<PageInfo>,
}

/// What stands as `result`. A list that is `null` is empty; one that is absent is not told.
#[derive(Debug, Default)]
pub(super) enum Presence<T> {
    /// There is no such field.
    #[default]
    Absent,
    /// It is `null`.
    Null,
    /// It is there.
    Is(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Presence<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Is))
    }
}

/// `result_info`: where a page stands. Every field is optional; some lists have none at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageInfo {
    /// The page's number, from 1.
    #[serde(deserialize_with = "number")]
    pub page: Option<u32>,
    /// Items on a full page, as the server applied it.
    #[serde(deserialize_with = "number")]
    pub per_page: Option<u32>,
    /// Items on this page.
    #[serde(deserialize_with = "number")]
    pub count: Option<u32>,
    /// Items in all.
    #[serde(deserialize_with = "number")]
    pub total_count: Option<u32>,
    /// Pages in all.
    #[serde(deserialize_with = "number")]
    pub total_pages: Option<u32>,
    /// Where the next page begins, in lists that page by cursor.
    #[serde(deserialize_with = "text")]
    pub cursor: Option<String>,
}

/// Some lists give their numbers as text; what is no number counts as absent.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    })
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(super::lenient::text(deserializer)?.filter(|text| !text.is_empty()))
}

/// What a refusal says, in whichever shape it came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// `success` was there and `false`.
    pub(super) success_is_false: bool,
    /// It came in the API's own envelope, and not from what stands before the API: pages of the edge, of whatever form, say nothing of the account.
    pub(super) is_the_apis: bool,
    /// The API's code, or the edge's, which are not the same ones.
    pub(super) code: Option<i64>,
    pub(super) message: String,
    /// Seconds to wait, where the body says so.
    pub(super) retry_after: Option<i64>,
}

/// Reads a refusal: Cloudflare's envelope, an RFC 9457 problem of the edge, a SCIM error, or, from anything else, such
/// as an HTML page, what a reader would see of it.
pub(super) fn refusal(body: &[u8]) -> Refusal {
    let Ok(value) = json::read::<Value>(body) else {
        return Refusal { message: visible(&String::from_utf8_lossy(body)), ..Refusal::default() };
    };
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let success_is_false = value.get("success") == Some(&Value::Bool(false));
    let errors = value.get("errors").or_else(|| value.get("messages")).and_then(Value::as_array);
    if let Some(first) = errors.and_then(|errors| errors.first()) {
        let mut message =
            first.get("message").and_then(Value::as_str).or(first.as_str()).unwrap_or_default().to_owned();
        // The chain says what exactly is wrong with the headers.
        let chain = first.get("error_chain").and_then(Value::as_array);
        for inner in chain.into_iter().flatten().filter_map(|inner| inner.get("message")?.as_str()) {
            message.push_str(": ");
            message.push_str(inner);
        }
        let code = first.get("code").and_then(integer);
        return Refusal { success_is_false, is_the_apis: true, code, message, retry_after: None };
    }
    Refusal {
        success_is_false,
        is_the_apis: success_is_false,
        code: value.get("error_code").and_then(integer),
        message: text("detail").or_else(|| text("title")).or_else(|| text("error")).unwrap_or_default().to_owned(),
        retry_after: value.get("retry_after").and_then(integer),
    }
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// The beginning of a page's text without its tags.
fn visible(page: &str) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for c in page.chars().take(4000) {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                text.push(' ');
            }
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Envelope, refusal};

    #[test]
    fn reads_refusals_of_every_shape() {
        let cases: [(&str, Option<i64>, &str); 7] = [
            (
                r#"{"success":false,"result":null,"errors":[{"code":1003,"message":"Member not found"}]}"#,
                Some(1003),
                "Member not found",
            ),
            (
                r#"{"success":false,"result":[],"errors":[{"code":6003,"message":"Invalid request headers","error_chain":[{"code":6111,"message":"Invalid format"}]}]}"#,
                Some(6003),
                "Invalid request headers: Invalid format",
            ),
            (r#"{"success":false,"messages":["plain words"]}"#, None, "plain words"),
            (
                r#"{"type":"about:blank","title":"Bad gateway","status":502,"detail":"The origin is down","error_code":502,"retry_after":60}"#,
                Some(502),
                "The origin is down",
            ),
            (
                r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"404","detail":"no such user"}"#,
                None,
                "no such user",
            ),
            ("<html><head><title>524</title></head></html>", None, "524"),
            (r#"{"success":fal"#, None, r#"{"success":fal"#),
        ];
        for (body, code, message) in cases {
            let read = refusal(body.as_bytes());
            assert_eq!((read.code, read.message.trim()), (code, message), "{body}");
            assert_eq!(read.is_the_apis, body.contains(r#""success":false"#), "{body}");
        }
    }

    #[test]
    fn numbers_of_result_info_may_be_text_or_missing() {
        let body = r#"{"success":true,"result":[1],"result_info":{"count":"1","cursor":"abc","page":null,"extra":{}}}"#;
        let envelope: Envelope<Vec<u8>> = serde_json::from_str(body).unwrap();
        let info = envelope.result_info.unwrap();
        assert_eq!((info.count, info.page, info.cursor.as_deref()), (Some(1), None, Some("abc")));
    }
}
