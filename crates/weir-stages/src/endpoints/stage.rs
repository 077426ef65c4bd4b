//! Behaviour of the endpoint stage.

use super::{
    AgentConnector, ChromeStep, EndpointAgentChallenge, EndpointAgentResponse, EndpointDevice, EndpointStage,
    agent::{self, SignIn},
    proof::{self, Answer},
};
use crate::mtls::StageMode;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{FieldErrors, Resource};
use weir_flow::{Outcome, Reject, Stage, StageCx, View, keys, planner};
use weir_pki::CertificateKeyPair;
use weir_policy::RequestInfo;

/// The kind.
pub struct Endpoints;

/// Header with the digest of the agent's token, sent by the browser that the agent opened.
const DTH: &str = "x-authentik-platform-auth-dth";
/// Where the context keeps that the browser proved to be the agent's.
pub(super) const PROVEN: &str = "is_proven";
/// Seconds for which a challenge can be answered.
const LIFE: i64 = 300;
pub(super) const BAD_CONFIGURATION: &str = "Invalid stage configuration";
pub(super) const BAD_TOKEN: &str = "Invalid device token";
const BAD_RESPONSE: &str = "Invalid challenge response";

/// In optional mode on to the next stage, else the end with this message.
pub(super) fn unless_required(mode: StageMode, message: &str) -> Outcome {
    match mode {
        StageMode::Optional => Outcome::Next,
        StageMode::Required => Outcome::Deny(Some(message.to_owned())),
    }
}

/// Whether the request knows the digest of the agent's token.
pub(super) fn knows_token(request: &RequestInfo, sign_in: Option<&SignIn>) -> bool {
    let sent = request.header(DTH).unwrap_or_default().trim().to_ascii_lowercase();
    let expected = sign_in.map_or_else(|| "-".repeat(64), |sign_in| sign_in.token_digest.clone());
    weir_crypto::token::constant_time_eq(&sent, &expected)
}

/// Whether the browser is the agent's: it proved it before, or does now.
pub(super) fn is_agents(request: &RequestInfo, token: &Value, sign_in: &SignIn) -> bool {
    token.get(PROVEN) == Some(&Value::Bool(true)) || knows_token(request, Some(sign_in))
}

impl Endpoints {
    pub(super) fn accept(cx: &mut StageCx<'_>, device: Uuid) -> Outcome {
        let shown = planner::summary(&cx.unit.snapshot, device);
        cx.context.set(keys::DEVICE, &shown);
        Outcome::Next
    }

    /// A sign-in that an agent began: its own browser knows the digest of its token.
    async fn of_sign_in(cx: &mut StageCx<'_>, connector: Uuid) -> Result<Option<Outcome>, Reject> {
        let Some(mut token) = cx.context.get(keys::DEVICE_AUTH_TOKEN) else { return Ok(None) };
        let now = cx.now();
        let id = token.get("pk").and_then(|pk| pk.as_str()).unwrap_or_default();
        let found = agent::running_sign_in(&mut cx.unit.tx, id, now).await?;
        // Compared in any case, so that an end of the sign-in does not show in the time of the answer.
        let matches = knows_token(cx.request, found.as_ref());
        let device = found.filter(|sign_in| matches && sign_in.connector == connector).map(|sign_in| sign_in.device);
        let snapshot = Arc::clone(&cx.unit.snapshot);
        let device = device.filter(|id| snapshot.get::<EndpointDevice>(*id).is_some_and(|d| d.is_current(now)));
        Ok(Some(match device {
            Some(device) => {
                if let Some(token) = token.as_object_mut() {
                    token.insert(PROVEN.to_owned(), true.into());
                }
                cx.context.set(keys::DEVICE_AUTH_TOKEN, &token);
                Self::accept(cx, device)
            }
            None => Outcome::Deny(Some(BAD_TOKEN.to_owned())),
        }))
    }

    /// A new question, signed.
    fn challenge(cx: &StageCx<'_>, connector: &AgentConnector, pair: &CertificateKeyPair) -> Option<String> {
        let signer = pair.signer().inspect_err(|error| {
            tracing::warn!(stage = cx.stage_name, %error, "the challenge key of a connector cannot sign");
        });
        let now = cx.now().timestamp();
        let claims = json!({
            "atc": cx.app.site.random.text(40),
            "iss": cx.stage_id,
            "iat": now,
            "exp": now + LIFE,
            "goauthentik.io/device/check_in": connector.challenge_trigger_check_in,
        });
        signer.ok()?.sign(&claims).ok()
    }

    /// The device whose agent gave this answer to this challenge.
    async fn device(
        cx: &mut StageCx<'_>,
        connector: Uuid,
        challenge: &str,
        response: &str,
    ) -> Result<Option<Uuid>, Reject> {
        let now = cx.now();
        if proof::end_of(challenge).is_none_or(|end| end <= now.timestamp()) {
            return Ok(None);
        }
        let Some(answer) = Answer::read(response) else { return Ok(None) };
        let snapshot = Arc::clone(&cx.unit.snapshot);
        let found = agent::find_key(&mut cx.unit.tx, &snapshot, connector, &answer.claims.iss, now).await?;
        Ok(found.filter(|(_, key)| answer.holds(key, challenge, now.timestamp())).map(|(device, _)| device))
    }
}

#[async_trait]
impl Stage for Endpoints {
    const MODEL: &'static str = EndpointStage::MODEL;
    type Config = EndpointStage;
    type Challenge = EndpointAgentChallenge;
    type Response = EndpointAgentResponse;

    async fn view(&self, cx: &mut StageCx<'_>, config: &EndpointStage) -> Result<View<EndpointAgentChallenge>, Reject> {
        if let Some(step) = ChromeStep::find(cx, config.connector.uuid(), config.mode) {
            return Ok(View::Done(Outcome::Insert(step)));
        }
        let snapshot = Arc::clone(&cx.unit.snapshot);
        let connector = snapshot.get::<AgentConnector>(config.connector.uuid()).filter(|connector| connector.enabled);
        let Some(connector) = connector else {
            return Ok(View::Done(unless_required(config.mode, BAD_CONFIGURATION)));
        };
        if let Some(outcome) = Self::of_sign_in(cx, config.connector.uuid()).await? {
            return Ok(View::Done(outcome));
        }
        let Some(key) = &connector.challenge_key else { return Ok(View::Done(Outcome::Next)) };
        let pair = snapshot.get::<CertificateKeyPair>(key.uuid());
        let Some(challenge) = pair.and_then(|pair| Self::challenge(cx, &connector, &pair)) else {
            return Ok(View::Done(unless_required(config.mode, BAD_CONFIGURATION)));
        };
        cx.context.set(keys::AGENT_CHALLENGE, &challenge);
        let challenge_idle_timeout = connector.challenge_idle_timeout.delta().num_seconds().clamp(0, LIFE);
        Ok(View::Ask(EndpointAgentChallenge { challenge, challenge_idle_timeout }))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &EndpointStage,
        response: EndpointAgentResponse,
    ) -> Result<Outcome, Reject> {
        if let Some(step) = ChromeStep::find(cx, config.connector.uuid(), config.mode) {
            return Ok(Outcome::Insert(step));
        }
        // What needs no answer is not settled by one.
        let snapshot = Arc::clone(&cx.unit.snapshot);
        let is_on = snapshot.get::<AgentConnector>(config.connector.uuid()).is_some_and(|connector| connector.enabled);
        if !is_on {
            return Ok(unless_required(config.mode, BAD_CONFIGURATION));
        }
        if let Some(outcome) = Self::of_sign_in(cx, config.connector.uuid()).await? {
            return Ok(outcome);
        }
        let challenge = cx.context.get(keys::AGENT_CHALLENGE).unwrap_or_default();
        // Used once, whatever follows.
        cx.context.remove(keys::AGENT_CHALLENGE);
        let Some(response) = response.response else { return Ok(unless_required(config.mode, BAD_RESPONSE)) };
        match (Self::device(cx, config.connector.uuid(), &challenge, &response).await?, config.mode) {
            (Some(device), _) => Ok(Self::accept(cx, device)),
            (None, StageMode::Optional) => Ok(Outcome::Next),
            (None, StageMode::Required) => Err(Reject::Invalid(FieldErrors::one("response", BAD_RESPONSE))),
        }
    }
}
