//! Checks and derived fields of key pairs, and the look at what they keep.

use super::CertificateKeyPair;
use crate::{Facts, PkiError};
use async_trait::async_trait;
use serde_json::{Value, json};
use weir_core::{ApiError, Map};
use weir_events::{Event, action};
use weir_resource::{Hooks, Keep, ListQuery, Presenting, Stored, Unit};

/// Longest PEM text.
const MAX_TEXT: usize = 64 << 10;

/// See [`CertificateKeyPair`].
pub struct KeyPairHooks;

/// The field a refusal belongs to.
fn field(error: &PkiError) -> &'static str {
    match error {
        PkiError::NoCertificate | PkiError::TooMany | PkiError::BadCertificate => "certificate_data",
        PkiError::NoKey | PkiError::EncryptedKey | PkiError::UnsupportedKey | PkiError::Mismatch => "key_data",
    }
}

fn check(new: &Map) -> Result<Facts, ApiError> {
    let text = |field: &str| new.get(field).and_then(Value::as_str).unwrap_or_default();
    for field in ["certificate_data", "key_data"] {
        if text(field).len() > MAX_TEXT {
            return Err(ApiError::field(field, format!("Ensure this field has no more than {MAX_TEXT} characters.")));
        }
    }
    let read = CertificateKeyPair::read(text("certificate_data"), text("key_data"));
    read.map_err(|error| ApiError::field(field(&error), error.to_string()))
}

#[async_trait]
impl Hooks for KeyPairHooks {
    async fn prepare(&self, _unit: &mut Unit<'_>, _old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let facts = check(new)?;
        let has_key = new.get("key_data").and_then(Value::as_str).is_some_and(|key| !key.trim().is_empty());
        new.insert("fingerprint_sha256".to_owned(), facts.fingerprint_sha256.into());
        new.insert("fingerprint_sha1".to_owned(), facts.fingerprint_sha1.into());
        let expiry = facts.not_after.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        new.insert("cert_expiry".to_owned(), expiry.into());
        new.insert("cert_subject".to_owned(), facts.subject.into());
        new.insert("private_key_available".to_owned(), has_key.into());
        new.insert("key_type".to_owned(), json!(facts.key_type));
        Ok(())
    }

    async fn present(&self, _cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        for (row, answer) in rows.iter().zip(answers) {
            let base = format!("/api/v3/crypto/certificatekeypairs/{}", row.pk);
            answer.insert(
                "certificate_download_url".to_owned(),
                format!("{base}/view_certificate/?download=true").into(),
            );
            answer.insert(
                "private_key_download_url".to_owned(),
                format!("{base}/view_private_key/?download=true").into(),
            );
        }
        Ok(())
    }

    fn keep(&self, query: &ListQuery) -> Result<Option<Keep>, ApiError> {
        let has_key = match query.find("has_key") {
            None => None,
            Some("true" | "True" | "1") => Some(true),
            Some("false" | "False" | "0") => Some(false),
            Some(_) => return Err(ApiError::field("has_key", "Must be a valid boolean.")),
        };
        let kinds: Vec<String> = query.all("key_type").map(str::to_owned).collect();
        if let Some(wrong) =
            kinds.iter().find(|kind| !["rsa", "ec", "dsa", "ed25519", "ed448"].contains(&kind.as_str()))
        {
            let text = format!("Select a valid choice. {wrong} is not one of the available choices.");
            return Err(ApiError::field("key_type", text));
        }
        Ok(Some(Keep::new(&["has_key", "key_type"], move |doc| {
            let own = doc.get("private_key_available").and_then(Value::as_bool).unwrap_or(false);
            let kind = doc.get("key_type").and_then(Value::as_str).unwrap_or_default();
            has_key.is_none_or(|wanted| wanted == own) && (kinds.is_empty() || kinds.iter().any(|k| k == kind))
        })))
    }
}

/// The half of a pair that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificate.
    Certificate,
    /// The private key.
    Key,
}

/// One half of a pair in PEM form; that it was read is put on record. Whether the caller may is decided before.
///
/// # Errors
/// Those of the store.
pub async fn view(unit: &mut Unit<'_>, pair: &Stored, part: Part) -> Result<String, ApiError> {
    let (field, kind) = match part {
        Part::Certificate => ("certificate_data", "certificate"),
        Part::Key => ("key_data", "private_key"),
    };
    let model = json!({
        "app": pair.kind.app_label(),
        "model_name": pair.kind.model_name(),
        "pk": pair.pk.replace('-', ""),
        "name": pair.name(),
    });
    unit.event(Event::new(action::SECRET_VIEW, pair.kind.app_label(), json!({"secret": model, "type": kind}))).await?;
    Ok(pair.text(field).to_owned())
}
