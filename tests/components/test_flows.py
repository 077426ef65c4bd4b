"""What administrators and scripts see of flows from outside: the inspector, durations, what stages refuse."""

import requests
from conftest import TOKEN


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
        ("password", {"backends": []}, "backends", "This list may not be empty."),
        ("email", {"token_expiry": "minutes=5,hours=2"}, "token_expiry", "is not in the correct format"),
        ("user_login", {"session_duration": "hours=1;ages=2"}, "session_duration", "is not in the correct format"),
    ]:
        refused = server.api("POST", f"/stages/{path}/", {"name": "s"} | body, expect=400)
        assert text in refused[field][0], refused
