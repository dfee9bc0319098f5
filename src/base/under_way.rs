//! What is being worked on right now, in this very process: nothing is done by two at once.
//!
//! A place is given up when it is dropped. An isolate may be used again after a request in it was killed for its use of resources,
//! and then nothing was dropped: so a place is also lost to whoever asks for it after its lease.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::Poll;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;

use super::ports::SqlError;
use super::time::Timestamp;
use super::tree::BTreeMap;

/// Work that goes on beside other work.
pub type Task<'a> = LocalBoxFuture<'a, Result<(), SqlError>>;

/// Boxes it, so that whatever is at work side by side is of one type: the machinery around it is compiled once.
pub fn task<'a>(work: impl Future<Output = Result<(), SqlError>> + 'a) -> Task<'a> {
    work.boxed_local()
}

/// What the first of these brings that ends, which is taken out; nothing where there is none. Whoever drops this loses none of them.
///
/// Whichever of them is woken, all are polled: they are few, and a queue of who was woken is as much code as a room of this house.
pub async fn next<T>(side_by_side: &mut Vec<LocalBoxFuture<'_, T>>) -> Option<T> {
    poll_fn(|waker| {
        for place in 0..side_by_side.len() {
            if let Some(Poll::Ready(brought)) = side_by_side.get_mut(place).map(|one| one.as_mut().poll(waker)) {
                drop(side_by_side.swap_remove(place));
                return Poll::Ready(Some(brought));
            }
        }
        if side_by_side.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// Does all of this, at most so many at a time, whatever comes of one. An error of one of them is told when all have ended.
pub async fn do_all<'a>(at_most: usize, work: impl IntoIterator<Item = Task<'a>>) -> Result<(), SqlError> {
    let mut waiting = work.into_iter();
    let mut side_by_side: Vec<Task<'a>> = waiting.by_ref().take(at_most).collect();
    let mut ended = Ok(());
    while let Some(one) = next(&mut side_by_side).await {
        ended = ended.and(one);
        side_by_side.extend(waiting.next());
    }
    ended
}

/// The places that are taken, and since when.
#[derive(Debug)]
pub struct UnderWay<K>(RefCell<Places<K>>);

#[derive(Debug)]
struct Places<K> {
    since: BTreeMap<K, (Timestamp, u64)>,
    /// How many places were taken so far: tells a place from the one that took it over.
    number: u64,
}

impl<K> Default for UnderWay<K> {
    fn default() -> Self {
        Self(RefCell::new(Places { since: BTreeMap::new(), number: 0 }))
    }
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place<'a, K: Ord> {
    places: &'a UnderWay<K>,
    what: K,
    number: u64,
}

impl<K: Copy + Ord> UnderWay<K> {
    /// Takes the place of `what`, unless somebody has had it for less than `lease_secs`.
    pub fn enter(&self, what: K, now: Timestamp, lease_secs: i64) -> Option<Place<'_, K>> {
        let mut taken = self.0.borrow_mut();
        let is_taken = taken.since.get(&what).is_some_and(|(since, _)| now.since(*since) <= lease_secs * 1_000);
        // A place must not even be made where it is taken: its drop would give up the other's.
        if is_taken {
            return None;
        }
        taken.number += 1;
        let number = taken.number;
        taken.since.insert(what, (now, number));
        Some(Place { places: self, what, number })
    }

    /// Whether somebody has the place of `what`.
    pub fn has(&self, what: K) -> bool {
        self.0.borrow().since.contains_key(&what)
    }
}

impl<K: Copy + Ord> Place<'_, K> {
    /// What it is the place of.
    pub const fn what(&self) -> K {
        self.what
    }
}

impl<K: Ord> Drop for Place<'_, K> {
    fn drop(&mut self) {
        let mut taken = self.places.0.borrow_mut();
        // Somebody else may have it by now.
        if taken.since.get(&self.what).is_some_and(|(_, number)| *number == self.number) {
            taken.since.remove(&self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UnderWay;
    use crate::base::time::Timestamp;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_place_is_had_once_until_it_is_given_up() {
        let places = UnderWay::default();
        let place = places.enter("a", at(0), 60);
        assert!(place.is_some());
        assert!(places.enter("a", at(1), 60).is_none());
        assert!(places.enter("a", at(1), 60).is_none(), "who was turned away has given up nothing");
        assert!(places.enter("b", at(1), 60).is_some(), "another place");
        drop(place);
        assert!(places.enter("a", at(1), 60).is_some());
    }

    #[test]
    fn a_place_that_nobody_gave_up_is_lost_after_its_lease_to_whoever_asks() {
        let places = UnderWay::default();
        let dead = places.enter("a", at(0), 60);
        let alive = places.enter("a", at(61), 60);
        assert!(alive.is_some());
        drop(dead);
        assert!(places.has("a"), "it is not the dead one's to give up any more");
        drop(alive);
        assert!(!places.has("a"));
    }
}
