//! Actions on one user: passwords, recovery, impersonation, lockdown.

use crate::{Access, Call, Reply, Route, call, session};
use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;
use weir_core::{ApiError, DurationText, Map, duration, validate};
use weir_crypto::{Password, PasswordHash, PoolError, Salt};
use weir_events::{Event, action};
use weir_identity::{
    Account, User, accounts,
    accounts::INTERNAL_SERVICE_ACCOUNT,
    kind, permission,
    session::{self as sessions},
};
use weir_resource::{Unit, store};

const USER: &str = "authentik_core.user";

pub(super) fn routes() -> Vec<Route> {
    let reset = Access::Object { model: USER, permission: "authentik_core.reset_user_password" };
    vec![
        Route::new("core_users_set_password_create", reset, set_password),
        Route::new("core_users_set_password_hash_create", reset, set_password_hash),
        Route::new("core_users_recovery_create", reset, recovery),
        Route::new("core_users_recovery_email_create", reset, recovery_email),
        // Its refusals have an order of their own: setting, oneself, permission.
        Route::new("core_users_impersonate_create", Access::Seen { model: USER }, impersonate),
        Route::new("core_users_impersonate_end_retrieve", Access::SignedIn, impersonate_end),
        Route::new("core_users_account_lockdown_create", Access::SignedIn, account_lockdown),
    ]
}

/// The user that the operation's rule loaded.
async fn target(call: &Call) -> Result<Account, ApiError> {
    let id = call.target()?.int_pk();
    accounts::find(&call.app.site.db, id).await.map_err(store)?.ok_or_else(ApiError::not_found)
}

/// Whoever gets into another account gets its rights, so they must hold them already.
async fn check_rights(call: &Call, target: &Account) -> Result<(), ApiError> {
    permission::check_acting_as(&call.app.site.db, &call.grants, call.user()?.id, target.id).await
}

fn check_kind(target: &Account) -> Result<(), ApiError> {
    if target.kind == INTERNAL_SERVICE_ACCOUNT {
        return Err(ApiError::general("Can't modify internal service account users."));
    }
    Ok(())
}

/// A new password.
#[derive(Deserialize, JsonSchema)]
struct PasswordBody {
    /// The password, byte for byte; or its hash.
    #[schemars(length(min = 1))]
    password: String,
}

async fn set_password(mut call: Call) -> Result<Reply, ApiError> {
    let target = target(&call).await?;
    check_rights(&call, &target).await?;
    let body: PasswordBody = call.typed().await?;
    check_kind(&target)?;
    let password =
        Password::new(body.password.into_bytes()).map_err(|error| ApiError::field("password", error.to_string()))?;
    // Hashed before anything is written: everybody would wait for the one writer meanwhile.
    let salt = Salt::random(&mut weir_crypto::system_rng());
    let hash = call.app.hashes.hash(password, salt).await.map_err(pool)?;
    store_hash(&call, &target, hash.as_str()).await
}

async fn set_password_hash(mut call: Call) -> Result<Reply, ApiError> {
    let target = target(&call).await?;
    check_rights(&call, &target).await?;
    let body: PasswordBody = call.typed().await?;
    check_kind(&target)?;
    let hash = PasswordHash::parse(&body.password).map_err(|error| ApiError::field("password", error.to_string()))?;
    store_hash(&call, &target, hash.as_str()).await
}

fn pool(error: PoolError) -> ApiError {
    match error {
        PoolError::Busy { retry_after_secs } => ApiError::Unavailable(retry_after_secs, anyhow::Error::new(error)),
        PoolError::Failed => ApiError::Internal(anyhow::Error::new(error)),
    }
}

/// Stores a hash and ends the user's sessions, but for the caller's own.
async fn store_hash(call: &Call, target: &Account, hash: &str) -> Result<Reply, ApiError> {
    let mut unit = Unit::new(&call.app.site, call.actor());
    let now = call.app.site.clock.now();
    accounts::lock_for(&mut unit, target.id).await?;
    if !accounts::set_password_hash(&mut unit.tx, target.id, hash, now).await.map_err(store)? {
        return Err(ApiError::not_found());
    }
    let own = call.caller.session().map(|browser| browser.row.digest.as_str());
    sessions::delete_of_user(&mut unit.tx, target.id, own).await.map_err(store)?;
    let user = json!({"app": "authentik_core", "model_name": "user", "pk": target.id, "name": target.username});
    unit.event(Event::new(action::PASSWORD_SET, "authentik_core", json!({"model": user}))).await?;
    unit.commit().await?;
    Ok(Reply::none())
}

/// A recovery link, shown or sent.
#[derive(Deserialize, JsonSchema)]
struct RecoveryBody {
    /// How long the link works.
    #[serde(default)]
    token_duration: Option<DurationText>,
}

/// The stage that sends a recovery link.
#[derive(Deserialize, JsonSchema)]
struct RecoveryStage {
    /// Key of an e-mail stage.
    email_stage: Uuid,
}

fn life(call: &Call, body: &RecoveryBody) -> Result<TimeDelta, ApiError> {
    match &body.token_duration {
        Some(text) => duration::parse(&text.0).map_err(|sentence| ApiError::field("token_duration", sentence)),
        None => Ok(call.snapshot.settings.default_token_duration.delta()),
    }
}

async fn recovery(mut call: Call) -> Result<Reply, ApiError> {
    let target = target(&call).await?;
    check_rights(&call, &target).await?;
    let body: RecoveryBody = call.typed().await?;
    let expires = call.app.site.clock.now() + life(&call, &body)?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    let link = call.app.links.recovery(&mut unit, &call.info(), &target, expires).await?;
    unit.commit().await?;
    Ok(Reply::ok(&json!({"link": link})))
}

async fn recovery_email(mut call: Call) -> Result<Reply, ApiError> {
    let target = target(&call).await?;
    check_rights(&call, &target).await?;
    let object = call.object().await?;
    let (body, stage): (RecoveryBody, RecoveryStage) = (call::parse(&object)?, call::parse(&object)?);
    if target.email.is_empty() {
        return Err(ApiError::general("User does not have an email address set."));
    }
    let found = call.snapshot.find_kind("authentik_stages_email.emailstage", stage.email_stage);
    let seen = found.is_some_and(|s| call.grants.may(&s.kind.permission("view"), Some(&s.id.to_string())));
    if !seen {
        return Err(ApiError::general("Email stage not found."));
    }
    let life = life(&call, &body)?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    call.app.links.recovery_email(&mut unit, &call.info(), &target, stage.email_stage, life).await?;
    unit.commit().await?;
    Ok(Reply::none())
}

/// Why somebody acts as another.
#[derive(Deserialize, JsonSchema)]
struct ImpersonationBody {
    /// Kept in the audit trail.
    #[serde(default)]
    reason: String,
}

async fn impersonate(mut call: Call) -> Result<Reply, ApiError> {
    let refuse = |text: &str| ApiError::Refused(text.to_owned());
    let target = target(&call).await?;
    if !call.snapshot.settings.impersonation {
        return Err(refuse("Impersonation is disabled."));
    }
    if call.user()?.id == target.id || call.caller.original.is_some() {
        return Err(refuse("This account cannot be impersonated from here."));
    }
    if !call.grants.may("authentik_core.impersonate", Some(&target.id.to_string())) {
        return Err(ApiError::forbidden());
    }
    check_rights(&call, &target).await?;
    let body: ImpersonationBody = call.typed().await?;
    if call.snapshot.settings.impersonation_require_reason && body.reason.trim().is_empty() {
        return Err(ApiError::field("reason", "This field is required."));
    }
    let Some(browser) = call.caller.session() else {
        return Err(ApiError::general("Impersonation needs a browser session."));
    };
    let mut data = browser.row.data.clone();
    data.insert(session::ORIGINAL_USER.to_owned(), call.user()?.id.into());
    data.insert(session::ASSUMED_USER.to_owned(), target.id.into());
    data.insert(session::ASSUMED_EPOCH.to_owned(), target.security_epoch.into());
    let context = json!({"reason": body.reason, "impersonated_user": target.event_user()});
    change_session(&call, data, Event::new(action::IMPERSONATION_STARTED, "authentik_core", context)).await
}

async fn impersonate_end(call: Call) -> Result<Reply, ApiError> {
    let (Some(browser), Some(original)) = (call.caller.session(), &call.caller.original) else {
        return Ok(Reply::none());
    };
    let mut data = browser.row.data.clone();
    data.shift_remove(session::ORIGINAL_USER);
    data.shift_remove(session::ASSUMED_USER);
    data.shift_remove(session::ASSUMED_EPOCH);
    let event = Event::new(action::IMPERSONATION_ENDED, "authentik_core", json!({"user": original.event_user()}));
    change_session(&call, data, event).await
}

async fn change_session(call: &Call, data: Map, event: Event) -> Result<Reply, ApiError> {
    let mut actor = call.actor();
    // The end of an impersonation tells of the real user alone.
    if event.action == action::IMPERSONATION_ENDED
        && let Some(user) = actor.origin.user.as_object_mut()
    {
        user.shift_remove("on_behalf_of");
    }
    let mut unit = Unit::new(&call.app.site, actor);
    let digest = call.caller.session().map(|b| b.row.digest.clone()).unwrap_or_default();
    // A session that ended meanwhile is not brought back.
    if !sessions::save_data(&mut unit.tx, &digest, &data).await.map_err(store)? {
        return Err(ApiError::unauthenticated());
    }
    unit.event(event).await?;
    unit.commit().await?;
    Ok(Reply::none())
}

/// Whom to lock.
#[derive(Deserialize, JsonSchema)]
struct LockdownBody {
    /// The user; the caller when left out.
    #[serde(default)]
    user: Option<i64>,
}

/// The way into the flow that locks an account; the flow asks for the permission again.
async fn account_lockdown(mut call: Call) -> Result<Reply, ApiError> {
    let body: LockdownBody = call.typed().await?;
    let own = call.user()?.id;
    let user = body.user.unwrap_or(own);
    let target = accounts::find(&call.app.site.db, user).await.map_err(store)?;
    let Some(target) = target.filter(|target| target.kind != INTERNAL_SERVICE_ACCOUNT) else {
        return Err(ApiError::field("user", validate::invalid_pk(&user.into())));
    };
    let users = kind::<User>(&call.app.site)?;
    if user != own && !call.grants.may(&users.permission("change"), Some(&user.to_string())) {
        return Err(ApiError::forbidden());
    }
    call.app.links.lockdown(&call, &target).await
}
