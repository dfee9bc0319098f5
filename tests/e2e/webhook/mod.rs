//! `POST /webhooks/conductorone`.

mod approval;
mod body;
mod event;
mod keys;
pub(crate) mod provision;
mod replay;
mod token;
mod workflow;
