//! A fresh, migrated database for a test, on whichever backend the environment selects.

use std::{
    ops::Deref,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{DatabaseUrl, Db, DbSettings, StoreError};

/// The environment variable with the address of a PostgreSQL server whose user may create databases.
pub const POSTGRES_URL: &str = "WEIR_TEST_POSTGRES_URL";

/// A database that goes away with this value. Dereferences to [`Db`].
#[derive(Debug)]
pub struct TestDb {
    db: Db,
    settings: DbSettings,
    created: Option<Created>,
}

#[derive(Debug)]
struct Created {
    server: String,
    name: String,
}

impl Deref for TestDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

impl TestDb {
    /// A handle that may be cloned and moved.
    #[must_use]
    pub fn db(&self) -> Db {
        self.db.clone()
    }

    /// How the database was opened; a second node opens the same on PostgreSQL.
    #[must_use]
    pub fn settings(&self) -> &DbSettings {
        &self.settings
    }
}

/// A migrated database: a temporary SQLite file, or a database of its own on the server of [`POSTGRES_URL`].
pub async fn test_db() -> TestDb {
    match empty_db().await {
        Ok(db) => match db.migrate().await {
            Ok(_) => db,
            Err(error) => fail("migrate the test database", &error),
        },
        Err(error) => fail("open the test database", &error),
    }
}

/// The same without migrations.
pub async fn empty_db() -> Result<TestDb, StoreError> {
    let (url, created) = match std::env::var(POSTGRES_URL) {
        Ok(server) if !server.is_empty() => {
            let created = create_database(server).await?;
            (DatabaseUrl::Postgres(in_database(&created.server, &created.name)), Some(created))
        }
        _ => (DatabaseUrl::Temporary, None),
    };
    let settings = DbSettings { connections: 8, ..DbSettings::new(url) };
    Ok(TestDb { db: Db::open(&settings).await?, settings, created })
}

async fn create_database(server: String) -> Result<Created, StoreError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The start time of the process keeps apart what an earlier run with this process id has left behind.
    let started = std::fs::metadata("/proc/self").and_then(|meta| meta.modified()).ok();
    let started = started.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("weir_test_{}_{}_{number}", std::process::id(), started.as_micros());
    administer(&server, &format!("CREATE DATABASE {name}")).await?;
    Ok(Created { server, name })
}

async fn administer(server: &str, statement: &str) -> Result<(), StoreError> {
    use sqlx::Connection as _;
    let mut connection = sqlx::PgConnection::connect(server).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// The server's address with another database name.
fn in_database(server: &str, name: &str) -> String {
    let (address, query) = server.split_once('?').map_or((server, ""), |(address, query)| (address, query));
    let host = address.find("://").map_or(0, |at| at + 3);
    let end = address.get(host..).and_then(|rest| rest.find('/')).map_or(address.len(), |at| host + at);
    let base = address.get(..end).unwrap_or(address);
    if query.is_empty() { format!("{base}/{name}") } else { format!("{base}/{name}?{query}") }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let Some(created) = self.created.take() else { return };
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", created.name);
        // A thread with its own runtime, because dropping cannot wait in the test's.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(administer(&created.server, &statement)))
        })
        .join();
        if !matches!(dropped, Ok(Ok(Ok(())))) {
            eprintln!("the test database could not be dropped");
        }
    }
}

#[expect(clippy::panic, reason = "a test without its database has failed")]
fn fail(what: &str, error: &StoreError) -> ! {
    panic!("cannot {what}: {error}: {error:?}")
}
