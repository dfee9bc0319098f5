//! `POST /webhooks/conductorone`.

mod body;
mod event;
mod keys;
mod provision;
mod token;
