"""A Krake in which each controller is of one of two makes, ours or upstream's: our API server with TLS and RBAC, simulated clusters, and one configuration
file per controller, which both makes read. Who somebody is says a client certificate."""
import json
import pathlib
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from harness import Processes  # noqa: E402

# controller: our command, upstream's module
CONTROLLERS = {
    "scheduler": (["scheduler"], "krake.controller.scheduler"),
    "kubernetes-application": (["controller", "kubernetes-application"], "krake.controller.kubernetes.application"),
    "kubernetes-cluster": (["controller", "kubernetes-cluster"], "krake.controller.kubernetes.cluster"),
    "gc": (["gc"], "krake.controller.gc"),
}
APPLICATIONS = "/kubernetes/namespaces/team/applications"
CLUSTERS = "/kubernetes/namespaces/team/clusters"
OBJECT_PATHS = [f"/{group}/namespaces/default/{kind}" for group, kinds in {
    "api/v1": ["services", "pods", "configmaps", "secrets", "persistentvolumeclaims"], "apis/apps/v1": ["deployments", "statefulsets", "daemonsets", "replicasets"],
    "apis/batch/v1": ["cronjobs"], "apis/networking.k8s.io/v1": ["ingresses"]}.items() for kind in kinds]
OBJECT_PATHS += ["/api/v1/persistentvolumes", "/apis/rbac.authorization.k8s.io/v1/clusterroles"]
LOG = {"version": 1, "level": "INFO", "disable_existing_loggers": False, "handlers": {"stderr": {"class": "logging.StreamHandler"}},
       "root": {"level": "INFO", "handlers": ["stderr"]}}


class World(Processes):
    """`makes`: "ours" or "upstream" for each controller; the clusters de and sk are registered, with labels and metrics."""

    def __init__(self, binaries, python, makes):
        super().__init__(binaries)
        self.python = python
        self.controllers = {}
        self.make_of = {}
        self.restarts = 0
        try:
            self.kubesim("de", "sk")
            self.start_api()
            self.register_clusters()
            for controller, make in makes.items():
                self.run(controller, make)
            for name in ("de", "sk"):
                self.wait(f"{name} ONLINE", lambda name=name: self.cluster(name)["status"]["state"] == "ONLINE")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    # ---- processes

    def certificates(self):
        def openssl(*args):
            subprocess.run(["openssl", *args], cwd=self.state, check=True, capture_output=True)

        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", "-x509", *key, "-subj", "/CN=krake-ca", "-keyout", "ca-key.pem", "-out", "ca.pem")
        (self.state / "names").write_text("subjectAltName=DNS:localhost")
        for name in ("api-server", "admin", *CONTROLLERS):
            openssl("req", *key, "-subj", f"/CN=system:{name}", "-keyout", f"{name}-key.pem", "-out", f"{name}.csr")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-extfile", "names", "-out", f"{name}.pem")

    def identity(self, name):
        return {"enabled": True, "client_ca": f"{self.state}/ca.pem", "client_cert": f"{self.state}/{name}.pem", "client_key": f"{self.state}/{name}-key.pem"}

    def start_api(self):
        self.certificates()
        s = self.state
        (s / "api.yaml").write_text(json.dumps({
            "port": 0, "store": {"type": "sqlite", "path": f"{s}/krake.db"}, "authorization": "RBAC", "log": {"level": "INFO"},
            "tls": {"enabled": True, "cert": f"{s}/api-server.pem", "key": f"{s}/api-server-key.pem", "client_ca": f"{s}/ca.pem"}}))
        self.start("api", self.bin / "krake", "api", "-c", s / "api.yaml")
        self.url = self.wait("the API's port", lambda: re.search(r"Running on (https://localhost:\d+)", (s / "api.log").read_text())).group(1)
        self.tls = ssl.create_default_context(cafile=s / "ca.pem")
        self.tls.load_cert_chain(s / "admin.pem", s / "admin-key.pem")
        hook = {"intermediate_src": f"{s}/ca.pem", "intermediate_key_src": f"{s}/ca-key.pem"}
        for name in CONTROLLERS:
            # Upstream wants every section; the waits are those of a test.
            config = {"api_endpoint": self.url, "worker_count": 2, "debounce": 0.1, "tls": self.identity(name), "log": LOG}
            if name == "scheduler":
                config |= {"reschedule_after": 2, "stickiness": 0.1}
            if name == "kubernetes-application":
                config |= {"hooks": {"complete": hook, "shutdown": hook}}
            (s / f"{name}.yaml").write_text(json.dumps(config))

    def run(self, controller, make):
        """One of `make` in the place of the one that runs, if one does."""
        if old := self.controllers.pop(controller, None):
            old.terminate()
            # Upstream's end with an error, too, when the signal comes while they open a connection; ours end well.
            ended = old.wait(20)
            assert ended == 0 or self.make_of[controller] == "upstream", f"{controller} ended with {ended}"
        command, module = CONTROLLERS[controller]
        program = [self.bin / "krake", *command] if make == "ours" else [self.python, "-W", "ignore", HERE / "run_upstream.py", module]
        self.make_of[controller] = make
        times = sum(name.startswith(controller) for name, _ in self.running)
        self.controllers[controller] = self.start(f"{controller}-{times}-{make}", *program, "-c", self.state / f"{controller}.yaml")

    def restart(self, name, ended, what):
        """What the process manager of a site does: upstream's end for good after three errors in a row, also when they come of a race of its own."""
        assert self.make_of[name] == "upstream" and self.restarts < 3, f"while waiting for {what}: {name} has ended by itself, with {ended.returncode}"
        self.restarts += 1
        print(f"upstream's {name} has ended with {ended.returncode} and is started again", flush=True)
        del self.controllers[name]
        self.run(name, "upstream")

    def wait(self, what, check, seconds=120):
        def alive():
            for name, process in list(self.controllers.items()):
                if process.poll() is not None:
                    self.restart(name, process, what)
            return check()

        return super().wait(what, alive, seconds)

    def check_requests(self):
        """What the server refused to a controller, but for the kinds it does not have and for lost races."""
        refused = re.findall(r"^.* path=(?!/openstack/|/infrastructure/)\S+ user=system:(?!admin)\S+ status=(?:4(?!04|09|12)|5)\d\d .*$",
                             (self.state / "api.log").read_text(), re.MULTILINE)
        assert not refused, "\n".join(refused[:10])

    # ---- Krake

    def call(self, method, path, body=None):
        """None when there is no such object."""
        request = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None

    def app(self, name):
        return self.call("GET", f"{APPLICATIONS}/{name}")

    def cluster(self, name):
        return self.call("GET", f"{CLUSTERS}/{name}")

    def register_clusters(self):
        self.call("POST", "/core/globalmetricsproviders", {"api": "core", "kind": "GlobalMetricsProvider", "metadata": {"name": "wind"}, "spec": {
            "type": "static", "static": {"metrics": {"green_de": 0.9, "green_sk": 0.1}}}})
        for name in ("de", "sk"):
            self.create_metric(name)
            self.call("POST", CLUSTERS, {"metadata": {"name": name, "labels": {"location": name.upper()}}, "spec": {
                "kubeconfig": self.kubeconfig(name), "metrics": [{"name": f"green_{name}", "weight": 1, "namespaced": False}],
                "constraints": {"cloud": {"labels": [], "metrics": []}}}})

    def create_metric(self, cluster):
        self.call("POST", "/core/globalmetrics", {"api": "core", "kind": "GlobalMetric", "metadata": {"name": f"green_{cluster}"}, "spec": {
            "min": 0, "max": 1, "allowed_values": [], "provider": {"name": "wind", "metric": f"green_{cluster}"}}})

    def the_wind_turns(self):
        provider = self.call("GET", "/core/globalmetricsproviders/wind")
        metrics = provider["spec"]["static"]["metrics"]
        metrics["green_de"], metrics["green_sk"] = metrics["green_sk"], metrics["green_de"]
        self.call("PUT", "/core/globalmetricsproviders/wind", provider)

    def create_app(self, name, manifest, labels=()):
        # shutdown_grace_time: null, the default, is not understood by the release of upstream that is tried here.
        return self.call("POST", APPLICATIONS, {"metadata": {"name": name}, "spec": {
            "manifest": manifest, "constraints": {"migration": True, "cluster": {"labels": list(labels)}}, "shutdown_grace_time": 30}})

    def update_app(self, name, change):
        """`change(spec)`; the user's write races with those of the controllers, whose status must not be put back."""
        def attempt():
            app = self.app(name)
            change(app["spec"])
            request = urllib.request.Request(f"{self.url}{APPLICATIONS}/{name}", method="PUT", data=json.dumps(app).encode(),
                                             headers={"If-Match": f'"{app["metadata"]["resource_version"]}"'})
            try:
                with urllib.request.urlopen(request, context=self.tls, timeout=30):
                    return True
            except urllib.error.HTTPError as error:
                assert error.code == 412, error.read().decode()
                return False

        self.wait(f"the update of {name} to get through", attempt)

    def wait_running(self, name, on):
        def check():
            app = self.app(name)
            status = app["status"]
            return status["state"] == "RUNNING" and status["running_on"] and status["running_on"]["name"] == on and app

        return self.wait(f"{name} RUNNING on {on}", check)

    def delete_app(self, name):
        self.call("DELETE", f"{APPLICATIONS}/{name}")
        self.wait(f"{name} to be gone", lambda: self.app(name) is None)

    def revision(self):
        return self.call("GET", "/kubernetes/applications")["metadata"]["resource_version"]

    def writes_since(self, revision):
        """The versions of applications and clusters there were since then."""
        found = []
        for kind in ("applications", "clusters"):
            request = urllib.request.Request(f"{self.url}/kubernetes/{kind}?watch&since={revision}&bookmarks=true&heartbeat=1")
            with urllib.request.urlopen(request, context=self.tls, timeout=30) as lines:
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "BOOKMARK":
                        break
                    found.append((event["type"], kind, event["object"]["metadata"]["name"], event["object"]["status"]["state"]))
        return found

    def writes_while_idle(self, seconds):
        """How many writes nobody asked for. An absence can only be seen by looking for a while."""
        revision = self.revision()
        time.sleep(seconds)
        return self.writes_since(revision)

    # ---- workload clusters

    def kubeconfig(self, cluster):
        return json.loads((self.state / f"{cluster}.kubeconfig").read_text())

    def kube(self, cluster, method, path, body=None):
        config = self.kubeconfig(cluster)
        request = urllib.request.Request(config["clusters"][0]["cluster"]["server"] + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Authorization": f"Bearer {config['users'][0]['user']['token']}",
                                                  "Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"})
        try:
            # The test's own cluster on loopback.
            with urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            assert error.code == 404, error.read().decode()
            return None

    def objects(self, cluster):
        """uid, kind and name of all that applications may have brought, and of the Pods that came of it."""
        found = {}
        for path in OBJECT_PATHS:
            objects = self.kube(cluster, "GET", path)
            for item in objects["items"]:
                if item["metadata"]["name"] != "kube-root-ca.crt":
                    found[item["metadata"]["uid"]] = f"{objects['kind']} {item['metadata']['name']}"
        return found

    def settled_objects(self, cluster, pods):
        """`objects` once that many Pods run."""
        self.wait(f"{pods} Pods running on {cluster}", lambda: [
            pod["status"]["phase"] for pod in self.kube(cluster, "GET", "/api/v1/namespaces/default/pods")["items"]] == ["Running"] * pods)
        return self.objects(cluster)
