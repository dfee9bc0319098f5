//! ConductorOne's generic HTTP connector, as it is pasted into it (`c1/baton-http.yaml`): every URL, field and condition in it, to the last
//! page.

mod generic;
mod http;
