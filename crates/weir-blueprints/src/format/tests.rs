use super::Document;

fn refused(text: &str) -> String {
    Document::parse(text).unwrap_err().to_string()
}

#[test]
fn a_blueprint_is_read_with_all_its_parts() {
    let text = "\
version: 1
metadata:
  name: My blueprint
  labels:
    blueprints.goauthentik.io/instantiate: false
    answer: 42
context:
  a: !Env A
entries:
  - model: authentik_flows.flow
    id: flow
    state: created
    conditions: [true, !Context a]
    identifiers: {slug: x}
    attrs: {name: X, title: X}
    permissions:
      - {permission: view_flow, user: 1}
      - {permission: view_flow, role: !KeyOf role}
    future: ignored
future: ignored
";
    let document = Document::parse(text).unwrap();
    let metadata = document.metadata.as_ref().unwrap();
    assert_eq!(metadata.name, "My blueprint");
    assert_eq!(metadata.labels["answer"], "42");
    assert!(!metadata.is_instantiated());
    assert_eq!(document.context[0].0, "a");
    let entry = &document.entries[0];
    assert_eq!((entry.line, entry.id.as_deref(), entry.section.as_deref()), (10, Some("flow"), None));
    assert_eq!((entry.conditions.len(), entry.identifiers.len(), entry.attrs.len()), (2, 1, 2));
    assert!(entry.permissions[0].user.is_some() && entry.permissions[1].role.is_some());
}

#[test]
fn entries_may_stand_in_sections() {
    let document = Document::parse("entries:\n  one:\n  - model: a.b\n  - model: a.c\n  two:\n  - model: a.d").unwrap();
    let sections: Vec<_> = document.entries.iter().map(|entry| entry.section.as_deref().unwrap()).collect();
    assert_eq!(sections, ["one", "one", "two"]);
}

#[test]
fn empty_parts_count_as_absent() {
    let document =
        Document::parse("version: 1\nmetadata:\ncontext:\nentries:\n- {model: a.b, attrs: , identifiers: ~}").unwrap();
    assert!(document.metadata.is_none() && document.context.is_empty());
    assert!(document.entries[0].attrs.is_empty());
    assert!(Document::parse("version: 1").unwrap().entries.is_empty());
}

#[test]
fn instantiation_is_the_default() {
    let document =
        Document::parse("metadata: {name: x, labels: {blueprints.goauthentik.io/instantiate: 'true'}}").unwrap();
    assert!(document.metadata.unwrap().is_instantiated());
    assert!(Document::parse_metadata("metadata: {name: x}").unwrap().unwrap().is_instantiated());
    assert_eq!(Document::parse_metadata("version: 1").unwrap(), None);
}

#[test]
fn only_version_one_is_read() {
    for version in ["2", "'1'", "1.5", "one", "[1]", "true"] {
        assert_eq!(refused(&format!("version: {version}")), "line 1: Only blueprints of version 1 can be read");
    }
    assert!(Document::parse("version: 01").is_ok());
}

#[test]
fn wrong_shapes_are_refused_with_their_line() {
    for (text, problem) in [
        ("", "line 1: A blueprint is a mapping, not a single value"),
        ("[]", "line 1: A blueprint is a mapping, not a list"),
        ("!Context a", "line 1: A blueprint is a mapping, not a tag"),
        ("metadata: {}", "line 1: The metadata need a name"),
        ("metadata: {name: [a]}", "line 1: The name of a blueprint must be text, not a list"),
        ("metadata: x", "line 1: metadata must be a mapping, not a single value"),
        ("metadata: {name: a, labels: [b]}", "line 1: labels must be a mapping, not a list"),
        ("metadata: {name: a, labels: {b: [c]}}", "line 1: A label must be text, not a list"),
        ("version: 1\ncontext: []", "line 2: context must be a mapping, not a list"),
        ("entries: x", "line 1: The entries must be a list, or a mapping of lists"),
        ("entries: {a: {}}", "line 1: A section of entries must be a list, not a mapping"),
        ("entries:\n- x", "line 2: An entry must be a mapping, not a single value"),
        ("entries:\n- {}", "line 2: An entry needs a model"),
        ("entries:\n- {model: }", "line 2: An entry needs a model"),
        ("entries:\n- model: a.b\n  id: [x]", "line 3: The id of an entry must be text, not a list"),
        ("entries:\n- model: a.b\n  attrs: x", "line 3: The attrs must be a mapping, not a single value"),
        ("entries:\n- model: a.b\n  identifiers: []", "line 3: The identifiers must be a mapping, not a list"),
        ("entries:\n- model: a.b\n  conditions: true", "line 3: The conditions must be a list, not a single value"),
        ("entries:\n- model: a.b\n  permissions: x", "line 3: The permissions must be a list, not a single value"),
        ("entries:\n- model: a.b\n  permissions: [{}]", "line 3: A permission needs its name"),
        ("entries:\n- model: a.b\n  permissions: [x]", "line 3: A permission must be a mapping, not a single value"),
    ] {
        assert_eq!(refused(text), problem, "{text}");
    }
}

#[test]
fn the_number_of_entries_is_limited() {
    assert!(refused(&format!("entries:\n{}", "- {model: a.b}\n".repeat(20_001))).contains("More than 20000 entries"));
}
