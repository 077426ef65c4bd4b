import re as _weir_re


def regex_match(value, regex):
    return _weir_re.search(regex, value) is not None


def regex_replace(value, regex, repl):
    return _weir_re.sub(regex, repl, value)
