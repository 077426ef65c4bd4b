//! The log, on the standard error, and what becomes of a panic.

use std::{backtrace::Backtrace, io::IsTerminal, panic};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{Config, ConfigError, LogFormat};

/// Sends the log of this process where the settings want it.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(config: &Config) -> Result<(), ConfigError> {
    let filter = EnvFilter::builder()
        .parse(&config.log)
        .map_err(|error| ConfigError(format!("log: {:?} is no filter: {error}", config.log)))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.log_format {
        LogFormat::Text => {
            let is_coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            Box::new(lines.with_ansi(is_coloured)) as Box<dyn tracing_subscriber::Layer<_> + Send + Sync>
        }
        LogFormat::Json => Box::new(lines.json().flatten_event(true).with_span_list(false)),
    };
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    if started.is_err() {
        // Several servers in one process, as in tests: the first one's log serves all.
        tracing::debug!("the log is already started");
    }
    Ok(())
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
