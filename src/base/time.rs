//! Instants as the connector keeps them: milliseconds since the Unix epoch, handed in from a [`Clock`](crate::base::ports::Clock).

use std::fmt;

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
        let mut text = Text(text.as_bytes());
        let date = text.date()?;
        if text.0.is_empty() {
            return Some(Self(date * DAY));
        }
        text.one_of(b"Tt ")?;
        let of_day = text.time()?;
        let mut millis = 0;
        if text.one_of(b".").is_some() {
            let mut weight = 100;
            millis = text.digit()? * weight;
            while let Some(digit) = text.digit() {
                weight /= 10;
                millis += digit * weight;
            }
        }
        let offset = match text.one_of(b"Zz+-")? {
            b'Z' | b'z' => 0,
            sign => {
                let hours = text.number(2).filter(|hours| *hours < 24)?;
                text.one_of(b":")?;
                let minutes = text.number(2).filter(|minutes| *minutes < 60)?;
                (hours * 60 + minutes) * if sign == b'-' { -60_000 } else { 60_000 }
            }
        };
        text.0.is_empty().then_some(Self(date * DAY + of_day + millis - offset))
    }

    /// Reads an HTTP date such as `Wed, 21 Oct 2026 07:28:00 GMT` (RFC 9110 section 5.6.7, the preferred form). The day of the week
    /// says nothing that the date does not.
    pub fn parse_http_date(text: &str) -> Option<Self> {
        let (_, text) = text.split_once(", ")?;
        let mut text = Text(text.trim_end().strip_suffix(" GMT")?.as_bytes());
        let day = text.number(2)?;
        text.one_of(b" ")?;
        let name = text.take(3)?;
        let month = (1..).zip(MONTHS).find(|(_, month)| *month == name).map(|(number, _)| number)?;
        text.one_of(b" ")?;
        let date = days(text.number(4)?, month, day)?;
        text.one_of(b" ")?;
        let of_day = text.time()?;
        text.0.is_empty().then_some(Self(date * DAY + of_day))
    }

    /// The calendar day in UTC, such as `2026-08-21`.
    pub fn date(self) -> String {
        let Utc { year, month, day, .. } = self.utc();
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// Compact and sortable, such as `20260821T100000Z`: the form that stands in generation ids.
    pub fn compact(self) -> String {
        let Utc { year, month, day, hour, minute, second, .. } = self.utc();
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
    }

    /// Reads a text that begins with the compact form.
    pub fn parse_compact(text: &str) -> Option<Self> {
        let part = |from: usize, to: usize| text.get(from..to);
        let [year, month, day] = [part(0, 4)?, part(4, 6)?, part(6, 8)?];
        Self::parse(&format!("{year}-{month}-{day}T{}:{}:{}Z", part(9, 11)?, part(11, 13)?, part(13, 15)?))
    }

    /// The form that Go programs store in `SQLite`, such as `2026-08-21 10:00:00.25`: UTC, without zeros at its end.
    pub fn datetime(self) -> String {
        let Utc { hour, minute, second, milli, .. } = self.utc();
        let text = format!("{} {hour:02}:{minute:02}:{second:02}.{milli:03}", self.date());
        // The fraction is always there, so no zero of the seconds is taken for one of its own.
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// What a calendar and a clock show. A time of another age than the years that are written with four digits is none that
    /// anything here has to do with: it shows as the epoch.
    fn utc(self) -> Utc {
        let millis = if (FIRST..=LAST).contains(&self.0) { self.0 } else { 0 };
        let (date, of_day) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
        // Days since 0000-03-01, in eras of 400 years, whose years begin in March: the leap day is a year's last.
        let since = date + DAYS_TO_1970;
        let (era, of_era) = (since.div_euclid(ERA), since.rem_euclid(ERA));
        let of_era_year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * of_era_year + of_era_year / 4 - of_era_year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Utc {
            year: of_era_year + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            hour: of_day / 3_600_000,
            minute: of_day / 60_000 % 60,
            second: of_day / 1_000 % 60,
            milli: of_day % 1_000,
        }
    }
}

/// A wait, in seconds, that doubled this often, up to the longest.
pub fn doubled(first_secs: i64, times: i64, most_secs: i64) -> i64 {
    (first_secs << times.clamp(0, 20)).min(most_secs)
}

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Days of 400 years.
const ERA: i64 = 146_097;

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// The first and the last millisecond of the years 0 to 9999.
const FIRST: i64 = -719_528 * DAY;
const LAST: i64 = 2_932_897 * DAY - 1;

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// What a calendar and a clock in UTC show.
struct Utc {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    milli: i64,
}

/// The day of a date, counted from 1970-01-01; none when there is no such date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let (era, of_era_year) = (year.div_euclid(400), year.rem_euclid(400));
    Some(era * ERA + of_era_year * 365 + of_era_year / 4 - of_era_year / 100 + of_year - DAYS_TO_1970)
}

/// What is still to be read of a time.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let first = *self.0.first().filter(|first| bytes.contains(first))?;
        self.take(1)?;
        Some(first)
    }

    fn digit(&mut self) -> Option<i64> {
        let first = *self.0.first().filter(|first| first.is_ascii_digit())?;
        self.take(1)?;
        Some(i64::from(first - b'0'))
    }

    /// A number of exactly as many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        (0..digits).try_fold(0, |number, _| Some(number * 10 + self.digit()?))
    }

    /// `2026-08-21`, as days since 1970.
    fn date(&mut self) -> Option<i64> {
        let year = self.number(4)?;
        self.one_of(b"-")?;
        let month = self.number(2)?;
        self.one_of(b"-")?;
        days(year, month, self.number(2)?)
    }

    /// `10:00:00`, as milliseconds since midnight; a leap second is the first one of the next minute.
    fn time(&mut self) -> Option<i64> {
        let hour = self.number(2).filter(|hour| *hour < 24)?;
        self.one_of(b":")?;
        let minute = self.number(2).filter(|minute| *minute < 60)?;
        self.one_of(b":")?;
        let second = self.number(2).filter(|second| *second <= 60)?;
        Some(((hour * 60 + minute) * 60 + second) * 1_000)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Utc { hour, minute, second, milli, .. } = self.utc();
        write!(f, "{}T{hour:02}:{minute:02}:{second:02}", self.date())?;
        if milli != 0 {
            write!(f, ".{milli:03}")?;
        }
        f.write_str("Z")
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
    use chrono::{DateTime, SecondsFormat};

    use super::{Timestamp, doubled};

    #[test]
    fn a_wait_doubles_up_to_the_longest() {
        let waits = [-1, 0, 1, 4, 5, 64, i64::MAX].map(|times| doubled(5, times, 100));
        assert_eq!(waits, [5, 5, 10, 80, 100, 100, 100]);
    }

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
    fn is_the_calendars_of_any_day_and_what_is_no_time_is_none() {
        let mut random = fastrand::Rng::with_seed(1582);
        for round in 0..40_000_i64 {
            // Every fourth day from 1900 on, and any time of all years.
            let millis = match round {
                0..30_000 => round * 4 * super::DAY - 25_567 * super::DAY + random.i64(0..super::DAY),
                _ => random.i64(super::FIRST..=super::LAST),
            };
            let (time, theirs) = (Timestamp(millis), DateTime::from_timestamp_millis(millis).unwrap());
            assert_eq!(time.to_string(), theirs.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            assert_eq!(time.date(), theirs.format("%Y-%m-%d").to_string());
            assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
            let http = theirs.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            assert_eq!(Timestamp::parse_http_date(&http).map(Timestamp::secs), Some(time.secs()), "{http}");
        }
        for text in [
            "2025-02-29T00:00:00Z",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-1-1",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00Zx",
            "2026-01-01 ",
            "",
            "-026-01-01",
            "20260101T000000Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
            assert!(DateTime::parse_from_rfc3339(text).is_err());
        }
        for text in [
            "2024-02-29T23:59:60Z",
            "2026-01-01t00:00:00.1234567-23:59",
            "2026-01-01 00:00:00z",
            "2000-02-29T12:00:00.5+05:30",
        ] {
            let theirs = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis()).unwrap();
            assert_eq!(Timestamp::parse(text).unwrap().millis(), theirs, "{text}");
        }
        for text in [
            "Wed, 31 Feb 2026 07:28:00 GMT",
            "21 Oct 2026 07:28:00 GMT",
            "Wed, 21 oct 2026 07:28:00 GMT",
            "Wed, 21 Oct 2026 07:28:00",
        ] {
            assert_eq!(Timestamp::parse_http_date(text), None, "{text}");
        }
        assert_eq!(Timestamp(i64::MAX).to_string(), "1970-01-01T00:00:00Z");
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
        let known = Timestamp::parse("2026-08-21T10:00:09Z");
        assert_eq!(known.unwrap().compact(), "20260821T100009Z");
        assert_eq!(Timestamp::parse_compact("20260821T100009Z-7f3a09c1"), known);
        assert_eq!(Timestamp::parse_compact("20260821T10"), None);
    }
}
