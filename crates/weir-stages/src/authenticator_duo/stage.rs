//! Behaviour of the set-up of accounts at Duo.

use super::{
    AuthenticatorDuoChallenge, AuthenticatorDuoResponse, AuthenticatorDuoStage,
    api::{Duo, Failure, PATIENCE},
};
use async_trait::async_trait;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Resource};
use weir_events::action;
use weir_flow::{App, Outcome, PlanContext, Reject, Stage, StageCx, View, keys};
use weir_identity::{Account, device::duo};

/// The kind.
pub struct AuthenticatorDuo;

/// Name of a new device.
const NAME: &str = "Duo Authenticator";

/// An account that was made at Duo and waits to be opened.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Enrolment {
    stage: Uuid,
    user_id: String,
    activation_code: String,
    activation_barcode: String,
    /// Seconds since 1970.
    #[serde(default)]
    expiration: Option<i64>,
}

impl Enrolment {
    /// The one of this plan and stage.
    pub(super) fn find(context: &PlanContext, stage: Uuid) -> Option<Self> {
        let value = context.get(keys::DUO_ENROLMENT)?;
        serde_json::from_value(value).ok().filter(|enrolment: &Self| enrolment.stage == stage)
    }

    /// Whether the account was opened: `success`, `waiting` or `invalid`.
    pub(super) async fn status(&self, app: &App, config: &AuthenticatorDuoStage) -> Result<&'static str, Failure> {
        let parameters = [("user_id", self.user_id.as_str()), ("activation_code", self.activation_code.as_str())];
        let answer = Duo::of(app, config).call(Method::POST, "/auth/v2/enroll_status", &parameters, PATIENCE).await?;
        Ok(match answer.get("response").and_then(Value::as_str) {
            Some("success") => "success",
            Some("waiting") => "waiting",
            _ => "invalid",
        })
    }
}

/// Has Duo make an account for a user.
async fn enrol(cx: &StageCx<'_>, config: &AuthenticatorDuoStage, user: &Account) -> Result<Enrolment, Failure> {
    let parameters = [("username", user.username.as_str())];
    let answer = Duo::of(cx.app, config).call(Method::POST, "/auth/v2/enroll", &parameters, PATIENCE).await?;
    let mut response = answer.get("response").cloned().unwrap_or_default();
    if let Some(map) = response.as_object_mut() {
        map.insert("stage".to_owned(), json!(cx.stage_id));
    }
    serde_json::from_value(response).map_err(|_| Failure("Duo gave no usable answer.".to_owned()))
}

/// Tells administrators what Duo said, and the person.
fn failed(cx: &mut StageCx<'_>, what: &str, Failure(text): Failure) -> Outcome {
    let context = json!({"message": what, "error": text, "stage": cx.stage_summary()});
    cx.event(action::CONFIGURATION_ERROR, context);
    Outcome::Deny(Some(text))
}

async fn who(cx: &mut StageCx<'_>) -> Result<Option<Account>, Reject> {
    Ok(cx.person().await?.account().filter(|account| account.is_active).cloned())
}

#[async_trait]
impl Stage for AuthenticatorDuo {
    const MODEL: &'static str = AuthenticatorDuoStage::MODEL;
    type Config = AuthenticatorDuoStage;
    type Challenge = AuthenticatorDuoChallenge;
    type Response = AuthenticatorDuoResponse;

    async fn view(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorDuoStage,
    ) -> Result<View<AuthenticatorDuoChallenge>, Reject> {
        let Some(user) = who(cx).await? else { return Ok(View::Done(Outcome::Deny(None))) };
        let now = cx.now().timestamp();
        let kept = Enrolment::find(&cx.context, cx.stage_id).filter(|e| e.expiration.is_none_or(|end| end > now));
        let enrolment = match kept {
            Some(enrolment) => enrolment,
            None => match enrol(cx, config, &user).await {
                Ok(enrolment) => enrolment,
                Err(failure) => return Ok(View::Done(failed(cx, "Duo could not enrol the user", failure))),
            },
        };
        cx.context.set(keys::DUO_ENROLMENT, &json!(enrolment));
        Ok(View::Ask(AuthenticatorDuoChallenge {
            activation_barcode: enrolment.activation_barcode,
            activation_code: enrolment.activation_code,
            stage_uuid: cx.stage_id.to_string(),
        }))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorDuoStage,
        _response: AuthenticatorDuoResponse,
    ) -> Result<Outcome, Reject> {
        let Some(user) = who(cx).await? else { return Ok(Outcome::Deny(None)) };
        // Without an account there is nothing to have opened.
        let Some(enrolment) = Enrolment::find(&cx.context, cx.stage_id) else { return Ok(Outcome::Again) };
        match enrolment.status(cx.app, config).await {
            Ok("success") => {}
            Ok(other) => return Ok(Outcome::Deny(Some(format!("Invalid enrollment status: {other}.")))),
            Err(failure) => return Ok(failed(cx, "Duo could not tell whether the user is enrolled", failure)),
        }
        cx.context.remove(keys::DUO_ENROLMENT);
        // Duo took its time.
        if !cx.lock_person(&user).await? {
            return Ok(Outcome::Deny(None));
        }
        match duo::create(&mut cx.unit, (user.id, NAME), cx.stage_id, &enrolment.user_id).await {
            Ok(_) => Ok(Outcome::Next),
            Err(ApiError::Fields(_)) => Ok(Outcome::Deny(Some("Device with Credential ID already exists.".to_owned()))),
            Err(error) => Err(error.into()),
        }
    }
}
