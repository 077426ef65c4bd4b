//! Behaviour of the identification stage.

use super::{IdentificationChallenge, IdentificationResponse, IdentificationStage, captcha, passkey, sources};
use crate::password::{PasswordStage, backends};
use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;
use weir_core::{FieldErrors, Ref, Resource};
use weir_events::action;
use weir_flow::{Designation, Flow, Outcome, PendingUser, Reject, Stage, StageCx, View, keys, stage::Effect};
use weir_identity::{Account, accounts};
use weir_policy::PolicyBinding;

/// The kind.
pub struct Identification;

fn refused() -> Reject {
    Reject::Invalid(FieldErrors::general("Failed to authenticate."))
}

impl Identification {
    /// Address of another flow with the page's query kept.
    fn link(cx: &StageCx<'_>, flow: Option<&Ref<Flow>>) -> Option<String> {
        let flow = cx.unit.snapshot.get::<Flow>(flow?.uuid())?;
        let mut query = String::new();
        for (name, value) in &cx.query {
            if !query.is_empty() {
                query.push('&');
            }
            query.extend(form_encode(name));
            query.push('=');
            query.extend(form_encode(value));
        }
        Some(cx.app.flow_page(&flow.slug.0, &query))
    }

    /// A hint is enough when nothing else is asked and no policy wants to look at the binding.
    fn may_skip(cx: &StageCx<'_>, config: &IdentificationStage) -> bool {
        config.password_stage.is_none()
            && config.captcha_stage.is_none()
            && config.webauthn_stage.is_none()
            && cx.unit.snapshot.referring_by::<PolicyBinding>(cx.binding, "target").is_empty()
    }

    /// A refused name stays in the context, known or not: policies may look at it, later stages pretend.
    fn claim(cx: &mut StageCx<'_>, config: &IdentificationStage, typed: &str) {
        cx.context.set(keys::PENDING_USER, &PendingUser::Claimed { identifier: typed.to_owned() });
        if config.show_matched_user {
            cx.context.remove(keys::PENDING_USER_IDENTIFIER);
        } else {
            cx.context.set(keys::PENDING_USER_IDENTIFIER, &typed.to_owned());
        }
    }

    async fn identify(
        &self,
        cx: &mut StageCx<'_>,
        config: &IdentificationStage,
        typed: &str,
        password: Option<&str>,
    ) -> Result<Outcome, Reject> {
        let fields: Vec<weir_identity::UserField> = config.user_fields.iter().map(|f| f.account_field()).collect();
        let found = accounts::identify(&mut cx.unit.tx, &fields, typed, config.case_insensitive_matching).await?;
        if found.is_none() {
            tracing::info!("an unknown identifier was given");
        }
        Self::claim(cx, config, typed);
        let stage = config.password_stage.as_ref().and_then(|r| cx.unit.snapshot.get::<PasswordStage>(r.uuid()));
        let Some(stage) = stage else {
            // Written for known names too, with no change, so that both cost the same.
            let change = if found.is_some() { 0 } else { -1 };
            cx.effects.push(Effect::Reputation { identifier: typed.to_owned(), change });
            return match found {
                Some(account) => {
                    cx.set_person(&account);
                    Ok(Outcome::Next)
                }
                None if config.pretend_user_exists => Ok(Outcome::Next),
                None => Err(refused()),
            };
        };
        Self::check_password(cx, &stage, found, typed, password.unwrap_or_default()).await
    }

    async fn check_password(
        cx: &mut StageCx<'_>,
        stage: &PasswordStage,
        found: Option<Account>,
        typed: &str,
        password: &str,
    ) -> Result<Outcome, Reject> {
        let identifier = found.as_ref().map_or(typed, |a| &a.username).to_owned();
        let proven = backends::authenticate(cx, &stage.backends, found, password).await?;
        // One write either way, so that both cost the same.
        let change = if proven.is_some() { 0 } else { -1 };
        cx.effects.push(Effect::Reputation { identifier: identifier.clone(), change });
        if let Some(proven) = proven {
            cx.set_person(&proven.account);
            cx.context.set(keys::USER_BACKEND, &proven.backend.path().to_owned());
            return Ok(Outcome::Next);
        }
        // Also for a name that nobody has, as the password stage does.
        let context = backends::failure(cx, &identifier);
        cx.event(action::LOGIN_FAILED, context);
        Err(refused())
    }

    async fn challenge(cx: &mut StageCx<'_>, config: &IdentificationStage) -> Result<IdentificationChallenge, Reject> {
        let captcha_stage = captcha::challenge(cx, config);
        let passkey_challenge = passkey::challenge(cx, config).await?;
        let password = config.password_stage.as_ref().and_then(|r| cx.unit.snapshot.get::<PasswordStage>(r.uuid()));
        let is_login = cx.flow.designation == Designation::Authentication;
        let named = |value: Option<Value>, field: &str| {
            value.and_then(|v| v.get(field)?.as_str().map(str::to_owned)).filter(|t| !t.is_empty())
        };
        let fields = config.user_fields.iter().filter_map(|f| serde_json::to_value(f).ok());
        Ok(IdentificationChallenge {
            user_fields: fields.filter_map(|v| v.as_str().map(str::to_owned)).collect(),
            pending_user_identifier: cx.context.get(keys::PENDING_USER_IDENTIFIER),
            password_fields: password.is_some(),
            allow_show_password: password.is_some_and(|p| p.allow_show_password),
            application_pre: named(cx.context.get(keys::APPLICATION), "name")
                .or_else(|| named(cx.context.get(keys::DEVICE), "name")),
            application_pre_launch: named(cx.context.get(keys::APPLICATION), "launch_url").or_else(|| launch_url(cx)),
            flow_designation: cx.flow.designation,
            captcha_stage,
            enroll_url: Self::link(cx, config.enrollment_flow.as_ref()),
            recovery_url: Self::link(cx, config.recovery_flow.as_ref()),
            passwordless_url: Self::link(cx, config.passwordless_flow.as_ref()),
            primary_action: if is_login { "Log in" } else { "Continue" },
            sources: sources::buttons(cx, &config.sources),
            show_source_labels: config.show_source_labels,
            enable_remember_me: config.enable_remember_me,
            passkey_challenge,
        })
    }
}

/// Where the application starts that an expression named. Addresses with something of the person in them have to wait.
fn launch_url(cx: &StageCx<'_>) -> Option<String> {
    let application = cx.context.get(keys::APPLICATION)?;
    let id = Uuid::parse_str(application.get("pk")?.as_str()?).ok()?;
    let found = cx.unit.snapshot.find(id).filter(|o| o.kind.model == "authentik_core.application")?;
    Some(found.text("meta_launch_url")).filter(|url| url.starts_with("http") && !url.contains('%')).map(str::to_owned)
}

fn form_encode(text: &str) -> impl Iterator<Item = &str> {
    weir_flow::redirect::encode(text)
}

#[async_trait]
impl Stage for Identification {
    const MODEL: &'static str = IdentificationStage::MODEL;
    type Config = IdentificationStage;
    type Challenge = IdentificationChallenge;
    type Response = IdentificationResponse;

    async fn view(
        &self,
        cx: &mut StageCx<'_>,
        config: &IdentificationStage,
    ) -> Result<View<IdentificationChallenge>, Reject> {
        let hint = cx.context.get(keys::PENDING_USER_IDENTIFIER).filter(|_| !cx.context.has(keys::PENDING_USER));
        if let Some(hint) = hint
            && Self::may_skip(cx, config)
        {
            match self.identify(cx, config, &hint, None).await {
                Ok(outcome) => return Ok(View::Done(outcome)),
                Err(Reject::Invalid(_)) => {
                    cx.context.remove(keys::PENDING_USER_IDENTIFIER);
                    cx.context.remove(keys::PENDING_USER);
                }
                Err(other) => return Err(other),
            }
        }
        Ok(View::Ask(Self::challenge(cx, config).await?))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &IdentificationStage,
        response: IdentificationResponse,
    ) -> Result<Outcome, Reject> {
        if let Some(assertion) = response.passkey.as_ref().filter(|assertion| !assertion.is_empty()) {
            return passkey::recognise(cx, config, assertion).await;
        }
        let Some(typed) = response.uid_field.as_deref().filter(|t| !t.trim().is_empty()) else {
            return Err(Reject::Invalid(FieldErrors::general("No identification data provided.")));
        };
        if !captcha::is_passed(cx, config, response.captcha_token.as_deref()).await? {
            Self::claim(cx, config, typed);
            return Err(refused());
        }
        self.identify(cx, config, typed, response.password.as_deref()).await
    }
}
