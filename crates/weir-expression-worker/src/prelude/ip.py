def _weir_ip4(text):
    parts = text.split(".")
    if len(parts) != 4:
        return None
    number = 0
    for part in parts:
        if not part.isdigit() or not part.isascii() or len(part) > 3 or (len(part) > 1 and part[0] == "0") or int(part) > 255:
            return None
        number = number * 256 + int(part)
    return number


def _weir_ip6_groups(text):
    if text == "":
        return []
    groups = []
    for part in text.split(":"):
        if not part or len(part) > 4:
            return None
        for char in part:
            if char not in "0123456789abcdefABCDEF":
                return None
        groups.append(int(part, 16))
    return groups


def _weir_ip6(text):
    text = text.split("%", 1)[0]
    if "." in text:
        head, _, tail = text.rpartition(":")
        four = _weir_ip4(tail)
        if four is None:
            return None
        text = f"{head}:{four >> 16:x}:{four & 65535:x}"
    halves = text.split("::")
    if len(halves) > 2:
        return None
    left = _weir_ip6_groups(halves[0])
    right = _weir_ip6_groups(halves[1]) if len(halves) == 2 else []
    if left is None or right is None:
        return None
    gap = 8 - len(left) - len(right)
    if (len(halves) == 1 and gap != 0) or (len(halves) == 2 and gap < 1):
        return None
    number = 0
    for group in left + [0] * gap + right:
        number = number * 65536 + group
    return number


def _weir_ip_text(version, number):
    if version == 4:
        return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
    groups = [number >> 16 * (7 - index) & 65535 for index in range(8)]
    best, length, index = 0, 1, 0
    while index < 8:
        end = index
        while end < 8 and groups[end] == 0:
            end += 1
        if end - index > length:
            best, length = index, end - index
        index = end + 1
    words = [f"{group:x}" for group in groups]
    if length < 2:
        return ":".join(words)
    return ":".join(words[:best]) + "::" + ":".join(words[best + length:])


def _weir_within(version, number, table):
    for start, prefix in table[version]:
        bits = 32 if version == 4 else 128
        if number >> (bits - prefix) == start >> (bits - prefix):
            return True
    return False


_weir_private = {
    4: (
        (0, 8), (167772160, 8), (2130706432, 8), (2851995648, 16), (2886729728, 12), (3221225472, 29),
        (3221225642, 31), (3221225984, 24), (3232235520, 16), (3323068416, 15), (3325256704, 24),
        (3405803776, 24), (4026531840, 4),
    ),
    6: (
        (0, 128), (1, 128), (65535 << 32, 96), (100 << 112 | 65435 << 96 | 1 << 80, 48), (256 << 112, 64),
        (8193 << 112, 23), (8193 << 112 | 3512 << 96, 32), (64512 << 112, 7), (65152 << 112, 10),
    ),
}
_weir_not_private = {
    4: ((3221225481, 32), (3221225482, 32)),
    6: (
        (8193 << 112 | 1 << 96 | 1, 128), (8193 << 112 | 1 << 96 | 2, 128), (8193 << 112 | 3 << 96, 32),
        (8193 << 112 | 4 << 96 | 274 << 80, 48), (8193 << 112 | 32 << 96, 28), (8193 << 112 | 48 << 96, 28),
    ),
}
_weir_loopback = {4: ((2130706432, 8),), 6: ((1, 128),)}
_weir_multicast = {4: ((3758096384, 4),), 6: ((65280 << 112, 8),)}
_weir_link_local = {4: ((2851995648, 16),), 6: ((65152 << 112, 10),)}
_weir_reserved = {4: ((4026531840, 4),), 6: ((0, 8), (256 << 112, 8), (512 << 112, 7), (1024 << 112, 6), (2048 << 112, 5), (4096 << 112, 4), (16384 << 112, 3), (24576 << 112, 3), (32768 << 112, 3), (40960 << 112, 3), (49152 << 112, 3), (57344 << 112, 4), (61440 << 112, 5), (63488 << 112, 6), (65024 << 112, 9))}


class _WeirAddress:
    def __init__(self, version, number):
        self.version = version
        self.max_prefixlen = 32 if version == 4 else 128
        self._number = number
        self.compressed = _weir_ip_text(version, number)
        self.packed = bytes.fromhex(f"{number:08x}" if version == 4 else f"{number:032x}")
        if version == 4:
            self.exploded = self.compressed
            self.reverse_pointer = ".".join(reversed(self.compressed.split("."))) + ".in-addr.arpa"
        else:
            self.exploded = ":".join(f"{number >> 16 * (7 - index) & 65535:04x}" for index in range(8))
            self.reverse_pointer = ".".join(reversed(self.exploded.replace(":", ""))) + ".ip6.arpa"
        self.is_unspecified = number == 0
        self.is_loopback = _weir_within(version, number, _weir_loopback)
        self.is_multicast = _weir_within(version, number, _weir_multicast)
        self.is_link_local = _weir_within(version, number, _weir_link_local)
        self.is_reserved = _weir_within(version, number, _weir_reserved)
        shared = version == 4 and number >> 22 == 402
        mapped = number & 4294967295 if version == 6 and number >> 32 == 65535 else None
        self.ipv4_mapped = None if mapped is None else _WeirAddress(4, mapped)
        if mapped is None:
            self.is_private = _weir_within(version, number, _weir_private) and not _weir_within(version, number, _weir_not_private)
            self.is_global = not self.is_private and not shared
        else:
            self.is_private = self.ipv4_mapped.is_private
            self.is_global = self.ipv4_mapped.is_global

    def __str__(self):
        return self.compressed

    def __repr__(self):
        return f"IPv{self.version}Address('{self.compressed}')"

    def __int__(self):
        return self._number

    def __hash__(self):
        return hash((self.version, self._number))

    def __eq__(self, other):
        return type(other) is _WeirAddress and self.version == other.version and self._number == other._number


class _WeirNetwork:
    def __init__(self, version, number, prefixlen):
        bits = 32 if version == 4 else 128
        hosts = (1 << (bits - prefixlen)) - 1
        self.version = version
        self.max_prefixlen = bits
        self.prefixlen = prefixlen
        self.num_addresses = hosts + 1
        self._first = number
        self._last = number | hosts
        self.network_address = _WeirAddress(version, number)
        self.broadcast_address = _WeirAddress(version, number | hosts)
        self.netmask = _WeirAddress(version, (1 << bits) - 1 - hosts)
        self.hostmask = _WeirAddress(version, hosts)
        self.compressed = f"{self.network_address.compressed}/{prefixlen}"
        self.with_prefixlen = self.compressed
        self.is_private = self.network_address.is_private and self.broadcast_address.is_private
        self.is_global = not self.is_private
        self.is_loopback = self.network_address.is_loopback and self.broadcast_address.is_loopback
        self.is_multicast = self.network_address.is_multicast and self.broadcast_address.is_multicast
        self.is_link_local = self.network_address.is_link_local and self.broadcast_address.is_link_local

    def __contains__(self, other):
        if type(other) is not _WeirAddress or other.version != self.version:
            return False
        return self._first <= other._number <= self._last

    def overlaps(self, other):
        return self.version == other.version and self._first <= other._last and other._first <= self._last

    def subnet_of(self, other):
        return self.version == other.version and other._first <= self._first and self._last <= other._last

    def supernet_of(self, other):
        return other.subnet_of(self)

    def hosts(self):
        first, last = self._first, self._last
        if self.prefixlen < self.max_prefixlen - 1:
            first += 1
            if self.version == 4:
                last -= 1
        return [_WeirAddress(self.version, number) for number in range(first, last + 1)]

    def __str__(self):
        return self.compressed

    def __repr__(self):
        return f"IPv{self.version}Network('{self.compressed}')"

    def __hash__(self):
        return hash((self.version, self._first, self.prefixlen))

    def __eq__(self, other):
        return type(other) is _WeirNetwork and self.compressed == other.compressed and self.version == other.version


def ip_address(address):
    if type(address) is _WeirAddress:
        return address
    if isinstance(address, int):
        if 0 <= address < 1 << 128:
            return _WeirAddress(4 if address < 1 << 32 else 6, address)
    elif isinstance(address, bytes) and len(address) in (4, 16):
        return _WeirAddress(4 if len(address) == 4 else 6, int(address.hex(), 16))
    elif isinstance(address, str):
        number = _weir_ip4(address)
        if number is not None:
            return _WeirAddress(4, number)
        number = _weir_ip6(address) if ":" in address else None
        if number is not None:
            return _WeirAddress(6, number)
    raise ValueError(f"{address!r} does not appear to be an IPv4 or IPv6 address")


def _weir_prefix(version, text):
    bits = 32 if version == 4 else 128
    if text.isdigit() and text.isascii():
        return int(text) if int(text) <= bits else None
    mask = _weir_ip4(text) if version == 4 else None
    if mask is None:
        return None
    for prefix in range(33):
        hosts = (1 << (32 - prefix)) - 1
        if mask == (1 << 32) - 1 - hosts or (mask == hosts and prefix not in (0, 32)):
            return prefix
    return None


def ip_network(address, strict=True):
    if type(address) is _WeirNetwork:
        return address
    text = str(address)
    if isinstance(address, int):
        text = ip_address(address).compressed
    head, slash, tail = text.partition("/")
    version = 6 if ":" in head else 4
    number = _weir_ip6(head) if version == 6 else _weir_ip4(head)
    prefix = _weir_prefix(version, tail) if slash else (32 if version == 4 else 128)
    if number is None or prefix is None:
        raise ValueError(f"{address!r} does not appear to be an IPv4 or IPv6 network")
    hosts = (1 << ((32 if version == 4 else 128) - prefix)) - 1
    if number & hosts:
        if strict:
            raise ValueError(f"{text} has host bits set")
        number -= number & hosts
    return _WeirNetwork(version, number, prefix)
