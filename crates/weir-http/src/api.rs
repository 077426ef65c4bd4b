//! From an address to a handler: the tree of operations, the order of checks, the permission rules.

use crate::{
    AppState, Call, Caller, Incoming, Reply, body, csrf,
    edge::{self, Answered},
    error,
};
use anyhow::{Result, ensure};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use futures_util::future::BoxFuture;
use http::header;
use percent_encoding::percent_decode_str;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
};
use weir_contract::{Method, Operation};
use weir_core::ApiError;

/// Where the interface begins.
pub const BASE: &str = "/api/v3";

type Handler = Arc<dyn Fn(Call) -> BoxFuture<'static, Result<Reply, ApiError>> + Send + Sync>;

/// Who may call an operation. The rule is checked before the handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody; only operations that the contract marks so.
    Public,
    /// Anybody who is signed in.
    SignedIn,
    /// Who has this permission on all objects.
    Global(&'static str),
    /// Who sees the object that the first path parameter names and has this permission on it or on all.
    Object {
        /// Kind of the object; the family's base model for several kinds.
        model: &'static str,
        /// Permission as `app_label.codename`.
        permission: &'static str,
    },
    /// Who sees the object that the first path parameter names.
    Seen {
        /// Kind of the object; the family's base model for several kinds.
        model: &'static str,
    },
    /// Who has credentials of another kind than the interface's, which the handler checks; nobody else is recognised.
    OwnCredentials,
    /// Signed in; the handler asks for the permissions of the kind in question, as the generic ones do.
    ByKind,
}

/// An operation that is served.
pub struct Route {
    pub(crate) id: &'static str,
    access: Access,
    handler: Handler,
    pub(crate) replaces: bool,
}

impl Route {
    /// Serves the operation of this id. Address and method are the contract's.
    pub fn new<F, Fut>(id: &'static str, access: Access, handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        Self { id, access, handler: Arc::new(move |call| Box::pin(handler(call))), replaces: false }
    }

    /// The same, in place of the generic operation that the kind's definition gives.
    #[must_use]
    pub fn instead_of_generic(self) -> Self {
        Self { replaces: true, ..self }
    }
}

struct Endpoint {
    operation: &'static Operation,
    /// None for operations of the contract that are not served yet.
    served: Option<(Access, Handler)>,
}

#[derive(Default)]
struct Node {
    fixed: BTreeMap<&'static str, Node>,
    parameter: Option<Box<Node>>,
    endpoints: BTreeMap<Method, Endpoint>,
}

impl Node {
    fn at(&mut self, path: &'static str) -> &mut Self {
        path.split('/').filter(|s| !s.is_empty()).fold(self, |node, segment| {
            if segment.starts_with('{') {
                node.parameter.get_or_insert_default()
            } else {
                node.fixed.entry(segment).or_default()
            }
        })
    }

    /// The node of a path and the values of its parameters. A fixed segment wins over a parameter.
    fn find(&self, path: &[String], values: &mut Vec<String>) -> Option<&Self> {
        let Some((segment, rest)) = path.split_first() else {
            return (!self.endpoints.is_empty()).then_some(self);
        };
        if let Some(node) = self.fixed.get(segment.as_str()).and_then(|n| n.find(rest, values)) {
            return Some(node);
        }
        let node = self.parameter.as_ref()?;
        values.push(segment.clone());
        let found = node.find(rest, values);
        if found.is_none() {
            values.pop();
        }
        found
    }
}

/// All operations of the contract, served or not, and our own.
pub struct Api {
    root: Node,
    served: BTreeSet<&'static str>,
}

impl Api {
    /// Builds the tree.
    ///
    /// # Errors
    /// When a route is unknown to the contract, stands twice, or is open to all where the contract is not.
    pub fn new(routes: Vec<Route>) -> Result<Self> {
        let every = || weir_contract::operations().iter().chain(weir_contract::extensions());
        let known: BTreeMap<&str, &'static Operation> = every().map(|operation| (operation.id, operation)).collect();
        let mut served = BTreeMap::new();
        for route in routes {
            let operation = known.get(route.id);
            ensure!(operation.is_some(), "{} is no operation of the contract", route.id);
            let open = route.access == Access::Public;
            ensure!(!open || operation.is_some_and(|o| o.public), "{} is public, but not in the contract", route.id);
            let again = served.insert(route.id, (route.access, route.handler)).is_some();
            ensure!(!again, "{} is served twice", route.id);
        }
        let ids = served.keys().copied().collect();
        let mut root = Node::default();
        for operation in every() {
            let endpoint = Endpoint { operation, served: served.remove(operation.id) };
            root.at(operation.path).endpoints.insert(operation.method, endpoint);
        }
        Ok(Self { root, served: ids })
    }

    /// Whether an operation has a handler.
    pub fn is_served(&self, id: &str) -> bool {
        self.served.contains(id)
    }

    /// Ids of all operations that have a handler.
    pub fn served(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.served.iter().copied()
    }

    /// The permission rule of an operation; none when it is not served.
    pub fn access(&self, operation: &'static Operation) -> Option<Access> {
        let path: Vec<String> = operation.path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        let node = self.root.find(&path, &mut Vec::new())?;
        node.endpoints.get(&operation.method)?.served.as_ref().map(|(access, _)| *access)
    }
}

/// The part of the router below [`BASE`].
pub fn router(app: &Arc<AppState>) -> Router {
    let all = any(dispatch);
    Router::new()
        .route(&format!("{BASE}/{{*path}}"), all.clone())
        .route(&format!("{BASE}/"), all.clone())
        .route(BASE, all)
        .with_state(Arc::clone(app))
}

async fn dispatch(State(app): State<Arc<AppState>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let incoming = match parts.extensions.get::<Arc<Incoming>>() {
        Some(incoming) => Arc::clone(incoming),
        None => Arc::new(Incoming::new(&parts, app.site.random.uuid().simple().to_string(), &app.config)),
    };
    let mut answered = "unknown";
    let path = parts.uri.path().strip_prefix(BASE).unwrap_or_default().to_owned();
    let reply = match serve(&app, &incoming, &path, body, &mut answered).await {
        Ok(reply) => reply,
        Err(error) => {
            if matches!(error, ApiError::Internal(_)) {
                edge::tell_failure(&app, &incoming, answered).await;
            }
            error::reply(&error)
        }
    };
    let mut response = reply.into_response();
    response.extensions_mut().insert(Answered(answered));
    response
}

/// The segments of a path, each decoded once; none when the path cannot be one of ours.
fn segments(path: &str) -> Option<Vec<String>> {
    let inner = path.strip_prefix('/')?.strip_suffix('/')?;
    let decoded = inner.split('/').map(|segment| {
        let text = percent_decode_str(segment).decode_utf8().ok()?;
        (!text.is_empty() && !text.contains('\0')).then(|| text.into_owned())
    });
    decoded.collect()
}

async fn serve(
    app: &Arc<AppState>,
    incoming: &Arc<Incoming>,
    path: &str,
    body: Body,
    answered: &mut &'static str,
) -> Result<Reply, ApiError> {
    let mut params = Vec::new();
    let found = segments(path).and_then(|s| app.api.root.find(&s, &mut params));
    let node = found.ok_or_else(error::no_route)?;
    let allow = || {
        let mut names: Vec<&str> = node.endpoints.keys().map(|m| m.name()).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.push("OPTIONS");
        names.join(", ")
    };
    let method = match incoming.method.as_str() {
        "OPTIONS" => return Ok(Reply::none().with(header::ALLOW, &allow())),
        "HEAD" => "GET",
        other => other,
    };
    let Some(endpoint) = Method::parse(method).and_then(|m| node.endpoints.get(&m)) else {
        let refusal = ApiError::MethodNotAllowed(incoming.method.chars().take(20).collect());
        return Ok(error::reply(&refusal).with(header::ALLOW, &allow()));
    };
    *answered = endpoint.operation.id;
    body::check_announced(incoming, app.config.max_upload_bytes)?;
    let Some((access, handler)) = &endpoint.served else { return Err(ApiError::NotServed) };
    let caller = match access {
        Access::OwnCredentials => Caller::anonymous(incoming),
        _ => Caller::resolve(app, incoming).await?,
    };
    if incoming.is_unsafe() {
        csrf::check(app, incoming, &caller)?;
    }
    let mut call = Call::new(Arc::clone(app), Arc::clone(incoming), endpoint.operation, caller, params, body);
    call.authorize(*access).await?;
    handler(call).await
}
