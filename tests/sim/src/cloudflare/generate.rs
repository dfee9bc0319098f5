//! From a specification to an account: the same one every time, and with every oddity in it once it is large enough.

use std::collections::BTreeSet;

use super::account::{
    Access, Account, Level, Member, PermissionGroup, PolicySpec, ResourceGroup, Token, UserGroup, UserTag,
    generated_time,
};
use super::catalogue;
use super::names;
use super::objects::Object;
use super::spec::Spec;

/// How many of the first members are accepted Super Administrators.
const SUPER_ADMINISTRATORS: usize = 3;

/// The account of a specification.
pub(super) fn account(spec: &Spec) -> Account {
    let mut account = Account::empty(spec.account_id.clone(), fastrand::Rng::with_seed(spec.seed));
    permission_groups(&mut account, spec.roles);
    resource_groups(&mut account, spec.zones);
    members(&mut account, spec);
    user_groups(&mut account, spec.groups);
    tokens(&mut account, spec.tokens);
    account
}

fn permission_groups(account: &mut Account, roles: usize) {
    let mut groups = Vec::new();
    let mut add = |account: &mut Account, name: &str, kind, legacy_role: Option<String>| {
        groups.push(PermissionGroup {
            id: account.new_id(),
            name: name.to_owned(),
            label: catalogue::label(name),
            kind,
            legacy_role,
        });
    };
    let super_administrator = Some(catalogue::SUPER_ADMINISTRATOR.to_owned());
    add(account, catalogue::SUPER_ADMINISTRATOR_NAME, Level::Account, super_administrator);
    for index in 0..roles {
        let name = catalogue::ACCOUNT_ROLES
            .get(index)
            .map_or_else(|| format!("Custom Role {}", index + 1), |name| (*name).to_owned());
        let role = if index == 0 { catalogue::ADMINISTRATOR_READ_ONLY.to_owned() } else { account.new_id() };
        add(account, &name, Level::Account, Some(role));
    }
    for name in catalogue::WITHOUT_A_ROLE {
        add(account, name, Level::Account, None);
    }
    for name in catalogue::ZONE_PERMISSION_GROUPS {
        add(account, name, Level::Zone, None);
    }
    // The list is in no order that anybody promised.
    account.rng.shuffle(&mut groups);
    account.permission_groups = groups;
}

fn resource_groups(account: &mut Account, zones: usize) {
    let key = account.key();
    let system = |id, name: String, kind| ResourceGroup {
        id,
        name: name.clone(),
        kind,
        editable: false,
        scope_key: name,
        objects: vec!["*".into()],
    };
    account.whole_rg = account.new_id();
    let every_zone = account.new_id();
    let mut groups = vec![
        system(account.whole_rg.clone(), key.clone(), Level::Account),
        ResourceGroup {
            scope_key: key.clone(),
            objects: vec!["com.cloudflare.api.account.zone.*".into()],
            ..system(every_zone, "com.cloudflare.api.account.zone.*".into(), Level::Zone)
        },
    ];
    let zone_keys: Vec<String> =
        (0..zones).map(|_| format!("com.cloudflare.api.account.zone.{}", account.new_id())).collect();
    let named = |id, name: String, objects: Vec<String>| ResourceGroup {
        id,
        name,
        kind: Level::Zone,
        editable: true,
        scope_key: key.clone(),
        objects,
    };
    for (index, zone) in zone_keys.iter().enumerate() {
        let name = if index % 4 == 1 { format!("bücher-{index}.example") } else { format!("shop{index}.example.com") };
        // What people call a resource group need not be what a domain is called.
        let id = zone.rsplit('.').next().unwrap_or_default().to_owned();
        account.zones.push(Object { id, name: name.replace('ü', "ue") });
        groups.push(named(account.new_id(), name, vec![zone.clone()]));
    }
    if let [first, second, ..] = zone_keys.as_slice() {
        groups.push(named(account.new_id(), "Marketing sites".into(), vec![first.clone(), second.clone()]));
    }
    account.resource_groups = groups;
}

/// What a member holds; the patterns come round every 20 members, in an order that the seed shuffles.
#[derive(Clone, Copy)]
enum Holds {
    Nothing,
    OneRole,
    SomeRoles,
    SeveralPolicies,
    RolesAndDomains,
    OnlyDomains,
    RolesAndADenial,
}

const PATTERNS: [(Holds, usize); 7] = [
    (Holds::Nothing, 2),
    (Holds::OneRole, 7),
    (Holds::SomeRoles, 3),
    (Holds::SeveralPolicies, 3),
    (Holds::RolesAndDomains, 2),
    (Holds::OnlyDomains, 2),
    (Holds::RolesAndADenial, 1),
];

fn members(account: &mut Account, spec: &Spec) {
    let catalogue = Catalogue::of(account);
    let mut patterns: Vec<Holds> =
        PATTERNS.iter().flat_map(|&(pattern, times)| std::iter::repeat_n(pattern, times)).collect();
    account.rng.shuffle(&mut patterns);
    let pending = pending_members(account, spec);
    let mut pending_so_far = 0;
    for index in 0..spec.members {
        let is_pending = pending.contains(&index);
        let policies = if index < SUPER_ADMINISTRATORS {
            let mut policies = vec![catalogue.allow(catalogue.super_administrator.clone())];
            if index == 1 {
                // The same access twice, through two policies.
                policies.push(PolicySpec {
                    permission_groups: catalogue.some_account_groups(account, 2),
                    ..catalogue.allow(catalogue.super_administrator.clone())
                });
            }
            policies
        } else {
            let pattern = patterns.get(index % patterns.len()).copied().unwrap_or(Holds::OneRole);
            catalogue.policies(account, pattern)
        };
        let policies = account.issue(policies);
        let (first, last, email) = person(account, index);
        let user = if is_pending {
            pending_so_far += 1;
            match pending_so_far % 4 {
                1 => UserTag::Empty,
                2 => UserTag::Absent,
                3 => UserTag::Zeros,
                // An invitee who already has a Cloudflare login.
                _ => UserTag::Known(account.new_id()),
            }
        } else {
            UserTag::Known(account.new_id())
        };
        let named = !is_pending || matches!(user, UserTag::Known(_));
        let member = Member {
            id: account.new_id(),
            sequence: 0,
            email,
            status: if is_pending { "pending" } else { "accepted" }.into(),
            user,
            first_name: first.filter(|_| named),
            last_name: last.filter(|_| named),
            two_factor: !is_pending && account.rng.f64() < 0.8,
            policies,
        };
        account.add_member(member);
    }
}

/// Which members are pending, by their index.
fn pending_members(account: &mut Account, spec: &Spec) -> BTreeSet<usize> {
    let mut candidates: Vec<usize> = (SUPER_ADMINISTRATORS.min(spec.members)..spec.members).collect();
    account.rng.shuffle(&mut candidates);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count of members, which is small and not negative"
    )]
    let wanted = (spec.members as f64 * spec.pending_share.clamp(0.0, 1.0)).round() as usize;
    candidates.into_iter().take(wanted).collect()
}

/// Given name, family name, and an e-mail address nobody else has.
fn person(account: &mut Account, index: usize) -> (Option<String>, Option<String>, String) {
    let rng = &mut account.rng;
    let (first, ascii_first) = rng.choice(names::FIRST).unwrap_or(("Jane", "jane"));
    let (last, ascii_last) = rng.choice(names::LAST).unwrap_or(("Smith", "smith"));
    let domain = rng.choice(names::DOMAINS).unwrap_or("example.com");
    let local = match rng.u8(..20) {
        0 => format!("{first}{index}"),
        1 => format!("o'{ascii_last}.{index}"),
        2 => format!("{ascii_first}+cf{index}"),
        3 => format!("{}.{ascii_last}{index}", ascii_first.to_uppercase()),
        4 => format!("{index}-{ascii_last}"),
        _ => format!("{ascii_first}.{ascii_last}{index}"),
    };
    let (has_first, has_last) = match rng.u8(..16) {
        0 => (false, false),
        1 => (true, false),
        2 => (false, true),
        _ => (true, true),
    };
    (has_first.then(|| first.to_owned()), has_last.then(|| last.to_owned()), format!("{local}@{domain}"))
}

/// The ids that policies are made of.
struct Catalogue {
    super_administrator: String,
    account: Vec<String>,
    zone: Vec<String>,
    whole_rg: String,
    zone_rgs: Vec<String>,
}

impl Catalogue {
    fn of(account: &Account) -> Self {
        let of_kind = |kind| {
            account
                .permission_groups
                .iter()
                .filter(|group| group.kind == kind && group.label != "super_admin")
                .map(|group| group.id.clone())
                .collect()
        };
        Self {
            super_administrator: account
                .behind_role(catalogue::SUPER_ADMINISTRATOR)
                .map(|group| group.id.clone())
                .unwrap_or_default(),
            account: of_kind(Level::Account),
            zone: of_kind(Level::Zone),
            whole_rg: account.whole_rg.clone(),
            zone_rgs: account
                .resource_groups
                .iter()
                .filter(|group| group.kind == Level::Zone)
                .map(|group| group.id.clone())
                .collect(),
        }
    }

    fn allow(&self, permission_group: String) -> PolicySpec {
        PolicySpec::allow(permission_group, self.whole_rg.clone())
    }

    fn some(account: &mut Account, from: &[String], count: usize) -> Vec<String> {
        account.rng.choose_multiple(from.iter(), count).into_iter().cloned().collect()
    }

    fn some_account_groups(&self, account: &mut Account, count: usize) -> Vec<String> {
        Self::some(account, &self.account, count)
    }

    fn on_account(&self, account: &mut Account, count: usize) -> PolicySpec {
        PolicySpec {
            access: Access::Allow,
            permission_groups: self.some_account_groups(account, count),
            resource_groups: vec![self.whole_rg.clone()],
        }
    }

    fn on_domains(&self, account: &mut Account, groups: usize, domains: usize) -> PolicySpec {
        PolicySpec {
            access: Access::Allow,
            permission_groups: Self::some(account, &self.zone, groups),
            resource_groups: Self::some(account, &self.zone_rgs, domains),
        }
    }

    fn policies(&self, account: &mut Account, pattern: Holds) -> Vec<PolicySpec> {
        match pattern {
            Holds::Nothing => Vec::new(),
            Holds::OneRole => vec![self.on_account(account, 1)],
            Holds::SomeRoles => {
                let count = account.rng.usize(2..=5);
                vec![self.on_account(account, count)]
            }
            Holds::SeveralPolicies => {
                let mut policies = vec![self.on_account(account, 2), self.on_account(account, 1)];
                if account.rng.bool() {
                    // A permission group that another policy gives as well.
                    let again = policies.first().and_then(|policy| policy.permission_groups.first().cloned());
                    policies.extend(again.map(|group| self.allow(group)));
                }
                policies
            }
            Holds::RolesAndDomains => {
                let (groups, domains) = (account.rng.usize(1..=2), account.rng.usize(1..=3));
                vec![self.on_account(account, 1), self.on_domains(account, groups, domains)]
            }
            Holds::OnlyDomains => {
                let domains = account.rng.usize(1..=4);
                vec![self.on_domains(account, 1, domains), self.on_domains(account, 2, 1)]
            }
            Holds::RolesAndADenial => {
                let denied =
                    if account.rng.bool() { self.on_account(account, 1) } else { self.on_domains(account, 1, 1) };
                vec![self.on_account(account, 2), PolicySpec { access: Access::Deny, ..denied }]
            }
        }
    }
}

/// The first group has policies and no members, the second members and no policies; the rest have both.
fn user_groups(account: &mut Account, count: usize) {
    let catalogue = Catalogue::of(account);
    // One request per group reads its members: a hundred at most, which is the default page.
    let ids: Vec<String> = account.members().map(|member| member.id.clone()).collect();
    let largest = (ids.len() / 5).clamp(usize::from(!ids.is_empty()), 100);
    for index in 0..count {
        let name = names::GROUPS.get(index % names::GROUPS.len()).copied().unwrap_or("Group");
        let round = index / names::GROUPS.len();
        let size = if index == 0 || largest == 0 { 0 } else { account.rng.usize(1..=largest) };
        let policies = match index {
            1 => Vec::new(),
            _ if index % 2 == 0 => {
                vec![catalogue.on_account(account, 2), catalogue.on_domains(account, 1, 2)]
            }
            _ => vec![catalogue.on_account(account, 1)],
        };
        let id = account.new_id();
        let group = UserGroup {
            id: id.clone(),
            name: if round == 0 { name.to_owned() } else { format!("{name} {}", round + 1) },
            created_on: generated_time(24 * i64::try_from(index).unwrap_or(0)),
            modified_on: generated_time(20_000),
            created_at: None,
            policies: account.issue(policies),
            members: account.rng.choose_multiple(ids.iter(), size).into_iter().cloned().collect(),
            broken: false,
        };
        account.user_groups.insert(id, group);
    }
}

/// The first token is the connector's own; after it active, disabled and expired ones in turn. Where there are to be none, it is one of which
/// there is nothing to say.
fn tokens(account: &mut Account, count: usize) {
    let creators: Vec<String> = account.members().take(5).map(|member| member.email.clone()).collect();
    for index in 0..count {
        let status = match index {
            0 => "active",
            _ if index % 4 == 2 => "disabled",
            _ if index % 4 == 3 => "expired",
            _ => "active",
        };
        let issued = 100 * i64::try_from(index).unwrap_or(0);
        let token = Token {
            id: account.new_id(),
            name: match index {
                0 => "ConductorOne connector".into(),
                _ if index % 3 == 0 => format!("Déploiement «{index}»"),
                _ => format!("ci-deploy-{index}"),
            },
            status,
            issued_on: generated_time(issued),
            last_used_on: (index % 3 != 2).then(|| generated_time(issued + 5_000)),
            expires_on: match status {
                "expired" => Some(generated_time(issued + 6_000)),
                _ if index % 2 == 1 => Some(generated_time(200_000)),
                _ => None,
            },
            creator: account.rng.choice(creators.iter()).cloned(),
            more: serde_json::Map::new(),
        };
        account.tokens.push(token);
    }
    if count == 0 {
        let from = serde_json::json!({ "condition": { "request_ip": { "in": ["192.0.2.0/24"] } } });
        let token = Token {
            id: account.new_id(),
            name: "ConductorOne connector".into(),
            status: "active",
            issued_on: generated_time(0),
            last_used_on: Some(generated_time(5_000)),
            expires_on: Some(generated_time(200_000)),
            creator: None,
            more: from.as_object().cloned().unwrap_or_default(),
        };
        account.tokens.push(token);
    }
}
