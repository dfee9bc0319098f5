//! Which new grants are somebody else's doing: those that no operation of ours in the journal explains.
//!
//! **Invariant:** an operation explains one gain: neither what comes after a later one of ours took it back, nor what comes after it was told.

use crate::base::tree::{BTreeMap, BTreeSet};

use super::settings::ToldBy;
use crate::account::default_role::Configured;
use crate::account::overlay::LAG_SECS;
use crate::audit::{Author, entries};
use crate::base::ports::{Sql, SqlError};
use crate::base::time::Timestamp;
use crate::ledger::record;
use crate::model::address;
use crate::model::ask::Action;
use crate::model::grant::{Entitlement, Grant, Holding, Principal};
use crate::model::id::PermissionGroupId;
use crate::model::kind::Kind;
use crate::model::operation::Target;
use crate::provision::journal::{self, Own};
use crate::snapshot::{Catalogue, Change, ChangeKind, Manifest, Naming};

/// A crawl reads a member at some time after it began; a read may also be older than it seems, by this much at most.
const MARGIN_SECS: i64 = 10 * 60;

/// A new grant that nobody asked this connector for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ForeignGrant {
    /// The e-mail address of the person, or the name of the user group.
    pub(super) to: String,
    /// Who that is.
    pub(super) principal: Principal,
    /// What was granted.
    pub(super) entitlement: Entitlement,
    /// Its name.
    pub(super) name: String,
    /// Whether it makes a Super Administrator.
    pub(super) super_administrator: bool,
    /// Who granted it, as far as the audit log tells.
    pub(super) by: Author,
}

/// Finds the grants of a newer generation that neither the older one nor the journal explains.
pub(super) fn find(
    sql: &dyn Sql,
    by: ToldBy<'_>,
    (old, new): (&Manifest, &Manifest),
    catalogue: &Catalogue,
    changes: &[Change],
) -> Result<Vec<ForeignGrant>, SqlError> {
    let since = old.started_at.plus_secs(-MARGIN_SECS);
    let own = journal::own_since(sql, since, new.finished_at)?;
    let arrived = changes.iter().filter(|change| change.kind == ChangeKind::Added && change.member_id.is_some());
    let arrived: BTreeSet<String> = arrived.map(|change| address::folded(&change.name)).collect();
    let explained = explained(by, new, catalogue, &own, &arrived);
    let is_taken =
        |name: &str, it, since| own.iter().any(|operation| took(operation, name, it, (since, new), catalogue));
    // What somebody held as invited, and holds as a member, or as invited again.
    let mut invited: BTreeMap<String, BTreeSet<Entitlement>> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.key.starts_with(&Kind::Invitation.prefix())) {
        let name = address::folded(&change.name);
        let held = change.grants_removed.iter().map(|grant| grant.entitlement);
        // What an operation of ours took from the invitation did not go on.
        let held = held.filter(|it| !is_taken(&name, *it, old.started_at));
        invited.entry(name.clone()).or_default().extend(held.collect::<Vec<_>>());
    }
    let brought_back: Vec<(String, Timestamp)> = own.iter().filter_map(renewed).collect();
    // A sweep that could not read a list has found nobody in it.
    let is_whole = ["members", "user_groups", "user_group_members"].iter().all(|list| old.is_whole(list));
    let found_so = (by.found_so_since)(sql, &old.generation)?.filter(|_| is_whole);
    let mut found = Vec::new();
    for change in changes {
        let to = address::folded(&change.name);
        // What was given under the address of before is held under the one of now.
        let former = change.former_name.as_deref().map(address::folded);
        let before: BTreeSet<Entitlement> = change.grants_removed.iter().map(|grant| grant.entitlement).collect();
        for grant in &change.grants_added {
            let &Grant { entitlement, principal } = grant;
            let (holder, what) = (principal.to_string(), entitlement.to_string());
            let of = (holder.as_str(), what.as_str());
            let of_group = matches!(principal, Principal::Group(_));
            let mut held_as_invited = !of_group && invited.get(&to).is_some_and(|held| held.contains(&entitlement));
            for (_, since) in brought_back.iter().filter(|(whom, _)| !of_group && *whom == to) {
                held_as_invited |= !is_taken(&to, entitlement, *since)
                    && record::lost_since(sql, (&to, &what), *since, new.finished_at)?;
            }
            let renamed = older_name(entitlement, &old.naming, &new.naming).is_some_and(|old| before.contains(&old));
            if held_as_invited || renamed || record::is_first_seen(grant, old, new) {
                continue;
            }
            // One between the two may have it, that is lost since, so that what is compared is older.
            let told_between = record::told_between(sql, of, (&old.generation, &new.generation))?;
            let seen = told_between.unwrap_or(new.finished_at);
            let given_to = |name: &String| explained.get(&(name.clone(), entitlement)).copied();
            let given = given_to(&to).or_else(|| given_to(former.as_ref()?));
            let ours = match given.filter(|_| !of_group) {
                Some(given_at) => {
                    let told = record::told_before(sql, (of.0, None, of.1), true, seen)?;
                    told.is_none_or(|told| told < given_at)
                }
                None => false,
            };
            let super_administrator = catalogue.makes_super_administrator(entitlement);
            // Where the one between was lost before its signal was made, nobody was told: a Super Administrator is rather told twice.
            if ours || !super_administrator && told_between.is_some() {
                continue;
            }
            let group = match (principal, entitlement) {
                (Principal::Group(id), _) | (_, Entitlement::Group(id)) => Some(id.to_string()),
                _ => None,
            };
            let member = change.member_id.map(|id| id.to_string());
            // What was done before the account was last read as the older generation has it is in that one, but for how far a read may be behind. A
            // small publication has what was read before it began.
            let from = found_so.map_or(since, |found_so| found_so.plus_secs(-LAG_SECS));
            let from = record::changed_since(sql, of, seen)?.map_or(from, |changed| from.max(changed));
            let by = entries::author_of(sql, member.as_deref(), group.as_deref(), from, seen)?;
            found.push(ForeignGrant {
                by: by.filter(|by| !by.who.is_empty()).unwrap_or_else(Author::unknown),
                to: change.name.clone(),
                principal,
                entitlement,
                name: catalogue.name(entitlement),
                super_administrator,
            });
        }
    }
    Ok(found)
}

/// Whether an operation took an entitlement from an invitation since a time: with the account, or by itself.
fn took(
    operation: &Own,
    name: &str,
    entitlement: Entitlement,
    (since, new): (Timestamp, &Manifest),
    catalogue: &Catalogue,
) -> bool {
    let is_of = operation.email.as_deref().is_some_and(|email| address::folded(email) == name);
    let is_since = operation.settled_at >= Some(since);
    operation.request.action == Action::Revoke
        && is_of
        && is_since
        && match (operation.effect.as_deref(), operation.what) {
            (Some("removed"), _) => true,
            (Some("revoked"), Some(Holding::Entitlement(it))) => {
                let it = canonical(it, &new.naming, catalogue);
                it == canonical(entitlement, &new.naming, catalogue)
            }
            _ => false,
        }
}

/// Whose invitation an operation made again, or is making again, and since when: between the two there may have been a generation without either.
fn renewed(operation: &Own) -> Option<(String, Timestamp)> {
    let is_one = operation.request.target == Target::Renewal || operation.effect.as_deref() == Some("renewed");
    let email = operation.email.as_deref().filter(|_| is_one)?;
    Some((address::folded(email), operation.received_at))
}

/// Who was given what by us, under the names of the newer generation, and when; what we took back before its sync began is not among it. One that
/// is under way may come at any time. Who has `arrived` is in the newer generation alone.
fn explained(
    by: ToldBy<'_>,
    new: &Manifest,
    catalogue: &Catalogue,
    own: &[Own],
    arrived: &BTreeSet<String>,
) -> BTreeMap<(String, Entitlement), Timestamp> {
    let first = by.default_role.in_catalogue(catalogue);
    let minimal = Configured::default().in_catalogue(catalogue).filter(|_| by.last_role_is_minimal);
    let mut explained = BTreeMap::new();
    for operation in own {
        let request = &operation.request;
        let asked = request.subject.emails.iter().map(|email| address::folded(email));
        // Whose membership it was is noted once it is known; until then it may be any of the addresses.
        let emails: Vec<String> =
            operation.email.as_deref().map_or_else(|| asked.collect(), |email| vec![address::folded(email)]);
        let mut gave: Vec<Entitlement> = Vec::new();
        if request.action == Action::Revoke {
            if let (Some(effect), true) = (&operation.effect, operation.settled_at <= Some(new.started_at)) {
                let took = match operation.what {
                    Some(Holding::Entitlement(entitlement)) if effect != "removed" => {
                        Some(canonical(entitlement, &new.naming, catalogue))
                    }
                    _ => None,
                };
                // One that was settled after this one arrived may have been carried out after it.
                explained.retain(|(email, given), given_at| {
                    !emails.contains(email)
                        || took.is_some_and(|took| took != *given)
                        || *given_at > operation.received_at
                });
            }
            // The revoke of the last access may leave another in its place.
            gave.extend(minimal);
        } else {
            match (operation.what, &request.target) {
                (Some(Holding::Entitlement(entitlement)), _) => gave.push(entitlement),
                (None, Target::Entitlement(entitlement)) => gave.push(*entitlement),
                (None, Target::Named(named)) => {
                    gave.extend(named.entitlements());
                }
                (Some(Holding::Account), _) | (None, Target::Account | Target::Renewal) => {}
            }
            // Who is invited gets a first role: with an account, or with a user group, of which the effect is the same for a member.
            let has_invited = if gave.is_empty() {
                matches!(operation.effect.as_deref(), None | Some("invited"))
            } else {
                gave.iter().all(|it| matches!(it, Entitlement::Group(_)))
                    && emails.iter().any(|email| arrived.contains(email))
            };
            if has_invited {
                gave.extend(first);
            }
        }
        let given_at = operation.settled_at.unwrap_or(new.finished_at);
        for email in emails {
            for &it in &gave {
                explained.insert((email.clone(), canonical(it, &new.naming, catalogue)), given_at);
            }
        }
    }
    explained
}

/// An entitlement under the id that a generation has it under: a role may also have been named by its permission group.
fn canonical(entitlement: Entitlement, naming: &Naming, catalogue: &Catalogue) -> Entitlement {
    match entitlement {
        Entitlement::Role(id) if catalogue.get(entitlement).is_none() => {
            Entitlement::Role(naming.role_of(PermissionGroupId::from(id)))
        }
        Entitlement::ScopedRole(role) => naming.entitlement_of(role.permission_group, role.resource_group),
        Entitlement::Role(_) | Entitlement::Group(_) => entitlement,
    }
}

/// What an older generation called an entitlement, where it called it otherwise.
fn older_name(entitlement: Entitlement, old: &Naming, new: &Naming) -> Option<Entitlement> {
    let Entitlement::Role(role) = entitlement else { return None };
    let group = new.roles.iter().find(|(_, id)| **id == role).map_or_else(|| role.into(), |(group, _)| *group);
    let earlier = match old.account_resource_group.or(new.account_resource_group) {
        Some(account) if old.account_resource_group == new.account_resource_group => old.entitlement_of(group, account),
        Some(_) => Entitlement::scoped(group, new.account_resource_group?),
        None => return None,
    };
    (earlier != entitlement).then_some(earlier)
}
