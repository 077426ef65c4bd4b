//! Behaviour of the email stage.

use super::{EmailChallenge, EmailResponse, EmailStage};
use crate::account_lockdown::record;
use async_trait::async_trait;
use chrono::TimeDelta;
use serde_json::{Map, Value, json};
use weir_core::{FieldErrors, Resource};
use weir_events::action;
use weir_flow::{
    Outcome, Reject, Stage, StageCx, View, confirm,
    keys::{self, EmailProof, Restored},
    mail::{LinkMail, MailError, Reader},
    stage::Person,
};
use weir_identity::{Account, User, accounts, kind, token};
use weir_mail::{
    outbox,
    throttle::{self, Limit},
};
use weir_resource::store;

/// The kind.
pub struct Email;

/// Mails to one address that are sent without anybody asking again, within the span of the configuration: whoever begins
/// flow after flow must not fill a stranger's box.
const FIRST_MAILS: i64 = 10;

/// The token outlives what people are told, so that a click in the last second counts.
const GRACE: TimeDelta = TimeDelta::minutes(1);

/// Why a mail is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// The stage was reached.
    Arrival,
    /// Somebody asked again.
    Request,
}

/// Whether somebody came by a link that proves what this step wants to know.
enum Proof {
    /// Nobody did.
    None,
    /// By one made for somebody else.
    Foreign,
    /// Yes.
    Given(Box<Account>),
}

impl Email {
    async fn proof(cx: &mut StageCx<'_>) -> Result<Proof, Reject> {
        let Some(Restored { user, .. }) = cx.context.get(keys::RESTORED) else { return Ok(Proof::None) };
        match cx.context.get(keys::EMAIL_PROOF) {
            // Sent by another step of the flow, perhaps to another address.
            Some(EmailProof { step: Some(step), .. }) if step != cx.binding => return Ok(Proof::None),
            Some(proof) if proof.user != user => return Ok(Proof::Foreign),
            _ => {}
        }
        match cx.pending().await? {
            // Who reads somebody's mail does not open what a lockdown closed.
            Person::Known(account) if record::is_shut(&mut cx.unit.tx, &account).await? => Ok(Proof::Foreign),
            Person::Known(account) if account.id == user => Ok(Proof::Given(account)),
            _ => Ok(Proof::Foreign),
        }
    }

    async fn activate(cx: &mut StageCx<'_>, account: &Account) -> Result<(), Reject> {
        if account.is_active {
            return Ok(());
        }
        let users = kind::<User>(cx.unit.site)?;
        let active = Map::from_iter([("is_active".to_owned(), Value::Bool(true))]);
        cx.unit.set(users, &account.id.to_string(), active).await?;
        Ok(())
    }

    /// Sends the mail, or does what sending it would have cost.
    async fn send(cx: &mut StageCx<'_>, config: &EmailStage, occasion: Occasion) -> Result<Option<Outcome>, Reject> {
        let person = cx.pending().await?;
        let account = person.account().cloned();
        let given: Option<String> = cx.context.get(keys::EMAIL).filter(|_| account.is_some());
        let address = given.or_else(|| account.as_ref().map(|a| a.email.clone())).filter(|a| !a.is_empty());
        if account.is_some() && address.is_none() {
            tracing::warn!(stage = cx.stage_name, "a mail was not sent: the account has no address");
        }
        let counted = address.clone().unwrap_or_else(|| person.name().to_owned());
        if let Some(wait) = Self::count(cx, config, occasion, &counted).await? {
            if occasion == Occasion::Request {
                let minutes = (wait.num_seconds() + 59) / 60;
                cx.notices
                    .push(format!("Too many account verification attempts. Please try again after {minutes} minutes."));
            }
            return Ok(None);
        }
        let life = config.token_expiry.delta();
        let key = Self::link(cx, account.as_ref().filter(|_| address.is_some()), life + GRACE).await?;
        let Some(key) = key else { return Ok(Some(Outcome::Deny(None))) };
        let mail = LinkMail {
            stage: cx.stage_id,
            template: &config.template,
            subject: &config.subject,
            reader: Reader {
                account: account.as_ref(),
                name: account.as_ref().map_or_else(|| person.name(), |a| &a.name),
                address: address.as_deref(),
            },
            url: cx.app.flow_link(&cx.unit.snapshot.settings, cx.request, &cx.flow.slug.0, &query(cx, &key)),
            key,
            lifetime: life,
            expires: cx.now() + life + GRACE,
        };
        match mail.post(cx.app, &mut cx.unit, cx.request).await {
            Ok(()) => Ok(None),
            Err(MailError::Failed(error)) => Err(error.into()),
            Err(MailError::Template(error)) => {
                let message = format!("The template of a mail is broken: {error}");
                cx.event(action::CONFIGURATION_ERROR, json!({"message": message, "stage": cx.stage_summary()}));
                Ok(Some(Outcome::Deny(None)))
            }
        }
    }

    /// The time to wait when the address had enough.
    async fn count(
        cx: &mut StageCx<'_>,
        config: &EmailStage,
        occasion: Occasion,
        address: &str,
    ) -> Result<Option<TimeDelta>, Reject> {
        let (purpose, most) = match occasion {
            Occasion::Arrival => ("email stage", FIRST_MAILS),
            Occasion::Request => ("email stage again", i64::from(config.recovery_max_attempts)),
        };
        let window = config.recovery_cache_timeout.delta();
        let (now, limit) = (cx.now(), Limit { purpose, recipient: address, most, window });
        Ok(throttle::count(&mut cx.unit.tx, now, limit).await?.err())
    }

    /// The key of the link that leads back here. Without an account it leads nowhere and costs the same. None when the
    /// account is gone.
    async fn link(cx: &mut StageCx<'_>, account: Option<&Account>, life: TimeDelta) -> Result<Option<String>, Reject> {
        let (random, now) = (&*cx.app.site.random, cx.now());
        let name = cx.context.get(keys::EMAIL_LINK).unwrap_or_else(|| format!("email-stage-{}", random.uuid()));
        cx.context.set(keys::EMAIL_LINK, &name);
        cx.context.set(keys::EMAIL_STEP, &cx.binding);
        cx.context.set(keys::EMAIL_SENT, &true);
        let mut plan = cx.plan();
        confirm::put_in_front(cx.app, &mut plan, Some(cx.binding));
        let plan = json!(plan).to_string();
        let Some(account) = account else {
            accounts::lock(&mut cx.unit.tx, 0).await?;
            outbox::ballast(&mut cx.unit.tx, &name, now, &plan).await?;
            return Ok(Some(random.text(60)));
        };
        let new = token::NewFlowToken {
            identifier: name,
            user_id: account.id,
            // A request that was half-way when the account was locked down mails no way back in.
            epoch: Some(account.security_epoch),
            flow_id: cx.flow_id,
            plan,
            expires: now + life,
            revoke_on_execution: false,
        };
        Ok(token::mint_flow_token(&mut cx.unit.tx, random, now, &new).await.map_err(store)?)
    }
}

/// The query of the page with the link's key.
fn query(cx: &StageCx<'_>, key: &str) -> String {
    let mut query = String::new();
    let own = cx.query.iter().filter(|(name, _)| name != "flow_token").map(|(n, v)| (n.as_str(), v.as_str()));
    for (name, value) in own.chain([("flow_token", key)]) {
        if !query.is_empty() {
            query.push('&');
        }
        query.extend(weir_flow::redirect::encode(name));
        query.push('=');
        query.extend(weir_flow::redirect::encode(value));
    }
    query
}

#[async_trait]
impl Stage for Email {
    const MODEL: &'static str = EmailStage::MODEL;
    type Config = EmailStage;
    type Challenge = EmailChallenge;
    type Response = EmailResponse;

    async fn view(&self, cx: &mut StageCx<'_>, config: &EmailStage) -> Result<View<EmailChallenge>, Reject> {
        match Self::proof(cx).await? {
            Proof::Given(account) => {
                if config.activate_user_on_success {
                    Self::activate(cx, &account).await?;
                }
                return Ok(View::Done(Outcome::Next));
            }
            Proof::Foreign => return Ok(View::Done(Outcome::Deny(None))),
            Proof::None => {}
        }
        if matches!(cx.pending().await?, Person::Anonymous) {
            return Ok(View::Done(Outcome::Deny(None)));
        }
        if cx.context.get(keys::EMAIL_STEP) != Some(cx.binding) {
            // Another step's link is not this one's.
            cx.context.remove(keys::EMAIL_LINK);
            if let Some(outcome) = Self::send(cx, config, Occasion::Arrival).await? {
                return Ok(View::Done(outcome));
            }
            cx.context.set(keys::EMAIL_STEP, &cx.binding);
        }
        Ok(View::Ask(EmailChallenge {}))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &EmailStage,
        _response: EmailResponse,
    ) -> Result<Outcome, Reject> {
        // An answer is no proof, whatever it says; it asks for another mail.
        if matches!(Self::proof(cx).await?, Proof::None) {
            if matches!(cx.pending().await?, Person::Anonymous) {
                return Ok(Outcome::Deny(None));
            }
            if cx.context.get(keys::EMAIL_STEP) != Some(cx.binding) {
                cx.context.remove(keys::EMAIL_LINK);
            }
            if let Some(outcome) = Self::send(cx, config, Occasion::Request).await? {
                return Ok(outcome);
            }
            cx.context.set(keys::EMAIL_STEP, &cx.binding);
        }
        let mut errors = FieldErrors::new();
        errors.add(FieldErrors::GENERAL, "email-sent", "email-sent");
        Err(Reject::Invalid(errors))
    }
}
