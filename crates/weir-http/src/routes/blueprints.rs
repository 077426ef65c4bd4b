//! Blueprints beyond their seven operations. A blueprint can make anything, so running one takes all rights.

use crate::{Access, Call, Reply, Route, body::Part, rest, state::ImportSource};
use std::sync::Arc;
use weir_core::{ApiError, Map};
use weir_resource::Unit;

const INSTANCE: &str = "authentik_blueprints.blueprintinstance";

pub(super) fn routes() -> Vec<Route> {
    let view = Access::Global("authentik_blueprints.view_blueprintinstance");
    let add = Access::Global("authentik_blueprints.add_blueprintinstance");
    vec![
        Route::new("managed_blueprints_available_list", view, available),
        Route::new("managed_blueprints_apply_create", Access::Seen { model: INSTANCE }, apply),
        Route::new("managed_blueprints_import_create", add, import),
    ]
}

async fn available(call: Call) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&call.app.blueprints.available().await?))
}

async fn apply(call: Call) -> Result<Reply, ApiError> {
    if !call.grants.all() {
        return Err(ApiError::forbidden());
    }
    let app = Arc::clone(&call.app);
    let instance = call.target()?.clone();
    let mut unit = Unit::new(&app.site, call.actor());
    app.blueprints.apply(&call, &mut unit, &instance).await?;
    unit.commit().await?;
    Ok(Reply::ok(&rest::show_one(&call, &instance).await?))
}

async fn import(mut call: Call) -> Result<Reply, ApiError> {
    if !call.grants.all() {
        return Err(ApiError::forbidden());
    }
    let is_form = crate::body::media_type(&call.request) == "multipart/form-data";
    let parts = if is_form { call.upload().await? } else { texts(call.object().await?) };
    let (mut source, mut context) = (None, Map::new());
    for (name, part) in parts {
        match (name.as_str(), part) {
            ("file", Part::File { bytes, .. }) => {
                let text = String::from_utf8(bytes.to_vec())
                    .map_err(|_| ApiError::field("file", "The file is not valid UTF-8."))?;
                source = Some(ImportSource::Text(text));
            }
            ("file", Part::Text(text)) if !text.is_empty() => source = Some(ImportSource::Text(text)),
            ("path", Part::Text(path)) if !path.is_empty() && source.is_none() => {
                source = Some(ImportSource::Path(path));
            }
            ("context", Part::Text(text)) if !text.trim().is_empty() => {
                let value = serde_json::from_str(&text).ok();
                context = value.ok_or_else(|| ApiError::field("context", "Value must be valid JSON and an object."))?;
            }
            _ => {}
        }
    }
    let source = source.ok_or_else(|| ApiError::general("Either a file or a path is required."))?;
    let app = Arc::clone(&call.app);
    let result = app.blueprints.import(&call, source, context).await?;
    Ok(Reply::ok(&result))
}

fn texts(object: Map) -> Vec<(String, Part)> {
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text),
        value @ serde_json::Value::Object(_) => Some(value.to_string()),
        _ => None,
    };
    object.into_iter().filter_map(|(name, value)| Some((name, Part::Text(text(value)?)))).collect()
}
