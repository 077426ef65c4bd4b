//! Browser sessions.

use super::*;
use crate::session::{LogIn, NewSession};
use std::sync::atomic::AtomicU32;

static NEXT: AtomicU32 = AtomicU32::new(0);

fn key() -> String {
    format!("session-key-{}", NEXT.fetch_add(1, Ordering::SeqCst))
}

fn new(key: &str, now: DateTime<Utc>) -> NewSession<'_> {
    NewSession {
        key,
        data: map(json!({"seen": 1})),
        flow: Some("plan".to_owned()),
        expires: now + TimeDelta::days(1),
        ip: "10.0.0.1",
        user_agent: "curl/8.5.0",
    }
}

fn to(user_id: i64, old: Option<&'_ str>, key: &'_ str, now: DateTime<Utc>) -> LogIn<'static> {
    // Leaked: tests are short.
    let keep = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    LogIn {
        old: old.map(keep),
        key: keep(key),
        user_id,
        epoch: None,
        expires: now + TimeDelta::days(7),
        ip: "10.0.0.2",
        user_agent: "curl/8.5.0",
    }
}

/// A session in which this user is signed in.
pub(crate) async fn sign_in(f: &Fixture, user: i64) -> String {
    let key = key();
    let mut tx = f.db.tx();
    session::log_in(&mut tx, &*f.site.random, f.now(), to(user, None, &key, f.now())).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    key
}

async fn begin(f: &Fixture) -> (String, SessionRow) {
    let key = key();
    let mut tx = f.db.tx();
    let row = session::create(&mut tx, &*f.site.random, f.now(), new(&key, f.now())).await.unwrap();
    tx.commit().await.unwrap();
    (key, row)
}

#[tokio::test]
async fn a_session_is_found_by_its_key_until_it_ends() {
    let f = fixture().await;
    let (key, row) = begin(&f).await;
    assert_eq!(session::load(&*f.db, &key, f.now()).await.unwrap(), Some((row.clone(), None)));
    assert!(session::load(&*f.db, &row.digest, f.now()).await.unwrap().is_none());
    assert!(session::load(&*f.db, "", f.now()).await.unwrap().is_none());
    f.clock.advance(TimeDelta::days(1));
    assert!(session::load(&*f.db, &key, f.now()).await.unwrap().is_none());
    let mut tx = f.db.tx();
    assert_eq!(session::delete_expired(&mut tx, f.now(), 100).await.unwrap(), 1);
    assert_eq!(session::delete_expired(&mut tx, f.now(), 100).await.unwrap(), 0);
}

#[tokio::test]
async fn of_two_answers_to_one_plan_the_first_wins() {
    let f = fixture().await;
    let (key, row) = begin(&f).await;
    let save = async |version: i64, flow: Option<&str>, data: Option<&Map>| {
        let mut tx = f.db.tx();
        let saved = session::save_flow(&mut tx, &row.digest, version, flow, data).await.unwrap();
        tx.commit().await.unwrap();
        saved
    };
    assert!(save(0, Some("one"), None).await);
    assert!(!save(0, Some("two"), None).await);
    assert!(save(1, None, Some(&map(json!({"x": 2})))).await);
    let (now, _) = session::load(&*f.db, &key, f.now()).await.unwrap().unwrap();
    assert_eq!((now.flow, now.flow_version, now.data), (None, 2, map(json!({"x": 2}))));
    let mut tx = f.db.tx();
    assert!(session::log_out(&mut tx, &row.digest).await.unwrap());
    assert!(!session::save_flow(&mut tx, &row.digest, 2, Some("late"), None).await.unwrap());
    assert!(!session::save_data(&mut tx, &row.digest, &Map::new()).await.unwrap());
    tx.commit().await.unwrap();
    assert!(session::load(&*f.db, &key, f.now()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_log_in_changes_the_key_and_keeps_plan_and_data() {
    let f = fixture().await;
    let id = f.user("ann").await;
    let (old, row) = begin(&f).await;
    let fresh = key();
    let mut tx = f.db.tx();
    let (signed, account) =
        session::log_in(&mut tx, &*f.site.random, f.now(), to(id, Some(&row.digest), &fresh, f.now()))
            .await
            .unwrap()
            .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(account.last_login, Some(f.now()));
    assert_ne!(signed.uuid, row.uuid);
    assert_eq!((signed.data.clone(), signed.flow.clone()), (row.data, row.flow));
    assert!(session::load(&*f.db, &old, f.now()).await.unwrap().is_none());
    let (found, user) = session::load(&*f.db, &fresh, f.now()).await.unwrap().unwrap();
    assert_eq!((found, user.unwrap()), (signed, account));
    // A second answer from the old session cannot sign in once more.
    let mut tx = f.db.tx();
    let again = to(id, Some(&row.digest), "other", f.now());
    assert!(session::log_in(&mut tx, &*f.site.random, f.now(), again).await.unwrap().is_none());
    assert_eq!(session::of_user(&*f.db, id, f.now()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_signs_in_to_an_account_that_is_locked_down() {
    let f = fixture().await;
    let id = f.user("ann").await;
    let key = sign_in(&f, id).await;
    let epoch = f.account(id).await.security_epoch;
    let mut tx = f.db.tx();
    assert_eq!(crate::accounts::advance_epoch(&mut tx, id).await.unwrap(), Some(epoch + 1));
    tx.commit().await.unwrap();
    assert!(session::load(&*f.db, &key, f.now()).await.unwrap().is_none());
    assert!(session::of_user(&*f.db, id, f.now()).await.unwrap().is_empty());
    let mut tx = f.db.tx();
    let late = LogIn { epoch: Some(epoch), ..to(id, None, "late", f.now()) };
    assert!(session::log_in(&mut tx, &*f.site.random, f.now(), late.clone()).await.unwrap().is_none());
    let present = LogIn { epoch: Some(epoch + 1), ..late.clone() };
    assert!(session::log_in(&mut tx, &*f.site.random, f.now(), present).await.unwrap().is_some());
    drop(tx);
    f.patch::<User>(&id.to_string(), json!({"is_active": false})).await;
    let mut tx = f.db.tx();
    let inactive = LogIn { epoch: None, ..late };
    assert!(session::log_in(&mut tx, &*f.site.random, f.now(), inactive).await.unwrap().is_none());
}

#[tokio::test]
async fn two_log_ins_of_one_user_at_once_both_succeed() {
    let f = fixture().await;
    let id = f.user("ann").await;
    let (one, two) = tokio::join!(sign_in(&f, id), sign_in(&f, id));
    assert!(session::load(&*f.db, &one, f.now()).await.unwrap().is_some());
    assert!(session::load(&*f.db, &two, f.now()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_password_change_spares_the_session_it_came_from() {
    let f = fixture().await;
    let id = f.user("ann").await;
    let (mine, other) = (sign_in(&f, id).await, sign_in(&f, id).await);
    let mut tx = f.db.tx();
    assert_eq!(session::delete_of_user(&mut tx, id, Some(&digest(&mine))).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert!(session::load(&*f.db, &mine, f.now()).await.unwrap().is_some());
    assert!(session::load(&*f.db, &other, f.now()).await.unwrap().is_none());
    let mut tx = f.db.tx();
    assert_eq!(session::delete_of_user(&mut tx, id, None).await.unwrap(), 1);
}

#[tokio::test]
async fn use_is_noted_once_a_minute() {
    let f = fixture().await;
    let (key, row) = begin(&f).await;
    let touch = async |row: &SessionRow, ip: &str| {
        let mut tx = f.db.tx();
        let wrote = session::touch(&mut tx, row, ip, "curl/8.5.0", f.now()).await.unwrap();
        tx.commit().await.unwrap();
        wrote
    };
    f.clock.advance(TimeDelta::seconds(59));
    assert!(!touch(&row, "10.0.0.1").await);
    assert!(touch(&row, "10.0.0.9").await);
    let (row, _) = session::load(&*f.db, &key, f.now()).await.unwrap().unwrap();
    assert_eq!((row.last_ip.as_str(), row.last_used), ("10.0.0.9", f.now()));
    f.clock.advance(TimeDelta::seconds(60));
    assert!(touch(&row, "10.0.0.9").await);
}

#[tokio::test]
async fn the_api_lists_live_sessions_of_signed_in_users_only() {
    let f = fixture().await;
    let (ann, bob) = (f.user("ann").await, f.user("bob").await);
    begin(&f).await;
    let mine = sign_in(&f, ann).await;
    sign_in(&f, bob).await;
    let digest = digest(&mine);
    let all = f.answers::<AuthenticatedSession>(&[], Some(&digest)).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all.iter().filter(|s| s["current"] == true && s["user"] == ann).count(), 1);
    let one = all.iter().find(|s| s["user"] == ann).unwrap();
    assert_eq!(one["user_agent"]["user_agent"]["family"], "curl");
    assert_eq!((&one["geo_ip"], &one["asn"]), (&Value::Null, &Value::Null));
    assert!(!serde_json::to_string(&all).unwrap().contains(&mine));
    assert!(!serde_json::to_string(&all).unwrap().contains(&digest));
    let of = async |query: &[(&str, &str)]| f.list::<AuthenticatedSession>(query, "user").await.unwrap();
    assert_eq!(of(&[("user__username", "bob")]).await, [bob]);
    assert_eq!(of(&[("session__last_ip", "10.0.0.3")]).await, Vec::<Value>::new());
    f.remove::<AuthenticatedSession>(one["uuid"].as_str().unwrap()).await;
    assert!(session::load(&*f.db, &mine, f.now()).await.unwrap().is_none());
    f.clock.advance(TimeDelta::days(8));
    assert_eq!(of(&[]).await, Vec::<Value>::new());
}
