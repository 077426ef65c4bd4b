//! Behaviour of the set-up of codes on paper.

use super::{AuthenticatorStaticChallenge, AuthenticatorStaticResponse, AuthenticatorStaticStage};
use async_trait::async_trait;
use serde_json::{Value, json};
use weir_core::{FieldErrors, Random, Resource};
use weir_flow::{Outcome, Reject, Stage, StageCx, View, keys, stage::Person};
use weir_identity::device::static_codes;

/// The kind.
pub struct AuthenticatorStatic;

/// Name of a new device.
const NAME: &str = "Static Token";
/// They have to fit into the plan, and nobody keeps more.
const MOST_CODES: i32 = 200;
/// Letters that people do not take for others when they read them from paper: 31, so 4.95 bits each.
const LETTERS: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";

fn code(random: &dyn Random, length: usize) -> String {
    let mut out = String::with_capacity(length);
    let mut buffer = [0u8; 32];
    while out.len() < length {
        random.fill(&mut buffer);
        for byte in buffer {
            // 248 is the largest multiple of 31 in a byte; anything above would favour the first letters.
            if byte < 248
                && out.len() < length
                && let Some(letter) = LETTERS.get(usize::from(byte % 31))
            {
                out.push(char::from(*letter));
            }
        }
    }
    out
}

/// The codes on this stage's page; the same for as long as the plan lives.
fn shown_codes(cx: &StageCx<'_>) -> Option<Vec<String>> {
    let codes = cx.context.get(keys::STATIC_CODES)?;
    let codes = codes.get(&cx.stage_id.to_string())?.as_array()?;
    Some(codes.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

#[async_trait]
impl Stage for AuthenticatorStatic {
    const MODEL: &'static str = AuthenticatorStaticStage::MODEL;
    type Config = AuthenticatorStaticStage;
    type Challenge = AuthenticatorStaticChallenge;
    type Response = AuthenticatorStaticResponse;

    async fn view(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorStaticStage,
    ) -> Result<View<AuthenticatorStaticChallenge>, Reject> {
        if matches!(cx.person().await?, Person::Anonymous) {
            return Ok(View::Done(Outcome::Next));
        }
        let codes = match shown_codes(cx) {
            Some(codes) => codes,
            None => {
                let length = usize::try_from(config.token_length).unwrap_or(0);
                let count = config.token_count.clamp(0, MOST_CODES);
                let codes: Vec<String> = (0..count).map(|_| code(&*cx.app.site.random, length)).collect();
                let stage = cx.stage_id.to_string();
                cx.context.object_mut(keys::STATIC_CODES).insert(stage, json!(codes));
                codes
            }
        };
        Ok(View::Ask(AuthenticatorStaticChallenge { codes }))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        _config: &AuthenticatorStaticStage,
        _response: AuthenticatorStaticResponse,
    ) -> Result<Outcome, Reject> {
        let account = match cx.person().await? {
            Person::Known(account) if account.is_active => account,
            Person::Known(_) | Person::Claimed(_) => return Ok(Outcome::Deny(None)),
            Person::Anonymous => return Ok(Outcome::Next),
        };
        // Codes that nobody has seen are no use to anybody.
        let Some(codes) = shown_codes(cx) else {
            return Err(Reject::Invalid(FieldErrors::general("Put these codes down first.")));
        };
        if !cx.lock_person(&account).await? {
            return Ok(Outcome::Deny(None));
        }
        static_codes::create(&mut cx.unit, account.id, NAME, &codes).await?;
        let stage = cx.stage_id.to_string();
        cx.context.object_mut(keys::STATIC_CODES).remove(&stage);
        Ok(Outcome::Next)
    }
}
