//! Values that no two objects may have: one row for each, so that the database keeps two writers apart.

use super::ObjectAttribute;
use serde_json::Value;
use uuid::Uuid;
use weir_core::{ApiError, Backing, ResourceType};
use weir_resource::{Stored, Unit, store};
use weir_store::Val;

/// How a value is compared: as its text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether another object has a value.
pub(super) async fn is_taken(
    unit: &mut Unit<'_>,
    attribute: Uuid,
    own: Option<&str>,
    value: &Value,
) -> Result<bool, ApiError> {
    let sql = "SELECT object_id FROM object_attribute_value WHERE attribute = $1 AND value = $2 AND object_id <> $3";
    let vals: [Val; 3] = [attribute.into(), text(value).into(), own.unwrap_or_default().into()];
    Ok(unit.tx.read_one(sql, &vals).await.map_err(store)?.is_some())
}

/// Puts an object's value in place of the one before; false when another object has it.
pub(super) async fn claim(
    unit: &mut Unit<'_>,
    attribute: Uuid,
    object: &str,
    value: Option<&Value>,
) -> Result<bool, ApiError> {
    let sql = "DELETE FROM object_attribute_value WHERE attribute = $1 AND object_id = $2";
    unit.tx.write(sql, &[attribute.into(), object.into()]).await.map_err(store)?;
    let Some(value) = value else { return Ok(true) };
    let sql = "INSERT INTO object_attribute_value (attribute, value, object_id) VALUES ($1, $2, $3) \
               ON CONFLICT DO NOTHING RETURNING object_id";
    let vals: [Val; 3] = [attribute.into(), text(value).into(), object.into()];
    Ok(!unit.tx.write_returning(sql, &vals).await.map_err(store)?.is_empty())
}

/// Gives up all values of an object that goes.
pub(super) async fn release(unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
    let mut attributes = unit.snapshot.all::<ObjectAttribute>();
    attributes.retain(|(_, attribute)| attribute.is_unique && attribute.object_type == old.kind.model);
    for (key, _) in attributes {
        let sql = "DELETE FROM object_attribute_value WHERE attribute = $1 AND object_id = $2";
        unit.tx.write(sql, &[key.into(), old.pk.clone().into()]).await.map_err(store)?;
    }
    Ok(())
}

/// Collects the values that objects have already; false when two are the same.
pub(super) async fn collect(
    unit: &mut Unit<'_>,
    attribute: Uuid,
    kind: &'static ResourceType,
    key: &str,
) -> Result<bool, ApiError> {
    forget(unit, attribute).await?;
    match kind.backing {
        Backing::Table(def) => {
            let dialect = unit.tx.dialect();
            let value = dialect.json_text("o.attributes", "$1");
            let path = dialect.json_path(&[key]);
            let sql = format!(
                "SELECT {value} AS value FROM {} o WHERE {value} IS NOT NULL GROUP BY {value} HAVING COUNT(*) > 1 LIMIT 1",
                def.table
            );
            if unit.tx.read_one(&sql, std::slice::from_ref(&path)).await.map_err(store)?.is_some() {
                return Ok(false);
            }
            let sql = format!(
                "INSERT INTO object_attribute_value (attribute, value, object_id) \
                 SELECT CAST($2 AS TEXT), {value}, CAST(o.{} AS TEXT) FROM {} o WHERE {value} IS NOT NULL",
                def.pk, def.table
            );
            unit.tx.write(&sql, &[path, attribute.into()]).await.map_err(store)?;
        }
        Backing::Document => {
            let snapshot = std::sync::Arc::clone(&unit.snapshot);
            for object in snapshot.of_model(kind.model) {
                let value = object.doc.get("attributes").and_then(|all| all.get(key)).filter(|value| !value.is_null());
                if !claim(unit, attribute, &object.pk(), value).await? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Forgets what was collected.
pub(super) async fn forget(unit: &mut Unit<'_>, attribute: Uuid) -> Result<(), ApiError> {
    let sql = "DELETE FROM object_attribute_value WHERE attribute = $1";
    unit.tx.write(sql, &[attribute.into()]).await.map_err(store)?;
    Ok(())
}
