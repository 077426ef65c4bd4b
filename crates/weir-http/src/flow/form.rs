//! A posted page: its fields and files.

use crate::{
    AppState, Incoming,
    body::{self, Part},
};
use axum::body::Body;
use serde_json::Value;
use weir_core::ApiError;
use weir_pages::{CSRF_FIELD, Upload, parse_form, parse_multipart, reserved_field};

/// What a form held.
pub struct Posted {
    fields: Vec<(String, String)>,
    files: Vec<(String, bytes::Bytes)>,
}

impl Posted {
    /// Reads a form.
    ///
    /// # Errors
    /// 400, 413.
    pub async fn read(state: &AppState, request: &Incoming, body: Body) -> Result<Self, ApiError> {
        let config = &state.config;
        let (mut fields, mut files) = (Vec::new(), Vec::new());
        if body::media_type(request) == "multipart/form-data" {
            for (name, part) in body::upload(request, body, config).await? {
                match part {
                    Part::Text(text) => fields.push((name, text)),
                    Part::File { bytes, .. } => files.push((name, bytes)),
                }
            }
        } else {
            body::check_announced(request, config.max_body_bytes)?;
            let bytes = body::read(body, config, config.max_body_bytes).await?;
            for pair in body::pairs(&bytes)? {
                if fields.len() >= config.max_form_fields {
                    return Err(ApiError::BadRequest("The form has too many fields.".to_owned()));
                }
                fields.push(pair);
            }
        }
        Ok(Self { fields, files })
    }

    /// The token against forged forms.
    pub fn csrf(&self) -> &str {
        reserved_field(&self.fields, CSRF_FIELD).unwrap_or_default()
    }

    /// The component the form was made for.
    pub fn component(&self) -> &str {
        reserved_field(&self.fields, weir_pages::COMPONENT_FIELD).unwrap_or_default()
    }

    /// The answer for a challenge.
    pub fn answer(&self, challenge: &Value) -> Value {
        if self.files.is_empty() {
            return parse_form(self.component(), challenge, &self.fields);
        }
        let uploads: Vec<Upload<'_>> = self
            .files
            .iter()
            .map(|(field, bytes)| Upload { field, content_type: "application/octet-stream", bytes })
            .collect();
        parse_multipart(self.component(), challenge, &self.fields, &uploads)
    }
}
