use std::collections::BTreeMap;

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Resolver, Source, format_percent};
use crate::entry::{Evaluation, ResolvedEntry, State, layered_context};
use crate::error::BlueprintError;
use crate::format::Document;

/// A world with two flows and a few variables.
#[derive(Default)]
struct World {
    ids: BTreeMap<String, Value>,
    asked: Vec<(String, Vec<(String, Value)>)>,
}

#[async_trait]
impl Resolver for World {
    async fn find(&mut self, model: &str, fields: Vec<(String, Value)>) -> Result<Option<Value>, BlueprintError> {
        Ok(self.find_object(model, fields).await?.map(|object| object["pk"].clone()))
    }

    async fn find_object(
        &mut self,
        model: &str,
        fields: Vec<(String, Value)>,
    ) -> Result<Option<Value>, BlueprintError> {
        self.asked.push((model.to_owned(), fields.clone()));
        if model != "authentik_flows.flow" {
            return Err(BlueprintError::invalid(format!("There is no model {model}")));
        }
        let flows =
            [json!({"pk": "pk-a", "slug": "a", "title": "A"}), json!({"pk": "pk-b", "slug": "b", "title": "B"})];
        Ok(flows.into_iter().find(|flow| fields.iter().all(|(field, value)| flow[field] == *value)))
    }

    fn key_of(&self, id: &str, for_policy_binding: bool) -> Result<Option<Value>, BlueprintError> {
        let suffix = if for_policy_binding { "-bindable" } else { "" };
        Ok(self.ids.get(id).map(|pk| json!(format!("{}{suffix}", pk.as_str().unwrap()))))
    }

    fn env(&self, name: &str) -> Option<String> {
        match name {
            "HOME_TOWN" => Some("Ulm".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn file(&self, path: &str) -> Option<String> {
        (path == "/etc/secret").then(|| "  s3cret\n".to_owned())
    }
}

async fn resolve_all(text: &str, context: Value, source: Source) -> Result<Vec<Option<ResolvedEntry>>, BlueprintError> {
    let document = Document::parse(text)?;
    let models = [("flow".to_owned(), "authentik_flows".to_owned())];
    let context = layered_context(models, Map::new(), context.as_object().unwrap().clone());
    let mut evaluation = Evaluation::new(&document, &context, source);
    let mut world = World::default();
    let mut resolved = Vec::new();
    for entry in &document.entries {
        let entry = evaluation.resolve(entry, &mut world).await?;
        if let Some(id) = entry.as_ref().and_then(|entry| entry.id.clone()) {
            world.ids.insert(id.clone(), json!(format!("pk-of-{id}")));
        }
        resolved.push(entry);
    }
    Ok(resolved)
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn try_value(yaml: &str) -> Result<Value, BlueprintError> {
    let head = "context: {name: blue, list: [a, b], map: {x: 1, y: [2]}, via: !Context name, self: !Context self}\n";
    let text = format!("{head}entries: [{{model: a.b, attrs: {{value: {yaml}}}}}]");
    let mut entries = block_on(resolve_all(&text, json!({"given": {"deep": [1, 2]}}), Source::Disk))?;
    Ok(entries.remove(0).unwrap().attrs["value"].clone())
}

fn value(yaml: &str) -> Value {
    try_value(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

fn refused(yaml: &str) -> String {
    try_value(yaml).unwrap_err().to_string()
}

#[test]
fn context_is_read_with_and_without_default() {
    assert_eq!(value("!Context name"), json!("blue"));
    assert_eq!(value("!Context [name, red]"), json!("blue"));
    assert_eq!(value("!Context nothing"), Value::Null);
    assert_eq!(value("!Context [nothing, [!Context name, 1]]"), json!(["blue", 1]));
    assert_eq!(value("!Context given"), json!({"deep": [1, 2]}));
    assert_eq!(value("!Context via"), json!("blue"));
    assert_eq!(value("!Context [!Format ['na%s', me]]"), json!("blue"));
    assert_eq!(value("!Context goauthentik.io/rbac/models"), json!({"flow": "authentik_flows"}));
    assert_eq!(value("!Context goauthentik.io/enterprise/licensed"), json!(true));
    assert!(refused("!Context self").contains("too deeply"));
    assert!(refused("!Context [a, b, c]").contains("optionally a default"));
    assert!(refused("!Context [[a]]").contains("must be text, not a list"));
}

#[test]
fn the_given_context_wins_over_the_written_one() {
    let text = "context: {a: 1, b: 1}\nentries: [{model: a.b, attrs: {a: !Context a, b: !Context b}}]";
    let entries = block_on(resolve_all(text, json!({"b": 2}), Source::Submitted)).unwrap();
    assert_eq!(Value::Object(entries[0].as_ref().unwrap().attrs.clone()), json!({"a": 1, "b": 2}));
}

#[test]
fn environment_and_files_are_read_for_blueprints_on_disk() {
    assert_eq!(value("!Env HOME_TOWN"), json!("Ulm"));
    assert_eq!(value("!Env [EMPTY, fallback]"), json!("fallback"));
    assert_eq!(value("!Env missing"), Value::Null);
    assert_eq!(value("!File /etc/secret"), json!("s3cret"));
    assert_eq!(value("!File [/missing, !Env HOME_TOWN]"), json!("Ulm"));
    assert_eq!(value("!File /missing"), Value::Null);
}

#[test]
fn submitted_blueprints_read_neither_environment_nor_files() {
    for tag in ["!Env HOME_TOWN", "!Env [HOME_TOWN, x]", "!File /etc/secret", "!File [/etc/secret, x]"] {
        let text = format!("entries: [{{model: a.b, attrs: {{value: {tag}}}}}]");
        let error = block_on(resolve_all(&text, json!({}), Source::Submitted)).unwrap_err().to_string();
        assert!(error.starts_with("line 1: !") && error.contains("works only in blueprints on"), "{error}");
        assert!(!error.contains("Ulm") && !error.contains("s3cret"));
    }
}

#[test]
fn find_gives_the_key_and_find_object_the_object() {
    assert_eq!(value("!Find [authentik_flows.flow, [slug, a]]"), json!("pk-a"));
    assert_eq!(value("!Find [authentik_flows.Flow, [slug, b], [title, B]]"), json!("pk-b"));
    assert_eq!(value("!Find [authentik_flows.flow, [slug, a], [title, B]]"), Value::Null);
    assert_eq!(
        value("!Find [!Format ['%s.flow', authentik_flows], [!Format [slug], !If [true, a, b]]]"),
        json!("pk-a")
    );
    assert_eq!(
        value("!FindObject [authentik_flows.flow, [slug, b]]"),
        json!({"pk": "pk-b", "slug": "b", "title": "B"})
    );
    assert_eq!(value("!AtIndex [!FindObject [authentik_flows.flow, [slug, b]], title]"), json!("B"));
    assert_eq!(refused("!Find [a.nothing, [slug, a]]"), "line 2: There is no model a.nothing");
    assert!(refused("!Find [authentik_flows.flow]").contains("at least one"));
    assert!(refused("!Find [authentik_flows.flow, slug]").contains("pairs of [field, value]"));
    assert!(refused("!Find []").contains("needs a model"));
    assert!(refused("!Find slug").contains("takes a list"));
}

#[test]
fn key_of_gives_keys_of_entries_that_were_applied() {
    let text = "entries:\n- {model: a.b, id: one}\n- {model: a.b, attrs: {ref: !KeyOf one}}\n\
                - {model: authentik_policies.PolicyBinding, identifiers: {target: !KeyOf one}}\n\
                - {model: a.b, conditions: [false], id: two}\n- {model: a.b, attrs: {ref: !KeyOf two}}";
    let error = block_on(resolve_all(text, json!({}), Source::Disk)).unwrap_err().to_string();
    assert_eq!(error, "line 6: !KeyOf two: no entry was applied under this id");
    let text = text.lines().take(5).collect::<Vec<_>>().join("\n");
    let entries = block_on(resolve_all(&text, json!({}), Source::Disk)).unwrap();
    assert_eq!(entries[1].as_ref().unwrap().attrs["ref"], "pk-of-one");
    assert_eq!(entries[2].as_ref().unwrap().model, "authentik_policies.policybinding");
    assert_eq!(entries[2].as_ref().unwrap().identifiers["target"], "pk-of-one-bindable");
    assert_eq!(entries[3], None);
    assert!(refused("!KeyOf []").contains("takes a single value"));
    assert!(refused("!KeyOf").contains("needs the id"));
}

#[test]
fn if_chooses_or_gives_a_boolean() {
    assert_eq!(value("!If [yes, a, !KeyOf missing]"), json!("a"));
    assert_eq!(value("!If ['', !KeyOf missing, [!Context name]]"), json!(["blue"]));
    for (yaml, expected) in [
        ("0", false),
        ("0.0", false),
        ("''", false),
        ("[]", false),
        ("{}", false),
        ("null", false),
        ("no", false),
        ("1", true),
        ("'0'", true),
        ("[0]", true),
        ("{a: }", true),
        ("!Context name", true),
        ("!Context nothing", false),
    ] {
        assert_eq!(value(&format!("!If [{yaml}]")), json!(expected), "{yaml}");
    }
    assert!(refused("!If [true, a]").contains("one or three"));
    assert!(refused("!If []").contains("needs a condition"));
}

#[test]
fn condition_combines() {
    for (mode, results) in [
        ("AND", [true, false, false]),
        ("NAND", [false, true, true]),
        ("OR", [true, true, false]),
        ("NOR", [false, false, true]),
        ("XOR", [false, true, false]),
        ("XNOR", [true, false, true]),
    ] {
        for (arguments, expected) in ["1, a", "1, ''", "0, no"].iter().zip(results) {
            assert_eq!(value(&format!("!Condition [{mode}, {arguments}]")), json!(expected), "{mode} {arguments}");
        }
    }
    assert_eq!(value("!Condition [OR, !Condition [AND, true, false], !Context name]"), json!(true));
    assert_eq!(value("!Condition [NOR, false]"), json!(true));
    assert!(refused("!Condition [AND]").contains("at least one value"));
    assert!(refused("!Condition [NOT, true]").contains("AND, NAND"));
    assert!(refused("!Condition true").contains("takes a list"));
}

#[test]
fn enumerate_repeats_its_body() {
    assert_eq!(value("!Enumerate [[a, b], SEQ, [!Index 0, !Value 0]]"), json!([[0, "a"], [1, "b"]]));
    assert_eq!(value("!Enumerate [{x: 1, y: 2}, SEQ, !Format ['%s=%s', !Index 0, !Value 0]]"), json!(["x=1", "y=2"]));
    assert_eq!(value("!Enumerate [[a, b], MAP, [!Value 0, !Index 0]]"), json!({"a": 0, "b": 1}));
    assert_eq!(value("!Enumerate [[a, b], MAP, {!Value 0 : 1, all: !Index 0}]"), json!({"a": 1, "all": 1, "b": 1}));
    assert_eq!(value("!Enumerate [!Context list, SEQ, x]"), json!(["x", "x"]));
    assert_eq!(value("!Enumerate [ab, SEQ, !Value 0]"), json!(["a", "b"]));
    assert_eq!(value("!Enumerate [[], SEQ, !KeyOf missing]"), json!([]));
    assert_eq!(
        value("!Enumerate [!Context goauthentik.io/rbac/models, SEQ, !Format ['%s.view_%s', !Value 0, !Index 0]]"),
        json!(["authentik_flows.view_flow"])
    );
}

#[test]
fn nested_enumerates_count_depth_from_the_inside() {
    let yaml = "!Enumerate [[foo, hi], MAP, [!Index 0, \
                !Enumerate [!Value 1, SEQ, !Format ['%s %s %d', !Value 1, !Value 0, !Index 0]]]]";
    assert_eq!(value(yaml), json!({"0": ["foo f 0", "foo o 1", "foo o 2"], "1": ["hi h 0", "hi i 1"]}));
}

#[test]
fn enumerate_says_what_is_wrong() {
    assert!(refused("!Enumerate [1, SEQ, x]").contains("cannot go through a number"));
    assert!(refused("!Enumerate [!Context nothing, SEQ, x]").contains("cannot go through null"));
    assert!(refused("!Enumerate [[1], LIST, x]").contains("either SEQ or MAP"));
    assert!(refused("!Enumerate [[1], SEQ]").contains("three arguments"));
    assert!(refused("!Enumerate [[1], MAP, x]").contains("bodies of [key, value]"));
    assert!(refused("!Enumerate [[1], MAP, [a, b, c]]").contains("bodies of [key, value]"));
    assert!(refused("!Enumerate [!Value 0, SEQ, x]").contains("refer to themselves"));
    assert!(refused("!Enumerate [[1], SEQ, !Value 1]").contains("no !Enumerate 1 levels up"));
    assert!(refused("!Value 0").contains("no !Enumerate"));
    assert!(refused("!Index 99999999999999999999").contains("0 or more"));
    assert!(refused("!Index -1").contains("0 or more"));
}

#[test]
fn at_index_takes_one_element() {
    assert_eq!(value("!AtIndex [[a, b, c], 1]"), json!("b"));
    assert_eq!(value("!AtIndex [[a, b, c], -1]"), json!("c"));
    assert_eq!(value("!AtIndex [!Context map, y]"), json!([2]));
    assert_eq!(value("!AtIndex [{1: one}, 1]"), json!("one"));
    assert_eq!(value("!AtIndex [[a], 3, !Context name]"), json!("blue"));
    assert_eq!(value("!AtIndex [[a], x, null]"), Value::Null);
    assert_eq!(value("!AtIndex [!Context nothing, x, d]"), json!("d"));
    assert_eq!(value("!AtIndex [!Context goauthentik.io/rbac/models, nosuchstage, false]"), json!(false));
    assert_eq!(refused("!AtIndex [[a], 3]"), "line 2: !AtIndex: there is no element 3");
    assert_eq!(refused("!AtIndex [[a], -2]"), "line 2: !AtIndex: there is no element -2");
    assert_eq!(refused("!AtIndex [{a: 1}, b]"), "line 2: !AtIndex: there is no element \"b\"");
    assert!(refused("!AtIndex [text, 0]").contains("no element"));
    assert!(refused("!AtIndex [[a]]").contains("two or three"));
}

#[test]
fn json_text_is_parsed() {
    assert_eq!(value("!ParseJSON '{\"a\": [1, null]}'"), json!({"a": [1, null]}));
    assert_eq!(value("!ParseJSON [!Format ['[%d]', 3]]"), json!([3]));
    assert!(refused("!ParseJSON '{'").contains("!ParseJSON: EOF"));
    assert!(refused(&format!("!ParseJSON '{}'", "[".repeat(1000))).contains("!ParseJSON: "));
}

#[test]
fn unknown_tags_and_tags_in_the_wrong_place_are_refused() {
    assert_eq!(refused("!Nothing a"), "line 2: The tag !Nothing is not known");
    assert_eq!(refused("!Nothing [a]"), "line 2: The tag !Nothing is not known");
    assert_eq!(refused("!Nothing {a: 1}"), "line 2: The tag !Nothing is not known");
    assert_eq!(refused("!Find {a: 1}"), "line 2: !Find cannot be used on a mapping");
    assert_eq!(refused("!keyof a"), "line 2: The tag !keyof is not known");
}

#[test]
fn arguments_of_tags_have_the_types_of_yaml_1_1_but_names_are_taken_as_written() {
    assert_eq!(value("!Format ['%s %s %s', 010, yes, 1.50]"), json!("8 True 1.5"));
    assert_eq!(value("!Context [010, 010]"), json!(8));
    assert_eq!(value("!Format [010]"), json!("010"));
}

#[test]
fn growth_is_limited() {
    let ten = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]";
    let mut yaml = "x".to_owned();
    for _ in 0..9 {
        yaml = format!("!Enumerate [{ten}, SEQ, {yaml}]");
    }
    assert!(refused(&yaml).contains("grows too large"));
    let long = "y".repeat(1 << 20);
    let copies = format!("!Enumerate [[{long}], SEQ, !Enumerate [{ten}, SEQ, !Enumerate [{ten}, SEQ, !Value 2]]]");
    assert!(refused(&copies).contains("grows too large"));
    assert!(refused("!Format ['%99999d', 1]").contains("widths above"));
}

#[test]
fn states_and_permissions_are_evaluated() {
    let text = "entries:\n- model: !Format ['%s.flow', authentik_flows]\n  state: !If [true, created, absent]\n  \
                conditions: [!Context goauthentik.io/rbac/models, 1]\n  identifiers: {slug: x}\n  permissions:\n  \
                - {permission: view_flow, role: !Find [authentik_flows.flow, [slug, a]]}\n  \
                - {permission: !Format ['%s_flow', change], user: 7, role: null}";
    let entries = block_on(resolve_all(text, json!({}), Source::Submitted)).unwrap();
    let entry = entries[0].as_ref().unwrap();
    assert_eq!((entry.model.as_str(), entry.state, entry.line), ("authentik_flows.flow", State::Created, 2));
    assert_eq!(entry.permissions[0].role, Some(json!("pk-a")));
    assert_eq!((entry.permissions[1].permission.as_str(), &entry.permissions[1].role), ("change_flow", &None));
    assert_eq!(entry.permissions[1].user, Some(json!(7)));
    for (state, expected) in
        [("present", State::Present), ("must_created", State::MustCreated), ("absent", State::Absent)]
    {
        let text = format!("entries: [{{model: a.b, state: {state}}}]");
        assert_eq!(block_on(resolve_all(&text, json!({}), Source::Disk)).unwrap()[0].as_ref().unwrap().state, expected);
    }
    let error = block_on(resolve_all("entries: [{model: a.b, state: gone}]", json!({}), Source::Disk)).unwrap_err();
    assert_eq!(error.to_string(), "line 1: The state must be present, created, must_created or absent, not \"gone\"");
}

#[test]
fn a_skipped_entry_is_not_evaluated_further() {
    let text = "entries: [{model: !Context nothing, conditions: [!AtIndex [!Context goauthentik.io/rbac/models, x, false]], \
                attrs: {a: !KeyOf missing}}]";
    assert_eq!(block_on(resolve_all(text, json!({}), Source::Disk)).unwrap(), vec![None]);
}

/// Checked against Python 3.11.
#[test]
fn percent_formatting_is_that_of_python() {
    let table = [
        ("plain", json!([]), "plain"),
        ("100%%", json!([]), "100%"),
        ("%s-%s", json!(["a", 1]), "a-1"),
        ("%s %s %s", json!([null, true, 1.0]), "None True 1.0"),
        ("%s", json!([["a", 'b', {"c": null, "d": [1.5, false]}]]), "['a', 'b', {'c': None, 'd': [1.5, False]}]"),
        ("%r %r %r", json!(["it's", "\"", "a\n\\\u{1}"]), "\"it's\" '\"' 'a\\n\\\\\\x01'"),
        ("%a", json!(["é日🔑"]), "'\\xe9\\u65e5\\U0001f511'"),
        ("[%5s|%-5s|%.2s|%5.1s]", json!(["ab", "ab", "abc", "xyz"]), "[   ab|ab   |ab|    x]"),
        ("%d %i %u", json!([1, -2, true]), "1 -2 1"),
        ("%d %d", json!([3.99, -3.99]), "3 -3"),
        (
            "%05d|%+d|% d|%-5d|%5d|%.3d|%08.3d",
            json!([42, 42, 42, 42, 42, 7, 7]),
            "00042|+42| 42|42   |   42|007|00000007",
        ),
        ("%05d", json!([-42]), "-0042"),
        ("%x %X %#x %#o %o", json!([255, 255, 255, 8, 8]), "ff FF 0xff 0o10 10"),
        ("%#06x", json!([10]), "0x000a"),
        ("%f %.2f %10.3f %-8.1f|", json!([1.5, 2.345, 3.25, 2]), "1.500000 2.35      3.250 2.0     |"),
        ("%e %.2E", json!([12345.678, 0.00012]), "1.234568e+04 1.20E-04"),
        ("%g %g %g %g %G", json!([100000, 1000000, 0.0001, 0.00001, 1e-10]), "100000 1e+06 0.0001 1e-05 1E-10"),
        ("%.3g %g %g", json!([1234.5, 0, 2.5]), "1.23e+03 0 2.5"),
        ("%c%c", json!(["x", 65]), "xA"),
        ("%*d|%-*s|%.*f", json!([4, 7, 3, "a", 1, 2.25]), "   7|a  |2.2"),
        ("%s %s %s %s", json!([1e16, 1e-5, 1e15, 123456789.5]), "1e+16 1e-05 1000000000000000.0 123456789.5"),
        ("%s", json!([-0.0]), "-0.0"),
        ("%ld %hd", json!([1, 2]), "1 2"),
        ("größe: %s", json!(["ß"]), "größe: ß"),
    ];
    for (template, arguments, expected) in table {
        let made = format_percent(template, arguments.as_array().unwrap(), usize::MAX);
        assert_eq!(made.as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn percent_formatting_says_what_is_wrong() {
    for (template, arguments, problem) in [
        ("%s", json!([]), "fewer values"),
        ("a", json!([1]), "more values"),
        ("%", json!([]), "ends inside"),
        ("%5", json!([1]), "ends inside"),
        ("%y", json!([1]), "no conversion"),
        ("%(a)s", json!([{"a": 1}]), "named conversions"),
        ("%d", json!(["x"]), "needs a number"),
        ("%x", json!([1.5]), "needs a number"),
        ("%f", json!(["x"]), "needs a number"),
        ("%c", json!(["xy"]), "one character"),
        ("%*d", json!(["x", 1]), "whole number"),
        ("%99999s", json!(["x"]), "widths above"),
        ("%.99999f", json!([1]), "widths above"),
    ] {
        let error = format_percent(template, arguments.as_array().unwrap(), usize::MAX).unwrap_err();
        assert!(error.contains(problem), "{template}: {error}");
    }
    assert!(format_percent("%9999d%9999d", &[json!(1), json!(1)], 12_000).unwrap_err().contains("too long"));
}

proptest! {
    #[test]
    fn no_format_panics(template in "[%a-z0-9.*#+ ()-]{0,12}", number in any::<f64>(), text in any::<String>()) {
        let values = [json!(number), json!(text), json!(3), json!([text])];
        for arguments in [&values[..1], &values[1..2], &values[..], &[]] {
            let _ = format_percent(&template, arguments, 1 << 16);
        }
    }

    #[test]
    fn no_document_panics(body in "(!(Find|Context|Format|If|Enumerate|Value|AtIndex|Condition|ParseJSON|KeyOf|Env|Index) |[\\[\\]{},:a0-2 ]|SEQ|MAP|AND|name|list){0,24}") {
        let _ = try_value(&body);
    }
}
