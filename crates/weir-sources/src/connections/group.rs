//! Connections of groups: definitions and rules. Which group it is can never be written: sign-ins find or make it.

use super::{Connects, OAUTH, OfSource, add_sources, kind::table, slug_condition, stamp};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_core::{ApiError, Backing, Map, Operations, Ref, Resource, TableDef};
use weir_identity::{Grants, Group, permission};
use weir_resource::{Condition, Hooks, Presenting, Site, Stored, Unit, store};
use weir_store::Val;

/// A group connected with a group of a source.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(bound = "")]
#[schemars(bound = "S: Connects")]
pub struct GroupConnection<S: Connects> {
    /// The group.
    #[serde(default)]
    #[schemars(
        with = "uuid::Uuid",
        extend("x-ref" = "authentik_core.group", "x-on-delete" = "cascade", "readOnly" = true)
    )]
    pub group: Option<Ref<Group>>,
    /// What every connection has.
    #[serde(flatten)]
    pub of_source: OfSource<S>,
}

impl<S: Connects> GroupConnection<S> {
    const TABLE: TableDef = table("source_group_connection", S::ONLY);
}

impl<S: Connects> Resource for GroupConnection<S> {
    const MODEL: &'static str = S::GROUPS.model;
    const PATH: &'static str = S::GROUPS.path;
    const SCHEMA: &'static str = S::GROUPS.schema;
    const VERBOSE: &'static str = S::GROUPS.verbose;
    const PARAM: &'static str = "id";
    const SEARCH: &'static [&'static str] = &["identifier"];
    const ORDER: &'static str = "source,identifier";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["source", "identifier"]];
    const BACKING: Backing = Backing::Table(&Self::TABLE);
    const OPERATIONS: Operations = S::OPERATIONS;
}

/// Rules of [`GroupConnection`].
pub struct GroupConnectionHooks;

#[async_trait]
impl Hooks for GroupConnectionHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
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
        stamp(unit, old, new);
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
