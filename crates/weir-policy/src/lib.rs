//! Policies: bindings, the engine that combines their results, the kinds, and the expression environment. Knows no HTTP
//! server and no flow.
//!
//! Start at [`engine::Engine`]. Results are not kept from request to request: asking is cheap, and a kept result could
//! outlive a change of what it came from.

mod binding_hooks;
pub mod definitions;
pub mod dry_run;
pub mod dummy;
pub mod engine;
pub mod entitlements;
pub mod event_matcher;
pub mod expression;
pub mod expression_policy;
pub mod geoip;
pub mod kinds;
pub mod outbound;
pub mod password;
pub mod password_expiry;
pub mod reputation;
pub mod request;
pub mod testing;
#[cfg(test)]
mod tests;
pub mod unique_password;
pub mod webhook_mapping;

pub use binding_hooks::BindingHooks;
pub use definitions::PolicyBinding;
pub use dummy::DummyPolicy;
pub use engine::{Engine, EngineResult, Mode};
pub use event_matcher::EventMatcherPolicy;
pub use expression_policy::ExpressionPolicy;
pub use geoip::GeoIPPolicy;
pub use kinds::{PolicyCx, PolicyKind, PolicyKinds};
pub use password::PasswordPolicy;
pub use password_expiry::PasswordExpiryPolicy;
pub use reputation::ReputationPolicy;
pub use request::{DryRun, PolicyEffect, PolicyFailure, PolicyRequest, PolicyResult, RequestInfo};
pub use testing::{PolicyTest, TestRun, carry_out, test_policy};
pub use unique_password::UniquePasswordPolicy;
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
        ResourceType::of::<EventMatcherPolicy>(),
        ResourceType::of::<GeoIPPolicy>(),
        ResourceType::of::<PasswordExpiryPolicy>(),
        ResourceType::of::<PasswordPolicy>(),
        ResourceType::of::<ReputationPolicy>(),
        ResourceType::of::<UniquePasswordPolicy>(),
        ResourceType::of::<NotificationWebhookMapping>(),
    ]
}

/// Their special behaviour. Without expressions the sources of expression policies are saved unseen, which is for tests
/// that have no worker.
pub fn hooks(set: &mut HookSet, expressions: Option<Arc<Expressions>>) {
    set.add(PolicyBinding::MODEL, Arc::new(BindingHooks));
    set.add(EventMatcherPolicy::MODEL, Arc::new(event_matcher::QueryHooks));
    set.add(GeoIPPolicy::MODEL, Arc::new(geoip::GeoIPHooks));
    set.add(ReputationPolicy::MODEL, Arc::new(reputation::ReputationHooks));
    if let Some(expressions) = expressions {
        let hooks = Arc::new(expression_policy::ExpressionHooks(expressions));
        set.add(ExpressionPolicy::MODEL, hooks.clone());
        set.add(NotificationWebhookMapping::MODEL, hooks);
    }
}

/// The service that knows stolen passwords, unless the administrator names another.
pub const HIBP_URL: &str = "https://api.pwnedpasswords.com";

/// The behaviour of all kinds. Those that hash or ask other servers do it as the expressions do.
pub fn kinds(expressions: Arc<Expressions>, hibp_url: &str) -> PolicyKinds {
    let passwords = password::Passwords { outbound: expressions.outbound(), hibp_url: hibp_url.to_owned() };
    PolicyKinds::default()
        .with(dummy::Dummy)
        .with(event_matcher::Matcher)
        .with(geoip::Places)
        .with(password_expiry::PasswordAge)
        .with(passwords)
        .with(reputation::Scores)
        .with(unique_password::FormerPasswords(expressions.hashes()))
        .with(expression_policy::Expressed(expressions))
}
