"""Clients that write down what they asked of a few registers and what they were told, and what must hold of that.

A register is a role; its value is the label `v`. Every write writes a value of its own, so a revision and a value stand for one another."""
import json
import pathlib
import random
import subprocess
import threading
import time

from http_api import Api, NotSent, Unknown
from process import Failed

HERE = pathlib.Path(__file__).resolve().parent
ROLES = "/core/roles"
AVOID_SECONDS = 0.3  # how long a client leaves a server alone that failed it


def outcome(op, status, body, retry_after=None):
    """What an answer says: a status of the checker, "refused" (nothing was done, nothing is said), or None when it should not have come. A server that says
    when to try again has promised that nothing was done."""
    title = (body or {}).get("title")
    if status == 200:
        return "ok"
    if status == 404 and title == "NOT_FOUND_ERROR":
        return "absent"
    if status == 409 and title == "RESOURCE_ALREADY_EXISTS" and op == "create":
        return "exists"
    if status == 409 and title == "TRANSACTION_ERROR" or status == 429 or status >= 500 and retry_after:
        return "refused"
    if status == 412 and op == "cas":
        return "changed"
    return "unknown" if status >= 500 else None


class History:
    """Operations of all clients. Each is one dictionary in the form that checker/main.go reads, plus `revision` and `server`."""

    def __init__(self):
        self.operations = []
        self.refused = 0
        self.surprises = []
        self.seen = {}  # key -> (value, revision, deleting, object), of whoever was told last: right most of the time

    def add(self, operation, whole):
        self.operations.append(operation)  # atomic under the interpreter's lock
        if operation["status"] == "ok" and operation["revision"]:
            self.seen[operation["key"]] = (operation["seen"], operation["revision"], operation["deleting"], whole)
        elif operation["status"] == "absent":
            self.seen.pop(operation["key"], None)

    def acknowledged(self):
        return [o for o in self.operations if o["status"] == "ok" and o["op"] != "get"]


class Client:
    """Does one operation at a time, and records it."""

    def __init__(self, number, urls, identity, history, timeout):
        self.number = number
        self.history = history
        self.servers = [Api(url, identity, timeout) for url in urls]
        self.count = 0

    def value(self):
        self.count += 1
        return f"{self.number}-{self.count}"

    def request(self, op, key, value, known, whole):
        """(method, path, body, headers)"""
        path = f"{ROLES}/{key}"
        labels = {"metadata": {"labels": {"v": value}}}
        if op == "create":
            return "POST", ROLES, {"metadata": {"name": key, "labels": {"v": value}}, "rules": []}, None
        if op == "get":
            return "GET", path, None, None
        if op == "cas":
            condition = {"If-Match": f'"{known[1]}"'}
            if whole:
                return "PUT", path, known[3] | {"metadata": known[3]["metadata"] | labels["metadata"]}, condition
            return "PATCH", path, labels, condition
        if op == "patch":
            return "PATCH", path, labels, None
        if op == "delete":
            return "DELETE", path, None, None
        return "PATCH", path, {"metadata": {"finalizers": []}}, None

    def do(self, op, key, server, known=None, whole=False):
        """The status; `known` is what was seen of the key, that a cas goes by."""
        value = self.value() if op in ("create", "cas", "patch") else ""
        api = self.servers[server]
        body = None
        record = {"client": self.number, "key": key, "op": op, "value": value, "expected": known[0] if op == "cas" else "", "server": server, "status": "unknown",
                  "seen": "", "deleting": False, "revision": 0, "return": 0}
        try:
            api.connect()
            record["call"] = time.monotonic_ns()
            status, headers, body = api.call(*self.request(op, key, value, known, whole))
            record["return"] = time.monotonic_ns()
            record["status"] = outcome(op, status, body, headers.get("Retry-After"))
            if record["status"] is None:
                self.history.surprises.append(f"{op} {key}: {status} {json.dumps(body)[:300]}")
                record["status"] = "unknown"
            if status == 200:
                meta = body["metadata"]
                record |= {"seen": meta["labels"].get("v", ""), "deleting": bool(meta["deleted"]), "revision": int(meta.get("resource_version") or 0)}
        except NotSent:
            record["status"] = "refused"
        except Unknown as error:
            record["why"] = str(error)
        if record["status"] == "refused":
            self.history.refused += 1
        else:
            self.history.add(record, body)
        return record["status"]

    def close(self):
        for server in self.servers:
            server.close()


class Load:
    """Several clients, each a thread, on all servers at once, until `stop()`. Keys change with time so that no history of one grows without end."""

    def __init__(self, urls, identity=None, clients=8, keys=4, key_seconds=3.0, pace=0.015, timeout=2.0, seed=1, history=None, prefix="reg", first_client=0):
        self.history = history or History()
        self.keys, self.key_seconds, self.pace, self.prefix = keys, key_seconds, pace, prefix
        self.identity, self.urls = identity, urls
        self.begin = time.monotonic()
        self.stopping = threading.Event()
        self.used = set()
        self.errors = []
        self.threads = []
        for i in range(clients):
            client = Client(first_client + i, urls, identity, self.history, timeout)
            self.threads.append(threading.Thread(target=self._run, args=(client, random.Random(f"{seed}-{i}")), daemon=True))
        self.next_client = first_client + clients

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def _run(self, client, chance):
        try:
            avoid = {}
            while not self.stopping.is_set():
                now = time.monotonic()
                key = f"{self.prefix}-{int((now - self.begin) / self.key_seconds)}-{chance.randrange(self.keys)}"
                self.used.add(key)
                server = chance.choice([s for s in range(len(self.urls)) if avoid.get(s, 0) <= now] or range(len(self.urls)))
                if self._step(client, key, server, chance) in ("unknown", "refused"):
                    avoid[server] = time.monotonic() + AVOID_SECONDS
                self.stopping.wait(self.pace * chance.random() * 2)
        except Exception as error:  # a bug of the test: it must not look like silence
            self.errors.append(error)
            raise
        finally:
            client.close()

    def _step(self, client, key, server, chance):
        known = self.history.seen.get(key)
        dice = chance.random()
        if known is None:
            return client.do("create" if dice < 0.7 else "get", key, server)
        if known[2]:
            return client.do("purge" if dice < 0.4 else "get" if dice < 0.8 else "create", key, server)
        if dice < 0.35:
            return client.do("get", key, server)
        if dice < 0.75:
            return client.do("cas", key, server, known, whole=dice < 0.55)
        if dice < 0.88:
            return client.do("patch", key, server)
        return client.do("delete" if dice < 0.94 else "create", key, server)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
        if self.errors:
            raise self.errors[0]

    def read_all(self):
        """Every key once from every server, as part of the history: what was lost shows now."""
        client = Client(self.next_client, self.urls, self.identity, self.history, 10)
        self.next_client += 1
        for key in sorted(self.used):
            for server in range(len(self.urls)):
                if client.do("get", key, server) in ("unknown", "refused"):
                    raise Failed(f"server {server} does not answer a read of {key} when all is well again: {self.history.operations[-1]}")
        client.close()


def check_linearizable(history, collected, html="", timeout="60s"):
    """The checker's verdict; raises when the history is not linearizable, or nobody can say."""
    if history.surprises:
        raise Failed(f"{len(history.surprises)} answers that should not come: " + "; ".join(history.surprises[:5]))
    binary = subprocess.run([HERE / "checker/build.sh"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    text = "".join(json.dumps(o) + "\n" for o in history.operations)
    command = [binary, f"-timeout={timeout}", f"-html={html}", *(["-collected"] if collected else [])]
    result = subprocess.run(command, input=text, capture_output=True, text=True)
    if not result.stdout:
        raise Failed(f"the checker failed: {result.stderr}")
    verdict = json.loads(result.stdout)
    if verdict["result"] != "Ok":
        raise Failed(f"the history is not linearizable ({verdict['result']}):\n" + "\n".join(verdict["bad"][:3]))
    return verdict


def check_revisions(operations):
    """Revisions are one total order that agrees with real time, over all keys and servers: a write that began after another had returned has the
    greater one; a revision of a key belongs to one value, and a value to one revision: a write is done once. Returns how many writes were compared."""
    owner = {}
    for o in operations:
        if o["status"] == "ok" and o["revision"]:
            here = (o["seen"], o["deleting"])
            other = owner.setdefault((o["key"], o["revision"]), here)  # others of the same moment may have it too
            if other != here:
                raise Failed(f"{o['key']} at revision {o['revision']} was shown as {other} and as {here}")
    # A deletion and a purge leave the value, and write it again.
    written = {}
    for o in operations:
        if o["status"] == "ok" and o["revision"] and o["op"] in ("create", "cas", "patch", "get"):
            other = written.setdefault((o["key"], o["seen"], o["deleting"]), o["revision"])
            if other != o["revision"]:
                raise Failed(f"value {o['seen']} of {o['key']} was shown at revision {other} and at {o['revision']}: written twice")
    # A delete of what is being deleted already answers an old revision.
    writes = sorted((o for o in operations if o["status"] == "ok" and o["revision"] and o["op"] in ("create", "cas", "patch")), key=lambda o: o["call"])
    returned = sorted(writes, key=lambda o: o["return"])
    newest, position = None, 0
    for write in writes:
        while position < len(returned) and returned[position]["return"] < write["call"]:
            if newest is None or returned[position]["revision"] > newest["revision"]:
                newest = returned[position]
            position += 1
        if newest is not None and newest["revision"] >= write["revision"]:
            raise Failed(f"time runs backwards: {write} began after {newest} had returned")
    return len(writes)
