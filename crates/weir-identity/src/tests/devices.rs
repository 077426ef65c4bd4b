//! Second factors.

use super::*;
use device::{DeviceKind, DeviceRow, Throttle, duo, email, endpoint, sms, static_codes, totp, webauthn};
use uuid::Uuid;

const SECRET: &[u8] = b"12345678901234567890";

async fn commit<T>(f: &Fixture, work: impl AsyncFnOnce(&mut Unit<'_>) -> Result<T, ApiError>) -> Result<T, ApiError> {
    let mut unit = Unit::new(&f.site, acting(None));
    let done = work(&mut unit).await?;
    unit.commit().await?;
    Ok(done)
}

async fn app(f: &Fixture, user_id: i64) -> DeviceRow {
    let new =
        totp::NewTotp { user_id, name: "App".to_owned(), secret: SECRET.to_vec(), digits: 6, used_step: -1, drift: 0 };
    commit(f, async |unit| totp::create(unit, new).await).await.unwrap()
}

async fn paper(f: &Fixture, user: i64, codes: &[&str]) -> DeviceRow {
    let codes: Vec<String> = codes.iter().map(|c| (*c).to_owned()).collect();
    commit(f, async |unit| static_codes::create(unit, user, "Paper", &codes).await).await.unwrap()
}

/// A document that stands for a stage.
async fn stage(f: &Fixture) -> Uuid {
    let id = f.site.random.uuid();
    let sql = "INSERT INTO object (id, model, data, created, changed) VALUES ($1, 'a.stage', '{}', 0, 0)";
    let mut tx = f.db.tx();
    tx.write(sql, &[id.into()]).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn take(f: &Fixture, device: &DeviceRow, code: &str) -> bool {
    let (now, code) = (f.now(), code.to_owned());
    let mut tx = f.db.tx();
    let taken = match device.kind {
        DeviceKind::Totp => totp::take(&mut tx, device, &code, now).await,
        DeviceKind::Static => static_codes::take(&mut tx, device, &code).await,
        _ => device::take_code(&mut tx, device, &code, now).await,
    };
    let taken = taken.unwrap();
    tx.commit().await.unwrap();
    taken
}

fn code_at(f: &Fixture, offset: i64) -> String {
    weir_crypto::totp::code(SECRET, weir_crypto::totp::step_at(f.now().timestamp()) + offset, 6)
}

#[tokio::test]
async fn devices_of_all_kinds_are_found_together_and_go_with_their_user() {
    let f = fixture().await;
    let (ann, bob) = (f.user("ann").await, f.user("bob").await);
    let stage = stage(&f).await;
    app(&f, ann).await;
    paper(&f, ann, &["one"]).await;
    let key = webauthn::NewCredential {
        user_id: ann,
        name: "Key".to_owned(),
        credential_id: "AAA".to_owned(),
        public_key: "BBB".to_owned(),
        sign_count: 1,
        rp_id: "example.org".to_owned(),
        aaguid: "00000000-0000-0000-0000-000000000000".to_owned(),
        device_type: None,
        backup_eligible: false,
        backed_up: false,
        attestation: "none".to_owned(),
    };
    commit(&f, async |unit| webauthn::create(unit, key.clone()).await).await.unwrap();
    commit(&f, async |unit| duo::create(unit, (ann, "Duo"), stage, "D1").await).await.unwrap();
    commit(&f, async |unit| email::create(unit, (ann, "Mail"), stage, "ann@example.org").await).await.unwrap();
    commit(&f, async |unit| sms::create(unit, (ann, "Phone"), stage, "+491234").await).await.unwrap();
    let host = async |unit: &mut Unit<'_>| endpoint::seen(unit, (ann, "Laptop"), stage, "host", &Map::new()).await;
    let first = commit(&f, host).await.unwrap();
    assert_eq!(commit(&f, host).await.unwrap().pk, first.pk, "a host is one device");

    let found = device::confirmed_of_user(&*f.db, ann).await.unwrap();
    let kinds: Vec<DeviceKind> = found.iter().map(|d| d.kind).collect();
    assert_eq!(kinds, DeviceKind::ALL);
    assert!(found.iter().all(|d| d.user_id == ann && d.created == f.now()));
    let details: Vec<&str> = found.iter().map(|d| d.detail.as_str()).collect();
    let zeros = "00000000-0000-0000-0000-000000000000";
    assert_eq!(details, ["D1", "ann@example.org", "host", "+491234", "", "", zeros]);
    assert_eq!(found[0].stage, Some(stage));
    assert!(device::confirmed_of_user(&*f.db, bob).await.unwrap().is_empty());
    for kind in DeviceKind::ALL {
        assert!(device::has_confirmed(&*f.db, ann, Some(kind)).await.unwrap());
        assert!(!device::has_confirmed(&*f.db, bob, Some(kind)).await.unwrap());
    }
    assert!(!device::has_confirmed(&*f.db, bob, None).await.unwrap());
    let made = f.events().await.into_iter().filter(|(a, c)| a == "model_created" && c["model"]["name"] == "App");
    assert_eq!(made.count(), 1, "set-up is on record");
    assert!(!format!("{:?}", f.events().await).contains("GEZDGNBVGY3TQOJQ"), "the secret is not");

    let same = webauthn::NewCredential { user_id: bob, ..key };
    let refused = commit(&f, async |unit| webauthn::create(unit, same).await).await.unwrap_err();
    assert_eq!(texts(refused), json!({"response": ["Credential ID already exists."]}));
    let refused = commit(&f, async |unit| sms::create(unit, (bob, "Phone"), stage, "+491234").await).await;
    assert_eq!(texts(refused.unwrap_err()), json!({"phone_number": ["Invalid phone number"]}));
    let hashed = sms::hashed_number("+491234");
    assert!(hashed.starts_with("hash:") && sms::is_taken(&*f.db, stage, "+491234").await.unwrap());

    let mut tx = f.db.tx();
    tx.write("DELETE FROM object WHERE id = $1", &[stage.into()]).await.unwrap();
    tx.commit().await.unwrap();
    let left: Vec<DeviceKind> = device::confirmed_of_user(&*f.db, ann).await.unwrap().iter().map(|d| d.kind).collect();
    assert_eq!(left, [DeviceKind::Endpoint, DeviceKind::Static, DeviceKind::Totp, DeviceKind::WebAuthn]);
    f.remove::<User>(&ann.to_string()).await;
    assert!(device::of_users(&*f.db, &[ann]).await.unwrap().is_empty());
}

#[test]
fn a_device_closes_for_twice_as_long_each_time() {
    let now = DateTime::parse_from_rfc3339("2026-05-01T12:00:00Z").unwrap().to_utc();
    let closed = |failures, factor| {
        let throttle = Throttle { failures, failed_at: Some(now) };
        throttle.closed_until(factor).map(|until| (until - now).num_milliseconds())
    };
    assert_eq!(closed(0, 1.0), None);
    assert_eq!([1, 2, 3, 4, 10].map(|n| closed(n, 1.0)), [1000, 2000, 4000, 8000, 512_000].map(Some));
    assert_eq!((closed(3, 0.5), closed(3, 2.5)), (Some(2000), Some(10_000)));
    assert_eq!((closed(9, 0.0), closed(9, -1.0)), (None, None), "switched off");
    assert_eq!(closed(21, 1.0), Some(1_048_576_000));
    assert_eq!((closed(22, 1.0), closed(i64::MAX, 1.0)), (closed(21, 1.0), closed(21, 1.0)), "the wait has an end");
    assert!(closed(i64::MAX, f64::MAX).is_some());
    let throttle = Throttle { failures: 2, failed_at: Some(now) };
    assert!(throttle.is_closed(1.0, now + TimeDelta::milliseconds(1999)));
    assert!(!throttle.is_closed(1.0, now + TimeDelta::seconds(2)));
    assert!(throttle.is_closed(1.0, now - TimeDelta::days(1)), "a clock that goes back opens nothing");
}

#[tokio::test]
async fn failures_are_counted_on_all_nodes_and_a_success_resets_them() {
    let f = fixture().await;
    let ann = f.user("ann").await;
    let device = app(&f, ann).await;
    let other = f.other_node().await;
    for db in [&f.site.db, &other.db] {
        let mut tx = db.tx();
        let locked = device::lock(&mut tx, DeviceKind::Totp, device.id()).await.unwrap().unwrap();
        device::fail(&mut tx, &locked, f.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
    let seen = device::find(&other.db, DeviceKind::Totp, &device.pk).await.unwrap().unwrap();
    assert_eq!(seen.throttle, Throttle { failures: 2, failed_at: Some(f.now()) });
    let mut tx = f.db.tx();
    device::succeed(&mut tx, &seen, f.now()).await.unwrap();
    tx.commit().await.unwrap();
    let seen = device::find(&other.db, DeviceKind::Totp, &device.pk).await.unwrap().unwrap();
    assert_eq!((seen.throttle, seen.last_used), (Throttle::default(), Some(f.now())));
    let mut tx = f.db.tx();
    assert_eq!(device::lock(&mut tx, DeviceKind::Totp, device.id() + 1).await.unwrap(), None);
}

#[tokio::test]
async fn each_step_of_an_app_counts_once_whatever_the_clock_says() {
    let f = fixture().await;
    let ann = f.user("ann").await;
    let device = app(&f, ann).await;
    for wrong in [code_at(&f, -2), code_at(&f, 2), String::new(), "x".to_owned(), code_at(&f, 0)[1..].to_owned()] {
        assert!(!take(&f, &device, &wrong).await);
    }
    let (before, here) = (code_at(&f, -1), code_at(&f, 0));
    assert!(take(&f, &device, &here).await);
    assert!(!take(&f, &device, &here).await, "a step counts once");
    assert!(!take(&f, &device, &before).await, "nor one before it");
    f.clock.advance(TimeDelta::seconds(-3600));
    let past = code_at(&f, 0);
    assert!(!take(&f, &device, &past).await, "a clock that goes back reopens nothing");
    f.clock.advance(TimeDelta::seconds(3630));
    assert!(take(&f, &device, &code_at(&f, 0)).await);
}

#[tokio::test]
async fn the_drift_of_an_apps_clock_is_learned() {
    let f = fixture().await;
    let ann = f.user("ann").await;
    let device = app(&f, ann).await;
    for drift in 1..=5 {
        f.clock.advance(TimeDelta::seconds(60));
        assert!(!take(&f, &device, &code_at(&f, drift + 1)).await);
        assert!(take(&f, &device, &code_at(&f, drift)).await, "{drift}");
    }
    f.clock.advance(TimeDelta::seconds(300));
    assert!(!take(&f, &device, &code_at(&f, 0)).await, "the clock is known to be ahead");
    assert!(take(&f, &device, &code_at(&f, 4)).await);
}

#[tokio::test]
async fn codes_on_paper_and_sent_ones_count_once_and_exactly() {
    let f = fixture().await;
    let ann = f.user("ann").await;
    let device = paper(&f, ann, &["Abc", "def", "def", ""]).await;
    for wrong in ["abc", "Abc ", "Ab", "", "x"] {
        assert!(!take(&f, &device, wrong).await, "{wrong:?}");
    }
    assert!(take(&f, &device, "Abc").await && !take(&f, &device, "Abc").await);
    assert_eq!(static_codes::codes_of(&*f.db, &[device.id()]).await.unwrap()[&device.id()], ["def", "def", ""]);

    let stage = stage(&f).await;
    let mail =
        commit(&f, async |unit| email::create(unit, (ann, "Mail"), stage, "ann@example.org").await).await.unwrap();
    let send = async |code: &str| {
        let mut tx = f.db.tx();
        device::set_code(&mut tx, &mail, code, f.now() + TimeDelta::seconds(300)).await.unwrap();
        tx.commit().await.unwrap();
    };
    assert!(!take(&f, &mail, "").await);
    send("111111").await;
    send("222222").await;
    assert!(!take(&f, &mail, "111111").await, "the newest counts");
    assert!(take(&f, &mail, "222222").await && !take(&f, &mail, "222222").await);
    send("333333").await;
    f.clock.advance(TimeDelta::seconds(300));
    assert!(!take(&f, &mail, "333333").await, "too late");
    send("444444").await;
    let mut tx = f.db.tx();
    device::forget_code(&mut tx, &mail).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!take(&f, &mail, "444444").await);
}

#[tokio::test]
async fn a_counter_of_a_key_grows_or_stays_zero() {
    let f = fixture().await;
    let ann = f.user("ann").await;
    let new = webauthn::NewCredential {
        user_id: ann,
        name: "Key".to_owned(),
        credential_id: "AAA".to_owned(),
        public_key: "BBB".to_owned(),
        sign_count: 0,
        rp_id: "example.org".to_owned(),
        aaguid: String::new(),
        device_type: None,
        backup_eligible: false,
        backed_up: false,
        attestation: "none".to_owned(),
    };
    let key = commit(&f, async |unit| webauthn::create(unit, new).await).await.unwrap();
    for (count, fine) in [(0, true), (0, true), (5, true), (5, false), (4, false), (0, false), (6, true)] {
        let mut tx = f.db.tx();
        assert_eq!(webauthn::advance(&mut tx, &key, count, false).await.unwrap(), fine, "{count}");
        tx.commit().await.unwrap();
    }
    let found = webauthn::find_by_credential_id(&*f.db, "AAA").await.unwrap().unwrap();
    assert_eq!((found.device.user_id, found.sign_count), (ann, 6));
    assert_eq!(webauthn::credentials_of(&*f.db, ann).await.unwrap(), [found]);
    assert_eq!(webauthn::find_by_credential_id(&*f.db, "aaa").await.unwrap(), None);
}

#[tokio::test]
async fn a_device_made_over_the_api_is_its_makers_and_proves_nothing() {
    let f = fixture().await;
    let (ann, bob) = (f.user("ann").await, f.user("bob").await);
    let made = f.try_make::<device::StaticDevice>(Some(ann), json!({"name": "x", "user": bob})).await.unwrap();
    assert_eq!(made.doc["user"], ann);
    assert!(device::confirmed_of_user(&*f.db, ann).await.unwrap().is_empty());
    assert!(device::of_users(&*f.db, &[bob]).await.unwrap().is_empty());
    let refused = f.try_make::<device::StaticDevice>(None, json!({"name": "x"})).await.err().unwrap();
    assert_eq!(texts(refused), json!({"user": ["This field is required."]}));
    f.try_patch::<device::StaticDevice>(Some(ann), &made.pk, json!({"name": "y", "user": bob})).await.unwrap();
    let found = device::of_users(&*f.db, &[ann, bob]).await.unwrap();
    assert_eq!((found.len(), found[0].user_id, found[0].name.as_str()), (1, ann, "y"));
    f.remove::<device::StaticDevice>(&made.pk).await;
    let removed = f.events().await.into_iter().find(|(a, _)| a == "custom_static_authenticator_disable").unwrap();
    assert_eq!(removed.1["affected_user"], "ann");
}
