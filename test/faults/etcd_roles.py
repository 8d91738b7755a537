#!/usr/bin/env python3
"""Another program writes roles straight into etcd; each of three servers shows them to the very next request: etcd_roles.py BIN [--rounds N] [--etcd E]"""
import argparse
import collections
import concurrent.futures
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import uuid

from etcd_cluster import memory_folder
from process import Failed
from world import World


def role(name, value):
    """As it is stored."""
    now = "2024-01-01T00:00:00.000001+00:00"
    return json.dumps({"api": "core", "kind": "Role", "metadata": {
        "name": name, "namespace": None, "labels": {"v": value}, "inherit_labels": False, "finalizers": [], "uid": str(uuid.uuid4()), "created": now, "modified": now,
        "deleted": None, "owners": []}, "rules": []})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--etcd", default="3.4")
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="krake-etcd-roles-", dir=memory_folder()))
    world = World(args.bin, folder, controllers="none", etcd={"etcd": args.etcd})
    statuses, stale = collections.Counter(), []
    try:
        world.start()
        apis = [world.api(i, 10.0) for i in range(3)]
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for number in range(args.rounds):
                # Every other round changes the role of the one before: then an old answer is wrong too.
                name, value = f"direct-{number // 2}", f"v{number}"
                env = world.etcd.environment()
                env["ETCDCTL_ENDPOINTS"] = world.etcd.endpoints[number % 3]
                subprocess.run(["etcdctl", "put", f"/core/roles/{name}", role(name, value)], env=env, check=True, stdout=subprocess.DEVNULL)
                for server, (status, _, body) in enumerate(pool.map(lambda api: api.call("GET", f"/core/roles/{name}"), apis)):
                    statuses[status] += 1
                    if status == 200 and body["metadata"]["labels"] != {"v": value}:
                        stale.append((server, name, value, body["metadata"]["labels"]))
        seconds = time.monotonic() - begin
        good = not stale and statuses == {200: 3 * args.rounds}
        print(f"etcd_roles {'ok' if good else 'FAILED'} rounds={args.rounds} answers={sum(statuses.values())} status_200={statuses[200]} stale={len(stale)} seconds={seconds:.0f}")
        if not good:
            print(f"statuses: {dict(statuses)}; stale: {stale[:5]}", file=sys.stderr)
        return 0 if good else 1
    except Failed as error:
        print(f"etcd_roles FAILED: {error}", file=sys.stderr)
        for process in world.processes.values():
            print(f"--- {process.name}:\n{process.tail(1500)}", file=sys.stderr)
        return 1
    finally:
        world.close()


if __name__ == "__main__":
    sys.exit(main())
