def _weir_dedent(text):
    lines = text.split("\n")
    margin = None
    for line in lines:
        if line.strip():
            indent = line[: len(line) - len(line.lstrip())]
            if margin is None:
                margin = indent
            while not indent.startswith(margin):
                margin = margin[:-1]
    return "\n".join("" if not line.strip() else line[len(margin or ""):] for line in lines)


def _weir_indent(text, prefix):
    return "".join(prefix + line if line.strip() else line for line in text.splitlines(True))


def _weir_wrap(text, width=70):
    lines, line = [], ""
    for word in text.split():
        while len(word) > width:
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:width])
            word = word[width:]
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return lines + [line] if line else lines


def _weir_fill(text, width=70):
    return "\n".join(_weir_wrap(text, width))


def _weir_shorten(text, width, placeholder=" [...]"):
    words = text.split()
    if len(" ".join(words)) <= width:
        return " ".join(words)
    while words and len(" ".join(words)) + len(placeholder) > width:
        words.pop()
    return (" ".join(words) + placeholder).strip()


class _weir_m_textwrap:
    dedent = _weir_dedent
    indent = _weir_indent
    wrap = _weir_wrap
    fill = _weir_fill
    shorten = _weir_shorten
