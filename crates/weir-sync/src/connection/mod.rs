//! Which account at a target is whose here: one row for each, made by the sync or by an administrator who knows better.
//! Several may be connected with one object; the newest of an administrator is the one that is told of changes.

mod rows;

pub use rows::{
    Connection, Saved, Tables, find_many, forget, forget_all, groups_of, lock_object, members, of_object, owner, page,
    rename_member, save, still_known,
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
use weir_store::Val;

/// Connections can be made and removed, not changed.
const OPERATIONS: Operations = Operations { create: true, update: false, destroy: true, used_by: true };

const fn table(table: &'static str) -> TableDef {
    TableDef { table, pk: "id", pk_is_int: false, links: &[], only: "", search_index: "" }
}

/// A kind of connection: whose it is, whether of users or of groups, and what its target's identifier is called.
macro_rules! connection {
    ($(#[$doc:meta])* struct $name:ident { $id:ident, $object:ident: $of:ident },
     model = $model:literal, path = $path:literal, verbose = $verbose:literal, table = $table:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            /// What the target calls the object.
            #[schemars(length(min = 1))]
            pub $id: String,
            /// The object here.
            #[schemars(extend("x-on-delete" = "cascade"))]
            pub $object: Ref<$of>,
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
            const SCHEMA: &'static str = stringify!($name);
            const VERBOSE: &'static str = $verbose;
            const PARAM: &'static str = "id";
            const PK: &'static str = "id";
            const SEARCH: &'static [&'static str] = &[stringify!($id)];
            const ORDER: &'static str = stringify!($id);
            const UNIQUE: &'static [&'static [&'static str]] = &[&["provider", stringify!($id)]];
            const BACKING: Backing = Backing::Table(&{ const TABLE: TableDef = table($table); TABLE });
            const OPERATIONS: Operations = OPERATIONS;
        }
    };
}

connection! {
    /// A user whom a SCIM target knows.
    struct SCIMProviderUser { scim_id, user: User },
    model = "authentik_providers_scim.scimprovideruser",
    path = "providers/scim_users",
    verbose = "SCIM Provider User",
    table = "sync_scim_user"
}
connection! {
    /// A group that a SCIM target knows.
    struct SCIMProviderGroup { scim_id, group: Group },
    model = "authentik_providers_scim.scimprovidergroup",
    path = "providers/scim_groups",
    verbose = "SCIM Provider Group",
    table = "sync_scim_group"
}
connection! {
    /// A user whom Google Workspace knows.
    struct GoogleWorkspaceProviderUser { google_id, user: User },
    model = "authentik_providers_google_workspace.googleworkspaceprovideruser",
    path = "providers/google_workspace_users",
    verbose = "Google Workspace Provider User",
    table = "sync_google_user"
}
connection! {
    /// A group that Google Workspace knows.
    struct GoogleWorkspaceProviderGroup { google_id, group: Group },
    model = "authentik_providers_google_workspace.googleworkspaceprovidergroup",
    path = "providers/google_workspace_groups",
    verbose = "Google Workspace Provider Group",
    table = "sync_google_group"
}
connection! {
    /// A user whom Microsoft Entra knows.
    struct MicrosoftEntraProviderUser { microsoft_id, user: User },
    model = "authentik_providers_microsoft_entra.microsoftentraprovideruser",
    path = "providers/microsoft_entra_users",
    verbose = "Microsoft Entra Provider User",
    table = "sync_entra_user"
}
connection! {
    /// A group that Microsoft Entra knows.
    struct MicrosoftEntraProviderGroup { microsoft_id, group: Group },
    model = "authentik_providers_microsoft_entra.microsoftentraprovidergroup",
    path = "providers/microsoft_entra_groups",
    verbose = "Microsoft Entra Provider Group",
    table = "sync_entra_group"
}

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

    /// What the target has there is not what is here: it is told, and so are the groups that name the user.
    async fn tell(&self, unit: &mut Unit<'_>, row: &Stored) -> Result<(), ApiError> {
        let number = row.doc.get("provider").and_then(Value::as_i64).unwrap_or_default();
        let key = self.object(row);
        self.changes.tell_one(unit, number, self.model, &[Change::of(key.as_str())]).await?;
        if self.model == Model::User {
            let groups = rows::groups_of(&mut unit.tx, &[&key]).await.map_err(store)?;
            let groups: Vec<Change> = groups.into_iter().map(Change::of).collect();
            self.changes.tell_one(unit, number, Model::Group, &groups).await?;
        }
        Ok(())
    }

    /// Whether the object has another connection with the same target.
    async fn has_another(&self, unit: &mut Unit<'_>, row: &Stored) -> Result<bool, ApiError> {
        let number = row.doc.get("provider").and_then(Value::as_i64).unwrap_or_default();
        let Some(kind) = self.changes.kinds.find(self.provider) else { return Ok(false) };
        let which = (self.model, self.object(row));
        let found = rows::of_object(&mut unit.tx, &kind.tables(), number, (which.0, &which.1)).await.map_err(store)?;
        Ok(found.iter().any(|other| other.id != row.pk))
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

    fn columns(&self, site: &Site, old: Option<&Stored>, _new: &Map) -> Vec<(&'static str, Val)> {
        if old.is_some() { Vec::new() } else { vec![("chosen", site.clock.now().into())] }
    }

    async fn written(&self, unit: &mut Unit<'_>, _old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        self.tell(unit, new).await
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        permission::forget_object(unit, old).await?;
        // The other one is in use now.
        if self.has_another(unit, old).await? { self.tell(unit, old).await } else { Ok(()) }
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
