"""The mutual TLS stage: Weir's own TLS listener and nginx in front, with certificates made by OpenSSL."""

import base64
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.parse

import pytest
import requests
from conftest import Browser, free_port, wait_for

pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")

REQUIRED = "Certificate required but no certificate was given."


class Certificates:
    """An authority and what it signs, in a folder."""

    def __init__(self, folder, name="ca"):
        self.folder = folder / name
        self.folder.mkdir()
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                 "-subj", f"/CN={name}", "-keyout", "ca.key", "-out", "ca.crt")

    def run(self, *arguments):
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def sign(self, name, extensions="extendedKeyUsage=clientAuth", days=("-days", "10"), key="ec"):
        """Paths of a certificate for this name and its key."""
        stem = f"{name}-{len(list(self.folder.iterdir()))}"
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else ["-newkey", key]
        self.run("req", *kind, "-nodes", "-subj", f"/O=Example/CN={name}", "-keyout", f"{stem}.key", "-out", f"{stem}.csr")
        (self.folder / f"{stem}.ext").write_text(f"basicConstraints=CA:FALSE\n{extensions}\n")
        self.run("x509", "-req", "-in", f"{stem}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", *days,
                 "-extfile", f"{stem}.ext", "-out", f"{stem}.crt")
        return str(self.folder / f"{stem}.crt"), str(self.folder / f"{stem}.key")

    def text(self):
        return (self.folder / "ca.crt").read_text()


class Client(Browser):
    """A browser at another address than the server's plain one, perhaps with a certificate."""

    def __init__(self, url, certificate=None):
        super().__init__(type("At", (), {"url": url}))
        self.http.verify = False
        # Settings of the machine would turn the check on again.
        self.http.trust_env = False
        self.http.cert = certificate


@pytest.fixture
def authority(tmp_path):
    return Certificates(tmp_path)


def log_in_flow(server, authority, mode="required", **fields):
    pair = server.api("POST", "/crypto/certificatekeypairs/", {"name": "ca", "certificate_data": authority.text()})
    stage = {
        "mode": mode,
        "cert_attribute": "common_name",
        "user_attribute": "username",
        "certificate_authorities": [pair["pk"]],
    } | fields
    return server.flow("card", "authentication", ("mtls", stage), ("user_login", {}))


def start_tls(start_server, **settings):
    address = f"127.0.0.1:{free_port()}"
    server = start_server(LISTEN_TLS=address, **settings)
    return server, f"https://{address}"


def test_a_certificate_signs_its_user_in_on_the_tls_listener(start_server, authority):
    server, url = start_tls(start_server)
    log_in_flow(server, authority)
    server.user("ann", email="ann@example.test")
    for key in ["ec", "rsa:2048", "ed25519"]:
        browser = Client(url, authority.sign("ann", key=key))
        assert browser.get("card")["component"] == "xak-flow-redirect"
        assert browser.me()["username"] == "ann"
        cookie = next(c for c in browser.http.cookies if c.name == "authentik_session")
        assert cookie.secure
    context = server.events("login")[0]["context"]
    assert context["auth_method"] == "mtls"
    certificate = context["auth_method_args"]["certificate"]
    assert certificate["subject"] == "CN=ann,O=Example"
    assert certificate["issuer"] == "CN=ca"
    assert certificate["serial_number"].isdigit()
    mine = subprocess.run(["openssl", "x509", "-in", browser.http.cert[0], "-noout", "-fingerprint", "-sha256"],
                          capture_output=True, text=True, check=True).stdout
    assert mine.strip().split("=")[1].lower() == certificate["fingerprint_sha256"]


def test_what_does_not_verify_is_refused_and_the_person_may_come_back(start_server, authority, tmp_path):
    server, url = start_tls(start_server)
    log_in_flow(server, authority)
    server.user("ann")
    bad = {
        "none": None,
        "of another authority": Certificates(tmp_path, "other").sign("ann"),
        "of one of the same name": Certificates(tmp_path / "ca", "ca").sign("ann"),
        "expired": authority.sign("ann", days=("-days", "-1")),
        "for servers only": authority.sign("ann", "extendedKeyUsage=serverAuth"),
        "for nothing in particular": authority.sign("ann", ""),
        "the authority's own": (str(authority.folder / "ca.crt"), str(authority.folder / "ca.key")),
    }
    for what, certificate in bad.items():
        browser = Client(url, certificate)
        shown = browser.get("card")
        assert (shown["component"], shown["error_message"]) == ("ak-stage-access-denied", REQUIRED), what
        assert browser.post("card", {})["error_message"] == REQUIRED, what
        assert browser.me() is None, what
    # The same browser, now with the right card.
    browser.http.cert = authority.sign("ann")
    browser.http.adapters["https://"].close()
    assert browser.get("card")["component"] == "xak-flow-redirect"
    stranger = Client(url, authority.sign("stranger"))
    assert stranger.get("card")["error_message"] == "No user found for certificate."


def test_no_handshake_without_the_key(start_server, authority):
    server, url = start_tls(start_server)
    log_in_flow(server, authority)
    (ann, _), (_, other) = authority.sign("ann"), authority.sign("other")
    host, port = urllib.parse.urlsplit(url).netloc.split(":")
    # OpenSSL itself refuses to load a pair that does not match, so the proof is made with a foreign key by hand.
    with pytest.raises(ssl.SSLError):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(ann, other)
    done = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-cert", ann, "-key", other],
                          input="", capture_output=True, text=True)
    assert done.returncode != 0


def test_headers_of_strangers_say_nothing(start_server, authority):
    """With loopback untrusted, the same headers that a proxy would send are spoofed ones."""
    certificate, _ = authority.sign("ann")
    text = open(certificate).read()
    der = ssl.PEM_cert_to_DER_cert(text)
    headers = [
        {"SSL-Client-Cert": urllib.parse.quote(text, safe="")},
        {"X-Forwarded-Client-Cert": f'Hash=1;Cert="{urllib.parse.quote(text, safe="")}"'},
        {"X-Forwarded-TLS-Client-Cert": base64.b64encode(der).decode()},
    ]
    server = start_server()
    log_in_flow(server, authority)
    server.user("ann")
    for header in headers:
        browser = server.browser()
        assert browser.get("card", headers=header)["component"] == "xak-flow-redirect", header
    server.env["WEIR_TRUSTED_PROXY_CIDRS"] = "10.0.0.0/8"
    server.restart()
    for header in headers:
        browser = server.browser()
        shown = browser.get("card", headers=header | {"X-Forwarded-For": "10.0.0.1"})
        assert shown["error_message"] == REQUIRED, header
        assert browser.me() is None


@pytest.fixture
def nginx(tmp_path, authority):
    """nginx as the documentation of `SSL-Client-Cert` would have it, in front of a server."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        pytest.skip("this machine has no nginx")
    running = []

    def start(server, verify="optional"):
        folder = tmp_path / f"nginx-{len(running)}"
        folder.mkdir()
        port = free_port()
        certificate, key = authority.sign("localhost", "extendedKeyUsage=serverAuth")
        (folder / "nginx.conf").write_text(f"""
            daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
            events {{ worker_connections 64; }}
            http {{
              access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
              uwsgi_temp_path {folder}; scgi_temp_path {folder};
              server {{
                listen 127.0.0.1:{port} ssl;
                ssl_certificate {certificate}; ssl_certificate_key {key};
                ssl_client_certificate {authority.folder}/ca.crt; ssl_verify_client {verify};
                location / {{
                  proxy_pass {server.url};
                  proxy_set_header Host $http_host;
                  proxy_set_header X-Forwarded-For $remote_addr;
                  proxy_set_header X-Forwarded-Proto $scheme;
                  proxy_set_header SSL-Client-Cert $ssl_client_escaped_cert;
                }}
              }}
            }}""")
        process = subprocess.Popen([program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"])
        running.append(process)

        def answers():
            assert process.poll() is None, (folder / "error.log").read_text()
            try:
                return requests.get(f"https://127.0.0.1:{port}/-/health/live/", verify=False, timeout=2).ok
            except requests.RequestException:
                return False

        wait_for("nginx", answers)
        return f"https://127.0.0.1:{port}"

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


def test_nginx_passes_the_certificate_on(start_server, authority, nginx, tmp_path):
    server = start_server()
    log_in_flow(server, authority)
    server.user("ann")
    url = nginx(server)
    browser = Client(url, authority.sign("ann"))
    assert browser.get("card")["component"] == "xak-flow-redirect"
    assert browser.me()["username"] == "ann"
    assert next(c for c in browser.http.cookies if c.name == "authentik_session").secure
    # Without a certificate nginx sends an empty header; what the client sends itself is replaced.
    spoofed = {"SSL-Client-Cert": urllib.parse.quote(open(authority.sign("ann")[0]).read(), safe="")}
    shown = Client(url).get("card", headers=spoofed)
    assert shown["error_message"] == REQUIRED
    # An nginx that lets everything pass leaves the judgement to the stage.
    open_url = nginx(server, "optional_no_ca")
    foreign = Client(open_url, Certificates(tmp_path, "other").sign("ann"))
    assert foreign.get("card")["error_message"] == REQUIRED
    assert Client(open_url, authority.sign("ann")).get("card")["component"] == "xak-flow-redirect"


def test_an_enrolment_takes_its_data_from_the_certificate(start_server, authority):
    server, url = start_tls(start_server)
    pair = server.api("POST", "/crypto/certificatekeypairs/", {"name": "ca", "certificate_data": authority.text()})
    brand = server.api("GET", "/core/brands/")["results"][0]
    server.api("PATCH", f"/core/brands/{brand['brand_uuid']}/", {"client_certificates": [pair["pk"]]})
    prompt = {"name": "username", "field_key": "username", "label": "Username", "type": "username", "required": True}
    prompt = server.api("POST", "/stages/prompt/prompts/", prompt)
    stage = {"mode": "required", "cert_attribute": "email", "user_attribute": "email"}
    server.flow("join", "enrollment", ("mtls", stage), ("prompt/stages", {"fields": [prompt["pk"]]}),
                ("user_write", {"user_creation_mode": "always_create"}))
    card = authority.sign("Ann Example", "extendedKeyUsage=clientAuth\nsubjectAltName=email:ann@example.test")
    browser = Client(url, card)
    assert browser.get("join")["component"] == "ak-stage-prompt"
    assert browser.post("join", {"username": "ann"})["component"] == "xak-flow-redirect"
    user = server.api("GET", "/core/users/?username=ann")["results"][0]
    assert (user["name"], user["email"]) == ("Ann Example", "ann@example.test")
    # The address in the certificate now leads to the account.
    server.flow("card", "authentication", ("mtls", stage), ("user_login", {}))
    assert Client(url, card).get("card")["component"] == "xak-flow-redirect"


def shown_certificate(url, name=None):
    host, port = urllib.parse.urlsplit(url).netloc.split(":")
    context = ssl._create_unverified_context()
    with socket.create_connection((host, int(port)), 5) as plain, context.wrap_socket(plain, server_hostname=name) as tls:
        return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)).strip()


def test_the_listener_keeps_a_certificate_of_its_own(start_server):
    server, url = start_tls(start_server)
    file = server.folder / "data" / "tls-self-signed.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    first = shown_certificate(url)
    assert first in file.read_text()
    assert requests.get(f"{url}/-/health/live/", verify=False, timeout=5).ok
    server.restart()
    assert shown_certificate(url) == first


def test_the_listeners_files_are_read_again_when_they_change(start_server, authority, tmp_path):
    (old, old_key), (new, new_key) = authority.sign("old", ""), authority.sign("new", "")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    shutil.copy(old, certificate)
    shutil.copy(old_key, key)
    server, url = start_tls(start_server, TLS__CERTIFICATE=certificate, TLS__KEY=key)
    assert shown_certificate(url) in open(old).read()
    shutil.copy(new, certificate)
    # Half of a change is none.
    time.sleep(3)
    assert shown_certificate(url) in open(old).read()
    shutil.copy(new_key, key)
    wait_for("the new certificate", lambda: shown_certificate(url) in open(new).read())
    shutil.copy(old_key, key)
    server.stop()
    log = server.log_text()
    with pytest.raises(AssertionError, match="tls.certificate, tls.key"):
        server.start()
    assert "panicked" not in log


def test_brands_show_certificates_of_their_own(start_server, authority):
    server, url = start_tls(start_server)
    usual = shown_certificate(url)
    certificate, key = authority.sign("brand", "subjectAltName=DNS:brand.example")
    pair = {"name": "brand", "certificate_data": open(certificate).read(), "key_data": open(key).read()}
    pair = server.api("POST", "/crypto/certificatekeypairs/", pair)
    server.api("POST", "/core/brands/", {"domain": "brand.example", "web_certificate": pair["pk"]})
    assert shown_certificate(url, "brand.example") in open(certificate).read()
    assert shown_certificate(url, "www.brand.example") in open(certificate).read()
    assert shown_certificate(url, "other.example") == usual
