//! Calls of Microsoft Graph (`/v1.0`).

use crate::{
    state::Model,
    target::{DeleteAction, Remote, Subject, Target, encode, folder, text},
    tokens,
    wire::{Answer, Ask, Failure, Wire},
};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};
use weir_core::Map;

/// Objects of a page of a list.
const PAGE: usize = 100;

/// One tenant.
pub struct Entra {
    /// Address without a slash at the end.
    pub base: String,
    /// `Authorization`.
    pub authorization: String,
    /// What happens to users who are gone here.
    pub user_action: DeleteAction,
    /// What happens to groups that are gone here.
    pub group_action: DeleteAction,
    /// Verified domains of the tenant, lower case.
    pub domains: Vec<String>,
}

/// A text in a filter of OData.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn list(answer: &Answer) -> Vec<Value> {
    answer.body.get("value").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn id_of(resource: &Value) -> Option<String> {
    resource.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned)
}

/// The nickname of a group: what may stand before the `@` of an address.
fn nickname(name: &str) -> String {
    let kept: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(64).collect();
    if kept.is_empty() { "group".to_owned() } else { kept }
}

impl Entra {
    async fn ask(&self, wire: &Wire<'_>, method: Method, url: String, body: Option<&Value>) -> Result<Answer, Failure> {
        let ask = Ask { method, url, body, authorization: Some(&self.authorization), media: "application/json" };
        wire.call(ask).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// Asks for the verified domains of the tenant.
    pub(super) async fn ask_domains(&self, wire: &Wire<'_>) -> Result<Vec<String>, Failure> {
        let answer = self.ask(wire, Method::GET, self.url("domains"), None).await;
        let answer = answer.map_err(|failure| match failure {
            Failure::Bad(reason) | Failure::Conflict(reason) => Failure::Stop(reason),
            other => other,
        })?;
        let verified = |domain: &&Value| domain.get("isVerified") == Some(&Value::Bool(true));
        let name = |domain: &Value| id_of(domain).unwrap_or_default().to_lowercase();
        Ok(list(&answer).iter().filter(verified).map(name).collect())
    }
}

#[async_trait]
impl Target for Entra {
    async fn prepare(&self, _wire: &Wire<'_>, subject: Subject<'_>, mut data: Map) -> Result<Map, Failure> {
        if subject.model == Model::Group {
            let name = data.get("displayName").and_then(Value::as_str).unwrap_or(subject.name).to_owned();
            data.entry("displayName").or_insert_with(|| name.clone().into());
            data.entry("mailNickname").or_insert_with(|| nickname(&name).into());
            data.entry("mailEnabled").or_insert(false.into());
            data.entry("securityEnabled").or_insert(true.into());
            return Ok(data);
        }
        if text(&data, "userPrincipalName").is_empty() {
            return Err(Failure::Bad("The mappings give no userPrincipalName.".to_owned()));
        }
        let addresses = ["userPrincipalName", "mail"].map(|name| text(&data, name));
        match tokens::foreign(&self.domains, addresses.into_iter().filter(|address| !address.is_empty())) {
            Some(address) => Err(Failure::Bad(format!("Invalid email domain: {address}"))),
            None => Ok(data),
        }
    }

    async fn create(&self, wire: &Wire<'_>, model: Model, data: &Map, _members: &[String]) -> Result<String, Failure> {
        let body = Value::Object(data.clone());
        match self.ask(wire, Method::POST, self.url(folder(model)), Some(&body)).await {
            Ok(answer) => id_of(&answer.body)
                .ok_or_else(|| Failure::Conflict("The tenant does not say what it calls the new object.".to_owned())),
            // A user who is there already is refused as a conflict or, by Graph's habit, as a bad request that says so.
            Err(Failure::Bad(reason)) if model == Model::User => Err(Failure::Conflict(reason)),
            Err(failure) => Err(failure),
        }
    }

    fn marks(&self, model: Model) -> &'static [&'static str] {
        if model == Model::User { &["mail", "userPrincipalName"] } else { &["displayName", "mailNickname"] }
    }

    /// Users by address or principal name; groups by both of their names, of which neither is unique.
    async fn seek(&self, wire: &Wire<'_>, model: Model, marks: &Map) -> Result<Option<String>, Failure> {
        let named = self.marks(model).iter().map(|name| (*name, text(marks, name)));
        let parts: Vec<String> = named
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name} eq {}", literal(value)))
            .collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let joined = parts.join(if model == Model::User { " or " } else { " and " });
        let url = self.url(&format!("{}?$filter={}", folder(model), encode(&joined)));
        let answer = self.ask(wire, Method::GET, url, None).await?;
        Ok(list(&answer).first().and_then(id_of))
    }

    async fn update(
        &self,
        wire: &Wire<'_>,
        model: Model,
        id: &str,
        data: &Map,
        _members: &[String],
    ) -> Result<String, Failure> {
        let url = self.url(&format!("{}/{}", folder(model), encode(id)));
        self.ask(wire, Method::PATCH, url, Some(&Value::Object(data.clone()))).await?;
        Ok(id.to_owned())
    }

    async fn suspend(&self, wire: &Wire<'_>, id: &str) -> Result<(), Failure> {
        let url = self.url(&format!("{}/{}", folder(Model::User), encode(id)));
        self.ask(wire, Method::PATCH, url, Some(&json!({"accountEnabled": false}))).await.map(|_| ())
    }

    async fn remove(&self, wire: &Wire<'_>, model: Model, id: &str) -> Result<(), Failure> {
        let url = self.url(&format!("{}/{}", folder(model), encode(id)));
        let action = if model == Model::User { self.user_action } else { self.group_action };
        match (action, model) {
            (DeleteAction::Delete, _) => self.ask(wire, Method::DELETE, url, None).await.map(|_| ()),
            (DeleteAction::Suspend, Model::User) => self.suspend(wire, id).await,
            (DeleteAction::Suspend, Model::Group) | (DeleteAction::DoNothing, _) => Ok(()),
        }
    }

    async fn members_travel(&self, _wire: &Wire<'_>) -> bool {
        false
    }

    fn members_at_once(&self) -> usize {
        10
    }

    async fn members(&self, wire: &Wire<'_>, group: &str, add: &[String], remove: &[String]) -> Result<(), Failure> {
        for user in add {
            let url = self.url(&format!("groups/{}/members/$ref", encode(group)));
            let body = json!({"@odata.id": self.url(&format!("directoryObjects/{}", encode(user)))});
            match self.ask(wire, Method::POST, url, Some(&body)).await {
                // Graph's words for somebody who is a member already.
                Err(Failure::Bad(reason)) if reason.contains("already exist") => {}
                Ok(_) | Err(Failure::Conflict(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        for user in remove {
            let url = self.url(&format!("groups/{}/members/{}/$ref", encode(group), encode(user)));
            match self.ask(wire, Method::DELETE, url, None).await {
                Ok(_) | Err(Failure::Missing) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    async fn discover(
        &self,
        wire: &Wire<'_>,
        model: Model,
        from: Option<&str>,
    ) -> Result<(Vec<Remote>, Option<String>), Failure> {
        let first = || self.url(&format!("{}?$top={PAGE}", folder(model)));
        let url = from.map_or_else(first, str::to_owned);
        // The token goes to nobody else.
        if !url.starts_with(&format!("{}/", self.base)) {
            return Err(Failure::Bad("The tenant names a page at another address.".to_owned()));
        }
        let answer = self.ask(wire, Method::GET, url, None).await?;
        let read = |resource: Value| {
            let id = id_of(&resource)?;
            let Value::Object(attributes) = resource else { return None };
            Some(Remote { id, attributes })
        };
        Ok((list(&answer).into_iter().filter_map(read).collect(), answer.text("@odata.nextLink")))
    }

    fn names(&self, model: Model, remote: &Remote) -> Vec<String> {
        let names: &[&str] = if model == Model::User { &["userPrincipalName", "mail"] } else { &["displayName"] };
        names.iter().map(|name| text(&remote.attributes, name).to_owned()).filter(|name| !name.is_empty()).collect()
    }

    fn fleeting(&self) -> &'static [&'static str] {
        &["passwordProfile"]
    }
}

#[cfg(test)]
mod tests {
    use super::{literal, nickname};

    #[test]
    fn names_become_nicknames_and_literals_without_escaping_from_them() {
        assert_eq!(nickname("Sales & Marketing"), "SalesMarketing");
        assert_eq!(nickname("Ärzte"), "rzte");
        assert_eq!(nickname("组"), "group");
        assert_eq!(literal("o'neil"), "'o''neil'");
    }
}
