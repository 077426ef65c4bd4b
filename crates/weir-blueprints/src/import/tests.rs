use serde_json::{Map, Value, json};
use weir_resource::{Actor, policy_target_uuid};

use super::{Request, validate};
use crate::tags::Source;
use crate::test_site::test_site;

const FLOW: &str = "authentik_flows.flow";
const DUMMY: &str = "authentik_stages_dummy.dummystage";

fn flow(slug: &str, more: &str) -> String {
    format!(
        "- model: authentik_flows.flow\n  id: {slug}\n  identifiers: {{slug: {slug}}}\n  \
         attrs: {{name: F, title: T, designation: authentication}}\n{more}"
    )
}

fn entries(body: &str) -> String {
    format!("version: 1\nentries:\n{body}")
}

#[tokio::test]
async fn entries_create_and_update_objects() {
    let site = test_site().await;
    site.good(&entries(&flow("one", "- model: authentik_stages_dummy.dummystage\n  identifiers: {name: d}\n"))).await;
    let one = site.get(FLOW, "slug", "one").await;
    assert_eq!((one.text("name"), one.text("denied_action")), ("F", "message_continue"));
    assert!(site.find(DUMMY, "name", "d").await.is_some());
    site.good(&entries("- {model: authentik_flows.flow, identifiers: {slug: one}, attrs: {name: G}}")).await;
    let again = site.get(FLOW, "slug", "one").await;
    assert_eq!((again.text("name"), again.text("title"), &again.pk), ("G", "T", &one.pk));
}

#[tokio::test]
async fn applying_twice_changes_nothing_and_writes_nothing() {
    let site = test_site().await;
    let text = entries(&flow("one", ""));
    site.good(&text).await;
    let revision = site.site.snapshot().revision;
    let report = site.good(&text).await;
    assert_eq!(site.site.snapshot().revision, revision);
    assert!(report.logs.iter().any(|line| line.event == "Object is as it should be"));
}

#[tokio::test]
async fn the_states_decide_what_happens_to_an_object() {
    let site = test_site().await;
    let entry = |state: &str, title: &str| {
        entries(&format!(
            "- {{model: authentik_flows.flow, state: {state}, identifiers: {{slug: s}}, \
             attrs: {{name: N, title: {title}, designation: recovery}}}}"
        ))
    };
    site.good(&entry("absent", "none")).await;
    site.good(&entry("must_created", "first")).await;
    assert_eq!(site.bad(&entry("must_created", "second")).await, "line 3: authentik_flows.flow N exists already");
    site.good(&entry("created", "third")).await;
    assert_eq!(site.get(FLOW, "slug", "s").await.text("title"), "first");
    site.good(&entry("present", "fourth")).await;
    assert_eq!(site.get(FLOW, "slug", "s").await.text("title"), "fourth");
    site.good(&entry("absent", "fifth")).await;
    assert!(site.find(FLOW, "slug", "s").await.is_none());
}

#[tokio::test]
async fn one_invalid_entry_undoes_all() {
    let site = test_site().await;
    for (entry, problem) in [
        ("- {model: a.b, identifiers: {x: 1}}", "There is no model a.b"),
        ("- {model: authentik_flows.flow}", "An entry needs identifiers"),
        ("- {model: authentik_flows.flow, identifiers: {nothing: 1}}", "authentik_flows.flow has no field nothing"),
        (
            "- {model: authentik_flows.flow, identifiers: {slug: x}, attrs: {title: t, name: '', designation: none}}",
            "name: This field may not be blank. designation: \"none\" is not a valid choice.",
        ),
        ("- {model: authentik_stages_dummy.dummystage, identifiers: {name: !KeyOf nope}}", "!KeyOf nope: no entry"),
        (
            "- {model: authentik_flows.flowstagebinding, identifiers: {target: !KeyOf one, stage: !KeyOf one, order: 0}}",
            "object does not exist",
        ),
        ("- {model: authentik_stages_dummy.dummystage, identifiers: {name: !Env HOME}}", "only in blueprints on"),
    ] {
        let problem_found = site.bad(&entries(&flow("one", entry))).await;
        assert!(problem_found.contains(problem) && problem_found.starts_with("line 7: "), "{problem_found}");
        assert!(site.find(FLOW, "slug", "one").await.is_none());
        assert!(site.site.snapshot().is_empty());
    }
    for text in ["", "a: b: c", "version: 2", "entries: 1"] {
        let problem = site.bad(text).await;
        assert!(problem.starts_with("line 1: "), "{text:?}: {problem}");
    }
}

#[tokio::test]
async fn validation_is_a_run_that_is_undone() {
    let site = test_site().await;
    let request =
        |text: String| Request { text, source: Source::Submitted, context: Map::new(), overrides: Map::new() };
    let good = request(entries(&flow("one", "")));
    let report = validate(&site.site, Actor::system(), site.environment(), &good).await.unwrap();
    assert!(report.success && site.site.snapshot().is_empty());
    let bad = request("entries: [{model: a.b, identifiers: {x: 1}}]".to_owned());
    assert!(!validate(&site.site, Actor::system(), site.environment(), &bad).await.unwrap().success);
    site.good(&good.text).await;
}

#[tokio::test]
async fn later_entries_see_earlier_ones() {
    let site = test_site().await;
    let text = entries(&flow(
        "one",
        "- model: authentik_stages_dummy.dummystage\n  id: stage\n  identifiers: {name: d}\n\
         - model: authentik_flows.flowstagebinding\n  id: binding\n  identifiers: \
           {target: !Find [authentik_flows.flow, [slug, one]], stage: !KeyOf stage, order: '5'}\n\
         - model: authentik_policies_expression.expressionpolicy\n  id: policy\n  identifiers: {name: p}\n  attrs: {expression: return True}\n\
         - model: authentik_policies.policybinding\n  identifiers: {target: !KeyOf binding, policy: !KeyOf policy, order: 0}\n\
         - model: authentik_flows.flow\n  identifiers: {slug: two}\n  attrs:\n    name: \
           !AtIndex [!FindObject [authentik_flows.flow, [slug, one]], title]\n    title: x\n    designation: recovery\n",
    ));
    site.good(&text).await;
    let revision = site.site.snapshot().revision;
    site.good(&text).await;
    assert_eq!(site.site.snapshot().revision, revision, "bindings are found again by their identifiers");
    let binding = site.get("authentik_flows.flowstagebinding", "order", 5).await;
    let guard = site.get("authentik_policies.policybinding", "order", 0).await;
    assert_eq!(guard.text("target"), binding.pk);
    assert_eq!(site.get(FLOW, "slug", "two").await.text("name"), "T");
}

#[tokio::test]
async fn a_given_key_is_kept_found_and_remapped() {
    let site = test_site().await;
    let key = "11111111-2222-4333-8444-555555555555";
    let with_key = |more: &str| {
        entries(&format!(
            "- {{model: authentik_stages_dummy.dummystage, identifiers: {{pk: {key}, name: d}}}}\n{}\
             - {{model: authentik_flows.flowstagebinding, identifiers: {{target: !KeyOf one, stage: {key}, order: 0}}}}\n{more}",
            flow("one", "")
        ))
    };
    site.good(&with_key("")).await;
    assert_eq!(site.get(DUMMY, "name", "d").await.pk, key);
    // Found by its key, though it is called otherwise now.
    site.good(&entries(&format!("- {{model: {DUMMY}, identifiers: {{pk: {key}, name: other}}}}"))).await;
    assert_eq!(site.get(DUMMY, "name", "other").await.pk, key);

    let other = test_site().await;
    other.good(&entries("- {model: authentik_stages_dummy.dummystage, identifiers: {name: d}}")).await;
    other.good(&with_key("")).await;
    let stage = other.get(DUMMY, "name", "d").await;
    assert_ne!(stage.pk, key);
    assert_eq!(other.get("authentik_flows.flowstagebinding", "order", 0).await.text("stage"), stage.pk);
}

#[tokio::test]
async fn look_ups_compare_in_many_ways() {
    let site = test_site().await;
    site.good(&entries(&flow(
        "One",
        "- {model: authentik_core.group, id: g, identifiers: {name: Staff}, attrs: {attributes: {a: {b: 1, c: 2}}}}\n\
         - {model: authentik_stages_dummy.dummystage, id: d, identifiers: {name: Dummy one}}\n\
         - {model: authentik_flows.flowstagebinding, identifiers: {target: !KeyOf One, stage: !KeyOf d, order: 3}}\n",
    )))
    .await;
    for (query, found) in [
        ("[authentik_flows.flow, [slug__iexact, one]]", true),
        ("[authentik_flows.flow, [slug, one]]", false),
        ("[authentik_flows.flow, [slug__startswith, O], [slug__endswith, e]]", true),
        ("[authentik_flows.flow, [slug__in, [x, One]]]", true),
        ("[authentik_flows.flow, [title__icontains, t]]", true),
        ("[authentik_flows.flow, [title__contains, x]]", false),
        ("[authentik_flows.flow, [compatibility_mode, 'false']]", true),
        ("[authentik_flows.flowstagebinding, [target__slug, One], [order, '3']]", true),
        ("[authentik_flows.flowstagebinding, [target__slug, Two]]", false),
        ("[authentik_flows.flowstagebinding, [stage__name, Dummy one]]", true),
        ("[authentik_core.group, [name, Staff]]", true),
        ("[authentik_core.group, [name, staff]]", false),
        ("[authentik_core.group, [is_superuser, false]]", true),
        ("[authentik_core.group, [attributes, {a: {b: 1}}]]", true),
        ("[authentik_core.group, [attributes, {a: {b: 2}}]]", false),
        ("[authentik_core.group, [attributes__a__c, 2]]", true),
        ("[authentik_core.group, [name, Staff], [attributes__a__c, 3]]", false),
    ] {
        let text = format!(
            "context: {{}}\nentries:\n- model: authentik_stages_dummy.dummystage\n  state: absent\n  conditions: [!If [!Find {query}]]\n  identifiers: {{name: nobody}}\n- model: a.b\n  conditions: [!Condition [NOR, !Find {query}]]\n  identifiers: {{x: 1}}"
        );
        assert_eq!(site.apply(&text).await.success, found, "{query}");
    }
    let key = site.get(FLOW, "slug", "One").await.pk;
    let bindable = policy_target_uuid(key.parse().unwrap()).to_string();
    let by_bindable = format!("[authentik_flows.flowstagebinding, [target, {bindable}]]");
    let text = format!("entries: [{{model: a.b, conditions: [!Condition [NOR, !Find {by_bindable}]]}}]");
    site.good(&text).await;
    assert!(site.bad("entries: [{model: !Find [a.b, [x, 1]]}]").await.contains("There is no model a.b"));
}

#[tokio::test]
async fn users_tokens_and_roles_take_what_only_blueprints_may_give() {
    let site = test_site().await;
    let text = entries(
        "- {model: authentik_rbac.role, id: role, identifiers: {name: R}, attrs: {permissions: [authentik_flows.view_flow]}}\n\
         - {model: authentik_core.user, id: user, identifiers: {username: u}, attrs: {name: U, password: s3cret, permissions: [authentik_flows.add_flow]}}\n\
         - {model: authentik_core.token, id: token, identifiers: {identifier: t}, attrs: {user: !KeyOf user, intent: api, key: a-key-that-is-long-enough-for-anybody-to-accept}}\n\
         - model: authentik_flows.flow\n  identifiers: {slug: f}\n  attrs: {name: N, title: T, designation: recovery}\n  permissions:\n  - {permission: view_flow, user: !KeyOf user}\n  - {permission: authentik_flows.change_flow, role: !KeyOf role}\n",
    );
    let report = site.good(&text).await;
    let shown = format!("{:?}", report.logs);
    assert!(!shown.contains("s3cret") && !shown.contains("a-key-that"));
    let flow = site.get(FLOW, "slug", "f").await;
    let user = site.get("authentik_core.user", "username", "u").await;
    let grants = weir_identity::Grants::load(&site.site.db, user.int_pk()).await.unwrap();
    assert!(grants.may("authentik_flows.add_flow", None));
    assert!(grants.may("authentik_flows.view_flow", Some(&flow.pk)) && !grants.may("authentik_flows.view_flow", None));
    let hash = weir_identity::accounts::password_hash(&site.site.db, user.int_pk()).await.unwrap().unwrap();
    assert!(hash.contains("argon2"));
    site.good(&text).await;
    let again = weir_identity::accounts::password_hash(&site.site.db, user.int_pk()).await.unwrap().unwrap();
    assert_eq!(hash, again, "a password that is right already is left alone");
    site.good("entries: [{model: authentik_blueprints.metausersetpassword, attrs: {user_identifiers: {username: u}, raw_password: other}}]").await;
    let changed = weir_identity::accounts::password_hash(&site.site.db, user.int_pk()).await.unwrap().unwrap();
    assert_ne!(hash, changed);
    let wrong = "entries: [{model: authentik_rbac.role, identifiers: {name: R}, attrs: {permissions: [no.such]}}]";
    assert!(site.bad(wrong).await.contains("no.such"));
    let nobody = "entries: [{model: authentik_blueprints.metausersetpassword, attrs: {user_identifiers: {username: x}, raw_password: y}}]";
    assert!(site.bad(nobody).await.contains("There is no such user"));
}

#[tokio::test]
async fn misspelt_fields_are_told() {
    let site = test_site().await;
    let report = site
        .good(
            "entries: [{model: authentik_stages_dummy.dummystage, identifiers: {name: d}, attrs: {trow_error: true}}]",
        )
        .await;
    let warnings: Vec<_> = report.logs.iter().filter(|line| line.level == "warning").collect();
    assert_eq!(warnings[0].event, "authentik_stages_dummy.dummystage has no field trow_error, it is ignored");
    let body = report.body();
    assert_eq!(body["success"], true);
    assert_eq!(body["logs"][0]["log_level"], "warning");
    assert_eq!(body["logs"][0]["timestamp"], "2026-05-01T12:00:00.000000Z");
}

#[tokio::test]
async fn context_of_the_import_steers_entries() {
    let site = test_site().await;
    let text = "context: {name: default}\nentries: [{model: authentik_stages_dummy.dummystage, identifiers: {name: !Context name}}]";
    site.good(text).await;
    let given = Map::from_iter([("name".to_owned(), Value::from("given"))]);
    assert!(site.apply_with(text, given).await.success);
    assert!(site.find(DUMMY, "name", "default").await.is_some() && site.find(DUMMY, "name", "given").await.is_some());
    let models = "entries: [{model: authentik_stages_dummy.dummystage, identifiers: {name: !AtIndex [!Context goauthentik.io/rbac/models, dummystage]}}]";
    site.good(models).await;
    assert!(site.find(DUMMY, "name", "authentik_stages_dummy").await.is_some());
}

#[tokio::test]
async fn kinds_that_nobody_may_write_are_refused() {
    let site = test_site().await;
    let refused =
        site.bad("entries: [{model: authentik_policies_reputation.reputation, identifiers: {identifier: x}}]").await;
    assert!(refused.contains("cannot be"), "{refused}");
}

#[tokio::test]
async fn other_blueprints_are_applied_first() {
    let site = test_site().await;
    let apply = |name: &str, required: bool| {
        format!(
            "entries: [{{model: authentik_blueprints.metaapplyblueprint, attrs: {{identifiers: {{name: {name}}}, required: {required}}}}}]"
        )
    };
    site.good(&apply("Default - Invalidation flow", true)).await;
    assert!(site.find(FLOW, "slug", "default-invalidation-flow").await.is_some());
    site.good(&apply("Nothing", false)).await;
    assert!(site.bad(&apply("Nothing", true)).await.contains("There is no blueprint {\"name\":\"Nothing\"}"));
    let instance = |name: &str, content: Value| {
        let body = json!({"model": "authentik_blueprints.blueprintinstance", "identifiers": {"name": name}, "attrs": {"content": content}});
        format!("entries: [{body}]")
    };
    site.good(&instance(
        "mine",
        json!("entries: [{model: authentik_stages_dummy.dummystage, identifiers: {name: of mine}}]"),
    ))
    .await;
    assert!(site.find(DUMMY, "name", "of mine").await.is_none());
    site.good(&apply("mine", true)).await;
    assert!(site.find(DUMMY, "name", "of mine").await.is_some());
}

/// A flow with a stage, a policy and what binds them, each entry before what it refers to.
const BACKWARDS: &str = "
- {model: authentik_policies.policybinding, identifiers: {target: !KeyOf binding, policy: !Find [authentik_policies_expression.expressionpolicy, [name, guard]], order: 0}}
- {model: authentik_flows.flowstagebinding, id: binding, identifiers: {target: !Find [authentik_flows.flow, [slug, mine]], stage: !KeyOf stage, order: 10}}
- {model: authentik_stages_password.passwordstage, id: stage, identifiers: {name: pw}, attrs: {backends: [authentik.core.auth.InbuiltBackend], configure_flow: !Find [authentik_flows.flow, [slug, other]]}}
- {model: authentik_flows.flow, identifiers: {slug: mine}, attrs: {name: !AtIndex [!FindObject [authentik_flows.flow, [slug, other]], title], title: T, designation: authentication}}
- {model: authentik_policies_expression.expressionpolicy, identifiers: {name: guard}, attrs: {expression: return True}}
- {model: authentik_flows.flow, identifiers: {slug: !Format [other]}, attrs: {name: O, title: Other, designation: recovery}}
";

#[tokio::test]
async fn what_an_entry_refers_to_may_come_later() {
    let site = test_site().await;
    site.good(&entries(BACKWARDS)).await;
    let other = site.get(FLOW, "slug", "other").await;
    assert_eq!(
        site.get("authentik_stages_password.passwordstage", "name", "pw").await.text("configure_flow"),
        other.pk
    );
    let mine = site.get(FLOW, "slug", "mine").await;
    assert_eq!(mine.text("name"), "Other");
    let binding = site.get("authentik_flows.flowstagebinding", "order", 10).await;
    assert_eq!(binding.text("target"), mine.pk);
    assert_eq!(site.get("authentik_policies.policybinding", "order", 0).await.text("target"), binding.pk);
    let revision = site.site.snapshot().revision;
    let forwards = BACKWARDS.lines().rev().collect::<Vec<_>>().join("\n");
    site.good(&entries(&forwards)).await;
    assert_eq!(site.site.snapshot().revision, revision, "the order of the entries makes no difference");
}

#[tokio::test]
async fn a_reference_to_nothing_is_empty_and_told_unless_the_blueprint_says_what_then() {
    let site = test_site().await;
    let stage = |state: &str, flow: &str| {
        entries(&format!(
            "- {{model: authentik_stages_password.passwordstage, state: {state}, identifiers: {{name: pw}}, \
             attrs: {{backends: [authentik.core.auth.InbuiltBackend], configure_flow: {flow}}}}}"
        ))
    };
    let find = "!Find [authentik_flows.flow, [slug, later]]";
    let gap = ["configure_flow: There is no authentik_flows.flow with slug \"later\"."];
    let remarks = |report: &super::Report| {
        let told: Vec<String> =
            report.logs.iter().filter(|line| line.level == "warning").map(|line| line.event.clone()).collect();
        assert_eq!(report.has_gaps, !told.is_empty());
        told
    };
    let report = site.good(&stage("present", find)).await;
    assert_eq!(remarks(&report), gap);
    assert_eq!(report.logs.iter().find(|line| line.level == "warning").unwrap().attributes["line"], 3);
    assert!(remarks(&site.good(&stage("absent", find)).await).is_empty());
    for said in [
        &format!("!If [{find}, {find}, null]"),
        "!AtIndex [!FindObject [authentik_flows.flow, [slug, later]], pk, null]",
    ] {
        assert!(remarks(&site.good(&stage("present", said)).await).is_empty(), "{said}");
    }
    assert_eq!(
        site.get("authentik_stages_password.passwordstage", "name", "pw").await.doc["configure_flow"],
        Value::Null
    );
    assert!(remarks(&site.good(&stage("created", find)).await).is_empty());
    assert_eq!(remarks(&site.good(&stage("present", find)).await), gap);
    // Elsewhere than in references a search may come to nothing.
    site.good(&entries(&format!(
        "- {{model: authentik_core.group, identifiers: {{name: g}}, attrs: {{attributes: {{flow: {find}}}}}}}"
    )))
    .await;
    assert_eq!(site.get("authentik_core.group", "name", "g").await.doc["attributes"], json!({"flow": null}));
}

#[tokio::test]
async fn entries_that_refer_to_each_other_in_a_circle_are_refused() {
    let site = test_site().await;
    let group = |name: &str, parent: &str| {
        format!(
            "- {{model: authentik_core.group, id: {name}, identifiers: {{name: {name}}}, attrs: {{parents: [!KeyOf {parent}]}}}}\n"
        )
    };
    let problem = site.bad(&entries(&format!("{}{}", group("a", "b"), group("b", "a")))).await;
    assert_eq!(problem, "line 4: !KeyOf a: no entry was applied under this id");
}
