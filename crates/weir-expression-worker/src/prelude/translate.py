def _weir_translate(text, table):
    if not isinstance(text, str) or not isinstance(table, dict):
        return text.translate(table)
    out = []
    for char in text:
        code = ord(char)
        new = table[code] if code in table else char
        if isinstance(new, int):
            new = chr(new)
        if new is not None:
            out.append(new)
    return "".join(out)
