//! Changing the account: grants, revokes, and what keeps them safe.

pub mod lock;
pub mod policies;
