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
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: Agent(server, key, "SN-2"), range(20)))
    assert len(server.api("GET", "/endpoints/devices/?identifier=SN-2")["results"]) == 1
    server.api("PATCH", f"/endpoints/agents/connectors/{connector['connector_uuid']}/", {"enabled": False})
    assert agent.call("GET", "agent_config/").status_code == 403
    assert Agent(server, key, "SN-3").refused.status_code == 403
    server.api("DELETE", f"/endpoints/connectors/{connector['connector_uuid']}/")
    assert server.api("GET", "/endpoints/agents/enrollment_tokens/")["results"] == []
