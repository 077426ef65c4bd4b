//! The field table and the per-field pass on one small definition.

use crate::{resource::UuidKeyed, validate::Mode, *};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
enum Colour {
    #[default]
    Red,
    Green,
}

fn five() -> i32 {
    5
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Sample {
    /// What it is called.
    #[schemars(length(min = 1))]
    name: String,
    #[serde(default = "five")]
    count: i32,
    #[serde(default)]
    colour: Colour,
    #[serde(default)]
    parent: Option<Ref<Sample>>,
    #[serde(default)]
    friends: Vec<Ref<Sample>>,
    #[serde(default)]
    secret: Secret,
    #[serde(default)]
    span: Option<DurationText>,
}
impl UuidKeyed for Sample {}
impl Resource for Sample {
    const MODEL: &'static str = "weir_tests.sample";
    const PATH: &'static str = "tests/samples";
    const SCHEMA: &'static str = "Sample";
    const VERBOSE: &'static str = "Sample";
}

fn body(value: Value) -> Map {
    value.as_object().cloned().unwrap()
}

#[test]
fn the_table_knows_defaults_references_and_secrets() {
    let table = ResourceType::of::<Sample>();
    let field = |n: &str| table.find_field(n).unwrap();
    assert!(field("name").required);
    assert_eq!(field("name").help, "What it is called.");
    assert_eq!(field("count").default, json!(5));
    assert_eq!(field("colour").kind, Kind::Choice(vec!["red".into(), "green".into()]));
    assert!(field("parent").nullable);
    assert_eq!(field("parent").kind, Kind::Uuid);
    assert_eq!(field("parent").reference.as_ref().unwrap().on_delete, OnDelete::SetNull);
    assert_eq!(field("friends").reference.as_ref().unwrap().on_delete, OnDelete::Drop);
    assert!(field("secret").write_only);
    assert!(field("span").nullable);
    assert_eq!(table.permission("view"), "weir_tests.view_sample");
}

#[test]
fn all_bad_fields_are_reported_together() {
    let table = ResourceType::of::<Sample>();
    let bad =
        json!({"name": " ", "count": "x", "colour": "blue", "parent": "no", "friends": "no", "span": "5 minutes"});
    let errors = validate::merge(&table, None, &body(bad), Mode::Create).unwrap_err().to_rest();
    assert_eq!(errors["name"], json!(["This field may not be blank."]));
    assert_eq!(errors["count"], json!(["A valid integer is required."]));
    assert_eq!(errors["colour"], json!(["\"blue\" is not a valid choice."]));
    assert_eq!(errors["parent"], json!(["Invalid pk \"no\" - object does not exist."]));
    assert_eq!(errors["friends"], json!(["Expected a list of items but got type \"str\"."]));
    assert!(errors["span"][0].as_str().unwrap().contains("hours=3"));
    let good = "6c1a6a3e-6d0e-4a3f-9c0f-0d4e9c7d1f11";
    let several = json!({"name": "n", "friends": [good, "no", 7]});
    let errors = validate::merge(&table, None, &body(several), Mode::Create).unwrap_err().to_rest();
    assert_eq!(errors["friends"], json!(["Invalid pk \"no\" - object does not exist."]));
}

#[test]
fn a_patch_keeps_what_it_leaves_out_and_a_put_keeps_secrets_that_may_be_left_out() {
    let table = ResourceType::of::<Sample>();
    let stored =
        validate::merge(&table, None, &body(json!({"name": "a", "count": 9, "secret": "s"})), Mode::Create).unwrap();
    let patched = validate::merge(&table, Some(&stored), &body(json!({"name": "b"})), Mode::Patch).unwrap();
    assert_eq!((patched["name"].clone(), patched["count"].clone()), (json!("b"), json!(9)));
    let replaced = validate::merge(&table, Some(&stored), &body(json!({"name": "c"})), Mode::Replace).unwrap();
    assert_eq!((replaced["count"].clone(), replaced["secret"].clone()), (json!(5), json!("s")));
    let mut table = table;
    for field in table.fields.iter_mut().filter(|f| f.name == "secret") {
        field.required = true;
    }
    let refused = validate::merge(&table, Some(&stored), &body(json!({"name": "c"})), Mode::Replace).unwrap_err();
    assert!(refused.has("secret"), "a secret that is required is required by a PUT");
}

#[test]
fn nul_and_numbers_out_of_range_are_refused() {
    let table = ResourceType::of::<Sample>();
    let errors =
        validate::merge(&table, None, &body(json!({"name": "a\0b", "count": 4_294_967_296_i64})), Mode::Create)
            .unwrap_err();
    assert!(errors.has("name") && errors.has("count"));
}

#[test]
fn durations_add_up_and_unknown_units_are_refused() {
    assert_eq!(duration::parse("hours=1;minutes=2").unwrap(), chrono::TimeDelta::minutes(62));
    assert_eq!(duration::parse("days=-1").unwrap(), chrono::TimeDelta::days(-1));
    assert!(duration::parse("fortnights=1").is_err());
    assert!(duration::parse("minutes=5;fortnights=1").is_err());
    assert!(duration::parse("hours=1,minutes=2").is_err(), "a comma separates nothing");
    assert!(duration::parse("").is_err());
    assert!(duration::parse("weeks=1e300").is_err());
}

#[test]
fn random_texts_have_the_length_asked_for() {
    let text = SystemRandom.text(60);
    assert_eq!(text.len(), 60);
    assert!(text.chars().all(|c| c.is_ascii_alphanumeric()));
    assert_ne!(text, SystemRandom.text(60));
}
