//! What is checked when an instance is saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};
use weir_core::{ApiError, FieldErrors, Map};
use weir_resource::{Hooks, Stored, Unit, store};

use crate::discover::Library;
use crate::format::Metadata;
use crate::import::{Accounts, Environment, Request, apply_in};
use crate::tags::Source;

/// A blueprint may make instances whose content makes instances, and so on, each checked inside the other.
const MAX_CHECKS: usize = 3;

/// See [`BlueprintInstance`](super::BlueprintInstance).
pub struct InstanceHooks {
    library: Library,
    accounts: Arc<dyn Accounts>,
    /// Checks under way. They hold the right to write configuration, so all are inside each other.
    checks: AtomicUsize,
}

impl InstanceHooks {
    /// Hooks for instances of blueprints found here.
    pub fn new(library: Library, accounts: Arc<dyn Accounts>) -> Self {
        Self { library, accounts, checks: AtomicUsize::new(0) }
    }
}

/// Counts a check for as long as it lives.
struct Checking<'c>(&'c AtomicUsize);

impl Drop for Checking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Hooks for InstanceHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let changed = |field: &&str| old.is_none_or(|old| old.doc.get(*field) != new.get(*field));
        let is_changed = ["path", "content", "context"].iter().any(changed);
        let takes_rights = is_changed || changed(&"enabled");
        let (path, content) = (text(new, "path"), text(new, "content"));
        if old.is_none() {
            let now = unit.site.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            new.insert("last_applied".to_owned(), now.into());
        }
        // The server applies it later with all rights, so that it takes all rights to say what is applied.
        if let Some(actor) = unit.actor.user_id
            && takes_rights
            && !weir_identity::membership::is_superuser(&mut unit.tx, actor).await.map_err(store)?
        {
            return Err(ApiError::forbidden());
        }
        // Written by the server after a run, or otherwise not about the blueprint itself.
        if !is_changed {
            return Ok(());
        }
        if path.is_empty() && content.is_empty() {
            return Err(ApiError::general("Either path or content must be set."));
        }
        let body = if content.is_empty() { self.library.read(&path) } else { Ok(content.clone()) };
        let body = body.map_err(|_| ApiError::field("path", "There is no blueprint at this path."))?;
        if !content.is_empty() {
            self.check_content(unit, new, content).await?;
        }
        let metadata = crate::format::Document::parse_metadata(&body).ok().flatten();
        new.insert("metadata".to_owned(), metadata_body(metadata.as_ref()));
        Ok(())
    }
}

fn text(doc: &Map, field: &str) -> String {
    doc.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Name and labels as JSON.
pub(super) fn metadata_body(metadata: Option<&Metadata>) -> Value {
    match metadata {
        Some(metadata) => json!({"name": metadata.name, "labels": metadata.labels}),
        None => json!({}),
    }
}

impl InstanceHooks {
    /// Runs the content and undoes it.
    async fn check_content(&self, unit: &mut Unit<'_>, new: &Map, content: String) -> Result<(), ApiError> {
        let context = new.get("context").and_then(Value::as_object).cloned().unwrap_or_default();
        let request = Request { text: content, source: Source::Submitted, context, overrides: Map::new() };
        let environment = Environment { library: &self.library, accounts: &*self.accounts };
        unit.lock_configuration().await?;
        let _checking = Checking(&self.checks);
        if self.checks.fetch_add(1, Ordering::SeqCst) >= MAX_CHECKS {
            return Err(ApiError::field("content", "Blueprints inside blueprints are nested too deeply."));
        }
        let before = Arc::clone(&unit.snapshot);
        let point = unit.tx.savepoint().await.map_err(store)?;
        let report = apply_in(unit, environment, &request).await;
        unit.tx.rollback_to(point).await.map_err(store)?;
        unit.snapshot = before;
        let report = report?;
        if report.success {
            return Ok(());
        }
        let mut errors = FieldErrors::new();
        errors.add("content", "Failed to validate blueprint", "invalid");
        for problem in report.problems() {
            errors.add("content", format!("- {problem}"), "invalid");
        }
        errors.into_result()
    }
}
