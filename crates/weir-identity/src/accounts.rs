//! Users as rows: look-ups by every identifier, password hashes, the security epoch.
//!
//! Fields that clients may write go through [`Unit`] and the [`User`](crate::User) definition; see [`create`] and
//! [`update`].

use crate::{Reader, User, digest, kind, reader::marks};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Map, validate::Mode};
use weir_resource::Unit;
use weir_store::{Row, StoreError, Tx, Val};

/// The hash of an account that cannot sign in by password.
pub const UNUSABLE_PASSWORD: &str = "!";

/// Type of accounts that Weir keeps for outposts; clients can neither make nor change them.
pub const INTERNAL_SERVICE_ACCOUNT: &str = "internal_service_account";

/// One user.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Primary key.
    pub id: i64,
    /// Stable random identifier.
    pub uuid: Uuid,
    /// Unique name to sign in with.
    pub username: String,
    /// Name for people.
    pub name: String,
    /// E-mail address; may be empty and need not be unique.
    pub email: String,
    /// May sign in.
    pub is_active: bool,
    /// `internal`, `external`, `service_account` or `internal_service_account`.
    pub kind: String,
    /// Place in the tree of users.
    pub path: String,
    /// Free attributes.
    pub attributes: Map,
    /// Last time signed in.
    pub last_login: Option<DateTime<Utc>>,
    /// When the account was made.
    pub date_joined: DateTime<Utc>,
    /// When the password was last set.
    pub password_change_date: DateTime<Utc>,
    /// When the account was last written.
    pub last_updated: DateTime<Utc>,
    /// Whatever was minted in another epoch is dead.
    pub security_epoch: i64,
}

impl Account {
    /// The identifier given to other systems.
    pub fn uid(&self, install_id: &str) -> String {
        uid(self.id, install_id)
    }

    /// `{pk, username, email}` for events.
    pub fn event_user(&self) -> Value {
        json!({"pk": self.id, "username": self.username, "email": self.email})
    }

    /// A text attribute; none when absent, empty or no text.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).and_then(Value::as_str).filter(|t| !t.is_empty())
    }

    /// The user principal name.
    pub fn upn(&self) -> Option<&str> {
        self.attribute("upn")
    }

    /// Whether the account goes when its person signs out.
    pub fn goes_on_logout(&self) -> bool {
        self.attributes.get(crate::user::DELETE_ON_LOGOUT).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The language chosen by the user.
    pub fn locale(&self) -> Option<&str> {
        let settings = self.attributes.get("settings")?.as_object()?;
        settings.get("locale").and_then(Value::as_str).filter(|t| !t.is_empty())
    }

    /// The columns, as `alias.column AS prefixcolumn`.
    pub(crate) fn columns(alias: &str, prefix: &str) -> String {
        COLUMNS.map(|c| format!("{alias}.\"{c}\" AS {prefix}{c}")).join(", ")
    }

    pub(crate) fn from_row(row: &Row, prefix: &str) -> Result<Self, StoreError> {
        let c = |name: &str| format!("{prefix}{name}");
        Ok(Self {
            id: row.int(&c("id"))?,
            uuid: row.uuid(&c("uuid"))?,
            username: row.text(&c("username"))?,
            name: row.text(&c("name"))?,
            email: row.text(&c("email"))?,
            is_active: row.bool(&c("is_active"))?,
            kind: row.text(&c("type"))?,
            path: row.text(&c("path"))?,
            attributes: crate::attributes::object(row.json(&c("attributes"))?),
            last_login: row.opt_time(&c("last_login"))?,
            date_joined: row.time(&c("date_joined"))?,
            password_change_date: row.time(&c("password_change_date"))?,
            last_updated: row.time(&c("last_updated"))?,
            security_epoch: row.int(&c("security_epoch"))?,
        })
    }
}

const COLUMNS: [&str; 14] = [
    "id",
    "uuid",
    "username",
    "name",
    "email",
    "is_active",
    "type",
    "path",
    "attributes",
    "last_login",
    "date_joined",
    "password_change_date",
    "last_updated",
    "security_epoch",
];

/// The identifier of a user given to other systems.
pub fn uid(id: i64, install_id: &str) -> String {
    digest(&format!("{id}-{install_id}"))
}

/// By what people may be recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserField {
    /// The username.
    Username,
    /// The e-mail address.
    Email,
    /// The attribute `upn`.
    Upn,
}

impl UserField {
    fn column(self, case_insensitive: bool) -> &'static str {
        match (self, case_insensitive) {
            (Self::Username, false) => "username",
            (Self::Username, true) => "username_lower",
            (Self::Email, false) => "email",
            (Self::Email, true) => "email_lower",
            (Self::Upn, false) => "upn",
            (Self::Upn, true) => "upn_lower",
        }
    }

    fn of(self, account: &Account) -> &str {
        match self {
            Self::Username => &account.username,
            Self::Email => &account.email,
            Self::Upn => account.upn().unwrap_or_default(),
        }
    }
}

async fn select(mut reader: impl Reader, rest: &str, vals: &[Val]) -> Result<Vec<Account>, StoreError> {
    let sql = format!("SELECT {} FROM identity_user u {rest}", Account::columns("u", ""));
    reader.read(&sql, vals).await?.iter().map(|row| Account::from_row(row, "")).collect()
}

/// A user by key.
pub async fn find(reader: impl Reader, id: i64) -> Result<Option<Account>, StoreError> {
    Ok(select(reader, "WHERE u.id = $1", &[id.into()]).await?.into_iter().next())
}

/// Reads an account that always exists, as [`find`] would, and forgets it: where a name that nobody has stands for a
/// user, finding "them" must take as long (security.md S-CRED-2).
pub async fn find_stand_in(reader: impl Reader) -> Result<(), StoreError> {
    std::hint::black_box(select(reader, STAND_IN, &[]).await?);
    Ok(())
}

const STAND_IN: &str = "WHERE u.id = (SELECT MIN(id) FROM identity_user)";

/// Users by key, in order of key; unknown keys are left out.
pub async fn find_many(mut reader: impl Reader, ids: &[i64]) -> Result<Vec<Account>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for part in ids.chunks(500) {
        let rest = format!("WHERE u.id IN ({}) ORDER BY u.id", marks(1, part.len()));
        let vals: Vec<Val> = part.iter().map(|id| Val::from(*id)).collect();
        found.extend(select(&mut reader, &rest, &vals).await?);
    }
    Ok(found)
}

/// A user by exactly this username.
pub async fn find_by_username(reader: impl Reader, username: &str) -> Result<Option<Account>, StoreError> {
    Ok(select(reader, "WHERE u.username = $1", &[username.into()]).await?.into_iter().next())
}

/// A user by uuid.
pub async fn find_by_uuid(reader: impl Reader, uuid: Uuid) -> Result<Option<Account>, StoreError> {
    Ok(select(reader, "WHERE u.uuid = $1", &[uuid.into()]).await?.into_iter().next())
}

/// The user that this text names. Where it names several, the exact match of the first field wins, then the oldest
/// account; callers that can check a credential should try [`identify_all`].
pub async fn identify(
    reader: impl Reader,
    fields: &[UserField],
    text: &str,
    case_insensitive: bool,
) -> Result<Option<Account>, StoreError> {
    Ok(identify_all(reader, fields, text, case_insensitive).await?.into_iter().next())
}

/// Up to ten users that this text names, best match first.
pub async fn identify_all(
    reader: impl Reader,
    fields: &[UserField],
    text: &str,
    case_insensitive: bool,
) -> Result<Vec<Account>, StoreError> {
    if fields.is_empty() || text.is_empty() || text.contains('\0') {
        return Ok(Vec::new());
    }
    let any: Vec<String> = fields.iter().map(|f| format!("u.{} = $1", f.column(case_insensitive))).collect();
    let wanted = if case_insensitive { text.to_lowercase() } else { text.to_owned() };
    let rest = format!("WHERE {} ORDER BY u.id LIMIT 10", any.join(" OR "));
    let mut found = select(reader, &rest, &[wanted.into()]).await?;
    found.sort_by_key(|account| fields.iter().position(|f| f.of(account) == text).unwrap_or(fields.len()));
    Ok(found)
}

/// The stored password hash; none when the user is gone.
pub async fn password_hash(mut reader: impl Reader, id: i64) -> Result<Option<String>, StoreError> {
    let row = reader.read_one("SELECT password FROM identity_user WHERE id = $1", &[id.into()]).await?;
    row.map(|r| r.text("password")).transpose()
}

/// Stores the hash of a new password. Ending other sessions is the caller's part
/// ([`session::delete_of_user`](crate::session::delete_of_user)).
pub async fn set_password_hash(tx: &mut Tx, id: i64, hash: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    tx.write(REMEMBER, &[id.into(), now.into()]).await?;
    let sql = "UPDATE identity_user SET password = $1, password_change_date = $2, last_updated = $2 WHERE id = $3";
    Ok(tx.write(sql, &[hash.into(), now.into(), id.into()]).await? > 0)
}

/// Keeps the hash that is about to be replaced, but only while a policy looks at old ones.
const REMEMBER: &str = "INSERT INTO password_history (user_id, password, replaced) \
    SELECT u.id, u.password, CAST($2 AS BIGINT) FROM identity_user u \
    WHERE u.id = $1 AND u.password <> '' AND u.password NOT LIKE '!%' AND EXISTS (SELECT 1 FROM object p \
    JOIN object_ref r ON r.to_id = p.id WHERE p.model = 'authentik_policies_unique_password.uniquepasswordpolicy' \
    AND r.field IN ('policy', 'validation_policies')) ON CONFLICT (user_id, password) DO NOTHING";

/// Takes away a password that is too old. The one that was set at that time is meant: a newer one stays, and so does the
/// date, so that the person keeps being told since when.
pub async fn expire_password(tx: &mut Tx, id: i64, set: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "UPDATE identity_user SET password = $1 WHERE id = $2 AND password_change_date = $3 AND password <> $1";
    Ok(tx.write(sql, &[UNUSABLE_PASSWORD.into(), id.into(), set.into()]).await? > 0)
}

/// The newest replaced hashes of a user, newest first.
pub async fn password_history(mut reader: impl Reader, id: i64, count: u32) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT password FROM password_history WHERE user_id = $1 ORDER BY replaced DESC, password LIMIT $2";
    let rows = reader.read(sql, &[id.into(), i64::from(count).into()]).await?;
    rows.iter().map(|row| row.text("password")).collect()
}

/// Housekeeping: keeps this many replaced hashes of each user. Returns how many went.
pub async fn trim_password_history(tx: &mut Tx, count: u32) -> Result<u64, StoreError> {
    if count == 0 {
        return tx.write("DELETE FROM password_history", &[]).await;
    }
    let sql = "DELETE FROM password_history WHERE (user_id, password) IN (SELECT user_id, password FROM (SELECT user_id, \
               password, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY replaced DESC, password) AS place \
               FROM password_history) ranked WHERE place > $1)";
    tx.write(sql, &[i64::from(count).into()]).await
}

/// Replaces the hash of the same password by one with today's parameters, unless the password was changed meanwhile.
pub async fn upgrade_password_hash(tx: &mut Tx, id: i64, old: &str, new: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE identity_user SET password = $1 WHERE id = $2 AND password = $3";
    Ok(tx.write(sql, &[new.into(), id.into(), old.into()]).await? > 0)
}

/// Notes the time of a log-in.
pub async fn touch_login(tx: &mut Tx, id: i64, now: DateTime<Utc>) -> Result<(), StoreError> {
    tx.write("UPDATE identity_user SET last_login = $1 WHERE id = $2", &[now.into(), id.into()]).await?;
    Ok(())
}

/// Makes everything minted for the user so far worthless; returns the new epoch.
pub async fn advance_epoch(tx: &mut Tx, id: i64) -> Result<Option<i64>, StoreError> {
    let sql = "UPDATE identity_user SET security_epoch = security_epoch + 1 WHERE id = $1 RETURNING security_epoch";
    let rows = tx.write_returning(sql, &[id.into()]).await?;
    rows.first().map(|r| r.int("security_epoch")).transpose()
}

/// The user's state for minting something, locked until the transaction ends: nobody can lock the account down
/// between this look and the commit.
pub async fn lock(tx: &mut Tx, id: i64) -> Result<Option<Account>, StoreError> {
    tx.begin_write().await?;
    let rest = format!("WHERE u.id = $1{}", tx.dialect().for_update());
    Ok(select(tx, &rest, &[id.into()]).await?.into_iter().next())
}

/// Locks the acting user for minting something on their behalf, for somebody else too: what was allowed when the request
/// came in must still hold. Users are locked in the order of their keys, so that two requests cannot wait for each other.
/// Gives the other user.
///
/// # Errors
/// 403 when the acting user was locked down or deactivated meanwhile; those of the store.
pub async fn lock_for(unit: &mut Unit<'_>, user: i64) -> Result<Option<Account>, ApiError> {
    let store = weir_resource::store;
    let Some(actor) = unit.actor.user_id.filter(|actor| *actor != user) else {
        let account = lock(&mut unit.tx, user).await.map_err(store)?;
        if unit.actor.user_id.is_some() {
            still_holds(unit, account.as_ref())?;
        }
        return Ok(account);
    };
    let (first, second) = (actor.min(user), actor.max(user));
    let one = lock(&mut unit.tx, first).await.map_err(store)?;
    let other = lock(&mut unit.tx, second).await.map_err(store)?;
    let (acting, account) = if first == actor { (one, other) } else { (other, one) };
    still_holds(unit, acting.as_ref())?;
    Ok(account)
}

/// The same for things that are for nobody in particular.
///
/// # Errors
/// As [`lock_for`].
pub async fn lock_actor(unit: &mut Unit<'_>) -> Result<(), ApiError> {
    if let Some(actor) = unit.actor.user_id {
        lock_for(unit, actor).await?;
    }
    Ok(())
}

/// Refuses when the acting user was locked down or deactivated since the request was let in. Locks nothing: for writes
/// that hold the row they are about, so that a write to one's own account is before a lockdown or refused.
///
/// # Errors
/// 403 then; those of the store.
pub async fn check_actor(unit: &mut Unit<'_>) -> Result<(), ApiError> {
    let (Some(actor), Some(_)) = (unit.actor.user_id, unit.actor.epoch) else { return Ok(()) };
    let account = find(&mut unit.tx, actor).await.map_err(weir_resource::store)?;
    still_holds(unit, account.as_ref())
}

fn still_holds(unit: &Unit<'_>, acting: Option<&Account>) -> Result<(), ApiError> {
    let holds = acting.is_some_and(|a| unit.actor.epoch.is_none_or(|epoch| a.is_active && a.security_epoch == epoch));
    if holds { Ok(()) } else { Err(ApiError::unauthenticated()) }
}

/// All paths in use, in order.
pub async fn paths(mut reader: impl Reader) -> Result<Vec<String>, StoreError> {
    let rows = reader.read("SELECT DISTINCT path FROM identity_user ORDER BY path", &[]).await?;
    rows.iter().map(|r| r.text("path")).collect()
}

/// Creates a user from the fields of the [`User`](crate::User) definition.
///
/// # Errors
/// Refusals of the fields; those of the store.
pub async fn create(unit: &mut Unit<'_>, body: &Map) -> Result<Account, ApiError> {
    let stored = unit.create(kind::<User>(unit.site)?, body, None).await?;
    reread(unit, stored.int_pk()).await
}

/// Changes the named fields of a user.
///
/// # Errors
/// 404 when the user is gone; refusals of the fields; those of the store.
pub async fn update(unit: &mut Unit<'_>, id: i64, body: &Map) -> Result<Account, ApiError> {
    unit.update(kind::<User>(unit.site)?, &id.to_string(), body, Mode::Patch).await?;
    reread(unit, id).await
}

async fn reread(unit: &mut Unit<'_>, id: i64) -> Result<Account, ApiError> {
    find(&mut unit.tx, id).await.map_err(weir_resource::store)?.ok_or_else(ApiError::not_found)
}
