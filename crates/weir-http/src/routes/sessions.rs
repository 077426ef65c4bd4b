//! Ending the sessions of users: the contract's operation by user, and one of our own by whatever is known of them.

use crate::{Access, Call, Reply, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;
use weir_core::ApiError;
use weir_identity::session::{self, Chosen};
use weir_resource::{Unit, store};

const DELETE: &str = "authentik_core.delete_authenticatedsession";
const VIEW: &str = "authentik_core.view_authenticatedsession";
/// Most sessions or users of one call.
const MOST: usize = 1000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("core_authenticated_sessions_bulk_delete_destroy", Access::SignedIn, bulk_delete),
        Route::new("weir_sessions_end_create", Access::SignedIn, end),
    ]
}

/// Everybody may end all sessions of their own; those of others take the right to delete sessions.
fn check_users(call: &Call, users: &[i64]) -> Result<(), ApiError> {
    let own = call.user()?.id;
    if users.iter().any(|id| *id != own) { call.require(DELETE) } else { Ok(()) }
}

async fn bulk_delete(call: Call) -> Result<Reply, ApiError> {
    let numbers = call.values("user_pks").into_iter().flat_map(|list| list.split(',')).map(str::trim);
    let ids: Result<Vec<i64>, _> = numbers.map(str::parse).collect();
    let ids = ids.map_err(|_| ApiError::field("user_pks", "A valid integer is required."))?;
    check_users(&call, &ids)?;
    if ids.is_empty() {
        return Err(ApiError::field("user_pks", "This field is required."));
    }
    let mut unit = Unit::new(&call.app.site, call.actor());
    let ended = session::end_of_users(&mut unit, &ids, None).await?;
    unit.commit().await?;
    Ok(Reply::ok(&json!({"deleted": ended.len()})))
}

/// Which sessions end: those that everything fits that is said here.
#[derive(Deserialize, JsonSchema)]
struct EndBody {
    /// Sessions of these users. Without users and sessions the caller's own are meant.
    #[serde(default)]
    users: Option<Vec<i64>>,
    /// These sessions.
    #[serde(default)]
    sessions: Option<Vec<Uuid>>,
    /// Spares the session by which the caller asks.
    #[serde(default)]
    all_but_current: bool,
}

fn refuse_many(field: &str, count: usize) -> Result<(), ApiError> {
    if count <= MOST {
        return Ok(());
    }
    Err(ApiError::field(field, format!("Ensure this field has no more than {MOST} elements.")))
}

/// Those of the chosen sessions that the caller may end. What the caller does not see is as if it were not there.
fn permitted(call: &Call, own: i64, chosen: Vec<Chosen>) -> Result<Vec<Uuid>, ApiError> {
    let mut found = Vec::with_capacity(chosen.len());
    for session in chosen {
        let key = session.uuid.to_string();
        if session.user_id == own || call.grants.may(DELETE, Some(&key)) {
            found.push(session.uuid);
        } else if call.grants.may(VIEW, Some(&key)) {
            return Err(ApiError::forbidden());
        }
    }
    Ok(found)
}

async fn end(mut call: Call) -> Result<Reply, ApiError> {
    let body: EndBody = call.typed().await?;
    let own = call.user()?.id;
    if !call.grants.active {
        return Err(ApiError::forbidden());
    }
    if body.users.is_none() && body.sessions.is_none() && !body.all_but_current {
        return Err(ApiError::general("Name users or sessions, or spare the current one."));
    }
    refuse_many("users", body.users.as_ref().map_or(0, Vec::len))?;
    refuse_many("sessions", body.sessions.as_ref().map_or(0, Vec::len))?;
    let current = call.caller.session().map(|browser| browser.row.digest.clone());
    let except = current.as_deref().filter(|_| body.all_but_current);
    let mut unit = Unit::new(&call.app.site, call.actor());
    let ended = match &body.sessions {
        Some(sessions) => {
            let mut chosen = session::choose(&mut unit.tx, sessions).await.map_err(store)?;
            if let Some(users) = &body.users {
                let users: BTreeSet<i64> = users.iter().copied().collect();
                chosen.retain(|session| users.contains(&session.user_id));
            }
            let keys = permitted(&call, own, chosen)?;
            session::end_chosen(&mut unit, &keys, except).await?
        }
        None => {
            let users = body.users.unwrap_or_else(|| vec![own]);
            check_users(&call, &users)?;
            session::end_of_users(&mut unit, &users, except).await?
        }
    };
    unit.commit().await?;
    let shown: Vec<Value> =
        ended.iter().map(|session| json!({"uuid": session.uuid, "user": session.user_id})).collect();
    Ok(Reply::ok(&json!({"deleted": ended.len(), "sessions": shown})))
}
