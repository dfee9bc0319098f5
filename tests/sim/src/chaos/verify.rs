//! Whether what the Worker said, kept and sent is right.

use std::collections::BTreeMap;

use serde_json::Value;

use super::trouble::Troubles;
use super::{PATIENCE, Report, Told, UNPROVEN};
use crate::conductorone::{CallbackPost, Verdict};
use crate::stage::Stage;

/// An operation in the journal.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: i64,
    pub(super) json: Value,
}

/// The journal, by the operations' keys.
pub(super) type Journal = BTreeMap<String, Entry>;

/// Whether an operation is a revoke that is carried out, and not told yet.
fn is_unproven(entry: &Value) -> bool {
    let lines = entry.get("trail").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    entry.get("outcome").is_none_or(Value::is_null)
        && lines.iter().filter_map(Value::as_str).any(|line| line.contains(UNPROVEN))
}

/// The same, with what C1 was called back since with revokes that had waited for their proof.
pub(super) async fn told_since(stage: &Stage, told: Vec<Told>, journal: &Journal) -> Result<Vec<Told>, String> {
    let mut all = Vec::new();
    for mut one in told {
        let waits = journal.get(&one.wish.key()).is_some_and(|entry| is_unproven(&entry.json));
        if one.document.is_null() && !waits {
            let called_back = stage.world.c1.callback(&one.delivery, PATIENCE).await;
            one.document = called_back.ok_or_else(|| format!("{}: settled, and no callback", one.wish))?;
        }
        all.push(one);
    }
    Ok(all)
}

/// Reads the journal. Each key may be there once, and each operation must be settled, but for revokes that wait for their proof.
pub(super) async fn journal(stage: &Stage) -> Result<Journal, String> {
    let mut journal = Journal::new();
    let mut cursor = String::new();
    for _ in 0..1_000 {
        let page = stage.json(&format!("/v1/operations?limit=500{cursor}")).await?;
        for entry in page.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
            let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
            let id = entry.get("id").and_then(Value::as_i64).ok_or("an operation has no number")?;
            let settled =
                text("state") == "settled" && !text("settled_at").is_empty() && entry.get("outcome").is_some();
            if !settled && !is_unproven(entry) {
                return Err(format!("an operation is not settled, though it was answered: {entry}"));
            }
            let known = journal.insert(text("key").to_owned(), Entry { id, json: entry.clone() });
            if known.is_some() {
                return Err(format!("an operation is in the journal twice: {entry}"));
            }
        }
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(journal),
        }
    }
    Err("the journal does not end".into())
}

/// Checks each webhook's answer against what became of it, and counts.
pub(super) fn answers(
    told: &[Told],
    journal: &Journal,
    posts: &[CallbackPost],
    troubles: &Troubles,
) -> Result<Report, String> {
    let mut report = Report { deliveries: told.len(), ..Report::default() };
    if journal.len() != told.len() {
        return Err(format!("{} webhooks, and {} operations in the journal", told.len(), journal.len()));
    }
    for one in told {
        answer(one, told, journal)?;
        report.attempts += one.outcome.attempts.len();
        report.errored += usize::from(one.document.get("errored").is_some());
        let unproven = one.document.is_null();
        report.unproven += usize::from(unproven);
        let answered = matches!(one.outcome.verdict, Verdict::Answered(_));
        report.answered += usize::from(answered);
        report.accepted += usize::from(!answered);
        let (taken, repeated) = callbacks(one, posts, troubles)?;
        // One whose answer a kill cut off may have been called back before C1 asked again.
        let expected = match (answered, unproven) {
            (true, _) => 0..=usize::from(!troubles.kills.is_empty()),
            (_, true) => 0..=1,
            _ => 1..=1,
        };
        if !expected.contains(&taken) {
            return Err(format!("{}: C1 took {taken} callbacks, {:?}", one.wish, one.outcome.verdict));
        }
        report.callbacks += taken;
        report.repeated += repeated;
    }
    Ok(report)
}

/// What C1 was told must be what the journal says; and an error has one reason only, that the contrary was asked for later.
fn answer(one: &Told, told: &[Told], journal: &Journal) -> Result<(), String> {
    let entry = journal.get(&one.wish.key()).ok_or_else(|| format!("{} is not in the journal", one.wish))?;
    if one.document.is_null() {
        return Ok(());
    }
    let outcome = entry.json.get("outcome").unwrap_or(&Value::Null);
    let field = |name: &str| outcome.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, document) = match field("outcome") {
        "done" => ("complete", one.document.get("complete")),
        _ => ("errored", one.document.get("errored")),
    };
    let said = document.and_then(|document| document.get("comment")).and_then(Value::as_str);
    if said != Some(field("message")) {
        return Err(format!("{}: C1 was told {}, and the journal says {kind}: {outcome}", one.wish, one.document));
    }
    if kind == "complete" {
        return Ok(());
    }
    let later = told.iter().any(|other| {
        (&other.wish.member, &other.wish.atom) == (&one.wish.member, &one.wish.atom)
            && other.wish.grants != one.wish.grants
            && journal.get(&other.wish.key()).is_some_and(|other| other.id > entry.id)
    });
    if field("code") == "superseded" && later { Ok(()) } else { Err(format!("{} was refused: {outcome}", one.wish)) }
}

/// How many callbacks of a webhook C1 took, and how many came again after that. The Worker forgets a callback when it
/// reads C1's 200; only a kill between the two can make it send one again, which C1 refuses.
fn callbacks(one: &Told, posts: &[CallbackPost], troubles: &Troubles) -> Result<(usize, usize), String> {
    let (mut taken, mut repeated) = (None, 0);
    for (place, post) in posts.iter().enumerate().filter(|(_, post)| one.delivery.callback_url.ends_with(&post.token)) {
        match taken {
            Some(before) => {
                if post.status == 200 {
                    return Err(format!("{}: C1 took two callbacks", one.wish));
                }
                if !troubles.kills.iter().any(|kill| (before + 1..=place).contains(kill)) {
                    return Err(format!("{}: the callback was sent again after C1 had taken it", one.wish));
                }
                repeated += 1;
            }
            None if post.status == 200 => {
                if post.body != one.document && !one.document.is_null() {
                    return Err(format!("{}: called back with {}, answered {}", one.wish, post.body, one.document));
                }
                taken = Some(place);
            }
            None => {}
        }
    }
    Ok((usize::from(taken.is_some()), repeated))
}

/// Delivers some of them once more, as if C1 had lost the answer: it gets the same, and nothing is written to Cloudflare; the alarm may
/// look after earlier writes meanwhile. A grant that was followed by its revoke stays revoked.
pub(super) async fn replays(stage: &Stage, told: &[Told]) -> Result<(), String> {
    let writes = || {
        let all = stage.cloudflare.exchanges();
        all.iter().filter(|exchange| exchange.method != "GET").count()
    };
    let before = writes();
    for one in told.iter().step_by(7).filter(|one| !one.document.is_null()) {
        let again = stage.world.deliver(&one.delivery).await;
        if again.document() != Some(&one.document) {
            return Err(format!("{}: answered {}, and then {:?}", one.wish, one.document, again.verdict));
        }
    }
    let more = writes() - before;
    if more > 0 { Err(format!("webhooks that were answered before caused {more} writes")) } else { Ok(()) }
}

/// The Worker must not have panicked.
pub(super) fn log(lines: &[String]) -> Result<(), String> {
    let bad = lines.iter().find(|line| line.contains("panicked") || line.contains("RuntimeError"));
    bad.map_or(Ok(()), |line| Err(format!("the Worker panicked: {line}")))
}
