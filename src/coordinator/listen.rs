//! The audit log, and once a day the lists of logins, in the Coordinator: read while no sync needs the requests, and handed to who listens. Members, user groups and
//! tokens that it names are read again at once; what is no single one's is looked at by a sweep soon.

use std::fmt;

use super::alarm::LEASE_SECS;
use super::memory::{Coordinator, Part, Ports};
use super::settings::Settings;
use crate::account::{identity, inherited};
use crate::audit::{entries, feed, logins};
use crate::base::ports::{Level, SqlError};
use crate::base::settings::Plan;
use crate::base::time::Timestamp;
use crate::base::tree::BTreeMap;
use crate::cloudflare::{Client, Purpose};
use crate::model::id::{MemberId, UserGroupId};
use crate::model::resource::Row;
use crate::provision::{aftercare, heard};
use crate::sync::reread::{self, Reread, RereadError};
use crate::sync::{self, RunOutcome, Trigger, refresh, room};

/// While a sync is under way, it is looked this often whether that is over.
const SYNCING_SECS: i64 = 15;

/// More members than these at once are a sweep's, and more user groups, or groups and tokens that changed themselves. As many, those that were named first and last, are
/// read all the same: a sweep that is held tells of nobody. Each is up to three requests, and on the Free plan an invocation has 50, of which the log and the
/// logins take up to eight.
const fn most_at_once(plan: Plan) -> usize {
    match plan {
        Plan::Free => 6,
        Plan::Paid => 20,
    }
}

/// What a list or a read shows may be as much behind: whoever was changed since is read once more.
const BEHIND_MILLIS: i64 = 15_000;

/// No more of what is named is read in a turn that is this old: where Cloudflare takes long, the alarm's other parts would wait for its end.
const TURN_MILLIS: i64 = 60 * 1_000;

/// By then whatever is named was read at least once after a read could be behind.
const READ_MILLIS: i64 = BEHIND_MILLIS + 90_000;

/// Who could not be read again within this is left to a sweep.
const GIVE_UP_MILLIS: i64 = 5 * 60 * 1_000;

/// Sweeps that the log calls for come this far apart at least, and ten times as far as one takes.
const APART_MILLIS: i64 = 2 * 60 * 1_000;

/// What came of what the log names.
struct Came {
    /// All of it was read.
    is_done: bool,
    /// A sweep is to tell the rest.
    needs_sweep: bool,
    /// There is to be a publication first.
    waits: bool,
    /// Of how many members the same is so; what else could not be read is left to a sweep all the same.
    given_back: usize,
    /// When the turn is to end.
    until: Timestamp,
}

impl Came {
    /// Whether the turn is to end: what is left is read with the next, or by a sweep where that does not do.
    fn is_late(&mut self, now: Timestamp) -> bool {
        self.is_done &= now < self.until;
        now >= self.until
    }

    fn fail<P: Ports>(&mut self, ports: &P, what: &str, id: &dyn fmt::Display, error: &str) {
        self.is_done = false;
        let fields = serde_json::json!({ "what": what, "id": id.to_string(), "error": error });
        ports.log(Level::Warn, "what the audit log names could not be read again", fields);
    }
}

/// Whether what is read of something now is what the entries about it say: the last is a while ago. What changes all the time is read now and then.
fn is_ripe<T>(one: &entries::Unread<T>, now: Timestamp) -> bool {
    now.since(one.last_at) >= BEHIND_MILLIS || now.since(one.first_at) >= 3 * BEHIND_MILLIS
}

impl Coordinator {
    /// Reads on in the log, has everybody look who waits for what it tells, and publishes what came of it.
    pub(super) async fn listen<P: Ports>(&self, ports: &P, settings: &Settings) -> Result<(), SqlError> {
        let is_on = settings.audit.feed == Some(true);
        if !is_on {
            feed::turned_off(ports, settings.audit.feed.is_some())?;
        } else if sync::next_due(ports)?.is_none() {
            let client = Client::new(ports, &settings.cloudflare, Purpose::Sync);
            let ours = identity::identity(ports, &client).await.ok().map(|ours| ours.token.to_string());
            feed::read_on(ports, &settings.cloudflare, ours).await?;
            self.hear(ports, settings).await?;
        }
        if sync::next_due(ports)?.is_none() {
            logins::read_on(ports, &settings.cloudflare, settings.audit.logins).await?;
        }
        aftercare::look_into_audit_log(ports)?;
        if is_on && self.publish(ports, settings, BTreeMap::new()).await? == refresh::Outcome::Sweep {
            self.sweep_soon(ports, settings).await?;
        }
        // A publication and what follows from it.
        Self::follow(ports, settings)?;
        self.explain(ports, settings).await
    }

    /// Makes a small publication, in the place of a sync's step: the snapshot has one writer at a time. A sync that begins meanwhile waits for it.
    async fn publish<P: Ports>(
        &self,
        ports: &P,
        settings: &Settings,
        rows: BTreeMap<String, Option<Row>>,
    ) -> Result<refresh::Outcome, SqlError> {
        match self.parts.enter(Part::Sync, ports.now(), LEASE_SECS) {
            Some(_place) => refresh::publish(ports, settings.plan, rows).await,
            None => Ok(refresh::Outcome::NotNow),
        }
    }

    /// When the log is read next, or something waits for it.
    pub(super) fn listening_due<P: Ports>(ports: &P, settings: &Settings) -> Result<Option<Timestamp>, SqlError> {
        let looks = aftercare::audit_log_due(ports)?;
        let mut read = logins::next_due(ports)?;
        let is_on = settings.audit.feed == Some(true);
        if is_on {
            read = read.min(feed::next_due(ports)?);
        }
        if sync::next_due(ports)?.is_some() {
            read = read.max(ports.now().plus_secs(SYNCING_SECS));
        }
        if !is_on {
            return Ok(looks.into_iter().chain([read]).min());
        }
        Ok(looks.into_iter().chain(refresh::next_due(ports, settings.plan)?).chain([read]).min())
    }

    /// Looks at what the entries name that nobody has listened to yet.
    async fn hear<P: Ports>(&self, ports: &P, settings: &Settings) -> Result<(), SqlError> {
        let mut unheard = entries::unheard(ports)?;
        if unheard.until == 0 || sync::generations(ports)?.is_empty() {
            return Ok(());
        }
        // Their list may tell of them what it told before, to a sweep and to an operation.
        let changed: Vec<String> = unheard.groups.iter().map(|one| one.id.to_string()).collect();
        inherited::doubt_giving_nothing(ports, &changed)?;
        let age = |at: Option<Timestamp>| at.map_or(i64::MAX, |at| ports.now().since(at));
        let most = most_at_once(settings.plan);
        let needs_sweep = unheard.whole || unheard.members.len().max(unheard.memberships.len()) > most;
        let until = ports.now().plus_millis(TURN_MILLIS);
        let mut came = Came { is_done: true, needs_sweep, waits: false, given_back: 0, until };
        // What a sweep is to look at anyway, and was read since it is known, is not read with each turn until that may begin.
        let known_at = match self.unheard.get() {
            Some((until, at)) if until == unheard.until => at,
            _ => ports.now(),
        };
        self.unheard.set(Some((unheard.until, known_at)));
        if !came.needs_sweep || ports.now().since(known_at) < READ_MILLIS {
            self.look_into_groups(ports, settings, &mut unheard, &mut came).await;
            self.look_at_members(ports, settings, &unheard.members, &mut came).await;
            self.read_rows(ports, settings, &unheard, &mut came).await?;
        }
        if came.is_done && came.given_back > 0 {
            (came.is_done, came.waits) = (false, true);
        }
        if !came.is_done && !came.waits && age(unheard.first_at) > GIVE_UP_MILLIS {
            (came.is_done, came.needs_sweep) = (true, true);
        }
        // What was read right after a change may be what was before.
        if came.needs_sweep && !self.sweep_soon(ports, settings).await? {
            return Ok(());
        }
        if came.is_done && age(unheard.last_at) >= BEHIND_MILLIS {
            entries::heard(ports, unheard.until)?;
        }
        Ok(())
    }

    /// Adds whoever came into a user group or left it, where entries do not name them, to the members to look at.
    async fn look_into_groups<P: Ports>(
        &self,
        ports: &P,
        settings: &Settings,
        unheard: &mut entries::Unheard,
        came: &mut Came,
    ) {
        for one in unheard.memberships.iter().take(most_at_once(settings.plan)) {
            if !is_ripe(one, ports.now()) || came.is_late(ports.now()) {
                came.is_done = false;
                continue;
            }
            match heard::changed_in_group(ports, &settings.cloudflare, one.id).await {
                Ok(Some(changed)) => unheard.members.extend(changed.into_iter().map(|member| (member, Some(one.id)))),
                Ok(None) => came.needs_sweep = true,
                Err(error) => came.fail(ports, "a user group's members", &one.id, &error.to_string()),
            }
        }
    }

    /// Reads members again.
    async fn look_at_members<P: Ports>(
        &self,
        ports: &P,
        settings: &Settings,
        members: &[(MemberId, Option<UserGroupId>)],
        came: &mut Came,
    ) {
        let most = most_at_once(settings.plan);
        came.needs_sweep |= members.len() > most;
        let mut gone = Vec::new();
        for (member, group) in members.iter().take(most) {
            if came.is_late(ports.now()) {
                break;
            }
            match heard::look_again(ports, (&settings.cloudflare, &settings.provision), &self.locks, *member, *group)
                .await
            {
                Ok(heard::Look::Noted) => {}
                // It is read again once a publication tells that it was taken, however long there is no room for one.
                Ok(heard::Look::GivenBack) => came.given_back += 1,
                Ok(heard::Look::Doubtful) => came.is_done = false,
                Ok(heard::Look::Gone) => gone.push(*member),
                Ok(heard::Look::Sweep) => came.needs_sweep = true,
                Err(error) => came.fail(ports, "a member", member, &error.to_string()),
            }
        }
        // Nobody is looked for where nobody is gone, and of so many at once a sweep asks whether that may be.
        came.needs_sweep |= gone.len() > refresh::MOST_GONE;
        if gone.is_empty() || gone.len() > refresh::MOST_GONE {
            return;
        }
        let with = Some((&settings.cloudflare, &settings.provision));
        if let Err(error) = heard::note_gone(ports, with, &self.locks, &gone).await {
            came.fail(ports, "members who are gone", &gone.len(), &error.to_string());
        }
    }

    /// Reads user groups and tokens again, and publishes what they are now.
    async fn read_rows<P: Ports>(
        &self,
        ports: &P,
        settings: &Settings,
        unheard: &entries::Unheard,
        came: &mut Came,
    ) -> Result<(), SqlError> {
        let now = ports.now();
        let groups: Vec<_> = unheard.groups.iter().filter(|one| is_ripe(one, now)).collect();
        let tokens: Vec<_> = unheard.tokens.iter().filter(|one| is_ripe(one, now)).collect();
        let (all, ripe) = (unheard.groups.len() + unheard.tokens.len(), groups.len() + tokens.len());
        came.is_done &= ripe == all;
        if ripe > most_at_once(settings.plan) {
            came.needs_sweep = true;
            return Ok(());
        }
        if ripe == 0 || came.needs_sweep {
            // The sweep tells of them too.
            return Ok(());
        }
        if !refresh::has_room(ports, settings.plan)? {
            (came.is_done, came.waits) = (false, true);
            return Ok(());
        }
        let client = Client::new(ports, &settings.cloudflare, Purpose::Sync);
        let mut rows = BTreeMap::new();
        let mut take =
            |came: &mut Came, what: &str, id: &dyn fmt::Display, read: Result<Reread, RereadError>| match read {
                Ok(Reread::Row(key, row)) => drop(rows.insert(key, row.map(|row| *row))),
                Ok(Reread::Nothing) => {}
                Ok(Reread::Sweep) => came.needs_sweep = true,
                Err(error) => came.fail(ports, what, id, &error.to_string()),
            };
        for one in groups {
            if came.is_late(ports.now()) {
                break;
            }
            let read = reread::group(&client, one.id).await;
            take(came, "a user group", &one.id, read);
        }
        for one in tokens {
            if came.is_late(ports.now()) {
                break;
            }
            let read = reread::token(ports, &client, one.id).await;
            take(came, "an API token", &one.id, read);
        }
        if !rows.is_empty() {
            match self.publish(ports, settings, rows).await? {
                refresh::Outcome::Published => {}
                refresh::Outcome::NotNow => came.is_done = false,
                refresh::Outcome::Sweep => came.needs_sweep = true,
            }
        }
        Ok(())
    }

    /// Begins a sweep, unless the last one ended a moment ago; whether one is under way.
    async fn sweep_soon<P: Ports>(&self, ports: &P, settings: &Settings) -> Result<bool, SqlError> {
        let runs = sync::runs(ports)?;
        let last = runs.iter().find(|run| run.requests > 0);
        let is_soon = last.is_some_and(|run| {
            ports.now().since(run.finished_at) < APART_MILLIS.max(10 * run.duration_millis)
                // A failure is no reason to hurry.
                || (run.outcome == RunOutcome::Failed && run.not_before.is_some_and(|at| at > ports.now()))
        });
        if is_soon || !room::take_for_sweep(ports, settings.plan)? {
            return Ok(false);
        }
        let trigger = Trigger { by: "audit feed".to_owned(), accept_removals: false };
        match sync::begin(ports, &settings.cloudflare, trigger) {
            Ok(_) | Err(sync::BeginError::AlreadyRunning(_)) => {}
            Err(sync::BeginError::Sql(error)) => return Err(error),
        }
        self.wake(ports, ports.now()).await;
        Ok(true)
    }
}
