//! Rules that need to look at other objects: references exist, unique values are free.

use super::{Stored, Unit};
use crate::{store, table};
use serde_json::Value;
use std::collections::BTreeSet;
use uuid::Uuid;
use weir_core::{ApiError, Backing, Field, FieldErrors, Map, ResourceType, TableDef, validate};
use weir_store::Val;

impl Unit<'_> {
    /// Refuses references to nothing; a policy-binding UUID becomes the object's own key.
    pub(super) async fn check_references(
        &mut self,
        kind: &'static ResourceType,
        doc: &mut Map,
    ) -> Result<(), ApiError> {
        let mut errors = FieldErrors::new();
        for field in kind.fields.iter().filter(|f| f.reference.is_some() && !f.read_only) {
            let Some(value) = doc.get(&field.name).filter(|v| !v.is_null()).cloned() else { continue };
            let values = match &value {
                Value::Array(items) => items.clone(),
                one => vec![one.clone()],
            };
            let mut resolved = Vec::with_capacity(values.len());
            let missing = self.resolve(field, &values, &mut resolved).await?;
            for value in missing {
                errors.add(&field.name, validate::invalid_pk(&value), "does_not_exist");
            }
            let new = if value.is_array() { Value::Array(resolved) } else { resolved.pop().unwrap_or(Value::Null) };
            doc.insert(field.name.clone(), new);
        }
        errors.into_result()
    }

    /// Splits references into those that exist (normalised, each once) and those that do not.
    async fn resolve(
        &mut self,
        field: &Field,
        values: &[Value],
        resolved: &mut Vec<Value>,
    ) -> Result<Vec<Value>, ApiError> {
        let Some(reference) = &field.reference else { return Ok(Vec::new()) };
        let targets = self.site.registry.targets(&reference.model);
        let mut missing = Vec::new();
        let table = targets.iter().find_map(|t| match t.backing {
            Backing::Table(def) => Some(def),
            Backing::Document => None,
        });
        let in_table = match table {
            Some(def) => self.existing(def, values).await?,
            None => BTreeSet::new(),
        };
        for value in values {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let key = reference.target(value).and_then(|key| Uuid::parse_str(&key).ok());
            let found = key.and_then(|id| {
                self.snapshot
                    .find(id)
                    .filter(|o| o.kind.answers_to(&reference.model))
                    .or_else(|| self.snapshot.policy_target(id).filter(|o| o.kind.answers_to(&reference.model)))
                    .map(|o| if reference.is_numbered { value.clone() } else { Value::from(o.id.to_string()) })
            });
            match found.or_else(|| in_table.contains(&text).then(|| value.clone())) {
                Some(found) if resolved.contains(&found) => {}
                Some(found) => resolved.push(found),
                None => missing.push(value.clone()),
            }
        }
        Ok(missing)
    }

    async fn existing(&mut self, def: &TableDef, values: &[Value]) -> Result<BTreeSet<String>, ApiError> {
        let keys: Vec<Val> = values
            .iter()
            .filter_map(|v| table::key(def, &v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
            .collect();
        let mut found = BTreeSet::new();
        for part in keys.chunks(500) {
            let marks: Vec<String> = (1..=part.len()).map(|i| format!("${i}")).collect();
            let sql = format!("SELECT {pk} FROM {} WHERE {pk} IN ({})", def.table, marks.join(", "), pk = def.pk);
            for row in self.tx.read(&sql, part).await.map_err(store)? {
                found.insert(if def.pk_is_int {
                    row.int(def.pk).map_err(store)?.to_string()
                } else {
                    row.text(def.pk).map_err(store)?
                });
            }
        }
        Ok(found)
    }

    pub(super) async fn check_unique(
        &mut self,
        kind: &'static ResourceType,
        old: Option<&Stored>,
        doc: &Map,
    ) -> Result<(), ApiError> {
        let mut errors = FieldErrors::new();
        for set in kind.unique {
            let Some(value) = unique_value(doc, set) else { continue };
            if old.is_some_and(|o| unique_value(&o.doc, set).as_deref() == Some(value.as_str())) {
                continue;
            }
            if self.is_taken(kind, set, doc, &value).await? {
                match set {
                    [field] => errors.add(
                        field,
                        format!("{} with this {} already exists.", kind.verbose_name, field.replace('_', " ")),
                        "unique",
                    ),
                    _ => errors.add(
                        FieldErrors::GENERAL,
                        format!("The fields {} must make a unique set.", set.join(", ")),
                        "unique",
                    ),
                }
            }
        }
        errors.into_result()
    }

    async fn is_taken(
        &mut self,
        kind: &'static ResourceType,
        set: &[&'static str],
        doc: &Map,
        value: &str,
    ) -> Result<bool, ApiError> {
        match kind.backing {
            Backing::Document => {
                let sql = "SELECT id FROM object_unique WHERE model = $1 AND key = $2 AND value = $3";
                let vals = [unique_scope(kind, set).into(), set.join(",").into(), value.into()];
                Ok(self.tx.read_one(sql, &vals).await.map_err(store)?.is_some())
            }
            Backing::Table(def) => {
                let wheres: Vec<String> =
                    set.iter().enumerate().map(|(i, f)| format!("{} = ${}", table::column(f), i + 1)).collect();
                let vals: Vec<Val> =
                    set.iter().filter_map(|f| Some(table::to_val(kind.find_field(f)?, doc.get(*f)))).collect();
                let sql = format!("SELECT {} FROM {} WHERE {}", def.pk, def.table, wheres.join(" AND "));
                Ok(self.tx.read_one(&sql, &vals).await.map_err(store)?.is_some())
            }
        }
    }
}

/// The joined value of a unique set; none when a part is null, because nulls never collide.
pub(super) fn unique_value(doc: &Map, set: &[&str]) -> Option<String> {
    let parts: Option<Vec<String>> = set
        .iter()
        .map(|field| match doc.get(*field) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        })
        .collect();
    parts.map(|p| p.join("\u{1f}"))
}

/// Names of stages, slugs of sources and the like are unique over all kinds of the family.
pub(super) fn unique_scope(kind: &ResourceType, set: &[&str]) -> &'static str {
    match kind.family {
        Some(family) if set == [family.unique()] => family.model(),
        _ => kind.model,
    }
}
