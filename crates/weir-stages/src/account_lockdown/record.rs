//! What is kept of lockdowns: a document in one fixed form, signed by the installation's own key.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::ApiError;
use weir_identity::{Account, Reader};
use weir_pki::{Seal, seal as seals, seal::BrokenSeal};
use weir_resource::{Unit, store};
use weir_store::{Row, StoreError, Val};

/// What the signatures are for; no signature of anything else counts.
pub const KIND: &str = "weir-lockdown+json";
/// Row of the table `installation`: the secret of the key, base64.
const KEY: &str = "lockdown_key";

/// The installation's key, made when it is first needed.
///
/// # Errors
/// Those of the store.
pub async fn seal(unit: &mut Unit<'_>) -> Result<Seal, ApiError> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    const FIND: &str = "SELECT value FROM installation WHERE key = $1";
    let mut found = unit.tx.read_one(FIND, &[KEY.into()]).await.map_err(store)?;
    if found.is_none() {
        let mut seed = [0u8; seals::SEED];
        unit.site.random.fill(&mut seed);
        let sql = "INSERT INTO installation (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
        unit.tx.write(sql, &[KEY.into(), STANDARD.encode(seed).into()]).await.map_err(store)?;
        // Another node may have been first.
        found = unit.tx.read_one(FIND, &[KEY.into()]).await.map_err(store)?;
    }
    let text = found.ok_or_else(|| anyhow::anyhow!("the key of records is missing"))?.text("value").map_err(store)?;
    let seed = STANDARD.decode(text).map_err(anyhow::Error::new)?;
    Ok(Seal::from_seed(&seed).map_err(anyhow::Error::new)?)
}

/// The signature of a document.
pub fn sign(seal: &Seal, document: &Value) -> String {
    seal.sign(KIND, document)
}

/// Reads a record that was handed out.
///
/// # Errors
/// For a text that is no JSON, or that could be read in more than one way.
pub fn read(text: &str) -> Result<Value, serde_json::Error> {
    seals::read(text)
}

/// Checks a record as it was handed out: `{"record": …, "signature": …}`.
///
/// # Errors
/// Why it does not hold.
pub fn verify(key: &Value, record: &Value) -> Result<(), BrokenSeal> {
    let signature = record.get("signature").and_then(Value::as_str).ok_or(BrokenSeal::Unreadable)?;
    let document = record.get("record").ok_or(BrokenSeal::Unreadable)?;
    seals::verify(key, KIND, document, signature)
}

/// A record to keep.
pub(super) struct NewRecord<'a> {
    pub id: Uuid,
    pub account: &'a Account,
    pub batch: Option<Uuid>,
    pub document: &'a Value,
    pub signature: &'a str,
    pub created: DateTime<Utc>,
}

pub(super) async fn write(unit: &mut Unit<'_>, new: &NewRecord<'_>) -> Result<(), ApiError> {
    let sql = "INSERT INTO lockdown (id, user_id, username, actor_id, batch, document, signature, created) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let vals: [Val; 8] = [
        new.id.into(),
        new.account.id.into(),
        (&new.account.username).into(),
        unit.actor.user_id.into(),
        new.batch.into(),
        new.document.into(),
        new.signature.into(),
        new.created.into(),
    ];
    unit.tx.write(sql, &vals).await.map_err(store)?;
    Ok(())
}

/// What stands in a document that nobody completed. A reason cannot look like it: its quotes are escaped.
const OPEN: &str = "document LIKE '%\"completed\":null%'";

/// Puts a completed document in the place of an open one; false when somebody did.
pub(super) async fn complete(
    unit: &mut Unit<'_>,
    id: Uuid,
    document: &Value,
    signature: &str,
) -> Result<bool, ApiError> {
    let sql = format!("UPDATE lockdown SET document = $1, signature = $2 WHERE id = $3 AND {OPEN}");
    Ok(unit.tx.write(&sql, &[document.into(), signature.into(), id.into()]).await.map_err(store)? > 0)
}

/// Records of this span of time that nobody completed, oldest first.
pub(super) async fn unfinished(
    mut reader: impl Reader,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    most: i64,
) -> Result<Vec<Record>, ApiError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM lockdown WHERE created >= $1 AND created < $2 AND {OPEN} ORDER BY created LIMIT $3"
    );
    let rows = reader.read(&sql, &[from.into(), until.into(), most.into()]).await.map_err(store)?;
    rows.iter().map(Record::from_row).collect::<Result<_, _>>().map_err(store)
}

/// Whether an account was ever locked down.
async fn exists(mut reader: impl Reader, user: i64) -> Result<bool, StoreError> {
    let sql = "SELECT 1 AS found FROM lockdown WHERE user_id = $1 LIMIT 1";
    Ok(reader.read_one(sql, &[user.into()]).await?.is_some())
}

/// A record that was kept.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whom it is about.
    pub user_id: i64,
    /// Who did it.
    pub actor_id: Option<i64>,
    /// What was signed.
    pub document: Value,
    /// The signature.
    pub signature: String,
}

impl Record {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            user_id: row.int("user_id")?,
            actor_id: row.opt_int("actor_id")?,
            document: row.json("document")?,
            signature: row.text("signature")?,
        })
    }

    /// As it is handed out.
    pub fn shown(&self) -> Value {
        json!({"record": self.document, "signature": self.signature})
    }
}

const COLUMNS: &str = "user_id, actor_id, document, signature";

/// Whether an account is deactivated since it was locked down: only whoever opens it again brings it back, and until then
/// nobody prepares what would let them in afterwards.
pub(crate) async fn is_shut(reader: impl Reader, account: &Account) -> Result<bool, StoreError> {
    Ok(!account.is_active && exists(reader, account.id).await?)
}

/// A record by key.
///
/// # Errors
/// Those of the store.
pub async fn find(mut reader: impl Reader, id: Uuid) -> Result<Option<Record>, ApiError> {
    let sql = format!("SELECT {COLUMNS} FROM lockdown WHERE id = $1");
    let row = reader.read_one(&sql, &[id.into()]).await.map_err(store)?;
    row.map(|row| Record::from_row(&row)).transpose().map_err(store)
}

/// Which records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Those about this user.
    pub user: Option<i64>,
    /// Those of this list.
    pub batch: Option<Uuid>,
}

/// A page of records, newest first, and how many there are in all.
///
/// # Errors
/// Those of the store.
pub async fn list(
    mut reader: impl Reader,
    wanted: Wanted,
    (page, size): (u64, u64),
) -> Result<(Vec<Record>, u64), ApiError> {
    let which = "($1 IS NULL OR user_id = $1) AND ($2 IS NULL OR batch = $2)";
    // PostgreSQL does not guess the type of a value that is only compared with null.
    let which = which.replace("$1 IS", "CAST($1 AS BIGINT) IS").replace("$2 IS", "CAST($2 AS TEXT) IS");
    let mut vals: Vec<Val> = vec![wanted.user.into(), wanted.batch.into()];
    let counted = reader.read_one(&format!("SELECT COUNT(*) AS total FROM lockdown WHERE {which}"), &vals).await;
    let total = counted.map_err(store)?.map(|row| row.int("total")).transpose().map_err(store)?.unwrap_or(0);
    let number = |n: u64| Val::from(i64::try_from(n).unwrap_or(i64::MAX));
    vals.extend([number(size), number((page - 1).saturating_mul(size))]);
    let sql = format!("SELECT {COLUMNS} FROM lockdown WHERE {which} ORDER BY created DESC, id LIMIT $3 OFFSET $4");
    let rows = reader.read(&sql, &vals).await.map_err(store)?;
    let records = rows.iter().map(Record::from_row).collect::<Result<_, _>>().map_err(store)?;
    Ok((records, u64::try_from(total).unwrap_or_default()))
}
