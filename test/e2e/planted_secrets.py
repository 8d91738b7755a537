"""No secret comes out: not in a log at any level, not on the admin pages, not in what others are answered, not in tables. Distinctive values are
planted in everything that is sent and configured, all programs log at DEBUG, and everything they wrote is searched for the values.

    planted_secrets.py FOLDER-OF-PROGRAMS

(Every other test that starts programs searches their logs too: harness.py.)"""
import base64
import http.client
import json
import os
import re
import subprocess
import sys
import time

from harness import Processes, kept_port
import secret_scan
from secret_scan import plant

COMPONENTS = {"system:scheduler": ["scheduler"], "system:kubernetes-application": ["controller", "kubernetes-application"],
              "system:kubernetes-cluster": ["controller", "kubernetes-cluster"], "system:gc": ["gc"]}
APPS = "/kubernetes/namespaces/team/applications"
CLUSTERS = "/kubernetes/namespaces/team/clusters"
GMP = "/core/globalmetricsproviders"
LOG = {"level": "DEBUG"}


def private_key(what):
    body = base64.b64encode(plant(what).encode() * 6).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"


def config_map(name):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}


class World(Processes):
    def __init__(self, binaries):
        super().__init__(binaries)
        self.said = []  # (where, text): what programs told others than the owner of a secret

    def token(self, user):
        return self.tokens.setdefault(user, plant(f"token of {user}"))

    tokens = {}

    # ---- the programs

    def start_all(self):
        self.kubesim("de")
        self.port, self.admin_port = kept_port(), kept_port()
        users = ["system:admin", "bob", "eve", *COMPONENTS]
        (self.state / "tokens").write_text("".join(f"{self.token(user)} {user}\n" for user in users))
        rule = {"api": "kubernetes", "resources": ["applications", "clusters"], "namespaces": ["team"], "verbs": ["create"]}
        (self.state / "api.yaml").write_text(json.dumps({
            "host": "127.0.0.1", "port": self.port, "store": {"type": "sqlite", "path": f"{self.state}/krake.db"}, "authorization": "RBAC", "log": LOG,
            "authentication": {"allow_anonymous": False, "strategy": {"token": {"file": f"{self.state}/tokens"}}}, "admin": {"port": self.admin_port}}))
        self.start("api", self.bin / "krake", "api", "-c", self.state / "api.yaml")
        self.wait("the API", lambda: "Running on" in (self.state / "api.log").read_text())
        for user, command in COMPONENTS.items():
            self.start_component(user, command, f"http://127.0.0.1:{self.port}")
        self.krakectl_config("krakectl.yaml", f"http://127.0.0.1:{self.port}", self.token("system:admin"))
        self.ok("system:admin", "POST", "/core/roles", {"metadata": {"name": "creator"}, "rules": [rule]})
        self.ok("system:admin", "POST", "/core/rolebindings", {"metadata": {"name": "creators"}, "users": ["bob"], "roles": ["creator"]})

    def start_component(self, user, command, url, name=None, **more):
        name = name or user.removeprefix("system:")
        (self.state / f"{name}.yaml").write_text(json.dumps({"api_endpoint": url, "token": self.token(user), "log": LOG, **more}))
        return self.start(name, self.bin / "krake", *command, "-c", self.state / f"{name}.yaml")

    def krakectl_config(self, name, url, token):
        (self.state / name).write_text(json.dumps({"api_url": url, "user": "team", "token": token}))

    # ---- asking

    def call(self, user, method, path, body=None, port=None, **headers):
        """(status, text). `user` None: nobody. What is answered to others than the administrator may hold no secret at all."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=60)
        if user:
            headers.setdefault("Authorization", f"Bearer {self.token(user)}")
        connection.request(method, path, body if isinstance(body, (str, bytes, type(None))) else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        head = "".join(f"{name}: {value}\n" for name, value in answer.getheaders())
        connection.close()
        self.said.append((f"headers of {method} {path.split('?')[0]} for {user}", head))
        if user != "system:admin":
            self.said.append((f"{answer.status} of {method} {path.split('?')[0]} for {user}", text))
        return answer.status, text

    def ok(self, *args, **more):
        status, text = self.call(*args, **more)
        assert status == 200, f"{args[:3]}: {status} {text[:300]}"
        return json.loads(text)

    def table(self, *args, env=None, config="krakectl.yaml", fails=False):
        """krakectl as a person at a terminal sees it."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("KRAKE")}
        environment.update({"KRAKECTL_CONFIG": str(self.state / config)} if config else {}, **(env or {}))
        result = subprocess.run([self.bin / "krakectl", *map(str, args)], env=environment, cwd=self.state, capture_output=True, text=True, timeout=120)
        assert fails == (result.returncode != 0), f"krakectl {args}: {result.returncode}\n{result.stdout}{result.stderr}"
        self.said.append((f"krakectl {' '.join(map(str, args[:4]))}", result.stdout + result.stderr))
        return result

    def fails_to_start(self, name, *command):
        process = self.start(name, *command)
        process.wait(60)
        assert process.returncode != 0, f"{name} has ended with 0"

    # ---- what is sent

    def workload(self):
        """An application with a Secret that is changed behind Krake's back, hooks with tokens and keys."""
        self.table("kube", "cluster", "register", "-k", self.state / "de.kubeconfig", "--wait")
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": plant("stringdata of a manifest")},
                  "data": {"key": base64.b64encode(plant("data of a manifest").encode()).decode()}}
        (self.state / "app.manifest").write_text("\n---\n".join(map(json.dumps, [config_map("c"), secret])))
        self.table("kube", "app", "create", "-f", self.state / "app.manifest", "--hook-shutdown", "--wait", "running", "web")
        self.wait("the Secret on the cluster", lambda: self.kube("GET", "s"))
        for field in ("stringData", "data"):
            value = plant(f"{field} of somebody else")
            changed = {field: {"password": value if field == "stringData" else base64.b64encode(value.encode()).decode()}}
            assert self.kube("PATCH", "s", changed), "the Secret is not there to be changed"
            self.wait("the Secret to be put right", lambda value=value: base64.b64encode(value.encode()).decode() not in json.dumps(self.kube("GET", "s")))
        hooks = {"complete_token": plant("complete token"), "shutdown_token": plant("shutdown token"), "complete_key": private_key("complete key"),
                 "shutdown_key": private_key("shutdown key"), "complete_cert": plant("complete cert"), "shutdown_cert": plant("shutdown cert")}
        self.ok("system:admin", "POST", APPS, {"metadata": {"name": "hooked"}, "spec": {
            "manifest": [config_map("h")], "hooks": ["complete", "shutdown"], "constraints": {"cluster": {"labels": ["location is nowhere"]}}}})
        self.ok("system:admin", "PATCH", f"{APPS}/hooked/status", {"status": hooks})
        for sub in ("complete", "shutdown"):
            status, text = self.call("system:admin", "PUT", f"{APPS}/hooked/{sub}", {"token": plant(f"wrong {sub} token")})
            assert status == 401, text
            self.said.append((f"401 of {sub}", text))

    def kube(self, method, name, body=None):
        """The Secret `name` on the simulated cluster; None when there is none."""
        import ssl
        text = (self.state / "de.kubeconfig").read_text()
        host = re.search(r"https://([^\s\",}]+)", text).group(1)
        bearer = re.search(r"token\"?: *\"?([^\s\",}]+)", text).group(1)
        connection = http.client.HTTPSConnection(host, context=ssl._create_unverified_context(), timeout=30)  # the test's own, on loopback
        connection.request(method, f"/api/v1/namespaces/default/secrets/{name}", body and json.dumps(body),
                           {"Authorization": f"Bearer {bearer}", "Content-Type": "application/merge-patch+json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status in (200, 404), text
        return json.loads(text) if answer.status == 200 else None

    def clusters(self):
        """Kubeconfigs of every sort that cannot be used: what is wrong is told, not what is in them."""
        entry = {"token": plant("token of a kubeconfig"), "username": "u", "password": plant("password of a kubeconfig"),
                 "client-key-data": base64.b64encode(private_key("key of a kubeconfig").encode()).decode()}
        servers = {"away": "https://127.0.0.1:1", "user": f"https://root:{plant('password in the url of a cluster')}@127.0.0.1:1",
                   "query": f"https://127.0.0.1:1/?token={plant('query in the url of a cluster')}",
                   "scheme": f"ftp://root:{plant('password in a bad url of a cluster')}@127.0.0.1/",
                   "slash": f"https://root:a/{plant('password with a slash')}@127.0.0.1:1"}
        users = {"token": {"token": entry["token"]}, "basic": {key: entry[key] for key in ("username", "password")},
                 "half": {"client-key-data": entry["client-key-data"]}, "exec": {"exec": {"command": "x", "env": [{"name": "T", "value": plant("exec env")}]}},
                 "line": {"token": plant("token with a line break") + "\n"}}
        for name, server, user in [*((name, server, "token") for name, server in servers.items()), *((name, servers["away"], name) for name in users)]:
            kubeconfig = {"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                          "clusters": [{"name": "c", "cluster": {"server": server}}], "users": [{"name": "u", "user": users[user]}]}
            self.ok("system:admin", "POST", CLUSTERS, {"metadata": {"name": f"c-{name}"}, "spec": {"kubeconfig": kubeconfig, "constraints": {"cloud": {}}}})
        names = [f"c-{name}" for name in (*servers, *users)]
        self.wait("the controller to say what is wrong with each", lambda: all(
            self.ok("system:admin", "GET", f"{CLUSTERS}/{name}")["status"]["state"] not in ("PENDING", "CONNECTING") for name in names))
        for name in names:
            # What the status says of it is for everybody who may see the cluster, but not its kubeconfig.
            self.said.append((f"the status of {name}", json.dumps(self.ok("system:admin", "GET", f"{CLUSTERS}/{name}")["status"])))
            self.table("kube", "cluster", "get", name)
        self.table("kube", "cluster", "list", "-o", "wide")

    def metrics(self):
        """Providers that cannot be reached, with tokens and passwords; a cluster that wants their metrics."""
        providers = {"influx": {"url": "http://127.0.0.1:1", "token": plant("influx token"), "org": "o", "bucket": "b"},
                     "prometheus": {"url": f"http://root:{plant('password in the url of a provider')}@127.0.0.1:1"},
                     "kafka": {"url": f"http://127.0.0.1:1/?password={plant('query in the url of a provider')}", "table": "t", "comparison_column": "c", "value_column": "v"}}
        for kind, spec in providers.items():
            self.ok("system:admin", "POST", GMP, {"metadata": {"name": kind}, "spec": {"type": kind, kind: spec}})
            self.ok("system:admin", "POST", "/core/globalmetrics", {"metadata": {"name": f"of-{kind}"}, "spec": {
                "min": 0, "max": 1, "provider": {"name": kind, "metric": "m"}}})
        metrics = [{"name": f"of-{kind}", "weight": 1, "namespaced": False} for kind in providers]
        self.ok("system:admin", "PATCH", f"{CLUSTERS}/de", {"spec": {"metrics": metrics}})
        self.ok("system:admin", "POST", APPS, {"metadata": {"name": "measured"}, "spec": {"manifest": [config_map("m")], "constraints": {"cluster": {}}}})
        seen = self.wait("the scheduler to say that it cannot read them", lambda: self.ok("system:admin", "GET", f"{CLUSTERS}/de")["status"]["metrics_reasons"])
        self.said.append(("the metrics_reasons of a cluster", json.dumps(seen)))
        self.table("kube", "cluster", "get", "de")
        for kind in providers:
            self.table("core", "gmp", "get", kind)
        self.table("core", "gmp", "list", "-o", "wide")

    def requests(self):
        """Headers, queries and bodies of every sort, by those who may and by those who may not."""
        query = plant("query")
        for user in ("system:admin", "bob", "eve", None):
            for method, path in (("GET", APPS), ("GET", f"{APPS}/web"), ("PUT", f"{APPS}/hooked"), ("DELETE", f"{CLUSTERS}/c-none"), ("POST", CLUSTERS), ("GET", GMP),
                                 ("PATCH", f"{GMP}/influx"), ("GET", "/me"), ("GET", "/core/roles/none"), ("POST", "/backup"), ("GET", f"{CLUSTERS}/c-token")):
                if user != "system:admin" or method == "GET":
                    self.call(user, method, f"{path}?access_token={query}&labels={query}%20is&limit=x", {"metadata": {"name": plant("body")}})
        bad = [f"Bearer {plant('unknown bearer token')}", "Basic " + base64.b64encode(f"root:{plant('basic password')}".encode()).decode(), plant("raw token"),
               f"Digest {plant('digest')}"]
        for value in bad:
            status, text = self.call(None, "GET", "/me", Authorization=value, Cookie=f"session={plant('cookie')}", **{"X-Auth-Token": plant("keystone token")})
            assert status == 401, text
        # Bob may create, and has sent what is wrong in every way; his own answers are scanned too.
        token = plant("token in a wrong body")
        user = {"name": "u", "user": {"token": token}}
        for body in (f'{{"metadata": {{"name": "x"}}, "spec": {{"kubeconfig": {{"users": [{{"token": "{token}"}}]}}, ', b"\xff" + token.encode(),
                     {"metadata": {"name": "x"}, "spec": {"kubeconfig": {"current-context": "c", "contexts": [], "users": [user]}, "constraints": {"cloud": {}}}},
                     {"metadata": {"name": "x"}, "spec": {"kubeconfig": token, "constraints": {"cloud": {}}}}, {"metadata": {"name": "x"}, "spec": {"kubeconfig": [token]}},
                     {"metadata": {"name": "c-token"}, "spec": {"kubeconfig": {}, "tosca": {"tosca_definitions_version": 1, "x": token}, "constraints": {"cloud": {}}}}):
            assert self.call("bob", "POST", CLUSTERS, body)[0] in (409, 415, 422)
        manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": [token], "data": {"a": token}}
        self.call("bob", "POST", APPS, {"metadata": {"name": "x"}, "spec": {"manifest": [manifest], "constraints": {"cluster": {}}}})
        with self.watching("eve"), self.watching("bob"):
            self.call("system:admin", "PATCH", f"{GMP}/influx", {"spec": {"type": "influx", "influx": {
                "url": "http://127.0.0.1:1", "token": plant("another influx token"), "org": "o", "bucket": "b"}}})

    def watching(self, user):
        """A watch somebody asks for who may not have it."""
        world = self

        class Watching:
            def __enter__(self):
                status, text = world.call(user, "GET", f"{GMP}?watch&heartbeat=1")
                assert status == 403, text

            def __exit__(self, *_):
                pass

        return Watching()

    def wrong_configurations(self):
        """Programs that cannot start, or not reach what they want, say so without what they were told in confidence."""
        krake = self.bin / "krake"
        password = plant("etcd password")
        etcds = {"etcd-away": {"endpoints": ["http://127.0.0.1:1"], "user": "root", "password": password},
                 "etcd-url": {"endpoints": [f"http://root:{plant('password in an etcd url')}@127.0.0.1:1"]},
                 "etcd-half": {"host": "127.0.0.1", "port": 1, "password": password}}
        for name, etcd in etcds.items():
            port = kept_port()
            config = self.state / f"{name}.yaml"
            config.write_text(json.dumps({"host": "127.0.0.1", "port": port, "etcd": etcd, "authorization": "always-allow", "log": LOG,
                                          "authentication": {"allow_anonymous": True}, "limits": {"store_seconds": 0.5}}))
            process = self.start(name, krake, "api", "-c", config)
            self.wait(f"{name} to run or to give up", lambda process=process, name=name: "Running on" in (self.state / f"{name}.log").read_text()
                      or process.poll() is not None)
            if process.poll() is None:
                assert self.call(None, "GET", "/core/roles", port=port)[0] == 500
        key = self.state / "server-key.pem"
        key.write_text(private_key("a damaged server key"))
        tls = self.state / "tls.yaml"
        tls.write_text(json.dumps({"port": 0, "store": {"type": "memory"}, "authorization": "RBAC", "log": LOG, "tls": {"enabled": True, "cert": str(key), "key": str(key)}}))
        self.fails_to_start("tls", krake, "api", "-c", tls)
        misspelt = plant("password of a misspelt option")
        self.fails_to_start("misspelt", krake, "api", "-c", self.state / "api.yaml", f"--etcd-pasword={misspelt}")
        broken = self.state / "broken.yaml"
        broken.write_text(f"etcd:\n  password: {plant('password in broken yaml')}\n  - x\nauthorization: RBAC\n")
        self.fails_to_start("broken", krake, "api", "-c", broken)
        for name, url in {"url": f"http://root:{plant('password in api_endpoint')}@127.0.0.1:{self.port}", "away": "http://127.0.0.1:1"}.items():
            started = self.start_component("system:gc", ["gc"], url, f"gc-{name}")
            self.wait(f"gc-{name} to say so or to give up", lambda started=started, name=name: started.poll() is not None
                      or "WARNING" in (text := (self.state / f"gc-{name}.log").read_text().upper()) or "trying again" in text.lower() or "ERROR" in text)

    def command_line(self):
        """krakectl with tokens from everywhere, and with addresses that hold a password."""
        url = f"http://127.0.0.1:{self.port}"
        self.krakectl_config("wrong-token.yaml", url, plant("wrong token of krakectl"))
        self.table("kube", "app", "list", config="wrong-token.yaml", fails=True)
        self.krakectl_config("away.yaml", "http://127.0.0.1:1", plant("token of krakectl"))
        self.table("kube", "app", "list", config="away.yaml", fails=True)
        self.krakectl_config("password.yaml", f"http://root:{plant('password in api_url')}@127.0.0.1:{self.port}", self.token("eve"))
        self.table("whoami", config="password.yaml", fails=True)
        self.table("whoami", config=None, fails=True, env={"KRAKE_API_URL": f"ftp://root:{plant('password in KRAKE_API_URL')}@127.0.0.1", "HOME": str(self.state)})
        self.table("kube", "app", "list", env={"KRAKE_API_URL": url, "KRAKE_TOKEN": plant("KRAKE_TOKEN")}, fails=True)
        (self.state / "command.yaml").write_text(json.dumps({"api_url": url, "user": "team", "token_command": f"echo {plant('token command')}"}))
        self.table("whoami", config="command.yaml", fails=True)
        (self.state / "broken.kubeconfig").write_text(f"users:\n- user: {{token: {plant('token in a broken kubeconfig')}}}\n -x")
        self.table("kube", "cluster", "register", "-k", self.state / "broken.kubeconfig", fails=True)
        self.table("core", "gmp", "create", "--type", "influx", "--token", plant("token of an incomplete provider"), "i", fails=True)
        self.table("core", "gmp", "create", "--type", "influx", "--url", "http://127.0.0.1:1", "--token", plant("token of a provider by krakectl"), "--org", "o", "--bucket", "b", "i")
        for command in (("kube", "app", "get", "hooked"), ("kube", "app", "get", "web"), ("kube", "app", "list", "-o", "wide"), ("core", "gmp", "get", "i")):
            self.table(*command)

    def pages(self):
        for path in ("/metrics", "/debug/cache", "/debug/queues", "/debug", "/readyz"):
            self.call(None, "GET", path, port=self.admin_port)
        # Neither are those open to the world, nor is there one of them on the API's own port.
        self.call("eve", "GET", "/metrics")

    # ---- what came out

    def check(self):
        secrets = secret_scan.of_folder(self.state)
        assert len(secret_scan.planted()) > 60, "hardly anything was planted"
        leaks = [leak for where, text in self.said for leak in secret_scan.scan(text, secrets, where)]
        leaks += secret_scan.scan_folder(self.state)
        assert not leaks, f"{len(leaks)} secrets come out:\n" + "\n".join(dict.fromkeys(leaks))
        logs = {path.name: path.read_text(errors="replace") for path in secret_scan.outputs(self.state)}
        # The search has found nothing because there is nothing, not because nothing was written.
        for name in ("api.log", "scheduler.log", "gc.log", "kubernetes-application.log", "kubernetes-cluster.log"):
            assert logs[name].count("\n") > 1, f"{name} is empty"
        assert secret_scan.scan(logs["api.log"] + self.token("eve"), secrets, "the search itself"), "the search finds nothing"
        print(f"{len(secrets)} secrets in {len(logs)} logs of {sum(map(len, logs.values()))} bytes and {len(self.said)} answers: none comes out")


def main(binaries):
    begin = time.monotonic()
    with World(binaries) as world:
        world.start_all()
        for part in (world.workload, world.clusters, world.metrics, world.requests, world.command_line, world.wrong_configurations, world.pages):
            part()
            print(f"{part.__name__}: {time.monotonic() - begin:.0f} s", flush=True)
        world.check()
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main(sys.argv[1])
