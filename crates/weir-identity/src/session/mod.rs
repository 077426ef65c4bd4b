//! Browser sessions: one row each, addressed by the digest of the key in the cookie.
//!
//! Every change is one conditional statement, so a request in flight can neither bring a deleted session back nor
//! overwrite what another request of the same session did to the plan.

mod agent;
mod end;
mod resource;
mod write;

pub use agent::describe;
#[cfg(test)]
pub(crate) use agent::table_sizes;
pub use end::{Chosen, choose, end_chosen, end_of_users};
pub use resource::{AuthenticatedSession, SessionHooks};
pub use write::{
    LogIn, NewSession, create, delete, delete_expired, delete_of_user, log_in, log_out, save_data, save_flow, touch,
};

use crate::{Account, Reader, attributes, digest, reader::marks};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use weir_core::{Map, Random};
use weir_store::{Row, StoreError, Val};

/// Characters of a session key: 238 random bits.
const KEY_LENGTH: usize = 40;

/// A new session key for the cookie.
pub fn new_key(random: &dyn Random) -> String {
    random.text(KEY_LENGTH)
}

/// One session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRow {
    /// Digest of the key.
    pub digest: String,
    /// Identifier shown to people.
    pub uuid: Uuid,
    /// The user who signed in.
    pub user_id: Option<i64>,
    /// The user's epoch at log-in.
    pub security_epoch: i64,
    /// What survives a log-in.
    pub data: Map,
    /// The plan with its history.
    pub flow: Option<String>,
    /// Counts the changes of the plan.
    pub flow_version: i64,
    /// When the session ends.
    pub expires: DateTime<Utc>,
    /// Client address of the last use.
    pub last_ip: String,
    /// User agent of the last use.
    pub last_user_agent: String,
    /// Last use, to the minute.
    pub last_used: DateTime<Utc>,
    /// When it began.
    pub created: DateTime<Utc>,
}

impl SessionRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            digest: row.text("key_digest")?,
            uuid: row.uuid("uuid")?,
            user_id: row.opt_int("user")?,
            security_epoch: row.int("security_epoch")?,
            // Damaged data count as none: the session goes on without them.
            data: row
                .text("data")
                .ok()
                .and_then(|t| serde_json::from_str(&t).ok())
                .map(attributes::object)
                .unwrap_or_default(),
            flow: row.opt_text("flow")?,
            flow_version: row.int("flow_version")?,
            expires: row.time("expires")?,
            last_ip: row.text("last_ip")?,
            last_user_agent: row.text("last_user_agent")?,
            last_used: row.time("last_used")?,
            created: row.time("created")?,
        })
    }
}

const COLUMNS: &str = "s.key_digest, s.uuid, s.\"user\", s.security_epoch, s.data, s.flow, s.flow_version, s.expires, \
                       s.last_ip, s.last_user_agent, s.last_used, s.created";

/// The live session of a key, with its user when somebody signed in. Sessions that ended, of another epoch, or of an
/// inactive user are none.
pub async fn load(
    reader: impl Reader,
    key: &str,
    now: DateTime<Utc>,
) -> Result<Option<(SessionRow, Option<Account>)>, StoreError> {
    if key.is_empty() || key.len() > 256 {
        return Ok(None);
    }
    load_digest(reader, &digest(key), now).await
}

/// The same by digest.
pub async fn load_digest(
    mut reader: impl Reader,
    digest: &str,
    now: DateTime<Utc>,
) -> Result<Option<(SessionRow, Option<Account>)>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, {} FROM identity_session s \
         LEFT JOIN identity_user u ON u.id = s.\"user\" WHERE s.key_digest = $1 AND s.expires > $2",
        Account::columns("u", "u_")
    );
    let Some(row) = reader.read_one(&sql, &[digest.into(), now.into()]).await? else { return Ok(None) };
    let session = SessionRow::from_row(&row)?;
    if session.user_id.is_none() {
        return Ok(Some((session, None)));
    }
    let account = Account::from_row(&row, "u_")?;
    let good = account.is_active && account.security_epoch == session.security_epoch;
    Ok(good.then_some((session, Some(account))))
}

/// The live sessions of a user, newest first.
pub async fn of_user(mut reader: impl Reader, user_id: i64, now: DateTime<Utc>) -> Result<Vec<SessionRow>, StoreError> {
    let sql = "SELECT s.* FROM identity_session s JOIN identity_user u ON u.id = s.\"user\" \
               WHERE s.\"user\" = $1 AND s.expires > $2 AND u.is_active = TRUE AND s.security_epoch = u.security_epoch \
               ORDER BY s.created DESC";
    let rows = reader.read(sql, &[user_id.into(), now.into()]).await?;
    rows.iter().map(SessionRow::from_row).collect()
}

/// The live sessions among these that somebody signed in to, with their users, the oldest first.
pub async fn signed_in(
    mut reader: impl Reader,
    uuids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<Vec<(SessionRow, Account)>, StoreError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {COLUMNS}, {} FROM identity_session s JOIN identity_user u ON u.id = s.\"user\" \
         WHERE s.expires > $1 AND u.is_active = TRUE AND s.security_epoch = u.security_epoch AND s.uuid IN ({}) \
         ORDER BY s.created, s.uuid",
        Account::columns("u", "u_"),
        marks(2, uuids.len())
    );
    let mut vals: Vec<Val> = vec![now.into()];
    vals.extend(uuids.iter().map(|uuid| Val::from(*uuid)));
    let rows = reader.read(&sql, &vals).await?;
    rows.iter().map(|row| Ok((SessionRow::from_row(row)?, Account::from_row(row, "u_")?))).collect()
}

/// Whether the user is signed in from this address, in another session than the one with this digest.
pub async fn is_known_from(
    mut reader: impl Reader,
    user_id: i64,
    ip: &str,
    except: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 AS found FROM identity_session s JOIN identity_user u ON u.id = s.\"user\" \
               WHERE s.\"user\" = $1 AND s.last_ip = $2 AND s.key_digest <> $3 AND s.expires > $4 \
               AND u.is_active = TRUE AND s.security_epoch = u.security_epoch LIMIT 1";
    // No digest is empty, so the empty text leaves nothing out.
    let vals = [user_id.into(), ip.into(), except.unwrap_or_default().into(), now.into()];
    Ok(reader.read_one(sql, &vals).await?.is_some())
}
