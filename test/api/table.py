"""The 93 routes of upstream (upstream_routes.txt) x {ok, missing, conflict, invalid, forbidden, anonymous}, on a server with RBAC.

    table.py FOLDER-OF-PROGRAMS

What is asked for is asked by a user with the right of that row alone; what is forbidden, by one who has all rights but that one. Where an operation
has no such case, the cell says what comes instead: nothing is missing from a list, and a deletion in progress is no obstacle to a status."""
import collections
import pathlib
import sys

from kinds import BINDINGS, KINDS, LOADED_FIRST, ROUTES
from support import JSON, PROBLEM, REVISION, TIME, Client, Processes, Rows, Server, differences, parse, problem

SITUATIONS = ("ok", "missing", "conflict", "invalid", "forbidden", "anonymous")
Row = collections.namedtuple("Row", "number method template resource verb operation kind sub")
TYPE, FORBIDDEN, UNAUTHORIZED, NOBODY = "415: Unsupported Media Type", "403: Forbidden", "401: Unauthorized", "401: No user has been authenticated."
NO_TOKEN = "401: No token has been provided or the provided one is invalid."
MISC = {"/": (200, {"version": "1.0.1"}), "/me": (200, None), "/release": (202, "You released the Krake.")}


def read_rows():
    lines = (pathlib.Path(__file__).parent / "upstream_routes.txt").read_text().splitlines()
    rows = []
    for line in lines:
        if line.startswith("#"):
            continue
        method, template, resource, verb, operation = line.split()
        parts = template.replace("/namespaces/{namespace}", "").split("/")[1:]
        kind = next((kind for kind in KINDS if [kind.api, kind.plural] == parts[:2]), None)
        assert (kind is None) == (operation == "misc"), line
        rows.append(Row(len(rows) + 1, method, template, resource, verb, operation, kind, "/".join(parts[3:])))
    return rows


class Case:
    """One request and what is to come of it: a problem with a detail, or a document that `check` finds nothing wrong with."""

    def __init__(self, path, body=None, status=200, detail=None, title=None, check=None, method=None, headers=None):
        self.path, self.body, self.status, self.detail, self.title, self.check = path, body, status, detail, title, check
        self.method, self.headers = method, headers


def like(wanted):
    return lambda document: differences(wanted, document)


def at(path, wanted):
    """The member of an answer at `path` is `wanted`."""
    def check(document):
        for step in path:
            document = document[step] if isinstance(document, dict) and step in document else f"no {step} in {document!r}"
        return differences(wanted, document)
    return check


class Cells:
    """The cases of a cell, by operation and situation; what they need is made by the administrator."""

    def __init__(self, admin):
        self.admin, self.count = admin, 0

    def name(self):
        self.count += 1
        return f"o{self.count}"

    def call(self, method, path, body=None):
        reply = self.admin.call(method, path, body)
        assert reply.status == 200, f"{method} {path}: {reply}"
        return reply.json()

    def make(self, row, rich=False, deleted=False, status=None, **meta):
        """The path of a new object, with the sub-resource of the row, and the object."""
        name = self.name()
        path = row.kind.path(name)
        document = self.call("POST", row.kind.collection(), row.kind.request(name, rich, **meta))
        if status:
            document = self.call("PUT", path + "/status", {**document, "status": {**document["status"], **status}})
        if deleted:
            document = self.call("DELETE", path)
        return path + (f"/{row.sub}" if row.sub else ""), document

    def of(self, row, situation):
        return getattr(self, row.operation)(row, situation)

    # ---- operations

    def misc(self, row, situation):
        status, document = MISC[row.template]
        check = like(document) if document is not None else None
        return {
            "ok": [Case(row.template, status=status, check=check)],
            "missing": [Case(row.template.rstrip("/") + "/nothing", status=404, detail="404: Not Found")],
            "conflict": [Case(row.template, method="POST", body={}, status=405, detail="405: Method Not Allowed")],
            "invalid": [Case(row.template + "?heartbeat=x", status=status, check=check)],  # an unknown parameter
        }[situation]

    def create(self, row, situation):
        kind = row.kind
        if situation == "ok":
            name = self.name()
            return [Case(kind.collection(), kind.request(name), check=like(kind.document(name)))]
        if situation == "missing":
            nameless = Case(kind.collection(), {**kind.body, "metadata": {}}, 422, "{'metadata': {'name': ['Missing data for required field.']}}")
            if not kind.namespaced:
                return [nameless]
            name = self.name()  # a namespace comes into being with what is in it
            return [nameless, Case(kind.collection(f"new-{name}"), kind.request(name), check=like(kind.document(name, f"new-{name}")))]
        if situation == "conflict":
            return [Case(kind.collection(), kind.request(document["metadata"]["name"]), 409, kind.taken(document["metadata"]["name"]),
                         "RESOURCE_ALREADY_EXISTS") for _, document in (self.make(row), self.make(row, deleted=True))]
        return [Case(kind.collection(), b"", 415, TYPE), Case(kind.collection(), b"[]", 422, "{'_schema': ['Invalid input type.']}"),
                Case(kind.collection(), kind.request("-"), 422, "{'metadata': {'name': ['Invalid character in resource name.']}}")]

    def list(self, row, situation):
        kind = row.kind
        path = row.template.replace("{namespace}", "demo")
        if situation in ("ok", "conflict"):  # what is being deleted is listed like the rest
            _, document = self.make(row, deleted=situation == "conflict")

            def check(came):
                whole = {key: came[key] for key in ("api", "kind")} if isinstance(came, dict) else came
                return differences({"api": kind.api, "kind": kind.kind + "List"}, whole) or ([] if document in came["items"] else ["it is not listed"])
            return [Case(path, check=check)]
        if situation == "missing":
            if "{namespace}" in row.template:
                return [Case(kind.collection("nobody-was-here"), check=at(["items"], []))]
            return [Case(path + "/", status=404, detail="404: Not Found")]
        return [Case(f"{path}?heartbeat={value}", status=422, detail={"query": {"heartbeat": [message]}})
                for value, message in (("abc", "Not a valid integer."), ("1.5", "Not a valid integer."), ("-1", "Must be greater than or equal to 0."))]

    def absent(self, row, name="nobody", body=None):
        kind = row.kind
        path = kind.path(name) + (f"/{row.sub}" if row.sub else "")
        return Case(path, body, 404, kind.missing(name.replace("%20", " ")), "NOT_FOUND_ERROR")

    def read(self, row, situation):
        if situation in ("ok", "conflict"):
            path, document = self.make(row, rich=True, deleted=situation == "conflict")
            return [Case(path, check=like(document))]
        return [self.absent(row, "nobody" if situation == "missing" else "a%20b")]

    def update(self, row, situation):
        kind = row.kind
        path, read = self.make(row)
        if situation == "ok":
            body = {**read, "metadata": {**read["metadata"], "labels": {"a": "b"}}}
            return [Case(path, body, check=at(["metadata", "labels"], {"a": "b"}))]
        if situation == "missing":
            valid = {**read, "metadata": {**read["metadata"], "name": "nobody"}}
            return [self.absent(row, body=valid), Case(kind.path("nobody"), None, 415, TYPE),
                    Case(kind.path("nobody"), {**valid, "metadata": None}, 422, "{'metadata': ['Field may not be null.']}")]
        if situation == "conflict":
            deleted, last = self.make(row, deleted=True)
            same = Case(path, read, check=like(read)) if kind.same_is_ok else Case(path, read, 400, "The body contained no update.", "UPDATE_ERROR")
            cases = [same, Case(deleted, {**last, "metadata": {**last["metadata"], "finalizers": ["mine"]}}, 409,
                                "Finalizers can only be removed if a deletion is in progress.", "UPDATE_ERROR")]
            for field in ("name", "namespace"):
                cases.append(Case(path, {**read, "metadata": {**read["metadata"], field: "other"}}, 400,
                                  f"Trying to update an immutable field: {field}", "UPDATE_ERROR"))
            if kind.kind == "MagnumCluster":
                cases.append(Case(path, {**read, "spec": {**read["spec"], "master_count": 1}}, 400,
                                  "Trying to update an immutable field: master_count", "UPDATE_ERROR"))
            return cases
        cases = [Case(path, b"{", 415, TYPE)]
        for field in ("uid", "created", "modified"):
            body = {**read, "metadata": {key: value for key, value in read["metadata"].items() if key != field}}
            cases.append(Case(path, body, 422, f"{{'metadata': {{'{field}': ['Missing data for required field.']}}}}"))
        return cases

    def delete(self, row, situation):
        if situation == "ok":
            path, read = self.make(row, finalizers=["mine"])
            left = {**read["metadata"], "resource_version": REVISION, "deleted": TIME, "finalizers": ["mine", "cascade_deletion"]}
            return [Case(path, check=at(["metadata"], left))]
        if situation == "conflict":
            path, read = self.make(row, deleted=True)
            return [Case(path, check=like(read))]
        return [self.absent(row, "nobody" if situation == "missing" else "a%20b")]

    def status(self, row, situation):
        kind = row.kind
        path, read = self.make(row, deleted=situation == "conflict")
        body = {**read, "status": kind.status_rich}
        if situation in ("ok", "conflict"):
            check = like({**body, "metadata": {**read["metadata"], "resource_version": REVISION}})
            cases = [Case(path, body, check=check)]
            if situation == "conflict" and kind.kind == "MagnumCluster":
                cases.append(Case(path, {**body, "status": {"template": "t"}}, 400, "Trying to update an immutable field: template", "UPDATE_ERROR"))
            return cases
        if situation == "missing":
            return [self.absent(row, body=body), Case(kind.path("nobody/status"), b"", 415, TYPE)]
        return [Case(path, b"nonsense", 415, TYPE), Case(path, {**read, "status": None}, 422, "{'status': ['Field may not be null.']}"),
                Case(path, {**read, "status": {"state": "NONSENSE"}}, 422, "{'status': {'state': ['Invalid enum member NONSENSE']}}")]

    def bind(self, row, situation):
        body = BINDINGS[row.kind.kind]
        field = next(key for key in body if key != "template")
        target = {key: {"namespace": None, **body[field]}[key] for key in ("api", "namespace", "kind", "name")}
        if situation in ("ok", "conflict"):
            path, _ = self.make(row, deleted=situation == "conflict")
            return [Case(path, body, check=at(["metadata", "owners"], [target]))]
        first = (row.kind.kind, row.sub) in LOADED_FIRST
        if situation == "missing":
            nothing = self.absent(row, body=b"") if first else Case(self.absent(row).path, b"", 415, TYPE)
            return [self.absent(row, body=body), nothing]
        path, _ = self.make(row)
        lacks = "{" + ", ".join(f"'{key}': ['Missing data for required field.']" for key in body) + "}"
        return [Case(path, b"", 415, TYPE), Case(path, {}, 422, lacks),
                Case(path, {**body, "kind": "Binding"}, 422, f"{{'kind': ['Must be equal to {self.binding_kind(row)}.']}}")]

    @staticmethod
    def binding_kind(row):
        return {"Application": "ClusterBinding", "Cluster": "CloudBinding", "MagnumCluster": "MagnumClusterBinding"}[row.kind.kind]

    def hook(self, row, situation, state):
        if situation == "ok":
            path, _ = self.make(row, status={f"{row.sub}_token": "secret", "state": "DEGRADED"})
            return [Case(path, {"token": "secret"}, check=at(["status", "state"], state))]
        if situation == "missing":
            return [self.absent(row, body={"token": "secret"}), Case(self.absent(row).path, b"", 415, TYPE)]
        path, _ = self.make(row)
        given, _ = self.make(row, status={f"{row.sub}_token": "secret"})
        if situation == "conflict":
            return [Case(path, {"token": None}, 401, NO_TOKEN), Case(given, {"token": "other"}, 401, NO_TOKEN), Case(given, {}, 401, NO_TOKEN)]
        return [Case(path, b"", 415, TYPE), Case(path, {"token": 1}, 422, "{'token': ['Not a valid string.']}")]

    def complete(self, row, situation):
        return self.hook(row, situation, "READY_FOR_ACTION")

    def shutdown(self, row, situation):
        return self.hook(row, situation, "READY_FOR_ACTION")

    def retry(self, row, situation):
        if situation == "missing":
            return [self.absent(row)]
        path, _ = self.make(row, status={"state": "RUNNING" if situation == "conflict" else "DEGRADED"})
        if situation == "conflict":
            return [Case(path, None, 400, "No migration or deletion retry needed", "UPDATE_ERROR")]
        # The body is not read: there is nothing invalid.
        return [Case(path, None if situation == "ok" else b"\xff", check=at(["status", "state"], "WAITING_FOR_CLEANING"))]


class Table:
    def __init__(self, processes):
        self.rows, self.results, self.cells, self.requests = read_rows(), Rows(), 0, 0
        users = ["admin"] + [f"{who}-{row.number}" for row in self.rows for who in ("only", "but")]
        tokens = processes.state / "tokens"
        tokens.write_text("".join(f"token-of-{user} {user}\n" for user in users))
        everything = {"api": "", "resources": [""], "namespaces": [""], "verbs": ["create", "list", "get", "update", "delete"]}
        server = Server(processes, authentication={"strategy": {"token": {"file": str(tokens)}}, "allow_anonymous": True}, authorization="RBAC",
                        default_roles=[{"metadata": {"name": "admin"}, "rules": [everything]}],
                        default_role_bindings=[{"metadata": {"name": "admin"}, "users": ["admin"], "roles": ["admin"]}])
        self.port, self.closed = server.port, Server(processes, "closed", authentication={"allow_anonymous": False}, authorization="RBAC").port
        self.clients = {}
        self.contents = Cells(self.client("admin"))
        self.make_roles()

    def client(self, user=None, port=None):
        headers = {"Authorization": f"Bearer token-of-{user}"} if user else {}
        return self.clients.setdefault((user, port), Client(port or self.port, headers))

    def make_roles(self):
        rights = {(row.resource, row.verb) for row in self.rows if row.kind}

        def rule(right):
            api, resource = right[0].split(":")
            return {"api": api, "resources": [resource], "namespaces": [""], "verbs": [right[1]]}

        for row in self.rows:
            mine = (row.resource, row.verb)
            for who, granted in (("only", rights & {mine}), ("but", rights - {mine})):
                name = f"{who}-{row.number}"
                self.contents.call("POST", "/core/roles", {"metadata": {"name": name}, "rules": [rule(right) for right in sorted(granted)]})
                self.contents.call("POST", "/core/rolebindings", {"metadata": {"name": name}, "users": [name], "roles": [name]})

    def ask(self, row, situation, client, case):
        method = case.method or row.method
        reply = client.call(method, case.path, case.body, case.headers)
        self.requests += 1
        label = f"{row.number:2} {row.method} {row.template}: {situation}: {method} {case.path}"
        document = reply.json()
        if case.status >= 400:
            expected = {"status": case.status, "type": PROBLEM, "body": problem(case.status, case.detail, case.title)}
            if isinstance(case.detail, dict):  # JSON in a text
                expected["body"]["detail"] = case.detail
                document["detail"] = parse(document["detail"])
            self.results.equal(label, expected, {"status": reply.status, "type": reply.type, "body": document})
        else:
            wrong = case.check(document) if case.check and reply.status == case.status else []
            self.results.row(label, (case.status, JSON, "no difference"), f"{reply!r}\n  differs {'; '.join(wrong)}",
                             (reply.status, reply.type) == (case.status, JSON) and not wrong)

    def cell(self, row, situation):
        self.cells += 1
        path = row.template.replace("{namespace}", "demo").replace("{name}", "some")
        status, document = MISC.get(row.template, (0, None))
        free = [Case(path, status=status, check=like(document) if document is not None else None)]
        if situation == "forbidden":
            # Before the body and before the object: neither is there.
            for case in [Case(path, status=403, detail=FORBIDDEN)] if row.kind else free:
                self.ask(row, situation, self.client(f"but-{row.number}"), case)
        elif situation == "anonymous":
            for case in [Case(path, status=401, detail=UNAUTHORIZED)] if row.kind else free:
                self.ask(row, situation, self.client(), case)
            self.ask(row, situation, self.client(port=self.closed), Case(path, status=401, detail=NOBODY))
        else:
            for case in self.contents.of(row, situation):
                self.ask(row, situation, self.client(f"only-{row.number}"), case)

    def complete(self):
        """The list is the routes there are, but for what is additive: PATCH and leases."""
        listed = [(row.method, row.template) for row in self.rows]
        known = [(method, template) for method, template, _ in ROUTES if method != "PATCH" and not template.startswith("/core/leases")]
        self.results.equal("93 routes, each once", (93, sorted(known)), (len(set(listed)), sorted(listed)))
        by_path = {}
        for method, template in listed:
            by_path.setdefault(template, set()).add(method)
        for template, methods in by_path.items():
            allow = self.client("admin").call("TRACE", template.replace("{namespace}", "demo").replace("{name}", "some")).header("Allow") or ""
            came = {part.strip() for part in allow.split(",")} - {"HEAD", "OPTIONS", "PATCH"}
            self.results.equal(f"the methods of {template}", sorted(methods), sorted(came))

    def run(self):
        self.complete()
        for row in self.rows:
            for situation in SITUATIONS:
                self.cell(row, situation)
        print(f"{len(self.rows)} routes, {self.cells} cells, {self.requests} requests")
        return self.results.finish()


def run(binaries):
    with Processes(binaries) as processes:
        return Table(processes).run()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
