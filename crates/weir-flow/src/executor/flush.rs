//! The end of a request: effects, events, session and receipt in one transaction.

use super::{Done, Executor, Reply, RunError, SessionChange};
use crate::{
    keys,
    keys::PendingUser,
    stage::{Cookie, Effect, LogIn, Person},
    switch,
};
use chrono::TimeDelta;
use serde_json::{Value, json};
use weir_core::{ApiError, Map, Resource as _};
use weir_identity::{User, accounts, reputation, session};
use weir_policy::carry_out;
use weir_resource::store;
use weir_store::Durability;

impl Executor<'_> {
    pub(super) async fn flush(mut self, reply: Reply) -> Result<Done, RunError> {
        let lasting = self.cx.unit.tx.is_writing()
            || !self.cx.events.is_empty()
            || !self.cx.effects.is_empty()
            || !self.wishes.is_empty();
        if !lasting {
            // Progress inside a flow may be lost with the power, and so may the record of a run that changed nothing.
            self.cx.unit.tx.set_durability(Durability::Relaxed);
        }
        self.note_person().await?;
        self.write_events().await?;
        let mut cookies = Vec::new();
        let mut log_in: Option<LogIn> = None;
        let mut log_out = false;
        let mut doomed = Vec::new();
        for effect in std::mem::take(&mut self.cx.effects) {
            match effect {
                Effect::SetCookie(cookie) => cookies.push(cookie),
                Effect::LogIn(wish) => (log_in, log_out) = (Some(wish), false),
                Effect::LogOut => (log_in, log_out) = (None, true),
                Effect::DeleteUser(user) => doomed.push(user),
                Effect::EndOtherSessions(user) => self.end_others(user).await?,
                Effect::Reputation { identifier, change } => self.rate(&identifier, change).await?,
                Effect::Policy(wish) => self.wishes.push(wish),
            }
        }
        let wishes = std::mem::take(&mut self.wishes);
        carry_out(&mut self.cx.unit, wishes).await?;
        self.write_receipt().await?;
        let session = match (log_in, log_out) {
            (Some(wish), _) => self.log_in(wish).await?,
            (None, true) => self.log_out().await?,
            (None, false) => {
                if doomed.is_empty() {
                    self.cx.unit.tx.last_write_follows();
                }
                self.save().await?
            }
        };
        for user in doomed {
            self.delete(user).await?;
        }
        let notices = std::mem::take(&mut self.cx.notices);
        self.cx.unit.commit().await?;
        Ok(Done { reply, session, cookies: cookies as Vec<Cookie>, notices })
    }

    /// Keeps with the plan in which epoch it met its person. Who was found by a name has been read already, so that a
    /// known name costs no more than another.
    async fn note_person(&mut self) -> Result<(), ApiError> {
        let Some(plan) = &mut self.state.plan else { return Ok(()) };
        let Some(PendingUser::Known(id)) = plan.context.get(keys::PENDING_USER) else {
            plan.person = None;
            return Ok(());
        };
        let epoch = match self.cx.epochs.get(&id) {
            Some(epoch) => Some(*epoch),
            None => match plan.person.filter(|(user, _)| *user == id) {
                Some((_, epoch)) => Some(epoch),
                None => {
                    let found = accounts::find(&mut self.cx.unit.tx, id).await.map_err(store)?;
                    found.map(|account| account.security_epoch)
                }
            },
        };
        plan.person = epoch.map(|epoch| (id, epoch));
        Ok(())
    }

    /// Events name the person the flow is about, and the session's user beside it when they differ.
    async fn write_events(&mut self) -> Result<(), ApiError> {
        let events = std::mem::take(&mut self.cx.events);
        if events.is_empty() {
            return Ok(());
        }
        let pending = self.cx.context.get(keys::PENDING_USER);
        let subject = Person::find(&mut self.cx.unit.tx, pending).await.map_err(store)?;
        if let Some(subject) = subject.into_account() {
            let origin = &mut self.cx.unit.actor.origin;
            let mut user = subject.event_user();
            if let (Some(current), Some(map)) = (&self.cx.user, user.as_object_mut())
                && current.id != subject.id
            {
                map.insert("authenticated_as".to_owned(), current.event_user());
            }
            origin.user = user;
            origin.user_id = Some(subject.id);
            origin.username = subject.username;
            self.cx.request.unmask(origin);
        }
        let args: Map = self.cx.query.iter().map(|(n, v)| (n.clone(), Value::from(v.clone()))).collect();
        if let Some(request) = self.cx.unit.actor.origin.http_request.as_object_mut() {
            request.insert("args".to_owned(), Value::Object(args));
        }
        for event in events {
            self.cx.unit.event(event).await?;
        }
        Ok(())
    }

    async fn end_others(&mut self, user: i64) -> Result<(), ApiError> {
        let own = self.cx.session.as_ref().map(|s| s.digest.clone());
        session::delete_of_user(&mut self.cx.unit.tx, user, own.as_deref()).await.map_err(store)?;
        Ok(())
    }

    /// After the session: the user's sessions end with the user, and one that is gone cannot be logged out.
    async fn delete(&mut self, user: i64) -> Result<(), ApiError> {
        let kind = self.cx.app.site.registry.find(User::MODEL);
        let kind = kind.ok_or_else(|| anyhow::anyhow!("users are not served"))?;
        self.cx.unit.delete(kind, &user.to_string()).await
    }

    async fn rate(&mut self, identifier: &str, change: i64) -> Result<(), ApiError> {
        let app = self.cx.app;
        let settings = &self.cx.unit.snapshot.settings;
        let limits = reputation::Limits::of(settings);
        let (random, now) = (&*app.site.random, app.site.clock.now());
        let ip = self.cx.request.client_ip.as_str();
        let (geo, asn) = (app.site.geo.place_json(ip), app.site.geo.network_json(ip));
        let subject = reputation::Subject { identifier, ip, geo, asn };
        reputation::add(&mut self.cx.unit.tx, random, now, subject, change, limits).await.map_err(store)?;
        Ok(())
    }

    async fn save(&mut self) -> Result<SessionChange, RunError> {
        self.state.receipt = Some(self.receipt.clone()).filter(|_| self.state.plan.is_some());
        let flow = self.state.write();
        let tx = &mut self.cx.unit.tx;
        match &self.cx.session {
            Some(row) => {
                if row.flow.as_deref() == Some(flow.as_str()) {
                    return Ok(SessionChange::Keep);
                }
                let saved =
                    session::save_flow(tx, &row.digest, row.flow_version, Some(&flow), None).await.map_err(store)?;
                if saved { Ok(SessionChange::Keep) } else { Err(RunError::Conflict) }
            }
            None => {
                let random = &*self.cx.app.site.random;
                let key = session::new_key(random);
                let now = self.cx.app.site.clock.now();
                let new = session::NewSession {
                    key: &key,
                    data: Map::new(),
                    flow: Some(flow),
                    expires: now + self.cx.app.anonymous_session_life,
                    ip: &self.cx.request.client_ip,
                    user_agent: &self.cx.request.user_agent,
                };
                session::create(tx, random, now, new).await.map_err(store)?;
                Ok(SessionChange::New { key, user: None, expires: None })
            }
        }
    }

    /// A new key for the signed-in session; plan and history move along.
    async fn log_in(&mut self, wish: LogIn) -> Result<SessionChange, RunError> {
        self.state.receipt = Some(self.receipt.clone()).filter(|_| self.state.plan.is_some());
        let flow = self.state.write();
        let app = self.cx.app;
        let now = app.site.clock.now();
        let others = switch::beside(&mut self.cx, wish.user).await.map_err(store)?;
        let before = self.cx.session.clone();
        let goes_on = match &others {
            Some(_) => wish.resumes.as_deref(),
            None => before.as_ref().map(|old| old.digest.as_str()),
        };
        let key = session::new_key(&*app.site.random);
        let tx = &mut self.cx.unit.tx;
        // Locks the user's row before the session's, as everywhere: two orders would be a deadlock.
        let log_in = session::LogIn {
            old: goes_on,
            key: &key,
            user_id: wish.user,
            epoch: self.cx.epochs.get(&wish.user).copied(),
            // A session cookie ends with the browser; the row must end some day too.
            expires: wish.expires.unwrap_or(now + SESSION_COOKIE_LIFE),
            ip: &self.cx.request.client_ip,
            user_agent: &self.cx.request.user_agent,
        };
        let begun = session::log_in(tx, &*app.site.random, now, log_in).await.map_err(store)?;
        // Gone or locked while this request ran: look again, and refuse properly.
        let Some((row, account)) = begun else { return Err(RunError::Conflict) };
        let mut data = match (&others, &before) {
            (None, Some(old)) => old.data.clone(),
            _ => row.data.clone(),
        };
        // A second answer to the same plan finds that the version it read is no longer the last.
        let is_first = match (&others, &before) {
            // The session before goes on by itself under its own key.
            (Some(_), Some(old)) => {
                session::save_flow(tx, &old.digest, old.flow_version, None, None).await.map_err(store)?
            }
            (None, Some(old)) => row.flow_version == old.flow_version + 1,
            (_, None) => true,
        };
        if !is_first {
            return Err(RunError::Conflict);
        }
        if let Some(others) = others {
            data.insert(switch::OTHERS.to_owned(), json!(others));
        }
        // What the session before was bound to, and whom it impersonated, is nothing to the new one.
        data.retain(|key, _| !OF_ONE_LOG_IN.contains(&key.as_str()));
        data.extend(wish.data);
        session::save_flow(tx, &row.digest, row.flow_version, Some(&flow), Some(&data)).await.map_err(store)?;
        if wish.terminate_others {
            session::delete_of_user(tx, account.id, Some(&row.digest)).await.map_err(store)?;
        }
        Ok(SessionChange::New { key, user: Some(Box::new(account)), expires: wish.expires })
    }

    /// The old session is gone; the flow goes on in a new anonymous one.
    async fn log_out(&mut self) -> Result<SessionChange, RunError> {
        if let Some(old) = self.cx.session.take() {
            let tx = &mut self.cx.unit.tx;
            if !session::save_flow(tx, &old.digest, old.flow_version, None, None).await.map_err(store)? {
                return Err(RunError::Conflict);
            }
            session::log_out(tx, &old.digest).await.map_err(store)?;
        }
        self.save().await
    }

    /// Keeps the record of a run that ended.
    async fn write_receipt(&mut self) -> Result<(), ApiError> {
        let Some(outcome) = self.outcome else { return Ok(()) };
        let now = self.cx.app.site.clock.now();
        let user = match self.cx.context.get(keys::PENDING_USER) {
            Some(PendingUser::Known(id)) => Some(id),
            _ => self.cx.user.as_ref().map(|u| u.id),
        };
        let sql = "INSERT INTO flow_run (id, flow_id, flow_slug, user_id, outcome, record, started, ended, expires) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING";
        let vals = [
            self.receipt.id.into(),
            self.receipt.flow.into(),
            self.receipt.slug.clone().into(),
            user.into(),
            outcome.into(),
            json!(self.receipt).into(),
            self.receipt.started.into(),
            now.into(),
            (now + RECEIPT_LIFE).into(),
        ];
        self.cx.unit.tx.write(sql, &vals).await.map_err(store)?;
        Ok(())
    }
}

/// Session data that end with a log-in.
const OF_ONE_LOG_IN: [&str; 4] = ["bindings", "impersonate_user", "impersonate_original_user", "impersonate_epoch"];
/// How long the record of a run is kept.
const RECEIPT_LIFE: TimeDelta = TimeDelta::days(30);
/// Server-side end of sessions whose cookie ends with the browser.
const SESSION_COOKIE_LIFE: TimeDelta = TimeDelta::days(14);
