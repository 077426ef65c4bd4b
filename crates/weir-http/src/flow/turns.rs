//! Turns of requests of one browser session that were in each other's way.

use tokio::sync::{Mutex, MutexGuard};

/// Sessions share this many queues; two in one queue wait for each other only while they are both contended.
const QUEUES: usize = 64;

/// Lets requests that lost a race for their session go on one after the other on this node, so that the next race is at
/// most one against each other node. What a session holds is still decided by the version in its row.
pub struct Turns([Mutex<()>; QUEUES]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl Turns {
    /// Waits until those before it are done.
    pub async fn take(&self, digest: &str) -> Option<MutexGuard<'_, ()>> {
        let sum = digest.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Some(self.0.get(sum % QUEUES)?.lock().await)
    }
}
