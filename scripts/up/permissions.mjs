// Which permissions the connector's API token wants, and the page of the dashboard that makes it. `make up` and the Worker's own page use this; a
// test holds the Worker's doctor and docs/deploying.md to it.

/**
 * Each permission by the name that the dashboard has for it, and its key in the dashboard's template URLs, as far as Cloudflare documents keys
 * (developers.cloudflare.com/fundamentals/api/how-to/account-owned-token-template). What a wrong key does to the form is not known, so none is guessed.
 */
export const PERMISSIONS = [
  ["Account Settings", "account_settings"],
  ["Account API Tokens", "account_api_tokens"],
  ["Access: Audit Logs", "access_audit_log"],
  ["OAuth Client", null],
  ["SSO Connector", null],
  ["Zone", "zone"],
  ["Workers Scripts", "workers_scripts"],
  ["Access: Apps and Policies", "access"],
];

/** What the connector reads: what it is, where, by which permission, and whether the connector cannot do without. */
export const READS = [
  ["the account", "", "Account Settings", true],
  ["members", "/members?per_page=5", "Account Settings", true],
  ["permission groups", "/iam/permission_groups?per_page=5", "Account Settings", true],
  ["resource groups", "/iam/resource_groups", "Account Settings", true],
  ["roles (deprecated list)", "/roles?per_page=5", "Account Settings", false],
  ["user groups", "/iam/user_groups?per_page=5", "Account Settings", false],
  ["account API tokens", "/tokens?per_page=50", "Account API Tokens", false],
  ["OAuth clients", "/oauth_clients", "OAuth Client", false],
  ["domains that log in through an identity provider", "/sso_connectors", "SSO Connector", false],
  ["names of domains", "/zones", "Zone", false],
  ["names of Workers", "/workers/scripts", "Workers Scripts", false],
  ["names of Access applications", "/access/apps?per_page=5", "Access: Apps and Policies", false],
  ["the audit log (tells others' changes within a minute, and who made them)", "/logs/audit", "Account Settings", false],
  ["people whom Access knows (tells their last logins)", "/access/users?per_page=5", "Access: Audit Logs", false],
];

/** What the dashboard's form cannot be filled in with: these are added by hand. */
export const BY_HAND = PERMISSIONS.filter(([, key]) => key === null).map(([name]) => `${name}: Read`);

/** The page that makes the account's token, filled in with the permissions that have a key. */
export function tokenPage(changes) {
  const keys = PERMISSIONS.filter(([, key]) => key !== null).map(([name, key]) => ({ key, type: changes && name === "Account Settings" ? "edit" : "read" }));
  const query = new URLSearchParams({ permissionGroupKeys: JSON.stringify(keys), name: "ConductorOne connector" });
  return `https://dash.cloudflare.com/?to=/:account/api-tokens&${query}`;
}
