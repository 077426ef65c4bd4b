//! The sync as the flow engine sees it: one user to all targets, now.

use crate::{
    engine::{Engine, TargetState},
    provider,
    state::State,
};
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use weir_flow::sync::{Delivery, DeliveryState, SyncTargets};

/// How long somebody waits for the targets.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The targets of this site.
pub struct Targets(pub Arc<Engine>);

impl Targets {
    fn told(&self, state: TargetState) -> Delivery {
        let snapshot = self.0.site.snapshot();
        let kind = provider::find(&snapshot, state.provider).map(|object| object.kind.model.to_owned());
        let far = match State::of(&state.state) {
            Some(State::InSync) => DeliveryState::Delivered,
            Some(State::Pending) => DeliveryState::Pending,
            Some(State::Failed | State::Skipped) => DeliveryState::Failed,
            // The target does not know the user.
            None => DeliveryState::Delivered,
        };
        Delivery {
            target: state.provider.to_string(),
            name: state.name,
            kind: kind.unwrap_or_default(),
            state: far,
            reason: Some(state.reason).filter(|reason| !reason.is_empty()),
        }
    }
}

#[async_trait]
impl SyncTargets for Targets {
    async fn deliver(&self, user: i64) -> Vec<Delivery> {
        match self.0.direct_sync_user(user, PATIENCE).await {
            Ok(states) => states.into_iter().map(|state| self.told(state)).collect(),
            Err(error) => {
                tracing::error!(?error, user, "the targets of the sync could not be told of a user at once");
                let snapshot = self.0.site.snapshot();
                let unknown = |target: provider::Assigned| Delivery {
                    target: target.number.to_string(),
                    name: target.object.name(),
                    kind: target.object.kind.model.to_owned(),
                    state: DeliveryState::Pending,
                    reason: Some("The state of the delivery could not be read.".to_owned()),
                };
                provider::all(&snapshot, &self.0.kinds).into_iter().map(unknown).collect()
            }
        }
    }
}
