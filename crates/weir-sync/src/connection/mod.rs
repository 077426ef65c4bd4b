//! Which object at a target is which one here: one row for each, made by the sync or by an administrator who knows
//! better.

mod rows;

pub use rows::{
    Connection, Saved, Tables, find, forget, forget_all, groups_of, lock_object, members, page, save, still_known,
};

use crate::{
    hooks::Changes,
    state::{Change, Model},
};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use weir_core::{ApiError, Backing, Map, Operations, Ref, Resource, TableDef};
use weir_identity::{Group, User, accounts, group, permission, user};
use weir_resource::{AnyProvider, Condition, Hooks, Presenting, Site, Stored, Unit, store};

/// Connections can be made and removed, not changed.
const OPERATIONS: Operations = Operations { create: true, update: false, destroy: true, used_by: true };

const fn table(table: &'static str) -> TableDef {
    TableDef { table, pk: "id", pk_is_int: false, links: &[], only: "", search_index: "" }
}

macro_rules! user_connection {
    ($(#[$doc:meta])* $name:ident, $id:ident, $model:literal, $path:literal, $schema:literal, $verbose:literal, $table:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            /// What the target calls the user.
            #[schemars(length(min = 1))]
            pub $id: String,
            /// The user here.
            #[schemars(extend("x-on-delete" = "cascade"))]
            pub user: Ref<User>,
            /// The provider.
            pub provider: Ref<AnyProvider>,
            /// What was last sent.
            #[serde(default)]
            #[schemars(extend("readOnly" = true))]
            pub attributes: Map,
        }

        impl Resource for $name {
            const MODEL: &'static str = $model;
            const PATH: &'static str = $path;
            const SCHEMA: &'static str = $schema;
            const VERBOSE: &'static str = $verbose;
            const PARAM: &'static str = "id";
            const PK: &'static str = "id";
            const SEARCH: &'static [&'static str] = &[stringify!($id)];
            const ORDER: &'static str = stringify!($id);
            const UNIQUE: &'static [&'static [&'static str]] =
                &[&["provider", "user"], &["provider", stringify!($id)]];
            const BACKING: Backing = Backing::Table(&{ const TABLE: TableDef = table($table); TABLE });
            const OPERATIONS: Operations = OPERATIONS;
        }
    };
}

macro_rules! group_connection {
    ($(#[$doc:meta])* $name:ident, $id:ident, $model:literal, $path:literal, $schema:literal, $verbose:literal, $table:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            /// What the target calls the group.
            #[schemars(length(min = 1))]
            pub $id: String,
            /// The group here.
            #[schemars(extend("x-on-delete" = "cascade"))]
            pub group: Ref<Group>,
            /// The provider.
            pub provider: Ref<AnyProvider>,
            /// What was last sent.
            #[serde(default)]
            #[schemars(extend("readOnly" = true))]
            pub attributes: Map,
        }

        impl Resource for $name {
            const MODEL: &'static str = $model;
            const PATH: &'static str = $path;
            const SCHEMA: &'static str = $schema;
            const VERBOSE: &'static str = $verbose;
            const PARAM: &'static str = "id";
            const PK: &'static str = "id";
            const SEARCH: &'static [&'static str] = &[stringify!($id)];
            const ORDER: &'static str = stringify!($id);
            const UNIQUE: &'static [&'static [&'static str]] =
                &[&["provider", "group"], &["provider", stringify!($id)]];
            const BACKING: Backing = Backing::Table(&{ const TABLE: TableDef = table($table); TABLE });
            const OPERATIONS: Operations = OPERATIONS;
        }
    };
}

user_connection!(
    /// A user whom a SCIM target knows.
    SCIMProviderUser, scim_id, "authentik_providers_scim.scimprovideruser", "providers/scim_users",
    "SCIMProviderUser", "SCIM Provider User", "sync_scim_user"
);
group_connection!(
    /// A group that a SCIM target knows.
    SCIMProviderGroup, scim_id, "authentik_providers_scim.scimprovidergroup", "providers/scim_groups",
    "SCIMProviderGroup", "SCIM Provider Group", "sync_scim_group"
);
user_connection!(
    /// A user whom Google Workspace knows.
    GoogleWorkspaceProviderUser, google_id, "authentik_providers_google_workspace.googleworkspaceprovideruser",
    "providers/google_workspace_users", "GoogleWorkspaceProviderUser", "Google Workspace Provider User",
    "sync_google_user"
);
group_connection!(
    /// A group that Google Workspace knows.
    GoogleWorkspaceProviderGroup, google_id, "authentik_providers_google_workspace.googleworkspaceprovidergroup",
    "providers/google_workspace_groups", "GoogleWorkspaceProviderGroup", "Google Workspace Provider Group",
    "sync_google_group"
);
user_connection!(
    /// A user whom Microsoft Entra knows.
    MicrosoftEntraProviderUser, microsoft_id, "authentik_providers_microsoft_entra.microsoftentraprovideruser",
    "providers/microsoft_entra_users", "MicrosoftEntraProviderUser", "Microsoft Entra Provider User",
    "sync_entra_user"
);
group_connection!(
    /// A group that Microsoft Entra knows.
    MicrosoftEntraProviderGroup, microsoft_id, "authentik_providers_microsoft_entra.microsoftentraprovidergroup",
    "providers/microsoft_entra_groups", "MicrosoftEntraProviderGroup", "Microsoft Entra Provider Group",
    "sync_entra_group"
);

/// Behaviour of all kinds of connections.
pub struct ConnectionHooks {
    /// Users or groups.
    pub model: Model,
    /// Model of the provider that fits.
    pub provider: &'static str,
    /// Tells the engine.
    pub changes: Arc<Changes>,
}

impl ConnectionHooks {
    fn field(&self) -> &'static str {
        self.model.word()
    }

    fn object(&self, row: &Stored) -> String {
        match row.doc.get(self.field()) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    async fn users(&self, cx: &Presenting<'_>, rows: &[Stored]) -> Result<BTreeMap<String, Value>, ApiError> {
        let ids: Vec<i64> = rows.iter().filter_map(|row| row.doc.get("user")?.as_i64()).collect();
        let found = accounts::find_many(&cx.site.db, &ids).await.map_err(store)?;
        let install = &cx.site.installation.id;
        Ok(found.into_iter().map(|account| (account.id.to_string(), user::partial(&account, install))).collect())
    }

    async fn groups(&self, cx: &Presenting<'_>, rows: &[Stored]) -> Result<BTreeMap<String, Value>, ApiError> {
        let ids: Vec<String> = rows.iter().map(|row| row.text("group").to_owned()).collect();
        Ok(group::partial_many(&cx.site.db, &ids).await.map_err(store)?.into_iter().collect())
    }
}

#[async_trait]
impl Hooks for ConnectionHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, _old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let number = new.get("provider").and_then(Value::as_i64).unwrap_or_default();
        let fits = crate::provider::find(&unit.snapshot, number).is_some_and(|p| p.kind.model == self.provider);
        if fits {
            return Ok(());
        }
        let given = new.get("provider").cloned().unwrap_or_default();
        Err(ApiError::field("provider", weir_core::validate::invalid_pk(&given)))
    }

    async fn written(&self, unit: &mut Unit<'_>, _old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        // What the target has there is not what is here: it is told.
        let number = new.doc.get("provider").and_then(Value::as_i64).unwrap_or_default();
        self.changes.tell_one(unit, number, self.model, &[Change::of(self.object(new))]).await
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        permission::forget_object(unit, old).await
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let objects = match self.model {
            Model::User => self.users(cx, rows).await?,
            Model::Group => self.groups(cx, rows).await?,
        };
        for (row, answer) in rows.iter().zip(answers) {
            let shown = objects.get(&self.object(row)).cloned().unwrap_or_default();
            answer.insert(format!("{}_obj", self.field()), shown);
        }
        Ok(())
    }

    fn filter(&self, _site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        let number = || value.parse::<i64>().map_err(|_| ApiError::field(name, "Enter a number."));
        Ok(match (name, self.model) {
            ("provider__id", _) => Some(Condition::new("provider = ?", vec![number()?.into()])),
            ("user__id", Model::User) => Some(Condition::new("\"user\" = ?", vec![number()?.into()])),
            ("user__username", Model::User) => {
                let sql = "\"user\" IN (SELECT id FROM identity_user WHERE username = ?)";
                Some(Condition::new(sql, vec![value.into()]))
            }
            ("group__group_uuid", Model::Group) => {
                let key = uuid::Uuid::parse_str(value).map_err(|_| ApiError::field(name, "Enter a valid UUID."))?;
                Some(Condition::new("\"group\" = ?", vec![key.into()]))
            }
            ("group__name", Model::Group) => {
                let sql = "\"group\" IN (SELECT id FROM identity_group WHERE name = ?)";
                Some(Condition::new(sql, vec![value.into()]))
            }
            _ => None,
        })
    }
}
