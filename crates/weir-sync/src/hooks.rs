//! Changes of users and groups become pending in the transaction that makes them.

use crate::{
    connection,
    provider::{self, Assigned, Kinds},
    state::{self, Change, Model},
    tasks,
};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeSet;
use weir_core::{ApiError, Map};
use weir_resource::{Hooks, Stored, Unit, store};

/// Tells the targets of changes.
pub struct Changes {
    /// All kinds of providers.
    pub kinds: Kinds,
}

impl Changes {
    /// Makes objects pending for one target, when it is one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tell_one(
        &self,
        unit: &mut Unit<'_>,
        number: i64,
        model: Model,
        changes: &[Change],
    ) -> Result<(), ApiError> {
        match provider::assigned(&unit.snapshot, &self.kinds, number) {
            Some(target) => self.enqueue(unit, &target, model, changes).await,
            None => Ok(()),
        }
    }

    async fn enqueue(
        &self,
        unit: &mut Unit<'_>,
        target: &Assigned,
        model: Model,
        changes: &[Change],
    ) -> Result<(), ApiError> {
        if changes.is_empty() {
            return Ok(());
        }
        let now = unit.site.clock.now();
        let random = unit.site.random.clone();
        state::enqueue(&mut unit.tx, (&*random, now), target.number, model, changes).await.map_err(store)?;
        tasks::wake(&mut unit.tx, (&*random, now), target).await.map_err(store)
    }

    /// Makes objects pending for all targets.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tell(
        &self,
        unit: &mut Unit<'_>,
        model: Model,
        keys: impl IntoIterator<Item = String>,
    ) -> Result<(), ApiError> {
        let changes: Vec<Change> = keys.into_iter().map(Change::of).collect();
        if changes.is_empty() {
            return Ok(());
        }
        for target in provider::all(&unit.snapshot, &self.kinds) {
            self.enqueue(unit, &target, model, &changes).await?;
        }
        Ok(())
    }

    /// An object is about to be deleted: what the targets call it is kept, for the row will be gone. A provider that no
    /// application names just now is told when one does again. The object is taken before its rows of the outbox, as
    /// whoever delivers does.
    async fn tell_gone(&self, unit: &mut Unit<'_>, model: Model, key: &str) -> Result<(), ApiError> {
        connection::lock_object(&mut unit.tx, (model, key)).await.map_err(store)?;
        for (number, object) in provider::every(&unit.snapshot, &self.kinds) {
            let Some(kind) = self.kinds.find(object.kind.model) else { continue };
            let tables = kind.tables();
            let known = connection::of_object(&mut unit.tx, &tables, number, (model, key)).await.map_err(store)?;
            let known = known.into_iter().map(|known| known.remote_id).collect();
            let change = Change { key: key.to_owned(), gone: Some(known) };
            match provider::assigned(&unit.snapshot, &self.kinds, number) {
                Some(target) => self.enqueue(unit, &target, model, &[change]).await?,
                None => {
                    let (random, now) = (unit.site.random.clone(), unit.site.clock.now());
                    let when = (&*random, now);
                    state::enqueue(&mut unit.tx, when, number, model, &[change]).await.map_err(store)?;
                }
            }
        }
        Ok(())
    }
}

fn keys(doc: Option<&Map>, field: &str) -> BTreeSet<String> {
    let items = doc.and_then(|doc| doc.get(field)).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
}

/// Entries that are in one of two lists only.
fn moved(old: Option<&Stored>, new: Option<&Stored>, field: &str) -> Vec<String> {
    let (before, after) = (keys(old.map(|o| &o.doc), field), keys(new.map(|n| &n.doc), field));
    before.symmetric_difference(&after).cloned().collect()
}

fn is_changed(old: Option<&Stored>, new: &Stored) -> bool {
    // When somebody last signed in is nobody else's business.
    const QUIET: [&str; 2] = ["last_login", "last_updated"];
    let Some(old) = old else { return true };
    new.doc.iter().any(|(name, value)| !QUIET.contains(&name.as_str()) && old.doc.get(name) != Some(value))
}

/// See [`Changes`].
pub struct UserChanges(pub std::sync::Arc<Changes>);

#[async_trait]
impl Hooks for UserChanges {
    async fn written(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        if !is_changed(old, new) {
            return Ok(());
        }
        self.0.tell(unit, Model::User, [new.pk.clone()]).await?;
        self.0.tell(unit, Model::Group, moved(old, Some(new), "groups")).await
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        self.0.tell_gone(unit, Model::User, &old.pk).await
    }
}

/// See [`Changes`].
pub struct GroupChanges(pub std::sync::Arc<Changes>);

#[async_trait]
impl Hooks for GroupChanges {
    async fn written(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        if !is_changed(old, new) {
            return Ok(());
        }
        // Whoever came or went may have gained or lost the application. Users first, as everywhere: two transactions that
        // mark the same objects never wait for each other.
        self.0.tell(unit, Model::User, moved(old, Some(new), "users")).await?;
        self.0.tell(unit, Model::Group, [new.pk.clone()]).await
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        connection::lock_object(&mut unit.tx, (Model::Group, &old.pk)).await.map_err(store)?;
        self.0.tell(unit, Model::User, keys(Some(&old.doc), "users")).await?;
        self.0.tell_gone(unit, Model::Group, &old.pk).await
    }
}
