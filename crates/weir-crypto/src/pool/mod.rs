//! The threads on which passwords are hashed.
//!
//! A hash occupies a core for milliseconds, so it runs on threads of its own, one for each core, each with its memory
//! kept ([`Workspace`]); the asynchronous side only waits. One queue serves all threads, first come, first served. It is
//! bounded twice: a full queue refuses at once, and what has waited too long is refused instead of hashed, so that in a
//! storm the answers that do come are for clients that still listen. Work whose caller has gone is skipped. A thread that
//! has had nothing to do for a minute gives its memory back; taking it anew costs the next hash a few milliseconds.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::sync::oneshot;

use crate::password::{HashCost, HashFault, Password, PasswordHash, Salt, Workspace};

/// How long a thread without work keeps its memory.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Why the pool gave no answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PoolError {
    /// Too much is waiting: 503, to be tried again after so many seconds.
    #[error("too many passwords are being checked at the moment")]
    Busy {
        /// For the `Retry-After` header.
        retry_after_secs: u64,
    },
    /// The hash could not be computed (no memory, or a defect): 500.
    #[error("the password could not be hashed")]
    Failed,
}

impl From<HashFault> for PoolError {
    fn from(_: HashFault) -> Self {
        Self::Failed
    }
}

/// A fixed number of hashing threads behind a bounded queue. Threads end when the pool is dropped.
#[derive(Debug)]
pub struct HashPool {
    shared: Arc<Shared>,
    threads: usize,
}

impl HashPool {
    /// A pool at the production cost. `threads`: the number of cores ([`Self::default_threads`]); `queue_limit`: what may
    /// wait besides what runs; `max_wait`: how long anything may wait for its turn.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(threads: usize, queue_limit: usize, max_wait: Duration) -> io::Result<Self> {
        Self::with_cost(threads, queue_limit, max_wait, HashCost::PRODUCTION)
    }

    /// The same at another cost; tests take [`HashCost::CHEAP`].
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn with_cost(threads: usize, queue_limit: usize, max_wait: Duration, cost: HashCost) -> io::Result<Self> {
        Self::start(threads, Shared::new(queue_limit, max_wait, cost))
    }

    fn start(threads: usize, shared: Shared) -> io::Result<Self> {
        let (threads, shared) = (threads.max(1), Arc::new(shared));
        // Built first: when a later thread cannot start, dropping the pool ends the earlier ones.
        let pool = Self { shared, threads };
        for index in 0..threads {
            let shared = Arc::clone(&pool.shared);
            thread::Builder::new().name(format!("weir-hash-{index}")).spawn(move || shared.serve())?;
        }
        Ok(pool)
    }

    /// One thread for each core this process may use.
    #[must_use]
    pub fn default_threads() -> usize {
        thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    /// Whether `password` matches the stored text. A text that is unusable or not readable matches nothing, after the
    /// time of one hash at the current cost.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn verify(&self, stored: String, password: Password) -> Result<bool, PoolError> {
        let cost = self.shared.cost;
        self.run(move |workspace| match PasswordHash::parse(&stored) {
            Ok(hash) if hash.is_usable() => hash.verify(&password, workspace),
            _ => burn(cost, workspace).map(|()| false),
        })
        .await?
        .map_err(PoolError::from)
    }

    /// A new hash at the current cost, as text to store.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn hash(&self, password: Password, salt: Salt) -> Result<String, PoolError> {
        let cost = self.shared.cost;
        self.run(move |workspace| PasswordHash::create(&password, &salt, cost, workspace))
            .await?
            .map(PasswordHash::into_string)
            .map_err(PoolError::from)
    }

    /// Costs what one verification of a current hash costs, queue included, and answers nothing: for users that do not
    /// exist where an existing one's password would be checked.
    ///
    /// # Errors
    /// [`PoolError`], as a verification would.
    pub async fn burn(&self) -> Result<(), PoolError> {
        let cost = self.shared.cost;
        self.run(move |workspace| burn(cost, workspace)).await?.map_err(PoolError::from)
    }

    /// Whether a stored text that has just matched should be replaced by [`Self::hash`] of the same password.
    #[must_use]
    pub fn needs_rehash(&self, stored: &str) -> bool {
        PasswordHash::parse(stored).is_ok_and(|hash| hash.needs_rehash(self.shared.cost))
    }

    /// The cost of new hashes.
    #[must_use]
    pub fn cost(&self) -> HashCost {
        self.shared.cost
    }

    /// The number of hashing threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// What waits at this moment, for metrics.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// Memory kept by all threads together, for metrics.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.shared.kept_bytes.load(Ordering::Relaxed)
    }

    async fn run<T, F>(&self, work: F) -> Result<T, PoolError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Workspace) -> T + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.shared.push(Box::new(Task { reply, work }))?;
        answer.await.unwrap_or(Err(PoolError::Failed))
    }
}

impl Drop for HashPool {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.shared.lock();
            state.ended = true;
            std::mem::take(&mut state.queue)
        };
        self.shared.work_or_end.notify_all();
        for waiting in waiting {
            waiting.job.refuse(self.shared.busy());
        }
    }
}

fn burn(cost: HashCost, workspace: &mut Workspace) -> Result<(), HashFault> {
    // The comparison and the length of the password are nanoseconds; filling the memory is all there is to imitate.
    workspace.argon2id(b"no such user", b"no such user, no salt.", cost).map(|tag| {
        std::hint::black_box(tag);
    })
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work_or_end: Condvar,
    kept_bytes: AtomicUsize,
    queue_limit: usize,
    max_wait: Duration,
    kept_for: Duration,
    cost: HashCost,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Waiting>,
    idle: usize,
    ended: bool,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    job: Box<dyn Job>,
}

impl Shared {
    fn new(queue_limit: usize, max_wait: Duration, cost: HashCost) -> Self {
        Self {
            state: Mutex::default(),
            work_or_end: Condvar::new(),
            kept_bytes: AtomicUsize::new(0),
            queue_limit,
            max_wait,
            kept_for: KEPT_FOR,
            cost,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half-way; a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> PoolError {
        PoolError::Busy { retry_after_secs: self.max_wait.as_secs().max(1) }
    }

    fn push(&self, job: Box<dyn Job>) -> Result<(), PoolError> {
        let mut state = self.lock();
        // Threads that wait will take what is queued already, so it does not count against the limit.
        let room = self.queue_limit.saturating_add(state.idle);
        if state.queue.len() >= room {
            state.queue.retain(|waiting| !waiting.job.is_abandoned());
        }
        if state.ended || state.queue.len() >= room {
            return Err(self.busy());
        }
        state.queue.push_back(Waiting { since: Instant::now(), job });
        drop(state);
        self.work_or_end.notify_one();
        Ok(())
    }

    /// The life of one thread.
    fn serve(&self) {
        let mut workspace = Workspace::new();
        while let Some(waiting) = self.next(&mut workspace) {
            if waiting.job.is_abandoned() {
                continue;
            }
            if waiting.since.elapsed() > self.max_wait {
                waiting.job.refuse(self.busy());
                continue;
            }
            let before = workspace.kept_bytes();
            if !waiting.job.run(&mut workspace) {
                workspace = Workspace::new();
            }
            self.count(before, workspace.kept_bytes());
        }
    }

    fn count(&self, before: usize, after: usize) {
        self.kept_bytes.fetch_add(after, Ordering::Relaxed);
        self.kept_bytes.fetch_sub(before, Ordering::Relaxed);
    }

    /// Waits for work; without any for some time, the thread's memory goes back to the system.
    fn next(&self, workspace: &mut Workspace) -> Option<Waiting> {
        let mut state = self.lock();
        loop {
            if let Some(waiting) = state.queue.pop_front() {
                return Some(waiting);
            }
            if state.ended {
                return None;
            }
            state.idle += 1;
            let kept = workspace.kept_bytes();
            state = if kept == 0 {
                self.work_or_end.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                let woken = self.work_or_end.wait_timeout(state, self.kept_for);
                let (state, waited) = woken.unwrap_or_else(PoisonError::into_inner);
                if waited.timed_out() && state.queue.is_empty() {
                    // Not under the lock: unmapping takes a millisecond. Work that comes meanwhile is found right after.
                    drop(state);
                    *workspace = Workspace::new();
                    self.count(kept, 0);
                    self.lock()
                } else {
                    state
                }
            };
            state.idle -= 1;
        }
    }
}

trait Job: Send + std::fmt::Debug {
    /// Runs and answers; false when it panicked.
    fn run(self: Box<Self>, workspace: &mut Workspace) -> bool;
    fn refuse(self: Box<Self>, why: PoolError);
    /// Nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
}

struct Task<T, F> {
    reply: oneshot::Sender<Result<T, PoolError>>,
    work: F,
}

impl<T, F> std::fmt::Debug for Task<T, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Task(…)")
    }
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&mut Workspace) -> T + Send,
{
    fn run(self: Box<Self>, workspace: &mut Workspace) -> bool {
        let Self { reply, work } = *self;
        let result = catch_unwind(AssertUnwindSafe(|| work(workspace)));
        let whole = result.is_ok();
        // The caller may have gone meanwhile.
        let _ = reply.send(result.map_err(|_| PoolError::Failed));
        whole
    }

    fn refuse(self: Box<Self>, why: PoolError) {
        let _ = self.reply.send(Err(why));
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}
