"""Mappings of all kinds in one list, tried by those who may change them; what invitations belong to."""

import json

import requests

ALL = "/propertymappings/all/"
WEBHOOK = "authentik_events.notificationwebhookmapping"


def make(server, name="hook", expression='return {"text": "hello " + notification.body}'):
    return server.api("POST", "/propertymappings/notification/", {"name": name, "expression": expression})


def person(server, name, *permissions):
    """A user with a token of its own and these permissions on everything; answers a way to call the API."""
    user = server.user(name)
    group = server.api("POST", "/core/groups/", {"name": f"{name}s", "users": [user["pk"]]})
    role = server.api("POST", "/rbac/roles/", {"name": f"{name} role"})
    server.api("PATCH", f"/core/groups/{group['pk']}/", {"roles": [role["pk"]]})
    if permissions:
        server.api("POST", f"/rbac/permissions/assigned_by_roles/{role['pk']}/assign/", {"permissions": list(permissions)})
    token = server.api("POST", "/core/tokens/", {"identifier": f"{name}-api", "user": user["pk"], "intent": "api"})
    key = server.api("GET", f"/core/tokens/{token['identifier']}/view_key/")["key"]

    def call(method, path, body=None):
        return requests.request(method, f"{server.url}/api/v3{path}", json=body, headers={"Authorization": f"Bearer {key}"})

    return user, call


def test_webhook_mappings_are_among_all_mappings(start_server):
    server = start_server()
    made = make(server)
    assert set(made) == {"pk", "name", "expression"}
    source = {"name": "from a source", "expression": "return {}"}
    other = server.api("POST", "/propertymappings/source/oauth/", source)
    listed = {mapping["pk"]: mapping for mapping in server.api("GET", f"{ALL}?page_size=100")["results"]}
    assert {made["pk"], other["pk"]} <= set(listed)
    shown = listed[made["pk"]]
    assert (shown["component"], shown["meta_model_name"]) == ("ak-property-mapping-notification-form", WEBHOOK)
    assert (shown["verbose_name"], shown["verbose_name_plural"]) == ("Webhook Mapping", "Webhook Mappings")
    assert server.api("GET", f"{ALL}{made['pk']}/") == shown
    own = server.api("GET", f"/propertymappings/notification/{made['pk']}/")
    assert own == made, "its own address shows what the contract says, and no more"
    find = lambda query: {m["pk"] for m in server.api("GET", f"{ALL}?page_size=100&{query}")["results"]}
    assert find("search=hook") == {made["pk"]}
    assert {made["pk"], other["pk"]} <= find("managed__isnull=true")
    assert made["pk"] not in find("managed__isnull=false") | find("managed=goauthentik.io/x")
    server.api("GET", f"{ALL}?managed__isnull=perhaps", expect=400)
    kinds = {kind["model_name"]: kind for kind in server.api("GET", f"{ALL}types/")}
    assert kinds["notificationwebhookmapping"]["component"] == "ak-property-mapping-notification-form"
    refused = server.api("POST", "/propertymappings/notification/", source, expect=400)
    assert list(refused) == ["name"], "names are unique among all mappings"
    # An SMS stage names it.
    stage = {"name": "sms", "provider": "generic", "from_number": "1", "account_sid": "http://127.0.0.1:9/", "auth": "x",
             "mapping": made["pk"]}
    server.api("POST", "/stages/authenticator/sms/", stage)
    assert [used["name"] for used in server.api("GET", f"{ALL}{made['pk']}/used_by/")] == ["sms"]
    spare = make(server, "spare")
    server.api("DELETE", f"{ALL}{spare['pk']}/", expect=204)
    server.api("GET", f"/propertymappings/notification/{spare['pk']}/", expect=404)


def test_a_mapping_is_tried_without_a_trace(start_server):
    server = start_server()
    user = server.user("ann")
    made = make(server)
    test = f"{ALL}{made['pk']}/test/"
    context = {"notification": {"body": "world"}}
    tried = server.api("POST", test, {"context": context})
    assert tried == {"result": json.dumps({"text": "hello world"}, separators=(",", ":")), "successful": True}
    pretty = server.api("POST", f"{test}?format_result=true", {"context": context})["result"]
    assert json.loads(pretty) == {"text": "hello world"} and "\n" in pretty
    failed = server.api("POST", test, {})
    assert failed["successful"] is False and "notification" in failed["result"]
    about = make(server, "about", "ak_create_event('tried')\nreturn [user.username, str(group)]")
    group = server.api("POST", "/core/groups/", {"name": "Staff"})
    body = {"user": user["pk"], "group": group["pk"]}
    tried = server.api("POST", f"{ALL}{about['pk']}/test/", body)
    assert tried["successful"] and json.loads(tried["result"])[0] == "ann", tried
    server.api("POST", test, {"user": "nobody"}, expect=400)
    assert not server.events("property_mapping_exception") and "tried" not in json.dumps(
        server.api("GET", "/events/events/?page_size=100")["results"])


def test_trying_a_mapping_takes_the_right_to_change_it(start_server):
    server = start_server()
    made = make(server)
    path = f"{ALL}{made['pk']}/"
    _, nobody = person(server, "nobody")
    assert nobody("GET", path).status_code in (403, 404) and nobody("POST", f"{path}test/", {}).status_code in (403, 404)
    _, viewer = person(server, "viewer", "authentik_events.view_notificationwebhookmapping")
    assert viewer("GET", path).ok and [m["pk"] for m in viewer("GET", ALL).json()["results"]] == [made["pk"]]
    assert viewer("POST", f"{path}test/", {"context": {}}).status_code == 403
    _, wrong = person(server, "wrong", "authentik_events.view_notificationwebhookmapping",
                      "authentik_sources_oauth.change_oauthsourcepropertymapping")
    assert wrong("POST", f"{path}test/", {"context": {}}).status_code == 403
    ann = server.user("ann")
    _, editor = person(server, "editor", "authentik_events.view_notificationwebhookmapping",
                       "authentik_events.change_notificationwebhookmapping")
    tried = editor("POST", f"{path}test/", {"context": {"notification": {"body": "!"}}})
    assert (tried.status_code, tried.json()["successful"]) == (200, True), tried.text
    group = server.api("POST", "/core/groups/", {"name": "Staff"})
    for subject in [{"user": ann["pk"]}, {"group": group["pk"]}]:
        assert editor("POST", f"{path}test/", subject).status_code == 403, "whom one may not see one may not try with"


def test_invitations_belong_to_flows(start_server):
    server = start_server()
    (bound,) = server.flow("join", "enrollment", ("invitation/stages", {}))
    free = server.api("POST", "/stages/invitation/stages/", {"name": "free"})
    find = lambda query: {s["pk"] for s in server.api("GET", f"/stages/invitation/stages/?{query}")["results"]}
    assert (find("no_flows=true"), find("no_flows=false")) == ({free["pk"]}, {bound["pk"]})
    assert find("") == {free["pk"], bound["pk"]}
    server.api("GET", "/stages/invitation/stages/?no_flows=perhaps", expect=400)
    flow = server.api("GET", "/flows/instances/join/")
    made = server.api("POST", "/stages/invitation/invitations/", {"name": "friends", "flow": flow["pk"]})
    server.api("POST", "/stages/invitation/invitations/", {"name": "anywhere"})
    used = server.api("GET", "/flows/instances/join/used_by/")
    named = [(by["app"], by["model_name"], by["pk"], by["name"], by["action"]) for by in used]
    assert ("authentik_stages_invitation", "invitation", made["pk"], "friends", "set_null") in named
    assert not [by for by in used if by["name"] == "anywhere"]
    _, viewer = person(server, "viewer", "authentik_flows.view_flow")
    assert viewer("GET", "/flows/instances/join/used_by/").json() == []
