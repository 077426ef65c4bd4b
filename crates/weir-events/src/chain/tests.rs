//! Every way of tampering is found, and nothing else is.

use super::{Anchor, Broken, ChainKey, Head, Reason, enforce, is_waiting, remove_all, reopen, seal, verify};
use crate::{Event, Origin, record};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use weir_core::SystemRandom;
use weir_store::{
    Db, Val,
    test_support::{TestDb, test_db},
};

fn key() -> ChainKey {
    ChainKey::derive(b"an installation")
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

/// Events in order, one a minute, the n-th kept for n days.
async fn write(db: &Db, from: i64, count: i64) {
    let mut tx = db.tx();
    for number in from..from + count {
        let origin = Origin { user_id: Some(number % 3), username: format!("u{}", number % 3), ..Origin::system() };
        let event = Event::new("login", "tests", json!({"number": number}));
        let now = start() + TimeDelta::minutes(number);
        record(&mut tx, &SystemRandom, now, TimeDelta::days(number), &origin, event).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn seal_all(db: &Db) {
    loop {
        let mut tx = db.tx();
        let sealed = seal(&mut tx, &key()).await.unwrap();
        tx.commit().await.unwrap();
        if sealed.is_none() {
            return;
        }
    }
}

async fn sealed(count: i64) -> TestDb {
    let db = test_db().await;
    write(&db, 1, count).await;
    seal_all(&db).await;
    db
}

async fn head(db: &Db) -> Head {
    Head::read(&mut db.tx()).await.unwrap()
}

async fn change(db: &Db, sql: &str, vals: &[Val]) {
    let mut tx = db.tx();
    assert!(tx.write(sql, vals).await.unwrap() > 0, "{sql}");
    tx.commit().await.unwrap();
}

async fn broken(db: &Db) -> Broken {
    verify(db, &key(), None).await.unwrap().unwrap_err()
}

async fn sound(db: &Db) -> super::Found {
    verify(db, &key(), None).await.unwrap().unwrap()
}

async fn id_at(db: &Db, seq: i64) -> String {
    let row = db.read_one("SELECT id FROM audit_event WHERE seq = $1", &[seq.into()]).await.unwrap();
    row.unwrap().text("id").unwrap()
}

#[tokio::test]
async fn events_get_places_in_order_and_the_chain_is_sound() {
    let db = sealed(5).await;
    write(&db, 6, 1).await;
    assert!(is_waiting(&db).await.unwrap());
    let found = sound(&db).await;
    assert_eq!((found.seq, found.checked, found.removed, found.waiting), (5, 5, 0, 1));
    seal_all(&db).await;
    assert!(!is_waiting(&db).await.unwrap());
    let numbers = db.read("SELECT context FROM audit_event ORDER BY seq", &[]).await.unwrap();
    let numbers: Vec<i64> = numbers.iter().map(|r| r.json("context").unwrap()["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(head(&db).await.kept, 6);
}

#[tokio::test]
async fn an_empty_trail_is_sound() {
    let db = test_db().await;
    assert_eq!(sound(&db).await, super::Found::default());
}

#[tokio::test]
async fn a_changed_event_is_named_whatever_was_changed() {
    for set in [
        "action = 'logout'",
        "context = '{}'",
        "username = 'x'",
        "user_id = NULL",
        "client_ip = '192.0.2.1'",
        "created = created + 1",
        "expires = expires + 1",
        "\"user\" = '{\"pk\":1}'",
        "brand = '{\"a\":1}'",
        "app = 'x'",
        "object_pk = 'x'",
        "application = 'x'",
        "hash = ''",
    ] {
        let db = sealed(4).await;
        let id = id_at(&db, 3).await;
        change(&db, &format!("UPDATE audit_event SET {set} WHERE seq = 3"), &[]).await;
        assert_eq!(broken(&db).await, Broken::Changed(3, id), "{set}");
    }
}

#[tokio::test]
async fn a_removed_event_is_missed_in_the_middle_and_at_either_end() {
    for seq in [1, 3, 5] {
        let db = sealed(5).await;
        change(&db, "DELETE FROM audit_event WHERE seq = $1", &[seq.into()]).await;
        assert_eq!(broken(&db).await, Broken::Missing(seq));
    }
    let db = sealed(5).await;
    change(&db, "UPDATE audit_event SET seq = NULL, hash = NULL WHERE seq = 2", &[]).await;
    assert_eq!(broken(&db).await, Broken::Missing(2), "taking its place away does not help");
    let db = sealed(5).await;
    change(&db, "DELETE FROM audit_event", &[]).await;
    assert_eq!(broken(&db).await, Broken::Missing(1));
}

#[tokio::test]
async fn an_inserted_event_is_found_wherever_it_was_put() {
    let insert = "INSERT INTO audit_event (id, \"user\", action, app, context, created, expires, seq, hash) \
                  VALUES ('forged', '{}', 'login', 'x', '{}', $1, $1, $2, 'x')";
    for seq in [0, 6] {
        let db = sealed(5).await;
        change(&db, insert, &[start().into(), seq.into()]).await;
        assert_eq!(broken(&db).await, Broken::Inserted(seq, "forged".to_owned()));
    }
    // Making room for it moves the others.
    let db = sealed(5).await;
    change(&db, "UPDATE audit_event SET seq = seq + 100 WHERE seq >= 3", &[]).await;
    change(&db, "UPDATE audit_event SET seq = seq - 99 WHERE seq >= 100", &[]).await;
    change(&db, insert, &[start().into(), 3.into()]).await;
    assert_eq!(broken(&db).await, Broken::Changed(3, "forged".to_owned()));
    // Appended by the regular way, but telling another time.
    let db = sealed(100).await;
    write(&db, 0, 1).await;
    seal_all(&db).await;
    assert_eq!(broken(&db).await, Broken::Backdated(101, id_at(&db, 101).await));
}

#[tokio::test]
async fn events_that_changed_places_are_found() {
    let db = sealed(5).await;
    let id = id_at(&db, 4).await;
    for (from, to) in [(2, 99), (4, 2), (99, 4)] {
        let (from, to): (i64, i64) = (from, to);
        change(&db, "UPDATE audit_event SET seq = $2 WHERE seq = $1", &[from.into(), to.into()]).await;
    }
    assert_eq!(broken(&db).await, Broken::Changed(2, id));
}

#[tokio::test]
async fn a_chain_forged_to_its_end_does_not_have_the_signature() {
    let db = sealed(5).await;
    change(&db, "DELETE FROM audit_event WHERE seq = 5", &[]).await;
    let before = db.read("SELECT hash FROM audit_event WHERE seq = 4", &[]).await.unwrap();
    let hash = before[0].text("hash").unwrap();
    change(&db, "UPDATE audit_chain SET seq = 4, hash = $1", &[hash.into()]).await;
    assert_eq!(broken(&db).await, Broken::End(4));
    let other = ChainKey::derive(b"another installation");
    let db = sealed(2).await;
    assert_eq!(verify(&db, &other, None).await.unwrap(), Err(Broken::End(2)));
}

#[tokio::test]
async fn a_place_that_was_written_down_proves_that_the_chain_is_the_same() {
    let db = sealed(3).await;
    let anchor = Anchor { seq: 3, hash: head(&db).await.hash };
    write(&db, 4, 2).await;
    seal_all(&db).await;
    assert!(verify(&db, &key(), Some(&anchor)).await.unwrap().is_ok());
    // Everything built anew, with the key.
    change(&db, "UPDATE audit_event SET seq = NULL, hash = NULL, app = 'x'", &[]).await;
    change(&db, "DELETE FROM audit_chain", &[]).await;
    seal_all(&db).await;
    assert!(verify(&db, &key(), None).await.unwrap().is_ok(), "with the key anything can be built");
    assert_eq!(verify(&db, &key(), Some(&anchor)).await.unwrap(), Err(Broken::Anchor(3)));
    let far = Anchor { seq: 9, hash: String::new() };
    assert_eq!(verify(&db, &key(), Some(&far)).await.unwrap(), Err(Broken::Anchor(9)));
}

#[tokio::test]
async fn a_place_that_was_written_down_and_then_removed_proves_nothing_but_the_end_of_a_gap_does() {
    let db = sealed(6).await;
    let at = async |seq: i64| {
        let row = db.read_one("SELECT hash FROM audit_event WHERE seq = $1", &[seq.into()]).await.unwrap();
        Anchor { seq, hash: row.unwrap().text("hash").unwrap() }
    };
    let (inside, last, kept) = (at(2).await, at(3).await, at(5).await);
    let vals = [Val::from(3_i64)];
    assert_eq!(remove_all(&db, &key(), start(), ("seq <= $1", &vals), Reason::Deleted).await.unwrap(), 3);
    assert_eq!(verify(&db, &key(), Some(&inside)).await.unwrap(), Err(Broken::AnchorGone(2)));
    assert!(verify(&db, &key(), Some(&last)).await.unwrap().is_ok());
    assert!(verify(&db, &key(), Some(&kept)).await.unwrap().is_ok());
}

#[tokio::test]
async fn what_dies_between_the_steps_of_sealing_or_removing_leaves_the_chain_as_it_was() {
    let db = sealed(4).await;
    write(&db, 5, 3).await;
    let before = head(&db).await;
    let mut tx = db.tx();
    assert_eq!(seal(&mut tx, &key()).await.unwrap().unwrap().last, 7);
    drop(tx);
    assert_eq!(head(&db).await, before);
    assert_eq!((sound(&db).await.seq, sound(&db).await.waiting), (4, 3));
    let mut tx = db.tx();
    let vals = [Val::from(2_i64)];
    let removed = super::remove(&mut tx, &key(), start(), ("seq <= $1", &vals), 9, Reason::Budget).await.unwrap();
    assert_eq!(removed, 2);
    drop(tx);
    assert_eq!((sound(&db).await.checked, sound(&db).await.removed), (4, 0));
    let mut tx = db.tx();
    reopen(&mut tx, &key(), start(), &id_at(&db, 3).await, Reason::Deleted).await.unwrap();
    drop(tx);
    assert_eq!((sound(&db).await.checked, sound(&db).await.waiting), (4, 3));
    seal_all(&db).await;
    assert_eq!((sound(&db).await.seq, head(&db).await.kept), (7, 7));
}

#[tokio::test]
async fn a_walk_beside_writers_sealers_and_removers_raises_no_false_alarm() {
    let db = test_db().await;
    let mut work = tokio::task::JoinSet::new();
    for part in 0..3 {
        let db = db.db();
        work.spawn(async move {
            for step in 0..12 {
                // All within the slack, whoever is first.
                write(&db, part * 12 + step, 1).await;
                let mut tx = db.tx();
                seal(&mut tx, &key()).await.unwrap();
                tx.commit().await.unwrap();
                if step % 4 == 3 {
                    let vals = [Val::from(part)];
                    remove_all(&db, &key(), start(), ("user_id = $1", &vals), Reason::Forgotten).await.unwrap();
                    enforce(&db, &key(), start(), (8, 0)).await.unwrap();
                }
            }
        });
    }
    let mut walks = 0;
    while !work.is_empty() {
        let found = verify(&db, &key(), None).await.unwrap();
        assert!(found.is_ok(), "{found:?}");
        walks += 1;
        while let Some(done) = work.try_join_next() {
            done.unwrap();
        }
    }
    assert!(walks > 0);
    seal_all(&db).await;
    let found = sound(&db).await;
    assert_eq!(found.seq, 36);
    assert_eq!((found.checked + found.removed, found.checked), (36, u64::try_from(head(&db).await.kept).unwrap()));
}

#[tokio::test]
async fn what_is_removed_for_a_reason_leaves_one_signed_gap_and_a_sound_chain() {
    let db = sealed(9).await;
    let now = start() + TimeDelta::days(3) + TimeDelta::hours(1);
    let expired = |now: DateTime<Utc>| [Val::from(now)];
    assert_eq!(remove_all(&db, &key(), now, ("expires <= $1", &expired(now)), Reason::Expired).await.unwrap(), 3);
    // 1, 2, 3 are gone; then the events of one person: 6 and 9; then 5, between them, and 4.
    let person = [Val::from(0_i64)];
    assert_eq!(remove_all(&db, &key(), now, ("user_id = $1", &person), Reason::Forgotten).await.unwrap(), 2);
    let gaps = async || {
        let rows = db.read("SELECT first_seq, last_seq, reasons FROM audit_gap ORDER BY first_seq", &[]).await.unwrap();
        rows.iter()
            .map(|r| (r.int("first_seq").unwrap(), r.int("last_seq").unwrap(), r.json("reasons").unwrap()))
            .collect::<Vec<_>>()
    };
    let one = json!({"forgotten": 1});
    assert_eq!(gaps().await, [(1, 3, json!({"expired": 3})), (6, 6, one.clone()), (9, 9, one.clone())]);
    let found = sound(&db).await;
    assert_eq!((found.seq, found.checked, found.removed), (9, 4, 5));
    let now = start() + TimeDelta::days(5) + TimeDelta::hours(1);
    assert_eq!(remove_all(&db, &key(), now, ("expires <= $1", &expired(now)), Reason::Expired).await.unwrap(), 2);
    assert_eq!(gaps().await, [(1, 6, json!({"expired": 5, "forgotten": 1})), (9, 9, one)]);
    assert_eq!(sound(&db).await.removed, 7);
    write(&db, 10, 1).await;
    seal_all(&db).await;
    assert_eq!((sound(&db).await.seq, head(&db).await.kept), (10, 3));
    // Everything.
    remove_all(&db, &key(), now, ("1 = 1", &[]), Reason::Deleted).await.unwrap();
    assert_eq!((sound(&db).await.removed, gaps().await.len(), head(&db).await.size), (10, 1, 0));
}

#[tokio::test]
async fn a_gap_that_was_forged_moved_or_widened_is_found() {
    for sql in [
        "UPDATE audit_gap SET last_seq = 4",
        "UPDATE audit_gap SET reasons = '{}'",
        "UPDATE audit_gap SET hash_after = hash_before",
        "UPDATE audit_gap SET changed = changed + 1",
        "UPDATE audit_gap SET signature = ''",
    ] {
        let db = sealed(6).await;
        let vals = [Val::from(2_i64), 3_i64.into()];
        remove_all(&db, &key(), start(), ("seq IN ($1, $2)", &vals), Reason::Deleted).await.unwrap();
        assert_eq!(sound(&db).await.removed, 2);
        change(&db, sql, &[]).await;
        assert!(matches!(broken(&db).await, Broken::Gap(2, _)), "{sql}");
    }
    let db = sealed(6).await;
    let vals = [Val::from(2_i64)];
    remove_all(&db, &key(), start(), ("seq = $1", &vals), Reason::Deleted).await.unwrap();
    change(&db, "DELETE FROM audit_gap", &[]).await;
    assert_eq!(broken(&db).await, Broken::Missing(2));
}

#[tokio::test]
async fn an_event_changed_by_permission_gets_a_new_place() {
    let db = sealed(4).await;
    let id = id_at(&db, 2).await;
    let mut tx = db.tx();
    reopen(&mut tx, &key(), start(), &id, Reason::Changed).await.unwrap();
    tx.write("UPDATE audit_event SET app = 'other' WHERE id = $1", &[id.clone().into()]).await.unwrap();
    tx.commit().await.unwrap();
    seal_all(&db).await;
    assert_eq!(id_at(&db, 5).await, id);
    assert_eq!((sound(&db).await.seq, sound(&db).await.removed), (5, 1));
}

#[tokio::test]
async fn the_budget_takes_the_oldest_first_and_records_it() {
    let db = sealed(20).await;
    assert_eq!(enforce(&db, &key(), start(), (0, 0)).await.unwrap(), 0);
    assert_eq!(enforce(&db, &key(), start(), (15, 0)).await.unwrap(), 5);
    assert_eq!(sound(&db).await.removed, 5);
    let size = head(&db).await.size;
    let removed = enforce(&db, &key(), start(), (0, size / 2)).await.unwrap();
    assert!((7..=9).contains(&removed), "{removed}");
    assert!(head(&db).await.size <= size / 2);
    let rows = db.read("SELECT MIN(seq) AS first, COUNT(*) AS n FROM audit_event", &[]).await.unwrap();
    let removed = i64::try_from(removed).unwrap();
    assert_eq!((rows[0].int("first").unwrap(), rows[0].int("n").unwrap()), (6 + removed, 15 - removed));
    assert_eq!(sound(&db).await.checked, u64::try_from(15 - removed).unwrap());
}

#[tokio::test]
async fn many_writers_and_sealers_at_once_make_one_chain() {
    let db = test_db().await;
    let mut work = tokio::task::JoinSet::new();
    for writer in 0..10 {
        let db = db.db();
        work.spawn(async move {
            write(&db, writer * 10 + 1, 10).await;
            seal_all(&db).await;
        });
    }
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
    seal_all(&db).await;
    let row = db.read("SELECT COUNT(*) AS n, MAX(seq) AS last FROM audit_event", &[]).await.unwrap();
    assert_eq!((row[0].int("n").unwrap(), row[0].int("last").unwrap()), (100, 100));
    // The order is that of the commits, so the times may go back by what the test made up.
    assert!(!matches!(verify(&db, &key(), None).await.unwrap(), Err(Broken::Changed(..) | Broken::Missing(_))));
}
