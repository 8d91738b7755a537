"""What clients in other languages rely on (decoding, watch framing, content types, statuses), for every kind: in Python here, in client.mjs with Node.
Neither uses a package, nor anything of ours.

    client.py FOLDER-OF-PROGRAMS
"""
import http.client
import json
import pathlib
import shutil
import socket
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))
from kinds import KINDS  # noqa: E402
from support import JSON, NDJSON, PROBLEM, Processes, Rows, Server  # noqa: E402


class Client:
    """One connection for everything: a server that closes it, or loses count of its bytes, is found out at the next request."""

    def __init__(self, port):
        self.port, self.connection = port, http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.connection.connect()
        self.socket = self.connection.sock

    def call(self, method, path, body=None, chunked=False):
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if chunked:
            pieces = (data[i:i + 7] for i in range(0, len(data), 7))
            self.connection.request(method, path, pieces, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        else:
            self.connection.request(method, path, data)
        answer = self.connection.getresponse()
        text = answer.read()
        assert self.connection.sock is self.socket, "the connection was not kept"
        return answer.status, answer.getheader("Content-Type"), json.loads(text) if text else None


def read_chunks(port, path, count):
    """The first `count` lines of a stream, read from the socket itself: no reader in between that might hide how they come."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: krake\r\n\r\n".encode())
        reader = peer.makefile("rb")
        head = {}
        while (line := reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            head[name.lower()] = value.strip()
        body = b""
        while body.count(b"\n") < count:
            size = int(reader.readline().split(b";")[0], 16)
            assert size, "the stream has ended"
            body += reader.read(size)
            assert reader.read(2) == b"\r\n"
        return head, body


def life(rows, client, kind):
    name, path, collection = "interop", kind.path("interop"), kind.collection()
    row = lambda what, wanted, came: rows.equal(f"{kind.kind}: {what}", wanted, came)  # noqa: E731
    watch = http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)
    watch.request("GET", f"{collection}?watch=&heartbeat=0")  # the empty value upstream's client sends
    stream = watch.getresponse()
    row("watch", [200, NDJSON, "chunked"], [stream.status, stream.getheader("Content-Type"), stream.getheader("Transfer-Encoding")])

    def event(wanted, uid):
        line = stream.readline()
        came = json.loads(line)
        row(f"event {wanted}", [wanted, uid, b"\n", False], [came["type"], came["object"]["metadata"]["uid"], line[-1:], b"\r" in line])

    # The whole object, as upstream's client sends it: with what it does not know yet as null.
    whole = kind.request(name)
    whole["metadata"].update(uid=None, created=None, modified=None, deleted=None)
    if kind.status:
        whole["status"] = None
    status, content_type, made = client.call("POST", collection, whole, chunked=True)
    row("create", [200, JSON, kind.api, kind.kind], [status, content_type, made.get("api"), made.get("kind")])
    uid = made["metadata"]["uid"]
    event("ADDED", uid)
    row("every field is there", sorted(kind.document(name)), sorted(made))
    row("read", [200, JSON, made], list(client.call("GET", path)))
    row("create again", [409, PROBLEM, "RESOURCE_ALREADY_EXISTS"], [(taken := client.call("POST", collection, kind.request(name)))[0], taken[1], taken[2].get("title")])
    status, content_type, listed = client.call("GET", collection)
    row("list", [200, JSON, kind.api, f"{kind.kind}List", [uid]], [status, content_type, listed["api"], listed["kind"], [item["metadata"]["uid"] for item in listed["items"]]])
    same = client.call("PUT", path, made)
    row("update without a change", [200] if kind.same_is_ok else [400, PROBLEM, "UPDATE_ERROR", "The body contained no update."],
        [same[0]] if kind.same_is_ok else [same[0], same[1], same[2].get("title"), same[2].get("detail")])
    # Read, change, write back, with keys that nobody knows.
    status, _, changed = client.call("PUT", path, {**made, "metadata": {**made["metadata"], "labels": {"colour": "red"}, "of_a_client": 1}})
    row("update", [200, {"colour": "red"}, uid], [status, changed["metadata"]["labels"], changed["metadata"]["uid"]])
    event("MODIFIED", uid)
    status, _, deleted = client.call("DELETE", path)
    row("delete", [200, ["cascade_deletion"], True], [status, deleted["metadata"]["finalizers"], deleted["metadata"]["deleted"] is not None])
    event("MODIFIED", uid)
    row("the last finalizer goes", 200, client.call("PUT", path, {**deleted, "metadata": {**deleted["metadata"], "finalizers": []}})[0])
    event("DELETED", uid)
    stream.close()
    watch.close()
    for method in ("GET", "DELETE"):
        status, content_type, problem = client.call(method, path)
        row(f"{method} of what is gone", [404, PROBLEM, "NOT_FOUND_ERROR", 404, kind.missing(name)],
            [status, content_type, problem.get("title"), problem.get("status"), problem.get("detail")])
    row("no body", [415, PROBLEM], list(client.call("PUT", path)[:2]))
    row("an empty object", [422, PROBLEM], list(client.call("PUT", path, {})[:2]))


def heartbeats(rows, port):
    """Bare line feeds, the first one after one interval, and nothing else while nothing happens."""
    head, body = read_chunks(port, "/core/roles?watch&heartbeat=1", 2)
    rows.equal("heartbeats", [b"\n\n", "chunked", NDJSON, False],
               [body, head.get("transfer-encoding"), head.get("content-type"), "content-length" in head])


def run(binaries):
    rows = Rows()
    with Processes(binaries) as processes:
        server = Server(processes)
        client = Client(server.port)
        here = [kind for kind in KINDS if client.call("GET", kind.all())[0] != 404]
        rows.equal("the server has all kinds", [kind.kind for kind in KINDS], [kind.kind for kind in here])
        for kind in here:
            life(rows, client, kind)
        heartbeats(rows, server.port)
        if shutil.which("node"):
            described = [{"kind": kind.kind, "api": kind.api, "collection": kind.collection(), "body": kind.request("interop"), "sameIsOk": kind.same_is_ok} for kind in here]
            (processes.state / "kinds.json").write_text(json.dumps(described))
            node = subprocess.run(["node", HERE / "client.mjs", str(server.port), processes.state / "kinds.json"], capture_output=True, text=True, timeout=300)
            rows.row("client.mjs", 0, node.stdout + node.stderr, node.returncode == 0)
            print(node.stdout.strip())
        else:
            print("client.mjs was not run: there is no node")
    return rows.finish()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
