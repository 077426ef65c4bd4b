//! Mails on their way: rows that live from the transaction of their cause until they are delivered.

use crate::Message;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::Random;
use weir_events::Origin;
use weir_store::{
    Db, StoreError, Tx,
    jobs::{self, NewJob, RelObj},
};

/// Name of the jobs that deliver mails. Arguments: `mail`, the key of the row.
pub const ACTOR: &str = "weir.mail";

/// Failed attempts that are followed by another: with the queue's delays, about half a day.
const RETRIES: u32 = 18;

/// How long a mail is kept that says nothing about its end.
pub const KEPT: TimeDelta = TimeDelta::days(7);

/// A mail to post.
#[derive(Debug)]
pub struct Parcel {
    /// The stage whose server is used; none for the global one.
    pub stage: Option<Uuid>,
    /// What is sent. One without recipients is dropped by the worker: it is there to cost what another one costs.
    pub message: Message,
    /// What it is, for the list of tasks; no recipient, no content.
    pub what: String,
    /// When it is of no use any more.
    pub expires: DateTime<Utc>,
    /// How long it lies before it is delivered.
    pub wait: TimeDelta,
}

/// A posted mail.
#[derive(Debug)]
pub struct Posted {
    /// The stage whose server is used.
    pub stage: Option<Uuid>,
    /// What is sent.
    pub message: Message,
    /// Who caused it.
    pub origin: Origin,
    /// When it is of no use any more.
    pub expires: DateTime<Utc>,
}

/// Puts a mail into the outbox and queues its delivery; both happen when the transaction commits. Returns its key.
///
/// # Errors
/// Those of the store.
pub async fn post(
    tx: &mut Tx,
    random: &dyn Random,
    now: DateTime<Utc>,
    origin: &Origin,
    parcel: Parcel,
) -> Result<Uuid, StoreError> {
    let id = random.uuid();
    let message = json!(parcel.message).to_string();
    let cause = json!({
        "user": origin.user, "user_id": origin.user_id, "username": origin.username,
        "client_ip": origin.client_ip, "brand": origin.brand,
    });
    let sql =
        "INSERT INTO mail_outbox (id, stage_id, message, origin, created, expires) VALUES ($1, $2, $3, $4, $5, $6)";
    let vals = [
        id.into(),
        parcel.stage.map(|s| s.to_string()).into(),
        message.into(),
        cause.to_string().into(),
        now.into(),
        parcel.expires.into(),
    ];
    tx.write(sql, &vals).await?;
    let mut job = NewJob::new(ACTOR, json!({"mail": id}));
    job.description = Some(parcel.what);
    job.max_retries = RETRIES;
    job.rel_obj = parcel.stage.map(|id| RelObj::new("authentik_flows", "stage", id.to_string()));
    job.eta = Some(now + parcel.wait).filter(|_| !parcel.wait.is_zero());
    jobs::enqueue(tx, random.uuid(), now, &job).await?;
    Ok(id)
}

/// A mail by key; none when it was delivered or withdrawn.
pub(crate) async fn find(db: &Db, id: Uuid) -> Result<Option<Posted>, StoreError> {
    let sql = "SELECT stage_id, message, origin, expires FROM mail_outbox WHERE id = $1";
    let Some(row) = db.read_one(sql, &[id.into()]).await? else { return Ok(None) };
    let cause: Value = serde_json::from_str(&row.text("origin")?).unwrap_or_default();
    let text = |key: &str| cause.get(key).and_then(Value::as_str).map(str::to_owned);
    let origin = Origin {
        user: cause.get("user").cloned().unwrap_or_else(|| json!({})),
        user_id: cause.get("user_id").and_then(Value::as_i64),
        username: text("username").unwrap_or_default(),
        client_ip: text("client_ip"),
        brand: cause.get("brand").cloned().unwrap_or_else(|| json!({})),
        http_request: Value::Null,
    };
    Ok(Some(Posted {
        stage: row.opt_text("stage_id")?.and_then(|id| Uuid::parse_str(&id).ok()),
        message: serde_json::from_str(&row.text("message")?).map_err(|error| StoreError::Internal(error.into()))?,
        origin,
        expires: row.time("expires")?,
    }))
}

/// Removes a mail; false when somebody else was first.
pub(crate) async fn remove(tx: &mut Tx, id: Uuid) -> Result<bool, StoreError> {
    Ok(tx.write("DELETE FROM mail_outbox WHERE id = $1", &[id.into()]).await? > 0)
}

/// Writes a row that says nothing, or renews the one of this name: what a link would have cost. It goes with the expired
/// ones.
///
/// # Errors
/// Those of the store.
pub async fn ballast(tx: &mut Tx, name: &str, now: DateTime<Utc>, text: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO mail_outbox (id, message, origin, created, expires) VALUES ($1, '{}', $2, $3, $3) \
               ON CONFLICT (id) DO UPDATE SET origin = excluded.origin, expires = excluded.expires";
    tx.write(sql, &[name.into(), text.into(), now.into()]).await?;
    Ok(())
}
