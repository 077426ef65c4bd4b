//! Operations of our own: records of lockdowns, lockdowns of many users, unlocking.

use super::{
    Switches,
    act::REASON_CHARS,
    bulk::{self, MOST, PERMISSION},
    record::{self, Wanted},
    unlock,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, sync::Arc};
use uuid::Uuid;
use weir_core::ApiError;
use weir_flow::App;
use weir_http::{Access, Call, Reply, Route};
use weir_identity::membership;
use weir_resource::{Page, Unit, store};

/// Who may read the audit trail may read all records.
const VIEW_ALL: &str = "authentik_events.view_event";

/// The operations.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let engine = Arc::clone(engine);
    vec![
        Route::new("weir_lockdowns_list", Access::Global(VIEW_ALL), list),
        Route::new("weir_lockdowns_create", Access::SignedIn, create),
        Route::new("weir_lockdowns_retrieve", Access::SignedIn, retrieve),
        Route::new("weir_lockdowns_key_retrieve", Access::Public, key),
        Route::new("weir_lockdowns_batches_retrieve", Access::SignedIn, move |call| {
            let engine = Arc::clone(&engine);
            async move { batch(&engine, call).await }
        }),
        Route::new("weir_users_unlock_create", Access::SignedIn, open),
    ]
}

fn id(call: &Call) -> Result<Uuid, ApiError> {
    Uuid::parse_str(call.param(0)).map_err(|_| ApiError::not_found())
}

async fn list(call: Call) -> Result<Reply, ApiError> {
    let (current, size) = call.list_query().page(&call.snapshot)?;
    let batch = match call.request.parameter("batch").filter(|text| !text.is_empty()) {
        Some(text) => Some(Uuid::parse_str(text).map_err(|_| ApiError::field("batch", "Enter a valid UUID."))?),
        None => None,
    };
    let wanted = Wanted { user: call.number("user")?, batch };
    let (records, count) = record::list(&call.app.site.db, wanted, (current, size)).await?;
    if current > 1 && records.is_empty() {
        return Err(ApiError::NotFound("Invalid page.".to_owned()));
    }
    let results = records.iter().filter_map(|r| r.shown().as_object().cloned()).collect();
    Ok(Reply::ok(&Page { rows: Vec::new(), count, current, size }.body(results)))
}

/// Whoever may read the audit trail or change the account, and who locked it.
async fn retrieve(call: Call) -> Result<Reply, ApiError> {
    let found = record::find(&call.app.site.db, id(&call)?).await?.ok_or_else(ApiError::not_found)?;
    let may = call.grants.may(VIEW_ALL, None)
        || call.grants.may(PERMISSION, Some(&found.user_id.to_string()))
        || found.actor_id == Some(call.user()?.id);
    // Whether there is one is nobody else's business.
    if may { Ok(Reply::ok(&found.shown())) } else { Err(ApiError::not_found()) }
}

/// The public key, for whoever is to check a record.
async fn key(call: Call) -> Result<Reply, ApiError> {
    let mut unit = Unit::new(&call.app.site, weir_resource::Actor::system());
    let seal = record::seal(&mut unit).await?;
    unit.commit().await?;
    Ok(Reply::ok(seal.jwk()))
}

/// A list, as far as one may see it: one's own, or who may read the audit trail.
async fn batch(engine: &App, call: Call) -> Result<Reply, ApiError> {
    let page = call.list_query().page(&call.snapshot)?;
    let state = call.request.parameter("state").filter(|text| !text.is_empty());
    if state.is_some_and(|state| !bulk::is_state(state)) {
        return Err(ApiError::field("state", "Select a valid choice: waiting, locked, refused or failed."));
    }
    let found = bulk::shown(engine, id(&call)?, state, page).await?;
    let (mut shown, actor) = found.ok_or_else(ApiError::not_found)?;
    if !call.grants.may(VIEW_ALL, None) && actor != Some(call.user()?.id) {
        return Err(ApiError::not_found());
    }
    // A list of keys must not become one of names.
    for user in shown.get_mut("users").and_then(Value::as_array_mut).into_iter().flatten() {
        let pk = user.get("pk").map(Value::to_string).unwrap_or_default();
        let is_seen = ["authentik_core.view_user", PERMISSION].into_iter().any(|p| call.grants.may(p, Some(&pk)));
        if let Some(user) = user.as_object_mut().filter(|_| !is_seen) {
            user.insert("username".to_owned(), Value::Null);
        }
    }
    Ok(Reply::ok(&shown))
}

fn yes() -> bool {
    true
}

/// Lockdowns of many users: a list of them, or a group with all below it.
#[derive(Deserialize, JsonSchema)]
struct CreateBody {
    /// Keys of users.
    #[serde(default)]
    users: Vec<i64>,
    /// Key of a group.
    #[serde(default)]
    group: Option<Uuid>,
    /// Why; kept in the audit trail and in every record.
    #[schemars(length(min = 1))]
    reason: String,
    /// The accounts may no longer sign in.
    #[serde(default = "yes")]
    deactivate_user: bool,
    /// The passwords are removed.
    #[serde(default = "yes")]
    set_unusable_password: bool,
    /// Sessions end.
    #[serde(default = "yes")]
    delete_sessions: bool,
    /// Everything else that lets somebody act as the users ends.
    #[serde(default = "yes")]
    revoke_tokens: bool,
}

fn check_reason(reason: &str) -> Result<(), ApiError> {
    if reason.trim().is_empty() {
        return Err(ApiError::field("reason", "This field may not be blank."));
    }
    if reason.chars().count() > REASON_CHARS {
        let text = format!("Ensure this field has no more than {REASON_CHARS} characters.");
        return Err(ApiError::field("reason", text));
    }
    Ok(())
}

/// Who is meant, each once.
async fn meant(call: &Call, body: &CreateBody) -> Result<Vec<i64>, ApiError> {
    let mut users: BTreeSet<i64> = body.users.iter().copied().collect();
    if let Some(group) = body.group {
        let seen = call.grants.may("authentik_core.view_group", Some(&group.to_string()));
        let members =
            if seen { membership::members_below(&call.app.site.db, group).await.map_err(store)? } else { None };
        let unknown = || format!("Invalid pk \"{group}\" - object does not exist.");
        users.extend(members.ok_or_else(|| ApiError::field("group", unknown()))?);
    }
    if users.is_empty() {
        return Err(ApiError::general("Name users or a group that has some."));
    }
    if users.len() > MOST {
        return Err(ApiError::field("users", format!("At most {MOST} users can be locked at once.")));
    }
    Ok(users.into_iter().collect())
}

async fn create(mut call: Call) -> Result<Reply, ApiError> {
    let body: CreateBody = call.typed().await?;
    check_reason(&body.reason)?;
    let users = meant(&call, &body).await?;
    let own = call.user()?.id;
    // Each is decided by the task; somebody who may lock none of them need not begin.
    if !users.iter().any(|user| *user != own && call.grants.may(PERMISSION, Some(&user.to_string()))) {
        return Err(ApiError::forbidden());
    }
    let actor = call.actor();
    let request = bulk::Request {
        reason: body.reason,
        switches: Switches {
            deactivate_user: body.deactivate_user,
            set_unusable_password: body.set_unusable_password,
            delete_sessions: body.delete_sessions,
            revoke_tokens: body.revoke_tokens,
        },
        actor: actor.origin.user.clone(),
        username: actor.origin.username.clone(),
        epoch: actor.epoch,
        client_ip: actor.origin.client_ip.clone(),
        brand: actor.origin.brand.clone(),
    };
    let mut unit = Unit::new(&call.app.site, actor);
    let (batch, task) = bulk::enqueue(&mut unit, &request, &users).await?;
    unit.commit().await?;
    Ok(Reply::created(&json!({"batch": batch, "task": task, "users": users.len()})))
}

/// Why an account is opened again.
#[derive(Deserialize, JsonSchema)]
struct UnlockBody {
    /// Kept in the audit trail.
    #[schemars(length(min = 1))]
    reason: String,
}

async fn open(mut call: Call) -> Result<Reply, ApiError> {
    let user: i64 = call.param(0).parse().map_err(|_| ApiError::not_found())?;
    let own = call.user()?.id;
    if user == own || !call.grants.may(PERMISSION, Some(&user.to_string())) {
        return Err(ApiError::forbidden());
    }
    let body: UnlockBody = call.typed().await?;
    check_reason(&body.reason)?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    let before = unlock::unlock(&mut unit, user, &body.reason).await?;
    unit.commit().await?;
    let detail = if before.is_active {
        "The account was not locked; nothing was changed."
    } else {
        "The account is active again. Nothing that was revoked came back."
    };
    let answer: Map<String, Value> = Map::from_iter([
        ("pk".to_owned(), before.id.into()),
        ("username".to_owned(), before.username.into()),
        ("was_active".to_owned(), before.is_active.into()),
        ("detail".to_owned(), detail.into()),
    ]);
    Ok(Reply::ok(&answer))
}
