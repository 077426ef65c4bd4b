"""Notifications with real receivers: mail servers, webhooks with and without TLS, receivers that are away or too slow."""

import ipaddress
import json
import os
import subprocess
import time

import pytest
import requests
from conftest import PASSWORD, TOKEN, wait_for
from cryptography import x509
from mail import Authority, start_mail
from services import Service

HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
SECRET = "secret-of-the-receiver-42"


class Hook(Service):
    """Takes webhooks, also by TLS; `hold` seconds pass before it answers."""

    def __init__(self, tls=None):
        super().__init__()
        self.hold = 0
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
            self.url = self.url.replace("http://", "https://")
        self.url += "/hook"

    def handle(self, handler):
        if self.hold:
            self.stopping.wait(self.hold)
        super().handle(handler)

    def answer(self, asked):
        return 200, {"ok": True}

    def bodies(self):
        return [asked.json for asked in self.asked]


@pytest.fixture
def start_hook():
    started = []

    def start(**options):
        started.append(Hook(**options))
        return started[-1]

    yield start
    for hook in started:
        hook.close()


def transport(server, name, mode, **fields):
    return server.api("POST", "/events/transports/", {"name": name, "mode": mode} | fields)


def rule(server, name, transports, matcher, **fields):
    """A rule whose policy picks events by these fields."""
    made = server.api("POST", "/events/rules/", {"name": name, "transports": [t["pk"] for t in transports]} | fields)
    policy = server.api("POST", "/policies/event_matcher/", {"name": f"{name}-matcher"} | matcher)
    server.api("POST", "/policies/bindings/", {"target": made["pk"], "policy": policy["pk"], "order": 0})
    return made


def group(server, name, *users):
    return server.api("POST", "/core/groups/", {"name": name, "users": [user["pk"] for user in users]})["pk"]


def happen(server, action="custom_", message="something", **context):
    """Somebody writes an event."""
    body = {"action": action, "app": "tests", "context": {"message": message} | context}
    return server.api("POST", "/events/events/", body)


def deliveries(server):
    return server.api("GET", "/tasks/tasks/?actor_name=notification&page_size=100&ordering=mtime")["results"]


def logs(task):
    return " | ".join(line["event"] for line in task["logs"] + task["previous_logs"])


def try_out(server, made):
    """The answer of the test of a transport."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return requests.post(f"{server.url}/api/v3/events/transports/{made['pk']}/test/", headers=headers)


def certificate(server, name, pem):
    return server.api("POST", "/crypto/certificatekeypairs/", {"name": name, "certificate_data": pem.read_text()})["pk"]


def mapping(server, name, expression):
    return server.api("POST", "/propertymappings/notification/", {"name": name, "expression": expression})["pk"]


def said_by_the_server(server):
    """All that is told, but for the differences of what administrators changed: those hold the text of mappings."""
    paths = ["/tasks/tasks/?page_size=100", "/events/notifications/", "/events/rules/", "/events/transports/"]
    events = server.api("GET", "/events/events/?page_size=100")["results"]
    events = [event for event in events if not event["action"].startswith("model_")]
    return server.log_text() + json.dumps([events] + [server.api("GET", path) for path in paths])


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "STARTTLS"])
def test_a_notification_arrives_by_mail(start_server, start_mail, tmp_path, encrypted):
    authority = Authority(tmp_path)
    login = ("mailer", SECRET)
    mail = start_mail(login=login, starttls=authority.context(HERE) if encrypted else None)
    more = {"EMAIL__USE_TLS": "true", "EMAIL__CA_FILE": authority.ca_file} if encrypted else {}
    server = start_server(**mail.settings, EMAIL__USERNAME=login[0], EMAIL__PASSWORD=login[1], **more)
    ann, bob = server.user("ann", email="ann@example.test"), server.user("bob", email="")
    way = transport(server, "mails", "email", email_subject_prefix="Look: ")
    tell = {"destination_group": group(server, "watchers", ann, bob), "severity": "alert"}
    rule(server, "watch", [way], {"action": "custom_"}, **tell)
    happen(server, message="the boiler\nis hot", token="not-for-mails")
    letter = mail.next("ann@example.test")
    assert letter.is_encrypted == encrypted and letter.login == login[0]
    assert letter.message["Subject"] == "Look: the boiler"
    for text in (letter.text, letter.html):
        assert "is hot" in text and "alert" in text and "not-for-mails" not in text
    # Nobody without address; and the mail about the event is no event that makes another mail.
    wait_for("two deliveries", lambda: len([t for t in deliveries(server) if t["aggregated_status"] in ("info", "done")]) == 2)
    assert any("no address" in logs(task) for task in deliveries(server))
    sent_to = lambda address: [e for e in server.events("email_sent") if address in json.dumps(e["context"])]
    [sent] = wait_for("the event of the mail", lambda: sent_to("ann@example.test"))
    assert sent["user"]["username"] == "ann"
    time.sleep(2)
    assert len(mail.letters) == 1
    assert SECRET not in said_by_the_server(server)


def test_a_mail_waits_for_its_server_to_come_back(start_server, start_mail):
    mail = start_mail()
    settings, port = mail.settings, mail.port
    server = start_server(**settings)
    ann = server.user("ann", email="ann@example.test")
    rule(server, "watch", [transport(server, "mails", "email")], {"action": "custom_"}, destination_group=group(server, "g", ann))
    mail.stop()
    happen(server, message="while away")
    def waiting():
        tasks = server.api("GET", "/tasks/tasks/?actor_name=weir.mail")["results"]
        return [task for task in tasks if task["retries"] or task["previous_logs"] or "refused" in logs(task).lower()]
    wait_for("a failed try", waiting, 40)
    back = start_mail(port=port)
    letter = back.next("ann@example.test", seconds=60)
    assert letter.message["Subject"] == "authentik Notification: while away"


def test_the_test_of_a_mail_transport_tells_what_the_server_said(start_server, start_mail):
    mail = start_mail()
    server = start_server(**mail.settings)
    way = transport(server, "mails", "email")
    answer = try_out(server, way)
    assert answer.status_code == 200 and answer.json()["messages"] == [f"Handed to 127.0.0.1:{mail.port}."], answer.text
    assert "Test Notification from transport mails" in mail.next("akadmin@example.test").text
    mail.trouble = "550 we do not want this"
    answer = try_out(server, way)
    assert answer.status_code == 500 and "550" in answer.text, answer.text
    mail.stop()
    assert try_out(server, way).status_code == 500
    refused = server.api("POST", "/events/transports/", {"name": "x", "mode": "email", "email_template": "../x"}, expect=400)
    assert "email_template" in refused


def test_a_webhook_gets_what_its_mappings_say(start_server, start_hook):
    hook = start_hook()
    server = start_server()
    ann = server.user("ann", email="ann@example.test")
    plain = transport(server, "plain", "webhook", webhook_url=hook.url)
    body = mapping(server, "body", 'return {"said": notification.body, "to": user.username, "by": notification.event.action}')
    headers = mapping(server, "headers", f'return {{"X-Key": "{SECRET}", "X-Severity": notification.severity}}')
    shaped = transport(
        server, "shaped", "webhook", webhook_url=hook.url, webhook_mapping_body=body, webhook_mapping_headers=headers
    )
    tell = {"destination_group": group(server, "g", ann), "severity": "warning"}
    rule(server, "watch", [plain, shaped], {"action": "suspicious_request"}, **tell)
    happen(server, "suspicious_request", "odd")
    wait_for("two calls", lambda: len(hook.asked) == 2)
    by_kind = {"said" in asked.json: asked for asked in hook.asked}
    told = {"body": "odd", "severity": "warning", "user_email": "ann@example.test", "user_username": "ann"}
    # Nobody in particular is the user of an event that a client writes without naming one.
    assert by_kind[False].json == told, by_kind[False].json
    assert by_kind[True].json == {"said": "odd", "to": "ann", "by": "suspicious_request"}
    assert by_kind[True].headers["X-Key"] == SECRET and by_kind[True].headers["X-Severity"] == "warning"
    assert all(asked.headers["Content-Type"] == "application/json" and asked.method == "POST" for asked in hook.asked)
    # A mapping that fails is told, and costs nobody else anything.
    server.api("PATCH", f"/propertymappings/notification/{body}/", {"expression": 'raise ValueError("broken mapping")'})
    answer = try_out(server, shaped)
    assert answer.status_code == 500 and "broken mapping" in answer.text
    assert any("broken mapping" in e["context"]["message"] for e in server.events("property_mapping_exception"))
    server.api("PATCH", f"/propertymappings/notification/{headers}/", {"expression": f'return {{"bad name": "{SECRET}"}}'})
    server.api("PATCH", f"/propertymappings/notification/{body}/", {"expression": "return {}"})
    answer = try_out(server, shaped)
    assert answer.status_code == 500 and SECRET not in answer.text
    assert SECRET not in said_by_the_server(server)


def test_a_webhook_is_checked_with_its_own_authority(start_server, start_hook, tmp_path):
    authority = Authority(tmp_path)
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other")
    hook = start_hook(tls=authority.context(HERE))
    server = start_server()
    known = certificate(server, "known", tmp_path / "ca.pem")
    other = certificate(server, "other", tmp_path / "other" / "ca.pem")
    way = transport(server, "tls", "webhook", webhook_url=hook.url, webhook_ca=known)
    assert try_out(server, way).status_code == 200
    assert hook.bodies()[-1]["body"] == "Test Notification from transport tls"
    for ca in (other, None):
        server.api("PATCH", f"/events/transports/{way['pk']}/", {"webhook_ca": ca})
        answer = try_out(server, way)
        assert answer.status_code == 500 and len(hook.asked) == 1, answer.text
    elsewhere = start_hook(tls=stranger.context(x509.DNSName("other.example.test")))
    server.api("PATCH", f"/events/transports/{way['pk']}/", {"webhook_ca": other, "webhook_url": elsewhere.url})
    assert try_out(server, way).status_code == 500 and not elsewhere.asked, "the certificate names another"


def test_slack_gets_what_slack_understands_and_one_for_all_where_that_is_enough(start_server, start_hook):
    hook = start_hook()
    server = start_server()
    ann, bob = server.user("ann"), server.user("bob")
    slack = transport(server, "slack", "webhook_slack", webhook_url=hook.url, send_once=True)
    rule(server, "watch", [slack], {"action": "custom_"}, destination_group=group(server, "g", ann, bob), severity="alert")
    long = {f"field{number:02}": "x" * 2000 for number in range(40)}
    happen(server, message="for the channel", number=7, password="hidden-word", **long)
    wait_for("a call", lambda: hook.asked)
    time.sleep(2)
    [body] = hook.bodies()
    [attachment] = body["attachments"]
    fields = {field["title"]: field for field in attachment["fields"]}
    assert len(attachment["fields"]) == 25
    assert all(len(f["title"]) <= 256 and len(f["value"]) <= 1024 for f in attachment["fields"])
    assert fields["Severity"]["value"] == "alert" and fields["Dispatched for user"]["value"] in ("ann", "bob")
    assert attachment["title"] == "custom_" and attachment["text"] == "for the channel"
    assert "number" not in fields, "only texts"
    assert "hidden-word" not in json.dumps(body)


def test_the_user_of_the_event_is_told_here_and_rules_pick_by_policies(start_server):
    server = start_server()
    ann = server.user("ann")
    server.set_password(ann)
    here = transport(server, "here", "local")
    rule(server, "watch", [here], {"action": "login", "query": 'user.username = "ann"'}, destination_event_user=True)
    unbound = server.api("POST", "/events/rules/", {"name": "unbound", "transports": [here["pk"]], "destination_event_user": True})
    assert unbound["destination_group_obj"] is None

    browser, admin = server.signed_in("ann"), server.signed_in("akadmin")
    read = lambda browser: browser.http.get(f"{server.url}/api/v3/events/notifications/").json()["results"]
    [notice] = wait_for("a notification", lambda: read(browser))
    assert notice["severity"] == "notice" and notice["event"]["action"] == "login" and notice["seen"] is False
    assert not [n for n in read(admin) if n["event"] and n["event"]["action"] == "login"]
    assert browser.act("POST", "/events/notifications/mark_all_seen/").status_code == 204
    assert read(browser)[0]["seen"] is True


def test_a_dead_webhook_is_tried_again_and_delays_nobody(start_server, start_hook, start_mail):
    dead, slow, alive, mail = start_hook(), start_hook(), start_hook(), start_mail()
    dead.trouble, slow.hold = 503, 14
    server = start_server(**mail.settings)
    ann = server.user("ann", email="ann@example.test")
    ways = [
        transport(server, "dead", "webhook", webhook_url=dead.url),
        transport(server, "slow", "webhook", webhook_url=slow.url),
        transport(server, "gone", "webhook", webhook_url="http://127.0.0.1:1/hook"),
        transport(server, "alive", "webhook", webhook_url=alive.url),
        transport(server, "mails", "email"),
        transport(server, "here", "local"),
    ]
    rule(server, "watch", ways, {"action": "custom_"}, destination_group=group(server, "g", ann))
    begun = time.monotonic()
    for number in range(10):
        happen(server, message=f"event {number}")
    wait_for("what works", lambda: len(alive.asked) == 10 and len(mail.letters) == 10, 25)
    assert time.monotonic() - begun < 25
    assert len(dead.asked) <= 4 and len(slow.asked) <= 4, "few calls to who does not answer"
    # It comes back, and nothing was lost.
    dead.trouble, slow.hold = None, 0
    wait_for("all the rest", lambda: len({b["body"] for b in dead.bodies()}) == 10, 90)
    wait_for("all of the slow one", lambda: len({b["body"] for b in slow.bodies()}) == 10, 90)
    assert [t for t in deliveries(server) if "503" in logs(t)]
    assert len(alive.asked) == 10 and len(mail.letters) == 10, "once is enough for those that work"


def test_notifications_survive_the_death_of_the_server(start_server, start_hook):
    hook = start_hook()
    server = start_server(WORKER__LEASE_SECS=5)
    ann = server.user("ann")
    way = transport(server, "hook", "webhook", webhook_url=hook.url)
    rule(server, "watch", [way], {"action": "custom_"}, destination_group=group(server, "g", ann))
    hook.hold = 30
    happen(server, message="precious")
    wait_for("a delivery", lambda: [t for t in deliveries(server) if t["state"] == "running"])
    server.process.kill()
    server.process.wait()
    hook.hold = 0
    server.start()
    wait_for("the notification", lambda: "precious" in [b["body"] for b in hook.bodies()], 60)


def test_of_two_nodes_one_delivers(start_server, start_hook):
    hook = start_hook()
    first = start_server()
    # SQLite has one node, for which the same holds.
    database = first.env.get("WEIR_DATABASE_URL")
    second = start_server(DATABASE_URL=database) if database else first
    ann = first.user("ann")
    way = transport(first, "hook", "webhook", webhook_url=hook.url)
    rule(first, "watch", [way], {"action": "custom_"}, destination_group=group(first, "g", ann))
    wait_for("the rule on the other node", lambda: second.api("GET", "/events/rules/?name=watch")["results"])
    for number in range(20):
        happen([first, second][number % 2], message=f"event {number}")
    wait_for("all of them", lambda: len(hook.asked) >= 20, 40)
    time.sleep(3)
    assert sorted(b["body"] for b in hook.bodies()) == sorted(f"event {number}" for number in range(20))


def test_a_key_that_a_lockdown_ended_tells_when_it_is_used(start_server):
    server = start_server()
    ann = server.user("ann", email="ann@example.test")
    server.api("POST", "/core/tokens/", {"identifier": "ann-key", "user": ann["pk"], "intent": "api"})
    key = server.api("GET", "/core/tokens/ann-key/view_key/")["key"]
    use = lambda: requests.get(f"{server.url}/api/v3/core/users/me/", headers={"Authorization": f"Bearer {key}"}).status_code
    assert use() == 200
    command = [os.environ["WEIR_BIN"], "user", "lockdown", "ann", "--reason", "stolen"]
    done = subprocess.run(command, cwd=server.folder, env=server.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [use(), use(), use()] == [403, 403, 403]
    [told] = server.events("suspicious_request")
    assert (told["user"]["username"], told["client_ip"]) == ("ann", "127.0.0.1")
    assert told["context"]["token"]["name"] == "ann-key" and key not in json.dumps(told)
