//! SQLite in memory, as the storage of a Durable Object answers: for whatever stands in for it in tests.

use rusqlite::types::{Value, ValueRef};

use crate::base::ports::{SqlError, SqlValue};

/// A database that is gone with the value.
#[derive(Debug)]
pub(crate) struct Database(rusqlite::Connection);

/// How many statements stay prepared: the connector has some hundred, and the 16 that are the default would be prepared again and again.
const STATEMENTS: usize = 1_000;

/// A value of a Durable Object has 2 MB at most.
const MAX_VALUE: usize = 2_000_000;

/// And so has a row, as workerd sets it.
const MAX_ROW: i32 = 2 * 1024 * 1024;

impl Database {
    /// An empty one.
    pub(crate) fn new() -> Result<Self, SqlError> {
        let connection = rusqlite::Connection::open_in_memory().map_err(|error| SqlError(error.to_string()))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let set = connection.set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_LENGTH, MAX_ROW);
        set.map_err(|error| SqlError(error.to_string()))?;
        Ok(Self(connection))
    }

    /// Carries a statement out, as `Sql::query` does.
    pub(crate) fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        let failed = |error: rusqlite::Error| SqlError(format!("{error} in {statement}"));
        let is_too_long = |value: &SqlValue| match value {
            SqlValue::Blob(bytes) => bytes.len() >= MAX_VALUE,
            SqlValue::Text(text) => text.len() >= MAX_VALUE,
            _ => false,
        };
        if params.iter().any(is_too_long) {
            return Err(SqlError("a value of a Durable Object has 2 MB at most".to_owned()));
        }
        let mut prepared = self.0.prepare_cached(statement).map_err(failed)?;
        let params = params.iter().map(|value| match value {
            SqlValue::Null => Value::Null,
            SqlValue::Integer(number) => Value::Integer(*number),
            SqlValue::Real(number) => Value::Real(*number),
            SqlValue::Text(text) => Value::Text(text.clone()),
            SqlValue::Blob(bytes) => Value::Blob(bytes.clone()),
        });
        let columns = prepared.column_count();
        let mut rows = prepared.query(rusqlite::params_from_iter(params)).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let value = |column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Null => SqlValue::Null,
                    // Durable Object SQL hands every number over as a double.
                    #[allow(clippy::cast_precision_loss, reason = "numbers stay within 2^53")]
                    ValueRef::Integer(number) => SqlValue::Real(number as f64),
                    ValueRef::Real(number) => SqlValue::Real(number),
                    ValueRef::Text(text) => SqlValue::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
                })
            };
            found.push((0..columns).map(value).collect::<Result<_, _>>().map_err(failed)?);
        }
        Ok(found)
    }

    /// Does some work of which all that it writes stays or nothing, as `Sql::whole` does.
    pub(crate) fn whole(&self, work: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
        let execute = |statement: &str| {
            self.0.execute_batch(statement).map_err(|error| SqlError(format!("{error} in {statement}")))
        };
        execute("SAVEPOINT whole")?;
        let done = work();
        execute(if done.is_ok() { "RELEASE whole" } else { "ROLLBACK TO whole; RELEASE whole" })?;
        done
    }

    /// Whether a statement only reads.
    pub(crate) fn only_reads(&self, statement: &str) -> bool {
        self.0.prepare_cached(statement).is_ok_and(|prepared| prepared.readonly())
    }
}

#[cfg(test)]
mod tests {
    use super::{Database, MAX_VALUE};
    use crate::base::ports::SqlValue;

    #[test]
    fn a_row_that_a_durable_object_does_not_take_is_refused_though_each_value_is_short_enough() {
        let database = Database::new().unwrap();
        database.query("CREATE TABLE kept (one, other)", &[]).unwrap();
        for (bytes, is_taken) in [(1_000_000, true), (1_100_000, false)] {
            let value = || SqlValue::Text("x".repeat(bytes));
            let kept = database.query("INSERT INTO kept VALUES (?, ?)", &[value(), value()]);
            assert_eq!(kept.is_ok(), is_taken, "{bytes}");
        }
    }

    #[test]
    fn a_value_that_a_durable_object_does_not_take_is_refused_whatever_it_is_of() {
        let database = Database::new().unwrap();
        database.query("CREATE TABLE kept (value)", &[]).unwrap();
        for (bytes, is_taken) in [(MAX_VALUE - 1, true), (MAX_VALUE, false)] {
            for value in [SqlValue::Blob(vec![b'x'; bytes]), SqlValue::Text("x".repeat(bytes))] {
                let kept = database.query("INSERT INTO kept VALUES (?)", &[value]);
                assert_eq!(kept.is_ok(), is_taken, "{bytes}");
            }
        }
    }
}
