//! Holds a generation against the rules: one pass over its people and tokens, a few chunks in memory at a time.

use crate::base::tree::{BTreeMap, BTreeSet};

use super::book::{self, Found};
use super::rules::{Person, RULES, Rule, Test, Whole};
use super::settings::Settings;
use crate::base::jobs::{Attempt, Job};
use crate::base::ports::{Clock, KeyValue, Sql, SqlError};
use crate::base::time::Timestamp;
use crate::model::access::Access;
use crate::model::grant::Entitlement;
use crate::model::kind::{Kind, Trait};
use crate::model::resource::{Member, MemberStatus, Row};
use crate::snapshot::{Catalogue, GenerationId, Snapshot, SnapshotError};

/// So many findings of one rule are kept, 1 KB each; one more says how many there are beside.
const MOST: usize = 500;

/// So many names are told in a finding's evidence.
const TOLD: usize = 10;

/// Cloudflare's labels of what is privileged.
const PRIVILEGED: [&str; 2] = ["super_admin", "admin"];

/// One attempt to work the findings out. The job's subject begins with the generation.
pub async fn attempt<P: KeyValue + Clock + Sql>(ports: &P, settings: &Settings, keep_days: i64, job: &Job) -> Attempt {
    let Some(generation) = job.subject.split(' ').next().and_then(GenerationId::parse) else {
        return Attempt::GivenUp(format!("{:?} is no generation.", job.subject));
    };
    let survey = match survey(ports, settings, &generation).await {
        Ok(survey) => survey,
        // Of a generation that is gone there is nothing to find; the newer one has a job of its own.
        Err(SnapshotError::Gone(_)) => return Attempt::Done("The generation is not kept any more.".to_owned()),
        Err(error) => return Attempt::Again(format!("The generation cannot be read: {error}.")),
    };
    let done = survey.note(ports, ports.now()).and_then(|(open, opened, closed)| {
        book::purge(ports, ports.now().plus_secs(-keep_days * 86_400))?;
        Ok(format!("{open} findings, {opened} of them new; {closed} are closed."))
    });
    done.map_or_else(|error: SqlError| Attempt::Again(format!("The findings cannot be kept: {error}.")), Attempt::Done)
}

/// What was found in a generation.
struct Survey<'a> {
    settings: &'a Settings,
    now: Timestamp,
    found: Vec<Found>,
    /// How many each rule found.
    counts: BTreeMap<&'static str, usize>,
    whole: Whole,
}

async fn survey<'a, P: KeyValue + Clock>(
    ports: &P,
    settings: &'a Settings,
    generation: &GenerationId,
) -> Result<Survey<'a>, SnapshotError> {
    let snapshot = Snapshot::open(ports, generation).await?;
    let catalogue = Catalogue::load(ports, &snapshot).await?;
    let mut survey =
        Survey { settings, now: ports.now(), found: Vec::new(), counts: BTreeMap::new(), whole: Whole::default() };
    let unread = snapshot.manifest().capabilities.get("members").and_then(|members| members.unreadable.as_ref());
    survey.whole.unread = unread.map(|unread| (unread.count, unread.first.clone())).unwrap_or_default();
    snapshot.each(ports, Kind::PEOPLE, |row| survey.person(&row, &catalogue, &snapshot)).await?;
    let secrets: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| kind.facts().is_a == Trait::Secret).collect();
    snapshot.each(ports, &secrets, |row| survey.token(&row)).await?;
    for rule in RULES {
        if let Test::Account(test) = rule.test {
            let evidence = test(&survey.whole, settings);
            survey.add(rule, "account", "the account", evidence);
        }
    }
    Ok(survey)
}

impl Survey<'_> {
    fn add(&mut self, rule: &Rule, about: &str, name: &str, evidence: Option<String>) {
        let Some(evidence) = evidence else { return };
        let count = self.counts.entry(rule.name).or_default();
        *count += 1;
        if *count <= MOST {
            let (id, about, name) = (format!("{}:{about}", rule.name), about.to_owned(), name.to_owned());
            self.found.push(Found { id, rule: rule.name, severity: rule.severity, about, name, evidence });
        }
    }

    fn person(&mut self, row: &Row, catalogue: &Catalogue, snapshot: &Snapshot) {
        let Some(member) = row.as_member() else { return };
        let held = snapshot.manifest().grants_of(row).into_iter().map(|(entitlement, _)| entitlement);
        let held: BTreeSet<Entitlement> = held.collect();
        let through: BTreeSet<Entitlement> =
            held.iter().filter_map(|&it| catalogue.get(it)).flat_map(|it| it.brings.iter().copied()).collect();
        let privileged: BTreeSet<Entitlement> =
            held.union(&through).copied().filter(|&it| is_privileged(catalogue, it)).collect();
        let is_super = privileged.iter().any(|&it| catalogue.makes_super_administrator(it));
        if is_super && member.status == MemberStatus::Accepted {
            self.whole.super_administrator_count += 1;
            if self.whole.super_administrators.len() < TOLD {
                self.whole.super_administrators.push(member.email.clone());
            }
        }
        let names = |all: &mut dyn Iterator<Item = Entitlement>| all.take(TOLD).map(|it| catalogue.name(it)).collect();
        let of = |access| member.atoms.iter().filter(|atom| atom.access == access).count();
        let person = Person {
            member,
            privileged: names(&mut privileged.iter().copied()),
            twice: names(&mut held.intersection(&through).copied()),
            denied: of(Access::Deny),
            unknown: of(Access::Unknown),
        };
        let (key, name) = (row.key(), shown(member));
        for rule in RULES {
            if let Test::Person(test) = rule.test {
                let evidence = test(&person, self.settings);
                self.add(rule, &key, &name, evidence);
            }
        }
    }

    fn token(&mut self, row: &Row) {
        let Some(token) = row.as_token() else { return };
        for rule in RULES {
            if let Test::Token(test) = rule.test {
                let evidence = test(token, self.settings, self.now);
                self.add(rule, &row.key(), &token.name, evidence);
            }
        }
    }

    /// Notes what is new, what is told otherwise and what is over. Gives how many there are, how many of them are new, and how many
    /// are over.
    fn note(mut self, sql: &dyn Sql, now: Timestamp) -> Result<(usize, usize, usize), SqlError> {
        for rule in RULES {
            let more = self.counts.get(rule.name).copied().unwrap_or_default().saturating_sub(MOST);
            let evidence = (more > 0).then(|| format!("{more} more than are listed one by one"));
            if let Some(evidence) = evidence {
                let (id, about, name) = (format!("{}:more", rule.name), "account".to_owned(), "others".to_owned());
                self.found.push(Found { id, rule: rule.name, severity: rule.severity, about, name, evidence });
            }
        }
        let mut before = book::unclosed(sql)?;
        let mut opened = 0;
        for found in &self.found {
            let known = before.remove(&found.id);
            opened += usize::from(known.is_none());
            if known.as_ref() != Some(&found.evidence) {
                book::note(sql, found, known.is_none(), now)?;
            }
        }
        for id in before.keys() {
            book::close(sql, id, now)?;
        }
        Ok((self.found.len(), opened, before.len()))
    }
}

/// The name and the address, where there is a name.
fn shown(member: &Member) -> String {
    match member.display_name() {
        name if name == member.email => name,
        name => format!("{name} <{}>", member.email),
    }
}

/// Whether an entitlement gives everything or nearly so; what a user group gives is judged one by one.
fn is_privileged(catalogue: &Catalogue, it: Entitlement) -> bool {
    let label = catalogue.get(it).and_then(|it| it.label.as_deref());
    let is_group = matches!(it, Entitlement::Group(_));
    !is_group && (label.is_some_and(|label| PRIVILEGED.contains(&label)) || catalogue.makes_super_administrator(it))
}
