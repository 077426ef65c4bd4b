"""Telephone numbers as second factor: Twilio's Messages API and a service of one's own, spoken by local servers."""

import base64
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from conftest import PASSWORD, wait_for
from services import Service

DONE = "xak-flow-redirect"
SETUP = "ak-stage-authenticator-sms"
VALIDATE = "ak-stage-authenticator-validate"
IN = "default-authentication-flow"
NUMBER = "+4930123456"
INVALID = "Invalid Token. Please ensure the time on your device is accurate and try again."


def basic(headers):
    scheme, _, encoded = headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return tuple(base64.b64decode(encoded).decode().split(":", 1))


class Twilio(Service):
    """POST /2010-04-01/Accounts/{sid}/Messages.json, as Twilio's reference describes it."""

    sid = "AC0123456789abcdef0123456789abcdef"
    token = "the-auth-token-of-the-account"
    sender = "+15005550006"

    def __init__(self):
        super().__init__()
        self.sent = []
        self.gate = threading.Event()
        self.gate.set()

    @staticmethod
    def failure(status, code, message):
        more = f"https://www.twilio.com/docs/errors/{code}"
        return status, {"code": code, "message": message, "more_info": more, "status": status}

    def answer(self, asked):
        assert asked.method == "POST"
        if asked.path != f"/2010-04-01/Accounts/{self.sid}/Messages.json":
            return self.failure(404, 20404, f"The requested resource {asked.path} was not found")
        if basic(asked.headers) != (self.sid, self.token):
            return self.failure(401, 20003, "Authenticate")
        assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
        form = asked.form
        if form["From"] != self.sender:
            return self.failure(400, 21606, f"The 'From' phone number provided ({form['From']}) is not a valid sender.")
        if not re.fullmatch(r"\+[1-9]\d{6,14}", form["To"]):
            return self.failure(400, 21211, f"The 'To' number {form['To']} is not a valid phone number.")
        self.gate.wait(30)
        self.sent.append((form["To"], form["Body"]))
        sid = f"SM{len(self.sent):032x}"
        message = {"sid": sid, "account_sid": self.sid, "status": "queued", "error_code": None, "error_message": None}
        return 201, message | {"to": form["To"], "from": form["From"], "body": form["Body"]}

    @property
    def code(self):
        """The code of the last message."""
        return re.search(r"\b(\d{6})$", self.sent[-1][1])[1]

    def stage(self, **more):
        names = {"provider": "twilio", "from_number": self.sender, "account_sid": self.sid, "auth": self.token}
        return ("authenticator/sms", names | more)


@pytest.fixture
def twilio():
    service = Twilio()
    yield service
    service.gate.set()
    service.close()


def error(challenge, field="non_field_errors"):
    (only,) = challenge["response_errors"][field]
    return only["string"]


def wrong(code):
    return "000000" if code != "000000" else "000001"


def sign_in(server, username="akadmin"):
    browser = server.browser()
    browser.get(IN)
    browser.post(IN, {"uid_field": username})
    return browser, browser.post(IN, {"password": PASSWORD})


def enrol(server, twilio, number=NUMBER, username="akadmin", slug="setup"):
    """A browser that is signed in and has set a number up."""
    browser, _ = sign_in(server, username)
    assert browser.get(slug)["component"] == SETUP
    browser.post(slug, {"phone_number": number})
    assert browser.post(slug, {"code": twilio.code})["component"] == DONE
    return browser


def choose(browser, asked, slug=IN):
    """Chooses SMS among what is offered; the answer says that nothing was proved yet."""
    (offer,) = [c for c in asked["device_challenges"] if c["device_class"] == "sms"]
    chosen = {"device_class": "sms", "device_uid": offer["device_uid"]}
    assert error(browser.post(slug, {"selected_challenge": chosen})) == "Empty response"


def quick_flow(server, **validate):
    server.flow(
        "quick",
        "authentication",
        ("identification", {"user_fields": ["username"]}),
        ("authenticator/validate", validate),
        ("user_login", {}),
    )


def at_the_factor(server):
    browser = server.browser()
    browser.get("quick")
    asked = browser.post("quick", {"uid_field": "akadmin"})
    assert asked["component"] == VALIDATE
    return browser, asked


def test_a_number_is_set_up_with_twilio_and_proves_the_next_sign_in(start_server, twilio):
    server = start_server(OUTBOUND__TWILIO_URL=twilio.url)
    (stage,) = server.flow("setup", "stage_configuration", twilio.stage())
    assert "auth" not in stage
    browser, done = sign_in(server)
    assert done["component"] == DONE, "nobody is asked before a device is there"
    shown = browser.get("setup")
    assert (shown["component"], shown["phone_number_required"]) == (SETUP, True)
    assert error(browser.post("setup", {})) == "phone_number required"
    assert error(browser.post("setup", {"phone_number": "my telephone"})) == "Invalid phone number"
    assert not twilio.asked
    assert error(browser.post("setup", {"phone_number": "+0123"})) == "The 'To' number +0123 is not a valid phone number."
    shown = browser.post("setup", {"phone_number": "+49 (30) 123-456"})
    assert (shown["phone_number_required"], shown.get("response_errors") or {}) == (False, {})
    (to, text) = twilio.sent[-1]
    assert to == NUMBER and re.fullmatch(r"Use this code to authenticate in .+: \d{6}", text)
    first = twilio.code
    assert browser.get("setup")["phone_number_required"] is False and len(twilio.sent) == 1, "a look sends nothing"
    assert error(browser.post("setup", {"code": wrong(first)})) == "Code does not match"
    other, _ = sign_in(server)
    other.get("setup")
    assert error(other.post("setup", {"code": first})) == "Code does not match", "the code of another session"
    assert browser.post("setup", {"code": first})["component"] == DONE
    (device,) = browser.http.get(f"{server.url}/api/v3/authenticators/sms/").json()["results"]
    assert (device["name"], device["phone_number"]) == ("SMS Device", NUMBER)

    browser, asked = sign_in(server)
    assert [c["device_class"] for c in asked["device_challenges"]] == ["sms"] and browser.me() is None
    assert error(browser.post(IN, {"code": first}), "code") == INVALID, "the code of the set-up is used up"
    choose(browser, asked)
    second = twilio.code
    assert twilio.sent[-1][0] == NUMBER

    def passes():
        return browser.post(IN, {"code": second})["component"] == DONE

    # The wrong code above closed the device for a second.
    wait_for("the right code to pass", passes)
    assert browser.me()["username"] == "akadmin"
    failed = server.events("login_failed")
    assert failed and failed[0]["context"]["auth_method_args"] == {"device_class": "sms"}
    written = server.log_text() + str(server.api("GET", "/events/events/?page_size=100"))
    assert twilio.token not in written and first not in written and second not in written


def test_a_number_is_one_persons(start_server, twilio):
    server = start_server(OUTBOUND__TWILIO_URL=twilio.url)
    server.flow("setup", "stage_configuration", twilio.stage())
    server.flow("check", "stage_configuration", twilio.stage(verify_only=True))
    server.set_password(server.user("ann"))
    enrol(server, twilio)
    enrol(server, twilio, "+4940555", "ann", "check")
    sent = len(twilio.sent)
    for username, slug, number in [("ann", "setup", "+49 30 123456"), ("akadmin", "check", "+49 40 555")]:
        browser, asked = sign_in(server, username)
        if asked["component"] == VALIDATE:
            choose(browser, asked)
            sent += 1
            assert browser.post(IN, {"code": twilio.code})["component"] == DONE
        browser.get(slug)
        assert error(browser.post(slug, {"phone_number": number})) == "Invalid phone number"
    assert len(twilio.sent) == sent, "nothing was sent to a number that somebody has"
    devices = server.api("GET", "/authenticators/admin/sms/")["results"]
    assert sorted(d["phone_number"][:5] for d in devices) == [NUMBER[:5], "hash:"]
    _, done = sign_in(server, "ann")
    assert done["component"] == DONE, "a number that was only verified is not asked for"


def test_what_twilio_refuses_is_shown_and_told_to_administrators(start_server, twilio):
    server = start_server(OUTBOUND__TWILIO_URL=twilio.url)
    (stage,) = server.flow("setup", "stage_configuration", twilio.stage(auth="another"))
    browser, _ = sign_in(server)
    browser.get("setup")
    assert error(browser.post("setup", {"phone_number": NUMBER})) == "Authenticate"
    event = server.events("configuration_error")[0]["context"]
    assert (event["message"], event["status_code"]) == ("Error sending SMS", 401) and "20003" in event["body"]
    server.api("PATCH", f"/stages/authenticator/sms/{stage['pk']}/", {"auth": twilio.token})
    for trouble in [500, "hang up"]:
        twilio.trouble = trouble
        said = error(browser.post("setup", {"phone_number": NUMBER}))
        assert said == "The code could not be sent. Please try again later."
    assert len(server.events("configuration_error")) == 3
    twilio.trouble = None
    browser.post("setup", {"phone_number": NUMBER})
    assert browser.post("setup", {"code": twilio.code})["component"] == DONE


def test_nothing_waits_for_a_slow_message(start_server, twilio):
    server = start_server(OUTBOUND__TWILIO_URL=twilio.url)
    server.flow("setup", "stage_configuration", twilio.stage())
    enrol(server, twilio)
    browser, asked = sign_in(server)
    twilio.gate.clear()
    before = len(twilio.asked)
    with ThreadPoolExecutor(1) as pool:
        chosen = pool.submit(choose, browser, asked)
        wait_for("a message on its way", lambda: len(twilio.asked) > before)
        server.user("ann")
        other, asked_too = sign_in(server)
        # While one message is on its way no second one is sent.
        choose(other, asked_too)
        assert len(twilio.asked) == before + 1 and not chosen.done()
        twilio.gate.set()
        chosen.result()
    assert browser.post(IN, {"code": twilio.code})["component"] == DONE


def test_of_fifty_uses_of_one_code_one_passes_also_on_two_nodes(start_server, twilio):
    server = start_server(OUTBOUND__TWILIO_URL=twilio.url)
    nodes = [server]
    if "WEIR_DATABASE_URL" in server.env:
        nodes.append(start_server(OUTBOUND__TWILIO_URL=twilio.url, DATABASE_URL=server.env["WEIR_DATABASE_URL"]))
    server.flow("setup", "stage_configuration", twilio.stage())
    quick_flow(server, sms_otp_throttling_factor=0)
    enrol(server, twilio)
    wait_for("the flow on every node", lambda: all(requests.get(node.browser().url("quick")).ok for node in nodes))
    places = [at_the_factor(nodes[number % len(nodes)]) for number in range(50)]
    choose(*places[0], "quick")
    code = twilio.code
    browsers = [browser for browser, _ in places]
    with ThreadPoolExecutor(len(browsers)) as pool:
        answers = list(pool.map(lambda browser: browser.post("quick", {"code": code}), browsers))
    assert sum(a["component"] == DONE for a in answers) == 1
    assert sum(browser.me() is not None for browser in browsers) == 1


class Webhook(Service):
    """A service of one's own, which takes whatever JSON it is sent."""

    def answer(self, asked):
        assert asked.method == "POST" and asked.path == "/send"
        if asked.json.get("To", asked.json.get("to")) == "+49111":
            return 402, "No credit left."
        return 202, {}


@pytest.fixture
def webhook():
    service = Webhook()
    yield service
    service.close()


def own_stage(webhook, **more):
    names = {"provider": "generic", "from_number": "Example", "account_sid": f"{webhook.url}/send", "auth": "weir"}
    return ("authenticator/sms", names | {"auth_password": "secret of the service"} | more)


def test_a_service_of_ones_own_sends(start_server, webhook):
    server = start_server()
    (stage,) = server.flow("setup", "stage_configuration", own_stage(webhook))
    assert "auth" not in stage and "auth_password" not in stage
    browser, _ = sign_in(server)
    browser.get("setup")
    assert error(browser.post("setup", {"phone_number": "+49111"})) == "No credit left."
    event = server.events("configuration_error")[0]["context"]
    assert (event["message"], event["status_code"], event["body"]) == ("Error sending SMS", 402, "No credit left.")
    browser.post("setup", {"phone_number": NUMBER})
    asked = webhook.asked[-1]
    assert basic(asked.headers) == ("weir", "secret of the service")
    assert asked.headers["Content-Type"] == "application/json"
    sent = asked.json
    assert sorted(sent) == ["Body", "From", "Message", "To"] and (sent["From"], sent["To"]) == ("Example", NUMBER)
    assert re.fullmatch(r"\d{6}", sent["Body"]) and sent["Message"].endswith(f": {sent['Body']}")
    assert browser.post("setup", {"code": sent["Body"]})["component"] == DONE
    written = server.log_text() + str(server.api("GET", "/events/events/?page_size=100"))
    assert "secret of the service" not in written and sent["Body"] not in written


def test_a_mapping_says_what_a_service_gets_and_a_token_who_sends(start_server, webhook):
    server = start_server()
    expression = 'return {"to": device.phone_number, "text": f"{token} is the code of {user.username}"}'
    mapping = server.api("POST", "/propertymappings/notification/", {"name": "sms", "expression": expression})
    server.flow("setup", "stage_configuration", own_stage(webhook, auth_type="bearer", mapping=mapping["pk"]))
    browser, _ = sign_in(server)
    browser.get("setup")
    browser.post("setup", {"phone_number": NUMBER})
    asked = webhook.asked[-1]
    assert asked.headers["Authorization"] == "Bearer weir"
    assert sorted(asked.json) == ["text", "to"] and asked.json["to"] == NUMBER
    code = re.fullmatch(r"(\d{6}) is the code of akadmin", asked.json["text"])[1]
    assert browser.post("setup", {"code": code})["component"] == DONE
