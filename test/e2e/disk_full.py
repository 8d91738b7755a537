"""A disk that is full, from a client's and an operator's side: writes fail and say why, reads and leases go on, room ends it. 77: cannot be tried here."""
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.request

from harness import Processes, kept_port

INSIDE = "KRAKE_TEST_OWN_MOUNTS"
if INSIDE not in os.environ:
    # Mounts of our own, which end with us.
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0:
        print("skipped: this machine lets us mount nothing (unshare -rm)")
        sys.exit(77)
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "-rm", sys.executable, *sys.argv])


with Processes(sys.argv[1]) as p:
    disk = pathlib.Path("/mnt")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", disk], check=True)
    admin = f"http://127.0.0.1:{kept_port()}"
    config = p.state / "api.yaml"
    config.write_text(f"""
host: 127.0.0.1
port: 0
store: {{type: sqlite, path: {disk}/krake.db}}
authentication: {{allow_anonymous: true}}
authorization: always-allow
admin: {{host: 127.0.0.1, port: {admin.rsplit(":", 1)[1]}}}
log: {{level: WARNING}}
""")

    def start(name):
        process = p.start(name, p.bin / "krake", "api", "-c", config)
        found = p.wait(f"{name} to run", lambda: re.search(r"Running on (http://[^ ]+:\d+)", (p.state / f"{name}.log").read_text()))
        return process, found.group(1)

    def call(method, url, body=None):
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method=method, data=data), timeout=30) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    def create(name, size=20000):
        rule = {"api": "x" * size, "resources": [], "namespaces": [], "verbs": []}
        return call("POST", f"{api}/core/roles", {"metadata": {"name": name}, "rules": [rule]})

    def names():
        status, _, text = call("GET", f"{api}/core/roles")
        assert status == 200, text
        return {item["metadata"]["name"] for item in json.loads(text)["items"]}

    def fill(prefix):
        """Creates until the disk is full; the answer that says so."""
        for i in range(1000):
            answer = create(f"{prefix}{i}")
            if answer[0] != 200:
                return answer
            acknowledged.add(f"{prefix}{i}")
        raise AssertionError("the disk takes everything")

    filler = disk / "of-somebody-else"
    filler.write_bytes(b"x" * 12_000_000)
    server, api = start("api")
    acknowledged = set()
    taken = call("PUT", f"{api}/core/leases/boss", {"holder": "me", "ttl_seconds": 3600})
    assert taken[0] == 200, taken
    assert call("GET", f"{admin}/readyz")[0] == 200

    status, headers, text = fill("a")
    problem = json.loads(text)
    assert status == 500 and problem["status"] == 500, text
    assert headers["Retry-After"] == "1" and headers["Content-Type"].startswith("application/problem+json"), headers
    assert f"{disk}/krake.db" in problem["detail"] and "free some space" in problem["detail"], problem

    # Reads go on, and nothing that was refused is in them; so do leases, whose renewal writes nothing.
    assert names() == acknowledged
    assert call("GET", f"{api}/core/roles/a0")[0] == 200
    renewed = call("PUT", f"{api}/core/leases/boss", {"holder": "me", "ttl_seconds": 3600})
    assert renewed[0] == 200 and renewed[1]["Krake-Epoch"] == taken[1]["Krake-Epoch"], renewed
    # The operator sees it, once there is no room even for the least.
    def no_room():
        name = f"least{len(acknowledged)}"
        if create(name, size=1)[0] == 200:
            acknowledged.add(name)
            return False
        status, _, text = call("GET", f"{admin}/readyz")
        return status == 503 and "free some space" in text

    p.wait("the server to say that its disk is full", no_room)
    assert call("GET", f"{admin}/healthz")[0] == 200, "a restart would not help"
    failed = re.search(r'krake_store_operations_total\{operation="commit",result="unavailable"\} (\d+)', call("GET", f"{admin}/metrics")[2])
    assert failed and int(failed.group(1)) > 0
    assert "free some space" in (p.state / "api.log").read_text()

    # Room ends it: the same process is ready before anybody writes, and writes.
    filler.unlink()
    p.wait("the server to be ready again", lambda: call("GET", f"{admin}/readyz")[0] == 200)
    answer = create("after")
    assert answer[0] == 200, answer
    acknowledged.add("after")
    assert names() == acknowledged

    # Full again, and killed: what was acknowledged is there when it comes back.
    assert fill("b")[0] == 500
    server.kill()
    server.wait()
    subprocess.run(["mount", "-o", "remount,size=40m", disk], check=True)
    server, api = start("api-again")
    assert names() == acknowledged
    assert create("last")[0] == 200
    server.terminate()
    assert server.wait(30) == 0
print("1 passed, 0 failed")
