//! What a grant or a revoke would change, from the newest generation and what is known to have changed since: what is reached more or less, which
//! rule would stop it, and which findings it would open or close. Nothing is written, and nothing is asked of Cloudflare.

use std::cell::Cell;

use serde::Serialize;
use serde_json::{Value, json};

use super::settings::Settings;
use crate::account::default_role::Configured;
use crate::account::person::{Candidates, Meant, has_address};
use crate::account::{Stopped, identity, newest, overlay};
use crate::base::json::Deserialize;
use crate::base::ports::{Clock, KeyValue, Sql};
use crate::base::time::Timestamp;
use crate::base::tree::{BTreeMap, BTreeSet};
use crate::findings;
use crate::model::access::Atom;
use crate::model::address;
use crate::model::ask::{Action, Subject};
use crate::model::grant::{Entitlement, Principal};
use crate::model::id::UserGroupId;
use crate::model::kind::Kind;
use crate::model::operation::Outcome;
use crate::model::resource::{Member, MemberStatus, Reach, Row};
use crate::model::scope::{ObjectKind, told};
use crate::provision::foresee::{About, Fate, Thought, foresee};
use crate::provision::resolve::ACCOUNT;
use crate::snapshot::{Catalogue, Overlay, Snapshot};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinking {
    /// Who it is about.
    pub who: Who,
    /// Grant or revoke.
    pub action: Action,
    /// What it is about; nothing for the account itself, which somebody is invited to or removed from.
    pub entitlement: Option<Entitlement>,
}

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Somebody of the generation.
    Known(Principal),
    /// Whoever has this e-mail address.
    Address(String),
}

/// At most this many objects are told of one entitlement.
const TOLD: usize = 100;

/// At most this many names are told in the first line.
const IN_LINE: usize = 5;

/// Why there is no answer.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoAnswer {
    /// The generation has no such person or entitlement.
    Unknown(String),
    /// Not now.
    NotNow(String),
}

impl From<Stopped> for NoAnswer {
    fn from(stopped: Stopped) -> Self {
        Self::NotNow(stopped.to_string())
    }
}

fn unreadable(error: impl std::fmt::Display) -> NoAnswer {
    NoAnswer::NotNow(format!("the newest generation cannot be read: {error}"))
}

/// What is known of the account for an answer.
struct Known {
    /// The newest generation, with what is known to have changed since.
    snapshot: Snapshot,
    over: Overlay,
    catalogue: Catalogue,
    /// Whose access it is; of somebody who would be invited, what is known without an invitation.
    member: Member,
    is_new: bool,
    /// Whether the account itself is asked for, whatever somebody new gets with it.
    is_account: bool,
    /// What is asked for; nothing where that is the account of somebody who has one.
    entitlement: Option<Entitlement>,
    name: String,
    admin_groups: BTreeSet<UserGroupId>,
    other_admins: usize,
}

/// A question that is under way keeps others from being answered for this long at most: one whose request was killed never ends.
const LEASE_SECS: i64 = 60;

/// The whole answer, which is worked out where grants and revokes have their turn: one at a time, and after one that took more than a quarter of a
/// second none for a while. `next` is when there may be another.
pub(super) async fn answer<P: KeyValue + Clock + Sql>(
    ports: &P,
    settings: &Settings,
    next: &Cell<Option<Timestamp>>,
    asked: Thinking,
) -> Result<Value, NoAnswer> {
    let began = ports.now();
    if Some(began) < next.get() {
        return Err(NoAnswer::NotNow("another question is being answered, or was a moment ago".to_owned()));
    }
    next.set(Some(began.plus_secs(LEASE_SECS)));
    let answer = worked_out(ports, settings, asked).await;
    // The clock stands still while anything is computed.
    ports.sleep(1).await;
    let now = ports.now();
    next.set(Some(now.plus_millis(4 * now.since(began) - 1_000)));
    answer
}

async fn worked_out<P: KeyValue + Clock + Sql>(
    ports: &P,
    settings: &Settings,
    asked: Thinking,
) -> Result<Value, NoAnswer> {
    let known = known(ports, settings, &asked).await?;
    let fate = known.fate(ports, settings, asked.action).await?;
    let line = known.line(ports, asked.action, &fate).await?;
    let (mut gains, mut loses, mut opens, mut closes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    if let Fate::Made(after) = &fate {
        let (before, after) =
            (known.reached(&known.member), after.as_deref().map(|after| known.reached(after)).unwrap_or_default());
        gains = known.told(ports, &after, &before).await?;
        loses = known.told(ports, &before, &after).await?;
        // What is found of an invitation is found with time.
        if !known.is_new {
            let changed = known.with(fate.clone());
            (opens, closes) =
                findings::compare(ports, &settings.findings, (&known.snapshot, &changed)).await.map_err(unreadable)?;
        }
    }
    let refused = match &fate {
        Fate::Stopped(Outcome::Refused { code, message }) => json!({ "code": code, "message": message }),
        Fate::Stopped(outcome) => json!({ "code": "not_now", "message": outcome.message() }),
        Fate::AlreadySo | Fate::Made(_) => Value::Null,
    };
    Ok(json!({
        "principal": (!known.is_new).then(|| known.member.principal().to_string()),
        "email": known.member.email,
        "display_name": known.member.display_name(),
        "action": asked.action,
        "entitlement_id": known.entitlement.map(|it| it.to_string()),
        "entitlement": known.name,
        "line": line,
        "changes": matches!(fate, Fate::Made(_)),
        "removes_member": matches!(fate, Fate::Made(None)),
        "refused_by": refused,
        "gains": gains,
        "loses": loses,
        "findings": { "opens": opens, "closes": closes },
        "generation": known.snapshot.manifest().generation,
    }))
}

/// The first line alone: what a comment on a task carries.
pub(super) async fn line<P: KeyValue + Clock + Sql>(
    ports: &P,
    settings: &Settings,
    asked: &Thinking,
) -> Result<String, NoAnswer> {
    let known = known(ports, settings, asked).await?;
    let fate = known.fate(ports, settings, asked.action).await?;
    known.line(ports, asked.action, &fate).await
}

/// Whether somebody new is invited with this and nothing else: a group comes after the invitation, with the role of a new account.
const fn is_invited_with(asked: Option<Entitlement>) -> bool {
    !matches!(asked, Some(Entitlement::Group(_)))
}

async fn known<P: KeyValue + Clock + Sql>(ports: &P, settings: &Settings, asked: &Thinking) -> Result<Known, NoAnswer> {
    // By an older one somebody who came since would be nobody.
    let snapshot = newest(ports).await?.last()?.clone();
    let over = overlay::over(ports, &snapshot.manifest().generation, None).map_err(unreadable)?;
    let snapshot = snapshot.with(over.clone());
    let unknown = |what: &dyn std::fmt::Display| NoAnswer::Unknown(format!("the newest generation has no {what}"));
    let mut is_new = false;
    let member = match &asked.who {
        Who::Known(principal) => {
            let row = snapshot.get(ports, &principal.to_string()).await.map_err(unreadable)?;
            row.as_ref().and_then(Row::as_member).cloned().ok_or_else(|| unknown(principal))?
        }
        Who::Address(address) => match by_address(ports, &snapshot, address).await? {
            Some(member) => member,
            None if asked.action == Action::Grant
                && is_invited_with(asked.entitlement)
                && address::is_address(address) =>
            {
                is_new = true;
                nobody_yet(address)?
            }
            None => {
                return Err(NoAnswer::Unknown(format!("nobody in the newest generation has the address {address:?}")));
            }
        },
    };
    let catalogue = Catalogue::load(ports, &snapshot).await.map_err(unreadable)?;
    let default_role = &settings.provision.default_role;
    let entitlement = match asked.entitlement {
        None if is_new => Some(default_role.in_catalogue(&catalogue).ok_or_else(|| unknown(default_role))?),
        asked => asked,
    };
    let name = match entitlement {
        Some(it) => catalogue.get(it).map(|it| it.name.clone()).ok_or_else(|| unknown(&it))?,
        None => "an account".to_owned(),
    };
    let admin_groups: BTreeSet<UserGroupId> = catalogue
        .iter()
        .filter_map(|it| match it.entitlement {
            Entitlement::Group(group) if catalogue.makes_super_administrator(it.entitlement) => Some(group),
            _ => None,
        })
        .collect();
    let mut other_admins = 0;
    let see = |row: Row| {
        let is_other = row.as_member().is_some_and(|other| {
            other.member_id != member.member_id
                && findings::counts_for_super_administrators(other, snapshot.manifest(), &catalogue)
        });
        let held = snapshot.manifest().grants_of(&row);
        other_admins += usize::from(is_other && held.iter().any(|(it, _)| catalogue.makes_super_administrator(*it)));
    };
    snapshot.each(ports, &[Kind::User], see).await.map_err(unreadable)?;
    let is_account = asked.entitlement.is_none();
    Ok(Known { snapshot, over, catalogue, member, is_new, is_account, entitlement, name, admin_groups, other_admins })
}

impl Known {
    /// What somebody has: each entitlement, and the name of the user group that brings it where it is not their own.
    fn reached(&self, member: &Member) -> BTreeMap<Entitlement, String> {
        let row = Row::member(member.clone());
        let held = self.snapshot.manifest().grants_of(&row);
        let mut all = BTreeMap::new();
        for (it, _) in &held {
            for &brought in self.catalogue.get(*it).map(|it| it.brings.as_slice()).unwrap_or_default() {
                all.entry(brought).or_insert_with(|| self.catalogue.name(*it));
            }
        }
        all.extend(held.into_iter().map(|(it, _)| (it, String::new())));
        all
    }

    async fn fate<P: Clock + Sql>(&self, ports: &P, settings: &Settings, action: Action) -> Result<Fate, NoAnswer> {
        let account = self.snapshot.manifest().naming.account_resource_group;
        let atom = |role: Entitlement| Some(Atom::allow(self.catalogue.get(role)?.permission_group?, account?));
        let about = match self.entitlement {
            None if action == Action::Grant => return Ok(Fate::AlreadySo),
            None => About::Account,
            Some(Entitlement::Group(group)) => About::Group(group),
            Some(Entitlement::ScopedRole(role)) => About::Atom(Atom::allow(role.permission_group, role.resource_group)),
            Some(role @ Entitlement::Role(_)) => About::Atom(atom(role).ok_or_else(|| {
                NoAnswer::Unknown(format!("{} cannot be granted: its permission group is not known", self.name))
            })?),
        };
        let held = self.reached(&self.member);
        let thought = Thought {
            member: &self.member,
            action,
            about,
            name: if self.is_account { ACCOUNT } else { &self.name },
            is_new: self.is_new,
            through: self
                .entitlement
                .and_then(|it| held.get(&it))
                .map(String::as_str)
                .filter(|group| !group.is_empty()),
            in_group: self.member.groups.iter().find_map(|&group| {
                let group = self.catalogue.get(Entitlement::Group(group))?;
                (!group.brings.is_empty()).then_some(group.name.as_str())
            }),
            minimal: Configured::default().in_catalogue(&self.catalogue).and_then(atom),
            admin_groups: &self.admin_groups,
            other_admins: self.other_admins,
            owner: identity::known_owner(ports, &settings.cloudflare)
                .map_err(|error| NoAnswer::NotNow(error.to_string()))?,
        };
        Ok(foresee(ports, &settings.provision, &thought).await?)
    }

    /// The generation as it would be.
    fn with(&self, fate: Fate) -> Snapshot {
        let after = if let Fate::Made(after) = fate { after.map(|after| *after) } else { Some(self.member.clone()) };
        let mut over = self.over.clone();
        over.members.retain(|(member, _)| *member != self.member.member_id);
        over.members.push((self.member.member_id, after));
        self.snapshot.clone().with(over)
    }

    /// What is in one and not in the other, each with what it reaches.
    async fn told<P: KeyValue>(
        &self,
        ports: &P,
        has: &BTreeMap<Entitlement, String>,
        lacks: &BTreeMap<Entitlement, String>,
    ) -> Result<Vec<Value>, NoAnswer> {
        let mut items = Vec::new();
        for (it, through) in has.iter().filter(|(it, _)| !lacks.contains_key(it)) {
            let (reach, unlisted) = self.objects(ports, *it).await?;
            items.push(json!({
                "entitlement_id": it.to_string(), "name": self.catalogue.name(*it), "through": through, "reach": reach,
                "unlisted": unlisted,
            }));
        }
        Ok(items)
    }

    /// The objects that an entitlement reaches, and how many beside.
    async fn objects<P: KeyValue>(&self, ports: &P, it: Entitlement) -> Result<(Vec<Value>, usize), NoAnswer> {
        let object = |kind: &str, told: String| json!({ "kind": kind, "told": told });
        let row = self.snapshot.get(ports, &it.resource()).await.map_err(unreadable)?;
        Ok(match row.as_ref().and_then(Row::reach) {
            Some(Reach::Objects(scope, unlisted)) => {
                let all = scope.0.iter().take(TOLD);
                let all = all.map(|(key, name)| object(ObjectKind::of(key).0.as_str(), told(key, name))).collect();
                let beside = scope.0.len().saturating_sub(TOLD) + usize::try_from(unlisted).unwrap_or_default();
                (all, beside)
            }
            Some(Reach::WholeAccount) => {
                (vec![object(ObjectKind::Account.as_str(), "the whole account".to_owned())], 0)
            }
            None => (Vec::new(), 0),
        })
    }

    /// The answer in one sentence or two.
    async fn line<P: KeyValue>(&self, ports: &P, action: Action, fate: &Fate) -> Result<String, NoAnswer> {
        let (who, name) = (&self.member.email, &self.name);
        let after = match fate {
            Fate::Stopped(outcome) => return Ok(format!("The connector would not do it: {}", outcome.message())),
            Fate::AlreadySo if action == Action::Grant => return Ok(format!("{who} has {name} already.")),
            Fate::AlreadySo => return Ok(format!("{who} does not have {name}.")),
            Fate::Made(None) if self.entitlement.is_none() => {
                return Ok(format!("{who} would be removed from the account, with everything they have in it."));
            }
            Fate::Made(None) => return Ok(format!("{who} would be removed from the account with this last access.")),
            Fate::Made(Some(after)) => after,
        };
        let (before, after) = (self.reached(&self.member), self.reached(after));
        let (more, less) = if action == Action::Grant { (&after, &before) } else { (&before, &after) };
        let mut reached = BTreeSet::new();
        for it in more.keys().filter(|it| !less.contains_key(it)) {
            let (objects, _) = self.objects(ports, *it).await?;
            reached.extend(objects.iter().filter_map(|object| object.get("told")?.as_str().map(str::to_owned)));
        }
        let beside = reached.len().saturating_sub(IN_LINE);
        let list = reached.into_iter().take(IN_LINE).collect::<Vec<_>>().join(", ");
        let beside = if beside > 0 { format!(" and {beside} more") } else { String::new() };
        Ok(match (action, list.is_empty()) {
            (Action::Grant, _) if self.is_new => {
                format!(
                    "{who} would be invited with {name}, which reaches {list}{beside} once the invitation is accepted."
                )
            }
            (Action::Grant, true) => {
                format!("{who} would get {name}, and reach nothing by it that is not reached already.")
            }
            (Action::Grant, false) => format!("{who} would get {name}, which reaches {list}{beside}."),
            (Action::Revoke, true) => format!("{who} would lose {name}, and reach as much as before."),
            (Action::Revoke, false) => format!("{who} would lose {name}, which reaches {list}{beside}."),
        })
    }
}

/// Somebody who would be invited.
fn nobody_yet(email: &str) -> Result<Member, NoAnswer> {
    let none = "0".repeat(32).parse().map_err(unreadable)?;
    Ok(Member::bare(none, email.to_owned(), MemberStatus::Pending))
}

/// The one member who has an e-mail address.
async fn by_address<P: KeyValue + Clock + Sql>(
    ports: &P,
    snapshot: &Snapshot,
    address: &str,
) -> Result<Option<Member>, NoAnswer> {
    let subject = Subject::of_email(address);
    let mut candidates = Candidates::of(&subject);
    let see = |row: Row| {
        if let Some(member) = row.as_member().filter(|member| has_address(&subject, &member.email)) {
            candidates.see(member.clone());
        }
    };
    snapshot.each(ports, Kind::PEOPLE, see).await.map_err(unreadable)?;
    match candidates.meant(Action::Grant) {
        Meant::One(one) => Ok(Some(one)),
        Meant::Nobody => Ok(None),
        Meant::Unclear(_) => Err(NoAnswer::Unknown(format!("several have the address {address:?}: name one by id"))),
    }
}
