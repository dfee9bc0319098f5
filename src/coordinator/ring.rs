//! One ring of the alarm: which of its parts are under way, and whether more may begin.

use std::cell::{Cell, RefCell};
use std::pin::pin;

use futures::channel::oneshot;
use futures::future::select;

use super::memory::Ports;
use crate::base::settings::Plan;
use crate::base::time::Timestamp;

/// How long it is until what became due is looked for again, while another part is under way.
pub(super) const PAUSE_MILLIS: u32 = 1_000;

/// No part takes another turn in a ring that is older than this: the runtime ends one after 15 minutes, and no turn takes longer than
/// the rest of them.
const RING_SECS: i64 = 8 * 60;

/// One ring of the alarm.
#[derive(Debug)]
pub(super) struct Ring {
    plan: Plan,
    begun: Timestamp,
    /// How many parts are under way.
    busy: Cell<usize>,
    syncing: Cell<bool>,
    /// Nothing begins any more: the ring is to end, so that the next one can come.
    closing: Cell<bool>,
    /// Those who wait for that.
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

impl Ring {
    pub(super) fn new(plan: Plan, parts: usize, begun: Timestamp) -> Self {
        Self {
            plan,
            begun,
            busy: Cell::new(parts),
            syncing: Cell::new(true),
            closing: Cell::new(false),
            waiting: RefCell::default(),
        }
    }

    /// Whether a step of a sync is under way.
    pub(super) fn is_syncing(&self) -> bool {
        self.syncing.get()
    }

    /// Whether more may be begun in this ring. On the Free plan it may not: an invocation's outgoing requests suffice for one turn of
    /// each part.
    pub(super) fn goes_on(&self, now: Timestamp) -> bool {
        self.plan == Plan::Paid && !self.closing.get() && now.since(self.begun) < RING_SECS * 1_000
    }

    /// Lets nothing begin any more.
    pub(super) fn close(&self) {
        self.closing.set(true);
        self.waiting.borrow_mut().clear();
    }

    /// One part has ended; with the last one, the ring has.
    pub(super) fn rest(&self) {
        self.busy.set(self.busy.get().saturating_sub(1));
        if self.busy.get() == 0 {
            self.close();
        }
    }

    /// A part takes another turn.
    pub(super) fn goes_to_work(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    /// The step of a sync has ended.
    pub(super) fn synced(&self) {
        self.syncing.set(false);
    }

    /// Waits a moment, or until the ring is to end.
    pub(super) async fn pause<P: Ports>(&self, ports: &P) {
        let (sender, closed) = oneshot::channel();
        self.waiting.borrow_mut().push(sender);
        select(closed, pin!(ports.sleep(PAUSE_MILLIS))).await;
        self.waiting.borrow_mut().retain(|waiting| !waiting.is_canceled());
    }
}
