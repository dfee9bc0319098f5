//! What follows a publication where C1 takes the account in as a file: the file is brought to S3 or Azure Blob, and C1's connector
//! is told to sync at once, since it pulls by itself only once an hour (`reference/conductorone.md` 5 and 8.3).
//!
//! **Invariants:** what the store shows is a whole file of one generation, the one before until the next is there; memory is bound
//! by a part; everything may be repeated; neither a store's secret nor its SAS URL is in a message.

mod azure;
mod error;
mod examine;
mod exchange;
mod force_sync;
mod job;
mod s3;
mod settings;
mod sigv4;
mod upload;

pub use examine::{Checked, examine};
pub use job::attempt;
pub use settings::{Addressing, Azure, Connector, S3, Settings, Store};
pub(crate) use upload::has_begun;

use crate::base::ports::Sign;
use crate::base::ports::{Http, Log, Sql, SqlError};
use crate::export;

/// What a push needs of the world.
pub trait Ports: Http + Sql + Log + Sign + export::Ports {}

impl<T: Http + Sql + Log + Sign + export::Ports> Ports for T {}

/// Creates the table.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    upload::init(sql)
}
