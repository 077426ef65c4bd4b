//! `oauth_interactive`: an administrator lets this site call the application once, at the provider behind the OAuth
//! source; from then on tokens renew themselves.

use super::{SCIMAuthenticationMode, SCIMProvider, auth};
use crate::{engine::Engine, provider, state, tasks};
use async_trait::async_trait;
use chrono::TimeDelta;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Map, Resource};
use weir_http::{
    Caller, Via,
    flow::{PageCall, PageReply, PageRoute},
};
use weir_identity::Grants;
use weir_resource::{Hooks, Presenting, Stored, store};
use weir_sources::oauth::{
    OAuthSource,
    client::{self, Ties},
    state::{self as departures, Departure},
};

/// How long a person may take at the provider.
const LIFE: TimeDelta = TimeDelta::minutes(15);
const CHANGE: &str = "authentik_providers_scim.change_scimprovider";

fn start_path(number: i64) -> String {
    format!("/sync/scim/{number}/allow/")
}

fn callback_path(number: i64) -> String {
    format!("/sync/scim/{number}/callback/")
}

/// The pages an administrator passes.
pub fn pages(engine: &Arc<Engine>) -> Vec<PageRoute> {
    let (start, back) = (Arc::clone(engine), Arc::clone(engine));
    vec![
        PageRoute::new("/sync/scim/{number}/allow/", move |call| {
            let engine = Arc::clone(&start);
            async move { begin(&engine, call).await }
        }),
        PageRoute::new("/sync/scim/{number}/callback/", move |call| {
            let engine = Arc::clone(&back);
            async move { finish(&engine, call).await }
        }),
    ]
}

/// What both pages are about.
struct Asked {
    number: i64,
    source_id: Uuid,
    source: Arc<OAuthSource>,
}

/// The provider and its source, when the caller may change the provider and it waits for a person.
async fn asked(engine: &Engine, call: &PageCall, caller: &Caller) -> Result<Option<Asked>, ApiError> {
    let (Via::Session(_), Some(user)) = (&caller.via, &caller.user) else { return Ok(None) };
    let snapshot = engine.site.snapshot();
    let Ok(number) = call.param(0).parse::<i64>() else { return Ok(None) };
    let grants = Grants::load(&engine.site.db, user.id).await.map_err(store)?;
    // In somebody else's name nothing is allowed for good.
    if !grants.may(CHANGE, Some(&number.to_string())) || caller.original.is_some() {
        return Ok(None);
    }
    let found = provider::find(&snapshot, number).and_then(|object| snapshot.get::<SCIMProvider>(object.id));
    let settings = found.filter(|settings| settings.auth_mode == SCIMAuthenticationMode::OauthInteractive);
    let source_id = settings.and_then(|settings| settings.auth_oauth.as_ref().map(|source| source.uuid()));
    let found = source_id.and_then(|id| Some((id, snapshot.get::<OAuthSource>(id)?)));
    Ok(found.map(|(source_id, source)| Asked { number, source_id, source }))
}

/// Kept apart from sign-ins at the same source.
fn owner(number: i64, session: &str) -> String {
    format!("sync:{number}:{session}")
}

fn address(engine: &Engine, base_url: &str, path: &str) -> String {
    let known = engine.site.snapshot().settings.base_url.trim().trim_end_matches('/').to_owned();
    let known = if known.is_empty() { base_url.to_owned() } else { known };
    let prefix = engine.site.prefix.as_str();
    format!("{}{prefix}{path}", known.strip_suffix(prefix).unwrap_or(&known))
}

async fn begin(engine: &Engine, call: PageCall) -> Result<PageReply, ApiError> {
    if call.request.method != "GET" {
        return Err(ApiError::MethodNotAllowed(call.request.method.chars().take(20).collect()));
    }
    let caller = call.caller().await?;
    let Some(asked) = asked(engine, &call, &caller).await? else { return Ok(PageReply::NotFound) };
    // Nobody is led here from another site.
    if !matches!(call.request.header("sec-fetch-site"), None | Some("same-origin" | "none")) {
        return Ok(PageReply::denied("Open this address yourself to allow the calls."));
    }
    let visit = call.visit(&caller).await?;
    let Some(session) = visit.session() else { return Ok(PageReply::NotFound) };
    let random = &*engine.site.random;
    let (state, nonce, verifier) = (random.text(43), random.text(43), random.text(64));
    let redirect_uri = address(engine, &call.request.base_url(), &callback_path(asked.number));
    let ties = Ties { state: &state, nonce: &nonce, verifier: &verifier, redirect_uri: &redirect_uri };
    let to = match client::authorization_request(&asked.source, &ties) {
        Ok(to) => to,
        Err(trouble) => return Ok(PageReply::denied(trouble.to_string())),
    };
    let user = caller.user.as_ref().map(|user| user.id);
    let departed = engine.site.clock.now();
    let departure = Departure { nonce, verifier, redirect_uri, departed, query: String::new(), user, waiting: None };
    let expires = engine.site.clock.now() + LIFE;
    let mut tx = engine.site.db.tx();
    let owner = owner(asked.number, &session.digest);
    departures::keep(&mut tx, &state, &owner, asked.source_id, &departure, expires).await.map_err(store)?;
    tx.commit().await.map_err(store)?;
    Ok(PageReply::Go { to: to.into(), cookies: Vec::new() })
}

async fn finish(engine: &Engine, call: PageCall) -> Result<PageReply, ApiError> {
    if call.request.method != "GET" {
        return Err(ApiError::MethodNotAllowed(call.request.method.chars().take(20).collect()));
    }
    let caller = call.caller().await?;
    let Some(asked) = asked(engine, &call, &caller).await? else { return Ok(PageReply::NotFound) };
    let visit = call.visit(&caller).await?;
    let Some(session) = visit.session() else { return Ok(PageReply::NotFound) };
    let given = |name: &str| call.request.parameter(name).unwrap_or_default().to_owned();
    let (state, code, now) = (given("state"), given("code"), engine.site.clock.now());
    let mut tx = engine.site.db.tx();
    let owner = owner(asked.number, &session.digest);
    let kept = departures::take(&mut tx, now, &state, &owner, asked.source_id).await.map_err(store)?;
    tx.commit().await.map_err(store)?;
    let Some(kept) = kept.filter(|_| !code.is_empty()) else {
        return Ok(PageReply::denied("The calls were not allowed."));
    };
    let ties = (kept.verifier.as_str(), kept.redirect_uri.as_str());
    let tokens = match client::redeem(&engine.outbound, now, &asked.source, &code, ties).await {
        Ok(tokens) => tokens,
        Err(trouble) => return Ok(PageReply::denied(trouble.to_string())),
    };
    let answer = Value::Object(tokens.answer);
    let kept = auth::keep(engine, asked.number, &answer, now).await;
    kept.map_err(|failure| ApiError::Internal(anyhow::anyhow!(failure.reason())))?;
    let mut tx = engine.site.db.tx();
    state::unblock(&mut tx, asked.number).await.map_err(store)?;
    // What waited for this goes at once.
    if let Some(target) = provider::assigned(&engine.site.snapshot(), &engine.kinds, asked.number) {
        tasks::wake(&mut tx, (&*engine.site.random, now), &target).await.map_err(store)?;
    }
    tx.commit().await.map_err(store)?;
    Ok(PageReply::Say {
        status: 200,
        title: "Allowed".to_owned(),
        text: "This site may now call the application.".to_owned(),
        way_on: None,
        cookies: Vec::new(),
    })
}

/// Adds what a provider's answers tell of its tokens.
pub struct TokenHooks;

#[async_trait]
impl Hooks for TokenHooks {
    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let time = |time: Option<chrono::DateTime<chrono::Utc>>| {
            Value::from(time.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)))
        };
        for (row, answer) in rows.iter().zip(answers) {
            let interactive = row.text("auth_mode") == "oauth_interactive";
            let by_token = row.text("auth_mode") == "token";
            let known = match by_token {
                true => state::TargetRow::default(),
                false => state::target(&cx.site.db, row.int_pk()).await.map_err(store)?,
            };
            let link = |path: String| Value::from(interactive.then(|| format!("{}{path}", cx.base_url)));
            answer.insert("auth_oauth_token_last_updated".to_owned(), time(known.token_updated));
            answer.insert("auth_oauth_token_expires".to_owned(), time(known.token_expires));
            answer.insert("auth_oauth_url_callback".to_owned(), link(callback_path(row.int_pk())));
            answer.insert("auth_oauth_url_start".to_owned(), link(start_path(row.int_pk())));
        }
        Ok(())
    }

    /// Tokens of another source, or for another address, are worth nothing.
    async fn written(
        &self,
        unit: &mut weir_resource::Unit<'_>,
        old: Option<&Stored>,
        new: &Stored,
    ) -> Result<(), ApiError> {
        debug_assert_eq!(new.kind.model, SCIMProvider::MODEL);
        let Some(old) = old else { return Ok(()) };
        const OF_TOKENS: [&str; 4] = ["auth_mode", "auth_oauth", "auth_oauth_params", "url"];
        if OF_TOKENS.iter().all(|field| old.doc.get(*field) == new.doc.get(*field)) {
            return Ok(());
        }
        let sql = "UPDATE sync_target SET access_token = NULL, refresh_token = NULL, token_expires = NULL, \
                   token_updated = NULL WHERE provider = $1";
        unit.tx.write(sql, &[new.int_pk().into()]).await.map_err(store)?;
        Ok(())
    }
}
