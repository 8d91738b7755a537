"""P3, P9, P15: every controller a process of its own with its own role; each is killed in turn while somebody breaks the workload."""
import json
import sys

from harness import Processes, ROOT, kept_port, kube_client

COMPONENTS = {
    "system:scheduler": ["scheduler"],
    "system:kubernetes-application": ["controller", "kubernetes-application"],
    "system:kubernetes-cluster": ["controller", "kubernetes-cluster"],
    "system:gc": ["gc"],
}

with Processes(sys.argv[1]) as p:
    p.kubesim("de")
    users = ["system:admin", *COMPONENTS]
    (p.state / "tokens").write_text("".join(f"token-of-{u} {u}\n" for u in users))
    port = kept_port()  # for both lives of the API server
    config = p.state / "api.yaml"
    config.write_text(f"""
host: 127.0.0.1
port: {port}
store: {{type: sqlite, path: {p.state}/krake.db}}
authentication: {{allow_anonymous: false, strategy: {{token: {{file: {p.state}/tokens}}}}}}
authorization: RBAC
log: {{level: WARNING}}
""")

    def start_api(name):
        process = p.start(name, p.bin / "krake", "api", "-c", config)
        p.wait(f"{name} to run", lambda: "Running on" in (p.state / f"{name}.log").read_text())
        return process

    def start(user, again=""):
        file = p.state / f"{user}.yaml"
        file.write_text(json.dumps({"api_endpoint": f"http://127.0.0.1:{port}", "token": f"token-of-{user}", "log": {"level": "WARNING"}}))
        return p.start(user + again, p.bin / "krake", *COMPONENTS[user], "-c", file)

    api = start_api("api")
    (p.state / "krakectl.yaml").write_text(f"api_url: http://127.0.0.1:{port}\nuser: system:admin\ntoken: token-of-system:admin\n")
    running = {user: start(user) for user in COMPONENTS}

    kube = kube_client(p.state / "de.kubeconfig")

    def settled():
        app = p.get("kube", "app", "get", "echo-demo")
        return app and app["status"]["state"] == "RUNNING" and app["status"]["running_on"]

    p.ctl("kube", "cluster", "register", "--kubeconfig", p.state / "de.kubeconfig", "--wait")
    p.ctl("kube", "app", "create", "--file", ROOT / "examples/applications/echo-demo.yaml", "echo-demo")
    p.wait("echo-demo to run", settled)

    for user in COMPONENTS:
        uid = kube("GET")["metadata"]["uid"]
        running[user].kill()
        running[user].wait()
        kube("DELETE")
        running[user] = start(user, "-again")
        p.wait(f"the Deployment to be back ({user} was killed)", lambda: (found := kube("GET")) and found["metadata"]["uid"] != uid)
        p.wait(f"echo-demo to run ({user} was killed)", settled)

    # Without the API the last instruction holds: the workload is repaired before the server is back.
    uid = kube("GET")["metadata"]["uid"]
    api.kill()
    api.wait()
    kube("DELETE")
    p.wait("the Deployment to be back without the API", lambda: (found := kube("GET")) and found["metadata"]["uid"] != uid)
    api = start_api("api-again")
    p.wait("the API again", lambda: p.ctl("kube", "app", "list", check=False).returncode == 0)
    p.wait("echo-demo to run after the API's return", settled)

    p.ctl("kube", "app", "delete", "echo-demo")
    p.wait("echo-demo to be gone", lambda: p.get("kube", "app", "get", "echo-demo") is None)
    assert kube("GET") is None, "the Deployment is left behind"
    for log in p.state.glob("system:*.log"):
        assert "403" not in log.read_text(), f"{log.name}: a role lacks a right:\n{log.read_text()}"
    for user, process in running.items():
        assert process.poll() is None, f"{user} has ended"
print("1 passed, 0 failed")
