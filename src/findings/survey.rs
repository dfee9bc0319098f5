//! Holds a generation against the rules: one pass over its people and tokens, a few chunks in memory at a time.

use crate::base::tree::{BTreeMap, BTreeSet};

use super::book::{self, Match, OTHERS};
use super::extent::{Extent, MOST_NAMED, mark};
use super::rules::{
    IDLE, OUTSIDE, POWERFUL, Person, RULES, Rule, STRONGER, TOO_FEW, Test, WITHOUT_FACTOR, Whole, Withdrawn,
    severity_of,
};
use super::secrets::{IsOne, Maker, Secret, days, gives_nothing, reads_only};
use super::settings::Settings;
use crate::account::expiry::{self, Overdue};
use crate::audit::signs::{Silence, Watch};
use crate::base::jobs::{self, Attempt, Job, JobKind, State};
use serde_json::Value;

use crate::base::ports::{Clock, KeyValue, Sql, SqlError};
use crate::base::time::Timestamp;
use crate::ledger::record;
use crate::model::access::{Access, Atom};
use crate::model::address;
use crate::model::grant::{Entitlement, Holding, Principal};
use crate::model::id::MemberId;
use crate::model::kind::Kind;
use crate::model::name;
use crate::model::resource::{Member, MemberStatus, Row};
use crate::model::super_administrator;
use crate::model::token::Token;
use crate::snapshot::{self, Catalogue, GenerationId, Manifest, Snapshot, SnapshotError};

/// At most this many findings of one rule are opened, 1 KB each; one more says how many others there are. What is open already stays open as
/// long as it is so.
const MOST: usize = 500;

/// A finding's evidence has at most this many names.
const TOLD: usize = 10;

/// Cloudflare's label of what is privileged beside Super Administrator.
const ADMIN: &str = "admin";

/// What an attempt changed, for who is to be told.
#[derive(Clone, Debug, Default)]
pub struct SurveyOutcome {
    /// The generation that was looked at, where one was.
    pub generation: Option<GenerationId>,
    /// The findings that were opened and are not still accepted, by id.
    pub opened: Vec<String>,
    /// Those that were closed.
    pub closed: Vec<String>,
}

/// The generation that the findings are of; none while they are being worked out.
pub fn looked_at(sql: &dyn Sql) -> Result<Option<GenerationId>, SqlError> {
    let done = jobs::all(sql)?.into_iter().find(|job| job.kind == JobKind::Findings && job.state == State::Done);
    Ok(done.as_ref().and_then(generation))
}

fn generation(job: &Job) -> Option<GenerationId> {
    GenerationId::parse(job.subject.split(' ').next()?)
}

/// One attempt to work the findings out. The job's subject begins with the generation. What is changed and what is told of it are on disk together, or
/// neither. Since when the account is `known` to be as the generation has it, a sweep says that found it so, where one did.
pub async fn attempt<P: KeyValue + Clock + Sql>(
    ports: &P,
    settings: &Settings,
    keep_days: i64,
    job: &Job,
    known: impl FnOnce(&GenerationId) -> Option<Timestamp>,
    tell: impl Fn(&SurveyOutcome) -> Result<(), SqlError>,
) -> Attempt {
    let Some(generation) = generation(job) else {
        return Attempt::GivenUp(format!("{:?} is no generation.", job.subject));
    };
    let seen = |key: &str| book::invited_since(ports, key, ports.now()).ok().flatten();
    let open = match book::unclosed(ports) {
        Ok(open) => open,
        Err(error) => return Attempt::Again(unkept(&error)),
    };
    let survey = match Snapshot::open(ports, &generation).await {
        Ok(snapshot) => survey(ports, settings, &snapshot, &seen, &open).await,
        Err(error) => Err(error),
    };
    let mut survey = match survey {
        Ok(survey) => survey,
        // Of a generation that is gone there is nothing to find; the newer one has a job of its own. One that is kept is only late.
        Err(SnapshotError::Gone(_)) if !snapshot::is_kept(ports, &generation).unwrap_or(true) => {
            return Attempt::Done("The generation is not kept any more.".to_owned());
        }
        Err(error) => return Attempt::Again(format!("The generation cannot be read: {error}.")),
    };
    survey.count_others();
    let over = known(&generation).map(|known| (known, survey.over(known)));
    let mut summary = String::new();
    let done = ports.whole(&mut || {
        let mut noted = survey.note(ports, ports.now())?;
        for (known, overdue) in over.iter().flat_map(|(known, over)| over.iter().map(move |it| (*known, it))) {
            expiry::over(ports, overdue, known)?;
        }
        book::purge(ports, ports.now().plus_secs(-keep_days * 86_400), ports.now())?;
        let (open, new, over) = (survey.found.len(), noted.opened.len(), noted.closed.len());
        summary = format!("{open} findings, {new} of them new; {over} are closed.");
        noted.generation = Some(generation.clone());
        tell(&noted)
    });
    match done {
        Ok(()) => Attempt::Done(summary),
        Err(error) => Attempt::Again(unkept(&error)),
    }
}

fn unkept(error: &SqlError) -> String {
    format!("The findings cannot be kept: {error}.")
}

/// Which findings a change would open, and which it would close: what is found before, and after. Nothing is noted.
pub async fn compare<P: KeyValue + Clock + Sql>(
    ports: &P,
    settings: &Settings,
    (before, after): (&Snapshot, &Snapshot),
) -> Result<(Vec<Value>, Vec<Value>), SnapshotError> {
    let seen = |key: &str| book::known_since(ports, key).ok().flatten();
    let open = book::unclosed(ports).unwrap_or_default();
    let before = survey(ports, settings, before, &seen, &open).await?;
    let after = survey(ports, settings, after, &seen, &open).await?;
    let ids = |survey: &Survey| survey.found.iter().map(|found| found.id.clone()).collect::<BTreeSet<String>>();
    let (was, will) = (ids(&before), ids(&after));
    let told = |all: Vec<Match>, beside: &BTreeSet<String>, but: &str| -> Vec<Value> {
        all.into_iter().filter(|found| found.rule != but && !beside.contains(&found.id)).map(Match::told).collect()
    };
    // Nobody is idle by what is given at this moment, which the ledger does not have.
    Ok((told(after.found, &was, IDLE), told(before.found, &will, "")))
}

/// What was found in a generation.
struct Survey<'a> {
    settings: Settings,
    now: Timestamp,
    found: Vec<Match>,
    /// The findings that are open already, each with its evidence and how far it goes.
    open: &'a BTreeMap<String, (String, String)>,
    /// How many each rule found, and how many of those are not listed one by one.
    counts: BTreeMap<&'static str, (usize, usize)>,
    whole: Whole,
    /// What was to end, and whether it was met.
    overdue: Vec<(Overdue, bool)>,
    /// The memberships that there are, where something was to end.
    there: BTreeSet<MemberId>,
    /// The lists that are told as they are, no record of them as it was before; of the tokens it is enough that their list was read.
    whole_lists: BTreeSet<&'static str>,
    watch: Watch,
    /// Who made the tokens, and what each holds.
    makers: BTreeMap<String, (Maker, BTreeSet<Entitlement>)>,
    /// The permission groups that Cloudflare withdraws, by what a finding about them is about.
    withdrawn: BTreeMap<String, Withdrawn>,
}

/// Holds a generation against the rules, and what is `open` already against it. Since when an invitation has been there is `seen`'s to say.
async fn survey<'a, P: KeyValue + Clock + Sql>(
    ports: &P,
    settings: &Settings,
    snapshot: &Snapshot,
    seen: &dyn Fn(&str) -> Option<Timestamp>,
    open: &'a BTreeMap<String, (String, String)>,
) -> Result<Survey<'a>, SnapshotError> {
    let catalogue = Catalogue::load(ports, snapshot).await?;
    let posture = snapshot.manifest().posture.clone();
    let mut settings = settings.clone();
    if settings.domains.is_empty() {
        // One whose login is paused is one's own still: who pauses it, be it to hide, moves nobody in or out.
        let is_own = |(domain, state): (&String, &String)| {
            matches!(state.as_str(), "verified" | "disabled").then(|| domain.clone())
        };
        settings.domains = posture.sso_domains.iter().filter_map(is_own).collect();
    }
    // What cannot be read is told by everything else that needs the same storage.
    let before = ports.now().plus_secs(-settings.overdue_minutes * 60);
    let overdue = expiry::all_overdue(ports, before).unwrap_or_default();
    // One token whose record is odd makes no other one older; of a list that is not read any more all of them grow old.
    let tokens = snapshot.manifest().capabilities.get(TOKENS);
    let is_now = |list: &str| list == TOKENS && tokens.is_none_or(|told| told.kept_from.is_none());
    let mut survey = Survey {
        settings,
        now: ports.now(),
        found: Vec::new(),
        open,
        counts: BTreeMap::new(),
        whole: Whole { posture, ..Whole::default() },
        overdue: overdue.into_iter().map(|overdue| (overdue, false)).collect(),
        there: BTreeSet::new(),
        whole_lists: LISTS.iter().copied().filter(|list| snapshot.manifest().is_whole(list) || is_now(list)).collect(),
        watch: Watch::load(ports, ports.now()).unwrap_or_default(),
        makers: BTreeMap::new(),
        withdrawn: BTreeMap::new(),
    };
    let unread = snapshot.manifest().capabilities.get("members").and_then(|members| members.unreadable.as_ref());
    survey.whole.unread = unread.map(|unread| (unread.count, unread.first.clone())).unwrap_or_default();
    // Who is there to whom something was granted, where it matters.
    let people: &[Kind] = if survey.overdue.is_empty() { &[] } else { Kind::PEOPLE };
    // Whose tokens there are first: what they hold is kept as the people pass by.
    let made = |row: Row| {
        let maker = row.as_token().filter(|token| token.is_active()).and_then(|token| token.creator_is.clone());
        survey.makers.extend(maker.map(|maker| (maker, Default::default())));
        survey.there.extend(row.as_member().map(|member| member.member_id));
    };
    snapshot.each(ports, &[Kind::SECRETS, people].concat(), made).await?;
    // The ledger has what this generation shows as of the time when it was published, which may be now.
    let after = snapshot.manifest().finished_at.plus_millis(1);
    let gained = |key: &str, it: Entitlement| {
        record::told_before(ports, (key, None, &it.to_string()), true, after).ok().flatten()
    };
    snapshot.each(ports, Kind::HOLDERS, |row| survey.holder(&row, &catalogue, snapshot, seen, &gained)).await?;
    if !survey.makers.is_empty() {
        snapshot.each(ports, &[Kind::ScopedRole], |row| survey.reach(&row)).await?;
    }
    snapshot.each(ports, Kind::APART, |row| survey.apart(&row)).await?;
    for rule in RULES {
        match rule.test {
            Test::Account(test) => {
                let evidence = test(&survey.whole, &survey.settings);
                let extent = survey.whole.extent(rule.name);
                survey.add(rule, "account", "the account", evidence, &|| extent.clone());
            }
            Test::Group(test) => {
                for (about, group) in std::mem::take(&mut survey.withdrawn) {
                    let evidence = test(&group, &survey.settings);
                    let holders = Extent::of(group.holders + group.tokens);
                    survey.add(rule, &about, &group.name, evidence, &|| holders.clone());
                }
            }
            _ => {}
        }
    }
    Ok(survey)
}

impl Survey<'_> {
    fn is_known(&self, lists: &[&str]) -> bool {
        lists.iter().all(|list| self.whole_lists.contains(list))
    }

    /// Whether what a rule finds is so, whatever could not be read. Each member who could not be may be a Super Administrator; and where no domain is
    /// told to be one's own, nobody is known to be outside.
    fn is_certain(&self, rule: &str) -> bool {
        let unread = usize::try_from(self.whole.unread.0).unwrap_or(usize::MAX);
        let may_be = self.whole.super_administrator_count.saturating_add(unread);
        self.is_known(needs(rule))
            && (rule != TOO_FEW || unread == 0 || may_be < self.settings.min_super_admins)
            && (rule != OUTSIDE || !self.settings.domains.is_empty())
    }

    /// Takes in what a rule found, where it has evidence; `extent` says how far that goes.
    fn add(&mut self, rule: &Rule, about: &str, name: &str, evidence: Option<String>, extent: &dyn Fn() -> Extent) {
        let Some(mut evidence) = evidence else { return };
        let mut extent = extent().text(rule.severity);
        let id = format!("{}:{about}", rule.name);
        let was = self.open.get(&id);
        if !self.is_certain(rule.name) {
            // What is not known is no finding, and what was found while it was known is not over by that.
            let Some(was) = was else { return };
            // What somebody outside holds is known all the same.
            if rule.name != OUTSIDE {
                (evidence, extent) = was.clone();
            }
        }
        let (count, others) = self.counts.entry(rule.name).or_default();
        *count += 1;
        if *count <= MOST || was.is_some() {
            let (about, name) = (about.to_owned(), name.to_owned());
            self.found.push(Match { id, rule: rule.name, severity: rule.severity, about, name, evidence, extent });
        } else {
            *others += 1;
        }
    }

    /// A person or a user group.
    fn holder(
        &mut self,
        row: &Row,
        catalogue: &Catalogue,
        snapshot: &Snapshot,
        seen: &dyn Fn(&str) -> Option<Timestamp>,
        gained: &dyn Fn(&str, Entitlement) -> Option<Timestamp>,
    ) {
        let held = snapshot.manifest().grants_of(row).into_iter().map(|(entitlement, _)| entitlement);
        let held: BTreeSet<Entitlement> = held.collect();
        // Whoever holds one on several domains holds it, and is one of those who do.
        let mut ending = BTreeSet::new();
        for it in held.iter().filter_map(|&it| catalogue.get(it)) {
            if let (Some(ends), Some(group)) = (&it.ends, it.permission_group)
                && ending.insert(group)
            {
                let name = it.permission_group_name.as_ref().unwrap_or(&it.name);
                self.withdrawn(&format!("permission_group:{group}"), name, ends).holders += 1;
            }
        }
        let Some(member) = row.as_member() else { return };
        let through: BTreeSet<Entitlement> =
            held.iter().filter_map(|&it| catalogue.get(it)).flat_map(|it| it.brings.iter().copied()).collect();
        let privileged: BTreeSet<Entitlement> =
            held.union(&through).into_iter().filter(|&it| is_privileged(catalogue, it)).collect();
        let is_super = privileged.iter().any(|&it| catalogue.makes_super_administrator(it));
        if is_super && counts_for_super_administrators(member, snapshot.manifest(), catalogue) {
            self.whole.super_administrator_count += 1;
            if self.whole.super_administrators.len() < TOLD {
                self.whole.super_administrators.push(member.email.clone());
            }
            if self.whole.super_administrator_keys.len() <= MOST_NAMED {
                self.whole.super_administrator_keys.push(row.key());
            }
        }
        let key = row.key();
        if let Some((maker, holds)) = self.makers.get_mut(&key) {
            maker.is_there = true;
            // What cannot be judged may be anything.
            let may_be_more = |&it: &Entitlement| catalogue.get(it).is_some_and(|it| it.may_bring_more);
            let unclear =
                held.iter().any(may_be_more) || member.atoms.iter().any(|atom| atom.access == Access::Unknown);
            maker.super_administrator = match (is_super, unclear) {
                (true, _) => IsOne::Yes,
                (false, true) => IsOne::Perhaps,
                (false, false) => IsOne::No,
            };
            maker.is_administrator = !privileged.is_empty();
            for it in held.union(&through).into_iter().filter_map(|it| catalogue.get(it)) {
                let label = it.label.as_deref();
                if matches!(it.entitlement, Entitlement::Role(_)) && !gives_nothing(&it.name, label) {
                    maker.whole = maker.whole.max(Some(!reads_only(&it.name, label)));
                }
            }
            holds.extend(held.union(&through));
        }
        let names = |all: &mut dyn Iterator<Item = Entitlement>| all.take(TOLD).map(|it| catalogue.name(it)).collect();
        let of = |access| member.atoms.iter().filter(|atom| atom.access == access).count();
        let is_invited = matches!(member.principal(), Principal::Invitation(_));
        let since = is_invited.then_some(&key).and_then(|key| seen(key));
        let silence = match member.principal() {
            Principal::User(user) if !privileged.is_empty() => self.watch.silence(user, &member.email),
            _ => Silence::default(),
        };
        let (overdue, ends) = self.overdue_of(member, &held, &through, catalogue);
        let person = Person {
            member,
            silence,
            idle_days: self.idle_days(silence, (&key, &held, &privileged), catalogue, gained),
            privileged: names(&mut privileged.iter().copied()),
            twice: names(&mut held.intersection(&through).copied()),
            denied: of(Access::Deny),
            unknown: of(Access::Unknown),
            invited_days: since.map(|since| days(since, self.now)),
            overdue,
        };
        let name = shown(member);
        let listed =
            |all: &mut dyn Iterator<Item = Entitlement>| Extent::listed(all.map(|it| it.to_string()).collect());
        for rule in RULES {
            if let Test::Person(test) = rule.test {
                let evidence = test(&person, &self.settings).or_else(|| self.still_so(rule, &key, &person));
                self.add(rule, &key, &name, evidence, &|| match rule.name {
                    "direct-beside-group" => listed(&mut held.intersection(&through).copied()),
                    "overdue-revoke" => Extent::listed(ends.clone()),
                    "deny-policy" => Extent::of(person.denied),
                    "unknown-policy" => Extent::of(person.unknown),
                    OUTSIDE => {
                        let mut extent = listed(&mut privileged.iter().copied());
                        let domain = member.email.rsplit_once('@').map(|(_, domain)| address::folded_domain(domain));
                        extent.count += 1;
                        extent.which.extend(domain);
                        extent
                    }
                    _ => listed(&mut privileged.iter().copied()),
                });
            }
        }
    }

    /// For how many days somebody is silent and privileged: who came to be so today was no idle one before, be it by what a user group came to bring.
    /// What the ledger does not tell was held before.
    fn idle_days(
        &self,
        silence: Silence,
        (key, held, privileged): (&str, &BTreeSet<Entitlement>, &BTreeSet<Entitlement>),
        catalogue: &Catalogue,
        gained: &dyn Fn(&str, Entitlement) -> Option<Timestamp>,
    ) -> Option<i64> {
        let idle = silence.days(self.now)?;
        if idle < self.settings.idle_days {
            return Some(idle);
        }
        let by = held.iter().filter_map(|&it| {
            let brought = || {
                let roles = catalogue.get(it)?.brings.iter().filter(|&role| privileged.contains(role));
                roles.map(|&role| gained(&it.resource(), role)).min()
            };
            let role = if privileged.contains(&it) { None } else { brought()? };
            Some(role.max(gained(key, it)))
        });
        let since = by.min().flatten();
        Some(since.map_or(idle, |since| idle.min(days(since, self.now))))
    }

    /// What was found of somebody privileged, where it is not known to be over: that nothing is told of the second factor does not turn it on, and a gap
    /// in the log of changes, or that no source can be read, is no sign of life. Where the log begins on the day that was told, it is the threshold
    /// that is another.
    fn still_so(&self, rule: &Rule, key: &str, person: &Person<'_>) -> Option<String> {
        let since_change = person.silence.since_change;
        let is_there = !person.privileged.is_empty() && person.member.status == MemberStatus::Accepted;
        let is_idle = rule.name == IDLE && since_change == self.watch.log_since;
        let is_untold = rule.name == WITHOUT_FACTOR && person.member.two_factor.is_none();
        if !is_there || !(is_idle || is_untold) {
            return None;
        }
        let by_login = Silence { since_change: None, ..person.silence }.days(self.now);
        let (was, _) = self.open.get(&format!("{}:{key}", rule.name))?;
        let is_as_before = since_change.is_some_and(|since| was.ends_with(&since.date()));
        let is_silent = by_login.is_none_or(|days| days >= self.settings.idle_days) && !is_as_before;
        (is_untold || is_silent).then(|| was.clone())
    }

    /// What a member holds whose end is past, or the account itself, where that was for a time.
    /// By the membership too: whoever changed the address of their login is the same person, and who has that address since is another. In words, and
    /// by ids that stay.
    fn overdue_of(
        &mut self,
        member: &Member,
        held: &BTreeSet<Entitlement>,
        through: &BTreeSet<Entitlement>,
        catalogue: &Catalogue,
    ) -> (Vec<String>, Vec<String>) {
        let (mut told, mut ids) = (Vec::new(), Vec::new());
        // Folded once: thousands may be overdue, and each is compared with everybody.
        let email = address::folded(&member.email);
        let there = &self.there;
        let is_theirs = |overdue: &Overdue| {
            let is_anothers = || overdue.member.is_some_and(|member| there.contains(&member));
            overdue.member == Some(member.member_id) || (overdue.email == email && !is_anothers())
        };
        for (overdue, is_met) in self.overdue.iter_mut().filter(|(overdue, _)| is_theirs(overdue)) {
            let (name, is_held, is_given) = match overdue.what {
                Holding::Entitlement(it) => (catalogue.name(it), held.contains(&it), through.contains(&it)),
                Holding::Account => ("the account".to_owned(), true, false),
            };
            *is_met |= is_held || is_given;
            if is_held {
                told.push(format!("{name} was to end at {}", overdue.ended_at));
                ids.push(format!("{} {}", overdue.what, overdue.ended_at));
            }
        }
        (told, ids)
    }

    /// What was to end and is there no more, by somebody else's hand: ConductorOne closes such a grant when it reads of it, and asks for no
    /// revoke. Only where the account was looked through since, and what could not be read is not taken for gone.
    fn over(&self, known: Timestamp) -> Vec<Overdue> {
        let is_read = |overdue: &Overdue| {
            self.is_known(match overdue.what {
                Holding::Entitlement(Entitlement::Group(_)) => HOLDERS,
                _ => MEMBERS,
            })
        };
        let over = |(overdue, is_met): &&(Overdue, bool)| !is_met && overdue.ended_at < known && is_read(overdue);
        self.overdue.iter().filter(over).map(|(overdue, _)| overdue.clone()).collect()
    }

    fn withdrawn(&mut self, about: &str, name: &str, ends: &str) -> &mut Withdrawn {
        let days_left = Timestamp::parse(ends).map(|end| days(self.now, end));
        self.withdrawn.entry(about.to_owned()).or_insert_with(|| Withdrawn {
            name: name.to_owned(),
            ends: ends.to_owned(),
            days_left,
            ..Withdrawn::default()
        })
    }

    /// What the makers of tokens reach by a scoped role.
    fn reach(&mut self, row: &Row) {
        let (Row::ScopedRole(role), Some((entitlement, _))) = (row, row.offered()) else { return };
        let writes = !reads_only(&role.permission_group_name, None);
        for (maker, holds) in self.makers.values_mut() {
            if holds.contains(&entitlement) {
                for key in role.scope.0.keys() {
                    *maker.keys.entry(key.clone()).or_default() |= writes;
                }
                if role.scope.is_empty() || role.unlisted > 0 {
                    // What it reaches is not all known: nothing is said to be beyond it.
                    maker.whole = maker.whole.max(Some(writes));
                }
            }
        }
    }

    /// A token or an OAuth client.
    fn apart(&mut self, row: &Row) {
        let (key, now) = (row.key(), self.now);
        // Who made a token and is in the generation no more has left, also in one that is only thought of.
        let has_left = |token: &Token| {
            let maker = token.creator_is.as_ref().and_then(|maker| self.makers.get(maker));
            maker.is_some_and(|(maker, _)| !maker.is_there)
        };
        let left = row.as_token().filter(|token| has_left(token)).cloned();
        let left = left.map(|token| Row::token(Token { creator_is: None, ..token }));
        let row = left.as_ref().unwrap_or(row);
        if let Some(token) = row.as_token().filter(|token| token.is_active()) {
            for (name, ends) in &token.ending {
                self.withdrawn(&format!("permission_group:{name}"), name, ends).tokens += 1;
            }
        }
        for rule in RULES {
            let evidence = match (rule.test, row.as_token(), row.as_client()) {
                (Test::Secret(test), Some(token), _) => {
                    let maker = token.creator_is.as_ref().and_then(|maker| self.makers.get(maker));
                    let maker = maker.map(|(maker, _)| maker);
                    // What was found while its maker could be judged, or its permission groups had names, is not over by that.
                    let unclear = match rule.name {
                        STRONGER => maker.is_some_and(|it| it.super_administrator == IsOne::Perhaps),
                        POWERFUL => token.allowed().any(|policy| policy.groups.values().any(String::is_empty)),
                        _ => false,
                    };
                    let was = self.open.get(&format!("{}:{key}", rule.name)).filter(|_| unclear && token.is_active());
                    let was = || was.map(|(evidence, _)| evidence.clone());
                    test(Secret { token, maker, now }, &self.settings).or_else(was)
                }
                (Test::Client(test), _, Some(client)) => test(client, &self.settings),
                _ => continue,
            };
            self.add(rule, &key, &row.display_name(), evidence, &|| gives(row));
        }
    }

    /// How many there are of each rule beside those that are listed one by one.
    fn count_others(&mut self) {
        for rule in RULES {
            let (_, more) = self.counts.get(rule.name).copied().unwrap_or_default();
            let id = format!("{}:more", rule.name);
            let told = match more {
                // As with those that are listed: what was found while it was known is not over by that it is not.
                0 => self.open.get(&id).filter(|_| !self.is_certain(rule.name)).cloned(),
                _ => Some((format!("{more} more than are listed one by one"), Extent::of(more).text(rule.severity))),
            };
            if let Some((evidence, extent)) = told {
                let (about, name) = (OTHERS.to_owned(), OTHERS.to_owned());
                self.found.push(Match { id, rule: rule.name, severity: rule.severity, about, name, evidence, extent });
            }
        }
    }

    /// Notes what is new, what is told otherwise and what is over. Gives what was changed.
    fn note(&self, sql: &dyn Sql, now: Timestamp) -> Result<SurveyOutcome, SqlError> {
        let mut before = book::unclosed(sql)?;
        let mut noted = SurveyOutcome::default();
        for found in &self.found {
            let known = before.remove(&found.id);
            let is_as_it_was =
                known.as_ref().is_some_and(|(evidence, extent)| (evidence, extent) == (&found.evidence, &found.extent));
            if is_as_it_was {
                book::rename(sql, found)?;
            }
            // An earlier version noted those that are not listed as if they were about the account.
            let is_news = (!is_as_it_was || found.about == OTHERS) && book::note(sql, found, known.is_none(), now)?;
            noted.opened.extend(is_news.then(|| found.id.clone()));
        }
        // What a rule found that this version does not know is for a later one to close, which was in use before this one was put back.
        for id in before.keys().filter(|id| severity_of(id).is_some()) {
            book::close(sql, id, now)?;
            noted.closed.push(id.clone());
        }
        for id in book::end_acceptances(sql, now)? {
            if !noted.opened.contains(&id) {
                noted.opened.push(id);
            }
        }
        Ok(noted)
    }
}

/// The list of the members; what tells who is in a user group; and both.
const MEMBERS: &[&str] = &["members"];
const GROUPS: &[&str] = &["user_groups", "user_group_members"];
const HOLDERS: &[&str] = &["members", "user_groups", "user_group_members"];

/// All lists that a rule may need.
const LISTS: &[&str] = &["members", "user_groups", "user_group_members", TOKENS];
const TOKENS: &str = "tokens";

/// The lists that a rule takes for all that there is: what it finds is what is in none of them; or that it takes for what is so today.
fn needs(rule: &str) -> &'static [&'static str] {
    match rule {
        TOO_FEW => GROUPS,
        "token-stronger-than-creator" => HOLDERS,
        "token-of-somebody-who-left" => MEMBERS,
        // The days since the list was last read are no days without use.
        "token-unused" | "token-never-used" => &[TOKENS],
        _ => &[],
    }
}

/// What a token may do, each permission group on each object, or an OAuth client, each scope: a finding about one that may do more is more.
fn gives(row: &Row) -> Extent {
    if let Some(client) = row.as_client() {
        return Extent::listed(client.scopes.clone());
    }
    let (mut count, mut which) = (0, BTreeSet::<String>::new());
    for policy in row.as_token().into_iter().flat_map(Token::allowed) {
        for key in policy.scope.0.keys() {
            count += policy.groups.len();
            // Of more than are named the number alone is kept.
            if which.len() <= MOST_NAMED {
                which.extend(policy.names().map(|name| mark(&format!("{name} on {key}"))));
            }
        }
    }
    if which.len() > MOST_NAMED { Extent::of(count) } else { Extent::listed(which.into_iter().collect()) }
}

/// The name and the address, where there is a name.
fn shown(member: &Member) -> String {
    match member.display_name() {
        name if name == member.email => name,
        name => format!("{name} <{}>", member.email),
    }
}

/// Whether a member who holds Super Administrator is one of those whom the account needs: accepted, and not denied it, on whatever resource group.
pub fn counts_for_super_administrators(member: &Member, manifest: &Manifest, catalogue: &Catalogue) -> bool {
    let is_denied = |atom: &Atom| {
        let denied = manifest.naming.entitlement_of(atom.permission_group, atom.resource_group);
        atom.access == Access::Deny && catalogue.makes_super_administrator(denied)
    };
    member.status == MemberStatus::Accepted && !member.atoms.iter().any(is_denied)
}

/// Whether an entitlement gives everything or nearly so; what a user group gives is judged one by one.
fn is_privileged(catalogue: &Catalogue, it: Entitlement) -> bool {
    let label = catalogue.get(it).and_then(|it| it.label.as_deref());
    let is_group = matches!(it, Entitlement::Group(_));
    let is_admin = super_administrator::is_label(label) || label.is_some_and(|label| name::same(label, ADMIN));
    !is_group && (is_admin || catalogue.makes_super_administrator(it))
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::super::extent::is_more;
    use super::super::severity::Severity;
    use super::*;
    use crate::model::scope::Scope;
    use crate::model::token::TokenPolicy;

    fn may(groups: Range<u32>, zones: Range<u32>) -> TokenPolicy {
        let groups = groups.map(|n| (format!("{n:032x}"), format!("What number {n} does Write")));
        let zones = zones.map(|n| (format!("com.cloudflare.api.account.zone.{n:032x}"), String::new()));
        TokenPolicy { access: Access::Allow, groups: groups.collect(), scope: Scope(zones.collect()) }
    }

    fn extent(policies: Vec<TokenPolicy>) -> String {
        let id = "a".repeat(32).parse().unwrap();
        gives(&Row::token(Token { policies, ..Token::bare(id, "ci".to_owned()) })).text(Severity::Medium)
    }

    #[test]
    fn what_a_token_may_do_on_many_objects_takes_little_room_and_is_told_from_the_same_dealt_out_otherwise() {
        // All of ten on each of fifteen, but for one on one.
        let accepted = extent(vec![may(0..9, 0..15), may(9..10, 0..14)]);
        assert!(accepted.starts_with("1 149\n") && accepted.len() < 3_000, "{} bytes: {accepted}", accepted.len());
        let otherwise = extent(vec![may(0..1, 1..15), may(1..10, 0..15)]);
        assert!(otherwise.starts_with("1 149\n"), "{otherwise}");
        assert!(is_more(&otherwise, &accepted));
        // The controls: the same in other policies, and less.
        assert!(!is_more(&extent(vec![may(9..10, 0..14), may(0..3, 0..15), may(3..9, 0..15)]), &accepted));
        assert!(!is_more(&extent(vec![may(0..9, 0..15)]), &accepted));
    }
}
