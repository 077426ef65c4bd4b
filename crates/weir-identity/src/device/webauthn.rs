//! Security keys and passkeys.

use super::{ADMIN, DeviceKind, DeviceRow, own, table};
use crate::{Reader, reader::marks};
use async_trait::async_trait;
use chrono::SecondsFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use weir_core::{ApiError, Backing, Map, Operations, Reach, Resource, TableDef, View};
use weir_resource::{Hooks, Presenting, Stored, Unit, store};
use weir_store::{Row, StoreError, Tx, Val};

/// A security key or passkey.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WebAuthnDevice {
    /// Name by which its owner knows the device.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// Model of the authenticator, as it told at set-up.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub aaguid: String,
    /// Whose it is.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "writeOnly" = true, "format" = "int64"))]
    pub user: Option<i64>,
}

const TABLE: TableDef = table(DeviceKind::WebAuthn);

impl Resource for WebAuthnDevice {
    const MODEL: &'static str = DeviceKind::WebAuthn.model();
    const PATH: &'static str = "authenticators/admin/webauthn";
    const SCHEMA: &'static str = "WebAuthnDevice";
    const VERBOSE: &'static str = DeviceKind::WebAuthn.verbose_name();
    const PARAM: &'static str = "id";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const OWNER: Option<&'static str> = Some("user");
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = ADMIN;
    const REACH: Reach = Reach::Permitted;
    const VIEWS: &'static [View] = &[own("authenticators/webauthn", true)];
}

/// A credential to keep.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// Whose it is.
    pub user_id: i64,
    /// Name for people.
    pub name: String,
    /// Base64url without padding; unique over all users.
    pub credential_id: String,
    /// COSE key, base64url.
    pub public_key: String,
    /// The authenticator's counter.
    pub sign_count: i64,
    /// The host it was made for.
    pub rp_id: String,
    /// Model of the authenticator.
    pub aaguid: String,
    /// The known device type, by its aaguid.
    pub device_type: Option<String>,
    /// It can be copied to other devices.
    pub backup_eligible: bool,
    /// It has been.
    pub backed_up: bool,
    /// Format of the statement that vouched for the model.
    pub attestation: String,
}

/// A credential for checking an assertion.
#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    /// The device.
    pub device: DeviceRow,
    /// Base64url without padding.
    pub credential_id: String,
    /// COSE key, base64url.
    pub public_key: String,
    /// The counter of the last assertion.
    pub sign_count: i64,
    /// The host it was made for.
    pub rp_id: String,
    /// Whether it can be copied, if that is known.
    pub backup_eligible: Option<bool>,
}

/// Keeps a credential.
///
/// # Errors
/// 400 on `response` when the credential is known already, whoever's it is, and then nothing is left of it in the
/// transaction; those of the store.
pub async fn create(unit: &mut Unit<'_>, new: NewCredential) -> Result<DeviceRow, ApiError> {
    let point = unit.tx.savepoint().await.map_err(store)?;
    let made = insert(unit, new).await;
    match &made {
        Ok(_) => unit.tx.release(point).await.map_err(store)?,
        Err(ApiError::Fields(_)) => unit.tx.rollback_to(point).await.map_err(store)?,
        Err(_) => {}
    }
    made
}

async fn insert(unit: &mut Unit<'_>, new: NewCredential) -> Result<DeviceRow, ApiError> {
    let known = || ApiError::field("response", "Credential ID already exists.");
    let sql = "SELECT id FROM identity_device_webauthn WHERE credential_id = $1";
    if unit.tx.read_one(sql, &[(&new.credential_id).into()]).await.map_err(store)?.is_some() {
        return Err(known());
    }
    let fields = Map::from_iter([("aaguid".to_owned(), new.aaguid.into())]);
    let columns = vec![
        ("public_key", new.public_key.into()),
        ("sign_count", new.sign_count.into()),
        ("backup_eligible", new.backup_eligible.into()),
        ("backed_up", new.backed_up.into()),
        ("attestation", new.attestation.into()),
    ];
    let once = vec![
        ("credential_id", new.credential_id.into()),
        ("rp_id", new.rp_id.into()),
        ("device_type", new.device_type.into()),
    ];
    super::create_once(unit, DeviceKind::WebAuthn, (new.user_id, &new.name), (fields, columns), once, known).await
}

/// A credential by its id, whoever's it is; unconfirmed ones are not found.
pub async fn find_by_credential_id(mut reader: impl Reader, id: &str) -> Result<Option<Credential>, StoreError> {
    let sql = "SELECT * FROM identity_device_webauthn WHERE credential_id = $1 AND confirmed = TRUE";
    let Some(row) = reader.read_one(sql, &[id.into()]).await? else { return Ok(None) };
    read(&mut reader, &row).await
}

/// The credentials of a user, oldest first.
pub async fn credentials_of(mut reader: impl Reader, user_id: i64) -> Result<Vec<Credential>, StoreError> {
    let sql = "SELECT * FROM identity_device_webauthn WHERE \"user\" = $1 AND confirmed = TRUE \
               AND credential_id IS NOT NULL ORDER BY created, id";
    let mut found = Vec::new();
    for row in reader.read(sql, &[user_id.into()]).await? {
        found.extend(read(&mut reader, &row).await?);
    }
    Ok(found)
}

async fn read(reader: &mut impl Reader, row: &Row) -> Result<Option<Credential>, StoreError> {
    let pk = row.int("id")?.to_string();
    let Some(device) = super::find(reader, DeviceKind::WebAuthn, &pk).await? else { return Ok(None) };
    Ok(Some(Credential {
        device,
        credential_id: row.text("credential_id")?,
        public_key: row.text("public_key")?,
        sign_count: row.int("sign_count")?,
        rp_id: row.text("rp_id")?,
        backup_eligible: row.opt_bool("backup_eligible")?,
    }))
}

/// Notes the counter of an assertion and whether the credential was copied. False when the counter does not grow: then
/// the assertion, or a copy of the authenticator, was used before. One that stays 0 is one that the authenticator does
/// not keep.
pub async fn advance(tx: &mut Tx, device: &DeviceRow, count: i64, backed_up: bool) -> Result<bool, StoreError> {
    let sql = "UPDATE identity_device_webauthn SET sign_count = $1, backed_up = $2 WHERE id = $3 AND confirmed = TRUE \
               AND (sign_count < $1 OR (sign_count = 0 AND $1 = 0))";
    Ok(tx.write(sql, &[count.into(), backed_up.into(), device.id().into()]).await? > 0)
}

/// Rules of credentials.
pub(super) struct WebAuthnHooks;

#[async_trait]
impl Hooks for WebAuthnHooks {
    fn order(&self, name: &str) -> Option<&'static str> {
        (name == "created_on").then_some("created")
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        if rows.is_empty() {
            return Ok(());
        }
        let vals: Vec<Val> = rows.iter().map(|row| row.int_pk().into()).collect();
        let sql = format!("SELECT id, created FROM identity_device_webauthn WHERE id IN ({})", marks(1, vals.len()));
        let mut created = BTreeMap::new();
        for row in cx.site.db.read(&sql, &vals).await.map_err(store)? {
            created.insert(row.int("id").map_err(store)?, row.time("created").map_err(store)?);
        }
        for (row, answer) in rows.iter().zip(answers) {
            let at = created.get(&row.int_pk()).map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true));
            answer.insert("created_on".to_owned(), at.into());
            answer.entry("device_type").or_insert(Value::Null);
        }
        Ok(())
    }
}
