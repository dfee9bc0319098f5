//! What is known of the account between syncs, and whom and what a request means in it.
//!
//! **Invariants:** whom a request means is decided in one place ([`person`]), whether Cloudflare's list is asked or a generation;
//! that nobody is meant is said only of an account that was looked through.

pub mod apps;
pub mod default_role;
pub mod entitlement;
pub mod expiry;
pub mod find;
pub(crate) mod hints;
pub mod identity;
pub mod inherited;
pub mod looked_through;
pub mod names;
mod newest;
pub mod overlay;
pub mod person;
pub(crate) mod state;
mod stopped;

pub use newest::{Newest, newest};
pub use stopped::Stopped;

use crate::base::ports::{Sql, SqlError};

/// Creates the tables.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    state::init(sql)?;
    identity::init(sql)?;
    inherited::init(sql)?;
    expiry::init(sql)?;
    overlay::init(sql)
}
