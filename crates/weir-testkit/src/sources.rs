//! Time and randomness under the test's control.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};
use uuid::Uuid;
use weir_core::{Clock, Random};

/// A clock that stands still until it is told otherwise.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicI64>);

impl Default for TestClock {
    /// Noon of the first of May 2026.
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_777_636_800_000_000)))
    }
}

impl TestClock {
    /// Moves the hands.
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_microseconds().unwrap(), Ordering::SeqCst);
    }

    /// Puts the hands somewhere.
    pub fn set(&self, to: DateTime<Utc>) {
        self.0.store(to.timestamp_micros(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// The same sequence in every run. Its UUIDs ascend, so that rows of one instant sort in the order they were made.
#[derive(Debug)]
pub struct TestRandom(AtomicU64);

impl TestRandom {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed << 32))
    }
}

impl Random for TestRandom {
    fn fill(&self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(32) {
            let number = self.0.fetch_add(1, Ordering::SeqCst);
            let block: [u8; 32] = Sha256::digest(number.to_le_bytes()).into();
            part.iter_mut().zip(block).for_each(|(to, from)| *to = from);
        }
    }

    fn uuid(&self) -> Uuid {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        let mut bytes: [u8; 16] = [0; 16];
        // The upper six bytes are free of the bits that tell the version.
        bytes.iter_mut().zip(number.to_be_bytes().into_iter().skip(2)).for_each(|(to, from)| *to = from);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}
