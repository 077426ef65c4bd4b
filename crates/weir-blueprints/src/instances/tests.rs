use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use weir_core::{ApiError, validate::Mode};
use weir_resource::{Actor, Stored, Unit};
use weir_store::test_support::test_db;

use super::{Startup, apply_all, apply_instance};
use crate::discover::Library;
use crate::shipped;
use crate::test_site::{Kinds, TestSite, VALIDATE, open, test_site};

const INSTANCE: &str = "authentik_blueprints.blueprintinstance";
const FLOW: &str = "authentik_flows.flow";
const DUMMY: &str = "authentik_stages_dummy.dummystage";

async fn start(site: &TestSite) -> Startup {
    apply_all(&site.site, site.environment()).await.unwrap()
}

async fn write(site: &TestSite, pk: Option<&str>, body: Value) -> Result<Stored, Value> {
    let kind = site.site.registry.find(INSTANCE).unwrap();
    let mut unit = Unit::new(&site.site, Actor::system());
    let body = body.as_object().unwrap().clone();
    let stored = match pk {
        Some(pk) => unit.update(kind, pk, &body, Mode::Patch).await,
        None => unit.create(kind, &body, None).await,
    };
    match stored {
        Ok(stored) => {
            unit.commit().await.unwrap();
            Ok(stored)
        }
        Err(error) => {
            assert_eq!(error.status(), 400);
            Err(error.body())
        }
    }
}

#[tokio::test]
async fn the_default_objects_are_made_at_the_first_start_only() {
    let site = test_site().await;
    let startup = start(&site).await;
    assert_eq!(startup.refused, []);
    let shipped = shipped::FILES.iter().filter(|(path, _)| !path.starts_with("example/")).count();
    assert_eq!(startup.applied.len(), shipped);
    assert_eq!(startup.applied[0], "System - Bootstrap");
    let revision = site.site.snapshot().revision;
    assert_eq!(start(&site).await, Startup::default());
    assert_eq!(site.site.snapshot().revision, revision);
}

#[tokio::test]
async fn the_default_objects_are_those_of_the_specification() {
    let site = test_site().await;
    start(&site).await;
    let flows = [
        ("default-authentication-flow", "authentication", "none", &[10, 20, 30, 100][..]),
        ("default-authenticator-static-setup", "stage_configuration", "require_authenticated", &[0]),
        ("default-authenticator-totp-setup", "stage_configuration", "require_authenticated", &[0]),
        ("default-authenticator-webauthn-setup", "stage_configuration", "require_authenticated", &[0]),
        ("default-invalidation-flow", "invalidation", "none", &[0]),
        ("default-password-change", "stage_configuration", "require_authenticated", &[0, 1]),
        ("default-provider-authorization-explicit-consent", "authorization", "require_authenticated", &[0]),
        ("default-provider-authorization-implicit-consent", "authorization", "require_authenticated", &[]),
        ("default-provider-invalidation-flow", "invalidation", "none", &[]),
        ("default-request", "stage_configuration", "require_authenticated", &[]),
        ("default-source-authentication", "authentication", "require_unauthenticated", &[0]),
        ("default-source-enrollment", "enrollment", "none", &[0, 1, 2]),
        ("default-source-pre-authentication", "stage_configuration", "none", &[]),
        ("default-user-settings-flow", "stage_configuration", "require_authenticated", &[20, 100]),
        ("initial-setup", "stage_configuration", "none", &[10, 20, 100]),
    ];
    let snapshot = site.site.snapshot();
    for (slug, designation, authentication, orders) in flows {
        let flow = site.get(FLOW, "slug", slug).await;
        assert_eq!((flow.text("designation"), flow.text("authentication")), (designation, authentication), "{slug}");
        let mut found: Vec<i64> = snapshot
            .of_model("authentik_flows.flowstagebinding")
            .filter(|binding| binding.text("target") == flow.pk)
            .map(|binding| binding.doc["order"].as_i64().unwrap())
            .collect();
        found.sort_unstable();
        assert_eq!(found, orders, "{slug}");
    }
    assert_eq!(snapshot.of_model(FLOW).count(), flows.len());
    let brand = site.get("authentik_brands.brand", "domain", "authentik-default").await;
    assert_eq!(brand.doc["default"], true);
    assert_eq!(brand.text("flow_authentication"), site.get(FLOW, "slug", "default-authentication-flow").await.pk);
    assert!(site.get("authentik_core.group", "name", "authentik Admins").await.doc["is_superuser"] == true);
    let role = site.get("authentik_rbac.role", "name", "authentik Read-only").await;
    assert_eq!(site.get("authentik_core.group", "name", "authentik Read-only").await.doc["roles"], json!([role.pk]));
    let sql = "SELECT permission FROM identity_role_permission WHERE role_id = $1 ORDER BY permission";
    let rows = site.site.db.read(sql, &[role.pk.clone().into()]).await.unwrap();
    assert_eq!(rows.len(), site.site.registry.all().count());
    assert!(rows.iter().all(|row| row.text("permission").unwrap().contains(".view_")));
}

#[tokio::test]
async fn what_an_administrator_changed_stays_changed_when_everything_is_applied_again() {
    let site = test_site().await;
    start(&site).await;
    site.good("entries: [{model: authentik_flows.flow, identifiers: {slug: default-authentication-flow}, attrs: {title: Ours}}]").await;
    let instance = site.get(INSTANCE, "name", "Default - Authentication flow").await;
    assert_eq!(
        (instance.text("status"), instance.text("path")),
        ("successful", "default/flow-default-authentication-flow.yaml")
    );
    let report = apply_instance(&site.site, Actor::system(), site.environment(), &instance.pk).await.unwrap();
    assert!(report.success);
    assert_eq!(site.get(FLOW, "slug", "default-authentication-flow").await.text("title"), "Ours");
}

#[tokio::test]
async fn a_build_that_serves_more_kinds_adds_what_was_skipped() {
    let site = open(test_db().await, Library::new(None), Kinds::Fewer, 0).await;
    start(&site).await;
    let TestSite { db, .. } = site;
    let grown = open(db, Library::new(None), Kinds::Served, 1 << 32).await;
    let startup = start(&grown).await;
    assert!(startup.refused.is_empty() && startup.applied.len() > 10);
    let stage = grown.get(VALIDATE, "name", "default-authentication-mfa-validation").await;
    let binding = grown.get("authentik_flows.flowstagebinding", "stage", stage.pk).await;
    assert_eq!(binding.doc["order"], 30);
    assert_eq!(start(&grown).await, Startup::default());
}

#[tokio::test]
async fn a_blueprint_switched_off_is_left_alone() {
    let site = test_site().await;
    start(&site).await;
    let instance = site.get(INSTANCE, "name", "Default - Out-of-box-experience flow").await;
    assert_eq!(instance.doc["metadata"]["labels"]["blueprints.goauthentik.io/system-oobe"], "true");
    write(&site, Some(&instance.pk), json!({"enabled": false})).await.unwrap();
    site.good("entries: [{model: authentik_flows.flow, state: absent, identifiers: {slug: initial-setup}}]").await;
    let TestSite { db, .. } = site;
    let again = open(db, Library::new(None), Kinds::More, 1 << 32).await;
    start(&again).await;
    assert!(again.find(FLOW, "slug", "initial-setup").await.is_none());
}

#[tokio::test]
async fn files_of_the_operator_are_applied_when_they_change_and_orphaned_when_they_go() {
    let folder: PathBuf = std::env::temp_dir().join(format!("weir-instances-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("mine.yaml");
    let text =
        |name: &str| format!("metadata: {{name: Mine}}\nentries: [{{model: {DUMMY}, identifiers: {{name: {name}}}}}]");
    fs::write(&file, text("one")).unwrap();
    let site = open(test_db().await, Library::new(Some(folder.clone())), Kinds::Served, 0).await;
    assert_eq!(start(&site).await.applied.last().map(String::as_str), Some("Mine"));
    assert_eq!(site.get(INSTANCE, "name", "Mine").await.doc["managed_models"], json!([DUMMY]));
    fs::write(&file, text("two")).unwrap();
    assert_eq!(start(&site).await.applied, ["Mine"]);
    assert!(site.find(DUMMY, "name", "two").await.is_some());
    fs::write(&file, "metadata: {name: Mine}\nentries: [{model: a.b, identifiers: {x: 1}}]").unwrap();
    let refused = start(&site).await.refused;
    assert!(refused[0].1.contains("There is no model a.b"));
    assert_eq!(site.get(INSTANCE, "name", "Mine").await.text("status"), "error");
    fs::remove_dir_all(&folder).unwrap();
    start(&site).await;
    assert_eq!(site.get(INSTANCE, "name", "Mine").await.text("status"), "orphaned");
}

#[tokio::test]
async fn files_may_refer_to_what_later_ones_make() {
    let folder: PathBuf = std::env::temp_dir().join(format!("weir-instances-order-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let stage = "{model: authentik_stages_password.passwordstage, identifiers: {name: pw}, attrs: {backends: [authentik.core.auth.InbuiltBackend], configure_flow: !Find [authentik_flows.flow, [slug, later]]}}";
    let flow =
        "{model: authentik_flows.flow, identifiers: {slug: later}, attrs: {name: L, title: L, designation: recovery}}";
    fs::write(folder.join("a.yaml"), format!("metadata: {{name: A}}\nentries: [{stage}]")).unwrap();
    fs::write(folder.join("b.yaml"), format!("metadata: {{name: B}}\nentries: [{flow}]")).unwrap();
    let site = open(test_db().await, Library::new(Some(folder.clone())), Kinds::Served, 0).await;
    let startup = start(&site).await;
    assert_eq!(startup.refused, []);
    assert!(startup.applied.ends_with(&["A".to_owned(), "B".to_owned()]), "{:?}", startup.applied);
    assert_eq!(site.get(INSTANCE, "name", "A").await.text("status"), "successful");
    let later = site.get(FLOW, "slug", "later").await;
    assert_eq!(
        site.get("authentik_stages_password.passwordstage", "name", "pw").await.text("configure_flow"),
        later.pk
    );
    fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn saving_an_instance_checks_what_it_would_apply() {
    let site = test_site().await;
    let refused = write(&site, None, json!({"name": "x"})).await.err().unwrap();
    assert_eq!(refused, json!({"non_field_errors": ["Either path or content must be set."]}));
    let refused = write(&site, None, json!({"name": "x", "path": "no/such.yaml"})).await.err().unwrap();
    assert_eq!(refused, json!({"path": ["There is no blueprint at this path."]}));
    let bad = "entries: [{model: a.b, identifiers: {x: 1}}]";
    let refused = write(&site, None, json!({"name": "x", "content": bad})).await.err().unwrap();
    assert_eq!(refused, json!({"content": ["Failed to validate blueprint", "- line 1: There is no model a.b"]}));
    let good = "metadata: {name: inner, labels: {a: b}}\nentries: [{model: authentik_stages_dummy.dummystage, identifiers: {name: d}}]";
    let stored = write(&site, None, json!({"name": "x", "content": good})).await.unwrap();
    assert_eq!(stored.doc["metadata"], json!({"name": "inner", "labels": {"a": "b"}}));
    assert_eq!(stored.text("status"), "unknown");
    assert!(site.find(DUMMY, "name", "d").await.is_none(), "only checked");
    let report = apply_instance(&site.site, Actor::system(), site.environment(), &stored.pk).await.unwrap();
    assert!(report.success && site.find(DUMMY, "name", "d").await.is_some());
    assert_eq!(site.get(INSTANCE, "name", "x").await.text("status"), "successful");
    let missing = apply_instance(&site.site, Actor::system(), site.environment(), "nothing").await;
    assert!(matches!(missing, Err(ApiError::NotFound(_))));
}

#[tokio::test]
async fn a_refused_instance_changes_nothing_but_its_status() {
    let site = test_site().await;
    let content = "entries:\n- {model: authentik_stages_dummy.dummystage, identifiers: {name: d}}\n- {model: authentik_stages_dummy.dummystage, state: must_created, identifiers: {name: !Context [name, other]}}";
    let stored = write(&site, None, json!({"name": "x", "content": content})).await.unwrap();
    write(&site, Some(&stored.pk), json!({"content": format!("{content}\n")})).await.unwrap();
    site.good("entries: [{model: authentik_stages_dummy.dummystage, identifiers: {name: other}}]").await;
    let report = apply_instance(&site.site, Actor::system(), site.environment(), &stored.pk).await.unwrap();
    assert!(!report.success);
    assert!(site.find(DUMMY, "name", "d").await.is_none());
    let instance = site.get(INSTANCE, "name", "x").await;
    assert_eq!((instance.text("status"), instance.text("last_applied_hash")), ("error", ""));
    let context = Map::from_iter([("name".to_owned(), Value::from("free"))]);
    write(&site, Some(&stored.pk), json!({"context": context})).await.unwrap();
    assert!(apply_instance(&site.site, Actor::system(), site.environment(), &stored.pk).await.unwrap().success);
}

#[tokio::test]
async fn blueprints_inside_blueprints_are_limited() {
    let site = test_site().await;
    let mut accepted = Vec::new();
    for levels in 1..=6 {
        let mut text = "entries: []".to_owned();
        for level in 0..levels {
            let name = format!("{level} of {levels}");
            let entry = json!({"model": INSTANCE, "identifiers": {"name": name}, "attrs": {"content": text}});
            text = format!("entries: [{entry}]");
        }
        accepted.push(site.apply(&text).await.success);
    }
    assert_eq!(accepted, [true, true, true, false, false, false]);
    assert!(site.apply("entries: []").await.success);
}
