//! Storage on SQLite and PostgreSQL, and the durable jobs that live in it. The only crate that names sqlx.
//!
//! sqlx with one portable SQL text (`$1` placeholders work on both) behind this thin layer, instead of an ORM: the
//! relational tables are few, the dynamic filters come from the resource definitions and not from entities, and the
//! ORM's build alone costs more than this whole layer. What the databases say differently is in [`dialect`].

mod db;
pub mod dialect;
mod error;
pub mod jobs;
mod lanes;
mod migrate;
mod postgres;
mod row;
mod settings;
mod sqlite;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
#[cfg(test)]
mod tests;
mod tx;
mod val;

pub use db::Db;
pub use dialect::{Dialect, escape_like};
pub use error::StoreError;
pub use migrate::MigrationState;
pub use row::Row;
pub use settings::{DatabaseUrl, DbSettings};
pub use tx::{Durability, Savepoint, Tx};
pub use val::Val;
