//! What may the Cloudflare token do? Asked of Cloudflare itself, one request for each thing, and told in the words of its
//! dashboard (My Profile or Manage Account > API Tokens).

use serde::{Deserialize, Serialize};

use crate::base::ports::{Clock, Http, Sql};
use crate::cloudflare::Settings;
use crate::cloudflare::{ApiError, AuditFilters, Client, Purpose};
use crate::provision::owner::{self, Owner};
use crate::push::Finding;

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// What was checked.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// Whether the connector cannot work without it.
    pub required: bool,
    /// What was found, and what to do.
    pub message: String,
}

impl From<Finding> for Examination {
    fn from(found: Finding) -> Self {
        Self { name: found.name.to_owned(), ok: found.ok, required: found.required, message: found.message }
    }
}

/// Checks the token and each permission.
pub(super) async fn examine<P: Http + Clock + Sql>(ports: &P, settings: &Settings) -> Vec<Examination> {
    let client = Client::new(ports, settings, Purpose::Provisioning);
    let mut found = vec![token(&client).await];
    if found.iter().any(|check| !check.ok) {
        return found;
    }
    let settings = "Account Settings: Read (to review) or Account Settings: Edit (to provision)";
    let reads = [
        ("the account", true, settings, client.account().await.map(drop)),
        ("members", true, settings, client.members_page(1).await.map(drop)),
        ("permission groups", true, settings, client.permission_groups_page(1).await.map(drop)),
        ("resource groups", true, settings, client.resource_groups().await.map(drop)),
        ("roles (deprecated list)", false, settings, client.roles_page(1).await.map(drop)),
        ("user groups", false, settings, client.user_groups_page(1).await.map(drop)),
        ("account API tokens", false, "Account API Tokens: Read", client.tokens_page(1).await.map(drop)),
    ];
    found.extend(reads.into_iter().map(|(what, required, permission, read)| check(what, required, permission, read)));
    let now = ports.now();
    let recent = client.audit_log(now.plus_secs(-60), now, &AuditFilters::default(), None).await.map(drop);
    found.push(check("audit log (finds others' changes that were overwritten)", false, settings, recent));
    found.extend(whose(ports, &client).await);
    found
}

/// A person's token is worth a word: it goes when the person goes, and its owner is not to be locked out by it.
async fn whose<P: Http + Clock + Sql>(ports: &P, client: &Client<'_, P>) -> Option<Examination> {
    let (ok, message) = match owner::identity(ports, client).await.ok()?.owner {
        Owner::Account => return None,
        Owner::User(user) => (
            true,
            format!("the token belongs to the user {user}, whom this connector therefore never removes; an account's token would outlast them"),
        ),
        Owner::Unknown => (
            false,
            "the token is a person's and may not tell whose, so no Super Administrator can be revoked or removed: add the permission User Details: Read, or use an account's token".to_owned(),
        ),
    };
    Some(Examination { name: "the token's owner".to_owned(), ok, required: false, message })
}

async fn token<P: Http + Clock + Sql>(client: &Client<'_, P>) -> Examination {
    let (ok, message) = match client.verify_token().await {
        Ok(token) if token.status == "active" => (
            true,
            format!("the API token is active{}", token.expires_on.map(|at| format!(" until {at}")).unwrap_or_default()),
        ),
        Ok(token) => (
            false,
            format!(
                "the API token is {}; make a new one and set it with: npx wrangler secret put CLOUDFLARE_API_TOKEN",
                token.status
            ),
        ),
        Err(error) => (
            false,
            format!(
                "the API token could not be verified: {error}; set a valid one with: npx wrangler secret put CLOUDFLARE_API_TOKEN"
            ),
        ),
    };
    Examination { name: "CLOUDFLARE_API_TOKEN".to_owned(), ok, required: true, message }
}

fn check(what: &str, required: bool, permission: &str, read: Result<(), ApiError>) -> Examination {
    let (ok, message) = match read {
        Ok(()) => (true, "can be read".to_owned()),
        Err(error @ (ApiError::Forbidden(_) | ApiError::Unauthorized(_))) => (
            false,
            format!(
                "cannot be read ({error}): edit the token in Cloudflare's dashboard under API Tokens and add the permission {permission}"
            ),
        ),
        Err(error @ ApiError::NotFound(_)) => (false, format!("this account does not have them ({error})")),
        Err(error) => (false, format!("could not be read: {error}")),
    };
    Examination { name: format!("permission: {what}"), ok, required, message }
}
