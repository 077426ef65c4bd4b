//! The allocator of the binary: mimalloc, and in a worker a count of the live bytes.
#![expect(unsafe_code, reason = "implementing GlobalAlloc is unsafe; every method forwards its arguments unchanged")]

use std::{
    alloc::{GlobalAlloc, Layout},
    hint, process,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use mimalloc::MiMalloc;
use monty_types::{BASELINE_MEMORY, LIVE_MEMORY};
use weir_expression::wire::EXIT_OUT_OF_MEMORY;

/// Where the count starts. What was allocated before the count was armed and is freed later counts downwards; from
/// here it cannot reach zero.
const BIAS: usize = 1 << 40;

/// What a run may use above its soft limit before the process ends: exceptions and what happens between two of the
/// interpreter's checks need room.
const HEADROOM: usize = 8 * 1024 * 1024;

static IS_ARMED: AtomicBool = AtomicBool::new(false);
static HARD_LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The allocator to install with `#[global_allocator]`.
///
/// In the server it costs one load of a flag that never changes. In a worker it counts every byte, which is what makes
/// the interpreter's memory limit true, and ends the process when a single allocation jumps over that limit.
pub struct CountingAllocator;

/// Starts counting; called once, first thing in a worker. False if the binary was built without this allocator: then
/// no memory limit would hold, so nothing may run.
pub(crate) fn arm() -> bool {
    LIVE_MEMORY.store(BIAS, Ordering::Relaxed);
    BASELINE_MEMORY.store(BIAS, Ordering::Relaxed);
    IS_ARMED.store(true, Ordering::Relaxed);
    let probe = hint::black_box(vec![0_u8; 4096]);
    let is_counted = LIVE_MEMORY.load(Ordering::Relaxed) > BIAS;
    drop(probe);
    is_counted
}

/// Takes what is allocated now (with the kept programs) as the starting point of a run and bounds what comes on top.
pub(crate) fn start_run(limit: usize) {
    let live = LIVE_MEMORY.load(Ordering::Relaxed);
    BASELINE_MEMORY.store(live, Ordering::Relaxed);
    HARD_LIMIT.store(live.saturating_add(limit).saturating_add(HEADROOM), Ordering::Relaxed);
}

/// Lifts the bound between runs.
pub(crate) fn end_run() {
    HARD_LIMIT.store(usize::MAX, Ordering::Relaxed);
}

#[inline]
fn charge(bytes: usize) {
    if IS_ARMED.load(Ordering::Relaxed) {
        let live = LIVE_MEMORY.fetch_add(bytes, Ordering::Relaxed).wrapping_add(bytes);
        if live > HARD_LIMIT.load(Ordering::Relaxed) {
            out_of_memory();
        }
    }
}

#[inline]
fn refund(bytes: usize) {
    if IS_ARMED.load(Ordering::Relaxed) {
        LIVE_MEMORY.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Ends the worker in a way the pool recognises. Neither a panic nor a message: both would allocate.
#[cold]
#[inline(never)]
fn out_of_memory() -> ! {
    HARD_LIMIT.store(usize::MAX, Ordering::Relaxed);
    process::exit(EXIT_OUT_OF_MEMORY)
}

/// In a worker an allocation that the system refuses ends the process as one beyond the limit does.
#[inline]
fn checked(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() && IS_ARMED.load(Ordering::Relaxed) {
        out_of_memory();
    }
    pointer
}

// SAFETY: every method forwards its arguments unchanged to mimalloc and returns what that returned, or does not return.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        // SAFETY: forwarded unchanged.
        checked(unsafe { MiMalloc.alloc(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        refund(layout.size());
        // SAFETY: the pointer came from mimalloc with this layout.
        unsafe { MiMalloc.dealloc(pointer, layout) };
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        // SAFETY: forwarded unchanged.
        checked(unsafe { MiMalloc.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match size.checked_sub(layout.size()) {
            Some(more) => charge(more),
            None => refund(layout.size() - size),
        }
        // SAFETY: forwarded unchanged.
        checked(unsafe { MiMalloc.realloc(pointer, layout, size) })
    }
}
