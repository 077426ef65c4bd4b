"""Outgoing sync to Google Workspace and Microsoft Entra: local servers with the published REST shapes."""

import base64
import itertools
import json
import re
import threading
import urllib.parse

import pytest
from conftest import wait_for
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from services import Service
from test_scim import assign, full, group, mappings, settled, state, status, wait_idle

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Google(Service):
    """Token end point and directory: users by primary address, groups by id."""

    def __init__(self):
        self.users, self.groups, self.members = {}, {}, {}
        self.ids = itertools.count(1)
        self.tokens = 0
        # Answers to new users wait for this.
        self.hold = threading.Event()
        self.hold.set()
        super().__init__()

    def token(self, form):
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        head, claims, signature = form["assertion"].split(".")
        KEY.public_key().verify(decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        claims = json.loads(decoded(claims))
        if claims["sub"] != "admin@example.test":
            return 401, {"error": "unauthorized_client"}
        assert claims["iss"] == "sync@project.iam.test" and claims["aud"] == f"{self.url}/token"
        assert "https://www.googleapis.com/auth/admin.directory.user" in claims["scope"].split()
        self.tokens += 1
        return 200, {"access_token": "google-token", "expires_in": 3599, "token_type": "Bearer"}

    def answer(self, asked):
        if asked.path == "/token":
            return self.token(asked.form)
        if asked.headers.get("Authorization") != "Bearer google-token":
            return 401, {"error": {"code": 401, "message": "Invalid Credentials"}}
        path = [urllib.parse.unquote(p) for p in asked.path.removeprefix("/admin/directory/v1/").split("/")]
        missing = 404, {"error": {"code": 404, "message": "Resource Not Found"}}
        if path == ["customer", "my_customer", "domains"]:
            return 200, {"domains": [{"domainName": "example.test", "verified": True, "isPrimary": True}]}
        if path == ["users"] and asked.method == "POST":
            user = asked.json
            assert user["password"] and user["name"]["givenName"] and user["name"]["familyName"]
            if user["primaryEmail"] in self.users:
                return 409, {"error": {"code": 409, "message": "Entity already exists."}}
            user["id"] = str(next(self.ids))
            self.users[user["primaryEmail"]] = user
            self.hold.wait(10)
            return 200, user
        if path == ["users"]:
            return self.page("users", self.users, dict(asked.query))
        if path == ["groups"] and asked.method == "POST":
            made = asked.json
            if any(other["email"] == made["email"] for other in self.groups.values()):
                return 409, {"error": {"code": 409, "message": "Entity already exists."}}
            made["id"] = f"g{next(self.ids)}"
            self.groups[made["id"]], self.members[made["id"]] = made, set()
            return 200, made
        if path == ["groups"]:
            return self.page("groups", self.groups, dict(asked.query))
        if path[0] == "users":
            return self.user(path[1], asked) if path[1] in self.users else missing
        found = next((key for key, g in self.groups.items() if path[1] in (key, g["email"])), None)
        if found is None:
            return missing
        return self.member(found, path[3:], asked) if len(path) > 2 else self.group(found, asked)

    def user(self, key, asked):
        if asked.method == "DELETE":
            del self.users[key]
            return 204, b""
        if asked.method == "PUT":
            user = self.users.pop(key) | asked.json
            self.users[user["primaryEmail"]] = user
            return 200, user
        return 200, self.users[key]

    def group(self, key, asked):
        if asked.method == "DELETE":
            del self.groups[key]
            return 204, b""
        if asked.method == "PUT":
            self.groups[key] |= asked.json
        return 200, self.groups[key]

    def member(self, key, rest, asked):
        if asked.method == "POST":
            address = asked.json["email"]
            if address in self.members[key]:
                return 409, {"error": {"code": 409, "message": "Member already exists."}}
            self.members[key].add(address)
            return 200, {"email": address, "role": asked.json["role"]}
        self.members[key].discard(rest[0])
        return 204, b""

    @staticmethod
    def page(name, kept, query, size=2):
        assert query["customer"] == "my_customer"
        start = int(query.get("pageToken", 0))
        body = {name: list(kept.values())[start : start + size]}
        return 200, body | ({"nextPageToken": str(start + size)} if start + size < len(kept) else {})


class Graph(Service):
    """Token end point of a tenant and Microsoft Graph."""

    def __init__(self):
        self.users, self.groups, self.members = {}, {}, {}
        self.ids = itertools.count(1)
        super().__init__()

    def answer(self, asked):
        if asked.path == "/tenant-1/oauth2/v2.0/token":
            form = asked.form
            assert form["grant_type"] == "client_credentials" and form["scope"] == "https://graph.microsoft.com/.default"
            if form["client_secret"] != "s3cret":
                return 401, {"error": "invalid_client", "error_description": "AADSTS7000215"}
            return 200, {"access_token": "graph-token", "expires_in": 3599, "token_type": "Bearer"}
        if asked.headers.get("Authorization") != "Bearer graph-token":
            return 401, {"error": {"code": "InvalidAuthenticationToken", "message": "Access token is empty."}}
        path = [urllib.parse.unquote(p) for p in asked.path.removeprefix("/v1.0/").split("/")]
        missing = 404, {"error": {"code": "Request_ResourceNotFound", "message": f"{path[-1]} does not exist"}}
        kept = {"users": self.users, "groups": self.groups}.get(path[0])
        if path == ["domains"]:
            return 200, {"value": [{"id": "example.test", "isVerified": True}, {"id": "new.test", "isVerified": False}]}
        if len(path) == 1:
            return self.make(path[0], kept, asked.json) if asked.method == "POST" else self.list(kept, dict(asked.query))
        if path[1] not in kept:
            return missing
        if path[2:] == ["members", "$ref"]:
            key = re.fullmatch(re.escape(f"{self.url}/v1.0/directoryObjects/") + "(.*)", asked.json["@odata.id"])[1]
            if key in self.members[path[1]]:
                text = "One or more added object references already exist for the following modified properties"
                return 400, {"error": {"code": "Request_BadRequest", "message": text}}
            self.members[path[1]].add(key)
            return 204, b""
        if path[2:3] == ["members"]:
            assert path[4] == "$ref" and asked.method == "DELETE"
            self.members[path[1]].discard(path[3])
            return 204, b""
        if asked.method == "DELETE":
            del kept[path[1]]
        elif asked.method == "PATCH":
            kept[path[1]] |= asked.json
        return 204, b""

    def make(self, folder, kept, new):
        if folder == "users":
            assert new["passwordProfile"]["password"] and new["mailNickname"] and new["displayName"]
            if any(user["userPrincipalName"] == new["userPrincipalName"] for user in kept.values()):
                text = "Another object with the same value for property userPrincipalName already exists."
                return 400, {"error": {"code": "Request_BadRequest", "message": text}}
        else:
            assert new["mailEnabled"] is False and new["securityEnabled"] is True
        key = f"{folder}-{next(self.ids)}"
        kept[key] = new | {"id": key}
        self.members[key] = set()
        return 201, kept[key]

    def list(self, kept, query, size=2):
        found = list(kept.values())
        if "$filter" in query:
            wanted = re.findall(r"(\w+) eq '([^']*)'", query["$filter"])
            found = [user for user in found if any(user.get(name) == value for name, value in wanted)]
        start = int(query.get("$skiptoken", 0))
        body = {"value": found[start : start + size]}
        more = {"@odata.nextLink": f"{self.url}/v1.0/{'users' if kept is self.users else 'groups'}?$skiptoken={start + size}"}
        return 200, body | (more if start + size < len(found) else {})


@pytest.fixture
def google():
    made = Google()
    yield made
    made.close()


@pytest.fixture
def graph():
    made = Graph()
    yield made
    made.close()


def google_provider(server, **fields):
    pem = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    body = {
        "name": "workspace",
        "delegated_subject": "admin@example.test",
        "default_group_email_domain": "example.test",
        "credentials": {"type": "service_account", "client_email": "sync@project.iam.test", "private_key": pem},
    }
    made = server.api("POST", "/providers/google_workspace/", body | mappings(server, "google_workspace") | fields)
    assign(server, "workspace", made["pk"])
    wait_idle(server, made["pk"])
    return made


def entra_provider(server, **fields):
    body = {"name": "tenant", "client_id": "client", "client_secret": "s3cret", "tenant_id": "tenant-1"}
    made = server.api("POST", "/providers/microsoft_entra/", body | mappings(server, "microsoft_entra") | fields)
    assign(server, "tenant", made["pk"])
    wait_idle(server, made["pk"])
    return made


def person(server, username, **fields):
    return server.user(username, **({"email": f"{username}@example.test", "name": f"{username.title()} Person"} | fields))


def test_users_and_groups_of_a_workspace_follow(start_server, google):
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    made = google_provider(server)
    ada, bob = person(server, "ada"), person(server, "bob")
    settled(server, made, ada, "in_sync")
    settled(server, made, bob, "in_sync")
    there = google.users["ada@example.test"]
    assert there["name"] == {"givenName": "Ada", "familyName": "Person"} and there["suspended"] is False
    connection = server.api("GET", f"/providers/google_workspace_users/?user__id={ada['pk']}")["results"][0]
    assert connection["google_id"] == "ada@example.test" and "password" not in connection["attributes"]
    staff = group(server, "The Staff", ada, bob)
    settled(server, made, staff, "in_sync", model="group")
    key = next(key for key, found in google.groups.items() if found["name"] == "The Staff")
    assert google.groups[key]["email"] == "the-staff@example.test"
    assert google.members[key] == {"ada@example.test", "bob@example.test"}
    server.api("POST", f"/core/groups/{staff['pk']}/remove_user/", {"pk": bob["pk"]})
    wait_for("one there", lambda: google.members[key] == {"ada@example.test"})
    # A new address is a new name there; the lock comes along.
    server.api("PATCH", f"/core/users/{ada['pk']}/", {"email": "ada.king@example.test", "is_active": False})
    wait_for("the new address", lambda: google.users.get("ada.king@example.test", {}).get("suspended") is True)
    assert "ada@example.test" not in google.users
    server.api("DELETE", f"/core/users/{bob['pk']}/")
    server.api("DELETE", f"/core/groups/{staff['pk']}/")
    wait_for("the end there", lambda: "bob@example.test" not in google.users and key not in google.groups)
    assert google.tokens < 10, "tokens are kept for their life"


def test_addresses_outside_of_the_workspace_are_refused_before_anything_is_sent(start_server, google):
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    made = google_provider(server)
    user = person(server, "eve", email="eve@elsewhere.test")
    failed = settled(server, made, user, "failed")
    assert failed["reason"] == "Invalid email domain: eve@elsewhere.test"
    nobody = server.user("no-address")
    settled(server, made, nobody, "skipped")
    assert set(google.users) == {"akadmin@example.test"}


def test_delete_actions_suspend_or_do_nothing(start_server, google):
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    made = google_provider(server, user_delete_action="suspend", group_delete_action="do_nothing")
    user = person(server, "ada")
    staff = group(server, "staff", user)
    settled(server, made, user, "in_sync")
    settled(server, made, staff, "in_sync", model="group")
    server.api("DELETE", f"/core/users/{user['pk']}/")
    server.api("DELETE", f"/core/groups/{staff['pk']}/")
    wait_for("the end of the user", lambda: google.users["ada@example.test"]["suspended"] is True)
    wait_for("nothing to remember", lambda: state(server, made, staff, "group") is None)
    assert any(found["name"] == "staff" for found in google.groups.values())


def test_who_is_deleted_while_the_target_makes_the_account_does_not_stay_there(start_server, google):
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    made = google_provider(server)
    google.hold.clear()
    user = person(server, "ada")
    wait_for("the account there", lambda: "ada@example.test" in google.users)
    server.api("DELETE", f"/core/users/{user['pk']}/")
    google.hold.set()
    wait_for("the end there", lambda: "ada@example.test" not in google.users)
    wait_for("nothing to remember", lambda: state(server, made, user) is None)


def test_a_workspace_is_discovered_page_by_page_and_conflicts_connect(start_server, google):
    for number in range(5):
        address = f"user-{number}@example.test"
        google.users[address] = {"primaryEmail": address, "id": f"old-{number}"}
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    users = [person(server, f"user-{number}") for number in range(5)]
    made = google_provider(server)
    for user in users:
        settled(server, made, user, "in_sync")
    old = {user["id"] for address, user in google.users.items() if address.startswith("user-")}
    assert old == {f"old-{number}" for number in range(5)}
    server.api("PATCH", f"/providers/google_workspace/{made['pk']}/", {"discovery_enabled": False})
    google.users["late@example.test"] = {"primaryEmail": "late@example.test", "id": "late"}
    settled(server, made, person(server, "late", name="Late Comer"), "in_sync")
    assert google.users["late@example.test"]["id"] == "late"
    assert google.users["late@example.test"]["name"]["familyName"] == "Comer"
    assert "password" not in google.users["late@example.test"], "who is there already keeps the password"


def test_a_quota_of_the_workspace_is_waited_for(start_server, google):
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    made = google_provider(server)
    answer = google.answer

    def limited(asked):
        if asked.method != "POST" or not asked.path.endswith("/users"):
            return answer(asked)
        reason = {"domain": "usageLimits", "reason": "userRateLimitExceeded"}
        return 403, {"error": {"code": 403, "message": "Quota exceeded", "errors": [reason]}}

    google.answer = limited
    user = person(server, "ada")
    wait_for("the wait", lambda: status(server, made)["blocked_until"])
    found = state(server, made, user)
    assert found["state"] == "pending" and "Quota exceeded" in found["reason"]
    google.answer = answer
    server.api("POST", "/weir/sync/replay/", {"provider": made["pk"], "state": "pending"})
    settled(server, made, user, "in_sync")
    assert "ada@example.test" in google.users


def test_a_subject_without_the_right_is_a_configuration_error(start_server, google):
    server = start_server(OUTBOUND__GOOGLE_URL=google.url)
    google_provider(server, delegated_subject="nobody@example.test")
    wait_for("the event", lambda: server.events("configuration_error"))
    assert "unauthorized_client" in server.events("configuration_error")[0]["context"]["message"]
    assert "PRIVATE KEY" not in server.log_text()


def test_users_and_groups_of_a_tenant_follow(start_server, graph):
    server = start_server(OUTBOUND__MICROSOFT_URL=graph.url)
    made = entra_provider(server)
    ada, bob = person(server, "ada"), person(server, "bob")
    settled(server, made, ada, "in_sync")
    settled(server, made, bob, "in_sync")
    by_name = {user["userPrincipalName"]: user for user in graph.users.values()}
    assert by_name["ada@example.test"]["accountEnabled"] is True
    connection = server.api("GET", f"/providers/microsoft_entra_users/?user__id={ada['pk']}")["results"][0]
    assert connection["microsoft_id"] == by_name["ada@example.test"]["id"]
    assert "passwordProfile" not in connection["attributes"]
    staff = group(server, "The Staff", ada, bob)
    settled(server, made, staff, "in_sync", model="group")
    key = next(key for key, found in graph.groups.items() if found["displayName"] == "The Staff")
    assert graph.groups[key]["mailNickname"] == "TheStaff" and len(graph.members[key]) == 2
    server.api("POST", f"/core/groups/{staff['pk']}/remove_user/", {"pk": bob["pk"]})
    wait_for("one there", lambda: graph.members[key] == {connection["microsoft_id"]})
    server.api("PATCH", f"/core/users/{ada['pk']}/", {"is_active": False})
    wait_for("the lock there", lambda: graph.users[connection["microsoft_id"]]["accountEnabled"] is False)
    server.api("DELETE", f"/core/users/{bob['pk']}/")
    wait_for("the end there", lambda: by_name["bob@example.test"]["id"] not in graph.users)


def test_a_tenant_is_discovered_and_conflicts_are_found_by_name(start_server, graph):
    for number in range(5):
        name = f"user-{number}@example.test"
        graph.users[f"old-{number}"] = {"id": f"old-{number}", "userPrincipalName": name, "mail": name}
    server = start_server(OUTBOUND__MICROSOFT_URL=graph.url)
    users = [person(server, f"user-{number}") for number in range(5)]
    made = entra_provider(server, user_delete_action="suspend")
    for user in users:
        settled(server, made, user, "in_sync")
    assert set(graph.users) >= {f"old-{number}" for number in range(5)}
    assert len([u for u in graph.users.values() if u["userPrincipalName"].startswith("user-")]) == 5
    graph.users["late"] = {"id": "late", "userPrincipalName": "late@example.test"}
    late = person(server, "late", name="Late Comer")
    settled(server, made, late, "in_sync")
    assert graph.users["late"]["displayName"] == "Late Comer" and "passwordProfile" not in graph.users["late"]
    server.api("DELETE", f"/core/users/{late['pk']}/")
    wait_for("the suspension", lambda: graph.users["late"]["accountEnabled"] is False)
    refused = settled(server, made, person(server, "new", email="new@new.test"), "failed")
    assert refused["reason"] == "Invalid email domain: new@new.test", "the domain is not verified"


def test_only_members_of_the_filter_group_are_told(start_server, graph):
    server = start_server(OUTBOUND__MICROSOFT_URL=graph.url)
    inside, outside = person(server, "inside"), person(server, "outside")
    chosen = group(server, "chosen", inside)
    made = entra_provider(server, filter_group=chosen["pk"])
    log = full(server, made, "microsoft_entra")
    assert log
    assert [user["userPrincipalName"] for user in graph.users.values()] == ["inside@example.test"]
    server.api("POST", f"/core/groups/{chosen['pk']}/add_user/", {"pk": outside["pk"]})
    wait_for("both there", lambda: len(graph.users) == 2)
    server.api("POST", f"/core/groups/{chosen['pk']}/remove_user/", {"pk": inside["pk"]})
    wait_for("one there", lambda: [u["userPrincipalName"] for u in graph.users.values()] == ["outside@example.test"])


def test_a_wrong_secret_of_a_tenant_is_a_configuration_error_and_stays_secret(start_server, graph):
    server = start_server(OUTBOUND__MICROSOFT_URL=graph.url)
    entra_provider(server, client_secret="wr0ng-secret")
    wait_for("the event", lambda: server.events("configuration_error"))
    assert "invalid_client" in server.events("configuration_error")[0]["context"]["message"]
    assert "wr0ng-secret" not in server.log_text()
