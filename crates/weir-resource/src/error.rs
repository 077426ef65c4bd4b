//! Store errors at the edge: what a client may know of them.

use weir_core::ApiError;
use weir_store::StoreError;

/// The answer for a store error.
pub fn store(error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound => ApiError::not_found(),
        StoreError::Conflict { constraint } => {
            tracing::debug!(constraint, "uniqueness conflict");
            ApiError::general("An object with these values already exists.")
        }
        StoreError::InUse { .. } => ApiError::general("The object is still in use, or refers to one that is gone."),
        StoreError::Invalid(_) => {
            ApiError::BadRequest("The request contains a value that cannot be stored.".to_owned())
        }
        error @ StoreError::Unavailable(_) => ApiError::Unavailable(2, anyhow::Error::new(error)),
        error @ (StoreError::Internal(_) | StoreError::Refused(_)) => ApiError::Internal(anyhow::Error::new(error)),
    }
}

/// Like [`store`], with a uniqueness conflict reported on one field.
pub fn store_at(field: &'static str, text: &'static str) -> impl FnOnce(StoreError) -> ApiError {
    move |error| match error {
        StoreError::Conflict { .. } => ApiError::field(field, text),
        other => store(other),
    }
}
