use super::*;

#[test]
fn the_account_names_what_was_missing_and_ends_in_the_count() {
    let second = Duration::from_secs(1);
    let text = table(&[
        ("format", Outcome::Passed, second),
        ("browser", Outcome::Missing("Chromium".into()), second),
        ("lint", Outcome::Failed("see above".into()), second),
    ]);
    assert!(text.contains("skipped: this machine has no Chromium"), "{text}");
    assert_eq!(text.lines().last(), Some("1 passed, 1 failed, 1 skipped"));
}

#[test]
fn an_unknown_suite_is_refused_by_name() {
    let error = choose(&["browsers".to_owned()]).err().unwrap().to_string();
    assert!(error.contains("\"browsers\"") && error.contains("browser,") | error.ends_with("browser"), "{error}");
}

#[test]
fn without_a_choice_every_suite_runs() {
    assert_eq!(choose(&[]).unwrap().len(), SUITES.len());
}
