//! Entries that are of the account's access: what they are about, who made them, and through what.

use serde::Serialize;

use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::time::Timestamp;
use crate::cloudflare::AuditEntry;
use crate::model::id::{MemberId, TokenId, UserGroupId};

/// Entries are kept for as long as anybody asks after them, and at most this many.
const KEPT_SECS: i64 = 8 * 24 * 60 * 60;
const MOST: i64 = 20_000;

/// How many of the oldest are looked at each time whether they are to be forgotten.
const LOOKED_AT: i64 = 50;

/// Who made a change, and through what, as far as the log tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// An e-mail address, a token's name, or an id; `unknown` where the log tells nobody.
    pub who: String,
    /// `the dashboard`, `the API token <name>`, `a global API key`, `an OAuth client`; `unknown` where the log tells nothing.
    pub through: String,
    /// When.
    pub at: Option<Timestamp>,
    /// The log's entry.
    pub entry: Option<String>,
}

/// The word for what nobody tells.
pub const UNKNOWN: &str = "unknown";

impl Author {
    /// Nobody that is known.
    pub fn unknown() -> Self {
        Self { who: UNKNOWN.to_owned(), through: UNKNOWN.to_owned(), at: None, entry: None }
    }

    /// The author as a part of a sentence.
    pub fn in_words(&self) -> String {
        if self.who == UNKNOWN {
            "somebody unknown".to_owned()
        } else {
            format!("{} through {}", self.who, self.through)
        }
    }
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A membership.
    Member(MemberId),
    /// A user group: its name or its policies.
    Group(UserGroupId),
    /// Who is in a user group, where that names nobody.
    GroupMembers(UserGroupId),
    /// An account API token.
    Token(TokenId),
    /// Something of the account's access that an entry does not name, or that is no single thing.
    Whole,
}

/// An entry, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In the order of arrival.
    pub number: i64,
    /// The entry's id.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, in words.
    pub description: String,
    /// Who did it.
    pub author: Author,
    /// The token that did it.
    pub token_id: Option<String>,
    /// The ray id of the request.
    pub ray: Option<String>,
}

/// The columns of an entry, in the order in which `entry` reads them.
const COLUMNS: &str = "number, id, at, description, who, through, token_id, ray";

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS audit_entry ( \
            number INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, id TEXT NOT NULL UNIQUE, \
            at INTEGER NOT NULL, about TEXT NOT NULL, member TEXT, user_group TEXT, description TEXT NOT NULL, \
            who TEXT NOT NULL, through TEXT NOT NULL, token_id TEXT, ray TEXT, heard INTEGER NOT NULL DEFAULT 0)",
        &[],
    )?;
    sql.run("CREATE INDEX IF NOT EXISTS audit_entry_member ON audit_entry (member, at)", &[])?;
    sql.run("CREATE INDEX IF NOT EXISTS audit_entry_about ON audit_entry (about, at) WHERE about <> ''", &[])?;
    sql.run("CREATE INDEX IF NOT EXISTS audit_entry_unheard ON audit_entry (number) WHERE heard = 0", &[])
}

/// An id of 32 hexadecimal digits among the segments after one with a name.
fn after<'a>(segments: &[&'a str], name: &str) -> Option<&'a str> {
    let place = segments.iter().position(|segment| *segment == name)?;
    segments.get(place + 1).copied().filter(|id| is_id(id))
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What is of the account's access and no single thing that is read by itself.
const WHOLE: [&str; 6] = ["scim", "iam", "roles", "invites", "sso_connectors", "oauth_clients"];

/// What an entry is about; nothing where it is of no access to the account. The path of the request decides where it is told, else
/// the product and the id of what was changed.
pub fn about(entry: &AuditEntry) -> Vec<About> {
    let uri = entry.uri.as_deref().unwrap_or_default().split('?').next().unwrap_or_default();
    let segments: Vec<&str> = uri.split('/').collect();
    // Behind a product stands whatever its customers call their things.
    let account = segments.iter().position(|segment| *segment == "accounts");
    let near = account.and_then(|place| segments.get(..place + 3)).unwrap_or(&segments);
    let has = |name: &str| near.contains(&name);
    let product = entry.product.as_deref().unwrap_or_default().to_ascii_lowercase();
    let resource = entry.resource_id.as_deref().filter(|id| is_id(id));
    let member = |id: Option<&str>| id.and_then(|id| id.parse().ok()).map(About::Member);
    let group = |id: Option<&str>| id.and_then(|id| id.parse().ok()).map(About::Group);
    let token = |id: Option<&str>| id.and_then(|id| id.parse().ok()).map(About::Token);
    // How the account itself is set, such as whether a second factor is asked for.
    let is_account = account.is_some_and(|place| segments.len() == place + 2);
    // A person's own tokens are in no list of the account.
    let is_own = uri.starts_with("/user/") || uri.starts_with("/client/v4/user/");
    let found: Vec<About> = if has("iam") && segments.contains(&"user_groups") {
        let (id, who) = (after(&segments, "user_groups").or(resource), member(after(&segments, "members")));
        match group(id) {
            Some(About::Group(id)) if segments.contains(&"members") && who.is_none() => vec![About::GroupMembers(id)],
            group => group.into_iter().chain(who).collect(),
        }
    } else if has("members") || has("memberships") {
        member(after(&segments, "members").or_else(|| after(&segments, "memberships")).or(resource))
            .into_iter()
            .collect()
    } else if has("tokens") && is_own {
        return Vec::new();
    } else if has("tokens") {
        token(after(&segments, "tokens").or(resource)).into_iter().collect()
    } else if is_account || WHOLE.into_iter().any(has) {
        vec![About::Whole]
    } else if !uri.is_empty() {
        return Vec::new();
    } else if product.contains("user_group") || product.contains("user group") {
        group(resource)
            .into_iter()
            .flat_map(|about| match about {
                // Which of both is not told.
                About::Group(id) => vec![about, About::GroupMembers(id)],
                _ => vec![about],
            })
            .collect()
    } else if product.contains("member") {
        member(resource).into_iter().collect()
    } else if product.contains("token") {
        token(resource).into_iter().collect()
    } else if product.contains("scim") || product.contains("iam") || product.contains("role") {
        vec![About::Whole]
    } else {
        return Vec::new();
    };
    if found.is_empty() { vec![About::Whole] } else { found }
}

/// Who made the change of an entry.
pub fn author(entry: &AuditEntry) -> Author {
    let token = entry.token_name.as_deref().or(entry.actor_token_id.as_deref());
    let by_token = token.map(|token| format!("the API token {token}"));
    let through = match entry.context.as_deref() {
        Some("dash") => "the dashboard".to_owned(),
        Some("api_token") => by_token.clone().unwrap_or_else(|| "an API token".to_owned()),
        Some("api_key") => "a global API key".to_owned(),
        Some("oauth") => "an OAuth client".to_owned(),
        Some("origin_ca_key") => "an Origin CA key".to_owned(),
        Some("api") | None if by_token.is_some() => by_token.clone().unwrap_or_default(),
        Some("api") => "the API".to_owned(),
        Some(other) => other.to_owned(),
        None => UNKNOWN.to_owned(),
    };
    // The actor of an account's token is the account.
    let who = entry.actor_email.clone().or(by_token).or_else(|| match entry.actor_type.as_deref() {
        Some("system" | "cloudflare_admin" | "delegated_service") => Some("Cloudflare".to_owned()),
        _ => entry.actor_id.clone(),
    });
    let who = who.unwrap_or_else(|| UNKNOWN.to_owned());
    Author { who, through, at: entry.at, entry: Some(entry.id.clone()) }
}

/// Keeps what of a page is of the account's access; whether any of it is new.
pub(super) fn note(sql: &dyn Sql, page: &[AuditEntry], now: Timestamp) -> Result<bool, SqlError> {
    let mut is_new = false;
    for entry in page {
        let about = about(entry);
        if about.is_empty() {
            continue;
        }
        let (mut member, mut group, mut other) = (None, None, String::new());
        for one in &about {
            match one {
                About::Member(id) => member = Some(id.to_string()),
                About::Group(id) => group = Some(id.to_string()),
                About::GroupMembers(id) => {
                    if group.is_some() { BOTH } else { MEMBERS }.clone_into(&mut other);
                    group = Some(id.to_string());
                }
                About::Token(id) => other = format!("{TOKEN}{id}"),
                About::Whole => "whole".clone_into(&mut other),
            }
        }
        let author = author(entry);
        let noted = sql.query(
            "INSERT INTO audit_entry (id, at, about, member, user_group, description, who, through, token_id, ray) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING number",
            &[
                entry.id.as_str().into(),
                entry.at.unwrap_or(now).into(),
                other.into(),
                member.into(),
                group.into(),
                entry.description.clone().unwrap_or_default().into(),
                author.who.into(),
                author.through.into(),
                entry.actor_token_id.clone().into(),
                entry.ray.clone().into(),
            ],
        )?;
        is_new |= !noted.is_empty();
    }
    Ok(is_new)
}

/// What stands before the id of a token that an entry is about; for those who are in a user group; and for a group of which nobody says
/// whether it is about them.
const TOKEN: &str = "token ";
const MEMBERS: &str = "members";
const BOTH: &str = "both";

/// A user group or a token that entries are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread<T> {
    /// Which.
    pub id: T,
    /// When the first of the entries about it happened, and the last.
    pub first_at: Timestamp,
    /// See `first_at`.
    pub last_at: Timestamp,
}

/// What entries are about that nobody has listened to yet.
#[derive(Debug, Default)]
pub struct Unheard {
    /// The number of the last of them.
    pub until: i64,
    /// Memberships, each with the user group whose membership it is about, where it is.
    pub members: Vec<(MemberId, Option<UserGroupId>)>,
    /// User groups: their names or their policies.
    pub groups: Vec<Unread<UserGroupId>>,
    /// User groups in which others are than were.
    pub memberships: Vec<Unread<UserGroupId>>,
    /// Account API tokens.
    pub tokens: Vec<Unread<TokenId>>,
    /// Whether there is something that is no single thing's.
    pub whole: bool,
    /// When the first of them happened, and the last.
    pub first_at: Option<Timestamp>,
    /// See `first_at`.
    pub last_at: Option<Timestamp>,
}

/// What the oldest entries are about that nobody has listened to yet, from both ends by turns: where more wait than are read at once, as behind a
/// sweep that is held, what came before many others is read all the same, and what came after them. Those of this connector's own are nothing new.
pub fn unheard(sql: &dyn Sql) -> Result<Unheard, SqlError> {
    let ours = super::feed::state(sql)?.and_then(|state| state.ours);
    let rows = sql.query(
        "SELECT * FROM (SELECT about, member, user_group, MAX(number) AS n, MIN(at), token_id IS NOT NULL AND token_id IS substr(?, 1, 32), MAX(at) \
         FROM audit_entry WHERE heard = 0 GROUP BY 1, 2, 3, 6 ORDER BY 4 LIMIT 500) \
         ORDER BY MIN(ROW_NUMBER() OVER (ORDER BY n), ROW_NUMBER() OVER (ORDER BY n DESC))",
        &[ours.into()],
    )?;
    let mut unheard = Unheard::default();
    for row in &rows {
        let [about, member, group, number, at, is_ours, last] = row.as_slice() else { continue };
        unheard.until = unheard.until.max(number.integer().unwrap_or_default());
        if is_ours.integer() == Some(1) {
            continue;
        }
        let (Some(first_at), Some(last_at)) = (at.integer(), last.integer()) else { continue };
        let (first_at, last_at) = (Timestamp::from_millis(first_at), Timestamp::from_millis(last_at));
        unheard.first_at = Some(unheard.first_at.map_or(first_at, |known| known.min(first_at)));
        unheard.last_at = unheard.last_at.max(Some(last_at));
        let group = group.text().and_then(|id| id.parse().ok());
        let token = about.text().and_then(|about| about.strip_prefix(TOKEN)).and_then(|id| id.parse().ok());
        match (member.text().and_then(|id| id.parse().ok()), group, token) {
            (Some(member), group, _) => unheard.members.push((member, group)),
            (None, Some(id), _) => {
                let one = Unread { id, first_at, last_at };
                if about.text() != Some(MEMBERS) {
                    unheard.groups.push(one);
                }
                if matches!(about.text(), Some(MEMBERS | BOTH)) {
                    unheard.memberships.push(one);
                }
            }
            (None, None, Some(id)) => unheard.tokens.push(Unread { id, first_at, last_at }),
            (None, None, None) => unheard.whole = true,
        }
    }
    Ok(unheard)
}

/// Notes that entries up to a number were listened to, but for those about who lost something of which no generation tells yet: a sweep that tells
/// that hides what was given back since, and they are looked at once more after it.
pub fn heard(sql: &dyn Sql, until: i64) -> Result<(), SqlError> {
    sql.run(
        "UPDATE audit_entry SET heard = 1 WHERE heard = 0 AND number <= ? AND NOT EXISTS (SELECT 1 FROM overlay \
            WHERE overlay.member = audit_entry.member AND generation IS NULL AND instr(kept, '\"took\":['))",
        &[until.into()],
    )
}

/// The entries about a membership from one time until another, the oldest first.
pub fn of_member(sql: &dyn Sql, member: MemberId, from: Timestamp, until: Timestamp) -> Result<Vec<Entry>, SqlError> {
    read(
        sql,
        "member = ? AND user_group IS NULL AND at BETWEEN ? AND ? ORDER BY at, number",
        &[member.to_string().into(), from.into(), until.into()],
    )
}

/// Which entries of this connector's own are of no operation: somebody has its token. The trail has the ray id of each answer to a write. Where one had
/// none, where an attempt was cut off before it noted that or is under way, and where the trail was full, nobody knows: only for a day after the
/// first write, since whoever has the token may write to the same member. Who is invited again has another membership by then. Of a user group an
/// operation changes alone who is in it, and of a token nothing.
const OUTSIDE: &str = "ray <> '' AND (member IS NOT NULL OR about NOT IN ('members', 'both')) AND NOT EXISTS (SELECT 1 FROM operation \
    WHERE operation.member = audit_entry.member AND instr(trail, substr(ray, 1, 16)) \
        OR settled_at BETWEEN audit_entry.at - 60000 AND audit_entry.at + 86400000 AND instr(trail, substr(ray, 1, 16)) \
        OR (operation.member = audit_entry.member OR operation.member IS NULL) \
            AND wrote_at BETWEEN audit_entry.at - 86400000 AND audit_entry.at + 60000 \
            AND (attempts > 1 OR outcome IS NULL OR instr(trail, 'outcome unknown')))";

/// Who changed something of a membership, of a user group, or of a membership of a user group, between two times, as far as the log told
/// it by now: where several did, all of them. An author without a name is this connector; who has its token is told as that.
pub fn author_of(
    sql: &dyn Sql,
    member: Option<&str>,
    group: Option<&str>,
    from: Timestamp,
    until: Timestamp,
) -> Result<Option<Author>, SqlError> {
    let (member, group) = (member.map(str::to_owned).into(), group.map(str::to_owned).into());
    author_where(
        sql,
        "(?1 IS NOT NULL AND ?2 IS NULL AND member = ?1 AND user_group IS NULL
            OR ?2 IS NOT NULL AND user_group = ?2 AND (member IS ?1 OR member IS NULL))
         AND at BETWEEN ?3 AND ?4",
        &[member, group, from.into(), until.into()],
    )
}

/// The same of an account's token.
pub fn author_of_token(
    sql: &dyn Sql,
    token: &str,
    from: Timestamp,
    until: Timestamp,
) -> Result<Option<Author>, SqlError> {
    let about = format!("{TOKEN}{token}").into();
    author_where(sql, "about <> '' AND about = ?1 AND at BETWEEN ?2 AND ?3", &[about, from.into(), until.into()])
}

fn author_where(sql: &dyn Sql, condition: &str, params: &[SqlValue]) -> Result<Option<Author>, SqlError> {
    let found = read(sql, &format!("{condition} ORDER BY at DESC, number DESC LIMIT 50"), params)?;
    let log = super::state::state(sql)?;
    let is_ours = |entry: &&Entry| log.as_ref().is_some_and(|log| log.is_ours(entry.token_id.as_deref(), entry.at));
    let mut others = found.iter().filter(|entry| !is_ours(entry)).map(|entry| &entry.author);
    let Some(mut author) = others.next().cloned() else {
        let Some(ours) = found.first() else { return Ok(None) };
        let outside = read(sql, &format!("{condition} AND {OUTSIDE}"), params)?.pop();
        let who = if outside.is_some() { "this connector's token" } else { "" };
        let entry = outside.as_ref().unwrap_or(ours);
        return Ok(Some(Author { who: who.to_owned(), ..entry.author.clone() }));
    };
    let mut whos = vec![author.who.clone()];
    for other in others {
        if !whos.contains(&other.who) {
            whos.push(other.who.clone());
            (author.at, author.entry) = (None, None);
            if author.through != other.through {
                UNKNOWN.clone_into(&mut author.through);
            }
        }
    }
    author.who = whos.join(" or ");
    Ok(Some(author))
}

fn read(sql: &dyn Sql, condition: &str, params: &[SqlValue]) -> Result<Vec<Entry>, SqlError> {
    let rows = sql.query(&format!("SELECT {COLUMNS} FROM audit_entry WHERE {condition}"), params)?;
    Ok(rows.iter().filter_map(|row| entry(row)).collect())
}

fn entry(row: &[SqlValue]) -> Option<Entry> {
    let [number, id, at, description, who, through, token_id, ray] = row else { return None };
    let (id, at) = (id.text()?.to_owned(), at.time()?);
    let author = Author {
        who: who.text()?.to_owned(),
        through: through.text()?.to_owned(),
        at: Some(at),
        entry: Some(id.clone()),
    };
    Some(Entry {
        number: number.integer()?,
        id,
        at,
        description: description.text()?.to_owned(),
        author,
        token_id: token_id.text().map(str::to_owned),
        ray: ray.text().map(str::to_owned),
    })
}

/// Forgets entries that nobody asks after any more.
pub(super) fn purge(sql: &dyn Sql, now: Timestamp) -> Result<(), SqlError> {
    sql.run("DELETE FROM audit_entry WHERE number <= (SELECT MAX(number) FROM audit_entry) - ?", &[MOST.into()])?;
    // Those that came first are the oldest: the log is read each half minute, and to look at all of them each time costs millions of rows a day.
    sql.run(
        "DELETE FROM audit_entry WHERE at < ? AND number IN (SELECT number FROM audit_entry ORDER BY number LIMIT ?)",
        &[now.plus_secs(-KEPT_SECS).into(), LOOKED_AT.into()],
    )
}
