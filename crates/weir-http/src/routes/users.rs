//! Users: oneself, paths, service accounts, several accounts in one browser.

use crate::{Access, Call, Reply, Route};
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};
use weir_core::{ApiError, Map};
use weir_identity::{
    Account, Brand, Group, Intent, NewToken, User, accounts, brand_for_host, initial, kind, session, token,
    user::self_view,
};
use weir_resource::{Unit, Visible, store};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("core_users_me_retrieve", Access::SignedIn, me),
        Route::new("core_users_paths_retrieve", Access::ByKind, paths),
        Route::new("core_users_service_account_create", Access::Global("authentik_core.add_user"), service_account),
        Route::new("core_users_switch_create", Access::SignedIn, switch),
    ]
}

async fn me(call: Call) -> Result<Reply, ApiError> {
    let site = &call.app.site;
    let (_, brand) = brand_for_host(&call.snapshot, &call.request.host);
    let user = self_view(site, &call.snapshot, call.user()?, &brand.attributes, true).await?;
    let mut users = vec![user.clone()];
    for account in others(&call, &brand).await? {
        users.push(self_view(site, &call.snapshot, &account, &brand.attributes, false).await?);
    }
    let mut body = json!({"user": user, "users": users});
    if let Some(original) = &call.caller.original {
        let original = self_view(site, &call.snapshot, original, &brand.attributes, false).await?;
        if let Some(body) = body.as_object_mut() {
            body.insert("original".to_owned(), original);
        }
    }
    Ok(Reply::ok(&body))
}

/// The other accounts signed in to this browser.
async fn others(call: &Call, brand: &Brand) -> Result<Vec<Account>, ApiError> {
    let Some(own) = call.caller.session().filter(|_| call.caller.original.is_none()) else { return Ok(Vec::new()) };
    if brand.flow_user_switch.is_none() {
        return Ok(Vec::new());
    }
    let (site, me) = (&call.app.site, call.user()?.id);
    let listed = weir_flow::switch::others(&own.row.data);
    let live = session::signed_in(&site.db, &listed, site.clock.now()).await.map_err(store)?;
    Ok(live.into_iter().map(|(_, account)| account).filter(|account| account.id != me).collect())
}

async fn paths(call: Call) -> Result<Reply, ApiError> {
    let db = &call.app.site.db;
    let mut paths: BTreeSet<String> = match call.visible(kind::<User>(&call.app.site)?)? {
        None => return Err(ApiError::forbidden()),
        Some(Visible::All) => accounts::paths(db).await.map_err(store)?.into_iter().collect(),
        Some(Visible::Some { keys, .. }) => {
            let ids: Vec<i64> = keys.iter().filter_map(|k| k.parse().ok()).collect();
            accounts::find_many(db, &ids).await.map_err(store)?.into_iter().map(|a| a.path).collect()
        }
    };
    if let Some(search) = call.request.parameter("search").map(str::to_lowercase) {
        paths.retain(|path| path.to_lowercase().contains(&search));
    }
    Ok(Reply::ok(&json!({"paths": paths})))
}

/// A program's account.
#[derive(Deserialize, JsonSchema)]
struct ServiceAccountBody {
    /// Username of the account, and name of the group.
    #[schemars(length(min = 1))]
    name: String,
    /// Also make a group of the same name with the account in it.
    #[serde(default)]
    create_group: bool,
    /// Whether the account's app password ends.
    #[serde(default = "yes")]
    expiring: bool,
    /// When the app password ends.
    #[serde(default)]
    expires: Option<DateTime<Utc>>,
}

fn yes() -> bool {
    true
}

/// The contract's default life of a service account's password.
const SERVICE_ACCOUNT_DAYS: i64 = 360;

async fn service_account(mut call: Call) -> Result<Reply, ApiError> {
    call.require("authentik_core.add_token")?;
    let body: ServiceAccountBody = call.typed().await?;
    if body.create_group {
        call.require("authentik_core.add_group")?;
    }
    let app = Arc::clone(&call.app);
    let mut unit = Unit::new(&app.site, call.actor());
    let end = body.expires.unwrap_or(app.site.clock.now() + TimeDelta::days(SERVICE_ACCOUNT_DAYS));
    let fields = object(json!({
        "username": body.name,
        "name": body.name,
        "type": "service_account",
        "path": "goauthentik.io/service-accounts",
        "attributes": {"goauthentik.io/user/token-expires": body.expiring},
    }));
    let user = unit.create(kind::<User>(&app.site)?, &fields, None).await.map_err(as_general)?;
    initial::apply(&mut unit, &user).await?;
    let uid = accounts::uid(user.int_pk(), &app.site.installation.id);
    let mut answer = json!({"username": body.name, "user_uid": uid, "user_pk": user.int_pk()});
    if body.create_group {
        let fields = object(json!({"name": body.name, "users": [user.int_pk()]}));
        let group = unit.create(kind::<Group>(&app.site)?, &fields, None).await.map_err(as_general)?;
        initial::apply(&mut unit, &group).await?;
        put(&mut answer, "group_pk", group.pk.into());
    }
    let identifier = format!("service-account-{}-password", slug(&body.name));
    let wish = NewToken {
        expires: body.expiring.then_some(end),
        ..NewToken::new(identifier, user.int_pk(), Intent::AppPassword)
    };
    let (_, key) = token::mint(&mut unit, wish).await.map_err(as_general)?;
    unit.commit().await?;
    put(&mut answer, "token", key.into());
    Ok(Reply::ok(&answer))
}

fn object(value: Value) -> Map {
    value.as_object().cloned().unwrap_or_default()
}

fn put(answer: &mut Value, field: &str, value: Value) {
    if let Some(answer) = answer.as_object_mut() {
        answer.insert(field.to_owned(), value);
    }
}

/// Letters, digits, `-` and `_` of a name, the rest as `-`.
fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(plain).collect()
}

/// The caller named one thing, the refusals are about several objects: they belong to the whole.
fn as_general(error: ApiError) -> ApiError {
    match error {
        ApiError::Fields(errors) => {
            let mut general = weir_core::FieldErrors::new();
            for text in errors.iter().flat_map(|(_, list)| list) {
                general.add(weir_core::FieldErrors::GENERAL, text.text.clone(), &text.code);
            }
            ApiError::Fields(general)
        }
        other => other,
    }
}

/// Which of the accounts of this browser.
#[derive(Deserialize, JsonSchema)]
struct SwitchBody {
    /// Change to an account, or sign in to one more.
    #[serde(default)]
    action: SwitchAction,
    /// The account to change to.
    #[serde(default)]
    user_pk: Option<i64>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum SwitchAction {
    #[default]
    Switch,
    Add,
}

async fn switch(mut call: Call) -> Result<Reply, ApiError> {
    let (_, brand) = brand_for_host(&call.snapshot, &call.request.host);
    if brand.flow_user_switch.is_none() {
        return Err(ApiError::general("User switching is disabled."));
    }
    let body: SwitchBody = call.typed().await?;
    if body.action == SwitchAction::Switch && body.user_pk.is_none() {
        return Err(ApiError::field("user_pk", "This field is required."));
    }
    let app = Arc::clone(&call.app);
    app.links.switch(&call, body.action == SwitchAction::Add, body.user_pk).await
}
