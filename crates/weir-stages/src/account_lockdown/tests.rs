mod edges;
mod races;

use super::{Order, Switches, carry_out, record, unlock};
use crate::tests::{assert_denied, assert_end, component, site};
use async_trait::async_trait;
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use uuid::Uuid;
use weir_events::Origin;
use weir_flow::{
    Input,
    sync::{Delivery, DeliveryState, SyncTargets},
};
use weir_identity::{Grants, Intent, NewFlowToken, NewToken, Role, artefacts, permission, role, session, token};
use weir_resource::{Actor, Unit};
use weir_testkit::{Browser, TestSite, Wiring, map};

/// A way in for ann and for the administrator, and the flow that locks.
struct Place {
    site: TestSite,
    ann: i64,
    admin: i64,
    stage: Uuid,
}

impl Place {
    async fn new(fields: Value) -> Self {
        Self::on(site().await, fields).await
    }

    async fn on(site: TestSite, fields: Value) -> Self {
        let (ann, admin) = (site.user("ann", "").await, site.admin("root", "").await);
        for (slug, user) in [("in", ann), ("in-root", admin)] {
            let enter = site.flow(slug, "authentication", json!({})).await;
            let (_, binding) = site.step(enter, 0, "user_login", slug, json!({})).await;
            site.guard(binding, slug, json!({"set": {"pending_user": {"pk": user}}}), json!({})).await;
        }
        let done = site.flow("done", "stage_configuration", json!({"authentication": "none"})).await;
        site.step(done, 0, "dummy", "locked", json!({})).await;
        let lock = site.flow("lock", "stage_configuration", json!({"authentication": "require_authenticated"})).await;
        site.step(lock, 0, "dummy", "sure?", json!({})).await;
        let mut all = map(json!({"self_service_completion_flow": done}));
        all.extend(map(fields));
        let (stage, _) = site.step(lock, 10, "account_lockdown", "lock", Value::Object(all)).await;
        site.step(lock, 20, "dummy", "bye", json!({})).await;
        Self { site, ann, admin, stage }
    }

    async fn signed_in(&self, slug: &str) -> Browser<'_> {
        let mut browser = self.site.browser();
        browser.get(slug, "").await;
        browser
    }

    /// One artefact of every kind for ann; gives the key of her API token.
    async fn everything(&self) -> String {
        let site = &self.site;
        self.signed_in("in").await;
        let source = site.stage("dummy", "not really a source", json!({})).await;
        let mut unit = site.unit();
        let mut key = String::new();
        for intent in [Intent::Api, Intent::AppPassword, Intent::Recovery, Intent::Verification] {
            let mut wish = NewToken::new(format!("ann-{}", intent.as_str()), self.ann, intent);
            wish.expires = Some(site.now() + TimeDelta::days(1));
            let (_, made) = token::mint(&mut unit, wish).await.unwrap();
            if intent == Intent::Api {
                key = made;
            }
        }
        let expired = NewToken { expires: Some(site.now()), ..NewToken::new("ann-old", self.ann, Intent::Api) };
        token::mint(&mut unit, expired).await.unwrap();
        let flow = site.app.site.snapshot().get_by::<weir_flow::Flow>("slug", "lock").unwrap().0;
        let link = NewFlowToken {
            identifier: "ann-link".to_owned(),
            user_id: self.ann,
            epoch: None,
            flow_id: flow,
            plan: "{}".to_owned(),
            expires: site.now() + TimeDelta::days(1),
            revoke_on_execution: true,
        };
        token::mint_flow_token(&mut unit.tx, &*site.app.site.random, site.now(), &link).await.unwrap();
        let now = site.now();
        let digest = "SELECT key_digest FROM identity_session WHERE \"user\" = $1";
        let digest = unit.tx.read_one(digest, &[self.ann.into()]).await.unwrap().unwrap().text("key_digest").unwrap();
        let rows: [(&str, Vec<weir_store::Val>); 6] = [
            (
                "INSERT INTO source_login (state_digest, session_digest, source, data, expires) VALUES ('s', $1, $2, '{}', $3)",
                vec![digest.into(), source.into(), now.into()],
            ),
            (
                "INSERT INTO flow_resume (id, flow_id, user_id, security_epoch, plan, expires) VALUES ('r', $1, $2, 0, '{}', $3)",
                vec![flow.into(), self.ann.into(), now.into()],
            ),
            (
                "INSERT INTO invitation (id, name, created_by, created) VALUES ('i', 'friend', $1, $2)",
                vec![self.ann.into(), now.into()],
            ),
            (
                "INSERT INTO identity_consent (user_id, application_id, expiring, security_epoch) VALUES ($1, 'a', FALSE, 0)",
                vec![self.ann.into()],
            ),
            (
                "INSERT INTO source_user_connection (kind, \"user\", source, identifier, access_token, created, last_updated) \
                 VALUES ('oauth', $1, $2, 'ann', 'opens', $3, $3)",
                vec![self.ann.into(), source.into(), now.into()],
            ),
            (
                "INSERT INTO identity_device_email (\"user\", name, confirmed, created, last_updated, email, code_digest, code_expires) \
                 VALUES ($1, 'mail', TRUE, $2, $2, 'ann@example.org', 'd', $2)",
                vec![self.ann.into(), now.into()],
            ),
        ];
        for (sql, vals) in rows {
            unit.tx.write(sql, &vals).await.unwrap();
        }
        let sql = "INSERT INTO identity_device_sms (\"user\", name, confirmed, created, last_updated, phone_number, code_digest, code_expires) \
                   VALUES ($1, 'sms', TRUE, $2, $2, '+1', 'd', $2)";
        unit.tx.write(sql, &[self.ann.into(), now.into()]).await.unwrap();
        unit.commit().await.unwrap();
        key
    }

    async fn records(&self) -> Vec<record::Record> {
        record::list(&*self.site.db, record::Wanted::default(), (1, 100)).await.unwrap().0
    }

    async fn key(&self) -> Value {
        let mut unit = self.site.unit();
        let seal = record::seal(&mut unit).await.unwrap();
        unit.commit().await.unwrap();
        seal.jwk().clone()
    }

    fn order(&self, switches: Switches) -> Order {
        Order { user: self.ann, reason: "stolen".to_owned(), switches, batch: None, claim: None }
    }
}

/// The numbers of one kind in a record.
fn numbers(document: &Value, kind: &str) -> (Value, Value, Value) {
    let all = document["artefacts"].as_array().unwrap();
    let one = all.iter().find(|a| a["kind"] == kind).unwrap_or_else(|| panic!("no {kind}: {document}"));
    (one["found"].clone(), one["ended"].clone(), one["remaining"].clone())
}

#[tokio::test]
async fn an_administrator_locks_somebody_and_the_record_proves_it() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    let key = place.everything().await;
    site.set_password(place.ann, "secret").await;
    let mut root = place.signed_in("in-root").await;
    root.get("lock", "").await;
    root.set_context(json!({
        "pending_user": {"pk": place.ann}, "prompt_data": {"lockdown_reason": "laptop stolen"}, "lockdown_reason": "no",
    }))
    .await;
    assert_eq!(root.post("lock", "", json!({})).await["name"], "bye");
    assert_end(&root.post("lock", "", json!({})).await, "/");
    let ann = site.account(place.ann).await;
    assert!(!ann.is_active && ann.security_epoch == 1);
    let hash = weir_identity::accounts::password_hash(&*site.db, place.ann).await.unwrap();
    assert_eq!(hash.as_deref(), Some("!"));
    assert!(token::authenticate(&*site.db, &key, &[Intent::Api], site.now()).await.unwrap().is_none());
    let left = artefacts::count(&*site.db, place.ann).await.unwrap();
    assert!(left.values().all(|count| *count == 0), "{left:?}");
    let event = site.events_of("user_write").await.pop().unwrap();
    assert_eq!(event["action_id"], "account_lockdown");
    assert_eq!((&event["reason"], &event["affected_user"]), (&json!("laptop stolen"), &json!("ann")));
    assert_eq!(event["lockdown"]["epoch"], json!({"before": 0, "after": 1}));
    let records = place.records().await;
    let [one] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(one.document["id"], event["lockdown"]["id"]);
    assert_eq!(one.document["actor"]["username"], "root");
    for artefact in artefacts::ARTEFACTS {
        let expected = if artefact.kind == "api_token" { 2 } else { 1 };
        let (found, ended, remaining) = numbers(&one.document, artefact.kind);
        assert_eq!((&found, &ended, &remaining), (&json!(expected), &json!(expected), &json!(0)), "{}", artefact.kind);
    }
    assert_eq!(numbers(&one.document, "remembered_device"), (Value::Null, Value::Null, json!(0)));
    let key = place.key().await;
    record::verify(&key, &one.shown()).unwrap();
    let mut forged = one.shown();
    forged["record"]["reason"] = json!("none");
    assert!(record::verify(&key, &forged).is_err());
    // What the user is known by elsewhere stays, without its keys.
    let sql = "SELECT access_token FROM source_user_connection";
    assert_eq!(site.db.read_one(sql, &[]).await.unwrap().unwrap().opt_text("access_token").unwrap(), None);
}

#[tokio::test]
async fn people_lock_themselves_and_end_on_a_page_without_session() {
    let place = Place::new(json!({})).await;
    let other = place.signed_in("in").await;
    let mut own = place.signed_in("in").await;
    own.get("lock", "").await;
    let before = own.key.clone().unwrap();
    let left = own.post("lock", "", json!({})).await;
    assert_eq!(component(&left), "xak-flow-redirect", "{left}");
    assert_eq!((&left["to"], &left["final_redirect"]), (&json!("/if/flow/done/"), &json!(false)));
    assert_ne!(own.key.clone().unwrap(), before);
    assert!(session::load(&*place.site.db, &before, place.site.now()).await.unwrap().is_none());
    assert_eq!((own.username().await, other.username().await), (None, None));
    assert!(own.state().await.history.is_empty(), "the new session knows nothing of the old one");
    assert!(own.context().await.is_empty());
    assert_eq!(own.get("done", "").await["name"], "locked");
    let event = place.site.events_of("user_write").await.pop().unwrap();
    assert_eq!((&event["affected_user"], &event["reason"]), (&json!("ann"), &json!("")));
}

#[tokio::test]
async fn without_a_completion_flow_nobody_loses_their_own_session() {
    let place = Place::new(json!({"self_service_completion_flow": null})).await;
    let mut own = place.signed_in("in").await;
    own.get("lock", "").await;
    let refused = own.post("lock", "", json!({})).await;
    assert_denied(&refused, "Self-service account lockdown requires a completion flow.");
    assert_eq!(own.username().await.as_deref(), Some("ann"));
    assert!(place.site.account(place.ann).await.is_active && place.records().await.is_empty());
    // Others need none.
    let mut root = place.signed_in("in-root").await;
    root.get("lock", "").await;
    root.set_context(json!({"pending_user": {"pk": place.ann}})).await;
    assert_eq!(root.post("lock", "", json!({})).await["name"], "bye");
    assert!(!place.site.account(place.ann).await.is_active);
}

#[tokio::test]
async fn nobody_is_no_target_and_neither_is_an_account_of_weirs_own() {
    let place = Place::new(json!({})).await;
    let outpost = place.site.user("outpost", "").await;
    place.site.change_user(outpost, json!({"type": "internal_service_account"})).await;
    for target in [json!({"pk": outpost}), json!({"pk": 4711}), json!({"pk": null, "username": "zoe", "email": "zoe"})]
    {
        let mut root = place.signed_in("in-root").await;
        root.get("lock", "").await;
        root.set_context(json!({"pending_user": target})).await;
        let refused = root.post("lock", "", json!({})).await;
        assert_denied(&refused, "No target user specified for account lockdown");
    }
    assert!(place.records().await.is_empty());
}

#[tokio::test]
async fn the_stage_asks_for_the_permission_whatever_led_to_it() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    let mut ann = place.signed_in("in").await;
    ann.get("lock", "").await;
    ann.set_context(json!({"pending_user": {"pk": place.admin}})).await;
    let refused = ann.post("lock", "", json!({})).await;
    assert_denied(&refused, "You do not have permission to lock down this account.");
    assert!(site.account(place.admin).await.is_active);
    // On this one user it is enough.
    let bob = site.user("bob", "").await;
    let made = site.try_make(<Role as weir_core::Resource>::MODEL, json!({"name": "helpers"})).await.unwrap();
    let mut unit = site.unit();
    let wish = permission::Assignment {
        permissions: vec!["authentik_core.change_user".to_owned()],
        model: Some("authentik_core.user".to_owned()),
        object_pk: Some(bob.to_string()),
    };
    permission::assign(&mut unit, &made.pk, &wish).await.unwrap();
    role::set_user(&mut unit, &made.pk, place.ann, true).await.unwrap();
    unit.commit().await.unwrap();
    assert!(!Grants::load(&*site.db, place.ann).await.unwrap().superuser);
    ann.get("lock", "").await;
    ann.set_context(json!({"pending_user": {"pk": bob}})).await;
    assert_eq!(ann.post("lock", "", json!({})).await["name"], "bye");
    assert!(!site.account(bob).await.is_active);
}

#[tokio::test]
async fn what_is_switched_off_stays_as_it_is() {
    let off = json!({"deactivate_user": false, "set_unusable_password": false, "delete_sessions": false, "revoke_tokens": false});
    let place = Place::new(off).await;
    let key = place.everything().await;
    let own = place.signed_in("in").await;
    let mut root = place.signed_in("in-root").await;
    root.get("lock", "").await;
    root.set_context(json!({"pending_user": {"pk": place.ann}, "lockdown_reason": "a drill"})).await;
    assert_eq!(root.post("lock", "", json!({})).await["name"], "bye");
    let (site, now) = (&place.site, place.site.now());
    assert_eq!(own.username().await.as_deref(), Some("ann"));
    assert!(token::authenticate(&*site.db, &key, &[Intent::Api], now).await.unwrap().is_some());
    let event = site.events_of("user_write").await.pop().unwrap();
    assert_eq!((&event["action_id"], &event["reason"]), (&json!("account_lockdown"), &json!("a drill")));
    assert_eq!(event["lockdown"]["epoch"], json!({"before": 0, "after": 0}));
    // Tokens alone: the sessions go on in the new epoch.
    let only =
        Switches { revoke_tokens: true, deactivate_user: false, set_unusable_password: false, delete_sessions: false };
    carry_out(&site.app, site.unit(), &place.order(only)).await.unwrap();
    assert_eq!(own.username().await.as_deref(), Some("ann"));
    assert!(token::authenticate(&*site.db, &key, &[Intent::Api], now).await.unwrap().is_none());
    let found = artefacts::count(&*site.db, place.ann).await.unwrap();
    assert_eq!((found["session"], found["api_token"], found["invitation"]), (2, 0, 0));
}

#[tokio::test]
async fn of_many_answers_at_once_one_locks_and_none_fails() {
    let place = Place::new(json!({})).await;
    let mut root = place.signed_in("in-root").await;
    root.get("lock", "").await;
    root.set_context(json!({"pending_user": {"pk": place.ann}})).await;
    let tabs: Vec<Browser<'_>> = (0..50).map(|_| root.clone()).collect();
    let done = join_all(tabs.into_iter().map(|mut tab| async move {
        tab.step("lock", "", Input::Answer(map(json!({"component": "ak-stage-dummy"})))).await.map(|r| format!("{r:?}"))
    }))
    .await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert!(root.get("lock", "").await.is_object());
    assert_eq!(place.records().await.len(), 1);
    assert_eq!(place.site.events_of("user_write").await.len(), 1);
}

#[tokio::test]
async fn an_account_is_opened_again_and_nothing_comes_back() {
    let place = Place::new(json!({})).await;
    let (site, key) = (&place.site, place.everything().await);
    let own = place.signed_in("in").await;
    carry_out(&site.app, site.unit(), &place.order(Switches::ALL)).await.unwrap();
    let mut unit = site.unit();
    unlock::unlock(&mut unit, place.ann, "found again").await.unwrap();
    unit.commit().await.unwrap();
    let ann = site.account(place.ann).await;
    assert!(ann.is_active && ann.security_epoch == 1);
    assert_eq!(own.username().await, None);
    assert!(token::authenticate(&*site.db, &key, &[Intent::Api], site.now()).await.unwrap().is_none());
    let left = artefacts::count(&*site.db, place.ann).await.unwrap();
    assert!(left.values().all(|count| *count == 0), "{left:?}");
    let event = site.events_of("user_write").await.pop().unwrap();
    assert_eq!((&event["action_id"], &event["reason"]), (&json!("account_unlock"), &json!("found again")));
    let mut unit = site.unit();
    assert!(unlock::unlock(&mut unit, place.ann, "to be sure").await.unwrap().is_active);
    unit.commit().await.unwrap();
    let told = site.events_of("user_write").await;
    assert!(told.iter().all(|event| event["reason"] != "to be sure"), "nothing changed, so nothing is told: {told:?}");
    let mut unit = site.unit();
    assert!(unlock::unlock(&mut unit, 4711, "who?").await.is_err());
}

/// Remembers who was sent, and whether the account was locked for everybody then.
#[derive(Default)]
struct Remembering(Mutex<Vec<i64>>);

#[async_trait]
impl SyncTargets for Remembering {
    async fn deliver(&self, user: i64) -> Vec<Delivery> {
        self.0.lock().unwrap().push(user);
        let name = |name: &str| (name.to_owned(), name.to_owned(), "authentik_providers_scim.scimprovider".to_owned());
        let make = |(target, name, kind), state, reason: Option<&str>| Delivery {
            target,
            name,
            kind,
            state,
            reason: reason.map(str::to_owned),
        };
        vec![
            make(name("good"), DeliveryState::Delivered, None),
            make(name("dead"), DeliveryState::Pending, Some("no answer in time")),
        ]
    }
}

#[tokio::test]
async fn other_systems_are_told_and_the_record_says_how_that_went() {
    let targets = Arc::new(Remembering::default());
    let wiring = Wiring {
        resources: crate::resources(),
        hooks: crate::hooks,
        stages: crate::kinds(),
        sync: targets.clone(),
        ..Wiring::default()
    };
    let place = Place::on(TestSite::new(wiring).await, json!({})).await;
    let quiet = Switches { deactivate_user: false, ..Switches::ALL };
    carry_out(&place.site.app, place.site.unit(), &place.order(quiet)).await.unwrap();
    assert!(targets.0.lock().unwrap().is_empty(), "an account that stays active is no news");
    carry_out(&place.site.app, place.site.unit(), &place.order(Switches::ALL)).await.unwrap();
    assert_eq!(*targets.0.lock().unwrap(), [place.ann]);
    let event = place.site.events_of("user_write").await.pop().unwrap();
    let sync = &event["lockdown"]["sync"];
    assert_eq!((&sync[0]["state"], &sync[1]["state"]), (&json!("delivered"), &json!("pending")), "{event}");
    assert_eq!(sync[1]["reason"], "no answer in time");
}

#[tokio::test]
async fn a_lockdown_whose_report_fails_is_a_lockdown_with_a_signed_record() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    // The audit trail refuses what the report says, and nothing else.
    let mut unit = site.unit();
    unit.tx.write("ALTER TABLE audit_event RENAME TO audit_event_away", &[]).await.unwrap();
    unit.commit().await.unwrap();
    let quiet = Switches { deactivate_user: false, ..Switches::ALL };
    let done = carry_out(&site.app, site.unit(), &place.order(quiet)).await.unwrap();
    assert!(matches!(done, super::Done::Locked(_)), "{done:?}");
    assert_eq!(site.account(place.ann).await.security_epoch, 1);
    let records = place.records().await;
    assert_eq!(records[0].document["completed"], Value::Null);
    record::verify(&place.key().await, &records[0].shown()).unwrap();
}

#[tokio::test]
async fn whoever_was_recognised_before_a_lockdown_mints_nothing_after_it() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    let before = site.account(place.ann).await;
    // Not even deactivated: the request began in the old epoch.
    let soft = Switches { deactivate_user: false, ..Switches::ALL };
    carry_out(&site.app, site.unit(), &place.order(soft)).await.unwrap();
    let acting = || Actor {
        origin: Origin::system(),
        user_id: Some(place.ann),
        epoch: Some(before.security_epoch),
        request_id: String::new(),
    };
    for (model, body) in [
        ("authentik_core.token", json!({"identifier": "mine", "intent": "app_password"})),
        ("authentik_stages_invitation.invitation", json!({"name": "friend"})),
    ] {
        let kind = site.app.site.registry.find(model).unwrap();
        let mut unit = Unit::new(&site.app.site, acting());
        let refused = unit.create(kind, &map(body), None).await.err().unwrap();
        assert_eq!(refused.status(), 403, "{model}");
    }
    let left = artefacts::count(&*site.db, place.ann).await.unwrap();
    assert!(left.values().all(|count| *count == 0), "{left:?}");
}

/// A sign-in that has proven who it is and has one more step to go.
async fn half_way<'p>(place: &'p Place, slug: &str) -> Browser<'p> {
    let mut browser = place.site.browser();
    assert_eq!(browser.get(slug, "").await["name"], format!("{slug} wait"));
    browser
}

#[tokio::test]
async fn a_sign_in_half_way_comes_to_nothing() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    let slow = site.flow("slow", "authentication", json!({})).await;
    let (_, binding) = site.step(slow, 0, "dummy", "slow wait", json!({})).await;
    site.guard(binding, "slow", json!({"set": {"pending_user": {"pk": place.ann}}}), json!({})).await;
    site.step(slow, 1, "user_login", "slow in", json!({})).await;
    let mut before = half_way(&place, "slow").await;
    let soft = Switches { deactivate_user: false, ..Switches::ALL };
    carry_out(&site.app, site.unit(), &place.order(soft)).await.unwrap();
    assert_denied(&before.post("slow", "", json!({})).await, "Unknown error");
    assert_eq!(before.username().await, None);
    // Whoever begins afterwards is not meant, in this browser neither.
    for mut after in [half_way(&place, "slow").await, before] {
        after.get("slow", "").await;
        assert_end(&after.post("slow", "", json!({})).await, "/");
        assert_eq!(after.username().await.as_deref(), Some("ann"));
    }
    let mut deactivated = half_way(&place, "slow").await;
    carry_out(&site.app, site.unit(), &place.order(Switches::ALL)).await.unwrap();
    assert_denied(&deactivated.post("slow", "", json!({})).await, "Unknown error");
    assert_eq!(site.sessions(place.ann).await, 0);
}

#[tokio::test]
async fn a_browser_that_was_known_is_a_stranger_afterwards() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    let enter = site.flow("known", "authentication", json!({})).await;
    let (_, binding) = site.step(enter, 0, "user_login", "known", json!({"remember_device": "days=30"})).await;
    site.guard(binding, "known", json!({"set": {"pending_user": {"pk": place.ann}}}), json!({})).await;
    let mut browser = site.browser();
    let mut known = Vec::new();
    let soft = Switches { deactivate_user: false, ..Switches::ALL };
    for round in 0..3 {
        if round == 2 {
            carry_out(&site.app, site.unit(), &place.order(soft)).await.unwrap();
        }
        browser.key = None;
        // From elsewhere, so that only the cookie can tell.
        browser.request.client_ip = format!("198.51.100.{round}");
        browser.get("known", "").await;
        known.push(site.events_of("login").await.pop().unwrap()["auth_method_args"]["known_device"].clone());
    }
    assert_eq!(known, [json!(false), json!(true), json!(false)]);
}
