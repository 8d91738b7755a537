"""Rows of krake all with 100,000 applications that fit no cluster: memory, and how soon it is there after a restart."""
import json
import re
import subprocess
import time

from bench.cluster_rows import application as workload
from bench.cluster_rows import DEPLOYMENTS, Stream, added, kube_api, register
from bench.harness import CLIENTS, Api, Broken, Memory, Server, application, running, settled_rss_mb, wait

APPLICATIONS = 100_000
NOWHERE = "location is nowhere"
APPS = "/kubernetes/namespaces/{}/applications"


def fill_script(bench, status):
    """Creates each application, then gives it the status the scheduler would."""
    path = bench.new_path("fill.lua")
    path.write_text(f"""
local body = [==[{json.dumps(application("NAME", labels=[NOWHERE]))}]==]
local status = [==[{json.dumps({"status": status})}]==]
local path = "{APPS.format("bench")}"
local total = {APPLICATIONS}
local sent = -1 -- wrk asks once before it begins
request = function()
  sent = sent + 1
  if sent <= total then return wrk.format("POST", path, nil, (body:gsub("NAME", "a" .. sent))) end
  if sent <= 2 * total then return wrk.format("PATCH", path .. "/a" .. (sent - total) .. "/status", nil, status) end
  return wrk.format("GET", "/")
end
""")
    return path


def fill(bench, store, status):
    def cache(server):
        return json.loads(server.page("/debug/cache")[1])

    with Server(bench, store, cpu=None) as server:
        before = cache(server)["revision"]
        command = ["wrk", "-t1", f"-c{CLIENTS}", "-d300s", "-s", fill_script(bench, status), server.url]
        with running(command, stdout=subprocess.DEVNULL) as wrk:
            wait("the applications to be written", lambda: cache(server)["revision"] >= before + 2 * APPLICATIONS, wrk, 120, 0.1)
        for number in 1, APPLICATIONS:
            if not Api("127.0.0.1", server.port).call("GET", f"{APPS.format('bench')}/a{number}")["status"]["reason"]:
                raise Broken(f"application a{number} did not get its status")


def unplaced_status(server):
    """What the scheduler writes into the status of an application that fits nowhere."""
    api = Api("127.0.0.1", server.port)
    api.call("POST", APPS.format("bench"), application("model", labels=[NOWHERE]))

    def refused():
        status = api.call("GET", APPS.format("bench") + "/model")["status"]
        return status if status["reason"] else None

    status = wait("the scheduler to say that nothing fits", refused, server.process, 30)
    return {name: status[name] for name in ("state", "reason", "scheduled_retry")}


def synced(server):
    """Whether all controllers have their first lists; None when the server does not tell."""
    found = re.findall(r"^krake_controller_synced\{.*\} (\S+)", server.page("/metrics")[1], re.MULTILINE)
    return all(float(value) == 1 for value in found) if found else None


def scale(bench):
    folder = bench.new_folder("scale")
    store = f'{{type: sqlite, path: "{folder}/krake.db"}}'
    clusters = {"bench": "de", "probe": "sk"}  # one for each namespace
    kubesim = [bench.program("kubesim"), "--state", folder, *clusters.values()]
    with running(kubesim, stdout=subprocess.DEVNULL) as process:
        wait("the simulated clusters", lambda: all((folder / f"{c}.kubeconfig").exists() for c in clusters.values()), process)
        with Server(bench, store, "all", cpu=None) as server:
            config = folder / "krakectl.yaml"
            config.write_text(f"api_url: {server.url}\nuser: bench\n")
            for namespace, cluster in clusters.items():
                register(bench.program("krakectl"), config, folder / f"{cluster}.kubeconfig", namespace, "-l", f"location={cluster}")
            status = unplaced_status(server)
        fill(bench, store, status)
        events = Stream(kube_api(folder / "sk.kubeconfig"), f"{DEPLOYMENTS}?watch=1")
        with Server(bench, store, "all", cpu=None, wait_until_ready=False) as server:
            measure(bench, server, events)


def measure(bench, server, events):
    memory = Memory(server.pid)
    ready = server.wait_ready()
    # Told by the gauge where there is one; seen, by anybody, when a new application that fits somewhere is running there.
    tells = synced(server) is not None
    Api("127.0.0.1", server.port).call("POST", APPS.format("probe"), workload("probe"))
    synced_at = probe_at = None
    likes = added("probe")
    end = time.monotonic() + 120
    while probe_at is None or (tells and synced_at is None):
        if tells and synced_at is None and synced(server):
            synced_at = time.perf_counter() - server.begun
        for at, event in events.drain():
            if likes(event["type"], event["object"]):
                probe_at = at - server.begun
        if server.process.poll() is not None or time.monotonic() > end:
            raise Broken(f"after the restart: synced {synced_at}, a new application's Deployment {probe_at}")
        time.sleep(0.01)
    at_rest = settled_rss_mb(server.pid, still=2.0)
    memory.over.set()
    name = f"{APPLICATIONS:,} applications"
    bench.table.add(f"{name}, krake all, highest RssAnon", f"{memory.peak:,.0f} MB (at rest {at_rest:,.0f} MB)", bar="< 1 GB", met=memory.peak < 1024)
    bench.table.add(f"{name}, restart: API ready", f"{ready:.2f} s", bar="< 3 s", met=ready < 3)
    if tells:
        bench.table.add(f"{name}, restart: controllers synced", f"{synced_at:.2f} s", bar="< 8 s", met=synced_at < 8)
        bench.table.add(f"{name}, restart: a new one has its Deployment", f"{probe_at:.2f} s")
    else:
        bench.table.add(f"{name}, restart: controllers synced (a new one has its Deployment)", f"{probe_at:.2f} s", bar="< 8 s", met=probe_at < 8)
