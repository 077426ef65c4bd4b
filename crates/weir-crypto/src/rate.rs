//! The bare speed of the hash, against which log-ins are measured.

use std::{
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

use crate::{
    argon2id::{HashCost, Workspace},
    token::constant_time_eq,
};

/// Argon2id hashes per second at [`HashCost::PRODUCTION`] on `threads` threads, each with its own kept memory, run for
/// about `duration`. Memory is touched before the clock starts. 0 when the memory cannot be had.
#[must_use]
pub fn raw_argon2_rate(threads: usize, duration: Duration) -> f64 {
    let threads = NonZeroUsize::new(threads).map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(move || one_thread(duration))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum()
    })
}

fn one_thread(duration: Duration) -> f64 {
    let mut workspace = Workspace::new();
    let mut hash = || workspace.argon2id(b"correct horse", b"dBXwVQ3NaqHIt0vSgPkQ2b", HashCost::PRODUCTION);
    let Ok(expected) = hash() else { return 0.0 };
    let start = Instant::now();
    let mut hashes = 0_u32;
    while start.elapsed() < duration {
        match hash() {
            Ok(tag) if constant_time_eq(tag, expected) => hashes += 1,
            _ => return 0.0,
        }
    }
    f64::from(hashes) / start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_counts_hashes() {
        assert!(raw_argon2_rate(2, Duration::from_millis(1)) > 0.0);
    }
}
