//! Operations beyond those that follow from the definitions: how a provider's sync goes, one object now, and the state of
//! every object with every target.

use crate::{
    engine::{Engine, Manner},
    journal::Journal,
    provider,
    state::{self, Change, Model, State},
    tasks,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use weir_core::ApiError;
use weir_http::{Access, Call, Reply, Route};
use weir_resource::{Unit, store};
use weir_store::{
    Val,
    jobs::{self, JobFilter},
};

/// How long an administrator waits for one object.
const WAIT: Duration = Duration::from_secs(25);
/// Largest page of states.
const LARGEST: i64 = 1000;
/// Rows that one replay makes pending in one go.
const BATCH: i64 = 500;

/// The operations of one kind of provider: how its sync goes, and one object now.
fn of_kind(
    engine: &Arc<Engine>,
    (model, change): (&'static str, &'static str),
    (status, object): (&'static str, &'static str),
) -> [Route; 2] {
    let (looking, telling) = (Arc::clone(engine), Arc::clone(engine));
    [
        Route::new(status, Access::Seen { model }, move |call| {
            let engine = Arc::clone(&looking);
            async move { sync_status(&engine, &call).await }
        }),
        Route::new(object, Access::Object { model, permission: change }, move |call| {
            let engine = Arc::clone(&telling);
            async move { sync_object(&engine, call).await }
        }),
    ]
}

/// The operations.
pub fn routes(engine: &Arc<Engine>) -> Vec<Route> {
    let kinds = [
        of_kind(
            engine,
            ("authentik_providers_scim.scimprovider", "authentik_providers_scim.change_scimprovider"),
            ("providers_scim_sync_status_retrieve", "providers_scim_sync_object_create"),
        ),
        of_kind(
            engine,
            (
                "authentik_providers_google_workspace.googleworkspaceprovider",
                "authentik_providers_google_workspace.change_googleworkspaceprovider",
            ),
            ("providers_google_workspace_sync_status_retrieve", "providers_google_workspace_sync_object_create"),
        ),
        of_kind(
            engine,
            (
                "authentik_providers_microsoft_entra.microsoftentraprovider",
                "authentik_providers_microsoft_entra.change_microsoftentraprovider",
            ),
            ("providers_microsoft_entra_sync_status_retrieve", "providers_microsoft_entra_sync_object_create"),
        ),
    ];
    kinds.into_iter().flatten().collect()
}

/// Operations of our own: the state of every object with every target.
pub fn own_routes(engine: &Arc<Engine>) -> Vec<Route> {
    let (list, targets, replay) = (Arc::clone(engine), Arc::clone(engine), Arc::clone(engine));
    vec![
        Route::new("weir_sync_states_list", Access::SignedIn, move |call| {
            let engine = Arc::clone(&list);
            async move { states(&engine, &call).await }
        }),
        Route::new("weir_sync_targets_list", Access::SignedIn, move |call| {
            let engine = Arc::clone(&targets);
            async move { all_targets(&engine, &call).await }
        }),
        Route::new("weir_sync_replay_create", Access::SignedIn, move |call| {
            let engine = Arc::clone(&replay);
            async move { replay_states(&engine, call).await }
        }),
    ]
}

async fn sync_status(engine: &Engine, call: &Call) -> Result<Reply, ApiError> {
    let target = call.target()?;
    let (db, now) = (&engine.site.db, engine.site.clock.now());
    let known = state::target(db, target.int_pk()).await.map_err(store)?;
    let filter = JobFilter {
        actor_name: Some(tasks::FULL.to_owned()),
        rel_app_label: Some(target.kind.app_label().to_owned()),
        rel_model: Some(target.kind.model_name().to_owned()),
        rel_id: Some(target.pk.clone()),
        ordering: Some("-created".to_owned()),
        page: 1,
        page_size: 1,
        ..JobFilter::default()
    };
    let last = jobs::list(db, &filter).await.map_err(store)?.items.into_iter().next();
    let mut answer = json!({"is_running": known.running_until.is_some_and(|until| until > now)});
    if let Some(answer) = answer.as_object_mut() {
        if let Some(time) = known.last_success {
            let time = time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            answer.insert("last_successful_sync".to_owned(), time.into());
        }
        if let Some(job) = last {
            answer.insert("last_sync_status".to_owned(), job.aggregated_status.into());
        }
    }
    Ok(Reply::ok(&answer))
}

/// What can be synchronised on its own.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
enum SyncObjectModel {
    #[serde(rename = "authentik.core.models.User")]
    User,
    #[serde(rename = "authentik.core.models.Group")]
    Group,
}

/// One object to be told now.
#[derive(Deserialize, JsonSchema)]
struct SyncObjectBody {
    /// User or group.
    sync_object_model: SyncObjectModel,
    /// Its key.
    #[schemars(length(min = 1))]
    sync_object_id: String,
    /// Really change the target although the provider is on a dry run.
    #[serde(default)]
    override_dry_run: bool,
}

async fn sync_object(engine: &Arc<Engine>, mut call: Call) -> Result<Reply, ApiError> {
    let number = call.target()?.int_pk();
    let body: SyncObjectBody = call.typed().await?;
    let model = match body.sync_object_model {
        SyncObjectModel::User => Model::User,
        SyncObjectModel::Group => Model::Group,
    };
    let site = &engine.site;
    let sql = match model {
        Model::User => "SELECT id FROM identity_user WHERE id = $1",
        Model::Group => "SELECT id FROM identity_group WHERE id = $1",
    };
    let key = match model {
        Model::User => body.sync_object_id.parse::<i64>().ok().map(Val::from),
        Model::Group => uuid::Uuid::parse_str(&body.sync_object_id).ok().map(Val::from),
    };
    let found = match key {
        Some(key) => site.db.read_one(sql, &[key]).await.map_err(store)?.is_some(),
        None => false,
    };
    if !found {
        return Err(ApiError::field("sync_object_id", "Object does not exist."));
    }
    let journal = Journal::new(site.clock.clone());
    match provider::assigned(&site.snapshot(), &engine.kinds, number) {
        None => journal.warn("No provider found. Is it assigned to an application?", Value::Null),
        Some(target) => {
            let key = body.sync_object_id.to_lowercase();
            let until = Instant::now() + WAIT;
            let manner = Manner::Shown { override_dry_run: body.override_dry_run };
            if !engine.object(&target, (model, &key), manner, &journal, until).await? {
                journal.warn("The object is being told by another task.", Value::Null);
            }
        }
    }
    Ok(Reply::ok(&json!({"messages": journal.shown()})))
}

/// Numbers of the providers that the caller sees, or may change.
fn numbers(engine: &Engine, call: &Call, action: &str) -> Vec<i64> {
    let snapshot = engine.site.snapshot();
    provider::every(&snapshot, &engine.kinds)
        .into_iter()
        .filter(|(number, object)| call.grants.may(&object.kind.permission(action), Some(&number.to_string())))
        .map(|(number, _)| number)
        .collect()
}

/// Conditions that follow from filters, with their values.
struct Filter {
    sql: String,
    vals: Vec<Val>,
}

fn filter(
    numbers: &[i64],
    (model, object, state): (Option<&str>, Option<&str>, Option<&str>),
) -> Result<Filter, ApiError> {
    let mut vals: Vec<Val> = numbers.iter().map(|number| Val::from(*number)).collect();
    let marks: Vec<String> = (1..=vals.len()).map(|i| format!("${i}")).collect();
    let mut conditions =
        vec![if marks.is_empty() { "1 = 0".to_owned() } else { format!("provider IN ({})", marks.join(", ")) }];
    let mut add = |column: &str, value: &str| {
        vals.push(value.into());
        conditions.push(format!("{column} = ${}", vals.len()));
    };
    if let Some(model) = model {
        let model = Model::of(model).ok_or_else(|| ApiError::field("model", "Must be user or group."))?;
        add("model", model.word());
    }
    if let Some(object) = object {
        add("object_key", object);
    }
    if let Some(state) = state {
        let text = "Must be pending, in_sync, failed or skipped.";
        let state = State::of(state).ok_or_else(|| ApiError::field("state", text))?;
        add("state", state.word());
    }
    Ok(Filter { sql: conditions.join(" AND "), vals })
}

async fn states(engine: &Engine, call: &Call) -> Result<Reply, ApiError> {
    let mut numbers = numbers(engine, call, "view");
    if let Some(wanted) = call.number("provider")? {
        numbers.retain(|number| *number == wanted);
    }
    let text = |name: &str| call.request.parameter(name).filter(|value| !value.is_empty());
    let Filter { sql, mut vals } = filter(&numbers, (text("model"), text("object"), text("state")))?;
    let (page, size) = (call.number("page")?.unwrap_or(1).max(1), call.number("page_size")?.unwrap_or(100));
    let size = size.clamp(1, LARGEST);
    let db = &engine.site.db;
    let count =
        db.read_one(&format!("SELECT COUNT(*) AS n FROM sync_state WHERE {sql}"), &vals).await.map_err(store)?;
    let count = count.map(|row| row.int("n")).transpose().map_err(store)?.unwrap_or_default();
    vals.push(size.into());
    vals.push((page - 1).saturating_mul(size).into());
    let window = format!("LIMIT ${} OFFSET ${}", vals.len() - 1, vals.len());
    let sql = format!("SELECT * FROM sync_state WHERE {sql} ORDER BY changed DESC, id {window}");
    let rows = db.read(&sql, &vals).await.map_err(store)?;
    let results: Result<Vec<Value>, _> = rows.iter().map(state::shown).collect();
    Ok(Reply::ok(&json!({"count": count, "page": page, "results": results.map_err(store)?})))
}

async fn all_targets(engine: &Engine, call: &Call) -> Result<Reply, ApiError> {
    let numbers = numbers(engine, call, "view");
    let (db, snapshot) = (&engine.site.db, engine.site.snapshot());
    let Filter { sql, vals } = filter(&numbers, (None, None, None))?;
    let sql = format!("SELECT provider, state, COUNT(*) AS n FROM sync_state WHERE {sql} GROUP BY provider, state");
    let counts = db.read(&sql, &vals).await.map_err(store)?;
    let mut shown = Vec::new();
    for number in numbers {
        let known = state::target(db, number).await.map_err(store)?;
        let time = |time: Option<chrono::DateTime<chrono::Utc>>| {
            Value::from(time.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)))
        };
        let mut objects = json!({"pending": 0, "in_sync": 0, "failed": 0, "skipped": 0});
        for row in counts.iter().filter(|row| row.int("provider").is_ok_and(|n| n == number)) {
            if let Some(objects) = objects.as_object_mut() {
                objects.insert(row.text("state").map_err(store)?, row.int("n").map_err(store)?.into());
            }
        }
        let object = provider::find(&snapshot, number);
        shown.push(json!({
            "provider": number,
            "name": object.map(|object| object.name()),
            "model": object.map(|object| object.kind.model),
            "is_assigned": provider::assigned(&snapshot, &engine.kinds, number).is_some(),
            "objects": objects,
            "failures": known.failures,
            "last_error": known.last_error,
            "blocked_until": time(known.blocked_until),
            "last_successful_sync": time(known.last_success),
        }));
    }
    Ok(Reply::ok(&json!({"results": shown})))
}

/// What is to be told again.
#[derive(Deserialize, JsonSchema)]
struct ReplayBody {
    /// Number of the provider; all when absent.
    #[serde(default)]
    #[schemars(extend("format" = "int64"))]
    provider: Option<i64>,
    /// `user` or `group`; both when absent.
    #[serde(default)]
    model: Option<String>,
    /// Key of one object; all when absent.
    #[serde(default)]
    object: Option<String>,
    /// State of what is told again; `failed` when absent and no object is named.
    #[serde(default)]
    state: Option<String>,
}

async fn replay_states(engine: &Engine, mut call: Call) -> Result<Reply, ApiError> {
    let body: ReplayBody = call.typed().await?;
    let mut numbers = numbers(engine, &call, "change");
    if numbers.is_empty() {
        return Err(ApiError::forbidden());
    }
    if let Some(wanted) = body.provider {
        numbers.retain(|number| *number == wanted);
        if numbers.is_empty() {
            return Err(ApiError::field("provider", weir_core::validate::invalid_pk(&json!(wanted))));
        }
    }
    let state = match (&body.state, &body.object) {
        (None, None) => Some("failed"),
        (state, _) => state.as_deref(),
    };
    let Filter { sql, mut vals } = filter(&numbers, (body.model.as_deref(), body.object.as_deref(), state))?;
    vals.push("".into());
    vals.push(BATCH.into());
    let after = vals.len() - 1;
    let sql = format!(
        "SELECT id, provider, model, object_key FROM sync_state WHERE {sql} AND id > ${after} \
         ORDER BY id LIMIT ${}",
        after + 1
    );
    let mut told = 0;
    loop {
        let rows = engine.site.db.read(&sql, &vals).await.map_err(store)?;
        let Some(last) = rows.last() else { break };
        if let Some(value) = vals.get_mut(after - 1) {
            *value = last.text("id").map_err(store)?.into();
        }
        let mut unit = Unit::new(&engine.site, call.actor());
        let (random, now) = (engine.site.random.clone(), engine.site.clock.now());
        for number in &numbers {
            for model in [Model::User, Model::Group] {
                let of = rows.iter().filter(|row| {
                    row.int("provider").is_ok_and(|n| n == *number)
                        && row.text("model").is_ok_and(|m| m == model.word())
                });
                let keys: Result<Vec<String>, _> = of.map(|row| row.text("object_key")).collect();
                let changes: Vec<Change> = keys.map_err(store)?.into_iter().map(Change::of).collect();
                let when = (&*random, now);
                state::enqueue(&mut unit.tx, when, *number, model, &changes).await.map_err(store)?;
                told += changes.len();
            }
            if let Some(target) = provider::assigned(&unit.snapshot, &engine.kinds, *number) {
                // Whoever asks for it wants it now.
                state::begin_anew(&mut unit.tx, *number).await.map_err(store)?;
                tasks::wake(&mut unit.tx, (&*random, now), &target).await.map_err(store)?;
            }
        }
        unit.commit().await?;
    }
    Ok(Reply::ok(&json!({"replayed": told})))
}
