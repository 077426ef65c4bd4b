//! Transactions: begin late, end cleanly, never leak.

use std::time::Duration;

use tokio::time::timeout;

use super::{add_object, count_objects, write_object};
use crate::{DatabaseUrl, Db, DbSettings, Dialect, Durability, StoreError, test_support::test_db};

#[tokio::test]
async fn reading_opens_no_write_transaction_and_writing_does() {
    let db = test_db().await;
    let mut tx = db.tx();
    assert!(tx.read_one("SELECT id FROM object", &[]).await.unwrap().is_none());
    assert!(!tx.is_writing());
    write_object(&mut tx, "a").await.unwrap();
    assert!(tx.is_writing());
    assert_eq!(tx.read("SELECT id FROM object", &[]).await.unwrap().len(), 1, "it reads its own writes");
    assert_eq!(count_objects(&db).await, 0, "nobody else does");
    tx.commit().await.unwrap();
    assert_eq!(count_objects(&db).await, 1);
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing_and_the_next_writer_starts_at_once() {
    let db = test_db().await;
    let mut tx = db.tx();
    write_object(&mut tx, "a").await.unwrap();
    drop(tx);
    timeout(Duration::from_secs(2), add_object(&db, "b")).await.unwrap().unwrap();
    assert_eq!(count_objects(&db).await, 1);
    let mut tx = db.tx();
    write_object(&mut tx, "c").await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(count_objects(&db).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_cancelled_at_any_point_leave_no_open_transaction_behind() {
    let db = test_db().await;
    for round in 0..200_u64 {
        let mine = db.db();
        let task = tokio::spawn(async move {
            let mut tx = mine.tx();
            write_object(&mut tx, &format!("cancelled-{round}")).await.unwrap();
            tx.read("SELECT id FROM object", &[]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
            tx.commit().await.unwrap();
        });
        tokio::time::sleep(Duration::from_micros(round * 10)).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    for number in 0..10 {
        timeout(Duration::from_secs(5), add_object(&db, &format!("after-{number}"))).await.unwrap().unwrap();
    }
    assert_eq!(count_objects(&db).await, 10);
    db.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_parallel_writers_that_read_first_lose_no_update() {
    let db = test_db().await;
    let mut tx = db.tx();
    tx.write("INSERT INTO installation VALUES ('counter', '0')", &[]).await.unwrap();
    tx.commit().await.unwrap();
    let writers: Vec<_> = (0..50).map(|_| tokio::spawn(count_up(db.db()))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let row = db.read_one("SELECT value FROM installation WHERE key = 'counter'", &[]).await.unwrap().unwrap();
    assert_eq!(row.text("value").unwrap(), "250");
}

async fn count_up(db: Db) {
    for _ in 0..5 {
        let mut tx = db.tx();
        tx.begin_write().await.unwrap();
        let sql = format!("SELECT value FROM installation WHERE key = 'counter'{}", db.dialect().for_update());
        let value: i64 = tx.read_one(&sql, &[]).await.unwrap().unwrap().text("value").unwrap().parse().unwrap();
        let next = (value + 1).to_string();
        tx.write("UPDATE installation SET value = $1 WHERE key = 'counter'", &[next.into()]).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_failed_transaction_cannot_be_committed_on_either_database() {
    let db = test_db().await;
    add_object(&db, "a").await.unwrap();
    let mut tx = db.tx();
    write_object(&mut tx, "b").await.unwrap();
    assert!(matches!(write_object(&mut tx, "a").await, Err(StoreError::Conflict { .. })));
    assert!(matches!(write_object(&mut tx, "c").await, Err(StoreError::Internal(_))));
    assert!(tx.commit().await.is_err());
    assert_eq!(count_objects(&db).await, 1);
    add_object(&db, "d").await.unwrap();
}

#[tokio::test]
async fn a_savepoint_survives_a_failure_after_it() {
    let db = test_db().await;
    let mut tx = db.tx();
    write_object(&mut tx, "a").await.unwrap();
    let point = tx.savepoint().await.unwrap();
    write_object(&mut tx, "b").await.unwrap();
    write_object(&mut tx, "a").await.unwrap_err();
    tx.rollback_to(point).await.unwrap();
    let point = tx.savepoint().await.unwrap();
    write_object(&mut tx, "c").await.unwrap();
    tx.release(point).await.unwrap();
    tx.commit().await.unwrap();
    let rows = db.read("SELECT id FROM object ORDER BY id", &[]).await.unwrap();
    let ids: Vec<String> = rows.iter().map(|row| row.text("id").unwrap()).collect();
    assert_eq!(ids, ["a", "c"]);
}

#[tokio::test]
async fn durability_is_full_unless_relaxed_before_the_first_write_and_can_only_rise_after_it() {
    let db = test_db().await;
    let mut tx = db.tx();
    assert_eq!(tx.durability(), Durability::Full);
    tx.set_durability(Durability::Relaxed);
    write_object(&mut tx, "a").await.unwrap();
    assert_eq!(tx.durability(), Durability::Relaxed);
    if db.dialect() == Dialect::Postgres {
        let sql = "SELECT current_setting('synchronous_commit') AS value";
        assert_eq!(tx.read_one(sql, &[]).await.unwrap().unwrap().text("value").unwrap(), "off");
    }
    tx.set_durability(Durability::Full);
    tx.set_durability(Durability::Relaxed);
    assert_eq!(tx.durability(), Durability::Full);
    tx.commit().await.unwrap();
    assert_eq!(count_objects(&db).await, 1);
}

/// How PostgreSQL commits without being told.
async fn synchronous_commit(db: &Db) -> Option<String> {
    let sql = "SELECT current_setting('synchronous_commit') AS value";
    let row = if db.dialect() == Dialect::Postgres { db.read_one(sql, &[]).await.unwrap() } else { None };
    row.map(|row| row.text("value").unwrap())
}

#[tokio::test]
async fn a_last_write_without_one_before_is_permanent_at_once_and_behind_one_waits_for_the_commit() {
    let db = test_db().await;
    let before = synchronous_commit(&db).await;
    for durability in [Durability::Relaxed, Durability::Full] {
        let id = format!("{durability:?}");
        let mut tx = db.tx();
        tx.set_durability(durability);
        tx.last_write_follows();
        write_object(&mut tx, &id).await.unwrap();
        assert!(!tx.is_writing());
        let found = db.read_one("SELECT id FROM object WHERE id = $1", &[(&id).into()]).await.unwrap();
        assert!(found.is_some(), "{id}");
        tx.commit().await.unwrap();
    }
    assert_eq!(count_objects(&db).await, 2);
    let mut tx = db.tx();
    tx.last_write_follows();
    assert!(matches!(write_object(&mut tx, "Full").await, Err(StoreError::Conflict { .. })));
    tx.rollback().await.unwrap();
    let mut tx = db.tx();
    write_object(&mut tx, "first").await.unwrap();
    tx.last_write_follows();
    write_object(&mut tx, "second").await.unwrap();
    drop(tx);
    timeout(Duration::from_secs(2), add_object(&db, "after")).await.unwrap().unwrap();
    assert_eq!(count_objects(&db).await, 3);
    assert_eq!(synchronous_commit(&db).await, before, "as the administrator has it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_cancelled_at_any_point_leave_every_connection_usable() {
    let db = test_db().await;
    add_object(&db, "a").await.unwrap();
    for round in 0..200_u64 {
        let mine = db.db();
        let task: tokio::task::JoinHandle<()> = tokio::spawn(async move {
            loop {
                mine.read("SELECT id FROM object", &[]).await.unwrap();
            }
        });
        tokio::time::sleep(Duration::from_micros(round * 10)).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    let reads: Vec<_> = (0..50)
        .map(|_| {
            let mine = db.db();
            tokio::spawn(async move { count_objects(&mine).await })
        })
        .collect();
    for read in reads {
        assert_eq!(timeout(Duration::from_secs(5), read).await.unwrap().unwrap(), 1);
    }
}

#[tokio::test]
async fn configuration_changes_wake_listeners_when_they_commit_and_only_then() {
    let db = test_db().await;
    let other = Db::open(db.settings()).await.unwrap();
    let mut here = db.changes();
    let mut there = if db.dialect() == Dialect::Postgres { other.changes() } else { db.changes() };
    // The listener's own start counts as a change.
    while timeout(Duration::from_millis(500), there.changed()).await.is_ok() {}
    here.mark_unchanged();
    let mut tx = db.tx();
    tx.lock_configuration().await.unwrap();
    tx.notify_configuration(7).await.unwrap();
    tx.rollback().await.unwrap();
    assert!(timeout(Duration::from_millis(200), here.changed()).await.is_err());
    let mut tx = db.tx();
    tx.notify_configuration(8).await.unwrap();
    tx.commit().await.unwrap();
    timeout(Duration::from_secs(1), here.changed()).await.unwrap().unwrap();
    timeout(Duration::from_secs(1), there.changed()).await.unwrap().unwrap();
    assert_eq!((*here.borrow(), *there.borrow()), (8, 8));
    other.close().await;
}

#[tokio::test]
async fn one_transaction_at_a_time_holds_the_configuration() {
    let db = test_db().await;
    let mut first = db.tx();
    first.lock_configuration().await.unwrap();
    let mine = db.db();
    let second = tokio::spawn(async move {
        let mut tx = mine.tx();
        tx.lock_configuration().await.unwrap();
        tx.commit().await.unwrap();
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!second.is_finished());
    first.commit().await.unwrap();
    timeout(Duration::from_secs(2), second).await.unwrap().unwrap();
}

#[tokio::test]
async fn lost_connections_are_replaced_without_an_error() {
    let db = test_db().await;
    if db.dialect() == Dialect::Sqlite {
        return;
    }
    let others: Vec<_> = (0..6).map(|_| db.tx()).collect();
    let mut open = Vec::new();
    for mut tx in others {
        tx.begin_write().await.unwrap();
        open.push(tx);
    }
    for tx in open {
        tx.rollback().await.unwrap();
    }
    let mut changes = db.changes();
    while timeout(Duration::from_millis(500), changes.changed()).await.is_ok() {}
    let killer = Db::open(db.settings()).await.unwrap();
    let sql = "SELECT pg_terminate_backend(pid)::text AS gone FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND query NOT LIKE '%pg_terminate%'";
    assert!(!killer.read(sql, &[]).await.unwrap().is_empty());
    add_object(&db, "a").await.unwrap();
    assert_eq!(count_objects(&db).await, 1);
    timeout(Duration::from_secs(5), changes.changed()).await.unwrap().unwrap();
    killer.close().await;
}

#[tokio::test]
async fn a_server_without_the_database_is_refused_in_one_line_and_one_that_is_away_is_unavailable() {
    let db = test_db().await;
    let DatabaseUrl::Postgres(url) = db.settings().url.clone() else { return };
    let wrong = DbSettings::new(DatabaseUrl::Postgres(format!("{url}_gone")));
    match Db::open(&wrong).await {
        Err(StoreError::Refused(text)) => assert!(text.contains("does not exist"), "{text}"),
        other => panic!("{other:?}"),
    }
    let mut away = DbSettings::new(DatabaseUrl::Postgres("postgres://nobody@127.0.0.1:1/nothing".to_owned()));
    away.acquire_timeout = Duration::from_millis(300);
    assert!(matches!(Db::open(&away).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn prepared_statements_can_be_switched_off() {
    let db = test_db().await;
    let mut settings = db.settings().clone();
    settings.statement_cache = false;
    let other = Db::open(&settings).await.unwrap();
    other.migrate().await.unwrap();
    for number in 0..3 {
        add_object(&other, &format!("object-{number}")).await.unwrap();
    }
    assert_eq!(count_objects(&other).await, 3);
    other.close().await;
}

#[tokio::test]
async fn a_closed_database_is_unavailable() {
    let db = test_db().await;
    db.close().await;
    assert!(matches!(db.ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(add_object(&db, "a").await, Err(StoreError::Unavailable(_))));
}
