//! Operations of prompts beyond the seven.

use std::sync::Arc;

use weir_core::ApiError;
use weir_flow::App;
use weir_http::{Access, Call, Reply, Route};
use weir_resource::Unit;

/// Trying a prompt.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let engine = Arc::clone(engine);
    vec![Route::new(
        "stages_prompt_prompts_preview_create",
        // Trying an expression needs the right to write it.
        Access::Global("authentik_stages_prompt.change_prompt"),
        move |call| {
            let engine = Arc::clone(&engine);
            async move { preview(&engine, call).await }
        },
    )]
}

async fn preview(engine: &App, mut call: Call) -> Result<Reply, ApiError> {
    let body = call.object().await?;
    let info = call.info();
    let mut unit = Unit::new(&call.app.site, call.actor());
    let user = call.caller.user.as_ref();
    Ok(Reply::ok(&super::preview(engine, &mut unit, &info, user, &body).await?))
}
