//! Rows on their way from one Durable Object to another.

use serde::Serialize;

use crate::base::json::Deserialize;
use crate::base::ports::SqlValue;

/// How far a copy is: this many rows of a table, and all of the tables before it in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub(super) table: String,
    pub(super) rows: i64,
}

/// Rows on their way from one object to the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    pub(super) parts: Vec<Part>,
    /// Where the next batch begins; none after the last.
    pub(super) next: Option<Place>,
}

/// Rows of one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<SqlValue>>,
}

#[cfg(test)]
mod tests {
    use super::Batch;
    use crate::base::json;
    use crate::base::ports::SqlValue;

    #[test]
    fn a_batch_is_written_and_read_as_the_object_that_there_was_before_writes_it() {
        let text = r#"{"parts":[{"table":"job","columns":["a"],"rows":[["null",{"integer":-7},{"real":0.5},{"text":"x"},{"blob":[0,255]}]]}],"next":{"table":"job","rows":1}}"#;
        let batch: Batch = json::read_str(text).unwrap();
        let (blob, real) = (SqlValue::Blob(vec![0, 255]), SqlValue::Real(0.5));
        assert_eq!(batch.parts[0].rows, [[SqlValue::Null, SqlValue::Integer(-7), real, "x".into(), blob]]);
        assert_eq!(serde_json::to_string(&batch).unwrap(), text);
    }
}
