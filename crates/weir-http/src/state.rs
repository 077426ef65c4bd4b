//! What every handler may use, and the small interfaces behind which other parts of Weir stand.

use crate::{Api, Call, HttpConfig, Reply, Route, flow::Turns, health::Metrics, openapi::Document, routes};
use anyhow::Result;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_crypto::{SigningKey, pool::HashPool};
use weir_identity::Account;
use weir_policy::RequestInfo;
use weir_resource::{Site, Stored, Unit};

/// Links into flows, made for another user or for the caller; they need the planner.
#[async_trait]
pub trait FlowLinks: Send + Sync {
    /// The absolute recovery link for a user, with its token written in this unit.
    ///
    /// # Errors
    /// 400 under `non_field_errors` when there is no flow or it does not apply.
    async fn recovery(
        &self,
        unit: &mut Unit<'_>,
        request: &RequestInfo,
        user: &Account,
        expires: DateTime<Utc>,
    ) -> Result<String, ApiError>;

    /// Sends a recovery link that works for this long through an e-mail stage.
    ///
    /// # Errors
    /// 400 when the stage is unknown or nothing can be sent.
    async fn recovery_email(
        &self,
        unit: &mut Unit<'_>,
        request: &RequestInfo,
        user: &Account,
        stage: Uuid,
        life: TimeDelta,
    ) -> Result<(), ApiError>;

    /// Plans the lockdown of an account into the caller's session: the path of the flow's page.
    ///
    /// # Errors
    /// 400 under `non_field_errors` when there is no flow or it does not apply.
    async fn lockdown(&self, call: &Call, user: &Account) -> Result<Reply, ApiError>;

    /// Changes to another account this browser is signed in to, or adds one (`action` `switch` or `add`).
    ///
    /// # Errors
    /// 404 for an account without a live session here.
    async fn switch(&self, call: &Call, add: bool, user: Option<i64>) -> Result<Reply, ApiError>;
}

/// Runs one policy to try it; also what is kept of results.
#[async_trait]
pub trait PolicyTests: Send + Sync {
    /// `{passing, messages, log_messages}` for this user and context, without events.
    ///
    /// # Errors
    /// Those of the store; a failing policy is a result.
    async fn test(&self, call: &Call, policy: &Stored, user: &Account, context: Map) -> Result<Value, ApiError>;
    /// Number of kept results.
    fn cached(&self) -> usize;
    /// Forgets all kept results.
    fn clear(&self);
}

/// Blueprints beyond their seven operations.
#[async_trait]
pub trait Blueprints: Send + Sync {
    /// The contract's `BlueprintFile` for each file found.
    ///
    /// # Errors
    /// When the folder cannot be read.
    async fn available(&self) -> Result<Vec<Value>, ApiError>;
    /// Has an instance applied in the background.
    ///
    /// # Errors
    /// Those of the store.
    async fn apply(&self, call: &Call, unit: &mut Unit<'_>, instance: &Stored) -> Result<(), ApiError>;
    /// Applies a text or a file once: the contract's `BlueprintImportResult`.
    ///
    /// # Errors
    /// 400 when neither is given; a blueprint that fails is a result.
    async fn import(&self, call: &Call, source: ImportSource, context: Map) -> Result<Value, ApiError>;
}

/// What to import.
#[derive(Clone, Debug)]
pub enum ImportSource {
    /// A blueprint's text.
    Text(String),
    /// Path below the folder of blueprints.
    Path(String),
}

/// For builds and tests without the parts above: everything is answered with 501.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotWired;

#[async_trait]
impl FlowLinks for NotWired {
    async fn recovery(
        &self,
        _: &mut Unit<'_>,
        _: &RequestInfo,
        _: &Account,
        _: DateTime<Utc>,
    ) -> Result<String, ApiError> {
        Err(ApiError::NotServed)
    }
    async fn recovery_email(
        &self,
        _: &mut Unit<'_>,
        _: &RequestInfo,
        _: &Account,
        _: Uuid,
        _: TimeDelta,
    ) -> Result<(), ApiError> {
        Err(ApiError::NotServed)
    }
    async fn lockdown(&self, call: &Call, _: &Account) -> Result<Reply, ApiError> {
        let (_, brand) = weir_identity::brand_for_host(&call.snapshot, &call.request.host);
        // Without an engine only what needs none is told.
        match &brand.flow_lockdown {
            None => Err(ApiError::general("No lockdown flow configured.")),
            Some(_) => Err(ApiError::NotServed),
        }
    }
    async fn switch(&self, _: &Call, _: bool, _: Option<i64>) -> Result<Reply, ApiError> {
        Err(ApiError::NotServed)
    }
}

#[async_trait]
impl PolicyTests for NotWired {
    async fn test(&self, _: &Call, _: &Stored, _: &Account, _: Map) -> Result<Value, ApiError> {
        Err(ApiError::NotServed)
    }
    fn cached(&self) -> usize {
        0
    }
    fn clear(&self) {}
}

#[async_trait]
impl Blueprints for NotWired {
    async fn available(&self) -> Result<Vec<Value>, ApiError> {
        Err(ApiError::NotServed)
    }
    async fn apply(&self, _: &Call, _: &mut Unit<'_>, _: &Stored) -> Result<(), ApiError> {
        Err(ApiError::NotServed)
    }
    async fn import(&self, _: &Call, _: ImportSource, _: Map) -> Result<Value, ApiError> {
        Err(ApiError::NotServed)
    }
}

/// Keys of what this server signs for browsers, each derived for its one use.
pub struct Keys {
    /// Of the session cookie.
    pub session: SigningKey,
    /// Of tokens against forged requests.
    pub csrf: SigningKey,
}

/// The parts an [`AppState`] is made of.
pub struct AppParts {
    /// Database, registry, configuration, clock, randomness.
    pub site: Arc<Site>,
    /// Limits and trust.
    pub config: HttpConfig,
    /// Password hashing.
    pub hashes: Arc<HashPool>,
    /// Links into flows.
    pub links: Arc<dyn FlowLinks>,
    /// Policies on trial.
    pub policies: Arc<dyn PolicyTests>,
    /// Blueprints.
    pub blueprints: Arc<dyn Blueprints>,
    /// Numbers for `/-/metrics/`.
    pub metrics: Metrics,
    /// Operations beside those of this crate, e.g. the flow executor.
    pub routes: Vec<Route>,
}

/// Shared state of the HTTP side; one per process, behind an `Arc`.
pub struct AppState {
    /// Database, registry, configuration, clock, randomness.
    pub site: Arc<Site>,
    /// Limits and trust.
    pub config: HttpConfig,
    /// Password hashing.
    pub hashes: Arc<HashPool>,
    /// Links into flows.
    pub links: Arc<dyn FlowLinks>,
    /// Policies on trial.
    pub policies: Arc<dyn PolicyTests>,
    /// Blueprints.
    pub blueprints: Arc<dyn Blueprints>,
    /// Numbers for `/-/metrics/`.
    pub metrics: Metrics,
    /// Signing keys.
    pub keys: Keys,
    /// All operations.
    pub api: Api,
    /// The OpenAPI document.
    pub document: Document,
    /// When the process started.
    pub started: DateTime<Utc>,
    /// Requests that race for one browser session.
    pub turns: Turns,
}

impl AppState {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When an operation is unknown to the contract, served twice, or lacks a permission rule it needs.
    pub fn new(parts: AppParts) -> Result<Arc<Self>> {
        let secret = &parts.site.installation.secret;
        let keys = Keys {
            session: SigningKey::derive(secret, "session cookie"),
            csrf: SigningKey::derive(secret, "csrf token"),
        };
        let mut all = routes::all(&parts.site.registry)?;
        let replaced: Vec<&str> = parts.routes.iter().filter(|route| route.replaces).map(|route| route.id).collect();
        all.retain(|route| !replaced.contains(&route.id));
        all.extend(parts.routes);
        Ok(Arc::new(Self {
            api: Api::new(all)?,
            document: Document::default(),
            started: parts.site.clock.now(),
            keys,
            site: parts.site,
            config: parts.config,
            hashes: parts.hashes,
            links: parts.links,
            policies: parts.policies,
            blueprints: parts.blueprints,
            metrics: parts.metrics,
            turns: Turns::default(),
        }))
    }
}
