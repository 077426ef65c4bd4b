"""Second factors with the real `oathtool`: an app is set up and used, codes on paper open once each."""

import subprocess
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from conftest import PASSWORD

VALIDATE = "ak-stage-authenticator-validate"
DONE = "xak-flow-redirect"


def steady_second():
    """Now, with enough left of the step that nothing below meets its end."""
    left = 30 - time.time() % 30
    if left < 15:
        time.sleep(left + 0.1)
    return int(time.time())


def oathtool(secret, at, digits=6):
    command = ["oathtool", "--totp", "-b", "-d", str(digits), "--now", f"@{at}", secret]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def sign_in(server, username="akadmin"):
    """A browser that has said its password, and what it is asked then."""
    browser = server.browser()
    browser.get("default-authentication-flow")
    browser.post("default-authentication-flow", {"uid_field": username})
    return browser, browser.post("default-authentication-flow", {"password": PASSWORD})


def secret_of(challenge):
    address = urllib.parse.urlsplit(challenge["config_url"])
    assert address.scheme == "otpauth" and address.netloc == "totp"
    return urllib.parse.parse_qs(address.query)["secret"][0]


def enrol(browser, at, slug="default-authenticator-totp-setup", digits=6):
    secret = secret_of(browser.get(slug))
    assert secret_of(browser.get(slug)) == secret, "the same on reload"
    refused = browser.post(slug, {"code": "0" * digits})
    assert refused["response_errors"]["code"][0]["string"] == "Code does not match"
    assert browser.post(slug, {"code": oathtool(secret, at, digits)})["component"] == DONE
    return secret


def answer(browser, code, slug="default-authentication-flow"):
    return browser.post(slug, {"code": code})


def test_an_app_is_set_up_and_each_of_its_codes_opens_once(start_server):
    server = start_server()
    browser, done = sign_in(server)
    assert done["component"] == DONE, "nobody is asked before a device is there"
    now = steady_second()
    secret = enrol(browser, now - 30)
    devices = browser.http.get(f"{server.url}/api/v3/authenticators/all/").json()
    assert [(d["type"], d["confirmed"]) for d in devices] == [("authentik_stages_authenticator_totp.TOTPDevice", True)]
    for at, opens in [(now - 30, False), (now, True), (now, False), (now + 30, True), (now + 30, False)]:
        browser, asked = sign_in(server)
        assert asked["component"] == VALIDATE
        assert [c["device_class"] for c in asked["device_challenges"]] == ["totp"]
        answered = answer(browser, oathtool(secret, at))
        assert (answered["component"] == DONE) == opens, (at - now, answered)
        assert (browser.me() is not None) == opens
        time.sleep(1.1)  # A wrong answer closes the device for a second.
    failed = server.events("login_failed")
    assert failed[0]["context"]["auth_method_args"] == {"device_class": "totp"}
    assert secret not in str(server.api("GET", "/events/events/?page_size=100"))


def test_eight_digits_and_a_clock_that_is_ahead(start_server):
    server = start_server()
    server.flow("setup", "stage_configuration", ("authenticator/totp", {"digits": "8"}))
    browser, _ = sign_in(server)
    now = steady_second()
    secret = enrol(browser, now, "setup", digits=8)
    # 30 seconds ahead is learned, so that 60 are fine the next time.
    for ahead in (30, 60):
        browser, _ = sign_in(server)
        assert answer(browser, oathtool(secret, now + ahead, 8))["component"] == DONE, ahead


def test_each_code_on_paper_opens_once(start_server):
    server = start_server()
    browser, _ = sign_in(server)
    slug = "default-authenticator-static-setup"
    codes = browser.get(slug)["codes"]
    assert len(set(codes)) == 6 and browser.get(slug)["codes"] == codes
    assert browser.post(slug, {})["component"] == DONE
    [device] = browser.http.get(f"{server.url}/api/v3/authenticators/static/").json()["results"]
    assert [token["token"] for token in device["token_set"]] == codes
    for code in codes:
        browser, asked = sign_in(server)
        assert [c["device_class"] for c in asked["device_challenges"]] == ["static"]
        assert answer(browser, code)["component"] == DONE
        browser, _ = sign_in(server)
        assert answer(browser, code)["component"] == VALIDATE, "used up"
        time.sleep(1.1)
    [device] = server.api("GET", "/authenticators/admin/static/")["results"]
    assert device["token_set"] == []
    csrf = {"X-authentik-CSRF": browser.http.cookies.get("authentik_csrf", "")}
    own = f"{server.url}/api/v3/authenticators/static/{device['pk']}/"
    assert browser.http.delete(own, headers=csrf).status_code == 403, "this browser is not signed in"


def at_the_factor(server, count):
    """Browsers that stand before the second factor of a flow without password."""
    browsers = [server.browser() for _ in range(count)]
    for browser in browsers:
        browser.get("quick")
        assert browser.post("quick", {"uid_field": "akadmin"})["component"] == VALIDATE
    return browsers


def quick_flow(server, **validate):
    stages = server.flow(
        "quick",
        "authentication",
        ("identification", {"user_fields": ["username"]}),
        ("authenticator/validate", validate),
        ("user_login", {}),
    )
    return stages[1]


def passed_at_once(browsers, code):
    with ThreadPoolExecutor(len(browsers)) as pool:
        answers = list(pool.map(lambda browser: answer(browser, code, "quick"), browsers))
    signed_in = [browser for browser in browsers if browser.me()]
    assert len(signed_in) == sum(a["component"] == DONE for a in answers)
    return len(signed_in)


def test_of_fifty_that_come_with_one_code_at_once_one_passes(start_server):
    server = start_server()
    quick_flow(server, static_otp_throttling_factor=0, totp_otp_throttling_factor=0)
    browser, _ = sign_in(server)
    secret = enrol(browser, steady_second() - 30)
    browsers = at_the_factor(server, 50)
    now = steady_second()
    assert passed_at_once(browsers, oathtool(secret, now)) == 1
    codes = browser.get("default-authenticator-static-setup")["codes"]
    browser.post("default-authenticator-static-setup", {})
    assert passed_at_once(at_the_factor(server, 50), codes[0]) == 1


def test_a_closed_device_stays_closed_over_a_restart_and_for_fifty_at_once(start_server):
    server = start_server()
    stage = quick_flow(server, totp_otp_throttling_factor=1000)
    browser, _ = sign_in(server)
    secret = enrol(browser, steady_second() - 30)
    [first] = at_the_factor(server, 1)
    assert answer(first, "000000", "quick")["component"] == VALIDATE
    server.restart()
    browsers = at_the_factor(server, 50)
    assert passed_at_once(browsers, oathtool(secret, steady_second())) == 0, "the right code is refused too"
    # What was refused was not counted, so a smaller factor opens at once.
    server.api("PATCH", f"/stages/authenticator/validate/{stage['pk']}/", {"totp_otp_throttling_factor": 0.001})
    [browser] = at_the_factor(server, 1)
    assert answer(browser, oathtool(secret, steady_second()), "quick")["component"] == DONE


def test_a_browser_that_proved_it_is_not_asked_again_for_a_while(start_server):
    server = start_server()
    stage = quick_flow(server, last_auth_threshold="hours=1")
    browser, _ = sign_in(server)
    now = steady_second()
    secret = enrol(browser, now - 30)
    [browser] = at_the_factor(server, 1)
    assert answer(browser, oathtool(secret, now), "quick")["component"] == DONE
    cookie = next(c for c in browser.http.cookies if c.name == "authentik_mfa")
    assert cookie.has_nonstandard_attr("HttpOnly")
    other = server.browser()
    other.http.cookies.set("authentik_mfa", cookie.value)
    for again, asked in [(other, False), (server.browser(), True)]:
        again.get("quick")
        shown = again.post("quick", {"uid_field": "akadmin"})
        assert (shown["component"] == VALIDATE) == asked
    server.api("PATCH", f"/stages/authenticator/validate/{stage['pk']}/", {"last_auth_threshold": "minutes=1"})
    third = server.browser()
    third.http.cookies.set("authentik_mfa", cookie.value)
    third.get("quick")
    assert third.post("quick", {"uid_field": "akadmin"})["component"] == VALIDATE, "the cookie promises too much now"


def test_whoever_has_no_device_sets_one_up_on_the_way_in(start_server):
    server = start_server()
    stages = [
        server.api("POST", "/stages/authenticator/totp/", {"name": "app", "digits": "6", "friendly_name": "App"}),
        server.api("POST", "/stages/authenticator/static/", {"name": "paper"}),
    ]
    quick_flow(server, not_configured_action="configure", configuration_stages=[s["pk"] for s in stages])
    browser = server.browser()
    browser.get("quick")
    shown = browser.post("quick", {"uid_field": "akadmin"})
    offered = [(s["name"], s["verbose_name"]) for s in shown["configuration_stages"]]
    assert offered == [("App", "TOTP Authenticator"), ("paper", "Static Authenticator")]
    shown = browser.post("quick", {"selected_stage": stages[0]["pk"]})
    now = steady_second()
    secret = secret_of(shown)
    assert browser.post("quick", {"code": oathtool(secret, now)})["component"] == DONE
    assert browser.me()["username"] == "akadmin", "who has just set it up is not asked at once"
    [browser] = at_the_factor(server, 1)
    assert answer(browser, oathtool(secret, now), "quick")["component"] == VALIDATE, "the code that set it up is used up"
    time.sleep(1.1)
    assert answer(browser, oathtool(secret, now + 30), "quick")["component"] == DONE
