//! Models of authenticators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{Backing, Operations, Resource, TableDef, resource::UuidKeyed};
use weir_store::{Row, StoreError, Tx};

/// Stands for all models that are not in the list. Authenticators that do not tell their model say this, too.
pub const UNKNOWN: Uuid = Uuid::nil();

/// A model of authenticators.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WebAuthnDeviceType {
    /// Number of the model, which its authenticators tell at set-up.
    pub aaguid: Uuid,
    /// Name of the model.
    pub description: String,
}

impl UuidKeyed for WebAuthnDeviceType {}

const TABLE: TableDef =
    TableDef { table: "webauthn_device_type", pk: "aaguid", pk_is_int: false, links: &[], only: "", search_index: "" };

impl Resource for WebAuthnDeviceType {
    const MODEL: &'static str = "authentik_stages_authenticator_webauthn.webauthndevicetype";
    const PATH: &'static str = "stages/authenticator/webauthn_device_types";
    const SCHEMA: &'static str = "WebAuthnDeviceType";
    const VERBOSE: &'static str = "WebAuthn Device type";
    const PK: &'static str = "aaguid";
    const PARAM: &'static str = "aaguid";
    const SEARCH: &'static [&'static str] = &["aaguid", "description"];
    const ORDER: &'static str = "description,aaguid";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["aaguid"]];
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = Operations::READ;
}

/// A model with what the API does not show.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    pub(super) aaguid: Uuid,
    pub(super) description: String,
    /// Certificates that its attestations lead to.
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) is_revoked: bool,
}

impl Model {
    pub(super) async fn find(tx: &mut Tx, aaguid: Uuid) -> Result<Option<Self>, StoreError> {
        let sql = "SELECT aaguid, description, roots, revoked FROM webauthn_device_type WHERE aaguid = $1";
        let row = tx.read_one(sql, &[aaguid.into()]).await?;
        row.as_ref().map(Self::from_row).transpose()
    }

    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let roots = row.json("roots")?;
        let roots = roots.as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(Self {
            aaguid: row.uuid("aaguid")?,
            description: row.text("description")?,
            roots: roots.filter_map(weir_webauthn::decode).collect(),
            is_revoked: row.bool("revoked")?,
        })
    }

    /// The model as it stands in events and in `auth_method_args`.
    pub(super) fn summary(&self) -> Value {
        let (app, model) = WebAuthnDeviceType::MODEL.split_once('.').unwrap_or_default();
        json!({"app": app, "model_name": model, "pk": self.aaguid.simple().to_string(), "name": self.description})
    }
}
