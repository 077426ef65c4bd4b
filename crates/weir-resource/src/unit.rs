//! One request's work: a transaction, a view of the configuration that includes its own writes, and the audit trail.

mod checks;
mod document;

use crate::{Object, Settings, Site, Snapshot, TableRow, secret_parts, store, table};
use serde_json::{Value, json};
use std::{collections::BTreeSet, pin::Pin, sync::Arc};
use tokio::sync::OwnedMutexGuard;
use weir_core::{
    ApiError, Backing, FieldErrors, Map, OnDelete, ResourceType, TableDef,
    validate::{self, Mode},
};
use weir_events::{Event, MASK, Origin, action};
use weir_store::{Tx, Val};

/// Who is behind the work.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// For the audit trail.
    pub origin: Origin,
    /// The acting user, when signed in.
    pub user_id: Option<i64>,
    /// The user's security epoch when they were recognised: whatever is minted on their behalf must still be of it.
    pub epoch: Option<i64>,
    /// The request's id.
    pub request_id: String,
}

impl Actor {
    /// Weir itself.
    pub fn system() -> Self {
        Self { origin: Origin::system(), ..Self::default() }
    }
}

/// An object as it is kept.
#[derive(Clone)]
pub struct Stored {
    /// Its kind.
    pub kind: &'static ResourceType,
    /// Its key as text.
    pub pk: String,
    /// All fields, without the key.
    pub doc: Map,
}

impl Stored {
    /// The document of a snapshot object.
    pub fn of(object: &Object) -> Self {
        Self { kind: object.kind, pk: object.pk(), doc: object.doc.clone() }
    }

    /// The key as it stands in answers.
    pub fn pk_value(&self) -> Value {
        if self.kind.key_is_number() {
            return self.pk.parse::<i64>().map_or(Value::Null, Value::from);
        }
        Value::from(self.pk.clone())
    }

    /// The key as a number; 0 when it is none.
    pub fn int_pk(&self) -> i64 {
        self.pk.parse().unwrap_or_default()
    }

    /// A text field, empty when absent.
    pub fn text(&self, field: &str) -> &str {
        self.doc.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// What people call the object.
    pub fn name(&self) -> String {
        ["name", "slug", "identifier", "username", "domain"]
            .iter()
            .find_map(|f| self.doc.get(*f).and_then(Value::as_str).filter(|t| !t.is_empty()))
            .map_or_else(|| format!("{} {}", self.kind.verbose_name, self.pk), str::to_owned)
    }
}

/// Work of a unit, compiled here once and not into every crate that waits for it.
type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + 'a>>;

/// A transaction with everything that must happen together. Dropped without [`Unit::commit`], nothing happened.
pub struct Unit<'a> {
    /// The site.
    pub site: &'a Site,
    /// The transaction.
    pub tx: Tx,
    /// Configuration including this unit's own writes.
    pub snapshot: Arc<Snapshot>,
    /// Who acts.
    pub actor: Actor,
    writing: Option<OwnedMutexGuard<()>>,
}

impl<'a> Unit<'a> {
    /// Begins; nothing is locked before the first write.
    pub fn new(site: &'a Site, actor: Actor) -> Self {
        Self { site, tx: site.db.tx(), snapshot: site.snapshot(), actor, writing: None }
    }

    /// Makes everything durable, then visible on this node.
    ///
    /// # Errors
    /// Those of the store; nothing happened then.
    pub async fn commit(mut self) -> Result<(), ApiError> {
        let published = self.writing.is_some();
        if published {
            self.tx.notify_configuration(self.snapshot.revision).await.map_err(store)?;
        }
        self.tx.commit().await.map_err(store)?;
        if published {
            self.site.publish(self.snapshot);
        }
        Ok(())
    }

    /// Undoes everything.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn rollback(self) -> Result<(), ApiError> {
        self.tx.rollback().await.map_err(store)
    }

    /// Takes the right to write configuration, and the newest state of it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn lock_configuration(&mut self) -> Result<(), ApiError> {
        if self.writing.is_some() {
            return Ok(());
        }
        // Connection first: whoever holds the mutex then never waits for the one writer connection of SQLite.
        self.tx.begin_write().await.map_err(store)?;
        let guard = Arc::clone(&self.site.writing).lock_owned().await;
        self.tx.lock_configuration().await.map_err(store)?;
        self.site.catch_up_locked(Some(&mut self.tx)).await?;
        self.snapshot = self.site.snapshot();
        self.writing = Some(guard);
        Ok(())
    }

    /// Writes an event in this transaction.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn event(&mut self, mut event: Event) -> Result<(), ApiError> {
        if let Some(ip) = &self.actor.origin.client_ip {
            for (key, value) in [("geo", self.site.geo.place_json(ip)), ("asn", self.site.geo.network_json(ip))] {
                event.context.extend(value.map(|value| (key.to_owned(), value)));
            }
        }
        let retention = self.snapshot.settings.retention();
        let now = self.site.clock.now();
        weir_events::record(&mut self.tx, &*self.site.random, now, retention, &self.actor.origin, event)
            .await
            .map_err(store)?;
        Ok(())
    }

    /// An object by key.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find(&mut self, kind: &'static ResourceType, pk: &str) -> Result<Option<Stored>, ApiError> {
        match kind.backing {
            Backing::Document => {
                let Some(id) = kind.document_key(pk) else { return Ok(None) };
                Ok(self.snapshot.find_kind(kind.model, id).map(|o| Stored::of(o)))
            }
            Backing::Table(def) => Ok(self.find_row(kind, def.pk, pk).await?.map(|r| r.stored)),
        }
    }

    /// An object by the field that addresses it in URLs.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn look_up(&mut self, kind: &'static ResourceType, address: &str) -> Result<Option<Stored>, ApiError> {
        if kind.lookup == "pk" {
            return self.find(kind, address).await;
        }
        match kind.backing {
            Backing::Document => Ok(self.snapshot.by_unique(kind.model, kind.lookup, address).map(|o| Stored::of(o))),
            Backing::Table(_) => Ok(self.find_row(kind, kind.lookup, address).await?.map(|r| r.stored)),
        }
    }

    /// A row of a table-backed kind by a column; for kinds with documents always none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find_row(
        &mut self,
        kind: &'static ResourceType,
        by: &str,
        value: &str,
    ) -> Result<Option<TableRow>, ApiError> {
        let Backing::Table(def) = kind.backing else { return Ok(None) };
        let value = if by == def.pk {
            match table::key(def, value) {
                Some(key) => key,
                None => return Ok(None),
            }
        } else {
            Val::from(value)
        };
        table::find(self.site, &mut self.tx, kind, def, by, value).await
    }

    /// Creates an object from a client's body. `pk` is given by imports only.
    ///
    /// # Errors
    /// Refusals of the body; those of the store.
    pub async fn create(
        &mut self,
        kind: &'static ResourceType,
        body: &Map,
        pk: Option<String>,
    ) -> Result<Stored, ApiError> {
        self.begin(kind).await?;
        let merged = validate::merge(kind, None, body, Mode::Create);
        self.save(kind, None, merged, pk, Vec::new()).await
    }

    /// Creates an object on behalf of the server: read-only fields and, for kinds with a table, columns that the
    /// definition does not name may be given.
    ///
    /// # Errors
    /// Refusals of the kind's rules; those of the store.
    pub async fn make(
        &mut self,
        kind: &'static ResourceType,
        fields: Map,
        columns: Vec<(&'static str, Val)>,
    ) -> Result<Stored, ApiError> {
        self.begin(kind).await?;
        let mut doc = kind.defaults();
        doc.extend(fields);
        self.save(kind, None, Ok(doc), None, columns).await
    }

    /// Changes an object by a client's body.
    ///
    /// # Errors
    /// 404 when it is gone; refusals of the body; those of the store.
    pub async fn update(
        &mut self,
        kind: &'static ResourceType,
        pk: &str,
        body: &Map,
        mode: Mode,
    ) -> Result<Stored, ApiError> {
        self.begin(kind).await?;
        self.lock_row(kind, pk).await?;
        // Read again inside the transaction: what the caller saw may have changed since.
        let old = self.find(kind, pk).await?.ok_or_else(ApiError::not_found)?;
        let merged = validate::merge(kind, Some(&old.doc), body, mode);
        self.save(kind, Some(old), merged, None, Vec::new()).await
    }

    /// Changes fields on behalf of the server, read-only ones included.
    ///
    /// # Errors
    /// As [`Unit::update`].
    pub async fn set(&mut self, kind: &'static ResourceType, pk: &str, fields: Map) -> Result<Stored, ApiError> {
        self.begin(kind).await?;
        self.lock_row(kind, pk).await?;
        let old = self.find(kind, pk).await?.ok_or_else(ApiError::not_found)?;
        let mut doc = old.doc.clone();
        doc.extend(fields);
        self.save(kind, Some(old), Ok(doc), None, Vec::new()).await
    }

    /// Replaces the system settings.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn write_settings(&mut self, settings: Settings) -> Result<(), ApiError> {
        self.lock_configuration().await?;
        let sql = "INSERT INTO installation (key, value) VALUES ('settings', $1) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        let text = serde_json::to_string(&settings).map_err(anyhow::Error::new)?;
        self.tx.write(sql, &[text.into()]).await.map_err(store)?;
        // A revision without an object tells the other nodes to look.
        let sql = "INSERT INTO object_revision (object_id, model, action, data, actor, request_id, created) \
                   VALUES ('settings', 'settings', 'update', $1, $2, $3, $4) RETURNING id";
        let before = serde_json::to_string(&*self.snapshot.settings).map_err(anyhow::Error::new)?;
        let vals: [Val; 4] = [
            before.into(),
            self.actor.origin.user.to_string().into(),
            self.actor.request_id.clone().into(),
            self.site.clock.now().into(),
        ];
        let rows = self.tx.write_returning(sql, &vals).await.map_err(store)?;
        let row = rows.first().ok_or_else(|| anyhow::anyhow!("a revision got no number"))?;
        let snapshot = Arc::make_mut(&mut self.snapshot);
        snapshot.revision = row.int("id").map_err(store)?;
        snapshot.settings = Arc::new(settings);
        Ok(())
    }

    async fn begin(&mut self, kind: &'static ResourceType) -> Result<(), ApiError> {
        match kind.backing {
            Backing::Document => self.lock_configuration().await,
            Backing::Table(_) => self.tx.begin_write().await.map_err(store),
        }
    }

    /// Keeps others from changing a row between our look at it and our write, which sets every column.
    async fn lock_row(&mut self, kind: &'static ResourceType, pk: &str) -> Result<(), ApiError> {
        let lock = self.tx.dialect().for_update();
        if let (Backing::Table(def), false) = (kind.backing, lock.is_empty())
            && let Some(key) = table::key(def, pk)
        {
            let sql = format!("SELECT {pk} FROM {} WHERE {pk} = $1{lock}", def.table, pk = def.pk);
            self.tx.read(&sql, &[key]).await.map_err(store)?;
        }
        Ok(())
    }

    fn save(
        &mut self,
        kind: &'static ResourceType,
        old: Option<Stored>,
        merged: Result<Map, FieldErrors>,
        pk: Option<String>,
        columns: Vec<(&'static str, Val)>,
    ) -> Work<'_, Stored> {
        Box::pin(self.check_and_write(kind, old, merged, pk, columns))
    }

    async fn check_and_write(
        &mut self,
        kind: &'static ResourceType,
        old: Option<Stored>,
        merged: Result<Map, FieldErrors>,
        pk: Option<String>,
        columns: Vec<(&'static str, Val)>,
    ) -> Result<Stored, ApiError> {
        let mut doc = merged?;
        secret_parts::keep(kind, old.as_ref().map(|old| &old.doc), &mut doc);
        self.check_references(kind, &mut doc).await?;
        for hooks in self.site.hooks.of(kind.model) {
            hooks.prepare(self, old.as_ref(), &mut doc).await?;
        }
        let refused = (kind.check)(Value::Object(doc.clone()))
            .map_err(|error| ApiError::BadRequest(format!("The body does not fit: {error}.")))?;
        refused.into_result()?;
        self.check_unique(kind, old.as_ref(), &doc).await?;
        let stored = match kind.backing {
            Backing::Document => self.write_document(kind, old.as_ref(), pk, doc).await?,
            Backing::Table(def) => self.write_table((kind, def), old.as_ref(), pk, doc, columns).await?,
        };
        for hooks in self.site.hooks.of(kind.model) {
            hooks.written(self, old.as_ref(), &stored).await?;
        }
        self.audit(old.as_ref(), Some(&stored)).await?;
        Ok(stored)
    }

    async fn write_table(
        &mut self,
        (kind, def): (&'static ResourceType, &'static TableDef),
        old: Option<&Stored>,
        pk: Option<String>,
        doc: Map,
        mut extra: Vec<(&'static str, Val)>,
    ) -> Result<Stored, ApiError> {
        for hooks in self.site.hooks.of(kind.model) {
            for (name, val) in hooks.columns(self.site, old, &doc) {
                // What the caller gave wins.
                if !extra.iter().any(|(given, _)| *given == name) {
                    extra.push((name, val));
                }
            }
        }
        // Where the key is a field, whoever makes the object chooses it.
        let chosen = doc.get(def.pk).and_then(Value::as_str).map(str::to_owned);
        let pk = match (old, pk.or(chosen)) {
            (None, None) if !def.pk_is_int => Some(self.site.random.uuid().to_string()),
            (_, pk) => pk,
        };
        let pk = table::write(&mut self.tx, kind, def, old, pk.as_deref(), &doc, extra).await?;
        Ok(Stored { kind, pk, doc })
    }

    /// Deletes an object and carries out the rules of those that refer to it.
    ///
    /// # Errors
    /// 404 when it is gone; those of the store.
    pub fn delete<'w>(&'w mut self, kind: &'static ResourceType, pk: &'w str) -> Work<'w, ()> {
        Box::pin(self.delete_all(kind, pk))
    }

    async fn delete_all(&mut self, kind: &'static ResourceType, pk: &str) -> Result<(), ApiError> {
        self.lock_configuration().await?;
        let mut pending = vec![(kind, pk.to_owned())];
        let mut deleted = BTreeSet::new();
        // A list, not recursion: chains of references may be long.
        while let Some((kind, pk)) = pending.pop() {
            if !deleted.insert(pk.clone()) {
                continue;
            }
            let Some(old) = self.find(kind, &pk).await? else {
                if deleted.len() == 1 {
                    return Err(ApiError::not_found());
                }
                continue;
            };
            for hooks in self.site.hooks.of(kind.model) {
                hooks.deleting(self, &old).await?;
            }
            let referring: Vec<(Arc<Object>, &'static str)> =
                self.snapshot.referring(&kind.index_key(&pk)).map(|(o, f)| (Arc::clone(o), f)).collect();
            for (object, field) in referring {
                let reference = object.kind.find_field(field).and_then(|f| f.reference.as_ref());
                // Keys that are numbers mean another object in each kind.
                let rule = reference.filter(|r| kind.answers_to(&r.model)).map(|r| r.on_delete);
                match rule {
                    Some(OnDelete::Cascade) => pending.push((object.kind, object.pk())),
                    Some(rule) => self.forget(&object, field, &pk, rule).await?,
                    None => {}
                }
            }
            self.remove(&old).await?;
            self.audit(Some(&old), None).await?;
        }
        Ok(())
    }

    /// Takes a deleted key out of a referring document.
    async fn forget(&mut self, object: &Object, field: &str, pk: &str, rule: OnDelete) -> Result<(), ApiError> {
        // Read again: an earlier step of this deletion may have changed it.
        let Some(object) = self.snapshot.find(object.id).cloned() else { return Ok(()) };
        let mut doc = object.doc.clone();
        match doc.get_mut(field) {
            Some(Value::Array(items)) if rule == OnDelete::Drop => {
                let number = pk.parse::<i64>().ok();
                items.retain(|v| v.as_str() != Some(pk) && (number.is_none() || v.as_i64() != number));
            }
            Some(value) => *value = Value::Null,
            None => return Ok(()),
        }
        let old = Stored::of(&object);
        self.write_document(object.kind, Some(&old), None, doc).await?;
        Ok(())
    }

    async fn remove(&mut self, old: &Stored) -> Result<(), ApiError> {
        match old.kind.backing {
            Backing::Document => {
                let id = old.kind.document_key(&old.pk).ok_or_else(ApiError::not_found)?;
                for sql in [
                    "DELETE FROM object_ref WHERE from_id = $1",
                    "DELETE FROM object_unique WHERE id = $1",
                    "DELETE FROM object WHERE id = $1",
                ] {
                    self.tx.write(sql, &[id.to_string().into()]).await.map_err(store)?;
                }
                self.revise(old.kind, &id.to_string(), "delete", Some(old)).await?;
                Arc::make_mut(&mut self.snapshot).remove(id);
            }
            Backing::Table(def) => {
                let sql = format!("DELETE FROM {} WHERE {} = $1", def.table, def.pk);
                let key = table::key(def, &old.pk).ok_or_else(ApiError::not_found)?;
                self.tx.write(&sql, &[key]).await.map_err(store)?;
            }
        }
        Ok(())
    }

    /// `model_created`, `model_updated` with the difference, `model_deleted`.
    async fn audit(&mut self, old: Option<&Stored>, new: Option<&Stored>) -> Result<(), ApiError> {
        let Some(subject) = new.or(old).filter(|s| s.kind.audited) else { return Ok(()) };
        // Numbers stay numbers, as in every other event about the object.
        let number = subject.kind.key_is_number().then(|| subject.pk.parse::<i64>().ok()).flatten();
        let mut context = json!({"model": {
            "app": subject.kind.app_label(),
            "model_name": subject.kind.model_name(),
            "pk": number.map_or_else(|| Value::from(subject.pk.replace('-', "")), Value::from),
            "name": subject.name(),
        }});
        let what = match (old, new) {
            (None, _) => action::MODEL_CREATED,
            (Some(_), None) => action::MODEL_DELETED,
            (Some(old), Some(new)) => {
                let diff = difference(old, new);
                if diff.is_empty() {
                    return Ok(());
                }
                if let Some(context) = context.as_object_mut() {
                    context.insert("diff".to_owned(), Value::Object(diff));
                }
                action::MODEL_UPDATED
            }
        };
        self.event(Event::new(what, subject.kind.app_label(), context)).await
    }
}

/// `{field: {previous_value, new_value}}`; secrets are masked by type.
fn difference(old: &Stored, new: &Stored) -> Map {
    let mut diff = Map::new();
    for field in &new.kind.fields {
        let (before, after) = (old.doc.get(&field.name), new.doc.get(&field.name));
        if before == after {
            continue;
        }
        let shown = |value: Option<&Value>| match value {
            Some(v) if !field.write_only => {
                let mut value = v.clone();
                secret_parts::hide(new.kind, &field.name, &mut value);
                value
            }
            Some(_) => Value::from(MASK),
            None => Value::Null,
        };
        diff.insert(field.name.clone(), json!({"previous_value": shown(before), "new_value": shown(after)}));
    }
    diff
}
