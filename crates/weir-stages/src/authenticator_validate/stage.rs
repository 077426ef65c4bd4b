//! Behaviour of the authenticator validation stage: what all classes of devices share.

use super::{
    AuthenticatorValidateStage, AuthenticatorValidationChallenge, AuthenticatorValidationResponse, DeviceChallenge,
    DeviceClass, SelectableStage,
    classes::{self, Proof, Verdict},
    code, remember,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{FieldErrors, Map, Resource};
use weir_events::action;
use weir_flow::{
    Designation, Effect, InvalidResponseAction, Marker, NotConfiguredAction, Outcome, Reject, Stage, StageCx, StageRef,
    Step, View, keys, stage::Person,
};
use weir_identity::device::{self, DeviceKind, DeviceRow};

/// The kind.
pub struct AuthenticatorValidate;

/// `device_uid` of an offer that is not about a device yet.
const ANY_DEVICE: &str = "-1";

/// What the stage has to do for the person.
enum Task {
    /// Nothing is asked.
    Over(Outcome),
    /// One of these devices proves who they are.
    Validate(Vec<DeviceRow>),
    /// Somebody unknown may show a device that knows its owner.
    Recognise,
    /// They choose what to set up.
    Configure(Vec<SelectableStage>),
}

async fn task(cx: &mut StageCx<'_>, config: &AuthenticatorValidateStage, person: &Person) -> Result<Task, Reject> {
    let account = match person {
        Person::Anonymous => {
            let can_recognise = cx.flow.designation == Designation::Authentication
                && config.device_classes.contains(&DeviceClass::Webauthn);
            return Ok(if can_recognise { Task::Recognise } else { Task::Over(Outcome::Next) });
        }
        Person::Known(account) => Some(account),
        // Nobody has this key: the same look-up, and no devices.
        Person::Claimed(_) => None,
    };
    let mut devices = device::confirmed_of_user(&mut cx.unit.tx, account.map_or(-1, |a| a.id)).await?;
    devices.retain(|device| {
        let allowed = config.device_classes.iter().find(|class| class.kind() == device.kind);
        allowed.and_then(|class| classes::find(*class)).is_some_and(|class| class.is_usable(config, device))
    });
    if let Some(account) = account
        && remember::is_remembered(cx, config, account, &devices)
    {
        return Ok(Task::Over(Outcome::Next));
    }
    Ok(if devices.is_empty() { not_configured(cx, config) } else { Task::Validate(devices) })
}

/// What becomes of a person without a device.
fn not_configured(cx: &mut StageCx<'_>, config: &AuthenticatorValidateStage) -> Task {
    let denied = || Task::Over(Outcome::Deny(Some("No (allowed) MFA authenticator configured.".to_owned())));
    match config.not_configured_action {
        NotConfiguredAction::Skip => Task::Over(Outcome::Next),
        NotConfiguredAction::Deny => denied(),
        NotConfiguredAction::Configure => {
            let mut stages = selectable(cx, config);
            match (stages.pop(), stages.is_empty()) {
                (None, _) => {
                    let text = "The stage has devices set up, but none of its configuration stages is there.";
                    let context = json!({"message": text, "stage": cx.stage_summary()});
                    cx.event(action::CONFIGURATION_ERROR, context);
                    denied()
                }
                (Some(only), true) => Task::Over(configure(cx, only.pk)),
                (Some(last), false) => {
                    stages.push(last);
                    Task::Configure(stages)
                }
            }
        }
    }
}

fn selectable(cx: &StageCx<'_>, config: &AuthenticatorValidateStage) -> Vec<SelectableStage> {
    let found = config.configuration_stages.iter().filter_map(|stage| cx.unit.snapshot.find(stage.uuid()));
    found
        .map(|stage| {
            let title = Some(stage.text("friendly_name")).filter(|name| !name.is_empty());
            SelectableStage {
                pk: stage.id,
                name: title.map_or_else(|| stage.name(), str::to_owned),
                verbose_name: stage.kind.verbose_name.replace("Setup Stage", "").trim().to_owned(),
                meta_model_name: stage.kind.model.to_owned(),
            }
        })
        .collect()
}

/// Goes on with a stage that sets a device up; after that, this one does not ask again.
fn configure(cx: &mut StageCx<'_>, stage: Uuid) -> Outcome {
    cx.context.set(keys::VALIDATE_SELECTED_STAGE, &stage);
    cx.context.remove(keys::VALIDATE_STAGES);
    Outcome::Insert(Box::new(Step {
        binding: cx.app.site.random.uuid(),
        stage: StageRef::Stored(stage),
        marker: Marker::None,
        on_invalid: InvalidResponseAction::Retry,
    }))
}

fn of_class(devices: &[DeviceRow], class: DeviceClass) -> Vec<DeviceRow> {
    devices.iter().filter(|device| device.kind == class.kind()).cloned().collect()
}

/// The stage that was chosen of those on offer.
///
/// # Errors
/// When it is none of them.
fn chosen_stage(offered: &[SelectableStage], wanted: &str) -> Result<Uuid, Reject> {
    let wanted = Uuid::parse_str(wanted).ok();
    let found = offered.iter().map(|stage| stage.pk).find(|pk| Some(*pk) == wanted);
    found.ok_or_else(|| Reject::Invalid(FieldErrors::one("selected_stage", "Selected stage is invalid")))
}

/// One challenge for each class the person has a device of.
async fn offers(
    cx: &mut StageCx<'_>,
    config: &AuthenticatorValidateStage,
    devices: &[DeviceRow],
) -> Result<Vec<DeviceChallenge>, Reject> {
    let mut offered: Vec<DeviceChallenge> = Vec::new();
    for class in &config.device_classes {
        let own = of_class(devices, *class);
        let (Some(first), Some(behaviour)) = (own.first(), classes::find(*class)) else { continue };
        if offered.iter().any(|o| o.device_class == *class) {
            continue;
        }
        let challenge = behaviour.offer(cx, config, &own).await?;
        offered.push(DeviceChallenge {
            device_class: *class,
            device_uid: first.pk.clone(),
            challenge,
            last_used: first.last_used,
        });
    }
    Ok(offered)
}

/// The offer to a person who has not said who they are; none when no class can do that.
async fn offer_anyone(
    cx: &mut StageCx<'_>,
    config: &AuthenticatorValidateStage,
) -> Result<Option<DeviceChallenge>, Reject> {
    let Some(class) = classes::find(DeviceClass::Webauthn) else { return Ok(None) };
    let challenge = class.offer_anyone(cx, config).await?;
    Ok(challenge.map(|challenge| DeviceChallenge {
        device_class: DeviceClass::Webauthn,
        device_uid: ANY_DEVICE.to_owned(),
        challenge,
        last_used: None,
    }))
}

/// The device of an offer that the person chose.
///
/// # Errors
/// When nothing of the kind was offered.
fn selected<'d>(cx: &StageCx<'_>, wanted: &Map, devices: &'d [DeviceRow]) -> Result<Option<&'d DeviceRow>, Reject> {
    let text = |map: &Value, field: &str| map.get(field).and_then(Value::as_str).map(str::to_owned);
    let wanted = Value::Object(wanted.clone());
    let (class, uid) = (text(&wanted, "device_class"), text(&wanted, "device_uid"));
    let offered = cx.context.get(keys::VALIDATE_CHALLENGES).unwrap_or_default();
    let was_offered = class.is_some()
        && uid.is_some()
        && offered.iter().any(|o| text(o, "device_class") == class && text(o, "device_uid") == uid);
    if !was_offered {
        return Err(Reject::Invalid(FieldErrors::one("selected_challenge", "invalid challenge selected")));
    }
    let kind = class.as_deref().and_then(DeviceKind::parse);
    Ok(devices.iter().find(|device| Some(device.kind) == kind && Some(&device.pk) == uid.as_ref()))
}

/// Judges whatever an answer proves with; none when it proves with nothing.
async fn judge(
    cx: &mut StageCx<'_>,
    config: &AuthenticatorValidateStage,
    devices: &[DeviceRow],
    response: &AuthenticatorValidationResponse,
) -> Result<Option<Verdict>, Reject> {
    if let Some(code) = response.typed_code() {
        return Ok(Some(code::judge(cx, config, devices, code).await?));
    }
    let own_fields = [
        (DeviceClass::Webauthn, response.webauthn.clone().map(Value::Object)),
        (DeviceClass::Duo, response.duo.map(Value::from)),
    ];
    for (class, answer) in own_fields {
        let Some(answer) = answer else { continue };
        let allowed = Some(class).filter(|class| config.device_classes.contains(class));
        return Ok(Some(match allowed.and_then(classes::find) {
            Some(behaviour) => behaviour.judge(cx, config, &of_class(devices, class), &answer).await?,
            None => {
                let errors = FieldErrors::one(class.word(), "No compatible device class allowed");
                Verdict::Refused(classes::Refusal { errors, failure: None })
            }
        }));
    }
    Ok(None)
}

/// The person is who they say: what later stages, the browser and the device learn from it.
async fn pass(
    cx: &mut StageCx<'_>,
    config: &AuthenticatorValidateStage,
    person: &Person,
    proof: Proof,
) -> Result<Outcome, Reject> {
    let now = cx.now();
    device::touch(&mut cx.unit.tx, &proof.device, now).await?;
    if let Some(owner) = proof.owner {
        cx.set_person(&owner);
        cx.context.set(keys::AUTH_METHOD, &"auth_webauthn_pwl".to_owned());
        let mut args = Map::from_iter([("device".to_owned(), proof.device.summary())]);
        args.extend(proof.args);
        cx.context.object_mut(keys::AUTH_METHOD_ARGS).extend(args);
        remember::remember(cx, config, &owner, &proof.device)?;
    } else {
        if !cx.context.has(keys::AUTH_METHOD) {
            cx.context.set(keys::AUTH_METHOD, &"auth_mfa".to_owned());
        }
        let args = cx.context.object_mut(keys::AUTH_METHOD_ARGS);
        match args.entry("mfa_devices").or_insert_with(|| json!([])) {
            Value::Array(proven) => proven.push(proof.device.summary()),
            other => *other = json!([proof.device.summary()]),
        }
        if let Some(account) = person.account() {
            remember::remember(cx, config, account, &proof.device)?;
        }
    }
    cx.context.remove(keys::VALIDATE_CHALLENGES);
    Ok(Outcome::Next)
}

fn refuse(cx: &mut StageCx<'_>, person: &Person, refusal: classes::Refusal) -> Reject {
    if let Some(details) = refusal.failure {
        let username = person.name().to_owned();
        let context = json!({"username": username, "auth_method_args": details, "stage": cx.stage_summary()});
        cx.event(action::LOGIN_FAILED, context);
        if !username.is_empty() {
            cx.effects.push(Effect::Reputation { identifier: username, change: -1 });
        }
    }
    Reject::Invalid(refusal.errors)
}

#[async_trait]
impl Stage for AuthenticatorValidate {
    const MODEL: &'static str = AuthenticatorValidateStage::MODEL;
    type Config = AuthenticatorValidateStage;
    type Challenge = AuthenticatorValidationChallenge;
    type Response = AuthenticatorValidationResponse;

    async fn view(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorValidateStage,
    ) -> Result<View<AuthenticatorValidationChallenge>, Reject> {
        let person = cx.person().await?;
        let mut challenge = AuthenticatorValidationChallenge::default();
        match task(cx, config, &person).await? {
            Task::Over(outcome) => return Ok(View::Done(outcome)),
            Task::Validate(devices) => challenge.device_challenges = offers(cx, config, &devices).await?,
            Task::Recognise => match offer_anyone(cx, config).await? {
                Some(offer) => challenge.device_challenges.push(offer),
                None => return Ok(View::Done(Outcome::Next)),
            },
            Task::Configure(stages) => {
                let keys: Vec<Uuid> = stages.iter().map(|stage| stage.pk).collect();
                cx.context.set(keys::VALIDATE_STAGES, &keys);
                challenge.configuration_stages = stages;
            }
        }
        let offered = challenge.device_challenges.iter();
        let offered: Vec<Value> =
            offered.map(|offer| json!({"device_class": offer.device_class, "device_uid": offer.device_uid})).collect();
        cx.context.set(keys::VALIDATE_CHALLENGES, &offered);
        Ok(View::Ask(challenge))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorValidateStage,
        response: AuthenticatorValidationResponse,
    ) -> Result<Outcome, Reject> {
        let person = cx.person().await?;
        let empty = || Reject::Invalid(FieldErrors::general("Empty response"));
        let devices = match task(cx, config, &person).await? {
            Task::Over(outcome) => return Ok(outcome),
            Task::Configure(stages) => {
                // Nothing here can prove anything: there is only a choice to make.
                return match (&response.selected_stage, response.typed_code()) {
                    (Some(wanted), _) => Ok(configure(cx, chosen_stage(&stages, wanted)?)),
                    (None, Some(_)) => Err(Reject::Invalid(FieldErrors::one("code", code::NO_CLASS))),
                    (None, None) => Err(empty()),
                };
            }
            Task::Recognise => Vec::new(),
            Task::Validate(devices) => devices,
        };
        if let Some(wanted) = response.selected_stage.as_deref().filter(|wanted| !wanted.is_empty()) {
            chosen_stage(&[], wanted)?;
        }
        let chosen = match &response.selected_challenge {
            Some(wanted) => selected(cx, wanted, &devices)?,
            None => None,
        };
        match judge(cx, config, &devices, &response).await? {
            Some(Verdict::Passed(proof)) => pass(cx, config, &person, proof).await,
            Some(Verdict::Refused(refusal)) => Err(refuse(cx, &person, refusal)),
            None => {
                if let Some(device) = chosen {
                    let class = config.device_classes.iter().find(|class| class.kind() == device.kind);
                    if let Some(class) = class.and_then(|class| classes::find(*class)) {
                        class.select(cx, config, device).await?;
                    }
                }
                Err(empty())
            }
        }
    }
}
