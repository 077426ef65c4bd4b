import os as _weir_os
import hashlib as _weir_hashlib


class _WeirUuid:
    def __init__(self, hex=None, bytes=None, int=None, version=None):
        if hex is not None:
            digits = str(hex).replace("urn:", "").replace("uuid:", "").strip("{}").replace("-", "")
            if len(digits) != 32 or not all(char in "0123456789abcdefABCDEF" for char in digits):
                raise ValueError("badly formed hexadecimal UUID string")
            self.hex = digits.lower()
        elif bytes is not None:
            if len(bytes) != 16:
                raise ValueError("bytes is not a 16-char string")
            self.hex = bytes.hex()
        elif int is not None:
            self.hex = f"{int:032x}"
        else:
            raise TypeError("one of the hex, bytes, bytes_le, fields, or int arguments must be given")
        if version is not None:
            variant = "89ab"[_weir_digit(self.hex[16]) & 3]
            self.hex = self.hex[:12] + str(version) + self.hex[13:16] + variant + self.hex[17:]
        self.version = _weir_digit(self.hex[12])
        self.bytes = _weir_from_hex(self.hex)
        self.int = _weir_number(self.hex)
        self.urn = "urn:uuid:" + str(self)

    def __str__(self):
        text = self.hex
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def __repr__(self):
        return f"UUID('{self}')"

    def __int__(self):
        return self.int

    def __hash__(self):
        return hash(self.hex)

    def __eq__(self, other):
        return type(other) is _WeirUuid and self.hex == other.hex


def _weir_digit(char):
    return int(char, 16)


def _weir_number(text):
    return int(text, 16)


def _weir_from_hex(text):
    return bytes.fromhex(text)


def _weir_uuid_make(hex=None, bytes=None, bytes_le=None, fields=None, int=None, version=None):
    return _WeirUuid(hex, bytes, int, version)


def _weir_uuid4():
    return _WeirUuid(None, _weir_os.urandom(16), None, 4)


def _weir_uuid_named(algorithm, version):
    def make(namespace, name):
        data = name.encode("utf-8") if isinstance(name, str) else name
        return _WeirUuid(None, algorithm(namespace.bytes + data).digest()[:16], None, version)
    return make


class _weir_m_uuid:
    UUID = _weir_uuid_make
    uuid1 = _weir_uuid4
    uuid4 = _weir_uuid4
    uuid3 = _weir_uuid_named(_weir_hashlib.md5, 3)
    uuid5 = _weir_uuid_named(_weir_hashlib.sha1, 5)
    NAMESPACE_DNS = _WeirUuid("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    NAMESPACE_URL = _WeirUuid("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
    NAMESPACE_OID = _WeirUuid("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
    NAMESPACE_X500 = _WeirUuid("6ba7b814-9dad-11d1-80b4-00c04fd430c8")
