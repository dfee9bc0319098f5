//! `/scim/v2`.

mod baton;
mod conformance;
mod groups;
mod users;

#[path = "../../support/scim.rs"]
mod shared;

pub(crate) use shared::{GROUP, assert_error, members, patch};
