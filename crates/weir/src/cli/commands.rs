//! The commands that need no file of their own.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use weir_store::{DatabaseUrl, Db, DbSettings};

use super::{
    args::{Action, BlueprintAction, EventsAction, LockdownAction, MailAction, UserAction, WebauthnAction},
    block_on, blueprint, database, events, lockdown, mail, print, seed, user, webauthn,
};
use crate::{
    config::Config,
    otel::Exporter,
    server::{self, Core, Options},
};

/// Runs a command that works with the database.
pub fn run(action: Action, config: Config, traces: Option<Exporter>) -> Result<()> {
    block_on(async move {
        match action {
            Action::Serve => server::serve(&config, traces).await,
            Action::Migrate => migrate(&config).await,
            Action::Openapi { yaml } => openapi(&config, yaml).await,
            Action::User(action) => {
                let core = open(&config).await?;
                match action {
                    UserAction::Create(new) => user::create(&core, &new).await,
                    UserAction::SetPassword { username } => user::set_password(&core, &username).await,
                    UserAction::Lockdown { username, reason } => lockdown::lock(&core, &username, &reason).await,
                    UserAction::Unlock { username, reason } => lockdown::unlock(&core, &username, &reason).await,
                    UserAction::RecoveryLink { username, duration, url } => {
                        user::recovery_link(&core, &config, &username, &duration, url).await
                    }
                }
            }
            Action::Blueprint(BlueprintAction::Apply { file, context }) => {
                blueprint::apply(&*open(&config).await?, &file, &context).await
            }
            Action::Blueprint(BlueprintAction::Export { flow, output }) => {
                blueprint::export(&*open(&config).await?, flow.as_deref(), output.as_deref()).await
            }
            Action::Mail(MailAction::Templates) => mail::templates(&config),
            Action::Mail(MailAction::Preview(wish)) => mail::preview(&config, &wish),
            Action::Mail(MailAction::Test { address, stage, locale }) => {
                mail::test(&config, &address, stage.as_deref(), &locale).await
            }
            Action::Webauthn(WebauthnAction::LoadMetadata { file, root }) => {
                webauthn::load_metadata(&*open(&config).await?, &file, &root).await
            }
            Action::Webauthn(WebauthnAction::LoadModels { file }) => {
                webauthn::load_models(&*open(&config).await?, &file).await
            }
            Action::Lockdown(LockdownAction::Verify { file, key }) => {
                lockdown::verify(&config, &file, key.as_deref()).await
            }
            Action::Lockdown(LockdownAction::Key) => lockdown::key(&*open(&config).await?).await,
            Action::Lockdown(LockdownAction::Show { id }) => lockdown::show(&*open(&config).await?, &id).await,
            Action::Events(EventsAction::Verify { expect }) => {
                events::verify(&*open(&config).await?, expect.as_deref()).await
            }
            Action::BenchSeed { users, objects, sessions, tokens, of, events } => {
                let core = open(&config).await?;
                seed::run(&core, users, objects).await?;
                seed::artefacts(&core, &of, sessions, tokens).await?;
                seed::events(&core, events).await
            }
            // Answered before the log was started.
            Action::Config(_) | Action::Healthcheck => Ok(()),
        }
    })
}

pub(super) async fn open(config: &Config) -> Result<Arc<Core>> {
    let db = database::open(config).await?;
    Core::open(config, Options::production()?, db).await
}

async fn migrate(config: &Config) -> Result<()> {
    let applied = database::migrate(config).await?;
    if applied.is_empty() {
        return print("the database is up to date");
    }
    print(&format!("applied {}", applied.join(", ")))
}

/// The document follows from what is registered and served, so a server on an empty database can tell it.
async fn openapi(config: &Config, yaml: bool) -> Result<()> {
    let db = Db::open(&DbSettings::new(DatabaseUrl::Temporary)).await?;
    db.migrate().await?;
    let core = Core::open(config, Options::production()?, db).await?;
    let http = server::http(config, &core)?;
    let json = http.document.json(&http)?;
    if yaml {
        let document = serde_json::from_slice(&json).context("the document is not JSON")?;
        return print(&weir_http::openapi::to_yaml(&document));
    }
    print(&String::from_utf8_lossy(&json))
}
