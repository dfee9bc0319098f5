//! An allocator that counts: how much is allocated at once at most, and how often.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// The system's allocator, counted.
pub struct Counted;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);
/// What is allocated now is nobody's.
static APART: AtomicBool = AtomicBool::new(false);

fn more(bytes: usize) {
    if APART.load(Relaxed) {
        return;
    }
    CALLS.fetch_add(1, Relaxed);
    let now = NOW.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(now, Relaxed);
}

// SAFETY: everything is handed to the system's allocator as it came; the counters touch no memory of anybody's.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise about `place` and `layout` is passed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        NOW.fetch_sub(layout.size(), Relaxed);
        more(size);
        // SAFETY: the caller's promise about `place`, `layout` and `size` is passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Keeps bytes that lie elsewhere in the Worker: they are not counted.
pub fn elsewhere(bytes: Vec<u8>) -> Vec<u8> {
    APART.store(true, Relaxed);
    let copy = bytes.clone();
    APART.store(false, Relaxed);
    copy
}

/// How many allocations some work makes, and how many bytes it has at its peak beyond those that were there before.
pub fn of<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let (before, calls) = (NOW.load(Relaxed), CALLS.load(Relaxed));
    PEAK.store(before, Relaxed);
    let done = work();
    (done, CALLS.load(Relaxed) - calls, PEAK.load(Relaxed).saturating_sub(before))
}
