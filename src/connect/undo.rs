//! Puts back what was there before the first change: each entitlement, and then the webhook, where this connector created it.

use super::entitlements::{self, PoliciesBefore};
use super::journal;
use super::plan::{Back, put_back};
use super::run::{NamedApp, Phase, Ports, What};
use super::steps::{Step, Trouble};
use crate::conductorone::api::ApiError;

impl<P: Ports> Step<'_, '_, P> {
    /// Puts the next entitlement back.
    pub(super) async fn undo(&mut self, after: (String, String)) -> Result<(), Trouble> {
        let saved = match entitlements::next_saved(self.ports, &after)? {
            Some(Ok(saved)) => saved,
            Some(Err((app, entitlement))) => {
                let name = entitlement.clone();
                return self.not_restored((app, entitlement), &name, "this version cannot read what it was before");
            }
            None => return self.undone(),
        };
        let ours = journal::connection(self.ports)?.ours();
        self.run.phase = Phase::Undo { after };
        let now = match self.client.entitlement(&saved.app, &saved.entitlement).await {
            Ok(now) => now,
            Err(error @ ApiError::NotFound { .. }) => {
                return match self.client.app(&saved.app).await {
                    Ok(_) => {
                        entitlements::forget_saved(self.ports, &saved)?;
                        self.say_of(&saved, What::Left, "is not there any more")
                    }
                    // Of an app that is not to be seen nothing is said: the tenant may be another one, or the API key may see less than it did.
                    Err(ApiError::NotFound { .. } | ApiError::Forbidden { .. }) => {
                        let why = format!(
                            "{error}, and its app is not to be seen either; that takes the ConductorOne tenant and an API key as when this was connected"
                        );
                        self.not_restored((saved.app, saved.entitlement), &saved.name, &why)
                    }
                    Err(error) => Err(error.into()),
                };
            }
            Err(error) => return Err(error.into()),
        };
        let of = |current, before: &Option<_>| before.as_ref().map(|before| put_back(current, before, &ours));
        let sides = (of(&now.provisioner, &saved.provisioner), of(&now.deprovisioner, &saved.deprovisioner));
        let restore = |side, before| (side == Some(Back::Restore)).then_some(before).flatten();
        let provisioner = restore(sides.0, saved.provisioner.as_ref());
        let deprovisioner = restore(sides.1, saved.deprovisioner.as_ref());
        if provisioner.is_some() || deprovisioner.is_some() {
            match self.client.set_policies(&saved.app, &saved.entitlement, provisioner, deprovisioner).await {
                Ok(after)
                    if provisioner.is_none_or(|before| *before == after.provisioner)
                        && deprovisioner.is_none_or(|before| *before == after.deprovisioner) => {}
                Ok(_) => {
                    let why = "ConductorOne took the change and shows something else";
                    return self.not_restored((saved.app, saved.entitlement), &saved.name, why);
                }
                Err(error @ (ApiError::NotFound { .. } | ApiError::Refused { .. })) => {
                    return self.not_restored((saved.app, saved.entitlement), &saved.name, &error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
        entitlements::forget_saved(self.ports, &saved)?;
        if sides.0 == Some(Back::Changed) || sides.1 == Some(Back::Changed) {
            return self.say_of(
                &saved,
                What::Left,
                "was changed by somebody since, and what they changed was left alone",
            );
        }
        self.say_of(&saved, What::Restored, "is as it was before")
    }

    fn say_of(&mut self, saved: &PoliciesBefore, what: What, text: &str) -> Result<(), Trouble> {
        let counts = &mut self.run.counts;
        counts.total += 1;
        if what == What::Restored {
            counts.restored += 1;
        } else {
            counts.left += 1;
        }
        self.say(what, Some(&saved.entitlement), format!("{:?} {text}.", saved.name))?;
        Ok(())
    }

    fn not_restored(&mut self, ids: (String, String), name: &str, why: &str) -> Result<(), Trouble> {
        self.run.counts.total += 1;
        self.run.counts.failed += 1;
        self.say(What::Failed, Some(&ids.1), format!("{name:?} was not put back: {why}."))?;
        self.run.phase = Phase::Undo { after: ids };
        Ok(())
    }

    fn undone(&mut self) -> Result<(), Trouble> {
        let connection = journal::connection(self.ports)?;
        self.run.app.clone_from(&connection.app);
        self.run.webhook.clone_from(&connection.webhook);
        let left = entitlements::count_saved(self.ports)?;
        if left > 0 {
            self.end(format!(
                "{left} entitlements could not be put back, so the webhook stays; run it again when what stands in the way is gone."
            ));
            return Ok(());
        }
        let created = connection.created_ones();
        match connection.webhook {
            None if self.run.counts.total == 0 && created.is_empty() => {
                // The app that was settled on is connected no more.
                journal::disconnect(self.ports)?;
                self.end("There was nothing to put back.".to_owned());
                return Ok(());
            }
            Some(id) if !created.contains(&id) => {
                self.say(What::Left, None, format!("The webhook {id} was there before, and stays."))?;
            }
            _ => {}
        }
        journal::connect(self.ports, &mut |connection| connection.made.clone_from(&created))?;
        self.next_webhook()
    }

    /// Goes on with the next webhook that this connector created.
    fn next_webhook(&mut self) -> Result<(), Trouble> {
        let Some(id) = journal::connection(self.ports)?.made.into_iter().next() else { return self.disconnected() };
        self.run.webhook = Some(id);
        self.run.phase = Phase::Used { page: None };
        self.left_where_it_serves()?;
        Ok(())
    }

    /// Leaves the webhook where anything else came by it: it is not this connector's alone to take away. Whether it did.
    fn left_where_it_serves(&mut self) -> Result<bool, Trouble> {
        let Some(what) = journal::connection(self.ports)?.serves else { return Ok(false) };
        let id = self.run.webhook.clone().unwrap_or_default();
        self.left(None, format!("The webhook {id} stays: {what} came by it, which somebody set up in ConductorOne."))?;
        Ok(true)
    }

    /// This one is dealt with.
    fn settled(&mut self) -> Result<(), Trouble> {
        let settled = self.run.webhook.clone();
        journal::connect(self.ports, &mut |connection| {
            connection.made.retain(|id| Some(id) != settled.as_ref());
            if connection.webhook == settled {
                (connection.webhook, connection.created) = (None, false);
            }
        })?;
        self.next_webhook()
    }

    /// A webhook that somebody else points entitlements at by now, be it another app's, is theirs too.
    pub(super) async fn used(&mut self, mut left: Vec<NamedApp>, page: Option<String>) -> Result<(), Trouble> {
        let Some(app) = left.pop() else {
            self.run.phase = Phase::Delete;
            return Ok(());
        };
        let webhook = self.run.webhook.clone().unwrap_or_default();
        let found = match self.client.entitlements_page(&app.id, page.as_deref()).await {
            Ok(found) => found,
            Err(ApiError::NotFound { .. } | ApiError::Forbidden { .. }) => {
                let text = format!("The webhook stays, since the API key may not see whether {:?} uses it.", app.name);
                return self.left(None, text);
            }
            Err(error) => return Err(error.into()),
        };
        // Wherever in a policy it is named: it may be one step of several.
        let leads_there = found.items.iter().find(|entitlement| {
            [&entitlement.provisioner, &entitlement.deprovisioner]
                .iter()
                .any(|policy| policy.value().to_string().contains(&webhook))
        });
        if let Some(entitlement) = leads_there {
            let name = entitlement.named.display_name.as_deref().unwrap_or_default();
            let text = format!("The webhook stays, since {name:?} was pointed at it by somebody else.");
            return self.left(Some(&entitlement.id), text);
        }
        let next = found.next.filter(|next| Some(next) != page.as_ref());
        if next.is_some() {
            left.push(app);
        }
        self.run.phase = Phase::examine(left, next, None);
        Ok(())
    }

    /// Deletes the webhook that this connector created.
    pub(super) async fn delete(&mut self) -> Result<(), Trouble> {
        // Approvals or automations may have begun to come since it was looked whether anything leads to it.
        if self.left_where_it_serves()? {
            return Ok(());
        }
        let id = self.run.webhook.clone().unwrap_or_default();
        match self.client.delete_webhook(&id).await {
            Ok(()) | Err(ApiError::NotFound { .. }) => {
                self.say(What::Restored, None, format!("The webhook {id}, which this connector created, is deleted."))?;
            }
            // Refused or not reached: it stays noted as one that this connector created, and the next undo tries it again, after the others.
            Err(error) => {
                journal::connect(self.ports, &mut |connection| {
                    connection.made.retain(|known| *known != id);
                    connection.made.push(id.clone());
                })?;
                return Err(error.into());
            }
        }
        self.settled()
    }

    /// Leaves the webhook, for a reason.
    fn left(&mut self, entitlement: Option<&str>, why: String) -> Result<(), Trouble> {
        self.say(What::Left, entitlement, why)?;
        self.settled()
    }

    fn disconnected(&mut self) -> Result<(), Trouble> {
        journal::disconnect(self.ports)?;
        let counts = self.run.counts;
        self.end(format!(
            "Disconnected: {} entitlements are as they were before, {} left alone.",
            counts.restored, counts.left
        ));
        Ok(())
    }
}
