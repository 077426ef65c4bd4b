//! Ending the sessions of users.

use crate::{Access, Call, Reply, Route};
use serde_json::json;
use weir_core::ApiError;
use weir_identity::session;
use weir_resource::{Unit, store};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new("core_authenticated_sessions_bulk_delete_destroy", Access::SignedIn, bulk_delete)]
}

/// Everybody may end all sessions of their own; those of others take the right to delete sessions.
async fn bulk_delete(call: Call) -> Result<Reply, ApiError> {
    let numbers = call.values("user_pks").into_iter().flat_map(|list| list.split(',')).map(str::trim);
    let ids: Result<Vec<i64>, _> = numbers.map(str::parse).collect();
    let ids = ids.map_err(|_| ApiError::field("user_pks", "A valid integer is required."))?;
    let own = call.user()?.id;
    if ids.iter().any(|id| *id != own) {
        call.require("authentik_core.delete_authenticatedsession")?;
    }
    if ids.is_empty() {
        return Err(ApiError::field("user_pks", "This field is required."));
    }
    let mut unit = Unit::new(&call.app.site, call.actor());
    let deleted = session::delete_of_users(&mut unit.tx, &ids).await.map_err(store)?;
    unit.commit().await?;
    Ok(Reply::ok(&json!({"deleted": deleted})))
}
