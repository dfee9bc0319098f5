//! Signing in by Cloudflare Access: of all the Worker's paths only [`PATH`] is behind an Access application, which sends whoever it let in
//! there with a token of its own (`Cf-Access-Jwt-Assertion`). It is exchanged for a session of the page.
//!
//! The keys are fetched with each sign-in, a few a day: so a key that was rotated is known at once, and one that was withdrawn is not. What
//! costs nothing is checked before.

use super::asking::Ports;
use crate::base::settings::Reader;
use crate::base::signing::Algorithm;
use crate::base::time::Timestamp;
use crate::conductorone::jwks;
use crate::conductorone::jwt::{Claims, Token};
use crate::conductorone::verify::LEEWAY_SECS;
use crate::model::address;

/// Where a person goes to sign in; the one path that the Access application is in front of.
pub(super) const PATH: &str = "/session/access";

/// The header that Access adds to what it lets through.
const HEADER: &str = "cf-access-jwt-assertion";

/// The Access application in front of [`PATH`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `ACCESS_TEAM_DOMAIN`: the team's host.
    team: String,
    /// `ACCESS_AUD`: the application's audience tag.
    audience: String,
    /// `ACCESS_EDITORS`: the folded addresses of those who may change access; the others look.
    editors: Vec<String>,
}

/// Who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// The address, as Access tells it.
    pub(super) email: String,
    /// Whether more than looking is allowed.
    pub(super) is_editor: bool,
    /// When the token ends, in seconds.
    pub(super) ends: i64,
}

impl Access {
    /// Reads it; nothing where no team is named.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let before = reader.problems.len();
        let team = reader.optional("ACCESS_TEAM_DOMAIN", team);
        let audience = reader.optional("ACCESS_AUD", audience);
        let editors = reader.optional("ACCESS_EDITORS", editors).unwrap_or_default();
        match (team, audience) {
            (Some(team), Some(audience)) => Some(Self { team, audience, editors }),
            (Some(_), None) if reader.text("ACCESS_AUD").is_none() => {
                reader.problem(
                    "ACCESS_AUD",
                    "is missing: the application's audience tag, which ACCESS_TEAM_DOMAIN is of no use without",
                );
                None
            }
            (None, Some(_)) if reader.text("ACCESS_TEAM_DOMAIN").is_none() => {
                reader.problem(
                    "ACCESS_TEAM_DOMAIN",
                    "is missing: the team's domain, which ACCESS_AUD is of no use without",
                );
                None
            }
            (None, None) if !editors.is_empty() && reader.problems.len() == before => {
                reader.problem(
                    "ACCESS_EDITORS",
                    "names people whom nobody lets in: set ACCESS_TEAM_DOMAIN and ACCESS_AUD too, or leave it out",
                );
                None
            }
            _ => None,
        }
    }

    /// How it is set, in a text that no other setting has.
    pub(super) fn told(&self) -> String {
        format!("{}\n{}\n{}", self.team, self.audience, self.editors.join("\n"))
    }

    /// Whom the token of a request is of. An error says what is wrong with it, for the log.
    pub(super) async fn person<P: Ports>(&self, ports: &P, request: &super::http::Incoming) -> Result<Person, String> {
        let text = request
            .header(HEADER)
            .ok_or_else(|| format!("there is no {HEADER}: no Access application is in front of {PATH}"))?;
        let token = Token::parse(text).map_err(|error| error.to_string())?;
        if token.algorithm != Algorithm::Rs256 {
            return Err("it is not signed with RS256".to_owned());
        }
        let person = self.claimed(&token.claims, ports.now())?;
        let url = format!("https://{}/cdn-cgi/access/certs", self.team);
        let keys =
            jwks::fetch(ports, url).await.map_err(|error| format!("the team's keys cannot be fetched: {error}"))?;
        // Access names its key always; without that every key would have to be tried.
        let Some(key_id) = token.key_id.as_deref() else { return Err("it names no key".to_owned()) };
        for key in keys.candidates(token.algorithm, Some(key_id)) {
            if ports.verify(key, &token.signed, &token.signature).await {
                return Ok(person);
            }
        }
        Err("no key of the team has signed it".to_owned())
    }

    fn claimed(&self, claims: &Claims, now: Timestamp) -> Result<Person, String> {
        let issuer = format!("https://{}", self.team);
        if claims.iss.as_deref() != Some(&issuer) {
            return Err("it is of another team than ACCESS_TEAM_DOMAIN".to_owned());
        }
        if !claims.aud.as_ref().is_some_and(|audience| audience.contains(&self.audience)) {
            return Err("it is for another application than ACCESS_AUD".to_owned());
        }
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a conversion that does not fit stays at the end of the range"
        )]
        let secs =
            |claim: Option<f64>, name: &str| claim.map(|secs| secs as i64).ok_or_else(|| format!("it has no {name}"));
        let ends = secs(claims.exp, "exp")?;
        if now.secs() >= ends {
            return Err("it has expired".to_owned());
        }
        if secs(claims.nbf.or(claims.iat), "iat")? > now.secs() + LEEWAY_SECS {
            return Err("it is not valid yet".to_owned());
        }
        // A service's token has none: a service sends the bearer token.
        let email = claims.email.as_deref().filter(|email| address::is_address(email)).ok_or("it names no person")?;
        let is_editor = self.editors.contains(&address::folded(email));
        Ok(Person { email: email.to_owned(), is_editor, ends })
    }
}

fn team(text: &str) -> Result<String, String> {
    let host = text.trim_start_matches("https://").trim_end_matches('/').to_ascii_lowercase();
    let label = host.strip_suffix(".cloudflareaccess.com").unwrap_or_default();
    let is_label = !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_label { Ok(host) } else { Err("must be the team's domain, such as acme.cloudflareaccess.com".to_owned()) }
}

fn audience(text: &str) -> Result<String, String> {
    let is_tag = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_tag {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("must be the application's audience tag: 64 hexadecimal digits".to_owned())
    }
}

fn editors(text: &str) -> Result<Vec<String>, String> {
    address::read_list(text).map_err(|wrong| {
        let shown: String = wrong.chars().take(100).collect();
        format!("must be e-mail addresses with commas between them; {shown:?} is none")
    })
}
