//! One transaction of one request.

use sqlx::{AssertSqlSafe, SqlSafeStr as _, Transaction};

use crate::{Db, Dialect, Row, StoreError, Val, db::Backend, postgres::CHANNEL, val};

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On the disk.
    Full,
    /// In the system's hands: survives a killed process, not a power cut.
    Relaxed,
}

/// A transaction that opens at its first write; until then it reads like [`Db::read`].
///
/// Reads before the first write see committed data of their own moment. Where a write depends on what was read, use a
/// conditional statement or call [`begin_write`](Self::begin_write) first. After a failed statement the transaction
/// cannot be committed on either database, unless a savepoint is restored. Dropping it rolls back.
#[derive(Debug)]
pub struct Tx {
    db: Db,
    state: State,
    durability: Durability,
    /// What the open PostgreSQL transaction was told.
    told: Durability,
    failed: bool,
    announce: Option<i64>,
    wake_jobs: bool,
    savepoints: u32,
}

#[derive(Debug)]
enum State {
    Reading,
    Sqlite(Transaction<'static, sqlx::Sqlite>),
    Postgres(Transaction<'static, sqlx::Postgres>),
}

/// A point [`Tx::rollback_to`] can return to.
#[derive(Debug)]
pub struct Savepoint(String);

impl Tx {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            db,
            state: State::Reading,
            durability: Durability::Full,
            told: Durability::Full,
            failed: false,
            announce: None,
            wake_jobs: false,
            savepoints: 0,
        }
    }

    /// Which database this is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.db.dialect()
    }

    /// The database this transaction belongs to.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Has the write transaction begun? Slow work must not happen then: on SQLite everybody waits for it.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        !matches!(self.state, State::Reading)
    }

    /// Chooses the durability (full unless told). Once written, full cannot be weakened, but relaxed can be raised.
    pub fn set_durability(&mut self, durability: Durability) {
        if !self.is_writing() || durability == Durability::Full {
            self.durability = durability;
        }
    }

    /// The durability the commit will have.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Opens the write transaction now, so that the following reads and writes are one step for everybody else on
    /// SQLite; on PostgreSQL lock the rows read with [`Dialect::for_update`].
    pub async fn begin_write(&mut self) -> Result<(), StoreError> {
        if self.is_writing() {
            return Ok(());
        }
        self.state = match self.db.backend() {
            Backend::Sqlite(sqlite) => State::Sqlite(sqlite.writer.begin_with("BEGIN IMMEDIATE").await?),
            Backend::Postgres(postgres) => {
                let begin = match self.durability {
                    Durability::Full => "BEGIN",
                    Durability::Relaxed => "BEGIN; SET LOCAL synchronous_commit = off",
                };
                self.told = self.durability;
                let mut asked = 0;
                loop {
                    let pool = postgres.pool.clone();
                    // A task of its own, because a `BEGIN` that is dropped half-way would go back to the pool open.
                    let begun = tokio::spawn(async move { pool.begin_with(begin).await }).await;
                    match begun.unwrap_or(Err(sqlx::Error::WorkerCrashed)) {
                        Ok(tx) => break State::Postgres(tx),
                        Err(error) if postgres.may_ask_again(&error, &mut asked) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        };
        Ok(())
    }

    /// Runs a reading statement.
    pub async fn read(&mut self, sql: &str, vals: &[Val]) -> Result<Vec<Row>, StoreError> {
        if self.is_writing() { self.run_rows(sql, vals).await } else { self.db.read(sql, vals).await }
    }

    /// Runs a reading statement that finds at most one row of interest.
    pub async fn read_one(&mut self, sql: &str, vals: &[Val]) -> Result<Option<Row>, StoreError> {
        Ok(self.read(sql, vals).await?.into_iter().next())
    }

    /// Runs a writing statement; returns the number of rows it touched.
    pub async fn write(&mut self, sql: &str, vals: &[Val]) -> Result<u64, StoreError> {
        self.begin_write().await?;
        let done = self.run(sql, vals).await;
        self.failed |= done.is_err();
        done
    }

    /// Runs a writing statement with a RETURNING clause.
    pub async fn write_returning(&mut self, sql: &str, vals: &[Val]) -> Result<Vec<Row>, StoreError> {
        self.begin_write().await?;
        self.run_rows(sql, vals).await
    }

    async fn run(&mut self, sql: &str, vals: &[Val]) -> Result<u64, StoreError> {
        self.check(vals)?;
        match (&mut self.state, self.db.backend()) {
            (State::Sqlite(tx), _) => {
                let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals);
                Ok(query.execute(&mut **tx).await?.rows_affected())
            }
            (State::Postgres(tx), Backend::Postgres(postgres)) => {
                let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals).persistent(postgres.persistent);
                Ok(query.execute(&mut **tx).await?.rows_affected())
            }
            _ => Err(StoreError::Internal(anyhow::anyhow!("no write transaction"))),
        }
    }

    async fn run_rows(&mut self, sql: &str, vals: &[Val]) -> Result<Vec<Row>, StoreError> {
        let done = self.try_rows(sql, vals).await;
        self.failed |= done.is_err();
        done
    }

    async fn try_rows(&mut self, sql: &str, vals: &[Val]) -> Result<Vec<Row>, StoreError> {
        self.check(vals)?;
        match (&mut self.state, self.db.backend()) {
            (State::Sqlite(tx), _) => {
                let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals);
                Ok(query.fetch_all(&mut **tx).await?.into_iter().map(Row::from).collect())
            }
            (State::Postgres(tx), Backend::Postgres(postgres)) => {
                let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals).persistent(postgres.persistent);
                Ok(query.fetch_all(&mut **tx).await?.into_iter().map(Row::from).collect())
            }
            _ => Err(StoreError::Internal(anyhow::anyhow!("no write transaction"))),
        }
    }

    fn check(&self, vals: &[Val]) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Internal(anyhow::anyhow!("the transaction has already failed")));
        }
        val::check(vals)
    }

    /// Runs several statements without parameters, as migrations need.
    pub(crate) async fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.begin_write().await?;
        let sql = sqlx::raw_sql(AssertSqlSafe(sql).into_sql_str());
        let done = match &mut self.state {
            State::Sqlite(tx) => sql.execute(&mut **tx).await.map(|_| ()),
            State::Postgres(tx) => sql.execute(&mut **tx).await.map(|_| ()),
            State::Reading => Ok(()),
        };
        self.failed |= done.is_err();
        Ok(done?)
    }

    /// Lets one transaction at a time change the configuration, across nodes, until it ends.
    pub async fn lock_configuration(&mut self) -> Result<(), StoreError> {
        self.lock(0x7765_6972_0001).await
    }

    /// Lets one transaction at a time work on the chain of events, across nodes, until it ends.
    pub async fn lock_events(&mut self) -> Result<(), StoreError> {
        self.lock(0x7765_6972_0e0e).await
    }

    /// Takes a transaction-wide lock of this number on PostgreSQL; SQLite's writer is that lock.
    pub(crate) async fn lock(&mut self, number: i64) -> Result<(), StoreError> {
        self.begin_write().await?;
        if self.dialect() == Dialect::Postgres {
            self.run_rows("SELECT pg_advisory_xact_lock($1)::text AS locked", &[number.into()]).await?;
        }
        Ok(())
    }

    /// Tells all nodes, this one included, about the new configuration revision, if and when this commits.
    pub async fn notify_configuration(&mut self, revision: i64) -> Result<(), StoreError> {
        self.begin_write().await?;
        if self.dialect() == Dialect::Postgres {
            let vals = [Val::from(CHANNEL), Val::from(revision.to_string())];
            self.run_rows("SELECT pg_notify($1, $2)::text AS sent", &vals).await?;
        }
        self.announce = self.announce.max(Some(revision));
        Ok(())
    }

    /// Has idle workers of this node look for jobs as soon as this commits.
    pub(crate) fn wake_jobs(&mut self) {
        self.wake_jobs = true;
    }

    /// Marks a point to return to, for work that may fail without spoiling the rest.
    pub async fn savepoint(&mut self) -> Result<Savepoint, StoreError> {
        self.savepoints += 1;
        let name = format!("weir_{}", self.savepoints);
        self.script(&format!("SAVEPOINT {name}")).await?;
        Ok(Savepoint(name))
    }

    /// Undoes everything since the point, failures included.
    pub async fn rollback_to(&mut self, point: Savepoint) -> Result<(), StoreError> {
        self.script(&format!("ROLLBACK TO SAVEPOINT {0}; RELEASE SAVEPOINT {0}", point.0)).await?;
        self.failed = false;
        Ok(())
    }

    /// Keeps everything since the point.
    pub async fn release(&mut self, point: Savepoint) -> Result<(), StoreError> {
        self.script(&format!("RELEASE SAVEPOINT {}", point.0)).await
    }

    /// Makes the writes permanent. An error means that they may or may not be; `Ok` means that they are.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        if self.failed {
            self.rollback().await?;
            return Err(StoreError::Internal(anyhow::anyhow!("a failed transaction cannot be committed")));
        }
        if self.told != self.durability && matches!(self.state, State::Postgres(_)) {
            self.script("SET LOCAL synchronous_commit TO DEFAULT").await?;
        }
        match std::mem::replace(&mut self.state, State::Reading) {
            State::Reading => return Ok(()),
            State::Postgres(tx) => tx.commit().await?,
            State::Sqlite(tx) => {
                tx.commit().await?;
                if let (Backend::Sqlite(sqlite), Durability::Full) = (self.db.backend(), self.durability) {
                    sqlite.wal.wait().await?;
                }
            }
        }
        if let Some(revision) = self.announce {
            self.db.announce(revision);
        }
        if self.wake_jobs {
            self.db.wake_jobs();
        }
        Ok(())
    }

    /// Forgets the writes, and waits until the connection is free again.
    pub async fn rollback(mut self) -> Result<(), StoreError> {
        match std::mem::replace(&mut self.state, State::Reading) {
            State::Reading => Ok(()),
            State::Sqlite(tx) => Ok(tx.rollback().await?),
            State::Postgres(tx) => Ok(tx.rollback().await?),
        }
    }
}
