//! Challenges of every kind, for the tests and the gallery.

use serde_json::Value;

use super::{BrandView, FlowPage, FooterLink, Level, Locale, Notice, PageView};

/// A challenge with a name of its own.
#[derive(Debug)]
pub struct Sample {
    /// Unique, fit for a file name.
    pub name: String,
    /// The challenge.
    pub challenge: Value,
    /// The refused answer before it.
    pub answer: Option<Value>,
}

/// The pages of the stage kinds, as the stage crate registers them.
pub const STAGE_TEMPLATES: &[(&str, &str)] = &[
    ("ak-stage-authenticator-static", include_str!("../../weir-stages/src/authenticator_static/page.html")),
    ("ak-stage-authenticator-totp", include_str!("../../weir-stages/src/authenticator_totp/page.html")),
    ("ak-stage-authenticator-validate", include_str!("../../weir-stages/src/authenticator_validate/page.html")),
    ("ak-stage-authenticator-webauthn", include_str!("../../weir-stages/src/authenticator_webauthn/page.html")),
    ("ak-stage-identification", include_str!("../../weir-stages/src/identification/page.html")),
    ("ak-stage-password", include_str!("../../weir-stages/src/password/page.html")),
    ("ak-stage-prompt", include_str!("../../weir-stages/src/prompt/page.html")),
    ("ak-stage-user-login", include_str!("../../weir-stages/src/user_login/page.html")),
    ("ak-stage-consent", include_str!("../../weir-stages/src/consent/page.html")),
    ("ak-stage-authenticator-duo", include_str!("../../weir-stages/src/authenticator_duo/page.html")),
    ("ak-stage-authenticator-sms", include_str!("../../weir-stages/src/authenticator_sms/page.html")),
    ("ak-stage-captcha", include_str!("../../weir-stages/src/captcha/page.html")),
    ("ak-stage-authenticator-email", include_str!("../../weir-stages/src/authenticator_email/page.html")),
    ("ak-stage-email", include_str!("../../weir-stages/src/email/page.html")),
    ("ak-stage-dummy", include_str!("../../weir-stages/src/dummy/page.html")),
    ("ak-stage-endpoint-agent", include_str!("../../weir-stages/src/endpoints/page.html")),
];

/// Every sample.
pub fn samples() -> Vec<Sample> {
    let list: Vec<Value> = serde_json::from_str(include_str!("../samples/challenges.json")).unwrap_or_default();
    list.into_iter()
        .map(|mut sample| Sample {
            name: sample.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            challenge: sample.get_mut("challenge").map(Value::take).unwrap_or_default(),
            answer: sample.get_mut("answer").map(Value::take).filter(|answer| !answer.is_null()),
        })
        .collect()
}

/// A brand with everything set.
pub fn brand(theme: &str) -> BrandView {
    BrandView {
        title: "Weir".to_owned(),
        logo: "/static/dist/assets/icons/icon_left_brand.svg".to_owned(),
        favicon: "/static/dist/assets/icons/icon.png".to_owned(),
        custom_css: ".weir-custom { color: inherit }".to_owned(),
        footer_links: vec![
            FooterLink { name: "Imprint".to_owned(), href: Some("https://example.com/imprint".to_owned()) },
            FooterLink { name: "Example Works".to_owned(), href: None },
        ],
        theme: theme.to_owned(),
    }
}

/// Notices of two levels.
pub fn notices() -> Vec<Notice> {
    vec![
        Notice { level: Level::Info, text: "Maintenance starts at 22:00.".to_owned() },
        Notice { level: Level::Warning, text: "This network is new for you.".to_owned() },
    ]
}

/// What every sample page has.
pub fn page_view<'a>(brand: &'a BrandView, locale: &'static Locale) -> PageView<'a> {
    PageView {
        brand,
        locale,
        nonce: "c2FtcGxl",
        request_id: "4f0c2e6b8d7a41c5a3f9d1e2b3c4d5e6",
        prefix: "",
        notices: &[],
    }
}

/// The page of a sample.
pub fn flow_page<'a>(sample: &'a Sample, brand: &'a BrandView, locale: &'static Locale) -> FlowPage<'a> {
    FlowPage {
        view: page_view(brand, locale),
        challenge: &sample.challenge,
        answer: sample.answer.as_ref(),
        slug: "sample",
        title: "Welcome to authentik!",
        layout: "stacked",
        background: "",
        form_action: "/if/flow/sample/?next=%2Fif%2Fuser%2F",
        csrf_token: "csrf-token-1",
        hidden: &[("weir:query", "next=%2Fif%2Fuser%2F")],
    }
}
