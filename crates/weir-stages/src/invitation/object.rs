//! Invitations.

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{Backing, Map, Ref, Resource, Slug, TableDef, resource::UuidKeyed};
use weir_flow::Flow;
use weir_store::{Row, StoreError, Tx};

/// An invitation: whoever has its key may use it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Invitation {
    /// Name for administrators.
    pub name: Slug,
    /// When it cannot be used any more; never when null.
    #[serde(default)]
    pub expires: Option<DateTime<Utc>>,
    /// Answers that are given in advance; they win over those of the invited.
    #[serde(default)]
    pub fixed_data: Map,
    /// Who made it.
    #[serde(default)]
    #[schemars(extend("readOnly" = true, "writeOnly" = true, "format" = "int64"))]
    pub created_by: Option<i64>,
    /// It is gone once it was used.
    #[serde(default)]
    pub single_use: bool,
    /// The only flow that takes it; every flow when null.
    #[serde(default)]
    pub flow: Option<Ref<Flow>>,
}

const TABLE: TableDef =
    TableDef { table: "invitation", pk: "id", pk_is_int: false, links: &[], only: "", search_index: "" };

impl UuidKeyed for Invitation {}
impl Resource for Invitation {
    const MODEL: &'static str = "authentik_stages_invitation.invitation";
    const PATH: &'static str = "stages/invitation/invitations";
    const SCHEMA: &'static str = "Invitation";
    const VERBOSE: &'static str = "Invitation";
    const PARAM: &'static str = "invite_uuid";
    const ORDER: &'static str = "-expires";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const OWNER: Option<&'static str> = Some("created_by");
    const BACKING: Backing = Backing::Table(&TABLE);
}

/// An invitation that is being used.
#[derive(Clone, Debug)]
pub(super) struct Used {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) fixed_data: Map,
    pub(super) single_use: bool,
    pub(super) created_by: Option<i64>,
}

impl Used {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let fixed_data = match row.json("fixed_data")? {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Ok(Self {
            id: row.uuid("id")?,
            name: row.text("name")?,
            fixed_data,
            single_use: row.bool("single_use")?,
            created_by: row.opt_int("created_by")?,
        })
    }

    /// As expressions and events see it.
    pub(super) fn summary(&self) -> Value {
        json!({"app": "authentik_stages_invitation", "model_name": "invitation", "pk": self.id, "name": self.name})
    }
}

const USABLE: &str = "id = $1 AND (expires IS NULL OR expires > $2) AND (flow IS NULL OR flow = $3)";

/// The invitation with this key, if this flow may use it now.
pub(super) async fn find(tx: &mut Tx, id: Uuid, flow: Uuid, now: DateTime<Utc>) -> Result<Option<Used>, StoreError> {
    let sql = format!("SELECT id, name, fixed_data, single_use, created_by FROM invitation WHERE {USABLE}");
    let row = tx.read_one(&sql, &[id.into(), now.into(), flow.into()]).await?;
    row.map(|row| Used::from_row(&row)).transpose()
}

/// Uses up an invitation for one use; of several at once one gets true.
pub(super) async fn take(tx: &mut Tx, id: Uuid, flow: Uuid, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = format!("DELETE FROM invitation WHERE {USABLE} AND single_use = TRUE");
    Ok(tx.write(&sql, &[id.into(), now.into(), flow.into()]).await? > 0)
}

/// How long an expired invitation is still listed.
const LISTED: TimeDelta = TimeDelta::days(30);

/// Removes invitations that expired long ago.
///
/// # Errors
/// Those of the store.
pub async fn delete_old(tx: &mut Tx, now: DateTime<Utc>) -> Result<u64, StoreError> {
    tx.write("DELETE FROM invitation WHERE expires <= $1", &[(now - LISTED).into()]).await
}
