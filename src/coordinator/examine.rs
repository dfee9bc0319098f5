//! What may the Cloudflare token do? Asked of Cloudflare itself, one request for each thing, and told in the words of its
//! dashboard (My Profile or Manage Account > API Tokens).

use serde::Serialize;

use crate::account::identity::{self, Owner};
use crate::audit;
use crate::base::json::Deserialize;
use crate::base::ports::{Clock, Http, Sql};
use crate::base::remedy::SET_SECRET;
use crate::cloudflare::Settings;
use crate::cloudflare::{Account, ApiError, Client, ListPage, NamedObject, PER_PAGE, Purpose};
use crate::push::Checked;

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

impl From<Checked> for Examination {
    fn from(found: Checked) -> Self {
        Self { name: found.name.to_owned(), ok: found.ok, required: false, message: found.message }
    }
}

/// Checks the token and each permission that something needs; `scripts/up/permissions.mjs` has the same list, for before a deployment.
pub(super) async fn examine<P: Http + Clock + Sql>(
    ports: &P,
    settings: &Settings,
    audit: audit::Settings,
) -> Vec<Examination> {
    // It has no more of the requests than one person has: who asks again and again keeps no grant waiting.
    let client = Client::new(ports, settings, Purpose::Doctor).for_person("the doctor");
    let mut found = vec![token(&client).await];
    if found.iter().any(|check| !check.ok) {
        return found;
    }
    let settings = "Account Settings: Read (to review) or Account Settings: Edit (to provision)";
    let account = client.account().await;
    let domains = client.sso_domains().await;
    let tokens = client.tokens_page(1).await;
    let posture = posture(account.as_ref().ok(), domains.as_ref().ok());
    let may_be_short = match &tokens {
        // What is not on this page may be on another.
        Ok(page) if page.odd.is_empty() && page.pages(1, PER_PAGE) <= 1 => {
            identity::may_be_short(&page.items, identity::own_token(ports, &client).await.ok().flatten())
        }
        _ => false,
    };
    let (tokens, domains) = (tokens.err(), domains.err());
    // Each answer is told as soon as it is there: none is held while the next one is waited for.
    found.push(check("the account", true, settings, account.err()));
    found.push(check("members", true, settings, client.members_page(1).await.err()));
    found.push(check("permission groups", true, settings, client.permission_groups_page(1).await.err()));
    found.push(check("resource groups", true, settings, client.resource_groups().await.err()));
    found.push(check("roles (deprecated list)", false, settings, client.roles_page(1).await.err()));
    found.push(check("user groups", false, settings, client.user_groups_page(1).await.err()));
    found.push(check(TOKENS, false, "Account API Tokens: Read", tokens));
    found.push(check("OAuth clients", false, "OAuth Client: Read", client.oauth_clients().await.err()));
    let logs_in = "domains that log in through an identity provider";
    found.push(check(logs_in, false, "SSO Connector: Read", domains));
    found.push(check("names of domains", false, "Zone: Read", client.zones_page(1).await.err()));
    found.push(check("names of Workers", false, "Workers Scripts: Read", client.workers().await.err()));
    let (apps, read_apps) = ("names of Access applications", "Access: Apps and Policies: Read");
    found.push(check(apps, false, read_apps, client.access_apps_page(1).await.err()));
    if let Some(tokens) = found.iter_mut().find(|check| may_be_short && check.name.ends_with(TOKENS)) {
        (tokens.ok, tokens.message) = (false, "the list has one token alone, which is the connector's own or may be, or lacks the connector's own, so others may be left out of it, which Cloudflare does not say: edit the connector's token in Cloudflare's dashboard under API Tokens and add the permission Account API Tokens: Read".to_owned());
    }
    found.extend(posture);
    let now = ports.now();
    found.push(if audit.feed == Some(true) {
        let recent = client.audit_log(now.plus_secs(-60), now, false, 1, None).await.err();
        check(AUDIT_LOG, false, settings, recent)
    } else {
        unread(AUDIT_LOG, "AUDIT_FEED")
    });
    found.push(if audit.logins == Some(true) {
        let logins = client.access_users_page(1).await.err();
        check(LOGINS, false, "Access: Audit Logs: Read", logins)
    } else {
        unread(LOGINS, "LAST_LOGINS")
    });
    found.extend(whose(ports, &client).await);
    found
}

/// The checks of what is read of people.
const AUDIT_LOG: &str = "the audit log (tells others' changes within a minute, and who made them)";
const LOGINS: &str = "people whom Access knows (tells their last logins)";

/// A list that a setting keeps unread, so that no permission for it is missing.
fn unread(what: &str, setting: &str) -> Examination {
    let message = format!("off by setting: it is not read, since {setting} is off");
    Examination { name: format!("permission: {what}"), ok: true, required: false, message }
}

/// The check of the list of tokens.
const TOKENS: &str = "account API tokens";

/// How the account is set, as far as it is told: there is nothing here that the connector cannot work with.
fn posture(account: Option<&Account>, domains: Option<&ListPage<NamedObject>>) -> Vec<Examination> {
    let told = |name: &str, message: String| Examination { name: name.to_owned(), ok: true, required: false, message };
    let mut posture = Vec::new();
    if let Some(enforces) = account.and_then(|account| account.enforce_two_factor) {
        let message = if enforces {
            "members without a second factor are locked out"
        } else {
            "members without a second factor are let in; Manage Account > Members > Settings enforces it"
        };
        posture.push(told("the account's second factor", message.to_owned()));
    }
    if let Some((id, name)) = account.and_then(|account| account.organization.as_ref()) {
        let message = format!(
            "the account is in the organization {name} ({id}), whose administrators can do everything here and are in no list of members"
        );
        posture.push(told("the account's organization", message));
    }
    if let Some(domains) = domains {
        let all: Vec<String> =
            domains.items.iter().take(50).map(|domain| format!("{} ({})", domain.id, domain.name)).collect();
        let message =
            if all.is_empty() { "no domain logs in through an identity provider".to_owned() } else { all.join(", ") };
        posture.push(told("the account's single sign-on", message));
    }
    posture
}

/// A person's token is worth a word: it goes when the person goes, and its owner is not to be locked out by it.
async fn whose<P: Http + Clock + Sql>(ports: &P, client: &Client<'_, P>) -> Option<Examination> {
    let (ok, message) = match identity::identity(ports, client).await.ok()?.owner {
        Owner::Account => return None,
        Owner::User(user) => (
            true,
            format!("the token belongs to the user {user}, whom this connector therefore never removes; of the account's API tokens it may be told those alone that they made; an account's token would outlast them"),
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
            format!("the API token is {}; make a new one and set it {SET_SECRET}CLOUDFLARE_API_TOKEN", token.status),
        ),
        Err(error) if error.is_retryable() => {
            (false, format!("the API token could not be verified now ({error}): ask again"))
        }
        Err(error) => (
            false,
            format!(
                "the API token could not be verified ({error}): it is no valid one, or one of another account than CLOUDFLARE_ACCOUNT_ID names; set one {SET_SECRET}CLOUDFLARE_API_TOKEN"
            ),
        ),
    };
    Examination { name: "CLOUDFLARE_API_TOKEN".to_owned(), ok, required: true, message }
}

fn check(what: &str, required: bool, permission: &str, failed: Option<ApiError>) -> Examination {
    let (ok, message) = match failed {
        None => (true, "can be read".to_owned()),
        Some(error @ (ApiError::Forbidden(_) | ApiError::Unauthorized(_))) => (
            false,
            format!(
                "cannot be read ({error}): edit the token in Cloudflare's dashboard under API Tokens and add the permission {permission}"
            ),
        ),
        Some(error @ ApiError::NotFound(_)) if required => (
            false,
            format!("is not there ({error}): is CLOUDFLARE_ACCOUNT_ID the id of the account that the token is for?"),
        ),
        Some(error @ ApiError::NotFound(_)) => (false, format!("this account does not have them ({error})")),
        Some(error) => (false, format!("could not be read: {error}")),
    };
    Examination { name: format!("permission: {what}"), ok, required, message }
}
