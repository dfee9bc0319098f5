//! One file into a store: a small one with one request, a large one part by part, so that memory is bound by a part. What is on
//! its way is on disk: an upload that was cut off goes on, or is aborted when something else takes its place.

use serde::Serialize;

use super::error::StoreError;
use crate::base::hash::sha256_hex;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Clock, Sql, SqlError, SqlValue, ZstdFrame};
use crate::base::time::Timestamp;
use crate::export::{Export, ExportError};

/// The bytes of a part: S3's least (S3 User Guide, "Amazon S3 multipart upload limits": 5 MiB and 10,000 parts, which makes
/// 50 GiB). A file that is no longer goes up in one request.
pub(super) const PART: usize = 5 * 1024 * 1024;

/// A part that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// What the store calls it.
    pub(super) tag: String,
    /// SHA-256 of its bytes.
    pub(super) sha256: String,
}

/// Where a file goes.
pub(super) trait Target {
    /// What people call it; no secrets.
    fn name(&self) -> String;
    /// What tells it from others; no secrets.
    fn place(&self) -> String;
    /// Writes a whole file.
    async fn put(&self, body: Vec<u8>) -> Result<(), StoreError>;
    /// Begins an upload in parts; gives its id.
    async fn begin(&self, subject: &str) -> Result<String, StoreError>;
    /// Uploads a part, counted from 1; gives its tag. A part that is there already is replaced.
    async fn part(&self, upload: &str, number: u32, body: Vec<u8>) -> Result<String, StoreError>;
    /// Makes the file of its parts. Only then does it take the place of what was there.
    async fn complete(&self, upload: &str, parts: &[Part]) -> Result<(), StoreError>;
    /// Lets go of an upload.
    async fn abort(&self, upload: &str) -> Result<(), StoreError>;
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadProgress {
    /// The store has the file; its length in bytes.
    Whole(u64),
    /// Time is up; the next attempt goes on.
    Partly,
}

/// Why a file was not uploaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UploadError {
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be made.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The Coordinator's storage failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// It is another file than the one whose first parts are there: another version of the Worker was deployed in between.
    #[error("the file is not the one that was begun")]
    Differs,
}

/// Creates the table.
pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS push_upload ( \
            one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL DEFAULT 1, subject TEXT NOT NULL, \
            place TEXT NOT NULL, upload TEXT NOT NULL, parts TEXT NOT NULL DEFAULT '[]')",
        &[],
    )
}

/// Whether a push has begun that is brought to its end before what was published since. Into a store it has once parts of it are on their way: a file that
/// takes longer than it is until the next publication would never be whole. One that goes on failing makes room for the next generation. Without a
/// store it has where it waits until KV shows it.
pub(crate) fn has_begun(sql: &dyn Sql, into_store: bool) -> Result<bool, SqlError> {
    sql.has(
        "SELECT 1 FROM job WHERE kind = 'push' AND state = 'due' AND version = 1 \
            AND attempts < 3 AND CASE ?1 WHEN 0 THEN left_over <> 'null' ELSE EXISTS (SELECT 1 FROM push_upload WHERE push_upload.version = 1 \
                AND job.subject LIKE substr(push_upload.subject, 1, instr(push_upload.subject, ' ')) || '%') END",
        &[i64::from(into_store).into()],
    )
}

/// An upload in parts that is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    subject: String,
    place: String,
    upload: String,
    parts: Vec<Part>,
}

impl Pending {
    fn load(sql: &dyn Sql) -> Result<Option<Self>, SqlError> {
        let rows = sql.query("SELECT subject, place, upload, parts FROM push_upload WHERE version = 1", &[])?;
        let text = |value: &SqlValue| value.text().map(str::to_owned);
        Ok(rows.first().and_then(|row| {
            let [subject, place, upload, parts] = row.as_slice() else { return None };
            let parts = json::read_str(parts.text()?).ok()?;
            Some(Self { subject: text(subject)?, place: text(place)?, upload: text(upload)?, parts })
        }))
    }

    fn store(&self, sql: &dyn Sql) -> Result<(), SqlError> {
        let parts = serde_json::to_string(&self.parts)?;
        sql.run(
            "INSERT OR REPLACE INTO push_upload (one, subject, place, upload, parts) VALUES (1, ?, ?, ?, ?)",
            &[self.subject.as_str().into(), self.place.as_str().into(), self.upload.as_str().into(), parts.into()],
        )
    }

    fn forget(sql: &dyn Sql) -> Result<(), SqlError> {
        sql.run("DELETE FROM push_upload", &[])
    }
}

/// Where the bytes come from.
pub(super) trait Source {
    /// The next piece, never empty; `None` after the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ExportError>;
}

impl<F: ZstdFrame> Source for Export<'_, F> {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ExportError> {
        Self::next(self).await
    }
}

/// What is uploaded.
pub(super) struct File<'a, S> {
    /// What it is made of: the same subject gives the same bytes.
    pub(super) subject: &'a str,
    /// The bytes.
    pub(super) bytes: S,
    /// How many bytes a part has.
    pub(super) part: usize,
    /// No further part is begun after this.
    pub(super) until: Timestamp,
}

/// Uploads a file, or goes on with that.
pub(super) async fn upload<P: Sql + Clock, T: Target, S: Source>(
    ports: &P,
    target: &T,
    file: File<'_, S>,
) -> Result<UploadProgress, UploadError> {
    let pending = Pending::load(ports)?;
    let known = pending.as_ref().is_some_and(|known| known.subject == file.subject && known.place == target.place());
    if let (Some(other), false) = (&pending, known) {
        let_go(ports, target, other).await?;
    }
    let mut uploading = Uploading {
        ports,
        target,
        subject: file.subject,
        until: file.until,
        sent: 0,
        pending: pending.filter(|_| known),
    };
    let ended = uploading.run(file.bytes, file.part).await;
    if let (Err(UploadError::Store(StoreError::UnknownUpload) | UploadError::Differs), Some(pending)) =
        (&ended, &uploading.pending)
    {
        let_go(ports, target, pending).await?;
    }
    ended
}

/// Aborts an upload, as far as that goes: what cannot be reached any more is left to the bucket's lifecycle rule.
async fn let_go<T: Target>(ports: &dyn Sql, target: &T, pending: &Pending) -> Result<(), UploadError> {
    if pending.place == target.place() {
        match target.abort(&pending.upload).await {
            // Where nobody answers it is tried again, lest it stays for good.
            Err(error @ StoreError::Busy(_)) => return Err(error.into()),
            Ok(()) | Err(StoreError::Refused(_) | StoreError::UnknownUpload) => {}
        }
    }
    Ok(Pending::forget(ports)?)
}

struct Uploading<'a, P, T> {
    ports: &'a P,
    target: &'a T,
    subject: &'a str,
    until: Timestamp,
    /// Parts that this attempt sent.
    sent: u32,
    pending: Option<Pending>,
}

impl<P: Sql + Clock, T: Target> Uploading<'_, P, T> {
    async fn run<S: Source>(&mut self, mut bytes: S, size: usize) -> Result<UploadProgress, UploadError> {
        let (mut body, mut total, mut number) = (Vec::new(), 0_u64, 0_u32);
        while let Some(piece) = bytes.next().await? {
            total += piece.len() as u64;
            body.extend_from_slice(&piece);
            // The last part, which is sent below, is never empty.
            while body.len() > size {
                let rest = body.split_off(size);
                number += 1;
                if !self.part(number, std::mem::replace(&mut body, rest)).await? {
                    return Ok(UploadProgress::Partly);
                }
            }
        }
        if self.pending.is_none() {
            self.target.put(body).await?;
            return Ok(UploadProgress::Whole(total));
        }
        if !self.part(number + 1, body).await? {
            return Ok(UploadProgress::Partly);
        }
        if let Some(pending) = &self.pending {
            self.target.complete(&pending.upload, &pending.parts).await?;
        }
        Pending::forget(self.ports)?;
        Ok(UploadProgress::Whole(total))
    }

    /// Sees to it that the store has a part; `false` where there is no time for that.
    async fn part(&mut self, number: u32, bytes: Vec<u8>) -> Result<bool, UploadError> {
        let pending = match &mut self.pending {
            Some(pending) => pending,
            none => {
                let upload = self.target.begin(self.subject).await?;
                let (subject, place) = (self.subject.to_owned(), self.target.place());
                let begun = Pending { subject, place, upload, parts: Vec::new() };
                begun.store(self.ports)?;
                none.insert(begun)
            }
        };
        let sha256 = sha256_hex(&bytes);
        if let Some(known) = pending.parts.get(number.saturating_sub(1) as usize) {
            return if known.sha256 == sha256 { Ok(true) } else { Err(UploadError::Differs) };
        }
        // One part at least, or an upload might never end.
        if self.sent > 0 && self.ports.now() > self.until {
            return Ok(false);
        }
        let tag = self.target.part(&pending.upload, number, bytes).await?;
        self.sent += 1;
        pending.parts.push(Part { tag, sha256 });
        pending.store(self.ports)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
