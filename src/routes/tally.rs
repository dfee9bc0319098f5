//! How many requests were answered, by route and status, until the Coordinator is told: an isolate keeps them for half a minute, and those that
//! it has when it ends are lost. Routes and statuses are this program's own, so there are some hundred counts at most.

use crate::base::time::Timestamp;
use crate::coordinator::Requests;

/// The Coordinator is told this often at most.
const TOLD_AFTER_MILLIS: i64 = 30_000;

/// What was counted since the Coordinator was last told.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Requests,
    /// When the first of them was counted.
    since: Option<Timestamp>,
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, route: &str, status: u16, now: Timestamp) {
        self.add((route.to_owned(), status, 1), now);
    }

    /// What is to be told now, if it is time.
    pub fn due(&mut self, now: Timestamp) -> Option<Requests> {
        // A clock that was set back must not keep it for ever.
        let waited = now.since(self.since?);
        (!(0..TOLD_AFTER_MILLIS).contains(&waited)).then(|| self.take())
    }

    /// All that was counted.
    pub fn take(&mut self) -> Requests {
        self.since = None;
        std::mem::take(&mut self.counts)
    }

    /// Counts again what could not be told.
    pub fn put_back(&mut self, counts: Requests, now: Timestamp) {
        for one in counts {
            self.add(one, now);
        }
    }

    fn add(&mut self, (route, status, n): (String, u16, u32), now: Timestamp) {
        self.since.get_or_insert(now);
        match self.counts.iter_mut().find(|(known, of, _)| *known == route && *of == status) {
            Some((_, _, count)) => *count = count.saturating_add(n),
            None => self.counts.push((route, status, n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TOLD_AFTER_MILLIS, Tally};
    use crate::base::time::Timestamp;

    #[test]
    fn counts_are_told_after_half_a_minute_once_and_again_where_that_failed() {
        let at = |millis| Timestamp::from_millis(1_800_000_000_000 + millis);
        let mut tally = Tally::default();
        assert_eq!(tally.due(at(0)), None);
        for (route, status) in [("users", 200), ("users", 401), ("users", 200)] {
            tally.count(route, status, at(0));
        }
        assert_eq!(tally.due(at(TOLD_AFTER_MILLIS - 1)), None);
        let counts = tally.due(at(TOLD_AFTER_MILLIS)).unwrap();
        assert_eq!(counts, [("users".to_owned(), 200, 2), ("users".to_owned(), 401, 1)]);
        assert_eq!(tally.due(at(TOLD_AFTER_MILLIS)), None);
        tally.count("users", 401, at(40_000));
        tally.put_back(counts, at(40_001));
        assert_eq!(tally.due(at(41_000)), None);
        // Told at once where the clock was set back.
        assert_eq!(tally.due(at(0)).unwrap(), [("users".to_owned(), 401, 2), ("users".to_owned(), 200, 2)]);
        assert_eq!(tally.take(), []);
    }
}
