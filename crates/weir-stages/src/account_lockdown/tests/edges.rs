//! What somebody would try who wants a lockdown not to happen, not to last, or to say something else.

use super::Place;
use crate::{
    account_lockdown::{Done, Order, Switches, bulk, carry_out, carry_out_all, follow::finish, record, unlock},
    tests::assert_denied,
};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use weir_core::Resource as _;
use weir_events::Origin;
use weir_identity::{Role, accounts, permission, role};
use weir_resource::{Actor, Unit};
use weir_testkit::{TestSite, map};

const QUIET: Switches = Switches { deactivate_user: false, ..Switches::ALL };

/// Acts as this user in this epoch.
fn acting(user_id: i64, epoch: i64) -> Actor {
    Actor { origin: Origin::system(), user_id: Some(user_id), epoch: Some(epoch), request_id: String::new() }
}

fn order(user: i64) -> Order {
    Order { user, reason: "stolen".to_owned(), switches: Switches::ALL, batch: None, claim: None }
}

async fn lock_down(site: &TestSite, user: i64, switches: Switches) {
    let order = Order { switches, ..order(user) };
    let done = carry_out(&site.app, site.unit(), &order).await.unwrap();
    assert!(matches!(done, Done::Locked(_)), "{done:?}");
}

#[tokio::test]
async fn what_a_server_left_half_told_is_told_once_by_another() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    let rename = async |from: &str, to: &str| {
        let mut unit = site.unit();
        unit.tx.write(&format!("ALTER TABLE {from} RENAME TO {to}"), &[]).await.unwrap();
        unit.commit().await.unwrap();
    };
    // The lockdown is committed; then the report fails as a whole.
    rename("audit_event", "audit_event_away").await;
    let mut unit = Unit::new(&site.app.site, acting(place.admin, 0));
    unit.actor.origin = Origin {
        user: json!({"pk": place.admin, "username": "root"}),
        user_id: Some(place.admin),
        username: "root".to_owned(),
        ..Origin::system()
    };
    let done = carry_out(&site.app, unit, &Order { switches: QUIET, ..order(place.ann) }).await.unwrap();
    assert!(matches!(done, Done::Locked(_)), "{done:?}");
    rename("audit_event_away", "audit_event").await;
    assert_eq!(place.records().await[0].document["completed"], Value::Null);
    assert_eq!(finish(&site.app, TimeDelta::minutes(3)).await.unwrap(), 0, "somebody may still be at it");
    site.clock.advance(TimeDelta::minutes(4));
    // Every node looks.
    let told = join_all((0..8).map(|_| finish(&site.app, TimeDelta::minutes(3)))).await;
    assert_eq!(told.into_iter().map(Result::unwrap).sum::<usize>(), 1);
    let one = place.records().await.remove(0);
    assert!(one.document["completed"].is_string());
    assert!(
        one.document["artefacts"].as_array().unwrap().iter().all(|kind| kind["remaining"] == 0),
        "{:?}",
        one.document
    );
    record::verify(&place.key().await, &one.shown()).unwrap();
    let events = site.events_of("user_write").await;
    assert_eq!((events.len(), &events[0]["lockdown"]["id"]), (1, &one.document["id"]));
    let event = site.events().await.into_iter().find(|(action, ..)| action == "user_write").unwrap();
    assert_eq!(event.2, "root", "told in the name of who did it");
}

#[tokio::test]
async fn whoever_was_locked_down_meanwhile_locks_and_opens_nobody() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    let bob = site.user("bob", "").await;
    lock_down(site, place.admin, QUIET).await;
    for orders in [vec![order(place.ann)], vec![order(place.ann), order(bob)], vec![order(place.admin)]] {
        let unit = Unit::new(&site.app.site, acting(place.admin, 0));
        let refused = carry_out_all(&site.app, unit, &orders).await.err().unwrap();
        assert_eq!(refused.status(), 403);
    }
    assert!(site.account(place.ann).await.is_active && site.account(bob).await.is_active);
    lock_down(site, place.ann, Switches::ALL).await;
    let mut unit = Unit::new(&site.app.site, acting(place.admin, 0));
    assert_eq!(unlock::unlock(&mut unit, place.ann, "please").await.err().unwrap().status(), 403);
    unit.rollback().await.unwrap();
    assert!(!site.account(place.ann).await.is_active);
}

#[tokio::test]
async fn several_are_locked_together_in_the_order_of_the_list() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    let mut users = vec![place.ann];
    for number in 0..5 {
        users.push(site.user(&format!("user-{number}"), "").await);
    }
    users.insert(3, 4711);
    users.reverse();
    let orders: Vec<Order> = users.iter().map(|user| order(*user)).collect();
    let done = carry_out_all(&site.app, site.unit(), &orders).await.unwrap();
    let key = place.key().await;
    for (user, done) in users.iter().zip(&done) {
        match done {
            Done::Locked(lockdown) => {
                assert_eq!((lockdown.account.id, lockdown.document["user"]["pk"].as_i64()), (*user, Some(*user)));
                let shown = json!({"record": lockdown.document, "signature": lockdown.signature});
                record::verify(&key, &shown).unwrap();
            }
            Done::NoTarget => assert_eq!(*user, 4711),
            Done::Beaten => panic!("{user} was beaten"),
        }
    }
    assert_eq!((place.records().await.len(), site.events_of("user_write").await.len()), (6, 6));
}

#[tokio::test]
async fn two_workers_of_one_list_lock_everybody_once() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    let bob = site.user("bob", "").await;
    let request = bulk::Request {
        reason: "leak".to_owned(),
        switches: Switches::ALL,
        actor: json!({}),
        username: String::new(),
        epoch: None,
        client_ip: None,
        brand: json!({}),
    };
    let mut unit = site.unit();
    let (batch, _) = bulk::enqueue(&mut unit, &request, &[place.ann, bob]).await.unwrap();
    unit.commit().await.unwrap();
    let orders = [place.ann, bob].map(|user| Order { batch: Some(batch), ..order(user) });
    let done = join_all((0..6).map(|_| carry_out_all(&site.app, site.unit(), &orders))).await;
    let done: Vec<Done> = done.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(done.iter().filter(|done| matches!(done, Done::Locked(_))).count(), 2);
    assert_eq!(done.iter().filter(|done| matches!(done, Done::Beaten)).count(), 10);
    assert_eq!(place.records().await.len(), 2);
    let (shown, _) = bulk::shown(&site.app, batch, None, (1, 10)).await.unwrap().unwrap();
    assert_eq!(shown["counts"]["locked"], 2);
    assert!(shown["users"].as_array().unwrap().iter().all(|user| user["lockdown"].is_string()), "{shown}");
}

/// As the page of the flow does it: whoever may change an account may lock it, but not one they may not change.
#[tokio::test]
async fn a_delegated_administrator_locks_whom_they_may_change_and_no_superuser_beyond_that() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    let bob = site.user("bob", "").await;
    let made = site.try_make(Role::MODEL, json!({"name": "helpers"})).await.unwrap();
    let give = async |object_pk: Option<String>| {
        let mut unit = site.unit();
        let model = object_pk.is_some().then(|| "authentik_core.user".to_owned());
        let wish = permission::Assignment { permissions: vec![bulk::PERMISSION.to_owned()], model, object_pk };
        permission::assign(&mut unit, &made.pk, &wish).await.unwrap();
        unit.commit().await.unwrap();
    };
    let mut unit = site.unit();
    role::set_user(&mut unit, &made.pk, place.ann, true).await.unwrap();
    unit.commit().await.unwrap();
    give(Some(bob.to_string())).await;
    let mut ann = place.signed_in("in").await;
    for (target, expected) in [(bob, true), (place.admin, false)] {
        ann.get("lock", "").await;
        ann.set_context(json!({"pending_user": {"pk": target}})).await;
        let shown = ann.post("lock", "", json!({})).await;
        assert_eq!(shown["name"] == "bye", expected, "{shown}");
        assert_eq!(site.account(target).await.is_active, !expected);
        if expected {
            ann.post("lock", "", json!({})).await;
        } else {
            assert_denied(&shown, "You do not have permission to lock down this account.");
        }
    }
    // Harmless to the account's owner beyond what a change could do anyway; nothing is gained by it.
    give(None).await;
    ann.get("lock", "").await;
    ann.set_context(json!({"pending_user": {"pk": place.admin}})).await;
    assert_eq!(ann.post("lock", "", json!({})).await["name"], "bye");
    assert!(!site.account(place.admin).await.is_active);
}

#[tokio::test]
async fn nobody_prepares_a_way_into_an_account_that_is_locked() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    // A mail box that somebody else reads too.
    let back = site.flow("back", "recovery", json!({})).await;
    site.step(back, 0, "identification", "who", json!({"user_fields": ["username"]})).await;
    site.step(back, 1, "email", "mail", json!({"activate_user_on_success": true})).await;
    site.step(back, 2, "dummy", "inside", json!({})).await;
    // A flow that sets a password without asking for much.
    let write = site.flow("write", "recovery", json!({})).await;
    let (_, binding) = site.step(write, 0, "user_write", "write", json!({})).await;
    let known = json!({"pending_user": {"pk": place.ann}, "prompt_data": {"password": "chosen by a thief"}});
    site.guard(binding, "write", json!({"set": known}), json!({})).await;
    site.step(write, 1, "dummy", "written", json!({})).await;
    let by_mail = async || {
        let mut asking = site.browser();
        asking.get("back", "").await;
        asking.post("back", "", json!({"uid_field": "ann"})).await;
        let mail = site.mails().await.pop().unwrap();
        let text = mail["text"].as_str().unwrap();
        let line = text.lines().find(|line| line.starts_with("https://")).unwrap();
        let query = line.split_once('?').unwrap().1.to_owned();
        let mut reading = site.browser();
        let shown = reading.get("back", &query).await;
        reading.post("back", &query, json!({"component": "ak-stage-consent", "token": shown["token"]})).await
    };
    // An account that was never locked is opened by its mail.
    site.change_user(place.ann, json!({"is_active": false})).await;
    assert_eq!(by_mail().await["name"], "inside");
    assert!(site.account(place.ann).await.is_active);
    lock_down(site, place.ann, Switches::ALL).await;
    assert_denied(&by_mail().await, "Unknown error");
    assert!(!site.account(place.ann).await.is_active);
    let refused = site.browser().get("write", "").await;
    assert_denied(&refused, "Failed to update user. Please try again later.");
    let hash = accounts::password_hash(&*site.db, place.ann).await.unwrap();
    assert_eq!(hash.as_deref(), Some("!"));
    // Opened again the account is like any other.
    let mut unit = site.unit();
    unlock::unlock(&mut unit, place.ann, "found").await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(site.browser().get("write", "").await["name"], "written");
}

#[tokio::test]
async fn a_record_holds_no_secrets_and_counts_the_ways_in_that_stay() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    let key = place.everything().await;
    site.set_password(place.ann, "secret of ann").await;
    let hash = accounts::password_hash(&*site.db, place.ann).await.unwrap().unwrap();
    let mut unit = site.unit();
    let reason = "\u{1f4f1} gestohlen: \"nachts\"\\\n\u{7f}\u{0}";
    let mut wish = order(place.ann);
    reason.clone_into(&mut wish.reason);
    unit.actor.origin.client_ip = Some("198.51.100.7".to_owned());
    carry_out(&site.app, unit, &wish).await.unwrap();
    let one = place.records().await.remove(0);
    record::verify(&place.key().await, &one.shown()).unwrap();
    assert_eq!(one.document["reason"], reason.replace('\u{0}', ""));
    let event = site.events_of("user_write").await.pop().unwrap();
    for text in [one.shown().to_string(), event.to_string()] {
        for secret in [key.as_str(), hash.as_str(), "ann@example.org", "198.51.100.7", "opens", "+1"] {
            assert!(!text.contains(secret), "{secret} stands in {text}");
        }
    }
    let stays = |kind: &str| {
        let all = one.document["stays"].as_array().unwrap();
        all.iter().find(|stay| stay["kind"] == kind).unwrap()["count"].clone()
    };
    assert_eq!((stays("source_connection"), stays("authenticator_sms")), (json!(1), json!(1)));
    assert_eq!(stays("authenticator_webauthn"), 0);
    // Reading the text as it was handed out gives the same document.
    assert_eq!(record::read(&one.shown().to_string()).unwrap(), one.shown());
}

#[tokio::test]
async fn whom_the_account_invited_before_is_let_in_by_nobody_afterwards() {
    let place = Place::new(json!({})).await;
    let site = &place.site;
    let join = site.flow("join", "enrollment", json!({})).await;
    let (_, _) = site.step(join, 0, "invitation", "invited", json!({})).await;
    site.step(join, 1, "dummy", "a page", json!({})).await;
    site.step(join, 2, "user_write", "write", json!({"user_creation_mode": "always_create"})).await;
    site.step(join, 3, "dummy", "written", json!({})).await;
    let invite = async |name: &str| {
        let kind = site.app.site.registry.find("authentik_stages_invitation.invitation").unwrap();
        let mut unit = Unit::new(&site.app.site, acting(place.ann, site.account(place.ann).await.security_epoch));
        let body = map(json!({"name": name, "single_use": true, "fixed_data": {"username": name}}));
        let made = unit.create(kind, &body, None).await.unwrap();
        unit.commit().await.unwrap();
        let mut browser = site.browser();
        let query = format!("itoken={}", made.pk);
        assert_eq!(browser.get("join", &query).await["name"], "a page");
        (browser, query)
    };
    let (mut early, query) = invite("early").await;
    assert_eq!(early.post("join", &query, json!({})).await["name"], "written");
    let (mut late, query) = invite("late").await;
    lock_down(site, place.ann, QUIET).await;
    let refused = late.post("join", &query, json!({})).await;
    assert_denied(&refused, "Failed to update user. Please try again later.");
    assert!(accounts::find_by_username(&*site.db, "late").await.unwrap().is_none());
}
