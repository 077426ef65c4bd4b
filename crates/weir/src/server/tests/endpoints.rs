//! Devices that people work on: who is bound to them, and the connectors that know them.

use serde_json::{Value, json};
use weir_identity::Group;
use weir_policy::DummyPolicy;
use weir_stages::endpoints::{
    AgentConnector, DeviceAccessGroup, DeviceUserBinding, EndpointDevice, EnrollmentToken, FleetConnector, fleet,
};

use super::stand::{Stand, column, map};

const BINDINGS: &str = "/endpoints/device_bindings/";
const FLEET: &str = "/endpoints/fleet/connectors/";

/// A device with the key under which policies are bound to it.
async fn device(stand: &Stand, name: &str) -> (String, String) {
    let made = stand.make::<EndpointDevice>(json!({"name": name})).await.pk;
    let shown = stand.get(&stand.admin, &format!("/endpoints/devices/{made}/")).await.expect(200);
    (made, shown["pbm_uuid"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn people_groups_and_policies_are_bound_to_devices_and_to_nothing_else() {
    let stand = Stand::start().await;
    let ann = stand.person("ann").await;
    let (first, key) = device(&stand, "laptop").await;
    let (second, _) = device(&stand, "desktop").await;
    let staff = stand.make::<Group>(json!({"name": "staff"})).await.pk;
    let policy = stand.make::<DummyPolicy>(json!({"name": "gate"})).await.pk;
    let made = stand.post(
        &stand.admin,
        BINDINGS,
        json!({
            "target": key, "user": ann.id, "order": 0, "is_primary": true,
            // Only the server says who made a binding, and when it ends.
            "connector": first, "expires": "2026-01-01T00:00:00Z", "expiring": true,
        }),
    );
    let made = made.await.expect(201);
    assert_eq!(
        (&made["target"], &made["is_primary"], &made["user_obj"]["username"]),
        (&json!(first), &json!(true), &json!("ann"))
    );
    assert_eq!((&made["connector"], &made["expires"], &made["expiring"]), (&Value::Null, &Value::Null, &json!(false)));
    assert_eq!(
        (&made["enabled"], &made["timeout"], &made["connector_obj"]["name"]),
        (&json!(true), &json!(30), &json!(""))
    );
    for (body, order) in [(json!({"group": staff}), 1), (json!({"policy": policy}), 2), (json!({"user": ann.id}), 0)] {
        let mut body = map(body);
        body.insert("target".to_owned(), json!(second));
        body.insert("order".to_owned(), json!(order));
        let made = stand.post(&stand.admin, BINDINGS, Value::Object(body)).await.expect(201);
        assert_eq!(made["is_primary"], false);
    }

    let group = stand.make::<DeviceAccessGroup>(json!({"name": "floor 1"})).await.pk;
    for (body, field) in [
        (json!({"target": group, "user": ann.id, "order": 0}), "target"),
        (json!({"target": staff, "user": ann.id, "order": 0}), "target"),
        (json!({"user": ann.id, "order": 0}), "target"),
        (json!({"target": first, "order": 0}), "non_field_errors"),
        (json!({"target": first, "user": ann.id, "group": staff, "order": 0}), "non_field_errors"),
        (json!({"target": first, "user": 4_000_000, "order": 0}), "user"),
        (json!({"target": first, "user": ann.id}), "order"),
    ] {
        let refused = stand.post(&stand.admin, BINDINGS, body).await.expect(400);
        assert!(refused.get(field).is_some(), "{refused}");
    }

    let of = async |query: String| stand.get(&stand.admin, &format!("{BINDINGS}?{query}")).await.expect(200);
    assert_eq!(column(&of(format!("target={key}")).await, "pk"), [made["pk"].as_str().unwrap()]);
    assert_eq!(column(&of(format!("target={second}&ordering=order")).await, "order"), ["0", "1", "2"]);
    assert_eq!(column(&of("policy__isnull=false".to_owned()).await, "order"), ["2"]);
    let details = stand.get(&stand.admin, &format!("/endpoints/devices/{second}/")).await.expect(200);
    assert_eq!(details["policies"], json!([policy]));
    let used = stand.get(&stand.admin, &format!("/endpoints/devices/{second}/used_by/")).await.expect(200);
    assert_eq!(used.as_array().map(Vec::len), Some(3), "{used}");
    assert!(used.as_array().unwrap().iter().all(|user| user["model_name"] == "deviceuserbinding"), "{used}");
}

#[tokio::test]
async fn device_bindings_are_changed_by_permission_and_end_with_what_they_bind() {
    let stand = Stand::start().await;
    let (ann, bob) = (stand.person("ann").await, stand.person("bob").await);
    let (laptop, _) = device(&stand, "laptop").await;
    let binding = stand.make::<DeviceUserBinding>(json!({"target": laptop, "user": ann.id, "order": 0})).await;
    let path = format!("{BINDINGS}{}/", binding.pk);
    for person in [&ann, &bob] {
        stand.get(person, BINDINGS).await.expect(403);
        stand.patch(person, &path, json!({"enabled": false})).await.expect(403);
        stand.post(person, BINDINGS, json!({"target": laptop, "user": person.id, "order": 1})).await.expect(403);
    }
    let both = ["authentik_endpoints.change_deviceuserbinding", "authentik_endpoints.view_deviceuserbinding"];
    stand.grant(bob.id, &both, Some(&binding)).await;
    let body = json!({"target": laptop, "user": bob.id, "order": 3, "is_primary": true});
    assert_eq!(stand.put(&bob, &path, body).await.expect(200)["user"], bob.id);
    assert_eq!(stand.patch(&bob, &path, json!({"negate": true})).await.expect(200)["is_primary"], true);
    stand.get(&stand.admin, &format!("{path}used_by/")).await.expect(200);
    let events = stand.get(&stand.admin, "/events/events/?action=model_created&page_size=100").await.expect(200);
    let of_bindings = |event: &&Value| event["context"]["model"]["model_name"] == "deviceuserbinding";
    assert_eq!(events["results"].as_array().unwrap().iter().filter(of_bindings).count(), 1);

    stand.delete(&stand.admin, &format!("/core/users/{}/", bob.id)).await.expect(204);
    stand.get(&stand.admin, &path).await.expect(404);
    let binding = stand.make::<DeviceUserBinding>(json!({"target": laptop, "user": ann.id, "order": 0})).await;
    stand.delete(&stand.admin, &format!("/endpoints/devices/{laptop}/")).await.expect(204);
    stand.get(&stand.admin, &format!("{BINDINGS}{}/", binding.pk)).await.expect(404);
}

#[tokio::test]
async fn a_fleet_connector_never_gives_its_token_back_and_is_followed_by_its_schedule() {
    let stand = Stand::start().await;
    let body = json!({"name": "fleet", "url": "http://127.0.0.1:1/", "token": "very-secret-token"});
    let made = stand.post(&stand.admin, FLEET, body.clone()).await;
    assert!(!made.text.contains("very-secret"));
    let made = made.expect(201);
    let path = format!("{FLEET}{}/", made["connector_uuid"].as_str().unwrap());
    assert_eq!(
        (&made["enabled"], &made["map_users"], &made["map_teams_access_group"], &made["headers_mapping"]),
        (&json!(true), &json!(true), &json!(false), &Value::Null)
    );
    assert_eq!(made["component"], "ak-endpoints-connector-fleet-form");
    for (field, value) in [
        ("url", json!("fleet.example")),
        ("url", json!("ftp://fleet.example")),
        ("url", json!("https://boss:secret@fleet.example")),
        ("url", json!(format!("https://{}.example", "x".repeat(200)))),
        ("token", json!("")),
        ("token", json!("a\nb")),
        ("headers_mapping", json!(made["connector_uuid"])),
        ("name", json!("fleet")),
    ] {
        let mut body = map(body.clone());
        body.insert("name".to_owned(), json!("other"));
        body.insert(field.to_owned(), value.clone());
        let refused = stand.post(&stand.admin, FLEET, Value::Object(body)).await.expect(400);
        assert!(refused.get(field).is_some(), "{field} {value}: {refused}");
    }
    let changed = stand.patch(&stand.admin, &path, json!({"name": "our fleet", "enabled": false})).await.expect(200);
    assert_eq!((&changed["name"], changed.get("token")), (&json!("our fleet"), None));
    let kept = stand.core.site.snapshot().all::<FleetConnector>().remove(0).1;
    assert_eq!(kept.token.0, "very-secret-token", "what a body leaves out stays");

    let rows = stand.core.site.db.read("SELECT args, description FROM job", &[]).await.unwrap();
    assert_eq!(rows.len(), 1, "one for the time when it was on");
    let schedules = stand.get(&stand.admin, &format!("/tasks/schedules/?actor_name={}", fleet::FLEET_SYNC)).await;
    let schedules = schedules.expect(200);
    assert_eq!(column(&schedules, "description"), ["Take over the devices of our fleet"]);
    for part in ["", "events/events/?page_size=100", "tasks/tasks/", "tasks/schedules/", "endpoints/connectors/"] {
        let path = if part.is_empty() { path.clone() } else { format!("/{part}") };
        let shown = stand.get(&stand.admin, &path).await;
        assert!(!shown.text.contains("very-secret"), "{path}");
    }
    let types = stand.get(&stand.admin, "/endpoints/connectors/types/").await.expect(200);
    let names: Vec<&Value> = types.as_array().unwrap().iter().map(|kind| &kind["model_name"]).collect();
    assert!(names.contains(&&json!("fleetconnector")), "{names:?}");
    stand.delete(&stand.admin, &path).await.expect(204);
    let schedules = stand.get(&stand.admin, &format!("/tasks/schedules/?actor_name={}", fleet::FLEET_SYNC)).await;
    assert_eq!(schedules.expect(200)["results"], json!([]));
}

#[tokio::test]
async fn configurations_for_device_management_hold_the_key_and_are_for_those_who_may_see_it() {
    let stand = Stand::start().await;
    let ann = stand.person("ann").await;
    let connector = stand.make::<AgentConnector>(json!({"name": "agents & co"})).await;
    let other = stand.make::<AgentConnector>(json!({"name": "others"})).await;
    let token = stand.make::<EnrollmentToken>(json!({"name": "t", "connector": connector.pk})).await;
    let path = |connector: &str| format!("/endpoints/agents/connectors/{connector}/mdm_config/");
    let body = |platform: &str| json!({"platform": platform, "enrollment_token": token.pk});
    let key = stand.get(&stand.admin, &format!("/endpoints/agents/enrollment_tokens/{}/view_key/", token.pk)).await;
    let key = key.expect(200)["key"].as_str().unwrap().to_owned();
    for (platform, mime, ending) in [
        ("mac_os", "application/x-apple-aspen-config", ".mobileconfig"),
        ("windows", "application/xml", ".xml"),
        ("linux", "text/x-shellscript", ".sh"),
    ] {
        let made = stand.post(&stand.admin, &path(&connector.pk), body(platform)).await.expect(200);
        let text = made["config"].as_str().unwrap();
        assert!(text.contains(&key) && text.contains("http://id.example.org"), "{text}");
        assert_eq!(made["mime_type"], mime);
        assert!(made["filename"].as_str().unwrap().ends_with(ending));
    }
    let seen = stand.get(&stand.admin, "/events/events/?action=secret_view&page_size=100").await;
    assert!(!seen.text.contains(&key));
    assert_eq!(seen.expect(200)["results"].as_array().map(Vec::len), Some(4));
    for platform in ["unix", "bsd", "android", "i_os", "other", "abacus"] {
        let refused = stand.post(&stand.admin, &path(&connector.pk), body(platform)).await.expect(400);
        assert!(refused.get("platform").is_some(), "{refused}");
    }
    stand.post(&stand.admin, &path(&other.pk), body("linux")).await.expect(400);
    stand.post(&stand.admin, &path(&token.pk), body("linux")).await.expect(404);
    stand.post(&stand.admin, &path(&connector.pk), json!({"platform": "linux"})).await.expect(400);

    // Neither the connector nor the token alone is enough, nor the token without its key.
    stand.post(&ann, &path(&connector.pk), body("linux")).await.expect(403);
    let agent = |name: &str| format!("authentik_endpoints_connectors_agent.{name}");
    stand.grant(ann.id, &[&agent("view_agentconnector")], Some(&connector)).await;
    stand.post(&ann, &path(&connector.pk), body("linux")).await.expect(400);
    stand.grant(ann.id, &[&agent("view_enrollmenttoken")], Some(&token)).await;
    stand.post(&ann, &path(&connector.pk), body("linux")).await.expect(403);
    stand.grant(ann.id, &[&agent("view_enrollment_token_key")], Some(&token)).await;
    stand.post(&ann, &path(&connector.pk), body("linux")).await.expect(200);
}

#[tokio::test]
async fn keys_of_enclaves_are_given_by_those_who_may_act_as_their_owner_and_go_with_them() {
    const KEYS: &str = "/endpoints/agents/psso/ise/";
    let stand = Stand::start().await;
    let (ann, bob) = (stand.person("ann").await, stand.person("bob").await);
    let body = |user: i64, id: &str| {
        json!({"user": user, "apple_secure_enclave_key": "-----BEGIN PUBLIC KEY-----", "apple_enclave_key_id": id,
               "device_type": "MacBook"})
    };
    stand.post(&ann, KEYS, body(ann.id, "a")).await.expect(403);
    let made = stand.post(&stand.admin, KEYS, body(ann.id, "a")).await.expect(201);
    let path = format!("{KEYS}{}/", made["uuid"].as_str().unwrap());
    assert_eq!((&made["user"], &made["device_type"]), (&json!(ann.id), &json!("MacBook")));
    stand.post(&stand.admin, KEYS, body(bob.id, "a")).await.expect(400);
    let long = stand.post(&stand.admin, KEYS, body(bob.id, &"ß".repeat(513))).await.expect(400);
    assert_eq!(long["apple_enclave_key_id"], json!(["Ensure this field has no more than 512 characters."]));
    for (query, count) in [(format!("user={}", ann.id), 1), (format!("user={}", bob.id), 0)] {
        let listed = stand.get(&stand.admin, &format!("{KEYS}?{query}")).await.expect(200);
        assert_eq!(listed["results"].as_array().map(Vec::len), Some(count), "{query}");
    }
    let listed = stand.get(&stand.admin, &format!("{KEYS}?apple_enclave_key_id=a&ordering=user")).await.expect(200);
    assert_eq!(column(&listed, "uuid"), [made["uuid"].as_str().unwrap()]);

    // Whoever may make keys makes them for nobody who may do more.
    let all = ["add", "change", "view"]
        .map(|verb| format!("authentik_endpoints_connectors_agent.{verb}_appleindependentsecureenclave"));
    stand.grant(bob.id, &all.each_ref().map(String::as_str), None).await;
    stand.post(&bob, KEYS, body(stand.admin.id, "b")).await.expect(403);
    stand.patch(&bob, &path, json!({"user": stand.admin.id})).await.expect(403);
    stand.post(&bob, KEYS, body(ann.id, "b")).await.expect(201);

    let staying = weir_identity::artefacts::staying(&stand.core.site.db, ann.id).await.unwrap();
    assert_eq!(staying.get("secure_enclave"), Some(&2));
    stand.delete(&stand.admin, &format!("/core/users/{}/", ann.id)).await.expect(204);
    stand.get(&stand.admin, &path).await.expect(404);
}
