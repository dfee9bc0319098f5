//! The token endpoint, which believes nobody: it verifies the assertion or the secret (RFC 6749 section 4.4, RFC 7523).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, SigningKey, Verifier as _, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::conductorone::id;
use crate::http::{Reply, Request};

/// Where tokens are issued.
pub(super) const PATH: &str = "/auth/v1/token";

/// An assertion may last this long.
const LONGEST_ASSERTION_SECS: i64 = 5 * 60;

/// An API key as C1 shows it, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The client id.
    pub client_id: String,
    /// The client secret.
    pub client_secret: String,
}

#[derive(Debug)]
enum Proof {
    Key(VerifyingKey),
    Secret(String),
}

#[derive(Debug)]
pub(super) struct OAuth {
    clients: HashMap<String, Proof>,
    /// The client of a token, and when it ends in milliseconds.
    tokens: HashMap<String, (String, i64)>,
    seen: HashSet<String>,
    secrets: Vec<String>,
    pub(super) lifetime: Duration,
}

impl Default for OAuth {
    fn default() -> Self {
        Self {
            clients: HashMap::new(),
            tokens: HashMap::new(),
            seen: HashSet::new(),
            secrets: Vec::new(),
            lifetime: Duration::from_hours(1),
        }
    }
}

impl OAuth {
    pub(super) fn register(&mut self, name: &str, host: &str, with_key: bool) -> Credential {
        let client_id = format!("{name}@{host}/pcc");
        let (proof, client_secret) = if with_key {
            let key = SigningKey::from_bytes(&Sha256::digest(format!("api key {client_id}")).into());
            let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let public = key.verifying_key();
            let jwk = json!({
                "kty": "OKP", "crv": "Ed25519", "x": encode(public.as_bytes()), "d": encode(&key.to_bytes()),
            });
            let secret = format!("secret-token:conductorone.com:v1:{}", encode(jwk.to_string().as_bytes()));
            (Proof::Key(public), secret)
        } else {
            let secret = format!("plain-{}", id::derived(&client_id));
            (Proof::Secret(secret.clone()), secret)
        };
        self.clients.insert(client_id.clone(), proof);
        self.secrets.push(client_secret.clone());
        Credential { client_id, client_secret }
    }

    pub(super) fn withdraw(&mut self, client_id: &str) {
        self.clients.remove(client_id);
        self.tokens.retain(|_, (client, _)| client != client_id);
    }

    pub(super) fn expire(&mut self) {
        self.tokens.clear();
    }

    pub(super) fn secrets(&self) -> Vec<String> {
        self.secrets.clone()
    }

    /// Lets a request in that has a token which was issued and lasts.
    pub(super) fn authorise(&self, now: i64, request: &Request) -> Result<(), &'static str> {
        let header = request.header("authorization").ok_or("no access token")?;
        let token = header.strip_prefix("Bearer ").ok_or("not a bearer token")?;
        let (_, ends) = self.tokens.get(token).ok_or("unknown access token")?;
        if *ends > now { Ok(()) } else { Err("the access token has expired") }
    }

    pub(super) fn token(&mut self, host: &str, now: i64, request: &Request) -> Reply {
        let client = match self.verify(host, now, request) {
            Ok(client) => client,
            Err((error, why)) => {
                let status = if error == "invalid_client" { 401 } else { 400 };
                return Reply::json(status, &json!({ "error": error, "error_description": why }));
            }
        };
        let token = format!("c1at_{}{}", id::fresh(), id::fresh());
        let lifetime = i64::try_from(self.lifetime.as_millis()).unwrap_or(i64::MAX);
        self.tokens.insert(token.clone(), (client, now.saturating_add(lifetime)));
        self.secrets.push(token.clone());
        Reply::json(200, &json!({ "access_token": token, "token_type": "Bearer", "expires_in": lifetime / 1000 }))
    }

    fn verify(&mut self, host: &str, now: i64, request: &Request) -> Result<String, (&'static str, String)> {
        let bad_request = |why: &str| ("invalid_request", why.to_owned());
        let bad_client = |why: &str| ("invalid_client", why.to_owned());
        if request.method != "POST" || !is_form(request) {
            return Err(bad_request("POST a form"));
        }
        let form: HashMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str);
        if field("grant_type") != Some("client_credentials") {
            return Err(("unsupported_grant_type", "only client_credentials".to_owned()));
        }
        let client_id = field("client_id").ok_or_else(|| bad_request("client_id is missing"))?;
        let proof = self.clients.get(client_id).ok_or_else(|| bad_client("no such client"))?;
        match (proof, field("client_secret"), field("client_assertion")) {
            (Proof::Secret(secret), Some(given), None) if secret == given => Ok(client_id.to_owned()),
            (Proof::Secret(_), ..) => Err(bad_client("the client secret is wrong")),
            (Proof::Key(key), None, Some(assertion)) => {
                const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                if field("client_assertion_type") != Some(KIND) {
                    return Err(bad_request("client_assertion_type"));
                }
                let id = check(key, client_id, host, now / 1000, assertion).map_err(|why| bad_client(&why))?;
                if !self.seen.insert(id) {
                    return Err(bad_client("the assertion was used before"));
                }
                Ok(client_id.to_owned())
            }
            (Proof::Key(_), ..) => Err(bad_client("this client signs assertions")),
        }
    }
}

fn is_form(request: &Request) -> bool {
    request.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

/// Checks an assertion at the second that is `now`; gives its id.
fn check(key: &VerifyingKey, client_id: &str, host: &str, now: i64, assertion: &str) -> Result<String, String> {
    let (message, signature) = assertion.rsplit_once('.').ok_or("not a JWT")?;
    let (header, claims) = message.split_once('.').ok_or("not a JWT")?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string());
    let json = |part: &str| -> Result<Value, String> {
        serde_json::from_slice(&decode(part)?).map_err(|error| error.to_string())
    };
    let (header, claims) = (json(header)?, json(claims)?);
    if header.get("alg") != Some(&json!("EdDSA")) {
        return Err("the algorithm must be EdDSA".to_owned());
    }
    let signature = Signature::from_slice(&decode(signature)?).map_err(|error| error.to_string())?;
    key.verify(message.as_bytes(), &signature).map_err(|_| "the signature is not the client's")?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let number = |name: &str| claims.get(name).and_then(Value::as_i64).ok_or(format!("{name} is missing"));
    if text("iss") != Some(client_id) || text("sub") != Some(client_id) {
        return Err("iss and sub must be the client id".to_owned());
    }
    if text("aud") != Some(host) {
        return Err("aud must be the tenant's host".to_owned());
    }
    if number("exp")? <= now || number("exp")? > now + LONGEST_ASSERTION_SECS {
        return Err("exp must be within five minutes from now".to_owned());
    }
    if number("nbf")? > now || number("iat")? > now + 1 {
        return Err("nbf and iat must have come".to_owned());
    }
    text("jti").filter(|id| !id.is_empty()).map(str::to_owned).ok_or_else(|| "jti is missing".to_owned())
}
