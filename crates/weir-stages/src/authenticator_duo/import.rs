//! Accounts that exist at Duo become devices of users of the same name.

use super::{
    AuthenticatorDuoStage,
    api::{Duo, Failure},
};
use http::Method;
use serde_json::Value;
use std::time::{Duration, Instant};
use uuid::Uuid;
use weir_core::ApiError;
use weir_flow::App;
use weir_identity::{accounts, device::duo};
use weir_resource::{Unit, store};

/// Name of an imported device.
pub const NAME: &str = "Imported Duo Authenticator";
/// Accounts of one page: the most Duo gives.
const PAGE: &str = "300";
/// How long an import may take.
const TIME: Duration = Duration::from_secs(25);

/// An account at Duo.
struct DuoUser {
    id: String,
    username: String,
}

/// All accounts at Duo, page by page; what was found so far when it fails.
async fn list(duo: &Duo<'_>, found: &mut Vec<DuoUser>) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut offset = "0".to_owned();
    loop {
        let left = TIME.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(Failure("Duo took too long; run the import again.".to_owned()));
        }
        let parameters = [("limit", PAGE), ("offset", offset.as_str())];
        let answer = duo.call(Method::GET, "/admin/v1/users", &parameters, left).await?;
        let users = answer.get("response").and_then(Value::as_array);
        let users = users.ok_or_else(|| Failure("Duo gave no usable answer.".to_owned()))?;
        let text = |user: &Value, name: &str| user.get(name).and_then(Value::as_str).map(str::to_owned);
        found.extend(
            users
                .iter()
                .filter_map(|user| Some(DuoUser { id: text(user, "user_id")?, username: text(user, "username")? })),
        );
        let next = answer.pointer("/metadata/next_offset").and_then(Value::as_i64).map(|next| next.to_string());
        match next {
            // An offset that does not move would never end.
            Some(next) if !users.is_empty() && next != offset => offset = next,
            _ => return Ok(()),
        }
    }
}

/// Imports; how many devices were made, and what went wrong.
///
/// # Errors
/// 400 when the stage has no application for that; those of the store.
pub async fn import(
    app: &App,
    unit: &mut Unit<'_>,
    stage_id: Uuid,
    stage: &AuthenticatorDuoStage,
) -> Result<(usize, String), ApiError> {
    let Some(duo) = Duo::admin_of(app, stage) else {
        return Err(ApiError::general("The stage has no keys of the Admin API."));
    };
    let mut found = Vec::new();
    let error = list(&duo, &mut found).await.err().map(|Failure(text)| text).unwrap_or_default();
    let mut made = 0;
    for user in found {
        let Some(account) = accounts::find_by_username(&mut unit.tx, &user.username).await.map_err(store)? else {
            continue;
        };
        if bind(unit, account.id, stage_id, &user.id).await? {
            made += 1;
        }
    }
    Ok((made, error))
}

/// Binds an account at Duo to a user; false when it is bound already.
///
/// # Errors
/// Those of the store.
pub async fn bind(unit: &mut Unit<'_>, user: i64, stage: Uuid, duo_user_id: &str) -> Result<bool, ApiError> {
    if duo::find_by_account(&mut unit.tx, stage, duo_user_id).await.map_err(store)?.is_some() {
        return Ok(false);
    }
    duo::create(unit, (user, NAME), stage, duo_user_id).await?;
    Ok(true)
}
