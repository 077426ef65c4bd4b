//! What queries mean, in memory and on both databases.

use super::{MAX_COMPARISONS, MAX_DEPTH, MAX_LENGTH, MAX_VALUES, Query};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use weir_core::Map;
use weir_store::{Db, Dialect, Val, test_support::test_db};

fn map(value: Value) -> Map {
    value.as_object().unwrap().clone()
}

fn event(pk: &str, action: &str, username: &str, ip: Option<&str>, created: &str, context: Value) -> Map {
    map(json!({
        "pk": pk, "user": {"pk": 7, "username": username, "email": "x@example.org"}, "action": action,
        "app": "authentik_core", "context": context, "client_ip": ip, "created": created,
        "expires": "2027-01-01T00:00:00Z", "brand": {"name": "Main"},
    }))
}

fn events() -> Vec<Map> {
    vec![
        event("a", "login", "ann", Some("192.0.2.1"), "2026-01-10T08:00:00Z", json!({"n": 5, "flag": true})),
        event("b", "login_failed", "Bob", Some("192.0.2.2"), "2026-02-10T08:00:00Z", json!({"n": "5", "flag": null})),
        event("c", "logout", "100%_x", None, "2026-03-10T08:00:00Z", json!({"deep": {"list": ["Alpha"]}, "n": 10})),
        event("d", "custom_it's", "ann", Some("::1"), "2026-04-10T08:00:00Z", json!({"deep": {"name": "Zoë ? $1"}})),
    ]
}

async fn store(db: &Db, events: &[Map]) {
    for event in events {
        let time = |field: &str| weir_core::validate::parse_time(event[field].as_str().unwrap()).unwrap();
        let mut tx = db.tx();
        tx.write(
            "INSERT INTO audit_event (id, \"user\", user_id, username, action, app, context, client_ip, brand, created, \
             expires) VALUES ($1, $2, 7, $3, $4, $5, $6, $7, $8, $9, $10)",
            &[
                event["pk"].as_str().into(),
                event["user"].clone().into(),
                event["user"]["username"].as_str().into(),
                event["action"].as_str().into(),
                event["app"].as_str().into(),
                event["context"].clone().into(),
                event["client_ip"].as_str().into(),
                event["brand"].clone().into(),
                time("created").into(),
                time("expires").into(),
            ],
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }
}

async fn asked(db: &Db, query: &Query) -> BTreeSet<String> {
    let (sql, vals) = query.to_sql(db.dialect());
    assert_eq!(sql.matches('?').count(), vals.len(), "{sql}");
    let mut text = String::new();
    for (index, piece) in sql.split('?').enumerate() {
        text.push_str(&if index == 0 { piece.to_owned() } else { format!("${index}{piece}") });
    }
    let rows = db.read(&format!("SELECT id FROM audit_event WHERE {text}"), &vals).await.unwrap();
    rows.iter().map(|row| row.text("id").unwrap()).collect()
}

/// Queries with the events that meet them.
const MEANINGS: &[(&str, &str)] = &[
    ("action = \"login\"", "a"),
    ("action == 'login'", "a"),
    ("action != \"login\"", "bcd"),
    ("action ~ \"LOGIN\"", "ab"),
    ("action !~ \"login\"", "cd"),
    ("action startswith \"log\"", "abc"),
    ("action startswith \"LOG\"", ""),
    ("action not startswith \"log\"", "d"),
    ("action in (\"login\", \"logout\")", "ac"),
    ("action not in (\"login\", \"logout\")", "bd"),
    ("action = \"custom_it's\"", "d"),
    ("action > \"login\" and action < \"logout\"", "b"),
    ("client_ip = None", "c"),
    ("client_ip != none", "abd"),
    ("client_ip != \"192.0.2.1\"", "bcd"),
    ("not client_ip = \"192.0.2.1\"", "bcd"),
    ("client_ip in (None, \"::1\")", "cd"),
    ("not client_ip ~ \"192\"", "cd"),
    ("user.username = \"ann\"", "ad"),
    ("user.username ~ \"bo\"", "b"),
    ("user.username ~ \"0%_\"", "c"),
    ("user.username ~ \"%\"", "c"),
    ("user.pk = 7", "abcd"),
    ("user.pk != 7", ""),
    ("user.pk > 6.5", "abcd"),
    ("user ~ \"example.org\"", "abcd"),
    ("context.n = 5", "a"),
    ("context.n = \"5\"", "ab"),
    ("context.n >= 5", "ac"),
    ("not context.n >= 6", "abd"),
    ("context.n in (5, 10)", "ac"),
    ("context.flag = True", "a"),
    ("context.flag = None", "bcd"),
    ("context.flag != false", "abcd"),
    ("context.deep.list ~ \"alpha\"", "c"),
    ("context.deep.name = \"Zoë ? $1\"", "d"),
    ("context.deep.name startswith \"Zo\\u\"", ""),
    ("context.deep.name startswith \"Zoë\"", "d"),
    ("context ~ \"alpha\"", "c"),
    ("context.deep.name.more = None", "abcd"),
    ("brand.name = \"Main\" and app = \"authentik_core\"", "abcd"),
    ("created >= 2026-03-01", "cd"),
    ("created < \"2026-01-10T08:00:01Z\"", "a"),
    ("created = 2026-01-10T09:00:00+01:00", "a"),
    ("created in (2026-01-10T08:00:00Z)", "a"),
    ("expires = None", ""),
    ("pk = \"a\" or pk = \"c\" and action = \"login\"", "a"),
    ("(pk = \"a\" or pk = \"c\") and action = \"logout\"", "c"),
    ("not (action = \"login\" or not user.username = \"ann\")", "d"),
    ("NOT (action = \"login\" AND client_ip = None)", "abcd"),
];

#[tokio::test]
async fn memory_and_database_agree_on_what_a_query_means() {
    let (db, events) = (test_db().await, events());
    store(&db, &events).await;
    for (text, wanted) in MEANINGS {
        let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let wanted: BTreeSet<String> = wanted.chars().map(String::from).collect();
        let met: BTreeSet<String> =
            events.iter().filter(|e| query.matches(e)).map(|e| e["pk"].as_str().unwrap().to_owned()).collect();
        assert_eq!(met, wanted, "in memory: {text}");
        assert_eq!(asked(&db, &query).await, wanted, "in the database: {text}");
    }
}

#[test]
fn plain_words_and_half_sentences_are_no_queries() {
    for text in [
        "",
        "login",
        "failed login",
        "action",
        "action =",
        "action = login",
        "action \"x\"",
        "= \"x\"",
        "(action = \"x\"",
        "action = \"x\")",
        "action = \"x\" action = \"y\"",
        "action = \"x",
        "action in ()",
        "action in (\"x\"",
        "action in \"x\"",
        "nothing = 1",
        "context. = 1",
        "context.0 = 1",
        "action = \"x\" and",
        "created ~ \"2026\"",
        "created > 5",
        "created = \"soon\"",
        "action > None",
        "created = 2026-13-45",
        "a;b",
        "not",
        "and",
        "context.n = 1e999",
        "action not = \"x\"",
    ] {
        assert!(Query::parse(text).is_err(), "{text}");
    }
    assert_eq!(Query::parse("action = \"x\" ; drop").unwrap_err().at, 13);
}

#[test]
fn limits_hold_for_depth_length_comparisons_and_values() {
    let nested = |depth: usize| format!("{}action = \"x\"{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Query::parse(&nested(MAX_DEPTH - 1)).is_ok());
    assert!(Query::parse(&nested(MAX_DEPTH)).is_err());
    assert!(Query::parse(&"(".repeat(MAX_LENGTH)).is_err());
    assert!(Query::parse(&format!("{}action = \"x\"", "not ".repeat(MAX_LENGTH / 5))).is_err());
    assert!(Query::parse(&format!("action = \"{}\"", "x".repeat(MAX_LENGTH))).is_err());
    let many = |count: usize| vec!["app = \"x\""; count].join(" or ");
    assert!(Query::parse(&many(MAX_COMPARISONS)).is_ok());
    assert!(Query::parse(&many(MAX_COMPARISONS + 1)).is_err());
    let list = |count: usize| format!("app in ({})", vec!["\"x\""; count].join(","));
    assert!(Query::parse(&list(MAX_VALUES)).is_ok());
    assert!(Query::parse(&list(MAX_VALUES + 1)).is_err());
}

#[test]
fn values_never_become_part_of_the_statement() {
    let query = Query::parse("user.username = \"x' OR 1=1 --\" and context.a-b ~ \"'; DROP\"").unwrap();
    for dialect in [weir_store::Dialect::Sqlite, weir_store::Dialect::Postgres] {
        let (sql, vals) = query.to_sql(dialect);
        assert!(!sql.contains("DROP") && !sql.contains("OR 1=1") && !sql.contains("a-b"), "{sql}");
        assert!(vals.contains(&Val::from("x' OR 1=1 --")));
    }
}

#[test]
fn what_has_an_index_is_asked_so_that_it_is_used() {
    let (sql, _) = Query::parse("action = \"login\" and user.pk = 5 and created > 2026-01-01")
        .unwrap()
        .to_sql(weir_store::Dialect::Sqlite);
    assert_eq!(sql, "(((action || '') = ?) AND (user_id = ?) AND (created > ?))");
}

#[test]
fn actions_leave_the_index_to_what_finds_fewer_events() {
    let sql = |text: &str| Query::parse(text).unwrap().to_sql(Dialect::Sqlite).0;
    let hinted = |text: &str| sql(text).contains("(action || '')");
    for narrow in ["user.username = \"ann\"", "user.pk = 5", "client_ip = \"::1\"", "context.model.pk = \"a\""] {
        assert!(hinted(&format!("action = \"login\" and {narrow}")), "{narrow}");
        assert!(hinted(&format!("{narrow} and (created > 2026-01-01 and action in (\"login\"))")), "{narrow}");
        assert!(!hinted(&format!("action = \"login\" or {narrow}")), "{narrow}");
        assert!(!hinted(&format!("not (action = \"login\" and {narrow})")), "{narrow}");
    }
    assert!(!hinted("action = \"login\" and created > 2026-01-01"));
    assert!(!hinted("action = \"login\" and user.username != \"ann\""));
    let about = sql("context.model.pk = \"a-b\"");
    assert!(about.contains("object_pk = ?") && about.contains("json_"), "{about}");
}
