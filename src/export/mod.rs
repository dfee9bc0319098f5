//! A generation as files that ConductorOne takes in: `.c1z` and CSV, made piece by piece from the snapshot's chunks.
//!
//! **Invariants:** a file is a function of its generation, and of the findings that are asked to be in it, so the same generation gives the
//! same bytes; memory is bound
//! by a chunk and by what can be granted (roles, scoped roles, user groups), never by the number of members; a file that
//! cannot be finished ends with an error, never early.

mod baton;
mod c1z;
mod chunks;
pub(crate) mod csv;
mod directory;
mod file;
mod insight;
mod sqlite;
#[cfg(test)]
pub(crate) mod testing;

use futures::Stream;

use crate::base::ports::ZstdFrame;
use crate::snapshot::Snapshot;
use chunks::Chunks;
pub use file::{ExportError, FORMAT, File, Ports};
pub use insight::{Insights, MAX_INSIGHTS};
pub use sqlite::SqliteError;

/// For the fuzz targets: a database of one table, `CREATE TABLE t (id integer primary key, a, b, c)`, with these rows.
#[cfg(feature = "fakes")]
pub fn database(rows: &[(i64, Option<&str>, Vec<u8>)]) -> Result<Vec<u8>, SqliteError> {
    let tables = [sqlite::Table { name: "t", sql: "CREATE TABLE t (id integer primary key, a, b, c)" }];
    let append = |writer: &mut sqlite::Writer| {
        rows.iter().try_for_each(|(number, text, blob)| {
            let text = text.map_or(sqlite::Value::Null, sqlite::Value::Text);
            writer.append(0, &[sqlite::Value::Integer(*number), text, sqlite::Value::Blob(blob)])
        })
    };
    let mut counting = sqlite::Writer::counting(&tables);
    append(&mut counting)?;
    let mut writer = sqlite::Writer::writing(&tables, counting.finish()?)?;
    append(&mut writer)?;
    writer.finish()?;
    Ok(writer.take())
}

/// At most this many bytes of a `.c1z` are held in memory while its length is found, so that it need not be made twice: a file of about
/// 100,000 members, and an eighth of the isolate's 128 MB.
const HELD: usize = 16 * 1024 * 1024;

/// A file that is being made.
pub struct Export<'a, F> {
    chunks: Chunks<'a, F>,
    making: Making<F>,
    length: u64,
}

enum Making<F> {
    C1z(Box<c1z::C1z<F>>),
    Csv(csv::Csv),
}

/// Makes a file as far as it takes to know its length, so that what is missing is known before the first byte is on its way,
/// and a transfer that breaks off cannot be taken for a whole one.
///
/// Reads the generation once; what does not fit in the memory set aside for it is read once more as the file is sent. For a
/// `.c1z` that is longer than is held, twice more. The insights are for a `.c1z` alone.
pub fn open<'a, P: Ports + 'a>(
    ports: P,
    snapshot: Snapshot,
    file: File,
    insights: Insights,
) -> impl Future<Output = Result<Export<'a, P::Frame>, ExportError>> {
    begin(Chunks::new(ports, snapshot), file, insights, HELD)
}

async fn begin<F: ZstdFrame>(
    chunks: Chunks<'_, F>,
    file: File,
    insights: Insights,
    held: usize,
) -> Result<Export<'_, F>, ExportError> {
    let (making, length) = match file {
        File::C1z => {
            let (c1z, length) = c1z::C1z::open(&chunks, insights, held).await?;
            (Making::C1z(Box::new(c1z)), length)
        }
        File::UsersCsv | File::GrantsCsv => {
            let table = if file == File::UsersCsv { csv::Table::Users } else { csv::Table::Grants };
            let (csv, length) = csv::Csv::open(&chunks, table).await?;
            (Making::Csv(csv), length)
        }
    };
    Ok(Export { chunks, making, length })
}

impl<F: ZstdFrame> Export<'_, F> {
    /// The file's length in bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The next piece of the file, never empty; `None` after its end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ExportError> {
        match &mut self.making {
            Making::C1z(c1z) => c1z.next(&self.chunks).await,
            Making::Csv(csv) => csv.next(&self.chunks).await,
        }
    }

    /// The pieces as a stream. It ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Vec<u8>, ExportError>> {
        futures::stream::try_unfold(
            self,
            |mut export| async move { Ok(export.next().await?.map(|piece| (piece, export))) },
        )
    }
}
