//! Which legacy role is which permission group, and which resource group is the whole account. Learned from whatever
//! shows it, and kept for good, so that entitlement ids stay when Cloudflare's deprecated roles list goes
//! (`reference/cloudflare.md` 1.3, 2.2).

use crate::base::json::Deserialize;
use crate::base::tree::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::hints::Hints;
use super::state;
use crate::base::ports::{Sql, SqlError};
use crate::cloudflare::{PermissionGroup, ResourceGroup, RoleRecord, account_resource_group_name};
use crate::model::id::{AccountId, PermissionGroupId, ResourceGroupId, RoleId};
use crate::model::name;
use crate::model::super_administrator;
use crate::snapshot::Naming;

/// What is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Names {
    v: u32,
    pub(crate) account_resource_group: Option<ResourceGroupId>,
    roles: BTreeMap<RoleId, Link>,
    /// Permission groups that are governed under their own id.
    own: BTreeSet<PermissionGroupId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Link {
    permission_group: PermissionGroupId,
    by: Evidence,
}

/// What shows that a role is a permission group, the stronger first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Evidence {
    /// An earlier snapshot says so.
    Snapshot,
    /// A member has a role and an account-wide permission group of the same name.
    Member,
    /// Cloudflare's label says so.
    Label,
    /// The role and the permission group are the only ones of their name.
    Name,
}

/// What a crawl saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrawlView<'a> {
    pub(crate) account: AccountId,
    /// The resource groups, where they could be listed.
    pub(crate) resource_groups: &'a [ResourceGroup],
    /// Whether they could, and each of their records could be read.
    pub(crate) is_whole: bool,
    /// Every permission group that is known, from the list and from members' policies.
    pub(crate) permission_groups: &'a BTreeMap<PermissionGroupId, PermissionGroup>,
    /// The legacy roles, where they could be listed.
    pub(crate) roles: &'a [RoleRecord],
    pub(crate) hints: &'a Hints,
    /// What the previous generation says.
    pub(crate) previous: Option<&'a Naming>,
}

/// Whether a permission group can be held on the whole account. `scopes` is a text whose grammar is not documented; one that
/// does not say otherwise is taken for the account's.
pub(crate) fn is_account_wide(group: &PermissionGroup) -> bool {
    const ACCOUNT: &str = "com.cloudflare.api.account";
    group.scopes.as_deref().is_none_or(|scopes| {
        let mut parts = scopes.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty());
        parts.any(|part| part == ACCOUNT || !part.starts_with("com.cloudflare."))
    })
}

impl Names {
    const VERSION: u32 = 1;

    pub(crate) fn load(sql: &dyn Sql) -> Result<Self, SqlError> {
        let known: Option<Self> = state::load(sql, state::NAMES)?;
        Ok(known.filter(|names| names.v == Self::VERSION).unwrap_or_default())
    }

    pub(crate) fn store(&self, sql: &dyn Sql) -> Result<(), SqlError> {
        state::store(sql, state::NAMES, self)
    }

    /// How atoms become entitlements.
    pub(crate) fn naming(&self) -> Naming {
        Naming {
            account_resource_group: self.account_resource_group,
            roles: self.roles.iter().map(|(&role, link)| (link.permission_group, role)).collect(),
        }
    }

    /// The permission group of a role.
    pub(crate) fn permission_group_of(&self, role: RoleId) -> Option<PermissionGroupId> {
        let linked = self.roles.get(&role).map(|link| link.permission_group);
        linked.or_else(|| Some(role.into()).filter(|own| self.own.contains(own)))
    }

    /// The role id of a permission group.
    #[cfg(test)]
    fn role_of(&self, group: PermissionGroupId) -> Option<RoleId> {
        let linked = self.roles.iter().find(|(_, link)| link.permission_group == group).map(|(&role, _)| role);
        linked.or_else(|| self.own.contains(&group).then(|| group.into()))
    }

    /// Which permission groups are governed under their own id.
    pub(crate) fn own(&self) -> &BTreeSet<PermissionGroupId> {
        &self.own
    }

    /// Sets which permission groups are governed under their own id.
    pub(crate) fn set_own(&mut self, own: BTreeSet<PermissionGroupId>) {
        self.own = own;
    }

    /// Learns from a crawl. What was known stays; the sentences given back say where the crawl contradicts it.
    pub(crate) fn learn(mut self, seen: CrawlView<'_>) -> (Self, Vec<String>) {
        self.v = Self::VERSION;
        let mut warnings = Vec::new();
        self.learn_account(seen, &mut warnings);
        for (&group, &role) in seen.previous.iter().flat_map(|previous| &previous.roles) {
            self.link(role, group, Evidence::Snapshot);
        }
        let listed = seen.roles.iter().map(|role| role.id);
        let roles: BTreeSet<RoleId> =
            listed.chain(seen.hints.roles.iter().copied()).chain(super_administrator::role()).collect();
        // A permission group that appears among the roles under its own id is that role, whatever other names say.
        let taken: BTreeSet<PermissionGroupId> = roles
            .iter()
            .map(|&role| PermissionGroupId::from(role))
            .filter(|group| seen.permission_groups.contains_key(group))
            .collect();
        let free = |role: RoleId, group: PermissionGroupId| !taken.contains(&role.into()) && !taken.contains(&group);

        self.learn_pairs(&seen.hints.pairs, Evidence::Member, free, &mut warnings);
        self.learn_pairs(&by_label(seen), Evidence::Label, free, &mut warnings);
        self.learn_pairs(&self.by_name(seen), Evidence::Name, free, &mut Vec::new());
        (self, warnings)
    }

    fn learn_account(&mut self, seen: CrawlView<'_>, warnings: &mut Vec<String>) {
        let name = account_resource_group_name(seen.account);
        let groups = seen.resource_groups.iter();
        let listed = || groups.clone().find(|group| group.name == name && !group.is_narrower()).map(|group| group.id);
        let hinted = || seen.hints.resource_groups.iter().find(|(_, known)| **known == name).map(|(&id, _)| id);
        let before = self.account_resource_group.or(seen.previous.and_then(|previous| previous.account_resource_group));
        // Somebody may have given the name to another one, and members may hold that. Which one it is never changes, and nobody can delete it: another
        // one was taken for it where a whole list does not have what was, or any list tells that this reaches less.
        let stays = |known: &ResourceGroupId| {
            groups.clone().find(|group| group.id == *known).map_or(!seen.is_whole, |group| !group.is_narrower())
        };
        let found = before.filter(stays).or_else(listed).or(before).or_else(hinted);
        if let (Some(known), Some(found)) = (self.account_resource_group, found)
            && known != found
        {
            warnings.push(format!("the resource group of the whole account was {known} and is {found} now"));
        }
        self.account_resource_group = found;
    }

    /// Links pairs that nothing contradicts, and says which were contradicted.
    fn learn_pairs(
        &mut self,
        pairs: &BTreeSet<(RoleId, PermissionGroupId)>,
        by: Evidence,
        free: impl Fn(RoleId, PermissionGroupId) -> bool,
        warnings: &mut Vec<String>,
    ) {
        for &(role, group) in pairs.iter().filter(|&&(role, group)| free(role, group)) {
            let rivals = pairs.iter().filter(|(other, theirs)| (*other == role) != (*theirs == group)).count();
            let known = self.roles.get(&role).map(|link| link.permission_group);
            if known == Some(group) {
                continue;
            }
            if let Some(known) = known {
                warnings.push(format!(
                    "role {role} is known as permission group {known}, and now looks like {group}; what was known stays"
                ));
            } else if rivals > 0 || !self.link(role, group, by) {
                warnings
                    .push(format!("it is not clear which permission group role {role} is; {group} is one candidate"));
            }
        }
    }

    fn link(&mut self, role: RoleId, permission_group: PermissionGroupId, by: Evidence) -> bool {
        let used =
            self.roles.contains_key(&role) || self.roles.values().any(|link| link.permission_group == permission_group);
        if !used && PermissionGroupId::from(role) != permission_group {
            self.roles.insert(role, Link { permission_group, by });
            return true;
        }
        false
    }

    /// Roles and account-wide permission groups that are the only ones of their name, among those that are not linked yet.
    fn by_name(&self, seen: CrawlView<'_>) -> BTreeSet<(RoleId, PermissionGroupId)> {
        let mut roles: BTreeMap<String, BTreeSet<RoleId>> = BTreeMap::new();
        for role in seen.roles.iter().filter(|role| !role.name.trim().is_empty()) {
            roles.entry(name::folded(&role.name)).or_default().insert(role.id);
        }
        let mut groups: BTreeMap<String, BTreeSet<PermissionGroupId>> = BTreeMap::new();
        for group in seen.permission_groups.values().filter(|group| is_account_wide(group)) {
            groups.entry(name::folded(&group.name)).or_default().insert(group.id);
        }
        roles
            .iter()
            .filter_map(|(name, roles)| {
                let groups = groups.get(name)?;
                let alone = roles.len() == 1 && groups.len() == 1;
                let pair = (*roles.first()?, *groups.first()?);
                (alone && !self.roles.contains_key(&pair.0)).then_some(pair)
            })
            .filter(|(_, group)| !self.roles.values().any(|link| link.permission_group == *group))
            .collect()
    }
}

/// The permission group behind a role, as far as a sync has learned it.
pub fn permission_group_of(sql: &dyn Sql, role: RoleId) -> Result<Option<PermissionGroupId>, SqlError> {
    Ok(Names::load(sql)?.permission_group_of(role))
}

fn by_label(seen: CrawlView<'_>) -> BTreeSet<(RoleId, PermissionGroupId)> {
    let labelled =
        |group: &&PermissionGroup| super_administrator::is_label(group.label.as_deref()) && is_account_wide(group);
    let groups = seen.permission_groups.values().filter(labelled).map(|group| group.id);
    super_administrator::role().into_iter().flat_map(|role| groups.clone().map(move |group| (role, group))).collect()
}

#[cfg(test)]
mod tests {
    use crate::base::tree::BTreeMap;

    use super::{CrawlView, Names, is_account_wide, super_administrator};
    use crate::account::hints::Hints;
    use crate::cloudflare::{PermissionGroup, ResourceGroup, RoleRecord};
    use crate::model::id::RoleId;

    fn id<T: std::str::FromStr<Err = crate::model::id::InvalidId>>(n: u8) -> T {
        format!("{n:032x}").parse().unwrap()
    }

    fn group(n: u8, name: &str) -> PermissionGroup {
        PermissionGroup { id: id(n), name: name.to_owned(), description: None, label: None, scopes: None, ends: None }
    }

    fn role(n: u8, name: &str) -> RoleRecord {
        RoleRecord { id: id(n), name: name.to_owned(), description: None }
    }

    struct Crawl {
        groups: Vec<PermissionGroup>,
        roles: Vec<RoleRecord>,
        pairs: Vec<(u8, u8)>,
    }

    fn learn(names: Names, crawl: &Crawl) -> (Names, Vec<String>) {
        let hints = Hints {
            pairs: crawl.pairs.iter().map(|&(role, group)| (id(role), id(group))).collect(),
            ..Hints::default()
        };
        let groups: BTreeMap<_, _> = crawl.groups.iter().map(|group| (group.id, group.clone())).collect();
        let seen = CrawlView {
            account: id(255),
            resource_groups: &[],
            is_whole: false,
            permission_groups: &groups,
            roles: &crawl.roles,
            hints: &hints,
            previous: None,
        };
        names.learn(seen)
    }

    /// What the role is known as after a crawl.
    fn check(crawl: &Crawl, of: u8, expected: Option<u8>) {
        let (names, _) = learn(Names::default(), crawl);
        assert_eq!(names.permission_group_of(id(of)), expected.map(id), "role {of}");
        let back = expected.and_then(|group| names.role_of(id(group)));
        assert_eq!(back, expected.map(|_| id(of)));
    }

    #[test]
    fn a_role_is_the_permission_group_of_its_name_on_a_member() {
        let crawl =
            Crawl { groups: vec![group(11, "A"), group(12, "A")], roles: vec![role(1, "A")], pairs: vec![(1, 12)] };
        check(&crawl, 1, Some(12));
    }

    #[test]
    fn a_role_is_the_only_permission_group_of_its_name() {
        let groups = vec![group(11, " dns "), group(12, "Zone"), group(13, "zone")];
        let crawl = Crawl { groups, roles: vec![role(1, "DNS"), role(2, "Zone"), role(3, "None")], pairs: vec![] };
        check(&crawl, 1, Some(11));
        check(&crawl, 2, None);
        check(&crawl, 3, None);
    }

    #[test]
    fn super_administrator_is_found_by_its_label() {
        let mut labelled = group(11, "Super Administrator");
        labelled.label = Some("super_admin".to_owned());
        let (names, _) = learn(Names::default(), &Crawl { groups: vec![labelled], roles: vec![], pairs: vec![] });
        assert_eq!(names.permission_group_of(super_administrator::role().unwrap()), Some(id(11)));
    }

    #[test]
    fn a_permission_group_among_the_roles_is_itself() {
        let crawl =
            Crawl { groups: vec![group(1, "A"), group(11, "A")], roles: vec![role(1, "A")], pairs: vec![(1, 11)] };
        let (names, warnings) = learn(Names::default(), &crawl);
        assert_eq!((names.permission_group_of(id(1)), names.role_of(id(11)), warnings.len()), (None, None, 0));
        assert_eq!(names.naming().role_of(id(1)), id(1));
    }

    #[test]
    fn what_is_known_outlasts_the_lists_and_what_contradicts_it() {
        let crawl = Crawl { groups: vec![group(11, "A")], roles: vec![role(1, "A")], pairs: vec![] };
        let (names, _) = learn(Names::default(), &crawl);
        let (names, warnings) = learn(names, &Crawl { groups: vec![], roles: vec![], pairs: vec![] });
        assert!(warnings.is_empty());
        let (names, warnings) = learn(names, &Crawl { groups: vec![], roles: vec![], pairs: vec![(1, 12)] });
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(names.permission_group_of(id(1)), Some(id(11)));
        // The other way round: another role cannot take the permission group.
        let (names, warnings) = learn(names, &Crawl { groups: vec![], roles: vec![], pairs: vec![(2, 11)] });
        assert_eq!((names.role_of(id(11)), warnings.len()), (Some(id(1)), 1));
    }

    #[test]
    fn members_that_disagree_teach_nothing() {
        let crawl = Crawl { groups: vec![], roles: vec![], pairs: vec![(1, 11), (1, 12)] };
        let (names, warnings) = learn(Names::default(), &crawl);
        assert_eq!((names.permission_group_of(id(1)), warnings.len()), (None, 2));
    }

    #[test]
    fn the_whole_account_is_found_by_its_name() {
        let name = format!("com.cloudflare.api.account.{}", id::<RoleId>(255));
        let of = |n: u8, name: &str, keys: &[&str]| {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            ResourceGroup { id: id(n), name: name.to_owned(), keys }
        };
        let listed = [of(7, &name, &[&name])];
        let groups = BTreeMap::new();
        let seen = |resource_groups, is_whole, hints| CrawlView {
            account: id(255),
            resource_groups,
            is_whole,
            permission_groups: &groups,
            roles: &[],
            hints,
            previous: None,
        };
        let hints = Hints::default();
        let held = Hints { resource_groups: BTreeMap::from([(id(3), name.clone())]), ..Hints::default() };
        let (names, _) = Names::default().learn(seen(&listed, true, &hints));
        assert_eq!(names.account_resource_group, Some(id(7)));
        for hints in [&hints, &held] {
            let (names, warnings) = names.clone().learn(seen(&[], false, hints));
            let known = (names.account_resource_group, warnings.len());
            assert_eq!(known, (Some(id(7)), 0), "remembered while the list cannot be read");
        }
        let twice = [of(9, &name, &[]), listed[0].clone()];
        let nameless = [of(9, &name, &[]), of(7, "", &[])];
        for (list, is_whole, expected) in [
            (&twice[..], true, 7),
            (&nameless[..], true, 7),
            // One whose own record cannot be read is there all the same.
            (&twice[..1], false, 7),
            // The control: of what is on a whole list no more it was another one.
            (&twice[..1], true, 9),
        ] {
            let (names, warnings) = names.clone().learn(seen(list, is_whole, &held));
            let known = (names.account_resource_group, warnings.len());
            assert_eq!(known, (Some(id(expected)), usize::from(expected != 7)), "{list:?}");
        }
    }

    /// Members may hold another one of its name, which is all that is known while the list cannot be read.
    #[test]
    fn what_was_taken_for_the_whole_account_and_reaches_less_is_not_taken_for_it_any_more() {
        let name = format!("com.cloudflare.api.account.{}", id::<RoleId>(255));
        let zone = "com.cloudflare.api.account.zone.1".to_owned();
        let listed = [
            ResourceGroup { id: id(3), name: name.clone(), keys: vec![zone] },
            ResourceGroup { id: id(7), name: name.clone(), keys: vec![name.clone()] },
        ];
        let groups = BTreeMap::new();
        let hints = Hints { resource_groups: BTreeMap::from([(id(3), name)]), ..Hints::default() };
        let seen = |resource_groups, is_whole| CrawlView {
            account: id(255),
            resource_groups,
            is_whole,
            permission_groups: &groups,
            roles: &[],
            hints: &hints,
            previous: None,
        };
        let (wrong, _) = Names::default().learn(seen(&[], false));
        assert_eq!(wrong.account_resource_group, Some(id(3)));
        for is_whole in [true, false] {
            let (names, warnings) = wrong.clone().learn(seen(&listed, is_whole));
            assert_eq!((names.account_resource_group, warnings.len()), (Some(id(7)), 1), "{is_whole}");
        }
        let (names, _) = wrong.learn(seen(&listed[..1], true));
        assert_eq!(names.account_resource_group, Some(id(3)), "no other one is known");
        let (names, _) = Names::default().learn(seen(&listed, true));
        assert_eq!(names.account_resource_group, Some(id(7)), "also where the first list has it first");
    }

    #[test]
    fn scopes_tell_what_is_account_wide() {
        let scoped = |scopes: Option<&str>| {
            is_account_wide(&PermissionGroup { scopes: scopes.map(str::to_owned), ..group(1, "A") })
        };
        assert!(scoped(None) && scoped(Some("com.cloudflare.api.account")) && scoped(Some("something new")));
        assert!(!scoped(Some("com.cloudflare.api.account.zone")));
        assert!(scoped(Some("com.cloudflare.api.account.zone,com.cloudflare.api.account")));
    }
}
