"""The walk through the contract, with samples that fit this server.

    walk.py FOLDER PASSWORD PORT [options of contract_check.py]

FOLDER holds the checker, which knows no server; PASSWORD is that of the administrator whose token the options name; at
PORT the server looks for Duo. What is right and what is wrong, the checker alone decides. It takes more samples from here: objects that do not stand in each
other's way, rows that come about by signing in or by enrolling a device, requests of browsers and of agents.
"""

import base64
import email
import email.policy
import hmac
import http.server
import json
import pathlib
import queue
import re
import socketserver
import struct
import sys
import threading
import time
import urllib.parse

import requests

sys.path[:0] = [sys.argv[1], str(pathlib.Path(__file__).parents[1] / "components")]

import contract_check as check  # noqa: E402  the folder was only just named
from contract_check import ACTIONS, FLOWS, GROUPS, HINTS, POPULATED_BY, READ_HINTS, USERS  # noqa: E402
from contract_check import Call, Missing, Ref, Unique  # noqa: E402

from authenticator import Authenticator  # noqa: E402

PASSWORD, DUO_PORT = sys.argv[2], int(sys.argv[3])
SIGN_IN = "default-authentication-flow"
AGENTS = "/endpoints/agents/connectors/"
TOKENS = "/endpoints/agents/enrollment_tokens/"
SCIM, SCIM_MAPPING = "/providers/scim/", "/propertymappings/provider/scim/"
# Providers for an application made in one go, in the order of preference: model, where they are, what each needs.
PROVIDERS = [
    ("authentik_providers_saml.samlprovider", "/providers/saml/", {
        "acs_url": "https://sp.example.test/acs", "authorization_flow": Ref(FLOWS), "invalidation_flow": Ref(FLOWS)}),
    ("authentik_providers_scim.scimprovider", SCIM, {"url": "http://127.0.0.1:1/v2", "token": "t"}),
]


def samples():
    """Other values for the checker's own tables."""
    # One object of each kind stands at one place only.
    HINTS["/flows/bindings/"]["body"]["stage"] = Ref("/stages/dummy/", fresh=True)
    for target in ("scim", "google_workspace", "microsoft_entra"):
        HINTS[f"/providers/{target}_users/"]["body"]["user"] = Ref(USERS, fresh=True)
        HINTS[f"/providers/{target}_groups/"]["body"]["group"] = Ref(GROUPS, fresh=True)
    # The flow that others share is bound to a group by now, which the administrator is no member of.
    READ_HINTS["/flows/instances/{slug}/execute/"]["fresh"] = True
    # Kinds that are served.
    POPULATED_BY["/providers/all/"] = SCIM
    POPULATED_BY["/propertymappings/all/"] = SCIM_MAPPING
    HINTS.setdefault(SCIM_MAPPING, {}).setdefault("body", {})["expression"] = "return {}"
    ACTIONS["propertymappings_all_test_create"]["of"] = SCIM_MAPPING
    ACTIONS["core_transactional_applications_update"]["json"] = Call("application_with_provider")
    # What this server can do: devices are there to be bound, keys of enclaves are entered by hand.
    HINTS["/endpoints/device_bindings/"] = {"body": {"target": Call("device"), "user": Ref(USERS)}}
    HINTS["/endpoints/agents/psso/ise/"] = {"body": {"apple_enclave_key_id": Unique(), "user": Ref(USERS)}}
    # Rows that exist meanwhile.
    ACTIONS["tasks_schedules_send_create"]["params"] = {"id": Call("schedule")}
    ACTIONS["tasks_tasks_retry_create"]["params"] = {"message_id": Call("ended_task")}
    ACTIONS["core_authenticated_sessions_destroy"] = {"params": {"uuid": Call("another_session")}}
    ACTIONS["events_notifications_destroy"] = {"params": {"uuid": Call("notification")}}
    ACTIONS["policies_reputation_scores_destroy"] = {"params": {"reputation_uuid": Call("score")}}
    ACTIONS["reports_exports_destroy"] = {"params": {"id": Call("export")}}


class Browser(requests.Session):
    """Keeps cookies and sends what pages send with them."""

    def __init__(self, base):
        super().__init__()
        self.trust_env = False
        self.base = base
        self.headers["Accept"] = "application/json"

    def request(self, method, url, **options):
        headers = {"X-authentik-CSRF": self.cookies.get("authentik_csrf", "")} | (options.pop("headers", None) or {})
        return super().request(method, url, headers=headers, **options)

    def flow(self, slug, answer=None):
        """The challenge of a flow, or the one that follows an answer."""
        url = f"{self.base}/flows/executor/{slug}/?query="
        given = self.get(url, timeout=30) if answer is None else self.post(url, json=answer, timeout=30)
        if given.status_code != 200:
            raise Missing(f"{slug} answers {given.status_code} {given.text[:200]}")
        return given.json()

    def sign_in(self, username, password):
        """Whether the password was right."""
        self.flow(SIGN_IN)
        self.flow(SIGN_IN, {"uid_field": username})
        return self.flow(SIGN_IN, {"password": password}).get("component") == "xak-flow-redirect"


class Walk(check.Checker):
    """The checker with more to choose samples from."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.own = None
        self.browser = Browser(self.base)
        self.agent = None

    # -- the server before the walk ------------------------------------------------------------------------------------
    def make_powerless(self):
        super().make_powerless()
        if self.write:
            self.populate()

    def populate(self):
        """What comes about by use: sessions, scores, notifications, exports, devices with an agent."""
        self.own = self.api("get", "/core/users/me/")["user"]
        name = self.own["username"]
        if not self.browser.sign_in(name, PASSWORD) or Browser(self.base).sign_in(name, "not-" + PASSWORD):
            raise SystemExit("the administrator cannot sign in by the default flow")
        self.api("post", "/core/users/export/")
        self.agent = self.enrolled("cc-first")

    def api(self, method, path, body=None, **options):
        """What the administrator's token gets; only for preparation, nothing here is judged."""
        answer = self._send(self.session, method, path, json=body, **options)
        if answer.response is None or not answer.response.ok:
            raise Missing(f"{method} {path}: {answer.brief()}")
        return answer.body

    def made(self, path, key="pk", **body):
        """A new object that is deleted in the end."""
        given = self.api("post", path, body)
        self.trash.append((f"{path}{given[key]}/", ""))
        return given

    def wait_for(self, path):
        """The first row of a list that may still be on its way."""
        until = time.monotonic() + self.timeout
        while time.monotonic() < until:
            rows = self.api("get", path)["results"]
            if rows:
                return rows[0]
            time.sleep(0.1)
        raise Missing(f"a row in {path}")

    # -- values ----------------------------------------------------------------------------------------------------------
    def application_with_provider(self):
        for model, path, fields in PROVIDERS:
            if self._send(self.session, "get", path).status == 200:
                provider = {"name": Unique(), **fields}
                app = {"name": Unique(), "slug": Unique()}
                return self.materialise({"app": app, "provider_model": model, "provider": provider})
        raise Missing("a kind of provider")

    def device(self):
        return self.wait_for("/endpoints/devices/?identifier=cc-first")["device_uuid"]

    def schedule(self):
        return self.wait_for("/tasks/schedules/")["id"]

    def ended_task(self):
        return self.wait_for("/tasks/tasks/?state=done")["message_id"]

    def another_session(self):
        if not Browser(self.base).sign_in(self.own["username"], PASSWORD):
            raise Missing("a second session")
        rows = self.api("get", "/core/authenticated_sessions/?page_size=100")["results"]
        mine = self.browser.get(f"{self.base}/core/authenticated_sessions/?page_size=100", timeout=30).json()["results"]
        kept = {row["uuid"] for row in mine if row["current"]}
        return next(row["uuid"] for row in rows if row["uuid"] not in kept)

    def notification(self):
        return self.wait_for("/events/notifications/")["pk"]

    def score(self):
        return self.wait_for("/policies/reputation/scores/")["pk"]

    def export(self):
        return self.wait_for("/reports/exports/?completed=true")["id"]

    # -- requests of others than the administrator's token ----------------------------------------------------------------
    def check_credentials(self):
        if self.write:
            for names, step in STEPS:
                operations = [self.contract.by_id[name] for name in names]
                if any(self.wanted(operation) for operation in operations):
                    try:
                        step(self)
                    except (Missing, KeyError, ValueError, queue.Empty, requests.RequestException) as error:
                        for operation in operations:
                            self.verdicts[operation.id].problem(f"cannot be exercised: {error!r}")
        super().check_credentials()

    def right(self, name, params=None, **options):
        """A call that must succeed."""
        return self.expect_success(self.contract.by_id[name], params, **options)

    def enrolled(self, serial, **connector):
        """The session of an agent on a new device."""
        connector = self.made(AGENTS, "connector_uuid", name="cc-" + self.unique(), **connector)["connector_uuid"]
        token = self.made(TOKENS, "token_uuid", name="cc-" + self.unique(), connector=connector)["token_uuid"]
        enrolling = self._session(self.api("get", f"{TOKENS}{token}/view_key/")["key"])
        body = {"device_name": serial, "device_serial": serial}
        given = self.right("endpoints_agents_connectors_enroll_create", session=enrolling, json_body=body)
        if not isinstance(given.body, dict) or "token" not in given.body:
            raise Missing(f"an enrolled device: {given.brief()}")
        agent = self._session(None)
        agent.headers["Authorization"] = f"Bearer+agent {given.body['token']}"
        return agent

    def of_brand(self, **flows):
        """Sets flows of the default brand."""
        (brand,) = self.api("get", "/core/brands/?default=true")["results"]
        self.api("patch", f"/core/brands/{brand['brand_uuid']}/", flows)

    def flow_of(self, designation, *stages, **fields):
        """A new flow with these kinds of stages."""
        name = "cc-" + self.unique()
        flow = self.made(FLOWS, "slug", name=name, slug=name, title=name, designation=designation)
        for order, kind in enumerate(stages or ["dummy"]):
            stage = self.made(f"/stages/{kind}/", name=f"{name}-{order}", **fields)
            self.made("/flows/bindings/", target=flow["pk"], stage=stage["pk"], order=order)
        return flow


def recovery(walk):
    flow = walk.flow_of("recovery")
    name = "cc-" + walk.unique()
    user = walk.made(USERS, username=name, name=name, email=f"{name}@example.test")
    stage = walk.made("/stages/email/", name=name)
    walk.of_brand(flow_recovery=flow["pk"])
    walk.right("core_users_recovery_create", {"id": user["pk"]}, json_body={})
    walk.right("core_users_recovery_email_create", {"id": user["pk"]}, json_body={"email_stage": stage["pk"]})
    walk.of_brand(flow_recovery=None)


def lockdown(walk):
    flow = walk.flow_of("stage_configuration", "account_lockdown")
    walk.of_brand(flow_lockdown=flow["pk"])
    user = walk.made(USERS, username="cc-" + walk.unique(), name="cc")
    walk.right("core_users_account_lockdown_create", session=walk.browser, json_body={"user": user["pk"]})
    walk.of_brand(flow_lockdown=None)


def inspector(walk):
    browser = Browser(walk.base)
    browser.sign_in(walk.own["username"], PASSWORD)
    slug = walk.flow_of("stage_configuration", "dummy", "dummy")["slug"]
    browser.flow(slug)
    walk.right("flows_inspector_get", {"flow_slug": slug}, session=browser)


def impersonation(walk):
    user = walk.made(USERS, username="cc-" + walk.unique(), name="cc")
    browser = Browser(walk.base)
    browser.sign_in(walk.own["username"], PASSWORD)
    walk.right("core_users_impersonate_create", {"id": user["pk"]}, session=browser, json_body={"reason": "walk"})
    walk.right("core_users_impersonate_end_retrieve", session=browser)


def switching(walk):
    walk.of_brand(flow_user_switch=walk.flow_of("authentication", "user_login")["pk"])
    walk.right("core_users_switch_create", session=walk.browser, json_body={"action": "add"})
    walk.of_brand(flow_user_switch=None)


def agents(walk):
    walk.right("endpoints_agents_connectors_agent_config_retrieve", session=walk.agent)
    facts = {"os": {"family": "linux", "name": "Debian"}, "hardware": {"serial": "cc-first"}}
    walk.right("endpoints_agents_connectors_check_in_create", session=walk.agent, json_body=facts)
    flow = walk.flow_of("authentication")
    agent = walk.enrolled("cc-" + walk.unique(), authorization_flow=flow["pk"])
    walk.right("endpoints_agents_connectors_auth_ia_create", session=agent)
    first = walk.device()
    shown = walk.api("get", f"/endpoints/devices/{first}/")
    connector = shown["connections_obj"][0]["connector"]
    token = next(row for row in walk.api("get", f"{TOKENS}?page_size=100")["results"] if row["connector"] == connector)
    body = {"platform": "mac_os", "enrollment_token": token["token_uuid"]}
    walk.right("endpoints_agents_connectors_mdm_config_create", {"connector_uuid": connector}, json_body=body)
    doomed = "cc-" + walk.unique()
    walk.enrolled(doomed)
    device = walk.wait_for(f"/endpoints/devices/?identifier={doomed}")
    walk.right("endpoints_devices_destroy", {"device_uuid": device["device_uuid"]})


def invitations(walk):
    name = "cc-" + walk.unique()
    flow = walk.flow_of("enrollment", "invitation/stages")
    invitation = walk.made("/stages/invitation/invitations/", name=name, flow=flow["pk"])
    body = {"email_addresses": [f"{name}@example.test"]}
    sent = "stages_invitation_invitations_send_email_create"
    walk.right(sent, {"invite_uuid": invitation["pk"]}, json_body=body)


class Messages(http.server.BaseHTTPRequestHandler):
    """Takes short messages as the generic service of the SMS stage sends them."""

    codes = queue.Queue()

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.codes.put(re.search(r"(?<!\d)\d{6}(?!\d)", text).group())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Mails(socketserver.StreamRequestHandler):
    """Takes mails with a code."""

    codes = queue.Queue()

    def handle(self):
        self.wfile.write(b"220 walk\r\n")
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.codes.put(re.search(r"(?<![\w#.])\d{6}(?!\w)", body_of(text)).group())
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")


def body_of(text):
    letter = email.message_from_bytes(text, policy=email.policy.default)
    return letter.get_body(("plain",)).get_content()


def listening(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def totp(url):
    """The code of this half minute (RFC 6238)."""
    secret = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["secret"][0]
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.digest(key, struct.pack(">Q", int(time.time()) // 30), "sha1")
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at:at + 4]) & 0x7FFFFFFF) % 10**6:06}"


def set_up(walk, kind, answers, **fields):
    """A device of the administrator, made in a flow; then all that its owner may do with it."""
    slug = walk.flow_of("stage_configuration", f"authenticator/{kind}", **fields)["slug"]
    shown = walk.browser.flow(slug)
    for answer in answers:
        shown = walk.browser.flow(slug, answer(shown))
    if shown.get("component") != "xak-flow-redirect":
        raise Missing(f"a device {kind}: {shown.get('component')} {shown.get('response_errors')}")
    device = walk.wait_for(f"/authenticators/{kind}/")
    where = {"id": device["pk"]}
    walk.right(f"authenticators_{kind}_retrieve", where)
    walk.right(f"authenticators_{kind}_used_by_list", where)
    walk.right(f"authenticators_{kind}_partial_update", where, json_body={"name": "walk"})
    walk.right(f"authenticators_{kind}_update", where, json_body={"name": "walked"})
    if walk.api("get", f"/authenticators/{kind}/{device['pk']}/")["name"] != "walked":
        raise Missing(f"the new name of a device {kind}")
    walk.right(f"authenticators_{kind}_destroy", where)


def static(walk):
    set_up(walk, "static", [lambda _: {}])


def by_time(walk):
    set_up(walk, "totp", [lambda shown: {"code": totp(shown["config_url"])}], digits="6")


def by_message(walk):
    port = listening(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Messages))
    answers = [lambda _: {"phone_number": "+431234567"}, lambda _: {"code": Messages.codes.get(timeout=20)}]
    service = {"provider": "generic", "account_sid": f"http://127.0.0.1:{port}/", "from_number": "1", "auth": "x"}
    set_up(walk, "sms", answers, **service)


def by_mail(walk):
    port = listening(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mails))
    answers = [lambda _: {"code": Mails.codes.get(timeout=20)}]  # the administrator's address is known
    service = {"use_global_settings": False, "host": "127.0.0.1", "port": port, "from_address": "weir@example.test"}
    set_up(walk, "email", answers, **service)


def by_key(walk):
    key = Authenticator(walk.base.removesuffix("/api/v3"))
    set_up(walk, "webauthn", [lambda shown: {"response": key.create(shown["registration"])}])


class Service(http.server.BaseHTTPRequestHandler):
    """Answers JSON."""

    def answer(self, body):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


class Duo(Service):
    """A customer's accounts at Duo, opened as soon as they are made."""

    def do_POST(self):
        made = {"activation_barcode": "https://duo.example/qr", "activation_code": "duo://cc", "user_id": "DU1",
                "username": "cc", "expiration": int(time.time()) + 600}
        self.answer({"stat": "OK", "response": made if self.path.endswith("/enroll") else "success"})

    def do_GET(self):
        self.answer({"stat": "OK", "response": [], "metadata": {"total_objects": 0}})


def by_duo(walk):
    listening(http.server.ThreadingHTTPServer(("127.0.0.1", DUO_PORT), Duo))
    at = "stages_authenticator_duo_"
    stage = {}

    def opened(shown):
        stage["stage_uuid"] = shown["stage_uuid"]
        walk.right(at + "enrollment_status_create", stage, session=walk.browser)
        return {}

    secret = {"client_secret": "s" * 40, "admin_secret_key": "s" * 40}
    keys = {"client_id": "DI" + "X" * 18, "admin_integration_key": "DI" + "Y" * 18}
    set_up(walk, "duo", [opened], api_hostname="api-1.duosecurity.example", **keys, **secret)
    walk.right(at + "import_devices_automatic_create", stage)
    account = {"username": walk.own["username"], "duo_user_id": "DU2"}
    walk.right(at + "import_device_manual_create", stage, json_body=account)


class Provider(Service):
    """Vouches for one person in two groups, to whoever asks."""

    def do_POST(self):
        self.answer({"access_token": "walk", "token_type": "bearer", "expires_in": 60})

    def do_GET(self):
        person = {"sub": "cc", "preferred_username": "cc-walked", "name": "cc", "email": "walked@example.test"}
        self.answer(person | {"groups": ["cc-walked-one", "cc-walked-two"]})


def signed_in_by(walk, slug):
    """Signs somebody in by a source, whose first visit makes user, groups and connections."""
    site, browser = walk.base.removesuffix("/api/v3"), Browser(walk.base)
    left = browser.get(f"{site}/source/oauth/login/{slug}/", allow_redirects=False, timeout=30)
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(left.headers["Location"]).query)
    back = f"{site}/source/oauth/callback/{slug}/?" + urllib.parse.urlencode({"code": "cc", "state": asked["state"][0]})
    came = browser.get(back, allow_redirects=False, timeout=30)
    if came.status_code != 302:
        raise Missing(f"a sign-in by a source: {came.status_code} {came.text[:200]}")
    end = browser.flow(urllib.parse.urlsplit(came.headers["Location"]).path.split("/")[3])
    if end.get("component") != "xak-flow-redirect":
        raise Missing(f"a sign-in by a source: {end.get('component')}")
    user = walk.wait_for("/core/users/?username=cc-walked")
    walk.trash.append((f"{USERS}{user['pk']}/", ""))
    walk.trash += [(f"{GROUPS}{group}/", "") for group in user["groups"]]


def group_connections(walk):
    at = f"http://127.0.0.1:{listening(http.server.ThreadingHTTPServer(('127.0.0.1', 0), Provider))}/"
    flows = {f"{what}_flow": walk.api("get", f"{FLOWS}default-source-{what}/")["pk"]
             for what in ("authentication", "enrollment")}
    name = "cc-" + walk.unique()
    where = {"authorization_url": at, "access_token_url": at, "profile_url": at}
    source = walk.made("/sources/oauth/", "slug", name=name, slug=name, provider_type="okta", consumer_key="cc",
                       consumer_secret="cc", **where, **flows)
    signed_in_by(walk, name)
    for kind in ("oauth", "all"):
        row = walk.wait_for(f"/sources/group_connections/{kind}/?source__slug={name}")
        where, body = {"id": row["pk"]}, {"identifier": row["identifier"], "source": source["pk"]}
        for what in OF_CONNECTION:
            changed = {"json_body": body if what == "update" else {}} if "update" in what else {}
            walk.right(f"sources_group_connections_{kind}_{what}", where, **changed)


OF_CONNECTION = ("retrieve", "used_by_list", "partial_update", "update", "destroy")


def of_device(kind):
    return [f"authenticators_{kind}_{what}" for what in ("retrieve", "used_by_list", "partial_update", "update", "destroy")]


# Operations and what drives them.
STEPS = [
    (["core_users_recovery_create", "core_users_recovery_email_create"], recovery),
    (["core_users_account_lockdown_create"], lockdown),
    (["core_users_impersonate_create", "core_users_impersonate_end_retrieve"], impersonation),
    (["core_users_switch_create"], switching),
    (["flows_inspector_get"], inspector),
    (["endpoints_agents_connectors_agent_config_retrieve", "endpoints_agents_connectors_check_in_create",
      "endpoints_agents_connectors_auth_ia_create", "endpoints_devices_destroy"], agents),
    (["stages_invitation_invitations_send_email_create"], invitations),
    (of_device("static"), static),
    (of_device("totp"), by_time),
    (of_device("sms"), by_message),
    (of_device("email"), by_mail),
    (of_device("webauthn"), by_key),
    (of_device("duo") + [f"stages_authenticator_duo_{what}_create" for what in
                         ("enrollment_status", "import_devices_automatic", "import_device_manual")], by_duo),
    ([f"sources_group_connections_{kind}_{what}" for kind in ("oauth", "all") for what in OF_CONNECTION],
     group_connections),
]

if __name__ == "__main__":
    samples()
    check.Checker = Walk
    sys.exit(check.main(sys.argv[4:]))
