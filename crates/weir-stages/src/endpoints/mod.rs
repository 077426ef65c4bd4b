//! Devices people work on: the agent on them, or Google for a managed browser, proves which device a browser runs on.
//! Connectors, devices, their groups,
//! the tokens that enrol them, the operations of the agent, and the stage that asks it.

mod agent;
mod challenge;
mod chrome;
mod config;
mod connector;
mod device;
mod facts;
mod pages;
mod proof;
mod routes;
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
pub use pages::pages;
pub use routes::routes;
pub use stage::Endpoints;
pub use token::EnrollmentToken;

use std::sync::Arc;
use weir_core::{Resource, ResourceType};
use weir_resource::HookSet;

/// The definitions beside the stage's.
pub fn resources() -> Vec<ResourceType> {
    vec![
        ResourceType::of::<AgentConnector>(),
        ResourceType::of::<DeviceAccessGroup>(),
        ResourceType::of::<EndpointDevice>(),
        ResourceType::of::<EnrollmentToken>(),
        ResourceType::of::<GoogleChromeConnector>(),
    ]
}

/// Special behaviour of all.
pub fn hooks(set: &mut HookSet) {
    set.add(EndpointStage::MODEL, Arc::new(config::EndpointStageHooks));
    set.add(DeviceAccessGroup::MODEL, Arc::new(device::GroupHooks));
    set.add(EndpointDevice::MODEL, Arc::new(device::DeviceHooks));
    set.add(EnrollmentToken::MODEL, Arc::new(token::EnrollmentTokenHooks));
    set.add(GoogleChromeConnector::MODEL, Arc::new(chrome::ChromeHooks));
}
