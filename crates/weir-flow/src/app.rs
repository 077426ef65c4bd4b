//! What the engine needs from the process.

use crate::{planner::PlanCache, sources::SourceKinds, stage::StageKinds, sync::SyncTargets};
use chrono::TimeDelta;
use std::sync::Arc;
use weir_crypto::pool::HashPool;
use weir_mail::Mailer;
use weir_policy::{PolicyKinds, RequestInfo, expression::Expressions, outbound::Outbound};
use weir_resource::{Settings, Site};

/// Addresses of services that stages call, without a slash at the end; none where the provider's own is used.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// Twilio's interface.
    pub twilio_url: Option<String>,
    /// Duo's interface, whatever host a stage names.
    pub duo_url: Option<String>,
    /// Google's interfaces.
    pub google_url: Option<String>,
}

/// The engine's surroundings; one per process.
pub struct App {
    /// Database, configuration, clock, randomness.
    pub site: Arc<Site>,
    /// Kinds of policies.
    pub policies: PolicyKinds,
    /// Kinds of stages.
    pub stages: StageKinds,
    /// Kinds of sources that browsers sign in with.
    pub sources: SourceKinds,
    /// Password hashing off the async threads.
    pub hashes: Arc<HashPool>,
    /// Evaluates expressions of prompts and mappings.
    pub expressions: Arc<Expressions>,
    /// Templates of mails and the mail server.
    pub mail: Arc<Mailer>,
    /// Calls to other servers; the only way out.
    pub outbound: Arc<Outbound>,
    /// Where services are that stages call.
    pub services: Services,
    /// Other systems that keep copies of users.
    pub sync: Arc<dyn SyncTargets>,
    /// Plans without context.
    pub plans: Arc<PlanCache>,
    /// Life of a session nobody signed in to.
    pub anonymous_session_life: TimeDelta,
    /// What comes before every path of the site: empty, or `/` and a name.
    pub prefix: String,
}

impl App {
    /// Path of a flow's page.
    pub fn flow_page(&self, slug: &str, query: &str) -> String {
        format!("{}{}", self.prefix, crate::redirect::flow_page(slug, query))
    }

    /// Address of the site for mails: scheme, host and prefix, without a slash at the end.
    pub fn site_url(&self, settings: &Settings, request: &RequestInfo) -> String {
        let known = request.site_url(settings);
        // The address people know may hold the prefix already.
        format!("{}{}", known.strip_suffix(self.prefix.as_str()).unwrap_or(&known), self.prefix)
    }

    /// Address of a flow's page for mails.
    pub fn flow_link(&self, settings: &Settings, request: &RequestInfo, slug: &str, query: &str) -> String {
        format!("{}{}", self.site_url(settings, request), crate::redirect::flow_page(slug, query))
    }
}
