//! What needs no database.

use crate::{attributes, avatar, permission, resources, session};
use serde_json::json;
use weir_core::{Map, Registry};
use weir_resource::Settings;
use weir_store::Dialect;

fn map(value: serde_json::Value) -> Map {
    super::map(value)
}

#[test]
fn objects_merge_deeply_lists_take_what_they_lack_and_scalars_are_replaced() {
    let mut base = map(json!({"a": {"x": 1, "y": [1, 2]}, "b": "low", "c": 1}));
    attributes::merge(&mut base, &map(json!({"a": {"y": [2, 3], "z": true}, "b": "high", "c": {"d": 1}})));
    assert_eq!(base, map(json!({"a": {"x": 1, "y": [1, 2, 3], "z": true}, "b": "high", "c": {"d": 1}})));
}

#[test]
fn attribute_filters_refuse_what_they_cannot_compare() {
    let refused = |text: &str| attributes::conditions(Dialect::Sqlite, "attributes", text).is_err();
    assert!(refused("no json"));
    assert!(refused("[1]"));
    assert!(refused(r#"{"a__in": []}"#));
    assert!(refused(r#"{"a": [{"b": 1}]}"#));
    assert!(refused(r#"{"a__regex": "x"}"#));
    assert!(refused(r#"{"a__gt": "x"}"#));
    assert!(refused(r#"{"a____b": 1}"#));
    assert!(!refused(r#"{"a__b__icontains": "x", "c": null, "d": {"e": 1}}"#));
}

#[test]
fn every_expression_for_user_agents_compiles() {
    let ((browsers, browser_texts), (systems, system_texts)) = session::table_sizes();
    assert_eq!((browsers, systems), (browser_texts, system_texts));
}

#[test]
fn user_agents_are_recognised() {
    let families = |text: &str| {
        let seen = session::describe(text);
        let part = |a: &str, b: &str| seen[a][b].as_str().unwrap_or("-").to_owned();
        [
            part("user_agent", "family"),
            part("user_agent", "major"),
            part("os", "family"),
            part("os", "major"),
            part("device", "family"),
        ]
    };
    assert_eq!(
        families(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.87"
        ),
        ["Edge", "126", "Windows", "10", "Other"]
    );
    assert_eq!(
        families("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"),
        ["Firefox", "127", "Ubuntu", "-", "Other"]
    );
    assert_eq!(
        families(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
        ),
        ["Mobile Safari", "17", "iOS", "17", "iPhone"]
    );
    assert_eq!(
        families(
            "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.6478.71 Mobile Safari/537.36"
        ),
        ["Chrome Mobile", "126", "Android", "14", "Generic Smartphone"]
    );
    assert_eq!(families("curl/8.5.0"), ["curl", "8", "Other", "-", "Other"]);
    assert_eq!(families(""), ["Other", "", "Other", "-", "Other"]);
}

#[test]
fn no_two_permissions_share_a_number() {
    let all = permission::all(&Registry::new(resources()));
    let mut numbers: Vec<i64> = all.iter().map(|p| p.id).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), all.len());
    let one = all.iter().find(|p| p.full == "authentik_core.reset_user_password").unwrap();
    assert_eq!(one.full_model(), "authentik_core.user");
    assert_eq!(one.app_label_verbose(), "authentik Core");
    assert_eq!(one.id, permission::number("authentik_core.reset_user_password"));
    let system = all.iter().find(|p| p.full == "authentik_rbac.view_system_info").unwrap();
    assert_eq!(system.full_model(), permission::SYSTEM_MODEL);
    let view = all.iter().find(|p| p.full == "authentik_core.view_user").unwrap();
    assert_eq!(view.name, "Can view User");
}

/// Knows of pictures at one host, of none at another, and nothing of the rest.
struct Known;

#[async_trait::async_trait]
impl weir_resource::Pictures for Known {
    fn look(&self, address: &str) -> Option<bool> {
        match address {
            a if a.starts_with("https://a.example/") => Some(true),
            a if a.starts_with("https://www.gravatar.com/avatar/") => {
                Some(a.contains(&crate::digest("jo@example.org")))
            }
            a if a.starts_with("https://none.example/") => Some(false),
            _ => None,
        }
    }
    async fn settle(&self, _: &[String]) {}
}

#[test]
fn avatars_follow_the_order_of_the_setting() {
    let attributes = map(json!({
        "photo": {"small": "https://example.org/p.png", "odd": "javascript:alert(1)", "far": "//example.org/p.png"},
        "upn": "a@b",
    }));
    let subject =
        avatar::Subject { username: "jo", name: "Jo van <Doe>", email: "JO@example.org", attributes: &attributes };
    let with = |avatars: &str| {
        let settings = Settings { avatars: avatars.to_owned(), ..Settings::default() };
        avatar::choose(&settings, Some(&Known), &subject)
    };
    assert_eq!(with("none"), avatar::DEFAULT_AVATAR);
    assert_eq!(
        with("attributes.photo.large,attributes.photo.odd,attributes.photo.far,attributes.photo.small,none"),
        "https://example.org/p.png"
    );
    assert_eq!(with("unknown"), avatar::DEFAULT_AVATAR);
    assert_eq!(
        with("https://a.example/%(username)s/%(mail_hash)s/%(upn)s"),
        "https://a.example/jo/5d35a5aa9a52b6b52d7a5b2e9ef7a29b/a%40b".replace("5d35a5aa9a52b6b52d7a5b2e9ef7a29b", &{
            use md5::Digest as _;
            md5::Md5::digest(b"jo@example.org").iter().map(|b| format!("{b:02x}")).collect::<String>()
        })
    );
    assert_eq!(with("https://none.example/x,https://unknown.example/x,https://a.example/y"), "https://a.example/y");
    let gravatar = with("gravatar,initials");
    assert!(gravatar.contains(&crate::digest("jo@example.org")), "the address in small letters: {gravatar}");
    let nobody = avatar::Subject { email: "", ..subject };
    let settings = Settings::default();
    let drawn = avatar::choose(&settings, Some(&Known), &nobody);
    assert_eq!(drawn, avatar::choose(&settings, None, &subject), "nobody to ask");
    assert!(drawn.starts_with("data:image/svg+xml;base64,"));
    use base64::Engine as _;
    let svg = base64::engine::general_purpose::STANDARD.decode(drawn.rsplit(',').next().unwrap()).unwrap();
    assert!(String::from_utf8(svg).unwrap().contains(">J&lt;<"));
}
