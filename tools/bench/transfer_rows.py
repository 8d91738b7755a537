"""Rows of large answers, held against the most any server can do: the same bytes from memory into the same sockets, for the same client."""
import json
import subprocess

from bench.api_rows import MEMORY
from bench.harness import LOAD_CPU, SECONDS, SERVER_CPU, Api, Broken, Server, application, cpu_seconds, pinned, running

CLIENTS = 8  # each with an answer under way all the time: enough to keep the server busy
APPLICATIONS = 10_000
APPS = "/kubernetes/namespaces/bench/applications"
DOCUMENT = "/openapi.json"


def fetch(bench, port, pid, path, size):
    """Answers per second, and the CPU ms the server took for each."""
    command = [bench.program("krake_bench_transfer"), "fetch", "--port", port, "--path", path, "--bytes", size, "--connections", CLIENTS, "--seconds", SECONDS]
    before = cpu_seconds(pid)
    result = subprocess.run(pinned(LOAD_CPU, *command), capture_output=True, text=True)
    if result.returncode != 0:
        raise Broken(result.stderr.strip())
    seen = json.loads(result.stdout)
    return seen["answers"] / seen["seconds"], (cpu_seconds(pid) - before) / seen["answers"] * 1e3


def from_memory(bench, body):
    """The same, of the least a server can do with these bytes."""
    path = bench.new_path("body.json")
    path.write_bytes(body)
    command = pinned(SERVER_CPU, bench.program("krake_bench_transfer"), "serve", "--body", path)
    with running(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        if not line:
            raise Broken("krake_bench_transfer serve ended before it listened")
        return fetch(bench, int(line), process.pid, "/", len(body))


def compare(bench, name, ours, body, bar):
    """The lower of what the rates and the CPU say: where the client is the limit, the rates are alike whatever the server does."""
    (rate, cpu_ms), (bare, bare_ms) = ours, from_memory(bench, body)
    if bare_ms == 0 or cpu_ms == 0:
        raise Broken(f"{name}: {rate:,.0f}/s took no CPU that could be seen: measure for longer")
    mb, ratio = len(body) / 1e6, min(rate / bare, bare_ms / cpu_ms)
    bench.table.add(f"{name} ({mb:,.1f} MB), {CLIENTS} connections", f"{rate:,.0f}/s, {rate * mb:,.0f} MB/s, {cpu_ms:.2f} ms CPU",
                    f"memory to socket {bare:,.0f}/s, {bare * mb:,.0f} MB/s, {bare_ms:.2f} ms", ratio, f">= {bar}", ratio >= bar)


def lists(bench):
    with Server(bench, MEMORY) as server:
        api = Api("127.0.0.1", server.port)
        for number in range(APPLICATIONS):
            api.call("POST", APPS, application(f"a{number}"))
        body = api.bytes("GET", APPS)
        if len(json.loads(body)["items"]) != APPLICATIONS:
            raise Broken(f"the list does not have the {APPLICATIONS:,} applications created")
        ours = fetch(bench, server.port, server.pid, APPS, len(body))
    compare(bench, f"list of {APPLICATIONS:,} applications", ours, body, 0.3)


def document(bench):
    with Server(bench, MEMORY) as server:
        body = Api("127.0.0.1", server.port).bytes("GET", DOCUMENT)
        ours = fetch(bench, server.port, server.pid, DOCUMENT, len(body))
    compare(bench, f"GET {DOCUMENT}", ours, body, 0.5)


def rows(bench):
    lists(bench)
    document(bench)
