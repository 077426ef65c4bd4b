//! Links into flows for the actions on users.

use crate::{Call, Reply, state::FlowLinks};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::ApiError;
use weir_flow::{App, links};
use weir_identity::Account;
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

    async fn switch(&self, _call: &Call, _add: bool, _user: Option<i64>) -> Result<Reply, ApiError> {
        // Several sessions in one browser are not kept yet, so no other account is ever signed in here.
        Err(ApiError::not_found())
    }
}
