//! Accounts: a membership is made by an invitation, and ends by removal.

use super::come_back::{self, Meanwhile};
use super::execute::Edit;
use super::guards::{self, Passage, Planned};
use super::open_writes::{self, Write, WriteKind};
use super::outcomes::{refused, superseded};
use super::read::READ_BACK_WAITS;
use super::resolve::{self, Counterpart};
use super::work::{Work, done, turn_of};
use super::{group, heard, journal, last_writes, late, open_invitations, policies, read, renewal};
use crate::account;
use crate::account::Stopped;
use crate::account::find;
use crate::account::person::Meant;
use crate::base::tree::BTreeSet;

use crate::base::ports::{Clock, Http, KeyValue, Sql, SqlError};
use crate::base::time::Timestamp;
use crate::cloudflare::{ApiError, MemberRecord};
use crate::ledger::record;
use crate::model::access::{Atom, Policy, atoms};
use crate::model::address;
use crate::model::ask::{Action, Subject};
use crate::model::grant::Principal;
use crate::model::id::{MemberId, UserGroupId};
use crate::model::operation::{Effect, Outcome, Refusal, Target};
use crate::model::resource::{MemberStatus, Row};

/// The end of what is told of a grant to somebody who has not accepted the invitation.
pub(super) const ONCE_ACCEPTED: &str = "; it is effective once the invitation is accepted.";

/// What is told of a revoke by an id that is nobody's any more, of somebody who is there under another one: what they hold by that was not asked for,
/// and they do not hold nothing.
pub(super) fn there_anew(subject: &Subject, found: &MemberRecord) -> Outcome {
    let account = found.account();
    Outcome::refused(
        Refusal::AmbiguousMember,
        format!(
            "{} is not there any more, and {} is in the Cloudflare account again as {}:{}, so nothing was changed; sync this connector in ConductorOne, then ask again for that one.",
            subject.shown(),
            found.email,
            account.resource_type,
            account.id
        ),
    )
}

/// What an invitation would have done while provisioning is off.
pub(super) fn would_invite(email: &str, name: &str) -> String {
    format!("would have invited {email} with {name}")
}

/// The same of the removal of a member or an invitation.
pub(super) fn would_remove(email: &str, status: MemberStatus) -> String {
    match status {
        MemberStatus::Pending => format!("would have cancelled the invitation of {email}"),
        _ => format!("would have removed {email} from the account"),
    }
}

impl<P: Http + KeyValue + Clock + Sql> Work<'_, P> {
    /// What is told where an earlier attempt removed the account, and the membership is gone: whoever has the address by now was invited by another
    /// hand, and stays. Nothing, where there was no such attempt, or where we ourselves invited the person again, be it for a renewal, for a grant
    /// that was put off, or by an invitation that may still be carried out.
    pub(super) async fn removed_before(&self, wrote_to: Option<MemberId>) -> Result<Option<Outcome>, Stopped> {
        let emails = &self.request.subject.emails;
        let Some(removed) =
            wrote_to.filter(|_| (self.what.access, self.request.action) == (Counterpart::Account, Action::Revoke))
        else {
            return Ok(None);
        };
        let _turn = self.lock(&turn_of(&self.request.subject)).await;
        let since = journal::received_at(self.ports, self.id)?;
        let ours = journal::members_under(self.ports, emails, since)?;
        let open: Vec<&str> = emails.iter().map(String::as_str).collect();
        if renewal::successor(self.ports, removed)?.is_some()
            || ours.iter().any(|member| *member != removed)
            || open_invitations::until(self.ports, &open, Timestamp::from_secs(0))?.is_some()
            // What was not found may have been a list that the guards asked for.
            || read::present(read::member(self.ports, &self.client, removed).await)?.is_some()
        {
            return Ok(None);
        }
        self.for_nobody(&[], emails).await.map(Some)
    }

    /// Whether reads may be behind our own invitation of a moment ago, of whoever is meant or has one of these addresses: unless we ended that membership
    /// since.
    fn may_be_unseen(&self, emails: &[String]) -> Result<bool, SqlError> {
        let now = self.ports.now();
        let lately = journal::members_under(self.ports, emails, now.plus_millis(-late::STALE_MILLIS))?;
        for member in self.request.subject.member_id.into_iter().chain(lately) {
            if self.was_invited_within(member, late::STALE_MILLIS)?
                && !last_writes::is_latest(self.ports, member, &BTreeSet::new(), now)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Nobody in the account is meant, who has or had these addresses. The memberships that are `known` as theirs were read, and have another one.
    pub(super) async fn for_nobody(&self, known: &[MemberId], emails: &[String]) -> Result<Outcome, Stopped> {
        let subject = &self.request.subject;
        // Somebody else may have the address of whom a grant for a time ends for.
        let who = match self.ends() {
            Some(member) => format!("{} as membership {member}", subject.shown()),
            None => subject.shown(),
        };
        let written = journal::written_member(self.ports, self.id)?;
        let member = written.map(|member| member.to_string()).unwrap_or_default();
        // An invitation that was put off must not go out after a revoke that came later and was answered, whichever of the addresses that was
        // about. The first is the one that the operation stands under.
        for email in emails.iter().rev() {
            journal::resolved(self.ports, self.id, &member, email, self.what.id)?;
            if let Some(newer) = journal::superseded_by(self.ports, self.id)? {
                return Ok(superseded(newer));
            }
        }
        // It was renewed while this waited for its turn: what it held is another one's by now.
        if self.request.action == Action::Revoke
            && let Some(known) = subject.member_id
            && renewal::successor(self.ports, known)?.is_some()
        {
            return Ok(self.not_now("the invitation was made again at this very moment", 1));
        }
        // Between the removal of an invitation and the new one there is nobody, and it will not stay so.
        if come_back::is_under_way(self.ports, subject)? {
            return Ok(self.not_now("the invitation is being made again", 5));
        }
        if self.request.action == Action::Revoke
            && subject.user_id.is_none()
            && self.ends().is_none()
            // What an earlier attempt removed under this address is not to be found under another.
            && !journal::has_written(self.ports, self.id)?
            && let Some(outcome) = self.under_another_address(known).await?
        {
            return Ok(outcome);
        }
        // Removed by an earlier attempt that was cut off before it could say so, be it along with the last role.
        let was_removed = self.request.action == Action::Revoke
            && ((self.what.access == Counterpart::Account && journal::has_written(self.ports, self.id)?)
                || open_writes::has_removed(self.ports, self.id)?);
        // Whether somebody is there to be invited, Cloudflare itself tells.
        let invites = self.request.action == Action::Grant && !subject.has_account;
        if !was_removed && !invites && self.may_be_unseen(emails)? {
            return Ok(self.not_now(format!("{who} was invited a moment ago, and is not shown yet"), 10));
        }
        if !was_removed && let Some(outcome) = self.of_a_group().await? {
            return Ok(outcome);
        }
        match (self.request.action, subject.emails.first()) {
            (Action::Revoke, _) if was_removed => {
                if let Some(gone) = written {
                    // Whoever waits for another's turn sits on no seat.
                    self.client.rest();
                    heard::note_gone(self.ports, None, self.locks, &[gone]).await?;
                }
                self.proven(done(Effect::Removed, format!("Removed {who} from the account.")), None)
            }
            // Somebody who is gone holds nothing.
            (Action::Revoke, _) => {
                self.note_absent(known).await;
                let said = format!("{who} is not a member of the Cloudflare account; nothing was changed.");
                self.proven(done(Effect::AlreadyRevoked, said), None)
            }
            (Action::Grant, _) if self.request.target == Target::Renewal => Ok(Outcome::refused(
                Refusal::UnknownMember,
                format!(
                    "There is no invitation {who} in the Cloudflare account; GET /v1/invitations lists those there are."
                ),
            )),
            (Action::Grant, Some(email)) if !subject.has_account => self.invite(email).await,
            // Somebody took the account away: to invite again is a decision, not a detail of a grant.
            (Action::Grant, Some(email)) => Ok(Outcome::refused(
                Refusal::UnknownMember,
                format!(
                    "{email} is not a member of the Cloudflare account any more, though ConductorOne still has the account; sync this connector in ConductorOne, then ask again, and the person is invited."
                ),
            )),
            (Action::Grant, None) => Ok(Outcome::refused(
                Refusal::UnknownMember,
                format!(
                    "{who} is not a member of the Cloudflare account, and without an e-mail address nobody can be invited; invite them by their address first."
                ),
            )),
        }
    }

    /// What is told of an id of which it is not known what it is the id of, where it is a user group's: that nobody has it does not mean that the group
    /// holds nothing.
    async fn of_a_group(&self) -> Result<Option<Outcome>, Stopped> {
        let subject = &self.request.subject;
        let Some(id) = subject.user_id.filter(|_| subject.is_untyped()) else { return Ok(None) };
        match self.client.user_group(UserGroupId::of_bytes(id.bytes())).await {
            Ok(group) => Ok(Some(Outcome::refused(
                Refusal::UnknownMember,
                format!(
                    "{id} is the user group {}, whose access is not changed through this connector; change the group's policies in Cloudflare.",
                    group.name
                ),
            ))),
            // No group's, or of none that this connector may see.
            Err(ApiError::NotFound(_) | ApiError::Invalid(_) | ApiError::Forbidden(_)) => Ok(None),
            // That there is no such path says it where there are none at all.
            Err(error) => {
                let may_be = !error.is_no_path() || account::newest(self.ports).await?.may_have_user_groups();
                if may_be { Err(error.into()) } else { Ok(None) }
            }
        }
    }

    /// Notes that whom another hand has removed since the last sync is gone, so that readers see what a revoke is told to have found: the memberships that
    /// the request and the generation have of the subject. Each was asked for by its id, and those that are there are `known`. The end of a
    /// grant for a time is about one membership, and asks for no other that the generation has of the address: that one may be there.
    async fn note_absent(&self, known: &[MemberId]) {
        if self.ends().is_some() {
            return;
        }
        let (snapshot, subject) = (self.snapshot.as_ref(), &self.request.subject);
        let theirs = [
            find::probable(self.ports, snapshot, subject).await,
            find::by_snapshot(self.ports, snapshot, subject).await,
        ];
        let mut gone: Vec<MemberId> = theirs.into_iter().flatten().flatten().filter(|id| !known.contains(id)).collect();
        gone.dedup();
        if !gone.is_empty() {
            // Whoever waits for another's turn sits on no seat.
            self.client.rest();
            // Where it cannot be noted, readers see it with the next sync.
            drop(heard::note_gone(self.ports, None, self.locks, &gone).await);
        }
    }

    /// The subject of a revoke that names an id and no address, with the address that whose it was had when they were last heard of.
    pub(super) async fn former(&self) -> Result<Option<Subject>, Stopped> {
        let subject = &self.request.subject;
        if self.request.action == Action::Grant
            || !subject.emails.is_empty()
            // Whom an earlier attempt removed is gone, whoever has the address by now.
            || journal::has_written(self.ports, self.id)?
        {
            return Ok(None);
        }
        for principal in subject.principals().map(|id| id.to_string()) {
            let row = match &self.snapshot {
                Some(snapshot) => snapshot.get(self.ports, &principal).await?,
                None => None,
            };
            let known = row.as_ref().and_then(Row::as_member).map(|member| member.email.clone());
            let email = if known.is_some() { known } else { record::last_name(self.ports, &principal)? };
            if let Some(email) = email {
                return Ok(Some(Subject { emails: vec![email], ..subject.clone() }));
            }
        }
        Ok(None)
    }

    /// What is told of a revoke of somebody whose user id is not named, where the membership that this connector knows under their address is there
    /// under another one by now: also of an account that C1 knows, and of which it has nothing but the address.
    async fn under_another_address(&self, known: &[MemberId]) -> Result<Option<Outcome>, Stopped> {
        let emails = &self.request.subject.emails;
        let changed = journal::members_under(self.ports, emails, Timestamp::from_secs(0))?;
        for member in known.iter().chain(&changed).chain(&self.once_called().await?).copied() {
            let read = read::present(read::member(self.ports, &self.client, member).await)?;
            // Whoever declined may be left out of the list, and has nothing.
            let Some(member) = read.filter(|member| member.status.is_member()) else { continue };
            if emails.iter().any(|email| address::same(email, &member.email)) {
                return Ok(Some(self.not_now("the list of members does not show a member who is there", 5)));
            }
            let who = self.request.subject.shown();
            return Ok(Some(Outcome::refused(
                Refusal::AmbiguousMember,
                format!(
                    "{who} has no account under this address any more, and the one that this connector knows under it is {}'s now, so it is not clear whether that one is meant, and nothing was changed; sync this connector in ConductorOne, so that it names the account, then ask again.",
                    member.email
                ),
            )));
        }
        Ok(None)
    }

    /// The memberships of those who had one of the subject's addresses before: as the last snapshot has them, or as their invitation names them. Whom a
    /// membership id names, that id tells.
    async fn once_called(&self) -> Result<Vec<MemberId>, Stopped> {
        let subject = &self.request.subject;
        let mut found = Vec::new();
        for email in subject.emails.iter().filter(|_| subject.member_id.is_none()) {
            for principal in record::once_called(self.ports, email)? {
                // The membership stays when it is accepted.
                if let Ok(Principal::Invitation(member)) = principal.parse() {
                    found.push(member);
                    continue;
                }
                let Some(snapshot) = &self.snapshot else {
                    return Err(Stopped::NotNow(format!("who had the address {email} before cannot be looked up")));
                };
                let row = snapshot.get(self.ports, &principal).await?;
                found.extend(row.as_ref().and_then(Row::as_member).map(|member| member.member_id));
            }
        }
        Ok(found)
    }

    /// An account is asked for by somebody who has one, or an invitation to it.
    pub(super) async fn account_exists(&self, member: MemberRecord) -> Result<Outcome, Stopped> {
        if member.status == MemberStatus::Pending && self.is_stale_invitation(&member)? {
            return self.renew(member).await;
        }
        self.left_as_read(&member, None).await?;
        let email = &member.email;
        if journal::has_written(self.ports, self.id)? && renewal::is_of(self.ports, self.id, member.id)? {
            // Invited by an earlier attempt that was cut off before it could say so, and not by somebody else since, nor long ago.
            let said = format!("Invited {email}; the account is there once the invitation is accepted.");
            return Ok(done(Effect::Invited, said));
        }
        Ok(done(
            Effect::AlreadyGranted,
            match member.status {
                MemberStatus::Pending => {
                    format!("{email} was invited already and has not accepted yet; nothing was changed.")
                }
                _ => format!("{email} is a member already; nothing was changed."),
            },
        ))
    }

    /// Invites somebody new, with the role that was asked for, or with the configured one where an account or a group was.
    async fn invite(&self, email: &str) -> Result<Outcome, Stopped> {
        let name = &self.what.name;
        guards::protected(self.guards(), email, &self.request.subject.emails)?;
        // Else an invitation that is never answered would be sent for ever, and never be told.
        if journal::has_written(self.ports, self.id)?
            && journal::is_past_its_time(self.ports, self.id, self.ports.now())?
        {
            return Ok(self.not_now(format!("{email} is nobody yet, and not invited any more"), 60));
        }
        let atom = match self.what.access {
            Counterpart::Atom(atom) => atom,
            Counterpart::Account | Counterpart::Group(_) => self.default_role().await?,
        };
        let would = would_invite(email, name);
        let passage = guards::check(&self.asking(), &Planned::invite(email, &would)).await?;
        let member = self.send_invitation(&passage, email, &[Policy::of(atom)], None).await?;
        let mut joined = None;
        if let Counterpart::Group(group) = self.what.access {
            // Of the new membership the guards have not heard yet.
            let put = group::put(&self.asking(), group, name, &member, true).await;
            if !self.or_invited(put, &member).await? {
                return Ok(self.not_now(format!("{email} is invited, and not in the group {name} yet"), 5));
            }
            joined = Some((group, true));
        }
        self.left(&member, false, joined).await?;
        let outcome = match self.what.access {
            Counterpart::Account => {
                done(Effect::Invited, format!("Invited {email}; the account is there once the invitation is accepted."))
            }
            _ => done(Effect::Granted, format!("Invited {email} with {name}{}{ONCE_ACCEPTED}", self.with_first_role())),
        };
        Ok(outcome.to_account(|| member.account()))
    }

    /// That a group takes nobody in, or that the grant is void by now, does not take the invitation back that was sent for it: whoever is told of the
    /// one is told of the other.
    pub(super) async fn or_invited<T>(&self, put: Result<T, Stopped>, member: &MemberRecord) -> Result<T, Stopped> {
        let Err(Stopped::Ended(Outcome::Refused { code, message })) = put else { return put };
        if self.request.action == Action::Revoke
            || !renewal::is_of(self.ports, self.id, member.id)?
            || !journal::has_written(self.ports, self.id)?
        {
            return Err(Stopped::refused(code, message));
        }
        self.left_as_read(member, None).await?;
        let with = self.with_first_role();
        let message = format!(
            "{}; {} was invited to the account for it all the same{with}, so revoke the account where that is not wanted.",
            message.trim_end_matches('.'),
            member.email
        );
        Err(Stopped::refused(code, message))
    }

    /// The role that an invitation for this comes with, and that nobody asked for by name.
    const fn with_first_role(&self) -> &'static str {
        match self.what.access {
            Counterpart::Atom(_) => "",
            Counterpart::Account | Counterpart::Group(_) => ", with the role that DEFAULT_ROLE names",
        }
    }

    /// What an account gets that is asked for without a role.
    async fn default_role(&self) -> Result<Atom, Stopped> {
        let role = &self.settings.default_role;
        resolve::configured_role(self.ports, &self.client, role).await?.ok_or_else(|| {
            Stopped::refused(
                Refusal::NoDefaultRole,
                format!(
                    "A new account needs a role, and this Cloudflare account has none that is called \"{role}\"; set DEFAULT_ROLE to the entitlement id, the id or the name of a role."
                ),
            )
        })
    }

    /// Sends an invitation; it is put off where that is not there yet. One whose answer was lost is looked for at once: who
    /// asked by REST does not come again by itself. One that it is to `replace` is not what is found then, though a list that is behind still has it.
    pub(super) async fn send_invitation(
        &self,
        passage: &Passage,
        email: &str,
        policies: &[Policy],
        replaced: Option<MemberId>,
    ) -> Result<MemberRecord, Stopped> {
        let before = journal::sending(self.ports, self.id, "inviting", self.ports.now())?;
        let open = open_invitations::begin(self.ports, self.id, email, &atoms(policies), self.ports.now())?;
        let answer = self.client.invite(&passage.cleared, email, policies).await;
        match &answer {
            Ok(_) => open_invitations::answered(self.ports, open)?,
            Err(error) if error.outcome_unknown() => {}
            Err(_) => open_invitations::refused(self.ports, open, email)?,
        }
        let shows = |member: &MemberRecord| {
            let holds = member.own_policies().map(|own| atoms(&own)).unwrap_or_default();
            atoms(policies).is_subset(&holds)
        };
        let member = match answer {
            Ok(member) => member,
            // There all the same, by somebody else's hand or our own before a crash: the next attempt finds the membership. That one reads all of the
            // list only where this counts as written.
            Err(ApiError::AlreadyExists(failure)) => {
                // Not by its place in the list, by which a renewal has looked before.
                let seen = find::Seen { must_read_all: true, operation: Some(self.id), ..find::Seen::default() };
                if replaced.is_some()
                    && let Meant::One(found) =
                        find::in_account(&self.client, &Subject::of_email(email), Action::Grant, Vec::new(), seen)
                            .await?
                    && Some(found.id) != replaced
                {
                    journal::resolved(self.ports, self.id, &found.id.to_string(), email, self.what.id)?;
                }
                let message = format!("{email} is a member already, and not in the list yet ({failure})");
                return Err(Stopped::Ended(self.not_now(message, 2)));
            }
            Err(error) if error.outcome_unknown() => {
                self.note(&format!("outcome unknown: {error}"))?;
                match find::by_address(&self.client, email).await? {
                    // Another than ours may have been quicker: that is for the next attempt to find out.
                    Some(found) if Some(found.id) != replaced && atoms(&found.own_policies()?) == atoms(policies) => {
                        open_invitations::shown(self.ports, &found)?;
                        found
                    }
                    _ => {
                        let message = format!("it is not known whether {email} was invited");
                        return Err(Stopped::Ended(self.not_now(message, 5)));
                    }
                }
            }
            Err(error) => return Err(refused(self.ports, self.id, before, error)),
        };
        self.note_done("invited")?;
        renewal::invited(self.ports, member.id, &atoms(policies), self.ports.now())?;
        journal::resolved(self.ports, self.id, &member.id.to_string(), email, self.what.id)?;
        if shows(&member) {
            return Ok(member);
        }
        // The answer to a write may tell less than the record itself.
        match read::member(self.ports, &self.client, member.id).await {
            Ok(member) if shows(&member) => Ok(member),
            _ => {
                let message = format!("{email} is invited, and not shown with what was asked for");
                Err(Stopped::Ended(self.not_now(message, 5)))
            }
        }
    }

    /// Removes a member, or cancels an invitation. Who asked for the latter did not ask for the former, where it was accepted meanwhile.
    pub(super) async fn remove(&self, member: &MemberRecord) -> Result<Outcome, Stopped> {
        if member.status == MemberStatus::Accepted && journal::cancels_invitation(self.ports, self.id)? {
            return Ok(renewal::not_pending(&member.email));
        }
        self.remove_who(member, None).await
    }

    /// The same, where it is certain that an edit would leave the member nothing, in the moment before.
    pub(super) async fn remove_who(
        &self,
        member: &MemberRecord,
        left_nothing: Option<&Edit>,
    ) -> Result<Outcome, Stopped> {
        let email = &member.email;
        let waits = || -> Result<Option<Outcome>, Stopped> {
            let grant = journal::grant_under_way(self.ports, self.id, member, left_nothing.is_some())?;
            Ok(grant.map(|grant| {
                self.not_now(format!("operation {}, which gives {email} something, is under way", grant.0), 30)
            }))
        };
        if let Some(not_now) = waits()? {
            return Ok(not_now);
        }
        let would = would_remove(email, member.status);
        let passage = guards::check(&self.asking(), &Planned::remove(member, &would)).await?;
        if let Some(edit) = left_nothing {
            let in_a_group = self.a_group_of(member).await?.is_some();
            let now = read::member(self.ports, &self.client, member.id).await?.own_policies()?;
            if in_a_group || edit.apply(&now).is_none_or(|left| policies::give_something(&left)) {
                let message = format!("what {email} holds was changed at this very moment");
                return Ok(self.not_now(message, 2));
            }
        }
        // One may have come while the guards were asked.
        if let Some(not_now) = waits()? {
            return Ok(not_now);
        }
        if !self.delete(&passage, member, "removing the membership").await? {
            return Ok(self.not_now(format!("Cloudflare still shows {email}"), 5));
        }
        come_back::follow(self.ports, self.id, member, Meanwhile::Ended)?;
        self.left(member, true, None).await?;
        Ok(done(
            Effect::Removed,
            match member.status {
                MemberStatus::Pending => format!("Cancelled the invitation of {email}."),
                _ => format!("Removed {email} from the account."),
            },
        ))
    }

    /// Deletes a membership, which this line says in the trail; whether it is gone.
    pub(super) async fn delete(&self, passage: &Passage, member: &MemberRecord, line: &str) -> Result<bool, Stopped> {
        let before = journal::sending(self.ports, self.id, line, self.ports.now())?;
        // Of one who holds more than can be kept, it is only noted that they were there.
        let held = member.policies_to_change().map(|held| atoms(&held)).unwrap_or_default();
        let write = Write {
            operation: self.id,
            kind: WriteKind::Removal,
            member,
            held: &held,
            planned: &BTreeSet::new(),
            loses_admin: passage.loses_admin,
            may_replace: come_back::must_go_on(self.ports, self.id)?,
            read_at: self.client.asked_at(),
            now: self.ports.now(),
        };
        let open = open_writes::begin(self.ports, &write)?;
        match self.client.remove_member(&passage.cleared, member.id).await {
            Ok(()) | Err(ApiError::NotFound(_)) => {
                open_writes::removed(self.ports, open, self.client.ray().as_deref(), self.ports.now())?;
                // Whatever becomes of the read-back, an older grant that was put off must not invite the person again.
                if self.request.action == Action::Revoke {
                    journal::took_effect(self.ports, self.id)?;
                }
                // Before it shows, which may be in another attempt: by this the write is known for this operation's.
                self.note_done("deleted")?;
            }
            // After a conflict a renewal has nothing to bring back.
            Err(error) if error.unknown_but_for_conflict() => {
                self.note(&format!("outcome unknown: {error}"))?;
            }
            Err(error) => {
                open_writes::refused(self.ports, open)?;
                return Err(refused(self.ports, self.id, before, error));
            }
        }
        let mut waits = READ_BACK_WAITS.into_iter();
        loop {
            match read::member(self.ports, &self.client, member.id).await {
                Err(ApiError::NotFound(_)) => break,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let Some(wait) = waits.next() else { return Ok(false) };
            self.ports.sleep(wait).await;
        }
        open_writes::gone(self.ports, member.id)?;
        let now = self.ports.now();
        // What is too much to be kept is not: nobody changes the policies of such a member.
        if let Ok(held) = member.policies_to_change() {
            last_writes::note(self.ports, member.id, &atoms(&held), now)?;
        }
        last_writes::note(self.ports, member.id, &atoms(&[]), now)?;
        self.note("gone")?;
        Ok(true)
    }
}
