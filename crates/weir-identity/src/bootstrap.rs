//! The accounts of a new installation. What an administrator changes or deletes later stays so.

use crate::{Group, Role, User, accounts, kind, permission, token};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use weir_core::{ApiError, Map};
use weir_resource::{Actor, Site, Unit, store};

/// Name of the first administrator.
pub const ADMIN_USERNAME: &str = "akadmin";
/// Group of the administrators.
pub const ADMIN_GROUP: &str = "authentik Admins";
/// Group and role that may see everything.
pub const READ_ONLY: &str = "authentik Read-only";
/// Name of the API token given at first start.
pub const TOKEN_IDENTIFIER: &str = "authentik-bootstrap-token";

const DONE: &str = "bootstrap";
const READ_ONLY_MODELS: &str = "read_only_models";

/// Values for the first start; ignored ever after.
#[derive(Clone, Default)]
pub struct BootstrapOptions {
    /// Password hash of the administrator; without one the set-up page asks for a password.
    pub password_hash: Option<String>,
    /// E-mail address of the administrator.
    pub email: Option<String>,
    /// Key of an API token of the administrator.
    pub token: Option<String>,
}

impl std::fmt::Debug for BootstrapOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let set = |value: &Option<String>| if value.is_some() { "set" } else { "unset" };
        f.debug_struct("BootstrapOptions")
            .field("password_hash", &set(&self.password_hash))
            .field("email", &self.email)
            .field("token", &set(&self.token))
            .finish()
    }
}

/// What bootstrap did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootstrapOutcome {
    /// The accounts were made by this call; the administrator's key.
    Created {
        /// Key of the administrator.
        admin: i64,
    },
    /// There was nothing to do.
    AlreadyDone,
}

/// Makes the first accounts on an empty installation. Safe to call at each start of each node.
///
/// # Errors
/// 400 for unusable values; those of the store. Nothing is made then.
pub async fn bootstrap(site: &Site, options: &BootstrapOptions) -> Result<BootstrapOutcome, ApiError> {
    let mut unit = Unit::new(site, Actor::system());
    // One node at a time, over the look and the writes.
    unit.lock_configuration().await?;
    let outcome = if claim(&mut unit).await? {
        let admin = first_accounts(&mut unit, options).await?;
        BootstrapOutcome::Created { admin }
    } else {
        BootstrapOutcome::AlreadyDone
    };
    extend_read_only(&mut unit).await?;
    unit.commit().await?;
    Ok(outcome)
}

/// Marks the installation as begun; false when it was, or when there are users from elsewhere.
async fn claim(unit: &mut Unit<'_>) -> Result<bool, ApiError> {
    let now = unit.site.clock.now().to_rfc3339();
    let sql = "INSERT INTO installation (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
    if unit.tx.write(sql, &[DONE.into(), now.into()]).await.map_err(store)? == 0 {
        return Ok(false);
    }
    let row = unit.tx.read_one("SELECT id FROM identity_user LIMIT 1", &[]).await.map_err(store)?;
    Ok(row.is_none())
}

fn map(value: Value) -> Map {
    crate::attributes::object(value)
}

async fn first_accounts(unit: &mut Unit<'_>, options: &BootstrapOptions) -> Result<i64, ApiError> {
    let site = unit.site;
    let now = site.clock.now();
    let admins =
        unit.create(kind::<Group>(site)?, &map(json!({"name": ADMIN_GROUP, "is_superuser": true})), None).await?;
    let body = json!({
        "username": ADMIN_USERNAME,
        "name": "authentik Default Admin",
        "email": options.email.clone().unwrap_or_default(),
        "groups": [admins.pk],
    });
    let admin = unit.create(kind::<User>(site)?, &map(body), None).await?.int_pk();
    if let Some(hash) = &options.password_hash {
        accounts::set_password_hash(&mut unit.tx, admin, hash, now).await.map_err(store)?;
    }
    if let Some(key) = &options.token {
        let new = token::NewToken {
            description: "Given at first start".to_owned(),
            managed: Some("goauthentik.io/bootstrap-token".to_owned()),
            key: Some(key.clone()),
            ..token::NewToken::new(TOKEN_IDENTIFIER, admin, token::Intent::Api)
        };
        token::mint(unit, new).await?;
    }
    let role = unit.create(kind::<Role>(site)?, &map(json!({"name": READ_ONLY})), None).await?;
    unit.create(kind::<Group>(site)?, &map(json!({"name": READ_ONLY, "roles": [role.pk]})), None).await?;
    tracing::info!(user = ADMIN_USERNAME, "first accounts made");
    Ok(admin)
}

/// Gives the read-only role the view permission on models it has not been given before: all at first start, new ones
/// after an update. What an administrator took away stays away.
async fn extend_read_only(unit: &mut Unit<'_>) -> Result<(), ApiError> {
    let stored = "SELECT value FROM installation WHERE key = $1";
    let row = unit.tx.read_one(stored, &[READ_ONLY_MODELS.into()]).await.map_err(store)?;
    let text = row.map(|r| r.text("value")).transpose().map_err(store)?.unwrap_or_default();
    let known: BTreeSet<&str> = text.split(',').collect();
    let models: BTreeSet<&str> = unit.site.registry.all().map(|k| k.model).collect();
    let new: Vec<&str> = models.iter().copied().filter(|m| !known.contains(m)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let role = unit.tx.read_one("SELECT id FROM identity_role WHERE name = $1", &[READ_ONLY.into()]).await;
    let Some(role) = role.map_err(store)? else { return Ok(()) };
    let role = role.text("id").map_err(store)?;
    let given: Vec<_> = permission::all(&unit.site.registry)
        .into_iter()
        .filter(|p| new.contains(&p.full_model().as_str()) && p.codename == format!("view_{}", p.model))
        .collect();
    permission::write_unchecked(unit, &role, &given, "").await?;
    // Models of another build of this site stay remembered.
    let all: Vec<&str> = known.union(&models).copied().filter(|m| !m.is_empty()).collect();
    let sql = "INSERT INTO installation (key, value) VALUES ($1, $2) \
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    unit.tx.write(sql, &[READ_ONLY_MODELS.into(), all.join(",").into()]).await.map_err(store)?;
    Ok(())
}
