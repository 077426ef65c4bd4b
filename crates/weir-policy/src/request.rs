//! What a policy is asked, and what it answers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;
use weir_core::Map;
use weir_events::Origin;
use weir_identity::Account;
use weir_resource::{Settings, Site};

/// Who vouches that a client has the key of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presenter {
    /// The TLS connection of the request itself.
    Connection,
    /// A trusted proxy.
    Proxy,
    /// An outpost; it counts only with a permission of its account.
    Outpost,
}

/// A certificate shown for a client. That the client has its key is proven; whether anybody signed it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedCertificate {
    /// The certificate (DER) and what it came with to complete its chain; empty when it could not be read.
    pub chain: Vec<Vec<u8>>,
    /// Who vouches for the client.
    pub by: Presenter,
}

/// The facts of an HTTP request that flows and policies may look at. No web framework's types.
#[derive(Clone, Debug, Default)]
pub struct RequestInfo {
    /// Method, upper case.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query parameters of the request itself.
    pub query: Vec<(String, String)>,
    /// Headers that expressions may see; names lower case, no cookies, no credentials.
    pub headers: Vec<(String, String)>,
    /// Client address behind trusted proxies; `255.255.255.255` when unknown.
    pub client_ip: String,
    /// The `User-Agent`.
    pub user_agent: String,
    /// The id that stands in `X-authentik-id`.
    pub request_id: String,
    /// Host as the client wrote it, with port.
    pub host: String,
    /// The request came over TLS.
    pub is_secure: bool,
    /// Key of the brand in force; none for the built-in one.
    pub brand: Option<Uuid>,
    /// Cookies of Weir other than the session's: remembered devices.
    pub cookies: Vec<(String, String)>,
    /// Certificates shown for the client, in the order in which they are tried.
    pub certificates: Vec<PresentedCertificate>,
    /// The user account of the outpost that sends this request.
    pub outpost: Option<Value>,
    /// Key of the user who is signed in; policies may be asked about another one.
    pub user: Option<i64>,
    /// Who acts as that user, as events name people; none when nobody but the user does.
    pub impersonator: Option<Value>,
}

impl RequestInfo {
    /// Scheme and host.
    pub fn base_url(&self) -> String {
        format!("{}://{}", if self.is_secure { "https" } else { "http" }, self.host)
    }

    /// The address people know the site by, without a slash at the end: the one of the settings, so that no header of a
    /// request decides where a mailed link leads, else the request's. It may end in the prefix of all paths.
    pub fn site_url(&self, settings: &Settings) -> String {
        match settings.base_url.trim().trim_end_matches('/') {
            "" => self.base_url(),
            known => known.to_owned(),
        }
    }

    /// A query parameter of the request itself; the last one counts.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A header by lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Names who really acts, on behalf of whom the event would name without this.
    pub fn unmask(&self, origin: &mut Origin) {
        let Some(real) = &self.impersonator else { return };
        let mut user = real.clone();
        if let Some(user) = user.as_object_mut() {
            user.insert("on_behalf_of".to_owned(), origin.user.take());
        }
        origin.user = user;
        origin.user_id = real.get("pk").and_then(Value::as_i64);
        origin.username = real.get("username").and_then(Value::as_str).unwrap_or_default().to_owned();
    }

    /// The part of an event that tells about the request.
    pub fn origin(&self, user: Option<&Account>, brand: Value) -> Origin {
        let args: Map = self.query.iter().map(|(n, v)| (n.clone(), Value::from(v.clone()))).collect();
        Origin {
            user: user.map_or_else(|| json!({"pk": 0, "username": "AnonymousUser", "email": ""}), Account::event_user),
            user_id: user.map(|u| u.id),
            username: user.map_or_else(|| "AnonymousUser".to_owned(), |u| u.username.clone()),
            client_ip: Some(self.client_ip.clone()),
            brand,
            http_request: json!({
                "path": self.path,
                "method": self.method,
                "args": args,
                "user_agent": self.user_agent,
                "request_id": self.request_id,
            }),
        }
    }
}

/// What a policy wants done because of its answer. Evaluating changes nothing: whoever asked carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyEffect {
    /// The user's password is too old: it must no longer sign anybody in.
    ExpirePassword {
        /// Key of the user.
        user: i64,
        /// When the password that is meant was set; a newer one stays.
        set: DateTime<Utc>,
    },
}

/// What a dry run leaves out, and what it therefore cannot know.
#[derive(Clone, Debug, Default)]
pub struct DryRun {
    /// What other servers would have been asked. With anything in it the policy's answer is not known.
    pub not_asked: Vec<String>,
    /// What would have happened, each as `{effect, …}`.
    pub omitted: Vec<Value>,
    /// How long policies would have waited.
    pub waited: Duration,
}

/// The question.
pub struct PolicyRequest<'a> {
    /// The person asked about; none for an anonymous visitor.
    pub user: Option<&'a Account>,
    /// The request.
    pub http: &'a RequestInfo,
    /// The object policies are bound to, as `{app, model_name, pk, name}`; null in tests of a policy.
    pub obj: Value,
    /// What expressions see as `context`, without `flow_plan`.
    pub context: Map,
    /// Context of the flow plan; expressions may change it and the change stays. None outside flows.
    pub plan_context: Option<&'a mut Map>,
    /// A URL that an expression asked the plan to redirect to next.
    pub plan_redirect: Option<String>,
    /// A test run: no events are written.
    pub debug: bool,
    /// Nothing may happen outside: no mails, no questions to other servers, no waiting. What is left out is noted.
    pub dry_run: Option<DryRun>,
    /// What policies want done; carried out by whoever asked, or by nobody.
    pub effects: Vec<PolicyEffect>,
}

/// The answer of one policy or of one group of static bindings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyResult {
    /// Whether it passes.
    pub passing: bool,
    /// What the person is told.
    pub messages: Vec<String>,
    /// What the policy computed.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub raw_result: Value,
    /// Log lines of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_messages: Vec<Value>,
    /// What the policy looked at, for explanations; nothing secret.
    #[serde(skip)]
    pub inputs: Map,
}

impl<'a> PolicyRequest<'a> {
    /// A question about a person, asked outside of flows.
    pub fn new(user: Option<&'a Account>, http: &'a RequestInfo, obj: Value) -> Self {
        Self {
            user,
            http,
            obj,
            context: Map::new(),
            plan_context: None,
            plan_redirect: None,
            debug: false,
            dry_run: None,
            effects: Vec::new(),
        }
    }

    /// In a dry run: notes that another server would be asked, and tells that it is not.
    pub fn is_kept_from_asking(&mut self, whom: impl FnOnce() -> String) -> bool {
        let Some(dry_run) = &mut self.dry_run else { return false };
        dry_run.not_asked.push(whom());
        true
    }

    /// Adds where the client is, as far as databases know.
    pub fn locate(&mut self, site: &Site) {
        let ip = self.http.client_ip.as_str();
        for (key, value) in [("geoip", site.geo.place_json(ip)), ("asn", site.geo.network_json(ip))] {
            if let Some(value) = value
                && !self.context.contains_key(key)
            {
                self.context.insert(key.to_owned(), value);
            }
        }
    }

    /// What a stage or prompt put under this name; typed answers come first.
    pub fn answer(&self, field: &str) -> Option<&str> {
        let typed = self.context.get("prompt_data").and_then(|data| data.get(field)).filter(|v| !v.is_null());
        typed.or_else(|| self.context.get(field)).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

impl PolicyResult {
    /// A result with messages.
    pub fn new(passing: bool, messages: Vec<String>) -> Self {
        Self { passing, messages, ..Self::default() }
    }

    /// The result with what it was made of.
    #[must_use]
    pub fn because(mut self, inputs: Value) -> Self {
        if let Value::Object(inputs) = inputs {
            self.inputs = inputs;
        }
        self
    }
}

/// Why a policy gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct PolicyFailure {
    /// In words; what the person is told.
    pub text: String,
    /// What the policy had said before.
    pub messages: Vec<String>,
    /// Log lines of the run.
    pub log_messages: Vec<Value>,
    /// What the interpreter says.
    pub cause: Option<weir_expression::EvalError>,
}

impl PolicyFailure {
    /// What the person is told about a failure: what the policy said before, then the error's text.
    pub fn messages(error: &anyhow::Error) -> Vec<String> {
        let mut messages = error.downcast_ref::<Self>().map(|f| f.messages.clone()).unwrap_or_default();
        messages.push(error.to_string());
        messages
    }
}
