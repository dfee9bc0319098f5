//! The rules: a table, of which `docs/findings.md` has every line. Each is a small function of what is known, and gives the evidence where
//! something is wrong.

use super::settings::Settings;
use crate::base::time::Timestamp;
use crate::base::words::words;
use crate::model::address;
use crate::model::resource::{Member, MemberStatus, Token};

words! {
    /// How much a finding matters.
    pub enum Severity {
        /// Somebody could take the account over, or lose it.
        High = "high",
        /// More access than there should be.
        Medium = "medium",
        /// Something to tidy up.
        Low = "low",
    }
}

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
    Token(fn(&Token, &Settings, Timestamp) -> Option<String>),
    Account(fn(&Whole, &Settings) -> Option<String>),
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
}

/// What is known of the whole account.
#[derive(Clone, Debug, Default)]
pub(super) struct Whole {
    /// The e-mail addresses of the accepted Super Administrators, as many as are told, and how many there are.
    pub(super) super_administrators: Vec<String>,
    pub(super) super_administrator_count: usize,
    /// Members' records that could not be read in full: how many, and the first of them.
    pub(super) unread: (u64, Vec<String>),
}

/// All rules.
pub const RULES: &[Rule] = &[
    Rule {
        name: "privileged-without-two-factor",
        severity: Severity::High,
        title: "a privileged member has no second factor",
        remedy: "Have the person turn on My Profile > Authentication > Two-Factor Authentication, or enforce it for all under Manage Account > Members > Settings.",
        test: Test::Person(privileged_without_two_factor),
    },
    Rule {
        name: "privileged-outside-domains",
        severity: Severity::High,
        title: "a privileged member has an address outside of your domains",
        remedy: "Take the role away under Manage Account > Members, or add the domain to FINDINGS_DOMAINS.",
        test: Test::Person(privileged_outside_domains),
    },
    Rule {
        name: "too-few-super-administrators",
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
        test: Test::Token(token_without_expiry),
    },
    Rule {
        name: "token-unused",
        severity: Severity::Medium,
        title: "an account API token was not used for a long time",
        remedy: "Delete the token under Manage Account > Account API Tokens, or disable it until somebody misses it.",
        test: Test::Token(token_unused),
    },
    Rule {
        name: "token-never-used",
        severity: Severity::Low,
        title: "an account API token was never used",
        remedy: "Delete the token under Manage Account > Account API Tokens.",
        test: Test::Token(token_never_used),
    },
    Rule {
        name: "token-about-to-expire",
        severity: Severity::Low,
        title: "an account API token is about to expire",
        remedy: "Roll or replace the token under Manage Account > Account API Tokens, before what uses it stops.",
        test: Test::Token(token_about_to_expire),
    },
];

/// Not what an identity provider asks for: that factor is not seen by Cloudflare.
fn privileged_without_two_factor(person: &Person<'_>, _: &Settings) -> Option<String> {
    let without = person.member.status == MemberStatus::Accepted && person.member.two_factor == Some(false);
    (without && !person.privileged.is_empty())
        .then(|| format!("holds {} and logs in without a second factor", person.privileged.join(", ")))
}

fn privileged_outside_domains(person: &Person<'_>, settings: &Settings) -> Option<String> {
    let domain = address::folded_domain(person.member.email.rsplit_once('@')?.1);
    let is_outside = !settings.domains.is_empty() && !settings.domains.contains(&domain);
    (is_outside && !person.privileged.is_empty())
        .then(|| format!("holds {}, and {domain} is not one of your domains", person.privileged.join(", ")))
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

fn is_active(token: &Token) -> bool {
    token.status == "active"
}

fn token_without_expiry(token: &Token, _: &Settings, _: Timestamp) -> Option<String> {
    (is_active(token) && token.expires_on.is_none()).then(|| "active, without an end".to_owned())
}

/// How many whole days ago.
fn days(since: Timestamp, now: Timestamp) -> i64 {
    now.since(since) / 86_400_000
}

fn token_unused(token: &Token, settings: &Settings, now: Timestamp) -> Option<String> {
    let last = token.last_used_day.as_deref()?;
    let is_old = days(Timestamp::parse(last)?, now) >= settings.unused_days;
    (is_active(token) && is_old).then(|| format!("last used on {last}"))
}

fn token_never_used(token: &Token, settings: &Settings, now: Timestamp) -> Option<String> {
    let issued = token.issued_on?;
    let is_old = token.last_used_day.is_none() && days(issued, now) >= settings.unused_days;
    (is_active(token) && is_old).then(|| format!("issued on {}, and never used since", issued.date()))
}

fn token_about_to_expire(token: &Token, settings: &Settings, now: Timestamp) -> Option<String> {
    let expires = token.expires_on?;
    let is_near = expires > now && days(now, expires) < settings.expiry_days;
    (is_active(token) && is_near).then(|| format!("expires on {}", expires.date()))
}

#[cfg(test)]
mod tests {
    use crate::base::tree::BTreeSet;

    use super::*;

    fn settings() -> Settings {
        let domains = vec!["example.com".to_owned()];
        Settings { min_super_admins: 2, max_super_admins: 4, unused_days: 90, expiry_days: 30, domains }
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-26T10:00:00Z").unwrap()
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
        }
    }

    fn token() -> Token {
        Token {
            id: "3".repeat(32).parse().unwrap(),
            name: "ci".to_owned(),
            status: "active".to_owned(),
            issued_on: Timestamp::parse("2026-01-01T00:00:00Z"),
            expires_on: Timestamp::parse("2027-06-01T00:00:00Z"),
            last_used_day: Some("2026-11-20".to_owned()),
        }
    }

    fn of_person(rule: &str, member: &Member, change: fn(&mut Person<'_>)) -> bool {
        let privileged = vec!["Administrator".to_owned()];
        let mut person = Person { member, privileged, twice: Vec::new(), denied: 0, unknown: 0 };
        change(&mut person);
        let rule = RULES.iter().find(|known| known.name == rule).unwrap();
        let Test::Person(test) = rule.test else { panic!("{} is not about people", rule.name) };
        test(&person, &settings()).is_some()
    }

    fn of_token(rule: &str, change: fn(&mut Token)) -> bool {
        let mut token = token();
        change(&mut token);
        let rule = RULES.iter().find(|known| known.name == rule).unwrap();
        let Test::Token(test) = rule.test else { panic!("{} is not about tokens", rule.name) };
        test(&token, &settings(), now()).is_some()
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
        let person = Person { member: &member(), privileged: vec!["x".into()], twice: vec![], denied: 0, unknown: 0 };
        assert!(privileged_outside_domains(&person, &Settings { domains: Vec::new(), ..settings() }).is_none());
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
        let whole = Whole { unread: (2, vec!["x: policies is missing".to_owned()]), ..Whole::default() };
        assert!(of_account("member-unreadable", &whole));
        assert!(!of_account("member-unreadable", &Whole::default()));
    }

    #[test]
    fn tokens_are_told_by_their_end_and_their_use_while_they_are_active() {
        type Case = (&'static str, fn(&mut Token));
        fn without_use(token: &mut Token) {
            token.last_used_day = None;
        }
        let cases: [Case; 4] = [
            ("token-without-expiry", |token| token.expires_on = None),
            ("token-unused", |token| token.last_used_day = Some("2026-08-28".to_owned())),
            ("token-never-used", without_use),
            ("token-about-to-expire", |token| token.expires_on = Timestamp::parse("2026-12-25T00:00:00Z")),
        ];
        for (rule, change) in cases {
            assert!(of_token(rule, change), "{rule}");
            assert!(!of_token(rule, |_| {}), "{rule}, where all is well");
            let mut other = token();
            change(&mut other);
            other.status = "disabled".to_owned();
            let known = RULES.iter().find(|known| known.name == rule).unwrap();
            let Test::Token(test) = known.test else { panic!() };
            assert!(test(&other, &settings(), now()).is_none(), "{rule}, of a token that is off");
        }
        assert!(!of_token("token-unused", |token| token.last_used_day = Some("2026-08-29".to_owned())));
        assert!(!of_token("token-unused", without_use), "that is another rule");
        assert!(!of_token("token-never-used", |token| {
            without_use(token);
            token.issued_on = Timestamp::parse("2026-11-01T00:00:00Z");
        }));
        assert!(!of_token("token-about-to-expire", |token| token.expires_on = Timestamp::parse("2026-12-27T00:00:00Z")));
        assert!(!of_token("token-about-to-expire", |token| token.expires_on = Timestamp::parse("2026-11-25T00:00:00Z")));
    }
}
