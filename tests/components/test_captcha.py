"""Captchas: providers that speak the siteverify protocol, and our own proof of work."""

import hashlib
import re
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from conftest import PASSWORD
from services import Service, timed

OWN = {"public_key": "10", "private_key": "unused", "js_url": "/static/dist/flow/proof-of-work.js"}
RETRY = "Invalid captcha response. Retrying may solve this issue."
REFUSED = "Invalid captcha response"
AWAY = "Failed to validate token"


class Provider(Service):
    """Tokens are given out by `token()` and are good once, as with all three providers."""

    secret = "0x-the-secret"

    def __init__(self):
        super().__init__()
        self.tokens = {}

    def token(self, **facts):
        token = secrets.token_urlsafe(300)
        self.tokens[token] = facts
        return token

    def answer(self, asked):
        assert asked.method == "POST" and asked.path == self.path
        given = self.read(asked)
        if given.get("secret") != self.secret:
            return 200, {"success": False, "error-codes": ["invalid-input-secret"]}
        facts = self.tokens.get(given["response"])
        if facts is None:
            return 200, {"success": False, "error-codes": ["invalid-input-response"]}
        if facts.pop("used", False):
            return 200, {"success": False, "error-codes": [self.used]}
        facts["used"] = True
        said = {"success": True, "challenge_ts": "2026-11-02T09:00:00Z", "hostname": "127.0.0.1", "error-codes": []}
        return 200, said | {name: value for name, value in facts.items() if name != "used"}

    @staticmethod
    def read(asked):
        assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
        return asked.form


class ReCaptcha(Provider):
    path = "/recaptcha/api/siteverify"
    used = "timeout-or-duplicate"


class HCaptcha(Provider):
    path = "/siteverify"
    used = "already-seen-response"


class Turnstile(Provider):
    path = "/turnstile/v0/siteverify"
    used = "timeout-or-duplicate"

    @staticmethod
    def read(asked):
        assert asked.headers["Content-Type"] == "application/json"
        return asked.json


@pytest.fixture(params=[ReCaptcha, HCaptcha, Turnstile])
def provider(request):
    service = request.param()
    yield service
    service.close()


def fields(provider, **more):
    content_type = "application/json" if isinstance(provider, Turnstile) else "application/x-www-form-urlencoded"
    return {
        "public_key": "site-key",
        "private_key": provider.secret,
        "api_url": provider.url + provider.path,
        "request_content_type": content_type,
    } | more


def error(challenge, field="token"):
    (only,) = challenge["response_errors"][field]
    return only["string"]


def passed(challenge):
    return challenge["component"] == "ak-stage-dummy"


def test_a_token_of_the_provider_passes_once(start_server, provider):
    server = start_server()
    (stage, _) = server.flow("f", "authentication", ("captcha", fields(provider)), ("dummy", {}))
    assert "private_key" not in stage
    token = provider.token()
    browser = server.browser()
    shown = browser.get("f")
    assert (shown["component"], shown["site_key"]) == ("ak-stage-captcha", "site-key")
    assert error(browser.post("f", {"token": "made up"})) == RETRY
    assert passed(browser.post("f", {"token": token}))
    given = provider.read(provider.asked[-1])
    assert given == {"secret": provider.secret, "response": token, "remoteip": "127.0.0.1"}
    assert error(server.browser().post("f", {"token": token})) == RETRY
    assert provider.secret not in server.log_text()
    assert provider.secret not in str(server.api("GET", "/events/events/?page_size=100"))


def test_a_wrong_secret_is_not_the_persons_fault_but_nobody_passes(start_server, provider):
    server = start_server()
    server.flow("f", "authentication", ("captcha", fields(provider, private_key="another")), ("dummy", {}))
    assert error(server.browser().post("f", {"token": provider.token()})) == REFUSED


def test_scores_outside_of_the_bounds_are_refused(start_server):
    provider = ReCaptcha()
    server = start_server()
    more = {"score_min_threshold": 0.3, "score_max_threshold": 0.8}
    server.flow("f", "authentication", ("captcha", fields(provider, **more)), ("dummy", {}))
    for score, good in [(0.1, False), (0.3, True), (0.8, True), (0.9, False)]:
        shown = server.browser().post("f", {"token": provider.token(score=score, action="authenticate")})
        assert passed(shown) == good, score
    provider.close()


def test_a_policy_can_look_at_what_the_provider_said(start_server):
    provider = ReCaptcha()
    server = start_server()
    server.flow("f", "authentication", ("captcha", fields(provider, error_on_invalid_score=False)), ("deny", {}), ("dummy", {}))
    bindings = server.api("GET", "/flows/bindings/?ordering=order&page_size=100")["results"]
    deny = next(b for b in bindings if b["stage_obj"]["name"] == "f-1")
    expression = 'return context["captcha"]["response"]["score"] < 0.5'
    policy = server.api("POST", "/policies/expression/", {"name": "robots", "expression": expression})
    server.api("POST", "/policies/bindings/", {"target": deny["pk"], "policy": policy["pk"], "order": 0})
    assert passed(server.browser().post("f", {"token": provider.token(score=0.9)}))
    robot = server.browser().post("f", {"token": provider.token(score=0.1)})
    assert robot["component"] == "ak-stage-access-denied"
    provider.close()


@pytest.mark.parametrize("trouble", [500, 503, 404, 302, "garbage", "hang up", "slow"])
def test_a_provider_in_trouble_lets_nobody_pass_and_nobody_wait_for_long(start_server, trouble):
    provider = HCaptcha()
    server = start_server()
    (captcha, _) = server.flow("f", "authentication", ("captcha", fields(provider)), ("dummy", {}))
    server.user("ann")
    password = server.api("POST", "/stages/password/", {"name": "pw", "backends": ["authentik.core.auth.InbuiltBackend"]})
    inside = {"user_fields": ["username"], "captcha_stage": captcha["pk"], "password_stage": password["pk"]}
    server.flow("in", "authentication", ("identification", inside))
    provider.trouble = trouble
    shown, seconds = timed(lambda: server.browser().post("f", {"token": provider.token()}))
    assert error(shown) == AWAY
    assert seconds < 15
    if trouble == "slow":
        # While one waits, the rest of the server does not.
        waiting = threading.Thread(target=lambda: server.browser().post("f", {"token": "x"}))
        waiting.start()
        for _ in range(5):
            _, seconds = timed(lambda: server.user(f"user-{secrets.token_hex(4)}"))
            assert seconds < 5
        waiting.join()
    for name in ["ann", "zoe"]:
        answer = {"uid_field": name, "password": PASSWORD, "captcha_token": "x"}
        assert error(server.browser().post("in", answer), "non_field_errors") == "Failed to authenticate."
    provider.trouble = None
    assert passed(server.browser().post("f", {"token": provider.token()}))
    provider.close()


def zero_bits(digest):
    return len(digest) * 8 - int.from_bytes(digest).bit_length()


def solve(task):
    """The token for a task of our own proof of work."""
    version, bits, puzzles, _end, _random = task.split(".")
    assert version == "v1"
    seed = hashlib.sha256(task.encode()).digest()
    numbers = []
    for puzzle in range(int(puzzles)):
        start = seed + puzzle.to_bytes(4)
        number = 0
        while zero_bits(hashlib.sha256(start + number.to_bytes(4)).digest()) < int(bits):
            number += 1
        numbers.append(str(number))
    return f"{task}:{','.join(numbers)}"


def wrong(token):
    """A token whose last number solves nothing."""
    task, numbers = token.split(":")
    puzzle = numbers.count(",").to_bytes(4)
    start = hashlib.sha256(task.encode()).digest() + puzzle
    bits = int(task.split(".")[1])
    unsolved = (n for n in range(1000) if zero_bits(hashlib.sha256(start + n.to_bytes(4)).digest()) < bits)
    return re.sub(r"\d+$", str(next(unsolved)), token)


def test_our_own_proof_of_work_needs_nobody_else(start_server):
    server = start_server()
    server.flow("f", "authentication", ("captcha", OWN), ("dummy", {}))
    browser = server.browser()
    shown = browser.get("f")
    module = requests.get(server.url + shown["js_url"])
    assert module.ok and "javascript" in module.headers["Content-Type"]
    token = solve(shown["site_key"])
    assert error(server.browser().post("f", {"token": token})) == RETRY, "the task of another session"
    assert error(browser.post("f", {"token": wrong(token)})) == REFUSED
    assert passed(browser.post("f", {"token": token}))


def test_of_fifty_uses_of_one_solution_on_two_nodes_one_tries_a_password(start_server):
    server = start_server()
    nodes = [server.url]
    if "WEIR_DATABASE_URL" in server.env:
        nodes.append(start_server(DATABASE_URL=server.env["WEIR_DATABASE_URL"]).url)
    user = server.user("ann")
    server.set_password(user)
    captcha = server.api("POST", "/stages/captcha/", {"name": "human?"} | OWN)
    password = server.api("POST", "/stages/password/", {"name": "pw", "backends": ["authentik.core.auth.InbuiltBackend"]})
    inside = {"user_fields": ["username"], "captcha_stage": captcha["pk"], "password_stage": password["pk"]}
    server.flow("in", "authentication", ("identification", inside), ("user_login", {}))
    browser = server.browser()
    token = solve(browser.get("in")["captcha_stage"]["site_key"])
    cookies = browser.http.cookies.get_dict()

    def guess(number):
        url = browser.url("in").replace(server.url, nodes[number % len(nodes)])
        answer = {"uid_field": "ann", "password": f"guess {number}", "captcha_token": token}
        return requests.post(url, json=answer, cookies=cookies).status_code

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(guess, range(50))) == {200}
    assert len(server.events("login_failed")) <= 1
    shown = browser.get("in")
    answer = {"uid_field": "ann", "password": PASSWORD, "captcha_token": token}
    assert error(browser.post("in", answer), "non_field_errors") == "Failed to authenticate."
    answer["captcha_token"] = solve(browser.get("in")["captcha_stage"]["site_key"])
    assert browser.post("in", answer)["component"] == "xak-flow-redirect", shown
    assert browser.me()["username"] == "ann"
