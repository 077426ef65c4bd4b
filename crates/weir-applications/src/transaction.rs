//! An application, its provider and its bindings in one step: all of them, or none.

use crate::{Application, provider};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_core::{ApiError, Family, Map, ResourceType};
use weir_http::{Access, Call, Reply, Route, parse};
use weir_identity::{initial, kind};
use weir_policy::PolicyBinding;
use weir_resource::{Stored, Unit};

/// The operation.
pub fn routes() -> Vec<Route> {
    let add = Access::Global("authentik_core.add_application");
    vec![Route::new("core_transactional_applications_update", add, apply)]
}

/// What to make.
#[derive(Deserialize, JsonSchema)]
struct Body {
    /// The application.
    app: Map,
    /// Kind of the provider.
    provider_model: String,
    /// The provider.
    provider: Map,
    /// Bindings of the application, without their target.
    #[serde(default)]
    policy_bindings: Vec<Map>,
}

/// Where in the body something was refused.
enum Part {
    App,
    Provider,
    Binding,
}

/// The body's refusals, under the part they belong to; other troubles as they are.
fn placed(part: &Part, error: ApiError) -> Result<Reply, ApiError> {
    let name = match part {
        Part::App => "app",
        Part::Provider => "provider",
        Part::Binding => "policy_bindings",
    };
    match error {
        ApiError::Fields(errors) => Ok(Reply::json(400, &json!({name: errors.to_rest()}))),
        other => Err(other),
    }
}

async fn apply(mut call: Call) -> Result<Reply, ApiError> {
    let object = call.object().await?;
    let body: Body = parse(&object)?;
    let site = Arc::clone(&call.app.site);
    let Some(model) = site.registry.find(&body.provider_model).filter(|k| k.family == Some(Family::Provider)) else {
        let shown: String = body.provider_model.chars().take(100).collect();
        let text = format!("Providers of the kind \"{shown}\" are not served here.");
        return Err(ApiError::field("provider_model", text));
    };
    call.require(&model.permission("add"))?;
    if !body.policy_bindings.is_empty() {
        call.require("authentik_policies.add_policybinding")?;
    }
    let mut provider_body = body.provider.clone();
    for hooks in site.hooks.of(model.model) {
        // Looks at other servers, hence before the transaction.
        if let Err(error) = hooks.before(&site, None, &mut provider_body).await {
            return placed(&Part::Provider, error);
        }
    }
    let mut unit = Unit::new(&site, call.actor());
    if let Err((part, error)) = write(&mut unit, model, &body, &provider_body).await {
        unit.rollback().await?;
        return placed(&part, error);
    }
    unit.commit().await?;
    Ok(Reply::ok(&json!({"applied": true, "logs": []})))
}

async fn create(unit: &mut Unit<'_>, kind: &'static ResourceType, body: &Map) -> Result<Stored, ApiError> {
    let made = unit.create(kind, body, None).await?;
    initial::apply(unit, &made).await?;
    Ok(made)
}

async fn write(
    unit: &mut Unit<'_>,
    model: &'static ResourceType,
    body: &Body,
    provider_body: &Map,
) -> Result<(), (Part, ApiError)> {
    let applications = kind::<Application>(unit.site).map_err(|error| (Part::App, error))?;
    let bindings = kind::<PolicyBinding>(unit.site).map_err(|error| (Part::Binding, error))?;
    let made = create(unit, model, provider_body).await.map_err(|error| (Part::Provider, error))?;
    let mut app = body.app.clone();
    // The new provider takes the place of what the body names.
    if provider::is_backchannel(model) {
        let mut behind = app.get("backchannel_providers").and_then(Value::as_array).cloned().unwrap_or_default();
        behind.push(made.pk_value());
        app.insert("backchannel_providers".to_owned(), Value::Array(behind));
    } else {
        app.insert("provider".to_owned(), made.pk_value());
    }
    let app = create(unit, applications, &app).await.map_err(|error| (Part::App, error))?;
    for binding in &body.policy_bindings {
        let mut binding = binding.clone();
        binding.insert("target".to_owned(), app.pk_value());
        create(unit, bindings, &binding).await.map_err(|error| (Part::Binding, error))?;
    }
    Ok(())
}
