//! Reads variables and secrets into values, and notes what is wrong with them, so that all of it can be told at once. Each room
//! reads its own settings with this; `worker/config.rs` has all of them read.

use std::fmt::Display;
use std::str::FromStr;

use super::url::{NoUrl, Url};

use super::ports::Secret;

/// One variable that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable's or secret's name.
    pub name: &'static str,
    /// What is wrong, and what to put there. Never the value of a secret.
    pub message: String,
    /// What goes on until it is mended.
    pub meanwhile: Meanwhile,
}

/// What goes on until a mistake is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    /// Nothing: so it is with what is required and with what protects.
    Nothing,
    /// Everything but what the variable is for.
    Off,
    /// Everything, as if the variable were not set.
    Default,
}

impl Problem {
    /// A mistake that turns its own feature off.
    pub fn of_feature(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, message: message.into(), meanwhile: Meanwhile::Off }
    }

    /// Whether nothing goes on until it is mended.
    pub fn is_fatal(&self) -> bool {
        self.meanwhile == Meanwhile::Nothing
    }
}

/// Gives the text of a variable or a secret by its name.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads variables, and keeps what was wrong.
pub struct Reader<'a> {
    lookup: Lookup<'a>,
    /// What was wrong so far, in the order of reading.
    pub problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader that has found nothing wrong yet.
    pub fn new(lookup: Lookup<'a>) -> Self {
        Self { lookup, problems: Vec::new() }
    }

    /// A variable's text without blanks around it. An empty value counts as missing: that is what an unfilled line of
    /// wrangler.toml is.
    pub fn text(&self, name: &str) -> Option<String> {
        let text = (self.lookup)(name)?;
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    }

    /// Notes a mistake that turns its own feature off.
    pub fn problem(&mut self, name: &'static str, message: impl Into<String>) {
        self.note(name, message.into(), Meanwhile::Off);
    }

    /// Notes a mistake with which nothing goes on.
    pub fn fatal(&mut self, name: &'static str, message: impl Into<String>) {
        self.note(name, message.into(), Meanwhile::Nothing);
    }

    /// Notes a mistake: what reads a variable is compiled for each kind of value, and this once.
    #[inline(never)]
    fn note(&mut self, name: &'static str, message: String, meanwhile: Meanwhile) {
        self.problems.push(Problem { name, message, meanwhile });
    }

    /// A variable that must be there, and right: else nothing goes on.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        when_missing: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.text(name).is_none() {
            self.fatal(name, format!("missing: {when_missing}"));
            return None;
        }
        self.protecting(name, parse)
    }

    /// A variable that may be missing, and protects: where it is wrong nothing goes on, since what it was to protect would be open.
    pub fn protecting<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(name)?;
        parse(&text).map_err(|message| self.fatal(name, message)).ok()
    }

    /// What is read of several variables that belong together; `None` where one of them is wrong, so that no default takes its place.
    pub fn together<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = self.problems.len();
        let read = read(self);
        read.filter(|_| self.problems.len() == before)
    }

    /// A variable that may be missing. A mistake turns its own feature off; the caller sees to it that a default means just that.
    pub fn optional<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(name)?;
        parse(&text).map_err(|message| self.problem(name, message)).ok()
    }

    /// A variable that may be missing, and has a default, which holds as well where it is wrong.
    pub fn or<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>, default: T) -> T {
        let Some(text) = self.text(name) else { return default };
        parse(&text).unwrap_or_else(|message| {
            self.note(name, message, Meanwhile::Default);
            default
        })
    }
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("problems", &self.problems).finish_non_exhaustive()
    }
}

/// The Workers plan, which sets the limits of one invocation (`reference/cloudflare.md` 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// 50 outgoing requests and 10 ms of processor time for one invocation.
    Free,
    /// 10,000 outgoing requests and 30 s of processor time for one invocation.
    Paid,
}

impl Plan {
    /// Reads `PLAN`.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let plan = |text: &str| match text {
            "free" => Ok(Self::Free),
            "paid" => Ok(Self::Paid),
            _ => Err("must be free or paid: the Workers plan of the account that runs this Worker".to_owned()),
        };
        reader.or("PLAN", plan, Self::Free)
    }
}

/// Takes a secret as it is.
#[allow(clippy::unnecessary_wraps, reason = "one of several parsers")]
pub fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

/// `on` or `off`.
pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    }
}

/// A list with commas, semicolons or white space between its items, which may be in quotes.
pub fn words(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';'))
        .map(|word| word.trim_matches(['"', '\'']))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether a text is an id as C1 writes them: letters, digits, `-` and `_`, 64 at most. In a URL's path it stays one segment.
pub fn is_plain_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// A number between two others, both of them included.
pub fn number<T: FromStr + PartialOrd + Display>(least: T, most: T) -> impl FnOnce(&str) -> Result<T, String> {
    move |text| {
        text.parse()
            .ok()
            .filter(|number| *number >= least && *number <= most)
            .ok_or_else(|| format!("must be a number from {least} to {most}"))
    }
}

/// An absolute URL without query or credentials, given back without a slash at its end. Plain HTTP is for a service on
/// the same machine, as in development.
pub fn base_url(text: &str) -> Result<String, String> {
    parse_url(text).map(|url| url.as_str().trim_end_matches('/').to_owned())
}

/// An absolute URL without query or credentials.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|why| match why {
        NoUrl::NotAscii => "must have a host in ASCII: write one with other letters as xn--...",
        NoUrl::Other => "must be a URL that begins with https://",
    })?;
    if url.scheme() != "https" && !url.is_loopback() {
        return Err("must begin with https://".to_owned());
    }
    if url.query().is_some() || url.has_fragment_or_credentials() {
        return Err("must have no query, no fragment and no credentials".to_owned());
    }
    Ok(url)
}
