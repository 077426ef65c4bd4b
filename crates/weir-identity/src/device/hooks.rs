//! What holds for every kind of device in the API: whose it is, its dates.

use super::DeviceKind;
use crate::{accounts, user};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;
use weir_core::{ApiError, Map};
use weir_resource::{Hooks, Presenting, Site, Stored, Unit, store};
use weir_store::Val;

/// Rules of a kind of device.
pub(super) struct DeviceHooks(pub(super) DeviceKind);

#[async_trait]
impl Hooks for DeviceHooks {
    /// The owner cannot be chosen (S-AUTHZ-5): a device made over the API is its maker's, without secret, and proves
    /// nothing before a flow has set it up.
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        if old.is_none() && new.get("user").is_none_or(Value::is_null) {
            let maker = unit.actor.user_id.ok_or_else(|| ApiError::field("user", "This field is required."))?;
            new.insert("user".to_owned(), maker.into());
        }
        Ok(())
    }

    fn columns(&self, site: &Site, old: Option<&Stored>, _new: &Map) -> Vec<(&'static str, Val)> {
        let now = site.clock.now();
        let mut columns = vec![("last_updated", Val::from(now))];
        if old.is_none() {
            columns.extend([("created", now.into()), ("confirmed", false.into())]);
        }
        columns
    }

    fn order(&self, name: &str) -> Option<&'static str> {
        match name {
            "created" => Some("created"),
            "last_updated" => Some("last_updated"),
            "last_used" => Some("last_used"),
            _ => None,
        }
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        if self.0 == DeviceKind::Endpoint {
            return Ok(());
        }
        let mut ids: Vec<i64> = rows.iter().filter_map(|row| row.doc.get("user")?.as_i64()).collect();
        ids.sort_unstable();
        ids.dedup();
        let owners = accounts::find_many(&cx.site.db, &ids).await.map_err(store)?;
        let shown: BTreeMap<i64, Value> =
            owners.iter().map(|owner| (owner.id, user::partial(owner, &cx.site.installation.id))).collect();
        for (row, answer) in rows.iter().zip(answers) {
            let owner = row.doc.get("user").and_then(Value::as_i64).and_then(|id| shown.get(&id));
            answer.insert("user".to_owned(), owner.cloned().unwrap_or_default());
        }
        Ok(())
    }
}
