//! How often a recipient may be sent something.

use crate::throttle::{Limit, count};
use chrono::{DateTime, TimeDelta, Utc};
use weir_store::{Db, test_support::test_db};

const LIMIT: Limit<'_> = Limit { purpose: "test", recipient: "a@b.org", most: 3, window: TimeDelta::minutes(5) };

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

async fn counted(db: &Db, now: DateTime<Utc>, limit: Limit<'_>) -> Result<(), TimeDelta> {
    let mut tx = db.tx();
    let answer = count(&mut tx, now, limit).await.unwrap();
    tx.commit().await.unwrap();
    answer
}

#[tokio::test]
async fn the_window_slides() {
    let db = test_db().await;
    for second in [0, 100, 200] {
        assert_eq!(counted(&db, at(second), LIMIT).await, Ok(()));
    }
    assert_eq!(counted(&db, at(250), LIMIT).await, Err(TimeDelta::seconds(50)));
    assert_eq!(counted(&db, at(250), Limit { recipient: " A@B.ORG", ..LIMIT }).await, Err(TimeDelta::seconds(50)));
    assert_eq!(counted(&db, at(250), Limit { recipient: "c@b.org", ..LIMIT }).await, Ok(()), "another one");
    assert_eq!(counted(&db, at(250), Limit { purpose: "other", ..LIMIT }).await, Ok(()), "another purpose");
    assert_eq!(counted(&db, at(300), LIMIT).await, Ok(()), "the first one is out of sight");
    assert_eq!(counted(&db, at(300), LIMIT).await, Err(TimeDelta::seconds(100)));
    assert!(counted(&db, at(10), LIMIT).await.is_err(), "a clock that goes back opens nothing");
    assert_eq!(
        counted(&db, at(300), Limit { most: 0, recipient: "d@b.org", ..LIMIT }).await,
        Err(TimeDelta::minutes(5))
    );
}

#[tokio::test]
async fn of_fifty_at_once_only_as_many_pass_as_may() {
    let db = test_db().await;
    let sends = (0..50).map(|_| {
        let db = db.db();
        tokio::spawn(async move { counted(&db, at(0), LIMIT).await })
    });
    let mut passed = 0;
    for send in sends.collect::<Vec<_>>() {
        passed += usize::from(send.await.unwrap().is_ok());
    }
    assert_eq!(passed, 3);
}
