#!/usr/bin/env python3
"""An etcd cluster on this machine for tests. As a program it starts one, runs COMMAND with the variables below, and ends with its exit code:

  etcd_cluster.py [--members N] [--etcd PATH] [--tls] [--auth] [--quota-bytes N] [--fsync] -- COMMAND...

TEST_ETCD_ENDPOINTS (URLs with commas between), TEST_ETCD_PIDS; with --tls TEST_ETCD_CA, TEST_ETCD_CERT, TEST_ETCD_KEY; with --auth TEST_ETCD_USER,
TEST_ETCD_PASSWORD; and what etcdctl reads. PATH may have arguments ("kube etcd"); `3.4` is /usr/bin/etcd, `3.6` the one test/kube/build.sh builds."""
import argparse
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from process import Failed, Process, wait

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from ports import Port  # noqa: E402

ROOT_PASSWORD = "root-password"
USER, PASSWORD = "krake", "krake-password"


def etcd_command(name):
    """The words of a command line that starts an etcd: 3.4, 3.6, or a path with arguments."""
    if name == "3.6":
        return [subprocess.run([HERE.parent / "kube/build.sh"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip(), "etcd"]
    return ["/usr/bin/etcd"] if name == "3.4" else shlex.split(str(name))


def memory_folder():
    """A folder in memory where there is one: page cache and tmpfs outlive a killed process alike."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Certificates:
    """A CA and what it signs, made with openssl; a file is NAME.pem with NAME-key.pem."""

    def __init__(self, folder, name="test-ca"):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = folder / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650", "-subj", f"/CN={name}", "-keyout",
                      folder / "ca-key.pem", "-out", self.ca)

    @staticmethod
    def _openssl(*args):
        result = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True)
        assert result.returncode == 0, f"openssl {args}: {result.stderr}"

    def issue(self, file, common_name, hosts=("localhost", "127.0.0.1")):
        """(certificate, key) for server and client use."""
        cert, key, request, extensions = (self.folder / (file + end) for end in (".pem", "-key.pem", ".csr", ".ext"))
        names = ",".join(("IP:" if host[0].isdigit() else "DNS:") + host for host in hosts)
        extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={common_name}", "-keyout", key, "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.folder / "ca-key.pem", "-CAcreateserial", "-days", "365", "-extfile", extensions,
                      "-out", cert)
        return cert, key


class Member(Process):
    """One etcd. Its state is read from the metrics port, which has neither TLS nor passwords."""

    def __init__(self, name, command, log, data, client_url, metrics_url):
        super().__init__(name, command, log)
        self.data = data
        self.client_url = client_url
        self.metrics_url = metrics_url

    def _get(self, path):
        try:
            with urllib.request.urlopen(self.metrics_url + path, timeout=2) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError:
            return ""

    def healthy(self):
        """It has a leader and no alarm, by its own account."""
        try:
            return str(json.loads(self._get("/health")).get("health")).lower() == "true"
        except ValueError:
            return False

    def metric(self, name):
        for line in self._get("/metrics").splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return None

    def is_leader(self):
        return self.metric("etcd_server_is_leader") == 1


class EtcdCluster:
    """Members run from `start()` to `close()`. With `peer_proxy` (name, host, port -> (host, port)) the members reach each other through what it
    returns. `data_folders` gives members folders of their own (a small file system, say), `wrappers` words before their commands."""

    def __init__(self, folder, members=3, etcd="3.4", tls=False, auth=False, quota_bytes=None, fsync=False, peer_proxy=None, data_folders=None, wrappers=None,
                 heartbeat_ms=50, election_ms=500):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.etcd = etcd_command(etcd)
        self.auth = auth
        self.certificates = None
        # Of the loopback addresses one for this cluster alone: what others connect from is 127.0.0.1, so their ports are out of the way.
        pid = os.getpid()
        self.host = f"127.{1 + pid // 65025 % 250}.{1 + pid // 255 % 254}.{1 + pid % 254}"
        self.scheme = "https" if tls else "http"
        self._ports = [[Port(self.host) for _ in range(3)] for _ in range(members)]
        names = [f"etcd-{i}" for i in range(members)]
        peer_urls = []
        for name, (_, peer, _) in zip(names, self._ports):
            host, port = peer_proxy(name, peer.host, peer.number) if peer_proxy else (peer.host, peer.number)
            peer_urls.append(f"http://{host}:{port}")
        options = [f"--heartbeat-interval={heartbeat_ms}", f"--election-timeout={election_ms}", "--log-level=warn", "--logger=zap", "--log-outputs=stderr",
                   "--initial-cluster=" + ",".join(f"{n}={u}" for n, u in zip(names, peer_urls)), f"--initial-cluster-token=test-{pid}", "--snapshot-count=10000"]
        options += [] if fsync else ["--unsafe-no-fsync"]
        options += [f"--quota-backend-bytes={quota_bytes}"] if quota_bytes else []
        if tls:
            self.certificates = Certificates(self.folder / "tls", "etcd-test-ca")
            server_cert, server_key = self.certificates.issue("server", "etcd", ("localhost", "127.0.0.1", self.host))
            self.client_cert, self.client_key = self.certificates.issue("client", USER)
            options += [f"--cert-file={server_cert}", f"--key-file={server_key}", f"--trusted-ca-file={self.certificates.ca}", "--client-cert-auth"]
        self.members = []
        for i, (name, (client, peer, metrics)) in enumerate(zip(names, self._ports)):
            data = pathlib.Path(data_folders[i]) if data_folders and data_folders[i] else self.folder / name
            url = f"{self.scheme}://{client}"
            command = [*self.etcd, f"--name={name}", f"--data-dir={data}", f"--listen-client-urls={url}", f"--advertise-client-urls={url}",
                       f"--listen-peer-urls=http://{peer}", f"--initial-advertise-peer-urls={peer_urls[i]}", f"--listen-metrics-urls=http://{metrics}", *options]
            member = Member(name, command, self.folder / f"{name}.log", data, url, f"http://{metrics}")
            if wrappers and wrappers[i]:
                member.command = [*map(str, wrappers[i]), *member.command]
            self.members.append(member)

    @property
    def endpoints(self):
        return [member.client_url for member in self.members]

    def start(self):
        for member in self.members:
            member.start()
        self.wait_healthy()
        if self.auth:
            self._enable_auth()
        return self

    def _enable_auth(self):
        # 3.4 has no role `root` before authentication is enabled for the first time, 3.6 has: either is fine.
        self.etcdctl("user", "add", f"root:{ROOT_PASSWORD}", user=None)
        subprocess.run(["etcdctl", "role", "add", "root"], env=self.environment(user=None), capture_output=True)
        for words in (["user", "grant-role", "root", "root"], ["user", "add", f"{USER}:{PASSWORD}"], ["role", "add", USER],
                      ["role", "grant-permission", USER, "--prefix=true", "readwrite", ""], ["user", "grant-role", USER, USER], ["auth", "enable"]):
            self.etcdctl(*words, user=None)

    def environment(self, user=USER):
        """The process environment plus what etcdctl and COMMANDs read; user None is for before authentication is enabled."""
        out = dict(os.environ, ETCDCTL_API="3", ETCDCTL_ENDPOINTS=",".join(self.endpoints), TEST_ETCD_ENDPOINTS=",".join(self.endpoints),
                   TEST_ETCD_PIDS=",".join(str(m.pid) for m in self.members))
        if self.certificates:
            out |= {"TEST_ETCD_CA": str(self.certificates.ca), "TEST_ETCD_CERT": str(self.client_cert), "TEST_ETCD_KEY": str(self.client_key),
                    "ETCDCTL_CACERT": str(self.certificates.ca), "ETCDCTL_CERT": str(self.client_cert), "ETCDCTL_KEY": str(self.client_key)}
        if self.auth and user:
            password = PASSWORD if user == USER else ROOT_PASSWORD
            out |= {"TEST_ETCD_USER": user, "TEST_ETCD_PASSWORD": password, "ETCDCTL_USER": f"{user}:{password}"}
        return out

    def etcdctl(self, *words, user="root", endpoints=None, stdin=None):
        env = self.environment(user) | {"ETCDCTL_DIAL_TIMEOUT": "30s", "ETCDCTL_COMMAND_TIMEOUT": "60s"}
        if endpoints:
            env["ETCDCTL_ENDPOINTS"] = ",".join(endpoints)
        result = subprocess.run(["etcdctl", *map(str, words)], env=env, capture_output=True, text=True, timeout=120, input=stdin)
        assert result.returncode == 0, f"etcdctl {words}: {result.stdout}{result.stderr}"
        return result.stdout

    def leader(self, seconds=60):
        return wait("one etcd member to lead", lambda: next((m for m in self.members if m.alive() and not m.paused and m.is_leader()), None), seconds)

    def wait_healthy(self, seconds=60):
        def look():
            for member in self.members:
                member.check()
            return all(member.healthy() for member in self.members)

        wait("every etcd member to be healthy", look, seconds, seen=lambda: {m.name: m._get("/health") for m in self.members})

    def close(self):
        for member in self.members:
            if member.alive():
                member.resume()
                member.kill()  # what it holds goes with its folder
        for ports in self._ports:
            for port in ports:
                port.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--etcd", default="3.4")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--auth", action="store_true")
    parser.add_argument("--quota-bytes", type=int)
    parser.add_argument("--fsync", action="store_true", help="sync to a disk, in the folder for temporary files, instead of memory")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        parser.error("want -- COMMAND...")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="krake-etcd-", dir=None if args.fsync else memory_folder()))
    cluster = EtcdCluster(folder, args.members, args.etcd, args.tls, args.auth, args.quota_bytes, args.fsync)
    try:
        begin = time.monotonic()
        cluster.start()
        print(f"etcd_cluster: {args.members} of {' '.join(cluster.etcd)} ready after {time.monotonic() - begin:.1f} s", file=sys.stderr)
        return subprocess.run(command, env=cluster.environment()).returncode
    except Failed as error:
        print(f"etcd_cluster: {error}", file=sys.stderr)
        for member in cluster.members:
            print(f"--- {member.name}:\n{member.tail(1500)}", file=sys.stderr)
        return 1
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
