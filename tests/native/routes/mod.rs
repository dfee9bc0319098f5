//! Routes, from the request to the account and back.

mod accounts;
mod adverse;
mod approvals;
mod bounds;
mod cap;
mod connect;
mod doctor;
mod errors;
mod evidence;
mod expiry;
mod export;
mod findings;
mod fresh;
mod grants;
mod history;
mod invitations;
mod lists;
mod mistyped;
mod page;
mod permissions;
mod public_url;
mod pulse;
mod push;
mod reach;
mod rights;
#[path = "../../support/scim.rs"]
mod scim;
mod scim_groups;
mod scim_users;
mod signals;
mod swept;
mod sync;
mod tokens;
mod webhook;
mod what_if;
