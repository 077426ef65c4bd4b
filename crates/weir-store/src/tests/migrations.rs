//! Migrations: forward only, locked by checksum, whole or not at all.

use crate::{
    StoreError,
    migrate::{self, MIGRATIONS, Migration},
    test_support::empty_db,
};

const FIRST: Migration = Migration { version: 1, name: "first", sql: "CREATE TABLE one (id {{auto_id}}, t TEXT)" };
const SECOND: Migration = Migration { version: 2, name: "second", sql: "CREATE TABLE two (x {{bytes}})" };

fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_embedded_migrations_apply_once_in_order() {
    let db = empty_db().await.unwrap();
    let names: Vec<String> = MIGRATIONS.iter().map(|one| format!("{:04}_{}", one.version, one.name)).collect();
    assert_eq!(db.migration_state().await.unwrap().pending, names);
    assert_eq!(db.migrate().await.unwrap(), names);
    assert!(db.migrate().await.unwrap().is_empty());
    let state = db.migration_state().await.unwrap();
    assert_eq!((state.applied, state.pending.len()), (names, 0));
    let versions: Vec<i64> = MIGRATIONS.iter().map(|one| one.version).collect();
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]));
}

#[tokio::test]
async fn a_changed_migration_is_refused_by_name() {
    let db = empty_db().await.unwrap();
    migrate::run(&db, &[FIRST, SECOND]).await.unwrap();
    let changed = Migration { sql: "CREATE TABLE one (id {{auto_id}})", ..FIRST };
    let text = refused(migrate::run(&db, &[changed, SECOND]).await);
    assert!(text.contains("0001_first") && !text.contains('\n'), "{text}");
    let windows = Migration { sql: "CREATE TABLE one (id {{auto_id}}, t TEXT)\r", ..FIRST };
    let unix = Migration { sql: "CREATE TABLE one (id {{auto_id}}, t TEXT)", ..FIRST };
    assert!(migrate::run(&db, &[windows, SECOND]).await.unwrap().is_empty(), "line ends do not count");
    assert!(migrate::run(&db, &[unix, SECOND]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_newer_database_is_refused_by_an_older_program() {
    let db = empty_db().await.unwrap();
    migrate::run(&db, &[FIRST, SECOND]).await.unwrap();
    let text = refused(migrate::run(&db, &[FIRST]).await);
    assert!(text.contains("newer") && text.contains("0002_second"), "{text}");
}

#[tokio::test]
async fn a_failing_migration_leaves_nothing_of_itself_and_keeps_those_before() {
    let db = empty_db().await.unwrap();
    let broken = Migration { sql: "CREATE TABLE half (a TEXT); INSERT INTO half VALUES ('x'); NONSENSE", ..SECOND };
    let error = migrate::run(&db, &[FIRST, broken]).await.unwrap_err();
    assert!(format!("{error:?}").contains("0002_second"), "{error:?}");
    let state = migrate::state(&db, &[FIRST, SECOND]).await.unwrap();
    assert_eq!((state.applied, state.pending), (vec!["0001_first".to_owned()], vec!["0002_second".to_owned()]));
    assert!(db.read("SELECT a FROM half", &[]).await.is_err());
    assert_eq!(migrate::run(&db, &[FIRST, SECOND]).await.unwrap(), ["0002_second"]);
}

#[tokio::test]
async fn numbers_count_by_themselves() {
    let db = empty_db().await.unwrap();
    migrate::run(&db, &[FIRST]).await.unwrap();
    let mut tx = db.tx();
    for expected in 1..=3 {
        let rows = tx.write_returning("INSERT INTO one (t) VALUES ('x') RETURNING id", &[]).await.unwrap();
        assert_eq!(rows[0].int("id").unwrap(), expected);
    }
}
