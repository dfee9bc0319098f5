//! What the simulated account knows by name: legacy roles, the permission groups behind them, and those that never
//! were roles. Names follow Cloudflare's dashboard; ids are made up, but for the two that are known everywhere.

/// The legacy role id of Super Administrator: in members' `roles`, never in the roles list
/// (`reference/cloudflare.md` 1.3).
pub const SUPER_ADMINISTRATOR: &str = "33666b9c79b9a5273fc7344ff42f953d";

/// The legacy role id of "Administrator Read Only".
pub const ADMINISTRATOR_READ_ONLY: &str = "05784afa30c1afe1440e79d9351c7430";

/// The name of the role and permission group with all privileges.
pub(super) const SUPER_ADMINISTRATOR_NAME: &str = "Super Administrator - All Privileges";

/// Legacy account roles, each with a permission group of the same name. The first is the one with a known id.
pub(super) const ACCOUNT_ROLES: [&str; 64] = [
    "Administrator Read Only",
    "Administrator",
    "Minimal Account Access",
    "Analytics",
    "Audit Logs Viewer",
    "Billing",
    "Bot Management (Account-Wide)",
    "Brand Protection",
    "Cache Purge",
    "Cloudflare Access",
    "Cloudflare CASB",
    "Cloudflare CASB Read",
    "Cloudflare DEX",
    "Cloudflare Gateway",
    "Cloudflare Images",
    "Cloudflare R2 Admin",
    "Cloudflare R2 Read",
    "Cloudflare Stream",
    "Cloudflare Workers Admin",
    "Cloudflare Zero Trust",
    "Cloudflare Zero Trust DNS Locations Write",
    "Cloudflare Zero Trust PII",
    "Cloudflare Zero Trust Read Only",
    "Cloudflare Zero Trust Reporting",
    "Cloudflare Zero Trust Secure DNS Locations Write",
    "Connectivity Directory Admin",
    "Connectivity Directory Bind",
    "Connectivity Directory Read",
    "DNS",
    "Email Configuration Admin",
    "Email Integration Admin",
    "Email Security Analyst",
    "Email Security Policy Admin",
    "Email Security Read Only",
    "Email Security Reporting",
    "Firewall",
    "HTTP Applications",
    "HTTP Applications Read",
    "Hyperdrive Admin",
    "Hyperdrive Read",
    "Load Balancer",
    "Load Balancing Account Read",
    "Log Share",
    "Log Share Reader",
    "Magic Network Monitoring",
    "Magic Network Monitoring Admin",
    "Magic Network Monitoring Read Only",
    "Network Services Read (Magic)",
    "Network Services Write (Magic)",
    "Page Shield",
    "Page Shield Read",
    "SSL/TLS, Caching, Performance, Page Rules, and Customization",
    "Secrets Store Admin",
    "Secrets Store Deployer",
    "Secrets Store Reporter",
    "Trust and Safety",
    "Turnstile",
    "Turnstile Read",
    "Vectorize Admin",
    "Vectorize Read Only",
    "Waiting Room Admin",
    "Waiting Room Read",
    "Zaraz Admin",
    "Zaraz Edit",
];

/// Account-wide permission groups that never had a legacy role.
pub(super) const WITHOUT_A_ROLE: [&str; 6] = [
    "AI Gateway Admin",
    "Pipelines Write",
    "Realtime Admin",
    "Workers Builds Read",
    "Workers Platform (Read-only)",
    "Workflows Admin",
];

/// Permission groups for domains.
pub(super) const ZONE_PERMISSION_GROUPS: [&str; 8] = [
    "Domain Administrator",
    "Domain Administrator Read Only",
    "Domain API Gateway",
    "Domain DNS",
    "Domain Page Shield",
    "Domain Waiting Room Admin",
    "Zone Versioning",
    "Bot Management",
];

/// Areas that a legacy role's `permissions` map speaks of.
pub(super) const AREAS: [&str; 8] =
    ["analytics", "billing", "cache_purge", "dns", "dns_records", "organization", "waf", "zones"];

/// The stable label of a permission group, as far as one is known; else its name in snake case.
pub(super) fn label(name: &str) -> String {
    match name {
        SUPER_ADMINISTRATOR_NAME => "super_admin".into(),
        "Administrator" => "admin".into(),
        "Administrator Read Only" => "admin_readonly".into(),
        "Domain Administrator Read Only" => "domain_admin_readonly".into(),
        "Minimal Account Access" => "minimal_account_access".into(),
        _ => {
            let words = name.to_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), " ");
            words.split_whitespace().collect::<Vec<_>>().join("_")
        }
    }
}
