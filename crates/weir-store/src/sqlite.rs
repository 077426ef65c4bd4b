//! The SQLite side: opening a file safely, one writer, grouped durable commits.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Mutex;

use crate::{DbSettings, StoreError, lanes::Lanes};

/// The two pools of one file and what guards it.
pub(crate) struct Sqlite {
    pub(crate) writer: Lanes<sqlx::Sqlite>,
    pub(crate) readers: Lanes<sqlx::Sqlite>,
    pub(crate) wal: WalSync,
    path: PathBuf,
    /// Held, never read: the lock ends with the file handle.
    _lock: Option<File>,
    _temporary: Option<TemporaryDir>,
}

impl Sqlite {
    pub(crate) async fn open(path: &Path, settings: &DbSettings) -> Result<Self, StoreError> {
        Self::open_in(path.to_owned(), settings, None).await
    }

    pub(crate) async fn open_temporary(settings: &DbSettings) -> Result<Self, StoreError> {
        let dir = TemporaryDir::create().map_err(|error| StoreError::Unavailable(error.into()))?;
        Self::open_in(dir.0.join("weir.db"), settings, Some(dir)).await
    }

    async fn open_in(
        path: PathBuf,
        settings: &DbSettings,
        temporary: Option<TemporaryDir>,
    ) -> Result<Self, StoreError> {
        let lock = prepare(&path, settings.exclusive)?;
        let base = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(false)
            .foreign_keys(true)
            .busy_timeout(settings.lock_timeout)
            .statement_cache_capacity(256)
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging();
        let pool = |max: u32| {
            SqlitePoolOptions::new()
                .max_connections(max.max(1))
                .acquire_timeout(settings.acquire_timeout)
                .test_before_acquire(false)
                .max_lifetime(None)
        };
        // Commits are not synced one by one: `WalSync` does it for all that wait together.
        let writing = base
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .pragma("cache_size", "-16000")
            .pragma("journal_size_limit", "67108864");
        let writer =
            pool(1).idle_timeout(None).connect_with(writing).await.map_err(|error| open_error(&path, error))?;
        let reading = base.read_only(true).pragma("cache_size", "-4000");
        let readers = pool(settings.readers)
            .idle_timeout(Duration::from_secs(600))
            .connect_with(reading)
            .await
            .map_err(|error| open_error(&path, error))?;
        let wal = WalSync::new(if temporary.is_some() { None } else { Some(beside(&path, "-wal")) });
        check(&path, &readers).await?;
        let lanes = |pool| Lanes::new(pool, settings.acquire_timeout, None);
        Ok(Self { writer: lanes(writer), readers: lanes(readers), wal, path, _lock: lock, _temporary: temporary })
    }

    /// From now on an empty file in this place is damage, not a new installation.
    pub(crate) fn mark_in_use(&self) -> Result<(), StoreError> {
        let marker = beside(&self.path, ".lock");
        if fs::metadata(&marker).is_ok_and(|meta| meta.len() > 0) {
            return Ok(());
        }
        owner_only(OpenOptions::new().write(true).create(true).truncate(false))
            .open(&marker)
            .and_then(|mut file| io::Write::write_all(&mut file, IN_USE))
            .map_err(|error| StoreError::Unavailable(error.into()))
    }

    /// Writes a complete copy while the server goes on.
    pub(crate) async fn backup(&self, target: &Path) -> Result<(), StoreError> {
        let name = target
            .to_str()
            .ok_or_else(|| StoreError::Invalid("the backup's path must be valid text".to_owned()))?
            .to_owned();
        owner_only(OpenOptions::new().write(true).create_new(true))
            .open(target)
            .map_err(|error| StoreError::Invalid(format!("backup file: {error}")))?;
        let mut lease = self.readers.lease().await?;
        sqlx::query("VACUUM INTO $1").bind(name).execute(lease.connection()?).await?;
        lease.give_back();
        File::open(target).and_then(|file| file.sync_all()).map_err(|error| StoreError::Unavailable(error.into()))
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Finds a damaged file before anything is served from it. A full check of a large file would cost the start
/// too much, so there it is the table of contents only.
async fn check(path: &Path, readers: &SqlitePool) -> Result<(), StoreError> {
    const FULL_CHECK_BYTES: u64 = 16 << 20;
    let size = fs::metadata(path).map(|meta| meta.len()).unwrap_or_default();
    let found: Result<Vec<String>, sqlx::Error> = if size <= FULL_CHECK_BYTES {
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_all(readers).await
    } else {
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE name = 'schema_migration'").fetch_all(readers).await
    };
    match found {
        Ok(lines) if size <= FULL_CHECK_BYTES && lines != ["ok"] => {
            Err(damaged(path, lines.first().map_or("check failed", String::as_str)))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(open_error(path, error)),
    }
}

const IN_USE: &[u8] = b"This database is in use. Remove this file only together with it.\n";
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Creates directory and file for the owner only, refuses what is no database, takes the server's lock.
fn prepare(path: &Path, exclusive: bool) -> Result<Option<File>, StoreError> {
    let refuse = |what: String| StoreError::Refused(format!("database {}: {what}", path.display()));
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    create_dir(dir).map_err(|error| refuse(format!("cannot create its folder: {error}")))?;
    if let Some(kind) = network_file_system(dir) {
        return Err(refuse(format!("{kind} is a network file system, on which SQLite loses data; use PostgreSQL")));
    }
    let lock = if exclusive { Some(take_lock(&beside(path, ".lock")).map_err(&refuse)?) } else { None };
    let marker = beside(path, ".lock");
    let used = fs::metadata(&marker).is_ok_and(|meta| meta.len() > 0);
    let gone = |what: &str| {
        let marker = marker.display();
        refuse(format!("the file is {what} although it was in use; restore a backup, or remove {marker} to start anew"))
    };
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && used => Err(gone("missing")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            owner_only(OpenOptions::new().write(true).create(true).truncate(false))
                .open(path)
                .and_then(|_| File::open(dir)?.sync_all())
                .map_err(|error| refuse(format!("cannot create it: {error}")))?;
            Ok(lock)
        }
        Err(error) => Err(refuse(format!("cannot open it: {error}"))),
        Ok(mut file) => {
            let mut head = Vec::new();
            Read::by_ref(&mut file)
                .take(100)
                .read_to_end(&mut head)
                .map_err(|error| refuse(format!("cannot read it: {error}")))?;
            if head.is_empty() && used {
                return Err(gone("empty"));
            }
            if !head.is_empty() && !head.starts_with(MAGIC) {
                return Err(refuse("the file is damaged or no SQLite database; restore a backup".to_owned()));
            }
            if is_cut_short(&head, path) {
                return Err(refuse("the file is damaged: its end is missing; restore a backup".to_owned()));
            }
            Ok(lock)
        }
    }
}

/// Compares the size in the header with the file's; only safe to judge while no log waits beside it.
fn is_cut_short(head: &[u8], path: &Path) -> bool {
    let number = |from: usize, to: usize| {
        head.get(from..to).map(|bytes| bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let (Some(page), Some(pages)) = (number(16, 18), number(28, 32)) else { return false };
    let page = if page == 1 { 65_536 } else { page };
    let log_waits = fs::metadata(beside(path, "-wal")).is_ok_and(|meta| meta.len() > 0);
    let size = fs::metadata(path).map(|meta| meta.len()).unwrap_or_default();
    !log_waits && size < page * pages
}

fn take_lock(path: &Path) -> Result<File, String> {
    let file = owner_only(OpenOptions::new().read(true).write(true).create(true).truncate(false))
        .open(path)
        .map_err(|error| format!("cannot open its lock file: {error}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err("another server is running on it; stop that one or use PostgreSQL".to_owned())
        }
        Err(TryLockError::Error(error)) => Err(format!("cannot lock it: {error}")),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn create_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// The kind of network file system under `dir`, where the system tells (Linux).
fn network_file_system(dir: &Path) -> Option<String> {
    const NETWORK: &[&str] = &["nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "fuse.glusterfs", "afs"];
    let dir = dir.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else { continue };
        let point = point.replace("\\040", " ");
        // The last of several mounts on one point is the visible one.
        if dir.starts_with(&point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), kind));
        }
    }
    best.filter(|(_, kind)| NETWORK.contains(kind)).map(|(_, kind)| kind.to_owned())
}

fn damaged(path: &Path, detail: &str) -> StoreError {
    let detail = detail.lines().next().unwrap_or_default();
    StoreError::Refused(format!("database {} is damaged ({detail}); restore a backup", path.display()))
}

fn open_error(path: &Path, error: sqlx::Error) -> StoreError {
    if let sqlx::Error::Database(cause) = &error {
        let code: i32 = cause.code().and_then(|code| code.parse().ok()).unwrap_or_default();
        // CORRUPT, NOTADB.
        if matches!(code & 0xff, 11 | 26) {
            return damaged(path, cause.message());
        }
    }
    error.into()
}

/// Makes commits durable in groups.
///
/// With `synchronous=NORMAL` a commit is in the log file but perhaps not on the disk. A durable commit waits for a sync
/// of the log that began after it; one sync serves everybody who waits. So the writer is free for the next transaction
/// while the disk works, and sixteen logins at once cost one or two syncs instead of sixteen. SQLite itself syncs the
/// log before it copies pages from it, so a file without log is complete.
pub(crate) struct WalSync {
    /// None: nothing survives anyway.
    path: Option<PathBuf>,
    issued: AtomicU64,
    state: Mutex<SyncState>,
    #[cfg(any(test, feature = "test-support"))]
    pub(crate) syncs: AtomicU64,
}

#[derive(Default)]
struct SyncState {
    done: u64,
    /// Tickets up to here took part in a sync that failed: the same pages may look clean to the next one.
    failed: u64,
}

impl WalSync {
    fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            issued: AtomicU64::new(0),
            state: Mutex::new(SyncState::default()),
            #[cfg(any(test, feature = "test-support"))]
            syncs: AtomicU64::new(0),
        }
    }

    /// Returns once everything committed before the call is on the disk.
    pub(crate) async fn wait(&self) -> Result<(), StoreError> {
        let Some(path) = &self.path else { return Ok(()) };
        let ticket = self.issued.fetch_add(1, Ordering::AcqRel) + 1;
        let mut state = self.state.lock().await;
        if ticket <= state.done {
            return Ok(());
        }
        let lost = || StoreError::Unavailable(anyhow::anyhow!("the disk did not confirm a write"));
        if ticket <= state.failed {
            return Err(lost());
        }
        let up_to = self.issued.load(Ordering::Acquire);
        let path = path.clone();
        #[cfg(any(test, feature = "test-support"))]
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let synced = tokio::task::spawn_blocking(move || match File::open(&path) {
            Ok(file) => file.sync_data(),
            // The last connection of another process has copied and removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        })
        .await;
        match synced {
            Ok(Ok(())) => {
                state.done = up_to;
                Ok(())
            }
            Ok(Err(error)) => {
                state.failed = up_to;
                Err(StoreError::Unavailable(anyhow::Error::new(error).context("syncing the write-ahead log")))
            }
            Err(_) => Err(lost()),
        }
    }
}

/// A directory removed with its owner.
pub(crate) struct TemporaryDir(pub(crate) PathBuf);

impl TemporaryDir {
    pub(crate) fn create() -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let bases = [memory.to_owned(), std::env::temp_dir()];
        let mut last = io::Error::other("no temporary folder");
        for base in bases.iter().filter(|base| base.is_dir()) {
            // Names of dead processes may be left over: go on until one is free.
            for _ in 0..1000 {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let dir = base.join(format!("weir-{}-{number}", std::process::id()));
                let mut builder = fs::DirBuilder::new();
                #[cfg(unix)]
                std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
                match builder.create(&dir) {
                    Ok(()) => return Ok(Self(dir)),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => {
                        last = error;
                        break;
                    }
                }
            }
        }
        Err(last)
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        // A leftover in a temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
