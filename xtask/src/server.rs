//! A throw-away server for tests and measurements: fresh folder, free port, known administrator.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::http::Client;
use crate::project::output;

/// The administrator's API token on throw-away servers.
pub const TOKEN: &str = "throw-away-token-of-a-test-server-0123456789";
/// The password of `akadmin` on throw-away servers.
pub const PASSWORD: &str = "Throw-away-password-1";

/// How to start a server.
pub struct Settings<'a> {
    /// The built binary.
    pub binary: &'a Path,
    /// Data, log and, without a database address, the SQLite file.
    pub folder: &'a Path,
    /// A PostgreSQL address; SQLite in the folder without one.
    pub database: Option<&'a str>,
    /// Further settings, by the names of their variables.
    pub more: &'a [(&'static str, String)],
}

impl Settings<'_> {
    /// The binary with this server's settings and none of the caller's.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binary);
        command.args(arguments).current_dir(self.folder);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WEIR_") {
                command.env_remove(name);
            }
        }
        command.env("WEIR_DATA_DIR", self.folder.join("data"));
        if let Some(database) = self.database {
            command.env("WEIR_DATABASE_URL", database);
        }
        command.envs(self.more.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the server and waits for its first healthy answer.
    pub fn start(&self) -> Result<Server> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let log = self.folder.join("server.log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = self.command(&["serve"]);
        command
            .env("WEIR_LISTEN", address.to_string())
            .env("WEIR_BOOTSTRAP_TOKEN", TOKEN)
            .env("WEIR_BOOTSTRAP_PASSWORD", PASSWORD)
            .env("WEIR_BOOTSTRAP_EMAIL", "akadmin@example.test")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let begun = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {}", self.binary.display()))?;
        let mut server = Server { child, address, log, start_up: Duration::ZERO };
        server.wait_until_ready(begun)?;
        Ok(server)
    }
}

/// A running server; it is stopped with this value.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From the start of the process to its first healthy answer.
    pub start_up: Duration,
    log: PathBuf,
}

impl Server {
    /// The address as clients want it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of the log: what to look at when something failed.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(25)).copied().collect::<Vec<_>>().join("\n")
    }

    fn wait_until_ready(&mut self, begun: Instant) -> Result<()> {
        loop {
            let answer = Client::new(self.address).get("/-/health/ready/");
            if answer.is_ok_and(|answer| answer.status / 100 == 2) {
                self.start_up = begun.elapsed();
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once ({status}):\n{}", self.log_tail());
            }
            if begun.elapsed() > Duration::from_secs(90) {
                bail!("the server was not ready after 90 s:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it as a crash would: without any warning.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        output(Command::new("kill").args(["-TERM", &self.pid().to_string()]))?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > Duration::from_secs(10) {
                eprintln!("the server did not end within 10 s of being asked to, and was killed");
                self.child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("the server could not be stopped: {error:#}");
        }
    }
}

/// A port nobody listens on now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
