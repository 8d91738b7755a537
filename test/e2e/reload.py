"""SIGHUP: an API server takes another certificate, other tokens and other signing keys without a restart, all of it or nothing; `krake all` reads its sections."""
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

from harness import Processes

with Processes(sys.argv[1]) as p:

    def krake(*args):
        return subprocess.run([p.bin / "krake", *map(str, args)], check=True, capture_output=True, text=True, timeout=60).stdout

    def pki(authority, *args):
        krake("pki", *args, "--dest-dir", p.state / authority)

    # Two authorities, each with a server of the same name.
    for authority in ("first", "second"):
        pki(authority, "ca")
        pki(authority, "server", "server", "--host", "127.0.0.1")
    files = {name: p.state / name for name in ("cert.pem", "key.pem", "tokens", "signing.pem", "api.yaml")}

    def use_certificate(authority):
        files["cert.pem"].write_bytes((p.state / authority / "server.pem").read_bytes())
        files["key.pem"].write_bytes((p.state / authority / "server-key.pem").read_bytes())

    def use_config(more="", level="INFO", authorization="always-allow"):
        files["api.yaml"].write_text(f"""
host: 127.0.0.1
port: 0
store: {{type: memory}}
tls: {{enabled: true, cert: {files["cert.pem"]}, key: {files["key.pem"]}}}
authentication: {{cors_origins: [], strategy: {{token: {{file: {files["tokens"]}}}, signed: {{file: {files["signing.pem"]}}}}}}}
authorization: {authorization}
log: {{level: {level}}}
{more}""")

    use_certificate("first")
    use_config()
    files["tokens"].write_text("token-of-alice alice\n")
    krake("token", "key", files["signing.pem"])
    signed_before = krake("token", "create", "--key", files["signing.pem"], "--user", "carol").strip()
    server = p.start("api", p.bin / "krake", "api", "-c", files["api.yaml"])

    def log(name="api"):
        return (p.state / f"{name}.log").read_text()

    url = p.wait("the API server", lambda: re.search(r"Running on (https://[^ ]+:\d+)", log())).group(1)

    def user(token, authority):
        """Whose token it is at a server with a certificate of that authority; the status, or why there was no connection."""
        trusted = ssl.create_default_context(cafile=p.state / authority / "ca.pem")
        request = urllib.request.Request(f"{url}/me", headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, context=trusted, timeout=10) as answer:
                return json.load(answer)["user"]
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError as error:
            return type(error.reason).__name__

    def hang_up(text, name="api"):
        """Sends SIGHUP; what it brings into the log of that name, a line with `text` among it."""
        seen = len(log(name))
        server.send_signal(signal.SIGHUP)
        p.wait(f"a line about SIGHUP with '{text}'", lambda: any("SIGHUP" in line and text in line for line in log(name)[seen:].splitlines(keepends=True) if line.endswith("\n")))
        return log(name)[seen:]

    assert user("token-of-alice", "first") == "alice"
    assert user(signed_before, "first") == "carol"
    assert user("token-of-alice", "second") == "SSLCertVerificationError"

    # A certificate, a token and a key are replaced.
    use_certificate("second")
    files["tokens"].write_text("token-of-bob bob\n")
    files["signing.pem"].unlink()
    krake("token", "key", files["signing.pem"])
    signed_after = krake("token", "create", "--key", files["signing.pem"], "--user", "dora").strip()
    assert user("token-of-alice", "first") == "alice", "nothing counts before the signal"
    hang_up("have been read again")
    after = {"token-of-alice": 401, "token-of-bob": "bob", signed_before: 401, signed_after: "dora"}
    for token, wanted in after.items():
        assert user(token, "second") == wanted, (wanted, log())
    assert user("token-of-bob", "first") == "SSLCertVerificationError"

    # One thing that cannot be used, and none is taken.
    files["key.pem"].write_text("no key at all\n")
    files["tokens"].write_text("token-of-eve eve\n")
    hang_up("the server key")
    use_certificate("first")
    files["tokens"].write_text("half-a-line\n")
    hang_up("tokens:1: want '<token> <user>'")
    files["tokens"].write_text("token-of-eve eve\n")
    use_config("limits: nonsense")
    hang_up("nothing has been taken")
    use_config(authorization="rbac")
    assert "Unknown authorization strategy 'rbac'" in hang_up("nothing has been taken")
    use_config("etcd: {endpoints: ['http://db']}")
    assert "want http://HOST:PORT" in hang_up("nothing has been taken")
    files["api.yaml"].unlink()
    hang_up("nothing has been taken")
    for token, wanted in {**after, "token-of-eve": 401}.items():
        assert user(token, "second") == wanted, (wanted, log())

    # What takes a restart is named; the level of the log does not.
    use_config("limits: {watches: 21}")
    assert "key=limits.watches" in hang_up("have been read again")
    assert user("token-of-eve", "first") == "eve"
    use_config("limits: {watches: 21}", level="ERROR")
    seen = len(log())
    server.send_signal(signal.SIGHUP)

    def a_silent_request():
        before = len(log())
        assert user("token-of-eve", "first") == "eve"
        return len(log()) == before

    p.wait("a log of errors only", a_silent_request)
    assert "limits.watches" not in log()[seen:], "nor are there warnings any more"
    use_config(level="DEBUG")
    hang_up("have been read again")
    p.wait("a line about each request", lambda: not a_silent_request())
    assert server.poll() is None
    # Nor does one do harm that comes while the server ends.
    server.terminate()
    while server.poll() is None:
        server.send_signal(signal.SIGHUP)
    assert server.wait(60) == 0

    # One that comes while the files are read for the first time, be it the configuration itself, waits for the server to run.
    use_config()
    files["tokens"].write_text("token-of-fay fay\n")
    for late in ("tokens", "api.yaml"):
        text = files[late].read_bytes()
        files[late].unlink()
        os.mkfifo(files[late])
        server = p.start(f"early-{late}", p.bin / "krake", "api", "-c", files["api.yaml"])

        def writer():
            try:
                return os.open(files[late], os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads yet
                assert server.poll() is None
                return None

        pipe = p.wait(f"{late} to be read", writer)
        server.send_signal(signal.SIGHUP)
        os.write(pipe, text)
        os.close(pipe)
        early = p.state / f"early-{late}.log"
        p.wait("the hang-up to be heard", lambda: "SIGHUP: nothing has been taken" in early.read_text())  # a pipe has nothing twice
        url = re.search(r"Running on (https://[^ ]+:\d+)", early.read_text()).group(1)
        assert user("token-of-fay", "first") == "fay"
        server.terminate()
        assert server.wait(60) == 0
        files[late].unlink()
        files[late].write_bytes(text)

    # `krake all` reads the sections of its controllers again, too: what has changed takes a restart, what is wrong keeps everything as it is.
    def use_sections(sections, limits="{}"):
        (p.state / "krake.yaml").write_text(f"""
api: {{host: 127.0.0.1, port: 0, store: {{type: memory}}, authentication: {{cors_origins: []}}, authorization: always-allow, limits: {limits}}}
{sections}""")

    use_sections("scheduler: {stickiness: 0.3}\ngarbage_collector: {worker_count: 2}")
    server = p.start("all", p.bin / "krake", "all", "-c", p.state / "krake.yaml", "--reschedule-after", "7", "--without", "kubernetes-cluster")
    p.wait("krake all", lambda: "Running on" in log("all"))
    assert "counts after a restart" not in hang_up("have been read again", "all"), "nothing has changed, --reschedule-after counts again"
    use_sections("scheduler: {stickiness: 0.4, reschedule_after: 8, token: other}\nkubernetes_cluster: {worker_count: 9}", limits="{watches: 21}")
    told = hang_up("have been read again", "all")
    keys = set(re.findall(r"SIGHUP: a key .* counts after a restart key=(\S+)", told))
    assert keys == {"scheduler.stickiness", "garbage_collector.worker_count", "limits.watches"}, told
    use_sections("scheduler: {stickiness: -1, stickines: 1}\ngarbage_collector: {worker_count: 0}", limits="{watches: x}")
    told = hang_up("nothing has been taken", "all")
    assert all(key in told for key in ("'scheduler.stickiness'", "'garbage_collector.worker_count'", "'api.limits.watches'", "'stickines'")), told
    assert "have been read again" not in told, told
    use_sections("scheduler: nonsense")
    assert "'scheduler': want a mapping" in hang_up("nothing has been taken", "all")
    assert server.poll() is None
    server.terminate()
    assert server.wait(60) == 0
print("1 passed, 0 failed")
