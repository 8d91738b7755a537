"""Upstream's configuration files start every program; flags, variables, names and the log of Python are honoured; files are generated and checked."""
import json
import os
import re
import subprocess
import sys
import urllib.request

from harness import Processes, ROOT, kept_port

FILES = ROOT / "test/testdata/config"
CONTROLLERS = {"scheduler": "scheduler", "kubernetes-application": "kubernetes_application", "kubernetes-cluster": "kubernetes_cluster",
               "gc": "garbage_collector"}

with Processes(sys.argv[1]) as p:

    def krake(*args, status=0, name="krake", env={}, cwd=None):
        """Both outputs of one that ends by itself. `name`: what it is called by."""
        program = p.bin / "krake"
        if name != "krake":
            program = p.state / name
            if not program.exists():
                program.symlink_to((p.bin / "krake").resolve())
        result = subprocess.run([program, *map(str, args)], capture_output=True, text=True, timeout=60, cwd=cwd or p.state, env=dict(os.environ, **env))
        assert result.returncode == status, f"{name} {args}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout + result.stderr

    def log(name):
        return (p.state / f"{name}.log").read_text()

    # Show 3: each program with upstream's file; only where the others are is said by flags, as upstream's users do.
    client, peer = (f"http://127.0.0.1:{kept_port()}" for _ in range(2))
    p.start("etcd", "/usr/bin/etcd", "--data-dir", p.state / "etcd", "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}")
    port = kept_port()
    processes = {"api": p.start("api", p.bin / "krake", "api", "-c", FILES / "api.yaml", "--port", port, "--etcd-port", client.rsplit(":", 1)[1])}
    p.wait("the API server", lambda: f"======== Running on http://localhost:{port} ========" in log("api"))
    with urllib.request.urlopen(f"http://localhost:{port}/me", timeout=10) as answer:
        assert json.load(answer)["user"] == "system:admin", "the static user of the file"
    for controller, stem in CONTROLLERS.items():
        processes[controller] = p.start(controller, p.bin / "krake", controller, "-c", FILES / f"{stem}.yaml", "--api-endpoint", f"http://localhost:{port}")
    for controller in CONTROLLERS:
        p.wait(f"{controller} to start", lambda: re.search(r"^\S+ \S+ - \[krake[^]]*\] - \[INFO\] - Controller started", log(controller), re.M))
    for name, process in processes.items():
        assert process.poll() is None, f"{name} has ended:\n{log(name)}"
        assert not re.search(r"WARNING.*\.yaml:\d+", log(name)), f"{name} is not content with upstream's file:\n{log(name)}"
    for controller in CONTROLLERS:
        processes[controller].terminate()
        assert processes[controller].wait(30) == 0, controller
    for stem in ("infrastructure", "magnum"):
        assert krake(stem, "-c", FILES / f"{stem}.yaml", "--check-config") == ""

    # What counts, and where it comes from.
    told = krake("config", "check", FILES / "api.yaml", "--etcd-host", "db", env={"KRAKE_PORT": "1234"})
    assert re.search(r'^etcd\.host = "db" +# --etcd-host$', told, re.M), told
    assert re.search(r"^port = 1234 +# KRAKE_PORT$", told, re.M), told
    assert re.search(rf'^authorization = "always-allow" +# {re.escape(str(FILES))}/api\.yaml:\d+$', told, re.M), told
    assert re.search(r"^implicit_controller_rights = true +# default$", told, re.M), told
    assert "# log: INFO and worse to standard output" in told, told
    (p.state / "api.yaml").write_text("authorization: RBAC\nprot: 1\netcd: {user: u, password: planted-secret}\nlog: {}\n")
    told = krake("config", "check", "api.yaml")
    assert "warning: api.yaml:2: unknown configuration key 'prot' is ignored" in told and "planted-secret" not in told, told
    assert "field 'port': Not a valid integer. (--port)" in krake("api", "--port", "x", status=1)
    assert "Configuration in 'scheduler.yaml', '/etc/krake/scheduler.yaml' not found" in krake("scheduler", status=1) or os.path.exists("/etc/krake")

    # What does not start is not called good, by nobody; all that is wrong is said, and nothing is made by looking.
    (p.state / "bad").mkdir()
    (p.state / "bad/api.yaml").write_text("""
port: 0
store: {type: nonsense}
authorization: rbac
authentication: {strategy: {keystone: {enabled: true, endpoint: "localhost:5000"}, oidc: {enabled: true}, token: {file: /none/tokens}}, ca: /none/ca}
security: {encryption_key_file: /none/keys}
default_roles: [{metadata: {name: a b}}]
audit: {file: audit.log}
log: {output: krake.log}
prot: 1
""")
    (p.state / "bad/scheduler.yaml").write_text("api_endpoint: localhost:8080\ntypo: 1\n")
    wrong = {"api": ["store.type: 'nonsense'", "Unknown authorization strategy 'rbac' (api.yaml:4)", "keystone.endpoint: 'localhost:5000'", "oidc.issuer:",
                     "/none/tokens", "/none/ca", "/none/keys", "default_roles.0:", "unknown configuration key 'prot'"],
             "scheduler": ["api_endpoint: 'localhost:8080'", "unknown configuration key 'typo'"]}
    wrong["all"] = wrong["api"]
    for name, wanted in wrong.items():
        stem = "scheduler" if name == "scheduler" else "api"
        for args in ((name, "--check-config"), (name, "--print-config"), (name,), ("config", "check", f"{stem}.yaml")):
            told = krake(*args, status=1, cwd=p.state / "bad")
            assert all(text in told for text in wanted), f"{args}: {told}"
    told = krake("doctor", "--config-dir", ".", "--no-store", status=2, cwd=p.state / "bad")
    assert all(text in told for texts in (wrong["api"][:1], wrong["api"][2:], wrong["scheduler"]) for text in texts), told
    assert sorted(os.listdir(p.state / "bad")) == ["api.yaml", "scheduler.yaml"]
    assert krake("all", "-c", FILES / "api.yaml", "--check-config") == ""
    (p.state / "missing.yaml").write_text("port: 0\nauthorisation: RBAC\n")
    for args in (("api", "-c", "missing.yaml"), ("all", "-c", "missing.yaml"), ("config", "check", "missing.yaml", "--program", "api"),
                 ("backup", "saved", "-c", "missing.yaml"), ("bootstrap", "-c", "missing.yaml", "missing.yaml")):
        told = krake(*args, status=1)
        assert "missing.yaml:2: unknown configuration key 'authorisation'" in told and "'authorization': Missing data" in told, f"{args}: {told}"

    # What is not known is named without its value, and without the page of all commands.
    for args in (("config", "check", "bad/api.yaml"), ("doctor",), ("api", "-c", "api.yaml"), ("all", "-c", "api.yaml"), ("backup", "saved", "-c", "api.yaml")):
        told = krake(*args, "--etcd-pasword=planted-secret", status=2)
        assert "'--etcd-pasword'" in told and "planted-secret" not in told, f"{args}: {told}"
    for args in ((), ("--dev",)):
        told = krake("all", *args, "--worker-count", "3", status=2)
        assert "krake all: unknown option '--worker-count'" in told and "usage: krake all " in told and len(told.splitlines()) < 15, told

    # A pipe that is named is read once; one that is found, or that the doctor is to look at, is not waited for.
    piped = subprocess.run([p.bin / "krake", "config", "check", "/dev/stdin"], input="api: {authorization: RBAC}\nscheduler: {stickiness: 0.7}\n",
                           capture_output=True, text=True, timeout=60)
    assert piped.returncode == 0 and "/dev/stdin as api" in piped.stdout and re.search(r"^stickiness = 0.7 +# /dev/stdin:2$", piped.stdout, re.M), piped
    (p.state / "piped").mkdir()
    os.mkfifo(p.state / "piped/api.yaml")
    os.mkfifo(p.state / "piped/krake.yaml")
    for args, status in ((("doctor",), 2), (("doctor", "--no-store", "--config-dir", "."), 2), (("doctor", "-c", "krake.yaml"), 2), (("api",), 1), (("all",), 1)):
        assert "api.yaml': it is no regular file" in krake(*args, status=status, cwd=p.state / "piped"), args

    # Upstream's loader takes the last of a repeated key, and files that have some are in use.
    (p.state / "twice.yaml").write_text((FILES / "api.yaml").read_text() + "\nport: 7\n")
    told = krake("api", "-c", "twice.yaml", "--print-config")
    assert re.search(r"^port = 7 ", told, re.M) and re.search(r"^warning: twice.yaml:\d+: the key 'port' is there since line \d+; the last one counts$", told, re.M), told

    # One file for all, and the names of upstream.
    (p.state / "all").mkdir()
    (p.state / "all/krake.yaml").write_text("api: {authorization: RBAC, port: 7}\nscheduler: {stickiness: 0.5}\n")
    assert re.search(r"^port = 7 +# krake.yaml:1$", krake("api", "--print-config", cwd=p.state / "all"), re.M)
    assert re.search(r"^stickiness = 0.5 +# krake.yaml:2$", krake("-m", "krake.controller.scheduler", "--print-config", cwd=p.state / "all"), re.M)
    (p.state / "all/krake.yaml").write_text("""api: {authorization: RBAC, port: 0, store: {type: memory}}
scheduler: {reschedule_after: 7, stickiness: 0.3, worker_count: 2, typo: 1}
schedular: {}
""")
    told = krake("all", "-c", "krake.yaml", "--check-config", cwd=p.state / "all")
    assert "warning: krake.yaml:2: unknown configuration key 'typo' is ignored" in told and "warning: krake.yaml:3: 'schedular' is the section of no" in told, told
    told = krake("all", "--print-config", "--reschedule-after", "3", "--without", "gc", cwd=p.state / "all")
    assert re.search(r"^scheduler\.reschedule_after = 3(\.0)? +# --reschedule-after$", told, re.M), told
    assert re.search(r"^scheduler\.worker_count = 2 +# krake.yaml:2$", told, re.M) and "garbage_collector." not in told, told
    assert "schedular" in krake("scheduler", "--check-config", cwd=p.state / "all")
    (p.state / "wrong.yaml").write_text("api: {authorization: RBAC, port: x}\nscheduler: {worker_count: 0}\ngarbage_collector: {debounce: -1}\ninfrastructure: nonsense\n")
    told = krake("all", "-c", "wrong.yaml", status=1)
    assert all(text in told for text in ("'api.port'", "'scheduler.worker_count': want 1 to 1000, got 0 (wrong.yaml:2)", "'garbage_collector.debounce'")), told
    assert "warning: wrong.yaml:4: 'infrastructure' has no effect in `krake all`: there is no such controller yet" in told, told
    for args in ((), ("--config-dir", ".")):
        told = krake("doctor", "--no-store", *args, status=1, cwd=p.state / "all")
        assert "configuration ./krake.yaml" in told and "'typo'" in told and "'schedular'" in told, told
    (p.state / "all/krake.yaml").write_text("api: {authorization: rbac, port: 1, store: {type: sqlite, path: none.db}}\n")
    for args in ((), ("--no-store",)):
        told = krake("doctor", *args, status=2, cwd=p.state / "all")
        assert "Unknown authorization strategy 'rbac'" in told and ("none.db" in told) == (not args) and "not found" not in told, told
    assert not os.path.exists(p.state / "all/none.db")
    assert "Krake API server" in krake("-h", name="krake_api")
    for name in ("krake_bootstrap_db", "krake_generate_config"):
        assert (p.bin / name).resolve().name == "krake", f"{name} is not beside krake"
        assert "usage:" in krake("-h", name=name)

    # Generated files are read without a warning; upstream's tool overwrites, ours does not unless told.
    made = p.state / "made"
    made.mkdir()
    names = krake("config", "generate", "--dst", made, "--tls-enabled", "--api-host", "krake.example.org", "--logging-level", "DEBUG").split()
    assert len(names) == 8 and all(os.path.exists(name) for name in names), names
    assert "error: tls.client_ca: cannot read 'tmp/pki/ca.pem'" in krake("config", "check", made / "scheduler.yaml", status=1), "no certificates yet"
    krake("pki", "init")
    for name in names:
        told = krake("config", "check", name)
        assert "warning" not in told, told
    assert 'api_url = "https://krake.example.org:8080"' in krake("config", "check", made / "krakectl.yaml")
    told = krake("scheduler", "-c", FILES / "scheduler.yaml", "--wrker-count", "3", status=2)
    assert "krake scheduler: unknown option '--wrker-count'" in told and "usage: krake scheduler " in told and len(told.splitlines()) < 6, told
    assert 'api_endpoint = "https://krake.example.org:8080"' in krake("config", "check", made / "scheduler.yaml")
    assert "--force" in krake("config", "generate", "--dst", made, "api", status=1)
    # Of krakectl.yaml the check says what krakectl says.
    mine = p.state / "krakectl.yaml"
    mine.write_text("api_url: http://localhost:1\napi_url: http://127.0.0.1:1\nuser: me\ninsecure-skip-verify: true\n"
                    "contexts:\n  prod:\n    tokne: t\n    timeut: 3\n    tls: {enabled: false, clent_cert: x}\n")
    own = subprocess.run([p.bin / "krakectl", "--config", mine, "kube", "app", "list"], capture_output=True, text=True, timeout=60).stderr
    own = [line.removeprefix("WARNING: ") for line in own.splitlines() if line.startswith("WARNING: ")]
    told = krake("config", "check", mine)
    assert len(own) == 5 and own == [line.removeprefix("warning: ") for line in told.splitlines() if line.startswith("warning: ")], (own, told)
    assert re.search(r"^insecure_skip_verify = false +# default$", told, re.M), told
    template = p.state / "own.txt.template"
    template.write_text("to $api_endpoint as $$USER\nexternal: $external_endpoint\n")
    for _ in range(2):
        assert krake("--dst", made, template, name="krake_generate_config").strip() == str(made / "own.txt")
    assert (made / "own.txt").read_text() == "to http://localhost:8080 as $USER\n"
    # Upstream's template of the application controller has a whole line as one value of each hook.
    template.write_text("complete:\n  $external_complete_endpoint_key_and_value\nshutdown:\n  $external_shutdown_endpoint_key_and_value\n")
    krake("--dst", made, template, "--external-endpoint", "https://k:1", name="krake_generate_config")
    assert (made / "own.txt").read_text() == "complete:\n  external_endpoint: https://k:1\nshutdown:\n  external_endpoint: https://k:1\n"
    template.write_text("$no_such_option")
    assert "own.txt.template:1: there is no value for '$no_such_option'" in krake("--dst", made, template, name="krake_generate_config", status=1)
    assert "no-such" in krake("p/no-such.template", name="krake_generate_config", status=1)

    # The API server writes to the file its section names, also after logrotate has moved it.
    file = p.state / "own.log"
    (p.state / "logged.yaml").write_text(f"""
host: 127.0.0.1
port: 0
store: {{type: memory}}
authentication: {{allow_anonymous: true}}
authorization: always-allow
log:
  formatters: {{short: {{format: "%(levelname)s %(message)s"}}}}
  handlers: {{own: {{class: logging.handlers.WatchedFileHandler, filename: {file}, formatter: short}}}}
  root: {{level: DEBUG, handlers: [own]}}
""")
    p.start("logged", p.bin / "krake", "api", "-c", p.state / "logged.yaml")
    url = p.wait("the API server", lambda: re.search(r"Running on (http://[^ ]+:\d+)", log("logged"))).group(1)

    def lines_after_a_request():
        urllib.request.urlopen(f"{url}/me", timeout=10).read()
        return re.search(r"^(DEBUG|INFO) ", file.read_text(), re.M) if file.exists() else None

    p.wait("a line in the log", lines_after_a_request)
    file.rename(p.state / "own.log.1")
    p.wait("a line in the new log", lines_after_a_request)
print("1 passed, 0 failed")
