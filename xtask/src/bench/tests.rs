use super::*;

#[test]
fn the_table_has_every_row_and_names_what_was_not_measured() {
    let results = Results::from([(START_EMPTY, "0.4 s".to_owned())]);
    let text = table(&[("SQLite", results)]);
    assert_eq!(text.lines().count(), ROWS.len() + 2);
    assert!(text.contains("| start to first healthy answer, empty database | < 1 s | 0.4 s |"), "{text}");
    assert!(text.contains("not measured"), "{text}");
}

#[test]
fn every_row_stands_once() {
    let names: std::collections::BTreeSet<_> = ROWS.iter().map(|(what, _)| what).collect();
    assert_eq!(names.len(), ROWS.len());
}
