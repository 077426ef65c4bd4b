//! Connections of groups: definitions and rules. Which group it is can never be written: sign-ins find or make it.

use super::{OAUTH, add_sources, slug_condition};
use crate::oauth::OAuthSource;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_core::{ApiError, Backing, Map, Operations, Ref, Resource, TableDef};
use weir_identity::{Grants, Group, permission};
use weir_resource::{AnySource, Condition, Hooks, Presenting, Site, Stored, Unit, store};
use weir_store::Val;

/// A group connected with a group of any source.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GroupSourceConnection {
    /// The group.
    #[serde(default)]
    #[schemars(
        with = "uuid::Uuid",
        extend("x-ref" = "authentik_core.group", "x-on-delete" = "cascade", "readOnly" = true)
    )]
    pub group: Option<Ref<Group>>,
    /// The source.
    pub source: Ref<AnySource>,
    /// What tells the group from all others at the source.
    #[schemars(length(min = 1))]
    pub identifier: String,
    /// When the connection was made.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub created: Option<DateTime<Utc>>,
    /// When it was last written.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub last_updated: Option<DateTime<Utc>>,
}

/// A group connected with a group of an OAuth source.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GroupOAuthConnection {
    /// The group.
    #[serde(default)]
    #[schemars(
        with = "uuid::Uuid",
        extend("x-ref" = "authentik_core.group", "x-on-delete" = "cascade", "readOnly" = true)
    )]
    pub group: Option<Ref<Group>>,
    /// The source.
    pub source: Ref<OAuthSource>,
    /// What tells the group from all others at the source.
    #[schemars(length(min = 1))]
    pub identifier: String,
    /// When the connection was made.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub created: Option<DateTime<Utc>>,
    /// When it was last written.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub last_updated: Option<DateTime<Utc>>,
}

const ALL: TableDef =
    TableDef { table: "source_group_connection", pk: "id", pk_is_int: true, links: &[], only: "", search_index: "" };
const OF_OAUTH: TableDef = TableDef { only: "kind = 'oauth'", ..ALL };

impl Resource for GroupSourceConnection {
    const MODEL: &'static str = "authentik_core.groupsourceconnection";
    const PATH: &'static str = "sources/group_connections/all";
    const SCHEMA: &'static str = "GroupSourceConnection";
    const VERBOSE: &'static str = "Group Source Connection";
    const PARAM: &'static str = "id";
    const SEARCH: &'static [&'static str] = &["identifier"];
    const ORDER: &'static str = "source,identifier";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["source", "identifier"]];
    const BACKING: Backing = Backing::Table(&ALL);
    const OPERATIONS: Operations = Operations { create: false, update: true, destroy: true, used_by: true };
}

impl Resource for GroupOAuthConnection {
    const MODEL: &'static str = "authentik_sources_oauth.groupoauthsourceconnection";
    const PATH: &'static str = "sources/group_connections/oauth";
    const SCHEMA: &'static str = "GroupOAuthSourceConnection";
    const VERBOSE: &'static str = "Group OAuth Source Connection";
    const PARAM: &'static str = "id";
    const SEARCH: &'static [&'static str] = &["identifier"];
    const ORDER: &'static str = "source,identifier";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["source", "identifier"]];
    const BACKING: Backing = Backing::Table(&OF_OAUTH);
}

/// See [`GroupSourceConnection`].
pub struct GroupConnectionHooks;

#[async_trait]
impl Hooks for GroupConnectionHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let now = unit.site.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let named = new.get("identifier").and_then(Value::as_str).unwrap_or_default().to_owned();
        let group = match (old, new.get("group").and_then(Value::as_str)) {
            (Some(old), _) => old.text("group").to_owned(),
            // Imports name the group.
            (None, Some(group)) if unit.actor.user_id.is_none() => group.to_owned(),
            // A body has no place for the group: it is the one of the same name.
            (None, _) => {
                let sql = "SELECT id FROM identity_group WHERE name = $1";
                let row = unit.tx.read_one(sql, &[named.into()]).await.map_err(store)?;
                let id = row.map(|row| row.text("id")).transpose().map_err(store)?;
                id.ok_or_else(|| ApiError::field("identifier", "There is no group of this name."))?
            }
        };
        // Whoever is in the source's group becomes a member of this one.
        if let Some(actor) = unit.actor.user_id {
            let grants = Grants::load(&mut unit.tx, actor).await.map_err(store)?;
            permission::check_groups(&mut unit.tx, &grants, "identifier", std::slice::from_ref(&group)).await?;
        }
        new.insert("group".to_owned(), group.into());
        if old.is_none() {
            new.insert("created".to_owned(), now.clone().into());
        }
        new.insert("last_updated".to_owned(), now.into());
        Ok(())
    }

    fn columns(&self, _site: &Site, old: Option<&Stored>, _new: &Map) -> Vec<(&'static str, Val)> {
        if old.is_some() { Vec::new() } else { vec![("kind", OAUTH.into())] }
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        permission::forget_object(unit, old).await
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        add_sources(cx, rows, answers).await
    }

    fn filter(&self, site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        Ok((name == "source__slug").then(|| slug_condition(site, value)))
    }
}
