//! Approvals: whether C1 should approve a task, deny it or ask others, by rules over what the account is known to be.
//!
//! Of the rules that match, the strictest decides: deny, then reassign, then approve; among equals the first. C1 takes no
//! abstention (`reference/conductorone.md` 1.4), so where no rule matches others are asked, or it is denied.
//!
//! **Invariants:** what decides does no I/O and reads no clock. Nothing is approved but by a rule that names what is asked for, from
//! facts that are all known and recent; rules that cannot be read approve nothing.

pub(crate) mod facts;
pub mod record;
mod rules;
#[cfg(test)]
mod tests;
mod words;

pub use facts::{Facts, Known, KnownBy, Person, Question, gather};
pub use rules::{InvalidRules, Rules, Verdict};

use std::{iter, slice};

use crate::conductorone::response::Document;
use crate::model::ask::Action;
use crate::model::grant::Entitlement;
use crate::model::super_administrator;
use crate::snapshot::{Catalogue, CatalogueEntry};
use rules::{BROKEN, LOW_RISK, OTHERWISE, OUTSIDE_DOMAINS, Rule, RuleTarget, Status, Unsafe, WITHOUT_TWO_FACTOR};
use words::{Domain, Name, RoleName, UserId};

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// How it is answered.
    pub verdict: Verdict,
    /// The name of the rule that decided.
    pub rule: String,
    /// Why, as sentences.
    pub reason: String,
    /// Who is asked instead, by their C1 ids; nobody unless `verdict` is to reassign.
    pub users: Vec<String>,
}

impl Decision {
    /// The answer to C1, with these sentences.
    pub fn document(&self, comment: String) -> Document {
        match self.verdict {
            Verdict::Approve => Document::Approve(comment),
            Verdict::Deny => Document::Deny(comment),
            Verdict::Reassign => Document::Reassign { comment, users: self.users.clone() },
        }
    }
}

/// Decides. `parties` are the C1 ids of those whom the task is about and by: nobody is asked about their own.
pub fn decide(rules: &Result<Rules, InvalidRules>, facts: &Facts, parties: &[String]) -> Decision {
    let rules = match rules {
        Ok(rules) => rules,
        Err(error) => {
            return Decision {
                verdict: Verdict::Deny,
                rule: BROKEN.to_owned(),
                reason: format!(
                    "The connector's rules cannot be read, so nothing is approved; whoever runs it should mend APPROVAL_RULES ({error}), then ask again."
                ),
                users: Vec::new(),
            };
        }
    };
    let known = match facts {
        Facts::Known(known) => known,
        Facts::Unknown(why) => return otherwise(rules, why, parties),
    };
    let mut matching = built_in(rules, known);
    let own = rules.own.iter().filter(|rule| matches(rules, rule, known)).map(|rule| Match {
        verdict: rule.then,
        rule: &rule.name.0,
        reason: rule.comment.as_ref().map_or_else(|| described(rule.then, known), |comment| comment.0.clone()),
        users: if rule.reassign_to.is_empty() { &rules.reassign_to } else { &rule.reassign_to },
    });
    matching.extend(own);
    let most = rules.max_snapshot_age_hours.0 * 60 * 60;
    let stale = known.age_secs.is_none_or(|age| age > most);
    if stale {
        matching.retain(|found| found.verdict != Verdict::Approve);
    }
    // Of equals the first: max_by_key gives the last.
    match matching.into_iter().rev().max_by_key(|found| found.verdict) {
        Some(found) if found.verdict == Verdict::Reassign => reassign(found.rule, &found.reason, found.users, parties),
        Some(found) => {
            Decision { verdict: found.verdict, rule: found.rule.to_owned(), reason: found.reason, users: Vec::new() }
        }
        None if stale => {
            let why = match known.age_secs {
                Some(age) => {
                    let hours = age / 3600;
                    format!("The last sync of the account is {hours} hours old, too old to approve anything from it.")
                }
                None => "It is not known when a sync last looked through the account, and nothing is approved until the next one has.".to_owned(),
            };
            otherwise(rules, &why, parties)
        }
        None => {
            let unread = if known.wanted.is_whole { "" } else { ", and what it brings could not all be read" };
            otherwise(rules, &format!("No rule of the connector decides about {}{unread}.", known.wanted.name), parties)
        }
    }
}

struct Match<'a> {
    verdict: Verdict,
    rule: &'a str,
    reason: String,
    users: &'a [UserId],
}

/// The rules that are always there.
fn built_in<'a>(rules: &'a Rules, known: &Known) -> Vec<Match<'a>> {
    let mut found = Vec::new();
    if known.action != Action::Grant {
        return found;
    }
    let (name, who) = (&known.wanted.name, known.person.shown());
    let strict = match rules.unsafe_privileged {
        Unsafe::Deny => Verdict::Deny,
        Unsafe::Reassign => Verdict::Reassign,
    };
    let users = rules.reassign_to.as_slice();
    let privileged = is_privileged(rules, known);
    let is = if known.wanted.is_whole {
        "is privileged"
    } else {
        "counts as privileged, since what it brings could not all be read"
    };
    if privileged && known.person.two_factor != Some(true) {
        let what = match (known.person.two_factor, &known.person.status) {
            (Some(_), _) => "has no two-factor authentication in Cloudflare",
            (None, facts::Standing::None) => {
                "is not in the Cloudflare account yet, so two-factor authentication is not known"
            }
            (None, _) => "has not shown Cloudflare any two-factor authentication yet",
        };
        let reason = format!("{name} {is}, and {who} {what}.");
        found.push(Match { verdict: strict, rule: WITHOUT_TWO_FACTOR, reason, users });
    }
    let outside = rules.allowed_domains.as_ref().and_then(|domains| address_in(domains, known, false));
    if let Some(address) = outside.filter(|_| privileged) {
        let reason = format!("{name} {is}, and {address} is outside the domains that may have it.");
        found.push(Match { verdict: strict, rule: OUTSIDE_DOMAINS, reason, users });
    }
    if is_alone(&rules.low_risk_roles, known) && !privileged && outside.is_none() {
        let reason = format!("{name} is on the list of roles that are approved without asking.");
        found.push(Match { verdict: Verdict::Approve, rule: LOW_RISK, reason, users });
    }
    found
}

fn matches(rules: &Rules, rule: &Rule, known: &Known) -> bool {
    let when = &rule.when;
    let (privileged, is_strict) = (is_privileged(rules, known), rule.then != Verdict::Approve);
    // What a user group brings with it counts against a request, never for it; and what could not be read may be anything.
    let may_bring_more = is_strict && !known.wanted.is_whole;
    let asked_for = |names: &Vec<RoleName>| {
        if is_strict {
            is_one_of(names, known, true) || may_bring_more || brings_one_of(names, known, None)
        } else {
            is_alone(names, known)
        }
    };
    let named = when.roles.as_ref().or((when.privileged == Some(true)).then_some(&rules.privileged_roles));
    let holds = |names: &Vec<RoleName>| {
        let coming = known.person.coming.iter().filter(|_| is_strict);
        // One request may bring two, as if one were asked for after the other; but what a rule names itself may give what it gives.
        let beside = known.wanted.brings.iter().filter(|it| {
            is_strict
                && named.is_some_and(|named| match known.wanted.entitlement {
                    Some(wanted) if is_one_of(named, known, true) => !known.catalogue.given_by(wanted).contains(it),
                    _ => brings_one_of(named, known, Some(**it)),
                })
        });
        let held = known.person.held.iter().chain(coming).chain(beside);
        let mut held = held.filter_map(|it| known.catalogue.get(*it));
        (is_strict && !known.person.is_whole)
            || held.any(|it| {
                let is_it = |name: &&RoleName| means(name, it, known, is_strict);
                names.iter().filter(is_it).any(|name| is_strict || is_sole(name, it.entitlement, &known.catalogue))
            })
    };
    let domains = |domains: &Vec<Domain>| is_in(domains, known, true, is_strict);
    let allowed =
        |wanted| rules.allowed_domains.as_ref().map_or(wanted, |allowed| is_in(allowed, known, wanted, is_strict));
    // As long as nobody looked, and where the person may be among those who are not listed, whatever is strict holds.
    let found = |names: &Vec<Name>| match &known.findings {
        Some(open) => {
            let is_found = |name: &Name| open.contains(&name.0) || (is_strict && known.perhaps.contains(&name.0));
            names.iter().any(is_found)
        }
        None => is_strict,
    };
    // What is not known is no reason to approve, and no reason to do without a rule that is strict about what is missing.
    let posture = |fact: Option<bool>| move |wanted: bool| fact.map_or(!wanted && is_strict, |fact| fact == wanted);
    let status = match known.person.status {
        facts::Standing::Member => Status::Member,
        facts::Standing::Invited => Status::Invited,
        facts::Standing::None => Status::None,
    };
    let is_unclear = status == Status::None && !known.person.is_whole;
    when.action() == known.action
        && when.roles.as_ref().is_none_or(asked_for)
        && when.kinds.as_ref().is_none_or(|kinds| kinds.contains(&asked(known)))
        && when.privileged.is_none_or(|wanted| wanted == privileged || may_bring_more)
        && when.two_factor.is_none_or(|wanted| wanted == (known.person.two_factor == Some(true)))
        && when.domains.as_ref().is_none_or(domains)
        && when.in_allowed_domains.is_none_or(allowed)
        && when.in_sso_domains.is_none_or(posture(known.person.in_sso_domains))
        && when.account_enforces_two_factor.is_none_or(posture(known.enforces_two_factor))
        // To be in none is what is safe: where it is not known, it counts as being in one.
        && when.account_in_organization.is_none_or(|wanted| posture(known.in_organization.map(|is_in| !is_in))(!wanted))
        // Who is not among the members that could be read may be one of the others.
        && when.status.as_ref().is_none_or(|wanted| if is_unclear { is_strict } else { wanted.contains(&status) })
        && when.holds.as_ref().is_none_or(holds)
        && when.findings.as_ref().is_none_or(found)
        && when.idle_days.is_none_or(|wanted| known.idle_days.is_some_and(|days| days >= wanted.0))
        // A rule approves a privileged role only where it says so itself.
        && (is_strict
            || known.action == Action::Revoke
            || (known.wanted.is_whole && (!privileged || when.privileged == Some(true))))
}

fn asked(known: &Known) -> RuleTarget {
    known.wanted.entitlement.map_or(RuleTarget::Account, |entitlement| RuleTarget::Of(entitlement.kind()))
}

/// What is asked for has one of these names.
fn is_one_of(names: &[RoleName], known: &Known, is_strict: bool) -> bool {
    let it = known.wanted.entitlement.and_then(|wanted| known.catalogue.get(wanted));
    names.iter().any(|name| match it {
        Some(it) => means(name, it, known, is_strict),
        None => known.wanted.entitlement.is_none() && name.is_account(),
    })
}

/// What is asked for has one of these names, and nothing else is called so: a user group that is called as a role is, or as its permission
/// group, approves nothing. `account` is the account alone, which has no id.
fn is_alone(names: &[RoleName], known: &Known) -> bool {
    let Some(wanted) = known.wanted.entitlement else { return is_one_of(names, known, false) };
    let mut meant = names.iter().filter(|name| is_one_of(slice::from_ref(name), known, false) && !name.is_account());
    meant.any(|name| is_sole(name, wanted, &known.catalogue))
}

/// Whether a name that means something means nothing else: no other thing is called so, and no group is where it is a role's, or a role where it is a
/// group's.
fn is_sole(name: &RoleName, wanted: Entitlement, catalogue: &Catalogue) -> bool {
    let is_group = |it: Entitlement| matches!(it, Entitlement::Group(_));
    let is_other = |it: &CatalogueEntry| is_group(it.entitlement) != is_group(wanted) && name.is(it);
    let called = catalogue.iter().filter(|it| name.is_called(it));
    called.count() < 2 && !catalogue.iter().any(is_other)
}

/// What is asked for brings something with one of these names, and that is not this one.
fn brings_one_of(names: &[RoleName], known: &Known, but: Option<Entitlement>) -> bool {
    let brought = known.wanted.brings.iter().filter(|it| Some(**it) != but).filter_map(|it| known.catalogue.get(*it));
    brought.into_iter().any(|it| names.iter().any(|name| means(name, it, known, true)))
}

/// Whether a name in the rules means something. Super Administrator is known by more than the label, which Cloudflare may leave out: it
/// would be a role like any other then. What is strict about a role by its id is so about every part of the account, as by the role's name.
fn means(name: &RoleName, it: &CatalogueEntry, known: &Known, is_strict: bool) -> bool {
    let of_role = name.role().filter(|_| is_strict).and_then(|id| {
        let role = known.catalogue.get(Entitlement::Role(id));
        role.map_or_else(|| Some(id.into()), |role| role.permission_group)
    });
    name.is(it)
        || (of_role.is_some() && of_role == it.permission_group)
        || (super_administrator::is_label(Some(&name.text))
            && it.brings.is_empty()
            && known.catalogue.makes_super_administrator(it.entitlement))
}

fn is_privileged(rules: &Rules, known: &Known) -> bool {
    !known.wanted.is_whole
        || is_one_of(&rules.privileged_roles, known, true)
        || brings_one_of(&rules.privileged_roles, known, None)
}

/// The first of the person's addresses that is in one of these domains, or in none where that is not `wanted`; one that is not known is in none.
fn address_in<'k>(domains: &[Domain], known: &'k Known, wanted: bool) -> Option<&'k str> {
    let is_so = |address: &&String| domains.iter().any(|domain| domain.has(address)) == wanted;
    match &known.person.email {
        Some(email) => iter::once(email).chain(&known.person.others).find(is_so).map(String::as_str),
        None => (!wanted).then(|| known.person.shown()),
    }
}

/// Whether the person's address is in one of these domains, or in none where that is not `wanted`. Who may turn out to have any of several has each
/// against a request, and all of them for it.
fn is_in(domains: &[Domain], known: &Known, wanted: bool, is_strict: bool) -> bool {
    address_in(domains, known, wanted == is_strict).is_some() == is_strict
}

fn described(verdict: Verdict, known: &Known) -> String {
    let (name, who) = (&known.wanted.name, known.person.shown());
    let what = match known.action {
        Action::Grant => format!("{name} for {who}"),
        Action::Revoke => format!("taking {name} from {who}"),
    };
    match verdict {
        Verdict::Approve => format!("A rule of the connector approves {what}."),
        Verdict::Reassign => format!("A rule of the connector leaves {what} to others."),
        Verdict::Deny => format!("A rule of the connector denies {what}."),
    }
}

/// Whether anybody can be asked where no rule decides, who is none of these.
pub fn can_reassign(rules: &Result<Rules, InvalidRules>, parties: &[String]) -> bool {
    rules.as_ref().is_ok_and(|rules| rules.reassign_to.iter().any(|user| !parties.contains(&user.0)))
}

/// Nothing decides: others are asked where there are any, and else it is denied.
fn otherwise(rules: &Rules, why: &str, parties: &[String]) -> Decision {
    reassign(OTHERWISE, why, &rules.reassign_to, parties)
}

fn reassign(rule: &str, why: &str, users: &[UserId], parties: &[String]) -> Decision {
    let others: Vec<String> = users.iter().map(|user| user.0.clone()).filter(|user| !parties.contains(user)).collect();
    let (verdict, reason) = if !others.is_empty() {
        (Verdict::Reassign, why.to_owned())
    } else if users.is_empty() {
        (
            Verdict::Deny,
            format!("{why} Nobody is set who could be asked instead (reassign_to in APPROVAL_RULES), so it is denied."),
        )
    } else {
        (Verdict::Deny, format!("{why} Those who could be asked instead are concerned themselves, so it is denied."))
    };
    Decision { verdict, rule: rule.to_owned(), reason, users: others }
}

impl Rules {
    /// The names in the rules that nothing in the account has, each with where it stands.
    pub fn unknown_names(&self, catalogue: &Catalogue) -> Vec<String> {
        self.names(|name, _| !name.is_account() && !catalogue.iter().any(|it| name.is(it)))
    }

    /// The names in what approves that several things in the account have, each with where it stands: nothing is approved by those.
    pub fn ambiguous_names(&self, catalogue: &Catalogue) -> Vec<String> {
        self.names(|name, approves| {
            let mut meant = catalogue.iter().filter(|it| name.is(it)).peekable();
            approves
                && !name.is_account()
                && meant.peek().is_some()
                && !meant.any(|it| is_sole(name, it.entitlement, catalogue))
        })
    }

    /// The names in the rules of which something is so, each with where it stands; it is told whether they are in what approves.
    fn names(&self, is_so: impl Fn(&RoleName, bool) -> bool) -> Vec<String> {
        let names = self.role_names().into_iter().filter(|(_, name, approves)| is_so(name, *approves));
        names.map(|(path, name, _)| format!("{path}: {:?}", name.text)).collect()
    }

    /// How many rules of one's own there are, and how many people may be asked.
    pub fn counts(&self) -> (usize, usize) {
        (self.own.len(), self.reassign_to.len())
    }
}
