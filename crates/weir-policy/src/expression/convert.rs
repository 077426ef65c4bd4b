//! Between JSON, as plans and events keep it, and the values of expressions.

use super::objects::{ANONYMOUS, claimed, of_document};
use crate::PolicyRequest;
use chrono::DateTime;
use serde_json::{Value as Json, json};
use uuid::Uuid;
use weir_core::Map;
use weir_expression::{Object, Value};
use weir_resource::Snapshot;

/// What a user looks like in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// By key alone: plans never keep a copied row.
    ByKey,
    /// With name and address, for people who read it.
    Shown,
}

/// A value with objects where the JSON describes configuration or groups.
pub fn to_value(snapshot: &Snapshot, json: &Json) -> Value {
    match json {
        Json::Array(items) => Value::List(items.iter().map(|item| to_value(snapshot, item)).collect()),
        Json::Object(map) => described(snapshot, map).unwrap_or_else(|| {
            Value::Dict(map.iter().map(|(k, v)| (Value::str(k.clone()), to_value(snapshot, v))).collect())
        }),
        other => Value::from(other.clone()),
    }
}

/// The object that `{app, model_name, pk, …}` describes.
fn described(snapshot: &Snapshot, map: &Map) -> Option<Value> {
    let text = |name: &str| map.get(name).and_then(Json::as_str);
    let (app, model) = (text("app")?, text("model_name")?);
    if (app, model) == ("authentik_stages_authenticator_sms", "smsdevice") {
        // Being set up it has no key yet.
        let attr = |name: &str| text(name).unwrap_or_default();
        let device = Object::new("SMSDevice", "device").attr("name", attr("name"));
        return Some(device.attr("phone_number", attr("phone_number")).shown_as(attr("name")).into());
    }
    let id = Uuid::parse_str(text("pk")?).ok()?;
    let found = snapshot.find(id).filter(|o| o.kind.app_label() == app && o.kind.model_name() == model);
    if let Some(document) = found {
        return Some(of_document(document).into());
    }
    let (class, handle) = match (app, model) {
        ("authentik_core", "group") => ("Group", format!("group:{id}")),
        ("authentik_rbac", "role") => ("Role", format!("role:{id}")),
        _ => return None,
    };
    let name = text("name").unwrap_or_default();
    Some(Object::new(class, handle).attr("pk", id.to_string()).attr("name", name).shown_as(name).into())
}

/// A value as JSON; objects become what describes them.
pub fn to_json(value: &Value, users: Users) -> Json {
    let all = |items: &[Value]| Json::Array(items.iter().map(|item| to_json(item, users)).collect());
    match value {
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => all(items),
        Value::Dict(pairs) => {
            Json::Object(pairs.iter().map(|(k, v)| (clean(&k.key_text()), to_json(v, users))).collect())
        }
        Value::Object(object) => object_json(object, users),
        Value::None | Value::Bool(_) | Value::Int(_) | Value::BigInt(_) | Value::Float(_) => value.to_json(),
        other => Json::from(clean(&other.key_text())),
    }
}

/// What people answered. Plans keep instants as text; expressions get what the person was asked for.
pub fn answers(data: Json, kinds: &Json) -> Value {
    let Json::Object(data) = data else { return Value::from(data) };
    let value = |key: &str, json: Json| {
        let text = json.as_str().unwrap_or_default();
        let found = match kinds.get(key).and_then(Json::as_str) {
            Some("date") => text.parse().ok().map(Value::Date),
            Some("date-time") => DateTime::parse_from_rfc3339(text).ok().map(Value::DateTime),
            _ => None,
        };
        found.unwrap_or_else(|| Value::from(json))
    };
    Value::Dict(data.into_iter().map(|(key, json)| (Value::str(key.clone()), value(&key, json))).collect())
}

/// Text that every database takes.
pub fn clean(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}

fn object_json(object: &Object, users: Users) -> Json {
    let attr = |name: &str| object.find_attr(name).map_or(Json::Null, |value| to_json(value, users));
    let (kind, key) = object.id.split_once(':').unwrap_or((object.id.as_str(), ""));
    let described = |app: &str, model: &str, key: &str| {
        let name = object.text.as_deref().map(clean).map_or_else(|| attr("name"), Json::from);
        let name = if attr("name").is_string() { attr("name") } else { name };
        json!({"app": app, "model_name": model, "pk": key, "name": name})
    };
    match kind {
        "user" => {
            let pk = key.parse::<i64>().map_or(Json::Null, Json::from);
            match users {
                Users::ByKey => json!({"pk": pk}),
                Users::Shown => json!({"pk": pk, "username": attr("username"), "email": attr("email")}),
            }
        }
        "claimed" => {
            json!({"pk": null, "username": attr("username"), "email": attr("email"), "name": attr("name")})
        }
        ANONYMOUS if users == Users::Shown => json!({"pk": 0, "username": "AnonymousUser", "email": ""}),
        "group" => described("authentik_core", "group", key),
        "role" => described("authentik_rbac", "role", key),
        "token" => described("authentik_core", "token", key),
        "event" => described("authentik_events", "event", key),
        "doc" => {
            let (model, id) = key.split_once(':').unwrap_or_default();
            let (app, model) = model.split_once('.').unwrap_or_default();
            described(app, model, id)
        }
        // An instance of a class that the expression made.
        "" => Json::Object(object.attrs.iter().map(|(k, v)| (clean(k), to_json(v, users))).collect()),
        // Requests, sessions, query sets: nothing that could be kept.
        _ => Json::Null,
    }
}

/// A person in JSON that is no account: `{"pk": null, "username": …}`.
pub fn of_claim(handle: &str, json: &Json) -> Option<Object> {
    let map = json.as_object().filter(|m| m.get("username").is_some_and(Json::is_string))?;
    Some(claimed(handle, map))
}

/// The event that JSON describes, as rules know it. What stands inside of it stays as it was stored.
pub fn of_event(json: &Json) -> Option<Object> {
    let map = json.as_object().filter(|map| map.get("action").is_some_and(Json::is_string))?;
    let text = |name: &str| map.get(name).and_then(Json::as_str).unwrap_or_default();
    let mut object = Object::new("Event", format!("event:{}", text("pk")))
        .attr("event_uuid", text("pk"))
        .shown_as(format!("Event {}", text("action")));
    for (name, value) in map {
        let time = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        object = match time.filter(|_| ["created", "expires"].contains(&name.as_str())) {
            Some(time) => object.attr(name, Value::DateTime(time)),
            None => object.attr(name, value.clone()),
        };
    }
    // A context that somebody made up may leave them out.
    let nothing = [("pk", Json::Null), ("app", "".into()), ("client_ip", Json::Null)];
    let nothing = nothing.into_iter().chain(["user", "context", "brand"].map(|name| (name, json!({}))));
    for (name, value) in nothing.filter(|(name, _)| !map.contains_key(*name)) {
        object = object.attr(name, value);
    }
    Some(object)
}

/// The notification that JSON describes, for this person.
pub fn of_notification(json: &Json, user: Object) -> Option<Object> {
    let map = json.as_object()?;
    let body = map.get("body")?.as_str()?;
    let severity = map.get("severity").and_then(Json::as_str).unwrap_or("notice");
    let event = map.get("event").and_then(of_event).map_or(Value::None, Value::from);
    let object = Object::new("Notification", "notification").attr("body", body).attr("severity", severity);
    Some(object.attr("user", user).attr("event", event).shown_as(body))
}

/// What a run was given, to tell what it changed.
#[derive(Default)]
pub struct Sent {
    /// `context`, without the plan.
    pub context: Vec<(String, Value)>,
    /// `flow_plan.context`, when it was sent.
    pub plan: Option<Vec<(String, Value)>>,
}

fn find<'a>(pairs: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Carries what an expression changed over to the request: entries of `flow_plan.context` into the plan, entries of
/// `context` into what the next policy sees. In Python both share their lists and dictionaries, so a change inside of
/// one that stands in both counts for both.
pub fn take_back(sent: &Sent, returned: &Value, request: &mut PolicyRequest<'_>) {
    let Some(context) = returned.as_pairs() else { return };
    let named = |pairs: &[(Value, Value)]| -> Vec<(String, Value)> {
        pairs.iter().map(|(k, v)| (clean(&k.key_text()), v.clone())).collect()
    };
    let plan = returned.get("flow_plan").and_then(Value::as_object).filter(|o| o.class == "FlowPlan");
    let plan = plan.and_then(|o| o.find_attr("context")?.as_pairs()).map(named);
    let context: Vec<(String, Value)> = named(context).into_iter().filter(|(k, _)| k != "flow_plan").collect();
    let is_shared = |name: &str| {
        let before = find(&sent.context, name);
        let is_same = match (&sent.plan, request.plan_context.as_deref()) {
            (Some(plan), _) => find(plan, name) == before,
            // The plan was not sent, as the source does not name it.
            (None, Some(plan)) => plan.get(name) == request.context.get(name),
            (None, None) => false,
        };
        is_same && matches!(before, Some(Value::Dict(_) | Value::List(_)))
    };
    let mut for_plan: Vec<(String, Option<Json>)> = Vec::new();
    let mut for_context: Vec<(String, Option<Json>)> = Vec::new();
    for (name, json) in changes(&sent.context, &context) {
        if is_shared(&name) && json.is_some() {
            for_plan.push((name.clone(), json.clone()));
        }
        for_context.push((name, json));
    }
    if let (Some(before), Some(after)) = (&sent.plan, &plan) {
        for (name, json) in changes(before, after) {
            if is_shared(&name) && json.is_some() && !for_context.iter().any(|(n, _)| *n == name) {
                for_context.push((name.clone(), json.clone()));
            }
            for_plan.retain(|(n, _)| *n != name);
            for_plan.push((name, json));
        }
    }
    write(&mut request.context, for_context);
    if let Some(plan) = request.plan_context.as_deref_mut() {
        write(plan, for_plan);
    }
}

/// Entries that are new, other or (without value) gone.
fn changes(before: &[(String, Value)], after: &[(String, Value)]) -> Vec<(String, Option<Json>)> {
    let new = after.iter().filter(|(name, value)| find(before, name) != Some(value));
    let gone = before.iter().filter(|(name, _)| find(after, name).is_none());
    new.map(|(name, value)| (name.clone(), Some(to_json(value, Users::ByKey))))
        .chain(gone.map(|(name, _)| (name.clone(), None)))
        .collect()
}

fn write(map: &mut Map, changes: Vec<(String, Option<Json>)>) {
    for (name, json) in changes {
        match json {
            Some(json) => map.insert(name, json),
            None => map.shift_remove(&name),
        };
    }
}
