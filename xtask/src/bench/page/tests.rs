use super::*;

#[test]
fn what_a_browser_fetches_is_found_and_links_are_not() {
    let html = r#"<link rel="stylesheet" href="/static/a.css"><script type="module" src="/static/b.js"></script>
        <a href="/elsewhere/">x</a><img alt="" src="/static/c.svg"><img src="data:image/png;base64,AA==">
        <script src="/static/b.js"></script>"#;
    let expected = ["/static/a.css", "/static/b.js", "/static/c.svg"].map(str::to_owned);
    assert_eq!(named_assets(html), BTreeSet::from(expected));
}
