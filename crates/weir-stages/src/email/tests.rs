use crate::tests::{assert_denied, assert_end, component, error, site};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use weir_flow::links;
use weir_identity::accounts;
use weir_mail::MailSettings;
use weir_testkit::{Browser, TestSite, Wiring};

const STAGE: &str = "authentik_stages_email.emailstage";
const USED: &str = "Link was already used, please request a new link.";

/// A recovery flow: who, mail with these settings, inside. Gives the mail stage.
async fn flow(site: &TestSite, settings: Value) -> uuid::Uuid {
    let flow = site.flow("rec", "recovery", json!({})).await;
    site.step(flow, 0, "identification", "who", json!({"user_fields": ["username"]})).await;
    let (stage, _) = site.step(flow, 1, "email", "mail", settings).await;
    site.step(flow, 2, "dummy", "inside", json!({})).await;
    stage
}

/// Somebody arrives at the stage under this name.
async fn arrive<'s>(site: &'s TestSite, name: &str, query: &str) -> (Browser<'s>, Value) {
    let mut browser = site.browser();
    browser.get("rec", query).await;
    let shown = browser.post("rec", query, json!({"uid_field": name})).await;
    (browser, shown)
}

/// Page and query of the link in a mail.
fn link(mail: &Value) -> (String, String) {
    let text = mail["text"].as_str().unwrap();
    let line = text.lines().find(|line| line.starts_with("https://")).unwrap_or_else(|| panic!("no link in {text}"));
    let (page, query) = line.split_once('?').unwrap();
    (page.to_owned(), query.to_owned())
}

async fn newest(site: &TestSite) -> Value {
    site.mails().await.pop().unwrap()
}

async fn confirm(browser: &mut Browser<'_>, query: &str, shown: &Value) -> Value {
    browser.post("rec", query, json!({"component": "ak-stage-consent", "token": shown["token"]})).await
}

async fn tokens(site: &TestSite) -> usize {
    site.db.read("SELECT id FROM identity_token WHERE flow_id IS NOT NULL", &[]).await.unwrap().len()
}

#[tokio::test]
async fn the_link_leads_back_once_after_any_number_of_looks() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({})).await;
    let (mut asking, shown) = arrive(&site, "ann", "next=%2Fapp&x=a%20b").await;
    assert_eq!(component(&shown), "ak-stage-email");
    assert!(shown.get("pending_user").is_none() && shown.get("response_errors").is_none(), "{shown}");
    assert_eq!(asking.context().await["email_sent"], true);
    let mail = newest(&site).await;
    assert_eq!(
        (&mail["to"], &mail["subject"]),
        (&json!([{"name": "ann", "address": "ann@example.org"}]), &json!("authentik"))
    );
    let (page, query) = link(&mail);
    assert_eq!(page, "https://id.example.org/if/flow/rec/");
    assert!(
        query.starts_with("next=%2Fapp&x=a+b&flow_token=") || query.starts_with("next=%2Fapp&x=a%20b&flow_token="),
        "{query}"
    );
    // Programs that look at links, each several times.
    for _ in 0..3 {
        let mut scanner = site.browser();
        for _ in 0..3 {
            let shown = scanner.get("rec", &query).await;
            assert_eq!(
                (component(&shown), &shown["header_text"]),
                ("ak-stage-consent", &json!("Continue to confirm this email address."))
            );
        }
    }
    assert_eq!(component(&asking.get("rec", "").await), "ak-stage-email", "nobody confirmed yet");
    let (mut reader, mut second) = (site.browser(), site.browser());
    let shown = reader.get("rec", &query).await;
    let elsewhere = second.get("rec", &query).await;
    let again = reader.post("rec", &query, json!({"component": "ak-stage-consent", "token": "guessed"})).await;
    assert_eq!(error(&again, "token").0, "Invalid consent token, re-showing prompt");
    assert_eq!(tokens(&site).await, 1);
    assert_eq!(
        component(&confirm(&mut reader, &query, &shown).await),
        "ak-stage-consent",
        "the token before counts no more"
    );
    let shown = reader.get("rec", &query).await;
    assert_eq!(confirm(&mut reader, &query, &shown).await["name"], "inside");
    assert_eq!((tokens(&site).await, &reader.context().await["pending_user"]["pk"]), (0, &json!(ann)));
    assert_denied(&confirm(&mut second, &query, &elsewhere).await, USED);
    let mut third = site.browser();
    assert_eq!(component(&third.get("rec", &query).await), "ak-stage-identification", "a used key is ignored");
    assert_end(&reader.post("rec", &query, json!({})).await, "/app");
}

#[tokio::test]
async fn a_second_browser_that_opened_the_link_learns_at_its_next_look() {
    let site = site().await;
    site.user("ann", "").await;
    flow(&site, json!({})).await;
    arrive(&site, "ann", "").await;
    let (_, query) = link(&newest(&site).await);
    let (mut first, mut second) = (site.browser(), site.browser());
    second.get("rec", &query).await;
    let shown = first.get("rec", &query).await;
    confirm(&mut first, &query, &shown).await;
    assert_denied(&second.get("rec", &query).await, USED);
}

#[tokio::test]
async fn of_fifty_who_confirm_at_once_one_gets_in() {
    let site = site().await;
    site.user("ann", "").await;
    flow(&site, json!({})).await;
    arrive(&site, "ann", "").await;
    let (_, query) = link(&newest(&site).await);
    let mut browsers: Vec<_> = (0..50).map(|_| site.browser()).collect();
    let shown = join_all(browsers.iter_mut().map(|b| b.get("rec", &query))).await;
    let ended = join_all(browsers.iter_mut().zip(&shown).map(|(b, shown)| confirm(b, &query, shown))).await;
    let inside = ended.iter().filter(|c| c["name"] == "inside").count();
    let refused = ended.iter().filter(|c| c["error_message"] == USED).count();
    assert_eq!((inside, refused), (1, 49));
}

#[tokio::test]
async fn looking_again_sends_nothing_and_asking_again_sends_the_same_link() {
    let site = site().await;
    site.user("ann", "").await;
    flow(&site, json!({})).await;
    let (mut browser, _) = arrive(&site, "ann", "").await;
    for _ in 0..3 {
        assert_eq!(component(&browser.get("rec", "").await), "ak-stage-email");
    }
    assert_eq!(site.mails().await.len(), 1);
    for answer in [json!({}), json!({"component": "ak-stage-email", "anything": 1})] {
        let shown = browser.post("rec", "", answer).await;
        assert_eq!(
            (component(&shown), error(&shown, "non_field_errors")),
            ("ak-stage-email", ("email-sent", "email-sent"))
        );
    }
    let mails = site.mails().await;
    assert_eq!((mails.len(), tokens(&site).await), (3, 1));
    assert!(mails.iter().all(|mail| link(mail) == link(&mails[0])));
}

#[tokio::test]
async fn all_sessions_together_may_ask_again_only_so_often() {
    let site = site().await;
    site.user("ann", "").await;
    flow(&site, json!({"recovery_max_attempts": 3, "recovery_cache_timeout": "minutes=5"})).await;
    let (mut one, _) = arrive(&site, "ann", "").await;
    let (mut two, _) = arrive(&site, "ann", "").await;
    for browser in [&mut one, &mut two] {
        browser.post("rec", "", json!({})).await;
    }
    site.clock.advance(TimeDelta::seconds(90));
    one.post("rec", "", json!({})).await;
    assert_eq!(site.mails().await.len(), 5, "two arrivals, three requests");
    let shown = two.post("rec", "", json!({})).await;
    assert_eq!(error(&shown, "non_field_errors").0, "email-sent", "it looks the same");
    assert_eq!(two.notices, ["Too many account verification attempts. Please try again after 4 minutes."]);
    assert_eq!(site.mails().await.len(), 5);
    site.clock.advance(TimeDelta::seconds(211));
    two.post("rec", "", json!({})).await;
    assert_eq!(site.mails().await.len(), 6, "the window slides");
}

#[tokio::test]
async fn of_many_requests_at_once_no_more_than_allowed_are_sent() {
    let site = site().await;
    site.user("ann", "").await;
    flow(&site, json!({"recovery_max_attempts": 4})).await;
    let mut browsers = Vec::new();
    for _ in 0..9 {
        browsers.push(arrive(&site, "ann", "").await.0);
    }
    let before = site.mails().await.len();
    join_all(browsers.iter_mut().map(|b| b.post("rec", "", json!({})))).await;
    assert_eq!(site.mails().await.len(), before + 4);
}

#[tokio::test]
async fn whoever_begins_flow_after_flow_cannot_fill_a_box() {
    let site = site().await;
    site.user("ann", "").await;
    flow(&site, json!({})).await;
    for _ in 0..14 {
        assert_eq!(component(&arrive(&site, "ann", "").await.1), "ak-stage-email");
    }
    assert_eq!(site.mails().await.len(), 10);
    site.clock.advance(TimeDelta::minutes(5));
    arrive(&site, "ann", "").await;
    assert_eq!(site.mails().await.len(), 11);
}

/// Rows of each table, to compare what requests cost.
async fn rows(site: &TestSite) -> Vec<usize> {
    let mut counts = Vec::new();
    for table in ["job", "mail_throttle", "audit_event"] {
        counts.push(site.db.read(&format!("SELECT * FROM {table}"), &[]).await.unwrap().len());
    }
    let sql = "SELECT id FROM mail_outbox UNION ALL SELECT id FROM identity_token";
    counts.push(site.db.read(sql, &[]).await.unwrap().len());
    counts
}

#[tokio::test]
async fn a_name_nobody_has_looks_and_costs_the_same_and_gets_nothing() {
    let site = site().await;
    site.user("ann", "").await;
    let silent = site.user("silent", "").await;
    site.change_user(silent, json!({"email": ""})).await;
    flow(&site, json!({"recovery_max_attempts": 1})).await;
    let mut seen = Vec::new();
    for name in ["ann", "nobody", "silent"] {
        let before = rows(&site).await;
        let (mut browser, arrived) = arrive(&site, name, "").await;
        let again = browser.post("rec", "", json!({})).await;
        let limited = browser.post("rec", "", json!({})).await;
        let after = rows(&site).await;
        let cost: Vec<usize> = after.iter().zip(before).map(|(a, b)| a - b).collect();
        let keys: Vec<String> = browser.context().await.keys().cloned().collect();
        seen.push((arrived, again, limited, browser.notices.clone(), cost, keys.len()));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    let mails = site.mails().await;
    assert_eq!(mails.len(), 2);
    assert!(mails.iter().all(|mail| mail["to"][0]["address"] == "ann@example.org"));
}

#[tokio::test]
async fn nothing_is_sent_to_a_user_who_was_never_saved() {
    let site = site().await;
    let flow = site.flow("enroll", "enrollment", json!({})).await;
    site.step(flow, 0, "dummy", "start", json!({})).await;
    site.step(flow, 1, "email", "mail", json!({})).await;
    let mut browser = site.browser();
    browser.get("enroll", "").await;
    browser
        .set_context(
            json!({"pending_user": {"pk": null, "username": "victim@example.org", "email": "victim@example.org"},
                               "email": "victim@example.org"}),
        )
        .await;
    assert_eq!(component(&browser.post("enroll", "", json!({})).await), "ak-stage-email");
    browser.post("enroll", "", json!({})).await;
    assert_eq!((site.mails().await.len(), tokens(&site).await), (0, 0));
}

#[tokio::test]
async fn without_a_pending_user_there_is_nothing_to_verify() {
    let site = site().await;
    let flow = site.flow("f", "recovery", json!({})).await;
    site.step(flow, 0, "email", "mail", json!({})).await;
    let mut browser = site.browser();
    browser.bearer = Some(site.user("ann", "").await);
    assert_denied(&browser.get("f", "").await, "Unknown error");
    assert!(site.mails().await.is_empty(), "being signed in is not being the pending user");
}

#[tokio::test]
async fn the_address_of_the_context_wins_over_the_accounts() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    site.step(flow, 0, "dummy", "start", json!({})).await;
    site.step(flow, 1, "email", "mail", json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    browser.set_context(json!({"pending_user": {"pk": ann}, "email": "new@example.org"})).await;
    browser.post("f", "", json!({})).await;
    assert_eq!(newest(&site).await["to"][0]["address"], "new@example.org");
}

#[tokio::test]
async fn coming_by_the_link_activates_if_configured() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    site.change_user(ann, json!({"is_active": false})).await;
    let stage =
        flow(&site, json!({"activate_user_on_success": false, "template": "email/account_confirmation.html"})).await;
    let come = async || {
        arrive(&site, "ann", "").await;
        let (_, query) = link(&newest(&site).await);
        let mut browser = site.browser();
        let shown = browser.get("rec", &query).await;
        assert_eq!(confirm(&mut browser, &query, &shown).await["name"], "inside");
    };
    come().await;
    assert!(!site.account(ann).await.is_active);
    site.change(STAGE, stage, json!({"activate_user_on_success": true})).await;
    site.clock.advance(TimeDelta::seconds(1));
    come().await;
    assert!(site.account(ann).await.is_active);
}

#[tokio::test]
async fn a_link_is_for_its_user_and_for_the_step_that_sent_it() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    let flow = site.flow("rec", "recovery", json!({})).await;
    site.step(flow, 0, "identification", "who", json!({"user_fields": ["username"]})).await;
    site.step(flow, 1, "email", "mail", json!({})).await;
    site.step(flow, 2, "dummy", "between", json!({})).await;
    site.step(flow, 3, "email", "second mail", json!({"subject": "two"})).await;
    arrive(&site, "ann", "").await;
    let (_, query) = link(&newest(&site).await);
    let mut browser = site.browser();
    let shown = browser.get("rec", &query).await;
    assert_eq!(confirm(&mut browser, &query, &shown).await["name"], "between");
    site.clock.advance(TimeDelta::seconds(1));
    assert_eq!(
        component(&browser.post("rec", &query, json!({})).await),
        "ak-stage-email",
        "this address is not proven"
    );
    let second = newest(&site).await;
    assert_eq!((second["subject"].as_str(), site.mails().await.len()), (Some("two"), 2));
    let (_, query) = link(&second);
    let mut browser = site.browser();
    let shown = browser.get("rec", &query).await;
    // An expression that exchanges the person in between gains nothing.
    browser.set_context(json!({"pending_user": {"pk": bob}})).await;
    assert_denied(&confirm(&mut browser, &query, &shown).await, "Unknown error");
    assert_eq!(site.account(ann).await.id, ann);
}

#[tokio::test]
async fn a_link_dies_with_its_time_and_with_a_lockdown() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    flow(&site, json!({"token_expiry": "minutes=2"})).await;
    arrive(&site, "ann", "").await;
    let (_, query) = link(&newest(&site).await);
    let mut early = site.browser();
    let shown = early.get("rec", &query).await;
    site.clock.advance(TimeDelta::seconds(179));
    assert_eq!(component(&site.browser().get("rec", &query).await), "ak-stage-consent");
    site.clock.advance(TimeDelta::seconds(1));
    assert_eq!(component(&site.browser().get("rec", &query).await), "ak-stage-identification");
    assert_denied(&confirm(&mut early, &query, &shown).await, USED);
    arrive(&site, "ann", "").await;
    let (_, query) = link(&newest(&site).await);
    let mut opened = site.browser();
    let shown = opened.get("rec", &query).await;
    let mut unit = site.unit();
    accounts::advance_epoch(&mut unit.tx, ann).await.unwrap();
    unit.commit().await.unwrap();
    assert_denied(&confirm(&mut opened, &query, &shown).await, USED);
}

#[tokio::test]
async fn a_link_given_by_an_administrator_stands_for_the_mail() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    flow(&site, json!({})).await;
    let mut request = site.request();
    let flow = links::find_flow(&site.unit(), "rec").unwrap().0;
    request.brand =
        Some(site.make("authentik_brands.brand", json!({"domain": "example.org", "flow_recovery": flow})).await);
    let make = async |user: i64| {
        let account = site.account(user).await;
        let mut unit = site.unit();
        let expires = site.now() + TimeDelta::minutes(30);
        let link = links::recovery_link(&site.app, &mut unit, &request, &account, expires, false).await.unwrap();
        unit.commit().await.unwrap();
        link.query()
    };
    let query = make(ann).await;
    let mut browser = site.browser();
    browser.get("rec", &query).await;
    assert_eq!(browser.post("rec", &query, json!({"uid_field": "ann"})).await["name"], "inside");
    assert!(site.mails().await.is_empty());
    let query = make(bob).await;
    let mut browser = site.browser();
    browser.get("rec", &query).await;
    assert_denied(&browser.post("rec", &query, json!({"uid_field": "ann"})).await, "Unknown error");
}

#[tokio::test]
async fn a_mailed_way_back_is_confirmed_first() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let stage = flow(&site, json!({"subject": "Password reset"})).await;
    site.change_user(ann, json!({"attributes": {"settings": {"locale": "de"}}})).await;
    let mut request = site.request();
    let flow = links::find_flow(&site.unit(), "rec").unwrap().0;
    request.brand =
        Some(site.make("authentik_brands.brand", json!({"domain": "example.org", "flow_recovery": flow})).await);
    let account = site.account(ann).await;
    let mut unit = site.unit();
    let life = TimeDelta::minutes(30);
    links::mail_recovery_link(&site.app, &mut unit, &request, &account, stage, life).await.unwrap();
    unit.commit().await.unwrap();
    let mail = newest(&site).await;
    assert_eq!(mail["subject"], "Neues Passwort wählen");
    assert!(mail["text"].as_str().unwrap().contains("innerhalb von 30 Minuten"));
    let (_, query) = link(&mail);
    for _ in 0..3 {
        assert_eq!(component(&site.browser().get("rec", &query).await), "ak-stage-consent");
    }
    let mut browser = site.browser();
    let shown = browser.get("rec", &query).await;
    assert_eq!(component(&confirm(&mut browser, &query, &shown).await), "ak-stage-identification");
    assert_eq!(browser.post("rec", &query, json!({"uid_field": "ann"})).await["name"], "inside");
    assert_eq!(tokens(&site).await, 0);
}

#[tokio::test]
async fn a_broken_template_is_reported_and_ends_the_flow() {
    let folder = std::env::temp_dir().join(format!("weir-email-stage-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("own.html"), "<a href=\"{{ url }}\">{{ user.name }}</a>").unwrap();
    let mail = MailSettings { templates_dir: Some(folder.clone()), ..MailSettings::default() };
    let wiring = Wiring {
        resources: crate::resources(),
        hooks: crate::hooks,
        stages: crate::kinds(),
        mail,
        ..Wiring::default()
    };
    let site = TestSite::new(wiring).await;
    site.user("ann", "").await;
    let stage = flow(&site, json!({"template": "own.html"})).await;
    arrive(&site, "ann", "").await;
    assert!(newest(&site).await["html"].as_str().unwrap().ends_with("\">ann</a>"));
    std::fs::write(folder.join("own.html"), "{% if %}").unwrap();
    for name in ["ann", "nobody"] {
        assert_denied(&arrive(&site, name, "").await.1, "Unknown error");
    }
    assert_eq!((site.mails().await.len(), tokens(&site).await), (1, 1), "nothing of it stays");
    let events = site.events_of("configuration_error").await;
    assert_eq!(events.len(), 2);
    let text = events[0].to_string();
    assert!(text.contains("own.html: syntax error") && text.contains("\"name\":\"mail\""), "{text}");
    std::fs::remove_dir_all(&folder).unwrap();
    site.change(STAGE, stage, json!({"subject": "the file is gone, the rest can be changed"})).await;
}

#[tokio::test]
async fn only_usable_settings_are_taken() {
    let site = site().await;
    let refused = async |body: Value| site.try_make(STAGE, body).await.err().map(|error| error.body());
    let template = refused(json!({"name": "a", "template": "email/none.html"})).await;
    assert_eq!(template, Some(json!({"template": ["Invalid template 'email/none.html' specified."]})));
    for (body, field) in [
        (json!({"name": "a", "port": 0}), "port"),
        (json!({"name": "a", "port": 70_000}), "port"),
        (json!({"name": "a", "timeout": 0}), "timeout"),
        (json!({"name": "a", "use_tls": true, "use_ssl": true}), "non_field_errors"),
        (json!({"name": "a", "from_address": "nobody"}), "from_address"),
        (json!({"name": "a", "recovery_max_attempts": -1}), "recovery_max_attempts"),
        (json!({"name": "a", "token_expiry": "soon"}), "token_expiry"),
        (json!({"name": "a", "template": "../../etc/passwd"}), "template"),
    ] {
        assert!(refused(body.clone()).await.is_some_and(|e| e.get(field).is_some()), "{body}");
    }
    let made = site.try_make(STAGE, json!({"name": "a", "password": "secret"})).await.unwrap();
    for (field, value) in [
        ("host", json!("localhost")),
        ("port", json!(25)),
        ("timeout", json!(10)),
        ("from_address", json!("system@authentik.local")),
        ("subject", json!("authentik")),
        ("template", json!("email/password_reset.html")),
        ("token_expiry", json!("minutes=30")),
        ("recovery_max_attempts", json!(5)),
        ("recovery_cache_timeout", json!("minutes=5")),
        ("use_global_settings", json!(false)),
    ] {
        assert_eq!(made.doc[field], value, "{field}");
    }
    let events = site.db.read("SELECT context FROM audit_event", &[]).await.unwrap();
    assert!(events.iter().all(|e| !e.json("context").unwrap().to_string().contains("\"secret\"")));
}
