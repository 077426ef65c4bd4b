//! Keys of tokens.

use crate::{Access, Call, Reply, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use weir_core::ApiError;
use weir_identity::token;
use weir_resource::Unit;

const TOKEN: &str = "authentik_core.token";

pub(super) fn routes() -> Vec<Route> {
    let rule = |permission| Access::Object { model: TOKEN, permission };
    vec![
        Route::new("core_tokens_view_key_retrieve", rule("authentik_core.view_token_key"), view),
        Route::new("core_tokens_set_key_create", rule("authentik_core.set_token_key"), set),
    ]
}

async fn view(call: Call) -> Result<Reply, ApiError> {
    let mut unit = Unit::new(&call.app.site, call.actor());
    let key = token::view_key(&mut unit, call.target()?).await?;
    unit.commit().await?;
    Ok(Reply::ok(&json!({"key": key})))
}

/// A key from outside.
#[derive(Deserialize, JsonSchema)]
struct KeyBody {
    /// The new key.
    #[schemars(length(min = 1))]
    key: String,
}

async fn set(mut call: Call) -> Result<Reply, ApiError> {
    let body: KeyBody = call.typed().await?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    token::set_key(&mut unit, call.target()?, &body.key).await?;
    unit.commit().await?;
    Ok(Reply::none())
}
