//! The audit trail: cleansing, the one way by which an event becomes a row, the language that searches
//! for it, and the chain that tells of tampering.
//! Must not decide who may read events, and knows no HTTP.

pub mod chain;
mod cleanse;
pub mod query;
#[cfg(test)]
mod tests;

use cleanse::bounded;
pub use cleanse::{MASK, cleanse};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use weir_core::{Map, Random};
use weir_store::{Db, Dialect, StoreError, Tx, Val};

/// Actions that Weir writes itself; the contract's `EventActions` names all.
pub mod action {
    /// A person signed in.
    pub const LOGIN: &str = "login";
    /// A password or code was wrong.
    pub const LOGIN_FAILED: &str = "login_failed";
    /// A session ended by its owner or by a broken binding.
    pub const LOGOUT: &str = "logout";
    /// A user was written by a flow.
    pub const USER_WRITE: &str = "user_write";
    /// A user was connected with an identity elsewhere.
    pub const SOURCE_LINKED: &str = "source_linked";
    /// Something that looks like an attack.
    pub const SUSPICIOUS_REQUEST: &str = "suspicious_request";
    /// A password was set.
    pub const PASSWORD_SET: &str = "password_set";
    /// A secret was read.
    pub const SECRET_VIEW: &str = "secret_view";
    /// A secret was replaced.
    pub const SECRET_ROTATE: &str = "secret_rotate";
    /// A policy with logging ran.
    pub const POLICY_EXECUTION: &str = "policy_execution";
    /// A policy raised.
    pub const POLICY_EXCEPTION: &str = "policy_exception";
    /// A mapping or prompt expression raised.
    pub const PROPERTY_MAPPING_EXCEPTION: &str = "property_mapping_exception";
    /// A stage or job failed unexpectedly.
    pub const SYSTEM_EXCEPTION: &str = "system_exception";
    /// A background task failed.
    pub const SYSTEM_TASK_EXCEPTION: &str = "system_task_exception";
    /// Somebody acts as another user.
    pub const IMPERSONATION_STARTED: &str = "impersonation_started";
    /// The end of that.
    pub const IMPERSONATION_ENDED: &str = "impersonation_ended";
    /// An object was created.
    pub const MODEL_CREATED: &str = "model_created";
    /// An object was changed.
    pub const MODEL_UPDATED: &str = "model_updated";
    /// An object was deleted.
    pub const MODEL_DELETED: &str = "model_deleted";
    /// The configuration contradicts itself.
    pub const CONFIGURATION_ERROR: &str = "configuration_error";
    /// The configuration deserves a look.
    pub const CONFIGURATION_WARNING: &str = "configuration_warning";
    /// An export can be fetched.
    pub const EXPORT_READY: &str = "export_ready";
    /// A mail was handed to a server.
    pub const EMAIL_SENT: &str = "email_sent";
    /// An invitation was used.
    pub const INVITATION_USED: &str = "invitation_used";
}

/// Who acted, from where: the part of an event that comes from the request.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// `{pk, username, email}` of the acting user, with `on_behalf_of` or `authenticated_as` when they differ.
    pub user: Value,
    /// Key of the acting user.
    pub user_id: Option<i64>,
    /// Name of the acting user.
    pub username: String,
    /// Client address.
    pub client_ip: Option<String>,
    /// `{app, model_name, pk, name}` of the brand.
    pub brand: Value,
    /// `{path, method, args, user_agent, request_id}`; null outside requests.
    pub http_request: Value,
}

impl Origin {
    /// Weir itself, e.g. a job or the command line.
    pub fn system() -> Self {
        Self { user: json!({}), brand: json!({}), http_request: Value::Null, ..Self::default() }
    }
}

/// Something to remember.
#[derive(Clone, Debug)]
pub struct Event {
    /// One of [`action`] or `custom_…`.
    pub action: String,
    /// Application label of the code that speaks.
    pub app: String,
    /// Details; cleansed before storing.
    pub context: Map,
}

impl Event {
    /// An event of an action with details given as a JSON object.
    pub fn new(action: &str, app: &str, context: Value) -> Self {
        let context = match context {
            Value::Object(map) => map,
            other => Map::from_iter([("message".to_owned(), other)]),
        };
        Self { action: action.to_owned(), app: app.to_owned(), context }
    }
}

/// What an event is about, which stands beside its details in columns of its own, for lists and numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Key of the object, without dashes.
    pub object_pk: Option<String>,
    /// Key of the application that was let in, without dashes.
    pub application: Option<String>,
}

impl Subject {
    /// What details are about.
    pub fn of(context: &Map) -> Self {
        let pk = |part: &str| match context.get(part)?.get("pk")? {
            Value::String(text) => Some(text.replace('-', "")),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Self { object_pk: pk("model"), application: pk("authorized_application") }
    }
}

/// Writes an event in the transaction of what it reports.
///
/// # Errors
/// Those of the store.
pub async fn record(
    tx: &mut Tx,
    random: &dyn Random,
    now: DateTime<Utc>,
    retention: TimeDelta,
    origin: &Origin,
    event: Event,
) -> Result<String, StoreError> {
    let id = random.uuid().to_string();
    let mut context = match cleanse(Value::Object(event.context)) {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    if !origin.http_request.is_null() {
        context.insert("http_request".to_owned(), bounded(cleanse(origin.http_request.clone())));
    }
    let subject = Subject::of(&context);
    let vals: [Val; 13] = [
        id.clone().into(),
        origin.user.clone().into(),
        origin.user_id.into(),
        origin.username.clone().into(),
        event.action.into(),
        event.app.into(),
        Value::Object(context).into(),
        origin.client_ip.clone().into(),
        origin.brand.clone().into(),
        now.into(),
        (now + retention).into(),
        subject.object_pk.into(),
        subject.application.into(),
    ];
    tx.write(
        "INSERT INTO audit_event (id, \"user\", user_id, username, action, app, context, client_ip, brand, created, expires, \
         object_pk, application) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        &vals,
    )
    .await?;
    Ok(id)
}

/// Takes SQLite's statistics of the trail away, after they were refreshed. Connections keep what they read when they were
/// opened; in the first hours of an installation nearly all events have the same user, and an index over users that looked
/// useless then would never be used again. Without statistics the planner takes each index for a good one, which they are.
///
/// # Errors
/// Those of the store.
pub async fn forget_statistics(db: &Db) -> Result<(), StoreError> {
    let known = "SELECT 1 AS found FROM sqlite_master WHERE name = 'sqlite_stat1'";
    if db.dialect() != Dialect::Sqlite || db.read_one(known, &[]).await?.is_none() {
        return Ok(());
    }
    let mut tx = db.tx();
    tx.write("DELETE FROM sqlite_stat1 WHERE tbl = 'audit_event'", &[]).await?;
    tx.commit().await
}
