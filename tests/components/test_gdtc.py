"""Google's device trust connector: a service that speaks the Verified Access API, and a Chrome that a company manages."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from conftest import TOKEN
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from services import Service

PAGE = "/endpoint/gdtc/chrome/"
ACCOUNT = "weir@project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/verifiedaccess"
UNVERIFIED = "Your browser could not be verified."


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Google(Service):
    """Access tokens for signed statements of one service account (RFC 7523), and version 2 of the Verified Access API.

    What Chrome signs is known only to Google; here a response names its challenge and device and is signed by the
    device's key.
    """

    def __init__(self):
        super().__init__()
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.tokens, self.challenges, self.devices, self.verified, self.granted = set(), {}, {}, 0, 0

    def account(self, **changes):
        """The file that Google's console gives out for a service account."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "key-1",
            "private_key": pem.decode(),
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token",
        } | changes

    def device(self, **facts):
        name = facts.get("devicePermanentId") or facts.get("profilePermanentId") or secrets.token_hex(8)
        self.devices[name] = (secrets.token_bytes(32), facts)
        return name

    def answer(self, asked):
        assert asked.method == "POST"
        if asked.path == "/token":
            return self.token(asked)
        kind, token = asked.headers["Authorization"].split(" ")
        if kind != "Bearer" or token not in self.tokens:
            return self.error(401, "UNAUTHENTICATED")
        if asked.path == "/v2/challenge:generate":
            challenge = base64.b64encode(secrets.token_bytes(300)).decode()
            self.challenges[challenge] = time.monotonic()
            return 200, {"challenge": challenge}
        assert asked.path == "/v2/challenge:verify", asked.path
        return self.verify(asked.json)

    def token(self, asked):
        form = asked.form
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        signed, signature = form["assertion"].rsplit(".", 1)
        header, claims = (json.loads(decode(part)) for part in signed.split("."))
        assert (header["alg"], header["typ"], header["kid"]) == ("RS256", "JWT", "key-1")
        try:
            self.key.public_key().verify(decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except Exception:
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        now = time.time()
        assert claims["scope"] == SCOPE and claims["aud"] == "https://oauth2.googleapis.com/token"
        assert now - 60 < claims["iat"] <= now + 1 and claims["iat"] < claims["exp"] <= claims["iat"] + 3600
        if claims["iss"] != ACCOUNT:
            return 400, {"error": "invalid_grant", "error_description": "Invalid grant: account not found"}
        self.granted += 1
        token = "ya29." + secrets.token_urlsafe(40)
        self.tokens.add(token)
        return 200, {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}

    def verify(self, body):
        assert set(body) == {"challengeResponse"}
        try:
            said, mac = body["challengeResponse"].split(".")
            said = json.loads(decode(said))
            key, facts = self.devices[said["device"]]
            good = hmac.compare_digest(decode(mac), seal(key, said))
            good = good and time.monotonic() - self.challenges[said["challenge"]] < 60
        except (KeyError, ValueError):
            good = False
        if not good:
            return self.error(400, "INVALID_ARGUMENT")
        self.verified += 1
        return 200, facts | {"signedPublicKeyAndChallenge": "SPKAC" * 100, "deviceSignal": "{}"}

    @staticmethod
    def error(code, status):
        return code, {"error": {"code": code, "message": "It is not good.", "status": status}}


def seal(key, said):
    return hmac.new(key, json.dumps(said, sort_keys=True).encode(), hashlib.sha256).digest()


class Chrome:
    """A managed Chrome: announces itself, and answers the challenge of a redirect with its device's key."""

    def __init__(self, google, browser, device):
        self.google, self.browser, self.device = google, browser, device

    def open(self, headers):
        return self.browser.http.get(self.browser.server.url + PAGE, headers=headers, allow_redirects=False, timeout=60)

    def challenge(self):
        answer = self.open({"X-Device-Trust": "VerifiedAccess"})
        assert (answer.status_code, answer.headers["Location"]) == (302, PAGE), answer.text
        return json.loads(answer.headers["X-Verified-Access-Challenge"])["challenge"]

    def response(self, challenge, key=None):
        said = {"challenge": challenge, "device": self.device, "nonce": secrets.token_hex(8)}
        mac = seal(key or self.google.devices[self.device][0], said)
        parts = [json.dumps(said).encode(), mac]
        return json.dumps({"challengeResponse": ".".join(base64.urlsafe_b64encode(p).decode() for p in parts)})

    def respond(self, response):
        return self.open({"X-Device-Trust": "VerifiedAccess", "X-Verified-Access-Challenge-Response": response})

    def handshake(self):
        return self.respond(self.response(self.challenge()))


@pytest.fixture
def google():
    service = Google()
    yield service
    service.close()


def laptop(google, **facts):
    return google.device(**{
        "devicePermanentId": f"dev-{len(google.devices)}",
        "virtualDeviceId": "virtual",
        "customerId": "C0123",
        "keyTrustLevel": "CHROME_BROWSER_HW_KEY",
        "deviceSignals": {"displayName": "ann's laptop", "operatingSystem": "LINUX", "diskEncryption": "DISK_ENCRYPTION_ENCRYPTED"},
    } | facts)


@pytest.fixture
def place(start_server, google):
    """A server, and a flow that asks for a name and then for a managed browser."""
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    server.user("ann")
    stages = server.flow(
        "f", "authentication",
        ("identification", {"user_fields": ["username"]}),
        ("authenticator/endpoint_gdtc", {"credentials": google.account()}),
        ("user_login", {}),
    )
    return server, stages[1]


def arrive(server):
    browser = server.browser()
    browser.get("f")
    shown = browser.post("f", {"uid_field": "ann"})
    assert (shown["component"], shown["url"]) == ("xak-flow-frame", server.url + PAGE)
    assert (shown["loading_overlay"], shown["loading_text"]) == (True, "Verifying your browser...")
    return browser


def is_refused(shown):
    if shown["component"] != "xak-flow-frame":
        return False
    (only,) = shown["response_errors"]["non_field_errors"]
    return only["string"] == UNVERIFIED


def test_a_managed_browser_passes_and_becomes_a_device_of_the_person(place, google):
    server, stage = place
    browser = arrive(server)
    chrome = Chrome(google, browser, laptop(google))
    done = chrome.handshake()
    assert (done.status_code, "data-frame-done" in done.text) == (200, True)
    assert "'self'" in done.headers["Content-Security-Policy"].split("frame-ancestors")[1].split(";")[0]
    assert browser.me() is None, "the frame signs nobody in"
    assert browser.post("f", {"component": "xak-flow-frame"})["component"] == "xak-flow-redirect"
    assert browser.me()["username"] == "ann"
    (device,) = browser.http.get(f"{server.url}/api/v3/authenticators/endpoint/").json()["results"]
    assert device["name"] == "ann's laptop"
    (device,) = browser.http.get(f"{server.url}/api/v3/authenticators/all/").json()
    assert (device["type"], device["confirmed"]) == ("authentik_stages_authenticator_endpoint_gdtc.EndpointDevice", True)
    assert device["last_used"]
    (login,) = [event for event in server.events("login") if event["user"]["username"] == "ann"]
    assert login["context"]["auth_method"] == "trusted_endpoint"
    (endpoint,) = login["context"]["auth_method_args"]["endpoints"]
    assert login["context"]["auth_method_args"]["known_device"] is True
    assert endpoint["deviceSignals"]["diskEncryption"] == "DISK_ENCRYPTION_ENCRYPTED"
    assert not {"signedPublicKeyAndChallenge", "deviceSignal"} & set(endpoint)
    (setting,) = [s for s in server.api("GET", "/stages/all/user_settings/") if s["object_uid"] == stage["pk"]]
    assert setting["component"] == "ak-user-settings-authenticator-endpoint-gdtc"
    # Another time with the same browser it is the same device.
    browser = arrive(server)
    assert Chrome(google, browser, chrome.device).handshake().ok
    browser.post("f", {})
    assert len(browser.http.get(f"{server.url}/api/v3/authenticators/all/").json()) == 1


def test_a_managed_profile_on_another_browser_counts_as_well(place, google):
    server, _ = place
    browser = arrive(server)
    facts = {"profilePermanentId": "profile-1", "profileCustomerId": "C0123", "profileKeyTrustLevel": "CHROME_BROWSER_OS_KEY"}
    assert Chrome(google, browser, google.device(**facts)).handshake().ok
    browser.post("f", {})
    assert browser.me()["username"] == "ann"


def test_answers_without_the_handshake_pass_nobody(place, google):
    server, _ = place
    browser = arrive(server)
    chrome = Chrome(google, browser, laptop(google))
    for answer in [{}, {"component": "xak-flow-frame"}, {"endpoints": [{}], "url": ""}]:
        assert is_refused(browser.post("f", answer)), answer
    plain = chrome.open({})
    assert plain.status_code == 403 and "X-Verified-Access-Challenge" not in plain.headers
    assert chrome.open({"X-Device-Trust": "something"}).status_code == 403
    early = chrome.respond(chrome.response("no challenge was sent"))
    assert early.status_code == 403
    assert is_refused(browser.post("f", {}))
    challenge = chrome.challenge()
    assert is_refused(browser.post("f", {})), "a challenge alone proves nothing"
    bad = ["", "null", "{}", "[]", '{"challengeResponse": ""}', '{"challengeResponse": 7}', "x" * 20000,
           '{"challengeResponse": "made up"}', chrome.response(challenge, key=b"another"), chrome.response("made up")]
    for response in bad:
        answer = chrome.respond(response)
        # The server may refuse headers of such a size itself.
        assert answer.status_code in ((403, 431) if len(response) > 16384 else (403,)), response
        assert is_refused(browser.post("f", {})), response
    for method in ["POST", "PUT", "DELETE"]:
        answer = browser.http.request(method, server.url + PAGE, headers={
            "X-Device-Trust": "VerifiedAccess", "X-Verified-Access-Challenge-Response": chrome.response(challenge)})
        assert answer.status_code == 405, method
    assert google.verified == 0
    assert chrome.respond(chrome.response(challenge)).status_code == 200, "the right one still passes"
    browser.post("f", {})
    assert browser.me()["username"] == "ann"
    assert not [e for e in server.events("configuration_error") if "browser" in e["context"].get("message", "")]


def test_a_response_counts_in_its_own_session_and_once(place, google):
    server, _ = place
    mine, other = arrive(server), arrive(server)
    device = laptop(google)
    chrome, thief = Chrome(google, mine, device), Chrome(google, other, device)
    response = chrome.response(chrome.challenge())
    assert thief.respond(response).status_code == 403, "it was sent no challenge"
    thief.challenge()
    assert chrome.respond(response).status_code == 200
    assert thief.respond(response).status_code == 403, "it was used"
    assert is_refused(other.post("f", {}))
    nobody = server.browser()
    assert Chrome(google, nobody, device).open({"X-Device-Trust": "VerifiedAccess"}).status_code == 403
    mine.post("f", {})
    assert mine.me()["username"] == "ann" and other.me() is None
    # What passed once does not pass again.
    mine.get("f")
    shown = mine.post("f", {"uid_field": "ann"})
    if shown["component"] == "xak-flow-frame":
        assert is_refused(mine.post("f", {}))


def test_fifty_browsers_with_one_response_ask_google_once(place, google):
    server, _ = place
    device = laptop(google)
    with ThreadPoolExecutor(50) as pool:
        browsers = list(pool.map(lambda _: arrive(server), range(50)))
        list(pool.map(lambda b: Chrome(google, b, device).challenge(), browsers))
        first = Chrome(google, browsers[0], device)
        response = first.response(first.challenge())
        codes = list(pool.map(lambda b: Chrome(google, b, device).respond(response).status_code, browsers))
    assert sorted(codes) == [200] + [403] * 49
    assert google.verified == 1
    for browser, code in zip(browsers, codes):
        browser.post("f", {})
        assert (browser.me() is not None) == (code == 200)


@pytest.mark.parametrize("facts", [
    {"keyTrustLevel": "CHROME_BROWSER_NO_KEY"},
    {"devicePermanentId": "", "virtualDeviceId": ""},
    {"deviceSignals": {"displayName": "x" * 20000}},
])
def test_a_browser_that_google_cannot_name_or_that_signed_nothing_does_not_pass(place, google, facts):
    server, _ = place
    browser = arrive(server)
    assert Chrome(google, browser, laptop(google, **facts)).handshake().status_code == 403
    assert google.verified == 1 and is_refused(browser.post("f", {}))


@pytest.mark.parametrize("trouble", [500, 403, 302, "garbage", "hang up", "slow"])
def test_nobody_passes_while_google_is_in_trouble(place, google, trouble):
    server, _ = place
    browser = arrive(server)
    chrome = Chrome(google, browser, laptop(google))
    challenge = chrome.challenge()
    google.trouble = trouble
    began = time.monotonic()
    assert chrome.open({"X-Device-Trust": "VerifiedAccess"}).status_code == 403
    assert chrome.respond(chrome.response(challenge)).status_code == 403
    assert time.monotonic() - began < 25
    assert is_refused(browser.post("f", {}))
    errors = [event["context"] for event in server.events("configuration_error")]
    assert [e["message"] for e in errors] == ["Google could not verify a browser"] * 2, errors
    google.trouble = None
    assert chrome.handshake().status_code == 200


def test_one_access_token_serves_until_google_takes_it_back(place, google):
    server, _ = place
    for _ in range(3):
        assert Chrome(google, arrive(server), laptop(google)).handshake().ok
    assert google.granted == 1
    google.tokens.clear()
    assert Chrome(google, arrive(server), laptop(google)).handshake().ok
    assert google.granted == 2


def test_a_session_asks_google_so_often_and_no_more(place, google):
    server, _ = place
    browser = arrive(server)
    chrome = Chrome(google, browser, laptop(google))
    with ThreadPoolExecutor(10) as pool:
        announced = {"X-Device-Trust": "VerifiedAccess"}
        codes = list(pool.map(lambda _: chrome.open(announced).status_code, range(30)))
    assert (codes.count(302), codes.count(403)) == (20, 10)
    assert len(google.challenges) == 20
    late = chrome.respond(chrome.response(next(iter(google.challenges))))
    assert late.status_code == 403 and "too often" in late.text and google.verified == 0
    assert Chrome(google, arrive(server), laptop(google)).handshake().ok, "others go on"


def test_wrong_credentials_are_told_to_administrators_only(place, google):
    server, stage = place
    path = f"/stages/authenticator/endpoint_gdtc/{stage['pk']}/"
    another = Google()
    for credentials in [{}, google.account(private_key="no key"), google.account(client_email="x@y"), another.account()]:
        server.api("PATCH", path, {"credentials": credentials | ({} if credentials else {"private_key": "none"})})
        browser = arrive(server)
        answer = Chrome(google, browser, laptop(google)).open({"X-Device-Trust": "VerifiedAccess"})
        assert answer.status_code == 403 and "key" not in answer.text.split("<main")[1].split("</main")[0]
    assert len(server.events("configuration_error")) == 4
    another.close()


def test_the_private_key_is_shown_to_nobody(place, google):
    server, stage = place
    path = f"/stages/authenticator/endpoint_gdtc/{stage['pk']}/"
    secret = google.account()["private_key"].splitlines()[1]
    browser = arrive(server)
    assert Chrome(google, browser, laptop(google)).handshake().ok
    shown = server.api("GET", path)
    assert shown["credentials"]["client_email"] == ACCOUNT and set(shown["credentials"]["private_key"]) == {"*"}
    # What an administrator's form sends back unchanged keeps the key.
    server.api("PUT", path, {"name": "renamed", "credentials": shown["credentials"]})
    server.api("PATCH", path, {"credentials": {k: v for k, v in shown["credentials"].items() if k != "private_key"}})
    assert Chrome(google, arrive(server), laptop(google)).handshake().ok
    exported = requests.get(f"{server.url}/api/v3/flows/instances/f/export/",
                            headers={"Authorization": f"Bearer {TOKEN}"}).text
    assert "!Context" in exported and ACCOUNT in exported
    places = {
        "log": server.log_text(),
        "export": exported,
        "list": json.dumps(server.api("GET", "/stages/authenticator/endpoint_gdtc/")),
        "all": json.dumps(server.api("GET", "/stages/all/")),
        "one of all": json.dumps(server.api("GET", f"/stages/all/{stage['pk']}/")),
        "events": json.dumps(server.api("GET", "/events/events/?page_size=100")),
        "page": browser.http.get(f"{server.url}/if/flow/f/").text,
    }
    for name, text in places.items():
        assert secret not in text and "PRIVATE KEY" not in text, name
    # The export, imported where the stage is, changes nothing about the key.
    answer = requests.post(f"{server.url}/api/v3/managed/blueprints/import/", files={"file": ("f.yaml", exported)},
                           headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.ok and answer.json()["success"], answer.text
    assert Chrome(google, arrive(server), laptop(google)).handshake().ok


def test_a_connector_knows_the_browsers_that_google_vouches_for(start_server, google):
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    path = "/endpoints/google_chrome/connectors/"
    connector = server.api("POST", path, {"name": "browsers", "credentials": google.account()})
    assert connector["chrome_url"] == server.url + PAGE and set(connector["credentials"]["private_key"]) == {"*"}
    key = connector["connector_uuid"]
    stage = {"connector": key, "mode": "required"}
    server.flow("f", "authentication", ("endpoints", stage), ("dummy", {}))
    assert "googlechromeconnector" in [kind["model_name"] for kind in server.api("GET", "/endpoints/connectors/types/")]

    def come(device):
        browser = server.browser()
        shown = browser.get("f")
        assert (shown["component"], shown["url"]) == ("xak-flow-frame", server.url + PAGE)
        assert is_refused(browser.post("f", {})), "nothing was proved yet"
        assert Chrome(google, browser, device).handshake().ok
        return browser.post("f", {})

    device = laptop(google)
    assert come(device)["component"] == "ak-stage-dummy"
    with ThreadPoolExecutor(5) as pool:
        assert {shown["component"] for shown in pool.map(come, [device] * 5)} == {"ak-stage-dummy"}
    (known,) = server.api("GET", "/endpoints/devices/")["results"]
    assert (known["name"], known["facts"]["data"]["os"]["family"]) == ("ann's laptop", "linux")
    details = server.api("GET", f"/endpoints/devices/{known['device_uuid']}/")
    (connection,) = details["connections_obj"]
    assert (connection["connector"], connection["latest_snapshot"]["vendor"]) == (key, "chrome.google.com")
    # What an administrator's form sends back unchanged keeps the key.
    server.api("PATCH", f"{path}{key}/", {"credentials": connector["credentials"]})
    assert come(laptop(google))["component"] == "ak-stage-dummy"
    # A device that was taken out of use proves nothing any more.
    server.api("PATCH", f"/endpoints/devices/{known['device_uuid']}/", {"expiring": True, "expires": "2020-01-01T00:00:00Z"})
    assert is_refused(come(device))
    secret = google.account()["private_key"].splitlines()[1]
    for text in [server.log_text(), json.dumps(server.api("GET", path)), json.dumps(server.api("GET", "/events/events/?page_size=100"))]:
        assert secret not in text
    server.api("PATCH", f"{path}{key}/", {"enabled": False})
    assert server.browser().get("f")["error_message"] == "Invalid stage configuration"
