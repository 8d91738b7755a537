"""P5, P18: a scheduler in another language, which knows only the public API, replaces ours."""
import re
import sys

from harness import ROOT, Processes

with Processes(sys.argv[1]) as p:
    p.kubesim("de", "sk")
    p.krake_all("--without", "scheduler")
    url = re.search(r"api_url: (\S+)", (p.state / "krakectl.yaml").read_text()).group(1)
    for name, location in (("de", "DE"), ("sk", "SK")):
        p.ctl("kube", "cluster", "register", "--kubeconfig", p.state / f"{name}.kubeconfig", "-l", f"location={location}")
    p.ctl("kube", "app", "create", "--file", ROOT / "examples/applications/echo-demo.yaml", "-L", "location is SK", "echo-demo")
    assert p.get("kube", "app", "get", "echo-demo")["status"]["scheduled_to"] is None, "nobody schedules yet"
    p.start("scheduler", sys.executable, ROOT / "examples/schedulers/first_match.py", "--api", url, "--ca", p.state / "ca.pem",
            "--cert", p.state / "admin.pem", "--key", p.state / "admin-key.pem")

    def running():
        status = p.get("kube", "app", "get", "echo-demo")["status"]
        return status["state"] == "RUNNING" and status["running_on"]["name"] == "sk"

    p.wait("echo-demo RUNNING on sk", running)
print("1 passed, 0 failed")
