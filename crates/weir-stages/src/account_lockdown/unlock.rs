//! Opening a locked account again. What the lockdown revoked stays revoked: there is no password, no session and no
//! token until somebody makes new ones.

use super::act::{APP, REASON_CHARS, is_lockable};
use serde_json::json;
use weir_core::{ApiError, Map};
use weir_events::{Event, action};
use weir_identity::{Account, User, accounts, kind};
use weir_resource::Unit;

/// What `action_id` says in the audit trail.
const ACTION: &str = "account_unlock";

/// Activates an account; gives it as it was before. One that is active stays as it is, and nothing tells of it. Whether
/// the actor may is decided before.
///
/// # Errors
/// 404 when there is no such account, or it is one that Weir keeps for itself; 400 for a reason that is too long; those
/// of the store.
pub async fn unlock(unit: &mut Unit<'_>, user: i64, reason: &str) -> Result<Account, ApiError> {
    if reason.chars().count() > REASON_CHARS {
        return Err(ApiError::field(
            "reason",
            format!("Ensure this field has no more than {REASON_CHARS} characters."),
        ));
    }
    // Whoever was locked down themselves since they asked opens nothing.
    let account = accounts::lock_for(unit, user).await?;
    let account = account.filter(is_lockable).ok_or_else(ApiError::not_found)?;
    if account.is_active {
        return Ok(account);
    }
    let users = kind::<User>(unit.site)?;
    unit.set(users, &user.to_string(), Map::from_iter([("is_active".to_owned(), true.into())])).await?;
    let context = json!({"action_id": ACTION, "reason": reason, "affected_user": account.username});
    unit.event(Event::new(action::USER_WRITE, APP, context)).await?;
    Ok(account)
}
