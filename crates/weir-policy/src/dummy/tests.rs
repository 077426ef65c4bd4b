//! The wait, and the answer.

use super::{DummyPolicy, seconds};
use crate::{
    Mode, PolicyBinding,
    tests::{Door, World},
};
use serde_json::json;
use weir_core::Random;

struct Fixed(u64);

impl Random for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        for (to, from) in buffer.iter_mut().zip(self.0.to_le_bytes()) {
            *to = from;
        }
    }
}

#[test]
fn the_wait_is_from_the_least_up_to_but_not_including_the_most() {
    let wait = |min: i32, max: i32, random: u64| {
        let config: DummyPolicy =
            serde_json::from_value(json!({"name": "d", "wait_min": min, "wait_max": max})).unwrap();
        seconds(&config, &Fixed(random))
    };
    assert_eq!((wait(5, 30, 0), wait(5, 30, 24), wait(5, 30, 25)), (5, 29, 5));
    assert_eq!((wait(0, 0, 7), wait(9, 3, 7), wait(-4, -1, 7)), (0, 9, 0));
}

#[tokio::test]
async fn it_answers_what_it_is_told_to() {
    let world = World::without_worker().await;
    let door = world.create::<Door>(json!({"name": "door"})).await.pk;
    let policy = world.create::<DummyPolicy>(json!({"name": "d", "wait_min": 0, "wait_max": 1})).await.pk;
    world.create::<PolicyBinding>(json!({"target": door, "policy": policy, "order": 0})).await;
    let (result, _) = world.ask(&door, Mode::Any, None).await;
    assert_eq!((result.passing, result.messages), (false, vec!["dummy".to_owned()]));
    world.change::<DummyPolicy>(&policy, json!({"result": true})).await.unwrap();
    assert!(world.ask(&door, Mode::Any, None).await.0.passing);
}
