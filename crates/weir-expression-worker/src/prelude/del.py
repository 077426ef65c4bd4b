def _weir_del(target, key):
    if isinstance(target, list) and not -len(target) <= key < len(target):
        raise IndexError("list assignment index out of range")
    target.pop(key)
