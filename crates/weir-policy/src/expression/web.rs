//! `http_request`: the request as Django would show it.

use crate::RequestInfo;
use serde_json::Value as Json;
use std::net::IpAddr;
use weir_core::Map;
use weir_expression::{Call, Object, Raise, Request, Value};

/// Handle of the request.
pub const HTTP: &str = "http";

/// Makes one attribute of the object.
type Part = fn(&RequestInfo) -> Value;

/// The object, with what of it the run may use.
pub fn object(http: &RequestInfo, run: &Request) -> Object {
    let mut object = Object::new("HttpRequest", HTTP)
        .attr("method", http.method.as_str())
        .attr("path", http.path.as_str())
        .attr("path_info", http.path.as_str())
        .attr("scheme", if http.is_secure { "https" } else { "http" })
        .attr("request_id", http.request_id.as_str())
        .shown_as(format!("<HttpRequest: {} '{}'>", http.method, http.path));
    let parts: [(&str, Part); 6] = [
        ("GET", |http| last(&http.query)),
        // Bodies belong to the stage they answer; what counts of them is in `prompt_data`.
        ("POST", |_| Value::Dict(Vec::new())),
        ("META", meta),
        ("headers", |http| Value::dict(http.headers.iter().map(|(n, v)| (title(n), v.as_str())))),
        ("COOKIES", |http| last(&http.cookies)),
        ("session", session),
    ];
    for (name, part) in parts.iter().filter(|(name, _)| run.may_use(name)) {
        object = object.attr(*name, part(http));
    }
    object
}

/// `ak_client_ip`.
pub fn client_ip(http: &RequestInfo) -> Value {
    http.client_ip.parse::<IpAddr>().map_or_else(|_| Value::IpAddress([255, 255, 255, 255].into()), Value::IpAddress)
}

/// Pairs as a dictionary; of several with one name the last counts, as in Django.
fn last(pairs: &[(String, String)]) -> Value {
    let mut map = Map::new();
    for (name, value) in pairs {
        map.insert(name.clone(), Json::from(value.as_str()));
    }
    Json::Object(map).into()
}

/// `user-agent` → `User-Agent`.
fn title(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    });
    words.collect::<Vec<_>>().join("-")
}

fn query_string(http: &RequestInfo) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(&http.query);
    query.finish()
}

fn full_path(http: &RequestInfo) -> String {
    let query = query_string(http);
    if query.is_empty() { http.path.clone() } else { format!("{}?{query}", http.path) }
}

fn meta(http: &RequestInfo) -> Value {
    let (name, port) = http.host.rsplit_once(':').unwrap_or((&http.host, if http.is_secure { "443" } else { "80" }));
    let fixed = [
        ("REQUEST_METHOD".to_owned(), http.method.clone()),
        ("PATH_INFO".to_owned(), http.path.clone()),
        ("QUERY_STRING".to_owned(), query_string(http)),
        ("REMOTE_ADDR".to_owned(), http.client_ip.clone()),
        ("SERVER_NAME".to_owned(), name.to_owned()),
        ("SERVER_PORT".to_owned(), port.to_owned()),
        ("HTTP_HOST".to_owned(), http.host.clone()),
        ("HTTP_USER_AGENT".to_owned(), http.user_agent.clone()),
    ];
    let mut map = Map::new();
    for (name, value) in &http.headers {
        map.insert(format!("HTTP_{}", name.replace('-', "_").to_uppercase()), Json::from(value.as_str()));
    }
    map.extend(fixed.into_iter().map(|(name, value)| (name, Json::from(value))));
    Json::Object(map).into()
}

/// The parts of the browser session that expressions are known to read: the query of the flow page.
fn session(http: &RequestInfo) -> Value {
    let query: Vec<(String, String)> = http
        .parameter("query")
        .map(|query| url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
        .unwrap_or_default();
    Value::dict([("authentik/flows/get", last(&query))])
}

/// A method of the request.
pub fn call(http: &RequestInfo, call: &Call) -> Result<Value, Raise> {
    match call.name.as_str() {
        "build_absolute_uri" => {
            let location = match call.arg(0, "location") {
                None | Some(Value::None) => full_path(http),
                Some(value) => value.key_text(),
            };
            let base = url::Url::parse(&format!("{}{}", http.base_url(), http.path));
            let joined = base.and_then(|base| base.join(&location));
            joined.map(|url| Value::str(url.as_str())).map_err(|_| Raise::new("ValueError", "This is no location."))
        }
        "is_secure" => Ok(http.is_secure.into()),
        "get_host" => Ok(http.host.as_str().into()),
        "get_port" => Ok(http.host.rsplit_once(':').map_or("", |(_, port)| port).into()),
        "get_full_path" | "get_full_path_info" => Ok(full_path(http).into()),
        other => Err(Raise::no_attribute("HttpRequest", other)),
    }
}
