//! JSON, read. Everything the connector reads as JSON comes through here: what Cloudflare and `ConductorOne` send, and what it stored itself.
//!
//! `serde_json` compiles its whole parser once more into each type that is read, and each of them reads itself from a list as well as
//! from an object: a fourth of the Worker's size was that. Here the parser stands once, behind functions that no type is a parameter of;
//! what is made for each type is the choice of its fields. What this module does not do itself (escapes in a text, fractions, the words
//! of a syntax error) it has `serde_json` do, so that what is taken, and what is said of what is not, is the same. One thing is
//! stricter: a struct is an object and never a list. Two are laxer, since one record of a page must not cost the others: where anything may
//! stand, what is nested deeper than [`DEPTH`] reads as null, and half of a pair of surrogates reads as a letter that is not known.
//!
//! **Invariant:** [`read`] gives what `serde_json` gives, for any bytes but those.

// What the derive makes names this crate, here too.
extern crate self as json;

pub mod fields;
pub mod hex;

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

pub use json_derive::Deserialize;
pub use serde::de::Deserialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IgnoredAny, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::{Serialize, forward_to_deserialize_any};
use serde_json::Error;

/// How deep objects and lists may stand in one another.
const DEPTH: u8 = 127;

/// Reads a whole text.
pub fn read<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, Error> {
    let mut reader = Reader::new(text);
    match T::deserialize(&mut reader) {
        Ok(value) => reader.end().map(|()| value),
        Err(fault) => Err(told(text, reader.at, fault)),
    }
}

/// Reads a whole text that somebody wrote by hand: tells also where in it the fault is, such as `rules[1].then`; nowhere is the whole.
pub fn read_told<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, (String, Error)> {
    let text = text.as_bytes();
    let mut reader = Reader { path: Some(Vec::new()), ..Reader::new(text) };
    let fault = match T::deserialize(&mut reader) {
        Ok(value) if reader.is_at_end() => return Ok(value),
        Ok(_) => Fault::Syntax,
        Err(fault) => fault,
    };
    let path = reader.path.unwrap_or_default().into_iter().rev().collect::<String>();
    Err((path.trim_start_matches('.').to_owned(), told(text, reader.at, fault)))
}

/// Reads a whole text.
pub fn read_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    read(text.as_bytes())
}

/// Reads the text in quotation marks that something begins with; gives also how many bytes it takes there.
pub fn read_quoted(text: &str) -> Option<(String, usize)> {
    let mut reader = Reader::new(text.as_bytes());
    text.starts_with('"').then(|| reader.skip_string())?.ok()?;
    match serde_json::from_slice(text.get(..reader.at)?.as_bytes()) {
        Ok(Piece::Text(quoted)) => Some((quoted, reader.at)),
        _ => None,
    }
}

/// Reads what was read before without knowing what it is.
pub fn of<T: DeserializeOwned>(value: &impl Serialize) -> Result<T, Error> {
    read(&serde_json::to_vec(value)?)
}

/// What stands before the name of a tag, in the name of an enum that is read by it: a type with `#[serde(rename = "#type")]` is an object
/// whose variant is in its own `type`. (Serde's `tag` copies the object first, and compiles all that is in it a second time.)
const TAGGED: &str = "#";

/// The name of [`Text`], by which it is known.
const TEXT: &str = "#";

/// The text of a value: what is flattened into one object is read from it one after the other.
#[derive(Clone, Copy)]
pub struct Text<'de>(&'de [u8]);

impl<'de> Text<'de> {
    /// Reads it.
    pub fn read<T: Deserialize<'de>, E: serde::de::Error>(&self) -> Result<T, E> {
        T::deserialize(&mut Reader::new(self.0)).map_err(E::custom)
    }
}

/// What was made of texts that come again and again, by the text.
pub struct Made<T> {
    /// Their beginnings, in order.
    texts: Vec<(u64, Box<[u8]>)>,
    values: Vec<T>,
    bytes: usize,
}

impl<T: Clone> Default for Made<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Made<T> {
    /// Of nothing yet.
    pub const fn new() -> Self {
        Self { texts: Vec::new(), values: Vec::new(), bytes: 0 }
    }

    /// What was made of this text before, or what is made of it now. Of the same text the same is to be made each time: [`MOST`] of them are known.
    pub fn of<'de, E>(&mut self, text: Text<'de>, make: impl FnOnce(Text<'de>) -> Result<T, E>) -> Result<T, E> {
        let (mark, place) = sought(&self.texts, text.0);
        if let Ok(place) = place
            && let Some(made) = self.values.get(place)
        {
            return Ok(made.clone());
        }
        let new = make(text)?;
        if text.0.len() > LONGEST {
            return Ok(new);
        }
        self.bytes += text.0.len() + size_of::<T>();
        if self.bytes > MOST {
            *self = Self { bytes: text.0.len() + size_of::<T>(), ..Self::new() };
        }
        let place = place.unwrap_or_else(|place| place).min(self.values.len());
        self.texts.insert(place, (mark, text.0.into()));
        self.values.insert(place, new.clone());
        Ok(new)
    }
}

/// So many texts that begin alike are looked through, the latest ones.
const ALIKE: usize = 16;

/// The mark of a text, and where it is among others, or would be.
#[inline(never)]
fn sought(texts: &[(u64, Box<[u8]>)], text: &[u8]) -> (u64, Result<usize, usize>) {
    let mark = mark(text.get(..BEGINNING).unwrap_or(text));
    let place = texts.partition_point(|(other, _)| *other < mark);
    let alike = texts.get(place..).unwrap_or_default().iter().take(ALIKE).take_while(|(other, _)| *other == mark);
    let same = alike.enumerate().find(|(_, (_, other))| is_same(other, text));
    (mark, same.map_or(Err(place), |(further, _)| Ok(place + further)))
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;

        impl<'de> Visitor<'de> for Whole {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_bytes<E>(self, text: &'de [u8]) -> Result<Text<'de>, E> {
                Ok(Text(text))
            }
        }

        deserializer.deserialize_newtype_struct(TEXT, Whole)
    }
}

/// Why a text is refused, in the words of `serde_json`.
#[cold]
fn told(text: &[u8], at: usize, fault: Fault) -> Error {
    let what = match fault {
        Fault::Syntax => match serde_json::from_slice::<IgnoredAny>(text) {
            Err(error) => return error,
            // `serde_json` skips what it need not look at.
            Ok(_) => "cannot be read".to_owned(),
        },
        Fault::Data(what) => what.to_string(),
    };
    let before = text.get(..at).unwrap_or(text);
    let line = before.split(|byte| *byte == b'\n').count();
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
    Error::custom(format_args!("{what} at line {line} column {column}"))
}

/// Why reading stopped.
#[derive(Debug)]
enum Fault {
    /// It is no JSON.
    Syntax,
    /// It is JSON of something else.
    Data(Box<str>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str("it is no JSON"),
            Self::Data(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(what: T) -> Self {
        said(&what)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        unexpected(found, expected, "type")
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        unexpected(found, expected, "value")
    }
}

#[cold]
fn said(what: &dyn fmt::Display) -> Fault {
    Fault::Data(what.to_string().into_boxed_str())
}

#[cold]
fn unexpected(found: Unexpected<'_>, expected: &dyn Expected, of: &str) -> Fault {
    said(&format_args!("invalid {of}: {}, expected {expected}", Found(found)))
}

/// What was found, as `serde_json` says it. Serde's own words would bring the standard library's way to write fractions, which nothing else
/// here needs and which is as large as all of a route.
struct Found<'a>(Unexpected<'a>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Unit => f.write_str("null"),
            Unexpected::Bool(value) => write!(f, "boolean `{value}`"),
            Unexpected::Unsigned(number) => write!(f, "integer `{number}`"),
            Unexpected::Signed(number) => write!(f, "integer `{number}`"),
            Unexpected::Float(number) => match serde_json::Number::from_f64(number) {
                Some(number) => write!(f, "floating point `{number}`"),
                None => f.write_str("floating point"),
            },
            Unexpected::Str(text) => write!(f, "string {text:?}"),
            Unexpected::Seq => f.write_str("sequence"),
            Unexpected::Map => f.write_str("map"),
            Unexpected::Other(what) => f.write_str(what),
            _ => f.write_str("another kind of value"),
        }
    }
}

/// What `serde_json` reads for this parser: a text with escapes, or a number that is no whole one of 64 bits; it is asked for nothing else.
enum Piece {
    Text(String),
    Fraction(f64),
    Other,
}

impl<'de> Deserialize<'de> for Piece {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Takes whatever comes: a visitor that refuses brings the words for all that it refuses.
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Piece;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E>(self, text: &str) -> Result<Piece, E> {
                Ok(Piece::Text(text.to_owned()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Piece, E> {
                Ok(Piece::Fraction(number))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Piece, E> {
                Ok(Piece::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Piece, E> {
                Ok(Piece::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Piece, E> {
                Ok(Piece::Other)
            }

            fn visit_unit<E>(self) -> Result<Piece, E> {
                Ok(Piece::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Piece, A::Error> {
                Ok(Piece::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Piece, A::Error> {
                Ok(Piece::Other)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// A number as it stands.
enum Number {
    Unsigned(u64),
    Signed(i64),
    Fraction(f64),
}

/// A text and how far it is read.
struct Reader<'de> {
    text: &'de [u8],
    at: usize,
    depth: u8,
    /// Where the fault is, the innermost place first, if somebody wants to know.
    path: Option<Vec<String>>,
}

thread_local! {
    /// Objects and lists that were skipped, in this text or in one before: pages of members have each role's permissions as often as somebody holds
    /// the role, and they are most of their text.
    static KNOWN: RefCell<Known> = const { RefCell::new(Known { skipped: Vec::new(), bytes: 0 }) };
}

struct Known {
    skipped: Vec<Box<[u8]>>,
    bytes: usize,
}

/// So many of those that were skipped are known. Which one may come again is told by so many bytes at its beginning (in a list of groups the first
/// one's id stands there), and before an object in a field also by so many before it: a role's id or name stands before its permissions.
const SKIPPED: usize = 2048;
const BEFORE: usize = 32;
const BEGINNING: usize = 40;

/// What is shorter is skipped as fast as it is looked up.
const LONG: usize = 64;

/// Nothing longer is kept, and no more than this in all of a kind: three hundred roles have some 2 KB of permissions each.
const LONGEST: usize = 16 * 1024;
const MOST: usize = 1024 * 1024;

impl Known {
    /// How long what a text begins with is, where that was skipped before.
    fn length(&self, place: usize, text: &[u8]) -> Option<usize> {
        let known = self.skipped.get(place).filter(|known| !known.is_empty())?;
        is_same(known, text.get(..known.len())?).then_some(known.len())
    }

    fn keep(&mut self, place: usize, text: &[u8]) {
        if !(LONG..=LONGEST).contains(&text.len()) {
            return;
        }
        if self.bytes + text.len() > MOST {
            *self = Self { skipped: Vec::new(), bytes: 0 };
        }
        self.skipped.resize(SKIPPED, Box::default());
        if let Some(known) = self.skipped.get_mut(place) {
            self.bytes = self.bytes + text.len() - known.len();
            *known = text.into();
        }
    }
}

/// How far an object or a list is read: before its first item, at which item, and where the name of that item stands.
#[derive(Default)]
struct Place {
    is_inside: bool,
    item: usize,
    name: usize,
}

/// The parser: nothing here knows what type is read.
impl<'de> Reader<'de> {
    const fn new(text: &'de [u8]) -> Self {
        Self { text, at: 0, depth: DEPTH, path: None }
    }

    /// The next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        match self.text.get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            _ => self.peek_on(),
        }
    }

    #[inline(never)]
    fn peek_on(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Whether everything is read, and all that was opened is closed.
    fn is_at_end(&mut self) -> bool {
        self.peek().is_none() && self.depth == DEPTH
    }

    #[inline(never)]
    fn end(&mut self) -> Result<(), Error> {
        if self.is_at_end() { Ok(()) } else { Err(told(self.text, self.at, Fault::Syntax)) }
    }

    /// Takes a byte, if it is the next one.
    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(Fault::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    /// Goes into an object or a list, if that is what begins here.
    #[inline(never)]
    fn open(&mut self, bracket: u8, expected: &dyn Expected) -> Result<(), Fault> {
        if self.peek() != Some(bracket) {
            return Err(self.other(expected));
        }
        self.deeper()?;
        self.at += 1;
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| said(&"recursion limit exceeded"))?;
        Ok(())
    }

    /// Comes out of an object or a list that was read to its end.
    #[inline(never)]
    fn close(&mut self, bracket: u8) -> Result<(), Fault> {
        self.depth += 1;
        if self.takes(bracket) {
            return Ok(());
        }
        // Somebody stopped before its end: that is no fault of the text's, if it goes on.
        Err(if self.peek() == Some(b',') { said(&"trailing items") } else { Fault::Syntax })
    }

    /// Whether there is a further item before the bracket; the first has no comma before it.
    #[inline(never)]
    fn has_more(&mut self, bracket: u8, place: &mut Place) -> Result<bool, Fault> {
        if self.peek() == Some(bracket) {
            return Ok(false);
        }
        if std::mem::replace(&mut place.is_inside, true) {
            if !self.takes(b',') || self.peek() == Some(bracket) {
                return Err(Fault::Syntax);
            }
            place.item += 1;
        }
        Ok(true)
    }

    /// Notes that the fault is in an item of a list.
    #[cold]
    #[inline(never)]
    fn in_item(&mut self, fault: Fault, place: &Place) -> Fault {
        if let Some(path) = &mut self.path {
            path.push(format!("[{}]", place.item));
        }
        fault
    }

    /// Notes that the fault is in a field.
    #[cold]
    #[inline(never)]
    fn in_field(&mut self, fault: Fault, place: &Place) -> Fault {
        let mut names = Reader { at: place.name, ..Reader::new(self.text) };
        if let (Some(path), Ok(name)) = (&mut self.path, names.string()) {
            path.push(format!(".{name}"));
        }
        fault
    }

    /// The next field's name, if there is one; its value is what comes next.
    #[inline(never)]
    fn key(&mut self, place: &mut Place) -> Result<Option<Cow<'de, str>>, Fault> {
        if !self.has_more(b'}', place)? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return Err(Fault::Syntax);
        }
        place.name = self.at;
        let key = self.string()?;
        self.colon()?;
        Ok(Some(key))
    }

    fn colon(&mut self) -> Result<(), Fault> {
        if self.takes(b':') { Ok(()) } else { Err(Fault::Syntax) }
    }

    /// Skips a text's bytes to behind its closing quote; tells whether there is an escape in it.
    fn skip_string(&mut self) -> Result<bool, Fault> {
        let mut escaped = false;
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let length = plain(rest);
            self.at += length + 1;
            match rest.get(length..).unwrap_or_default() {
                [b'"', ..] => return Ok(escaped),
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 1,
                [b'\\', b'u', digits @ ..]
                    if digits.iter().take(4).filter(|digit| digit.is_ascii_hexdigit()).count() == 4 =>
                {
                    self.at += 5;
                }
                _ => return Err(Fault::Syntax),
            }
            escaped = true;
        }
    }

    /// A text; what begins here is a quote.
    #[inline(never)]
    fn string(&mut self) -> Result<Cow<'de, str>, Fault> {
        let begin = self.at;
        let escaped = self.skip_string()?;
        if escaped {
            let quoted = self.text.get(begin..self.at).unwrap_or_default();
            return match serde_json::from_slice(quoted) {
                Ok(Piece::Text(text)) => Ok(Cow::Owned(text)),
                _ => halved(quoted).map(Cow::Owned),
            };
        }
        let bare = self.text.get(begin + 1..self.at - 1).unwrap_or_default();
        std::str::from_utf8(bare).map(Cow::Borrowed).map_err(|_| Fault::Syntax)
    }

    fn digits(&mut self) -> usize {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    /// Skips a number; tells whether it is a whole one.
    fn skip_number(&mut self) -> Result<bool, Fault> {
        let next = |reader: &Self| reader.text.get(reader.at).copied();
        self.at += usize::from(next(self) == Some(b'-'));
        let begins_with_zero = next(self) == Some(b'0');
        let whole = self.digits();
        if whole == 0 || (begins_with_zero && whole > 1) {
            return Err(Fault::Syntax);
        }
        let mut is_whole = true;
        if next(self) == Some(b'.') {
            is_whole = false;
            self.at += 1;
            if self.digits() == 0 {
                return Err(Fault::Syntax);
            }
        }
        if matches!(next(self), Some(b'e' | b'E')) {
            is_whole = false;
            self.at += 1;
            self.at += usize::from(matches!(next(self), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return Err(Fault::Syntax);
            }
        }
        Ok(is_whole)
    }

    /// A number; what begins here is a digit or a sign.
    #[inline(never)]
    fn number(&mut self) -> Result<Number, Fault> {
        let begin = self.at;
        let is_whole = self.skip_number()?;
        let text = self.text.get(begin..self.at).unwrap_or_default();
        if is_whole && let Ok(digits) = std::str::from_utf8(text) {
            if let Ok(number) = digits.parse() {
                return Ok(Number::Unsigned(number));
            }
            if let Ok(number) = digits.parse()
                && digits != "-0"
            {
                return Ok(Number::Signed(number));
            }
        }
        match serde_json::from_slice(text) {
            Ok(Piece::Fraction(number)) => Ok(Number::Fraction(number)),
            _ => Err(said(&"number out of range")),
        }
    }

    /// Skips whatever begins here, with all that is in it.
    #[inline(never)]
    fn skip(&mut self) -> Result<(), Fault> {
        let begin = match self.peek() {
            Some(b'{' | b'[') => self.at,
            _ => return self.skip_on(),
        };
        let place = self.place();
        let rest = self.text.get(begin..).unwrap_or_default();
        if let Some(length) = KNOWN.with_borrow(|known| known.length(place, rest)) {
            self.at += length;
            return Ok(());
        }
        self.skip_on()?;
        let skipped = self.text.get(begin..self.at).unwrap_or_default();
        KNOWN.with_borrow_mut(|known| known.keep(place, skipped));
        Ok(())
    }

    /// Where it is noted what begins here.
    fn place(&self) -> usize {
        let of_field = self.text.get(self.at.wrapping_sub(1)..).is_some_and(|rest| rest.starts_with(b":{"));
        let from = self.at.saturating_sub(if of_field { BEFORE } else { 0 });
        let begins = self.text.get(from..self.text.len().min(self.at + BEGINNING)).unwrap_or_default();
        usize::try_from(mark(begins) % SKIPPED as u64).unwrap_or_default()
    }

    fn skip_on(&mut self) -> Result<(), Fault> {
        // Of what is open, a bit for each, the innermost the lowest: whether it is an object. Those outside of the innermost 128 wait.
        let (mut open, mut objects, mut outer) = (0_usize, 0_u128, Vec::new());
        loop {
            match self.peek() {
                Some(b'"') => drop(self.skip_string()?),
                Some(bracket @ (b'{' | b'[')) => {
                    self.at += 1;
                    if open > 0 && open % 128 == 0 {
                        outer.push(objects);
                    }
                    open += 1;
                    objects = (objects << 1) | u128::from(bracket == b'{');
                    if self.peek() != Some(bracket + 2) {
                        if bracket == b'{' {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                Some(b'-' | b'0'..=b'9') => drop(self.skip_number()?),
                _ => return Err(Fault::Syntax),
            }
            // A value is over, and whatever ends with it.
            loop {
                if open == 0 {
                    return Ok(());
                }
                let is_object = objects & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if is_object {
                            self.skip_key()?;
                        }
                        break;
                    }
                    Some(bracket) if bracket == if is_object { b'}' } else { b']' } => {
                        self.at += 1;
                        open -= 1;
                        objects >>= 1;
                        if open > 0 && open % 128 == 0 {
                            objects = outer.pop().unwrap_or_default();
                        }
                    }
                    _ => return Err(Fault::Syntax),
                }
            }
        }
    }

    /// Skips a field's name, up to its value.
    fn skip_key(&mut self) -> Result<(), Fault> {
        if self.peek() != Some(b'"') {
            return Err(Fault::Syntax);
        }
        self.skip_string()?;
        self.colon()
    }

    /// What is said of a value that is of another type than the one that is read.
    #[cold]
    #[inline(never)]
    fn other(&mut self, expected: &dyn Expected) -> Fault {
        let found = match self.peek() {
            Some(b'"') => match self.string() {
                Ok(text) => return unexpected(Unexpected::Str(&text), expected, "type"),
                Err(fault) => return fault,
            },
            Some(b'-' | b'0'..=b'9') => match self.number() {
                Ok(Number::Unsigned(number)) => Unexpected::Unsigned(number),
                Ok(Number::Signed(number)) => Unexpected::Signed(number),
                Ok(Number::Fraction(number)) => Unexpected::Float(number),
                Err(fault) => return fault,
            },
            Some(b'{') => Unexpected::Map,
            Some(b'[') => Unexpected::Seq,
            Some(b't') if self.word(b"true").is_ok() => Unexpected::Bool(true),
            Some(b'f') if self.word(b"false").is_ok() => Unexpected::Bool(false),
            Some(b'n') if self.word(b"null").is_ok() => Unexpected::Unit,
            _ => return Fault::Syntax,
        };
        unexpected(found, expected, "type")
    }

    /// A text, where one is read.
    fn text(&mut self, expected: &dyn Expected) -> Result<Cow<'de, str>, Fault> {
        if self.peek() == Some(b'"') { self.string() } else { Err(self.other(expected)) }
    }

    #[inline(never)]
    fn bool(&mut self, expected: &dyn Expected) -> Result<bool, Fault> {
        match self.peek() {
            Some(b't') => self.word(b"true").map(|()| true),
            Some(b'f') => self.word(b"false").map(|()| false),
            _ => Err(self.other(expected)),
        }
    }

    /// Takes `null`, if that is what stands here.
    #[inline(never)]
    fn null(&mut self) -> Result<bool, Fault> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.word(b"null").map(|()| true)
    }

    /// What an object says of itself under a name, wherever that stands in it; the object is still to be read.
    #[inline(never)]
    fn tag(&mut self, name: &str, expected: &dyn Expected) -> Result<Cow<'de, str>, Fault> {
        if self.peek() != Some(b'{') {
            return Err(self.other(expected));
        }
        let mut ahead = Reader { at: self.at + 1, depth: self.depth, ..Reader::new(self.text) };
        let mut place = Place::default();
        while let Some(key) = ahead.key(&mut place)? {
            if key == name {
                return ahead.text(&"a variant's name");
            }
            ahead.skip()?;
        }
        Err(said(&format_args!("missing field `{name}`")))
    }

    /// The text of whatever begins here.
    fn whole(&mut self) -> Result<&'de [u8], Fault> {
        self.peek();
        let begin = self.at;
        self.skip()?;
        Ok(self.text.get(begin..self.at).unwrap_or_default())
    }

    fn numeral(&mut self, expected: &dyn Expected) -> Result<Number, Fault> {
        if matches!(self.peek(), Some(b'-' | b'0'..=b'9')) { self.number() } else { Err(self.other(expected)) }
    }
}

/// A text in quotation marks that is none for `serde_json`: half of a pair of surrogates is what becomes of a letter where a text was cut in the middle
/// of it. U+FFFD stands in its place. To have `serde_json` read it as bytes would bring its words for whatever is no bytes, fractions among it.
#[cold]
fn halved(quoted: &[u8]) -> Result<String, Fault> {
    let unit = |at: usize| {
        let digits = quoted.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut whole, mut at) = (Vec::with_capacity(quoted.len()), 0);
    while let Some(byte) = quoted.get(at) {
        let length = match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(_) => 6,
            None => 1 + usize::from(*byte == b'\\'),
        };
        let is_half = length == 6 && matches!(unit(at), Some(0xd800..=0xdfff));
        let read = quoted.get(at..at + length).unwrap_or_default();
        whole.extend_from_slice(if is_half { b"\\ufffd" } else { read });
        at += length;
    }
    match serde_json::from_slice(&whole) {
        Ok(Piece::Text(text)) => Ok(text),
        _ => Err(Fault::Syntax),
    }
}

/// How many bytes at the beginning of a text have no meaning of their own in it: no quote, no backslash, nothing that controls. Eight at once: a
/// page of members is texts above all, most of which are skipped.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES << 7;
    // The lowest byte that is less than this has its high bit set then, and none below it has.
    let less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word & HIGHS;
    let is = |word: u64, byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
    let (words, rest) = bytes.as_chunks();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let special = is(word, b'"') | is(word, b'\\') | less(word, b' ');
        if special != 0 {
            return 8 * place + (special.trailing_zeros() / 8) as usize;
        }
    }
    bytes.len() - rest.len() + rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..b' ')).count()
}

/// A number for a text by its first bytes: one that begins otherwise has another, as good as always.
fn mark(begins: &[u8]) -> u64 {
    begins
        .as_chunks()
        .0
        .iter()
        .fold(0, |hash, word| (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23))
}

/// Whether two texts are the same. Eight bytes at once: in wasm, the comparison that the language has looks at one after the other.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let ((words, rest), (others, other_rest)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    one.len() == other.len()
        && words.iter().zip(others).all(|(word, other)| u64::from_le_bytes(*word) == u64::from_le_bytes(*other))
        && rest == other_rest
}

/// Gives a text to whoever reads it.
fn give<'de, V: Visitor<'de>>(text: Cow<'de, str>, visitor: V) -> Result<V::Value, Fault> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

fn give_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Fault> {
    match *number {
        Number::Unsigned(number) => visitor.visit_u64(number),
        Number::Signed(number) => visitor.visit_i64(number),
        Number::Fraction(number) => visitor.visit_f64(number),
    }
}

/// For each of serde's kinds of numbers and texts: they are read alike.
macro_rules! alike {
    ($($method:ident)* => $read:ident, $give:expr) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let value = self.$read(&visitor)?;
            $give(value, visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.peek() {
            Some(b'"') => self.deserialize_str(visitor),
            Some(b'{' | b'[') if self.depth == 0 => {
                self.skip()?;
                visitor.visit_unit()
            }
            Some(b'{') => self.deserialize_map(visitor),
            Some(b'[') => self.deserialize_seq(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'n') => self.deserialize_unit(visitor),
            _ => self.deserialize_u64(visitor),
        }
    }

    alike!(deserialize_str deserialize_string deserialize_char deserialize_identifier deserialize_bytes deserialize_byte_buf
        => text, give);

    alike!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_f32 deserialize_f64 => numeral, |number, visitor| give_number(&number, visitor));

    alike!(deserialize_bool => bool, |value, visitor: V| visitor.visit_bool(value));

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.null()? { visitor.visit_unit() } else { Err(self.other(&visitor)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.null()? { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        if name == TEXT { visitor.visit_borrowed_bytes(self.whole()?) } else { visitor.visit_newtype_struct(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.open(b'[', &visitor)?;
        visitor.visit_seq(Inside { reader: self, place: Place::default() })
    }

    /// What reads a tuple stops behind its last item, and does not ask for another one.
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.open(b'[', &visitor)?;
        let value = visitor.visit_seq(Inside { reader: self, place: Place::default() })?;
        self.close(b']')?;
        Ok(value)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(count, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.open(b'{', &visitor)?;
        visitor.visit_map(Inside { reader: self, place: Place::default() })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if let Some(tag) = name.strip_prefix(TAGGED) {
            let name = self.tag(tag, &visitor)?;
            return visitor.visit_enum(Variant { name, content: Some(self) });
        }
        if self.peek() == Some(b'"') {
            let name = self.string()?;
            return visitor.visit_enum(Variant { name, content: None });
        }
        self.open(b'{', &visitor)?;
        let Some(name) = self.key(&mut Place::default())? else { return Err(Fault::Syntax) };
        let value = visitor.visit_enum(Variant { name, content: Some(self) })?;
        self.close(b'}')?;
        Ok(value)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.skip()?;
        visitor.visit_unit()
    }
}

/// What stands in an object or a list. Who reads it reads to its end, which closes it: closed by who opened it, each type would have once
/// more what becomes of a value that was read when it cannot be closed.
struct Inside<'a, 'de> {
    reader: &'a mut Reader<'de>,
    place: Place,
}

impl<'de> SeqAccess<'de> for Inside<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if !self.reader.has_more(b']', &mut self.place)? {
            return self.reader.close(b']').map(|()| None);
        }
        match seed.deserialize(&mut *self.reader) {
            Ok(value) => Ok(Some(value)),
            Err(fault) => Err(self.reader.in_item(fault, &self.place)),
        }
    }
}

impl<'de> MapAccess<'de> for Inside<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        match self.reader.key(&mut self.place)? {
            Some(key) => match seed.deserialize(Key(key)) {
                Ok(key) => Ok(Some(key)),
                Err(fault) => Err(self.reader.in_field(fault, &self.place)),
            },
            None => self.reader.close(b'}').map(|()| None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        match seed.deserialize(&mut *self.reader) {
            Ok(value) => Ok(value),
            Err(fault) => Err(self.reader.in_field(fault, &self.place)),
        }
    }
}

/// The number that a key stands for.
fn quoted(key: &str) -> Result<Number, Fault> {
    let mut reader = Reader::new(key.as_bytes());
    match key.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => {
            let number = reader.number()?;
            if reader.at == key.len() {
                Ok(number)
            } else {
                Err(said(&"invalid value: expected key to be a number in quotes"))
            }
        }
        _ => Err(said(&"invalid value: expected key to be a number in quotes")),
    }
}

/// The name of a field, or the key of a map: a text that may stand for a number.
struct Key<'de>(Cow<'de, str>);

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            give_number(&quoted(&self.0)?, visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        give(self.0, visitor)
    }

    numbers!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(Variant { name: self.0, content: None })
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A variant of an enum: its name, and its content, if it has one.
struct Variant<'a, 'de> {
    name: Cow<'de, str>,
    content: Option<&'a mut Reader<'de>>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a, 'de> {
    type Error = Fault;
    type Variant = Content<'a, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Fault> {
        Ok((seed.deserialize(Key(self.name))?, Content(self.content)))
    }
}

struct Content<'a, 'de>(Option<&'a mut Reader<'de>>);

impl<'a, 'de> Content<'a, 'de> {
    fn there(self, expected: &dyn Expected) -> Result<&'a mut Reader<'de>, Fault> {
        self.0.ok_or_else(|| unexpected(Unexpected::UnitVariant, expected, "type"))
    }
}

impl<'de> VariantAccess<'de> for Content<'_, 'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.0 {
            Some(reader) => <()>::deserialize(reader),
            None => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self.there(&"newtype variant")?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.there(&"tuple variant")?.deserialize_tuple(0, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.there(&"struct variant")?.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    use super::read;

    /// One of everything that serde makes of a type.
    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct All {
        text: String,
        some: Option<i32>,
        small: u8,
        fraction: f64,
        flag: bool,
        unit: (),
        pair: (u16, String),
        list: Vec<Option<String>>,
        set: BTreeSet<u32>,
        by_number: BTreeMap<i64, bool>,
        by_word: BTreeMap<Word, Value>,
        shape: Shape,
        tagged: Vec<Tagged>,
        either: Option<Either>,
        inner: Option<Box<All>>,
        #[serde(flatten)]
        further: serde_json::Map<String, Value>,
    }

    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    enum Word {
        One,
        Two,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    enum Shape {
        #[default]
        None,
        Newtype(u64),
        Tuple(i8, String),
        Struct {
            of: Vec<Shape>,
        },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Tagged {
        Unit,
        Fields { a: u8, b: Option<String> },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Many(Vec<String>),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        n: u32,
    }

    /// What `Tagged` is, read by its tag without a copy.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "#type", rename_all = "snake_case")]
    enum ByTag {
        Unit {},
        Fields { a: u8, b: Option<String> },
    }

    /// Two that stand in one object.
    #[derive(Debug, PartialEq)]
    struct Flat {
        strict: Only,
        tagged: ByTag,
    }

    impl<'de> Deserialize<'de> for Flat {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = super::Text::deserialize(deserializer)?;
            Ok(Self { strict: text.read()?, tagged: text.read()? })
        }
    }

    /// Of all that may stand beside it, this alone is read.
    #[derive(Debug, PartialEq, Deserialize)]
    struct Only {
        n: u32,
    }

    const SEEDS: &[&str] = &[
        r#"{"text":"é\u00e9\ud83d\ude00\n\"","some":-5,"small":255,"fraction":1.5e-3,"flag":true,"unit":null,"pair":[7,"x"],"list":[null,"a"]}"#,
        r#"{"set":[3,1,3],"by_number":{"-1":true,"2":false},"by_word":{"One":[1,{"a":0.1}],"Two":null},"shape":{"Struct":{"of":["None",{"Newtype":18446744073709551615},{"Tuple":[-128,""]}]}}}"#,
        r#" { "tagged" : [ {"type":"unit"}, {"b":null,"a":1,"type":"fields","x":[]} ] , "either":["a","b"], "inner":{"text":"in"}, "other":{"deep":[[[1e3]]]} } "#,
        r#"{"either":"text","fraction":-0,"some":null,"small":1,"small":2}"#,
        r#"[0,-0,1,-1,12345678901234567890123,1e400,0.5,-2.5E+2,"\/\b\f\t\r",true,false,null,{},[]]"#,
    ];

    /// What reads otherwise than `serde_json` reads it, if anything does.
    fn differs<T: for<'de> Deserialize<'de> + std::fmt::Debug + PartialEq>(text: &[u8]) -> Option<String> {
        let (ours, theirs) = (read::<T>(text), serde_json::from_slice::<T>(text));
        match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) if ours == theirs => None,
            (Err(_), Err(_)) => None,
            // Half of a pair of surrogates.
            (Ok(_), Err(theirs)) if theirs.to_string().contains("hex escape") => None,
            _ => Some(format!("{}: {ours:?}, and not {theirs:?}", String::from_utf8_lossy(text))),
        }
    }

    #[test]
    fn whatever_the_bytes_are_serde_json_reads_the_same_from_them() {
        let mut random = fastrand::Rng::with_seed(10);
        let rounds = std::env::var("SOAK").map_or(4_000, |_| 400_000);
        let mut read_well = 0;
        for round in 0..rounds {
            let seed = SEEDS[round % SEEDS.len()];
            let mut text = seed.as_bytes().to_vec();
            for _ in 0..random.usize(0..3) {
                let at = random.usize(0..text.len());
                match random.u8(0..5) {
                    0 => text[at] = random.u8(..),
                    1 => text[at] = *random.choice(b"{}[],:\"\\u0e.-+1n tf \n").unwrap(),
                    2 => drop(text.remove(at)),
                    3 => text.insert(at, *random.choice(b"{}[],:\"\\u0e.-+1n tf \n").unwrap()),
                    _ => text.truncate(at.max(1)),
                }
            }
            read_well += usize::from(read::<Value>(&text).is_ok());
            assert_eq!(differs::<Value>(&text), None);
            // A struct may stand in no list here.
            if round % SEEDS.len() != 4 {
                assert_eq!(differs::<Strict>(&text), None);
            }
            if text.first() != Some(&b'[') && !String::from_utf8_lossy(&text).contains("inner\":[") {
                assert_eq!(differs::<All>(&text), None);
            }
        }
        assert!(read_well > rounds / 4, "{read_well} of {rounds} were JSON");
    }

    /// One in another, each beside something that is skipped.
    #[derive(Debug, PartialEq, Deserialize)]
    struct Nested {
        n: u8,
        inner: Option<Box<Nested>>,
    }

    #[test]
    fn what_comes_again_is_skipped_as_it_was_the_first_time() {
        let mut random = fastrand::Rng::with_seed(11);
        let values: Vec<String> = (0..12)
            .map(|n| match n % 4 {
                0 => format!(r#"{{"a":{}1{},"b":"{}"}}"#, "[".repeat(n * 9), "]".repeat(n * 9), "x".repeat(70)),
                1 => format!("[{}0]", r#"{"read":true,"edit":false},"#.repeat(n)),
                2 => format!(r#"{{"k{n}":"{}\u00e9"}}"#, "y".repeat(70)),
                _ => format!("\"{}\"", "z".repeat(40)),
            })
            .collect();
        let mut well = 0;
        for _ in 0..std::env::var("SOAK").map_or(600, |_| 60_000) {
            // The innermost first: what was skipped there may come again where it is nested less, or more.
            let mut text = "null".to_owned();
            for _ in 0..random.usize(1..70) {
                let value = &values[random.usize(0..values.len())];
                let inner = format!(r#""inner":{text},"n":{}"#, random.u8(0..9));
                text = format!(r#"{{{inner},"skipped":{value}}}"#);
                if random.bool() {
                    text = format!(r#"{{"skipped":{value},{inner}}}"#);
                }
            }
            let mut text = text.into_bytes();
            if random.u8(0..3) == 0 {
                let at = random.usize(0..text.len());
                text[at] = *random.choice(b"{}[],:\"\\ea0 ").unwrap();
            }
            let theirs = serde_json::from_slice::<Nested>(&text);
            let ours = read::<Nested>(&text);
            assert_eq!(ours.as_ref().ok(), theirs.as_ref().ok(), "{}", String::from_utf8_lossy(&text));
            well += usize::from(ours.is_ok());
        }
        assert!(well > 100, "{well} could be read");
    }

    #[test]
    fn what_was_made_of_a_text_is_made_once_and_of_no_other_text() {
        let alike = |n: usize| format!(r#"{{"name":"{}","n":{n}}}"#, "x".repeat(60));
        let others = (0..300).map(|n| format!(r#"{{"n":{n}}}"#)).chain([r#"{"n":1,"":0}"#.to_owned(), "7".to_owned()]);
        let texts: Vec<String> = others.chain((0..40).map(alike)).collect();
        let mut made = super::Made::new();
        let mut times = 0;
        for _ in 0..3 {
            for text in &texts {
                let text = read::<super::Text<'_>>(text.as_bytes()).unwrap();
                let value = made.of(text, |text| {
                    times += 1;
                    text.read::<Value, serde_json::Error>()
                });
                assert_eq!(value.unwrap(), text.read::<Value, serde_json::Error>().unwrap());
            }
        }
        // Of forty that begin alike not all are known, and what is not is made again.
        assert_eq!(times, 302 + 3 * 40);
        assert!(made.bytes < super::MOST && made.texts.len() == made.values.len());
        let long: Vec<String> =
            (0..6_000).map(|n| format!(r#"{{"n":{n},"x":"{}"}}"#, "x".repeat(n * 7 % 20_000))).collect();
        for text in &long {
            let text = read::<super::Text<'_>>(text.as_bytes()).unwrap();
            made.of(text, |text| text.read::<Value, serde_json::Error>()).unwrap();
            assert!(
                made.texts.iter().map(|(_, text)| text.len()).sum::<usize>() <= made.bytes && made.bytes <= super::MOST
            );
        }
        let failed = |text: super::Text<'_>| text.read::<Only, serde_json::Error>().map(|only| only.n);
        let text = read::<super::Text<'_>>(br#"{"n":"a"}"#).unwrap();
        let mut made = super::Made::new();
        assert!(made.of(text, failed).is_err() && made.of(text, |_| Ok::<_, serde_json::Error>(5)).is_ok());
    }

    #[test]
    fn of_what_was_skipped_no_more_is_kept_than_there_is_room_for() {
        let (mut most, mut least) = (0, usize::MAX);
        for n in 0..6_000_usize {
            let text = format!(r#"{{"n":1,"x{n}":{{"x":"{}"}}}}"#, "x".repeat(n * 7 % 20_000));
            assert_eq!(read::<Only>(text.as_bytes()).unwrap().n, 1);
            super::KNOWN.with_borrow(|known| {
                assert_eq!(known.bytes, known.skipped.iter().map(|skipped| skipped.len()).sum::<usize>());
                (most, least) = (most.max(known.bytes), if n > 1_000 { least.min(known.bytes) } else { least });
            });
        }
        assert!((super::MOST / 2..=super::MOST).contains(&most) && least < super::MOST / 2, "{least} to {most}");
    }

    #[test]
    fn a_variant_is_read_by_its_tag_wherever_that_stands() {
        for text in [
            r#"{"type":"unit"}"#,
            r#"{"type":"fields","a":1,"b":"x"}"#,
            r#" { "b" : null , "x":{"type":"unit","y":[1,{}]}, "a":1, "type" : "fie\u006cds" } "#,
            r#"{"type":"fields","a":1}"#,
            r#"{"type":"fields","a":"1","b":null}"#,
            r#"{"type":"fields","b":null}"#,
            r#"{"type":"other","a":1}"#,
            r#"{"type":1}"#,
            r#"{"a":1}"#,
            r#"{"type":"fields","a":1,"b":null"#,
            r#"{"a":1,"type""#,
            r#""unit""#,
            "[]",
            "null",
            "",
        ] {
            let theirs =
                serde_json::from_str::<Tagged>(text).map(|read| format!("{read:?}").replace("Unit", "Unit {}")).ok();
            let ours = read::<ByTag>(text.as_bytes())
                .map(|read| format!("{read:?}").replace("Unit", "Unit {}").replace("{} {}", "{}"));
            assert_eq!(ours.ok(), theirs, "{text}");
        }
        let list = read::<Vec<ByTag>>(br#"[{"type":"unit","a":[[]]},{"a":2,"b":"y","type":"fields"}]"#).unwrap();
        assert_eq!(list, [ByTag::Unit {}, ByTag::Fields { a: 2, b: Some("y".to_owned()) }]);
        assert!(
            read::<Vec<ByTag>>(br#"[{"type":"unit"},{"a":2}]"#)
                .unwrap_err()
                .to_string()
                .contains("missing field `type`")
        );
    }

    #[test]
    fn what_is_flattened_is_read_from_one_object() {
        let flat = |n| Flat { strict: Only { n }, tagged: ByTag::Unit {} };
        let read_list = |text: &str| read::<Vec<Flat>>(text.as_bytes());
        assert_eq!(
            read_list(r#"[ {"n":1,"type":"unit"} , {"type":"unit","n":2,"x":[]}]"#).unwrap(),
            [flat(1), flat(2)]
        );
        for text in
            [r#"[{"n":1}]"#, r#"[{"type":"unit"}]"#, "[1]", r#"[{"n":1,"type":"unit"]"#, r#"[{"n":1,"type":"unit"}"#]
        {
            assert!(read_list(text).is_err(), "{text}");
        }
        assert!(
            serde_json::from_str::<Flat>(r#"{"n":1,"type":"unit"}"#).is_err(),
            "only what is read here can be read so"
        );
    }

    #[test]
    fn a_struct_is_an_object_and_never_a_list() {
        assert_eq!(read::<Strict>(br#"{"n":1}"#).unwrap(), Strict { n: 1 });
        assert!(serde_json::from_str::<Strict>("[1]").is_ok() && read::<Strict>(b"[1]").is_err());
    }

    #[test]
    fn what_is_nested_too_deep_is_skipped_reads_as_null_where_anything_may_stand_and_is_refused_elsewhere() {
        let nested = |depth: usize| format!("{{\"n\":1,\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        for depth in [126, 127, 128, 129, 300, 100_000] {
            assert_eq!(read::<Only>(nested(depth).as_bytes()).unwrap().n, 1, "{depth}");
            for wrong in [nested(depth).replacen(']', "}", 1), nested(depth).replacen("]}", "}", 1)] {
                assert!(read::<Only>(wrong.as_bytes()).is_err(), "{depth}");
            }
            let value = read::<Value>(nested(depth).as_bytes()).unwrap();
            let at = |place: usize| value.pointer(&format!("/x{}", "/0".repeat(place)));
            assert_eq!(at(125).is_some_and(Value::is_array), depth >= 126);
            assert_eq!(at(126), (depth >= 127).then_some(&Value::Null), "{depth}");
        }
        let mixed = |depth: usize| {
            (0..depth).fold("1".to_owned(), |inner, n| {
                if n % 3 == 0 { format!("[{inner},0]") } else { format!(r#"{{"a":{inner},"b":[]}}"#) }
            })
        };
        for depth in [127, 128, 129, 255, 256, 257, 1_000] {
            let text = format!(r#"{{"x":{},"n":1}}"#, mixed(depth));
            assert_eq!(read::<Only>(text.as_bytes()).unwrap().n, 1, "{depth}");
        }
        let within =
            |levels: usize| (0..levels).fold("null".to_owned(), |inner, _| format!(r#"{{"n":1,"inner":{inner}}}"#));
        assert!(read::<Nested>(within(127).as_bytes()).is_ok() && read::<Nested>(within(128).as_bytes()).is_err());
    }

    #[test]
    fn half_of_a_pair_of_surrogates_is_a_letter_that_is_not_known() {
        let name = |text: &str| read::<Value>(format!(r#"{{"name":"{text}","n":1}}"#).as_bytes());
        for half in [r"\ud83d", r"\ude00", r"\ud83dx", r"\ud83d\n", r"\ude00\ud83d"] {
            let read = name(&format!(r"Al{half} é\u00e9")).unwrap();
            let text = read["name"].as_str().unwrap();
            assert!(text.starts_with("Al\u{fffd}") && text.ends_with(" éé") && read["n"] == 1, "{half}: {text}");
        }
        assert_eq!(name(r"\ud83d\ude00").unwrap()["name"], "😀");
        for wrong in [r"\ud83d\x", r"\ud83", "\\ud83d\u{1}"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
        assert!(read::<Value>(b"\"\\ud83d \xff\"").is_err(), "what is no UTF-8 is no text");
    }

    #[test]
    fn what_is_said_is_what_serde_json_says() {
        for text in [
            r#"{"n":"a"}"#,
            r#"{"n":null}"#,
            r#"{"n":-1}"#,
            r#"{"m":1}"#,
            "{}",
            "null",
            "{",
            "",
            "{\"n\":1}x",
            "{\"n\":01}",
            "{\"n\":\n tru}",
            r#"{"n":1.5e30}"#,
            r#"{"n":[]}"#,
            r#"{"n":{}}"#,
            r#"{"n":true}"#,
            r#"{"n":"\u00e9\"\n"}"#,
        ] {
            let (ours, theirs) =
                (read::<Strict>(text.as_bytes()).unwrap_err(), serde_json::from_str::<Strict>(text).unwrap_err());
            let words = |error: &serde_json::Error| error.to_string().split(" at line").next().unwrap().to_owned();
            assert_eq!(words(&ours), words(&theirs), "{text}");
            assert_eq!(ours.classify(), theirs.classify(), "{text}");
        }
        assert_eq!(read::<Strict>(b"{\n\"n\":\"a\"}").unwrap_err().line(), 2);
        assert_eq!(super::of::<Strict>(&json!({ "n": 3 })).unwrap(), Strict { n: 3 });
    }
}
