//! `/source/oauth/callback/<slug>/`: takes what a browser brings back from the provider.

use super::{
    OAuthSource, OAuthSources,
    client::{self, Tokens},
    id_token::Expected,
    login,
    profile::{self, Person},
    state::{self, Departure},
};
use crate::{
    connections::{NewConnection, OAUTH},
    remote::Trouble,
    say,
    sign_in::{self, Arrival},
};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_http::{
    Caller, Via,
    flow::{PageCall, PageReply, Visit},
};
use weir_resource::{Unit, store};

/// Longest code taken, bytes.
const LONGEST: usize = 8192;

/// What the browser brought.
struct Answer(Vec<(String, String)>);

impl Answer {
    async fn read(call: &PageCall) -> Result<Self, ApiError> {
        match call.request.method.as_str() {
            "GET" => Ok(Self(call.request.query.clone())),
            // Some providers have the browser post the answer. The state proves where it belongs, so a form from another
            // site is as good as a link.
            "POST" => Ok(Self(call.form().await?)),
            other => Err(ApiError::MethodNotAllowed(other.chars().take(20).collect())),
        }
    }

    /// A parameter; none when it stands there twice, which nobody honest sends.
    fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let first = found.next();
        first.filter(|_| found.next().is_none())
    }
}

/// Handles the request.
///
/// # Errors
/// Those of the store.
pub async fn arrive(sources: Arc<OAuthSources>, call: PageCall) -> Result<PageReply, ApiError> {
    let answer = Answer::read(&call).await?;
    let engine = call.engine();
    let snapshot = engine.site.snapshot();
    let Some((id, source)) = login::find(&snapshot, call.param(0)) else { return Ok(PageReply::NotFound) };
    let caller = call.caller().await?;
    let visit = call.visit(&caller).await?;
    let again = || {
        let way = format!("{}/source/oauth/login/{}/", engine.prefix, source.base.slug.0);
        say::with_way_on(say::STALE, "Try again", way)
    };
    let Some(departure) = take(&visit, engine, answer.get("state").unwrap_or_default(), id).await? else {
        return Ok(again());
    };
    let user = match (&caller.via, &caller.user) {
        (Via::Session(_), Some(user)) => Some(user.id),
        _ => None,
    };
    // Whoever signed in or out in between must not be connected with, or replaced by, what another one began.
    if user != departure.user {
        return Ok(again());
    }
    let code = match code(&answer, &source) {
        Ok(code) => code.to_owned(),
        Err(text) => return Ok(PageReply::denied(text)),
    };
    let at = Place { sources: &sources, call: &call, caller: &caller, id, departure: &departure };
    match at.identity(&source, &code, answer.get("user")).await {
        Ok((source, person, tokens)) => Box::pin(at.sign_in(visit, &source, &person, &tokens)).await,
        Err(trouble) => {
            let mut unit = Unit::new(&engine.site, sign_in::actor(&caller, &call.request, &snapshot));
            sign_in::report(&mut unit, id, &trouble).await?;
            unit.commit().await?;
            Ok(PageReply::denied(say::TROUBLE))
        }
    }
}

async fn take(
    visit: &Visit<'_>,
    engine: &weir_flow::App,
    state: &str,
    source: Uuid,
) -> Result<Option<Departure>, ApiError> {
    let Some(session) = visit.session() else { return Ok(None) };
    let mut tx = engine.site.db.tx();
    let now = engine.site.clock.now();
    let taken = state::take(&mut tx, now, state, &session.digest, source).await.map_err(store)?;
    // On the disk before anything is done with it: it must not come back after a crash.
    tx.commit().await.map_err(store)?;
    Ok(taken)
}

/// The code, or what to tell the person.
fn code<'a>(answer: &'a Answer, source: &OAuthSource) -> Result<&'a str, String> {
    match answer.get("error") {
        Some("access_denied" | "user_cancelled_authorize" | "user_cancelled_login") => {
            return Err(say::CANCELLED.to_owned());
        }
        Some(other) => {
            let word: String =
                other.chars().filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).take(60).collect();
            return Err(format!("{} refused the sign-in ({word}).", source.base.name));
        }
        None => {}
    }
    // Answers that name their issuer must name the right one (RFC 9207).
    if let Some(issuer) = answer.get("iss")
        && !source.issuer.is_empty()
        && source.issuer != issuer
    {
        return Err(say::STALE.to_owned());
    }
    answer.get("code").filter(|code| !code.is_empty() && code.len() <= LONGEST).ok_or_else(|| say::STALE.to_owned())
}

struct Place<'a> {
    sources: &'a OAuthSources,
    call: &'a PageCall,
    caller: &'a Caller,
    id: Uuid,
    departure: &'a Departure,
}

impl Place<'_> {
    /// Asks the provider who it is. No transaction is open meanwhile.
    async fn identity(
        &self,
        source: &OAuthSource,
        code: &str,
        posted_user: Option<&str>,
    ) -> Result<(OAuthSource, Person, Tokens), Trouble> {
        let engine = self.call.engine();
        let (outbound, now) = (&engine.outbound, engine.site.clock.now());
        let source = self.sources.discovery.complete(outbound, now, source).await?;
        let ties = (self.departure.verifier.as_str(), self.departure.redirect_uri.as_str());
        let tokens = client::redeem(outbound, now, &source, code, ties).await?;
        let expected = Expected { source: &source, nonce: &self.departure.nonce, now };
        let person = profile::person(outbound, &self.sources.discovery, &tokens, &expected, posted_user).await?;
        Ok((source, person, tokens))
    }

    async fn sign_in(
        &self,
        visit: Visit<'_>,
        source: &OAuthSource,
        person: &Person,
        tokens: &Tokens,
    ) -> Result<PageReply, ApiError> {
        let summary = json!({
            "source": source.base.slug.0,
            "provider_type": source.provider_type,
            "client_id": client::client_id(source),
        });
        let variables = Map::from_iter([
            ("info".to_owned(), Value::Object(person.info.clone())),
            ("client".to_owned(), summary),
            ("token".to_owned(), Value::Object(tokens.answer.clone())),
        ]);
        let arrival = Arrival {
            call: self.call,
            caller: self.caller,
            source: self.id,
            base: &source.base,
            kind_app: "authentik_sources_oauth",
            connection_model: "useroauthsourceconnection",
            new: NewConnection {
                kind: OAUTH,
                source: self.id,
                identifier: &person.identifier,
                access_token: Some(&tokens.access),
                refresh_token: tokens.refresh.as_deref(),
                expires: tokens.expires,
            },
            properties: person.properties.clone(),
            groups: person.groups.clone(),
            is_mail_unverified: person.is_mail_unverified,
            info: person.info.clone(),
            variables,
            departed: self.departure.departed,
            waiting: self.departure.waiting.as_ref(),
            query: &self.departure.query,
        };
        Box::pin(arrival.sign_in(visit)).await
    }
}
