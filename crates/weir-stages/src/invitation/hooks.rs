//! Who made an invitation, which flow it is for, and what happens to it when that flow goes.

use super::{Invitation, InvitationStage};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;
use weir_core::{ApiError, Map, Resource};
use weir_flow::Flow;
use weir_identity::{accounts, user};
use weir_resource::{
    Condition, HookSet, Hooks, Keep, ListQuery, Presenting, Site, Stored, Unit, UsedBy, present, store,
};
use weir_store::{StoreError, Val};

/// Most invitations that a flow's users name.
const SHOWN: i64 = 100;

/// Puts the hooks in place.
pub fn hooks(set: &mut HookSet) {
    set.add(Invitation::MODEL, Arc::new(InvitationHooks));
    set.add(InvitationStage::MODEL, Arc::new(StageHooks));
    set.add(Flow::MODEL, Arc::new(FlowHooks));
}

struct StageHooks;

#[async_trait]
impl Hooks for StageHooks {
    fn keep(&self, query: &ListQuery) -> Result<Option<Keep>, ApiError> {
        let unused = query.flag("no_flows")?;
        Ok(unused.map(|unused| Keep::referred(&["no_flows"], "stage", !unused)))
    }
}

struct InvitationHooks;

/// Stands for the flow of an invitation that fits every flow: clients made from the contract cannot read null there.
fn no_flow(site: &Site) -> Result<Stored, ApiError> {
    let kind = weir_identity::kind::<Flow>(site)?;
    let mut doc = kind.defaults();
    // A slug is never empty; `-` leads nowhere.
    for (field, value) in [("name", ""), ("slug", "-"), ("title", "")] {
        doc.insert(field.to_owned(), value.into());
    }
    doc.insert("designation".to_owned(), "enrollment".into());
    Ok(Stored { kind, pk: Uuid::nil().to_string(), doc })
}

#[async_trait]
impl Hooks for InvitationHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        if old.is_none() {
            accounts::lock_actor(unit).await?;
            new.insert("created_by".to_owned(), unit.actor.user_id.into());
        }
        Ok(())
    }

    fn columns(&self, site: &Site, old: Option<&Stored>, _new: &Map) -> Vec<(&'static str, Val)> {
        if old.is_some() { Vec::new() } else { vec![("created", site.clock.now().into())] }
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let mut ids: Vec<i64> = rows.iter().filter_map(|row| row.doc.get("created_by")?.as_i64()).collect();
        ids.sort_unstable();
        ids.dedup();
        let makers = accounts::find_many(&cx.site.db, &ids).await.map_err(store)?;
        let makers: BTreeMap<i64, Value> =
            makers.iter().map(|maker| (maker.id, user::partial(maker, &cx.site.installation.id))).collect();
        for (row, answer) in rows.iter().zip(answers) {
            let maker = row.doc.get("created_by").and_then(Value::as_i64).and_then(|id| makers.get(&id));
            answer.insert("created_by".to_owned(), maker.cloned().unwrap_or_default());
            let flow = Uuid::parse_str(row.text("flow")).ok().and_then(|id| cx.snapshot.find_kind(Flow::MODEL, id));
            let flow = flow.map_or_else(|| no_flow(cx.site), |flow| Ok(Stored::of(flow)))?;
            let mut shown = present(cx, &[flow]).await?.into_iter().next().unwrap_or_default();
            for (field, empty) in [
                ("background_url", json!("")),
                ("background_themed_urls", Value::Null),
                ("stages", json!([])),
                ("policies", json!([])),
                ("cache_count", json!(0)),
                ("export_url", json!("")),
            ] {
                shown.entry(field).or_insert(empty);
            }
            answer.insert("flow_obj".to_owned(), Value::Object(shown));
        }
        Ok(())
    }

    fn filter(&self, site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        Ok(match name {
            "created_by__username" => {
                let sql = "created_by IN (SELECT id FROM identity_user WHERE username = ?)";
                Some(Condition::new(sql, vec![value.into()]))
            }
            "flow__slug" => {
                let flow = site.snapshot().get_by::<Flow>("slug", value).map(|(id, _)| id.to_string());
                Some(Condition::new("flow = ?", vec![flow.unwrap_or_default().into()]))
            }
            _ => None,
        })
    }
}

struct FlowHooks;

#[async_trait]
impl Hooks for FlowHooks {
    async fn used_by(&self, unit: &mut Unit<'_>, target: &Stored) -> Result<Vec<UsedBy>, ApiError> {
        let kind = weir_identity::kind::<Invitation>(unit.site)?;
        let sql = "SELECT id, name FROM invitation WHERE flow = $1 ORDER BY name, id LIMIT $2";
        let rows = unit.tx.read(sql, &[target.pk.clone().into(), SHOWN.into()]).await.map_err(store)?;
        let found = rows.iter().map(|row| {
            let (pk, name) = (row.text("id")?, row.text("name")?);
            Ok(UsedBy { app: kind.app_label(), model_name: kind.model_name(), pk, name, action: "set_null" })
        });
        found.collect::<Result<_, StoreError>>().map_err(store)
    }

    /// An invitation that only one flow took must not open every flow when that one goes: it ends with it.
    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        let now = unit.site.clock.now();
        let sql = "UPDATE invitation SET flow = NULL, expires = CASE WHEN expires < $1 THEN expires ELSE $1 END \
                   WHERE flow = $2";
        unit.tx.write(sql, &[now.into(), old.pk.clone().into()]).await.map_err(store)?;
        Ok(())
    }
}
