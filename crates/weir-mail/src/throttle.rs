//! How often a recipient may be sent something, over all sessions and nodes.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use weir_store::{StoreError, Tx};

/// A limit for one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Limit<'a> {
    /// What is counted; other purposes count apart.
    pub purpose: &'a str,
    /// The address, in any case.
    pub recipient: &'a str,
    /// At most this often …
    pub most: i64,
    /// … within this span.
    pub window: TimeDelta,
}

/// Counts a send. `Err` with the time to wait when the recipient had enough; that is not counted. One row is locked
/// meanwhile, so parallel requests count one after the other. Either result costs the same.
///
/// # Errors
/// Those of the store.
pub async fn count(tx: &mut Tx, now: DateTime<Utc>, limit: Limit<'_>) -> Result<Result<(), TimeDelta>, StoreError> {
    let window = limit.window.max(TimeDelta::zero());
    let digest = Sha256::digest(format!("{}\0{}", limit.purpose, limit.recipient.trim().to_lowercase()));
    let key = digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let sql = "INSERT INTO mail_throttle (recipient, stamps, expires) VALUES ($1, '[]', $2) \
               ON CONFLICT (recipient) DO UPDATE SET expires = excluded.expires RETURNING stamps";
    let rows = tx.write_returning(sql, &[(&key).into(), (now + window).into()]).await?;
    let kept = rows.first().map(|row| row.text("stamps")).transpose()?.unwrap_or_default();
    let begin = now - window;
    let mut stamps: Vec<DateTime<Utc>> = serde_json::from_str(&kept).unwrap_or_default();
    // A clock that went back must not open the limit: what lies ahead counts as now.
    stamps.retain(|at| *at > begin);
    let answer = if i64::try_from(stamps.len()).unwrap_or(i64::MAX) < limit.most {
        stamps.push(now);
        Ok(())
    } else {
        Err(stamps.iter().min().map_or(window, |first| *first - begin))
    };
    let sql = "UPDATE mail_throttle SET stamps = $1 WHERE recipient = $2";
    tx.write(sql, &[json!(stamps).to_string().into(), key.into()]).await?;
    Ok(answer)
}
