"""Servers of Weir (WEIR_BIN) beside the real components they talk to: mail servers, authenticators, proxies, providers.

Each test starts what it needs and names it to the server by settings. With WEIR_TEST_POSTGRES_URL every server gets a
PostgreSQL database of its own, otherwise SQLite.
"""

import os
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import uuid
from pathlib import Path

import pytest
import requests

TOKEN = "token-of-a-throw-away-server-for-components"
PASSWORD = "Throw-away-password-1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, check, seconds=60.0):
    """The first truthy result of `check`. Patience costs nothing where things go well, and machines may be busy."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = check()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


class Browser:
    """Walks flows as the executor's clients do: cookies, and redirects followed with GET."""

    def __init__(self, server):
        self.server = server
        self.http = requests.Session()

    def url(self, slug, query=""):
        return f"{self.server.url}/api/v3/flows/executor/{slug}/?query={urllib.parse.quote(query)}"

    def get(self, slug, query="", **options):
        return self._challenge(self.http.get(self.url(slug, query), **options))

    def post(self, slug, answer, query="", **options):
        headers = {"X-authentik-CSRF": self.http.cookies.get("authentik_csrf", "")} | options.pop("headers", {})
        return self._challenge(self.http.post(self.url(slug, query), json=answer, headers=headers, **options))

    @staticmethod
    def _challenge(answer):
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        return answer.json()

    def act(self, method, path, body=None):
        """The answer of the API to whoever is signed in; `path` below /api/v3."""
        csrf = {"X-authentik-CSRF": self.http.cookies.get("authentik_csrf", "")}
        return self.http.request(method, f"{self.server.url}/api/v3{path}", json=body, headers=csrf)

    def me(self):
        """The signed-in user, or None."""
        answer = self.http.get(f"{self.server.url}/api/v3/core/users/me/")
        return answer.json()["user"] if answer.ok else None


class Server:
    def __init__(self, folder: Path, settings: dict[str, str]):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        self.env |= {
            "WEIR_LISTEN": self.url.removeprefix("http://"),
            "WEIR_DATA_DIR": str(folder / "data"),
            "WEIR_BOOTSTRAP_PASSWORD": PASSWORD,
            "WEIR_BOOTSTRAP_TOKEN": TOKEN,
            "WEIR_BOOTSTRAP_EMAIL": "akadmin@example.test",
        }
        postgres = os.environ.get("WEIR_TEST_POSTGRES_URL")
        if postgres:
            name = f"weir_component_{uuid.uuid4().hex[:12]}"
            subprocess.run(["psql", "-q", postgres, "-c", f"CREATE DATABASE {name}"], check=True)
            self.env["WEIR_DATABASE_URL"] = str(urllib.parse.urlsplit(postgres)._replace(path=f"/{name}").geturl())
        self.env |= settings
        self.log = folder / "server.log"
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [os.environ["WEIR_BIN"], "serve"], cwd=self.folder, env=self.env, stdout=log, stderr=log
            )

        def is_ready():
            assert self.process.poll() is None, f"the server ended at once:\n{self.log_text()[-4000:]}"
            try:
                return requests.get(f"{self.url}/-/health/ready/", timeout=2).ok
            except requests.RequestException:
                return False

        wait_for("a ready server", is_ready, 60)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def restart(self):
        self.stop()
        self.start()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def api(self, method, path, body=None, expect=None):
        """The API as the administrator; `path` below /api/v3. Fails unless the answer is a success or `expect`."""
        answer = requests.request(
            method,
            f"{self.url}/api/v3{path}",
            json=body,
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        good = answer.status_code == expect if expect else answer.ok
        assert good, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def browser(self) -> Browser:
        return Browser(self)

    def signed_in(self, username) -> Browser:
        """A browser in which somebody signed in by the default flow, with the usual password."""
        browser = self.browser()
        browser.get("default-authentication-flow")
        browser.post("default-authentication-flow", {"uid_field": username})
        browser.post("default-authentication-flow", {"password": PASSWORD})
        assert browser.me()["username"] == username
        return browser

    def user(self, username, **fields):
        user = self.api("POST", "/core/users/", {"username": username, "name": username} | fields)
        return user

    def set_password(self, user, password=PASSWORD):
        self.api("POST", f"/core/users/{user['pk']}/set_password/", {"password": password})

    def flow(self, slug, designation, *stages, **fields):
        """A flow of `(path below /stages/, fields)`; answers the stages."""
        body = {"slug": slug, "name": slug, "title": slug, "designation": designation} | fields
        flow = self.api("POST", "/flows/instances/", body)
        made = []
        for order, (path, stage) in enumerate(stages):
            stage = self.api("POST", f"/stages/{path}/", {"name": f"{slug}-{order}"} | stage)
            self.api("POST", "/flows/bindings/", {"target": flow["pk"], "stage": stage["pk"], "order": order * 10})
            made.append(stage)
        return made

    def events(self, action):
        return self.api("GET", f"/events/events/?action={action}&ordering=-created&page_size=100")["results"]


@pytest.fixture
def start_server(tmp_path, request):
    """Starts a server with these settings (names without the leading WEIR_)."""
    started = []

    def start(**settings):
        folder = tmp_path / f"server-{len(started)}"
        folder.mkdir()
        server = Server(folder, {f"WEIR_{name}": str(value) for name, value in settings.items()})
        started.append(server)
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()
        assert not re.search(r"panicked at", server.log_text()), server.log_text()[-4000:]
        shutil.rmtree(server.folder, ignore_errors=True)
