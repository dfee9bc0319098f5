//! Has every room read its settings. What is wrong is told all at once, each variable by name with what to put there.

use crate::base::settings::Reader;
use crate::routes::{NotConfigured, Settings};

/// The variables and secrets in the order of the configuration table, in which problems are told.
const ORDER: [&str; 38] = [
    "CLOUDFLARE_ACCOUNT_ID",
    "CLOUDFLARE_API_TOKEN",
    "CONNECTOR_TOKEN",
    "C1_TENANT",
    "PUBLIC_URL",
    "PROVISIONING",
    "PLAN",
    "DEFAULT_ROLE",
    "MIN_SUPER_ADMINS",
    "PROTECTED_MEMBERS",
    "LAST_ROLE",
    "MAX_REMOVALS_PER_HOUR",
    "ALLOWED_APPS",
    "RENEW_INVITATIONS_AFTER_DAYS",
    "SCIM_REPLACE_MAX_REMOVALS",
    "APPROVAL_RULES",
    "SIGNAL_URL",
    "SIGNALS",
    "SIGNAL_HMAC_SECRET",
    "SIGNAL_SIGNING_KEY",
    "C1_CLIENT_ID",
    "C1_CLIENT_SECRET",
    "C1_APP_ID",
    "AUTO_WIRE",
    "C1_CONNECTOR_ID",
    "PUSH_FILE",
    "S3_REGION",
    "S3_BUCKET",
    "S3_KEY",
    "S3_ENDPOINT",
    "S3_ADDRESSING",
    "S3_ACCESS_KEY_ID",
    "S3_SECRET_ACCESS_KEY",
    "S3_SESSION_TOKEN",
    "AZURE_SAS_URL",
    "JOURNAL_DAYS",
    "CLOUDFLARE_API_URL",
    "C1_URL",
];

/// Reads the configuration through `lookup`, which gives the text of a variable or a secret by its name.
pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Settings, NotConfigured> {
    let mut reader = Reader::new(&lookup);
    Settings::read(&mut reader).map_err(|token| {
        let mut problems = reader.problems;
        problems.sort_by_key(|problem| ORDER.iter().position(|name| *name == problem.name));
        NotConfigured { problems, token }
    })
}

#[cfg(test)]
mod tests {
    use super::{ORDER, read};
    use crate::base::settings::Plan;
    use crate::provision::Provisioning;

    fn lookup(changes: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let mut vars = vec![
            ("CLOUDFLARE_ACCOUNT_ID", "eb78d65290b24279ba6f44721b3ea3c4"),
            ("CLOUDFLARE_API_TOKEN", "cfat_secret"),
            ("CONNECTOR_TOKEN", "0123456789abcdef0123456789abcdef"),
            ("C1_TENANT", "acme.conductor.one"),
            ("PUBLIC_URL", "https://connector.example.com/"),
        ];
        for (name, value) in changes {
            vars.retain(|(known, _)| known != name);
            vars.push((name, value));
        }
        let vars: Vec<(String, String)> =
            vars.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        move |name| vars.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn the_defaults_are_the_safe_ones() {
        let config = read(lookup(&[])).unwrap().coordinator;
        assert_eq!(config.provision.provisioning, Provisioning::Off);
        assert_eq!(config.plan, Plan::Free);
        assert_eq!(config.cloudflare.url, "https://api.cloudflare.com/client/v4");
        assert_eq!(config.conductorone.url, "https://acme.conductor.one");
        assert_eq!(config.conductorone.public_url.base, "https://connector.example.com");
        assert_eq!(config.conductorone.public_url.host, "connector.example.com");
    }

    #[test]
    fn the_order_is_that_of_the_page_on_the_configuration() {
        let page = include_str!("../../docs/configuration.md");
        let cells = page.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').nth(1).unwrap());
        let names: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        let known: Vec<&str> = names.iter().copied().filter(|name| ORDER.contains(name)).collect();
        assert_eq!((known.as_slice(), names.len()), (ORDER.as_slice(), ORDER.len()));
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let error = read(|_| None).unwrap_err();
        let names: Vec<_> = error.problems.iter().map(|problem| problem.name).collect();
        assert_eq!(
            names,
            ["CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN", "CONNECTOR_TOKEN", "C1_TENANT", "PUBLIC_URL"]
        );
    }

    #[test]
    fn everything_that_is_malformed_is_named_at_once() {
        let error = read(lookup(&[
            ("CLOUDFLARE_ACCOUNT_ID", "acme"),
            ("CONNECTOR_TOKEN", "short"),
            ("C1_TENANT", "https://acme.conductor.one"),
            ("PUBLIC_URL", "http://connector.example.com"),
            ("CLOUDFLARE_API_URL", "ftp://example.com"),
            ("C1_URL", "https://acme.conductor.one/?x=1"),
            ("PROVISIONING", "yes"),
            ("PLAN", "enterprise"),
        ]))
        .unwrap_err();
        let names: Vec<_> = error.problems.iter().map(|problem| problem.name).collect();
        let (first, last) =
            (["CLOUDFLARE_ACCOUNT_ID", "CONNECTOR_TOKEN", "C1_TENANT"], ["CLOUDFLARE_API_URL", "C1_URL"]);
        assert_eq!(names, [&first[..], &["PUBLIC_URL", "PROVISIONING", "PLAN"], &last].concat(), "{error}");
        assert!(!error.to_string().contains("short"), "a secret's value never shows: {error}");
    }

    #[test]
    fn an_api_key_is_both_of_its_halves_or_none() {
        assert_eq!(read(lookup(&[])).unwrap().coordinator.conductorone.credentials, None);
        let (id, secret) = (("C1_CLIENT_ID", "otter@acme.conductor.one/pcc"), ("C1_CLIENT_SECRET", "hunter2"));
        assert!(read(lookup(&[id, secret])).unwrap().coordinator.conductorone.credentials.is_some());
        for (set, missing) in [(id, secret.0), (secret, id.0)] {
            let error = read(lookup(&[set])).unwrap_err();
            assert_eq!(error.problems.iter().map(|problem| problem.name).collect::<Vec<_>>(), [missing]);
        }
        let cut_off = ("C1_CLIENT_SECRET", "secret-token:conductorone.com:v1:eyJr");
        let error = read(lookup(&[id, cut_off])).unwrap_err();
        assert!(error.to_string().contains("cut off") && !error.to_string().contains("eyJr"), "{error}");
    }

    #[test]
    fn a_printed_configuration_shows_no_secret() {
        let shown = format!("{:?}", read(lookup(&[])).unwrap());
        assert!(!shown.contains("cfat_secret") && !shown.contains("0123456789abcdef"), "{shown}");
    }
}
