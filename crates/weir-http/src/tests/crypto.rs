//! Certificates and their keys.

use super::*;

const BASE: &str = "/crypto/certificatekeypairs/";

/// A pair made by the server: its answer, certificate and key.
async fn made(api: &Api, name: &str, alg: &str) -> (Value, String, String) {
    let body =
        json!({"common_name": name, "validity_days": 30, "alg": alg, "subject_alt_name": "a.example.org, 192.0.2.1"});
    let pair = api.post(&format!("{BASE}generate/"), body).admin().send().await.expect(200);
    let pk = pair["pk"].as_str().unwrap().to_owned();
    let half = |what: &str| api.get(&format!("{BASE}{pk}/{what}/")).admin();
    let certificate = half("view_certificate").send().await.expect(200);
    let key = half("view_private_key").send().await.expect(200);
    let text = |data: &Value| data["data"].as_str().unwrap().to_owned();
    (pair, text(&certificate), text(&key))
}

#[tokio::test]
async fn a_made_certificate_shows_what_it_says_but_not_itself() {
    let api = Api::start().await;
    for (alg, kind) in [("ecdsa", "ec"), ("ed25519", "ed25519"), ("ed448", "ed448"), ("rsa", "rsa")] {
        let (pair, certificate, key) = made(&api, alg, alg).await;
        assert_eq!((&pair["key_type"], &pair["private_key_available"]), (&json!(kind), &json!(true)));
        assert_eq!((&pair["name"], &pair["managed"]), (&json!(alg), &Value::Null));
        let expiry: DateTime<Utc> = pair["cert_expiry"].as_str().unwrap().parse().unwrap();
        assert_eq!(expiry, api.clock.now() + TimeDelta::days(30));
        assert_eq!(pair["cert_subject"], format!("OU=Self-signed,O=Weir,CN={alg}"));
        let shown = pair.to_string();
        assert!(!shown.contains("BEGIN") && !shown.contains("_data"), "{shown}");
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    }
    let none = json!({"common_name": "x", "validity_days": 1});
    let pair = api.post(&format!("{BASE}generate/"), none).admin().send().await.expect(200);
    assert_eq!(pair["key_type"], "rsa");
}

#[tokio::test]
async fn what_cannot_be_made_is_refused() {
    let api = Api::start().await;
    made(&api, "taken", "ed25519").await;
    for (body, field) in [
        (json!({"validity_days": 1}), "common_name"),
        (json!({"common_name": "", "validity_days": 1}), "common_name"),
        (json!({"common_name": "x".repeat(65), "validity_days": 1}), "common_name"),
        (json!({"common_name": "taken", "validity_days": 1}), "common_name"),
        (json!({"common_name": "x"}), "validity_days"),
        (json!({"common_name": "x", "validity_days": 0}), "validity_days"),
        (json!({"common_name": "x", "validity_days": 100_000}), "validity_days"),
        (json!({"common_name": "x", "validity_days": "y"}), "validity_days"),
        (json!({"common_name": "x", "validity_days": 1, "alg": "dsa"}), "alg"),
        (json!({"common_name": "x", "validity_days": 1, "subject_alt_name": "grün"}), "subject_alt_name"),
    ] {
        let answer = api.post(&format!("{BASE}generate/"), body.clone()).admin().send().await.expect(400);
        assert!(answer.get(field).is_some(), "{body} {answer}");
    }
}

#[tokio::test]
async fn a_pair_is_kept_only_when_its_halves_belong_together() {
    let api = Api::start().await;
    let (_, certificate, key) = made(&api, "one", "ecdsa").await;
    let (_, foreign, _) = made(&api, "two", "ecdsa").await;
    let create = |body: Value| api.post(BASE, body).admin().send();
    let with_key = create(json!({"name": "a", "certificate_data": certificate, "key_data": key})).await.expect(201);
    let without = create(json!({"name": "b", "certificate_data": certificate})).await.expect(201);
    assert_eq!((&with_key["private_key_available"], &without["private_key_available"]), (&json!(true), &json!(false)));
    assert_eq!(with_key["fingerprint_sha256"], without["fingerprint_sha256"]);
    for (body, field, text) in [
        (json!({"name": "c"}), "certificate_data", "This field is required."),
        (json!({"name": "c", "certificate_data": ""}), "certificate_data", "This field may not be blank."),
        (json!({"name": "c", "certificate_data": "x"}), "certificate_data", "This is no certificate in PEM form."),
        (json!({"name": "c", "certificate_data": key}), "certificate_data", "This is no certificate in PEM form."),
        (
            json!({"name": "c", "certificate_data": certificate, "key_data": "x"}),
            "key_data",
            "This is no private key in PEM form.",
        ),
        (
            json!({"name": "c", "certificate_data": foreign, "key_data": key}),
            "key_data",
            "The private key does not belong to the certificate.",
        ),
    ] {
        assert_eq!(create(body).await.expect(400), json!({field: [text]}));
    }
    let item = format!("{BASE}{}/", with_key["pk"].as_str().unwrap());
    let patch = |body: Value| api.patch(&item, body).admin().send();
    assert_eq!(patch(json!({"certificate_data": foreign})).await.status, 400);
    assert_eq!(patch(json!({"name": "renamed"})).await.expect(200)["private_key_available"], true);
    let whole = json!({"name": "again", "certificate_data": certificate});
    let replaced = api.put(&item, whole).admin().send().await.expect(200);
    assert_eq!(replaced["private_key_available"], true, "what is not given again is kept");
    let both = json!({"certificate_data": foreign, "key_data": ""});
    let changed = patch(both).await.expect(200);
    assert_ne!(changed["fingerprint_sha1"], with_key["fingerprint_sha1"]);
    assert_eq!(changed["private_key_available"], false);
}

#[tokio::test]
async fn what_the_server_works_out_is_not_taken_from_a_body() {
    let api = Api::start().await;
    let (pair, certificate, _) = made(&api, "one", "ed25519").await;
    let body = json!({
        "name": "a", "certificate_data": certificate, "fingerprint_sha256": "x", "private_key_available": true,
        "managed": "goauthentik.io/x", "cert_subject": "CN=root",
    });
    let other = api.post(BASE, body).admin().send().await.expect(201);
    assert_eq!(other["fingerprint_sha256"], pair["fingerprint_sha256"]);
    assert_eq!(other["private_key_available"], false);
    assert_eq!((&other["managed"], &other["cert_subject"]), (&Value::Null, &pair["cert_subject"]));
}

#[tokio::test]
async fn the_list_is_filtered_by_key_and_kind() {
    let api = Api::start().await;
    let (_, certificate, _) = made(&api, "ec-pair", "ecdsa").await;
    made(&api, "ed-pair", "ed25519").await;
    api.post(BASE, json!({"name": "lone", "certificate_data": certificate})).admin().send().await.expect(201);
    for (query, expected) in [
        ("", vec!["ec-pair", "ed-pair", "lone"]),
        ("has_key=true", vec!["ec-pair", "ed-pair"]),
        ("has_key=false", vec!["lone"]),
        ("key_type=ec", vec!["ec-pair", "lone"]),
        ("key_type=ec&key_type=ed25519&has_key=true", vec!["ec-pair", "ed-pair"]),
        ("key_type=dsa", vec![]),
        ("name=lone", vec!["lone"]),
        ("search=CN%3Ded", vec!["ed-pair"]),
        ("managed=x", vec![]),
        ("ordering=-name&page_size=1", vec!["lone"]),
    ] {
        let found = api.get(&format!("{BASE}?{query}")).admin().send().await.expect(200);
        assert_eq!(column(&found, "name"), expected, "{query}");
    }
    for query in ["has_key=maybe", "key_type=x"] {
        assert_eq!(api.get(&format!("{BASE}?{query}")).admin().send().await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn each_half_has_a_right_of_its_own_and_is_put_on_record() {
    let api = Api::start().await;
    let (pair, _, key) = made(&api, "a pair/../x", "ed25519").await;
    let pk = pair["pk"].as_str().unwrap();
    let (certificate, private) = (format!("{BASE}{pk}/view_certificate/"), format!("{BASE}{pk}/view_private_key/"));
    api.grant(api.user.id, &["authentik_crypto.view_certificatekeypair"], None).await;
    assert_eq!(api.get(&certificate).user().send().await.status, 403);
    let one = Some(("authentik_crypto.certificatekeypair", pk));
    api.grant(api.user.id, &["authentik_crypto.view_certificatekeypair_certificate"], one).await;
    api.get(&certificate).user().send().await.expect(200);
    assert_eq!(api.get(&private).user().send().await.status, 403);
    api.grant(api.user.id, &["authentik_crypto.view_certificatekeypair_key"], None).await;
    for query in ["?download", "?download=true"] {
        let file = api.get(&format!("{private}{query}")).user().send().await;
        assert_eq!((file.status, &file.text), (200, &key));
        assert_eq!(file.headers["content-type"], "application/x-pem-file");
        assert_eq!(file.headers["content-disposition"], "attachment; filename=\"a_pair_.._x_private_key.pem\"");
    }
    let sql = "SELECT context FROM audit_event WHERE action = 'secret_view' AND username = 'user'";
    let rows = api.app.site.db.read(sql, &[]).await.unwrap();
    let seen: Vec<Value> = rows.iter().map(|row| row.json("context").unwrap()).collect();
    assert!(seen.iter().all(|event| event["secret"]["name"] == "a pair/../x"), "{seen:?}");
    let mut kinds: Vec<&str> = seen.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["certificate", "private_key", "private_key"]);
    let all = api.app.site.db.read("SELECT context FROM audit_event", &[]).await.unwrap();
    assert!(all.iter().all(|row| !row.text("context").unwrap().contains("BEGIN")), "events hold no half of a pair");
}

#[tokio::test]
async fn a_brand_refers_to_certificates_that_exist() {
    let api = Api::start().await;
    let (pair, ..) = made(&api, "ca", "ed25519").await;
    let pk = pair["pk"].as_str().unwrap();
    let brand = json!({"domain": "x.example.org", "client_certificates": [pk], "web_certificate": pk});
    let brand = api.post("/core/brands/", brand).admin().send().await.expect(201);
    let used = api.get(&format!("{BASE}{pk}/used_by/")).admin().send().await.expect(200);
    let actions: Vec<&str> = used.as_array().unwrap().iter().map(|u| u["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["cascade_many", "set_null"]);
    assert_eq!(api.delete(&format!("{BASE}{pk}/")).admin().send().await.status, 204);
    let path = format!("/core/brands/{}/", brand["brand_uuid"].as_str().unwrap());
    let after = api.get(&path).admin().send().await.expect(200);
    assert_eq!((&after["client_certificates"], &after["web_certificate"]), (&json!([]), &Value::Null));
}
