"""What the API tests share: servers on real sockets, requests, comparison of documents, rows that pass or fail."""
import http.client
import json
import pathlib
import re
import select
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from contract import CONTRACT  # noqa: E402
from harness import Processes, kept_port  # noqa: E402,F401  the scripts take it from here
from secret_scan import plant_value  # noqa: E402

JSON = "application/json; charset=utf-8"
PROBLEM = "application/problem+json; charset=utf-8"
NDJSON = "application/x-ndjson"
BASE = "https://problems.example/krake"  # docs.problem_base_url of the servers started here


class Duplicate(ValueError):
    pass


def _object(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise Duplicate(f"a key twice in {keys}")
    return dict(pairs)


def parse(text):
    return json.loads(text, object_pairs_hook=_object)


# ---- what is expected of a value that is not known beforehand


class Like:
    def __init__(self, what, check):
        self.what, self.check = what, check

    def __repr__(self):
        return f"<{self.what}>"


def text_like(pattern, what=None):
    return Like(what or pattern, lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.S))


def starts(prefix):
    return Like(f"text that starts with {prefix!r}", lambda value: isinstance(value, str) and value.startswith(prefix))


def contains(*parts):
    return Like(f"text with {parts!r}", lambda value: isinstance(value, str) and all(part in value for part in parts))


TEXT = Like("some text", lambda value: isinstance(value, str) and value)
UID = text_like("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", "a lower-case version 4 UUID")
TIME = text_like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00", "a time of the server")
REVISION = text_like("[1-9][0-9]*", "a revision")

# Additive members: they may stand anywhere, and documents expected without them may have them.
ADDITIVE = {"resource_version", "revision", "continue", "remaining"}


def differences(wanted, came, where="$"):
    """Exact: types (1 is not 1.0), and the order of keys. Empty when equal."""
    if isinstance(wanted, Like):
        return [] if wanted.check(came) else [f"{where}: wanted {wanted!r}, came {came!r}"]
    if type(wanted) is not type(came):
        return [f"{where}: wanted {wanted!r}, came {came!r}"]
    if isinstance(wanted, dict):
        expected = [key for key in wanted if key not in ADDITIVE]
        present = [key for key in came if key not in ADDITIVE]
        if expected != present:
            return [f"{where}: wanted the keys {expected}, came {present}"]
        return [line for key in wanted
                for line in (differences(wanted[key], came[key], f"{where}.{key}") if key in came else [f"{where}.{key} is missing"])]
    if isinstance(wanted, list):
        if len(wanted) != len(came):
            return [f"{where}: wanted {wanted!r}, came {came!r}"]
        return [line for i, pair in enumerate(zip(wanted, came)) for line in differences(*pair, f"{where}[{i}]")]
    same = wanted == came or (wanted != wanted and came != came)  # NaN is NaN
    return [] if same else [f"{where}: wanted {wanted!r}, came {came!r}"]


def in_any_order(value):
    """With the keys of all objects sorted: where their order says nothing."""
    if isinstance(value, dict):
        return {key: in_any_order(value[key]) for key in sorted(value, key=repr)}
    return [in_any_order(item) for item in value] if isinstance(value, list) else value


# ---- rows


def short(value, limit=1500):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


class Rows:
    def __init__(self):
        self.passed, self.failures = 0, []

    def row(self, route, wanted, came, good):
        if good:
            self.passed += 1
        else:
            self.failures.append(route)
            print(f"FAIL   {short(route, 300)}\n  wanted {short(wanted)}\n  came   {short(came)}", flush=True)
        return bool(good)

    def equal(self, route, wanted, came):
        found = differences(wanted, came)
        return self.row(route, wanted, f"{came!r}\n  differs {'; '.join(found)}", not found)

    def finish(self):
        """Ends with what did not fit the OpenAPI document, too."""
        for text in CONTRACT.found:
            self.row(f"OpenAPI: {text}", "as it is documented", text, False)
        if CONTRACT.checked:
            print(f"{CONTRACT.checked} answers and lines compared with the OpenAPI document")
        print(f"{self.passed} passed, {len(self.failures)} failed")
        return 1 if self.failures else 0


# ---- requests


class Reply:
    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.body = status, reason, body
        # The date is that of each answer, also of two that are otherwise the same.
        self.headers = [(name.lower(), value) for name, value in headers if name.lower() != "date"]

    def header(self, name):
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None

    @property
    def type(self):
        return self.header("Content-Type")

    def json(self):
        """The document, or a text that says why there is none: rows compare it and fail readably."""
        try:
            return parse(self.body)
        except ValueError as error:
            return f"not JSON ({error}): {self.body[:200]!r}"

    def __repr__(self):
        return f"{self.status} {self.reason} {self.type} {self.body[:800]!r}"


class Client:
    """Keep-alive over one connection; opened anew when the server closed it."""

    def __init__(self, port, headers=None, timeout=30):
        self.port, self.headers, self.timeout = port, headers or {}, timeout
        self.connection = None

    def call(self, method, path, body=None, headers=None):
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        for name, value in {**self.headers, **(headers or {})}.items():
            if name.lower() == "authorization":
                plant_value("an Authorization header", value.split()[-1] if value.split() else "")
        for attempt in (1, 2):
            fresh = self.connection is None
            if fresh:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
            try:
                self.connection.request(method, path, body, {**self.headers, **(headers or {})})
                answer = self.connection.getresponse()
                reply = Reply(answer.status, answer.reason, answer.getheaders(), answer.read())
                if answer.will_close:
                    self.close()
                CONTRACT.answer(self.port, method, path, body, reply)
                return reply
            except (ConnectionError, http.client.HTTPException):
                self.close()
                if fresh or attempt == 2:
                    raise
        raise AssertionError

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def get(self, path, **more):
        return self.call("GET", path, **more)


class Watch:
    """One open ?watch: its lines as they come, heartbeats included."""

    def __init__(self, port, path, headers=None, timeout=20):
        self.port, self.path = port, path
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.connection.request("GET", path, headers=headers or {})
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        self.headers = {name.lower(): value for name, value in self.answer.getheaders()}

    def line(self):
        """One line with its line feed; b"" at the end."""
        line = self.answer.readline()
        if line.endswith(b"\n"):
            CONTRACT.line(self.port, self.path, self.status, line)
        return line

    def event(self):
        """The next event; heartbeats are passed over."""
        while True:
            line = self.line()
            if line != b"\n":
                return parse(line) if line else "the stream has ended"

    def close(self):
        # The response owns the socket once the server said that the connection does not go on.
        self.answer.close()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def raw(port, data, seconds=20, end=False):
    """Sends bytes as they are; everything that comes until the server closes. `end`: we send nothing more and say so."""
    came = b""
    deadline = time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as peer:
        peer.setblocking(False)
        rest = memoryview(data)
        while time.monotonic() < deadline:
            readable, writable, _ = select.select([peer], [peer] if rest else [], [], max(0.0, deadline - time.monotonic()))
            try:
                if writable:
                    rest = rest[peer.send(rest):]
                    if not rest and end:
                        peer.shutdown(socket.SHUT_WR)
                if readable:
                    piece = peer.recv(65536)
                    if not piece:
                        return came
                    came += piece
            except (ConnectionResetError, BrokenPipeError):
                return came
    return came + b" (the connection is still open)"


def split_replies(data, methods=()):
    """The replies in a byte stream, by their framing; `methods` tells which of them answer a HEAD."""
    replies = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        found = re.fullmatch(r"HTTP/1\.1 (\d{3}) (.*)", lines[0])
        if not end or not found:
            replies.append(Reply(0, "no HTTP reply", [], head + data))
            return replies
        reply = Reply(int(found[1]), found[2], [tuple(line.split(": ", 1)) for line in lines[1:]], b"")
        method = methods[len(replies)] if len(replies) < len(methods) else "GET"
        if method != "HEAD" and reply.status >= 200 and reply.status not in (204, 304):
            length = int(reply.header("Content-Length") or 0)
            reply.body, data = data[:length], data[length:]
        replies.append(reply)
    return replies


# ---- servers


class Server:
    """`krake api` on the memory store, open to everybody unless `config` says otherwise; None leaves a section out. YAML is a superset of JSON."""

    def __init__(self, processes, name="api", admin=False, **config):
        whole = {"host": "127.0.0.1", "port": 0, "store": {"type": "memory"}, "docs": {"problem_base_url": BASE},
                 "authentication": {"allow_anonymous": True},
                 "authorization": "always-allow", "log": {"level": "ERROR"}, **config}
        whole = {key: value for key, value in whole.items() if value is not None}
        self.path = processes.state / f"{name}.yaml"
        log = processes.state / f"{name}.log"
        if admin:
            whole["admin"] = {"host": "127.0.0.1", "port": kept_port()}  # not 0, which means off
        self.path.write_text(json.dumps(whole))
        self.process = processes.start(name, processes.bin / "krake", "api", "-c", self.path)
        processes.wait(f"{name} to run or to give up", lambda: "Running on" in log.read_text() or self.process.poll() is not None)
        assert self.alive(), f"{name} does not start: {log.read_text()}"
        self.port = int(re.search(r"Running on http://127\.0\.0\.1:(\d+) ", log.read_text()).group(1))
        CONTRACT.add_server(processes.bin / "krake", self.port)
        self.admin_port = whole.get("admin", {}).get("port")

    def alive(self):
        return self.process.poll() is None

    def memory(self, what="RssAnon"):
        """In MiB: anonymous resident memory, or another figure of /proc/PID/status."""
        return int(re.search(rf"{what}:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text()).group(1)) / 1024

    def sanitized(self):
        """Built with AddressSanitizer: its shadow takes terabytes of addresses, and freed memory is kept back for a while."""
        return self.memory("VmSize") > 1024 * 1024


def problem(status, detail, title=None, base=BASE):
    """The document of api-contract 4.1: no null members, never an instance."""
    if title is None:
        return {"type": "about:blank", "status": status, "detail": detail}
    return {"type": f"{base}#{title.lower().replace('_', '-')}" if base else "about:blank", "title": title, "status": status, "detail": detail}
