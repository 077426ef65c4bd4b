//! Who calls: tokens, sessions, forged requests, impersonation, outposts, client addresses.

use super::*;

const ME: &str = "/core/users/me/";

#[tokio::test]
async fn without_credentials_the_answer_is_403() {
    let api = Api::start().await;
    let answer = api.get(ME).send().await;
    assert_eq!(answer.detail(403), "Authentication credentials were not provided.");
    assert_eq!(answer.body["code"], "not_authenticated");
}

#[tokio::test]
async fn a_bearer_that_is_no_good_is_refused_even_beside_a_good_cookie() {
    let api = Api::start().await;
    let session = api.sign_in(api.user.id).await;
    for header in ["Bearer nonsense", "Bearer ", "Bearer"] {
        let answer = api.get(ME).header("authorization", header).browser(&session).send().await;
        assert_eq!(answer.detail(403), "Token invalid/expired", "{header}");
    }
    for header in ["Basic dTpw", "Token abc", "nonsense"] {
        let answer = api.get(ME).header("authorization", header).browser(&session).send().await;
        assert_eq!(answer.detail(403), "Unsupported authentication type", "{header}");
    }
    // Public operations do not pass over it either.
    let answer = api.get("/root/config/").header("authorization", "Bearer nonsense").send().await;
    assert_eq!(answer.detail(403), "Token invalid/expired");
}

#[tokio::test]
async fn a_token_stops_with_its_end_its_user_and_its_epoch() {
    let api = Api::start().await;
    let now = api.clock.now();
    let mut unit = Unit::new(&api.app.site, Actor::system());
    let wish =
        NewToken { expires: Some(now + TimeDelta::hours(1)), ..NewToken::new("short", api.user.id, Intent::Api) };
    let (_, short) = token::mint(&mut unit, wish).await.unwrap();
    let (_, password) = token::mint(&mut unit, NewToken::new("app", api.user.id, Intent::AppPassword)).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(api.get(ME).key(&short).send().await.status, 200);
    assert_eq!(api.get(ME).key(&password).send().await.detail(403), "Token invalid/expired");
    api.clock.advance(TimeDelta::hours(1));
    assert_eq!(api.get(ME).key(&short).send().await.detail(403), "Token invalid/expired");
    assert_eq!(api.get(ME).user().send().await.status, 200);
    let path = format!("/core/users/{}/", api.user.id);
    api.patch(&path, json!({"is_active": false})).admin().send().await.expect(200);
    assert_eq!(api.get(ME).user().send().await.detail(403), "Token invalid/expired");
}

#[tokio::test]
async fn a_session_cookie_signs_in_and_a_forged_one_is_nobody() {
    let api = Api::start().await;
    let session = api.sign_in(api.user.id).await;
    let me = api.get(ME).cookie(&session).send().await.expect(200);
    assert_eq!(me["user"]["username"], "user");
    assert_eq!(api.get(ME).header("cookie", &format!("authentik_session={session}")).send().await.status, 403);
    assert_eq!(api.get(ME).header("cookie", "authentik_session=a.b.c").send().await.status, 403);
    assert_eq!(api.get(ME).cookie("unknown").send().await.status, 403);
    api.clock.advance(TimeDelta::days(2));
    assert_eq!(api.get(ME).cookie(&session).send().await.status, 403);
}

#[tokio::test]
async fn a_change_by_cookie_needs_the_token_of_that_session() {
    let api = Api::start().await;
    let session = api.sign_in(api.admin.id).await;
    let other = api.sign_in(api.user.id).await;
    let make = || api.post("/stages/dummy/", json!({"name": "one"}));
    assert_eq!(make().cookie(&session).send().await.detail(403), "CSRF Failed: CSRF token missing.");
    let foreign = csrf::make(&api.app, &other);
    let answer = make().cookie(&session).header(csrf::HEADER, &foreign).send().await;
    assert_eq!(answer.detail(403), "CSRF Failed: CSRF token incorrect.");
    let answer = make().browser(&session).header("origin", "https://evil.example").send().await;
    assert_eq!(answer.detail(403), "CSRF Failed: Origin checking failed.");
    let answer = make().browser(&session).header("sec-fetch-site", "cross-site").send().await;
    assert_eq!(answer.detail(403), "CSRF Failed: Origin checking failed.");
    let good = make().browser(&session).header("origin", "http://id.example.org").send().await;
    assert_eq!(good.status, 201);
    // Reading needs none, and neither does a bearer.
    assert_eq!(api.get("/stages/dummy/").cookie(&session).send().await.status, 200);
    let by_token = api.post("/stages/dummy/", json!({"name": "two"})).admin().header("origin", "https://evil.example");
    assert_eq!(by_token.send().await.status, 201);
}

#[tokio::test]
async fn deactivation_ends_a_session_at_once() {
    let api = Api::start().await;
    let session = api.sign_in(api.user.id).await;
    let path = format!("/core/users/{}/", api.user.id);
    api.patch(&path, json!({"is_active": false})).admin().send().await.expect(200);
    assert_eq!(api.get(ME).cookie(&session).send().await.status, 403);
    api.patch(&path, json!({"is_active": true})).admin().send().await.expect(200);
    assert_eq!(api.get(ME).cookie(&session).send().await.status, 403, "an old cookie does not come back to life");
}

#[tokio::test]
async fn sessions_are_listed_for_their_owner_and_can_be_ended() {
    let api = Api::start().await;
    let (one, two) = (api.sign_in(api.user.id).await, api.sign_in(api.user.id).await);
    api.sign_in(api.admin.id).await;
    let listed = api.get("/core/authenticated_sessions/").cookie(&one).send().await.expect(200);
    let results = listed["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!(results.iter().filter(|s| s["current"] == true).count(), 1);
    let other = results.iter().find(|s| s["current"] == false).unwrap();
    let path = format!("/core/authenticated_sessions/{}/", other["uuid"].as_str().unwrap());
    assert_eq!(api.delete(&path).browser(&one).send().await.status, 204);
    assert_eq!(api.get(ME).cookie(&two).send().await.status, 403);
    let foreign = format!("/core/authenticated_sessions/bulk_delete/?user_pks={}", api.admin.id);
    assert_eq!(api.delete(&foreign).browser(&one).send().await.status, 403);
    let own = format!("/core/authenticated_sessions/bulk_delete/?user_pks={}", api.user.id);
    assert_eq!(api.delete(&own).browser(&one).send().await.expect(200), json!({"deleted": 1}));
    assert_eq!(api.get(ME).cookie(&one).send().await.status, 403);
}

#[tokio::test]
async fn impersonation_gives_the_rights_of_the_other_and_comes_back() {
    let api = Api::start().await;
    let session = api.sign_in(api.admin.id).await;
    let path = format!("/core/users/{}/impersonate/", api.user.id);
    let empty = api.post(&path, json!({"reason": ""})).browser(&session).send().await.expect(400);
    assert!(empty.get("reason").is_some());
    assert_eq!(api.post(&path, json!({"reason": "help"})).browser(&session).send().await.status, 204);
    let me = api.get(ME).cookie(&session).send().await.expect(200);
    assert_eq!((&me["user"]["username"], &me["original"]["username"]), (&json!("user"), &json!("admin")));
    assert_eq!(api.get("/stages/dummy/").cookie(&session).send().await.status, 403);
    api.clock.advance(TimeDelta::seconds(1));
    assert_eq!(api.get("/core/users/impersonate_end/").cookie(&session).send().await.status, 204);
    let me = api.get(ME).cookie(&session).send().await.expect(200);
    assert_eq!(me["user"]["username"], "admin");
    assert!(me.get("original").is_none());
    assert_eq!(api.get("/core/users/impersonate_end/").cookie(&session).send().await.status, 204);
    let events = api.get("/events/events/?action=impersonation&ordering=created").admin().send().await.expect(200);
    assert_eq!(column(&events, "action"), ["impersonation_started", "impersonation_ended"]);
    for event in events["results"].as_array().unwrap() {
        assert_eq!(event["user"]["username"], "admin");
    }
}

#[tokio::test]
async fn impersonation_is_refused_where_it_must_be() {
    let api = Api::start().await;
    let session = api.sign_in(api.user.id).await;
    let admin = format!("/core/users/{}/impersonate/", api.admin.id);
    let ask = || api.post(&admin, json!({"reason": "help"})).browser(&session);
    assert_eq!(ask().send().await.status, 403, "the target is not even visible");
    api.grant(api.user.id, &["authentik_core.view_user"], None).await;
    assert_eq!(ask().send().await.status, 403);
    api.grant(api.user.id, &["authentik_core.impersonate"], None).await;
    assert_eq!(ask().send().await.status, 403, "nobody becomes an administrator this way");
    let own = format!("/core/users/{}/impersonate/", api.user.id);
    assert_eq!(api.post(&own, json!({"reason": "x"})).browser(&session).send().await.status, 401);
    let third = api.person("third").await;
    let third = format!("/core/users/{}/impersonate/", third.id);
    api.patch("/admin/settings/", json!({"impersonation": false})).admin().send().await.expect(200);
    assert_eq!(api.post(&third, json!({"reason": "x"})).browser(&session).send().await.status, 401);
    api.patch("/admin/settings/", json!({"impersonation": true})).admin().send().await.expect(200);
    assert_eq!(api.post(&third, json!({"reason": "x"})).browser(&session).send().await.status, 204);
}

/// The address that the audit trail has for a change made with these headers.
async fn address(api: &Api, peer: &str, headers: &[(&str, &str)]) -> String {
    let name = format!("a-{}", api.app.site.random_name());
    let mut request = api.post("/stages/dummy/", json!({"name": name})).admin().from(peer);
    for (header, value) in headers {
        request = request.header(header, value);
    }
    request.send().await.expect(201);
    let events = api.get(&format!("/events/events/?action=model_created&search={name}")).admin().send().await;
    events.expect(200)["results"][0]["client_ip"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_client_address_counts_only_from_trusted_proxies() {
    let api = Api::start().await;
    let forwarded = "x-forwarded-for";
    assert_eq!(address(&api, "192.0.2.7:1", &[(forwarded, "198.51.100.1")]).await, "192.0.2.7");
    assert_eq!(address(&api, "10.0.0.1:1", &[(forwarded, "198.51.100.1")]).await, "198.51.100.1");
    // A client may write what it likes in front; the last hop that is no proxy of ours counts.
    let chain = "203.0.113.9, 198.51.100.1, 10.0.0.2";
    assert_eq!(address(&api, "10.0.0.1:1", &[(forwarded, chain)]).await, "198.51.100.1");
    assert_eq!(address(&api, "10.0.0.1:1", &[(forwarded, "garbage")]).await, "10.0.0.1");
    assert_eq!(address(&api, "[::ffff:10.0.0.1]:1", &[(forwarded, "[2001:db8::1]:44")]).await, "2001:db8::1");
    assert_eq!(address(&api, "10.0.0.1:1", &[]).await, "10.0.0.1");
}

#[tokio::test]
async fn an_outpost_speaks_for_its_clients_with_its_own_token_only() {
    let api = Api::start().await;
    let remote = ("x-authentik-remote-ip", "198.51.100.77");
    let user = api.user.key.clone();
    let by_user = address(&api, "192.0.2.7:1", &[remote, ("x-authentik-outpost-token", &user)]).await;
    assert_eq!(by_user, "192.0.2.7");
    let outpost = api.person("outpost").await;
    let mut tx = api.app.site.db.tx();
    let sql = "UPDATE identity_user SET \"type\" = 'internal_service_account' WHERE id = $1";
    tx.write(sql, &[outpost.id.into()]).await.unwrap();
    tx.commit().await.unwrap();
    let by_outpost = address(&api, "192.0.2.7:1", &[remote, ("x-authentik-outpost-token", &outpost.key)]).await;
    assert_eq!(by_outpost, "198.51.100.77");
    let empty = api.get("/stages/dummy/").key(&outpost.key).send().await.expect(200);
    assert_eq!(empty["pagination"]["count"], 0, "outposts get empty lists instead of refusals");
}

#[tokio::test]
async fn the_session_cookie_has_the_attributes_of_its_scheme() {
    let api = Api::start().await;
    let account = api.account(api.user.id).await;
    let plain = session::cookie(&api.app, "key", Some(&account), None, false).unwrap();
    assert!(plain.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{plain}");
    let secure = session::cookie(&api.app, "key", None, Some(60), true).unwrap();
    assert!(secure.ends_with("; Path=/; HttpOnly; Max-Age=60; Secure; SameSite=None"), "{secure}");
    let csrf = csrf::cookie(&api.app, "key", true);
    assert!(csrf.starts_with("authentik_csrf=") && !csrf.contains("HttpOnly"), "{csrf}");
}

/// Places and networks of two neighbours, a stranger in the same country, and somebody abroad.
fn know_places(api: &Api) {
    use weir_geo::test_support::{asn, city, database};
    let folder = std::env::temp_dir();
    let file = |name: &str, bytes: Vec<u8>| {
        let path = folder.join(format!("weir-http-{name}-{}.mmdb", api.app.site.random_name()));
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let cities = [
        ("192.0.2.0", 25, city("DE", "Bremen", 53.1, 8.8)),
        ("192.0.2.128", 25, city("DE", "Berlin", 52.5, 13.4)),
        ("203.0.113.0", 24, city("FR", "Lille", 50.6, 3.1)),
    ];
    let networks = [
        ("192.0.2.0", 25, asn(64500, "A")),
        ("192.0.2.128", 25, asn(64500, "A")),
        ("203.0.113.0", 24, asn(64501, "B")),
    ];
    let paths = [file("city", database("GeoLite2-City", &cities)), file("asn", database("GeoLite2-ASN", &networks))];
    let [cities, networks] = paths.clone();
    api.app.site.geo.open(Some(cities), Some(networks));
    for path in paths {
        std::fs::remove_file(path).unwrap();
    }
}

/// What becomes of a session that began at 192.0.2.1 with this binding, at another address: nothing, or a reason.
async fn moved(api: &Api, network: &str, geoip: &str, to: &str) -> Option<Value> {
    // Events of one moment have no order.
    api.clock.advance(TimeDelta::seconds(1));
    let session = api.sign_in(api.user.id).await;
    let bound = json!({"bindings": {"network": network, "geoip": geoip}});
    let mut tx = api.app.site.db.tx();
    let digest = weir_identity::digest(&session);
    assert!(sessions::save_data(&mut tx, &digest, bound.as_object().unwrap()).await.unwrap());
    tx.commit().await.unwrap();
    let here = "192.0.2.1:1";
    let go = async |peer: &str| api.get(&format!("{ME}?a=b%26c")).cookie(&session).from(peer).send().await;
    assert_eq!(go(here).await.status, 200);
    let answer = go(&format!("{to}:1")).await;
    if answer.status == 200 {
        // The new address counts from now on.
        assert_eq!(go(&format!("{to}:1")).await.status, 200);
        return None;
    }
    let next = "%2Fapi%2Fv3%2Fcore%2Fusers%2Fme%2F%3Fa%3Db%2526c";
    let way = format!("/flows/-/default/authentication/?next={next}");
    assert_eq!((answer.status, answer.headers["location"].to_str().unwrap()), (302, way.as_str()));
    assert_eq!(go(here).await.status, 403, "the session is gone");
    let events =
        api.get("/events/events/?action=logout&ordering=-created&page_size=1").admin().send().await.expect(200);
    let context = &events["results"][0]["context"];
    assert_eq!(context["logout_reason"], "Session binding broken");
    assert_eq!(context["ip"], json!({"previous": "192.0.2.1", "new": to}));
    Some(context["binding"].clone())
}

#[tokio::test]
async fn sessions_bound_to_a_network_or_a_place_end_where_it_is_another_one() {
    let api = Api::start().await;
    let (neighbour, stranger, abroad, nowhere) = ("192.0.2.9", "192.0.2.200", "203.0.113.1", "198.51.100.1");
    let missing = |reason: &str, to: &str| json!({"reason": reason, "previous_value": "192.0.2.1", "new_value": to});
    // Without databases nobody can tell, so any other address is one too many.
    assert_eq!(moved(&api, "bind_asn", "no_binding", neighbour).await, Some(missing("network.missing", neighbour)));
    assert_eq!(moved(&api, "no_binding", "bind_continent", neighbour).await, Some(missing("geoip.missing", neighbour)));
    know_places(&api);
    for (network, geoip, to) in [
        ("no_binding", "no_binding", nowhere),
        ("bind_asn", "no_binding", stranger),
        ("bind_asn_network", "no_binding", neighbour),
        ("no_binding", "bind_continent", abroad),
        ("no_binding", "bind_continent_country", stranger),
        ("bind_asn_network", "bind_continent_country_city", neighbour),
    ] {
        assert_eq!(moved(&api, network, geoip, to).await, None, "{network} {geoip} {to}");
    }
    for (network, geoip, to, reason, previous, new) in [
        ("bind_asn", "no_binding", abroad, "network.asn", json!(64500), json!(64501)),
        (
            "bind_asn_network",
            "no_binding",
            stranger,
            "network.asn_network",
            json!("192.0.2.0/25"),
            json!("192.0.2.128/25"),
        ),
        ("bind_asn_network_ip", "no_binding", neighbour, "network.ip", json!("192.0.2.1"), json!(neighbour)),
        ("no_binding", "bind_continent_country", abroad, "geoip.country", json!("DE"), json!("FR")),
        ("bind_asn", "bind_continent_country_city", stranger, "geoip.city", json!("Bremen"), json!("Berlin")),
        ("bind_asn", "no_binding", nowhere, "network.missing", json!("192.0.2.1"), json!(nowhere)),
        ("no_binding", "bind_continent", nowhere, "geoip.missing", json!("192.0.2.1"), json!(nowhere)),
    ] {
        let expected = json!({"reason": reason, "previous_value": previous, "new_value": new});
        assert_eq!(moved(&api, network, geoip, to).await, Some(expected), "{network} {geoip} {to}");
    }
}
