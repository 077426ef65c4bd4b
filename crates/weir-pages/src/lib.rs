//! The pages of Weir that are rendered on the server: flow steps, the signed-in landing page, messages.
//!
//! A flow page is made from the same challenge JSON that the executor's API answers, and works without JavaScript.
//! The crate knows neither HTTP nor the engine: [`Pages`] turns data into HTML, [`parse_form`] turns the posted form
//! into the JSON answer, [`assets()`] are the files to serve and [`PagePolicy`] the headers to send.
//!
//! Start at [`Pages::render_flow`]; the markup is in `templates/` and beside each stage kind (`page.html`).

mod assets;
mod challenge;
mod code_image;
mod form;
mod locale;
mod page;
mod policy;
mod render;
mod rich;
mod urls;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use assets::{Asset, assets, find_asset, gzip};
pub use form::{
    COMPONENT_FIELD, CSRF_FIELD, RESERVED_PREFIX, Upload, data_uri, is_multipart, parse_form, parse_multipart,
    reserved_field,
};
pub use locale::{Direction, Locale};
pub use page::{
    Action, BrandView, FlowPage, FooterLink, LAYOUTS, LandingPage, LandingUser, Level, Message, MessagePage, Notice,
    PageView, SessionView,
};
pub use policy::{CONTENT_SECURITY_POLICY, PagePolicy};
pub use render::{PageError, Pages};
pub use rich::safe_markup;
pub use urls::{image_url, link_url, redirect_url, style_text};

/// The string at a JSON pointer, empty when there is none.
fn text_at<'a>(value: &'a serde_json::Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default()
}
