//! Certificates beyond their seven operations: making one, and looking at what is kept.

use crate::{Access, Call, Reply, Route, rest};
use chrono::TimeDelta;
use http::header;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_core::{ApiError, FieldErrors, Map, Resource as _};
use weir_identity::{initial, kind};
use weir_pki::{Algorithm, CertificateKeyPair, Part, Wish};
use weir_resource::Unit;

const MODEL: &str = CertificateKeyPair::MODEL;
/// Longest common name (RFC 5280, appendix A.1).
const MAX_COMMON_NAME: usize = 64;
/// Longest life: a hundred years.
const MAX_DAYS: i64 = 36_525;
/// Most alternative names.
const MAX_NAMES: usize = 100;

pub(super) fn routes() -> Vec<Route> {
    let rule = |permission| Access::Object { model: MODEL, permission };
    let certificate = rule("authentik_crypto.view_certificatekeypair_certificate");
    let key = rule("authentik_crypto.view_certificatekeypair_key");
    vec![
        Route::new("crypto_certificatekeypairs_view_certificate_retrieve", certificate, |call| {
            view(call, Part::Certificate)
        }),
        Route::new("crypto_certificatekeypairs_view_private_key_retrieve", key, |call| view(call, Part::Key)),
        Route::new(
            "crypto_certificatekeypairs_generate_create",
            Access::Global("authentik_crypto.add_certificatekeypair"),
            generate,
        ),
    ]
}

async fn view(call: Call, part: Part) -> Result<Reply, ApiError> {
    // Clients write `?download` as well as `?download=true`.
    let download = call.request.parameter("download").is_some_and(|v| v.is_empty() || v != "false");
    let mut unit = Unit::new(&call.app.site, call.actor());
    let pair = call.target()?;
    let text = weir_pki::view(&mut unit, pair, part).await?;
    unit.commit().await?;
    if !download {
        return Ok(Reply::ok(&json!({"data": text})));
    }
    let what = if part == Part::Key { "private_key" } else { "certificate" };
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = pair.name().chars().take(100).map(plain).collect();
    let disposition = format!("attachment; filename=\"{name}_{what}.pem\"");
    Ok(Reply::bytes("application/x-pem-file", text).with(header::CONTENT_DISPOSITION, &disposition))
}

/// A certificate to make.
#[derive(Deserialize, JsonSchema)]
struct GenerateBody {
    /// Common name; also the name of the pair.
    #[schemars(length(min = 1))]
    common_name: String,
    /// Further names, separated by commas.
    #[serde(default)]
    subject_alt_name: String,
    /// How many days it is valid.
    validity_days: i32,
    /// Kind of key.
    #[serde(default)]
    alg: Algorithm,
}

impl GenerateBody {
    fn names(&self) -> Vec<String> {
        self.subject_alt_name.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect()
    }

    fn check(&self) -> Result<(), ApiError> {
        let mut errors = FieldErrors::new();
        if self.common_name.chars().count() > MAX_COMMON_NAME {
            let text = format!("Ensure this field has no more than {MAX_COMMON_NAME} characters.");
            errors.add("common_name", text, "max_length");
        }
        let days = i64::from(self.validity_days);
        if !(1..=MAX_DAYS).contains(&days) {
            errors.add("validity_days", format!("This must be a number from 1 to {MAX_DAYS}."), "invalid");
        }
        let names = self.names();
        let graphic = |name: &String| name.len() <= 255 && name.chars().all(|c| c.is_ascii_graphic());
        if names.len() > MAX_NAMES || !names.iter().all(graphic) {
            let text = format!("At most {MAX_NAMES} names of ASCII characters, separated by commas.");
            errors.add("subject_alt_name", text, "invalid");
        }
        errors.into_result()
    }
}

async fn generate(mut call: Call) -> Result<Reply, ApiError> {
    let body: GenerateBody = call.typed().await?;
    body.check()?;
    let pairs = kind::<CertificateKeyPair>(&call.app.site)?;
    // Before seconds are spent on a key.
    if call.snapshot.by_unique(MODEL, "name", &body.common_name).is_some() {
        return Err(taken());
    }
    let site = Arc::clone(&call.app.site);
    let name = body.common_name.clone();
    let now = site.clock.now();
    let made = tokio::task::spawn_blocking(move || {
        let mut random = [0; 73];
        site.random.fill(&mut random);
        weir_pki::self_signed(&Wish {
            common_name: &body.common_name,
            names: body.names(),
            not_before: now,
            not_after: now + TimeDelta::days(i64::from(body.validity_days)),
            algorithm: body.alg,
            is_server: false,
            random,
        })
    });
    let made = made.await.map_err(anyhow::Error::new)??;
    let mut unit = Unit::new(&call.app.site, call.actor());
    let document: Map = [("name", name), ("certificate_data", made.certificate), ("key_data", made.key)]
        .into_iter()
        .map(|(field, value)| (field.to_owned(), Value::from(value)))
        .collect();
    let stored = unit.create(pairs, &document, None).await.map_err(|error| match error {
        ApiError::Fields(errors) if errors.has("name") => taken(),
        other => other,
    })?;
    initial::apply(&mut unit, &stored).await?;
    unit.commit().await?;
    Ok(Reply::ok(&rest::show_one(&call, &stored).await?))
}

fn taken() -> ApiError {
    ApiError::field("common_name", "A certificate of this name exists already.")
}
