#!/usr/bin/env python3
"""What an etcd may have against a server, and what may happen to its data behind the server's back: etcd_trouble.py BIN [--only NAME]... [--etcd 3.4|3.6|PATH]

Each row has an etcd of one member with TLS and a password, and API servers on it. In each the server must say what is wrong, in one message that names
what to look at, try again with growing pauses, live, and lose nothing; and serve by itself when all is well again."""
import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from etcd_cluster import PASSWORD, USER, Certificates, EtcdCluster, memory_folder
from http_api import Api
from ports import Port
from process import Failed, Process, wait

ROWS = {}
HOLD = 6  # seconds in which a server that hammers its etcd, or its log, gives itself away
MANY = 12  # lines of a log in that time


def row(check):
    ROWS[check.__name__.replace("_", "-")] = check
    return check


def expect(good, what, seen):
    if not good:
        raise Failed(f"{what}; seen: {seen}")


class Server:
    """`krake api` on that etcd. What is given replaces what would be right in its configuration of etcd."""

    def __init__(self, site, name, **etcd):
        self.ports = Port(), Port()
        cluster = site.cluster
        config = {"endpoints": cluster.endpoints, "user": USER, "password": PASSWORD,
                  "tls": {"ca": str(cluster.certificates.ca), "cert": str(cluster.client_cert), "key": str(cluster.client_key)}, **etcd}
        file = site.folder / f"{name}.yaml"
        file.write_text(json.dumps({"host": "127.0.0.1", "port": int(self.ports[0]), "admin": {"host": "127.0.0.1", "port": int(self.ports[1])}, "etcd": config,
                                    "authentication": {"allow_anonymous": True}, "authorization": "always-allow", "log": {"level": "WARNING"}}))
        self.process = Process(name, [site.bin / "krake", "api", "-c", file], site.folder / f"{name}.log").start()
        wait(f"{name} to listen", lambda: self.check() or "Running on" in self.log(), seen=self.process.tail)

    def check(self):
        self.process.check()

    def log(self):
        return self.process.log.read_text(errors="replace")

    def call(self, method, path, body=None, headers=None):
        api = Api(f"http://{self.ports[0]}", timeout=30.0)
        try:
            return api.call(method, path, body, headers)
        finally:
            api.close()

    def create(self, name):
        status, _, value = self.call("POST", "/core/roles", {"metadata": {"name": name}, "rules": []})
        expect(status == 200, f"role {name} to be created", (status, value))
        return value

    def names(self):
        status, _, value = self.call("GET", "/core/roles")
        expect(status == 200, "a list of roles", (status, value))
        return {item["metadata"]["name"] for item in value["items"]}

    def admin(self, page):
        """(status, text)"""
        try:
            with urllib.request.urlopen(f"http://{self.ports[1]}{page}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name):
        return float(re.search(rf"^{name} (\S+)$", self.admin("/metrics")[1], re.MULTILINE).group(1))

    def wait_ready(self):
        wait(f"{self.process.name} to be ready", lambda: self.check() or self.admin("/readyz")[0] == 200, seen=lambda: self.admin("/readyz"))


class Site:
    def __init__(self, binaries, folder, etcd):
        self.bin, self.folder, self.servers = binaries, folder, []
        self.cluster = EtcdCluster(folder / "etcd", 1, etcd, tls=True, auth=True)
        self.cluster.start()

    def server(self, name, **etcd):
        self.servers.append(Server(self, name, **etcd))
        return self.servers[-1]

    def ctl(self, *words):
        return self.cluster.etcdctl(*words)

    def close(self):
        for server in self.servers:
            server.process.terminate()
        self.cluster.close()


def expect_refused(server, *words):
    """Reads and writes are refused and, as readiness and the log do, say what is wrong; the process lives, and neither tries nor talks without pause."""

    def says(method, body=None):
        status, headers, problem = server.call(method, "/core/roles", body)
        expect(status == 500 and len(problem["detail"]) > 20 and (method == "POST" or headers["Retry-After"]), f"{method} to be refused", (status, problem))
        return all(word in problem["detail"] for word in words)

    def unready():
        status, text = server.admin("/readyz")
        expect(status == 503, "/readyz to say no", (status, text))
        return all(word in text for word in words)

    for what, look in {"a read": lambda: says("GET"), "a write": lambda: says("POST", {"metadata": {"name": "refused"}, "rules": []}), "/readyz": unready,
                       "the log": lambda: any(all(word in line for word in words) for line in server.log().splitlines())}.items():
        wait(f"{what} to say {words}", look, interval=0.2, seen=server.process.tail)
    expect(server.admin("/healthz")[0] == 200, "/healthz to say that a restart would not help", server.admin("/healthz"))
    before = server.log().count("\n")
    time.sleep(HOLD)
    more = server.log().count("\n") - before
    expect(more <= MANY, f"at most {MANY} lines in {HOLD} s", server.log()[-3000:])
    server.check()


@row
def wrong_certificate(site):
    """The server trusts another CA than the one that signed etcd's certificate; then it has none of its own, or one of another CA, where etcd wants one."""
    site.server("good").create("kept")
    other = Certificates(site.folder / "other", "another-ca")
    cert, key = map(str, other.issue("client", USER))
    own = {"ca": str(site.cluster.certificates.ca), "cert": str(site.cluster.client_cert), "key": str(site.cluster.client_key)}
    expect_refused(site.server("distrusts", tls=own | {"ca": str(other.ca)}), "etcd.tls")
    expect_refused(site.server("unknown", tls=own | {"cert": cert, "key": key}), "etcd.tls")
    expect_refused(site.server("nameless", tls={"ca": own["ca"]}), "etcd.tls")
    expect(site.server("right").names() == {"kept"}, "what was there", "")


@row
def wrong_password(site):
    """The password is wrong, and is made right in etcd: the server serves without a restart. It never shows the password."""
    site.server("good").create("kept")
    server = site.server("guesses", password="guessed-password")
    expect_refused(server, "etcd.user")
    site.cluster.etcdctl("user", "passwd", USER, "--interactive=false", stdin="guessed-password\n")
    server.wait_ready()
    expect(server.names() == {"kept"}, "what was there", server.names())
    expect("guessed-password" not in server.log(), "no password in the log", "")


@row
def restricted_permissions(site):
    """The user may do nothing; then read but not write; then all, and the server serves without a restart. Then its rights are taken away while it serves."""
    site.server("good").create("kept")
    site.ctl("user", "add", "guest:guest-password")
    site.ctl("role", "add", "guest")
    site.ctl("user", "grant-role", "guest", "guest")
    server = site.server("guest", user="guest", password="guest-password")
    expect_refused(server, "grant-permission")
    site.ctl("role", "grant-permission", "guest", "--prefix=true", "read", "/")
    expect_write_refused(server)
    status, text = server.admin("/readyz")
    expect(status == 503 and "grant-permission" in text, "not to be ready while writes are refused", (status, text))
    expect(server.names() == {"kept"}, "reads to go on", server.names())
    site.ctl("role", "grant-permission", "guest", "--prefix=true", "readwrite", "/")
    server.wait_ready()
    expect(server.names() == {"kept"}, "what was there", server.names())
    server.create("more")
    site.ctl("role", "revoke-permission", "guest", "--prefix=true", "/")
    wait("a read to be refused", lambda: server.call("GET", "/core/roles")[0] == 500, seen=server.process.tail)
    expect_refused(server, "grant-permission")
    site.ctl("role", "grant-permission", "guest", "--prefix=true", "readwrite", "/")
    server.wait_ready()
    expect(server.names() == {"kept", "more"}, "what was there", server.names())


def expect_write_refused(server):
    def look():
        status, _, problem = server.call("POST", "/core/roles", {"metadata": {"name": "refused"}, "rules": []})
        return status == 500 and "grant-permission" in problem["detail"]

    wait("a write to be refused for want of rights", look, seen=server.process.tail)


@row
def foreign_values(site):
    """Others put into etcd what nobody can read, over an object, beside it and where no object is: lists leave it out, it is counted and told of once, and
    force takes it away; what is unknown inside an object survives."""
    one, two = site.server("one"), site.server("two")
    one.create("good")
    one.create("broken")
    for key, value in [("/core/roles/broken", "not json"), ("/core/roles/empty", ""), ("/core/roles/number", "7"), ("/core/roles/half", '{"metadata": {"name": "half"'),
                       ("/core/roles/wrong", '{"metadata": {"name": "wrong"}, "rules": 7}'), ("/core/roles/a/b", "x"), ("/elsewhere/x", "x"), ("plain", "x")]:
        user = "root" if not key.startswith("/") else USER
        site.cluster.etcdctl("put", "--", key, value, user=user)
    bad = ["broken", "empty", "number", "half", "wrong"]
    for server in (one, two):
        expect(server.names() == {"good"}, "lists without what cannot be read", server.names())
        expect(server.metric("krake_api_unreadable_values") == len(bad), f"a metric of {len(bad)}", server.metric("krake_api_unreadable_values"))
        for name in bad:
            lines = [line for line in server.log().splitlines() if f"/core/roles/{name}" in line]
            expect(len(lines) == 1, f"one line of the log about {name}", lines)
            status, _, value = server.call("GET", f"/core/roles/{name}")
            expect(status == 404, f"{name} not to be an object", (status, value))
    # A server that starts now does so, too.
    three = site.server("three")
    expect(three.names() == {"good"}, "lists without what cannot be read", three.names())
    for number, name in enumerate(bad):
        server, other = (one, two, three)[number % 3], (one, two, three)[(number + 1) % 3]
        status, _, value = server.call("POST", "/core/roles", {"metadata": {"name": name}, "rules": []})
        expect(status == 409 and "force=True" in value["detail"], f"{name} to hold its name and the way out to be told", (status, value))
        expect(server.call("DELETE", f"/core/roles/{name}?force=True")[0] == 200, f"{name} to be taken away", server.process.tail(500))
        expect(site.ctl("get", f"/core/roles/{name}") == "", f"{name} to be gone from etcd", "")
        other.create(name)
    for server in (one, two, three):
        expect(server.names() == {"good", *bad}, "all roles", server.names())
        expect(server.metric("krake_api_unreadable_values") == 0, "a metric of 0", server.admin("/metrics"))
    expect(site.ctl("get", "/elsewhere/x", "--print-value-only").strip() == "x", "foreign keys untouched", "")


@row
def compacted_behind_us(site):
    """The server sleeps while others write and remove, and etcd forgets all that: it reads anew, and whoever resumes is sent to list."""
    one, two = site.server("one"), site.server("two")
    for name in ("stays", "goes", "changes"):
        one.create(name)
    since = one.call("GET", "/core/roles")[2]["metadata"]["resource_version"]
    one.process.pause()
    for number in range(50):
        two.create(f"meanwhile{number}")
    two.call("DELETE", "/core/roles/goes")
    two.call("PATCH", "/core/roles/goes", {"metadata": {"finalizers": None}})
    two.call("PATCH", "/core/roles/changes", {"metadata": {"labels": {"x": "y"}}})
    now = two.call("GET", "/core/roles")[2]
    # Its connection goes as well, or what it has not read yet would still be told.
    member = site.cluster.members[0]
    site.ctl("compact", now["metadata"]["resource_version"])
    member.kill()
    member.start()
    site.cluster.wait_healthy()
    one.process.resume()
    one.wait_ready()
    two.wait_ready()
    for server in (one, two):
        seen = server.call("GET", "/core/roles")[2]
        expect(seen["items"] == now["items"], "the same list on both servers", server.process.name)
    api = Api(f"http://{one.ports[0]}", timeout=30.0)
    answer = api.stream(f"/core/roles?watch&since={since}&store={now['metadata']['store']}")
    if answer.status == 200:  # it has kept what is needed: then all of it comes
        lines = [json.loads(answer.readline()) for _ in range(53)]
        expect([line["type"] for line in lines].count("DELETED") == 1, "what happened meanwhile", lines)
    else:
        expect(answer.status == 410, "to be told to list again", answer.status)
    api.close()
    one.create("afterwards")
    expect("afterwards" in two.names(), "both to serve", "")
    three = site.server("three")
    expect(three.names() == two.names(), "a server to start when the beginning is forgotten", three.names())


@row
def restored_from_an_old_snapshot(site):
    """etcd's data are put back to what they were: the server shows what there is, under another store id, and nothing of before is taken for something of now."""
    server = site.server("one")
    server.create("old")
    snapshot = site.folder / "snapshot"
    site.ctl("snapshot", "save", str(snapshot))
    for number in range(20):
        server.create(f"lost{number}")
    before = server.call("GET", "/core/roles")[2]["metadata"]
    _, headers, _ = server.call("PUT", "/core/leases/boss", {"holder": "me", "ttl_seconds": 3600})
    epoch = headers["Krake-Epoch"]
    member = site.cluster.members[0]
    member.kill()
    shutil.rmtree(member.data)
    peer = next(word for word in member.command if word.startswith("--initial-cluster="))
    url = next(word.split("=", 1)[1] for word in member.command if word.startswith("--initial-advertise-peer-urls="))
    token = next(word.split("=", 1)[1] for word in member.command if word.startswith("--initial-cluster-token="))
    subprocess.run(["etcdctl", "snapshot", "restore", str(snapshot), f"--name={member.name}", f"--data-dir={member.data}", peer, f"--initial-cluster-token={token}",
                    f"--initial-advertise-peer-urls={url}"], env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"}, check=True, capture_output=True)
    member.start()
    site.cluster.wait_healthy()
    wait("the server to show what there is", lambda: server.check() or (answer := server.call("GET", "/core/roles"))[0] == 200 and
         {item["metadata"]["name"] for item in answer[2]["items"]} == {"old"}, seen=server.process.tail)
    server.wait_ready()
    now = server.call("GET", "/core/roles")[2]["metadata"]
    expect(now["store"] != before["store"], "another store id", (before, now))
    api = Api(f"http://{server.ports[0]}", timeout=30.0)
    expect(api.stream(f"/core/roles?watch&since={before['resource_version']}&store={before['store']}").status == 410, "who resumes to be told to list", "")
    api.close()
    server.call("PUT", "/core/leases/boss", {"holder": "me", "ttl_seconds": 3600})
    status, _, value = server.call("POST", "/core/roles", {"metadata": {"name": "stale"}, "rules": []}, {"Krake-Leader": f"boss/{epoch}"})
    expect(status == 412, "an epoch of before to be none", (status, value))
    server.create("new")
    expect(server.names() == {"old", "new"}, "old and new", server.names())


def run(name, args):
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"krake-trouble-{name}-", dir=memory_folder()))
    begin, site = time.monotonic(), None
    try:
        site = Site(args.bin.absolute(), folder, args.etcd)
        ROWS[name](site)
        for server in site.servers:
            server.check()
        print(f"[{name}] ok seconds={time.monotonic() - begin:.0f}", flush=True)
        return True
    except Exception as error:
        print(f"[{name}] FAILED: {error if isinstance(error, Failed) else repr(error)}", flush=True)
        for process in [*(s.process for s in site.servers), *site.cluster.members] if site else []:
            print(f"--- {process.name}:\n{process.tail(2500)}", flush=True)
        return False
    finally:
        if site:
            site.close()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--only", action="append", choices=ROWS)
    parser.add_argument("--etcd", default="3.4")
    args = parser.parse_args()
    results = [run(name, args) for name in args.only or ROWS]
    print(f"etcd_trouble: {results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
