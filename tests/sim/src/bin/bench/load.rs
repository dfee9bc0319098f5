//! Many requests at once: how many are answered and how fast, whether a flood of forged webhooks is in the way of proper ones, and what a grant
//! waits for beside a sync and beside other grants.

use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use sim::client::Answer;
use sim::cloudflare::Spec;
use sim::conductorone::{Delivery, Task, Token};
use sim::stage::Stage;
use tokio::time::Instant;

use crate::grants::{Wanted, percentile, wanted};
use crate::table;

/// How many members the account has, and how many in the long form.
const MEMBERS: (usize, usize) = (5_000, 50_000);

/// How many requests of each kind, and how many of them at once.
const REQUESTS: (usize, usize) = (400, 16);

/// How many forged webhooks, how many of them at once, and how many proper ones beside them.
const FLOOD: (usize, usize, usize) = (2_000, 32, 50);

/// How often keys may be asked for during the flood: some forged tokens name a key that nobody knows, and one look tells that.
const MOST_KEY_FETCHES: u32 = 2;

/// How many grants are measured alone, and how many stand beside others.
const GRANTS: (usize, usize) = (50, 200);

/// Measures all of it; `long` with the largest account.
pub(crate) async fn measure(long: bool) -> Result<(), String> {
    let members = if long { MEMBERS.1 } else { MEMBERS.0 };
    let spec = Spec { members, roles: 60, groups: 10, pending_share: 0.05, ..Spec::default() };
    let stage = Stage::set(spec, &[]).await.map_err(|error| error.to_string())?;
    stage.sync(Duration::from_mins(20), Duration::from_millis(250), |_| {}).await?;
    requests(&stage).await?;
    flood(&stage).await?;
    grants(&stage).await
}

async fn requests(stage: &Stage) -> Result<(), String> {
    let (count, at_once) = REQUESTS;
    let world = &stage.world;
    let forged = world.c1.test_event().token(Token::new().broken_signature());
    let mut rows = Vec::new();
    for (name, expected) in [
        ("GET /healthz", 200),
        ("GET /v1/users, 100 rows", 200),
        ("a refused webhook", 401),
        ("a verified webhook", 200),
    ] {
        let one = async |_| {
            let proper = world.c1.test_event();
            let began = Instant::now();
            let answer = match name {
                "GET /healthz" => world.get("/healthz").await,
                "GET /v1/users, 100 rows" => world.get("/v1/users?limit=100").await,
                "a refused webhook" => world.deliver_once(&forged).await,
                _ => world.deliver_once(&proper).await,
            };
            let status = answer.map(|answer| answer.status).unwrap_or_default();
            if status == expected { Ok(began.elapsed()) } else { Err(format!("{name} was answered {status}")) }
        };
        let cpu = world.worker.cpu_time();
        let began = Instant::now();
        let outcomes: Vec<Result<Duration, String>> =
            stream::iter(0..count).map(one).buffer_unordered(at_once).collect().await;
        let all = began.elapsed();
        let cpu = table::spent(cpu, world.worker.cpu_time());
        let mut took = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
        took.sort();
        rows.push(vec![
            name.to_owned(),
            format!("{:.0}", f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / all.as_secs_f64()),
            table::time(percentile(&took, 50)),
            table::time(percentile(&took, 99)),
            table::known(cpu, |cpu| table::time(cpu / u32::try_from(count).unwrap_or(u32::MAX))),
        ]);
    }
    table::print(
        &format!("{count} requests, {at_once} at once, {} members", table::count(stage.size.members)),
        &["request", "answered a second", "median", "p99", "processor time each, all threads"],
        &rows,
    );
    Ok(())
}

async fn flood(stage: &Stage) -> Result<(), String> {
    let (count, at_once, proper) = FLOOD;
    let world = &stage.world;
    let before = world.c1.jwks_fetches();
    let forge = async |number: usize| {
        let token = if number.is_multiple_of(2) {
            Token::new().broken_signature()
        } else {
            Token::new().kid(&format!("forged-{number}"))
        };
        let answer = world.deliver_once(&world.c1.test_event().token(token)).await;
        answer.map(|answer| answer.status).unwrap_or_default()
    };
    let forged = stream::iter(0..count).map(forge).buffer_unordered(at_once).collect::<Vec<u16>>();
    let beside = async {
        let mut took = Vec::new();
        for _ in 0..proper {
            let delivery = world.c1.test_event();
            let began = Instant::now();
            match world.deliver_once(&delivery).await {
                Ok(answer) if answer.status == 200 => took.push(began.elapsed()),
                Ok(answer) => {
                    return Err(format!("a proper webhook beside forged ones was answered {}", answer.status));
                }
                Err(error) => return Err(format!("a proper webhook beside forged ones was not answered: {error}")),
            }
        }
        Ok(took)
    };
    let (statuses, took) = futures::join!(forged, beside);
    let mut took = took?;
    if let Some(odd) = statuses.iter().find(|status| **status != 401) {
        return Err(format!("a forged webhook was answered {odd}"));
    }
    let fetches = world.c1.jwks_fetches() - before;
    if fetches > MOST_KEY_FETCHES {
        return Err(format!(
            "{count} forged webhooks asked for keys {fetches} times, and {MOST_KEY_FETCHES} are promised"
        ));
    }
    took.sort();
    table::print(
        &format!("{proper} proper webhooks, one by one, beside {} forged ones, {at_once} at once", table::count(count)),
        &["proper ones answered 200", "median", "p99", "keys asked for"],
        &[vec![
            proper.to_string(),
            table::time(percentile(&took, 50)),
            table::time(percentile(&took, 99)),
            fetches.to_string(),
        ]],
    );
    Ok(())
}

async fn grants(stage: &Stage) -> Result<(), String> {
    let (each, others) = GRANTS;
    let mut all = wanted(&stage.cloudflare, 3 * each + others)?.into_iter();
    let mut take = |count: usize| all.by_ref().take(count).collect::<Vec<Wanted>>();
    let mut rows = vec![row("alone", timed(stage, take(each), || false).await?)];

    let (during, crowd, beside) = (take(each), take(others), take(each));
    let syncing = std::cell::Cell::new(true);
    let sync = async {
        let outcome = stage.sync(Duration::from_mins(20), Duration::from_millis(250), |_| {}).await;
        syncing.set(false);
        outcome
    };
    let (synced, timings) = futures::join!(sync, timed(stage, during, || !syncing.get()));
    synced?;
    rows.push(row(&format!("during a sync of {} members", table::count(stage.size.members)), timings?));

    let crowd: Vec<Delivery> = crowd.iter().map(|one| delivery(stage, one)).collect();
    let crowd = join_all(crowd.iter().map(|one| stage.world.deliver(one)));
    let (_, timings) = futures::join!(crowd, timed(stage, beside, || false));
    rows.push(row(&format!("beside {others} others at once"), timings?));
    table::print(
        "A grant by webhook, API at 0 ms",
        &["", "grants", "answered 200", "202, then by callback", "median", "p99"],
        &rows,
    );
    Ok(())
}

fn delivery(stage: &Stage, wanted: &Wanted) -> Delivery {
    stage.world.c1.task(&Task::grant(wanted.entitlement.clone(), wanted.person.clone()))
}

/// Grants one after the other, until there are no more or it is over.
async fn timed(stage: &Stage, all: Vec<Wanted>, is_over: impl Fn() -> bool) -> Result<Vec<(Duration, u16)>, String> {
    let mut timings = Vec::new();
    for wanted in all {
        if is_over() {
            break;
        }
        let delivery = delivery(stage, &wanted);
        let began = Instant::now();
        let answer: Answer = stage.world.deliver_once(&delivery).await.map_err(|error| format!("a grant: {error}"))?;
        if !matches!(answer.status, 200 | 202) {
            return Err(format!("a grant was answered {}: {}", answer.status, answer.text()));
        }
        timings.push((began.elapsed(), answer.status));
    }
    Ok(timings)
}

fn row(name: &str, mut timings: Vec<(Duration, u16)>) -> Vec<String> {
    timings.sort();
    let took: Vec<Duration> = timings.iter().map(|(took, _)| *took).collect();
    let later = timings.iter().filter(|(_, status)| *status == 202).count();
    vec![
        name.to_owned(),
        timings.len().to_string(),
        (timings.len() - later).to_string(),
        later.to_string(),
        table::time(percentile(&took, 50)),
        table::time(percentile(&took, 99)),
    ]
}
