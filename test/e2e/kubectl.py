"""Stock kubectl on simulated clusters, and what Krake makes of what it does there."""
import json
import pathlib
import subprocess
import sys

from harness import ROOT, Processes

with Processes(sys.argv[1]) as p:
    p.kubesim("de")

    def kubectl(*args, stdin=None):
        result = subprocess.run(["kubectl", "--kubeconfig", p.state / "de.kubeconfig", "--cache-dir", p.state / "cache", *args], capture_output=True, text=True,
                                input=stdin, timeout=60)
        assert result.returncode == 0, f"kubectl {args}: {result.stdout}{result.stderr}"
        return result.stdout

    # By itself: apply, get, patch, delete.
    manifest = pathlib.Path(ROOT / "examples/applications/echo-demo.yaml").read_text().replace("echo-demo", "mine")
    kubectl("apply", "-f", "-", stdin=manifest)
    assert "mine" in kubectl("get", "deployments")
    kubectl("apply", "-f", "-", stdin=manifest.replace(":1.10", ":1.9"))
    assert ":1.9" in kubectl("get", "deployment", "mine", "-o", "yaml")
    kubectl("delete", "deployment", "mine")
    things = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}} for name in ("one", "two")]
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": things}))
    kubectl("delete", "configmap", "one", "two")

    # A managed object that kubectl deletes comes back with another uid.
    p.krake_all()
    p.ctl("kube", "cluster", "register", "--kubeconfig", p.state / "de.kubeconfig", "--wait")
    p.ctl("kube", "app", "create", "--file", ROOT / "examples/applications/echo-demo.yaml", "--wait", "running", "echo-demo")
    uid = json.loads(kubectl("get", "deployment", "echo-demo", "-o", "json"))["metadata"]["uid"]
    kubectl("delete", "deployment", "echo-demo", "--wait=false")

    def another():
        found = json.loads(kubectl("get", "deployments", "-o", "json"))["items"]
        return [d for d in found if d["metadata"]["name"] == "echo-demo" and d["metadata"]["uid"] != uid]

    p.wait("echo-demo to be there again", another)

    # Amnesia: the status is wiped, comes back, and nobody touched the workload.
    def settled():
        status = p.get("kube", "app", "get", "echo-demo")["status"]
        pods = status["container_health"] or {}
        return status["state"] == "RUNNING" and not status["reason"] and pods.get("running_pods") == pods.get("desired_pods") == 1

    p.wait("echo-demo to be RUNNING again", settled)
    before = json.loads(kubectl("get", "deployment", "echo-demo", "-o", "json"))["metadata"]
    import re
    import ssl
    import urllib.request
    url = re.search(r"api_url: (\S+)", (p.state / "krakectl.yaml").read_text()).group(1)
    context = ssl.create_default_context(cafile=str(p.state / "ca.pem"))
    context.load_cert_chain(str(p.state / "admin.pem"), str(p.state / "admin-key.pem"))
    path = url + "/kubernetes/namespaces/system:admin/applications/echo-demo"
    with urllib.request.urlopen(path, context=context) as answer:
        app = json.load(answer)
    app["status"] = {}
    with urllib.request.urlopen(urllib.request.Request(path + "/status", method="PUT", data=json.dumps(app).encode()), context=context) as answer:
        assert json.load(answer)["status"]["running_on"] is None

    def back():
        status = p.get("kube", "app", "get", "echo-demo")["status"]
        return status["state"] == "RUNNING" and status["running_on"] and status["running_on"]["name"] == "de"

    p.wait("state and running_on to come back", back)
    after = json.loads(kubectl("get", "deployment", "echo-demo", "-o", "json"))["metadata"]
    assert (after["uid"], after["generation"], after["resourceVersion"]) == (before["uid"], before["generation"], before["resourceVersion"]), (before, after)
print("1 passed, 0 failed")
