//! Whole days, and what is asked for.

use super::PasswordExpiryPolicy;
use crate::{PolicyEffect, RequestInfo, tests::World};
use chrono::TimeDelta;
use serde_json::json;

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
