//! What is known of a request when it is decided: from the published snapshot with what is known to have changed since, resolved as provisioning resolves it.

use std::slice;

use serde::Serialize;

use super::words::Domain;
use crate::account::apps::Apps;
use crate::account::default_role::{Configured, listed};
use crate::account::entitlement::named;
use crate::account::person::Meant;
use crate::account::{Stopped, find, newest, overlay};
use crate::base::json::Deserialize;
use crate::base::order;
use crate::base::ports::{Clock, KeyValue, Sql, SqlError};
use crate::base::time::Timestamp;
use crate::connect;
use crate::model::access::Access;
use crate::model::ask::{Action, EntitlementRef, Subject};
use crate::model::grant::{Entitlement, Holding, Principal};
use crate::model::operation::{Origin, Outcome, Target};
use crate::model::resource::{Member, MemberStatus};
use crate::snapshot::{Catalogue, GenerationId, Manifest, Snapshot};

/// What C1 asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What identifies the question, however often it is delivered: C1's task and step ids.
    pub key: Option<String>,
    /// Whether the task waits for an answer at all; if not, why not.
    pub actionable: Result<(), String>,
    /// Grant or revoke; or the kind of task, where it is neither.
    pub action: Result<Action, String>,
    /// What is asked for.
    pub entitlement: EntitlementRef,
    /// Who is concerned.
    pub subject: Subject,
    /// Whether the last of their addresses is a user name, and none of their e-mail addresses.
    #[serde(default)]
    pub ends_with_username: bool,
    /// Who asked.
    pub origin: Origin,
    /// The C1 ids of the subject and the requester.
    pub parties: Vec<String>,
}

/// What is known.
#[derive(Clone, Debug)]
pub enum Facts {
    /// All that rules look at.
    Known(Box<Known>),
    /// Not enough for any rule; a sentence that says why.
    Unknown(String),
}

impl Facts {
    /// Whether they are of a generation in which nothing was looked for yet.
    fn is_before(&self, looked_at: &Result<Option<GenerationId>, SqlError>) -> bool {
        match (self, looked_at) {
            (Self::Known(known), Ok(looked_at)) => looked_at.as_ref() < Some(&known.generation),
            _ => false,
        }
    }
}

/// What rules look at.
#[derive(Clone, Debug)]
pub struct Known {
    /// Grant or revoke.
    pub action: Action,
    /// What is asked for.
    pub wanted: RequestedAccess,
    /// For whom.
    pub person: Person,
    /// What the account offers.
    pub catalogue: Catalogue,
    /// The generation that all this is from.
    pub generation: GenerationId,
    /// Whether it is with what is known to have changed since.
    pub has_changed: bool,
    /// How old it is: seconds since the last sync began that looked through the account and found it so; `None` where none is known.
    pub age_secs: Option<i64>,
    /// The rules by which something is found to be wrong with the person or the account, and was not accepted; `None` as long as nobody
    /// looked.
    pub findings: Option<Vec<String>>,
    /// The rules that found more people than are listed one by one: this one may be among the others.
    pub perhaps: Vec<String>,
    /// Whether the account locks members without two-factor authentication out, where that is known.
    pub enforces_two_factor: Option<bool>,
    /// Whether the account is in an organization, where that is known.
    pub in_organization: Option<bool>,
    /// For how many days the person gave no sign of life; `None` where no login of theirs is known, or nobody asked.
    pub idle_days: Option<i64>,
    /// What the change would come to, in a line, where that was worked out.
    pub what_if: Option<String>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedAccess {
    /// The entitlement; none for an account.
    pub entitlement: Option<Entitlement>,
    /// The name people know it by.
    pub name: String,
    /// What comes with it: what a user group holds, or a new account's first role.
    pub brings: Vec<Entitlement>,
    /// Whether that is all, and nothing that could not be read comes with it.
    pub is_whole: bool,
}

/// For whom it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The address in Cloudflare, or the one that would be invited.
    pub email: Option<String>,
    /// The other e-mail addresses of somebody who is not known to be in the account: whoever has one of them by the time of the grant gets it. A user name
    /// that looks like an address is none, as a directory's login name in a domain of its own.
    pub others: Vec<String>,
    /// What the person is in the account.
    pub status: Standing,
    /// Whether the person's Cloudflare login has a second factor, where that is known.
    pub two_factor: Option<bool>,
    /// Whether the address is in a domain that logs in through the company's identity provider, verified, where that is known.
    pub in_sso_domains: Option<bool>,
    /// What the person holds, through user groups as well.
    pub held: Vec<Entitlement>,
    /// What is on its way to the person: it counts against a request, and never for it.
    pub coming: Vec<Entitlement>,
    /// Whether that is all, and nothing that could not be read.
    pub is_whole: bool,
    /// The person's key in the generation, where there is one.
    pub key: Option<Principal>,
}

/// What somebody is in the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A member.
    Member,
    /// Invited, and has not accepted.
    Invited,
    /// Neither.
    None,
}

impl Person {
    /// How the person is called in a sentence.
    pub(super) fn shown(&self) -> &str {
        self.email.as_deref().unwrap_or("the person, whose e-mail address is not known,")
    }

    /// Somebody who is in the account.
    fn of(member: &Member, catalogue: &Catalogue, snapshot: &Snapshot) -> Self {
        let manifest = snapshot.manifest();
        // Who is in a user group that cannot be read is known where the group is: a sync lists its members all the same.
        let is_elsewhere = |odd: &str| {
            odd.parse()
                .is_ok_and(|odd| catalogue.get(Entitlement::Group(odd)).is_some() && !member.groups.contains(&odd))
        };
        let row = crate::model::resource::Row::member(member.clone());
        let own = manifest.grants_of(&row).into_iter().map(|(entitlement, _)| entitlement);
        let mut held: Vec<Entitlement> = own.flat_map(|entitlement| catalogue.given_by(entitlement)).collect();
        order::sort(&mut held);
        held.dedup();
        let is_whole = manifest.is_read_but("user_groups", &is_elsewhere)
            && manifest.is_whole("user_group_members")
            && manifest.is_read_in_full("members", &member.member_id.to_string())
            && member.atoms.iter().all(|atom| atom.access != Access::Unknown)
            && are_clear(&held, catalogue);
        Self {
            email: Some(member.email.clone()),
            others: Vec::new(),
            status: if member.status == MemberStatus::Accepted { Standing::Member } else { Standing::Invited },
            two_factor: member.two_factor,
            in_sso_domains: in_sso_domains(manifest, slice::from_ref(&member.email)),
            held,
            coming: Vec::new(),
            is_whole,
            key: Some(member.principal()),
        }
    }

    /// Somebody who is in the account under none of the addresses.
    fn outside(question: &Question, manifest: &Manifest) -> Self {
        let all = &question.subject.emails;
        // Where there is nothing else, the user name is what would be invited.
        let most = all.len().saturating_sub(usize::from(question.ends_with_username)).max(1);
        let emails = all.get(..most).unwrap_or_default();
        Self {
            email: emails.first().cloned(),
            others: emails.iter().skip(1).cloned().collect(),
            status: Standing::None,
            two_factor: None,
            in_sso_domains: in_sso_domains(manifest, emails),
            held: Vec::new(),
            coming: Vec::new(),
            // Who is no member is in no user group.
            is_whole: manifest.is_whole("members"),
            key: None,
        }
    }
}

/// How often a snapshot that cannot be read, or whose findings are still to come, is read again, and how long it is waited before: a value takes a minute at most
/// to reach every place, and C1 waits 30 s.
const WAITS: [u32; 4] = [500, 1_000, 2_000, 4_000];

/// Tells of which generation the findings are.
pub(crate) type LookedAt = fn(&dyn Sql) -> Result<Option<GenerationId>, SqlError>;

/// What facts are gathered by.
#[derive(Clone, Copy, Debug)]
pub struct KnownBy<'a> {
    /// The C1 apps that the configuration pins.
    pub apps: &'a Apps,
    /// The role of a new account, where it is not Minimal Account Access.
    pub default_role: &'a Configured,
    /// When the last sync began that found the account as a generation has it.
    pub found_so_since: fn(&dyn Sql, &GenerationId) -> Result<Option<Timestamp>, SqlError>,
    /// Of which generation the findings are, where a rule asks for some: those of the newest follow its publication within seconds.
    pub looked_at: Option<LookedAt>,
}

/// Gathers what is known of a question.
pub async fn gather<P: KeyValue + Clock + Sql>(ports: &P, by: KnownBy<'_>, question: &Question) -> Facts {
    if let Err(why) = &question.actionable {
        return Facts::Unknown(format!("There was nothing to decide, because {why}."));
    }
    let action = match &question.action {
        Ok(action) => *action,
        Err(kind) => {
            return Facts::Unknown(format!(
                "The connector decides about grants and revokes, not about a task of the kind \"{kind}\"."
            ));
        }
    };
    let mut waits = WAITS.into_iter();
    loop {
        let wait = {
            let (facts, is_final) = match known(ports, by, action, question).await {
                Ok(facts) => {
                    let is_early = by.looked_at.is_some_and(|looked_at| facts.is_before(&looked_at(ports)));
                    (facts, !is_early)
                }
                Err(error) => (
                    Facts::Unknown(format!(
                        "What the connector knows of the account cannot be read right now ({error})."
                    )),
                    false,
                ),
            };
            let Some(wait) = waits.next().filter(|_| !is_final) else { return facts };
            wait
        };
        ports.sleep(wait).await;
    }
}

async fn known<P: KeyValue + Clock + Sql>(
    ports: &P,
    by: KnownBy<'_>,
    action: Action,
    question: &Question,
) -> Result<Facts, String> {
    let apps = by.apps.or_connected(|| connect::connected_apps(ports)).map_err(|error| error.to_string())?;
    if let Err(stopped) = apps.admit(&question.origin) {
        return Ok(Facts::Unknown(why_not(stopped)));
    }
    let newest = newest(ports).await.map_err(why_not)?;
    if newest.is_last && newest.snapshot.is_none() {
        return Ok(Facts::Unknown("The connector has not read the Cloudflare account yet.".to_owned()));
    }
    // A decision is kept for good, and by an older one what is asked for may be less than it has come to be.
    let snapshot = newest.last().map_err(why_not)?.clone();
    let over = overlay::over(ports, &snapshot.manifest().generation, None).map_err(|error| error.to_string())?;
    let snapshot = snapshot.with(over);
    let target = Target::Named(question.entitlement.clone());
    let named = match named(ports, &newest, &apps, &target).await {
        Ok(named) => named,
        Err(Stopped::Ended(Outcome::Refused { message, .. })) => return Ok(Facts::Unknown(message)),
        Err(stopped) => return Err(why_not(stopped)),
    };
    let catalogue = Catalogue::load(ports, &snapshot).await.map_err(|error| error.to_string())?;
    let first_role = by.default_role.in_catalogue(&catalogue);
    let mut wanted = match named {
        Holding::Account => RequestedAccess {
            entitlement: None,
            name: "a Cloudflare account".to_owned(),
            brings: Vec::new(),
            is_whole: true,
        },
        Holding::Entitlement(entitlement) => match listed(&catalogue, entitlement) {
            Some(it) => RequestedAccess {
                entitlement: Some(it.entitlement),
                name: it.name.clone(),
                brings: it.brings.clone(),
                is_whole: !it.may_bring_more
                    && match it.entitlement {
                        Entitlement::Group(group) => {
                            snapshot.manifest().is_read_in_full("user_groups", &group.to_string())
                        }
                        _ => true,
                    },
            },
            None => {
                return Ok(Facts::Unknown(format!(
                    "The last sync of the Cloudflare account did not find {entitlement}, so the connector does not know what it is."
                )));
            }
        },
    };
    let subject = &question.subject;
    if subject.is_nobody() {
        return Ok(Facts::Unknown(
            "ConductorOne sent neither an e-mail address nor an id of whom this is about.".to_owned(),
        ));
    }
    let meant = find::in_snapshot(ports, &snapshot, subject, action).await.map_err(|error| error.to_string())?;
    let person = match meant {
        Meant::One(member) => Person::of(&member, &catalogue, &snapshot),
        Meant::Unclear(why) => return Ok(Facts::Unknown(why)),
        Meant::Nobody => Person::outside(question, snapshot.manifest()),
    };
    // Who is put into a user group and is not in the account yet is invited for it, with the role that every invitation comes with.
    if matches!((wanted.entitlement, person.status), (None, _) | (Some(Entitlement::Group(_)), Standing::None)) {
        wanted.is_whole &= first_role.is_some();
        wanted.brings.extend(first_role.filter(|role| !wanted.brings.contains(role)));
    }
    // Of what the generation does not list it is not known what it gives.
    wanted.is_whole &= wanted.brings.iter().all(|it| catalogue.get(*it).is_some());
    let manifest = snapshot.manifest();
    let generation = manifest.generation.clone();
    let found_so = (by.found_so_since)(ports, &generation).map_err(|error| error.to_string())?;
    Ok(Facts::Known(Box::new(Known {
        action,
        wanted,
        person,
        catalogue,
        generation,
        has_changed: snapshot.freshness().1,
        age_secs: found_so.map(|since| age(ports.now(), since)),
        findings: None,
        perhaps: Vec::new(),
        enforces_two_factor: manifest.posture.enforces_two_factor,
        in_organization: is_told(manifest, "account").then(|| manifest.posture.organization.is_some()),
        idle_days: None,
        what_if: None,
    })))
}

/// Whether all that these give is known: a generation lists what is offered, and of that it is not always known what it gives.
pub(crate) fn are_clear(given: &[Entitlement], catalogue: &Catalogue) -> bool {
    given.iter().all(|it| catalogue.get(*it).is_some_and(|it| !it.may_bring_more))
}

/// Whether an address is in one of the account's verified SSO domains; `None` where either is not known, or not all of several are or are not.
fn in_sso_domains(manifest: &Manifest, addresses: &[String]) -> Option<bool> {
    let is_in = |address: &String| manifest.posture.verified_domains().any(|domain| Domain::of(domain).has(address));
    let first = addresses.first().filter(|_| is_told(manifest, "sso_domains")).map(is_in);
    first.filter(|first| addresses.iter().all(|address| is_in(address) == *first))
}

/// Whether what a list tells is known, be it from before.
fn is_told(manifest: &Manifest, list: &str) -> bool {
    manifest.capabilities.get(list).is_some_and(|told| told.on || told.kept_from.is_some())
}

/// Why the facts could not be gathered this time.
fn why_not(stopped: Stopped) -> String {
    match stopped {
        Stopped::Ended(
            Outcome::Refused { message, .. } | Outcome::NotNow { message, .. } | Outcome::Done { message, .. },
        )
        | Stopped::NotNow(message)
        | Stopped::Until(message, _)
        | Stopped::Storage(message) => message,
        Stopped::Api(error) => error.to_string(),
    }
}

/// Seconds since a time; a clock that stands a little behind makes no age negative.
fn age(now: Timestamp, since: Timestamp) -> i64 {
    (now.since(since) / 1000).max(0)
}
