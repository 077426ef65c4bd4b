use weir_resource::{Actor, Unit};
use weir_store::{
    jobs::schedules::{self, NewSchedule},
    test_support::test_db,
};

use super::{export_all, export_flow};
use crate::discover::Library;
use crate::instances::apply_all;
use crate::test_site::{Kinds, TestSite, open, test_site};

async fn flow(site: &TestSite, slug: &str) -> String {
    let flow = site.get("authentik_flows.flow", "slug", slug).await;
    export_flow(&mut Unit::new(&site.site, Actor::system()), &flow).await.unwrap()
}

async fn all(site: &TestSite) -> String {
    export_all(&mut Unit::new(&site.site, Actor::system())).await.unwrap()
}

const SMALL: &str = "
entries:
- {model: authentik_flows.flow, id: other, identifiers: {slug: other}, attrs: {name: O, title: O, designation: recovery}}
- {model: authentik_flows.flow, id: flow, identifiers: {slug: mine}, attrs: {name: Mine, title: 'yes', designation: authentication}}
- {model: authentik_core.group, id: group, identifiers: {name: Staff}}
- {model: authentik_policies_expression.expressionpolicy, id: policy, identifiers: {name: p}, attrs: {expression: \"a = 1\\nreturn a\\n\"}}
- {model: authentik_stages_prompt.prompt, id: prompt, identifiers: {name: field}, attrs: {field_key: k, label: L, type: text}}
- {model: authentik_stages_prompt.promptstage, id: ask, identifiers: {name: ask}, attrs: {fields: [!KeyOf prompt], validation_policies: [!KeyOf policy]}}
- {model: authentik_stages_password.passwordstage, id: pw, identifiers: {name: pw}, attrs: {backends: [authentik.core.auth.InbuiltBackend], configure_flow: !KeyOf other}}
- {model: authentik_flows.flowstagebinding, identifiers: {target: !KeyOf flow, stage: !KeyOf ask, order: 20}}
- {model: authentik_flows.flowstagebinding, id: first, identifiers: {target: !KeyOf flow, stage: !KeyOf pw, order: 10}}
- {model: authentik_policies.policybinding, identifiers: {target: !KeyOf first, policy: !KeyOf policy, order: 0}, attrs: {negate: true}}
- {model: authentik_policies.policybinding, identifiers: {target: !KeyOf flow, group: !KeyOf group, order: 1}}
";

#[tokio::test]
async fn a_flow_is_exported_with_all_it_needs() {
    let site = test_site().await;
    site.good(SMALL).await;
    let expected = r#"version: 1
metadata:
  name: Export of flow mine
entries:
  - model: authentik_flows.flow
    id: flow-mine
    identifiers:
      slug: mine
    attrs:
      name: Mine
      title: "yes"
      designation: authentication
  - model: authentik_stages_password.passwordstage
    id: passwordstage-pw
    identifiers:
      name: pw
    attrs:
      backends:
        - authentik.core.auth.InbuiltBackend
      configure_flow: !Find [authentik_flows.flow, [slug, other]]
  - model: authentik_flows.flowstagebinding
    id: flowstagebinding
    identifiers:
      target: !KeyOf flow-mine
      order: 10
      stage: !KeyOf passwordstage-pw
  - model: authentik_stages_prompt.prompt
    id: prompt-field
    identifiers:
      name: field
    attrs:
      field_key: k
      label: L
      type: text
  - model: authentik_policies_expression.expressionpolicy
    id: expressionpolicy-p
    identifiers:
      name: p
    attrs:
      expression: |
        a = 1
        return a
  - model: authentik_stages_prompt.promptstage
    id: promptstage-ask
    identifiers:
      name: ask
    attrs:
      fields:
        - !KeyOf prompt-field
      validation_policies:
        - !KeyOf expressionpolicy-p
  - model: authentik_flows.flowstagebinding
    identifiers:
      target: !KeyOf flow-mine
      order: 20
      stage: !KeyOf promptstage-ask
  - model: authentik_policies.policybinding
    identifiers:
      target: !KeyOf flowstagebinding
      order: 0
      policy: !KeyOf expressionpolicy-p
    attrs:
      negate: true
  - model: authentik_policies.policybinding
    identifiers:
      target: !KeyOf flow-mine
      order: 1
      group: !Find [authentik_core.group, [name, Staff]]
"#;
    assert_eq!(flow(&site, "mine").await, expected);
}

#[tokio::test]
async fn an_exported_flow_can_be_imported_elsewhere_and_changes_nothing_at_home() {
    let site = test_site().await;
    site.good(SMALL).await;
    let text = flow(&site, "mine").await;
    let revision = site.site.snapshot().revision;
    site.good(&text).await;
    assert_eq!(site.site.snapshot().revision, revision);
    let elsewhere = test_site().await;
    elsewhere.good("entries: [{model: authentik_core.group, identifiers: {name: Staff}}, {model: authentik_flows.flow, identifiers: {slug: other}, attrs: {name: O, title: O, designation: recovery}}]").await;
    elsewhere.good(&text).await;
    assert_eq!(flow(&elsewhere, "mine").await, text);
}

#[tokio::test]
async fn the_whole_configuration_can_be_moved() {
    let site = test_site().await;
    apply_all(&site.site, site.environment()).await.unwrap();
    site.good(SMALL).await;
    let text = all(&site).await;
    let revision = site.site.snapshot().revision;
    site.good(&text).await;
    assert_eq!(site.site.snapshot().revision, revision);
    let elsewhere = test_site().await;
    elsewhere.good(&text).await;
    let there = all(&elsewhere).await;
    let difference = text.lines().zip(there.lines()).position(|(here, there)| here != there);
    assert_eq!(difference, None, "{:?}", text.lines().skip(difference.unwrap_or(0)).take(6).collect::<Vec<_>>());
    assert_eq!(there.len(), text.len());
    assert!(!text.contains("model: authentik_blueprints.blueprintinstance"));
    assert!(text.contains("authentik_flows.view_flow"));
}

#[tokio::test]
async fn what_is_referred_to_comes_first_whatever_it_is_called() {
    let site = test_site().await;
    site.good(
        "entries:\n- {model: authentik_core.group, id: z, identifiers: {name: Z}}\n\
         - {model: authentik_core.group, identifiers: {name: B}, attrs: {parents: [!KeyOf z]}}",
    )
    .await;
    let text = all(&site).await;
    assert!(text.find("name: Z").unwrap() < text.find("name: B").unwrap(), "{text}");
    assert!(text.contains("parents:\n        - !KeyOf group-z"));
}

#[tokio::test]
async fn references_in_circles_are_closed_by_a_second_entry() {
    let site = open(test_db().await, Library::new(None), Kinds::More, 0).await;
    let entry = |name: &str, attrs: &str| {
        format!("- {{model: weir_tests.circlestage, id: {name}, identifiers: {{name: {name}}}, attrs: {{{attrs}}}}}\n")
    };
    let (a, b, circle) = (entry("a", ""), entry("b", "next: !KeyOf a"), entry("a", "next: !KeyOf b"));
    site.good(&format!("entries:\n{a}{b}{circle}")).await;
    let text = all(&site).await;
    assert_eq!(text.matches("next: !KeyOf").count(), 2, "{text}");
    let elsewhere = open(test_db().await, Library::new(None), Kinds::More, 0).await;
    elsewhere.good(&text).await;
    assert_eq!(all(&elsewhere).await, text);
}

/// A schedule as the program makes it when it starts.
async fn scheduled(site: &TestSite) {
    let mut tx = site.site.db.tx();
    let new = NewSchedule::new("clean", "clean_expired", "7 * * * *");
    schedules::upsert(&mut tx, site.site.clock.now(), &new).await.unwrap();
    tx.commit().await.unwrap();
}

fn schedule(rest: &str) -> String {
    format!("entries:\n- {{model: authentik_tasks_schedules.schedule, identifiers: {{identifier: clean}}, {rest}}}")
}

#[tokio::test]
async fn schedules_are_moved_with_when_they_run_and_whether_they_wait() {
    let site = test_site().await;
    scheduled(&site).await;
    let changed = schedule("attrs: {crontab: '0 3 * * *', paused: true}");
    let report = site.good(&changed).await;
    assert!(report.logs.iter().any(|line| line.event == "Object updated"), "{report:?}");
    let text = all(&site).await;
    let elsewhere = test_site().await;
    scheduled(&elsewhere).await;
    elsewhere.good(&text).await;
    assert_eq!(all(&elsewhere).await, text);
    let again = elsewhere.good(&changed).await;
    assert!(again.logs.iter().all(|line| line.event != "Object updated"), "{again:?}");
    let known = schedules::all(&mut elsewhere.site.db.tx()).await.unwrap();
    assert_eq!((known[0].crontab.as_str(), known[0].paused), ("0 3 * * *", true));
    let told = elsewhere.site.db.read("SELECT context FROM audit_event WHERE app = 'authentik_tasks_schedules'", &[]);
    let told = told.await.unwrap();
    assert_eq!(told[0].json("context").unwrap()["diff"]["paused"]["new_value"], true);
}

#[tokio::test]
async fn blueprints_neither_make_nor_remove_schedules() {
    let site = test_site().await;
    let unknown = site.good(&schedule("attrs: {paused: true}")).await;
    assert!(unknown.logs.iter().any(|line| line.level == "warning" && line.event.contains("no schedule")));
    scheduled(&site).await;
    for refused in ["state: absent", "state: must_created", "attrs: {crontab: nonsense}", "attrs: {paused: 4}"] {
        site.bad(&schedule(refused)).await;
    }
    site.good(&schedule("state: created, attrs: {paused: true}")).await;
    assert!(!schedules::all(&mut site.site.db.tx()).await.unwrap()[0].paused);
}
