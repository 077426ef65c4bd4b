//! Ending sessions by choice: one, or many at once, with a word about it in the audit trail.

use crate::{Account, accounts, reader::marks};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;
use weir_core::ApiError;
use weir_events::{Event, action};
use weir_resource::{Unit, store};
use weir_store::{Row, StoreError, Tx, Val};

/// A session that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Identifier shown to people.
    pub uuid: Uuid,
    /// Who is signed in.
    pub user_id: i64,
}

impl Chosen {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { uuid: row.uuid("uuid")?, user_id: row.int("user")? })
    }
}

/// Most affected users that an event names.
const NAMED: usize = 20;
/// Parameters of one statement.
const PART: usize = 500;

/// Those of these sessions in which somebody is signed in.
///
/// # Errors
/// Those of the store.
pub async fn choose(tx: &mut Tx, uuids: &[Uuid]) -> Result<Vec<Chosen>, StoreError> {
    let mut found = Vec::new();
    for part in uuids.chunks(PART) {
        let vals: Vec<Val> = part.iter().map(|uuid| Val::from(*uuid)).collect();
        let sql = format!(
            "SELECT uuid, \"user\" FROM identity_session WHERE \"user\" IS NOT NULL AND uuid IN ({})",
            marks(1, part.len())
        );
        for row in tx.read(&sql, &vals).await? {
            found.push(Chosen::from_row(&row)?);
        }
    }
    Ok(found)
}

async fn end(tx: &mut Tx, column: &str, keys: Vec<Val>, except: Option<&str>) -> Result<Vec<Chosen>, StoreError> {
    let mut ended = Vec::new();
    for part in keys.chunks(PART) {
        let sql = format!(
            "DELETE FROM identity_session WHERE {column} IN ({}) AND \"user\" IS NOT NULL AND key_digest <> $1 \
             RETURNING uuid, \"user\"",
            marks(2, part.len())
        );
        // No digest is empty, so the empty text spares nothing.
        let mut vals: Vec<Val> = vec![except.unwrap_or_default().into()];
        vals.extend_from_slice(part);
        for row in tx.write_returning(&sql, &vals).await? {
            ended.push(Chosen::from_row(&row)?);
        }
    }
    Ok(ended)
}

/// Ends these sessions, but for the one with this digest. Gives those that were there.
///
/// # Errors
/// Those of the store.
pub async fn end_chosen(unit: &mut Unit<'_>, uuids: &[Uuid], except: Option<&str>) -> Result<Vec<Chosen>, ApiError> {
    let keys = uuids.iter().map(|uuid| Val::from(*uuid)).collect();
    let ended = end(&mut unit.tx, "uuid", keys, except).await.map_err(store)?;
    tell(unit, &ended).await?;
    Ok(ended)
}

/// Ends all sessions of these users, but for the one with this digest. Gives those that were there.
///
/// # Errors
/// Those of the store.
pub async fn end_of_users(unit: &mut Unit<'_>, users: &[i64], except: Option<&str>) -> Result<Vec<Chosen>, ApiError> {
    let keys = users.iter().map(|id| Val::from(*id)).collect();
    let ended = end(&mut unit.tx, "\"user\"", keys, except).await.map_err(store)?;
    tell(unit, &ended).await?;
    Ok(ended)
}

/// One event, however many ended.
pub(super) async fn tell(unit: &mut Unit<'_>, ended: &[Chosen]) -> Result<(), ApiError> {
    let users: BTreeSet<i64> = ended.iter().map(|session| session.user_id).collect();
    if users.is_empty() {
        return Ok(());
    }
    let named: Vec<i64> = users.iter().copied().take(NAMED).collect();
    let named = accounts::find_many(&mut unit.tx, &named).await.map_err(store)?;
    let context = json!({
        "logout_reason": "Session ended by request",
        "sessions": ended.len(),
        "users": users.len(),
        "affected_users": named.iter().map(Account::event_user).collect::<Vec<Value>>(),
    });
    unit.event(Event::new(action::LOGOUT, "authentik_core", context)).await
}
