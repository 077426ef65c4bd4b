"""An authenticator in software, written from the standard (WebAuthn Level 3)."""

import base64
import hashlib
import json
import os
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    if number < 256:
        return bytes([major << 5 | 24, number])
    return bytes([major << 5 | 25]) + struct.pack(">H", number)


def cbor(value) -> bytes:
    """As much of CBOR as authenticators write."""
    match value:
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value.encode())) + value.encode()
        case dict():
            return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())
    raise TypeError(value)


class Authenticator:
    """Keeps one resident ES256 credential; verifies its user unless told otherwise."""

    def __init__(self, origin, verifies=True, counts=True):
        self.origin, self.verifies, self.count, self.step = origin, verifies, 0, int(counts)

    def client_data(self, kind, challenge):
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}).encode()

    def data(self, rp_id, more=0):
        self.count += self.step
        flags = 0x01 | (0x04 if self.verifies else 0) | more
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + struct.pack(">I", self.count)

    def answer(self, response):
        return {"id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "response": response}

    def create(self, options):
        self.key, self.id = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
        self.rp_id, self.user = options["rp"]["id"], unb64(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = cbor({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        data = self.data(self.rp_id, 0x40) + bytes(16) + struct.pack(">H", len(self.id)) + self.id + cose
        return self.answer(
            {
                "clientDataJSON": b64(self.client_data("webauthn.create", options["challenge"])),
                "attestationObject": b64(cbor({"fmt": "none", "attStmt": {}, "authData": data})),
            }
        )

    def get(self, options):
        client, data = self.client_data("webauthn.get", options["challenge"]), self.data(self.rp_id)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self.answer(
            {
                "clientDataJSON": b64(client),
                "authenticatorData": b64(data),
                "signature": b64(signature),
                "userHandle": b64(self.user),
            }
        )
