//! Blueprints as the HTTP side, the background and the command line need them.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use weir_blueprints::{
    BlueprintError, Source,
    accounts::IdentityAccounts,
    discover::{BlueprintFile, Library},
    import::{self, Environment, Request},
    instances::{self, InstanceHooks, Startup},
};
use weir_core::{ApiError, Map};
use weir_http::{Call, state::ImportSource};
use weir_resource::{Actor, Hooks, Site, Stored, Unit, store};
use weir_store::jobs::{self, NewJob, RelObj};

/// The actor that applies one instance.
pub const APPLY: &str = "apply_blueprint";

/// Where blueprints are found and how they are applied.
pub struct Blueprints {
    library: Library,
    accounts: Arc<IdentityAccounts>,
    started: DateTime<Utc>,
}

impl Blueprints {
    /// Over this library.
    pub fn new(library: Library, accounts: Arc<IdentityAccounts>, started: DateTime<Utc>) -> Self {
        Self { library, accounts, started }
    }

    /// What a run needs.
    pub fn environment(&self) -> Environment<'_> {
        Environment { library: &self.library, accounts: &*self.accounts }
    }

    /// What is checked when an instance is saved.
    pub fn hooks(&self) -> Arc<dyn Hooks> {
        let accounts = Arc::clone(&self.accounts);
        Arc::new(InstanceHooks::new(self.library.clone(), accounts))
    }

    /// Applies what is new or has changed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn apply_all(&self, site: &Site) -> Result<Startup> {
        Ok(instances::apply_all(site, self.environment()).await?)
    }

    /// Applies one instance; its problems when it was refused.
    ///
    /// # Errors
    /// 404 for an unknown instance; those of the store.
    pub async fn apply_one(&self, site: &Site, pk: &str) -> Result<Vec<String>> {
        let report = instances::apply_instance(site, Actor::system(), self.environment(), pk).await?;
        Ok(report.problems())
    }

    /// The contract's `BlueprintFile`. What comes with the program is as old as the running process.
    fn file(&self, file: &BlueprintFile) -> Value {
        let labels = file.metadata.as_ref().map(|metadata| json!(metadata.labels)).unwrap_or_else(|| json!({}));
        json!({
            "path": file.path,
            "last_m": file.modified.unwrap_or(self.started).to_rfc3339_opts(SecondsFormat::Micros, true),
            "hash": file.hash,
            "meta": {"name": file.name(), "labels": labels},
        })
    }
}

#[async_trait]
impl weir_http::state::Blueprints for Blueprints {
    async fn available(&self) -> Result<Vec<Value>, ApiError> {
        let library = self.library.clone();
        let listing = tokio::task::spawn_blocking(move || library.list()).await.map_err(anyhow::Error::new)?;
        Ok(listing.files.iter().map(|file| self.file(file)).collect())
    }

    async fn apply(&self, call: &Call, unit: &mut Unit<'_>, instance: &Stored) -> Result<(), ApiError> {
        let kind = instance.kind;
        let mut job = NewJob::new(APPLY, json!({"instance": instance.pk}));
        job.uid = Some(instance.name());
        job.rel_obj = Some(RelObj::new(kind.app_label(), kind.model_name(), &instance.pk));
        job.description = Some(format!("Apply blueprint {}", instance.name()));
        job.max_retries = 0;
        let site = &call.app.site;
        jobs::enqueue(&mut unit.tx, site.random.uuid(), site.clock.now(), &job).await.map_err(store)
    }

    async fn import(&self, call: &Call, source: ImportSource, context: Map) -> Result<Value, ApiError> {
        let (text, source) = match source {
            ImportSource::Text(text) => (text, Source::Submitted),
            ImportSource::Path(path) => {
                let read = self.library.read(&path);
                (read.map_err(|error| ApiError::field("path", public(&error)))?, Source::Disk)
            }
        };
        let request = Request { text, source, context: Map::new(), overrides: context };
        let report = import::apply(&call.app.site, call.actor(), self.environment(), &request).await?;
        Ok(report.body())
    }
}

fn public(error: &BlueprintError) -> String {
    match error {
        BlueprintError::Invalid(problem) => problem.to_string(),
        BlueprintError::Failed(_) => "The blueprint cannot be read.".to_owned(),
    }
}
