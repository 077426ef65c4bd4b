//! Addresses, methods, bodies and their limits.

use super::*;
use crate::body;

#[tokio::test]
async fn an_unknown_address_is_not_an_unknown_object() {
    let api = Api::start().await;
    let route = api.get("/no/such/thing/").admin().send().await;
    assert_eq!(route.detail(404), "There is no such address in this interface.");
    let text = route.text;
    for path in ["/stages/dummy", "/", "", "//", "/stages//dummy/", "/stages/dummy/%00/", "/stages/dummy/%ff/"] {
        let other = api.get(path).admin().send().await;
        assert_eq!((other.status, &other.text), (404, &text), "{path}");
    }
    let object = api.get("/stages/dummy/6c1a6a3e-6d0e-4a3f-9c0f-0d4e9c7d1f11/").admin().send().await;
    assert_ne!(object.text, text);
    assert_eq!(object.status, 404);
    assert_eq!(api.get("/stages/dummy/nonsense/").admin().send().await.status, 404);
    assert_eq!(api.get("/core/users/99999999999999999999/").admin().send().await.status, 404);
}

#[tokio::test]
async fn what_the_contract_names_and_nobody_serves_answers_501() {
    let api = Api::start().await;
    let answer = api.get("/providers/oauth2/").admin().send().await;
    assert_eq!(answer.detail(501), "This operation is part of the contract but not served yet.");
}

#[tokio::test]
async fn a_wrong_method_answers_405_and_says_which_are_right() {
    let api = Api::start().await;
    let answer = api.request("PUT", "/stages/dummy/").admin().send().await;
    assert_eq!(answer.detail(405), "Method \"PUT\" not allowed.");
    assert_eq!(answer.headers["allow"], "GET, POST, HEAD, OPTIONS");
    let odd = api.request("BREW", "/stages/dummy/").admin().send().await;
    assert_eq!(odd.status, 405);
    let options = api.request("OPTIONS", "/stages/dummy/").send().await;
    assert_eq!((options.status, &options.headers["allow"]), (204, &"GET, POST, HEAD, OPTIONS".parse().unwrap()));
    assert!(options.headers.get("access-control-allow-origin").is_none());
    assert_eq!(api.request("HEAD", "/stages/dummy/").admin().send().await.status, 200);
    assert_eq!(api.request("HEAD", "/stages/dummy/").send().await.status, 403);
}

#[tokio::test]
async fn every_answer_is_private_and_has_an_id() {
    let api = Api::start().await;
    for request in [api.get("/stages/dummy/").admin(), api.get("/stages/dummy/"), api.get("/nowhere/")] {
        let answer = request.header("accept", "text/html").send().await;
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["cache-control"], "no-store");
        let id = answer.headers["x-authentik-id"].to_str().unwrap();
        assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
        assert!(answer.headers.get("set-cookie").is_none());
    }
}

async fn refused(api: &Api, kind: &str, body: impl Into<Body>) -> String {
    let answer = api.request("POST", "/stages/dummy/").raw(kind, body).admin().send().await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    answer.text
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_with_the_reason() {
    let api = Api::start().await;
    let json = "application/json";
    for body in ["{", "{\"name\": }", "nonsense", "{\"name\": NaN}", "{\"name\": 1e999}", "{\"name\": \"\\ud800\"}"] {
        assert!(refused(&api, json, body).await.contains("JSON parse error - "), "{body}");
    }
    assert!(refused(&api, json, b"{\"name\": \"\xff\"}".to_vec()).await.contains("not valid UTF-8"));
    let deep = format!("{{\"name\": {}{}}}", "[".repeat(64), "]".repeat(64));
    assert!(refused(&api, json, deep).await.contains("nested too deeply"));
    let brackets = format!("{{\"name\": \"{}\"}}", "[{\\\"".repeat(100));
    let fine = api.request("POST", "/stages/dummy/").raw(json, brackets).admin().send().await;
    assert_eq!(fine.status, 201, "brackets inside a text do not nest: {}", fine.text);
    assert!(refused(&api, "application/x-tar", "x").await.contains("Unsupported media type"));
}

#[tokio::test]
async fn a_form_is_read_like_an_object() {
    let api = Api::start().await;
    let form = "application/x-www-form-urlencoded";
    let made = api.request("POST", "/stages/dummy/").raw(form, "name=from+a+form&throw_error=true").admin();
    let made = made.send().await.expect(201);
    assert_eq!((&made["name"], &made["throw_error"]), (&json!("from a form"), &json!(true)));
    let many = "a=1&".repeat(1001);
    assert!(refused(&api, form, many).await.contains("too many fields"));
}

#[tokio::test]
async fn a_big_body_is_refused_before_it_is_read() {
    let api = Api::start().await;
    let big = "x".repeat((1 << 20) + 1);
    let announced = api.request("POST", "/stages/dummy/").raw("application/json", big.clone()).admin();
    let answer = announced.header("content-length", &big.len().to_string()).send().await;
    assert_eq!(answer.detail(413), "The request body is too large.");
    assert_eq!(answer.headers["connection"], "close", "the rest of the body is on the wire still");
    let pieces = [big.clone(), big].map(|piece| Ok::<_, std::io::Error>(bytes::Bytes::from(piece)));
    let pieces = futures_util::stream::iter(pieces);
    let unannounced = api.request("POST", "/stages/dummy/").raw("application/json", Body::from_stream(pieces)).admin();
    assert_eq!(unannounced.send().await.status, 413);
    let anonymous = api.request("POST", "/stages/dummy/").raw("application/json", "{").send().await;
    assert_eq!(anonymous.status, 403, "who may do nothing learns nothing about the body");
}

#[tokio::test]
async fn two_lengths_are_ambiguous() {
    let api = Api::start().await;
    let request =
        api.get("/stages/dummy/").admin().header("transfer-encoding", "chunked").header("content-length", "3");
    let answer = request.send().await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.headers["connection"], "close");
}

#[tokio::test]
async fn health_and_metrics_answer_everybody_and_name_nobody() {
    let api = Api::start().await;
    assert_eq!(api.get("/-/health/live/").send().await.status, 200);
    assert_eq!(api.get("/-/health/ready/").send().await.status, 200);
    api.get("/core/users/me/").user().send().await.expect(200);
    let metrics = api.get("/-/metrics/").send().await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.text.contains("weir_http_requests_total{operation=\"core_users_me_retrieve\",status=\"2xx\"}"),
        "{}",
        metrics.text
    );
    assert!(!metrics.text.contains("\"user\""));
    assert!(metrics.headers.get("set-cookie").is_none());
}

#[tokio::test]
async fn readiness_turns_red_when_the_database_is_away() {
    let api = Api::start().await;
    api.app.site.db.close().await;
    assert_eq!(api.get("/-/health/live/").send().await.status, 200);
    assert_eq!(api.get("/-/health/ready/").send().await.status, 503);
    let answer = api.get("/core/users/me/").user().send().await;
    assert_eq!(answer.detail(503), "The service is busy or its database is away. Please retry.");
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_prefix_stands_before_every_address() {
    let config = HttpConfig { path_prefix: "/auth/".to_owned(), ..HttpConfig::default() };
    let api = Api::with(config).await;
    let ask = |path: &str| {
        let request = Request::builder().uri(path).header("host", "h").body(Body::empty()).unwrap();
        api.router.clone().oneshot(request)
    };
    assert_eq!(ask("/auth/api/v3/root/config/").await.unwrap().status(), 200);
    assert_eq!(ask("/auth/-/health/live/").await.unwrap().status(), 200);
    assert_eq!(ask("/api/v3/root/config/").await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_list_is_asked_for_many_words_values_and_orders_without_failing() {
    let api = Api::start().await;
    let words: String = (0..3000).map(|n| format!("w{n}%20")).collect();
    let repeated = |pair: &str| vec![pair; 2500].join("&");
    for path in ["/core/users/", "/core/tokens/", "/events/events/", "/tasks/tasks/", "/flows/instances/"] {
        let answer = api.get(&format!("{path}?search={words}")).admin().send().await;
        assert_eq!(answer.expect(400), json!({"search": ["A search has 64 words at most."]}), "{path}");
        let one = api.get(&format!("{path}?search={}", "a%20".repeat(3000))).admin().send().await;
        assert_eq!(one.status, 200, "one word many times: {path}: {}", one.text);
    }
    for query in [
        repeated("username=admin"),
        repeated("is_active=true"),
        format!("ordering={}", vec!["-username,name"; 2000].join(",")),
    ] {
        let answer = api.get(&format!("/core/users/?{query}")).admin().send().await;
        assert!(column(&answer.expect(200), "username").contains(&"admin".to_owned()), "{}", &query[..40]);
    }
    let ordered = format!("/events/events/?{}&ordering={}", repeated("client_ip=1.1.1.1"), "created,".repeat(2000));
    assert_eq!(api.get(&ordered).admin().send().await.status, 200);
    let conditions: Vec<String> = (0..1200).map(|n| format!("%22a{n}%22:1")).collect();
    let answer = api.get(&format!("/core/users/?attributes=%7B{}%7D", conditions.join(","))).admin().send().await;
    assert_eq!(answer.expect(400), json!({"attributes": ["Too many conditions."]}));
    // Of values that a parameter names several times, one is enough.
    let any = api.get("/core/users/?username=admin&username=nobody").admin().send().await;
    assert_eq!(any.expect(200)["pagination"]["count"], 1);
}

#[tokio::test]
async fn words_are_found_in_either_case_of_any_letters() {
    let api = Api::start().await;
    for name in ["Ärger", "ＡＢＣ", "straße"] {
        api.post("/core/groups/", json!({"name": name})).admin().send().await.expect(201);
    }
    for (word, name) in [
        ("%C3%84rger", "Ärger"),
        ("%C3%A4rger", "Ärger"),
        ("%C3%84RGER", "Ärger"),
        ("%EF%BC%A1%EF%BC%A2", "ＡＢＣ"),
        ("%EF%BD%81%EF%BD%82", "ＡＢＣ"),
        ("STRA", "straße"),
    ] {
        let found = api.get(&format!("/core/groups/?search={word}")).admin().send().await.expect(200);
        assert_eq!(column(&found, "name"), [name], "{word}");
    }
}

#[test]
fn a_form_is_text() {
    assert_eq!(body::pairs(b"a=b+c&d=%C3%A4").unwrap().len(), 2);
    assert_eq!(body::pairs("a=%EF%BF%BD\u{fffd}".as_bytes()).unwrap()[0].1, "\u{fffd}\u{fffd}");
    for bytes in [b"a=%ff".as_slice(), b"a=\xff", b"%c3=b", b"a=%EF%BF%BD&b=%80"] {
        assert_eq!(body::pairs(bytes).unwrap_err().status(), 400, "{bytes:?}");
    }
}
