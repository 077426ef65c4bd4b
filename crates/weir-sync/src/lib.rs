//! Outgoing sync: other systems keep copies of users and groups, and this crate keeps the copies as they are here. SCIM,
//! Google Workspace and Microsoft Entra are three kinds of targets of one engine.
//!
//! A change of an object makes a row of the outbox pending ([`state`]) in the same transaction ([`hooks`]). Tasks
//! ([`tasks`]) deliver what is pending ([`engine`]): they look at the object as it is, make the calls of the kind
//! ([`target`]), and settle the row. No call is made inside a transaction.
//!
//! A kind of target is a folder with a [`target::Kind`], and a line in each list below.

pub mod connection;
pub mod engine;
pub mod entra;
pub mod google;
pub mod hooks;
pub mod journal;
pub mod mapping;
pub mod port;
pub mod provider;
pub mod reach;
pub mod routes;
pub mod scim;
pub mod state;
pub mod target;
pub mod tasks;
#[cfg(test)]
mod tests;
mod tokens;
pub mod wire;

pub use engine::{Engine, Manner, Services, TargetState};
pub use provider::Kinds;
pub use routes::routes;

use connection::ConnectionHooks;
use hooks::{Changes, GroupChanges, UserChanges};
use reach::{ApplicationReach, BindingReach, GroupReach, MappingReach, PolicyReach};
use state::Model;
use std::sync::Arc;
use tasks::ProviderHooks;
use weir_applications::Application;
use weir_core::{Family, Resource, ResourceType};
use weir_identity::{Group, User};
use weir_policy::{PolicyBinding, expression::Expressions, expression_policy::ExpressionHooks};
use weir_resource::HookSet;

/// The definitions of this crate.
pub fn resources() -> Vec<ResourceType> {
    vec![
        ResourceType::of::<scim::SCIMProvider>(),
        ResourceType::of::<google::GoogleWorkspaceProvider>(),
        ResourceType::of::<entra::MicrosoftEntraProvider>(),
        ResourceType::of::<connection::SCIMProviderUser>(),
        ResourceType::of::<connection::SCIMProviderGroup>(),
        ResourceType::of::<connection::GoogleWorkspaceProviderUser>(),
        ResourceType::of::<connection::GoogleWorkspaceProviderGroup>(),
        ResourceType::of::<connection::MicrosoftEntraProviderUser>(),
        ResourceType::of::<connection::MicrosoftEntraProviderGroup>(),
        ResourceType::of::<mapping::SCIMMapping>(),
        ResourceType::of::<mapping::GoogleWorkspaceProviderMapping>(),
        ResourceType::of::<mapping::MicrosoftEntraProviderMapping>(),
    ]
}

/// The kinds of targets.
pub fn kinds() -> Kinds {
    Kinds(vec![
        Arc::new(scim::ScimKind::default()),
        Arc::new(google::GoogleKind::default()),
        Arc::new(entra::EntraKind::default()),
    ])
}

/// Special behaviour: of these kinds, and of users and groups, whose changes are told. Without expressions mappings are
/// saved unseen, which is for tests that have no worker.
pub fn hooks(set: &mut HookSet, kinds: &Kinds, expressions: Option<&Arc<Expressions>>) {
    let changes = Arc::new(Changes { kinds: kinds.clone() });
    set.add(User::MODEL, Arc::new(UserChanges(Arc::clone(&changes))));
    set.add(Group::MODEL, Arc::new(GroupChanges(Arc::clone(&changes))));
    set.add(Group::MODEL, Arc::new(GroupReach(kinds.clone())));
    set.add(Application::MODEL, Arc::new(ApplicationReach(kinds.clone())));
    set.add(PolicyBinding::MODEL, Arc::new(BindingReach(kinds.clone())));
    for policy in weir_policy::resources().into_iter().filter(|kind| kind.family == Some(Family::Policy)) {
        set.add(policy.model, Arc::new(PolicyReach(kinds.clone())));
    }
    for kind in &kinds.0 {
        set.add(kind.model(), Arc::new(weir_applications::provider::ProviderHooks));
        set.add(kind.model(), Arc::new(ProviderHooks { kinds: kinds.clone() }));
    }
    set.add(scim::SCIMProvider::MODEL, Arc::new(scim::TokenHooks));
    let mut connected = |model, provider, of| {
        set.add(model, Arc::new(ConnectionHooks { model: of, provider, changes: Arc::clone(&changes) }));
    };
    connected(connection::SCIMProviderUser::MODEL, scim::SCIMProvider::MODEL, Model::User);
    connected(connection::SCIMProviderGroup::MODEL, scim::SCIMProvider::MODEL, Model::Group);
    connected(connection::GoogleWorkspaceProviderUser::MODEL, google::GoogleWorkspaceProvider::MODEL, Model::User);
    connected(connection::GoogleWorkspaceProviderGroup::MODEL, google::GoogleWorkspaceProvider::MODEL, Model::Group);
    connected(connection::MicrosoftEntraProviderUser::MODEL, entra::MicrosoftEntraProvider::MODEL, Model::User);
    connected(connection::MicrosoftEntraProviderGroup::MODEL, entra::MicrosoftEntraProvider::MODEL, Model::Group);
    for model in [
        mapping::SCIMMapping::MODEL,
        mapping::GoogleWorkspaceProviderMapping::MODEL,
        mapping::MicrosoftEntraProviderMapping::MODEL,
    ] {
        set.add(model, Arc::new(MappingReach(kinds.clone())));
        if let Some(expressions) = expressions {
            set.add(model, Arc::new(ExpressionHooks(Arc::clone(expressions))));
        }
    }
}
