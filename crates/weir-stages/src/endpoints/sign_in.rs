//! The end of a sign-in that an agent began: whoever went through the flow may use the device, or not; the agent gets a
//! token that says who it was.

use super::{AgentConnector, EndpointDevice, agent, device_binding::bound_to, stage};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};
use uuid::Uuid;
use weir_events::action;
use weir_flow::{
    Effect, Outcome, Reject, Stage, StageCx, Step, View, keys, planner,
    stage::{NoChallenge, NoResponse},
};
use weir_identity::{Account, membership};
use weir_pki::CertificateKeyPair;
use weir_policy::{Engine, Mode, PolicyCx, PolicyRequest};

/// Who the token is from.
const ISSUER: &str = "goauthentik.io/platform";
/// Where agents take the browser over, with the token.
const FINISHED: &str = "goauthentik.io://platform/finished?ak-auth-ia-token=";
const OVER: &str = "This sign-in is no longer valid. Start again on your device.";
const NOT_YOURS: &str = "You may not use this device.";

/// The last step of such a sign-in.
pub struct AgentStep;

/// Which sign-in it ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentWait {
    /// Its key.
    pub sign_in: Uuid,
}

/// The step for a sign-in.
pub(super) fn step(binding: Uuid, sign_in: Uuid) -> Step {
    Step::in_memory(binding, <AgentStep as Stage>::MODEL, json!(AgentWait { sign_in }))
}

/// Whether what is bound to a device, or to its group, lets somebody use it; in words when it does not. A device that
/// nobody is bound to is nobody's.
async fn refusal(cx: &mut StageCx<'_>, device: Uuid, account: &Account) -> Result<Option<String>, Reject> {
    let snapshot = Arc::clone(&cx.unit.snapshot);
    let group = snapshot.get::<EndpointDevice>(device).and_then(|device| Some(device.access_group.as_ref()?.uuid()));
    let groups = membership::groups_of(&mut cx.unit.tx, account.id).await?;
    let groups: BTreeSet<Uuid> = groups.into_iter().map(|group| group.id).collect();
    let (mut messages, mut is_let_in) = (Vec::new(), false);
    for target in [Some(device), group].into_iter().flatten() {
        let engine = Engine { target, mode: Mode::Any, empty_result: false };
        let mut policies = PolicyCx {
            site: &cx.app.site,
            snapshot: &snapshot,
            tx: &mut cx.unit.tx,
            kinds: &cx.app.policies,
            events: &mut cx.events,
            depth: 0,
        };
        let mut request = PolicyRequest::new(Some(account), cx.request, planner::summary(&snapshot, target));
        let bindings = bound_to(&snapshot, target);
        let result = engine.evaluate_bindings(&mut policies, &mut request, Some(&groups), bindings).await?;
        cx.effects.extend(request.effects.drain(..).map(Effect::Policy));
        is_let_in |= result.passing;
        messages.extend(result.messages);
    }
    Ok((!is_let_in).then(|| if messages.is_empty() { NOT_YOURS.to_owned() } else { messages.join(" ") }))
}

/// What the agent is told: who signed in, for its device alone.
fn token(
    cx: &StageCx<'_>,
    connector: &AgentConnector,
    (sign_in, device): (Uuid, Uuid),
    account: &Account,
) -> Option<String> {
    let key = connector.challenge_key.as_ref()?;
    let pair = cx.unit.snapshot.get::<CertificateKeyPair>(key.uuid())?;
    let now = cx.now();
    let claims = json!({
        "iss": ISSUER,
        "aud": device,
        "sub": account.uid(&cx.app.site.installation.id),
        "jti": sign_in,
        "iat": now.timestamp(),
        "nbf": now.timestamp(),
        "exp": (now + connector.auth_session_duration.delta()).timestamp(),
        "preferred_username": account.username,
    });
    let signed = pair.signer().and_then(|signer| signer.sign(&claims));
    signed.inspect_err(|error| tracing::warn!(%error, "the challenge key of a connector cannot sign")).ok()
}

#[async_trait]
impl Stage for AgentStep {
    const MODEL: &'static str = "weir_stages.agent_sign_in";
    type Config = AgentWait;
    type Challenge = NoChallenge;
    type Response = NoResponse;

    fn is_silent(&self, _config: &AgentWait) -> bool {
        true
    }

    async fn view(&self, cx: &mut StageCx<'_>, config: &AgentWait) -> Result<View<NoChallenge>, Reject> {
        let deny = |text: &str| Ok(View::Done(Outcome::Deny(Some(text.to_owned()))));
        let (now, snapshot) = (cx.now(), Arc::clone(&cx.unit.snapshot));
        let id = config.sign_in.to_string();
        let Some(found) = agent::running_sign_in(&mut cx.unit.tx, &id, now).await? else { return deny(OVER) };
        let connector = snapshot.get::<AgentConnector>(found.connector).filter(|connector| connector.enabled);
        let is_current = snapshot.get::<EndpointDevice>(found.device).is_some_and(|device| device.is_current(now));
        let Some(connector) = connector.filter(|_| is_current) else { return deny(OVER) };
        let known = cx.context.get(keys::DEVICE_AUTH_TOKEN).unwrap_or_default();
        if !stage::is_agents(cx.request, &known, &found) {
            return deny(stage::BAD_TOKEN);
        }
        // Who is signed in, not whom the flow is about: a flow need not ask for proof. And nobody in another's name.
        let person = cx.pending().await?.into_account().map(|account| account.id);
        let account = cx.user.clone().filter(|user| user.is_active && person.is_none_or(|id| id == user.id));
        let Some(account) = account.filter(|_| cx.request.impersonator.is_none()) else {
            return deny("Sign in to go on.");
        };
        if let Some(text) = refusal(cx, found.device, &account).await? {
            return deny(&text);
        }
        let Some(token) = token(cx, &connector, (config.sign_in, found.device), &account) else {
            return deny("The connector has no key to sign with.");
        };
        // Before a lockdown, which lets nobody get as far as this, or not at all.
        if !cx.lock_person(&account).await? || !agent::end_sign_in(&mut cx.unit.tx, config.sign_in).await? {
            return deny(OVER);
        }
        let device = planner::summary(&snapshot, found.device);
        cx.event(action::LOGIN, json!({"auth_method": "agent", "auth_method_args": {}, "device": device}));
        Ok(View::Done(Outcome::Leave(format!("{FINISHED}{token}"))))
    }

    async fn answer(&self, _: &mut StageCx<'_>, _: &AgentWait, _: NoResponse) -> Result<Outcome, Reject> {
        Ok(Outcome::Deny(None))
    }
}
