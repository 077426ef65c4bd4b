//! The SQLite file: rights, damage, locks, copies, grouped syncs.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{add_object, count_objects, write_object};
use crate::{DatabaseUrl, Db, DbSettings, Durability, StoreError, sqlite::TemporaryDir};

fn folder() -> (TemporaryDir, PathBuf) {
    let dir = TemporaryDir::create().unwrap();
    let path = dir.0.join("data").join("weir.db");
    (dir, path)
}

fn settings(path: &Path) -> DbSettings {
    DbSettings {
        lock_timeout: Duration::from_millis(300),
        acquire_timeout: Duration::from_millis(500),
        ..DbSettings::new(DatabaseUrl::Sqlite(path.to_owned()))
    }
}

async fn filled(path: &Path, objects: usize) {
    let db = Db::open(&settings(path)).await.unwrap();
    db.migrate().await.unwrap();
    let mut tx = db.tx();
    for number in 0..objects {
        write_object(&mut tx, &format!("object-{number}")).await.unwrap();
    }
    tx.commit().await.unwrap();
    db.close().await;
}

async fn refusal(path: &Path) -> String {
    match Db::open(&settings(path)).await {
        Err(StoreError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn files_belong_to_the_owner_alone() {
    let (_dir, path) = folder();
    filled(&path, 1).await;
    let db = Db::open(&settings(&path)).await.unwrap();
    add_object(&db, "a").await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_in_one_line_and_left_alone() {
    let (_dir, path) = folder();
    filled(&path, 500).await;
    let good = fs::read(&path).unwrap();
    let half = good.len() / 2;
    let mut holed = good.clone();
    holed[4096..half].fill(0x5a);
    let mut headless = good.clone();
    headless[..16].fill(0);
    for bad in [b"something else".to_vec(), good[..half].to_vec(), holed, headless, Vec::new()] {
        fs::write(&path, &bad).unwrap();
        let text = refusal(&path).await;
        assert!(text.contains("restore a backup") && !text.contains('\n'), "{text}");
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
    fs::remove_file(&path).unwrap();
    assert!(refusal(&path).await.contains("missing"));
    assert!(!path.exists());
    fs::write(&path, &good).unwrap();
    let db = Db::open(&settings(&path)).await.unwrap();
    assert_eq!(count_objects(&db).await, 500);
}

#[tokio::test]
async fn an_empty_file_that_was_never_in_use_becomes_a_database() {
    let (_dir, path) = folder();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(&path).unwrap();
    filled(&path, 1).await;
    let db = Db::open(&settings(&path)).await.unwrap();
    assert_eq!(count_objects(&db).await, 1);
}

#[tokio::test]
async fn a_second_server_is_refused_while_a_tool_may_work() {
    let (_dir, path) = folder();
    let server = DbSettings { exclusive: true, ..settings(&path) };
    let first = Db::open(&server).await.unwrap();
    first.migrate().await.unwrap();
    match Db::open(&server).await {
        Err(StoreError::Refused(text)) => assert!(text.contains("another server"), "{text}"),
        other => panic!("{other:?}"),
    }
    let tool = Db::open(&settings(&path)).await.unwrap();
    add_object(&tool, "by the tool").await.unwrap();
    assert_eq!(count_objects(&first).await, 1);
    tool.close().await;
    first.close().await;
    drop(first);
    Db::open(&server).await.unwrap();
}

#[tokio::test]
async fn a_file_locked_by_another_process_is_unavailable_for_writing_and_still_readable() {
    let (_dir, path) = folder();
    filled(&path, 1).await;
    let db = Db::open(&settings(&path)).await.unwrap();
    let other = Db::open(&settings(&path)).await.unwrap();
    let mut lock = other.tx();
    lock.begin_write().await.unwrap();
    let refused = add_object(&db, "a").await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(count_objects(&db).await, 1);
    lock.rollback().await.unwrap();
    add_object(&db, "a").await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_unavailable_for_writing_and_recovers() {
    let (_dir, path) = folder();
    filled(&path, 1).await;
    let db = Db::open(&settings(&path)).await.unwrap();
    // A limit on the number of pages fails with the same code as a full disk.
    let mut tx = db.tx();
    let pages = tx.write_returning("PRAGMA max_page_count = 1", &[]).await.unwrap()[0].int("max_page_count").unwrap();
    tx.commit().await.unwrap();
    let big = "x".repeat(1 << 20);
    let mut tx = db.tx();
    let full = tx.write("INSERT INTO installation VALUES ('big', $1)", &[big.into()]).await;
    assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?} at {pages} pages");
    drop(tx);
    assert_eq!(count_objects(&db).await, 1);
    add_object(&db, "a").await.unwrap();
}

#[tokio::test]
async fn full_commits_wait_for_the_disk_and_relaxed_ones_do_not() {
    let (_dir, path) = folder();
    filled(&path, 0).await;
    let db = Db::open(&settings(&path)).await.unwrap();
    let before = db.disk_syncs();
    let mut tx = db.tx();
    tx.set_durability(Durability::Relaxed);
    write_object(&mut tx, "relaxed").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(db.disk_syncs(), before);
    add_object(&db, "full").await.unwrap();
    assert_eq!(db.disk_syncs(), before + 1);
    let mut tx = db.tx();
    tx.set_durability(Durability::Relaxed);
    write_object(&mut tx, "raised").await.unwrap();
    tx.set_durability(Durability::Full);
    tx.commit().await.unwrap();
    assert_eq!(db.disk_syncs(), before + 2);
    for (durability, synced) in [(Durability::Relaxed, 0), (Durability::Full, 1)] {
        let before = db.disk_syncs();
        let mut tx = db.tx();
        tx.set_durability(durability);
        tx.last_write_follows();
        write_object(&mut tx, &format!("alone {durability:?}")).await.unwrap();
        assert_eq!(db.disk_syncs(), before + synced);
        tx.commit().await.unwrap();
        assert_eq!(db.disk_syncs(), before + synced);
    }
}

#[tokio::test]
async fn a_backup_is_a_whole_database_and_never_overwrites() {
    let (_dir, path) = folder();
    filled(&path, 20).await;
    let db = Db::open(&settings(&path)).await.unwrap();
    let copy = path.with_file_name("copy.db");
    db.backup(&copy).await.unwrap();
    assert!(matches!(db.backup(&copy).await, Err(StoreError::Invalid(_))));
    add_object(&db, "later").await.unwrap();
    let restored = Db::open(&settings(&copy)).await.unwrap();
    assert_eq!(count_objects(&restored).await, 20);
    assert!(restored.migrate().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_write_ahead_log_torn_at_its_end_keeps_what_came_before() {
    let (_dir, path) = folder();
    filled(&path, 1).await;
    let db = Db::open(&settings(&path)).await.unwrap();
    add_object(&db, "kept").await.unwrap();
    let wal = path.with_file_name("weir.db-wal");
    let whole = fs::metadata(&wal).unwrap().len();
    add_object(&db, "torn").await.unwrap();
    let (crashed, crashed_wal) = (path.with_file_name("c.db"), path.with_file_name("c.db-wal"));
    fs::copy(&path, &crashed).unwrap();
    fs::copy(&wal, &crashed_wal).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&crashed_wal).unwrap();
    file.seek(SeekFrom::Start(whole + 100)).unwrap();
    file.write_all(&[0xee; 64]).unwrap();
    drop(file);
    let db = Db::open(&settings(&crashed)).await.unwrap();
    assert_eq!(count_objects(&db).await, 2);
}

#[test]
fn addresses_are_read_and_shown_without_their_password() {
    let show = |text: &str| text.parse::<DatabaseUrl>().unwrap().to_string();
    assert_eq!(show("sqlite:data/weir.db"), "sqlite:data/weir.db");
    assert_eq!("sqlite:///var/weir.db".parse::<DatabaseUrl>().unwrap(), DatabaseUrl::Sqlite("/var/weir.db".into()));
    assert_eq!("sqlite::memory:".parse::<DatabaseUrl>().unwrap(), DatabaseUrl::Temporary);
    assert_eq!(show("postgres://me:secret@host/db"), "postgres://me:***@host/db");
    assert_eq!(show("postgres://me:se?c@ret@host/db?a=b"), "postgres://me:***@host/db?a=b");
    assert_eq!(
        show("postgresql://host/db?user=me&password=secret&a=b"),
        "postgresql://host/db?user=me&password=***&a=b"
    );
    assert_eq!(show("postgres://me@host/db?password=secret"), "postgres://me@host/db?password=***");
    assert!("mysql://host/db".parse::<DatabaseUrl>().is_err());
    assert!("sqlite:".parse::<DatabaseUrl>().is_err());
}
