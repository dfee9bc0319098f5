//! What goes wrong meanwhile: Cloudflare's faults, reads that are behind, and kills.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::watch;

use super::Plan;
use super::model::Asked;
use crate::cloudflare::{Cloudflare, Fault, On};
use crate::stage::Stage;

/// How long the Worker may take to start.
const UP: Duration = Duration::from_mins(5);

/// What happened beside the load.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// How many callbacks C1 had been sent at each kill.
    pub(super) kills: Vec<usize>,
    /// How often a member was shown as before.
    pub(super) stale: usize,
}

/// Plans the faults: each kind has an equal part of the share.
pub(super) fn plan_faults(plan: &Plan, cloudflare: &Cloudflare) {
    for _ in 0..plan.refusals {
        let refusal = Fault::TooManyRequests { retry_after: Some(1), headers: true };
        // Amid the load: after some hundred requests.
        cloudflare.fail_later(On::Any, 150, refusal);
    }
    let faults = [
        (On::Any, Fault::status(500, 10_000)),
        (On::Any, Fault::status(502, 10_000).after()),
        (On::Any, Fault::Reset),
        (On::Any, Fault::Reset.after()),
        (On::Any, Fault::TruncatedJson),
        (On::Any, Fault::Html { status: 524 }.after()),
    ];
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let share = plan.faults / faults.len() as f64;
    if share > 0.0 {
        for (on, fault) in faults {
            cloudflare.fail_randomly(on, share, fault);
        }
    }
}

/// The faults that were met, by name.
pub(super) fn faults(cloudflare: &Cloudflare) -> BTreeMap<String, usize> {
    let mut met = BTreeMap::new();
    for fault in cloudflare.exchanges().into_iter().filter_map(|exchange| exchange.fault) {
        *met.entry(fault).or_default() += 1;
    }
    met
}

/// Runs the load with troubles beside it, until the load is done.
pub(super) async fn beside<T>(
    load: impl Future<Output = T>,
    troubles: impl Future<Output = Result<(), String>>,
) -> Result<T, String> {
    match select(pin!(load), pin!(troubles)).await {
        Either::Left((told, _)) => Ok(told),
        Either::Right((ended, load)) => {
            ended?;
            Ok(load.await)
        }
    }
}

/// Makes trouble, until this is dropped.
pub(super) async fn make(
    plan: &Plan,
    stage: &Stage,
    asked: &Asked,
    killed: &watch::Sender<usize>,
    troubles: &mut Troubles,
) -> Result<(), String> {
    let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x57A1E);
    let mut left = plan.kills;
    // More rounds than any load lasts: the load's end ends this.
    for _ in 0..100_000 {
        if left > 0 {
            stage.world.wait_for("/healthz", UP, |_| true).await.map_err(|error| error.to_string())?;
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(5..150))).await;
        if plan.faults > rng.f64()
            && let Some(member) = rng.choice(&asked.members)
        {
            stage.cloudflare.stale_reads(member, rng.usize(1..=2));
            troubles.stale += 1;
        }
        if left > 0 {
            left -= 1;
            stage.world.worker.kill().await;
            troubles.kills.push(stage.world.c1.callback_posts().len());
            stage.world.worker.restart().await.map_err(|error| error.to_string())?;
            killed.send_modify(|kills| *kills += 1);
        }
    }
    Ok(())
}
