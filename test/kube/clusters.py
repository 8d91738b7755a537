#!/usr/bin/env python3
"""Real Kubernetes control planes for tests and for the demo: one etcd, a kube-apiserver for each name under an etcd prefix
of its own; with --nodes also a controller manager, a scheduler and kwok (fake nodes whose Pods become Running).

  clusters.py up --state DIR [--nodes] NAME...   start, wait until ready, write DIR/NAME.kubeconfig
  clusters.py down --state DIR                   stop what was started"""
import argparse
import base64
import json
import os
import pathlib
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from ports import kept_port  # noqa: E402

TOKEN = "admin-token"
CONTROLLERS = "deployment-controller,replicaset-controller,endpoints-controller,endpointslice-controller,namespace-controller,garbage-collector-controller"
ADMISSION_OFF = ("ServiceAccount,TaintNodesByCondition,MutatingAdmissionWebhook,ValidatingAdmissionWebhook,MutatingAdmissionPolicy,"
                 "ValidatingAdmissionPolicy,ResourceQuota,PodSecurity")


def openssl(*args, stdin=None):
    subprocess.run(["openssl", *args], check=True, input=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)


def certificates(folder):
    """One CA, one server certificate, one service account key for all clusters."""
    f = lambda name: str(folder / name)
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f("ca.key"))
    openssl("req", "-x509", "-new", "-key", f("ca.key"), "-subj", "/CN=kube-test-ca", "-days", "3650", "-out", f("ca.crt"))
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f("server.key"))
    openssl("req", "-new", "-key", f("server.key"), "-subj", "/CN=kube-apiserver", "-out", f("server.csr"))
    (folder / "san").write_text("subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1\n")
    openssl("x509", "-req", "-in", f("server.csr"), "-CA", f("ca.crt"), "-CAkey", f("ca.key"), "-CAcreateserial", "-days", "3650", "-out", f("server.crt"),
            "-extfile", f("san"))
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f("sa.key"))
    openssl("ec", "-in", f("sa.key"), "-pubout", "-out", f("sa.pub"))
    (folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")


class Clusters:
    def __init__(self, state):
        self.folder = state / "kube"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = state
        self.kube = subprocess.run([str(HERE / "build.sh")], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.pids = []

    def start(self, name, *args):
        with open(self.folder / f"{name}.log", "w") as log:
            process = subprocess.Popen([self.kube, *args], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        self.pids.append(process.pid)
        (self.folder / "pids.json").write_text(json.dumps(self.pids))
        return process

    def wait(self, name, process, url):
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt")) if url.startswith("https") else None
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(request, context=context, timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                pass
            if process.poll() is not None:
                tail = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-5:]
                raise SystemExit(f"{name} ended:\n" + "\n".join(tail))
            time.sleep(0.05)
        raise SystemExit(f"{name} is not ready after 60 s")

    def up(self, names, nodes):
        certificates(self.folder)
        etcd_port, *ports = (kept_port() for _ in range(1 + len(names)))
        etcd = f"http://127.0.0.1:{etcd_port}"
        f = lambda name: str(self.folder / name)
        process = self.start("etcd", "etcd", "--unsafe-no-fsync", "--data-dir", f("etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
                             "--listen-peer-urls", "http://127.0.0.1:0", "--log-level", "warn", "--heartbeat-interval=10", "--election-timeout=100")
        self.wait("etcd", process, etcd + "/health")
        servers = []
        for name, port in zip(names, ports):
            servers.append(self.start(
                f"apiserver-{name}", "apiserver", f"--etcd-servers={etcd}", f"--etcd-prefix=/{name}", "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1", f"--secure-port={port}", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
                "--tls-cert-file=" + f("server.crt"), "--tls-private-key-file=" + f("server.key"), "--token-auth-file=" + f("tokens.csv"),
                "--authorization-mode=AlwaysAllow", "--anonymous-auth=false", "--service-account-issuer=https://kubernetes.default.svc",
                "--service-account-key-file=" + f("sa.pub"), "--service-account-signing-key-file=" + f("sa.key"),
                f"--disable-admission-plugins={ADMISSION_OFF}", "--enable-priority-and-fairness=false", "--profiling=false", "--event-ttl=10m",
                "--etcd-compaction-interval=0", "--cert-dir=" + str(self.folder), "--shutdown-delay-duration=0"))
        for name, port, process in zip(names, ports, servers):
            self.wait(f"apiserver-{name}", process, f"https://127.0.0.1:{port}/readyz")
            self.kubeconfig(name, port)
            if nodes:
                self.nodes(name)

    def kubeconfig(self, name, port):
        ca = base64.b64encode((self.folder / "ca.crt").read_bytes()).decode()
        path = self.state / f"{name}.kubeconfig"
        part = path.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": ca}}],
            "users": [{"name": f"{name}-admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-admin"}}]}, indent=2))
        part.rename(path)

    def nodes(self, name):
        config = str(self.state / f"{name}.kubeconfig")
        qps = ("--kube-api-qps=200", "--kube-api-burst=400")
        self.start(f"manager-{name}", "controller-manager", "--kubeconfig=" + config, "--secure-port=0", "--leader-elect=false", f"--controllers={CONTROLLERS}",
                   "--profiling=false", *qps)
        self.start(f"scheduler-{name}", "scheduler", "--kubeconfig=" + config, "--secure-port=0", "--leader-elect=false", "--profiling=false", *qps)
        stages = self.folder / "stages.yaml"
        stages.write_text(subprocess.run([self.kube, "kwok-stages"], check=True, stdout=subprocess.PIPE, text=True).stdout)
        self.start(f"kwok-{name}", "kwok", "--kubeconfig=" + config, "--config=" + str(stages), "--manage-all-nodes", "--node-lease-duration-seconds=0",
                   "--server-address=")
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-0", "labels": {"kubernetes.io/hostname": "node-0"}},
                "status": {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "1000"}, "capacity": {"cpu": "64", "memory": "256Gi", "pods": "1000"}}}
        subprocess.run([self.kube, "kubectl", "--kubeconfig=" + config, "apply", "-f", "-"], input=json.dumps(node), text=True, check=True, stdout=subprocess.DEVNULL)


def down(state):
    try:
        pids = json.loads((state / "kube" / "pids.json").read_text())
    except OSError:
        return
    for pid in pids:  # the store goes with the state, nothing has to be saved
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["up", "down"])
    parser.add_argument("--state", type=pathlib.Path, required=True)
    parser.add_argument("--nodes", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_intermixed_args()
    if args.command == "down":
        down(args.state)
        return 0
    try:
        Clusters(args.state).up(args.names, args.nodes)
    except BaseException:
        down(args.state)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
