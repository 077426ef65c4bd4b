//! Read-only fields of policy bindings.

use async_trait::async_trait;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_identity::{accounts, group, user};
use weir_resource::{Hooks, Keep, ListQuery, Presenting, Stored, policy_target_uuid, present, store};

/// Fields of the contract's `Policy`; those of the kind stay out.
const POLICY: [&str; 8] = [
    "pk",
    "name",
    "execution_logging",
    "component",
    "verbose_name",
    "verbose_name_plural",
    "meta_model_name",
    "bound_to",
];

/// See [`PolicyBinding`](crate::PolicyBinding).
pub struct BindingHooks;

/// The policies of a page by key. Neighbours of one kind are presented together.
async fn policies(cx: &Presenting<'_>, rows: &[Stored]) -> Result<BTreeMap<String, Value>, ApiError> {
    let keys: BTreeSet<Uuid> = rows.iter().filter_map(|r| Uuid::parse_str(r.text("policy")).ok()).collect();
    let mut found: Vec<Stored> =
        keys.into_iter().filter_map(|id| cx.snapshot.find(id)).map(|object| Stored::of(object)).collect();
    found.sort_by_key(|s| s.kind.model);
    let shown = present(cx, &found).await?;
    Ok(found
        .iter()
        .zip(shown)
        .map(|(stored, mut answer)| {
            answer.retain(|field, _| POLICY.contains(&field.as_str()));
            (stored.pk.clone(), Value::Object(answer))
        })
        .collect())
}

#[async_trait]
impl Hooks for BindingHooks {
    fn keep(&self, query: &ListQuery) -> Result<Option<Keep>, ApiError> {
        let (one, several) = (query.uuids("target")?, query.uuids("target_in")?);
        if one.is_empty() && several.is_empty() {
            return Ok(None);
        }
        Ok(Some(Keep::new(&["target", "target_in"], move |doc| {
            let target = doc.get("target").and_then(Value::as_str).and_then(|text| Uuid::parse_str(text).ok());
            // The key of the object, or that under which policies are bound to it.
            let is_among = |wanted: &[Uuid]| {
                let is_meant = |key: Uuid| wanted.contains(&key) || wanted.contains(&policy_target_uuid(key));
                wanted.is_empty() || target.is_some_and(is_meant)
            };
            is_among(&one) && is_among(&several)
        })))
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let policies = policies(cx, rows).await?;
        let groups: BTreeSet<&str> = rows.iter().map(|r| r.text("group")).filter(|key| !key.is_empty()).collect();
        let groups: Vec<String> = groups.into_iter().map(str::to_owned).collect();
        let groups: BTreeMap<String, Value> =
            group::partial_many(&cx.site.db, &groups).await.map_err(store)?.into_iter().collect();
        let users: BTreeSet<i64> = rows.iter().filter_map(|r| r.doc.get("user")?.as_i64()).collect();
        let users: Vec<i64> = users.into_iter().collect();
        let users = accounts::find_many(&cx.site.db, &users).await.map_err(store)?;
        let users: BTreeMap<i64, Value> =
            users.iter().map(|a| (a.id, user::partial(a, &cx.site.installation.id))).collect();
        for (row, answer) in rows.iter().zip(answers) {
            let user = row.doc.get("user").and_then(Value::as_i64).and_then(|id| users.get(&id));
            let mut add = |field: &str, value: Option<&Value>| {
                answer.insert(field.to_owned(), value.cloned().unwrap_or(Value::Null));
            };
            add("policy_obj", policies.get(row.text("policy")));
            add("group_obj", groups.get(row.text("group")));
            add("user_obj", user);
            // Bindings that end by themselves come with access requests.
            add("expires", None);
            add("expiring", Some(&Value::Bool(false)));
        }
        Ok(())
    }
}
