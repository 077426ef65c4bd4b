//! How a document is kept: its row, its references, its unique values, its former revisions.

use super::{Stored, Unit, checks};
use crate::{Object, store};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};
use uuid::Uuid;
use weir_core::{
    ApiError, Family, Map, ResourceType,
    resource::{number_of, numbered_key},
};
use weir_store::Val;

impl Unit<'_> {
    pub(super) async fn write_document(
        &mut self,
        kind: &'static ResourceType,
        old: Option<&Stored>,
        pk: Option<String>,
        doc: Map,
    ) -> Result<Stored, ApiError> {
        let now = self.site.clock.now();
        let uuid = match (old.map(|old| &old.pk), &pk) {
            (Some(pk), _) | (None, Some(pk)) => {
                let text = if kind.is_numbered() { "A valid integer is required." } else { "Must be a valid UUID." };
                kind.document_key(pk).ok_or_else(|| ApiError::field(kind.pk, text))?
            }
            (None, None) if kind.is_numbered() => self.next_number(kind).await?,
            (None, None) => self.site.random.uuid(),
        };
        if old.is_none() && pk.is_some() {
            self.count_number(kind, uuid).await?;
        }
        let id = uuid.to_string();
        let created = self.snapshot.find(uuid).map_or(now, |o| o.created);
        let object = Object::new(kind, uuid, doc.clone(), created, now).map_err(anyhow::Error::new)?;
        let text = Value::Object(doc.clone());
        if old.is_some() {
            let sql = "UPDATE object SET data = $1, changed = $2 WHERE id = $3";
            self.tx.write(sql, &[text.into(), now.into(), id.clone().into()]).await.map_err(store)?;
            for sql in ["DELETE FROM object_ref WHERE from_id = $1", "DELETE FROM object_unique WHERE id = $1"] {
                self.tx.write(sql, &[id.clone().into()]).await.map_err(store)?;
            }
        } else {
            let sql = "INSERT INTO object (id, model, data, created, changed) VALUES ($1, $2, $3, $4, $4)";
            let vals = [id.clone().into(), kind.model.into(), text.into(), now.into()];
            self.tx.write(sql, &vals).await.map_err(store)?;
        }
        self.write_indexes(&object).await?;
        self.revise(kind, &id, if old.is_some() { "update" } else { "create" }, old).await?;
        Arc::make_mut(&mut self.snapshot).put(Arc::new(object));
        Ok(Stored { kind, pk: kind.shown_key(uuid), doc })
    }

    /// The key of a new document that is known by a number. Numbers are never given twice.
    async fn next_number(&mut self, kind: &ResourceType) -> Result<Uuid, ApiError> {
        let sql = "INSERT INTO object_number (family, last) VALUES ($1, 1) \
                   ON CONFLICT (family) DO UPDATE SET last = object_number.last + 1 RETURNING last";
        let family = kind.family.map_or(kind.model, Family::model);
        let rows = self.tx.write_returning(sql, &[family.into()]).await.map_err(store)?;
        let row = rows.first().ok_or_else(|| anyhow::anyhow!("an object got no number"))?;
        let number = row.int("last").map_err(store)?;
        Ok(numbered_key(number).ok_or_else(|| anyhow::anyhow!("no numbers are left"))?)
    }

    /// Leaves out a number that an import chose.
    async fn count_number(&mut self, kind: &ResourceType, key: Uuid) -> Result<(), ApiError> {
        let Some(number) = number_of(key).filter(|_| kind.is_numbered()) else { return Ok(()) };
        let sql = "INSERT INTO object_number (family, last) VALUES ($1, $2) ON CONFLICT (family) DO UPDATE \
                   SET last = CASE WHEN object_number.last < excluded.last THEN excluded.last ELSE object_number.last END";
        let family = kind.family.map_or(kind.model, Family::model);
        self.tx.write(sql, &[family.into(), number.into()]).await.map_err(store)?;
        Ok(())
    }

    async fn write_indexes(&mut self, object: &Object) -> Result<(), ApiError> {
        let id = object.id.to_string();
        let mut seen = BTreeSet::new();
        for (field, target) in object.references() {
            let Some(reference) = object.kind.find_field(field).and_then(|f| f.reference.as_ref()) else { continue };
            if seen.insert((field, target.clone())) {
                let sql =
                    "INSERT INTO object_ref (from_id, field, to_model, to_id, on_delete) VALUES ($1, $2, $3, $4, $5)";
                let vals = [
                    id.clone().into(),
                    field.into(),
                    reference.model.clone().into(),
                    target.into(),
                    reference.on_delete.as_str().into(),
                ];
                self.tx.write(sql, &vals).await.map_err(store)?;
            }
        }
        for set in object.kind.unique {
            if let Some(value) = checks::unique_value(&object.doc, set) {
                let sql = "INSERT INTO object_unique (model, key, value, id) VALUES ($1, $2, $3, $4)";
                let vals = [
                    checks::unique_scope(object.kind, set).into(),
                    set.join(",").into(),
                    value.into(),
                    id.clone().into(),
                ];
                self.tx.write(sql, &vals).await.map_err(store)?;
            }
        }
        Ok(())
    }

    /// Keeps the document as it was, and counts the revision that other nodes follow.
    pub(super) async fn revise(
        &mut self,
        kind: &ResourceType,
        id: &str,
        what: &str,
        old: Option<&Stored>,
    ) -> Result<(), ApiError> {
        let sql = "INSERT INTO object_revision (object_id, model, action, data, actor, request_id, created) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
        let vals: [Val; 7] = [
            id.into(),
            kind.model.into(),
            what.into(),
            old.map(|o| Value::Object(o.doc.clone()).to_string()).into(),
            Some(self.actor.origin.user.to_string()).into(),
            Some(self.actor.request_id.clone()).into(),
            self.site.clock.now().into(),
        ];
        let rows = self.tx.write_returning(sql, &vals).await.map_err(store)?;
        let row = rows.first().ok_or_else(|| anyhow::anyhow!("a revision got no number"))?;
        Arc::make_mut(&mut self.snapshot).revision = row.int("id").map_err(store)?;
        Ok(())
    }
}
