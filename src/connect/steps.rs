//! What a run does, unit by unit: find the app, list its entitlements, find or create the webhook, see that C1 reaches this
//! Worker, and change what is to be changed. Putting back is in [`undo`](super::undo).

use serde::{Deserialize, Serialize};

use super::catalogue::Catalogue;
use super::journal::{self, ACCESS, Listed, Run, Saved};
use super::plan::{self, Decision};
use super::report::{Named, RunState, What};
use super::{Mode, World};
use crate::conductorone::api::{ApiError, Client};
use crate::conductorone::apps::{App, AppEntitlement, Policy};
use crate::conductorone::verify;
use crate::config::Config;
use crate::ports::SqlError;
use crate::sync::snapshot::SnapshotError;
use crate::time::Timestamp;

/// What comes next in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Read the app that was named, or that was found before.
    App,
    /// List apps.
    Apps { page: Option<String>, apps: Vec<Named> },
    /// Look for this account's ids in each.
    Examine { left: Vec<Named>, found: Vec<Named> },
    /// List the app's entitlements.
    List { page: Option<String> },
    /// Look for the webhook.
    Webhook { page: Option<String> },
    /// Create it.
    Create,
    /// Let C1 send the test event, and wait for it since a time.
    Verify { since: Option<Timestamp> },
    /// Change entitlements; of the one that is `pending` it is not known whether it was changed.
    Apply { after: i64, pending: Option<String> },
    /// Put entitlements back.
    Undo { after: (String, String) },
    /// See whether anything else leads to the webhook.
    Used { page: Option<String> },
    /// Delete the webhook.
    Delete,
}

/// Why a unit did not work out.
pub(super) enum Trouble {
    /// C1 did not do it.
    Api(ApiError),
    /// The Coordinator's own storage failed.
    Sql(SqlError),
    /// It cannot go on; a sentence that says what to do.
    Stop(String),
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<SqlError> for Trouble {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl From<SnapshotError> for Trouble {
    fn from(error: SnapshotError) -> Self {
        Self::Stop(format!("The snapshot cannot be read ({error}); try again, and see GET /v1/status."))
    }
}

/// One unit of a run.
pub(super) struct Step<'a, 'b, P> {
    pub(super) ports: &'a P,
    pub(super) config: &'a Config,
    pub(super) client: Client<'a, P>,
    pub(super) catalogue: &'b mut Catalogue,
    pub(super) run: &'b mut Run,
}

/// The webhook's name in C1.
const WEBHOOK_NAME: &str = "Cloudflare connector";

/// A tenant with more apps is asked to say which one it is, rather than have each looked into.
const MAX_APPS: usize = 1_000;

/// C1 tries an attempt that failed again after 3 to 15 s: time for two of them.
const TEST_SECS: i64 = 30;

/// How long until the arrival is looked for again.
const LOOK_MILLIS: i64 = 250;

/// So many entitlements that need no request are passed over at once.
const BATCH: i64 = 200;

impl<P: World> Step<'_, '_, P> {
    /// Does one unit of work.
    pub(super) async fn advance(&mut self) -> Result<(), Trouble> {
        self.run.message = None;
        match self.run.phase.clone() {
            Phase::App => self.app().await,
            Phase::Apps { page, apps } => self.apps(page, apps).await,
            Phase::Examine { left, found } => self.examine(left, found).await,
            Phase::List { page } => self.list(page).await,
            Phase::Webhook { page } => self.webhook(page).await,
            Phase::Create => self.create().await,
            Phase::Verify { since } => self.verify(since).await,
            Phase::Apply { after, pending } => self.apply(after, pending).await,
            Phase::Undo { after } => self.undo(after).await,
            Phase::Used { page } => self.used(page).await,
            Phase::Delete => self.delete().await,
        }
    }

    pub(super) fn say(&self, what: What, entitlement: Option<&str>, text: String) -> Result<(), SqlError> {
        journal::say(self.ports, self.run, what, entitlement, text)
    }

    /// What was said last on changes is "would" in a dry run.
    fn is_dry(&self) -> bool {
        self.run.options.mode() == Mode::DryRun
    }

    async fn app(&mut self) -> Result<(), Trouble> {
        let named = self.run.options.app_id.clone().or_else(|| self.config.c1_app_id.clone());
        let before = journal::connection(self.ports)?.app.map(|app| app.id);
        let Some(id) = named.clone().or(before) else { return self.look_for_app() };
        match self.client.app(&id).await {
            Ok(app) => self.settle_app(Named { id: app.id, name: app.display_name }),
            Err(ApiError::NotFound { .. }) if named.is_some() => Err(Trouble::Stop(format!(
                "There is no app {id} in ConductorOne, or the API key may not see it; take the id from the address bar when you look at the app."
            ))),
            Err(ApiError::NotFound { .. }) => self.look_for_app(),
            Err(error) => Err(error.into()),
        }
    }

    fn look_for_app(&mut self) -> Result<(), Trouble> {
        self.run.phase = Phase::Apps { page: None, apps: Vec::new() };
        Ok(())
    }

    fn settle_app(&mut self, app: Named) -> Result<(), Trouble> {
        self.say(What::Found, None, format!("The app is {:?} ({}).", app.name, app.id))?;
        self.run.app = Some(app);
        self.run.phase = Phase::List { page: None };
        Ok(())
    }

    async fn apps(&mut self, page: Option<String>, mut apps: Vec<Named>) -> Result<(), Trouble> {
        let found = self.client.apps_page(page.as_deref()).await?;
        apps.extend(found.items.into_iter().map(|App { id, display_name: name }| Named { id, name }));
        if apps.len() > MAX_APPS {
            return Err(Trouble::Stop(format!(
                "There are more than {MAX_APPS} apps in ConductorOne: say which one it is with app_id, or C1_APP_ID."
            )));
        }
        self.run.phase = match found.next {
            Some(next) if Some(&next) != page.as_ref() => Phase::Apps { page: Some(next), apps },
            _ => Phase::Examine { left: apps, found: Vec::new() },
        };
        Ok(())
    }

    async fn examine(&mut self, mut left: Vec<Named>, mut found: Vec<Named>) -> Result<(), Trouble> {
        if let Some(app) = left.pop() {
            let known = self.catalogue.known(self.ports).await?;
            match self.client.entitlements_page(&app.id, None).await {
                Ok(page) if page.items.iter().any(|entitlement| known.is_of_account(entitlement)) => found.push(app),
                // One app of many that the key may not look into is none that it could change.
                Ok(_) | Err(ApiError::Forbidden { .. } | ApiError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            self.run.phase = Phase::Examine { left, found };
            return Ok(());
        }
        match found.as_slice() {
            [app] => self.settle_app(app.clone()),
            [] => Err(Trouble::Stop(
                "No app in ConductorOne has entitlements with this account's ids, as far as the API key can see: let ConductorOne sync the account first, or say which app it is with app_id, or C1_APP_ID.".to_owned(),
            )),
            several => {
                let list: Vec<String> = several.iter().map(|app| format!("{:?} ({})", app.name, app.id)).collect();
                Err(Trouble::Stop(format!(
                    "Several apps in ConductorOne have entitlements with these ids: {}. Say which one it is with app_id, or C1_APP_ID.",
                    list.join(", ")
                )))
            }
        }
    }

    pub(super) fn app_id(&self) -> Result<String, Trouble> {
        let app = self.run.app.as_ref().map(|app| app.id.clone());
        app.ok_or_else(|| Trouble::Stop("The run does not know its app; start it again.".to_owned()))
    }

    async fn list(&mut self, page: Option<String>) -> Result<(), Trouble> {
        let app = self.app_id()?;
        let known = self.catalogue.known(self.ports).await?;
        let found = self.client.entitlements_page(&app, page.as_deref()).await?;
        if page.is_none() {
            journal::forget_listed(self.ports)?;
        }
        for entitlement in found.items {
            let own = known.own(&entitlement);
            let AppEntitlement { id, display_name: name, provisioner, deprovisioner, .. } = entitlement;
            journal::list(self.ports, &Listed { n: 0, id, name, own, provisioner, deprovisioner })?;
        }
        if let Some(next) = found.next.filter(|next| Some(next) != page.as_ref()) {
            self.run.phase = Phase::List { page: Some(next) };
            return Ok(());
        }
        // An app without a single role of ours is not the Cloudflare app, whoever named it.
        if journal::known(self.ports)?.iter().all(|own| own.is_empty() || own == ACCESS) {
            return Err(Trouble::Stop(format!(
                "The app {app} has no entitlement that is a role or group of this account, so nothing was changed: is it the right app, and has ConductorOne synced it?"
            )));
        }
        self.run.phase = Phase::Webhook { page: None };
        Ok(())
    }

    fn webhook_url(&self) -> String {
        format!("{}{}", self.config.public_url.base, verify::PATH)
    }

    async fn webhook(&mut self, page: Option<String>) -> Result<(), Trouble> {
        let url = self.webhook_url();
        let found = self.client.webhooks_page(page.as_deref()).await?;
        let connection = journal::connection(self.ports)?;
        let mut matching: Vec<_> = found.items.into_iter().filter(|webhook| webhook.url == url).collect();
        // The one that is known, should there be several.
        matching.sort_by_key(|webhook| connection.webhook.as_ref() != Some(&webhook.id));
        if let Some(webhook) = matching.into_iter().next() {
            let created = connection.creating.as_ref() == Some(&url);
            let known = connection.webhook.as_ref() == Some(&webhook.id);
            return self.settle_webhook(webhook.id, &url, created || (known && connection.created), created);
        }
        self.run.phase = match found.next {
            Some(next) if Some(&next) != page.as_ref() => Phase::Webhook { page: Some(next) },
            _ if self.is_dry() => {
                self.say(What::WouldChange, None, format!("A webhook that leads to {url} would be created."))?;
                Phase::Apply { after: 0, pending: None }
            }
            _ => {
                // On disk before it is sent: should nobody note its id, it is known for ours all the same.
                journal::connect(self.ports, |connection| connection.creating = Some(url))?;
                Phase::Create
            }
        };
        Ok(())
    }

    async fn create(&mut self) -> Result<(), Trouble> {
        let url = self.webhook_url();
        // Whether it was created is not known should this fail or be cut off: then it is looked for first.
        self.run.phase = Phase::Webhook { page: None };
        journal::store(self.ports, self.run)?;
        let description = "Grants and revokes access in Cloudflare. Created by c1-cloudflare.";
        let webhook = self.client.create_webhook(WEBHOOK_NAME, &url, description).await?;
        self.settle_webhook(webhook.id, &url, true, true)
    }

    fn settle_webhook(&mut self, id: String, url: &str, created: bool, just_now: bool) -> Result<(), Trouble> {
        let (what, how) = if just_now { (What::Changed, "was created") } else { (What::Found, "is there") };
        self.say(what, None, format!("The webhook {id}, which leads to {url}, {how}."))?;
        self.run.webhook = Some(id.clone());
        if self.is_dry() {
            self.run.phase = Phase::Apply { after: 0, pending: None };
            return Ok(());
        }
        journal::connect(self.ports, |connection| {
            let before = connection.webhook.replace(id.clone()).filter(|before| *before != id);
            connection.former.extend(before);
            connection.former.retain(|former| *former != id);
            (connection.created, connection.creating) = (created, None);
            connection.app.clone_from(&self.run.app);
        })?;
        self.run.phase = Phase::Verify { since: None };
        Ok(())
    }

    async fn verify(&mut self, since: Option<Timestamp>) -> Result<(), Trouble> {
        let Some(since) = since else {
            // Taken before it is sent: the event may be here before C1's answer is.
            let now = self.ports.now();
            self.client.test_webhook(&self.run.webhook.clone().unwrap_or_default()).await?;
            self.run.phase = Phase::Verify { since: Some(now) };
            return Ok(());
        };
        let now = self.ports.now();
        if let Some(at) = journal::arrival(self.ports)?.filter(|at| *at >= since) {
            journal::connect(self.ports, |connection| connection.verified_at = Some(at))?;
            self.say(What::Found, None, "ConductorOne's test event arrived: it reaches this Worker.".to_owned())?;
            self.run.phase = Phase::Apply { after: 0, pending: None };
            return Ok(());
        }
        if now.since(since) > TEST_SECS * 1000 {
            return Err(Trouble::Stop(format!(
                "ConductorOne's test event to {} did not arrive within {TEST_SECS} s, so no entitlement was changed. PUBLIC_URL must be the address at which this Worker is reached, and C1_TENANT the tenant's host; ConductorOne shows what it got under Integrations > Webhooks, and the Worker's log has what was rejected.",
                self.webhook_url()
            )));
        }
        self.run.due_at = now.plus_millis(LOOK_MILLIS);
        Ok(())
    }

    async fn apply(&mut self, after: i64, pending: Option<String>) -> Result<(), Trouble> {
        let batch = journal::listed(self.ports, after, BATCH)?;
        let connection = journal::connection(self.ports)?;
        let ends = i64::try_from(batch.len()).unwrap_or(BATCH) < BATCH;
        let webhook = self.run.webhook.clone().unwrap_or_default();
        let overwrite = self.run.options.overwrite;
        let decide = |provisioner: &Policy, deprovisioner: &Policy| {
            plan::decide(provisioner, deprovisioner, &webhook, &connection.former, overwrite)
        };
        for listed in batch {
            let n = listed.n;
            let decision = (!listed.own.is_empty()).then(|| decide(&listed.provisioner, &listed.deprovisioner));
            let is_pending = pending.as_ref() == Some(&listed.id);
            match decision {
                Some(Decision::Change { provisioner, deprovisioner }) if !self.is_dry() => {
                    return self.change(listed, &webhook, is_pending, (provisioner, deprovisioner), decide).await;
                }
                decision => self.count(&listed, decision)?,
            }
            self.run.phase = Phase::Apply { after: n, pending: None };
        }
        if ends { self.finish() } else { Ok(()) }
    }

    /// Counts an entitlement that is not changed, and says why where somebody may want to know.
    fn count(&mut self, listed: &Listed, decision: Option<Decision>) -> Result<(), SqlError> {
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
                (What::Left, format!("{:?} was left alone, since {why}; OVERWRITE=1 replaces it.", listed.name))
            }
            Some(Decision::Change { provisioner, deprovisioner }) => {
                counts.changed += 1;
                (What::WouldChange, change_text(listed, (provisioner, deprovisioner), "would be"))
            }
        };
        self.say(what, Some(&listed.id), text)
    }

    async fn change(
        &mut self,
        listed: Listed,
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
        let fresh = Listed { provisioner: now.provisioner, deprovisioner: now.deprovisioner, ..listed.clone() };
        let sides = match decide(&fresh.provisioner, &fresh.deprovisioner) {
            Decision::Change { provisioner, deprovisioner } => (provisioner, deprovisioner),
            Decision::Already if pending => return self.changed(&listed, planned, next),
            other => {
                self.count(&fresh, Some(other))?;
                self.run.phase = next;
                return Ok(());
            }
        };
        let saved = Saved {
            app: app.clone(),
            entitlement: fresh.id.clone(),
            name: fresh.name.clone(),
            provisioner: sides.0.then(|| fresh.provisioner.clone()),
            deprovisioner: sides.1.then(|| fresh.deprovisioner.clone()),
        };
        journal::save(self.ports, &saved, self.ports.now())?;
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

    fn changed(&mut self, before: &Listed, sides: (bool, bool), next: Phase) -> Result<(), Trouble> {
        self.run.counts.total += 1;
        self.run.counts.changed += 1;
        self.say(What::Changed, Some(&before.id), change_text(before, sides, "is now"))?;
        self.run.phase = next;
        Ok(())
    }

    fn not_changed(&mut self, listed: &Listed, error: &ApiError, next: Phase) -> Result<(), Trouble> {
        let text = format!("{:?} was not changed: {error}.", listed.name);
        self.failed(listed, text, next)
    }

    fn failed(&mut self, listed: &Listed, text: String, next: Phase) -> Result<(), Trouble> {
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
            journal::connect(self.ports, |connection| {
                connection.wired = wired;
                connection.connected_at = Some(now);
            })?;
        }
        if counts.failed > 0 {
            message.push_str(" Run it again to try those once more.");
        }
        self.end(message)
    }

    /// Ends the run; it failed where one of its entitlements did.
    pub(super) fn end(&mut self, message: String) -> Result<(), Trouble> {
        self.run.state = if self.run.counts.failed > 0 { RunState::Failed } else { RunState::Done };
        self.run.ended_at = Some(self.ports.now());
        self.run.message = Some(message);
        Ok(())
    }
}

fn change_text(before: &Listed, sides: (bool, bool), will: &str) -> String {
    let side = |name: &str, policy: &Policy| format!("{name} was {} and {will} this webhook", plan::describe(policy));
    let sides = [
        sides.0.then(|| side("provisioning", &before.provisioner)),
        sides.1.then(|| side("deprovisioning", &before.deprovisioner)),
    ];
    let sides: Vec<String> = sides.into_iter().flatten().collect();
    format!("{:?}: {}.", before.name, sides.join("; "))
}
