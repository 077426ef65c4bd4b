"""Kinds of policies over the interface: a list of stolen passwords, trying out, explaining, countries."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from conftest import PASSWORD, TOKEN
from places import database


class StolenPasswords(BaseHTTPRequestHandler):
    asked = []

    def do_GET(self):
        self.asked.append(self.path)
        rest = hashlib.sha1(b"password1").hexdigest().upper()[5:]
        body = f"0018A45C4D1DEF81644B54AB7F969B88D65:1\r\n{rest}:42\r\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(start_server):
    StolenPasswords.asked = []
    stolen = ThreadingHTTPServer(("127.0.0.1", 0), StolenPasswords)
    threading.Thread(target=stolen.serve_forever, daemon=True).start()
    yield start_server(OUTBOUND__HIBP_URL=f"http://127.0.0.1:{stolen.server_port}")
    stolen.shutdown()


def call(server, method, path, body=None, key=TOKEN):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return requests.request(method, f"{server.url}/api/v3{path}", json=body, headers=headers)


def make(server, kind, **fields):
    answer = call(server, "POST", f"/policies/{kind}/", fields)
    assert answer.status_code == 201, answer.text
    return answer.json()["pk"]


def test_policies_are_tried_out_with_the_context_of_the_body(server):
    user = server.user("ann")
    password = make(server, "password", name="p", check_have_i_been_pwned=True)

    def tried(policy, context):
        answer = call(server, "POST", f"/policies/all/{policy}/test/", {"user": user["pk"], "context": context})
        assert answer.status_code == 200, answer.text
        return answer.json()["passing"], answer.json()["messages"]

    assert tried(password, {}) == (False, ["Password not set in context"])
    assert tried(password, {"password": "password1"}) == (False, ["Password exists on 42 online lists."])
    assert tried(password, {"prompt_data": {"password": "something else"}}) == (True, [])
    assert all(len(path) == len("/range/") + 5 for path in StolenPasswords.asked)
    assert len(StolenPasswords.asked) == 2
    geoip = make(server, "geoip", name="g", countries=["DE"])
    assert tried(geoip, {}) == (False, ["GeoIP: client IP address not found in City database."])
    assert tried(geoip, {"geoip": {"country": "DE"}}) == (True, [])
    matcher = make(server, "event_matcher", name="e", action="login")
    assert tried(matcher, {"event": {"action": "login"}})[0] is True
    # Trying one out changes nobody.
    expiry = make(server, "password_expiry", name="x", days=-1)
    before = server.api("GET", f"/core/users/{user['pk']}/")["password_change_date"]
    assert tried(expiry, {})[0] is False
    assert server.api("GET", f"/core/users/{user['pk']}/")["password_change_date"] == before


def test_a_reputation_policy_needs_something_to_look_at_in_each_request(server):
    told = {"non_field_errors": ["Either IP or Username must be checked"]}
    refused = call(server, "POST", "/policies/reputation/", {"name": "r"})
    assert (refused.status_code, refused.json()) == (400, told)
    policy = make(server, "reputation", name="r", check_ip=True)
    assert call(server, "PATCH", f"/policies/reputation/{policy}/", {"threshold": -1}).json() == told
    changed = call(server, "PATCH", f"/policies/reputation/{policy}/", {"threshold": -1, "check_ip": True})
    assert changed.json()["threshold"] == -1


def test_countries_are_public_and_named(server):
    countries = call(server, "GET", "/policies/geoip_iso3166/", key=None).json()
    assert len(countries) == 249 and {"code": "DE", "name": "Germany"} in countries
    policy = make(server, "geoip", name="g", countries=["FR", "DE"])
    shown = call(server, "GET", f"/policies/geoip/{policy}/").json()
    assert [country["code"] for country in shown["countries_obj"]] == ["FR", "DE"]
    assert call(server, "POST", "/policies/geoip/", {"name": "h", "countries": ["XX"]}).status_code == 400


def test_a_dry_run_explains_a_flow_a_target_and_a_binding(server):
    user = server.user("ann")
    flow = server.api("GET", "/flows/instances/default-authentication-flow/")["pk"]
    script = "ak_message('no'); requests.get('http://127.0.0.1:1/'); return True"
    policy = make(server, "expression", name="calls", expression=script)
    body = {"target": flow, "policy": policy, "order": 0, "failure_result": True}
    binding = server.api("POST", "/policies/bindings/", body)["pk"]
    server.api("POST", "/policies/bindings/", {"target": flow, "user": user["pk"], "order": 1})

    def explained(**asked):
        answer = call(server, "POST", "/weir/dry_run/", {"user": user["pk"], **asked})
        assert answer.status_code == 200, answer.text
        return answer.json()

    context = {"prompt_data": {"password": "hidden"}, "colour": "red"}
    whole = explained(flow=flow, context=context)
    # The user's own binding passes, and any is enough.
    assert whole["applies"] is True and whole["policies"]["engine_mode"] == "any"
    assert whole["authentication"]["fulfilled"] is True
    first, second = whole["policies"]["bindings"]
    assert (first["failed"], first["result"], first["passing"]) == (False, None, None)
    assert (first["messages"], first["not_asked"]) == (["no"], ["GET http://127.0.0.1:1/"])
    assert (second["kind"], second["matches"]) == ("user", True)
    assert [stage["meta_model_name"] for stage in whole["planned"]][0].endswith("identificationstage")
    assert "hidden" not in str(whole) and whole["request"]["context"]["colour"] == "red"
    target = explained(target=flow)["policies"]
    assert [node["binding"] for node in target["bindings"]][0] == binding
    alone = explained(binding=binding)["policies"]
    assert (len(alone["bindings"]), alone["passing"]) == (1, None)
    assert server.events("policy_exception") == []
    for wrong in [{}, {"flow": flow, "target": flow}, {"flow": str(policy)}, {"target": flow, "client_ip": "x"}]:
        assert call(server, "POST", "/weir/dry_run/", {"user": user["pk"], **wrong}).status_code == 400
    assert call(server, "POST", "/weir/dry_run/", {"user": 4711, "flow": flow}).status_code == 400
    server.api("POST", "/core/tokens/", {"identifier": "t", "user": user["pk"], "intent": "api"})
    key = server.api("GET", "/core/tokens/t/view_key/")["key"]
    assert call(server, "POST", "/weir/dry_run/", {"user": user["pk"], "flow": flow}, key).status_code in (400, 403)
    assert call(server, "POST", "/weir/dry_run/", {"user": user["pk"], "flow": flow}, None).status_code == 403


def test_events_sessions_and_scores_tell_where_somebody_was(start_server, tmp_path):
    place = {"continent": {"code": "EU"}, "country": {"iso_code": "DE"}, "city": {"names": {"en": "Bremen"}}}
    place["location"] = {"latitude": 53.08, "longitude": 8.81}
    (tmp_path / "city.mmdb").write_bytes(database("GeoLite2-City", 127, place))
    network = {"autonomous_system_number": 64512, "autonomous_system_organization": "Here"}
    (tmp_path / "asn.mmdb").write_bytes(database("GeoLite2-ASN", 127, network))
    server = start_server(GEOIP__CITY=tmp_path / "city.mmdb", GEOIP__ASN=tmp_path / "asn.mmdb")
    flow = server.api("GET", "/flows/instances/default-authentication-flow/")["pk"]
    policy = make(server, "geoip", name="g", countries=["DE"])
    server.api("POST", "/policies/bindings/", {"target": flow, "policy": policy, "order": 0})
    user = server.user("ann")
    server.set_password(user)
    browser = server.browser()
    slug = "default-authentication-flow"
    browser.get(slug)
    browser.post(slug, {"uid_field": "ann"})
    browser.post(slug, {"password": PASSWORD})
    assert browser.me()["username"] == "ann"
    bremen = {"continent": "EU", "country": "DE", "lat": 53.08, "long": 8.81, "city": "Bremen"}
    here = {"asn": 64512, "as_org": "Here", "network": "127.0.0.0/8"}
    event = server.events("login")[0]["context"]
    assert (event["geo"], event["asn"]) == (bremen, here)
    session = server.api("GET", "/core/authenticated_sessions/?user__username=ann")["results"][0]
    assert (session["geo_ip"], session["asn"]) == (bremen, here)
    score = server.api("GET", "/policies/reputation/scores/?identifier=ann")["results"][0]
    assert (score["ip_geo_data"], score["ip_asn_data"]) == (bremen, here)
    server.api("PATCH", f"/policies/geoip/{policy}/", {"countries": ["FR"]})
    refused = server.browser().get(slug)
    assert refused["component"] == "ak-stage-access-denied"
    assert refused["error_message"] == "Client IP is not in an allowed country."
