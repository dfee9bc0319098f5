//! Pages: their numbers, the first one, and how cells lie in one.

use super::layout::{Layout, PAGE, SqliteError, Table};
use super::record::{self, Value, varint};

/// A table's leaf page.
pub(super) const LEAF: u8 = 0x0d;

/// A page as it is written.
pub(super) type PageBytes = [u8; PAGE];

/// The page that holds the byte at 2^30, where `SQLite` keeps its locks, is never used (file format, section 1.5).
const LOCK_PAGE: u32 = (1 << 30) / 4096 + 1;

/// The database header's length.
const HEADER: usize = 100;

/// The version that the header names as the last writer's. Any will do; this one knows schema format 4.
const WRITER_VERSION: u32 = 3_045_000;

/// Numbers pages in the order in which they are written.
#[derive(Debug)]
pub(super) struct Pages {
    count: u32,
    lock_page: u32,
    /// The pages that were not taken yet; none where they are only counted.
    out: Option<Vec<u8>>,
}

impl Pages {
    /// Counts, page 1 included.
    pub(super) fn counting() -> Self {
        Self { count: 1, lock_page: LOCK_PAGE, out: None }
    }

    /// Writes, page 1 first.
    pub(super) fn writing(first: &PageBytes) -> Self {
        Self { count: 1, lock_page: LOCK_PAGE, out: Some(first.to_vec()) }
    }

    #[cfg(test)]
    pub(super) fn lock(&mut self, page: u32) {
        self.lock_page = page;
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Whether what a page has is of no interest.
    pub(super) fn only_counts(&self) -> bool {
        self.out.is_none()
    }

    /// The number that the page after the next `ahead` ones will have.
    pub(super) fn upcoming(&self, ahead: u32) -> Result<u32, SqliteError> {
        let number = self.count.checked_add(1).and_then(|next| next.checked_add(ahead)).ok_or(SqliteError::TooLarge)?;
        let skips = self.count < self.lock_page && number >= self.lock_page;
        number.checked_add(u32::from(skips)).filter(|number| *number < u32::MAX - 1).ok_or(SqliteError::TooLarge)
    }

    /// Writes a page and gives its number.
    pub(super) fn write(&mut self, fill: impl FnOnce(&mut PageBytes)) -> Result<u32, SqliteError> {
        let number = self.upcoming(0)?;
        if let Some(out) = &mut self.out {
            if number > self.count + 1 {
                out.extend_from_slice(&[0; PAGE]);
            }
            let mut page = [0; PAGE];
            fill(&mut page);
            out.extend_from_slice(&page);
        }
        self.count = number;
        Ok(number)
    }

    pub(super) fn ready(&self) -> usize {
        self.out.as_ref().map_or(0, Vec::len)
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        self.out.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// Copies bytes to a place in a page. What would not fit is left out; the callers have made sure that it does.
pub(super) fn put(page: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = page.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

/// A number that fits two bytes, since it is at most the size of a page.
fn short(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes()
}

/// Lays out a b-tree page whose header begins at `at`: cells one after another at the page's end, their places in order
/// after the header. `right` is an interior page's right-most child.
pub(super) fn lay_out(page: &mut PageBytes, at: usize, kind: u8, right: Option<u32>, cells: &[u8], sizes: &[usize]) {
    let start = PAGE - cells.len();
    put(page, at, &[kind]);
    put(page, at + 3, &short(sizes.len()));
    put(page, at + 5, &short(start));
    let mut pointer = at + 8;
    if let Some(right) = right {
        put(page, pointer, &right.to_be_bytes());
        pointer += 4;
    }
    let mut place = start;
    for size in sizes {
        put(page, pointer, &short(place));
        pointer += 2;
        place += size;
    }
    put(page, start, cells);
}

/// Page 1: the database header, and `sqlite_schema` as a b-tree of one leaf.
pub(super) fn first(tables: &[Table], layout: &Layout) -> Result<PageBytes, SqliteError> {
    let mut page = [0; PAGE];
    put(&mut page, 0, b"SQLite format 3\0");
    put(&mut page, 16, &short(PAGE));
    // File format versions 1 (rollback journal); no reserved bytes; the three fractions that the format prescribes.
    put(&mut page, 18, &[1, 1, 0, 64, 32, 32]);
    let numbers = [
        (24, 1), // the change counter, equal to what stands at 92: the size at 28 is right
        (28, layout.pages),
        (40, 1), // the schema's version
        (44, 4), // the schema's format
        (56, 1), // UTF-8
        (92, 1),
        (96, WRITER_VERSION),
    ];
    for (at, number) in numbers {
        put(&mut page, at, &u32::to_be_bytes(number));
    }
    let (mut cells, mut sizes) = (Vec::new(), Vec::new());
    for ((table, root), rowid) in tables.iter().zip(&layout.roots).zip(1..) {
        let name = Value::Text(table.name);
        let root = Value::Integer(i64::from(*root));
        let columns = [Value::Text("table"), name, name, root, Value::Text(table.sql)];
        let record = record::columns(columns.into_iter())?;
        let before = cells.len();
        varint(&mut cells, record.len() as u64);
        varint(&mut cells, rowid);
        cells.extend_from_slice(&record);
        sizes.push(cells.len() - before);
    }
    if HEADER + 8 + 2 * sizes.len() + cells.len() > PAGE {
        return Err(SqliteError::Schema);
    }
    lay_out(&mut page, HEADER, LEAF, None, &cells, &sizes);
    Ok(page)
}
