//! Instants as the connector keeps them: milliseconds since the Unix epoch, handed in from a [`Clock`](crate::base::ports::Clock).

use std::fmt;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant, in milliseconds since 1970-01-01T00:00:00Z. In JSON it is RFC 3339 text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From seconds since the Unix epoch, the unit of JWT claims.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant, a number of milliseconds later (earlier when negative).
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// This instant, a number of seconds later (earlier when negative).
    #[must_use]
    pub const fn plus_secs(self, secs: i64) -> Self {
        self.plus_millis(secs.saturating_mul(1000))
    }

    /// Milliseconds from `earlier` to this instant; negative when `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads RFC 3339 text (`2026-08-21T10:00:00Z`, any number of fraction digits) or a bare date, as midnight UTC.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            return Some(Self(instant.timestamp_millis()));
        }
        let date = text.parse::<NaiveDate>().ok()?;
        Some(Self(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()))
    }

    /// Reads an HTTP date such as `Wed, 21 Oct 2026 07:28:00 GMT` (RFC 9110 section 5.6.7, the preferred form).
    pub fn parse_http_date(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc2822(text).ok().map(|instant| Self(instant.timestamp_millis()))
    }

    /// The calendar day in UTC, such as `2026-08-21`.
    pub fn date(self) -> String {
        self.utc().format("%Y-%m-%d").to_string()
    }

    /// Compact and sortable, such as `20260821T100000Z`: the form that stands in generation ids.
    pub fn compact(self) -> String {
        self.utc().format("%Y%m%dT%H%M%SZ").to_string()
    }

    /// The form that Go programs store in `SQLite`, such as `2026-08-21 10:00:00.25`: UTC, without zeros at its end.
    pub fn datetime(self) -> String {
        let text = self.utc().format("%Y-%m-%d %H:%M:%S%.3f").to_string();
        // The fraction is always there, so no zero of the seconds is taken for one of its own.
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn reads_what_it_writes() {
        for text in ["2026-08-21T10:00:00Z", "1970-01-01T00:00:00Z", "2026-08-21T10:00:00.250Z"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn reads_the_forms_cloudflare_uses() {
        let expected = Timestamp::parse("2024-03-01T12:21:02Z");
        assert_eq!(Timestamp::parse("2024-03-01T12:21:02.0000Z"), expected);
        assert_eq!(Timestamp::parse("2024-03-01T13:21:02+01:00"), expected);
        assert_eq!(Timestamp::parse("2024-03-01").unwrap().to_string(), "2024-03-01T00:00:00Z");
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!(Timestamp::parse_http_date("Fri, 01 Mar 2024 12:21:02 GMT"), expected);
    }

    #[test]
    fn has_the_form_of_a_go_program() {
        for (text, expected) in
            [("2026-08-21T10:00:00Z", "2026-08-21 10:00:00"), ("2026-08-21T10:10:10.250Z", "2026-08-21 10:10:10.25")]
        {
            assert_eq!(Timestamp::parse(text).unwrap().datetime(), expected);
        }
    }

    #[test]
    fn has_a_compact_form_that_sorts() {
        assert_eq!(Timestamp::parse("2026-08-21T10:00:09Z").unwrap().compact(), "20260821T100009Z");
    }
}
