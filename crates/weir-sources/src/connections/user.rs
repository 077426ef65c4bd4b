//! Connections of users: definitions and rules. Whose connection it is can never be written: it is the maker's own, and
//! stays with them.

use super::{Connects, OAUTH, OfSource, add_sources, kind::table, slug_condition, stamp};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_core::{ApiError, Backing, Map, Operations, Ref, Resource, TableDef};
use weir_identity::{Grants, User, accounts, permission};
use weir_resource::{Condition, Hooks, Presenting, Site, Stored, Unit, store};
use weir_store::Val;

/// A user connected with somebody at a source.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(bound = "")]
#[schemars(bound = "S: Connects")]
pub struct UserConnection<S: Connects> {
    /// The user.
    #[serde(default)]
    #[schemars(with = "i64", extend("x-ref" = "authentik_core.user", "x-on-delete" = "cascade", "readOnly" = true))]
    pub user: Option<Ref<User>>,
    /// What every connection has.
    #[serde(flatten)]
    pub of_source: OfSource<S>,
    /// What this kind of sources keeps besides.
    #[serde(flatten)]
    pub kept: S::Kept,
}

impl<S: Connects> UserConnection<S> {
    const TABLE: TableDef = table("source_user_connection", S::ONLY);
}

impl<S: Connects> Resource for UserConnection<S> {
    const MODEL: &'static str = S::USERS.model;
    const PATH: &'static str = S::USERS.path;
    const SCHEMA: &'static str = S::USERS.schema;
    const VERBOSE: &'static str = S::USERS.verbose;
    const PARAM: &'static str = "id";
    const SEARCH: &'static [&'static str] = &["identifier"];
    const ORDER: &'static str = "source,identifier";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["source", "identifier"], &["source", "user"]];
    const OWNER: Option<&'static str> = Some("user");
    const BACKING: Backing = Backing::Table(&Self::TABLE);
    const OPERATIONS: Operations = S::OPERATIONS;
}

/// Rules of [`UserConnection`].
pub struct UserConnectionHooks;

/// Refuses whoever would give somebody at a source the rights of a user who has more than they have themselves.
async fn check_conferred(unit: &mut Unit<'_>, actor: i64, owner: i64) -> Result<(), ApiError> {
    if actor == owner {
        return Ok(());
    }
    let grants = Grants::load(&mut unit.tx, actor).await.map_err(store)?;
    if grants.all() {
        return Ok(());
    }
    let conferred = Grants::load(&mut unit.tx, owner).await.map_err(store)?;
    if conferred.superuser {
        let text = "User does not have permission to connect this user.";
        return Err(ApiError::field("identifier", text));
    }
    permission::check_subset(&grants, "identifier", &conferred)
}

/// Key of the row that a new connection takes the place of; no field of a definition has this name.
const REPLACED: &str = "id";

/// A user has one connection with a source: a new one takes the place of the one before, under its key.
async fn make_room(unit: &mut Unit<'_>, owner: i64, new: &mut Map) -> Result<(), ApiError> {
    let source = new.get("source").and_then(Value::as_str).unwrap_or_default().to_owned();
    let sql = "DELETE FROM source_user_connection WHERE \"user\" = $1 AND source = $2 RETURNING id";
    let rows = unit.tx.write_returning(sql, &[owner.into(), source.into()]).await.map_err(store)?;
    if let Some(row) = rows.first() {
        new.insert(REPLACED.to_owned(), row.int("id").map_err(store)?.into());
    }
    Ok(())
}

#[async_trait]
impl Hooks for UserConnectionHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let owner = match old {
            Some(old) => old.doc.get("user").and_then(Value::as_i64),
            // A new connection is the maker's own; imports name the user.
            None => unit.actor.user_id.or_else(|| new.get("user").and_then(Value::as_i64)),
        };
        let owner = owner.ok_or_else(|| ApiError::field("user", "This field is required."))?;
        if let Some(actor) = unit.actor.user_id {
            check_conferred(unit, actor, owner).await?;
        }
        // A connection is a way in, and its keys open the profile: neither is written beside a lockdown.
        let account = accounts::lock_for(unit, owner).await?;
        if old.is_none() && !account.is_some_and(|account| account.is_active) {
            return Err(ApiError::field("user", "User is inactive."));
        }
        new.insert("user".to_owned(), owner.into());
        if old.is_none() {
            make_room(unit, owner, new).await?;
        }
        stamp(unit, old, new);
        Ok(())
    }

    fn columns(&self, _site: &Site, old: Option<&Stored>, new: &Map) -> Vec<(&'static str, Val)> {
        if old.is_some() {
            return Vec::new();
        }
        let mut columns = vec![("kind", OAUTH.into())];
        if let Some(id) = new.get(REPLACED).and_then(Value::as_i64) {
            columns.push(("id", id.into()));
        }
        columns
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        permission::forget_object(unit, old).await
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        // An end that was never told is left out: the contract knows no null there.
        for answer in answers.iter_mut() {
            if answer.get("expires").is_some_and(Value::is_null) {
                answer.shift_remove("expires");
            }
        }
        add_sources(cx, rows, answers).await
    }

    fn filter(&self, site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        Ok((name == "source__slug").then(|| slug_condition(site, value)))
    }
}
