//! Rows that this version cannot read: of a newer version that ran before, or damaged. One of them stops only itself: it is set
//! aside, and everything else of its table goes on. Every reader of a table with more than one row reads it through [`readable`].
//!
//! A row that says it is of a newer version may mean something else than it seems to, so whoever selects one selects what matters of it
//! as `CASE version WHEN 1 THEN … END`: of any other version that is nothing, and cannot be read. `tests/native/rows.rs` puts such rows.

use serde::Serialize;

use super::ports::{Sql, SqlError, SqlValue};
use crate::base::json::Deserialize;

/// How many rows of a table are set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// The table.
    pub table: String,
    /// How many of its rows.
    pub rows: i64,
    /// A sentence for who looks at the status.
    pub message: String,
}

/// Creates the table of what is set aside.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS set_aside ( \
            of_table TEXT NOT NULL, id TEXT NOT NULL, is_logged INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (of_table, id)) \
         WITHOUT ROWID",
        &[],
    )
}

/// Forgets what was set aside: this start may be the first of a version that can read it.
pub fn begin(sql: &dyn Sql) -> Result<(), SqlError> {
    init(sql)?;
    sql.run("DELETE FROM set_aside", &[])
}

/// In SQL, that a row is not set aside: the column that tells the rows apart, and the table.
macro_rules! not_set_aside {
    ($id:literal, $table:literal) => {
        concat!("CAST(", $id, " AS TEXT) NOT IN (SELECT id FROM set_aside WHERE of_table = '", $table, "')")
    };
}

pub(crate) use not_set_aside;

/// Whether there is a table.
pub fn is_table(sql: &dyn Sql, table: &str) -> Result<bool, SqlError> {
    sql.has("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", &[table.into()])
}

/// Adds a column to a table, where there is that table, and it was not added before: SQLite keeps the words by which that was done.
pub fn add_column(sql: &dyn Sql, table: &str, column: &str) -> Result<(), SqlError> {
    let statement = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ? AND instr(sql, ' ' || ?) = 0";
    if sql.has(statement, &[table.into(), column.into()])? {
        sql.run(&format!("ALTER TABLE {table} ADD COLUMN {column}"), &[])?;
    }
    Ok(())
}

/// What `read` makes of rows whose first column tells them apart. Those it can make nothing of are set aside.
pub fn readable<T>(
    sql: &dyn Sql,
    table: &str,
    rows: &[Vec<SqlValue>],
    mut read: impl FnMut(&[SqlValue]) -> Option<T>,
) -> Result<Vec<T>, SqlError> {
    let mut kept = Vec::with_capacity(rows.len());
    each_readable(sql, table, rows, &mut |row| read(row).map(|value| kept.push(value)).is_some())?;
    Ok(kept)
}

/// The same for whatever is made of a row: `read` says whether it could. It is compiled once.
fn each_readable(
    sql: &dyn Sql,
    table: &str,
    rows: &[Vec<SqlValue>],
    read: &mut dyn FnMut(&[SqlValue]) -> bool,
) -> Result<(), SqlError> {
    for row in rows {
        if !read(row) {
            set_aside(sql, table, row.first())?;
        }
    }
    Ok(())
}

/// Reads rows, and tells how many of them could be.
type Counted<'a> = &'a mut dyn FnMut(&[Vec<SqlValue>]) -> Result<usize, SqlError>;

/// What a list is narrowed down to by whoever asks for it: conditions that all hold, and their values.
pub struct Narrowed {
    conditions: String,
    values: Vec<SqlValue>,
}

impl Narrowed {
    /// By a condition that holds always, or whatever is asked for.
    pub fn by(condition: &str, values: Vec<SqlValue>) -> Self {
        Self { conditions: condition.to_owned(), values }
    }

    /// And by one more, where there is a value for it. Each `?` of the condition stands for the value.
    pub fn and(&mut self, condition: &str, value: Option<SqlValue>) {
        if let Some(value) = value {
            let count = condition.matches('?').count();
            self.and_all(condition, &vec![value; count]);
        }
    }

    /// And by one with several values.
    pub fn and_all(&mut self, condition: &str, values: &[SqlValue]) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.values.extend_from_slice(values);
    }

    /// What `read` makes of the rows of `SELECT …`, those with the highest number first, which stands in the column `number` and comes first in
    /// a row. Where it makes nothing of some, others are read in their place: whoever gets fewer than the limit has all there are.
    pub fn newest<T>(
        self,
        sql: &dyn Sql,
        select: &str,
        number: &str,
        limit: i64,
        read: impl Fn(&[Vec<SqlValue>]) -> Result<Vec<T>, SqlError>,
    ) -> Result<Vec<T>, SqlError> {
        let mut all = Vec::new();
        self.each_newest(sql, select, number, limit, &mut |rows| {
            let some = read(rows)?;
            let count = some.len();
            all.extend(some);
            Ok(count)
        })?;
        Ok(all)
    }

    /// The same for whatever is made of the rows, of how many of which `read` tells: it is compiled once.
    fn each_newest(
        self,
        sql: &dyn Sql,
        select: &str,
        number: &str,
        limit: i64,
        read: Counted<'_>,
    ) -> Result<(), SqlError> {
        let Self { conditions, values } = self;
        let statement = format!("{select} WHERE {conditions} AND {number} < ? ORDER BY {number} DESC LIMIT ?");
        let (mut below, mut left) = (i64::MAX, limit);
        while left > 0 {
            let rows = sql.query(&statement, &[values.as_slice(), &[below.into(), left.into()]].concat())?;
            let some = read(&rows)?;
            let last = rows.last().and_then(|row| row.first()).and_then(SqlValue::integer);
            let count = |some: usize| i64::try_from(some).unwrap_or(i64::MAX);
            let is_end = count(rows.len()) < left;
            left -= count(some);
            match last {
                Some(last) if !is_end => below = last,
                _ => break,
            }
        }
        Ok(())
    }
}

/// Sets a row aside, once.
fn set_aside(sql: &dyn Sql, table: &str, id: Option<&SqlValue>) -> Result<(), SqlError> {
    let id = match id {
        Some(SqlValue::Text(text)) => text.clone(),
        Some(value) => value.integer().map_or_else(|| "?".to_owned(), |number| number.to_string()),
        None => "?".to_owned(),
    };
    init(sql)?;
    sql.run("INSERT OR IGNORE INTO set_aside (of_table, id) VALUES (?, ?)", &[table.into(), id.into()])
}

/// How many rows are set aside, by table.
pub fn counts(sql: &dyn Sql) -> Result<Vec<SetAside>, SqlError> {
    init(sql)?;
    let rows = sql.query("SELECT of_table, COUNT(*) FROM set_aside GROUP BY of_table ORDER BY of_table", &[])?;
    let read = |row: &Vec<SqlValue>| {
        let (table, rows) = (row.first()?.text()?.to_owned(), row.get(1)?.integer()?);
        let message = format!(
            "{rows} rows of {table} are set aside: this version cannot read them. Deploy the version that wrote them, or a newer one."
        );
        Some(SetAside { table, rows, message })
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// What was set aside since this was last asked, as pairs of table and row: each is for the log once.
pub fn unlogged(sql: &dyn Sql) -> Result<Vec<(String, String)>, SqlError> {
    init(sql)?;
    let rows = sql.query("UPDATE set_aside SET is_logged = 1 WHERE is_logged = 0 RETURNING of_table, id", &[])?;
    let text =
        |row: &Vec<SqlValue>, place: usize| row.get(place).and_then(SqlValue::text).unwrap_or_default().to_owned();
    Ok(rows.iter().map(|row| (text(row, 0), text(row, 1))).collect())
}

#[cfg(test)]
mod tests {
    use super::{begin, counts, readable, unlogged};
    use crate::base::fakes::Desk;
    use crate::base::ports::SqlValue;

    #[test]
    fn a_row_that_cannot_be_read_stops_only_itself_and_is_counted_and_logged_once() {
        let desk = Desk::new();
        let rows: Vec<Vec<SqlValue>> =
            [(1, "7"), (2, "{\"v\":2}"), (3, "9")].map(|(id, text)| vec![id.into(), text.into()]).into();
        for _ in 0..2 {
            let read = |row: &[SqlValue]| row.get(1)?.text()?.parse::<i64>().ok();
            assert_eq!(readable(&desk, "operation", &rows, read).unwrap(), [7, 9]);
        }
        let counted = counts(&desk).unwrap();
        assert_eq!((counted.len(), counted[0].table.as_str(), counted[0].rows), (1, "operation", 1));
        assert_eq!(unlogged(&desk).unwrap(), [("operation".to_owned(), "2".to_owned())]);
        assert_eq!(unlogged(&desk).unwrap(), []);
        begin(&desk).unwrap();
        assert_eq!(counts(&desk).unwrap(), []);
    }
}
