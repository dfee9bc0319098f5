//! Finds or creates the webhook, and sees that C1 reaches this Worker through it.

use super::journal;
use super::run::{Phase, Ports, What};
use super::steps::{Step, Trouble};
use crate::base::order;
use crate::base::time::Timestamp;
use crate::conductorone::verify;

/// The webhook's name in C1.
const WEBHOOK_NAME: &str = "Cloudflare connector";

/// C1 tries an attempt that failed again after 3 to 15 s: time for two of them.
const TEST_SECS: i64 = 30;

/// Without an address there is nothing to tell C1.
const NOWHERE: &str =
    "Where this Worker is reached is not known: sign in over https with CONNECTOR_TOKEN, or set PUBLIC_URL.";

/// How long until the arrival is looked for again.
const LOOK_MILLIS: i64 = 250;

impl<P: Ports> Step<'_, '_, P> {
    fn webhook_url(&self) -> Result<String, Trouble> {
        let reached = self.settings.public_url.as_ref().ok_or_else(|| Trouble::Stop(NOWHERE.to_owned()))?;
        Ok(format!("{}{}", reached.base, verify::PATH))
    }

    /// Looks for the webhook that leads here.
    pub(super) async fn webhook(&mut self, page: Option<String>) -> Result<(), Trouble> {
        let url = self.webhook_url()?;
        let found = self.client.webhooks_page(page.as_deref()).await?;
        let connection = journal::connection(self.ports)?;
        let mut matching: Vec<_> = found.items.into_iter().filter(|webhook| webhook.url == url).collect();
        // The one that is known, should there be several.
        order::sort_by_key(&mut matching, |webhook| connection.webhook.as_ref() != Some(&webhook.id));
        if let Some(webhook) = matching.into_iter().next() {
            // By its name as well: somebody may have made one for the same address since.
            let created = connection.creating.as_ref() == Some(&url) && webhook.display_name == WEBHOOK_NAME;
            return self.settle_webhook(&webhook.id, &url, created);
        }
        self.run.phase = match found.next {
            Some(next) if Some(&next) != page.as_ref() => Phase::Webhook { page: Some(next) },
            _ if self.is_dry() => {
                self.say(What::WouldChange, None, format!("A webhook that leads to {url} would be created."))?;
                Phase::Apply { after: 0, pending: None }
            }
            _ => Phase::Create,
        };
        Ok(())
    }

    /// Creates it.
    pub(super) async fn create(&mut self) -> Result<(), Trouble> {
        let url = self.webhook_url()?;
        // Where there is no token nothing is asked for, and there is nothing to note.
        self.client.token().await?;
        // On disk before it is sent: should nobody note its id, it is known for ours all the same.
        journal::connect(self.ports, &mut |connection| connection.creating = Some(url.clone()))?;
        // Whether it was created is not known should this fail or be cut off: then it is looked for first.
        self.run.phase = Phase::Webhook { page: None };
        journal::store(self.ports, self.run)?;
        let description = "Grants and revokes access in Cloudflare. Created by c1-cloudflare.";
        match self.client.create_webhook(WEBHOOK_NAME, &url, description).await {
            Ok(webhook) => self.settle_webhook(&webhook.id, &url, true),
            Err(error) => {
                // Nothing was created, so one that leads there later is somebody else's.
                if error.is_refusal() {
                    journal::connect(self.ports, &mut |connection| connection.creating = None)?;
                }
                Err(error.into())
            }
        }
    }

    fn settle_webhook(&mut self, id: &str, url: &str, just_now: bool) -> Result<(), Trouble> {
        let (what, how) = if just_now { (What::Changed, "was created") } else { (What::Found, "is there") };
        self.say(what, None, format!("The webhook {id}, which leads to {url}, {how}."))?;
        self.run.webhook = Some(id.to_owned());
        if self.is_dry() {
            self.run.phase = Phase::Apply { after: 0, pending: None };
            return Ok(());
        }
        journal::connect(self.ports, &mut |connection| {
            connection.made = connection.created_ones();
            if just_now && !connection.made.iter().any(|known| known == id) {
                connection.made.push(id.to_owned());
            }
            let before = connection.webhook.replace(id.to_owned()).filter(|before| before != id);
            connection.former.extend(before);
            connection.former.retain(|former| former != id);
            (connection.created, connection.creating) = (connection.made.iter().any(|known| known == id), None);
        })?;
        self.run.phase = Phase::Verify { since: None };
        Ok(())
    }

    /// Lets C1 send its test event, and sees whether it has arrived.
    pub(super) async fn verify(&mut self, since: Option<Timestamp>) -> Result<(), Trouble> {
        let Some(since) = since else {
            // Taken before it is sent: the event may be here before C1's answer is.
            let now = self.ports.now();
            self.client.test_webhook(&self.run.webhook.clone().unwrap_or_default()).await?;
            self.run.phase = Phase::Verify { since: Some(now) };
            return Ok(());
        };
        let now = self.ports.now();
        if let Some(at) = journal::arrival(self.ports)?.filter(|at| *at >= since) {
            // From now on the app's tasks are taken, and not before it is certain that they come here.
            journal::connect(self.ports, &mut |connection| {
                connection.verified_at = Some(at);
                connection.settle(self.run.app.clone());
            })?;
            self.say(What::Found, None, "ConductorOne's test event arrived: it reaches this Worker.".to_owned())?;
            self.run.phase = Phase::Apply { after: 0, pending: None };
            return Ok(());
        }
        if now.since(since) > TEST_SECS * 1000 {
            return Err(Trouble::Stop(format!(
                "ConductorOne's test event to {} did not arrive within {TEST_SECS} s, so no entitlement was changed. PUBLIC_URL must be the address at which this Worker is reached, and C1_TENANT the tenant's host; ConductorOne shows what it got under Integrations > Webhooks, and the Worker's log has what was rejected.",
                self.webhook_url()?
            )));
        }
        self.run.due_at = now.plus_millis(LOOK_MILLIS);
        Ok(())
    }
}
