//! Cleansing.

use crate::{Event, MASK, Origin, Subject, cleanse, forget_statistics, record};
use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};
use weir_core::SystemRandom;
use weir_store::test_support::test_db;

#[test]
fn secrets_are_masked_by_key_at_every_depth_and_results_stay_readable() {
    let cleansed = cleanse(json!({
        "Password": "x", "nested": [{"api_thing": 1, "ok": 2}], "passing": true, "auth_method": "password",
        "auth_method_args": {"token": "t", "known_device": true},
    }));
    assert_eq!(cleansed["Password"], MASK);
    assert_eq!(cleansed["nested"], json!([{"api_thing": MASK, "ok": 2}]));
    assert_eq!(cleansed["passing"], true);
    assert_eq!(cleansed["auth_method"], "password");
    assert_eq!(cleansed["auth_method_args"], json!({"token": MASK, "known_device": true}));
}

#[test]
fn which_secret_was_read_stays_readable() {
    let token = json!({"app": "authentik_core", "model_name": "token", "pk": "1", "name": "ci"});
    assert_eq!(cleanse(json!({"secret": token.clone()}))["secret"], token);
    assert_eq!(cleanse(json!({"secret": {"name": "x", "value": "y"}}))["secret"], MASK);
}

#[test]
fn what_an_event_is_about_is_told_without_dashes() {
    let of = |context: Value| Subject::of(context.as_object().unwrap());
    let about = of(json!({"model": {"pk": "ab-cd"}, "authorized_application": {"pk": 7}}));
    assert_eq!((about.object_pk.as_deref(), about.application.as_deref()), (Some("abcd"), Some("7")));
    for other in [json!({}), json!({"model": 1}), json!({"model": {"pk": null}}), json!({"model": {"pk": [1]}})] {
        assert_eq!(of(other), Subject::default());
    }
}

#[tokio::test]
async fn statistics_of_the_first_hours_do_not_keep_the_index_over_users_from_being_used() {
    let db = test_db().await;
    let mut tx = db.tx();
    for number in 0..300 {
        let event = Event::new("model_created", "tests", json!({"number": number}));
        let now = DateTime::from_timestamp(1_767_225_600 + number, 0).unwrap();
        record(&mut tx, &SystemRandom, now, TimeDelta::days(1), &Origin::system(), event).await.unwrap();
    }
    tx.commit().await.unwrap();
    db.maintain().await.unwrap();
    forget_statistics(&db).await.unwrap();
    forget_statistics(&db).await.unwrap();
    if db.dialect() == weir_store::Dialect::Sqlite {
        let known = "SELECT 1 AS found FROM sqlite_master WHERE name = 'sqlite_stat1'";
        if db.read_one(known, &[]).await.unwrap().is_some() {
            let sql = "SELECT COUNT(*) AS n FROM sqlite_stat1 WHERE tbl = 'audit_event'";
            assert_eq!(db.read_one(sql, &[]).await.unwrap().unwrap().int("n").unwrap(), 0);
        }
        let sql = "EXPLAIN QUERY PLAN SELECT * FROM audit_event WHERE username = 'x' ORDER BY created DESC, id LIMIT 9";
        let plan = db.read(sql, &[]).await.unwrap();
        assert!(plan[0].text("detail").unwrap().contains("audit_event_username"));
    }
}

#[test]
fn what_no_database_keeps_and_what_is_too_long_does_not_prevent_an_event() {
    let odd = cleanse(json!({"a\0b": ["x\0y"]}));
    assert_eq!(odd, json!({"a\u{fffd}b": ["x\u{fffd}y"]}));
    let long = crate::cleanse::bounded(json!({"user_agent": "ä".repeat(9000), "args": {"x": "1"}}));
    assert_eq!(long["user_agent"].as_str().unwrap().chars().count(), 2049);
    assert_eq!(long["args"], json!({"x": "1"}));
}
