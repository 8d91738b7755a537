"""What the rows of routes.py are made of: one request, the whole of its answer, and what it did to the store."""
import copy
import datetime
import json

from kinds import KINDS
from support import JSON, PROBLEM, REVISION, TEXT, TIME, Client, Rows, in_any_order, parse, problem, short
from violations import violations


def merged(target, patch):
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def changed(document, change):
    """What a client makes of a document it has read; a polymorphic spec is replaced whole."""
    document = copy.deepcopy(document)
    if "type" in change.get("spec", {}):
        return {**document, **change}
    return merged(document, change)


def wanted(document, **meta):
    """A document that was read, with the times and revisions that a write may move left open."""
    document = copy.deepcopy(document)
    document["metadata"].update(resource_version=REVISION, modified=TIME)
    document["metadata"].update(meta)
    return document


def without_version(document):
    document = copy.deepcopy(document)
    document["metadata"].pop("resource_version", None)
    return document


def moment(text):
    return datetime.datetime.fromisoformat(text)


class Checks:
    def __init__(self, server):
        self.server, self.client, self.rows = server, Client(server.port), Rows()
        self.covered, self.count = set(), 0

    def name(self, stem="o"):
        self.count += 1
        return f"{stem}{self.count}"

    def cover(self, method, template, letter):
        self.covered.add((method, template, letter))

    def snapshot(self, path="/core/leases"):
        """All objects of the kind of a path, and in it the revision of the whole store, which any commit would move."""
        kind = next((kind for kind in KINDS if kind.plural in path.partition("?")[0].split("/")[2:5:2]), None)
        return self.client.get(kind.all() if kind else "/core/leases").body

    def ask(self, label, method, path, body=None, headers=None):
        reply = self.client.call(method, path, body, headers)
        return f"{method} {path}{': ' + label if label else ''}", reply

    def answer(self, label, method, path, body, status, document, type=JSON, headers=None):
        """One request and the whole of its answer."""
        route, reply = self.ask(label, method, path, body, headers)
        came = reply.json() if reply.body else ""
        self.rows.equal(route, {"status": status, "type": type, "body": document}, {"status": reply.status, "type": reply.type, "body": came})
        return reply

    def refused(self, label, method, path, body, status, detail, title=None, headers=None):
        """A problem, and nothing was written."""
        before = self.snapshot(path)
        reply = self.answer(label, method, path, body, status, problem(status, detail, title), PROBLEM, headers)
        self.rows.row(f"{method} {path}: {label}: nothing is written", before, after := self.snapshot(path), before == after)
        return reply

    def invalid(self, label, method, path, body, structure):
        """422; the detail renders the structure of api-contract 4.3."""
        before = self.snapshot(path)
        sent = body.decode() if isinstance(body, bytes) else json.dumps(body)
        route, reply = self.ask(f"{label} {short(sent, 120)}", method, path, body)
        document = reply.json()
        came = {"status": reply.status, "type": reply.type, "body": document, "violations": in_any_order(violations(document))}
        self.rows.equal(route, {"status": 422, "type": PROBLEM, "body": problem(422, TEXT), "violations": in_any_order(structure)}, came)
        after = self.snapshot(path)
        self.rows.row(f"{route}: nothing is written", before, after, before == after)

    def stored(self, label, path, reply):
        """What a write answered is what is read, and its ETag is the revision."""
        read = self.client.get(path)
        document = reply.json()
        version = document["metadata"].get("resource_version") if isinstance(document, dict) and "metadata" in document else None
        self.rows.row(f"{label}: read back", (reply.body, f'"{version}"'), (read.body, reply.header("ETag")),
                      read.body == reply.body and reply.header("ETag") == f'"{version}"' == read.header("ETag"))
        return document

    def create(self, kind, name=None, namespace="demo", rich=False, **meta):
        name = name or self.name()
        reply = self.client.call("POST", kind.collection(namespace), kind.request(name, rich, **meta))
        assert reply.status == 200, reply
        return name, reply.json()

    def status_of(self, kind, name, patch):
        reply = self.client.call("PATCH", kind.path(name) + "/status", {"status": patch})
        assert reply.status == 200, reply
        return reply.json()

    def revision(self):
        return int(self.client.get("/core/roles").json()["metadata"]["resource_version"])

    def query_refused(self, target, parameter):
        route, reply = self.ask("", "GET", target)
        document = reply.json()
        self.rows.equal(route, {"status": 422, "type": PROBLEM, "body": problem(422, TEXT)},
                        {"status": reply.status, "type": reply.type, "body": document})
        detail = parse(document["detail"]) if isinstance(document, dict) and str(document.get("detail")).startswith("{") else document
        self.rows.equal(f"{route}: detail", {"query": {parameter: [TEXT]}}, detail)
