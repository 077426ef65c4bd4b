//! Behaviour of the stage that has Google vouch for browsers.

use super::{AuthenticatorEndpointGdtcStage, FrameChallenge, FrameResponse};
use crate::password::backends::note_method;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{FieldErrors, Map, Resource};
use weir_flow::{Outcome, PlanContext, Reject, Stage, StageCx, View, keys};
use weir_identity::device::endpoint;

/// The kind.
pub struct AuthenticatorEndpointGdtc;

/// Path of the page in the frame, below the site's prefix.
pub(super) const PATH: &str = "/endpoint/gdtc/chrome/";
/// What a person is told whose browser proved nothing.
pub(crate) const UNVERIFIED: &str = "Your browser could not be verified.";

/// Address of that page.
pub(crate) fn page_address(base_url: &str, prefix: &str) -> String {
    format!("{base_url}{prefix}{PATH}")
}
/// How long what Google said can be used.
const LIFE: TimeDelta = TimeDelta::minutes(5);

/// Google vouched for the browser of this session, at this step of its plan.
#[derive(Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(super) binding: Uuid,
    pub(super) at: DateTime<Utc>,
    /// What Google calls the browser.
    pub(super) host: String,
    /// Name for people.
    pub(super) name: String,
    /// What Google said.
    pub(super) info: Map,
    /// The connector's device, where a connector asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<Uuid>,
}

impl Proof {
    fn find(context: &PlanContext, binding: Uuid, now: DateTime<Utc>) -> Option<Self> {
        let proof: Self = serde_json::from_value(context.get(keys::GDTC_PROOF)?).ok()?;
        let age = now - proof.at;
        (proof.binding == binding && age >= TimeDelta::zero() && age < LIFE).then_some(proof)
    }

    /// The proof for the current step, which counts once.
    pub(crate) fn take(cx: &mut StageCx<'_>) -> Option<Self> {
        let proof = Self::find(&cx.context, cx.binding, cx.now())?;
        cx.context.remove(keys::GDTC_PROOF);
        cx.context.remove(keys::GDTC_CHALLENGE);
        Some(proof)
    }

    /// Tells policies and the sign-in what Google said.
    pub(crate) fn note(&self, cx: &mut StageCx<'_>) {
        note_method(cx, "trusted_endpoint", Map::from_iter([("known_device".to_owned(), true.into())]));
        let endpoints = cx.context.object_mut(keys::AUTH_METHOD_ARGS).entry("endpoints").or_insert_with(|| json!([]));
        match endpoints {
            Value::Array(known) => known.push(Value::Object(self.info.clone())),
            other => *other = json!([self.info]),
        }
    }
}

#[async_trait]
impl Stage for AuthenticatorEndpointGdtc {
    const MODEL: &'static str = AuthenticatorEndpointGdtcStage::MODEL;
    type Config = AuthenticatorEndpointGdtcStage;
    type Challenge = FrameChallenge;
    type Response = FrameResponse;

    async fn view(
        &self,
        cx: &mut StageCx<'_>,
        _config: &AuthenticatorEndpointGdtcStage,
    ) -> Result<View<FrameChallenge>, Reject> {
        Ok(View::Ask(FrameChallenge::new(cx)))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        _config: &AuthenticatorEndpointGdtcStage,
        _response: FrameResponse,
    ) -> Result<Outcome, Reject> {
        // The answer says nothing by itself (S-FLOW-1).
        let Some(proof) = Proof::take(cx) else {
            return Err(Reject::Invalid(FieldErrors::general(UNVERIFIED)));
        };
        proof.note(cx);
        let person = cx.person().await?;
        if let Some(user) = person.account() {
            if !cx.lock_person(user).await? {
                return Ok(Outcome::Deny(None));
            }
            endpoint::seen(&mut cx.unit, (user.id, &proof.name), cx.stage_id, &proof.host, &proof.info).await?;
        }
        Ok(Outcome::Next)
    }
}
