//! The store's promises, on SQLite always and on PostgreSQL when its address is set.

mod values;

use crate::{Val, test_support::TestDb};

/// Adds an object with this id.
async fn add_object(db: &TestDb, id: &str) -> Result<(), crate::StoreError> {
    let mut tx = db.tx();
    let sql = "INSERT INTO object (id, model, data, created, changed) VALUES ($1, $2, $3, $4, $4)";
    tx.write(sql, &[id.into(), "test.thing".into(), "{}".into(), Val::from(1_i64)]).await?;
    tx.commit().await
}

async fn count_objects(db: &crate::Db) -> i64 {
    let row = db.read_one("SELECT COUNT(*) AS total FROM object", &[]).await.unwrap().unwrap();
    row.int("total").unwrap()
}
