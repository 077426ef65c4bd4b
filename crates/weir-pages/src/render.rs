//! The templates and how data reaches them.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Kwargs, Object, Serde, Value as Jinja, from_args};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, context, escape_formatter,
};
use serde_json::Value;

use crate::assets::find_asset;
use crate::challenge::{field_id, problems, prompts, uid_label};
use crate::code_image::{otp_key, qr_code};
use crate::form::{COMPONENT_FIELD, CSRF_FIELD, is_multipart};
use crate::locale::Locale;
use crate::page::{Action, FlowPage, LandingPage, Message, MessagePage, PageView};
use crate::rich::safe_markup;
use crate::text_at;
use crate::urls::{image_url, link_url, query_value, redirect_url, style_text};

/// Our own background: drawn by the style sheet, so that it follows light and dark.
const DEFAULT_BACKGROUND: &str = "/static/dist/assets/images/flow_background.jpg";

/// Parts and pages of this crate. A page of a challenge is named after its component.
const TEMPLATES: &[(&str, &str)] = &[
    ("layout.html", include_str!("../templates/layout.html")),
    ("ui.html", include_str!("../templates/ui.html")),
    ("flow.html", include_str!("../templates/flow.html")),
    ("unknown.html", include_str!("../templates/unknown.html")),
    ("landing.html", include_str!("../templates/landing.html")),
    ("message.html", include_str!("../templates/message.html")),
    ("xak-flow-redirect.html", include_str!("../templates/xak-flow-redirect.html")),
    ("xak-flow-shell.html", include_str!("../templates/xak-flow-shell.html")),
    ("xak-flow-frame.html", include_str!("../templates/xak-flow-frame.html")),
    ("ak-provider-iframe-logout.html", include_str!("../templates/ak-provider-iframe-logout.html")),
    ("ak-provider-oauth2-device-code.html", include_str!("../templates/ak-provider-oauth2-device-code.html")),
    (
        "ak-provider-oauth2-device-code-finish.html",
        include_str!("../templates/ak-provider-oauth2-device-code-finish.html"),
    ),
    ("ak-provider-saml-native-logout.html", include_str!("../templates/ak-provider-saml-native-logout.html")),
    ("ak-source-oauth-apple.html", include_str!("../templates/ak-source-oauth-apple.html")),
    ("ak-source-plex.html", include_str!("../templates/ak-source-plex.html")),
    ("ak-source-telegram.html", include_str!("../templates/ak-source-telegram.html")),
    ("ak-stage-autosubmit.html", include_str!("../templates/ak-stage-autosubmit.html")),
    ("ak-stage-access-denied.html", include_str!("../templates/ak-stage-access-denied.html")),
    ("ak-stage-flow-error.html", include_str!("../templates/ak-stage-flow-error.html")),
    ("ak-stage-session-end.html", include_str!("../templates/ak-stage-session-end.html")),
];

/// A template that cannot be read or rendered. Names the template, never the data.
#[derive(Debug, thiserror::Error)]
#[error("page template {template}: {source}")]
pub struct PageError {
    template: String,
    source: Error,
}

/// All page templates, compiled.
#[derive(Debug)]
pub struct Pages {
    env: Environment<'static>,
}

impl Pages {
    /// Compiles our templates and the stages' (component, template text).
    pub fn new(stage_templates: &[(&'static str, &'static str)]) -> Result<Self, PageError> {
        let mut env = Environment::new();
        env.set_auto_escape_callback(|_| AutoEscape::Html);
        // Debug errors list the variables they met; ours can hold secrets.
        env.set_debug(false);
        env.set_formatter(write_value);
        env.set_undefined_behavior(UndefinedBehavior::Chainable);
        env.add_filter("link_url", |url: &Jinja| link_url(text_of(url)));
        env.add_filter("redirect_url", |url: &Jinja| redirect_url(text_of(url)));
        env.add_filter("image_url", |url: &Jinja| image_url(text_of(url)));
        env.add_filter("query_value", |text: &Jinja| query_value(text_of(text)));
        env.add_filter("style_text", |css: &Jinja| Jinja::from_safe_string(style_text(text_of(css))));
        env.add_filter("safe_markup", |text: &Jinja| Jinja::from_safe_string(safe_markup(text_of(text))));
        env.add_filter("qr_code", |text: &Jinja| Jinja::from_safe_string(qr_code(text_of(text))));
        env.add_filter("otp_key", |address: &Jinja| otp_key(text_of(address)));
        env.add_filter("field_id", |key: &Jinja| field_id(text_of(key)));
        env.add_filter("compact_json", compact_json);
        env.add_function("asset", asset_url);
        for (name, text) in TEMPLATES {
            env.add_template(name, text).map_err(|source| PageError { template: (*name).to_owned(), source })?;
        }
        for (component, text) in stage_templates {
            let template = format!("{component}.html");
            env.add_template_owned(template.clone(), *text).map_err(|source| PageError { template, source })?;
        }
        Ok(Self { env })
    }

    /// Whether there is a page for a component.
    pub fn knows(&self, component: &str) -> bool {
        is_component(component) && self.env.get_template(&format!("{component}.html")).is_ok()
    }

    /// One step of a flow. An unknown component gets a page that says so.
    pub fn render_flow(&self, page: &FlowPage<'_>) -> Result<String, PageError> {
        let component = page.component();
        let template = if self.knows(component) { format!("{component}.html") } else { "unknown.html".to_owned() };
        let locale = page.view.locale;
        let uid_label = uid_label(page.challenge, locale);
        let errors = problems(page.challenge, locale, &uid_label);
        let field_errors: BTreeMap<&str, &[String]> =
            errors.iter().map(|problem| (problem.field.as_str(), problem.messages.as_slice())).collect();
        let own = context! {
            component,
            challenge => Serde(page.challenge),
            answer => page.answer.map(Serde),
            slug => page.slug,
            title => page.title(),
            cancel_url => text_at(page.challenge, "/flow_info/cancel_url"),
            layout => page.layout(),
            background => background(page),
            form => context! {
                action => page.form_action,
                multipart => is_multipart(page.challenge),
                hidden => hidden_fields(page),
            },
            query => Serde(page.query()),
            uid_label,
            prompts => Serde(prompts(page.challenge, page.answer)),
            focus => errors.iter().find_map(|problem| problem.id.as_deref()),
            general_error => errors.iter().any(|problem| problem.id.is_none()),
            field_errors => Serde(&field_errors),
            errors => Serde(&errors),
            languages => Locale::all().iter().map(|l| context! { tag => &l.tag, name => &l.name }).collect::<Vec<_>>(),
        };
        self.render(&template, &page.view, own)
    }

    /// The page of somebody signed in.
    pub fn render_landing(&self, page: &LandingPage<'_>) -> Result<String, PageError> {
        let own = context! {
            layout => "stacked",
            wide => true,
            user => Serde(page.user),
            sessions => Serde(page.sessions),
            change_password_url => page.change_password_url,
            settings_url => page.settings_url,
            sign_out_url => page.sign_out_url,
            admin_url => page.admin_url,
        };
        self.render("landing.html", &page.view, own)
    }

    /// A page that only says something.
    pub fn render_message(&self, page: &MessagePage<'_>) -> Result<String, PageError> {
        let locale = page.view.locale;
        let by_key = |key: &str| {
            (locale.text(&format!("{key}.title")).to_owned(), locale.text(&format!("{key}.text")).to_owned())
        };
        let said =
            |title: &str, text: &str| (locale.server_text(title).into_owned(), locale.server_text(text).into_owned());
        let (title, text) = match page.message {
            Message::Status(status) => by_key(&status_key(status)),
            Message::SetupPending => by_key("message.setup_pending"),
            Message::SetupLink => by_key("message.setup_link"),
            Message::InternalOnly => by_key("message.internal_only"),
            Message::FrameDone => by_key("message.frame_done"),
            Message::FrameRefused(text) => said("Access denied", text),
            Message::Own { title, text } => said(title, text),
        };
        let trouble = matches!(page.message, Message::Status(_));
        let frame_done = page.message == Message::FrameDone;
        // Nobody is to go anywhere inside a frame.
        let in_frame = frame_done || matches!(page.message, Message::FrameRefused(_));
        let actions: &[Action<'_>] = if in_frame { &[] } else { page.actions };
        let own = context! { layout => "stacked", title, text, trouble, frame_done, actions => Serde(actions) };
        self.render("message.html", &page.view, own)
    }

    fn render(&self, name: &str, view: &PageView<'_>, own: Jinja) -> Result<String, PageError> {
        let fail = |source| PageError { template: name.to_owned(), source };
        let shared = context! {
            brand => Serde(view.brand),
            theme => if matches!(view.brand.theme.as_str(), "light" | "dark") { &view.brand.theme } else { "automatic" },
            locale => context! { tag => &view.locale.tag, dir => view.locale.direction.as_str() },
            nonce => view.nonce,
            request_id => view.request_id,
            prefix => view.prefix,
            notices => Serde(view.notices),
            t => Jinja::from_object(Texts(view.locale)),
            server_text => Jinja::from_object(ServerTexts(view.locale)),
        };
        let template = self.env.get_template(name).map_err(fail)?;
        template.render(context! { ..own, ..shared }).map_err(fail)
    }
}

/// Escapes text for elements and quoted attributes. The slash, which the usual formatter escapes as well, is harmless
/// in both and stands in every address.
fn write_value(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Jinja) -> Result<(), Error> {
    let Some(text) = value.as_str().filter(|_| !value.is_safe()) else { return escape_formatter(out, state, value) };
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        let (before, from) = rest.split_at(at);
        out.write_str(before)?;
        out.write_str(match from.as_bytes().first() {
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            Some(b'"') => "&quot;",
            _ => "&#39;",
        })?;
        rest = from.get(1..).unwrap_or_default();
    }
    Ok(out.write_str(rest)?)
}

/// A component becomes part of a template's name.
fn is_component(component: &str) -> bool {
    let prefixed = ["ak-", "xak-"].iter().any(|prefix| component.starts_with(prefix));
    prefixed && component.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Filters are asked about fields that may be missing or of another type; both are as good as empty.
fn text_of(value: &Jinja) -> &str {
    value.as_str().unwrap_or_default()
}

fn hidden_fields(page: &FlowPage<'_>) -> Vec<Jinja> {
    let ours = [(CSRF_FIELD, page.csrf_token), (COMPONENT_FIELD, page.component())];
    ours.iter().chain(page.hidden).map(|(name, value)| context! { name => *name, value => *value }).collect()
}

/// What stands behind the card: our own drawing, a picture (for each theme) or a framed page.
fn background(page: &FlowPage<'_>) -> Jinja {
    let src = image_url(page.background());
    if src.is_empty() || src.strip_prefix(page.view.prefix).unwrap_or(&src).starts_with(DEFAULT_BACKGROUND) {
        return context! { kind => "own" };
    }
    if page.layout().ends_with("_frame_background") {
        return context! { kind => "frame", src => link_url(&src) };
    }
    let themed = |theme: &str| {
        let url = image_url(text_at(page.challenge, &format!("/flow_info/background_themed_urls/{theme}")));
        if url.is_empty() { src.clone() } else { url }
    };
    let (light, dark) = (themed("light"), themed("dark"));
    match page.view.brand.theme.as_str() {
        "light" => context! { kind => "picture", src => light },
        "dark" => context! { kind => "picture", src => dark },
        _ if light != dark => context! { kind => "picture", src => light, dark },
        _ => context! { kind => "picture", src => light },
    }
}

fn status_key(status: u16) -> String {
    let own = format!("message.{status}");
    if Locale::has(&format!("{own}.title")) {
        own
    } else if status >= 500 {
        "message.500".to_owned()
    } else {
        "message.400".to_owned()
    }
}

fn asset_url(state: &State<'_, '_>, name: &str) -> Result<String, Error> {
    let path = format!("/static/dist/{name}");
    let asset = find_asset(&path).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("no asset {path}")))?;
    let prefix = state.lookup("prefix").unwrap_or_default();
    Ok(format!("{}{}", text_of(&prefix), asset.versioned()))
}

/// JSON as plain text: safe in an attribute because it is escaped like any other text.
fn compact_json(value: &Jinja) -> Result<String, Error> {
    let text = serde_json::to_value(value).map(|value: Value| value.to_string());
    text.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// `t("key", name=value)`: a text of the visitor's language.
#[derive(Debug)]
struct Texts(&'static Locale);

impl Object for Texts {
    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Jinja]) -> Result<Jinja, Error> {
        let (key, values): (&str, Kwargs) = from_args(args)?;
        let mut text = self.0.text(key).to_owned();
        // One pass over the catalogue's own text, so that a value cannot bring placeholders.
        let names: Vec<&str> = values.args().collect();
        if !names.is_empty() {
            text = fill(&text, |name| values.peek::<Jinja>(name).ok().map(|value| value.to_string()));
        }
        names.iter().try_for_each(|name| values.get::<Jinja>(name).map(|_| ()))?;
        Ok(Jinja::from(text))
    }
}

fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = from.split_once('}') else {
            out.push('{');
            rest = from;
            continue;
        };
        out.push_str(&value(name).unwrap_or_default());
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `server_text(text)`: the translation of an English text of the server.
#[derive(Debug)]
struct ServerTexts(&'static Locale);

impl Object for ServerTexts {
    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Jinja]) -> Result<Jinja, Error> {
        let (text,): (&Jinja,) = from_args(args)?;
        Ok(Jinja::from(self.0.server_text(text_of(text)).as_ref()))
    }
}
