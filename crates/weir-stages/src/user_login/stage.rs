//! Behaviour of the log-in stage.

use super::{NetworkBinding, UserLoginChallenge, UserLoginResponse, UserLoginStage};
use crate::user_login::GeoipBinding;
use async_trait::async_trait;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::{Map, Resource};
use weir_crypto::cookie::SigningKey;
use weir_events::action;
use weir_flow::{
    Effect, LogIn, Outcome, Reject, Stage, StageCx, View, keys,
    stage::{Cookie, Person},
    switch,
};
use weir_identity::{Account, session};

/// The kind.
pub struct UserLogin;

/// Name of the cookie that makes a browser known.
const DEVICE_COOKIE: &str = "authentik_device";

/// What is said when another account of the browser has been signed out meanwhile.
const GONE: &str = "The selected session is no longer available. Please try again.";

/// Claims of the device cookie.
#[derive(Serialize, Deserialize)]
struct DeviceClaims {
    sub: String,
    /// The user's security epoch.
    epoch: i64,
    exp: i64,
}

impl UserLogin {
    fn device_key(cx: &StageCx<'_>) -> SigningKey {
        let label = format!("device cookie {} {}", cx.app.site.installation.id, cx.stage_id);
        SigningKey::derive(&cx.app.site.installation.secret, &label)
    }

    /// Another session of the user from this address, or a valid device cookie.
    async fn is_known_device(cx: &mut StageCx<'_>, account: &Account) -> Result<bool, Reject> {
        let uid = account.uid(&cx.app.site.installation.id);
        let key = Self::device_key(cx);
        let now = cx.now();
        let cookie = cx.request.cookies.iter().find(|(n, _)| n == DEVICE_COOKIE);
        let claims = cookie.and_then(|(_, value)| key.verify::<DeviceClaims>(value, now.timestamp()).ok());
        if claims.is_some_and(|c| c.sub == uid && c.epoch == account.security_epoch && c.exp > now.timestamp()) {
            return Ok(true);
        }
        let own = cx.session.as_ref().map(|s| s.digest.as_str());
        let ip = &cx.request.client_ip;
        Ok(session::is_known_from(&mut cx.unit.tx, account.id, ip, own, now).await?)
    }

    /// Signs in; `None` when the choice to stay was not offered.
    async fn log_in(cx: &mut StageCx<'_>, config: &UserLoginStage, remember: Option<bool>) -> Result<Outcome, Reject> {
        let account = match cx.pending().await? {
            Person::Known(account) if account.is_active => *account,
            _ => return Ok(Outcome::Deny(None)),
        };
        let resumes = match cx.context.get(keys::USER_SWITCH_TARGET_SESSION) {
            None => None,
            Some(target) => match switch::find(cx, target, account.id).await? {
                Some(session) => Some(session.digest),
                None => return Ok(Outcome::Deny(Some(GONE.to_owned()))),
            },
        };
        cx.context.remove(keys::USER_SWITCH_TARGET_SESSION);
        if !cx.context.object_mut(keys::AUTH_METHOD_ARGS).contains_key("known_device") {
            let known = Self::is_known_device(cx, &account).await?;
            cx.context.object_mut(keys::AUTH_METHOD_ARGS).insert("known_device".to_owned(), known.into());
        }
        let mut life = config.session_duration.delta();
        if remember == Some(true) {
            life += config.remember_me_offset.delta();
        }
        let now = cx.now();
        let device_life = config.remember_device.delta();
        if remember.is_none() && device_life >= TimeDelta::seconds(1) {
            let claims = DeviceClaims {
                sub: account.uid(&cx.app.site.installation.id),
                epoch: account.security_epoch,
                exp: (now + device_life).timestamp(),
            };
            let value = Self::device_key(cx).encode(&claims).map_err(anyhow::Error::new)?;
            let max_age_secs = device_life.num_seconds();
            cx.effects.push(Effect::SetCookie(Cookie { name: DEVICE_COOKIE.to_owned(), value, max_age_secs }));
        }
        cx.effects.push(Effect::Reputation { identifier: account.username.clone(), change: 1 });
        cx.effects.push(Effect::LogIn(LogIn {
            user: account.id,
            expires: (life > TimeDelta::zero()).then(|| now + life),
            data: bindings(config),
            terminate_others: config.terminate_other_sessions,
            resumes,
        }));
        let context = event_context(cx);
        cx.event(action::LOGIN, context);
        Ok(Outcome::Next)
    }
}

/// What the session is bound to, for the check on every request.
fn bindings(config: &UserLoginStage) -> Map {
    let mut data = Map::new();
    if config.network_binding != NetworkBinding::NoBinding || config.geoip_binding != GeoipBinding::NoBinding {
        let bound = json!({"network": config.network_binding, "geoip": config.geoip_binding});
        data.insert("bindings".to_owned(), bound);
    }
    data
}

fn event_context(cx: &StageCx<'_>) -> Value {
    let mut context = Map::new();
    let method = cx.context.get(keys::AUTH_METHOD).unwrap_or_else(|| "password".to_owned());
    context.insert("auth_method".to_owned(), method.into());
    let args = cx.context.get(keys::AUTH_METHOD_ARGS).unwrap_or_default();
    context.insert("auth_method_args".to_owned(), Value::Object(args));
    for key in [keys::SOURCE, keys::DEVICE, keys::OUTPOST] {
        if let Some(value) = cx.context.get(key) {
            context.insert(key.name.to_owned(), value);
        }
    }
    Value::Object(context)
}

#[async_trait]
impl Stage for UserLogin {
    const MODEL: &'static str = UserLoginStage::MODEL;
    type Config = UserLoginStage;
    type Challenge = UserLoginChallenge;
    type Response = UserLoginResponse;

    fn is_silent(&self, config: &UserLoginStage) -> bool {
        config.remember_me_offset.delta() <= TimeDelta::zero()
    }

    async fn view(&self, cx: &mut StageCx<'_>, config: &UserLoginStage) -> Result<View<UserLoginChallenge>, Reject> {
        if config.remember_me_offset.delta() > TimeDelta::zero() {
            return match cx.pending().await? {
                Person::Known(account) if account.is_active => Ok(View::Ask(UserLoginChallenge {})),
                _ => Ok(View::Done(Outcome::Deny(None))),
            };
        }
        Ok(View::Done(Self::log_in(cx, config, None).await?))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &UserLoginStage,
        response: UserLoginResponse,
    ) -> Result<Outcome, Reject> {
        Self::log_in(cx, config, Some(response.remember_me)).await
    }
}
