//! The connector that ConductorOne hosts, as it is pasted into it (`c1/connector/`), against the Worker: every URL and field in it, to the
//! last page. `c1/baton-http.yaml` is tested natively (`tests/native/c1/`).

#[path = "../../hosted/mod.rs"]
mod hosted;
mod hosted_connector;
