//! Where the exported file is brought to, and which of C1's connectors takes it in from there: S3 or Azure Blob, as ConductorOne's
//! external data sources read them (`reference/conductorone.md` 5).

use crate::base::hash::sha256_hex;
use crate::base::ports::Secret;
use crate::base::remedy::set_secret;
use crate::base::settings::{Reader, base_url, is_plain_id, secret};
use crate::base::time::Timestamp;
use crate::base::url::Url;
use crate::conductorone;
use crate::export::{self, File};

/// What follows a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the file goes; `None` where C1 is only told to sync.
    pub store: Option<Store>,
    /// `PUSH_FILE`: which file.
    pub file: File,
    /// Which connector syncs afterwards; `None` where C1 pulls by itself, once an hour.
    pub connector: Option<Connector>,
}

/// Where the file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// S3, or a service with the same API.
    S3(S3),
    /// Azure Blob Storage.
    Azure(Azure),
}

/// An object in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// `S3_ENDPOINT`: the service's URL without a slash at the end; by default AWS's of the region.
    pub endpoint: String,
    /// `S3_REGION`.
    pub region: String,
    /// `S3_BUCKET`.
    pub bucket: String,
    /// `S3_KEY`: the object's key; by default the file's name.
    pub key: String,
    /// `S3_ADDRESSING`: whether the bucket is a part of the host or of the path.
    pub addressing: Addressing,
    /// `S3_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `S3_SECRET_ACCESS_KEY`.
    pub secret_access_key: Secret,
    /// `S3_SESSION_TOKEN`: goes with temporary credentials.
    pub session_token: Option<Secret>,
}

/// Where a bucket's name stands in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `https://bucket.host/key`, as AWS wants it.
    Virtual,
    /// `https://host/bucket/key`, as most other services do.
    Path,
}

/// A blob in Azure Blob Storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Azure {
    /// The blob's URL without its query.
    pub blob: String,
    /// The query: the shared access signature. Whoever has it may write.
    pub sas: Secret,
    /// When the signature expires (`se`); unknown where a stored access policy says so.
    pub expires_at: Option<Timestamp>,
}

/// So long before a SAS URL expires it is said.
const SAS_WARNING_MILLIS: i64 = 14 * 24 * 60 * 60 * 1000;

impl Azure {
    /// When the signature expires, where that is soon. One that has expired already is refused with a sentence of its own.
    pub(super) fn expires_soon(&self, now: Timestamp) -> Option<Timestamp> {
        self.expires_at.filter(|at| (1..SAS_WARNING_MILLIS).contains(&at.since(now)))
    }
}

/// A connector in C1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    /// `C1_APP_ID`.
    pub app_id: String,
    /// `C1_CONNECTOR_ID`.
    pub connector_id: String,
}

/// What belongs to S3 and has no default.
const S3_NEEDS: [(&str, &str); 4] = [
    (
        "S3_REGION",
        "the bucket's region, such as eu-central-1 (for another service than AWS what its documentation says, often us-east-1 or auto)",
    ),
    ("S3_BUCKET", "the bucket's name"),
    ("S3_ACCESS_KEY_ID", "the access key's id"),
    ("S3_SECRET_ACCESS_KEY", concat!("the access key's secret, ", set_secret!("S3_SECRET_ACCESS_KEY"))),
];

/// What belongs to S3 and may be left out.
const S3_MAY: [&str; 4] = ["S3_ENDPOINT", "S3_KEY", "S3_ADDRESSING", "S3_SESSION_TOKEN"];

/// An object's key has at most this many bytes (S3 User Guide, "Naming Amazon S3 objects").
const MAX_KEY: usize = 1024;

impl Settings {
    /// What tells a push of the same generation to somewhere else, or of another file, from this one: twelve hexadecimal digits. Nothing in it
    /// is secret, and a secret that was changed makes no other push.
    pub fn fingerprint(&self) -> String {
        let store = match &self.store {
            Some(Store::S3(S3 { endpoint, bucket, key, addressing, .. })) => {
                format!("{endpoint} {bucket} {key} {addressing:?}")
            }
            Some(Store::Azure(azure)) => azure.blob.clone(),
            None => String::new(),
        };
        let told = self.connector.as_ref().map(|it| (&it.app_id, &it.connector_id));
        let digest = sha256_hex(format!("{store} {} {} {told:?}", self.file.name(), export::FORMAT).as_bytes());
        digest.chars().take(12).collect()
    }

    /// Reads what there is; `None` where nothing is to be pushed. Half a configuration is a problem that names the other half: with a wrong
    /// store nothing is pushed at all, with a wrong connector the file is, and C1 pulls it by itself.
    pub fn read(reader: &mut Reader<'_>, conductorone: Option<&conductorone::Settings>) -> Option<Self> {
        let place = reader.together(|reader| {
            let file = reader.optional("PUSH_FILE", |text| {
                File::named(text).ok_or_else(|| {
                    let names = File::ALL.map(File::name);
                    format!("must be one of {}", names.join(", "))
                })
            });
            let file = file.unwrap_or(File::C1z);
            Some((file, store(reader, file)))
        });
        let connector = connector(reader, conductorone);
        // A sync of C1's is of no use where its file is not there.
        let (file, store) = place?;
        (store.is_some() || connector.is_some()).then_some(Self { store, file, connector })
    }
}

fn store(reader: &mut Reader<'_>, file: File) -> Option<Store> {
    let has_s3 = S3_NEEDS.iter().map(|(name, _)| name).chain(&S3_MAY).any(|name| reader.text(name).is_some());
    let has_azure = reader.text("AZURE_SAS_URL").is_some();
    match (has_s3, has_azure) {
        (true, true) => {
            reader.problem(
                "AZURE_SAS_URL",
                "the file goes to one place: remove this, or everything that begins with S3_",
            );
            None
        }
        (true, false) => s3(reader, file).map(Store::S3),
        (false, true) => reader.optional("AZURE_SAS_URL", |text| azure(text, file)).map(Store::Azure),
        (false, false) => {
            if reader.text("PUSH_FILE").is_some() {
                reader.problem(
                    "PUSH_FILE",
                    "there is no place to push it to: set S3_BUCKET and what belongs to it, or AZURE_SAS_URL, or remove this",
                );
            }
            None
        }
    }
}

fn s3(reader: &mut Reader<'_>, file: File) -> Option<S3> {
    for (name, what) in S3_NEEDS {
        if reader.text(name).is_none() {
            reader.problem(name, format!("missing, for other variables of S3 are set: set it to {what}"));
        }
    }
    let region = reader.optional("S3_REGION", region)?;
    let bucket = reader.optional("S3_BUCKET", bucket)?;
    let endpoint = reader.optional("S3_ENDPOINT", base_url).unwrap_or_else(|| {
        format!("https://s3.{region}.amazonaws.com{}", if region.starts_with("cn-") { ".cn" } else { "" })
    });
    let key = reader.optional("S3_KEY", key).unwrap_or_else(|| file.name().to_owned());
    let host = Url::parse(&endpoint).map_or_else(|_| String::new(), |url| url.host().to_owned());
    // A dot in the bucket's name would make a host that no wildcard certificate is for. A host is sent in lower case, which is another bucket then, and not
    // what was signed; and no label of one is longer.
    let virtual_fits = (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
        && bucket.len() <= 63
        && !bucket.contains(|c: char| c == '.' || c.is_ascii_uppercase());
    let addressing = reader
        .optional("S3_ADDRESSING", |text| match text {
            "virtual" => Ok(Addressing::Virtual),
            "path" => Ok(Addressing::Path),
            _ => Err("must be virtual (the bucket is a part of the host) or path".to_owned()),
        })
        .unwrap_or(if virtual_fits { Addressing::Virtual } else { Addressing::Path });
    Some(S3 {
        addressing,
        endpoint,
        region,
        key,
        access_key_id: reader.optional("S3_ACCESS_KEY_ID", |text| {
            let plain = text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.+=@".contains(c));
            plain
                .then(|| text.to_owned())
                .ok_or_else(|| "must be an access key's id, such as AKIAIOSFODNN7EXAMPLE".to_owned())
        })?,
        secret_access_key: reader.optional("S3_SECRET_ACCESS_KEY", header_safe)?,
        session_token: reader.optional("S3_SESSION_TOKEN", header_safe),
        bucket,
    })
}

fn connector(reader: &mut Reader<'_>, conductorone: Option<&conductorone::Settings>) -> Option<Connector> {
    reader.text("C1_CONNECTOR_ID")?;
    let whole = [
        ("C1_APP_ID", "the app's id, from the address bar of its page in ConductorOne"),
        ("C1_CLIENT_ID", "the client id of an API key of ConductorOne, and C1_CLIENT_SECRET to its secret"),
    ];
    for (name, what) in whole {
        // A key whose one half is there is told of already.
        let told = name == "C1_CLIENT_ID" && reader.text("C1_CLIENT_SECRET").is_some();
        if reader.text(name).is_none() && !told {
            reader.problem(name, format!("missing, for C1_CONNECTOR_ID is set: set it to {what}"));
        }
    }
    let connector_id = reader.optional("C1_CONNECTOR_ID", |text| {
        is_plain_id(text).then(|| text.to_owned()).ok_or_else(|| {
            "must be the connector's id in ConductorOne, which stands in the address bar after /connectors/".to_owned()
        })
    })?;
    let conductorone = conductorone?;
    conductorone.credentials.as_ref()?;
    Some(Connector { app_id: conductorone.app_id.clone()?, connector_id })
}

fn region(text: &str) -> Result<String, String> {
    let plain = text.len() <= 64 && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    plain.then(|| text.to_owned()).ok_or_else(|| "must be a region's name, such as eu-central-1".to_owned())
}

/// Bucket names, older ones included (S3 User Guide, "General purpose bucket naming rules").
fn bucket(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let plain = (3..=255).contains(&text.len()) && text.chars().all(allowed) && !text.contains("..");
    let begins = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    (plain && begins)
        .then(|| text.to_owned())
        .ok_or_else(|| "must be the bucket's name alone, without s3:// and without a path".to_owned())
}

fn key(text: &str) -> Result<String, String> {
    // A dot segment would be taken out of the URL on its way.
    let segments = text.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    if text.len() <= MAX_KEY && segments && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be the object's key, such as cloudflare/sync.c1z: no slash at its ends, no empty part, no part . or .., {MAX_KEY} bytes at most"
        ))
    }
}

fn header_safe(text: &str) -> Result<Secret, String> {
    if text.chars().all(|c| c.is_ascii_graphic()) {
        secret(text)
    } else {
        Err("has a character in it that no such secret has: copy it again".to_owned())
    }
}

/// A SAS URL (Azure Storage, "Create a service SAS"). Messages never show a part of it.
fn azure(text: &str, file: File) -> Result<Azure, String> {
    let bad = |what: &str| Err(format!("must be the URL that Azure shows as \"Blob SAS URL\": {what}"));
    let Ok(url) = Url::parse(text) else { return bad("it is no URL") };
    let loopback = url.is_loopback();
    if url.scheme() != "https" && !loopback {
        return bad("it must begin with https://");
    }
    if url.has_fragment_or_credentials() {
        return bad("it must have no fragment and no credentials before the host");
    }
    let sas = url.query().unwrap_or_default();
    let pairs = || form_urlencoded::parse(sas.as_bytes());
    let param = |name: &str| pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    if param("sig").is_none_or(|sig| sig.is_empty()) {
        return bad("it has no signature (sig=)");
    }
    if param("sp").is_some_and(|permissions| !permissions.contains('w')) {
        return bad("it does not allow to write; make one with the permissions Create and Write");
    }
    let expires_at = match param("se") {
        None => None,
        Some(text) => match expiry(&text) {
            Some(at) => Some(at),
            None => return bad("its expiry (se=) is no time"),
        },
    };
    // An emulator on this machine has the account's name as first part of the path.
    let container = if loopback { 2 } else { 1 };
    let segments: Vec<&str> = url.path().split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.len() < container {
        return bad("it names no container");
    }
    let blob = if segments.len() == container {
        format!("/{}/{}", segments.join("/"), file.name())
    } else {
        format!("/{}", segments.join("/"))
    };
    Ok(Azure { blob: format!("{}{blob}", url.origin()), sas: secret(sas)?, expires_at })
}

/// `se` is a time in UTC, or a date alone, which is its midnight.
fn expiry(text: &str) -> Option<Timestamp> {
    let whole = match text.len() {
        // 2026-11-25
        10 => format!("{text}T00:00:00Z"),
        // 2026-11-25T16:00Z
        17 => format!("{}:00Z", text.trim_end_matches('Z')),
        _ => text.to_owned(),
    };
    Timestamp::parse(&whole)
}

#[cfg(test)]
mod tests;
