//! Changes of sessions.

use super::SessionRow;
use crate::{Account, accounts, digest};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use uuid::Uuid;
use weir_core::{Map, Random};
use weir_store::{StoreError, Tx, Val};

/// Longest user agent kept, in characters.
const AGENT_CHARS: usize = 512;

fn agent(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(AGENT_CHARS).collect()
}

/// A session nobody signed in to.
#[derive(Clone, Debug)]
pub struct NewSession<'a> {
    /// Key for the cookie, from [`new_key`](super::new_key).
    pub key: &'a str,
    /// What it begins with.
    pub data: Map,
    /// The plan as text.
    pub flow: Option<String>,
    /// When it ends.
    pub expires: DateTime<Utc>,
    /// Client address.
    pub ip: &'a str,
    /// User agent.
    pub user_agent: &'a str,
}

/// Begins a session.
pub async fn create(
    tx: &mut Tx,
    random: &dyn Random,
    now: DateTime<Utc>,
    new: NewSession<'_>,
) -> Result<SessionRow, StoreError> {
    let row = SessionRow {
        digest: digest(new.key),
        uuid: random.uuid(),
        user_id: None,
        security_epoch: 0,
        data: new.data,
        flow: new.flow,
        flow_version: 0,
        expires: new.expires,
        last_ip: new.ip.to_owned(),
        last_user_agent: agent(new.user_agent),
        last_used: now,
        created: now,
    };
    insert(tx, &row).await?;
    Ok(row)
}

async fn insert(tx: &mut Tx, row: &SessionRow) -> Result<(), StoreError> {
    let vals: [Val; 12] = [
        (&row.digest).into(),
        row.uuid.into(),
        row.user_id.into(),
        row.security_epoch.into(),
        Value::Object(row.data.clone()).into(),
        row.flow.clone().into(),
        row.flow_version.into(),
        row.expires.into(),
        (&row.last_ip).into(),
        (&row.last_user_agent).into(),
        row.last_used.into(),
        row.created.into(),
    ];
    let sql = "INSERT INTO identity_session (key_digest, uuid, \"user\", security_epoch, data, flow, flow_version, \
               expires, last_ip, last_user_agent, last_used, created) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    tx.write(sql, &vals).await?;
    Ok(())
}

/// Replaces the plan (and, when given, the data) if nobody did since it was read. The caller chooses the durability.
pub async fn save_flow(
    tx: &mut Tx,
    digest: &str,
    expected_version: i64,
    flow: Option<&str>,
    data: Option<&Map>,
) -> Result<bool, StoreError> {
    let data = data.map(|map| Value::Object(map.clone()).to_string());
    let sql = "UPDATE identity_session SET flow = $1, data = COALESCE($2, data), flow_version = flow_version + 1 \
               WHERE key_digest = $3 AND flow_version = $4";
    let vals = [Val::Text(flow.map(str::to_owned)), data.into(), digest.into(), expected_version.into()];
    Ok(tx.write(sql, &vals).await? > 0)
}

/// Replaces the data; false when the session is gone.
pub async fn save_data(tx: &mut Tx, digest: &str, data: &Map) -> Result<bool, StoreError> {
    let sql = "UPDATE identity_session SET data = $1 WHERE key_digest = $2";
    Ok(tx.write(sql, &[Value::Object(data.clone()).into(), digest.into()]).await? > 0)
}

/// A log-in.
#[derive(Clone, Debug)]
pub struct LogIn<'a> {
    /// Digest of the session so far, when there is one; it ends here, what it holds goes on.
    pub old: Option<&'a str>,
    /// Key for the cookie, from [`new_key`](super::new_key).
    pub key: &'a str,
    /// The user.
    pub user_id: i64,
    /// The epoch in which the user proved who they are; none when that happens in this transaction.
    pub epoch: Option<i64>,
    /// When the session ends.
    pub expires: DateTime<Utc>,
    /// Client address.
    pub ip: &'a str,
    /// User agent.
    pub user_agent: &'a str,
}

/// Signs a user in: a new key, a new identifier, the old plan and data. None when the user is gone, inactive or of
/// another epoch, or when the old session has ended meanwhile. Notes the time of the log-in on the user. To be called
/// before other writes to the session, so that everybody locks the user first and the session second.
pub async fn log_in(
    tx: &mut Tx,
    random: &dyn Random,
    now: DateTime<Utc>,
    log_in: LogIn<'_>,
) -> Result<Option<(SessionRow, Account)>, StoreError> {
    let Some(mut account) = accounts::lock(tx, log_in.user_id).await? else { return Ok(None) };
    if !account.is_active || log_in.epoch.is_some_and(|epoch| epoch != account.security_epoch) {
        return Ok(None);
    }
    let mut row = SessionRow {
        digest: digest(log_in.key),
        uuid: random.uuid(),
        user_id: Some(account.id),
        security_epoch: account.security_epoch,
        data: Map::new(),
        flow: None,
        flow_version: 0,
        expires: log_in.expires,
        last_ip: log_in.ip.to_owned(),
        last_user_agent: agent(log_in.user_agent),
        last_used: now,
        created: now,
    };
    if let Some(old) = log_in.old {
        // The old row goes first: of two log-ins from one session, the second finds nothing to go on from.
        let sql =
            "DELETE FROM identity_session WHERE key_digest = $1 AND expires > $2 RETURNING data, flow, flow_version";
        let rows = tx.write_returning(sql, &[old.into(), now.into()]).await?;
        let Some(before) = rows.first() else { return Ok(None) };
        row.data = serde_json::from_str(&before.text("data")?).unwrap_or_default();
        row.flow = before.opt_text("flow")?;
        row.flow_version = before.int("flow_version")? + 1;
    }
    insert(tx, &row).await?;
    accounts::touch_login(tx, account.id, now).await?;
    account.last_login = Some(now);
    Ok(Some((row, account)))
}

/// Ends a session for good; false when it had ended already.
pub async fn log_out(tx: &mut Tx, digest: &str) -> Result<bool, StoreError> {
    Ok(tx.write("DELETE FROM identity_session WHERE key_digest = $1", &[digest.into()]).await? > 0)
}

/// Ends the session with this public identifier.
pub async fn delete(tx: &mut Tx, uuid: Uuid) -> Result<bool, StoreError> {
    Ok(tx.write("DELETE FROM identity_session WHERE uuid = $1", &[uuid.into()]).await? > 0)
}

/// Ends all sessions of a user, but for the one with this digest.
pub async fn delete_of_user(tx: &mut Tx, user_id: i64, except: Option<&str>) -> Result<u64, StoreError> {
    let sql = "DELETE FROM identity_session WHERE \"user\" = $1 AND key_digest <> $2";
    // No digest is empty, so the empty text spares nothing.
    tx.write(sql, &[user_id.into(), except.unwrap_or_default().into()]).await
}

/// Housekeeping: removes up to this many sessions that have ended. Returns how many.
pub async fn delete_expired(tx: &mut Tx, now: DateTime<Utc>, limit: i64) -> Result<u64, StoreError> {
    let sql = "DELETE FROM identity_session WHERE key_digest IN \
               (SELECT key_digest FROM identity_session WHERE expires <= $1 LIMIT $2)";
    tx.write(sql, &[now.into(), limit.into()]).await
}

/// Notes the use of a session, at most once a minute unless the client has changed. Returns whether it wrote.
pub async fn touch(
    tx: &mut Tx,
    session: &SessionRow,
    ip: &str,
    user_agent: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let user_agent = agent(user_agent);
    let same = session.last_ip == ip && session.last_user_agent == user_agent;
    if same && now - session.last_used < TimeDelta::minutes(1) {
        return Ok(false);
    }
    let sql = "UPDATE identity_session SET last_ip = $1, last_user_agent = $2, last_used = $3 WHERE key_digest = $4";
    tx.write(sql, &[ip.into(), user_agent.into(), now.into(), (&session.digest).into()]).await?;
    Ok(true)
}
