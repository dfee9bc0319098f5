//! Renewing an invitation that expired or got stuck. Cloudflare has no call for that: the membership is removed and the person
//! invited anew, with what the invitation held (`reference/cloudflare.md` 2.6). The new membership has a new id.
//!
//! **Invariant:** what is to be invited anew is on disk before anything is removed, so whoever comes after a crash in between knows it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::journal::{self, EntryId};
use super::lock::Locks;
use super::request::{Effect, Outcome, Refusal};
use super::resolve::{self, Unresolved};
use super::{Work, done, execute, guards, policies};
use crate::cloudflare::{ApiError, MemberRecord};
use crate::conductorone::payload::Subject;
use crate::model::access::{Access, Atom, atoms};
use crate::model::grant::Principal;
use crate::model::id::{MemberId, UserGroupId};
use crate::model::resource::{MemberStatus, Row};
use crate::ports::{Clock, Http, KeyValue, Sql, SqlError};

/// What is to be invited anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) member: MemberId,
    pub(super) email: String,
    atoms: BTreeSet<Atom>,
    groups: Vec<UserGroupId>,
}

pub(super) fn init<P: Sql>(sql: &P) -> Result<(), SqlError> {
    sql.query("CREATE TABLE IF NOT EXISTS renewal (operation INTEGER PRIMARY KEY, plan TEXT NOT NULL)", &[])?;
    Ok(())
}

/// What an earlier attempt of an operation decided.
pub(super) fn plan<P: Sql>(sql: &P, operation: EntryId) -> Result<Option<Plan>, SqlError> {
    let rows = sql.query("SELECT plan FROM renewal WHERE operation = ?", &[operation.0.into()])?;
    let Some(text) = rows.first().and_then(|row| row.first()?.text()) else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|_| SqlError("the plan of a renewal cannot be read".to_owned()))
}

fn store<P: Sql>(sql: &P, operation: EntryId, plan: &Plan) -> Result<(), SqlError> {
    let text = serde_json::to_string(plan).map_err(|error| SqlError(error.to_string()))?;
    sql.query("INSERT OR REPLACE INTO renewal (operation, plan) VALUES (?, ?)", &[operation.0.into(), text.into()])?;
    Ok(())
}

/// Forgets plans of operations that are no longer in the journal.
pub(super) fn purge<P: Sql>(sql: &P) -> Result<(), SqlError> {
    sql.query("DELETE FROM renewal WHERE operation NOT IN (SELECT id FROM operation)", &[])?;
    Ok(())
}

impl<P: Http + KeyValue + Clock + Sql> Work<'_, P> {
    /// Removes a pending membership and invites the person anew.
    pub(super) async fn renew(&self, locks: &Locks, member: &MemberRecord) -> Result<Outcome, Unresolved> {
        let email = &member.email;
        if member.status != MemberStatus::Pending {
            return Ok(Outcome::refused(
                Refusal::Unsupported,
                format!("{email} has accepted the invitation, so there is nothing to renew; nothing was changed."),
            ));
        }
        guards::protected(self.config, member)?;
        let held = atoms(&member.own_policies());
        if held.iter().any(|atom| atom.access == Access::Unknown) {
            return Ok(super::unknown_policy(email));
        }
        if held.is_empty() {
            return Ok(Outcome::refused(
                Refusal::LastRole,
                format!(
                    "The invitation of {email} holds nothing, and nobody can be invited without a role; cancel it, and grant a role instead."
                ),
            ));
        }
        self.may_write(&format!("would have cancelled the invitation of {email} and invited them anew"))?;
        let groups = self.groups_of(member).await?;
        let plan = Plan { member: member.id, email: email.clone(), atoms: held, groups };
        store(self.ports, self.id, &plan)?;
        self.renew_as_planned(locks, &plan).await
    }

    /// Carries a renewal on from wherever it got to.
    pub(super) async fn renew_as_planned(&self, locks: &Locks, plan: &Plan) -> Result<Outcome, Unresolved> {
        let email = &plan.email;
        match execute::read(self.ports, &self.client, plan.member).await {
            Ok(old) if old.status == MemberStatus::Pending => {
                self.writing("cancelling the invitation")?;
                match self.client.remove_member(old.id).await {
                    Ok(()) => self.wrote()?,
                    Err(ApiError::NotFound(_)) => {}
                    Err(error) if error.outcome_unknown() => {
                        return Ok(Outcome::NotNow { message: error.to_string(), retry_at: error.retry_at() });
                    }
                    Err(error) => return Err(error.into()),
                }
                self.left(&old, true, None).await?;
            }
            // Accepted in this very moment: that is what the renewal was for.
            Ok(now) => {
                return Ok(done(Effect::AlreadyGranted, format!("{email} has accepted the invitation meanwhile."))
                    .to_account(&now));
            }
            Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let subject = Subject { emails: vec![email.clone()], ..Subject::default() };
        let found = resolve::search(&self.client, &subject).await?;
        let new = match found.filter(|found| found.id != plan.member) {
            Some(new) => new,
            None => match self.invite_anew(plan).await? {
                Ok(new) => new,
                Err(not_now) => return Ok(not_now),
            },
        };
        journal::resolved(self.ports, self.id, &new.id.to_string(), email, &self.what.id)?;
        let _turn = locks.acquire(&new.id.to_string(), || self.ports.now()).await;
        for &group in &plan.groups {
            if !self.client.is_in_group(group, new.id).await? {
                self.writing("adding to a group again")?;
                self.client.add_to_group(group, new.id).await?;
            }
            self.left(&new, false, Some((group, true))).await?;
        }
        if plan.groups.is_empty() {
            self.left(&new, false, None).await?;
        }
        Ok(done(
            Effect::Renewed,
            format!("Cancelled the invitation of {email} and invited them anew, with what it held."),
        )
        .to_account(&new))
    }

    /// Invites with what the plan has; or else what to try later.
    async fn invite_anew(&self, plan: &Plan) -> Result<Result<MemberRecord, Outcome>, Unresolved> {
        let email = &plan.email;
        self.writing("inviting anew")?;
        match self.client.invite(email, &policies::of_atoms(&plan.atoms)).await {
            Ok(new) => {
                self.wrote()?;
                Ok(Ok(new))
            }
            Err(ApiError::AlreadyExists(failure)) => Ok(Err(Outcome::NotNow {
                message: format!("{email} is a member already, and not in the list yet ({failure})"),
                retry_at: Some(self.ports.now().plus_secs(2)),
            })),
            Err(error) => Err(error.into()),
        }
    }

    /// The user groups that a member is in: those that readers know of, each asked for now.
    async fn groups_of(&self, member: &MemberRecord) -> Result<Vec<UserGroupId>, Unresolved> {
        let mut known: BTreeSet<UserGroupId> =
            crate::sync::overlay::groups_of(self.ports, member.id)?.unwrap_or_default();
        if let Some(snapshot) = &self.snapshot {
            let key = Principal::Invitation(member.id).to_string();
            let row = snapshot.get(self.ports, &key).await.map_err(|error| Unresolved::Storage(error.to_string()))?;
            known.extend(row.as_ref().and_then(Row::as_member).into_iter().flat_map(|member| member.groups.clone()));
        }
        let mut groups = Vec::new();
        for group in known {
            if self.client.is_in_group(group, member.id).await? {
                groups.push(group);
            }
        }
        Ok(groups)
    }
}
