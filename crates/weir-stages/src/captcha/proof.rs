//! Our own captcha: the browser proves that it worked for a moment. No picture, no third party, nothing about the person.
//!
//! The task is the text `v1.<bits>.<puzzles>.<end>.<random>` and belongs to one plan, so that no other session can use its
//! solution. With `seed` the SHA-256 of the task, puzzle `i` is solved by a number `n` for which
//! SHA-256(`seed` ‖ `i` ‖ `n`), both as four bytes big-endian, begins with that many zero bits. The solution is the task, a
//! colon, and the numbers in order, separated by commas. Several small puzzles instead of a large one make the work about
//! the same for everybody.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use weir_flow::{StageCx, keys};
use weir_store::{Durability, StoreError, Tx};

/// The module that solves tasks; as `js_url` it chooses this captcha.
const MODULE: &str = "/static/dist/flow/proof-of-work.js";
/// Puzzles of a task: 2⁴.
const PUZZLES: u32 = 16;
/// Work asked for unless configured, as binary logarithm of the expected number of hashes: about a second of a phone.
const USUAL: u32 = 18;
/// How long a task can be solved.
const LIFE: TimeDelta = TimeDelta::minutes(20);
/// Longest solution looked at, bytes.
const LONGEST: usize = 512;

/// Whether this script stands for our own captcha.
pub fn is_module(js_url: &str) -> bool {
    js_url == MODULE
}

/// Whether a browser can be asked for this much work.
pub fn is_payable(bits: u64) -> bool {
    (8..=24).contains(&bits)
}

/// Where the module is.
pub fn module(prefix: &str) -> String {
    format!("{prefix}{MODULE}")
}

/// What is wrong with a solution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Too late, used before, or of another task: a new task can be solved.
    Stale,
    /// Not a solution.
    Wrong,
}

/// The task of this plan for a stage: the one it has while there is time, else a new one.
pub fn task(cx: &mut StageCx<'_>, stage: Uuid, public_key: &str) -> String {
    let bits = public_key.parse().ok().filter(|bits| is_payable(u64::from(*bits))).unwrap_or(USUAL);
    let (now, name) = (cx.now(), stage.to_string());
    let bits = bits - PUZZLES.ilog2();
    let kept = kept(cx, stage);
    let is_good = |task: &String| Task::read(task).is_some_and(|t| t.bits == bits && t.end - now > LIFE / 2);
    if let Some(task) = kept.filter(is_good) {
        return task;
    }
    let task = format!("v1.{bits}.{PUZZLES}.{}.{}", (now + LIFE).timestamp(), cx.app.site.random.text(22));
    cx.context.object_mut(keys::CAPTCHA_TASKS).insert(name, task.clone().into());
    task
}

fn kept(cx: &StageCx<'_>, stage: Uuid) -> Option<String> {
    cx.context.get(keys::CAPTCHA_TASKS)?.get(&stage.to_string())?.as_str().map(str::to_owned)
}

/// Takes a solution: once. With slow work to follow that happens in a transaction of its own, whatever the request leads to.
///
/// # Errors
/// Those of the store.
pub async fn take(
    cx: &mut StageCx<'_>,
    stage: Uuid,
    solution: &str,
    is_last: bool,
) -> Result<Result<(), Flaw>, StoreError> {
    let now = cx.now();
    let Some((text, numbers)) = solution.split_once(':').filter(|_| solution.len() <= LONGEST) else {
        return Ok(Err(Flaw::Wrong));
    };
    if kept(cx, stage).as_deref() != Some(text) {
        return Ok(Err(Flaw::Stale));
    }
    let tasks = cx.context.object_mut(keys::CAPTCHA_TASKS);
    let Some(task) = Task::read(text).filter(|t| t.end > now) else {
        tasks.remove(&stage.to_string());
        return Ok(Err(Flaw::Stale));
    };
    if !task.is_solved_by(text, numbers) {
        return Ok(Err(Flaw::Wrong));
    }
    tasks.remove(&stage.to_string());
    let is_first = if is_last || cx.unit.tx.is_writing() {
        spend(&mut cx.unit.tx, text, task.end).await?
    } else {
        // Of its own and at once: of many answers sent together only one may go on to what the captcha protects. A power
        // cut could bring a task back to life, which then is still of this one plan.
        let mut tx = cx.app.site.db.tx();
        tx.set_durability(Durability::Relaxed);
        let is_first = spend(&mut tx, text, task.end).await?;
        tx.commit().await?;
        is_first
    };
    Ok(if is_first { Ok(()) } else { Err(Flaw::Stale) })
}

async fn spend(tx: &mut Tx, task: &str, end: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "INSERT INTO captcha_spent (task, expires) VALUES ($1, $2) ON CONFLICT (task) DO NOTHING";
    Ok(tx.write(sql, &[task.into(), end.into()]).await? > 0)
}

struct Task {
    bits: u32,
    puzzles: u32,
    end: DateTime<Utc>,
}

impl Task {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (version, bits, puzzles, end) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let end = DateTime::from_timestamp(end.parse().ok()?, 0)?;
        (version == "v1").then_some(Self { bits: bits.parse().ok()?, puzzles: puzzles.parse().ok()?, end })
    }

    fn is_solved_by(&self, text: &str, numbers: &str) -> bool {
        let seed = Sha256::digest(text);
        let numbers: Option<Vec<u32>> = numbers.split(',').map(|n| n.parse().ok()).collect();
        let Some(numbers) = numbers.filter(|n| u32::try_from(n.len()) == Ok(self.puzzles)) else { return false };
        (0u32..).zip(numbers).all(|(puzzle, number)| {
            let mut hash = Sha256::new();
            hash.update(seed);
            hash.update(puzzle.to_be_bytes());
            hash.update(number.to_be_bytes());
            leading_zeros(&hash.finalize()) >= self.bits
        })
    }
}

fn leading_zeros(bytes: &[u8]) -> u32 {
    let whole = bytes.iter().take_while(|b| **b == 0).count();
    let rest = bytes.get(whole).map_or(0, |b| b.leading_zeros());
    u32::try_from(whole).unwrap_or(u32::MAX / 8) * 8 + rest
}

/// The solution of a task, found as the module finds it.
#[cfg(test)]
pub(super) fn solve(text: &str) -> String {
    let task = Task::read(text).unwrap();
    let numbers: Vec<String> = (0..task.puzzles)
        .map(|puzzle| {
            let is_right = |n: &u32| {
                let mut hash = Sha256::new();
                hash.update(Sha256::digest(text));
                hash.update(puzzle.to_be_bytes());
                hash.update(n.to_be_bytes());
                leading_zeros(&hash.finalize()) >= task.bits
            };
            (0..).find(is_right).unwrap().to_string()
        })
        .collect();
    format!("{text}:{}", numbers.join(","))
}
