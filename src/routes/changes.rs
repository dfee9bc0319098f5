//! What changed, generation by generation, the newest first.

use serde::Serialize;
use serde_json::{Value, json};

use super::asking::Ports;
use super::http::{Answer, Incoming, Problem};
use super::paging::{self, Cursor};
use crate::base::tree::BTreeMap;
use crate::coordinator::Command;
use crate::ledger::past::Filter;
use crate::snapshot::{self, Change, GenerationId, Snapshot, SnapshotError};

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

/// Lists changes; `since` names a generation whose changes, and those before it, are not wanted.
pub(super) async fn list<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let asked = paging::asked(request)?;
    let since = request.param("since").and_then(GenerationId::parse);
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
        let published_at = newer.manifest().finished_at.to_string();
        let mut by = authors(ports, &generation, &changes.items).await?;
        items.extend(changes.items.into_iter().map(|change| Item {
            generation: generation.clone(),
            published_at: published_at.clone(),
            by: by.remove(&change.key).unwrap_or_default(),
            change,
        }));
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

/// Changes of a generation whose authors are looked up for a page at most.
const MOST_AUTHORS: i64 = 5_000;

/// What the ledger says of these changes, by the resource's id.
async fn authors<P: Ports>(
    ports: &P,
    generation: &GenerationId,
    changes: &[Change],
) -> Result<BTreeMap<String, Vec<Value>>, Problem> {
    let mut by: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    if changes.iter().all(|change| change.grants_added.is_empty() && change.grants_removed.is_empty()) {
        return Ok(by);
    }
    let filter = Filter { generation: Some(generation.clone()), ..Filter::default() };
    let command = Command::History { filter: Box::new(filter), limit: MOST_AUTHORS };
    for change in super::ledger::told(ports, command).await?.changes {
        let of = |name: &str| change.get(name).cloned().unwrap_or_default();
        let grant = format!(
            "{}:{}",
            of("entitlement").as_str().unwrap_or_default(),
            of("principal").as_str().unwrap_or_default()
        );
        let told = json!({ "grant": grant, "cause": of("cause"), "happened_at": of("happened_at"), "by": of("by") });
        by.entry(of("principal").as_str().unwrap_or_default().to_owned()).or_default().push(told);
    }
    Ok(by)
}
