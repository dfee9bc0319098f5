//! Points entitlements at this Worker that C1 learns of later: a job that follows a publication. C1 learns of a new role with a sync
//! of its own, so the job looks again at growing distances, and gives up after some 32 hours.

use serde::Serialize;

use crate::base::jobs::{Attempt, Job};
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::SqlError;
use crate::base::remedy::CONNECT;
use crate::connect::{self, MissingError, Mode, Options, Ports, RunState};

/// What an attempt leaves for the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct WireState {
    /// How often it was looked.
    looks: usize,
    /// The run that looks now.
    run: Option<i64>,
}

/// The distances between the looks, in minutes: some 32 hours in all.
const DISTANCES: [i64; 8] = [5, 15, 30, 60, 120, 240, 480, 960];

/// For so long C1 is waited for, counted from when an entitlement was first missed.
const PATIENCE_SECS: i64 = 32 * 60 * 60;

/// A run that went through longer ago than this says nothing of what C1 knows.
const RECENT_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// How long until it is looked whether a run has ended.
const RUN_SECS: i64 = 5;

/// One attempt; the job's subject is the generation whose entitlements are to be pointed here.
pub(super) async fn attempt<P: Ports>(ports: &P, job: &Job) -> Attempt {
    match look(ports, job).await {
        Ok(attempt) => attempt,
        Err(WireFailure(message)) => Attempt::Again(message),
    }
}

struct WireFailure(String);

impl From<SqlError> for WireFailure {
    fn from(error: SqlError) -> Self {
        Self(format!("The Coordinator's storage failed ({error})."))
    }
}

impl From<MissingError> for WireFailure {
    fn from(error: MissingError) -> Self {
        Self(format!("The snapshot cannot be read ({error})."))
    }
}

async fn look<P: Ports>(ports: &P, job: &Job) -> Result<Attempt, WireFailure> {
    let left: WireState = json::of(&job.left).unwrap_or_default();
    let now = ports.now();
    let go_on = |at, left: WireState| Attempt::GoOn(at, serde_json::to_value(left).unwrap_or_default());
    if connect::running(ports)?.is_some() {
        return Ok(go_on(now.plus_secs(RUN_SECS), left));
    }
    if let Some(why) = nothing_to_go_on_with(ports)? {
        return Ok(Attempt::GivenUp(why));
    }
    let last = connect::summary(ports)?.map(|connection| connection.last_run);
    // A dry run sees what C1 knows, and notes nothing of it.
    let was_asked = last.as_ref().is_some_and(|last| {
        last.mode == Mode::Connect
            && last.state == RunState::Done
            && last.ended_at.is_some_and(|at| now.since(at) < RECENT_MILLIS)
    });
    if let Some(last) = last.filter(|last| Some(last.run) == left.run && last.state == RunState::Failed) {
        return Ok(Attempt::GivenUp(last.message.unwrap_or_default()));
    }
    let mut missing = connect::missing(ports, &job.subject).await?;
    // While the snapshot was read, somebody may have had everything put back.
    if let Some(why) = nothing_to_go_on_with(ports)? {
        return Ok(Attempt::GivenUp(why));
    }
    if missing.is_empty() {
        return Ok(Attempt::Done(
            "ConductorOne knows every role and group, and those lead here that nobody set otherwise; what was left alone stands in the last run's report (GET /v1/connect)."
                .to_owned(),
        ));
    }
    // Each by itself: what C1 will never know must not be looked for again with every publication.
    let over = if left.run.is_some() && left.looks >= DISTANCES.len() {
        missing.clone()
    } else {
        let mut missed = connect::missed_for(ports, &missing, PATIENCE_SECS, now)?;
        // What C1 was not asked for of late it may have learned by now.
        if !was_asked {
            missed.clear();
        }
        missed
    };
    connect::give_up(ports, &over)?;
    missing.retain(|own| !over.contains(own));
    if missing.is_empty() {
        return Ok(Attempt::Done(format!(
            "ConductorOne has not learned of {} roles or groups within 32 hours; let it sync the app, and {CONNECT}.",
            over.len()
        )));
    }
    if left.run.is_none() {
        let run = connect::begin(ports, Options::default(), connect::AUTO_WIRE)?;
        return Ok(go_on(now.plus_secs(RUN_SECS), WireState { run, ..left }));
    }
    let minutes = DISTANCES.get(left.looks).copied().unwrap_or_default();
    Ok(go_on(now.plus_secs(minutes * 60), WireState { looks: left.looks + 1, run: None }))
}

/// Why there is no connection to go on with: this job begins none, and none that somebody wanted undone.
fn nothing_to_go_on_with<P: Ports>(ports: &P) -> Result<Option<String>, SqlError> {
    Ok(if connect::summary(ports)?.is_none_or(|connection| connection.connected_at.is_none()) {
        Some(format!("AUTO_WIRE is on, and nothing is connected yet: {CONNECT}."))
    } else if connect::undo_asked(ports)? {
        Some(format!(
            "AUTO_WIRE is on, and this connector was last asked to put back what was there before, so it points nothing here by itself: {CONNECT}, or put back what is left."
        ))
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use crate::base::tree::BTreeMap;

    use serde_json::Value;
    use sim::conductorone::{ApiFault, App, Entitlement, Person};

    use super::{DISTANCES, attempt};
    use crate::base::jobs::{self, Attempt, Job, JobKind};
    use crate::base::ports::Clock as _;
    use crate::conductorone::Settings;
    use crate::conductorone::api::Tokens;
    use crate::conductorone::api::desk::{TenantDesk, settings};
    use crate::connect::{self, Options, RunState, Within};
    use crate::model::resource::{Role, Row};
    use crate::snapshot::{self, Draft, Naming};

    /// A generation of two roles, of which C1 knows the first.
    async fn published(ports: &TenantDesk) -> String {
        snapshot::init(&ports.desk).unwrap();
        let id = |n: u32| format!("{n:032x}");
        ports.c1.add_app(&App::default(), &[Entitlement::role(&id(1), "Role 1")]);
        let role = |n: u32| {
            Row::Role(Role {
                id: id(n).parse().unwrap(),
                name: format!("Role {n}"),
                description: None,
                permission_group: None,
                label: None,
                ends: None,
            })
        };
        let draft = Draft {
            account_id: ports.desk.account(),
            started_at: ports.now(),
            posture: crate::snapshot::Posture::default(),
            capabilities: BTreeMap::new(),
            naming: Naming { account_resource_group: None, roles: BTreeMap::new() },
            previous: None,
        };
        let published = snapshot::publish(&ports.desk, draft, [role(1), role(2)]).await.unwrap();
        published.manifest.generation.to_string()
    }

    fn job(subject: &str, left: Value, ports: &TenantDesk) -> Job {
        jobs::want(&ports.desk, JobKind::Wire, subject, false, ports.now()).unwrap();
        Job { left, ..jobs::all(&ports.desk).unwrap().remove(0) }
    }

    /// A tenant, the generation that is published, and what a run goes by.
    async fn tenant() -> (TenantDesk, String, Settings) {
        let ports = TenantDesk::new();
        jobs::init(&ports.desk).unwrap();
        let generation = published(&ports).await;
        let settings = settings(&ports.c1.plain_credential("otter"));
        (ports, generation, settings)
    }

    /// Begins a run. Two roles do not tell this account from another, so the app is named.
    fn begin(ports: &TenantDesk) {
        let options = Options { app_id: Some(App::default().id), ..Options::default() };
        connect::begin(ports, options, "api").unwrap();
    }

    /// Carries the run on to its end.
    async fn drive(ports: &TenantDesk, settings: &Settings) {
        let within = Within { units: 100, until: ports.now().plus_secs(600) };
        connect::drive(ports, settings, &Tokens::default(), within).await.unwrap();
    }

    #[tokio::test]
    async fn it_looks_at_growing_distances_and_gives_up_after_the_last() {
        let (ports, generation, settings) = tenant().await;
        let early = attempt(&ports, &job(&generation, Value::Null, &ports)).await;
        assert!(
            matches!(&early, Attempt::GivenUp(why) if why.contains("connect on this connector's page")),
            "{early:?}"
        );

        begin(&ports);
        let busy = attempt(&ports, &job(&generation, Value::Null, &ports)).await;
        assert!(matches!(busy, Attempt::GoOn(..)), "while somebody connects it waits: {busy:?}");
        drive(&ports, &settings).await;

        let (mut left, mut waits) = (Value::Null, Vec::new());
        let ended = loop {
            match attempt(&ports, &job(&generation, left, &ports)).await {
                Attempt::GoOn(at, next) => {
                    waits.push((at.since(ports.now()) + 500) / 1000);
                    left = next;
                    drive(&ports, &settings).await;
                }
                ended => break ended,
            }
            assert!(waits.len() < 100);
        };
        let looks: Vec<i64> = waits.iter().filter(|secs| **secs > 60).map(|secs| secs / 60).collect();
        assert_eq!(looks, DISTANCES);
        assert!(matches!(&ended, Attempt::Done(said) if said.contains("has not learned of 1 ")), "{ended:?}");
        // Given up once, it is not waited for again with each later generation.
        let later = attempt(&ports, &job(&generation, Value::Null, &ports)).await;
        assert!(matches!(&later, Attempt::Done(said) if !said.contains("not learned")), "{later:?}");
    }

    /// Where C1 could not be asked, or a dry run alone asked, waiting for it does not count.
    #[tokio::test]
    async fn nothing_is_given_up_for_which_no_run_went_through() {
        for dry_run in [false, true] {
            let (ports, generation, settings) = tenant().await;
            begin(&ports);
            drive(&ports, &settings).await;
            let begins = attempt(&ports, &job(&generation, Value::Null, &ports)).await;
            let Attempt::GoOn(_, left) = begins else { panic!("{begins:?}") };
            ports.c1.fail_api("GET /api/v1/apps", ApiFault::Status(400), None);
            drive(&ports, &settings).await;
            let failed = attempt(&ports, &job(&generation, left.clone(), &ports)).await;
            assert!(matches!(failed, Attempt::GivenUp(_)), "{failed:?}");
            ports.c1.heal_api();
            ports.ahead_secs.set(ports.ahead_secs.get() + 33 * 3_600);
            if dry_run {
                connect::begin(&ports, Options { dry_run, ..Options::default() }, "api").unwrap();
                drive(&ports, &settings).await;
                let last = connect::summary(&ports).unwrap().unwrap().last_run;
                assert_eq!(last.state, RunState::Done, "{last:?}");
                // So it is where the run of the last look failed, and somebody else's comes before that is looked at.
                let looked = attempt(&ports, &job(&generation, left, &ports)).await;
                assert!(matches!(looked, Attempt::GoOn(..)), "{looked:?}");
            }
            let again = attempt(&ports, &job(&generation, Value::Null, &ports)).await;
            let Attempt::GoOn(_, left) = again else { panic!("{dry_run}: {again:?}") };
            drive(&ports, &settings).await;
            let asked = attempt(&ports, &job(&generation, left, &ports)).await;
            assert!(matches!(&asked, Attempt::Done(said) if said.contains("has not learned of 1 ")), "{asked:?}");
        }
    }

    /// ConductorOne's connector of it may read another account by now.
    #[tokio::test]
    async fn nothing_is_pointed_here_in_a_connected_app_whose_accounts_are_of_another_account() {
        for is_another in [true, false] {
            let (ports, generation, settings) = tenant().await;
            begin(&ports);
            drive(&ports, &settings).await;
            let id = |n: u32| format!("{n:032x}");
            let later = Entitlement::role(&id(2), "Role 2");
            ports.c1.add_entitlement(&App::default(), &later);
            if is_another {
                ports.c1.add_account(&App::default(), &Person::member("jane@example.com", &id(41), &id(43)));
            }
            let begun = attempt(&ports, &job(&generation, Value::Null, &ports)).await;
            let Attempt::GoOn(_, left) = begun else { panic!("{begun:?}") };
            drive(&ports, &settings).await;
            let ended = attempt(&ports, &job(&generation, left, &ports)).await;
            let is_refused = matches!(&ended, Attempt::GivenUp(why) if why.contains("another Cloudflare account"));
            assert_eq!(is_refused, is_another, "{ended:?}");
            assert_eq!(ports.c1.policies(&later.id).0["webhook"].is_object(), !is_another, "{ended:?}");
        }
    }

    /// A small publication may come every few minutes, and begins the looks again.
    #[tokio::test]
    async fn what_is_never_learned_of_is_given_up_however_often_something_is_published() {
        let (ports, generation, settings) = tenant().await;
        begin(&ports);
        for hour in 0..36 {
            drive(&ports, &settings).await;
            let looked = attempt(&ports, &job(&generation, Value::Null, &ports)).await;
            match hour {
                0..32 => assert!(matches!(looked, Attempt::GoOn(..)), "{hour}: {looked:?}"),
                _ => assert!(matches!(looked, Attempt::Done(_)), "{hour}: {looked:?}"),
            }
            ports.ahead_secs.set(ports.ahead_secs.get() + 3_600);
        }
    }
}
