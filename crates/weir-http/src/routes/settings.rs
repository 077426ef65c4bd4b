//! System settings: one document of the installation, changed under the lock of configuration, seen by every node.

use crate::{Access, Call, Reply, Route};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use weir_core::{ApiError, DurationText, FieldErrors, Map, field::fields_of, validate};
use weir_events::{Event, action};
use weir_resource::{Settings, Unit};

const VIEW: Access = Access::Global("authentik_rbac.view_system_settings");
const EDIT: Access = Access::Global("authentik_rbac.edit_system_settings");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("admin_settings_retrieve", VIEW, retrieve),
        Route::new("admin_settings_update", EDIT, |call| change(call, false)),
        Route::new("admin_settings_partial_update", EDIT, |call| change(call, true)),
    ]
}

/// The rules of each field, as the contract has them.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Rules {
    /// Order of avatar sources.
    #[schemars(length(min = 1))]
    avatars: String,
    /// Public address for links in mails.
    #[schemars(length(max = 200), extend("format" = "uri"))]
    base_url: String,
    /// Users may change their name.
    default_user_change_name: bool,
    /// Users may change their e-mail address.
    default_user_change_email: bool,
    /// Users may change their username.
    default_user_change_username: bool,
    /// How long events are kept.
    event_retention: DurationText,
    /// Smallest reputation score.
    #[schemars(range(max = 0))]
    reputation_lower_limit: i32,
    /// Largest reputation score.
    #[schemars(range(min = 0))]
    reputation_upper_limit: i32,
    /// Links at the foot of each page.
    footer_links: Value,
    /// Deleting a user deletes their events.
    gdpr_compliance: bool,
    /// Impersonation is possible at all.
    impersonation: bool,
    /// Impersonation needs a reason.
    impersonation_require_reason: bool,
    /// Life of a token whose creator names none.
    default_token_duration: DurationText,
    /// Length of generated keys.
    #[schemars(range(min = 1))]
    default_token_length: i32,
    /// Page size when the client names none.
    #[schemars(range(min = 0))]
    pagination_default_page_size: i32,
    /// Largest page size.
    #[schemars(range(min = 0))]
    pagination_max_page_size: i32,
    /// Feature switches.
    flags: Map,
}

async fn retrieve(call: Call) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&*call.snapshot.settings))
}

fn object(settings: &Settings) -> Map {
    match json!(settings) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The settings after a body: PUT starts from the defaults, PATCH from what stands.
fn merge(stored: &Settings, body: &Map, patch: bool) -> Result<Map, ApiError> {
    let mut errors = FieldErrors::new();
    let mut merged = if patch { object(stored) } else { object(&Settings::default()) };
    for field in fields_of::<Rules>() {
        match body.get(&field.name) {
            Some(value) => {
                if let Some(value) = validate::check(&field, value, &mut errors)
                    && field.name != "flags"
                {
                    merged.insert(field.name.clone(), value);
                }
            }
            None if field.name == "flags" && !patch => errors.add("flags", "This field is required.", "required"),
            None => {}
        }
    }
    let mut flags = stored.flags.clone();
    if let Some(Value::Object(wanted)) = body.get("flags") {
        for (name, value) in wanted {
            match (flags.contains_key(name), value) {
                (true, Value::Bool(_)) => {
                    flags.insert(name.clone(), value.clone());
                }
                (true, _) => errors.add("flags", format!("{name}: Must be a valid boolean."), "invalid"),
                (false, _) => {}
            }
        }
    }
    check_footer_links(merged.get("footer_links"), &mut errors);
    merged.insert("flags".to_owned(), Value::Object(flags));
    errors.into_result()?;
    Ok(merged)
}

/// Links end up in every page, so they must lead to pages.
fn check_footer_links(links: Option<&Value>, errors: &mut FieldErrors) {
    let good = |link: &Value| {
        let href = link.get("href").unwrap_or(&Value::Null);
        let named = link.get("name").is_some_and(Value::is_string);
        named
            && match href {
                Value::Null => true,
                Value::String(href) => {
                    let own = href.starts_with('/') && !href.starts_with("//") && !href.starts_with("/\\");
                    href.is_empty() || own || href.starts_with("https://") || href.starts_with("http://")
                }
                _ => false,
            }
    };
    match links {
        Some(Value::Array(links)) if links.iter().all(good) => {}
        _ => errors.add("footer_links", "Must be a list of links with a name and an http(s) address.", "invalid"),
    }
}

async fn change(mut call: Call, patch: bool) -> Result<Reply, ApiError> {
    let body = call.object().await?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    unit.lock_configuration().await?;
    let before = Arc::clone(&unit.snapshot.settings);
    let merged = merge(&before, &body, patch)?;
    let settings: Settings = serde_json::from_value(Value::Object(merged.clone())).map_err(anyhow::Error::new)?;
    save(&mut unit, &before, merged, settings).await?;
    let answer = Reply::ok(&*unit.snapshot.settings);
    unit.commit().await?;
    Ok(answer)
}

async fn save(unit: &mut Unit<'_>, before: &Settings, merged: Map, settings: Settings) -> Result<(), ApiError> {
    let old = object(before);
    let diff: Map = merged
        .iter()
        .filter(|(name, value)| old.get(*name) != Some(*value))
        .map(|(name, value)| (name.clone(), json!({"previous_value": old.get(name), "new_value": value})))
        .collect();
    if diff.is_empty() {
        return Ok(());
    }
    unit.write_settings(settings).await?;
    let model =
        json!({"app": "authentik_tenants", "model_name": "tenant", "pk": "settings", "name": "System settings"});
    unit.event(Event::new(action::MODEL_UPDATED, "authentik_tenants", json!({"model": model, "diff": diff}))).await
}
