//! The texts of signals. C1 takes 64 KB at most: what does not fit is left out, and how much that is, is said.

use crate::base::object::{object, put};
use crate::base::order;

use serde_json::{Map, Value};

use super::cap::CapReached;
use super::foreign::ForeignGrant;
use super::kind::SignalKind;
use crate::model::grant::Grant;
use crate::model::kind::Kind;
use crate::snapshot::{Catalogue, Change, ChangeKind, Manifest, RunRecord, SnapshotError};

/// C1 takes 64 KB; a few are left for what is counted another way.
pub(super) const MAX_BODY: usize = 63 * 1024;

/// A change lists this many grants of a person or group at most, new and gone each.
const MAX_GRANTS: usize = 50;

/// At most this many parts tell of findings; the API has all of them.
const MAX_PARTS: usize = 4;

/// At most this many parts name new Super Administrators. All parts stand in one value of the Coordinator's storage, which takes 2 MB, and in which a
/// text of nothing but quotes is twice as long.
const MAX_NAMING_PARTS: usize = 12;

/// Names and addresses are cut to this: what comes from outside must not fill a signal.
const MAX_NAME: usize = 320;

/// A message is cut to this.
const MAX_MESSAGE: usize = 4_000;

/// At most this many changes of a generation are kept that have grants, and as many that have none; those that must not be missed are kept
/// beside them.
pub(super) const MAX_CHANGES: usize = if cfg!(test) { 1_000 } else { 20_000 };

/// What changed between two generations.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    pub(super) items: Vec<Change>,
    /// Whether there are more than these.
    pub(super) more: bool,
    /// Whether some of those have grants.
    pub(super) more_grants: bool,
    pub(super) with_grants: usize,
    /// Whether the account itself is set otherwise, a scoped role reaches something else, or a list cannot be read any more.
    pub(super) posture: bool,
}

impl Changes {
    /// Takes in one more as long as there is room for its like. What concerns Super Administrators always is, and so are invitations, which
    /// explain what somebody holds who accepted one.
    pub(super) fn keep(&mut self, change: Change, catalogue: &Catalogue) {
        let has_grants = change.has_grants();
        let reaches_otherwise = reaches_otherwise(&change);
        self.posture |= reaches_otherwise;
        let is_needed = reaches_otherwise || change.key.starts_with(&Kind::Invitation.prefix()) && has_grants;
        let like = if has_grants { self.with_grants } else { self.items.len() - self.with_grants };
        if like < MAX_CHANGES || is_needed || concerns_super_administrator(&change, catalogue) {
            self.with_grants += usize::from(has_grants);
            self.items.push(change);
        } else {
            self.more = true;
            self.more_grants |= has_grants;
        }
    }
}

/// A sync failed, or was held back.
pub(super) fn sync_failed(account: &str, event_id: &str, run: &RunRecord) -> String {
    object!({
        "event": SignalKind::SyncFailed.as_str(), "version": 1, "event_id": event_id, "account_id": account,
        "run": run.run, "outcome": run.outcome, "message": cut(&run.message, MAX_MESSAGE),
        "started_at": run.started_at, "finished_at": run.finished_at, "generation": run.generation,
    })
    .to_string()
}

/// Revokes or removals wait, or are refused, since as many as are allowed were carried out.
pub(super) fn removal_cap_reached(account: &str, event_id: &str, cap: &CapReached<'_>) -> String {
    object!({
        "event": SignalKind::RemovalCapReached.as_str(), "version": 1, "event_id": event_id, "account_id": account, "at": cap.at,
        "message": cut(cap.message, MAX_MESSAGE), "operation": cap.operation, "email": cut(cap.email, MAX_NAME),
    })
    .to_string()
}

/// What is common to the signals about a generation.
fn about(kind: SignalKind, account: &str, event_id: &str, run: &RunRecord, new: Option<&Manifest>) -> Value {
    object!({
        "event": kind.as_str(), "version": 1, "event_id": event_id, "account_id": account, "run": run.run,
        "generation": run.generation, "previous": new.and_then(|new| new.previous.as_ref()), "at": run.finished_at,
    })
}

/// Access changed: a summary, and as much of the difference as fits, Super Administrator first.
pub(super) fn access_changed(
    account: &str,
    event_id: &str,
    run: &RunRecord,
    new: &Manifest,
    catalogue: &Catalogue,
    changes: &Changes,
) -> String {
    let count = |kind| changes.items.iter().filter(|change| change.kind == kind).count();
    let mut body = about(SignalKind::AccessChanged, account, event_id, run, Some(new));
    extend(
        &mut body,
        object!({
            "summary": object!({
                "added": count(ChangeKind::Added), "removed": count(ChangeKind::Removed), "changed": count(ChangeKind::Changed),
                "grants_added": changes.items.iter().map(|change| change.grants_added.len()).sum::<usize>(),
                "grants_removed": changes.items.iter().map(|change| change.grants_removed.len()).sum::<usize>(),
                "more": changes.more,
            }),
            "posture_changed": changes.posture,
            "all": new.previous.as_ref().map(|previous| format!("/v1/changes?since={previous}")),
        }),
    );
    let mut ordered: Vec<&Change> = changes.items.iter().collect();
    order::sort_by_key(&mut ordered, |change| {
        (!concerns_super_administrator(change, catalogue), !reaches_otherwise(change))
    });
    let items: Vec<Value> = ordered.into_iter().map(|change| shown(change, catalogue)).collect();
    let fitting = fitting(&body, &items);
    extend(
        &mut body,
        object!({
            "left_out": items.len() - fitting,
            "changes": items.into_iter().take(fitting).collect::<Vec<_>>(),
        }),
    );
    body.to_string()
}

/// Something changed, and what exactly can no longer be found out.
pub(super) fn unknown(kind: SignalKind, account: &str, event_id: &str, run: &RunRecord, why: &SnapshotError) -> String {
    let mut body = about(kind, account, event_id, run, None);
    let message = format!("What changed cannot be told one by one, since {why}: look at the account.");
    extend(&mut body, object!({ "summary": run.changes, "message": message }));
    body.to_string()
}

/// Somebody was given access past C1: in as many parts as it takes to name every new Super Administrator, twelve at most. There may be more such
/// grants than these.
pub(super) fn foreign_change(
    account: &str,
    event_id: impl Fn(usize) -> String,
    run: &RunRecord,
    new: &Manifest,
    grants: &[ForeignGrant],
    more: bool,
) -> Vec<String> {
    let mut items: Vec<(bool, Value)> =
        grants.iter().map(|grant| (grant.super_administrator, foreign(grant))).collect();
    order::sort_by_key(&mut items, |(super_administrator, _)| !super_administrator);
    let whole = items.len();
    let administrators = items.iter().filter(|(super_administrator, _)| *super_administrator).count();
    let at_least = if more { "At least " } else { "" };
    let mut rest: Vec<Value> = items.into_iter().map(|(_, item)| item).collect();
    let mut bodies = Vec::new();
    let mut told = 0;
    while !rest.is_empty() && (bodies.is_empty() || told < administrators && bodies.len() < MAX_NAMING_PARTS) {
        let mut body = about(SignalKind::ForeignChange, account, &event_id(bodies.len()), run, Some(new));
        extend(
            &mut body,
            object!({
                "part": bodies.len() + 1,
                "summary": object!({ "grants": whole, "super_administrators": administrators, "more": more }),
                "message": format!(
                    "{at_least}{whole} grants appeared in Cloudflare that nobody asked this connector for; {administrators} of them make Super Administrators."
                ),
            }),
        );
        // One at least goes into every part, so that there is an end.
        let fitting = fitting(&body, &rest).clamp(1, rest.len());
        let later = rest.split_off(fitting);
        told += fitting;
        extend(&mut body, object!({ "left_out": later.len(), "grants": rest }));
        bodies.push(body.to_string());
        rest = later;
    }
    bodies
}

/// Findings that were opened or closed.
#[derive(Debug, Default)]
pub struct ToldFindings {
    /// How many were opened.
    pub opened: usize,
    /// How many were closed.
    pub closed: usize,
    /// As many of them as there may be room for, as the API shows them: those first that matter most.
    pub first: Vec<Value>,
}

/// Findings were opened or closed: those that matter most first, in as many parts as it takes, four at most.
pub(super) fn findings(
    account: &str,
    event_id: impl Fn(usize) -> String,
    run: &RunRecord,
    told: ToldFindings,
) -> Vec<String> {
    let ToldFindings { opened, closed, first: mut items } = told;
    let beyond = (opened + closed).saturating_sub(items.len());
    let mut bodies = Vec::new();
    while !items.is_empty() && bodies.len() < MAX_PARTS {
        let mut body = about(SignalKind::Finding, account, &event_id(bodies.len()), run, None);
        extend(
            &mut body,
            object!({
                "part": bodies.len() + 1, "summary": object!({ "opened": opened, "closed": closed }), "all": "/v1/findings",
                "message": format!("Findings about the Cloudflare account: {opened} new, {closed} over."),
            }),
        );
        let fitting = fitting(&body, &items).clamp(1, items.len());
        let later = items.split_off(fitting);
        extend(&mut body, object!({ "left_out": later.len() + beyond, "findings": items }));
        bodies.push(body.to_string());
        items = later;
    }
    bodies
}

fn foreign(grant: &ForeignGrant) -> Value {
    object!({
        "to": cut(&grant.to, MAX_NAME), "principal": grant.principal.to_string(), "entitlement": grant.entitlement.to_string(),
        "name": cut(&grant.name, MAX_NAME), "super_administrator": grant.super_administrator,
        "by": grant.by,
    })
}

fn concerns_super_administrator(change: &Change, catalogue: &Catalogue) -> bool {
    let mut grants = change.grants_added.iter().chain(&change.grants_removed);
    grants.any(|grant| catalogue.makes_super_administrator(grant.entitlement))
}

/// Whether a scoped role reaches something else than before: whoever holds it has the same grants, and they give something else.
fn reaches_otherwise(change: &Change) -> bool {
    change.fields.iter().any(|field| field == "reach")
}

/// A change with the names of what was granted or taken away.
fn shown(change: &Change, catalogue: &Catalogue) -> Value {
    let names = |grants: &[Grant]| -> Vec<Value> {
        let of = |it| object!({ "entitlement": it, "name": cut(&catalogue.name(it), MAX_NAME) });
        grants.iter().take(MAX_GRANTS).map(|grant| of(grant.entitlement)).collect()
    };
    let mut fields = Map::new();
    put(&mut fields, "kind", &change.kind);
    put(&mut fields, "key", &change.key);
    put(&mut fields, "name", &cut(&change.name, MAX_NAME));
    for (field, grants) in [("granted", &change.grants_added), ("taken_away", &change.grants_removed)] {
        if !grants.is_empty() {
            put(&mut fields, field, &names(grants));
        }
    }
    let cut_off =
        change.grants_added.len().saturating_sub(MAX_GRANTS) + change.grants_removed.len().saturating_sub(MAX_GRANTS);
    if cut_off > 0 {
        put(&mut fields, "grants_left_out", &cut_off);
    }
    if !change.fields.is_empty() {
        put(&mut fields, "fields", &change.fields);
    }
    Value::Object(fields)
}

/// How many of the items, in their order, fit into a body beside what it has already.
fn fitting(body: &Value, items: &[Value]) -> usize {
    // What is added: `,"left_out":<number>,"changes":[…]`.
    let mut room = MAX_BODY.saturating_sub(body.to_string().len() + 64);
    let mut count = 0;
    for item in items {
        let size = item.to_string().len() + 1;
        if size > room {
            break;
        }
        room -= size;
        count += 1;
    }
    count
}

fn extend(body: &mut Value, more: Value) {
    if let (Value::Object(body), Value::Object(more)) = (body, more) {
        body.extend(more);
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
