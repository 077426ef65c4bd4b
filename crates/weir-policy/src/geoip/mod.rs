//! Where the client is: the country, the network, and how far from where the user was before.

pub mod countries;
#[cfg(test)]
mod tests;

use crate::{PolicyCx, PolicyKind, PolicyRequest, PolicyResult};
use anyhow::Context;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use countries::CountryCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Family, Map, Resource, resource::UuidKeyed};
use weir_events::action;
use weir_identity::Account;
use weir_resource::{Hooks, Presenting, Stored};

/// How fast people travel at most.
const KM_PER_HOUR: f64 = 1000.0;
/// Log-ins that are read to find those with a place, for each that is wanted, and at least.
const READ_FOR_EACH: i64 = 4;
const READ_AT_LEAST: i64 = 50;
/// Log-ins that are read at most.
const READ_AT_MOST: i64 = 1000;

fn fifty() -> u32 {
    50
}
fn hundred() -> u32 {
    100
}
fn five() -> u32 {
    5
}

/// Says where clients may be.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GeoIPPolicy {
    /// Name of the policy.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Writes an event for every run, not only for failures.
    #[serde(default)]
    pub execution_logging: bool,
    /// Numbers of autonomous systems that may be used.
    #[serde(default)]
    pub asns: Vec<i32>,
    /// Countries in which clients may be.
    pub countries: Vec<CountryCode>,
    /// Looks at the distance from where the user signed in before.
    #[serde(default)]
    pub check_history_distance: bool,
    /// The longest distance in kilometres.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub history_max_distance_km: i64,
    /// How much farther counts as the same place, as databases are not exact.
    #[serde(default = "fifty")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub distance_tolerance_km: u32,
    /// How many log-ins before are looked at.
    #[serde(default = "five")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub history_login_count: u32,
    /// Looks at whether the user can have travelled here since.
    #[serde(default)]
    pub check_impossible_travel: bool,
    /// How much farther than possible counts as possible.
    #[serde(default = "hundred")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub impossible_tolerance_km: u32,
}

impl UuidKeyed for GeoIPPolicy {}
impl Resource for GeoIPPolicy {
    const MODEL: &'static str = "authentik_policies_geoip.geoippolicy";
    const PATH: &'static str = "policies/geoip";
    const SCHEMA: &'static str = "GeoIPPolicy";
    const VERBOSE: &'static str = "GeoIP Policy";
    const COMPONENT: &'static str = "ak-policy-geoip-form";
    const FAMILY: Option<Family> = Some(Family::Policy);
    const PARAM: &'static str = "policy_uuid";
}

/// Shows countries with their names.
pub struct GeoIPHooks;

#[async_trait]
impl Hooks for GeoIPHooks {
    async fn present(&self, _: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for (row, answer) in rows.iter().zip(answers) {
            let codes = row.doc.get("countries").and_then(Value::as_array);
            let codes: Vec<&str> = codes.into_iter().flatten().filter_map(Value::as_str).collect();
            answer.insert("countries_obj".to_owned(), countries::described(&codes).into());
        }
        Ok(())
    }
}

/// A point on the earth, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    lat: f64,
    long: f64,
}

impl Point {
    fn of(place: Option<&Value>) -> Option<Self> {
        let number = |key: &str| place?.get(key)?.as_f64();
        Some(Self { lat: number("lat")?, long: number("long")? })
    }

    /// Kilometres along the surface.
    fn distance(self, other: Self) -> f64 {
        const RADIUS_KM: f64 = 6371.0088;
        let (here, there) = (self.lat.to_radians(), other.lat.to_radians());
        let (up, along) = ((there - here) / 2.0, (other.long - self.long).to_radians() / 2.0);
        let part = up.sin().powi(2) + here.cos() * there.cos() * along.sin().powi(2);
        2.0 * RADIUS_KM * part.clamp(0.0, 1.0).sqrt().asin()
    }
}

/// The kind.
pub struct Places;

#[async_trait]
impl PolicyKind for Places {
    type Config = GeoIPPolicy;

    async fn passes(
        &self,
        cx: &mut PolicyCx<'_>,
        _id: Uuid,
        config: &GeoIPPolicy,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult> {
        let inputs = json!({"geoip": request.context.get("geoip"), "asn": request.context.get("asn")});
        let (is_allowed, messages) = fixed(config, &request.context)?;
        if !is_allowed {
            return Ok(PolicyResult::new(false, messages).because(inputs));
        }
        let result = match (Point::of(request.context.get("geoip")), request.user) {
            (Some(here), Some(user)) => moved(cx, config, here, user).await?,
            _ => None,
        };
        Ok(result.unwrap_or_else(|| PolicyResult::new(true, Vec::new())).because(inputs))
    }
}

/// The rules about network and country, of which one must hold.
fn fixed(config: &GeoIPPolicy, context: &Map) -> anyhow::Result<(bool, Vec<String>)> {
    let mut messages = Vec::new();
    let mut holds = config.asns.is_empty() && config.countries.is_empty();
    if !config.asns.is_empty() {
        let asn = context.get("asn").and_then(|asn| asn.get("asn")?.as_i64());
        let asn = asn.context("GeoIP: client IP not found in ASN database.")?;
        match config.asns.iter().any(|allowed| i64::from(*allowed) == asn) {
            true => holds = true,
            false => messages.push("Client IP is not part of an allowed autonomous system.".to_owned()),
        }
    }
    if !config.countries.is_empty() {
        let country = context.get("geoip").and_then(|place| place.get("country")?.as_str());
        let country = country.context("GeoIP: client IP address not found in City database.")?;
        match config.countries.iter().any(|allowed| allowed.0 == country) {
            true => holds = true,
            false => messages.push("Client IP is not in an allowed country.".to_owned()),
        }
    }
    Ok((holds, messages))
}

/// The rules about where the user was before; none when they hold.
async fn moved(
    cx: &mut PolicyCx<'_>,
    config: &GeoIPPolicy,
    here: Point,
    user: &Account,
) -> anyhow::Result<Option<PolicyResult>> {
    if !config.check_history_distance && !config.check_impossible_travel {
        return Ok(None);
    }
    let now = cx.site.clock.now();
    for (there, then) in history(cx, config, user.id).await? {
        let distance = here.distance(there);
        let elapsed = seconds(now, then) / 3600.0;
        if config.check_history_distance {
            #[expect(clippy::cast_precision_loss, reason = "no distance on earth is that long")]
            let allowed = config.history_max_distance_km as f64 + f64::from(config.distance_tolerance_km);
            if distance >= allowed {
                let text = "Distance from previous authentication is larger than threshold.";
                return Ok(Some(refusal(text, "distance", distance, allowed, elapsed)));
            }
        }
        if config.check_impossible_travel {
            let allowed = KM_PER_HOUR * elapsed.max(1.0) + f64::from(config.impossible_tolerance_km);
            if distance > allowed {
                let text = "Distance is further than possible.";
                return Ok(Some(refusal(text, "impossible_travel", distance, allowed, elapsed)));
            }
        }
    }
    Ok(None)
}

fn seconds(now: DateTime<Utc>, then: DateTime<Utc>) -> f64 {
    (now - then).to_std().unwrap_or_default().as_secs_f64()
}

fn refusal(text: &str, reason: &str, distance: f64, allowed: f64, elapsed: f64) -> PolicyResult {
    let raw_result = json!({
        "reason": reason, "distance_km": distance, "allowed_distance_km": allowed, "elapsed_hours": elapsed,
    });
    PolicyResult { raw_result, ..PolicyResult::new(false, vec![text.to_owned()]) }
}

/// Where and when the user signed in last, as far as events tell a place.
async fn history(
    cx: &mut PolicyCx<'_>,
    config: &GeoIPPolicy,
    user: i64,
) -> anyhow::Result<Vec<(Point, DateTime<Utc>)>> {
    let wanted = i64::from(config.history_login_count);
    let limit = wanted.saturating_mul(READ_FOR_EACH).clamp(READ_AT_LEAST, READ_AT_MOST);
    let sql =
        "SELECT context, created FROM audit_event WHERE user_id = $1 AND action = $2 ORDER BY created DESC LIMIT $3";
    let rows = cx.tx.read(sql, &[user.into(), action::LOGIN.into(), limit.into()]).await?;
    let mut found = Vec::new();
    for row in rows {
        if let Some(point) = Point::of(row.json("context")?.get("geo")) {
            found.push((point, row.time("created")?));
        }
    }
    found.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
    Ok(found)
}
