"""Residual access: before a lockdown somebody gets hold of one of everything that lets them act as a user; afterwards
each is tried, on every node, while the account is locked and again after it was opened.

The kinds come from the server's own list, by the record of the lockdown: a new kind without an attempt fails the test.
Every attempt is made for another person first, where it must open something, so that a refusal means something.
"""

import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import urllib.parse
import uuid

import pytest
import requests
from conftest import PASSWORD, wait_for
from mail import MailServer
from services import Service
from test_lockdown import as_token, key_of, weir
from test_sms import Twilio, choose

NEW_PASSWORD = "Throw-away-password-2"
DONE, VALIDATE = "xak-flow-redirect", "ak-stage-authenticator-validate"
SOURCE_AWAY = "/source/oauth/login/home/"


class Identities(Service):
    """An OAuth provider without pages: the code names the person. `meanwhile` is called while a code is redeemed."""

    def __init__(self):
        super().__init__()
        self.meanwhile = None

    def answer(self, asked):
        if asked.path == "/token":
            name = asked.form["code"]
            if self.meanwhile:
                self.meanwhile()
            return 200, {"access_token": f"opens {name}", "token_type": "Bearer", "refresh_token": f"renews {name}"}
        if asked.path == "/.well-known/openid-configuration":
            if self.meanwhile:
                self.meanwhile()
            return 200, {"issuer": self.url, "authorization_endpoint": f"{self.url}/authorize",
                         "token_endpoint": f"{self.url}/token", "userinfo_endpoint": f"{self.url}/me"}
        name = asked.headers["Authorization"].removeprefix("Bearer opens ")
        return 200, {"sub": name, "preferred_username": name, "name": name}


def sql(server, text):
    """Rows of a statement on the server's database."""
    url = server.env.get("WEIR_DATABASE_URL")
    if url:
        command = ["psql", "-qAtF", "\t", url, "-c", text]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return [line.split("\t") for line in out.splitlines()]
    [path] = [p for p in (server.folder / "data").rglob("*") if p.is_file() and p.read_bytes()[:15] == b"SQLite format 3"]
    with sqlite3.connect(path, timeout=10) as db:
        return db.execute(text).fetchall()


class World:
    """Servers, what they talk to, and the flows by which things are got."""

    def __init__(self, start_server):
        self.provider, self.twilio, self.mail = Identities(), Twilio(), MailServer()
        settings = {"OUTBOUND__TWILIO_URL": self.twilio.url} | self.mail.settings
        self.site = start_server(**settings)
        self.nodes = [self.site]
        if "WEIR_DATABASE_URL" in self.site.env:
            self.nodes.append(start_server(DATABASE_URL=self.site.env["WEIR_DATABASE_URL"], **settings))
        self.application = str(uuid.uuid4())
        self.number = 0
        self.flows()
        self.people = {}

    def close(self):
        self.twilio.gate.set()
        for service in (self.provider, self.twilio):
            service.close()
        self.mail.stop()

    def name(self, word):
        self.number += 1
        return f"{word}-{self.number}"

    def flows(self):
        site = self.site
        who = ("identification", {"user_fields": ["username"]})
        flow = lambda slug: site.api("GET", f"/flows/instances/{slug}/")["pk"]
        # Nothing but the name: what else opens an account is what is tried.
        site.flow("quick", "authentication", who, ("authenticator/validate", {"last_auth_threshold": "hours=1"}), ("user_login", {}))
        site.flow("known", "authentication", who, ("user_login", {"remember_device": "days=30"}))
        site.flow("back-in", "recovery", ("user_login", {}))
        site.flow("enrol", "enrollment", ("invitation/stages", {"continue_flow_without_invitation": False}), ("dummy", {}))
        site.flow("sms-setup", "stage_configuration", self.twilio.stage())
        site.flow("mail-setup", "stage_configuration", ("authenticator/email", {"use_global_settings": True}))
        site.flow("agree", "authorization", ("consent", {"mode": "permanent"}), ("dummy", {}), authentication="require_authenticated")
        expression = f'context["flow_plan"].context["application"] = {{"pk": "{self.application}", "name": "Wiki"}}\nreturn True'
        policy = site.api("POST", "/policies/expression/", {"name": "an application asks", "expression": expression})
        binding = site.api("GET", f"/flows/bindings/?target={flow('agree')}&ordering=order")["results"][0]
        site.api("POST", "/policies/bindings/", {"target": binding["pk"], "policy": policy["pk"], "order": 0})
        source = {
            "name": "home", "slug": "home", "provider_type": "openidconnect", "consumer_key": "k", "consumer_secret": "s",
            "authorization_url": f"{self.provider.url}/authorize", "access_token_url": f"{self.provider.url}/token",
            "profile_url": f"{self.provider.url}/me", "authentication_flow": flow("default-source-authentication"),
        }
        self.source = site.api("POST", "/sources/oauth/", source)
        # Nobody is connected with this one before things are tried.
        site.api("POST", "/sources/oauth/", source | {"name": "other", "slug": "other"})
        site.flow("by-source", "authentication", ("source", {"source": self.source["pk"]}), ("user_login", {}))
        brand = site.api("GET", "/core/brands/")["results"][0]
        site.api("PATCH", f"/core/brands/{brand['brand_uuid']}/", {"flow_recovery": flow("back-in")})
        self.role = site.api("POST", "/rbac/roles/", {"name": "people of the test"})
        body = {"permissions": ["authentik_stages_invitation.add_invitation"]}
        site.api("POST", f"/rbac/permissions/assigned_by_roles/{self.role['pk']}/assign/", body)
        self.enrol = flow("enrol")

    def person(self, username):
        user = self.site.user(username, email=f"{username}@example.test")
        self.site.set_password(user)
        self.site.api("POST", f"/rbac/roles/{self.role['pk']}/add_user/", {"pk": user["pk"]})
        return user

    def browser(self, node=None):
        """One that comes from an address of its own."""
        browser = (node or self.site).browser()
        self.number += 1
        browser.http.headers["X-Forwarded-For"] = f"198.51.{self.number // 250}.{self.number % 250 + 1}"
        return browser

    def password(self, user):
        return NEW_PASSWORD if user.get("opened") else PASSWORD

    def signed_in(self, user, node=None):
        """A browser in which the person signed in by password; None when that is refused."""
        browser = self.browser(node)
        shown = browser.get("default-authentication-flow")
        shown = browser.post("default-authentication-flow", {"uid_field": user["username"]})
        shown = browser.post("default-authentication-flow", {"password": self.password(user)})
        if shown["component"] == VALIDATE:
            # Those who have second factors use the one on paper.
            shown = browser.post("default-authentication-flow", {"code": user["paper"].pop()})
        return browser if browser.me() else None

    def back(self, browser, username, slug="home"):
        """Leaves for the source; the address back."""
        answer = browser.http.get(f"{browser.server.url}/source/oauth/login/{slug}/", allow_redirects=False)
        assert answer.status_code == 302, answer.text
        state = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.headers["location"]).query)["state"][0]
        return f"/source/oauth/callback/{slug}/?{urllib.parse.urlencode({'code': username, 'state': state})}"

    def come_back(self, browser, node, address):
        """Follows the way back as far as it goes; the flow that it leads into is walked."""
        answer = browser.http.get(f"{node.url}{address}", allow_redirects=False)
        for _ in range(5):
            slug = re.search(r"/if/flow/([\w-]+)/", answer.headers.get("location", ""))
            if not slug:
                break
            on_node = node.browser()
            on_node.http = browser.http
            shown = on_node.get(slug[1])
            if shown["component"] != DONE or "/if/flow/" not in shown["to"]:
                break
            answer = browser.http.get(f"{node.url}{shown['to']}", allow_redirects=False)
            answer.headers["location"] = shown["to"]
        return answer

    def connections(self, user):
        return len(sql(self.site, f"SELECT id FROM source_user_connection WHERE \"user\" = {user['pk']}"))


def on(node, browser):
    """The same browser at another node."""
    other = node.browser()
    other.http = browser.http
    return other


# How each thing is got, and whether it opens anything. Names are those of the server's list.


def get_session(world, user):
    return world.signed_in(user)


def try_session(world, user, node, browser):
    return on(node, browser).me() is not None


def get_api_token(world, user):
    return key_of(world.site, user, world.name("api"))


def try_api_token(world, user, node, key):
    return as_token(node, key, "GET", "/core/users/me/").ok


def get_app_password(world, user):
    return key_of(world.site, user, world.name("app"), "app_password")


def try_password(world, user, node, password):
    browser = world.browser(node)
    browser.get("default-authentication-flow")
    browser.post("default-authentication-flow", {"uid_field": user["username"]})
    shown = browser.post("default-authentication-flow", {"password": password})
    return shown["component"] in (DONE, VALIDATE)


def get_other_token(intent):
    def get(world, user):
        # Nothing that people do makes these; they are of the server's own making.
        key, name = uuid.uuid4().hex, world.name(intent)
        digest = hashlib.sha256(key.encode()).hexdigest()
        epoch = sql(world.site, f"SELECT security_epoch FROM identity_user WHERE id = {user['pk']}")[0][0]
        sql(
            world.site,
            "INSERT INTO identity_token (id, identifier, key_digest, key, \"user\", intent, expiring, security_epoch, created) "
            f"VALUES ('{uuid.uuid4()}', '{name}', '{digest}', '{key}', {user['pk']}, '{intent}', FALSE, {epoch}, 0)",
        )
        return key

    return get


def try_other_token(world, user, node, key):
    return try_api_token(world, user, node, key) or try_password(world, user, node, key)


def get_flow_token(world, user):
    link = world.site.api("POST", f"/core/users/{user['pk']}/recovery/", {})["link"]
    return urllib.parse.urlsplit(link).query


def try_flow_token(world, user, node, query):
    browser = world.browser(node)
    browser.get("back-in", query)
    return browser.me() is not None


def get_source_sign_in(world, user):
    browser = world.signed_in(user)
    return browser, world.back(browser, world.name(user["username"]), "other"), world.connections(user)


def try_source_sign_in(world, user, node, got):
    browser, address, before = got
    world.come_back(browser, node, address)
    return world.connections(user) != before


def connect(world, user):
    """Connects the person with the identity of their name."""
    browser = world.signed_in(user)
    world.come_back(browser, world.site, world.back(browser, user["username"]))
    assert world.connections(user) == 1
    return user


def get_waiting_flow(world, user):
    browser = world.browser()
    # About the person, who says who they are first.
    browser.get("quick-by-source")
    assert browser.post("quick-by-source", {"uid_field": user["username"]})["to"] == SOURCE_AWAY
    return browser, world.back(browser, user["username"])


def try_waiting_flow(world, user, node, got):
    browser, address = got
    world.come_back(browser, node, address)
    return on(node, browser).me() is not None


def get_invitation(world, user):
    key = key_of(world.site, user, world.name("inviting"))
    body = {"name": world.name("friend"), "flow": world.enrol, "single_use": False}
    made = as_token(world.site, key, "POST", "/stages/invitation/invitations/", body)
    assert made.status_code == 201, made.text
    return made.json()["pk"]


def try_invitation(world, user, node, pk):
    return world.browser(node).get("enrol", f"itoken={pk}")["component"] == "ak-stage-dummy"


def get_consent(world, user):
    browser = world.signed_in(user)
    shown = browser.get("agree")
    if shown["component"] == "ak-stage-consent":
        shown = browser.post("agree", {"token": shown["token"]})
    assert shown["component"] == "ak-stage-dummy", shown
    return None


def try_consent(world, user, node, _):
    browser = world.signed_in(user, node)
    return browser is not None and browser.get("agree")["component"] == "ak-stage-dummy"


def try_source_token(world, user, node, _):
    text = "SELECT id FROM source_user_connection WHERE (access_token IS NOT NULL OR refresh_token IS NOT NULL)"
    return bool(sql(node, f"{text} AND \"user\" = {user['pk']}"))


def at_the_factor(world, user, node=None):
    browser = world.browser(node)
    browser.get("quick")
    return browser, browser.post("quick", {"uid_field": user["username"]})


def get_sms_code(world, user):
    browser, asked = at_the_factor(world, user)
    choose(browser, asked, "quick")
    return browser, world.twilio.code


def mailed(world, user, act):
    """The code that is mailed to the person by what is done."""
    letters = lambda: [letter for letter in world.mail.letters if letter.to == [user["email"]]]
    before = len(letters())
    act()
    wait_for("a letter", lambda: len(letters()) > before, 60)
    return re.search(r"\b(\d{6})\b", letters()[-1].text)[1]


def get_email_code(world, user):
    browser, asked = at_the_factor(world, user)
    [offer] = [c for c in asked["device_challenges"] if c["device_class"] == "email"]
    chosen = {"device_class": "email", "device_uid": offer["device_uid"]}
    return browser, mailed(world, user, lambda: browser.post("quick", {"selected_challenge": chosen}))


def try_code(world, user, node, got):
    browser, code = got
    on(node, browser).post("quick", {"code": code})
    return on(node, browser).me() is not None


def get_impersonation(world, user):
    browser = world.signed_in(world.people["admin"])
    assert browser.act("POST", f"/core/users/{user['pk']}/impersonate/", {"reason": "a test"}).status_code == 204
    return browser


def try_impersonation(world, user, node, browser):
    me = on(node, browser).me()
    return me is not None and me["username"] == user["username"]


def get_remembered_authenticator(world, user):
    browser, code = get_sms_code(world, user)
    assert browser.post("quick", {"code": code})["component"] == DONE
    return browser.http.cookies["authentik_mfa"]


def try_remembered_authenticator(world, user, node, cookie):
    browser = world.browser(node)
    browser.http.cookies.set("authentik_mfa", cookie)
    browser.get("quick")
    browser.post("quick", {"uid_field": user["username"]})
    return browser.me() is not None


def known(world, user, node=None, cookie=None):
    """A sign-in from somewhere else; the browser, and whether it was known. None when it is refused."""
    browser = world.browser(node)
    if cookie:
        browser.http.cookies.set("authentik_device", cookie)
    browser.get("known")
    browser.post("known", {"uid_field": user["username"]})
    if not browser.me():
        return None, None
    login = next(e for e in world.site.events("login") if e["user"]["username"] == user["username"])
    return browser, login["context"]["auth_method_args"]["known_device"]


def get_remembered_device(world, user):
    browser, _ = known(world, user)
    return browser.http.cookies["authentik_device"]


def try_remembered_device(world, user, node, cookie):
    return known(world, user, node, cookie)[1] is True


ATTEMPTS = {
    "session": (get_session, try_session),
    "source_sign_in": (get_source_sign_in, try_source_sign_in),
    "api_token": (get_api_token, try_api_token),
    "app_password": (get_app_password, try_password),
    "recovery_token": (get_other_token("recovery"), try_other_token),
    "verification_token": (get_other_token("verification"), try_other_token),
    "flow_token": (get_flow_token, try_flow_token),
    "waiting_flow": (get_waiting_flow, try_waiting_flow),
    "invitation": (get_invitation, try_invitation),
    "consent": (get_consent, try_consent),
    "email_code": (get_email_code, try_code),
    "sms_code": (get_sms_code, try_code),
    "source_token": (lambda world, user: None, try_source_token),
    "impersonation": (get_impersonation, try_impersonation),
    "remembered_authenticator": (get_remembered_authenticator, try_remembered_authenticator),
    "remembered_device": (get_remembered_device, try_remembered_device),
}
# Tokens of these intents open nothing by themselves, whoever's they are.
NEVER_OPEN = {"recovery_token", "verification_token"}
# Of these a person has one, and the newest counts: it is got once and tried each time.
ONE = {"email_code", "sms_code", "flow_token", "consent", "source_token"}
# Those that leave something on the way are got last: what is got after them would use it up.
LAST = ("sms_code", "email_code")


@pytest.fixture
def world(start_server):
    made = World(start_server)
    yield made
    made.close()


def equip(world, username):
    """Somebody with everything that later things need."""
    site = world.site
    user = world.person(username) | {"email": f"{username}@example.test", "paper": []}
    connect(world, user)
    browser = world.signed_in(user)
    shown = browser.get("default-authenticator-static-setup")
    user["paper"] = list(shown["codes"])
    assert browser.post("default-authenticator-static-setup", {})["component"] == DONE
    number = f"+49301234{user['pk']:03d}"
    browser.get("sms-setup")
    browser.post("sms-setup", {"phone_number": number})
    assert browser.post("sms-setup", {"code": world.twilio.code})["component"] == DONE
    code = mailed(world, user, lambda: browser.get("mail-setup"))
    assert browser.post("mail-setup", {"code": code})["component"] == DONE
    # The paper has few codes: more of them.
    for _ in range(4):
        shown = browser.get("default-authenticator-static-setup")
        user["paper"] += shown["codes"]
        assert browser.post("default-authenticator-static-setup", {})["component"] == DONE
    return user


def in_order():
    return sorted(ATTEMPTS, key=lambda kind: (kind in LAST, LAST.index(kind) if kind in LAST else 0))


def test_nothing_that_was_held_before_a_lockdown_opens_anything_afterwards(world):
    site, nodes = world.site, world.nodes
    stage = site.api("GET", "/stages/source/")["results"][0]
    site.flow("quick-by-source", "authentication", ("identification", {"user_fields": ["username"]}))
    target = site.api("GET", "/flows/instances/quick-by-source/")["pk"]
    site.api("POST", "/flows/bindings/", {"target": target, "stage": stage["pk"], "order": 10})
    login = site.api("POST", "/stages/user_login/", {"name": "quick-by-source in"})
    site.api("POST", "/flows/bindings/", {"target": target, "stage": login["pk"], "order": 20})
    world.people["admin"] = {"username": "akadmin", "pk": site.api("GET", "/core/users/?username=akadmin")["results"][0]["pk"]}
    carl, ann = equip(world, "carl"), equip(world, "ann")
    # For another person each of them opens something, or the attempt would prove nothing.
    for kind in in_order():
        get, attempt = ATTEMPTS[kind]
        opens = attempt(world, carl, site, get(world, carl))
        assert opens or kind in NEVER_OPEN, f"{kind} opens nothing before a lockdown"
    tries = 2 * len(nodes)
    held = {kind: [ATTEMPTS[kind][0](world, ann) for _ in range(1 if kind in ONE else tries)] for kind in in_order()}
    done = weir(site, "user", "lockdown", "ann", "--reason", "a residual-access test")
    assert done.returncode == 0, done.stderr
    record = site.api("GET", f"/weir/lockdowns/?user={ann['pk']}")["results"][0]["record"]
    kinds = {kind["kind"]: kind for kind in record["artefacts"]}
    assert set(kinds) == set(ATTEMPTS), "every kind of the server's list is tried"
    for kind in kinds.values():
        assert kind["remaining"] == 0 and (kind["found"] is None or kind["found"] > 0), kind
        assert kind["ended"] == kind["found"], kind

    def try_all(when, first):
        for number, node in enumerate(nodes):
            for kind, things in held.items():
                thing = things[0] if kind in ONE else things[first + number]
                opened = ATTEMPTS[kind][1](world, ann, node, thing)
                assert not opened, f"{kind} opens something on node {number} {when}"

    try_all("while the account is locked", 0)
    assert site.api("POST", f"/weir/users/{ann['pk']}/unlock/", {"reason": "tested"})["was_active"] is False
    site.set_password(ann, NEW_PASSWORD)
    ann["opened"] = True
    try_all("after the account was opened", len(nodes))
    # What is got anew opens as before: the refusals were not about the person.
    for kind in ("session", "api_token", "consent"):
        assert ATTEMPTS[kind][1](world, ann, site, ATTEMPTS[kind][0](world, ann)), kind


def soft_lockdown(world, user):
    """Ends everything and leaves the account active, so that the epoch alone stands between."""
    body = {"users": [user["pk"]], "reason": "soft", "deactivate_user": False}
    batch = world.site.api("POST", "/weir/lockdowns/", body)["batch"]

    def done():
        shown = world.site.api("GET", f"/weir/lockdowns/batches/{batch}/")
        return shown if shown["counts"]["waiting"] == 0 else None

    assert wait_for("the lockdown", done, 30)["counts"]["locked"] == 1


def test_a_sign_in_that_was_at_the_provider_during_a_lockdown_leaves_nothing(world):
    site = world.site
    ann = world.person("ann") | {"paper": []}
    connect(world, ann)
    left = lambda: try_source_token(world, ann, site, None)
    assert left(), "the first sign-in left its keys"

    def come(browser):
        world.come_back(browser, site, world.back(browser, "ann"))
        return browser.me() is not None

    # While the code is redeemed.
    world.provider.meanwhile = lambda: soft_lockdown(world, ann)
    assert not come(world.browser()) and not left()
    # Connecting a further identity to the account of somebody who is signed in.
    site.set_password(ann)
    sql(site, f"DELETE FROM source_user_connection WHERE \"user\" = {ann['pk']}")
    browser = world.signed_in(ann)
    address = world.back(browser, "ann")
    world.come_back(browser, site, address)
    assert world.connections(ann) == 0 and browser.me() is None
    world.provider.meanwhile = None
    # While the browser is away.
    site.set_password(ann)
    connect(world, ann)
    late = world.browser()
    address = world.back(late, "ann")
    soft_lockdown(world, ann)
    world.come_back(late, site, address)
    assert late.me() is None and not left()
    # Whoever leaves afterwards is not meant. Lockdowns of a few seconds before still count, as clocks differ.
    assert wait_for("a sign-in", lambda: come(world.browser()), 20) and left()


def test_a_request_of_an_administrator_who_is_locked_down_meanwhile_changes_nothing(world):
    site = world.site
    eve = world.person("eve")
    site.api("POST", "/core/groups/", {"name": "other administrators", "is_superuser": True, "users": [eve["pk"]]})
    key = key_of(site, eve, "eve-api")
    source = {
        "name": "hers", "slug": "hers", "provider_type": "openidconnect", "consumer_key": "k", "consumer_secret": "s",
        "oidc_well_known_url": f"{world.provider.url}/.well-known/openid-configuration",
    }
    # The server asks the provider before it writes.
    world.provider.meanwhile = lambda: soft_lockdown(world, eve)
    made = as_token(site, key, "POST", "/sources/oauth/", source)
    assert world.provider.asked, "the provider was asked"
    assert made.status_code == 403, made.text
    assert site.api("GET", "/sources/oauth/?slug=hers")["results"] == []


def test_a_code_that_is_sent_during_a_lockdown_is_worth_nothing(world):
    site = world.site
    ann = equip(world, "ann")
    browser, asked = at_the_factor(world, ann)
    world.twilio.gate.clear()
    [offer] = [c for c in asked["device_challenges"] if c["device_class"] == "sms"]
    sent = len(world.twilio.sent)
    answers = []
    choosing = {"selected_challenge": {"device_class": "sms", "device_uid": offer["device_uid"]}}
    thread = threading.Thread(target=lambda: answers.append(browser.post("quick", choosing)))
    thread.start()
    wait_for("the message", lambda: len(world.twilio.asked) > sent, 20)
    soft_lockdown(world, ann)
    world.twilio.gate.set()
    thread.join()
    assert sql(site, f"SELECT code_digest FROM identity_device_sms WHERE \"user\" = {ann['pk']} AND code_digest IS NOT NULL") == []
    browser.post("quick", {"code": world.twilio.code})
    assert browser.me() is None


def test_a_record_is_checked_without_any_of_our_programs(world, tmp_path):
    """The program that the documentation gives to auditors, run as it stands there."""
    site = world.site
    site.user("ann", name="Änn \U0001f512")
    reason = 'phone "stolen"\n\tin Zürich \U0001f4f1 </script>  '
    assert weir(site, "user", "lockdown", "ann", "--reason", reason).returncode == 0
    record = site.api("GET", "/weir/lockdowns/")["results"][0]
    key = requests.get(f"{site.url}/api/v3/weir/lockdowns/key/").json()
    text = (os.environ.get("WEIR_DOCS") or f"{os.path.dirname(__file__)}/../../docs") + "/LOCKDOWN.md"
    program = re.search(r"```python\n(.*?)```", open(text, encoding="utf-8").read(), re.S)[1]
    (tmp_path / "check.py").write_text(program, encoding="utf-8")
    (tmp_path / "key.json").write_text(json.dumps(key))

    def check(document):
        (tmp_path / "record.json").write_text(document, encoding="utf-8")
        command = [sys.executable, "check.py", "record.json", "key.json"]
        outside = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        ours = weir(site, "lockdown", "verify", str(tmp_path / "record.json"), "--key", str(tmp_path / "key.json"))
        assert (outside.returncode == 0) == (ours.returncode == 0), f"{outside.stderr} {ours.stderr}"
        return outside.returncode == 0

    assert check(json.dumps(record)) and check(json.dumps(record, ensure_ascii=False, indent=3))
    assert record["record"]["reason"] == reason.strip()
    forged = json.loads(json.dumps(record))
    forged["record"]["artefacts"][0]["remaining"] = None
    assert not check(json.dumps(forged))
    # The forged reason first, the signed one after it: some programs show the one, some the other.
    twice = json.dumps(record).replace('{"version"', '{"reason": "none", "version"', 1).replace('{"record": {', '{"record": {"reason": "none", ', 1)
    assert not check(twice)
    forged = json.loads(json.dumps(record))
    forged["record"]["epoch"]["after"] = 1.0
    assert not check(json.dumps(forged))
