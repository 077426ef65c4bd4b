//! Puts lists of models into the database.

use serde_json::json;
use weir_core::ApiError;
use weir_events::Event;
use weir_resource::{Unit, store};
use weir_webauthn::metadata::{MetadataFile, Model};

/// Row of the table `installation` with the number of the newest metadata file.
const NUMBER: &str = "webauthn_metadata_number";
/// What the API's consumers keep of a name.
const LONGEST_NAME: usize = 500;

/// What a list changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Models in the list.
    pub models: usize,
    /// Of these, no longer to be relied on.
    pub revoked: usize,
    /// Left alone because a signed list speaks of them.
    pub kept: usize,
}

/// Takes models out of a plain list. Nothing that came from a signed one changes, and no model is ever removed: stages
/// that name it would become open to all.
///
/// # Errors
/// Those of the store.
pub async fn load(unit: &mut Unit<'_>, models: &[Model]) -> Result<Loaded, ApiError> {
    let loaded = write(unit, models, false).await?;
    report(unit, json!({"models": loaded.models})).await?;
    Ok(loaded)
}

/// Takes models out of a metadata file whose signature was checked. A file that is older than one before is refused,
/// because it may hide that a model was revoked.
///
/// # Errors
/// 400 for an older file; those of the store.
pub async fn load_signed(unit: &mut Unit<'_>, file: &MetadataFile) -> Result<Loaded, ApiError> {
    unit.tx.begin_write().await.map_err(store)?;
    let row = unit.tx.read_one("SELECT value FROM installation WHERE key = $1", &[NUMBER.into()]).await;
    let before = row.map_err(store)?.map(|row| row.text("value")).transpose().map_err(store)?;
    let before = before.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    if file.number < before {
        let text = format!("The file has number {}, and number {before} was loaded before.", file.number);
        return Err(ApiError::BadRequest(text));
    }
    let sql = "INSERT INTO installation (key, value) VALUES ($1, $2) \
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    unit.tx.write(sql, &[NUMBER.into(), file.number.to_string().into()]).await.map_err(store)?;
    let loaded = write(unit, &file.models, true).await?;
    report(unit, json!({"models": loaded.models, "number": file.number})).await?;
    Ok(loaded)
}

async fn write(unit: &mut Unit<'_>, models: &[Model], signed: bool) -> Result<Loaded, ApiError> {
    let sql = "INSERT INTO webauthn_device_type (aaguid, description, icon, roots, revoked, signed) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (aaguid) DO UPDATE SET description = excluded.description, \
               icon = excluded.icon, roots = excluded.roots, revoked = excluded.revoked, signed = excluded.signed \
               WHERE excluded.signed = TRUE OR webauthn_device_type.signed = FALSE";
    let mut loaded = Loaded::default();
    // The row of unknown models is Weir's own.
    for model in models.iter().filter(|model| !model.aaguid.is_nil()) {
        let name: String = model.description.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        let roots: Vec<String> = model.roots.iter().map(|root| weir_webauthn::encode(root)).collect();
        let vals = [
            model.aaguid.into(),
            name.into(),
            model.icon.clone().into(),
            json!(roots).into(),
            model.is_revoked.into(),
            signed.into(),
        ];
        let written = unit.tx.write(sql, &vals).await.map_err(store)?;
        loaded.models += 1;
        loaded.revoked += usize::from(model.is_revoked);
        loaded.kept += usize::from(written == 0);
    }
    Ok(loaded)
}

async fn report(unit: &mut Unit<'_>, context: serde_json::Value) -> Result<(), ApiError> {
    let app = "authentik_stages_authenticator_webauthn";
    unit.event(Event::new("custom_webauthn_device_types_loaded", app, context)).await
}
