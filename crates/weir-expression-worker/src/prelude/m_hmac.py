import hashlib as _weir_hashlib


class _WeirHmac:
    def __init__(self, key, msg=None, digestmod=""):
        if not digestmod:
            raise TypeError("Missing required argument 'digestmod'.")
        self._new = digestmod
        probe = self._hash(b"")
        self.name = "hmac-" + probe.name
        self.digest_size = probe.digest_size
        self.block_size = probe.block_size
        if len(key) > self.block_size:
            key = self._hash(key).digest()
        key = key + b"\0" * (self.block_size - len(key))
        self._outer = bytes.fromhex("".join([f"{byte ^ 92:02x}" for byte in key]))
        self._text = bytes.fromhex("".join([f"{byte ^ 54:02x}" for byte in key]))
        if msg is not None:
            self.update(msg)

    def _hash(self, data):
        if isinstance(self._new, str):
            return _weir_hashlib.new(self._new, data)
        return self._new(data)

    def update(self, msg):
        self._text = self._text + msg

    def digest(self):
        return self._hash(self._outer + self._hash(self._text).digest()).digest()

    def hexdigest(self):
        return self.digest().hex()

    def copy(self):
        other = _WeirHmac(b"", None, self._new)
        other._outer = self._outer
        other._text = self._text
        return other


def _weir_hmac_new(key, msg=None, digestmod=""):
    return _WeirHmac(key, msg, digestmod)


def _weir_hmac_digest(key, msg, digest):
    return _WeirHmac(key, msg, digest).digest()


def _weir_compare_digest(a, b):
    if isinstance(a, str) != isinstance(b, str):
        raise TypeError("unsupported operand types(s) or combination of types")
    return a == b


class _weir_m_hmac:
    new = _weir_hmac_new
    HMAC = _weir_hmac_new
    digest = _weir_hmac_digest
    compare_digest = _weir_compare_digest
