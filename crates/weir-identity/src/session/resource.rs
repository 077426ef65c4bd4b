//! The API's view of sessions in which somebody is signed in.

use super::{Chosen, describe, end};
use crate::{
    User, permission,
    token::{by_username, search_with_username},
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use weir_core::{ApiError, Backing, Map, Operations, Ref, Resource, TableDef, resource::UuidKeyed};
use weir_resource::{Condition, Hooks, ListQuery, Presenting, Site, Stored, Unit, store};

/// A session of a signed-in user.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticatedSession {
    /// The user.
    pub user: Ref<User>,
    /// Client address of the last use.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub last_ip: String,
    /// User agent of the last use.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub last_user_agent: String,
    /// Last use, to the minute.
    #[schemars(extend("readOnly" = true))]
    pub last_used: DateTime<Utc>,
    /// When the session ends.
    #[schemars(extend("readOnly" = true))]
    pub expires: DateTime<Utc>,
}

impl UuidKeyed for AuthenticatedSession {}

const TABLE: TableDef = TableDef {
    table: "identity_session",
    pk: "uuid",
    pk_is_int: false,
    links: &[],
    only: "\"user\" IS NOT NULL",
    search_index: "",
};

impl Resource for AuthenticatedSession {
    const MODEL: &'static str = "authentik_core.authenticatedsession";
    const PATH: &'static str = "core/authenticated_sessions";
    const SCHEMA: &'static str = "AuthenticatedSession";
    const VERBOSE: &'static str = "Authenticated Session";
    const PK: &'static str = "uuid";
    const SEARCH: &'static [&'static str] = &["last_ip", "last_user_agent"];
    const ORDER: &'static str = "-last_used";
    const UNIQUE: &'static [&'static [&'static str]] = &[];
    const OWNER: Option<&'static str> = Some("user");
    const BACKING: Backing = Backing::Table(&TABLE);
    const OPERATIONS: Operations = Operations { create: false, update: false, destroy: true, used_by: true };
    const AUDITED: bool = false;
}

/// See [`AuthenticatedSession`].
pub struct SessionHooks;

#[async_trait]
impl Hooks for SessionHooks {
    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        permission::forget_object(unit, old).await?;
        let user = old.doc.get("user").and_then(Value::as_i64);
        let (Some(user_id), Ok(uuid)) = (user, Uuid::parse_str(&old.pk)) else { return Ok(()) };
        end::tell(unit, &[Chosen { uuid, user_id }]).await
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let mut current = None;
        if let Some(digest) = cx.session {
            let sql = "SELECT uuid FROM identity_session WHERE key_digest = $1";
            let row = cx.site.db.read_one(sql, &[digest.into()]).await.map_err(store)?;
            current = row.map(|r| r.text("uuid")).transpose().map_err(store)?;
        }
        for (row, answer) in rows.iter().zip(answers) {
            answer.insert("current".to_owned(), (current.as_deref() == Some(row.pk.as_str())).into());
            answer.insert("user_agent".to_owned(), describe(row.text("last_user_agent")));
            let (geo, ip) = (&cx.site.geo, row.text("last_ip"));
            answer.insert("geo_ip".to_owned(), geo.place_json(ip).unwrap_or(Value::Null));
            answer.insert("asn".to_owned(), geo.network_json(ip).unwrap_or(Value::Null));
        }
        Ok(())
    }

    fn filter(&self, _site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        Ok(match name {
            "session__last_ip" => Some(Condition::new("last_ip = ?", vec![value.into()])),
            "session__last_user_agent" => Some(Condition::new("last_user_agent = ?", vec![value.into()])),
            _ => by_username(name, value),
        })
    }

    fn search(&self, site: &Site, text: &str) -> Result<Option<Condition>, ApiError> {
        search_with_username(site, AuthenticatedSession::SEARCH, text)
    }

    fn narrow(&self, site: &Site, _query: &ListQuery) -> Result<Vec<Condition>, ApiError> {
        let live = "EXISTS (SELECT 1 FROM identity_user u WHERE u.id = identity_session.\"user\" \
                    AND u.is_active = TRUE AND u.security_epoch = identity_session.security_epoch)";
        Ok(vec![Condition::new("expires > ?", vec![site.clock.now().into()]), Condition::new(live, vec![])])
    }
}
