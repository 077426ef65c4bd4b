def _weir_str(value):
    return getattr(value, "_weir_text", value)
