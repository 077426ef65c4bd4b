//! Minting of every kind beside a lockdown, as fast as it goes. Whatever comes before it is ended by it, whatever comes
//! after it is refused.

use super::Place;
use crate::account_lockdown::{Done, Switches, carry_out};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::json;
use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use weir_events::Origin;
use weir_flow::{Plan, PlanContext, sources::resume};
use weir_identity::{Account, Intent, NewFlowToken, NewToken, artefacts, session, token};
use weir_resource::{Actor, Unit};
use weir_testkit::map;

/// At the same time of each kind, and how often each.
const WORKERS: usize = 8;
const ROUNDS: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

struct Race<'p> {
    place: &'p Place,
    /// Ann as every worker knows her: before the lockdown.
    before: Account,
    minted: AtomicUsize,
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

    async fn work(&self, kind: Kind, number: usize) {
        for round in 0..ROUNDS {
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
            Kind::OwnToken | Kind::AppPassword | Kind::Invitation => {
                let (model, body) = match kind {
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
                let sql = "SELECT key FROM identity_token WHERE id = $1";
                let row = unit.tx.read_one(sql, &[made.pk.into()]).await.unwrap();
                unit.commit().await.unwrap();
                Some(row.map(|row| row.text("key").unwrap()).unwrap_or_default())
            }
            Kind::ServerToken => {
                let mut unit = site.unit();
                match token::mint(&mut unit, NewToken::new(name, user, Intent::Api)).await {
                    Ok((_, key)) => unit.commit().await.ok().map(|()| key),
                    Err(_) => unit.rollback().await.map(|()| None).unwrap(),
                }
            }
            Kind::FlowToken => {
                let link = NewFlowToken {
                    identifier: name.to_owned(),
                    user_id: user,
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
            // Links may be made for accounts that are locked; those of before are gone.
            if kind["kind"] != "flow_token" {
                assert_eq!(kind["remaining"], 0, "{kind}");
            }
        }
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
                Kind::FlowToken | Kind::Waiting | Kind::Invitation => false,
            };
            if opens {
                alive.push((kind, key));
            }
        }
        alive
    }
}

async fn race(kinds: &[Kind], switches: Switches) {
    let place = Place::new(json!({})).await;
    let before = place.site.account(place.ann).await;
    let race = Race { place: &place, before, minted: AtomicUsize::new(0), keys: Mutex::default() };
    let total = kinds.len() * WORKERS * ROUNDS;
    let workers = kinds.iter().flat_map(|kind| (0..WORKERS).map(|number| race.work(*kind, number)));
    let (_, ()) = tokio::join!(join_all(workers), race.lock_down(switches, total / 4));
    let minted = race.minted.load(Ordering::SeqCst);
    assert!(minted >= total / 4 && minted < total, "the lockdown was in the middle: {minted} of {total}");
    let alive = race.survivors().await;
    assert!(alive.is_empty(), "{} survive, e.g. {:?}", alive.len(), alive.first());
    let left = artefacts::count(&*place.site.db, place.ann).await.unwrap();
    let left: Vec<_> = left.iter().filter(|(kind, count)| **count > 0 && **kind != "flow_token").collect();
    assert!(left.is_empty(), "{left:?}");
    // A link that was made before is gone; one that was made after is of the new epoch.
    let sql = "SELECT COUNT(*) AS old FROM identity_token WHERE \"user\" = $1 AND security_epoch <> 1";
    let old = place.site.db.read_one(sql, &[place.ann.into()]).await.unwrap().unwrap();
    assert_eq!(old.int("old").unwrap(), 0);
}

#[tokio::test]
async fn of_thousands_minted_beside_a_lockdown_none_survives() {
    let all = [
        Kind::Session,
        Kind::SignIn,
        Kind::OwnToken,
        Kind::AppPassword,
        Kind::ServerToken,
        Kind::FlowToken,
        Kind::Waiting,
        Kind::Invitation,
    ];
    race(&all, Switches::ALL).await;
}

/// The account stays active, so that the epoch alone stands between.
#[tokio::test]
async fn nor_when_the_account_is_not_deactivated() {
    let by_people = [Kind::Session, Kind::OwnToken, Kind::AppPassword, Kind::Waiting, Kind::Invitation];
    race(&by_people, Switches { deactivate_user: false, ..Switches::ALL }).await;
}
