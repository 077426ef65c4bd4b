import unicodedata as _weir_unicodedata


def list_flatten(value):
    if isinstance(value, list):
        return value[0] if value else None
    return value


def slugify(text):
    folded = _weir_unicodedata.normalize("NFKD", str(text)).encode("ascii", "ignore").decode("ascii").lower()
    words = "".join(char if char.isalnum() or char == "_" else "-" if char == "-" or char.isspace() else "" for char in folded)
    return "-".join(word for word in words.split("-") if word).strip("-_")
