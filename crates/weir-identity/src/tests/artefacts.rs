//! The list of what lets somebody act as a user, against the schema.

use super::fixture;
use crate::artefacts::{ARTEFACTS, EXEMPT, STAYS};
use std::collections::{BTreeMap, BTreeSet};
use weir_store::{Db, Dialect, Row};

/// A table with its columns and the tables it refers to.
#[derive(Default)]
struct Table {
    columns: BTreeSet<String>,
    targets: BTreeSet<String>,
}

/// Names of columns that hold a user or a session without saying so to the database.
const PEOPLE: &[&str] = &[
    "user",
    "user_id",
    "user_pk",
    "owner",
    "owner_id",
    "created_by",
    "account",
    "account_id",
    "session",
    "session_id",
    "session_digest",
];

fn texts(row: &Row) -> (String, String) {
    (row.text("tab").unwrap(), row.text("what").unwrap())
}

/// Every table of a migrated database as the database itself describes it.
async fn schema(db: &Db) -> BTreeMap<String, Table> {
    let (columns, targets) = match db.dialect() {
        Dialect::Sqlite => (
            "SELECT m.name AS tab, c.name AS what FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table'",
            "SELECT m.name AS tab, f.\"table\" AS what FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f \
             WHERE m.type = 'table'",
        ),
        Dialect::Postgres => (
            "SELECT table_name::text AS tab, column_name::text AS what FROM information_schema.columns \
             WHERE table_schema = current_schema()",
            "SELECT conrelid::regclass::text AS tab, confrelid::regclass::text AS what FROM pg_constraint \
             WHERE contype = 'f'",
        ),
    };
    let mut found: BTreeMap<String, Table> = BTreeMap::new();
    for (table, column) in db.read(columns, &[]).await.unwrap().iter().map(texts) {
        found.entry(table).or_default().columns.insert(column);
    }
    for (table, target) in db.read(targets, &[]).await.unwrap().iter().map(texts) {
        found.entry(table).or_default().targets.insert(target);
    }
    found
}

/// Accounts themselves, and the copy of their words that PostgreSQL searches.
const ACCOUNTS: [&str; 2] = ["identity_user", "identity_user_search"];

impl Table {
    fn can_end(&self) -> bool {
        self.columns.iter().any(|c| c.contains("expire") || c.contains("valid_until") || c == "security_epoch")
    }

    /// Names a user, a session, or something that is itself an artefact.
    fn is_of_somebody(&self) -> bool {
        let artefacts: BTreeSet<&str> = ARTEFACTS.iter().map(|a| a.table).collect();
        self.targets.iter().any(|t| t == "identity_user" || artefacts.contains(t.as_str()))
            || PEOPLE.iter().any(|name| self.columns.contains(*name))
    }
}

#[tokio::test]
async fn every_table_that_is_of_a_user_and_can_end_is_an_artefact_or_exempt_with_a_reason() {
    let f = fixture().await;
    let schema = schema(&f.site.db).await;
    assert!(schema["identity_token"].targets.contains("identity_user"), "the schema is read");
    let known: BTreeSet<&str> = ARTEFACTS.iter().map(|a| a.table).chain(EXEMPT.iter().map(|e| e.0)).collect();
    let of_somebody = schema
        .iter()
        .filter(|(name, table)| !ACCOUNTS.contains(&name.as_str()) && table.is_of_somebody() && table.can_end());
    let forgotten: Vec<&str> =
        of_somebody.map(|(name, _)| name.as_str()).filter(|name| !known.contains(name)).collect();
    assert!(forgotten.is_empty(), "neither in ARTEFACTS nor in EXEMPT: {forgotten:?}");
    let unknown: Vec<&&str> = known.iter().filter(|name| !schema.contains_key(**name)).collect();
    assert!(unknown.is_empty(), "no such tables: {unknown:?}");
    let both: Vec<&&str> =
        EXEMPT.iter().map(|(name, _)| name).filter(|name| ARTEFACTS.iter().any(|a| a.table == **name)).collect();
    assert!(both.is_empty() && EXEMPT.iter().all(|(_, reason)| !reason.is_empty()), "{both:?}");
}

#[tokio::test]
async fn every_table_that_is_of_a_user_ends_stays_or_lets_nobody_in() {
    let f = fixture().await;
    let schema = schema(&f.site.db).await;
    let stays = STAYS.iter().map(|(_, table)| *table);
    let known: BTreeSet<&str> =
        ARTEFACTS.iter().map(|a| a.table).chain(EXEMPT.iter().map(|e| e.0)).chain(stays).collect();
    let of_somebody =
        schema.iter().filter(|(name, table)| !ACCOUNTS.contains(&name.as_str()) && table.is_of_somebody());
    let forgotten: Vec<&str> =
        of_somebody.map(|(name, _)| name.as_str()).filter(|name| !known.contains(name)).collect();
    assert!(forgotten.is_empty(), "in none of ARTEFACTS, STAYS and EXEMPT: {forgotten:?}");
    for (kind, table) in STAYS {
        assert!(schema.get(*table).is_some_and(|t| t.columns.contains("user")), "{kind} is kept in no table of users");
        assert!(ARTEFACTS.iter().all(|a| a.kind != *kind), "{kind} cannot both end and stay");
    }
}

#[tokio::test]
async fn an_artefact_says_truly_whether_it_carries_the_epoch() {
    let f = fixture().await;
    let schema = schema(&f.site.db).await;
    for artefact in ARTEFACTS {
        let has = schema[artefact.table].columns.contains("security_epoch");
        assert_eq!(artefact.has_epoch, has, "{}", artefact.kind);
    }
    let names: BTreeSet<&str> = ARTEFACTS.iter().map(|a| a.kind).collect();
    assert_eq!(names.len(), ARTEFACTS.len(), "each kind has a name of its own");
}
