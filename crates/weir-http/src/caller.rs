//! Who calls: an API token, a browser session (perhaps acting as somebody else), or nobody.

use crate::{AppState, Incoming, bindings, client_certificate, session};
use serde_json::Value;
use std::net::IpAddr;
use weir_core::ApiError;
use weir_events::Origin;
use weir_identity::{Account, Intent, SessionRow, TokenRow, accounts, brand_for_host, session as sessions, token};
use weir_policy::RequestInfo;
use weir_resource::{Actor, Snapshot, Unit, store};
use weir_store::Durability;

/// The browser session of a request.
#[derive(Clone, Debug)]
pub struct Browser {
    /// The key that the cookie carries.
    pub key: String,
    /// The session; nobody may have signed in yet.
    pub row: SessionRow,
}

/// How the caller was recognised.
#[derive(Clone, Debug)]
pub enum Via {
    /// Not at all.
    Anonymous,
    /// By the session cookie.
    Session(Box<Browser>),
    /// By an API token.
    Token(Box<TokenRow>),
}

/// The caller of a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose rights count: the assumed user during impersonation.
    pub user: Option<Account>,
    /// The real user during impersonation.
    pub original: Option<Account>,
    /// How the caller was recognised.
    pub via: Via,
    /// The client; an outpost tells it for the people it speaks for.
    pub client_ip: IpAddr,
    /// The account of the outpost that sends the request.
    pub outpost: Option<Account>,
}

impl Caller {
    /// Nobody in particular.
    pub(crate) fn anonymous(request: &Incoming) -> Self {
        Self { user: None, original: None, via: Via::Anonymous, client_ip: request.client_ip, outpost: None }
    }

    /// Recognises the caller.
    ///
    /// # Errors
    /// 403 for a bearer that is no good: it is never passed over for a cookie. Those of the store.
    pub async fn resolve(app: &AppState, request: &Incoming) -> Result<Self, ApiError> {
        let mut caller = Self::anonymous(request);
        caller.accept_outpost(app, request).await?;
        match request.headers.get(http::header::AUTHORIZATION) {
            Some(header) => caller.by_token(app, request, header.to_str().unwrap_or_default()).await?,
            None => caller.by_session(app, request).await?,
        }
        Ok(caller)
    }

    /// The browser session, if there is one.
    pub fn session(&self) -> Option<&Browser> {
        match &self.via {
            Via::Session(browser) => Some(browser),
            _ => None,
        }
    }

    async fn by_token(&mut self, app: &AppState, request: &Incoming, header: &str) -> Result<(), ApiError> {
        let refuse = |text: &str| ApiError::Unauthenticated(text.to_owned());
        let (scheme, key) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refuse("Unsupported authentication type"));
        }
        let found = token::authenticate(&app.site.db, key.trim(), &[Intent::Api], app.site.clock.now()).await;
        let Some((token, user)) = found.map_err(store)? else {
            self.tell_of_dead_key(app, request, key.trim()).await;
            return Err(refuse("Token invalid/expired"));
        };
        self.user = Some(user);
        self.via = Via::Token(Box::new(token));
        Ok(())
    }

    /// A key that was taken away and is still used may be in the wrong hands. The answer does not depend on this.
    async fn tell_of_dead_key(&self, app: &AppState, request: &Incoming, key: &str) {
        let snapshot = app.site.snapshot();
        let origin = self.origin(request, &snapshot);
        let mut unit = Unit::new(&app.site, Actor { origin, request_id: request.id.clone(), ..Actor::system() });
        let done = match token::revoked::tell_use(&mut unit, key).await {
            Ok(true) => unit.commit().await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::warn!(?error, "the use of a token that was taken away was not noted");
        }
    }

    async fn by_session(&mut self, app: &AppState, request: &Incoming) -> Result<(), ApiError> {
        let Some(key) = session::key(app, request) else { return Ok(()) };
        let found = sessions::load(&app.site.db, &key, app.site.clock.now()).await.map_err(store)?;
        // Unknown or ended: an anonymous visitor, no error.
        let Some((row, user)) = found else { return Ok(()) };
        if let Some(user) = &user
            && bindings::enforce(app, self, request, &row, user).await?
        {
            return Ok(());
        }
        self.touch(app, request, &row).await;
        let assumed = row.data.get(session::ASSUMED_USER).and_then(Value::as_i64).filter(|_| user.is_some());
        self.user = user;
        let epoch = row.data.get(session::ASSUMED_EPOCH).and_then(Value::as_i64);
        // A lockdown ends what others do in the account's name, too.
        if let Some(id) = assumed
            && let Some(assumed) = accounts::find(&app.site.db, id).await.map_err(store)?
            && Some(assumed.security_epoch) == epoch
        {
            self.original = self.user.replace(assumed);
        }
        self.via = Via::Session(Box::new(Browser { key, row }));
        Ok(())
    }

    /// Notes the use of a session. Losing such a note harms nobody, so nothing waits for the disk or fails by it.
    async fn touch(&self, app: &AppState, request: &Incoming, row: &SessionRow) {
        let mut tx = app.site.db.tx();
        tx.set_durability(Durability::Relaxed);
        tx.last_write_follows();
        let (ip, agent, now) = (self.client_ip.to_string(), request.user_agent(), app.site.clock.now());
        let done = match sessions::touch(&mut tx, row, &ip, agent, now).await {
            Ok(true) => tx.commit().await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::debug!(%error, "the use of a session was not noted");
        }
    }

    /// Headers of an outpost count only with the token of an outpost's account.
    async fn accept_outpost(&mut self, app: &AppState, request: &Incoming) -> Result<(), ApiError> {
        let Some(key) = request.header("x-authentik-outpost-token") else { return Ok(()) };
        let found = token::authenticate(&app.site.db, key, &[Intent::Api], app.site.clock.now()).await;
        let account = found.map_err(store)?.map(|(_, account)| account);
        let Some(account) = account.filter(|a| a.kind == accounts::INTERNAL_SERVICE_ACCOUNT) else {
            tracing::warn!("a request claims to come from an outpost without an outpost's token");
            return Ok(());
        };
        if let Some(address) = request.header("x-authentik-remote-ip").and_then(|a| a.trim().parse().ok()) {
            self.client_ip = address;
        }
        self.outpost = Some(account);
        Ok(())
    }

    /// The request as flows and policies see it.
    pub fn info(&self, request: &Incoming, snapshot: &Snapshot) -> RequestInfo {
        let (brand, _) = brand_for_host(snapshot, &request.host);
        let mut info = request.info(self.client_ip, brand);
        info.outpost = self.outpost.as_ref().map(Account::event_user);
        if self.outpost.is_some() {
            info.certificates.extend(client_certificate::of_outpost(&request.headers));
        }
        info.user = self.user.as_ref().map(|user| user.id);
        info.impersonator = self.original.as_ref().map(Account::event_user);
        info
    }

    /// Who acts, for the audit trail: the real user, who may do it in another's name.
    pub fn origin(&self, request: &Incoming, snapshot: &Snapshot) -> Origin {
        let (id, brand) = brand_for_host(snapshot, &request.host);
        let info = self.info(request, snapshot);
        let mut origin = info.origin(self.original.as_ref().or(self.user.as_ref()), brand.event_brand(id));
        if let (Some(_), Some(assumed), Some(user)) = (&self.original, &self.user, origin.user.as_object_mut()) {
            user.insert("on_behalf_of".to_owned(), assumed.event_user());
        }
        origin
    }
}

/// The session of the cookie alone, for callers whose rights come from a token.
pub(crate) async fn by_cookie(app: &AppState, request: &Incoming) -> Result<Option<(String, SessionRow)>, ApiError> {
    let Some(key) = session::key(app, request) else { return Ok(None) };
    let found = sessions::load(&app.site.db, &key, app.site.clock.now()).await.map_err(store)?;
    Ok(found.map(|(row, _)| (key, row)))
}
