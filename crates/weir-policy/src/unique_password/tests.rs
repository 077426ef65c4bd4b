//! What is remembered, for how long, and compared.

use super::{FormerPasswords, USED, UniquePasswordPolicy, trim};
use crate::{
    PolicyBinding, RequestInfo,
    tests::{Door, World},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use weir_crypto::{HashCost, HashPool, Password, Salt};
use weir_identity::{Account, accounts};

async fn world() -> (World, Arc<HashPool>, Account) {
    let mut world = World::without_worker().await;
    world.people().await;
    let pool = HashPool::with_cost(1, 100, Duration::from_secs(10), HashCost::CHEAP).unwrap();
    let pool = Arc::new(pool);
    world.kinds = world.kinds.clone().with(FormerPasswords(Some(Arc::clone(&pool))));
    let ada = world.account("ada").await;
    (world, pool, ada)
}

async fn set(world: &World, pool: &HashPool, user: &Account, password: &str) {
    let salt = Salt::random(&mut weir_crypto::system_rng());
    let hash = pool.hash(Password::new(password.as_bytes().to_vec()).unwrap(), salt).await.unwrap();
    let mut tx = world.site.db.tx();
    accounts::set_password_hash(&mut tx, user.id, &hash, world.site.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

async fn kept(world: &World, user: &Account) -> usize {
    accounts::password_history(&world.site.db, user.id, 100).await.unwrap().len()
}

async fn run_trim(world: &World) -> u64 {
    let mut tx = world.site.db.tx();
    let removed = trim(&mut tx, &world.site.snapshot()).await.unwrap();
    tx.commit().await.unwrap();
    removed
}

#[tokio::test]
async fn old_passwords_are_remembered_only_while_a_policy_is_in_use() {
    let (world, pool, ada) = world().await;
    let body = json!({"name": "u", "num_historical_passwords": 2});
    let policy = world.create::<UniquePasswordPolicy>(body).await.pk;
    set(&world, &pool, &ada, "first").await;
    set(&world, &pool, &ada, "second").await;
    assert_eq!(kept(&world, &ada).await, 0, "the policy stands nowhere");
    let door = world.create::<Door>(json!({"name": "door"})).await.pk;
    let binding = json!({"target": door, "policy": policy, "order": 0});
    let binding = world.create::<PolicyBinding>(binding).await.pk;
    for password in ["third", "fourth", "fifth"] {
        set(&world, &pool, &ada, password).await;
    }
    assert_eq!(kept(&world, &ada).await, 3);
    let http = RequestInfo::default();
    let mut said = Vec::new();
    for password in ["fifth", "fourth", "third", "second", "first", ""] {
        let context = json!({"prompt_data": {"password": password}});
        said.push(world.try_policy(&policy, Some(&ada), &http, context).await.passing.unwrap());
    }
    assert_eq!(said, [true, false, false, true, true, false]);
    let context = json!({"password": "fourth"});
    assert_eq!(world.try_policy(&policy, Some(&ada), &http, context.clone()).await.said(), (Some(false), USED));
    let bob = world.account("bob").await;
    assert_eq!(world.try_policy(&policy, Some(&bob), &http, context.clone()).await.passing, Some(true));
    assert_eq!(world.try_policy(&policy, None, &http, context.clone()).await.passing, Some(true));
    assert_eq!((run_trim(&world).await, kept(&world, &ada).await), (1, 2));
    let none = json!({"num_historical_passwords": 0});
    world.change::<UniquePasswordPolicy>(&policy, none).await.unwrap();
    assert_eq!(world.try_policy(&policy, Some(&ada), &http, context).await.passing, Some(true));
    let two = json!({"num_historical_passwords": 2});
    world.change::<UniquePasswordPolicy>(&policy, two).await.unwrap();
    assert_eq!((run_trim(&world).await, kept(&world, &ada).await), (0, 2));
    let mut unit = weir_resource::Unit::new(&world.site, weir_resource::Actor::system());
    let kind = world.site.registry.find("authentik_policies.policybinding").unwrap();
    unit.delete(kind, &binding).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!((run_trim(&world).await, kept(&world, &ada).await), (2, 0));
}
