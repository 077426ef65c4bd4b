//! Discovery: objects that are at the target already are connected with those here, so that they are not made twice.

use super::{Run, full::LEASE};
use crate::{
    connection::{self, Connection, Saved},
    state::{self, Model},
    target::Remote,
    wire::Failure,
};
use serde_json::json;
use std::{collections::HashMap, time::Instant};
use uuid::Uuid;
use weir_store::{Durability, Val};

/// Values of one statement.
const CHUNK: usize = 400;
/// More pages than this are a target that goes in circles.
const MOST_PAGES: usize = 100_000;

impl Run<'_> {
    pub(super) async fn discover(&self, model: Model, holder: Uuid, until: Instant) -> Result<(), Failure> {
        let (site, number) = (&self.engine.site, self.assigned.number);
        let mut from: Option<String> = None;
        let mut linked = 0;
        for _ in 0..MOST_PAGES {
            let (found, next) = match self.target.discover(&self.wire, model, from.as_deref()).await {
                // A target without such a list has nothing to be found.
                Err(Failure::Missing) => break,
                other => other?,
            };
            let is_empty = found.is_empty();
            linked += self.link(model, found).await?;
            let mut tx = site.db.tx();
            tx.set_durability(Durability::Relaxed);
            state::renew_full(&mut tx, number, holder, site.clock.now() + LEASE).await?;
            tx.commit().await?;
            if next.is_none() || next == from || is_empty || Instant::now() >= until {
                break;
            }
            from = next;
        }
        let fields = json!({"model": model.word(), "connected": linked});
        self.wire.journal.info("Looked for what is there already", fields);
        Ok(())
    }

    async fn link(&self, model: Model, found: Vec<Remote>) -> Result<usize, Failure> {
        let named: Vec<(Remote, Vec<String>)> = found
            .into_iter()
            .map(|remote| {
                let names = self.target.names(model, &remote).iter().map(|name| name.to_lowercase()).collect();
                (remote, names)
            })
            .collect();
        let all: Vec<String> = named.iter().flat_map(|(_, names)| names.clone()).collect();
        let here = self.here(model, &all).await?;
        let (site, number, tables) = (&self.engine.site, self.assigned.number, self.assigned.kind.tables());
        let mut pairs: Vec<(&str, Remote)> = named
            .into_iter()
            .filter_map(|(remote, names)| Some((names.iter().find_map(|name| here.get(name))?.as_str(), remote)))
            .collect();
        pairs.sort_by_key(|(key, _)| *key);
        let keys: Vec<&str> = pairs.iter().map(|(key, _)| *key).collect();
        let known = connection::find_many(&site.db, &tables, number, (model, &keys)).await?;
        pairs.retain(|(key, _)| !known.contains_key(*key));
        let mut linked = 0;
        if pairs.is_empty() {
            return Ok(linked);
        }
        let mut tx = site.db.tx();
        tx.begin_write().await?;
        for (key, remote) in pairs {
            let which = (model, key);
            // Told of meanwhile, or there twice.
            if !connection::of_object(&mut tx, &tables, number, which).await?.is_empty() {
                continue;
            }
            let new = Connection { remote_id: remote.id, attributes: remote.attributes, ..Connection::default() };
            let saved = connection::save(&mut tx, site.random.uuid(), (&tables, number), which, (&new, None)).await?;
            if saved == Saved::Kept {
                linked += 1;
            }
        }
        tx.commit().await?;
        Ok(linked)
    }

    /// Keys of objects here by their names, all lower case. A username wins over an address.
    async fn here(&self, model: Model, names: &[String]) -> Result<HashMap<String, String>, Failure> {
        let db = &self.engine.site.db;
        let mut found = HashMap::new();
        for part in names.chunks(CHUNK) {
            let marks: Vec<String> = (1..=part.len()).map(|i| format!("${i}")).collect();
            let marks = marks.join(", ");
            let vals: Vec<Val> = part.iter().map(Val::from).collect();
            let sql = match model {
                Model::User => format!(
                    "SELECT id, username_lower AS a, email_lower AS b FROM identity_user \
                     WHERE username_lower IN ({marks}) OR email_lower IN ({marks}) ORDER BY id"
                ),
                Model::Group => {
                    format!("SELECT id, LOWER(name) AS a, '' AS b FROM identity_group WHERE LOWER(name) IN ({marks})")
                }
            };
            for row in db.read(&sql, &vals).await? {
                let key = match model {
                    Model::User => row.int("id")?.to_string(),
                    Model::Group => row.text("id")?,
                };
                let address = row.text("b")?;
                if !address.is_empty() {
                    found.entry(address).or_insert_with(|| key.clone());
                }
                found.insert(row.text("a")?, key);
            }
        }
        Ok(found)
    }
}
