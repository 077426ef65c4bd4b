//! Pages that other crates serve beside those of flows: addresses to which people are sent from elsewhere.

use super::{FlowHttp, shell, visit::Visit};
use crate::{AppState, Caller, Incoming, body};
use axum::{
    Extension, Router,
    body::Body,
    extract::{RawPathParams, State},
    response::Response,
    routing::any,
};
use futures_util::future::BoxFuture;
use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};
use weir_core::ApiError;
use weir_flow::App;
use weir_pages::{Action, Message};

type Handler = Arc<dyn Fn(PageCall) -> BoxFuture<'static, Result<PageReply, ApiError>> + Send + Sync>;

/// A page at an address of its own.
pub struct PageRoute {
    path: &'static str,
    handler: Handler,
}

impl PageRoute {
    /// Serves this address, with parameters in braces. The handler decides about methods.
    pub fn new<F, Fut>(path: &'static str, handler: F) -> Self
    where
        F: Fn(PageCall) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<PageReply, ApiError>> + Send + 'static,
    {
        Self { path, handler: Arc::new(move |call| Box::pin(handler(call))) }
    }
}

/// What the handler of a page gets.
pub struct PageCall {
    http: Arc<FlowHttp>,
    /// The request without its body.
    pub request: Arc<Incoming>,
    parameters: Vec<String>,
    // A body may not be shared between threads; the lock is never waited for.
    body: Mutex<Body>,
}

impl PageCall {
    /// The engine.
    pub fn engine(&self) -> &App {
        &self.http.engine
    }

    /// The HTTP side.
    pub fn state(&self) -> &AppState {
        &self.http.state
    }

    /// A path parameter by its place; empty when there is none.
    pub fn param(&self, index: usize) -> &str {
        self.parameters.get(index).map_or("", String::as_str)
    }

    /// Who calls.
    ///
    /// # Errors
    /// See [`Caller::resolve`].
    pub async fn caller(&self) -> Result<Caller, ApiError> {
        Caller::resolve(&self.http.state, &self.request).await
    }

    /// The browser's dealings with flows.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn visit(&self, caller: &Caller) -> Result<Visit<'_>, ApiError> {
        Visit::new(&self.http.state, &self.http.engine, &self.request, caller).await
    }

    /// The parameters of a posted form.
    ///
    /// # Errors
    /// 400, 413.
    pub async fn form(&self) -> Result<Vec<(String, String)>, ApiError> {
        let config = &self.http.state.config;
        body::check_announced(&self.request, config.max_body_bytes)?;
        let body = std::mem::take(&mut *self.body.lock().unwrap_or_else(PoisonError::into_inner));
        let bytes = body::read(body, config, config.max_body_bytes).await?;
        body::pairs(&bytes)
    }
}

/// What a page answers.
#[derive(Debug)]
pub enum PageReply {
    /// Send the browser there (302).
    Go {
        /// The address.
        to: String,
        /// Cookies to send.
        cookies: Vec<String>,
    },
    /// The same with further headers.
    GoWith {
        /// The address.
        to: String,
        /// Names in lower case, and values.
        headers: Vec<(&'static str, String)>,
    },
    /// A page in a frame that tells the page around it that it is done.
    FrameDone,
    /// A page in a frame that says why it is not.
    FrameRefused(&'static str),
    /// A page that says something.
    Say {
        /// HTTP status.
        status: u16,
        /// Heading, in English; known ones are translated.
        title: String,
        /// Sentence below it.
        text: String,
        /// Label and address of the way on; none for the start page.
        way_on: Option<(String, String)>,
        /// Cookies to send.
        cookies: Vec<String>,
    },
    /// There is nothing at this address.
    NotFound,
}

impl PageReply {
    /// A refusal in words.
    pub fn denied(text: impl Into<String>) -> Self {
        let (title, text) = ("Access denied".to_owned(), text.into());
        Self::Say { status: 403, title, text, way_on: None, cookies: Vec::new() }
    }

    /// The same with cookies.
    #[must_use]
    pub fn with_cookies(mut self, more: Vec<String>) -> Self {
        if let Self::Go { cookies, .. } | Self::Say { cookies, .. } = &mut self {
            cookies.extend(more);
        }
        self
    }
}

/// Adds pages to a router.
pub(super) fn add(mut router: Router<Arc<FlowHttp>>, pages: Vec<PageRoute>) -> Router<Arc<FlowHttp>> {
    for page in pages {
        let handler = page.handler;
        let serve = move |State(http): State<Arc<FlowHttp>>,
                          parameters: RawPathParams,
                          Extension(request): Extension<Arc<Incoming>>,
                          body: Body| {
            let handler = Arc::clone(&handler);
            let parameters = parameters.iter().map(|(_, value)| value.to_owned()).collect();
            let call =
                PageCall { http: Arc::clone(&http), request: Arc::clone(&request), parameters, body: Mutex::new(body) };
            async move { answer(&http, &request, handler(call).await) }
        };
        router = router.route(page.path, any(serve));
    }
    router
}

fn answer(http: &FlowHttp, request: &Incoming, reply: Result<PageReply, ApiError>) -> Response {
    match reply {
        Ok(PageReply::Go { to, cookies }) => shell::go(http::StatusCode::FOUND, &to, cookies),
        Ok(PageReply::GoWith { to, headers }) => {
            let mut response = shell::go(http::StatusCode::FOUND, &to, Vec::new());
            for (name, value) in headers {
                if let Ok(value) = http::HeaderValue::from_str(&value) {
                    response.headers_mut().insert(http::HeaderName::from_static(name), value);
                }
            }
            response
        }
        Ok(PageReply::FrameDone) => shell::message(http, request, 200, Message::FrameDone),
        Ok(PageReply::FrameRefused(text)) => shell::message(http, request, 403, Message::FrameRefused(text)),
        Ok(PageReply::Say { status, title, text, way_on, cookies }) => {
            let action = way_on.as_ref().map(|(label, href)| Action { label, href });
            let message = Message::Own { title: &title, text: &text };
            shell::message_with(http, request, status, message, action, cookies)
        }
        Ok(PageReply::NotFound) => shell::message(http, request, 404, Message::Status(404)),
        Err(error) => shell::failure(http, request, &error),
    }
}
