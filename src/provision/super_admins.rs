//! Who is Super Administrator, asked of Cloudflare itself, so that no revoke or removal leaves too few of them.

use crate::base::tree::BTreeSet;

use super::asking::Asking;
use super::read::{self, present};
use super::resolve::{each, latest};
use super::shared::UserGroups;
use super::{apart, last_writes, open_writes, user_groups};
use crate::account::looked_through::{self, LookedThrough, Reading};
use crate::account::{Stopped, inherited, names};
use crate::base::ports::{Clock, Http, KeyValue, Sql, SqlError};
use crate::cloudflare::{
    ApiError, Client, GROUPS_PER_PAGE, MemberRecord, PER_PAGE, PERMISSION_GROUP_PAGES, PolicyRecord, UserGroup,
};
use crate::model::access::{Access, Atom, Policy, atoms};
use crate::model::id::{MemberId, PermissionGroupId, UserGroupId};
use crate::model::kind::Kind;
use crate::model::name;
use crate::model::operation::{Outcome, Refusal};
use crate::model::resource::MemberStatus;
use crate::model::super_administrator;

/// 50,000 members.
const MAX_MEMBER_PAGES: u32 = 1_000;

/// The permission group of Super Administrator, as far as a sync learned it.
pub(super) fn learned_group(sql: &dyn Sql) -> Result<Option<PermissionGroupId>, SqlError> {
    super_administrator::role().map_or(Ok(None), |role| names::permission_group_of(sql, role))
}

/// The permission group of Super Administrator: what a sync learned, else what Cloudflare's list says.
async fn permission_group<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
) -> Result<Option<PermissionGroupId>, Stopped> {
    if let Some(group) = learned_group(ports)? {
        return Ok(Some(group));
    }
    let Some(role) = super_administrator::role() else { return Ok(None) };
    let (mut number, mut total) = (1, 1);
    let (mut named, mut is_listed, mut odd) = (None, false, None);
    while number <= total {
        let page = client.permission_groups_page(number).await?;
        total = page.pages(number, PER_PAGE).min(PERMISSION_GROUP_PAGES);
        if let Some(group) = page.items.iter().find(|group| super_administrator::is_label(group.label.as_deref())) {
            return Ok(Some(group.id));
        }
        // A label may be missing.
        is_listed |= page.items.iter().any(|group| group.id == role.into());
        let called = page.items.iter().find(|group| name::same(&group.name, super_administrator::NAME));
        named = named.or(called.map(|group| group.id));
        odd = odd.or(page.odd.into_iter().next());
        number += 1;
    }
    match (named, odd) {
        (Some(group), _) if !is_listed => Ok(Some(group)),
        // It may be the one, and then nobody would be found to be Super Administrator.
        (_, Some(odd)) if !is_listed => {
            Err(ApiError::Unreadable { of: "a permission group".to_owned(), what: odd.why }.into())
        }
        _ if is_listed => Ok(Some(role.into())),
        // An account has one: the list is not the whole one, and then nobody would be found to be Super Administrator.
        _ => Err(Stopped::NotNow("Cloudflare lists no permission group of Super Administrators".to_owned())),
    }
}

/// Whether policies make Super Administrator: allowed somewhere, and denied nowhere.
pub(super) fn make(policies: &[Policy], group: PermissionGroupId) -> bool {
    have(policies, Access::Allow, group) && !denies(policies, group)
}

/// Whether policies deny a permission group, on whatever resource group: what that one has in it, policies do not tell. What is denied is not held
/// through a user group either.
pub(super) fn denies(policies: &[Policy], group: PermissionGroupId) -> bool {
    have(policies, Access::Deny, group)
}

fn have(policies: &[Policy], access: Access, group: PermissionGroupId) -> bool {
    policies.iter().any(|policy| policy.access == access && policy.permission_groups.contains(&group))
}

/// Whether a user group makes its members Super Administrators; an error where its policies are not all known.
fn group_makes(user_group: &UserGroup, group: PermissionGroupId) -> Result<bool, ApiError> {
    let policies = user_group.policies.all().map_err(|what| ApiError::Unreadable {
        of: format!("the user group {}", user_group.name),
        what: what.to_owned(),
    })?;
    let policies: Vec<Policy> = policies.iter().map(PolicyRecord::policy).collect();
    Ok(make(&policies, group))
}

/// Whether an accepted member would stop being Super Administrator of their own were these atoms taken away.
pub(super) async fn loses<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    member: &MemberRecord,
    lost: &BTreeSet<Atom>,
) -> Result<bool, Stopped> {
    if member.status != MemberStatus::Accepted || lost.iter().all(|atom| atom.access != Access::Allow) {
        return Ok(false);
    }
    let Some(group) = permission_group(ports, client).await? else { return Ok(false) };
    Ok(loses_of(group, &atoms(&member.own_policies()?), lost))
}

/// Whether what is held makes Super Administrator, and is among what is lost.
pub(super) fn loses_of(group: PermissionGroupId, held: &BTreeSet<Atom>, lost: &BTreeSet<Atom>) -> bool {
    lost.iter().any(|lost| lost.access == Access::Allow && lost.permission_group == group && held.contains(lost))
}

/// Whether a member stops being Super Administrator by leaving a user group: it makes its members that, and they are not one of their own for certain.
pub(super) async fn loses_by_leaving<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    member: &MemberRecord,
    user_group: UserGroupId,
) -> Result<bool, Stopped> {
    let Some(group) = permission_group(ports, client).await? else { return Ok(false) };
    match present(client.user_group(user_group).await)? {
        Some(found) => {
            let is_one = |own: Vec<Policy>| make(&own, group);
            Ok(group_makes(&found, group)?
                && !(apart::is_certain(ports, member)? && member.own_policies().is_ok_and(is_one)))
        }
        // Somebody was found in it just now.
        None => Err(Stopped::NotNow(format!("Cloudflare does not find the user group {user_group}"))),
    }
}

/// Whether a member is Super Administrator, of their own or through a user group, or may be through one that nobody tells of.
pub(super) async fn is_one<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    member: &MemberRecord,
) -> Result<bool, Stopped> {
    let Some(group) = permission_group(ports, client).await? else { return Ok(false) };
    if make(&member.own_policies()?, group) {
        return Ok(true);
    }
    let groups = match user_groups::all(ports, client).await {
        Ok(UserGroups::Listed(groups)) => groups,
        Ok(UserGroups::Absent) => return Ok(false),
        Ok(UserGroups::Hidden(_)) | Err(Stopped::Api(ApiError::Unreadable { .. })) => return Ok(true),
        Err(stopped) => return Err(stopped),
    };
    for user_group in groups {
        let makes = group_makes(&user_group, group);
        if !matches!(makes, Ok(false)) && read::is_in_group(ports, client, &user_group, member.id).await? {
            return Ok(makes.unwrap_or(true));
        }
    }
    Ok(false)
}

/// Whether at least this many other accepted Super Administrators are there, as Cloudflare tells now. First those are asked for whom the last
/// snapshot has as such, a GET each; where they do not suffice, the members list is gone through, until it is enough, by as many attempts as that takes.
pub(super) async fn enough<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    least: usize,
    member: &MemberRecord,
) -> Result<(), Stopped> {
    let (ports, client) = (asking.ports, asking.client);
    let Some(group) = permission_group(ports, client).await? else { return Ok(()) };
    let leaving = open_writes::losing_admin(ports, group, ports.now())?;
    let mut count =
        Count { ports, group, besides: member.id, leaving, found: BTreeSet::new(), doubted: BTreeSet::new() };
    for candidate in candidates(ports, group).await?.into_iter().take(least.saturating_mul(2)) {
        if candidate == member.id {
            continue;
        }
        let Some(other) = present(read::member(ports, client, candidate).await)? else { continue };
        count.see(&other, &BTreeSet::new(), &last_writes::to_hold(ports, group, ports.now())?)?;
        if count.found.len() >= least {
            return Ok(());
        }
    }
    let (groups, hidden) = match user_groups::readable(ports, client).await? {
        UserGroups::Listed(groups) => (groups, None),
        UserGroups::Absent => (Vec::new(), None),
        UserGroups::Hidden(error) => (Vec::new(), Some(error)),
    };
    let through = members_through_groups(ports, client, groups, group).await?;
    count.go_through(asking, &through, least).await?;
    if count.found.len() >= least {
        return Ok(());
    }
    let left = count.found.len();
    if left + count.doubted.len() >= least {
        return Err(Stopped::Ended(Outcome::NotNow {
            message: format!(
                "{left} Super Administrators would be left for certain besides {}, and of {} others it is not known yet whether they will be",
                member.email,
                count.doubted.len()
            ),
            retry_at: Some(ports.now().plus_secs(20)),
        }));
    }
    Err(match hidden {
        None => too_few(left, least, &member.email),
        Some(error) => Stopped::refused(
            Refusal::MinSuperAdmins,
            format!(
                "Only {left} Super Administrators would be left for certain besides {email}, and MIN_SUPER_ADMINS asks for {least}; the connector's API token may not read the account's user groups ({error}), through which {email} and others may be Super Administrators, so give the token Account Settings: Read, then ask again.",
                email = member.email
            ),
        ),
    })
}

/// What is told where too few would be left.
pub(super) fn too_few(left: usize, least: usize, email: &str) -> Stopped {
    Stopped::refused(
        Refusal::MinSuperAdmins,
        format!(
            "Only {left} Super Administrators would be left besides {email}, and MIN_SUPER_ADMINS asks for {least}; make somebody else Super Administrator first."
        ),
    )
}

/// The others that were found to be Super Administrators.
struct Count<'a, P> {
    ports: &'a P,
    group: PermissionGroupId,
    besides: MemberId,
    /// Those who may stop being one at any moment, by a write of ours.
    leaving: BTreeSet<MemberId>,
    found: BTreeSet<MemberId>,
    /// Those of whom it is not known yet whether they will be one.
    doubted: BTreeSet<MemberId>,
}

impl<P: Clock + Sql> Count<'_, P> {
    /// Counts a member as just read; whether they are one as they were read, or may be. By a read that is older than our own last write to them they are none for certain.
    /// Whom our own writes of late are `to_hold` it, though no read shows that yet, may be one.
    fn see(
        &mut self,
        other: &MemberRecord,
        through: &BTreeSet<MemberId>,
        to_hold: &BTreeSet<MemberId>,
    ) -> Result<bool, Stopped> {
        // Of whom it is not known what they hold, they are not counted.
        let Ok(own) = other.own_policies() else { return Ok(false) };
        let is_one = make(&own, self.group) || (through.contains(&other.id) && !denies(&own, self.group));
        let is_to_be = to_hold.contains(&other.id);
        // Of nobody else it matters how old the read is, and the list may have 50,000.
        if other.id == self.besides || other.status != MemberStatus::Accepted || !(is_one || is_to_be) {
            return Ok(false);
        }
        let leaves = self.leaving.contains(&other.id);
        let is_stale = last_writes::stale_until(self.ports, other.id, &atoms(&own), self.ports.now())?.is_some();
        let will_be = is_stale && is_to_be;
        if is_one && !is_stale && !leaves {
            self.doubted.remove(&other.id);
            self.found.insert(other.id);
        } else if will_be || (is_one && !is_stale) {
            self.doubted.insert(other.id);
        }
        Ok(is_one || will_be)
    }

    /// Goes through the members list until there are enough, past the pages that earlier attempts found nobody on.
    async fn go_through(
        &mut self,
        asking: &Asking<'_, '_, P>,
        through: &BTreeSet<MemberId>,
        least: usize,
    ) -> Result<(), Stopped>
    where
        P: Http + KeyValue,
    {
        let (operation, reading) = (asking.operation, Reading::SuperAdministrators);
        let inherited = inherited::group_policies(self.ports)?;
        let looked = looked_through::pages(self.ports, operation, reading)?;
        let (mut number, mut total) = (1, 1);
        while number <= total && self.found.len() < least {
            let pages = if let Some(looked) = looked.iter().find(|looked| looked.page == number) {
                looked.pages
            } else {
                let page = asking.client.members_page(number).await?;
                let pages = page.pages(number, PER_PAGE);
                let mut matters = false;
                let to_hold = last_writes::to_hold(self.ports, self.group, self.ports.now())?;
                for other in page.items {
                    matters |= self.see(&other.without_inherited(&inherited), through, &to_hold)?;
                }
                if !matters {
                    let page = LookedThrough { page: number, pages, ..LookedThrough::default() };
                    looked_through::note(self.ports, operation, reading, &page)?;
                }
                pages
            };
            total = pages.min(MAX_MEMBER_PAGES);
            number += 1;
        }
        looked_through::forget(self.ports, operation)?;
        Ok(())
    }
}

/// The memberships that the last snapshot has as Super Administrators of their own.
async fn candidates<P: KeyValue>(ports: &P, group: PermissionGroupId) -> Result<Vec<MemberId>, Stopped> {
    let Some(snapshot) = latest(ports).await? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    each(ports, &snapshot, Kind::User, &mut |row| {
        if let Some(member) = row.as_member()
            && member.atoms.iter().any(|atom| atom.access == Access::Allow && atom.permission_group == group)
        {
            found.push(member.member_id);
        }
    })
    .await?;
    Ok(found)
}

/// Everybody who is in a user group that makes its members Super Administrators.
async fn members_through_groups<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    groups: Vec<UserGroup>,
    group: PermissionGroupId,
) -> Result<BTreeSet<MemberId>, Stopped> {
    let mut members = BTreeSet::new();
    let giving = groups.into_iter().filter(|found| group_makes(found, group) == Ok(true));
    for user_group in giving {
        let (mut number, mut total) = (1, 1);
        while number <= total {
            let page = match client.user_group_members_page(user_group.id, number).await {
                Ok(page) => page,
                // A group that cannot be read makes nobody count.
                Err(ApiError::NotFound(_) | ApiError::Invalid(_)) => break,
                Err(error) => return Err(error.into()),
            };
            total = page.pages(number, GROUPS_PER_PAGE).min(MAX_MEMBER_PAGES);
            for member in page.items {
                if last_writes::group_stale_until(ports, user_group.id, member.id, true, ports.now())?.is_none() {
                    members.insert(member.id);
                }
            }
            number += 1;
        }
    }
    Ok(members)
}
