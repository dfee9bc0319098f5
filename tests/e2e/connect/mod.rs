//! `POST /v1/connect`, `GET /v1/connect` and `make connect`: C1's entitlements are pointed at the Worker, and back. What becomes of a run
//! is tested natively (`tests/native/routes/connect/`).

mod command;
mod run;
mod trouble;
