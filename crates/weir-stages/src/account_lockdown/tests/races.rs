//! Minting of every kind beside a lockdown, as fast as it goes. Whatever comes before it is ended by it, whatever comes
//! after it is refused.

use super::Place;
use crate::{
    account_lockdown::{Done, Switches, carry_out},
    tests::component,
};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;
use weir_core::Resource as _;
use weir_events::Origin;
use weir_flow::{
    Flow, Input, Plan, PlanContext,
    executor::{Executor, Reply, SessionChange},
    sources::resume,
};
use weir_identity::{Account, Intent, NewFlowToken, NewToken, artefacts, session, token};
use weir_resource::{Actor, HookSet, Unit};
use weir_sources::{
    connections::{UserConnection, UserConnectionHooks},
    oauth::OAuthSource,
};
use weir_testkit::{Browser, TestSite, Wiring, map};

/// At the same time of each kind, and how often each.
const WORKERS: usize = 8;
const ROUNDS: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A session, by whoever proved who they are before.
    Session,
    /// A whole sign-in through the executor.
    SignIn,
    /// A token that the user makes for themselves.
    OwnToken,
    /// An app password, likewise.
    AppPassword,
    /// A token that the server makes.
    ServerToken,
    /// A link into a flow.
    FlowToken,
    /// A plan put aside.
    Waiting,
    /// An invitation.
    Invitation,
    /// A consent, given on a page by somebody who was let in before.
    Consent,
    /// A connection with a source, with its keys.
    Connection,
    /// A second factor, set up on a page by somebody who was let in before. It stays, so only later ones must not come.
    Device,
}

/// What of the list of artefacts each kind mints.
const RACED: &[(Kind, &[&str])] = &[
    (Kind::Session, &["session"]),
    (Kind::SignIn, &["session"]),
    (Kind::OwnToken, &["api_token"]),
    (Kind::AppPassword, &["app_password"]),
    (Kind::ServerToken, &["api_token", "app_password", "recovery_token", "verification_token"]),
    (Kind::FlowToken, &["flow_token"]),
    (Kind::Waiting, &["waiting_flow"]),
    (Kind::Invitation, &["invitation"]),
    (Kind::Consent, &["consent"]),
    (Kind::Connection, &["source_token"]),
    (Kind::Device, &[]),
];

/// What is not raced here, and why that is enough.
const NOT_RACED: &[(&str, &str)] = &[
    ("source_sign_in", "worth nothing without its session, which is raced"),
    ("email_code", "few can be sent to one address; its owner is held while it is kept, as with sms_code"),
    ("sms_code", "the component tests lock an account while one is sent"),
];

struct Race<'p> {
    place: &'p Place,
    /// Ann as every worker knows her: before the lockdown.
    before: Account,
    source: Uuid,
    minted: AtomicUsize,
    /// Second factors that were there when the lockdown was done.
    devices_then: AtomicI64,
    /// Keys of sessions and tokens that were given out.
    keys: Mutex<Vec<(Kind, String)>>,
}

impl Race<'_> {
    fn unit(&self) -> Unit<'_> {
        let actor = Actor {
            origin: Origin::system(),
            user_id: Some(self.before.id),
            epoch: Some(self.before.security_epoch),
            request_id: String::new(),
        };
        Unit::new(&self.place.site.app.site, actor)
    }

    /// Several pages each.
    fn rounds(kind: Kind) -> usize {
        if matches!(kind, Kind::Consent | Kind::Device) { ROUNDS / 4 } else { ROUNDS }
    }

    /// A request to the executor that was let in before the lockdown; its answer.
    async fn as_before(&self, browser: &mut Browser<'_>, slug: &str, input: Input) -> Option<Value> {
        let site = &self.place.site;
        let flow = site.app.site.snapshot().get_by::<Flow>("slug", slug).unwrap();
        let (_, row) = browser.who().await;
        let request = site.request();
        let executor = Executor::new(&site.app, &request, Some(self.before.clone()), row, flow);
        let done = executor.run("", input).await.ok()?;
        if let SessionChange::New { key, .. } = done.session {
            browser.key = Some(key);
        }
        match done.reply {
            Reply::Challenge(challenge) => Some(challenge),
            Reply::ToSelf => Some(Value::Null),
        }
    }

    /// Walks a page as one who was let in before; none when that is refused.
    async fn page(&self, kind: Kind) -> Option<String> {
        let (slug, mut browser) = (if kind == Kind::Consent { "agree" } else { "codes" }, self.place.site.browser());
        let mut shown = self.as_before(&mut browser, slug, Input::View).await?;
        if kind == Kind::Consent {
            let application = self.place.site.app.site.random.uuid();
            browser.set_context(json!({"application": {"pk": application, "name": "Wiki"}})).await;
            self.as_before(&mut browser, slug, Input::Answer(map(json!({})))).await?;
            shown = self.as_before(&mut browser, slug, Input::View).await?;
        }
        let answer = map(json!({"token": shown["token"]}));
        let last = self.as_before(&mut browser, slug, Input::Answer(answer)).await?;
        (component(&last) != "ak-stage-access-denied").then(String::new)
    }

    async fn work(&self, kind: Kind, number: usize) {
        for round in 0..Self::rounds(kind) {
            if let Some(key) = self.mint(kind, &format!("{kind:?}-{number}-{round}").to_lowercase()).await {
                self.minted.fetch_add(1, Ordering::SeqCst);
                self.keys.lock().unwrap().push((kind, key));
            }
        }
    }

    /// The key of what was made; none when it was refused.
    async fn mint(&self, kind: Kind, name: &str) -> Option<String> {
        let site = &self.place.site;
        let (random, now, user) = (&*site.app.site.random, site.now(), self.before.id);
        match kind {
            Kind::Session => {
                let key = session::new_key(random);
                let wish = session::LogIn {
                    old: None,
                    key: &key,
                    user_id: user,
                    epoch: Some(self.before.security_epoch),
                    expires: now + TimeDelta::days(1),
                    ip: "192.0.2.1",
                    user_agent: "race",
                };
                let mut tx = site.db.tx();
                let begun = session::log_in(&mut tx, random, now, wish).await.unwrap();
                tx.commit().await.unwrap();
                begun.map(|_| key)
            }
            Kind::SignIn => {
                let browser = self.place.signed_in("in").await;
                let key = browser.key.clone()?;
                let found = session::load(&*site.db, &key, now).await.unwrap();
                found.is_some_and(|(row, _)| row.user_id.is_some()).then_some(key)
            }
            Kind::Consent | Kind::Device => self.page(kind).await,
            Kind::OwnToken | Kind::AppPassword | Kind::Invitation | Kind::Connection => {
                let (model, body) = match kind {
                    Kind::Connection => (
                        UserConnection::<OAuthSource>::MODEL,
                        json!({"source": self.source, "identifier": name, "access_token": "opens"}),
                    ),
                    Kind::Invitation => ("authentik_stages_invitation.invitation", json!({"name": name})),
                    Kind::AppPassword => {
                        ("authentik_core.token", json!({"identifier": name, "intent": "app_password"}))
                    }
                    _ => ("authentik_core.token", json!({"identifier": name, "intent": "api"})),
                };
                let mut unit = self.unit();
                let made = unit.create(site.app.site.registry.find(model).unwrap(), &map(body), None).await;
                let Ok(made) = made else {
                    unit.rollback().await.unwrap();
                    return None;
                };
                let mut key = String::new();
                if kind != Kind::Connection {
                    let sql = "SELECT key FROM identity_token WHERE id = $1";
                    let row = unit.tx.read_one(sql, &[made.pk.into()]).await.unwrap();
                    key = row.map(|row| row.text("key").unwrap()).unwrap_or_default();
                }
                unit.commit().await.unwrap();
                Some(key)
            }
            Kind::ServerToken => {
                let mut unit = site.unit();
                let intents = [Intent::Api, Intent::AppPassword, Intent::Recovery, Intent::Verification];
                let intent = intents[name.bytes().map(usize::from).sum::<usize>() % intents.len()];
                match token::mint(&mut unit, NewToken::new(name, user, intent)).await {
                    Ok((_, key)) => unit.commit().await.ok().map(|()| key),
                    Err(_) => unit.rollback().await.map(|()| None).unwrap(),
                }
            }
            Kind::FlowToken => {
                let link = NewFlowToken {
                    identifier: name.to_owned(),
                    user_id: user,
                    epoch: Some(self.before.security_epoch),
                    flow_id: self.place.stage,
                    plan: "{}".to_owned(),
                    expires: now + TimeDelta::days(1),
                    revoke_on_execution: true,
                };
                let mut tx = site.db.tx();
                let key = token::mint_flow_token(&mut tx, random, now, &link).await.unwrap();
                tx.commit().await.unwrap();
                key
            }
            Kind::Waiting => {
                let plan = Plan::new(self.place.stage, PlanContext::default());
                let mut tx = site.db.tx();
                let end = now + TimeDelta::days(1);
                resume::put_aside(&mut tx, random.uuid(), &plan, Some(&self.before), end).await.unwrap();
                tx.commit().await.unwrap();
                Some(String::new())
            }
        }
    }

    /// In the middle of it.
    async fn lock_down(&self, switches: Switches, after: usize) {
        while self.minted.load(Ordering::SeqCst) < after {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let site = &self.place.site;
        let done = carry_out(&site.app, site.unit(), &self.place.order(switches)).await.unwrap();
        let Done::Locked(lockdown) = done else { panic!("{done:?}") };
        for kind in lockdown.document["artefacts"].as_array().unwrap() {
            assert_eq!(kind["remaining"], 0, "{kind}");
        }
        let devices = self.devices().await;
        self.devices_then.store(devices, Ordering::SeqCst);
    }

    async fn devices(&self) -> i64 {
        artefacts::staying(&*self.place.site.db, self.before.id).await.unwrap()["authenticator_static"]
    }

    /// What any of the keys still opens.
    async fn survivors(&self) -> Vec<(Kind, String)> {
        let site = &self.place.site;
        let keys = std::mem::take(&mut *self.keys.lock().unwrap());
        let mut alive = Vec::new();
        for (kind, key) in keys {
            let opens = match kind {
                Kind::Session | Kind::SignIn => session::load(&*site.db, &key, site.now())
                    .await
                    .unwrap()
                    .is_some_and(|(row, _)| row.user_id.is_some()),
                Kind::OwnToken | Kind::AppPassword | Kind::ServerToken => {
                    let intents = [Intent::Api, Intent::AppPassword];
                    token::authenticate(&*site.db, &key, &intents, site.now()).await.unwrap().is_some()
                }
                // The count of what is left tells.
                Kind::FlowToken
                | Kind::Waiting
                | Kind::Invitation
                | Kind::Consent
                | Kind::Connection
                | Kind::Device => false,
            };
            if opens {
                alive.push((kind, key));
            }
        }
        alive
    }
}

/// A place with a source and the pages that are walked.
async fn place() -> (Place, Uuid) {
    let mut resources = crate::resources();
    resources.extend(weir_sources::resources());
    let hooks = |set: &mut HookSet| {
        crate::hooks(set);
        set.add(UserConnection::<OAuthSource>::MODEL, Arc::new(UserConnectionHooks));
    };
    let site = TestSite::new(Wiring { resources, hooks, stages: crate::kinds(), ..Wiring::default() }).await;
    let body = json!({
        "name": "home", "slug": "home", "provider_type": "github", "consumer_key": "k", "consumer_secret": "s",
    });
    let source = site.make(OAuthSource::MODEL, body).await;
    let agree = site.flow("agree", "authorization", json!({})).await;
    site.step(agree, 0, "dummy", "first", json!({})).await;
    site.step(agree, 1, "consent", "agree", json!({"mode": "permanent"})).await;
    let codes = site.flow("codes", "stage_configuration", json!({})).await;
    let stage = site.stage("authentik_stages_authenticator_static.authenticatorstaticstage", "codes", json!({})).await;
    site.bind(codes, stage, 0, json!({})).await;
    (Place::on(site, json!({})).await, source)
}

async fn race(kinds: &[Kind], switches: Switches) {
    let (place, source) = place().await;
    let before = place.site.account(place.ann).await;
    let (minted, devices_then) = (AtomicUsize::new(0), AtomicI64::new(0));
    let race = Race { place: &place, source, before, minted, devices_then, keys: Mutex::default() };
    let total: usize = kinds.iter().map(|kind| WORKERS * Race::rounds(*kind)).sum();
    let workers = kinds.iter().flat_map(|kind| (0..WORKERS).map(|number| race.work(*kind, number)));
    let (_, ()) = tokio::join!(join_all(workers), race.lock_down(switches, total / 4));
    let minted = race.minted.load(Ordering::SeqCst);
    assert!(minted >= total / 4 && minted < total, "the lockdown was in the middle: {minted} of {total}");
    let made: BTreeSet<Kind> = race.keys.lock().unwrap().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(made.len(), kinds.len(), "of every kind some were made: {made:?}");
    let alive = race.survivors().await;
    assert!(alive.is_empty(), "{} survive, e.g. {:?}", alive.len(), alive.first());
    let left = artefacts::count(&*place.site.db, place.ann).await.unwrap();
    let left: Vec<_> = left.iter().filter(|(_, count)| **count > 0).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(race.devices().await, race.devices_then.load(Ordering::SeqCst), "no second factor came afterwards");
}

#[tokio::test]
async fn of_thousands_minted_beside_a_lockdown_none_survives() {
    let all: Vec<Kind> = RACED.iter().map(|(kind, _)| *kind).collect();
    race(&all, Switches::ALL).await;
}

/// The account stays active, so that the epoch alone stands between.
#[tokio::test]
async fn nor_when_the_account_is_not_deactivated() {
    // Not what nobody acts for: whoever comes afterwards by a proof of their own is not meant.
    let spared = [Kind::SignIn, Kind::ServerToken];
    let by_people: Vec<Kind> = RACED.iter().map(|(kind, _)| *kind).filter(|kind| !spared.contains(kind)).collect();
    race(&by_people, Switches { deactivate_user: false, ..Switches::ALL }).await;
}

#[test]
fn every_kind_of_artefact_is_raced_or_known_to_need_none() {
    let raced: BTreeSet<&str> = RACED.iter().flat_map(|(_, kinds)| kinds.iter().copied()).collect();
    let others: BTreeSet<&str> = NOT_RACED.iter().map(|(kind, _)| *kind).collect();
    let all: BTreeSet<&str> = artefacts::ARTEFACTS.iter().map(|a| a.kind).collect();
    assert!(raced.is_disjoint(&others));
    assert_eq!(raced.union(&others).copied().collect::<BTreeSet<_>>(), all);
}
