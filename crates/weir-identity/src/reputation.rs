//! Reputation of usernames and addresses: better with each log-in, worse with each failure.

use crate::Reader;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::{ApiError, Backing, Map, Operations, Random, Resource, TableDef, resource::UuidKeyed};
use weir_resource::{Condition, Hooks, Settings, Site};
use weir_store::{StoreError, Tx, Val};

/// The score of one username from one address.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReputationScore {
    /// What was typed as username.
    pub identifier: String,
    /// Client address.
    pub ip: String,
    /// Location of the address.
    #[serde(default)]
    pub ip_geo_data: Map,
    /// Network of the address.
    #[serde(default)]
    pub ip_asn_data: Map,
    /// The score.
    #[serde(default)]
    #[schemars(extend("format" = "int64"))]
    pub score: i64,
    /// Last change.
    #[schemars(extend("readOnly" = true))]
    pub updated: DateTime<Utc>,
}

impl UuidKeyed for ReputationScore {}

const TABLE: TableDef =
    TableDef { table: "reputation", pk: "id", pk_is_int: false, links: &[], only: "", search_index: "" };

impl Resource for ReputationScore {
    const MODEL: &'static str = "authentik_policies_reputation.reputation";
    const PATH: &'static str = "policies/reputation/scores";
    const SCHEMA: &'static str = "Reputation";
    const VERBOSE: &'static str = "Reputation Score";
    const PARAM: &'static str = "reputation_uuid";
    const SEARCH: &'static [&'static str] = &["identifier", "ip"];
    const ORDER: &'static str = "ip";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["identifier", "ip"]];
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = Operations { create: false, update: false, destroy: true, used_by: true };
    const AUDITED: bool = false;
}

/// Scores of several identifiers at once.
pub(crate) struct ScoreHooks;

#[async_trait]
impl Hooks for ScoreHooks {
    fn filter(&self, _site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        if name != "identifier_in" {
            return Ok(None);
        }
        let names: Vec<Val> = value.split(',').map(|name| Val::from(name.trim())).collect();
        let marks = vec!["?"; names.len()].join(", ");
        Ok(Some(Condition::new(format!("identifier IN ({marks})"), names)))
    }
}

/// How long a score is remembered after its last change.
const MEMORY: TimeDelta = TimeDelta::days(1);

/// Bounds of a score and of a sum of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Smallest.
    pub lower: i64,
    /// Largest.
    pub upper: i64,
}

impl Limits {
    /// Those of the settings.
    pub fn of(settings: &Settings) -> Self {
        Self { lower: settings.reputation_lower_limit.into(), upper: settings.reputation_upper_limit.into() }
    }

    /// Brings a number into the bounds.
    pub fn clamp(self, score: i64) -> i64 {
        score.min(self.upper).max(self.lower)
    }
}

/// Whose score changes.
#[derive(Clone, Debug, Default)]
pub struct Subject<'a> {
    /// What was typed as username.
    pub identifier: &'a str,
    /// Client address.
    pub ip: &'a str,
    /// Where that is, as far as known.
    pub geo: Option<Value>,
    /// Whose network it is, as far as known.
    pub asn: Option<Value>,
}

impl<'a> From<(&'a str, &'a str)> for Subject<'a> {
    fn from((identifier, ip): (&'a str, &'a str)) -> Self {
        Self { identifier, ip, ..Self::default() }
    }
}

/// Changes the score of a username from an address in one statement; a forgotten score starts at zero. Returns the
/// new score.
pub async fn add<'a>(
    tx: &mut Tx,
    random: &dyn Random,
    now: DateTime<Utc>,
    subject: impl Into<Subject<'a>> + Send,
    amount: i64,
    limits: Limits,
) -> Result<i64, StoreError> {
    let subject: Subject<'_> = subject.into();
    let identifier: String = subject.identifier.chars().filter(|c| *c != '\0').take(500).collect();
    let sql = "INSERT INTO reputation (id, identifier, ip, score, updated, expires, ip_geo_data, ip_asn_data) \
               VALUES ($1, $2, $3, $4, $5, $6, $10, $11) \
               ON CONFLICT (identifier, ip) DO UPDATE SET updated = excluded.updated, expires = excluded.expires, \
               ip_geo_data = excluded.ip_geo_data, ip_asn_data = excluded.ip_asn_data, \
               score = CASE WHEN reputation.expires <= excluded.updated THEN excluded.score \
               WHEN reputation.score + $7 > $8 THEN $8 WHEN reputation.score + $7 < $9 THEN $9 \
               ELSE reputation.score + $7 END RETURNING score";
    let vals: [Val; 11] = [
        random.uuid().into(),
        identifier.into(),
        subject.ip.into(),
        limits.clamp(amount).into(),
        now.into(),
        (now + MEMORY).into(),
        amount.into(),
        limits.upper.into(),
        limits.lower.into(),
        subject.geo.unwrap_or_else(|| json!({})).into(),
        subject.asn.unwrap_or_else(|| json!({})).into(),
    ];
    let rows = tx.write_returning(sql, &vals).await?;
    rows.first().map_or(Ok(0), |row| row.int("score"))
}

/// The sum of live scores of an address and of a username (either may be left out), within the bounds.
pub async fn score(
    mut reader: impl Reader,
    identifier: Option<&str>,
    ip: Option<&str>,
    now: DateTime<Utc>,
    limits: Limits,
) -> Result<i64, StoreError> {
    let mut any = Vec::new();
    let mut vals: Vec<Val> = vec![now.into()];
    for (column, value) in [("identifier", identifier), ("ip", ip)] {
        if let Some(value) = value {
            vals.push(value.into());
            any.push(format!("{column} = ${}", vals.len()));
        }
    }
    if any.is_empty() {
        return Ok(0);
    }
    let sql = format!(
        "SELECT CAST(COALESCE(SUM(score), 0) AS BIGINT) AS total FROM reputation WHERE expires > $1 AND ({})",
        any.join(" OR ")
    );
    let row = reader.read_one(&sql, &vals).await?;
    Ok(limits.clamp(row.map_or(Ok(0), |r| r.int("total"))?))
}

/// Housekeeping: forgets scores past their time. Returns how many.
pub async fn delete_expired(tx: &mut Tx, now: DateTime<Utc>) -> Result<u64, StoreError> {
    tx.write("DELETE FROM reputation WHERE expires <= $1", &[now.into()]).await
}
