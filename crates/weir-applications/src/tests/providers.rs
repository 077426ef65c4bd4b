use super::*;
use crate::{launch_url, provider};
use weir_core::{Map, validate::Mode};
use weir_resource::{Presenting, present_one, used_by};

#[tokio::test]
async fn numbers_of_providers_count_over_all_kinds_and_are_never_given_twice() {
    let site = site().await;
    assert_eq!(front(&site, "a").await.pk, "1");
    assert_eq!(back(&site, "b").await.pk, "2");
    let kind = site.app.site.registry.find(BACK).unwrap();
    let mut unit = site.unit();
    unit.delete(kind, "2").await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(back(&site, "b").await.pk, "3");
    let mut unit = site.unit();
    let body = weir_testkit::map(json!({"name": "c"}));
    assert_eq!(unit.create(kind, &body, Some("9".to_owned())).await.unwrap().pk, "9");
    unit.commit().await.unwrap();
    assert_eq!(front(&site, "d").await.pk, "10", "numbers that an import chose are left out");
    let taken = site.try_make(BACK, json!({"name": "a"})).await.err().unwrap();
    assert_eq!(refused(&taken, "name"), "Back Provider with this name already exists.");
    site.app.site.reload().await.unwrap();
    let snapshot = site.app.site.snapshot();
    let found = provider::find(&snapshot, 9).unwrap();
    assert_eq!((found.pk().as_str(), found.text("name")), ("9", "c"));
    for (kind, pk) in [(kind, "1"), (kind, "0"), (kind, "-3"), (kind, "x"), (kind, "99999999999999999999")] {
        assert!(site.unit().find(kind, pk).await.unwrap().is_none(), "{pk} is none of this kind");
    }
}

#[tokio::test]
async fn an_application_refers_to_providers_by_number_and_lets_go_of_deleted_ones() {
    let site = site().await;
    let (one, two, three) = (front(&site, "one").await, back(&site, "two").await, back(&site, "three").await);
    // Users have the same numbers, and mean somebody else.
    site.user("ann", "").await;
    let body = json!({"name": "Wiki", "slug": "wiki", "provider": 1, "backchannel_providers": [2, 3, 2]});
    let wiki = site.try_make(APPLICATION, body).await.unwrap();
    assert_eq!(wiki.doc["backchannel_providers"], json!([2, 3]));
    let second = json!({"name": "Second", "slug": "second", "provider": 1});
    let second = site.try_make(APPLICATION, second).await.err().unwrap();
    assert_eq!(refused(&second, "provider"), "Application with this provider already exists.");
    let missing = site.try_make(APPLICATION, json!({"name": "x", "slug": "x", "provider": 7})).await.err().unwrap();
    assert_eq!(refused(&missing, "provider"), "Invalid pk \"7\" - object does not exist.");
    let snapshot = site.app.site.snapshot();
    let used = used_by(&snapshot, &one);
    assert_eq!((used.len(), used[0].model_name, used[0].name.as_str()), (1, "application", "Wiki"));
    let shown = shown(&site, &one).await;
    assert_eq!((&shown["pk"], &shown["assigned_application_slug"]), (&json!(1), &json!("wiki")));
    assert_eq!(shown["assigned_backchannel_application_slug"], Value::Null);
    let behind = self::shown(&site, &two).await;
    assert_eq!(behind["assigned_backchannel_application_name"], "Wiki");
    assert!(!behind.contains_key("assigned_application_slug"), "nobody signs in through it");
    let answer = self::shown(&site, &wiki).await;
    assert_eq!((&answer["provider_obj"]["name"], &answer["pbm_uuid"]), (&json!("one"), &answer["pk"]));
    assert_eq!(answer["backchannel_providers_obj"][1]["name"], "three");
    assert_eq!(answer["backchannel_providers_obj"][0]["assigned_application_slug"], Value::Null);
    let mut unit = site.unit();
    unit.delete(one.kind, "1").await.unwrap();
    unit.delete(three.kind, "3").await.unwrap();
    unit.commit().await.unwrap();
    let key = wiki.pk.parse().unwrap();
    let left = site.app.site.snapshot().get::<Application>(key).unwrap();
    assert_eq!((left.provider.clone(), left.backchannel_providers.len()), (None, 1));
    assert!(site.app.site.snapshot().find(key).is_some());
}

#[tokio::test]
async fn a_reference_to_one_kind_takes_no_other() {
    let site = site().await;
    front(&site, "one").await;
    back(&site, "two").await;
    assert!(site.try_make(BACK, json!({"name": "x", "tokens_of": 1})).await.is_ok());
    let wrong = site.try_make(BACK, json!({"name": "y", "tokens_of": 2})).await.err().unwrap();
    assert_eq!(refused(&wrong, "tokens_of"), "Invalid pk \"2\" - object does not exist.");
    let wrong = site.try_make(APPLICATION, json!({"name": "a", "slug": "a", "provider": 2})).await.err().unwrap();
    assert!(refused(&wrong, "provider").starts_with("Nobody signs in through this provider"));
    let wrong = json!({"name": "a", "slug": "a", "backchannel_providers": [1]});
    let wrong = site.try_make(APPLICATION, wrong).await.err().unwrap();
    assert!(refused(&wrong, "backchannel_providers").starts_with("A provider that people sign in through"));
}

#[tokio::test]
async fn a_slug_that_is_an_address_of_the_site_and_a_launch_address_that_is_none_are_refused() {
    let site = site().await;
    for slug in ["authorize", "token", "device", "userinfo", "introspect", "revoke"] {
        let taken = site.try_make(APPLICATION, json!({"name": "a", "slug": slug})).await.err().unwrap();
        assert!(refused(&taken, "slug").contains("address of the site"), "{slug}");
    }
    for url in ["javascript:alert(1)", "data:text/html,x", "wiki", "JavaScript://%0aalert(1)"] {
        let body = json!({"name": "a", "slug": "a", "meta_launch_url": url});
        let wrong = site.try_make(APPLICATION, body).await.err().unwrap();
        assert_eq!(refused(&wrong, "meta_launch_url"), "Enter a valid URL.", "{url}");
    }
    for (slug, url) in [("a", "blank://blank"), ("b", "https://wiki.example/%(username)s"), ("c", "")] {
        let body = json!({"name": "a", "slug": slug, "meta_launch_url": url});
        assert!(site.try_make(APPLICATION, body).await.is_ok(), "{url}");
    }
}

#[tokio::test]
async fn a_launch_address_takes_fields_of_the_user_and_nothing_else() {
    let site = site().await;
    let ann = site.user("ann/../x", "").await;
    let ann = site.account(ann).await;
    let url = |template: &str| launch_url(template, Some(&ann), "install");
    assert_eq!(url(""), None);
    assert_eq!(url("https://wiki.example/"), Some("https://wiki.example/".to_owned()));
    let template = "https://wiki.example/%(username)s?m=%(email)s&id=%(pk)s";
    let expected = format!("https://wiki.example/ann%2F%2E%2E%2Fx?m=ann%2F%2E%2E%2Fx%40example%2Eorg&id={}", ann.id);
    assert_eq!(url(template).unwrap(), expected);
    assert_eq!(url("https://x/%(password)s").unwrap(), "https://x/%(password)s");
    assert_eq!(url("https://x/%20%(username").unwrap(), "https://x/%20%(username");
    assert_eq!(launch_url("https://x/%(username)s", None, "i").unwrap(), "https://x/%(username)s");
}

#[tokio::test]
async fn a_deleted_application_takes_consents_with_it() {
    let site = site().await;
    let ann = site.user("ann", "").await;
    let wiki = site.try_make(APPLICATION, json!({"name": "Wiki", "slug": "wiki"})).await.unwrap();
    let mut unit = site.unit();
    let sql = "INSERT INTO identity_consent (user_id, application_id, security_epoch) VALUES ($1, $2, 0)";
    unit.tx.write(sql, &[ann.into(), wiki.pk.clone().into()]).await.unwrap();
    unit.tx.write(sql, &[ann.into(), "other".into()]).await.unwrap();
    unit.delete(wiki.kind, &wiki.pk).await.unwrap();
    unit.commit().await.unwrap();
    let rows = site.db.read("SELECT application_id FROM identity_consent", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn what_a_provider_keeps_through_a_change_is_its_number() {
    let site = site().await;
    let one = back(&site, "one").await;
    let mut unit = site.unit();
    let body = weir_testkit::map(json!({"name": "uno"}));
    let changed = unit.update(one.kind, &one.pk, &body, Mode::Patch).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!((changed.pk.as_str(), changed.text("name")), ("1", "uno"));
    let events = site.db.read("SELECT context FROM audit_event ORDER BY created", &[]).await.unwrap();
    let last: Value = events.last().unwrap().json("context").unwrap();
    assert_eq!(last["model"]["pk"], 1, "{last}");
}

async fn shown(site: &TestSite, object: &Stored) -> Map {
    let snapshot = site.app.site.snapshot();
    let cx = Presenting {
        site: &site.app.site,
        snapshot: &snapshot,
        query: &[],
        user_id: None,
        session: None,
        base_url: "",
        operation: "",
    };
    present_one(&cx, object).await.unwrap()
}
