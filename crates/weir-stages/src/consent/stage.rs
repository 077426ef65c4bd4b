//! Behaviour of the consent stage.

use super::{ConsentChallenge, ConsentMode, ConsentPermission, ConsentResponse, ConsentStage};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize as _;
use serde_json::Value;
use std::collections::BTreeSet;
use subtle::ConstantTimeEq as _;
use weir_core::{FieldErrors, Resource};
use weir_flow::{Outcome, Reject, Stage, StageCx, View, keys};
use weir_identity::accounts;

/// The kind.
pub struct Consent;

fn parsed(values: Option<Vec<Value>>) -> Vec<ConsentPermission> {
    values.unwrap_or_default().iter().filter_map(|v| ConsentPermission::deserialize(v).ok()).collect()
}

/// Everything an application wants.
fn wanted(cx: &StageCx<'_>) -> (Vec<ConsentPermission>, Vec<ConsentPermission>) {
    let first = parsed(cx.context.get(keys::CONSENT_PERMISSIONS));
    (first, parsed(cx.context.get(keys::CONSENT_ADDITIONAL_PERMISSIONS)))
}

/// Key of the application a consent is for; none when it must always be shown.
fn application(cx: &StageCx<'_>, config: &ConsentStage) -> Option<String> {
    if config.mode == ConsentMode::AlwaysRequire {
        return None;
    }
    cx.context.get(keys::APPLICATION)?.get("pk")?.as_str().map(str::to_owned)
}

impl Consent {
    /// Permission ids granted before and still in force.
    async fn granted(cx: &mut StageCx<'_>, application: &str) -> Result<Option<BTreeSet<String>>, Reject> {
        let person = cx.person().await?;
        let Some(account) = person.account() else { return Ok(None) };
        let sql = "SELECT permissions, expiring, expires FROM identity_consent \
                   WHERE user_id = $1 AND application_id = $2 AND security_epoch = $3";
        let vals = [account.id.into(), application.into(), account.security_epoch.into()];
        let Some(row) = cx.unit.tx.read_one(sql, &vals).await? else { return Ok(None) };
        let expires: Option<DateTime<Utc>> = row.opt_time("expires")?;
        if row.bool("expiring")? && expires.is_some_and(|end| end <= cx.now()) {
            return Ok(None);
        }
        Ok(Some(row.text("permissions")?.split_whitespace().map(str::to_owned).collect()))
    }
}

#[async_trait]
impl Stage for Consent {
    const MODEL: &'static str = ConsentStage::MODEL;
    type Config = ConsentStage;
    type Challenge = ConsentChallenge;
    type Response = ConsentResponse;

    async fn view(&self, cx: &mut StageCx<'_>, config: &ConsentStage) -> Result<View<ConsentChallenge>, Reject> {
        let (mut permissions, mut additional) = wanted(cx);
        if let Some(application) = application(cx, config)
            && let Some(granted) = Self::granted(cx, &application).await?
        {
            let all: BTreeSet<String> = permissions.iter().chain(&additional).map(|p| p.id.clone()).collect();
            if all == granted {
                return Ok(View::Done(Outcome::Next));
            }
            (permissions, additional) =
                permissions.into_iter().chain(additional).partition(|p| granted.contains(&p.id));
        }
        let token = cx.app.site.random.text(40);
        cx.context.set(keys::CONSENT_TOKEN, &token);
        let header_text = cx.context.get(keys::CONSENT_HEADER);
        Ok(View::Ask(ConsentChallenge { header_text, permissions, additional_permissions: additional, token }))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &ConsentStage,
        response: ConsentResponse,
    ) -> Result<Outcome, Reject> {
        let expected = cx.context.get(keys::CONSENT_TOKEN).unwrap_or_default();
        let matches: bool = expected.as_bytes().ct_eq(response.token.as_bytes()).into();
        if expected.is_empty() || !matches {
            return Err(Reject::Invalid(FieldErrors::one("token", "Invalid consent token, re-showing prompt")));
        }
        // Used once, whatever follows.
        cx.context.remove(keys::CONSENT_TOKEN);
        let (Some(application), Some(user)) = (application(cx, config), cx.user.clone()) else {
            return Ok(Outcome::Next);
        };
        let (first, additional) = wanted(cx);
        let ids: BTreeSet<String> = first.into_iter().chain(additional).map(|p| p.id).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let expires = match config.mode {
            ConsentMode::Expiring => Some(cx.now() + config.consent_expire_in.delta()),
            _ => None,
        };
        // The epoch is read in this transaction, so that a lockdown in between wins.
        let account = accounts::lock(&mut cx.unit.tx, user.id).await?;
        if !account.is_some_and(|account| account.is_active && account.security_epoch == user.security_epoch) {
            return Ok(Outcome::Deny(None));
        }
        let sql = "INSERT INTO identity_consent (user_id, application_id, permissions, expiring, expires, security_epoch) \
                   SELECT id, $1, $2, $3, $4, security_epoch FROM identity_user WHERE id = $5 AND is_active \
                   ON CONFLICT (user_id, application_id) DO UPDATE SET permissions = excluded.permissions, \
                   expiring = excluded.expiring, expires = excluded.expires, security_epoch = excluded.security_epoch";
        let vals = [application.into(), ids.join(" ").into(), expires.is_some().into(), expires.into(), user.id.into()];
        cx.unit.tx.write(sql, &vals).await?;
        Ok(Outcome::Next)
    }
}
