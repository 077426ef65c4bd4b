//! A running server: database, first accounts, blueprints, HTTP, work in the background, an orderly end.
//!
//! [`start`] does everything in the order in which it has to happen; the port opens last. [`serve`] adds what only a
//! process of its own needs: signals and the printed link. [`Core`] is what commands use without any of that.

mod blueprints;
mod certificates;
mod core;
pub(crate) mod events;
mod jobs;
mod pictures;
mod policies;
mod routes;
pub mod setup;
mod signals;
#[cfg(test)]
mod tests;
mod tls;

pub use blueprints::Blueprints;
pub use core::{Core, Options};

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};
use weir_crypto::{Password, Salt};
use weir_flow::App;
use weir_http::{
    AppParts, AppState, Listener,
    flow::{self, FlowHttp, Links},
    health::Metrics,
};
use weir_identity::{BootstrapOptions, BootstrapOutcome, bootstrap};
use weir_pages::Pages;
use weir_resource::Site;
use weir_store::{Db, DbSettings};

use crate::{
    config::{Config, ConfigError},
    otel::Exporter,
};
use signals::Signals;

/// A service manager kills after thirty seconds; the database is closed in order before that.
const LONGEST_STOP: Duration = Duration::from_secs(28);

/// A server that answers.
pub struct Running {
    /// Where.
    pub address: SocketAddr,
    /// Where it speaks TLS, if it does.
    pub tls_address: Option<SocketAddr>,
    /// Database, configuration, clock.
    pub site: Arc<Site>,
    /// The flow engine.
    pub engine: Arc<App>,
    /// The HTTP side.
    pub http: Arc<AppState>,
    /// The token of the set-up link, when an administrator has yet to choose a password.
    pub setup_token: Option<String>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
    working: JoinHandle<()>,
    following: Vec<JoinHandle<()>>,
}

impl Running {
    /// Stops accepting, finishes what runs, gives back what does not finish in time, closes the database.
    ///
    /// # Errors
    /// When the HTTP side had already failed.
    pub async fn stop(self) -> Result<()> {
        self.stop.send_replace(true);
        let Self { serving, working, following, site, .. } = self;
        let served = timeout(LONGEST_STOP, async {
            let (served, worked) = tokio::join!(serving, working);
            if let Err(error) = worked {
                tracing::error!(%error, "the worker had failed");
            }
            served
        });
        let served = served.await;
        following.iter().for_each(JoinHandle::abort);
        // Nobody would wait for a database that does not answer.
        let _ = timeout(Duration::from_secs(1), site.db.close()).await;
        match served {
            Ok(served) => Ok(served.context("the HTTP side had failed")??),
            Err(_) => {
                tracing::warn!("some work was still running at the end");
                Ok(())
            }
        }
    }
}

/// Starts a server and returns once it answers.
///
/// # Errors
/// When the database, a blueprint's store or the port cannot be used; nothing keeps running then.
pub async fn start(config: &Config, options: Options) -> Result<Running> {
    let metrics = Metrics::install()?;
    let db = Db::open(&DbSettings { exclusive: true, ..DbSettings::new(config.database()?) }).await?;
    db.migrate().await?;
    let core = Core::open(config, options, db).await?;
    let setup_token = prepare(config, &core).await?;
    let http = http_with(config, &core, metrics.clone())?;
    let flows = FlowHttp {
        state: Arc::clone(&http),
        engine: Arc::clone(&core.engine),
        pages: Pages::new(&weir_stages::pages())?,
    };
    let mut pages = weir_sources::pages(&core.sources);
    pages.extend(weir_stages::page_routes());
    pages.extend(weir_sync::scim::pages(&core.sync));
    let router = weir_http::router_with(&http, flow::router(&Arc::new(flows), pages));
    let runner = jobs::runner(config, &core).await?;
    let mut following = Vec::new();
    let tls = match config.listen_tls {
        Some(address) => {
            let (tls, looking) = tls::open(config, &core.site).await?;
            following.push(tokio::spawn(looking));
            Some((tls, bind(address).await?))
        }
        None => None,
    };
    let plain = bind(config.listen).await?;
    let address = plain.local_addr()?;
    let tls_address = tls.as_ref().map(|(_, tcp)| tcp.local_addr()).transpose()?;
    let mut listeners = vec![Listener { tcp: plain, tls: None }];
    listeners.extend(tls.map(|(tls, tcp)| Listener { tcp, tls: Some(tls) }));
    following.push(tokio::spawn(Arc::clone(&core.site).follow()));
    following.push(tokio::spawn(events::follow(Arc::clone(&core))));
    following.push(tokio::spawn(core::follow_files(Arc::clone(&core.site))));
    following.push(tokio::spawn(metrics.tend()));
    let (stop, stopped) = watch::channel(false);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        // A sender that is gone means the same.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let serving = weir_http::serve(listeners, router, config.http(), until(stopped.clone()));
    let running = Running {
        address,
        tls_address,
        site: Arc::clone(&core.site),
        engine: Arc::clone(&core.engine),
        http,
        setup_token,
        stop,
        serving: tokio::spawn(serving),
        working: tokio::spawn(runner.run(until(stopped))),
        following,
    };
    if let Some(address) = tls_address {
        tracing::info!(%address, "listening for TLS");
    }
    tracing::info!(%address, database = %config.database()?, "listening");
    Ok(running)
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// First accounts and shipped objects. Cheap when there is nothing to do.
async fn prepare(config: &Config, core: &Core) -> Result<Option<String>> {
    let outcome = first_accounts(config, core).await?;
    let mut unit = weir_resource::Unit::new(&core.site, weir_resource::Actor::system());
    weir_sources::inbuilt::ensure(&mut unit).await?;
    unit.commit().await?;
    let startup = core.blueprints.apply_all(&core.site).await?;
    if !startup.applied.is_empty() {
        tracing::info!(count = startup.applied.len(), "blueprints applied");
    }
    let has_password = config.bootstrap_password.is_some();
    setup::offer(&core.site, outcome, has_password).await
}

async fn first_accounts(config: &Config, core: &Core) -> Result<BootstrapOutcome> {
    let mut options = BootstrapOptions { email: config.bootstrap_email.clone(), ..BootstrapOptions::default() };
    // The values count on an empty database only; later starts need not even hash the password.
    let is_empty = core.site.db.read_one("SELECT id FROM identity_user LIMIT 1", &[]).await?.is_none();
    if is_empty {
        options.token = config.bootstrap_token.as_ref().map(|token| token.0.clone());
        if let Some(password) = &config.bootstrap_password {
            let password = Password::new(password.0.as_bytes())
                .map_err(|error| ConfigError(format!("bootstrap_password: {error}")))?;
            options.password_hash =
                Some(core.hashes.hash(password, Salt::random(&mut weir_crypto::system_rng())).await?);
        }
    }
    bootstrap(&core.site, &options).await.map_err(|error| match error {
        weir_core::ApiError::Fields(errors) => {
            let texts: Vec<&str> = errors.iter().flat_map(|(_, errors)| errors).map(|it| it.text.as_str()).collect();
            ConfigError(format!("the bootstrap settings were refused: {}", texts.join(" "))).into()
        }
        other => anyhow::Error::new(other).context("making the first accounts"),
    })
}

/// The HTTP side of a server that may never listen, for what can be told without requests.
///
/// # Errors
/// When the parts do not fit together, which is a defect.
pub fn http(config: &Config, core: &Core) -> Result<Arc<AppState>> {
    http_with(config, core, Metrics::install()?)
}

fn http_with(config: &Config, core: &Core, metrics: Metrics) -> Result<Arc<AppState>> {
    AppState::new(AppParts {
        site: Arc::clone(&core.site),
        config: config.http(),
        hashes: Arc::clone(&core.hashes),
        links: Arc::new(Links(Arc::clone(&core.engine))),
        policies: Arc::new(policies::Trials { engine: Arc::clone(&core.engine) }),
        blueprints: Arc::clone(&core.blueprints) as Arc<dyn weir_http::state::Blueprints>,
        metrics,
        routes: routes::routes(core),
    })
}

/// `weir serve`: runs until a signal comes, then ends in order; a second signal ends at once.
///
/// # Errors
/// When the start fails, or the HTTP side does.
pub async fn serve(config: &Config, traces: Option<Exporter>) -> Result<()> {
    let mut signals = Signals::listen()?;
    let (end, ended) = watch::channel(());
    let traces = traces.map(|traces| tokio::spawn(traces.run(until_gone(ended))));
    let running = tokio::select! {
        started = start(config, Options::production()?) => started?,
        // What had been begun is rolled back, as after a crash.
        () = signals.next() => return Ok(()),
    };
    if let Some(token) = &running.setup_token {
        let base = config.local_url(running.address);
        crate::cli::print(&format!(
            "\nChoose the administrator's password here; the link works until that is done or the server restarts:\n\n    {base}/setup?token={token}\n"
        ))?;
    }
    signals.next().await;
    tracing::info!("stopping");
    tokio::spawn(async move {
        signals.next().await;
        tracing::warn!("stopped at once by a second signal");
        std::process::exit(1);
    });
    let stopped = running.stop().await;
    drop(end);
    if let Some(traces) = traces {
        // The last ones tell how the end went; they are not worth a late exit.
        let _ = timeout(Duration::from_secs(1), traces).await;
    }
    stopped
}

/// Resolves when the sender is gone.
async fn until_gone(mut sender: watch::Receiver<()>) {
    while sender.changed().await.is_ok() {}
}
