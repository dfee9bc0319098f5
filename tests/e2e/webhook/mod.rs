//! `POST /webhooks/conductorone`.

mod approval;
mod body;
mod event;
mod keys;
mod provision;
mod token;
mod workflow;
