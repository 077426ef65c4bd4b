//! Delegated administration that cannot escalate: somebody with nearly all rights over users, groups, roles and tokens
//! tries to get, or to give, more than that.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weir_blueprints::instances::BlueprintInstance;
use weir_contract::Method;
use weir_core::Resource as _;
use weir_identity::{Grants, Group, Role, Token, User, permission};
use weir_resource::Stored;

use super::stand::{Person, Stand};

/// Everything a help desk could be given, but for the right to make superusers.
const DELEGATED: &[&str] = &[
    "authentik_core.view_user",
    "authentik_core.add_user",
    "authentik_core.change_user",
    "authentik_core.delete_user",
    "authentik_core.reset_user_password",
    "authentik_core.impersonate",
    "authentik_core.view_group",
    "authentik_core.add_group",
    "authentik_core.change_group",
    "authentik_core.add_user_to_group",
    "authentik_core.remove_user_from_group",
    "authentik_core.view_token",
    "authentik_core.add_token",
    "authentik_core.change_token",
    "authentik_core.view_token_key",
    "authentik_core.set_token_key",
    "authentik_rbac.view_role",
    "authentik_rbac.add_role",
    "authentik_rbac.change_role",
    "authentik_rbac.assign_role_permissions",
    "authentik_rbac.unassign_role_permissions",
    "authentik_rbac.view_initialpermissions",
    "authentik_rbac.add_initialpermissions",
    "authentik_rbac.change_initialpermissions",
    "authentik_blueprints.view_blueprintinstance",
    "authentik_blueprints.add_blueprintinstance",
    "authentik_blueprints.change_blueprintinstance",
    "authentik_stages_user_write.view_userwritestage",
    "authentik_stages_user_write.add_userwritestage",
    "authentik_stages_user_write.change_userwritestage",
];

struct Scene {
    stand: Stand,
    /// Who tries.
    desk: Person,
    /// For whom else.
    friend: Person,
    /// A superuser group, one below it, and one without any rights.
    bosses: Stored,
    below: Stored,
    plain: Stored,
    /// A role with a permission the desk lacks, a group that has it, and one that is nothing yet.
    mighty: Stored,
    mighty_group: Stored,
    own_role: Stored,
    own_group: Stored,
}

/// Who may do what.
#[derive(PartialEq, Debug)]
struct State {
    superusers: BTreeSet<i64>,
    desk: Grants,
    friend: Grants,
}

impl Scene {
    async fn start() -> Self {
        let stand = Stand::start().await;
        let (desk, friend) = (stand.person("desk").await, stand.person("friend").await);
        stand.grant(desk.id, DELEGATED, None).await;
        let bosses = stand.make::<Group>(json!({"name": "heads", "is_superuser": true})).await;
        let below = stand.make::<Group>(json!({"name": "below heads", "parents": [bosses.pk]})).await;
        let plain = stand.make::<Group>(json!({"name": "plain"})).await;
        let mighty = stand.make::<Role>(json!({"name": "mighty"})).await;
        let mut unit = stand.unit();
        let wish = permission::Assignment {
            permissions: vec!["authentik_core.delete_group".to_owned()],
            ..permission::Assignment::default()
        };
        permission::assign(&mut unit, &mighty.pk, &wish).await.unwrap();
        unit.commit().await.unwrap();
        let mighty_group = stand.make::<Group>(json!({"name": "mighty ones", "roles": [mighty.pk]})).await;
        let own_role = stand.make::<Role>(json!({"name": "desk's"})).await;
        let members = [desk.id, friend.id];
        let own_group = stand.make::<Group>(json!({"name": "desk's", "users": members, "roles": [own_role.pk]})).await;
        Self { stand, desk, friend, bosses, below, plain, mighty, mighty_group, own_role, own_group }
    }

    async fn state(&self) -> State {
        let sql = "SELECT id FROM identity_user";
        let mut superusers = BTreeSet::new();
        for row in self.stand.core.site.db.read(sql, &[]).await.unwrap() {
            let id = row.int("id").unwrap();
            if self.stand.grants(id).await.superuser {
                superusers.insert(id);
            }
        }
        let (desk, friend) = (self.stand.grants(self.desk.id).await, self.stand.grants(self.friend.id).await);
        State { superusers, desk, friend }
    }

    /// Tries and fails; nobody can do more afterwards.
    #[track_caller]
    fn refused<'a>(&'a self, method: Method, path: String, body: Value) -> impl Future<Output = ()> + 'a {
        let from = std::panic::Location::caller();
        async move {
            let before = self.state().await;
            let answer = self.stand.ask(Some(&self.desk.key), method, &path, Some(body.clone())).await;
            let text = format!("{from}: {} {path} {body} answers {} {}", method.name(), answer.status, answer.body);
            assert!((400..500).contains(&answer.status), "{text}");
            assert_eq!(self.state().await, before, "{text}");
        }
    }

    /// Does what is in the desk's power.
    async fn allowed(&self, method: Method, path: String, body: Value, status: u16) {
        let answer = self.stand.ask(Some(&self.desk.key), method, &path, Some(body)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }

    fn group(&self, group: &Stored) -> String {
        format!("/core/groups/{}/", group.pk)
    }
}

#[tokio::test]
async fn nobody_gains_superuser_through_groups_parents_or_members() {
    let s = Scene::start().await;
    let (desk, friend) = (s.desk.id, s.friend.id);
    let groups = || "/core/groups/".to_owned();
    s.refused(Method::Post, groups(), json!({"name": "x", "is_superuser": true})).await;
    s.refused(Method::Post, groups(), json!({"name": "x", "is_superuser": true, "users": [desk]})).await;
    for parent in [&s.bosses, &s.below, &s.mighty_group] {
        s.refused(Method::Post, groups(), json!({"name": "x", "parents": [parent.pk], "users": [friend]})).await;
        s.refused(Method::Post, groups(), json!({"name": "x", "parents": [parent.pk]})).await;
        s.refused(Method::Patch, s.group(&s.own_group), json!({"parents": [parent.pk]})).await;
        for member in [desk, friend] {
            s.refused(Method::Patch, s.group(parent), json!({"users": [member]})).await;
            s.refused(Method::Post, format!("{}add_user/", s.group(parent)), json!({"pk": member})).await;
            s.refused(Method::Patch, format!("/core/users/{member}/"), json!({"groups": [parent.pk]})).await;
        }
        let new = json!({"username": "x", "name": "x", "groups": [parent.pk]});
        s.refused(Method::Post, "/core/users/".to_owned(), new).await;
    }
    s.refused(Method::Patch, s.group(&s.own_group), json!({"is_superuser": true})).await;
    s.refused(Method::Patch, s.group(&s.bosses), json!({"is_superuser": false})).await;
    // A group that is fine alone may not be put below, whoever is in what lies below it.
    let lower = s.stand.make::<Group>(json!({"name": "lower", "parents": [s.plain.pk], "users": [friend]})).await;
    s.refused(Method::Patch, s.group(&s.plain), json!({"parents": [s.below.pk]})).await;
    s.refused(Method::Patch, s.group(&lower), json!({"parents": [s.plain.pk, s.mighty_group.pk]})).await;
    s.allowed(Method::Post, format!("{}add_user/", s.group(&s.plain)), json!({"pk": friend}), 204).await;
    s.allowed(Method::Post, groups(), json!({"name": "new", "parents": [s.plain.pk], "users": [friend]}), 201).await;
}

#[tokio::test]
async fn nobody_gains_permissions_through_roles_or_initial_permissions() {
    let s = Scene::start().await;
    let (desk, friend) = (s.desk.id, s.friend.id);
    for member in [desk, friend] {
        s.refused(Method::Patch, format!("/core/users/{member}/"), json!({"roles": [s.mighty.pk]})).await;
        s.refused(Method::Post, format!("/rbac/roles/{}/add_user/", s.mighty.pk), json!({"pk": member})).await;
    }
    s.refused(Method::Post, "/core/users/".to_owned(), json!({"username": "x", "name": "x", "roles": [s.mighty.pk]}))
        .await;
    s.refused(Method::Patch, s.group(&s.own_group), json!({"roles": [s.own_role.pk, s.mighty.pk]})).await;
    s.refused(Method::Post, "/core/groups/".to_owned(), json!({"name": "x", "roles": [s.mighty.pk]})).await;
    let assign = format!("/rbac/permissions/assigned_by_roles/{}/assign/", s.own_role.pk);
    for more in ["authentik_core.delete_group", "authentik_core.enable_group_superuser", "authentik_rbac.delete_role"] {
        s.refused(Method::Post, assign.clone(), json!({"permissions": [more]})).await;
    }
    let object = json!({"permissions": ["authentik_core.enable_group_superuser"], "model": Group::MODEL,
                        "object_pk": s.own_group.pk});
    s.refused(Method::Post, assign.clone(), object).await;
    let numbers = |name: &str| {
        let all = permission::all(&s.stand.core.site.registry);
        all.iter().find(|p| p.full == name).map(|p| p.id).unwrap()
    };
    let initial =
        |permission: &str| json!({"name": permission, "role": s.own_role.pk, "permissions": [numbers(permission)]});
    let rules = || "/rbac/initial_permissions/".to_owned();
    s.refused(Method::Post, rules(), initial("authentik_core.enable_group_superuser")).await;
    s.refused(Method::Post, rules(), initial("authentik_core.delete_group")).await;
    s.allowed(Method::Post, assign, json!({"permissions": ["authentik_core.view_user"]}), 200).await;
    let made = s.stand.post(&s.desk, &rules(), initial("authentik_core.change_group")).await.expect(201);
    let change = format!("{}{}/", rules(), made["pk"]);
    let more = json!({"permissions": [numbers("authentik_core.enable_group_superuser")]});
    s.refused(Method::Patch, change, more).await;
}

#[tokio::test]
async fn nobody_becomes_somebody_with_more_rights() {
    let s = Scene::start().await;
    let admin = s.stand.admin.clone();
    let strong = s.stand.person("strong").await;
    s.stand.grant(strong.id, &["authentik_core.delete_group"], None).await;
    for target in [&admin, &strong] {
        let user = format!("/core/users/{}/", target.id);
        s.refused(Method::Post, format!("{user}set_password/"), json!({"password": "Ours-now-1"})).await;
        let hash = "pbkdf2_sha256$1000000$salt$c29tZXRoaW5nIHRoYXQgaXMgbm8gaGFzaCBhdCBhbGwuLi4=";
        s.refused(Method::Post, format!("{user}set_password_hash/"), json!({"password": hash})).await;
        s.refused(Method::Post, format!("{user}recovery/"), json!({})).await;
        s.refused(Method::Post, format!("{user}impersonate/"), json!({"reason": "curious"})).await;
        s.refused(Method::Patch, user.clone(), json!({"email": "desk@example.org"})).await;
        s.refused(Method::Patch, user.clone(), json!({"username": "somebody-else"})).await;
        let token = json!({"identifier": "theirs", "user": target.id, "intent": "api"});
        s.refused(Method::Post, "/core/tokens/".to_owned(), token).await;
        let name = if target.id == admin.id { "boss-api" } else { "strong-api" };
        let token = format!("/core/tokens/{name}/");
        s.refused(Method::Post, format!("{token}set_key/"), json!({"key": "a-key-the-desk-knows-and-nobody-else"}))
            .await;
        let view = s.stand.get(&s.desk, &format!("{token}view_key/")).await;
        assert_eq!(view.status, 403, "{}", view.body);
        // The name of a person is no way in.
        s.allowed(Method::Patch, user, json!({"name": "Renamed"}), 200).await;
        let mine = s.stand.make::<Token>(json!({"identifier": format!("desk-{name}"), "user": s.desk.id})).await;
        let path = format!("/core/tokens/{}/", mine.text("identifier"));
        s.refused(Method::Patch, path, json!({"user": target.id})).await;
    }
    let friend = format!("/core/users/{}/", s.friend.id);
    s.allowed(Method::Patch, friend.clone(), json!({"email": "new@example.org"}), 200).await;
    s.allowed(Method::Post, format!("{friend}set_password/"), json!({"password": "Given-by-desk-1"}), 204).await;
}

#[tokio::test]
async fn what_acts_later_or_for_others_cannot_be_used_to_gain_more() {
    let s = Scene::start().await;
    let content = "version: 1\nentries:\n- model: authentik_core.group\n  identifiers:\n    name: mine\n  attrs:\n    is_superuser: true\n";
    let instance = json!({"name": "mine", "content": content, "enabled": true});
    let path = || "/managed/blueprints/".to_owned();
    s.refused(Method::Post, path(), instance).await;
    let harmless = json!({"name": "mine", "content": "version: 1\nentries: []\n"});
    s.refused(Method::Post, path(), harmless.clone()).await;
    let kept = s.stand.make::<BlueprintInstance>(harmless).await;
    s.refused(Method::Patch, format!("{}{}/", path(), kept.pk), json!({"content": content})).await;
    s.refused(Method::Post, format!("{}{}/apply/", path(), kept.pk), json!({})).await;
    s.refused(Method::Post, format!("{}import/", path()), json!({"file": content})).await;
    for group in [&s.bosses, &s.below, &s.mighty_group] {
        let stage = json!({"name": "enrol", "create_users_group": group.pk});
        s.refused(Method::Post, "/stages/user_write/".to_owned(), stage).await;
    }
    let stage = json!({"name": "enrol", "create_users_group": s.plain.pk});
    s.allowed(Method::Post, "/stages/user_write/".to_owned(), stage, 201).await;
}

#[tokio::test]
async fn fields_that_the_server_keeps_are_passed_over() {
    let s = Scene::start().await;
    let before = s.stand.account(s.friend.id).await;
    let path = format!("/core/users/{}/", s.friend.id);
    let body = json!({"pk": 1, "uid": "x", "uuid": uuid::Uuid::nil(), "is_superuser": true, "date_joined": "2000-01-01T00:00:00Z",
                      "password": "pbkdf2$x", "security_epoch": 99, "last_updated": "2000-01-01T00:00:00Z"});
    s.allowed(Method::Patch, path.clone(), body, 200).await;
    let after = s.stand.account(s.friend.id).await;
    assert_eq!(
        (after.uuid, after.security_epoch, after.date_joined),
        (before.uuid, before.security_epoch, before.date_joined)
    );
    assert!(!s.stand.grants(s.friend.id).await.superuser);
    s.refused(Method::Patch, path, json!({"type": "internal_service_account"})).await;
    let managed =
        s.stand.post(&s.desk, "/core/groups/", json!({"name": "g", "pk": s.plain.pk, "num_pk": 1})).await.expect(201);
    assert_ne!(managed["pk"], s.plain.pk.as_str());
    assert!(s.stand.core.site.registry.find(User::MODEL).is_some());
}

#[tokio::test]
async fn who_refers_to_an_object_is_told_as_far_as_it_may_be_seen() {
    let s = Scene::start().await;
    let flow = s.stand.sample(s.stand.core.site.registry.find("authentik_flows.flow").unwrap(), 0, 0).await.unwrap();
    let stage = s.stand.core.site.registry.find("authentik_stages_dummy.dummystage").unwrap();
    let stage = s.stand.sample(stage, 0, 0).await.unwrap();
    let mut bindings = Vec::new();
    for order in [0, 1] {
        let body = json!({"target": flow.pk, "stage": stage.pk, "order": order});
        bindings.push(s.stand.make::<weir_flow::FlowStageBinding>(body).await);
    }
    let viewer = s.stand.person("viewer").await;
    s.stand.grant(viewer.id, &["authentik_stages_dummy.view_dummystage"], None).await;
    let path = format!("/stages/dummy/{}/used_by/", stage.pk);
    assert_eq!(s.stand.get(&viewer, &path).await.expect(200), json!([]));
    s.stand.grant(viewer.id, &["authentik_flows.view_flowstagebinding"], bindings.first()).await;
    let used = s.stand.get(&viewer, &path).await.expect(200);
    assert_eq!(used.as_array().map(Vec::len), Some(1), "{used}");
    assert_eq!(used[0]["pk"], bindings[0].pk.as_str());
    let all = s.stand.get(&s.stand.admin, &path).await.expect(200);
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    let listed = s.stand.get(&viewer, &format!("/flows/bindings/?target={}&search=", flow.pk)).await.expect(200);
    assert_eq!(listed["pagination"]["count"], 1);
}

#[tokio::test]
async fn what_a_deactivated_account_may_do_again_is_out_of_reach() {
    let s = Scene::start().await;
    let (chief, strong) = (s.stand.person("chief").await, s.stand.person("strong").await);
    s.stand.make::<Group>(json!({"name": "chiefs", "is_superuser": true, "users": [chief.id]})).await;
    s.stand.grant(strong.id, &["authentik_core.delete_group"], None).await;
    for target in [&chief, &strong] {
        let user = format!("/core/users/{}/", target.id);
        s.stand.patch(&s.stand.admin, &user, json!({"is_active": false})).await.expect(200);
        s.refused(Method::Post, format!("{user}set_password/"), json!({"password": "Ours-now-1"})).await;
        s.refused(Method::Post, format!("{user}recovery/"), json!({})).await;
        s.refused(Method::Post, format!("{user}impersonate/"), json!({"reason": "curious"})).await;
        for change in [json!({"email": "desk@example.org"}), json!({"username": "other"}), json!({"is_active": true})] {
            s.refused(Method::Patch, user.clone(), change).await;
        }
        let put = json!({"username": s.stand.account(target.id).await.username, "name": "x"});
        s.refused(Method::Put, user.clone(), put).await;
        s.refused(Method::Post, format!("/weir/users/{}/unlock/", target.id), json!({"reason": "please"})).await;
        assert!(!s.stand.account(target.id).await.is_active);
    }
    let friend = format!("/core/users/{}/", s.friend.id);
    s.allowed(Method::Patch, friend.clone(), json!({"is_active": false}), 200).await;
    s.allowed(Method::Patch, friend, json!({"is_active": true}), 200).await;
}

#[tokio::test]
async fn whoever_may_not_delete_an_account_does_not_let_it_run_out() {
    let s = Scene::start().await;
    let clerk = s.stand.person("clerk").await;
    s.stand.grant(clerk.id, &["authentik_core.view_user", "authentik_core.change_user"], None).await;
    let path = format!("/core/users/{}/", s.stand.admin.id);
    let ends = |ends: Value| json!({"attributes": {"goauthentik.io/user/expires": ends, "room": 5}});
    for attributes in [ends(json!(1)), json!({"attributes": {"goauthentik.io/user/delete-on-logout": true}})] {
        let answer = s.stand.patch(&clerk, &path, attributes).await;
        assert!(answer.status == 400 && answer.body.get("attributes").is_some(), "{}", answer.body);
    }
    s.stand.patch(&clerk, &path, json!({"attributes": {"room": 5}})).await.expect(200);
    s.allowed(Method::Patch, path.clone(), ends(json!(4_000_000_000_i64)), 200).await;
    // What stays as it was may be sent along.
    s.stand.patch(&clerk, &path, ends(json!(4_000_000_000_i64))).await.expect(200);
}

#[tokio::test]
async fn tokens_of_accounts_with_more_rights_open_no_more_than_they_did() {
    let s = Scene::start().await;
    let admin = s.stand.admin.clone();
    let body = json!({"identifier": "boss-mail", "user": admin.id, "intent": "app_password"});
    s.stand.make::<Token>(body).await;
    let path = "/core/tokens/boss-mail/".to_owned();
    for change in [json!({"intent": "api"}), json!({"expiring": false}), json!({"description": "harmless"})] {
        s.refused(Method::Patch, path.clone(), change).await;
    }
    s.refused(Method::Put, path.clone(), json!({"identifier": "boss-mail", "intent": "api", "user": admin.id})).await;
    let kept = s.stand.get(&admin, &path).await.expect(200);
    assert_eq!((&kept["intent"], &kept["description"]), (&json!("app_password"), &json!("")));
    let friend = s.stand.make::<Token>(json!({"identifier": "friends", "user": s.friend.id})).await;
    let path = format!("/core/tokens/{}/", friend.text("identifier"));
    s.allowed(Method::Patch, path, json!({"description": "looked after"}), 200).await;
}

#[tokio::test]
async fn connections_with_sources_let_nobody_in_who_may_do_more() {
    let s = Scene::start().await;
    let all = ["view", "add", "change", "delete"];
    let of = |model: &str| all.map(|action| format!("authentik_sources_oauth.{action}_{model}"));
    let permissions: Vec<String> = ["useroauthsourceconnection", "groupoauthsourceconnection"].map(of).concat();
    let permissions: Vec<&str> = permissions.iter().map(String::as_str).collect();
    s.stand.grant(s.desk.id, &permissions, None).await;
    let registry = &s.stand.core.site.registry;
    let source = registry.find("authentik_sources_oauth.oauthsource").unwrap();
    let source = s.stand.sample(source, 0, 0).await.unwrap();
    let mine = json!({"user": s.stand.admin.id, "source": source.pk, "identifier": "attacker"});
    let answer = s.stand.post(&s.desk, "/sources/user_connections/oauth/", mine).await;
    // Whoever makes a connection makes it for themselves, whatever the body says.
    if answer.status == 201 {
        assert_eq!(answer.body["user"], s.desk.id, "{}", answer.body);
    }
    let connection = registry.find("authentik_sources_oauth.useroauthsourceconnection").unwrap();
    let theirs = s.stand.sample(connection, s.stand.admin.id, 0).await.unwrap();
    let path = format!("/sources/user_connections/oauth/{}/", theirs.pk);
    s.refused(Method::Patch, path, json!({"identifier": "attacker"})).await;
    for group in [&s.bosses, &s.below, &s.mighty_group] {
        let body = json!({"source": source.pk, "identifier": group.name()});
        s.refused(Method::Post, "/sources/group_connections/oauth/".to_owned(), body).await;
    }
}

#[tokio::test]
async fn new_accounts_of_programs_and_their_groups_hold_nothing() {
    let s = Scene::start().await;
    let made = s.stand.post(&s.desk, "/core/users/service_account/", json!({"name": "robot", "create_group": true}));
    let made = made.await.expect(200);
    let robot = made["user_pk"].as_i64().unwrap();
    let grants = s.stand.grants(robot).await;
    assert!(grants.active && !grants.superuser && grants.global.is_empty() && grants.objects.is_empty());
    // An app password is no key of the interface.
    let key = made["token"].as_str().unwrap();
    assert_eq!(s.stand.ask(Some(key), Method::Get, "/core/users/me/", None).await.status, 403);
    for name in ["heads", "mighty ones", "desk"] {
        let taken = json!({"name": name, "create_group": true});
        s.refused(Method::Post, "/core/users/service_account/".to_owned(), taken).await;
    }
    for group in [&s.bosses, &s.mighty_group] {
        s.refused(Method::Post, format!("{}add_user/", s.group(group)), json!({"pk": robot})).await;
    }
    let friend = s.stand.person("clerk").await;
    s.stand.grant(friend.id, &["authentik_core.add_user", "authentik_core.add_token"], None).await;
    let body = json!({"name": "other", "create_group": true});
    assert_eq!(s.stand.post(&friend, "/core/users/service_account/", body).await.status, 403, "no right to add groups");
}

#[tokio::test]
async fn what_was_given_to_a_user_alone_is_hidden_and_stays() {
    let s = Scene::start().await;
    let user = format!("/core/users/{}/", s.friend.id);
    s.stand.post(&s.friend, "/core/tokens/", json!({"identifier": "own"})).await.expect(201);
    let view = || async { s.stand.get(&s.friend, "/core/tokens/own/view_key/").await.status };
    assert_eq!(view().await, 200, "who makes a token may read its key");
    for path in [user.clone(), "/core/users/me/".to_owned(), "/core/users/?username=friend".to_owned()] {
        let who = if path.ends_with("/me/") { &s.friend } else { &s.stand.admin };
        let shown = s.stand.get(who, &path).await.expect(200);
        assert!(!shown.to_string().contains("ak-managed-role"), "{shown}");
    }
    let shown = s.stand.get(&s.stand.admin, &user).await.expect(200);
    assert_eq!((&shown["roles"], &shown["roles_obj"]), (&json!([]), &json!([])));
    for change in [json!({"roles": []}), json!({"roles": [s.own_role.pk]}), json!({"name": "Friend"})] {
        s.stand.patch(&s.stand.admin, &user, change).await.expect(200);
        assert_eq!(view().await, 200);
    }
    let put = json!({"username": "friend", "name": "Friend", "email": "friend@example.org"});
    s.stand.put(&s.stand.admin, &user, put).await.expect(200);
    assert_eq!(view().await, 200);
    let shown = s.stand.get(&s.stand.admin, &user).await.expect(200);
    assert_eq!(shown["roles"], json!([]), "PUT without roles takes away the others");
}
