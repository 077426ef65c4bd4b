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
    App, Flow, NotApplicable,
    links::{self, PlanRequest},
};
use weir_identity::{Account, brand_for_host};
use weir_policy::RequestInfo;
use weir_resource::Unit;

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

    async fn switch(&self, _call: &Call, _add: bool, _user: Option<i64>) -> Result<Reply, ApiError> {
        // Several sessions in one browser are not kept yet, so no other account is ever signed in here.
        Err(ApiError::not_found())
    }
}
