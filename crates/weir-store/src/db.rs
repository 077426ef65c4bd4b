//! The database handle: reads, transactions, health.

use std::{path::Path, pin::Pin, sync::Arc};

use sqlx::{AssertSqlSafe, postgres::PgRow};
use tokio::sync::{Notify, watch};

use crate::{
    DatabaseUrl, DbSettings, Dialect, Row, StoreError, Tx, Val, migrate, migrate::MigrationState, postgres::Postgres,
    sqlite::Sqlite, val,
};

/// A cheap handle to the database; clones share everything.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    backend: Backend,
    changes: watch::Sender<i64>,
    jobs: Notify,
}

pub(crate) enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Db").field(&self.dialect()).finish()
    }
}

impl Db {
    /// Opens the database without migrating it.
    pub async fn open(settings: &DbSettings) -> Result<Self, StoreError> {
        let changes = watch::Sender::new(0);
        let backend = match &settings.url {
            DatabaseUrl::Sqlite(path) => Backend::Sqlite(Sqlite::open(path, settings).await?),
            DatabaseUrl::Temporary => Backend::Sqlite(Sqlite::open_temporary(settings).await?),
            DatabaseUrl::Postgres(url) => Backend::Postgres(Postgres::open(url, settings, changes.clone()).await?),
        };
        Ok(Self(Arc::new(Inner { backend, changes, jobs: Notify::new() })))
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.0.backend
    }

    /// Which database this is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.backend() {
            Backend::Sqlite(_) => Dialect::Sqlite,
            Backend::Postgres(_) => Dialect::Postgres,
        }
    }

    /// A transaction; it costs nothing until its first write.
    #[must_use]
    pub fn tx(&self) -> Tx {
        Tx::new(self.clone())
    }

    /// Runs one reading statement outside any transaction.
    pub fn read<'a>(&'a self, sql: &'a str, vals: &'a [Val]) -> Work<'a, Vec<Row>> {
        match self.backend() {
            Backend::Sqlite(sqlite) => Box::pin(async move {
                val::check(vals)?;
                let mut lease = sqlite.readers.lease().await?;
                let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals);
                let rows = query.fetch_all(lease.connection()?).await?;
                lease.give_back();
                Ok(rows.into_iter().map(Row::from).collect())
            }),
            Backend::Postgres(postgres) => Box::pin(read_postgres(postgres, sql, vals)),
        }
    }

    /// Runs one reading statement that finds at most one row of interest.
    pub fn read_one<'a>(&'a self, sql: &'a str, vals: &'a [Val]) -> Work<'a, Option<Row>> {
        let Backend::Sqlite(sqlite) = self.backend() else {
            return Box::pin(async move { Ok(self.read(sql, vals).await?.into_iter().next()) });
        };
        Box::pin(async move {
            val::check(vals)?;
            let mut lease = sqlite.readers.lease().await?;
            let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals);
            // The connection's thread need not come back to say that there are no more.
            let row = query.fetch_optional(lease.connection()?).await?;
            lease.give_back();
            Ok(row.map(Row::from))
        })
    }

    /// Brings the schema up to date; returns the names of the migrations applied now.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let applied = migrate::run(self, migrate::MIGRATIONS).await?;
        if let Backend::Sqlite(sqlite) = self.backend() {
            sqlite.mark_in_use()?;
        }
        Ok(applied)
    }

    /// What [`migrate`](Self::migrate) has done and would do.
    pub async fn migration_state(&self) -> Result<MigrationState, StoreError> {
        migrate::state(self, migrate::MIGRATIONS).await
    }

    /// Does the database answer?
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read("SELECT 1 AS one", &[]).await.map(|_| ())
    }

    /// Wakes on each configuration change, of this node or another. The value is the highest revision heard of; a
    /// wake without a higher value means that notices may have been missed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.0.changes.subscribe()
    }

    pub(crate) fn announce(&self, revision: i64) {
        self.0.changes.send_modify(|latest| *latest = revision.max(*latest));
    }

    pub(crate) fn wake_jobs(&self) {
        self.0.jobs.notify_one();
    }

    pub(crate) async fn jobs_woken(&self) {
        self.0.jobs.notified().await;
    }

    /// Periodic care, about once an hour: refreshes the planner's statistics on SQLite.
    pub fn maintain(&self) -> Work<'_, ()> {
        Box::pin(async move {
            if let Backend::Sqlite(sqlite) = self.backend() {
                let mut lease = sqlite.writer.lease().await?;
                sqlx::query("PRAGMA optimize").execute(lease.connection()?).await?;
                lease.give_back();
            }
            Ok(())
        })
    }

    /// To be called when much was written at once: the planner of PostgreSQL would otherwise not know of it until its
    /// housekeeping comes by.
    pub async fn settle(&self) -> Result<(), StoreError> {
        self.maintain().await?;
        if let Backend::Postgres(postgres) = self.backend() {
            let mut lease = postgres.lanes.lease().await?;
            sqlx::raw_sql("SET statement_timeout = 0").execute(lease.connection()?).await?;
            // It runs outside transactions only. The setting is this connection's, which is therefore not given back.
            sqlx::raw_sql("VACUUM (ANALYZE)").execute(lease.connection()?).await?;
            lease.set_open(true);
        }
        Ok(())
    }

    /// Writes an online copy of an SQLite database to a new file. PostgreSQL has its own tools for that.
    pub async fn backup(&self, target: &Path) -> Result<(), StoreError> {
        match self.backend() {
            Backend::Sqlite(sqlite) => sqlite.backup(target).await,
            Backend::Postgres(_) => Err(StoreError::Invalid("use pg_dump to back up PostgreSQL".to_owned())),
        }
    }

    /// Closes all connections; later calls answer [`StoreError::Unavailable`].
    pub async fn close(&self) {
        match self.backend() {
            Backend::Sqlite(sqlite) => sqlite.close().await,
            Backend::Postgres(postgres) => postgres.close().await,
        }
    }

    /// How many disk syncs durable commits have cost so far.
    #[cfg(any(test, feature = "test-support"))]
    #[must_use]
    pub fn disk_syncs(&self) -> u64 {
        match self.backend() {
            Backend::Sqlite(sqlite) => sqlite.wal.syncs.load(std::sync::atomic::Ordering::Relaxed),
            Backend::Postgres(_) => 0,
        }
    }
}

/// Work on a connection, of a type that does not grow into the callers'. What is public gives it back from a plain
/// function: the compiler copies the body of an `async fn` into every crate that waits for it, which was a tenth of the
/// program.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

async fn read_postgres(postgres: &Postgres, sql: &str, vals: &[Val]) -> Result<Vec<Row>, StoreError> {
    val::check(vals)?;
    let mut asked = 0;
    loop {
        match try_postgres(postgres, sql, vals).await {
            Ok(rows) => return Ok(rows.into_iter().map(Row::from).collect()),
            Err(error) if postgres.may_ask_again(&error, &mut asked) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn try_postgres(postgres: &Postgres, sql: &str, vals: &[Val]) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut lease = postgres.lanes.lease().await?;
    let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals).persistent(postgres.persistent);
    let rows = query.fetch_all(lease.connection()?).await?;
    lease.give_back();
    Ok(rows)
}
