"""Every problem of the API reached through a real request: status, reason phrase, content type, whole body; and who may do what.

    problems.py FOLDER-OF-PROGRAMS
"""
import json
import select
import socket
import sys
import threading
import time

from kinds import BINDING, BY_NAME, ROUTES
from support import BASE, PROBLEM, TEXT, Client, Processes, Rows, Server, Watch, kept_port, problem

UNKNOWN = "401: No user has been authenticated."
ANONYMOUS = "401: Unauthorized"
FORBIDDEN = "403: Forbidden"
ROLE = {"metadata": {"name": "r"}, "rules": []}


def rule(resources, verbs, namespaces=("",), api=""):
    return {"api": api, "resources": list(resources), "namespaces": list(namespaces), "verbs": list(verbs)}


ALL = rule([""], ["create", "list", "list_all", "get", "update", "delete"])
ADMIN = {"default_roles": [{"metadata": {"name": "admin"}, "rules": [ALL]}],
         "default_role_bindings": [{"metadata": {"name": "admins"}, "users": ["admin"], "roles": ["admin"]}]}
USERS = ["admin", "alice", "bob", "system:gc", "system:anonymous"]


class Suite:
    def __init__(self, processes):
        self.processes, self.rows, self.count = processes, Rows(), 0

    def server(self, **config):
        self.count += 1
        return Server(self.processes, f"api{self.count}", **config)

    def refused(self, label, client, method, path, status, detail, title=None, body=None, headers=None, base=BASE, reason=None):
        reply = client.call(method, path, body, headers)
        came = {"status": reply.status, "type": reply.type, "body": reply.json() if method != "HEAD" else ""}
        self.rows.equal(f"{label}: {method} {path}", {"status": status, "type": PROBLEM,
                                                      "body": problem(status, detail, title, base) if method != "HEAD" else ""}, came)
        if reason:
            self.rows.equal(f"{label}: {method} {path}: reason phrase", reason, reply.reason)
        return reply

    def allowed(self, label, client, method, path, status=200, body=None):
        """Authorised: what the operation itself then says."""
        reply = client.call(method, path, body)
        self.rows.row(f"{label}: {method} {path}", status, reply, reply.status == status)
        return reply

    # ---- titles

    def titles(self, base, server):
        """Each title with the anchor in its type; an empty base leaves about:blank."""
        client = Client(server.port)
        label = f"docs.problem_base_url {base!r}"

        def refused(method, path, status, detail, title, body=None):
            return self.refused(label, client, method, path, status, detail, title, body, base=base)

        assert client.call("POST", "/core/roles", ROLE).status == 200
        read = client.get("/core/roles/r").json()
        refused("GET", "/core/roles/x", 404, "'Role' 'x' does not exist in namespace None", "NOT_FOUND_ERROR")
        refused("GET", "/core/namespaces/a:b/metrics/x", 404, "'Metric' 'x' does not exist in namespace 'a:b'", "NOT_FOUND_ERROR")
        refused("POST", "/core/roles", 409, "Role 'r' already exists", "RESOURCE_ALREADY_EXISTS", ROLE)
        refused("PUT", "/core/roles/r", 400, "The body contained no update.", "UPDATE_ERROR", read)
        refused("PUT", "/core/roles/r", 400, "Trying to update an immutable field: name", "UPDATE_ERROR",
                {**read, "metadata": {**read["metadata"], "name": "s"}})
        client.call("DELETE", "/core/roles/r")
        read["metadata"]["finalizers"] = ["mine"]
        refused("PUT", "/core/roles/r", 409, "Finalizers can only be removed if a deletion is in progress.", "UPDATE_ERROR", read)
        app = BY_NAME["Application"]
        assert client.call("POST", app.collection(), app.request("web")).status == 200
        refused("POST", app.collection(), 409, "Application 'web' already exists in namespace 'demo'", "RESOURCE_ALREADY_EXISTS", app.request("web"))
        refused("PUT", app.path("web") + "/retry", 400, "No migration or deletion retry needed", "UPDATE_ERROR")
        # Those without a title are about:blank whatever the base.
        for method, path, status, detail, body in [
                ("GET", "/nowhere", 404, "404: Not Found", None), ("DELETE", "/core/roles", 405, "405: Method Not Allowed", None),
                ("POST", "/core/roles", 415, "415: Unsupported Media Type", b""),
                ("POST", "/core/roles", 422, "{'metadata': ['Missing data for required field.']}", {"rules": []}),
                ("POST", "/core/roles", 422, "{'_schema': ['Invalid input type.']}", b"[]"),
                ("POST", "/core/roles", 422, "{'kind': ['Must be equal to Role.']}", {**ROLE, "kind": "Job"}),
                ("POST", app.collection(), 422,
                 "{'spec': {'_schema': ['The application should be defined by a manifest file, a TOSCA template or a CSAR file.']}}",
                 {"metadata": {"name": "x"}, "spec": {"manifest": [], "constraints": {"cluster": {}}}}),
                ("PUT", app.path("web") + "/complete", 401, "401: No token has been provided or the provided one is invalid.", {"token": "x"}),
                ("PUT", app.path("web") + "/shutdown", 401, "401: No token has been provided or the provided one is invalid.", {"token": None}),
                ("GET", "/core/roles?watch&since=999999", 410, TEXT, None), ("GET", "/core/roles?continue=x.1", 410, TEXT, None),
                ("POST", "/core/roles", 413, "Maximum request body size 1048576 exceeded, actual body size 1048577", b" " * 1048577)]:
            refused(method, path, status, detail, None, body)
        self.refused(label, client, "DELETE", app.path("web"), 412, TEXT, headers={"If-Match": '"1"'}, base=base)
        self.refused(label, client, "PATCH", app.path("web"), 412, TEXT, body={}, headers={"Krake-Leader": "l/x-1"}, base=base)

    def conflict(self):
        """TRANSACTION_ERROR: two writers, no second try. The store with group commit lets them meet."""
        store = {"type": "sqlite", "path": str(self.processes.state / "conflict.db")}
        server = self.server(store=store, etcd={"retry_transactions": 0})
        app = BY_NAME["Application"]
        client = Client(server.port)
        assert client.call("POST", app.collection(), app.request("web")).status == 200
        conflicts, others, stop = [], [], threading.Event()

        def write(number):
            mine, i = Client(server.port), 0
            while not stop.is_set():
                i += 1
                reply = mine.call("PATCH", app.path("web") + "/status", {"status": {"services": {"x": f"{number}.{i}"}}})
                if reply.status == 409:
                    conflicts.append(reply)
                    stop.set()
                elif reply.status != 200:
                    others.append(reply)
                    stop.set()

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        stop.wait(30)
        stop.set()
        for thread in threads:
            thread.join()
        came = conflicts[0] if conflicts else others[0] if others else None
        self.rows.equal("two writers at once", {"status": 409, "type": PROBLEM,
                                                "body": problem(409, "Concurrent writes to database", "TRANSACTION_ERROR")},
                        {"status": came.status, "type": came.type, "body": came.json()} if came else "no conflict within 30 s")
        self.rows.equal("two writers at once: the object is whole", 200, client.get(app.path("web")).status)
        # With tries enough, and an object that two clients change in different places, nobody sees a conflict and nothing is lost.
        server = self.server(store={**store, "path": store["path"] + "2"}, etcd={"retry_transactions": 100})
        assert Client(server.port).call("POST", app.collection(), app.request("web")).status == 200
        statuses = []

        def add(number):
            mine = Client(server.port)
            statuses.extend(mine.call("PATCH", app.path("web") + "/status",
                                      {"status": {"services": {f"{number}.{i}": "x"}}}).status for i in range(20))

        threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        services = Client(server.port).get(app.path("web")).json()["status"]["services"]
        self.rows.equal("eight writers at once: every change is there", {"answers": [200] * 160, "services": 160},
                        {"answers": statuses, "services": len(services)})

    def too_many(self):
        """429: shed, with Retry-After and without a title. The bound that is reached soonest is that of bodies on their way."""
        server = self.server()
        client = Client(server.port)
        for name in ("a", "b"):
            client.call("POST", "/core/roles", {"metadata": {"name": name}, "rules": []})
        pages = [client.get("/core/roles?limit=1").json()["metadata"]["continue"] for _ in range(1000)]
        self.rows.equal("1000 paged lists that nobody goes on with: the oldest are forgotten", [410, 200],
                        [client.get(f"/core/roles?limit=1&continue={token}").status for token in (pages[0], pages[-1])])
        slow = []
        for _ in range(257):
            sender = socket.create_connection(("127.0.0.1", server.port))
            sender.sendall(b"POST /core/roles HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n")
            slow.append(sender)
        end = time.monotonic() + 30
        # Those for whom nothing is left are answered; before that a body of ours would take the place of one of theirs.
        while len(select.select(slow, [], [], 0.1)[0]) < 27 and time.monotonic() < end:
            pass
        padded = json.dumps({"metadata": {"name": "c"}, "rules": []}) + " " * 500_000
        while (reply := client.call("POST", "/core/roles", padded)).status != 429 and time.monotonic() < end:
            client.call("DELETE", "/core/roles/c?force=True")
        self.rows.equal("230 MiB of users' bodies on their way", {"status": 429, "type": PROBLEM, "body": problem(429, TEXT)},
                        {"status": reply.status, "type": reply.type, "body": reply.json()})
        self.rows.row("429: Retry-After", "a number of seconds", reply.header("Retry-After"), (reply.header("Retry-After") or "").isdigit())
        self.rows.equal("429: ordinary requests go on", (200, 200), (client.get("/core/roles").status, client.get("/core/roles/a").status))
        for sender in slow:
            sender.close()

    def unreachable(self):
        """An identity service that is away says nothing about a token; what is there of them is in test/auth."""
        for name in ("keystone", "keycloak"):
            strategy = {name: {"enabled": True, "endpoint": f"http://127.0.0.1:{kept_port()}"}}
            client = Client(self.server(authentication={"allow_anonymous": True, "strategy": strategy}).port)
            reply = self.refused(f"{name} away", client, "GET", "/core/roles", 503,
                                 f"503: {name.capitalize()} cannot be asked about the token now; try again", headers={"Authorization": "x"})
            self.rows.equal(f"{name} away: Retry-After", "1", reply.header("Retry-After"))
            self.allowed(f"{name} away, no token", client, "GET", "/core/roles")

    # ---- who asks, and whether he may

    def every_route(self):
        for method, template, _ in ROUTES:
            path = template.replace("{namespace}", "demo").replace("{name}", "some")
            yield method, path, path in ("/", "/me", "/release")

    def always_deny(self):
        client = Client(self.server(authorization="always-deny").port)
        label = "always-deny"
        for method, path, free in self.every_route():
            if free:
                self.allowed(label, client, method, path, 202 if path == "/release" else 200)
            else:
                self.refused(label, client, method, path, 403, FORBIDDEN, body=None if method == "GET" else b"garbage")
        self.refused(label, client, "GET", "/core/roles?heartbeat=x", 403, FORBIDDEN)
        self.refused(label, client, "GET", "/core/roles?watch", 403, FORBIDDEN)
        self.refused(label, client, "HEAD", "/core/roles", 403, FORBIDDEN)
        self.refused(label, client, "GET", "/nowhere", 404, "404: Not Found")
        self.refused(label, client, "POST", "/core/roles/x", 405, "405: Method Not Allowed")
        self.rows.equal(f"{label}: GET /me", {"user": "system:anonymous", "roles": []}, client.get("/me").json())

    def nobody(self):
        """No anonymous access and nobody to vouch: 401 everywhere, unknown paths included."""
        client = Client(self.server(authentication={"allow_anonymous": False}).port)
        for method, path, _ in self.every_route():
            self.refused("no user", client, method, path, 401, UNKNOWN, reason=UNKNOWN[5:])
        for method, path in (("GET", "/nowhere"), ("DELETE", "/core/roles"), ("GET", "/core/roles?watch"), ("GET", "/core/roles?heartbeat=x"),
                             ("HEAD", "/")):
            self.refused("no user", client, method, path, 401, UNKNOWN)
        self.refused("no user", client, "GET", "/", 401, UNKNOWN, headers={"Authorization": "Bearer x"})

    def static(self):
        """Everybody is the static user, whatever he sends."""
        server = self.server(authentication={"strategy": {"static": {"enabled": True, "name": "admin"}}}, authorization="RBAC", **ADMIN)
        client = Client(server.port)
        for headers in ({}, {"Authorization": "Bearer x"}):
            self.rows.equal(f"static user: GET /me {headers}", {"user": "admin", "roles": ["admin"]}, client.get("/me", headers=headers).json())
        self.allowed("static user", client, "POST", "/core/roles", 200, ROLE)
        client = Client(self.server(authentication={"allow_anonymous": True, "strategy": {"static": {"enabled": True, "name": "stranger"}}},
                                    authorization="RBAC", **ADMIN).port)
        self.rows.equal("static stranger: GET /me", {"user": "stranger", "roles": []}, client.get("/me").json())
        self.refused("static stranger", client, "GET", "/core/roles", 403, FORBIDDEN)

    def anonymous_under_rbac(self):
        client = Client(self.server(authorization="RBAC").port)
        for method, path, free in self.every_route():
            if free:
                self.allowed("anonymous under RBAC", client, method, path, 202 if path == "/release" else 200)
            else:
                self.refused("anonymous under RBAC", client, method, path, 401, ANONYMOUS)
        self.refused("anonymous under RBAC", client, "GET", "/nowhere", 404, "404: Not Found")
        # A binding that names the anonymous user helps nobody.
        config = {**ADMIN, "default_role_bindings": [{"metadata": {"name": "all"}, "users": ["system:anonymous"], "roles": ["admin"]}]}
        client = Client(self.server(authorization="RBAC", **config).port)
        self.rows.equal("anonymous with a binding: GET /me", {"user": "system:anonymous", "roles": ["admin"]}, client.get("/me").json())
        self.refused("anonymous with a binding", client, "GET", "/core/roles", 401, ANONYMOUS)

    def with_tokens(self, **more):
        file = self.processes.state / "tokens"
        file.write_text("# token user\n\n" + "".join(f"token-of-{user} {user}\n" for user in USERS))
        return self.server(authentication={"strategy": {"token": {"file": str(file)}}, **more}, authorization="RBAC", **ADMIN)

    def tokens(self):
        for anonymous in (False, True):
            label = f"tokens, anonymous {'on' if anonymous else 'off'}"
            client = Client(self.with_tokens(allow_anonymous=anonymous).port)
            for user in USERS:
                came = client.get("/me", headers={"Authorization": f"Bearer token-of-{user}"})
                self.rows.equal(f"{label}: {user}", (200, user), (came.status, came.json().get("user")))
            # A wrong token ends the request: nobody falls back to anonymous.
            for header in ("Bearer wrong", "Bearer token-of-admi", "Bearer token-of-admin2", "Basic token-of-admin", "Bearer", "Bearer  ",
                           "bearer  x", "x" * 5000):
                reply = self.refused(f"{label}: {header[:30]!r}", client, "GET", "/core/roles", 401, TEXT, headers={"Authorization": header})
                self.rows.row(f"{label}: {header[:30]!r}: the answer does not repeat the token", "no token", reply, b"token-of" not in reply.body)
                self.refused(f"{label}: {header[:30]!r}", client, "GET", "/nowhere", 401, TEXT, headers={"Authorization": header})
            self.refused(f"{label}: none", client, "GET", "/core/roles", 401, ANONYMOUS if anonymous else UNKNOWN)
            self.refused(f"{label}: none", client, "GET", "/nowhere", *((404, "404: Not Found") if anonymous else (401, UNKNOWN)))
            self.refused(f"{label}: a user without roles", client, "GET", "/core/roles", 403, FORBIDDEN,
                         headers={"Authorization": "Bearer token-of-bob"})

    def roles(self):
        server = self.with_tokens(allow_anonymous=True)
        admin, alice, gc = (Client(server.port, {"Authorization": f"Bearer token-of-{user}"}) for user in ("admin", "alice", "system:gc"))
        app, metric = BY_NAME["Application"], BY_NAME["Metric"]

        def grant(*rules):
            """From the next request on these are the rules of alice."""
            for path in ("/core/roles/of-alice", "/core/rolebindings/of-alice"):
                if admin.call("DELETE", path).status == 200:
                    assert admin.call("PATCH", path, {"metadata": {"finalizers": []}}).status == 200
            assert admin.call("POST", "/core/roles", {"metadata": {"name": "of-alice"}, "rules": list(rules)}).status == 200
            assert admin.call("POST", "/core/rolebindings", {"metadata": {"name": "of-alice"}, "users": ["x", "alice"],
                                                             "roles": ["nobody-made-this", "of-alice"]}).status == 200

        for path, body in ((app.collection(), app.request("web")), (metric.collection(), metric.request("some")),
                           (metric.collection("other"), metric.request("some"))):
            assert admin.call("POST", path, body).status == 200

        # Permission comes before the body and before existence; with it the operation's own answer comes.
        operations = {"create": ("POST", metric.collection(), 415), "list": ("GET", metric.collection(), 200),
                      "get": ("GET", metric.path("some"), 200),
                      "update": ("PUT", metric.path("nobody"), 415), "delete": ("DELETE", metric.path("nobody"), 404)}
        for granted in operations:
            grant(rule(["metrics"], [granted], ["demo"], "core"))
            for verb, (method, path, status) in operations.items():
                if verb == granted:
                    self.allowed(f"may {granted}", alice, method, path, status)
                else:
                    self.refused(f"may {granted}", alice, method, path, 403, FORBIDDEN)
            self.refused(f"may {granted}: another kind", alice, operations[granted][0], operations[granted][1].replace("metrics", "metricsproviders"),
                         403, FORBIDDEN)
            self.refused(f"may {granted}: another namespace", alice, operations[granted][0], operations[granted][1].replace("/demo/", "/other/"), 403,
                         FORBIDDEN)
        grant(rule(["metrics"], ["list_all"], ["demo"], "core"))
        self.refused("may list_all, which no route asks for", alice, "GET", metric.all(), 403, FORBIDDEN)
        grant(rule(["metrics"], ["list"], ["demo"], "core"))
        self.allowed("may list in one namespace: list all is pinned", alice, "GET", metric.all())
        self.refused("may list", alice, "GET", metric.collection() + "?heartbeat=x", 422, '{"query":{"heartbeat":["Not a valid integer."]}}')
        self.refused("may list in demo", alice, "GET", metric.collection("other") + "?heartbeat=x", 403, FORBIDDEN)
        with Watch(server.port, metric.collection() + "?watch&heartbeat=0", {"Authorization": "Bearer token-of-alice"}) as watch:
            self.rows.equal("may list: watch", 200, watch.status)
        self.refused("may list in demo", alice, "GET", metric.collection("other") + "?watch", 403, FORBIDDEN)
        grant(rule(["metrics"], ["get"], ["demo"], "core"))
        self.refused("may get: neither list nor watch", alice, "GET", metric.collection() + "?watch", 403, FORBIDDEN)
        self.allowed("may get: HEAD", alice, "HEAD", metric.path("some"))

        # Sub-resources are resources of their own; PATCH is an update.
        writes = [("PUT", app.path("web"), "applications"), ("PATCH", app.path("web"), "applications"),
                  ("PUT", app.path("web") + "/status", "applications/status"),
                  ("PATCH", app.path("web") + "/status", "applications/status"), ("PUT", app.path("web") + "/binding", "applications/binding"),
                  ("PUT", app.path("web") + "/complete", "applications/complete"), ("PUT", app.path("web") + "/shutdown", "applications/shutdown"),
                  ("PUT", app.path("web") + "/retry", "applications/status")]
        for granted in sorted({resource for _, _, resource in writes}):
            grant(rule([granted], ["update"], ["demo"], "kubernetes"))
            for method, path, resource in writes:
                if resource == granted:
                    self.allowed(f"may update {granted}", alice, method, path, 400 if path.endswith("retry") else 415)
                else:
                    self.refused(f"may update {granted}", alice, method, path, 403, FORBIDDEN)
        grant(rule(["clusters/binding"], ["update"], ["demo"], "kubernetes"))
        self.allowed("may update clusters/binding", alice, "PUT", BY_NAME["Cluster"].path("x") + "/binding", 415)
        self.refused("may update clusters/binding", alice, "PUT", BY_NAME["Cluster"].path("x") + "/status", 403, FORBIDDEN)

        # "" is the only wildcard; what is no wildcard is a name.
        for label, granted, good in [("any group", rule(["metrics"], ["get"], ["demo"], ""), True),
                                     ("another group", rule(["metrics"], ["get"], ["demo"], "kubernetes"), False),
                                     ("any resource", rule([""], ["get"], ["demo"], "core"), True),
                                     ("any namespace", rule(["metrics"], ["get"], [""], "core"), True),
                                     ("a star", rule(["*"], ["get"], ["*"], "*"), False),
                                     ("a prefix", rule(["metric"], ["get"], ["dem"], "core"), False),
                                     ("no namespace", rule(["metrics"], ["get"], [], "core"), False),
                                     ("no verb", rule(["metrics"], [], ["demo"], "core"), False)]:
            grant(granted)
            if good:
                self.allowed(label, alice, "GET", metric.path("some"))
            else:
                self.refused(label, alice, "GET", metric.path("some"), 403, FORBIDDEN)
        grant(rule(["roles"], ["get", "list", "create", "update", "delete"], [], "core"))
        self.allowed("namespaces do not matter for kinds without", alice, "GET", "/core/roles/of-alice")
        self.allowed("namespaces do not matter for kinds without", alice, "GET", "/core/roles")
        grant(rule(["metrics"], ["get"], ["demo"], "core"), rule(["roles"], ["get"], [], "core"))
        self.allowed("several rules add up", alice, "GET", metric.path("some"))
        self.allowed("several rules add up", alice, "GET", "/core/roles/admin")
        grant()
        self.refused("no rule", alice, "GET", metric.path("some"), 403, FORBIDDEN)
        self.rows.equal("GET /me: also roles that do not exist", {"user": "alice", "roles": ["nobody-made-this", "of-alice"]},
                        alice.get("/me").json())

        # Changes count from the next request on.
        grant(rule(["metrics"], ["get"], ["demo"], "core"))
        admin.call("DELETE", "/core/roles/of-alice")
        self.allowed("a role in deletion still grants", alice, "GET", metric.path("some"))
        admin.call("PATCH", "/core/roles/of-alice", {"metadata": {"finalizers": []}})
        self.refused("the role is gone", alice, "GET", metric.path("some"), 403, FORBIDDEN)
        for i in range(20):
            grant(rule(["metrics"], ["get"], ["demo"], "core"))
            self.allowed(f"granted, {i}", alice, "GET", metric.path("some"))
            admin.call("PATCH", "/core/rolebindings/of-alice", {"users": ["bob"]})
            self.refused(f"taken away, {i}", alice, "GET", metric.path("some"), 403, FORBIDDEN)

        # Leases are resources like others. Krake's own controllers may keep them and read what they watch, whatever the stored roles say.
        grant(rule(["leases"], ["update"], [], "core"))
        self.allowed("may update leases", alice, "PUT", "/core/leases/l", 200, {"holder": "a", "ttl_seconds": 3600})
        self.refused("may update leases", alice, "DELETE", "/core/leases/l?holder=a", 403, FORBIDDEN)
        self.refused("may update leases", alice, "GET", "/core/leases", 403, FORBIDDEN)
        self.allowed("system:gc, no role", gc, "PUT", "/core/leases/gc", 200, {"holder": "gc-1"})
        self.allowed("system:gc, no role", gc, "GET", app.all())
        for method, path in (("GET", "/core/roles"), ("GET", "/core/rolebindings"), ("DELETE", app.path("web")),
                             ("PUT", app.path("web") + "/binding"), ("POST", metric.collection())):
            self.refused("system:gc, no role", gc, method, path, 403, FORBIDDEN, body=None if method == "GET" else BINDING)

        # What was refused above changed nothing.
        self.rows.equal("the application is untouched", [], admin.get(app.path("web")).json()["metadata"]["owners"])


def run(binaries):
    with Processes(binaries) as processes:
        suite = Suite(processes)
        for base in (BASE, ""):
            suite.titles(base, suite.server(docs={"problem_base_url": base}))
        default = "https://rak-n-rok.readthedocs.io/projects/krake/en/latest/user/problem.html"
        suite.refused("default docs.problem_base_url", Client(suite.server(docs={}).port), "GET", "/core/roles/x", 404,
                      "'Role' 'x' does not exist in namespace None",
                      "NOT_FOUND_ERROR", base=default)
        for part in (suite.conflict, suite.too_many, suite.unreachable, suite.always_deny, suite.nobody, suite.static, suite.anonymous_under_rbac,
                     suite.tokens, suite.roles):
            part()
        return suite.rows.finish()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
