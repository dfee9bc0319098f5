//! What is governed: people, roles, groups, tokens, and who holds what. Knows neither Cloudflare's API nor
//! ConductorOne's.
//!
//! **Invariant:** nothing here does any I/O or knows of time.

pub mod access;
pub mod address;
pub mod ask;
pub mod grant;
pub mod id;
pub mod kind;
pub mod name;
pub mod oauth;
pub mod offer;
pub mod operation;
pub mod resource;
pub mod scope;
pub mod signs;
pub mod super_administrator;
pub mod token;
