"""What the rows of the benchmark share: the table, processes on CPUs of their own, wrk, waiting on conditions."""
import contextlib
import http.client
import json
import math
import os
import pathlib
import re
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "test"))
from ports import kept_port  # noqa: E402,F401  the rows take it from here

SECONDS = float(os.environ.get("SECONDS_PER_ROW", "4"))
# What is measured runs on one CPU, the load on another.
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = str(CPUS[0]), str(CPUS[-1])
ALL_CPUS = ",".join(map(str, CPUS))
CLIENTS = 64


class Broken(Exception):
    """The measurement could not be made."""


class Table:
    def __init__(self):
        self.rows = []

    def add(self, name, ours, reference="-", ratio=None, bar="-", met=None):
        self.rows.append({"row": name, "ours": ours, "reference": reference, "ratio": None if ratio is None else round(ratio, 2), "bar": bar, "met": met})

    def text(self):
        names = ["row", "ours", "reference", "ratio", "bar", "met"]
        show = {True: "yes", False: "no", None: ""}
        lines = [names] + [[show[r[n]] if n == "met" else "" if r[n] is None else str(r[n]) for n in names] for r in self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


class Bench:
    """One run: where the programs are, the table, a folder that goes at the end, processes that end with it."""

    def __init__(self, binaries):
        self.bin = pathlib.Path(binaries)
        self.table = Table()
        self.temp = tempfile.TemporaryDirectory(prefix="krake-bench-")
        self.folder = pathlib.Path(self.temp.name)
        self.number = 0

    def program(self, name):
        path = self.bin / name
        if not path.exists():
            raise Broken(f"{path} is missing")
        return path

    def new_path(self, name):
        self.number += 1
        return self.folder / f"{self.number}-{name}"

    def new_folder(self, name):
        path = self.new_path(name)
        path.mkdir()
        return path

    def raw_commit_us(self):
        """What one durable commit costs in SQLite itself, here and now: the same settings, the same size."""
        database = sqlite3.connect(str(self.new_path("raw.db")), isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE live (key TEXT PRIMARY KEY, value BLOB)")
        times = []
        for i in range(300):
            begin = time.perf_counter()
            database.execute("INSERT INTO live VALUES (?, ?)", (f"/key/{i}", b"x" * 1500))
            times.append((time.perf_counter() - begin) * 1e6)
        database.close()
        return statistics.median(times)


def pinned(cpu, *command):
    return ["taskset", "-c", cpu, *map(str, command)]


@contextlib.contextmanager
def running(command, **options):
    process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        stop(process)


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()


def wait(what, check, process=None, seconds=60, interval=0.005):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = check()
        if seen:
            return seen
        if process and process.poll() is not None:
            raise Broken(f"exit code {process.returncode} while waiting: {what}")
        time.sleep(interval)
    raise Broken(f"not within {seconds} s: {what}")


def p90(times):
    """The nearest rank: nine tenths are not above it."""
    return sorted(times)[math.ceil(0.9 * len(times)) - 1]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_anon_mb(pid):
    return int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


class Memory(threading.Thread):
    """Watches RssAnon of a process from now on."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.peak = 0.0
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.02):
            try:
                self.peak = max(self.peak, rss_anon_mb(self.pid))
            except OSError:
                return


def settled_rss_mb(pid, still=1.0, limit=20.0):
    """RssAnon once it has not moved by more than 1 % for `still` seconds."""
    value, since, end = rss_anon_mb(pid), time.monotonic(), time.monotonic() + limit
    while time.monotonic() < min(end, since + still):
        time.sleep(0.05)
        now = rss_anon_mb(pid)
        if abs(now - value) > 0.01 * value:
            value, since = now, time.monotonic()
    return value


class Server:
    """krake api or krake all on a port of its own, with anonymous access; `wrapper` comes before the program, `tokens` (token: user) are taken too, `strategy`
    and `more` are put into the configuration."""

    def __init__(self, bench, store, command="api", cpu=SERVER_CPU, wrapper=(), wait_until_ready=True, tokens=None, stderr=None, authorization="always-allow",
                 strategy=None, **more):
        self.admin = kept_port()
        self.port = kept_port()
        config = bench.new_path("api.yaml")
        strategy = dict(strategy or {})
        if tokens:
            known = bench.new_path("tokens")
            known.write_text("".join(f"{token} {user}\n" for token, user in tokens.items()))
            strategy["token"] = {"file": str(known)}
        config.write_text(f"host: 127.0.0.1\nport: {self.port}\nstore: {store}\nauthentication: {{allow_anonymous: true, strategy: {json.dumps(strategy)}}}\n"
                          f"authorization: {authorization}\n{''.join(f'{name}: {json.dumps(value)}' + chr(10) for name, value in more.items())}admin: {{host: 127.0.0.1, port: {self.admin}}}\nlog: {{level: ERROR}}\n")
        options = ["--log-level", "error"] if command == "all" else []
        command = [*wrapper, bench.program("krake"), command, "-c", config, *options]
        self.command = pinned(cpu, *command) if cpu else [str(c) for c in command]
        self.stderr = stderr
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()
        try:
            if wait_until_ready:
                self.wait_ready()
            if wrapper:
                self.pid = int(pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()[0])
        except BaseException:
            self.stop()
            raise

    def start(self):
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.stderr)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def page(self, path):
        """(status, text) of a page of the admin listener; None while nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionError:
            return None
        finally:
            connection.close()

    def wait_ready(self):
        """Seconds from the start of the process until the API says that it is ready."""
        wait("the API to be ready", lambda: (self.page("/readyz") or (0,))[0] == 200, self.process, 120)
        return time.perf_counter() - self.begun

    def cpu(self):
        return cpu_seconds(self.pid)

    def revision(self):
        """Of the last write that the server's cache has seen."""
        return json.loads(self.page("/debug/cache")[1])["revision"]

    def metric(self, name):
        """The value of one line of /metrics, `name` with its labels; 0 while there is none."""
        found = re.search(f"^{re.escape(name)} (\\S+)", (self.page("/metrics") or (0, ""))[1], re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    def stop(self):
        if self.pid != self.process.pid and self.process.poll() is None:
            os.kill(self.pid, 15)  # the wrapper ends with it
            self.process.wait(60)
        stop(self.process)


class Controller:
    """krake scheduler, gc or controller NAME as a process of its own. `urls`: those of the API servers, with commas between them."""

    def __init__(self, bench, words, urls, token=""):
        self.words = words
        self.config = bench.new_path("controller.yaml")
        self.config.write_text(json.dumps({"api_endpoint": urls, "token": token, "log": {"level": "ERROR"}}))
        self.program = bench.program("krake")
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)

    def start(self):
        """Returns when its informers are synced."""
        self.admin = kept_port()
        command = [self.program, *self.words, "-c", self.config, "--admin-host", "127.0.0.1", "--admin-port", self.admin]
        self.process = subprocess.Popen([str(c) for c in pinned(ALL_CPUS, *command)], stdin=subprocess.DEVNULL)
        wait(f"{' '.join(self.words)} to be ready", lambda: self.page("/readyz"), self.process)

    def page(self, path):
        """The text of a page of the admin listener; None while there is none, or it is not well."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
            return text if answer.status == 200 else None
        except OSError:
            return None
        finally:
            connection.close()

    def mode(self):
        """leading, repair-only or standby."""
        first = json.loads(self.page("/debug/queues"))[0]
        return first.get("queue", first)["leadership"]["mode"]


class Api:
    """JSON over one keep-alive connection."""

    def __init__(self, host, port, context=None, token=None):
        self.host, self.port, self.context = host, port, context
        self.headers = {"Content-Type": "application/json"} | ({"Authorization": "Bearer " + token} if token else {})
        self.connection = self.connect()

    def connect(self):
        if self.context:
            connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=60)
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def call(self, method, path, body=None):
        return json.loads(self.bytes(method, path, body))

    def bytes(self, method, path, body=None):
        """The body of the answer as it came."""
        self.connection.request(method, path, None if body is None else json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise Broken(f"{method} {path}: {answer.status} {text[:300]!r}")
        return text


def wrk(url, connections, script=None, seconds=SECONDS, cpu=LOAD_CPU, headers=None):
    """Requests in all, requests per second, median latency in us."""
    command = pinned(cpu, "wrk") + ["-t1", f"-c{connections}", f"-d{round(seconds)}s", "--latency", url]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if script:
        command += ["-s", str(script)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        raise Broken(f"{url}: {out}")
    median = re.search(r"50%\s+([\d.]+)(us|ms|s)", out)
    scale = {"us": 1, "ms": 1e3, "s": 1e6}[median.group(2)]
    return int(re.search(r"(\d+) requests in", out).group(1)), float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), float(median.group(1)) * scale


def application(name, **constraints):
    """About 1.5 KB as the server answers it."""
    filler = {f"key{i}": "x" * 20 for i in range(8)}
    manifest = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": filler}]
    return {"metadata": {"name": name}, "spec": {"manifest": manifest, "constraints": {"cluster": constraints}}}


def post_script(bench, namespace):
    path = bench.new_path(f"post-{namespace}.lua")
    path.write_text(f"""
local body = [==[{json.dumps(application("NAME"))}]==]
local count = 0
request = function()
  count = count + 1
  return wrk.format("POST", "/kubernetes/namespaces/{namespace}/applications", nil, (body:gsub("NAME", "a" .. count)))
end
""")
    return path


def status_script(bench, namespace, objects):
    """What the scheduler writes when nothing fits, to one after the other of the first that post_script() has created; always another message, so that each
    is a write."""
    path = bench.new_path(f"status-{namespace}.lua")
    path.write_text(f"""
local count = 0
request = function()
  count = count + 1
  local body = '{{"status": {{"state": "PENDING", "reason": {{"code": "NO_SUITABLE_RESOURCE", "message": "attempt ' .. count .. '"}}}}}}'
  local name = "a" .. (2 + count % {objects}) -- wrk never sends what it asks for first: there is no a1
  return wrk.format("PATCH", "/kubernetes/namespaces/{namespace}/applications/" .. name .. "/status", nil, body)
end
""")
    return path
