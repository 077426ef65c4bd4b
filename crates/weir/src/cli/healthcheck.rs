//! `weir healthcheck`: one small request, for containers that have nothing else to ask with.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the server of these settings.
pub fn run(config: &Config) -> Result<()> {
    let address = config.local_address();
    let answer = ask(config).with_context(|| format!("no answer from {address}"))?;
    let line = answer.lines().next().unwrap_or_default().to_owned();
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => super::print("ready"),
        Some(status) => bail!("{address} is not ready: status {status}"),
        None => bail!("{address} does not speak HTTP"),
    }
}

fn ask(config: &Config) -> std::io::Result<String> {
    let address = config.local_address();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let path = format!("{}/-/health/ready/", config.http().prefix());
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut head = Vec::new();
    // The status line is all that counts.
    stream.take(512).read_to_end(&mut head)?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}
