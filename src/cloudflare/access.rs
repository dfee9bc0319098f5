//! What access is named by: legacy roles, permission groups, resource groups (`reference/cloudflare.md` 1.3, 1.4).

use serde::Serialize;

use super::SIZES;
use super::call::Call;
use super::client::{Client, ListPage, Record, asked_for, filled, id, incredible, moment};
use super::error::ApiError;
use super::lenient::MetaWire;
use super::scope::ScopeWire;
use crate::base::json::Deserialize;
use crate::base::ports::{Clock, Http, Sql};
use crate::base::time::Timestamp;
use crate::model::id::{AccountId, PermissionGroupId, ResourceGroupId, RoleId};
use crate::model::scope::ObjectKind;

/// A legacy role. The list is deprecated, depends on the plan, and leaves out Super Administrator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRecord {
    /// The role's id.
    pub id: RoleId,
    /// The role's name.
    pub name: String,
    /// What the role is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A permission group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionGroup {
    /// The group's id.
    pub id: PermissionGroupId,
    /// The group's name; empty where a list gives ids only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A stable label, such as `super_admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What it can be granted on, such as `com.cloudflare.api.account` or `com.cloudflare.api.account.zone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<String>,
    /// Where it is withdrawn: the day from which it is no more, or an empty text where none is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
}

/// Where a permission group is said to be withdrawn: the day, or an empty text where none is told.
pub(super) fn ending(deprecated: Option<&str>, eol_at: Option<&str>) -> Option<String> {
    let day = eol_at.and_then(moment).map(Timestamp::date);
    let is_deprecated = deprecated.is_some_and(|text| text.eq_ignore_ascii_case("true"));
    day.or_else(|| is_deprecated.then(String::new))
}

impl PermissionGroup {
    pub(super) fn new(id: PermissionGroupId, name: Option<String>, meta: MetaWire) -> Self {
        Self {
            id,
            name: name.unwrap_or_default(),
            description: filled(meta.description),
            ends: ending(meta.deprecated.as_deref(), meta.eol_at.as_deref()),
            label: filled(meta.label),
            scopes: filled(meta.scopes),
        }
    }
}

/// A resource group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceGroup {
    /// The group's id.
    pub id: ResourceGroupId,
    /// The group's name; empty where a list gives ids only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The keys of what it reaches, where the list of resource groups told it: a member's policies have them too, and are not read for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

impl ResourceGroup {
    /// Whether it reaches some objects of the account alone, as far as that is told. What names the account beside others has those in it.
    pub(crate) fn is_narrower(&self) -> bool {
        let has = |is: fn(ObjectKind) -> bool| self.keys.iter().any(|key| is(ObjectKind::of(key).0));
        has(|kind| !matches!(kind, ObjectKind::Account | ObjectKind::Other)) && !has(|kind| kind == ObjectKind::Account)
    }
}

/// Pages of permission groups that are looked through at most for one; there are some 150 groups, three pages.
pub const PERMISSION_GROUP_PAGES: u32 = 20;

/// The name of the resource group that is the whole account.
pub(crate) fn account_resource_group_name(account: AccountId) -> String {
    format!("com.cloudflare.api.account.{account}")
}

impl<P: Http + Clock + Sql> Client<'_, P> {
    /// One page of the legacy roles.
    pub async fn roles_page(&self, page: u32) -> Result<ListPage<RoleRecord>, ApiError> {
        self.page_of(page, &SIZES, |page, size| self.account_path(&format!("/roles?page={page}&per_page={size}"))).await
    }

    /// One page of the permission groups.
    pub async fn permission_groups_page(&self, page: u32) -> Result<ListPage<PermissionGroup>, ApiError> {
        self.page_of(page, &SIZES, |page, size| {
            self.account_path(&format!("/iam/permission_groups?page={page}&per_page={size}"))
        })
        .await
    }

    /// One permission group.
    pub async fn permission_group(&self, id: PermissionGroupId) -> Result<PermissionGroup, ApiError> {
        let call = Call::get(self.account_path(&format!("/iam/permission_groups/{id}")));
        let told: PermissionGroup = self.object(call).await.map_err(ApiError::of_one)?;
        asked_for(&id, &told.id)?;
        Ok(told)
    }

    /// All resource groups: this list has no pages.
    pub async fn resource_groups(&self) -> Result<ListPage<ResourceGroup>, ApiError> {
        self.page(Call::get_long(self.account_path("/iam/resource_groups"))).await
    }

    /// The resource group that is the whole account; a grant of an account-wide role is on this one. Somebody may have given its name to another one.
    pub async fn account_resource_group(&self) -> Result<ResourceGroupId, ApiError> {
        let name = account_resource_group_name(self.settings().account_id);
        let found =
            self.resource_groups().await?.items.into_iter().find(|group| group.name == name && !group.is_narrower());
        // Every account has it: the record is one of those that cannot be read, or it is not there yet.
        found.map(|group| group.id).ok_or_else(|| incredible(&format!("there is no resource group {name}")))
    }
}

#[derive(Deserialize)]
pub(super) struct NamedWire {
    id: Option<String>,
    name: Option<String>,
    description: Option<String>,
    #[serde(default)]
    meta: MetaWire,
}

impl Record for RoleRecord {
    type Wire<'de> = NamedWire;

    fn read(wire: NamedWire) -> Result<Self, String> {
        Ok(Self {
            id: id(wire.id.as_deref(), "id")?,
            name: wire.name.unwrap_or_default(),
            description: filled(wire.description),
        })
    }
}

impl Record for PermissionGroup {
    type Wire<'de> = NamedWire;

    fn read(wire: NamedWire) -> Result<Self, String> {
        Ok(Self::new(id(wire.id.as_deref(), "id")?, wire.name, wire.meta))
    }
}

#[derive(Deserialize)]
pub(super) struct ReachWire {
    id: Option<String>,
    name: Option<String>,
    #[serde(default)]
    scope: ScopeWire,
}

impl Record for ResourceGroup {
    type Wire<'de> = ReachWire;

    fn read(wire: ReachWire) -> Result<Self, String> {
        let id = id(wire.id.as_deref(), "id")?;
        Ok(Self { id, name: wire.name.unwrap_or_default(), keys: wire.scope.keys })
    }
}

#[cfg(test)]
mod tests {
    use super::ResourceGroup;

    #[test]
    fn a_resource_group_is_narrower_that_names_objects_and_not_the_account_they_are_in() {
        let [account, zones, worker] = [
            "com.cloudflare.api.account.eb78d65290b24279ba6f44721b3ea3c4",
            "com.cloudflare.api.account.zone.*",
            "com.cloudflare.edge.worker.script.1",
        ];
        let cases: [(&[&str], bool); 7] = [
            (&[zones], true),
            (&[worker, "something.new"], true),
            (&[account], false),
            (&[account, zones], false),
            (&[zones, account], false),
            // What is not known may be the account.
            (&["something.new"], false),
            (&[], false),
        ];
        for (keys, is_narrower) in cases {
            let id = "1".repeat(32).parse().unwrap();
            let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            let group = ResourceGroup { id, name: String::new(), keys };
            assert_eq!(group.is_narrower(), is_narrower, "{group:?}");
        }
    }
}
