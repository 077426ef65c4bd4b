//! What every client may know before it signs in: capabilities, and the description of the interface.

use crate::{Access, Call, Reply, Route, openapi};
use serde_json::{Value, json};
use weir_core::ApiError;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("root_config_retrieve", Access::Public, config),
        Route::new("schema_retrieve", Access::Public, openapi::retrieve),
    ]
}

async fn config(call: Call) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&client_config(&call)))
}

/// The contract's `Config`.
pub fn client_config(call: &Call) -> Value {
    let mut capabilities = Vec::new();
    if call.snapshot.settings.impersonation {
        capabilities.push("can_impersonate");
    }
    if call.app.api.is_served("events_events_export_create") {
        capabilities.push("can_save_reports");
    }
    let config = &call.app.config;
    json!({
        // Weir reports to nobody.
        "error_reporting": {
            "enabled": false,
            "sentry_dsn": "",
            "environment": "",
            "send_pii": false,
            "traces_sample_rate": 0.0,
        },
        "capabilities": capabilities,
        "cache_timeout": config.cache_timeout_flows_secs,
        "cache_timeout_flows": config.cache_timeout_flows_secs,
        "cache_timeout_policies": config.cache_timeout_policies_secs,
    })
}
