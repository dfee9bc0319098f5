//! The way to the Coordinator, and what else of the world an answer needs.

use super::http::Problem;
use crate::base::ports::{Clock, Http, KeyCache, KeyValue, Log, Sign, Signatures, Zstd};
use crate::conductorone::jwks::Cache;
use crate::coordinator::{Ask, Command, Reply};

/// What an answer needs of the world. A body that is made while it is sent takes a copy along.
pub trait Ports:
    Http + KeyValue + Clock + Signatures + KeyCache<Cache> + Ask + Log + Sign + Zstd + Clone + 'static
{
}

impl<T: Http + KeyValue + Clock + Signatures + KeyCache<Cache> + Ask + Log + Sign + Zstd + Clone + 'static> Ports
    for T
{
}

/// Asks the Coordinator; a silent one is a problem of its own.
pub(super) async fn ask<P: Ports>(ports: &P, command: Command) -> Result<Reply, Problem> {
    ports.ask(command).await.map_err(|error| Problem::unavailable("coordinator_unreachable", error.to_string(), 5))
}

/// The Coordinator could not use its own storage.
pub(super) fn failed() -> Problem {
    Problem::unavailable("coordinator_failed", "the Coordinator could not carry this out; see the Worker's log", 5)
}
