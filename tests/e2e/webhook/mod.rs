//! `POST /webhooks/conductorone`: each event once, signatures, and bodies as they arrive.

mod approval;
mod body;
mod event;
mod keys;
mod provision;
mod token;
mod workflow;
