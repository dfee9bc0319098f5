//! Has every room read its settings. What is wrong is told all at once, each variable by name with what to put there.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::order;
use crate::base::settings::Reader;
use crate::routes::{NotConfigured, Settings};

/// The variables and secrets in the order of the configuration table, in which problems are told.
const ORDER: [&str; 60] = [
    "CLOUDFLARE_ACCOUNT_ID",
    "CLOUDFLARE_API_TOKEN",
    "CONNECTOR_TOKEN",
    "CONNECTOR_TOKEN_PREVIOUS",
    "CONNECTOR_READ_TOKEN",
    "CONNECTOR_READ_TOKEN_PREVIOUS",
    "ACCESS_TEAM_DOMAIN",
    "ACCESS_AUD",
    "ACCESS_EDITORS",
    "C1_TENANT",
    "PUBLIC_URL",
    "PROVISIONING",
    "REST_PROVISIONING",
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
    "FINDINGS_MAX_SUPER_ADMINS",
    "FINDINGS_UNUSED_DAYS",
    "FINDINGS_IDLE_DAYS",
    "FINDINGS_EXPIRY_DAYS",
    "FINDINGS_INVITATION_DAYS",
    "FINDINGS_WITHDRAWAL_DAYS",
    "FINDINGS_WIDE_SCOPES",
    "FINDINGS_SIGNALLED",
    "FINDINGS_DOMAINS",
    "FINDINGS_IN_C1Z",
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
    "AUDIT_FEED",
    "LAST_LOGINS",
    "SWEEP_MINUTES",
    "OVERDUE_REVOKE_MINUTES",
    "ENFORCE_EXPIRY",
    "JOURNAL_DAYS",
    "CLOUDFLARE_API_URL",
    "C1_URL",
];

/// Reads the configuration through `lookup`, which gives the text of a variable or a secret by its name. A mistake in what is required
/// or protects is an error; any other is told in [`Settings::problems`], and its feature is off.
pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Settings, NotConfigured> {
    let mut reader = Reader::new(&lookup);
    let settings = Settings::read(&mut reader);
    let mut problems = reader.problems;
    order::sort_by_key(&mut problems, |problem| ORDER.iter().position(|name| *name == problem.name));
    match settings {
        Ok(settings) => Ok(Settings { problems, ..settings }),
        Err(token) => Err(NotConfigured { problems, token }),
    }
}

/// A configuration with the values that it was read of. An isolate may be given other values without being started again, so that what
/// was read holds only as long as these are the same; nothing of it can be printed.
pub struct Known {
    values: Vec<(String, Option<String>)>,
    read: Rc<Result<Settings, NotConfigured>>,
}

impl Known {
    /// Reads a configuration.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let values = RefCell::new(Vec::new());
        let read = read(|name| {
            let value = lookup(name);
            values.borrow_mut().push((name.to_owned(), value.clone()));
            value
        });
        Self { values: values.into_inner(), read: Rc::new(read) }
    }

    /// Whether it would be read as it was.
    pub fn holds(&self, lookup: impl Fn(&str) -> Option<String>) -> bool {
        self.values.iter().all(|(name, value)| lookup(name) == *value)
    }

    /// What was read.
    pub fn settings(&self) -> Rc<Result<Settings, NotConfigured>> {
        Rc::clone(&self.read)
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, ORDER, read};
    use crate::base::settings::Plan;
    use crate::coordinator;
    use crate::decide::Rules;
    use crate::provision::{Guards, LastRole, Provisioning};
    use crate::routes::{NotConfigured, Settings};

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
    fn what_was_read_holds_until_a_value_differs_that_was_looked_at() {
        let known = Known::read(lookup(&[("PLAN", "paid")]));
        assert!(known.holds(lookup(&[("PLAN", "paid"), ("NO_VARIABLE", "x")])));
        assert_eq!(known.settings().as_ref().as_ref().unwrap().coordinator.plan, Plan::Paid);
        for changes in [&[][..], &[("PLAN", "paid"), ("CONNECTOR_TOKEN", "another0another0another0another0")]] {
            assert!(!known.holds(lookup(changes)), "{changes:?}");
        }
        for name in ["CLOUDFLARE_API_TOKEN", "PUBLIC_URL", "PROVISIONING", "APPROVAL_RULES", "SIGNAL_URL", "PUSH_FILE"]
        {
            assert!(!known.holds(lookup(&[("PLAN", "paid"), (name, "0")])), "{name}");
        }
        let none = Known::read(|_| None);
        assert!(none.settings().is_err() && none.holds(|_| None) && !none.holds(lookup(&[])));
    }

    #[test]
    fn the_defaults_are_the_safe_ones() {
        let settings = read(lookup(&[])).unwrap();
        assert!(settings.rest_provisioning && settings.scim_replace_max_removals == 1);
        let config = settings.coordinator;
        assert_eq!(config.provision.provisioning, Provisioning::Off);
        let guards = Guards {
            min_super_admins: 2,
            protected: Vec::new(),
            last_role: LastRole::Refuse,
            max_removals_per_hour: 25,
        };
        assert_eq!(config.provision.guards, guards);
        assert_eq!((config.enforce_expiry, config.auto_wire), (false, false));
        assert_eq!(config.plan, Plan::Free);
        assert_eq!(config.cloudflare.url, "https://api.cloudflare.com/client/v4");
        assert_eq!(config.conductorone.url, "https://acme.conductor.one");
        let reached = config.conductorone.public_url.unwrap();
        assert_eq!(reached.base, "https://connector.example.com");
        assert_eq!(reached.host, "connector.example.com");
    }

    #[test]
    fn the_defaults_are_those_of_the_page_on_the_configuration() {
        let page = include_str!("../../docs/configuration.md").replace("<C1_TENANT>", "acme.conductor.one");
        let unset = format!("{:?}", read(lookup(&[])).unwrap());
        let mut compared = Vec::new();
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let value = |cell: &str| cell.strip_prefix('`')?.strip_suffix('`').map(str::to_owned);
            // What is no value stands there in words, and of several variables none has one.
            let (Some(name), Some(default)) = (value(cells[1]), value(cells[3])) else { continue };
            let set = read(lookup(&[(name.as_str(), default.as_str())])).unwrap();
            assert_eq!(format!("{set:?}"), unset, "{name} is not {default} where it is not set");
            compared.push(name);
        }
        assert_eq!(compared.len(), 26, "{compared:?}");
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
        assert_eq!(names, ["CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN", "CONNECTOR_TOKEN", "C1_TENANT"]);
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
        assert!(error.problems.iter().all(|problem| problem.is_fatal() == (problem.name != "PLAN")), "{error:?}");
        let names: Vec<_> = error.problems.iter().map(|problem| problem.name).collect();
        let (first, last) =
            (["CLOUDFLARE_ACCOUNT_ID", "CONNECTOR_TOKEN", "C1_TENANT"], ["CLOUDFLARE_API_URL", "C1_URL"]);
        assert_eq!(names, [&first[..], &["PUBLIC_URL", "PROVISIONING", "PLAN"], &last].concat(), "{error}");
        assert!(!error.to_string().contains("short"), "a secret's value never shows: {error}");
    }

    #[test]
    fn an_api_key_is_both_of_its_halves_or_none() {
        let credentials = |vars: &[(&str, &str)]| {
            let settings = read(lookup(vars)).unwrap();
            (settings.coordinator.conductorone.credentials, settings.problems)
        };
        assert_eq!(credentials(&[]), (None, Vec::new()));
        let (id, secret) = (("C1_CLIENT_ID", "otter@acme.conductor.one/pcc"), ("C1_CLIENT_SECRET", "hunter2"));
        assert!(credentials(&[id, secret]).0.is_some());
        let cut_off = ("C1_CLIENT_SECRET", "secret-token:conductorone.com:v1:eyJr");
        for (vars, name) in [(vec![id], secret.0), (vec![secret], id.0), (vec![id, cut_off], secret.0)] {
            let (credentials, problems) = credentials(&vars);
            assert_eq!(credentials, None);
            assert_eq!(problems.iter().map(|problem| problem.name).collect::<Vec<_>>(), [name]);
            assert!(!format!("{problems:?}").contains("eyJr"), "{problems:?}");
        }
    }

    /// Every feature that there is, switched on.
    const ALL: [(&str, &str); 19] = [
        ("PROVISIONING", "on"),
        ("PLAN", "paid"),
        ("RENEW_INVITATIONS_AFTER_DAYS", "14"),
        ("APPROVAL_RULES", r#"{"low_risk_roles":["DNS"]}"#),
        ("SIGNAL_URL", "https://acme.conductor.one/api/v1/webhooks/incoming/abc"),
        ("SIGNAL_HMAC_SECRET", "s3cr3t"),
        ("SIGNALS", "sync_failed"),
        ("C1_CLIENT_ID", "otter@acme.conductor.one/pcc"),
        ("C1_CLIENT_SECRET", "hunter2"),
        ("C1_APP_ID", "2app"),
        ("C1_CONNECTOR_ID", "2connector"),
        ("AUTO_WIRE", "on"),
        ("PUSH_FILE", "grants.csv"),
        ("S3_REGION", "eu-central-1"),
        ("S3_BUCKET", "governance"),
        ("S3_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("S3_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
        ("JOURNAL_DAYS", "30"),
        ("ENFORCE_EXPIRY", "on"),
    ];

    fn changed(changes: &[(&str, &str)]) -> Result<Settings, NotConfigured> {
        read(lookup(&[&ALL, changes].concat()))
    }

    /// Takes back what a variable would have brought.
    type Undo = fn(&mut coordinator::Settings);

    #[test]
    fn a_mistake_in_what_is_optional_turns_off_its_own_feature_and_nothing_else() {
        let all = changed(&[]).unwrap();
        assert_eq!(all.problems, []);
        let no_push: fn(&mut coordinator::Settings) = |it| it.push = None;
        let no_signal: fn(&mut coordinator::Settings) = |it| it.signal = None;
        let no_forced_sync: fn(&mut coordinator::Settings) = |it| it.push.as_mut().unwrap().connector = None;
        let no_key: fn(&mut coordinator::Settings) = |it| {
            it.conductorone.credentials = None;
            it.push.as_mut().unwrap().connector = None;
        };
        let rules: Undo = |it| it.rules = Rules::parse("{");
        let cases: [(&str, &str, Undo); 23] = [
            ("PLAN", "enterprise", |it| it.plan = Plan::Free),
            ("RENEW_INVITATIONS_AFTER_DAYS", "soon", |it| it.provision.renew_invitations_after_days = None),
            ("APPROVAL_RULES", "{", rules),
            ("SIGNAL_URL", "https://evil.example/api/v1/webhooks/incoming/abc", no_signal),
            ("SIGNALS", "everything", no_signal),
            ("SIGNAL_HMAC_SECRET", "", no_signal),
            ("C1_CLIENT_SECRET", "secret-token:conductorone.com:v1:eyJr", no_key),
            ("C1_CLIENT_ID", "", no_key),
            ("C1_CONNECTOR_ID", "2 connectors", no_forced_sync),
            ("AUTO_WIRE", "maybe", |it| it.auto_wire = false),
            ("PUSH_FILE", "grants.xlsx", no_push),
            ("S3_REGION", "", no_push),
            ("S3_BUCKET", "s3://governance", no_push),
            ("S3_KEY", "a/../b", no_push),
            ("S3_ENDPOINT", "http://s3.example.com", no_push),
            ("S3_ADDRESSING", "dns", no_push),
            ("S3_SESSION_TOKEN", "a b", no_push),
            ("AZURE_SAS_URL", "https://acme.blob.core.windows.net/x", no_push),
            ("JOURNAL_DAYS", "for ever", |it| it.journal_days = 3650),
            ("ENFORCE_EXPIRY", "yes", |it| it.enforce_expiry = false),
            ("OVERDUE_REVOKE_MINUTES", "1440m", |it| it.enforce_expiry = false),
            ("AUDIT_FEED", "no", |it| it.audit.feed = None),
            ("LAST_LOGINS", "false", |it| it.audit.logins = None),
        ];
        for (name, value, off) in cases {
            let got = changed(&[(name, value)]).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(got.problems.iter().map(|problem| problem.name).collect::<Vec<_>>(), [name]);
            let mut expected = all.coordinator.clone();
            off(&mut expected);
            assert_eq!(format!("{:?}", got.coordinator), format!("{expected:?}"), "{name}");
        }
    }

    #[test]
    fn a_list_that_protects_takes_the_usual_separators() {
        let settings = changed(&[
            ("PROTECTED_MEMBERS", "Jane <JANE@example.com>; <joe@example.com>\n\"root@müller.example\""),
            ("ALLOWED_APPS", "2app; \"2other\"\n2third"),
        ]);
        let provision = settings.unwrap().coordinator.provision;
        assert_eq!(provision.guards.protected, ["jane@example.com", "joe@example.com", "root@xn--mller-kva.example"]);
        let three = ["2app", "2other", "2third"].map(str::to_owned).to_vec();
        assert_eq!(provision.apps, crate::account::apps::Apps::configured(three, None));
    }

    #[test]
    fn a_mistake_in_what_protects_or_says_where_to_go_stops_everything() {
        for (name, value) in [
            ("PROVISIONING", "yes"),
            ("REST_PROVISIONING", "no"),
            ("PUBLIC_URL", "https://connector.example.com/cloudflare"),
            ("MIN_SUPER_ADMINS", "two"),
            ("PROTECTED_MEMBERS", "jane"),
            ("PROTECTED_MEMBERS", "jane@example.com, joe"),
            ("PROTECTED_MEMBERS", ",;"),
            ("PROTECTED_MEMBERS", "jane@example.com\u{200b}"),
            ("ALLOWED_APPS", ","),
            ("ALLOWED_APPS", "\"\""),
            ("ALLOWED_APPS", "2app, https://acme.conductor.one/apps/2other"),
            ("LAST_ROLE", "keep"),
            ("MAX_REMOVALS_PER_HOUR", "-1"),
            ("SCIM_REPLACE_MAX_REMOVALS", "all"),
            ("C1_APP_ID", "https://acme.conductor.one/apps/2app"),
            ("CLOUDFLARE_API_URL", "api.cloudflare.com"),
            ("C1_URL", "acme.conductor.one"),
        ] {
            let error = changed(&[(name, value)]).unwrap_err();
            let told: Vec<_> = error.problems.iter().map(|problem| (problem.name, problem.is_fatal())).collect();
            assert!(told.contains(&(name, true)), "{name}: {told:?}");
        }
    }

    #[test]
    fn a_printed_configuration_shows_no_secret() {
        let url = "https://acme.conductor.one/api/v1/webhooks/incoming/abc";
        let capability = format!("{url}/t/of-the-path");
        let with_sas = "https://acme.blob.core.windows.net/box/grants.csv?sp=cw&sig=of-the-sas";
        let no_s3 = ["S3_REGION", "S3_BUCKET", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"].map(|name| (name, ""));
        let seed = "5e".repeat(32);
        let tokens = [
            ("CONNECTOR_TOKEN", "full-0123456789abcdef0123456789abcdef"),
            ("CONNECTOR_TOKEN_PREVIOUS", "full-before-0123456789abcdef01234567"),
            ("CONNECTOR_READ_TOKEN", "read-0123456789abcdef0123456789abcdef"),
            ("CONNECTOR_READ_TOKEN_PREVIOUS", "read-before-0123456789abcdef01234567"),
            ("S3_SESSION_TOKEN", "of-the-session"),
        ];
        let azure = [("SIGNAL_URL", capability.as_str()), ("SIGNAL_HMAC_SECRET", ""), ("AZURE_SAS_URL", with_sas)];
        let signed = [("SIGNAL_URL", url), ("SIGNAL_HMAC_SECRET", ""), ("SIGNAL_SIGNING_KEY", seed.as_str())];
        // What each of them is known by, as a text, as bytes and as numbers.
        let secrets = [
            "cfat_secret",
            "0123456789abcdef",
            "s3cr3t",
            "hunter2",
            "wJalrXUtnFEMI",
            "of-the-session",
            "of-the-path",
            "of-the-sas",
            "sig=",
            "5e5e",
            "94, 94",
        ];
        let cases = [tokens.to_vec(), [&no_s3[..], &azure].concat(), signed.to_vec()];
        for changes in cases {
            let settings = changed(&changes).unwrap();
            assert_eq!(settings.problems, []);
            let it = &settings.coordinator;
            assert!(it.push.is_some() && it.signal.is_some() && it.conductorone.credentials.is_some(), "the control");
            let shown = format!("{settings:?} {settings:#?}");
            for secret in secrets {
                assert!(!shown.contains(secret), "{secret}: {shown}");
            }
        }
    }
}
