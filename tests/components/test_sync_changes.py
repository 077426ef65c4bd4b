"""Outgoing sync: which changes travel, and what is left at a target when things go wrong in the middle."""

import sqlite3
import subprocess
import threading
import time

from conftest import wait_for
from scim_target import ScimTarget
from test_google_entra import entra_provider, google, google_provider, graph, person
from test_scim import assign, full, group, provider, server, settled, state, target, tasks, wait_idle


def sql(server, text):
    """A statement in the database of a server that is stopped."""
    url = server.env.get("WEIR_DATABASE_URL", "")
    if url.startswith("postgres"):
        subprocess.run(["psql", "-q", url, "-c", text], check=True)
        return
    files = [file for file in (server.folder / "data").rglob("*") if file.suffix in (".db", ".sqlite", ".sqlite3")]
    assert len(files) == 1, files
    with sqlite3.connect(files[0]) as db:
        db.execute(text)


def people(target):
    return {name for name in target.users() if name != "akadmin"}


def guarded(server, target):
    """A target whose application lets in the group `may` only."""
    may = group(server, "may")
    made = provider(server, f"{target.url}/v2", application=False)
    app = assign(server, "app", made["pk"])
    wait_idle(server, made["pk"])
    assert "akadmin" in target.users()
    binding = server.api("POST", "/policies/bindings/", {"target": app["pk"], "group": may["pk"], "order": 0})
    wait_for("nobody there", lambda: target.users() == {})
    return made, app, may, binding


# What travels.


def test_people_follow_when_their_group_moves_below_another(server, target):
    ada = server.user("ada")
    team = group(server, "team", ada)
    made, _, may, _ = guarded(server, target)
    server.api("PATCH", f"/core/groups/{team['pk']}/", {"parents": [may["pk"]]})
    wait_for("the user there", lambda: people(target) == {"ada"})
    server.api("PATCH", f"/core/groups/{team['pk']}/", {"parents": []})
    wait_for("the end there", lambda: people(target) == set())
    server.api("PATCH", f"/core/groups/{team['pk']}/", {"parents": [may["pk"]]})
    wait_for("the user there again", lambda: people(target) == {"ada"})
    # A group between goes, and with it the way up.
    middle = server.api("POST", "/core/groups/", {"name": "middle", "parents": [may["pk"]]})
    server.api("PATCH", f"/core/groups/{team['pk']}/", {"parents": [middle["pk"]]})
    wait_idle(server, made["pk"])
    assert people(target) == {"ada"}
    server.api("DELETE", f"/core/groups/{middle['pk']}/")
    wait_for("the end there", lambda: people(target) == set())


def test_people_follow_when_bindings_and_policies_of_the_application_change(server, target):
    server.user("ada")
    made, app, _, binding = guarded(server, target)
    server.api("PATCH", f"/policies/bindings/{binding['pk']}/", {"enabled": False})
    wait_for("everybody there", lambda: "ada" in people(target))
    policy = {"name": "letters", "expression": "return request.user.username.startswith('b')"}
    policy = server.api("POST", "/policies/expression/", policy)
    second = server.api("POST", "/policies/bindings/", {"target": app["pk"], "policy": policy["pk"], "order": 1})
    wait_for("nobody there", lambda: people(target) == set())
    changed = {"expression": "return request.user.username.startswith('a')"}
    server.api("PATCH", f"/policies/expression/{policy['pk']}/", changed)
    wait_for("the user there", lambda: "ada" in people(target))
    server.api("PATCH", f"/policies/bindings/{binding['pk']}/", {"enabled": True})
    server.api("PATCH", "/core/applications/app/", {"policy_engine_mode": "all"})
    wait_for("nobody there again", lambda: people(target) == set())
    server.api("DELETE", f"/policies/bindings/{binding['pk']}/")
    wait_for("the user there again", lambda: "ada" in people(target))
    server.api("DELETE", f"/policies/bindings/{second['pk']}/")
    wait_for("everybody there again", lambda: target.users().get("akadmin"))
    wait_idle(server, made["pk"])
    before, begun = len(tasks(server, made["pk"])), time.monotonic()
    for order in range(5):
        server.api("PATCH", f"/policies/expression/{policy['pk']}/", {"name": f"unbound {order}"})
        server.api("POST", "/policies/bindings/", {"target": app["pk"], "user": 1, "order": 10 + order, "enabled": False})
    runs = 2 + int(time.monotonic() - begun) // 5
    assert len(tasks(server, made["pk"])) <= before + runs, "many changes are one run"


def test_a_changed_mapping_is_told(server, target):
    made = provider(server, f"{target.url}/v2")
    user = server.user("ada")
    settled(server, made, user, "in_sync")
    mapping = {"name": "title", "expression": "return {'userName': user.username, 'title': 'old'}"}
    mapping = server.api("POST", "/propertymappings/provider/scim/", mapping)
    server.api("PATCH", f"/providers/scim/{made['pk']}/", {"property_mappings": [mapping["pk"]]})
    wait_for("the title", lambda: target.users()["ada"].get("title") == "old")
    changed = {"expression": "return {'userName': user.username, 'title': 'new'}"}
    server.api("PATCH", f"/propertymappings/provider/scim/{mapping['pk']}/", changed)
    wait_for("the new title", lambda: target.users()["ada"].get("title") == "new")


# What is left there.


def test_an_account_of_whose_creation_nobody_heard_goes_with_its_user(server, target):
    def makes_and_breaks(asked):
        if asked.method == "POST" and b'"ada"' in asked.body:
            target.make("Users", asked.json)
            return 503, {"detail": "gone away"}
        return None

    made = provider(server, f"{target.url}/v2")
    target.rules.append(makes_and_breaks)
    user = server.user("ada")
    wait_for("a reason", lambda: (state(server, made, user) or {}).get("reason"))
    assert "ada" in target.users()
    server.api("DELETE", f"/core/users/{user['pk']}/")
    target.rules.clear()
    server.api("POST", "/weir/sync/replay/", {"provider": made["pk"], "state": "pending"})
    wait_for("the end there", lambda: "ada" not in target.users())
    wait_for("nothing to remember", lambda: state(server, made, user) is None)


def test_a_server_that_is_killed_during_a_creation_forgets_nothing(start_server, google):
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    made = google_provider(server)
    google.hold.clear()
    user = person(server, "ada")
    wait_for("the account there", lambda: "ada@example.test" in google.users)
    server.process.kill()
    server.process.wait(10)
    google.hold.set()
    # As if the time of the claim had passed.
    sql(server, "UPDATE sync_state SET claimed_until = 0 WHERE claimed_until IS NOT NULL")
    server.start()
    server.api("DELETE", f"/core/users/{user['pk']}/")
    wait_for("the end there", lambda: "ada@example.test" not in google.users, 90)
    wait_for("nothing to remember", lambda: state(server, made, user) is None)


def test_a_group_of_whose_creation_nobody_heard_is_not_made_twice(start_server, graph):
    server = start_server(OUTBOUND__MICROSOFT_URL=graph.url)
    made = entra_provider(server)
    make = graph.make

    def makes_and_breaks(folder, kept, new):
        make(folder, kept, new)
        return 503, {"error": {"message": "gone away"}}

    graph.make = makes_and_breaks
    staff = group(server, "staff")
    wait_for("a reason", lambda: (state(server, made, staff, "group") or {}).get("reason"))
    graph.make = make
    server.api("POST", "/weir/sync/replay/", {"provider": made["pk"], "state": "pending"})
    settled(server, made, staff, "in_sync", model="group")
    assert [found["displayName"] for found in graph.groups.values()].count("staff") == 1


def test_who_takes_over_the_name_of_somebody_deleted_keeps_the_account(server, target):
    made = provider(server, f"{target.url}/v2")
    first = server.user("ada", name="First")
    settled(server, made, first, "in_sync")
    target.trouble = 503
    server.api("DELETE", f"/core/users/{first['pk']}/")
    second = server.user("ada", name="Second")
    wait_for("a reason", lambda: (state(server, made, second) or {}).get("reason") or state(server, made, first)["reason"])
    target.trouble = None
    server.api("POST", "/weir/sync/replay/", {"provider": made["pk"], "state": "pending"})
    settled(server, made, second, "in_sync")
    wait_for("nothing to remember", lambda: state(server, made, first) is None)
    assert target.users()["ada"]["displayName"] == "Second"
    connection = server.api("GET", f"/providers/scim_users/?user__id={second['pk']}")["results"][0]
    assert connection["scim_id"] == target.users()["ada"]["id"]


def test_an_account_that_goes_away_while_it_is_taken_over_is_made_anew(server, target):
    made = provider(server, f"{target.url}/v2", discovery_enabled=False)
    theirs = target.add("Users", {"userName": "ada", "emails": []})

    def removed(asked):
        if asked.method == "PUT" and theirs in target.resources["Users"]:
            del target.resources["Users"][theirs]
            return 404, {"detail": "gone"}

    target.rules.append(removed)
    ada = server.user("ada", name="Ada")
    settled(server, made, ada, "in_sync")
    assert target.users()["ada"]["displayName"] == "Ada" and target.users()["ada"]["id"] != theirs


def test_an_account_of_somebody_else_is_not_taken_over(server, target):
    made = provider(server, f"{target.url}/v2", discovery_enabled=False)
    ada = server.user("ada", name="Ada")
    settled(server, made, ada, "in_sync")
    mapping = {"name": "all the same", "expression": "return {'userName': 'ada', 'displayName': user.name}"}
    mapping = server.api("POST", "/propertymappings/provider/scim/", mapping)
    server.api("PATCH", f"/providers/scim/{made['pk']}/", {"property_mappings": [mapping["pk"]]})
    wait_idle(server, made["pk"])
    eve = server.user("eve", name="Eve")
    refused = wait_for("a reason", lambda: (state(server, made, eve) or {}).get("reason"))
    assert "connected with another object" in refused
    assert target.users()["ada"]["displayName"] == "Ada"


def test_who_is_renamed_there_can_still_be_taken_out_of_groups(start_server, google):
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    made = google_provider(server)
    ada = person(server, "ada")
    settled(server, made, ada, "in_sync")
    staff = group(server, "staff", ada)
    settled(server, made, staff, "in_sync", model="group")
    key = next(key for key, found in google.groups.items() if found["name"] == "staff")
    wait_for("the member there", lambda: google.members[key] == {"ada@example.test"})
    # The workspace renames its members with the user.
    put = google.user

    def renames(address, asked):
        answer = put(address, asked)
        if asked.method == "PUT" and answer[1]["primaryEmail"] != address:
            for members in google.members.values():
                if address in members:
                    members.discard(address)
                    members.add(answer[1]["primaryEmail"])
        return answer

    google.user = renames
    server.api("PATCH", f"/core/users/{ada['pk']}/", {"email": "king@example.test"})
    wait_for("the new address", lambda: google.members[key] == {"king@example.test"})
    settled(server, made, ada, "in_sync")
    server.api("POST", f"/core/groups/{staff['pk']}/remove_user/", {"pk": ada["pk"]})
    wait_for("nobody there", lambda: google.members[key] == set())


def test_who_is_deleted_while_no_application_names_the_provider_goes_when_one_does(server, target):
    made = provider(server, f"{target.url}/v2", name="target")
    user = server.user("ada")
    settled(server, made, user, "in_sync")
    server.api("DELETE", "/core/applications/target/")
    server.api("DELETE", f"/core/users/{user['pk']}/")
    time.sleep(1)
    assert "ada" in target.users()
    assign(server, "another", made["pk"])
    wait_for("the end there", lambda: "ada" not in target.users())


def test_nothing_is_left_of_a_provider_that_is_deleted_in_the_middle(start_server, google):
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    made = google_provider(server)
    google.hold.clear()
    person(server, "ada")
    wait_for("the account there", lambda: "ada@example.test" in google.users)
    server.api("DELETE", f"/providers/google_workspace/{made['pk']}/")
    google.hold.set()
    wait_idle(server, made["pk"], "sync_deliver")
    assert server.api("GET", "/providers/google_workspace_users/")["results"] == []
    server.stop()
    sql(server, "CREATE TABLE proof (n BIGINT NOT NULL CHECK (n = 0))")
    for table in ("sync_state", "sync_target", "sync_google_user"):
        sql(server, f"INSERT INTO proof SELECT COUNT(*) FROM {table} WHERE provider = {made['pk']}")


# Order and pace.


def test_waiting_for_a_slow_answer_costs_no_tasks(start_server, google):
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    made = google_provider(server)
    google.hold.clear()
    user = person(server, "ada")
    wait_for("the account there", lambda: "ada@example.test" in google.users)
    server.api("PATCH", f"/core/users/{user['pk']}/", {"name": "Ada King"})
    time.sleep(3)
    assert len(tasks(server, made["pk"], "sync_deliver")) < 10
    google.hold.set()
    wait_for("the new name", lambda: google.users["ada@example.test"]["name"]["familyName"] == "King")
    settled(server, made, user, "in_sync")


def test_targets_that_do_not_answer_hold_up_neither_the_others_nor_the_mail(server, target):
    silent = [ScimTarget() for _ in range(4)]
    hours = {"service_provider_config_cache_timeout": "hours=5"}
    others = [provider(server, f"{dead.url}/v2", name=f"silent-{number}", **hours) for number, dead in enumerate(silent)]
    well = provider(server, f"{target.url}/v2", name="well")
    for dead in silent:
        dead.trouble = "slow"
    user = server.user("ada")
    settled(server, well, user, "in_sync")
    again = server.user("bob")
    settled(server, well, again, "in_sync")
    for made in others:
        assert state(server, made, user)["reason"] == "", "nobody has given up asking yet"
    for dead in silent:
        dead.trouble = None
        dead.close()


def test_fifty_changes_at_once_end_with_what_is_here(server, target):
    made = provider(server, f"{target.url}/v2")
    user = server.user("busy")
    staff = group(server, "staff")
    target.rules.append(lambda asked: time.sleep(0.05))

    def change(number):
        server.api("PATCH", f"/core/users/{user['pk']}/", {"name": f"Name {number}", "is_active": number % 2 == 0})
        verb = "add_user" if number % 2 else "remove_user"
        server.api("POST", f"/core/groups/{staff['pk']}/{verb}/", {"pk": user["pk"]})

    threads = [threading.Thread(target=change, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settled(server, made, user, "in_sync")
    settled(server, made, staff, "in_sync", model="group")
    here = server.api("GET", f"/core/users/{user['pk']}/")
    there = target.users()["busy"]
    assert (there["displayName"], there["active"]) == (here["name"], here["is_active"])
    members = server.api("GET", f"/core/groups/{staff['pk']}/")["users"]
    assert target.members("staff") == (["busy"] if members else [])
    log = full(server, made)
    assert any("Page delivered" in line for line in log)


# Secrets.


def test_a_dry_run_tells_no_password(start_server, google):
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    made = google_provider(server, dry_run=True)
    user = person(server, "ada")
    settled(server, made, user, "skipped")
    body = {"sync_object_model": "authentik.core.models.User", "sync_object_id": str(user["pk"])}
    messages = server.api("POST", f"/providers/google_workspace/{made['pk']}/sync/object/", body)["messages"]
    dropped = next(m for m in messages if m["event"] == "Dropping mutating request due to dry run")
    sent = dropped["attributes"]["body"]
    assert sent["primaryEmail"] == "ada@example.test" and set(sent["password"]) == {"*"}
    assert google.users == {}
