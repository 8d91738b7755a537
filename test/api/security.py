"""The switches that make the API stricter, and the audit log, at a real server: redaction, strict roles, force, what is recorded of whom.

    security.py FOLDER-OF-PROGRAMS
"""
import sys

from support import Client, Processes, Rows, Server, Watch, parse

SECRET = "pl4nted-s3cret"
CLUSTERS = "/kubernetes/namespaces/demo/clusters"
KUBECONFIG = {"apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "k", "user": "u"}}],
              "clusters": [{"name": "k", "cluster": {"server": "https://k.example"}}], "users": [{"name": "u", "user": {"token": SECRET}}]}
CLUSTER = {"metadata": {"name": "edge"}, "spec": {"kubeconfig": KUBECONFIG, "constraints": {"cloud": {}}}}


def rule(api, resources, verbs, namespaces=("",)):
    return {"api": api, "resources": resources, "namespaces": list(namespaces), "verbs": verbs}


ROLES = {"admin": [rule("", [""], ["create", "list", "get", "update", "delete"])],
         "reader": [rule("kubernetes", ["clusters"], ["list", "get", "update", "delete"])],
         "lender": [rule("core", ["roles", "rolebindings"], ["create", "update", "get"]), rule("kubernetes", ["clusters"], ["list"], ["demo"])]}


class Suite:
    def __init__(self, processes):
        self.processes, self.rows = processes, Rows()
        tokens = processes.state / "tokens"
        tokens.write_text("".join(f"token-of-{user} {user}\n" for user in ROLES))
        self.config = {"authentication": {"strategy": {"token": {"file": str(tokens)}}}, "authorization": "RBAC", "log": {"level": "DEBUG"},
                       "default_roles": [{"metadata": {"name": name}, "rules": rules} for name, rules in ROLES.items()],
                       "default_role_bindings": [{"metadata": {"name": name}, "users": [name], "roles": [name]} for name in ROLES]}

    def server(self, name, **more):
        server = Server(self.processes, name, **{**self.config, **more})
        return server, {user: Client(server.port, {"Authorization": f"Bearer token-of-{user}"}) for user in ROLES}

    def status(self, label, wanted, reply):
        self.rows.row(label, wanted, reply, reply.status == wanted)

    def hidden(self, label, text):
        text = text if isinstance(text, str) else text.decode()
        self.rows.row(label, "********, not the secret", text, SECRET not in text and "********" in text)

    def w11_redaction(self):
        server, by = self.server("redacting", security={"redact_secrets": True})
        headers = {"Authorization": "Bearer token-of-reader"}
        with Watch(server.port, f"{CLUSTERS}?watch&heartbeat=0", headers) as watch:
            self.status("the administrator creates", 200, by["admin"].call("POST", CLUSTERS, CLUSTER))
            self.hidden("an event", watch.line())
        self.rows.equal("the administrator sees it", KUBECONFIG, by["admin"].get(f"{CLUSTERS}/edge").json()["spec"]["kubeconfig"])
        for path in (f"{CLUSTERS}/edge", CLUSTERS, "/kubernetes/clusters"):
            self.hidden(f"GET {path}", by["reader"].get(path).body)
        shown = by["reader"].get(f"{CLUSTERS}/edge").json()
        shown["metadata"]["labels"] = {"a": "b"}
        answer = by["reader"].call("PUT", f"{CLUSTERS}/edge", shown)
        self.status("what was shown is written back", 200, answer)
        self.hidden("and the answer", answer.body)
        self.rows.equal("the secret is as it was", KUBECONFIG, by["admin"].get(f"{CLUSTERS}/edge").json()["spec"]["kubeconfig"])
        log = (self.processes.state / "redacting.log").read_text()
        self.rows.row("the log", "no secret", log[-500:], SECRET not in log and "token-of" not in log)

    def w15_force(self):
        _, by = self.server("forceless", security={"force_needs_right": True})
        by["admin"].call("POST", CLUSTERS, CLUSTER)
        self.status("by force, without the right", 403, by["reader"].call("DELETE", f"{CLUSTERS}/edge?force=true"))
        self.status("an ordinary deletion", 200, by["reader"].call("DELETE", f"{CLUSTERS}/edge"))
        self.status("without its finalizers it would be gone", 403, by["reader"].call("PATCH", f"{CLUSTERS}/edge", {"metadata": {"finalizers": []}}))
        self.status("by force, as administrator", 200, by["admin"].call("DELETE", f"{CLUSTERS}/edge?force=1"))
        self.status("it is gone", 404, by["admin"].get(f"{CLUSTERS}/edge"))

    def w22_strict_roles(self):
        _, by = self.server("strict", security={"strict_roles": True})
        wide = {"metadata": {"name": "wide"}, "rules": [rule("kubernetes", ["clusters"], ["list"])]}
        narrow = {"metadata": {"name": "narrow"}, "rules": [rule("kubernetes", ["clusters"], ["list"], ["demo"])]}
        lender = by["lender"]
        self.status("more than one has", 403, lender.call("POST", "/core/roles", wide))
        self.status("what one has", 200, lender.call("POST", "/core/roles", narrow))
        self.status("the administrator's role to oneself", 403,
                    lender.call("POST", "/core/rolebindings", {"metadata": {"name": "up"}, "users": ["lender"], "roles": ["admin"]}))
        self.status("what one has, to others", 200,
                    lender.call("POST", "/core/rolebindings", {"metadata": {"name": "lent"}, "users": ["x"], "roles": ["narrow"]}))

    def reviews(self):
        _, by = self.server("reviewing")
        for user, verb, resource, allowed in [("admin", "delete", "clusters", True), ("reader", "get", "clusters", True),
                                              ("reader", "create", "clusters", False), ("lender", "list", "clusters", True)]:
            answer = by[user].call("POST", "/me/access", {"verb": verb, "resource": resource, "namespace": "demo"})
            self.rows.equal(f"{user} {verb} {resource}", allowed, answer.json().get("allowed"))
        self.rows.equal("the rules of reader", ROLES["reader"][0]["resources"], by["reader"].get("/me/rules").json()["rules"][0]["resources"])

    def w27_audit(self):
        file = self.processes.state / "audit.log"
        server, by = self.server("audited", audit={"file": str(file), "max_bytes": 65536, "max_files": 20}, security={"redact_secrets": True})
        count = 600  # more than one file
        made = [by["admin"].call("POST", "/core/roles", {"metadata": {"name": f"r{i}"}, "rules": []}, {"X-Request-Id": f"id-{i}"})
                for i in range(count)]
        self.rows.equal("all are made", {200}, {reply.status for reply in made})
        self.rows.equal("answers carry the id", "id-7", made[7].header("X-Request-Id"))
        by["admin"].call("POST", CLUSTERS, CLUSTER)
        by["reader"].call("POST", CLUSTERS, CLUSTER)
        Client(server.port).get(CLUSTERS)
        by["admin"].get(CLUSTERS)
        server.process.terminate()
        self.rows.equal("a clean end", 0, server.process.wait(60))
        files = sorted(self.processes.state.glob("audit.log*"), key=lambda path: -int(path.suffix[1:]) if path.suffix[1:].isdigit() else 0)
        text = "".join(path.read_text() for path in files)
        records = [parse(line) for line in text.splitlines()]
        self.rows.row("the file turned over", "several, each within its limit", [path.stat().st_size for path in files],
                      len(files) > 2 and all(path.stat().st_size <= 65536 for path in files))
        self.rows.equal("none is missing, in their order", [f"id-{i}" for i in range(count)], [r["id"] for r in records[:count]])
        revisions = [int(r["revision"]) for r in records[:count]]
        self.rows.row("their revisions grow", "sorted", revisions[:5], revisions == sorted(set(revisions)))
        self.rows.equal("and what came last", [["admin", "done"], ["reader", "refused"], ["", "refused"]],
                        [[r["user"], r["outcome"]] for r in records[count:]])
        self.rows.row("no secret", "none", "", SECRET not in text and "token-of" not in text)
        self.rows.equal("its mode", 0o600, file.stat().st_mode & 0o777)


def run(binaries):
    with Processes(binaries) as processes:
        suite = Suite(processes)
        for part in (suite.w11_redaction, suite.w15_force, suite.w22_strict_roles, suite.reviews, suite.w27_audit):
            part()
        return suite.rows.finish()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
