import os as _weir_os
import base64 as _weir_base64


def _weir_token_bytes(nbytes=None):
    return _weir_os.urandom(32 if nbytes is None else nbytes)


def _weir_token_hex(nbytes=None):
    return _weir_token_bytes(nbytes).hex()


def _weir_token_urlsafe(nbytes=None):
    return _weir_base64.urlsafe_b64encode(_weir_token_bytes(nbytes)).rstrip(b"=").decode("ascii")


def _weir_randbelow(limit):
    if limit <= 0:
        raise ValueError("Upper bound must be positive.")
    size = len(f"{limit:x}") // 2 + 9
    return int(_weir_os.urandom(size).hex(), 16) % limit


def _weir_secret_choice(seq):
    if not seq:
        raise IndexError("Cannot choose from an empty sequence")
    return seq[_weir_randbelow(len(seq))]


def _weir_secret_compare(a, b):
    return a == b


class _weir_m_secrets:
    token_bytes = _weir_token_bytes
    token_hex = _weir_token_hex
    token_urlsafe = _weir_token_urlsafe
    randbelow = _weir_randbelow
    choice = _weir_secret_choice
    compare_digest = _weir_secret_compare
