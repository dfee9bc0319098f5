//! `POST /v1/connect` and `GET /v1/connect`: C1's entitlements are pointed at the Worker, and back.

mod run;
mod trouble;
mod undo;
mod wire;
