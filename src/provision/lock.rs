//! One operation per member at a time. Cloudflare's member update replaces the whole set of policies and knows no
//! version, so two that overlap lose one of them.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use futures::channel::oneshot;
use futures::poll;

use super::shared::SharedReads;
use crate::base::ports::{Clock, Http, Sql};
use crate::base::seats::Seats;
use crate::base::time::Timestamp;
use crate::base::tree::BTreeMap;
use crate::cloudflare::Client;
use crate::model::operation::EntryId;

/// A holder is presumed dead after this long. An isolate may be used again after a request in it was killed for its
/// use of resources, and then the guard never ran. Longer than any operation: three rounds of GET (30 s at most), PUT
/// (60 s at most) and read-back fit the 20 s that an operation takes before it is put off.
const LEASE_MILLIS: i64 = 180_000;

/// The locks of a Coordinator, by name. They live in memory: a Coordinator is one object with one thread.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    held: Rc<RefCell<BTreeMap<String, MemberLock>>>,
    user_groups: SharedReads,
    /// They are as many as there are, whoever has a lock.
    seats: Seats,
    /// The operations that wait for a lock now, as often as they do.
    in_line: Rc<RefCell<Vec<EntryId>>>,
}

/// An operation's wait for a lock, until it is dropped.
struct InLine<'a>(&'a Locks, EntryId);

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let mut in_line = self.0.in_line.borrow_mut();
        if let Some(place) = in_line.iter().position(|id| *id == self.1) {
            in_line.swap_remove(place);
        }
    }
}

#[derive(Debug)]
struct MemberLock {
    since: Timestamp,
    turn: u64,
    waiting: Vec<oneshot::Sender<Guard>>,
}

/// The right to work on a member, until it is dropped.
#[derive(Debug)]
pub struct Guard {
    locks: Locks,
    name: String,
    turn: u64,
}

impl Locks {
    /// The read of the user groups that those who want it at the same moment have in common.
    pub(super) const fn user_groups(&self) -> &SharedReads {
        &self.user_groups
    }

    /// What provisioning's requests are sent on.
    pub(super) const fn seats(&self) -> &Seats {
        &self.seats
    }

    /// Whether an operation waits for a lock: others are at work on what it is about, and nothing stands in its own way.
    pub fn has_in_line(&self, operation: EntryId) -> bool {
        self.in_line.borrow().contains(&operation)
    }

    /// Waits for the lock, as [`acquire`](Self::acquire) does; a client that has to wait gives its seat up meanwhile.
    pub(super) async fn acquire_at_rest<P: Http + Clock + Sql>(
        &self,
        name: &str,
        ports: &P,
        client: &Client<'_, P>,
        operation: EntryId,
    ) -> Guard {
        let mut acquiring = pin!(self.acquire(name, || ports.now()));
        if let Poll::Ready(guard) = poll!(&mut acquiring) {
            return guard;
        }
        client.rest();
        self.in_line.borrow_mut().push(operation);
        let _wait = InLine(self, operation);
        acquiring.await
    }

    /// Waits for the lock; those who wait get it in the order in which they came. `now` reads the time whenever that matters.
    pub async fn acquire(&self, name: &str, now: impl Fn() -> Timestamp) -> Guard {
        loop {
            let turn_comes = {
                let mut held = self.held.borrow_mut();
                match held.get_mut(name) {
                    None => {
                        held.insert(name.to_owned(), MemberLock { since: now(), turn: 0, waiting: Vec::new() });
                        break Guard { locks: self.clone(), name: name.to_owned(), turn: 0 };
                    }
                    Some(lock) if now().since(lock.since) > LEASE_MILLIS => {
                        lock.since = now();
                        lock.turn += 1;
                        break Guard { locks: self.clone(), name: name.to_owned(), turn: lock.turn };
                    }
                    Some(lock) => {
                        let (sender, receiver) = oneshot::channel();
                        lock.waiting.push(sender);
                        receiver
                    }
                }
            };
            // The next in line: the lock is ours already, handed over by `release`, unless its lease ran out before we came to it.
            if let Ok(guard) = turn_comes.await
                && let Some(lock) = self.held.borrow_mut().get_mut(name)
                && lock.turn == guard.turn
            {
                lock.since = now();
                break guard;
            }
        }
    }

    fn release(&self, name: &str, turn: u64) {
        let (next, guard) = {
            let mut held = self.held.borrow_mut();
            let Some(lock) = held.get_mut(name).filter(|lock| lock.turn == turn) else {
                return; // The lease ran out and somebody else has it now.
            };
            lock.turn += 1;
            // One who gave up waiting is passed over.
            lock.waiting.retain(|waiting| !waiting.is_canceled());
            if lock.waiting.is_empty() {
                held.remove(name);
                return;
            }
            (lock.waiting.remove(0), Guard { locks: self.clone(), name: name.to_owned(), turn: lock.turn })
        };
        // It is the guard itself that is handed over: one who is cut off before it is looked at drops it, and the next one has the lock.
        drop(next.send(guard));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.locks.release(&self.name, self.turn);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::executor::LocalPool;
    use futures::task::LocalSpawnExt as _;

    use super::{LEASE_MILLIS, Locks};
    use crate::base::time::Timestamp;

    #[test]
    fn one_at_a_time_and_in_order() {
        let (locks, mut pool) = (Locks::default(), LocalPool::new());
        let order = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let first = pool.run_until(locks.acquire("jane", Timestamp::default));
        for n in 0..3 {
            let (locks, order) = (locks.clone(), order.clone());
            let task = async move {
                let _guard = locks.acquire("jane", Timestamp::default).await;
                order.borrow_mut().push(n);
            };
            pool.spawner().spawn_local(task).unwrap();
        }
        pool.run_until_stalled();
        assert!(order.borrow().is_empty(), "nobody gets past the first");
        drop(first);
        pool.run_until_stalled();
        assert_eq!(*order.borrow(), [0, 1, 2]);
        assert!(locks.held.borrow().is_empty(), "nothing is left behind");
    }

    #[test]
    fn different_names_do_not_wait_for_each_other() {
        let (locks, mut pool) = (Locks::default(), LocalPool::new());
        let _jane = pool.run_until(locks.acquire("jane", Timestamp::default));
        let _joe = pool.run_until(locks.acquire("joe", Timestamp::default));
    }

    #[test]
    fn a_dead_holder_is_overtaken_and_cannot_release_what_is_no_longer_its_own() {
        let (locks, mut pool) = (Locks::default(), LocalPool::new());
        let time = Cell::new(Timestamp::default());
        let dead = pool.run_until(locks.acquire("jane", || time.get()));
        time.set(time.get().plus_millis(LEASE_MILLIS + 1));
        let alive = pool.run_until(locks.acquire("jane", || time.get()));
        drop(dead);
        assert!(locks.held.borrow().contains_key("jane"));
        drop(alive);
        assert!(locks.held.borrow().is_empty());
    }

    #[test]
    fn one_who_gave_up_waiting_is_passed_over() {
        let (locks, mut pool) = (Locks::default(), LocalPool::new());
        let first = pool.run_until(locks.acquire("jane", Timestamp::default));
        pool.run_until(async {
            let mut impatient = Box::pin(locks.acquire("jane", Timestamp::default));
            assert!(futures::poll!(impatient.as_mut()).is_pending());
        });
        drop(first);
        pool.run_until(locks.acquire("jane", Timestamp::default));
    }

    #[test]
    fn one_who_is_cut_off_with_the_lock_just_handed_over_does_not_keep_it() {
        let (locks, mut pool) = (Locks::default(), LocalPool::new());
        let first = pool.run_until(locks.acquire("jane", Timestamp::default));
        let mut cut_off = Box::pin(locks.acquire("jane", Timestamp::default));
        let mut next = Box::pin(locks.acquire("jane", Timestamp::default));
        pool.run_until(async {
            assert!(futures::poll!(cut_off.as_mut()).is_pending() && futures::poll!(next.as_mut()).is_pending());
        });
        drop(first);
        drop(cut_off);
        let guard = pool.run_until(async { futures::poll!(next.as_mut()) });
        assert!(guard.is_ready(), "the next in line has it");
        drop(guard);
        assert!(locks.held.borrow().is_empty());
    }
}
