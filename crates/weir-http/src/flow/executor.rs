//! `GET|POST /flows/executor/<slug>/`: the challenge as JSON.

use super::visit::Visit;
use crate::{Access, Call, Reply, Route};
use http::{HeaderName, header};
use std::sync::Arc;
use weir_core::ApiError;
use weir_flow::{App, Flow, executor::Input, executor::Reply as Step};

/// The two operations.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let (get, solve) = (Arc::clone(engine), Arc::clone(engine));
    vec![
        Route::new("flows_executor_get", Access::Public, move |call| {
            let engine = Arc::clone(&get);
            async move { run(&engine, &call, Input::View).await }
        }),
        Route::new("flows_executor_solve", Access::Public, move |mut call| {
            let engine = Arc::clone(&solve);
            async move {
                let body = call.object().await?;
                run(&engine, &call, Input::Answer(body)).await
            }
        }),
    ]
}

async fn run(engine: &App, call: &Call, input: Input) -> Result<Reply, ApiError> {
    let flow = call.snapshot.get_by::<Flow>("slug", call.param(0)).ok_or_else(|| crate::error::no_object("Flow"))?;
    let query = call.request.parameter("query").unwrap_or_default();
    let mut visit = Visit::new(&call.app, engine, &call.request, &call.caller).await?;
    let step = visit.run(&flow, query, input).await?;
    let mut reply = match step {
        Step::Challenge(challenge) => Reply::ok(&challenge),
        Step::ToSelf => Reply::redirect(302, &own_address(call)),
    };
    reply = reply
        .with(HeaderName::from_static("x-frame-options"), "SAMEORIGIN")
        .with(header::VARY, "Authorization, Cookie");
    for cookie in visit.into_cookies() {
        reply = reply.with_cookie(&cookie);
    }
    Ok(reply)
}

/// The request's own path and query.
fn own_address(call: &Call) -> String {
    let prefix = call.app.config.prefix();
    let path = format!("{prefix}{}", call.request.path.strip_prefix(&prefix).unwrap_or(&call.request.path));
    if call.request.query.is_empty() {
        return path;
    }
    let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&call.request.query).finish();
    format!("{path}?{query}")
}
