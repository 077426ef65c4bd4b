//! Passwords, keys of tokens and permissions given by blueprints, kept where everybody else's are.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use weir_core::ApiError;
use weir_crypto::password::{Password, Salt};
use weir_crypto::pool::{HashPool, PoolError};
use weir_events::{Event, action};
use weir_identity::permission::{self, Assignment};
use weir_identity::{accounts, session, token};
use weir_resource::{Stored, Unit, store};

use crate::import::{Accounts, Holder};

/// The accounts of this installation.
pub struct IdentityAccounts {
    /// Password hashing.
    pub hashes: Arc<HashPool>,
}

#[async_trait]
impl Accounts for IdentityAccounts {
    async fn set_password(&self, unit: &mut Unit<'_>, user: &Stored, password: &str) -> Result<(), ApiError> {
        let password =
            Password::new(password.as_bytes()).map_err(|error| ApiError::field("password", error.to_string()))?;
        let stored = accounts::password_hash(&mut unit.tx, user.int_pk()).await.map_err(store)?;
        // Applied again and again: a password that is right already is no change, and ends no session.
        if let Some(stored) = stored.filter(|hash| hash != accounts::UNUSABLE_PASSWORD)
            && self.hashes.verify(stored, password.clone()).await.map_err(pool)?
        {
            return Ok(());
        }
        let salt = Salt::random(&mut weir_crypto::system_rng());
        let hash = self.hashes.hash(password, salt).await.map_err(pool)?;
        let now = unit.site.clock.now();
        if !accounts::set_password_hash(&mut unit.tx, user.int_pk(), &hash, now).await.map_err(store)? {
            return Err(ApiError::not_found());
        }
        session::delete_of_user(&mut unit.tx, user.int_pk(), None).await.map_err(store)?;
        let model = json!({"app": "authentik_core", "model_name": "user", "pk": user.pk, "name": user.name()});
        unit.event(Event::new(action::PASSWORD_SET, "authentik_core", json!({"model": model}))).await
    }

    async fn set_token_key(&self, unit: &mut Unit<'_>, token: &Stored, key: &str) -> Result<(), ApiError> {
        token::set_key(unit, token, key).await
    }

    async fn grant(
        &self,
        unit: &mut Unit<'_>,
        holder: Holder<'_>,
        permission: &str,
        object: Option<&Stored>,
    ) -> Result<(), ApiError> {
        let role = match holder {
            Holder::Role(role) => role.to_owned(),
            Holder::User(user) => {
                unit.tx.begin_write().await.map_err(store)?;
                permission::user_role(unit, user).await?
            }
        };
        let wanted = Assignment {
            permissions: vec![permission.to_owned()],
            model: object.map(|object| object.kind.model.to_owned()),
            object_pk: object.map(|object| object.pk.clone()),
        };
        permission::assign(unit, &role, &wanted).await?;
        Ok(())
    }
}

fn pool(error: PoolError) -> ApiError {
    match error {
        PoolError::Busy { retry_after_secs } => ApiError::Unavailable(retry_after_secs, anyhow::Error::new(error)),
        PoolError::Failed => ApiError::Internal(anyhow::Error::new(error)),
    }
}
