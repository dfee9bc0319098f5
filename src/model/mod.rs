//! What is governed: people, roles, groups, tokens, and who holds what. Knows neither Cloudflare's API nor
//! ConductorOne's.
//!
//! **Invariant:** nothing here does any I/O or knows of time.

pub mod access;
pub mod grant;
pub mod id;
pub mod offer;
pub mod resource;
