//! The store's promises, on SQLite always and on PostgreSQL when its address is set.

mod crashes;
mod jobs;
mod migrations;
mod schedules;
mod sqlite;
mod transactions;
mod values;

use crate::{Db, StoreError, Tx, Val};

/// Adds an object with this id in a transaction of its own.
async fn add_object(db: &Db, id: &str) -> Result<(), StoreError> {
    let mut tx = db.tx();
    write_object(&mut tx, id).await?;
    tx.commit().await
}

async fn write_object(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO object (id, model, data, created, changed) VALUES ($1, $2, $3, $4, $4)";
    tx.write(sql, &[id.into(), "test.thing".into(), "{}".into(), Val::from(1_i64)]).await.map(|_| ())
}

async fn count_objects(db: &Db) -> i64 {
    let row = db.read_one("SELECT COUNT(*) AS total FROM object", &[]).await.unwrap().unwrap();
    row.int("total").unwrap()
}
