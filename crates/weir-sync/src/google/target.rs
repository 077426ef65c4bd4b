//! Calls of the directory interface (`/admin/directory/v1`).

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
const PAGE: usize = 200;

/// One workspace.
pub struct Google {
    /// Address without a slash at the end.
    pub base: String,
    /// `Authorization`.
    pub authorization: String,
    /// Domain of the addresses of groups.
    pub group_domain: String,
    /// What happens to users who are gone here.
    pub user_action: DeleteAction,
    /// What happens to groups that are gone here.
    pub group_action: DeleteAction,
    /// Domains of the workspace, lower case.
    pub domains: Vec<String>,
}

fn key(model: Model) -> &'static str {
    match model {
        Model::User => "primaryEmail",
        Model::Group => "email",
    }
}

/// Letters and digits of a name, with hyphens between words.
fn slug(name: &str) -> String {
    let mut out = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.trim_end_matches('-').to_owned()
}

impl Google {
    async fn ask(&self, wire: &Wire<'_>, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let ask = Ask {
            method,
            url: format!("{}/{path}", self.base),
            body,
            authorization: Some(&self.authorization),
            media: "application/json",
        };
        wire.call(ask).await
    }

    /// Asks for the domains of the workspace.
    pub(super) async fn ask_domains(&self, wire: &Wire<'_>) -> Result<Vec<String>, Failure> {
        let answer = self.ask(wire, Method::GET, "customer/my_customer/domains", None).await;
        let answer = answer.map_err(|failure| match failure {
            Failure::Bad(reason) | Failure::Conflict(reason) => Failure::Stop(reason),
            other => other,
        })?;
        let list = answer.body.get("domains").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(list
            .iter()
            .map(|domain| domain.get("domainName").and_then(Value::as_str).unwrap_or_default().to_lowercase())
            .collect())
    }

    /// What the workspace calls an object: users by address, groups by id.
    fn id_of(model: Model, resource: &Value) -> Option<String> {
        let names: &[&str] = if model == Model::User { &["primaryEmail", "id"] } else { &["id", "email"] };
        let found = names.iter().find_map(|name| resource.get(*name)?.as_str().filter(|text| !text.is_empty()));
        found.map(str::to_owned)
    }
}

#[async_trait]
impl Target for Google {
    async fn prepare(&self, _wire: &Wire<'_>, subject: Subject<'_>, mut data: Map) -> Result<Map, Failure> {
        if subject.model == Model::Group {
            let address = format!("{}@{}", slug(subject.name), self.group_domain);
            data.entry("email").or_insert_with(|| address.into());
        }
        let main = text(&data, key(subject.model));
        if main.is_empty() {
            return Err(Failure::Bad("The mappings give no primaryEmail.".to_owned()));
        }
        let more = data.get("emails").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let more = more.iter().filter_map(|email| email.get("address").unwrap_or(email).as_str());
        match tokens::foreign(&self.domains, std::iter::once(main).chain(more)) {
            Some(address) => Err(Failure::Bad(format!("Invalid email domain: {address}"))),
            None => Ok(data),
        }
    }

    async fn create(&self, wire: &Wire<'_>, model: Model, data: &Map, _members: &[String]) -> Result<String, Failure> {
        let body = Value::Object(data.clone());
        let answer = self.ask(wire, Method::POST, folder(model), Some(&body)).await?;
        let unknown = || Failure::Conflict("The workspace does not say what it calls the new object.".to_owned());
        Self::id_of(model, &answer.body).ok_or_else(unknown)
    }

    fn marks(&self, model: Model) -> &'static [&'static str] {
        if model == Model::User { &["primaryEmail"] } else { &["email"] }
    }

    async fn seek(&self, wire: &Wire<'_>, model: Model, marks: &Map) -> Result<Option<String>, Failure> {
        let address = text(marks, key(model));
        if address.is_empty() {
            return Ok(None);
        }
        match self.ask(wire, Method::GET, &format!("{}/{}", folder(model), encode(address)), None).await {
            Ok(found) => Ok(Self::id_of(model, &found.body)),
            Err(Failure::Missing) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn update(
        &self,
        wire: &Wire<'_>,
        model: Model,
        id: &str,
        data: &Map,
        _members: &[String],
    ) -> Result<String, Failure> {
        let path = format!("{}/{}", folder(model), encode(id));
        let answer = self.ask(wire, Method::PUT, &path, Some(&Value::Object(data.clone()))).await?;
        // A user whose address changed is called by the new one.
        Ok(Self::id_of(model, &answer.body).unwrap_or_else(|| id.to_owned()))
    }

    async fn suspend(&self, wire: &Wire<'_>, id: &str) -> Result<(), Failure> {
        let path = format!("{}/{}", folder(Model::User), encode(id));
        self.ask(wire, Method::PUT, &path, Some(&json!({"suspended": true}))).await.map(|_| ())
    }

    async fn remove(&self, wire: &Wire<'_>, model: Model, id: &str) -> Result<(), Failure> {
        let path = format!("{}/{}", folder(model), encode(id));
        let action = if model == Model::User { self.user_action } else { self.group_action };
        match (action, model) {
            (DeleteAction::Delete, _) => self.ask(wire, Method::DELETE, &path, None).await.map(|_| ()),
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
        let path = format!("groups/{}/members", encode(group));
        for user in add {
            let body = json!({"email": user, "role": "MEMBER"});
            match self.ask(wire, Method::POST, &path, Some(&body)).await {
                // They are one already.
                Ok(_) | Err(Failure::Conflict(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        for user in remove {
            match self.ask(wire, Method::DELETE, &format!("{path}/{}", encode(user)), None).await {
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
        let token = from.map(|from| format!("&pageToken={}", encode(from))).unwrap_or_default();
        let path = format!("{}?customer=my_customer&maxResults={PAGE}{token}", folder(model));
        let answer = self.ask(wire, Method::GET, &path, None).await?;
        let found = answer.body.get(folder(model)).and_then(Value::as_array).cloned().unwrap_or_default();
        let read = |resource: Value| {
            let id = Self::id_of(model, &resource)?;
            let Value::Object(attributes) = resource else { return None };
            Some(Remote { id, attributes })
        };
        Ok((found.into_iter().filter_map(read).collect(), answer.text("nextPageToken")))
    }

    fn names(&self, model: Model, remote: &Remote) -> Vec<String> {
        let name = if model == Model::User { "primaryEmail" } else { "name" };
        Some(text(&remote.attributes, name).to_owned()).filter(|name| !name.is_empty()).into_iter().collect()
    }

    fn fleeting(&self) -> &'static [&'static str] {
        &["password", "hashFunction", "changePasswordAtNextLogin"]
    }
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn addresses_of_groups_are_their_names_in_letters_and_digits() {
        assert_eq!(slug("Sales & Marketing (EU)"), "sales-marketing-eu");
        assert_eq!(slug("--a--"), "a");
    }
}
