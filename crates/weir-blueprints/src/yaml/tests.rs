use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Kind, Node, parse, plain_value};
use crate::limits::MAX_TEXT_BYTES;

fn plain(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(scalar) => scalar.value(),
        Kind::Sequence(items) => items.iter().map(plain).collect(),
        Kind::Mapping(pairs) => pairs
            .iter()
            .map(|(key, value)| {
                let key = plain(key);
                (key.as_str().map_or_else(|| key.to_string(), str::to_owned), plain(value))
            })
            .collect(),
        Kind::Tag(tag) => panic!("unexpected tag {tag:?}"),
    }
}

fn read(text: &str) -> Value {
    plain(&parse(text).unwrap_or_else(|error| panic!("{error}")))
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// Checked against PyYAML 6.0.
#[test]
fn plain_scalars_have_the_types_of_yaml_1_1() {
    let table = [
        ("2001-12-14T21:59:43Z", json!("2001-12-14T21:59:43Z")),
        ("2001-01-01", json!("2001-01-01")),
        ("yes", json!(true)),
        ("Yes", json!(true)),
        ("YES", json!(true)),
        ("no", json!(false)),
        ("No", json!(false)),
        ("NO", json!(false)),
        ("on", json!(true)),
        ("On", json!(true)),
        ("ON", json!(true)),
        ("off", json!(false)),
        ("Off", json!(false)),
        ("OFF", json!(false)),
        ("true", json!(true)),
        ("True", json!(true)),
        ("TRUE", json!(true)),
        ("false", json!(false)),
        ("False", json!(false)),
        ("FALSE", json!(false)),
        ("~", json!(null)),
        ("null", json!(null)),
        ("Null", json!(null)),
        ("NULL", json!(null)),
        ("0", json!(0)),
        ("1", json!(1)),
        ("-1", json!(-1)),
        ("+1", json!(1)),
        ("00", json!(0)),
        ("01", json!(1)),
        ("007", json!(7)),
        ("010", json!(8)),
        ("-010", json!(-8)),
        ("+010", json!(8)),
        ("0_", json!(0)),
        ("0_7", json!(7)),
        ("1_000", json!(1000)),
        ("1__0", json!(10)),
        ("1_", json!(1)),
        ("0b101", json!(5)),
        ("0b1_0", json!(2)),
        ("-0b11", json!(-3)),
        ("0x1F", json!(31)),
        ("0xff", json!(255)),
        ("-0x10", json!(-16)),
        ("+0xA", json!(10)),
        ("0x_f", json!(15)),
        ("12:30", json!(750)),
        ("12:30:45", json!(45045)),
        ("190:20:30", json!(685230)),
        ("190:20:30.15", json!(685230.15)),
        ("-1:30", json!(-90)),
        ("1:2:3", json!(3723)),
        ("1:5", json!(65)),
        ("60:00", json!(3600)),
        ("1_0:30", json!(630)),
        ("1:30.", json!(90.0)),
        ("1:30.5", json!(90.5)),
        ("0:30.5", json!(30.5)),
        ("1.0", json!(1.0)),
        ("1.", json!(1.0)),
        (".5", json!(0.5)),
        ("-0.0", json!(-0.0)),
        ("+1.5", json!(1.5)),
        ("1.5e+3", json!(1500.0)),
        ("1.5E-3", json!(0.0015)),
        ("1_0.5", json!(10.5)),
        ("1.5_0", json!(1.5)),
        (".5_", json!(0.5)),
        ("1.e+3", json!(1000.0)),
        (".5e-2", json!(0.005)),
        ("0.1", json!(0.1)),
        ("00.1", json!(0.1)),
        ("01.5", json!(1.5)),
        ("2001-12-14t21:59:43.10-05:00", json!("2001-12-14T21:59:43.100000-05:00")),
        ("1234567890123456789", json!(1234567890123456789_u64)),
        ("9223372036854775807", json!(9223372036854775807_u64)),
        ("9223372036854775808", json!(9223372036854775808_u64)),
        ("18446744073709551615", json!(18446744073709551615_u64)),
        ("1:2", json!(62)),
        ("2001-12-14 21:59:43.10 -5", json!("2001-12-14T21:59:43.100000-05:00")),
        ("2001-12-14 21:59:43", json!("2001-12-14T21:59:43")),
        ("2001-12-14  21:59:43 Z", json!("2001-12-14T21:59:43Z")),
        ("2001-12-14 21:59:43.1234567", json!("2001-12-14T21:59:43.123456")),
        ("2001-12-14 1:59:43 +5:30", json!("2001-12-14T01:59:43+05:30")),
        ("2001-12-14 21:59:43 +05:30", json!("2001-12-14T21:59:43+05:30")),
        ("2001-12-14T21:59:43.", json!("2001-12-14T21:59:43")),
        ("2001-1-1 1:02:03", json!("2001-01-01T01:02:03")),
        ("2001-1-1T1:02:03+1", json!("2001-01-01T01:02:03+01:00")),
    ];
    for (text, expected) in table {
        assert_eq!(plain_value(text), Ok(Some(expected)), "{text}");
    }
}

/// Checked against PyYAML 6.0.
#[test]
fn what_only_yaml_1_2_or_nobody_takes_for_a_type_is_text() {
    let texts = [
        "yEs",
        "tRUE",
        "y",
        "Y",
        "n",
        "N",
        "nULL",
        "none",
        "None",
        "08",
        "09",
        "0o7",
        "_1",
        "-_1",
        "0b2",
        "0B1",
        "0XFF",
        "0xg",
        "1:60",
        "0:30",
        "01:30",
        "1:60.5",
        "-.5",
        "+.5",
        "1.5e3",
        "1e5",
        "1e+5",
        "._5",
        "1.5e+",
        "1.2.3",
        ".",
        "..",
        "...",
        "+",
        "--",
        "+-1",
        "1-",
        ".e+1",
        "._",
        "2001-1-1",
        "a",
        "1a",
        "a1",
        "0a",
        "1.a",
        "v1.0",
        "1.0.0",
        "10.0.0.1",
        "::1",
        "2001-12-14 21:59",
    ];
    for text in texts {
        assert_eq!(plain_value(text), Ok(None), "{text}");
    }
}

#[test]
fn integers_too_long_for_json_keep_their_digits() {
    assert_eq!(
        read("[123456789012345678901234567890, -99999999999999999999]"),
        json!(["123456789012345678901234567890", "-99999999999999999999"])
    );
}

#[test]
fn scalars_that_are_no_value_of_their_type_are_refused_with_their_line() {
    assert_eq!(refused("a: 1\nb: 2001-13-45"), "line 2: 2001-13-45 is not a date");
    assert_eq!(refused("a: .inf"), "line 1: .inf is not a finite number");
    assert_eq!(refused("a: .NaN"), "line 1: .NaN is not a finite number");
    assert_eq!(refused("a: 1.0e+999"), "line 1: 1.0e+999 is too large a number");
}

#[test]
fn quotes_and_the_non_specific_tag_make_text() {
    assert_eq!(read("['yes', \"010\", ! 12, '', ~, ]"), json!(["yes", "010", "12", "", null]));
    assert_eq!(read("a: |\n  yes\nb: >\n  1\n  2\nc:"), json!({"a": "yes\n", "b": "1 2\n", "c": null}));
}

#[test]
fn standard_tags_give_the_type() {
    let text = "[!!str yes, !!int '0x10', !!float 3, !!bool 'no', !!null x, !!binary aGV5, !!timestamp '2001-01-02', \
                !!seq [1], !!map {a: 1}, !<tag:yaml.org,2002:str> 1]";
    assert_eq!(read(text), json!(["yes", 16, 3, false, null, "hey", "2001-01-02", [1], {"a": 1}, "1"]));
    assert_eq!(refused("!!int abc"), "line 1: \"abc\" is not a value of !!int");
    assert_eq!(refused("!!binary '@@'"), "line 1: \"@@\" is not a value of !!binary");
    assert_eq!(
        refused("!!python/object:os.system {}"),
        "line 1: The tag !!python/object:os.system cannot be used on a mapping"
    );
    assert_eq!(refused("!!python/name:os.system x"), "line 1: The tag !!python/name:os.system is not known");
    assert_eq!(refused("!!seq {a: 1}"), "line 1: The tag !!seq cannot be used on a mapping");
}

#[test]
fn merge_keys_merge() {
    let text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {x: 9, <<: *a}\nd: {<<: [*a, *b], z: 5}\ne: {'<<': 1}";
    assert_eq!(
        read(text),
        json!({
            "a": {"x": 1, "y": 2}, "b": {"y": 3, "z": 4}, "c": {"x": 9, "y": 2}, "d": {"x": 1, "y": 2, "z": 5},
            "e": {"<<": 1}
        })
    );
    assert_eq!(refused("<<: 1"), "line 1: A merge key (<<) takes a mapping or a list of mappings");
    assert_eq!(refused("<<: [1]"), "line 1: A merge key (<<) takes a mapping or a list of mappings");
}

#[test]
fn the_last_of_equal_keys_wins() {
    assert_eq!(read("a: 1\nb: 2\na: 3"), json!({"a": 3, "b": 2}));
}

#[test]
fn collections_cannot_be_keys() {
    assert_eq!(refused("? [a]\n: 1"), "line 1: The key of a mapping cannot be a list");
    assert_eq!(refused("{{a: 1}: 1}"), "line 1: The key of a mapping cannot be a mapping");
}

#[test]
fn aliases_repeat_their_anchor() {
    assert_eq!(read("- &x {a: [1]}\n- *x\n- *x"), json!([{"a": [1]}, {"a": [1]}, {"a": [1]}]));
    assert!(refused("- *missing").starts_with("line 1: "));
    assert_eq!(refused("&x [*x]"), "line 1: An alias may not refer to a node that contains it");
}

#[test]
fn there_is_one_document() {
    assert_eq!(read("---\na: 1\n...\n"), json!({"a": 1}));
    assert_eq!(read(""), Value::Null);
    assert_eq!(read("# only a comment"), Value::Null);
    assert_eq!(read("\u{feff}a: 1"), json!({"a": 1}));
    assert_eq!(refused("a: 1\n---\nb: 2"), "line 2: Only one YAML document is expected");
}

#[test]
fn broken_texts_are_refused_with_a_line() {
    for text in [
        "a: [1",
        "a: b: c",
        "a: 'x",
        "\ta: 1",
        "a: {b",
        "- a\nb",
        "a: *",
        "%FOO",
        "a: \"\\q\"",
        "]",
        "key: !<",
        "? : ? :x\n-",
    ] {
        match parse(text) {
            Err(error) => assert!(error.to_string().starts_with("line "), "{text:?}: {error}"),
            Ok(node) => assert!(node.size() > 0),
        }
    }
    assert_eq!(refused("a: 1\nb: \u{0}"), "line 2: Control characters are not allowed");
    assert!(refused("a: [1").starts_with("line "));
    assert!(refused("a: b: c").starts_with("line 1: "));
}

#[test]
fn nested_aliases_do_not_explode() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..10 {
        let inner = vec![format!("*a{}", n - 1); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{inner}]\n"));
    }
    assert!(refused(&text).contains("aliases expanded"));
}

#[test]
fn depth_and_length_are_limited() {
    assert!(refused(&"[".repeat(70)).contains("levels deep"));
    let deep: String = (0..70).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(refused(&deep).contains("levels deep"));
    assert!(refused(&"- ".repeat(70)).contains("levels deep"));
    assert!(refused(&" ".repeat(MAX_TEXT_BYTES + 1)).contains("longer than"));
    assert!(refused(&"- 1\n".repeat(500_000)).contains("More than"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn no_yaml_like_text_makes_the_reader_panic(text in "([-:#?!&*{}\\[\\],|>'\"%@`~<=. \n\t0-9a-c]|!Find |!KeyOf |<<: |&a |\\*a |- |: ){0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_plain_scalar_panics(text in "[-+0-9._:eExb TZ]{0,14}") {
        let _ = plain_value(&text);
    }
}
