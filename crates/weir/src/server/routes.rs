//! Operations that need crates the HTTP side does not know.

use std::sync::Arc;

use weir_core::ApiError;
use weir_flow::App;
use weir_http::{Access, Call, Reply, Route, flow};
use weir_resource::Unit;

/// The operations around flows, and those of stage kinds.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let mut routes = flow::routes(engine);
    let engine = Arc::clone(engine);
    routes.push(Route::new(
        "stages_prompt_prompts_preview_create",
        // Trying an expression needs the right to write it.
        Access::Global("authentik_stages_prompt.change_prompt"),
        move |call| {
            let engine = Arc::clone(&engine);
            async move { preview(&engine, call).await }
        },
    ));
    routes
}

async fn preview(engine: &App, mut call: Call) -> Result<Reply, ApiError> {
    let body = call.object().await?;
    let info = call.info();
    let mut unit = Unit::new(&call.app.site, call.actor());
    let user = call.caller.user.as_ref();
    Ok(Reply::ok(&weir_stages::prompt::preview(engine, &mut unit, &info, user, &body).await?))
}
