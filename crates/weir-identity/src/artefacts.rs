//! Everything that lets somebody act as a user and outlives a request, in one list: what there is, how it is found, how
//! it ends. A lockdown ends it, and its inventory counts it.
//!
//! A new kind is one line in [`ARTEFACTS`]: every table with a column for the user (or the user's session) and an end
//! must stand there or, with a reason, in [`EXEMPT`]; a test compares both with the schema. Whatever mints such a thing
//! does it in a transaction that took the user's row by [`accounts::lock`](crate::accounts::lock) before, so that it
//! comes before a lockdown, which ends it, or after, when the account is no longer what it was. What is kept by browsers
//! and not by us stands in [`CARRIED`] and is good for one epoch only.

use crate::Reader;
use serde::Serialize;
use std::collections::BTreeMap;
use weir_store::{StoreError, Tx};

/// Which of a lockdown's switches ends a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Sessions of browsers.
    Sessions,
    /// Everything else.
    Tokens,
}

/// How a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It goes.
    Delete,
    /// It stays without what opens anything: the assignments.
    Strip(&'static str),
}

/// One kind.
#[derive(Clone, Copy, Debug)]
pub struct Artefact {
    /// Name in inventories.
    pub kind: &'static str,
    /// Where it is kept.
    pub table: &'static str,
    /// Which rows are the user's, whose key is `$1`; those without anything to end are left out.
    pub of_user: &'static str,
    /// How it ends.
    pub end: End,
    /// With what it ends.
    pub group: Group,
    /// Its rows carry the epoch in a column `security_epoch`.
    pub has_epoch: bool,
}

const fn deleted(kind: &'static str, table: &'static str, of_user: &'static str) -> Artefact {
    Artefact { kind, table, of_user, end: End::Delete, group: Group::Tokens, has_epoch: false }
}

const fn token(kind: &'static str, of_user: &'static str) -> Artefact {
    Artefact { has_epoch: true, ..deleted(kind, "identity_token", of_user) }
}

const fn code(kind: &'static str, table: &'static str) -> Artefact {
    Artefact {
        end: End::Strip("code_digest = NULL, code_expires = NULL"),
        ..deleted(kind, table, "\"user\" = $1 AND code_digest IS NOT NULL")
    }
}

/// Every kind, in the order in which they end: what hangs on a session before the sessions.
pub const ARTEFACTS: &[Artefact] = &[
    // On the way to a source and back, begun in a session of the user.
    Artefact {
        group: Group::Sessions,
        ..deleted(
            "source_sign_in",
            "source_login",
            "session_digest IN (SELECT key_digest FROM identity_session WHERE \"user\" = $1)",
        )
    },
    Artefact { group: Group::Sessions, has_epoch: true, ..deleted("session", "identity_session", "\"user\" = $1") },
    token("api_token", "\"user\" = $1 AND flow_id IS NULL AND intent = 'api'"),
    token("app_password", "\"user\" = $1 AND flow_id IS NULL AND intent = 'app_password'"),
    token("recovery_token", "\"user\" = $1 AND flow_id IS NULL AND intent = 'recovery'"),
    token(
        "verification_token",
        "\"user\" = $1 AND flow_id IS NULL AND intent NOT IN ('api', 'app_password', 'recovery')",
    ),
    // Links into flows: recovery, confirmations by mail.
    token("flow_token", "\"user\" = $1 AND flow_id IS NOT NULL"),
    // Plans put aside until somebody comes back from a source.
    Artefact { has_epoch: true, ..deleted("waiting_flow", "flow_resume", "user_id = $1") },
    // Whoever holds a stolen account must not let accomplices in by it.
    deleted("invitation", "invitation", "created_by = $1"),
    Artefact { has_epoch: true, ..deleted("consent", "identity_consent", "user_id = $1") },
    code("email_code", "identity_device_email"),
    code("sms_code", "identity_device_sms"),
    // The connection says who the user is over there, which opens nothing; its keys do.
    Artefact {
        end: End::Strip("access_token = NULL, refresh_token = NULL, expires = NULL"),
        ..deleted(
            "source_token",
            "source_user_connection",
            "\"user\" = $1 AND (access_token IS NOT NULL OR refresh_token IS NOT NULL)",
        )
    },
];

/// What browsers carry, or others' sessions: it names the epoch, so that it is dead as soon as the epoch is another. We do
/// not know how many there are.
pub const CARRIED: &[&str] = &["impersonation", "remembered_authenticator", "remembered_device"];

/// Ways in that stay, with their tables: they open nothing while the account is deactivated, and their owner needs them
/// later. Whoever opens the account again has to know of them, so inventories count them.
pub const STAYS: &[(&str, &str)] = &[
    ("authenticator_duo", "identity_device_duo"),
    ("authenticator_email", "identity_device_email"),
    ("authenticator_endpoint", "identity_device_endpoint"),
    ("authenticator_sms", "identity_device_sms"),
    ("authenticator_static", "identity_device_static"),
    ("authenticator_totp", "identity_device_totp"),
    ("authenticator_webauthn", "identity_device_webauthn"),
    ("secure_enclave", "endpoint_secure_enclave"),
    ("source_connection", "source_user_connection"),
];

/// Tables that name a user but let nobody in.
pub const EXEMPT: &[(&str, &str)] = &[
    ("audit_event", "tells what happened"),
    ("data_export", "a file that only who is signed in as the user is given"),
    ("event_notification", "a message that only who is signed in as the user is shown"),
    ("flow_run", "tells how a flow went"),
    ("identity_membership", "what the account may do, not who may use it"),
    ("identity_user_role", "what the account may do, not who may use it"),
    ("lockdown", "tells what a lockdown ended"),
    ("lockdown_batch_user", "tells whom a list named"),
    ("password_history", "hashes that no longer open anything"),
    ("revoked_key", "keys that open nothing any more"),
    ("sync_entra_user", "where another system keeps a copy"),
    ("sync_google_user", "where another system keeps a copy"),
    ("sync_moved", "what other systems are still to be told"),
    ("sync_scim_user", "where another system keeps a copy"),
];

/// How many there are of each kind, by name.
pub type Counts = BTreeMap<&'static str, i64>;

/// How many of each kind there are.
///
/// # Errors
/// Those of the store.
pub async fn count(reader: impl Reader, user_id: i64) -> Result<Counts, StoreError> {
    let parts = ARTEFACTS.iter().map(|a| (a.kind, a.table, a.of_user));
    counted(reader, parts, user_id).await
}

/// How many ways in there are that stay.
///
/// # Errors
/// Those of the store.
pub async fn staying(reader: impl Reader, user_id: i64) -> Result<Counts, StoreError> {
    counted(reader, STAYS.iter().map(|(kind, table)| (*kind, *table, "\"user\" = $1")), user_id).await
}

/// Counts by name, table and condition, in one statement.
async fn counted(
    mut reader: impl Reader,
    kinds: impl Iterator<Item = (&'static str, &'static str, &'static str)> + Clone,
    user_id: i64,
) -> Result<Counts, StoreError> {
    let part =
        |(kind, table, condition)| format!("SELECT '{kind}' AS kind, COUNT(*) AS found FROM {table} WHERE {condition}");
    let sql = kinds.clone().map(part).collect::<Vec<_>>().join(" UNION ALL ");
    let mut found = Counts::new();
    for row in reader.read(&sql, &[user_id.into()]).await? {
        let name = row.text("kind")?;
        if let Some((kind, ..)) = kinds.clone().find(|(kind, ..)| *kind == name) {
            found.insert(kind, row.int("found")?);
        }
    }
    Ok(found)
}

/// Ends every artefact of these groups, where some were found; gives how many ended. The user's row must be locked since
/// before they were counted, so that no others can come.
///
/// # Errors
/// Those of the store.
pub async fn end(tx: &mut Tx, user_id: i64, groups: &[Group], found: &Counts) -> Result<i64, StoreError> {
    let is_there = |a: &&Artefact| groups.contains(&a.group) && found.get(a.kind).is_some_and(|count| *count > 0);
    let there: Vec<&Artefact> = ARTEFACTS.iter().filter(is_there).collect();
    let mut ended = 0;
    // Kinds of one table end in one statement; the order is that of the list.
    for alike in there.chunk_by(|a, b| (a.table, a.end) == (b.table, b.end)) {
        let Some(Artefact { table, end, .. }) = alike.first() else { continue };
        let which: Vec<String> = alike.iter().map(|a| format!("({})", a.of_user)).collect();
        let which = which.join(" OR ");
        let sql = match end {
            End::Delete => format!("DELETE FROM {table} WHERE {which}"),
            End::Strip(assignments) => format!("UPDATE {table} SET {assignments} WHERE {which}"),
        };
        ended += i64::try_from(tx.write(&sql, &[user_id.into()]).await?).unwrap_or(i64::MAX);
    }
    Ok(ended)
}

/// Takes what is to be kept over into a new epoch. The user's row must be locked.
///
/// # Errors
/// Those of the store.
pub async fn carry_over(
    tx: &mut Tx,
    user_id: i64,
    ended: &[Group],
    (before, after): (i64, i64),
) -> Result<(), StoreError> {
    for artefact in ARTEFACTS.iter().filter(|a| a.has_epoch && !ended.contains(&a.group)) {
        let (table, of_user) = (artefact.table, artefact.of_user);
        let sql = format!("UPDATE {table} SET security_epoch = $2 WHERE {of_user} AND security_epoch = $3");
        tx.write(&sql, &[user_id.into(), after.into(), before.into()]).await?;
    }
    Ok(())
}
