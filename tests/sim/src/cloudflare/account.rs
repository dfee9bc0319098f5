//! The account's state: what Cloudflare would have in its database. No HTTP here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::objects::Object;
use super::spec::Collation;

/// What a policy does with the access it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Gives it.
    Allow,
    /// Takes it away.
    Deny,
}

impl Access {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// A policy to be: what it does, with which permission groups, on which resource groups, by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// Allow or deny.
    pub access: Access,
    /// Permission group ids.
    pub permission_groups: Vec<String>,
    /// Resource group ids.
    pub resource_groups: Vec<String>,
}

impl PolicySpec {
    /// A policy that allows one permission group on one resource group.
    pub fn allow(permission_group: impl Into<String>, resource_group: impl Into<String>) -> Self {
        Self {
            access: Access::Allow,
            permission_groups: vec![permission_group.into()],
            resource_groups: vec![resource_group.into()],
        }
    }
}

/// A policy with the id it currently has.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) id: String,
    pub(super) access: Access,
    pub(super) permission_groups: Vec<String>,
    pub(super) resource_groups: Vec<String>,
}

/// One piece of access: allow or deny, permission group id, resource group id.
pub type Atom = (Access, String, String);

/// The atoms of a set of policies.
pub(super) fn atoms(policies: &[Policy]) -> BTreeSet<Atom> {
    let mut atoms = BTreeSet::new();
    for policy in policies {
        for permission_group in &policy.permission_groups {
            for resource_group in &policy.resource_groups {
                atoms.insert((policy.access, permission_group.clone(), resource_group.clone()));
            }
        }
    }
    atoms
}

/// How a membership's `user.id` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UserTag {
    Known(String),
    Empty,
    Absent,
    Zeros,
}

impl UserTag {
    /// The id, where there is one that identifies somebody.
    pub(super) fn usable(&self) -> Option<&str> {
        match self {
            Self::Known(id) => Some(id),
            Self::Empty | Self::Absent | Self::Zeros => None,
        }
    }
}

/// A membership.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: String,
    /// Its place in the order of joining.
    pub(super) sequence: u64,
    pub(super) email: String,
    pub(super) status: String,
    pub(super) user: UserTag,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) two_factor: bool,
    pub(super) policies: Vec<Policy>,
}

/// On what kind of resource group a permission group may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Account,
    Zone,
}

/// A permission group, and the legacy role it was, if it was one.
#[derive(Clone, Debug)]
pub(super) struct PermissionGroup {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) label: String,
    pub(super) kind: Level,
    pub(super) legacy_role: Option<String>,
}

/// A resource group.
#[derive(Clone, Debug)]
pub(super) struct ResourceGroup {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: Level,
    pub(super) editable: bool,
    pub(super) scope_key: String,
    pub(super) objects: Vec<String>,
}

/// A user group.
#[derive(Clone, Debug)]
pub(super) struct UserGroup {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created_on: DateTime<Utc>,
    pub(super) modified_on: DateTime<Utc>,
    /// When it was created in this run; a generated one has been there long enough.
    pub(super) created_at: Option<Instant>,
    pub(super) policies: Vec<Policy>,
    /// Membership ids.
    pub(super) members: BTreeSet<String>,
    /// Its member list answers 400, as that of a group with an invalid policy does.
    pub(super) broken: bool,
}

/// An account token, as the token list tells it.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) status: &'static str,
    pub(super) issued_on: DateTime<Utc>,
    pub(super) last_used_on: Option<DateTime<Utc>>,
    pub(super) expires_on: Option<DateTime<Utc>>,
    pub(super) creator: Option<String>,
    /// Its policies, and whatever else is told of it instead of the above.
    pub(super) more: serde_json::Map<String, serde_json::Value>,
}

/// How the account itself is set.
#[derive(Clone, Debug, Default)]
pub(super) struct Posture {
    /// `null` where it was never set.
    pub(super) enforces_two_factor: Option<bool>,
    /// The organization that the account is in: id and name.
    pub(super) organization: Option<(String, String)>,
    /// OAuth clients and identity providers' domains, as they are told.
    pub(super) oauth_clients: Vec<serde_json::Value>,
    pub(super) sso_connectors: Vec<serde_json::Value>,
}

/// An entry of the audit log.
#[derive(Clone, Debug)]
pub(super) struct AuditEntry {
    pub(super) time: DateTime<Utc>,
    /// From when it can be read.
    pub(super) shown_at: DateTime<Utc>,
    pub(super) json: serde_json::Value,
}

/// By what members are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Order {
    Joined,
    Email(Collation),
    FirstName,
    LastName,
    Status,
}

/// Everything the account holds.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created_on: DateTime<Utc>,
    /// The resource group that is the whole account.
    pub(super) whole_rg: String,
    /// Permission groups in the order the API lists them.
    pub(super) permission_groups: Vec<PermissionGroup>,
    pub(super) resource_groups: Vec<ResourceGroup>,
    /// Domains, Workers and Access applications, as far as lists tell of them.
    pub(super) zones: Vec<Object>,
    pub(super) workers: Vec<Object>,
    pub(super) access_apps: Vec<Object>,
    /// The people whom Access knows, and the logins that the audit log of version 1 tells.
    pub(super) access_users: Vec<serde_json::Value>,
    pub(super) logins: Vec<serde_json::Value>,
    pub(super) user_groups: BTreeMap<String, UserGroup>,
    pub(super) tokens: Vec<Token>,
    pub(super) posture: Posture,
    pub(super) audit: Vec<AuditEntry>,
    /// What time it is for the audit log, where a test says so.
    pub(super) log_clock: Option<DateTime<Utc>>,
    /// How many seconds after a change its entry can be read.
    pub(super) log_delay: i64,
    /// Members that cannot be put into a user group ("do not have DSR enabled").
    pub(super) without_dsr: BTreeSet<String>,
    /// User groups whose members an identity provider manages.
    pub(super) scim_managed: BTreeSet<String>,
    /// Invitations that can no longer be accepted; they stay listed as pending.
    pub(super) expired: BTreeSet<String>,
    /// User ids of people who were members once, by lower-case e-mail address.
    pub(super) known_users: HashMap<String, String>,
    pub(super) rng: fastrand::Rng,
    members: BTreeMap<String, Member>,
    by_email: HashMap<String, String>,
    next_sequence: u64,
    orders: HashMap<Order, Arc<Vec<String>>>,
}

impl Account {
    /// An account without anything in it.
    pub(super) fn empty(id: String, rng: fastrand::Rng) -> Self {
        Self {
            id,
            name: "Acme Widgets, Inc. – プロダクション".into(),
            created_on: generated_time(0),
            whole_rg: String::new(),
            permission_groups: Vec::new(),
            resource_groups: Vec::new(),
            zones: Vec::new(),
            workers: Vec::new(),
            access_apps: Vec::new(),
            access_users: Vec::new(),
            logins: Vec::new(),
            user_groups: BTreeMap::new(),
            tokens: Vec::new(),
            posture: Posture { enforces_two_factor: Some(false), ..Posture::default() },
            audit: Vec::new(),
            log_clock: None,
            log_delay: 0,
            without_dsr: BTreeSet::new(),
            scim_managed: BTreeSet::new(),
            expired: BTreeSet::new(),
            known_users: HashMap::new(),
            rng,
            members: BTreeMap::new(),
            by_email: HashMap::new(),
            next_sequence: 0,
            orders: HashMap::new(),
        }
    }

    /// A new id of 32 hexadecimal digits.
    pub(super) fn new_id(&mut self) -> String {
        format!("{:032x}", self.rng.u128(1..))
    }

    /// The system name of the whole account.
    pub(super) fn key(&self) -> String {
        format!("com.cloudflare.api.account.{}", self.id)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(super) fn member_count(&self) -> usize {
        self.members.len()
    }

    pub(super) fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    /// The membership with this e-mail address, case ignored.
    pub(super) fn member_by_email(&self, email: &str) -> Option<&Member> {
        self.by_email.get(&email.to_lowercase()).and_then(|id| self.members.get(id))
    }

    /// A member, to be changed in anything but id and e-mail address.
    pub(super) fn member_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.orders.clear();
        self.members.get_mut(id)
    }

    /// Gives a member another e-mail address.
    pub(super) fn change_email(&mut self, id: &str, email: &str) {
        self.orders.clear();
        let Some(member) = self.members.get_mut(id) else { return };
        self.by_email.remove(&member.email.to_lowercase());
        self.by_email.insert(email.to_lowercase(), id.to_owned());
        email.clone_into(&mut member.email);
    }

    /// Adds a membership at the end of the order of joining.
    pub(super) fn add_member(&mut self, mut member: Member) {
        self.orders.clear();
        member.sequence = self.next_sequence;
        self.next_sequence += 1;
        self.by_email.insert(member.email.to_lowercase(), member.id.clone());
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a membership, from its user groups as well.
    pub(super) fn remove_member(&mut self, id: &str) -> Option<Member> {
        self.orders.clear();
        let member = self.members.remove(id)?;
        self.by_email.remove(&member.email.to_lowercase());
        if let Some(user) = member.user.usable() {
            self.known_users.insert(member.email.to_lowercase(), user.to_owned());
        }
        for group in self.user_groups.values_mut() {
            group.members.remove(id);
        }
        Some(member)
    }

    /// All member ids in an order, ascending.
    pub(super) fn ordered(&mut self, order: Order) -> Arc<Vec<String>> {
        if let Some(known) = self.orders.get(&order) {
            return Arc::clone(known);
        }
        let mut members: Vec<&Member> = self.members.values().collect();
        members.sort_by(|a, b| {
            let first = match order {
                Order::Joined => std::cmp::Ordering::Equal,
                Order::Email(Collation::Bytes) => a.email.as_bytes().cmp(b.email.as_bytes()),
                Order::Email(Collation::CaseInsensitive) => collation_key(&a.email).cmp(&collation_key(&b.email)),
                Order::FirstName => a.first_name.cmp(&b.first_name),
                Order::LastName => a.last_name.cmp(&b.last_name),
                Order::Status => a.status.cmp(&b.status),
            };
            first.then(a.sequence.cmp(&b.sequence))
        });
        let ids = Arc::new(members.into_iter().map(|member| member.id.clone()).collect::<Vec<_>>());
        self.orders.insert(order, Arc::clone(&ids));
        ids
    }

    pub(super) fn permission_group(&self, id: &str) -> Option<&PermissionGroup> {
        self.permission_groups.iter().find(|group| group.id == id)
    }

    /// The permission group behind a legacy role id.
    pub(super) fn behind_role(&self, role: &str) -> Option<&PermissionGroup> {
        self.permission_groups.iter().find(|group| group.legacy_role.as_deref() == Some(role))
    }

    pub(super) fn resource_group(&self, id: &str) -> Option<&ResourceGroup> {
        self.resource_groups.iter().find(|group| group.id == id)
    }

    /// Policies with new ids.
    pub(super) fn issue(&mut self, policies: impl IntoIterator<Item = PolicySpec>) -> Vec<Policy> {
        policies
            .into_iter()
            .map(|policy| Policy {
                id: self.new_id(),
                access: policy.access,
                permission_groups: policy.permission_groups,
                resource_groups: policy.resource_groups,
            })
            .collect()
    }
}

/// Case ignored, letters before everything else.
fn collation_key(email: &str) -> Vec<(bool, char)> {
    email.to_lowercase().chars().map(|letter| (!letter.is_alphabetic(), letter)).collect()
}

/// A time in the account's past, `hours` after its creation.
pub(super) fn generated_time(hours: i64) -> DateTime<Utc> {
    // 2021-03-01T09:12:00Z
    DateTime::from_timestamp(1_614_589_920 + hours * 3_600, 0).unwrap_or_default()
}
