//! Who may send requests now, where at most four may be under way at once: provisioning's. A Worker has six connections, and a member or a path that does not
//! answer keeps one for as long as it is waited for.
//!
//! **Invariants:** a seat is had from the first request of an attempt to its last, so that nothing is waited for between a read and
//! the write that is worked out from it; whoever has a seat waits for no lock; seats are given in the order in which they were
//! asked for.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;

use futures::channel::oneshot;
use futures::future::{Either, select};

use super::ports::Clock;
use super::time::Timestamp;
use super::tree::BTreeMap;

/// Of six connections one is left for C1, and one for KV.
const SEATS: usize = 4;

/// Who has had a seat for longer than this is presumed dead: an isolate may be used again after a request in it was killed, and then
/// nothing was dropped. No attempt takes as long.
const LEASE_MILLIS: i64 = 180_000;

/// The seats of a Coordinator. They live in memory: a Coordinator is one object with one thread.
#[derive(Clone, Debug, Default)]
pub struct Seats(Rc<RefCell<SeatTable>>);

#[derive(Debug, Default)]
struct SeatTable {
    since: BTreeMap<u64, Timestamp>,
    number: u64,
    waiting: Vec<oneshot::Sender<Seat>>,
}

/// A seat, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    number: u64,
}

impl Seats {
    /// Takes a seat, or waits for one at most this long.
    pub async fn take<P: Clock>(&self, ports: &P, at_most_millis: u32) -> Option<Seat> {
        let now = ports.now();
        let given = {
            let mut taken = self.0.borrow_mut();
            taken.since.retain(|_, since| now.since(*since) <= LEASE_MILLIS);
            taken.waiting.retain(|waiting| !waiting.is_canceled());
            if taken.since.len() < SEATS && taken.waiting.is_empty() {
                return Some(self.seat(&mut taken, now));
            }
            let (sender, given) = oneshot::channel();
            taken.waiting.push(sender);
            given
        };
        // Seats of the dead may be free although others wait.
        self.hand_on(now);
        match select(given, pin!(ports.sleep(at_most_millis))).await {
            Either::Left((seat, _)) => seat.ok().map(|seat| seat.from(ports.now())),
            Either::Right(_) => None,
        }
    }

    fn seat(&self, taken: &mut SeatTable, now: Timestamp) -> Seat {
        taken.number += 1;
        taken.since.insert(taken.number, now);
        Seat { seats: self.clone(), number: taken.number }
    }

    /// Gives what is free to those who wait.
    fn hand_on(&self, now: Timestamp) {
        loop {
            let (next, seat) = {
                let mut taken = self.0.borrow_mut();
                if taken.since.len() >= SEATS || taken.waiting.is_empty() {
                    return;
                }
                let next = taken.waiting.remove(0);
                let seat = self.seat(&mut taken, now);
                (next, seat)
            };
            // One who gave up waiting is passed over: the seat comes back, and is off the list before its drop would hand it on.
            if let Err(seat) = next.send(seat) {
                seat.give_up();
            }
        }
    }
}

impl Seat {
    /// The same, had from now on.
    fn from(self, now: Timestamp) -> Self {
        self.seats.0.borrow_mut().since.entry(self.number).and_modify(|since| *since = now);
        self
    }

    /// Takes the seat off the list; when it was had from, where it was on it still.
    fn give_up(&self) -> Option<Timestamp> {
        self.seats.0.borrow_mut().since.remove(&self.number)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(since) = self.give_up() {
            self.seats.hand_on(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::executor::block_on;
    use futures::poll;

    use super::{LEASE_MILLIS, SEATS, Seat, Seats};
    use crate::base::fakes::Desk;

    fn take(seats: &Seats, desk: &Desk) -> Option<Seat> {
        block_on(seats.take(desk, 1_000))
    }

    #[test]
    fn there_are_four_seats_and_they_are_given_in_the_order_in_which_they_were_asked_for() {
        let (seats, desk) = (Seats::default(), Desk::new());
        let mut had: Vec<_> = (0..SEATS).map(|_| take(&seats, &desk).unwrap()).collect();
        block_on(async {
            let (mut first, mut second) = (pin!(seats.take(&desk, 1_000)), pin!(seats.take(&desk, 1_000)));
            let mut impatient = Box::pin(seats.take(&desk, 1_000));
            assert!(poll!(&mut impatient).is_pending());
            assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
            // Who gave up waiting is passed over.
            drop(impatient);
            had.pop();
            assert!(poll!(&mut second).is_pending());
            let seat = first.await.unwrap();
            assert!(poll!(&mut second).is_pending());
            drop(seat);
            let _seat = second.await.unwrap();
            assert_eq!(seats.0.borrow().since.len(), SEATS);
        });
        assert_eq!(seats.0.borrow().since.len(), SEATS - 1);
    }

    #[test]
    fn who_waits_too_long_goes_without_and_keeps_no_seat() {
        let (seats, desk) = (Seats::default(), Desk::new());
        let had: Vec<_> = (0..SEATS).map(|_| take(&seats, &desk).unwrap()).collect();
        assert!(take(&seats, &desk).is_none());
        drop(had);
        assert!(seats.0.borrow().since.is_empty());
        assert!(take(&seats, &desk).is_some());
    }

    #[test]
    fn the_seats_of_the_dead_are_free_again() {
        let (seats, desk) = (Seats::default(), Desk::new());
        for _ in 0..SEATS {
            std::mem::forget(take(&seats, &desk).unwrap());
        }
        assert!(take(&seats, &desk).is_none());
        desk.advance(LEASE_MILLIS / 1_000 + 1);
        assert!(take(&seats, &desk).is_some());
    }
}
