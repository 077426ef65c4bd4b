def _weir_from(module, path, name):
    found = getattr(module, name, _weir_from)
    if found is _weir_from:
        raise ImportError(f"cannot import name '{name}' from '{path}' (unknown location)")
    return found
