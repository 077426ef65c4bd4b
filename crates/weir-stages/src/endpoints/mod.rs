//! Devices people work on: the agent on them, or Google for a managed browser, proves which device a browser runs on.
//! Connectors, devices, their groups, who may use them, the tokens that enrol them, the operations of the agent, and
//! the stage that asks it.

mod agent;
mod challenge;
mod chrome;
mod config;
mod connector;
mod device;
mod device_binding;
mod enclave;
mod facts;
pub mod fleet;
mod mdm;
mod pages;
mod proof;
mod routes;
mod sign_in;
mod stage;
#[cfg(test)]
mod tests;
mod token;

pub use challenge::{EndpointAgentChallenge, EndpointAgentResponse};
pub(crate) use chrome::seen as browser_seen;
pub use chrome::{ChromeStep, ChromeWait, GoogleChromeConnector};
pub use config::EndpointStage;
pub use connector::AgentConnector;
pub use device::{DeviceAccessGroup, EndpointDevice};
pub use device_binding::DeviceUserBinding;
pub use enclave::AppleIndependentSecureEnclave;
pub use fleet::FleetConnector;
pub use pages::pages;
pub use routes::routes;
pub use sign_in::AgentStep;
pub use stage::Endpoints;
pub use token::EnrollmentToken;

use std::sync::Arc;
use weir_core::{Resource, ResourceType};
use weir_resource::HookSet;

/// The definitions beside the stage's.
pub fn resources() -> Vec<ResourceType> {
    vec![
        ResourceType::of::<AgentConnector>(),
        ResourceType::of::<AppleIndependentSecureEnclave>(),
        ResourceType::of::<DeviceAccessGroup>(),
        ResourceType::of::<DeviceUserBinding>(),
        ResourceType::of::<EndpointDevice>(),
        ResourceType::of::<EnrollmentToken>(),
        ResourceType::of::<FleetConnector>(),
        ResourceType::of::<GoogleChromeConnector>(),
    ]
}

/// Special behaviour of all.
pub fn hooks(set: &mut HookSet) {
    set.add(EndpointStage::MODEL, Arc::new(config::EndpointStageHooks));
    set.add(AppleIndependentSecureEnclave::MODEL, Arc::new(enclave::EnclaveHooks));
    set.add(DeviceAccessGroup::MODEL, Arc::new(device::GroupHooks));
    set.add(DeviceUserBinding::MODEL, Arc::new(weir_policy::BindingHooks));
    set.add(DeviceUserBinding::MODEL, Arc::new(device_binding::DeviceBindingHooks));
    set.add(EndpointDevice::MODEL, Arc::new(device::DeviceHooks));
    set.add(EnrollmentToken::MODEL, Arc::new(token::EnrollmentTokenHooks));
    set.add(FleetConnector::MODEL, Arc::new(fleet::FleetHooks));
    set.add(GoogleChromeConnector::MODEL, Arc::new(chrome::ChromeHooks));
}
