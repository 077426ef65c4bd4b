use super::*;
use crate::access;
use std::collections::BTreeSet;
use uuid::Uuid;
use weir_identity::Account;
use weir_policy::PolicyCx;

/// Those of these users who may use the application.
async fn may(site: &TestSite, application: Uuid, users: &[i64]) -> BTreeSet<i64> {
    let mut accounts: Vec<Account> = Vec::new();
    for user in users {
        accounts.push(site.account(*user).await);
    }
    let mut unit = site.unit();
    let (snapshot, mut events) = (site.app.site.snapshot(), Vec::new());
    let mut cx = PolicyCx {
        site: &site.app.site,
        snapshot: &snapshot,
        tx: &mut unit.tx,
        kinds: &site.app.policies,
        events: &mut events,
        depth: 0,
    };
    let many = access::have_access(&mut cx, application, &accounts).await.unwrap();
    for account in &accounts {
        let one = access::have_access(&mut cx, application, std::slice::from_ref(account)).await.unwrap();
        let (one, many) = (one.contains(&account.id), many.contains(&account.id));
        assert_eq!(one, many, "asked alone, {} gets another answer", account.username);
    }
    many
}

#[tokio::test]
async fn bindings_of_users_groups_and_policies_decide_for_each_user() {
    let site = site().await;
    let (ann, bob, eve) = (site.user("ann", "").await, site.user("bob", "").await, site.user("eve", "").await);
    let everybody = [ann, bob, eve];
    let wiki = site.make(APPLICATION, json!({"name": "Wiki", "slug": "wiki"})).await;
    assert_eq!(may(&site, wiki, &everybody).await, BTreeSet::from(everybody), "nothing is bound");
    let staff = site.make("authentik_core.group", json!({"name": "staff"})).await;
    let team = json!({"name": "team", "parents": [staff], "users": [ann]});
    site.make("authentik_core.group", team).await;
    let binding = json!({"target": wiki, "group": staff, "order": 0});
    site.make("authentik_policies.policybinding", binding).await;
    assert_eq!(may(&site, wiki, &everybody).await, BTreeSet::from([ann]), "through a group below");
    site.make("authentik_policies.policybinding", json!({"target": wiki, "user": bob, "order": 1})).await;
    assert_eq!(may(&site, wiki, &everybody).await, BTreeSet::from([ann, bob]));
    site.guard(wiki, "p", json!({"only_user": "eve"}), json!({"order": 2})).await;
    assert_eq!(may(&site, wiki, &everybody).await, BTreeSet::from(everybody));
    site.change(APPLICATION, wiki, json!({"policy_engine_mode": "all"})).await;
    assert_eq!(may(&site, wiki, &everybody).await, BTreeSet::new());
    assert_eq!(may(&site, Uuid::nil(), &everybody).await, BTreeSet::new(), "there is no such application");
}

#[tokio::test]
async fn a_locked_user_is_asked_about_like_any_other() {
    let site = site().await;
    let (ann, bob) = (site.user("ann", "").await, site.user("bob", "").await);
    let wiki = site.make(APPLICATION, json!({"name": "Wiki", "slug": "wiki"})).await;
    site.make("authentik_policies.policybinding", json!({"target": wiki, "user": ann, "order": 0})).await;
    site.change_user(ann, json!({"is_active": false})).await;
    assert_eq!(may(&site, wiki, &[ann, bob]).await, BTreeSet::from([ann]));
}
