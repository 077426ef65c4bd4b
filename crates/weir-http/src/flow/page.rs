//! `/if/flow/<slug>/`: a flow as pages, with or without script.

use super::{FlowHttp, form::Posted, shell, visit::Visit};
use crate::{Caller, Incoming, csrf, error};
use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::Response,
};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::ApiError;
use weir_flow::{
    Flow,
    executor::{Input, Reply as Step},
};
use weir_pages::{FlowPage, Level, Notice, PagePolicy};

/// Most stages that one request passes without asking; a flow that goes on longer is shown as an error.
const STEPS: usize = 32;

/// Shows the current step, or takes the form of one.
pub async fn flow(
    State(http): State<Arc<FlowHttp>>,
    Path(slug): Path<String>,
    Extension(request): Extension<Arc<Incoming>>,
    body: Body,
) -> Response {
    let outcome = match request.method.as_str() {
        "GET" | "HEAD" => show(&http, &request, &slug).await,
        "POST" => answer(&http, &request, &slug, body).await,
        other => Err(ApiError::MethodNotAllowed(other.chars().take(20).collect())),
    };
    match outcome {
        Ok(response) => response,
        Err(error) => shell::failure(&http, &request, &error),
    }
}

/// The query of the page as it was sent.
pub fn raw_query(request: &Incoming) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&request.query).finish()
}

fn find(http: &FlowHttp, slug: &str) -> Result<(Uuid, Arc<Flow>), ApiError> {
    http.state.site.snapshot().get_by::<Flow>("slug", slug).ok_or_else(|| error::no_object("Flow"))
}

async fn arrive<'a>(http: &'a FlowHttp, request: &'a Incoming, slug: &str) -> Result<Visit<'a>, ApiError> {
    let caller = Caller::resolve(&http.state, request).await?;
    let mut visit = Visit::new(&http.state, &http.engine, request, &caller).await?;
    visit.as_executor(slug, &raw_query(request));
    Ok(visit)
}

async fn show(http: &FlowHttp, request: &Incoming, slug: &str) -> Result<Response, ApiError> {
    let flow = find(http, slug)?;
    let mut visit = arrive(http, request, slug).await?;
    let challenge = walk(&mut visit, &flow, &raw_query(request), Input::Look).await?;
    render(http, request, visit, &flow.1, &challenge, None, &[])
}

/// Passes stages that ask nothing until one does, or until the flow is over.
async fn walk(visit: &mut Visit<'_>, flow: &(Uuid, Arc<Flow>), query: &str, input: Input) -> Result<Value, ApiError> {
    let mut input = input;
    for _ in 0..STEPS {
        match visit.run(flow, query, input).await? {
            Step::Challenge(challenge) => return Ok(challenge),
            Step::ToSelf => input = Input::Look,
        }
    }
    Err(ApiError::Internal(anyhow::anyhow!("flow {} does not come to rest", flow.1.slug.0)))
}

async fn answer(http: &FlowHttp, request: &Incoming, slug: &str, body: Body) -> Result<Response, ApiError> {
    let flow = find(http, slug)?;
    let query = raw_query(request);
    let mut visit = arrive(http, request, slug).await?;
    let posted = Posted::read(&http.state, request, body).await?;
    let genuine = visit.key().is_some_and(|key| csrf::check_token(&http.state, key, posted.csrf()).is_ok());
    if !genuine || csrf::check_origin(request).is_err() {
        // An old tab, or somebody else's form: nothing of it counts, and the person can simply go on.
        let challenge = walk(&mut visit, &flow, &query, Input::Look).await?;
        let text = "This page was out of date. Please try again.".to_owned();
        return render(http, request, visit, &flow.1, &challenge, None, &[Notice { level: Level::Warning, text }]);
    }
    // Only prompts need their questions to read a form; looking at other stages may change them.
    let shown = match posted.component() {
        "ak-stage-prompt" => walk(&mut visit, &flow, &query, Input::Look).await?,
        component => json!({"component": component}),
    };
    let mut given = match posted.answer(&shown) {
        Value::Object(map) => map,
        _ => weir_core::Map::new(),
    };
    if !posted.component().is_empty() {
        given.insert("component".to_owned(), posted.component().into());
    }
    let kept = Value::Object(given.clone());
    match visit.run(&flow, &query, Input::Answer(given)).await? {
        Step::ToSelf => Ok(shell::see_other(&http.state, &own_address(http, request), visit.into_cookies())),
        Step::Challenge(challenge) => {
            if challenge.pointer("/response_errors/component").is_some() {
                return Ok(shell::see_other(&http.state, &own_address(http, request), visit.into_cookies()));
            }
            render(http, request, visit, &flow.1, &challenge, Some(&kept), &[])
        }
    }
}

/// The page's own address, for the browser to fetch again.
fn own_address(http: &FlowHttp, request: &Incoming) -> String {
    let prefix = http.state.config.prefix();
    let path = format!("{prefix}{}", request.path.strip_prefix(&prefix).unwrap_or(&request.path));
    let query = raw_query(request);
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

fn render(
    http: &FlowHttp,
    request: &Incoming,
    mut visit: Visit<'_>,
    flow: &Flow,
    challenge: &Value,
    answer: Option<&Value>,
    notices: &[Notice],
) -> Result<Response, ApiError> {
    let look = shell::Look::new(http, request, visit.user.as_ref());
    let mut notices = notices.to_vec();
    notices.extend(visit.notices.drain(..).map(|text| Notice { level: Level::Info, text }));
    let token = visit.key().map(|key| csrf::make(&http.state, key)).unwrap_or_default();
    let site = &http.state.site;
    let (background, _) = weir_flow::executor::background(site, &site.snapshot(), flow, visit.info().brand);
    let layout = serde_json::to_value(flow.layout).map_err(anyhow::Error::new)?;
    let action = own_address(http, request);
    let page = FlowPage {
        view: look.view(&notices),
        challenge,
        answer: answer.filter(|_| challenge.get("response_errors").is_some()),
        slug: &flow.slug.0,
        title: &flow.title,
        layout: layout.as_str().unwrap_or_default(),
        background: &background,
        form_action: &action,
        csrf_token: &token,
        hidden: &[],
    };
    let html = http.pages.render_flow(&page).map_err(anyhow::Error::new)?;
    let headers = PagePolicy::for_flow(&page).headers();
    visit.send_csrf();
    Ok(shell::html(request, 200, html, headers, visit.into_cookies()))
}
