//! ConductorOne's side: who signed a webhook, what it asks for, how it wants to be answered, and its own API.

pub mod api;
pub mod apps;
pub mod credentials;
pub mod jwks;
pub mod jwt;
pub mod payload;
pub mod response;
pub mod settings;
pub mod verify;
pub mod webhooks;

pub use settings::Settings;
