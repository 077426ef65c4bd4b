//! A whole server without port: all kinds, all operations, asked through the real router.

use std::{net::SocketAddr, sync::Arc};

use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use weir_contract::{Facts, Method};
use weir_core::{Map, Resource};
use weir_http::{AppState, edge::Answered, request::Peer};
use weir_identity::{Grants, Group, Intent, NewToken, Role, User, accounts, kind, permission, role, token};
use weir_resource::{Actor, Stored, Unit};
use weir_store::test_support::{TestDb, test_db};

use super::{Config, Core, Options, core_with, options};

/// An account with an API token.
#[derive(Clone)]
pub struct Person {
    pub id: i64,
    pub key: String,
}

/// The server with an administrator.
pub struct Stand {
    pub core: Arc<Core>,
    pub app: Arc<AppState>,
    pub admin: Person,
    /// Judges answers; objects that a test made up need not look like real ones.
    facts: Option<Facts>,
    _db: TestDb,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub text: String,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

pub fn map(value: Value) -> Map {
    value.as_object().cloned().unwrap_or_else(|| panic!("{value} is no object"))
}

impl Stand {
    pub async fn start() -> Self {
        Self::start_with(options()).await
    }

    pub async fn start_with(options: Options) -> Self {
        let db = test_db().await;
        let config = Config::default();
        let core = core_with(&db, &config, options).await;
        let app = crate::server::http(&config, &core).unwrap();
        let nobody = Person { id: 0, key: String::new() };
        let mut stand = Self { core, app, admin: nobody, facts: Some(Facts::load().unwrap()), _db: db };
        stand.admin = stand.person("boss").await;
        let users = [stand.admin.id];
        stand.make::<Group>(json!({"name": "bosses", "is_superuser": true, "users": users})).await;
        stand
    }

    /// The same, for objects that a test makes up: their answers are not judged.
    pub async fn start_unjudged() -> Self {
        Self { facts: None, ..Self::start().await }
    }

    pub fn unit(&self) -> Unit<'_> {
        Unit::new(&self.core.site, Actor::system())
    }

    /// An object made by the server itself.
    pub async fn make<T: Resource>(&self, body: Value) -> Stored {
        let mut unit = self.unit();
        let made = unit.create(kind::<T>(&self.core.site).unwrap(), &map(body.clone()), None).await;
        let made = made.unwrap_or_else(|error| panic!("{} {body}: {}", T::MODEL, error.body()));
        unit.commit().await.unwrap();
        made
    }

    pub async fn person(&self, name: &str) -> Person {
        let id = self.make::<User>(json!({"username": name, "name": name, "email": format!("{name}@example.org")}));
        let id = id.await.int_pk();
        let mut unit = self.unit();
        let wish = NewToken::new(format!("{name}-api"), id, Intent::Api);
        let (_, key) = token::mint(&mut unit, wish).await.unwrap();
        unit.commit().await.unwrap();
        Person { id, key }
    }

    /// Gives permissions to a user through a role of its own; on one object, or on all.
    pub async fn grant(&self, user: i64, permissions: &[&str], object: Option<&Stored>) -> Stored {
        let role = self.make::<Role>(json!({"name": format!("role-{}", self.core.site.random.text(12))})).await;
        let mut unit = self.unit();
        let wish = permission::Assignment {
            permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
            model: object.map(|object| object.kind.model.to_owned()),
            object_pk: object.map(|object| object.pk.clone()),
        };
        permission::assign(&mut unit, &role.pk, &wish).await.unwrap();
        role::set_user(&mut unit, &role.pk, user, true).await.unwrap();
        unit.commit().await.unwrap();
        role
    }

    /// What somebody may do.
    pub async fn grants(&self, user: i64) -> Grants {
        Grants::load(&self.core.site.db, user).await.unwrap()
    }

    pub async fn account(&self, user: i64) -> accounts::Account {
        accounts::find(&self.core.site.db, user).await.unwrap().unwrap()
    }

    /// Asks the server.
    pub async fn ask(&self, key: Option<&str>, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder()
            .method(method.name())
            .uri(format!("/api/v3{path}"))
            .header("host", "id.example.org")
            .extension(Peer(SocketAddr::from(([192, 0, 2, 7], 5000))));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let text = match &body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                body.to_string()
            }
            None => String::new(),
        };
        let response = weir_http::router(&self.app).oneshot(request.body(text).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let operation = response.extensions().get::<Answered>().map(|answered| answered.0);
        let is_json = response.headers().get("content-type").is_some_and(|kind| kind == "application/json");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if let (Some(operation), Some(facts)) = (operation.filter(|_| is_json), &self.facts) {
            let wrong = facts.violations(operation, status, &body);
            assert!(wrong.is_empty(), "{operation} answers {status} against the contract: {wrong:#?}\n{body}");
        }
        Answer { status, body, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    pub async fn get(&self, who: &Person, path: &str) -> Answer {
        self.ask(Some(&who.key), Method::Get, path, None).await
    }
    pub async fn post(&self, who: &Person, path: &str, body: Value) -> Answer {
        self.ask(Some(&who.key), Method::Post, path, Some(body)).await
    }
    pub async fn put(&self, who: &Person, path: &str, body: Value) -> Answer {
        self.ask(Some(&who.key), Method::Put, path, Some(body)).await
    }
    pub async fn patch(&self, who: &Person, path: &str, body: Value) -> Answer {
        self.ask(Some(&who.key), Method::Patch, path, Some(body)).await
    }
    pub async fn delete(&self, who: &Person, path: &str) -> Answer {
        self.ask(Some(&who.key), Method::Delete, path, None).await
    }
}

/// The texts of one field of a list's results.
pub fn column(body: &Value, field: &str) -> Vec<String> {
    let results = body["results"].as_array().unwrap_or_else(|| panic!("no results: {body}"));
    results.iter().map(|row| row[field].as_str().map_or_else(|| row[field].to_string(), str::to_owned)).collect()
}
