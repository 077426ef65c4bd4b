//! Everything but HTTP: the site with all kinds registered, the flow engine, blueprints.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use chrono::TimeDelta;
use weir_blueprints::{accounts::IdentityAccounts, discover::Library, instances::BlueprintInstance};
use weir_core::{Clock, Random, Registry, Resource as _, ResourceType, SystemClock, SystemRandom};
use weir_crypto::{HashCost, HashPool};
use weir_expression::{Limits, Pool, PoolSettings, WorkerCommand};
use weir_flow::{App, app::Services, planner::PlanCache};
use weir_mail::Mailer;
use weir_policy::{
    expression::{Expressions, KeptDevices},
    outbound::{Outbound, OutboundSettings},
};
use weir_resource::{HookSet, Site, SiteParts};
use weir_store::Db;

use super::{Blueprints, pictures::Heads};
use crate::config::Config;

/// What a server takes from its surroundings; tests put their own in place.
pub struct Options {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Cost of new password hashes.
    pub hash_cost: HashCost,
    /// How a worker for expressions is started.
    pub expression_worker: WorkerCommand,
    /// Whether other servers are asked for pictures of users.
    pub asks_for_pictures: bool,
}

impl Options {
    /// The machine's clock and randomness, full cost, and this very program as worker.
    ///
    /// # Errors
    /// When the system does not tell which program this is.
    pub fn production() -> Result<Self> {
        let program = std::env::current_exe().context("finding this program's own file")?;
        Ok(Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            hash_cost: HashCost::PRODUCTION,
            expression_worker: WorkerCommand { program, args: vec![crate::cli::EXPRESSION_WORKER.into()] },
            asks_for_pictures: true,
        })
    }
}

/// The parts of a server that know no HTTP.
pub struct Core {
    /// Database, registry, configuration, clock, randomness.
    pub site: Arc<Site>,
    /// The flow engine.
    pub engine: Arc<App>,
    /// Password hashing.
    pub hashes: Arc<HashPool>,
    /// Blueprints.
    pub blueprints: Arc<Blueprints>,
    /// Sources.
    pub sources: weir_sources::Shared,
    /// Outgoing sync.
    pub sync: Arc<weir_sync::Engine>,
}

impl Core {
    /// Puts the parts together on a migrated database.
    ///
    /// # Errors
    /// When the configuration in the database cannot be read.
    pub async fn open(config: &Config, options: Options, db: Db) -> Result<Arc<Self>> {
        let hashing = &config.hashing;
        let wait = Duration::from_secs(hashing.max_wait_secs);
        let hashes = HashPool::with_cost(hashing.thread_count(), hashing.queue, wait, options.hash_cost)
            .context("starting threads for passwords")?;
        let hashes = Arc::new(hashes);
        let plans = Arc::new(PlanCache::new(seconds(config.cache.timeout_flows)));
        let library = Library::new(config.blueprints_dir.clone());
        let accounts = Arc::new(IdentityAccounts { hashes: Arc::clone(&hashes) });
        let blueprints = Arc::new(Blueprints::new(library, accounts, options.clock.now()));
        let outbound = OutboundSettings { allowed_cidrs: config.outbound.allowed_cidrs.clone() };
        let outbound = Arc::new(Outbound::new(outbound));
        let mail = Arc::new(Mailer::new(config.mail())?);
        let expressions = Expressions::new(pool(config, options.expression_worker))
            .with_mailer(Arc::clone(&mail))
            .with_outbound(Arc::clone(&outbound))
            .with_hashes(Arc::clone(&hashes))
            .with_authenticators(Arc::new(KeptDevices));
        let expressions = Arc::new(expressions);
        let mut hooks = HookSet::default();
        weir_identity::hooks(&mut hooks);
        weir_pki::hooks(&mut hooks);
        weir_policy::hooks(&mut hooks, Some(Arc::clone(&expressions)));
        let sources = weir_sources::Shared {
            oauth: Arc::default(),
            outbound: Arc::clone(&outbound),
            expressions: Some(Arc::clone(&expressions)),
        };
        weir_sources::hooks(&mut hooks, &sources);
        weir_applications::hooks(&mut hooks);
        weir_audit::hooks(&mut hooks, &mail);
        let targets = weir_sync::kinds();
        weir_sync::hooks(&mut hooks, &targets, Some(&expressions));
        weir_mail::hooks(&mut hooks, &mail);
        weir_stages::hooks(&mut hooks);
        weir_stages::source::hooks(&mut hooks, &weir_sources::kinds());
        weir_flow::resources::hooks(&mut hooks, Arc::clone(&plans));
        weir_http::hooks(&mut hooks);
        hooks.add(BlueprintInstance::MODEL, blueprints.hooks());
        let registry = registry();
        weir_identity::permission::hooks(&mut hooks, &registry);
        let prefix = config.http().prefix();
        let (clock, random) = (options.clock, options.random);
        let parts = SiteParts { db, registry, hooks, clock, random, prefix: prefix.clone() };
        let begun = std::time::Instant::now();
        let site = Site::open(parts).await.context("reading the configuration")?;
        locate(&site, config).await?;
        if options.asks_for_pictures {
            // The site is new: nobody was first.
            drop(site.pictures.set(Arc::new(Heads::new(Arc::clone(&outbound), Arc::clone(&site.clock)))));
        }
        metrics::histogram!("weir_snapshot_rebuild_seconds").record(begun.elapsed().as_secs_f64());
        let policies = weir_policy::kinds(Arc::clone(&expressions), hibp_url(config));
        let sync = Arc::new(weir_sync::Engine {
            site: Arc::clone(&site),
            policies: policies.clone(),
            expressions: Arc::clone(&expressions),
            outbound: Arc::clone(&outbound),
            kinds: targets,
            services: sync_services(config),
        });
        let engine = App {
            site: Arc::clone(&site),
            policies,
            stages: weir_sources::stages(weir_stages::kinds()),
            sources: weir_sources::kinds(),
            hashes: Arc::clone(&hashes),
            expressions,
            mail,
            outbound,
            services: services(config),
            sync: Arc::new(weir_sync::port::Targets(Arc::clone(&sync))),
            plans,
            anonymous_session_life: config.anonymous_session_life(),
            prefix,
        };
        Ok(Arc::new(Self { site, engine: Arc::new(engine), hashes, blueprints, sources, sync }))
    }
}

fn url(url: &Option<String>) -> Option<String> {
    url.as_ref().map(|url| url.trim_end_matches('/').to_owned())
}

fn sync_services(config: &Config) -> weir_sync::Services {
    weir_sync::Services {
        google_url: url(&config.outbound.google_url),
        microsoft_url: url(&config.outbound.microsoft_url),
    }
}

/// Reads the databases of places before anything is served.
async fn locate(site: &Arc<Site>, config: &Config) -> Result<()> {
    let (site, geoip) = (Arc::clone(site), config.geoip.clone());
    Ok(tokio::task::spawn_blocking(move || site.geo.open(geoip.city, geoip.asn)).await?)
}

/// Reads databases of places anew when their files change, until the task is dropped.
pub async fn follow_files(site: Arc<Site>) {
    const PERIOD: Duration = Duration::from_secs(30);
    if !site.geo.is_configured() {
        return;
    }
    loop {
        tokio::time::sleep(PERIOD).await;
        let site = Arc::clone(&site);
        if let Err(error) = tokio::task::spawn_blocking(move || site.geo.refresh()).await {
            tracing::error!(%error, "location databases cannot be followed");
        }
    }
}

fn hibp_url(config: &Config) -> &str {
    config.outbound.hibp_url.as_deref().unwrap_or(weir_policy::HIBP_URL)
}

fn services(config: &Config) -> Services {
    Services {
        twilio_url: url(&config.outbound.twilio_url),
        duo_url: url(&config.outbound.duo_url),
        google_url: url(&config.outbound.google_url),
    }
}

/// Every kind of object. One line for each crate that has some.
fn registry() -> Registry {
    let mut types = weir_identity::resources();
    types.extend(weir_pki::resources());
    types.extend(weir_policy::resources());
    types.extend(weir_flow::resources::resources());
    types.extend(weir_stages::resources());
    types.extend(weir_sources::resources());
    types.extend(weir_applications::resources());
    types.extend(weir_audit::resources());
    types.extend(weir_sync::resources());
    types.extend(weir_http::resources());
    types.push(ResourceType::of::<BlueprintInstance>());
    Registry::new(types)
}

fn pool(config: &Config, command: WorkerCommand) -> Pool {
    let wanted = &config.expressions;
    let limits = Limits {
        run: Duration::from_secs(wanted.run_secs),
        wall: Duration::from_secs(wanted.total_secs),
        memory: wanted.memory_bytes,
        ..Limits::default()
    };
    Pool::new(PoolSettings {
        size: wanted.workers,
        limits,
        queue: Duration::from_secs(wanted.max_wait_secs),
        idle: Duration::from_secs(wanted.idle_secs),
        ..PoolSettings::new(command.program, command.args)
    })
}

fn seconds(count: u64) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(count).unwrap_or(i64::MAX / 1_000_000))
}
