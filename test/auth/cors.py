"""Cross-origin requests (api-contract 7.7): preflights, answers to pages of allowed and of other origins, the warning about "*".

    cors.py FOLDER-OF-PROGRAMS
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "api"))
from kinds import ROUTES  # noqa: E402
from support import PROBLEM, Client, Processes, Rows, Server, Watch, problem  # noqa: E402

HERE, THERE, EVIL = "https://ui.example", "https://ui2.example", "https://evil.example"
NOBODY = {"allow_anonymous": False}
FAILED = "CORS preflight request failed: "
ALLOWED = ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers")


def cors_headers(reply):
    return {name: reply.header(name) for name in ALLOWED if reply.header(name) is not None}


class Suite:
    def __init__(self, processes):
        self.processes, self.rows, self.count = processes, Rows(), 0

    def server(self, authorization="RBAC", **authentication):
        self.count += 1
        name = f"api{self.count}"
        server = Server(self.processes, name, authentication={**NOBODY, **authentication}, authorization=authorization, log={"level": "WARNING"})
        return Client(server.port), self.processes.state / f"{name}.log"

    def preflight(self, client, path, origin=None, method=None, headers=None):
        asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
        return client.call("OPTIONS", path, headers={name: value for name, value in asked.items() if value is not None})

    def allowed(self, label, client, path, origin, method, headers=None, answered=None):
        reply = self.preflight(client, path, origin, method, headers)
        wanted = {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": method}
        if answered:
            wanted["Access-Control-Allow-Headers"] = answered
        self.rows.equal(f"{label}: OPTIONS {path} {method} {headers}", (200, b"", wanted), (reply.status, reply.body, cors_headers(reply)))

    def refused(self, label, client, path, detail, origin=None, method=None):
        reply = self.preflight(client, path, origin, method)
        self.rows.equal(f"{label}: OPTIONS {path}", {"status": 403, "type": PROBLEM, "body": problem(403, FAILED + detail), "cors": {}},
                        {"status": reply.status, "type": reply.type, "body": reply.json(), "cors": cors_headers(reply)})

    def preflights(self):
        """Anonymous access is off and RBAC on: neither is asked."""
        client, log = self.server(cors_origin=HERE)
        self.rows.equal("one origin: no warning", "", "".join(line for line in log.read_text().splitlines(True) if "CORS" in line))
        paths = sorted({template.replace("{namespace}", "demo").replace("{name}", "some") for _, template, _ in ROUTES})
        for path in paths:
            self.allowed("every path", client, path, HERE, "GET")
        for method in ("DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"):
            self.allowed("every method", client, "/me", HERE, method)
        self.allowed("headers", client, "/me", HERE, "PUT", "content-type, X-Custom", "CONTENT-TYPE,X-CUSTOM")
        self.allowed("no headers", client, "/me", HERE, "PUT", " , ")
        self.refused("no origin", client, "/me", "origin header is not specified in the request")
        self.refused("no origin", client, "/me", "origin header is not specified in the request", method="GET")
        self.refused("no method", client, "/me", "'Access-Control-Request-Method' header is not specified", origin=HERE)
        for origin, method in ((EVIL, "GET"), (HERE + ".evil", "GET"), (HERE, "CONNECT"), (HERE, "get"), (HERE, "TRACE")):
            self.refused("not allowed", client, "/me", f"request method '{method}' is not allowed for '{origin}' origin", origin, method)
        reply = self.preflight(client, "/nowhere", HERE, "GET")
        self.rows.equal("OPTIONS of an unknown path", (404, problem(404, "404: Not Found")), (reply.status, reply.json()))

    def answers(self):
        client, _ = self.server("always-allow", cors_origin=HERE, allow_anonymous=True)
        shared = {"Access-Control-Allow-Origin": HERE, "Access-Control-Allow-Credentials": "true"}
        for method, path, status in (("GET", "/", 200), ("GET", "/core/roles", 200), ("HEAD", "/core/roles", 200), ("GET", "/core/roles/x", 404),
                                     ("POST", "/core/roles", 415), ("DELETE", "/core/roles", 405)):
            for origin, wanted in ((HERE, shared), (EVIL, {}), ("null", {}), (None, {})):
                reply = client.call(method, path, headers={"Origin": origin} if origin else None)
                self.rows.equal(f"{method} {path} from {origin}", (status, wanted), (reply.status, cors_headers(reply)))
        with Watch(client.port, "/core/roles?watch&heartbeat=1", {"Origin": HERE}) as watch:
            self.rows.equal("a watch", (200, HERE), (watch.status, watch.headers.get("access-control-allow-origin")))
        client, _ = self.server(cors_origin=HERE)
        reply = client.get("/core/roles", headers={"Origin": HERE})
        self.rows.equal("401", (401, shared), (reply.status, cors_headers(reply)))

    def every_origin(self):
        """W25: the default stays, and is warned about; a list of origins is there to replace it."""
        client, log = self.server()
        self.rows.row("the default is warned about (W25)", "CORS ... every origin", log.read_text(), "CORS" in log.read_text() and "every origin" in log.read_text())
        for origin in (HERE, EVIL, "null"):
            self.allowed("*", client, "/me", origin, "DELETE")
            reply = client.get("/me", headers={"Origin": origin})
            self.rows.equal(f"* from {origin}", origin, reply.header("Access-Control-Allow-Origin"))
        client, log = self.server(cors_origins=[HERE, THERE])
        self.rows.row("a list is not warned about (W25)", "no CORS", log.read_text(), "CORS" not in log.read_text())
        for origin in (HERE, THERE):
            self.allowed("a list (W25)", client, "/me", origin, "GET")
        self.refused("a list (W25)", client, "/me", f"request method 'GET' is not allowed for '{EVIL}' origin", EVIL, "GET")
        client, _ = self.server(cors_origins=[])
        self.refused("an empty list (W25)", client, "/me", f"request method 'GET' is not allowed for '{HERE}' origin", HERE, "GET")


def main():
    with Processes(sys.argv[1]) as processes:
        suite = Suite(processes)
        for case in (suite.preflights, suite.answers, suite.every_origin):
            case()
        return suite.rows.finish()


if __name__ == "__main__":
    sys.exit(main())
