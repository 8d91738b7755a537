#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets into corpus/TARGET/*.seed, from what the API tests send and from samples below.

    make_corpus.py [--check]      (--check: writes nothing; exit 1 when a file is missing or is another)

What fuzzing has found stands beside them, in files named after what was wrong; this script leaves those alone."""
import base64
import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))
from kinds import BY_NAME, KINDS, KUBECONFIG, MANIFEST, TOSCA, metadata  # noqa: E402

TIMES = {"uid": "6f1d7c9e-0000-4000-8000-000000000001", "created": "2026-03-01T09:30:00.123456+02:00", "modified": "2026-03-01T09:30:00"}


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def lines(*values):
    return "\n".join(value if isinstance(value, str) else compact(value) for value in values)


def http(method, target, body=None, version="HTTP/1.1", **headers):
    text = f"{method} {target} {version}\r\nHost: krake\r\n"
    if body is not None:
        body = body if isinstance(body, str) else compact(body)
        headers.setdefault("Content-Length", len(body.encode()))
    for name, value in headers.items():
        text += f"{name.replace('_', '-')}: {value}\r\n"
    return text + "\r\n" + (body or "")


def document(kind, name, rich=False):
    """What the server may have stored of it."""
    whole = kind.document(name, rich=rich)
    whole["metadata"] = {**metadata(name, "demo" if kind.namespaced else None), **TIMES, "labels": {"a/b": "c"}, "of_a_newer_version": [1]}
    del whole["metadata"]["resource_version"]
    if rich and kind.status_rich:
        whole["status"] = kind.status_rich
    return whole


def codec():
    for kind in KINDS:
        for name, rich in (("smallest", False), ("rich", True)):
            yield f"{kind.plural}-{name}", lines(f"{kind.api}/{kind.plural}", kind.request("web", rich))
            yield f"{kind.plural}-{name}-stored", lines(f"{kind.api}/{kind.plural}", document(kind, "web", rich))
        for number, (body, _) in enumerate(kind.invalid):
            yield f"{kind.plural}-refused-{number}", lines(f"{kind.api}/{kind.plural}", {"metadata": {"name": "x"}, **body})


DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"a": "b"}}, "spec": {
    "replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [
        {"name": "c", "image": "i", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}}]}}}}
LIVE = json.loads(json.dumps(DEPLOYMENT).replace('"500m"', '0.5').replace('"i"', '"other"'))
LIVE["metadata"].update(uid="u", managedFields=[{"manager": "other", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
                                                 "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
                                                     'k:{"name":"c"}': {".": {}, "f:image": {}, "f:name": {}}}}}}}}])
ENTRY = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": None, "template": {"spec": {"containers": [
    {"image": None}, {"observer_schema_list_min_length": 1, "observer_schema_list_max_length": 0}]}}}}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}

ROLE = {"metadata": {"name": "r"}, "rules": [{"api": "all", "resources": ["all"], "namespaces": ["all"], "verbs": ["get", "list"]}]}
STORED_ROLE = {"api": "core", "kind": "Role", "metadata": {**metadata("r", None), **TIMES, "resource_version": "7"}, "rules": ROLE["rules"]}


APPLICATION, CLUSTER = BY_NAME["Application"], BY_NAME["Cluster"]


def event(kind, revision, **more):
    role = json.loads(json.dumps(STORED_ROLE))
    role["metadata"]["resource_version"] = str(revision)
    return compact({"type": kind, "object": role, "revision": str(revision), **more})


def backup_file():
    head = ['{"format":"krake-backup","version":1,"store_id":"s1","time":"2026-01-02T03:04:05Z"}',
            compact({"key": "/core/roles/r", "value": compact(STORED_ROLE)}), '{"key":"/core/roles/x","value":"y"}', '{"key":"/core/roles/x","removed":true}',
            '{"key_base64":"L/8=","value_base64":"/w=="}', '{"end":true,"revision":123,"records":4}']
    text = "".join(line + "\n" for line in head)
    return text + compact({"sha256": hashlib.sha256(text.encode()).hexdigest()}) + "\n"


API_YAML = """host: 127.0.0.1
port: 18080
etcd: {host: 127.0.0.1, port: 2379, retry-transactions: 1, endpoints: ["https://a:2379"], tls: {ca: ca.pem}, user: u, password: p}
store: {type: memory}
tls: {enabled: true, cert: a.pem, key: b.pem, client_ca: c.pem}
authentication: {allow_anonymous: true, cors_origin: "*", strategy: {static: {enabled: false, name: system}, keystone: {enabled: false}}}
authorization: RBAC
default_roles: [{metadata: {name: r}, rules: []}]
log: {version: 1, level: INFO, handlers: {}}
limits: {requests: 100, body_bytes: 16777216}
admin: {port: 0}
"""
CONTROLLER_YAML = """api_endpoint: http://localhost:8080
worker_count: 5
debounce: 1.5
token: t
leader_election: {enabled: no, ttl_seconds: 0x10}
tls: {enabled: false, client_ca: a, client_cert: b, client_key: c}
"""
BOOTSTRAP_YAML = """# who may read
api: core
kind: Role
metadata: {name: r, labels: {a/b: c}}
rules:
- {api: all, resources: [""], namespaces: [demo], verbs: [get, list]}
---
api: core
kind: GlobalMetric
metadata: {name: m, uid: u, finalizers: [f]}
spec: {min: 0, max: 1e1, provider: {name: p, metric: m}}
---
api: core
kind: GlobalMetricsProvider
metadata: {name: p}
spec: {type: static, static: {metrics: {m: .5}}}
"""
YAML = """%YAML 1.1
---
anchors: &a {x: 1, y: [~, yes, 0o17, 0644, 1:30, .inf, 1e3, "a\\u00e4\\n", 'it''s']}
merged: {<<: *a, z: 2}
text: |
  block
   text
folded: >-
  folded
  text
? complex
: value
2026-03-01: !!str 5
...
--- second
"""


def samples():
    yield "json", [("numbers", "[0,-0,1.5,1e5,-1E-7,123456789012345678901234567890,1e400]"), ("text", '"a\\u00e4\\ud83d\\udc19\\n\\"\\u0000 \u00e4"'),
                   ("repeated", '{"a":1,"b":{"a":[]},"a":null}'), ("deep", "[" * 20 + "]" * 20), ("words", "[true,false,null]"), ("blank", " { } "),
                   ("broken", '{"a":'), ("nan", "[NaN]"), ("bom", "\ufeff{}"), ("deepest", "[" * 1024 + "]" * 1024), ("too-deep", "[" * 1025 + "]" * 1025),
                   ("long-number", "1" * 4300), ("too-long-number", "1" * 4301), ("special", "[NaN,Infinity,-Infinity,1e99999999999]"),
                   ("halves", '{"\\ud83d":"a\\udc19\\ud83d\\n\\ud83d\\udc19"}'), ("special-key", "{NaN:1}")]
    yield "codec", codec()
    yield "merge_patch", [("object", lines({"a": {"b": 1, "c": [1]}}, {"a": {"b": None, "d": {"e": None}}})), ("replace", lines([1], {"a": 1})),
                          ("text", lines({"a": 1}, '"x"')), ("application", lines(document(APPLICATION, "web"), {"spec": {"backoff": 9, "hooks": None}}))]
    yield "json_patch", [("all", lines({"a": [1, 2], "b/c": {"d~e": 1}}, [
        {"op": "add", "path": "/a/-", "value": 3}, {"op": "remove", "path": "/a/0"}, {"op": "replace", "path": "/b~1c/d~0e", "value": {}},
        {"op": "move", "from": "/a/0", "path": "/x"}, {"op": "copy", "from": "/x", "path": "/y"}, {"op": "test", "path": "/y", "value": 2}])),
        ("root", lines({}, [{"op": "replace", "path": "", "value": 1}])), ("index", lines([1], [{"op": "add", "path": "/00", "value": 1}])),
        ("below-itself", lines({"a": {"b": 1}}, [{"op": "move", "from": "/a", "path": "/a/b/c"}]))]
    yield "manifests", [("deployment", lines(DEPLOYMENT, LIVE, ENTRY)), ("secret", lines(SECRET, {**SECRET, "data": {"a": "Yg=="}}, "")),
                        ("created", lines(DEPLOYMENT, "null", ENTRY))]
    yield "validators", [("manifest", lines(MANIFEST, [{**MANIFEST[0], "data": {"a": None}}])), ("tosca", lines(TOSCA)),
                         ("csar", "https://templates.example/app.zip"), ("kubeconfig", lines(KUBECONFIG)), ("url", '"https://templates.example/app.yaml"'),
                         ("deployment", lines([DEPLOYMENT], [ENTRY])), ("imports", lines({**TOSCA, "imports": [{"x": "file:///etc/passwd"}, "http://[::1]/y"]}))]
    users = {"name": "u", "user": {"client-certificate": "c.pem", "client-key": "missing", "tokenFile": "t", "username": "n", "password": "p"}}
    yield "kubeconfig", [("json", compact(KUBECONFIG)), ("files", compact({**KUBECONFIG, "users": [users]})),
                         ("yaml", "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u, namespace: n}}]\n"
                                  "clusters: [{name: c, cluster: {server: 'https://[::1]:6443/p', certificate-authority-data: Yg==}}]\nusers: [{name: u, user: {token: t}}]\n"),
                         ("names-nothing", compact({"current-context": "a", "contexts": [{"name": "a"}], "clusters": [1], "users": [1]})),
                         ("exec", compact({**KUBECONFIG, "users": [{"name": "u", "user": {"exec": {"command": "x"}, "auth-provider": {}}}]}))]
    yield "yaml", [("most", YAML), ("api", API_YAML), ("aliases", "a: &a [1, 2]\nb: &b [*a, *a]\nc: [*b, *b]\n"), ("self", "a: &a [*a]\n"),
                   ("repeated", "{a: 1, a: 2}"), ("tabs", "a:\n\t- b"), ("tag", "!!binary aGVsbG8="), ("nothing-begins-so", "{a: 1} }\n"), ("closed-twice", "a: [b]]"), ("merge", "<<: [{a: 1}, {b: 2}]\na: 3")]
    yield "config", [("api", API_YAML), ("controller", CONTROLLER_YAML),
                     ("flags", API_YAML + "\n---flags\n--port\n1\n--no-tls-enabled\n--etcd-host=x\n--limits-requests\n1e3\n--worker-count=-1")]
    binding = "api: core\nkind: RoleBinding\nmetadata: {name: b}\nusers: [alice]\nroles: [r, none]\n"
    yield "bootstrap", [("roles", BOOTSTRAP_YAML), ("two-files", BOOTSTRAP_YAML + "\n---file\n" + binding), ("twice", binding + "---\n" + binding),
                        ("wrong", "api: core\nkind: Role\nmetadata: {name: 'a b'}\nrules: [{verbs: [fly]}]\n---\nkind: Role\n---\n- a\n"), ("empty", "---\n---\n"),
                        ("stored", compact(document(APPLICATION, "web", True))),
                        ("cluster", compact(document(CLUSTER, "c", True)))]
    yield "constraints", [("equal", "location is DE"), ("not", "a/b is not c"), ("in", "x in (a, b,)"), ("not-in", "not x in (a)"), ("sign", "x != a"),
                          ("metric", "load >= 5"), ("word", "heat less than or equal 1e3"), ("short", "lat lt .5"), ("bad-key", "-x is y"), ("not-in-2", "x not in (a,b)")]
    yield "selectors", [("equal", "app=web,tier!=b"), ("set", "app in (web, x),!gone,tier notin (b)"), ("fields", "metadata.name=web,metadata.namespace!=x"),
                        ("object", compact({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a"]}]}))]
    yield "datetime", [("full", "2026-03-01T09:30:00.123456+02:00"), ("plain", "2026-3-1 9:5"), ("zulu", "2024-02-29T00:00:59.1Z"), ("first", "0001-01-01T00:00-23:59"),
                       ("last", "9999-12-31T23:59:59.9999999+2359"), ("leap", "2025-02-29T00:00")]
    yield "quantity", [("milli", "1000m\n1"), ("binary", "1Gi\n1024Mi"), ("exponent", "1e3\n1000"), ("fraction", "0.5\n500m"), ("negative", "-1.5k\n-1500"),
                       ("nano", "1n\n1E-9"), ("small", "0.0000000001\n1n"), ("huge-exponent", "1e2147483647\n1E-2147483648")]
    yield "url", [("plain", "http://localhost:8080"), ("six", "https://[2001:db8::1]:6443/prefix/"), ("user", "https://user:password@host/?q#f"),
                  ("query", "a=1&b&c=%C3%A4+x&=&%zz=%"), ("base64", "aGVsbG8 =\n"), ("escapes", "%00%2F%2f%")]
    yield "route", [("list", "GET /core/roles?watch&heartbeat=0"), ("item", "PUT /kubernetes/namespaces/system%3Aadmin/applications/web/status"),
                    ("all", "GET /kubernetes/applications?labels=a%20is%20b&limit=5"), ("binding", "PUT /kubernetes/namespaces/a/clusters/c/binding"),
                    ("lease", "DELETE /core/leases/boss?holder=me"), ("slash", "GET /core/roles/a%2Fb"), ("method", "POST /me"), ("patch", "PATCH /core/globalmetrics/m"),
                    ("absolute", "GET http://host/core/roles"), ("root", "HEAD /")]
    chunked = "POST /core/roles HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\n2\r\nef\r\n0\r\nTrailer: x\r\n\r\n"
    yield "http_message", [("get", http("GET", "/core/roles")), ("post", http("POST", "/core/roles", ROLE)), ("chunked", chunked),
                           ("two", http("GET", "/") + http("GET", "/me", Connection="close")), ("old", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
                           ("answer", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
                           ("both-lengths", http("POST", "/", "abc", Transfer_Encoding="chunked")), ("folded", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"),
                           ("bare-line-feeds", "GET / HTTP/1.1\nHost: a\n\n"), ("expect", http("PUT", "/", "x", Expect="100-continue"))]
    one = "/core/roles/r"
    yield "http_server", [
        ("life", http("POST", "/core/roles", ROLE) + http("POST", "/core/roles", ROLE) + http("GET", one) + http("PATCH", one, {"rules": []}, If_Match='"2"')
         + http("DELETE", one) + http("PATCH", one, {"metadata": {"finalizers": []}}) + http("GET", one)),
        ("application", http("POST", "/kubernetes/namespaces/demo/applications", APPLICATION.request("web"))
         + http("PUT", "/kubernetes/namespaces/demo/applications/web/binding", {"cluster": {"api": "kubernetes", "kind": "Cluster", "namespace": "demo", "name": "c"}})
         + http("PATCH", "/kubernetes/namespaces/demo/applications/web/status", {"status": {"state": "RUNNING"}})
         + http("DELETE", "/kubernetes/namespaces/demo/applications/web?force=True&blocking=deleted")),
        ("cluster", http("POST", "/kubernetes/namespaces/demo/clusters", CLUSTER.request("c", True)) + http("HEAD", "/kubernetes/namespaces/demo/clusters/c")
         + http("PUT", "/kubernetes/namespaces/demo/clusters/c", document(CLUSTER, "c"))),
        ("lease", http("PUT", "/core/leases/boss", {"holder": "me", "ttl_seconds": 5}) + http("DELETE", "/core/globalmetrics/m", Krake_Leader="boss/s1-2")
         + http("DELETE", "/core/leases/boss?holder=me")),
        ("list", http("GET", "/core/roles?limit=1&labels=a+is+b&fields=metadata.name%3Dr") + http("GET", "/core/roles?limit=x&continue=y")),
        ("watch", http("GET", "/core/roles?watch&heartbeat=1&initial=true&bookmarks=true&since=1&store=s1")), ("misc", http("GET", "/") + http("HEAD", "/me") + http("GET", "/release")),
        ("options", http("OPTIONS", "/core/roles", Origin="http://a.example", Access_Control_Request_Method="POST") + http("DELETE", "/core/roles")),
        ("broken", "GET /core/roles\r\n\r\n"), ("chunked", chunked), ("cut-off", http("POST", "/core/roles", Content_Length=100) + "{"),
        ("not-json", http("POST", "/core/roles", "{]") + http("PUT", one, "") + http("PUT", one, "{}")),
        ("authorization", http("GET", "/me", Authorization="Bearer x") + http("GET", "/openapi.json") + http("GET", "/core/roles/%00")),
        ("expect", http("POST", "/core/roles", ROLE, Expect="100-continue")), ("backup", http("POST", "/backup")),
        ("blocking", http("POST", "/kubernetes/namespaces/demo/applications?blocking=running", APPLICATION.request("web")))]
    yield "audit", [("name", "alice\nweb"), ("nobody", "\nweb"), ("anonymous", "system:anonymous\n" + "n" * 255), ("longest", "u" * 1024 + "\n" + "n" * 255),
                    ("too-long", "alice\n" + "n" * 256), ("controls", "alice\n" + "\r\n\x00\x7f" * 80), ("quotes", 'a"b\\\n' + '"\\' * 40),
                    ("wide", "\u00e4\n" + "\U0001f419" * 70), ("line", 'x\n"}\n{"time":"","user":"forged"}')]
    yield "list_token", [("next", "{token}.1"), ("first", "{token}.0"), ("last", "{token}.3"), ("behind", "{token}.4"), ("zeros", "{token}.0002"),
                             ("huge", "{token}.18446744073709551616"), ("negative", "{token}.-1"), ("no-place", "{token}."), ("no-dot", "{token}"), ("two-places", "{token}.1.2"),
                             ("other", "AAAAAAAAAAAAAAAA.1"), ("before", "x{token}.1"), ("empty", ""), ("escapes", "{token}.1\x00&continue=%")]
    yield "watch", [("life", lines(event("ADDED", 6), "", event("MODIFIED", 8), event("DELETED", 9), "")),
                    ("bookmark", lines('{"type":"BOOKMARK","object":null,"revision":"7"}', event("ADDED", 9), '{"type":"BOOKMARK","object":null,"revision":"9"}', "")),
                    ("gap", lines(event("ADDED", 9, gap="12"), event("DELETED", 9, gap="12"), "")), ("unfinished", event("ADDED", 6)),
                    ("unknown", lines(compact({"type": "PAUSED", "object": {}}), "")), ("undecodable", lines(compact({"type": "ADDED", "object": {"metadata": {"name": 1}}}), ""))]
    yield "backup", [("whole", backup_file()), ("cut-off", backup_file()[:200]), ("empty", "")]
    yield "tokens", token_samples()
    yield "identity", identity_samples()


def jwt(header, claims, signature=b"x" * 64):
    return ".".join(base64.urlsafe_b64encode(part if isinstance(part, bytes) else compact(part).encode()).rstrip(b"=").decode() for part in (header, claims, signature))


def token_samples():
    claims = {"iss": "krake", "aud": "krake", "sub": "alice", "iat": 1780000000, "exp": 1780000600}
    keys = compact({"keys": [{"kty": "EC", "crv": "P-256", "kid": "e", "use": "sig", "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
                              "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"},
                             {"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "RS256"}, {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}, {"kty": "oct", "k": "c2VjcmV0"}]})
    pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n"
    return [("es256", jwt({"alg": "ES256", "kid": "e"}, claims) + "\n" + keys), ("eddsa", jwt({"alg": "EdDSA"}, claims) + "\n" + pem),
            ("none", jwt({"alg": "none"}, claims, b"") + "\n" + keys), ("hmac", jwt({"alg": "HS256", "kid": "e"}, claims, b"x" * 32) + "\n" + keys),
            ("zeros", jwt({"alg": "ES256"}, claims, bytes(64)) + "\n" + keys), ("critical", jwt({"alg": "ES256", "crit": ["b64"]}, {**claims, "aud": ["a", "krake"]})),
            ("numbers", jwt({"alg": "ES256"}, b'{"iss":"krake","aud":"krake","sub":"a","sub":"b","exp":1e400,"nbf":-1,"exp":1780000600.5}')), ("empty", ".."), ("opaque", "gAAAA")]


def identity_samples():
    user = {"user": {"name": "alice", "domain": {"id": "default"}}, "expires_at": "2026-01-01T00:00:00.000000Z"}
    return [("keystone", "gAAAA\n" + compact({"token": user})), ("keycloak", jwt({"alg": "RS256"}, {"exp": 1780000600}) + "\n" + compact({"preferred_username": "alice"})),
            ("wrong", "x\n" + compact({"token": {"user": "alice"}, "preferred_username": ["alice"]})), ("html", "x\n<html>"), ("reason", "NOT FOUND\n{}")]


def main(*options):
    check = options == ("--check",)
    wrong = []
    for target, inputs in samples():
        folder = HERE / "corpus" / target
        for name, text in inputs:
            file = folder / f"{name}.seed"
            if check:
                if not file.exists() or file.read_bytes() != text.encode():
                    wrong.append(file)
                continue
            folder.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
    for file in wrong:
        print(f"{file} is not what test/fuzz/make_corpus.py makes: run it")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
