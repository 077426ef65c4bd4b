//! The source that stands for the accounts of the site itself. It is there from the start, other systems refer to it,
//! and nobody can change it.

use crate::base::{self, SourceBase};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_core::{ApiError, Family, FieldErrors, Map, Operations, Resource, resource::UuidKeyed};
use weir_resource::{Hooks, Presenting, Stored, Unit};

/// What marks it.
pub const MANAGED: &str = "goauthentik.io/sources/inbuilt";
/// Its slug.
pub const SLUG: &str = "authentik-built-in";

/// The accounts of the site itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InbuiltSource {
    /// What every source has.
    #[serde(flatten)]
    pub base: SourceBase,
}

impl UuidKeyed for InbuiltSource {}
impl Resource for InbuiltSource {
    const MODEL: &'static str = Family::Source.model();
    const PATH: &'static str = Family::Source.path();
    const SCHEMA: &'static str = "Source";
    const VERBOSE: &'static str = "Source";
    const FAMILY: Option<Family> = Some(Family::Source);
    const LOOKUP: &'static str = "slug";
    const PARAM: &'static str = "slug";
    const SEARCH: &'static [&'static str] = &["slug", "name"];
    const UNIQUE: &'static [&'static [&'static str]] = &[&["slug"]];
    const POLICY_TARGET: bool = true;
    const OPERATIONS: Operations = Operations { create: false, update: false, destroy: true, used_by: true };

    fn check(&self) -> FieldErrors {
        self.base.check()
    }
}

/// Makes the source when it is missing.
///
/// # Errors
/// Those of the store.
pub async fn ensure(unit: &mut Unit<'_>) -> Result<(), ApiError> {
    let Some(kind) = unit.site.registry.find(InbuiltSource::MODEL) else { return Ok(()) };
    if unit.snapshot.of_model(kind.model).next().is_some() {
        return Ok(());
    }
    unit.lock_configuration().await?;
    if unit.snapshot.of_model(kind.model).next().is_some() {
        return Ok(());
    }
    let fields = json!({"name": "authentik Built-in", "slug": SLUG, "managed": MANAGED});
    unit.make(kind, fields.as_object().cloned().unwrap_or_default(), Vec::new()).await?;
    Ok(())
}

/// See [`InbuiltSource`].
pub struct InbuiltHooks;

#[async_trait]
impl Hooks for InbuiltHooks {
    async fn deleting(&self, _unit: &mut Unit<'_>, _old: &Stored) -> Result<(), ApiError> {
        Err(ApiError::BadRequest("The built-in source cannot be deleted.".to_owned()))
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        rows.iter().zip(answers).for_each(|(row, answer)| base::add_pictures(cx.site, row, answer));
        Ok(())
    }
}
