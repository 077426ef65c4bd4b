//! Browsers on their way to a provider: what belongs to a state, kept until the state comes back. It counts once, in the
//! browser session that it was made for, at the source that it was made for.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use weir_flow::sources::resume::Waiting;
use weir_identity::digest;
use weir_store::{StoreError, Tx};

/// What belongs to a state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Departure {
    /// Expected inside the signed statement.
    pub nonce: String,
    /// Shown when the code is redeemed.
    pub verifier: String,
    /// Where the answer goes.
    pub redirect_uri: String,
    /// When the browser was sent away.
    pub departed: DateTime<Utc>,
    /// Query of the page to go on with.
    pub query: String,
    /// Who was signed in: the sign-in connects them.
    pub user: Option<i64>,
    /// The plan that waits for this sign-in.
    pub waiting: Option<Waiting>,
}

/// Keeps what belongs to a state.
///
/// # Errors
/// Those of the store.
pub async fn keep(
    tx: &mut Tx,
    state: &str,
    session: &str,
    source: Uuid,
    departure: &Departure,
    expires: DateTime<Utc>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO source_login (state_digest, session_digest, source, data, expires) \
               VALUES ($1, $2, $3, $4, $5)";
    let vals =
        [digest(state).into(), session.into(), source.into(), json!(departure).to_string().into(), expires.into()];
    tx.write(sql, &vals).await?;
    Ok(())
}

/// Takes what belongs to a state; of many that bring it back one gets it, and only in time.
///
/// # Errors
/// Those of the store.
pub async fn take(
    tx: &mut Tx,
    now: DateTime<Utc>,
    state: &str,
    session: &str,
    source: Uuid,
) -> Result<Option<Departure>, StoreError> {
    if state.is_empty() || state.len() > 200 {
        return Ok(None);
    }
    let sql = "DELETE FROM source_login WHERE state_digest = $1 AND session_digest = $2 AND source = $3 \
               RETURNING data, expires";
    let rows = tx.write_returning(sql, &[digest(state).into(), session.into(), source.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let departure = serde_json::from_str(&row.text("data")?).ok();
    Ok(departure.filter(|_| row.time("expires").is_ok_and(|end| end > now)))
}
