//! What every client may know before it signs in: capabilities, and the description of the interface; and the answer
//! where a capability is absent.

use crate::{Access, Call, Reply, Route, openapi};
use serde_json::{Value, json};
use weir_core::ApiError;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("root_config_retrieve", Access::Public, config),
        Route::new("schema_retrieve", Access::Public, openapi::retrieve),
        Route::new("core_users_export_create", Access::Global("authentik_core.view_user"), export),
        Route::new("events_events_export_create", Access::Global("authentik_events.view_event"), export),
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

/// Exports are files for later, and there is no place for such files: the capability `can_save_reports` is not told.
async fn export(_: Call) -> Result<Reply, ApiError> {
    Err(ApiError::general("Exports need a storage for reports, and none is set up."))
}
