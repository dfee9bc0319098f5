//! An account's Coordinator takes over from the object that there was before: until version 3 of the database there was one
//! Durable Object in a Worker, by the name of [`FORMER`], whatever the account. Now each account has its own, named by its id.
//!
//! The Coordinator of an account asks the former object once, before it does anything else ([`take_over`]). What that one knows
//! belongs to the account of its newest generation; no other gets it. Rows come in batches, each of which is stored with how far the copy is,
//! so that it goes on where it was cut off. From then on the former object does nothing, and is emptied a month later.

use super::batch::{Batch, Part, Place};
use super::protocol::{Ask, Command, Reply, Unreachable};
use super::schema::{meta, set_meta};
use crate::base::json;
use crate::base::ports::{Clock, KeyValue, Level, Log, Sql, SqlError, SqlValue};
use crate::base::rows::is_table;
use crate::base::time::Timestamp;
use crate::model::id::AccountId;
use crate::snapshot::{self, SnapshotError};
use crate::sync;

/// The name of the one object that there was before.
pub const FORMER: &str = "account";

/// A batch ends with the rows that make it longer than this.
const BATCH_BYTES: usize = 512 * 1024;

/// At most this many rows are read at once: a row has 64 KB at most.
const ROWS: i64 = 50;

/// As long as this the former object keeps what it has handed over, for who goes back to the version before.
const KEEP_SECS: i64 = 30 * 24 * 60 * 60;

/// What is not handed over: a run that goes on reads its pages again, and the layout is the same on both sides.
const LEFT_BEHIND: [&str; 4] = ["meta", "staged", "staged_rest", "set_aside"];

/// What a Durable Object is to the account that is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The account's Coordinator.
    Own,
    /// The object that there was before.
    Former,
    /// Another account's, which is configured no more: it does nothing until it is again.
    OfAnotherAccount,
}

impl Standing {
    /// What the object with this id is, by the ids that the account's name and the former name have.
    pub fn of(id: &str, own: &str, former: &str) -> Self {
        match id {
            _ if id == own => Self::Own,
            _ if id == former => Self::Former,
            _ => Self::OfAnotherAccount,
        }
    }
}

/// How long a value is in a batch, about.
fn len(value: &SqlValue) -> usize {
    match value {
        SqlValue::Null | SqlValue::Integer(_) | SqlValue::Real(_) => 8,
        SqlValue::Text(text) => text.len(),
        SqlValue::Blob(bytes) => bytes.len() * 4,
    }
}

/// Why the account's Coordinator cannot begin yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotYet {
    /// The former object did not answer.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// It answered that it cannot.
    #[error("what was there before cannot be handed over: {0}")]
    Refused(String),
    /// Storage failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

const PREDECESSOR: &str = "predecessor";
const DONE: &str = "done";
const ACCOUNT: &str = "account";
const HANDED_OVER: &str = "handed_over_at";
const ASLEEP: &str = "asleep";

/// Takes over what the former object has of this account, unless that is done. Gives whether the alarm is to ring at once: what was
/// taken over may be due, and so may be what waited while another account was configured.
pub async fn take_over<P: Sql + Log>(ports: &P, account: AccountId, former: &impl Ask) -> Result<bool, NotYet> {
    let mut wakes = meta(ports, ASLEEP)?.is_some();
    if wakes {
        // The other account's file may have taken the place of what was pushed: it is asked for once more.
        ports.query("DELETE FROM job WHERE kind = 'push'", &[])?;
        ports.query("DELETE FROM meta WHERE name = ?", &[ASLEEP.into()])?;
    }
    loop {
        let known = meta(ports, PREDECESSOR)?;
        if known.as_deref() == Some(DONE) {
            return Ok(wakes);
        }
        let from = known.as_deref().and_then(|text| json::read_str(text).ok()).unwrap_or_default();
        let batch = match former.ask(Command::HandOver { account, from }).await? {
            Reply::HandedOver(batch) => batch,
            Reply::NothingToHandOver => Batch { parts: Vec::new(), next: None },
            Reply::Failed { message } => return Err(NotYet::Refused(message)),
            _ => return Err(NotYet::Refused("its answer is of another kind than what was asked for".to_owned())),
        };
        // Somebody else may have stored it meanwhile. From here on nothing is awaited: rows and place are on disk together.
        if meta(ports, PREDECESSOR)? != known {
            continue;
        }
        for part in &batch.parts {
            store(ports, part)?;
        }
        let place = match &batch.next {
            Some(next) => serde_json::to_string(next).map_err(SqlError::from)?,
            None => DONE.to_owned(),
        };
        set_meta(ports, PREDECESSOR, &place)?;
        if batch.next.is_none() && (known.is_some() || !batch.parts.is_empty()) {
            ports.log(Level::Info, "took over from the Coordinator of the version before", serde_json::json!({}));
            wakes = true;
        }
    }
}

/// Notes that the alarm of an account that is configured no more has rung: when the account is back, it rings again.
pub fn fall_asleep(sql: &dyn Sql) -> Result<(), SqlError> {
    set_meta(sql, ASLEEP, "1")
}

/// Whether an object was in use before objects were named by account. It creates no tables where it was not.
pub fn was_in_use(sql: &dyn Sql) -> Result<bool, SqlError> {
    is_table(sql, "job")
}

/// What the former object answers with, whatever it is asked.
pub async fn answer<P: KeyValue + Sql + Clock>(ports: &P, command: Command) -> Reply {
    let Command::HandOver { account, from } = command else {
        return Reply::Failed {
            message: "the account has a Coordinator of its own now; try again in a moment".to_owned(),
        };
    };
    match hand_over(ports, account, &from).await {
        Ok(Some(batch)) => Reply::HandedOver(batch),
        Ok(None) => Reply::NothingToHandOver,
        Err(error) => Reply::Failed { message: error.to_string() },
    }
}

/// When the former object is to be emptied: a month after it has handed over everything.
pub fn emptied_at(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    if !was_in_use(sql)? {
        return Ok(None);
    }
    let at = meta(sql, HANDED_OVER)?.and_then(|text| text.parse().ok()).map(Timestamp::from_millis);
    Ok(at.map(|at| at.plus_secs(KEEP_SECS)))
}

/// Empties the former object.
pub fn empty(sql: &dyn Sql) -> Result<(), SqlError> {
    for table in tables(sql)? {
        sql.run(&format!("DELETE FROM {}", quoted(&table)), &[])?;
    }
    sql.run("DELETE FROM meta WHERE name = ?", &[HANDED_OVER.into()])
}

#[derive(Debug, thiserror::Error)]
enum NotGiven {
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error("it is not known whose it is: {0}")]
    Snapshot(#[from] SnapshotError),
}

async fn hand_over<P: KeyValue + Sql + Clock>(
    ports: &P,
    account: AccountId,
    from: &Place,
) -> Result<Option<Batch>, NotGiven> {
    if !was_in_use(ports)? || !belongs_to(ports, account).await? {
        return Ok(None);
    }
    let batch = batch(ports, from)?;
    if batch.next.is_none() && meta(ports, HANDED_OVER)?.is_none() {
        set_meta(ports, HANDED_OVER, &ports.now().millis().to_string())?;
    }
    Ok(Some(batch))
}

/// Whether what is here is of an account: the one whose generation was published last. Where nothing was published, or none of it can
/// be found any more, it is of the account that asks first: no other was ever served from it.
async fn belongs_to<P: KeyValue + Sql>(ports: &P, account: AccountId) -> Result<bool, NotGiven> {
    let asking = account.to_string();
    if let Some(known) = meta(ports, ACCOUNT)? {
        return Ok(known == asking);
    }
    let mut of = None;
    for published in sync::generations(ports)? {
        of = snapshot::account_of(ports, &published.generation).await?;
        if of.is_some() {
            break;
        }
    }
    let of = of.map_or_else(|| asking.clone(), |of| of.to_string());
    // Somebody else may have asked meanwhile: the first answer stays.
    let of = meta(ports, ACCOUNT)?.unwrap_or(of);
    set_meta(ports, ACCOUNT, &of)?;
    Ok(of == asking)
}

fn batch(sql: &dyn Sql, from: &Place) -> Result<Batch, SqlError> {
    let (mut parts, mut bytes) = (Vec::new(), 0);
    for table in tables(sql)?.into_iter().filter(|table| *table >= from.table) {
        let mut done = if table == from.table { from.rows } else { 0 };
        let columns = columns(sql, &table)?;
        loop {
            let mut rows = sql.query(
                &format!("SELECT {} FROM {} LIMIT ? OFFSET ?", list(&columns), quoted(&table)),
                &[ROWS.into(), done.into()],
            )?;
            // Durable Objects hand whole numbers over as reals.
            for value in rows.iter_mut().flatten() {
                if let Some(whole) = value.integer() {
                    *value = whole.into();
                }
            }
            let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            done += count;
            bytes += rows.iter().flatten().map(len).sum::<usize>();
            if count > 0 {
                parts.push(Part { table: table.clone(), columns: columns.clone(), rows });
            }
            if bytes > BATCH_BYTES {
                return Ok(Batch { parts, next: Some(Place { table, rows: done }) });
            }
            if count < ROWS {
                break;
            }
        }
    }
    Ok(Batch { parts, next: None })
}

/// The tables that are handed over, `sqlite_sequence` included: an id is never given twice.
fn tables(sql: &dyn Sql) -> Result<Vec<String>, SqlError> {
    let rows = sql.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", &[])?;
    let names = rows.iter().filter_map(|row| row.first().and_then(SqlValue::text));
    let ours = |name: &&str| {
        *name == SEQUENCE || !(name.starts_with("sqlite_") || name.starts_with("_cf_") || LEFT_BEHIND.contains(name))
    };
    Ok(names.filter(ours).map(str::to_owned).collect())
}

const SEQUENCE: &str = "sqlite_sequence";

fn columns(sql: &dyn Sql, table: &str) -> Result<Vec<String>, SqlError> {
    let rows = sql.query(&format!("PRAGMA table_info({})", quoted(table)), &[])?;
    Ok(rows.iter().filter_map(|row| row.get(1).and_then(SqlValue::text)).map(str::to_owned).collect())
}

/// Stores rows. A table or column that is not here is of another version, and left out.
fn store(sql: &dyn Sql, part: &Part) -> Result<(), SqlError> {
    let here = columns(sql, &part.table)?;
    let places: Vec<usize> = (0..part.columns.len())
        .filter(|place| part.columns.get(*place).is_some_and(|column| here.contains(column)))
        .collect();
    let names: Vec<String> = places.iter().filter_map(|place| part.columns.get(*place).cloned()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let marks = vec!["?"; names.len()].join(", ");
    let insert = format!("INSERT OR REPLACE INTO {} ({}) VALUES ({marks})", quoted(&part.table), list(&names));
    for row in &part.rows {
        let values: Vec<SqlValue> = places.iter().filter_map(|place| row.get(*place).cloned()).collect();
        if part.table == SEQUENCE
            && let Some(name) = values.first()
        {
            sql.run("DELETE FROM sqlite_sequence WHERE name = ?", std::slice::from_ref(name))?;
        }
        sql.run(&insert, &values)?;
    }
    Ok(())
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::executor::block_on;

    use super::*;
    use crate::base::fakes::Desk;
    use crate::base::ports::KvError;
    use crate::base::space::Space;
    use crate::coordinator;
    use crate::passes_on;
    use crate::snapshot::{Draft, Naming};

    const VERSION_0: &str = include_str!("../../tests/fixtures/coordinator_v0.sql");

    /// The object that there was before, as this version starts it.
    fn former() -> Desk {
        let desk = Desk::new();
        for statement in VERSION_0.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            desk.query(statement, &[]).unwrap();
        }
        // What was last given is gone by now: its number is not given again.
        desk.query("INSERT INTO operation (key, state, request, received_at) VALUES ('x', 'settled', '{}', 0)", &[])
            .unwrap();
        desk.query("DELETE FROM operation WHERE key = 'x'", &[]).unwrap();
        desk.query("INSERT INTO staged VALUES ('run', 'members', 1, '{}', x'00')", &[]).unwrap();
        desk.query("INSERT INTO written VALUES ('member', 1800000000000, x'00ff')", &[]).unwrap();
        for n in 0..120 {
            let text = "x".repeat(20_000);
            desk.query(
                "INSERT INTO connect_state (name, body) VALUES (?, ?)",
                &[format!("{n:04}").into(), text.into()],
            )
            .unwrap();
        }
        coordinator::init(&desk).unwrap();
        desk
    }

    fn new() -> Desk {
        let desk = Desk::new();
        coordinator::init(&desk).unwrap();
        desk
    }

    /// Asks a desk; fails at the n-th question, before or after it was answered.
    struct Object<'a> {
        desk: &'a Desk,
        asked: Cell<u32>,
        fails_at: Option<u32>,
    }

    impl<'a> Object<'a> {
        fn new(desk: &'a Desk) -> Self {
            Self { desk, asked: Cell::new(0), fails_at: None }
        }
    }

    impl Ask for Object<'_> {
        async fn ask(&self, command: Command) -> Result<Reply, Unreachable> {
            self.asked.set(self.asked.get() + 1);
            let reply = answer(self.desk, command).await;
            // Somebody else may come between.
            let mut waited = false;
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut waited, true) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
            if self.fails_at == Some(self.asked.get()) {
                return Err(Unreachable("cut off".to_owned()));
            }
            // As it travels.
            Ok(crate::base::json::of(&reply).unwrap())
        }
    }

    fn rows(desk: &Desk) -> Vec<(String, Vec<Vec<SqlValue>>)> {
        let all = |table: String| {
            let columns = columns(desk, &table).unwrap();
            let mut sorted = columns.clone();
            sorted.sort();
            let rows = desk.query(&format!("SELECT {} FROM {}", list(&sorted), quoted(&table)), &[]).unwrap();
            (table, rows)
        };
        tables(desk).unwrap().into_iter().map(all).filter(|(_, rows)| !rows.is_empty()).collect()
    }

    #[test]
    fn an_accounts_coordinator_takes_over_everything_once_and_the_alarm_rings() {
        let (former, new) = (former(), new());
        let object = Object::new(&former);
        assert!(block_on(take_over(&new, new.account(), &object)).unwrap());
        assert!(object.asked.get() > 1, "more than one batch is long");
        assert_eq!(rows(&new), rows(&former));
        let next = new.query("INSERT INTO operation (key, state, request, received_at) VALUES ('x', 'settled', '{}', 0) RETURNING id", &[]).unwrap();
        assert_eq!(next[0][0].integer(), Some(6), "no number is given twice");
        let asked = object.asked.get();
        assert!(!block_on(take_over(&new, new.account(), &object)).unwrap());
        assert_eq!(object.asked.get(), asked, "in steady state nobody is asked");
        assert!(
            matches!(block_on(answer(&former, Command::Status)), Reply::Failed { .. }),
            "and the former one does nothing"
        );
    }

    #[test]
    fn a_copy_that_is_cut_off_anywhere_or_made_twice_at_once_is_the_same() {
        let (former, whole) = (former(), new());
        let object = Object::new(&former);
        block_on(take_over(&whole, whole.account(), &object)).unwrap();
        for cut in 1..=object.asked.get() {
            let new = new();
            let failing = Object { fails_at: Some(cut), ..Object::new(&former) };
            block_on(take_over(&new, new.account(), &failing)).unwrap_err();
            let again = || take_over(&new, new.account(), &object);
            block_on(async { futures::future::join(again(), again()).await.0.unwrap() });
            assert_eq!(rows(&new), rows(&whole), "cut off at {cut}");
        }
    }

    /// While it is asked for the first time, somebody else takes everything over, and the account goes on from there.
    struct Overtaken<'a> {
        object: Object<'a>,
        new: &'a Desk,
        is_done: Cell<bool>,
    }

    impl Ask for Overtaken<'_> {
        async fn ask(&self, command: Command) -> Result<Reply, Unreachable> {
            let reply = self.object.ask(command).await;
            if !self.is_done.replace(true) {
                let other = Object::new(self.object.desk);
                Box::pin(take_over(self.new, self.new.account(), &other)).await.unwrap();
                self.new.query("UPDATE operation SET state = 'settled', trail = 'newer'", &[]).unwrap();
            }
            reply
        }
    }

    #[test]
    fn what_somebody_else_took_over_meanwhile_is_not_taken_over_once_more() {
        let (former, new) = (former(), new());
        let overtaken = Overtaken { object: Object::new(&former), new: &new, is_done: Cell::new(false) };
        block_on(take_over(&new, new.account(), &overtaken)).unwrap();
        let older = new.query("SELECT id FROM operation WHERE trail <> 'newer'", &[]).unwrap();
        assert!(older.is_empty(), "what happened since is not undone: {older:?}");
    }

    /// Something that the former object published for an account.
    fn published(former: &Desk) {
        let draft = Draft {
            account_id: former.account(),
            started_at: former.now(),
            posture: crate::snapshot::Posture::default(),
            capabilities: crate::base::tree::BTreeMap::new(),
            naming: Naming::default(),
            previous: None,
        };
        let manifest = block_on(snapshot::publish(former, draft, [])).unwrap().manifest;
        let summary = serde_json::json!([{
            "generation": manifest.generation, "previous": null, "started_at": manifest.started_at,
            "published_at": manifest.finished_at, "duration_millis": 0, "counts": manifest.counts, "changes": null,
        }]);
        former.query("INSERT INTO sync_state VALUES ('generations', ?)", &[summary.to_string().into()]).unwrap();
    }

    #[test]
    fn what_was_there_before_is_of_the_account_that_was_published_last_and_of_no_other() {
        let former = former();
        published(&former);
        let object = Object::new(&former);
        let other = Desk::of(format!("{:032x}", 8));
        coordinator::init(&other).unwrap();
        let empty = rows(&other);
        assert!(!block_on(take_over(&other, other.account(), &object)).unwrap());
        assert_eq!(rows(&other), empty);
        let own = new();
        assert!(block_on(take_over(&own, own.account(), &object)).unwrap());
        assert_eq!(rows(&own), rows(&former));
        // Nothing published, or nothing to be found of it: whoever asks first has it, and nobody after that.
        let former = super::tests::former();
        let object = Object::new(&former);
        assert!(block_on(take_over(&own_again(8), format!("{:032x}", 8).parse().unwrap(), &object)).unwrap());
        assert!(!block_on(take_over(&own_again(7), format!("{:032x}", 7).parse().unwrap(), &object)).unwrap());
    }

    /// A former object whose key-value store keeps whoever asks it first waiting longest.
    struct Waiting {
        desk: Desk,
        waits: Cell<u32>,
    }

    passes_on!(Waiting.desk => Sql, Clock);

    impl KeyValue for Waiting {
        fn space(&self) -> &Space {
            self.desk.space()
        }

        async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
            let mut left = self.waits.replace(0);
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                left = left.saturating_sub(1);
                if left == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
            self.desk.get(key).await
        }

        async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
            self.desk.put(key, value).await
        }

        async fn delete(&self, key: &str) -> Result<(), KvError> {
            self.desk.delete(key).await
        }
    }

    #[test]
    fn of_two_accounts_that_ask_at_once_for_what_was_nobodys_one_has_it() {
        let desk = former();
        published(&desk);
        // Of what was published nothing can be found any more, so whoever is answered first has it.
        desk.values.borrow_mut().clear();
        let former = Waiting { desk, waits: Cell::new(9) };
        let asks = |account: u32| {
            let account = format!("{account:032x}").parse().unwrap();
            answer(&former, Command::HandOver { account, from: Place::default() })
        };
        let (first, second) = block_on(futures::future::join(asks(8), asks(7)));
        assert!(matches!(second, Reply::HandedOver(_)));
        assert!(matches!(first, Reply::NothingToHandOver));
        assert!(matches!(block_on(asks(7)), Reply::HandedOver(_)), "and goes on having it");
    }

    fn own_again(account: u32) -> Desk {
        let desk = Desk::of(format!("{account:032x}"));
        coordinator::init(&desk).unwrap();
        desk
    }

    #[test]
    fn where_there_was_nothing_before_nothing_is_made() {
        let (former, new) = (Desk::new(), new());
        assert!(!block_on(take_over(&new, new.account(), &Object::new(&former))).unwrap());
        assert_eq!(former.query("SELECT name FROM sqlite_master", &[]).unwrap(), Vec::<Vec<SqlValue>>::new());
        assert_eq!(emptied_at(&former).unwrap(), None);
    }

    #[test]
    fn the_former_object_is_emptied_a_month_after_it_gave_everything() {
        let (former, new) = (former(), new());
        assert_eq!(emptied_at(&former).unwrap(), None);
        block_on(take_over(&new, new.account(), &Object::new(&former))).unwrap();
        let emptied = former.now().plus_secs(KEEP_SECS);
        assert_eq!(emptied_at(&former).unwrap(), Some(emptied));
        // Whoever asks once more does not put that off.
        former.advance(24 * 60 * 60);
        let again = Command::HandOver { account: new.account(), from: Place::default() };
        let mut given = block_on(answer(&former, again));
        while let Reply::HandedOver(Batch { next: Some(from), .. }) = given {
            given = block_on(answer(&former, Command::HandOver { account: new.account(), from }));
        }
        assert!(matches!(given, Reply::HandedOver(_)), "{given:?}");
        assert_eq!(emptied_at(&former).unwrap(), Some(emptied));
        empty(&former).unwrap();
        assert_eq!((rows(&former), emptied_at(&former).unwrap()), (Vec::new(), None));
    }

    #[test]
    fn an_account_that_is_configured_again_wakes_once() {
        let (former, new) = (Desk::new(), new());
        let object = Object::new(&former);
        block_on(take_over(&new, new.account(), &object)).unwrap();
        fall_asleep(&new).unwrap();
        assert!(block_on(take_over(&new, new.account(), &object)).unwrap());
        assert!(!block_on(take_over(&new, new.account(), &object)).unwrap());
    }

    #[test]
    fn an_object_is_told_by_its_id() {
        assert_eq!(Standing::of("a", "a", "f"), Standing::Own);
        assert_eq!(Standing::of("f", "a", "f"), Standing::Former);
        assert_eq!(Standing::of("b", "a", "f"), Standing::OfAnotherAccount);
    }
}
