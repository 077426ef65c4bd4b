//! Tests of whole pages.

use serde_json::{Value, json};

use crate::samples::{STAGE_TEMPLATES, Sample, brand, flow_page, notices, page_view, samples};
use crate::{
    Action, BrandView, FlowPage, FooterLink, LandingPage, LandingUser, Locale, Message, MessagePage, PagePolicy,
    PageView, Pages, SessionView, assets, find_asset, gzip,
};

const ATTACK: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";

fn pages() -> Pages {
    Pages::new(STAGE_TEMPLATES).expect("the templates are valid")
}

fn render(challenge: Value) -> String {
    let sample = Sample { name: String::new(), challenge, answer: None };
    pages().render_flow(&flow_page(&sample, &brand("automatic"), Locale::english())).expect("a page")
}

/// Puts the attack into every string but the one that chooses the page and the types that choose a control.
fn poison(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                if !matches!(key.as_str(), "component" | "type" | "layout" | "flow_designation") {
                    poison(inner);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(poison),
        Value::String(text) => text.push_str(ATTACK),
        _ => {}
    }
}

#[test]
fn every_page_renders_in_every_language() {
    let pages = pages();
    for locale in Locale::all() {
        for theme in ["light", "dark", "automatic"] {
            let brand = brand(theme);
            for sample in samples() {
                let html = pages.render_flow(&flow_page(&sample, &brand, locale)).expect(&sample.name);
                assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"), "{}", sample.name);
                assert!(html.contains(&format!("dir=\"{}\"", locale.direction.as_str())), "{}", sample.name);
                assert!(!html.contains("macro ") && !html.contains("undefined"), "{}", sample.name);
            }
        }
    }
}

/// The components of the contract's union of challenges.
fn union() -> Vec<String> {
    let contract: Value = serde_json::from_str(include_str!("../../weir-contract/contract.json")).expect("JSON");
    let mapping = contract.pointer("/components/schemas/ChallengeTypes/discriminator/mapping").expect("the union");
    mapping.as_object().expect("a mapping").keys().cloned().collect()
}

#[test]
fn every_challenge_of_the_contract_has_a_page_and_a_sample() {
    let (pages, samples) = (pages(), samples());
    let components = union();
    assert!(components.len() >= 30, "{components:?}");
    for component in &components {
        assert!(pages.knows(component), "no page for {component}");
        assert!(samples.iter().any(|s| s.challenge["component"] == component.as_str()), "no sample of {component}");
    }
}

#[test]
fn every_page_of_a_stage_is_among_the_samples() {
    let stages = format!("{}/../weir-stages/src", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let mut found = 0;
    for folder in std::fs::read_dir(stages).expect("the stages") {
        let path = folder.expect("an entry").path().join("page.html");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        found += 1;
        let listed = STAGE_TEMPLATES.iter().find(|(_, listed)| *listed == text);
        let (component, _) = listed.unwrap_or_else(|| panic!("{} is not in src/samples.rs", path.display()));
        let shown = samples().iter().any(|s| s.challenge["component"] == *component);
        assert!(shown, "no sample of {component} in samples/challenges.json");
    }
    assert!(found >= 6, "found only {found}");
}

#[test]
fn the_samples_show_every_type_of_field() {
    let samples = samples();
    let full = samples.iter().find(|s| s.name == "prompt").expect("the prompt sample");
    let mut types: Vec<_> = full.challenge["fields"].as_array().expect("fields").iter().map(|f| &f["type"]).collect();
    types.sort_by_key(|t| t.to_string());
    types.dedup();
    assert_eq!(types.len(), 21);
}

#[test]
fn no_string_of_a_challenge_becomes_markup() {
    let pages = pages();
    let mut brand = brand(ATTACK);
    brand.title = ATTACK.to_owned();
    brand.logo = format!("/logo{ATTACK}");
    brand.favicon = ATTACK.to_owned();
    brand.custom_css = format!("a{{}}</style>{ATTACK}").replace("<script", "</STYLE ><script");
    brand.footer_links = vec![FooterLink { name: ATTACK.to_owned(), href: Some(format!("/{ATTACK}")) }];
    for mut sample in samples() {
        poison(&mut sample.challenge);
        if let Some(answer) = &mut sample.answer {
            poison(answer);
        }
        let mut page = flow_page(&sample, &brand, Locale::english());
        (page.slug, page.title, page.layout, page.background) = (ATTACK, ATTACK, ATTACK, ATTACK);
        (page.form_action, page.csrf_token, page.view.request_id) = (ATTACK, ATTACK, ATTACK);
        let hidden = [(ATTACK, ATTACK)];
        page.hidden = &hidden;
        let html = pages.render_flow(&page).expect(&sample.name);
        assert_harmless(&html, &sample.name);
    }
}

/// The only script is ours, the only style element the brand's, and no attribute was broken out of.
fn assert_harmless(html: &str, name: &str) {
    // Custom style is not parsed as markup up to its end tag; look at the rest.
    let (before, after) = html.split_once("<style").map_or((html, ""), |(before, after)| {
        let (css, rest) = after.split_once("</style>").expect("the style ends");
        assert!(!css.to_lowercase().contains("</"), "{name}");
        (before, rest)
    });
    let rest = format!("{before}{after}");
    assert_eq!(rest.matches("<script").count(), 1, "{name}");
    for bad in ["<script>", "<img src=x", "alert(1)>", "href=\"javascript", "</style"] {
        assert!(!rest.contains(bad), "{name}: {bad}");
    }
}

#[test]
fn dangerous_addresses_are_left_out() {
    let url = "javascript:alert(1)";
    let source = json!({"name": "S", "icon_url": url, "promoted": false,
                        "challenge": {"component": "xak-flow-redirect", "to": url}});
    let info = json!({"title": "t", "background": url, "cancel_url": url, "layout": "sidebar_left_frame_background"});
    for challenge in [
        json!({"component": "ak-stage-identification", "flow_info": info, "user_fields": ["email"], "sources": [source],
               "enroll_url": url, "recovery_url": url, "passwordless_url": url}),
        json!({"component": "ak-stage-password", "flow_info": info, "pending_user": "a", "pending_user_avatar": url, "recovery_url": url}),
        json!({"component": "xak-flow-redirect", "to": url}),
        json!({"component": "ak-stage-autosubmit", "url": url, "attrs": {}}),
        json!({"component": "ak-provider-iframe-logout", "logout_urls": [{"url": url}, {"url": url, "binding": "post", "saml_request": "x"}]}),
        json!({"component": "ak-provider-saml-native-logout", "saml_binding": "post", "post_url": url}),
        json!({"component": "ak-provider-saml-native-logout", "saml_binding": "redirect", "redirect_url": url}),
        json!({"component": "xak-flow-frame", "url": url, "loading_text": ""}),
        json!({"component": "ak-stage-session-end", "application_launch_url": url, "invalidation_flow_url": url, "overview_url": url}),
        json!({"component": "ak-stage-prompt", "fields": [{"field_key": "a", "type": "alert_info", "initial_value": format!("<a href='{url}'>x</a>")}]}),
    ] {
        let html = render(challenge.clone());
        assert!(!html.contains("javascript:"), "{challenge}");
    }
}

#[test]
fn an_unknown_component_is_named() {
    for component in ["ak-stage-of-tomorrow", "flow", "layout", "../flow", "", "<b>"] {
        let html = render(json!({"component": component}));
        assert!(html.contains("This step needs a newer page"), "{component}");
    }
    assert!(render(json!({"component": "ak-stage-of-tomorrow"})).contains("<code>ak-stage-of-tomorrow</code>"));
    assert!(render(json!({"component": "<b>"})).contains("<code>&lt;b&gt;</code>"));
}

#[test]
fn a_malformed_challenge_gives_a_page_or_an_error_without_its_data() {
    let pages = pages();
    let brand = brand("light");
    for component in STAGE_TEMPLATES.iter().map(|(name, _)| *name).chain(["ak-stage-autosubmit", "xak-flow-redirect"]) {
        for junk in
            [json!(null), json!(7), json!("secret-data"), json!(["secret-data", null]), json!({"a": ["secret-data"]})]
        {
            let keys = [
                "flow_info",
                "response_errors",
                "fields",
                "pending_user",
                "pending_user_avatar",
                "sources",
                "user_fields",
                "permissions",
                "additional_permissions",
                "recovery_url",
                "url",
                "to",
                "title",
                "application_pre",
                "attrs",
                "primary_action",
                "header_text",
                "name",
                "token",
                "passkey_challenge",
            ];
            let mut challenge = json!({"component": component});
            for key in keys {
                challenge[key] = junk.clone();
            }
            let sample = Sample { name: String::new(), challenge, answer: Some(junk.clone()) };
            match pages.render_flow(&flow_page(&sample, &brand, Locale::english())) {
                Ok(html) => assert!(html.contains("</html>"), "{component} {junk}"),
                Err(error) => {
                    let text = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
                    assert!(!text.contains("secret-data"), "{text}");
                }
            }
        }
        assert!(render(json!({"component": component})).contains("</html>"), "{component} without any field");
    }
}

#[test]
fn passwords_are_never_written_back() {
    for sample in samples() {
        let html = pages().render_flow(&flow_page(&sample, &brand("light"), Locale::english())).expect("a page");
        assert!(!html.contains("hunter2"), "{}", sample.name);
    }
}

#[test]
fn browsers_are_told_what_each_field_holds() {
    let html =
        render(json!({"component": "ak-stage-identification", "user_fields": ["email"], "password_fields": true,
                             "passkey_challenge": {"challenge": "AA"}}));
    assert!(html.contains("type=\"email\" autocomplete=\"username webauthn\""));
    assert!(html.contains("autocomplete=\"current-password\""));
    let html = render(
        json!({"component": "ak-stage-prompt", "fields": [{"field_key": "password", "type": "password", "label": "New"}]}),
    );
    assert!(html.contains("autocomplete=\"new-password\""));
}

#[test]
fn errors_are_announced_where_they_belong() {
    let html = render(json!({"component": "ak-stage-password", "flow_info": {"title": "Hello"}, "pending_user": "jo",
        "pending_user_avatar": "", "response_errors": {"password": [{"string": "Invalid password", "code": "invalid"}]}}));
    assert!(html.contains("<title>Error: Hello"));
    assert!(html.contains("aria-describedby=\"field-password-error\" aria-invalid=\"true\" autofocus"));
    assert!(html.contains("id=\"field-password-error\">Invalid password"));
    assert_eq!(html.matches("Invalid password").count(), 1);
}

#[test]
fn texts_of_the_server_are_translated() {
    let challenge = json!({"component": "ak-stage-identification", "user_fields": ["username"], "primary_action": "Log in",
        "response_errors": {"non_field_errors": [{"string": "Failed to authenticate.", "code": "invalid"}],
                            "uid_field": [{"string": "\"x\" is not a valid choice.", "code": "invalid_choice"}]}});
    let sample = Sample { name: String::new(), challenge, answer: None };
    let german = Locale::find("de").expect("German");
    let html = pages().render_flow(&flow_page(&sample, &brand("light"), german)).expect("a page");
    for text in ["Anmelden", "Die Anmeldung ist fehlgeschlagen.", "Diese Auswahl gibt es nicht.", "lang=\"de\""] {
        assert!(html.contains(text), "{text}");
    }
}

#[test]
fn every_text_a_template_asks_for_exists() {
    let folder = |path: &str| format!("{}/{path}", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let mut texts: Vec<String> = STAGE_TEMPLATES.iter().map(|(_, text)| (*text).to_owned()).collect();
    for entry in std::fs::read_dir(folder("templates")).expect("templates") {
        texts.push(std::fs::read_to_string(entry.expect("an entry").path()).expect("a template"));
    }
    let mut asked = 0;
    for text in &texts {
        for part in text.split(" t(").skip(1).chain(text.split("{t(").skip(1)) {
            let Some(key) = part.get(1..).and_then(|p| p.split(['"', '\'']).next()) else { continue };
            assert!(Locale::has(key), "{key}");
            asked += 1;
        }
    }
    assert!(asked > 60, "the search found only {asked} texts");
}

#[test]
fn below_a_prefix_every_address_of_ours_has_it() {
    let pages = pages();
    let look = brand("light");
    for sample in samples() {
        let mut page = flow_page(&sample, &look, Locale::english());
        page.view.prefix = "/id";
        page.form_action = "/id/if/flow/sample/";
        let html = pages.render_flow(&page).expect(&sample.name);
        for asset in ["flow/flow.css", "flow/flow.js"] {
            assert!(html.contains(&format!("\"/id/static/dist/{asset}?v=")), "{}: {asset}", sample.name);
        }
        assert!(!html.contains("href=\"/\"") && !html.contains("\"/static/dist/flow/"), "{}", sample.name);
    }
    let background = json!({"component": "ak-stage-dummy", "flow_info": {"background": "/id/static/dist/assets/images/flow_background.jpg"}});
    let sample = Sample { name: String::new(), challenge: background, answer: None };
    let mut page = flow_page(&sample, &look, Locale::english());
    page.view.prefix = "/id";
    assert!(pages.render_flow(&page).expect("a page").contains("backdrop is-own"), "our own drawing, not the picture");
}

#[test]
fn a_code_of_the_address_is_filled_in_but_an_answer_wins() {
    let sample = |answer| Sample {
        name: String::new(),
        challenge: json!({"component": "ak-provider-oauth2-device-code"}),
        answer,
    };
    let render = |sample: &Sample| {
        let look = brand("light");
        let page = FlowPage { form_action: "/if/flow/x/?code=12%2034", ..flow_page(sample, &look, Locale::english()) };
        pages().render_flow(&page).expect("a page")
    };
    let asked = render(&sample(None));
    assert!(asked.contains("value=\"12 34\"") && asked.contains("Compare it with the code"), "{asked}");
    let refused = render(&sample(Some(json!({"code": "99"}))));
    assert!(refused.contains("value=\"99\"") && !refused.contains("Compare it"), "{refused}");
}

#[test]
fn messages_and_the_landing_page_escape_and_fall_back() {
    let pages = pages();
    let brand = brand("dark");
    let notes = notices();
    let view = PageView { notices: &notes, ..page_view(&brand, Locale::english()) };
    let actions = [Action { label: ATTACK, href: "/" }, Action { label: "gone", href: "javascript:alert(1)" }];
    for (message, expected) in [
        (Message::Status(404), "Page not found"),
        (Message::Status(418), "That did not work"),
        (Message::Status(599), "Something went wrong"),
        (Message::SetupPending, "Set-up is being prepared"),
        (Message::SetupLink, "Not set up yet"),
        (Message::InternalOnly, "Not for this account"),
        (Message::FrameDone, "data-frame-done"),
        (Message::FrameRefused(ATTACK), "&lt;script&gt;"),
        (Message::Own { title: ATTACK, text: ATTACK }, "&lt;script&gt;"),
    ] {
        let html = pages.render_message(&MessagePage { view, message, actions: &actions }).expect("a page");
        assert!(html.contains(expected), "{expected}");
        assert!(!html.contains("gone"));
        assert_harmless(&html, expected);
    }
    let text = || ATTACK.to_owned();
    let user =
        LandingUser { name: text(), username: text(), email: text(), avatar: text(), impersonated_by: Some(text()) };
    let sessions = [SessionView { device: text(), address: text(), last_used: text(), current: true }];
    let landing = LandingPage {
        view,
        user: &user,
        sessions: &sessions,
        change_password_url: Some(ATTACK),
        settings_url: Some("/if/flow/settings/"),
        sign_out_url: "/flows/-/default/invalidation/",
        admin_url: None,
    };
    let html = pages.render_landing(&landing).expect("a page");
    assert_harmless(&html, "landing");
    assert!(html.contains("href=\"/flows/-/default/invalidation/\"") && html.contains("href=\"/if/flow/settings/\""));
}

#[test]
fn the_policy_allows_no_inline_and_no_foreign_script() {
    let brand = BrandView::default();
    for sample in samples() {
        let page = flow_page(&sample, &brand, Locale::english());
        let policy = PagePolicy::for_flow(&page).content_security_policy();
        // The script of a captcha's provider comes from the one place that is configured.
        let provider = if sample.name == "captcha-provider" { " https://challenges.cloudflare.com" } else { "" };
        assert!(policy.contains(&format!("script-src 'self'{provider};")), "{policy}");
        assert!(policy.contains("frame-ancestors 'self'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('{'), "{policy}");
        let component = sample.challenge["component"].as_str().expect("a component");
        let directive = |name: &str| {
            let found = policy.split("; ").find_map(|d| d.strip_prefix(name)).expect("the directive");
            found.trim().to_owned()
        };
        let posts = ["ak-stage-autosubmit", "ak-provider-saml-native-logout", "ak-provider-iframe-logout"];
        let forms = if posts.contains(&component) { "'self' https: http:" } else { "'self'" };
        assert_eq!(directive("form-action "), forms, "{}", sample.name);
        let framed = component == "xak-flow-frame" || component == "ak-provider-iframe-logout";
        let frames = match component {
            "ak-source-telegram" => "'self' https://oauth.telegram.org",
            _ if !provider.is_empty() => "'self' https://challenges.cloudflare.com",
            _ if framed || sample.name.contains("frame-background") => "'self' https: http:",
            _ => "'none'",
        };
        assert_eq!(directive("frame-src "), frames, "{}", sample.name);
        let calls = if component == "ak-source-plex" { " https://plex.tv" } else { provider };
        assert_eq!(directive("connect-src "), format!("'self'{calls}"), "{}", sample.name);
    }
    let odd = PagePolicy::new("x'; script-src *").content_security_policy();
    assert!(odd.contains("'nonce-xscript-src'"), "{odd}");
}

#[test]
fn a_whole_page_stays_below_fifty_kilobytes() {
    const LIMIT: usize = 50 * 1024;
    let pages = pages();
    let brand = brand("automatic");
    let mut largest = (0, String::new());
    for sample in samples() {
        let html = pages.render_flow(&flow_page(&sample, &brand, Locale::english())).expect("a page");
        // Everything one of our pages can load: script, style, drawing, logo, icon.
        let loaded =
            assets().iter().filter(|asset| asset.path.starts_with("/static/dist/flow/") || html.contains(asset.path));
        let size = gzip(html.as_bytes()).len()
            + loaded.map(|asset| asset.gzip.as_ref().map_or(asset.bytes.len(), Vec::len)).sum::<usize>();
        if size > largest.0 {
            largest = (size, sample.name);
        }
    }
    assert!(largest.0 < LIMIT, "{largest:?}");
    let background = find_asset("/static/dist/assets/images/flow_background.jpg").expect("the background");
    assert!(background.bytes.len() < LIMIT);
}
