//! The kinds of devices.

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the contract's words")]
pub enum DeviceKind {
    Duo,
    Email,
    Endpoint,
    Sms,
    Static,
    Totp,
    WebAuthn,
}

impl DeviceKind {
    /// Every kind, in the order in which rows are locked.
    pub const ALL: [Self; 7] =
        [Self::Duo, Self::Email, Self::Endpoint, Self::Sms, Self::Static, Self::Totp, Self::WebAuthn];

    /// The word by which stages, policies and the API name the kind.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Duo => "duo",
            Self::Email => "email",
            Self::Endpoint => "endpoint",
            Self::Sms => "sms",
            Self::Static => "static",
            Self::Totp => "totp",
            Self::WebAuthn => "webauthn",
        }
    }

    /// The kind of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// `app_label.model`.
    pub const fn model(self) -> &'static str {
        match self {
            Self::Duo => "authentik_stages_authenticator_duo.duodevice",
            Self::Email => "authentik_stages_authenticator_email.emaildevice",
            Self::Endpoint => "authentik_stages_authenticator_endpoint_gdtc.endpointdevice",
            Self::Sms => "authentik_stages_authenticator_sms.smsdevice",
            Self::Static => "authentik_stages_authenticator_static.staticdevice",
            Self::Totp => "authentik_stages_authenticator_totp.totpdevice",
            Self::WebAuthn => "authentik_stages_authenticator_webauthn.webauthndevice",
        }
    }

    /// The `type` of lists over all kinds: the model with the case of a class.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Duo => "authentik_stages_authenticator_duo.DuoDevice",
            Self::Email => "authentik_stages_authenticator_email.EmailDevice",
            Self::Endpoint => "authentik_stages_authenticator_endpoint_gdtc.EndpointDevice",
            Self::Sms => "authentik_stages_authenticator_sms.SMSDevice",
            Self::Static => "authentik_stages_authenticator_static.StaticDevice",
            Self::Totp => "authentik_stages_authenticator_totp.TOTPDevice",
            Self::WebAuthn => "authentik_stages_authenticator_webauthn.WebAuthnDevice",
        }
    }

    /// Human name.
    pub const fn verbose_name(self) -> &'static str {
        match self {
            Self::Duo => "Duo Device",
            Self::Email => "Email Device",
            Self::Endpoint => "Endpoint Device",
            Self::Sms => "SMS Device",
            Self::Static => "Static Device",
            Self::Totp => "TOTP Device",
            Self::WebAuthn => "WebAuthn Device",
        }
    }

    /// Its table.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Duo => "identity_device_duo",
            Self::Email => "identity_device_email",
            Self::Endpoint => "identity_device_endpoint",
            Self::Sms => "identity_device_sms",
            Self::Static => "identity_device_static",
            Self::Totp => "identity_device_totp",
            Self::WebAuthn => "identity_device_webauthn",
        }
    }

    /// The column that says most about one device of the kind; see [`DeviceRow::detail`](super::DeviceRow::detail).
    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::Duo => "duo_user_id",
            Self::Email => "email",
            Self::Endpoint => "host_identifier",
            Self::Sms => "phone_number",
            Self::Static | Self::Totp => "''",
            Self::WebAuthn => "aaguid",
        }
    }

    /// The column of the model of authenticator.
    pub(super) const fn device_type(self) -> &'static str {
        match self {
            Self::WebAuthn => "device_type",
            _ => "CAST(NULL AS TEXT)",
        }
    }

    /// The column of the stage that alone reaches the device.
    pub(super) const fn stage(self) -> &'static str {
        match self {
            Self::Duo | Self::Email | Self::Endpoint | Self::Sms => "stage",
            Self::Static | Self::Totp | Self::WebAuthn => "CAST(NULL AS TEXT)",
        }
    }
}
