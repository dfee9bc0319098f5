//! `POST /webhooks/conductorone`. What the runtime itself has a part in, bodies that break off and WebCrypto, is in `tests/e2e/webhook/`.

mod approval;
mod body;
mod event;
mod keys;
mod long_list;
mod provision;
mod replay;
mod token;
mod workflow;
