//! Changing the account: grants, revokes, accounts, and what keeps them safe.

mod accounts;
pub mod aftercare;
mod apart;
mod asking;
pub mod callback;
mod come_back;
pub mod execute;
pub mod foresee;
mod grants;
mod group;
mod guards;
pub mod heard;
pub mod incident;
pub mod journal;
mod last_writes;
mod late;
mod late_writes;
pub mod lock;
mod open_invitations;
mod open_writes;
mod outcomes;
pub mod owner;
pub mod policies;
mod read;
mod removals;
mod renewal;
pub(crate) mod resolve;
mod settings;
mod shared;
mod super_admins;
mod user_groups;
mod work;

pub use come_back::must_go_on;
pub use removals::waited_for_room;
pub use settings::{Guards, LastRole, Provisioning, Settings};

use crate::account;
use crate::account::Stopped;
use crate::account::expiry::EXPIRY_KEY;
use crate::account::find;
use crate::account::person::{Candidates, Meant};
use crate::base::ports::{Clock, Http, KeyValue, Sql, SqlError};
use crate::base::time::Timestamp;
use crate::cloudflare::{self, ApiError, Client, MemberRecord, Purpose};
use crate::connect;
use crate::model::access::atoms;
use crate::model::address;
use crate::model::ask::Action;
use crate::model::id::MemberId;
use crate::model::operation::{Effect, Outcome, Refusal, Request, Target};
use crate::model::resource::MemberStatus;
use come_back::InvitationAccess;
use execute::Edit;
use journal::EntryId;
use lock::Locks;
use outcomes::{after, refusal, superseded};
use read::READ_BACK_WAITS;
use resolve::Counterpart;
use work::{Work, turn_of};

/// Creates the tables of provisioning.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    journal::init(sql)?;
    last_writes::init(sql)?;
    open_invitations::init(sql)?;
    incident::init(sql)?;
    renewal::init(sql)
}

/// When an operation that time alone helps is looked at again for the first times: what stands in its way may be seen to be over before.
const LOOK_AGAIN_SECS: i64 = 10;

/// The last try at a grant comes within this after its day is over, and what that one meets is told. None comes later.
const LAST_TRY_SECS: i64 = 60 * 60;

/// What an attempt at an operation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptResult {
    /// How it ended, for now or for good.
    pub outcome: Outcome,
    /// By when nothing stands in its way any more, where that is known: then no wait for it is longer.
    pub over_at: Option<Timestamp>,
    /// Whether it found no seat among provisioning's requests, or no room among the removals: that says nothing of what stands in its own way.
    pub was_turned_away: bool,
}

/// Makes an attempt at an operation. Safe to repeat at any point: it reads first, and writes nothing where the account is as was asked already.
pub async fn try_once<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    cloudflare: &cloudflare::Settings,
    settings: &Settings,
    locks: &Locks,
    id: EntryId,
    request: &Request,
) -> AttemptResult {
    let ended = attempt(ports, cloudflare, settings, locks, id, request).await;
    let ended = ended.and_then(|outcome| whose_account(ports, id, request, outcome));
    let was_turned_away = match &ended {
        Err(Stopped::Api(ApiError::NoSeat)) => true,
        Err(Stopped::Ended(Outcome::NotNow { .. })) => removals::waits(ports, id).is_ok_and(|waits| !waits.is_empty()),
        _ => false,
    };
    let over_at = if let Err(Stopped::Until(_, at)) = &ended { Some(*at) } else { None };
    let outcome = match ended {
        Ok(outcome) | Err(Stopped::Ended(outcome)) => outcome,
        Err(Stopped::Api(error)) => match (after(&error), journal::has_written(ports, id)) {
            // A write that is refused ends as [`not_carried_out`], so this is a read: that it is refused says nothing of what was
            // written before, and nobody must be told that it was not.
            (Outcome::Refused { .. }, Ok(true)) => {
                Outcome::NotNow { message: format!("what was written cannot be read back: {error}"), retry_at: None }
            }
            (_, Err(error)) => Outcome::NotNow { message: error.to_string(), retry_at: None },
            (outcome, Ok(_)) => outcome,
        },
        Err(Stopped::Storage(message) | Stopped::NotNow(message)) => Outcome::NotNow { message, retry_at: None },
        Err(Stopped::Until(message, at)) => {
            Outcome::NotNow { message, retry_at: Some(at.min(ports.now().plus_secs(LOOK_AGAIN_SECS))) }
        }
    };
    AttemptResult { outcome, over_at, was_turned_away }
}

/// Where ConductorOne names a person and no account, their own addresses are all there is to go by, and they may have an account under another one.
/// That nobody holds it under these proves nothing, unless this connector knows one of them as an account's.
fn whose_account<P: Sql>(ports: &P, id: EntryId, request: &Request, outcome: Outcome) -> Result<Outcome, Stopped> {
    let subject = &request.subject;
    match outcome {
        Outcome::Done { effect: Effect::AlreadyRevoked, message, .. }
            if !subject.has_account
                && subject.member_id.is_none()
                && subject.user_id.is_none()
                && !journal::has_written(ports, id)?
                && !journal::knows_account(ports, id, &subject.emails)? =>
        {
            Ok(Outcome::refused(
                Refusal::UnknownMember,
                format!(
                    "{}: ConductorOne names a person here and none of their accounts, and they may have one under another address, so this is not called done; sync this connector in ConductorOne, then ask again.",
                    message.trim_end_matches('.')
                ),
            ))
        }
        outcome => Ok(outcome),
    }
}

/// A refusal is none while the operation's own invitation, which nobody answered, may still make somebody a member: they would have what
/// ConductorOne was told is not given. What has no key comes again for nobody.
fn unless_invited_yet<P: Clock + Sql>(
    ports: &P,
    id: EntryId,
    request: &Request,
    ended: Result<Outcome, Stopped>,
) -> Result<Outcome, Stopped> {
    let Some(message) = refusal(&ended).filter(|_| request.key.is_some()) else { return ended };
    let Some(until) = open_invitations::sent_for(ports, id, ports.now())? else { return ended };
    Err(Stopped::Until(format!("{message}; an invitation that got no answer may still be carried out"), until))
}

/// Whether an operation that comes to nothing may be told to have ended: not while it has something to bring back, nor while an invitation of its
/// own may still be carried out.
pub fn may_end<P: Clock + Sql>(ports: &P, id: EntryId, request: &Request) -> Result<bool, SqlError> {
    let may_come = request.key.is_some() && open_invitations::sent_for(ports, id, ports.now())?.is_some();
    Ok(!may_come && !must_go_on(ports, id)?)
}

async fn attempt<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    cloudflare: &cloudflare::Settings,
    settings: &Settings,
    locks: &Locks,
    id: EntryId,
    request: &Request,
) -> Result<Outcome, Stopped> {
    let renewal = come_back::begun(ports, id)?;
    let renews = renewal.is_some();
    let ended = attempt_with(ports, cloudflare, settings, locks, (id, request, renewal)).await;
    // A renewal that is refused says what was held, and has forgotten it: it must not come again as another operation.
    if renews { ended } else { unless_invited_yet(ports, id, request, ended) }
}

async fn attempt_with<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    cloudflare: &cloudflare::Settings,
    settings: &Settings,
    locks: &Locks,
    (id, request, renewal): (EntryId, &Request, Option<InvitationAccess>),
) -> Result<Outcome, Stopped> {
    let apps = settings.apps.or_connected(|| connect::connected_apps(ports))?;
    // What was begun is carried to its end, whoever is pinned by now: an invitation that was removed to be made again, and a write that may be in force.
    if renewal.is_none() && !journal::has_written(ports, id)? {
        apps.admit(&request.origin)?;
        // Nobody waits any more for a grant that was not even tried for days, as while a setting could not be read.
        let last_try = ports.now().plus_secs(-LAST_TRY_SECS);
        if request.action == Action::Grant && journal::is_past_its_time(ports, id, last_try)? {
            return Err(Stopped::NotNow("nothing is begun for it any more".to_owned()));
        }
        if request.action == Action::Revoke {
            guards::in_line(ports, settings, id, ports.now())?;
        }
    }
    // The budget is shared fairly by person, as far as the request tells them apart.
    let person = serde_json::to_string(&request.subject).unwrap_or_default();
    let client = Client::new(ports, cloudflare, Purpose::Provisioning).for_person(&person).seated(locks.seats());
    let newest = account::newest(ports).await?;
    // What was meant was settled by whatever was written already: another thing that has the name since then is not it.
    let settled = journal::written_access(ports, id)?.filter(|_| request.target != Target::Renewal).map(Target::from);
    let what =
        resolve::entitlement(ports, &client, &newest, &apps, settled.as_ref().unwrap_or(&request.target)).await?;
    journal::is_about(ports, id, &what)?;
    let mut request = request.clone();
    // What is to be taken away is taken from the invitation that there is, though ConductorOne knows its id from before it was renewed.
    if request.action == Action::Revoke
        && let Some(known) = request.subject.member_id
        && let Some(successor) = renewal::successor(ports, known)?
    {
        if request.subject.is_untyped() {
            request.subject.user_id = None;
        }
        request.subject.member_id = Some(successor);
    }
    let request = &request;
    let work = Work { ports, settings, locks, client, id, request, what, snapshot: newest.snapshot };
    // An invitation that was removed to be made again: whatever else, it comes back first.
    if let Some(held) = renewal {
        return work.resume_renewal(held).await;
    }
    work.find_and_go_on().await
}

impl<P: Http + KeyValue + Clock + Sql> Work<'_, P> {
    async fn find_and_go_on(&self) -> Result<Outcome, Stopped> {
        let subject = &self.request.subject;
        if subject.is_nobody() {
            return Err(nobody_named());
        }
        // Who was meant was settled by whatever was written already: another address since then makes nobody else of them. So is whose grant ends:
        // it was written to that membership.
        let wrote_to = journal::written_member(self.ports, self.id)?;
        // Where that one is gone, whoever has the address since was invited by another hand, and has not that end.
        let mut ends = self.ends().filter(|end| wrote_to.is_none_or(|wrote_to| wrote_to == *end));
        if let Some(id) = wrote_to.or(ends) {
            let turn = self.lock(&id.to_string()).await;
            match read::member_within(self.ports, &self.client, id, &READ_BACK_WAITS).await {
                Err(ApiError::NotFound(_)) => {}
                // The id that an earlier version noted with an end may be a hint of ConductorOne's, and somebody else's.
                Ok(member) if wrote_to.is_none() && subject.is_another(member.user_id) => ends = None,
                Ok(member) => match self.for_member(member).await {
                    Err(Stopped::Api(ApiError::NotFound(_))) => {}
                    ended => return ended,
                },
                Err(error) => return Err(error.into()),
            }
            drop(turn);
            if let Some(outcome) = self.removed_before(wrote_to).await? {
                return Ok(outcome);
            }
        }
        // The lock comes before the read that the change is worked out from.
        let (mut read, mut tried) = (Vec::new(), None);
        for is_second in [false, true] {
            let snapshot = self.snapshot.as_ref();
            let probable = if is_second {
                find::by_snapshot(self.ports, snapshot, subject).await?
            } else {
                find::probable(self.ports, snapshot, subject).await?
            };
            let is_new = |found: &MemberId| probable != tried && ends.is_none_or(|end| end == *found);
            let Some(member) = probable.filter(is_new) else { continue };
            tried = probable;
            let _turn = self.lock(&member.to_string()).await;
            match read::member_within(self.ports, &self.client, member, &READ_BACK_WAITS).await {
                Ok(member) if self.is_certain(&member) => match self.for_member(member).await {
                    // Removed since it was read, and perhaps invited again: who has the address now is meant.
                    Err(Stopped::Api(ApiError::NotFound(_))) => {}
                    ended => return ended,
                },
                // Perhaps somebody else's, or the person has another one by now.
                Ok(member) => read.push(member),
                Err(ApiError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Whom an id names that is not there may be there under another, and has the address still.
        let former = if read.is_empty() { self.former().await? } else { None };
        let known: Vec<MemberId> = read.iter().map(|member: &MemberRecord| member.id).collect();
        let subject = former.as_ref().unwrap_or(subject);
        // Somebody new is known by the address alone: two grants for one must not both invite.
        let _turn = self.lock(&turn_of(subject)).await;
        // Who was invited already, and was not found, may be anywhere in the list.
        let wrote = journal::has_written(self.ports, self.id)?;
        // What has no key comes again as another operation, which is no older.
        let since = self.ports.now().plus_millis(-late::STALE_MILLIS);
        let is_recent = self.request.key.is_some() && journal::received_at(self.ports, self.id)? > since;
        let seen = find::Seen { must_read_all: wrote, is_known: tried.is_some(), is_recent, operation: Some(self.id) };
        let found = match find::in_account(&self.client, subject, self.request.action, read, seen).await {
            Ok(Meant::One(found)) if former.is_some() && !subject.is_by_id(found.id, found.user_id) => {
                return Ok(accounts::there_anew(&self.request.subject, &found));
            }
            Ok(Meant::One(found)) => found,
            Ok(Meant::Unclear(why)) => return Ok(Outcome::refused(Refusal::AmbiguousMember, why)),
            // Nobody, or perhaps somebody whom the list counts and does not show yet. A list that was not read to its end may have others, so our own
            // operations then tell of no more than a membership that settles it alone.
            nobody @ (Ok(Meant::Nobody) | Err(Stopped::NotNow(_))) => match (self.unlisted().await?, nobody) {
                (Meant::One(found), Err(not_now)) if !self.is_certain(&found) => return Err(not_now),
                (Meant::One(found), _) => found,
                (_, Err(not_now)) => return Err(not_now),
                (Meant::Unclear(why), Ok(_)) => return Ok(Outcome::refused(Refusal::AmbiguousMember, why)),
                (Meant::Nobody, Ok(_)) => return self.for_nobody(&known, &subject.emails).await,
            },
            Err(error) => return Err(error),
        };
        if ends.is_some_and(|end| end != found.id) {
            return self.for_nobody(&known, &subject.emails).await;
        }
        let _turn = self.lock(&found.id.to_string()).await;
        let ended = match read::member_within(self.ports, &self.client, found.id, &READ_BACK_WAITS).await {
            // The list may have been behind: it must be the same person still.
            Ok(member) if (member.user_id, &member.email) == (found.user_id, &found.email) => {
                self.for_member(member).await
            }
            Ok(_) => return Ok(self.not_now("the membership was changed at this very moment", 2)),
            Err(error) => Err(error.into()),
        };
        match ended {
            Err(Stopped::Api(ApiError::NotFound(_))) => {
                Ok(self.not_now("the membership was removed at this very moment", 2))
            }
            ended => ended,
        }
    }

    /// Whose grant for a time this is to end, where the membership is known.
    fn ends(&self) -> Option<MemberId> {
        let is_end = self.request.key.as_deref().is_some_and(|key| key.starts_with(EXPIRY_KEY));
        self.request.subject.member_id.filter(|_| is_end)
    }

    /// The subject's membership, where it is not in the list, which may be behind what we did a moment ago, and may not have who declined our invitation: they
    /// can be invited again only once that is taken away.
    async fn unlisted(&self) -> Result<Meant<MemberRecord>, Stopped> {
        let is_of_account = self.request.action == Action::Grant || self.what.access == Counterpart::Account;
        let lately = self.ports.now().plus_millis(-late::STALE_MILLIS);
        let since = if is_of_account { Timestamp::default() } else { lately };
        let mut candidates = Candidates::of(&self.request.subject);
        for id in journal::members_under(self.ports, &self.request.subject.emails, since)? {
            let Some(found) = read::present(read::member(self.ports, &self.client, id).await)? else { continue };
            // The one that came last: one before it may be shown a while longer than it is there.
            let is_theirs = self.request.subject.emails.iter().any(|email| address::same(email, &found.email));
            candidates.see(found);
            if is_theirs {
                break;
            }
        }
        Ok(candidates.meant(self.request.action))
    }

    /// Whether a membership that was read by its id is the subject's, whoever else there is in the account.
    fn is_certain(&self, member: &MemberRecord) -> bool {
        let subject = &self.request.subject;
        let mut candidates = Candidates::of(subject);
        candidates.see(member.clone());
        // An address is one membership's at most; of several, others may be members as well.
        let is_alone = subject.user_id.is_none() && subject.member_id.is_none() && subject.emails.len() == 1;
        (candidates.is_settled() || is_alone) && matches!(candidates.meant(self.request.action), Meant::One(_))
    }

    /// The person has a membership, accepted or pending.
    async fn for_member(&self, member: MemberRecord) -> Result<Outcome, Stopped> {
        let edit = match self.what.access {
            Counterpart::Atom(atom) => Some(Edit::of(self.request.action, atom)),
            Counterpart::Account | Counterpart::Group(_) => None,
        };
        let member = execute::believable(self.ports, &self.client, member, edit.as_ref()).await?;
        journal::resolved(self.ports, self.id, &member.id.to_string(), &member.email, self.what.id)?;
        // Before whatever is refused: that the invitation was carried out belongs to what is told.
        if self.request.target != Target::Renewal && open_invitations::shown(self.ports, &member)? {
            renewal::invited(self.ports, member.id, &atoms(&member.own_policies()?), self.ports.now())?;
        }
        if let Some(newer) = journal::superseded_by(self.ports, self.id)? {
            return self.or_invited(Err(Stopped::Ended(superseded(newer))), &member).await;
        }
        if !member.status.is_member() && self.request.action == Action::Grant {
            // Whatever was written to it, the person would not have.
            return Ok(Outcome::refused(
                Refusal::Declined,
                format!(
                    "{email} declined the invitation to this account, so there is nobody to give anything to: talk to {email}, revoke the account, which takes the declined invitation away, and grant it once more.",
                    email = member.email
                ),
            ));
        }
        if self.request.action == Action::Grant
            && let Some(until) =
                open_writes::removal_open_until(self.ports, member.id, open_writes::BLOCKS_SECS, self.ports.now())?
        {
            let message =
                format!("it is not known yet whether {} is being removed by an earlier operation", member.email);
            return Err(Stopped::Until(message, until));
        }
        if self.request.target == Target::Renewal {
            return self.renew(member).await;
        }
        let told = member.clone();
        let mut outcome = match (self.what.access, self.request.action) {
            (Counterpart::Atom(atom), _) => self.unless_moot(self.change(member, atom).await, &told),
            (Counterpart::Group(group), _) => {
                member.can_be_kept()?;
                self.or_invited(self.change_group(&member, group).await, &member).await
            }
            (Counterpart::Account, Action::Grant) => self.account_exists(member).await,
            (Counterpart::Account, Action::Revoke) => self.remove(&member).await,
        }?;
        match self.request.action {
            Action::Grant => {
                // Of an account its own sentences say so.
                if let Outcome::Done { message, .. } = &mut outcome
                    && told.status == MemberStatus::Pending
                    && self.what.access != Counterpart::Account
                {
                    message.pop();
                    message.push_str(accounts::ONCE_ACCEPTED);
                }
                Ok(outcome.to_account(|| told.account()))
            }
            Action::Revoke => self.proven(outcome, Some(&told)),
        }
    }
}

/// A task may come without the account that it is about. That nothing is known of somebody is no proof that they hold nothing.
fn nobody_named() -> Stopped {
    Stopped::refused(
        Refusal::UnknownMember,
        "ConductorOne sent neither an e-mail address nor an id of whom this is about, so nothing was changed; sync this connector in ConductorOne, so that the account carries its address and ids, then ask again.",
    )
}
