//! Values that never change, kept in memory from one request to the next: they need not be read again, and what was checked of them need
//! not be checked again. Lost with the isolate: only ever a saving.

use std::rc::Rc;

/// This many bytes at most: the table of contents of a large account and a dozen chunks of 130 KB, of an isolate's 128 MB.
const MOST: usize = 2 * 1024 * 1024;

/// The values that were used last.
#[derive(Debug, Default)]
pub struct Shelf {
    /// The one that was used last is at the end.
    values: Vec<(String, Rc<[u8]>)>,
    bytes: usize,
}

impl Shelf {
    /// A value, if it is here.
    pub fn get(&mut self, key: &str) -> Option<Rc<[u8]>> {
        let found = self.take(key)?;
        self.keep(key, &found);
        Some(found)
    }

    /// Keeps a value, and lets go of those that nobody used for longest.
    pub fn keep(&mut self, key: &str, value: &Rc<[u8]>) {
        self.take(key);
        self.bytes += value.len();
        self.values.push((key.to_owned(), Rc::clone(value)));
        while self.bytes > MOST && !self.values.is_empty() {
            self.bytes -= self.values.remove(0).1.len();
        }
    }

    /// Takes a value out, as one that is gone from where it was read.
    pub fn take(&mut self, key: &str) -> Option<Rc<[u8]>> {
        let place = self.values.iter().position(|(known, _)| known == key)?;
        let (_, value) = self.values.remove(place);
        self.bytes -= value.len();
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{MOST, Shelf};

    #[test]
    fn what_was_used_last_is_kept_and_never_more_than_there_is_room_for() {
        let (mut shelf, third) = (Shelf::default(), Rc::from(vec![0; MOST / 3]));
        for key in ["a", "b", "c"] {
            shelf.keep(key, &third);
        }
        assert!(shelf.get("a").is_some());
        shelf.keep("d", &third);
        let has = |shelf: &mut Shelf| ["a", "b", "c", "d"].map(|key| shelf.get(key).is_some());
        assert_eq!(has(&mut shelf), [true, false, true, true]);
        shelf.keep("a", &Rc::from([1]));
        assert_eq!((shelf.get("a").as_deref(), shelf.bytes), (Some(&[1][..]), 2 * (MOST / 3) + 1));
        assert!(shelf.take("c").is_some() && shelf.take("c").is_none());
        shelf.keep("too large", &Rc::from(vec![0; MOST + 1]));
        assert_eq!((has(&mut shelf), shelf.bytes, shelf.values.len()), ([false; 4], 0, 0));
    }
}
