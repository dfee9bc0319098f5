//! Which tenant, where it and this Worker are reached, and with what its API is called.

use super::credentials::{Credentials, Proof};
use crate::base::remedy::SET_SECRET;
use crate::base::settings::{Reader, base_url, is_plain_id, parse_url};

/// Which tenant, where it and this Worker are reached, and with what its API is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `C1_TENANT`: the tenant's host, such as `acme.conductor.one`; webhooks of another tenant are refused.
    pub tenant: String,
    /// `C1_URL`: where the tenant is, without a slash at the end; by default `https://` and the tenant's host.
    pub url: String,
    /// `PUBLIC_URL`: where C1 reaches this Worker. Where it is not set, it is learned: the Coordinator keeps it.
    pub public_url: Option<PublicUrl>,
    /// `C1_CLIENT_ID` and `C1_CLIENT_SECRET`: call C1's API.
    pub credentials: Option<Credentials>,
    /// `C1_APP_ID`: the C1 app that stands for the account, where it is not to be looked for.
    pub app_id: Option<String>,
}

/// Where this Worker is reached from outside: what a webhook's `aud` and `htu` claims must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// The URL without a slash at its end.
    pub base: String,
    /// Its host name.
    pub host: String,
}

impl PublicUrl {
    /// Reads `PUBLIC_URL`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = parse_url(text)?;
        if url.path() != "/" {
            // ConductorOne would be told of URLs beneath it, and the Worker answers at the root of its host.
            return Err(format!("must have no path: set it to {}", url.origin()));
        }
        let host = url.host().to_owned();
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), host })
    }

    /// What a request's origin comes to, if it is one at which C1 can reach this Worker: a name, over TLS.
    pub fn of_request(origin: &str) -> Option<Self> {
        let url = parse_url(origin).ok().filter(|url| url.scheme() == "https")?;
        let name = url.host();
        // The root's dot makes the same host another text, which C1 would sign.
        (!url.is_address() && name.contains('.') && !name.ends_with('.')).then(|| Self::parse(origin).ok())?
    }
}

impl Settings {
    /// Reads them; `None` where one that is required is missing or wrong.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let tenant = reader.required("C1_TENANT", "set it to the tenant's host, such as acme.conductor.one", tenant);
        let public_url = reader.protecting("PUBLIC_URL", PublicUrl::parse);
        let url = reader.protecting("C1_URL", base_url);
        let credentials = credentials(reader);
        let app_id = reader.protecting("C1_APP_ID", app_id);
        let tenant = tenant?;
        Some(Self { url: url.unwrap_or_else(|| format!("https://{tenant}")), tenant, public_url, credentials, app_id })
    }

    /// Where the tenant's URLs begin.
    pub fn origins(&self) -> [String; 2] {
        [format!("https://{}", self.tenant), self.url.clone()]
    }
}

/// The two halves of C1's API key: both or none.
fn credentials(reader: &mut Reader<'_>) -> Option<Credentials> {
    const NAMES: (&str, &str) = ("C1_CLIENT_ID", "C1_CLIENT_SECRET");
    let id = reader.optional(NAMES.0, |text| {
        let plain = text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic());
        let message =
            "must be the client id that ConductorOne showed, such as happy-otter-12345@acme.conductor.one/pcc";
        plain.then(|| text.to_owned()).ok_or_else(|| message.to_owned())
    });
    let proof = reader.optional(NAMES.1, |text| Proof::parse(text).map_err(|error| error.to_string()));
    let lone = match (reader.text(NAMES.0), reader.text(NAMES.1)) {
        (Some(_), None) => Some((NAMES.1, NAMES.0)),
        (None, Some(_)) => Some((NAMES.0, NAMES.1)),
        _ => None,
    };
    if let Some((name, other)) = lone {
        reader.problem(
            name,
            format!("missing: {other} is set, and one is of no use without the other; set it {SET_SECRET}{name}"),
        );
    }
    Some(Credentials { client_id: id?, proof: proof? })
}

/// Reads the id of an app as C1 writes them: letters and digits.
pub fn app_id(text: &str) -> Result<String, String> {
    let message =
        "must be the app's id in ConductorOne, which stands in the address bar after /apps/ when you look at the app";
    is_plain_id(text).then(|| text.to_owned()).ok_or_else(|| message.to_owned())
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
