use indexmap::IndexMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Output, OutputDocument, OutputEntry, write};
use crate::entry::State;
use crate::format::{Document, Metadata};
use crate::yaml::{Kind, Node};

fn plain(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(scalar) => scalar.value(),
        Kind::Sequence(items) => items.iter().map(plain).collect(),
        Kind::Mapping(pairs) => {
            pairs.iter().map(|(key, value)| (key.as_text().unwrap().to_owned(), plain(value))).collect()
        }
        Kind::Tag(tag) => panic!("unexpected tag {tag:?}"),
    }
}

fn document(attrs: Value) -> OutputDocument {
    let attrs = attrs.as_object().unwrap().iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    let entry = OutputEntry {
        model: "a.b".to_owned(),
        id: Some("first".to_owned()),
        state: State::Present,
        identifiers: vec![("slug".to_owned(), json!("x").into())],
        attrs,
    };
    OutputDocument { metadata: None, entries: vec![entry] }
}

fn read_back(attrs: &Value) -> Value {
    let text = write(&document(attrs.clone()));
    let document = Document::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    document.entries[0].attrs.iter().map(|(key, value)| (key.as_text().unwrap().to_owned(), plain(value))).collect()
}

#[test]
fn a_document_is_written_as_people_would_write_it() {
    let entry = OutputEntry {
        model: "authentik_flows.flowstagebinding".to_owned(),
        id: None,
        state: State::Created,
        identifiers: vec![
            ("target".to_owned(), Output::KeyOf("flow".to_owned())),
            (
                "stage".to_owned(),
                Output::Find {
                    model: "authentik_stages_dummy.dummystage".to_owned(),
                    fields: vec![("name".to_owned(), json!("my: stage").into())],
                },
            ),
        ],
        attrs: vec![
            ("order".to_owned(), json!(10).into()),
            ("enabled".to_owned(), json!("yes").into()),
            ("expression".to_owned(), json!("if a:\n    return True\nreturn False\n").into()),
            ("list".to_owned(), json!(["a", ["b"], {"c": 1, "d": []}]).into()),
            ("links".to_owned(), Output::Sequence(vec![Output::KeyOf("a b".to_owned()), json!(null).into()])),
            ("auth".to_owned(), Output::Context("a.auth".to_owned())),
        ],
    };
    let metadata = Metadata {
        name: "An example".to_owned(),
        labels: IndexMap::from([("example.com/flag".to_owned(), "false".to_owned())]),
    };
    let text = write(&OutputDocument { metadata: Some(metadata.clone()), entries: vec![entry] });
    let expected = r#"version: 1
metadata:
  name: An example
  labels:
    example.com/flag: "false"
entries:
  - model: authentik_flows.flowstagebinding
    state: created
    identifiers:
      target: !KeyOf flow
      stage: !Find [authentik_stages_dummy.dummystage, [name, "my: stage"]]
    attrs:
      order: 10
      enabled: "yes"
      expression: |
        if a:
            return True
        return False
      list:
        - a
        - - b
        - c: 1
          d: []
      links:
        - !KeyOf a b
        - null
      auth: !Context a.auth
"#;
    assert_eq!(text, expected);
    assert_eq!(Document::parse(&text).unwrap().metadata, Some(metadata));
}

#[test]
fn texts_that_look_like_other_types_stay_texts() {
    for text in [
        "",
        " ",
        "yes",
        "No",
        "on",
        "null",
        "~",
        "Null",
        "010",
        "1e5",
        "1.5",
        "1_000",
        "12:30:45",
        "2001-01-01",
        "=",
        "<<",
        "---",
        "...",
        "-",
        "- a",
        "a: b",
        "a #b",
        "#",
        "!tag",
        "&a",
        "*a",
        "%a",
        "@a",
        "`a`",
        "'",
        "\"",
        "{",
        "[",
        ",",
        "?",
        "? a",
        "|",
        ">",
        "\u{feff}",
        "a\nb",
        "\n",
        "a\n",
        "a\n\n",
        " a\nb",
        "a\n b",
        "a\n \nb",
        "a\r\nb",
        "\ta\nb",
        "tab\tin",
        "a \nb",
        "\u{85}",
        "\u{2028}",
        "\u{7f}",
        "é",
        "日本",
        "🔑",
        "0x1F",
        ".inf",
        "a\n---\nb",
        "a\\n",
    ] {
        let attrs = json!({"value": text, "list": [text], "nested": {"key": text, text: 1}});
        assert_eq!(read_back(&attrs), attrs, "{text:?}");
    }
}

#[test]
fn numbers_keep_their_type() {
    let attrs = json!({
        "int": -5, "large": u64::MAX, "float": 1.5, "whole": 2.0, "tiny": 1e-300, "huge": 1e300, "negative": -0.25,
        "sixteen": 1e16
    });
    let back = read_back(&attrs);
    assert_eq!(back, attrs);
    assert!(back["whole"].is_f64() && back["sixteen"].is_f64() && back["int"].is_i64());
}

#[test]
fn long_keys_are_written_so_that_they_can_be_read() {
    let attrs = json!({"k".repeat(3000): {"x ".repeat(900): ["v"]}});
    assert_eq!(read_back(&attrs), attrs);
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        "[ -~\n\t]{0,40}",
        "[-:#?!&*{}\\[\\],|>'\"%@`~ \n0-9a-f.eE_+]{0,12}",
        "[0-9:._eE+-]{0,10}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::from),
        text.prop_map(|text| Value::String(text.replace('\0', ""))),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec(("[ -~\n]{0,12}", inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn everything_written_reads_back_the_same(value in any_value()) {
        let attrs = json!({"value": value});
        prop_assert_eq!(read_back(&attrs), attrs);
    }
}
