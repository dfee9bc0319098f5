//! How a page of members is staged: packed, since fifty thousand members are in memory together before a snapshot of them is written in
//! another order than they came in, and each is read twice on the way. Numbers are LEB128, ids their 16 bytes, texts their length and
//! their bytes.
//!
//! **Invariant:** whatever the bytes are, reading them ends, and gives `None` where they are no such page.

/// Writes a page.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number(&mut self, number: usize) {
        let mut rest = number;
        while rest >= 0x80 {
            self.0.push(low(rest) | 0x80);
            rest >>= 7;
        }
        self.0.push(low(rest));
    }

    pub(super) fn id(&mut self, id: [u8; 16]) {
        self.0.extend_from_slice(&id);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A text that may be absent: its length and one, or zero.
    pub(super) fn maybe_text(&mut self, text: Option<&str>) {
        match text {
            None => self.number(0),
            Some(text) => {
                self.number(text.len() + 1);
                self.0.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// The low seven bits.
fn low(number: usize) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or_default()
}

/// Reads a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub(super) fn number(&mut self) -> Option<usize> {
        let mut number = 0_usize;
        for shift in (0..32).step_by(7) {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn id(&mut self) -> Option<[u8; 16]> {
        let (id, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*id)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.number()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    #[allow(clippy::option_option, reason = "the outer one says that nothing could be read, as everywhere here")]
    pub(super) fn maybe_text(&mut self) -> Option<Option<&'a str>> {
        match self.number()?.checked_sub(1) {
            None => Some(None),
            Some(length) => Some(Some(std::str::from_utf8(self.take(length)?).ok()?)),
        }
    }

    /// A list: each thing in it takes a byte at least, so that no number makes room for more than there can be.
    pub(super) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        if count > self.0.len() {
            return None;
        }
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(read(self)?);
        }
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, Writer};

    #[test]
    fn what_was_written_is_read_back() {
        let numbers = [0, 1, 127, 128, 300, 16_383, 16_384, 1 << 28, u32::MAX as usize];
        let mut writer = Writer::default();
        for number in numbers {
            writer.number(number);
        }
        writer.id([7; 16]);
        writer.text("Žofie");
        for text in [None, Some(""), Some("x")] {
            writer.maybe_text(text);
        }
        let mut reader = Reader(&writer.0);
        for number in numbers {
            assert_eq!(reader.number(), Some(number));
        }
        assert_eq!((reader.id(), reader.text()), (Some([7; 16]), Some("Žofie")));
        for text in [None, Some(""), Some("x")] {
            assert_eq!(reader.maybe_text(), Some(text));
        }
        assert!(reader.0.is_empty());
    }

    #[test]
    fn what_breaks_off_or_promises_too_much_is_nothing() {
        let none = |bytes: &[u8]| {
            let mut reader = Reader(bytes);
            assert_eq!(reader.clone().text(), None, "{bytes:?}");
            assert_eq!(reader.list(Reader::byte), None, "{bytes:?}");
        };
        none(&[]);
        none(&[5, 1]);
        none(&[0x80]);
        none(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        none(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]);
        assert_eq!(Reader(&[1, 0xff]).text(), None, "no UTF-8");
        assert_eq!(Reader(&[7; 15]).id(), None);
    }
}
