//! Has Duo ask a person. Nothing is open while they decide.

use super::{
    AuthenticatorDuoStage,
    api::{Duo, Failure, PATIENCE},
};
use crate::remote;
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use weir_flow::{StageCx, keys};
use weir_identity::device::DeviceRow;

/// How long a request waits for the person. Whoever takes longer can go on waiting with the next request.
const WAIT: Duration = Duration::from_secs(25);
/// Between two questions, should Duo not wait by itself.
const PAUSE: Duration = Duration::from_millis(500);

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The person agreed.
    Allowed,
    /// The person, or a rule at Duo, refused.
    Denied,
    /// The person has not decided yet.
    Waiting,
}

/// The question that is on the person's telephone; none when there is none.
pub fn pending(cx: &StageCx<'_>, device: &DeviceRow) -> Option<String> {
    let kept = cx.context.get(keys::DUO_PUSH)?;
    let is_same = kept.get("device").and_then(Value::as_str) == Some(&device.pk);
    kept.get("txid").and_then(Value::as_str).filter(|_| is_same).map(str::to_owned)
}

/// Asks, and waits for the decision. A question that is on the telephone already is waited for.
///
/// # Errors
/// When Duo cannot be asked.
pub async fn ask(cx: &mut StageCx<'_>, stage: &AuthenticatorDuoStage, device: &DeviceRow) -> Result<Decision, Failure> {
    let begun = Instant::now();
    let duo = Duo::of(cx.app, stage);
    let txid = match pending(cx, device) {
        Some(txid) => txid,
        None => match begin(cx, &duo, device).await? {
            Ok(decision) => return Ok(decision),
            Err(txid) => txid,
        },
    };
    cx.context.set(keys::DUO_PUSH, &json!({"device": device.pk, "txid": txid}));
    let decision = loop {
        let left = WAIT.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Ok(Decision::Waiting);
        }
        let called = Instant::now();
        let answer = duo.call(Method::GET, "/auth/v2/auth_status", &[("txid", &txid)], left).await;
        let answer = match answer {
            // Duo was still waiting for the person when the time was up.
            Err(_) if begun.elapsed() >= WAIT => return Ok(Decision::Waiting),
            Err(failure) => {
                cx.context.remove(keys::DUO_PUSH);
                return Err(failure);
            }
            Ok(answer) => answer,
        };
        match decision(&answer) {
            Some(Decision::Waiting) => tokio::time::sleep(PAUSE.saturating_sub(called.elapsed())).await,
            Some(decision) => break Ok(decision),
            None => break Err(Failure("Duo gave no usable answer.".to_owned())),
        }
    };
    cx.context.remove(keys::DUO_PUSH);
    decision
}

/// Puts the question on the telephone; the decision when Duo has it at once, else the name of the question.
async fn begin(cx: &StageCx<'_>, duo: &Duo<'_>, device: &DeviceRow) -> Result<Result<Decision, String>, Failure> {
    let kind = format!("{} Login request", remote::brand_title(cx));
    let info = push_info(cx);
    let parameters = [
        ("async", "1"),
        ("device", "auto"),
        ("factor", "auto"),
        ("ipaddr", cx.request.client_ip.as_str()),
        ("pushinfo", &info),
        ("type", &kind),
        ("user_id", &device.detail),
    ];
    let answer = duo.call(Method::POST, "/auth/v2/auth", &parameters, PATIENCE).await?;
    if let Some(txid) = answer.pointer("/response/txid").and_then(Value::as_str) {
        return Ok(Err(txid.to_owned()));
    }
    match decision(&answer) {
        Some(decision) => Ok(Ok(decision)),
        None => Err(Failure("Duo gave no usable answer.".to_owned())),
    }
}

/// What the telephone shows beside the question.
fn push_info(cx: &StageCx<'_>) -> String {
    let mut info = url::form_urlencoded::Serializer::new(String::new());
    info.append_pair("Domain", &cx.request.host);
    let application = cx.context.get(keys::APPLICATION);
    if let Some(name) = application.as_ref().and_then(|application| application.get("name")?.as_str()) {
        info.append_pair("Application", name);
    }
    info.finish()
}

fn decision(answer: &Value) -> Option<Decision> {
    Some(match answer.pointer("/response/result")?.as_str()? {
        "allow" => Decision::Allowed,
        "waiting" => Decision::Waiting,
        // Whatever else Duo may come to say is no permission.
        _ => Decision::Denied,
    })
}
