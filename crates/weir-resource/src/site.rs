//! What the whole process shares: database, registry, snapshot, clock, randomness, installation keys.

use crate::{HookSet, Object, Pictures, Settings, Snapshot, Stored, counts::Counts, store, table};
use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use tokio::sync::Mutex;
use uuid::Uuid;
use weir_core::{ApiError, Backing, Clock, Map, Random, Registry, ResourceType};
use weir_store::{Db, Durability, Row, StoreError, Tx, Val};

/// Values made once for an installation.
#[derive(Clone)]
pub struct Installation {
    /// Public random identifier.
    pub id: String,
    /// Secret all signing keys are derived from.
    pub secret: Vec<u8>,
}

impl Installation {
    /// The key of the audit trail.
    pub fn chain_key(&self) -> weir_events::chain::ChainKey {
        weir_events::chain::ChainKey::derive(&self.secret)
    }
}

/// The parts a [`Site`] is made of.
pub struct SiteParts {
    /// The database, migrated.
    pub db: Db,
    /// All resource types.
    pub registry: Registry,
    /// Special behaviour per kind.
    pub hooks: HookSet,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The random source.
    pub random: Arc<dyn Random>,
    /// What comes before every path of the site: empty, or `/` and a name.
    pub prefix: String,
}

/// Shared state. Cheap to use behind an `Arc`.
pub struct Site {
    /// The database.
    pub db: Db,
    /// All resource types.
    pub registry: Registry,
    /// Special behaviour per kind.
    pub hooks: HookSet,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The random source.
    pub random: Arc<dyn Random>,
    /// Where addresses are; knows nothing until files are named.
    pub geo: weir_geo::Geo,
    /// Who knows of pictures at other servers; without anybody there are none.
    pub pictures: OnceLock<Arc<dyn Pictures>>,
    /// Keys of the installation.
    pub installation: Installation,
    /// What comes before every path of the site: empty, or `/` and a name.
    pub prefix: String,
    snapshot: ArcSwap<Snapshot>,
    pub(crate) counts: Counts,
    /// Held from the first configuration write of a unit until its snapshot is in place, so that no writer of this
    /// node works on a snapshot that lacks the write before.
    pub(crate) writing: Arc<Mutex<()>>,
}

/// Whether a text is an `http(s)` address or a path of this site, for a browser too.
pub fn is_address(text: &str) -> bool {
    let is_path = text.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['/', '\\']));
    (is_path || text.starts_with("http://") || text.starts_with("https://")) && !text.contains(char::is_control)
}

impl Site {
    /// The built-in background of flows.
    pub const BACKGROUND: &'static str = "/static/dist/assets/images/flow_background.jpg";

    /// Opens the site: reads the installation keys (making them on first start) and the configuration.
    ///
    /// # Errors
    /// When the database cannot be read or holds a document that does not fit its definition.
    pub async fn open(parts: SiteParts) -> Result<Arc<Self>> {
        let installation = installation(&parts.db, &*parts.random).await?;
        let site = Self {
            db: parts.db,
            registry: parts.registry,
            hooks: parts.hooks,
            clock: parts.clock,
            random: parts.random,
            geo: weir_geo::Geo::default(),
            pictures: OnceLock::new(),
            installation,
            prefix: parts.prefix,
            snapshot: ArcSwap::default(),
            counts: Counts::default(),
            writing: Arc::new(Mutex::new(())),
        };
        site.reload().await?;
        Ok(Arc::new(site))
    }

    /// The address under which a browser finds a file of ours that configuration names: those below `/static/` and
    /// `/media/` get the site's prefix, all others stay.
    pub fn served(&self, address: &str) -> String {
        let ours = ["/static/", "/media/"].iter().any(|folder| address.starts_with(folder));
        if ours { format!("{}{address}", self.prefix) } else { address.to_owned() }
    }

    /// The address of a picture that an administrator named: a whole address, a path of the site, or an uploaded file,
    /// which anything else is taken for.
    pub fn picture(&self, name: &str) -> String {
        if is_address(name) {
            return self.served(name);
        }
        self.served(&format!("/media/public/{}", name.trim_start_matches(['/', '\\'])))
    }

    /// The addresses of a picture for light and dark pages; null when the name has no `%(theme)s`.
    pub fn themed_picture(&self, name: &str) -> Value {
        if !name.contains("%(theme)s") {
            return Value::Null;
        }
        let of = |theme: &str| self.picture(&name.replace("%(theme)s", theme));
        json!({"light": of("light"), "dark": of("dark")})
    }

    /// The address of a flow's background; the built-in one when the flow names none.
    pub fn background(&self, name: &str) -> String {
        self.picture(if name.is_empty() { Self::BACKGROUND } else { name })
    }

    /// The configuration now. Requests take it once and hold it to the end.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Reads all configuration anew.
    ///
    /// # Errors
    /// As [`Site::open`].
    pub async fn reload(&self) -> Result<()> {
        // Revision first: a write in between is then read twice, never missed.
        let revision = self.revision().await?;
        let mut snapshot = Snapshot::default();
        snapshot.revision = revision;
        snapshot.settings = Arc::new(self.read_settings().await?);
        for row in self.db.read("SELECT id, model, data, created, changed FROM object", &[]).await? {
            if let Some(object) = self.decode(&row)? {
                snapshot.put(Arc::new(object));
            }
        }
        self.snapshot.store(Arc::new(snapshot));
        Ok(())
    }

    /// Takes over what other nodes wrote since. Returns whether anything was new.
    ///
    /// # Errors
    /// As [`Site::open`].
    pub async fn catch_up(&self) -> Result<bool> {
        let _writing = self.writing.lock().await;
        self.catch_up_locked(None).await
    }

    pub(crate) async fn catch_up_locked(&self, tx: Option<&mut Tx>) -> Result<bool> {
        let current = self.snapshot();
        let sql = "SELECT r.id AS revision, r.object_id, o.id, o.model, o.data, o.created, o.changed \
                   FROM object_revision r LEFT JOIN object o ON o.id = r.object_id WHERE r.id > $1 ORDER BY r.id";
        let vals = [current.revision.into()];
        let rows = match tx {
            Some(tx) => tx.read(sql, &vals).await?,
            None => self.db.read(sql, &vals).await?,
        };
        let Some(last) = rows.last() else { return Ok(false) };
        let mut next = Snapshot::clone(&current);
        next.revision = last.int("revision")?;
        for row in &rows {
            match row.opt_text("id")? {
                Some(_) => {
                    if let Some(object) = self.decode(row)? {
                        next.put(Arc::new(object));
                    }
                }
                None => {
                    if let Ok(id) = Uuid::parse_str(&row.text("object_id")?) {
                        next.remove(id);
                    }
                }
            }
        }
        next.settings = Arc::new(self.read_settings().await?);
        self.snapshot.store(Arc::new(next));
        Ok(true)
    }

    /// Follows the writes of other nodes until the task is dropped: at once by notice, else every half second.
    pub async fn follow(self: Arc<Self>) {
        let mut notices = self.db.changes();
        loop {
            let wait = std::time::Duration::from_millis(500);
            if tokio::time::timeout(wait, notices.changed()).await.is_ok_and(|r| r.is_err()) {
                tokio::time::sleep(wait).await;
            }
            if let Err(error) = self.catch_up().await {
                tracing::warn!(error = format!("{error:#}"), "configuration could not be followed");
            }
        }
    }

    /// Objects by key, outside any transaction; unknown keys are left out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find_many(&self, kind: &'static ResourceType, pks: &[String]) -> Result<Vec<Stored>, ApiError> {
        let Backing::Table(def) = kind.backing else {
            let snapshot = self.snapshot();
            let ids = pks.iter().filter_map(|pk| kind.document_key(pk));
            return Ok(ids.filter_map(|id| snapshot.find_kind(kind.model, id).map(|o| Stored::of(o))).collect());
        };
        let mut found = Vec::with_capacity(pks.len());
        for part in pks.chunks(500) {
            let keys: Vec<Val> = part.iter().filter_map(|pk| table::key(def, pk)).collect();
            if keys.is_empty() {
                continue;
            }
            let marks: Vec<String> = (1..=keys.len()).map(|i| format!("${i}")).collect();
            let only = if def.only.is_empty() { String::new() } else { format!(" AND {}", def.only) };
            let sql = format!("SELECT * FROM {} WHERE {} IN ({}){only}", def.table, def.pk, marks.join(", "));
            let rows = self.db.read(&sql, &keys).await.map_err(store)?;
            found.extend(table::read_rows(self, None, kind, def, rows).await?.into_iter().map(|r| r.stored));
        }
        Ok(found)
    }

    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.store(snapshot);
    }

    async fn revision(&self) -> Result<i64, StoreError> {
        let row = self.db.read_one("SELECT MAX(id) AS revision FROM object_revision", &[]).await?;
        Ok(row.map(|r| r.opt_int("revision")).transpose()?.flatten().unwrap_or(0))
    }

    async fn read_settings(&self) -> Result<Settings> {
        let row = self.db.read_one("SELECT value FROM installation WHERE key = $1", &["settings".into()]).await?;
        match row {
            Some(row) => serde_json::from_str(&row.text("value")?).context("the stored settings cannot be read"),
            None => Ok(Settings::default()),
        }
    }

    /// A row of the document table; none when its model is not known to this build (an older or newer node's).
    pub(crate) fn decode(&self, row: &Row) -> Result<Option<Object>> {
        let (id, model) = (row.text("id")?, row.text("model")?);
        let Some(kind) = self.registry.find(&model) else {
            tracing::warn!(model, id, "object of a model this build does not know is left alone");
            return Ok(None);
        };
        let stored: Map = match row.json("data")? {
            Value::Object(map) => map,
            _ => anyhow::bail!("object {id} is no JSON object"),
        };
        // Fields that are newer than the document take their default.
        let mut doc = kind.defaults();
        doc.extend(stored);
        let object = Object::new(kind, Uuid::parse_str(&id)?, doc, row.time("created")?, row.time("changed")?)
            .with_context(|| format!("{model} {id} does not fit its definition"))?;
        Ok(Some(object))
    }
}

/// Reads or makes the installation's identifier and secret.
async fn installation(db: &Db, random: &dyn Random) -> Result<Installation> {
    let mut tx = db.tx();
    tx.set_durability(Durability::Full);
    let mut values = [("install_id", random.uuid().to_string()), ("secret_key", random.text(86))];
    for (key, value) in &mut values {
        let found = tx.read_one("SELECT value FROM installation WHERE key = $1", &[(*key).into()]).await?;
        if let Some(row) = found {
            *value = row.text("value")?;
            continue;
        }
        tx.write(
            "INSERT INTO installation (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING",
            &[(*key).into(), value.clone().into()],
        )
        .await?;
        // Another node may have been first.
        if let Some(row) = tx.read_one("SELECT value FROM installation WHERE key = $1", &[(*key).into()]).await? {
            *value = row.text("value")?;
        }
    }
    tx.commit().await?;
    let [(_, id), (_, secret)] = values;
    Ok(Installation { id, secret: secret.into_bytes() })
}
