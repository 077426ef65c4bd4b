"""Account lockdown on whole servers: the interface, many users at once, the command line, signed records."""

import json
import os
import subprocess
import threading
import uuid

import pytest
import requests
from conftest import PASSWORD, wait_for


@pytest.fixture
def site(start_server):
    server = start_server()
    body = {"path": "example/flow-default-account-lockdown.yaml", "context": json.dumps({"brand": "authentik-default"})}
    answer = requests.post(
        f"{server.url}/api/v3/managed/blueprints/import/",
        files={name: (None, value) for name, value in body.items()},
        headers=headers(server),
    )
    assert answer.ok and answer.json()["success"], answer.text
    return server


def headers(server, key=None):
    from conftest import TOKEN

    return {"Authorization": f"Bearer {key or TOKEN}"}


def as_token(server, key, method, path, body=None):
    return requests.request(method, f"{server.url}/api/v3{path}", json=body, headers=headers(server, key))


def weir(server, *arguments, text=None):
    command = [os.environ["WEIR_BIN"], *arguments]
    return subprocess.run(command, cwd=server.folder, env=server.env, capture_output=True, text=True, input=text)


def key_of(server, user, identifier, intent="api"):
    body = {"identifier": identifier, "user": user["pk"], "intent": intent}
    server.api("POST", "/core/tokens/", body)
    return server.api("GET", f"/core/tokens/{identifier}/view_key/")["key"]


def person(server, username):
    user = server.user(username)
    server.set_password(user)
    return user


def test_the_way_into_the_flow_refuses_in_the_contracts_words(site):
    person(site, "ann")
    bob = person(site, "bob")
    ann = site.signed_in("ann")
    path = "/core/users/account_lockdown/"
    assert requests.post(f"{site.url}/api/v3{path}", json={}).status_code == 403
    unknown = ann.act("POST", path, {"user": 4711})
    assert (unknown.status_code, unknown.json()) == (400, {"user": ['Invalid pk "4711" - object does not exist.']})
    assert ann.act("POST", path, {"user": bob["pk"]}).status_code == 403
    assert ann.act("POST", path, {"user": None}).json() == {"link": "/if/flow/default-account-lockdown/"}
    # Without lockdown flow, and with one that does not apply.
    brand = site.api("GET", "/core/brands/")["results"][0]
    site.api("PATCH", f"/core/brands/{brand['brand_uuid']}/", {"flow_lockdown": None})
    none = ann.act("POST", path, {})
    assert (none.status_code, none.json()) == (400, {"non_field_errors": ["No lockdown flow configured."]})
    site.flow("shut", "stage_configuration", ("dummy", {}), authentication="require_superuser")
    shut = site.api("GET", "/flows/instances/shut/")["pk"]
    site.api("PATCH", f"/core/brands/{brand['brand_uuid']}/", {"flow_lockdown": shut})
    refused = ann.act("POST", path, {})
    assert (refused.status_code, refused.json()) == (400, {"non_field_errors": ["Lockdown flow is not applicable."]})


def test_self_service_through_the_executor_ends_every_way_in(site, tmp_path):
    ann = person(site, "ann")
    api, app = key_of(site, ann, "ann-api"), key_of(site, ann, "ann-app", "app_password")
    own, other = site.signed_in("ann"), site.signed_in("ann")
    assert own.act("POST", "/core/users/account_lockdown/", {}).ok
    asked = own.get("default-account-lockdown")
    assert asked["component"] == "ak-stage-prompt", asked
    done = own.post("default-account-lockdown", {"lockdown_reason": "phone stolen"})
    assert (done["component"], done["to"]) == ("xak-flow-redirect", "/if/flow/default-account-lockdown-complete/")
    assert own.get("default-account-lockdown-complete")["component"] == "ak-stage-prompt"
    assert own.me() is None and other.me() is None
    assert as_token(site, api, "GET", "/core/users/me/").status_code == 403
    late = site.browser()
    late.get("default-authentication-flow")
    late.post("default-authentication-flow", {"uid_field": "ann"})
    for password in (PASSWORD, app):
        assert late.post("default-authentication-flow", {"password": password})["component"] == "ak-stage-password"
    # The record, as an auditor gets it.
    event = site.events("user_write")[0]
    assert event["context"]["action_id"] == "account_lockdown" and event["context"]["reason"] == "phone stolen"
    record = site.api("GET", f"/weir/lockdowns/{event['context']['lockdown']['id']}/")
    assert {k["kind"]: k["remaining"] for k in record["record"]["artefacts"] if k["remaining"]} == {}
    assert {k["kind"]: k["ended"] for k in record["record"]["artefacts"]}["session"] == 2
    key = requests.get(f"{site.url}/api/v3/weir/lockdowns/key/").json()
    (tmp_path / "record.json").write_text(json.dumps(record))
    (tmp_path / "key.json").write_text(json.dumps(key))
    for arguments in ([], ["--key", str(tmp_path / "key.json")]):
        good = weir(site, "lockdown", "verify", str(tmp_path / "record.json"), *arguments)
        assert good.returncode == 0 and "of ann" in good.stdout, good.stderr
    record["record"]["artefacts"][1]["ended"] = 0
    bad = weir(site, "lockdown", "verify", "-", text=json.dumps(record))
    assert bad.returncode == 1 and "it was changed" in bad.stderr, bad.stderr


def test_whoever_locks_the_account_of_another_reads_whose_it_is(site):
    bob = person(site, "bob<i>x</i>")
    admin = site.signed_in("akadmin")
    assert admin.act("POST", "/core/users/account_lockdown/", {"user": bob["pk"]}).ok
    asked = admin.get("default-account-lockdown")
    named = "<strong>bob&lt;i&gt;x&lt;/i&gt;</strong>"
    assert f"the account {named}." in asked["fields"][0]["initial_value"], asked["fields"]
    done = admin.post("default-account-lockdown", {"lockdown_reason": "phone stolen"})
    assert done["fields"][0]["initial_value"] == f"The account {named} is locked.", done["fields"]
    assert not site.api("GET", f"/core/users/{bob['pk']}/")["is_active"]
    # Who looks at their own account reads that.
    own = site.signed_in("akadmin")
    assert own.act("POST", "/core/users/account_lockdown/", {}).ok
    assert "<strong>your own account</strong>" in own.get("default-account-lockdown")["fields"][0]["initial_value"]


def test_a_list_of_users_is_locked_by_a_task_that_asks_for_each(site):
    victims = [person(site, f"victim-{number}") for number in range(12)]
    helper = person(site, "helper")
    group = site.api("POST", "/core/groups/", {"name": "leaked", "users": [v["pk"] for v in victims[:8]]})
    role = site.api("POST", "/rbac/roles/", {"name": "helpers"})
    site.api("POST", f"/rbac/roles/{role['pk']}/add_user/", {"pk": helper["pk"]})
    grants = [("authentik_core.user", victim["pk"], "authentik_core.change_user") for victim in victims[:10]]
    grants.append(("authentik_core.group", group["pk"], "authentik_core.view_group"))
    for model, pk, permission in grants:
        body = {"permissions": [permission], "model": model, "object_pk": str(pk)}
        site.api("POST", f"/rbac/permissions/assigned_by_roles/{role['pk']}/assign/", body)
    key = key_of(site, helper, "helper-api")
    create = "/weir/lockdowns/"
    for body in ({"reason": " ", "users": [1]}, {"reason": "x"}, {"reason": "x", "group": str(uuid.uuid4())}):
        assert as_token(site, key, "POST", create, body).status_code == 400, body
    assert as_token(site, key, "POST", create, {"reason": "x", "users": [victims[11]["pk"]]}).status_code == 403
    users = [victims[8]["pk"], victims[9]["pk"], victims[10]["pk"], helper["pk"], 4711]
    made = as_token(site, key, "POST", create, {"reason": "leak", "group": group["pk"], "users": users})
    assert made.status_code == 201, made.text
    made = made.json()
    assert made["users"] == 13
    shown = lambda: as_token(site, key, "GET", f"/weir/lockdowns/batches/{made['batch']}/").json()
    done = wait_for("the list", lambda: shown() if shown()["counts"]["waiting"] == 0 else None)
    assert done["counts"] == {"waiting": 0, "locked": 10, "refused": 3, "failed": 0}, done
    refused = {user["pk"] for user in done["users"] if user["state"] == "refused"}
    assert refused == {victims[10]["pk"], helper["pk"], 4711}
    for victim in victims:
        expected = victim["pk"] in {v["pk"] for v in victims[10:]}
        assert site.api("GET", f"/core/users/{victim['pk']}/")["is_active"] is expected
    records = site.api("GET", f"/weir/lockdowns/?batch={made['batch']}&page_size=100")["results"]
    assert len(records) == 10 and {r["record"]["actor"]["username"] for r in records} == {"helper"}
    task = wait_for(
        "the task", lambda: (t := site.api("GET", f"/tasks/tasks/{made['task']}/"))["state"] == "done" and t, 20
    )
    assert task["actor_name"] == "lock_down_users"
    # Whom one may not see has no name on one's list.
    names = {user["pk"]: user["username"] for user in done["users"]}
    assert names[victims[0]["pk"]] == "victim-0" and names[victims[10]["pk"]] is None
    # Others do not see what is not theirs.
    stranger = key_of(site, person(site, "stranger"), "stranger-api")
    for path in (f"/weir/lockdowns/batches/{made['batch']}/", f"/weir/lockdowns/{records[0]['record']['id']}/"):
        assert as_token(site, stranger, "GET", path).status_code == 404
    assert as_token(site, stranger, "GET", "/weir/lockdowns/").status_code == 403


def test_the_command_line_locks_beside_a_running_server_and_unlocking_brings_nothing_back(site):
    ann = person(site, "ann")
    key = key_of(site, ann, "ann-api")
    browser = site.signed_in("ann")
    without = weir(site, "user", "lockdown", "ann", "--reason", " ")
    assert without.returncode == 2 and "reason" in without.stderr
    done = weir(site, "user", "lockdown", "ann", "--reason", "seen on a list")
    assert done.returncode == 0 and "session: 1 found, 1 ended, 0 remaining" in done.stdout, done.stdout + done.stderr
    assert browser.me() is None
    assert as_token(site, key, "GET", "/core/users/me/").status_code == 403
    path = f"/weir/users/{ann['pk']}/unlock/"
    stranger = key_of(site, person(site, "stranger"), "stranger-api")
    assert as_token(site, stranger, "POST", path, {"reason": "please"}).status_code == 403
    site.api("POST", path, {}, expect=400)
    assert site.api("POST", path, {"reason": "it was a mistake"})["was_active"] is False
    assert site.events("user_write")[0]["context"]["action_id"] == "account_unlock"
    told = len(site.events("user_write"))
    again = site.api("POST", path, {"reason": "to be sure"})
    assert again["was_active"] is True and "nothing was changed" in again["detail"]
    assert "was not locked" in weir(site, "user", "unlock", "ann", "--reason", "to be sure").stdout
    assert len(site.events("user_write")) == told, "nothing changed, so nothing is told"
    assert site.api("GET", f"/core/users/{ann['pk']}/")["is_active"] is True
    assert browser.me() is None
    assert as_token(site, key, "GET", "/core/users/me/").status_code == 403
    site.set_password(ann)
    site.signed_in("ann")
    # And without a server.
    site.stop()
    assert weir(site, "user", "lockdown", "ann", "--reason", "again").returncode == 0
    assert "unlocked ann" in weir(site, "user", "unlock", "ann", "--reason", "and again").stdout
    site.start()


def test_nothing_survives_that_is_minted_beside_a_lockdown(site):
    """Requests of every kind that mints, as fast as they go, by the user's own token and sessions."""
    ann = person(site, "ann")
    key = key_of(site, ann, "ann-api")
    browsers = [site.signed_in("ann") for _ in range(4)]
    minted, stop = [], threading.Event()

    def mint_tokens(number):
        count = 0
        while not stop.is_set():
            count += 1
            name = f"race-{number}-{count}"
            answer = as_token(site, key, "POST", "/core/tokens/", {"identifier": name, "intent": "app_password"})
            if answer.status_code == 201:
                minted.append(name)

    def sign_in(_):
        while not stop.is_set():
            browser = site.browser()
            browser.get("default-authentication-flow")
            browser.post("default-authentication-flow", {"uid_field": "ann"})
            if browser.post("default-authentication-flow", {"password": PASSWORD})["component"] == "xak-flow-redirect":
                browsers.append(browser)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6) for work in (mint_tokens, sign_in)]
    for thread in threads:
        thread.start()
    wait_for("some tokens", lambda: len(minted) > 50)
    done = weir(site, "user", "lockdown", "ann", "--reason", "race")
    assert done.returncode == 0, done.stderr
    stop.set()
    for thread in threads:
        thread.join()
    assert site.api("GET", "/core/tokens/?user__username=ann")["results"] == []
    assert site.api("GET", "/core/authenticated_sessions/?user__username=ann")["results"] == []
    assert all(browser.me() is None for browser in browsers)
    record = site.api("GET", f"/weir/lockdowns/?user={ann['pk']}")["results"][0]["record"]
    assert all(kind["remaining"] == 0 for kind in record["artefacts"]), record


def test_a_list_whose_server_dies_is_worked_off_by_the_next_one_and_locks_nobody_twice(start_server):
    server = start_server(WORKER__LEASE_SECS=5)
    users = [server.user(f"victim-{number}")["pk"] for number in range(150)]
    made = server.api("POST", "/weir/lockdowns/", {"reason": "leak", "users": users})
    path = f"/weir/lockdowns/batches/{made['batch']}/"
    counts = lambda: server.api("GET", path)["counts"]
    wait_for("the first of them", lambda: counts()["locked"] > 0)
    server.process.kill()
    server.process.wait()
    server.start()
    wait_for("the rest", lambda: counts()["waiting"] == 0, 90)
    assert counts() == {"waiting": 0, "locked": len(users), "refused": 0, "failed": 0}
    found = server.api("GET", f"/weir/lockdowns/?batch={made['batch']}&page_size=100")
    records = found["results"] + server.api("GET", f"/weir/lockdowns/?batch={made['batch']}&page_size=100&page=2")["results"]
    assert sorted(record["record"]["user"]["pk"] for record in records) == sorted(users)
    task = lambda: server.api("GET", f"/tasks/tasks/{made['task']}/")
    wait_for("the task", lambda: task()["state"] == "done")


def test_targets_of_the_sync_are_told_at_once_and_a_dead_one_delays_nobody(site):
    import test_scim
    from scim_target import ScimTarget

    good, dead = ScimTarget(), ScimTarget()
    try:
        for name, target in (("good", good), ("dead", dead)):
            test_scim.provider(site, f"{target.url}/v2", name=name)
        ann = person(site, "ann")
        wait_for("the user there", lambda: good.users().get("ann", {}).get("active") and dead.users().get("ann"))
        dead.close()
        done = weir(site, "user", "lockdown", "ann", "--reason", "told everywhere")
        assert done.returncode == 0, done.stderr
        # Not later: the command waited for it.
        assert good.users()["ann"]["active"] is False
        record = site.api("GET", f"/weir/lockdowns/?user={ann['pk']}")["results"][0]["record"]
        states = {target["name"]: target["state"] for target in record["sync"]}
        assert states["good"] == "delivered" and states["dead"] != "delivered", record["sync"]
        assert all(kind["remaining"] == 0 for kind in record["artefacts"])
    finally:
        good.close()
