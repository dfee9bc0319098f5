//! Members: the people of the account, with what each holds (`reference/cloudflare.md` 2).

use std::cell::RefCell;

use crate::base::json::{Deserialize, Made, Text};
use crate::base::tree::BTreeSet;

use futures::future::Either;

use super::SIZES;
use super::call::Call;
use super::cleared::Cleared;
use super::client::{Client, ListPage, Record, asked_for, filled, id, required};
use super::error::{ApiError, Failure};
use super::lenient::text;
use super::policies::{self, Policies, PolicyRecord, PolicyWire};
use crate::base::object::object;
use crate::base::ports::{Clock, Http, HttpError, Method, Sql};
use crate::model::access::{Access, Policy};
use crate::model::address;
use crate::model::grant::Principal;
use crate::model::id::{MemberId, RoleId, UserId};
use crate::model::operation::Account;
use crate::model::resource::MemberStatus;

/// So many pairs of a permission group and a resource group the policies of one member may name. What a write finds, what it is to leave and what was seen
/// since are kept in one row, pair by pair, 94 bytes each, and a row of a Durable Object has 2 MB at most.
const MOST_PAIRS: usize = 7_000;
const TOO_MANY: &str = "the policies name more than 7,000 pairs of a permission group and a resource group";

/// A membership as Cloudflare tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// The membership's id.
    pub id: MemberId,
    /// The user's id; absent for an invitee without a login, whatever way Cloudflare says so (`""`, zeros, nothing).
    pub user_id: Option<UserId>,
    /// The e-mail address.
    pub email: String,
    /// Accepted or pending.
    pub status: MemberStatus,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Whether the Cloudflare login has a second factor.
    pub two_factor: Option<bool>,
    /// The legacy roles: a projection of the policies, read for names and ids only.
    pub roles: Vec<LegacyRole>,
    /// The policies: what the member holds, as far as they could be read.
    pub policies: Policies,
}

/// A legacy role on a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyRole {
    /// The role's id; for a domain-scoped permission group that group's own id.
    pub id: RoleId,
    /// The role's name.
    pub name: String,
}

impl MemberRecord {
    /// Whom the membership is governed as: the user when accepted, else the invitation.
    pub const fn principal(&self) -> Principal {
        match (self.user_id, self.status) {
            (Some(user), MemberStatus::Accepted) => Principal::User(user),
            _ => Principal::Invitation(self.id),
        }
    }

    /// The account that it is, as an answer names it.
    pub fn account(&self) -> Account {
        Account::of(self.principal(), &self.email)
    }

    /// Why the record is not the whole of what Cloudflare has of the member, where it is not. Nothing is written for such a member:
    /// a write replaces what was not read.
    pub fn unread(&self) -> Option<&str> {
        match self.policies.all() {
            Err(why) => Some(why),
            Ok(_) if self.status == MemberStatus::Other => Some("the status is missing or not a known one"),
            // Whoever has accepted has a login, and is known by it.
            Ok(_) if self.status == MemberStatus::Accepted && self.user_id.is_none() => Some("user.id is missing"),
            Ok(_) => None,
        }
    }

    /// The policies, as they are written back; [`ApiError::Unreadable`] where they are not all known.
    ///
    /// Cloudflare's documentation disagrees with itself on whether a member's policies include those of the member's
    /// user groups (`reference/cloudflare.md` 2.2); [`Self::without_inherited`] first where the groups are known.
    pub fn own_policies(&self) -> Result<Vec<Policy>, ApiError> {
        if let Some(why) = self.unread() {
            return Err(self.unreadable(why));
        }
        // One that names nothing gives nothing, and Cloudflare would not take it back; but who has one of an unknown kind is not written.
        let policies = self.policies.readable().iter();
        let policies = policies.filter(|policy| policy.pairs() > 0 || policy.access == Access::Unknown);
        Ok(policies.map(PolicyRecord::policy).collect())
    }

    /// The same, to be written back otherwise; [`ApiError::Unreadable`] also where they are more than can be kept of one member.
    pub fn policies_to_change(&self) -> Result<Vec<Policy>, ApiError> {
        self.can_be_kept()?;
        self.own_policies()
    }

    /// The member as a sync takes them in; see [`Policies::bounded`].
    #[must_use]
    pub fn bounded(self) -> Self {
        Self { policies: self.policies.bounded(), ..self }
    }

    /// That of what the member holds a note can be kept, as of everybody whom an operation changes and leaves there.
    pub fn can_be_kept(&self) -> Result<(), ApiError> {
        if self.policies.pairs() > MOST_PAIRS { Err(self.unreadable(TOO_MANY)) } else { Ok(()) }
    }

    fn unreadable(&self, what: &str) -> ApiError {
        ApiError::Unreadable { of: self.email.clone(), what: what.to_owned() }
    }

    /// The member without the policies that have one of these ids, those of the member's user groups. Only the id decides:
    /// a policy of the member's own may well equal a group's.
    #[must_use]
    pub fn without_inherited(mut self, group_policies: &BTreeSet<String>) -> Self {
        self.policies.retain(|policy| policy.id.as_ref().is_none_or(|id| !group_policies.contains(id)));
        self
    }
}

impl<P: Http + Clock + Sql> Client<'_, P> {
    /// One page of the members, accepted and pending, ordered by e-mail address, which does not change.
    pub async fn members_page(&self, page: u32) -> Result<ListPage<MemberRecord>, ApiError> {
        self.page_of(page, &SIZES, |page, size| self.members_path(page, size)).await?.peopled(page)
    }

    /// [`Self::members_page`], unless something is known by the very bytes that came: then that, and nothing of the page is read.
    pub async fn members_page_unless<K>(
        &self,
        page: u32,
        known: impl AsyncFnOnce(&[u8]) -> Option<K>,
    ) -> Result<Either<K, ListPage<MemberRecord>>, ApiError> {
        match self.page_unless(page, &SIZES, |page, size| self.members_path(page, size), known).await? {
            Either::Left(known) => Ok(Either::Left(known)),
            Either::Right(read) => read.peopled(page).map(Either::Right),
        }
    }

    fn members_path(&self, page: u32, size: u32) -> String {
        self.account_path(&format!("/members?page={page}&per_page={size}&order=user.email&direction=asc"))
    }

    /// One member. [`ApiError::NotFound`] where the membership is gone, [`ApiError::Unreadable`] where the record lacks what tells who
    /// it is.
    pub async fn member(&self, id: MemberId) -> Result<MemberRecord, ApiError> {
        let call = Call::get_long(self.member_path(id));
        let told = match self.record(call).await {
            Ok(told) => told,
            Err(ApiError::Transport(error @ HttpError::TooLarge(_))) => Err(error.to_string()),
            Err(error) => return Err(error.of_one()),
        };
        let told: MemberRecord = told.map_err(|what| ApiError::Unreadable { of: format!("member {id}"), what })?;
        asked_for(&id, &told.id)?;
        Ok(told)
    }

    /// Replaces *all* policies of a member. An empty list is refused here: what Cloudflare makes of it is unknown.
    pub async fn update_policies(
        &self,
        cleared: &Cleared,
        id: MemberId,
        policies: &[Policy],
    ) -> Result<MemberRecord, ApiError> {
        cleared.covers(id)?;
        let body = object!({ "policies": wire_policies(policies)? });
        let written: MemberRecord =
            self.object(Call::write(cleared, Method::Put, self.member_path(id), Some(body))).await?;
        asked_for(&id, &written.id)?;
        Ok(written)
    }

    /// Invites a person. [`ApiError::AlreadyExists`] where the address is a member's or an invitee's.
    pub async fn invite(&self, cleared: &Cleared, email: &str, policies: &[Policy]) -> Result<MemberRecord, ApiError> {
        cleared.covers_invitation(email)?;
        let body = object!({ "email": email, "policies": wire_policies(policies)? });
        let call = Call::write(cleared, Method::Post, self.account_path("/members"), Some(body));
        let invited: MemberRecord = self.object(call).await.map_err(|error| match error {
            // The code has been both in the wild (`reference/cloudflare.md` 2.6).
            ApiError::Invalid(failure) | ApiError::Server(failure @ Failure { status: 409, .. })
                if matches!(failure.code, Some(1004 | 1008)) =>
            {
                ApiError::AlreadyExists(failure)
            }
            error => error,
        })?;
        asked_for(&address::folded(email), &address::folded(&invited.email))?;
        Ok(invited)
    }

    /// Removes a member or cancels an invitation. [`ApiError::NotFound`] where there is none.
    pub async fn remove_member(&self, cleared: &Cleared, id: MemberId) -> Result<(), ApiError> {
        cleared.covers_removal(id)?;
        let call = Call::write(cleared, Method::Delete, self.member_path(id), None);
        self.done(call).await.map_err(ApiError::of_one)
    }

    fn member_path(&self, id: MemberId) -> String {
        self.account_path(&format!("/members/{id}"))
    }
}

fn wire_policies(policies: &[Policy]) -> Result<serde_json::Value, ApiError> {
    if policies.is_empty() {
        return Err(ApiError::Refused("a member is never left without a policy"));
    }
    let empty = |policy: &Policy| policy.permission_groups.is_empty() || policy.resource_groups.is_empty();
    if policies.iter().any(empty) {
        return Err(ApiError::Refused("a policy names no permission group or no resource group"));
    }
    if policies.iter().any(|policy| policy.access == Access::Unknown) {
        return Err(ApiError::Refused("a policy has an access that this version does not know"));
    }
    let pairs = policies.iter().map(|policy| policy.permission_groups.len() * policy.resource_groups.len());
    if pairs.sum::<usize>() > MOST_PAIRS {
        return Err(ApiError::Refused(TOO_MANY));
    }
    // Ids alone: what else Cloudflare tells of a policy is not for sending back.
    let policies = policies.iter().map(|policy| {
        object!({
            "access": policy.access,
            "permission_groups": policy.permission_groups.iter().map(|id| object!({ "id": id })).collect::<Vec<_>>(),
            "resource_groups": policy.resource_groups.iter().map(|id| object!({ "id": id })).collect::<Vec<_>>(),
        })
    });
    Ok(policies.collect())
}

#[derive(Deserialize)]
pub(super) struct MemberWire<'de> {
    id: Option<String>,
    email: Option<String>,
    #[serde(default, deserialize_with = "text")]
    status: Option<String>,
    user: Option<UserWire>,
    roles: Option<Vec<Text<'de>>>,
    policies: Option<Vec<PolicyWire<'de>>>,
}

#[derive(Default, Deserialize)]
struct UserWire {
    id: Option<String>,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    two_factor_authentication_enabled: Option<bool>,
}

#[derive(Deserialize)]
struct RoleWire {
    id: RoleId,
    name: Option<String>,
}

thread_local! {
    /// What was read of members before: most have a role that another one has.
    static KNOWN: RefCell<Known> = const { RefCell::new(Known { roles: Made::new(), policies: policies::Known::new() }) };
}

struct Known {
    roles: Made<LegacyRole>,
    policies: policies::Known,
}

impl Record for MemberRecord {
    type Wire<'de> = MemberWire<'de>;

    fn read(wire: MemberWire<'_>) -> Result<Self, String> {
        KNOWN.with_borrow_mut(|known| Self::with(wire, known))
    }
}

impl MemberRecord {
    fn with(wire: MemberWire<'_>, known: &mut Known) -> Result<Self, String> {
        let listed = wire.roles.unwrap_or_default();
        let mut policies = Policies::read(wire.policies, &mut known.policies);
        if !listed.is_empty() && policies.all().is_ok_and(<[_]>::is_empty) {
            policies = policies.and_unread("there are roles, and no policies that give them");
        }
        let user = wire.user.unwrap_or_default();
        let user_id = match user.id.as_deref() {
            None | Some("") => None,
            text => Some(id::<UserId>(text, "user.id")?).filter(|id| !id.is_zero()),
        };
        Ok(Self {
            id: id(wire.id.as_deref(), "id")?,
            user_id,
            email: required(filled(wire.email).or_else(|| filled(user.email)), "email")?,
            status: wire.status.as_deref().map_or(MemberStatus::Other, MemberStatus::read),
            first_name: filled(user.first_name),
            last_name: filled(user.last_name),
            two_factor: user.two_factor_authentication_enabled,
            // Roles name what the policies give; one that cannot be read loses a name and nothing else.
            roles: listed.into_iter().filter_map(|role| known.roles.of(role, LegacyRole::read).ok()).collect(),
            policies,
        })
    }
}

impl LegacyRole {
    fn read(text: Text<'_>) -> Result<Self, serde_json::Error> {
        let wire: RoleWire = text.read()?;
        Ok(Self { id: wire.id, name: wire.name.unwrap_or_default() })
    }
}
