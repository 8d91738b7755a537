"""Everything a fault test needs at once: a store, API servers, controllers, simulated clusters, clients that write down what happens; and the faults."""
import http.client
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import ROOT
from etcd_cluster import PASSWORD, USER, Certificates, EtcdCluster
from http_api import Api, NotSent, Unknown
from ports import Port
from process import Failed, Process, wait
from proxy import Network, owner_of
from recorder import Load, check_linearizable, check_revisions
from watcher import Watchers

CLUSTERS = ("de", "sk")
# Component, and how it is started by itself.
COMPONENTS = {"scheduler": ["scheduler"], "kubernetes-application": ["controller", "kubernetes-application"],
              "kubernetes-cluster": ["controller", "kubernetes-cluster"], "gc": ["gc"]}


class Unprivileged(Exception):
    """This machine does not let the test do what it needs; the test has proven nothing."""


class SmallDisk:
    """A file system of `size` bytes in a mount namespace of its own, and what to put before a command to run it there. Its files are reached from
    outside by `path`. It outlives the processes that use it."""

    def __init__(self, size, folder):
        self.inside = pathlib.Path(folder)
        self.inside.mkdir(parents=True, exist_ok=True)
        self.holder = subprocess.Popen(["unshare", "-r", "-m", "sh", "-c", 'mount -t tmpfs -o size="$1" none "$2" && echo ready && exec cat', "sh", str(size), str(self.inside)],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            error = self.holder.stderr.read().strip()
            self.close()
            raise Unprivileged(f"needs a user and mount namespace for a small file system (unshare -r -m): {error}")
        self.path = pathlib.Path(f"/proc/{self.holder.pid}/root") / self.inside.relative_to("/")
        self.wrapper = ["nsenter", "-t", self.holder.pid, "-U", "-m", "--preserve-credentials", "--"]

    def fill(self):
        """Not a byte is left."""
        with open(self.path / "ballast", "ab", buffering=0) as ballast:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        ballast.write(b"x" * size)
                except OSError:
                    pass

    def free(self):
        (self.path / "ballast").unlink(missing_ok=True)

    def close(self):
        for pipe in (self.holder.stdin, self.holder.stdout, self.holder.stderr):
            if not pipe.closed:
                pipe.close()
        self.holder.kill()
        self.holder.wait()


class Cluster:
    """Just enough of a Kubernetes client to look at a simulated cluster."""

    def __init__(self, path):
        text = path.read_text()
        self.server = re.search(r"server\"?: *\"?(https://[^\s\",}]+)", text).group(1)
        self.token = re.search(r"token\"?: *\"?([^\s\",}]+)", text).group(1)
        self.context = ssl._create_unverified_context()  # the test's own, on loopback

    def deployments(self):
        request = urllib.request.Request(self.server + "/apis/apps/v1/namespaces/default/deployments", headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, context=self.context, timeout=10) as answer:
            return {d["metadata"]["name"]: d for d in json.load(answer)["items"]}

    def delete(self, name):
        path = f"{self.server}/apis/apps/v1/namespaces/default/deployments/{name}"
        request = urllib.request.Request(path, method="DELETE", headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, context=self.context, timeout=10):
            pass


def modes_of(controllers):
    """What /debug/queues says: lease -> mode."""
    said = [each.get("queue", each)["leadership"] for each in controllers]
    return {leadership["lease"]: leadership["mode"] for leadership in said if leadership}


class Leaders:
    """A thread that asks every process again and again which controllers it leads. Two never lead one at the same time: when one says so between two
    answers of another that says so, both have led."""

    def __init__(self, world):
        self.world = world
        self.heard = {}  # process name -> how often it said what it leads
        self.overlaps = []
        self.error = None
        self._last = {}  # controller -> (process, pid) of those who said that they lead and have not said otherwise since, in that order
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def _run(self):
        try:
            while not self._stopping.wait(0.1):
                for process in self.world.krake_processes():
                    self._ask(process)
        except Exception as error:  # must not look like silence
            self.error = error
            raise

    def _ask(self, process):
        life = (process.name, process.pid)
        modes = self.world.modes(process)
        if modes is None:
            return
        self.heard[process.name] = self.heard.get(process.name, 0) + 1
        for lease, mode in modes.items():
            self.note(lease, life, mode)

    def note(self, lease, life, mode):
        """An A after A B is an overlap; a B after an A is a take-over."""
        if mode != "leading":
            said = self._last.get(lease, [])
            self._last[lease] = [x for x in said if x != life]
            return
        said = self._last.setdefault(lease, [])
        if said and said[-1] != life and life in said:
            self.overlaps.append(f"{lease}: {said[-1]} said it leads while {life} led")
        if not said or said[-1] != life:
            said.append(life)

    def stop(self):
        self._stopping.set()
        self._thread.join(60)

    def check(self):
        if self.error:
            raise self.error
        if self.overlaps:
            raise Failed(f"two leaders at one time: {self.overlaps[:3]}")


class World:
    """`store`: "etcd" or "sqlite" (one server). `controllers`: "inside" each API server (krake all), "apart" (`instances` processes of each), or "none".
    `proxied`: API servers reach etcd, and its members each other, through `self.network`. `etcd` goes to EtcdCluster."""

    def __init__(self, binaries, folder, store="etcd", servers=3, controllers="inside", instances=2, proxied=False, etcd=None, disk=None, clusters=CLUSTERS,
                 seed=1):
        self.bin = pathlib.Path(binaries).absolute()
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.controllers = controllers
        self.instances = instances
        self.seed = seed
        self.names = clusters
        self.network = Network() if proxied else None
        self.disk = disk
        self.processes = {}
        self.marks = []  # (time, text): what was done when
        self.load = self.watchers = self.leaders = self.etcd = None
        certificates = Certificates(self.folder / "tls", "krake-test-ca")
        self.server_pair = certificates.issue("server", "system:api-server")
        self.ca = certificates.ca
        self.pairs = {name: certificates.issue(name, f"system:{name}") for name in ["admin", *(COMPONENTS if controllers == "apart" else ())]}
        self.identity = ("tls", self.ca, *self.pairs["admin"])
        if store == "etcd":
            self.etcd = self._make_etcd(etcd or {})
        self.ports = [Port() for _ in range(servers)]
        self.admin_ports = {}
        self.urls = [f"https://127.0.0.1:{port.number}" for port in self.ports]
        self.servers = [self._make_server(i, store) for i in range(servers)]

    # ---- making

    def _make_etcd(self, options):
        members = options.get("members", 3)

        def through(name, host, port):
            for source in (f"etcd-{i}" for i in range(members)):
                self.network.link(source, name)
            return self.network.listen(name, host, port, identify=self._member_at)

        cluster = EtcdCluster(self.folder / "etcd", peer_proxy=through if self.network else None, **options)
        for member in cluster.members:
            self.processes[member.name] = member
        return cluster

    def _member_at(self, port, ours):
        pids = {m.pid: m.name for m in self.etcd.members if m.pid}
        return pids.get(owner_of(port, pids, ours))

    def _endpoints(self, server):
        if not self.network:
            return self.etcd.endpoints
        out = []
        for member in self.etcd.members:
            host, port = member.client_url.split("://")[1].split(":")
            near = self.network.listen(member.name, host, int(port), source=server)
            out.append(f"{self.etcd.scheme}://{near[0]}:{near[1]}")
        return out

    def _admin(self, name):
        port = self.admin_ports[name] = Port()
        return {"host": port.host, "port": port.number}

    def _make_server(self, number, store):
        name = f"server-{number}"
        config = {
            "host": "127.0.0.1", "port": self.ports[number].number, "admin": self._admin(name),
            "tls": {"enabled": True, "cert": str(self.server_pair[0]), "key": str(self.server_pair[1]), "client_ca": str(self.ca)},
            "authentication": {"allow_anonymous": False}, "authorization": "RBAC", "log": {"level": "INFO"}}
        if store == "etcd":
            config["etcd"] = {"endpoints": self._endpoints(name)}
            if self.etcd.certificates:
                config["etcd"]["tls"] = {"ca": str(self.etcd.certificates.ca), "cert": str(self.etcd.client_cert), "key": str(self.etcd.client_key)}
            if self.etcd.auth:
                config["etcd"] |= {"user": USER, "password": PASSWORD}
        else:
            folder = self.disk.inside if self.disk else self.folder
            config["store"] = {"type": "sqlite", "path": str(folder / "krake.db")}
        file = self.folder / f"{name}.yaml"
        file.write_text(json.dumps(config, indent=2))
        verb = "all" if self.controllers == "inside" else "api"
        wrapper = self.disk.wrapper if self.disk and store == "sqlite" else ()
        process = Process(name, [self.bin / "krake", verb, "-c", file], self.folder / f"{name}.log", wrapper)
        self.processes[name] = process
        return process

    def _make_controllers(self):
        for component, words in COMPONENTS.items():
            cert, key = self.pairs[component]
            for i in range(self.instances):
                name = f"{component}-{i}"
                file = self.folder / f"{name}.yaml"
                file.write_text(json.dumps({"api_endpoint": ",".join(self.urls), "log": {"level": "INFO"}, "admin": self._admin(name),
                                            "tls": {"enabled": True, "client_ca": str(self.ca), "client_cert": str(cert), "client_key": str(key)}}))
                self.processes[name] = Process(name, [self.bin / "krake", *words, "-c", file], self.folder / f"{name}.log")

    def start(self):
        if self.etcd:
            self.etcd.start()
        kubesim = Process("kubesim", [self.bin / "kubesim", "--state", self.folder, *self.names], self.folder / "kubesim.log")
        self.processes["kubesim"] = kubesim.start()
        for server in self.servers:
            server.start()
        for i in range(len(self.servers)):
            self.wait_ready(i)
            self._write_krakectl(i)
        if self.controllers == "apart":
            self._make_controllers()
            for process in self.controller_processes():
                process.start()
        wait("the simulated clusters", lambda: all((self.folder / f"{n}.kubeconfig").exists() for n in self.names))
        self.clusters = {n: Cluster(self.folder / f"{n}.kubeconfig") for n in self.names}
        if self.controllers != "none":
            for name in self.names:
                self.ctl("kube", "cluster", "register", "--kubeconfig", self.folder / f"{name}.kubeconfig", "--wait")
        return self

    def _write_krakectl(self, number):
        cert, key = self.pairs["admin"]
        (self.folder / f"krakectl-{number}.yaml").write_text(json.dumps(
            {"api_url": self.urls[number], "user": "system:admin", "tls": {"enabled": True, "client_ca": str(self.ca), "client_cert": str(cert), "client_key": str(key)}}))

    def controller_processes(self):
        return [p for name, p in self.processes.items() if name.rsplit("-", 1)[0] in COMPONENTS]

    # ---- looking

    def _admin_page(self, process, page, timeout=1):
        """None when it does not answer, or not with 200."""
        if not process.alive() or process.paused:
            return None
        try:
            with urllib.request.urlopen(f"http://{self.admin_ports[process.name]}{page}", timeout=timeout) as answer:
                return answer.read().decode()
        except (OSError, http.client.HTTPException):
            return None

    def modes(self, process):
        """Controller -> mode ("leading", "repair-only", "standby"), as the process says it now; None when it does not say. Not asked of /readyz, which waits for
        the store: who is cut off from it must be heard too."""
        page = self._admin_page(process, "/debug/queues")
        return None if page is None else modes_of(json.loads(page))

    def ready(self, number):
        return self._admin_page(self.servers[number], "/readyz") is not None

    def wait_ready(self, number, seconds=60):
        def look():
            self.servers[number].check()
            return self.ready(number)

        wait(f"server-{number} to be ready", look, seconds, seen=lambda: self.servers[number].tail(1500))

    def api(self, number=0, timeout=5.0):
        return Api(self.urls[number], self.identity, timeout)

    def ctl(self, *args, server=0, check=True):
        env = dict(os.environ, KRAKECTL_CONFIG=str(self.folder / f"krakectl-{server}.yaml"))
        result = subprocess.run([self.bin / "krakectl", *map(str, args)], env=env, capture_output=True, text=True, timeout=180)
        if check and result.returncode != 0:
            raise Failed(f"krakectl {args}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def holders(self, number=0):
        """Lease -> holder, as this server has it."""
        api = self.api(number)
        try:
            return {item["metadata"]["name"]: item["spec"]["holder"] for item in api.get("/core/leases")["items"]}
        finally:
            api.close()

    def krake_processes(self):
        return [self.processes[name] for name in self.admin_ports]

    def leader_process(self, lease, seconds=60):
        """The process that leads, by its own account; the lease has a holder, too."""

        def look():
            return next((p for p in self.krake_processes() if (self.modes(p) or {}).get(lease) == "leading"), None)

        return wait(f"a process to lead {lease}", look, seconds, seen=lambda: {p.name: self.modes(p) for p in self.krake_processes()})

    # ---- doing

    def mark(self, text):
        self.marks.append((time.monotonic(), text))
        print(f"    {text}", flush=True)

    def kill(self, process):
        self.mark(f"kill -9 {process.name}")
        process.kill()

    def start_again(self, process):
        self.mark(f"start {process.name}")
        process.start()
        if process in self.servers:
            self.wait_ready(self.servers.index(process))
        if self.etcd and process in self.etcd.members:
            wait(f"{process.name} to be healthy", process.healthy, 60, seen=process.tail)

    def pause(self, process):
        self.mark(f"SIGSTOP {process.name}")
        process.pause()

    def resume(self, process):
        self.mark(f"SIGCONT {process.name}")
        process.resume()

    def begin_load(self, **options):
        self.watchers = Watchers(self.urls, self.identity).start()
        self.load = Load(self.urls, self.identity, seed=self.seed, **options).start()
        if self.controllers != "none":
            self.leaders = Leaders(self).start()
        self.progress(50)

    def acked(self, server=None, since=0):
        return sum(1 for o in self.load.history.operations[since:] if o["status"] == "ok" and o["op"] != "get" and server in (None, o["server"]))

    def progress(self, count=100, servers=None, seconds=120):
        """Waits until so many more writes are acknowledged - by each of `servers`, if given."""
        since = len(self.load.history.operations)
        wanted = [None] if servers is None else [self.servers.index(s) for s in servers]
        wait(f"{count} more acknowledged writes ({'anywhere' if servers is None else [s.name for s in servers]})",
             lambda: all(self.acked(s, since) >= count for s in wanted), seconds, interval=0.05, seen=lambda: f"{[self.acked(s, since) for s in wanted]}; the last: "
             f"{[(o['server'], o['op'], o['status'], o.get('why')) for o in self.load.history.operations[-5:]]}")

    def hold(self, seconds):
        """How long a fault lasts."""
        time.sleep(seconds)

    def refused_with(self, number, what="write", seconds=30):
        """Waits for a write to fail there, and gives (status, problem)."""
        api = self.api(number, 10.0)
        count = 0

        def look():
            nonlocal count
            count += 1
            try:
                status, _, body = api.call("POST", "/core/roles", {"metadata": {"name": f"probe-{number}-{time.monotonic_ns()}"}, "rules": []})
            except (Unknown, NotSent) as error:
                return (0, {"detail": str(error)})
            return (status, body) if status >= 400 else None

        try:
            return wait(f"a {what} to fail on server-{number}", look, seconds)
        finally:
            api.close()

    def deploy(self, name, server=0, seconds=90):
        """An application is created, placed and runs, on one cluster and on no other."""
        manifest = self.folder / f"{name}.app.yaml"
        manifest.write_text((ROOT / "examples/applications/echo-demo.yaml").read_text().replace("echo", name))
        self.ctl("kube", "app", "create", "--file", manifest, name, server=server)

        def running():
            result = self.ctl("kube", "app", "get", name, "-o", "json", server=server, check=False)
            status = json.loads(result.stdout)["status"] if result.returncode == 0 else {}
            return status.get("state") == "RUNNING" and status.get("running_on") and status["running_on"]["name"]

        place = wait(f"{name} to run", running, seconds, 0.1, seen=lambda: self.ctl("kube", "app", "get", name, server=server, check=False).stdout)
        self.check_places({name: place})
        return place

    def check_places(self, places):
        """Each application lies on its cluster alone."""
        wait("each application to lie on its one cluster", lambda: all(
            [n for n in self.names if f"{app}-demo" in self.clusters[n].deployments()] == [place] for app, place in places.items()), 60,
             seen=lambda: {n: sorted(self.clusters[n].deployments()) for n in self.names})

    # ---- judging

    def longest_gap(self, since=None):
        """Milliseconds without an acknowledged write, at the most."""
        times = sorted(o["return"] for o in self.load.history.acknowledged() if since is None or o["return"] >= since)
        return max((b - a for a, b in zip(times, times[1:])), default=0) // 1_000_000

    def check(self, deploys=True):
        """All is well again: the load ends, and everything that must hold is looked at. Returns a line of numbers."""
        self.progress(30, self.servers)  # every server serves
        self.load.stop()
        if self.etcd:
            self.etcd.wait_healthy()
        self.load.read_all()
        history = self.load.history
        verdict = check_linearizable(history, self.controllers != "none", html=f"{self.folder}/bad-")
        compared = check_revisions(history.operations)
        self.watchers.catch_up(max(o["revision"] for o in history.operations))
        events = self.watchers.check(history.operations)
        self.watchers.stop()
        if self.controllers != "none" and deploys:
            self.deploy("afterwards", server=len(self.servers) - 1)
        if self.controllers != "none":
            self.check_leaders()
        for process in self.processes.values():
            process.check()
        resumed = sum(w.resumed - 1 for w in self.watchers.each)
        return (f"acked={len(history.acknowledged())} unknown={verdict['unknown']} refused={history.refused} keys={verdict['keys']} ordered={compared} events={events} "
                f"resumed={resumed} relisted={sum(len(w.segments) - 1 for w in self.watchers.each)} longest_unavailable_ms={self.longest_gap()}")

    def check_leaders(self):
        """Each controller has one leader, had never two, and all servers name the same holders."""
        for lease in COMPONENTS:
            self.leader_process(lease)
        if self.leaders:
            self.leaders.stop()
            self.leaders.check()
        views = [self.holders(i) for i in range(len(self.servers))]
        if any(view != views[0] for view in views):
            wait("all servers to name the same leaders", lambda: len({json.dumps(self.holders(i), sort_keys=True) for i in range(len(self.servers))}) == 1)

    def close(self, keep=False):
        for part in (self.load, self.watchers, self.leaders):
            if part:
                try:
                    part.stop()
                except Exception as error:
                    print(f"    while stopping: {error}", flush=True)
        for name, process in reversed(self.processes.items()):
            if not (self.etcd and process in self.etcd.members) and process.process:
                process.resume()
                process.process.terminate() if process.alive() else None
        for process in self.processes.values():
            if not (self.etcd and process in self.etcd.members) and process.process:
                process.terminate()
        if self.etcd:
            self.etcd.close()
        if self.network:
            self.network.close()
        for port in [*self.ports, *self.admin_ports.values()]:
            port.close()
        if self.disk:
            self.disk.close()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
