def _weir_order(value):
    if type(value) is _WeirAddress:
        return (value.version, value._number)
    return value
