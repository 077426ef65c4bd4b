//! Judges solutions: asks the provider, or takes a proof of work.

use super::{
    CaptchaStage, ContentType,
    proof::{self, Flaw},
};
use crate::remote;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;
use weir_core::{FieldErrors, Resource};
use weir_flow::{Reject, StageCx, keys};

/// A provider that takes longer counts as away.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest solution that is passed on, bytes.
const LONGEST_TOKEN: usize = 32 * 1024;
/// Largest answer of a provider that is kept for policies, bytes.
const LONGEST: usize = 16 * 1024;
/// What a provider says when trying again may help.
const PASSING: [&str; 5] = [
    "missing-input-response",
    "invalid-input-response",
    "timeout-or-duplicate",
    "expired-input-response",
    "already-seen-response",
];

/// Stands for a client that is not known.
const UNKNOWN_ADDRESS: &str = "255.255.255.255";

const RETRY: &str = "Invalid captcha response. Retrying may solve this issue.";
const REFUSED: &str = "Invalid captcha response";
const AWAY: &str = "Failed to validate token";

/// The captcha stage whose solution is judged; another stage may ask for it on its own page.
pub struct Checked<'c> {
    /// Its key.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its configuration.
    pub config: &'c CaptchaStage,
    /// The request has nothing slow to do afterwards.
    pub is_last: bool,
}

fn refusal(text: &str) -> Reject {
    Reject::Invalid(FieldErrors::one("token", text))
}

/// Judges a solution. A good one leaves the provider's answer in the context.
///
/// # Errors
/// `Invalid` names what is wrong with the solution, also when the provider cannot be asked.
pub async fn verify(cx: &mut StageCx<'_>, stage: &Checked<'_>, token: &str) -> Result<(), Reject> {
    if token.is_empty() || token.len() > LONGEST_TOKEN {
        return Err(refusal(REFUSED));
    }
    let response = if proof::is_module(&stage.config.js_url) {
        match proof::take(cx, stage.id, token, stage.is_last).await? {
            Ok(()) => json!({"success": true, "challenge_ts": cx.now().to_rfc3339(), "hostname": cx.request.host}),
            Err(Flaw::Stale) => return Err(refusal(RETRY)),
            Err(Flaw::Wrong) => return Err(refusal(REFUSED)),
        }
    } else {
        let response = ask(cx, stage.config, token).await.ok_or_else(|| refusal(AWAY))?;
        if stage.config.error_on_invalid_score {
            judge(stage.config, &response).map_err(refusal)?;
        }
        Value::Object(response)
    };
    let (app, model) = CaptchaStage::MODEL.split_once('.').unwrap_or_default();
    let summary = json!({"app": app, "model_name": model, "pk": stage.id.simple().to_string(), "name": stage.name});
    cx.context.set(keys::CAPTCHA, &json!({"response": response, "stage": summary}));
    Ok(())
}

/// The provider's answer; none when there is no good one.
async fn ask(cx: &StageCx<'_>, config: &CaptchaStage, token: &str) -> Option<Map<String, Value>> {
    let secret = cx.context.get(keys::CAPTCHA_PRIVATE_KEY).unwrap_or_else(|| config.private_key.0.clone());
    let mut fields = vec![("secret", secret.as_str()), ("response", token)];
    if cx.request.client_ip != UNKNOWN_ADDRESS {
        fields.push(("remoteip", cx.request.client_ip.as_str()));
    }
    let request = match config.request_content_type {
        ContentType::Form => remote::form(&config.api_url, &fields),
        ContentType::Json => remote::json(&config.api_url, &fields.into_iter().collect::<BTreeMap<_, _>>()),
    };
    let request = request.map(|request| remote::within(request, PATIENCE));
    let response = match request {
        Ok(request) => cx.app.outbound.send(request).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    match response {
        Ok(response) if (200..300).contains(&response.status) && response.body.len() <= LONGEST => {
            match serde_json::from_slice(&response.body) {
                Ok(Value::Object(map)) => Some(map),
                _ => {
                    tracing::warn!(stage = config.name, "the captcha provider's answer is no JSON object");
                    None
                }
            }
        }
        Ok(response) => {
            let (status, length) = (response.status, response.body.len());
            tracing::warn!(stage = config.name, status, length, "the captcha provider gave no usable answer");
            None
        }
        Err(error) => {
            tracing::warn!(stage = config.name, error, "the captcha provider cannot be asked");
            None
        }
    }
}

/// Whether the provider's answer is good enough.
fn judge(config: &CaptchaStage, response: &Map<String, Value>) -> Result<(), &'static str> {
    if response.get("success") != Some(&Value::Bool(true)) {
        let codes = response.get("error-codes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let passing = |code: &Value| code.as_str().is_some_and(|c| PASSING.contains(&c));
        let may_retry = !codes.is_empty() && codes.iter().all(passing);
        return Err(if may_retry { RETRY } else { REFUSED });
    }
    let Some(score) = response.get("score").filter(|s| !s.is_null()) else { return Ok(()) };
    let Some(score) = score.as_f64() else { return Err(REFUSED) };
    let is_off = |threshold: f64| threshold <= -1.0;
    let too_high = !is_off(config.score_max_threshold) && score > config.score_max_threshold;
    let too_low = !is_off(config.score_min_threshold) && score < config.score_min_threshold;
    if too_high || too_low { Err(REFUSED) } else { Ok(()) }
}
