//! Tokens: keys for the API and for programs, and the keys of links that lead into a flow. A key counts by its digest;
//! it is kept readable only because the contract lets its owner see it again.

mod flow;
mod hooks;
mod mint;
pub mod revoked;
mod rotate;

pub use flow::{
    FlowToken, NewFlowToken, is_flow_token_alive, mint_flow_token, revoke_flow_token, take_flow_token, use_flow_token,
};
pub use hooks::TokenHooks;
pub(crate) use hooks::{by_username, search_with_username};
pub use mint::{NewToken, mint, set_key, view_key};
pub use rotate::{Rotated, rotate_expired};

use crate::{Account, Reader, User, digest};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_core::{Backing, Ref, Resource, Slug, TableDef, types::RefTarget};
use weir_store::{Row, StoreError, Tx};

/// What a token is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Leads into a flow, e.g. from a mail.
    Verification,
    /// Opens the API.
    #[default]
    Api,
    /// Lets its owner back in.
    Recovery,
    /// A password for programs.
    AppPassword,
}

impl Intent {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::Api => "api",
            Self::Recovery => "recovery",
            Self::AppPassword => "app_password",
        }
    }

    /// The intent of a word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Verification, Self::Api, Self::Recovery, Self::AppPassword].into_iter().find(|i| i.as_str() == text)
    }
}

/// A token.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// Set when the server keeps this token; what clients send here is passed over.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub managed: Option<String>,
    /// Unique name that addresses the token.
    #[schemars(length(max = 255))]
    pub identifier: Slug,
    /// What the token is for.
    #[serde(default)]
    pub intent: Intent,
    /// The user as whom the token acts; the caller when left out.
    #[serde(default)]
    // May be left out but not be null.
    #[schemars(with = "i64", extend("x-ref" = "authentik_core.user", "x-on-delete" = "cascade"))]
    pub user: Option<Ref<User>>,
    /// Note for people.
    #[serde(default)]
    pub description: String,
    /// When the token stops working.
    #[serde(default)]
    pub expires: Option<DateTime<Utc>>,
    /// Whether the token stops working at all.
    #[serde(default = "yes")]
    pub expiring: bool,
}

fn yes() -> bool {
    true
}

impl RefTarget for Token {
    const MODEL: &'static str = <Self as Resource>::MODEL;
    type Pk = Uuid;
}

const TABLE: TableDef =
    TableDef { table: "identity_token", pk: "id", pk_is_int: false, links: &[], only: "", search_index: "" };

impl Resource for Token {
    const MODEL: &'static str = "authentik_core.token";
    const PATH: &'static str = "core/tokens";
    const SCHEMA: &'static str = "Token";
    const VERBOSE: &'static str = "Token";
    const COMPONENT: &'static str = "ak-token-form";
    const LOOKUP: &'static str = "identifier";
    const PARAM: &'static str = "identifier";
    const SEARCH: &'static [&'static str] = &["identifier", "intent", "description"];
    const ORDER: &'static str = "identifier,expires";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["identifier"]];
    const OWNER: Option<&'static str> = Some("user");
    const PERMISSIONS: &'static [&'static str] = &["view_token_key", "set_token_key"];
    const BACKING: Backing = Backing::Table(&TABLE);
}

/// A token as it is kept, without its key.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRow {
    /// Primary key.
    pub id: Uuid,
    /// Unique name.
    pub identifier: String,
    /// The user as whom it acts.
    pub user_id: i64,
    /// What it is for.
    pub intent: Intent,
    /// Note for people.
    pub description: String,
    /// Set when the server keeps it.
    pub managed: Option<String>,
    /// Stops working at [`TokenRow::expires`].
    pub expiring: bool,
    /// When it stops working.
    pub expires: Option<DateTime<Utc>>,
    /// The user's epoch when it was minted.
    pub security_epoch: i64,
}

impl TokenRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.uuid("id")?,
            identifier: row.text("identifier")?,
            user_id: row.int("user")?,
            intent: Intent::parse(&row.text("intent")?).unwrap_or(Intent::Verification),
            description: row.text("description")?,
            managed: row.opt_text("managed")?,
            expiring: row.bool("expiring")?,
            expires: row.opt_time("expires")?,
            security_epoch: row.int("security_epoch")?,
        })
    }

    /// Whether the token is past its end. One that should end but has no end counts as ended.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expiring && self.expires.is_none_or(|end| end <= now)
    }
}

/// The token with this key and its user, when it is of one of these intents, alive, of the user's present epoch, and
/// the user is active. Keys of flow links never pass.
pub async fn authenticate(
    mut reader: impl Reader,
    key: &str,
    intents: &[Intent],
    now: DateTime<Utc>,
) -> Result<Option<(TokenRow, Account)>, StoreError> {
    if key.is_empty() || key.len() > 1024 {
        return Ok(None);
    }
    let sql = format!(
        "SELECT t.id, t.identifier, t.\"user\", t.intent, t.description, t.managed, t.expiring, t.expires, \
         t.security_epoch, {} FROM identity_token t JOIN identity_user u ON u.id = t.\"user\" \
         WHERE t.key_digest = $1 AND t.flow_id IS NULL",
        Account::columns("u", "u_")
    );
    let Some(row) = reader.read_one(&sql, &[digest(key).into()]).await? else { return Ok(None) };
    let (token, account) = (TokenRow::from_row(&row)?, Account::from_row(&row, "u_")?);
    let good = intents.contains(&token.intent)
        && !token.is_expired(now)
        && account.is_active
        && token.security_epoch == account.security_epoch;
    Ok(good.then_some((token, account)))
}

/// The user's tokens of an intent that are alive now; how app passwords are tried without scanning others'.
pub async fn of_user(
    mut reader: impl Reader,
    user_id: i64,
    intent: Intent,
    now: DateTime<Utc>,
) -> Result<Vec<TokenRow>, StoreError> {
    let sql = "SELECT id, identifier, \"user\", intent, description, managed, expiring, expires, security_epoch \
               FROM identity_token WHERE \"user\" = $1 AND intent = $2 AND flow_id IS NULL ORDER BY identifier";
    let rows = reader.read(sql, &[user_id.into(), intent.as_str().into()]).await?;
    let rows: Result<Vec<TokenRow>, StoreError> = rows.iter().map(TokenRow::from_row).collect();
    Ok(rows?.into_iter().filter(|t| !t.is_expired(now)).collect())
}

/// Deletes all tokens of a user, flow links included; part of a lockdown. Returns how many.
pub async fn delete_of_user(tx: &mut Tx, user_id: i64) -> Result<u64, StoreError> {
    tx.write("DELETE FROM identity_token WHERE \"user\" = $1", &[user_id.into()]).await
}
