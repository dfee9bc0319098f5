//! The Worker's variables and secrets, read once into one typed value. What is wrong is told all at once, each
//! variable by name with what to put there.

use std::fmt;

mod push;

pub use push::{Addressing, Azure, Connector, Push, S3, Store};

use url::Url;

use crate::base::ports::Secret;
use crate::conductorone::credentials::{Credentials, Proof};
use crate::decide::{InvalidRules, Rules};
use crate::model::id::AccountId;
use crate::signal;

/// What the person who deployed the Worker decided.
#[derive(Clone, Debug)]
pub struct Config {
    /// `CLOUDFLARE_ACCOUNT_ID`: the account that is governed.
    pub account_id: AccountId,
    /// `CLOUDFLARE_API_TOKEN`: calls the Cloudflare API.
    pub cloudflare_token: Secret,
    /// `CLOUDFLARE_API_URL`: where that API is, without a slash at the end.
    pub cloudflare_url: String,
    /// `CONNECTOR_TOKEN`: the bearer token for `/v1`.
    pub connector_token: Secret,
    /// `C1_TENANT`: the tenant's host, such as `acme.conductor.one`; webhooks of another tenant are refused.
    pub tenant: String,
    /// `C1_URL`: where the tenant is, without a slash at the end; by default `https://` and the tenant's host.
    pub c1_url: String,
    /// `PUBLIC_URL`: where C1 reaches this Worker.
    pub public_url: PublicUrl,
    /// `PROVISIONING`: whether grants and revokes are carried out, or only told.
    pub provisioning: Provisioning,
    /// `PLAN`: the limits a sync step keeps.
    pub plan: Plan,
    /// What provisioning must not do.
    pub guards: Guards,
    /// `DEFAULT_ROLE`: what a new account gets when it is asked for without a role: the entitlement id of a role or a scoped
    /// role, a role's bare id, or a permission group's name or label.
    pub default_role: Option<String>,
    /// `SCIM_REPLACE_MAX_REMOVALS`: so many members one SCIM operation may take out of a Group.
    pub scim_replace_max_removals: usize,
    /// `RENEW_INVITATIONS_AFTER_DAYS`: how old an invitation of ours must be for a grant of the account to renew it; not set for never.
    pub renew_invitations_after_days: Option<i64>,
    /// `JOURNAL_DAYS`: how long settled operations are kept.
    pub journal_days: i64,
    /// `APPROVAL_RULES`: how approvals are decided. Rules that cannot be read approve nothing, and are nobody else's trouble.
    pub rules: Result<Rules, InvalidRules>,
    /// `SIGNAL_URL` and what belongs to it: where C1 is told of what a sync found.
    pub signals: Option<signal::settings::Settings>,
    /// `C1_CLIENT_ID` and `C1_CLIENT_SECRET`: call C1's API.
    pub c1_credentials: Option<Credentials>,
    /// `C1_APP_ID`: the C1 app that stands for the account, where it is not to be looked for.
    pub c1_app_id: Option<String>,
    /// What is pushed after a publication, and where to.
    pub push: Option<Push>,
    /// `AUTO_WIRE`: whether entitlements that C1 learns of later are pointed at this Worker as well.
    pub auto_wire: bool,
}

/// What provisioning must not do, whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guards {
    /// `MIN_SUPER_ADMINS`: so many accepted Super Administrators there are at least after a revoke or a removal.
    pub min_super_admins: usize,
    /// `PROTECTED_MEMBERS`: e-mail addresses, in lower case, whose access is never changed.
    pub protected: Vec<String>,
    /// `LAST_ROLE`: what the revoke of a member's last access does.
    pub last_role: LastRole,
    /// `MAX_REMOVALS_PER_HOUR`: so many revokes and removals are carried out within an hour at most.
    pub max_removals_per_hour: i64,
    /// `ALLOWED_APPS`: the ids of the C1 apps whose tasks are carried out; empty for any.
    pub allowed_apps: Vec<String>,
}

/// What the revoke of a member's last access does: Cloudflare has no members without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRole {
    /// It is refused.
    Refuse,
    /// The member is left with Minimal Account Access.
    MinimalAccess,
    /// The member is removed.
    RemoveMember,
}

/// Where this Worker is reached from outside: what a webhook's `aud` and `htu` claims must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// The URL without a slash at its end.
    pub base: String,
    /// Its host name.
    pub host: String,
}

/// Whether the connector may change the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provisioning {
    /// It says what it would have done.
    Off,
    /// It carries out what C1 asks for.
    On,
}

/// The Workers plan, which sets the limits of one invocation (`reference/cloudflare.md` 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// 50 outgoing requests and 10 ms of processor time for one invocation.
    Free,
    /// 10,000 outgoing requests and 30 s of processor time for one invocation.
    Paid,
}

/// One variable that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable's or secret's name.
    pub name: &'static str,
    /// What is wrong, and what to put there. Never the value of a secret.
    pub message: String,
}

/// Everything that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The problems, in the order of docs/configuration.md.
    pub problems: Vec<Problem>,
    /// The bearer token for `/v1`, where that at least is right: then it guards the list of problems too.
    pub connector_token: Option<Secret>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the Worker is not configured")?;
        for problem in &self.problems {
            write!(f, "; {}: {}", problem.name, problem.message)?;
        }
        Ok(())
    }
}

/// Reads the configuration through `lookup`, which gives the text of a variable or a secret by its name.
///
/// An empty or blank value counts as missing: that is what an unfilled line of wrangler.toml is.
pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let mut reader = Reader { lookup, problems: Vec::new() };
    let account_id = reader.required(
        "CLOUDFLARE_ACCOUNT_ID",
        "set it to the account id: 32 hexadecimal digits, on the account's overview page under \"Account ID\"",
        |text| {
            text.parse::<AccountId>().map_err(|_| {
                "must be 32 lower-case hexadecimal digits, as on the account's overview page under \"Account ID\""
                    .to_owned()
            })
        },
    );
    let cloudflare_token =
        reader.required("CLOUDFLARE_API_TOKEN", "set it with: npx wrangler secret put CLOUDFLARE_API_TOKEN", secret);
    let connector_token = reader.required("CONNECTOR_TOKEN", "set it with: npx wrangler secret put CONNECTOR_TOKEN (a long random text, such as the output of: openssl rand -hex 32)", |text| {
        if text.len() < MIN_CONNECTOR_TOKEN {
            return Err(format!("must have at least {MIN_CONNECTOR_TOKEN} characters, such as the output of: openssl rand -hex 32"));
        }
        secret(text)
    });
    let tenant = reader.required("C1_TENANT", "set it to the tenant's host, such as acme.conductor.one", tenant);
    let public_url = reader.required(
        "PUBLIC_URL",
        "set it to the URL at which C1 reaches this Worker, such as https://c1-cloudflare.example.workers.dev",
        public_url,
    );
    let cloudflare_url =
        reader.optional("CLOUDFLARE_API_URL", base_url).unwrap_or_else(|| CLOUDFLARE_API_URL.to_owned());
    let c1_url = reader.optional("C1_URL", base_url);
    let provisioning = reader.optional("PROVISIONING", |text| match text {
        "on" => Ok(Provisioning::On),
        "off" => Ok(Provisioning::Off),
        _ => Err("must be on or off".to_owned()),
    });
    let plan = reader.optional("PLAN", |text| match text {
        "free" => Ok(Plan::Free),
        "paid" => Ok(Plan::Paid),
        _ => Err("must be free or paid: the Workers plan of the account that runs this Worker".to_owned()),
    });
    let guards = Guards {
        min_super_admins: reader.optional("MIN_SUPER_ADMINS", number(1, 1000)).unwrap_or(2),
        protected: reader.optional("PROTECTED_MEMBERS", addresses).unwrap_or_default(),
        last_role: reader
            .optional("LAST_ROLE", |text| match text {
                "refuse" => Ok(LastRole::Refuse),
                "minimal_access" => Ok(LastRole::MinimalAccess),
                "remove_member" => Ok(LastRole::RemoveMember),
                _ => Err("must be refuse, minimal_access or remove_member".to_owned()),
            })
            .unwrap_or(LastRole::Refuse),
        max_removals_per_hour: reader.optional("MAX_REMOVALS_PER_HOUR", number(0, 1_000_000)).unwrap_or(25),
        allowed_apps: reader.optional("ALLOWED_APPS", |text| Ok(words(text))).unwrap_or_default(),
    };
    let default_role = reader.optional("DEFAULT_ROLE", |text| Ok(text.to_owned()));
    let scim_replace_max_removals = reader.optional("SCIM_REPLACE_MAX_REMOVALS", number(0, 1_000_000)).unwrap_or(1);
    let renew_invitations_after_days = reader.optional("RENEW_INVITATIONS_AFTER_DAYS", number(1, 3650));
    let journal_days = reader.optional("JOURNAL_DAYS", number(1, 3650));
    let rules = reader.text("APPROVAL_RULES").map_or_else(|| Ok(Rules::default()), |text| Rules::parse(&text));
    let origins: Vec<String> = tenant.iter().map(|host| format!("https://{host}")).chain(c1_url.clone()).collect();
    let signals = signal::settings::read(|name| reader.text(name), &origins);
    let signals = signals.unwrap_or_else(|problems| {
        reader.problems.extend(problems);
        None
    });
    let c1_credentials = reader.credentials();
    let c1_app_id = reader.optional("C1_APP_ID", c1_id);
    let push = push::read(&mut reader, c1_app_id.as_deref());
    let auto_wire = reader.optional("AUTO_WIRE", |text| match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    });
    match (account_id, cloudflare_token, connector_token, tenant, public_url) {
        (Some(account_id), Some(cloudflare_token), Some(connector_token), Some(tenant), Some(public_url))
            if reader.problems.is_empty() =>
        {
            Ok(Config {
                account_id,
                cloudflare_token,
                cloudflare_url,
                connector_token,
                c1_url: c1_url.unwrap_or_else(|| format!("https://{tenant}")),
                tenant,
                public_url,
                provisioning: provisioning.unwrap_or(Provisioning::Off),
                plan: plan.unwrap_or(Plan::Free),
                guards,
                default_role,
                scim_replace_max_removals,
                renew_invitations_after_days,
                journal_days: journal_days.unwrap_or(JOURNAL_DAYS),
                rules,
                signals,
                c1_credentials,
                c1_app_id,
                push,
                auto_wire: auto_wire.unwrap_or(false),
            })
        }
        (_, _, connector_token, _, _) => Err(ConfigError { problems: reader.problems, connector_token }),
    }
}

/// Cloudflare's API.
const CLOUDFLARE_API_URL: &str = "https://api.cloudflare.com/client/v4";

/// As long as Cloudflare keeps its own audit log (`reference/cloudflare.md` 1.7): 18 months.
const JOURNAL_DAYS: i64 = 548;

/// 32 hexadecimal digits are 128 bits, beyond guessing; what people type by hand is not.
const MIN_CONNECTOR_TOKEN: usize = 32;

struct Reader<F> {
    lookup: F,
    problems: Vec<Problem>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn text(&self, name: &str) -> Option<String> {
        let text = (self.lookup)(name)?;
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    }

    fn problem(&mut self, name: &'static str, message: &str) {
        self.problems.push(Problem { name, message: message.to_owned() });
    }

    fn required<T>(
        &mut self,
        name: &'static str,
        when_missing: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.text(name).is_none() {
            self.problems.push(Problem { name, message: format!("missing: {when_missing}") });
            return None;
        }
        self.optional(name, parse)
    }

    /// The two halves of C1's API key: both or none.
    fn credentials(&mut self) -> Option<Credentials> {
        const NAMES: (&str, &str) = ("C1_CLIENT_ID", "C1_CLIENT_SECRET");
        let id = self.optional(NAMES.0, |text| {
            let plain = text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic());
            let message =
                "must be the client id that ConductorOne showed, such as happy-otter-12345@acme.conductor.one/pcc";
            plain.then(|| text.to_owned()).ok_or_else(|| message.to_owned())
        });
        let proof = self.optional(NAMES.1, |text| Proof::parse(text).map_err(|error| error.to_string()));
        let lone = match (self.text(NAMES.0), self.text(NAMES.1)) {
            (Some(_), None) => Some((NAMES.1, NAMES.0)),
            (None, Some(_)) => Some((NAMES.0, NAMES.1)),
            _ => None,
        };
        if let Some((name, other)) = lone {
            let message = format!(
                "missing: {other} is set, and one is of no use without the other; set it with: npx wrangler secret put {name}"
            );
            self.problems.push(Problem { name, message });
        }
        Some(Credentials { client_id: id?, proof: proof? })
    }

    fn optional<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(name)?;
        parse(&text).map_err(|message| self.problems.push(Problem { name, message })).ok()
    }
}

#[allow(clippy::unnecessary_wraps, reason = "one of several parsers")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

/// Reads the id of an app as C1 writes them: letters and digits.
pub fn c1_id(text: &str) -> Result<String, String> {
    let plain = !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let message =
        "must be the app's id in ConductorOne, which stands in the address bar after /apps/ when you look at the app";
    plain.then(|| text.to_owned()).ok_or_else(|| message.to_owned())
}

/// A list with commas or white space between its items.
fn words(text: &str) -> Vec<String> {
    text.split([',', ' ', '\n', '\t']).map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn addresses(text: &str) -> Result<Vec<String>, String> {
    let addresses: Vec<String> = words(text).into_iter().map(|word| word.to_lowercase()).collect();
    match addresses.iter().find(|address| !address.contains('@')) {
        Some(_) => Err("must be e-mail addresses with commas between them".to_owned()),
        None => Ok(addresses),
    }
}

fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
    least: T,
    most: T,
) -> impl FnOnce(&str) -> Result<T, String> {
    move |text| {
        text.parse()
            .ok()
            .filter(|number| *number >= least && *number <= most)
            .ok_or_else(|| format!("must be a number from {least} to {most}"))
    }
}

fn tenant(text: &str) -> Result<String, String> {
    let host = text.to_ascii_lowercase();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if host.contains('.') && host.chars().all(allowed) {
        Ok(host)
    } else {
        Err("must be the tenant's host alone, such as acme.conductor.one, without https:// and without a path"
            .to_owned())
    }
}

/// An absolute URL without query or credentials, given back without a slash at its end. Plain HTTP is for a service on
/// the same machine, as in development.
fn base_url(text: &str) -> Result<String, String> {
    parse_url(text).map(|url| url.as_str().trim_end_matches('/').to_owned())
}

fn public_url(text: &str) -> Result<PublicUrl, String> {
    let url = parse_url(text)?;
    let host = url.host_str().unwrap_or_default().to_owned();
    Ok(PublicUrl { base: url.as_str().trim_end_matches('/').to_owned(), host })
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("must be a URL that begins with https:// ({error})"))?;
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err("must begin with https://".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err("must have no query, no fragment and no credentials".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::{Plan, Provisioning, read};

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
        let config = read(lookup(&[])).unwrap();
        assert_eq!(config.provisioning, Provisioning::Off);
        assert_eq!(config.plan, Plan::Free);
        assert_eq!(config.cloudflare_url, "https://api.cloudflare.com/client/v4");
        assert_eq!(config.c1_url, "https://acme.conductor.one");
        assert_eq!(config.public_url.base, "https://connector.example.com");
        assert_eq!(config.public_url.host, "connector.example.com");
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
        assert_eq!(error.problems.len(), 8, "{error}");
        assert!(!error.to_string().contains("short"), "a secret's value never shows: {error}");
    }

    #[test]
    fn an_api_key_is_both_of_its_halves_or_none() {
        assert_eq!(read(lookup(&[])).unwrap().c1_credentials, None);
        let (id, secret) = (("C1_CLIENT_ID", "otter@acme.conductor.one/pcc"), ("C1_CLIENT_SECRET", "hunter2"));
        assert!(read(lookup(&[id, secret])).unwrap().c1_credentials.is_some());
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
