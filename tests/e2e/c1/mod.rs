//! The connector that ConductorOne hosts, as it is pasted into it (`c1/connector/`), against the Worker: every URL and field in it, to the
//! last page. `c1/baton-http.yaml` is tested natively (`tests/native/c1/`).

#[path = "../../hosted/mod.rs"]
mod hosted;
mod hosted_connector;
#[path = "../../../src/export/baton/pb.rs"]
#[allow(dead_code, reason = "not all that the file has is looked at here")]
mod pb;
