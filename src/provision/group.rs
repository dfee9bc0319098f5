//! Membership of a user group, by the group's own member calls: each adds or takes away one member, so nothing has to be read,
//! merged and written back.

use crate::base::tree::BTreeSet;

use super::asking::Asking;
use super::guards::{self, Planned};
use super::open_writes::{self, Write, WriteKind};
use super::outcomes::not_carried_out;
use super::read::READ_BACK_WAITS;
use super::shared::UserGroups;
use super::work::{Work, done};
use super::{apart, journal, last_writes, read};
use crate::account::Stopped;
use crate::base::ports::{Clock, Http, KeyValue, Sql};
use crate::cloudflare::{ApiError, Failure, MemberRecord, ray_told};
use crate::model::ask::Action;
use crate::model::id::{MemberId, UserGroupId};
use crate::model::operation::{Effect, Outcome, Refusal};

impl<P: Http + KeyValue + Clock + Sql> Work<'_, P> {
    /// Puts a member into a user group, or takes the member out.
    pub(super) async fn change_group(&self, member: &MemberRecord, group: UserGroupId) -> Result<Outcome, Stopped> {
        let (name, email) = (&self.what.name, &member.email);
        let wanted = self.request.action == Action::Grant;
        let Some(is_in) = self.is_in(group, member.id).await? else {
            return Ok(self.not_now(format!("Cloudflare does not know the members of the group {name} yet"), 5));
        };
        let asking = self.asking();
        if is_in == wanted {
            open_writes::shown_in(self.ports, group, member.id, is_in)?;
            open_writes::settled_in(self.ports, group, member.id, is_in)?;
        } else if !put(&asking, group, name, member, wanted).await? {
            return Ok(self.not_now(format!("Cloudflare does not show the change of the group {name} yet"), 5));
        }
        self.left_as_read(member, Some((group, wanted))).await?;
        // Also by an earlier attempt that was cut off before it could say so.
        let ours = journal::has_written(self.ports, self.id)?;
        Ok(match self.request.action {
            Action::Grant if ours => done(Effect::Granted, format!("Put {email} into the group {name}.")),
            Action::Revoke if ours => done(Effect::Revoked, format!("Taken {email} out of the group {name}.")),
            Action::Grant => {
                done(Effect::AlreadyGranted, format!("{email} is in the group {name} already; nothing was changed."))
            }
            Action::Revoke => {
                done(Effect::AlreadyRevoked, format!("{email} is not in the group {name}; nothing was changed."))
            }
        })
    }

    /// Whether a member is in a group; `None` where the group is too new for Cloudflare to know its members
    /// (`reference/cloudflare.md` 2.7).
    async fn is_in(&self, group: UserGroupId, member: MemberId) -> Result<Option<bool>, Stopped> {
        let is_in = match read::shows_in_group(self.ports, &self.client, (group, &self.what.name), member).await {
            // That there is no such path proves nothing of a group that is known; the list of them says what to do where there are none any more.
            Err(Stopped::Api(error)) if error.is_no_path() => {
                apart::user_groups(&self.asking()).await?;
                return Err(error.into());
            }
            is_in => is_in?,
        };
        if is_in || self.request.action == Action::Grant {
            return Ok(Some(is_in));
        }
        Ok(is_proof(&self.asking(), group).await?.then_some(false))
    }

    /// Adds a member to a group, which the guards let pass; whether that shows.
    pub(super) async fn join(
        &self,
        passage: &guards::Passage,
        group: UserGroupId,
        name: &str,
        member: &MemberRecord,
    ) -> Result<bool, Stopped> {
        send(&self.asking(), passage, group, name, member, true).await
    }
}

/// What it would have done while provisioning is off.
pub(super) fn would_put(email: &str, name: &str, is_in: bool) -> String {
    if is_in {
        format!("would have put {email} into the group {name}")
    } else {
        format!("would have taken {email} out of the group {name}")
    }
}

/// Puts a member into a group, or takes the member out, where the guards let it pass; whether that shows.
pub(super) async fn put<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    group: UserGroupId,
    name: &str,
    member: &MemberRecord,
    is_in: bool,
) -> Result<bool, Stopped> {
    let would = would_put(&member.email, name, is_in);
    let passage = guards::check(asking, &Planned::membership(member, group, is_in, &would)).await?;
    send(asking, &passage, group, name, member, is_in).await
}

/// Whether it proves anything that somebody is not found in a group: nobody is, as long as Cloudflare does not know the members of a new one, and
/// in one that cannot be found. That one is gone where the list of groups does not have it either.
async fn is_proof<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    group: UserGroupId,
) -> Result<bool, Stopped> {
    match read::members_are_known(asking.client, group).await? {
        Some(is_known) => Ok(is_known),
        None => is_gone(asking, group).await,
    }
}

/// Whether a user group that is not found is gone: that is for the list of them to say.
async fn is_gone<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    group: UserGroupId,
) -> Result<bool, Stopped> {
    match &*apart::user_groups(asking).await? {
        UserGroups::Listed(listed) => Ok(listed.iter().all(|known| known.id != group)),
        UserGroups::Absent => Ok(true),
        UserGroups::Hidden(error) => Err(error.clone().into()),
    }
}

fn note<P: Clock + Sql>(asking: &Asking<'_, '_, P>, line: &str) -> Result<(), Stopped> {
    Ok(journal::note(asking.ports, asking.operation, journal::State::Writing, line, asking.ports.now())?)
}

fn begin<P: Http + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    kind: WriteKind,
    member: &MemberRecord,
    loses_admin: bool,
) -> Result<i64, Stopped> {
    let none = BTreeSet::new();
    let write = Write {
        operation: asking.operation,
        kind,
        member,
        held: &none,
        planned: &none,
        loses_admin,
        may_replace: false,
        read_at: asking.client.asked_at(),
        now: asking.ports.now(),
    };
    Ok(open_writes::begin(asking.ports, &write)?)
}

/// Sends the change that the guards let pass, and reads until it shows; whether it does.
async fn send<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    passage: &guards::Passage,
    group: UserGroupId,
    name: &str,
    member: &MemberRecord,
    joins: bool,
) -> Result<bool, Stopped> {
    let client = asking.client;
    let (kind, doing, did) = if joins {
        (WriteKind::Join(group), "adding to the group", "added to the group")
    } else {
        (WriteKind::Leave(group), "taking out of the group", "taken out of the group")
    };
    let (ports, id) = (asking.ports, member.id);
    // It was so a moment before: a read that is behind shows what is asked for, also where it is not.
    let was_so = last_writes::was_in_group(ports, group, id, joins, ports.now())?;
    let not_made = || if was_so { Ok(()) } else { last_writes::forget_group(ports, group, id, joins) };
    let mut waits = READ_BACK_WAITS.into_iter();
    let (open, is_answered) = loop {
        let before = journal::sending(ports, asking.operation, &format!("{doing} {name}"), ports.now())?;
        // Before it is sent: from then on a read may be behind it, whoever makes that, and also where this is cut off.
        if !was_so {
            last_writes::note_group(ports, group, id, joins, ports.now())?;
        }
        let open = begin(asking, kind, member, passage.loses_admin)?;
        let refused = || {
            open_writes::refused(ports, open)?;
            journal::not_written(ports, asking.operation, before)?;
            not_made()
        };
        let answer = if joins {
            client.add_to_group(&passage.cleared, group, member.id).await
        } else {
            client.remove_from_group(&passage.cleared, group, member.id).await
        };
        match answer {
            Ok(()) => break (open, true),
            Err(ApiError::AlreadyExists(_)) if joins => break (open, true),
            // Who is not found in a group whose members Cloudflare does not know yet may be in it.
            Err(ApiError::NotFound(_)) if !joins => {
                if is_proof(asking, group).await? {
                    break (open, true);
                }
                refused()?;
                return Ok(false);
            }
            // A conflict may be told in the words of a refusal.
            Err(error) if error.unknown_but_for_conflict() => {
                note(asking, &format!("outcome unknown: {error}"))?;
                break (open, false);
            }
            // Shortly after its creation a group is there, and its members are not.
            Err(ApiError::NotFound(failure)) => {
                refused()?;
                let found = client.user_group(group).await;
                if found.as_ref().is_err_and(ApiError::is_nowhere) {
                    if is_gone(asking, group).await? {
                        return Err(no_such_group(name, &failure));
                    }
                } else {
                    found?;
                }
                let Some(wait) = waits.next() else { return Ok(false) };
                asking.ports.sleep(wait).await;
            }
            Err(error) => {
                refused()?;
                return Err(refusal(error, name, &member.email));
            }
        }
    };
    let ray = ray_told(client.ray().as_deref());
    note(asking, &format!("{did}{ray}"))?;
    if is_answered {
        // It was carried out by now, whenever that shows.
        open_writes::checked(ports, open, None)?;
        last_writes::note_group(ports, group, id, joins, ports.now())?;
    } else if was_so {
        return Ok(false);
    }
    if !shows(asking, group, id, joins).await? || !(joins || is_answered || is_proof(asking, group).await?) {
        // Where nobody said that it was carried out, it is sent once more, from what is there.
        if !is_answered {
            not_made()?;
        }
        return Ok(false);
    }
    open_writes::shown_in(ports, group, id, joins)?;
    open_writes::settled_in(ports, group, id, joins)?;
    note(asking, "read back")?;
    Ok(true)
}

/// Reads until a change of a group shows.
async fn shows<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    group: UserGroupId,
    member: MemberId,
    wanted: bool,
) -> Result<bool, Stopped> {
    let ports = asking.ports;
    let mut waits = READ_BACK_WAITS.into_iter();
    loop {
        if asking.client.is_in_group(group, member).await? == wanted {
            last_writes::note_group(ports, group, member, wanted, ports.now())?;
            return Ok(true);
        }
        let Some(wait) = waits.next() else { return Ok(false) };
        ports.sleep(wait).await;
    }
}

fn no_such_group(name: &str, failure: &Failure) -> Stopped {
    Stopped::refused(
        Refusal::UnknownEntitlement,
        format!(
            "Cloudflare has no user group {name} any more ({failure}); sync this connector, so that it is not offered."
        ),
    )
}

/// What Cloudflare's refusal of a group's change means. Its words are the only sign there is (`reference/cloudflare.md` 2.6).
fn refusal(error: ApiError, name: &str, email: &str) -> Stopped {
    let said = match &error {
        ApiError::Invalid(failure) | ApiError::Forbidden(failure) | ApiError::Server(failure) => {
            failure.message.to_ascii_lowercase()
        }
        _ => return not_carried_out(error),
    };
    if said.contains("dsr enabled") {
        return Stopped::refused(
            Refusal::NotEligible,
            format!(
                "{email} cannot be in a user group, since Cloudflare has not enabled domain-scoped roles for them ({error}); give the roles of the group {name} one by one."
            ),
        );
    }
    if said.contains("scim") || said.contains("identity provider") {
        return Stopped::refused(
            Refusal::ManagedElsewhere,
            format!(
                "The members of the user group {name} are managed by an identity provider through SCIM ({error}); change the group there."
            ),
        );
    }
    not_carried_out(error)
}
