//! Whole days, and what is asked for.

use super::PasswordExpiryPolicy;
use crate::{PolicyEffect, RequestInfo, TestRun, test_policy, tests::World};
use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;
use weir_resource::{Actor, Unit};

#[tokio::test]
async fn a_password_is_good_for_whole_days_and_then_wished_away() {
    let world = World::without_worker().await;
    world.people().await;
    let policy = world.create::<PasswordExpiryPolicy>(json!({"name": "p", "days": 30})).await.pk;
    let deny = json!({"name": "d", "days": 30, "deny_only": true});
    let deny = world.create::<PasswordExpiryPolicy>(deny).await.pk;
    let http = RequestInfo::default();
    let mut ada = world.account("ada").await;
    let now = world.site.clock.now();
    ada.password_change_date = now - TimeDelta::days(30) + TimeDelta::hours(1);
    assert_eq!(world.try_policy(&policy, Some(&ada), &http, json!({})).await.said(), (Some(true), ""));
    ada.password_change_date = now - TimeDelta::days(33);
    let tried = world.try_policy(&policy, Some(&ada), &http, json!({})).await;
    let told = "Password expired 3 days ago. Please update your password.";
    assert_eq!(tried.said(), (Some(false), told));
    assert_eq!(tried.effects, [PolicyEffect::ExpirePassword { user: ada.id, set: ada.password_change_date }]);
    let tried = world.try_policy(&deny, Some(&ada), &http, json!({})).await;
    assert_eq!(tried.said(), (Some(false), "Password has expired."));
    assert!(tried.effects.is_empty());
    assert_eq!(world.try_policy(&policy, None, &http, json!({})).await.said(), (Some(true), ""));
}

#[tokio::test]
async fn trying_the_policy_out_takes_the_old_password_away_too() {
    let world = World::without_worker().await;
    world.people().await;
    let policy = world.create::<PasswordExpiryPolicy>(json!({"name": "p", "days": 0})).await.pk;
    let deny = world.create::<PasswordExpiryPolicy>(json!({"name": "d", "days": 0, "deny_only": true})).await.pk;
    let set = "UPDATE identity_user SET password = 'some hash' WHERE username = 'ada'";
    let mut unit = Unit::new(&world.site, Actor::system());
    unit.tx.write(set, &[]).await.unwrap();
    unit.commit().await.unwrap();
    for (policy, left) in [(deny, "some hash"), (policy, "!")] {
        let (user, http) = (world.account("ada").await, RequestInfo::default());
        let policy = Uuid::parse_str(&policy).unwrap();
        let run = TestRun { actor: Actor::system(), http: &http, policy, user: &user, context: Default::default() };
        assert!(!test_policy(&world.site, &world.kinds, run).await.unwrap().passing);
        let rows = world.site.db.read("SELECT password FROM identity_user WHERE username = 'ada'", &[]).await.unwrap();
        assert!(rows[0].text("password").unwrap().starts_with(left), "{left}");
    }
    let told = world.site.db.read("SELECT context FROM audit_event WHERE action = 'user_write'", &[]).await.unwrap();
    assert_eq!(told.len(), 1);
    assert!(told[0].text("context").unwrap().contains("password_expired"));
}
