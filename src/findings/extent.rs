//! How far a finding goes. Whoever accepts one accepts as much, and no more.

use super::severity::Severity;
use crate::base::hash::fnv1a;

/// Of more than these it is kept how many there are, and not which.
pub(super) const MOST_NAMED: usize = 200;

/// What stands for words that are long, and compared alone: hundreds of tokens may each have as many as are named.
pub(super) fn mark(words: &str) -> String {
    (fnv1a(words.as_bytes()) % 1_000_000_000).to_string()
}

/// How far something goes that was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Extent {
    /// How many there are of what it is made of; the more, the worse.
    pub(super) count: i64,
    /// Which these are, where they have names, each in words that stay as long as it is the same, or by the [`mark`] of these.
    pub(super) which: Vec<String>,
}

impl Extent {
    pub(super) fn of(count: usize) -> Self {
        Self { count: i64::try_from(count).unwrap_or(i64::MAX), which: Vec::new() }
    }

    pub(super) fn listed(which: Vec<String>) -> Self {
        Self { count: Self::of(which.len()).count, which }
    }

    /// As it is kept: the severity and the number, then a line for each.
    pub(super) fn text(self, severity: Severity) -> String {
        let mut text = format!("{} {}", weight(severity), self.count);
        for one in self.which.iter().filter(|_| self.which.len() <= MOST_NAMED) {
            text = text + "\n" + one;
        }
        text
    }
}

/// What stands for a severity in what is kept: the gravest is the least.
const fn weight(severity: Severity) -> u8 {
    match severity {
        Severity::High => 0,
        Severity::Medium => 1,
        Severity::Low => 2,
    }
}

/// Whether a finding goes further than one that was accepted, by what is kept of both. Of what an earlier version found nothing is kept.
pub(super) fn is_more(now: &str, accepted: &str) -> bool {
    let head = |text: &str| -> Option<(u8, i64)> {
        let (severity, count) = text.lines().next()?.split_once(' ')?;
        Some((severity.parse().ok()?, count.parse().ok()?))
    };
    let (Some(is), Some(was)) = (head(now), head(accepted)) else { return false };
    let known: Vec<&str> = accepted.lines().skip(1).collect();
    let is_listed = i64::try_from(known.len()) == Ok(was.1);
    is.0 < was.0 || is.1 > was.1 || is_listed && now.lines().skip(1).any(|one| !known.contains(&one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_begins_with_the_same_number_in_every_version() {
        for (severity, kept) in [(Severity::High, "0 4"), (Severity::Medium, "1 4"), (Severity::Low, "2 4")] {
            assert_eq!(Extent::of(4).text(severity), kept);
        }
    }

    #[test]
    fn what_goes_further_than_was_accepted_is_more_and_what_is_told_otherwise_is_not() {
        let listed = |which: &[&str]| Extent::listed(which.iter().map(|&one| one.to_owned()).collect());
        let two = || listed(&["role:1", "role:2"]);
        let many = |from: usize, n: usize| Extent::listed((from..from + n).map(|one| one.to_string()).collect());
        let text = |extent: Extent| extent.text(Severity::Medium);
        for (now, accepted, expected) in [
            (text(two()), text(two()), false),
            (text(listed(&["role:2"])), text(two()), false),
            (text(listed(&["role:2", "role:3"])), text(two()), true),
            (text(listed(&["role:1", "role:2", "role:3"])), text(two()), true),
            (two().text(Severity::High), text(two()), true),
            (two().text(Severity::Low), text(two()), false),
            (text(Extent::of(4)), text(Extent::of(3)), true),
            (text(Extent::of(3)), text(Extent::of(4)), false),
            (text(Extent { count: -1, which: Vec::new() }), text(Extent { count: -2, which: Vec::new() }), true),
            (text(many(0, MOST_NAMED)), text(many(0, MOST_NAMED + 1)), false),
            (text(many(7, MOST_NAMED + 1)), text(many(0, MOST_NAMED)), true),
            // An earlier version kept nothing of it.
            (text(two()), String::new(), false),
        ] {
            assert_eq!(is_more(&now, &accepted), expected, "{now:?} {accepted:?}");
        }
    }
}
