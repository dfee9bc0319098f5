//! Where signals go and how they are signed: `SIGNAL_URL`, `SIGNAL_HMAC_SECRET` or `SIGNAL_SIGNING_KEY`, and `SIGNALS`.

use serde_json::Value;

use super::SignalKind;
use crate::account::default_role::Configured;
use crate::base::base64;
use crate::base::json;
use crate::base::ports::{Secret, Sql, SqlError};
use crate::base::remedy::SET_SECRET;
use crate::base::settings::{Problem, Reader, words};
use crate::base::signing::SigningKey;
use crate::base::time::Timestamp;
use crate::base::url::Url;
use crate::conductorone;
use crate::model::id::AccountId;
use crate::snapshot::GenerationId;

/// Where signals go, and which do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// C1's inbound webhook. With a token in its path it is a secret, so it is one always.
    pub url: Secret,
    /// How C1 knows that a signal is ours.
    pub auth: Auth,
    /// Which signals are sent.
    pub kinds: Vec<SignalKind>,
}

/// What signals are made and sent by.
#[derive(Clone, Copy, Debug)]
pub struct ToldBy<'a> {
    /// Where they go; `None` where none are sent.
    pub settings: Option<&'a Settings>,
    /// The account that they are about.
    pub account_id: AccountId,
    /// Where the tenant is.
    pub c1_url: &'a str,
    /// The role of a new account, where it is not Minimal Account Access.
    pub default_role: &'a Configured,
    /// Whether the revoke of a member's last access leaves Minimal Account Access.
    pub last_role_is_minimal: bool,
    /// When the last sync began that found the account as a generation has it.
    pub found_so_since: fn(&dyn Sql, &GenerationId) -> Result<Option<Timestamp>, SqlError>,
}

/// How C1 knows that a signal is ours (`reference/conductorone.md` 8.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// By an HMAC with a secret that C1 made.
    Hmac(Secret),
    /// By a JWT, whose key C1 fetches from us.
    Jwt(SigningKey),
    /// By the URL alone, which nobody else knows.
    Capability,
}

impl Auth {
    /// What it is called.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hmac(_) => "an HMAC",
            Self::Jwt(_) => "a JWT",
            Self::Capability => "the capability URL alone",
        }
    }
}

/// Where C1 listens; the listener's id follows, and `/t/<token>` where the URL is a capability.
const PATH: &str = "/api/v1/webhooks/incoming/";

const HMAC: &str = "SIGNAL_HMAC_SECRET";
const KEY: &str = "SIGNAL_SIGNING_KEY";
const URL: &str = "SIGNAL_URL";
const KINDS: &str = "SIGNALS";

/// Which are sent where nobody says which: all but findings, of which there may be many.
const UNLESS_NAMED: [SignalKind; 4] =
    [SignalKind::AccessChanged, SignalKind::SyncFailed, SignalKind::ForeignChange, SignalKind::RemovalCapReached];

impl Settings {
    /// Reads them; `None` where no signals are sent.
    pub fn read(
        reader: &mut Reader<'_>,
        conductorone: Option<&conductorone::Settings>,
        key: Option<&SigningKey>,
    ) -> Option<Self> {
        let origins = conductorone.map(|settings| settings.origins().to_vec()).unwrap_or_default();
        read(|name| reader.text(name), key, &origins).unwrap_or_else(|problems| {
            reader.problems.extend(problems);
            None
        })
    }
}

/// Reads `SIGNAL_SIGNING_KEY`, which signs evidence too, whether signals are sent or not.
pub fn signing_key(reader: &mut Reader<'_>) -> Option<SigningKey> {
    reader.optional(KEY, |text| {
        parse_key(text).ok_or_else(|| {
            "must be an Ed25519 private key: a JWK with \"d\", or its 32 bytes in hexadecimal or base64, such as the output of: openssl rand -hex 32".to_owned()
        })
    })
}

/// Reads the settings: none of them, or all that belong together. `origins` are the tenant's base URLs, `key` is the one that is set, where
/// it is one: of another it is told already.
fn read(
    text: impl Fn(&str) -> Option<String>,
    key: Option<&SigningKey>,
    origins: &[String],
) -> Result<Option<Settings>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut problem = |name, message: String| problems.push(Problem::of_feature(name, message));
    let (url, hmac, has_key, kinds) = (text(URL), text(HMAC), text(KEY).is_some(), text(KINDS));
    let Some(url) = url else {
        let given = [(HMAC, &hmac), (KINDS, &kinds)].into_iter().find(|(_, text)| text.is_some());
        return match given {
            None => Ok(None),
            Some((name, _)) => Err(vec![Problem::of_feature(
                URL,
                format!(
                    "missing: {name} is set, so set this to the URL of the incoming webhook in ConductorOne too, or take {name} away"
                ),
            )]),
        };
    };
    let is_capability = match check_url(&url, origins) {
        Ok(is_capability) => is_capability,
        Err(message) => {
            problem(URL, message);
            false
        }
    };
    let auth = match (hmac, has_key) {
        (None, _) if is_capability => Some(Auth::Capability),
        (Some(_), _) if is_capability => {
            problem(HMAC, format!("must not be set: the token in {URL} is all that ConductorOne asks for"));
            None
        }
        (None, false) => {
            problem(
                HMAC,
                format!(
                    "missing: {URL} is set, so set this to the secret that ConductorOne showed, {SET_SECRET}{HMAC} (or {KEY}, where the incoming webhook takes JWTs)"
                ),
            );
            None
        }
        // The key signs evidence all the same.
        (Some(secret), _) => Some(Auth::Hmac(Secret::new(secret))),
        (None, true) => key.cloned().map(Auth::Jwt),
    };
    let kinds = match kinds.map_or_else(|| Ok(UNLESS_NAMED.to_vec()), |text| read_kinds(&text)) {
        Ok(kinds) => kinds,
        Err(message) => {
            problem(KINDS, message);
            Vec::new()
        }
    };
    match auth {
        Some(auth) if problems.is_empty() => Ok(Some(Settings { url: Secret::new(url), auth, kinds })),
        _ => Err(problems),
    }
}

/// Whether the URL is a capability; `Err` says what is wrong with it, and never shows it.
fn check_url(text: &str, origins: &[String]) -> Result<bool, String> {
    let shape = || {
        format!(
            "must be the URL of an incoming webhook in ConductorOne: https://<tenant>{PATH}<id>, with /t/<token> where that is how it is protected"
        )
    };
    let url = Url::parse(text).map_err(|_| shape())?;
    if url.query().is_some() || url.has_fragment_or_credentials() {
        return Err(shape());
    }
    // What is signalled is the account's: it goes to the tenant alone.
    if !origins.is_empty()
        && !origins.iter().any(|origin| text.strip_prefix(origin.as_str()).is_some_and(|rest| rest.starts_with('/')))
    {
        return Err("must be a URL of the tenant that C1_TENANT names".to_owned());
    }
    let path = url.path().split_once(PATH).map(|(_, rest)| rest).ok_or_else(shape)?;
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [id] if !id.is_empty() => Ok(false),
        [id, "t", token] if !id.is_empty() && !token.is_empty() => Ok(true),
        _ => Err(shape()),
    }
}

fn read_kinds(text: &str) -> Result<Vec<SignalKind>, String> {
    let names = SignalKind::ALL.map(SignalKind::as_str).join(", ");
    let kinds: Option<Vec<SignalKind>> = words(text).iter().map(|word| SignalKind::parse(word)).collect();
    kinds.filter(|kinds| !kinds.is_empty()).ok_or_else(|| format!("must be some of {names}, with commas"))
}

/// An Ed25519 private key however it is written.
fn parse_key(text: &str) -> Option<SigningKey> {
    if text.starts_with('{') {
        let jwk: Value = json::read_str(text).ok()?;
        let field = |name: &str| jwk.get(name).and_then(Value::as_str);
        let is_ed25519 = field("kty") == Some("OKP") && field("crv") == Some("Ed25519");
        return seed(field("d").filter(|_| is_ed25519)?);
    }
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let digits: Vec<u8> =
            text.chars().filter_map(|c| c.to_digit(16)).filter_map(|n| u8::try_from(n).ok()).collect();
        let (pairs, _) = digits.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        return bytes.try_into().ok().map(SigningKey::of);
    }
    seed(text)
}

/// Base64 in either alphabet, padded or not.
fn seed(text: &str) -> Option<SigningKey> {
    base64::read_any(text)?.try_into().ok().map(SigningKey::of)
}

#[cfg(test)]
mod tests {
    use super::{Auth, Settings, read, signing_key};
    use crate::base::ports::Secret;
    use crate::base::settings::{Problem, Reader};
    use crate::base::signing::SigningKey;
    use crate::signal::SignalKind;

    const URL: &str = "https://acme.conductor.one/api/v1/webhooks/incoming/abc";

    fn check(vars: &[(&str, &str)]) -> Result<Option<Settings>, Vec<Problem>> {
        let lookup = |name: &str| vars.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        let mut reader = Reader::new(&lookup);
        let key = signing_key(&mut reader);
        let read = read(lookup, key.as_ref(), &["https://acme.conductor.one".to_owned()]);
        let problems = [read.as_ref().err().cloned().unwrap_or_default(), reader.problems].concat();
        if problems.is_empty() { read } else { Err(problems) }
    }

    #[test]
    fn nothing_is_sent_where_nothing_is_configured() {
        assert_eq!(check(&[]), Ok(None));
        // Evidence is signed with it all the same.
        assert_eq!(check(&[("SIGNAL_SIGNING_KEY", &"07".repeat(32))]), Ok(None));
    }

    #[test]
    fn each_way_of_signing_is_read() {
        let settings = |vars: &[(&str, &str)]| check(vars).unwrap().unwrap();
        let hmac = settings(&[
            ("SIGNAL_URL", URL),
            ("SIGNAL_HMAC_SECRET", "s3cr3t"),
            ("SIGNALS", "foreign_change, sync_failed"),
        ]);
        assert_eq!(hmac.auth, Auth::Hmac(Secret::new("s3cr3t")));
        assert_eq!(hmac.kinds, [SignalKind::ForeignChange, SignalKind::SyncFailed]);
        let capability = settings(&[("SIGNAL_URL", &format!("{URL}/t/token"))]);
        assert_eq!((capability.auth, capability.kinds), (Auth::Capability, super::UNLESS_NAMED.to_vec()));
        let beside = settings(&[("SIGNAL_URL", &format!("{URL}/t/token")), ("SIGNAL_SIGNING_KEY", &"07".repeat(32))]);
        assert_eq!(beside.auth, Auth::Capability);
        let both = [("SIGNAL_URL", URL), ("SIGNAL_HMAC_SECRET", "s3cr3t"), ("SIGNAL_SIGNING_KEY", &"07".repeat(32))];
        assert_eq!(settings(&both).auth, Auth::Hmac(Secret::new("s3cr3t")));
        for key in [
            "0707070707070707070707070707070707070707070707070707070707070707",
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
            r#"{"kty":"OKP","crv":"Ed25519","d":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc","x":"whatever"}"#,
        ] {
            let jwt = settings(&[("SIGNAL_URL", URL), ("SIGNAL_SIGNING_KEY", key)]);
            assert_eq!(jwt.auth, Auth::Jwt(SigningKey::of([7; 32])), "{key}");
        }
    }

    #[test]
    fn half_a_configuration_names_what_is_missing_or_wrong_and_shows_no_secret() {
        let capability = format!("{URL}/t/token-of-the-url");
        for (vars, name, says) in [
            (&[("SIGNAL_HMAC_SECRET", "hush")] as &[(&str, &str)], "SIGNAL_URL", "SIGNAL_HMAC_SECRET is set"),
            (&[("SIGNALS", "sync_failed")], "SIGNAL_URL", "SIGNALS is set"),
            (&[("SIGNAL_URL", URL)], "SIGNAL_HMAC_SECRET", "missing"),
            (
                &[("SIGNAL_URL", URL), ("SIGNAL_HMAC_SECRET", "hush"), ("SIGNAL_SIGNING_KEY", "hush")],
                "SIGNAL_SIGNING_KEY",
                "Ed25519",
            ),
            (&[("SIGNAL_URL", URL), ("SIGNAL_SIGNING_KEY", "hush")], "SIGNAL_SIGNING_KEY", "Ed25519"),
            (&[("SIGNAL_URL", &capability), ("SIGNAL_HMAC_SECRET", "hush")], "SIGNAL_HMAC_SECRET", "must not be set"),
            (
                &[("SIGNAL_URL", &capability), ("SIGNALS", "everything")],
                "SIGNALS",
                "access_changed, sync_failed, foreign_change",
            ),
            (&[("SIGNAL_URL", "https://evil.example/api/v1/webhooks/incoming/abc/t/hush")], "SIGNAL_URL", "C1_TENANT"),
            (
                &[("SIGNAL_URL", "https://acme.conductor.one.evil.example/api/v1/webhooks/incoming/a/t/b")],
                "SIGNAL_URL",
                "C1_TENANT",
            ),
            (
                &[("SIGNAL_URL", "https://acme.conductor.one/api/v1/webhooks/incoming/")],
                "SIGNAL_URL",
                "https://<tenant>",
            ),
            (&[("SIGNAL_URL", "hush")], "SIGNAL_URL", "https://<tenant>"),
        ] {
            let problems = check(vars).unwrap_err();
            let found = problems
                .iter()
                .find(|problem| problem.name == name)
                .unwrap_or_else(|| panic!("{vars:?}: {problems:?}"));
            assert!(found.message.contains(says), "{vars:?}: {problems:?}");
            let shown = format!("{problems:?}");
            assert!(!shown.contains("hush") && !shown.contains("token-of-the-url"), "{shown}");
        }
    }

    #[test]
    fn printed_settings_show_no_secret() {
        let settings = check(&[("SIGNAL_URL", &format!("{URL}/t/token-of-the-url"))]).unwrap();
        assert!(!format!("{settings:?}").contains("token-of-the-url"));
    }
}
