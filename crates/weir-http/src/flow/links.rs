//! Links into flows for the actions on users.

use super::visit::Visit;
use crate::{Call, Reply, state::FlowLinks};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::ApiError;
use weir_flow::{
    App, Designation, Flow, NotApplicable, PlanContext, keys,
    links::{self, PlanRequest},
    switch,
};
use weir_identity::{Account, brand_for_host, session};
use weir_policy::RequestInfo;
use weir_resource::{Unit, store};

/// The engine behind [`FlowLinks`].
pub struct Links(pub Arc<App>);

#[async_trait]
impl FlowLinks for Links {
    async fn recovery(
        &self,
        unit: &mut Unit<'_>,
        request: &RequestInfo,
        user: &Account,
        expires: DateTime<Utc>,
    ) -> Result<String, ApiError> {
        let link = links::recovery_link(&self.0, unit, request, user, expires, false).await?;
        Ok(format!("{}{}", request.base_url(), self.0.flow_page(&link.slug, &link.query())))
    }

    async fn recovery_email(
        &self,
        unit: &mut Unit<'_>,
        request: &RequestInfo,
        user: &Account,
        stage: Uuid,
        life: TimeDelta,
    ) -> Result<(), ApiError> {
        if user.email.is_empty() {
            return Err(ApiError::general("User does not have an email address set."));
        }
        links::mail_recovery_link(&self.0, unit, request, user, stage, life).await
    }

    async fn lockdown(&self, call: &Call, user: &Account) -> Result<Reply, ApiError> {
        let (_, brand) = brand_for_host(&call.snapshot, &call.request.host);
        let flow =
            brand.flow_lockdown.as_ref().and_then(|flow| Some((flow.uuid(), call.snapshot.get::<Flow>(flow.uuid())?)));
        let flow = flow.ok_or_else(|| ApiError::general("No lockdown flow configured."))?;
        let engine = &*self.0;
        let mut visit = Visit::new(&call.app, engine, &call.request, &call.caller).await?;
        let mut unit = Unit::new(&call.app.site, call.actor());
        let wish = PlanRequest {
            flow_id: flow.0,
            flow: &flow.1,
            request: visit.info(),
            user: Some(call.user()?),
            context: links::about(user.id),
            allow_empty: false,
            for_token: false,
        };
        let plan = match links::plan(engine, &mut unit, wish).await {
            Ok(plan) => plan,
            Err(NotApplicable::Failed(error)) => return Err(error),
            Err(_) => return Err(ApiError::general("Lockdown flow is not applicable.")),
        };
        unit.commit().await?;
        visit.adopt(&flow, &plan, None).await?;
        let mut reply = Reply::ok(&json!({"link": engine.flow_page(&flow.1.slug.0, "")}));
        for cookie in visit.into_cookies() {
            reply = reply.with_cookie(&cookie);
        }
        Ok(reply)
    }

    async fn switch(&self, call: &Call, add: bool, user: Option<i64>) -> Result<Reply, ApiError> {
        let engine = &*self.0;
        let caller = call.user()?;
        if call.caller.original.is_some() {
            return Err(ApiError::not_found());
        }
        let mut visit = Visit::new(&call.app, engine, &call.request, &call.caller).await?;
        let mut unit = Unit::new(&call.app.site, call.actor());
        let (flow, context) = if add {
            (default_flow(engine, &mut unit, visit.info(), caller).await?, adding())
        } else {
            let (_, brand) = brand_for_host(&call.snapshot, &call.request.host);
            let flow = brand.flow_user_switch.as_ref().map(|flow| flow.uuid());
            let flow = flow.and_then(|id| Some((id, call.snapshot.get::<Flow>(id)?)));
            (flow, changing(call, &visit, caller, user).await?)
        };
        let flow = flow.ok_or_else(ApiError::not_found)?;
        let wish = PlanRequest {
            flow_id: flow.0,
            flow: &flow.1,
            request: visit.info(),
            user: Some(caller),
            context,
            allow_empty: false,
            for_token: false,
        };
        let plan = match links::plan(engine, &mut unit, wish).await {
            Ok(plan) => plan,
            Err(NotApplicable::Failed(error)) => return Err(error),
            Err(_) => return Err(ApiError::not_found()),
        };
        unit.commit().await?;
        let next = call
            .request
            .parameter("next")
            .map(|next| url::form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish());
        let query = next.unwrap_or_default();
        visit.adopt(&flow, &plan, Some(&query)).await?;
        let mut reply = Reply::ok(&json!({"redirect": engine.flow_page(&flow.1.slug.0, &query)}));
        for cookie in visit.into_cookies() {
            reply = reply.with_cookie(&cookie);
        }
        Ok(reply)
    }
}

/// The flow by which this brand signs people in.
async fn default_flow(
    engine: &App,
    unit: &mut Unit<'_>,
    request: &RequestInfo,
    user: &Account,
) -> Result<Option<(Uuid, Arc<Flow>)>, ApiError> {
    let slug = links::default_flow(engine, unit, request, Some(user), Designation::Authentication).await?;
    Ok(slug.and_then(|slug| links::find_flow(unit, &slug)))
}

/// Signing in to one more account.
fn adding() -> PlanContext {
    let mut context = PlanContext::default();
    context.set(keys::USER_SWITCH_ADD_USER, &true);
    context
}

/// Changing to another account that is signed in to this browser.
async fn changing(
    call: &Call,
    visit: &Visit<'_>,
    caller: &Account,
    user: Option<i64>,
) -> Result<PlanContext, ApiError> {
    let others = visit.session().map(|own| switch::others(&own.data)).unwrap_or_default();
    let site = &call.app.site;
    let live = session::signed_in(&site.db, &others, site.clock.now()).await.map_err(store)?;
    let target = live.into_iter().find(|(_, account)| Some(account.id) == user && account.id != caller.id);
    let (session, account) = target.ok_or_else(ApiError::not_found)?;
    let mut context = links::about(account.id);
    context.set(keys::PENDING_USER_IDENTIFIER, &account.username);
    context.set(keys::USER_SWITCH_FROM_USER, &caller.event_user());
    context.set(keys::USER_SWITCH_TARGET_SESSION, &session.uuid);
    Ok(context)
}
