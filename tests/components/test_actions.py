"""Every action of events that something here causes, provoked at a whole server. Those that other tests provoke with what
they need for it (mail, sources, devices, invitations, impersonation) are not repeated."""

from conftest import wait_for
from test_sync_changes import sql

SIGN_IN = "default-authentication-flow"


def newest(server, action):
    return wait_for(action, lambda: server.events(action))[0]


def send(server, actor):
    """Runs a scheduled task now."""
    [schedule] = server.api("GET", f"/tasks/schedules/?actor_name={actor}")["results"]
    server.api("POST", f"/tasks/schedules/{schedule['id']}/send/")


def bound(server, expression, **fields):
    """A policy that is asked whenever somebody signs in."""
    policy = server.api("POST", "/policies/expression/", {"name": "asked", "expression": expression} | fields)
    [flow] = server.api("GET", f"/flows/instances/?slug={SIGN_IN}")["results"]
    body = {"target": flow["policybindingmodel_ptr_id"], "policy": policy["pk"], "order": 99}
    server.api("POST", "/policies/bindings/", body)
    return policy


def test_who_signs_in_and_out_and_gets_passwords_and_keys_is_told(start_server):
    server = start_server()
    ann = server.user("ann")
    server.set_password(ann)
    assert newest(server, "password_set")["context"]["model"]["pk"] == ann["pk"]
    browser = server.signed_in("ann")
    told = newest(server, "login")
    assert told["user"]["username"] == "ann" and told["context"]["auth_method"] == "password"
    browser.get("default-invalidation-flow")
    assert newest(server, "logout")["user"]["username"] == "ann"
    token = server.api("POST", "/core/tokens/", {"identifier": "of-ann", "intent": "app_password", "user": ann["pk"]})
    server.api("GET", f"/core/tokens/{token['identifier']}/view_key/")
    seen = newest(server, "secret_view")
    assert seen["context"]["secret"]["name"] == "of-ann" and seen["user"]["username"] == "akadmin"
    server.api("POST", f"/core/tokens/{token['identifier']}/set_key/", {"key": "another-key-of-ann"})
    assert newest(server, "secret_rotate")["context"]["secret"]["name"] == "of-ann"
    server.api("DELETE", f"/core/users/{ann['pk']}/")
    assert newest(server, "model_deleted")["context"]["model"]["name"] == "ann"
    assert "another-key-of-ann" not in str(server.api("GET", "/events/events/?page_size=100")) + server.log_text()


def test_policies_tell_of_each_run_or_of_what_they_raise(start_server):
    server = start_server()
    policy = bound(server, "ak_message('looked at')\nreturn True", execution_logging=True)
    server.signed_in("akadmin")
    run = newest(server, "policy_execution")["context"]
    assert run["result"]["passing"] is True and run["result"]["messages"] == ["looked at"]
    server.api("PATCH", f"/policies/expression/{policy['pk']}/", {"expression": "raise ValueError('out of order')"})
    server.browser().get(SIGN_IN)
    assert "out of order" in str(newest(server, "policy_exception")["context"])
    told = len(server.events("policy_execution"))
    changed = {"expression": "return True", "execution_logging": False}
    server.api("PATCH", f"/policies/expression/{policy['pk']}/", changed)
    server.signed_in("akadmin")
    assert len(server.events("policy_execution")) == told


def test_failures_of_requests_and_of_tasks_are_told(start_server):
    server = start_server()
    server.stop()
    sql(server, "ALTER TABLE password_history RENAME TO lost_history")
    sql(server, "ALTER TABLE reputation RENAME TO lost_reputation")
    server.start()
    answer = server.api("GET", "/policies/reputation/scores/", expect=500)
    told = newest(server, "system_exception")
    assert told["context"]["http_request"]["path"].endswith("/policies/reputation/scores/")
    assert "reputation" not in str(answer), "why stands in the log"
    assert told["context"]["http_request"]["request_id"] in server.log_text()
    send(server, "trim_password_history")
    assert newest(server, "system_task_exception")["context"]["task"] == "trim_password_history"


def test_a_finished_export_is_told_and_so_is_a_trail_that_outgrew_its_budget(start_server):
    server = start_server(EVENTS__MAX_ROWS="20")
    server.api("POST", "/core/users/export/")
    ready = newest(server, "export_ready")
    assert ready["user"]["username"] == "akadmin"
    for number in range(30):
        server.user(f"user-{number}")
    send(server, "clean_expired")
    warned = newest(server, "configuration_warning")
    assert "budget" in warned["context"]["message"] and warned["context"]["removed"] > 0

    def cleaned():
        found = server.api("GET", "/tasks/tasks/?actor_name=clean_expired&state=done")["results"]
        return [task["logs"][-1] for task in found if task["logs"][-1]["attributes"]["removed"]["audit_event"]]

    [said] = wait_for("the log of the task", cleaned)
    assert said["attributes"]["removed"]["audit_event"] >= warned["context"]["removed"], said
