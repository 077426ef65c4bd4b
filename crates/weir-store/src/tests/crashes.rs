//! Killed processes and processes that start together. The test program starts itself again as the helper.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use super::write_object;
use crate::{
    DatabaseUrl, Db, DbSettings,
    migrate::MIGRATIONS,
    sqlite::TemporaryDir,
    test_support::{TestDb, empty_db},
};

const ADDRESS: &str = "WEIR_STORE_TEST_ADDRESS";

/// An empty database that several processes can open: a file, or the server's.
async fn shared() -> (TestDb, TemporaryDir, DbSettings) {
    let db = empty_db().await.unwrap();
    let dir = TemporaryDir::create().unwrap();
    let settings = match db.settings().url {
        DatabaseUrl::Postgres(_) => db.settings().clone(),
        _ => DbSettings::new(DatabaseUrl::Sqlite(dir.0.join("weir.db"))),
    };
    (db, dir, settings)
}

fn start(helper: &str, settings: &DbSettings) -> Child {
    let address = match &settings.url {
        DatabaseUrl::Postgres(url) => url.clone(),
        other => other.to_string(),
    };
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("tests::crashes::{helper}"), "--ignored", "--nocapture", "--test-threads=1"])
        .env(ADDRESS, address)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn opened() -> Option<Db> {
    let address = std::env::var(ADDRESS).ok()?;
    Some(Db::open(&DbSettings::new(address.parse().unwrap())).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a helper process, started by the test that kills it"]
async fn helper_writes_until_it_is_killed() {
    let Some(db) = opened().await else { return };
    let start: i64 = super::count_objects(&db).await;
    let write = |lane: usize, db: Db| async move {
        for number in 0.. {
            let id = format!("{start}-{lane}-{number}");
            let mut tx = db.tx();
            write_object(&mut tx, &id).await.unwrap();
            // Both rows or none.
            tx.write("INSERT INTO installation VALUES ($1, 'x')", &[id.as_str().into()]).await.unwrap();
            tx.commit().await.unwrap();
            writeln!(std::io::stdout(), "\nwritten {id}").unwrap();
        }
    };
    let lanes: Vec<_> = (0..4).map(|lane| tokio::spawn(write(lane, db.clone()))).collect();
    for lane in lanes {
        lane.await.unwrap();
    }
}

#[tokio::test]
#[ignore = "a helper process, started by the test that counts"]
async fn helper_migrates_once() {
    let Some(db) = opened().await else { return };
    let applied = db.migrate().await.unwrap();
    writeln!(std::io::stdout(), "\napplied {}", applied.len()).unwrap();
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let (_db, _dir, settings) = shared().await;
    let db = Db::open(&settings).await.unwrap();
    db.migrate().await.unwrap();
    db.close().await;
    drop(db);
    let mut acknowledged = BTreeSet::new();
    for round in 1..=4 {
        let mut child = start("helper_writes_until_it_is_killed", &settings);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < 40 * round {
            let line = lines.next().expect("the helper goes on").unwrap();
            if let Some(id) = line.strip_prefix("written ") {
                acknowledged.insert(id.to_owned());
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            acknowledged.extend(line.strip_prefix("written ").map(str::to_owned));
        }
        let db = Db::open(&settings).await.unwrap();
        let ids = |rows: Vec<crate::Row>| rows.iter().map(|row| row.text("id").unwrap()).collect::<BTreeSet<_>>();
        let objects = ids(db.read("SELECT id FROM object", &[]).await.unwrap());
        let twins = ids(db.read("SELECT key AS id FROM installation", &[]).await.unwrap());
        assert!(objects.is_superset(&acknowledged), "lost: {:?}", acknowledged.difference(&objects));
        assert_eq!(objects, twins, "half a transaction");
        db.close().await;
    }
    assert!(acknowledged.len() >= 400);
}

#[tokio::test]
async fn processes_that_start_together_migrate_once() {
    let (_db, _dir, settings) = shared().await;
    let children: Vec<Child> = (0..4).map(|_| start("helper_migrates_once", &settings)).collect();
    let mut applied = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("applied ")).unwrap();
        applied += count.parse::<usize>().unwrap();
    }
    assert_eq!(applied, MIGRATIONS.len());
    let db = Db::open(&settings).await.unwrap();
    assert!(db.migration_state().await.unwrap().pending.is_empty());
}
