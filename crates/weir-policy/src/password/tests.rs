//! Counting, looking up, guessing, and their order.

use super::{NOT_SET, PasswordPolicy, Passwords};
use crate::{
    RequestInfo,
    outbound::{Outbound, OutboundSettings},
    tests::World,
};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A list of stolen passwords; keeps the first lines of what it is asked.
async fn list(answer: String, asked: Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = vec![0; 4096];
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
            asked.lock().unwrap().push(text);
            if answer == "silence" {
                tokio::time::sleep(std::time::Duration::from_secs(30)).await;
            }
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn hash(password: &str) -> String {
    Sha1::digest(password.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect()
}

async fn policy(world: &World, more: Value) -> String {
    let mut body = json!({"name": format!("p{}", world.site.random.uuid()), "error_message": "Too weak."});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    world.create::<PasswordPolicy>(body).await.pk
}

async fn ask(world: &World, policy: &str, password: &str) -> (Option<bool>, Vec<String>) {
    let context = json!({"prompt_data": {"password": password}});
    let tried = world.try_policy(policy, None, &RequestInfo::default(), context).await;
    (tried.passing, tried.messages)
}

#[tokio::test]
async fn each_rule_counts_its_own_characters_and_says_the_same() {
    let world = World::without_worker().await;
    for (rule, good, bad) in [
        (json!({"length_min": 4}), "äöüß", "äöü"),
        (json!({"amount_digits": 2}), "a1b2", "a1b²"),
        (json!({"amount_lowercase": 2}), "ABab", "ABaß"),
        (json!({"amount_uppercase": 2}), "abAB", "abA1"),
        (json!({"amount_symbols": 2}), "a! ", "a!§"),
        (json!({"amount_symbols": 1, "symbol_charset": "§"}), "a§", "a!"),
        (json!({}), "a", ""),
    ] {
        let policy = policy(&world, rule.clone()).await;
        assert_eq!(ask(&world, &policy, good).await, (Some(true), vec![]), "{rule} {good}");
        let told = if bad.is_empty() { NOT_SET } else { "Too weak." };
        assert_eq!(ask(&world, &policy, bad).await, (Some(false), vec![told.to_owned()]), "{rule} {bad}");
    }
    let off = policy(&world, json!({"length_min": 99, "check_static_rules": false})).await;
    assert_eq!(ask(&world, &off, "a").await, (Some(true), vec![]));
}

#[tokio::test]
async fn the_password_comes_from_the_prompt_else_from_the_context() {
    let world = World::without_worker().await;
    let policy = policy(&world, json!({"length_min": 3, "password_field": "secret"})).await;
    let http = RequestInfo::default();
    for (context, passing) in [
        (json!({"secret": "abc"}), true),
        (json!({"secret": "abc", "prompt_data": {"secret": "a"}}), false),
        (json!({"secret": "a", "prompt_data": {"secret": "abc"}}), true),
        (json!({"secret": "abc", "prompt_data": {"password": "a"}}), true),
        (json!({"secret": 12345}), false),
        (json!({}), false),
    ] {
        let tried = world.try_policy(&policy, None, &http, context.clone()).await;
        assert_eq!(tried.passing, Some(passing), "{context}");
    }
}

#[tokio::test]
async fn only_five_characters_of_the_hash_leave_and_the_count_decides() {
    let mut world = World::without_worker().await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let stolen = hash("stolen");
    let answer = ok(&format!("0018A45C4D1DEF81644B54AB7F969B88D65:1\r\n{}:3\r\n", &stolen[5..]));
    let hibp_url = list(answer, Arc::clone(&asked)).await;
    let outbound = Arc::new(Outbound::new(OutboundSettings::default()));
    world.kinds = world.kinds.clone().with(Passwords { outbound, hibp_url });
    let strict = policy(&world, json!({"check_have_i_been_pwned": true})).await;
    let told = vec!["Password exists on 3 online lists.".to_owned()];
    assert_eq!(ask(&world, &strict, "stolen").await, (Some(false), told));
    assert_eq!(ask(&world, &strict, "mine alone").await, (Some(true), vec![]));
    let lenient = policy(&world, json!({"check_have_i_been_pwned": true, "hibp_allowed_count": 3})).await;
    assert_eq!(ask(&world, &lenient, "stolen").await, (Some(true), vec![]));
    let counted = policy(&world, json!({"check_have_i_been_pwned": true, "length_min": 20})).await;
    assert_eq!(ask(&world, &counted, "stolen").await, (Some(false), vec!["Too weak.".to_owned()]));
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 3, "what is too short is not asked about");
    assert!(asked[0].starts_with(&format!("GET /range/{} HTTP", &stolen[..5])), "{}", asked[0]);
    assert!(asked.iter().all(|request| !request.contains(&stolen[5..]) && !request.contains("stolen\r")));
}

#[tokio::test]
async fn a_list_that_is_slow_broken_or_away_is_a_failure() {
    for (answer, told) in [
        ("silence".to_owned(), "The policy took longer than 1 seconds."),
        (ok("<html>"), "The list of stolen passwords answered nonsense."),
        (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
            "The list of stolen passwords answered with 503.",
        ),
        (String::new(), "The list of stolen passwords cannot be asked."),
    ] {
        let mut world = World::without_worker().await;
        let hibp_url = list(answer, Arc::default()).await;
        let outbound = Arc::new(Outbound::new(OutboundSettings::default()));
        world.kinds = world.kinds.clone().with(Passwords { outbound, hibp_url });
        let policy = policy(&world, json!({"check_have_i_been_pwned": true})).await;
        assert_eq!(ask(&world, &policy, "stolen").await, (None, vec![told.to_owned()]));
    }
}

#[tokio::test]
async fn a_guess_knows_the_user_and_must_be_above_the_threshold() {
    let world = World::without_worker().await;
    world.people().await;
    let ada = world.account("ada").await;
    let at =
        async |threshold: u32| policy(&world, json!({"check_zxcvbn": true, "zxcvbn_score_threshold": threshold})).await;
    let (two, four) = (at(2).await, at(4).await);
    let (passing, messages) = ask(&world, &two, "password").await;
    assert_eq!(passing, Some(false));
    assert!(!messages.is_empty());
    let long = "vermilion otter 94 cathedral-kite";
    assert_eq!(ask(&world, &two, long).await.0, Some(true));
    assert_eq!(ask(&world, &four, long).await.0, Some(false));
    assert_eq!(ask(&world, &four, &"xK4#".repeat(5000)).await.0, Some(false));
    let context = json!({"password": "ada@example.com"});
    let own = world.try_policy(&two, Some(&ada), &RequestInfo::default(), context).await;
    assert_eq!(own.passing, Some(false));
}
