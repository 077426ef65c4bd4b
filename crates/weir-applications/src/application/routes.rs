//! The list of applications, and whether somebody may use one: decided by policies, not by permissions.

use super::Application;
use crate::access;
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};
use weir_core::{ApiError, Resource, validate};
use weir_flow::App;
use weir_http::{Access, Call, Reply, Route, show};
use weir_identity::{Account, accounts, kind, membership};
use weir_policy::PolicyCx;
use weir_resource::{Page, Unit, Visible, store};

/// The operations.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let (listing, checking) = (Arc::clone(engine), Arc::clone(engine));
    vec![
        Route::new("core_applications_list", Access::SignedIn, move |call| {
            let engine = Arc::clone(&listing);
            async move { list(&engine, &call).await }
        })
        .instead_of_generic(),
        Route::new("core_applications_check_access_retrieve", Access::SignedIn, move |call| {
            let engine = Arc::clone(&checking);
            async move { check_access(&engine, &call).await }
        }),
        // What can be asked for is named by rules for access requests, of which there are none.
        Route::new("core_applications_requestable_list", Access::SignedIn, nothing),
        Route::new("core_application_entitlements_requestable_list", Access::SignedIn, nothing),
    ]
}

async fn nothing(call: Call) -> Result<Reply, ApiError> {
    let (current, size) = call.list_query().page(&call.snapshot)?;
    if current > 1 {
        return Err(ApiError::NotFound("Invalid page.".to_owned()));
    }
    Ok(Reply::ok(&Page { rows: Vec::new(), count: 0, current, size }.body(Vec::new())))
}

/// The user a question is about when it is not the caller: whom the caller may look through the eyes of.
async fn other(call: &Call, id: i64) -> Result<Account, ApiError> {
    let allowed = call.grants.may("authentik_core.view_user_applications", Some(&id.to_string()));
    let found = match allowed {
        true => accounts::find(&call.app.site.db, id).await.map_err(store)?,
        false => None,
    };
    found.ok_or_else(|| ApiError::field("for_user", validate::invalid_pk(&json!(id))))
}

/// Applications a user may use, among these.
async fn usable(engine: &App, call: &Call, unit: &mut Unit<'_>, user: &Account) -> Result<Vec<String>, ApiError> {
    let snapshot = Arc::clone(&unit.snapshot);
    let groups = membership::groups_of(&mut unit.tx, user.id).await.map_err(store)?;
    let groups: BTreeSet<_> = groups.into_iter().map(|group| group.id).collect();
    let (http, mut events) = (call.info(), Vec::new());
    let mut cx = PolicyCx {
        site: &engine.site,
        snapshot: &snapshot,
        tx: &mut unit.tx,
        kinds: &engine.policies,
        events: &mut events,
        depth: 0,
    };
    let mut keys = Vec::new();
    for (key, application) in snapshot.all::<Application>() {
        if access::ask(&mut cx, &http, (key, &application), user, Some(&groups)).await?.passing {
            keys.push(key.to_string());
        }
    }
    for event in events {
        unit.event(event).await?;
    }
    Ok(keys)
}

async fn list(engine: &App, call: &Call) -> Result<Reply, ApiError> {
    let caller = call.user()?;
    let applications = kind::<Application>(&engine.site)?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    let everything = call.flag("superuser_full_list")?.unwrap_or(false) && call.grants.all();
    let mut visible = if everything {
        Visible::All
    } else {
        let user = match call.number("for_user")? {
            Some(id) if id != caller.id => other(call, id).await?,
            _ => caller.clone(),
        };
        Visible::Some { owner: -1, keys: usable(engine, call, &mut unit, &user).await? }
    };
    if call.flag("only_with_launch_url")?.unwrap_or(false) {
        let with_url = |key: &str| {
            let object = applications.document_key(key).and_then(|key| unit.snapshot.get::<Application>(key));
            object.is_some_and(|a| !a.meta_launch_url.is_empty() && !a.meta_launch_url.starts_with("blank://"))
        };
        let keys = match visible {
            Visible::Some { keys, .. } => keys,
            Visible::All => unit.snapshot.of_model(Application::MODEL).map(|object| object.pk()).collect(),
        };
        visible = Visible::Some { owner: -1, keys: keys.into_iter().filter(|key| with_url(key)).collect() };
    }
    let page = unit.list(applications, &call.list_query(), &visible).await?;
    let shown = show(call, &unit, &page.rows).await?;
    // What policies wished to report is kept.
    unit.commit().await?;
    Ok(Reply::ok(&page.body(shown)))
}

/// Whether the caller, or for superusers somebody else, may use an application.
async fn check_access(engine: &App, call: &Call) -> Result<Reply, ApiError> {
    let caller = call.user()?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    let snapshot = Arc::clone(&unit.snapshot);
    let found = snapshot.get_by::<Application>("slug", call.param(0));
    let user = match call.number("for_user")? {
        Some(id) if id != caller.id => {
            if !call.grants.all() {
                return Err(ApiError::field("for_user", "User not found"));
            }
            let user = accounts::find(&call.app.site.db, id).await.map_err(store)?;
            user.ok_or_else(|| ApiError::field("for_user", "User not found"))?
        }
        _ => caller.clone(),
    };
    let (key, application) = found.ok_or_else(ApiError::not_found)?;
    let (http, mut events) = (call.info(), Vec::new());
    let mut cx = PolicyCx {
        site: &engine.site,
        snapshot: &snapshot,
        tx: &mut unit.tx,
        kinds: &engine.policies,
        events: &mut events,
        depth: 0,
    };
    let result = access::ask(&mut cx, &http, (key, &application), &user, None).await?;
    for event in events {
        unit.event(event).await?;
    }
    unit.commit().await?;
    // What was logged while deciding is for those who may see everything.
    Ok(Reply::ok(&json!({"passing": result.passing, "messages": result.messages, "log_messages": []})))
}
