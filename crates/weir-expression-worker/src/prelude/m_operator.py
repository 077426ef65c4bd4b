def _weir_itemgetter(*keys):
    if len(keys) == 1:
        return lambda value: value[keys[0]]
    return lambda value: tuple(value[key] for key in keys)


def _weir_attr_path(value, path):
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _weir_attrgetter(*paths):
    if len(paths) == 1:
        return lambda value: _weir_attr_path(value, paths[0])
    return lambda value: tuple(_weir_attr_path(value, path) for path in paths)


class _weir_m_operator:
    itemgetter = _weir_itemgetter
    attrgetter = _weir_attrgetter
    add = lambda a, b: a + b
    sub = lambda a, b: a - b
    mul = lambda a, b: a * b
    truediv = lambda a, b: a / b
    mod = lambda a, b: a % b
    eq = lambda a, b: a == b
    ne = lambda a, b: a != b
    lt = lambda a, b: a < b
    le = lambda a, b: a <= b
    gt = lambda a, b: a > b
    ge = lambda a, b: a >= b
    and_ = lambda a, b: a & b
    or_ = lambda a, b: a | b
    xor = lambda a, b: a ^ b
    not_ = lambda a: not a
    contains = lambda a, b: b in a
    getitem = lambda a, b: a[b]
