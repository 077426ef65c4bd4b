//! Settings, system, version, configuration, brand, the description of the interface.

use super::*;

#[tokio::test]
async fn settings_are_changed_for_everybody_at_once() {
    let api = Api::start().await;
    let before = api.get("/admin/settings/").admin().send().await.expect(200);
    assert_eq!(api.put("/admin/settings/", before.clone()).admin().send().await.expect(200), before);
    let changed = api.patch("/admin/settings/", json!({"pagination_default_page_size": 1})).admin().send().await;
    assert_eq!(changed.expect(200)["pagination_default_page_size"], 1);
    assert_eq!(api.get("/core/users/").admin().send().await.expect(200)["results"].as_array().unwrap().len(), 1);
    let events = api.get("/events/events/?context_model_name=tenant").admin().send().await.expect(200);
    assert_eq!(events["pagination"]["count"], 1, "writing back what stands is no change");
    api.app.site.reload().await.unwrap();
    assert_eq!(api.app.site.snapshot().settings.pagination_default_page_size, 1);
}

#[tokio::test]
async fn bad_settings_are_refused() {
    let api = Api::start().await;
    let missing = api.put("/admin/settings/", json!({})).admin().send().await.expect(400);
    assert_eq!(missing, json!({"flags": ["This field is required."]}));
    let patch = async |body: Value| api.patch("/admin/settings/", body).admin().send().await.expect(400);
    assert!(patch(json!({"event_retention": "soon"})).await.get("event_retention").is_some());
    assert!(patch(json!({"reputation_lower_limit": 1})).await.get("reputation_lower_limit").is_some());
    assert!(patch(json!({"flags": {"flows_refresh_others": 7}})).await.get("flags").is_some());
    assert!(
        patch(json!({"footer_links": [{"name": "x", "href": "javascript:1"}]})).await.get("footer_links").is_some()
    );
    assert_eq!(api.get("/admin/settings/").user().send().await.status, 403);
    api.grant(api.user.id, &["authentik_rbac.view_system_settings"], None).await;
    assert_eq!(api.get("/admin/settings/").user().send().await.status, 200);
    assert_eq!(api.patch("/admin/settings/", json!({})).user().send().await.status, 403);
}

#[tokio::test]
async fn the_system_is_described_without_secrets() {
    let api = Api::start().await;
    let system = api.get("/admin/system/").admin().header("x-probe", "1").send().await.expect(200);
    assert_eq!(system["http_host"], "id.example.org");
    assert_eq!(system["http_headers"]["x-probe"], "1");
    assert!(!system.to_string().contains(&api.admin.key));
    assert_eq!(api.request("POST", "/admin/system/").admin().send().await.status, 200);
    let version = api.get("/admin/version/").user().send().await.expect(200);
    assert_eq!(version["version_current"], "2026.8.5");
    let history = api.get("/admin/version/history/").admin().send().await.expect(200);
    assert_eq!(api.get("/admin/version/history/1/").admin().send().await.expect(200), history[0]);
    assert_eq!(api.get("/admin/version/history/2/").admin().send().await.status, 404);
    let models = api.get("/admin/models/?filter_has_attributes=true").user().send().await.expect(200);
    assert!(models.as_array().unwrap().iter().any(|m| m["name"] == "authentik_core.user"));
    assert!(api.get("/admin/apps/").user().send().await.expect(200).as_array().unwrap().len() > 3);
}

#[tokio::test]
async fn everybody_may_know_the_configuration_and_the_brand() {
    let api = Api::start().await;
    let config = api.get("/root/config/").send().await.expect(200);
    assert_eq!(config["cache_timeout_flows"], 300);
    assert_eq!(config["capabilities"], json!(["can_impersonate"]));
    for path in ["/core/users/export/", "/events/events/export/"] {
        assert_eq!(api.request("POST", path).admin().send().await.status, 501, "no capability, no export");
    }
    let fallback = api.get("/core/brands/current/").send().await.expect(200);
    assert_eq!(fallback["matched_domain"], "fallback");
    let body = json!({"domain": "example.org", "branding_title": "Example"});
    api.post("/core/brands/", body).admin().send().await.expect(201);
    let brand = api.get("/core/brands/current/").send().await.expect(200);
    assert_eq!(brand["branding_title"], "Example");
    let elsewhere = api.get("/core/brands/current/").header("x-forwarded-host", "elsewhere.test");
    assert_eq!(elsewhere.send().await.expect(200)["branding_title"], "Example", "the peer is no trusted proxy");
}

#[tokio::test]
async fn logos_are_addresses_paths_of_the_site_or_uploaded_files() {
    let api = Api::start().await;
    let body = json!({"domain": "example.org"});
    let brand = api.post("/core/brands/", body).admin().send().await.expect(201);
    let path = format!("/core/brands/{}/", brand["brand_uuid"].as_str().unwrap());
    for (given, shown) in [
        ("https://example.org/l.png", "https://example.org/l.png"),
        ("/static/l.png", "/static/l.png"),
        ("logo.png", "/media/public/logo.png"),
        ("javascript:alert(1)", "/media/public/javascript:alert(1)"),
        ("//example.org/l.png", "/media/public/example.org/l.png"),
        ("/\\example.org/l.png", "/media/public/example.org/l.png"),
    ] {
        api.patch(&path, json!({"branding_logo": given})).admin().send().await.expect(200);
        let current = api.get("/core/brands/current/").send().await.expect(200);
        assert_eq!((&current["branding_logo"], &current["branding_logo_themed_urls"]), (&json!(shown), &Value::Null));
    }
    api.patch(&path, json!({"branding_favicon": "icon-%(theme)s.png"})).admin().send().await.expect(200);
    let current = api.get("/core/brands/current/").send().await.expect(200);
    let themed = json!({"light": "/media/public/icon-light.png", "dark": "/media/public/icon-dark.png"});
    assert_eq!(current["branding_favicon_themed_urls"], themed);
}

#[tokio::test]
async fn the_interface_describes_itself() {
    let api = Api::start().await;
    let document = api.get("/schema/?format=json").send().await.expect(200);
    assert_eq!(document["openapi"], "3.0.3");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.contains_key("/stages/dummy/{stage_uuid}/"));
    assert!(!paths.contains_key("/providers/oauth2/"), "only what is served is described");
    let help = &document["components"]["schemas"]["DummyStageRequest"]["properties"]["throw_error"]["description"];
    assert_eq!(help, "Fails when shown.");
    let again = api.get("/schema/").header("accept", "application/json").send().await.expect(200);
    assert_eq!(again, document);
    let yaml = api.get("/schema/?format=yaml").send().await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    assert!(yaml.text.contains("\"openapi\": \"3.0.3\"\n"));
}

#[test]
fn yaml_nests_by_indentation() {
    let value = json!({"a": {"b": [1, {"c": "x: y"}], "d": {}}, "e": []});
    assert_eq!(
        crate::openapi::to_yaml(&value),
        "\"a\":\n  \"b\":\n    - 1\n    -\n      \"c\": \"x: y\"\n  \"d\": {}\n\"e\": []\n"
    );
}
