//! Behaviour of the user write stage.

use super::{
    CreationMode, UserWriteStage,
    apply::{self, Changes},
};
use crate::account_lockdown::record;
use async_trait::async_trait;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Map, Resource, validate::Mode};
use weir_crypto::password::{Password, Salt};
use weir_events::action;
use weir_flow::{
    Effect, Outcome, PendingUser, Reject, Stage, StageCx, View, keys,
    stage::{NoChallenge, NoResponse},
};
use weir_identity::{Account, User, accounts, membership};
use weir_store::StoreError;

/// The kind.
pub struct UserWrite;

const FAILED: &str = "Failed to update user. Please try again later.";

fn denied(message: &str) -> Result<View<NoChallenge>, Reject> {
    Ok(View::Done(Outcome::Deny(Some(message.to_owned()))))
}

/// Refusals of values and clashes of uniqueness deny; a database that is away does not.
fn writable<T>(result: Result<T, ApiError>) -> Result<Option<T>, Reject> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ApiError::Fields(errors)) => {
            tracing::info!(fields = ?errors.iter().map(|(f, _)| f).collect::<Vec<_>>(), "a user was not written");
            Ok(None)
        }
        Err(ApiError::BadRequest(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl UserWrite {
    /// Whom to write to: nobody means a new user. The error is the refusal.
    async fn subject(
        cx: &mut StageCx<'_>,
        config: &UserWriteStage,
    ) -> Result<Result<Option<Account>, &'static str>, Reject> {
        if !cx.context.has(keys::PENDING_USER)
            && let Some(user) = &cx.user
        {
            cx.context.set(keys::PENDING_USER, &PendingUser::Known(user.id));
        }
        let pending = cx.pending().await?;
        let known = pending.account().cloned();
        if known.is_some() && config.user_creation_mode != CreationMode::AlwaysCreate {
            return Ok(Ok(known));
        }
        if config.user_creation_mode == CreationMode::NeverCreate {
            return Ok(Err("No user found and can't create new user."));
        }
        Ok(Ok(None))
    }

    async fn write(
        cx: &mut StageCx<'_>,
        config: &UserWriteStage,
        subject: Option<&Account>,
        changes: &Changes,
    ) -> Result<Option<i64>, Reject> {
        let kind = cx.app.site.registry.find(User::MODEL).ok_or_else(|| anyhow::anyhow!("users are not served"))?;
        let mut body = changes.fields.clone();
        body.insert("attributes".to_owned(), Value::Object(changes.attributes.clone()));
        let stored = match subject {
            Some(account) if !cx.lock_person(account).await? => return Ok(None),
            Some(account) => cx.unit.update(kind, &account.id.to_string(), &body, Mode::Patch).await,
            None => {
                if let Some((maker, epoch)) = cx.context.get(keys::INVITATION_BY) {
                    let maker = accounts::lock(&mut cx.unit.tx, maker).await?;
                    if maker.is_some_and(|maker| maker.security_epoch != epoch) {
                        return Ok(None);
                    }
                }
                new_user_fields(cx, config, &mut body);
                // The form asks for what it asks for: a missing full name is an empty one.
                body.entry("name").or_insert_with(|| "".into());
                cx.unit.create(kind, &body, None).await
            }
        };
        Ok(writable(stored)?.map(|s| s.int_pk()))
    }

    async fn join_groups(cx: &mut StageCx<'_>, config: &UserWriteStage, user: i64) -> Result<(), StoreError> {
        let mut groups: Vec<Uuid> = config.create_users_group.iter().map(|group| *group.pk()).collect();
        for group in cx.context.get(keys::GROUPS).unwrap_or_default() {
            let key = group.as_str().or_else(|| group.get("pk").and_then(Value::as_str));
            groups.extend(key.and_then(|k| Uuid::parse_str(k).ok()));
        }
        for group in groups {
            membership::join(&mut cx.unit.tx, user, group).await?;
        }
        Ok(())
    }

    async fn set_password(cx: &mut StageCx<'_>, user: i64, hash: &str) -> Result<(), Reject> {
        let now = cx.now();
        accounts::set_password_hash(&mut cx.unit.tx, user, hash, now).await?;
        cx.event(action::PASSWORD_SET, json!({}));
        // Whoever knew the old password must not stay signed in; the browser that changed it does.
        cx.effects.push(Effect::EndOtherSessions(user));
        Ok(())
    }
}

fn new_user_fields(cx: &StageCx<'_>, config: &UserWriteStage, body: &mut Map) {
    let path = cx
        .context
        .get(keys::USER_PATH)
        .filter(|p| !p.is_empty())
        .or_else(|| Some(config.user_path_template.clone()).filter(|p| !p.is_empty()))
        .unwrap_or_else(|| "users".to_owned());
    let wish: Option<String> = cx.context.get(keys::USER_TYPE);
    let kind = match wish.as_deref() {
        Some(kind @ ("internal" | "external" | "service_account")) => kind.to_owned(),
        Some("internal_service_account") => "service_account".to_owned(),
        _ => config.user_type.for_new_user().to_owned(),
    };
    body.entry("path").or_insert_with(|| path.into());
    body.entry("type").or_insert_with(|| kind.into());
    body.entry("is_active").or_insert_with(|| (!config.create_users_as_inactive).into());
}

#[async_trait]
impl Stage for UserWrite {
    const MODEL: &'static str = UserWriteStage::MODEL;
    type Config = UserWriteStage;
    type Challenge = NoChallenge;
    type Response = NoResponse;

    fn is_silent(&self, _config: &UserWriteStage) -> bool {
        true
    }

    async fn view(&self, cx: &mut StageCx<'_>, config: &UserWriteStage) -> Result<View<NoChallenge>, Reject> {
        let Some(data) = cx.context.get(keys::PROMPT_DATA) else { return denied("No Pending data.") };
        let subject = match Self::subject(cx, config).await? {
            Ok(subject) => subject,
            Err(message) => return denied(message),
        };
        if let Some(account) = &subject
            && record::is_shut(&mut cx.unit.tx, account).await?
        {
            return denied(FAILED);
        }
        let attributes = subject.as_ref().map(|a| a.attributes.clone()).unwrap_or_default();
        let Ok(mut changes) = apply::changes(&data, &attributes) else { return denied(FAILED) };
        note_source(cx, &mut changes.attributes);
        let username = changes.fields.get("username").and_then(Value::as_str);
        if username == Some("") || (subject.is_none() && username.is_none()) {
            return Ok(View::Done(Outcome::Deny(None)));
        }
        // Hashing comes before the first write: the database has one writer.
        let hash = match &changes.password {
            Some(password) => match hash(cx, password).await? {
                Some(hash) => Some(hash),
                None => return denied(FAILED),
            },
            None => None,
        };
        let Some(user) = Self::write(cx, config, subject.as_ref(), &changes).await? else { return denied(FAILED) };
        if let Some(hash) = hash {
            Self::set_password(cx, user, &hash).await?;
        }
        Self::join_groups(cx, config, user).await?;
        cx.context.set(keys::PENDING_USER, &PendingUser::Known(user));
        if subject.is_none() {
            cx.context.set(keys::USER_BACKEND, &"authentik.core.auth.InbuiltBackend".to_owned());
        }
        let mut context = cx.context.answers_without_secrets(data);
        context.insert("created".to_owned(), subject.is_none().into());
        cx.event(action::USER_WRITE, Value::Object(context));
        Ok(View::Done(Outcome::Next))
    }

    async fn answer(&self, _: &mut StageCx<'_>, _: &UserWriteStage, _: NoResponse) -> Result<Outcome, Reject> {
        Ok(Outcome::Deny(None))
    }
}

/// The source a user came from is remembered once.
fn note_source(cx: &StageCx<'_>, attributes: &mut Map) {
    const SOURCES: &str = "goauthentik.io/user/sources";
    let connection = cx.context.get(keys::SOURCES_CONNECTION);
    let Some(name) = connection.and_then(|c| c.get("source")?.get("name").cloned()) else { return };
    let sources = attributes.entry(SOURCES).or_insert_with(|| json!([]));
    if let Value::Array(sources) = sources
        && !sources.contains(&name)
    {
        sources.push(name);
    }
}

/// A hash of a new password; none when it is longer than anybody may choose.
pub(crate) async fn hash(cx: &StageCx<'_>, password: &str) -> Result<Option<String>, Reject> {
    let Ok(secret) = Password::new(password.as_bytes()) else { return Ok(None) };
    let salt = Salt::random(&mut weir_crypto::system_rng());
    let hashed = cx.app.hashes.hash(secret, salt).await;
    hashed.map(Some).map_err(|e| Reject::Unavailable(ApiError::Unavailable(2, anyhow::Error::new(e))))
}
