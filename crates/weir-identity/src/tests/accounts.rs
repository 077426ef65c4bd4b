//! Look-ups and passwords.

use super::*;
use crate::accounts;

#[tokio::test]
async fn people_are_recognised_by_the_fields_that_are_on() {
    let f = fixture().await;
    let first =
        json!({"username": "Ann", "name": "Ann", "email": "Ann@Example.org", "attributes": {"upn": "ann@CORP"}});
    let ann = f.make::<User>(first).await.int_pk();
    let bob = f.make::<User>(json!({"username": "bob", "name": "Bob", "email": "ann@example.org"})).await.int_pk();
    let by = async |fields: &[UserField], text: &str, ci: bool| {
        accounts::identify(&*f.db, fields, text, ci).await.unwrap().map(|a| a.id)
    };
    assert_eq!(by(&[UserField::Username], "ann", false).await, None);
    assert_eq!(by(&[UserField::Username], "ann", true).await, Some(ann));
    assert_eq!(by(&[UserField::Email], "Ann@Example.org", false).await, Some(ann));
    assert_eq!(by(&[UserField::Upn], "ann@corp", true).await, Some(ann));
    assert_eq!(by(&[UserField::Email], "Ann", true).await, None);
    assert_eq!(by(&[UserField::Username, UserField::Email], "", true).await, None);
    // Both share the address without regard to case; the exact one comes first.
    assert_eq!(by(&[UserField::Email], "ann@example.org", true).await, Some(bob));
    let all = accounts::identify_all(&*f.db, &[UserField::Email], "ANN@EXAMPLE.ORG", true).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(accounts::find_by_username(&*f.db, "bob").await.unwrap().unwrap().id, bob);
    assert!(accounts::find_by_username(&*f.db, "BOB").await.unwrap().is_none());
    let found = f.account(ann).await;
    assert_eq!(found.upn(), Some("ann@CORP"));
    assert_eq!(accounts::find_by_uuid(&*f.db, found.uuid).await.unwrap().unwrap(), found);
    assert_eq!(found.event_user(), json!({"pk": ann, "username": "Ann", "email": "Ann@Example.org"}));
    assert_eq!(found.uid("x"), crate::digest(&format!("{ann}-x")));
}

#[tokio::test]
async fn a_hash_is_upgraded_only_if_the_password_is_still_the_same() {
    let f = fixture().await;
    let id = f.user("ann").await;
    assert_eq!(accounts::password_hash(&*f.db, id).await.unwrap().as_deref(), Some(accounts::UNUSABLE_PASSWORD));
    f.clock.advance(TimeDelta::days(3));
    let mut tx = f.db.tx();
    assert!(accounts::set_password_hash(&mut tx, id, "one", f.now()).await.unwrap());
    assert!(!accounts::upgrade_password_hash(&mut tx, id, "other", "two").await.unwrap());
    assert!(accounts::upgrade_password_hash(&mut tx, id, "one", "two").await.unwrap());
    assert!(!accounts::set_password_hash(&mut tx, id + 1, "x", f.now()).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(accounts::password_hash(&*f.db, id).await.unwrap().as_deref(), Some("two"));
    assert_eq!(f.account(id).await.password_change_date, f.now());
    // A change of other fields keeps the password.
    f.patch::<User>(&id.to_string(), json!({"name": "Ann B."})).await;
    assert_eq!(accounts::password_hash(&*f.db, id).await.unwrap().as_deref(), Some("two"));
}

#[tokio::test]
async fn paths_are_listed_once() {
    let f = fixture().await;
    f.user("a").await;
    f.user("b").await;
    f.make::<User>(json!({"username": "c", "name": "", "path": "staff/it"})).await;
    assert_eq!(accounts::paths(&*f.db).await.unwrap(), ["staff/it", "users"]);
}

#[tokio::test]
async fn reputation_moves_within_its_limits_and_is_forgotten() {
    use crate::reputation::{self, Limits};
    let f = fixture().await;
    let limits = Limits { lower: -3, upper: 2 };
    let mut tx = f.db.tx();
    for expected in [-1, -2, -3, -3] {
        let now = reputation::add(&mut tx, &*f.site.random, f.now(), ("ann", "10.0.0.1"), -1, limits).await.unwrap();
        assert_eq!(now, expected);
    }
    reputation::add(&mut tx, &*f.site.random, f.now(), ("bob", "10.0.0.1"), 1, limits).await.unwrap();
    tx.commit().await.unwrap();
    let score = async |name, ip| reputation::score(&*f.db, name, ip, f.now(), limits).await.unwrap();
    assert_eq!(score(Some("ann"), None).await, -3);
    assert_eq!(score(None, Some("10.0.0.1")).await, -2);
    assert_eq!(score(Some("bob"), Some("10.9.9.9")).await, 1);
    assert_eq!(score(None, None).await, 0);
    f.clock.advance(TimeDelta::hours(25));
    assert_eq!(score(Some("ann"), None).await, 0);
    let mut tx = f.db.tx();
    let fresh = reputation::add(&mut tx, &*f.site.random, f.now(), ("ann", "10.0.0.1"), -1, limits).await.unwrap();
    assert_eq!(fresh, -1);
    assert_eq!(reputation::delete_expired(&mut tx, f.now()).await.unwrap(), 1);
}
