//! Records of a list that cannot be read. One of them stops no other: what can be said of it is kept, so that it can be named
//! and so that nobody takes its absence among the others for its end.

use serde::Serialize;
use serde_json::Value;

use super::error::presentable;
use crate::base::json::Deserialize;
use crate::model::name;

/// How much of an odd record's id or name is kept.
const MAX_TEXT: usize = 100;

/// A record of a list that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Odd {
    /// The id as Cloudflare tells it, whatever its form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name, or a person's e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A person's user id as Cloudflare tells it, whatever its form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Which field is missing or wrong.
    pub why: String,
}

impl Odd {
    /// What is to be said of a record that cannot be read for a reason.
    pub(super) fn of(record: &Value, why: &str) -> Self {
        let text = |path: &str| {
            let text = record.pointer(path)?.as_str()?.trim();
            (!text.is_empty()).then(|| text.chars().take(MAX_TEXT).collect::<String>())
        };
        let name = ["/email", "/user/email", "/name", "/client_name"].into_iter().find_map(text);
        Self { id: text("/id").or_else(|| text("/client_id")), name, user: text("/user/id"), why: presentable(why, "") }
    }

    /// The record at a place of a list, of which nothing came because it is longer than what is read.
    pub(super) fn unseen(place: u32, max_bytes: usize) -> Self {
        Self {
            id: None,
            name: None,
            user: None,
            why: format!(
                "number {place} of the list is, with those about it, longer than {max_bytes} bytes; take some of its policies' resource groups away, or put them into fewer"
            ),
        }
    }

    /// The id, where it is one of ours.
    pub fn parsed<T: std::str::FromStr>(&self) -> Option<T> {
        self.id.as_deref()?.parse().ok()
    }

    /// Whether this may be the record of something that is known under an id and a name. An id of the usual form decides; a record
    /// without one goes by its name, and one without a name may be anything.
    pub fn may_be<T: std::str::FromStr + PartialEq>(&self, id: &T, name: &str) -> bool {
        match self.parsed::<T>() {
            Some(own) => own == *id,
            None => self.name.as_deref().is_none_or(|own| name::folded(own) == name::folded(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Odd;
    use crate::model::id::MemberId;

    #[test]
    fn an_id_decides_then_the_name_and_a_record_without_either_may_be_anything() {
        let known: MemberId = format!("{:032x}", 7).parse().unwrap();
        let cases = [
            (json!({ "id": known, "email": "other@example.com" }), true),
            (json!({ "id": format!("{:032x}", 8), "email": "jane@example.com" }), false),
            (json!({ "id": "mem_7", "email": " Jane@Example.com " }), true),
            (json!({ "id": 7, "user": { "email": "jane@example.com" } }), true),
            (json!({ "id": "mem_7", "email": "joe@example.com" }), false),
            (json!({ "id": "mem_7" }), true),
            (json!("nothing of a record"), true),
        ];
        for (record, expected) in cases {
            assert_eq!(Odd::of(&record, "why").may_be(&known, "jane@example.com"), expected, "{record}");
        }
    }
}
