//! Sums, thresholds, and what a client must say.

use super::{ReputationHooks, ReputationPolicy};
use crate::{RequestInfo, tests::World};
use serde_json::json;
use weir_identity::reputation;
use weir_resource::Hooks;

#[tokio::test]
async fn a_low_score_of_name_or_address_passes() {
    let world = World::without_worker().await;
    world.people().await;
    let mut tx = world.site.db.tx();
    let (now, limits) = (world.site.clock.now(), reputation::Limits { lower: -5, upper: 5 });
    for (name, ip, amount) in [("ada", "10.0.0.1", -2), ("eve", "10.0.0.2", -3), ("zed", "10.0.0.3", -4)] {
        reputation::add(&mut tx, &*world.site.random, now, (name, ip), amount, limits).await.unwrap();
    }
    tx.commit().await.unwrap();
    let ada = world.account("ada").await;
    for (more, ip, claimed, passing) in [
        (json!({"threshold": -2}), "10.9.9.9", "", true),
        (json!({"threshold": -3}), "10.9.9.9", "", false),
        // ada and, from eve's address, eve.
        (json!({"threshold": -5}), "10.0.0.2", "", true),
        (json!({"threshold": -3, "check_username": false}), "10.0.0.2", "", true),
        (json!({"threshold": -3, "check_ip": false}), "10.0.0.2", "", false),
        // A name that nobody has.
        (json!({"threshold": -4, "check_ip": false}), "10.9.9.9", "zed", true),
    ] {
        let mut body = more.clone();
        body.as_object_mut().unwrap().insert("name".to_owned(), format!("{more}{ip}").into());
        let policy = world.create::<ReputationPolicy>(body).await.pk;
        let http = RequestInfo { client_ip: ip.to_owned(), ..RequestInfo::default() };
        let user = Some(&ada).filter(|_| claimed.is_empty());
        let context = json!({"pending_user_identifier": claimed});
        let tried = world.try_policy(&policy, user, &http, context).await;
        assert_eq!(tried.said(), (Some(passing), ""), "{more} {ip} {claimed}");
    }
}

#[tokio::test]
async fn each_write_of_a_client_says_what_is_looked_at() {
    let world = World::without_worker().await;
    for (body, good) in [
        (json!({"name": "x"}), false),
        (json!({"check_ip": false, "check_username": false}), false),
        (json!({"check_ip": true}), true),
        (json!({"check_username": "true"}), true),
    ] {
        let mut sent = body.as_object().cloned().unwrap();
        assert_eq!(ReputationHooks.before(&world.site, None, &mut sent).await.is_ok(), good, "{body}");
    }
}
