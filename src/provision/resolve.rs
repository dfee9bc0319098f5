//! Who and what is meant: from the names in a request to a member and an atom of the account.

use super::policies;
use crate::base::ports::{Clock, Http, KeyValue, Sql, SqlError};
use crate::cloudflare::{ApiError, Client, MemberRecord};
use crate::model::access::Atom;
use crate::model::address;
use crate::model::ask::{EntitlementRef, Subject};
use crate::model::grant::{Entitlement, Principal};
use crate::model::id::{MemberId, PermissionGroupId, ResourceGroupId, RoleId, UserGroupId, UserId};
use crate::model::kind::Kind;
use crate::model::operation::{Outcome, Refusal, Target};
use crate::model::resource::{Member, Row};
use crate::snapshot::{self, Scan, Snapshot};
use crate::sync;

/// What is to be granted or revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct What {
    /// The entitlement's id, or `account`.
    pub(super) id: String,
    /// The name people know it by.
    pub(super) name: String,
    /// What it is in Cloudflare.
    pub(super) access: Wanted,
}

/// What an entitlement is in Cloudflare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// An atom among the member's policies.
    Atom(Atom),
    /// Membership of a user group.
    Group(UserGroupId),
    /// A membership of the account.
    Account,
}

/// What a target names, before Cloudflare was asked for anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A membership of the account.
    Account,
    /// An entitlement; whether the account has it is another question.
    Entitlement(Entitlement),
}

/// Why something cannot be resolved.
#[derive(Debug)]
pub(crate) enum Unresolved {
    /// For a reason that trying again does not mend.
    Refused(Outcome),
    /// Cloudflare could not be asked.
    Api(ApiError),
    /// Our own storage could not be read.
    Storage(String),
}

impl From<SqlError> for Unresolved {
    fn from(error: SqlError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<ApiError> for Unresolved {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

fn refused(code: Refusal, message: impl Into<String>) -> Unresolved {
    Unresolved::Refused(Outcome::refused(code, message))
}

/// Finds the entitlement that is meant (`reference/conductorone.md` 2.5): by its id wherever C1 may have put that, else by its name where
/// exactly one has it. Never guessed.
pub(super) async fn entitlement<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    snapshot: Option<&Snapshot>,
    target: &Target,
) -> Result<What, Unresolved> {
    let account =
        || What { id: "account".to_owned(), name: "a Cloudflare account".to_owned(), access: Wanted::Account };
    match named(ports, snapshot, target).await? {
        Named::Account => Ok(account()),
        Named::Entitlement(entitlement) => describe(ports, client, snapshot, entitlement).await,
    }
}

/// What a target names, from the snapshot alone.
pub(crate) async fn named<P: KeyValue>(
    ports: &P,
    snapshot: Option<&Snapshot>,
    target: &Target,
) -> Result<Named, Unresolved> {
    Ok(match target {
        Target::Account | Target::Renewal => Named::Account,
        // Only the flag tells: the builtin entitlement's name is the customer's to choose.
        Target::Named(named) if named.builtin => Named::Account,
        Target::Id(id) => {
            Named::Entitlement(id.parse().map_err(|error| refused(Refusal::UnknownEntitlement, format!("{error}.")))?)
        }
        Target::Named(named) => Named::Entitlement(by_reference(ports, snapshot, named).await?),
    })
}

async fn by_reference<P: KeyValue>(
    ports: &P,
    snapshot: Option<&Snapshot>,
    named: &EntitlementRef,
) -> Result<Entitlement, Unresolved> {
    let mut found: Vec<Entitlement> = named.candidates.iter().filter_map(|text| Entitlement::recognise(text)).collect();
    found.sort();
    found.dedup();
    match found.as_slice() {
        [one] => return Ok(*one),
        [] => {}
        several => {
            let list = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            return Err(refused(
                Refusal::AmbiguousEntitlement,
                format!(
                    "ConductorOne names this entitlement as {list} at once, so it is not clear which is meant; nothing was changed."
                ),
            ));
        }
    }
    let shown = named.display_name.as_deref().or(named.id.as_deref()).unwrap_or("without a name");
    let Some(snapshot) = snapshot else {
        return Err(refused(
            Refusal::UnknownEntitlement,
            format!(
                "The entitlement {shown:?} carries no id of this connector, and there was no sync yet in which its name could be looked up; start one with POST /v1/sync."
            ),
        ));
    };
    let named = by_name(ports, snapshot, shown).await?;
    match named.as_slice() {
        [one] => Ok(*one),
        [] => Err(refused(
            Refusal::UnknownEntitlement,
            format!(
                "The entitlement {shown:?} is none of this Cloudflare account's roles or groups; sync this connector in ConductorOne, so that the entitlement carries its id."
            ),
        )),
        several => {
            let list = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            Err(refused(
                Refusal::AmbiguousEntitlement,
                format!(
                    "The entitlement {shown:?} could be {list}; nothing was changed. Sync this connector in ConductorOne, so that the entitlement carries its id."
                ),
            ))
        }
    }
}

/// The entitlements of a display name, `Member Role` at its end or not.
async fn by_name<P: KeyValue>(ports: &P, snapshot: &Snapshot, name: &str) -> Result<Vec<Entitlement>, Unresolved> {
    let plain = name.strip_suffix(" Member Role").or_else(|| name.strip_suffix(" Member")).unwrap_or(name).trim();
    let mut found = Vec::new();
    for &kind in Kind::OFFERING {
        each(ports, snapshot, kind, |row| {
            if let Some((entitlement, title)) = row.offered()
                && (title.eq_ignore_ascii_case(plain) || title.eq_ignore_ascii_case(name))
            {
                found.push(entitlement);
            }
        })
        .await?;
    }
    Ok(found)
}

async fn describe<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    snapshot: Option<&Snapshot>,
    entitlement: Entitlement,
) -> Result<What, Unresolved> {
    let known = match snapshot {
        Some(snapshot) => snapshot
            .get(ports, &entitlement.resource())
            .await
            .map_err(|error| Unresolved::Storage(error.to_string()))?
            .and_then(|row| row.offered())
            .map(|(_, title)| title),
        None => None,
    };
    let id = entitlement.to_string();
    Ok(match entitlement {
        Entitlement::Role(role) => {
            let (permission_group, found) = match sync::permission_group_of(ports, role)? {
                Some(group) => (group, None),
                // A role that was not there at the last sync may be a permission group's own id.
                None => match client.permission_group(role.into()).await {
                    Ok(group) => (group.id, Some(group.name)),
                    Err(ApiError::NotFound(_) | ApiError::Invalid(_)) => {
                        return Err(refused(
                            Refusal::UnknownEntitlement,
                            format!(
                                "Cloudflare knows no role {role} in this account; it may have been withdrawn since the last sync."
                            ),
                        ));
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            let atom = policies::allow(permission_group, whole_account(ports, client).await?);
            What { id, name: known.or(found).unwrap_or_else(|| role.to_string()), access: Wanted::Atom(atom) }
        }
        Entitlement::ScopedRole(role) => {
            let atom = policies::allow(role.permission_group, role.resource_group);
            What { id, name: known.unwrap_or_else(|| role.to_string()), access: Wanted::Atom(atom) }
        }
        Entitlement::Group(group) => {
            let name = match known {
                Some(name) => name,
                None => match client.user_group(group).await {
                    Ok(found) => found.name,
                    Err(ApiError::NotFound(_) | ApiError::Invalid(_)) => {
                        return Err(refused(
                            Refusal::UnknownEntitlement,
                            format!(
                                "Cloudflare knows no user group {group} in this account; it may have been deleted since the last sync."
                            ),
                        ));
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            What { id, name, access: Wanted::Group(group) }
        }
    })
}

/// The resource group that is the whole account.
pub(super) async fn whole_account<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
) -> Result<ResourceGroupId, Unresolved> {
    match sync::account_resource_group(ports)? {
        Some(group) => Ok(group),
        None => Ok(client.account_resource_group().await?),
    }
}

/// The atom that a configured role means: by an entitlement id, by the id of a role or permission group, or by a role's name or
/// label in Cloudflare.
pub(super) async fn configured_role<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    role: &str,
) -> Result<Option<Atom>, Unresolved> {
    let named = match role.parse::<Entitlement>() {
        Ok(Entitlement::ScopedRole(scoped)) => {
            return Ok(Some(policies::allow(scoped.permission_group, scoped.resource_group)));
        }
        Ok(Entitlement::Role(id)) => Some(id),
        // Membership of a group is no access that an invitation can carry.
        Ok(Entitlement::Group(_)) => return Ok(None),
        Err(_) => role.parse::<RoleId>().ok(),
    };
    let group = match named {
        Some(id) => sync::permission_group_of(ports, id)?.unwrap_or_else(|| id.into()),
        None => match by_name_or_label(ports, role).await? {
            Some(group) => group,
            None => return Ok(None),
        },
    };
    Ok(Some(policies::allow(group, whole_account(ports, client).await?)))
}

/// The permission group of the only role that has a name or a label.
async fn by_name_or_label<P: KeyValue>(ports: &P, role: &str) -> Result<Option<PermissionGroupId>, Unresolved> {
    let Some(snapshot) = latest(ports).await? else { return Ok(None) };
    let mut found = Vec::new();
    each(ports, &snapshot, Kind::Role, |row| {
        if let Row::Role(known) = row
            && (known.name.eq_ignore_ascii_case(role) || known.label.as_deref() == Some(role))
        {
            found.extend(known.permission_group);
        }
    })
    .await?;
    Ok(match found.as_slice() {
        [one] => Some(*one),
        _ => None,
    })
}

/// Shows every row of a kind.
pub(super) async fn each<P: KeyValue>(
    ports: &P,
    snapshot: &Snapshot,
    kind: Kind,
    mut see: impl FnMut(&Row),
) -> Result<(), Unresolved> {
    snapshot.each(ports, &[kind], |row| see(&row)).await.map_err(|error| Unresolved::Storage(error.to_string()))
}

/// The membership that the subject probably has, without asking Cloudflare: what the last sync told C1, or what the
/// snapshot says of the user or the e-mail address.
pub(super) async fn probable_member<P: KeyValue>(ports: &P, subject: &Subject) -> Result<Option<MemberId>, Unresolved> {
    if let Some(id) = subject.member_id.as_deref().and_then(|id| id.parse().ok()) {
        return Ok(Some(id));
    }
    let Some(snapshot) = latest(ports).await? else { return Ok(None) };
    let storage = |error: snapshot::SnapshotError| Unresolved::Storage(error.to_string());
    if let Some(user) = subject.user_id.as_deref().and_then(|id| id.parse::<UserId>().ok()) {
        let row = snapshot.get(ports, &Principal::User(user).to_string()).await.map_err(storage)?;
        if let Some(member) = row.as_ref().and_then(Row::as_member) {
            return Ok(Some(member.member_id));
        }
    }
    let mut after = None;
    loop {
        let scan = Scan { kinds: Kind::PEOPLE.to_vec(), holding: None, after, limit: 1000 };
        let page = snapshot.scan(ports, &scan).await.map_err(storage)?;
        let members = page.rows.iter().filter_map(Row::as_member);
        if let Some(member) = members.into_iter().find(|member| names(subject, &member.email)) {
            return Ok(Some(member.member_id));
        }
        after = page.next;
        if after.is_none() {
            return Ok(None);
        }
    }
}

/// The subject as a generation has it: the member whom provisioning would change, chosen in the same order.
pub(crate) async fn member_in<P: KeyValue>(
    ports: &P,
    snapshot: &Snapshot,
    subject: &Subject,
) -> Result<Option<Member>, snapshot::SnapshotError> {
    let user = subject.user_id.as_deref().and_then(|id| id.parse::<UserId>().ok());
    let membership = subject.member_id.as_deref().and_then(|id| id.parse::<MemberId>().ok());
    let is_meant = |member: &Member| {
        if subject.emails.is_empty() {
            user.map_or(membership == Some(member.member_id), |user| member.user_id == Some(user))
        } else {
            names(subject, &member.email)
        }
    };
    let mut found: Option<Member> = None;
    if let Some(user) = user {
        let row = snapshot.get(ports, &Principal::User(user).to_string()).await?;
        found = row.as_ref().and_then(Row::as_member).filter(|member| is_meant(member)).cloned();
        if found.as_ref().is_some_and(|member| membership.is_none_or(|hint| hint == member.member_id)) {
            return Ok(found);
        }
    }
    let mut scan = Scan { kinds: Kind::PEOPLE.to_vec(), holding: None, after: None, limit: 1000 };
    loop {
        let page = snapshot.scan(ports, &scan).await?;
        for member in page.rows.iter().filter_map(Row::as_member).filter(|member| is_meant(member)) {
            if membership == Some(member.member_id) {
                return Ok(Some(member.clone()));
            }
            found.get_or_insert_with(|| member.clone());
        }
        scan.after = page.next;
        // Without a hint to look for, the first will do.
        if scan.after.is_none() || (membership.is_none() && found.is_some()) {
            return Ok(found);
        }
    }
}

/// Whether a member as Cloudflare tells it is the subject. An id alone does not decide: a membership id that C1 remembers may by
/// now be somebody else's business, and the e-mail address is what the task was approved for.
pub(super) fn is_subject(subject: &Subject, member: &MemberRecord) -> bool {
    if !subject.emails.is_empty() {
        return names(subject, &member.email);
    }
    let user = subject.user_id.as_deref().and_then(|id| id.parse::<UserId>().ok());
    let membership = subject.member_id.as_deref().and_then(|id| id.parse::<MemberId>().ok());
    match user {
        Some(user) => member.user_id == Some(user),
        None => membership == Some(member.id),
    }
}

fn names(subject: &Subject, email: &str) -> bool {
    let email = address::folded(email);
    subject.emails.iter().any(|known| address::folded(known) == email)
}

/// Looks for the subject in Cloudflare's list of members, for one whom neither C1's hint nor the snapshot knows. The
/// list is ordered by e-mail, so a dozen pages settle it in an account of any size; where a page turns out to be in
/// another order than ours (nothing documents the collation), every page is read.
pub(super) async fn search<P: Http + Clock + Sql>(
    client: &Client<'_, P>,
    subject: &Subject,
) -> Result<Option<MemberRecord>, ApiError> {
    let mut pages = Pages { client, subject, total: 1, ordered: true, read: Vec::new() };
    if let Visit::Found(member) = pages.visit(1).await? {
        return Ok(Some(*member));
    }
    for email in subject.emails.iter().map(|email| address::folded(email)) {
        let (mut low, mut high) = (1, pages.total);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match pages.visit(middle).await? {
                Visit::Found(member) => return Ok(Some(*member)),
                Visit::StartsAt(first) if first.as_ref().is_some_and(|first| *first <= email) => low = middle,
                Visit::StartsAt(_) => high = middle - 1,
            }
        }
        // The page on which the address would stand may be one that was not read yet.
        if !pages.read.contains(&low)
            && let Visit::Found(member) = pages.visit(low).await?
        {
            return Ok(Some(*member));
        }
    }
    let unread: Vec<u32> = (1..=pages.total).filter(|page| !pages.read.contains(page)).collect();
    // Nobody knows where a list puts what is not ASCII.
    let elsewhere = |email: &String| !email.is_ascii() || email.contains("xn--");
    if !pages.ordered || subject.emails.is_empty() || subject.emails.iter().any(elsewhere) {
        for page in unread {
            if let Visit::Found(member) = pages.visit(page).await? {
                return Ok(Some(*member));
            }
        }
    }
    Ok(None)
}

/// The pages of the members list, as far as the search has seen them.
struct Pages<'a, 'b, P> {
    client: &'a Client<'b, P>,
    subject: &'a Subject,
    total: u32,
    ordered: bool,
    read: Vec<u32>,
}

enum Visit {
    Found(Box<MemberRecord>),
    /// Not on this page; the first address on it, folded.
    StartsAt(Option<String>),
}

impl<P: Http + Clock + Sql> Pages<'_, '_, P> {
    async fn visit(&mut self, number: u32) -> Result<Visit, ApiError> {
        let page = self.client.members_page(number).await?;
        let total = page.info.as_ref().and_then(|info| info.total_pages).unwrap_or(1);
        self.total = total.clamp(1, MAX_PAGES);
        self.read.push(number);
        let addresses: Vec<String> = page.items.iter().map(|member| address::folded(&member.email)).collect();
        self.ordered &= addresses.is_sorted();
        let found = page.items.into_iter().find(|member| is_subject(self.subject, member));
        let odd = page.odd.into_iter().find(|odd| odd.name.as_deref().is_some_and(|email| names(self.subject, email)));
        if let (None, Some(odd)) = (&found, odd) {
            // Somebody has the address, and it cannot be read who: that is not nobody.
            return Err(ApiError::Unreadable { of: odd.name.unwrap_or_default(), what: odd.why });
        }
        Ok(match found {
            Some(member) => Visit::Found(Box::new(member)),
            None => Visit::StartsAt(addresses.into_iter().next()),
        })
    }
}

/// 50,000 members; the search gives up beyond that rather than spend a provisioning budget on one look-up.
const MAX_PAGES: u32 = 1_000;

pub(super) async fn latest<P: KeyValue>(ports: &P) -> Result<Option<Snapshot>, Unresolved> {
    snapshot::latest(ports).await.map_err(|error| Unresolved::Storage(error.to_string()))
}
