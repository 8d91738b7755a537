"""P21: two of each controller as processes of their own; the leader is told to stop, killed, and stopped for a while."""
import json
import re
import signal
import sys
import time

from harness import Processes, ROOT, kube_client

COMMANDS = [["scheduler"], ["controller", "kubernetes-application"], ["controller", "kubernetes-cluster"], ["gc"]]
APPLICATION = COMMANDS[1]
LEASE = "kubernetes-application"
TTL = 9  # seconds: what a busy machine does to renewals every third of it costs nobody the lease
ALIVE = 2 * TTL / 3  # so long, at least, a lease lives after its last renewal

with Processes(sys.argv[1]) as p:
    p.kubesim("de")
    (p.state / "api.yaml").write_text(f"""
host: 127.0.0.1
port: 0
store: {{type: sqlite, path: {p.state}/krake.db}}
authentication: {{allow_anonymous: true}}
authorization: always-allow
log: {{level: WARNING}}
""")
    p.start("api", p.bin / "krake", "api", "-c", p.state / "api.yaml")
    port = p.wait("the API's port", lambda: re.search(r"Running on http://[^:]+:(\d+)", (p.state / "api.log").read_text())).group(1)
    (p.state / "krakectl.yaml").write_text(f"api_url: http://127.0.0.1:{port}\nuser: team\n")
    (p.state / "controller.yaml").write_text(json.dumps({
        "api_endpoint": f"http://127.0.0.1:{port}", "leader_election": {"ttl_seconds": TTL}, "log": {"level": "INFO"}}))

    def start(command, name):
        return p.start(name, p.bin / "krake", *command, "-c", p.state / "controller.yaml")

    def mode(name):
        """Which the process has told of last."""
        told = re.findall(r"mode=(\S+)", (p.state / f"{name}.log").read_text(errors="replace"))
        return told[-1] if told else None

    def holder():
        lease = p.get("core", "lease", "get", LEASE)
        return lease and lease["spec"]["holder"]

    processes = {}
    for command in COMMANDS:
        for copy in ("one", "two"):
            name = f"{command[-1]}-{copy}"
            processes[name] = start(command, name)

    def leader():
        found = [name for name in processes if name.startswith(LEASE) and mode(name) == "leading"]
        return found[0] if len(found) == 1 else None

    kube = kube_client(p.state / "de.kubeconfig")

    def epoch_on_cluster():
        lease = kube("GET", "/apis/coordination.k8s.io/v1/namespaces/default/leases/krake-kubernetes-application")
        return lease and lease["metadata"]["annotations"]["krake/epoch"]

    def repaired(what):
        uid = kube("GET")["metadata"]["uid"]
        kube("DELETE")
        p.wait(f"the Deployment to be back: {what}", lambda: (found := kube("GET")) and found["metadata"]["uid"] != uid)

    def running():
        app = p.get("kube", "app", "get", "echo-demo")
        return app and app["status"]["state"] == "RUNNING" and app["status"]["running_on"]

    p.ctl("kube", "cluster", "register", "--kubeconfig", p.state / "de.kubeconfig", "--wait")
    p.ctl("kube", "app", "create", "--file", ROOT / "examples/applications/echo-demo.yaml", "echo-demo")
    p.wait("echo-demo to run", running)
    epoch = epoch_on_cluster()
    assert epoch, "the leader has left no epoch on the cluster"

    # Told to stop: another one leads while the lease would still have lived. How fast it can be is for the benchmark.
    first = p.wait("one to lead", leader)
    before = holder()
    begin = time.monotonic()
    processes[first].terminate()
    p.wait("the lease to change hands", lambda: (now := holder()) and now != before, seconds=ALIVE)
    took = time.monotonic() - begin
    assert took < ALIVE, f"the lease has changed hands after {took:.1f} s only: nobody gave it back"
    assert processes[first].wait(60) == 0, f"{first} ends with {processes[first].returncode}"
    repaired("the leader was told to stop")
    assert epoch_on_cluster() != epoch, "the new leader has changed the cluster under the old epoch"
    del processes[first]

    # Killed: another one leads when the lease has run out.
    processes[f"{LEASE}-three"] = start(APPLICATION, f"{LEASE}-three")
    second = p.wait("one to lead", leader)
    before = holder()
    processes[second].kill()
    processes[second].wait()
    del processes[second]
    p.wait("the lease to change hands", lambda: (now := holder()) and now != before, seconds=TTL + 30)
    repaired("the leader was killed")

    # Stopped and let go on: it has become a standby.
    processes[f"{LEASE}-four"] = start(APPLICATION, f"{LEASE}-four")
    third = p.wait("one to lead", leader)
    before = holder()
    processes[third].send_signal(signal.SIGSTOP)
    p.wait("the lease to change hands", lambda: (now := holder()) and now != before, seconds=TTL + 30)
    repaired("the leader was stopped")
    after = holder()
    processes[third].send_signal(signal.SIGCONT)
    p.wait("the one that was stopped to stand by", lambda: mode(third) == "standby")
    assert holder() == after, "the one that was stopped has the lease again"

    p.wait("echo-demo to run", running)
    p.ctl("kube", "app", "delete", "echo-demo")
    p.wait("echo-demo to be gone", lambda: p.get("kube", "app", "get", "echo-demo") is None)
    assert kube("GET") is None, "the Deployment is left behind"
    for name, process in processes.items():
        assert process.poll() is None, f"{name} has ended"
print(f"1 passed, 0 failed (handed over in {took * 1000:.0f} ms)")
