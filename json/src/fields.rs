//! What `json-derive` makes of a type asks for here: which field comes next, and what is said of one that comes twice or not at all.
//! None of it knows the type that is read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The fields of a struct.
#[derive(Debug)]
pub struct Fields {
    /// Their names, in order; 64 at most.
    pub names: &'static [&'static str],
    /// A bit for each that must be there.
    pub required: u64,
    /// A field of another name is an error.
    pub is_closed: bool,
}

/// How far an object is read.
pub struct Read {
    fields: &'static Fields,
    seen: u64,
}

impl Read {
    /// Nothing of it yet.
    pub const fn new(fields: &'static Fields) -> Self {
        Self { fields, seen: 0 }
    }

    /// The place of the field whose value is next; past the last one there is none, and all that must be there were.
    #[inline(never)]
    pub fn next<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<usize, A::Error> {
        let names = self.fields.names;
        while let Some(place) = map.next_key_seed(Name(self.fields))? {
            let Some(name) = names.get(place) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if self.seen >> place & 1 == 1 {
                return Err(A::Error::duplicate_field(name));
            }
            self.seen |= 1 << place;
            return Ok(place);
        }
        let missing = self.fields.required & !self.seen;
        match names.get(missing.trailing_zeros() as usize) {
            Some(name) => Err(A::Error::missing_field(name)),
            None => Ok(usize::MAX),
        }
    }
}

/// What is said of a field that is not there, where [`Read::next`] did not say it.
#[cold]
pub fn absent<E: Error>() -> E {
    E::custom("a field is missing")
}

/// Reads the name of a field: its place.
#[derive(Clone, Copy)]
struct Name(&'static Fields);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("field identifier")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        match self.0.names.iter().position(|known| *known == name) {
            None if self.0.is_closed => Err(E::unknown_field(name, self.0.names)),
            place => Ok(place.unwrap_or(usize::MAX)),
        }
    }
}

/// Reads one of some words: its place. Another one is past the last, where that is allowed.
pub fn word<'de, D: Deserializer<'de>>(
    deserializer: D,
    words: &'static [&'static str],
    is_open: bool,
) -> Result<usize, D::Error> {
    deserializer.deserialize_str(Word { words, is_open })
}

struct Word {
    words: &'static [&'static str],
    is_open: bool,
}

impl Visitor<'_> for Word {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<usize, E> {
        match self.words.iter().position(|known| *known == word) {
            None if !self.is_open => Err(E::unknown_variant(word, self.words)),
            place => Ok(place.unwrap_or(usize::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::read;

    /// Declares the same types twice: read as serde derives it, and as `json-derive` does.
    macro_rules! twice {
        ($($item:item)*) => {
            pub(crate) mod theirs {
                use super::{BTreeMap, filled, seven};
                use serde::Deserialize;
                $($item)*
            }
            pub(crate) mod ours {
                use super::{BTreeMap, filled, seven};
                use crate::Deserialize;
                $($item)*
            }
        };
    }

    fn seven() -> u8 {
        7
    }

    fn filled<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
        let text: Option<String> = serde::Deserialize::deserialize(deserializer)?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    #[allow(dead_code, reason = "for their Debug")]
    mod types {
        use super::{BTreeMap, filled, seven};

        twice! {
            #[derive(Debug, Deserialize)]
            pub(crate) struct Plain {
                text: String,
                #[serde(rename = "type")]
                kind: Word,
                r#use: Option<i64>,
                list: Vec<(u8, Option<bool>)>,
                by_name: BTreeMap<String, Around>,
                pair: (u8, i8),
                boxed: Option<Box<Plain>>,
            }

            #[derive(Debug, Deserialize)]
            #[serde(rename_all = "camelCase")]
            pub(crate) struct Lenient {
                #[serde(default)]
                some_text: String,
                #[serde(default = "seven", rename = "n")]
                number: u8,
                #[serde(default, deserialize_with = "filled")]
                filled: Option<String>,
                #[serde(deserialize_with = "filled")]
                must_be_there: Option<String>,
                #[serde(skip)]
                skipped: u64,
                inner: Option<Closed>,
            }

            #[derive(Debug, Default, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub(crate) struct Closed {
                a: u8,
                b: Option<String>,
                c: Vec<Open>,
            }

            #[derive(Debug, Deserialize)]
            #[serde(rename_all = "snake_case")]
            pub(crate) enum Word {
                One,
                TwoWords,
                #[serde(rename = "3")]
                Three,
            }

            #[derive(Debug, Deserialize)]
            #[serde(rename_all = "lowercase")]
            pub(crate) enum Open {
                Allow,
                #[serde(other)]
                Unknown,
            }

            #[derive(Debug, Deserialize)]
            pub(crate) struct Around(u16);

            #[derive(Debug, Default, Deserialize)]
            #[serde(try_from = "String")]
            pub(crate) struct Checked(usize);

            impl TryFrom<String> for Checked {
                type Error = &'static str;

                fn try_from(text: String) -> Result<Self, Self::Error> {
                    if text.is_empty() { Err("it is empty") } else { Ok(Self(text.len())) }
                }
            }

            #[derive(Debug, Deserialize)]
            #[serde(from = "u8")]
            pub(crate) enum From8 {
                Of(u8),
            }

            impl From<u8> for From8 {
                fn from(of: u8) -> Self {
                    Self::Of(of)
                }
            }

            #[derive(Debug, Deserialize)]
            pub(crate) struct All {
                plain: Option<Plain>,
                lenient: Vec<Lenient>,
                closed: Option<Closed>,
                checked: Option<Checked>,
                from: Option<From8>,
            }
        }
    }

    const SEEDS: &[&str] = &[
        r#"{"plain":{"text":"x\n","type":"two_words","use":-5,"list":[[1,null],[2,true]],"by_name":{"a":7},"pair":[1,-1],"boxed":null},"lenient":[]}"#,
        r#"{"plain":{"pair":[1,2],"other":{"deep":[1]},"by_name":{},"list":[],"type":"3","text":""},"lenient":[]}"#,
        r#"{"lenient":[{"someText":"a","n":3,"filled":"","mustBeThere":null,"skipped":4,"inner":{"a":1,"c":["allow","x"]}}]}"#,
        r#"{"lenient":[{"mustBeThere":"y","inner":null},{"filled":"z"}],"checked":"abc"}"#,
        r#"{"lenient":[],"closed":{"b":"t"},"from":3,"checked":""}"#,
        r#"{"lenient":[],"closed":{"a":1,"d":2}}"#,
        r#"{"plain":{"text":"x","text":"y"},"lenient":null}"#,
    ];

    #[test]
    fn whatever_the_bytes_are_it_is_read_as_serdes_own_derive_reads_it_and_the_same_is_said_of_what_is_not() {
        let mut random = fastrand::Rng::with_seed(23);
        let rounds = std::env::var("SOAK").map_or(6_000, |_| 600_000);
        let mut read_well = 0;
        for round in 0..rounds {
            let mut text = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
            for _ in 0..random.usize(0..3) {
                let at = random.usize(0..text.len());
                match random.u8(0..5) {
                    0 => text[at] = *random.choice(b"0123xyabcdefn_\"").unwrap(),
                    1 => text[at] = *random.choice(b"{}[],:\"\\u0e.-+1n tf").unwrap(),
                    2 => drop(text.remove(at)),
                    3 => {
                        // A stretch of it comes twice.
                        let piece = text[at..text.len().min(at + random.usize(1..12))].to_vec();
                        text.splice(at..at, piece);
                    }
                    _ => text.insert(at, *random.choice(b"{}[],:\"\\u0e.-+1n tf").unwrap()),
                }
            }
            let ours = read::<types::ours::All>(&text).map(|all| format!("{all:?}")).map_err(|error| error.to_string());
            let theirs =
                read::<types::theirs::All>(&text).map(|all| format!("{all:?}")).map_err(|error| error.to_string());
            read_well += usize::from(ours.is_ok());
            // Whom the text came from knows no type of ours by its name.
            let theirs = theirs.map_err(|error| {
                ["All", "Plain", "Lenient", "Closed"]
                    .into_iter()
                    .fold(error, |told, name| told.replace(&format!("expected struct {name}"), "expected an object"))
            });
            match (ours, theirs) {
                // Serde takes a word for a variant as an object as well, and refuses one that is none in other words.
                (Err(ours), Err(theirs)) if ours.contains("expected a word") || theirs.contains("expected enum") => {}
                (ours, theirs) => assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&text)),
            }
        }
        assert!(read_well > rounds / 10, "{read_well} of {rounds} were read");
    }

    #[test]
    fn a_word_is_no_object() {
        assert!(read::<types::theirs::Word>(br#"{"one":null}"#).is_ok());
        assert!(
            read::<types::ours::Word>(br#"{"one":null}"#).is_err() && read::<types::ours::Word>(br#""one""#).is_ok()
        );
    }
}
