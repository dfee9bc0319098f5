//! User groups: members who share policies (`reference/cloudflare.md` 1.5, 2.7).

use serde::Serialize;
use serde_json::json;

use super::call::Call;
use super::cleared::Cleared;
use super::client::{Client, ListPage, Record, asked_for, filled, id};
use super::error::ApiError;
use super::odd::Odd;
use super::policies::{Known, Policies, PolicyWire};
use super::{GROUP_SIZES, lenient};
use crate::base::json::Deserialize;
use crate::base::ports::{Clock, Http, Method, Sql};
use crate::model::id::{MemberId, UserGroupId};

/// A user group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserGroup {
    /// The group's id.
    pub id: UserGroupId,
    /// The group's name.
    pub name: String,
    /// What its members hold through it, as far as it could be read.
    pub policies: Policies,
    /// Whether it was told without policies: it holds nothing then, unless that was an answer that left them out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_silent: bool,
    /// When it changed last, as it was told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub changed: String,
}

impl UserGroup {
    /// One of a list that cannot be read, where its id is told, by which it goes: what it gives is not known, and who is in it can be asked.
    pub fn unread(odd: &Odd) -> Option<Self> {
        let id: UserGroupId = odd.parsed()?;
        let policies = Policies::default().and_unread(&odd.why);
        Some(Self { id, name: id.to_string(), policies, is_silent: false, changed: String::new() })
    }
}

/// A member of a user group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The membership's id.
    pub id: MemberId,
    /// The e-mail address, where told.
    pub email: Option<String>,
}

impl<P: Http + Clock + Sql> Client<'_, P> {
    /// One page of the user groups, by name.
    pub async fn user_groups_page(&self, page: u32) -> Result<ListPage<UserGroup>, ApiError> {
        self.page_of(page, &GROUP_SIZES, |page, size| {
            self.account_path(&format!("/iam/user_groups?page={page}&per_page={size}&direction=asc"))
        })
        .await
    }

    /// One user group.
    pub async fn user_group(&self, group: UserGroupId) -> Result<UserGroup, ApiError> {
        let call = Call::get(self.account_path(&format!("/iam/user_groups/{group}")));
        let told: UserGroup = self.object(call).await.map_err(ApiError::of_one)?;
        asked_for(&group, &told.id)?;
        Ok(told)
    }

    /// One page of a user group's members, by e-mail address.
    pub async fn user_group_members_page(
        &self,
        group: UserGroupId,
        page: u32,
    ) -> Result<ListPage<GroupMember>, ApiError> {
        self.page_of(page, &GROUP_SIZES, |page, size| {
            self.account_path(&format!("/iam/user_groups/{group}/members?page={page}&per_page={size}&direction=asc"))
        })
        .await
    }

    /// Whether a member is in a user group.
    pub async fn is_in_group(&self, group: UserGroupId, member: MemberId) -> Result<bool, ApiError> {
        let path = self.account_path(&format!("/iam/user_groups/{group}/members/{member}"));
        match self.object::<GroupMember>(Call::get(path)).await.map_err(ApiError::of_one) {
            Ok(told) => asked_for(&member, &told.id).map(|()| true),
            Err(ApiError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Adds a member to a user group; one who is in it already is fine.
    pub async fn add_to_group(&self, cleared: &Cleared, group: UserGroupId, member: MemberId) -> Result<(), ApiError> {
        cleared.covers(member)?;
        let path = self.account_path(&format!("/iam/user_groups/{group}/members"));
        // A bare array: Cloudflare adds those in it to those in the group.
        self.done(Call::write(cleared, Method::Post, path, Some(json!([{ "id": member }])))).await
    }

    /// Takes a member out of a user group.
    pub async fn remove_from_group(
        &self,
        cleared: &Cleared,
        group: UserGroupId,
        member: MemberId,
    ) -> Result<(), ApiError> {
        cleared.covers(member)?;
        let path = self.account_path(&format!("/iam/user_groups/{group}/members/{member}"));
        self.done(Call::write(cleared, Method::Delete, path, None)).await
    }
}

#[derive(Deserialize)]
pub(super) struct GroupWire<'de> {
    id: Option<String>,
    name: Option<String>,
    policies: Option<Vec<PolicyWire<'de>>>,
    #[serde(default, deserialize_with = "lenient::text")]
    modified_on: Option<String>,
}

impl Record for UserGroup {
    type Wire<'de> = GroupWire<'de>;

    fn read(wire: GroupWire<'_>) -> Result<Self, String> {
        let is_silent = wire.policies.is_none();
        // A group that holds nothing may be told without policies; that is so of nobody else.
        let mut policies = Policies::read(Some(wire.policies.unwrap_or_default()), &mut Known::new());
        // Only its id tells what a group gives from what the members who show it have of their own.
        if policies.readable().iter().any(|policy| policy.id.is_none()) {
            policies = policies.and_unread("policies[].id is missing");
        }
        let id: UserGroupId = id(wire.id.as_deref(), "id")?;
        // One without a name goes by its id: what it gives is no less given for that.
        let name = filled(wire.name);
        if name.is_none() {
            policies = policies.and_unread("name is missing");
        }
        let changed = wire.modified_on.unwrap_or_default();
        Ok(Self { id, name: name.unwrap_or_else(|| id.to_string()), policies, is_silent, changed })
    }
}

#[derive(Deserialize)]
pub(super) struct GroupMemberWire {
    id: Option<String>,
    email: Option<String>,
}

impl Record for GroupMember {
    type Wire<'de> = GroupMemberWire;

    fn read(wire: GroupMemberWire) -> Result<Self, String> {
        Ok(Self { id: id(wire.id.as_deref(), "id")?, email: filled(wire.email) })
    }
}
