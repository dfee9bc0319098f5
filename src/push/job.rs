//! The job: upload, then tell C1, then wait for its sync to end.

use serde::Serialize;

use super::Ports;
use super::azure::Blob;
use super::error::StoreError;
use super::force_sync::{self, Forcing, Next};
use super::s3::Object;
use super::settings::{Settings, Store};
use super::upload::{self, PART, Part, Target, UploadError, UploadProgress, upload};
use crate::account::overlay::SHOWN_AFTER_SECS;
use crate::base::jobs::{Attempt, Job};
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Clock, Http, Sql};
use crate::base::time::Timestamp;
use crate::conductorone;
use crate::conductorone::api::Tokens;
use crate::export::{self, ExportError, Insights};
use crate::snapshot::{self, GenerationId, Snapshot, SnapshotError};

/// How long an attempt begins further parts. With the one that is under way then it stays well under a minute, which the sync's
/// steps and provisioning may have to wait for.
const MAX_UPLOADING_SECS: i64 = 20;

/// What an attempt leaves for the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PushState {
    v: u32,
    /// What was uploaded, as a sentence.
    uploaded: String,
    /// How it stands with C1's sync.
    forcing: Forcing,
}

/// The format of [`PushState`]. A push whose state has another format starts over.
const FORMAT: u32 = 1;

/// One attempt at pushing the generation that the job is about: its subject begins with that.
pub async fn attempt<P: Ports>(
    ports: &P,
    settings: Option<&Settings>,
    conductorone: &conductorone::Settings,
    tokens: &Tokens,
    insights: Insights,
    job: &Job,
) -> Attempt {
    let Some(push) = settings else {
        return Attempt::GivenUp("Nothing is configured to be pushed any more, so nothing was done.".to_owned());
    };
    let left: Option<PushState> = json::of(&job.left).ok().filter(|left: &PushState| left.v == FORMAT);
    let generation = job.subject.split(' ').next().unwrap_or_default();
    match left {
        None => uploading(ports, push, generation, insights).await,
        Some(left) => forcing(ports, conductorone, tokens, push, left).await,
    }
}

async fn uploading<P: Ports>(ports: &P, push: &Settings, generation: &str, insights: Insights) -> Attempt {
    let uploaded = match &push.store {
        None => String::new(),
        Some(store) => match into_store(ports, push, store, generation, insights).await {
            Ok((UploadProgress::Whole(bytes), name)) => {
                format!("Uploaded {} ({}) to {name}.{}", push.file.name(), size(bytes), expiring(store, ports.now()))
            }
            Ok((UploadProgress::Partly, _)) => return Attempt::GoOn(ports.now(), serde_json::Value::Null),
            Err(error) => return failed(ports, generation, &error),
        },
    };
    if push.connector.is_none() {
        return Attempt::Done(format!("{uploaded} ConductorOne pulls it by itself, within the hour."));
    }
    // Without a store C1 reads this Worker's API, to which KV may show the generation before.
    let at = ports.now().plus_secs(if push.store.is_none() { SHOWN_AFTER_SECS } else { 0 });
    go_on(at, PushState { v: FORMAT, uploaded, forcing: Forcing::begin(at) })
}

async fn into_store<P: Ports>(
    ports: &P,
    push: &Settings,
    store: &Store,
    generation: &str,
    insights: Insights,
) -> Result<(UploadProgress, String), UploadError> {
    let snapshot = Snapshot::named(ports, generation).await.map_err(ExportError::from)?;
    let tag = insights.tag().map(|tag| format!(" {tag}")).unwrap_or_default();
    let bytes = export::open(ports, snapshot, push.file, insights).await?;
    // Another file of the same generation is another subject, and so is one with other insights.
    let subject = format!("{generation} {}{tag}", push.file.name());
    let until = ports.now().plus_secs(MAX_UPLOADING_SECS);
    let file = upload::File { subject: &subject, bytes, part: PART, until };
    let content_type = push.file.content_type();
    let target = match store {
        Store::S3(settings) => OneOf::S3(Object { ports, settings, content_type }),
        Store::Azure(settings) => OneOf::Azure(Blob { ports, settings, content_type }),
    };
    Ok((upload(ports, &target, file).await?, target.name()))
}

/// Where a file goes, in a store of either kind: the upload is compiled once for both.
enum OneOf<'a, P> {
    S3(Object<'a, P>),
    Azure(Blob<'a, P>),
}

impl<P: Http + Clock> Target for OneOf<'_, P> {
    fn name(&self) -> String {
        match self {
            Self::S3(object) => object.name(),
            Self::Azure(blob) => blob.name(),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::S3(object) => Target::place(object),
            Self::Azure(blob) => Target::place(blob),
        }
    }

    async fn put(&self, body: Vec<u8>) -> Result<(), StoreError> {
        match self {
            Self::S3(object) => object.put(body).await,
            Self::Azure(blob) => blob.put(body).await,
        }
    }

    async fn begin(&self, subject: &str) -> Result<String, StoreError> {
        match self {
            Self::S3(object) => object.begin(subject).await,
            Self::Azure(blob) => blob.begin(subject).await,
        }
    }

    async fn part(&self, upload: &str, number: u32, body: Vec<u8>) -> Result<String, StoreError> {
        match self {
            Self::S3(object) => object.part(upload, number, body).await,
            Self::Azure(blob) => blob.part(upload, number, body).await,
        }
    }

    async fn complete(&self, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        match self {
            Self::S3(object) => object.complete(upload, parts).await,
            Self::Azure(blob) => blob.complete(upload, parts).await,
        }
    }

    async fn abort(&self, upload: &str) -> Result<(), StoreError> {
        match self {
            Self::S3(object) => object.abort(upload).await,
            Self::Azure(blob) => blob.abort(upload).await,
        }
    }
}

async fn forcing<P: Ports>(
    ports: &P,
    conductorone: &conductorone::Settings,
    tokens: &Tokens,
    push: &Settings,
    left: PushState,
) -> Attempt {
    let Some(connector) = &push.connector else {
        return Attempt::Done(format!("{} ConductorOne pulls it by itself, within the hour.", left.uploaded));
    };
    let PushState { uploaded, forcing, .. } = left;
    let sentence = |told: String| format!("{uploaded} {told}").trim().to_owned();
    match force_sync::step(ports, conductorone, tokens, connector, forcing).await {
        Next::Wait(at, forcing) => go_on(at, PushState { v: FORMAT, uploaded, forcing }),
        Next::Done(told) => Attempt::Done(sentence(told)),
        Next::Again(told) => Attempt::Again(sentence(told)),
        Next::GivenUp(told) => Attempt::GivenUp(sentence(told)),
    }
}

fn go_on(at: Timestamp, left: PushState) -> Attempt {
    // Our own types serialise; should one not, the push starts over.
    Attempt::GoOn(at, serde_json::to_value(left).unwrap_or_default())
}

fn failed(sql: &dyn Sql, generation: &str, error: &UploadError) -> Attempt {
    match error {
        UploadError::Store(StoreError::Refused(why)) => {
            Attempt::GivenUp(format!("{why} Then push again with: POST /v1/push."))
        }
        // One that is kept is only late.
        UploadError::Export(ExportError::Snapshot(SnapshotError::Gone(_)))
            if !GenerationId::parse(generation).is_some_and(|id| snapshot::is_kept(sql, &id).unwrap_or(true)) =>
        {
            Attempt::GivenUp(
                "The generation is not kept any more; the current one is pushed with: POST /v1/push.".to_owned(),
            )
        }
        UploadError::Store(StoreError::Busy(why)) => Attempt::Again(why.clone()),
        UploadError::Store(StoreError::UnknownUpload) => Attempt::Again(
            "The store no longer knows the parts that were uploaded, so the upload starts over.".to_owned(),
        ),
        UploadError::Differs => {
            Attempt::Again("The file changed while it was uploaded, so the upload starts over.".to_owned())
        }
        UploadError::Export(_) | UploadError::Sql(_) => Attempt::Again(format!("The file could not be made: {error}.")),
    }
}

/// A size as people read it.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} KB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

fn expiring(store: &Store, now: Timestamp) -> String {
    let Store::Azure(azure) = store else { return String::new() };
    match azure.expires_soon(now) {
        Some(at) => format!(" The SAS URL expires on {}: make a new one before then.", at.date()),
        None => String::new(),
    }
}
