//! Every key of the plan context: one line each, with producer and readers.
//! Keys that expressions can see are part of the public interface and change only with a deprecation.

use crate::{
    context::{Key, PlanContext},
    sources::resume::Waiting,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::Map;

/// The person a flow is about. Never a copied row: a known user is read again on every request.
#[derive(Clone, Debug, PartialEq)]
pub enum PendingUser {
    /// An account.
    Known(i64),
    /// A name nobody has, kept so that policies see it and later stages pretend.
    Claimed {
        /// What was typed.
        identifier: String,
    },
}

// The form is a small object, so that expressions and the inspector see `pending_user.username`; for known users the
// executor completes it from the row before anybody reads it.
impl Serialize for PendingUser {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(pk) => json!({"pk": pk}).serialize(s),
            Self::Claimed { identifier } => {
                json!({"pk": null, "username": identifier, "email": identifier}).serialize(s)
            }
        }
    }
}
impl<'de> Deserialize<'de> for PendingUser {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(d)?;
        let pk = value.get("pk").and_then(Value::as_i64).or_else(|| value.as_i64());
        match (pk, value.get("username").and_then(Value::as_str)) {
            (Some(pk), _) => Ok(Self::Known(pk)),
            (None, Some(name)) => Ok(Self::Claimed { identifier: name.to_owned() }),
            _ => Err(serde::de::Error::custom("no user")),
        }
    }
}

/// The link that a plan came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Key of its token.
    pub token: Uuid,
    /// The user it was made for.
    pub user: i64,
}

/// That somebody came by a mailed link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailProof {
    /// The user it was made for.
    pub user: i64,
    /// The step that sent it; none when it did not come from a step of the flow.
    pub step: Option<Uuid>,
}

/// identification, password, user_write, recovery link, execute, configure → nearly all stages, policies, title.
pub const PENDING_USER: Key<PendingUser> = Key::new("pending_user");
/// identification (matched user hidden), login hint → display, identification.
pub const PENDING_USER_IDENTIFIER: Key<String> = Key::new("pending_user_identifier");
/// password, user_write → user_login, policies.
pub const USER_BACKEND: Key<String> = Key::new("user_backend");
/// password back ends, other proofs → login event, policies.
pub const AUTH_METHOD: Key<String> = Key::new("auth_method");
/// as above.
pub const AUTH_METHOD_ARGS: Key<Map> = Key::new("auth_method_args");
/// prompt, invitation, sources → prompt, user_write, policies.
pub const PROMPT_DATA: Key<Map> = Key::new("prompt_data");
/// prompt → itself, expressions, masks: which kind of prompt gave each entry of `prompt_data`.
pub const PROMPT_KINDS: Key<Map> = Key::new(weir_policy::expression::PROMPT_KINDS);
/// source log-in → `ak_is_sso_flow`.
pub const IS_SSO: Key<bool> = Key::new("is_sso");
/// expressions, providers → end of flow; absolute addresses allowed.
pub const REDIRECT: Key<String> = Key::new("redirect");
/// expressions → redirect stage.
pub const REDIRECT_STAGE_TARGET: Key<String> = Key::new("redirect_stage_target");
/// expressions → deny stage.
pub const DENY_MESSAGE: Key<String> = Key::new("deny_message");
/// providers → title, consent, identification.
pub const APPLICATION: Key<Value> = Key::new("application");
/// `/core/users/switch/` → policies: somebody signed in signs in to one more account.
pub const USER_SWITCH_ADD_USER: Key<bool> = Key::new("user_switch_add_user");
/// `/core/users/switch/` → policies: whose session asks to change to another account's.
pub const USER_SWITCH_FROM_USER: Key<Value> = Key::new("user_switch_from_user");
/// `/core/users/switch/` → log-in stage: the session to change to.
pub const USER_SWITCH_TARGET_SESSION: Key<Uuid> = Key::new("user_switch_target_session");
/// source log-in → login event, user_write.
pub const SOURCE: Key<Value> = Key::new("source");
/// endpoint stage → identification, login event.
pub const DEVICE: Key<Value> = Key::new("device");
/// agent's interactive sign-in → endpoints stage, identification.
pub const DEVICE_AUTH_TOKEN: Key<Value> = Key::new("goauthentik.io/endpoints/device_auth_token");
/// endpoints stage → endpoints stage: the challenge that waits for the agent's answer.
pub const AGENT_CHALLENGE: Key<String> = Key::new("goauthentik.io/endpoints/connectors/agent/challenge");
/// mtls → policies.
pub const CERTIFICATE: Key<Value> = Key::new("certificate");
/// planner → policies, login event.
pub const OUTPOST: Key<Value> = Key::new("outpost");
/// executor (flow token) → `require_token`, email, source.
pub const IS_RESTORED: Key<String> = Key::new("is_restored");
/// executor (flow token) → email, confirmation of a link: whose link it was.
pub const RESTORED: Key<Restored> = Key::new("weir/flow/restored");
/// confirmation of a link → email: whose address was confirmed, and for which step.
pub const EMAIL_PROOF: Key<EmailProof> = Key::new("weir/stages/email/proof");
/// authenticator_email → itself: address and code that is on its way, per stage.
pub const EMAIL_DEVICES: Key<Map> = Key::new("goauthentik.io/stages/authenticator_email/email_device");
/// invitation → policies.
pub const INVITATION_IN_EFFECT: Key<bool> = Key::new("invitation_in_effect");
/// invitation → policies.
pub const INVITATION: Key<Value> = Key::new("invitation");
/// invitation → prompt: answers given in advance, which win over those of the person.
pub const INVITATION_FIXED: Key<Map> = Key::new("weir/stages/invitation/fixed");
/// invitation → user_write: who invited, and their security epoch then.
pub const INVITATION_BY: Key<(i64, i64)> = Key::new("weir/stages/invitation/by");
/// expressions → email: another address than the account's.
pub const EMAIL: Key<String> = Key::new("email");
/// email → policies: a mail is on its way.
pub const EMAIL_SENT: Key<bool> = Key::new("email_sent");
/// email → itself: the step that sent, so that looking at the page again does not.
pub const EMAIL_STEP: Key<Uuid> = Key::new("weir/stages/email/step");
/// email → itself: name of its link, which stays the same when it is sent again.
pub const EMAIL_LINK: Key<String> = Key::new("weir/stages/email/link");
/// redirect stage → `require_redirect`.
pub const IS_REDIRECTED: Key<Uuid> = Key::new("is_redirected");
/// first-run view → initial-setup policy.
pub const SETUP_STARTED_BY: Key<String> = Key::new("goauthentik.io/core/setup/started-by");
/// providers, email → consent.
pub const CONSENT_HEADER: Key<String> = Key::new("consent_header");
/// providers → consent.
pub const CONSENT_PERMISSIONS: Key<Vec<Value>> = Key::new("consent_permissions");
/// providers → consent.
pub const CONSENT_ADDITIONAL_PERMISSIONS: Key<Vec<Value>> = Key::new("consent_additional_permissions");
/// consent → consent.
pub const CONSENT_TOKEN: Key<String> = Key::new("goauthentik.io/stages/consent/token");
/// captcha, identification → policies: the provider's answer and the stage.
pub const CAPTCHA: Key<Value> = Key::new("captcha");
/// expressions → captcha, identification.
pub const CAPTCHA_SITE_KEY: Key<String> = Key::new("goauthentik.io/stages/captcha/site_key");
/// expressions → captcha, identification.
pub const CAPTCHA_PRIVATE_KEY: Key<String> = Key::new("goauthentik.io/stages/captcha/private_key");
/// captcha, identification → the same: tasks of our own proof of work, by stage.
pub const CAPTCHA_TASKS: Key<Map> = Key::new("weir/stages/captcha/tasks");
/// password → password: wrong answers so far, per stage.
pub const PASSWORD_ATTEMPTS: Key<Map> = Key::new("weir/stages/password/attempts");
/// authenticator_totp → itself: the secret on the page, base32, per stage.
pub const TOTP_SECRETS: Key<Map> = Key::new("weir/stages/authenticator_totp/secrets");
/// authenticator_static → itself: the codes on the page, per stage.
pub const STATIC_CODES: Key<Map> = Key::new("weir/stages/authenticator_static/codes");
/// authenticator_endpoint_gdtc → itself: a challenge is on its way to the browser.
pub const GDTC_CHALLENGE: Key<Value> = Key::new("weir/stages/authenticator_endpoint_gdtc/challenge");
/// authenticator_endpoint_gdtc → itself: Google vouched for the browser.
pub const GDTC_PROOF: Key<Value> = Key::new("weir/stages/authenticator_endpoint_gdtc/proof");
/// authenticator_duo → itself, its enrollment_status: the account that waits to be opened.
pub const DUO_ENROLMENT: Key<Value> = Key::new("goauthentik.io/stages/authenticator_duo/enroll");
/// authenticator_validate → itself: the question on a person's telephone.
pub const DUO_PUSH: Key<Value> = Key::new("weir/stages/authenticator_validate/duo_push");
/// authenticator_sms → itself: the number being set up, and what is kept of its code.
pub const SMS_DEVICE: Key<Value> = Key::new("goauthentik.io/stages/authenticator_sms/sms_device");
/// authenticator_validate → itself: what was offered last.
pub const VALIDATE_CHALLENGES: Key<Vec<Value>> =
    Key::new("goauthentik.io/stages/authenticator_validate/device_challenges");
/// authenticator_validate → itself: stages on offer to set a device up.
pub const VALIDATE_STAGES: Key<Vec<Uuid>> = Key::new("goauthentik.io/stages/authenticator_validate/stages");
/// authenticator_validate → policies: the stage chosen among them.
pub const VALIDATE_SELECTED_STAGE: Key<Uuid> = Key::new("goauthentik.io/stages/authenticator_validate/selected_stage");
/// authenticator_webauthn, authenticator_validate, identification → the same: the challenge on the page, base64url.
pub const WEBAUTHN_CHALLENGE: Key<String> = Key::new("goauthentik.io/stages/authenticator_webauthn/challenge");
/// authenticator_webauthn → itself: refused answers so far.
pub const WEBAUTHN_ATTEMPTS: Key<i64> = Key::new("goauthentik.io/stages/authenticator_webauthn/attempt");
/// expressions, source flows → user_write.
pub const GROUPS: Key<Vec<Value>> = Key::new("groups");
/// expressions, source flows → user_write.
pub const USER_TYPE: Key<String> = Key::new("user_type");
/// expressions, source flows → user_write.
pub const USER_PATH: Key<String> = Key::new("user_path");
/// expressions → account_lockdown: why, where no prompt asked.
pub const LOCKDOWN_REASON: Key<String> = Key::new("lockdown_reason");
/// source flows → user_write.
pub const SOURCES_CONNECTION: Key<Value> = Key::new("goauthentik.io/sources/connection");
/// OAuth source log-in → policies: what the other side told about the person.
pub const OAUTH_USERINFO: Key<Map> = Key::new("oauth_userinfo");
/// source stage → source log-in, source stage: the plan that was put aside.
pub const SOURCE_WAITING: Key<Waiting> = Key::new("weir/stages/source/waiting");
/// source log-in → policies: why nobody was matched, as `{reason, property, source_slug}`.
pub const SOURCE_MATCH_FAILURE: Key<Value> = Key::new("goauthentik.io/sources/match_failure");

/// Keys whose values the inspector never shows.
pub const SECRET: &[&str] = &[
    CAPTCHA_PRIVATE_KEY.name,
    CONSENT_TOKEN.name,
    DUO_ENROLMENT.name,
    EMAIL_DEVICES.name,
    SMS_DEVICE.name,
    STATIC_CODES.name,
    TOTP_SECRETS.name,
];

/// The person a flow is about, if known or claimed.
pub fn pending_user(context: &PlanContext) -> Option<PendingUser> {
    context.get(PENDING_USER)
}
