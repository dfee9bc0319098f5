//! Time for tests, which goes on by itself: to the next timer, once nothing else can. A timer does not fire before an answer that
//! is ready, and of two timers the earlier one fires first; an answer that does not come is waited for in vain.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The timers that are set, by number, with the millisecond at which they fire.
#[derive(Debug, Default)]
pub struct Timers {
    set: RefCell<BTreeMap<u64, i64>>,
    number: Cell<u64>,
    /// Answers that are waited for.
    waiting: Cell<u32>,
    /// How many came so far.
    came: Cell<u64>,
}

/// Everybody else who can go on gets this many turns before time does.
const TURNS: u32 = 40;

/// After this many turns an answer that is waited for does not come.
const PATIENCE: u32 = 4_000;

struct Timer<'a>(&'a Timers, u64);

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.0.set.borrow_mut().remove(&self.1);
    }
}

/// An answer that is waited for, until this is dropped.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Timers);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
        self.0.came.set(self.0.came.get() + 1);
    }
}

impl Timers {
    /// Says that an answer is waited for.
    pub fn wait(&self) -> Waiting<'_> {
        self.waiting.set(self.waiting.get() + 1);
        Waiting(self)
    }

    /// Waits until the clock, which `now` reads and `set` sets, is this many milliseconds further.
    pub async fn sleep(&self, millis: u32, now: impl Fn() -> i64, set: impl Fn(i64)) {
        let at = now() + i64::from(millis);
        self.number.set(self.number.get() + 1);
        let timer = Timer(self, self.number.get());
        self.set.borrow_mut().insert(timer.1, at);
        let (mut turns, mut came) = (0, self.came.get());
        while now() < at {
            Turn(false).await;
            turns += 1;
            if self.came.get() != came {
                (turns, came) = (0, self.came.get());
            }
            let patience = if self.waiting.get() > 0 { PATIENCE } else { TURNS };
            let first = self.set.borrow().iter().map(|(number, at)| (*at, *number)).min();
            if turns > patience && first == Some((at, timer.1)) {
                set(at);
            }
        }
    }
}

/// Lets the others have a turn.
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
