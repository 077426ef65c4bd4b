//! The rows behind connections, as sign-ins read and write them.

use chrono::{DateTime, Utc};
use uuid::Uuid;
use weir_identity::{Reader, membership};
use weir_store::{Row, StoreError, Tx, Val};

/// A connected user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Key of the connection.
    pub id: i64,
    /// Key of the user.
    pub user: i64,
}

impl Connected {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { id: row.int("id")?, user: row.int("user")? })
    }
}

/// Somebody at a source, with what the provider gave for them.
#[derive(Clone, Debug, Default)]
pub struct NewConnection<'a> {
    /// Kind of source.
    pub kind: &'a str,
    /// The source.
    pub source: Uuid,
    /// Who it is there.
    pub identifier: &'a str,
    /// Opens the profile.
    pub access_token: Option<&'a str>,
    /// Gets a new one.
    pub refresh_token: Option<&'a str>,
    /// End of the access token.
    pub expires: Option<DateTime<Utc>>,
}

/// The user who is connected with somebody at a source.
///
/// # Errors
/// Those of the store.
pub async fn find(mut reader: impl Reader, source: Uuid, identifier: &str) -> Result<Option<Connected>, StoreError> {
    let sql = "SELECT id, \"user\" FROM source_user_connection WHERE source = $1 AND identifier = $2";
    reader.read_one(sql, &[source.into(), identifier.into()]).await?.map(|row| Connected::of(&row)).transpose()
}

/// The connection of a user with a source.
///
/// # Errors
/// Those of the store.
pub async fn find_of_user(mut reader: impl Reader, source: Uuid, user: i64) -> Result<Option<Connected>, StoreError> {
    let sql = "SELECT id, \"user\" FROM source_user_connection WHERE source = $1 AND \"user\" = $2";
    reader.read_one(sql, &[source.into(), user.into()]).await?.map(|row| Connected::of(&row)).transpose()
}

/// Connects a user. False when the identity is somebody else's by now, or the user is connected with another one.
///
/// # Errors
/// Those of the store.
pub async fn connect(tx: &mut Tx, now: DateTime<Utc>, user: i64, new: &NewConnection<'_>) -> Result<bool, StoreError> {
    let sql = "INSERT INTO source_user_connection \
               (kind, \"user\", source, identifier, access_token, refresh_token, expires, created, last_updated) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT DO NOTHING";
    let vals: [Val; 8] = [
        new.kind.into(),
        user.into(),
        new.source.into(),
        new.identifier.into(),
        Val::Text(new.access_token.map(str::to_owned)),
        Val::Text(new.refresh_token.map(str::to_owned)),
        new.expires.into(),
        now.into(),
    ];
    if tx.write(sql, &vals).await? > 0 {
        return Ok(true);
    }
    // Made by another request, for the same pair or for another.
    match find(&mut *tx, new.source, new.identifier).await? {
        Some(found) if found.user == user => renew(tx, now, found.id, new).await.map(|()| true),
        _ => Ok(false),
    }
}

/// Keeps what the provider gave this time.
///
/// # Errors
/// Those of the store.
pub async fn renew(tx: &mut Tx, now: DateTime<Utc>, id: i64, new: &NewConnection<'_>) -> Result<(), StoreError> {
    // Providers often give the means to renew the first time only.
    let sql = "UPDATE source_user_connection SET access_token = $1, refresh_token = COALESCE($2, refresh_token), \
               expires = $3, last_updated = $4 WHERE id = $5 \
               AND (SELECT u.is_active FROM identity_user u WHERE u.id = source_user_connection.\"user\")";
    let vals: [Val; 5] = [
        Val::Text(new.access_token.map(str::to_owned)),
        Val::Text(new.refresh_token.map(str::to_owned)),
        new.expires.into(),
        now.into(),
        id.into(),
    ];
    tx.write(sql, &vals).await?;
    Ok(())
}

/// The group connected with a group of a source.
///
/// # Errors
/// Those of the store.
pub async fn find_group(mut reader: impl Reader, source: Uuid, identifier: &str) -> Result<Option<Uuid>, StoreError> {
    let sql = "SELECT \"group\" FROM source_group_connection WHERE source = $1 AND identifier = $2";
    reader.read_one(sql, &[source.into(), identifier.into()]).await?.map(|row| row.uuid("group")).transpose()
}

/// Connects a group; the group that is connected afterwards, which may be another request's.
///
/// # Errors
/// Those of the store.
pub async fn connect_group(
    tx: &mut Tx,
    now: DateTime<Utc>,
    group: Uuid,
    new: &NewConnection<'_>,
) -> Result<Option<Uuid>, StoreError> {
    let sql = "INSERT INTO source_group_connection (kind, \"group\", source, identifier, created, last_updated) \
               VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT DO NOTHING";
    let vals: [Val; 5] = [new.kind.into(), group.into(), new.source.into(), new.identifier.into(), now.into()];
    tx.write(sql, &vals).await?;
    find_group(tx, new.source, new.identifier).await
}

/// Takes a user out of the groups that come from a source, except for these.
///
/// # Errors
/// Those of the store.
pub async fn forget_other_groups(tx: &mut Tx, source: Uuid, user: i64, kept: &[Uuid]) -> Result<u64, StoreError> {
    let marks: Vec<String> = (3..3 + kept.len()).map(|n| format!("${n}")).collect();
    let except = if marks.is_empty() { String::new() } else { format!(" AND group_id NOT IN ({})", marks.join(", ")) };
    let sql = format!(
        "DELETE FROM identity_membership WHERE user_id = $1 AND group_id IN \
         (SELECT \"group\" FROM source_group_connection WHERE source = $2){except} RETURNING group_id"
    );
    let mut vals: Vec<Val> = vec![user.into(), source.into()];
    vals.extend(kept.iter().map(|group| Val::from(*group)));
    let left = tx.write_returning(&sql, &vals).await?;
    for row in &left {
        membership::note_moved(tx, user, row.uuid("group_id")?).await?;
    }
    Ok(u64::try_from(left.len()).unwrap_or(u64::MAX))
}
