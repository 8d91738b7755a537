"""Real processes for tests: starts programs of one build tree on free ports in a folder of its own, waits on conditions."""
import json
import os
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "test"))
import secret_scan  # noqa: E402
from ports import kept_port  # noqa: E402,F401  the scripts take it from here


class Processes:
    def __init__(self, binaries):
        self.bin = pathlib.Path(binaries)
        self.folder = tempfile.TemporaryDirectory(prefix="krake-e2e-")
        self.state = pathlib.Path(self.folder.name)
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if exception[0]:
            for name, _ in self.running:
                print(f"--- {name}:\n" + (self.state / f"{name}.log").read_text(errors="replace")[-3000:])
        for _, process in reversed(self.running):
            process.terminate()
        for _, process in self.running:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        # Whatever a test is about: nothing secret that it used may be in what the programs wrote.
        leaks = secret_scan.scan_folder(self.state)
        self.folder.cleanup()
        if leaks and not exception[0]:
            raise AssertionError("secrets come out:\n" + "\n".join(leaks))

    def start(self, name, *command):
        with open(self.state / f"{name}.log", "w") as log:
            process = subprocess.Popen([str(c) for c in command], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.running.append((name, process))
        return process

    def wait(self, what, check, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seen = check()
            if seen:
                return seen
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} s: {what}")

    def kubesim(self, *names):
        self.start("kubesim", self.bin / "kubesim", "--state", self.state, *names)
        self.wait("kubesim's kubeconfigs", lambda: all((self.state / f"{n}.kubeconfig").exists() for n in names))

    def krake_all(self, *options):
        process = self.start("krake", self.bin / "krake", "all", "--dev", "--state", self.state, "--port", "0", *options)
        self.wait("krakectl.yaml", lambda: (self.state / "krakectl.yaml").exists())
        return process

    def ctl(self, *args, check=True):
        env = dict(os.environ, KRAKECTL_CONFIG=str(self.state / "krakectl.yaml"))
        result = subprocess.run([self.bin / "krakectl", *map(str, args)], env=env, capture_output=True, text=True, timeout=120)
        assert not check or result.returncode == 0, f"krakectl {args}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result

    def get(self, *args):
        result = self.ctl(*args, "-o", "json", check=False)
        return json.loads(result.stdout) if result.returncode == 0 else None


def kube_client(kubeconfig):
    """call(method, path): asks the simulated cluster of that kubeconfig file itself; the JSON of the answer, None for 404."""
    text = kubeconfig.read_text()
    server = re.search(r"server\"?: *\"?(https://[^\s\",}]+)", text).group(1)
    bearer = re.search(r"token\"?: *\"?([^\s\",}]+)", text).group(1)
    unverified = ssl._create_unverified_context()  # the test's own cluster on loopback

    def call(method, path="/apis/apps/v1/namespaces/default/deployments/echo-demo"):
        request = urllib.request.Request(server + path, method=method, headers={"Authorization": f"Bearer {bearer}"})
        try:
            with urllib.request.urlopen(request, context=unverified, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            assert error.code == 404, error
            return None

    return call
