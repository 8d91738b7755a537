"""krake bootstrap as an operator uses it: upstream's command on an etcd, a file without a server, through a server, interrupted; krake doctor on it all."""
import json
import os
import re
import subprocess
import sys
import urllib.request

from harness import Processes, ROOT, kept_port

SHIPPED = ROOT / "examples/bootstrap"


def role(name, rules="[]"):
    return f"api: core\nkind: Role\nmetadata: {{name: {name}}}\nrules: {rules}\n"


with Processes(sys.argv[1]) as p:

    def run(name, *args, status=0, stdin=None, cwd=None):
        result = subprocess.run([p.bin / name, *map(str, args)], capture_output=True, text=True, timeout=120, input=stdin, cwd=cwd or p.state)
        assert result.returncode == status, f"{name} {args}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout, result.stderr

    port = kept_port()
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{kept_port()}"
    p.start("etcd", "/usr/bin/etcd", "--data-dir", p.state / "etcd", "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}")

    def etcdctl(*args):
        env = dict(os.environ, ETCDCTL_API="3", ETCDCTL_ENDPOINTS=client)
        return subprocess.run(["/usr/bin/etcdctl", *args], env=env, capture_output=True, text=True, timeout=30, check=True).stdout

    def stored(key):
        text = etcdctl("get", "--print-value-only", key).strip()
        return json.loads(text) if text else None

    p.wait("etcd", lambda: subprocess.run(["/usr/bin/etcdctl", "--endpoints", client, "endpoint", "health"], capture_output=True,
                                          env=dict(os.environ, ETCDCTL_API="3")).returncode == 0)

    # The doctor leaves no mark in an etcd that no server of ours has seen.
    etc = p.state / "etc"
    etc.mkdir()
    (etc / "api.yaml").write_text(f"etcd: {{host: 127.0.0.1, port: {port}}}\nauthorization: RBAC\nlog: {{}}\n")
    assert "nothing is wrong" in run("krake", "doctor", "--config-dir", etc)[0]
    assert etcdctl("get", "--prefix", "--keys-only", "") == "", "the doctor has written"

    # Upstream's command and its words.
    def database(*args, **more):
        return run("krake_bootstrap_db", "--db-host", "127.0.0.1", "--db-port", port, *args, **more)

    out, _ = database(SHIPPED / "base_roles.yaml", SHIPPED / "static_metrics.yaml")
    assert out.startswith("Resources added to database:\n"), out
    assert " * Role(api='core', namespace='None', name='role:system')\n" in out, out
    assert " * GlobalMetricsProvider(api='core', namespace='None', name='static_provider')\n" in out, out
    _, err = database("-c", etc / "api.yaml", SHIPPED / "base_roles.yaml", status=2)
    assert "-c or --db-host: which one?" in err, err
    database("-", stdin=role("mine", "[{api: core, resources: [roles], namespaces: [], verbs: [get]}]"))
    before = stored("/core/roles/mine")
    assert before["rules"], before
    assert "Resource already present in database" in database(SHIPPED / "base_roles.yaml", status=1)[1], "no server has made it"
    _, err = database(SHIPPED / "static_metrics.yaml", status=1)
    assert "Resource already present in database" in err and "Rollback to previous state has been performed" in err, err
    assert f"In file '{SHIPPED}/static_metrics.yaml':" in err, err

    # W38: nothing at all of what has one mistake; in place with --force.
    (p.state / "one.yaml").write_text(role("new") + "---\n" + role("mine"))
    assert "already present" in database("one.yaml", status=1)[1] and stored("/core/roles/new") is None
    out, _ = database("-f", "one.yaml")
    after = stored("/core/roles/mine")
    assert after["rules"] == [] and after["metadata"]["uid"] == before["metadata"]["uid"], after
    assert after["metadata"]["created"] == before["metadata"]["created"] and after["metadata"]["modified"] > before["metadata"]["modified"]
    assert '"version":2' in etcdctl("get", "/core/roles/mine", "-w", "json"), "never deleted on the way"
    database("-", stdin=role("from-stdin"))
    assert stored("/core/roles/from-stdin")
    (p.state / "bad.yaml").write_text(role("good") + "---\napi: core\nkind: Role\nmetadata: {name: x}\nrules:\n  - {api: core, verbs: [fly]}\n")
    _, err = database("bad.yaml", status=1)
    assert re.search(r"rules\.0\.verbs\.0: Invalid enum member fly \(bad\.yaml:10, document 2\)", err), err
    assert "The kind 'Rule' could not be found." in database("-", stdin="api: core\nkind: Rule\n", status=1)[1]

    # Ours: again is no error; into a file while nobody has it.
    (p.state / "api.yaml").write_text(f"""
host: 127.0.0.1
port: 0
store: {{type: sqlite, path: {p.state}/krake.db}}
authentication: {{allow_anonymous: true}}
authorization: always-allow
log: {{level: WARNING}}
""")
    assert "would be added" in run("krake", "bootstrap", "--dry-run", SHIPPED / "base_roles.yaml")[0]
    for title in ("Resources added to database:", "Resources that are there as wanted:"):
        assert run("krake", "bootstrap", SHIPPED / "base_roles.yaml")[0].startswith(title)

    # Killed in the middle: the same command goes on.
    (p.state / "many.yaml").write_text("---\n".join(role(f"m{i:05}") for i in range(5000)))
    half = p.start("half", p.bin / "krake", "bootstrap", "-c", p.state / "api.yaml", p.state / "many.yaml")

    def size():
        return sum((p.state / name).stat().st_size for name in ("krake.db", "krake.db-wal") if (p.state / name).exists())

    begin = size()
    p.wait("some of it to be written", lambda: size() > begin + 100_000 or half.poll() is not None)
    half.kill()
    half.wait(30)
    out, _ = run("krake", "bootstrap", "many.yaml")
    assert out.count("name='m") == 5000, out[:300]

    # Through the server, which has the file now.
    api = p.start("api", p.bin / "krake", "api", "-c", p.state / "api.yaml")
    url = p.wait("the API server", lambda: re.search(r"Running on (http://[^ ]+:\d+)", (p.state / "api.log").read_text())).group(1)
    (p.state / "krakectl.yaml").write_text(f"api_url: http://127.0.0.1:9, {url}\nuser: system:admin\n")
    assert "in use by another process" in run("krake", "bootstrap", SHIPPED / "static_metrics.yaml", status=1)[1]
    watch = urllib.request.urlopen(f"{url}/core/roles?watch&heartbeat=0", timeout=30)
    through = ("krake", "bootstrap", "--server", "--krakectl", p.state / "krakectl.yaml")
    assert "static_provider" in run(*through, SHIPPED / "static_metrics.yaml")[0]
    assert "as wanted" in run(*through, SHIPPED / "static_metrics.yaml")[0]
    assert "different" in run(*through, "-", stdin=role("m00001", '[{api: core, resources: [x], namespaces: [], verbs: [get]}]'), status=1)[1]
    run(*through, "--force", "-", stdin=role("m00001", '[{api: core, resources: [x], namespaces: [], verbs: [get]}]'))
    event = json.loads(watch.readline())
    assert (event["type"], event["object"]["metadata"]["name"]) == ("MODIFIED", "m00001"), event
    watch.close()
    _, err = run(*through, "-", stdin="api: core\nkind: RoleBinding\nmetadata: {name: b}\nusers: [u]\nroles: [nobody-has-it]\n")
    assert "warning: roles.0: RoleBinding(api='core', namespace='None', name='b') names Role 'nobody-has-it', which is not there" in err, err
    api.terminate()
    assert api.wait(30) == 0

    # krake doctor: upstream's data with what is wrong with them, nothing changed.
    doctor = ("krake", "doctor", "--config-dir", etc)
    assert "nothing is wrong" in run(*doctor)[0]
    good = stored("/core/roles/new")
    good["metadata"]["finalizers"] = ["x", "x"]
    good["of_a_newer_version"] = 1
    etcdctl("put", "/core/roles/new", json.dumps(good))
    (etc / "api.yaml").write_text(f"etcd: {{host: 127.0.0.1, port: {port}}}\nauthorization: RBAC\nprot: 1\nlog: {{}}\n")
    report = json.loads(run(*doctor, "-o", "json", status=1)[0])
    said = [(f["severity"], f["where"], f["what"]) for f in report["findings"]]
    assert ("warning", "/core/roles/new", "finalizers that are there twice: x") in said, said
    assert ("note", "/core/roles/new", "keys that are unknown here, and kept: of_a_newer_version") in said, said
    assert any("unknown configuration key 'prot'" in what for _, _, what in said), said
    assert report["counts"]["core/Role"] == len([k for k in etcdctl("get", "--prefix", "--keys-only", "/core/roles/").split()]), report
    etcdctl("put", "/core/roles/broken", "junk")
    revision = json.loads(etcdctl("get", "/core/roles/broken", "-w", "json"))["header"]["revision"]
    out, _ = run(*doctor, status=2)
    assert "error: /core/roles/broken: the value cannot be read" in out, out
    assert json.loads(etcdctl("get", "/core/roles/broken", "-w", "json"))["header"]["revision"] == revision, "the doctor has written"
    assert "error" in run(*doctor, "-c", p.state / "no-such.yaml", status=2)[0]
    assert run(*doctor, "--no-store", status=1)[0].count("warning") == 1
print("1 passed, 0 failed")
