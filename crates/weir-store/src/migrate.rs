//! Forward-only schema migrations, locked by checksum.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::{Db, Dialect, StoreError, Tx, Val, db::Backend};

/// One embedded migration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// All migrations in order. One line for each file; a released one never changes.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "documents", sql: include_str!("../migrations/0001_documents.sql") },
    Migration { version: 2, name: "identity", sql: include_str!("../migrations/0002_identity.sql") },
    Migration { version: 3, name: "tasks", sql: include_str!("../migrations/0003_tasks.sql") },
    Migration { version: 4, name: "user_search", sql: include_str!("../migrations/0004_user_search.sql") },
    Migration { version: 5, name: "devices", sql: include_str!("../migrations/0005_devices.sql") },
    Migration { version: 6, name: "mail", sql: include_str!("../migrations/0006_mail.sql") },
    Migration { version: 7, name: "webauthn", sql: include_str!("../migrations/0007_webauthn.sql") },
    Migration { version: 8, name: "captcha", sql: include_str!("../migrations/0008_captcha.sql") },
    Migration { version: 9, name: "endpoints", sql: include_str!("../migrations/0009_endpoints.sql") },
    Migration { version: 10, name: "sources", sql: include_str!("../migrations/0010_sources.sql") },
    Migration { version: 11, name: "passwords", sql: include_str!("../migrations/0011_passwords.sql") },
    Migration { version: 12, name: "events", sql: include_str!("../migrations/0012_events.sql") },
    Migration { version: 13, name: "lockdowns", sql: include_str!("../migrations/0013_lockdowns.sql") },
    Migration { version: 14, name: "applications", sql: include_str!("../migrations/0014_applications.sql") },
    Migration { version: 15, name: "sync", sql: include_str!("../migrations/0015_sync.sql") },
    Migration { version: 16, name: "mapping_names", sql: include_str!("../migrations/0016_mapping_names.sql") },
    Migration { version: 17, name: "sync_sought", sql: include_str!("../migrations/0017_sync_sought.sql") },
    Migration { version: 18, name: "event_search", sql: include_str!("../migrations/0018_event_search.sql") },
    Migration { version: 19, name: "user_search", sql: include_str!("../migrations/0019_user_search.sql") },
    Migration { version: 20, name: "sync_connections", sql: include_str!("../migrations/0020_sync_connections.sql") },
    Migration { version: 21, name: "secure_enclaves", sql: include_str!("../migrations/0021_secure_enclaves.sql") },
];

/// What has been applied and what is waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationState {
    /// Names like `0001_documents`.
    pub applied: Vec<String>,
    /// Known to this binary, not applied yet.
    pub pending: Vec<String>,
}

const LOCK: i64 = 0x7765_6972_0000;
const FIND_TABLE: (&str, &str) = (
    "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'schema_migration'",
    "SELECT 1 AS found WHERE to_regclass('schema_migration') IS NOT NULL",
);

pub(crate) async fn run(db: &Db, migrations: &[Migration]) -> Result<Vec<String>, StoreError> {
    let mut done = Vec::new();
    if state(db, migrations).await?.pending.is_empty() {
        return Ok(done);
    }
    for migration in migrations {
        if apply(db, migrations, migration).await? {
            tracing::info!(migration = %file_name(migration), "schema migrated");
            done.push(file_name(migration));
        }
    }
    Ok(done)
}

pub(crate) async fn state(db: &Db, migrations: &[Migration]) -> Result<MigrationState, StoreError> {
    let mut tx = db.tx();
    let applied = verify(&mut tx, migrations).await?;
    let mut state = MigrationState::default();
    for migration in migrations {
        let list = if applied.contains_key(&migration.version) { &mut state.applied } else { &mut state.pending };
        list.push(file_name(migration));
    }
    Ok(state)
}

/// Applies one migration unless another process was faster.
async fn apply(db: &Db, migrations: &[Migration], migration: &Migration) -> Result<bool, StoreError> {
    let mut tx = db.tx();
    if let Backend::Postgres(_) = db.backend() {
        // Building an index over a large table, and waiting for a node that does, takes as long as it takes.
        tx.script("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await?;
    }
    tx.lock(LOCK).await?;
    tx.script(
        "CREATE TABLE IF NOT EXISTS schema_migration (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, \
         checksum TEXT NOT NULL)",
    )
    .await?;
    if verify(&mut tx, migrations).await?.contains_key(&migration.version) {
        tx.rollback().await?;
        return Ok(false);
    }
    let failed = |error: StoreError| match error {
        StoreError::Internal(cause) => {
            StoreError::Internal(cause.context(format!("migration {}", file_name(migration))))
        }
        other => other,
    };
    tx.script(&db.dialect().render(migration.sql)).await.map_err(failed)?;
    let row = [Val::from(migration.version), Val::from(migration.name), Val::from(checksum(migration))];
    tx.write("INSERT INTO schema_migration (version, name, checksum) VALUES ($1, $2, $3)", &row).await?;
    tx.commit().await?;
    Ok(true)
}

/// Reads what was applied; refuses a history this binary does not know.
async fn verify(tx: &mut Tx, migrations: &[Migration]) -> Result<BTreeMap<i64, String>, StoreError> {
    let find = if tx.dialect() == Dialect::Sqlite { FIND_TABLE.0 } else { FIND_TABLE.1 };
    if tx.read_one(find, &[]).await?.is_none() {
        return Ok(BTreeMap::new());
    }
    let mut applied = BTreeMap::new();
    for row in tx.read("SELECT version, name, checksum FROM schema_migration ORDER BY version", &[]).await? {
        let (version, name) = (row.int("version")?, row.text("name")?);
        let Some(known) = migrations.iter().find(|migration| migration.version == version) else {
            return Err(StoreError::Refused(format!(
                "the database is newer than this program: it has migration {version:04}_{name}; start the newer version"
            )));
        };
        if checksum(known) != row.text("checksum")? {
            return Err(StoreError::Refused(format!(
                "migration {} was changed after it had been applied; start the version that applied it",
                file_name(known)
            )));
        }
        applied.insert(version, name);
    }
    Ok(applied)
}

fn file_name(migration: &Migration) -> String {
    format!("{:04}_{}", migration.version, migration.name)
}

/// Of the text before placeholders are filled, so that it is the same on both databases. Line ends do not count.
fn checksum(migration: &Migration) -> String {
    let digest = Sha256::digest(migration.sql.replace('\r', "").as_bytes());
    digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
