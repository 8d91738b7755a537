#!/usr/bin/env python3
"""Requests made from the server's own OpenAPI document: whatever they are, no 5xx, no status and no body the document does not know, no secret.

    http_fuzz.py FOLDER-OF-PROGRAMS [--seconds N] [--seed N]

Two rounds, half of the time each: everything is allowed; RBAC, with a user who may only read. The seed is fixed unless another is given."""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))
from support import Processes, Server  # noqa: E402
import secret_scan  # noqa: E402

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
READER = {"metadata": {"name": "reader"}, "rules": [{"api": "all", "resources": ["all"], "namespaces": ["all"], "verbs": ["get", "list"]}]}
READERS = {"metadata": {"name": "readers"}, "users": ["reader"], "roles": ["reader"]}


def without_waits(document):
    """Without the parameters that make an answer last: a stream has no end, and a wait for a state is a wait."""
    endless = {"watch", "blocking"}
    named = document.get("components", {}).get("parameters", {})
    references = {f"#/components/parameters/{key}" for key, value in named.items() if value.get("name") in endless}
    for item in document["paths"].values():
        for holder in (item, *(value for value in item.values() if isinstance(value, dict))):
            if "parameters" in holder:
                holder["parameters"] = [one for one in holder["parameters"] if one.get("name") not in endless and one.get("$ref") not in references]
    return document


def fuzz(tool, server, name, seconds, seed, token):
    """The number of cases; fails with what schemathesis says."""
    url = f"http://127.0.0.1:{server.port}"
    request = urllib.request.Request(f"{url}/openapi.json", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        document = without_waits(json.load(answer))
    file = server.path.with_name(f"openapi-{server.path.stem}.json")
    file.write_text(json.dumps(document))
    command = [tool, "run", file, "--url", url, "--checks", CHECKS, "--seed", str(seed), "--max-time", str(seconds), "--request-timeout", "20",
               "--header", f"Authorization: Bearer {token}",
               "--exclude-path-regex", "^/backup", "--no-color"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120, cwd=server.path.parent)  # it leaves a cache where it runs
    found = re.search(r"(\d+) generated", result.stdout)
    cases = int(found[1]) if found else 0
    print(f"{name}: {cases} cases in {seconds} s, seed {seed}", flush=True)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-1000:]
    assert cases > 0, f"nothing was asked: {result.stdout[-2000:]}"
    assert server.alive(), "the server has ended"
    with urllib.request.urlopen(urllib.request.Request(f"{url}/me", headers={"Authorization": f"Bearer {token}"}), timeout=20) as answer:
        assert answer.status == 200
    return cases


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("binaries")
    arguments.add_argument("--seconds", type=int, default=60)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    python = subprocess.run([HERE.parents[1] / "tools/python-env", HERE / "requirements.txt", pathlib.Path.home() / ".cache/krake-fuzz"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    tool = str(pathlib.Path(python).parent / "schemathesis")
    token = secret_scan.plant("token of the fuzzer")
    with Processes(options.binaries) as processes:
        (processes.state / "tokens").write_text(f"{token} reader\n")
        log = {"level": "DEBUG"}
        allowed = {"authentication": {"strategy": {"static": {"enabled": True, "name": "reader"}}}, "authorization": "always-allow"}
        reading = {"authentication": {"strategy": {"token": {"file": f"{processes.state}/tokens"}}}, "authorization": "RBAC",
                   "default_roles": [READER], "default_role_bindings": [READERS]}
        half = max(options.seconds // 2, 5)
        cases = fuzz(tool, Server(processes, "allowed", log=log, **allowed), "everything is allowed", half, options.seed, token)
        cases += fuzz(tool, Server(processes, "reading", log=log, **reading), "who may only read", half, options.seed, token)
    print(f"{cases} cases, 0 failures")


if __name__ == "__main__":
    main()
