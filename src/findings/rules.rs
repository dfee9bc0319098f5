//! The rules: a table, of which `docs/findings.md` has every line. Each is a small function of what is known, and gives the evidence where
//! something is wrong.

use super::extent::Extent;
use super::secrets::{self, Secret};
use super::settings::Settings;
use super::severity::Severity;
use crate::audit::signs::Silence;
use crate::model::address;
use crate::model::resource::{Member, MemberStatus, OauthClient};
use crate::snapshot::Posture;

/// What a rule looks for.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name, which a finding's id begins with.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// What to do, with the labels of Cloudflare's dashboard.
    pub remedy: &'static str,
    pub(super) test: Test,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    Person(fn(&Person<'_>, &Settings) -> Option<String>),
    Secret(fn(Secret<'_>, &Settings) -> Option<String>),
    Client(fn(&OauthClient, &Settings) -> Option<String>),
    Group(fn(&Withdrawn, &Settings) -> Option<String>),
    Account(fn(&Whole, &Settings) -> Option<String>),
}

/// A permission group that Cloudflare withdraws.
#[derive(Clone, Debug, Default)]
pub(super) struct Withdrawn {
    /// Its name.
    pub(super) name: String,
    /// The day from which it is no more, and how many days that is from now, where it is told.
    pub(super) ends: String,
    pub(super) days_left: Option<i64>,
    /// How many people and user groups hold it directly, and how many tokens have it.
    pub(super) holders: usize,
    pub(super) tokens: usize,
}

/// What is known of a member or an invitation.
#[derive(Clone, Debug)]
pub(super) struct Person<'a> {
    pub(super) member: &'a Member,
    /// The names of the privileged roles that are held, through user groups as well.
    pub(super) privileged: Vec<String>,
    /// The names of what is held both directly and through a user group.
    pub(super) twice: Vec<String>,
    /// How many policies' atoms deny, and how many this connector cannot judge.
    pub(super) denied: usize,
    pub(super) unknown: usize,
    /// For how many days it has been an invitation, as far as it was seen.
    pub(super) invited_days: Option<i64>,
    /// What was granted for a time that is over, each with its end.
    pub(super) overdue: Vec<String>,
    /// Since when there was no sign of life, and for how many days, where that can be known.
    pub(super) silence: Silence,
    pub(super) idle_days: Option<i64>,
}

/// What is known of the whole account.
#[derive(Clone, Debug, Default)]
pub(super) struct Whole {
    /// The e-mail addresses of the accepted Super Administrators, as many as are told, and how many there are.
    pub(super) super_administrators: Vec<String>,
    pub(super) super_administrator_count: usize,
    /// The keys of so many of them as are kept.
    pub(super) super_administrator_keys: Vec<String>,
    /// Members' records that could not be read in full: how many, and the first of them.
    pub(super) unread: (u64, Vec<String>),
    pub(super) posture: Posture,
}

impl Whole {
    /// How far goes what a rule finds about the account.
    pub(super) fn extent(&self, rule: &str) -> Extent {
        match rule {
            // The fewer, the worse.
            TOO_FEW => Extent { count: -Extent::of(self.super_administrator_count).count, which: Vec::new() },
            "too-many-super-administrators" => {
                Extent { which: self.super_administrator_keys.clone(), ..Extent::of(self.super_administrator_count) }
            }
            "member-unreadable" => Extent::of(usize::try_from(self.unread.0).unwrap_or(usize::MAX)),
            "organization-unseen" => {
                Extent::listed(self.posture.organization.iter().map(|(id, _)| id.clone()).collect())
            }
            _ => Extent::default(),
        }
    }
}

/// The name of the rule about Super Administrators who are fewer than are wanted.
pub(super) const TOO_FEW: &str = "too-few-super-administrators";

/// The name of the rule about privileged people without a second factor.
pub(super) const WITHOUT_FACTOR: &str = "privileged-without-two-factor";

/// The name of the rule about privileged people with addresses of other domains than one's own.
pub(super) const OUTSIDE: &str = "privileged-outside-domains";

/// The name of the rule about privileged people who give no sign of life.
pub(super) const IDLE: &str = "privileged-idle";

/// The name of the rule about tokens that can make tokens or edit members.
pub(super) const POWERFUL: &str = "token-powerful";

/// The name of the rule about tokens that can do more than who made them.
pub(super) const STRONGER: &str = "token-stronger-than-creator";

/// All rules.
pub const RULES: &[Rule] = &[
    Rule {
        name: WITHOUT_FACTOR,
        severity: Severity::High,
        title: "a privileged member has no second factor",
        remedy: "Have the person turn on My Profile > Authentication > Two-Factor Authentication, or enforce it for all under Manage Account > Members > Settings.",
        test: Test::Person(privileged_without_two_factor),
    },
    Rule {
        name: "second-factor-not-enforced",
        severity: Severity::Medium,
        title: "the account does not ask its members for a second factor",
        remedy: "Turn on the enforcement of two-factor authentication under Manage Account > Members > Settings, once everybody has one.",
        test: Test::Account(second_factor_not_enforced),
    },
    Rule {
        name: OUTSIDE,
        severity: Severity::High,
        title: "a privileged member has an address outside of your domains",
        remedy: "Take the role away under Manage Account > Members, or add the domain to FINDINGS_DOMAINS.",
        test: Test::Person(privileged_outside_domains),
    },
    Rule {
        name: IDLE,
        severity: Severity::Medium,
        title: "a privileged member gave no sign of life for a long time",
        remedy: "Ask whether the role is still needed, and take it away under Manage Account > Members where it is not. Who only reads leaves no entry in the audit log.",
        test: Test::Person(privileged_idle),
    },
    Rule {
        name: "overdue-revoke",
        severity: Severity::High,
        title: "access that was granted for a time was not revoked at its end",
        remedy: "Look in ConductorOne for the task that was to revoke it, or take the access away under Manage Account > Members; ENFORCE_EXPIRY has the connector do that by itself. An end that was moved on ConductorOne's Grants page is not known here: have an extension asked for by a request.",
        test: Test::Person(overdue_revoke),
    },
    Rule {
        name: TOO_FEW,
        severity: Severity::High,
        title: "too few Super Administrators",
        remedy: "Give Super Administrator - All Privileges to one more person under Manage Account > Members: with one alone, one lost login is a lost account.",
        test: Test::Account(too_few_super_administrators),
    },
    Rule {
        name: "too-many-super-administrators",
        severity: Severity::Medium,
        title: "too many Super Administrators",
        remedy: "Give those who do not need everything a smaller role under Manage Account > Members, and take Super Administrator - All Privileges away.",
        test: Test::Account(too_many_super_administrators),
    },
    Rule {
        name: "direct-beside-group",
        severity: Severity::Low,
        title: "something is held directly that a user group gives as well",
        remedy: "Remove the member's own policy under Manage Account > Members: who leaves the user group keeps what is held directly.",
        test: Test::Person(direct_beside_group),
    },
    Rule {
        name: "invitation-old",
        severity: Severity::Low,
        title: "an invitation was not accepted for a long time",
        remedy: "Cancel the invitation under Manage Account > Members, or send it again.",
        test: Test::Person(old_invitation),
    },
    Rule {
        name: "deny-policy",
        severity: Severity::Low,
        title: "a member has a policy that denies",
        remedy: "Look at the member's policies under Manage Account > Members: what is denied is in no list of grants.",
        test: Test::Person(deny_policy),
    },
    Rule {
        name: "unknown-policy",
        severity: Severity::Medium,
        title: "a member has a policy of a kind that this connector does not know",
        remedy: "Look at the member's policies under Manage Account > Members, and use a newer version of this connector.",
        test: Test::Person(unknown_policy),
    },
    Rule {
        name: "organization-unseen",
        severity: Severity::Low,
        title: "administrators of an organization can do everything here, and are in no list",
        remedy: "Look at who they are under Organizations > Members: this connector cannot see them, and reviews leave them out.",
        test: Test::Account(organization_unseen),
    },
    Rule {
        name: "permission-group-ending",
        severity: Severity::Medium,
        title: "a permission group that somebody has is about to end",
        remedy: "Give what takes its place, by the name that Cloudflare tells in the permission group, and take the old one away.",
        test: Test::Group(withdrawn),
    },
    Rule {
        name: "member-unreadable",
        severity: Severity::Medium,
        title: "members could not be read in full",
        remedy: "Look at them under Manage Account > Members, and report the records to Cloudflare: until then what was known of them is kept.",
        test: Test::Account(member_unreadable),
    },
    Rule {
        name: "token-without-expiry",
        severity: Severity::Medium,
        title: "an account API token never expires",
        remedy: "Edit the token under Manage Account > Account API Tokens, and set an end under TTL.",
        test: Test::Secret(secrets::without_expiry),
    },
    Rule {
        name: "token-without-ip-condition",
        severity: Severity::Low,
        title: "an account API token is good from everywhere",
        remedy: "Edit the token under Manage Account > Account API Tokens, and set Client IP Address Filtering to where it is used.",
        test: Test::Secret(secrets::without_ip_condition),
    },
    Rule {
        name: "token-unused",
        severity: Severity::Medium,
        title: "an account API token was not used for a long time",
        remedy: "Delete the token under Manage Account > Account API Tokens, or disable it until somebody misses it.",
        test: Test::Secret(secrets::unused),
    },
    Rule {
        name: "token-never-used",
        severity: Severity::Low,
        title: "an account API token was never used",
        remedy: "Delete the token under Manage Account > Account API Tokens.",
        test: Test::Secret(secrets::never_used),
    },
    Rule {
        name: "token-about-to-expire",
        severity: Severity::Low,
        title: "an account API token is about to expire",
        remedy: "Roll or replace the token under Manage Account > Account API Tokens, before what uses it stops.",
        test: Test::Secret(secrets::about_to_expire),
    },
    Rule {
        name: POWERFUL,
        severity: Severity::High,
        title: "an account API token can make tokens or edit members",
        remedy: "Take the permission away under Manage Account > Account API Tokens, or delete the token: whoever has it can become anybody.",
        test: Test::Secret(secrets::powerful),
    },
    Rule {
        name: "token-of-somebody-who-left",
        severity: Severity::Medium,
        title: "an account API token was made by somebody who is no member any more",
        remedy: "Find out who uses the token, make another in that name under Manage Account > Account API Tokens, and delete this one.",
        test: Test::Secret(secrets::of_somebody_who_left),
    },
    Rule {
        name: STRONGER,
        severity: Severity::High,
        title: "an account API token can do more than whoever made it can now",
        remedy: "Edit the permissions of the token under Manage Account > Account API Tokens, or delete it: it does not shrink with its creator.",
        test: Test::Secret(secrets::stronger_than_creator),
    },
    Rule {
        name: "oauth-client-public",
        severity: Severity::Medium,
        title: "an OAuth client of the account is public",
        remedy: "Make the client private under Manage Account > OAuth Clients, unless others than this account's members are to use it.",
        test: Test::Client(secrets::is_public),
    },
    Rule {
        name: "oauth-client-wide",
        severity: Severity::Low,
        title: "an OAuth client of the account may ask for much",
        remedy: "Take the scopes that the client does not need away under Manage Account > OAuth Clients.",
        test: Test::Client(secrets::is_wide),
    },
];

/// The severity of a finding, by its id.
pub fn severity_of(id: &str) -> Option<Severity> {
    let name = id.split(':').next().unwrap_or(id);
    named(name).map(|rule| rule.severity)
}

fn named(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// The title and the remedy of a rule; nothing of one that this version does not have.
pub(super) fn words_of(name: &str) -> (&'static str, &'static str) {
    named(name).map_or(("", ""), |rule| (rule.title, rule.remedy))
}

/// Not what an identity provider asks for: that factor is not seen by Cloudflare.
fn privileged_without_two_factor(person: &Person<'_>, _: &Settings) -> Option<String> {
    let without = person.member.status == MemberStatus::Accepted && person.member.two_factor == Some(false);
    (without && !person.privileged.is_empty())
        .then(|| format!("holds {} and logs in without a second factor", person.privileged.join(", ")))
}

/// Where no domain is known everybody is outside, and that is not certain.
fn privileged_outside_domains(person: &Person<'_>, settings: &Settings) -> Option<String> {
    let domain = address::folded_domain(person.member.email.rsplit_once('@')?.1);
    let is_outside = !settings.domains.contains(&domain);
    (is_outside && !person.privileged.is_empty())
        .then(|| format!("holds {}, and {domain} is not one of your domains", person.privileged.join(", ")))
}

/// Not a finding where no source can tell. Where logins cannot be known it is by changes alone, and says so.
fn privileged_idle(person: &Person<'_>, settings: &Settings) -> Option<String> {
    let is_idle = person.idle_days.is_some_and(|days| days >= settings.idle_days);
    if !is_idle || person.privileged.is_empty() || person.member.status != MemberStatus::Accepted {
        return None;
    }
    let login = match person.silence.since_login {
        Some(end) => format!("last logged in on {}", end.plus_secs(-86_400).date()),
        None => "no login is known".to_owned(),
    };
    let change = match person.silence.since_change {
        Some(since) => format!("nothing was changed since {}", since.date()),
        None => "changes are not known".to_owned(),
    };
    Some(format!("holds {}; {login}, and {change}", person.privileged.join(", ")))
}

fn overdue_revoke(person: &Person<'_>, _: &Settings) -> Option<String> {
    (!person.overdue.is_empty()).then(|| person.overdue.join(", "))
}

fn direct_beside_group(person: &Person<'_>, _: &Settings) -> Option<String> {
    (!person.twice.is_empty()).then(|| format!("directly and through a user group: {}", person.twice.join(", ")))
}

fn deny_policy(person: &Person<'_>, _: &Settings) -> Option<String> {
    (person.denied > 0).then(|| format!("{} permission groups on resource groups are denied", person.denied))
}

fn unknown_policy(person: &Person<'_>, _: &Settings) -> Option<String> {
    (person.unknown > 0)
        .then(|| format!("{} permission groups on resource groups are neither allowed nor denied", person.unknown))
}

fn too_few_super_administrators(whole: &Whole, settings: &Settings) -> Option<String> {
    let count = whole.super_administrator_count;
    (count < settings.min_super_admins)
        .then(|| format!("{count}, where at least {} are wanted", settings.min_super_admins))
}

fn too_many_super_administrators(whole: &Whole, settings: &Settings) -> Option<String> {
    let (count, told) = (whole.super_administrator_count, whole.super_administrators.join(", "));
    let more = if count > whole.super_administrators.len() { ", …" } else { "" };
    (count > settings.max_super_admins)
        .then(|| format!("{count}, where at most {} are wanted: {told}{more}", settings.max_super_admins))
}

fn member_unreadable(whole: &Whole, _: &Settings) -> Option<String> {
    let (count, first) = &whole.unread;
    (*count > 0).then(|| format!("{count}: {}", first.join("; ")))
}

/// Not a finding where nobody is told not to enforce it.
fn second_factor_not_enforced(whole: &Whole, _: &Settings) -> Option<String> {
    (whole.posture.enforces_two_factor == Some(false)).then(|| "members without a second factor are let in".to_owned())
}

fn organization_unseen(whole: &Whole, _: &Settings) -> Option<String> {
    let (id, name) = whole.posture.organization.as_ref()?;
    Some(format!("the account is in the organization {name} ({id}), whose administrators are in no list of members"))
}

fn old_invitation(person: &Person<'_>, settings: &Settings) -> Option<String> {
    // Who has accepted may be listed as an invitation still, where the record tells of no login; and what stands there may be of no known word.
    let is_invited = person.member.status == MemberStatus::Pending;
    let days = person.invited_days.filter(|&days| is_invited && days >= settings.invitation_days)?;
    Some(format!("seen for the first time {days} days ago, and not accepted"))
}

fn withdrawn(group: &Withdrawn, settings: &Settings) -> Option<String> {
    let near = group.days_left.is_none_or(|days| days < settings.withdrawal_days);
    let (held, tokens) = (group.holders, group.tokens);
    let end = if group.ends.is_empty() { "an end that Cloudflare does not tell" } else { group.ends.as_str() };
    (near && held + tokens > 0)
        .then(|| format!("withdrawn with {end}; held by {held} members and user groups, and {tokens} API tokens"))
}

#[cfg(test)]
mod tests {
    use crate::base::tree::BTreeSet;

    use super::*;

    fn settings() -> Settings {
        let domains = vec!["example.com".to_owned()];
        Settings { domains, ..Settings::default() }
    }

    fn member() -> Member {
        Member {
            member_id: "1".repeat(32).parse().unwrap(),
            user_id: Some("2".repeat(32).parse().unwrap()),
            email: "jane@example.com".to_owned(),
            status: MemberStatus::Accepted,
            first_name: None,
            last_name: None,
            two_factor: Some(true),
            atoms: Vec::new(),
            groups: Vec::new(),
            signs: crate::model::signs::Signs::default(),
        }
    }

    fn of_person(rule: &str, member: &Member, change: impl FnOnce(&mut Person<'_>)) -> bool {
        let privileged = vec!["Administrator".to_owned()];
        let mut person = Person {
            member,
            privileged,
            twice: Vec::new(),
            denied: 0,
            unknown: 0,
            invited_days: None,
            overdue: vec![],
            silence: Silence::default(),
            idle_days: None,
        };
        change(&mut person);
        let rule = RULES.iter().find(|known| known.name == rule).unwrap();
        let Test::Person(test) = rule.test else { panic!("{} is not about people", rule.name) };
        test(&person, &settings()).is_some()
    }

    fn of_account(rule: &str, whole: &Whole) -> bool {
        let rule = RULES.iter().find(|known| known.name == rule).unwrap();
        let Test::Account(test) = rule.test else { panic!("{} is not about the account", rule.name) };
        test(whole, &settings()).is_some()
    }

    #[test]
    fn every_rule_has_a_name_of_its_own_and_says_what_to_do() {
        let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len());
        assert!(RULES.iter().all(|rule| rule.remedy.ends_with('.') && !rule.title.is_empty()));
    }

    #[test]
    fn privileged_without_two_factor_is_an_accepted_member_whose_login_is_known_to_have_none() {
        let rule = "privileged-without-two-factor";
        let without = Member { two_factor: Some(false), ..member() };
        assert!(of_person(rule, &without, |_| {}));
        assert!(!of_person(rule, &without, |person| person.privileged.clear()));
        assert!(!of_person(rule, &member(), |_| {}));
        assert!(!of_person(rule, &Member { two_factor: None, ..member() }, |_| {}), "not known is not without");
        assert!(!of_person(rule, &Member { status: MemberStatus::Pending, ..without }, |_| {}));
    }

    #[test]
    fn privileged_idle_is_by_what_is_known_and_what_is_not_known_is_no_silence() {
        let (rule, member) = ("privileged-idle", member());
        let idle = |days: Option<i64>| move |person: &mut Person<'_>| person.idle_days = days;
        for (days, is_idle) in [(None, false), (Some(0), false), (Some(89), false), (Some(90), true)] {
            assert_eq!(of_person(rule, &member, idle(days)), is_idle, "{days:?}");
        }
        let unprivileged = |person: &mut Person<'_>| {
            person.idle_days = Some(900);
            person.privileged.clear();
        };
        assert!(!of_person(rule, &member, unprivileged));
        assert!(!of_person(rule, &Member { status: MemberStatus::Pending, ..member.clone() }, idle(Some(900))));
    }

    #[test]
    fn privileged_outside_domains_is_by_the_whole_domain_in_any_case() {
        let rule = "privileged-outside-domains";
        for (email, is_outside) in [
            ("jane@example.com", false),
            ("jane@EXAMPLE.com", false),
            ("jane@other.example", true),
            ("jane@evil-example.com", true),
            ("jane@sub.example.com", true),
        ] {
            let member = Member { email: email.to_owned(), ..member() };
            assert_eq!(of_person(rule, &member, |_| {}), is_outside, "{email}");
            assert!(!of_person(rule, &member, |person| person.privileged.clear()));
        }
    }

    #[test]
    fn what_a_member_holds_twice_is_denied_or_cannot_be_judged_is_told() {
        let member = member();
        assert!(of_person("direct-beside-group", &member, |person| person.twice.push("DNS".to_owned())));
        assert!(of_person("deny-policy", &member, |person| person.denied = 1));
        assert!(of_person("unknown-policy", &member, |person| person.unknown = 1));
        for rule in ["direct-beside-group", "deny-policy", "unknown-policy"] {
            assert!(!of_person(rule, &member, |_| {}), "{rule}");
        }
    }

    #[test]
    fn overdue_revoke_is_where_any_grant_should_have_ended() {
        let (rule, member) = ("overdue-revoke", member());
        assert!(of_person(rule, &member, |person| person.overdue.push("DNS".to_owned())));
        assert!(!of_person(rule, &member, |_| {}));
    }

    #[test]
    fn super_administrators_are_too_few_or_too_many_by_the_thresholds() {
        for (count, few, many) in
            [(0, true, false), (1, true, false), (2, false, false), (4, false, false), (5, false, true)]
        {
            let whole = Whole { super_administrator_count: count, ..Whole::default() };
            assert_eq!(of_account("too-few-super-administrators", &whole), few, "{count}");
            assert_eq!(of_account("too-many-super-administrators", &whole), many, "{count}");
        }
    }

    #[test]
    fn member_unreadable_is_where_any_could_not_be_read() {
        let whole = Whole { unread: (1, vec!["x: policies is missing".to_owned()]), ..Whole::default() };
        assert!(of_account("member-unreadable", &whole));
        assert!(!of_account("member-unreadable", &Whole::default()));
    }

    #[test]
    fn how_the_account_is_set_is_told_where_it_is_known() {
        let with = |posture: Posture| Whole { posture, ..Whole::default() };
        for (enforces, is_told) in [(Some(false), true), (Some(true), false), (None, false)] {
            let whole = with(Posture { enforces_two_factor: enforces, ..Posture::default() });
            assert_eq!(of_account("second-factor-not-enforced", &whole), is_told, "{enforces:?}");
        }
        let organization = Some(("01".to_owned(), "Acme Group".to_owned()));
        assert!(of_account("organization-unseen", &with(Posture { organization, ..Posture::default() })));
        assert!(!of_account("organization-unseen", &Whole::default()));
    }

    #[test]
    fn an_invitation_is_old_from_its_seventh_day_on() {
        for (days, is_old) in [(None, false), (Some(0), false), (Some(6), false), (Some(7), true), (Some(70), true)] {
            for status in [MemberStatus::Pending, MemberStatus::Accepted, MemberStatus::Other] {
                let (member, is_pending) = (Member { status, ..member() }, status == MemberStatus::Pending);
                let is_told = of_person("invitation-old", &member, |person| person.invited_days = days);
                assert_eq!(is_told, is_old && is_pending, "{status:?} {days:?}");
            }
        }
    }

    #[test]
    fn a_permission_group_ends_where_somebody_has_it_and_the_end_is_near_or_not_told() {
        let rule = RULES.iter().find(|known| known.name == "permission-group-ending").unwrap();
        let Test::Group(test) = rule.test else { panic!() };
        for (days_left, holders, tokens, is_told) in [
            (Some(89), 1, 0, true),
            (Some(90), 1, 0, false),
            (Some(-3), 0, 1, true),
            (None, 0, 1, true),
            (Some(3), 0, 0, false),
        ] {
            let group = Withdrawn { name: "Old".to_owned(), ends: String::new(), days_left, holders, tokens };
            assert_eq!(test(&group, &settings()).is_some(), is_told, "{group:?}");
        }
    }
}
