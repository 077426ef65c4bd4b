//! Codes by mail.

use super::AuthenticatorEmailStage;
use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;
use weir_events::action;
use weir_flow::{
    Reject, StageCx,
    mail::{LinkMail, MailError, Reader},
};
use weir_identity::Account;
use weir_mail::throttle::{self, Limit};

/// Codes to one address within five minutes.
const MOST: i64 = 10;

/// An address of which only its owner recognises the rest.
pub(crate) fn mask(address: &str) -> String {
    let stars = |part: &str| -> String {
        let length = part.chars().count();
        match part.chars().next() {
            Some(first) if length > 2 => std::iter::once(first).chain(std::iter::repeat_n('*', length - 1)).collect(),
            _ => "*".repeat(length),
        }
    };
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let labels: Vec<&str> = domain.split('.').collect();
    let last = labels.len().saturating_sub(1);
    let labels: Vec<String> =
        labels.iter().enumerate().map(|(i, l)| if i == last { (*l).to_owned() } else { stars(l) }).collect();
    format!("{}@{}", stars(local), labels.join("."))
}

/// Sends a code; false when the address had enough for now or the template is broken.
pub(crate) async fn send(
    cx: &mut StageCx<'_>,
    (id, config): (Uuid, &AuthenticatorEmailStage),
    account: &Account,
    address: &str,
    code: String,
) -> Result<bool, Reject> {
    let window = TimeDelta::minutes(5);
    let (now, limit) = (cx.now(), Limit { purpose: "email device", recipient: address, most: MOST, window });
    if throttle::count(&mut cx.unit.tx, now, limit).await?.is_err() {
        return Ok(false);
    }
    let lifetime = config.token_expiry.delta();
    let reader = Reader { account: Some(account), name: &account.name, address: Some(address) };
    let (template, subject) = (config.template.as_str(), config.subject.as_str());
    let expires = now + lifetime;
    let mail = LinkMail { stage: id, template, subject, reader, url: String::new(), key: code, lifetime, expires };
    match mail.post(cx.app, &mut cx.unit, cx.request).await {
        Ok(()) => Ok(true),
        Err(MailError::Failed(error)) => Err(error.into()),
        Err(MailError::Template(error)) => {
            let message = format!("The template of a mail is broken: {error}");
            cx.event(action::CONFIGURATION_ERROR, json!({"message": message, "stage": cx.stage_summary()}));
            Ok(false)
        }
    }
}
