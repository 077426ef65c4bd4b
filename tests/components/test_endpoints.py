"""The endpoint stage with a scripted agent: it enrols its device, is configured, checks in, and answers challenges."""

import base64
import hashlib
import hmac
import json
import subprocess
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from conftest import PASSWORD


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Agent:
    """What the program on a device does."""

    def __init__(self, server, enrolment_key, serial):
        self.server, self.serial = server, serial
        body = {"device_serial": serial, "device_name": f"laptop {serial}"}
        answer = self.call("POST", "enroll/", body, f"Bearer {enrolment_key}")
        self.refused = None if answer.ok else answer
        self.token = answer.json().get("token")

    def call(self, method, path, body=None, authorization=None):
        headers = {"Authorization": authorization or f"Bearer+agent {self.token}"}
        return requests.request(method, f"{self.server.url}/api/v3/endpoints/agents/connectors/{path}", json=body,
                                headers=headers, timeout=20)

    def answer(self, challenge, **changes):
        claims = {"iss": self.serial, "aud": "goauthentik.io/platform/endpoint", "atc": challenge} | changes
        signed = ".".join(encode(json.dumps(part).encode()) for part in [{"alg": "HS512", "typ": "JWT"}, claims])
        mac = hmac.new(self.token.encode(), signed.encode(), hashlib.sha512).digest()
        return {"response": f"{signed}.{encode(mac)}"}


@pytest.fixture
def place(start_server):
    """A server with a connector, the key of an enrolment token, and a flow."""
    server = start_server()
    pair = server.api("POST", "/crypto/certificatekeypairs/generate/",
                      {"common_name": "challenges", "validity_days": 30, "alg": "ed25519"})
    connector = server.api("POST", "/endpoints/agents/connectors/", {"name": "agents", "challenge_key": pair["pk"]})
    token = {"name": "fleet", "connector": connector["connector_uuid"]}
    token = server.api("POST", "/endpoints/agents/enrollment_tokens/", token)
    key = server.api("GET", f"/endpoints/agents/enrollment_tokens/{token['token_uuid']}/view_key/")["key"]
    stage = {"connector": connector["connector_uuid"], "mode": "required"}
    server.flow("device", "authentication", ("endpoints", stage), ("dummy", {}))
    return server, connector, key


def test_an_agent_enrols_checks_in_and_passes_the_stage(place, tmp_path):
    server, connector, key = place
    assert not any(key in json.dumps(event["context"]) for event in server.events("secret_view"))
    agent = Agent(server, key, "SN-1")
    config = agent.call("GET", "agent_config/").json()
    assert config["refresh_interval"] == 1800 and config["nss_uid_offset"] == 2000
    facts = {
        "os": {"family": "linux", "name": "Debian", "version": "13"},
        "hardware": {"serial": "SN-1", "memory_bytes": 2**40},
        "disks": [{"name": "sda", "mountpoint": "/", "encryption_enabled": True}],
        "network": {"hostname": "h", "interfaces": [{"name": "eth0", "hardware_address": "00:00:5e:00:53:01"}]},
    }
    assert server.api("GET", "/endpoints/devices/summary/")["unreachable_count"] == 1
    assert agent.call("POST", "check_in/", facts).status_code == 204
    assert server.api("GET", "/endpoints/devices/summary/") == {
        "total_count": 1, "unreachable_count": 0, "outdated_agent_count": 0}
    device = server.api("GET", "/endpoints/devices/?identifier=SN-1")["results"][0]
    assert (device["name"], device["facts"]["data"]) == ("laptop SN-1", facts)
    details = server.api("GET", f"/endpoints/devices/{device['device_uuid']}/")
    assert details["connections_obj"][0]["connector"] == connector["connector_uuid"]
    assert details["device_uuid"] == config["device_id"]
    for bad in [{"os": {"family": "abacus"}}, {"disks": 3}, {"hardware": {}}, []]:
        assert agent.call("POST", "check_in/", bad).status_code == 400, bad
    browser = server.browser()
    shown = browser.get("device")
    assert shown["component"] == "ak-stage-endpoint-agent"
    check_signature(config["jwks_challenge"]["keys"][0], shown["challenge"], tmp_path)
    refused = browser.post("device", agent.answer(shown["challenge"], aud="else"))
    assert refused["response_errors"]["response"][0]["string"] == "Invalid challenge response"
    assert browser.post("device", agent.answer(refused["challenge"]))["component"] == "ak-stage-dummy"


def check_signature(jwk, token, folder):
    """OpenSSL believes the challenge by the key that the agent was given."""
    signed, signature = token.rsplit(".", 1)
    header = json.loads(decode(signed.split(".")[0]))
    assert (header["alg"], header["kid"]) == ("EdDSA", jwk["kid"])
    der = bytes.fromhex("302a300506032b6570032100") + decode(jwk["x"])
    (folder / "key.der").write_bytes(der)
    (folder / "message").write_text(signed)
    (folder / "signature").write_bytes(decode(signature))
    subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der", "-rawin",
                    "-in", "message", "-sigfile", "signature"], cwd=folder, check=True, capture_output=True)


def test_an_agent_begins_a_sign_in_that_one_browser_goes_on_with(place):
    server, connector, key = place
    agent = Agent(server, key, "SN-1")
    assert agent.call("POST", "auth_ia/").status_code == 400, "there is no flow yet"
    flow = server.api("GET", "/flows/instances/device/")
    path = f"/endpoints/agents/connectors/{connector['connector_uuid']}/"
    server.api("PATCH", path, {"authorization_flow": flow["pk"]})
    begin = lambda: agent.call("POST", "auth_ia/?login_hint=ann").json()["url"]
    dth = {"X-Authentik-Platform-Auth-DTH": hashlib.sha256(agent.token.encode()).hexdigest()}
    browser = server.browser()
    opened = browser.http.get(begin(), allow_redirects=False)
    assert (opened.status_code, urllib.parse.urlsplit(opened.headers["Location"]).path) == (302, "/if/flow/device/")
    assert browser.get("device", headers=dth)["component"] == "ak-stage-dummy"
    stranger = server.browser()
    stranger.http.get(begin(), allow_redirects=False)
    assert stranger.get("device")["error_message"] == "Invalid device token"
    url = begin()
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: requests.get(url, allow_redirects=False, timeout=60).status_code, range(50)))
    assert answers.count(302) == 1, answers


def test_who_is_bound_to_the_device_gets_a_token_for_it_alone(place, tmp_path):
    server, connector, key = place
    agent = Agent(server, key, "SN-1")
    dth = {"X-Authentik-Platform-Auth-DTH": hashlib.sha256(agent.token.encode()).hexdigest()}
    server.flow("quiet", "authorization", authentication="require_authenticated")
    flow = server.api("GET", "/flows/instances/quiet/")
    path = f"/endpoints/agents/connectors/{connector['connector_uuid']}/"
    server.api("PATCH", path, {"authorization_flow": flow["pk"], "auth_session_duration": "hours=1"})
    ann = server.user("ann")
    server.set_password(ann)
    browser = server.signed_in("ann")
    begin = lambda: agent.call("POST", "auth_ia/").json()["url"]
    opened = lambda headers=dth, who=browser: who.http.get(begin(), headers=headers, allow_redirects=False)
    assert opened().status_code == 403, "nobody is bound to the device"
    device = server.api("GET", "/endpoints/devices/?identifier=SN-1")["results"][0]
    binding = server.api("POST", "/endpoints/device_bindings/", {"target": device["device_uuid"], "user": ann["pk"], "order": 0})
    for wrong in [{}, {"X-Authentik-Platform-Auth-DTH": "0" * 64}]:
        assert opened(wrong).status_code == 403, "another browser than the agent's"
    answer = opened()
    assert answer.status_code == 302, answer.text
    target, _, token = answer.headers["Location"].partition("?ak-auth-ia-token=")
    assert target == "goauthentik.io://platform/finished"
    config = agent.call("GET", "agent_config/").json()
    check_signature(config["jwks_auth"]["keys"][0], token, tmp_path)
    claims = json.loads(decode(token.split(".")[1]))
    assert (claims["aud"], claims["preferred_username"]) == (config["device_id"], "ann")
    assert claims["exp"] - claims["iat"] == 3600
    logins = [event for event in server.events("login") if event["context"].get("auth_method") == "agent"]
    assert [event["user"]["username"] for event in logins] == ["ann"]
    assert logins[0]["context"]["device"]["name"] == "laptop SN-1" and token not in json.dumps(logins)

    # A group of devices is another way in; what is bound to neither is shut.
    server.api("PATCH", f"/endpoints/device_bindings/{binding['pk']}/", {"enabled": False})
    assert opened().status_code == 403
    group = server.api("POST", "/endpoints/device_access_groups/", {"name": "floor"})["pbm_uuid"]
    server.api("PATCH", f"/endpoints/devices/{device['device_uuid']}/", {"access_group": group})
    assert opened().status_code == 403
    server.api("POST", "/policies/bindings/", {"target": group, "user": ann["pk"], "order": 0})
    assert opened().status_code == 302
    bob = server.user("bob")
    server.set_password(bob)
    assert opened(who=server.signed_in("bob")).status_code == 403

    # Who is not signed in does that first, and comes back by the same link.
    stranger, url = server.browser(), begin()
    sent = stranger.http.get(url, headers=dth, allow_redirects=False)
    assert sent.status_code == 302 and "/flows/-/default/authentication/" in sent.headers["Location"]
    assert browser.http.get(url, headers=dth, allow_redirects=False).status_code == 302
    assert browser.http.get(url, headers=dth, allow_redirects=False).status_code == 403, "once"
    server.api("PATCH", f"/core/users/{ann['pk']}/", {"is_active": False})
    assert opened().status_code in (302, 403) and "ak-auth" not in opened().headers.get("Location", "")


def test_a_flow_that_asks_ends_with_the_agent_too(place):
    server, connector, key = place
    agent = Agent(server, key, "SN-1")
    dth = {"X-Authentik-Platform-Auth-DTH": hashlib.sha256(agent.token.encode()).hexdigest()}
    flow = server.api("GET", "/flows/instances/default-authentication-flow/")
    server.api("PATCH", f"/endpoints/agents/connectors/{connector['connector_uuid']}/", {"authorization_flow": flow["pk"]})
    ann = server.user("ann")
    server.set_password(ann)
    device = server.api("GET", "/endpoints/devices/?identifier=SN-1")["results"][0]
    server.api("POST", "/endpoints/device_bindings/", {"target": device["device_uuid"], "user": ann["pk"], "order": 0})
    for username, hint, ending in [("ann", "?login_hint=ann", "xak-flow-redirect"), ("akadmin", "", "ak-stage-access-denied")]:
        browser = server.browser()
        url = agent.call("POST", f"auth_ia/{hint}").json()["url"]
        assert browser.http.get(url, headers=dth, allow_redirects=False).status_code == 302
        slug = "default-authentication-flow"
        if browser.get(slug)["component"] == "ak-stage-identification":
            assert not hint
            browser.post(slug, {"uid_field": username})
        last = browser.post(slug, {"password": PASSWORD})
        assert last["component"] == ending, last
        assert last.get("to", "").startswith("goauthentik.io://platform/finished") == (username == "ann")


def test_tokens_open_nothing_but_their_own(place):
    server, connector, key = place
    agent = Agent(server, key, "SN-1")
    for authorization in ["Bearer+agent nonsense", f"Bearer+agent {key}", f"Bearer {agent.token}", "Bearer+agent "]:
        assert agent.call("GET", "agent_config/", authorization=authorization).status_code == 403, authorization
    for authorization in ["Bearer nonsense", f"Bearer {agent.token}", f"Bearer+agent {key}"]:
        body = {"device_serial": "x", "device_name": "x"}
        assert agent.call("POST", "enroll/", body, authorization).status_code == 403, authorization
    for secret in [key, agent.token]:
        answer = requests.get(f"{server.url}/api/v3/core/users/me/", headers={"Authorization": f"Bearer {secret}"}, timeout=20)
        assert answer.status_code == 403
    for reserved in ["chrome.google.com/host", "fleetdm.com/uuid"]:
        assert Agent(server, key, reserved).refused.status_code == 400, "no agent passes for another's device"
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: Agent(server, key, "SN-2"), range(20)))
    assert len(server.api("GET", "/endpoints/devices/?identifier=SN-2")["results"]) == 1
    server.api("PATCH", f"/endpoints/agents/connectors/{connector['connector_uuid']}/", {"enabled": False})
    assert agent.call("GET", "agent_config/").status_code == 403
    assert Agent(server, key, "SN-3").refused.status_code == 403
    server.api("DELETE", f"/endpoints/connectors/{connector['connector_uuid']}/")
    assert server.api("GET", "/endpoints/agents/enrollment_tokens/")["results"] == []
