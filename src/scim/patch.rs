//! PATCH (RFC 7644 section 3.5.2): what a list of operations wants of a User or of a Group's members.

use serde_json::{Map, Value};

use super::filter::{self, Filter};
use super::{GROUP, PATCH_OP, ScimError, USER};
use crate::model::name;

/// The most operations in a request, and the most members that one of them adds or removes: each is a call of its own. A whole list of
/// members is as long as a body may be, since of those it names who stay cost nothing.
pub const LIMITS: (usize, usize) = (100, 1000);

/// What one operation does to the members of a Group.
#[derive(Clone, Debug, PartialEq)]
pub enum MembersEdit {
    /// These more.
    Add(Vec<String>),
    /// These less.
    Remove(Vec<String>),
    /// Those that match less; all of them without a filter.
    RemoveWhere(Option<Filter>),
    /// These and no others.
    Replace(Vec<String>),
}

struct Operation<'a> {
    op: Op,
    path: Option<&'a str>,
    value: Option<&'a Value>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Remove,
    Replace,
}

/// Reads a body whose operations change the members of a Group, which is `current` now; `null` where no list has it.
pub fn group(body: &Value, current: &Value) -> Result<Vec<MembersEdit>, ScimError> {
    let mut changes = Vec::new();
    for operation in operations(body)? {
        let Some(path) = operation.path else {
            // Without a path the value is a part of the resource (RFC 7644 section 3.5.2.1).
            for (name, value) in fields(&operation, GROUP)? {
                match plain(name, GROUP).as_str() {
                    // A resource that says nothing of its members leaves them as they are.
                    "members" if value.is_null() => {}
                    "members" => changes.extend(change(operation.op, Some(value))?),
                    other => stays_group(other, name, value, current)?,
                }
            }
            continue;
        };
        let path = plain(path, GROUP);
        if path == "members" {
            changes.extend(change(operation.op, operation.value)?);
        } else if let Some(filter) = path.strip_prefix("members[").and_then(|rest| rest.strip_suffix(']')) {
            if operation.op != Op::Remove {
                return Err(ScimError::new("invalidPath", "members[…] can be removed; to add, use the path members"));
            }
            let filter = filter::parse(filter, &["value", "type", "display", "$ref"], GROUP)
                .map_err(|error| ScimError::new("invalidPath", error.detail))?;
            changes.push(MembersEdit::RemoveWhere(Some(filter)));
        } else {
            stays_group(&path, operation.path.unwrap_or_default(), operation.value.unwrap_or(&Value::Null), current)?;
        }
    }
    Ok(changes)
}

/// Reads a whole Group in the place of one: what it says of the members, if anything.
pub fn whole_group(body: &Value) -> Result<Vec<MembersEdit>, ScimError> {
    match attribute(body, "members", GROUP) {
        None => Ok(Vec::new()),
        members => Ok(change(Op::Replace, members)?.into_iter().collect()),
    }
}

/// Reads a body whose operations change a User, who is `current` now, `null` where no list has them; gives whether the User is to be active at
/// the end, where it says.
///
/// What stays as it is and what Cloudflare does not keep of a person are no errors (RFC 7644 section 3.5.2): identity providers send
/// their whole record. And whoever is to be removed need not have the right name for it, nor the right roles,
/// and what else is sent need not be known here.
pub fn user(body: &Value, current: &Value) -> Result<Option<bool>, ScimError> {
    let mut active = None;
    let mut fixed = None;
    let mut set = |name: &str, op: Op, value: Option<&Value>| -> Result<(), ScimError> {
        let path = plain(name, USER);
        let attribute = path.split(['.', '[']).next().unwrap_or_default();
        match path.as_str() {
            "active" if op == Op::Remove => {
                fixed.get_or_insert_with(|| ScimError::mutability("active cannot be removed; replace it with false"));
                Ok(())
            }
            "active" => {
                active = Some(boolean(value)?);
                Ok(())
            }
            _ if matches!(attribute, "roles" | "groups") => {
                let wanted = value.unwrap_or(&Value::Null);
                // What a list leaves out is taken away by what replaces it, as by what removes it; whoever sends the whole record may not know them all.
                let known = field(current, attribute).unwrap_or(&Value::Null);
                let is_refused = match (op, wanted) {
                    (Op::Remove, Value::Array(wanted)) => {
                        wanted.iter().any(|one| same(known, &Value::Array(vec![one.clone()])))
                    }
                    (Op::Remove, _) => !is_empty(known),
                    (Op::Replace, Value::Array(_)) if known.is_array() && !same(wanted, known) => true,
                    _ => !stays(current, &path, wanted),
                };
                if is_refused {
                    fixed.get_or_insert_with(|| {
                        ScimError::mutability(
                            "what a User holds is changed through the members of Groups: PATCH /Groups/{id}",
                        )
                    });
                }
                Ok(())
            }
            _ if USER_ATTRIBUTES.contains(&attribute) => {
                let is_removed = op == Op::Remove && !current.is_null();
                if is_removed || !stays(current, &path, value.unwrap_or(&Value::Null)) {
                    fixed.get_or_insert_with(|| {
                        ScimError::mutability(format!(
                            "{name} is the person's own in Cloudflare and cannot be changed here; only active can"
                        ))
                    });
                }
                Ok(())
            }
            _ if is_foreign(&path) || FOREIGN_USER_ATTRIBUTES.contains(&attribute) => Ok(()),
            _ => {
                fixed.get_or_insert_with(|| ScimError::new("invalidPath", format!("a User has no attribute {name:?}")));
                Ok(())
            }
        }
    };
    for operation in operations(body)? {
        match operation.path {
            Some(path) => set(path, operation.op, operation.value)?,
            None => {
                for (name, value) in fields(&operation, USER)? {
                    set(name, Op::Add, Some(value))?;
                }
            }
        }
    }
    match fixed {
        Some(error) if active != Some(false) => Err(error),
        _ => Ok(active),
    }
}

/// What a User has here and Cloudflare or the person decides on.
const USER_ATTRIBUTES: [&str; 7] = ["id", "meta", "username", "displayname", "name", "emails", "usertype"];

/// What RFC 7643 section 4.1 knows of a User besides, and the client's own id of it: Cloudflare keeps none of it.
const FOREIGN_USER_ATTRIBUTES: [&str; 16] = [
    "schemas",
    "externalid",
    "nickname",
    "profileurl",
    "title",
    "preferredlanguage",
    "locale",
    "timezone",
    "password",
    "phonenumbers",
    "ims",
    "photos",
    "addresses",
    "entitlements",
    "x509certificates",
    "manager",
];

/// Whether a path is of an extension, such as the enterprise one's. One that ends like what can be changed here was meant for that, and is
/// not passed over.
fn is_foreign(path: &str) -> bool {
    path.starts_with("urn:") && !path.contains(":core:") && !path.ends_with(":active") && !path.ends_with(":members")
}

/// Whether an attribute has the value that a client sends for it.
fn stays(current: &Value, path: &str, wanted: &Value) -> bool {
    // Of what is on no list nobody knows what it is called and what it has.
    if current.is_null() {
        return true;
    }
    // `emails[type eq "work"].value`: which of several is meant does not matter where all that are sent are there.
    let (attribute, rest) = match path.split_once('[') {
        Some((attribute, rest)) => {
            (attribute, rest.rsplit_once(']').map_or("", |(_, rest)| rest.trim_start_matches('.')))
        }
        None => path.split_once('.').unwrap_or((path, "")),
    };
    let Some(known) = field(current, attribute) else { return is_empty(wanted) };
    match (known, rest) {
        (Value::Array(items), rest) if !rest.is_empty() => {
            items.iter().any(|item| field(item, rest).map_or_else(|| is_empty(wanted), |known| same(known, wanted)))
        }
        (known, "") => same(known, wanted),
        (known, rest) => field(known, rest).map_or_else(|| is_empty(wanted), |known| same(known, wanted)),
    }
}

fn same(known: &Value, wanted: &Value) -> bool {
    match (known, wanted) {
        (Value::String(known), Value::String(wanted)) => name::folded(known) == name::folded(wanted),
        (Value::Object(_), Value::Object(wanted)) => wanted.iter().all(|(name, wanted)| match field(known, name) {
            Some(known) => same(known, wanted),
            // What is not kept here, such as `name.formatted`, is foreign.
            None => true,
        }),
        (Value::Array(known), Value::Array(wanted)) => wanted.iter().all(|wanted| {
            known.iter().any(|known| same(known.get("value").unwrap_or(known), wanted.get("value").unwrap_or(wanted)))
        }),
        (Value::Array(known), wanted) => known.iter().any(|known| same(known.get("value").unwrap_or(known), wanted)),
        (known, wanted) => known == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A field of an object, by its name in whatever case (RFC 7643 section 2.1).
pub fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A boolean; some clients send it as a text.
pub fn boolean(value: Option<&Value>) -> Result<bool, ScimError> {
    match value {
        Some(Value::Bool(active)) => Ok(*active),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
        // [{"value": false}], as a client with one template for everything writes it.
        Some(Value::Array(items)) if items.len() == 1 => boolean(items.first().and_then(|item| item.get("value"))),
        _ => Err(ScimError::value("active must be true or false")),
    }
}

/// The ids in a list of members; one alone, `null` and nothing at all are taken too.
fn members(value: Option<&Value>) -> Result<Vec<String>, ScimError> {
    let wrong = || ScimError::value("members must be a list such as [{\"value\": \"<the id of a User>\"}]");
    let one = |item: &Value| {
        let id = item.as_str().or_else(|| item.get("value").and_then(Value::as_str)).map(str::trim);
        id.filter(|id| !id.is_empty() && id.len() <= 120).map(str::to_owned).ok_or_else(wrong)
    };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(one).collect(),
        Some(item) => Ok(vec![one(item)?]),
    }
}

/// The change that an operation makes; none where it names nobody, but for a remove without any value, which is all (RFC 7644 section
/// 3.5.2.2). A list that is missing or `null` is what a client sends that does not know the members: it empties no Group, and since
/// it may have been meant to, it is no success either.
fn change(op: Op, value: Option<&Value>) -> Result<Option<MembersEdit>, ScimError> {
    let ids = members(value)?;
    let is_unsaid = |value: Option<&Value>| value.is_none_or(Value::is_null);
    if op != Op::Replace && ids.len() > LIMITS.1 {
        return Err(ScimError::value(format!("these are too many members at once; send at most {}", LIMITS.1)));
    }
    Ok(match op {
        Op::Replace if is_unsaid(value) => return Err(unsaid()),
        Op::Remove if value.is_some_and(Value::is_null) => return Err(unsaid()),
        Op::Add if ids.is_empty() => return Err(ScimError::value("an add needs a value: the members to add")),
        Op::Add => Some(MembersEdit::Add(ids)),
        Op::Replace => Some(MembersEdit::Replace(ids)),
        Op::Remove if value.is_none() => Some(MembersEdit::RemoveWhere(None)),
        Op::Remove => (!ids.is_empty()).then_some(MembersEdit::Remove(ids)),
    })
}

fn unsaid() -> ScimError {
    ScimError::value(
        "members without a value, or null, is no list, so nobody was taken out: to take out all send [], to take out one use the path members[value eq \"<the id of a User>\"]",
    )
}

/// An attribute of a Group other than its members: it may be sent as it is, and what Cloudflare does not keep may be anything.
fn stays_group(path: &str, name: &str, value: &Value, current: &Value) -> Result<(), ScimError> {
    match path {
        "displayname" | "id" if stays(current, path, value) => Ok(()),
        "displayname" | "id" => Err(ScimError::mutability(format!(
            "{name} of a Group is what Cloudflare says and cannot be changed here; only members can"
        ))),
        "schemas" | "externalid" | "meta" => Ok(()),
        path if is_foreign(path) => Ok(()),
        _ => Err(ScimError::new(
            "invalidPath",
            format!("{name:?} is no attribute of a Group that can be changed; only members can"),
        )),
    }
}

/// A path in lower case without the schema's URN before it.
fn plain(path: &str, schema: &str) -> String {
    let path = path.trim();
    let rest = path.split_at_checked(schema.len()).filter(|(urn, _)| urn.eq_ignore_ascii_case(schema));
    let path = rest.and_then(|(_, rest)| rest.strip_prefix(':')).unwrap_or(path);
    // A value in quotation marks keeps its case.
    match path.split_once('[') {
        Some((name, filter)) => format!("{}[{filter}", name.to_ascii_lowercase()),
        None => path.to_ascii_lowercase(),
    }
}

/// An attribute of a whole resource, by its name in lower case: wherever an operation without a path has it.
pub fn attribute<'a>(resource: &'a Value, name: &str, schema: &str) -> Option<&'a Value> {
    let mut all = own(resource.as_object()?, schema).into_iter();
    all.rfind(|(key, _)| plain(key, schema) == name).map(|(_, value)| value)
}

/// The attributes of a resource, or of a part of one; those that stand below the schema's own URN are its own, too.
fn own<'a>(resource: &'a Map<String, Value>, schema: &str) -> Vec<(&'a String, &'a Value)> {
    resource
        .iter()
        .flat_map(|(name, value)| match value {
            Value::Object(inner) if name.eq_ignore_ascii_case(schema) => inner.iter().collect(),
            value => vec![(name, value)],
        })
        .collect()
}

/// The attributes that an operation without a path is about.
fn fields<'a>(operation: &Operation<'a>, schema: &str) -> Result<Vec<(&'a String, &'a Value)>, ScimError> {
    match (operation.op, operation.value) {
        // RFC 7644 section 3.5.2.2.
        (Op::Remove, _) => Err(ScimError::new("noTarget", "a remove needs a path")),
        (_, Some(Value::Object(fields))) => Ok(own(fields, schema)),
        _ => Err(ScimError::value("an operation without a path needs an object as its value")),
    }
}

fn operations(body: &Value) -> Result<Vec<Operation<'_>>, ScimError> {
    let syntax = |detail: &str| ScimError::new("invalidSyntax", detail);
    // A schema that is missing is forgiven, another one is not.
    if let Some(schemas) = body.get("schemas") {
        let named = |schema: &Value| schema.as_str().is_some_and(|text| text.eq_ignore_ascii_case(PATCH_OP));
        let is_patch = schemas.as_array().map_or_else(|| named(schemas), |schemas| schemas.iter().any(named));
        if !is_patch {
            return Err(syntax("schemas of a PATCH must name urn:ietf:params:scim:api:messages:2.0:PatchOp"));
        }
    }
    let list = field(body, "Operations").and_then(Value::as_array);
    let list = list.filter(|list| !list.is_empty()).ok_or_else(|| syntax("a PATCH needs a list of Operations"))?;
    if list.len() > LIMITS.0 {
        return Err(ScimError::value(format!("these are too many operations at once; send at most {}", LIMITS.0)));
    }
    list.iter()
        .map(|item| {
            let op = match field(item, "op").and_then(Value::as_str).map(str::to_ascii_lowercase).as_deref() {
                Some("add") => Op::Add,
                Some("remove") => Op::Remove,
                Some("replace") => Op::Replace,
                _ => return Err(syntax("op must be add, remove or replace")),
            };
            let path = match field(item, "path") {
                None | Some(Value::Null) => None,
                Some(Value::String(path)) if path.trim().is_empty() => None,
                Some(Value::String(path)) => Some(path.as_str()),
                Some(_) => return Err(ScimError::new("invalidPath", "path must be a text")),
            };
            Ok(Operation { op, path, value: field(item, "value") })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MembersEdit, attribute, group, user, whole_group};
    use crate::scim::{GROUP, PATCH_OP, USER};

    fn body(operations: &Value) -> Value {
        json!({ "schemas": [PATCH_OP], "Operations": operations })
    }

    fn engineers() -> Value {
        json!({ "id": "group-1", "displayName": "Engineers", "members": [{ "value": "a" }] })
    }

    fn jane() -> Value {
        json!({
            "id": "1", "userName": "Jane@example.com", "displayName": "Jane Doe", "name": { "givenName": "Jane", "familyName": "Doe" },
            "emails": [{ "value": "jane@example.com", "type": "work", "primary": true }], "active": true,
        })
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let babs =
            json!({ "display": "Babs Jensen", "$ref": "https://example.com/v2/Users/2819c223", "value": "2819c223" });
        let james = json!({ "value": "08e1d05d" });
        let read = |operations: Value| group(&body(&operations), &engineers()).unwrap();
        assert_eq!(
            read(json!([{ "op": "add", "path": "members", "value": [babs] }])),
            [MembersEdit::Add(ids(&["2819c223"]))]
        );
        assert_eq!(
            read(
                json!([{ "op": "remove", "path": "members" }, { "op": "add", "path": "members", "value": [babs, james] }])
            ),
            [MembersEdit::RemoveWhere(None), MembersEdit::Add(ids(&["2819c223", "08e1d05d"]))]
        );
        assert_eq!(
            read(json!([{ "op": "replace", "path": "members", "value": [babs, james] }])),
            [MembersEdit::Replace(ids(&["2819c223", "08e1d05d"]))]
        );
        let removed = read(json!([{ "op": "remove", "path": "members[value eq \"2819c223\"]" }]));
        let [MembersEdit::RemoveWhere(Some(filter))] = removed.as_slice() else { panic!("{removed:?}") };
        assert!(filter.matches(&babs) && !filter.matches(&james));
    }

    #[test]
    fn the_habits_of_clients_are_understood() {
        let read = |operations: Value| group(&body(&operations), &engineers()).unwrap();
        let replaced = json!([{ "op": "replace", "path": "members", "value": [] }]);
        assert_eq!(read(replaced), [MembersEdit::Replace(vec![])]);
        assert_eq!(
            read(json!([{ "op": "Add", "value": { "members": [{ "value": "a" }] } }])),
            [MembersEdit::Add(ids(&["a"]))]
        );
        assert_eq!(
            read(json!([{ "op": "Remove", "path": "members", "value": [{ "value": "a" }] }])),
            [MembersEdit::Remove(ids(&["a"]))]
        );
        let urn = "urn:ietf:params:scim:schemas:core:2.0:Group:members";
        assert_eq!(
            read(json!([{ "op": "add", "path": urn, "value": { "value": "a" } }])),
            [MembersEdit::Add(ids(&["a"]))]
        );
        for value in [json!(false), json!("False"), json!([{ "value": "false" }])] {
            assert_eq!(
                user(&body(&json!([{ "op": "Replace", "path": "active", "value": value }])), &jane()),
                Ok(Some(false))
            );
        }
        assert_eq!(user(&body(&json!([{ "op": "replace", "value": { "active": true } }])), &jane()), Ok(Some(true)));
    }

    #[test]
    fn what_stays_as_it_is_and_what_is_kept_nowhere_are_no_errors() {
        let department = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
        let entra = json!([
            { "op": "Replace", "path": "displayName", "value": "Jane Doe" },
            { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "JANE@example.com" },
            { "op": "Replace", "path": "name.givenName", "value": "Jane" },
            { "op": "Add", "path": department, "value": "Sales" },
            { "op": "Replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:active", "value": "False" },
        ]);
        assert_eq!(user(&body(&entra), &jane()), Ok(Some(false)));
        let okta = json!([{ "op": "replace", "value": {
            "id": "1", "userName": "jane@example.com", "externalId": "00u1", "title": "Lead", "name": { "familyName": "Doe", "formatted": "J. Doe" },
            "emails": [{ "value": "jane@example.com", "primary": true }], "active": true,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "Sales" },
        } }]);
        assert_eq!(user(&body(&okta), &jane()), Ok(Some(true)));
        // Another name is refused, but in nobody's way who is to be removed.
        let renamed =
            |active: bool| body(&json!([{ "op": "replace", "value": { "displayName": "Janet", "active": active } }]));
        assert_eq!(user(&renamed(true), &jane()).unwrap_err().scim_type, "mutability");
        assert_eq!(user(&renamed(false), &jane()), Ok(Some(false)));

        let unchanged =
            json!([{ "op": "replace", "value": { "id": "group-1", "displayName": "engineers", "externalId": "x" } }]);
        assert_eq!(group(&body(&unchanged), &engineers()), Ok(vec![]));
    }

    #[test]
    fn a_list_of_members_that_is_missing_empties_no_group() {
        for operation in [
            json!({ "op": "replace", "value": { "displayName": "Engineers", "members": null } }),
            json!({ "op": "remove", "path": "members", "value": [] }),
        ] {
            assert_eq!(group(&body(&json!([operation])), &engineers()), Ok(vec![]), "{operation}");
        }
        // Where the members are what it is about, doing nothing is no success: somebody may have been meant to go.
        for operation in [
            json!({ "op": "replace", "path": "members", "value": null }),
            json!({ "op": "replace", "path": "members" }),
            json!({ "op": "remove", "path": "members", "value": null }),
        ] {
            let error = group(&body(&json!([operation])), &engineers()).unwrap_err();
            assert!(error.scim_type == "invalidValue" && error.detail.contains("send []"), "{operation}: {error:?}");
        }
    }

    #[test]
    fn a_deactivation_is_found_wherever_it_stands_and_never_passed_over() {
        let core = "urn:ietf:params:scim:schemas:core:2.0:User";
        for operation in [
            json!({ "op": "replace", "value": { core: { "active": false } } }),
            json!({ "op": "replace", "value": { "roles": [], "groups": [], "active": false } }),
            json!({ "Op": "replace", "Path": "Active", "Value": "FALSE" }),
        ] {
            assert_eq!(user(&body(&json!([operation])), &jane()), Ok(Some(false)), "{operation}");
        }
        for path in [
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:active",
            "urn:ietf:params:scim:schemas:core:2.0:Group:active",
        ] {
            let operation = json!([{ "op": "replace", "path": path, "value": false }]);
            assert_eq!(user(&body(&operation), &jane()).unwrap_err().scim_type, "invalidPath", "{path}");
        }
    }

    #[test]
    fn what_is_not_known_of_a_user_stands_in_no_deactivations_way() {
        let active = |active: bool| json!({ "op": "replace", "path": "active", "value": active });
        let whole = |active: bool| json!({ "op": "replace", "value": { "department": "x", "active": active } });
        for (odd, scim_type) in [
            (json!({ "op": "replace", "path": "department", "value": "x" }), "invalidPath"),
            (json!({ "op": "remove", "path": "active" }), "mutability"),
        ] {
            for operations in [json!([odd, active(false)]), json!([odd, whole(false)])] {
                assert_eq!(user(&body(&operations), &jane()), Ok(Some(false)), "{operations}");
            }
            for operations in [json!([odd]), json!([odd, active(true)]), json!([active(false), odd, active(true)])] {
                assert_eq!(user(&body(&operations), &jane()).unwrap_err().scim_type, scim_type, "{operations}");
            }
        }
        assert_eq!(user(&body(&json!([whole(false)])), &jane()), Ok(Some(false)));
        // What was meant for it deactivates nobody, and is no success.
        for refused in [whole(true), json!({ "op": "replace", "value": { "actve": false } })] {
            assert_eq!(user(&body(&json!([refused])), &jane()).unwrap_err().scim_type, "invalidPath", "{refused}");
        }
    }

    #[test]
    fn a_whole_resource_is_read_as_an_operation_without_a_path_is() {
        let ours = |resource: Value| attribute(&resource, "active", USER).cloned();
        let qualified = format!("{USER}:active");
        let other = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        for resource in [
            json!({ "Active": false }),
            json!({ USER: { "active": false } }),
            json!({ USER.to_lowercase(): { "ACTIVE": false } }),
            json!({ qualified: false }),
        ] {
            assert_eq!(ours(resource.clone()), Some(json!(false)), "{resource}");
        }
        for resource in [json!({}), json!({ other: { "active": false } }), json!({ GROUP: { "active": false } })] {
            assert_eq!(ours(resource.clone()), None, "{resource}");
        }
        let members = json!([{ "value": "a" }]);
        for group in [json!({ "Members": members }), json!({ GROUP: { "members": members } })] {
            assert_eq!(whole_group(&group), Ok(vec![MembersEdit::Replace(ids(&["a"]))]), "{group}");
        }
        assert_eq!(whole_group(&json!({ "members": [] })), Ok(vec![MembersEdit::Replace(vec![])]));
        assert_eq!(whole_group(&json!({ "displayName": "Engineers" })), Ok(vec![]));
        let error = whole_group(&json!({ "members": null })).unwrap_err();
        assert!(error.scim_type == "invalidValue" && error.detail.contains("send []"), "{error:?}");
    }

    /// Whoever takes one out of a long list sends all the others.
    #[test]
    fn a_whole_list_of_members_may_be_as_long_as_a_body_and_one_of_changes_may_not() {
        let list =
            |count: usize| json!((0..count).map(|n| json!({ "value": format!("{n:032x}") })).collect::<Vec<_>>());
        let edits = |op: &str, count| {
            group(&body(&json!([{ "op": op, "path": "members", "value": list(count) }])), &engineers())
        };
        let whole = edits("replace", 1_049).unwrap();
        assert!(matches!(whole.as_slice(), [MembersEdit::Replace(ids)] if ids.len() == 1_049));
        for op in ["add", "remove"] {
            assert!(edits(op, 1_000).is_ok(), "{op}");
            assert!(edits(op, 1_001).unwrap_err().detail.contains("at most 1000"), "{op}");
        }
    }

    #[test]
    fn nothing_that_a_user_holds_is_said_to_be_taken_away() {
        let [a, b] = ["role-a", "role-b"].map(|id| json!({ "value": id, "display": id }));
        let mut jane = jane();
        (jane["groups"], jane["roles"]) = (json!([a, b]), json!([]));
        for (operation, fits) in [
            (json!({ "op": "remove", "path": "groups", "value": [a] }), false),
            (json!({ "op": "remove", "path": "groups" }), false),
            (json!({ "op": "remove", "path": "groups[value eq \"role-a\"]" }), false),
            (json!({ "op": "replace", "path": "groups", "value": [a] }), false),
            (json!({ "op": "replace", "path": "groups", "value": [] }), false),
            (json!({ "op": "replace", "path": "groups", "value": [a, a] }), false),
            (json!({ "op": "remove", "path": "groups", "value": [{ "value": "role-c" }] }), true),
            (json!({ "op": "remove", "path": "roles" }), true),
            (json!({ "op": "replace", "path": "groups", "value": [b, a] }), true),
            (json!({ "op": "add", "path": "groups", "value": [a] }), true),
            (json!({ "op": "replace", "value": { "groups": [a], "roles": [] } }), true),
            (json!({ "op": "add", "path": "roles[primary eq \"True\"].value", "value": "admin" }), false),
        ] {
            let read = user(&body(&json!([operation])), &jane);
            assert_eq!(
                read.as_ref().err().map(|error| error.scim_type),
                (!fits).then_some("mutability"),
                "{operation}"
            );
            let ends = json!({ "op": "Replace", "path": "active", "value": "False" });
            assert_eq!(user(&body(&json!([operation, ends])), &jane), Ok(Some(false)), "{operation}");
        }
    }

    #[test]
    fn what_cannot_be_done_says_why() {
        for (operations, expected) in [
            (json!([]), "invalidSyntax"),
            (json!([{ "op": "move", "path": "members" }]), "invalidSyntax"),
            (json!([{ "op": "remove" }]), "noTarget"),
            (json!([{ "op": "add", "path": "members" }]), "invalidValue"),
            (json!([{ "op": "add", "path": "members", "value": [{ "id": "a" }] }]), "invalidValue"),
            (json!([{ "op": "add", "value": "a" }]), "invalidValue"),
            (json!([{ "op": "replace", "path": "displayName", "value": "x" }]), "mutability"),
            (json!([{ "op": "remove", "path": "members[value gt \"a\"]" }]), "invalidPath"),
            (json!([{ "op": "remove", "path": "owners" }]), "invalidPath"),
        ] {
            assert_eq!(group(&body(&operations), &engineers()).unwrap_err().scim_type, expected, "{operations}");
        }
        for (operations, expected) in [
            (json!([{ "op": "remove", "path": "active" }]), "mutability"),
            (json!([{ "op": "add", "path": "roles", "value": [{ "value": "Administrator" }] }]), "mutability"),
            (json!([{ "op": "replace", "path": "emails[type eq \"work\"].value", "value": "x" }]), "mutability"),
            (json!([{ "op": "replace", "path": "actve", "value": false }]), "invalidPath"),
            (json!([{ "op": "replace", "path": "active", "value": 1 }]), "invalidValue"),
        ] {
            assert_eq!(user(&body(&operations), &jane()).unwrap_err().scim_type, expected, "{operations}");
        }
        let other = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [{}] });
        assert_eq!(group(&other, &engineers()).unwrap_err().scim_type, "invalidSyntax");
    }
}
