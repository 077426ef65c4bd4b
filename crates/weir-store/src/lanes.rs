//! Connections that pass from one piece of work to the next as they are.
//!
//! The SQL library's pool sends each connection that comes back a ping first. That is one more round trip for every
//! statement on PostgreSQL, and on SQLite, where a connection is a thread, two more changes of threads: more than most
//! statements cost themselves. Here, what ended well is handed on without asking; whatever did not goes back to that
//! pool, which knows how to mend or replace it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Connection as _, Database, Error, Pool, pool::PoolConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::timeout,
};

/// After so long the pool sees a connection again, which may then be too old for it.
const OUT_OF_SIGHT: Duration = Duration::from_secs(300);
/// Connections that nobody needed for so long go back to the pool, which closes them when they stay idle.
const RESTED: Duration = Duration::from_secs(60);
/// How long a connection that has rested may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// The connections of one kind. Nobody else may take any from the pool below.
pub(crate) struct Lanes<DB: Database>(Arc<Inner<DB>>);

struct Inner<DB: Database> {
    pool: Pool<DB>,
    places: Arc<Semaphore>,
    idle: Mutex<Idle<DB>>,
    /// How long to wait for a place.
    patience: Duration,
    /// A connection that has rested for longer is asked whether it still works.
    trust: Option<Duration>,
}

struct Idle<DB: Database> {
    /// The last one used is the last one here.
    resting: Vec<Resting<DB>>,
    closed: bool,
}

struct Resting<DB: Database> {
    connection: PoolConnection<DB>,
    taken: Instant,
    since: Instant,
}

impl<DB: Database> Lanes<DB> {
    /// As many as the pool may open. `trust`: after resting for longer, a connection is asked first.
    pub(crate) fn new(pool: Pool<DB>, patience: Duration, trust: Option<Duration>) -> Self {
        let places = usize::try_from(pool.options().get_max_connections()).unwrap_or(1);
        Self(Arc::new(Inner {
            places: Arc::new(Semaphore::new(places)),
            idle: Mutex::new(Idle { resting: Vec::with_capacity(places), closed: false }),
            pool,
            patience,
            trust,
        }))
    }

    /// How many there may be.
    pub(crate) fn most(&self) -> u32 {
        self.0.pool.options().get_max_connections()
    }

    /// A connection; waits for one if need be.
    pub(crate) async fn lease(&self) -> Result<Lease<DB>, Error> {
        let inner = &self.0;
        let place = match Arc::clone(&inner.places).try_acquire_owned() {
            Ok(place) => place,
            Err(TryAcquireError::Closed) => return Err(Error::PoolClosed),
            Err(TryAcquireError::NoPermits) => {
                let waiting = Arc::clone(&inner.places).acquire_owned();
                let place = timeout(inner.patience, waiting).await.map_err(|_| Error::PoolTimedOut)?;
                place.map_err(|_| Error::PoolClosed)?
            }
        };
        while let Some(mut resting) = inner.take() {
            let is_fresh = inner.trust.is_none_or(|trust| resting.since.elapsed() < trust);
            if is_fresh || matches!(timeout(ANSWER, resting.connection.ping()).await, Ok(Ok(()))) {
                let Resting { connection, taken, .. } = resting;
                return Ok(Lease {
                    connection: Some(connection),
                    taken,
                    open: false,
                    _place: place,
                    home: Arc::clone(inner),
                });
            }
            resting.connection.close_on_drop();
        }
        let connection = inner.pool.acquire().await?;
        let home = Arc::clone(inner);
        Ok(Lease { connection: Some(connection), taken: Instant::now(), open: false, _place: place, home })
    }

    /// The server has gone away and come back: what rests here is of the time before.
    pub(crate) fn forget_resting(&self) {
        let old = std::mem::take(&mut self.0.idle().resting);
        for mut resting in old {
            resting.connection.close_on_drop();
        }
    }

    /// Closes all; who asks later is told so.
    pub(crate) async fn close(&self) {
        self.0.places.close();
        let resting = {
            let mut idle = self.0.idle();
            idle.closed = true;
            std::mem::take(&mut idle.resting)
        };
        drop(resting);
        self.0.pool.close().await;
    }
}

impl<DB: Database> Inner<DB> {
    fn idle(&self) -> MutexGuard<'_, Idle<DB>> {
        // Nothing under the lock can panic half-way.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Resting<DB>> {
        self.idle().resting.pop()
    }
}

/// One connection in use. Dropped, it goes to the pool below to be looked at; inside a transaction it is closed.
pub(crate) struct Lease<DB: Database> {
    connection: Option<PoolConnection<DB>>,
    taken: Instant,
    /// A transaction may be open.
    open: bool,
    /// Held, never read: the place is free when the lease ends.
    _place: OwnedSemaphorePermit,
    home: Arc<Inner<DB>>,
}

impl<DB: Database> Lease<DB> {
    /// The connection.
    pub(crate) fn connection(&mut self) -> Result<&mut DB::Connection, Error> {
        self.connection.as_deref_mut().ok_or(Error::WorkerCrashed)
    }

    /// Notes whether a transaction may be open: said before it begins, and after it has ended.
    pub(crate) fn set_open(&mut self, open: bool) {
        self.open = open;
    }

    /// Its work has ended well: the next one may have it.
    pub(crate) fn give_back(mut self) {
        let now = Instant::now();
        if self.open || now.duration_since(self.taken) > OUT_OF_SIGHT {
            return;
        }
        let Some(connection) = self.connection.take() else { return };
        // Dropped when the lock is free again.
        let mut gone = None;
        {
            let mut idle = self.home.idle();
            if idle.closed {
                gone = Some(connection);
            } else {
                idle.resting.push(Resting { connection, taken: self.taken, since: now });
                if idle.resting.first().is_some_and(|oldest| now.duration_since(oldest.since) > RESTED) {
                    gone = Some(idle.resting.remove(0).connection);
                }
            }
        }
        drop(gone);
    }
}

impl<DB: Database> Drop for Lease<DB> {
    fn drop(&mut self) {
        if self.open
            && let Some(connection) = &mut self.connection
        {
            connection.close_on_drop();
        }
    }
}

impl<DB: Database> std::fmt::Debug for Lease<DB> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease")
    }
}
