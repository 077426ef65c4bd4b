use super::*;

#[test]
fn a_body_of_stated_length_is_read_and_the_next_answer_follows() {
    let mut wire: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 No Content\r\n\r\n";
    let first = read_answer(&mut wire).unwrap();
    assert_eq!((first.status, first.body.as_slice()), (200, b"ok".as_slice()));
    assert_eq!(read_answer(&mut wire).unwrap().status, 204);
}

#[test]
fn a_body_in_chunks_is_put_together() {
    let mut wire: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n";
    assert_eq!(read_answer(&mut wire).unwrap().body, b"abcde");
}

#[test]
fn a_cut_off_body_is_an_error() {
    let mut wire: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok";
    assert!(read_answer(&mut wire).is_err());
}

#[test]
fn cookies_are_kept_and_deleted_as_the_server_says() {
    let mut cookies = BTreeMap::new();
    keep_cookie(&mut cookies, "authentik_session=abc; Path=/; HttpOnly");
    keep_cookie(&mut cookies, "authentik_csrf=xyz; Path=/");
    assert_eq!(cookies.get("authentik_session").map(String::as_str), Some("abc"));
    keep_cookie(&mut cookies, "authentik_session=; Path=/; Max-Age=0");
    assert!(!cookies.contains_key("authentik_session"));
    assert_eq!(cookies.len(), 1);
}
