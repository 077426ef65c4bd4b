"""An administrator's client and a browser-like one for a running server (WEIR_URL, WEIR_TOKEN)."""

import json
import os
import uuid

import authentik_client as ak
import pytest


def _configuration(token: str | None = None) -> ak.Configuration:
    return ak.Configuration(host=os.environ["WEIR_URL"].rstrip("/") + "/api/v3", access_token=token)


@pytest.fixture(scope="session")
def api():
    with ak.ApiClient(_configuration(os.environ["WEIR_TOKEN"])) as client:
        yield client


@pytest.fixture
def unique():
    """Names that nothing else has, so that the tests may run again on the same server."""
    return lambda stem: f"{stem}-{uuid.uuid4().hex}"


class Browser:
    """Walks a flow with the official client, keeping the session cookie as a browser would.

    The client's union of all challenges takes a body for several kinds at once and refuses it, on any server.
    So the answers are read raw, and decoded by the client's class for the kind that `component` names.
    """

    def __init__(self):
        self.client = ak.ApiClient(_configuration())
        self.flows = ak.FlowsApi(self.client)

    def get(self, slug, query=""):
        return self._read(self.flows.flows_executor_get_without_preload_content(slug, query))

    def solve(self, slug, answer, query=""):
        body = ak.FlowChallengeResponseRequest(answer)
        return self._read(self.flows.flows_executor_solve_without_preload_content(slug, query, body))

    def _read(self, response):
        cookies = response.headers.getlist("Set-Cookie") if hasattr(response.headers, "getlist") else []
        session = [cookie.split(";")[0] for cookie in cookies if cookie.startswith("authentik_session=")]
        if session:
            self.client.cookie = session[-1]
        assert response.status == 200, response.data
        challenge = json.loads(response.data)
        return CHALLENGES[challenge["component"]].from_dict(challenge)


CHALLENGES = {
    "ak-stage-access-denied": ak.AccessDeniedChallenge,
    "ak-stage-dummy": ak.DummyChallenge,
    "ak-stage-identification": ak.IdentificationChallenge,
    "ak-stage-password": ak.PasswordChallenge,
    "xak-flow-redirect": ak.RedirectChallenge,
}


@pytest.fixture
def browser():
    return Browser()
