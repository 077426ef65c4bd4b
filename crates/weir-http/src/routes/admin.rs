//! About this installation: version, system, applications and models.

use crate::{Access, Call, Reply, Route, error};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use weir_core::ApiError;
use weir_identity::{brand_for_host, permission};

const VIEW_INFO: Access = Access::Global("authentik_rbac.view_system_info");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("admin_version_retrieve", Access::SignedIn, version),
        Route::new("admin_version_history_list", VIEW_INFO, version_history),
        Route::new("admin_version_history_retrieve", VIEW_INFO, version_entry),
        Route::new("admin_system_retrieve", VIEW_INFO, system),
        Route::new("admin_system_create", VIEW_INFO, system),
        Route::new("admin_apps_list", Access::SignedIn, apps),
        Route::new("admin_models_list", Access::SignedIn, models),
    ]
}

async fn version(_: Call) -> Result<Reply, ApiError> {
    // Weir asks nobody whether there is a newer one.
    Ok(Reply::ok(&json!({
        "version_current": weir_contract::VERSION,
        "version_latest": weir_contract::VERSION,
        "version_latest_valid": false,
        "build_hash": "",
        "outdated": false,
        "outpost_outdated": false,
    })))
}

/// The running version is the only one on record.
fn entry(call: &Call) -> Value {
    let since = call.app.started.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    json!({"id": 1, "timestamp": since, "version": weir_contract::VERSION, "build": ""})
}

async fn version_history(call: Call) -> Result<Reply, ApiError> {
    let fits = |name: &str, value: &str| call.request.parameter(name).is_none_or(|wanted| wanted == value);
    let found = fits("version", weir_contract::VERSION) && fits("build", "");
    Ok(Reply::ok(&if found { vec![entry(&call)] } else { Vec::new() }))
}

async fn version_entry(call: Call) -> Result<Reply, ApiError> {
    match call.param(0) {
        "1" => Ok(Reply::ok(&entry(&call))),
        _ => Err(error::no_object("Version history")),
    }
}

async fn system(call: Call) -> Result<Reply, ApiError> {
    const HIDDEN: [&str; 3] = ["authorization", "cookie", "x-authentik-outpost-token"];
    let headers: Map<String, Value> = call
        .request
        .headers
        .iter()
        .filter(|(name, _)| !HIDDEN.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.into())))
        .collect();
    let (_, brand) = brand_for_host(&call.snapshot, &call.request.host);
    let platform = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    Ok(Reply::ok(&json!({
        "http_headers": headers,
        "http_host": call.request.host,
        "http_is_secure": call.request.is_secure,
        "runtime": {
            "python_version": "",
            "environment": call.app.site.db.dialect().name(),
            "architecture": std::env::consts::ARCH,
            "platform": platform,
            "uname": platform,
            "openssl_version": "",
            "openssl_fips_enabled": null,
            "authentik_version": weir_contract::VERSION,
        },
        "brand": format!("Brand {}", brand.domain),
        "server_time": call.app.site.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        "embedded_outpost_disabled": true,
        "embedded_outpost_host": "",
        "base_url": call.snapshot.settings.base_url,
    })))
}

fn entries(labels: BTreeMap<String, String>) -> Reply {
    let list: Vec<Value> = labels.into_iter().map(|(name, label)| json!({"name": name, "label": label})).collect();
    Reply::ok(&list)
}

async fn apps(call: Call) -> Result<Reply, ApiError> {
    let all = permission::all(&call.app.site.registry);
    Ok(entries(all.iter().map(|p| (p.app_label.clone(), p.app_label_verbose())).collect()))
}

async fn models(call: Call) -> Result<Reply, ApiError> {
    let wanted = call.flag("filter_has_attributes")?;
    let kinds = call.app.site.registry.all();
    let fitting = kinds.filter(|k| wanted.is_none_or(|wanted| k.find_field("attributes").is_some() == wanted));
    Ok(entries(fitting.map(|k| (k.model.to_owned(), k.verbose_name.to_owned())).collect()))
}
