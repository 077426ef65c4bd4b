"""Operations of our own, below /weir/: what the server says of them in its OpenAPI document is what it answers."""

import pytest
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import validate

from conftest import wait_for


@pytest.fixture
def server(start_server):
    return start_server()


@pytest.fixture
def document(server):
    return server.api("GET", "/schema/?format=json")


def resolved(document, schema):
    """A schema without references, in which nothing may stand that it does not name."""
    if isinstance(schema, list):
        return [resolved(document, item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        found = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return resolved(document, found)
    whole = {name: resolved(document, part) for name, part in schema.items()}
    if isinstance(whole.get("properties"), dict):
        whole["additionalProperties"] = False
    return whole


def test_the_document_is_valid_and_marks_what_is_ours(document):
    validate(document)
    own = {path for path, item in document["paths"].items() if any("x-weir-extension" in o for o in item.values())}
    assert own == {path for path in document["paths"] if path.startswith("/weir/")}
    assert {"/weir/dry_run/", "/weir/lockdowns/", "/weir/sync/states/"} <= own


def test_answers_are_as_they_are_described(server, document):
    ann, bob = (server.user(name)["pk"] for name in ("ann", "bob"))
    provider = server.api("POST", "/providers/scim/", {"name": "s", "url": "http://127.0.0.1:9/", "token": "x"})["pk"]
    server.api("POST", "/core/applications/", {"name": "a", "slug": "a", "backchannel_providers": [provider]})
    flow = server.api("GET", "/flows/instances/default-authentication-flow/")["pk"]

    def described(method, template, body=None, **values):
        answer = server.api(method, template.format(**values), body)
        responses = document["paths"][template][method.lower()]["responses"]
        (status,) = [status for status in responses if status.startswith("2")]
        schema = responses[status]["content"]["application/json"]["schema"]
        errors = list(OAS30Validator(resolved(document, schema)).iter_errors(answer))
        assert errors == [], template
        return answer

    described("POST", "/weir/dry_run/", {"user": ann, "flow": flow})
    described("POST", "/weir/dry_run/", {"user": ann, "target": flow})
    batch = described("POST", "/weir/lockdowns/", {"users": [ann, bob], "reason": "r"})["batch"]

    def locked():
        counts = described("GET", "/weir/lockdowns/batches/{batch}/", batch=batch)["counts"]
        return counts["locked"] == 2

    wait_for("the lockdown", locked)
    records = described("GET", "/weir/lockdowns/")["results"]
    assert len(records) == 2
    described("GET", "/weir/lockdowns/{id}/", id=records[0]["record"]["id"])
    assert described("GET", "/weir/lockdowns/key/")["kty"] == "OKP"
    described("POST", "/weir/users/{id}/unlock/", {"reason": "x"}, id=ann)
    assert described("GET", "/weir/sync/states/")["count"] > 0
    described("GET", "/weir/sync/targets/")
    described("POST", "/weir/sync/replay/", {})
    described("POST", "/weir/sessions/end/", {"users": [bob]})
