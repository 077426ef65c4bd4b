//! Operations on sources and mappings of all kinds.

use serde_json::json;
use std::sync::Arc;
use weir_core::{ApiError, Family, Map, validate};
use weir_flow::{App, PlanContext, sources};
use weir_http::{Access, Call, Reply, Route};
use weir_identity::{Account, Group, User, accounts, kind};
use weir_policy::{PolicyCx, engine::Mode, expression::Environment};
use weir_resource::{Unit, Visible, store};

const MAPPING: &str = Family::PropertyMapping.model();

/// The operations.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let (settings, test) = (Arc::clone(engine), Arc::clone(engine));
    vec![
        Route::new("sources_all_user_settings_list", Access::SignedIn, move |call| {
            let engine = Arc::clone(&settings);
            async move { user_settings(&engine, &call).await }
        }),
        Route::new("propertymappings_all_test_create", Access::Seen { model: MAPPING }, move |call| {
            let engine = Arc::clone(&test);
            async move { try_mapping(&engine, call).await }
        }),
    ]
}

/// Sources that the caller may connect with.
async fn user_settings(engine: &App, call: &Call) -> Result<Reply, ApiError> {
    let user = call.user()?.clone();
    let mut unit = Unit::new(&call.app.site, call.actor());
    let snapshot = Arc::clone(&unit.snapshot);
    let mut all: Vec<_> = engine
        .site
        .registry
        .family(Family::Source)
        .into_iter()
        .flat_map(|kind| snapshot.of_model(kind.model).cloned().collect::<Vec<_>>())
        .collect();
    all.sort_by(|a, b| a.text("name").cmp(b.text("name")));
    let info = call.info();
    let mut shown = Vec::new();
    for source in all {
        let Some(button) = sources::button(engine, &snapshot, source.id) else { continue };
        let mode: Mode = source
            .doc
            .get("policy_engine_mode")
            .cloned()
            .and_then(|m| serde_json::from_value(m).ok())
            .unwrap_or_default();
        let context = PlanContext::default();
        let (may, _) = sources::admits(engine, &mut unit, &info, (source.id, mode), Some(&user), &context).await?;
        if !may {
            continue;
        }
        let kind = source.kind.model_name().trim_end_matches("source");
        let mut entry = json!({
            "object_uid": source.text("slug"),
            "component": format!("ak-user-settings-source-{kind}"),
            "title": button.name,
            "configure_url": button.challenge.get("to"),
        });
        if let (Some(icon), Some(entry)) = (button.icon_url, entry.as_object_mut()) {
            entry.insert("icon_url".to_owned(), icon.into());
        }
        shown.push(entry);
    }
    unit.commit().await?;
    Ok(Reply::ok(&shown))
}

/// A mapping on trial.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct TestBody {
    /// The user it runs for.
    #[serde(default)]
    #[schemars(extend("format" = "int64"))]
    user: Option<i64>,
    /// Further variables.
    #[serde(default)]
    context: Map,
    /// The group it runs for.
    #[serde(default)]
    group: Option<uuid::Uuid>,
}

/// Running a mapping runs its code, so it takes the right to change it.
async fn try_mapping(engine: &App, mut call: Call) -> Result<Reply, ApiError> {
    let mapping = call.target()?.clone();
    if !call.may_in_family("change", &mapping) {
        return Err(ApiError::forbidden());
    }
    let body: TestBody = call.typed().await?;
    let user = match body.user {
        Some(id) => Some(subject(&call, id).await?),
        None => None,
    };
    let mut variables = body.context;
    if let Some(group) = body.group {
        let groups = kind::<Group>(&call.app.site)?;
        let pk = group.to_string();
        let sees = match call.visible(groups)? {
            Some(Visible::All) => true,
            Some(Visible::Some { keys, .. }) => keys.contains(&pk),
            None => false,
        };
        let mut unit = Unit::new(&call.app.site, call.actor());
        let found = unit.find(groups, &pk).await?.filter(|_| sees).ok_or_else(ApiError::forbidden)?;
        let shown = json!({"app": "authentik_core", "model_name": "group", "pk": pk, "name": found.text("name")});
        variables.insert("group".to_owned(), shown);
    }
    let mut unit = Unit::new(&call.app.site, call.actor());
    let snapshot = Arc::clone(&unit.snapshot);
    // A trial leaves no trace: what the expression reports is dropped with this list.
    let mut events = Vec::new();
    let mut cx = PolicyCx {
        site: &engine.site,
        snapshot: &snapshot,
        tx: &mut unit.tx,
        kinds: &engine.policies,
        events: &mut events,
        depth: 0,
    };
    let info = call.info();
    let env = Environment { name: mapping.text("name"), user: user.as_ref(), http: &info, variables };
    let pretty = call.flag("format_result")?.unwrap_or(false);
    let (result, successful) = match engine.expressions.evaluate(&mut cx, mapping.text("expression"), env).await {
        Ok(value) if pretty => (serde_json::to_string_pretty(&value).map_err(anyhow::Error::new)?, true),
        Ok(value) => (value.to_string(), true),
        Err(error) => (error.to_string(), false),
    };
    Ok(Reply::ok(&json!({"result": result, "successful": successful})))
}

/// The user a mapping is tried with; 403 for one the caller may not see.
async fn subject(call: &Call, id: i64) -> Result<Account, ApiError> {
    let users = kind::<User>(&call.app.site)?;
    let pk = id.to_string();
    let sees = match call.visible(users)? {
        Some(Visible::All) => true,
        Some(Visible::Some { keys, .. }) => keys.contains(&pk),
        None => false,
    };
    if !sees {
        return Err(ApiError::forbidden());
    }
    let found = accounts::find(&call.app.site.db, id).await.map_err(store)?;
    found.ok_or_else(|| ApiError::field("user", validate::invalid_pk(&json!(id))))
}
