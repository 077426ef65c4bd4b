//! Tokens and flow tokens.

use super::*;
use uuid::Uuid;

/// An API token without end.
pub(crate) async fn minted(f: &Fixture, user: i64, identifier: &str) -> (Stored, String) {
    let mut unit = Unit::new(&f.site, acting(None));
    let made = token::mint(&mut unit, NewToken::new(identifier, user, Intent::Api)).await.unwrap();
    unit.commit().await.unwrap();
    made
}

async fn opens(f: &Fixture, key: &str) -> bool {
    token::authenticate(&*f.db, key, &[Intent::Api], f.now()).await.unwrap().is_some()
}

#[tokio::test]
async fn a_key_opens_while_token_user_and_epoch_are_good() {
    let f = fixture().await;
    let id = f.user("ann").await;
    let (made, key) = minted(&f, id, "t").await;
    assert_eq!(key.len(), 60);
    assert!(opens(&f, &key).await);
    assert!(!opens(&f, &key[1..]).await);
    assert!(!opens(&f, "").await);
    assert!(token::authenticate(&*f.db, &key, &[Intent::AppPassword], f.now()).await.unwrap().is_none());
    f.patch::<User>(&id.to_string(), json!({"is_active": false})).await;
    assert!(!opens(&f, &key).await);
    f.patch::<User>(&id.to_string(), json!({"is_active": true})).await;
    assert!(opens(&f, &key).await);
    let mut tx = f.db.tx();
    crate::accounts::advance_epoch(&mut tx, id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!opens(&f, &key).await);
    let answers = f.answers::<Token>(&[], None).await.unwrap();
    assert_eq!(answers[0]["pk"], made.pk);
    assert_eq!(answers[0]["user_obj"]["username"], "ann");
    assert!(!serde_json::to_string(&answers).unwrap().contains(&key));
    assert!(!format!("{:?}", f.events().await).contains(&key));
}

#[tokio::test]
async fn a_token_past_its_end_opens_nothing() {
    let f = fixture().await;
    let id = f.user("ann").await;
    let mut unit = Unit::new(&f.site, acting(None));
    let new = NewToken { expires: Some(f.now() + TimeDelta::hours(1)), ..NewToken::new("t", id, Intent::Api) };
    let (_, key) = token::mint(&mut unit, new).await.unwrap();
    unit.commit().await.unwrap();
    assert!(opens(&f, &key).await);
    f.clock.advance(TimeDelta::hours(1));
    assert!(!opens(&f, &key).await);
}

#[tokio::test]
async fn clients_make_tokens_for_themselves_with_a_life_that_is_given() {
    let f = fixture().await;
    let (ann, bob) = (f.user("ann").await, f.user("bob").await);
    let body = json!({"identifier": "mine", "user": bob, "expires": "2036-01-01T00:00:00Z", "expiring": false,
        "managed": "x", "key": "chosen"});
    let made = f.try_make::<Token>(Some(ann), body).await.unwrap();
    assert_eq!(made.doc["user"], ann);
    assert_eq!(made.doc["managed"], Value::Null);
    assert_eq!(made.doc["expiring"], true);
    assert_eq!(made.doc["expires"], "2026-05-01T12:30:00.000000Z");
    assert!(!opens(&f, "chosen").await);
    let grants = Grants::load(&*f.db, ann).await.unwrap();
    assert!(grants.may("authentik_core.view_token_key", Some(&made.pk)));
    assert!(!grants.may("authentik_core.view_token_key", None));
    f.patch::<User>(&ann.to_string(), json!({"attributes": {"goauthentik.io/user/token-expires": false}})).await;
    let made = f.try_make::<Token>(Some(ann), json!({"identifier": "endless"})).await.unwrap();
    assert_eq!((&made.doc["expiring"], &made.doc["expires"]), (&json!(false), &Value::Null));
    let refused = async |body: Value| texts(f.try_make::<Token>(Some(ann), body).await.err().unwrap());
    assert_eq!(
        refused(json!({"identifier": "r", "intent": "recovery"})).await,
        json!({"intent": ["Invalid intent recovery"]})
    );
    assert_eq!(
        refused(json!({"identifier": "mine"})).await,
        json!({"identifier": ["Token with this identifier already exists."]})
    );
    assert_eq!(
        refused(json!({"identifier": "z", "user": null})).await,
        json!({"user": ["This field may not be null."]})
    );
    assert_eq!(refused(json!({"identifier": "no slug!"})).await["identifier"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn app_passwords_live_no_longer_than_the_attribute_allows() {
    let f = fixture().await;
    let ann = f.user("ann").await;
    let body = |expires: &str| json!({"identifier": "p", "intent": "app_password", "expires": expires});
    let error = f.try_make::<Token>(Some(ann), body("2026-05-01T13:00:00Z")).await.err().unwrap();
    assert_eq!(texts(error), json!({"expires": ["Token expires exceeds maximum lifetime (2026-05-01 12:30:00 UTC)."]}));
    let lifetime = json!({"name": "g", "users": [ann],
        "attributes": {"goauthentik.io/user/token-maximum-lifetime": "days=10"}});
    f.make::<Group>(lifetime).await;
    let made = f.try_make::<Token>(Some(ann), body("2026-05-05T13:00:00Z")).await.unwrap();
    assert_eq!(made.doc["expires"], "2026-05-05T13:00:00.000000Z");
    assert!(f.try_patch::<Token>(Some(ann), &made.pk, json!({"expires": "2026-06-05T13:00:00Z"})).await.is_err());
    // What has an end keeps one, for whoever may not make tokens for others.
    let still = f.try_patch::<Token>(Some(ann), &made.pk, json!({"expiring": false})).await.unwrap();
    assert_eq!((&still.doc["expiring"], &still.doc["expires"]), (&json!(true), &made.doc["expires"]));
    // As an API token it gets the life of one.
    let turned = f.try_patch::<Token>(Some(ann), &made.pk, json!({"intent": "api"})).await.unwrap();
    assert_eq!(turned.doc["expires"], "2026-05-01T12:30:00.000000Z");
}

#[tokio::test]
async fn owners_stay_and_nobody_makes_a_token_that_can_do_more_than_they_can() {
    let f = fixture().await;
    let boss = f.admin().await;
    let (ann, bob) = (f.user("ann").await, f.user("bob").await);
    f.grant(ann, &["authentik_core.add_token"]).await;
    let made = f.try_make::<Token>(Some(ann), json!({"identifier": "b", "user": bob})).await.unwrap();
    assert_eq!(made.doc["user"], bob);
    let error = f.try_patch::<Token>(Some(ann), &made.pk, json!({"user": ann})).await.err().unwrap();
    assert_eq!(texts(error), json!({"user": ["User cannot be changed"]}));
    f.try_patch::<Token>(Some(ann), &made.pk, json!({"user": bob, "description": "x"})).await.unwrap();
    assert!(f.try_make::<Token>(Some(ann), json!({"identifier": "c", "user": boss})).await.is_err());
    f.grant(bob, &["authentik_core.delete_user"]).await;
    assert!(f.try_make::<Token>(Some(ann), json!({"identifier": "d", "user": bob})).await.is_err());
    f.try_make::<Token>(Some(boss), json!({"identifier": "e", "user": bob})).await.unwrap();
    f.patch::<User>(&bob.to_string(), json!({"is_active": false})).await;
    assert!(f.try_make::<Token>(Some(boss), json!({"identifier": "f", "user": bob})).await.is_err());
}

#[tokio::test]
async fn keys_are_shown_and_set_on_record() {
    let f = fixture().await;
    let id = f.user("ann").await;
    let (made, key) = minted(&f, id, "t").await;
    let (other, _) = minted(&f, id, "u").await;
    let mut unit = Unit::new(&f.site, acting(None));
    assert_eq!(token::view_key(&mut unit, &made).await.unwrap(), key);
    token::set_key(&mut unit, &made, "a new key").await.unwrap();
    assert_eq!(token::set_key(&mut unit, &other, " ").await.err().unwrap().status(), 400);
    unit.commit().await.unwrap();
    assert!(!opens(&f, &key).await);
    assert!(opens(&f, "a new key").await);
    let actions: Vec<String> = f.events().await.into_iter().map(|(a, _)| a).collect();
    assert!(actions.contains(&"secret_view".to_owned()) && actions.contains(&"secret_rotate".to_owned()));
    let mut unit = Unit::new(&f.site, acting(None));
    let error = token::set_key(&mut unit, &other, "a new key").await.err().unwrap();
    assert_eq!(texts(error), json!({"key": ["Token with this key already exists."]}));
}

#[tokio::test]
async fn a_lockdown_takes_all_tokens_of_the_user_and_no_other() {
    let f = fixture().await;
    let (ann, bob) = (f.user("ann").await, f.user("bob").await);
    let (mine, other) = (minted(&f, ann, "a").await.1, minted(&f, bob, "b").await.1);
    let link = flow_key(&f, flow_token(ann, "one", true, f.now())).await;
    assert_eq!(token::of_user(&*f.db, ann, Intent::Api, f.now()).await.unwrap().len(), 1);
    let mut tx = f.db.tx();
    assert_eq!(token::delete_of_user(&mut tx, ann).await.unwrap(), 2);
    tx.commit().await.unwrap();
    assert!(!opens(&f, &mine).await);
    assert!(take(&f, &link).await.is_none());
    assert!(opens(&f, &other).await);
}

#[tokio::test]
async fn the_expiry_job_rotates_api_tokens_and_deletes_the_rest() {
    let f = fixture().await;
    let id = f.user("ann").await;
    let mut unit = Unit::new(&f.site, acting(None));
    let end = Some(f.now() + TimeDelta::minutes(5));
    let (_, api) =
        token::mint(&mut unit, NewToken { expires: end, ..NewToken::new("a", id, Intent::Api) }).await.unwrap();
    token::mint(&mut unit, NewToken { expires: end, ..NewToken::new("p", id, Intent::AppPassword) }).await.unwrap();
    let (_, kept) = token::mint(&mut unit, NewToken::new("k", id, Intent::Api)).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(token::rotate_expired(&f.site).await.unwrap(), token::Rotated::default());
    f.clock.advance(TimeDelta::minutes(6));
    let done = token::rotate_expired(&f.site).await.unwrap();
    assert_eq!((done.rotated, done.deleted), (1, 1));
    assert_eq!(f.list::<Token>(&[], "identifier").await.unwrap(), ["a", "k"]);
    assert!(!opens(&f, &api).await);
    assert!(opens(&f, &kept).await);
    let row = f.db.read_one("SELECT key FROM identity_token WHERE identifier = 'a'", &[]).await.unwrap().unwrap();
    assert!(opens(&f, &row.text("key").unwrap()).await);
    assert!(f.events().await.iter().any(|(a, _)| a == "secret_rotate"));
}

fn flow_token(user_id: i64, plan: &str, once: bool, now: DateTime<Utc>) -> NewFlowToken {
    NewFlowToken {
        identifier: "uid-password-reset".to_owned(),
        user_id,
        epoch: None,
        flow_id: Uuid::from_u128(7),
        plan: plan.to_owned(),
        expires: now + TimeDelta::minutes(30),
        revoke_on_execution: once,
    }
}

async fn flow_key(f: &Fixture, new: NewFlowToken) -> String {
    let mut tx = f.db.tx();
    let key = token::mint_flow_token(&mut tx, &*f.site.random, f.now(), &new).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    key
}

async fn take(f: &Fixture, key: &str) -> Option<FlowToken> {
    let mut tx = f.db.tx();
    let found = token::take_flow_token(&mut tx, key, f.now()).await.unwrap();
    tx.commit().await.unwrap();
    found
}

#[tokio::test]
async fn a_flow_token_keeps_its_key_when_renewed_and_works_once() {
    let f = fixture().await;
    let id = f.user("ann").await;
    let key = flow_key(&f, flow_token(id, "one", true, f.now())).await;
    assert_eq!(flow_key(&f, flow_token(id, "two", true, f.now())).await, key);
    assert!(!opens(&f, &key).await);
    let (one, two) = tokio::join!(take(&f, &key), take(&f, &key));
    let taken: Vec<FlowToken> = [one, two].into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].plan.as_str(), taken[0].user_id, taken[0].flow_id), ("two", id, Uuid::from_u128(7)));
    assert!(take(&f, &key).await.is_none());
}

#[tokio::test]
async fn a_flow_token_for_many_uses_ends_by_time_epoch_or_its_stage() {
    let f = fixture().await;
    let id = f.user("ann").await;
    let key = flow_key(&f, flow_token(id, "one", false, f.now())).await;
    assert!(take(&f, &key).await.is_some());
    let token = take(&f, &key).await.unwrap();
    let mut tx = f.db.tx();
    assert!(token::revoke_flow_token(&mut tx, token.id).await.unwrap());
    assert!(!token::revoke_flow_token(&mut tx, token.id).await.unwrap());
    tx.commit().await.unwrap();
    assert!(take(&f, &key).await.is_none());
    let key = flow_key(&f, flow_token(id, "one", false, f.now())).await;
    f.clock.advance(TimeDelta::minutes(30));
    assert!(take(&f, &key).await.is_none());
    assert_eq!(flow_key(&f, flow_token(id, "one", false, f.now())).await, key);
    let mut tx = f.db.tx();
    crate::accounts::advance_epoch(&mut tx, id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(take(&f, &key).await.is_none());
    // Renewed after a lockdown, the old key stays dead.
    let fresh = flow_key(&f, flow_token(id, "one", false, f.now())).await;
    assert_ne!(fresh, key);
    assert!(take(&f, &key).await.is_none());
    assert!(take(&f, &fresh).await.is_some());
}

#[tokio::test]
async fn a_flow_token_does_not_take_over_an_api_token_of_its_name() {
    let f = fixture().await;
    let id = f.user("ann").await;
    let (_, key) = minted(&f, id, "uid-password-reset").await;
    let mut tx = f.db.tx();
    let new = flow_token(id, "one", true, f.now());
    assert!(token::mint_flow_token(&mut tx, &*f.site.random, f.now(), &new).await.is_err());
    drop(tx);
    assert!(opens(&f, &key).await);
    let mut tx = f.db.tx();
    let nobody = flow_token(id + 50, "one", true, f.now());
    assert!(token::mint_flow_token(&mut tx, &*f.site.random, f.now(), &nobody).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_flow_made_becomes_no_token_of_the_interface_and_lasts_no_longer() {
    let f = fixture().await;
    let ann = f.user("ann").await;
    let link = json!({"identifier": "link", "user": ann, "intent": "recovery", "expires": "2026-05-01T12:10:00Z"});
    let made = f.make::<Token>(link).await;
    for wanted in ["api", "app_password", "verification"] {
        let error = f.try_patch::<Token>(Some(ann), &made.pk, json!({"intent": wanted})).await.err().unwrap();
        assert_eq!(texts(error), json!({"intent": [format!("Invalid intent {wanted}")]}));
    }
    let longer = json!({"description": "mine", "expiring": false, "expires": "2036-05-01T12:10:00Z"});
    let changed = f.try_patch::<Token>(Some(ann), &made.pk, longer).await.unwrap();
    assert_eq!((&changed.doc["description"], &changed.doc["expiring"]), (&json!("mine"), &json!(true)));
    assert_eq!(changed.doc["expires"], made.doc["expires"]);
}
