//! A small directory of people for expressions to ask about.

use async_trait::async_trait;
use serde_json::json;
use weir_expression::{Call, EvalError, Evaluation, Host, Object, Pool, PoolSettings, Raise, Request, Value};

/// Answers from a fixed directory and remembers what it was asked to do.
#[derive(Debug, Default)]
pub struct Fake {
    /// Calls with an effect.
    pub done: Vec<Call>,
    /// All questions, for counting.
    pub questions: usize,
}

const USERS: &[(&str, &str, &[&str])] =
    &[("ada", "ada@example.com", &["admins", "staff"]), ("bob", "bob@example.com", &["staff"]), ("eve", "", &[])];

pub fn user(name: &str) -> Value {
    let email = USERS.iter().find(|(known, ..)| *known == name).map_or("", |(_, email, _)| email);
    Object::new("User", format!("user:{name}"))
        .attr("username", name)
        .attr("name", name.to_uppercase())
        .attr("email", email)
        .attr("is_active", true)
        .attr("attributes", Value::from(json!({"department": "R&D", "quota": 5, "tags": ["x", "y"]})))
        .shown_as(name)
        .into()
}

fn group(name: &str) -> Value {
    Object::new("Group", format!("group:{name}")).attr("name", name).shown_as(name).into()
}

fn set(kind: &str, names: &[&str]) -> Value {
    Object::new("QuerySet", format!("set:{kind}:{}", names.join(","))).into()
}

fn members(handle: &str) -> (&str, Vec<&str>) {
    let (kind, names) = handle.split_once(':').unwrap_or((handle, ""));
    let names = match (kind, names) {
        ("groups-of", user) => USERS.iter().find(|(name, ..)| *name == user).map(|(_, _, groups)| groups.to_vec()),
        ("all-users", _) => Some(USERS.iter().map(|(name, ..)| *name).collect()),
        _ => None,
    };
    match names {
        Some(names) => (if kind == "all-users" { "user" } else { "group" }, names),
        None => {
            let (kind, names) = handle.strip_prefix("set:").and_then(|rest| rest.split_once(':')).unwrap_or_default();
            (kind, names.split(',').filter(|name| !name.is_empty()).collect())
        }
    }
}

fn object(kind: &str, name: &str) -> Value {
    if kind == "user" { user(name) } else { group(name) }
}

fn matches(kind: &str, name: &str, lookup: &str, value: &Value) -> bool {
    let wanted = value.as_str().unwrap_or_default();
    let email = || USERS.iter().find(|(known, ..)| *known == name).map_or("", |(_, email, _)| *email);
    match (kind, lookup) {
        ("user", "email") => email() == wanted,
        (_, "name" | "username" | "pk") => name == wanted,
        (_, "name__startswith" | "username__startswith") => name.starts_with(wanted),
        (_, "name__in") => value.as_items().is_some_and(|all| all.iter().any(|one| one.as_str() == Some(name))),
        _ => false,
    }
}

fn query(handle: &str, call: &Call) -> Result<Value, Raise> {
    let (kind, names) = members(handle);
    let fits = |name: &&str| call.kwargs.iter().all(|(lookup, value)| matches(kind, name, lookup, value));
    let found: Vec<&str> = names.iter().copied().filter(|name| fits(name)).collect();
    Ok(match call.name.as_str() {
        "all" | "order_by" | "distinct" => set(kind, &names),
        "filter" => set(kind, &found),
        "exclude" => set(kind, &names.iter().copied().filter(|name| !fits(name)).collect::<Vec<_>>()),
        "values_list" => Value::list(names),
        "__iter__" => Value::List(names.iter().map(|name| object(kind, name)).collect()),
        "exists" => Value::Bool(!names.is_empty()),
        "count" => Value::from(names.len() as u64),
        "first" => names.first().map_or(Value::None, |name| object(kind, name)),
        "get" => match found.as_slice() {
            [one] => object(kind, one),
            _ => return Err(Raise::new("DoesNotExist", "User matching query does not exist.")),
        },
        other => return Err(Raise::no_attribute("QuerySet", other)),
    })
}

#[async_trait]
impl Host for Fake {
    async fn attribute(&mut self, object: &str, name: &str) -> Result<Value, Raise> {
        self.questions += 1;
        match (object.split_once(':').unwrap_or((object, "")), name) {
            (("user", user), "groups") => Ok(Object::new("Manager", format!("groups-of:{user}")).into()),
            (("user", user), "uid") => Ok(Value::str(format!("uid-{user}"))),
            (("model", "authentik.core.models.User"), "objects") => Ok(Object::new("Manager", "all-users:").into()),
            (("http", _), "headers") => Ok(Value::dict([("User-Agent", "test")])),
            (("user", _), _) => Err(Raise::no_attribute("User", name)),
            _ => Err(Raise::no_attribute(object, name)),
        }
    }

    async fn call(&mut self, call: Call) -> Result<Value, Raise> {
        self.questions += 1;
        let object = call.object.clone().unwrap_or_default();
        match (object.split(':').next().unwrap_or_default(), call.name.as_str()) {
            ("set" | "groups-of" | "all-users", _) => query(&object, &call),
            ("", "ak_user_by") => {
                let (_, names) = members("all-users:");
                let fits = |name: &&&str| call.kwargs.iter().all(|(key, value)| matches("user", name, key, value));
                Ok(names.iter().find(fits).map_or(Value::None, |name| user(name)))
            }
            ("", "ak_is_group_member") => {
                let name =
                    call.args.first().and_then(Value::as_object).map(|user| user.id.replace("user:", "groups-of:"));
                let (kind, groups) = members(name.as_deref().unwrap_or_default());
                Ok(groups
                    .iter()
                    .any(|name| call.kwargs.iter().all(|(key, value)| matches(kind, name, key, value)))
                    .into())
            }
            ("", "ak_call_policy") => match call.arg(0, "name").and_then(Value::as_str) {
                Some("known") => Ok(Object::new("PolicyResult", "result:1")
                    .attr("passing", call.kwarg("level").and_then(Value::as_int).unwrap_or_default() > 3)
                    .attr("messages", Value::Tuple(vec!["from inside".into()]))
                    .into()),
                name => Err(Raise::new("ValueError", format!("Policy '{}' not found.", name.unwrap_or_default()))),
            },
            ("", "ak_send_email") => {
                self.done.push(call);
                Ok(Value::Bool(true))
            }
            ("", "ak_create_event") => {
                self.done.push(call);
                Ok(Value::None)
            }
            ("", "__import__") if call.arg(1, "name") == Some(&Value::str("USER_ATTRIBUTE_CHANGE_NAME")) => {
                Ok(Value::str("goauthentik.io/user/can-change-name"))
            }
            ("", "resolve_dns") => Ok(Value::list(["192.0.2.1"])),
            ("user", "save" | "set_password") => {
                self.done.push(call);
                Ok(Value::None)
            }
            ("user", "locale") => Ok(Value::str("en")),
            ("requests", "get" | "post") => {
                let body = json!({"url": call.arg(0, "url").map(Value::to_json), "sent": call.kwarg("json").map(Value::to_json)});
                match call.arg(0, "url").and_then(Value::as_str) {
                    Some("https://slow.example.com") => Err(Raise::new("Timeout", "timed out")),
                    _ => Ok(Object::new("Response", "response:1")
                        .attr("status_code", 404)
                        .attr("ok", false)
                        .attr("text", body.to_string())
                        .into()),
                }
            }
            ("response", "json") => Ok(json!({"n": 1}).into()),
            ("response", "raise_for_status") => Err(Raise::new("HTTPError", "404 Client Error")),
            ("http", "build_absolute_uri") => Ok(Value::str("https://id.example.com/")),
            _ if call.object.is_some() => Err(Raise::no_attribute(&object, &call.name)),
            _ => Err(Raise::no_function(&call.name)),
        }
    }
}

pub fn settings() -> PoolSettings {
    PoolSettings::new(env!("CARGO_BIN_EXE_weir-expression-worker"), [] as [&str; 0])
}

pub fn pool() -> Pool {
    Pool::new(settings())
}

pub fn context() -> Value {
    let plan = Object::new("FlowPlan", "plan:1").attr("context", Value::from(json!({"started": true})));
    Value::dict([
        ("prompt_data", Value::from(json!({"username": "newbie", "email": "New@Example.com", "age": 17}))),
        ("pending_user", user("bob")),
        ("flow_plan", plan.into()),
        ("geoip", Value::from(json!({"country": "DE", "lat": 52.5}))),
        ("is_sso", Value::Bool(false)),
    ])
}

/// A request as a policy makes it, for the user `ada`.
pub fn policy(source: &str) -> Request {
    let http = Object::new("HttpRequest", "http:1")
        .attr("method", "GET")
        .attr("path", "/if/flow/x/")
        .attr("GET", Value::from(json!({"next": "/"})))
        .attr("META", Value::from(json!({"HTTP_USER_AGENT": "test"})));
    let request = Object::new("PolicyRequest", "request:1")
        .attr("user", user("ada"))
        .attr("http_request", http.clone())
        .attr("obj", Value::None)
        .attr("debug", false);
    Request::new("test policy", source)
        .variable("request", request)
        .variable("user", user("ada"))
        .variable("http_request", http)
        .variable("ak_client_ip", std::net::IpAddr::from([10, 1, 2, 3]))
        .variable("ak_is_sso_flow", false)
        .context(context())
}

pub async fn run(source: &str) -> Evaluation {
    pool().evaluate(policy(source), &mut Fake::default()).await
}

/// Runs snippets and compares what they return.
pub async fn give(cases: &[(&str, serde_json::Value)]) {
    let pool = pool();
    for (source, expected) in cases {
        let evaluation = pool.evaluate(policy(source), &mut Fake::default()).await;
        assert_eq!(evaluation.result.as_ref().map(Value::to_json), Ok(expected.clone()), "{source}");
    }
}

/// Runs snippets and compares the exceptions they end with.
pub async fn raise(cases: &[(&str, &str, &str)]) {
    let pool = pool();
    for (source, class, message) in cases {
        let evaluation = pool.evaluate(policy(source), &mut Fake::default()).await;
        let found = match &evaluation.result {
            Err(EvalError::Raised(exception)) => Some((exception.class.as_str(), exception.message.as_str())),
            _ => None,
        };
        assert_eq!(found, Some((*class, *message)), "{:?} from\n{source}", evaluation.result);
    }
}
