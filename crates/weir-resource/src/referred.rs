//! Filters of lists over documents that look behind a reference, e.g. `destination_group__name`.

use crate::{ListQuery, Unit, store, table};
use serde_json::Value;
use uuid::Uuid;
use weir_core::{ApiError, Backing, ResourceType};

/// Objects that one filter looks up at most.
const MOST: i64 = 1000;

impl Unit<'_> {
    /// Filters by a field of what a reference points to (`destination_group__name`) become filters by its key.
    pub(crate) async fn resolve_references(
        &mut self,
        kind: &ResourceType,
        query: &ListQuery,
    ) -> Result<ListQuery, ApiError> {
        let mut parameters = Vec::with_capacity(query.parameters.len());
        for (name, value) in &query.parameters {
            match self.find_referred(kind, name, value).await? {
                Some((field, keys)) => {
                    // A key that nothing has: what was not found matches nothing.
                    let keys = if keys.is_empty() { vec![Uuid::nil().to_string()] } else { keys };
                    parameters.extend(keys.into_iter().map(|key| (field.clone(), key)));
                }
                None => parameters.push((name.clone(), value.clone())),
            }
        }
        Ok(ListQuery { parameters })
    }

    /// The field that a filter follows, and the keys of what it finds behind it; none for other filters.
    async fn find_referred(
        &mut self,
        kind: &ResourceType,
        name: &str,
        value: &str,
    ) -> Result<Option<(String, Vec<String>)>, ApiError> {
        let Some((base, wanted)) = name.split_once("__").filter(|_| !value.is_empty()) else { return Ok(None) };
        let field = kind.filterable().find(|field| field.name == base);
        let Some((field, reference)) = field.and_then(|field| Some((field, field.reference.as_ref()?))) else {
            return Ok(None);
        };
        let other = self.site.registry.find(&reference.model).filter(|other| !other.key_is_number());
        let Some(other) = other.filter(|other| other.filterable().any(|field| field.name == wanted)) else {
            return Ok(None);
        };
        let keys = match other.backing {
            Backing::Document => {
                let found = self.snapshot.of_model(other.model);
                found.filter(|o| o.doc.get(wanted).and_then(Value::as_str) == Some(value)).map(|o| o.pk()).collect()
            }
            Backing::Table(def) => {
                let (table, pk, column) = (def.table, def.pk, table::column(wanted));
                let sql = format!("SELECT {pk} AS found FROM {table} WHERE {column} = $1 LIMIT $2");
                let rows = self.tx.read(&sql, &[value.into(), MOST.into()]).await.map_err(store)?;
                rows.iter().map(|row| row.text("found")).collect::<Result<_, _>>().map_err(store)?
            }
        };
        Ok(Some((field.name.clone(), keys)))
    }
}
