//! The `ak_…` functions and imports.

use super::{
    attributes,
    convert::{Users, clean, to_json},
    host::Desk,
    mail,
    query::{
        Query,
        condition::{is_unknown_field, of_arguments},
        schema::USER,
        store,
    },
};
use crate::{PolicyFailure, PolicyRequest, PolicyResult, engine};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};
use std::net::IpAddr;
use weir_core::{Family, Map};
use weir_events::Event;
use weir_expression::{Call, Object, Raise, Value};

/// The action of events about settings that work but should change.
const CONFIGURATION_WARNING: &str = "configuration_warning";

/// Names of the keys of the plan context, as authentik's modules call them.
const PLAN_KEYS: [(&str, &str); 14] = [
    ("PLAN_CONTEXT_PENDING_USER", "pending_user"),
    ("PLAN_CONTEXT_PENDING_USER_IDENTIFIER", "pending_user_identifier"),
    ("PLAN_CONTEXT_SSO", "is_sso"),
    ("PLAN_CONTEXT_REDIRECT", "redirect"),
    ("PLAN_CONTEXT_APPLICATION", "application"),
    ("PLAN_CONTEXT_SOURCE", "source"),
    ("PLAN_CONTEXT_IS_RESTORED", "is_restored"),
    ("PLAN_CONTEXT_PROMPT", "prompt_data"),
    ("PLAN_CONTEXT_GROUPS", "groups"),
    ("PLAN_CONTEXT_USER_PATH", "user_path"),
    ("PLAN_CONTEXT_USER_TYPE", "user_type"),
    ("PLAN_CONTEXT_METHOD", "auth_method"),
    ("PLAN_CONTEXT_METHOD_ARGS", "auth_method_args"),
    ("PLAN_CONTEXT_AUTHENTICATION_BACKEND", "user_backend"),
];

/// Names of attributes of users and groups, likewise.
const USER_ATTRIBUTES: [(&str, &str); 5] = [
    ("USER_ATTRIBUTE_CHANGE_EMAIL", "goauthentik.io/user/can-change-email"),
    ("USER_ATTRIBUTE_CHANGE_NAME", "goauthentik.io/user/can-change-name"),
    ("USER_ATTRIBUTE_CHANGE_USERNAME", "goauthentik.io/user/can-change-username"),
    ("USER_ATTRIBUTE_DEBUG", "goauthentik.io/user/debug"),
    ("USER_ATTRIBUTE_SOURCES", "goauthentik.io/user/sources"),
];

/// Answers a function.
pub async fn call(desk: &mut Desk<'_, '_, '_>, call: &Call) -> Result<Value, Raise> {
    match call.name.as_str() {
        "ak_user_by" => user_by(desk, call).await,
        "ak_is_group_member" => {
            let user = call.args.first().and_then(Value::as_object).ok_or_else(|| needs_user("ak_is_group_member"))?;
            let query = attributes::all_groups(user).filter(of_arguments(&[], &call.kwargs)?);
            Ok((query.count(&mut desk.asking()).await? > 0).into())
        }
        "ak_user_has_authenticator" => has_authenticator(desk, call).await,
        "ak_call_policy" => call_policy(desk, call).await,
        "ak_create_event" => create_event(desk, call),
        "ak_send_email" => mail::send(desk, call).await,
        "ak_create_jwt" | "ak_create_jwt_raw" => {
            Err(Raise::new("NotImplementedError", "OAuth2 providers are not served yet, so no token can be created."))
        }
        "resolve_dns" => {
            let host = call.arg(0, "host").map(Value::key_text).unwrap_or_default();
            let version = call.arg(1, "ip_version").and_then(Value::as_int).and_then(|v| u8::try_from(v).ok());
            let is_address = host.parse::<IpAddr>().is_ok();
            if !is_address && desk.request.is_kept_from_asking(|| format!("DNS: {}", clean(&host))) {
                return Err(not_asked());
            }
            Ok(Value::list(desk.expressions.dns.resolve(&host, version).await))
        }
        "reverse_dns" => {
            let text = call.arg(0, "ip_addr").map(Value::key_text).unwrap_or_default();
            match text.parse::<IpAddr>() {
                Ok(address) if desk.request.is_kept_from_asking(|| format!("DNS: {address}")) => Err(not_asked()),
                Ok(address) => Ok(desk.expressions.dns.reverse(address).await.into()),
                Err(_) => Ok(text.into()),
            }
        }
        "__import__" => {
            let name = call.args.get(1).and_then(Value::as_str).unwrap_or_default();
            let found = PLAN_KEYS.iter().chain(&USER_ATTRIBUTES).find(|(constant, _)| *constant == name);
            found.map(|(_, key)| Value::str(*key)).ok_or_else(|| Raise::no_function(name))
        }
        other => Err(Raise::no_function(other)),
    }
}

/// Where an expression wants something of another server in a dry run.
pub fn not_asked() -> Raise {
    Raise::new("RuntimeError", "In a dry run no other server is asked.")
}

fn needs_user(function: &str) -> Raise {
    Raise::new("TypeError", format!("{function}() needs a user."))
}

async fn user_by(desk: &mut Desk<'_, '_, '_>, call: &Call) -> Result<Value, Raise> {
    let query = Query::table(&USER).filter(of_arguments(&call.args, &call.kwargs)?);
    match query.rows(&mut desk.asking(), 1).await {
        Ok(mut rows) => Ok(rows.pop().unwrap_or(Value::None)),
        Err(raise) if is_unknown_field(&raise) => Ok(Value::None),
        Err(raise) => Err(raise),
    }
}

async fn has_authenticator(desk: &mut Desk<'_, '_, '_>, call: &Call) -> Result<Value, Raise> {
    let user = call.arg(0, "user").and_then(Value::as_object).ok_or_else(|| needs_user("ak_user_has_authenticator"))?;
    let kind = call.arg(1, "device_type").and_then(Value::as_str);
    let Some(id) = user.id.strip_prefix("user:").and_then(|id| id.parse().ok()) else { return Ok(false.into()) };
    let authenticators = &desk.expressions.authenticators;
    Ok(authenticators.has_confirmed(desk.cx.tx, id, kind).await.map_err(store)?.into())
}

/// Runs another policy on a copy of the request, so that its arguments stay its own.
async fn call_policy(desk: &mut Desk<'_, '_, '_>, call: &Call) -> Result<Value, Raise> {
    let name = call.arg(0, "name").map(Value::key_text).unwrap_or_default();
    let kinds = desk.cx.site.registry.family(Family::Policy);
    let policy = kinds.iter().find_map(|kind| desk.cx.snapshot.by_unique(kind.model, "name", &name)).map(|o| o.id);
    let policy = policy.ok_or_else(|| Raise::new("ValueError", format!("Policy '{name}' not found.")))?;
    let mut context = desk.request.context.clone();
    let named = call.kwargs.iter().filter(|(name, _)| name != "name");
    context.extend(named.map(|(name, value)| (clean(name), to_json(value, Users::ByKey))));
    let mut request = PolicyRequest {
        context,
        debug: desk.request.debug,
        dry_run: desk.request.dry_run.take(),
        plan_context: desk.request.plan_context.as_deref_mut(),
        ..PolicyRequest::new(desk.request.user, desk.request.http, desk.request.obj.clone())
    };
    let result = engine::run(desk.cx, policy, &mut request, None).await;
    let (redirect, dry_run) = (request.plan_redirect.take(), request.dry_run.take());
    let effects = std::mem::take(&mut request.effects);
    desk.request.effects.extend(effects);
    desk.request.dry_run = dry_run;
    if redirect.is_some() {
        desk.request.plan_redirect = redirect;
    }
    let result = result.unwrap_or_else(|error| PolicyResult::new(false, PolicyFailure::messages(&error)));
    Ok(Object::new("PolicyResult", "result")
        .attr("passing", result.passing)
        .attr("messages", Value::Tuple(result.messages.into_iter().map(Value::from).collect()))
        .attr("raw_result", result.raw_result)
        .attr("log_messages", Value::list(result.log_messages))
        .into())
}

fn create_event(desk: &mut Desk<'_, '_, '_>, call: &Call) -> Result<Value, Raise> {
    let name = call.arg(0, "action").map(|a| clean(&a.key_text())).filter(|a| !a.is_empty());
    let name = name.ok_or_else(|| Raise::new("TypeError", "ak_create_event() needs an action."))?;
    let mut context = if desk.is_policy { event_variables(desk.request) } else { desk.request.context.clone() };
    let named = call.kwargs.iter().filter(|(name, _)| name != "action");
    context.extend(named.map(|(name, value)| (clean(name), to_json(value, Users::Shown))));
    let event = Event::new(&format!("custom_{name}"), desk.name, Json::Object(context));
    if let Some(dry_run) = &mut desk.request.dry_run {
        dry_run.omitted.push(json!({"effect": "create_event", "action": event.action}));
    } else if desk.request.debug {
        tracing::info!(action = event.action, "an event of a test run is not written");
    } else {
        desk.cx.events.push(event);
    }
    Ok(Value::None)
}

/// Tells administrators, once in thirty days, that an expression uses `ak_groups`.
pub fn warn_of_old_name(desk: &mut Desk<'_, '_, '_>) {
    let now = desk.cx.site.clock.now();
    let mut warned = desk.expressions.warned.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if desk.request.debug || warned.is_some_and(|then: DateTime<Utc>| now - then < TimeDelta::days(30)) {
        return;
    }
    *warned = Some(now);
    let context = json!({
        "message": "The attribute ak_groups of users is an old name: use groups.",
        "expression": desk.name,
    });
    desk.cx.events.push(Event::new(CONFIGURATION_WARNING, "authentik_core", context));
}

/// What events say about the variables of a policy's run.
fn event_variables(request: &PolicyRequest<'_>) -> Map {
    let mut variables = Map::new();
    let user = request
        .user
        .map_or_else(|| json!({"pk": 0, "username": "AnonymousUser", "email": ""}), weir_identity::Account::event_user);
    variables.insert("request".to_owned(), json!({"user": user, "obj": request.obj}));
    variables.insert("context".to_owned(), Json::Object(request.context.clone()));
    variables.insert("ak_client_ip".to_owned(), request.http.client_ip.as_str().into());
    let is_sso = request.context.get("is_sso").cloned().unwrap_or(Json::Bool(false));
    variables.insert("ak_is_sso_flow".to_owned(), is_sso);
    variables
}
