//! Opening the database for a command that is not the server: beside a running one, and never making a new database.

use anyhow::{Result, bail};
use weir_store::{DatabaseUrl, Db, DbSettings};

use crate::config::Config;

/// The migrated database of these settings.
pub async fn open(config: &Config) -> Result<Db> {
    let url = config.database()?;
    if let DatabaseUrl::Sqlite(path) = &url
        && !path.exists()
    {
        bail!("there is no database at {}; start the server or run `weir migrate` first", path.display());
    }
    let db = Db::open(&DbSettings::new(url)).await?;
    if !db.migration_state().await?.pending.is_empty() {
        bail!("the database is not up to date; run `weir migrate` first");
    }
    Ok(db)
}

/// Brings the database up to date, making it when there is none; the names of what was applied.
pub async fn migrate(config: &Config) -> Result<Vec<String>> {
    let url = config.database()?;
    let is_there = !matches!(&url, DatabaseUrl::Sqlite(path) if !path.exists());
    if is_there {
        let db = Db::open(&DbSettings::new(url.clone())).await?;
        let pending = db.migration_state().await?.pending;
        db.close().await;
        if pending.is_empty() {
            return Ok(pending);
        }
    }
    // A server of an older version may be running on an SQLite file; its tables must not change under it.
    let db = Db::open(&DbSettings { exclusive: true, ..DbSettings::new(url) }).await?;
    let applied = db.migrate().await?;
    db.close().await;
    Ok(applied)
}
