"""A SCIM server of our own that does what a test says: refuses, breaks, asks for patience, dies in the middle."""

import itertools
import json
import re
import threading
import urllib.parse

from services import Service


class ScimTarget(Service):
    """Keeps users and groups. `rules` are asked first: a function that gives (status, body[, headers]) or None."""

    def __init__(self, patch=True, filter=True, operations=0, token="scim-token"):
        self.resources = {"Users": {}, "Groups": {}}
        self.ids = itertools.count(1)
        self.rules = []
        self.config = {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
            "patch": {"supported": patch},
            "filter": {"supported": filter, "maxResults": 200},
            "bulk": {"supported": operations > 0, "maxOperations": operations, "maxPayloadSize": 1048576},
        }
        self.token = token
        self.slow = threading.Event()
        super().__init__()

    # What a test asks.

    def calls(self, method=None, part=""):
        with self.lock:
            return [a for a in self.asked if (method is None or a.method == method) and part in a.path]

    def users(self):
        with self.lock:
            return {user["userName"]: dict(user) for user in self.resources["Users"].values()}

    def groups(self):
        with self.lock:
            return {group["displayName"]: json.loads(json.dumps(group)) for group in self.resources["Groups"].values()}

    def members(self, group):
        """Usernames of the members of a group."""
        names = {user["id"]: name for name, user in self.users().items()}
        found = self.groups().get(group, {})
        return sorted(names.get(member["value"], member["value"]) for member in found.get("members", []))

    def add(self, folder, resource):
        with self.lock:
            key = f"there-{next(self.ids)}"
            self.resources[folder][key] = resource | {"id": key}
            return key

    # The protocol.

    def answer(self, asked):
        if asked.headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"detail": "no such token", "status": "401"}
        for rule in self.rules:
            answer = rule(asked)
            if answer:
                return answer
        parts = [urllib.parse.unquote(part) for part in asked.path.strip("/").split("/")[1:]]
        if parts and parts[0].startswith("ServiceProviderConfig"):
            return 200, self.config
        if not parts or parts[0] not in self.resources:
            return 404, {"detail": "no such resource type", "status": "404"}
        kept = self.resources[parts[0]]
        if len(parts) == 1:
            return self.make(parts[0], asked.json) if asked.method == "POST" else self.list(parts[0], dict(asked.query))
        if parts[1] not in kept:
            return 404, {"detail": f"{parts[1]} not found", "status": "404"}
        if asked.method == "DELETE":
            del kept[parts[1]]
            for group in self.resources["Groups"].values():
                group["members"] = [m for m in group.get("members", []) if m["value"] != parts[1]]
            return 204, b""
        if asked.method == "PUT":
            kept[parts[1]] = asked.json | {"id": parts[1]}
        elif asked.method == "PATCH":
            for operation in asked.json["Operations"]:
                refused = self.change(kept[parts[1]], operation)
                if refused:
                    return 400, {"detail": refused, "status": "400"}
        return 200, kept[parts[1]]

    def make(self, folder, resource):
        name = "userName" if folder == "Users" else "displayName"
        if any(other[name].lower() == resource[name].lower() for other in self.resources[folder].values()):
            return 409, {"detail": f"{resource[name]} is taken", "scimType": "uniqueness", "status": "409"}
        key = f"id-{next(self.ids)}"
        self.resources[folder][key] = resource | {"id": key}
        return 201, self.resources[folder][key]

    def list(self, folder, query):
        found = list(self.resources[folder].values())
        if "filter" in query:
            name, value = re.fullmatch(r'(\w+) eq "(.*)"', query["filter"]).groups()
            found = [r for r in found if r.get(name, "").lower() == value.lower()]
        start, count = int(query.get("startIndex", 1)), int(query.get("count", 100))
        page = found[start - 1 : start - 1 + count]
        return 200, {"totalResults": len(found), "startIndex": start, "itemsPerPage": len(page), "Resources": page}

    @staticmethod
    def change(resource, operation):
        op, path, value = operation["op"].lower(), operation.get("path"), operation.get("value")
        if op == "replace" and path is None:
            resource.update(value)
        elif op == "replace":
            resource[path] = value
        elif op == "add" and path == "members":
            resource.setdefault("members", []).extend(value)
        elif op == "remove" and (found := re.fullmatch(r'members\[value eq "(.*)"\]', path or "")):
            resource["members"] = [m for m in resource.get("members", []) if m["value"] != found[1]]
        else:
            return f"unknown operation {op} {path}"
        return None
