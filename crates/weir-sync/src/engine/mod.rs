//! The engine: one for all kinds of targets. Start at [`Engine::deliver`]; a full sync only makes everything pending,
//! page by page, and delivers.

mod attempt;
mod deliver;
mod direct;
mod discovery;
mod full;
mod look;
mod scope;
mod settle;

pub use deliver::End;
pub use direct::{Manner, TargetState};
pub use full::FullEnd;

use crate::{
    journal::Journal,
    provider::{self, Assigned, Kinds},
    target::{Target, Terms},
    wire::{Failure, Wire},
};
use std::{sync::Arc, time::Duration};
use weir_policy::{PolicyKinds, expression::Expressions, outbound::Outbound};
use weir_resource::{Site, Stored};

/// Time for one call to a target.
const PATIENCE: Duration = Duration::from_secs(20);
/// Objects of one target that are on their way at a time.
const WIDTH: usize = 8;

/// Addresses of services that are the same for everybody, without a slash at the end; none where the provider's own is
/// used.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// Google's interfaces.
    pub google_url: Option<String>,
    /// Microsoft's interfaces.
    pub microsoft_url: Option<String>,
}

/// What the sync needs from the process.
pub struct Engine {
    /// Database, configuration, clock, randomness.
    pub site: Arc<Site>,
    /// Kinds of policies.
    pub policies: PolicyKinds,
    /// Evaluates mappings.
    pub expressions: Arc<Expressions>,
    /// Calls to other servers; the only way out.
    pub outbound: Arc<Outbound>,
    /// All kinds of providers.
    pub kinds: Kinds,
    /// Addresses of services.
    pub services: Services,
}

/// One provider with an open target.
pub(crate) struct Run<'a> {
    engine: &'a Engine,
    assigned: &'a Assigned,
    terms: Terms,
    target: Box<dyn Target + 'a>,
    wire: Wire<'a>,
}

impl Engine {
    /// Opens a provider's target.
    pub(crate) async fn open<'a>(
        &'a self,
        assigned: &'a Assigned,
        journal: &'a Journal,
        override_dry_run: bool,
    ) -> Result<Run<'a>, Failure> {
        let stored = Stored::of(&assigned.object);
        let terms = assigned.kind.terms(&stored)?;
        let wire = Wire {
            outbound: &self.outbound,
            verify: terms.verify,
            dry_run: terms.common.dry_run && !override_dry_run,
            journal,
            patience: PATIENCE,
        };
        let target = assigned.kind.open(self, assigned.number, &stored, &wire).await?;
        Ok(Run { engine: self, assigned, terms, target, wire })
    }
}

impl Run<'_> {
    /// Whether the provider is as it was when its target was opened, for the same application.
    pub(crate) fn is_current(&self) -> bool {
        let (engine, opened) = (self.engine, self.assigned);
        let now = provider::assigned(&engine.site.snapshot(), &engine.kinds, opened.number);
        now.is_some_and(|now| now.application == opened.application && now.object.changed == opened.object.changed)
    }
}
