"""An etcd that upstream has written (test/testdata/upstream): served, updated, and left with everything in it that is not ours to change.

    upstream_data.py FOLDER-OF-PROGRAMS"""
import base64
import copy
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

from kinds import KINDS
from support import REVISION, TIME, Client, Processes, Rows, Server, Watch, differences, problem

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "faults"))
from etcd_cluster import EtcdCluster, memory_folder  # noqa: E402

DATA = HERE.parent / "testdata/upstream/etcd.jsonl"
METADATA = ["name", "namespace", "labels", "inherit_labels", "finalizers", "uid", "created", "modified", "deleted", "owners"]


class Entry:
    def __init__(self, line):
        self.key, self.note = line["key"], line.get("note", "")
        self.broken, self.stray = line.get("broken", False), line.get("stray", False)
        if "base64" in line:
            self.bytes = base64.b64decode(line["base64"])
        else:
            self.bytes = (line["text"] if "text" in line else json.dumps(line["value"])).encode()
        self.overrides = line.get("served", {})
        parts = self.key.split("/")[1:]
        self.kind = next((kind for kind in KINDS if [kind.api, kind.plural] == parts[:2] and not self.stray), None)
        assert (self.kind is None) == self.stray, self.key
        self.name, self.namespace = parts[-1], parts[2] if self.kind and self.kind.namespaced else None
        self.path = self.kind.path(self.name, self.namespace or "demo") if self.kind else None

    def document(self):
        return json.loads(self.bytes)  # the last of a repeated key, as upstream reads it


class Etcd:
    """Keys and values through the JSON gateway, as bytes."""

    def __init__(self, cluster):
        self.url = cluster.endpoints[0]

    def call(self, what, **fields):
        body = {name: base64.b64encode(value).decode() if isinstance(value, bytes) else value for name, value in fields.items()}
        request = urllib.request.Request(f"{self.url}/v3/kv/{what}", data=json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def put(self, key, value):
        self.call("put", key=key.encode(), value=value)

    def all(self):
        came = self.call("range", key=b"/", range_end=b"0").get("kvs", [])
        return {base64.b64decode(kv["key"]).decode(): base64.b64decode(kv.get("value", "")) for kv in came}

    def get(self, key):
        came = self.call("range", key=key.encode()).get("kvs", [])
        return base64.b64decode(came[0].get("value", "")) if came else None


def overlaid(value, over):
    if isinstance(value, dict) and isinstance(over, dict):
        return {**value, **{key: overlaid(value.get(key), item) for key, item in over.items()}}
    return over


def lost(wanted, came, where="$"):
    """What is in `wanted` and not, or otherwise, in `came`; more may be there. Equal numbers are equal."""
    if isinstance(wanted, dict) and isinstance(came, dict):
        return [line for key, item in wanted.items()
                for line in (lost(item, came[key], f"{where}.{key}") if key in came else [f"{where}.{key} is gone"])]
    if isinstance(wanted, list) and isinstance(came, list) and len(wanted) == len(came):
        return [line for i, pair in enumerate(zip(wanted, came)) for line in lost(*pair, f"{where}[{i}]")]
    same = (wanted == came and isinstance(wanted, bool) == isinstance(came, bool)) or (wanted != wanted and came != came)  # NaN is NaN
    return [] if same else [f"{where}: wanted {wanted!r}, came {came!r}"]


def without_version(document):
    document = copy.deepcopy(document)
    document["metadata"].pop("resource_version")
    return document


class Suite:
    def __init__(self, processes, cluster):
        self.processes, self.rows, self.etcd = processes, Rows(), Etcd(cluster)
        self.entries = [Entry(json.loads(line)) for line in DATA.read_text().splitlines()]
        self.good = [entry for entry in self.entries if not entry.broken and not entry.stray]
        self.broken = [entry for entry in self.entries if entry.broken]
        for entry in self.entries:
            self.etcd.put(entry.key, entry.bytes)
        self.host, _, port = cluster.endpoints[0].removeprefix("http://").rpartition(":")
        self.etcd_section = {"host": self.host, "port": int(port)}
        # Who may what is in the data.
        self.server = self.serve("api", "system:admin", admin=True)
        self.client = Client(self.server.port)

    def serve(self, name, user, **more):
        return Server(self.processes, name, store=None, etcd=self.etcd_section, authorization="RBAC",
                      authentication={"strategy": {"static": {"enabled": True, "name": user}}}, **more)

    def serve_all(self, name):
        return Server(self.processes, name, store=None, etcd=self.etcd_section)

    def call(self, method, path, body=None):
        reply = self.client.call(method, path, body)
        return reply.status, reply.json()

    # ---- reading

    def kinds(self):
        """Every kind is in the data, sound and broken."""
        for kind in KINDS:
            self.rows.row(f"data of {kind.kind}", "some", "none", any(entry.kind is kind for entry in self.good))
        for entry in self.good:
            kind_missing = [key for key in ("api", "kind") if key in entry.document() and entry.document()[key] != getattr(entry.kind, key)]
            self.rows.equal(f"{entry.key}: api and kind", [], kind_missing)

    def lists(self):
        for kind in KINDS:
            mine = [entry for entry in self.good if entry.kind is kind]
            status, document = self.call("GET", kind.all())
            came = [(item["metadata"]["namespace"] if kind.namespaced else None, item["metadata"]["name"]) for item in document["items"]]
            # Where the name inside is another, the list has it at the place of the key.
            wanted = [(entry.namespace, entry.document()["metadata"]["name"]) for entry in sorted(mine, key=lambda entry: entry.key.encode())]
            self.rows.equal(f"GET {kind.all()}: everything that can be read, in the order of the keys", (200, wanted), (status, came))
            for item, entry in zip(document["items"], sorted(mine, key=lambda entry: entry.key.encode())):
                self.rows.equal(f"GET {kind.all()}: {entry.key}: as it is read alone", self.client.get(entry.path).json(), item)
            if kind.namespaced:
                for namespace in ("demo", "system:admin"):
                    here = [name for ns, name in wanted if ns == namespace]
                    _, document = self.call("GET", kind.collection(namespace))
                    self.rows.equal(f"GET {kind.collection(namespace)}", here, [item["metadata"]["name"] for item in document["items"]])

    def reads(self):
        for entry in self.good:
            label = f"GET {entry.path}: {entry.note}"
            status, document = self.call("GET", entry.path)
            self.rows.equal(f"{label}: status", 200, status)
            self.rows.equal(f"{label}: what is stored is served", [], lost(overlaid(self.plain(entry), entry.overrides), document))
            # Every field of the kind is there, in its order, before those nobody knows.
            kind, known = entry.kind, {"metadata": ["resource_version", *METADATA]}
            known["status"] = list(kind.status or [])
            if "type" not in kind.stored.get("spec", {"type": ""}):
                known["spec"] = list(kind.stored["spec"])
            for part, fields in known.items():
                if part in document:
                    self.rows.equal(f"{label}: fields of {part}", fields, [*document[part]][:len(fields)])
            top = ["api", "kind", "metadata", *kind.stored, *(["status"] if kind.status else [])]
            self.rows.equal(f"{label}: fields", top, [*document][:len(top)])

    @staticmethod
    def plain(entry):
        """The stored document but for what a tagged union drops."""
        document = entry.document()
        spec = document.get("spec")
        if isinstance(spec, dict) and "type" in spec:
            document["spec"] = {"type": spec["type"], spec["type"]: spec[spec["type"]]}
            for auth in [here["auth"] for here in (document["spec"].get("openstack", {}),) if "auth" in here]:
                extra = [key for key in auth if key not in ("type", auth["type"])]
                for key in extra:
                    del auth[key]
        return document

    def numbers(self):
        """Numbers in manifests keep their text, of whatever size."""
        reply = self.client.get("/kubernetes/namespaces/demo/applications/numbers")
        for text in (b"1.0", b"1e5", b"1E-2", b"-0", b"123456789012345678901234567890"):
            self.rows.row(f"{text.decode()} is served as it is stored", text, reply, text in reply.body)
        reply = self.client.get("/kubernetes/namespaces/demo/applications/python")
        for text in (b"NaN", b"-Infinity", b'"a\\ud83d"', b'"\\udc19"', b"1e99999999999", b"[" * 300):
            self.rows.row(f"{text.decode()[:20]} is served as Python wrote it", text, reply, text in reply.body)
        reply = self.client.get("/core/globalmetrics/big")
        self.rows.row("a repeated key: the last one counts", "big", reply, reply.json()["metadata"]["name"] == "big")
        later = self.client.get("/kubernetes/namespaces/demo/applications/later")
        self.rows.row("a number under an unknown key keeps its text", "2.5", later, b"2.5" in later.body)

    def doctor(self):
        """The administrator hears what upstream's controllers have looked after and ours do not yet."""
        config = self.processes.state / "doctor.yaml"
        config.write_text(f"etcd: {json.dumps(self.etcd_section)}\nauthorization: RBAC\n")
        ran = subprocess.run([self.processes.bin / "krake", "doctor", "--config-dir", self.processes.state / "none", "-c", config, "-o", "json"],
                             capture_output=True, text=True, timeout=60)
        findings = json.loads(ran.stdout)["findings"]
        for where, which in (("kubernetes/applications", "applications with spec.hooks: 1 (system:admin/echo);"),
                             ("kubernetes/clusters", "clusters with spec.tosca: 1 (demo/made);"),
                             ("infrastructure/clouds", "clouds: 1 (demo/os-2);"), ("openstack/projects", "projects: 2 (demo/p1, demo/p2);"),
                             ("openstack/magnumclusters", "magnumclusters: 2 (demo/m1, demo/m2);")):
            told = [finding["what"] for finding in findings if finding["where"] == f"/{where}/" and finding["severity"] == "warning"]
            self.rows.row(f"krake doctor: {which}", which, told, any(what.startswith(which) for what in told))

    # ---- writing

    def expect_stored(self, label, entry, document):
        """etcd has what was answered, without what only answers have."""
        stored = self.etcd.get(entry.key)
        self.rows.equal(f"{label}: etcd has it", [], differences(without_version(document), json.loads(stored)) if stored else "nothing")
        self.rows.row(f"{label}: etcd has no resource_version", "none", stored, stored and b"resource_version" not in stored)

    def updates(self):
        for entry in self.good:
            kind, meta = entry.kind, entry.document()["metadata"]
            label = f"PUT {entry.path}: {entry.note}"
            _, read = self.call("GET", entry.path)
            # As krakectl does: the raw document with one change. As upstream's controllers do: without what they do not know.
            known = self.known_only(kind, read)
            for step, body in (("raw", read), ("known", known)):
                labels = {**read["metadata"]["labels"], "changed": step}
                body = {**body, "metadata": {**body["metadata"], "labels": labels}}
                if self.refused_today(entry):
                    status, document = self.call("PUT", entry.path, body)
                    self.rows.equal(f"{label}: {step}: what today's checks refuse cannot be written again", 422, status)
                    continue
                removes = read["metadata"]["deleted"] and not meta["finalizers"]
                status, document = self.call("PUT", entry.path, body)
                wanted = {**read, "metadata": {**read["metadata"], "labels": labels, "resource_version": REVISION, "modified": TIME}}
                self.rows.equal(f"{label}: {step}: status", 200, status)
                if removes:
                    self.rows.equal(f"{label}: in deletion without finalizers: removed", None, self.etcd.get(entry.key))
                    break
                self.rows.equal(f"{label}: {step}: everything but the change is as it was", [], differences(wanted, document))
                unchanged = overlaid(self.plain(entry), entry.overrides)
                for moved in ("labels", "modified"):
                    unchanged["metadata"].pop(moved, None)
                self.rows.equal(f"{label}: {step}: unknown keys are still there (W30)", [], lost(unchanged, json.loads(self.etcd.get(entry.key))))
                self.expect_stored(f"{label}: {step}", entry, document)
                self.rows.equal(f"{label}: {step}: read back", document, self.client.get(entry.path).json())
                read = document
            self.statuses(entry)

    @staticmethod
    def refused_today(entry):
        return "today's check" in entry.note

    @staticmethod
    def known_only(kind, read):
        """What is left of a document that went through upstream's loader: the known keys at the top and of the metadata."""
        known = {key: value for key, value in read.items() if key in ("api", "kind", "metadata", "status", *kind.stored)}
        known["metadata"] = {key: value for key, value in read["metadata"].items() if key in METADATA}
        for part, fields in (("status", kind.status), ("spec", kind.stored.get("spec"))):
            if fields and "type" not in fields:
                known[part] = {key: value for key, value in read[part].items() if key in fields}
        return known

    def statuses(self, entry):
        kind = entry.kind
        if not kind.status or self.refused_today(entry) or self.etcd.get(entry.key) is None:
            return
        _, read = self.call("GET", entry.path)
        status = {key: value for key, value in read["status"].items() if key in kind.status}
        for state in (kind.busy, status["state"]):
            status["state"] = state
            code, document = self.call("PUT", entry.path + "/status", {**read, "status": status})
            wanted = {**read, "status": {**read["status"], "state": state}, "metadata": {**read["metadata"], "resource_version": REVISION}}
            self.rows.equal(f"PUT {entry.path}/status: {state}", (200, []), (code, differences(wanted, document)))
            self.expect_stored(f"PUT {entry.path}/status: {state}", entry, document)

    def deletions(self):
        for name in ("leaving", "twice"):
            entry = next(entry for entry in self.good if entry.name == name)
            _, read = self.call("GET", entry.path)
            before = self.etcd.get(entry.key)
            self.rows.equal(f"DELETE {entry.path}: again, {entry.note}", (200, read), self.call("DELETE", entry.path))
            self.rows.equal(f"DELETE {entry.path}: again: nothing is written", before, self.etcd.get(entry.key))
            body = {**read, "metadata": {**read["metadata"], "finalizers": ["another"]}}
            status, document = self.call("PUT", entry.path, body)
            self.rows.equal(f"PUT {entry.path}: a finalizer more",
                            (409, problem(409, "Finalizers can only be removed if a deletion is in progress.", "UPDATE_ERROR")), (status, document))
            status, _ = self.call("PUT", entry.path, {**read, "metadata": {**read["metadata"], "finalizers": []}})
            self.rows.equal(f"PUT {entry.path}: no finalizer: gone", (200, None), (status, self.etcd.get(entry.key)))

    # ---- what cannot be read

    def broken_values(self):
        self.call("GET", KINDS[0].all())  # metrics are of what the server has heard so far; a list waits for the rest
        metrics = Client(self.server.admin_port).get("/metrics").body.decode()
        count = next(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("krake_api_unreadable_values"))
        self.rows.equal("krake_api_unreadable_values", float(len(self.broken)), count)
        log = (self.processes.state / "api.log").read_text()
        for entry in self.broken:
            kind, label = entry.kind, f"{entry.key}: {entry.note}"
            self.rows.row(f"{label}: in the log", "its key", log[-2000:], entry.key in log)
            hint = ", but its key holds a value that cannot be read; DELETE with ?force=True removes it"
            gone = (404, problem(404, kind.missing(entry.name, entry.namespace or "demo") + hint, "NOT_FOUND_ERROR"))
            self.rows.equal(f"GET {label}", gone, self.call("GET", entry.path))
            self.rows.equal(f"DELETE {label}: without force", gone, self.call("DELETE", entry.path))
            status, document = self.call("POST", kind.collection(entry.namespace or "demo"), kind.request(entry.name))
            self.rows.equal(f"POST {label}: the name is taken", (409, "RESOURCE_ALREADY_EXISTS"), (status, document.get("title")))
            self.rows.equal(f"{label}: as it was", entry.bytes, self.etcd.get(entry.key))
            status, document = self.call("DELETE", entry.path + "?force=True")
            self.rows.equal(f"DELETE {label}: with force (W7)", (200, None), (status, self.etcd.get(entry.key)))
            status, document = self.call("POST", kind.collection(entry.namespace or "demo"), kind.request(entry.name))
            self.rows.equal(f"POST {label}: the name is free", 200, status)

    def watches(self):
        """A value that nobody can read ends no stream: what comes after it is told."""
        for kind in KINDS:
            entry = next((entry for entry in self.broken if entry.kind is kind), None)
            path = kind.all()
            with Watch(self.server.port, path + "?watch&heartbeat=0") as watch:
                self.etcd.put(kind_key(kind, "spoilt"), entry.bytes if entry else b"\x00")
                sound = next(entry for entry in self.good if entry.kind is kind)
                self.etcd.put(kind_key(kind, "sound"), sound.bytes)
                event = watch.event()
                self.rows.equal(f"GET {path}?watch: past a broken value (W7)", ("ADDED", sound.document()["metadata"]["uid"]),
                                (event["type"], event["object"]["metadata"]["uid"]) if isinstance(event, dict) else event)
            for name in ("spoilt", "sound"):
                self.etcd.call("deleterange", key=kind_key(kind, name).encode())

    # ---- rights

    def rights(self):
        """Roles and bindings of the data count, those that cannot be read grant nothing and do no harm."""
        client = Client(self.serve("alice", "alice").port)
        self.rows.equal("GET /me", {"user": "alice", "roles": ["nobody-made-this", "poisoned", "reader"]}, client.get("/me").json())
        for method, path, status in (("GET", "/kubernetes/namespaces/demo/applications", 200), ("GET", "/kubernetes/namespaces/demo/applications/web", 200),
                                     ("GET", "/kubernetes/namespaces/system:admin/applications", 403), ("GET", "/core/roles", 403),
                                     ("DELETE", "/kubernetes/namespaces/demo/applications/web", 403)):
            self.rows.equal(f"alice: {method} {path}", status, client.call(method, path).status)

    def strays(self):
        now = self.etcd.all()
        for entry in self.entries:
            if entry.stray:
                self.rows.equal(f"{entry.key}: {entry.note}: left alone", entry.bytes, now.get(entry.key))

    def wiped(self):
        """Upstream's tests delete all keys between two of them, under a server that runs: that is told like any other change."""
        kind = next(kind for kind in KINDS if kind.kind == "Role")
        client = Client(self.serve_all("wiped").port)
        there = [item["metadata"]["name"] for item in client.get(kind.all()).json()["items"]]
        with Watch(client.port, kind.all() + "?watch&heartbeat=0") as watch:
            for name in ("first", "second", "third"):
                self.etcd.call("deleterange", key=b"\0", range_end=b"\0")
                reply = client.get(kind.all())
                self.rows.equal("all keys deleted: the list", (200, []), (reply.status, reply.json().get("items")))
                status = client.call("POST", kind.collection(None), kind.request(name)).status
                told = [watch.event() for _ in range(len(there) + 1)]
                told = [(event["type"], event["object"]["metadata"]["name"]) if isinstance(event, dict) else event for event in told]
                self.rows.equal(f"all keys deleted: {name} is created", 200, status)
                self.rows.equal("all keys deleted: the open watch tells", [*sorted(("DELETED", gone) for gone in there), ("ADDED", name)],
                                [*sorted(told[:-1]), told[-1]])
                there = [name]

    def untouched(self):
        """Reading writes nothing: what upstream wrote is there to the byte."""
        self.rows.equal("after reading, etcd", {entry.key: entry.bytes for entry in self.entries}, {key: value for key, value in self.etcd.all().items()
                                                                                                  if key in {entry.key for entry in self.entries}})


def kind_key(kind, name):
    return f"/{kind.api}/{kind.plural}/demo/{name}" if kind.namespaced else f"/{kind.api}/{kind.plural}/{name}"


def run(binaries):
    with tempfile.TemporaryDirectory(prefix="krake-etcd-", dir=memory_folder()) as folder, Processes(binaries) as processes:
        cluster = EtcdCluster(folder, 1)
        try:
            cluster.start()
            suite = Suite(processes, cluster)
            for part in (suite.kinds, suite.lists, suite.reads, suite.numbers, suite.rights, suite.doctor, suite.untouched, suite.updates, suite.deletions,
                         suite.watches, suite.broken_values, suite.strays, suite.wiped):
                part()
            print(f"{len(suite.entries)} keys, {len(suite.broken)} of them broken")
            return suite.rows.finish()
        finally:
            cluster.close()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
