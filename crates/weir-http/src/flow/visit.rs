//! A browser's dealings with flows during one HTTP request: its session, its user, the cookies it gets back.

use crate::{AppState, Caller, Incoming, Via, caller, csrf, session};
use std::{sync::Arc, time::Duration};
use tokio::sync::MutexGuard;
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_flow::{
    App, Flow, Plan,
    executor::{Done, Executor, Input, Reply, RunError, SessionChange},
};
use weir_identity::{Account, SessionRow, session as sessions};
use weir_policy::RequestInfo;
use weir_resource::store;

/// How often a request that lost against another of its session tries again: after the first time it waits for its turn
/// on this node, so what is left are races against other nodes and against requests that only just came.
const TRIES: usize = 20;
/// The wait before trying again grows by this.
const PAUSE: Duration = Duration::from_millis(2);

/// One browser in one request.
pub struct Visit<'a> {
    state: &'a AppState,
    engine: &'a App,
    request: &'a Incoming,
    info: RequestInfo,
    /// The user in whose name the request acts.
    pub user: Option<Account>,
    session: Option<(String, SessionRow)>,
    cookies: Vec<String>,
    /// The session row was written since it was read; the next step has to read it again.
    stale: bool,
    /// Messages of policies that ran.
    pub notices: Vec<String>,
}

impl<'a> Visit<'a> {
    /// Finds the browser's session. A bearer token gives the user; the plan still lives in the cookie's session.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn new(
        state: &'a AppState,
        engine: &'a App,
        request: &'a Incoming,
        caller: &Caller,
    ) -> Result<Self, ApiError> {
        let session = match &caller.via {
            Via::Session(browser) => Some((browser.key.clone(), browser.row.clone())),
            Via::Anonymous => None,
            Via::Token(_) => caller::by_cookie(state, request).await?,
        };
        let snapshot = state.site.snapshot();
        let info = caller.info(request, &snapshot);
        let user = caller.user.clone();
        Ok(Self { state, engine, request, info, user, session, cookies: Vec::new(), stale: false, notices: Vec::new() })
    }

    /// The request as the engine sees it.
    pub fn info(&self) -> &RequestInfo {
        &self.info
    }

    /// Makes the request look like one of the executor: pages are walked by the same input as the API.
    pub fn as_executor(&mut self, slug: &str, query: &str) {
        self.info.path = format!("/api/v3/flows/executor/{slug}/");
        self.info.query = vec![("query".to_owned(), query.to_owned())];
    }

    /// The session as it was last read.
    pub fn session(&self) -> Option<&SessionRow> {
        self.session.as_ref().map(|(_, row)| row)
    }

    /// Begins a session for a browser that has none yet.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn begin(&mut self) -> Result<(), ApiError> {
        if self.session.is_some() {
            return Ok(());
        }
        let (random, now) = (&*self.state.site.random, self.state.site.clock.now());
        let key = sessions::new_key(random);
        let new = sessions::NewSession {
            key: &key,
            data: weir_core::Map::new(),
            flow: None,
            expires: now + self.engine.anonymous_session_life,
            ip: &self.info.client_ip,
            user_agent: &self.info.user_agent,
        };
        let mut tx = self.state.site.db.tx();
        tx.set_durability(weir_store::Durability::Relaxed);
        tx.last_write_follows();
        let row = sessions::create(&mut tx, random, now, new).await.map_err(store)?;
        tx.commit().await.map_err(store)?;
        self.cookies.push(session::cookie(self.state, &key, None, None, self.request.is_secure)?);
        self.session = Some((key, row));
        Ok(())
    }

    /// The key of the session as it stands now.
    pub fn key(&self) -> Option<&str> {
        self.session.as_ref().map(|(key, _)| key.as_str())
    }

    /// The cookies so far, for the answer.
    pub fn take_cookies(&mut self) -> Vec<String> {
        std::mem::take(&mut self.cookies)
    }

    /// The cookies to send.
    pub fn into_cookies(self) -> Vec<String> {
        self.cookies
    }

    /// The cookie for scripts that want to change something in the name of this session.
    pub fn send_csrf(&mut self) {
        if let Some((key, _)) = &self.session {
            self.cookies.retain(|c| !c.starts_with(csrf::COOKIE));
            self.cookies.push(csrf::cookie(self.state, key, self.request.is_secure));
        }
    }

    /// Runs one step of a flow.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn run(&mut self, flow: &(Uuid, Arc<Flow>), query: &str, input: Input) -> Result<Reply, ApiError> {
        let mut input = input;
        let is_look = matches!(input, Input::Look);
        self.refresh().await?;
        let mut turn = None;
        for tried in 1..=TRIES {
            let executor = self.executor(flow.clone());
            match executor.run(query, input).await {
                Ok(done) => return self.take(done).await,
                Err(RunError::Api(error)) => return Err(error),
                Err(RunError::Conflict) => {
                    // The other request's answer counted. Look at where that led; this one's answer is spent.
                    self.wait_for_turn(&mut turn, tried).await;
                    if !self.reload().await? {
                        return Ok(Reply::ToSelf);
                    }
                    input = if is_look { Input::Look } else { Input::View };
                }
            }
        }
        Err(ApiError::Unavailable(1, anyhow::anyhow!("too many requests of one session at once")))
    }

    /// Stores a finished plan in the browser's session.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn adopt(&mut self, flow: &(Uuid, Arc<Flow>), plan: &Plan, query: Option<&str>) -> Result<(), ApiError> {
        self.refresh().await?;
        let mut turn = None;
        for tried in 1..=TRIES {
            match self.executor(flow.clone()).adopt(plan.clone(), query.map(str::to_owned)).await {
                Ok(done) => return self.take(done).await.map(|_| ()),
                Err(RunError::Api(error)) => return Err(error),
                Err(RunError::Conflict) => {
                    self.wait_for_turn(&mut turn, tried).await;
                    self.reload().await?;
                }
            }
        }
        Err(ApiError::Unavailable(1, anyhow::anyhow!("too many requests of one session at once")))
    }

    /// Puts values into the context of the running plan; false when it no longer waits at this binding.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn inform(&mut self, flow: &(Uuid, Arc<Flow>), binding: Uuid, values: &Map) -> Result<bool, ApiError> {
        self.refresh().await?;
        let mut turn = None;
        for tried in 1..=TRIES {
            match self.executor(flow.clone()).inform(binding, values).await {
                Ok(Some(done)) => return self.take(done).await.map(|_| true),
                Ok(None) => return Ok(false),
                Err(RunError::Api(error)) => return Err(error),
                Err(RunError::Conflict) => {
                    self.wait_for_turn(&mut turn, tried).await;
                    self.reload().await?;
                }
            }
        }
        Err(ApiError::Unavailable(1, anyhow::anyhow!("too many requests of one session at once")))
    }

    /// Drops the plan of the browser's session.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn cancel(&mut self) -> Result<(), ApiError> {
        let Some((_, row)) = &self.session else { return Ok(()) };
        let state = weir_flow::FlowState::read(row.flow.as_deref());
        let flow = state.plan.and_then(|plan| {
            let snapshot = self.state.site.snapshot();
            Some((plan.flow, snapshot.get::<Flow>(plan.flow)?))
        });
        let Some(flow) = flow else { return Ok(()) };
        match self.executor(flow).cancel().await {
            Ok(done) => self.take(done).await.map(|_| ()),
            Err(RunError::Api(error)) => Err(error),
            // Whoever was faster decides what the session's plan is.
            Err(RunError::Conflict) => Ok(()),
        }
    }

    async fn wait_for_turn(&self, turn: &mut Option<MutexGuard<'a, ()>>, tried: usize) {
        if turn.is_none()
            && let Some((_, row)) = &self.session
        {
            *turn = self.state.turns.take(&row.digest).await;
        }
        tokio::time::sleep(PAUSE.saturating_mul(u32::try_from(tried).unwrap_or(u32::MAX))).await;
    }

    fn executor<'e>(&'e self, flow: (Uuid, Arc<Flow>)) -> Executor<'e> {
        let row = self.session.as_ref().map(|(_, row)| row.clone());
        Executor::new(self.engine, &self.info, self.user.clone(), row, flow)
    }

    /// Reads the session anew; false when it is gone.
    async fn reload(&mut self) -> Result<bool, ApiError> {
        let Some((key, _)) = self.session.take() else { return Ok(false) };
        let now = self.state.site.clock.now();
        let found = sessions::load(&self.state.site.db, &key, now).await.map_err(store)?;
        self.session = found.map(|(row, _)| (key, row));
        Ok(self.session.is_some())
    }

    /// Takes over what a step changed.
    async fn take(&mut self, done: Done) -> Result<Reply, ApiError> {
        let secure = self.request.is_secure;
        for cookie in done.cookies {
            let attributes = session::same_site(secure);
            let (name, value, age) = (cookie.name, cookie.value, cookie.max_age_secs);
            self.cookies.push(format!("{name}={value}; Path=/; HttpOnly; Max-Age={age}{attributes}"));
        }
        self.notices.extend(done.notices);
        if let SessionChange::New { key, user, expires } = done.session {
            let now = self.state.site.clock.now();
            let age = expires.map(|end| (end - now).num_seconds().max(1));
            let user = user.map(|u| *u);
            // An older cookie of this answer is superseded; two of one name would be a matter of luck.
            self.cookies.retain(|c| !c.starts_with(session::COOKIE) && !c.starts_with(csrf::COOKIE));
            self.cookies.push(session::cookie(self.state, &key, user.as_ref(), age, secure)?);
            self.cookies.push(csrf::cookie(self.state, &key, secure));
            let found = sessions::load(&self.state.site.db, &key, now).await.map_err(store)?;
            self.session = found.map(|(row, _)| (key, row));
            self.user = match (user, &self.session) {
                (Some(user), _) => Some(user),
                // Signed out.
                (None, Some((_, row))) if row.user_id.is_none() && self.request.header("authorization").is_none() => {
                    None
                }
                _ => self.user.take(),
            };
        } else {
            self.stale = true;
        }
        Ok(done.reply)
    }

    /// The next step of the same request must see what this one stored.
    async fn refresh(&mut self) -> Result<(), ApiError> {
        if std::mem::take(&mut self.stale)
            && let Some((key, old)) = self.session.take()
        {
            let now = self.state.site.clock.now();
            let found = sessions::load_digest(&self.state.site.db, &old.digest, now).await.map_err(store)?;
            self.session = found.map(|(row, _)| (key, row));
        }
        Ok(())
    }
}
