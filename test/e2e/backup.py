"""krake backup and restore, as an operator would: online while others write, offline, into another server, interrupted, damaged."""
import hashlib
import json
import os
import re
import ssl
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from harness import Processes, kept_port


with Processes(sys.argv[1]) as p:

    def krake(*args, status=0):
        result = subprocess.run([p.bin / "krake", *map(str, args)], capture_output=True, text=True, timeout=120, cwd=p.state)
        assert result.returncode == status, f"krake {args}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout + result.stderr

    def values(path):
        """What a backup says, by key."""
        out = {}
        for record in map(json.loads, path.read_bytes().splitlines()[1:-2]):
            out.pop(record["key"], None)
            if not record.get("removed"):
                out[record["key"]] = record["value"]
        return out

    class Server:
        """`krake all --dev` on a folder of its own."""

        def __init__(self, name):
            self.name, self.folder = name, p.state / name.split("-")[0]
            self.process = p.start(name, p.bin / "krake", "all", "--dev", "--state", self.folder, "--port", "0")
            found = p.wait(f"{name} to run", lambda: re.search(r"Running on (\S+?://[^ ]+:\d+)", self.log()))
            self.url = found.group(1)
            self.tls = ssl.create_default_context(cafile=self.folder / "ca.pem")
            self.tls.load_cert_chain(self.folder / "admin.pem", self.folder / "admin-key.pem")

        def log(self):
            return (p.state / f"{self.name}.log").read_text()

        def call(self, method, path, body=None, headers={}):
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(self.url + path, method=method, data=data, headers=dict(headers))
            try:
                with urllib.request.urlopen(request, context=self.tls, timeout=30) as answer:
                    return answer.status, answer.headers, json.loads(answer.read())
            except urllib.error.HTTPError as error:
                return error.code, error.headers, json.loads(error.read())

        def roles(self):
            """By name, without what a restore renews."""
            items = self.call("GET", "/core/roles")[2]["items"]
            for item in items:
                del item["metadata"]["resource_version"]
            return {item["metadata"]["name"]: item for item in items}

        def stop(self):
            self.process.terminate()
            assert self.process.wait(30) == 0

    def role(name):
        return {"metadata": {"name": name}, "rules": []}

    first = Server("first")
    for i in range(250):
        assert first.call("POST", "/core/roles", role(f"r{i:03}"))[0] == 200
    before = first.roles()
    metadata = first.call("GET", "/core/roles")[2]["metadata"]
    taken = first.call("PUT", "/core/leases/gc-of-ours", {"holder": "me", "ttl_seconds": 3600})
    assert taken[0] == 200, taken
    epoch = taken[1]["Krake-Epoch"]
    assert first.call("POST", "/core/roles", role("led"), {"Krake-Leader": f"gc-of-ours/{epoch}"})[0] == 200

    # Online, while somebody writes.
    file = p.state / "krake.backup"
    other = p.state / "krake.backup.part"
    other.write_text("of another backup that is being taken")
    stop, errors, written = threading.Event(), [], []

    def write():
        while not stop.is_set():
            status = first.call("POST", "/core/roles", role(f"w{len(written):05}"))[0]
            if status != 200:
                errors.append(status)
            written.append(f"w{len(written):05}")

    # The first of them is not there.
    several_servers = p.state / "several.yaml"
    one_server = (first.folder / "krakectl.yaml").read_text()
    several_servers.write_text(one_server.replace("api_url: ", "api_url: http://127.0.0.1:9, ", 1))
    assert several_servers.read_text() != one_server

    writer = threading.Thread(target=write)
    writer.start()
    try:
        p.wait("writes", lambda: len(written) > 5)
        told = krake("backup", file, "--krakectl", several_servers)
    finally:
        stop.set()
        writer.join()
    assert not errors, errors
    assert metadata["store"] in told, told
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, oct(file.stat().st_mode)
    assert list(p.state.glob("*.part")) == [other], "a part is left behind, or that of another is gone"
    assert other.read_text() == "of another backup that is being taken"
    assert krake("restore", "--check", file) == told
    text = file.read_bytes()
    lines = text.splitlines(keepends=True)
    assert json.loads(lines[-1])["sha256"] == hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    keys = values(file)
    saved = {key.rsplit("/", 1)[1] for key in keys if key.startswith("/core/roles/")}
    of_writer = sorted(name for name in saved if name.startswith("w"))
    assert of_writer == [f"w{i:05}" for i in range(len(of_writer))], "one revision: what one client wrote in order has no gap"
    assert set(before) <= saved, set(before) - saved
    assert not any(key.startswith("/core/leases/") for key in keys), "who leads is not restored"

    # Several at once to one file: each is whole, and so is what is there in the end.
    several = p.state / "several.backup"
    at_once = [p.start(f"backup-{i}", p.bin / "krake", "backup", several, "--krakectl", first.folder / "krakectl.yaml") for i in range(2)]
    assert [process.wait(60) for process in at_once] == [0, 0], [(p.state / f"backup-{i}.log").read_text() for i in range(2)]
    krake("restore", "--check", several)
    assert stat.S_IMODE(several.stat().st_mode) == 0o600, oct(several.stat().st_mode)
    assert list(p.state.glob("*.part")) == [other]

    # What a server has nobody else opens.
    for command in ("backup", file), ("restore", file, "--replace"):
        assert "in use by another process" in krake(*command, "--state", first.folder, status=1)
    assert file.read_bytes() == text, "a backup that failed leaves the one before as it was"

    # Into another server: the same objects, with nothing of the old store valid there.
    (p.state / "second").mkdir(mode=0o700)
    krake("restore", file, "--state", p.state / "second")
    second = Server("second")
    restored = second.roles()
    assert {name: restored[name] for name in before} == before, "uids, times and contents are as they were"
    assert set(restored) == saved
    now = second.call("GET", "/core/roles")[2]["metadata"]
    assert now["store"] != metadata["store"]
    since = f"since={metadata['resource_version']}&store={metadata['store']}"
    assert second.call("GET", f"/core/roles?watch&{since}")[0] == 410
    assert second.call("GET", "/core/leases/gc-of-ours")[0] == 404
    leader = {"Krake-Leader": f"gc-of-ours/{epoch}"}
    assert second.call("POST", "/core/roles", role("stale"), leader)[0] == 412
    assert second.call("PUT", "/core/leases/gc-of-ours", {"holder": "me", "ttl_seconds": 60})[0] == 200
    assert second.call("POST", "/core/roles", role("stale"), leader)[0] == 412, "taken again, it has another epoch"
    second.stop()

    # Not over what is there, unless told; then what the backup lacks goes, and the id is new again.
    first.stop()
    assert "--replace" in krake("restore", file, "--state", first.folder, status=1)
    damaged = p.state / "damaged.backup"
    for content in text[: len(text) // 2], text[:5000] + bytes([text[5000] ^ 4]) + text[5001:]:
        damaged.write_bytes(content)
        assert "take another one" in krake("restore", damaged, "--state", first.folder, "--replace", status=1)
    offline = p.state / "offline.backup"
    assert metadata["store"] in krake("backup", offline, "--state", first.folder), "nothing was changed so far"
    krake("restore", file, "--state", first.folder, "--replace")
    first = Server("first-again")
    assert set(first.roles()) == saved
    assert first.call("GET", "/core/roles")[2]["metadata"]["store"] not in (metadata["store"], now["store"])
    first.stop()

    # Killed in the middle: nobody serves what is half there, and the same command goes on.
    large = p.state / "large.backup"
    body = [json.dumps({"format": "krake-backup", "version": 1, "store_id": "by hand", "time": "2026-01-02T03:04:05"})]
    body += [json.dumps({"key": f"/core/of-another-version/{i:05}", "value": "x" * 20000}) for i in range(3000)]
    body += [json.dumps({"end": True, "revision": 7, "records": 3000})]
    content = "".join(line + "\n" for line in body).encode()
    large.write_bytes(content + json.dumps({"sha256": hashlib.sha256(content).hexdigest()}, separators=(",", ":")).encode() + b"\n")
    third = p.state / "third"
    third.mkdir(mode=0o700)
    restore = p.start("restore", p.bin / "krake", "restore", large, "--state", third)

    def size():
        return sum((third / name).stat().st_size for name in ("krake.db", "krake.db-wal") if (third / name).exists())

    end = time.monotonic() + 60
    while size() < 3_000_000 and restore.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    restore.kill()
    assert restore.wait(30) == -9, (p.state / "restore.log").read_text()
    serve = krake("all", "--dev", "--state", third, "--port", "0", status=1)
    assert "restore" in serve and "run it again" in serve, serve
    assert "run it again" in krake("backup", p.state / "half.backup", "--state", third, status=1)
    assert not (p.state / "half.backup").exists()
    told = krake("restore", large, "--state", third)
    counts = list(map(int, re.search(r"(\d+) keys written, (\d+) removed, (\d+) left", told).groups()))
    assert counts[0] + counts[2] == 3000 and counts[1] == 0 and counts[2] > 0, told
    krake("backup", p.state / "kept.backup", "--state", third)
    # Through links, also where nothing is yet; into what is no file as it comes, and no pipe or device becomes one.
    (p.state / "elsewhere").mkdir()
    link, linked = p.state / "link.backup", p.state / "elsewhere" / "there.backup"
    link.symlink_to(linked.relative_to(p.state))
    for _ in range(2):
        krake("backup", link, "--state", third)
        assert link.is_symlink() and values(linked) == values(large) and stat.S_IMODE(linked.stat().st_mode) == 0o600
    assert [path.name for path in linked.parent.iterdir()] == [linked.name]
    pipe = subprocess.run([p.bin / "krake", "backup", "/dev/stdout", "--state", third], capture_output=True, timeout=120, cwd=p.state)
    assert pipe.returncode == 0 and b"/dev/stdout: 3000 keys" in pipe.stderr, pipe.stderr
    (p.state / "piped.backup").write_bytes(pipe.stdout)
    assert values(p.state / "piped.backup") == values(large) and "3000 keys" in krake("restore", "--check", p.state / "piped.backup")
    output = p.state / "output.backup"
    output.symlink_to("/proc/self/fd/1")
    linked_pipe = subprocess.run([p.bin / "krake", "backup", output, "--state", third], capture_output=True, timeout=120, cwd=p.state)
    assert linked_pipe.returncode == 0 and len(linked_pipe.stdout) == len(pipe.stdout) and output.is_symlink()
    fifo = p.state / "fifo.backup"
    os.mkfifo(fifo)
    assert f"cannot write '{fifo}'" in krake("backup", fifo, "--state", third, status=1), "nobody reads"
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert "No space left" in krake("backup", "/dev/full", "--state", third, status=1)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    assert values(p.state / "kept.backup") == values(large), "keys nobody here knows are kept"
    server = Server("third-again")
    server.stop()

    # The same file into an etcd and out of it; an API server that is there meanwhile does not stay.
    client, peer = (f"http://127.0.0.1:{kept_port()}" for _ in range(2))
    p.start("etcd", "/usr/bin/etcd", "--data-dir", p.state / "etcd", "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}")
    config = p.state / "etcd.yaml"
    config.write_text(f"""
host: 127.0.0.1
port: 0
etcd: {{endpoints: ["{client}"]}}
authentication: {{allow_anonymous: true}}
authorization: always-allow
log: {{level: WARNING}}
""")
    p.wait("etcd", lambda: subprocess.run([p.bin / "krake", "restore", file, "-c", config], capture_output=True, cwd=p.state).returncode == 0)
    api = p.start("etcd-api", p.bin / "krake", "api", "-c", config)
    url = p.wait("the API on etcd", lambda: re.search(r"Running on (http://[^ ]+:\d+)", (p.state / "etcd-api.log").read_text())).group(1)

    def names_on_etcd():
        with urllib.request.urlopen(f"{url}/core/roles", timeout=30) as answer:
            return {item["metadata"]["name"] for item in json.load(answer)["items"]}

    assert names_on_etcd() == saved
    krake("backup", p.state / "etcd.backup", "-c", config)  # etcd lets many read
    assert values(p.state / "etcd.backup") == values(file)
    assert "--replace" in krake("restore", large, "-c", config, status=1)
    assert names_on_etcd() == saved
    krake("restore", large, "-c", config, "--replace")
    assert api.wait(60) == 1 and "being restored" in (p.state / "etcd-api.log").read_text()
    krake("backup", p.state / "etcd.backup", "-c", config)
    assert values(p.state / "etcd.backup") == values(large)
print("1 passed, 0 failed")
