//! Who logged in when: once a day the people whom Access knows, each with the last login through it, and the logins of the audit log of
//! version 1 where the account's log has them. Neither tells of everybody: who signs in to the dashboard with a password is in no list of
//! Access.
//!
//! **Invariant:** a login that was read is shown until a newer list was read to its end, and nobody's silence is told by what was not read for a
//! few days; a login that is not known is nobody's.

use serde::Serialize;

use super::activity;
use crate::base::hash::sha256;
use crate::base::json::{self, Deserialize};
use crate::base::ports::{Clock, Http, HttpError, Sql, SqlError, SqlValue};
use crate::base::time::Timestamp;
use crate::base::tree::BTreeMap;
use crate::cloudflare::{ApiError, Client, LOGINS_PER_PAGE, ListPage, LoginRecord, Purpose, Settings};
use crate::model::address;
use crate::model::id::UserId;

/// A list is read this long after a day began, in UTC.
const AFTER_MIDNIGHT_SECS: i64 = 5 * 60;

/// What may not be read is asked for again after this, and after a failure that may pass this much later.
const UNREADABLE_SECS: i64 = 60 * 60;
const FAILURE_SECS: i64 = 60;

/// When a reading goes on that has more pages than one turn reads, and how many pages that are.
const GO_ON_SECS: i64 = 2;
const PAGES_AT_ONCE: usize = 3;

/// No list is read further: 300,000 people, of whom 16 bytes each are kept.
const MOST_PAGES: u32 = 300;

/// A reading that takes longer begins again.
const LONGEST_SECS: i64 = 6 * 60 * 60;

/// What was read longer ago says nothing of who is idle any more: somebody may have logged in since.
const BELIEVED_SECS: i64 = 3 * DAY_SECS;

/// What is told of a list that came.
const ALL: &str = "The list of the people whom Access knows can be read: their last logins are in it.";
const FEWER: &str =
    "The list of the people whom Access knows can be read, and has nobody on it, or fewer than it tells of.";

/// The audit log of version 1 is read this far back at first.
const BACK_SECS: i64 = 90 * DAY_SECS;

const DAY_SECS: i64 = 86_400;

/// How the lists stand, as the status shows it, and how far they are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logins {
    /// Whether Access's list of people could be read when it was last asked for.
    pub readable: bool,
    /// A sentence about that.
    pub message: String,
    /// When it was last asked for.
    pub at: Timestamp,
    /// Since when the list that is believed is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// Whether the audit log of version 1 tells of logins; nothing before it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_audit_log: Option<bool>,
    /// Until when that log is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_read_until: Option<Timestamp>,
    /// `LAST_LOGINS` is off: neither list is read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub off: bool,
    /// The day of which rows show what is known of changes.
    #[serde(default)]
    pub shown: String,
    /// When the lists are read next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// The reading that is not at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
}

/// A reading of one of the lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    began_at: Timestamp,
    page: u32,
    /// Of the audit log, and not of Access.
    #[serde(default)]
    of_log: bool,
    #[serde(default)]
    total: Option<u32>,
    /// Whether the list moved, and is read once more.
    #[serde(default)]
    again: bool,
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    for table in [
        "login_lists (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL DEFAULT 1, state TEXT NOT NULL)",
        "login_page (
            began_at INTEGER NOT NULL, page INTEGER NOT NULL, version INTEGER NOT NULL DEFAULT 1, packed BLOB NOT NULL,
            PRIMARY KEY (began_at, page))",
        "login_seen (user TEXT PRIMARY KEY, version INTEGER NOT NULL DEFAULT 1, day INTEGER NOT NULL) WITHOUT ROWID",
    ] {
        sql.run(&format!("CREATE TABLE IF NOT EXISTS {table}"), &[])?;
    }
    Ok(())
}

/// How the lists stood when they were last read; `None` where they never were.
pub fn state(sql: &dyn Sql) -> Result<Option<Logins>, SqlError> {
    let text = sql.text("SELECT state FROM login_lists WHERE id = 1", &[])?;
    Ok(text.and_then(|text| json::read_str(&text).ok()))
}

fn note(sql: &dyn Sql, state: &Logins) -> Result<(), SqlError> {
    let text = serde_json::to_string(state)?;
    sql.run("INSERT OR REPLACE INTO login_lists (id, state) VALUES (1, ?)", &[text.into()])
}

/// When the lists are read next.
pub fn next_due<P: Sql + Clock>(ports: &P) -> Result<Timestamp, SqlError> {
    Ok(state(ports)?.and_then(|state| state.next_at).unwrap_or_else(|| ports.now()))
}

/// Reads on, where it is time, and where that is wanted; whether it is, nobody knows where the variable is wrong. What is known of changes is
/// shown as of then, too: once a day, and not with every change.
pub async fn read_on<P: Http + Clock + Sql>(
    ports: &P,
    settings: &Settings,
    is_wanted: Option<bool>,
) -> Result<(), SqlError> {
    let now = ports.now();
    let mut state = state(ports)?.unwrap_or_else(|| Logins::unread(now));
    let has_turned = is_wanted == Some(state.off);
    if !has_turned && state.next_at.is_some_and(|at| at > now) {
        return Ok(());
    }
    if is_wanted != Some(true) {
        return state.turn_off(ports, is_wanted.is_some(), now);
    }
    state.off = false;
    let client = Client::new(ports, settings, Purpose::Sync);
    let is_young = |reading: &Reading| now.since(reading.began_at) < LONGEST_SECS * 1_000;
    let mut reading = state.reading.take().filter(is_young).unwrap_or_else(|| Reading::begin(now, false));
    for _ in 0..PAGES_AT_ONCE {
        state.at = now;
        let page = if reading.of_log {
            client.logins_page(state.log_since(now), reading.page).await
        } else {
            client.access_users_page(reading.page).await
        };
        let is_over = match page {
            // One that was cut short takes the place of none that is believed until the next reading, and one with nobody on it of none at all.
            Ok(page) => {
                let is_empty = state.read_at.is_some() && reading.page == 1 && page.items.is_empty();
                let is_believed = is_empty || state.is_believed(now.plus_secs(DAY_SECS));
                let read = reading.take(ports, &page, now)?;
                if let Some(is_whole) = read
                    && !reading.of_log
                {
                    state.readable = true;
                    let told = if is_whole { ALL } else { FEWER };
                    told.clone_into(&mut state.message);
                }
                read.map(|is_whole| is_whole || !is_believed)
            }
            Err(error) if reading.of_log => state.fail_log(&error, &reading, ports.now()),
            Err(error) => state.fail(&error, &reading, ports.now()),
        };
        let Some(is_whole) = is_over else {
            if state.reading.is_some() {
                return note(ports, &state);
            }
            continue;
        };
        if !reading.of_log {
            if is_whole {
                state.read_at = Some(reading.began_at);
            }
            if state.in_audit_log != Some(false) && state.shown != now.date() {
                reading = Reading::begin(now, true);
                continue;
            }
        } else if is_whole {
            let found = ports.one("SELECT 1 FROM login_seen LIMIT 1", &[])?.is_some();
            // What is longer than is read at once is read on from there the next time.
            let until = if reading.page > MOST_PAGES {
                ports.one("SELECT MAX(day) FROM login_seen", &[])?.as_ref().and_then(SqlValue::integer)
            } else {
                None
            };
            let until = until.map_or(reading.began_at, |day| Timestamp::from_secs(day * 24 * 60 * 60));
            (state.in_audit_log, state.log_read_until) = (Some(found), Some(until));
        }
        return state.end(ports, now);
    }
    (state.reading, state.next_at) = (Some(reading), Some(now.plus_secs(GO_ON_SECS)));
    note(ports, &state)
}

impl Reading {
    const fn begin(now: Timestamp, of_log: bool) -> Self {
        Self { began_at: now, page: 1, of_log, total: None, again: false }
    }

    /// Takes a page, and goes on to the next; gives whether the list was read whole, once it is at its end. One that ends with a page that is not full
    /// before as many have come as it told of, or that has nobody on it, was not.
    fn take(&mut self, sql: &dyn Sql, page: &ListPage<LoginRecord>, now: Timestamp) -> Result<Option<bool>, SqlError> {
        let info = page.info.clone().unwrap_or_default();
        let count = u32::try_from(page.items.len() + page.odd.len()).unwrap_or(u32::MAX);
        let full = info.per_page.filter(|size| *size > 0).unwrap_or(LOGINS_PER_PAGE);
        let is_last = count == 0 || self.page >= MOST_PAGES || self.page >= page.pages(self.page, LOGINS_PER_PAGE);
        if self.of_log {
            for login in &page.items {
                see(sql, login, now)?;
            }
        } else {
            let moved = self.total.zip(info.total_count).is_some_and(|(one, other)| one != other);
            self.total = self.total.or(info.total_count);
            if moved && !self.again {
                // Somebody may have slipped from one page to another.
                (self.page, self.total, self.again) = (1, None, true);
                return Ok(None);
            }
            sql.run(
                "INSERT OR REPLACE INTO login_page (began_at, page, packed) VALUES (?, ?, ?)",
                &[self.began_at.into(), i64::from(self.page).into(), SqlValue::Blob(pack(&page.items, now))],
            )?;
        }
        let read = full.saturating_mul(self.page - 1).saturating_add(count);
        let is_less = |total: u32| info.total_count.is_none() || read < total;
        let is_cut_short = count < full && (read == 0 || self.total.is_some_and(is_less));
        self.page += 1;
        Ok(is_last.then_some(!is_cut_short || self.of_log))
    }
}

impl Logins {
    fn unread(at: Timestamp) -> Self {
        Self {
            readable: false,
            message: String::new(),
            at,
            read_at: None,
            in_audit_log: None,
            log_read_until: None,
            off: false,
            shown: String::new(),
            next_at: None,
            reading: None,
        }
    }

    /// Nothing is read, and what was read is forgotten where that is meant.
    fn turn_off(mut self, sql: &dyn Sql, is_meant: bool, now: Timestamp) -> Result<(), SqlError> {
        if is_meant {
            for table in ["login_page", "login_seen"] {
                sql.run(&format!("DELETE FROM {table}"), &[])?;
            }
            self = Self { off: true, shown: self.shown, ..Self::unread(now) };
        }
        self.readable = false;
        "LAST_LOGINS is off: nobody's last login is read.".clone_into(&mut self.message);
        self.end(sql, now)
    }

    /// Whether the last list of Access may still be believed.
    pub fn is_believed(&self, now: Timestamp) -> bool {
        self.read_at.is_some_and(|at| now.since(at) < BELIEVED_SECS * 1_000)
    }

    fn log_since(&self, now: Timestamp) -> Timestamp {
        self.log_read_until.unwrap_or_else(|| now.plus_secs(DAY_SECS - BACK_SECS)).plus_secs(-DAY_SECS)
    }

    /// Access's list did not come: whether that ends the reading.
    fn fail(&mut self, error: &ApiError, reading: &Reading, now: Timestamp) -> Option<bool> {
        self.message = format!("The list of the people whom Access knows could not be read: {error}.");
        let is_passing = !matches!(
            error,
            ApiError::Forbidden(_)
                | ApiError::NotFound(_)
                | ApiError::Unauthorized(_)
                | ApiError::Invalid(_)
                | ApiError::Malformed { .. }
                | ApiError::Transport(HttpError::TooLarge(_))
        );
        // What goes on failing is left for later: the day's end must come for everything else.
        let is_tried = now.since(reading.began_at) >= UNREADABLE_SECS * 1_000;
        if is_passing && is_tried {
            self.readable = false;
            return Some(false);
        }
        if !is_passing {
            self.readable = false;
            self.message = format!(
                "The list of the people whom Access knows cannot be read ({error}), so nobody's last login is known from there; give the token Access: Audit Logs: Read, where the account uses Zero Trust."
            );
            return Some(false);
        }
        self.later(error, reading, now);
        None
    }

    /// The log of version 1 did not come: whether that ends the reading. One that is not there is not asked for again; one that the token may
    /// not read is, tomorrow.
    fn fail_log(&mut self, error: &ApiError, reading: &Reading, now: Timestamp) -> Option<bool> {
        if matches!(error, ApiError::NotFound(_) | ApiError::Invalid(_)) {
            self.in_audit_log = Some(self.in_audit_log.unwrap_or(false));
            return Some(false);
        }
        if matches!(error, ApiError::Forbidden(_)) {
            return Some(false);
        }
        if now.since(reading.began_at) >= UNREADABLE_SECS * 1_000 {
            return Some(false);
        }
        self.later(error, reading, now);
        None
    }

    fn later(&mut self, error: &ApiError, reading: &Reading, now: Timestamp) {
        let later = now.plus_secs(FAILURE_SECS);
        self.next_at = Some(error.retry_at().unwrap_or(later).max(later));
        self.reading = Some(reading.clone());
    }

    /// The end of a day's reading: what is known of changes by now is what rows show until the next.
    fn end(mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), SqlError> {
        let today = now.date();
        if self.shown != today {
            activity::show(sql)?;
            self.shown = today;
        }
        let morning = Timestamp::parse(&now.plus_secs(DAY_SECS).date()).unwrap_or(now).plus_secs(AFTER_MIDNIGHT_SECS);
        let again = if self.readable || self.off { morning } else { morning.min(now.plus_secs(UNREADABLE_SECS)) };
        // The pages of a reading that came to nothing are nobody's.
        sql.run("DELETE FROM login_page WHERE began_at IS NOT ?", &[self.read_at.map(Timestamp::millis).into()])?;
        (self.reading, self.next_at) = (None, Some(again));
        note(sql, &self)
    }
}

/// Days since 1970, in UTC. Nobody logs in tomorrow.
fn day(at: Timestamp, now: Timestamp) -> i64 {
    at.min(now).secs().div_euclid(DAY_SECS)
}

/// Takes note of a login that the log tells.
fn see(sql: &dyn Sql, login: &LoginRecord, now: Timestamp) -> Result<(), SqlError> {
    let user = login.user.as_deref().and_then(|id| id.parse::<UserId>().ok());
    let (Some(user), Some(at)) = (user, login.at) else { return Ok(()) };
    sql.run(
        "INSERT INTO login_seen (user, day) VALUES (?, ?) \
         ON CONFLICT (user) DO UPDATE SET day = excluded.day WHERE excluded.day > login_seen.day",
        &[user.to_string().into(), day(at, now).into()],
    )
}

/// By what an address is found among the logins: there may be many more people in Access than in the account, and nothing else is kept
/// of them.
fn mark(email: &str) -> [u8; 8] {
    let hash = sha256(address::folded(email).as_bytes());
    let mut mark = [0; 8];
    mark.copy_from_slice(hash.get(..8).unwrap_or(&[0; 8]));
    mark
}

/// Each login as the mark of its address and its day.
fn pack(page: &[LoginRecord], now: Timestamp) -> Vec<u8> {
    let mut packed = Vec::with_capacity(page.len() * 10);
    for (email, at) in page.iter().filter_map(|login| Some((login.email.as_deref()?, login.at?))) {
        packed.extend(mark(email));
        packed.extend(u16::try_from(day(at, now)).unwrap_or(u16::MAX).to_be_bytes());
    }
    packed
}

/// The day of each person's last login, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    by_address: BTreeMap<[u8; 8], u16>,
    by_user: BTreeMap<UserId, i64>,
}

impl Known {
    /// Loads what is believed at a time; without one, what was read, however long ago.
    pub(super) fn load(sql: &dyn Sql, now: Option<Timestamp>) -> Result<Self, SqlError> {
        let mut known = Self::default();
        let Some(state) = state(sql)? else { return Ok(known) };
        let fresh = |at: &Timestamp| now.is_none_or(|now| now.since(*at) < BELIEVED_SECS * 1_000);
        if let Some(read_at) = state.read_at.filter(fresh) {
            let pages = sql.query("SELECT packed FROM login_page WHERE began_at = ?", &[read_at.into()])?;
            for login in pages.iter().flatten().filter_map(SqlValue::blob).flat_map(|packed| packed.as_chunks::<10>().0)
            {
                let [mark @ .., high, low] = login;
                let day = known.by_address.entry(*mark).or_default();
                *day = u16::from_be_bytes([*high, *low]).max(*day);
            }
        }
        if state.in_audit_log == Some(true) && state.log_read_until.is_some_and(|until| fresh(&until)) {
            for row in sql.query("SELECT user, day FROM login_seen", &[])? {
                let [user, day] = row.as_slice() else { continue };
                let user = user.text().and_then(|user| user.parse().ok());
                known.by_user.extend(user.zip(day.integer()));
            }
        }
        Ok(known)
    }

    /// The day of somebody's last login: each is one of the days that Access and the log tell, and neither knows of all.
    pub(super) fn of(&self, user: UserId, email: &str) -> Option<String> {
        let by_address = || (!self.by_address.is_empty()).then(|| self.by_address.get(&mark(email)).copied())?;
        let day = by_address().map(i64::from).max(self.by_user.get(&user).copied())?;
        Some(Timestamp::from_secs(day * DAY_SECS).date())
    }
}
