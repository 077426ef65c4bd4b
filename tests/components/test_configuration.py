"""The whole configuration, moved from one installation to another by the command line."""

import os
import re
import subprocess

from conftest import wait_for


def weir(server, *words):
    """A command beside a server."""
    return subprocess.run(
        [os.environ["WEIR_BIN"], *words], cwd=server.folder, env=server.env, capture_output=True, text=True
    )


def exported(server):
    done = weir(server, "blueprint", "export")
    assert done.returncode == 0, done.stderr
    return done.stdout


def seed(server):
    """An object of each kind around policies, permissions, events, tasks and sync."""
    post = lambda path, **body: server.api("POST", path, body)
    role = post("/rbac/roles/", name="helpers")
    staff = post("/core/groups/", name="staff", attributes={"team": "a"}, roles=[role["pk"]])
    post("/core/groups/", name="below", parents=[staff["pk"]])
    server.api("POST", f"/rbac/permissions/assigned_by_roles/{role['pk']}/assign/", {
        "permissions": ["authentik_core.view_user", "authentik_policies.view_policy"]})
    permission = server.api("GET", "/rbac/permissions/?codename=view_application")["results"][0]["id"]
    post("/rbac/initial_permissions/", name="initial", role=role["pk"], permissions=[permission])
    flow = post("/flows/instances/", name="f", slug="moved", title="f", designation="stage_configuration")
    policies = [
        post("/policies/dummy/", name="p-dummy"),
        post("/policies/expression/", name="p-expression", expression="return True"),
        post("/policies/password/", name="p-password", length_min=12, error_message="longer"),
        post("/policies/password_expiry/", name="p-expiry", days=30),
        post("/policies/unique_password/", name="p-unique", num_historical_passwords=3),
        post("/policies/reputation/", name="p-reputation", check_ip=True, threshold=-3),
        post("/policies/event_matcher/", name="p-matcher", action="login", app="authentik.core"),
        post("/policies/geoip/", name="p-geoip", asns=[64500], countries=["AT"]),
    ]
    for order, policy in enumerate(policies):
        target = flow["policybindingmodel_ptr_id"]
        post("/policies/bindings/", target=target, policy=policy["pk"], order=order, negate=order % 2 == 1, enabled=False)
    hook = post("/propertymappings/notification/", name="m-webhook", expression="return {}")
    transport = post("/events/transports/", name="t", mode="webhook", webhook_url="http://127.0.0.1:1/",
                     webhook_mapping_body=hook["pk"], send_once=True)
    rule = post("/events/rules/", name="r", severity="alert", destination_group=staff["pk"], transports=[transport["pk"]])
    post("/policies/bindings/", target=rule["pk"], policy=policies[6]["pk"], order=0)
    mappings = {kind: post(f"/propertymappings/provider/{kind}/", name=f"m-{kind}", expression="return {}")["pk"]
                for kind in ("scim", "google_workspace", "microsoft_entra")}
    scim = post("/providers/scim/", name="s", url="http://127.0.0.1:1/v2", token="kept-secret", dry_run=True,
                property_mappings=[mappings["scim"]], group_filters=[staff["pk"]], compatibility_mode="aws")
    post("/providers/google_workspace/", name="g", delegated_subject="a@example.test", credentials={"type": "x"},
         default_group_email_domain="example.test", filter_group=staff["pk"],
         property_mappings=[mappings["google_workspace"]])
    post("/providers/microsoft_entra/", name="e", client_id="c", client_secret="kept-secret", tenant_id="t",
         property_mappings=[mappings["microsoft_entra"]])
    app = post("/core/applications/", name="App", slug="app", group="g", backchannel_providers=[scim["pk"]])
    entitlement = post("/core/application_entitlements/", app=app["pk"], name="may", attributes={"a": 1})
    post("/policies/bindings/", target=entitlement["pbm_uuid"], group=staff["pk"], order=0)
    post("/core/object_attributes/", object_type="authentik_core.user", key="k1", type="text", label="L")
    post("/stages/account_lockdown/", name="lock", delete_sessions=False)
    [schedule] = server.api("GET", "/tasks/schedules/?actor_name=clean_expired")["results"]
    server.api("PATCH", f"/tasks/schedules/{schedule['id']}/", {"crontab": "3 4 * * *", "paused": True})


MODELS = [
    "authentik_core.application", "authentik_core.applicationentitlement", "authentik_core.objectattribute",
    "authentik_events.notificationrule", "authentik_events.notificationtransport",
    "authentik_events.notificationwebhookmapping", "authentik_policies.policybinding",
    "authentik_policies_dummy.dummypolicy", "authentik_policies_event_matcher.eventmatcherpolicy",
    "authentik_policies_expiry.passwordexpirypolicy", "authentik_policies_geoip.geoippolicy",
    "authentik_policies_password.passwordpolicy", "authentik_policies_reputation.reputationpolicy",
    "authentik_policies_unique_password.uniquepasswordpolicy",
    "authentik_providers_google_workspace.googleworkspaceprovider",
    "authentik_providers_google_workspace.googleworkspaceprovidermapping",
    "authentik_providers_microsoft_entra.microsoftentraprovider",
    "authentik_providers_microsoft_entra.microsoftentraprovidermapping", "authentik_providers_scim.scimmapping",
    "authentik_providers_scim.scimprovider", "authentik_rbac.role", "authentik_stages_account_lockdown.accountlockdownstage",
    "authentik_tasks_schedules.schedule",
]


def test_what_is_exported_is_the_same_after_it_was_imported_elsewhere(start_server, tmp_path):
    here = start_server()
    seed(here)
    text = exported(here)
    missing = [model for model in MODELS if f"model: {model}\n" not in text]
    assert not missing, missing
    assert "kept-secret" not in text
    file = tmp_path / "moved.yaml"
    file.write_text(text)
    # Where it comes from, it changes nothing.
    assert weir(here, "blueprint", "apply", str(file)).returncode == 0
    assert exported(here) == text
    elsewhere = start_server()
    # Secrets are named by the export and given by whoever imports it.
    secrets = sorted(set(re.findall(r"!Context (\S+)", text)))
    given = [word for name in secrets for word in ("--context", f"{name}=of-elsewhere")]
    done = weir(elsewhere, "blueprint", "apply", str(file), *given)
    assert done.returncode == 0, done.stdout + done.stderr
    moved = exported(elsewhere)
    different = [pair for pair in zip(text.splitlines(), moved.splitlines()) if pair[0] != pair[1]]
    assert not different and len(text) == len(moved), different[:3]
    [schedule] = elsewhere.api("GET", "/tasks/schedules/?actor_name=clean_expired")["results"]
    assert (schedule["crontab"], schedule["paused"]) == ("3 4 * * *", True)
    # The server hears of what another process wrote.
    path = "/policies/event_matcher/?name=p-matcher"
    [matcher] = wait_for("the policy", lambda: elsewhere.api("GET", path)["results"])
    assert (matcher["action"], matcher["app"]) == ("login", "authentik.core")
