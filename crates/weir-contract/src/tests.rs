use crate::{Facts, Method, computed, differences, extensions, find, openapi, operations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use weir_core::{Family, Registry, Resource, ResourceType};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Deny {
    /// Unique among stages.
    #[schemars(length(min = 1))]
    name: String,
    /// Shown to the person.
    #[serde(default)]
    deny_message: String,
}
impl Resource for Deny {
    const MODEL: &'static str = "authentik_stages_deny.denystage";
    const PATH: &'static str = "stages/deny";
    const SCHEMA: &'static str = "DenyStage";
    const VERBOSE: &'static str = "Deny Stage";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}

/// As [`Deny`], wrong in several ways.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Wrong {
    name: String,
    deny_message: Option<i32>,
    #[serde(default)]
    invented: bool,
}
impl Resource for Wrong {
    const MODEL: &'static str = "authentik_stages_deny.denystage";
    const PATH: &'static str = "stages/deny";
    const SCHEMA: &'static str = "DenyStage";
    const VERBOSE: &'static str = "Deny Stage";
    const FAMILY: Option<Family> = Some(Family::Stage);
}

#[test]
fn the_table_has_every_operation_once() {
    let ids: BTreeSet<&str> = operations().iter().map(|o| o.id).collect();
    assert_eq!((operations().len(), ids.len()), (1193, 1193));
    let public = operations().iter().filter(|o| o.public).count();
    assert!((1..60).contains(&public), "{public} public operations");
}

#[test]
fn an_operation_knows_its_parameters() {
    let operation = find("rbac_permissions_assigned_by_roles_list").unwrap();
    assert_eq!(operation.method, Method::Get);
    assert!(operation.query().any(|(name, required)| name == "model" && required));
    assert!(operation.query().any(|(name, required)| name == "search" && !required));
    let operation = find("core_users_impersonate_create").unwrap();
    assert_eq!(operation.path_parameters().collect::<Vec<_>>(), ["id"]);
    assert!(find("core_brands_current_retrieve").unwrap().public);
}

#[test]
fn a_faithful_definition_agrees_with_the_contract() {
    let facts = Facts::load().unwrap();
    let resource = ResourceType::of::<Deny>();
    assert_eq!(differences(&resource, &facts), Vec::<String>::new());
    assert_eq!(computed(&resource, &facts), Vec::<String>::new());
}

#[test]
fn every_departure_from_the_contract_is_named() {
    let found = differences(&ResourceType::of::<Wrong>(), &Facts::load().unwrap()).join("\n");
    for expected in [
        "DenyStage.invented: not in the contract",
        "DenyStage.deny_message: type \"integer\", contract \"string\"",
        "DenyStage.deny_message: nullable true, contract none",
        "DenyStageRequest.name: minLength none, contract 1",
        "DenyStage: retrieve (GET /stages/deny/{uuid}/) is served, but not in the contract",
    ] {
        assert!(found.contains(expected), "{expected} is not in\n{found}");
    }
}

#[test]
fn the_document_holds_what_is_served_and_all_it_refers_to() {
    let registry = Registry::new(vec![ResourceType::of::<Deny>()]);
    let document = openapi(&registry, &|id| id.starts_with("stages_deny_") || id == "core_users_me_retrieve").unwrap();
    let paths = document.get("paths").unwrap().as_object().unwrap();
    assert_eq!(
        paths.keys().collect::<Vec<_>>(),
        ["/core/users/me/", "/stages/deny/", "/stages/deny/{stage_uuid}/", "/stages/deny/{stage_uuid}/used_by/"]
    );
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["DenyStage"]["properties"]["deny_message"]["description"], "Shown to the person.");
    assert_eq!(schemas["DenyStageRequest"]["required"], json!(["name"]));
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#/components/").skip(1) {
        let name = reference.split('"').next().unwrap();
        let (kind, name) = name.split_once('/').unwrap();
        assert!(document["components"][kind][name].is_object(), "{kind} {name} is referred to but absent");
    }
    assert!(document["paths"]["/stages/deny/"]["post"]["summary"].as_str().unwrap().contains("Deny Stage"));
}

#[test]
fn our_own_operations_are_described_and_clash_with_nothing() {
    let contract: Value = serde_json::from_str(include_str!("../contract.json")).unwrap();
    let own: Value = serde_json::from_str(include_str!("../extensions.json")).unwrap();
    for place in ["/paths", "/components/schemas"] {
        let theirs = contract.pointer(place).unwrap();
        for name in own.pointer(place).unwrap().as_object().unwrap().keys() {
            assert!(theirs.get(name).is_none(), "{name} is the contract's");
        }
    }
    let paths: Vec<&str> = extensions().iter().map(|o| o.path).collect();
    assert!(paths.len() >= 11 && paths.is_sorted() && paths.iter().all(|path| path.starts_with("/weir/")));
    let document = openapi(&Registry::new(Vec::new()), &|id| extensions().iter().any(|o| o.id == id)).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for operation in extensions() {
        let described = &document["paths"][operation.path][operation.method.name().to_lowercase()];
        assert_eq!((&described["operationId"], &described["x-weir-extension"]), (&json!(operation.id), &json!(true)));
        assert!(["summary", "description"].iter().all(|text| described[text].as_str().is_some_and(|t| !t.is_empty())));
        assert!(described["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2')));
        let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
        let named: Vec<&Value> = parameters.iter().filter(|p| p["in"] == "path").map(|p| &p["name"]).collect();
        assert_eq!(named, operation.path_parameters().collect::<Vec<_>>(), "{}", operation.path);
        assert_eq!(described["requestBody"].is_object(), operation.method == Method::Post);
    }
    let text = document.to_string();
    for name in own["components"]["schemas"].as_object().unwrap().keys() {
        assert!(schemas.contains_key(name), "nothing refers to {name}");
    }
    for name in text.split("\"$ref\":\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(schemas.contains_key(name), "{name} is referred to but absent");
    }
}

#[test]
fn an_answer_is_judged_by_the_contract() {
    let facts = Facts::load().unwrap();
    let good = json!({
        "pk": "6c1a6a3e-6d0e-4a3f-9c0f-0d4e9c7d1f11", "name": "n", "component": "c", "verbose_name": "v",
        "verbose_name_plural": "v", "meta_model_name": "m", "flow_set": [], "deny_message": "",
    });
    assert_eq!(facts.violations("stages_deny_retrieve", 200, &good), Vec::<String>::new());
    let mut bad = good;
    bad["pk"] = "no uuid".into();
    bad["extra"] = Value::Null;
    bad.as_object_mut().unwrap().remove("name");
    assert_eq!(
        facts.violations("stages_deny_retrieve", 200, &bad),
        ["body.name: missing", "body.pk: \"no uuid\" has the wrong format", "body.extra: not in the contract"]
    );
    assert_eq!(facts.violations("stages_deny_retrieve", 403, &json!({"detail": "no"})), Vec::<String>::new());
    assert_eq!(facts.violations("stages_deny_retrieve", 403, &json!({})), ["body.detail: missing"]);
}

#[test]
fn a_challenge_is_judged_by_its_variant() {
    let facts = Facts::load().unwrap();
    let challenge = json!({"component": "xak-flow-redirect", "to": "/"});
    assert_eq!(facts.violations("flows_executor_get", 200, &challenge), Vec::<String>::new());
    let found = facts.violations("flows_executor_get", 200, &json!({"component": "ak-unheard-of"}));
    assert_eq!(found, ["body: component \"ak-unheard-of\" is no variant of the contract"]);
}
