//! The page in the frame: Chrome's handshake with us and Google.

use super::{
    AuthenticatorEndpointGdtcStage,
    google::Google,
    stage::{PATH, Proof, UNVERIFIED},
    tokens::Tokens,
};
use crate::endpoints::{ChromeStep, ChromeWait, GoogleChromeConnector, browser_seen};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_events::{Event, action};
use weir_flow::{Flow, FlowState, Plan, Stage as _, StageRef, keys};
use weir_http::{
    Caller,
    flow::{PageCall, PageReply, PageRoute},
};
use weir_mail::throttle::{self, Limit};
use weir_resource::{Actor, Snapshot, Unit, store};
use weir_store::Durability;

/// By this Chrome announces itself.
const ANNOUNCEMENT: &str = "x-device-trust";
const ANNOUNCED: &str = "VerifiedAccess";
/// What Chrome is sent.
const CHALLENGE: &str = "x-verified-access-challenge";
/// What it comes back with.
const RESPONSE: &str = "x-verified-access-challenge-response";
/// Trust in the key of a browser that has none.
const KEYLESS: &str = "CHROME_BROWSER_NO_KEY";
/// How long Chrome may take.
const LIFE: TimeDelta = TimeDelta::minutes(2);
/// Longest response looked at, and longest answer of Google's that is kept, bytes.
const LONGEST: usize = 16 * 1024;
/// How long a used response is remembered; Google takes none so old.
const REMEMBERED: TimeDelta = TimeDelta::days(1);

/// Questions to Google for one session …
const MOST: i64 = 20;
/// … within this span. A sign-in takes two.
const WINDOW: TimeDelta = TimeDelta::minutes(5);

const TOO_OFTEN: &str = "Your browser asked too often. Try again in a few minutes.";

/// A challenge that is on its way to the browser of this session.
#[derive(Serialize, Deserialize)]
struct Pending {
    binding: Uuid,
    until: DateTime<Utc>,
}

/// The pages of this kind.
pub fn pages() -> Vec<PageRoute> {
    let tokens = Arc::new(Tokens::default());
    vec![PageRoute::new(PATH, move |call| arrive(Arc::clone(&tokens), call))]
}

/// Who asks for the browser: a stage, or the endpoint stage for a connector.
struct Asking {
    name: String,
    credentials: Map,
    connector: Option<Uuid>,
}

impl Asking {
    fn find(snapshot: &Snapshot, stage: &StageRef) -> Option<Self> {
        match stage {
            StageRef::Stored(id) => {
                let stage = snapshot.get::<AuthenticatorEndpointGdtcStage>(*id)?;
                let credentials = stage.credentials.clone();
                Some(Self { name: stage.name.clone(), credentials, connector: None })
            }
            StageRef::InMemory { model, config } if model == ChromeStep::MODEL => {
                let wait: ChromeWait = serde_json::from_value(config.clone()).ok()?;
                let found = snapshot.get::<GoogleChromeConnector>(wait.connector).filter(|found| found.enabled)?;
                let credentials = found.credentials.clone();
                Some(Self { name: found.name.clone(), credentials, connector: Some(wait.connector) })
            }
            StageRef::InMemory { .. } => None,
        }
    }
}

/// Where a session stands.
struct Place {
    plan: Plan,
    binding: Uuid,
    asking: Asking,
    flow: (Uuid, Arc<Flow>),
}

/// The session's plan, if it waits at a stage that asks for a browser.
fn place(call: &PageCall, caller: &Caller) -> Option<Place> {
    let plan = FlowState::read(caller.session()?.row.flow.as_deref()).plan?;
    let step = plan.steps.front()?;
    let snapshot = call.engine().site.snapshot();
    let asking = Asking::find(&snapshot, &step.stage)?;
    let flow = (plan.flow, snapshot.get::<Flow>(plan.flow)?);
    Some(Place { binding: step.binding, asking, flow, plan })
}

async fn arrive(tokens: Arc<Tokens>, call: PageCall) -> Result<PageReply, ApiError> {
    if !["GET", "HEAD"].contains(&call.request.method.as_str()) {
        return Err(ApiError::MethodNotAllowed(call.request.method.chars().take(20).collect()));
    }
    let caller = call.caller().await?;
    let Some(place) = place(&call, &caller) else {
        return Ok(PageReply::FrameRefused("There is nothing to verify here."));
    };
    if let Some(response) = call.request.header(RESPONSE) {
        return verify(&tokens, &call, (&caller, &place), response).await;
    }
    if call.request.header(ANNOUNCEMENT) == Some(ANNOUNCED) {
        return challenge(&tokens, &call, (&caller, &place)).await;
    }
    Ok(PageReply::FrameRefused("This browser is not managed by your organisation, or cannot show that it is."))
}

/// Sends a challenge along with the way back here.
async fn challenge(
    tokens: &Tokens,
    call: &PageCall,
    (caller, place): (&Caller, &Place),
) -> Result<PageReply, ApiError> {
    if !may_ask(call, caller).await? {
        return Ok(PageReply::FrameRefused(TOO_OFTEN));
    }
    let engine = call.engine();
    let google = Google { app: engine, credentials: &place.asking.credentials, tokens };
    let challenge = match google.generate().await {
        Ok(challenge) => challenge,
        Err(error) => return failed(call, caller, place, &error).await,
    };
    let pending = Pending { binding: place.binding, until: engine.site.clock.now() + LIFE };
    if !keep(call, caller, place, keys::GDTC_CHALLENGE.name, json!(pending)).await? {
        return Ok(PageReply::FrameRefused(UNVERIFIED));
    }
    let headers = vec![(CHALLENGE, json!({"challenge": challenge}).to_string())];
    Ok(PageReply::GoWith { to: format!("{}{PATH}", engine.prefix), headers })
}

/// Has Google judge the response, and keeps what it says in the session's plan.
async fn verify(
    tokens: &Tokens,
    call: &PageCall,
    (caller, place): (&Caller, &Place),
    response: &str,
) -> Result<PageReply, ApiError> {
    let engine = call.engine();
    let now = engine.site.clock.now();
    let pending = place.plan.context.get(keys::GDTC_CHALLENGE);
    let pending = pending.and_then(|value| serde_json::from_value::<Pending>(value).ok());
    // Only a session that was sent a challenge has something to respond to.
    if !pending.is_some_and(|p| p.binding == place.binding && p.until > now) || response.len() > LONGEST {
        return Ok(PageReply::FrameRefused(UNVERIFIED));
    }
    let body: Value = serde_json::from_str(response).unwrap_or_default();
    let Some(response) = body.get("challengeResponse").and_then(Value::as_str).filter(|r| !r.is_empty()) else {
        return Ok(PageReply::FrameRefused(UNVERIFIED));
    };
    if !may_ask(call, caller).await? {
        return Ok(PageReply::FrameRefused(TOO_OFTEN));
    }
    if !is_new(call, response, now).await? {
        return Ok(PageReply::FrameRefused(UNVERIFIED));
    }
    let google = Google { app: engine, credentials: &place.asking.credentials, tokens };
    let info = match google.verify(response).await {
        Ok(info) => info,
        Err(error) => return failed(call, caller, place, &error).await,
    };
    let Some(mut proof) = info.and_then(|info| proof(place, now, info)) else {
        return Ok(PageReply::FrameRefused(UNVERIFIED));
    };
    if let Some(connector) = place.asking.connector {
        let mut unit = Unit::new(&engine.site, Actor::default());
        let named = (proof.host.as_str(), proof.name.as_str());
        proof.device = Some(browser_seen(&mut unit, connector, named, &proof.info).await?);
        unit.commit().await?;
    }
    if keep(call, caller, place, keys::GDTC_PROOF.name, json!(proof)).await? {
        Ok(PageReply::FrameDone)
    } else {
        Ok(PageReply::FrameRefused(UNVERIFIED))
    }
}

/// What Google said as proof; none when it says too little, or too much to be kept.
fn proof(place: &Place, now: DateTime<Utc>, mut info: Map) -> Option<Proof> {
    // A certificate request, large and of no use here, and the signals once more as text.
    info.retain(|name, _| !["signedPublicKeyAndChallenge", "deviceSignal"].contains(&name.as_str()));
    let text = |name: &str| info.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
    let host = ["devicePermanentId", "virtualDeviceId", "profilePermanentId", "virtualProfileId"]
        .iter()
        .find_map(|name| text(name))?;
    // A browser without a key signed nothing, so that anybody could say the same.
    let mut keys = ["keyTrustLevel", "profileKeyTrustLevel"].iter().filter_map(|name| text(name)).peekable();
    if keys.peek().is_some() && keys.all(|key| key == KEYLESS) {
        return None;
    }
    let named = info.get("deviceSignals").and_then(|s| s.get("displayName")?.as_str()).filter(|n| !n.is_empty());
    let name: String = named.unwrap_or("Endpoint Device").chars().take(64).collect();
    let fits = Value::Object(info.clone()).to_string().len() <= LONGEST;
    fits.then_some(Proof { binding: place.binding, at: now, host, name, info, device: None })
}

/// Counts a question to Google; false when the session had enough of them for now.
async fn may_ask(call: &PageCall, caller: &Caller) -> Result<bool, ApiError> {
    let Some(session) = caller.session().map(|browser| browser.row.uuid.to_string()) else { return Ok(false) };
    let site = &call.engine().site;
    let mut tx = site.db.tx();
    tx.set_durability(Durability::Relaxed);
    let limit = Limit { purpose: "gdtc", recipient: &session, most: MOST, window: WINDOW };
    let counted = throttle::count(&mut tx, site.clock.now(), limit).await.map_err(store)?;
    tx.commit().await.map_err(store)?;
    Ok(counted.is_ok())
}

/// Takes a response, once and for all sessions.
async fn is_new(call: &PageCall, response: &str, now: DateTime<Utc>) -> Result<bool, ApiError> {
    let mut tx = call.engine().site.db.tx();
    tx.set_durability(Durability::Relaxed);
    // Tasks of the captcha begin with their version, so that the two never meet.
    let key = format!("gdtc {}", weir_identity::digest(response));
    let sql = "INSERT INTO captcha_spent (task, expires) VALUES ($1, $2) ON CONFLICT (task) DO NOTHING";
    let written = tx.write(sql, &[key.into(), (now + REMEMBERED).into()]).await.map_err(store)?;
    tx.commit().await.map_err(store)?;
    Ok(written > 0)
}

/// Puts a value into the plan, if it still waits where it did.
async fn keep(call: &PageCall, caller: &Caller, place: &Place, key: &str, value: Value) -> Result<bool, ApiError> {
    let mut visit = call.visit(caller).await?;
    visit.inform(&place.flow, place.binding, &Map::from_iter([(key.to_owned(), value)])).await
}

/// Tells administrators; the person only learns that it did not work.
async fn failed(call: &PageCall, caller: &Caller, place: &Place, error: &str) -> Result<PageReply, ApiError> {
    let engine = call.engine();
    let snapshot = engine.site.snapshot();
    let actor = Actor {
        origin: caller.origin(&call.request, &snapshot),
        user_id: caller.user.as_ref().map(|user| user.id),
        epoch: caller.user.as_ref().map(|user| user.security_epoch),
        request_id: call.request.id.clone(),
    };
    let mut unit = Unit::new(&engine.site, actor);
    let context = json!({"message": "Google could not verify a browser", "error": error, "stage": place.asking.name});
    let app = match place.asking.connector {
        Some(_) => "authentik_endpoints_connectors_google_chrome",
        None => "authentik_stages_authenticator_endpoint_gdtc",
    };
    unit.event(Event::new(action::CONFIGURATION_ERROR, app, context)).await?;
    unit.commit().await?;
    Ok(PageReply::FrameRefused(UNVERIFIED))
}
