"""Services on the network that stages call: small servers that follow the published protocols and can misbehave."""

import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Asked:
    """One call: method, path, query and form as lists of pairs, headers, body."""

    def __init__(self, handler: BaseHTTPRequestHandler):
        self.method = handler.command
        self.target = handler.path
        parts = urllib.parse.urlsplit(handler.path)
        self.path = parts.path
        self.query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
        self.headers = handler.headers
        self.body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))

    @property
    def form(self):
        return dict(urllib.parse.parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self):
        return json.loads(self.body)


class Service:
    """Subclasses answer calls in `answer(asked)` by `(status, value)` or `(status, value, headers)`.

    `trouble` makes the next answers bad: a number is a status with an error page, "garbage" is 200 without JSON, "hang up"
    closes the connection, "slow" does not answer in time.
    """

    def __init__(self):
        self.asked = []
        self.trouble = None
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_call(self):
                service.handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_call

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handle(self, handler):
        asked = Asked(handler)
        with self.lock:
            self.asked.append(asked)
            # Connections that were kept open end with the server.
            trouble = "hang up" if self.stopping.is_set() else self.trouble
        if trouble == "hang up":
            handler.close_connection = True
            handler.connection.close()
            return
        if trouble == "slow":
            self.stopping.wait(40)
        if trouble == "garbage":
            status, value, headers = 200, "<html>all is well</html>", {}
        elif isinstance(trouble, int):
            status, value, headers = trouble, "<html>out of order</html>", {}
        else:
            with self.lock:
                status, value, *rest = self.answer(asked)
            headers = rest[0] if rest else {}
        body = value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
        try:
            handler.send_response(status)
            headers.setdefault("Content-Type", "text/html" if isinstance(value, str) else "application/json")
            for name, text in headers.items():
                handler.send_header(name, text)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        except OSError:
            pass  # The caller has gone.

    def answer(self, asked):
        raise NotImplementedError

    def close(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()


def timed(work):
    """The result of `work` and how many seconds it took."""
    begun = time.monotonic()
    result = work()
    return result, time.monotonic() - begun
