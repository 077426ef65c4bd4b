//! Stages may only name templates that exist.

use crate::Mailer;
use async_trait::async_trait;
use std::sync::Arc;
use weir_core::{ApiError, Map};
use weir_resource::{HookSet, Hooks, Stored, Unit};

/// Kinds of stages that name a template.
const STAGES: [&str; 2] =
    ["authentik_stages_email.emailstage", "authentik_stages_authenticator_email.authenticatoremailstage"];

/// Puts the check of templates in place.
pub fn hooks(set: &mut HookSet, mailer: &Arc<Mailer>) {
    for model in STAGES {
        set.add(model, Arc::new(TemplateCheck(Arc::clone(mailer))));
    }
}

struct TemplateCheck(Arc<Mailer>);

#[async_trait]
impl Hooks for TemplateCheck {
    async fn prepare(&self, _unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let template = new.get("template").and_then(|t| t.as_str()).unwrap_or_default();
        // A file that vanished must not keep administrators from changing other fields.
        if old.is_some_and(|old| old.text("template") == template) || self.0.templates.knows(template) {
            return Ok(());
        }
        Err(ApiError::field("template", format!("Invalid template '{template}' specified.")))
    }
}
