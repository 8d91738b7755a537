"""A second process on one database gets a clear error. An API server whose etcd is not there starts, and says so when asked."""
import re
import subprocess
import sys
import urllib.error
import urllib.request

from harness import Processes

CONFIG = "host: 127.0.0.1\nport: 0\nauthentication: {{allow_anonymous: true}}\nauthorization: always-allow\nlog: {{}}\n{store}"

with Processes(sys.argv[1]) as p:
    config = p.state / "api.yaml"
    config.write_text(CONFIG.format(store=f"store: {{type: sqlite, path: {p.state}/krake.db}}\n"))
    p.start("first", p.bin / "krake", "api", "-c", config)
    p.wait("the first to run", lambda: "Running on" in (p.state / "first.log").read_text())
    second = subprocess.run([p.bin / "krake", "api", "-c", config], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and "krake.db" in second.stderr, second
    config.write_text(CONFIG.format(store="etcd: {host: 127.0.0.1, port: 1}\n"))
    p.start("lonely", p.bin / "krake", "api", "-c", config)
    url = p.wait("the second to run", lambda: re.search(r"Running on (\S+)", (p.state / "lonely.log").read_text())).group(1)
    assert urllib.request.urlopen(url + "/").status == 200
    try:
        urllib.request.urlopen(url + "/core/roles")
        raise AssertionError("a list without a store")
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        assert error.code == 500 and "127.0.0.1:1" in text, (error.code, text)
    config.write_text(CONFIG.format(store="").replace("always-allow", "whatever") + "store: {type: memory}\n")
    mode = subprocess.run([p.bin / "krake", "api", "-c", config], capture_output=True, text=True, timeout=60)
    assert mode.returncode == 1 and "Unknown authorization strategy 'whatever'" in mode.stderr, mode
print("1 passed, 0 failed")
