//! Who people are and what they may do: users, groups, roles, permissions, tokens, sessions, second factors, brands,
//! reputation.
//! Knows no HTTP and no flow; whatever lets somebody act as a user is minted here, in a transaction that reads the
//! user's row.
//!
//! Start at [`Account`] and [`Grants`]; the resource definitions are [`User`], [`Group`], [`Role`], [`Token`],
//! [`AuthenticatedSession`], [`Brand`] and [`InitialPermissions`].

pub mod accounts;
pub mod artefacts;
pub mod attributes;
pub mod avatar;
pub mod bootstrap;
pub mod brand;
pub mod device;
pub mod group;
pub mod initial;
pub mod membership;
pub mod permission;
mod reader;
pub mod reputation;
pub mod role;
pub mod session;
#[cfg(test)]
mod tests;
pub mod token;
pub mod user;

pub use accounts::{Account, UserField};
pub use bootstrap::{BootstrapOptions, BootstrapOutcome, bootstrap};
pub use brand::{AnyApplication, AnyCertificate, AnyFlow, Brand, brand_for_host, current_brand};
pub use group::Group;
pub use initial::InitialPermissions;
pub use permission::Grants;
pub use reader::Reader;
pub use reputation::ReputationScore;
pub use role::Role;
pub use session::{AuthenticatedSession, SessionRow};
pub use token::{FlowToken, Intent, NewFlowToken, NewToken, Token, TokenRow};
pub use user::User;

use sha2::{Digest, Sha256};
use std::sync::Arc;
use weir_core::{ApiError, Resource, ResourceType};
use weir_resource::{HookSet, Site};

/// The kinds of this crate.
pub fn resources() -> Vec<ResourceType> {
    let mut all = vec![
        ResourceType::of::<User>(),
        ResourceType::of::<Group>(),
        ResourceType::of::<Role>(),
        ResourceType::of::<InitialPermissions>(),
        ResourceType::of::<Token>(),
        ResourceType::of::<AuthenticatedSession>(),
        ResourceType::of::<Brand>(),
        ResourceType::of::<ReputationScore>(),
    ];
    all.extend(device::resources());
    all
}

/// Their special behaviour.
pub fn hooks(set: &mut HookSet) {
    set.add(User::MODEL, Arc::new(user::UserHooks));
    set.add(Group::MODEL, Arc::new(group::GroupHooks));
    set.add(Role::MODEL, Arc::new(role::RoleHooks));
    set.add(InitialPermissions::MODEL, Arc::new(initial::InitialPermissionsHooks));
    set.add(Token::MODEL, Arc::new(token::TokenHooks));
    set.add(AuthenticatedSession::MODEL, Arc::new(session::SessionHooks));
    set.add(Brand::MODEL, Arc::new(brand::BrandHooks));
    set.add(reputation::ReputationScore::MODEL, Arc::new(reputation::ScoreHooks));
    device::hooks(set);
}

/// SHA-256 in hexadecimal: how keys of tokens and sessions are stored.
pub fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The resource type of a definition.
///
/// # Errors
/// When the registry lacks it, which is a defect of the wiring.
pub fn kind<T: Resource>(site: &Site) -> Result<&'static ResourceType, ApiError> {
    site.registry.find(T::MODEL).ok_or_else(|| ApiError::Internal(anyhow::anyhow!("{} is not registered", T::MODEL)))
}
