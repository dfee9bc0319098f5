//! What changed: generation by generation, the newest first, or all in all between two of them.

use serde::Serialize;
use serde_json::{Value, json};

use super::asking::Ports;
use super::http::{Answer, Incoming, Problem};
use super::newest_first;
use super::paging::{self, Cursor};
use crate::base::tree::{BTreeMap, BTreeSet};
use crate::coordinator::Command;
use crate::ledger::past::Filter;
use crate::snapshot::{self, Change, GenerationId, Manifest, Snapshot, SnapshotError};

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
    /// Who did it and through what, grant by grant, as the ledger has it.
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
    Snapshot::open(ports, id).await.map_err(|error| match error {
        SnapshotError::Gone(_) => Problem::new(
            410,
            "generation_gone",
            format!(
                "the generation that {name} names is not kept, or not any more; GET /v1/history tells what was gained and lost further back"
            ),
        ),
        error => paging::unreadable(error),
    })
}

/// Lists changes: of each generation; after one of them (`since`); or what one of them has otherwise than another (`from`, `to`).
pub(super) async fn list<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let asked = paging::asked(request)?;
    let since = generation(request, "since")?;
    let (from, to) = (generation(request, "from")?, generation(request, "to")?);
    match from {
        Some(_) if since.is_some() => return Err(Problem::invalid("since and from exclude each other".to_owned())),
        Some(from) => return between(ports, request, &asked, &from, to.as_ref()).await,
        None if to.is_some() => {
            return Err(Problem::invalid("to wants from: the older of the two generations".to_owned()));
        }
        None => {}
    }
    let current = paging::open_published(ports, None).await?;
    let mut after = asked.cursor.as_ref().and_then(|cursor| cursor.after.clone());
    let mut newer = match &asked.cursor {
        Some(_) => paging::open_published(ports, asked.cursor.as_ref()).await?,
        None => current.clone(),
    };
    let mut items = Vec::new();
    for _ in 0..MAX_GENERATIONS {
        let generation = newer.manifest().generation.clone();
        let Some(previous) = newer.manifest().previous.as_ref().filter(|_| since.as_ref() != Some(&generation)) else {
            return Ok(paging::page(request, &current, items, None));
        };
        let older = match Snapshot::open(ports, previous).await {
            Ok(older) => older,
            // As far back as generations are kept.
            Err(SnapshotError::Gone(_)) => return Ok(paging::page(request, &current, items, None)),
            Err(error) => return Err(paging::unreadable(error)),
        };
        let room = asked.limit - items.len();
        let changes = snapshot::diff(ports, older.manifest(), newer.manifest(), after.as_deref(), room)
            .await
            .map_err(paging::unreadable)?;
        items.extend(told(ports, older.manifest(), newer.manifest(), changes.items).await?);
        if changes.next.is_some() {
            let next = Cursor::of(&newer, changes.next, None);
            return Ok(paging::page(request, &current, items, Some(&next)));
        }
        (newer, after) = (older, None);
        if items.len() == asked.limit {
            break;
        }
    }
    let next = Cursor::of(&newer, None, None);
    Ok(paging::page(request, &current, items, Some(&next)))
}

/// What `to` (the current generation, where nobody says) has otherwise than `from`: what came and went between them is not told.
async fn between<P: Ports>(
    ports: &P,
    request: &Incoming,
    asked: &paging::ListQuery,
    from: &GenerationId,
    to: Option<&GenerationId>,
) -> Result<Answer, Problem> {
    let newer = match (&asked.cursor, to) {
        (None, Some(to)) => named(ports, "to", to).await?,
        (cursor, _) => paging::open_published(ports, cursor.as_ref()).await?,
    };
    let older = named(ports, "from", from).await?;
    if older.manifest().generation > newer.manifest().generation {
        return Err(Problem::invalid("from must be the older of the two generations".to_owned()));
    }
    let after = asked.cursor.as_ref().and_then(|cursor| cursor.after.as_deref());
    let changes = snapshot::diff(ports, older.manifest(), newer.manifest(), after, asked.limit)
        .await
        .map_err(paging::unreadable)?;
    let next = changes.next.map(|next| Cursor::of(&newer, Some(next), None));
    let items = told(ports, older.manifest(), newer.manifest(), changes.items).await?;
    Ok(paging::page(request, &newer, items, next.as_ref()))
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

/// Changes whose authors are looked up for a page at most: the newest.
const MOST_AUTHORS: i64 = 5_000;

/// What the ledger says of these changes, by the resource's id: of each grant the newest.
async fn authors<P: Ports>(
    ports: &P,
    older: &Manifest,
    newer: &Manifest,
    changes: &[Change],
) -> Result<BTreeMap<String, Vec<Value>>, Problem> {
    let mut by: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let grants = changes.iter().flat_map(|change| change.grants_added.iter().chain(&change.grants_removed));
    let mut wanted: BTreeSet<String> = grants.map(|grant| grant.entitlement.grant_id(grant.principal)).collect();
    if wanted.is_empty() {
        return Ok(by);
    }
    let generations = Some((older.generation.clone(), newer.generation.clone()));
    let filter = Filter { generations, ..Filter::default() };
    let command = Command::History { filter: Box::new(filter), limit: MOST_AUTHORS };
    for change in super::ledger::told(ports, command).await?.changes {
        let of = |name: &str| change.get(name).cloned().unwrap_or_default();
        let principal = of("principal").as_str().unwrap_or_default().to_owned();
        let grant = format!("{}:{principal}", of("entitlement").as_str().unwrap_or_default());
        // What came and went is asked about by nobody.
        if wanted.remove(&grant) {
            let told =
                json!({ "grant": grant, "cause": of("cause"), "happened_at": of("happened_at"), "by": of("by") });
            by.entry(principal).or_default().push(told);
        }
    }
    Ok(by)
}
