//! Schedules send jobs when their crontab says so, once across all nodes.

use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use super::jobs::{Bench, bench};
use crate::{
    Db, StoreError,
    jobs::{
        JobFilter, RelObj, list,
        schedules::{self, NewSchedule, ScheduleFilter},
    },
    test_support::test_db,
};

async fn add(db: &Db, now: DateTime<Utc>, new: &NewSchedule) -> Uuid {
    let mut tx = db.tx();
    let id = schedules::upsert(&mut tx, now, new).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn change(
    db: &Db,
    bench: &Bench,
    id: Uuid,
    crontab: Option<&str>,
    paused: Option<bool>,
) -> Result<(), StoreError> {
    let mut tx = db.tx();
    schedules::update(&mut tx, id, bench.clock.now(), crontab, paused).await?;
    tx.commit().await
}

fn hourly() -> NewSchedule {
    NewSchedule { args: json!({"info": "tick"}), ..NewSchedule::new("hourly", "puppet", "0 * * * *") }
}

#[test]
fn crontabs_have_five_fields_and_must_come_true() {
    let after: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
    let next = |crontab: &str| schedules::next_run(crontab, after).map(|time| time.to_rfc3339());
    assert_eq!(next("*/15 * * * *").unwrap(), "2026-03-01T12:15:00+00:00");
    assert_eq!(next("0 12 * * *").unwrap(), "2026-03-02T12:00:00+00:00", "strictly later");
    assert_eq!(next("30 4 29 2 *").unwrap(), "2028-02-29T04:30:00+00:00");
    for bad in ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "a b c d e", "\0 * * * *"] {
        assert!(next(bad).is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn schedules_are_ordered_by_the_names_that_they_show() {
    let db = test_db().await;
    let bench = bench(&db);
    let of_object = NewSchedule { uid: Some("b".to_owned()), identifier: None, ..hourly() };
    let other = NewSchedule::new("other", "another", "0 * * * *");
    for new in [&of_object, &hourly(), &other] {
        add(&db, bench.clock.now(), new).await;
    }
    let names = async |ordering: &str| -> Vec<String> {
        let filter =
            ScheduleFilter { ordering: Some(ordering.to_owned()), page: 1, page_size: 9, ..Default::default() };
        schedules::list(&db, &filter).await.unwrap().items.into_iter().map(|schedule| schedule.uid).collect()
    };
    assert_eq!(names("uid").await, ["another", "puppet", "puppet:b"]);
    assert_eq!(names("-uid").await, ["puppet:b", "puppet", "another"]);
}

#[tokio::test]
async fn a_schedule_sends_one_job_for_all_the_time_missed() {
    let db = test_db().await;
    let bench = bench(&db);
    let id = add(&db, bench.clock.now(), &hourly()).await;
    assert_eq!(bench.runner.run_due().await.unwrap(), 0);
    bench.clock.advance(TimeDelta::hours(5));
    assert_eq!(bench.runner.run_due().await.unwrap(), 1);
    let schedule = schedules::find(&db, id).await.unwrap().unwrap();
    assert_eq!(schedule.next_run, bench.clock.now() + TimeDelta::hours(1));
    assert_eq!(schedule.last_task_status.as_deref(), Some("info"));
    assert_eq!(schedule.uid, "puppet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_send_it_once() {
    let db = test_db().await;
    let bench = bench(&db);
    add(&db, bench.clock.now(), &hourly()).await;
    bench.clock.advance(TimeDelta::hours(1));
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let runner = bench.runner.clone();
            tokio::spawn(async move { runner.run_due().await.unwrap() })
        })
        .collect();
    for node in nodes {
        node.await.unwrap();
    }
    assert_eq!(bench.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_time_that_comes_twice_because_the_clock_went_back_is_sent_once() {
    let db = test_db().await;
    let bench = bench(&db);
    let id = add(&db, bench.clock.now(), &hourly()).await;
    bench.clock.advance(TimeDelta::hours(1));
    bench.runner.run_due().await.unwrap();
    bench.clock.advance(TimeDelta::minutes(-30));
    change(&db, &bench, id, Some("0 * * * *"), None).await.unwrap();
    bench.clock.advance(TimeDelta::minutes(40));
    assert_eq!(bench.runner.run_due().await.unwrap(), 0);
    bench.clock.advance(TimeDelta::hours(1));
    assert_eq!(bench.runner.run_due().await.unwrap(), 1);
}

#[tokio::test]
async fn the_administrators_crontab_and_pause_outlive_a_restart() {
    let db = test_db().await;
    let bench = bench(&db);
    let id = add(&db, bench.clock.now(), &hourly()).await;
    change(&db, &bench, id, Some("0 0 * * *"), Some(true)).await.unwrap();
    let again = NewSchedule { description: Some("New text".to_owned()), ..hourly() };
    assert_eq!(add(&db, bench.clock.now(), &again).await, id);
    let schedule = schedules::find(&db, id).await.unwrap().unwrap();
    assert_eq!((schedule.crontab.as_str(), schedule.paused), ("0 0 * * *", true));
    assert_eq!(schedule.description.as_deref(), Some("New text"));
    bench.clock.advance(TimeDelta::days(2));
    assert_eq!(bench.runner.run_due().await.unwrap(), 0, "paused");
    let mut tx = db.tx();
    schedules::send(&mut tx, id, bench.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(bench.runner.run_due().await.unwrap(), 1, "sent by hand");
    assert!(matches!(change(&db, &bench, id, Some("nonsense"), None).await, Err(StoreError::Invalid(_))));
    assert!(matches!(change(&db, &bench, Uuid::nil(), None, Some(true)).await, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn schedules_of_an_object_go_with_it_and_their_jobs_stay() {
    let db = test_db().await;
    let bench = bench(&db);
    let object = RelObj::new("app", "source", "7");
    let new = NewSchedule { identifier: None, uid: Some("7".to_owned()), rel_obj: Some(object.clone()), ..hourly() };
    add(&db, bench.clock.now(), &hourly()).await;
    add(&db, bench.clock.now(), &new).await;
    bench.clock.advance(TimeDelta::hours(1));
    bench.runner.run_due().await.unwrap();
    let all = ScheduleFilter { page: 1, page_size: 10, ..ScheduleFilter::default() };
    let of_object = ScheduleFilter { rel_id_isnull: Some(false), ..all.clone() };
    assert_eq!(schedules::list(&db, &of_object).await.unwrap().items[0].uid, "puppet:7");
    let found = ScheduleFilter { search: Some("HOURLY".to_owned()), paused: Some(false), ..all.clone() };
    assert_eq!(schedules::list(&db, &found).await.unwrap().total, 1);
    let mut tx = db.tx();
    assert_eq!(schedules::remove_of(&mut tx, &object).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(schedules::list(&db, &all).await.unwrap().total, 1);
    let jobs = JobFilter { rel_id: Some("7".to_owned()), page: 1, page_size: 10, ..JobFilter::default() };
    assert_eq!(list(&db, &jobs).await.unwrap().total, 1);
}
