//! Policies: bindings, the engine that combines their results, the kinds, and the expression environment. Knows no HTTP
//! server and no flow.
//!
//! Start at [`engine::Engine`]. Results are not kept from request to request: asking is cheap, and a kept result could
//! outlive a change of what it came from.

mod binding_hooks;
pub mod definitions;
pub mod dummy;
pub mod engine;
pub mod expression;
pub mod expression_policy;
pub mod kinds;
pub mod outbound;
pub mod request;
pub mod testing;
#[cfg(test)]
mod tests;
pub mod webhook_mapping;

pub use definitions::PolicyBinding;
pub use dummy::DummyPolicy;
pub use engine::{Engine, EngineResult, Mode};
pub use expression_policy::ExpressionPolicy;
pub use kinds::{PolicyCx, PolicyKind, PolicyKinds};
pub use request::{PolicyFailure, PolicyRequest, PolicyResult, RequestInfo};
pub use testing::{PolicyTest, TestRun, test_policy};
pub use webhook_mapping::NotificationWebhookMapping;

use expression::Expressions;
use std::sync::Arc;
use weir_core::{Resource, ResourceType};
use weir_resource::HookSet;

/// The definitions of this crate.
pub fn resources() -> Vec<ResourceType> {
    vec![
        ResourceType::of::<PolicyBinding>(),
        ResourceType::of::<ExpressionPolicy>(),
        ResourceType::of::<DummyPolicy>(),
        ResourceType::of::<NotificationWebhookMapping>(),
    ]
}

/// Their special behaviour. Without expressions the sources of expression policies are saved unseen, which is for tests
/// that have no worker.
pub fn hooks(set: &mut HookSet, expressions: Option<Arc<Expressions>>) {
    set.add(PolicyBinding::MODEL, Arc::new(binding_hooks::BindingHooks));
    if let Some(expressions) = expressions {
        let hooks = Arc::new(expression_policy::ExpressionHooks(expressions));
        set.add(ExpressionPolicy::MODEL, hooks.clone());
        set.add(NotificationWebhookMapping::MODEL, hooks);
    }
}

/// The behaviour of all kinds.
pub fn kinds(expressions: Arc<Expressions>) -> PolicyKinds {
    PolicyKinds::default().with(expression_policy::Expressed(expressions)).with(dummy::Dummy)
}
