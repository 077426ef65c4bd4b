//! Every kind of stage: one folder each with definition (`config.rs`), wire types (`challenge.rs`), behaviour
//! (`stage.rs`), page and tests. A new kind is a folder and one line in each list below (docs/ADD-A-STAGE.md).

pub mod account_lockdown;
pub mod authenticator_duo;
pub mod authenticator_email;
pub mod authenticator_endpoint_gdtc;
pub mod authenticator_sms;
pub mod authenticator_static;
pub mod authenticator_totp;
pub mod authenticator_validate;
pub mod authenticator_webauthn;
pub mod captcha;
pub mod consent;
pub mod deny;
pub mod dummy;
pub mod email;
pub mod endpoints;
pub mod identification;
pub mod invitation;
pub mod mail_server;
pub mod mtls;
pub mod password;
pub mod prompt;
pub mod redirect;
mod remote;
pub mod set_up;
pub mod source;
pub mod user_delete;
pub mod user_login;
pub mod user_logout;
pub mod user_write;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use weir_core::ResourceType;
use weir_flow::{
    App, StageKinds, confirm::ConfirmLink, links::RedirectStep, setup::FinishSetup, sources::resume::ResumeStep,
};
use weir_http::{Route, flow::PageRoute};
use weir_resource::HookSet;

/// The definitions of all kinds.
pub fn resources() -> Vec<ResourceType> {
    let mut all = vec![
        ResourceType::of::<account_lockdown::AccountLockdownStage>(),
        ResourceType::of::<authenticator_duo::AuthenticatorDuoStage>(),
        ResourceType::of::<authenticator_email::AuthenticatorEmailStage>(),
        ResourceType::of::<authenticator_endpoint_gdtc::AuthenticatorEndpointGdtcStage>(),
        ResourceType::of::<authenticator_sms::AuthenticatorSmsStage>(),
        ResourceType::of::<authenticator_static::AuthenticatorStaticStage>(),
        ResourceType::of::<authenticator_totp::AuthenticatorTotpStage>(),
        ResourceType::of::<authenticator_validate::AuthenticatorValidateStage>(),
        ResourceType::of::<authenticator_webauthn::AuthenticatorWebAuthnStage>(),
        ResourceType::of::<authenticator_webauthn::WebAuthnDeviceType>(),
        ResourceType::of::<captcha::CaptchaStage>(),
        ResourceType::of::<consent::ConsentStage>(),
        ResourceType::of::<deny::DenyStage>(),
        ResourceType::of::<dummy::DummyStage>(),
        ResourceType::of::<email::EmailStage>(),
        ResourceType::of::<endpoints::EndpointStage>(),
        ResourceType::of::<identification::IdentificationStage>(),
        ResourceType::of::<invitation::Invitation>(),
        ResourceType::of::<invitation::InvitationStage>(),
        ResourceType::of::<mtls::MutualTLSStage>(),
        ResourceType::of::<password::PasswordStage>(),
        ResourceType::of::<prompt::Prompt>(),
        ResourceType::of::<prompt::PromptStage>(),
        ResourceType::of::<redirect::RedirectStage>(),
        ResourceType::of::<source::SourceStage>(),
        ResourceType::of::<user_delete::UserDeleteStage>(),
        ResourceType::of::<user_login::UserLoginStage>(),
        ResourceType::of::<user_logout::UserLogoutStage>(),
        ResourceType::of::<user_write::UserWriteStage>(),
    ];
    all.extend(endpoints::resources());
    all
}

/// Special behaviour of their resources; that of the source stage needs to know the kinds of sources
/// ([`source::hooks`]).
pub fn hooks(set: &mut HookSet) {
    authenticator_webauthn::hooks(set);
    endpoints::hooks(set);
    invitation::hooks(set);
    prompt::hooks(set);
    user_write::hooks(set);
}

/// Operations beyond those that follow from the definitions.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let all = [
        account_lockdown::routes(engine),
        authenticator_duo::routes(engine),
        email::routes(engine),
        endpoints::routes(engine),
        invitation::routes(engine),
        prompt::routes(engine),
    ];
    all.into_iter().flatten().collect()
}

/// Pages at addresses of their own.
pub fn page_routes() -> Vec<PageRoute> {
    let mut pages = authenticator_endpoint_gdtc::pages();
    pages.extend(endpoints::pages());
    pages
}

/// The behaviour of all kinds.
pub fn kinds() -> StageKinds {
    StageKinds::default()
        .with(RedirectStep)
        .with(ConfirmLink)
        .with(FinishSetup)
        .with(account_lockdown::AccountLockdown)
        .with(authenticator_duo::AuthenticatorDuo)
        .with(authenticator_email::AuthenticatorEmail)
        .with(authenticator_endpoint_gdtc::AuthenticatorEndpointGdtc)
        .with(authenticator_sms::AuthenticatorSms)
        .with(authenticator_static::AuthenticatorStatic)
        .with(authenticator_totp::AuthenticatorTotp)
        .with(authenticator_validate::AuthenticatorValidate)
        .with(authenticator_webauthn::AuthenticatorWebAuthn)
        .with(captcha::Captcha)
        .with(ResumeStep)
        .with(consent::Consent)
        .with(deny::Deny)
        .with(dummy::Dummy)
        .with(email::Email)
        .with(endpoints::AgentStep)
        .with(endpoints::ChromeStep)
        .with(endpoints::Endpoints)
        .with(identification::Identification)
        .with(invitation::Invite)
        .with(mtls::MutualTls)
        .with(password::Password)
        .with(prompt::Ask)
        .with(redirect::Redirect)
        .with(source::SourceWait)
        .with(user_delete::UserDelete)
        .with(user_login::UserLogin)
        .with(user_logout::UserLogout)
        .with(user_write::UserWrite)
}

/// Page templates by component.
pub fn pages() -> Vec<(&'static str, &'static str)> {
    vec![
        ("ak-stage-authenticator-duo", include_str!("authenticator_duo/page.html")),
        ("ak-stage-authenticator-sms", include_str!("authenticator_sms/page.html")),
        ("ak-stage-authenticator-static", include_str!("authenticator_static/page.html")),
        ("ak-stage-authenticator-totp", include_str!("authenticator_totp/page.html")),
        ("ak-stage-authenticator-email", include_str!("authenticator_email/page.html")),
        ("ak-stage-authenticator-validate", include_str!("authenticator_validate/page.html")),
        ("ak-stage-authenticator-webauthn", include_str!("authenticator_webauthn/page.html")),
        ("ak-stage-captcha", include_str!("captcha/page.html")),
        ("ak-stage-consent", include_str!("consent/page.html")),
        ("ak-stage-dummy", include_str!("dummy/page.html")),
        ("ak-stage-email", include_str!("email/page.html")),
        ("ak-stage-endpoint-agent", include_str!("endpoints/page.html")),
        ("ak-stage-identification", include_str!("identification/page.html")),
        ("ak-stage-password", include_str!("password/page.html")),
        ("ak-stage-prompt", include_str!("prompt/page.html")),
        ("ak-stage-user-login", include_str!("user_login/page.html")),
    ]
}
