def _weir_bytes(*args):
    if len(args) == 1 and type(args[0]).__name__ in ("list", "tuple", "set", "range", "generator"):
        values = list(args[0])
        for value in values:
            if not 0 <= value < 256:
                raise ValueError("bytes must be in range(0, 256)")
        return bytes.fromhex("".join([f"{value:02x}" for value in values]))
    return bytes(*args)


def _weir_bit_length(number):
    return len(f"{abs(number):b}") if number else 0


def _weir_to_bytes(number, length=1, byteorder="big", signed=False):
    bits = length * 8
    if number < 0 and not signed:
        raise OverflowError("can't convert negative int to unsigned")
    if signed and not -(1 << bits - 1) <= number < 1 << bits - 1 or not signed and number >= 1 << bits:
        raise OverflowError("int too big to convert")
    number = number % (1 << bits) if bits else 0
    data = bytes.fromhex(f"{number:0{length * 2}x}") if length else b""
    return data if byteorder == "big" else data[::-1]


def _weir_from_bytes(kind, data, byteorder="big", signed=False):
    data = _weir_bytes(data)
    if byteorder != "big":
        data = data[::-1]
    number = int(data.hex(), 16) if data else 0
    if signed and data and data[0] > 127:
        number -= 1 << len(data) * 8
    return number
