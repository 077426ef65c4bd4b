//! A throw-away PostgreSQL cluster, or the one that `WEIR_TEST_POSTGRES_URL` names.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::project::{find_program, must, output};
use crate::server::free_port;

/// The variable that names a ready PostgreSQL, and that tells the tests to run on one.
pub const URL_VARIABLE: &str = "WEIR_TEST_POSTGRES_URL";

/// Whether what is written must survive a power cut.
#[derive(Clone, Copy)]
pub enum Durability {
    /// As in production: for measurements.
    Full,
    /// Nothing is synced: for tests, whose data nobody keeps.
    None,
}

/// A PostgreSQL to make databases in; a cluster of our own ends with this value.
pub struct Postgres {
    url: String,
    psql: PathBuf,
    own: Option<Cluster>,
}

struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    owner: Option<String>,
    port: u16,
    durability: Durability,
    child: Option<Child>,
}

impl Postgres {
    /// `Ok(None)` when this machine has no PostgreSQL.
    pub fn find(durability: Durability) -> Result<Option<Self>> {
        let programs = find_programs();
        if let Ok(url) = std::env::var(URL_VARIABLE) {
            let psql = programs.map(|folder| folder.join("psql")).or_else(|| find_program(&["psql"]));
            return Ok(psql.map(|psql| Self { url, psql, own: None }));
        }
        match programs {
            Some(programs) => Self::start(&programs, durability).map(Some),
            None => Ok(None),
        }
    }

    /// The address of a maintenance database, for tests that make their own.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes an empty database and returns its address.
    pub fn create_database(&self, name: &str) -> Result<String> {
        for statement in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
            output(Command::new(&self.psql).args(["-X", "-q", "-d", &self.url, "-c", &statement]))?;
        }
        with_database(&self.url, name)
    }

    /// A cluster that nothing else uses, for tests that take it away. `Ok(None)` when there are no programs for it.
    pub fn own() -> Result<Option<Self>> {
        find_programs().map(|programs| Self::start(&programs, Durability::None)).transpose()
    }

    /// Stops a cluster of our own; its data stays.
    pub fn pause(&mut self) -> Result<()> {
        self.own.as_mut().context("not a cluster of our own")?.stop()
    }

    /// Starts it again, where it was.
    pub fn resume(&mut self) -> Result<()> {
        self.own.as_mut().context("not a cluster of our own")?.run()?;
        self.wait_until_ready()
    }

    fn start(programs: &Path, durability: Durability) -> Result<Self> {
        let cluster = Cluster::create(programs, durability)?;
        let url = format!("postgres://weir@127.0.0.1:{}/postgres", cluster.port);
        let mut started = Self { url, psql: programs.join("psql"), own: Some(cluster) };
        started.resume()?;
        Ok(started)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let mut question = Command::new(&self.psql);
            if output(question.args(["-X", "-q", "-d", &self.url, "-c", "SELECT 1"])).is_ok() {
                return Ok(());
            }
            let has_ended = self.own.as_mut().is_some_and(Cluster::has_ended);
            if has_ended || begun.elapsed() > Duration::from_secs(30) {
                let log = self.own.as_ref().map(Cluster::log).unwrap_or_default();
                bail!("PostgreSQL did not start:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Cluster {
    fn create(programs: &Path, durability: Durability) -> Result<Self> {
        let port = free_port()?;
        let folder = std::env::temp_dir().join(format!("weir-postgres-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let owner = find_unprivileged_user()?;
        if let Some(owner) = &owner {
            must(Command::new("chown").arg(owner).arg(&folder))?;
        }
        let mut initdb = as_user(owner.as_deref(), &programs.join("initdb"));
        initdb.args(["-U", "weir", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-D"]);
        output(initdb.arg(folder.join("data")).current_dir(&folder))?;
        Ok(Self { programs: programs.to_owned(), folder, owner, port, durability, child: None })
    }

    fn run(&mut self) -> Result<()> {
        let mut server = as_user(self.owner.as_deref(), &self.programs.join("postgres"));
        server.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder).current_dir(&self.folder);
        server.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]);
        if matches!(self.durability, Durability::None) {
            server.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log.txt"))?;
        self.child = Some(server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?);
        Ok(())
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log.txt")).unwrap_or_default()
    }

    fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        // The first line of this file is the server's own process, which may be a child of the one we started.
        let pid = std::fs::read_to_string(self.folder.join("data").join("postmaster.pid"));
        let pid = pid.ok().and_then(|text| text.lines().next().map(str::to_owned));
        let pid = pid.unwrap_or_else(|| child.id().to_string());
        output(Command::new("kill").args(["-INT", &pid]))?;
        child.wait()?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("PostgreSQL could not be stopped: {error:#}");
        }
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("{} could not be removed: {error}", self.folder.display());
        }
    }
}

/// The folder with the server's programs: Debian keeps them out of PATH, by version.
fn find_programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    folders.sort_by_key(|folder| version_of(folder));
    folders.reverse();
    let in_path =
        find_program(&["postgres"]).and_then(|program| Some(program.canonicalize().ok()?.parent()?.to_owned()));
    folders
        .into_iter()
        .chain(in_path)
        .find(|folder| ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).is_file()))
}

fn version_of(folder: &Path) -> u32 {
    let name = folder.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

/// PostgreSQL refuses to run as root; then, and only then, another user is needed.
fn find_unprivileged_user() -> Result<Option<String>> {
    if output(Command::new("id").arg("-u"))? != "0" {
        return Ok(None);
    }
    for user in ["postgres", "nobody"] {
        if output(Command::new("id").args(["-u", user])).is_ok() {
            return Ok(Some(user.to_owned()));
        }
    }
    bail!("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

fn as_user(user: Option<&str>, program: &Path) -> Command {
    match user {
        Some(user) => {
            let mut command = Command::new("runuser");
            command.args(["-u", user, "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The same server, another database.
fn with_database(url: &str, name: &str) -> Result<String> {
    let (address, options) = url.split_once('?').map_or((url, None), |(address, options)| (address, Some(options)));
    let (scheme, rest) = address.split_once("://").with_context(|| format!("{URL_VARIABLE} is not an address"))?;
    let server = rest.split('/').next().unwrap_or(rest);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    Ok(format!("{scheme}://{server}/{name}{options}"))
}

#[cfg(test)]
mod tests;
