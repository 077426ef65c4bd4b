//! The blueprints that come with the program.

#[cfg(test)]
mod tests;

macro_rules! shipped {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../blueprints/", $path)))),*]
    };
}

/// Path and text, in the order in which they are to be applied: bootstrap first, then flows before what names them.
pub const FILES: &[(&str, &str)] = shipped![
    "system/bootstrap.yaml",
    "system/providers-google-workspace.yaml",
    "system/providers-microsoft-entra.yaml",
    "system/providers-scim.yaml",
    "default/flow-password-change.yaml",
    "default/flow-default-authentication-flow.yaml",
    "default/flow-default-authenticator-static-setup.yaml",
    "default/flow-default-authenticator-totp-setup.yaml",
    "default/flow-default-authenticator-webauthn-setup.yaml",
    "default/flow-default-invalidation-flow.yaml",
    "default/flow-default-provider-authorization-explicit-consent.yaml",
    "default/flow-default-provider-authorization-implicit-consent.yaml",
    "default/flow-default-provider-invalidation.yaml",
    "default/flow-default-request.yaml",
    "default/flow-default-source-authentication.yaml",
    "default/flow-default-source-enrollment.yaml",
    "default/flow-default-source-pre-authentication.yaml",
    "default/flow-default-user-settings-flow.yaml",
    "default/flow-oobe.yaml",
    "default/default-brand.yaml",
    "default/events-default.yaml",
    "default/rbac-role-read-only.yaml",
    "example/flow-default-account-lockdown.yaml",
    "example/flow-authenticator-email-setup.yaml",
    "example/flow-authenticator-sms-setup.yaml",
    "example/flow-enrollment-email.yaml",
    "example/flow-enrollment-invitation.yaml",
    "example/flow-login-link.yaml",
    "example/flow-login-lockout.yaml",
    "example/flow-login-passkey.yaml",
    "example/flow-login-two-factor.yaml",
    "example/flow-recovery-email.yaml",
    "example/flow-unenrollment.yaml",
];

/// The text of a shipped blueprint.
pub fn find(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(shipped, _)| *shipped == path).map(|(_, text)| *text)
}

/// Whether this content is exactly a shipped one; such files may be replaced by an update.
pub fn is_shipped(path: &str, text: &str) -> bool {
    find(path) == Some(text)
}
