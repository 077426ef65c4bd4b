//! One call of an operation: who calls, with what, and the shared steps of handlers.

use crate::{
    Access, AppState, Caller, Incoming, Via,
    body::{self, Part},
    caller, error, rest,
};
use axum::body::Body;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use weir_contract::Operation;
use weir_core::{ApiError, Family, Map, ResourceType, field::fields_of, validate};
use weir_identity::{Account, Grants, SessionRow};
use weir_policy::RequestInfo;
use weir_resource::{Actor, ListQuery, Presenting, Snapshot, Stored, Unit, Visible, store};

/// What a handler gets.
pub struct Call {
    /// Shared state.
    pub app: Arc<AppState>,
    /// The request without its body.
    pub request: Arc<Incoming>,
    /// The operation.
    pub operation: &'static Operation,
    /// Who calls.
    pub caller: Caller,
    /// What the caller may do; nothing for public operations, which do not ask.
    pub grants: Grants,
    /// Configuration at the beginning of the request.
    pub snapshot: Arc<Snapshot>,
    params: Vec<String>,
    target: Option<Stored>,
    // A body may not be shared between threads; the lock is never waited for.
    body: Mutex<Body>,
}

impl Call {
    pub(crate) fn new(
        app: Arc<AppState>,
        request: Arc<Incoming>,
        operation: &'static Operation,
        caller: Caller,
        params: Vec<String>,
        body: Body,
    ) -> Self {
        let snapshot = app.site.snapshot();
        Self {
            app,
            request,
            operation,
            caller,
            grants: Grants::none(),
            snapshot,
            params,
            target: None,
            body: Mutex::new(body),
        }
    }

    /// Checks the operation's rule.
    pub(crate) async fn authorize(&mut self, access: Access) -> Result<(), ApiError> {
        if matches!(access, Access::Public | Access::OwnCredentials) {
            return Ok(());
        }
        let user = self.user()?.id;
        self.grants = Grants::load(&self.app.site.db, user).await.map_err(store)?;
        match access {
            Access::Public | Access::OwnCredentials | Access::SignedIn | Access::ByKind => Ok(()),
            Access::Global(permission) => self.require(permission),
            Access::Seen { model } => self.load(model).await,
            Access::Object { model, permission } => {
                self.load(model).await?;
                let pk = self.target()?.pk.clone();
                if self.grants.may(permission, Some(&pk)) { Ok(()) } else { Err(ApiError::forbidden()) }
            }
        }
    }

    /// Refuses who lacks a permission on all objects.
    ///
    /// # Errors
    /// 403.
    pub fn require(&self, permission: &str) -> Result<(), ApiError> {
        if self.grants.may(permission, None) { Ok(()) } else { Err(ApiError::forbidden()) }
    }

    /// The kinds a model stands for: itself, or those of its family.
    pub fn kinds(&self, model: &str) -> Vec<&'static ResourceType> {
        let registry = &self.app.site.registry;
        match family(model) {
            Some(family) => registry.family(family),
            None => registry.find(model).into_iter().collect(),
        }
    }

    /// Whether the caller may do something with an object of a family, in an operation that stands for all its kinds.
    pub fn may_in_family(&self, action: &str, object: &Stored) -> bool {
        let may = |permission: String| self.grants.may(&permission, Some(&object.pk));
        may(object.kind.permission(action)) || object.kind.family.is_some_and(|family| may(family.permission(action)))
    }

    async fn load(&mut self, model: &str) -> Result<(), ApiError> {
        let address = self.param(0).to_owned();
        let app = Arc::clone(&self.app);
        let mut unit = Unit::new(&app.site, Actor::default());
        let mut may_see_some = false;
        let kinds = self.kinds(model);
        let family = family(model);
        for kind in &kinds {
            let visible = match family {
                Some(family) => self.visible_in(family, kind)?,
                None => self.visible(kind)?,
            };
            let Some(visible) = visible else { continue };
            may_see_some = true;
            if let Some(found) = unit.look_up(kind, &address).await?.filter(|s| rest::sees(&visible, s)) {
                self.target = Some(found);
                return Ok(());
            }
        }
        if may_see_some {
            Err(error::no_object(kinds.first().map_or("object", |k| k.verbose_name)))
        } else {
            Err(ApiError::forbidden())
        }
    }

    /// Which objects of a kind the caller sees; none when no rights on the kind exist.
    ///
    /// # Errors
    /// 403 without credentials.
    pub fn visible(&self, kind: &ResourceType) -> Result<Option<Visible>, ApiError> {
        Ok(self.grants.visible(kind, self.user()?.id))
    }

    /// As [`Call::visible`], in an operation that stands for all kinds of a family.
    ///
    /// # Errors
    /// 403 without credentials.
    pub fn visible_in(&self, family: Family, kind: &ResourceType) -> Result<Option<Visible>, ApiError> {
        Ok(self.grants.visible_in(family, kind, self.user()?.id))
    }

    /// The object that the rule loaded.
    ///
    /// # Errors
    /// A defect when the rule loads none.
    pub fn target(&self) -> Result<&Stored, ApiError> {
        self.target.as_ref().ok_or_else(|| ApiError::Internal(anyhow::anyhow!("{} loads no object", self.operation.id)))
    }

    /// The acting user.
    ///
    /// # Errors
    /// 403 without credentials.
    pub fn user(&self) -> Result<&Account, ApiError> {
        self.caller.user.as_ref().ok_or_else(ApiError::unauthenticated)
    }

    /// A path parameter by its place; empty when there is none.
    pub fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }

    /// The request as flows, policies and events see it.
    pub fn info(&self) -> RequestInfo {
        self.caller.info(&self.request, &self.snapshot)
    }

    /// Who acts, for the audit trail.
    pub fn actor(&self) -> Actor {
        Actor {
            origin: self.caller.origin(&self.request, &self.snapshot),
            user_id: self.caller.user.as_ref().map(|u| u.id),
            epoch: self.caller.user.as_ref().map(|u| u.security_epoch),
            request_id: self.request.id.clone(),
        }
    }

    /// The query as lists understand it.
    pub fn list_query(&self) -> ListQuery {
        ListQuery { parameters: self.request.query.clone() }
    }

    /// All values of a query parameter that may be repeated.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.request.query.iter().filter(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str()).collect()
    }

    /// A boolean query parameter.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.request.parameter(name) {
            None | Some("") => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(_) => Err(ApiError::field(name, "Must be a valid boolean.")),
        }
    }

    /// A numeric query parameter.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.request.parameter(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| ApiError::field(name, "A valid integer is required.")),
        }
    }

    /// The browser session that flows run in: the cookie's, also when a token tells who calls.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn flow_session(&self) -> Result<Option<SessionRow>, ApiError> {
        match &self.caller.via {
            Via::Session(browser) => Ok(Some(browser.row.clone())),
            Via::Anonymous => Ok(None),
            Via::Token(_) => Ok(caller::by_cookie(&self.app, &self.request).await?.map(|(_, row)| row)),
        }
    }

    /// What a presentation may look at. The address has the prefix of all paths, so that links can be built on it.
    pub fn presenting<'a>(&'a self, snapshot: &'a Snapshot, base_url: &'a str) -> Presenting<'a> {
        Presenting {
            site: &self.app.site,
            snapshot,
            query: &self.request.query,
            user_id: self.caller.user.as_ref().map(|u| u.id),
            session: self.caller.session().map(|s| s.row.digest.as_str()),
            base_url,
            operation: self.operation.id,
        }
    }

    /// The body as an object.
    ///
    /// # Errors
    /// 400, 413.
    pub async fn object(&mut self) -> Result<Map, ApiError> {
        body::check_announced(&self.request, self.app.config.max_body_bytes)?;
        let body = self.take_body();
        let bytes = body::read(body, &self.app.config, self.app.config.max_body_bytes).await?;
        body::object(&self.request, &bytes, &self.app.config)
    }

    /// The body as a typed value; all bad fields are reported together.
    ///
    /// # Errors
    /// 400, 413.
    pub async fn typed<T: DeserializeOwned + JsonSchema>(&mut self) -> Result<T, ApiError> {
        let object = self.object().await?;
        parse(&object)
    }

    /// The parts of an uploaded form.
    ///
    /// # Errors
    /// 400, 413.
    pub async fn upload(&mut self) -> Result<Vec<(String, Part)>, ApiError> {
        let body = self.take_body();
        body::upload(&self.request, body, &self.app.config).await
    }

    /// The unread body.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads a typed body out of an object; unknown keys are left alone.
///
/// # Errors
/// 400 with all refusals.
pub fn parse<T: DeserializeOwned + JsonSchema>(object: &Map) -> Result<T, ApiError> {
    let checked = validate::check_fields(&fields_of::<T>(), object)?;
    serde_json::from_value(Value::Object(checked))
        .map_err(|error| ApiError::BadRequest(format!("The body does not fit: {error}.")))
}

/// The family whose base model this is.
fn family(model: &str) -> Option<Family> {
    Family::ALL.into_iter().find(|family| family.model() == model)
}
