//! Records: a row's values as the file has them (file format, section 2.1).

use super::layout::SqliteError;

/// `SQLite` takes no row longer than 10^9 bytes (`SQLITE_MAX_LENGTH`).
const MAX_RECORD: usize = 1_000_000_000;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::export) enum Value<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// Writes a variable-length integer: seven bits a byte, the highest first, and all eight bits of a ninth.
pub(super) fn varint(out: &mut Vec<u8>, number: u64) {
    if number >> 56 != 0 {
        for shift in (0..8).rev() {
            out.push(0x80 | low7(number >> (8 + 7 * shift)));
        }
        out.push(number.to_le_bytes().first().copied().unwrap_or_default());
        return;
    }
    let bytes = (64 - (number | 1).leading_zeros()).div_ceil(7);
    for place in (0..bytes).rev() {
        let more = if place > 0 { 0x80 } else { 0 };
        out.push(more | low7(number >> (7 * place)));
    }
}

fn low7(number: u64) -> u8 {
    number.to_le_bytes().first().map_or(0, |byte| byte & 0x7f)
}

/// How many bytes an integer takes, and its serial type.
fn integer(number: i64) -> (usize, u64) {
    let bits = 65 - (number ^ (number >> 63)).leading_zeros();
    match (number, bits) {
        (0, _) => (0, 8),
        (1, _) => (0, 9),
        (_, 0..=8) => (1, 1),
        (_, 9..=16) => (2, 2),
        (_, 17..=24) => (3, 3),
        (_, 25..=32) => (4, 4),
        (_, 33..=48) => (6, 5),
        _ => (8, 6),
    }
}

/// How many bytes an integer takes in a record's body.
#[cfg(test)]
pub(super) fn width(number: i64) -> usize {
    integer(number).0
}

/// The record of a row whose first column is its number, which the record has as NULL.
pub(super) fn encode(values: &[Value<'_>]) -> Result<Vec<u8>, SqliteError> {
    columns(std::iter::once(Value::Null).chain(values.iter().copied()))
}

/// The record of exactly these columns.
pub(super) fn columns<'a>(values: impl Iterator<Item = Value<'a>> + Clone) -> Result<Vec<u8>, SqliteError> {
    let mut types = Vec::new();
    let mut body = 0_usize;
    for value in values.clone() {
        let (size, kind) = match value {
            Value::Null => (0, 0),
            Value::Integer(number) => integer(number),
            Value::Text(text) => (text.len(), text.len() as u64 * 2 + 13),
            Value::Blob(bytes) => (bytes.len(), bytes.len() as u64 * 2 + 12),
        };
        body = body.saturating_add(size);
        varint(&mut types, kind);
    }
    // The header's size counts itself: two bytes where one does not do. No table here has enough columns for three.
    let header = if types.len() + 1 < 0x80 { types.len() + 1 } else { types.len() + 2 };
    if body > MAX_RECORD || header >= 0x4000 {
        return Err(SqliteError::TooLarge);
    }
    let mut record = Vec::with_capacity(header + body);
    varint(&mut record, header as u64);
    record.append(&mut types);
    for value in values {
        match value {
            Value::Null => {}
            Value::Integer(number) => {
                let (size, _) = integer(number);
                record.extend_from_slice(number.to_be_bytes().get(8 - size..).unwrap_or_default());
            }
            Value::Text(text) => record.extend_from_slice(text.as_bytes()),
            Value::Blob(bytes) => record.extend_from_slice(bytes),
        }
    }
    Ok(record)
}
