//! Keys in the secure enclaves of people's Apple devices. A key is a way in as its owner, so that lockdowns count it.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_core::{ApiError, Backing, Map, Ref, Resource, TableDef, resource::UuidKeyed};
use weir_identity::{Grants, User, accounts, permission};
use weir_resource::{Hooks, Site, Stored, Unit, store};
use weir_store::Val;

/// The public half of a key that an Apple device keeps for a user.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AppleIndependentSecureEnclave {
    /// Whose key it is.
    #[schemars(extend("x-on-delete" = "cascade"))]
    pub user: Ref<User>,
    /// The public key, PEM.
    #[schemars(length(min = 1))]
    pub apple_secure_enclave_key: String,
    /// What the device calls the key.
    #[schemars(length(min = 1))]
    pub apple_enclave_key_id: String,
    /// Kind of the device.
    #[schemars(length(min = 1))]
    pub device_type: String,
}

const TABLE: TableDef =
    TableDef { table: "endpoint_secure_enclave", pk: "id", pk_is_int: false, links: &[], only: "", search_index: "" };

impl UuidKeyed for AppleIndependentSecureEnclave {}
impl Resource for AppleIndependentSecureEnclave {
    const MODEL: &'static str = "authentik_endpoints_connectors_agent.appleindependentsecureenclave";
    const PATH: &'static str = "endpoints/agents/psso/ise";
    const SCHEMA: &'static str = "AppleIndependentSecureEnclave";
    const VERBOSE: &'static str = "Apple Independent Secure Enclave";
    const PK: &'static str = "uuid";
    const SEARCH: &'static [&'static str] = &["apple_enclave_key_id", "device_type"];
    const ORDER: &'static str = "apple_enclave_key_id";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["apple_enclave_key_id"]];
    const KEY_IS_CHOSEN: bool = true;
    const BACKING: Backing = Backing::Table(&TABLE);
}

/// Characters of a key, its name and its device. The contract names no bounds, but an index takes no longer names.
const BOUNDS: [(&str, usize); 3] =
    [("apple_secure_enclave_key", 8192), ("apple_enclave_key_id", 512), ("device_type", 1024)];

/// See [`AppleIndependentSecureEnclave`].
pub(super) struct EnclaveHooks;

#[async_trait]
impl Hooks for EnclaveHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        for (field, most) in BOUNDS {
            if new.get(field).and_then(Value::as_str).is_some_and(|text| text.chars().count() > most) {
                return Err(ApiError::field(field, format!("Ensure this field has no more than {most} characters.")));
            }
        }
        let owner = |doc: &Map| doc.get("user").and_then(Value::as_i64);
        for user in old.and_then(|old| owner(&old.doc)).into_iter().chain(owner(new)) {
            // Before a lockdown of the owner, which counts it, or after.
            accounts::lock_for(unit, user).await?;
            if let Some(actor) = unit.actor.user_id {
                let grants = Grants::load(&mut unit.tx, actor).await.map_err(store)?;
                permission::check_acting_as(&mut unit.tx, &grants, actor, user).await?;
            }
        }
        Ok(())
    }

    fn columns(&self, site: &Site, old: Option<&Stored>, _new: &Map) -> Vec<(&'static str, Val)> {
        if old.is_some() { Vec::new() } else { vec![("created", site.clock.now().into())] }
    }
}
