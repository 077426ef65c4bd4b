"""The connector to Fleet: a local server with Fleet's list of hosts, which pages, refuses, stalls and changes its mind."""

import json
import threading

import pytest
from conftest import wait_for
from services import Service

TOKEN = "fleet-token-of-a-test-0123456789"
CONNECTORS = "/endpoints/fleet/connectors/"


def host(number, **fields):
    """A host as Fleet describes it (REST API, "List hosts")."""
    return {
        "id": number, "uuid": f"uuid-{number}", "hostname": f"host-{number}.example", "display_name": f"Host {number}",
        "computer_name": f"Host {number}", "platform": "ubuntu", "platform_like": "debian", "os_version": "Ubuntu 24.04.1 LTS",
        "osquery_version": "5.14.1", "orbit_version": "1.39.0", "cpu_type": "x86_64", "cpu_brand": "Intel(R) Core(TM) i7",
        "cpu_physical_cores": 4, "cpu_logical_cores": 8, "memory": 16777216000, "hardware_vendor": "Dell Inc.",
        "hardware_model": "XPS 13", "hardware_version": "", "hardware_serial": f"SN-{number}", "primary_ip": "192.0.2.5",
        "primary_mac": "00:00:5e:00:53:01", "status": "online", "seen_time": "2026-01-01T00:00:00Z", "team_id": None,
        "team_name": None, "gigs_disk_space_available": 100.5, "gigs_total_disk_space": 250, "disk_encryption_enabled": True,
        "mdm": {"enrollment_status": "On (manual)", "name": "Fleet", "server_url": "https://fleet.example/mdm",
                "encryption_key_available": True},
        "issues": {"failing_policies_count": 1, "total_issues_count": 1},
    } | fields


class Fleet(Service):
    """Gives its hosts in pages to whoever has the token."""

    def __init__(self):
        self.hosts = []
        self.needs = {}
        super().__init__()

    def answer(self, asked):
        if any(asked.headers.get(name) != value for name, value in self.needs.items()):
            return 403, "a proxy in front of Fleet"
        if asked.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"message": "Authentication required", "errors": [
                {"name": "base", "reason": "Authentication required"}], "uuid": "1"}
        if (asked.method, asked.path) != ("GET", "/base/api/v1/fleet/hosts"):
            return 404, {"message": "Resource Not Found"}
        query = dict(asked.query)
        assert (query["order_key"], query["order_direction"], query["device_mapping"]) == ("id", "asc", "true")
        size = int(query["per_page"])
        begin = int(query["page"]) * size
        left_out = set() if query["populate_software"] == "true" else {"software"}
        page = sorted(self.hosts, key=lambda host: host.get("id", 0))[begin:begin + size]
        return 200, {"hosts": [{k: v for k, v in host.items() if k not in left_out} for host in page]}


@pytest.fixture
def fleet():
    service = Fleet()
    yield service
    service.close()


def connector(server, fleet, **fields):
    body = {"name": "fleet", "url": f"{fleet.url}/base/", "token": TOKEN} | fields
    return server.api("POST", CONNECTORS, body)["connector_uuid"]


def synced(server, key):
    """The newest task, once none is on its way."""

    def ended():
        found = server.api("GET", f"/tasks/tasks/?actor_name=fleet_sync&rel_obj_id={key}&ordering=-mtime")["results"]
        return found if found and all(task["state"] in ("done", "rejected") for task in found) else None

    return wait_for("the end of the sync", ended)[0]


def again(server, key):
    schedule = server.api("GET", f"/tasks/schedules/?rel_obj_id={key}")["results"][0]
    before = {task["message_id"] for task in server.api("GET", "/tasks/tasks/?actor_name=fleet_sync")["results"]}
    server.api("POST", f"/tasks/schedules/{schedule['id']}/send/")

    def sent():
        return {task["message_id"] for task in server.api("GET", "/tasks/tasks/?actor_name=fleet_sync")["results"]} - before

    wait_for("the task of the schedule", sent)
    return synced(server, key)


def devices(server):
    found, page = {}, 1
    while page:
        answer = server.api("GET", f"/endpoints/devices/?page={page}&page_size=100")
        found |= {device["name"]: device for device in answer["results"]}
        page = answer["pagination"]["next"]
    return found


def bindings(server):
    found = server.api("GET", "/endpoints/device_bindings/?page_size=100")["results"]
    return {(binding["user_obj"]["username"], binding["target"]): binding for binding in found}


def test_hosts_become_devices_with_what_fleet_knows_of_them(start_server, fleet):
    server = start_server()
    fleet.hosts = [
        host(1, software=[{"id": 9, "name": "curl", "version": "8.5", "source": "deb_packages", "installed_paths": ["/usr/bin"]}],
             users=[{"uid": 1000, "username": "ann", "type": "", "groupname": "ann", "shell": "/bin/sh"}]),
        host(2, hardware_serial="", platform="windows", os_version="Microsoft Windows 11 Pro 22H2"),
        host(3, hostname="nul\0", display_name="Nul\0Name"),
        {"hostname": "cannot be told from others"},
    ]
    key = connector(server, fleet)
    task = synced(server, key)
    assert task["aggregated_status"] == "warning", task
    found = devices(server)
    assert sorted(found) == ["Host 1", "Host 2", "NulName"]
    assert found["Host 1"]["facts"]["vendor"] == "goauthentik.io/@merged"
    facts = found["Host 1"]["facts"]["data"]
    assert facts["os"] == {"family": "linux", "name": "Ubuntu", "version": "24.04.1 LTS", "arch": "x86_64"}
    assert facts["hardware"]["serial"] == "SN-1" and facts["hardware"]["memory_bytes"] == 16777216000
    assert facts["software"] == [{"name": "curl", "version": "8.5", "source": "deb_packages", "path": "/usr/bin"}]
    assert facts["users"] == [{"id": "1000", "username": "ann"}]
    assert facts["disks"][0]["capacity_used_bytes"] == 149500000000 and facts["disks"][0]["encryption_enabled"] is True
    assert facts["vendor"]["fleetdm.com"]["mdm_name"] == "Fleet"
    windows = found["Host 2"]["facts"]["data"]
    assert (windows["os"]["family"], windows["os"]["version"], windows.get("hardware")) == ("windows", "11 Pro 22H2", None)
    details = server.api("GET", f"/endpoints/devices/{found['Host 1']['device_uuid']}/")
    (known,) = details["connections_obj"]
    assert (known["connector"], known["latest_snapshot"]["vendor"]) == (key, "fleetdm.com")
    assert known["connector_obj"]["meta_model_name"] == "authentik_endpoints_connectors_fleet.fleetconnector"
    assert server.api("GET", "/endpoints/devices/?identifier=SN-1")["results"][0]["name"] == "Host 1"
    assert server.api("GET", "/endpoints/devices/summary/")["unreachable_count"] == 0
    # What has not changed is not made again, and nobody renames what people renamed.
    server.api("PATCH", f"/endpoints/devices/{found['Host 1']['device_uuid']}/", {"name": "Ann's"})
    fleet.hosts[0]["memory"] = 1
    assert again(server, key)["aggregated_status"] == "warning"
    found = devices(server)
    assert sorted(found) == ["Ann's", "Host 2", "NulName"]
    assert found["Ann's"]["facts"]["data"]["hardware"]["memory_bytes"] == 1
    nowhere(server, TOKEN)
    server.api("DELETE", f"{CONNECTORS}{key}/")
    details = server.api("GET", f"/endpoints/devices/{found['Host 2']['device_uuid']}/")
    assert details["connections"] == [] and details["facts"] is None
    assert server.api("GET", f"/tasks/schedules/?rel_obj_id={key}")["results"] == []


def nowhere(server, secret):
    """No answer, event, task or log line has it."""
    for path in ["/events/events/?page_size=100", "/tasks/tasks/?page_size=100", "/tasks/schedules/?page_size=100",
                 CONNECTORS, "/endpoints/connectors/", "/managed/blueprints/"]:
        assert secret not in json.dumps(server.api("GET", path)), path
    assert secret not in server.log_text()


def test_people_are_bound_by_their_address_as_long_as_fleet_says_so(start_server, fleet):
    server = start_server()
    for name in ["ann", "bob", "cid"]:
        server.user(name, email=f"{name}@example.test")
    server.user("twin", email="CID@example.test")
    mapping = lambda *people: [{"email": email, "source": source} for email, source in people]
    fleet.hosts = [
        host(1, device_mapping=mapping(("ANN@example.test", "google_chrome_profiles"))),
        host(2, device_mapping=mapping(("ann@example.test", "google_chrome_profiles"), ("bob@example.test", "mdm_idp_accounts"))),
        host(3, device_mapping=mapping(("cid@example.test", "custom"), ("nobody@example.test", "custom"))),
        host(4, device_mapping=None),
    ]
    key = connector(server, fleet)
    task = synced(server, key)
    assert task["aggregated_status"] == "warning" and "cid@example.test" in json.dumps(task["logs"])
    ids = {name: device["device_uuid"] for name, device in devices(server).items()}
    made = bindings(server)
    assert {pair: binding["is_primary"] for pair, binding in made.items()} == {
        ("ann", ids["Host 1"]): True, ("ann", ids["Host 2"]): False, ("bob", ids["Host 2"]): True}
    one = made["ann", ids["Host 1"]]
    assert (one["connector"], one["connector_obj"]["name"], one["order"]) == (key, "fleet", 0)
    # A binding that somebody made stays; those of the connector follow Fleet.
    bob = server.api("GET", "/core/users/?username=bob")["results"][0]["pk"]
    server.api("POST", "/endpoints/device_bindings/", {"target": ids["Host 4"], "user": bob, "order": 5})
    fleet.hosts[0]["device_mapping"] = mapping(("bob@example.test", "custom"))
    fleet.hosts[1]["device_mapping"] = []
    fleet.hosts.pop()
    again(server, key)
    assert sorted(bindings(server)) == sorted([("bob", ids["Host 1"]), ("bob", ids["Host 4"])])
    server.api("PATCH", f"{CONNECTORS}{key}/", {"map_users": False})
    synced(server, key)
    assert sorted(bindings(server)) == [("bob", ids["Host 4"])]


def test_teams_become_access_groups_unless_somebody_chose_another(start_server, fleet):
    server = start_server()
    fleet.hosts = [host(1, team_id=1, team_name="Staff"), host(2, fleet_id=2, fleet_name="Laptops"), host(3)]
    key = connector(server, fleet, map_teams_access_group=True)
    synced(server, key)
    found = devices(server)
    named = {name: (device.get("access_group_obj") or {}).get("name") for name, device in found.items()}
    assert named == {"Host 1": "Staff", "Host 2": "Laptops", "Host 3": None}
    own = server.api("POST", "/endpoints/device_access_groups/", {"name": "Own"})["pbm_uuid"]
    server.api("PATCH", f"/endpoints/devices/{found['Host 2']['device_uuid']}/", {"access_group": own})
    fleet.hosts[0]["team_name"], fleet.hosts[1]["fleet_name"], fleet.hosts[2]["team_name"] = None, "Others", "Staff"
    again(server, key)
    named = {name: (device.get("access_group_obj") or {}).get("name") for name, device in devices(server).items()}
    assert named == {"Host 1": None, "Host 2": "Own", "Host 3": "Staff"}
    groups = server.api("GET", "/endpoints/device_access_groups/?ordering=name")["results"]
    assert sorted(group["name"] for group in groups) == ["Laptops", "Own", "Staff"]


def test_pages_are_followed_and_halved_where_they_are_too_long(start_server, fleet):
    server = start_server()
    fleet.hosts = [host(number) for number in range(1, 151)]
    big = [{"name": f"program {number}", "version": "1" * 150, "source": "deb_packages"} for number in range(500)]
    for number in range(10, 30):
        fleet.hosts[number]["software"] = big
    # More than any answer may be long, even alone.
    fleet.hosts[100]["software"] = big * 20
    key = connector(server, fleet)
    assert synced(server, key)["aggregated_status"] == "info"
    found = devices(server)
    assert len(found) == 150
    assert len(found["Host 15"]["facts"]["data"]["software"]) == 500
    assert "software" not in found["Host 101"]["facts"]["data"]
    asked = [dict(call.query) for call in fleet.asked]
    assert {"64", "32", "1"} <= {query["per_page"] for query in asked}
    assert [query["populate_software"] for query in asked].count("false") == 1


@pytest.mark.parametrize("trouble, said", [
    (500, "Fleet answered 500"),
    ("garbage", "no list of hosts"),
    ("hang up", "Fleet cannot be asked"),
    ("token", "Fleet answered 401: Authentication required"),
])
def test_trouble_is_told_and_changes_nothing(start_server, fleet, trouble, said):
    server = start_server()
    fleet.hosts = [host(1)]
    key = connector(server, fleet)
    synced(server, key)
    before = devices(server)
    if trouble == "token":
        server.api("PATCH", f"{CONNECTORS}{key}/", {"token": "wrong-token-of-a-test"})
    else:
        fleet.trouble = trouble
        schedule = server.api("GET", f"/tasks/schedules/?rel_obj_id={key}")["results"][0]
        server.api("POST", f"/tasks/schedules/{schedule['id']}/send/")

    def told():
        return [event for event in server.events("system_task_exception") if said in json.dumps(event["context"])]

    wait_for("the event", told)
    assert devices(server) == before
    for secret in [TOKEN, "wrong-token-of-a-test"]:
        nowhere(server, secret)


def test_a_slow_fleet_holds_up_nobody_and_redirects_are_not_followed(start_server, fleet):
    server = start_server()
    fleet.hosts = [host(1)]
    fleet.trouble = "slow"
    key = connector(server, fleet)
    wait_for("the first call", lambda: fleet.asked)
    # While it waits, others change devices and configuration.
    server.api("POST", "/endpoints/device_access_groups/", {"name": "meanwhile"})
    server.api("PATCH", f"{CONNECTORS}{key}/", {"enabled": False})
    said = lambda: [e for e in server.events("system_task_exception") if "timed out" in json.dumps(e["context"])]
    wait_for("the end of patience", said, 90)
    fleet.trouble = None
    elsewhere = Fleet()
    fleet.answer = lambda _: (302, b"", {"Location": f"{elsewhere.url}/base/api/v1/fleet/hosts"})
    server.api("PATCH", f"{CONNECTORS}{key}/", {"enabled": True})
    wait_for("the refusal", lambda: [e for e in server.events("system_task_exception") if "302" in json.dumps(e["context"])])
    assert elsewhere.asked == [] and devices(server) == {}
    elsewhere.close()


def test_a_mapping_gives_further_headers_and_cannot_replace_the_token(start_server, fleet):
    server = start_server()
    fleet.hosts = [host(1)]
    fleet.needs = {"CF-Access-Client-Id": "weir"}
    expression = 'return {"CF-Access-Client-Id": "weir", "Authorization": "Bearer another"}'
    mapping = server.api("POST", "/propertymappings/notification/", {"name": "headers", "expression": expression})
    key = connector(server, fleet, headers_mapping=mapping["pk"])
    assert synced(server, key)["aggregated_status"] == "info"
    assert list(devices(server)) == ["Host 1"]
    server.api("PATCH", f"/propertymappings/notification/{mapping['pk']}/", {"expression": "return 3"})
    assert "no dictionary" in json.dumps(again_failing(server, key))


def again_failing(server, key):
    schedule = server.api("GET", f"/tasks/schedules/?rel_obj_id={key}")["results"][0]
    server.api("POST", f"/tasks/schedules/{schedule['id']}/send/")
    return wait_for("the event", lambda: server.events("system_task_exception"))


def test_two_syncs_at_once_make_each_device_once(start_server, fleet):
    server = start_server()
    fleet.hosts = [host(number) for number in range(1, 70)]
    key = connector(server, fleet)
    threads = [threading.Thread(target=server.api, args=("PATCH", f"{CONNECTORS}{key}/", {"map_users": bool(n % 2)}))
               for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    synced(server, key)
    assert server.api("GET", "/endpoints/devices/")["pagination"]["count"] == 69
