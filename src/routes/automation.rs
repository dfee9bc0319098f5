//! What an automation may ask (`reference/conductorone.md` 2.1): one verb and its parameters, as an object, answered with an
//! object. Whatever is wrong with the question is a sentence in the answer, since an HTTP error would make C1 ask 50 times.

use serde_json::{Map, Value, json};

use super::paging;
use crate::account::find;
use crate::account::person::Meant;
use crate::base::ports::{Clock, KeyValue};
use crate::base::time::Timestamp;
use crate::coordinator::Ask;
use crate::coordinator::{Command, Reply, Unreachable};
use crate::model::ask::{Action, Subject};
use crate::model::grant::Entitlement;
use crate::model::kind::Kind;
use crate::model::resource::{Member, MemberStatus, Row};
use crate::snapshot::{self, Catalogue, GenerationId, Snapshot, SnapshotError};
use crate::sync;

/// A list in an answer has at most this many items: an answer has 250 KB at most.
const MAX_ITEMS: usize = 200;

/// The verbs, and what each wants.
const VERBS: &str = "lookup_member (with email, user_id or member_id), start_sync, account_summary";

/// Why there is no answer: asked again, there may be one.
#[derive(Debug, thiserror::Error)]
pub enum NotNow {
    /// The snapshot cannot be read right now.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The Coordinator does not answer.
    #[error(transparent)]
    Coordinator(#[from] Unreachable),
}

/// Answers an automation.
pub async fn answer<P: KeyValue + Clock + Ask>(ports: &P, context: &Value) -> Result<Map<String, Value>, NotNow> {
    let answered = match read(context) {
        Err(sentence) => json!({ "error": sentence }),
        Ok(Verb::StartSync) => start_sync(ports).await?,
        Ok(verb) => {
            let failed = || Unreachable("its storage failed".to_owned());
            let Reply::Status(status) = ports.ask(Command::Status).await? else { return Err(failed().into()) };
            match newest(ports, &status.sync.generations).await? {
                None => {
                    json!({ "error": "The connector has not read the Cloudflare account yet; ask with the verb start_sync, and again when the sync is over." })
                }
                Some(snapshot) => {
                    // The next step of an automation asks about what the step before it did.
                    let generation = snapshot.manifest().generation.clone();
                    let laid_over = ports.ask(Command::Overlay { generation, until: None }).await?;
                    let Reply::Overlay(overlay) = laid_over else { return Err(failed().into()) };
                    let snapshot = snapshot.with(overlay);
                    let mut answer = match verb {
                        Verb::LookupMember(subject) => lookup(ports, &snapshot, &subject).await?,
                        Verb::AccountSummary | Verb::StartSync => summary(ports, &snapshot).await?,
                    };
                    dated(&mut answer, ports.now(), &snapshot.manifest().generation, &status.sync.runs);
                    answer
                }
            }
        }
    };
    Ok(match answered {
        Value::Object(fields) => fields,
        _ => Map::new(),
    })
}

/// The generation that was published last, by its own name where KV shows an older one here, or none: nobody is to be taken for nobody by that. These were
/// published, the last one first.
async fn newest<P: KeyValue>(
    ports: &P,
    published: &[sync::GenerationSummary],
) -> Result<Option<Snapshot>, SnapshotError> {
    let seen = snapshot::latest(ports).await?;
    let is_older = |last: &&GenerationId| seen.as_ref().is_none_or(|seen| seen.manifest().generation < **last);
    let Some(last) = published.first().map(|last| &last.generation).filter(is_older) else { return Ok(seen) };
    paging::last(ports, last).await.map(Some)
}

/// Whether a question begins something, so that it makes a difference how often it is asked.
pub fn begins_something(context: &Value) -> bool {
    read(context) == Ok(Verb::StartSync)
}

#[derive(Debug, PartialEq, Eq)]
enum Verb {
    LookupMember(Subject),
    StartSync,
    AccountSummary,
}

/// Reads the question; `Err` is the sentence that says what is wrong with it.
fn read(context: &Value) -> Result<Verb, String> {
    let Some(fields) = context.as_object() else {
        return Err(format!("The context must be an object with a verb: one of {VERBS}."));
    };
    let (verb, parameters): (&str, &[&str]) = match fields.get("verb").and_then(Value::as_str) {
        Some("lookup_member") => ("lookup_member", &["email", "user_id", "member_id"]),
        Some("start_sync") => ("start_sync", &[]),
        Some("account_summary") => ("account_summary", &[]),
        Some(other) => {
            let shown: String = other.chars().take(60).collect();
            return Err(format!("There is no verb {shown:?}; there are {VERBS}."));
        }
        None => return Err(format!("The context has no verb; it must be one of {VERBS}.")),
    };
    if let Some(other) = fields.keys().find(|name| *name != "verb" && !parameters.contains(&name.as_str())) {
        let shown: String = other.chars().take(60).collect();
        return Err(format!("{verb} takes no {shown:?}; there are {VERBS}."));
    }
    if verb != "lookup_member" {
        return Ok(if verb == "start_sync" { Verb::StartSync } else { Verb::AccountSummary });
    }
    let mut given = Vec::new();
    for name in parameters {
        match fields.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.trim().is_empty() => {}
            Some(Value::String(text)) if text.len() <= 320 => given.push((*name, text.trim().to_owned())),
            Some(_) => return Err(format!("{name} must be a text of at most 320 characters; there are {VERBS}.")),
        }
    }
    let [(name, text)] = given.as_slice() else {
        return Err(format!("lookup_member takes one of email, user_id and member_id; there are {VERBS}."));
    };
    let no_id = |_| format!("{name} must be 32 lower-case hexadecimal digits; there are {VERBS}.");
    Ok(Verb::LookupMember(match *name {
        "user_id" => Subject { user_id: Some(text.parse().map_err(no_id)?), ..Subject::default() },
        "member_id" => Subject { member_id: Some(text.parse().map_err(no_id)?), ..Subject::default() },
        _ if text.contains('@') => Subject::of_email(text.as_str()),
        _ => return Err(format!("email must be an e-mail address; there are {VERBS}.")),
    }))
}

async fn start_sync<P: Ask>(ports: &P) -> Result<Value, NotNow> {
    Ok(match ports.ask(Command::begin_sync("workflow", false)).await? {
        Reply::SyncBegun { run } => json!({ "started": true, "run": run }),
        Reply::SyncRunning { run } => json!({ "started": false, "run": run, "message": "A sync runs already." }),
        _ => return Err(Unreachable("its storage failed".to_owned()).into()),
    })
}

/// What every answer from a snapshot says of its age: when the last sync began that found the account so, which the Coordinator knows.
fn dated(answer: &mut Value, now: Timestamp, generation: &GenerationId, runs: &[sync::RunRecord]) {
    let as_of = sync::found_so(runs, generation);
    if let Value::Object(fields) = answer {
        fields.insert("generation".to_owned(), json!(generation));
        fields.insert("as_of".to_owned(), json!(as_of));
        let age = as_of.map(|as_of| (now.since(as_of) / 60_000).max(0));
        fields.insert("age_minutes".to_owned(), json!(age));
    }
}

async fn lookup<P: KeyValue>(ports: &P, snapshot: &Snapshot, subject: &Subject) -> Result<Value, NotNow> {
    let member = match find::in_snapshot(ports, snapshot, subject, Action::Revoke).await? {
        Meant::One(member) => member,
        // A record that cannot be read may be anybody's.
        Meant::Nobody if !snapshot.manifest().is_whole("members") => {
            return Ok(
                json!({ "error": "It is not clear whether there is such a member, since not every member's record can be read; GET /v1/status names those." }),
            );
        }
        Meant::Nobody => return Ok(json!({ "found": false, "status": "none" })),
        Meant::Unclear(why) => return Ok(json!({ "error": why })),
    };
    let catalogue = Catalogue::load(ports, snapshot).await?;
    Ok(shown(&member, snapshot, &catalogue))
}

fn shown(member: &Member, snapshot: &Snapshot, catalogue: &Catalogue) -> Value {
    let row = Row::member(member.clone());
    let own: Vec<Entitlement> = snapshot.manifest().grants_of(&row).into_iter().map(|(held, _)| held).collect();
    let mut left_out = 0;
    let mut cut = |mut items: Vec<Value>| {
        left_out += items.len().saturating_sub(MAX_ITEMS);
        items.truncate(MAX_ITEMS);
        items
    };
    let mut of = |kind: fn(&Entitlement) -> bool| {
        let held = own.iter().filter(|held| kind(held));
        cut(held.map(|held| json!({ "entitlement": held.to_string(), "name": catalogue.name(*held) })).collect())
    };
    let [roles, scoped_roles, of_groups] = [
        of(|held| matches!(held, Entitlement::Role(_))),
        of(|held| matches!(held, Entitlement::ScopedRole(_))),
        of(|held| matches!(held, Entitlement::Group(_))),
    ];
    let groups =
        own.iter().filter_map(|held| catalogue.get(*held)).filter(|it| matches!(it.entitlement, Entitlement::Group(_)));
    let through = groups
        .flat_map(|group| group.brings.iter().map(|held| (held, &group.name)))
        .map(|(held, group)| json!({ "entitlement": held.to_string(), "name": catalogue.name(*held), "group": group }));
    let through = cut(through.collect());
    json!({
        "found": true,
        "status": match member.status {
            MemberStatus::Accepted => "member",
            MemberStatus::Pending => "invited",
            MemberStatus::Rejected | MemberStatus::Other => "other",
        },
        "email": member.email,
        "display_name": member.display_name(),
        "member_id": member.member_id,
        "user_id": member.user_id,
        "two_factor": member.two_factor,
        "super_administrator": own.iter().any(|held| catalogue.makes_super_administrator(*held)),
        "roles": roles,
        "scoped_roles": scoped_roles,
        "groups": of_groups,
        "through_groups": through,
        "left_out": left_out,
    })
}

async fn summary<P: KeyValue>(ports: &P, snapshot: &Snapshot) -> Result<Value, NotNow> {
    let catalogue = Catalogue::load(ports, snapshot).await?;
    let (mut without, mut unknown, mut all) = (0_u64, 0_u64, 0_u64);
    let mut administrators = Vec::new();
    let count = |row: Row| {
        let Some(member) = row.as_member() else { return };
        match member.two_factor {
            Some(true) => {}
            Some(false) => without += 1,
            None => unknown += 1,
        }
        let mut held = snapshot.manifest().grants_of(&row).into_iter();
        if held.any(|(held, _)| catalogue.makes_super_administrator(held)) {
            all += 1;
            if administrators.len() < MAX_ITEMS {
                administrators.push(json!({ "email": member.email, "two_factor": member.two_factor }));
            }
        }
    };
    snapshot.each(ports, &[Kind::User], count).await?;
    let manifest = snapshot.manifest();
    let off = manifest.capabilities.iter().filter(|(_, capability)| !capability.on).map(|(name, _)| name);
    Ok(json!({
        "account_id": manifest.account_id,
        "counts": manifest.counts,
        "without_two_factor": without,
        "two_factor_unknown": unknown,
        "super_administrators": { "count": all, "people": administrators },
        "lists_that_cannot_be_read": off.collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{VERBS, Verb, read};

    #[test]
    fn a_verb_takes_its_own_parameters() {
        assert_eq!(read(&json!({"verb": "start_sync"})), Ok(Verb::StartSync));
        assert_eq!(read(&json!({"verb": "account_summary"})), Ok(Verb::AccountSummary));
        for (name, text) in
            [("email", " jane@example.com "), ("user_id", &*"1".repeat(32)), ("member_id", &*"2".repeat(32))]
        {
            let context = json!({"verb": "lookup_member", name: text});
            let Ok(Verb::LookupMember(subject)) = read(&context) else { panic!("{name}") };
            let found = [
                subject.emails.first().cloned(),
                subject.user_id.map(|id| id.to_string()),
                subject.member_id.map(|id| id.to_string()),
            ];
            assert!(found.iter().flatten().any(|found| found == text.trim()), "{name}");
        }
    }

    #[test]
    fn whatever_is_wrong_is_a_sentence_that_lists_the_verbs() {
        for context in [
            Value::Null,
            json!("lookup_member"),
            json!([]),
            json!({}),
            json!({"verb": 5}),
            json!({"verb": "drop_tables"}),
            json!({"verb": "start_sync", "force": true}),
            json!({"verb": "lookup_member"}),
            json!({"verb": "lookup_member", "email": ""}),
            json!({"verb": "lookup_member", "email": "jane"}),
            json!({"verb": "lookup_member", "email": ["jane@example.com"]}),
            json!({"verb": "lookup_member", "user_id": "jane@example.com"}),
            json!({"verb": "lookup_member", "email": "jane@example.com", "user_id": "1".repeat(32)}),
            json!({"verb": "lookup_member", "email": format!("{}@example.com", "x".repeat(400))}),
        ] {
            let sentence = read(&context).unwrap_err();
            assert!(
                sentence.ends_with('.') && sentence.contains(VERBS) && sentence.len() < 400,
                "{context}: {sentence}"
            );
        }
    }
}
