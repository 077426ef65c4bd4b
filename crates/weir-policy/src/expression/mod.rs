//! The environment of expressions: variables, helpers, and objects of the site, answered by the host
//! while the interpreter waits in its worker process.
//!
//! Objects are for reading: an expression changes the plan's context, and otherwise nothing of the site. Start at
//! [`Expressions`]; a run's questions arrive at `host::Desk`.

mod attributes;
mod authenticators;
mod convert;
mod dns;
mod functions;
mod host;
mod mail;
mod objects;
mod query;
mod session;
mod sets;
mod simple;
#[cfg(test)]
mod tests;
mod web;

pub use authenticators::{Authenticators, KeptDevices, NoAuthenticators};

use crate::{
    PolicyCx, PolicyFailure, PolicyRequest, PolicyResult, RequestInfo,
    outbound::{Outbound, OutboundSettings},
};
use chrono::{DateTime, Utc};
use convert::{Sent, Users, clean, to_json, to_value};
use host::Desk;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use weir_core::Map;
use weir_crypto::HashPool;
use weir_expression::{EvalError, Evaluation, LogLine, Object, Value as Python};
use weir_identity::Account;
use weir_mail::Mailer;

/// Under this name the context tells what kind of prompt gave each entry of `prompt_data`.
pub const PROMPT_KINDS: &str = "weir/stages/prompt/kinds";

/// Evaluates expressions of prompts, mappings and policies.
pub struct Expressions {
    pool: weir_expression::Pool,
    outbound: Arc<Outbound>,
    dns: dns::Dns,
    authenticators: Arc<dyn Authenticators>,
    hashes: Option<Arc<HashPool>>,
    mailer: Option<Arc<Mailer>>,
    /// When administrators were last told of an old name.
    warned: Mutex<Option<DateTime<Utc>>>,
}

/// What an expression outside a policy sees.
pub struct Environment<'a> {
    /// Name of the object the expression belongs to; events carry it.
    pub name: &'a str,
    /// `user`.
    pub user: Option<&'a Account>,
    /// `http_request`.
    pub http: &'a RequestInfo,
    /// Further variables by name, as JSON. A value under `pending_user` becomes a user object.
    pub variables: Map,
}

impl Expressions {
    /// An evaluator over a pool of workers.
    pub fn new(pool: weir_expression::Pool) -> Self {
        Self {
            pool,
            outbound: Arc::new(Outbound::new(OutboundSettings::default())),
            dns: dns::Dns::default(),
            authenticators: Arc::new(NoAuthenticators),
            hashes: None,
            mailer: None,
            warned: Mutex::new(None),
        }
    }

    /// The client of `requests`.
    #[must_use]
    pub fn with_outbound(mut self, outbound: Arc<Outbound>) -> Self {
        self.outbound = outbound;
        self
    }

    /// What answers `ak_user_has_authenticator`.
    #[must_use]
    pub fn with_authenticators(mut self, authenticators: Arc<dyn Authenticators>) -> Self {
        self.authenticators = authenticators;
        self
    }

    /// The pool on which `user.check_password()` hashes.
    #[must_use]
    pub fn with_hashes(mut self, hashes: Arc<HashPool>) -> Self {
        self.hashes = Some(hashes);
        self
    }

    /// What `ak_send_email` writes mails with; without it none is sent.
    #[must_use]
    pub fn with_mailer(mut self, mailer: Arc<Mailer>) -> Self {
        self.mailer = Some(mailer);
        self
    }

    /// The client of `requests`, for policies that ask other servers themselves.
    pub(crate) fn outbound(&self) -> Arc<Outbound> {
        Arc::clone(&self.outbound)
    }

    /// The pool for passwords.
    pub(crate) fn hashes(&self) -> Option<Arc<HashPool>> {
        self.hashes.clone()
    }

    /// The syntax error of a source, if it has one.
    ///
    /// # Errors
    /// When no worker is available.
    pub async fn syntax_error(&self, source: &str) -> anyhow::Result<Option<String>> {
        Ok(self.pool.check(source).await?.err().map(|problem| problem.to_string()))
    }

    /// The value of an expression outside of policies. The error downcasts to [`EvalError`] when the expression raised.
    ///
    /// # Errors
    /// The exception's text, or why it could not run.
    pub async fn evaluate(&self, cx: &mut PolicyCx<'_>, source: &str, env: Environment<'_>) -> anyhow::Result<Value> {
        let mut request =
            PolicyRequest { context: env.variables, ..PolicyRequest::new(env.user, env.http, Value::Null) };
        let mut desk = self.desk(cx, &mut request, env.name);
        desk.is_policy = false;
        let mut run = weir_expression::Request::new(env.name, source).depth(usize::from(desk.cx.depth));
        let context = desk.context().await?;
        run = run.variable("user", desk.person());
        let asked = desk.request_object(&run);
        let http = web::object(env.http, &run);
        run = run.variable("request", asked).variable("http_request", http);
        if run.may_use("context") {
            run = run.request_context(Python::dict(context.clone()));
        }
        for (name, value) in context.into_iter().filter(|(name, _)| name != PROMPT_KINDS) {
            run = run.variable(&name, value);
        }
        // Policies that this expression calls stand below it.
        desk.cx.depth += 1;
        let evaluation = self.pool.evaluate(run, &mut desk).await;
        desk.cx.depth -= 1;
        log(env.name, &evaluation, cx.site.clock.now());
        Ok(to_json(&evaluation.result?, Users::Shown))
    }

    /// The answer of an expression policy.
    ///
    /// # Errors
    /// [`PolicyFailure`].
    pub async fn ask_policy(
        &self,
        cx: &mut PolicyCx<'_>,
        name: &str,
        source: &str,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult> {
        let now = cx.site.clock.now();
        if source.len() <= self.pool.limits().source
            && let Some(value) = simple::answer(cx.snapshot, source, &request.context)
        {
            return Ok(answered(name, &value, Vec::new(), Vec::new(), now));
        }
        let mut desk = self.desk(cx, request, name);
        // Of the policies inside each other, this one's own place does not count.
        let depth = usize::from(desk.cx.depth.saturating_sub(1));
        let mut run = weir_expression::Request::new(name, source).depth(depth);
        let http = desk.request.http;
        if run.may_use("request") {
            let asked = desk.request_object(&run);
            run = run.variable("request", asked);
        }
        if run.may_use("http_request") {
            let http = web::object(http, &run);
            run = run.variable("http_request", http);
        }
        if run.may_use("ak_client_ip") {
            run = run.variable("ak_client_ip", web::client_ip(http));
        }
        if run.may_use("ak_is_sso_flow") {
            let is_sso = desk.request.context.get("is_sso").map(|json| simple::entry(desk.cx.snapshot, "is_sso", json));
            run = run.variable("ak_is_sso_flow", is_sso.unwrap_or(Python::Bool(false)));
        }
        let mut sent = Sent::default();
        if run.may_use("context") {
            sent.context = desk.context().await?;
            let mut context = sent.context.clone();
            if run.may_look_up("flow_plan") {
                sent.plan = desk.plan().await?;
            }
            if let Some(plan) = &sent.plan {
                let plan = Object::new("FlowPlan", "plan").attr("context", Python::dict(plan.clone()));
                context.push(("flow_plan".to_owned(), plan.into()));
            }
            run = run.context(Python::dict(context));
        }
        let evaluation = self.pool.evaluate(run, &mut desk).await;
        let log_messages = log(name, &evaluation, now);
        if let Some(returned) = &evaluation.context {
            convert::take_back(&sent, returned, request);
        }
        let messages: Vec<String> = evaluation.messages.iter().map(|text| clean(text)).collect();
        let value = match evaluation.result {
            Ok(value) => value,
            Err(error) => {
                let text = clean(&explain(&error));
                return Err(PolicyFailure { text, messages, log_messages, cause: Some(error) }.into());
            }
        };
        Ok(answered(name, &value, messages, log_messages, now))
    }

    fn desk<'a, 'c, 'r>(
        &'a self,
        cx: &'a mut PolicyCx<'c>,
        request: &'a mut PolicyRequest<'r>,
        name: &'a str,
    ) -> Desk<'a, 'c, 'r> {
        Desk {
            expressions: self,
            cx,
            request,
            name,
            is_policy: true,
            sets: Vec::new(),
            responses: Vec::new(),
            claimed: 0,
        }
    }
}

/// What a policy answers whose expression gave this.
fn answered(
    name: &str,
    value: &Python,
    messages: Vec<String>,
    mut log_messages: Vec<Value>,
    now: DateTime<Utc>,
) -> PolicyResult {
    if *value == Python::None {
        tracing::warn!(policy = name, "the expression returned nothing");
        log_messages.push(json!({
            "timestamp": now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true), "log_level": "warning",
            "logger": name, "event": "The expression returned None.", "attributes": {},
        }));
    }
    let raw_result = to_json(value, Users::Shown);
    PolicyResult { passing: value.is_truthy(), messages, raw_result, log_messages, inputs: Map::new() }
}

impl Desk<'_, '_, '_> {
    /// The person asked about: an account, an identifier that nobody has, or a visitor.
    fn person(&self) -> Object {
        match self.request.user {
            Some(user) => objects::of_account(self.cx.site, user),
            None => {
                let pending = self.request.context.get("pending_user");
                pending.and_then(|p| convert::of_claim(objects::CLAIMED, p)).unwrap_or_else(objects::anonymous)
            }
        }
    }

    /// With what of it the run may use.
    fn request_object(&self, run: &weir_expression::Request) -> Object {
        let mut object = Object::new("PolicyRequest", "request");
        if run.may_use("user") {
            object = object.attr("user", self.person());
        }
        if run.may_use("http_request") {
            object = object.attr("http_request", web::object(self.request.http, run));
        }
        object
            .attr("obj", to_value(self.cx.snapshot, &self.request.obj))
            // A dry run shows what a real one would see.
            .attr("debug", self.request.debug && self.request.dry_run.is_none())
            .shown_as("<PolicyRequest>")
    }

    /// The context with a user object for the pending user.
    async fn context(&mut self) -> anyhow::Result<Vec<(String, Python)>> {
        let map = self.request.context.clone();
        self.variables_of(map).await
    }

    async fn plan(&mut self) -> anyhow::Result<Option<Vec<(String, Python)>>> {
        match self.request.plan_context.as_deref().cloned() {
            Some(map) => Ok(Some(self.variables_of(map).await?)),
            None => Ok(None),
        }
    }

    async fn variables_of(&mut self, map: Map) -> anyhow::Result<Vec<(String, Python)>> {
        let mut out = Vec::with_capacity(map.len());
        let kinds = map.get(PROMPT_KINDS).cloned().unwrap_or_default();
        for (name, json) in map {
            let value = match name.as_str() {
                "prompt_data" | "prompt_context" => convert::answers(json, &kinds),
                "pending_user" => self.pending(&json).await?,
                "event" | "notification" => {
                    let object = match name.as_str() {
                        "event" => convert::of_event(&json),
                        _ => convert::of_notification(&json, self.person()),
                    };
                    object.map_or_else(|| simple::entry(self.cx.snapshot, &name, &json), Python::from)
                }
                name => simple::entry(self.cx.snapshot, name, &json),
            };
            out.push((name, value));
        }
        Ok(out)
    }

    async fn pending(&mut self, json: &Value) -> anyhow::Result<Python> {
        if let Some(id) = json.get("pk").and_then(Value::as_i64).or_else(|| json.as_i64()) {
            let found = attributes::user_object(self, id).await;
            return found.map_err(|raise| anyhow::anyhow!(raise.message));
        }
        Ok(convert::of_claim(objects::CLAIMED, json).map_or(Python::None, Python::from))
    }
}

/// What the administrator is told. A worker that is busy or away is not the expression's fault.
fn explain(error: &EvalError) -> String {
    match error {
        EvalError::Syntax(problem) => format!("Expression Syntax Error: {problem}"),
        // Python shows the class of an exception without text.
        EvalError::Raised(exception) if exception.message.is_empty() => exception.class.clone(),
        other => other.to_string(),
    }
}

/// Log lines of a run for answers (contract schema `LogEvent`), and in the server's log. Values under names of secrets
/// are masked.
fn log(name: &str, evaluation: &Evaluation, now: DateTime<Utc>) -> Vec<Value> {
    evaluation.logs.iter().map(|line| log_line(name, line, now)).collect()
}

fn log_line(name: &str, line: &LogLine, now: DateTime<Utc>) -> Value {
    let fields: Map = line.fields.iter().map(|(name, value)| (clean(name), to_json(value, Users::Shown))).collect();
    let fields = weir_events::cleanse(Value::Object(fields));
    let event = clean(&line.event);
    match line.level.as_str() {
        "debug" => tracing::debug!(expression = name, %fields, "{event}"),
        "warning" => tracing::warn!(expression = name, %fields, "{event}"),
        "error" | "critical" | "exception" => tracing::error!(expression = name, %fields, "{event}"),
        _ => tracing::info!(expression = name, %fields, "{event}"),
    }
    json!({
        "timestamp": now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        "log_level": line.level,
        "logger": name,
        "event": event,
        "attributes": fields,
    })
}
