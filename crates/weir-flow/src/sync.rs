//! Other systems that keep copies of our users, as far as the engine cares: it can have one user brought to all of them
//! at once and be told how that went. What targets there are, and what is sent to them, is not its business.

use async_trait::async_trait;
use serde::Serialize;

/// How far one user got at one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// The target has the present state.
    Delivered,
    /// Not yet; it is tried again in the background.
    Pending,
    /// The target refused, and asking again will not help.
    Failed,
}

/// The outcome at one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Key of the target.
    pub target: String,
    /// Its name, for people.
    pub name: String,
    /// Model of its kind, as in `authentik_providers_scim.scimprovider`.
    pub kind: String,
    /// How far the user got.
    pub state: DeliveryState,
    /// Why no further; without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The targets. To be called outside transactions, after the user's change was committed.
#[async_trait]
pub trait SyncTargets: Send + Sync {
    /// Sends a user to every target at once and waits no longer than the targets' own limits allow. What could not be
    /// sent stays in their queues; a target that does not answer delays no other.
    async fn deliver(&self, user: i64) -> Vec<Delivery>;
}

/// No targets.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTargets;

#[async_trait]
impl SyncTargets for NoTargets {
    async fn deliver(&self, _user: i64) -> Vec<Delivery> {
        Vec::new()
    }
}
