//! Operations of Duo stages beyond the seven.

use super::{AuthenticatorDuoStage, api::Failure, import, stage::Enrolment};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Resource as _};
use weir_flow::{App, FlowState};
use weir_http::{Access, Call, Reply, Route};
use weir_identity::accounts;
use weir_resource::{Unit, store};

/// Whoever may make devices of others.
const ADD: &str = "authentik_stages_authenticator_duo.add_duodevice";

/// The state of an enrolment, and imports.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let (status, manual, automatic) = (Arc::clone(engine), Arc::clone(engine), Arc::clone(engine));
    let seen = Access::Seen { model: AuthenticatorDuoStage::MODEL };
    vec![
        // Whoever is in a flow with this stage; they need not be signed in.
        Route::new("stages_authenticator_duo_enrollment_status_create", Access::Public, move |call| {
            let engine = Arc::clone(&status);
            async move { enrolment_status(&engine, &call).await }
        }),
        Route::new("stages_authenticator_duo_import_device_manual_create", seen, move |call| {
            let engine = Arc::clone(&manual);
            async move { import_one(&engine, call).await }
        }),
        Route::new("stages_authenticator_duo_import_devices_automatic_create", seen, move |call| {
            let engine = Arc::clone(&automatic);
            async move { import_all(&engine, &call).await }
        }),
    ]
}

fn stage(call: &Call) -> Result<(Uuid, Arc<AuthenticatorDuoStage>), ApiError> {
    let id = Uuid::parse_str(call.param(0)).map_err(|_| ApiError::not_found())?;
    let stage = call.snapshot.get::<AuthenticatorDuoStage>(id).ok_or_else(ApiError::not_found)?;
    Ok((id, stage))
}

async fn enrolment_status(engine: &App, call: &Call) -> Result<Reply, ApiError> {
    let state = call.flow_session().await?.map(|session| FlowState::read(session.flow.as_deref()));
    let plan = state.and_then(|state| state.plan).ok_or_else(ApiError::unauthenticated)?;
    let (id, config) = stage(call)?;
    let enrolment = Enrolment::find(&plan.context, id);
    let enrolment = enrolment.ok_or_else(|| ApiError::general("Nobody is being enrolled here."))?;
    match enrolment.status(engine, &config).await {
        Ok(status) => Ok(Reply::ok(&json!({"duo_response": status}))),
        Err(Failure(text)) => Err(ApiError::general(text)),
    }
}

/// Which account is whose.
#[derive(Deserialize, JsonSchema)]
struct ManualImport {
    #[schemars(length(min = 1))]
    duo_user_id: String,
    #[schemars(length(min = 1))]
    username: String,
}

async fn import_one(engine: &App, mut call: Call) -> Result<Reply, ApiError> {
    call.require(ADD)?;
    let (id, _) = stage(&call)?;
    let wanted: ManualImport = call.typed().await?;
    let mut unit = Unit::new(&engine.site, call.actor());
    let found = accounts::find_by_username(&mut unit.tx, &wanted.username).await.map_err(store)?;
    let account = found.ok_or_else(|| ApiError::general("User does not exist."))?;
    if !import::bind(&mut unit, account.id, id, &wanted.duo_user_id).await? {
        return Err(ApiError::general("Device exists already."));
    }
    unit.commit().await?;
    Ok(Reply::none())
}

async fn import_all(engine: &App, call: &Call) -> Result<Reply, ApiError> {
    call.require(ADD)?;
    let (id, config) = stage(call)?;
    let mut unit = Unit::new(&engine.site, call.actor());
    let (count, error) = import::import(engine, &mut unit, id, &config).await?;
    unit.commit().await?;
    Ok(Reply::ok(&json!({"count": count, "error": error})))
}
