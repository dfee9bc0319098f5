//! Which pages of the list of members an operation has looked through already: in a large account that takes longer than one attempt has, and the next one
//! goes on from here.
//!
//! **Invariant:** a page is noted only where nobody on it mattered, so that nothing but what was proved is taken over by a later attempt.

use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::model::id::MemberId;
use crate::model::operation::EntryId;

/// Creates the table.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS looked_through ( \
            operation INTEGER NOT NULL, reading INTEGER NOT NULL, page INTEGER NOT NULL, pages INTEGER NOT NULL, \
            is_counted INTEGER NOT NULL, members INTEGER, ids TEXT NOT NULL, odd INTEGER NOT NULL, \
            PRIMARY KEY (operation, reading, page)) WITHOUT ROWID",
        &[],
    )
}

/// What an operation reads the list for.
/// The numbers stand in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Somebody is looked for.
    First = 0,
    /// Nobody was found, and the same have to be on the list again.
    Again = 1,
    /// Others who are Super Administrators are counted.
    SuperAdministrators = 2,
}

/// A page on which nobody mattered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookedThrough {
    /// Its number, from 1.
    pub page: u32,
    /// How many pages there were, as far as it told.
    pub pages: u32,
    /// Whether the list counts its pages.
    pub is_counted: bool,
    /// How many members the list told of.
    pub members: Option<u32>,
    /// Who is on it.
    pub ids: Vec<MemberId>,
    /// How many are on it whose record cannot be read.
    pub odd: u32,
}

/// A list of fewer pages is read to its end by one attempt, and from its beginning by the next.
pub const MANY_PAGES: u32 = 20;

/// The pages that an operation has looked through.
pub fn pages(sql: &dyn Sql, operation: EntryId, reading: Reading) -> Result<Vec<LookedThrough>, SqlError> {
    let rows = sql.query(
        "SELECT page, pages, is_counted, members, odd, ids FROM looked_through WHERE operation = ? AND reading = ?",
        &[operation.0.into(), (reading as i64).into()],
    )?;
    // What cannot be read is looked through once more.
    Ok(rows.iter().filter_map(|row| of_row(row)).collect())
}

fn of_row(row: &[SqlValue]) -> Option<LookedThrough> {
    let number = |place: usize| row.get(place)?.integer().and_then(|number| u32::try_from(number).ok());
    let ids = row.get(5)?.text()?;
    Some(LookedThrough {
        page: number(0)?,
        pages: number(1)?,
        is_counted: number(2)? == 1,
        members: number(3),
        odd: number(4)?,
        ids: ids.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?,
    })
}

/// Notes a page, where the list has many.
pub fn note(sql: &dyn Sql, operation: EntryId, reading: Reading, page: &LookedThrough) -> Result<(), SqlError> {
    if page.pages <= MANY_PAGES {
        return Ok(());
    }
    let ids: Vec<String> = page.ids.iter().map(ToString::to_string).collect();
    sql.run(
        "INSERT OR REPLACE INTO looked_through (operation, reading, page, pages, is_counted, members, odd, ids) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            operation.0.into(),
            (reading as i64).into(),
            i64::from(page.page).into(),
            i64::from(page.pages).into(),
            i64::from(page.is_counted).into(),
            page.members.map(i64::from).into(),
            i64::from(page.odd).into(),
            ids.join(" ").into(),
        ],
    )
}

/// How many pages an operation has looked through, in all of its readings.
pub fn count(sql: &dyn Sql, operation: EntryId) -> Result<i64, SqlError> {
    let count = sql.number("SELECT COUNT(*) FROM looked_through WHERE operation = ?", &[operation.0.into()])?;
    Ok(count.unwrap_or_default())
}

/// Forgets what an operation has looked through: it is over, or starts over.
pub fn forget(sql: &dyn Sql, operation: EntryId) -> Result<(), SqlError> {
    sql.run("DELETE FROM looked_through WHERE operation = ?", &[operation.0.into()])
}
