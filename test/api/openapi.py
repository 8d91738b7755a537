"""The OpenAPI document: valid, served as it is printed, its routes those of upstream and the additive ones, and its checker does find what is wrong.

    openapi.py FOLDER-OF-PROGRAMS
"""
import copy
import json
import pathlib
import subprocess
import sys

from contract import Document, use_packages
from support import JSON, PROBLEM, Client, Processes, Rows, Server, problem

HERE = pathlib.Path(__file__).parent
METHODS = ("get", "put", "post", "patch", "delete")


def lines(name):
    return [line.split() for line in (HERE / name).read_text().splitlines() if line and not line.startswith("#")]


class Suite:
    def __init__(self, processes):
        self.processes, self.rows = processes, Rows()
        self.printed = subprocess.run([processes.bin / "krake", "openapi"], check=True, capture_output=True).stdout
        self.document = json.loads(self.printed)
        self.operations = {(method.upper(), path): operation for path, item in self.document["paths"].items()
                           for method, operation in item.items() if method in METHODS}

    def valid(self):
        use_packages()
        from openapi_spec_validator import OpenAPIV31SpecValidator
        found = [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in OpenAPIV31SpecValidator(self.document).iter_errors()]
        self.rows.equal("the document is valid OpenAPI 3.1", [], found[:20])

    def served(self):
        server = Server(self.processes, authorization="always-deny")
        client = Client(server.port)
        reply = client.get("/openapi.json")
        self.rows.row("GET /openapi.json, where nothing is allowed", "what krake openapi prints", (reply.status, reply.type, len(reply.body)),
                      (reply.status, reply.type, reply.body) == (200, JSON, self.printed.rstrip(b"\n")))
        tag = reply.header("ETag") or "none"
        for given, status in [(tag, 304), (f"W/{tag}", 304), (f'"other", {tag}', 304), ("*", 304), ('"other"', 200)]:
            again = client.get("/openapi.json", headers={"If-None-Match": given})
            self.rows.equal(f"GET /openapi.json, If-None-Match: {given}", {"status": status, "tag": tag, "size": len(self.printed) - 1 if status == 200 else 0},
                            {"status": again.status, "tag": again.header("ETag"), "size": len(again.body)})
        head = client.call("HEAD", "/openapi.json")
        self.rows.equal("HEAD /openapi.json", {"status": 200, "type": JSON, "tag": tag}, {"status": head.status, "type": head.type, "tag": head.header("ETag")})
        closed = Server(self.processes, name="closed", authentication={"allow_anonymous": False})
        refused = Client(closed.port).get("/openapi.json")
        self.rows.equal("GET /openapi.json by nobody", {"status": 401, "type": PROBLEM, "body": problem(401, "401: No user has been authenticated.")},
                        {"status": refused.status, "type": refused.type, "body": refused.json()})

    def routes(self):
        """Each upstream route with the right it wants; besides these what additive_routes.txt says."""
        upstream = {}
        for method, path, right, *rest in lines("upstream_routes.txt"):
            upstream[method, path] = None if right == "-" else {"api": right.partition(":")[0], "resource": right.partition(":")[2], "verb": rest[0]}
        self.rows.equal("upstream's routes are 93", 93, len(upstream))
        for route, right in upstream.items():
            operation = self.operations.get(route)
            self.rows.equal(f"{' '.join(route)} is documented, with its right", {"right": right},
                            {"right": operation.get("x-krake-right")} if operation else "not documented")
        additive = {(method, path) for method, path in map(tuple, lines("additive_routes.txt"))}
        patches = {("PATCH", path) for method, path in upstream if method == "PUT" and ("PATCH", path) in self.operations
                   and (path.endswith("{name}") or path.endswith("/status"))}
        wanted = {("PATCH", path) for method, path in upstream if method == "PUT" and (path.endswith("{name}") or path.endswith("/status"))}
        self.rows.equal("PATCH wherever PUT takes an object", sorted(map(list, wanted)), sorted(map(list, patches)))
        self.rows.equal("no other routes than upstream's, PATCH and additive_routes.txt", sorted(map(list, additive)),
                        sorted(map(list, set(self.operations) - set(upstream) - wanted)))

    def operations_say_enough(self):
        ids = [operation["operationId"] for operation in self.operations.values()]
        self.rows.equal("operationIds are unique", sorted(set(ids)), sorted(ids))
        kinds = [schema["x-krake-kind"] for schema in self.document["components"]["schemas"].values() if "x-krake-kind" in schema]
        self.rows.equal("all kinds", 15, len(kinds))
        for name, schema in self.document["components"]["schemas"].items():
            for field, property in schema.get("properties", {}).items():
                told = field in ("api", "kind", "type") or "const" in property or name.endswith(("List", "WatchEvent", "Choice")) or "description" in property
                if "description" in schema and name not in ("Bookmark", "Removed", "LeaseRequest"):
                    self.rows.row(f"{name}.{field} has a description", "one", property, told)

    def checker(self):
        """The checker of contract.py finds what is wrong: else nothing that it says means anything."""
        document = Document(self.document)
        server = Server(self.processes, name="small")
        client = Client(server.port)
        path = "/core/roles/r"
        made = client.call("POST", "/core/roles", {"metadata": {"name": "r"}, "rules": []})
        good = made.json()

        def spoilt(change):
            body = copy.deepcopy(good)
            change(body)
            return json.dumps(body).encode()

        def put(*place):
            def change(body):
                for step in place[:-2]:
                    body = body[step]
                body[place[-2]] = place[-1]
            return change

        text = json.dumps(good).encode()
        plain = b'{"type":"about:blank","status":404,"detail":"x"}'
        cases = [
            ("a good answer", ("GET", path, 200, JSON, text), 0),
            ("a good line", ("GET", path, 404, PROBLEM, plain), 0),
            ("a status that is not documented", ("GET", path, 418, PROBLEM, plain), 1),
            ("a status of other operations", ("GET", path, 409, PROBLEM, plain), 1),
            ("an unknown path", ("GET", "/x", 200, JSON, b"{}"), 1),
            ("an unknown method", ("POST", path, 200, JSON, text), 1),
            ("another content type", ("GET", path, 200, "text/html", text), 1),
            ("a problem as plain JSON", ("GET", path, 404, JSON, plain), 1),
            ("no JSON", ("GET", path, 200, JSON, b"{"), 1),
            ("a body with 304", ("GET", path, 304, None, b"x"), 1),
            ("another kind", ("GET", path, 200, JSON, spoilt(put("kind", "RoleBinding"))), 1),
            ("a field of another type", ("GET", path, 200, JSON, spoilt(put("metadata", "finalizers", "f"))), 1),
            ("a time that is none", ("GET", path, 200, JSON, spoilt(put("metadata", "created", "yesterday"))), 1),
            ("a null where none may be", ("GET", path, 200, JSON, spoilt(put("metadata", "labels", None))), 1),
            ("a field that is missing", ("GET", path, 200, JSON, spoilt(lambda body: body["metadata"].pop("uid"))), 1),
            ("a member too many where none is kept",
             ("GET", path, 200, JSON, spoilt(put("rules", [{"api": "", "resources": [], "namespaces": [], "verbs": [], "more": 1}]))), 1),
            ("a verb that is none", ("GET", path, 200, JSON, spoilt(put("rules", [{"api": "", "resources": [], "namespaces": [], "verbs": ["fly"]}]))), 1),
            ("a problem without detail", ("GET", path, 404, PROBLEM, b'{"type":"about:blank","status":404}'), 1),
            ("a title nobody knows", ("GET", path, 404, PROBLEM, b'{"type":"x","title":"MINE","status":404,"detail":"x"}'), 1),
            ("a bad item of a list",
             ("GET", "/core/roles", 200, JSON, json.dumps({"api": "core", "kind": "RoleList", "metadata": {"resource_version": "1", "store": "s"},
                                                           "items": [good, json.loads(spoilt(put("rules", None)))]}).encode()), 1),
            ("a body that was taken and should not have been", ("POST", "/core/roles", 200, JSON, text, '{"metadata": {"name": "-"}, "rules": []}'), 1),
        ]
        for label, arguments, wanted in cases:
            found = document.check(*arguments)
            self.rows.row(f"the checker: {label}", f"{wanted} or more findings" if wanted else "none", found, bool(found) == bool(wanted))
        event = {"type": "ADDED", "object": good, "revision": "1"}
        for label, line, wanted in [("a good line", event, 0), ("a bookmark", {"type": "BOOKMARK", "object": None, "revision": "1"}, 0),
                                    ("an event that is none", {**event, "type": "GONE"}, 1), ("no object", {**event, "object": None}, 1),
                                    ("no revision", {"type": "ADDED", "object": good}, 1)]:
            found = document.check_line("/core/roles?watch", json.dumps(line).encode() + b"\n")
            self.rows.row(f"the checker: {label}", f"{wanted} or more findings" if wanted else "none", found, bool(found) == bool(wanted))

    def run(self):
        for step in (self.valid, self.routes, self.operations_say_enough, self.served, self.checker):
            step()
        return self.rows.finish()


def main():
    with Processes(sys.argv[1]) as processes:
        return Suite(processes).run()


if __name__ == "__main__":
    sys.exit(main())
