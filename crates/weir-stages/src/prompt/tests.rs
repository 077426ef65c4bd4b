use super::preview;
use crate::tests::{assert_end, component, error, site};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_testkit::{Browser, TestSite, map};

const PROMPT: &str = "authentik_stages_prompt.prompt";
const STAGE: &str = "authentik_stages_prompt.promptstage";

/// A prompt `x` of this type; further fields win.
async fn prompt(site: &TestSite, kind: &str, more: Value) -> Uuid {
    let name = format!("p-{}", site.app.site.random.text(8));
    let mut body = map(json!({"name": name, "field_key": "x", "label": "X", "type": kind}));
    body.extend(map(more));
    site.make(PROMPT, Value::Object(body)).await
}

/// A flow that asks these prompts, then shows a dummy stage.
async fn flow(site: &TestSite, fields: &[Uuid], more: Value) -> Uuid {
    let flow = site.flow("f", "stage_configuration", json!({})).await;
    let mut body = map(json!({"fields": fields}));
    body.extend(map(more));
    let (stage, _) = site.step(flow, 0, "prompt", "ask", Value::Object(body)).await;
    site.step(flow, 1, "dummy", "inside", json!({})).await;
    stage
}

/// What is stored for an answer to the only question.
async fn stored(browser: &mut Browser<'_>, answer: Value) -> Result<Option<Value>, (String, String)> {
    let shown = browser.post("f", "", answer).await;
    if component(&shown) == "ak-stage-prompt" {
        let (text, code) = error(&shown, "x");
        return Err((text.to_owned(), code.to_owned()));
    }
    assert_eq!(shown["name"], "inside");
    Ok(browser.context().await["prompt_data"].get("x").cloned())
}

const REQUIRED: (&str, &str) = ("This field is required.", "required");
const NULL: (&str, &str) = ("This field may not be null.", "null");
const BLANK: (&str, &str) = ("This field may not be blank.", "blank");
const TEXT: (&str, &str) = ("Not a valid string.", "invalid");
const EMAIL: (&str, &str) = ("Enter a valid email address.", "invalid");
const INTEGER: (&str, &str) = ("A valid integer is required.", "invalid");
const BOOLEAN: (&str, &str) = ("Must be a valid boolean.", "invalid");
const DATE: (&str, &str) = ("Date has wrong format. Use one of these formats instead: YYYY-MM-DD.", "invalid");
const TIME: (&str, &str) = (
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].",
    "invalid",
);
const NO_CHOICE: (&str, &str) = ("\"z\" is not a valid choice.", "invalid_choice");

type Refusal = (&'static str, &'static str);
type Row = (&'static str, bool, Option<Value>, Result<Option<Value>, Refusal>);

/// Type, required, the answer (none: the key is missing) and what becomes of it.
fn table() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let texts =
        ["text", "text_area", "username", "email", "password", "ak-locale", "date", "date-time", "number", "file"];
    for kind in texts {
        rows.push((kind, true, None, Err(REQUIRED)));
        rows.push((kind, false, None, Ok(None)));
        rows.push((kind, true, Some(json!(null)), Err(NULL)));
        rows.push((kind, false, Some(json!(null)), Err(NULL)));
    }
    for kind in ["text", "text_area", "username", "email", "password", "file"] {
        rows.push((kind, true, Some(json!("")), Err(BLANK)));
        rows.push((kind, false, Some(json!("")), Ok(Some(json!("")))));
        rows.push((kind, true, Some(json!(["a"])), Err(TEXT)));
        rows.push((kind, true, Some(json!(true)), Err(TEXT)));
    }
    let same = |v: Value| (Some(v.clone()), Ok(Some(v)));
    for kind in ["text", "text_area", "password"] {
        for text in [json!(" not trimmed "), json!("ünï \u{1F40E}"), json!("   "), json!("a\nb")] {
            let (given, kept) = same(text);
            rows.push((kind, true, given, kept));
        }
        rows.push((
            kind,
            true,
            Some(json!("nul\0")),
            Err(("Null characters are not allowed.", "null_characters_not_allowed")),
        ));
    }
    let known = [
        ("text", json!(12), Ok(json!("12"))),
        ("username", json!("  ann "), Ok(json!("ann"))),
        ("username", json!("   "), Err(BLANK)),
        ("username", json!("taken"), Err(("Username is already taken.", "invalid"))),
        ("username", json!(" taken "), Err(("Username is already taken.", "invalid"))),
        ("email", json!("a@example.org"), Ok(json!("a@example.org"))),
        ("email", json!("a@"), Err(EMAIL)),
        ("email", json!("no address"), Err(EMAIL)),
        ("ak-locale", json!(""), Ok(json!(""))),
        ("ak-locale", json!("pt_BR"), Ok(json!("pt_BR"))),
        ("number", json!(12), Ok(json!(12))),
        ("number", json!("-3"), Ok(json!(-3))),
        ("number", json!("12.0"), Ok(json!(12))),
        ("number", json!("10."), Ok(json!(10))),
        ("number", json!("1.50"), Err(INTEGER)),
        ("number", json!("."), Err(INTEGER)),
        ("number", json!(1.5), Err(INTEGER)),
        ("number", json!("twelve"), Err(INTEGER)),
        ("number", json!(""), Err(INTEGER)),
        ("number", json!(true), Err(INTEGER)),
        ("date", json!("2026-02-28"), Ok(json!("2026-02-28"))),
        ("date", json!("2026-02-30"), Err(DATE)),
        ("date", json!(""), Err(DATE)),
        ("date", json!(20_260_228), Err(DATE)),
        ("date-time", json!("2026-02-28T12:00:00Z"), Ok(json!("2026-02-28T12:00:00.000000Z"))),
        ("date-time", json!("2026-02-28T12:00:00+02:00"), Ok(json!("2026-02-28T10:00:00.000000Z"))),
        ("date-time", json!("yesterday"), Err(TIME)),
        ("date-time", json!(""), Err(TIME)),
        ("checkbox", json!(true), Ok(json!(true))),
        ("checkbox", json!("false"), Ok(json!(false))),
        ("checkbox", json!("on"), Ok(json!(true))),
        ("checkbox", json!(1), Ok(json!(true))),
        ("checkbox", json!(0.0), Ok(json!(false))),
        ("checkbox", json!(2), Err(BOOLEAN)),
        ("checkbox", json!("perhaps"), Err(BOOLEAN)),
        ("checkbox", json!(null), Err(NULL)),
        ("file", json!("data:text/plain;base64,aGk="), Ok(json!("data:text/plain;base64,aGk="))),
        ("file", json!("http:text/plain;base64,aGk="), Err(("Invalid scheme", "invalid"))),
        ("file", json!("nothing"), Err(("Invalid scheme", "invalid"))),
        ("file", json!("data:text/plain,aGk="), Err(("Invalid encoding", "invalid"))),
        ("file", json!("data:text/plain;base64,!!"), Err(("Invalid encoding", "invalid"))),
        ("file", json!("data:text/plain;base64"), Err(("Invalid encoding", "invalid"))),
    ];
    rows.extend(known.into_iter().map(|(kind, given, kept)| (kind, true, Some(given), kept.map(Some))));
    rows.push(("number", false, Some(json!("")), Ok(Some(json!(null)))));
    rows.push(("date", false, Some(json!("")), Ok(Some(json!(null)))));
    rows.push(("date-time", false, Some(json!("")), Ok(Some(json!(null)))));
    rows.push(("checkbox", true, None, Ok(None)));
    for kind in ["separator", "alert_info", "alert_warning", "alert_danger"] {
        rows.push((kind, true, None, Ok(None)));
        rows.push((kind, true, Some(json!("ignored")), Ok(None)));
    }
    for kind in ["text_read_only", "text_area_read_only", "hidden", "static"] {
        rows.push((kind, true, None, Ok(Some(json!("")))));
        rows.push((kind, true, Some(json!("forged")), Ok(Some(json!("")))));
    }
    rows
}

#[tokio::test]
async fn every_type_takes_and_refuses_what_it_should() {
    let site = site().await;
    site.user("taken", "").await;
    let field = prompt(&site, "text", json!({})).await;
    flow(&site, &[field], json!({})).await;
    for (kind, required, given, expected) in table() {
        site.change(PROMPT, field, json!({"type": kind, "required": required})).await;
        let answer = given.clone().map_or_else(|| json!({}), |given| json!({"x": given}));
        let found = stored(&mut site.browser(), answer).await;
        let expected = expected.map_err(|(text, code)| (text.to_owned(), code.to_owned()));
        assert_eq!(found, expected, "{kind}, required: {required}, given: {given:?}");
    }
}

#[tokio::test]
async fn questions_come_in_order_with_all_that_belongs_to_them() {
    let site = site().await;
    let last = prompt(&site, "text", json!({"field_key": "last", "order": 2})).await;
    let more = json!({"field_key": "first", "order": -1, "placeholder": "P", "initial_value": "I", "sub_text": "S", "required": false});
    let first = prompt(&site, "text_area", more).await;
    flow(&site, &[last, first], json!({})).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await;
    assert_eq!(component(&shown), "ak-stage-prompt");
    assert!(shown.get("pending_user").is_none() && shown["flow_info"].is_object());
    let expected = json!([
        {"field_key": "first", "label": "X", "type": "text_area", "required": false, "placeholder": "P", "initial_value": "I",
         "order": -1, "sub_text": "S", "choices": null},
        {"field_key": "last", "label": "X", "type": "text", "required": true, "placeholder": "", "initial_value": "",
         "order": 2, "sub_text": "", "choices": null},
    ]);
    assert_eq!(shown["fields"], expected);
}

#[tokio::test]
async fn an_initial_value_is_the_default_of_its_question() {
    let site = site().await;
    let field = prompt(&site, "text", json!({"initial_value": "default"})).await;
    flow(&site, &[field], json!({})).await;
    assert_eq!(stored(&mut site.browser(), json!({})).await, Ok(Some(json!("default"))));
    assert_eq!(stored(&mut site.browser(), json!({"x": "mine"})).await, Ok(Some(json!("mine"))));
    let blank = stored(&mut site.browser(), json!({"x": ""})).await.unwrap_err();
    assert_eq!((blank.0.as_str(), blank.1.as_str()), BLANK);
    site.change(PROMPT, field, json!({"type": "number", "initial_value": "7"})).await;
    assert_eq!(stored(&mut site.browser(), json!({})).await, Ok(Some(json!(7))));
    site.change(PROMPT, field, json!({"type": "checkbox", "initial_value": "true"})).await;
    assert_eq!(stored(&mut site.browser(), json!({})).await, Ok(Some(json!(true))));
    site.change(PROMPT, field, json!({"type": "email", "initial_value": "no address"})).await;
    assert_eq!(stored(&mut site.browser(), json!({})).await.unwrap_err().0, EMAIL.0);
}

#[tokio::test]
async fn fixed_questions_keep_the_servers_value() {
    let site = site().await;
    let field = prompt(&site, "hidden", json!({"initial_value": "I", "placeholder": "P"})).await;
    flow(&site, &[field], json!({})).await;
    for (kind, with_both, placeholder_only) in
        [("hidden", "I", "P"), ("static", "I", "P"), ("text_read_only", "I", ""), ("text_area_read_only", "I", "")]
    {
        site.change(PROMPT, field, json!({"type": kind, "initial_value": "I"})).await;
        assert_eq!(stored(&mut site.browser(), json!({"x": "forged"})).await, Ok(Some(json!(with_both))), "{kind}");
        site.change(PROMPT, field, json!({"initial_value": ""})).await;
        assert_eq!(
            stored(&mut site.browser(), json!({"x": "forged"})).await,
            Ok(Some(json!(placeholder_only))),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn choices_come_from_the_context_or_the_placeholder() {
    let site = site().await;
    let field = prompt(&site, "dropdown", json!({"placeholder": "only"})).await;
    flow(&site, &[field], json!({})).await;
    let mut browser = site.browser();
    let shown = browser.get("f", "").await["fields"][0].clone();
    assert_eq!(shown["choices"], json!([{"label": "only", "value": "only"}]));
    assert_eq!((&shown["placeholder"], &shown["initial_value"]), (&json!(""), &json!("only")));
    browser
        .set_context(
            json!({"prompt_data": {"x__choices": ["a", {"label": "B!", "value": "b"}, {"value": "c"}, 3, true]}}),
        )
        .await;
    let shown = browser.get("f", "").await["fields"][0].clone();
    let expected = json!([
        {"label": "a", "value": "a"}, {"label": "B!", "value": "b"}, {"label": "c", "value": "c"},
        {"label": "3", "value": "3"}, {"label": "True", "value": "True"},
    ]);
    assert_eq!((&shown["choices"], &shown["initial_value"]), (&expected, &json!("a")));
    for kind in ["dropdown", "radio-button-group"] {
        site.change(PROMPT, field, json!({"type": kind})).await;
        for (given, kept) in [
            (json!("b"), Ok(Some(json!("b")))),
            (json!("3"), Ok(Some(json!("3")))),
            (json!(3), Ok(Some(json!("3")))),
            (json!("z"), Err(NO_CHOICE)),
            (json!("B!"), Err(("\"B!\" is not a valid choice.", "invalid_choice"))),
            (json!(""), Err(("\"\" is not a valid choice.", "invalid_choice"))),
            (json!(["a"]), Err(TEXT)),
            (json!(null), Err(NULL)),
        ] {
            let mut browser = site.browser();
            browser.get("f", "").await;
            let data = json!({"prompt_data": {"x__choices": ["a", {"label": "B!", "value": "b"}, 3]}});
            browser.set_context(data).await;
            let kept = kept.map_err(|(t, c)| (t.to_owned(), c.to_owned()));
            assert_eq!(stored(&mut browser, json!({"x": given})).await, kept, "{kind} {given}");
        }
    }
    assert_eq!(
        stored(&mut site.browser(), json!({})).await,
        Ok(Some(json!("only"))),
        "the first choice is the default"
    );
}

#[tokio::test]
async fn an_initial_choice_must_be_one_of_the_values() {
    let site = site().await;
    let field = prompt(&site, "dropdown", json!({"initial_value": "b"})).await;
    flow(&site, &[field], json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    for (choices, initial) in [
        (json!(["a", "b"]), "b"),
        (json!(["c", "d"]), "c"),
        (json!([{"label": "C", "value": "c"}]), "c"),
        (json!([]), ""),
    ] {
        browser.set_context(json!({"prompt_data": {"x__choices": choices}})).await;
        assert_eq!(browser.get("f", "").await["fields"][0]["initial_value"], initial);
    }
    let missing = browser.post("f", "", json!({})).await;
    assert_eq!(error(&missing, "x"), REQUIRED);
}

#[tokio::test]
async fn what_is_known_already_is_shown_but_never_a_password() {
    let site = site().await;
    let text = prompt(&site, "text", json!({"initial_value": "default"})).await;
    let password = prompt(&site, "password", json!({"field_key": "password"})).await;
    flow(&site, &[text, password], json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    for (known, shown) in [(json!("typed"), "typed"), (json!(true), "True"), (json!(3), "3")] {
        browser.set_context(json!({"prompt_data": {"x": known, "password": "right horse"}})).await;
        let fields = browser.get("f", "").await["fields"].clone();
        assert_eq!((&fields[0]["initial_value"], &fields[1]["initial_value"]), (&json!(shown), &json!("")));
    }
}

#[tokio::test]
async fn exactly_two_passwords_must_be_equal() {
    let site = site().await;
    let mut fields = Vec::new();
    for key in ["one", "two", "three"] {
        fields.push(prompt(&site, "password", json!({"field_key": key})).await);
    }
    let stage = flow(&site, &fields[..2], json!({})).await;
    let mut browser = site.browser();
    let shown = browser.post("f", "", json!({"one": "a", "two": "b"})).await;
    assert_eq!(error(&shown, "non_field_errors"), ("Passwords don't match.", "invalid"));
    assert!(!shown.to_string().contains("\"initial_value\":\"a\""));
    assert_eq!(browser.post("f", "", json!({"one": " a", "two": " a"})).await["name"], "inside");
    assert_eq!(browser.context().await["prompt_data"], json!({"one": " a", "two": " a"}));
    site.change(STAGE, stage, json!({"fields": fields})).await;
    let shown = site.browser().post("f", "", json!({"one": "a", "two": "b", "three": "c"})).await;
    assert_eq!(shown["name"], "inside", "three are not compared");
}

#[tokio::test]
async fn ones_own_username_is_not_taken() {
    let site = site().await;
    let (ann, _bob) = (site.user("ann", "").await, site.user("bob", "").await);
    let field = prompt(&site, "username", json!({})).await;
    flow(&site, &[field], json!({})).await;
    for pending in [true, false] {
        let mut browser = site.browser();
        if pending {
            browser.get("f", "").await;
            browser.set_context(json!({"pending_user": {"pk": ann}})).await;
        } else {
            browser.bearer = Some(ann);
        }
        assert_eq!(stored(&mut browser, json!({"x": "bob"})).await.unwrap_err().0, "Username is already taken.");
        assert_eq!(stored(&mut browser, json!({"x": "ann"})).await, Ok(Some(json!("ann"))));
    }
}

#[tokio::test]
async fn only_asked_keys_are_taken_and_all_errors_are_told_together() {
    let site = site().await;
    let a = prompt(&site, "text", json!({"field_key": "a"})).await;
    let b = prompt(&site, "number", json!({"field_key": "b"})).await;
    flow(&site, &[a, b], json!({})).await;
    let mut browser = site.browser();
    let shown = browser.post("f", "", json!({"b": "x"})).await;
    assert_eq!((error(&shown, "a"), error(&shown, "b")), (REQUIRED, INTEGER));
    assert!(!browser.context().await.contains_key("prompt_data"), "a refused answer leaves nothing");
    browser.post("f", "", json!({"a": "1", "b": 2, "is_superuser": true, "a__choices": ["z"]})).await;
    assert_eq!(browser.context().await["prompt_data"], json!({"a": "1", "b": 2}));
}

#[tokio::test]
async fn answers_of_several_stages_add_up() {
    let site = site().await;
    let flow = site.flow("f", "enrollment", json!({})).await;
    for (order, key) in [(0, "a"), (1, "b")] {
        let field = prompt(&site, "text", json!({"field_key": key})).await;
        site.step(flow, order, "prompt", key, json!({"fields": [field]})).await;
    }
    site.step(flow, 2, "dummy", "inside", json!({})).await;
    let mut browser = site.browser();
    browser.post("f", "", json!({"a": "1"})).await;
    browser.post("f", "", json!({"b": "2"})).await;
    assert_eq!(browser.context().await["prompt_data"], json!({"a": "1", "b": "2"}));
    assert_end(&browser.post("f", "", json!({})).await, "/");
}

#[tokio::test]
async fn all_validation_policies_must_agree_with_this_answer() {
    let site = site().await;
    let field = prompt(&site, "text", json!({})).await;
    let fixed = prompt(&site, "static", json!({"field_key": "fixed", "initial_value": "S"})).await;
    let mut policies = Vec::new();
    for name in ["p", "q"] {
        let body = json!({"name": name, "messages": [format!("{name} says no")]});
        policies.push(site.make("weir_testkit.scriptedpolicy", body).await);
    }
    let stage = flow(&site, &[field, fixed], json!({"validation_policies": policies})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    browser.set_context(json!({"prompt_data": {"before": 1}, "other": 2})).await;
    site.change("weir_testkit.scriptedpolicy", policies[1], json!({"passing": false})).await;
    let shown = browser.post("f", "", json!({"x": "answer"})).await;
    let told: Vec<&str> = shown["response_errors"]["non_field_errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["string"].as_str().unwrap())
        .collect();
    assert_eq!(told, ["p says no", "q says no"]);
    let asked = site.asked();
    assert_eq!(asked[0].context["prompt_data"], json!({"x": "answer", "fixed": "S"}));
    assert_eq!(asked[0].context["other"], 2);
    assert_eq!(browser.context().await["prompt_data"], json!({"before": 1}));
    site.change("weir_testkit.scriptedpolicy", policies[1], json!({"error": "broken"})).await;
    let shown = browser.post("f", "", json!({"x": "answer"})).await;
    assert_eq!(shown["response_errors"]["non_field_errors"][1]["string"], "broken", "a policy that fails refuses");
    site.change("weir_testkit.scriptedpolicy", policies[1], json!({"passing": true, "error": ""})).await;
    assert_eq!(browser.post("f", "", json!({"x": "answer"})).await["name"], "inside");
    assert_eq!(browser.context().await["prompt_data"], json!({"before": 1, "x": "answer", "fixed": "S"}));
    // Refused answers do not reach policies.
    site.asked();
    site.browser().post("f", "", json!({})).await;
    assert!(site.asked().is_empty());
    site.delete("weir_testkit.scriptedpolicy", policies[0]).await;
    let left = site.app.site.snapshot().find(stage).unwrap().doc["validation_policies"].clone();
    assert_eq!(left, json!([policies[1]]));
}

#[tokio::test]
async fn questions_changed_while_the_flow_runs_are_in_force() {
    let site = site().await;
    let field = prompt(&site, "text", json!({})).await;
    let stage = flow(&site, &[field], json!({})).await;
    let mut browser = site.browser();
    browser.get("f", "").await;
    let more = prompt(&site, "text", json!({"field_key": "more"})).await;
    site.change(STAGE, stage, json!({"fields": [field, more]})).await;
    assert_eq!(error(&browser.post("f", "", json!({"x": "1"})).await, "more"), REQUIRED);
    site.delete(PROMPT, more).await;
    assert_eq!(browser.post("f", "", json!({"x": "1"})).await["name"], "inside");
}

#[tokio::test]
async fn a_failing_expression_shows_its_text_and_is_an_event() {
    let site = site().await;
    let more = json!({"placeholder": "return 1/0", "placeholder_expression": true, "initial_value": "nonsense(", "initial_value_expression": true});
    let field = prompt(&site, "text", more).await;
    flow(&site, &[field], json!({})).await;
    // No interpreter runs here, so every expression fails.
    let shown = site.browser().get("f", "").await["fields"][0].clone();
    assert_eq!((&shown["placeholder"], &shown["initial_value"]), (&json!("return 1/0"), &json!("nonsense(")));
    let events = site.events_of("property_mapping_exception").await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["expression"], "return 1/0");
}

async fn previewed(site: &TestSite, body: Value) -> Result<Value, Value> {
    let mut unit = site.unit();
    preview(&site.app, &mut unit, &site.request(), None, &map(body)).await.map_err(|error| error.body())
}

#[tokio::test]
async fn a_preview_shows_one_question_without_its_name() {
    let site = site().await;
    let shown =
        previewed(&site, json!({"field_key": "k", "label": "L", "type": "radio-button-group", "placeholder": "one"}))
            .await;
    let field = json!({
        "field_key": "k", "label": "L", "type": "radio-button-group", "required": true, "placeholder": "",
        "initial_value": "one", "order": 0, "sub_text": "", "choices": [{"label": "one", "value": "one"}],
    });
    assert_eq!(shown, Ok(json!({"component": "ak-stage-prompt", "fields": [field]})));
    assert!(previewed(&site, json!({"name": null, "field_key": "k", "label": "L", "type": "text"})).await.is_ok());
    let refused = previewed(&site, json!({"label": "", "type": "riddle"})).await.unwrap_err();
    let expected = json!({
        "field_key": ["This field is required."], "label": ["This field may not be blank."],
        "type": ["\"riddle\" is not a valid choice."],
    });
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn a_preview_tells_why_an_expression_fails() {
    let site = site().await;
    let body =
        json!({"field_key": "k", "label": "L", "type": "text", "initial_value": "x", "initial_value_expression": true});
    let refused = previewed(&site, body).await.unwrap_err();
    assert!(refused["non_field_errors"][0].as_str().is_some_and(|text| !text.is_empty()), "{refused}");
    assert!(site.events().await.is_empty());
}
