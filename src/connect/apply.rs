//! Changes what is to be changed, one entitlement after the other.

use super::entitlements::{self, ListedEntitlement, PoliciesBefore};
use super::journal;
use super::plan::{self, Decision};
use super::run::{AUTO_WIRE, Phase, Ports, What};
use super::steps::{Step, Trouble};
use crate::base::ports::SqlError;
use crate::base::remedy::CONNECT;
use crate::conductorone::api::ApiError;
use crate::conductorone::apps::Policy;

/// At most this many entitlements that need no request are passed over at once.
const BATCH: i64 = 200;

impl<P: Ports> Step<'_, '_, P> {
    /// Passes over entitlements that stay, or changes the next one that does not.
    pub(super) async fn apply(&mut self, after: i64, pending: Option<String>) -> Result<(), Trouble> {
        let connection = journal::connection(self.ports)?;
        let batch = entitlements::listed(self.ports, &self.app_id()?, connection.connected_at, after, BATCH)?;
        let ends = i64::try_from(batch.len()).unwrap_or(BATCH) < BATCH;
        let webhook = self.run.webhook.clone().unwrap_or_default();
        let overwrite = self.run.options.overwrite;
        let mut passed = false;
        for listed in batch {
            let n = listed.n;
            // Whoever asks for a run has everything lead here; what begins one by itself undoes nothing that somebody did since.
            let settled = listed.settled && self.run.by == AUTO_WIRE;
            let decide = |provisioner: &Policy, deprovisioner: &Policy| {
                plan::decide(provisioner, deprovisioner, &webhook, &connection.former, overwrite, settled)
            };
            let decision = (!listed.own.is_empty()).then(|| decide(&listed.provisioner, &listed.deprovisioner));
            let is_pending = pending.as_ref() == Some(&listed.id);
            match decision {
                // What was said of those before is on disk first: else it would be said again after a cut.
                Some(Decision::Change { .. }) if passed && !self.is_dry() => return Ok(()),
                Some(Decision::Change { provisioner, deprovisioner }) if !self.is_dry() => {
                    return self.change(listed, &webhook, is_pending, (provisioner, deprovisioner), decide).await;
                }
                decision => self.count(&listed, decision)?,
            }
            self.run.phase = Phase::Apply { after: n, pending: None };
            passed = true;
        }
        if ends { self.finish() } else { Ok(()) }
    }

    /// Counts an entitlement that is not changed, and says why where somebody may want to know.
    fn count(&mut self, listed: &ListedEntitlement, decision: Option<Decision>) -> Result<(), SqlError> {
        let counts = &mut self.run.counts;
        counts.total += 1;
        let (what, text) = match decision {
            None => {
                counts.others += 1;
                return Ok(());
            }
            Some(Decision::Already) => {
                counts.already += 1;
                return Ok(());
            }
            Some(Decision::Custom(why)) => {
                counts.custom += 1;
                (
                    What::Left,
                    format!("{:?} was left alone, since {why}; overwriting replaces it (OVERWRITE=1).", listed.name),
                )
            }
            Some(Decision::ChangedSince) => {
                counts.custom += 1;
                (
                    What::Left,
                    format!(
                        "{:?} was left alone, since somebody changed it in ConductorOne after an earlier run; to have it lead here, {CONNECT}.",
                        listed.name
                    ),
                )
            }
            Some(Decision::Change { provisioner, deprovisioner }) => {
                counts.changed += 1;
                (What::WouldChange, change_text(listed, (provisioner, deprovisioner), "would be"))
            }
        };
        self.say(what, Some(&listed.id), text)
    }

    /// Changes one entitlement. That it is `pending` means that it was sent before and nobody heard what became of it.
    async fn change(
        &mut self,
        listed: ListedEntitlement,
        webhook: &str,
        pending: bool,
        planned: (bool, bool),
        decide: impl Fn(&Policy, &Policy) -> Decision,
    ) -> Result<(), Trouble> {
        let app = self.app_id()?;
        let next = Phase::Apply { after: listed.n, pending: None };
        // The list may be minutes old, and what is put back one day is what was there now.
        let now = match self.client.entitlement(&app, &listed.id).await {
            Ok(now) => now,
            Err(error @ ApiError::NotFound { .. }) => return self.not_changed(&listed, &error, next),
            Err(error) => return Err(error.into()),
        };
        let fresh =
            ListedEntitlement { provisioner: now.provisioner, deprovisioner: now.deprovisioner, ..listed.clone() };
        let sides = match decide(&fresh.provisioner, &fresh.deprovisioner) {
            Decision::Change { provisioner, deprovisioner } => (provisioner, deprovisioner),
            Decision::Already if pending => return self.changed(&listed, planned, next),
            other => {
                self.count(&fresh, Some(other))?;
                self.run.phase = next;
                return Ok(());
            }
        };
        let saved = PoliciesBefore {
            app: app.clone(),
            entitlement: fresh.id.clone(),
            name: fresh.name.clone(),
            provisioner: sides.0.then(|| fresh.provisioner.clone()),
            deprovisioner: sides.1.then(|| fresh.deprovisioner.clone()),
        };
        entitlements::save(self.ports, &saved, self.ports.now())?;
        self.run.phase = Phase::Apply { after: listed.n - 1, pending: Some(fresh.id.clone()) };
        journal::store(self.ports, self.run)?;
        let policy = Policy::webhook(webhook);
        let (provisioner, deprovisioner) = (sides.0.then_some(&policy), sides.1.then_some(&policy));
        match self.client.set_policies(&app, &fresh.id, provisioner, deprovisioner).await {
            Ok(after) if decide(&after.provisioner, &after.deprovisioner) == Decision::Already => {
                self.changed(&fresh, sides, next)
            }
            Ok(_) => {
                let text = format!("{:?}: ConductorOne took the change and shows something else.", fresh.name);
                self.failed(&fresh, text, next)
            }
            Err(error @ (ApiError::NotFound { .. } | ApiError::Refused { .. })) => {
                self.not_changed(&fresh, &error, next)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn changed(&mut self, before: &ListedEntitlement, sides: (bool, bool), next: Phase) -> Result<(), Trouble> {
        self.run.counts.total += 1;
        self.run.counts.changed += 1;
        self.say(What::Changed, Some(&before.id), change_text(before, sides, "is now"))?;
        self.run.phase = next;
        Ok(())
    }

    fn not_changed(&mut self, listed: &ListedEntitlement, error: &ApiError, next: Phase) -> Result<(), Trouble> {
        let text = format!("{:?} was not changed: {error}.", listed.name);
        self.failed(listed, text, next)
    }

    fn failed(&mut self, listed: &ListedEntitlement, text: String, next: Phase) -> Result<(), Trouble> {
        self.run.counts.total += 1;
        self.run.counts.failed += 1;
        self.say(What::Failed, Some(&listed.id), text)?;
        self.run.phase = next;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Trouble> {
        let counts = self.run.counts;
        let now = self.ports.now();
        let wired = counts.already + counts.changed;
        let mut message = format!(
            "{}: {} entitlements {}, {} led here already, {} left alone, {} none of Cloudflare's, {} failed.",
            if self.is_dry() { "Nothing was changed" } else { "Connected" },
            counts.changed,
            if self.is_dry() { "would be changed" } else { "changed" },
            counts.already,
            counts.custom,
            counts.others,
            counts.failed
        );
        if !self.is_dry() {
            entitlements::settle(self.ports, self.run.id)?;
            journal::connect(self.ports, &mut |connection| {
                connection.wired = wired;
                connection.connected_at = Some(now);
            })?;
        }
        if counts.failed > 0 {
            message.push_str(" Run it again to try those once more.");
        }
        self.end(message);
        Ok(())
    }
}

fn change_text(before: &ListedEntitlement, sides: (bool, bool), will: &str) -> String {
    let side = |name: &str, policy: &Policy| format!("{name} was {} and {will} this webhook", plan::describe(policy));
    let sides = [
        sides.0.then(|| side("provisioning", &before.provisioner)),
        sides.1.then(|| side("deprovisioning", &before.deprovisioner)),
    ];
    let sides: Vec<String> = sides.into_iter().flatten().collect();
    format!("{:?}: {}.", before.name, sides.join("; "))
}
