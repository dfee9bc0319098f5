//! Rules about API tokens and OAuth clients, and what is known of whoever made a token.

use super::settings::Settings;
use crate::account::default_role::MINIMAL_ACCESS;
use crate::base::time::Timestamp;
use crate::base::tree::BTreeMap;
use crate::model::resource::{OauthClient, Token};
use crate::model::scope::{covers, told};

/// What a token gives away where whoever has it is no administrator: its permission groups' names in small letters, and what they are for.
/// `write` stands for `edit` too.
const POWERS: [(&str, Power); 6] = [
    ("account api tokens write", Power::Tokens),
    ("api tokens write", Power::Tokens),
    ("account settings write", Power::Members),
    ("memberships write", Power::Members),
    // Cloudflare's API description has it without a word for what it does, and it writes.
    ("scim provisioning", Power::Members),
    ("scim provisioning write", Power::Members),
];

/// What a token can do that not everybody can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    /// Make tokens, as administrators can.
    Tokens,
    /// Edit members, as Super Administrators alone can.
    Members,
}

/// A rule names at most this many of the objects that it tells of.
const TOLD: usize = 5;

/// What is known of a token, and of whoever made it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret<'a> {
    pub(super) token: &'a Token,
    /// What its creator holds, where that is a member.
    pub(super) maker: Option<&'a Maker>,
    pub(super) now: Timestamp,
}

/// Whether somebody is a Super Administrator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum IsOne {
    #[default]
    No,
    Yes,
    /// For all that this connector knows of the policies.
    Perhaps,
}

/// What somebody who made a token holds now, directly and through user groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Maker {
    /// Whether that one was found among the people.
    pub(super) is_there: bool,
    pub(super) is_administrator: bool,
    pub(super) super_administrator: IsOne,
    /// Whether a role on the whole account is held, and whether one that is more than reading.
    pub(super) whole: Option<bool>,
    /// The keys of the objects that are reached, and whether by more than reading.
    pub(super) keys: BTreeMap<String, bool>,
}

impl Maker {
    /// Whether anything is reached there, and whether by more than reading.
    fn at(&self, object: &str) -> Option<bool> {
        let by = self.keys.iter().filter(|(key, _)| covers(key, object)).map(|(_, &writes)| writes);
        by.chain(self.whole).max()
    }
}

/// Whether a role by its name or label does no more than read.
pub(super) fn reads_only(name: &str, label: Option<&str>) -> bool {
    let (name, label) = (name.to_ascii_lowercase(), label.unwrap_or_default());
    let by_name = [" read", " reader", " viewer"].iter().any(|end| name.ends_with(end)) || name.contains("read only");
    by_name || name.contains("read-only") || label.contains("readonly") || label.contains("read_only")
}

/// Whether a role gives nothing by itself. Its name is known, and its label may be another.
pub(super) fn gives_nothing(name: &str, label: Option<&str>) -> bool {
    let is_minimal = |text: &str| text.to_ascii_lowercase().replace(' ', "_").contains(MINIMAL_ACCESS);
    is_minimal(name) || label.is_some_and(is_minimal)
}

fn folded(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    name.strip_suffix(" edit").map(|rest| format!("{rest} write")).unwrap_or(name)
}

/// What a token can do of what an administrator alone can, by the names of its permission groups.
fn powers(token: &Token) -> Vec<(&str, Power)> {
    let power = |name| POWERS.iter().find(|(known, _)| *known == folded(name)).map(|(_, power)| (name, *power));
    token.permission_groups().into_iter().filter_map(power).collect()
}

pub(super) fn without_expiry(of: Secret<'_>, _: &Settings) -> Option<String> {
    let is_without = of.token.expires_on.is_none() && of.token.is_told(Token::EXPIRES);
    (of.token.is_active() && is_without).then(|| "active, without an end".to_owned())
}

pub(super) fn without_ip_condition(of: Secret<'_>, _: &Settings) -> Option<String> {
    let anywhere = of.token.from.is_empty() && of.token.not_from.is_empty() && of.token.is_told(Token::ADDRESSES);
    (of.token.is_active() && anywhere).then(|| "it is good from every address".to_owned())
}

/// How many whole days ago.
pub(super) fn days(since: Timestamp, now: Timestamp) -> i64 {
    now.since(since) / 86_400_000
}

pub(super) fn unused(of: Secret<'_>, settings: &Settings) -> Option<String> {
    let last = of.token.last_used_day.as_deref()?;
    let is_old = days(Timestamp::parse(last)?, of.now) >= settings.unused_days;
    (of.token.is_active() && is_old).then(|| format!("last used on {last}"))
}

pub(super) fn never_used(of: Secret<'_>, settings: &Settings) -> Option<String> {
    let issued = of.token.issued_on?;
    let is_old = of.token.last_used_day.is_none()
        && of.token.is_told(Token::LAST_USED)
        && days(issued, of.now) >= settings.unused_days;
    (of.token.is_active() && is_old).then(|| format!("issued on {}, and never used since", issued.date()))
}

pub(super) fn about_to_expire(of: Secret<'_>, settings: &Settings) -> Option<String> {
    let expires = of.token.expires_on?;
    let is_near = expires > of.now && days(of.now, expires) < settings.expiry_days;
    (of.token.is_active() && is_near).then(|| format!("expires on {}", expires.date()))
}

/// Not the connector's own, which is to edit members.
pub(super) fn powerful(of: Secret<'_>, _: &Settings) -> Option<String> {
    let mut powers: Vec<&str> = powers(of.token).into_iter().map(|(name, _)| name).collect();
    // What there was no room for may be any of them.
    if powers.is_empty() && of.token.policies.iter().map(|policy| policy.groups.len()).sum::<usize>() >= Token::MAX {
        powers.push("more permission groups than are listed");
    }
    (of.token.is_active() && !of.token.is_own && !powers.is_empty()).then(|| format!("it has {}", powers.join(", ")))
}

pub(super) fn of_somebody_who_left(of: Secret<'_>, _: &Settings) -> Option<String> {
    let email = of.token.creator.as_deref().filter(|_| of.token.creator_left())?;
    of.token.is_active().then(|| format!("made by {email}, whom no member has for an address any more"))
}

/// Told is what is certain: Cloudflare does not tell what a role permits, so a token may be stronger in other ways too.
pub(super) fn stronger_than_creator(of: Secret<'_>, _: &Settings) -> Option<String> {
    let maker = of.maker.filter(|maker| maker.is_there && maker.super_administrator == IsOne::No)?;
    if !of.token.is_active() {
        return None;
    }
    let mut more: Vec<String> = Vec::new();
    for (name, power) in powers(of.token) {
        let whose = match power {
            Power::Members => "Super Administrators",
            Power::Tokens if maker.is_administrator => continue,
            Power::Tokens => "administrators",
        };
        more.push(format!("{name} is for {whose}"));
    }
    for policy in of.token.allowed() {
        let writing = policy.names().find(|name| folded(name).ends_with(" write"));
        for (key, name) in &policy.scope.0 {
            match (maker.at(key), writing) {
                (None, _) => more.push(format!("it reaches {}, and its creator nothing there", told(key, name))),
                (Some(false), Some(group)) => {
                    more.push(format!("it has {group} on {}, where its creator reads alone", told(key, name)));
                }
                _ => {}
            }
        }
    }
    let beside = more.len().saturating_sub(TOLD);
    more.truncate(TOLD);
    let beside = if beside > 0 { format!("; and {beside} more") } else { String::new() };
    (!more.is_empty()).then(|| format!("{}{beside}", more.join("; ")))
}

pub(super) fn is_public(client: &OauthClient, _: &Settings) -> Option<String> {
    (client.visibility == "public").then(|| "anybody on Cloudflare can give it access".to_owned())
}

/// By how many scopes it may ask for: what one of them gives is in no list that is documented.
pub(super) fn is_wide(client: &OauthClient, settings: &Settings) -> Option<String> {
    let count = client.scopes.len();
    (count > settings.wide_scopes)
        .then(|| format!("it may ask for {count} scopes, where at most {} are wanted", settings.wide_scopes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::rules::{RULES, Test};
    use crate::model::access::Access;
    use crate::model::resource::TokenPolicy;
    use crate::model::scope::Scope;

    const ZONE: &str = "com.cloudflare.api.account.zone.1";
    const OTHER: &str = "com.cloudflare.api.account.zone.2";
    const WHOLE: &str = "com.cloudflare.api.account.a";

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-26T10:00:00Z").unwrap()
    }

    fn token() -> Token {
        Token {
            issued_on: Timestamp::parse("2026-01-01T00:00:00Z"),
            expires_on: Timestamp::parse("2027-06-01T00:00:00Z"),
            last_used_day: Some("2026-11-20".to_owned()),
            from: vec!["192.0.2.0/24".to_owned()],
            ..Token::bare("3".repeat(32).parse().unwrap(), "ci".to_owned())
        }
    }

    fn evidence(rule: &str, token: &Token, maker: Option<&Maker>) -> Option<String> {
        let rule = RULES.iter().find(|known| known.name == rule).unwrap();
        let Test::Secret(test) = rule.test else { panic!("{} is not about tokens", rule.name) };
        test(Secret { token, maker, now: now() }, &Settings::default())
    }

    fn of(rule: &str, change: impl FnOnce(&mut Token)) -> bool {
        let mut token = token();
        change(&mut token);
        evidence(rule, &token, None).is_some()
    }

    fn may(groups: &[&str], on: &[&str]) -> impl Fn(&mut Token) {
        let map = |all: &[&str]| all.iter().map(|one| ((*one).to_owned(), String::new())).collect();
        let policy = TokenPolicy { access: Access::Allow, groups: map(groups), scope: Scope(map(on)) };
        move |token| token.policies.push(policy.clone())
    }

    #[test]
    fn tokens_are_told_by_their_end_their_use_and_what_they_give_away_while_they_are_active() {
        type Case = (&'static str, fn(&mut Token));
        fn without_use(token: &mut Token) {
            token.last_used_day = None;
        }
        let cases: [Case; 7] = [
            ("token-without-expiry", |token| token.expires_on = None),
            ("token-without-ip-condition", |token| token.from.clear()),
            ("token-unused", |token| token.last_used_day = Some("2026-08-28".to_owned())),
            ("token-never-used", without_use),
            ("token-about-to-expire", |token| token.expires_on = Timestamp::parse("2026-12-25T00:00:00Z")),
            ("token-powerful", |token| may(&["Account Settings Write"], &[WHOLE])(token)),
            ("token-of-somebody-who-left", |token| token.creator = Some("jane@example.com".to_owned())),
        ];
        for (rule, change) in cases {
            assert!(of(rule, change), "{rule}");
            assert!(!of(rule, |_| {}), "{rule}, where all is well");
            assert!(
                !of(rule, |token| {
                    change(token);
                    token.status = "disabled".to_owned();
                }),
                "{rule}, of a token that is off"
            );
        }
        assert!(!of("token-unused", |token| token.last_used_day = Some("2026-08-29".to_owned())));
        assert!(!of("token-unused", without_use), "that is another rule");
        assert!(!of("token-never-used", |token| {
            without_use(token);
            token.issued_on = Timestamp::parse("2026-11-01T00:00:00Z");
        }));
        for expires in ["2026-12-27T00:00:00Z", "2026-11-25T00:00:00Z"] {
            assert!(!of("token-about-to-expire", |token| token.expires_on = Timestamp::parse(expires)), "{expires}");
        }
        assert!(!of("token-without-ip-condition", |token| {
            (token.from, token.not_from) = (Vec::new(), vec!["192.0.2.1/32".to_owned()]);
        }));
        assert!(!of("token-of-somebody-who-left", |token| {
            token.creator = Some("jane@example.com".to_owned());
            token.creator_is = Some("user:1".to_owned());
        }));
    }

    #[test]
    fn a_token_is_powerful_by_the_name_of_what_it_has_and_the_connectors_own_is_not() {
        for (group, is_powerful) in [
            ("Account API Tokens Write", true),
            ("API Tokens Edit", true),
            ("account settings write", true),
            ("SCIM Provisioning", true),
            ("SCIM Provisioning Write", true),
            ("SCIM Provisioning Read", false),
            ("Account API Tokens Read", false),
            ("DNS Write", false),
        ] {
            assert_eq!(of("token-powerful", may(&[group], &[WHOLE])), is_powerful, "{group}");
        }
        assert!(!of("token-powerful", |token| {
            may(&["Account Settings Write"], &[WHOLE])(token);
            token.is_own = true;
        }));
        assert!(!of("token-powerful", |token| {
            may(&["Account Settings Write"], &[WHOLE])(token);
            token.policies[0].access = Access::Deny;
        }));
    }

    #[test]
    fn a_token_of_more_permission_groups_than_are_listed_may_be_powerful_and_one_of_many_objects_is_not_for_that() {
        let names: Vec<String> = (0..Token::MAX).map(|n| format!("What number {n} does Read")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let told = |groups: &[&[&str]], on: &[&str]| {
            let mut token = token();
            for groups in groups {
                may(groups, on)(&mut token);
            }
            token.unlisted = 201;
            evidence("token-powerful", &token, None)
        };
        let (first, rest) = names.split_at(400);
        let expected = Some("it has more permission groups than are listed".to_owned());
        assert_eq!(told(&[first, rest], &[]), expected);
        let objects: Vec<String> = (1..Token::MAX).map(|n| format!("{ZONE}{n}")).collect();
        let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
        assert_eq!(told(&[&names[..1]], &objects), None, "the control: it is the objects that are not all listed");
        let known = [&["Account Settings Write"][..], &names[1..]].concat();
        let expected = Some("it has Account Settings Write".to_owned());
        assert_eq!(told(&[known.as_slice()], &[]), expected, "what is known is named");
    }

    #[test]
    fn a_token_is_stronger_than_its_creator_by_what_is_certain_alone() {
        type Case = (&'static [&'static str], &'static [&'static str], Maker, Option<&'static str>);
        let rule = "token-stronger-than-creator";
        let keys = |of: &[(&str, bool)]| of.iter().map(|(key, writes)| ((*key).to_owned(), *writes)).collect();
        let maker = |of: &[(&str, bool)]| Maker { is_there: true, keys: keys(of), ..Maker::default() };
        let cases: [Case; 11] = [
            (&["DNS Write"], &[ZONE], maker(&[(ZONE, true)]), None),
            (&["DNS Write"], &[ZONE], maker(&[(OTHER, true)]), Some("nothing there")),
            (&["DNS Write"], &[ZONE, OTHER], maker(&[("com.cloudflare.api.account.zone.*", true)]), None),
            (&["DNS Write"], &["com.cloudflare.api.account.zone.*"], maker(&[(ZONE, true)]), Some("every domain")),
            (&["DNS Write"], &[ZONE], maker(&[(ZONE, false)]), Some("reads alone")),
            (&["DNS Read"], &[ZONE], maker(&[(ZONE, false)]), None),
            (&["DNS Read"], &[WHOLE], maker(&[(ZONE, true)]), Some("the whole account")),
            (
                &["Account Settings Write"],
                &[WHOLE],
                Maker { is_administrator: true, whole: Some(true), ..maker(&[]) },
                Some("Account Settings Write is for Super Administrators"),
            ),
            (
                &["Account API Tokens Write"],
                &[WHOLE],
                Maker { whole: Some(true), ..maker(&[]) },
                Some("Account API Tokens Write is for administrators"),
            ),
            (
                &["Account API Tokens Write"],
                &[WHOLE],
                Maker { is_administrator: true, whole: Some(true), ..maker(&[]) },
                None,
            ),
            (&["Account Settings Write"], &[WHOLE], Maker { super_administrator: IsOne::Yes, ..maker(&[]) }, None),
        ];
        for (groups, on, maker, expected) in cases {
            let mut token = token();
            may(groups, on)(&mut token);
            let told = evidence(rule, &token, Some(&maker));
            match expected {
                Some(part) => assert!(told.as_deref().is_some_and(|told| told.contains(part)), "{groups:?}: {told:?}"),
                None => assert_eq!(told, None, "{groups:?} {on:?}"),
            }
        }
        let mut token = token();
        may(&["DNS Write"], &[ZONE])(&mut token);
        assert_eq!(evidence(rule, &token, None), None, "whose it is is not known");
        assert_eq!(evidence(rule, &token, Some(&Maker { is_there: false, ..maker(&[]) })), None);
        token.policies[0].access = Access::Deny;
        assert_eq!(evidence(rule, &token, Some(&maker(&[]))), None, "what is denied gives nothing");
    }

    #[test]
    fn a_role_reads_alone_by_its_name_or_label() {
        for (name, label, reads) in [
            ("Administrator Read Only", None, true),
            ("Domain Read", None, true),
            ("Analytics Viewer", None, true),
            ("Odd", Some("admin_readonly"), true),
            ("Domain Administrator", Some("domain_admin"), false),
            ("Thread Manager", None, false),
        ] {
            assert_eq!(reads_only(name, label), reads, "{name}");
        }
    }

    #[test]
    fn a_role_gives_nothing_by_its_name_or_label() {
        for (name, label, nothing) in [
            ("Minimal Account Access", None, true),
            ("Minimal Account Access", Some("account_minimal"), true),
            ("Least", Some("minimal_account_access"), true),
            ("Least", Some("admin"), false),
            ("Minimal", None, false),
        ] {
            assert_eq!(gives_nothing(name, label), nothing, "{name} {label:?}");
        }
    }

    #[test]
    fn an_oauth_client_is_told_where_it_is_public_or_may_ask_for_much() {
        let client = |visibility: &str, scopes: usize| OauthClient {
            id: "c".parse().unwrap(),
            name: "Bot".to_owned(),
            visibility: visibility.to_owned(),
            scopes: (0..scopes).map(|n| n.to_string()).collect(),
            redirect_uris: Vec::new(),
            created_at: None,
        };
        for (client, public, wide) in [
            (client("public", 3), true, false),
            (client("private", 20), false, false),
            (client("private", 21), false, true),
        ] {
            for (rule, expected) in [("oauth-client-public", public), ("oauth-client-wide", wide)] {
                let rule = RULES.iter().find(|known| known.name == rule).unwrap();
                let Test::Client(test) = rule.test else { panic!() };
                assert_eq!(test(&client, &Settings::default()).is_some(), expected, "{} {client:?}", rule.name);
            }
        }
    }
}
