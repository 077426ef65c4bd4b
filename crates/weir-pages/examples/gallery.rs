//! Writes every page in light and dark, left-to-right and right-to-left, with the assets and the headers each page is
//! sent with: `cargo run -p weir-pages --example gallery -- OUT_DIR`. The browser tests in `web/flow` look at them.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use weir_pages::{
    Action, BrandView, FlowPage, FooterLink, LandingPage, LandingUser, Level, Locale, Message, MessagePage, Notice,
    PagePolicy, PageView, Pages, SessionView, assets,
};

#[path = "../src/samples.rs"]
mod samples;

use samples::{STAGE_TEMPLATES, brand, flow_page, notices, page_view};

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::args().nth(1).ok_or("usage: gallery OUT_DIR")?);
    let pages = Pages::new(STAGE_TEMPLATES)?;
    for asset in assets() {
        write(&out.join(asset.path.trim_start_matches('/')), asset.bytes)?;
    }
    let mut index = Vec::new();
    for theme in ["light", "dark"] {
        for locale in [Locale::english(), Locale::find("ar").ok_or("Arabic is missing")?] {
            let brand = brand(theme);
            let mut add = |name: &str, html: String, policy: &PagePolicy<'_>| -> Result<(), Box<dyn Error>> {
                let file = format!("{name}.{theme}.{}.html", locale.direction.as_str());
                write(&out.join(&file), html.as_bytes())?;
                index.push(json!({ "file": file, "name": name, "theme": theme, "dir": locale.direction.as_str(),
                                   "csp": policy.content_security_policy() }));
                Ok(())
            };
            for sample in samples::samples() {
                let page = flow_page(&sample, &brand, locale);
                add(&sample.name, pages.render_flow(&page)?, &PagePolicy::for_flow(&page))?;
            }
            let view = page_view(&brand, locale);
            for (name, html) in other_pages(&pages, view)? {
                add(&name, html, &PagePolicy::new(view.nonce))?;
            }
        }
    }
    write(&out.join("index.json"), serde_json::to_string_pretty(&index)?.as_bytes())?;
    Ok(())
}

fn other_pages(pages: &Pages, view: PageView<'_>) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let user = LandingUser {
        name: "Maja Lind".to_owned(),
        username: "maja.lind".to_owned(),
        email: "maja@example.com".to_owned(),
        avatar: String::new(),
        impersonated_by: None,
    };
    let session = |device: &str, current| SessionView {
        device: device.to_owned(),
        address: "192.0.2.17".to_owned(),
        last_used: "2026-08-01T09:30:12Z".to_owned(),
        current,
    };
    let landing = LandingPage {
        view,
        user: &user,
        sessions: &[session("Firefox on Linux", true), session("Safari on iPhone", false)],
        change_password_url: Some("/flows/-/configure/1/"),
        settings_url: Some("/if/flow/default-user-settings-flow/"),
        sign_out_url: "/flows/-/default/invalidation/",
        admin_url: Some("/if/admin/"),
    };
    let impersonated = LandingUser { impersonated_by: Some("akadmin".to_owned()), ..user.clone() };
    let bare = LandingPage { user: &impersonated, sessions: &[], admin_url: None, settings_url: None, ..landing };
    let actions = [Action { label: "Go to the start page", href: "/" }];
    let message = |message| MessagePage { view, message, actions: &actions };
    let notes = notices();
    let noted = MessagePage { view: PageView { notices: &notes, ..view }, ..message(Message::SetupLink) };
    Ok(vec![
        ("landing".to_owned(), pages.render_landing(&landing)?),
        ("landing-impersonated".to_owned(), pages.render_landing(&bare)?),
        ("message-404".to_owned(), pages.render_message(&message(Message::Status(404)))?),
        ("message-503".to_owned(), pages.render_message(&message(Message::Status(503)))?),
        ("message-frame-done".to_owned(), pages.render_message(&message(Message::FrameDone))?),
        (
            "message-frame-refused".to_owned(),
            pages.render_message(&message(Message::FrameRefused("Your browser could not be verified.")))?,
        ),
        ("message-setup".to_owned(), pages.render_message(&noted)?),
    ])
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, bytes)?)
}
