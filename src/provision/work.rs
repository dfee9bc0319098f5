//! An operation under way: what its steps share, and what they note.

use super::asking::Asking;
use super::come_back::{self, Meanwhile};
use super::execute::{self, Edit, EditOutcome};
use super::journal::{self, EntryId};
use super::lock::{Guard, Locks};
use super::resolve::{Counterpart, What};
use super::settings::{Guards, Settings};
use super::{apart, last_writes, open_invitations, open_writes};
use crate::account::Stopped;
use crate::account::overlay::{self, Aftermath};
use crate::base::ports::{Clock, Http, KeyValue, Sql, SqlError};
use crate::cloudflare::{Client, MemberRecord, ray_told};
use crate::model::address;
use crate::model::ask::Subject;
use crate::model::id::UserGroupId;
use crate::model::operation::{Effect, Outcome, Request};
use crate::snapshot::Snapshot;

/// An operation under way: what its steps share.
pub(super) struct Work<'a, P: Http + Clock + Sql> {
    pub(super) ports: &'a P,
    pub(super) settings: &'a Settings,
    pub(super) locks: &'a Locks,
    pub(super) client: Client<'a, P>,
    pub(super) id: EntryId,
    pub(super) request: &'a Request,
    pub(super) what: What,
    /// The generation that readers see, as far as KV tells.
    pub(super) snapshot: Option<Snapshot>,
}

/// What an attempt sent is counted also where it is cut off.
impl<P: Http + Clock + Sql> Drop for Work<'_, P> {
    fn drop(&mut self) {
        // A count that cannot be kept bounds nothing, and harms nothing.
        let _ = journal::spend(self.ports, self.id, self.client.sent());
    }
}

impl<'a, P: Http + KeyValue + Clock + Sql> Work<'a, P> {
    /// What must not be done.
    pub(super) fn guards(&self) -> &Guards {
        &self.settings.guards
    }

    /// What the guards ask with.
    pub(super) fn asking(&self) -> Asking<'_, 'a, P> {
        Asking {
            ports: self.ports,
            settings: self.settings,
            locks: self.locks,
            client: &self.client,
            operation: self.id,
            comes_again: self.request.key.is_some(),
            asked_for: &self.request.subject.emails,
        }
    }

    pub(super) async fn lock(&self, name: &str) -> Guard {
        self.locks.acquire_at_rest(name, self.ports, &self.client, self.id).await
    }

    /// Changes a member's policies, as far as the guards let it pass.
    pub(super) async fn write(&self, member: MemberRecord, edit: &Edit, would: &str) -> Result<EditOutcome, Stopped> {
        let change = execute::change(&self.asking(), member, edit, would).await?;
        if let EditOutcome::Made(member) | EditOutcome::AlreadySo(member) = &change {
            come_back::follow(self.ports, self.id, member, Meanwhile::Edited(edit))?;
        }
        Ok(change)
    }

    /// Notes what the operation left of the member, so that readers see it from now on.
    pub(super) async fn left(
        &self,
        member: &MemberRecord,
        gone: bool,
        group: Option<(UserGroupId, bool)>,
    ) -> Result<(), SqlError> {
        if let Some((group, is_in)) = group {
            come_back::follow(self.ports, self.id, member, Meanwhile::Group(group, &self.what.name, is_in))?;
        }
        let now = self.ports.now();
        let is_fresh = last_writes::is_fresh(self.ports, member.id, group.map(|(group, _)| group), now)?;
        let about = match self.what.access {
            Counterpart::Atom(atom) => Some((self.request.action, atom)),
            Counterpart::Group(_) | Counterpart::Account => None,
        };
        let left = Aftermath { member, gone, group, about, is_fresh };
        overlay::note(self.ports, self.snapshot.as_ref(), left, now).await
    }

    /// Notes the same of an operation that read the member, and did not change their policies.
    pub(super) async fn left_as_read(
        &self,
        member: &MemberRecord,
        group: Option<(UserGroupId, bool)>,
    ) -> Result<(), SqlError> {
        self.left(&apart::for_readers(self.ports, member)?, false, group).await
    }

    pub(super) fn note(&self, line: &str) -> Result<(), SqlError> {
        journal::note(self.ports, self.id, journal::State::Writing, line, self.ports.now())
    }

    /// Notes what was just done, with the ray id of Cloudflare's answer.
    pub(super) fn note_done(&self, line: &str) -> Result<(), SqlError> {
        let ray = ray_told(self.client.ray().as_deref());
        self.note(&format!("{line}{ray}"))
    }

    /// What is told of a revoke that shows: that it is done, once no write that nobody answered can bring back what was taken. Of the
    /// `member`, where there is one still; else of who may come back by an invitation.
    pub(super) fn proven(&self, outcome: Outcome, member: Option<&MemberRecord>) -> Result<Outcome, Stopped> {
        let Outcome::Done { effect, .. } = &outcome else { return Ok(outcome) };
        let now = self.ports.now();
        let until = match member {
            Some(member) if *effect != Effect::Removed => {
                open_writes::may_bring_back_until(self.ports, member.id, self.what.access, now)?
            }
            gone => {
                let subject = self.request.subject.emails.iter().map(String::as_str);
                let emails: Vec<&str> = subject.chain(gone.map(|member| member.email.as_str())).collect();
                open_invitations::until(self.ports, &emails, now)?
            }
        };
        let Some(until) = until else { return Ok(outcome) };
        journal::carried_out(self.ports, self.id)?;
        let who = member.map_or_else(|| self.request.subject.shown(), |member| member.email.clone());
        let name = &self.what.name;
        let message = format!(
            "{who} does not have {name} any more, but an earlier write that Cloudflare never answered may bring it back until {until}, and this is not called done before"
        );
        Err(Stopped::Until(message, until))
    }

    pub(super) fn not_now(&self, message: impl Into<String>, secs: i64) -> Outcome {
        Outcome::NotNow { message: message.into(), retry_at: Some(self.ports.now().plus_secs(secs)) }
    }
}

/// Under which name those take turns who know somebody by the address. It is never a membership's id, as the end of a grant for a time may have in the
/// place of an address: whoever has this turn waits for that membership's too.
pub(super) fn turn_of(subject: &Subject) -> String {
    let address = subject.emails.first().filter(|email| email.contains('@'));
    address.map_or_else(|| format!("the turn of {}", subject.shown()), |email| address::folded(email))
}

pub(super) fn done(effect: Effect, message: String) -> Outcome {
    Outcome::Done { effect, message, account: None }
}
