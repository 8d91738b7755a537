"""A second process on one database gets a clear error; an API server without a store refuses to start."""
import subprocess
import sys

from harness import Processes

CONFIG = "host: 127.0.0.1\nport: 0\nauthentication: {{allow_anonymous: true}}\nauthorization: always-allow\nlog: {{}}\n{store}"

with Processes(sys.argv[1]) as p:
    config = p.state / "api.yaml"
    config.write_text(CONFIG.format(store=f"store: {{type: sqlite, path: {p.state}/krake.db}}\n"))
    p.start("first", p.bin / "krake", "api", "-c", config)
    p.wait("the first to run", lambda: "Running on" in (p.state / "first.log").read_text())
    second = subprocess.run([p.bin / "krake", "api", "-c", config], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and "krake.db" in second.stderr, second
    config.write_text(CONFIG.format(store=""))
    none = subprocess.run([p.bin / "krake", "api", "-c", config], capture_output=True, text=True, timeout=60)
    assert none.returncode == 1 and "store" in none.stderr, none
    config.write_text(CONFIG.format(store="").replace("always-allow", "whatever") + "store: {type: memory}\n")
    mode = subprocess.run([p.bin / "krake", "api", "-c", config], capture_output=True, text=True, timeout=60)
    assert mode.returncode == 1 and "Unknown authorization strategy 'whatever'" in mode.stderr, mode
print("1 passed, 0 failed")
