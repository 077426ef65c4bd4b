//! One transaction of one request.

use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use crate::{
    Db, Dialect, Row, StoreError, Val,
    db::{Backend, Work},
    lanes::Lease,
    postgres::{CHANNEL, Postgres},
    val,
};

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
    /// The next write will be the last.
    last_write: bool,
}

#[derive(Debug)]
enum State {
    Reading,
    Sqlite(Lease<sqlx::Sqlite>),
    Postgres(Lease<sqlx::Postgres>),
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
            last_write: false,
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
        self.told = self.durability;
        self.state = self.beginning().await?;
        Ok(())
    }

    fn beginning(&self) -> Work<'_, State> {
        match self.db.backend() {
            Backend::Sqlite(sqlite) => Box::pin(async move {
                let mut lease = sqlite.writer.lease().await?;
                lease.set_open(true);
                sqlx::query("BEGIN IMMEDIATE").execute(lease.connection()?).await?;
                Ok(State::Sqlite(lease))
            }),
            Backend::Postgres(postgres) => Box::pin(begin_postgres(postgres, self.durability)),
        }
    }

    /// Promises that one more statement writes, and that the commit follows. If nothing was written before, the statement
    /// is made permanent by itself, which saves opening a transaction and closing it; the commit then finds nothing left
    /// to do.
    pub fn last_write_follows(&mut self) {
        self.last_write = true;
    }

    /// Whether the next write stands alone.
    fn stands_alone(&mut self) -> bool {
        std::mem::take(&mut self.last_write) && !self.is_writing() && !self.wake_jobs && self.announce.is_none()
    }

    /// Runs a reading statement.
    pub fn read<'a>(&'a mut self, sql: &'a str, vals: &'a [Val]) -> Work<'a, Vec<Row>> {
        if self.is_writing() { Box::pin(self.run_rows(sql, vals)) } else { self.db.read(sql, vals) }
    }

    /// Runs a reading statement that finds at most one row of interest.
    pub fn read_one<'a>(&'a mut self, sql: &'a str, vals: &'a [Val]) -> Work<'a, Option<Row>> {
        if !self.is_writing() {
            return self.db.read_one(sql, vals);
        }
        Box::pin(async move { Ok(self.run_rows(sql, vals).await?.into_iter().next()) })
    }

    /// Runs a writing statement; returns the number of rows it touched.
    pub fn write<'a>(&'a mut self, sql: &'a str, vals: &'a [Val]) -> Work<'a, u64> {
        Box::pin(async move {
            if self.stands_alone() {
                self.check(vals)?;
                return write_alone(&self.db, self.durability, sql, vals).await;
            }
            self.begin_write().await?;
            let done = self.run(sql, vals).await;
            self.failed |= done.is_err();
            done
        })
    }

    /// Runs a writing statement with a RETURNING clause.
    pub fn write_returning<'a>(&'a mut self, sql: &'a str, vals: &'a [Val]) -> Work<'a, Vec<Row>> {
        Box::pin(async move {
            self.begin_write().await?;
            self.run_rows(sql, vals).await
        })
    }

    async fn run(&mut self, sql: &str, vals: &[Val]) -> Result<u64, StoreError> {
        self.check(vals)?;
        match (&mut self.state, self.db.backend()) {
            (State::Sqlite(lease), _) => {
                let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals);
                Ok(query.execute(lease.connection()?).await?.rows_affected())
            }
            (State::Postgres(lease), Backend::Postgres(postgres)) => {
                let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals).persistent(postgres.persistent);
                Ok(query.execute(lease.connection()?).await?.rows_affected())
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
            (State::Sqlite(lease), _) => {
                let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals);
                Ok(query.fetch_all(lease.connection()?).await?.into_iter().map(Row::from).collect())
            }
            (State::Postgres(lease), Backend::Postgres(postgres)) => {
                let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals).persistent(postgres.persistent);
                Ok(query.fetch_all(lease.connection()?).await?.into_iter().map(Row::from).collect())
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
            State::Sqlite(lease) => sql.execute(lease.connection()?).await.map(|_| ()),
            State::Postgres(lease) => sql.execute(lease.connection()?).await.map(|_| ()),
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
    pub fn commit(self) -> Work<'static, ()> {
        Box::pin(self.end())
    }

    async fn end(mut self) -> Result<(), StoreError> {
        if self.failed {
            self.undo().await;
            return Err(StoreError::Internal(anyhow::anyhow!("a failed transaction cannot be committed")));
        }
        if self.told != self.durability && matches!(self.state, State::Postgres(_)) {
            self.script("SET LOCAL synchronous_commit TO DEFAULT").await?;
        }
        match std::mem::replace(&mut self.state, State::Reading) {
            State::Reading => return Ok(()),
            State::Postgres(mut lease) => {
                sqlx::raw_sql("COMMIT").execute(lease.connection()?).await?;
                lease.set_open(false);
                lease.give_back();
            }
            State::Sqlite(mut lease) => {
                sqlx::query("COMMIT").execute(lease.connection()?).await?;
                lease.set_open(false);
                lease.give_back();
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
    pub fn rollback(mut self) -> Work<'static, ()> {
        Box::pin(async move {
            self.undo().await;
            Ok(())
        })
    }

    async fn undo(&mut self) {
        undo(std::mem::replace(&mut self.state, State::Reading)).await;
    }
}

impl Drop for Tx {
    /// What was begun and not committed is undone, by a task of its own.
    fn drop(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Reading);
        if matches!(state, State::Reading) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(undo(state));
        }
    }
}

/// One statement, permanent when this returns.
async fn write_alone(db: &Db, durability: Durability, sql: &str, vals: &[Val]) -> Result<u64, StoreError> {
    match db.backend() {
        Backend::Sqlite(sqlite) => {
            let mut lease = sqlite.writer.lease().await?;
            let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals);
            let rows = query.execute(lease.connection()?).await?.rows_affected();
            lease.give_back();
            if rows > 0 && durability == Durability::Full {
                sqlite.wal.wait().await?;
            }
            Ok(rows)
        }
        Backend::Postgres(postgres) => {
            // The setting ends with the transaction, and this statement is all of it.
            let own;
            let sql = match durability {
                Durability::Full => sql,
                Durability::Relaxed => {
                    own = format!("{sql} RETURNING set_config('synchronous_commit', 'off', TRUE)");
                    &own
                }
            };
            let mut lease = postgres.lanes.lease().await?;
            let query = val::bind(sqlx::query(AssertSqlSafe(sql)), vals).persistent(postgres.persistent);
            let rows = query.execute(lease.connection()?).await?.rows_affected();
            lease.give_back();
            Ok(rows)
        }
    }
}

/// Rolls back. A connection that does not manage that, because the database already did or is gone, is closed, which
/// rolls back too.
async fn undo(state: State) {
    match state {
        State::Reading => {}
        State::Sqlite(mut lease) => {
            let Ok(connection) = lease.connection() else { return };
            if sqlx::query("ROLLBACK").execute(connection).await.is_ok() {
                lease.set_open(false);
                lease.give_back();
            }
        }
        State::Postgres(mut lease) => {
            let Ok(connection) = lease.connection() else { return };
            if sqlx::raw_sql("ROLLBACK").execute(connection).await.is_ok() {
                lease.set_open(false);
                lease.give_back();
            }
        }
    }
}

async fn begin_postgres(postgres: &Postgres, durability: Durability) -> Result<State, StoreError> {
    let mut asked = 0;
    loop {
        match try_to_begin(postgres, durability).await {
            Ok(lease) => return Ok(State::Postgres(lease)),
            Err(error) if postgres.may_ask_again(&error, &mut asked) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn try_to_begin(postgres: &Postgres, durability: Durability) -> Result<Lease<sqlx::Postgres>, sqlx::Error> {
    let begin = match durability {
        Durability::Full => "BEGIN",
        Durability::Relaxed => "BEGIN; SET LOCAL synchronous_commit = off",
    };
    let mut lease = postgres.lanes.lease().await?;
    lease.set_open(true);
    sqlx::raw_sql(begin).execute(lease.connection()?).await?;
    Ok(lease)
}
