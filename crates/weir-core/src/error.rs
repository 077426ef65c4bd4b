//! Errors that reach a client. The public text and the internal cause never mix: only the first is serialised.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Value, json};

/// One refusal of one field: the text for people and the code for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The sentence a person reads.
    #[serde(rename = "string")]
    pub text: String,
    /// The stable code, e.g. `required`, `blank`, `invalid`.
    pub code: String,
}

/// The refusals of an answer or a body, per field; [`FieldErrors::GENERAL`] holds those of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldErrors(IndexMap<String, Vec<FieldError>>);

impl FieldErrors {
    /// The name under which errors of the whole body stand.
    pub const GENERAL: &'static str = "non_field_errors";

    /// No errors.
    pub fn new() -> Self {
        Self::default()
    }

    /// One error of one field with the default code `invalid`.
    pub fn one(field: &str, text: impl Into<String>) -> Self {
        let mut errors = Self::new();
        errors.add(field, text, "invalid");
        errors
    }

    /// One error of the whole body.
    pub fn general(text: impl Into<String>) -> Self {
        Self::one(Self::GENERAL, text)
    }

    /// Adds an error.
    pub fn add(&mut self, field: &str, text: impl Into<String>, code: &str) {
        self.0.entry(field.to_owned()).or_default().push(FieldError { text: text.into(), code: code.to_owned() });
    }

    /// Takes over the errors of another set.
    pub fn extend(&mut self, other: FieldErrors) {
        for (field, errors) in other.0 {
            self.0.entry(field).or_default().extend(errors);
        }
    }

    /// Whether nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this field was refused.
    pub fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// The errors in order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Vec<FieldError>)> {
        self.0.iter()
    }

    /// `Ok` when nothing was refused.
    ///
    /// # Errors
    /// [`ApiError::Fields`] otherwise.
    pub fn into_result(self) -> Result<(), ApiError> {
        if self.is_empty() { Ok(()) } else { Err(ApiError::Fields(self)) }
    }

    /// The shape of REST errors: `{field: [text, …]}`.
    pub fn to_rest(&self) -> Value {
        Value::Object(
            self.0.iter().map(|(f, e)| (f.clone(), json!(e.iter().map(|e| &e.text).collect::<Vec<_>>()))).collect(),
        )
    }

    /// The shape of flow challenges: `{field: [{string, code}, …]}`.
    pub fn to_challenge(&self) -> Value {
        Value::Object(self.0.iter().map(|(f, e)| (f.clone(), json!(e))).collect())
    }
}

/// Everything a request can end in besides success.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400 with `{field: [texts]}`.
    #[error("the body was refused")]
    Fields(FieldErrors),
    /// 400 with `{detail}`.
    #[error("{0}")]
    BadRequest(String),
    /// 403: no or bad credentials; never 401.
    #[error("{0}")]
    Unauthenticated(String),
    /// 403: not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// 401: only impersonation answers with it.
    #[error("{0}")]
    Refused(String),
    /// 404: does not exist, or the caller may not see it.
    #[error("{0}")]
    NotFound(String),
    /// 405.
    #[error("method not allowed")]
    MethodNotAllowed(String),
    /// 413.
    #[error("body too large")]
    TooLarge,
    /// 429 with the seconds to wait.
    #[error("throttled")]
    Throttled(u64),
    /// 501: named by the contract, not served yet.
    #[error("not served")]
    NotServed,
    /// 503 with the seconds to wait; the cause is for the log.
    #[error("unavailable")]
    Unavailable(u64, #[source] anyhow::Error),
    /// 500; the cause is for the log only.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

impl ApiError {
    /// 404 with the usual text.
    pub fn not_found() -> Self {
        Self::NotFound("Not found.".to_owned())
    }

    /// 403 with the usual text.
    pub fn forbidden() -> Self {
        Self::Forbidden("You do not have permission to perform this action.".to_owned())
    }

    /// 403 for a caller without credentials.
    pub fn unauthenticated() -> Self {
        Self::Unauthenticated("Authentication credentials were not provided.".to_owned())
    }

    /// 400 on one field.
    pub fn field(field: &str, text: impl Into<String>) -> Self {
        Self::Fields(FieldErrors::one(field, text))
    }

    /// 400 on the whole body.
    pub fn general(text: impl Into<String>) -> Self {
        Self::Fields(FieldErrors::general(text))
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Fields(_) | Self::BadRequest(_) => 400,
            Self::Refused(_) => 401,
            Self::Unauthenticated(_) | Self::Forbidden(_) => 403,
            Self::NotFound(_) => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::TooLarge => 413,
            Self::Throttled(_) => 429,
            Self::NotServed => 501,
            Self::Unavailable(..) => 503,
            Self::Internal(_) => 500,
        }
    }

    /// The public body.
    pub fn body(&self) -> Value {
        match self {
            Self::Fields(errors) => errors.to_rest(),
            Self::BadRequest(text) | Self::Forbidden(text) | Self::Refused(text) | Self::NotFound(text) => {
                json!({"detail": text})
            }
            Self::Unauthenticated(text) => json!({"detail": text, "code": "not_authenticated"}),
            Self::MethodNotAllowed(method) => json!({"detail": format!("Method \"{method}\" not allowed.")}),
            Self::TooLarge => json!({"detail": "The request body is too large."}),
            Self::Throttled(seconds) => {
                json!({"detail": format!("Request was throttled. Expected available in {seconds} seconds.")})
            }
            Self::NotServed => json!({"detail": "This operation is part of the contract but not served yet."}),
            Self::Unavailable(..) => json!({"detail": "The service is busy or its database is away. Please retry."}),
            Self::Internal(_) => {
                json!({"detail": "Internal error. The request id in the header X-authentik-id leads to the log."})
            }
        }
    }
}

impl From<FieldErrors> for ApiError {
    fn from(errors: FieldErrors) -> Self {
        Self::Fields(errors)
    }
}
