"""Writes tiny databases of IPv4 networks in MaxMind's format: records of 24 bits, one network each."""


def _control(kind, size):
    short, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
    return (bytes([kind << 5 | short]) if kind < 8 else bytes([short, kind - 7])) + more


def _unsigned(kind, value):
    data = value.to_bytes(8, "big").lstrip(b"\0")
    return _control(kind, len(data)) + data


def _value(value):
    import struct

    if isinstance(value, dict):
        return _control(7, len(value)) + b"".join(_value(k) + _value(v) for k, v in value.items())
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(map(_value, value))
    if isinstance(value, float):
        return _control(3, 8) + struct.pack(">d", value)
    if isinstance(value, int):
        return _unsigned(6, value)
    return _control(2, len(value.encode())) + value.encode()


def database(kind, network, record):
    """The bytes of a database in which the network of 8 bits `network` has this record."""
    nodes = b""
    for depth in range(8):
        after = depth + 1 if depth < 7 else 8 + 16
        pair = [8, 8]
        pair[network >> (7 - depth) & 1] = after
        nodes += b"".join(entry.to_bytes(3, "big") for entry in pair)
    head = _control(7, 9)
    for name, of, number in [
        ("binary_format_major_version", 5, 2),
        ("binary_format_minor_version", 5, 0),
        ("build_epoch", 9, 1_700_000_000),
        ("ip_version", 5, 4),
        ("node_count", 6, 8),
        ("record_size", 5, 24),
    ]:
        head += _value(name) + _unsigned(of, number)
    head += _value("database_type") + _value(kind) + _value("languages") + _value(["en"])
    head += _value("description") + _value({"en": "A test"})
    return nodes + bytes(16) + _value(record) + b"\xab\xcd\xefMaxMind.com" + head
