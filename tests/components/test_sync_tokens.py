"""Outgoing sync: tokens that are renewed while calls made with the old ones are on their way."""

import pytest
from scim_target import ScimTarget
from test_scim import TokenServer, assign, full, oauth_source, provider, settled
from test_sync_changes import sql


@pytest.fixture
def target():
    made = ScimTarget(token="token-1")
    yield made
    made.close()


@pytest.fixture
def tokens():
    made = TokenServer()
    yield made
    made.close()


def by_tokens(server, target, tokens, **fields):
    source = oauth_source(server, tokens)
    made = provider(server, f"{target.url}/v2", token="", auth_mode="oauth", auth_oauth=source["pk"], **fields)
    settled(server, made, server.user("first"), "in_sync")
    return made


def meanwhile(target, name, work):
    """Before the first answer about somebody `work` is done; then the token of the call is refused."""
    done = []

    def rule(asked):
        if done or asked.method != "POST" or f'"{name}"'.encode() not in asked.body:
            return None
        done.append(work())
        return 401, {"detail": "no such token", "status": "401"}

    target.rules.append(rule)


def renewed(server, target, token):
    """Somebody else gets another token."""

    def work():
        sql(server, f"UPDATE sync_target SET access_token = '{token}'")
        target.token = token

    return work


def is_well(server):
    shown = server.api("GET", "/weir/sync/targets/")["results"]
    return all(target["blocked_until"] is None and target["failures"] == 0 for target in shown)


def test_a_refusal_of_an_old_token_leaves_the_new_one_and_the_target_alone(start_server, target, tokens):
    server = start_server()
    made = by_tokens(server, target, tokens)
    meanwhile(target, "late", renewed(server, target, "token-new"))
    settled(server, made, server.user("late"), "in_sync")
    assert "late" in target.users() and is_well(server)
    assert len(tokens.forms) == 1, "the new token is the one that is used"
    assert not server.events("configuration_error")
    # At once is at once.
    meanwhile(target, "later", renewed(server, target, "token-newer"))
    user = server.user("later")
    body = {"sync_object_model": "authentik.core.models.User", "sync_object_id": str(user["pk"])}
    server.api("POST", f"/providers/scim/{made['pk']}/sync/object/", body)
    settled(server, made, user, "in_sync")
    assert is_well(server) and len(tokens.forms) == 1


def test_a_full_sync_outlives_its_token(start_server, target, tokens):
    server = start_server()
    for number in range(6):
        server.user(f"user-{number}")

    def over():
        sql(server, "UPDATE sync_target SET token_expires = 1")
        target.token = "token-2"

    meanwhile(target, "user-4", over)
    source = oauth_source(server, tokens)
    fields = {"auth_mode": "oauth", "auth_oauth": source["pk"], "sync_page_size": 2, "token": ""}
    made = provider(server, f"{target.url}/v2", application=False, **fields)
    assign(server, "app", made["pk"])
    log = full(server, made)
    assert {f"user-{number}" for number in range(6)} <= set(target.users())
    assert len(tokens.forms) == 2 and is_well(server)
    assert not any("ended early" in line for line in log)
    shown = server.api("GET", f"/providers/scim/{made['pk']}/sync/status/")
    assert shown["last_successful_sync"]


def test_a_token_that_is_refused_in_use_is_given_up_and_said_so(start_server, target, tokens):
    server = start_server()
    by_tokens(server, target, tokens)
    target.token = "token-2"
    user = server.user("later")
    made = server.api("GET", "/providers/scim/")["results"][0]
    settled(server, made, user, "in_sync")
    assert len(tokens.forms) == 2 and len(server.events("configuration_error")) == 1


def test_a_token_that_another_node_got_meanwhile_is_used(start_server, target, tokens):
    server = start_server()
    made = by_tokens(server, target, tokens)
    answer = tokens.answer

    def too_late(asked):
        answer(asked)
        far = "token_expires = token_updated + 3600000000, token_updated = token_updated + 1"
        sql(server, f"UPDATE sync_target SET access_token = 'token-other', {far}")
        return 400, {"error": "invalid_grant"}

    tokens.answer = too_late
    sql(server, "UPDATE sync_target SET token_expires = 1")
    target.token = "token-other"
    settled(server, made, server.user("later"), "in_sync")
    assert len(tokens.forms) == 2 and is_well(server)
    assert not server.events("configuration_error")
