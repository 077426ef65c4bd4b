"""Duo as second factor: a local server that speaks its Auth and Admin API, and checks each signature."""

import base64
import email.utils
import hashlib
import hmac
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from conftest import PASSWORD, wait_for
from services import Service, timed

DONE = "xak-flow-redirect"
SETUP = "ak-stage-authenticator-duo"
VALIDATE = "ak-stage-authenticator-validate"
DENIED = "ak-stage-access-denied"
IN = "default-authentication-flow"
HOST = "api-0123abcd.duosecurity.test"


class Duo(Service):
    """Applications of a customer of Duo. A question waits until `decide` is called, as long as a call may wait."""

    auth = ("DIAUTH0123456789ABCD", "secret-of-the-auth-application-0123456789")
    admin = ("DIADMIN123456789ABCD", "secret-of-the-admin-application-012345678")
    longest = 60

    def __init__(self):
        super().__init__()
        self.changed = threading.Condition(self.lock)
        self.users = {}
        self.codes = {}
        self.questions = {}
        self.page = 300

    @staticmethod
    def failure(status, code, message, detail=None):
        said = {"stat": "FAIL", "code": code, "message": message}
        return status, said | ({"message_detail": detail} if detail else {})

    def signed(self, asked, application):
        """What is wrong with the signature, if anything: Duo's description of it followed anew."""
        key, secret = application
        scheme, _, encoded = asked.headers["Authorization"].partition(" ")
        name, _, signature = base64.b64decode(encoded).decode().partition(":")
        if scheme != "Basic" or name != key:
            return self.failure(401, 40102, "Invalid integration key in request credentials")
        date = asked.headers["Date"]
        if abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) > 300:
            return self.failure(401, 40105, "Bad request timestamp")
        pairs = sorted(self.parameters(asked).items())
        quoted = "&".join("=".join(urllib.parse.quote(part, "~") for part in pair) for pair in pairs)
        text = "\n".join([date, asked.method, asked.headers["Host"].lower(), asked.path, quoted])
        if not hmac.compare_digest(hmac.new(secret.encode(), text.encode(), hashlib.sha512).hexdigest(), signature):
            return self.failure(401, 40103, "Invalid signature in request credentials")
        return None

    @staticmethod
    def parameters(asked):
        return asked.form if asked.method == "POST" else dict(asked.query)

    def answer(self, asked):
        if asked.headers["Host"] != HOST:
            return self.failure(404, 40401, "Resource not found")
        is_admin = asked.path.startswith("/admin/")
        wrong = self.signed(asked, self.admin if is_admin else self.auth)
        if wrong:
            return wrong
        kind = {
            ("POST", "/auth/v2/enroll"): self.enroll,
            ("POST", "/auth/v2/enroll_status"): self.enroll_status,
            ("POST", "/auth/v2/auth"): self.ask,
            ("GET", "/auth/v2/auth_status"): self.auth_status,
            ("GET", "/admin/v1/users"): self.list_users,
        }.get((asked.method, asked.path))
        if kind is None:
            return self.failure(404, 40401, "Resource not found")
        return kind(self.parameters(asked))

    def enroll(self, given):
        username = given["username"]
        if any(user["username"] == username for user in self.users.values()):
            return self.failure(400, 40002, "Invalid request parameters", "username already exists")
        user_id = f"DU{len(self.users):018d}"
        code = f"duo://activate-{len(self.codes)}-{HOST}"
        self.users[user_id] = {"user_id": user_id, "username": username, "status": "waiting"}
        self.codes[code] = user_id
        return 200, {
            "stat": "OK",
            "response": {
                "activation_barcode": f"https://{HOST}/frame/qr?value={urllib.parse.quote(code)}",
                "activation_code": code,
                "expiration": int(time.time()) + 86400,
                "user_id": user_id,
                "username": username,
            },
        }

    def enroll_status(self, given):
        user_id = self.codes.get(given["activation_code"])
        known = user_id == given["user_id"]
        return 200, {"stat": "OK", "response": self.users[user_id]["status"] if known else "invalid"}

    def activate(self):
        """Whoever was enrolled last opens the account with Duo's app."""
        with self.lock:
            list(self.users.values())[-1]["status"] = "success"

    def ask(self, given):
        if self.users.get(given["user_id"], {}).get("status") != "success":
            return self.failure(400, 40002, "Invalid request parameters", "user_id")
        assert (given["factor"], given["device"], given["ipaddr"]) == ("auto", "auto", "127.0.0.1")
        assert given["type"].endswith(" Login request")
        info = dict(urllib.parse.parse_qsl(given["pushinfo"], strict_parsing=True))
        assert info["Domain"].startswith("127.0.0.1")
        txid = f"45f7c92b-{len(self.questions):04d}"
        self.questions[txid] = {"given": given, "result": "waiting", "seen": False}
        self.changed.notify_all()
        if given.get("async") == "1":
            return 200, {"stat": "OK", "response": {"txid": txid}}
        return self.auth_status({"txid": txid})

    def auth_status(self, given):
        question = self.questions.get(given["txid"])
        if question is None:
            return self.failure(400, 40002, "Invalid request parameters", "txid")
        if not question["seen"]:
            # The first call hears that the question is on its way, later ones wait for something new.
            question["seen"] = True
        else:
            self.changed.wait_for(lambda: question["result"] != "waiting" or self.stopping.is_set(), self.longest)
        status = {"waiting": "pushed", "allow": "allow", "deny": "deny"}[question["result"]]
        return 200, {"stat": "OK", "response": {"result": question["result"], "status": status, "status_msg": "."}}

    def list_users(self, given):
        limit, offset = min(int(given["limit"]), self.page), int(given["offset"])
        users = list(self.users.values())
        more = offset + limit < len(users)
        metadata = {"total_objects": len(users)} | ({"next_offset": offset + limit} if more else {})
        return 200, {"stat": "OK", "response": users[offset : offset + limit], "metadata": metadata}

    def add(self, username, status="success"):
        """An account that was made at Duo itself."""
        with self.lock:
            user_id = f"DU{len(self.users):018d}"
            self.users[user_id] = {"user_id": user_id, "username": username, "status": status}
        return user_id

    def decide(self, result):
        """The person answers the newest question, once it is there."""
        with self.changed:
            assert self.changed.wait_for(self.open, 20), "no question"
            self.open()[-1]["result"] = result
            self.changed.notify_all()

    def open(self):
        return [question for question in self.questions.values() if question["result"] == "waiting"]

    def stage(self, **more):
        (key, secret) = self.auth
        return ("authenticator/duo", {"client_id": key, "client_secret": secret, "api_hostname": HOST} | more)

    def close(self):
        with self.changed:
            self.stopping.set()
            self.changed.notify_all()
        super().close()


@pytest.fixture
def duo():
    service = Duo()
    yield service
    service.close()


def error(challenge, field="duo"):
    (only,) = challenge["response_errors"][field]
    return only["string"], only["code"]


def sign_in(server, username="akadmin"):
    browser = server.browser()
    browser.get(IN)
    browser.post(IN, {"uid_field": username})
    return browser, browser.post(IN, {"password": PASSWORD})


def status(browser, stage):
    """What the page asks while the account is being opened."""
    headers = {"X-authentik-CSRF": browser.http.cookies.get("authentik_csrf", "")}
    path = f"/api/v3/stages/authenticator/duo/{stage}/enrollment_status/"
    return browser.http.post(browser.server.url + path, headers=headers)


def enrol(server, duo):
    """The administrator's device."""
    browser, _ = sign_in(server)
    assert browser.get("setup")["component"] == SETUP
    duo.activate()
    assert browser.post("setup", {})["component"] == DONE
    (device,) = server.api("GET", "/authenticators/admin/duo/")["results"]
    return device["pk"]


def answered(browser, device, decide, slug=IN):
    """What becomes of a question that is answered by `decide`."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(browser.post, slug, {"duo": device})
        decide()
        return asked.result()


def test_an_account_is_made_opened_and_becomes_a_device(start_server, duo):
    server = start_server(OUTBOUND__DUO_URL=duo.url)
    (stage,) = server.flow("setup", "stage_configuration", duo.stage())
    assert "client_secret" not in stage and "admin_secret_key" not in stage
    browser, done = sign_in(server)
    assert done["component"] == DONE, "nobody is asked before a device is there"
    assert status(server.browser(), stage["pk"]).status_code == 403, "nobody is in a flow there"
    other = server.browser()
    other.get(IN)
    assert status(other, stage["pk"]).status_code == 400, "a flow without an enrolment"
    shown = browser.get("setup")
    assert (shown["component"], shown["stage_uuid"]) == (SETUP, stage["pk"])
    assert shown["activation_code"].startswith("duo://") and shown["activation_barcode"].startswith(f"https://{HOST}/")
    assert browser.get("setup")["activation_code"] == shown["activation_code"]
    assert len(duo.users) == 1, "looking again enrols nobody"
    assert status(browser, stage["pk"]).json() == {"duo_response": "waiting"}
    assert status(browser, "6ba7b810-9dad-11d1-80b4-00c04fd430c8").status_code == 404
    duo.activate()
    assert status(browser, stage["pk"]).json() == {"duo_response": "success"}
    assert browser.post("setup", {})["component"] == DONE
    assert status(browser, stage["pk"]).status_code in (400, 403), "the enrolment is over"
    (device,) = browser.http.get(f"{server.url}/api/v3/authenticators/duo/").json()["results"]
    assert device["name"] == "Duo Authenticator"
    written = server.log_text() + str(server.api("GET", "/events/events/?page_size=100"))
    assert duo.auth[1] not in written and shown["activation_code"] not in written


def test_who_has_not_opened_the_account_has_no_device(start_server, duo):
    server = start_server(OUTBOUND__DUO_URL=duo.url)
    server.flow("setup", "stage_configuration", duo.stage())
    browser, _ = sign_in(server)
    browser.get("setup")
    denied = browser.post("setup", {})
    assert (denied["component"], denied["error_message"]) == (DENIED, "Invalid enrollment status: waiting.")
    assert server.api("GET", "/authenticators/admin/duo/")["results"] == []


def test_a_question_is_allowed_or_denied_on_the_telephone(start_server, duo):
    server = start_server(OUTBOUND__DUO_URL=duo.url)
    server.flow("setup", "stage_configuration", duo.stage())
    device = enrol(server, duo)
    browser, asked = sign_in(server)
    assert [(c["device_class"], c["device_uid"]) for c in asked["device_challenges"]] == [("duo", str(device))]
    assert error(answered(browser, device, lambda: duo.decide("deny"))) == ("Duo denied access", "denied")
    assert browser.me() is None
    assert server.events("login_failed")[0]["context"]["auth_method_args"]["device_class"] == "duo"
    assert answered(browser, device, lambda: duo.decide("allow"))["component"] == DONE
    assert browser.me()["username"] == "akadmin" and len(duo.questions) == 2
    login = server.events("login")[0]["context"]["auth_method_args"]
    assert [d["model_name"] for d in login["mfa_devices"]] == ["duodevice"]
    # An answer for a device that is nobody's or somebody else's asks nobody.
    browser, _ = sign_in(server)
    url, headers = browser.url(IN), {"X-authentik-CSRF": browser.http.cookies.get("authentik_csrf", "")}
    assert browser.http.post(url, json={"duo": device + 1}, headers=headers).status_code == 404
    assert len(duo.questions) == 2


def test_who_takes_longer_than_a_request_answers_the_same_question_in_the_next(start_server, duo):
    server = start_server(OUTBOUND__DUO_URL=duo.url)
    server.flow("setup", "stage_configuration", duo.stage())
    device = enrol(server, duo)
    browser, _ = sign_in(server)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(timed, lambda: browser.post(IN, {"duo": device}))
        wait_for("a question", lambda: duo.open())
        # One question is on a telephone at a time, and the rest of the server goes on.
        other, _ = sign_in(server)
        headers = {"X-authentik-CSRF": other.http.cookies.get("authentik_csrf", "")}
        assert other.http.post(other.url(IN), json={"duo": device}, headers=headers).status_code == 429
        server.user("ann")
        assert not late.done()
        refused, seconds = late.result()
    assert error(refused) == ("Duo denied access", "denied")
    assert 20 < seconds < 35 and browser.me() is None
    assert server.events("login_failed") == [], "nobody said no"
    assert answered(browser, device, lambda: duo.decide("allow"))["component"] == DONE
    assert browser.me() and len(duo.questions) == 1, "the same question"


def test_of_fifty_sessions_at_once_one_asks_also_on_two_nodes(start_server, duo):
    server = start_server(OUTBOUND__DUO_URL=duo.url)
    nodes = [server]
    if "WEIR_DATABASE_URL" in server.env:
        nodes.append(start_server(OUTBOUND__DUO_URL=duo.url, DATABASE_URL=server.env["WEIR_DATABASE_URL"]))
    server.flow("setup", "stage_configuration", duo.stage())
    server.flow(
        "quick",
        "authentication",
        ("identification", {"user_fields": ["username"]}),
        ("authenticator/validate", {}),
        ("user_login", {}),
    )
    device = enrol(server, duo)
    wait_for("the flow on every node", lambda: all(requests.get(node.browser().url("quick")).ok for node in nodes))
    browsers = [nodes[number % len(nodes)].browser() for number in range(50)]
    for browser in browsers:
        browser.get("quick")
        assert browser.post("quick", {"uid_field": "akadmin"})["component"] == VALIDATE

    def ask(browser):
        headers = {"X-authentik-CSRF": browser.http.cookies.get("authentik_csrf", "")}
        return browser.http.post(browser.url("quick"), json={"duo": device}, headers=headers).status_code

    with ThreadPoolExecutor(len(browsers)) as pool:
        asking = [pool.submit(ask, browser) for browser in browsers]
        wait_for("all but one to be sent away", lambda: sum(a.done() for a in asking) == 49)
        duo.decide("allow")
        said = sorted(a.result() for a in asking)
    assert said == [200] + [429] * 49
    assert sum(browser.me() is not None for browser in browsers) == 1 and len(duo.questions) == 1


def test_what_duo_refuses_opens_nothing_and_is_told_to_administrators(start_server, duo):
    server = start_server(OUTBOUND__DUO_URL=duo.url)
    (stage,) = server.flow("setup", "stage_configuration", duo.stage(client_secret="another"))
    browser, _ = sign_in(server)
    denied = browser.get("setup")
    assert (denied["component"], denied["error_message"]) == (DENIED, "Invalid signature in request credentials")
    assert server.events("configuration_error")[0]["context"]["error"] == "Invalid signature in request credentials"
    server.api("PATCH", f"/stages/authenticator/duo/{stage['pk']}/", {"client_secret": duo.auth[1]})
    device = enrol(server, duo)
    browser, _ = sign_in(server)
    for trouble in [500, "garbage", "hang up"]:
        duo.trouble = trouble
        assert error(browser.post(IN, {"duo": device})) == ("Duo denied access", "denied"), trouble
        assert browser.me() is None
    assert len(server.events("configuration_error")) == 4 and server.events("login_failed") == []
    duo.trouble = None
    # Somebody else has the name at Duo.
    duo.add("ann")
    server.set_password(server.user("ann"))
    browser, _ = sign_in(server, "ann")
    assert browser.get("setup")["error_message"] == "Invalid request parameters (username already exists)"


class Person:
    """Somebody with an API token and what a role lets them do."""

    def __init__(self, server, name, *permissions):
        self.server = server
        user = server.user(name)
        token = server.api("POST", "/core/tokens/", {"identifier": name, "user": user["pk"], "intent": "api"})
        self.key = server.api("GET", f"/core/tokens/{token['identifier']}/view_key/")["key"]
        role = server.api("POST", "/rbac/roles/", {"name": name})["pk"]
        if permissions:
            wish = {"permissions": list(permissions)}
            server.api("POST", f"/rbac/permissions/assigned_by_roles/{role}/assign/", wish)
        server.api("POST", f"/rbac/roles/{role}/add_user/", {"pk": user["pk"]})

    def post(self, path, body=None):
        headers = {"Authorization": f"Bearer {self.key}"}
        return requests.post(f"{self.server.url}/api/v3/stages/authenticator/duo/{path}", json=body, headers=headers)


def test_accounts_are_imported_by_those_who_may(start_server, duo):
    server = start_server(OUTBOUND__DUO_URL=duo.url)
    (bare,) = server.flow("bare", "stage_configuration", duo.stage())
    keys = {"admin_integration_key": duo.admin[0], "admin_secret_key": duo.admin[1]}
    (stage,) = server.flow("setup", "stage_configuration", duo.stage(**keys))
    app = "authentik_stages_authenticator_duo"
    view, add = f"{app}.view_authenticatorduostage", f"{app}.add_duodevice"
    nobody, looker, adder, both = (
        Person(server, name, *may)
        for name, may in [("nobody", []), ("looker", [view]), ("adder", [add]), ("both", [view, add])]
    )
    known = duo.add("looker")
    wish = {"duo_user_id": known, "username": "looker"}
    for path, body in [("import_device_manual/", wish), ("import_devices_automatic/", None)]:
        anonymous = requests.post(f"{server.url}/api/v3/stages/authenticator/duo/{stage['pk']}/{path}", json=body)
        assert anonymous.status_code == 403
        for person in [nobody, looker, adder]:
            assert person.post(f"{stage['pk']}/{path}", body).status_code == 403
    assert not duo.asked and server.api("GET", "/authenticators/admin/duo/")["results"] == []

    manual = f"{stage['pk']}/import_device_manual/"
    assert both.post(manual, wish).status_code == 204
    again = both.post(manual, wish)
    assert (again.status_code, again.json()) == (400, {"non_field_errors": ["Device exists already."]})
    unknown = both.post(manual, wish | {"username": "who?"})
    assert (unknown.status_code, unknown.json()) == (400, {"non_field_errors": ["User does not exist."]})
    assert set(both.post(manual, {}).json()) == {"duo_user_id", "username"}

    automatic = f"{stage['pk']}/import_devices_automatic/"
    assert both.post(f"{bare['pk']}/import_devices_automatic/").status_code == 400, "without keys of the Admin API"
    for name in ["adder", "stranger", "both", "akadmin"]:
        duo.add(name)
    duo.page = 2
    assert both.post(automatic).json() == {"count": 3, "error": ""}
    pages = [dict(asked.query)["offset"] for asked in duo.asked if asked.path == "/admin/v1/users"]
    assert pages == ["0", "2", "4"]
    assert both.post(automatic).json() == {"count": 0, "error": ""}
    devices = server.api("GET", "/authenticators/admin/duo/")["results"]
    assert {d["name"] for d in devices} == {"Imported Duo Authenticator"} and len(devices) == 4
    server.api("PATCH", f"/stages/authenticator/duo/{stage['pk']}/", {"admin_secret_key": "another"})
    assert both.post(automatic).json() == {"count": 0, "error": "Invalid signature in request credentials"}

    # What was imported counts at once.
    browser, asked = sign_in(server)
    (offer,) = asked["device_challenges"]
    assert answered(browser, int(offer["device_uid"]), lambda: duo.decide("allow"))["component"] == DONE
