//! What an operator does about something, in words that fit everybody: who has a clone of the project and a terminal, and who deployed by a
//! button and has neither. Each is said here and nowhere else; a test looks for sentences that tell a command alone.

/// Where a secret of this name is set.
macro_rules! set_secret {
    ($name:literal) => {
        concat!("under Settings of this Worker in Cloudflare's dashboard, or with: npx wrangler secret put ", $name)
    };
}
pub(crate) use set_secret;

/// Where a secret is set; its name comes behind it.
pub const SET_SECRET: &str = set_secret!("");

/// Where a variable is set that `wrangler.toml` names: one that is set in the dashboard alone is gone with the next deployment.
pub const SET_VARIABLE: &str = "in the wrangler.toml that this Worker is deployed from, and deploy";

/// How ConductorOne's entitlements are pointed at this Worker.
pub const CONNECT: &str = "connect on this connector's page, under Now (make connect does the same)";

/// How it is said which app of ConductorOne's stands for the account.
pub const NAME_APP: &str = "by its id on this connector's page, by app_id (APP= of make connect), or by C1_APP_ID";
