//! What is new in a generation, put into the ledger.

use serde_json::json;

use super::UNSETTLED;
use crate::base::ports::{Clock, KeyValue, Sql, SqlError, SqlValue};
use crate::base::time::Timestamp;
use crate::base::tree::BTreeSet;
use crate::model::address;
use crate::model::grant::{Entitlement, Grant, Principal};
use crate::model::kind::Kind;
use crate::snapshot::{self, Change, GenerationId, Manifest, Snapshot, SnapshotError};

/// More changes than these in one generation are not recorded one by one: a mark says that the ledger has a gap there.
const MOST_CHANGES: usize = 100_000;

/// Changes that one statement stores: some 100 KB.
const AT_ONCE: usize = 400;

/// As many generations are caught up with at once, where a publication was not recorded.
const MOST_BEHIND: usize = 20;

/// A value that is not there this long after it was written will not come any more: KV takes a minute.
const LOST_AFTER_MILLIS: i64 = 10 * 60 * 1_000;

/// Whether it was gained, by whom, that one's membership and name, what, and the cause where it is known already.
type Line = (bool, String, Option<String>, String, String, &'static str);

/// What is held by a user since an invitation was accepted, before it has from the gain before by whom it is held.
const ACCEPTED_SO_FAR: &str = "?accepted";

/// Somebody else did it, by what the log tells so far.
pub const FOREIGN_SO_FAR: &str = "?foreign";

/// What the ledger is to have of one generation.
#[derive(Debug)]
pub struct Chapter {
    generation: GenerationId,
    at: Timestamp,
    /// `baseline`, `changes`, or `gap`.
    kind: &'static str,
    changes: Vec<Line>,
    /// Who came to be called otherwise: the principal, the name before, and the new one.
    names: Vec<(String, String, String)>,
}

impl Chapter {
    fn mark(manifest: &Manifest, kind: &'static str) -> Self {
        Self {
            generation: manifest.generation.clone(),
            at: manifest.finished_at,
            kind,
            changes: Vec::new(),
            names: Vec::new(),
        }
    }
}

/// The generation that a value names.
fn named(value: Option<&SqlValue>) -> Option<GenerationId> {
    value.and_then(SqlValue::text).and_then(GenerationId::parse)
}

/// The generation that was recorded last.
fn last(sql: &dyn Sql) -> Result<Option<GenerationId>, SqlError> {
    let value = sql.one("SELECT MAX(generation) FROM ledger_mark WHERE kind <> 'horizon' AND version = 1", &[])?;
    Ok(named(value.as_ref()))
}

/// The generation that was recorded last before another one, whatever became of it since; none before the first of all.
pub fn last_before(sql: &dyn Sql, generation: &GenerationId) -> Result<Option<GenerationId>, SqlError> {
    let value = sql.one(
        "SELECT MAX(generation) FROM ledger_mark WHERE kind <> 'horizon' AND version = 1 AND generation < ?",
        &[generation.into()],
    )?;
    Ok(named(value.as_ref()))
}

/// Whether the ledger has a generation that was published before a time.
pub fn is_published_before(sql: &dyn Sql, generation: &GenerationId, at: Option<Timestamp>) -> Result<bool, SqlError> {
    let statement = "SELECT 1 FROM ledger_mark WHERE generation = ? AND at < ?";
    sql.has(statement, &[generation.into(), at.into()])
}

/// Finds out what the ledger does not have yet, up to a generation. What cannot be read right now is left for the next time.
pub async fn read<P: KeyValue + Sql + Clock>(kv: &P, newest: &Manifest) -> Result<Vec<Chapter>, SqlError> {
    let Some(last) = last(kv)? else { return Ok(vec![Chapter::mark(newest, "baseline")]) };
    let mut chain = vec![newest.clone()];
    while let Some(child) = chain.last().filter(|child| child.generation != last) {
        let is_too_far = child.generation < last || chain.len() > MOST_BEHIND;
        let Some(parent) = child.previous.as_ref().filter(|_| !is_too_far) else {
            return Ok(vec![Chapter::mark(newest, "gap")]);
        };
        match Snapshot::open(kv, parent).await {
            Ok(parent) => chain.push(parent.manifest().clone()),
            Err(error) if is_lost(&error) && kv.now().since(child.finished_at) > LOST_AFTER_MILLIS => {
                return Ok(vec![Chapter::mark(newest, "gap")]);
            }
            Err(_) => return Ok(Vec::new()),
        }
    }
    let mut chapters = Vec::new();
    while let (Some(old), Some(new)) = (chain.pop(), chain.last()) {
        match chapter(kv, &old, new).await {
            Ok(chapter) => chapters.push(chapter),
            Err(error) if is_lost(&error) && kv.now().since(new.finished_at) > LOST_AFTER_MILLIS => {
                chapters.push(Chapter::mark(new, "gap"));
            }
            Err(_) => break,
        }
    }
    Ok(chapters)
}

const fn is_lost(error: &SnapshotError) -> bool {
    !matches!(error, SnapshotError::Kv(_))
}

async fn chapter<P: KeyValue>(kv: &P, old: &Manifest, new: &Manifest) -> Result<Chapter, SnapshotError> {
    let mut chapter = Chapter::mark(new, "changes");
    let mut after: Option<String> = None;
    loop {
        let page = snapshot::diff(kv, old, new, after.as_deref(), 500).await?;
        for change in &page.items {
            add(&mut chapter, change, (old, new));
        }
        if chapter.changes.len() + chapter.names.len() > MOST_CHANGES {
            return Ok(Chapter::mark(new, "gap"));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    // Whoever accepts an invitation holds the same by the same membership. Who is invited again, or a user group that is made again, is another one.
    let of = |kind: Kind, gained: bool| -> BTreeSet<(Option<String>, String)> {
        let changes = chapter.changes.iter().filter(|it| it.0 == gained && it.1.starts_with(&kind.prefix()));
        changes.map(|change| (change.2.clone(), change.4.clone())).collect()
    };
    let (gained, lost) = (of(Kind::User, true), of(Kind::Invitation, false));
    for change in &mut chapter.changes {
        let same = (change.2.clone(), change.4.clone());
        if gained.contains(&same) && lost.contains(&same) {
            change.5 = if change.0 { ACCEPTED_SO_FAR } else { "accepted" };
        }
    }
    Ok(chapter)
}

/// Whether a grant that is new may have been there all the time: a list of which nothing was known tells what was so before. Who is in a user group
/// is told by lists of their own, which are known or not as one: a group that somebody was in was read, and one that was not there is new.
pub fn is_first_seen(grant: &Grant, old: &Manifest, new: &Manifest) -> bool {
    let is_new = |list| !old.knows(list) && new.knows(list);
    let is_membership = matches!(grant.entitlement, Entitlement::Group(_));
    is_membership && is_new("user_group_members") && old.has_unheld(grant.entitlement)
        || (is_membership || matches!(grant.principal, Principal::Group(_))) && is_new("user_groups")
}

fn add(chapter: &mut Chapter, change: &Change, (old, new): (&Manifest, &Manifest)) {
    let member = change.member_id.map(|id| id.to_string());
    let name = address::folded(&change.name);
    let former = change.former_name.as_deref().map(address::folded).filter(|former| *former != name);
    if let (Some(former), Ok(_)) = (former, change.key.parse::<Principal>()) {
        chapter.names.push((change.key.clone(), former, name.clone()));
    }
    for (grants, gained) in [(&change.grants_removed, false), (&change.grants_added, true)] {
        for grant in grants {
            let cause = if gained && is_first_seen(grant, old, new) { "first_seen" } else { "" };
            let (principal, entitlement) = (grant.principal.to_string(), grant.entitlement.to_string());
            chapter.changes.push((gained, principal, member.clone(), name.clone(), entitlement, cause));
        }
    }
}

/// Stores chapters, each as a whole: its mark says that the ledger has it. One that is stored already is left alone.
pub fn write(sql: &dyn Sql, chapters: &[Chapter]) -> Result<(), SqlError> {
    chapters.iter().try_for_each(|chapter| sql.whole(&mut || write_one(sql, chapter)))
}

fn write_one(sql: &dyn Sql, chapter: &Chapter) -> Result<(), SqlError> {
    let generation = chapter.generation.to_string();
    let is_new = sql.query(
        "INSERT INTO ledger_mark (generation, at, kind) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1",
        &[generation.as_str().into(), chapter.at.into(), chapter.kind.into()],
    )?;
    if is_new.is_empty() {
        return Ok(());
    }
    for names in chapter.names.chunks(AT_ONCE) {
        sql.run(
            "INSERT INTO former_name (at, generation, principal, former, name) \
             SELECT ?1, ?2, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') \
             FROM json_each(?3)",
            &[chapter.at.into(), generation.as_str().into(), json!(names).to_string().into()],
        )?;
    }
    for changes in chapter.changes.chunks(AT_ONCE) {
        sql.run(
            "INSERT INTO ledger (at, generation, gained, principal, member, name, entitlement, cause) \
             SELECT ?1, ?2, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), \
                json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]') FROM json_each(?3)",
            &[chapter.at.into(), generation.as_str().into(), json!(changes).to_string().into()],
        )?;
    }
    Ok(())
}

/// A change whose cause is not settled yet.
#[derive(Debug)]
pub struct UnexplainedChange {
    /// Its number.
    pub id: i64,
    /// Gained or lost.
    pub gained: bool,
    /// Who.
    pub principal: String,
    /// That one's membership.
    pub member: Option<String>,
    /// That one's e-mail address or name, folded.
    pub name: String,
    /// What.
    pub entitlement: String,
    /// The generation before was published then: it happened later than its crawl.
    pub after: Timestamp,
    /// The sync of the generation that shows it began then.
    pub began: Timestamp,
    /// That generation was published then.
    pub at: Timestamp,
    /// The cause that is told so far.
    so_far: String,
}

/// What a principal was called when it last gained or lost something.
pub fn last_name(sql: &dyn Sql, principal: &str) -> Result<Option<String>, SqlError> {
    sql.text(
        "SELECT name FROM ledger WHERE principal = ? AND version = 1 ORDER BY id DESC LIMIT 1",
        &[principal.into()],
    )
}

/// At most as many who had one name are told.
const MOST_CALLED: i64 = 5;

/// Who was called so and is called otherwise since, whoever was so last first; nobody after whom somebody else was called so. Who was invited so may be
/// called otherwise since it was accepted: an invitation and a user are two, of whom no former name is noted.
pub fn once_called(sql: &dyn Sql, name: &str) -> Result<Vec<String>, SqlError> {
    let rows = sql.query(
        "SELECT principal FROM (SELECT principal, at FROM former_name WHERE former = ?1 AND version = 1 \
            UNION SELECT principal, at FROM ledger WHERE name = ?1 AND principal LIKE 'invitation:%' AND version = 1) AS one \
         WHERE NOT EXISTS ( \
            SELECT 1 FROM ledger WHERE name = ?1 AND principal <> one.principal AND at > one.at AND ledger.version = 1) \
         GROUP BY principal ORDER BY MAX(at) DESC LIMIT ?2",
        &[address::folded(name).into(), MOST_CALLED.into()],
    )?;
    Ok(rows.iter().filter_map(|row| row.first()?.text().map(str::to_owned)).collect())
}

/// When it was last told before a time that somebody gained something, or lost it, as the same principal or by the same name, where that is given:
/// what brought that about explains nothing that comes later.
pub fn told_before(
    sql: &dyn Sql,
    (principal, name, entitlement): (&str, Option<&str>, &str),
    gained: bool,
    before: Timestamp,
) -> Result<Option<Timestamp>, SqlError> {
    sql.time(
        "SELECT MAX(at) FROM ledger \
         WHERE (principal = ? OR name = ?) AND entitlement = ? AND gained = ? AND at < ? AND version = 1",
        &[
            principal.into(),
            name.map(str::to_owned).into(),
            entitlement.into(),
            i64::from(gained).into(),
            before.into(),
        ],
    )
}

/// A member may have been read so long before that is noted, or shown as it was before: what the log tells of since then may not be in it yet.
const BEHIND_SECS: i64 = 60;

/// What was done before this is not what a principal was seen to have gained or lost at a time: the last generation before, in which that one changed,
/// has it. A small publication, which may have waited for room, has it as of the first read that it took in. Who is in a user group is read by itself:
/// that bounds nothing else, and nothing else bounds it.
pub fn changed_since(
    sql: &dyn Sql,
    (principal, entitlement): (&str, &str),
    at: Timestamp,
) -> Result<Option<Timestamp>, SqlError> {
    let rows = sql.query(
        "SELECT generation, (SELECT MIN(at) FROM overlay WHERE overlay.generation = last.generation AND overlay.member = last.member) \
         FROM (SELECT MAX(generation) AS generation, member FROM ledger \
            WHERE principal = ? AND instr(entitlement || ?, 'group:') = 0 AND at < ? AND version = 1) AS last",
        &[principal.into(), entitlement.into(), at.into()],
    )?;
    let Some([generation, read_at]) = rows.first().map(Vec::as_slice) else { return Ok(None) };
    let read_at = read_at.time();
    let began = named(Some(generation)).and_then(|last| last.began_at());
    Ok(began.map(|began| read_at.map_or(began, |read_at| began.min(read_at)).plus_secs(-BEHIND_SECS)))
}

/// When a grant was gained in a generation between two, and not lost in a later one of these: one that is lost since may have told it.
pub fn told_between(
    sql: &dyn Sql,
    (principal, entitlement): (&str, &str),
    (old, new): (&GenerationId, &GenerationId),
) -> Result<Option<Timestamp>, SqlError> {
    sql.time(
        "SELECT CASE gained WHEN 1 THEN at END FROM ledger \
         WHERE principal = ? AND entitlement = ? AND generation > ? AND generation < ? AND version = 1 ORDER BY id DESC LIMIT 1",
        &[principal.into(), entitlement.into(), old.into(), new.into()],
    )
}

/// The newest generation that is kept, is in the ledger, is not newer than another, and of which all that changed until then is explained as
/// far as it ever will be; and when the last change until the one that was asked for was seen that is not.
pub fn newest_explained(
    sql: &dyn Sql,
    newest: &GenerationId,
    asked: &GenerationId,
) -> Result<(Option<GenerationId>, Option<Timestamp>), SqlError> {
    let rows = sql.query(
        &format!(
            "SELECT (SELECT MAX(id) FROM generation WHERE id <= ?1 \
                    AND id <= (SELECT MAX(generation) FROM ledger_mark WHERE kind <> 'horizon' AND version = 1) \
                    AND id < COALESCE((SELECT MIN(generation) FROM ledger WHERE {UNSETTLED} AND version = 1), '~')), \
                (SELECT MAX(at) FROM ledger WHERE {UNSETTLED} AND version = 1 AND generation <= ?2)"
        ),
        &[newest.into(), asked.into()],
    )?;
    let Some([explained, open]) = rows.first().map(Vec::as_slice) else { return Ok((None, None)) };
    Ok((explained.text().and_then(GenerationId::parse), open.time()))
}

/// Whether the ledger has a generation, and what changed until then is explained as far as it ever will be.
pub fn is_explained(sql: &dyn Sql, generation: &GenerationId) -> Result<bool, SqlError> {
    let open = format!("SELECT 1 FROM ledger WHERE {UNSETTLED} AND version = 1 AND generation <= ? LIMIT 1");
    Ok(last(sql)?.as_ref() >= Some(generation) && !sql.has(&open, &[generation.into()])?)
}

/// The number of the newest change.
pub fn newest(sql: &dyn Sql) -> Result<i64, SqlError> {
    Ok(sql.number("SELECT MAX(id) FROM ledger", &[])?.unwrap_or_default())
}

/// Changes after one whose cause is not settled yet, the oldest first. Of those that somebody else did so far, there is nothing new before the log is told
/// in full, which it is until a time. The mark before a change is found by the order of generations, however many there are.
pub fn unexplained(
    sql: &dyn Sql,
    told_until: Timestamp,
    after: i64,
    limit: usize,
) -> Result<Vec<UnexplainedChange>, SqlError> {
    let rows = sql.query(
        &format!(
            "SELECT id, gained, principal, member, name, entitlement, at, COALESCE((SELECT mark.at FROM ledger_mark AS mark \
                WHERE mark.generation < ledger.generation AND mark.kind <> 'horizon' ORDER BY mark.generation DESC LIMIT 1), 0), \
                generation, cause \
             FROM ledger WHERE {UNSETTLED} AND version = 1 AND (cause <> ? OR at <= ?) AND id > ? ORDER BY id LIMIT {limit}"
        ),
        &[FOREIGN_SO_FAR.into(), told_until.into(), after.into()],
    )?;
    let read = |row: &Vec<SqlValue>| {
        let [id, gained, principal, member, name, entitlement, at, after, generation, so_far] = row.as_slice() else {
            return None;
        };
        let at = at.time()?;
        Some(UnexplainedChange {
            id: id.integer()?,
            gained: gained.integer()? == 1,
            principal: principal.text()?.to_owned(),
            member: member.text().map(str::to_owned),
            name: name.text()?.to_owned(),
            entitlement: entitlement.text()?.to_owned(),
            after: after.time()?,
            began: generation.text().and_then(GenerationId::parse).and_then(|id| id.began_at()).unwrap_or(at),
            at,
            so_far: so_far.text()?.to_owned(),
        })
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// The last loss within a time that somebody else did not bring about: what they took away is not what came back.
fn lost(
    sql: &dyn Sql,
    column: &str,
    (who, entitlement): (&str, &str),
    since: Timestamp,
    until: Timestamp,
) -> Result<Option<i64>, SqlError> {
    sql.number(
        &format!(
            "SELECT MAX(id) FROM ledger WHERE {column} = ? AND entitlement = ? AND gained = 0 AND at BETWEEN ? AND ? AND version = 1 \
                AND cause NOT LIKE '%foreign'"
        ),
        &[who.into(), entitlement.into(), since.into(), until.into()],
    )
}

/// Whether somebody, by name, lost something within a time that somebody else did not take away.
pub fn lost_since(sql: &dyn Sql, of: (&str, &str), since: Timestamp, until: Timestamp) -> Result<bool, SqlError> {
    Ok(lost(sql, "name", of, since, until)?.is_some())
}

/// Notes of what is held since an invitation was accepted, or was sent again by an operation that arrived then, by whom it was given: as the
/// gain before tells it, once that is settled. Whether the change is such a one.
pub fn accepted(sql: &dyn Sql, change: &UnexplainedChange, sent_again: Option<Timestamp>) -> Result<bool, SqlError> {
    let (column, who, since) = match (sent_again, &change.member) {
        (Some(since), _) => ("name", change.name.clone(), since),
        (None, Some(member)) if change.so_far == ACCEPTED_SO_FAR => {
            ("principal", format!("{}{member}", Kind::Invitation.prefix()), change.at)
        }
        _ => return Ok(false),
    };
    let Some(lost) = lost(sql, column, (&who, &change.entitlement), since, change.at)? else { return Ok(false) };
    sql.run(
        &format!(
            "WITH before AS (SELECT one.gained, one.cause, one.happened_at, one.by FROM ledger AS one \
                JOIN ledger AS lost ON lost.id = ?2 AND one.principal = lost.principal AND one.entitlement = lost.entitlement \
                WHERE one.id < lost.id AND one.version = 1 ORDER BY one.id DESC LIMIT 1) \
             UPDATE ledger SET cause = 'accepted', (happened_at, by) = (SELECT happened_at, by FROM before WHERE gained = 1) \
             WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM before WHERE {UNSETTLED})"
        ),
        &[change.id.into(), lost.into()],
    )?;
    Ok(true)
}

/// Notes what a change came from: so far, where the cause begins so. What is settled stays.
pub fn explained(
    sql: &dyn Sql,
    id: i64,
    cause: &str,
    happened_at: Option<Timestamp>,
    by: &serde_json::Value,
) -> Result<(), SqlError> {
    sql.run(
        &format!("UPDATE ledger SET cause = ?, happened_at = ?, by = ? WHERE id = ? AND {UNSETTLED}"),
        &[cause.into(), happened_at.into(), by.to_string().into(), id.into()],
    )
}
