_weir_unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"


def _weir_quote(string, safe="/", encoding="utf-8", errors="strict"):
    data = string.encode(encoding, errors) if isinstance(string, str) else string
    keep = _weir_unreserved + (safe if isinstance(safe, str) else safe.decode("ascii"))
    return "".join(chr(byte) if byte < 128 and chr(byte) in keep else f"%{byte:02X}" for byte in data)


def _weir_quote_plus(string, safe="", encoding="utf-8", errors="strict"):
    return _weir_quote(string, safe + " ", encoding, errors).replace(" ", "+")


def _weir_unquote(string, encoding="utf-8", errors="replace"):
    if isinstance(string, bytes):
        string = string.decode("ascii", "replace")
    if "%" not in string:
        return string
    out = b""
    rest = string
    while rest:
        head, percent, rest = rest.partition("%")
        out += head.encode(encoding)
        if not percent:
            break
        code = rest[:2]
        if len(code) == 2 and all(char in "0123456789abcdefABCDEF" for char in code):
            out += bytes.fromhex(code)
            rest = rest[2:]
        else:
            out += b"%"
    return out.decode(encoding, errors)


def _weir_unquote_plus(string, encoding="utf-8", errors="replace"):
    return _weir_unquote(string.replace("+", " "), encoding, errors)


def _weir_quotable(value):
    return value if isinstance(value, (str, bytes)) else str(value)


def _weir_urlencode(query, doseq=False, safe="", quote_via=None):
    how = quote_via or _weir_quote_plus
    pairs = []
    for key, value in (query.items() if isinstance(query, dict) else query):
        values = value if doseq and isinstance(value, (list, tuple, set)) else [value]
        for one in values:
            pairs.append(how(_weir_quotable(key), safe) + "=" + how(_weir_quotable(one), safe))
    return "&".join(pairs)


def _weir_parse_qsl(qs, keep_blank_values=False, strict_parsing=False, max_num_fields=None, separator="&"):
    pairs = []
    for part in qs.split(separator):
        if not part:
            continue
        key, equals, value = part.partition("=")
        if not equals and strict_parsing:
            raise ValueError(f"bad query field: {part!r}")
        if value or keep_blank_values:
            pairs.append((_weir_unquote_plus(key), _weir_unquote_plus(value)))
    return pairs


def _weir_parse_qs(qs, keep_blank_values=False, strict_parsing=False):
    found = {}
    for key, value in _weir_parse_qsl(qs, keep_blank_values, strict_parsing):
        found.setdefault(key, []).append(value)
    return found


class _WeirUrl:
    def __init__(self, scheme, netloc, path, params, query, fragment, has_params):
        self.scheme = scheme
        self.netloc = netloc
        self.path = path
        self.params = params
        self.query = query
        self.fragment = fragment
        self._fields = (scheme, netloc, path, params, query, fragment) if has_params else (scheme, netloc, path, query, fragment)
        login, at, host = netloc.rpartition("@")
        self.username = login.partition(":")[0] if at else None
        self.password = login.partition(":")[2] if at and ":" in login else None
        if host.startswith("["):
            name, _, rest = host[1:].partition("]")
            port = rest.partition(":")[2]
        else:
            name, _, port = host.partition(":")
        self.hostname = name.lower() or None
        if port and not port.isdigit():
            raise ValueError(f"Port could not be cast to integer value as {port!r}")
        self.port = int(port) if port else None

    def geturl(self):
        return _weir_urlunparse((self.scheme, self.netloc, self.path, self.params, self.query, self.fragment))

    def __iter__(self):
        return iter(self._fields)

    def __getitem__(self, key):
        return self._fields[key]

    def __eq__(self, other):
        return type(other) is _WeirUrl and self._fields == other._fields

    def _replace(self, **changes):
        return _WeirUrl(
            changes.get("scheme", self.scheme), changes.get("netloc", self.netloc), changes.get("path", self.path),
            changes.get("params", self.params), changes.get("query", self.query),
            changes.get("fragment", self.fragment), len(self._fields) == 6,
        )


def _weir_split_url(url, scheme, has_params):
    url = url.strip()
    head, colon, rest = url.partition(":")
    if colon and head and head[0].isalpha() and all(char.isalnum() or char in "+-." for char in head):
        scheme, url = head.lower(), rest
    netloc = ""
    if url.startswith("//"):
        end = len(url)
        for mark in "/?#":
            at = url.find(mark, 2)
            if at >= 0:
                end = min(end, at)
        netloc, url = url[2:end], url[end:]
    url, _, fragment = url.partition("#")
    path, _, query = url.partition("?")
    params = ""
    if has_params and ";" in path.rpartition("/")[2]:
        path, _, params = path.rpartition(";")
    return _WeirUrl(scheme, netloc, path, params, query, fragment, has_params)


def _weir_urlparse(url, scheme="", allow_fragments=True):
    return _weir_split_url(url, scheme, True)


def _weir_urlsplit(url, scheme="", allow_fragments=True):
    return _weir_split_url(url, scheme, False)


def _weir_urlunparse(parts):
    fields = list(parts)
    if len(fields) == 5:
        fields.insert(3, "")
    scheme, netloc, path, params, query, fragment = fields
    url = path + (";" + params if params else "")
    if netloc:
        url = "//" + netloc + ("/" if url and not url.startswith("/") else "") + url
    if scheme:
        url = scheme + ":" + url
    return url + ("?" + query if query else "") + ("#" + fragment if fragment else "")


def _weir_urljoin(base, url, allow_fragments=True):
    if not base:
        return url
    if not url:
        return base
    old, new = _weir_urlparse(base), _weir_urlparse(url)
    if new.scheme and new.scheme != old.scheme:
        return url
    if new.netloc:
        return _weir_urlunparse((old.scheme, new.netloc, new.path, new.params, new.query, new.fragment))
    if not new.path:
        return _weir_urlunparse((old.scheme, old.netloc, old.path, old.params, new.query or old.query, new.fragment))
    path = new.path if new.path.startswith("/") else old.path.rpartition("/")[0] + "/" + new.path
    done = []
    parts = path.split("/")
    for part in parts:
        if part == "..":
            if len(done) > 1:
                done.pop()
        elif part != ".":
            done.append(part)
    if parts[-1] in (".", ".."):
        done.append("")
    return _weir_urlunparse((old.scheme, old.netloc, "/".join(done), new.params, new.query, new.fragment))


class _weir_m_urllib_parse:
    quote = _weir_quote
    quote_plus = _weir_quote_plus
    unquote = _weir_unquote
    unquote_plus = _weir_unquote_plus
    urlencode = _weir_urlencode
    parse_qs = _weir_parse_qs
    parse_qsl = _weir_parse_qsl
    urlparse = _weir_urlparse
    urlsplit = _weir_urlsplit
    urlunparse = _weir_urlunparse
    urlunsplit = _weir_urlunparse
    urljoin = _weir_urljoin
