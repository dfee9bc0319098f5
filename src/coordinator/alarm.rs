//! What happens when the alarm rings: its parts go on side by side, and each sets its own next time as soon as it ends, if that is soon.
//!
//! The runtime does not ring the alarm of an object again before the last ring has ended (`reference/workers-rs.md` 2.2), so a
//! part that is due again while another is still under way takes its next turn within the same ring.
//!
//! **Invariants:** no part waits for another one's end; one part is never under way twice; a ring ends.

use super::memory::{Coordinator, Part, Ports, unusable};
use super::operations::batch;
use super::ring::Ring;
use super::settings::Settings;
use crate::base::jobs;
use crate::base::ports::{Alarm, Clock, Level, Log, SqlError};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::base::under_way::{do_all, task};
use crate::provision::{aftercare, callback};
use crate::sync;

/// A part whose end nobody noted is presumed dead after this: no alarm rings longer.
pub(super) const LEASE_SECS: i64 = 15 * 60;

/// How many turns of one ring a part takes that needs much processor time: a ring has 30 s of it, and with the next one as many again.
const HEAVY_TURNS: u32 = 3;

/// A part that ends while others are under way sets the alarm for what is due within this time alone; the ring's end sets the rest. An
/// object that dies in a ring is rung again at once where no new alarm was set, and then the others go on: one that was set for tomorrow
/// would let them wait as long.
const SOON_SECS: i64 = 30;

/// When a part that somebody else is at is looked at again, and one whose storage fails.
const LATER_SECS: i64 = 5;
const STORAGE_PAUSE_SECS: i64 = 60;

/// An alarm that could do nothing rings again after this.
const IN_VAIN_SECS: i64 = 60;

/// What becomes of an alarm that rang: one that could do nothing rings again, until that is mended. It is not an error of the alarm, which
/// the runtime would try six times and then forget.
pub async fn rang<P: Alarm + Clock + Log>(ports: &P, done: Result<(), String>) -> Result<(), SqlError> {
    let Err(why) = done else { return Ok(()) };
    ports.log(Level::Error, "the alarm rang in vain", serde_json::json!({ "why": why }));
    ports.wake(ports.now().plus_secs(IN_VAIN_SECS)).await
}

impl Coordinator {
    /// Does what is due, and sees to it that the alarm rings again when the next thing is.
    pub async fn alarm<P: Ports>(&self, ports: &P, settings: &Settings) {
        let mut all = vec![Part::Sync, Part::Operations, Part::Callbacks];
        all.extend(jobs::JobKind::ALL.map(Part::Job));
        all.extend([Part::LateWrites, Part::AuditLog, Part::Connecting]);
        let ring = Ring::new(settings.plan, all.len(), ports.now());
        let take_turns = async |part| {
            self.take_turns(ports, settings, &ring, part).await;
            Ok(())
        };
        // No turn brings an error: it has told what went wrong.
        let _ = do_all(all.len(), all.iter().map(|part| task(take_turns(*part)))).await;
        tell_what_is_set_aside(ports);
        // What one part brought about for another that had ended by then.
        for part in all {
            let due = self.due(ports, settings, part);
            self.wake_for(ports, self.apart(part, due, ports.now())).await;
        }
    }

    /// A part's turns in a ring: the first at once, and a further one whenever it is due while another part is under way.
    async fn take_turns<P: Ports>(&self, ports: &P, settings: &Settings, ring: &Ring, part: Part) {
        let mut turns = 0;
        loop {
            let Some(place) = self.parts.enter(part, ports.now(), LEASE_SECS) else {
                self.wake(ports, ports.now().plus_secs(LATER_SECS)).await;
                return ring.rest();
            };
            let turned = self.turn(ports, settings, ring, part).await;
            drop(place);
            let due = turned.and_then(|at| Ok(at.or(self.due(ports, settings, part)?)));
            let is_usable = due.is_ok();
            let soon = ports.now().plus_secs(SOON_SECS);
            let due = due.map(|at| at.filter(|at| *at <= soon));
            self.wake_for(ports, self.apart(part, due, ports.now())).await;
            ring.rest();
            loop {
                if !is_usable || !ring.goes_on(ports.now()) {
                    return;
                }
                // At most one turn in a moment, whatever is due: what a turn brings nothing about for is due all the time.
                ring.pause(ports).await;
                if !ring.goes_on(ports.now()) {
                    return;
                }
                match self.due(ports, settings, part) {
                    Ok(Some(at)) if at <= ports.now() && !self.parts.has(part) => break,
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
            turns += 1;
            if turns == HEAVY_TURNS && matches!(part, Part::Sync | Part::Job(jobs::JobKind::Push)) {
                return ring.close();
            }
            ring.goes_to_work();
        }
    }

    /// One turn of a part; when it goes on, where it is the turn that knows.
    async fn turn<P: Ports>(
        &self,
        ports: &P,
        settings: &Settings,
        ring: &Ring,
        part: Part,
    ) -> Result<Option<Timestamp>, SqlError> {
        match part {
            Part::Sync => {
                let next = sync::step(ports, &settings.cloudflare, settings.plan).await;
                // Nothing is awaited in between: a run's end and what follows from it are on disk together.
                if let Err(error) = Self::follow(ports, settings) {
                    unusable(ports, "the jobs cannot be used", &error);
                }
                ring.synced();
                if let Err(error) = self.explain(ports, settings).await {
                    unusable(ports, "the ledger cannot be used", &error);
                }
                return Ok(match next {
                    sync::Next::At(at) => Some(at),
                    sync::Next::Idle => None,
                });
            }
            Part::Operations => self.catch_up(ports, settings, ring).await?,
            Part::Callbacks => Self::call_back(ports, settings, ring.is_syncing()).await?,
            Part::Job(kind) => self.work(ports, settings, kind).await?,
            Part::LateWrites => {
                let (cloudflare, provision) = (&settings.cloudflare, &settings.provision);
                let most = batch(settings.plan, ring.is_syncing());
                aftercare::look_for_late_writes(ports, cloudflare, provision, &self.locks, most).await?;
            }
            Part::AuditLog => self.listen(ports, settings).await?,
            Part::Connecting => self.go_on_connecting(ports, settings).await?,
        }
        Ok(None)
    }

    /// When a part is next due.
    fn due<P: Ports>(&self, ports: &P, settings: &Settings, part: Part) -> Result<Option<Timestamp>, SqlError> {
        match part {
            Part::Sync => sync::next_due(ports),
            Part::Operations => Self::operations_due(ports, settings),
            Part::Callbacks => callback::next_due(ports),
            Part::Job(kind) => jobs::due_at(ports, kind),
            Part::LateWrites => aftercare::late_writes_due(ports),
            Part::AuditLog => Self::listening_due(ports, settings),
            Part::Connecting => self.connecting_due(ports, settings),
        }
    }

    /// What the log tells, and the operations, are looked at once in a moment at most, whatever is due: something that a turn brings nothing about
    /// for, as an operation that a killed request is at work on, must not make the alarm ring without end. No more must a part whose place is taken, perhaps by somebody who was killed.
    fn apart(
        &self,
        part: Part,
        due: Result<Option<Timestamp>, SqlError>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, SqlError> {
        let least = match part {
            _ if self.parts.has(part) => LATER_SECS,
            Part::AuditLog | Part::Operations => 1,
            _ => return due,
        };
        due.map(|at| at.map(|at| at.max(now.plus_secs(least))))
    }

    async fn wake_for<P: Ports>(&self, ports: &P, due: Result<Option<Timestamp>, SqlError>) {
        match due {
            Ok(Some(at)) => self.wake(ports, at).await,
            Ok(None) => {}
            Err(error) => {
                unusable(ports, "the Coordinator's storage cannot be used", &error);
                self.wake(ports, ports.now().plus_secs(STORAGE_PAUSE_SECS)).await;
            }
        }
    }
}

/// Each row that this version cannot read is in the log once.
fn tell_what_is_set_aside<P: Ports>(ports: &P) {
    match rows::unlogged(ports) {
        Ok(rows) => {
            for (table, id) in rows {
                let fields = serde_json::json!({ "table": table, "row": id });
                ports.log(Level::Error, "a row that this version cannot read is set aside", fields);
            }
        }
        Err(error) => unusable(ports, "could not tell what is set aside", &error),
    }
}
