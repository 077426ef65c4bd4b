"""What events say of who did what, in whose name, from where; asked of a whole server."""

import json

from conftest import PASSWORD

SIGN_IN = "default-authentication-flow"
MASK = "********************"


def about(server, model, action="model_updated"):
    return [e for e in server.events(action) if e["context"]["model"]["model_name"] == model]


def test_events_of_flows_and_of_the_interface_name_the_same_brand_and_mask_what_is_secret(start_server):
    server = start_server()
    ann = server.user("ann", email="ann@example.test")
    server.set_password(ann)
    browser = server.browser()
    query = "next=%2Fif%2Fuser%2F&token=abc-secret&note=1"
    browser.get(SIGN_IN, query)
    browser.post(SIGN_IN, {"uid_field": "ann"}, query)
    browser.post(SIGN_IN, {"password": "wrong-words"}, query)
    [failed] = server.events("login_failed")
    assert failed["user"] == {"pk": ann["pk"], "username": "ann", "email": "ann@example.test"}
    assert (failed["context"]["username"], failed["context"]["password"]) == ("ann", MASK)
    request = failed["context"]["http_request"]
    assert request["args"] == {"next": "/if/user/", "token": MASK, "note": "1"}
    assert request["method"] == "POST" and len(request["request_id"]) == 32
    assert failed["client_ip"] == "127.0.0.1"
    [made] = [e for e in about(server, "user", "model_created") if e["context"]["model"]["name"] == "ann"]
    assert made["brand"] == failed["brand"] and "-" not in made["brand"]["pk"]
    name = made["brand"]["name"]
    found = server.api("GET", f"/events/events/?action=login_failed&brand_name={name}")["results"]
    assert [e["pk"] for e in found] == [failed["pk"]]
    nobody = server.browser()
    nobody.get(SIGN_IN)
    nobody.post(SIGN_IN, {"uid_field": "nobody"})
    nobody.post(SIGN_IN, {"password": "words"})
    assert server.events("login_failed")[0]["user"]["username"] == "AnonymousUser"
    text = server.log_text() + json.dumps(server.api("GET", "/events/events/?page_size=100"))
    assert not [secret for secret in ("wrong-words", "abc-secret", PASSWORD) if secret in text]


def test_members_are_told_from_either_side(start_server):
    server = start_server()
    ann = server.user("ann")
    group = server.api("POST", "/core/groups/", {"name": "g"})
    pk = group["pk"]
    for path, body in [("add_user", {"pk": ann["pk"]}), ("remove_user", {"pk": ann["pk"]})]:
        server.api("POST", f"/core/groups/{pk}/{path}/", body)
    server.api("PATCH", f"/core/groups/{pk}/", {"users": [ann["pk"]]})
    told = [e["context"]["diff"]["groups"] for e in about(server, "user") if "groups" in e["context"].get("diff", {})]
    assert {"previous_value": [], "new_value": [pk]} in told and {"previous_value": [pk], "new_value": []} in told
    [of_group] = [e["context"]["diff"]["users"] for e in about(server, "group") if "users" in e["context"].get("diff", {})]
    assert of_group == {"previous_value": [], "new_value": [ann["pk"]]}


def test_who_acts_as_another_is_named_in_the_interface_and_in_flows(start_server):
    server = start_server()
    ann = server.user("ann", email="ann@example.test")
    browser = server.signed_in("akadmin")
    assert browser.act("POST", f"/core/users/{ann['pk']}/impersonate/", {"reason": "help"}).status_code == 204
    assert browser.me()["username"] == "ann"
    assert browser.act("POST", "/core/tokens/", {"identifier": "by-the-admin"}).status_code == 201
    slug = "default-user-settings-flow"
    challenge = browser.get(slug)
    assert challenge["component"] == "ak-stage-prompt", challenge
    answer = {field["field_key"]: field.get("initial_value") or "" for field in challenge["fields"]}
    browser.post(slug, answer | {"name": "Changed"})
    [made] = about(server, "token", "model_created")[:1]
    [written] = server.events("user_write")[:1]
    for event in (made, written):
        assert (event["user"]["username"], event["user"]["on_behalf_of"]["username"]) == ("akadmin", "ann"), event["user"]
    found = server.api("GET", "/events/events/?username=akadmin&actions=user_write")["results"]
    assert [e["pk"] for e in found] == [written["pk"]]
    browser.act("GET", "/core/users/impersonate_end/")
    [started], [ended] = server.events("impersonation_started"), server.events("impersonation_ended")
    assert started["user"]["username"] == ended["user"]["username"] == "akadmin"
    assert started["context"]["reason"] == "help" and started["context"]["impersonated_user"]["username"] == "ann"
