//! Helpers without a host and the modules people import.

use serde_json::json;

use crate::fake::{give, raise, run};

#[tokio::test]
async fn regular_expressions_search() {
    give(&[
        ("return regex_match('hello world', 'wor')", json!(true)),
        ("return regex_match('hello', '^wor')", json!(false)),
        ("return regex_replace('John Doe', r'(\\w+) (\\w+)', r'\\2, \\1')", json!("Doe, John")),
        ("import re\nreturn re.findall(r'[a-z]+', 'a1bc')", json!(["a", "bc"])),
        ("import re\nreturn re.match(r'(?P<user>[^@]+)@', 'ada@x').group('user')", json!("ada")),
    ])
    .await;
}

#[tokio::test]
async fn small_helpers() {
    give(&[
        ("return [list_flatten(['a', 'b']), list_flatten([]), list_flatten('x')]", json!(["a", null, "x"])),
        ("return slugify('  Äpfel & Birnen -- 2_x! ')", json!("apfel-birnen-2_x")),
        ("from django.utils.text import slugify\nreturn slugify('A B')", json!("a-b")),
    ])
    .await;
}

#[tokio::test]
async fn addresses_behave_as_in_python() {
    give(&[
        ("a = ip_address('192.168.1.5')\nreturn [a.is_private, a.version, str(a), a.is_global]", json!([true, 4, "192.168.1.5", false])),
        ("return ip_address('8.8.8.8') in ip_network('8.8.0.0/16')", json!(true)),
        ("return [ip_address('2001:DB8::1').compressed, ip_address('::').is_unspecified, ip_address('::1').is_loopback]", json!(["2001:db8::1", true, true])),
        ("return ip_address('::ffff:10.0.0.1').is_private", json!(true)),
        ("a = ip_address('10.0.0.9')\nreturn [a < ip_address('10.0.0.10'), ip_address('10.0.0.1') <= a <= ip_address('10.0.0.8'), 1 < 2, 'b' > 'a']", json!([true, false, true, true])),
        ("return ip_address('fe80::1').exploded", json!("fe80:0000:0000:0000:0000:0000:0000:0001")),
        ("return [n.with_prefixlen for n in [ip_network('10.0.0.0/8'), ip_network('10.1.2.3/8', strict=False)]]", json!(["10.0.0.0/8", "10.0.0.0/8"])),
        ("import ipaddress\nreturn ipaddress.ip_address('1.1.1.1') == ip_address('1.1.1.1')", json!(true)),
        ("from ipaddress import IPv4Network, ip_address as ip\nreturn ip('10.0.0.7') in IPv4Network('10.0.0.0/29')", json!(true)),
        ("return any(ak_client_ip in ip_network(net) for net in ['192.0.2.0/24', '10.1.0.0/16'])", json!(true)),
        ("return [str(h) for h in ip_network('192.0.2.0/30').hosts()]", json!(["192.0.2.1", "192.0.2.2"])),
        ("return str(ip_network('2001:db8::/32').broadcast_address)", json!("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")),
    ])
    .await;
    raise(&[
        ("ip_address('nonsense')", "ValueError", "'nonsense' does not appear to be an IPv4 or IPv6 address"),
        ("ip_address('1.2.3.256')", "ValueError", "'1.2.3.256' does not appear to be an IPv4 or IPv6 address"),
        ("ip_network('10.0.0.1/8')", "ValueError", "10.0.0.1/8 has host bits set"),
        ("ip_network('10.0.0.0/33')", "ValueError", "'10.0.0.0/33' does not appear to be an IPv4 or IPv6 network"),
    ])
    .await;
}

#[tokio::test]
async fn modules_of_the_standard_library() {
    give(&[
        ("import json\nreturn json.dumps({'a': [1, None]})", json!("{\"a\": [1, null]}")),
        ("import base64\nreturn base64.b64encode(b'hi').decode()", json!("aGk=")),
        ("import hashlib\nreturn hashlib.sha256(b'x').hexdigest()[:8]", json!("2d711642")),
        ("import hmac, hashlib\nreturn hmac.new(b'key', b'The quick brown fox jumps over the lazy dog', hashlib.sha256).hexdigest()", json!("f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8")),
        ("import hmac\nreturn hmac.new(b'k' * 100, b'x', 'sha1').hexdigest() == hmac.digest(b'k' * 100, b'x', 'sha1').hex()", json!(true)),
        ("import secrets\nreturn [len(secrets.token_hex(8)), len(secrets.token_urlsafe()), secrets.choice('a'), secrets.randbelow(1)]", json!([16, 43, "a", 0])),
        ("import random\nreturn random.choice([7])", json!(7)),
        ("import string\nreturn string.ascii_lowercase[:3] + string.digits[-1]", json!("abc9")),
        ("import uuid\nreturn str(uuid.uuid5(uuid.NAMESPACE_DNS, 'python.org'))", json!("886313e1-3b8a-5372-9b90-0c9aee199e5d")),
        ("from uuid import uuid4, UUID\nx = uuid4()\nreturn [len(str(x)), x.version, UUID(str(x)) == x]", json!([36, 4, true])),
        ("from urllib.parse import urlencode, quote, urlparse\nu = urlparse('https://a:b@Example.com:8443/p/q?x=1#f')\nreturn [urlencode({'a b': 'c&d'}), quote('ä/ '), u.hostname, u.port, u.path, u.query, u.username]", json!(["a+b=c%26d", "%C3%A4/%20", "example.com", 8443, "/p/q", "x=1", "a"])),
        ("import urllib.parse\nreturn [urllib.parse.urljoin('https://x/a/b', '../c'), urllib.parse.parse_qs('a=1&a=2'), urllib.parse.unquote('%C3%A4+')]", json!(["https://x/c", {"a": ["1", "2"]}, "ä+"])),
        ("from urllib import parse as p\nimport urllib.parse as q\nreturn p.quote('/') + q.quote_plus('/')", json!("/%2F")),
        ("from datetime import datetime, timedelta\nreturn (datetime(2026, 3, 1) - timedelta(days=1)).strftime('%Y-%m-%d')", json!("2026-02-28")),
        ("import time\nreturn time.time() > 1700000000", json!(true)),
        ("import math, itertools, functools\nreturn [math.ceil(1.2), list(itertools.chain([1], [2])), functools.reduce(lambda a, b: a * b, [2, 3])]", json!([2, [1, 2], 6])),
        ("from collections import defaultdict, Counter, OrderedDict\nd = defaultdict(list)\nd['a'].append(1)\nreturn [dict(d), Counter('aab')['a'], OrderedDict(x=1)]", json!([{"a": [1]}, 2, {"x": 1}])),
        ("import textwrap\nreturn [textwrap.shorten('hello wide world', 12), textwrap.dedent('  a\\n   b')]", json!(["hello [...]", "a\n b"])),
        ("from operator import itemgetter\nreturn sorted([{'a': 2}, {'a': 1}], key=itemgetter('a'))[0]", json!({"a": 1})),
        ("import html\nreturn html.escape('<a>')", json!("&lt;a&gt;")),
        ("return [bytes([1, 255]).hex(), (258).to_bytes(2, 'big').hex(), int.from_bytes(b'\\x01\\x00', 'big'), (255).bit_length()]", json!(["01ff", "0102", 256, 8])),
        ("return 'a-b'.translate({ord('-'): None, ord('a'): 'x'})", json!("xb")),
    ])
    .await;
}

#[tokio::test]
async fn random_values_differ_between_runs() {
    let source = "import secrets, uuid, random\nreturn [secrets.token_hex(16), str(uuid.uuid4()), random.random()]";
    let (one, two) = (run(source).await.result.unwrap().to_json(), run(source).await.result.unwrap().to_json());
    for index in 0..3 {
        assert_ne!(one[index], two[index]);
    }
}
