//! What a server says it can do (RFC 7643 5), remembered for a while.

use super::{CompatibilityMode, target::Scim};
use crate::wire::{Failure, Wire};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Operations of one request when the server names no limit.
const OPERATIONS: usize = 100;

/// What a server can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Changes in part.
    pub patch: bool,
    /// Lists can be filtered.
    pub filter: bool,
    /// The most operations of one change; none when it does not say.
    pub operations: Option<usize>,
}

impl Abilities {
    /// Operations of one request.
    pub fn chunk(&self) -> usize {
        self.operations.unwrap_or(OPERATIONS).clamp(1, OPERATIONS)
    }

    fn read(body: &Value) -> Self {
        let supported = |name: &str| body.get(name).and_then(|part| part.get("supported")) == Some(&Value::Bool(true));
        let most = body.get("bulk").and_then(|bulk| bulk.get("maxOperations")).and_then(Value::as_u64);
        let most = most.and_then(|most| usize::try_from(most).ok()).filter(|most| *most > 0);
        Self { patch: supported("patch"), filter: supported("filter"), operations: most.filter(|_| supported("bulk")) }
    }

    fn adapt(mut self, mode: CompatibilityMode) -> Self {
        match mode {
            CompatibilityMode::Slack => self.filter = true,
            CompatibilityMode::Vcenter => self.patch = false,
            _ => {}
        }
        self
    }
}

/// What a server can do, and until when that is believed.
type Remembered = (DateTime<Utc>, Arc<Abilities>);

/// What is remembered of servers, by provider.
#[derive(Default)]
pub struct Known(Mutex<HashMap<i64, Remembered>>);

impl Known {
    /// What a server can do: remembered, or asked for. A server that cannot say can do nothing special.
    pub(super) async fn get(
        &self,
        number: i64,
        now: DateTime<Utc>,
        life: TimeDelta,
        scim: &Scim,
        wire: &Wire<'_>,
    ) -> Result<Arc<Abilities>, Failure> {
        if scim.mode == CompatibilityMode::Vcenter {
            return Ok(Arc::new(Abilities::default().adapt(scim.mode)));
        }
        if let Some((until, known)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&number)
            && *until > now
        {
            return Ok(Arc::clone(known));
        }
        let path =
            if scim.mode == CompatibilityMode::Sfdc { "ServiceProviderConfigs" } else { "ServiceProviderConfig" };
        let abilities = match scim.get(wire, path).await {
            Ok(answer) => Abilities::read(&answer.body),
            // Asked again soon: nothing can be said of a server that is away.
            Err(failure @ Failure::Away { .. }) => return Err(failure),
            // What it can do has nothing to do with our token: whoever has a better one asks again.
            Err(Failure::Unknown { reason, .. }) => {
                let text = "The target does not say what it can do; nothing is assumed.";
                wire.journal.warn(text, json!({"reason": reason}));
                return Ok(Arc::new(Abilities::default().adapt(scim.mode)));
            }
            Err(failure) => {
                let fields = json!({"reason": failure.reason()});
                wire.journal.warn("The target does not say what it can do; nothing is assumed.", fields);
                Abilities::default()
            }
        };
        let abilities = Arc::new(abilities.adapt(scim.mode));
        if life > TimeDelta::zero() {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(number, (now + life, Arc::clone(&abilities)));
        }
        Ok(abilities)
    }

    /// Forgets one server.
    pub fn forget(&self, number: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abilities_are_what_the_server_says_and_what_is_known_of_its_kind() {
        let body = json!({
            "patch": {"supported": true}, "filter": {"supported": false, "maxResults": 5},
            "bulk": {"supported": true, "maxOperations": 20, "maxPayloadSize": 1},
        });
        let said = Abilities::read(&body);
        assert_eq!(said, Abilities { patch: true, filter: false, operations: Some(20) });
        assert!(said.clone().adapt(CompatibilityMode::Slack).filter);
        assert!(!said.clone().adapt(CompatibilityMode::Vcenter).patch);
        assert_eq!(said.adapt(CompatibilityMode::Aws).chunk(), 20);
        let bulk_is_off = json!({"bulk": {"supported": false, "maxOperations": 3}});
        assert_eq!(Abilities::read(&bulk_is_off).chunk(), 100);
        assert_eq!(Abilities::read(&json!("nonsense")), Abilities::default());
    }
}
