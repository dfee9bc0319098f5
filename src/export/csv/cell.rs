//! Lines of CSV: quoted as RFC 4180 says, and safe to open in a spreadsheet.

use crate::model::name::{self, SEPARATORS};

/// A cell, or what may become one, that no spreadsheet takes for a formula.
fn disarm(piece: &str, first: bool) -> String {
    // A line's end within a text is none of the signs that begin a formula.
    let harmful = name::formula(piece).is_some_and(|begins| first || !begins.starts_with(SEPARATORS));
    if harmful { format!("'{piece}") } else { piece.to_owned() }
}

/// A text. One that a spreadsheet would take for a formula gets an apostrophe in front. Somebody may open the file with
/// semicolons or tabs as separators, which quotes do not survive: what follows one of those is a cell then, too.
fn told(text: &str) -> String {
    let pieces = text.split_inclusive(SEPARATORS).enumerate();
    pieces.map(|(place, piece)| disarm(piece, place == 0)).collect()
}

/// A line that is being written.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Line<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, first: true }
    }

    /// A text, as it is [`told`].
    pub(crate) fn text(&mut self, text: &str) {
        self.cell(&told(text));
    }

    /// An e-mail address, by which C1 knows people: `+alice@example.com` must stay what it is. It does where it has nothing
    /// that a formula needs to do harm: to call a function takes a parenthesis, to start a program a `|` and a `!`.
    pub(super) fn address(&mut self, address: &str) {
        if address.chars().all(|c| c.is_ascii_alphanumeric() || "@.+-_".contains(c)) {
            self.cell(address);
        } else {
            self.text(address);
        }
    }

    /// Names as one cell, with commas between, each as it is told by itself. A name's own comma would make two of it: it becomes a semicolon.
    pub(super) fn list(&mut self, names: Vec<String>) {
        let names: Vec<String> = names.into_iter().map(|name| told(&name.replace(',', ";"))).collect();
        self.cell(&names.join(","));
    }

    pub(crate) fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    fn cell(&mut self, text: &str) {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        let quoted = text.contains(['"', ',', '\r', '\n']);
        if quoted {
            self.out.push(b'"');
        }
        for &byte in text.as_bytes() {
            if byte == b'"' {
                self.out.push(b'"');
            }
            self.out.push(byte);
        }
        if quoted {
            self.out.push(b'"');
        }
    }
}
