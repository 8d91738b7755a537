"""Rows of the whole control plane on simulated clusters: how fast a Deployment comes, and comes back."""
import base64
import contextlib
import http.client
import json
import os
import pathlib
import queue
import random
import re
import ssl
import statistics
import subprocess
import threading
import time

from bench.harness import LOAD_CPU, SERVER_CPU, Api, Broken, pinned, running, settled_rss_mb, wait

SAMPLES = 100
APPLICATIONS = 1000
NAMESPACE = "bench"
APPS = f"/kubernetes/namespaces/{NAMESPACE}/applications"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


class Stream:
    """The events of a watch, stamped when they come in."""

    def __init__(self, api, path):
        self.events = queue.SimpleQueue()
        self.connection = api.connect()
        self.connection.request("GET", path, headers=api.headers)
        self.answer = self.connection.getresponse()
        if self.answer.status != 200:
            raise Broken(f"watch {path}: {self.answer.status} {self.answer.read()!r}")
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            while line := self.answer.readline():
                now = time.perf_counter()
                if line.strip():
                    self.events.put((now, json.loads(line)))
        except (OSError, ValueError, http.client.HTTPException):
            pass  # the other end is gone; whoever waits for an event says so

    def next(self, seconds=30):
        try:
            return self.events.get(timeout=seconds)
        except queue.Empty:
            raise Broken("no event for 30 s") from None

    def until(self, check, seconds=60):
        """The time and object of the first event that `check` likes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            at, event = self.next()
            if check(event["type"], event["object"]):
                return at, event["object"]
        raise Broken(f"the event that was waited for did not come within {seconds} s")

    def drain(self):
        """What has come so far."""
        seen = []
        while not self.events.empty():
            seen.append(self.events.get())
        return seen


def kube_api(kubeconfig):
    config = json.loads(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    host, port = re.fullmatch(r"https://(.*):(\d+)", cluster["server"]).groups()
    return Api(host, int(port), context, config["users"][0]["user"]["token"])


class World:
    """krake all --dev on one CPU, one simulated cluster and this program on the other; all connections are TLS."""

    def __init__(self, bench):
        self.bench = bench
        self.state = bench.new_folder("world")

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.start(stack)
            self.processes = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self.processes.__exit__(*exception)

    def start(self, stack):
        program = self.bench.program
        kubesim = stack.enter_context(running(pinned(LOAD_CPU, program("kubesim"), "--state", self.state, "--pod-delay-ms", "5", "de"), stdout=subprocess.DEVNULL))
        krake = stack.enter_context(running(pinned(SERVER_CPU, program("krake"), "all", "--dev", "--state", self.state, "--port", "0", "--log-level", "error"), stdout=subprocess.DEVNULL))
        config = self.state / "krakectl.yaml"
        kubeconfig = self.state / "de.kubeconfig"
        wait("the simulated cluster", kubeconfig.exists, kubesim)
        wait("krakectl.yaml", config.exists, krake)
        context = ssl.create_default_context(cafile=str(self.state / "ca.pem"))
        context.load_cert_chain(str(self.state / "admin.pem"), str(self.state / "admin-key.pem"))
        self.api = Api("localhost", int(re.search(r"api_url: https://localhost:(\d+)", config.read_text()).group(1)), context)
        self.kube = kube_api(kubeconfig)
        register(program("krakectl"), config, kubeconfig, NAMESPACE)
        self.krake_events = Stream(self.api, f"{APPS}?watch&heartbeat=0")
        self.kube_events = Stream(self.kube, f"{DEPLOYMENTS}?watch=1")

    def by_hand_ms(self, samples=30):
        """What the simulated cluster and this program take by themselves: create a Deployment, see it in the watch."""
        times = []
        for i in range(samples):
            name = f"by-hand-{i}"
            begin = time.perf_counter()
            self.kube.call("POST", DEPLOYMENTS, deployment(name))
            at, _ = self.kube_events.until(added(name))
            times.append((at - begin) * 1e3)
            self.kube_events.until(available(name))
        return statistics.median(times)


def register(krakectl, config, kubeconfig, namespace, *options):
    command = [krakectl, "kube", "cluster", "register", "-n", namespace, "--kubeconfig", kubeconfig, "--wait", *options]
    result = subprocess.run(command, env=dict(os.environ, KRAKECTL_CONFIG=str(config)), capture_output=True, text=True, timeout=60)
    if result.returncode != 0:
        raise Broken(f"krakectl kube cluster register: {result.stdout}{result.stderr}")


def deployment(name):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "registry.k8s.io/echoserver:1.10"}]}}}}


def application(name):
    return {"metadata": {"name": name}, "spec": {"manifest": [deployment(name)], "constraints": {"cluster": {}}}}


def added(name):
    return lambda kind, object: kind == "ADDED" and object["metadata"]["name"] == name


def available(name):
    return lambda kind, object: object["metadata"]["name"] == name and kind != "DELETED" and object.get("status", {}).get("availableReplicas", 0) >= 1


def is_well(object):
    status = object["status"]
    pods = status["container_health"]
    return status["state"] == "RUNNING" and pods["running_pods"] == pods["desired_pods"] == 1


def deploys(bench):
    """Create an application; until the cluster's watch shows its Deployment. One at a time, each in a quiet world."""
    times, commits = [], []
    with World(bench) as world:
        by_hand, raw = world.by_hand_ms(), bench.raw_commit_us()
        for i in range(SAMPLES):
            name = f"app-{i:03}"
            world.krake_events.drain()
            begin = time.perf_counter()
            created = world.api.call("POST", APPS, application(name))
            at, _ = world.kube_events.until(added(name))
            times.append((at - begin) * 1e3)
            first = last = int(created["metadata"]["resource_version"])
            while True:
                seen, event = world.krake_events.next()
                if event["object"]["metadata"]["name"] != name:
                    continue
                if seen < at:
                    last = max(last, int(event["revision"]))
                if seen > at and is_well(event["object"]):
                    break
            commits.append(last - first + 1)
    p50, count = statistics.median(times), statistics.median(commits)
    limit = 10 + 4 * raw / 1e3
    floor = by_hand + 4 * raw / 1e3
    bench.table.add(f"create -> Deployment on kubesim, p50 of {SAMPLES}", f"{p50:.1f} ms", f"by hand + 4 raw commits {floor:.1f} ms", p50 / floor, f"< 10 ms + 4 raw = {limit:.1f} ms", p50 < limit)
    bench.table.add("commits before the first apply, the create included", f"{count:.0f} (max {max(commits)})", bar="<= 4", met=count <= 4)


def drift(bench):
    """Delete the Deployment of one of many applications; until the cluster's watch shows another."""
    with World(bench) as world:
        by_hand = world.by_hand_ms()
        names = [f"app-{i:04}" for i in range(APPLICATIONS)]
        for name in names:
            world.api.call("POST", APPS, application(name))
        well = set()
        end = time.monotonic() + 120
        while len(well) < len(names):
            event = world.krake_events.next()[1]
            (well.add if is_well(event["object"]) else well.discard)(event["object"]["metadata"]["name"])
            if time.monotonic() > end:
                raise Broken(f"{len(well)} of {len(names)} applications run well after 120 s")
        world.kube_events.drain()
        times = []
        for name in random.Random(1).sample(names, SAMPLES):
            begin = time.perf_counter()
            world.kube.call("DELETE", f"{DEPLOYMENTS}/{name}", {"propagationPolicy": "Background"})
            _, gone = world.kube_events.until(lambda kind, object: kind == "DELETED" and object["metadata"]["name"] == name)
            at, new = world.kube_events.until(added(name))
            if new["metadata"]["uid"] == gone["metadata"]["uid"]:
                raise Broken(f"{name} came back as the same object")
            times.append((at - begin) * 1e3)
            world.kube_events.until(available(name))
            world.krake_events.drain()
    p50 = statistics.median(times)
    bench.table.add(f"drift repaired at {APPLICATIONS:,} applications, p50 of {SAMPLES}", f"{p50:.1f} ms", f"create by hand {by_hand:.1f} ms", p50 / by_hand, "< 25 ms", p50 < 25)


def idle(bench):
    state = bench.new_path("idle")
    command = [bench.program("krake"), "all", "--dev", "--state", state, "--port", "0"]
    with running(command, stdout=subprocess.DEVNULL) as process:
        wait("krakectl.yaml", pathlib.Path(state, "krakectl.yaml").exists, process)
        anon = settled_rss_mb(process.pid, still=3.0)
    bench.table.add("idle krake all, RssAnon", f"{anon:.1f} MB", bar="< 25 MB", met=anon < 25)
