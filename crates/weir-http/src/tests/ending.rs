//! Sessions that are ended by choice, and what others do in somebody's name.

use super::*;

const ME: &str = "/core/users/me/";
const END: &str = "/weir/sessions/end/";
const LIST: &str = "/core/authenticated_sessions/";

impl Api {
    async fn is_signed_in(&self, session: &str) -> bool {
        self.get(ME).cookie(session).send().await.status == 200
    }

    /// Public identifiers of the sessions of a user.
    async fn sessions_of(&self, name: &str) -> Vec<String> {
        let path = format!("{LIST}?user__username={name}");
        column(&self.get(&path).admin().send().await.expect(200), "uuid")
    }

    async fn logouts(&self) -> Vec<Value> {
        let found = self.get("/events/events/?action=logout&ordering=created").admin().send().await.expect(200);
        found["results"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn all_sessions_but_the_current_one_end_at_once_and_the_trail_says_so() {
    let api = Api::start().await;
    let own = [api.sign_in(api.user.id).await, api.sign_in(api.user.id).await, api.sign_in(api.user.id).await];
    let foreign = api.sign_in(api.admin.id).await;
    let answer = api.post(END, json!({"all_but_current": true})).browser(&own[1]).send().await.expect(200);
    assert_eq!(answer["deleted"], 2);
    assert_eq!(answer["sessions"].as_array().unwrap().len(), 2);
    for (session, lives) in [(&own[0], false), (&own[1], true), (&own[2], false), (&foreign, true)] {
        assert_eq!(api.is_signed_in(session).await, lives);
    }
    let events = api.logouts().await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["user"]["username"], "user");
    assert_eq!((&events[0]["context"]["sessions"], &events[0]["context"]["users"]), (&json!(2), &json!(1)));
    // Nothing ended, nothing is told. A key of the interface is no session that could be spared.
    let again = api.post(END, json!({"all_but_current": true})).browser(&own[1]).send().await.expect(200);
    assert_eq!((&again["deleted"], api.logouts().await.len()), (&json!(0), 1));
    let by_key = api.post(END, json!({"all_but_current": true})).user().send().await.expect(200);
    assert_eq!((&by_key["deleted"], api.is_signed_in(&own[1]).await), (&json!(1), false));
}

#[tokio::test]
async fn sessions_of_others_take_the_right_to_delete_them() {
    let api = Api::start().await;
    let mine = api.sign_in(api.user.id).await;
    let (first, second) = (api.sign_in(api.admin.id).await, api.sign_in(api.admin.id).await);
    let theirs = api.sessions_of("admin").await;
    let ask = |body: Value| api.post(END, body).browser(&mine);
    assert_eq!(ask(json!({"users": [api.admin.id]})).send().await.status, 403);
    assert_eq!(ask(json!({"users": [api.user.id, api.admin.id]})).send().await.status, 403);
    // What may not be seen is as if it were not there; what may be seen is not anybody's to end.
    let unseen = ask(json!({"sessions": theirs})).send().await.expect(200);
    assert_eq!(unseen["deleted"], 0);
    api.grant(api.user.id, &["authentik_core.view_authenticatedsession"], None).await;
    assert_eq!(ask(json!({"sessions": theirs})).send().await.status, 403);
    let one = ("authentik_core.authenticatedsession", theirs[0].as_str());
    api.grant(api.user.id, &["authentik_core.delete_authenticatedsession"], Some(one)).await;
    assert_eq!(ask(json!({"sessions": [theirs[0]]})).send().await.expect(200)["deleted"], 1);
    assert_eq!(ask(json!({"sessions": theirs})).send().await.status, 403);
    let left = [api.is_signed_in(&first).await, api.is_signed_in(&second).await];
    assert_eq!(left.iter().filter(|lives| **lives).count(), 1);
    assert!(api.is_signed_in(&mine).await);
    api.grant(api.user.id, &["authentik_core.delete_authenticatedsession"], None).await;
    assert_eq!(ask(json!({"users": [api.admin.id]})).send().await.expect(200)["deleted"], 1);
    let events = api.logouts().await;
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!(event["user"]["username"], "user", "who did it");
        assert_eq!(event["context"]["affected_users"][0]["username"], "admin", "whom it met");
    }
}

#[tokio::test]
async fn everything_that_is_said_must_fit_a_session_that_ends() {
    let api = Api::start().await;
    let third = api.person("third").await;
    for id in [api.user.id, third.id, third.id] {
        api.sign_in(id).await;
    }
    let (of_user, of_third) = (api.sessions_of("user").await, api.sessions_of("third").await);
    let all: Vec<&String> = of_user.iter().chain(&of_third).collect();
    let ended = api.post(END, json!({"sessions": all, "users": [third.id]})).admin().send().await.expect(200);
    assert_eq!(ended["deleted"], 2);
    assert_eq!(ended["sessions"][0]["user"], third.id);
    assert_eq!(api.sessions_of("user").await, of_user);
    for bad in [json!({}), json!({"users": "x"}), json!({"sessions": ["x"]}), json!({"users": vec![1; 1001]})] {
        assert_eq!(api.post(END, bad.clone()).admin().send().await.status, 400, "{bad}");
    }
    assert_eq!(api.post(END, json!({"users": []})).admin().send().await.expect(200)["deleted"], 0);
    assert_eq!(api.post(END, json!({"users": [api.user.id]})).send().await.status, 403);
}

#[tokio::test]
async fn a_session_that_somebody_ends_is_a_log_out_in_the_trail() {
    let api = Api::start().await;
    let session = api.sign_in(api.user.id).await;
    let uuid = api.sessions_of("user").await.remove(0);
    assert_eq!(api.delete(&format!("{LIST}{uuid}/")).admin().send().await.status, 204);
    assert!(!api.is_signed_in(&session).await);
    api.sign_in(api.user.id).await;
    let bulk = format!("{LIST}bulk_delete/?user_pks={}&user_pks={}", api.user.id, api.admin.id);
    assert_eq!(api.delete(&bulk).admin().send().await.expect(200), json!({"deleted": 1}));
    let events = api.logouts().await;
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!((&event["user"]["username"], &event["context"]["sessions"]), (&json!("admin"), &json!(1)));
        assert_eq!(event["context"]["affected_users"][0]["username"], "user");
    }
}

#[tokio::test]
async fn sessions_are_found_by_the_name_of_their_user() {
    let api = Api::start().await;
    for id in [api.user.id, api.admin.id] {
        api.sign_in(id).await;
    }
    for (query, count) in [("search=USER", 1), ("search=user%20192.0.2", 1), ("search=user%20nowhere", 0)] {
        let found = api.get(&format!("{LIST}?{query}")).admin().send().await.expect(200);
        assert_eq!(found["pagination"]["count"], count, "{query}");
    }
    // By the name of somebody else nobody finds more than their own.
    let found = api.get(&format!("{LIST}?search=admin")).user().send().await.expect(200);
    assert_eq!(found["pagination"]["count"], 0);
    let found = api.get("/core/tokens/?search=user").admin().send().await.expect(200);
    assert_eq!(column(&found, "identifier"), ["user-api"]);
}

#[tokio::test]
async fn a_lockdown_ends_what_others_do_in_the_accounts_name() {
    let api = Api::start().await;
    let session = api.sign_in(api.admin.id).await;
    let path = format!("/core/users/{}/impersonate/", api.user.id);
    assert_eq!(api.post(&path, json!({"reason": "help"})).browser(&session).send().await.status, 204);
    assert_eq!(api.get(ME).cookie(&session).send().await.expect(200)["user"]["username"], "user");
    let mut tx = api.app.site.db.tx();
    accounts::advance_epoch(&mut tx, api.user.id).await.unwrap();
    tx.commit().await.unwrap();
    let me = api.get(ME).cookie(&session).send().await.expect(200);
    assert_eq!(me["user"]["username"], "admin", "back to oneself");
    assert_eq!(api.get("/core/users/impersonate_end/").cookie(&session).send().await.status, 204);
}

#[tokio::test]
async fn whoever_acts_as_a_deactivated_user_may_nothing() {
    let api = Api::start().await;
    let session = api.sign_in(api.admin.id).await;
    let boss = api.person("second").await;
    api.make::<Group>(json!({"name": "more admins", "is_superuser": true, "users": [boss.id]})).await;
    api.patch(&format!("/core/users/{}/", boss.id), json!({"is_active": false})).admin().send().await.expect(200);
    let path = format!("/core/users/{}/impersonate/", boss.id);
    assert_eq!(api.post(&path, json!({"reason": "help"})).browser(&session).send().await.status, 204);
    assert_eq!(api.get(ME).cookie(&session).send().await.expect(200)["user"]["username"], "second");
    for path in ["/core/users/", "/core/tokens/", LIST] {
        assert_eq!(api.get(path).cookie(&session).send().await.status, 403, "{path}");
    }
    assert_eq!(api.post(END, json!({"users": [boss.id]})).browser(&session).send().await.status, 403);
    let import = api.post("/managed/blueprints/import/", json!({"file": "version: 1\nentries: []\n"}));
    assert_eq!(import.browser(&session).send().await.status, 403);
}
