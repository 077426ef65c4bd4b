//! Who may use an application: the policies bound to it decide, for one user or for many.

use crate::Application;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;
use weir_identity::{Account, membership};
use weir_policy::{Engine, EngineResult, PolicyCx, PolicyRequest, RequestInfo};
use weir_resource::Snapshot;

/// The engine that decides over an application.
pub fn engine(snapshot: &Snapshot, key: Uuid, application: &Application) -> Engine {
    let open = snapshot.settings.flags.get("core_default_app_access").and_then(serde_json::Value::as_bool);
    Engine { target: key, mode: application.policy_engine_mode, empty_result: open.unwrap_or(true) }
}

/// What the policies bound to an application say about a user who makes this request.
///
/// # Errors
/// Those of the store; a policy that fails is an answer.
pub async fn ask(
    cx: &mut PolicyCx<'_>,
    http: &RequestInfo,
    (key, application): (Uuid, &Application),
    user: &Account,
    groups: Option<&BTreeSet<Uuid>>,
) -> anyhow::Result<EngineResult> {
    let engine = engine(cx.snapshot, key, application);
    let mut request = PolicyRequest::new(Some(user), http, weir_flow::planner::summary(cx.snapshot, key));
    engine.evaluate_knowing(cx, &mut request, groups).await
}

/// Those of these users whom the policies of an application let in, outside any request; whether a locked account counts
/// is the caller's business. Bindings of users and groups cost one question for all of them together; only policies are
/// asked for each user.
///
/// # Errors
/// Those of the store.
pub async fn have_access(cx: &mut PolicyCx<'_>, application: Uuid, users: &[Account]) -> anyhow::Result<BTreeSet<i64>> {
    let Some(found) = cx.snapshot.get::<Application>(application) else { return Ok(BTreeSet::new()) };
    let bound = bound_groups(cx.snapshot, application);
    let ids: Vec<i64> = users.iter().map(|user| user.id).collect();
    let groups: BTreeMap<i64, BTreeSet<Uuid>> = match bound.is_empty() {
        true => BTreeMap::new(),
        false => membership::groups_of_many(&mut *cx.tx, &ids).await?,
    };
    let (http, none) = (RequestInfo::default(), BTreeSet::new());
    let mut may = BTreeSet::new();
    for user in users {
        let groups = groups.get(&user.id).unwrap_or(&none);
        if ask(cx, &http, (application, &found), user, Some(groups)).await?.passing {
            may.insert(user.id);
        }
    }
    Ok(may)
}

/// Groups that enabled bindings of a target name.
fn bound_groups(snapshot: &Snapshot, target: Uuid) -> BTreeSet<Uuid> {
    let bindings = snapshot.referring_by::<weir_policy::PolicyBinding>(target, "target");
    let enabled = bindings.iter().filter(|(_, binding)| binding.enabled);
    enabled.filter_map(|(_, binding)| binding.group.as_ref().map(|group| *group.pk())).collect()
}
