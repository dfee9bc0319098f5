//! What changed: generation by generation, the newest first, or all in all between two of them.

use serde::Serialize;
use serde_json::Value;

use super::asking::Ports;
use super::http::{Answer, Incoming, Problem};
use super::newest_first;
use super::paging::{self, Cursor, PageBody};
use crate::audit::entries::UNKNOWN;
use crate::base::object::object_of;
use crate::base::time::Timestamp;
use crate::base::tree::{BTreeMap, BTreeSet};
use crate::coordinator::Command;
use crate::ledger::past::Authorship;
use crate::model::resource::{Row, Token};
use crate::snapshot::{self, Change, ChangeKind, Changes, GenerationId, Manifest, Snapshot, SnapshotError};

/// A page looks at this many generations at most, so that a long quiet time does not make it slow.
const MAX_GENERATIONS: usize = 10;

#[derive(Serialize)]
struct Item {
    /// The generation that has the change.
    generation: GenerationId,
    /// When it was published.
    published_at: String,
    #[serde(flatten)]
    change: Change,
    /// Who did it and through what: grant by grant, as the ledger has it, and of what else changed, as the audit log has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    by: Vec<Value>,
}

/// A parameter that names a generation.
fn generation(request: &Incoming, name: &str) -> Result<Option<GenerationId>, Problem> {
    let read = |text: String| {
        GenerationId::parse(&text).ok_or_else(|| {
            Problem::invalid(format!(
                "{name} must be the id of a generation, as GET /v1/status and this list have them"
            ))
        })
    };
    newest_first::text(request, name).map(read).transpose()
}

/// Opens the generation that a parameter names.
async fn named<P: Ports>(ports: &P, name: &str, id: &GenerationId) -> Result<Snapshot, Problem> {
    paging::named(ports, &id.to_string()).await?.map_err(|error| match error {
        SnapshotError::Gone(_) => gone(name),
        error => paging::unreadable(error),
    })
}

/// That the current generation is the newest one that was published, where it is not newer than one that is asked about: "nothing changed since"
/// would not be true.
async fn not_behind<P: Ports>(ports: &P, current: &Snapshot, asked: &GenerationId) -> Result<(), Problem> {
    if *asked < current.manifest().generation {
        return Ok(());
    }
    match paging::newer(ports, current).await? {
        Some(newest) => Err(paging::unreadable(SnapshotError::NotReplicated(format!("generation {newest}")))),
        None => Ok(()),
    }
}

/// The problem that what changed since the generation that a parameter names is not known any more.
fn gone(name: &str) -> Problem {
    Problem::new(
        410,
        "generation_gone",
        format!(
            "the generation that {name} names is not kept, or not any more; GET /v1/history tells what was gained and lost further back"
        ),
    )
}

/// A page as an answer. It has no tag: who did what becomes known later, of a generation that stays.
fn page(snapshot: &Snapshot, items: Vec<Item>, next: Option<&Cursor>) -> Answer {
    Answer::json(200, &PageBody::of(snapshot, items, next))
}

/// Lists changes: of each generation; after one of them (`since`); or what one of them has otherwise than another (`from`, `to`).
pub(super) async fn list<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let asked = paging::asked(request)?;
    let since = generation(request, "since")?;
    let (from, to) = (generation(request, "from")?, generation(request, "to")?);
    match from {
        Some(_) if since.is_some() => return Err(Problem::invalid("since and from exclude each other".to_owned())),
        Some(from) => return between(ports, &asked, &from, to.as_ref()).await,
        None if to.is_some() => {
            return Err(Problem::invalid("to wants from: the older of the two generations".to_owned()));
        }
        None => {}
    }
    let mut after = asked.cursor.as_ref().and_then(|cursor| cursor.after.clone());
    // A page names what it goes on from, and nothing newer: who asks since then is told all that came later.
    let current = paging::open_published(ports, asked.cursor.as_ref()).await?;
    let mut newer = current.clone();
    if let Some(since) = &since {
        if asked.cursor.is_none() {
            not_behind(ports, &current, since).await?;
        }
        named(ports, "since", since).await?;
    }
    let mut items = Vec::new();
    for _ in 0..MAX_GENERATIONS {
        if since.as_ref() == Some(&newer.manifest().generation) {
            return Ok(page(&current, items, None));
        }
        if items.len() == asked.limit {
            break;
        }
        let older = match &newer.manifest().previous {
            Some(previous) => paging::named(ports, &previous.to_string()).await?,
            None => Err(SnapshotError::NoneYet),
        };
        let older = match older {
            Ok(older) => older,
            // As far back as generations are kept. Whoever wants all since one of them must not take that for all.
            Err(SnapshotError::Gone(_) | SnapshotError::NoneYet) if since.is_some() => return Err(gone("since")),
            Err(SnapshotError::Gone(_) | SnapshotError::NoneYet) => return Ok(page(&current, items, None)),
            Err(error) => return Err(paging::unreadable(error)),
        };
        let room = asked.limit - items.len();
        let mut changes = snapshot::diff(ports, older.manifest(), newer.manifest(), after.as_deref(), room)
            .await
            .map_err(paging::unreadable)?;
        fit(&mut changes);
        items.extend(told(ports, older.manifest(), newer.manifest(), changes.items).await?);
        if changes.next.is_some() {
            let next = Cursor::of(&newer, changes.next, None);
            return Ok(page(&current, items, Some(&next)));
        }
        (newer, after) = (older, None);
    }
    let next = Cursor::of(&newer, None, None);
    Ok(page(&current, items, Some(&next)))
}

/// What `to` (the current generation, where nobody says) has otherwise than `from`: what came and went between them is not told.
async fn between<P: Ports>(
    ports: &P,
    asked: &paging::ListQuery,
    from: &GenerationId,
    to: Option<&GenerationId>,
) -> Result<Answer, Problem> {
    let newer = match (&asked.cursor, to) {
        (None, Some(to)) => named(ports, "to", to).await?,
        (cursor, _) => paging::open_published(ports, cursor.as_ref()).await?,
    };
    if to.is_none() && asked.cursor.is_none() {
        not_behind(ports, &newer, from).await?;
    }
    let older = named(ports, "from", from).await?;
    if older.manifest().generation > newer.manifest().generation {
        return Err(Problem::invalid("from must be the older of the two generations".to_owned()));
    }
    let after = asked.cursor.as_ref().and_then(|cursor| cursor.after.as_deref());
    let mut changes = snapshot::diff(ports, older.manifest(), newer.manifest(), after, asked.limit)
        .await
        .map_err(paging::unreadable)?;
    fit(&mut changes);
    let next = changes.next.map(|next| Cursor::of(&newer, Some(next), None));
    let items = told(ports, older.manifest(), newer.manifest(), changes.items).await?;
    Ok(page(&newer, items, next.as_ref()))
}

/// Changes as they are told: with the newer generation, and by whom.
async fn told<P: Ports>(
    ports: &P,
    older: &Manifest,
    newer: &Manifest,
    changes: Vec<Change>,
) -> Result<Vec<Item>, Problem> {
    let mut by = authors(ports, older, newer, &changes).await?;
    let published_at = newer.finished_at.to_string();
    let item = |change: Change| Item {
        generation: newer.generation.clone(),
        published_at: published_at.clone(),
        by: by.remove(&change.key).unwrap_or_default(),
        change,
    };
    Ok(changes.into_iter().map(item).collect())
}

/// A page has at most this many grants, of which each has its author, unless one row alone has more.
const MOST_GRANTS: usize = 5_000;

/// Ends a page before it has too many grants.
fn fit(changes: &mut Changes) {
    let mut count = 0;
    let fits = |change: &Change| {
        count += change.grants_added.len() + change.grants_removed.len();
        count <= MOST_GRANTS
    };
    let fitting = changes.items.iter().map(fits).take_while(|&fits| fits).count().max(1);
    if fitting < changes.items.len() {
        changes.items.truncate(fitting);
        changes.next = changes.items.last().map(|last| last.key.clone());
    }
}

/// Fields that nobody changes: they follow from what others do, or from the time.
const NOBODYS: [&str; 8] =
    ["creator_is", "ending", "is_own", "last_used_day", "provisioner_is", "signs", "unread", "untold"];

/// Whether a change has an author beside those of its grants. What is a person's own, such as the address, comes with no entry: where
/// something was gained or lost, an entry about that person is about that.
fn has_own_author(change: &Change) -> bool {
    let has_grants = change.has_grants();
    let has_fields = change.fields.iter().any(|field| !NOBODYS.contains(&field.as_str()));
    match change.kind {
        ChangeKind::Changed => has_fields && !(has_grants && change.member_id.is_some()),
        ChangeKind::Added | ChangeKind::Removed => !has_grants,
    }
}

/// Whether all that changed may be that a token's end has come, which is nobody's doing unless the log names somebody: a list leaves it out from then on, or
/// tells it as expired.
async fn has_ended<P: Ports>(ports: &P, older: &Snapshot, newer: &Manifest, change: &Change) -> Result<bool, Problem> {
    let is_of_time = |field: &String| field == "status" || NOBODYS.contains(&field.as_str());
    let is_there_before = change.kind != ChangeKind::Added && Row::is_token_key(&change.key);
    if !is_there_before || !change.fields.iter().all(is_of_time) {
        return Ok(false);
    }
    let was = older.get(ports, &change.key).await.map_err(paging::unreadable)?;
    // What had expired before is gone because somebody removed it.
    let was = was.as_ref().and_then(Row::as_token).filter(|was| was.status != Token::EXPIRED);
    Ok(was.and_then(|was| was.expires_on).is_some_and(|end| end <= newer.finished_at))
}

/// Who did these changes, by the resource's id: of each grant, and of what else changed.
async fn authors<P: Ports>(
    ports: &P,
    older: &Manifest,
    newer: &Manifest,
    changes: &[Change],
) -> Result<BTreeMap<String, Vec<Value>>, Problem> {
    // Of what changes without a grant, the log has a person's names alone, and the policies.
    let of = |change: &Change| {
        let is_told = |field: &String| field.ends_with("_name") || field == "atoms";
        let is_logged = change.kind != ChangeKind::Changed || change.fields.iter().any(is_told);
        (change.key.clone(), change.member_id.filter(|_| is_logged).map(|id| id.to_string()))
    };
    let (mut rows, mut ended, before) = (Vec::new(), BTreeSet::new(), Snapshot::of(older.clone()));
    for change in changes.iter().filter(|change| has_own_author(change)) {
        if has_ended(ports, &before, newer, change).await? {
            ended.insert(change.key.clone());
        }
        rows.push(of(change));
    }
    let grants = changes.iter().flat_map(|change| change.grants_added.iter().chain(&change.grants_removed));
    let grants: Vec<(String, String)> =
        grants.map(|grant| (grant.principal.to_string(), grant.entitlement.to_string())).collect();
    let asked = Authorship {
        generations: (older.generation.clone(), newer.generation.clone()),
        published: (older.finished_at, newer.finished_at),
        grants,
        rows,
    };
    let mut by: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    if asked.grants.is_empty() && asked.rows.is_empty() {
        return Ok(by);
    }
    let mut unknown: BTreeSet<(String, String)> = asked.grants.iter().cloned().collect();
    for change in super::ledger::told(ports, Command::Authors(Box::new(asked))).await?.changes {
        let of = |name: &str| change.get(name).cloned().unwrap_or_default();
        let text = |name: &str| of(name).as_str().unwrap_or_default().to_owned();
        let mut told = vec![("cause", of("cause")), ("happened_at", of("happened_at")), ("by", of("by"))];
        let mut key = text("key");
        // Where nobody did anything since the older generation was read, it was the time. Of several people nobody knows when the one did it.
        let happened_at = Timestamp::parse(&text("happened_at"));
        let is_nobodys = text("cause") == UNKNOWN || happened_at.is_some_and(|at| at < older.started_at);
        if ended.contains(&key) && is_nobodys {
            continue;
        }
        if key.is_empty() {
            let grant = (text("principal"), text("entitlement"));
            told.push(("grant", grant_id(&grant)));
            unknown.remove(&grant);
            key = grant.0;
        }
        by.entry(key).or_default().push(object_of(told));
    }
    for grant in unknown {
        let nobody = object_of(vec![("who", UNKNOWN.into()), ("through", UNKNOWN.into())]);
        let told = object_of(vec![
            ("cause", UNKNOWN.into()),
            ("happened_at", Value::Null),
            ("by", nobody),
            ("grant", grant_id(&grant)),
        ]);
        by.entry(grant.0).or_default().push(told);
    }
    Ok(by)
}

fn grant_id((principal, entitlement): &(String, String)) -> Value {
    format!("{entitlement}:{principal}").into()
}
