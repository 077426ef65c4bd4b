//! `weir user`: first aid when nobody can sign in. Whoever can run this owns the database, so nothing is asked for.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use weir_core::{Map, duration};
use weir_crypto::{Password, Salt};
use weir_events::{Event, action};
use weir_flow::links;
use weir_identity::{
    Account, accounts,
    bootstrap::{ADMIN_GROUP, ADMIN_USERNAME},
    brand_for_host, session,
};
use weir_policy::RequestInfo;
use weir_resource::{Actor, Unit, store};

use super::{Usage, args::NewUser, print, refusal};
use crate::{
    config::Config,
    server::{Core, setup},
};

/// Makes an account.
pub async fn create(core: &Core, new: &NewUser) -> Result<()> {
    let hash = if new.password { Some(hash(core, read_password()?).await?) } else { None };
    let mut unit = Unit::new(&core.site, Actor::system());
    let mut body = Map::new();
    body.insert("username".to_owned(), new.username.clone().into());
    body.insert("name".to_owned(), new.name.clone().unwrap_or_else(|| new.username.clone()).into());
    if let Some(email) = &new.email {
        body.insert("email".to_owned(), email.clone().into());
    }
    if new.admin {
        let sql = "SELECT id FROM identity_group WHERE name = $1";
        let row = unit.tx.read_one(sql, &[ADMIN_GROUP.into()]).await?;
        let group = row.with_context(|| format!("there is no group {ADMIN_GROUP:?}"))?.text("id")?;
        body.insert("groups".to_owned(), json!([group]));
    }
    let account = accounts::create(&mut unit, &body).await.map_err(refusal)?;
    if let Some(hash) = hash {
        let now = core.site.clock.now();
        accounts::set_password_hash(&mut unit.tx, account.id, &hash, now).await?;
    }
    unit.commit().await.map_err(refusal)?;
    print(&format!("made {} with number {}", account.username, account.id))
}

/// Sets a password; whoever was signed in with the old one is not any more.
pub async fn set_password(core: &Core, username: &str) -> Result<()> {
    let account = find(core, username).await?;
    let hash = hash(core, read_password()?).await?;
    let mut unit = Unit::new(&core.site, Actor::system());
    let now = core.site.clock.now();
    if !accounts::set_password_hash(&mut unit.tx, account.id, &hash, now).await? {
        bail!("{username} is gone");
    }
    session::delete_of_user(&mut unit.tx, account.id, None).await?;
    let user = json!({"app": "authentik_core", "model_name": "user", "pk": account.id, "name": account.username});
    let event = Event::new(action::PASSWORD_SET, "authentik_core", json!({"model": user}));
    unit.event(event).await.map_err(refusal)?;
    unit.commit().await.map_err(refusal)?;
    if username == ADMIN_USERNAME {
        setup::finish(&core.site).await?;
    }
    print(&format!("the password of {username} is set"))
}

/// Prints a recovery link.
pub async fn recovery_link(
    core: &Core,
    config: &Config,
    username: &str,
    life: &str,
    url: Option<String>,
) -> Result<()> {
    let account = find(core, username).await?;
    let life = duration::parse(life).map_err(Usage)?;
    let mut unit = Unit::new(&core.site, Actor::system());
    let known = Some(unit.snapshot.settings.base_url.clone()).filter(|url| !url.is_empty());
    let base = url.or(known).unwrap_or_else(|| config.local_url(config.listen));
    let (scheme, rest) = base.split_once("://").ok_or_else(|| Usage(format!("{base:?} is no address")))?;
    let host = rest.split('/').next().unwrap_or_default().to_owned();
    let request = RequestInfo {
        method: "GET".to_owned(),
        path: "/".to_owned(),
        client_ip: "255.255.255.255".to_owned(),
        brand: brand_for_host(&unit.snapshot, &host).0,
        is_secure: scheme.eq_ignore_ascii_case("https"),
        host,
        ..RequestInfo::default()
    };
    let expires = core.site.clock.now() + life;
    let link = links::recovery_link(&core.engine, &mut unit, &request, &account, expires, false).await;
    let link = link.map_err(refusal).context("no link; `weir user set-password` works without a flow")?;
    unit.commit().await.map_err(refusal)?;
    let base = base.trim_end_matches('/');
    // The page's path begins with the prefix, and so may the address people know.
    let base = base.strip_suffix(core.engine.prefix.as_str()).unwrap_or(base);
    print(&format!("{base}{}", core.engine.flow_page(&link.slug, &link.query())))
}

pub(super) async fn find(core: &Core, username: &str) -> Result<Account> {
    let found = accounts::find_by_username(&core.site.db, username).await.map_err(store).map_err(refusal)?;
    found.with_context(|| format!("there is no user {username:?}"))
}

async fn hash(core: &Core, password: Password) -> Result<String> {
    let hash = core.hashes.hash(password, Salt::random(&mut weir_crypto::system_rng())).await?;
    Ok(hash)
}

/// One line of the standard input; every byte of it counts.
fn read_password() -> Result<Password> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let mut terminal = std::io::stderr();
        write!(terminal, "Password (it is shown while you type): ")?;
        terminal.flush()?;
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).context("the standard input")?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(Usage("the standard input holds no password".to_owned()).into());
    }
    Password::new(password.as_bytes().to_vec()).map_err(|error| Usage(error.to_string()).into())
}
