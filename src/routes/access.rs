//! Who can do what on one object of the account, such as a domain: by a role on it, on all of its kind, or on the whole account, directly
//! or by a user group; and which API token can.

use crate::base::tree::{BTreeMap, BTreeSet};

use super::asking::Ports;
use super::catalog::Item;
use super::http::{Answer, Incoming, Problem};
use super::lists::ListReader;
use super::paging;
use crate::base::object::object_of;
use crate::model::access::{Access, Atom};
use crate::model::grant::Entitlement;
use crate::model::id::UserGroupId;
use crate::model::kind::Kind;
use crate::model::resource::{Member, Reach, Row, Token};
use crate::model::scope::{ObjectKind, Scope, covers};
use crate::snapshot::{Manifest, Snapshot};

/// What reaches the object.
#[derive(Debug, Default)]
struct Reaching {
    /// All roles, each with its name, and those that do with the key by which they do, or with [`PERHAPS`].
    roles: BTreeMap<Entitlement, (String, Option<String>)>,
    /// The user groups: the name, and what the policies of each are about.
    groups: BTreeMap<UserGroupId, (String, Vec<Held>)>,
}

/// What somebody holds, or is denied, or which of the two is not known.
type Held = (Entitlement, Access);

/// In place of a key: not all objects are listed, and this one may be among the others.
const PERHAPS: &str = "perhaps";

/// What the policies of a person or a group are about, and what they do with it.
fn held_by(manifest: &Manifest, row: &Row) -> Vec<Held> {
    let mut held: Vec<Held> = manifest.grants_of(row).into_iter().map(|(it, _)| (it, Access::Allow)).collect();
    let atoms = row.holder().map(|(_, atoms, _)| atoms).unwrap_or_default();
    let others = atoms.iter().filter(|atom| atom.access != Access::Allow);
    let of = |atom: &Atom| manifest.naming.entitlement_of(atom.permission_group, atom.resource_group);
    held.extend(others.map(|atom| (of(atom), atom.access)));
    held
}

/// Lists who can do what on an object, which is named by its key or by its name.
pub(super) async fn list<P: Ports>(ports: &P, asked: &str, request: &Incoming) -> Result<Answer, Problem> {
    let listing = ListReader::begin(ports, request).await?;
    let snapshot = &listing.snapshot;
    let mut keys = BTreeSet::new();
    let see = |row: Row| {
        let of_token = row.as_token().into_iter().flat_map(|token| &token.policies).map(|policy| &policy.scope);
        let mut scopes: Vec<&Scope> = of_token.collect();
        scopes.extend(row.reach().and_then(Reach::scope));
        let named = scopes.into_iter().flat_map(|scope| scope.0.iter());
        keys.extend(named.filter(|(_, name)| name.eq_ignore_ascii_case(asked)).map(|(key, _)| key.clone()));
    };
    snapshot.each(ports, &[Kind::SECRETS, Kind::OFFERING].concat(), see).await.map_err(paging::unreadable)?;
    let key = match (ObjectKind::of(asked).0, keys.len()) {
        (ObjectKind::Other, 0) if !asked.starts_with("com.cloudflare.") => {
            return Err(Problem::new(
                404,
                "not_found",
                format!(
                    "no role or token names {asked:?} by itself; ask by its key, such as com.cloudflare.api.account.zone.<id>, for those on all of its kind"
                ),
            ));
        }
        (ObjectKind::Other, 1) => keys.pop_first().unwrap_or_default(),
        (ObjectKind::Other, 2..) => {
            let all: Vec<String> = keys.into_iter().take(10).collect();
            return Err(Problem::invalid(format!(
                "{asked:?} is the name of several objects: name it by its key, which is one of {}",
                all.join(", ")
            )));
        }
        _ => asked.to_owned(),
    };
    let mut reaching = Reaching::default();
    let roles = |row: Row| {
        let Some((entitlement, name)) = row.offered() else { return };
        let by = match row.reach() {
            Some(Reach::WholeAccount) => Some("account".to_owned()),
            Some(Reach::Objects(scope, unlisted)) => {
                let is_all_known = unlisted == 0 && !scope.is_empty();
                let by = scope.0.keys().find(|held| covers(held, &key)).cloned();
                by.or_else(|| (!is_all_known).then(|| PERHAPS.to_owned()))
            }
            None => return,
        };
        reaching.roles.insert(entitlement, (name, by));
    };
    snapshot.each(ports, Kind::OFFERING, roles).await.map_err(paging::unreadable)?;
    let Reaching { roles, mut groups } = reaching;
    let manifest = snapshot.manifest();
    let see = |row: Row| {
        if let Row::Group(group) = &row {
            groups.insert(group.id, (group.name.clone(), held_by(manifest, &row)));
        }
    };
    snapshot.each(ports, &[Kind::Group], see).await.map_err(paging::unreadable)?;
    let reaching = Reaching { roles, groups };
    let see = |row: &Row, snapshot: &Snapshot| match row.as_token() {
        Some(token) => by_token(token, row.kind(), &key, snapshot.manifest()),
        None => items(row, held_by(snapshot.manifest(), row), &reaching, &key),
    };
    listing.rows(Kind::ACTING, None, &see).await
}

/// What a token can do there: an item for each of its policies that reach it. What another of its policies denies stands beside.
fn by_token(token: &Token, kind: Kind, key: &str, manifest: &Manifest) -> Vec<Item> {
    let is_all_known = token.unlisted == 0 && !manifest.is_told_in_part("tokens", &token.id.to_string());
    let mut items = Vec::new();
    for policy in token.policies.iter().filter(|_| token.is_active()) {
        let by = policy.scope.0.keys().find(|held| covers(held, key)).map(String::as_str);
        let Some(by) = by.or_else(|| (!is_all_known).then_some(PERHAPS)) else { continue };
        let names: Vec<&str> = policy.names().take(TOLD).collect();
        let more = if policy.groups.len() > TOLD { ", …" } else { "" };
        let role = policy.access.told(format!("{}{more}", names.join(", ")));
        items.push(told(key, (kind, token.id.to_string()), ["", &token.name], "", role, by, ["", ""]));
    }
    items
}

/// What somebody can do there: who by id, and the address and the name of that one; what; how far that reaches; and the id and the name of the user
/// group that it comes through.
fn told(
    key: &str,
    (kind, id): (Kind, String),
    [email, name]: [&str; 2],
    entitlement: &str,
    role: String,
    by: &str,
    [group, group_name]: [&str; 2],
) -> Item {
    Item::Other(object_of(vec![
        ("resource_key", key.into()),
        ("principal_type", kind.as_str().into()),
        ("principal_id", id.into()),
        ("email", email.into()),
        ("display_name", name.into()),
        ("entitlement_id", entitlement.into()),
        ("role", role.into()),
        ("reach", reach(by, key).into()),
        ("group_id", group.into()),
        ("group_name", group_name.into()),
    ]))
}

/// At most this many of a token's permission groups are told by name.
const TOLD: usize = 20;

/// Whether something is on the object itself, on every one of its kind, or on the whole account; or perhaps.
fn reach(by: &str, key: &str) -> &'static str {
    match by {
        "account" => "account",
        PERHAPS => PERHAPS,
        by if by == key => "object",
        by if ObjectKind::of(by).0 == ObjectKind::Account => "account",
        _ => "every",
    }
}

/// What one person can do there, is denied, or perhaps can do: each role once for each way to it.
fn items(row: &Row, held: Vec<Held>, reaching: &Reaching, key: &str) -> Vec<Item> {
    let Some(member) = row.as_member() else { return Vec::new() };
    let mut items = Vec::new();
    for held in held {
        items.extend(item(member, held, None, reaching, key));
        if let (Entitlement::Group(group), Access::Allow) = held
            && let Some((name, brings)) = reaching.groups.get(&group)
        {
            items.extend(brings.iter().filter_map(|&it| item(member, it, Some((group, name)), reaching, key)));
        }
    }
    items
}

fn item(
    member: &Member,
    (entitlement, access): Held,
    through: Option<(UserGroupId, &String)>,
    reaching: &Reaching,
    key: &str,
) -> Option<Item> {
    // What nobody holds, but is denied or in a policy of an unknown kind, is in no list of roles, and neither is what nobody held when the
    // account was looked through.
    let is_role = !matches!(entitlement, Entitlement::Group(_));
    let unlisted = || is_role.then(|| (entitlement.resource(), Some(PERHAPS.to_owned())));
    let (role, by) = reaching.roles.get(&entitlement).cloned().or_else(unlisted)?;
    let by = by?;
    let id = if access == Access::Allow { entitlement.to_string() } else { String::new() };
    let principal = member.principal();
    let (group, group_name) = through.map(|(group, name)| (group.to_string(), name.as_str())).unwrap_or_default();
    Some(told(
        key,
        (principal.kind(), principal.id()),
        [&member.email, &member.display_name()],
        &id,
        access.told(role),
        &by,
        [&group, group_name],
    ))
}
