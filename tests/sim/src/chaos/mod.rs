//! Many webhooks at once, an API that fails, and a Worker that is killed: the whole scenario, with every promise checked, as the
//! tests and the bench run it.
//!
//! What must come of it is worked out by [`model`], which shares no code with the connector. What may be random is drawn
//! from the seed; how the requests interleave is not.

mod model;
mod trouble;
mod verify;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::Answer;
use crate::cloudflare::{Latency, Limits, Spec};
use crate::conductorone::{Delivery, Outcome, Pace, Task, Verdict};
use crate::stage::Stage;

use model::{Asked, Wish};
use trouble::Troubles;

/// How long the Worker may take, after C1 has its 202, to call back: the longest block by Cloudflare, and a machine that has other things to do.
const PATIENCE: Duration = Duration::from_mins(20);

/// How often C1's side looks whether a revoke waits for its proof.
const LOOK: Duration = Duration::from_secs(5);

/// What the journal says of a revoke that is carried out and not told yet, since a write that nobody answered may bring the access back: for
/// longer than any test lasts.
const UNPROVEN: &str = "may bring it back until";

/// What is tried.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of the account and of everything that is drawn.
    pub seed: u64,
    /// How many members are concerned.
    pub members: usize,
    /// How many different roles are asked for, for each of them.
    pub roles: usize,
    /// Whether revokes are among the tasks, and pairs of tasks for the same role; otherwise all are grants.
    pub mixed: bool,
    /// How long Cloudflare takes for a request.
    pub latency: Duration,
    /// Which share of Cloudflare's answers goes wrong, 0.0 to 1.0.
    pub faults: f64,
    /// How often Cloudflare answers 429. Each costs everybody a minute.
    pub refusals: usize,
    /// How often the Worker is killed and started again.
    pub kills: usize,
}

impl Plan {
    /// The issue's own figures: 40 members and 5 roles each, answers after 50 ms, and one in ten goes wrong.
    pub fn full(seed: u64) -> Self {
        let latency = Duration::from_millis(50);
        Self { seed, members: 40, roles: 5, mixed: false, latency, faults: 0.1, refusals: 0, kills: 0 }
    }

    /// The same with grants and revokes mixed, small enough that many seeds can be tried.
    pub fn mixed(seed: u64) -> Self {
        Self { members: 5, roles: 6, mixed: true, ..Self::full(seed) }
    }
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Webhooks that were delivered.
    pub deliveries: usize,
    /// Attempts that this took.
    pub attempts: usize,
    /// Webhooks that were answered with a document.
    pub answered: usize,
    /// Webhooks that were answered with 202.
    pub accepted: usize,
    /// Webhooks that were answered, at once or later, with `errored`: superseded by the contrary.
    pub errored: usize,
    /// Revokes that are carried out, and not told before no unanswered write can undo them.
    pub unproven: usize,
    /// Callbacks that C1 took.
    pub callbacks: usize,
    /// Callbacks that were sent again after C1 had taken them, each because of a kill in between.
    pub repeated: usize,
    /// Requests to Cloudflare.
    pub calls: usize,
    /// Faults that Cloudflare's answers had, by name.
    pub faults: BTreeMap<String, usize>,
    /// How often a member was shown as before.
    pub stale: usize,
    /// How often the Worker was killed.
    pub kills: usize,
    /// From the first delivery to the last answer.
    pub took: Duration,
}

/// A webhook and what became of it.
#[derive(Debug)]
struct Told {
    wish: Wish,
    delivery: Delivery,
    outcome: Outcome,
    /// The response document, from wherever it came; nothing where a revoke waits for its proof.
    document: Value,
}

/// Runs a plan. An error is a promise that was not kept, in a sentence.
pub async fn run(plan: &Plan) -> Result<Report, String> {
    let spec = Spec {
        members: plan.members + 5,
        roles: 30,
        seed: plan.seed,
        pending_share: 0.0,
        // The connector's own budget is for tests of its own; here the simulated quota is not what fails.
        limits: Limits { requests: 1_000_000, ..Limits::default() },
        ..Spec::default()
    };
    let stage = Stage::set(spec, &[("MAX_REMOVALS_PER_HOUR", "1000")]).await.map_err(|error| error.to_string())?;
    let asked = Asked::draw(plan, &stage.cloudflare)?;
    stage.world.c1.set_pace(pace());
    stage.sync(PATIENCE, Duration::from_millis(50), |_| {}).await?;
    let before = model::everybody(&stage.cloudflare);
    stage.cloudflare.reset_log();
    stage.cloudflare.set_latency(Latency::of(plan.latency));
    trouble::plan_faults(plan, &stage.cloudflare);

    let began = Instant::now();
    let killed = watch::Sender::new(0);
    let load = deliver_all(plan, &stage, &asked, killed.subscribe());
    let mut troubles = Troubles::default();
    let told = trouble::beside(load, trouble::make(plan, &stage, &asked, &killed, &mut troubles)).await??;
    let took = began.elapsed();
    stage.cloudflare.clear_faults();
    let calls = stage.cloudflare.total_requests();

    let journal = verify::journal(&stage).await?;
    let told = verify::told_since(&stage, told, &journal).await?;
    model::check(&before, &told, &journal, &model::everybody(&stage.cloudflare))?;
    let mut report = verify::answers(&told, &journal, &stage.world.c1.callback_posts(), &troubles)?;
    verify::replays(&stage, &told).await?;
    verify::log(&stage.world.worker.logs())?;
    report.calls = calls;
    report.faults = trouble::faults(&stage.cloudflare);
    report.stale = troubles.stale;
    report.kills = troubles.kills.len();
    report.took = took;
    Ok(report)
}

/// C1's patience is 50 attempts, 9 s apart: some 7 minutes. Here it is as long, with more attempts.
fn pace() -> Pace {
    Pace { pause: (Duration::from_millis(200), Duration::from_secs(1)), attempts: 750, ..Pace::real() }
}

/// Delivers everything at once, but for what waits for the answer to another. Where the Worker is to be killed, half of it
/// comes little by little with the kills, so that there is something under way at each of them.
async fn deliver_all(
    plan: &Plan,
    stage: &Stage,
    asked: &Asked,
    killed: watch::Receiver<usize>,
) -> Result<Vec<Told>, String> {
    let half = asked.chains.len() / 2;
    let chains = asked.chains.iter().enumerate().map(|(place, chain)| {
        let mut killed = killed.clone();
        let after = plan.kills * place.saturating_sub(half) / (asked.chains.len() - half);
        async move {
            // An error is the end of the troubles, which comes after the last kill.
            let _ = killed.wait_for(|kills| *kills >= after).await;
            let mut told = Vec::new();
            for wish in chain {
                told.push(deliver(stage, wish).await?);
            }
            Ok::<_, String>(told)
        }
    });
    Ok(join_all(chains).await.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

async fn deliver(stage: &Stage, wish: &Wish) -> Result<Told, String> {
    let delivery = stage.world.c1.task(&task(wish));
    let outcome = stage.world.deliver(&delivery).await;
    let document = match &outcome.verdict {
        Verdict::Answered(document) => document.clone(),
        Verdict::Accepted => {
            let (path, until) = (format!("/v1/operations/{}~{}", wish.task, wish.step), Instant::now() + PATIENCE);
            // Only a revoke may be at an end of which C1 is never told.
            let look = if wish.grants { PATIENCE } else { LOOK };
            loop {
                if let Some(document) = stage.world.c1.callback(&delivery, look).await {
                    break document;
                }
                let known = stage.world.get(&path).await.map(|answer| answer.text()).unwrap_or_default();
                if !wish.grants && known.contains(UNPROVEN) {
                    break Value::Null;
                }
                if Instant::now() > until {
                    return Err(format!("{wish}: accepted, and no callback within {PATIENCE:?}; the journal: {known}"));
                }
            }
        }
        other => return Err(format!("{wish} ended with {other:?}; last: {}", last(&outcome))),
    };
    Ok(Told { wish: wish.clone(), delivery, outcome, document })
}

fn task(wish: &Wish) -> Task {
    let task = if wish.grants {
        Task::grant(wish.entitlement.clone(), wish.person.clone())
    } else {
        Task::revoke(wish.entitlement.clone(), wish.person.clone())
    };
    task.id(&wish.task).step_id(&wish.step)
}

fn last(outcome: &Outcome) -> String {
    match outcome.attempts.last().map(|attempt| &attempt.result) {
        Some(Ok(answer)) => format!("{} {}", answer.status, Answer::text(answer)),
        Some(Err(error)) => error.to_string(),
        None => "nothing".into(),
    }
}
