//! Operations of agents, which prove themselves by tokens of their own, and those about devices beyond the seven.

use super::{AgentConnector, EnrollmentToken, agent, chrome, facts::Facts, fleet, mdm, token};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_core::{ApiError, Resource};
use weir_flow::{App, Flow};
use weir_http::{Access, Call, Reply, Route, client_config};
use weir_pki::CertificateKeyPair;
use weir_resource::{Unit, store};
use weir_store::Durability;

/// Address of the page on which a sign-in begins.
pub(super) const SIGN_IN_PAGE: &str = "/endpoints/agent/sign-in/";

/// The operations.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let own = Access::OwnCredentials;
    let engine = Arc::clone(engine);
    let managing = Arc::clone(&engine);
    let connector = Access::Object {
        model: AgentConnector::MODEL,
        permission: "authentik_endpoints_connectors_agent.view_agentconnector",
    };
    let view = Access::Object {
        model: EnrollmentToken::MODEL,
        permission: "authentik_endpoints_connectors_agent.view_enrollment_token_key",
    };
    vec![
        Route::new("endpoints_agents_connectors_enroll_create", own, enrol),
        Route::new("endpoints_agents_connectors_agent_config_retrieve", own, config),
        Route::new("endpoints_agents_connectors_check_in_create", own, check_in),
        Route::new("endpoints_agents_connectors_auth_ia_create", own, move |call| {
            let prefix = engine.prefix.clone();
            async move { sign_in(call, &prefix).await }
        }),
        Route::new("endpoints_agents_connectors_mdm_config_create", connector, move |call| {
            let engine = Arc::clone(&managing);
            async move { mdm::config(&engine, call).await }
        }),
        Route::new("endpoints_agents_enrollment_tokens_view_key_retrieve", view, view_key),
        Route::new("endpoints_devices_summary_retrieve", Access::Global("authentik_endpoints.view_device"), summary),
    ]
}

/// The key behind this scheme.
fn key<'c>(call: &'c Call, scheme: &str) -> Result<&'c str, ApiError> {
    let header = call.request.header("authorization").ok_or_else(ApiError::unauthenticated)?;
    let (found, key) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if found.eq_ignore_ascii_case(scheme) { Ok(key.trim()) } else { Err(wrong()) }
}

fn wrong() -> ApiError {
    ApiError::Unauthenticated("Token invalid/expired".to_owned())
}

async fn recognise(call: &Call) -> Result<agent::Agent, ApiError> {
    let key = key(call, "bearer+agent")?;
    let now = call.app.site.clock.now();
    let found = agent::authenticate(&call.app.site.db, &call.snapshot, key, now).await.map_err(store)?;
    found.ok_or_else(wrong)
}

/// A device that wants to be known.
#[derive(Deserialize, JsonSchema)]
struct EnrolBody {
    /// Its serial number.
    #[schemars(length(min = 1, max = 255))]
    device_serial: String,
    /// Its name.
    #[schemars(length(min = 1, max = 255))]
    device_name: String,
}

async fn enrol(mut call: Call) -> Result<Reply, ApiError> {
    let key = key(&call, "bearer")?.to_owned();
    // Strangers learn nothing of the body's form, and hold up nobody who writes.
    let sql = "SELECT id FROM endpoint_enrollment_token WHERE key_digest = $1";
    let known = call.app.site.db.read_one(sql, &[weir_identity::digest(&key).into()]).await.map_err(store)?;
    known.ok_or_else(wrong)?;
    let body: EnrolBody = call.typed().await?;
    if [chrome::VENDOR, fleet::VENDOR].iter().any(|vendor| body.device_serial.starts_with(&format!("{vendor}/"))) {
        // So are devices called that others vouch for.
        return Err(ApiError::field("device_serial", "This serial number is reserved."));
    }
    let mut unit = Unit::new(&call.app.site, call.actor());
    let token = agent::enrol(&mut unit, &key, &body.device_serial, &body.device_name).await?.ok_or_else(wrong)?;
    unit.commit().await?;
    Ok(Reply::ok(&json!({"token": token})))
}

async fn config(call: Call) -> Result<Reply, ApiError> {
    let agent = recognise(&call).await?;
    let connector = &agent.connector;
    let flow = connector.authorization_flow.as_ref().and_then(|flow| call.snapshot.get::<Flow>(flow.uuid()));
    let pair = connector.challenge_key.as_ref().and_then(|key| call.snapshot.get::<CertificateKeyPair>(key.uuid()));
    let signer = pair.and_then(|pair| pair.signer().ok());
    Ok(Reply::ok(&json!({
        "device_id": agent.device_id,
        "refresh_interval": connector.refresh_interval.delta().num_seconds(),
        "authorization_flow": flow.map(|flow| flow.slug.0.clone()),
        // The same key: who signed in on the device is told by the connector too.
        "jwks_auth": {"keys": signer.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()},
        "jwks_challenge": signer.as_ref().map(|signer| json!({"keys": [signer.jwk()]})),
        "nss_uid_offset": connector.nss_uid_offset,
        "nss_gid_offset": connector.nss_gid_offset,
        "auth_terminate_session_on_expiry": connector.auth_terminate_session_on_expiry,
        "system_config": client_config(&call),
        "license_status": Value::Null,
    })))
}

async fn check_in(mut call: Call) -> Result<Reply, ApiError> {
    let agent = recognise(&call).await?;
    let facts: Facts = call.typed().await?;
    let facts = serde_json::to_value(facts).map_err(anyhow::Error::new)?;
    let site = &call.app.site;
    let mut tx = site.db.tx();
    // The next check-in says it again.
    tx.set_durability(Durability::Relaxed);
    agent::keep_facts(&mut tx, &agent, &facts, site.clock.now()).await.map_err(store)?;
    tx.commit().await.map_err(store)?;
    Ok(Reply::none())
}

async fn sign_in(call: Call, prefix: &str) -> Result<Reply, ApiError> {
    let agent = recognise(&call).await?;
    if agent.connector.authorization_flow.is_none() {
        return Err(ApiError::general("The connector has no authorization flow."));
    }
    let site = &call.app.site;
    let mut tx = site.db.tx();
    let key = agent::begin_sign_in(&mut tx, &*site.random, &agent, site.clock.now()).await.map_err(store)?;
    tx.commit().await.map_err(store)?;
    let mut url = format!("{}{prefix}{SIGN_IN_PAGE}?token={key}", call.request.base_url());
    if let Some(hint) = call.request.parameter("login_hint").filter(|hint| !hint.is_empty()) {
        let hint: String = hint.bytes().map(|byte| format!("%{byte:02X}")).collect();
        url = format!("{url}&login_hint={hint}");
    }
    Ok(Reply::ok(&json!({"url": url})))
}

async fn view_key(call: Call) -> Result<Reply, ApiError> {
    let mut unit = Unit::new(&call.app.site, call.actor());
    let key = token::view_key(&mut unit, call.target()?).await?;
    unit.commit().await?;
    Ok(Reply::ok(&json!({"key": key})))
}

async fn summary(call: Call) -> Result<Reply, ApiError> {
    let site = &call.app.site;
    let (total, silent) = agent::silent(&site.db, &call.snapshot, site.clock.now()).await?;
    // Agents do not tell their version here, so that none is known to be old.
    Ok(Reply::ok(&json!({"total_count": total, "unreachable_count": silent, "outdated_agent_count": 0})))
}
