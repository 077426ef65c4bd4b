//! Initial permissions: what a role gets on each new object that one of its users makes.

use crate::{Reader, Role, membership, permission, reader::marks};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::{ApiError, Backing, FieldErrors, Map, Ref, Resource, TableDef};
use weir_resource::{Hooks, Presenting, Stored, Unit, store};
use weir_store::Val;

/// Permissions given on new objects.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InitialPermissions {
    /// Unique name.
    #[schemars(length(min = 1, max = 150))]
    pub name: String,
    /// The role whose users' new objects are meant, and which gets the permissions.
    pub role: Ref<Role>,
    /// Numbers of the permissions.
    #[serde(default)]
    pub permissions: Vec<i64>,
}

const TABLE: TableDef = TableDef {
    table: "identity_initial_permissions",
    pk: "id",
    pk_is_int: true,
    links: &[],
    only: "",
    search_index: "",
};

impl Resource for InitialPermissions {
    const MODEL: &'static str = "authentik_rbac.initialpermissions";
    const PATH: &'static str = "rbac/initial_permissions";
    const SCHEMA: &'static str = "InitialPermissions";
    const VERBOSE: &'static str = "Initial Permissions";
    const COMPONENT: &'static str = "ak-rbac-initial-permissions-form";
    const PARAM: &'static str = "id";
    const BACKING: Backing = Backing::Table(&TABLE);
}

/// See [`InitialPermissions`].
pub struct InitialPermissionsHooks;

fn numbers(doc: &Map) -> Vec<i64> {
    let list = doc.get("permissions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_i64).collect()
}

#[async_trait]
impl Hooks for InitialPermissionsHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, _old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let known = permission::all(&unit.site.registry);
        let mut errors = FieldErrors::new();
        for id in numbers(new) {
            if !known.iter().any(|p| p.id == id) {
                errors.add("permissions", weir_core::validate::invalid_pk(&json!(id)), "does_not_exist");
            }
        }
        errors.into_result()?;
        // Whoever makes such a rule gives these permissions away on objects to come.
        if let Some(actor) = unit.actor.user_id {
            let grants = crate::Grants::load(&mut unit.tx, actor).await.map_err(store)?;
            let mut conferred = crate::Grants { active: true, ..crate::Grants::default() };
            for permission in known.iter().filter(|p| numbers(new).contains(&p.id)) {
                conferred.add(permission.full.clone(), String::new());
            }
            permission::check_subset(&grants, "permissions", &conferred)?;
        }
        Ok(())
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let known = permission::all(&cx.site.registry);
        for (row, answer) in rows.iter().zip(answers) {
            let wanted = numbers(&row.doc);
            let shown: Vec<Value> = known.iter().filter(|p| wanted.contains(&p.id)).map(|p| p.to_value()).collect();
            answer.insert("permissions_obj".to_owned(), Value::Array(shown));
        }
        Ok(())
    }
}

/// Gives what the actor's roles prescribe on an object the actor has just made; to be called after each creation on
/// behalf of a signed-in user.
///
/// # Errors
/// Those of the store.
pub async fn apply(unit: &mut Unit<'_>, created: &Stored) -> Result<(), ApiError> {
    let Some(actor) = unit.actor.user_id else { return Ok(()) };
    let any = "SELECT COUNT(*) AS n FROM identity_initial_permissions";
    let row = unit.tx.read_one(any, &[]).await.map_err(store)?;
    if row.map_or(Ok(0), |r| r.int("n")).map_err(store)? == 0 {
        return Ok(());
    }
    let roles = membership::roles_of(&mut unit.tx, actor).await.map_err(store)?;
    if roles.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT role, permissions FROM identity_initial_permissions WHERE role IN ({}) ORDER BY id",
        marks(1, roles.len())
    );
    let vals: Vec<Val> = roles.iter().map(|r| Val::from(r.id)).collect();
    let known = permission::all(&unit.site.registry);
    for row in Reader::read(&mut unit.tx, &sql, &vals).await.map_err(store)? {
        let doc = Map::from_iter([("permissions".to_owned(), row.json("permissions").map_err(store)?)]);
        let wanted = numbers(&doc);
        let given: Vec<_> =
            known.iter().filter(|p| wanted.contains(&p.id) && p.full_model() == created.kind.model).cloned().collect();
        let role = row.text("role").map_err(store)?;
        permission::write_unchecked(unit, &role, &given, &created.pk).await?;
    }
    Ok(())
}
