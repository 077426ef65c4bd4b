"""Security keys and passkeys over HTTP, with an authenticator written from the standard (`authenticator.py`)."""

from concurrent.futures import ThreadPoolExecutor

import requests
from authenticator import Authenticator, b64
from conftest import PASSWORD


def flows(server):
    server.flow("setup", "stage_configuration", ("authenticator/webauthn", {}))
    server.flow(
        "second",
        "authentication",
        ("identification", {"user_fields": ["username"]}),
        ("authenticator/validate", {"not_configured_action": "deny"}),
        ("user_login", {}),
    )
    validate, _ = server.flow(
        "passwordless",
        "authentication",
        ("authenticator/validate", {"webauthn_user_verification": "required"}),
        ("user_login", {}),
    )
    server.flow(
        "passkey",
        "authentication",
        ("identification", {"user_fields": ["username"], "webauthn_stage": validate["pk"]}),
        ("user_login", {}),
    )


def enrol(server, authenticator):
    """The administrator, signed in, sets the authenticator up."""
    browser = server.browser()
    slug = "default-authentication-flow"
    browser.get(slug)
    browser.post(slug, {"uid_field": "akadmin"})
    browser.post(slug, {"password": PASSWORD})
    shown = browser.get("setup")
    shown = browser.post("setup", {"response": authenticator.create(shown["registration"])})
    assert shown["component"] == "xak-flow-redirect", shown
    return browser


def asked(shown):
    return next(o["challenge"] for o in shown["device_challenges"] if o["device_class"] == "webauthn")


def test_one_authenticator_signs_in_in_three_ways_and_is_the_owners_to_see(start_server):
    server = start_server()
    flows(server)
    authenticator = Authenticator(server.url)
    owner = enrol(server, authenticator)
    device = owner.http.get(f"{server.url}/api/v3/authenticators/webauthn/").json()["results"][0]
    unknown = {"aaguid": "00000000-0000-0000-0000-000000000000", "description": "authentik: Unknown devices"}
    assert (device["name"], device["device_type"]) == ("WebAuthn Device", unknown)

    browser = server.browser()
    browser.get("second")
    shown = browser.post("second", {"uid_field": "akadmin"})
    assert [c["id"] for c in asked(shown)["allowCredentials"]] == [b64(authenticator.id)]
    browser.post("second", {"webauthn": authenticator.get(asked(shown))})
    assert browser.me()["username"] == "akadmin"

    browser = server.browser()
    browser.post("passwordless", {"webauthn": authenticator.get(asked(browser.get("passwordless")))})
    assert browser.me()["username"] == "akadmin"

    browser = server.browser()
    browser.post("passkey", {"passkey": authenticator.get(browser.get("passkey")["passkey_challenge"])})
    assert browser.me()["username"] == "akadmin"

    server.restart()
    browser = server.browser()
    browser.post("passwordless", {"webauthn": authenticator.get(asked(browser.get("passwordless")))})
    assert browser.me()["username"] == "akadmin"


def test_what_does_not_fit_is_refused_and_reported(start_server):
    server = start_server()
    flows(server)
    authenticator = Authenticator(server.url)
    enrol(server, authenticator)
    browser = server.browser()
    shown = browser.get("passwordless")

    def refused(answer, text):
        shown = browser.post("passwordless", {"webauthn": answer})
        assert shown["response_errors"]["webauthn"][0]["string"] == text, shown
        return shown

    authenticator.origin = "http://evil.example.org"
    shown = refused(authenticator.get(asked(shown)), "Assertion failed")
    authenticator.origin = server.url
    authenticator.verifies = False
    shown = refused(authenticator.get(asked(shown)), "Assertion failed")
    authenticator.verifies = True
    stale = authenticator.get(asked(shown))
    shown = refused({**stale, "id": b64(b"x"), "rawId": b64(b"x")}, "Invalid device")
    shown = refused(stale, "Assertion failed")
    authenticator.count = 0
    shown = refused(authenticator.get(asked(shown)), "Assertion failed")
    assert browser.me() is None
    assert len(server.events("login_failed")) == 4
    for garbage in ({}, {"id": 1}, {"id": "A" * 5000}, {"type": "public-key", "id": "AA", "rawId": "AA", "response": 1}):
        shown = refused(garbage, "Invalid device")


def test_one_answer_sent_fifty_times_at_once_signs_in_once(start_server):
    server = start_server()
    flows(server)
    authenticator = Authenticator(server.url, counts=False)
    enrol(server, authenticator)
    browser = server.browser()
    answer = {"webauthn": authenticator.get(asked(browser.get("passwordless")))}
    cookies = browser.http.cookies.get_dict()
    headers = {"X-authentik-CSRF": cookies.get("authentik_csrf", "")}

    def send(_):
        return requests.post(
            browser.url("passwordless"), json=answer, cookies=cookies, headers=headers, allow_redirects=False, timeout=60
        ).status_code

    with ThreadPoolExecutor(50) as pool:
        codes = list(pool.map(send, range(50)))
    assert all(code < 500 for code in codes), codes
    # Passed once, the sign-in is next, and whoever asks first is signed in; passed twice, it would be passed over.
    browser.get("passwordless")
    # The API finds every action with the word in it.
    logins = [event for event in server.events("login") if event["action"] == "login"]
    assert len(logins) == 2, "the one before the set-up, and this"
    other = server.browser()
    other.get("passwordless")
    shown = other.post("passwordless", answer)
    assert shown["response_errors"]["webauthn"][0]["string"] == "Assertion failed"
