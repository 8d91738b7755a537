"""What anybody with curl sees first: statuses, content types and the order in which a request is judged.

    curl_facts.py FOLDER-OF-PROGRAMS
"""
import json
import subprocess
import sys

from support import JSON, PROBLEM, Processes, Rows, Server, problem

ROLE = {"metadata": {"name": "reader"}, "rules": []}
TAKEN = "Role 'reader' already exists"
MISSING = "'Role' 'nobody' does not exist in namespace None"


def curl(url, *options, body=None):
    """(status, content type, document), as curl itself tells them."""
    told = "\n%{http_code} %{content_type}"
    data = [] if body is None else ["--data-binary", body]
    result = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "30", "--write-out", told, *options, *data, url],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    text, _, last = result.stdout.rpartition("\n")
    status, _, content_type = last.partition(" ")
    return int(status), content_type, json.loads(text) if text else None


def run(binaries):
    rows = Rows()
    with Processes(binaries) as processes:
        roles = f"http://127.0.0.1:{Server(processes).port}/core/roles"
        role = json.dumps(ROLE)

        def refused(label, came, status, detail=None, title=None):
            rows.equal(f"{label}: status and content type", [status, PROBLEM], list(came[:2]))
            if detail:
                rows.equal(f"{label}: problem", problem(status, detail, title), came[2])

        status, content_type, created = curl(roles, body=role)
        rows.equal("POST a role", [200, JSON], [status, content_type])
        rows.equal("POST a role: its document", ["core", "Role", "reader"], [created["api"], created["kind"], created["metadata"]["name"]])
        refused("POST it again", curl(roles, body=role), 409, TAKEN, "RESOURCE_ALREADY_EXISTS")
        # The body is judged before the object is looked for.
        refused("PUT a missing role, no body", curl(f"{roles}/nobody", "--request", "PUT"), 415, "415: Unsupported Media Type")
        refused("PUT a missing role, {}", curl(f"{roles}/nobody", "--request", "PUT", body="{}"), 422)
        refused("GET a missing role", curl(f"{roles}/nobody"), 404, MISSING, "NOT_FOUND_ERROR")
        refused("DELETE a missing role", curl(f"{roles}/nobody", "--request", "DELETE"), 404, MISSING, "NOT_FOUND_ERROR")
        rows.equal("GET the role", [200, JSON, created], list(curl(f"{roles}/reader")))
        whole = json.dumps({**created, "metadata": {**created["metadata"], "name": "nobody"}})
        refused("PUT a missing role, a good body", curl(f"{roles}/nobody", "--request", "PUT", body=whole), 404, MISSING, "NOT_FOUND_ERROR")
        # Only the bytes of a body matter; curl calls them a form.
        for name in ("text/plain", "application/x-www-form-urlencoded"):
            body = json.dumps({**ROLE, "metadata": {"name": name.replace("/", "-")}})
            rows.equal(f"POST a role as {name}", [200, JSON], list(curl(roles, "--header", f"Content-Type: {name}", body=body)[:2]))
        # A method that a path does not know, and a path that nothing knows.
        refused("POST one role", curl(f"{roles}/reader", body=role), 405, "405: Method Not Allowed")
        refused("GET a path that ends in a slash", curl(f"{roles}/"), 404, "404: Not Found")
        # Nobody reads: HEAD has the status and the type of GET.
        rows.equal("HEAD a role", [200, JSON, None], list(curl(f"{roles}/reader", "--head", "--output", "/dev/null")))
        rows.equal("GET /release", 202, curl(roles.replace("/core/roles", "/release"))[0])
    return rows.finish()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
