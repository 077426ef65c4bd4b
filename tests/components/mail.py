"""A mail server (aiosmtpd) that keeps what it is given, and certificates for it."""

import asyncio
import datetime
import email
import email.policy
import html
import re
import ssl
import threading
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from conftest import wait_for


class Letter:
    """What arrived: envelope, parsed message, and how the client came."""

    def __init__(self, transport, session, envelope):
        self.to = list(envelope.rcpt_tos)
        self.sender = envelope.mail_from
        self.raw = bytes(envelope.content)
        self.message = email.message_from_bytes(self.raw, policy=email.policy.default)
        self.is_encrypted = transport.get_extra_info("ssl_object") is not None
        self.login = session.auth_data.login.decode() if session.auth_data else None

    @property
    def text(self):
        return self.message.get_body(("plain",)).get_content()

    @property
    def html(self):
        return self.message.get_body(("html",)).get_content()

    @property
    def link(self):
        """The one link of the text, which the page has too."""
        [link] = {line for line in self.text.splitlines() if re.match(r"https?://\S+$", line)}
        assert link in [html.unescape(href) for href in re.findall(r'href="([^"]+)"', self.html)], self.html
        return link


class MailServer:
    """Takes mail. `starttls` and `tls` are contexts, `login` the only name and password that sign in, which is then needed.

    `trouble` is the answer to every mail instead of taking it; "hang" keeps it and never answers.
    """

    def __init__(self, port=0, starttls=None, tls=None, login=None, mechanisms=("PLAIN", "LOGIN")):
        self.letters, self.trouble = [], None
        # Senders that were named, and names that tried to sign in.
        self.senders, self.tried = [], []
        self.login = login
        self._given, self._transports = 0, set()
        without = {"PLAIN", "LOGIN"} - set(mechanisms)
        keeper = self

        class Session(SMTP):
            def connection_made(self, transport):
                keeper._transports.add(transport)
                super().connection_made(transport)

        def session():
            return Session(
                self,
                hostname="mail.example.test",
                tls_context=starttls,
                require_starttls=starttls is not None,
                auth_required=login is not None,
                auth_require_tls=False,
                auth_exclude_mechanism=without if login else {"PLAIN", "LOGIN"},
                authenticator=self.authenticate,
                loop=self._loop,
            )

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(self._loop.create_server(session, "127.0.0.1", port, ssl=tls))
        self.port = self._server.sockets[0].getsockname()[1]

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def authenticate(self, _server, _session, _envelope, mechanism, given):
        said = (given.login.decode(), given.password.decode())
        self.tried.append((mechanism, said[0]))
        return AuthResult(success=said == self.login, handled=False, auth_data=given)

    async def handle_MAIL(self, _server, _session, envelope, address, options):
        self.senders.append(address)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.trouble and self.trouble != "hang":
            return self.trouble
        self.letters.append(Letter(server.transport, session, envelope))
        if self.trouble == "hang":
            await asyncio.Event().wait()
        return "250 taken"

    @property
    def settings(self):
        return {"EMAIL__HOST": "127.0.0.1", "EMAIL__PORT": self.port, "EMAIL__FROM": "Weir Test <id@example.test>"}

    def next(self, address=None, seconds=60):
        """The next letter, which must be for that address."""
        wait_for(f"a letter to {address}", lambda: len(self.letters) > self._given, seconds)
        letter = self.letters[self._given]
        self._given += 1
        assert address is None or letter.to == [address], letter.to
        return letter

    def stop(self):
        if not self._thread.is_alive():
            return

        async def close():
            self._server.close()
            for transport in self._transports:
                transport.abort()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        self._call(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)


class Authority:
    """A certificate authority; `ca_file` is its certificate."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), self._name("An authority of our own")
        builder = self._builder(self.name, self.key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self._signed(builder).public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def _name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def _builder(self, name, public_key):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(public_key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=9))

    def _signed(self, builder):
        return builder.sign(self.key, hashes.SHA256())

    def context(self, *names):
        """A server's side of TLS with a certificate for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(self._name("mail server"), key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        chain = self.folder / f"{x509.random_serial_number():x}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain.write_bytes(secret + self._signed(builder).public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context


@pytest.fixture
def start_mail():
    """Starts mail servers."""
    started = []

    def start(**options):
        started.append(MailServer(**options))
        return started[-1]

    yield start
    for server in started:
        server.stop()
