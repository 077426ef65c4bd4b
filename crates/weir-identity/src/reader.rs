//! Reading the same way inside and outside a transaction.

use std::future::Future;
use weir_store::{Db, Row, StoreError, Tx, Val};

/// Something that can run a reading statement: `&Db`, or `&mut Tx` to see the transaction's own writes.
pub trait Reader: Send {
    /// Runs a reading statement.
    fn read(&mut self, sql: &str, vals: &[Val]) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Runs a reading statement that finds at most one row of interest.
    fn read_one(&mut self, sql: &str, vals: &[Val]) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send {
        async move { Ok(self.read(sql, vals).await?.into_iter().next()) }
    }
}

impl Reader for &Db {
    async fn read(&mut self, sql: &str, vals: &[Val]) -> Result<Vec<Row>, StoreError> {
        Db::read(self, sql, vals).await
    }

    async fn read_one(&mut self, sql: &str, vals: &[Val]) -> Result<Option<Row>, StoreError> {
        Db::read_one(self, sql, vals).await
    }
}

impl Reader for Tx {
    async fn read(&mut self, sql: &str, vals: &[Val]) -> Result<Vec<Row>, StoreError> {
        Tx::read(self, sql, vals).await
    }

    async fn read_one(&mut self, sql: &str, vals: &[Val]) -> Result<Option<Row>, StoreError> {
        Tx::read_one(self, sql, vals).await
    }
}

impl<R: Reader> Reader for &mut R {
    async fn read(&mut self, sql: &str, vals: &[Val]) -> Result<Vec<Row>, StoreError> {
        (**self).read(sql, vals).await
    }

    async fn read_one(&mut self, sql: &str, vals: &[Val]) -> Result<Option<Row>, StoreError> {
        (**self).read_one(sql, vals).await
    }
}

/// `$1, $2, …` for this many values, from a first number.
pub(crate) fn marks(first: usize, count: usize) -> String {
    (first..first + count).map(|i| format!("${i}")).collect::<Vec<_>>().join(", ")
}
