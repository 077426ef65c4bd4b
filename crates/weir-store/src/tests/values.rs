//! Values in, rows out, errors mapped alike.

use chrono::DateTime;
use serde_json::json;
use uuid::Uuid;

use super::add_object;
use crate::{Dialect, StoreError, Val, escape_like, test_support::test_db};

const ALL: &str = "CREATE TABLE sample (i BIGINT, f DOUBLE PRECISION, b BOOLEAN, t TEXT, j TEXT, u TEXT, w BIGINT, x ";

async fn sample() -> crate::test_support::TestDb {
    let db = test_db().await;
    let mut tx = db.tx();
    tx.script(&format!("{ALL}{})", db.dialect().bytes())).await.unwrap();
    tx.commit().await.unwrap();
    db
}

#[tokio::test]
async fn every_kind_of_value_comes_back_as_it_went_in() {
    let db = sample().await;
    let (id, when) = (Uuid::from_u128(7), DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap());
    let vals: Vec<Val> = vec![
        (-5_i64).into(),
        1.5.into(),
        true.into(),
        "grüße".into(),
        json!({"a": [1, null]}).into(),
        id.into(),
        when.into(),
        vec![0_u8, 255].into(),
    ];
    let mut tx = db.tx();
    tx.write("INSERT INTO sample VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", &vals).await.unwrap();
    let row = tx.read_one("SELECT * FROM sample WHERE b = $1", &[true.into()]).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    assert_eq!(row.int("i").unwrap(), -5);
    assert_eq!(row.float("f").unwrap(), 1.5);
    assert!(row.bool("b").unwrap());
    assert_eq!(row.text("t").unwrap(), "grüße");
    assert_eq!(row.json("j").unwrap(), json!({"a": [1, null]}));
    assert_eq!(row.uuid("u").unwrap(), id);
    assert_eq!(row.time("w").unwrap(), when);
    assert_eq!(row.bytes("x").unwrap(), [0, 255]);
    assert_eq!(row.columns(), ["i", "f", "b", "t", "j", "u", "w", "x"]);
    assert!(row.has("i") && !row.has("y"));
}

#[tokio::test]
async fn null_is_none_in_every_kind_and_an_error_where_a_value_is_needed() {
    let db = sample().await;
    let vals: Vec<Val> = vec![
        None::<i64>.into(),
        None::<f64>.into(),
        None::<bool>.into(),
        None::<String>.into(),
        None::<serde_json::Value>.into(),
        None::<Uuid>.into(),
        None::<DateTime<chrono::Utc>>.into(),
        None::<Vec<u8>>.into(),
    ];
    let mut tx = db.tx();
    tx.write("INSERT INTO sample VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", &vals).await.unwrap();
    tx.commit().await.unwrap();
    let row = db.read_one("SELECT * FROM sample", &[]).await.unwrap().unwrap();
    assert_eq!(row.opt_int("i").unwrap(), None);
    assert_eq!(row.opt_float("f").unwrap(), None);
    assert_eq!(row.opt_bool("b").unwrap(), None);
    assert_eq!(row.opt_json("j").unwrap(), None);
    assert_eq!(row.opt_uuid("u").unwrap(), None);
    assert_eq!(row.opt_time("w").unwrap(), None);
    assert_eq!(row.opt_bytes("x").unwrap(), None);
    assert!(matches!(row.text("t"), Err(StoreError::Internal(_))));
    assert!(matches!(row.int("t").and(row.int("nothing")), Err(StoreError::Internal(_))));
}

#[tokio::test]
async fn a_column_of_another_type_is_an_error_and_not_a_guess() {
    let db = test_db().await;
    let row = db.read_one("SELECT 'abc' AS t, CAST(1 AS BIGINT) AS i", &[]).await.unwrap().unwrap();
    assert!(row.int("t").is_err());
    assert!(row.text("i").is_err());
    assert!(row.uuid("t").is_err());
}

#[tokio::test]
async fn text_with_a_null_character_is_invalid() {
    let db = test_db().await;
    for bad in ["a\0b".to_owned(), json!({"a": "\0"}).to_string()] {
        let read = db.read("SELECT id FROM object WHERE id = $1", &[Val::from(&bad)]).await;
        assert!(matches!(read, Err(StoreError::Invalid(_))), "{bad:?}");
    }
    let harmless = json!({"a": "\\u0000"});
    assert!(db.read("SELECT id FROM object WHERE id = $1", &[harmless.into()]).await.is_ok());
}

#[tokio::test]
async fn a_second_primary_key_is_a_conflict_with_the_same_name_on_both_databases() {
    let db = test_db().await;
    add_object(&db, "a").await.unwrap();
    match add_object(&db, "a").await {
        Err(StoreError::Conflict { constraint }) => assert_eq!(constraint, "object_pkey"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn unique_columns_and_indexes_are_named_alike() {
    let db = test_db().await;
    let mut tx = db.tx();
    tx.script(
        "CREATE TABLE pair (a TEXT, b TEXT, c TEXT, UNIQUE (a, b)); CREATE UNIQUE INDEX pair_lower ON pair (lower(c))",
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    for (values, expected) in [("'1','2','y'", "pair_a_b_key"), ("'3','4','X'", "pair_lower")] {
        let mut tx = db.tx();
        tx.write("INSERT INTO pair VALUES ('1', '2', 'x')", &[]).await.unwrap();
        match tx.write(&format!("INSERT INTO pair VALUES ({values})"), &[]).await {
            Err(StoreError::Conflict { constraint }) => assert_eq!(constraint, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_reference_to_nothing_is_in_use_and_a_missing_value_invalid() {
    let db = test_db().await;
    let mut tx = db.tx();
    let wrong = tx.write("INSERT INTO object_unique VALUES ('m', 'k', 'v', 'nobody')", &[]).await;
    assert!(matches!(wrong, Err(StoreError::InUse { .. })), "{wrong:?}");
    drop(tx);
    let mut tx = db.tx();
    let wrong = tx.write("INSERT INTO installation (key, value) VALUES ('k', NULL)", &[]).await;
    assert!(matches!(wrong, Err(StoreError::Invalid(_))), "{wrong:?}");
}

#[tokio::test]
async fn matching_ignores_case_and_takes_wildcards_literally() {
    let db = test_db().await;
    let found = async |text: &str, part: &str| {
        let sql = format!("SELECT 1 AS hit WHERE {}", db.dialect().like_ci("CAST($1 AS TEXT)", "$2"));
        let pattern = format!("%{}%", escape_like(part));
        db.read_one(&sql, &[text.into(), pattern.into()]).await.unwrap().is_some()
    };
    assert!(found("Hello World", "LO W").await);
    assert!(found("50% off_now\\", "0% OFF_").await);
    assert!(found("back\\slash", "\\s").await);
    assert!(!found("abc", "%").await);
    assert!(!found("abc", "a_c").await);
}

#[tokio::test]
async fn json_paths_read_as_text() {
    let db = test_db().await;
    let document = json!({"a": {"b c": "x", "n": 5, "t": true, "f": false, "z": null}, "q\"k": "y", "": "e"});
    let get = async |keys: &[&str]| {
        let dialect = db.dialect();
        let sql = format!("SELECT {} AS found", dialect.json_text("CAST($1 AS TEXT)", "$2"));
        let row = db.read_one(&sql, &[document.clone().into(), dialect.json_path(keys)]).await.unwrap().unwrap();
        row.opt_text("found").unwrap()
    };
    assert_eq!(get(&["a", "b c"]).await.as_deref(), Some("x"));
    assert_eq!(get(&["a", "n"]).await.as_deref(), Some("5"));
    assert_eq!(get(&["a", "t"]).await.as_deref(), Some("true"));
    assert_eq!(get(&["a", "f"]).await.as_deref(), Some("false"));
    assert_eq!(get(&["a", "z"]).await, None);
    assert_eq!(get(&["nothing", "here"]).await, None);
    assert_eq!(get(&[""]).await.as_deref(), Some("e"));
    let quoted = get(&["q\"k"]).await;
    assert_eq!(quoted.is_some(), db.dialect() == Dialect::Postgres, "SQLite has no path for such keys");
}
