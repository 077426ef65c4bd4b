//! Keys of tokens.

use crate::{Access, Call, Reply, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use weir_core::ApiError;
use weir_identity::{permission, token};
use weir_resource::Unit;

const TOKEN: &str = "authentik_core.token";

pub(super) fn routes() -> Vec<Route> {
    let rule = |permission| Access::Object { model: TOKEN, permission };
    vec![
        Route::new("core_tokens_view_key_retrieve", rule("authentik_core.view_token_key"), view),
        Route::new("core_tokens_set_key_create", rule("authentik_core.set_token_key"), set),
    ]
}

/// Who holds a key acts as the token's owner, so whoever reads or sets it must hold the owner's rights already.
async fn check_owner(call: &Call) -> Result<(), ApiError> {
    let owner = call.target()?.doc.get("user").and_then(serde_json::Value::as_i64).unwrap_or_default();
    permission::check_acting_as(&call.app.site.db, &call.grants, call.user()?.id, owner).await
}

async fn view(call: Call) -> Result<Reply, ApiError> {
    check_owner(&call).await?;
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
    check_owner(&call).await?;
    let body: KeyBody = call.typed().await?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    token::set_key(&mut unit, call.target()?, &body.key).await?;
    unit.commit().await?;
    Ok(Reply::none())
}
