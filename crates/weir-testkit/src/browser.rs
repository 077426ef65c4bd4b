//! A browser that drives the executor directly, as the HTTP layer would.

use crate::{TestSite, map};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_flow::{
    Flow, FlowState, Plan,
    executor::{Done, Executor, Input, Reply, RunError, SessionChange},
};
use weir_identity::{
    Account,
    session::{self, SessionRow},
};
use weir_policy::RequestInfo;
use weir_resource::Presenting;

/// One browser. A clone is a second tab: it has the same cookies now, and its own afterwards.
#[derive(Clone)]
pub struct Browser<'s> {
    site: &'s TestSite,
    /// Key of the session, as the cookie carries it.
    pub key: Option<String>,
    /// The cookie outlives the browser until then.
    pub keeps_until: Option<chrono::DateTime<chrono::Utc>>,
    /// Other cookies.
    pub cookies: Vec<(String, String)>,
    /// Acts as this user, as with a bearer token.
    pub bearer: Option<i64>,
    /// What the requests look like; each gets its own id and method.
    pub request: RequestInfo,
    /// Messages of policies so far.
    pub notices: Vec<String>,
}

impl<'s> Browser<'s> {
    pub(crate) fn new(site: &'s TestSite) -> Self {
        Self {
            site,
            key: None,
            keeps_until: None,
            cookies: Vec::new(),
            bearer: None,
            request: site.request(),
            notices: Vec::new(),
        }
    }

    /// Looks at a flow with this query of its page; follows to the next challenge.
    ///
    /// # Panics
    /// When there is none.
    pub async fn get(&mut self, flow: &str, query: &str) -> Value {
        self.walk(flow, query, Input::View).await
    }

    /// Answers the current stage; follows to the next challenge.
    ///
    /// # Panics
    /// When there is none.
    pub async fn post(&mut self, flow: &str, query: &str, answer: Value) -> Value {
        self.walk(flow, query, Input::Answer(map(answer))).await
    }

    async fn walk(&mut self, flow: &str, query: &str, input: Input) -> Value {
        let mut input = input;
        for _ in 0..20 {
            match self.step(flow, query, input).await {
                Ok(Reply::Challenge(challenge)) => return challenge,
                Ok(Reply::ToSelf) => input = Input::View,
                Err(error) => panic!("{flow}: {error:?}"),
            }
        }
        panic!("{flow}: redirects without end")
    }

    /// One request, not followed. A conflict with another request of the session is looked at again, as over HTTP.
    ///
    /// # Errors
    /// Those of the executor.
    ///
    /// # Panics
    /// When there is no such flow.
    pub async fn step(&mut self, slug: &str, query: &str, input: Input) -> Result<Reply, ApiError> {
        let mut input = input;
        for _ in 0..60 {
            match self.try_step(slug, query, input).await {
                Ok(reply) => return Ok(reply),
                Err(RunError::Api(error)) => return Err(error),
                Err(RunError::Conflict) => input = Input::View,
            }
        }
        panic!("{slug}: conflicts without end")
    }

    /// One request, conflicts included.
    ///
    /// # Errors
    /// Those of the executor.
    ///
    /// # Panics
    /// When there is no such flow.
    pub async fn try_step(&mut self, slug: &str, query: &str, input: Input) -> Result<Reply, RunError> {
        let request = self.next_request(slug, query, &input);
        let (user, row) = self.who().await;
        let executor = Executor::new(&self.site.app, &request, user, row, self.flow(slug));
        let done = executor.run(query, input).await?;
        Ok(self.take(done))
    }

    /// Has a finished plan put into this browser's session.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn adopt(&mut self, plan: Plan, query: Option<&str>) {
        let flow = self.site.app.site.snapshot().get::<Flow>(plan.flow).unwrap();
        let request = self.request.clone();
        let (user, row) = self.who().await;
        let executor = Executor::new(&self.site.app, &request, user, row, (plan.flow, flow));
        let done = executor.adopt(plan, query.map(str::to_owned)).await.unwrap();
        self.take(done);
    }

    fn flow(&self, slug: &str) -> (Uuid, Arc<Flow>) {
        let found = self.site.app.site.snapshot().get_by::<Flow>("slug", slug);
        found.unwrap_or_else(|| panic!("no flow {slug}"))
    }

    fn next_request(&self, slug: &str, query: &str, input: &Input) -> RequestInfo {
        let mut request = self.request.clone();
        request.method = if matches!(input, Input::Answer(_)) { "POST" } else { "GET" }.to_owned();
        request.path = format!("/api/v3/flows/executor/{slug}/");
        request.query.push(("query".to_owned(), query.to_owned()));
        request.request_id = self.site.app.site.random.uuid().simple().to_string();
        request.cookies.clone_from(&self.cookies);
        request
    }

    /// The session's user (or the bearer's) and the session.
    ///
    /// # Panics
    /// When the database is away.
    pub async fn who(&self) -> (Option<Account>, Option<SessionRow>) {
        let (mut user, mut row) = (None, None);
        if let Some(key) = &self.key {
            let found = session::load(&*self.site.db, key, self.site.now()).await.unwrap();
            (row, user) = found.map_or((None, None), |(row, user)| (Some(row), user));
        }
        if let Some(id) = self.bearer {
            user = Some(self.site.account(id).await);
        }
        (user, row)
    }

    /// Username of whom the session is signed in as.
    pub async fn username(&self) -> Option<String> {
        self.who().await.0.map(|user| user.username)
    }

    fn take(&mut self, done: Done) -> Reply {
        for cookie in done.cookies {
            self.cookies.retain(|(name, _)| *name != cookie.name);
            self.cookies.push((cookie.name, cookie.value));
        }
        self.notices.extend(done.notices);
        if let SessionChange::New { key, expires, .. } = done.session {
            self.key = Some(key);
            self.keeps_until = expires;
        }
        done.reply
    }

    /// What the session knows about flows.
    pub async fn state(&self) -> FlowState {
        let (_, row) = self.who().await;
        FlowState::read(row.and_then(|r| r.flow).as_deref())
    }

    /// The context of the plan in progress; empty without one.
    pub async fn context(&self) -> Map {
        self.state().await.plan.map(|p| p.context.0).unwrap_or_default()
    }

    /// Puts a value into the context of the plan in progress, as an expression would.
    ///
    /// # Panics
    /// When there is no plan.
    pub async fn set_context(&mut self, values: Value) {
        let mut state = self.state().await;
        let plan = state.plan.as_mut().unwrap_or_else(|| panic!("there is no plan"));
        plan.context.0.extend(map(values));
        self.write_state(&state.write()).await;
    }

    /// Replaces the stored state of flows.
    ///
    /// # Panics
    /// When there is no session.
    pub async fn write_state(&self, text: &str) {
        let (_, row) = self.who().await;
        let row = row.unwrap_or_else(|| panic!("there is no session"));
        let mut unit = self.site.unit();
        let saved = session::save_flow(&mut unit.tx, &row.digest, row.flow_version, Some(text), None).await;
        assert!(saved.unwrap(), "the session changed meanwhile");
        unit.commit().await.unwrap();
    }

    /// What the inspector shows of this session.
    ///
    /// # Panics
    /// When the database is away.
    pub async fn inspect(&self) -> Option<Value> {
        let (_, row) = self.who().await;
        let digest = row.map(|r| r.digest).unwrap_or_default();
        let snapshot = self.site.app.site.snapshot();
        let cx = Presenting {
            site: &self.site.app.site,
            snapshot: &snapshot,
            query: &[],
            user_id: None,
            session: None,
            base_url: "https://id.example.org",
            operation: "",
        };
        weir_flow::inspector::inspect(&cx, &self.state().await, &digest).await.unwrap()
    }
}
