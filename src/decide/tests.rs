//! Rules, tables of what they decide, and gathering from a published snapshot.

use std::sync::LazyLock;

use crate::account::default_role::Configured;
use futures::executor::block_on;
use serde_json::{Value, json};

use super::facts::Standing;
use super::record::{Before, Filter, Record, find, init, keep, list, purge};
use super::{Decision, Facts, Known, KnownBy, Person, Question, Rules, Verdict, decide, facts, gather};
use crate::account::apps::{Apps, WEBHOOK};
use crate::base::fakes::Desk;
use crate::base::ports::{Clock as _, Sql as _};
use crate::base::rows;
use crate::model::access::{Access, Atom};
use crate::model::ask::{Action, EntitlementRef, Subject};
use crate::model::grant::Entitlement;
use crate::model::id::InvalidId;
use crate::model::kind::Kind;
use crate::model::operation::Origin;
use crate::model::resource::{Group, Member, MemberStatus, Role, Row};
use crate::model::super_administrator;
use crate::snapshot::{self, Capability, Catalogue, CatalogueEntry, Draft, GenerationId, Naming, Posture, Unreadable};

const BOSS: &str = "2fCjgK8tYJxV9u8d1wupBMeXZ45";

fn hex<T: std::str::FromStr<Err = InvalidId>>(n: u8) -> T {
    format!("{n:032x}").parse().unwrap()
}

const SUPER: u8 = 1;
const READ: u8 = 2;
const DNS: u8 = 3;

fn role(n: u8) -> Entitlement {
    Entitlement::Role(hex(n))
}

fn group(n: u8) -> Entitlement {
    Entitlement::Group(hex(n))
}

/// Two roles, a scoped one, an ordinary group and one that makes its members Super Administrators.
fn catalogue() -> Catalogue {
    let it =
        |entitlement, name: &str, label: Option<&str>, behind: Option<u8>, brings: &[Entitlement]| CatalogueEntry {
            entitlement,
            name: name.to_owned(),
            also: None,
            permission_group_name: name.split_once(" on ").map(|(name, _)| name.to_owned()),
            label: label.map(str::to_owned),
            permission_group: behind.map(|n| hex(n + 100)),
            ends: None,
            brings: brings.to_vec(),
            may_bring_more: false,
        };
    Catalogue::of(vec![
        it(role(SUPER), "Super Administrator - All Privileges", Some("super_admin"), Some(SUPER), &[]),
        it(role(READ), "Administrator Read Only", Some("admin_readonly"), Some(READ), &[]),
        it(role(DNS), "DNS", Some("dns"), Some(DNS), &[]),
        it(Entitlement::scoped(hex(DNS + 100), hex(50)), "DNS on example.com", None, Some(DNS), &[]),
        it(group(7), "Readers", None, None, &[role(READ)]),
        it(group(8), "Platform", None, None, &[role(SUPER)]),
    ])
}

/// A grant of something to Jane, a member with two-factor authentication.
fn known(wanted: Option<Entitlement>) -> Known {
    let catalogue = catalogue();
    let it = wanted.and_then(|wanted| catalogue.get(wanted).cloned());
    Known {
        action: Action::Grant,
        wanted: facts::RequestedAccess {
            entitlement: wanted,
            name: it.as_ref().map_or("a Cloudflare account".to_owned(), |it| it.name.clone()),
            brings: it.map(|it| it.brings).unwrap_or_default(),
            is_whole: true,
        },
        person: Person {
            email: Some("jane@example.com".to_owned()),
            others: Vec::new(),
            status: Standing::Member,
            two_factor: Some(true),
            in_sso_domains: None,
            held: vec![role(READ)],
            coming: Vec::new(),
            is_whole: true,
            key: None,
        },
        catalogue,
        generation: GenerationId::parse("20261123T100000Z-7f3a09c1").unwrap(),
        has_changed: false,
        age_secs: Some(720),
        findings: Some(Vec::new()),
        perhaps: Vec::new(),
        enforces_two_factor: None,
        in_organization: None,
        idle_days: None,
        what_if: None,
    }
}

#[test]
fn super_administrator_is_privileged_also_where_cloudflare_tells_no_label() {
    let names = ["All Privileges", "All Privileges on example.com", "DNS", "Readers", "Platform"];
    let own = json!({ "rules": [{ "name": "own", "when": { "roles": names }, "then": "approve" }] });
    let admin = Entitlement::Role(super_administrator::role().unwrap());
    let it = |entitlement, name: &str, behind: Option<u8>, brings: &[Entitlement]| CatalogueEntry {
        entitlement,
        name: name.to_owned(),
        also: None,
        permission_group_name: None,
        label: None,
        permission_group: behind.map(hex),
        ends: None,
        brings: brings.to_vec(),
        may_bring_more: false,
    };
    let scoped = Entitlement::scoped(hex(101), hex(50));
    let unlabelled = || {
        Catalogue::of(vec![
            it(admin, "All Privileges", Some(101), &[]),
            it(scoped, "All Privileges on example.com", Some(101), &[]),
            it(role(DNS), "DNS", Some(103), &[]),
            it(group(7), "Readers", None, &[role(DNS)]),
            it(group(8), "Platform", None, &[admin]),
        ])
    };
    for (wanted, is_approved) in
        [(admin, false), (scoped, false), (group(8), false), (role(DNS), true), (group(7), true)]
    {
        let catalogue = unlabelled();
        let brings = catalogue.get(wanted).unwrap().brings.clone();
        let asked = known(Some(role(DNS)));
        let wanted_access = facts::RequestedAccess { entitlement: Some(wanted), brings, ..asked.wanted.clone() };
        let asked = Known { catalogue, wanted: wanted_access, ..asked };
        assert_eq!(by(&own, asked.clone()).rule == "own", is_approved, "{wanted}");
        let without = Known { person: Person { two_factor: None, ..asked.person.clone() }, ..asked };
        let told = by(&own, without).rule;
        assert_eq!(told == super::rules::WITHOUT_TWO_FACTOR, !is_approved, "{wanted}: {told}");
    }
}

#[test]
fn a_rule_asks_how_long_somebody_gave_no_sign_of_life_and_not_known_is_not_idle() {
    let rule = |then: &str| json!({ "rules": [{ "name": "own", "when": { "roles": ["DNS"], "idle_days": 30 }, "then": then }] });
    let with = |idle_days: Option<i64>| Known { idle_days, ..known(Some(role(DNS))) };
    for then in ["deny", "approve"] {
        for (idle_days, holds) in [(None, false), (Some(0), false), (Some(29), false), (Some(30), true)] {
            assert_eq!(by(&rule(then), with(idle_days)).rule == "own", holds, "{then} {idle_days:?}");
        }
    }
    assert!(Rules::parse(&rule("deny").to_string()).unwrap().asks_for_silence());
    for wrong in ["0", "3651", "-1", "1.5", "\"30\"", "null"] {
        let text = rule("deny").to_string().replace("30", wrong);
        let read = Rules::parse(&text);
        assert_eq!(read.is_ok(), wrong == "null", "{wrong}: {read:?}");
    }
}

#[test]
fn a_rule_asks_how_the_account_is_set_and_what_is_not_known_approves_nothing() {
    for field in ["account_enforces_two_factor", "in_sso_domains", "account_in_organization"] {
        for (then, wanted, told, decides) in [
            ("deny", false, Some(false), true),
            ("deny", false, Some(true), false),
            ("deny", false, None, true),
            ("deny", true, Some(true), true),
            ("deny", true, Some(false), false),
            ("deny", true, None, false),
            ("approve", false, Some(false), true),
            ("approve", false, None, false),
            ("approve", true, Some(true), true),
            ("approve", true, Some(false), false),
            ("approve", true, None, false),
        ] {
            let mut facts = known(Some(role(DNS)));
            // To be in an organization is what is not safe.
            let is_danger = field == "account_in_organization";
            let wanted = wanted != is_danger;
            match field {
                "in_sso_domains" => facts.person.in_sso_domains = told,
                "account_in_organization" => facts.in_organization = told.map(|safe| !safe),
                _ => facts.enforces_two_factor = told,
            }
            let rule =
                json!({ "rules": [{ "name": "own", "when": { "roles": ["DNS"], field: wanted }, "then": then }] });
            assert_eq!(by(&rule, facts).rule == "own", decides, "{field} {then} {wanted} {told:?}");
        }
    }
}

#[test]
fn a_rule_asks_for_findings_and_as_long_as_nobody_looked_the_strict_ones_hold() {
    let rule = |then: &str| {
        json!({ "rules": [
            { "name": "own", "when": { "roles": ["DNS"], "findings": ["token-powerful", "invitation-old"] }, "then": then },
        ] })
    };
    let with = |findings: Option<&[&str]>| {
        let findings = findings.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
        Known { findings, ..known(Some(role(DNS))) }
    };
    for (then, findings, decides) in [
        ("deny", Some(["invitation-old"].as_slice()), true),
        ("deny", Some(&["deny-policy"]), false),
        ("deny", Some(&[]), false),
        ("deny", None, true),
        ("approve", Some(&["token-powerful"]), true),
        ("approve", None, false),
    ] {
        let decision = by(&rule(then), with(findings));
        assert_eq!(decision.rule == "own", decides, "{then} {findings:?}");
    }
    let rules = Rules::parse(&rule("deny").to_string()).unwrap();
    assert!(rules.asks_for_findings() && rules.check_findings(&["token-powerful", "invitation-old"]).is_ok());
    let error = rules.check_findings(&["token-powerful"]).unwrap_err();
    assert_eq!(error.path, "rules[0].when.findings");
}

fn by(rules: &Value, known: Known) -> Decision {
    let rules = Rules::parse(&rules.to_string());
    assert!(rules.is_ok(), "{rules:?}");
    decide(&rules, &Facts::Known(Box::new(known)), &["subject".to_owned()])
}

fn check(rules: &Value, known: Known, verdict: Verdict, rule: &str) {
    let decision = by(rules, known);
    assert_eq!((decision.verdict, decision.rule.as_str()), (verdict, rule), "{decision:?} by {rules}");
    assert!(decision.reason.ends_with('.'), "{decision:?}");
}

#[test]
fn a_privileged_role_is_denied_to_whoever_is_not_known_to_be_safe() {
    let rules = json!({"allowed_domains": ["example.com"], "low_risk_roles": ["Super Administrator - All Privileges", "Platform", "account"]});
    let person = |two_factor, email: &'static str, status| {
        move |wanted| {
            let mut known = known(wanted);
            known.person.two_factor = two_factor;
            known.person.email = Some(email.to_owned()).filter(|email| !email.is_empty());
            known.person.status = status;
            known
        }
    };
    let two_factor = "privileged-without-two-factor";
    for (person, rule) in [
        (&person(Some(false), "jane@example.com", Standing::Member) as &dyn Fn(_) -> _, two_factor),
        (&person(None, "jane@example.com", Standing::Invited), two_factor),
        (&person(None, "jane@example.com", Standing::None), two_factor),
        (&person(Some(true), "jane@example.org", Standing::Member), "privileged-outside-domains"),
        (&person(Some(true), "jane@sub.example.com", Standing::Member), "privileged-outside-domains"),
        (&person(Some(true), "jane@example.com@evil.org", Standing::Member), "privileged-outside-domains"),
        (&person(Some(true), "", Standing::Member), "privileged-outside-domains"),
    ] {
        check(&rules, person(Some(role(SUPER))), Verdict::Deny, rule);
        check(&rules, person(Some(group(8))), Verdict::Deny, rule);
    }
    // Safe, and yet nothing approves it: that it is on the list of low risk does not count.
    let safe = person(Some(true), "Jane@EXAMPLE.com", Standing::Member);
    check(&rules, safe(Some(role(SUPER))), Verdict::Deny, "otherwise");
    check(&rules, safe(Some(group(8))), Verdict::Deny, "otherwise");
    // An account whose first role is privileged is that role.
    let mut account = known(None);
    account.wanted.brings = vec![role(SUPER)];
    account.person.two_factor = None;
    check(&rules, account, Verdict::Deny, two_factor);
}

#[test]
fn what_is_privileged_and_what_happens_then_is_configured() {
    let mut unsafe_dns = known(Some(role(DNS)));
    unsafe_dns.person.two_factor = Some(false);
    check(&json!({}), unsafe_dns.clone(), Verdict::Deny, "otherwise");
    for name in
        ["DNS", "dns", &*format!("role:{DNS:032x}:member"), &*format!("{DNS:032x}"), &*format!("{:032x}", DNS + 100)]
    {
        let rules = json!({"privileged_roles": [name], "unsafe_privileged": "reassign", "reassign_to": [BOSS]});
        check(&rules, unsafe_dns.clone(), Verdict::Reassign, "privileged-without-two-factor");
    }
    let mut readers = known(Some(group(7)));
    readers.person.two_factor = Some(false);
    for name in ["Readers", &*group(7).to_string(), &*format!("{:032x}", 7)] {
        let rules = json!({"privileged_roles": [name]});
        check(&rules, readers.clone(), Verdict::Deny, "privileged-without-two-factor");
    }
    let mut scoped = known(Some(Entitlement::scoped(hex(DNS + 100), hex(50))));
    scoped.person.two_factor = None;
    let rules = json!({"privileged_roles": ["DNS"]});
    check(&rules, scoped.clone(), Verdict::Deny, "privileged-without-two-factor");
    check(&json!({"privileged_roles": ["DNS on example.com"]}), scoped, Verdict::Deny, "privileged-without-two-factor");
    check(&json!({"privileged_roles": ["DNS on example.com"]}), unsafe_dns, Verdict::Deny, "otherwise");
}

#[test]
fn a_role_by_its_id_is_the_same_role_on_a_part_of_the_account_for_whatever_is_strict() {
    let (scoped, reads) = (Entitlement::scoped(hex(DNS + 100), hex(50)), role(READ).to_string());
    let mut unsafe_scoped = known(Some(scoped));
    unsafe_scoped.person.two_factor = None;
    // By a group that brings it, and by what is held.
    let (mut brought, mut held) = (unsafe_scoped.clone(), known(Some(role(READ))));
    (brought.wanted.entitlement, brought.wanted.brings) = (Some(group(7)), vec![scoped]);
    held.person.held = vec![scoped];
    let own = |when: Value, then: &str| json!({ "rules": [{ "name": "own", "when": when, "then": then }] });
    for (name, is) in [
        (role(DNS).to_string(), true),
        (format!("{DNS:032x}"), true),
        (format!("{:032x}", DNS + 100), true),
        (role(DNS + 100).to_string(), true),
        // The controls: what is on another part alone, another role, and a group.
        (Entitlement::scoped(hex(DNS + 100), hex(51)).to_string(), false),
        (reads.clone(), false),
        (group(DNS).to_string(), false),
    ] {
        for wanted in [&unsafe_scoped, &brought] {
            let privileged = by(&json!({ "privileged_roles": [name] }), wanted.clone()).rule;
            assert_eq!(privileged == super::rules::WITHOUT_TWO_FACTOR, is, "{name}: {privileged}");
            assert_eq!(by(&own(json!({ "roles": [name] }), "deny"), wanted.clone()).rule == "own", is, "{name}");
        }
        assert_eq!(by(&own(json!({ "holds": [name] }), "deny"), held.clone()).rule == "own", is, "{name}");
    }
    // What approves by the id of a role means that one alone.
    let name = role(DNS).to_string();
    for rules in [json!({ "low_risk_roles": [name] }), own(json!({ "roles": [name] }), "approve")] {
        assert_eq!(by(&rules, known(Some(scoped))).verdict, Verdict::Deny);
        assert_eq!(by(&rules, known(Some(role(DNS)))).verdict, Verdict::Approve);
    }
    let by_held = own(json!({ "roles": [reads], "holds": [name] }), "approve");
    assert_eq!(by(&by_held, held).verdict, Verdict::Deny);
}

#[test]
fn whoever_may_turn_out_to_have_another_address_has_each_against_and_all_for_the_request() {
    let desk = published_with(
        Posture {
            sso_domains: std::iter::once(("example.com".to_owned(), "verified".to_owned())).collect(),
            ..Posture::default()
        },
        lists(&[list_of("sso_domains", true, false, &[])]),
    );
    let named = |emails: &[&str], ends_with_username| {
        let asked = question(&format!("role:{READ:032x}:member"), "");
        let emails = emails.iter().map(|email| (*email).to_owned()).collect();
        let subject = Subject { emails, ..Subject::default() };
        gathered(&desk, any(), &Question { subject, ends_with_username, ..asked })
    };
    let of = |emails: &[&str]| named(emails, false);
    let (first, inside, outside) = ("new@example.com", "new.hire@example.com", "new@example.org");
    let (alone, within, beyond) = (of(&[first]), of(&[first, inside]), of(&[first, outside]));
    assert_eq!(beyond.person.email.as_deref(), Some(first), "it is told by the first");
    let low_risk = json!({ "low_risk_roles": ["Administrator Read Only"], "allowed_domains": ["example.com"] });
    let approves = |when: &Value| {
        let mut when = when.clone();
        when["roles"] = json!(["Administrator Read Only"]);
        json!({ "allowed_domains": ["example.com"], "rules": [{ "name": "own", "when": when, "then": "approve" }] })
    };
    let denies = |when: &Value| json!({ "allowed_domains": ["example.com"], "rules": [{ "name": "own", "when": when, "then": "deny" }] });
    for (known, is_within) in [
        (&alone, true),
        (&within, true),
        (&beyond, false),
        (&of(&[outside, first]), false),
        // A directory's login name is no other address.
        (&named(&[first, outside], true), true),
        (&named(&[first, outside, inside], true), false),
        (&named(&[outside, inside, first], true), false),
    ] {
        let is = |rules: &Value| by(rules, known.clone()).rule == "own";
        let emails = (&known.person.email, &known.person.others);
        assert_eq!(by(&low_risk, known.clone()).rule == super::rules::LOW_RISK, is_within, "{emails:?}");
        for when in [
            json!({ "domains": ["example.com"] }),
            json!({ "in_allowed_domains": true }),
            json!({ "in_sso_domains": true }),
        ] {
            assert_eq!(is(&approves(&when)), is_within, "{when} {emails:?}");
        }
        for when in [
            json!({ "domains": ["example.org"] }),
            json!({ "in_allowed_domains": false }),
            json!({ "in_sso_domains": false }),
        ] {
            assert!(!is(&approves(&when)), "{when} {emails:?}");
            assert_eq!(is(&denies(&when)), !is_within, "{when} {emails:?}");
        }
        for when in [json!({ "domains": ["example.com"] }), json!({ "in_allowed_domains": true })] {
            assert!(is(&denies(&when)), "{when} {emails:?}");
        }
        let mut privileged = known.clone();
        privileged.person.two_factor = Some(true);
        let rules = json!({ "privileged_roles": ["Administrator Read Only"], "allowed_domains": ["example.com"] });
        let told = by(&rules, privileged);
        assert_eq!(told.rule == super::rules::OUTSIDE_DOMAINS, !is_within, "{emails:?}");
        assert_eq!(told.reason.contains("new@example.org is outside the domains"), !is_within, "{told:?}");
    }
    // What is invited counts, be it a login name.
    for (emails, is_within) in [(vec![outside, first], false), (vec![outside], false), (vec![first], true)] {
        let low = by(&low_risk, named(&emails, true)).rule == super::rules::LOW_RISK;
        assert_eq!(low, is_within, "{emails:?}");
    }
    // Who is a member has the address of the membership, whatever else ConductorOne knows.
    let jane = of(&["jane@example.com", outside]);
    assert_eq!(by(&low_risk, jane).rule, super::rules::LOW_RISK);
}

#[test]
fn a_role_of_low_risk_is_approved_within_the_domains() {
    let rules = json!({"low_risk_roles": ["administrator read only", "account"], "allowed_domains": ["example.com"], "reassign_to": [BOSS]});
    check(&rules, known(Some(role(READ))), Verdict::Approve, "low-risk");
    check(&rules, known(None), Verdict::Approve, "low-risk");
    check(&rules, known(Some(role(DNS))), Verdict::Reassign, "otherwise");
    check(&rules, known(Some(group(7))), Verdict::Reassign, "otherwise");
    let mut outside = known(Some(role(READ)));
    outside.person.email = Some("jane@example.org".to_owned());
    check(&rules, outside, Verdict::Reassign, "otherwise");
    let mut revoke = known(Some(role(READ)));
    revoke.action = Action::Revoke;
    check(&rules, revoke, Verdict::Reassign, "otherwise");
}

/// An account with more user groups, which may be called as something else is.
fn homonyms(groups: &[&str]) -> Catalogue {
    let it = |entitlement, name: &str, of: Option<&str>, label: Option<&str>, behind: Option<u8>| CatalogueEntry {
        entitlement,
        name: name.to_owned(),
        also: None,
        permission_group_name: of.map(str::to_owned),
        label: label.map(str::to_owned),
        permission_group: behind.map(hex),
        ends: None,
        brings: Vec::new(),
        may_bring_more: false,
    };
    let mut all = vec![
        it(role(20), "Analytics", None, Some("look"), Some(120)),
        it(Entitlement::scoped(hex(121), hex(50)), "Domain DNS on example.com", Some("Domain DNS"), None, Some(121)),
        it(Entitlement::scoped(hex(121), hex(51)), "Domain DNS on other.example", Some("Domain DNS"), None, Some(121)),
        it(group(40), "Readers", None, None, None),
    ];
    all.extend((41..).zip(groups).map(|(n, name)| it(group(n), name, None, None, None)));
    Catalogue::of(all)
}

#[test]
fn a_name_that_several_things_have_approves_none_of_them_and_an_id_does() {
    let scoped = |n| Entitlement::scoped(hex(121), hex(n));
    let (role, account) = (role(20), None);
    let (first, second, readers, other) = (Some(scoped(50)), Some(scoped(51)), Some(group(40)), Some(group(41)));
    let id = |n: u8| format!("{n:032x}");
    for (name, groups, approves) in [
        ("Analytics", &[][..], &[Some(role)][..]),
        ("Analytics", &[" ANALYTICS "], &[]),
        ("look", &[], &[Some(role)]),
        ("look", &["Look"], &[]),
        (&id(20), &["Analytics"], &[Some(role)]),
        (&id(120), &["Analytics"], &[Some(role)]),
        (&role.to_string(), &["Analytics"], &[Some(role)]),
        (&group(41).to_string(), &["Analytics"], &[other]),
        (&id(41), &["Analytics"], &[other]),
        ("Readers", &["Analytics"], &[readers]),
        ("Readers", &["readers"], &[]),
        // A permission group on every part of the account is one thing, however many parts there are.
        ("Domain DNS", &[], &[first, second]),
        ("Domain DNS", &["Readers too"], &[first, second]),
        ("Domain DNS", &["Domain DNS"], &[]),
        ("Domain DNS on example.com", &["Domain DNS"], &[first]),
        ("Domain DNS on example.com", &["Domain DNS on example.com"], &[]),
        // There is no id for the account.
        ("account", &[], &[account]),
        ("account", &["Account"], &[account]),
    ] {
        let own = json!({ "rules": [{ "name": "own", "when": { "roles": [name] }, "then": "approve" }] });
        let low_risk = json!({ "low_risk_roles": [name] });
        for wanted in [Some(role), first, second, readers, other, account] {
            let asked = known(None);
            let access = facts::RequestedAccess { entitlement: wanted, ..asked.wanted };
            let asked = Known { wanted: access, catalogue: homonyms(groups), ..asked };
            let is_approved = approves.contains(&wanted);
            for (rules, rule) in [(&low_risk, super::rules::LOW_RISK), (&own, "own")] {
                let decided = by(rules, asked.clone());
                assert_eq!(decided.rule == rule, is_approved, "{name} beside {groups:?}: {wanted:?}");
            }
        }
    }
    // Whatever a strict rule may mean, it means.
    for (then, verdict) in [("deny", Verdict::Deny), ("reassign", Verdict::Reassign)] {
        let names = ["Analytics", "Domain DNS"];
        let own =
            json!({ "reassign_to": [BOSS], "rules": [{ "name": "own", "when": { "roles": names }, "then": then }] });
        for wanted in [Some(role), first, second, other, Some(group(42))] {
            let asked = known(None);
            let access = facts::RequestedAccess { entitlement: wanted, ..asked.wanted };
            check(&own, Known { wanted: access, catalogue: homonyms(&names), ..asked }, verdict, "own");
        }
    }
}

#[test]
fn what_somebody_holds_speaks_for_them_only_by_a_name_that_nothing_else_has() {
    let rule = |held: &str, then: &str| json!({ "rules": [{ "name": "own", "when": { "roles": [role(20).to_string()], "holds": [held] }, "then": then }] });
    let asked = |groups: &[&str], held: Entitlement| {
        let mut asked = known(None);
        asked.wanted = facts::RequestedAccess { entitlement: Some(role(20)), ..asked.wanted };
        (asked.catalogue, asked.person.held) = (homonyms(groups), vec![held]);
        asked
    };
    let (by_id, bare) = (group(41).to_string(), format!("{:032x}", 41));
    for (name, groups, held, approves) in [
        ("Readers", &[][..], group(40), true),
        ("Readers", &["readers"], group(40), false),
        ("Readers", &["readers"], group(41), false),
        (by_id.as_str(), &["readers"], group(41), true),
        (by_id.as_str(), &["readers"], group(40), false),
        (bare.as_str(), &["readers"], group(41), true),
        (bare.as_str(), &["readers"], group(40), false),
        ("Domain DNS", &[], Entitlement::scoped(hex(121), hex(50)), true),
        ("Domain DNS", &["Domain DNS"], group(41), false),
    ] {
        let decided = by(&rule(name, "approve"), asked(groups, held));
        assert_eq!(decided.verdict == Verdict::Approve, approves, "{name} beside {groups:?}, held {held}");
    }
    // Whatever a strict rule may mean, it means.
    for held in [group(40), group(41)] {
        check(&rule("Readers", "deny"), asked(&["readers"], held), Verdict::Deny, "own");
    }
    check(&rule(&bare, "deny"), asked(&["readers"], group(41)), Verdict::Deny, "own");
}

#[test]
fn names_that_approve_nothing_since_several_things_have_them_are_found() {
    let rules = |name: &str| {
        json!({
            "low_risk_roles": [name, "account"], "privileged_roles": [name], "reassign_to": [BOSS],
            "rules": [
                { "name": "a", "when": { "roles": ["Analytics"], "holds": [name] }, "then": "approve" },
                { "name": "b", "when": { "roles": [name] }, "then": "deny" },
            ],
        })
    };
    let found = |name: &str, groups| Rules::parse(&rules(name).to_string()).unwrap().ambiguous_names(&homonyms(groups));
    assert_eq!(
        found("readers", &["Readers"]),
        ["low_risk_roles[0]: \"readers\"", "rules[0].when.holds[0]: \"readers\""]
    );
    let nothing: [String; 0] = [];
    for (name, groups) in
        [("Readers", &[][..]), ("Domain DNS", &[]), (&group(41).to_string(), &["Readers"]), ("nobody's", &["Readers"])]
    {
        assert_eq!(found(name, groups), nothing, "{name}");
    }
}

#[test]
fn of_the_rules_that_match_the_strictest_decides_and_among_equals_the_first() {
    let rule = |name: &str, then: &str| json!({"name": name, "when": {"roles": ["DNS"]}, "then": then});
    let rules = |rules: &[Value]| json!({"rules": rules, "reassign_to": [BOSS]});
    let (a, r, d, e) = (rule("a", "approve"), rule("r", "reassign"), rule("d", "deny"), rule("e", "deny"));
    for (order, verdict, name) in [
        (vec![a.clone()], Verdict::Approve, "a"),
        (vec![a.clone(), r.clone()], Verdict::Reassign, "r"),
        (vec![a.clone(), d.clone(), r.clone()], Verdict::Deny, "d"),
        (vec![d.clone(), e.clone()], Verdict::Deny, "d"),
        (vec![e, d, a, r], Verdict::Deny, "e"),
    ] {
        check(&rules(&order), known(Some(role(DNS))), verdict, name);
    }
}

#[test]
fn every_condition_of_a_rule_must_hold() {
    let dns = || known(Some(role(DNS)));
    let person = |change: fn(&mut Known)| {
        let mut known = dns();
        change(&mut known);
        known
    };
    for (when, matching, other) in [
        (json!({}), dns(), person(|known| known.action = Action::Revoke)),
        (json!({"action": "revoke"}), person(|known| known.action = Action::Revoke), dns()),
        (json!({"roles": ["DNS", "x"]}), dns(), known(Some(role(READ)))),
        (json!({"roles": ["account"]}), known(None), dns()),
        (json!({"roles": ["Administrator Read Only"]}), known(Some(group(7))), dns()),
        (json!({"kinds": ["group", "account"]}), known(Some(group(7))), dns()),
        (json!({"kinds": ["scoped_role"]}), known(Some(Entitlement::scoped(hex(DNS + 100), hex(50)))), dns()),
        (json!({"privileged": true}), known(Some(group(8))), dns()),
        (json!({"privileged": false}), dns(), known(Some(role(SUPER)))),
        (json!({"two_factor": true}), dns(), person(|known| known.person.two_factor = None)),
        (json!({"two_factor": false}), person(|known| known.person.two_factor = None), dns()),
        (json!({"domains": ["Example.com"]}), dns(), person(|known| known.person.email = Some("j@example.org".into()))),
        (json!({"in_allowed_domains": false}), person(|known| known.person.email = None), dns()),
        (json!({"status": ["invited", "none"]}), person(|known| known.person.status = Standing::Invited), dns()),
        (json!({"holds": ["Administrator Read Only"]}), dns(), person(|known| known.person.held.clear())),
        (json!({"roles": ["DNS"], "two_factor": false}), person(|known| known.person.two_factor = None), dns()),
    ] {
        let rules = json!({"allowed_domains": ["example.com"], "rules": [{"name": "mine", "when": when, "then": "deny", "comment": "No."}]});
        let decision = by(&rules, matching);
        assert_eq!((decision.rule.as_str(), decision.reason.as_str()), ("mine", "No."), "{when}");
        assert_ne!(by(&rules, other).rule, "mine", "{when}");
    }
}

#[test]
fn what_a_group_brings_counts_against_a_request_and_never_for_it() {
    let rules =
        |then: &str| json!({"rules": [{"name": "mine", "when": {"roles": ["Administrator Read Only"]}, "then": then}]});
    check(&rules("deny"), known(Some(group(7))), Verdict::Deny, "mine");
    check(&rules("approve"), known(Some(role(READ))), Verdict::Approve, "mine");
    check(&rules("approve"), known(Some(group(7))), Verdict::Deny, "otherwise");
}

/// Somebody who holds nothing asks for the user group Ops, which gives what `own` has; whoever is new comes with a first role.
fn asks_for_ops(own: &[Entitlement], first: Option<Entitlement>) -> Known {
    let mut asked = known(Some(group(7)));
    let like = asked.catalogue.get(group(7)).unwrap();
    let ops = CatalogueEntry { entitlement: group(9), name: "Ops".to_owned(), brings: own.to_vec(), ..like.clone() };
    asked.wanted = facts::RequestedAccess {
        entitlement: Some(group(9)),
        name: ops.name.clone(),
        brings: own.iter().copied().chain(first).collect(),
        is_whole: true,
    };
    asked.catalogue = Catalogue::of(catalogue().iter().cloned().chain([ops]).collect());
    asked.person.held.clear();
    asked
}

#[test]
fn one_request_that_brings_two_that_must_not_come_together_is_denied_as_the_second_of_two_is() {
    const BOTH: &[&str] = &["DNS", "Administrator Read Only"];
    let (dns, read) = (&BOTH[..1], &BOTH[1..]);
    let rule = |when: &Value, then: &str| {
        let own = json!({ "name": "own", "when": when, "then": then });
        json!({ "reassign_to": [BOSS], "rules": [own] })
    };
    for (roles, holds, own, first, is) in [
        (dns, read, &[role(READ), role(DNS)][..], None, true),
        (read, dns, &[role(READ), role(DNS)], None, true),
        (BOTH, BOTH, &[role(READ), role(DNS)], None, true),
        // With the invitation that somebody new needs for it.
        (dns, read, &[role(DNS)], Some(role(READ)), true),
        (read, dns, &[role(DNS)], Some(role(READ)), true),
        (&["Ops"], dns, &[role(READ)], Some(role(DNS)), true),
        // The controls: one of the two alone, and nothing is kept from itself.
        (dns, read, &[role(DNS)], None, false),
        (BOTH, BOTH, &[role(DNS)], None, false),
        (dns, dns, &[role(READ), role(DNS)], None, false),
        // Else nobody could ever have what the rule names.
        (&["Ops"], dns, &[role(READ), role(DNS)], None, false),
    ] {
        let when = json!({ "roles": roles, "holds": holds });
        for then in ["deny", "reassign", "approve"] {
            let decided = by(&rule(&when, then), asks_for_ops(own, first));
            // It speaks for nobody.
            assert_eq!(decided.rule == "own", is && then != "approve", "{when} {own:?} {first:?}: {decided:?}");
        }
    }
    let privileged = rule(&json!({ "privileged": true, "holds": ["DNS"] }), "deny");
    for (own, is) in [(&[role(SUPER), role(DNS)][..], true), (&[role(SUPER)], false), (&[role(DNS)], false)] {
        assert_eq!(by(&privileged, asks_for_ops(own, None)).rule == "own", is, "{own:?}");
    }
}

#[test]
fn a_privileged_role_is_approved_only_by_a_rule_that_says_so() {
    let rules = |when: Value| json!({"rules": [{"name": "mine", "when": when, "then": "approve"}]});
    let plain = rules(json!({"roles": ["super_admin"]}));
    check(&plain, known(Some(role(SUPER))), Verdict::Deny, "otherwise");
    let said = rules(json!({"roles": ["super_admin"], "privileged": true}));
    check(&said, known(Some(role(SUPER))), Verdict::Approve, "mine");
    let mut without = known(Some(role(SUPER)));
    without.person.two_factor = Some(false);
    check(&said, without, Verdict::Deny, "privileged-without-two-factor");
}

#[test]
fn nobody_is_asked_about_their_own_request() {
    let rules = json!({"reassign_to": ["subject", BOSS]});
    assert_eq!(by(&rules, known(Some(role(DNS)))).users, [BOSS]);
    let rules = json!({"reassign_to": ["subject"]});
    let decision = by(&rules, known(Some(role(DNS))));
    assert_eq!((decision.verdict, decision.users), (Verdict::Deny, vec![]));
    assert!(decision.reason.contains("concerned themselves"), "{}", decision.reason);
}

#[test]
fn nothing_is_approved_from_an_old_snapshot_or_without_facts_or_rules() {
    let rules = json!({"low_risk_roles": ["Administrator Read Only"], "max_snapshot_age_hours": 2});
    let mut old = known(Some(role(READ)));
    check(&rules, old.clone(), Verdict::Approve, "low-risk");
    for (age_secs, why) in [(Some(2 * 3600 + 1), "2 hours old"), (None, "not known when")] {
        old.age_secs = age_secs;
        let decision = by(&rules, old.clone());
        assert_eq!((decision.verdict, decision.rule.as_str()), (Verdict::Deny, "otherwise"));
        assert!(decision.reason.contains(why), "{}", decision.reason);
    }

    let unknown = Facts::Unknown("The connector has not read the Cloudflare account yet.".to_owned());
    let parsed = Rules::parse(&rules.to_string());
    assert_eq!(decide(&parsed, &unknown, &[]).verdict, Verdict::Deny);
    let broken = Rules::parse("{\"low_risk_roles\": \"Administrator Read Only\"}");
    for facts in [unknown, Facts::Known(Box::new(known(Some(role(READ)))))] {
        let decision = decide(&broken, &facts, &[]);
        assert_eq!((decision.verdict, decision.rule.as_str()), (Verdict::Deny, "broken-rules"));
        assert!(decision.reason.contains("APPROVAL_RULES (low_risk_roles: "), "{}", decision.reason);
    }
}

#[test]
fn rules_that_cannot_be_read_say_where_and_what_was_expected() {
    let rule = |rule: Value| json!({"rules": [{"name": "a", "then": "deny"}, rule]}).to_string();
    for (text, path, what) in [
        (String::new(), "the rules", "EOF"),
        ("[]".into(), "the rules", "expected an object"),
        (json!({"rules": [["a", {}, "deny"]]}).to_string(), "rules[0]", "expected an object"),
        (
            json!({"rules": [{"name": "a", "then": "deny", "when": []}]}).to_string(),
            "rules[0].when",
            "expected an object",
        ),
        ("{} {}".into(), "the rules", "trailing"),
        (json!({"domain": []}).to_string(), "domain", "allowed_domains"),
        (json!({"privileged_roles": "DNS"}).to_string(), "privileged_roles", "a sequence"),
        (json!({"privileged_roles": ["DNS", ""]}).to_string(), "privileged_roles[1]", "the name or the id of a role"),
        (json!({"allowed_domains": []}).to_string(), "allowed_domains", "one domain at least"),
        (json!({"allowed_domains": ["jane@example.com"]}).to_string(), "allowed_domains[0]", "without an @"),
        (json!({"unsafe_privileged": "approve"}).to_string(), "unsafe_privileged", "`deny` or `reassign`"),
        (json!({"unsafe_privileged": "reassign"}).to_string(), "unsafe_privileged", "set reassign_to"),
        (json!({"max_snapshot_age_hours": 0}).to_string(), "max_snapshot_age_hours", "1 to 8784"),
        (json!({"reassign_to": ["jane@example.com"]}).to_string(), "reassign_to[0]", "id of a ConductorOne user"),
        (json!({"reassign_to": vec![BOSS; 33]}).to_string(), "reassign_to", "32 users at most"),
        (rule(json!({"then": "deny"})), "rules[1]", "missing field `name`"),
        (rule(json!({"name": "a", "then": "deny"})), "rules[1].name", "no other rule"),
        (rule(json!({"name": "otherwise", "then": "deny"})), "rules[1].name", "no other rule"),
        (rule(json!({"name": "b", "then": "aprove"})), "rules[1].then", "`approve`, `reassign`, `deny`"),
        (rule(json!({"name": "b", "then": "reassign"})), "rules[1].then", "set reassign_to"),
        (rule(json!({"name": "b", "then": "approve"})), "rules[1].when", "must name what it approves"),
        (rule(json!({"name": "b", "then": "deny", "when": {"role": ["x"]}})), "rules[1].when.role", "unknown field"),
        (rule(json!({"name": "b", "then": "deny", "when": {"roles": []}})), "rules[1].when.roles", "one item at least"),
        (
            rule(json!({"name": "b", "then": "deny", "when": {"two_factor": "no"}})),
            "rules[1].when.two_factor",
            "a boolean",
        ),
        (
            rule(json!({"name": "b", "then": "deny", "when": {"in_allowed_domains": true}})),
            "rules[1].when.in_allowed_domains",
            "allowed_domains",
        ),
        (
            rule(json!({"name": "b", "then": "deny", "when": {"status": ["gone"]}})),
            "rules[1].when.status[0]",
            "`member`",
        ),
        (rule(json!({"name": "b", "then": "deny", "comment": "x".repeat(501)})), "rules[1].comment", "500 characters"),
        (
            rule(json!({"name": "b", "then": "deny", "reassign_to": [BOSS]})),
            "rules[1].reassign_to",
            "where then is reassign",
        ),
    ] {
        let error = Rules::parse(&text).map(|_| ()).unwrap_err();
        assert_eq!(error.path, path, "{text}: {error}");
        assert!(error.what.contains(what), "{text}: {error}");
    }
}

#[test]
fn names_that_the_account_does_not_have_are_found() {
    let (readers, nothing) = (format!("{:032x}", 7), format!("{:032x}", 77));
    let rules = json!({
        "privileged_roles": ["super_admin", "Supreme Being", nothing], "low_risk_roles": ["account"],
        "rules": [{"name": "a", "when": {"roles": ["DNS", readers], "holds": ["Nothing"]}, "then": "deny"}],
    });
    let unknown = Rules::parse(&rules.to_string()).unwrap().unknown_names(&catalogue());
    let expected = ["privileged_roles[1]: \"Supreme Being\"", "rules[0].when.holds[0]: \"Nothing\""];
    assert_eq!(unknown, [expected[0], &*format!("privileged_roles[2]: {nothing:?}"), expected[1]]);
}

/// Without a default role.
static MINIMAL: LazyLock<Configured> = LazyLock::new(Configured::default);

/// The app that asks.
static APPS: LazyLock<Apps> = LazyLock::new(|| Apps::configured(vec!["app1".to_owned()], None));

fn any() -> KnownBy<'static> {
    KnownBy {
        apps: &APPS,
        default_role: &MINIMAL,
        found_so_since: |_, _| Ok(Some(Desk::default().now())),
        looked_at: None,
    }
}

/// A published account: Jane holds read access; Platform makes Super Administrators; Joe is invited.
fn published() -> Desk {
    published_with(Posture::default(), crate::base::tree::BTreeMap::new())
}

fn published_with(posture: Posture, capabilities: crate::base::tree::BTreeMap<String, Capability>) -> Desk {
    let desk = Desk::new();
    crate::account::init(&desk).unwrap();
    snapshot::init(&desk).unwrap();
    crate::connect::init(&desk).unwrap();
    init(&desk).unwrap();
    let atom = |n: u8| Atom { access: Access::Allow, permission_group: hex(n + 100), resource_group: hex(99) };
    let unknown = |n: u8| Atom { access: Access::Unknown, ..atom(n) };
    let member = |n: u8, email: &str, status| Member {
        member_id: hex(n),
        user_id: (status == MemberStatus::Accepted).then(|| hex(n)),
        email: email.to_owned(),
        status,
        first_name: None,
        last_name: None,
        two_factor: (status == MemberStatus::Accepted).then_some(true),
        atoms: vec![atom(READ)],
        groups: vec![hex(8)],
        signs: crate::model::signs::Signs::default(),
    };
    let role = |n: u8, name: &str, label: &str| {
        Row::Role(Role {
            id: hex(n),
            name: name.to_owned(),
            description: None,
            permission_group: Some(hex(n + 100)),
            label: Some(label.to_owned()),
            ends: None,
        })
    };
    let mut rows = vec![
        role(SUPER, "Super Administrator - All Privileges", "super_admin"),
        role(READ, "Administrator Read Only", "minimal_account_access"),
        Row::Group(Group { id: hex(8), name: "Platform".to_owned(), atoms: vec![atom(SUPER)] }),
        Row::Group(Group { id: hex(10), name: "Readers".to_owned(), atoms: vec![atom(READ)] }),
        Row::Group(Group { id: hex(11), name: "Odd".to_owned(), atoms: vec![atom(READ), unknown(SUPER)] }),
        Row::member(member(20, "jane@example.com", MemberStatus::Accepted)),
        Row::member(member(21, "joe@example.com", MemberStatus::Pending)),
        Row::member(Member { groups: Vec::new(), ..member(22, "rita@example.com", MemberStatus::Accepted) }),
        Row::member(Member { groups: vec![hex(11)], ..member(23, "ted@example.com", MemberStatus::Accepted) }),
        Row::member(Member {
            groups: Vec::new(),
            atoms: vec![atom(READ), unknown(SUPER)],
            ..member(24, "una@example.com", MemberStatus::Accepted)
        }),
        // Given since the last sync: a scoped role that nobody else holds, of which that tells nothing therefore.
        Row::member(Member {
            groups: Vec::new(),
            atoms: vec![Atom { resource_group: hex(50), ..atom(DNS) }],
            ..member(25, "dora@example.com", MemberStatus::Accepted)
        }),
    ];
    rows.sort_by_key(Row::key);
    let draft = Draft {
        account_id: desk.account(),
        started_at: desk.now(),
        posture,
        capabilities,
        naming: Naming {
            account_resource_group: Some(hex(99)),
            roles: [SUPER, READ].into_iter().map(|n| (hex(n + 100), hex(n))).collect(),
        },
        previous: None,
    };
    block_on(snapshot::publish(&desk, draft, rows)).unwrap();
    desk
}

fn question(candidate: &str, email: &str) -> Question {
    Question {
        key: Some("task/step".to_owned()),
        actionable: Ok(()),
        action: Ok(Action::Grant),
        entitlement: EntitlementRef { candidates: vec![candidate.to_owned()], ..EntitlementRef::default() },
        subject: Subject { emails: vec![email.to_owned()], ..Subject::default() },
        ends_with_username: false,
        origin: Origin { by: WEBHOOK.to_owned(), app_id: Some("app1".to_owned()), ..Origin::default() },
        parties: Vec::new(),
    }
}

fn gathered(desk: &Desk, by: KnownBy<'_>, question: &Question) -> Known {
    match block_on(gather(desk, by, question)) {
        Facts::Known(known) => *known,
        Facts::Unknown(why) => panic!("{why}"),
    }
}

#[test]
fn a_request_is_resolved_against_the_published_snapshot() {
    let (desk, by) = (published(), any());
    desk.advance(90);
    let jane = gathered(&desk, by, &question(&format!("role:{READ:032x}:member"), "JANE@example.com"));
    assert_eq!((jane.wanted.name.as_str(), jane.age_secs), ("Administrator Read Only", Some(90)));
    assert_eq!((jane.person.status, jane.person.two_factor), (Standing::Member, Some(true)));
    assert_eq!(jane.person.held, [role(SUPER), role(READ), group(8)], "through the group as well");
    // By the permission group's own id, which provisioning takes too.
    let by_group = gathered(&desk, by, &question(&format!("role:{:032x}:member", READ + 100), "joe@example.com"));
    assert_eq!(by_group.wanted.entitlement, Some(role(READ)));
    assert_eq!((by_group.person.status, by_group.person.two_factor), (Standing::Invited, None));
    let platform = gathered(&desk, by, &question(&format!("group:{:032x}:member", 8), "new@example.com"));
    assert_eq!(
        (platform.wanted.brings, platform.person.status),
        (vec![role(SUPER), role(READ)], Standing::None),
        "with the role that the invitation for it comes with"
    );
    let platform = gathered(&desk, by, &question(&format!("group:{:032x}:member", 8), "jane@example.com"));
    assert_eq!(platform.wanted.brings, [role(SUPER)], "who is a member is not invited");
    let mut account = question("", "new@example.com");
    account.entitlement.builtin = true;
    assert_eq!(gathered(&desk, by, &account).wanted.brings, [role(READ)], "the role that comes with it");
}

#[test]
fn how_the_account_is_set_is_a_fact_only_where_the_token_may_read_it() {
    let domains = [("Example.com", "verified"), ("example.org", "pending")];
    let domains = domains.map(|(domain, state)| (domain.to_owned(), state.to_owned()));
    let posture =
        Posture { enforces_two_factor: Some(false), sso_domains: domains.into_iter().collect(), ..Posture::default() };
    let kept = GenerationId::parse("20261123T100000Z-7f3a09c1");
    for (on, kept_from, known) in [(true, None, true), (false, kept, true), (false, None, false)] {
        let list = Capability { on, message: None, kept_from, unreadable: None };
        let desk = published_with(posture.clone(), std::iter::once(("sso_domains".to_owned(), list)).collect());
        for (address, is_in) in [("jane@EXAMPLE.com", true), ("new@example.org", false), ("new@sub.example.com", false)]
        {
            let facts = gathered(&desk, any(), &question(&format!("role:{READ:032x}:member"), address));
            assert_eq!(facts.person.in_sso_domains, known.then_some(is_in), "{address} {on}");
            assert_eq!((facts.enforces_two_factor, facts.in_organization), (Some(false), None));
        }
    }
    let untold = gathered(&published(), any(), &question(&format!("role:{READ:032x}:member"), "jane@example.com"));
    assert_eq!((untold.person.in_sso_domains, untold.enforces_two_factor), (None, None));
    let within = Posture { organization: Some(("0".repeat(32), "The Group".to_owned())), ..Posture::default() };
    for (posture, is_in) in [(within, true), (Posture::default(), false)] {
        let list = Capability { on: true, message: None, kept_from: None, unreadable: None };
        let desk = published_with(posture, std::iter::once(("account".to_owned(), list)).collect());
        let facts = gathered(&desk, any(), &question(&format!("role:{READ:032x}:member"), "jane@example.com"));
        assert_eq!(facts.in_organization, Some(is_in));
    }
}

/// A list, in the order: whether it could be read, from when it is kept, and records that could not be read in full.
fn list_of(name: &str, on: bool, kept: bool, unreadable: &[String]) -> (String, Capability) {
    let count = unreadable.len() as u64;
    let first: Vec<String> = unreadable.iter().take(5).cloned().collect();
    let told = Capability {
        on,
        message: None,
        kept_from: kept.then(|| GenerationId::parse("20261023T100000Z-7f3a09c1").unwrap()),
        unreadable: (count > 0).then_some(Unreadable { count, first }),
    };
    (name.to_owned(), told)
}

/// Lists as a sync tells them of an account in which all could be read, but for these.
fn lists(but: &[(String, Capability)]) -> crate::base::tree::BTreeMap<String, Capability> {
    let all = ["user_groups", "user_group_members"].map(|name| list_of(name, true, false, &[]));
    all.into_iter().chain(but.iter().cloned()).collect()
}

fn odd(n: u8) -> String {
    format!("{n:032x}: policies is missing")
}

#[test]
fn what_a_user_group_brings_and_could_not_be_read_counts_against_a_request() {
    let rules = json!({
        "low_risk_roles": ["Readers", "Odd"], "reassign_to": [BOSS],
        "rules": [{ "name": "revokes", "when": { "action": "revoke" }, "then": "approve" }],
    });
    let said = json!({ "rules": [{ "name": "own", "when": { "roles": ["Readers", "Odd"], "privileged": true }, "then": "approve" }] });
    let strict = |when: Value| json!({ "rules": [{ "name": "own", "when": when, "then": "deny" }] });
    let of = |n: u8| format!("group:{n:032x}:member");
    let groups = |on, kept, unreadable: &[String]| lists(&[list_of("user_groups", on, kept, unreadable)]);
    let absent =
        Capability { message: Some(format!("{} user groups", snapshot::ABSENT)), ..list_of("", false, false, &[]).1 };
    let many: Vec<String> = (30..40).map(odd).collect();
    for (wanted, told, is_whole) in [
        (10, lists(&[]), true),
        (10, lists(&[("user_groups".to_owned(), absent)]), true),
        (10, groups(true, false, &[odd(8)]), true),
        (10, lists(&[list_of("user_group_members", false, true, &[])]), true),
        (10, groups(true, false, &[odd(8), odd(10)]), false),
        (10, groups(true, false, &["a record without an id: name is missing".to_owned()]), false),
        (10, groups(true, false, &["Readers: id is missing".to_owned()]), false),
        (10, groups(true, false, &many), false),
        (10, groups(true, true, &[]), false),
        (10, groups(false, true, &[]), false),
        (10, groups(false, false, &[]), false),
        (11, lists(&[]), false),
    ] {
        let desk = published_with(Posture::default(), told.clone());
        let asked = gathered(&desk, any(), &question(&of(wanted), "rita@example.com"));
        let what = format!("{wanted} {told:?}");
        let rule = |rules: &Value, known: &Known| by(rules, known.clone()).rule;
        assert_eq!(rule(&rules, &asked), if is_whole { "low-risk" } else { "otherwise" }, "{what}");
        assert_ne!(rule(&said, &asked), "own", "not privileged, or not known: {what}");
        for when in [json!({ "roles": ["super_admin"] }), json!({ "privileged": true })] {
            assert_eq!(rule(&strict(when.clone()), &asked) == "own", !is_whole, "{when} {what}");
        }
        assert_eq!(rule(&strict(json!({ "privileged": false })), &asked), "own", "{what}");
        let mut unsafe_one = asked.clone();
        unsafe_one.person.two_factor = None;
        let decision = by(&rules, unsafe_one);
        assert_eq!(decision.rule == "privileged-without-two-factor", !is_whole, "{what}: {decision:?}");
        let mut revoke = asked;
        revoke.action = Action::Revoke;
        assert_eq!(rule(&rules, &revoke), "revokes", "{what}");
    }
}

#[test]
fn who_may_be_among_the_members_that_could_not_be_read_is_not_taken_for_nobody() {
    let rules = |then: &str, status: &str| json!({ "rules": [{ "name": "own", "when": { "roles": ["Administrator Read Only"], "status": [status] }, "then": then }] });
    let unread = lists(&[list_of("members", true, false, &[odd(20)])]);
    for (email, told, is_known) in [
        ("new@example.com", lists(&[]), true),
        ("new@example.com", unread.clone(), false),
        ("rita@example.com", unread, true),
    ] {
        let desk = published_with(Posture::default(), told.clone());
        let asked = gathered(&desk, any(), &question(&format!("role:{READ:032x}:member"), email));
        let is = |then: &str, status: &str| by(&rules(then, status), asked.clone()).rule == "own";
        let is_nobody = email.starts_with("new");
        assert_eq!(is("approve", "none"), is_nobody && is_known, "{email} {told:?}");
        assert!(!is("approve", "member") || !is_nobody, "{email} {told:?}");
        assert_eq!(is("deny", "none"), is_nobody, "{email} {told:?}");
        assert_eq!(is("deny", "member"), !is_nobody || !is_known, "{email} {told:?}");
    }
}

#[test]
fn what_somebody_holds_and_could_not_be_read_counts_against_a_request() {
    let rules = json!({
        "low_risk_roles": ["Administrator Read Only"],
        "rules": [{ "name": "duties-apart", "when": { "roles": ["Administrator Read Only"], "holds": ["DNS"] }, "then": "deny" }],
    });
    let approve = json!({ "rules": [{ "name": "own", "when": { "roles": ["Administrator Read Only"], "holds": ["DNS"] }, "then": "approve" }] });
    let one = |list: &str, on, kept, unreadable: &[String]| lists(&[list_of(list, on, kept, unreadable)]);
    for (email, told, is_whole) in [
        ("rita@example.com", lists(&[]), true),
        ("rita@example.com", one("user_groups", false, false, &[]), false),
        ("rita@example.com", one("user_groups", true, true, &[]), false),
        // Who is in a group that could not be read is told all the same, where it is known which group that is.
        ("rita@example.com", one("user_groups", true, false, &[odd(8)]), true),
        ("rita@example.com", one("user_groups", true, false, &[odd(8), odd(10)]), true),
        ("rita@example.com", one("user_groups", true, false, &[odd(8), odd(77)]), false),
        ("rita@example.com", one("user_groups", true, false, &["Platform: id is missing".to_owned()]), false),
        ("rita@example.com", one("user_groups", true, false, &(0..9).map(|_| odd(8)).collect::<Vec<_>>()), false),
        ("jane@example.com", lists(&[]), true),
        ("jane@example.com", one("user_groups", true, false, &[odd(8)]), false),
        ("jane@example.com", one("user_groups", true, false, &[odd(10)]), true),
        ("rita@example.com", one("user_group_members", false, true, &[]), false),
        ("rita@example.com", one("user_group_members", true, false, &[odd(8)]), false),
        ("rita@example.com", one("members", true, false, &[odd(22)]), false),
        ("rita@example.com", one("members", true, false, &[odd(20)]), true),
        ("ted@example.com", lists(&[]), false),
        ("una@example.com", lists(&[]), false),
        ("dora@example.com", lists(&[]), false),
        // Who is no member is in no user group.
        ("new@example.com", one("user_groups", false, false, &[]), true),
        ("new@example.com", one("members", true, false, &[odd(20)]), false),
    ] {
        let desk = published_with(Posture::default(), told.clone());
        let asked = gathered(&desk, any(), &question(&format!("role:{READ:032x}:member"), email));
        let rule = by(&rules, asked.clone()).rule;
        assert_eq!(rule, if is_whole { "low-risk" } else { "duties-apart" }, "{email} {told:?}");
        assert_eq!(by(&approve, asked).rule, "otherwise", "{email} {told:?}");
    }
}

#[test]
fn an_account_brings_the_default_role_by_whatever_id_it_is_configured() {
    let desk = published_with(Posture::default(), lists(&[]));
    let mut account = question("", "new@example.com");
    account.entitlement.builtin = true;
    let rules = json!({ "allowed_domains": ["example.com"], "low_risk_roles": ["account"] });
    let names = [
        format!("role:{SUPER:032x}:member"),
        format!("{SUPER:032x}"),
        format!("role:{:032x}:member", SUPER + 100),
        "super_admin".to_owned(),
    ];
    for name in names {
        let by = KnownBy { default_role: &Configured::read(&name), ..any() };
        let known = gathered(&desk, by, &account);
        assert_eq!(known.wanted.brings, [role(SUPER)], "{name}");
        assert!(known.wanted.brings.iter().all(|it| known.catalogue.makes_super_administrator(*it)));
        check(&rules, known, Verdict::Deny, "privileged-without-two-factor");
    }
    // The controls: an account that comes with an ordinary role is of low risk, as the rules say, and so is one without a default role.
    let by = KnownBy { default_role: &Configured::read(&format!("role:{READ:032x}:member")), ..any() };
    check(&rules, gathered(&desk, by, &account), Verdict::Approve, "low-risk");
    check(&rules, gathered(&desk, any(), &account), Verdict::Approve, "low-risk");
    // Of a role that the generation does not list it is not known what it gives, be it to an account or to who is invited for a group.
    let readers = question(&format!("group:{:032x}:member", 10), "new@example.com");
    let of_groups = json!({ "low_risk_roles": ["Readers"] });
    check(&of_groups, gathered(&desk, any(), &readers), Verdict::Approve, "low-risk");
    let unlisted = [
        format!("role:{DNS:032x}:member"),
        format!("scoped_role:{:032x}-{:032x}:member", SUPER + 100, 50),
        format!("group:{:032x}:member", 10),
        "Nothing".to_owned(),
    ];
    for name in unlisted {
        let by = KnownBy { default_role: &Configured::read(&name), ..any() };
        for (rules, asked) in [(&rules, &account), (&of_groups, &readers)] {
            let known = gathered(&desk, by, asked);
            assert!(!known.wanted.is_whole, "{name}");
            check(rules, known, Verdict::Deny, "privileged-without-two-factor");
        }
        let jane = gathered(&desk, by, &Question { subject: Subject::of_email("jane@example.com"), ..readers.clone() });
        check(&of_groups, jane, Verdict::Approve, "low-risk");
    }
}

#[test]
fn the_person_is_whom_provisioning_would_change() {
    let (desk, by) = (published(), any());
    let asked = |action, email: &str, user: Option<u8>, member: Option<u8>| {
        let mut question = question(&format!("role:{READ:032x}:member"), email);
        question.action = Ok(action);
        (question.subject.user_id, question.subject.member_id) = (user.map(hex), member.map(hex));
        question
    };
    // Renamed since: the user id decides on a revoke, and a grant is for a person to look at.
    let renamed = gathered(&desk, by, &asked(Action::Revoke, "jane.maiden@example.com", Some(20), Some(20)));
    assert_eq!(renamed.person.email.as_deref(), Some("jane@example.com"));
    let unclear = [
        asked(Action::Grant, "jane.maiden@example.com", Some(20), Some(20)),
        asked(Action::Grant, "jane@example.com", Some(77), None),
        Question {
            subject: Subject { has_account: true, ..Subject::default() },
            ..asked(Action::Grant, "", None, None)
        },
    ];
    for question in unclear {
        assert!(matches!(block_on(gather(&desk, by, &question)), Facts::Unknown(_)), "{question:?}");
    }
    let mut both = asked(Action::Grant, "jane@example.com", None, None);
    both.subject.emails.push("joe@example.com".to_owned());
    assert!(matches!(block_on(gather(&desk, by, &both)), Facts::Unknown(_)));
    both.subject.user_id = Some(hex(20));
    assert_eq!(gathered(&desk, by, &both).person.two_factor, Some(true));
}

#[test]
fn a_snapshot_that_kv_does_not_show_yet_is_opened_by_its_own_name() {
    let desk = published();
    desk.values.borrow_mut().remove(&desk.key("current"));
    let jane = gathered(&desk, any(), &question(&format!("role:{READ:032x}:member"), "jane@example.com"));
    assert_eq!(jane.person.status, Standing::Member);
}

/// A user group of low risk may give more since, and what is decided is kept for good.
#[test]
fn nothing_is_decided_by_a_generation_before_the_last_one_which_is_waited_for() {
    let desk = published();
    let first = block_on(snapshot::latest(&desk)).unwrap().unwrap();
    let older = desk.values.borrow()[&desk.key("current")].clone();
    let mut rows = Vec::new();
    block_on(first.each(&desk, Kind::ALL, |row| rows.push(row))).unwrap();
    for row in &mut rows {
        if let Row::Group(readers) = row
            && readers.id == hex(10)
        {
            let all = Atom { access: Access::Allow, permission_group: hex(SUPER + 100), resource_group: hex(99) };
            readers.atoms = vec![all];
        }
    }
    desk.advance(60);
    let draft = Draft {
        account_id: desk.account(),
        started_at: desk.now(),
        posture: Posture::default(),
        capabilities: crate::base::tree::BTreeMap::new(),
        naming: first.manifest().naming.clone(),
        previous: Some(first.manifest().clone()),
    };
    let last = block_on(snapshot::publish(&desk, draft, rows)).unwrap().manifest.generation;
    // KV shows the one before here, and not yet the last one.
    desk.values.borrow_mut().insert(desk.key("current"), older);
    let manifest = desk.key(&format!("manifest/{last}"));
    let late = desk.values.borrow_mut().remove(&manifest).unwrap();
    let asked = question(&format!("group:{:032x}:member", 10), "rita@example.com");
    let before = desk.now();
    let Facts::Unknown(why) = block_on(gather(&desk, any(), &asked)) else { panic!("by the one before") };
    assert!(why.contains("has not reached this place yet"), "{why}");
    assert!(desk.now().since(before) > 5_000);
    // The control: it comes while it is waited for.
    desk.late.borrow_mut().insert(manifest, (2, late));
    let told = gathered(&desk, any(), &asked);
    assert_eq!((told.generation, told.wanted.brings), (last, vec![role(SUPER)]));
}

#[test]
fn a_generation_that_is_named_and_on_its_way_is_waited_for_and_not_taken_for_none() {
    let desk = published();
    let asked = question(&format!("role:{READ:032x}:member"), "jane@example.com");
    let manifest = desk.keys().into_iter().find(|key| key.contains("/manifest/")).unwrap();
    let late = desk.values.borrow_mut().remove(&manifest).unwrap();
    let Facts::Unknown(why) = block_on(gather(&desk, any(), &asked)) else { panic!("it cannot be read") };
    assert!(why.contains("cannot be read right now"), "{why}");
    desk.late.borrow_mut().insert(manifest, (2, late));
    assert_eq!(gathered(&desk, any(), &asked).person.status, Standing::Member);
    // The control: where nothing was published, nothing is waited for.
    let empty = Desk::new();
    snapshot::init(&empty).unwrap();
    crate::connect::init(&empty).unwrap();
    let before = empty.now();
    let Facts::Unknown(why) = block_on(gather(&empty, any(), &asked)) else { panic!("there is none") };
    assert!(why.contains("has not read the Cloudflare account yet"), "{why}");
    assert_eq!(empty.now(), before);
}

#[test]
fn what_cannot_be_resolved_is_decided_by_no_rule() {
    let (desk, by) = (published(), any());
    let good = question(&format!("role:{READ:032x}:member"), "jane@example.com");
    let mut app = good.clone();
    app.origin.app_id = Some("app2".to_owned());
    let no_app = Question { origin: Origin { app_id: None, ..good.origin.clone() }, ..good.clone() };
    let closed = Question { actionable: Err("the task is closed".to_owned()), ..good.clone() };
    let review = Question { action: Err("review".to_owned()), ..good.clone() };
    let mut two = good.clone();
    two.entitlement.candidates.push(format!("role:{SUPER:032x}:member"));
    let gone = question(&format!("role:{:032x}:member", 77), "jane@example.com");
    let cases = [
        (app, "ALLOWED_APPS"),
        (no_app, "names no app"),
        (closed, "closed"),
        (review, "review"),
        (two, "not clear"),
        (gone, "did not find"),
    ];
    for (question, why) in cases {
        let Facts::Unknown(sentence) = block_on(gather(&desk, by, &question)) else { panic!("{why}") };
        assert!(sentence.contains(why) && sentence.ends_with('.'), "{sentence}");
    }
    let empty = Desk::new();
    snapshot::init(&empty).unwrap();
    crate::connect::init(&empty).unwrap();
    assert!(matches!(block_on(gather(&empty, by, &good)), Facts::Unknown(_)));
    // KV lost a chunk: that is waited for a few seconds, not for ever.
    desk.values.borrow_mut().retain(|key, _| !key.contains("/chunk/"));
    let before = desk.now();
    let Facts::Unknown(sentence) = block_on(gather(&desk, by, &good)) else { panic!() };
    assert!(sentence.contains("cannot be read right now"), "{sentence}");
    assert!(desk.now().since(before) < 10_000);
}

#[test]
fn a_question_has_one_decision_whoever_comes_second() {
    let (desk, by) = (published(), any());
    let question = question(&format!("role:{SUPER:032x}:member"), "jane@example.com");
    let facts = block_on(gather(&desk, by, &question));
    let decision = decide(&Ok(Rules::default()), &facts, &[]);
    let first = keep(&desk, &Record::new(&question, &facts, &decision, desk.now())).unwrap();
    assert_eq!((first.verdict, first.email.as_deref()), (Verdict::Deny, Some("jane@example.com")));
    assert!(first.comment.contains("from the account as it was 0 seconds ago (generation "), "{}", first.comment);
    desk.advance(60);
    let other = Decision { verdict: Verdict::Approve, ..decision };
    let second = keep(&desk, &Record::new(&question, &facts, &other, desk.now())).unwrap();
    assert_eq!(second, first);
    let Before::Decided(found) = find(&desk, "task/step").unwrap() else { panic!("it was decided") };
    assert_eq!(*found, first);
    assert!(matches!(find(&desk, "task/other").unwrap(), Before::Nothing));

    let unnamed = Question { key: None, ..question };
    let third = keep(&desk, &Record::new(&unnamed, &facts, &other, desk.now())).unwrap();
    assert_ne!(third.id, first.id);
    let text = |text: &str| Some(text.to_owned());
    let found = |filter: Filter| list(&desk, &filter, 10).unwrap().into_iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(found(Filter::default()), [third.id, first.id]);
    assert_eq!(found(Filter { verdict: text("deny"), ..Filter::default() }), [first.id]);
    assert_eq!(
        found(Filter { member: text("Jane@Example.com"), before: Some(third.id), ..Filter::default() }),
        [first.id]
    );
    assert_eq!(
        found(Filter { entitlement: text(&format!("{SUPER:032x}")), since: Some(desk.now()), ..Filter::default() }),
        [third.id]
    );
    purge(&desk, desk.now()).unwrap();
    assert_eq!(found(Filter::default()), [third.id]);
    // Of a newer version, it may say something else than it seems to: it is neither shown nor repeated, and not none either.
    rows::begin(&desk).unwrap();
    desk.query("UPDATE decision SET version = 2, key = 'task/step'", &[]).unwrap();
    assert!(matches!(find(&desk, "task/step").unwrap(), Before::Unreadable) && found(Filter::default()).is_empty());
    assert_eq!(rows::counts(&desk).unwrap()[0].table, "decision");
}

#[test]
fn only_documents_that_c1_takes_leave_however_long_a_reason_is() {
    let (desk, by) = (published(), any());
    let question = question(&format!("role:{SUPER:032x}:member"), "jane@example.com");
    for facts in [block_on(gather(&desk, by, &question)), Facts::Unknown("x".repeat(5000))] {
        for verdict in [Verdict::Approve, Verdict::Reassign, Verdict::Deny] {
            let users = if verdict == Verdict::Reassign { vec![BOSS.to_owned(); 32] } else { Vec::new() };
            let decision = Decision { verdict, rule: "ü".repeat(64), reason: "é".repeat(2000), users };
            let record = Record::new(&question, &facts, &decision, desk.now());
            let document = record.document().to_json();
            let event = "c1.webhooks.v1.PayloadPolicyApprovalStep";
            let taken = sim::conductorone::parse_response(event, document.as_bytes());
            assert!(taken.is_ok(), "{taken:?}");
            assert!(record.comment.contains("Decided by the connector's rule"), "{}", record.comment);
        }
    }
    // What the change would come to gives way first, then the reason; the rule and the age stay.
    let known = gathered(&desk, by, &question);
    let told = |reason: &str, line: &str| {
        let facts = Facts::Known(Box::new(Known { what_if: Some(line.to_owned()), ..known.clone() }));
        let (rule, users) = ("z".repeat(64), Vec::new());
        let decision = Decision { verdict: Verdict::Deny, rule, reason: reason.to_owned(), users };
        let document = Record::new(&question, &facts, &decision, desk.now()).document().to_json();
        let document: Value = serde_json::from_str(&document).unwrap();
        let comment = document["deny"]["comment"].as_str().unwrap().to_owned();
        assert!(comment.chars().count() <= 1024, "{comment}");
        let is_told = comment.contains(&"z".repeat(64)) && comment.ends_with(&format!("{}).", known.generation));
        assert!(is_told && comment.contains("0 seconds ago"), "{comment}");
        comment
    };
    let count = |comment: &str, letter: char| comment.chars().filter(|it| *it == letter).count();
    let short = told("Why.", "What.");
    assert!(short.starts_with("Why. What. Decided by"), "{short}");
    let both = told(&"\u{e9}".repeat(600), &"\u{fc}".repeat(600));
    assert_eq!((count(&both, '\u{e9}'), both.chars().count()), (600, 1024), "{both}");
    let much = told(&"\u{e9}".repeat(2000), &"\u{fc}".repeat(600));
    assert_eq!((count(&much, '\u{fc}'), much.chars().count()), (0, 1024), "{much}");
}
