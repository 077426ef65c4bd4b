//! Templates, languages, and the text made from pages.

use super::head;
use crate::{
    Direction, Letter, Letterhead, Locale, MailSettings, Mailbox, Mailer, Rendered, Templates, hide_secrets, sample,
    text,
};
use serde_json::json;
use std::{fs, path::PathBuf};
use weir_core::Map;
use weir_resource::Snapshot;

/// A folder that goes away with it.
struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weir-mail-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn put(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fn templates(&self) -> Templates {
        Templates::new(Some(self.0.clone())).unwrap()
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn data(value: serde_json::Value) -> Map {
    value.as_object().unwrap().clone()
}

fn render(templates: &Templates, name: &str, values: &Map) -> Rendered {
    templates.render(name, &Letter { head: &head("en"), data: values }).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_template_of_ours_can_be_read_in_every_language() {
    let templates = Templates::new(None).unwrap();
    let values = sample::data("https://id.example.org");
    for info in templates.list() {
        for locale in Locale::all() {
            let head = head(&locale.tag);
            let letter = templates.render(&info.name, &Letter { head: &head, data: &values }).unwrap();
            let dir = if locale.direction == Direction::Rtl { "rtl" } else { "ltr" };
            assert!(letter.html.contains(&format!("<html lang=\"{}\" dir=\"{dir}\">", locale.tag)), "{}", info.name);
            let kind = info.name.trim_start_matches("email/").trim_end_matches(".html");
            for text in [&letter.html, &letter.text] {
                assert!(!text.contains(&format!("{kind}.")), "{} {} lacks a text: {text}", info.name, locale.tag);
                assert!(!text.contains("greeting.") && !text.contains("{n}") && !text.contains("{span}"));
            }
            if ["password_reset", "account_confirmation", "invitation"].contains(&kind) {
                let link = "https://id.example.org/if/flow/example/?flow_token=this-is-only-a-preview";
                assert_eq!(letter.html.matches(&format!("href=\"{link}\"")).count(), 2, "{}", info.name);
                assert!(letter.text.lines().any(|line| line == link), "{}", letter.text);
            }
            assert!(!letter.text.contains("\n\n\n") && !letter.text.contains('<'), "{}", letter.text);
        }
    }
}

#[test]
fn every_language_has_every_text_and_keeps_its_placeholders() {
    let english = Locale::english();
    let placeholders = |text: &str| {
        let mut names: Vec<String> =
            text.split('{').skip(1).filter_map(|p| p.split('}').next()).map(str::to_owned).collect();
        names.sort();
        names
    };
    for locale in Locale::all() {
        for (key, text) in &english.texts {
            let own = locale.texts.get(key).unwrap_or_else(|| panic!("{} lacks {key}", locale.tag));
            if !key.starts_with("span.") {
                assert_eq!(placeholders(own), placeholders(text), "{} {key}", locale.tag);
            }
        }
        let stray = locale.texts.keys().find(|key| !key.starts_with("span.") && !english.texts.contains_key(*key));
        assert_eq!(stray, None, "{}", locale.tag);
    }
}

#[test]
fn spans_are_counted_as_each_language_counts() {
    let all = |tag: &str, seconds: &[i64]| -> Vec<String> {
        let locale = Locale::find(tag).unwrap();
        seconds.iter().map(|s| locale.span(*s)).collect()
    };
    let seconds = [5, 60, 1800, 7199, 7200, 172_800];
    assert_eq!(all("en", &seconds), ["1 minute", "1 minute", "30 minutes", "119 minutes", "2 hours", "2 days"]);
    assert_eq!(all("de", &[1800, 7200, 604_800]), ["30 Minuten", "2 Stunden", "7 Tagen"]);
    assert_eq!(all("ar", &[60, 120, 180, 660, 6000]), ["دقيقة واحدة", "دقيقتين", "3 دقائق", "11 دقيقة", "100 دقيقة"]);
}

#[test]
fn names_are_escaped_in_pages_and_cannot_bring_placeholders() {
    let templates = Templates::new(None).unwrap();
    let values = data(json!({"url": "https://h/?a=1&b=2", "user": {"name": "<b>{brand}</b>", "username": "x\"y"}}));
    let letter = render(&templates, "email/password_reset.html", &values);
    assert!(letter.html.contains("&lt;b&gt;{brand}&lt;/b&gt;") && !letter.html.contains("<b>"));
    assert!(letter.html.contains("href=\"https://h/?a=1&amp;b=2\""));
    assert!(letter.text.contains("Hello <b>{brand}</b>,") && letter.text.contains("\nhttps://h/?a=1&b=2\n"));
}

#[test]
fn the_administrators_files_win_and_may_use_our_parts() {
    let folder = Folder::new("wins");
    folder.put("email/password_reset.html", "<p>Own: <a href=\"{{ url }}\">{{ user.username }}</a></p>");
    folder.put(
        "welcome.html",
        "{% extends 'email/layout.html' %}{% block body %}<p>Hi {{ user.name }}</p>{% endblock %}",
    );
    folder.put("welcome.txt", "Hi {{ user.name }} & all");
    folder.put("deep/er/x.html", "{% include 'welcome.txt' %}");
    let templates = folder.templates();
    let values = data(json!({"url": "https://h/", "user": {"name": "A & B", "username": "ab"}}));
    let own = render(&templates, "email/password_reset.html", &values);
    assert_eq!(own.html, "<p>Own: <a href=\"https://h/\">ab</a></p>");
    assert_eq!(own.text, "Own: ab: https://h/\n", "our text would not fit, so it is made from the page");
    let welcome = render(&templates, "welcome.html", &values);
    assert!(welcome.html.contains("<p>Hi A &amp; B</p>") && welcome.html.contains("Acme"));
    assert_eq!(welcome.text, "Hi A & B & all\n");
    let names: Vec<String> = templates.list().into_iter().map(|info| info.name).collect();
    assert_eq!(names[..1], ["email/password_reset.html"]);
    assert_eq!(names[5..], ["deep/er/x.html", "welcome.html"]);
    assert!(
        templates.knows("welcome.html") && !templates.knows("welcome.txt") && !templates.knows("email/layout.html")
    );
    // Files may come and go while the server runs.
    folder.put("late.html", "late");
    assert!(templates.knows("late.html"));
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let folder = Folder::new("confined");
    let outside = Folder::new("outside");
    outside.put("secret.html", "outside");
    folder.put(".hidden.html", "hidden");
    folder.put("in.html", "{% include '../secret.html' %}");
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.0.join("secret.html"), folder.0.join("link.html")).unwrap();
    let templates = folder.templates();
    let up = format!("../{}/secret.html", outside.0.file_name().unwrap().to_str().unwrap());
    let absolute = outside.0.join("secret.html").to_str().unwrap().to_owned();
    for name in
        [up.as_str(), absolute.as_str(), ".hidden.html", "link.html", "./in.html", "", "x\0.html", "nowhere.html"]
    {
        assert!(!templates.knows(name), "{name}");
        assert!(templates.render(name, &Letter { head: &head("en"), data: &Map::new() }).is_err(), "{name}");
    }
    assert!(templates.render("in.html", &Letter { head: &head("en"), data: &Map::new() }).is_err());
    assert_eq!(templates.list().len(), 6, "the five of ours and in.html");
}

#[test]
fn a_broken_template_says_where_and_never_what_it_was_filled_with() {
    let folder = Folder::new("broken");
    folder.put("syntax.html", "line 1\n{% if %}");
    folder.put("loop.html", "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}");
    folder.put("self.html", "{% include 'self.html' %}");
    folder.put("wrong.html", "{{ url|nothing }}");
    folder.put("call.html", "{{ url() }}");
    let templates = folder.templates();
    let values = data(json!({"url": "https://secret-link"}));
    for name in ["syntax.html", "loop.html", "self.html", "wrong.html", "call.html"] {
        let error = templates.render(name, &Letter { head: &head("en"), data: &values }).unwrap_err().to_string();
        assert!(error.starts_with(name) && !error.contains("secret-link"), "{error}");
    }
    let error = templates.render("syntax.html", &Letter { head: &head("en"), data: &values }).unwrap_err().to_string();
    assert_eq!(error, "syntax.html: syntax error (in syntax.html, line 2)");
}

#[test]
fn a_page_becomes_readable_text() {
    let page = "<html><head><title>t</title><style>p{}</style></head><body><h1>Hi&nbsp;&amp; hello</h1>\n<p>One\n two<br>three</p>\
                <ul><li>a<li>b</ul><p><a href='https://h/?x=1&amp;y=2'>Go</a> <a href=\"https://h\">https://h</a></p>\
                <img alt=\"Logo\" src=x><!-- <p>no</p> --><table><tr><td>k</td><td>v</td></tr></table>a &lt; b</body></html>";
    assert_eq!(
        text::from_html(page),
        "Hi & hello\n\nOne two\nthree\n\n- a\n- b\n\nGo: https://h/?x=1&y=2 https://h\n\nLogo\n\nk v\n\na < b\n"
    );
    assert_eq!(text::from_html("unfinished <p class='x"), "unfinished\n");
    assert_eq!(text::from_html("<script>if (a < b) {}</script>ok"), "ok\n");
    assert_eq!(text::from_html(""), "\n");
}

#[test]
fn what_is_kept_of_a_mail_holds_neither_link_nor_code() {
    let text = "Go to https://h/if/flow/x/?next=%2F&flow_token=abc123 or https://h/?itoken=5e-1&y, code 424242.";
    let hidden = hide_secrets(text, &["424242".to_owned(), String::new()]);
    let mask = weir_events::MASK;
    assert_eq!(
        hidden,
        format!("Go to https://h/if/flow/x/?next=%2F&flow_token={mask} or https://h/?itoken={mask}&y, code {mask}.")
    );
}

#[test]
fn a_draft_becomes_one_mail_with_a_one_line_subject() {
    let mailer = Mailer::new(MailSettings::default()).unwrap();
    let write = |tag: &str, subject: &str| {
        let head = head(tag);
        let to = vec![Mailbox::new("Jane\r\nBcc: evil@example.org", "jane@example.org")];
        let draft = crate::Draft {
            template: "email/email_otp.html",
            subject,
            to,
            head: &head,
            data: data(json!({"code": "123456", "user": {"username": "jane"}})),
            secrets: vec!["123456".to_owned()],
        };
        mailer.write(draft).unwrap()
    };
    let mail = write("de", "authentik Sign-in code");
    assert_eq!((mail.subject.as_str(), mail.to[0].name.contains('\n')), ("Ihr Einmalcode", false));
    assert!(mail.text.contains("123456") && mail.html.as_ref().unwrap().contains(">123456</p>"));
    assert!(!format!("{mail:?}").contains("123456"));
    assert_eq!(write("en", "a\r\nBcc: b").subject, "a  Bcc: b");
}

#[test]
fn only_pictures_that_mail_programs_show_become_logos() {
    let snapshot = Snapshot::default();
    let plain = Letterhead::new(&snapshot, None, "https://id.example.org/weir/", Locale::english());
    assert_eq!((plain.logo.as_deref(), plain.host().is_empty()), (None, false));
    assert_eq!(Letterhead::new(&snapshot, None, "https://h:8/p", Locale::english()).host(), "h:8");
}
