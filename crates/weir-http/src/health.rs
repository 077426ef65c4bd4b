//! Health and metrics for those who run Weir.

use crate::AppState;
use anyhow::{Context, Result};
use axum::{Router, extract::State, response::Response, routing::get};
use http::{StatusCode, header};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// The numbers of this process. There is one recorder per process, however many servers run in it.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder, or gives the installed one.
    ///
    /// # Errors
    /// When another recorder was installed before.
    pub fn install() -> Result<Self> {
        static INSTALLED: OnceLock<Result<Metrics, String>> = OnceLock::new();
        let made = INSTALLED.get_or_init(|| Self::new().map_err(|error| format!("{error:#}")));
        made.clone().map_err(|text| anyhow::anyhow!(text))
    }

    fn new() -> Result<Self> {
        let seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)
            .context("bad buckets")?;
        Ok(Self(builder.install_recorder().context("the metrics recorder cannot be installed")?))
    }

    /// Brings what was measured into its buckets from time to time. Without it every single value would be kept until
    /// somebody asks for the text.
    pub async fn tend(self) {
        let mut time = tokio::time::interval(Duration::from_secs(5));
        loop {
            time.tick().await;
            self.0.run_upkeep();
        }
    }

    /// The text for scrapers.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

/// `/-/health/live/`, `/-/health/ready/`, `/-/metrics/`.
pub fn router(app: &Arc<AppState>) -> Router {
    Router::new()
        .route("/-/health/live/", get(live))
        .route("/-/health/ready/", get(ready))
        .route("/-/metrics/", get(render))
        .with_state(Arc::clone(app))
}

/// The process answers.
async fn live() -> StatusCode {
    StatusCode::OK
}

/// The database answers, too.
async fn ready(State(app): State<Arc<AppState>>) -> StatusCode {
    match tokio::time::timeout(Duration::from_secs(3), app.site.db.ping()).await {
        Ok(Ok(())) => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn render(State(app): State<Arc<AppState>>) -> Response {
    let mut response = Response::new(app.metrics.render().into());
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
