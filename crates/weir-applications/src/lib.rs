//! Applications: what people are given access to, and through which providers. Who may use one is asked of the policies
//! bound to it ([`access`]), never of permissions.
//!
//! The kinds of providers stand above this crate, one folder each: a definition of the family
//! [`Provider`](weir_core::Family::Provider), built on [`provider`], with [`provider::ProviderHooks`] among its hooks.

pub mod access;
pub mod application;
pub mod provider;
#[cfg(test)]
mod tests;

pub use application::{Application, launch_url};

use std::sync::Arc;
use weir_core::{Resource, ResourceType};
use weir_flow::App;
use weir_http::Route;
use weir_resource::HookSet;

/// The definitions of this crate.
pub fn resources() -> Vec<ResourceType> {
    vec![ResourceType::of::<Application>()]
}

/// Their special behaviour.
pub fn hooks(set: &mut HookSet) {
    set.add(Application::MODEL, Arc::new(application::ApplicationHooks));
}

/// Operations beyond those that follow from the definitions.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    application::routes(engine)
}
