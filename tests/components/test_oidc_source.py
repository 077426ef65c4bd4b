"""Signing in with a real OpenID Connect provider: the certified npm package `oidc-provider`."""

import concurrent.futures
import html
import json
import re
import shutil
import subprocess
import time
import urllib.parse
from pathlib import Path

import pytest
import requests

from conftest import free_port, wait_for

FOLDER = Path(__file__).parent / "oidc"
SECRET = "a secret of a client, with spaces & signs"
PEOPLE = {
    "ann": {
        "email": "ann@example.test",
        "email_verified": True,
        "name": "Ann Example",
        "preferred_username": "ann",
        "groups": ["staff", "admins"],
    },
    "bob": {"email": "bob@example.test", "email_verified": False, "name": "Bob", "preferred_username": "bob"},
    "nameless": {"name": "No Mail"},
}


class Provider:
    """The provider in a process of its own. `client` is the id under which a source is known there."""

    def __init__(self, server):
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        clients = [
            {"client_id": name, "client_secret": SECRET, "token_endpoint_auth_method": method}
            | {"redirect_uris": [f"{server.url}/source/oauth/callback/{slug}/" for slug in ("home", "other")]}
            for name, method in [
                ("weir", "client_secret_basic"),
                ("by-post", "client_secret_post"),
                ("with-pkce", "client_secret_basic"),
            ]
        ]
        self.settings = json.dumps({"port": self.port, "clients": clients, "people": PEOPLE})
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["node", "provider.mjs", self.settings], cwd=FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def answers():
            try:
                return requests.get(f"{self.issuer}/.well-known/openid-configuration", timeout=2).ok
            except requests.RequestException:
                return False

        wait_for("the provider", answers)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def misbehave(self, mode, **people):
        requests.post(f"{self.issuer}/misbehave", json={"mode": mode, "people": people}).raise_for_status()

    def calls(self):
        return requests.get(f"{self.issuer}/calls").json()


def packages():
    installed, wanted = FOLDER / "node_modules/.package-lock.json", FOLDER / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
        npm = shutil.which("npm")
        assert npm, "npm is needed for the provider"
        subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=FOLDER, check=True)


@pytest.fixture
def place(start_server):
    """A server and a provider that knows it."""
    packages()
    server = start_server()
    provider = Provider(server)
    yield server, provider
    provider.stop()


def flow_pk(server, slug):
    return server.api("GET", f"/flows/instances/{slug}/")["pk"]


def make_source(server, provider, slug="home", client="weir", **fields):
    body = {
        "name": f"Source {slug}",
        "slug": slug,
        "provider_type": "openidconnect",
        "consumer_key": client,
        "consumer_secret": SECRET,
        "oidc_well_known_url": f"{provider.issuer}/.well-known/openid-configuration",
        "authentication_flow": flow_pk(server, "default-source-authentication"),
        "enrollment_flow": flow_pk(server, "default-source-enrollment"),
    }
    return server.api("POST", "/sources/oauth/", body | fields)


def follow(http, answer, base):
    return urllib.parse.urljoin(base, answer.headers["location"])


def depart(browser, slug="home", **options):
    """Leaves Weir; the address at the provider."""
    url = f"{browser.server.url}/source/oauth/login/{slug}/"
    answer = browser.http.get(url, allow_redirects=False, **options)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def at_provider(browser, url, login, consents=True):
    """Signs in at the provider by its own pages; the address back, not opened yet."""
    for _ in range(20):
        answer = browser.http.get(url, allow_redirects=False)
        while answer.is_redirect:
            url = follow(browser.http, answer, url)
            if "/source/oauth/callback/" in url:
                return url
            answer = browser.http.get(url, allow_redirects=False)
        assert answer.status_code == 200, f"{url}: {answer.status_code} {answer.text[:2000]}"
        if not consents:
            url = html.unescape(re.search(r'href="([^"]+/abort)"', answer.text)[1])
            continue
        prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)[1]
        form = {"prompt": prompt} | ({"login": login, "password": "any"} if prompt == "login" else {})
        action = html.unescape(re.search(r'action="([^"]+)"', answer.text)[1])
        answer = browser.http.post(action, data=form, allow_redirects=False)
        url = follow(browser.http, answer, action)
    raise AssertionError("the provider asks without end")


def come_back(browser, url):
    return browser.http.get(url, allow_redirects=False)


def walk(browser, answer):
    """Goes on in the flow that an answer of the callback leads to; the challenge at which it stops."""
    assert answer.status_code == 302, f"{answer.status_code} {text_of(answer)}"
    to = urllib.parse.urlsplit(answer.headers["location"])
    slug = re.fullmatch(r"/if/flow/([\w-]+)/", to.path)[1]
    return browser.get(slug, to.query)


def sign_in(browser, login, slug="home"):
    return walk(browser, come_back(browser, at_provider(browser, depart(browser, slug), login)))


def text_of(answer):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def assert_refused(answer, words):
    assert answer.status_code == 403, f"{answer.status_code} {text_of(answer)}"
    assert words in text_of(answer)


def connections(server, **filters):
    query = urllib.parse.urlencode(filters)
    return server.api("GET", f"/sources/user_connections/oauth/?{query}")["results"]


def test_the_first_sign_in_enrols_and_the_second_authenticates(place):
    server, provider = place
    source = make_source(server, provider)
    assert source["authorization_url"] == f"{provider.issuer}/auth"
    assert source["oidc_jwks"]["keys"][0]["kid"] == "first"
    assert source["callback_url"] == f"{server.url}/source/oauth/callback/home/"
    assert SECRET not in json.dumps(source)
    browser = server.browser()
    shown = sign_in(browser, "ann")
    assert (shown["component"], shown["to"]) == ("xak-flow-redirect", "/"), shown
    ann = browser.me()
    assert (ann["username"], ann["name"], ann["email"]) == ("ann", "Ann Example", "ann@example.test")
    made = server.api("GET", f"/core/users/{ann['pk']}/")
    assert made["path"] == "goauthentik.io/sources/home"
    assert made["attributes"]["goauthentik.io/user/sources"] == ["Source home"]
    assert [c["identifier"] for c in connections(server, user=ann["pk"])] == ["ann"]
    again = server.browser()
    sign_in(again, "ann")
    assert again.me()["pk"] == ann["pk"]
    assert len(server.api("GET", "/core/users/?username=ann")["results"]) == 1
    login = server.events("login")[0]
    assert login["context"]["source"]["name"] == "Source home"
    assert login["user"]["username"] == "ann"
    everything = json.dumps(server.api("GET", "/events/events/?page_size=100")) + server.log_text()
    assert SECRET not in everything


def test_where_the_person_wanted_to_go_is_kept(place):
    server, provider = place
    make_source(server, provider)
    browser = server.browser()
    back = at_provider(browser, depart(browser, params={"next": "/if/user/?page=2"}), "ann")
    assert walk(browser, come_back(browser, back))["to"] == "/if/user/?page=2"
    stranger = server.browser()
    back = at_provider(stranger, depart(stranger, params={"next": "https://evil.example.test/"}), "ann")
    assert walk(stranger, come_back(stranger, back))["to"] == "/"


@pytest.mark.parametrize(
    ("client", "fields"),
    [
        ("by-post", {"authorization_code_auth_method": "post_body"}),
        ("with-pkce", {"pkce": "S256"}),
        ("weir", {"pkce": "S256"}),
    ],
)
def test_the_ways_to_redeem_a_code(place, client, fields):
    server, provider = place
    make_source(server, provider, client=client, **fields)
    browser = server.browser()
    sign_in(browser, "ann")
    assert browser.me()["username"] == "ann"


def test_what_the_provider_insists_on_and_does_not_get_is_a_clear_refusal(place):
    server, provider = place
    make_source(server, provider, client="with-pkce")
    browser = server.browser()
    assert_refused(come_back(browser, at_provider(browser, depart(browser), "ann")), "refused the sign-in")
    make_source(server, provider, slug="other", consumer_secret="wrong")
    assert_refused(come_back(browser, at_provider(browser, depart(browser, "other"), "ann")), "does not work")
    assert "invalid_client" in server.events("configuration_error")[0]["context"]["message"]


def test_whoever_says_no_at_the_provider_is_told_so(place):
    server, provider = place
    make_source(server, provider)
    browser = server.browser()
    back = at_provider(browser, depart(browser), "ann", consents=False)
    assert "error=access_denied" in back
    assert_refused(come_back(browser, back), "The sign-in was cancelled.")
    assert browser.me() is None


def test_a_state_counts_in_its_own_browser_only_and_once(place):
    server, provider = place
    make_source(server, provider)
    browser, other = server.browser(), server.browser()
    back = at_provider(browser, depart(browser), "ann")
    assert_refused(come_back(other, back), "began in another browser")
    depart(other)
    assert_refused(come_back(other, back), "began in another browser")
    assert_refused(come_back(browser, back.replace("state=", "state=x")), "began in another browser")
    assert_refused(come_back(browser, re.sub(r"state=[^&]+", "", back)), "began in another browser")
    assert provider.calls() == [], "nothing of that was worth a call"
    walk(browser, come_back(browser, back))
    assert browser.me()["username"] == "ann"
    assert_refused(come_back(browser, back), "already used")


def test_of_fifty_callbacks_at_once_one_wins(place):
    server, provider = place
    make_source(server, provider)
    browser = server.browser()
    back = at_provider(browser, depart(browser), "ann")
    provider.misbehave("")

    def callback(_):
        return requests.get(back, cookies=browser.http.cookies, allow_redirects=False).status_code

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = sorted(pool.map(callback, range(50)))
    assert answers == [302] + [403] * 49
    assert provider.calls() == ["/token", "/me"], "the code was redeemed once"


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("nonce", "belongs to another sign-in"),
        ("no-nonce", "belongs to another sign-in"),
        ("expired", "has expired"),
        ("audience", "for another client"),
        ("issuer", "from another issuer"),
        ("signature", "signature of the ID token is wrong"),
        ("kid", "a key that the provider does not list"),
        ("subject", "about different people"),
        ("none", "ID token"),
        ("confusion", "algorithm that is not accepted"),
        ("no-statement", "gave no ID token"),
        ("broken", "answered 500: server_error: out of order"),
        ("garbage", "no JSON"),
        ("garbage-profile", "no JSON"),
        ("huge", "longer than"),
    ],
)
def test_a_provider_that_misbehaves_signs_nobody_in(place, mode, words):
    server, provider = place
    make_source(server, provider)
    browser = server.browser()
    back = at_provider(browser, depart(browser), "ann")
    provider.misbehave(mode)
    answer = come_back(browser, back)
    assert_refused(answer, "does not work at the moment")
    assert words not in text_of(answer), "causes are for administrators"
    assert words in server.events("configuration_error")[0]["context"]["message"]
    assert browser.me() is None
    provider.misbehave("")
    sign_in(browser, "ann")
    assert browser.me()["username"] == "ann"


def test_a_provider_that_is_slow_or_away_keeps_nobody_waiting_for_long(place):
    server, provider = place
    make_source(server, provider)
    browser = server.browser()
    back = at_provider(browser, depart(browser), "ann")
    provider.misbehave("slow")
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(come_back, browser, back)
        time.sleep(1)
        # Meanwhile the database is free for everybody else.
        server.user("somebody-else")
        assert time.monotonic() - began < 5
        assert_refused(waiting.result(), "does not work at the moment")
    assert time.monotonic() - began < 13
    provider.misbehave("")
    back = at_provider(browser, depart(browser), "ann")
    provider.stop()
    assert_refused(come_back(browser, back), "does not work at the moment")
    answer = server.api("PATCH", "/sources/oauth/home/", {"name": "New name"}, expect=400)
    assert "failed" in answer["oidc_well_known_url"][0]


def test_a_signed_in_person_connects_an_identity(place):
    server, provider = place
    make_source(server, provider)
    user = server.user("local")
    server.set_password(user)
    browser = server.browser()
    browser.get("default-authentication-flow")
    browser.post("default-authentication-flow", {"uid_field": "local"})
    browser.post("default-authentication-flow", {"password": "Throw-away-password-1"})
    assert browser.me()["username"] == "local"
    settings = browser.http.get(f"{server.url}/api/v3/sources/all/user_settings/").json()
    assert [(s["object_uid"], s["configure_url"]) for s in settings] == [("home", "/source/oauth/login/home/")]
    # Another site cannot make it happen behind the person's back.
    url = f"{server.url}/source/oauth/login/home/"
    answer = browser.http.get(url, headers={"Sec-Fetch-Site": "cross-site"}, allow_redirects=False)
    assert answer.status_code == 200 and "Another site led you here" in text_of(answer)
    answer = come_back(browser, at_provider(browser, depart(browser), "ann"))
    assert (answer.status_code, answer.headers["location"]) == (302, "/if/user/")
    assert browser.me()["username"] == "local"
    assert [c["identifier"] for c in connections(server, user=user["pk"])] == ["ann"]
    assert server.events("source_linked")[0]["user"]["username"] == "local"
    fresh = server.browser()
    sign_in(fresh, "ann")
    assert fresh.me()["username"] == "local"
    # Nobody else gets it, and the first keeps theirs.
    rival = server.user("rival")
    server.set_password(rival)
    theirs = server.browser()
    theirs.get("default-authentication-flow")
    theirs.post("default-authentication-flow", {"uid_field": "rival"})
    theirs.post("default-authentication-flow", {"password": "Throw-away-password-1"})
    assert_refused(come_back(theirs, at_provider(theirs, depart(theirs), "ann")), "already connected with another")
    assert connections(server, user=rival["pk"]) == []


@pytest.mark.parametrize(
    ("mode", "login", "local", "outcome"),
    [
        ("identifier", "ann", {"username": "x", "email": "ann@example.test"}, "enrols"),
        ("email_link", "ann", {"username": "x", "email": "Ann@Example.test"}, "links"),
        ("email_link", "ann", {"username": "x", "email": "other@example.test"}, "enrols"),
        ("email_link", "bob", {"username": "x", "email": "bob@example.test"}, "You cannot sign in with this account."),
        ("email_link", "nameless", {"username": "x", "email": ""}, "did not tell what is needed"),
        ("email_deny", "ann", {"username": "x", "email": "ann@example.test"}, "You cannot sign in with this account."),
        ("email_deny", "ann", {"username": "x", "email": "other@example.test"}, "enrols"),
        ("username_link", "ann", {"username": "ann", "email": ""}, "links"),
        ("username_link", "nameless", {"username": "x", "email": ""}, "did not tell what is needed"),
        ("username_deny", "ann", {"username": "Ann", "email": ""}, "You cannot sign in with this account."),
    ],
)
def test_who_a_person_of_the_provider_is_here(place, mode, login, local, outcome):
    server, provider = place
    make_source(server, provider, user_matching_mode=mode)
    user = server.user(**local)
    browser = server.browser()
    answer = come_back(browser, at_provider(browser, depart(browser), login))
    if outcome not in ("enrols", "links"):
        assert_refused(answer, outcome)
        assert browser.me() is None
        assert server.events("login_failed")[0]["context"]["source"]["name"] == "Source home"
        return
    walk(browser, answer)
    me = browser.me()
    assert (me["pk"] == user["pk"]) == (outcome == "links")
    assert [c["identifier"] for c in connections(server, user=me["pk"])] == [login]


def test_an_ambiguous_mail_address_connects_nobody(place):
    server, provider = place
    make_source(server, provider, user_matching_mode="email_link")
    for name in ("one", "two"):
        server.user(name, email="ann@example.test")
    browser = server.browser()
    assert_refused(come_back(browser, at_provider(browser, depart(browser), "ann")), "You cannot sign in")


def test_who_is_inactive_or_gone_does_not_get_in(place):
    server, provider = place
    make_source(server, provider)
    browser = server.browser()
    sign_in(browser, "ann")
    pk = browser.me()["pk"]
    server.api("PATCH", f"/core/users/{pk}/", {"is_active": False})
    again = server.browser()
    assert_refused(come_back(again, at_provider(again, depart(again), "ann")), "You cannot sign in")
    server.api("DELETE", f"/core/users/{pk}/")
    assert connections(server) == []


def test_mappings_make_the_user_and_the_groups(place):
    server, provider = place

    def mapping(name, expression):
        made = server.api("POST", "/propertymappings/source/oauth/", {"name": name, "expression": expression})
        return made["pk"]

    users = [
        mapping("2 second", "return {'name': properties['name'] + ' of ' + source.slug, 'attributes': {'b': 2}}"),
        mapping("1 first", "return {'username': info['sub'] + '-mapped', 'attributes': {'a': {'c': client['client_id']}}}"),
        mapping("3 nothing", "return None"),
    ]
    groups = [mapping("group", "return {'name': 'home ' + group_id, 'attributes': {'told': group_id}}")]
    make_source(server, provider, user_property_mappings=users, group_property_mappings=groups)
    browser = server.browser()
    sign_in(browser, "ann")
    me = server.api("GET", f"/core/users/{browser.me()['pk']}/")
    assert (me["username"], me["name"]) == ("ann-mapped", "Ann Example of home")
    assert (me["attributes"]["a"], me["attributes"]["b"]) == ({"c": "weir"}, 2)
    assert sorted(g["name"] for g in me["groups_obj"]) == ["home admins", "home staff"]
    rows = server.api("GET", "/sources/group_connections/oauth/")["results"]
    assert sorted(row["identifier"] for row in rows) == ["admins", "staff"]
    test = f"/propertymappings/all/{users[1]}/test/"
    tried = server.api("POST", test, {"context": {"info": {"sub": "x"}, "client": {"client_id": "y"}}})
    assert (json.loads(tried["result"]), tried["successful"]) == ({"username": "x-mapped", "attributes": {"a": {"c": "y"}}}, True)
    assert server.api("POST", test, {})["successful"] is False
    # One that fails lets nobody in half-made.
    server.api("PATCH", f"/propertymappings/source/oauth/{users[2]}/", {"expression": "return 1 / 0"})
    fresh = server.browser()
    assert_refused(come_back(fresh, at_provider(fresh, depart(fresh), "bob")), "does not work")
    assert "3 nothing failed" in server.events("configuration_error")[0]["context"]["message"]
    assert server.events("property_mapping_exception")
    refused = server.api("POST", "/propertymappings/source/oauth/", {"name": "bad", "expression": "return ("}, expect=400)
    assert "Syntax Error" in refused["expression"][0]


def test_groups_follow_the_provider_and_leave_those_of_the_site_alone(place):
    server, provider = place
    make_source(server, provider)
    own = server.api("POST", "/core/groups/", {"name": "admins", "is_superuser": True})
    browser = server.browser()
    sign_in(browser, "ann")
    me = server.api("GET", f"/core/users/{browser.me()['pk']}/")
    assert [g["name"] for g in me["groups_obj"]] == ["staff"], "a group of the site is not filled by its name"
    staff = me["groups"][0]
    server.api("PATCH", "/sources/oauth/home/", {"group_matching_mode": "name_link"})
    again = server.browser()
    sign_in(again, "ann")
    me = server.api("GET", f"/core/users/{me['pk']}/")
    assert sorted(g["name"] for g in me["groups_obj"]) == ["admins", "staff"]
    assert own["pk"] in me["groups"]
    # What the provider takes away goes; what was given by hand stays.
    hand = server.api("POST", "/core/groups/", {"name": "by hand", "users": [me["pk"]]})
    provider.misbehave("", ann=PEOPLE["ann"] | {"groups": ["staff"]})
    sign_in(server.browser(), "ann")
    assert sorted(server.api("GET", f"/core/users/{me['pk']}/")["groups"]) == sorted([staff, hand["pk"]])


def test_policies_of_a_source_say_who_may_use_it(place):
    server, provider = place
    source = make_source(server, provider)
    expression = "if 'oauth_userinfo' in context and context['oauth_userinfo']['sub'] != 'ann':\n    ak_message('Only Ann.')\n    return False\nreturn ak_is_sso_flow and context['source'].slug == 'home'"
    policy = server.api("POST", "/policies/expression/", {"name": "only ann", "expression": expression})
    server.api("POST", "/policies/bindings/", {"target": source["pk"], "policy": policy["pk"], "order": 0})
    browser = server.browser()
    assert_refused(come_back(browser, at_provider(browser, depart(browser), "bob")), "Only Ann.")
    fresh = server.browser()
    sign_in(fresh, "ann")
    assert fresh.me()["username"] == "ann"


def test_a_source_that_is_off_or_has_no_flow_lets_nobody_in(place):
    server, provider = place
    make_source(server, provider, enrollment_flow=None)
    browser = server.browser()
    assert_refused(come_back(browser, at_provider(browser, depart(browser), "ann")), "not set up for new users")
    back = at_provider(browser, depart(browser), "ann")
    server.api("PATCH", "/sources/oauth/home/", {"enabled": False})
    assert come_back(browser, back).status_code == 404
    assert browser.http.get(f"{server.url}/source/oauth/login/home/").status_code == 404
    assert browser.http.get(f"{server.url}/source/oauth/login/unheard-of/").status_code == 404


def test_identification_offers_sources_in_order(place):
    server, provider = place
    last = make_source(server, provider, name="Zoo", promoted=True, icon="/static/dist/assets/icons/icon.png")
    first = make_source(server, provider, slug="other", name="Ape")
    inbuilt = server.api("GET", "/sources/all/authentik-built-in/")
    stage = {"user_fields": [], "sources": [last["pk"], inbuilt["pk"], first["pk"]], "show_source_labels": True}
    server.flow("f", "authentication", ("identification", stage))
    shown = server.browser().get("f")
    assert [(s["name"], s["promoted"], s["icon_url"]) for s in shown["sources"]] == [
        ("Ape", False, None),
        ("Zoo", True, "/static/dist/assets/icons/icon.png"),
    ]
    assert shown["sources"][0]["challenge"] == {
        "component": "xak-flow-redirect",
        "to": "/source/oauth/login/other/",
        "final_redirect": False,
    }
    assert shown["show_source_labels"] is True


def with_stage(server, provider, **fields):
    """A flow that has people sign in with a source and shows a last page."""
    source = make_source(server, provider)
    stage = {"source": source["pk"]} | fields
    server.flow("outer", "stage_configuration", ("source", stage), ("dummy", {"name": "the end"}))


def test_a_flow_goes_on_after_the_sign_in_and_not_before(place):
    server, provider = place
    with_stage(server, provider)
    browser = server.browser()
    away = {"component": "xak-flow-redirect", "to": "/source/oauth/login/home/", "final_redirect": False}
    assert browser.get("outer", "next=%2Fif%2Fuser%2F") == away
    for answer in ({}, {"component": "xak-flow-redirect"}, {"to": "/"}):
        assert browser.post("outer", answer, "next=%2Fif%2Fuser%2F") == away, "a bare answer proves nothing"
    shown = sign_in(browser, "ann")
    assert shown["component"] == "xak-flow-redirect" and "/if/flow/outer/" in shown["to"], shown
    query = urllib.parse.urlsplit(shown["to"]).query
    assert query == "next=%2Fif%2Fuser%2F"
    last = browser.get("outer", query)
    assert (last["component"], last["name"]) == ("ak-stage-dummy", "the end")
    assert browser.me()["username"] == "ann"
    assert browser.post("outer", {}, query)["to"] == "/if/user/"


def test_a_sign_in_that_comes_back_too_late_does_not_go_on(place):
    server, provider = place
    with_stage(server, provider, resume_timeout="seconds=1")
    browser = server.browser()
    browser.get("outer")
    back = at_provider(browser, depart(browser), "ann")
    time.sleep(1.2)
    shown = walk(browser, come_back(browser, back))
    assert shown["component"] == "ak-stage-access-denied" and "took too long" in shown["error_message"]
    assert browser.get("outer")["component"] == "xak-flow-redirect"


def test_a_flow_about_one_person_is_not_taken_over_by_another(place):
    server, provider = place
    with_stage(server, provider)
    server.user("victim", email="victim@example.test")
    stage = server.api("GET", "/stages/source/")["results"][0]
    server.flow("guarded", "stage_configuration", ("identification", {"user_fields": ["username"]}))
    flow = flow_pk(server, "guarded")
    server.api("POST", "/flows/bindings/", {"target": flow, "stage": stage["pk"], "order": 10})
    browser = server.browser()
    browser.get("guarded")
    assert browser.post("guarded", {"uid_field": "victim"})["to"] == "/source/oauth/login/home/"
    shown = sign_in(browser, "ann")
    assert shown["component"] == "ak-stage-access-denied" and "somebody else" in shown["error_message"]


def test_a_flow_may_want_to_know_that_nobody_was_matched(place):
    server, provider = place
    with_stage(server, provider, resume_on_match_failures=["missing_property"])
    server.api("PATCH", "/sources/oauth/home/", {"user_matching_mode": "email_link"})
    browser = server.browser()
    browser.get("outer")
    last = sign_in(browser, "nameless")
    assert (last["component"], last["name"]) == ("ak-stage-dummy", "the end")
    assert browser.me() is None
    fresh = server.browser()
    server.user("x", email="bob@example.test")
    fresh.get("outer")
    assert_refused(come_back(fresh, at_provider(fresh, depart(fresh), "bob")), "You cannot sign in")


def test_sources_are_exported_and_imported(place):
    server, provider = place
    blueprint = f"""
version: 1
entries:
  - model: authentik_sources_oauth.oauthsourcepropertymapping
    id: mapping
    identifiers: {{name: from a file}}
    attrs: {{expression: "return {{'name': 'From a file'}}"}}
  - model: authentik_sources_oauth.oauthsource
    identifiers: {{slug: home}}
    attrs:
      name: Source home
      provider_type: openidconnect
      consumer_key: weir
      consumer_secret: "{SECRET}"
      oidc_well_known_url: {provider.issuer}/.well-known/openid-configuration
      authentication_flow: !Find [authentik_flows.flow, [slug, default-source-authentication]]
      enrollment_flow: !Find [authentik_flows.flow, [slug, default-source-enrollment]]
      user_property_mappings: [!KeyOf mapping]
"""
    headers = {"Authorization": "Bearer token-of-a-throw-away-server-for-components"}
    answer = requests.post(
        f"{server.url}/api/v3/managed/blueprints/import/", files={"file": ("b.yaml", blueprint)}, headers=headers
    )
    assert answer.ok and answer.json()["success"], answer.text
    browser = server.browser()
    sign_in(browser, "ann")
    assert browser.me()["name"] == "From a file", "the addresses were looked up when they were needed"


def test_ones_own_connections_are_ones_own(place):
    server, provider = place
    source = make_source(server, provider)
    other = server.user("other")
    token = server.api("POST", "/core/tokens/", {"identifier": "t", "user": other["pk"], "intent": "api"})
    key = server.api("GET", f"/core/tokens/{token['identifier']}/view_key/")["key"]

    def as_other(method, path, body=None):
        headers = {"Authorization": f"Bearer {key}"}
        return requests.request(method, f"{server.url}/api/v3{path}", json=body, headers=headers)

    body = {"source": source["pk"], "identifier": "me", "access_token": "very secret", "user": 1}
    made = as_other("POST", "/sources/user_connections/oauth/", body)
    assert made.status_code == 201 and made.json()["user"] == other["pk"] and "very secret" not in made.text
    path = f"/sources/user_connections/all/{made.json()['pk']}/"
    changed = as_other("PATCH", path, {"user": 1, "identifier": "still me"})
    assert (changed.json()["user"], changed.json()["identifier"]) == (other["pk"], "still me")
    browser = server.browser()
    sign_in(browser, "ann")
    theirs = connections(server, user=browser.me()["pk"])[0]["pk"]
    assert as_other("GET", f"/sources/user_connections/all/{theirs}/").status_code == 404
    assert as_other("PATCH", f"/sources/user_connections/oauth/{theirs}/", {"identifier": "x"}).status_code == 404
    assert [c["pk"] for c in as_other("GET", "/sources/user_connections/all/").json()["results"]] == [made.json()["pk"]]
    assert as_other("GET", "/sources/oauth/").status_code == 403
