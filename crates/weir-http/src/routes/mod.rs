//! Operations beyond the generic ones, one file per area.

mod admin;
mod blueprints;
mod brands;
mod crypto;
mod devices;
mod event_reports;
pub mod events;
pub mod families;
mod groups;
mod rbac;
pub mod root;
mod sessions;
mod settings;
mod tasks;
mod tokens;
mod user_actions;
mod users;

use crate::{Route, rest};
use anyhow::Result;
use weir_core::Registry;

/// Every operation of this crate: the generic ones of all kinds, then those of each area.
///
/// # Errors
/// When a kind has an operation that the contract has not.
pub fn all(registry: &Registry) -> Result<Vec<Route>> {
    let mut routes = Vec::new();
    for kind in registry.all().chain(registry.views()) {
        // A kind whose objects have no other address than the list of their family is served there.
        if kind.family.is_none_or(|family| family.path() != kind.path) {
            routes.extend(rest::routes(kind)?);
        }
    }
    let areas: [fn() -> Vec<Route>; 17] = [
        admin::routes,
        blueprints::routes,
        brands::routes,
        crypto::routes,
        devices::routes,
        event_reports::routes,
        families::routes,
        groups::routes,
        rbac::reads,
        rbac::writes,
        root::routes,
        sessions::routes,
        settings::routes,
        tasks::routes,
        tokens::routes,
        user_actions::routes,
        users::routes,
    ];
    routes.extend(areas.iter().flat_map(|area| area()));
    Ok(routes)
}
