//! Calls of the protocol.

use super::{CompatibilityMode, config::Abilities};
use crate::{
    state::Model,
    target::{Remote, Subject, Target, encode, text},
    wire::{Answer, Ask, Failure, Wire},
};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_core::Map;

const MEDIA: &str = "application/scim+json";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// One server.
pub struct Scim {
    /// Address without a slash at the end.
    pub base: String,
    /// What is special about it.
    pub mode: CompatibilityMode,
    /// `Authorization`.
    pub authorization: Option<String>,
    /// Objects of a page.
    pub page_size: usize,
    /// What it can do.
    pub abilities: Arc<Abilities>,
}

fn folder(model: Model) -> &'static str {
    match model {
        Model::User => "Users",
        Model::Group => "Groups",
    }
}

/// A text in a filter (RFC 7644 3.4.2.2): a JSON string.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

fn member(id: &str) -> Value {
    json!({"op": "add", "path": "members", "value": [{"value": id}]})
}

fn no_member(id: &str) -> Value {
    json!({"op": "remove", "path": format!("members[value eq {}]", literal(id))})
}

impl Scim {
    async fn ask(&self, wire: &Wire<'_>, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let ask = Ask {
            method,
            url: format!("{}/{path}", self.base),
            body,
            authorization: self.authorization.as_deref(),
            media: MEDIA,
        };
        wire.call(ask).await
    }

    /// Reads.
    pub(super) async fn get(&self, wire: &Wire<'_>, path: &str) -> Result<Answer, Failure> {
        self.ask(wire, Method::GET, path, None).await
    }

    /// Puts members beside the attributes, for servers that take groups whole.
    fn whole(&self, model: Model, data: &Map, members: &[String]) -> Map {
        let mut body = data.clone();
        if model == Model::Group && !self.abilities.patch {
            let list: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
            body.insert("members".to_owned(), list.into());
        }
        body
    }

    async fn put(
        &self,
        wire: &Wire<'_>,
        model: Model,
        id: &str,
        data: &Map,
        members: &[String],
    ) -> Result<(), Failure> {
        let mut body = self.whole(model, data, members);
        body.insert("id".to_owned(), id.into());
        let path = format!("{}/{}", folder(model), encode(id));
        self.ask(wire, Method::PUT, &path, Some(&Value::Object(body))).await.map(|_| ())
    }

    async fn patch(&self, wire: &Wire<'_>, group: &str, operations: &[Value]) -> Result<(), Failure> {
        let path = format!("Groups/{}", encode(group));
        for part in operations.chunks(self.abilities.chunk()) {
            let body = json!({"schemas": [PATCH], "Operations": part});
            self.ask(wire, Method::PATCH, &path, Some(&body)).await?;
        }
        Ok(())
    }

    async fn update_group(&self, wire: &Wire<'_>, id: &str, data: &Map) -> Result<(), Failure> {
        if self.mode == CompatibilityMode::Aws {
            let named = ["displayName", "externalId"].into_iter().filter_map(|name| Some((name, data.get(name)?)));
            let operations: Vec<Value> =
                named.map(|(name, value)| json!({"op": "replace", "path": name, "value": value})).collect();
            return self.patch(wire, id, &operations).await;
        }
        let mut value = data.clone();
        value.shift_remove("schemas");
        value.insert("id".to_owned(), id.into());
        self.patch(wire, id, &[json!({"op": "replace", "value": value})]).await
    }
}

/// What a server calls a resource.
fn id_of(resource: &Value) -> Option<String> {
    match resource.get("id")? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

#[async_trait]
impl Target for Scim {
    async fn prepare(&self, _wire: &Wire<'_>, subject: Subject<'_>, mut data: Map) -> Result<Map, Failure> {
        let (core, required) = match subject.model {
            Model::User => (USER, "userName"),
            Model::Group => (GROUP, "displayName"),
        };
        if data.get(required).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(Failure::Unmapped(format!("The mappings give no {required}.")));
        }
        data.entry("externalId").or_insert_with(|| subject.external_id.into());
        let mut schemas: Vec<Value> = vec![core.into()];
        if let Some(Value::Array(more)) = data.shift_remove("schemas") {
            schemas.extend(more.into_iter().filter(|schema| schema.as_str() != Some(core)));
        }
        // First, as servers that read in order expect it.
        let mut whole = Map::new();
        whole.insert("schemas".to_owned(), schemas.into());
        whole.extend(data);
        Ok(whole)
    }

    async fn create(&self, wire: &Wire<'_>, model: Model, data: &Map, members: &[String]) -> Result<String, Failure> {
        let body = Value::Object(self.whole(model, data, members));
        let answer = self.ask(wire, Method::POST, folder(model), Some(&body)).await?;
        let unknown = || Failure::Conflict("The target does not say what it calls the new object.".to_owned());
        id_of(&answer.body).ok_or_else(unknown)
    }

    fn marks(&self, model: Model) -> &'static [&'static str] {
        if model == Model::User { &["userName"] } else { &["displayName"] }
    }

    async fn seek(&self, wire: &Wire<'_>, model: Model, marks: &Map) -> Result<Option<String>, Failure> {
        let attribute = if model == Model::User { "userName" } else { "displayName" };
        let name = text(marks, attribute);
        if name.is_empty() || !self.abilities.filter {
            return Ok(None);
        }
        let filter = format!("{attribute} eq {}", literal(name));
        let answer = self.get(wire, &format!("{}?filter={}", folder(model), encode(&filter))).await?;
        let found = answer.body.get("Resources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        // A server that ignores the filter gives whatever it has.
        let is_it = |resource: &&Value| {
            let other = resource.get(attribute).and_then(Value::as_str).unwrap_or_default();
            other.to_lowercase() == name.to_lowercase()
        };
        Ok(found.iter().find(is_it).and_then(id_of))
    }

    async fn update(
        &self,
        wire: &Wire<'_>,
        model: Model,
        id: &str,
        data: &Map,
        members: &[String],
    ) -> Result<String, Failure> {
        if model == Model::Group && self.abilities.patch {
            self.update_group(wire, id, data).await?;
        } else {
            self.put(wire, model, id, data, members).await?;
        }
        Ok(id.to_owned())
    }

    async fn suspend(&self, wire: &Wire<'_>, id: &str) -> Result<(), Failure> {
        let there = self.get(wire, &format!("{}/{}", folder(Model::User), encode(id))).await?;
        let Value::Object(mut data) = there.body else {
            return Err(Failure::Bad("The target does not tell what the account is.".to_owned()));
        };
        // Where nothing is said, it is open.
        match data.insert("active".to_owned(), false.into()) {
            Some(Value::Bool(false)) => Ok(()),
            _ => self.put(wire, Model::User, id, &data, &[]).await,
        }
    }

    async fn remove(&self, wire: &Wire<'_>, model: Model, id: &str) -> Result<(), Failure> {
        let path = format!("{}/{}", folder(model), encode(id));
        self.ask(wire, Method::DELETE, &path, None).await.map(|_| ())
    }

    async fn members_travel(&self, _wire: &Wire<'_>) -> bool {
        !self.abilities.patch
    }

    fn members_at_once(&self) -> usize {
        self.abilities.chunk()
    }

    async fn members(&self, wire: &Wire<'_>, group: &str, add: &[String], remove: &[String]) -> Result<(), Failure> {
        let operations: Vec<Value> =
            add.iter().map(|id| member(id)).chain(remove.iter().map(|id| no_member(id))).collect();
        self.patch(wire, group, &operations).await
    }

    async fn discover(
        &self,
        wire: &Wire<'_>,
        model: Model,
        from: Option<&str>,
    ) -> Result<(Vec<Remote>, Option<String>), Failure> {
        let start: usize = from.and_then(|from| from.parse().ok()).unwrap_or(1);
        let path = format!("{}?startIndex={start}&count={}", folder(model), self.page_size);
        let answer = self.get(wire, &path).await?;
        let found = answer.body.get("Resources").and_then(Value::as_array).cloned().unwrap_or_default();
        let total = answer.body.get("totalResults").and_then(Value::as_u64).unwrap_or_default();
        let next = start + found.len();
        let more = !found.is_empty() && u64::try_from(next).is_ok_and(|next| next <= total);
        let read = |resource: Value| {
            let id = id_of(&resource)?;
            let Value::Object(attributes) = resource else { return None };
            Some(Remote { id, attributes })
        };
        Ok((found.into_iter().filter_map(read).collect(), more.then(|| next.to_string())))
    }

    fn names(&self, model: Model, remote: &Remote) -> Vec<String> {
        let known = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        match model {
            Model::Group => known(remote.attributes.get("displayName")).into_iter().collect(),
            Model::User => {
                let emails = remote.attributes.get("emails").and_then(Value::as_array).map(Vec::as_slice);
                let emails = emails.unwrap_or_default().iter().filter_map(|email| known(email.get("value")));
                known(remote.attributes.get("userName")).into_iter().chain(emails).collect()
            }
        }
    }
}
