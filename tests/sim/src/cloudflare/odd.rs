//! Records that are told in another way than the contract has it, and lists that are answered with `null`: switched on for a
//! record or a list by name.

use serde_json::{Value, json};

use super::fault::On;
use super::route::Route;
use super::{Cloudflare, lock};

/// What is odd about a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// A field is not there.
    Without(&'static str),
    /// A field is `null`.
    Null(&'static str),
    /// A field is an empty list.
    Empty(&'static str),
    /// A field is this text.
    Text(&'static str, &'static str),
    /// A field of each of its policies is `null`.
    NullInPolicies(&'static str),
    /// A field of each of its policies is this text.
    TextInPolicies(&'static str, &'static str),
    /// A field of its `user` is this text.
    UserText(&'static str, &'static str),
    /// A field of its `user` is not there.
    UserWithout(&'static str),
    /// A field of its `meta` is this text.
    MetaText(&'static str, &'static str),
    /// Its e-mail address is nowhere.
    NoEmail,
    /// It has a field that nobody asked for, with this many bytes.
    Large(usize),
}

/// What is odd, and where.
#[derive(Debug, Default)]
pub(super) struct Odd {
    records: Vec<(On, String, Oddity)>,
    null: Vec<Route>,
}

impl Odd {
    /// Makes an answer odd.
    pub(super) fn apply(&self, route: Route, body: &mut Value) {
        if self.null.contains(&route) {
            super::render::set(body, "result", Value::Null);
            for field in ["count", "total_count", "total_pages"] {
                if let Some(info) = body.get_mut("result_info") {
                    super::render::set(info, field, json!(0));
                }
            }
            return;
        }
        let Some(result) = body.get_mut("result") else { return };
        let records = match result {
            Value::Array(records) => records.as_mut_slice(),
            record => std::slice::from_mut(record),
        };
        for record in records {
            let Some(id) = record.get("id").and_then(Value::as_str).map(str::to_owned) else { continue };
            for (_, _, oddity) in self.records.iter().filter(|(on, of, _)| on.covers(route) && *of == id) {
                make(record, oddity);
            }
        }
    }
}

fn make(record: &mut Value, oddity: &Oddity) {
    let remove = |value: &mut Value, field: &str| {
        if let Value::Object(fields) = value {
            fields.remove(field);
        }
    };
    match oddity {
        Oddity::Without(field) => remove(record, field),
        Oddity::Null(field) => super::render::set(record, field, Value::Null),
        Oddity::Empty(field) => super::render::set(record, field, json!([])),
        Oddity::Text(field, text) => super::render::set(record, field, json!(text)),
        Oddity::NullInPolicies(field) => set_in_policies(record, field, &Value::Null),
        Oddity::TextInPolicies(field, text) => set_in_policies(record, field, &json!(text)),
        Oddity::UserText(field, text) => {
            if let Some(user) = record.get_mut("user") {
                super::render::set(user, field, json!(text));
            }
        }
        Oddity::UserWithout(field) => {
            if let Some(user) = record.get_mut("user") {
                remove(user, field);
            }
        }
        Oddity::MetaText(field, text) => {
            if let Some(meta) = record.get_mut("meta") {
                super::render::set(meta, field, json!(text));
            }
        }
        Oddity::NoEmail => {
            remove(record, "email");
            if let Some(user) = record.get_mut("user") {
                remove(user, "email");
            }
        }
        Oddity::Large(bytes) => super::render::set(record, "x_large", json!("x".repeat(*bytes))),
    }
}

fn set_in_policies(record: &mut Value, field: &str, value: &Value) {
    for policy in record.get_mut("policies").and_then(Value::as_array_mut).into_iter().flatten() {
        super::render::set(policy, field, value.clone());
    }
}

impl Cloudflare {
    /// Tells a record in an odd way where a route shows it.
    pub fn make_odd(&self, on: impl Into<On>, id: &str, oddity: Oddity) {
        lock(&self.shared.state).odd.records.push((on.into(), id.to_owned(), oddity));
    }

    /// Answers a list as an empty one, with `result: null`.
    pub fn answer_null(&self, route: Route) {
        lock(&self.shared.state).odd.null.push(route);
    }

    /// Tells everything as it should be again.
    pub fn make_even(&self) {
        lock(&self.shared.state).odd = Odd::default();
    }
}
