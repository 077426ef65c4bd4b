//! The engine's resource types and their read-only fields.

use crate::{Flow, FlowStageBinding, executor::background, inspector::stage_summary, planner, planner::PlanCache};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Map, Resource, ResourceType};
use weir_policy::PolicyBinding;
use weir_resource::{HookSet, Hooks, Keep, ListQuery, Presenting, Stored, Unit, store};

/// The definitions of this crate.
pub fn resources() -> Vec<ResourceType> {
    vec![ResourceType::of::<Flow>(), ResourceType::of::<FlowStageBinding>()]
}

/// Their hooks.
pub fn hooks(set: &mut HookSet, plans: Arc<PlanCache>) {
    set.add(Flow::MODEL, Arc::new(FlowHooks { plans }));
    set.add(FlowStageBinding::MODEL, Arc::new(BindingHooks));
}

struct FlowHooks {
    plans: Arc<PlanCache>,
}

#[async_trait]
impl Hooks for FlowHooks {
    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for (row, answer) in rows.iter().zip(answers) {
            let Some((id, flow)) =
                Uuid::parse_str(&row.pk).ok().and_then(|id| Some((id, cx.snapshot.get::<Flow>(id)?)))
            else {
                continue;
            };
            let (address, themed) = background(cx.site, cx.snapshot, &flow, None);
            let stages: Vec<Uuid> = planner::bindings(cx.snapshot, id).iter().map(|(_, b)| *b.stage.pk()).collect();
            let mut policies = cx.snapshot.referring_by::<PolicyBinding>(id, "target");
            policies.sort_by_key(|(key, b)| (b.order, *key));
            let policies: Vec<Uuid> = policies.iter().filter_map(|(_, b)| Some(*b.policy.as_ref()?.pk())).collect();
            let count = self.plans.count(Some(id), cx.snapshot.revision, cx.site.clock.now());
            answer.insert("background_url".to_owned(), address.into());
            answer.insert("background_themed_urls".to_owned(), themed);
            answer.insert("stages".to_owned(), json!(stages));
            answer.insert("policies".to_owned(), json!(policies));
            answer.insert("cache_count".to_owned(), count.into());
            answer.insert(
                "export_url".to_owned(),
                format!("{}/api/v3/flows/instances/{}/export/", cx.site.prefix, flow.slug.0).into(),
            );
        }
        Ok(())
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        let sql = "DELETE FROM identity_token WHERE flow_id = $1";
        unit.tx.write(sql, &[old.pk.clone().into()]).await.map_err(store)?;
        Ok(())
    }
}

struct BindingHooks;

#[async_trait]
impl Hooks for BindingHooks {
    fn keep(&self, query: &ListQuery) -> Result<Option<Keep>, ApiError> {
        let wanted = query.uuids("policies")?;
        if wanted.is_empty() {
            return Ok(None);
        }
        Ok(Some(Keep::among(&["policies"], move |snapshot, object| {
            let bound = snapshot.referring_by::<PolicyBinding>(object.id, "target");
            bound.iter().any(|(_, binding)| binding.policy.as_ref().is_some_and(|policy| wanted.contains(policy.pk())))
        })))
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for (row, answer) in rows.iter().zip(answers) {
            let stage = Uuid::parse_str(row.text("stage")).ok().and_then(|id| cx.snapshot.find(id));
            let shown = match stage {
                Some(object) => stage_summary(cx, &Stored::of(object)).await?,
                None => Value::Null,
            };
            answer.insert("stage_obj".to_owned(), shown);
        }
        Ok(())
    }
}
