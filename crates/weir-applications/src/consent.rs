//! Consents: what a person agreed to give to an application. The consent stage writes them; here they are looked at and
//! taken back.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;
use weir_core::{ApiError, Backing, Map, Operations, Resource, TableDef};
use weir_identity::{User, kind, permission};
use weir_resource::{Condition, Hooks, Presenting, Site, Stored, Unit, present, present_one};

fn yes() -> bool {
    true
}

/// A consent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserConsent {
    /// Key of the person; answers show the user.
    #[schemars(extend("readOnly" = true, "writeOnly" = true, "format" = "int64"))]
    pub user_id: i64,
    /// Key of the application; answers show the application.
    #[schemars(extend("readOnly" = true, "writeOnly" = true))]
    pub application_id: String,
    /// When it ends.
    #[serde(default)]
    pub expires: Option<DateTime<Utc>>,
    /// Whether it ends at all.
    #[serde(default = "yes")]
    pub expiring: bool,
    /// What was agreed to, separated by spaces.
    #[serde(default)]
    pub permissions: String,
}

const TABLE: TableDef =
    TableDef { table: "identity_consent", pk: "id", pk_is_int: true, links: &[], only: "", search_index: "" };

impl Resource for UserConsent {
    const MODEL: &'static str = "authentik_core.userconsent";
    const PATH: &'static str = "core/user_consent";
    const SCHEMA: &'static str = "UserConsent";
    const VERBOSE: &'static str = "User Consent";
    const PARAM: &'static str = "id";
    const SEARCH: &'static [&'static str] = &[];
    const ORDER: &'static str = "expires";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const OWNER: Option<&'static str> = Some("user_id");
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = Operations { create: false, update: false, destroy: true, used_by: true };
}

/// See [`UserConsent`].
pub struct ConsentHooks;

/// Answers by key.
async fn answers(cx: &Presenting<'_>, rows: Vec<Stored>) -> Result<BTreeMap<String, Value>, ApiError> {
    let keys = rows.iter().map(|row| row.pk.clone()).collect::<Vec<_>>();
    Ok(keys.into_iter().zip(present(cx, &rows).await?.into_iter().map(Value::Object)).collect())
}

#[async_trait]
impl Hooks for ConsentHooks {
    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        permission::forget_object(unit, old).await
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], shown: &mut [Map]) -> Result<(), ApiError> {
        let user = |row: &Stored| row.doc.get("user_id").map(Value::to_string).unwrap_or_default();
        let users: BTreeSet<String> = rows.iter().map(user).collect();
        let users = cx.site.find_many(kind::<User>(cx.site)?, &users.into_iter().collect::<Vec<_>>()).await?;
        let users = answers(cx, users).await?;
        let mut applications: BTreeMap<&str, Value> = BTreeMap::new();
        for (row, answer) in rows.iter().zip(shown) {
            let application = row.text("application_id");
            if !applications.contains_key(application) {
                let object = Uuid::parse_str(application).ok().and_then(|key| cx.snapshot.find(key));
                let value = match object {
                    Some(object) => Value::Object(present_one(cx, &Stored::of(object)).await?),
                    None => Value::Null,
                };
                applications.insert(application, value);
            }
            answer.insert("user".to_owned(), users.get(&user(row)).cloned().unwrap_or_default());
            answer.insert("application".to_owned(), applications.get(application).cloned().unwrap_or_default());
        }
        Ok(())
    }

    fn filter(&self, _site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        Ok(match name {
            "user" => {
                let id: i64 = value.parse().map_err(|_| ApiError::field("user", "Enter a number."))?;
                Some(Condition::new("user_id = ?", vec![id.into()]))
            }
            "application" => {
                let key = Uuid::parse_str(value);
                let key = key.map_err(|_| ApiError::field("application", "Enter a valid UUID."))?;
                Some(Condition::new("application_id = ?", vec![key.to_string().into()]))
            }
            _ => None,
        })
    }
}
