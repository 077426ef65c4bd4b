"""What administrators and scripts see of flows from outside: the inspector, durations, what stages refuse."""

import requests
from conftest import PASSWORD, TOKEN


def test_the_inspector_shows_the_flow_of_the_cookie_to_whoever_comes_with_a_token(start_server):
    server = start_server()
    server.flow("two", "enrollment", ("dummy", {}), ("dummy", {}))
    visitor = server.browser()
    address = f"{server.url}/api/v3/flows/inspector/two/"
    admin = {"Authorization": f"Bearer {TOKEN}"}
    assert requests.get(address, headers=admin).status_code == 400, "no session, no flow"
    visitor.get("two")
    visitor.post("two", {})
    shown = visitor.http.get(address, headers=admin).json()
    assert (len(shown["plans"]), shown["is_completed"]) == (1, False)
    assert shown["current_plan"]["current_stage"]["order"] == 10
    [bound] = shown["current_plan"]["current_stage"]["stage_obj"]["flow_set"]
    assert bound["background_url"] == "/static/dist/assets/images/flow_background.jpg"
    assert visitor.http.get(address).status_code == 403, "the cookie alone is nobody's"
    visitor.post("two", {})
    shown = visitor.http.get(address, headers=admin).json()
    assert (len(shown["plans"]), shown["is_completed"]) == (2, True)


def test_what_no_stage_takes(start_server):
    server = start_server()
    for path, body, field, text in [
        ("email", {"token_expiry": "minutes=5,hours=2"}, "token_expiry", "is not in the correct format"),
        ("user_login", {"session_duration": "hours=1;ages=2"}, "session_duration", "is not in the correct format"),
    ]:
        refused = server.api("POST", f"/stages/{path}/", {"name": "s"} | body, expect=400)
        assert text in refused[field][0], refused


def guard(server, target, expression):
    policy = server.api("POST", "/policies/expression/", {"name": expression[-60:], "expression": expression})
    server.api("POST", "/policies/bindings/", {"policy": policy["pk"], "target": target, "order": 0})


def binding_of(server, slug):
    flow = server.api("GET", f"/flows/instances/{slug}/")
    return server.api("GET", f"/flows/bindings/?target={flow['pk']}&ordering=order")["results"][0]["pk"]


def test_an_application_that_an_expression_finds_by_its_slug_is_named_on_the_page(start_server):
    server = start_server()
    for slug in ("wiki", "other"):
        launch = f"https://{slug}.example.test/"
        server.api("POST", "/core/applications/", {"name": slug.title(), "slug": slug, "meta_launch_url": launch})
    server.flow("f", "authentication", ("identification", {"user_fields": ["username"]}))
    lines = [
        "from authentik.core.models import Application",
        "plan = request.context['flow_plan'].context",
        "plan['application'] = Application.objects.get(slug='wiki')",
        "return Application.objects.filter(slug__startswith='w').count() == 1",
    ]
    guard(server, binding_of(server, "f"), "\n".join(lines))
    shown = server.browser().get("f")
    assert (shown["application_pre"], shown["application_pre_launch"]) == ("Wiki", "https://wiki.example.test/")


def test_policies_compare_dates_that_were_asked_for(start_server):
    server = start_server()
    prompts = [
        {"name": "born", "field_key": "attributes.born", "type": "date", "label": "Born", "required": True},
        {"name": "name", "field_key": "username", "type": "username", "label": "Name", "required": True},
    ]
    fields = [server.api("POST", "/stages/prompt/prompts/", prompt)["pk"] for prompt in prompts]
    lines = [
        "import datetime",
        "if request.context['prompt_data']['attributes.born'] > datetime.date(2008, 1, 1):",
        "    ak_message('You are too young.')",
        "    return False",
        "return True",
    ]
    adult = server.api("POST", "/policies/expression/", {"name": "adult", "expression": "\n".join(lines)})
    ask = {"fields": fields, "validation_policies": [adult["pk"]]}
    server.flow("f", "enrollment", ("prompt/stages", ask), ("user_write", {}))
    browser = server.browser()
    browser.get("f")
    refused = browser.post("f", {"username": "ann", "attributes.born": "2015-05-05"})
    assert refused["response_errors"]["non_field_errors"][0]["string"] == "You are too young."
    assert browser.post("f", {"username": "ann", "attributes.born": "1990-05-05"})["to"] == "/"
    [ann] = server.api("GET", "/core/users/?username=ann")["results"]
    assert ann["attributes"] == {"born": "1990-05-05"}


def switch(browser, **body):
    address = f"{browser.server.url}/api/v3/core/users/switch/?next=/if/x"
    return browser.http.post(address, json=body, headers={"X-authentik-CSRF": browser.http.cookies["authentik_csrf"]})


def accounts(browser):
    me = browser.http.get(f"{browser.server.url}/api/v3/core/users/me/").json()
    assert me["users"][0] == me["user"]
    return [(user["username"], user["is_current"]) for user in me["users"]]


def sign_in(browser, name):
    slug = "default-authentication-flow"
    assert browser.get(slug)["component"] == "ak-stage-identification"
    browser.post(slug, {"uid_field": name})
    return browser.post(slug, {"password": PASSWORD})


def test_several_accounts_of_one_browser(start_server):
    server = start_server()
    ann, bob, eve = (server.user(name) for name in ("ann", "bob", "eve"))
    for user in (ann, bob, eve):
        server.set_password(user)
    browser = server.browser()
    sign_in(browser, "ann")
    off = switch(browser, action="add")
    assert (off.status_code, off.json()) == (400, {"non_field_errors": ["User switching is disabled."]})
    server.flow("change", "authentication", ("user_login", {}))
    flow = server.api("GET", "/flows/instances/change/")
    [brand] = server.api("GET", "/core/brands/?default=true")["results"]
    brand = f"/core/brands/{brand['brand_uuid']}/"
    server.api("PATCH", brand, {"flow_user_switch": flow["pk"]})

    # A second account beside the first, whose key stays good.
    of_ann = dict(browser.http.cookies)
    added = switch(browser, action="add")
    assert added.json() == {"redirect": "/if/flow/default-authentication-flow/?next=%2Fif%2Fx"}
    sign_in(browser, "bob")
    assert accounts(browser) == [("bob", True), ("ann", False)]
    alone = server.browser()
    alone.http.cookies.update(of_ann)
    assert alone.me()["username"] == "ann"

    # Changing leads through the brand's flow, and back.
    for body, status in [({"user_pk": bob["pk"]}, 404), ({"user_pk": eve["pk"]}, 404), ({}, 400)]:
        assert switch(browser, action="switch", **body).status_code == status, body
    of_bob = dict(browser.http.cookies)
    assert switch(browser, user_pk=ann["pk"]).json() == {"redirect": "/if/flow/change/?next=%2Fif%2Fx"}
    assert browser.get("change", "next=/if/x")["to"] == "/if/x"
    assert accounts(browser) == [("ann", True), ("bob", False)]
    assert alone.me() is None, "the session goes on under a new key"
    # Whoever only names the session, without being its browser, gets nowhere.
    stranger = server.browser()
    sign_in(stranger, "eve")
    assert switch(stranger, user_pk=ann["pk"]).status_code == 404
    assert accounts(stranger) == [("eve", True)]

    # The chosen account may have been signed out meanwhile, or become inactive.
    assert switch(browser, user_pk=bob["pk"]).status_code == 200
    [session] = server.api("GET", "/core/authenticated_sessions/?user__username=bob")["results"]
    server.api("DELETE", f"/core/authenticated_sessions/{session['uuid']}/")
    denied = browser.get("change")
    assert denied["error_message"] == "The selected session is no longer available. Please try again."
    assert accounts(browser) == [("ann", True)]
    late = server.browser()
    late.http.cookies.update(of_bob)
    assert late.me() is None
    # Without a flow for it, the next account takes the place of the first.
    server.api("PATCH", brand, {"flow_user_switch": None})
    of_ann = dict(browser.http.cookies)
    sign_in(browser, "eve")
    assert accounts(browser) == [("eve", True)]
    alone = server.browser()
    alone.http.cookies.update(of_ann)
    assert alone.me() is None


def test_external_users_land_in_the_application_of_the_brand(start_server):
    server = start_server()
    server.set_password(server.user("guest", type="external"))
    browser = server.browser()
    sign_in(browser, "guest")

    def landing(path):
        answer = browser.http.get(f"{server.url}{path}", allow_redirects=False)
        return answer.status_code, answer.headers.get("location")

    assert (landing("/"), landing("/if/user/")) == ((302, "/if/user/"), (403, None))
    application = {"name": "App", "slug": "app", "meta_launch_url": "https://app.example.test/?for=%(username)s"}
    application = server.api("POST", "/core/applications/", application)
    [brand] = server.api("GET", "/core/brands/?default=true")["results"]
    server.api("PATCH", f"/core/brands/{brand['brand_uuid']}/", {"default_application": application["pk"]})
    for path in ("/", "/if/user/"):
        assert landing(path) == (302, "https://app.example.test/?for=guest")
    server.api("PATCH", "/core/applications/app/", {"meta_launch_url": "blank://blank"})
    assert landing("/if/user/") == (403, None)
