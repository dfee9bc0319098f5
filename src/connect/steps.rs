//! The phases of a run, and what each unit of work has at hand. What is done in them is in [`find`](super::find),
//! [`webhook`](super::webhook), [`apply`](super::apply) and [`undo`](super::undo).

use super::catalogue::Offers;
use super::journal;
use super::run::{Mode, Phase, Ports, Run, RunState, What};
use crate::base::ports::SqlError;
use crate::conductorone::Settings;
use crate::conductorone::api::{ApiError, Client};
use crate::snapshot::SnapshotError;

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
    pub(super) settings: &'a Settings,
    pub(super) client: Client<'a, P>,
    pub(super) offers: &'b mut Offers,
    pub(super) run: &'b mut Run,
}

impl<P: Ports> Step<'_, '_, P> {
    /// Does one unit of work.
    pub(super) async fn advance(&mut self) -> Result<(), Trouble> {
        self.run.message = None;
        match self.run.phase.clone() {
            Phase::App => self.app().await,
            Phase::Apps { page, apps } => self.apps(page, apps).await,
            Phase::Examine { left, page, .. } if self.run.options.undo => self.used(left, page).await,
            Phase::Examine { left, found, alike, page, users: 0, another } => {
                self.examine(left, found, alike, page, another).await
            }
            Phase::Examine { left, found, alike, page, users, another } => {
                self.examine_users(left, found, alike, page, users, another).await
            }
            Phase::List { page } => self.list(page).await,
            Phase::Webhook { page } => self.webhook(page).await,
            Phase::Create => self.create().await,
            Phase::Verify { since } => self.verify(since).await,
            Phase::Apply { after, pending } => self.apply(after, pending).await,
            Phase::Undo { after } => self.undo(after).await,
            Phase::Used { .. } => {
                // The app of the last time, should it be in no list, and what the key sees.
                self.run.phase = Phase::Apps { page: None, apps: self.run.app.clone().into_iter().collect() };
                Ok(())
            }
            Phase::Delete => self.delete().await,
        }
    }

    pub(super) fn say(&self, what: What, entitlement: Option<&str>, text: String) -> Result<(), SqlError> {
        journal::say(self.ports, self.run, what, entitlement, text)
    }

    /// Whether this only tells.
    pub(super) fn is_dry(&self) -> bool {
        self.run.options.mode() == Mode::DryRun
    }

    pub(super) fn app_id(&self) -> Result<String, Trouble> {
        let app = self.run.app.as_ref().map(|app| app.id.clone());
        app.ok_or_else(|| Trouble::Stop("The run does not know its app; start it again.".to_owned()))
    }

    /// Ends the run; it failed where one of its entitlements did.
    pub(super) fn end(&mut self, message: String) {
        self.run.state = if self.run.counts.failed > 0 { RunState::Failed } else { RunState::Done };
        self.run.ended_at = Some(self.ports.now());
        self.run.message = Some(message);
    }
}
