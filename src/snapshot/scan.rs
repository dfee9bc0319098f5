//! What to look for in a snapshot, and the rows of one answer.

use crate::model::grant::Entitlement;
use crate::model::kind::Kind;
use crate::model::resource::Row;

/// What to look for in a snapshot.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The kinds of rows.
    pub kinds: Vec<Kind>,
    /// Only rows of people and groups that hold this.
    pub holding: Option<Entitlement>,
    /// Only rows after this key.
    pub after: Option<String>,
    /// How many rows at most.
    pub limit: usize,
}

/// Some rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowPage {
    /// The rows, in the order of their keys.
    pub rows: Vec<Row>,
    /// Where to go on, if there may be more. There may be even where `rows` is short or empty.
    pub next: Option<String>,
}
