//! Applications: what people are given access to, and through which providers. Who may use one is asked of the policies
//! bound to it ([`access`]), never of permissions.
//!
//! The kinds of providers stand above this crate, one folder each: a definition of the family
//! [`Provider`](weir_core::Family::Provider), built on [`provider`], with [`provider::ProviderHooks`] among its hooks.

pub mod access;
pub mod application;
pub mod attribute;
pub mod consent;
pub mod entitlement;
pub mod provider;
#[cfg(test)]
mod tests;
mod transaction;

pub use application::{Application, launch_url};
pub use attribute::ObjectAttribute;
pub use consent::UserConsent;
pub use entitlement::ApplicationEntitlement;

use std::sync::Arc;
use weir_core::{Resource, ResourceType};
use weir_flow::App;
use weir_http::Route;
use weir_policy::PolicyBinding;
use weir_resource::HookSet;

/// The definitions of this crate.
pub fn resources() -> Vec<ResourceType> {
    vec![
        ResourceType::of::<Application>(),
        ResourceType::of::<ApplicationEntitlement>(),
        ResourceType::of::<ObjectAttribute>(),
        ResourceType::of::<UserConsent>(),
    ]
}

/// Their special behaviour.
pub fn hooks(set: &mut HookSet) {
    set.add(Application::MODEL, Arc::new(application::ApplicationHooks));
    set.add(ApplicationEntitlement::MODEL, Arc::new(entitlement::EntitlementHooks));
    set.add(PolicyBinding::MODEL, Arc::new(entitlement::BindingHooks));
    set.add(ObjectAttribute::MODEL, Arc::new(attribute::ObjectAttributeHooks));
    set.add(UserConsent::MODEL, Arc::new(consent::ConsentHooks));
    for model in attribute::BEARERS {
        set.add(model, Arc::new(attribute::BearerHooks(model)));
    }
}

/// Operations beyond those that follow from the definitions.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let mut routes = application::routes(engine);
    routes.extend(transaction::routes());
    routes
}
