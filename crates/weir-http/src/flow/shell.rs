//! The addresses around flows: entry, defaults, cancel, configure, the signed-in page, messages.

use super::{FlowHttp, visit::Visit};
use crate::{AppState, Caller, Incoming};
use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::ApiError;
use weir_flow::{
    Designation, Flow, NotApplicable,
    links::{self, PlanRequest},
    redirect,
};
use weir_identity::{Account, Brand, avatar, brand_for_host, session as sessions};
use weir_pages::{
    Action, BrandView, FooterLink, LandingPage, LandingUser, Locale, Message, MessagePage, Notice, PagePolicy,
    PageView, SessionView,
};
use weir_resource::{Actor, Presenting, Stored, Unit, present_one, store};

/// How pages look for this request.
pub struct Look {
    brand: BrandView,
    locale: &'static Locale,
    nonce: String,
    request_id: String,
    prefix: String,
}

impl Look {
    /// The brand of the host and the language of the visitor.
    pub fn new(http: &FlowHttp, request: &Incoming, user: Option<&Account>) -> Self {
        let site = &http.state.site;
        let snapshot = site.snapshot();
        let (_, brand) = brand_for_host(&snapshot, &request.host);
        let own = user.and_then(Account::locale).unwrap_or_default();
        let wishes: Vec<&str> = [request.parameter("locale").unwrap_or_default(), own, brand.default_locale()]
            .into_iter()
            .filter(|w| !w.is_empty())
            .collect();
        let links = snapshot.settings.footer_links.as_array().cloned().unwrap_or_default();
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Self {
            brand: BrandView {
                title: brand.branding_title.clone(),
                logo: site.picture(&themed(&brand.branding_logo)),
                favicon: site.picture(&themed(&brand.branding_favicon)),
                custom_css: brand.branding_custom_css.clone(),
                footer_links: links
                    .iter()
                    .map(|link| FooterLink { name: text(link, "name").unwrap_or_default(), href: text(link, "href") })
                    .collect(),
                theme: brand.theme().to_owned(),
            },
            locale: Locale::negotiate(&wishes, request.header("accept-language").unwrap_or_default()),
            nonce: site.random.text(22),
            request_id: request.id.clone(),
            prefix: site.prefix.clone(),
        }
    }

    /// The part of every page.
    pub fn view<'a>(&'a self, notices: &'a [Notice]) -> PageView<'a> {
        PageView {
            brand: &self.brand,
            locale: self.locale,
            nonce: &self.nonce,
            request_id: &self.request_id,
            prefix: &self.prefix,
            notices,
        }
    }
}

/// A picture whose name tells of themes is shown in its light form.
fn themed(address: &str) -> String {
    address.replace("%(theme)s", "light")
}

/// A page with its headers, compressed when the browser takes it.
pub fn html(
    request: &Incoming,
    status: u16,
    html: String,
    headers: Vec<(&'static str, String)>,
    cookies: Vec<String>,
) -> Response {
    let takes_gzip = request.header("accept-encoding").is_some_and(|a| a.contains("gzip"));
    let bytes = if takes_gzip { weir_pages::gzip(html.as_bytes()) } else { html.into_bytes() };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let map = response.headers_mut();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            map.insert(name, value);
        }
    }
    if takes_gzip {
        map.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        map.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    add_cookies(&mut response, cookies);
    response
}

fn add_cookies(response: &mut Response, cookies: Vec<String>) {
    for cookie in cookies {
        if let Ok(value) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
}

pub(super) fn go(status: StatusCode, to: &str, cookies: Vec<String>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    add_cookies(&mut response, cookies);
    response
}

/// 303: fetch this with GET.
pub fn see_other(_state: &AppState, to: &str, cookies: Vec<String>) -> Response {
    go(StatusCode::SEE_OTHER, to, cookies)
}

fn found(http: &FlowHttp, to: &str) -> Response {
    go(StatusCode::FOUND, &format!("{}{to}", http.state.config.prefix()), Vec::new())
}

/// A page that only says something.
pub fn message(http: &FlowHttp, request: &Incoming, status: u16, message: Message<'_>) -> Response {
    message_with(http, request, status, message, None, Vec::new())
}

/// The same with a way on of its own, and with cookies.
pub fn message_with(
    http: &FlowHttp,
    request: &Incoming,
    status: u16,
    message: Message<'_>,
    way_on: Option<Action<'_>>,
    cookies: Vec<String>,
) -> Response {
    let look = Look::new(http, request, None);
    let start = format!("{}/", look.prefix);
    let home = Action { label: "Back to the start", href: &start };
    let actions: Vec<Action<'_>> = way_on.into_iter().chain([home]).collect();
    let page = MessagePage { view: look.view(&[]), message, actions: &actions };
    match http.pages.render_message(&page) {
        Ok(text) => html(request, status, text, PagePolicy::new(&look.nonce).headers(), cookies),
        Err(error) => {
            tracing::error!(%error, "a message page cannot be rendered");
            go(StatusCode::INTERNAL_SERVER_ERROR, "", Vec::new())
        }
    }
}

/// An error as a page; the cause goes to the log.
pub fn failure(http: &FlowHttp, request: &Incoming, error: &ApiError) -> Response {
    // Logs the cause.
    let plain = crate::error::reply(error);
    let mut response = message(http, request, plain.status, Message::Status(plain.status));
    for (name, value) in plain.headers {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Anything else.
pub async fn not_found(State(http): State<Arc<FlowHttp>>, Extension(request): Extension<Arc<Incoming>>) -> Response {
    message(&http, &request, 404, Message::Status(404))
}

fn is_read(request: &Incoming) -> bool {
    ["GET", "HEAD"].contains(&request.method.as_str())
}

async fn caller(http: &FlowHttp, request: &Incoming) -> Result<Caller, ApiError> {
    if is_read(request) {
        Caller::resolve(&http.state, request).await
    } else {
        Err(ApiError::MethodNotAllowed(request.method.chars().take(20).collect()))
    }
}

/// `/`.
pub async fn root(State(http): State<Arc<FlowHttp>>, Extension(request): Extension<Arc<Incoming>>) -> Response {
    match caller(&http, &request).await {
        Ok(caller) if caller.user.is_none() => {
            let start = format!("{}/", http.state.config.prefix());
            found(&http, &format!("/flows/-/default/authentication/?next={start}"))
        }
        Ok(caller) => match application(&http, &request, &caller).await {
            Ok(Some(to)) => go(StatusCode::FOUND, &to, Vec::new()),
            Ok(None) => {
                let query = super::page::raw_query(&request);
                let to = if query.is_empty() { "/if/user/".to_owned() } else { format!("/if/user/?{query}") };
                found(&http, &to)
            }
            Err(error) => failure(&http, &request, &error),
        },
        Err(error) => failure(&http, &request, &error),
    }
}

/// Where the brand sends external users, whom the pages for insiders are not for: its default application.
async fn application(http: &FlowHttp, request: &Incoming, caller: &Caller) -> Result<Option<String>, ApiError> {
    let Some(user) = caller.user.as_ref().filter(|user| user.kind == "external") else { return Ok(None) };
    let snapshot = http.state.site.snapshot();
    let (_, brand) = brand_for_host(&snapshot, &request.host);
    let wanted = brand.default_application.as_ref().and_then(|application| snapshot.find(application.uuid()));
    let Some(object) = wanted else { return Ok(None) };
    let base_url = request.base_url();
    let cx = Presenting {
        site: &http.state.site,
        snapshot: &snapshot,
        query: &[],
        user_id: Some(user.id),
        session: None,
        base_url: &base_url,
        operation: "",
    };
    let shown = present_one(&cx, &Stored::of(object)).await?;
    let address = shown.get("launch_url").and_then(Value::as_str);
    // Some applications are only there for their policies; their address leads nowhere.
    let is_page = |to: &&str| ["https://", "http://", "/"].iter().any(|start| to.starts_with(start));
    Ok(address.filter(is_page).map(str::to_owned))
}

/// `/flows/-/default/<designation>/`.
pub async fn default_flow(
    State(http): State<Arc<FlowHttp>>,
    Path(designation): Path<String>,
    Extension(request): Extension<Arc<Incoming>>,
) -> Response {
    let designation = match designation.as_str() {
        "authentication" => Designation::Authentication,
        "invalidation" => Designation::Invalidation,
        _ => return message(&http, &request, 404, Message::Status(404)),
    };
    match find_default(&http, &request, designation).await {
        Ok(Some(slug)) => found(&http, &redirect::flow_page(&slug, &super::page::raw_query(&request))),
        Ok(None) => message(&http, &request, 404, Message::Status(404)),
        Err(error) => failure(&http, &request, &error),
    }
}

async fn find_default(http: &FlowHttp, request: &Incoming, purpose: Designation) -> Result<Option<String>, ApiError> {
    let caller = caller(http, request).await?;
    let mut unit = Unit::new(&http.state.site, Actor::default());
    let info = caller.info(request, &unit.snapshot);
    links::default_flow(&http.engine, &mut unit, &info, caller.user.as_ref(), purpose).await
}

/// `/flows/-/cancel/`.
pub async fn cancel(State(http): State<Arc<FlowHttp>>, Extension(request): Extension<Arc<Incoming>>) -> Response {
    let outcome = async {
        let caller = caller(&http, &request).await?;
        let mut visit = Visit::new(&http.state, &http.engine, &request, &caller).await?;
        visit.cancel().await?;
        Ok::<_, ApiError>(visit.into_cookies())
    };
    match outcome.await {
        Ok(cookies) => {
            let next = request.parameter("next").filter(|n| redirect::is_local(n));
            let to = next
                .map_or_else(|| format!("{}/flows/-/default/invalidation/", http.state.config.prefix()), str::to_owned);
            go(StatusCode::FOUND, &to, cookies)
        }
        Err(error) => failure(&http, &request, &error),
    }
}

/// `/flows/-/configure/<stage>/`: the flow in which a person changes their own password or device.
pub async fn configure(
    State(http): State<Arc<FlowHttp>>,
    Path(stage): Path<String>,
    Extension(request): Extension<Arc<Incoming>>,
) -> Response {
    match plan_configure(&http, &request, &stage).await {
        Ok(response) => response,
        Err(error) => failure(&http, &request, &error),
    }
}

async fn plan_configure(http: &FlowHttp, request: &Incoming, stage: &str) -> Result<Response, ApiError> {
    let caller = caller(http, request).await?;
    let Some(user) = caller.user.clone() else { return Ok(to_login(http, request)) };
    let snapshot = http.state.site.snapshot();
    let flow = Uuid::parse_str(stage)
        .ok()
        .and_then(|id| snapshot.find(id))
        .and_then(|stage| Uuid::parse_str(stage.text("configure_flow")).ok())
        .and_then(|id| Some((id, snapshot.get::<Flow>(id)?)))
        .ok_or_else(ApiError::not_found)?;
    let mut visit = Visit::new(&http.state, &http.engine, request, &caller).await?;
    let mut unit = Unit::new(&http.state.site, Actor::default());
    let wish = PlanRequest {
        flow_id: flow.0,
        flow: &flow.1,
        request: visit.info(),
        user: Some(&user),
        context: links::about(user.id),
        allow_empty: false,
        for_token: false,
    };
    let plan = match links::plan(&http.engine, &mut unit, wish).await {
        Ok(plan) => plan,
        Err(NotApplicable::Failed(error)) => return Err(error),
        Err(_) => return Err(ApiError::not_found()),
    };
    unit.commit().await?;
    let query = super::page::raw_query(request);
    visit.adopt(&flow, &plan, Some(&query)).await?;
    let to = format!("{}{}", http.state.config.prefix(), redirect::flow_page(&flow.1.slug.0, &query));
    Ok(go(StatusCode::FOUND, &to, visit.into_cookies()))
}

/// To the sign-in, and back here afterwards.
fn to_login(http: &FlowHttp, request: &Incoming) -> Response {
    let query = super::page::raw_query(request);
    let here = if query.is_empty() { request.path.clone() } else { format!("{}?{query}", request.path) };
    let next = percent(&here);
    found(http, &format!("/flows/-/default/authentication/?next={next}"))
}

/// `/if/admin/`: no console yet, so the signed-in page.
pub async fn admin(State(http): State<Arc<FlowHttp>>, Extension(request): Extension<Arc<Incoming>>) -> Response {
    match caller(&http, &request).await {
        Ok(caller) if caller.user.is_none() => to_login(&http, &request),
        Ok(_) => found(&http, "/if/user/"),
        Err(error) => failure(&http, &request, &error),
    }
}

/// `/if/user/`.
pub async fn user(State(http): State<Arc<FlowHttp>>, Extension(request): Extension<Arc<Incoming>>) -> Response {
    match landing(&http, &request).await {
        Ok(response) => response,
        Err(error) => failure(&http, &request, &error),
    }
}

async fn landing(http: &FlowHttp, request: &Incoming) -> Result<Response, ApiError> {
    let caller = caller(http, request).await?;
    let Some(user) = &caller.user else { return Ok(to_login(http, request)) };
    if user.kind == "external" {
        return Ok(match application(http, request, &caller).await? {
            Some(to) => go(StatusCode::FOUND, &to, Vec::new()),
            None => message(http, request, 403, Message::InternalOnly),
        });
    }
    let snapshot = http.state.site.snapshot();
    let (_, brand) = brand_for_host(&snapshot, &request.host);
    let now = http.state.site.clock.now();
    let own = caller.session().map(|s| s.row.uuid);
    let rows = sessions::of_user(&http.state.site.db, user.id, now).await.map_err(store)?;
    let shown: Vec<SessionView> = rows
        .iter()
        .map(|row| SessionView {
            device: device(&row.last_user_agent),
            address: row.last_ip.clone(),
            last_used: row.last_used.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            current: Some(row.uuid) == own,
        })
        .collect();
    let prefix = http.state.config.prefix();
    let back = format!("next={}", percent(&format!("{prefix}/if/user/")));
    let change_password =
        password_stage(&snapshot, &brand).map(|stage| format!("{prefix}/flows/-/configure/{stage}/?{back}"));
    let settings = brand.flow_user_settings.as_ref().and_then(|flow| snapshot.get::<Flow>(flow.uuid()));
    let settings = settings.map(|flow| format!("{prefix}{}", redirect::flow_page(&flow.slug.0, &back)));
    let sign_out = format!("{prefix}/flows/-/default/invalidation/");
    let person = LandingUser {
        name: user.name.clone(),
        username: user.username.clone(),
        email: user.email.clone(),
        avatar: avatar::for_account(&http.state.site, &snapshot.settings, user),
        impersonated_by: caller.original.as_ref().map(|o| o.username.clone()),
    };
    let look = Look::new(http, request, Some(user));
    let page = LandingPage {
        view: look.view(&[]),
        user: &person,
        sessions: &shown,
        change_password_url: change_password.as_deref(),
        settings_url: settings.as_deref(),
        sign_out_url: &sign_out,
        admin_url: None,
    };
    let text = http.pages.render_landing(&page).map_err(anyhow::Error::new)?;
    let mut visit = Visit::new(&http.state, &http.engine, request, &caller).await?;
    visit.send_csrf();
    Ok(html(request, 200, text, PagePolicy::new(&look.nonce).headers(), visit.into_cookies()))
}

/// Browser and system in words.
fn device(agent: &str) -> String {
    let described = sessions::describe(agent);
    let part = |pointer: &str| described.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{} · {}", part("/user_agent/family"), part("/os/family"))
}

/// Text as the value of a parameter.
fn percent(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The stage through which the password is changed: that of the brand's sign-in.
fn password_stage(snapshot: &weir_resource::Snapshot, brand: &Brand) -> Option<Uuid> {
    let flow = brand.flow_authentication.as_ref()?.uuid();
    let bindings = weir_flow::planner::bindings(snapshot, flow);
    bindings.iter().map(|(_, b)| *b.stage.pk()).find(|id| {
        snapshot.find(*id).is_some_and(|s| {
            s.kind.model == "authentik_stages_password.passwordstage" && !s.text("configure_flow").is_empty()
        })
    })
}
