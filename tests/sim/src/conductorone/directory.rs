//! What C1 knows of the account: the app, its entitlements, its accounts and the people they belong to, as the objects
//! of a payload's `expanded` list (`reference/conductorone.md`, appendix A).

use serde_json::{Map, Value, json};

use super::id;

/// The app that stands for the Cloudflare account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// C1's id of it.
    pub id: String,
    /// Its name.
    pub display_name: String,
}

impl Default for App {
    fn default() -> Self {
        Self { id: id::derived("app Cloudflare"), display_name: "Cloudflare".into() }
    }
}

impl App {
    pub(super) fn expanded(&self) -> Value {
        json!({
            "@type": "type.googleapis.com/c1.api.app.v1.App",
            "id": self.id,
            "displayName": self.display_name,
            "description": "Cloudflare account",
            "accessModel": "APP_ACCESS_MODEL_CLASSIC",
            "identityMatching": "APP_USER_IDENTITY_MATCHING_STRICT",
            "isDirectory": false,
            "isManuallyManaged": false,
            "strictAccessEntitlementProvisioning": false,
            "grantPolicyId": id::derived("grant policy"),
            "revokePolicyId": id::derived("revoke policy"),
            "certifyPolicyId": "",
            "monthlyCostUsd": 0,
            "userCount": "42",
            "logoUri": "",
            "appOwners": [],
            "createdAt": CREATED_AT,
            "updatedAt": UPDATED_AT,
            "deletedAt": null,
        })
    }
}

/// An entitlement of the app. Which of C1's fields carry the connector's own id is not settled
/// (`reference/conductorone.md` 2.5), so a test chooses; by default all do that did in the wild.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// C1's id of it.
    pub id: String,
    /// Its name, such as `DNS Member Role`.
    pub display_name: String,
    /// Its description.
    pub description: String,
    /// Its slug, `member` for a role.
    pub slug: String,
    /// Its alias, often empty.
    pub alias: String,
    /// What `externalId` says; empty when C1 does not tell.
    pub external_id: String,
    /// What `matchBatonId` says; mostly empty.
    pub match_baton_id: String,
    /// What `sourceConnectorIds` says: the connector's C1 id, and the connector's own id of the entitlement.
    pub source_connector_ids: Vec<(String, String)>,
    /// C1's own entitlement of having an account in the app at all.
    pub system_builtin: bool,
}

impl Entitlement {
    /// The entitlement that the connector calls `baton_id`, such as `role:05784afa30c1afe1440e79d9351c7430:member`.
    pub fn new(baton_id: &str, display_name: &str) -> Self {
        Self {
            id: id::derived(&format!("entitlement {baton_id}")),
            display_name: display_name.to_owned(),
            description: String::new(),
            slug: baton_id.rsplit(':').next().unwrap_or_default().to_owned(),
            alias: String::new(),
            external_id: baton_id.to_owned(),
            match_baton_id: String::new(),
            source_connector_ids: vec![(connector_id(), baton_id.to_owned())],
            system_builtin: false,
        }
    }

    /// Membership in a role; `role_id` has 32 hexadecimal digits.
    pub fn role(role_id: &str, role_name: &str) -> Self {
        Self {
            description: format!("Has the {role_name} role in Cloudflare"),
            ..Self::new(&format!("role:{role_id}:member"), &format!("{role_name} Member Role"))
        }
    }

    /// C1's builtin Access entitlement: to have an account at all.
    pub fn access() -> Self {
        Self {
            id: id::derived("entitlement builtin access"),
            display_name: "Cloudflare Access".into(),
            slug: "access".into(),
            external_id: String::new(),
            source_connector_ids: Vec::new(),
            system_builtin: true,
            ..Self::new("", "")
        }
    }

    /// The same, with only `sourceConnectorIds` telling the connector's id.
    #[must_use]
    pub fn known_by_source_connector_only(self) -> Self {
        Self { external_id: String::new(), match_baton_id: String::new(), ..self }
    }

    /// The same, with only `matchBatonId` telling it.
    #[must_use]
    pub fn known_by_match_baton_id_only(self) -> Self {
        let baton_id = self.external_id.clone();
        Self { external_id: String::new(), match_baton_id: baton_id, source_connector_ids: Vec::new(), ..self }
    }

    /// The same, with only `externalId` telling it.
    #[must_use]
    pub fn known_by_external_id_only(self) -> Self {
        Self { match_baton_id: String::new(), source_connector_ids: Vec::new(), ..self }
    }

    /// The same, with nothing but its name to go by.
    #[must_use]
    pub fn known_by_name_only(self) -> Self {
        Self { external_id: String::new(), match_baton_id: String::new(), source_connector_ids: Vec::new(), ..self }
    }

    pub(super) fn expanded(&self, app: &App, webhook_id: &str) -> Value {
        let sources: Map<String, Value> =
            self.source_connector_ids.iter().map(|(connector, own)| (connector.clone(), json!(own))).collect();
        let purpose = if self.system_builtin {
            "APP_ENTITLEMENT_PURPOSE_VALUE_UNSPECIFIED"
        } else {
            "APP_ENTITLEMENT_PURPOSE_VALUE_ASSIGNMENT"
        };
        let resource = if self.system_builtin { app.id.clone() } else { id::derived(&format!("resource {}", self.id)) };
        json!({
            "@type": "type.googleapis.com/c1.api.app.v1.AppEntitlement",
            "id": self.id,
            "appId": app.id,
            "appResourceTypeId": id::derived("resource type role"),
            "appResourceId": resource,
            "displayName": self.display_name,
            "description": self.description,
            "slug": self.slug,
            "alias": self.alias,
            "purpose": purpose,
            "externalId": self.external_id,
            "matchBatonId": self.match_baton_id,
            "sourceConnectorIds": sources,
            "provisionerPolicy": { "webhook": { "webhookId": webhook_id } },
            "deprovisionerPolicy": { "webhook": { "webhookId": webhook_id } },
            "grantCount": "7",
            "systemBuiltin": self.system_builtin,
            "isManuallyManaged": false,
            "isAutomationEnabled": false,
            "emergencyGrantEnabled": false,
            "grantPolicyId": id::derived("grant policy"),
            "revokePolicyId": "",
            "certifyPolicyId": "",
            "riskLevelValueId": "",
            "complianceFrameworkValueIds": [],
            "durationUnset": {},
            "createdAt": CREATED_AT,
            "updatedAt": UPDATED_AT,
            "deletedAt": null,
        })
    }
}

/// Somebody in the directory, with or without an account in the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// C1's id of the identity.
    pub identity_id: String,
    /// First and last name.
    pub name: (String, String),
    /// The e-mail address.
    pub email: String,
    /// The other addresses that the directories have of the identity.
    pub other_emails: Vec<String>,
    /// The name by which the identity logs in at its directory, where that is not the e-mail address.
    pub username: Option<String>,
    /// The account in the app, where C1 knows one.
    pub account: Option<Account>,
}

/// A person's account in the app: C1's `AppUser`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// C1's id of it.
    pub id: String,
    /// `profile.cloudflare_user_id`; empty when the synced profile has none.
    pub cloudflare_user_id: String,
    /// `profile.member_id`; empty when the synced profile has none.
    pub member_id: String,
    /// The e-mail address that was synced, which may differ from the identity's.
    pub email: String,
    /// `status.status`.
    pub status: String,
    /// `deletedAt`, where a later sync did not see the account any more.
    pub deleted_at: Option<String>,
}

impl Person {
    /// Somebody whom C1 knows to have no account. The name is made of the address: `new.hire@…` is New Hire.
    pub fn newcomer(email: &str) -> Self {
        let local = email.split('@').next().unwrap_or_default();
        let (first, last) = local.split_once('.').unwrap_or((local, ""));
        Self {
            identity_id: id::derived(&format!("identity {email}")),
            name: (capitalised(first), capitalised(last)),
            email: email.to_owned(),
            other_emails: Vec::new(),
            username: None,
            account: None,
        }
    }

    /// Somebody with an account, which the last sync saw with these ids.
    pub fn member(email: &str, cloudflare_user_id: &str, member_id: &str) -> Self {
        let account = Account {
            id: id::derived(&format!("app user {email}")),
            cloudflare_user_id: cloudflare_user_id.to_owned(),
            member_id: member_id.to_owned(),
            email: email.to_owned(),
            status: "STATUS_ENABLED".to_owned(),
            deleted_at: None,
        };
        Self { account: Some(account), ..Self::newcomer(email) }
    }

    /// The same person under another name.
    #[must_use]
    pub fn named(self, first: &str, last: &str) -> Self {
        Self { name: (first.to_owned(), last.to_owned()), ..self }
    }

    /// First and last name.
    pub fn display_name(&self) -> String {
        format!("{} {}", self.name.0, self.name.1).trim().to_owned()
    }

    pub(super) fn expanded_identity(&self) -> Value {
        let emails: Vec<&String> = std::iter::once(&self.email).chain(&self.other_emails).collect();
        let username = self.username.as_ref().unwrap_or(&self.email);
        json!({
            "@type": "type.googleapis.com/c1.api.user.v1.User",
            "id": self.identity_id,
            "displayName": self.display_name(),
            "email": self.email,
            "emails": emails,
            "username": username,
            "usernames": [username],
            "status": "ENABLED",
            "directoryStatus": "ENABLED",
            "origin": "USER_ORIGIN_DIRECTORY",
            "type": "USER_TYPE_HUMAN",
            "department": "Engineering",
            "jobTitle": "Engineer",
            "employmentStatus": "",
            "employmentType": "",
            "employeeIds": [],
            "managerIds": [],
            "directoryIds": [],
            "roleIds": [],
            "delegatedUserId": "",
            "profile": { "first_name": self.name.0, "last_name": self.name.1 },
            "createdAt": "2025-01-01T00:00:00Z",
            "updatedAt": UPDATED_AT,
            "deletedAt": null,
        })
    }

    pub(super) fn expanded_account(&self, app: &App) -> Option<Value> {
        let account = self.account.as_ref()?;
        Some(json!({
            "@type": "type.googleapis.com/c1.api.app.v1.AppUser",
            "id": account.id,
            "appId": app.id,
            "identityUserId": self.identity_id,
            "displayName": self.display_name(),
            "email": account.email,
            "emails": [account.email],
            "username": account.email,
            "usernames": [account.email],
            "employeeIds": [],
            "appUserType": "APP_USER_TYPE_USER",
            "isExternal": false,
            "status": { "status": account.status, "details": "Accepted" },
            "profile": {
                "member_id": account.member_id,
                "cloudflare_user_id": account.cloudflare_user_id,
                "email": account.email,
                "login": account.email,
                "first_name": self.name.0,
                "last_name": self.name.1,
                "status": "Accepted",
            },
            "createdAt": CREATED_AT,
            "updatedAt": UPDATED_AT,
            "deletedAt": account.deleted_at,
        }))
    }
}

/// C1's id of the connector that synced the account.
fn connector_id() -> String {
    id::derived("connector Cloudflare")
}

const CREATED_AT: &str = "2026-08-01T09:05:00Z";
const UPDATED_AT: &str = "2026-08-20T09:00:00Z";

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
