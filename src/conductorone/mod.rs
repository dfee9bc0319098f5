//! ConductorOne's side: who signed a webhook, what it asks for, and how it wants to be answered.

pub mod jwks;
pub mod jwt;
pub mod payload;
pub mod response;
pub mod signing;
pub mod verify;
