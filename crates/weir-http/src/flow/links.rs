//! Links into flows for the actions on users.

use crate::{Call, Reply, state::FlowLinks};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
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
        let page = links::recovery_link(&self.0, unit, request, user, expires, true).await?;
        Ok(format!("{}{page}", request.base_url()))
    }

    async fn recovery_email(
        &self,
        _unit: &mut Unit<'_>,
        _request: &RequestInfo,
        user: &Account,
        _stage: Uuid,
        _expires: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        if user.email.is_empty() {
            return Err(ApiError::general("User does not have an email address set."));
        }
        // No kind of e-mail stage is served yet, so none can be found.
        Err(ApiError::general("Email stage not found."))
    }

    async fn switch(&self, _call: &Call, _add: bool, _user: Option<i64>) -> Result<Reply, ApiError> {
        // Several sessions in one browser are not kept yet, so no other account is ever signed in here.
        Err(ApiError::not_found())
    }
}
