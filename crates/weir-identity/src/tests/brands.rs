//! The brand of a host.

use super::*;

#[tokio::test]
async fn the_longest_matching_domain_wins_then_the_default_then_the_built_in() {
    let f = fixture().await;
    let of = |host: &str| brand_for_host(&f.site.snapshot(), host).1.domain.clone();
    assert_eq!(of("example.org"), "fallback");
    let main =
        json!({"domain": "Example.org", "attributes": {"settings": {"locale": "de", "theme": {"base": "dark"}}}});
    f.make::<Brand>(main).await;
    f.make::<Brand>(json!({"domain": "id.example.org"})).await;
    assert_eq!(of("other.net"), "fallback");
    let standard = f.make::<Brand>(json!({"domain": "a-very-long-default-domain", "default": true})).await;
    assert_eq!(of("other.net"), "a-very-long-default-domain");
    assert_eq!(of("example.org"), "Example.org");
    assert_eq!(of("WWW.example.ORG:9443"), "Example.org");
    assert_eq!(of("id.example.org:80"), "id.example.org");
    assert_eq!(of("[::1]:9000"), "a-very-long-default-domain");
    let (id, _) = brand_for_host(&f.site.snapshot(), "other.net");
    assert_eq!(id.unwrap().to_string(), standard.pk);
    let shown = current_brand(&f.site, &f.site.snapshot(), "www.example.org");
    assert_eq!(shown["matched_domain"], "Example.org");
    assert_eq!(shown["default_locale"], "de");
    assert_eq!(shown["ui_theme"], "dark");
    assert_eq!(shown["branding_title"], "authentik");
    assert_eq!(shown["flags"], json!({"flows_continuous_login": false, "flows_refresh_others": false}));
    assert!(shown.get("flow_authentication").is_none());
}

#[tokio::test]
async fn there_is_one_default_and_each_domain_once() {
    let f = fixture().await;
    let first = f.make::<Brand>(json!({"domain": "a", "default": true})).await;
    let error = f.try_make::<Brand>(None, json!({"domain": "b", "default": true})).await.err().unwrap();
    assert_eq!(texts(error), json!({"default": ["Only a single brand can be set as default."]}));
    let error = f.try_make::<Brand>(None, json!({"domain": "a"})).await.err().unwrap();
    assert_eq!(texts(error), json!({"domain": ["Brand with this domain already exists."]}));
    f.patch::<Brand>(&first.pk, json!({"default": true, "branding_title": "x"})).await;
    let error = f.try_make::<Brand>(None, json!({"domain": "c", "web_certificate": first.pk})).await.err().unwrap();
    assert_eq!(error.status(), 400);
}
