_weir_sets = {}


def _weir_rows(value):
    if not getattr(type(value), "_weir_is_set", False):
        return value
    rows = value.weir_rows()
    # The list is kept so that no other object can get its id.
    _weir_sets[id(rows)] = (rows, value)
    return rows
