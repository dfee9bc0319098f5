//! What the Worker's own code takes of the main thread of workerd, which is the one that Cloudflare counts: in a new process, in which V8 is
//! still compiling, and in one that has done the same before.

use std::time::Duration;

use sim::cloudflare::Spec;
use sim::conductorone::Task;
use sim::stage::Stage;

use crate::{grants, table};

/// The two accounts whose difference tells what a page takes: what every sync takes is the same for both.
const MEMBERS: [usize; 2] = [1_000, 5_000];
const PER_PAGE: usize = 50;

/// How many syncs were made before one is hot.
const WARM: usize = 5;

/// How many grants and pages were before they are hot: V8 compiles anew what is called often, and a function of theirs is called by each of
/// them a few times only.
const WARM_CALLS: usize = 100;

/// How many grants and pages are measured.
const MEASURED: usize = 100;

/// Measures a page of members, an unchanged sync, a grant and a page of a list.
pub(crate) async fn measure() -> Result<(), String> {
    let (mut rows, mut cold, mut hot) = (Vec::new(), Vec::new(), Vec::new());
    let mut others = Vec::new();
    for members in MEMBERS {
        let spec = Spec { members, roles: 60, pending_share: 0.05, ..Spec::default() };
        let stage = Stage::set(spec, &[]).await.map_err(|error| error.to_string())?;
        let first = sync(&stage).await?;
        for _ in 1..WARM {
            sync(&stage).await?;
        }
        let last = sync(&stage).await?;
        let what =
            format!("a sync of {} members: the first, and one that finds nothing changed", table::count(members));
        rows.push(vec![what, table::known(first, table::time), table::known(last, table::time)]);
        cold.push(first);
        hot.push(last);
        if others.is_empty() {
            let mut of = |what: &str, taken: String| others.push(vec![what.to_owned(), "-".to_owned(), taken]);
            of("GET /v1/users?limit=100", list(&stage).await?);
            of("a grant by webhook", grant(&stage).await?);
            of("GET /v1/users?limit=100, with what those grants changed laid over it", list(&stage).await?);
        }
    }
    let pages = u32::try_from((MEMBERS[1] - MEMBERS[0]) / PER_PAGE).unwrap_or(1);
    let of_a_page = |taken: &[Option<Duration>]| match taken {
        [small, large] => table::known(table::spent(*small, *large), |taken| table::time(taken / pages)),
        _ => "not known here".to_owned(),
    };
    let page = "a page of 50 members, its share of the publication with it".to_owned();
    rows.push(vec![page, of_a_page(&cold), of_a_page(&hot)]);
    rows.extend(others);
    table::print("Time of workerd's main thread", &["", "in a new process", "hot"], &rows);
    Ok(())
}

/// What something takes of the main thread.
async fn taken(stage: &Stage, what: impl Future<Output = Result<(), String>>) -> Result<Option<Duration>, String> {
    let before = stage.world.worker.main_thread_time();
    what.await?;
    Ok(table::spent(before, stage.world.worker.main_thread_time()))
}

async fn sync(stage: &Stage) -> Result<Option<Duration>, String> {
    let run = async { stage.sync(Duration::from_mins(5), Duration::from_secs(1), |_| {}).await.map(drop) };
    taken(stage, run).await
}

fn each(taken: Option<Duration>) -> String {
    table::known(taken, |taken| table::time(taken / u32::try_from(MEASURED).unwrap_or(1)))
}

async fn grant(stage: &Stage) -> Result<String, String> {
    let mut wanted = grants::wanted(&stage.cloudflare, WARM_CALLS + MEASURED)?.into_iter();
    let mut carry_out = async |count: usize| {
        for wanted in wanted.by_ref().take(count) {
            let delivery = stage.world.c1.task(&Task::grant(wanted.entitlement, wanted.person));
            let answer = stage.world.deliver_once(&delivery).await.map_err(|error| format!("a grant: {error}"))?;
            if answer.status != 200 {
                return Err(format!("a grant was answered {}: {}", answer.status, answer.text()));
            }
        }
        Ok(())
    };
    carry_out(WARM_CALLS).await?;
    Ok(each(taken(stage, carry_out(MEASURED)).await?))
}

async fn list(stage: &Stage) -> Result<String, String> {
    let ask = async |count: usize| {
        for _ in 0..count {
            stage.json("/v1/users?limit=100").await?;
        }
        Ok(())
    };
    ask(WARM_CALLS).await?;
    Ok(each(taken(stage, ask(MEASURED)).await?))
}
