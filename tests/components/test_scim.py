"""Outgoing sync by SCIM: against a server that does what a test says, and against servers of others."""

import email.utils
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
from datetime import datetime
from pathlib import Path

import pytest
import requests
from conftest import PASSWORD, TOKEN, free_port, wait_for
from scim_target import ScimTarget
from services import Service

FULL = "sync_full"


@pytest.fixture
def server(start_server):
    return start_server()


@pytest.fixture
def target():
    made = ScimTarget()
    yield made
    made.close()


def mappings(server, kind="scim"):
    found = server.api("GET", f"/propertymappings/provider/{kind}/")["results"]
    by_managed = {mapping["managed"]: mapping["pk"] for mapping in found}
    prefix = f"goauthentik.io/providers/{kind}/"
    return {
        "property_mappings": [by_managed[prefix + "user"]],
        "property_mappings_group": [by_managed[prefix + "group"]],
    }


def provider(server, url, name="target", application=True, **fields):
    """A provider with its application; the full sync of the saving has ended."""
    body = {"name": name, "url": url, "token": "scim-token"} | mappings(server) | fields
    made = server.api("POST", "/providers/scim/", body)
    if application:
        assign(server, name, made["pk"])
    wait_idle(server, made["pk"])
    return made


def assign(server, slug, *providers):
    return server.api("POST", "/core/applications/", {"name": slug, "slug": slug, "backchannel_providers": providers})


def tasks(server, pk, actor=FULL):
    return server.api("GET", f"/tasks/tasks/?actor_name={actor}&rel_obj_id={pk}&ordering=-created&page_size=100")["results"]


def wait_idle(server, pk, actor=FULL):
    """The tasks of a provider, once none is on its way."""

    def ended():
        found = tasks(server, pk, actor)
        return found if found and all(task["state"] in ("done", "rejected") for task in found) else None

    return wait_for("the end of the tasks", ended, 60)


def full(server, made, kind="scim"):
    """Runs a full sync by saving the provider; its log."""
    server.api("PATCH", f"/providers/{kind}/{made['pk']}/", {"name": made["name"]})
    newest = wait_idle(server, made["pk"])[0]
    return [line["event"] for line in newest["logs"]]


def states(server, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    return server.api("GET", f"/weir/sync/states/?{text}")["results"]


def state(server, made, user, model="user"):
    found = states(server, provider=made["pk"], model=model, object=user["pk"])
    return found[0] if found else None


def status(server, made):
    """How a target stands as a whole."""
    return next(t for t in server.api("GET", "/weir/sync/targets/")["results"] if t["provider"] == made["pk"])


def settled(server, made, user, wanted, seconds=60, model="user"):
    def check():
        found = state(server, made, user, model)
        return found if found and found["state"] == wanted else None

    return wait_for(f"{user} {wanted}", check, seconds)


def group(server, name, *users):
    return server.api("POST", "/core/groups/", {"name": name, "users": [user["pk"] for user in users]})


# Users.


def test_a_user_is_created_changed_locked_and_removed_there_as_here(server, target):
    made = provider(server, f"{target.url}/v2/")
    user = server.user("ada", name="Ada King Lovelace", email="ada@example.test")
    wait_for("the user there", lambda: "ada" in target.users())
    there = target.users()["ada"]
    assert there["schemas"][0] == "urn:ietf:params:scim:schemas:core:2.0:User"
    assert there["name"] == {"formatted": "Ada King Lovelace", "givenName": "Ada", "familyName": "King Lovelace"}
    assert there["emails"] == [{"value": "ada@example.test", "type": "other", "primary": True}]
    assert there["externalId"] == user["uid"] and there["active"] is True
    settled(server, made, user, "in_sync")
    connection = server.api("GET", f"/providers/scim_users/?provider__id={made['pk']}&user__id={user['pk']}")["results"][0]
    assert connection["scim_id"] == there["id"] and connection["user_obj"]["username"] == "ada"
    assert connection["attributes"]["userName"] == "ada"

    server.api("PATCH", f"/core/users/{user['pk']}/", {"name": "Ada"})
    wait_for("the new name there", lambda: target.users()["ada"]["displayName"] == "Ada")
    server.api("PATCH", f"/core/users/{user['pk']}/", {"is_active": False})
    wait_for("the lock there", lambda: target.users()["ada"]["active"] is False)
    server.api("DELETE", f"/core/users/{user['pk']}/")
    wait_for("the end there", lambda: "ada" not in target.users())
    wait_for("nothing to be remembered", lambda: state(server, made, user) is None)


def test_what_did_not_change_is_not_sent_again(server, target):
    made = provider(server, f"{target.url}/v2")
    user = server.user("same")
    settled(server, made, user, "in_sync")
    before = len(target.calls("PUT"))
    log = full(server, made)
    server.api("PATCH", f"/core/users/{user['pk']}/", {"attributes": {"nobody": "maps this"}})
    settled(server, made, user, "in_sync")
    assert len(target.calls("PUT")) == before
    assert any("Page delivered" in line for line in log)
    body = {"sync_object_model": "authentik.core.models.User", "sync_object_id": str(user["pk"])}
    messages = server.api("POST", f"/providers/scim/{made['pk']}/sync/object/", body)["messages"]
    assert ["Nothing to tell" in message["event"] for message in messages] == [True]


def test_ten_changes_in_a_row_end_with_the_last(server, target):
    made = provider(server, f"{target.url}/v2")
    user = server.user("busy")
    for number in range(10):
        server.api("PATCH", f"/core/users/{user['pk']}/", {"name": f"Name {number}"})
    wait_for("the last name", lambda: target.users().get("busy", {}).get("displayName") == "Name 9")
    settled(server, made, user, "in_sync")
    assert target.users()["busy"]["displayName"] == "Name 9"


def test_only_who_may_use_the_application_is_known_there(server, target):
    inside = server.user("inside")
    server.user("outside")
    members = group(server, "may", inside)
    made = provider(server, f"{target.url}/v2", application=False)
    app = assign(server, "app", made["pk"])
    binding = {"target": app["pk"], "group": members["pk"], "order": 0}
    server.api("POST", "/policies/bindings/", binding)
    full(server, made)
    assert set(target.users()) == {"inside"}
    # Whoever leaves the group loses the application, and is removed there.
    server.api("POST", f"/core/groups/{members['pk']}/remove_user/", {"pk": inside["pk"]})
    wait_for("the end there", lambda: target.users() == {})
    server.api("POST", f"/core/groups/{members['pk']}/add_user/", {"pk": inside["pk"]})
    wait_for("the user there again", lambda: "inside" in target.users())


def test_without_an_application_a_sync_says_so_and_sends_nothing(server, target):
    made = provider(server, f"{target.url}/v2", application=False)
    server.user("nobody")
    log = full(server, made)
    assert log == ["No provider found. Is it assigned to an application?"]
    assert target.asked == []


def test_accounts_of_programs_can_be_left_out(server, target):
    made = provider(server, f"{target.url}/v2")
    server.api("POST", "/core/users/service_account/", {"name": "robot"})
    wait_for("the account there", lambda: "robot" in target.users())
    server.api("PATCH", f"/providers/scim/{made['pk']}/", {"exclude_users_service_account": True})
    wait_for("the end there", lambda: "robot" not in target.users())


def test_a_user_whom_the_target_has_already_is_adopted_by_name(server, target):
    made = provider(server, f"{target.url}/v2", discovery_enabled=False)
    key = target.add("Users", {"userName": "Grace", "emails": []})
    user = server.user("grace", name="Grace Hopper")
    settled(server, made, user, "in_sync")
    assert target.users()["grace"]["id"] == key and target.users()["grace"]["displayName"] == "Grace Hopper"


def test_a_conflict_without_filters_is_a_failure_with_its_reason(server):
    target = ScimTarget(filter=False)
    made = provider(server, f"{target.url}/v2", discovery_enabled=False)
    target.add("Users", {"userName": "grace", "emails": []})
    user = server.user("grace")
    failed = settled(server, made, user, "failed")
    assert "409" in failed["reason"] and "grace is taken" in failed["reason"]
    target.close()


def test_discovery_finds_users_by_name_and_by_address(server, target):
    by_name = target.add("Users", {"userName": "ADA", "emails": []})
    by_address = target.add("Users", {"userName": "x1", "emails": [{"value": "Grace@Example.test"}]})
    target.add("Users", {"userName": "stranger", "emails": []})
    for number in range(30):
        target.add("Users", {"userName": f"other-{number}", "emails": []})
    server.user("ada")
    server.user("grace", email="grace@example.test")
    made = provider(server, f"{target.url}/v2", sync_page_size=7, application=False)
    assign(server, "app", made["pk"])
    full(server, made)
    users = target.users()
    assert users["ada"]["id"] == by_name and users["grace"]["id"] == by_address
    assert "stranger" in users, "what nobody here knows stays"


def test_somebody_whom_the_target_lost_is_made_anew(server, target):
    made = provider(server, f"{target.url}/v2")
    user = server.user("lost")
    settled(server, made, user, "in_sync")
    with target.lock:
        target.resources["Users"].clear()
    server.api("PATCH", f"/core/users/{user['pk']}/", {"name": "Found"})
    wait_for("the user there", lambda: target.users().get("lost", {}).get("displayName") == "Found")


# Groups.


def test_groups_and_their_members_follow(server, target):
    made = provider(server, f"{target.url}/v2")
    ada, bob = server.user("ada"), server.user("bob")
    staff = group(server, "staff", ada)
    wait_for("the group there", lambda: target.members("staff") == ["ada"])
    assert target.groups()["staff"]["externalId"] == staff["pk"]
    server.api("POST", f"/core/groups/{staff['pk']}/add_user/", {"pk": bob["pk"]})
    wait_for("both there", lambda: target.members("staff") == ["ada", "bob"])
    server.api("POST", f"/core/groups/{staff['pk']}/remove_user/", {"pk": ada["pk"]})
    wait_for("one there", lambda: target.members("staff") == ["bob"])
    server.api("PATCH", f"/core/groups/{staff['pk']}/", {"name": "crew"})
    wait_for("the new name", lambda: target.members("crew") == ["bob"])
    settled(server, made, staff, "in_sync", model="group")
    server.api("DELETE", f"/core/groups/{staff['pk']}/")
    wait_for("the end there", lambda: target.groups() == {} or "crew" not in target.groups())


def test_a_group_that_the_target_lost_is_made_anew_when_its_members_change(server, target):
    made = provider(server, f"{target.url}/v2")
    ada, bob = server.user("ada"), server.user("bob")
    staff = group(server, "staff", ada)
    settled(server, made, staff, "in_sync", model="group")
    settled(server, made, bob, "in_sync")
    with target.lock:
        target.resources["Groups"].clear()
    server.api("POST", f"/core/groups/{staff['pk']}/add_user/", {"pk": bob["pk"]})
    wait_for("both there", lambda: target.members("staff") == ["ada", "bob"])
    settled(server, made, staff, "in_sync", model="group")


def test_a_server_without_patch_gets_groups_whole(server):
    target = ScimTarget(patch=False)
    made = provider(server, f"{target.url}/v2")
    ada, bob = server.user("ada"), server.user("bob")
    staff = group(server, "staff", ada, bob)
    wait_for("the members there", lambda: target.members("staff") == ["ada", "bob"])
    server.api("POST", f"/core/groups/{staff['pk']}/remove_user/", {"pk": ada["pk"]})
    wait_for("one there", lambda: target.members("staff") == ["bob"])
    assert target.calls("PATCH") == []
    full(server, made)
    assert target.members("staff") == ["bob"]
    target.close()


def test_changes_of_many_members_are_cut_as_the_server_wants(server):
    target = ScimTarget(operations=5)
    provider(server, f"{target.url}/v2")
    users = [server.user(f"user-{number}") for number in range(13)]
    wait_for("the users there", lambda: len(target.users()) >= 13)
    group(server, "many", *users)
    wait_for("the members there", lambda: len(target.members("many")) == 13)
    sizes = [len(call.json["Operations"]) for call in target.calls("PATCH", "Groups")]
    assert max(sizes) <= 5
    target.close()


def test_only_the_groups_of_the_filter_are_told(server, target):
    ada = server.user("ada")
    told = group(server, "told", ada)
    group(server, "secret", ada)
    made = provider(server, f"{target.url}/v2", group_filters=[told["pk"]])
    assert set(target.groups()) == {"told"}
    server.api("PATCH", f"/providers/scim/{made['pk']}/", {"group_filters": []})
    wait_for("all groups there", lambda: "secret" in target.groups())
    server.api("PATCH", f"/providers/scim/{made['pk']}/", {"group_filters": [told["pk"]]})
    wait_for("one group there", lambda: set(target.groups()) == {"told"})


# Compatibility.


def test_aws_is_told_of_a_group_attribute_by_attribute(server, target):
    provider(server, f"{target.url}/v2", compatibility_mode="aws")
    staff = group(server, "staff")
    wait_for("the group there", lambda: "staff" in target.groups())
    server.api("PATCH", f"/core/groups/{staff['pk']}/", {"name": "crew"})
    wait_for("the new name", lambda: "crew" in target.groups())
    operations = target.calls("PATCH", "Groups")[-1].json["Operations"]
    assert [operation["path"] for operation in operations] == ["displayName", "externalId"]


def test_salesforce_is_asked_elsewhere_and_vcenter_not_at_all(server, target):
    provider(server, f"{target.url}/v2", name="force", compatibility_mode="sfdc")
    assert [call.path for call in target.calls(part="ServiceProviderConfig")] == ["/v2/ServiceProviderConfigs"] or all(
        call.path == "/v2/ServiceProviderConfigs" for call in target.calls(part="ServiceProviderConfig")
    )
    before = len(target.calls(part="ServiceProviderConfig"))
    assert before > 0
    provider(server, f"{target.url}/v2", name="centre", compatibility_mode="vcenter")
    assert all(call.path != "/v2/ServiceProviderConfig" for call in target.calls(part="ServiceProviderConfig"))


def test_slack_finds_people_although_it_does_not_say_so(server):
    target = ScimTarget(filter=False)
    made = provider(server, f"{target.url}/v2", discovery_enabled=False, compatibility_mode="slack")
    key = target.add("Users", {"userName": "grace", "emails": []})
    user = server.user("grace")
    settled(server, made, user, "in_sync")
    assert target.users()["grace"]["id"] == key
    target.close()


def test_what_a_server_can_do_is_asked_once_an_hour_or_each_time(server, target):
    made = provider(server, f"{target.url}/v2")
    before = len(target.calls(part="ServiceProviderConfig"))
    for number in range(3):
        user = server.user(f"user-{number}")
        settled(server, made, user, "in_sync")
    assert len(target.calls(part="ServiceProviderConfig")) == before
    server.api("PATCH", f"/providers/scim/{made['pk']}/", {"service_provider_config_cache_timeout": "minutes=0"})
    wait_idle(server, made["pk"])
    before = len(target.calls(part="ServiceProviderConfig"))
    settled(server, made, server.user("another"), "in_sync")
    assert len(target.calls(part="ServiceProviderConfig")) > before


# Trouble.


def test_a_refusal_stops_at_its_object_and_can_be_replayed(server, target):
    refused = lambda a: (400, {"detail": "bad name"}) if a.method == "POST" and b'"bad"' in a.body else None
    target.rules.append(refused)
    made = provider(server, f"{target.url}/v2")
    bad, good = server.user("bad"), server.user("good")
    settled(server, made, good, "in_sync")
    failed = settled(server, made, bad, "failed")
    assert "bad name" in failed["reason"]
    target.rules.clear()
    assert server.api("POST", "/weir/sync/replay/", {"provider": made["pk"]})["replayed"] == 1
    settled(server, made, bad, "in_sync")


@pytest.mark.parametrize("wanted", ["seconds", "a time"])
def test_too_many_requests_are_waited_for_as_long_as_the_server_wants(server, target, wanted):
    made = provider(server, f"{target.url}/v2")
    wait = "100" if wanted == "seconds" else email.utils.formatdate(time.time() + 100, usegmt=True)
    target.rules.append(lambda a: (429, {"detail": "slow down"}, {"Retry-After": wait}) if a.method == "POST" else None)
    user = server.user("patient")
    known = wait_for("the wait", lambda: status(server, made)["blocked_until"] and status(server, made))
    assert known["failures"] >= 1 and "slow down" in known["last_error"]
    assert datetime.fromisoformat(known["blocked_until"]).timestamp() > time.time() + 40
    waiting = state(server, made, user)
    assert waiting["state"] == "pending" and "429" in waiting["reason"]
    calls = len(target.calls("POST", "Users"))
    server.user("later")
    time.sleep(2)
    assert len(target.calls("POST", "Users")) == calls, "nobody asks before the time is over"
    target.rules.clear()
    server.api("POST", "/weir/sync/replay/", {"provider": made["pk"], "state": "pending"})
    settled(server, made, user, "in_sync")


@pytest.mark.parametrize("trouble", [503, "hang up", "garbage"])
def test_a_target_in_trouble_delays_no_other_and_catches_up(server, target, trouble):
    good = ScimTarget()
    sick, well = provider(server, f"{target.url}/v2", name="sick"), provider(server, f"{good.url}/v2", name="well")
    target.trouble = trouble
    user = server.user("both")
    settled(server, well, user, "in_sync")
    assert wait_for("a reason", lambda: (state(server, sick, user) or {}).get("reason"))
    assert state(server, sick, user)["state"] == "pending"
    target.trouble = None
    server.api("POST", "/weir/sync/replay/", {"provider": sick["pk"], "state": "pending"})
    settled(server, sick, user, "in_sync")
    good.close()


def test_a_server_that_dies_in_the_middle_gets_the_rest_later_and_nobody_twice(server, target):
    made = provider(server, f"{target.url}/v2", application=False)
    for number in range(25):
        server.user(f"user-{number:02}")
    dies = lambda a: (503, "<html>restarting</html>") if len(target.resources["Users"]) >= 10 else None
    target.rules.append(lambda a: dies(a) if a.method == "POST" else None)
    assign(server, "app", made["pk"])
    log = full(server, made)
    assert any("ended early" in line for line in log)
    assert len(target.users()) >= 10
    target.rules.clear()
    server.api("POST", "/weir/sync/replay/", {"provider": made["pk"], "state": "pending"})
    wait_for("everybody there", lambda: len(target.users()) >= 25)
    names = [user["userName"] for user in target.resources["Users"].values()]
    assert len(names) == len(set(names))


def test_a_wrong_token_is_a_configuration_error(server, target):
    provider(server, f"{target.url}/v2", token="t0ken-nobody-gave")
    server.user("anybody")
    wait_for("the event", lambda: server.events("configuration_error"))
    event = server.events("configuration_error")[0]
    assert "401" in event["context"]["message"]
    assert "t0ken-nobody-gave" not in server.log_text()


def test_a_mapping_that_fails_stops_the_sync_and_says_so(server, target):
    mapping = {"name": "broken", "expression": "return user.nothing_like_it"}
    mapping = server.api("POST", "/propertymappings/provider/scim/", mapping)
    made = provider(server, f"{target.url}/v2", property_mappings=[mapping["pk"]])
    assert server.events("property_mapping_exception") and server.events("configuration_error")
    assert target.users() == {}
    server.api("PATCH", f"/propertymappings/provider/scim/{mapping['pk']}/", {"expression": "raise SkipObject()"})
    server.api("POST", "/weir/sync/replay/", {"provider": made["pk"]})
    user = server.user("skipped")
    settled(server, made, user, "skipped")


def test_a_mapping_that_fails_at_one_user_stops_neither_the_others_nor_the_full_sync(server, target):
    users = [server.user(f"user-{number}") for number in range(5)]
    expression = "if user.username == 'user-3':\n    return 1 / 0\nreturn {'userName': user.username}"
    mapping = server.api("POST", "/propertymappings/provider/scim/", {"name": "half", "expression": expression})
    made = provider(server, f"{target.url}/v2", property_mappings=[mapping["pk"]])
    failed = settled(server, made, users[3], "failed")
    assert "division by zero" in failed["reason"]
    for user in users[:3] + users[4:]:
        settled(server, made, user, "in_sync")
    assert server.events("property_mapping_exception") and server.events("configuration_error")
    shown = server.api("GET", f"/providers/scim/{made['pk']}/sync/status/")
    assert shown["last_successful_sync"] and shown["last_sync_status"] == "warning"
    assert status(server, made)["blocked_until"] is None and status(server, made)["failures"] == 0


def test_a_dry_run_changes_nothing_there_and_says_what_it_would_do(server, target):
    made = provider(server, f"{target.url}/v2", dry_run=True)
    user = server.user("dry")
    settled(server, made, user, "skipped")
    assert target.users() == {}
    body = {"sync_object_model": "authentik.core.models.User", "sync_object_id": str(user["pk"])}
    messages = server.api("POST", f"/providers/scim/{made['pk']}/sync/object/", body)["messages"]
    dropped = [m for m in messages if m["event"] == "Dropping mutating request due to dry run"]
    assert dropped and dropped[0]["attributes"]["method"] == "POST"
    assert target.users() == {}
    messages = server.api("POST", f"/providers/scim/{made['pk']}/sync/object/", body | {"override_dry_run": True})
    assert "dry" in target.users(), messages


def test_the_status_of_a_sync_is_told(server, target):
    made = provider(server, f"{target.url}/v2")
    log = full(server, made)
    assert log
    status = server.api("GET", f"/providers/scim/{made['pk']}/sync/status/")
    assert status["is_running"] is False and status["last_successful_sync"]
    assert status["last_sync_status"] in ("info", "done", "warning")
    schedules = server.api("GET", f"/tasks/schedules/?actor_name={FULL}&rel_obj_id={made['pk']}")["results"]
    assert len(schedules) == 1 and schedules[0]["crontab"].endswith(" */4 * * *")
    server.api("DELETE", f"/providers/scim/{made['pk']}/")
    assert server.api("GET", f"/tasks/schedules/?actor_name={FULL}&rel_obj_id={made['pk']}")["results"] == []
    assert server.api("GET", f"/providers/scim_users/?provider__id={made['pk']}")["results"] == []


def test_a_connection_made_by_hand_is_brought_in_line(server, target):
    made = provider(server, f"{target.url}/v2", discovery_enabled=False)
    user = server.user("by-hand", name="By Hand")
    settled(server, made, user, "in_sync")
    other = target.add("Users", {"userName": "their-name", "emails": []})
    connection = server.api("GET", f"/providers/scim_users/?user__username=by-hand")["results"][0]
    server.api("DELETE", f"/providers/scim_users/{connection['id']}/")
    body = {"provider": made["pk"], "user": user["pk"], "scim_id": other}
    server.api("POST", "/providers/scim_users/", body)
    wait_for("the name there", lambda: target.resources["Users"][other]["displayName"] == "By Hand" if "displayName" in target.resources["Users"][other] else False)
    server.api("POST", "/providers/scim_users/", body, expect=400)


def connect(server, made, user, scim_id):
    body = {"provider": made["pk"], "user": user["pk"], "scim_id": scim_id}
    return server.api("POST", "/providers/scim_users/", body)


def named(target, account):
    with target.lock:
        return target.resources["Users"][account].get("displayName")


def active(target, account):
    with target.lock:
        return target.resources["Users"][account].get("active", True)


def in_group(target, name):
    return [member["value"] for member in target.groups()[name].get("members", [])]


def test_of_several_accounts_the_newest_by_hand_is_told_and_all_go_with_the_user(server, target):
    made = provider(server, f"{target.url}/v2", discovery_enabled=False)
    user = server.user("twice", name="Twice")
    staff = group(server, "staff", user)
    settled(server, made, user, "in_sync")
    settled(server, made, staff, "in_sync", model="group")
    [first] = in_group(target, "staff")
    second = target.add("Users", {"userName": "their-name", "emails": []})
    by_hand = connect(server, made, user, second)
    wait_for("the name there", lambda: named(target, second) == "Twice")
    wait_for("the group there", lambda: in_group(target, "staff") == [second])
    server.api("PATCH", f"/core/users/{user['pk']}/", {"name": "Thrice"})
    wait_for("the new name there", lambda: named(target, second) == "Thrice")
    assert named(target, first) == "Twice"
    # The other one is in use again.
    server.api("DELETE", f"/providers/scim_users/{by_hand['id']}/")
    wait_for("the new name at the first", lambda: named(target, first) == "Thrice")
    wait_for("the first in the group", lambda: first in in_group(target, "staff"))
    connect(server, made, user, second)
    settled(server, made, user, "in_sync")
    full(server, made)
    assert len(server.api("GET", "/providers/scim_users/?user__username=twice")["results"]) == 2
    server.api("PATCH", f"/core/users/{user['pk']}/", {"is_active": False})
    wait_for("both closed", lambda: not active(target, first) and not active(target, second))
    assert target.resources["Users"][first]["userName"] == "twice", "nothing else of it changes"
    server.api("PATCH", f"/core/users/{user['pk']}/", {"is_active": True})
    wait_for("the one in use open again", lambda: active(target, second))
    assert not active(target, first)
    server.api("DELETE", f"/core/users/{user['pk']}/")
    wait_for("both gone", lambda: not {first, second} & set(target.resources["Users"]))
    assert server.api("GET", "/providers/scim_users/?user__username=twice")["results"] == []


def test_an_account_that_is_connected_during_a_delivery_is_the_one_in_use(server, target):
    made = provider(server, f"{target.url}/v2", discovery_enabled=False)
    theirs = target.add("Users", {"userName": "their-name", "emails": []})
    begun, go = threading.Event(), threading.Event()

    def slow(asked):
        if asked.method == "POST" and not begun.is_set():
            begun.set()
            assert go.wait(20)

    target.rules.append(slow)
    user = server.user("ada", name="Ada")
    assert begun.wait(60)
    connect(server, made, user, theirs)
    go.set()
    wait_for("the name there", lambda: named(target, theirs) == "Ada")
    settled(server, made, user, "in_sync")
    known = server.api("GET", "/providers/scim_users/?user__username=ada")["results"]
    assert {row["scim_id"] for row in known} == set(target.resources["Users"]) - {
        key for key, there in target.resources["Users"].items() if there["userName"] == "akadmin"
    }
    assert len(known) == 2, "what was made there is not forgotten"
    server.api("PATCH", f"/core/users/{user['pk']}/", {"name": "Ada King"})
    wait_for("the new name there", lambda: named(target, theirs) == "Ada King")
    server.api("DELETE", f"/core/users/{user['pk']}/")
    wait_for("both gone", lambda: not {row["scim_id"] for row in known} & set(target.resources["Users"]))


def test_of_fifty_who_connect_one_account_one_does(server, target):
    made = provider(server, f"{target.url}/v2", application=False)
    users = [server.user(f"user-{number:02}") for number in range(10)]
    theirs = target.add("Users", {"userName": "their-name", "emails": []})
    answers = []

    def claim(number):
        body = {"provider": made["pk"], "user": users[number % 10]["pk"], "scim_id": theirs}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answers.append(requests.post(f"{server.url}/api/v3/providers/scim_users/", json=body, headers=headers))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] + [400] * 49, [a.text for a in answers if a.status_code not in (201, 400)][:3]
    assert len(server.api("GET", "/providers/scim_users/?page_size=100")["results"]) == 1


def test_a_late_answer_says_nothing_about_a_target_that_was_replayed(server, target):
    made = provider(server, f"{target.url}/v2")
    begun, go = threading.Event(), threading.Event()

    def late(asked):
        if asked.method == "POST" and not begun.is_set():
            begun.set()
            assert go.wait(20)
            return 503, {"detail": "too late"}

    target.rules.append(late)
    user = server.user("ada")
    assert begun.wait(60)
    server.api("POST", "/weir/sync/replay/", {"provider": made["pk"], "object": str(user["pk"])})
    go.set()
    settled(server, made, user, "in_sync")

    def said():
        return [line["event"] for task in tasks(server, made["pk"], "sync_deliver") for line in task["logs"]]

    wait_for("the log of the late answer", lambda: any("too late" in line for line in said()))
    assert not any("left alone for a while" in line for line in said()), said()


# Servers of others.


@pytest.fixture
def scim2_server(tmp_path):
    port = free_port()
    program = shutil.which("scim2-server", path=str(Path(sys.executable).parent))
    log = (tmp_path / "scim2.log").open("wb")
    process = subprocess.Popen(
        [program, "--port", str(port), "--bearer-token", "scim-token"], stdout=log, stderr=log, cwd=tmp_path
    )
    url = f"http://127.0.0.1:{port}"
    headers = {"Authorization": "Bearer scim-token"}

    def get(path):
        return requests.get(f"{url}{path}", headers=headers, timeout=5)

    def answers():
        try:
            return get("/v2/ServiceProviderConfig").status_code < 500
        except requests.RequestException:
            return False

    wait_for("scim2-server", answers)
    base = "/v2" if get("/v2/ServiceProviderConfig").ok else ""
    yield url + base, lambda path: get(base + path).json()
    process.terminate()
    process.wait(10)
    log.close()


def test_scim2_server_holds_the_users_and_groups_of_here(server, scim2_server):
    walk(server, *scim2_server)


def walk(server, url, get):
    """The life of a user and a group at a server of somebody else."""

    def users():
        return {user["userName"]: user for user in get("/Users").get("Resources", [])}

    def groups():
        return {found["displayName"]: found for found in get("/Groups").get("Resources", [])}

    def members(name):
        names = {user["id"]: user["userName"] for user in users().values()}
        listed = groups().get(name, {}).get("members") or []
        return sorted(names[member["value"]] for member in listed)

    made = provider(server, url)
    ada = server.user("ada", name="Ada Lovelace", email="ada@example.test")
    bob = server.user("bob", name="Bob", email="bob@example.test")
    settled(server, made, ada, "in_sync")
    settled(server, made, bob, "in_sync")
    assert users()["ada"]["name"]["familyName"] == "Lovelace" and users()["ada"]["active"] is True
    server.api("PATCH", f"/core/users/{ada['pk']}/", {"name": "Ada King", "is_active": False})
    wait_for("the change there", lambda: users()["ada"]["active"] is False)
    assert users()["ada"]["name"]["familyName"] == "King"

    staff = group(server, "staff", ada, bob)
    wait_for("the members there", lambda: members("staff") == ["ada", "bob"])
    server.api("POST", f"/core/groups/{staff['pk']}/remove_user/", {"pk": ada["pk"]})
    wait_for("one there", lambda: members("staff") == ["bob"])
    server.api("PATCH", f"/core/groups/{staff['pk']}/", {"name": "crew"})
    wait_for("the new name", lambda: members("crew") == ["bob"])

    full(server, made)
    assert members("crew") == ["bob"]
    assert states(server, provider=made["pk"], state="failed") == []
    server.api("DELETE", f"/core/groups/{staff['pk']}/")
    server.api("DELETE", f"/core/users/{bob['pk']}/")
    wait_for("the end there", lambda: "bob" not in users() and "crew" not in groups())


@pytest.fixture
def django_scim2(tmp_path):
    port = free_port()
    program = Path(__file__).with_name("scim_django.py")
    log = (tmp_path / "django.log").open("wb")
    process = subprocess.Popen([sys.executable, str(program), str(port), str(tmp_path)], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/scim/v2"
    headers = {"Authorization": "Bearer scim-token"}

    def get(path):
        return requests.get(f"{url}{path}", headers=headers, timeout=5).json()

    def answers():
        try:
            return get("/ServiceProviderConfig")
        except requests.RequestException:
            return None

    wait_for("django-scim2", answers, 60)
    yield url, get
    process.terminate()
    process.wait(10)
    log.close()


def test_django_scim2_holds_the_users_of_here_and_what_it_cannot_do_is_told(server, django_scim2):
    url, get = django_scim2

    def users():
        return {user["userName"]: user for user in get("/Users").get("Resources", [])}

    def members(name):
        found = {g["displayName"]: g for g in get("/Groups").get("Resources", [])}
        names = {user["id"]: user["userName"] for user in users().values()}
        return sorted(names[member["value"]] for member in found.get(name, {}).get("members", []))

    made = provider(server, url)
    ada = server.user("ada", name="Ada Lovelace", email="ada@example.test")
    bob = server.user("bob", name="Bob Builder", email="bob@example.test")
    settled(server, made, ada, "in_sync")
    settled(server, made, bob, "in_sync")
    assert users()["ada"]["name"]["familyName"] == "Lovelace"
    server.api("PATCH", f"/core/users/{ada['pk']}/", {"name": "Ada King", "is_active": False})
    wait_for("the change there", lambda: users()["ada"]["active"] is False)
    staff = group(server, "staff", ada, bob)
    wait_for("the members there", lambda: members("staff") == ["ada", "bob"])
    settled(server, made, staff, "in_sync", model="group")
    # This server announces PATCH and does not know how to change a group's name with it.
    server.api("PATCH", f"/core/groups/{staff['pk']}/", {"name": "crew"})
    assert "501" in settled(server, made, staff, "failed", model="group")["reason"]
    server.api("DELETE", f"/core/users/{bob['pk']}/")
    wait_for("the end there", lambda: "bob" not in users())


# Lockdown, tokens, enrolment.


def test_a_lockdown_tells_every_target_at_once_and_says_how_far_each_got(server, target):
    slow = ScimTarget()
    good, bad = provider(server, f"{target.url}/v2", name="good"), provider(server, f"{slow.url}/v2", name="bad")
    user = server.user("compromised")
    settled(server, good, user, "in_sync")
    settled(server, bad, user, "in_sync")
    slow.trouble = 503
    body = {"users": [user["pk"]], "reason": "stolen"}
    server.api("POST", "/weir/lockdowns/", body)

    def records():
        found = server.api("GET", f"/weir/lockdowns/?user={user['pk']}")["results"]
        return found or None

    listed = wait_for("the record", records)[0]
    key = listed.get("id") or listed["record"]["id"]

    def complete():
        record = server.api("GET", f"/weir/lockdowns/{key}/")["record"]
        return record if record.get("sync") else None

    record = wait_for("the complete record", complete)
    far = {entry["name"]: entry for entry in record["sync"]}
    assert far["good"]["state"] == "delivered" and target.users()["compromised"]["active"] is False
    assert far["bad"]["state"] == "pending" and "503" in far["bad"]["reason"]
    assert far["good"]["kind"] == "authentik_providers_scim.scimprovider"
    slow.trouble = None
    server.api("POST", "/weir/sync/replay/", {"provider": bad["pk"], "state": "pending"})
    wait_for("the lock at the other", lambda: slow.users()["compromised"]["active"] is False)
    slow.close()


class TokenServer(Service):
    """A token end point: client credentials, codes, renewals."""

    def __init__(self):
        self.forms = []
        super().__init__()

    def answer(self, asked):
        self.forms.append(asked.form | {"header": asked.headers.get("Authorization")})
        return 200, {"access_token": f"token-{len(self.forms)}", "refresh_token": "again", "expires_in": 3600}


def oauth_source(server, tokens):
    return server.api(
        "POST",
        "/sources/oauth/",
        {
            "name": "tokens", "slug": "tokens", "provider_type": "openidconnect", "consumer_key": "client-1",
            "consumer_secret": "s3cret", "authorization_url": f"{tokens.url}/authorize",
            "access_token_url": f"{tokens.url}/token", "profile_url": f"{tokens.url}/me",
        },
    )


def test_tokens_of_an_oauth_source_are_asked_for_and_kept(server, target):
    tokens = TokenServer()
    source = oauth_source(server, tokens)
    target.token = "token-1"
    made = provider(
        server, f"{target.url}/v2", token="", auth_mode="oauth", auth_oauth=source["pk"],
        auth_oauth_params={"scope": "scim", "audience": "app"},
    )
    settled(server, made, server.user("one"), "in_sync")
    settled(server, made, server.user("two"), "in_sync")
    assert len(tokens.forms) == 1, "a token is kept for its life"
    form = tokens.forms[0]
    assert (form["grant_type"], form["scope"], form["audience"]) == ("client_credentials", "scim", "app")
    assert form["header"].startswith("Basic ")
    shown = server.api("GET", f"/providers/scim/{made['pk']}/")
    assert shown["auth_oauth_token_expires"] and shown["auth_oauth_token_last_updated"]
    assert shown["auth_oauth_url_start"] is None
    # A token that is refused is not tried twice.
    target.token = "token-2"
    server.user("three")
    wait_for("the event", lambda: server.events("configuration_error"))
    server.api("POST", "/weir/sync/replay/", {"provider": made["pk"]})
    server.api("POST", "/weir/sync/replay/", {"provider": made["pk"], "state": "pending"})
    wait_for("the user there", lambda: "three" in target.users())
    assert "s3cret" not in server.log_text() and "token-1" not in server.log_text()
    tokens.close()


def test_an_administrator_allows_the_calls_once_and_tokens_renew_themselves(server, target):
    tokens = TokenServer()
    source = oauth_source(server, tokens)
    made = provider(server, f"{target.url}/v2", token="", auth_mode="oauth_interactive", auth_oauth=source["pk"])
    server.user("waiting")
    wait_for("the event", lambda: server.events("configuration_error"))
    shown = server.api("GET", f"/providers/scim/{made['pk']}/")
    assert shown["auth_oauth_token_expires"] is None
    start = shown["auth_oauth_url_start"]
    assert requests.get(start, allow_redirects=False).status_code == 404, "nobody else may"

    browser = server.browser()
    challenge = browser.get("default-authentication-flow")
    challenge = browser.post("default-authentication-flow", {"uid_field": "akadmin"})
    if challenge["component"] == "ak-stage-password":
        browser.post("default-authentication-flow", {"password": PASSWORD})
    assert browser.me()["username"] == "akadmin"
    away = browser.http.get(start, allow_redirects=False)
    assert away.status_code == 302 and away.headers["Location"].startswith(f"{tokens.url}/authorize")
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(away.headers["Location"]).query))
    assert query["redirect_uri"] == shown["auth_oauth_url_callback"] and query["client_id"] == "client-1"
    target.token = "token-1"
    back = f"{shown['auth_oauth_url_callback']}?code=c0de&state={query['state']}"
    assert requests.get(back, allow_redirects=False).status_code == 404, "another browser gets nothing"
    assert browser.http.get(back).status_code == 200
    assert browser.http.get(back).status_code == 403, "a state is good once"
    assert tokens.forms[0]["grant_type"] == "authorization_code" and tokens.forms[0]["code"] == "c0de"
    wait_for("the user there", lambda: "waiting" in target.users())
    # Saved anew for the same target the token stays; refused, it is renewed.
    target.token = "token-2"
    before = len(server.events("configuration_error"))
    server.user("later")
    wait_for("the refusal", lambda: len(server.events("configuration_error")) > before)
    server.api("POST", "/weir/sync/replay/", {"provider": made["pk"], "state": "pending"})
    wait_for("the next user", lambda: "later" in target.users())
    assert tokens.forms[1]["grant_type"] == "refresh_token" and tokens.forms[1]["refresh_token"] == "again"
    tokens.close()
