//! What the server's processes use, as Linux counts it.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::project::output;

/// A server and the worker processes it started.
pub struct Tree {
    pid: u32,
    ticks_per_second: u32,
}

impl Tree {
    /// The tree below this process.
    pub fn of(pid: u32) -> Result<Self> {
        let ticks = output(std::process::Command::new("getconf").arg("CLK_TCK"))?;
        Ok(Self { pid, ticks_per_second: ticks.parse().context("clock ticks")? })
    }

    /// Processor time used so far.
    pub fn cpu(&self) -> Result<Duration> {
        let mut ticks = 0;
        for pid in self.pids()? {
            ticks += cpu_ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat"))?)?;
        }
        Ok(Duration::from_secs(ticks) / self.ticks_per_second)
    }

    /// Proportional set size in bytes: of the server itself, and of its workers together.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let (mut server, mut workers) = (0, 0);
        for pid in self.pids()? {
            let bytes = pss(&std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?)?;
            *(if pid == self.pid { &mut server } else { &mut workers }) += bytes;
        }
        Ok((server, workers))
    }

    /// The memory as the table shows it.
    pub fn memory_text(&self) -> Result<String> {
        let (server, workers) = self.memory()?;
        let mega = |bytes: u64| format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10);
        Ok(if workers == 0 { mega(server) } else { format!("{} + workers {}", mega(server), mega(workers)) })
    }

    fn pids(&self) -> Result<Vec<u32>> {
        let mut pids = vec![self.pid];
        for entry in std::fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process may be gone by the time it is looked at.
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            if field(&stat, 1).is_ok_and(|parent| parent == u64::from(self.pid)) {
                pids.push(pid);
            }
        }
        Ok(pids)
    }
}

/// The fields behind the program's name, which may itself hold spaces and brackets; 0 is the state.
fn field(stat: &str, index: usize) -> Result<u64> {
    let rest = stat.rsplit_once(") ").map(|(_, rest)| rest).context("not a stat line")?;
    rest.split(' ').nth(index).context("a short stat line")?.trim().parse().context("not a number")
}

fn cpu_ticks(stat: &str) -> Result<u64> {
    Ok(field(stat, 11)? + field(stat, 12)?)
}

fn pss(smaps: &str) -> Result<u64> {
    let Some(line) = smaps.lines().find_map(|line| line.strip_prefix("Pss:")) else { bail!("no Pss line") };
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().context("Pss")?;
    Ok(kilobytes * 1024)
}

#[cfg(test)]
mod tests;
