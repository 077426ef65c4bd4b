//! Load from several clients at once, each on its own connection and thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::process::Tree;

/// What a load gave.
pub struct Load {
    /// How many requests, or whatever the clients counted.
    pub count: usize,
    /// How long it really took.
    pub time: Duration,
    /// Processor time of the server and its workers.
    pub cpu: Duration,
    latencies: Latencies,
}

impl Load {
    /// Per second.
    pub fn rate(&self) -> f64 {
        as_f64(self.count) / self.time.as_secs_f64()
    }

    /// Milliseconds of the server's processor time for each.
    pub fn cpu_ms_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0 / as_f64(self.count.max(1))
    }

    /// The latency that this share of the requests stayed below.
    pub fn latency(&self, share: f64) -> Duration {
        self.latencies.below(share)
    }
}

/// Sorted times.
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Sorts what was measured.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that this share stayed below; nothing measured is zero.
    pub fn below(&self, share: f64) -> Duration {
        // Cannot be negative, and a share of a length is no longer than it.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
        let index = ((as_f64(self.0.len()) * share) as usize).min(self.0.len().saturating_sub(1));
        self.0.get(index).copied().unwrap_or_default()
    }
}

/// Lets `clients` do `one` again and again for `time`; each call returns the latencies of what it did.
pub fn run<S: Send>(
    server: &Tree,
    clients: Vec<S>,
    time: Duration,
    one: impl Fn(&mut S, &mut Vec<Duration>) -> Result<()> + Sync,
) -> Result<Load> {
    let is_over = AtomicBool::new(false);
    let cpu_before = server.cpu()?;
    let begun = Instant::now();
    let latencies = std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                let (one, is_over) = (&one, &is_over);
                scope.spawn(move || -> Result<Vec<Duration>> {
                    let mut latencies = Vec::new();
                    while !is_over.load(Ordering::Relaxed) {
                        one(&mut client, &mut latencies).inspect_err(|_| is_over.store(true, Ordering::Relaxed))?;
                    }
                    Ok(latencies)
                })
            })
            .collect();
        wait(time, &is_over);
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().ok().context("a client's thread ended early")??);
        }
        anyhow::Ok(all)
    })?;
    let time = begun.elapsed();
    let cpu = server.cpu()?.saturating_sub(cpu_before);
    Ok(Load { count: latencies.len(), time, cpu, latencies: Latencies::of(latencies) })
}

/// Ends early when a client has failed.
fn wait(time: Duration, is_over: &AtomicBool) {
    let begun = Instant::now();
    while begun.elapsed() < time && !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
    }
    is_over.store(true, Ordering::Relaxed);
}

fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

/// `1.23 ms`.
pub fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests;
