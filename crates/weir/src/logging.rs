//! The log, on the standard error, traces, and what becomes of a panic.

use std::{backtrace::Backtrace, io::IsTerminal, panic, sync::Arc};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};
use weir_core::{SystemClock, SystemRandom};

use crate::{
    config::{Config, ConfigError, LogFormat},
    otel::{self, Exporter},
};

/// Sends the log of this process where the settings want it. Traces, when they are wanted, go out while the exporter
/// runs.
///
/// # Errors
/// When the filter or the address for traces cannot be read.
pub fn start(config: &Config) -> Result<Option<Exporter>, ConfigError> {
    let filter = EnvFilter::builder()
        .parse(&config.log)
        .map_err(|error| ConfigError(format!("log: {:?} is no filter: {error}", config.log)))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Text => {
            let is_coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            lines.with_ansi(is_coloured).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let traces = match &config.otel.endpoint {
        None => None,
        Some(endpoint) => Some(otel::pair(endpoint, Arc::new(SystemClock), Arc::new(SystemRandom))?),
    };
    let (spans, exporter) = traces.unzip();
    // Traces have a filter of their own: a quiet log must not silence them. The libraries' spans tell nobody anything.
    let is_ours = filter_fn(|about| *about.level() <= tracing::Level::INFO && about.target().starts_with("weir"));
    let spans = spans.map(|spans| spans.with_filter(is_ours));
    let started = tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).try_init();
    if started.is_err() {
        // Several servers in one process, as in tests: the first one's log serves all.
        tracing::debug!("the log is already started");
    }
    Ok(exporter)
}

/// Logs panics like everything else. They end the request or task they happen in, never the process.
pub fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("without a text");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let backtrace = Backtrace::capture();
        tracing::error!(place, thread, %backtrace, "panic: {text}");
    }));
}
