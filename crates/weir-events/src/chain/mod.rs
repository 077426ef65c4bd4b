//! The chain that makes the audit trail tell of tampering.
//!
//! An event is written without a place, in the transaction of what it reports, so that transactions do not wait for each
//! other. Shortly after, one at a time, [`seal`] gives the waiting ones the next places: each gets a hash over its place,
//! its content and the hash before it. The end of the chain is signed with a key of the installation. What is removed for
//! a reason ([`remove`]) leaves a signed gap, so that [`verify`](fn@verify) tells it from what merely disappeared.

mod gap;
mod key;
mod remove;
#[cfg(test)]
mod tests;
mod verify;

pub use key::ChainKey;
pub use remove::{Reason, enforce, remove, remove_all, reopen};
pub use verify::{Anchor, Broken, Found, verify};

use sha2::{Digest as _, Sha256};
use weir_store::{Row, StoreError, Tx, Val};

/// Events given a place in one transaction.
pub const BATCH: i64 = 500;

/// What the hash is made of, in this order. Numbers and texts as they are stored.
const TEXTS: [&str; 9] = ["id", "user", "username", "action", "app", "context", "client_ip", "brand", "created"];
const COLUMNS: &str =
    "id, \"user\", user_id, username, action, app, context, client_ip, brand, created, expires, object_pk, application";
/// What an event counts towards the budget. Both where it is added and where it is taken off.
const SIZE: &str = "length(\"user\") + length(context) + length(brand) + 256";

/// The end of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Last place.
    pub seq: i64,
    /// Its hash; empty before the first.
    pub hash: String,
    /// Events that are still there.
    pub kept: i64,
    /// What they count towards the budget.
    pub size: i64,
    signature: String,
}

impl Head {
    /// The end of the chain; its beginning when nothing was ever sealed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read(tx: &mut Tx) -> Result<Self, StoreError> {
        let sql = "SELECT seq, hash, kept, size, signature FROM audit_chain WHERE id = 1";
        let Some(row) = tx.read_one(sql, &[]).await? else { return Ok(Self::default()) };
        Ok(Self {
            seq: row.int("seq")?,
            hash: row.text("hash")?,
            kept: row.int("kept")?,
            size: row.int("size")?,
            signature: row.text("signature")?,
        })
    }

    fn parts(&self) -> [String; 3] {
        ["head".to_owned(), self.seq.to_string(), self.hash.clone()]
    }

    async fn write(&self, tx: &mut Tx, key: &ChainKey) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit_chain (id, seq, hash, signature, kept, size) VALUES (1, $1, $2, $3, $4, $5) \
                   ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, \
                   signature = excluded.signature, kept = excluded.kept, size = excluded.size";
        let vals: [Val; 5] = [
            self.seq.into(),
            self.hash.clone().into(),
            key.sign(&self.parts()).into(),
            self.kept.into(),
            self.size.into(),
        ];
        tx.write(sql, &vals).await?;
        Ok(())
    }

    /// Whether the end was written by this installation.
    fn is_signed(&self, key: &ChainKey) -> bool {
        self.seq == 0 || key.verify(&self.parts(), &self.signature)
    }
}

/// Places that were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// First place.
    pub first: i64,
    /// Last place.
    pub last: i64,
}

impl Sealed {
    /// Whether others may be waiting.
    pub fn is_full(&self) -> bool {
        self.last - self.first + 1 >= BATCH
    }
}

/// The hash of an event at a place.
fn hash(before: &str, seq: i64, row: &Row) -> Result<String, StoreError> {
    let mut digest = Sha256::new();
    let mut add = |bytes: Option<&[u8]>| match bytes {
        None => digest.update([0]),
        Some(bytes) => {
            digest.update([1]);
            digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(bytes);
        }
    };
    add(Some(b"weir event 1"));
    add(Some(before.as_bytes()));
    add(Some(&seq.to_be_bytes()));
    for column in TEXTS.iter().filter(|column| **column != "created") {
        add(row.opt_text(column)?.as_deref().map(str::as_bytes));
    }
    for number in [row.opt_int("user_id")?, row.opt_int("created")?, row.opt_int("expires")?] {
        add(number.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    }
    Ok(hex(&digest.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, byte| text + &format!("{byte:02x}"))
}

/// Gives waiting events their places; none when none waits. Held up only by whoever else works on the chain.
///
/// # Errors
/// Those of the store.
pub async fn seal(tx: &mut Tx, key: &ChainKey) -> Result<Option<Sealed>, StoreError> {
    tx.lock_events().await?;
    let mut head = Head::read(tx).await?;
    // One that is being changed just now gets its place when that is done.
    let skip = tx.dialect().for_update_skip_locked();
    let sql = format!(
        "SELECT {COLUMNS}, {SIZE} AS size FROM audit_event WHERE seq IS NULL ORDER BY created, id LIMIT $1{skip}"
    );
    let rows = tx.read(&sql, &[BATCH.into()]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let first = head.seq + 1;
    let mut places: Vec<(String, i64, String)> = Vec::with_capacity(rows.len());
    for row in &rows {
        head.seq += 1;
        head.hash = hash(&head.hash, head.seq, row)?;
        head.kept += 1;
        head.size += row.int("size")?;
        places.push((row.text("id")?, head.seq, head.hash.clone()));
    }
    for part in places.chunks(200) {
        let marks: Vec<String> =
            (0..part.len()).map(|i| format!("(${}, ${}, ${})", 3 * i + 1, 3 * i + 2, 3 * i + 3)).collect();
        let sql = format!(
            "WITH place (id, seq, hash) AS (VALUES {}) UPDATE audit_event SET seq = place.seq, hash = place.hash \
             FROM place WHERE audit_event.id = place.id",
            marks.join(", ")
        );
        let vals: Vec<Val> =
            part.iter().flat_map(|(id, seq, hash)| [Val::from(id), Val::from(*seq), Val::from(hash)]).collect();
        tx.write(&sql, &vals).await?;
    }
    head.write(tx, key).await?;
    Ok(Some(Sealed { first, last: head.seq }))
}

/// Whether an event waits for its place.
///
/// # Errors
/// Those of the store.
pub async fn is_waiting(db: &weir_store::Db) -> Result<bool, StoreError> {
    Ok(db.read_one("SELECT id FROM audit_event WHERE seq IS NULL LIMIT 1", &[]).await?.is_some())
}
