//! Keys of links that lead into a flow: each carries a plan, belongs to one user and one flow.

use super::Intent;
use crate::{Reader, accounts, digest};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use weir_core::Random;
use weir_store::{StoreError, Tx, Val};

/// A flow token to make.
#[derive(Clone, Debug)]
pub struct NewFlowToken {
    /// Unique name; an existing token of this name keeps its key and gets the new plan.
    pub identifier: String,
    /// The user it is for.
    pub user_id: i64,
    /// The user's epoch when whoever makes it looked; none when that is in this transaction.
    pub epoch: Option<i64>,
    /// The flow it leads into.
    pub flow_id: Uuid,
    /// The plan as text.
    pub plan: String,
    /// When it stops working.
    pub expires: DateTime<Utc>,
    /// Its first use is its last.
    pub revoke_on_execution: bool,
}

/// A flow token found by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowToken {
    /// Primary key.
    pub id: Uuid,
    /// Unique name.
    pub identifier: String,
    /// The user it is for.
    pub user_id: i64,
    /// The flow it leads into.
    pub flow_id: Uuid,
    /// The plan as text.
    pub plan: String,
    /// When it stops working.
    pub expires: Option<DateTime<Utc>>,
    /// It was used up by being taken.
    pub revoke_on_execution: bool,
}

/// Makes a flow token or renews the one of this name; none when the user is gone or was locked down since. The user may
/// be inactive: links that activate an account are of this kind, and whatever was minted before a lockdown dies with the
/// epoch.
pub async fn mint_flow_token(
    tx: &mut Tx,
    random: &dyn Random,
    now: DateTime<Utc>,
    new: &NewFlowToken,
) -> Result<Option<String>, StoreError> {
    let account = accounts::lock(tx, new.user_id).await?;
    let same = |a: &crate::Account| new.epoch.is_none_or(|epoch| epoch == a.security_epoch);
    let Some(account) = account.filter(same) else { return Ok(None) };
    let fresh = random.text(60);
    let vals: [Val; 10] = [
        random.uuid().into(),
        (&new.identifier).into(),
        digest(&fresh).into(),
        fresh.into(),
        account.id.into(),
        new.expires.into(),
        account.security_epoch.into(),
        new.flow_id.into(),
        (&new.plan).into(),
        new.revoke_on_execution.into(),
    ];
    // A token of that name without a flow, or of somebody else, is not ours to take over. One of an older epoch is
    // replaced with its key: that key may be in the wrong hands.
    let sql = "INSERT INTO identity_token (id, identifier, key_digest, key, \"user\", intent, expiring, expires, \
               security_epoch, flow_id, plan, revoke_on_execution, created) \
               VALUES ($1, $2, $3, $4, $5, $11, TRUE, $6, $7, $8, $9, $10, $12) \
               ON CONFLICT (identifier) DO UPDATE SET expires = excluded.expires, plan = excluded.plan, \
               flow_id = excluded.flow_id, revoke_on_execution = excluded.revoke_on_execution, \
               key = CASE WHEN identity_token.security_epoch = excluded.security_epoch \
               THEN identity_token.key ELSE excluded.key END, \
               key_digest = CASE WHEN identity_token.security_epoch = excluded.security_epoch \
               THEN identity_token.key_digest ELSE excluded.key_digest END, \
               security_epoch = excluded.security_epoch \
               WHERE identity_token.flow_id IS NOT NULL AND identity_token.\"user\" = excluded.\"user\" RETURNING key";
    let mut all = vals.to_vec();
    all.push(Intent::Verification.as_str().into());
    all.push(now.into());
    let rows = tx.write_returning(sql, &all).await?;
    match rows.first() {
        Some(row) => row.text("key").map(Some),
        None => Err(StoreError::Conflict { constraint: "identity_token_identifier_key".to_owned() }),
    }
}

/// The flow token with this key, when it is alive and of its user's present epoch. A token for one use is deleted by
/// this very step: of two callers one gets it.
pub async fn take_flow_token(tx: &mut Tx, key: &str, now: DateTime<Utc>) -> Result<Option<FlowToken>, StoreError> {
    if key.is_empty() || key.len() > 1024 {
        return Ok(None);
    }
    let sql = "SELECT t.id, t.identifier, t.\"user\", t.flow_id, t.plan, t.expires, t.revoke_on_execution \
               FROM identity_token t JOIN identity_user u ON u.id = t.\"user\" AND u.security_epoch = t.security_epoch \
               WHERE t.key_digest = $1 AND t.flow_id IS NOT NULL AND (t.expiring = FALSE OR t.expires > $2)";
    let Some(row) = tx.read_one(sql, &[digest(key).into(), now.into()]).await? else { return Ok(None) };
    let token = FlowToken {
        id: row.uuid("id")?,
        identifier: row.text("identifier")?,
        user_id: row.int("user")?,
        flow_id: row.uuid("flow_id")?,
        plan: row.opt_text("plan")?.unwrap_or_default(),
        expires: row.opt_time("expires")?,
        revoke_on_execution: row.bool("revoke_on_execution")?,
    };
    if token.revoke_on_execution && !revoke_flow_token(tx, token.id).await? {
        return Ok(None);
    }
    Ok(Some(token))
}

/// Deletes a flow token; false when somebody else was first. Stages that consume their link themselves call this
/// before they act on it.
pub async fn revoke_flow_token(tx: &mut Tx, id: Uuid) -> Result<bool, StoreError> {
    Ok(tx.write("DELETE FROM identity_token WHERE id = $1 AND flow_id IS NOT NULL", &[id.into()]).await? > 0)
}

const ALIVE: &str = "flow_id IS NOT NULL AND (expiring = FALSE OR expires > $2) AND security_epoch = \
    (SELECT u.security_epoch FROM identity_user u WHERE u.id = identity_token.\"user\")";

/// Whether the flow token with this primary key still works.
pub async fn is_flow_token_alive(mut reader: impl Reader, id: Uuid, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = format!("SELECT id FROM identity_token WHERE id = $1 AND {ALIVE}");
    Ok(reader.read_one(&sql, &[id.into(), now.into()]).await?.is_some())
}

/// Uses up a flow token that works; of several at once one gets true.
pub async fn use_flow_token(tx: &mut Tx, id: Uuid, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = format!("DELETE FROM identity_token WHERE id = $1 AND {ALIVE}");
    Ok(tx.write(&sql, &[id.into(), now.into()]).await? > 0)
}
