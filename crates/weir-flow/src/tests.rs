//! Pure parts of the engine; the executor is driven in the stage crate, where stages exist.

use crate::{redirect, state::FlowState};

#[test]
fn only_addresses_that_stay_on_the_site_are_followed() {
    for good in ["/", "/if/user/", "/if/user/#/settings", "relative/path?x=1", "/a//b", "?x=y", "/x?next=https://e.org"]
    {
        assert!(redirect::is_local(good), "{good}");
    }
    for bad in [
        "",
        "//evil.example",
        "///evil.example",
        "https://evil.example",
        "http:evil",
        "https:evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "\\\\evil.example",
        "/\\evil.example",
        "/a b",
        "\t//evil.example",
        "/a\nb",
        "mailto:x@y",
        "/\u{85}x",
    ] {
        assert!(!redirect::is_local(bad), "{bad:?}");
    }
}

#[test]
fn titles_are_formatted_or_shown_as_they_are() {
    assert_eq!(redirect::title("Log in to %(app)s, %(user)s", "Wiki", "ann"), "Log in to Wiki, ann");
    assert_eq!(redirect::title("100%", "a", "b"), "100%");
    assert_eq!(redirect::title("100%% of %(user)s", "a", "b"), "100% of b");
    assert_eq!(redirect::title("%(other)s", "a", "b"), "%(other)s");
}

#[test]
fn an_unreadable_or_older_state_counts_as_nothing() {
    assert!(FlowState::read(Some("{not json")).plan.is_none());
    let old = r#"{"plan": {"version": 0, "flow": "6f1bca4c-94e4-4f6f-8f3a-111111111111", "steps": [], "context": {}}, "query": "a=b"}"#;
    let state = FlowState::read(Some(old));
    assert!(state.plan.is_none() && state.query.is_none());
}
