def _weir_final(value):
    kind = type(value).__name__
    if kind in ("generator", "map", "filter", "zip", "enumerate", "reversed", "dict_keys", "dict_values", "dict_items") or kind.endswith("iterator"):
        return list(value)
    return value
