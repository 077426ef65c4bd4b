"""Mail with a real server: how it is handed over, what arrives, where its links lead, and what survives a crash."""

import base64
import datetime
import email.utils
import ipaddress
import json
import os
import re
import subprocess
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from cryptography import x509

from conftest import PASSWORD, TOKEN, wait_for
from mail import Authority, start_mail

SENDER, KEY = "mailer", "key-of-the-mail-server-7"
NEW_PASSWORD = "Another-throw-away-password-2"
CONFIRM, DENIED, DONE = "ak-stage-consent", "ak-stage-access-denied", "xak-flow-redirect"
USED = "Link was already used, please request a new link."
# Without TLS passwords are asked for only on this machine.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH")
HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


def apply_example(server, name, **context):
    """Applies an example blueprint as an administrator does."""
    form = {"path": (None, f"example/{name}.yaml"), "context": (None, json.dumps(context))}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = requests.post(f"{server.url}/api/v3/managed/blueprints/import/", files=form, headers=headers)
    assert answer.ok and answer.json()["success"], answer.text


def query_of(link):
    return urllib.parse.urlsplit(link).query


def slug_of(link):
    return re.fullmatch(r"/if/flow/([\w-]+)/", urllib.parse.urlsplit(link).path)[1]


def open_link(browser, link):
    return browser.get(slug_of(link), query_of(link))


def go_on(browser, link, **answer):
    return browser.post(slug_of(link), answer, query_of(link))


def ask(server, name, slug="recovery-email"):
    """Asks for a mail in a browser of its own."""
    browser = server.browser()
    browser.get(slug)
    assert browser.post(slug, {"uid_field": name})["component"] == "ak-stage-email"
    return browser


def look(link):
    """What programs do that look at the links in mails: no cookies, no scripts, several at once."""
    for method in ("HEAD", "GET", "GET", "HEAD", "OPTIONS"):
        answer = requests.request(method, link, headers={"User-Agent": "link scanner"})
        assert answer.status_code < 500, f"{method}: {answer.status_code} {answer.text}"
    assert requests.get(link, headers={"User-Agent": "link scanner"}).status_code == 200


def can_sign_in(server, username, password):
    browser = server.browser()
    slug = "default-authentication-flow"
    browser.get(slug)
    browser.post(slug, {"uid_field": username})
    return browser.post(slug, {"password": password})["component"] == DONE and browser.me() is not None


def tasks(server):
    return server.api("GET", "/tasks/tasks/?actor_name=weir.mail&ordering=-mtime&page_size=100")["results"]


def logs(task):
    return " | ".join(line["event"] for line in task["logs"])


def said_by_the_server(server):
    """Everything an administrator can read."""
    paths = ["/events/events/?page_size=100", "/tasks/tasks/?page_size=100", "/tasks/schedules/", "/stages/email/"]
    paths += ["/admin/settings/", "/root/config/", "/core/users/", "/stages/all/", "/stages/invitation/invitations/"]
    return server.log_text() + json.dumps([server.api("GET", path) for path in paths])


def assert_secret(text, *secrets):
    for secret in secrets:
        for form in (secret, base64.b64encode(secret.encode()).decode().rstrip("=")):
            at = text.find(form)
            assert at < 0, text[max(0, at - 400) : at + 100]


def hand_over(folder, **settings):
    """`weir mail test`: whether the server took it, and all that was said."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    env |= {f"WEIR_{name}": str(value) for name, value in settings.items()} | {"WEIR_LOG": "trace"}
    command = [os.environ["WEIR_BIN"], "mail", "test", "jane@example.test"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert_secret(said, KEY, "wrong-" + KEY)
    return done.returncode == 0, said


def test_tls_is_what_was_asked_for_or_nothing_is_sent(start_mail, tmp_path):
    authority = Authority(tmp_path)
    right, other = authority.context(HERE), authority.context(x509.DNSName("other.example.test"))
    (tmp_path / "elsewhere").mkdir()
    stranger = Authority(tmp_path / "elsewhere")
    trust = {"EMAIL__CA_FILE": authority.ca_file}
    starttls, tls = {"EMAIL__USE_TLS": "true"}, {"EMAIL__USE_SSL": "true"}
    for what, options, settings, is_taken in [
        ("plain", {}, {}, True),
        ("STARTTLS, authority known", {"starttls": right}, starttls | trust, True),
        ("TLS, authority known", {"tls": right}, tls | trust, True),
        ("STARTTLS, authority unknown", {"starttls": right}, starttls, False),
        ("TLS, authority unknown", {"tls": right}, tls, False),
        ("TLS, another authority known", {"tls": right}, tls | {"EMAIL__CA_FILE": stranger.ca_file}, False),
        ("STARTTLS, name of another", {"starttls": other}, starttls | trust, False),
        ("TLS, name of another", {"tls": other}, tls | trust, False),
        ("STARTTLS asked for, not offered", {}, starttls | trust, False),
        ("TLS asked for, plain served", {}, tls | trust, False),
        ("no TLS asked for, but required", {"starttls": right}, {}, False),
    ]:
        # A password is there to be given away.
        mail = start_mail(**options)
        signs_in = {} if is_taken else {"EMAIL__USERNAME": SENDER, "EMAIL__PASSWORD": KEY}
        done, said = hand_over(tmp_path, **mail.settings, **signs_in, **settings, EMAIL__TIMEOUT=10)
        assert done == is_taken, f"{what}: {said[-3000:]}"
        if is_taken:
            assert mail.next("jane@example.test").is_encrypted == bool(settings), what
        else:
            assert (mail.senders, mail.letters, mail.tried) == ([], [], []), what
            assert f"127.0.0.1:{mail.port}" in said, f"{what}: {said[-3000:]}"


def test_signing_in_at_the_mail_server_works_either_way_and_tells_nobody_the_password(start_mail, tmp_path):
    for mechanism in ("PLAIN", "LOGIN"):
        mail = start_mail(login=(SENDER, KEY), mechanisms=(mechanism,))
        for password, is_right in [(KEY, True), ("wrong-" + KEY, False)]:
            account = {"EMAIL__USERNAME": SENDER, "EMAIL__PASSWORD": password}
            done, said = hand_over(tmp_path, **mail.settings, **account)
            assert done == is_right, f"{mechanism}: {said[-3000:]}"
            assert is_right or "535" in said, said[-3000:]
        assert mail.next("jane@example.test").login == SENDER
        assert {mechanism for mechanism, _ in mail.tried} == {mechanism} and len(mail.letters) == 1
        done, said = hand_over(tmp_path, **mail.settings)
        assert not done and len(mail.letters) == 1, "without a name nobody signs in"
    open_to_all = start_mail()
    account = {"EMAIL__USERNAME": SENDER, "EMAIL__PASSWORD": KEY}
    done, said = hand_over(tmp_path, **open_to_all.settings, **account)
    assert not done and open_to_all.letters == [], "a server where one cannot sign in is not the one that was meant"


def test_recovery_by_mail_from_the_forgotten_password_to_the_new_one(start_server, start_mail, tmp_path):
    mail = start_mail(starttls=Authority(tmp_path).context(HERE), login=(SENDER, KEY))
    protected = {"EMAIL__USE_TLS": "true", "EMAIL__CA_FILE": tmp_path / "ca.pem"}
    account = {"EMAIL__USERNAME": SENDER, "EMAIL__PASSWORD": KEY}
    server = start_server(**mail.settings, **protected, **account, LOG="trace")
    apply_example(server, "flow-recovery-email", brand="authentik-default")
    user = server.user("ann", email="ann@example.test", name="Änne Łoś")
    server.set_password(user)
    signed_in = server.browser()
    signed_in.get("default-authentication-flow")
    signed_in.post("default-authentication-flow", {"uid_field": "ann"})
    signed_in.post("default-authentication-flow", {"password": PASSWORD})
    assert signed_in.me()["username"] == "ann"

    asking = ask(server, "ann@example.test")
    letter = mail.next("ann@example.test")
    assert (letter.sender, letter.is_encrypted, letter.login) == ("id@example.test", True, SENDER)
    head = letter.message
    assert (head["From"], head["To"]) == ("Weir Test <id@example.test>", "Änne Łoś <ann@example.test>")
    assert (head["Subject"], head["Auto-Submitted"]) == ("Choose a new password", "auto-generated")
    assert re.fullmatch(r"<[0-9a-f-]{36}@example\.test>", head["Message-ID"])
    sent = email.utils.parsedate_to_datetime(head["Date"])
    assert abs(datetime.datetime.now(datetime.timezone.utc) - sent) < datetime.timedelta(minutes=5)
    assert [part.get_content_type() for part in head.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert not head.defects and all(not part.defects for part in head.walk())
    assert max(len(line) for line in letter.raw.splitlines()) <= 998 and b"\0" not in letter.raw
    assert "Hello Änne Łoś," in letter.text and "Änne Łoś" in letter.html
    assert "30 minutes" in letter.text and "<" not in letter.text
    link = letter.link
    assert link.startswith(f"{server.url}/if/flow/recovery-email/?")
    [key] = urllib.parse.parse_qs(query_of(link))["flow_token"]

    look(link)
    reader = server.browser()
    shown = open_link(reader, link)
    assert shown["component"] == CONFIRM
    shown = go_on(reader, link, token=shown["token"])
    assert shown["component"] == "ak-stage-prompt", shown
    assert asking.get("recovery-email")["component"] == "ak-stage-email", "whoever asked gets no further by waiting"
    shown = go_on(reader, link, password=NEW_PASSWORD, password_repeat=NEW_PASSWORD)
    assert shown["component"] == DONE, shown
    assert reader.me()["username"] == "ann"
    assert signed_in.me() is None and asking.me() is None
    assert can_sign_in(server, "ann", NEW_PASSWORD) and not can_sign_in(server, "ann", PASSWORD)
    late = server.browser()
    shown = open_link(late, link)
    assert shown["component"] in ("ak-stage-identification", DENIED), shown
    assert late.me() is None

    ask(server, "nobody@example.test")
    [sent] = server.events("email_sent")
    assert sent["context"]["to_email"] == ["ann@example.test"]
    assert sent["context"]["subject"] == "Choose a new password"
    everything = said_by_the_server(server)
    assert_secret(everything, KEY, f"\0{SENDER}\0{KEY}", key)
    assert len(mail.letters) == 1


def test_of_fifty_who_confirm_one_link_at_once_one_passes(start_server, start_mail):
    mail = start_mail()
    server = start_server(**mail.settings)
    apply_example(server, "flow-recovery-email")
    server.user("ann", email="ann@example.test")
    ask(server, "ann")
    link = mail.next("ann@example.test").link
    readers = [server.browser() for _ in range(50)]
    with ThreadPoolExecutor(50) as pool:
        pages = list(pool.map(lambda reader: open_link(reader, link), readers))
        assert {page["component"] for page in pages} == {CONFIRM}
        confirm = lambda reader, page: go_on(reader, link, token=page["token"])  # noqa: E731
        shown = list(pool.map(confirm, readers, pages))
    inside = [page for page in shown if page["component"] == "ak-stage-prompt"]
    outside = [page for page in shown if page.get("error_message") == USED]
    assert (len(inside), len(outside)) == (1, 49)


def test_an_administrator_sends_a_way_back_in_the_language_of_its_reader(start_server, start_mail):
    mail = start_mail()
    server = start_server(**mail.settings)
    user = server.user("ann", email="ann@example.test", attributes={"settings": {"locale": "de"}})
    silent = server.user("silent")
    [stage] = server.flow("mails", "recovery", ("email", {"use_global_settings": True, "subject": "Password reset"}))
    path = f"/core/users/{user['pk']}/recovery_email/"
    body = {"email_stage": stage["pk"]}
    refused = server.api("POST", path, body, expect=400)
    assert "recovery flow" in json.dumps(refused), refused
    apply_example(server, "flow-recovery-email", brand="authentik-default")
    for where, bad, status, words in [
        (path, {}, 400, "email_stage"),
        (path, {"email_stage": "none"}, 400, "email_stage"),
        (path, {"email_stage": "00000000-0000-4000-8000-000000000000"}, 400, "Email stage not found."),
        (path, body | {"token_duration": "soon"}, 400, "token_duration"),
        (f"/core/users/{silent['pk']}/recovery_email/", body, 400, "User does not have an email address set."),
        ("/core/users/987654/recovery_email/", body, 404, "detail"),
    ]:
        refused = server.api("POST", where, bad, expect=status)
        assert words in json.dumps(refused), refused
    server.set_password(silent)
    stranger = server.browser()
    stranger.get("default-authentication-flow")
    stranger.post("default-authentication-flow", {"uid_field": "silent"})
    stranger.post("default-authentication-flow", {"password": PASSWORD})
    csrf = {"X-authentik-CSRF": stranger.http.cookies["authentik_csrf"]}
    assert stranger.http.post(f"{server.url}/api/v3{path}", json=body, headers=csrf).status_code in (403, 404)
    assert requests.post(f"{server.url}/api/v3{path}", json=body).status_code == 403

    assert server.api("POST", path, body | {"token_duration": "minutes=20"}, expect=204) is None
    letter = mail.next("ann@example.test")
    assert letter.message["Subject"] == "Neues Passwort wählen"
    assert "20 Minuten" in letter.text and '<html lang="de" dir="ltr">' in letter.html
    link = letter.link
    look(link)
    reader = server.browser()
    shown = open_link(reader, link)
    assert shown["component"] == CONFIRM
    shown = go_on(reader, link, token=shown["token"])
    assert shown["component"] == "ak-stage-prompt", shown
    shown = go_on(reader, link, password=NEW_PASSWORD, password_repeat=NEW_PASSWORD)
    assert shown["component"] == DONE and reader.me()["username"] == "ann", shown
    assert can_sign_in(server, "ann", NEW_PASSWORD)
    assert open_link(server.browser(), link)["component"] != CONFIRM
    assert len(mail.letters) == 1, "what was refused sent nothing"


def test_an_invitation_is_sent_taken_once_and_cleared_away_when_old(start_server, start_mail):
    mail = start_mail()
    server = start_server(**mail.settings)
    apply_example(server, "flow-enrollment-invitation")
    flow = server.api("GET", "/flows/instances/enrollment-invitation/")["pk"]
    fixed = {"email": "bea@example.test", "attributes": {"team": "blue"}}
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=2)

    def invite(name, **fields):
        return server.api("POST", "/stages/invitation/invitations/", {"name": name, "flow": flow} | fields)

    invitation = invite("bea", fixed_data=fixed, single_use=True, expires=end.isoformat())
    assert (invitation["created_by"]["username"], invitation["single_use"]) == ("akadmin", True)
    over = invite("over", expires="2020-01-01T00:00:00Z")
    everywhere = invite("everywhere", flow=None)
    send = "/stages/invitation/invitations/{}/send_email/"
    somebody = {"email_addresses": ["bea@example.test"]}
    for which, body, words in [
        (invitation, {}, "email_addresses"),
        (invitation, {"email_addresses": []}, "No email addresses provided"),
        (invitation, {"email_addresses": ["bea"]}, "Enter a valid email address."),
        (invitation, somebody | {"cc_addresses": ["x\r\ny@example.test"]}, "Enter a valid email address."),
        (invitation, somebody | {"template": "../../etc/passwd"}, "Invalid template"),
        (invitation, {"email_addresses": ["bea@example.test"] * 101}, "no more than"),
        (over, somebody, "Invitation has expired"),
        (everywhere, somebody, "Invitation has no associated flow"),
    ]:
        refused = server.api("POST", send.format(which["pk"]), body, expect=400)
        assert words in json.dumps(refused), refused
    body = {"email_addresses": ["bea@example.test", "boss@example.test"], "bcc_addresses": ["archive@example.test"]}
    server.api("POST", send.format(invitation["pk"]), body, expect=204)
    letters = [mail.next() for _ in range(2)]
    assert sorted(sorted(letter.to) for letter in letters) == [
        ["archive@example.test", "bea@example.test"],
        ["archive@example.test", "boss@example.test"],
    ]
    assert all(b"archive@" not in letter.raw for letter in letters)
    letter = next(letter for letter in letters if "bea@example.test" in letter.to)
    assert letter.message["To"] == "bea@example.test" and "invited" in letter.message["Subject"]
    link = letter.link
    assert link == f"{server.url}/if/flow/enrollment-invitation/?itoken={invitation['pk']}"

    look(link)
    assert server.browser().get("enrollment-invitation")["component"] == DENIED, "nobody comes in without one"
    guest = server.browser()
    assert open_link(guest, link)["component"] == "ak-stage-prompt"
    shown = go_on(guest, link, username="bea", name="Bea", email="other@example.test")
    assert shown["component"] == "ak-stage-prompt", shown
    shown = go_on(guest, link, password=PASSWORD, password_repeat=PASSWORD)
    assert shown["component"] == DONE, shown
    bea = server.api("GET", f"/core/users/{guest.me()['pk']}/")
    assert (bea["username"], bea["email"], bea["attributes"]["team"]) == ("bea", "bea@example.test", "blue")
    server.api("GET", f"/stages/invitation/invitations/{invitation['pk']}/", expect=404)
    assert open_link(server.browser(), link)["error_message"] == "Invalid invite/invite not found"
    assert len(server.events("invitation_used")) == 1
    wait_for("both on record", lambda: len(server.events("email_sent")) == 2)
    sent = json.dumps(server.events("email_sent"))
    assert invitation["pk"] not in sent and invitation["pk"].replace("-", "") not in sent

    [clean] = server.api("GET", "/tasks/schedules/?actor_name=clean_expired")["results"]
    lately = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    recent = invite("recent", expires=lately.isoformat())
    server.api("POST", f"/tasks/schedules/{clean['id']}/send/")
    names = lambda: {one["name"] for one in server.api("GET", "/stages/invitation/invitations/")["results"]}  # noqa: E731
    wait_for("the old one gone", lambda: names() == {"everywhere", recent["name"]}, 60)
    assert len(mail.letters) == 2


def test_a_stage_with_a_server_of_its_own_and_a_refusal_that_is_put_right(start_server, start_mail):
    mail = start_mail(login=(SENDER, KEY))
    server = start_server()
    own = {"host": "127.0.0.1", "port": mail.port, "username": SENDER, "password": "wrong-" + KEY}
    own |= {"use_global_settings": False, "from_address": "own@example.test", "timeout": 20}
    who = ("identification", {"user_fields": ["username"]})
    stages = server.flow("own", "recovery", who, ("email", own), ("user_login", {}))
    server.user("ann", email="ann@example.test")
    ask(server, "ann", "own")
    task = wait_for("a refusal", lambda: next((t for t in tasks(server) if "535" in logs(t)), None), 60)
    task = wait_for("its end", lambda: next((t for t in tasks(server) if t["aggregated_status"] == "error"), None), 60)
    assert "Refused for good" in logs(task) and mail.letters == []
    assert (task["rel_obj_model"], task["rel_obj_id"]) == ("stage", stages[1]["pk"])
    server.api("PATCH", f"/stages/email/{stages[1]['pk']}/", {"password": KEY})
    server.api("POST", f"/tasks/tasks/{task['message_id']}/retry/")
    letter = mail.next("ann@example.test")
    assert (letter.message["From"], letter.login) == ("own@example.test", SENDER)
    reader = server.browser()
    shown = open_link(reader, letter.link)
    assert go_on(reader, letter.link, token=shown["token"])["component"] == DONE
    assert reader.me()["username"] == "ann"
    assert_secret(said_by_the_server(server), KEY, "wrong-" + KEY)
    exported = requests.get(
        f"{server.url}/api/v3/flows/instances/own/export/", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert exported.ok and "own@example.test" in exported.text
    assert_secret(exported.text, KEY)


def test_a_mail_outlives_a_mail_server_that_is_away_and_servers_that_are_killed(start_server, start_mail):
    mail = start_mail()
    server = start_server(**mail.settings, WORKER__LEASE_SECS=4, EMAIL__TIMEOUT=300)
    apply_example(server, "flow-recovery-email")
    for name in ("first", "second"):
        server.user(name, email=f"{name}@example.test")

    def crash():
        server.process.kill()
        server.process.wait(30)

    # Killed while the mail server has the mail and has not said so.
    mail.trouble = "hang"
    ask(server, "first")
    early = mail.next("first@example.test")
    assert server.events("email_sent") == []
    crash()
    mail.stop()
    server.start()
    # The mail server is away; killed while a mail waits.
    ask(server, "second")
    wait_for("an attempt in vain", lambda: any("Not handed over" in logs(task) for task in tasks(server)), 60)
    crash()
    again = start_mail(port=mail.port)
    server.start()
    arrived = lambda: {letter.to[0]: letter for letter in again.letters}  # noqa: E731
    wait_for("both letters", lambda: len(arrived()) == 2, 90)
    letters = arrived()
    first = letters["first@example.test"]
    assert first.message["Message-ID"] == early.message["Message-ID"], "mail programs can tell that it is the same"
    assert first.link == early.link
    for letter in letters.values():
        reader = server.browser()
        shown = open_link(reader, letter.link)
        assert go_on(reader, letter.link, token=shown["token"])["component"] == "ak-stage-prompt"
    wait_for("both on record", lambda: len(server.events("email_sent")) == 2, 60)
    wait_for("no task left", lambda: all(task["state"] == "done" for task in tasks(server)), 60)
    assert len(server.events("email_sent")) == 2, "however often it was handed over"
