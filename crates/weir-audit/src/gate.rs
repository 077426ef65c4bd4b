//! Keeps receivers that are away from holding up everything else: few calls to one receiver at a time, and a pause that
//! grows while it does not answer. Each node finds out for itself.

use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

/// Calls to one receiver at a time.
const AT_ONCE: usize = 2;
/// How long others wait while that many are on their way.
const TURN: TimeDelta = TimeDelta::seconds(2);
/// The first pause after a failure, and the longest.
const PAUSE: (i64, i64) = (15, 600);

/// A receiver did not answer, or not as one that works does.
#[derive(Debug)]
pub(crate) struct Away(pub(crate) String);

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Away {}

/// A transport and its address: another address is another receiver.
type Receiver = (Uuid, String);

#[derive(Default)]
struct Gate {
    running: usize,
    failures: u32,
    closed_until: Option<DateTime<Utc>>,
}

/// The receivers that are being called or are away.
#[derive(Clone, Default)]
pub(crate) struct Gates(Arc<Mutex<BTreeMap<Receiver, Gate>>>);

impl Gates {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Receiver, Gate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to call a receiver now, or when to ask again.
    pub(crate) fn enter(&self, receiver: Receiver, now: DateTime<Utc>) -> Result<Pass, DateTime<Utc>> {
        let mut gates = self.lock();
        let gate = gates.entry(receiver.clone()).or_default();
        if let Some(until) = gate.closed_until.filter(|until| *until > now) {
            return Err(until);
        }
        if gate.running >= AT_ONCE {
            return Err(now + TURN);
        }
        gate.running += 1;
        Ok(Pass { gates: self.clone(), receiver, away: None })
    }
}

/// One call. The gate hears of its end when this is dropped.
pub(crate) struct Pass {
    gates: Gates,
    receiver: Receiver,
    away: Option<(bool, DateTime<Utc>)>,
}

impl Pass {
    /// How the call ended.
    pub(crate) fn ended(mut self, away: bool, now: DateTime<Utc>) {
        self.away = Some((away, now));
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut gates = self.gates.lock();
        let Some(gate) = gates.get_mut(&self.receiver) else { return };
        gate.running = gate.running.saturating_sub(1);
        match self.away {
            // Those that began together fail together: that is one failure.
            Some((true, now)) if gate.closed_until.is_none_or(|until| until <= now) => {
                let (first, longest) = PAUSE;
                let pause = first.saturating_mul(1 << gate.failures.min(10)).min(longest);
                gate.failures = gate.failures.saturating_add(1);
                gate.closed_until = Some(now + TimeDelta::seconds(pause));
            }
            Some((false, _)) => (gate.failures, gate.closed_until) = (0, None),
            _ => {}
        }
        if gate.running == 0 && gate.failures == 0 {
            gates.remove(&self.receiver);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn receiver(name: &str) -> Receiver {
        (Uuid::nil(), name.to_owned())
    }

    #[test]
    fn a_receiver_gets_two_calls_at_a_time_and_none_while_it_is_away() {
        let gates = Gates::default();
        let one = gates.enter(receiver("a"), at(0)).ok().unwrap();
        let two = gates.enter(receiver("a"), at(0)).ok().unwrap();
        assert_eq!(gates.enter(receiver("a"), at(0)).err(), Some(at(2)));
        assert!(gates.enter(receiver("b"), at(0)).is_ok(), "others are not concerned");
        one.ended(true, at(5));
        two.ended(true, at(5));
        assert_eq!(gates.enter(receiver("a"), at(6)).err(), Some(at(20)), "failing together is failing once");
        gates.enter(receiver("a"), at(20)).ok().unwrap().ended(true, at(20));
        assert_eq!(gates.enter(receiver("a"), at(49)).err(), Some(at(50)), "the pause grows");
        gates.enter(receiver("a"), at(50)).ok().unwrap().ended(false, at(50));
        assert!(gates.enter(receiver("a"), at(50)).is_ok(), "it is back");
        assert!(gates.lock().is_empty(), "nothing is kept of who answers");
    }

    #[test]
    fn the_pause_has_a_longest_and_a_call_that_was_cut_off_leaves_its_place() {
        let gates = Gates::default();
        let mut now = at(0);
        for _ in 0..40 {
            gates.enter(receiver("a"), now).ok().unwrap().ended(true, now);
            let until = gates.enter(receiver("a"), now).err().unwrap();
            assert!(until - now <= TimeDelta::seconds(600));
            now = until;
        }
        drop(gates.enter(receiver("b"), now));
        assert!(!gates.lock().contains_key(&receiver("b")));
    }
}
