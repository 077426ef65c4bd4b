//! The PostgreSQL side: the pool and the listener for other nodes' configuration changes.

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{DbSettings, StoreError, lanes::Lanes};

/// NOTIFY channel of configuration changes; the payload is the revision.
pub(crate) const CHANNEL: &str = "weir_configuration";
/// A connection that has rested for longer is asked whether it still works.
const TRUST: Duration = Duration::from_secs(1);

pub(crate) struct Postgres {
    pub(crate) lanes: Lanes<sqlx::Postgres>,
    pub(crate) persistent: bool,
    listener: JoinHandle<()>,
}

impl Postgres {
    pub(crate) async fn open(
        url: &str,
        settings: &DbSettings,
        changes: watch::Sender<i64>,
    ) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Refused("the PostgreSQL address cannot be read".to_owned()))?
            .application_name("weir")
            // Statements carry personal data.
            .disable_statement_logging();
        let options = if settings.statement_cache {
            options.statement_cache_capacity(256).options([
                ("statement_timeout", settings.statement_timeout.as_millis().to_string()),
                ("lock_timeout", settings.lock_timeout.as_millis().to_string()),
                ("idle_in_transaction_session_timeout", "30000".to_owned()),
            ])
        } else {
            // A proxy that pools transactions refuses start-up options and mixes up named statements.
            options.statement_cache_capacity(0)
        };
        let pool = PgPoolOptions::new()
            .max_connections(settings.connections.max(1))
            .acquire_timeout(settings.acquire_timeout)
            .idle_timeout(Duration::from_secs(600))
            .max_lifetime(Duration::from_secs(1800))
            // Asking a connection that has just worked would cost every statement a round trip.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for < TRUST {
                        return Ok(true);
                    }
                    Ok(matches!(timeout(Duration::from_secs(2), connection.ping()).await, Ok(Ok(()))))
                })
            })
            .connect_with(options.clone())
            .await
            .map_err(open_error)?;
        let listener = tokio::spawn(listen(options, changes));
        let lanes = Lanes::new(pool, settings.acquire_timeout, Some(TRUST));
        Ok(Self { lanes, persistent: settings.statement_cache, listener })
    }

    /// After a restart of the server the pool still holds dead connections. What has not changed anything yet may ask
    /// again until one lives; dead ones leave the pool as they are found.
    pub(crate) fn may_ask_again(&self, error: &sqlx::Error, asked: &mut u32) -> bool {
        if !is_lost_connection(error) {
            return false;
        }
        self.lanes.forget_resting();
        *asked += 1;
        *asked <= self.lanes.most()
    }

    pub(crate) async fn close(&self) {
        self.listener.abort();
        self.lanes.close().await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// A wrong password or database name will not mend itself.
fn open_error(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(cause)
            if cause.code().is_some_and(|code| code.starts_with("28") || code.starts_with("3D")) =>
        {
            StoreError::Refused(format!("PostgreSQL refuses the connection: {}", cause.message()))
        }
        _ => error.into(),
    }
}

fn is_lost_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(cause) => cause.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

/// Listens for ever. Each reconnection counts as a change, because one may have been missed.
async fn listen(options: PgConnectOptions, changes: watch::Sender<i64>) {
    let mut pause = Duration::from_millis(100);
    loop {
        match listen_once(&options, &changes, &mut pause).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "listening for configuration changes failed; trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

async fn listen_once(
    options: &PgConnectOptions,
    changes: &watch::Sender<i64>,
    pause: &mut Duration,
) -> Result<(), sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    *pause = Duration::from_millis(100);
    changes.send_modify(|_| {});
    loop {
        match timeout(Duration::from_secs(20), listener.try_recv()).await {
            Ok(Ok(Some(notice))) => {
                let revision: i64 = notice.payload().parse().unwrap_or_default();
                changes.send_modify(|latest| *latest = revision.max(*latest));
            }
            Ok(Ok(None)) => return Err(sqlx::Error::PoolTimedOut),
            Ok(Err(error)) => return Err(error),
            // A connection that died in silence is found by asking.
            Err(_) => {
                let ping = sqlx::query("SELECT 1").execute(&mut listener);
                timeout(Duration::from_secs(5), ping).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
            }
        }
    }
}
