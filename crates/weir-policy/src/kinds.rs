//! The registry of policy kinds.

use crate::{PolicyRequest, PolicyResult};
use async_trait::async_trait;
use std::{any::Any, collections::BTreeMap, sync::Arc};
use uuid::Uuid;
use weir_core::Resource;
use weir_events::Event;
use weir_resource::{Site, Snapshot};
use weir_store::Tx;

/// What a running policy may use.
pub struct PolicyCx<'a> {
    /// The site.
    pub site: &'a Site,
    /// The configuration of the request.
    pub snapshot: &'a Arc<Snapshot>,
    /// The transaction of the request; policies read through it.
    pub tx: &'a mut Tx,
    /// All kinds, for policies that call others.
    pub kinds: &'a PolicyKinds,
    /// Events to write when the request ends well.
    pub events: &'a mut Vec<Event>,
    /// How many policies are inside each other; bounded.
    pub depth: u8,
}

/// Behaviour of one kind of policy.
#[async_trait]
pub trait PolicyKind: Send + Sync + 'static {
    /// Its definition.
    type Config: Resource;

    /// Answers the question. An error is a failure: the binding's `failure_result` with the error's text.
    ///
    /// # Errors
    /// Whatever keeps the policy from answering.
    async fn passes(
        &self,
        cx: &mut PolicyCx<'_>,
        id: Uuid,
        config: &Self::Config,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult>;
}

/// A kind without its types.
#[async_trait]
pub trait ErasedKind: Send + Sync {
    /// See [`PolicyKind::passes`].
    ///
    /// # Errors
    /// As there.
    async fn passes(
        &self,
        cx: &mut PolicyCx<'_>,
        id: Uuid,
        config: &Arc<dyn Any + Send + Sync>,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult>;
}

struct Adapter<K>(K);

#[async_trait]
impl<K: PolicyKind> ErasedKind for Adapter<K> {
    async fn passes(
        &self,
        cx: &mut PolicyCx<'_>,
        id: Uuid,
        config: &Arc<dyn Any + Send + Sync>,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult> {
        let config =
            config.downcast_ref::<K::Config>().ok_or_else(|| anyhow::anyhow!("policy {id} is of another kind"))?;
        self.0.passes(cx, id, config, request).await
    }
}

/// Kinds by model.
#[derive(Clone, Default)]
pub struct PolicyKinds(BTreeMap<&'static str, Arc<dyn ErasedKind>>);

impl PolicyKinds {
    /// Adds a kind.
    #[must_use]
    pub fn with<K: PolicyKind>(mut self, kind: K) -> Self {
        self.0.insert(K::Config::MODEL, Arc::new(Adapter(kind)));
        self
    }

    /// The kind of a model.
    pub fn find(&self, model: &str) -> Option<Arc<dyn ErasedKind>> {
        self.0.get(model).cloned()
    }
}
