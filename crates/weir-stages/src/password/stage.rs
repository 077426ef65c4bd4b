//! Behaviour of the password stage.

use super::{PasswordChallenge, PasswordResponse, PasswordStage, backends};
use async_trait::async_trait;
use serde_json::Value;
use weir_core::{FieldErrors, Resource};
use weir_events::action;
use weir_flow::{
    Flow, Outcome, Reject, Stage, StageCx, View, keys,
    stage::{Effect, Person},
};
use weir_identity::brand::Brand;

/// The kind.
pub struct Password;

impl Password {
    /// Counts a wrong answer in the plan; whether it was the last one allowed.
    fn is_last_try(cx: &mut StageCx<'_>, config: &PasswordStage) -> bool {
        let stage = cx.stage_id.to_string();
        let attempts = cx.context.object_mut(keys::PASSWORD_ATTEMPTS);
        let count = attempts.get(&stage).and_then(Value::as_i64).unwrap_or(0) + 1;
        attempts.insert(stage, count.into());
        count >= i64::from(config.failed_attempts_before_cancel)
    }

    fn recovery_url(cx: &StageCx<'_>) -> Option<String> {
        let brand = cx.unit.snapshot.get::<Brand>(cx.request.brand?)?;
        let flow = cx.unit.snapshot.get::<Flow>(brand.flow_recovery.as_ref()?.uuid())?;
        Some(format!("{}{}", cx.request.base_url(), cx.app.flow_page(&flow.slug.0, "")))
    }
}

#[async_trait]
impl Stage for Password {
    const MODEL: &'static str = PasswordStage::MODEL;
    type Config = PasswordStage;
    type Challenge = PasswordChallenge;
    type Response = PasswordResponse;

    async fn view(&self, cx: &mut StageCx<'_>, config: &PasswordStage) -> Result<View<PasswordChallenge>, Reject> {
        if !cx.context.has(keys::PENDING_USER) {
            return Ok(View::Done(Outcome::Deny(None)));
        }
        Ok(View::Ask(PasswordChallenge {
            recovery_url: Self::recovery_url(cx),
            allow_show_password: config.allow_show_password,
        }))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &PasswordStage,
        response: PasswordResponse,
    ) -> Result<Outcome, Reject> {
        let (username, account) = match cx.pending().await? {
            Person::Known(account) => (account.username.clone(), Some(*account)),
            // Somebody may have taken the name meanwhile; this plan is not about them.
            Person::Claimed(name) => (name, None),
            Person::Anonymous => return Ok(Outcome::Deny(None)),
        };
        if !response.password.is_empty()
            && let Some(proven) = backends::authenticate(cx, &config.backends, account, &response.password).await?
        {
            cx.set_person(&proven.account);
            cx.context.set(keys::USER_BACKEND, &proven.backend.path().to_owned());
            cx.context.remove(keys::PASSWORD_ATTEMPTS);
            return Ok(Outcome::Next);
        }
        let context = backends::failure(cx, &username);
        cx.event(action::LOGIN_FAILED, context);
        cx.effects.push(Effect::Reputation { identifier: username, change: -1 });
        if Self::is_last_try(cx, config) {
            return Ok(Outcome::Deny(Some("Invalid password".to_owned())));
        }
        let mut errors = FieldErrors::new();
        if response.password.is_empty() {
            errors.add("password", "This field may not be blank.", "blank");
        } else {
            errors.add("password", "Invalid password", "invalid");
        }
        Err(Reject::Invalid(errors))
    }
}
