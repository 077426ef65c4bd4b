//! What `ak_user_has_authenticator` asks.

use async_trait::async_trait;
use weir_identity::device::{self, DeviceKind};
use weir_store::{StoreError, Tx};

/// Knows which second factors users have.
#[async_trait]
pub trait Authenticators: Send + Sync {
    /// Whether the user has a confirmed device, of the given type (`totp`, `duo`, `static`, `webauthn`, `sms`, `email`)
    /// or of any.
    ///
    /// # Errors
    /// Those of the store.
    async fn has_confirmed(&self, tx: &mut Tx, user: i64, kind: Option<&str>) -> Result<bool, StoreError>;
}

/// A site without devices: nobody has one.
pub struct NoAuthenticators;

#[async_trait]
impl Authenticators for NoAuthenticators {
    async fn has_confirmed(&self, _tx: &mut Tx, _user: i64, _kind: Option<&str>) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// The devices that the site keeps.
pub struct KeptDevices;

#[async_trait]
impl Authenticators for KeptDevices {
    async fn has_confirmed(&self, tx: &mut Tx, user: i64, kind: Option<&str>) -> Result<bool, StoreError> {
        match kind {
            None => device::has_confirmed(tx, user, None).await,
            Some(word) => match DeviceKind::parse(word) {
                Some(kind) => device::has_confirmed(tx, user, Some(kind)).await,
                None => Ok(false),
            },
        }
    }
}
