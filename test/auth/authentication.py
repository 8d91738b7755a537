"""Who asks (api-contract 7.1 to 7.3): the real server against identity services that work, and against those that do not.

    authentication.py FOLDER-OF-PROGRAMS
"""
import concurrent.futures
import http.client
import json
import pathlib
import re
import ssl
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "api"))
from identity import Authority, Keycloak, Keystone, Provider, SigningKey  # noqa: E402
from support import BASE, PROBLEM, Client, Processes, Rows, Server, kept_port, problem  # noqa: E402

UNKNOWN_TOKEN = "401: The bearer token is not known."
FAST = {"timeout": 0.5, "cache": {"seconds": 0}}


def outage(service):
    return problem(503, f"503: {service} cannot be asked about the token now; try again")


def bad_token(service, status):
    return problem(401, f"Invalid {service} token (HTTP {status})", f"INVALID_{service.upper()}_TOKEN")


class TlsServer:
    """`krake api` with TLS; client certificates of `authority` say who one is."""

    def __init__(self, processes, name, authority, **config):
        cert, key = authority.issue("api-server")
        self.context = ssl.create_default_context(cafile=str(authority.cert))
        whole = {"host": "127.0.0.1", "port": 0, "store": {"type": "memory"}, "docs": {"problem_base_url": BASE}, "authorization": "always-allow",
                 "tls": {"enabled": True, "cert": str(cert), "key": str(key), "client_ca": str(authority.cert)}, "log": {"level": "DEBUG"}, **config}
        path, log = processes.state / f"{name}.yaml", processes.state / f"{name}.log"
        path.write_text(json.dumps(whole))
        process = processes.start(name, processes.bin / "krake", "api", "-c", path)
        processes.wait(f"{name} to run", lambda: "Running on" in log.read_text() or process.poll() is not None)
        self.port = int(re.search(r"Running on https://127\.0\.0\.1:(\d+) ", log.read_text()).group(1))

    def me(self, headers=None, certificate=None):
        context = self.context
        if certificate:
            context = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(self.context.get_ca_certs(True)[0]))
            context.load_cert_chain(*map(str, certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)
        try:
            connection.request("GET", "/me", headers=headers or {})
            answer = connection.getresponse()
            document = json.loads(answer.read())
            return document.get("user", (answer.status, document.get("detail")))
        finally:
            connection.close()


class Suite:
    def __init__(self, processes):
        self.processes, self.rows, self.count, self.secrets = processes, Rows(), 0, set()

    def server(self, authentication, authorization="always-allow", **config):
        self.count += 1
        server = Server(self.processes, f"api{self.count}", authentication=authentication, authorization=authorization, log={"level": "DEBUG"}, **config)
        return Client(server.port)

    def me(self, client, token=None, path="/me"):
        if token:
            self.secrets.add(token.removeprefix("Bearer "))
        return client.get(path, headers={"Authorization": token} if token else None)

    def is_user(self, label, client, token, user):
        reply = self.me(client, token)
        return self.rows.equal(f"{label}: GET /me", (200, user), (reply.status, reply.json().get("user") if reply.status == 200 else reply.json()))

    def refused(self, label, client, token, document, path="/me"):
        reply = self.me(client, token, path)
        self.rows.equal(f"{label}: GET {path}", {"status": document["status"], "type": PROBLEM, "body": document},
                        {"status": reply.status, "type": reply.type, "body": reply.json()})
        if document["status"] == 503:
            self.rows.equal(f"{label}: Retry-After", "1", reply.header("Retry-After"))
        return reply

    # ---- the two services upstream knows

    def keystone(self):
        with Keystone() as keystone:
            client = self.server({"allow_anonymous": True, **FAST, "strategy": {"keystone": {"enabled": True, "endpoint": keystone.endpoint}}})
            token = self.password_token(keystone)
            self.is_user("Keystone", client, token, "alice")
            method, path, headers, body = keystone.questions()[-1]
            self.rows.equal("Keystone is asked", ("GET", "/v3/auth/tokens", token, token, b""),
                            (method, path, headers.get("X-Auth-Token"), headers.get("X-Subject-Token"), body))
            self.is_user("Keystone, Bearer", client, f"Bearer {token}", "alice")
            self.is_user("no token", client, None, "system:anonymous")
            # An invalid token is nobody, whoever else might be somebody; on unknown paths as well.
            for path in ("/me", "/core/roles", "/nowhere"):
                self.refused("Keystone, unknown token", client, "wrong", bad_token("Keystone", "401 UNAUTHORIZED"), path)
            del keystone.tokens[token]
            self.refused("Keystone, revoked token", client, token, bad_token("Keystone", "401 UNAUTHORIZED"))
            self.refused("Keystone, expired token", client, keystone.issue("alice", -1), bad_token("Keystone", "401 UNAUTHORIZED"))
            for user in ("system:admin", "ünï cödé", "a'b\"c"):
                self.is_user("Keystone", client, keystone.issue(user), user)

    @staticmethod
    def password_token(keystone):
        """As a user gets one."""
        connection = http.client.HTTPConnection("127.0.0.1", keystone.port, timeout=10)
        user = {"name": "alice", "domain": {"id": "default"}, "password": "secret"}
        connection.request("POST", "/v3/auth/tokens", json.dumps({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}))
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.headers["X-Subject-Token"]

    def keycloak(self):
        with Keycloak("my realm") as keycloak:
            strategy = {"keycloak": {"enabled": True, "endpoint": keycloak.url, "realm": "my realm"}}
            client = self.server({"allow_anonymous": True, **FAST, "strategy": strategy})
            token = keycloak.issue("carol")
            self.is_user("Keycloak", client, token, "carol")
            self.is_user("Keycloak, Bearer", client, f"Bearer {token}", "carol")
            self.refused("Keycloak, unknown token", client, "wrong", bad_token("Keycloak", "401 Unauthorized"))
            self.is_user("no token", client, None, "system:anonymous")
            client = self.server({**FAST, "strategy": {"keycloak": {**strategy["keycloak"], "realm": "other"}}})
            self.refused("Keycloak, another realm", client, token, bad_token("Keycloak", "404 Not Found"))
            self.refused("Keycloak, no token", client, None, problem(401, "401: No user has been authenticated."))

    def order(self):
        with Keystone() as keystone, Keycloak() as keycloak:
            both = {"keystone": {"enabled": True, "endpoint": keystone.endpoint}, "keycloak": {"enabled": True, "endpoint": keycloak.url}}
            alice, carol = keystone.issue("alice"), keycloak.issue("carol")
            client = self.server({**FAST, "strategy": both})
            self.is_user("Keystone and Keycloak", client, alice, "alice")
            self.refused("Keystone and Keycloak: the first alone counts", client, carol, bad_token("Keystone", "401 UNAUTHORIZED"))
            self.rows.equal("Keycloak is not asked", 0, len(keycloak.questions()))
            client = self.server({**FAST, "strategy": {**both, "static": {"enabled": True, "name": "fixed"}}})
            before = len(keystone.questions())
            self.is_user("static", client, "wrong", "fixed")
            self.rows.equal("static: Keystone is not asked", before, len(keystone.questions()))
            # W23: an explicit key takes them all.
            file = self.processes.state / "tokens-of-several"
            file.write_text("token-in-a-file dora\n")
            client = self.server({**FAST, "several": True, "allow_anonymous": True, "strategy": {**both, "token": {"file": str(file)}}})
            for token, user in ((alice, "alice"), (carol, "carol"), ("token-in-a-file", "dora"), (None, "system:anonymous")):
                self.is_user("several (W23)", client, token, user)
            self.refused("several (W23), unknown token", client, "wrong", bad_token("Keystone", "401 UNAUTHORIZED"))
            keystone.trouble = 503
            self.is_user("several, Keystone away", client, carol, "carol")
            self.refused("several, Keystone away: it might know the token", client, alice, outage("Keystone"))

    # ---- W43

    def cache(self):
        with Keystone() as keystone:
            strategy = {"keystone": {"enabled": True, "endpoint": keystone.endpoint}}
            client = self.server({"cache": {"seconds": 3600}, "strategy": strategy})
            token = keystone.issue("alice")
            for _ in range(20):
                self.me(client, token)
            self.is_user("cache (W43)", client, token, "alice")
            self.rows.equal("cache (W43): one question for many requests", 1, len(keystone.questions()))
            keystone.trouble = "closes"
            self.is_user("cache (W43): Keystone away", client, token, "alice")
            self.refused("cache (W43): another token", client, keystone.issue("bob"), outage("Keystone"))
            keystone.trouble = None
            # Never beyond the token's own expiry; the service tells it in whole seconds.
            brief = keystone.issue("eve", 2)
            self.is_user("cache (W43): a brief token", client, brief, "eve")
            self.processes.wait("the token to expire", lambda: self.me(client, brief).status == 401, 10)
            # A revoked one counts as long as it is remembered.
            client = self.server({"cache": {"seconds": 1}, "strategy": strategy})
            self.is_user("cache of a second", client, token, "alice")
            del keystone.tokens[token]
            self.processes.wait("the revoked token to be refused", lambda: self.me(client, token).status == 401, 10)

    def together(self):
        with Keystone() as keystone:
            keystone.delay = 0.5
            port = self.server({"strategy": {"keystone": {"enabled": True, "endpoint": keystone.endpoint}}}).port
            token = keystone.issue("alice")
            with concurrent.futures.ThreadPoolExecutor(40) as pool:
                users = list(pool.map(lambda _: self.me(Client(port), token).json().get("user"), range(40)))
            self.rows.equal("40 requests at once", ["alice"] * 40, users)
            self.rows.equal("40 requests at once share a question", 1, len(keystone.questions()))

    # ---- services that do not work

    def troubles(self):
        for make, name in ((Keystone, "Keystone"), (Keycloak, "Keycloak")):
            with make() as service, make() as elsewhere:
                endpoint = service.endpoint if name == "Keystone" else service.url
                service.elsewhere = elsewhere.url
                client = self.server({"allow_anonymous": True, **FAST, "strategy": {name.lower(): {"enabled": True, "endpoint": endpoint}}})
                token = service.issue("alice")
                for trouble in ("silent", "garbage", "closes", "half", "redirect", "large", "html", 429, 502, 503, 504):
                    service.trouble = trouble
                    begin = time.monotonic()
                    self.refused(f"{name} {trouble}", client, token, outage(name))
                    self.rows.row(f"{name} {trouble}: bounded", "within 3 s", time.monotonic() - begin, time.monotonic() - begin < 3)
                    self.is_user(f"{name} {trouble}: others do not care", client, None, "system:anonymous")
                self.rows.equal(f"{name}: no token follows a redirect", [], elsewhere.asked)
                for status, phrase in ((400, "Bad Request"), (403, "Forbidden"), (500, "Internal Server Error")):
                    service.trouble = status
                    self.refused(f"{name} {status}", client, token, bad_token(name, f"{status} {phrase}"))
                service.trouble = None
                self.is_user(f"{name} is well again", client, token, "alice")
            self.refused(f"{name} is dead", client, token, outage(name))
        # A silent service holds up nobody but those who need it.
        with Keystone() as keystone:
            keystone.trouble = "silent"
            client = self.server({"allow_anonymous": True, "timeout": 20, "strategy": {"keystone": {"enabled": True, "endpoint": keystone.endpoint}}})
            with concurrent.futures.ThreadPoolExecutor(30) as pool:
                waiting = [pool.submit(self.me, Client(client.port), f"t{i}") for i in range(30)]
                self.processes.wait("the questions to be under way", lambda: len(keystone.questions()) == 30)
                begin = time.monotonic()
                for _ in range(50):
                    self.is_user("30 wait for Keystone", client, None, "system:anonymous")
                self.rows.row("others are served meanwhile", "within 5 s", time.monotonic() - begin, time.monotonic() - begin < 5)
                keystone.trouble = None
                keystone.released.set()
                for one in waiting:
                    one.result()

    def tls(self):
        """W24: identity services are verified, whatever the server's own TLS."""
        folder = self.processes.state
        ca, other = Authority(folder, "identity-ca"), Authority(folder, "other-ca")
        right, wrong_name = ca.issue("keystone"), ca.issue("elsewhere", "DNS:elsewhere.example")
        with Keystone(right) as keystone, Keystone(wrong_name) as misnamed:
            def client(service, **more):
                return self.server({**FAST, "timeout": 5, "strategy": {"keystone": {"enabled": True, "endpoint": service.endpoint}}, **more})

            self.is_user("TLS, its CA", client(keystone, ca=str(ca.cert)), keystone.issue("alice"), "alice")
            asked = len(keystone.asked)
            for label, service, more in (("another CA", keystone, {"ca": str(other.cert)}), ("the system's CAs", keystone, {}),
                                         ("another name", misnamed, {"ca": str(ca.cert)})):
                self.refused(f"TLS, {label}", client(service, **more), service.issue("alice"), outage("Keystone"))
            self.rows.equal("TLS: who is not verified gets no token", (asked, 0), (len(keystone.asked), len(misnamed.asked)))
            site = Authority(folder, "site-ca")
            strategy = {"keystone": {"enabled": True, "endpoint": keystone.endpoint}}
            server = TlsServer(self.processes, "tls", site, authentication={"ca": str(ca.cert), "strategy": strategy, **FAST, "timeout": 5})
            token, cn = keystone.issue("alice"), site.issue("bob")
            self.secrets.add(token)
            invalid = (401, "Invalid Keystone token (HTTP 401 UNAUTHORIZED)")
            for label, headers, certificate, wanted in (
                    ("token", {"Authorization": token}, None, "alice"), ("token and certificate", {"Authorization": token}, cn, "alice"),
                    ("certificate", {}, cn, "bob"), ("neither", {}, None, (401, "401: No user has been authenticated.")),
                    ("a bad token is no certificate", {"Authorization": "bad"}, cn, invalid)):
                self.rows.equal(f"server with TLS: {label}", wanted, server.me(headers, certificate))
            server = TlsServer(self.processes, "tls-several", site, authentication={"ca": str(ca.cert), "several": True, "strategy": strategy, **FAST, "timeout": 5})
            self.rows.equal("several (W23): a bad token, a certificate", "bob", server.me({"Authorization": "bad"}, cn))
            self.rows.equal("several (W23): a bad token", invalid, server.me({"Authorization": "bad"}))

    # ---- signed tokens

    def oidc(self):
        folder = self.processes.state
        first, second, stranger = SigningKey(folder, "first"), SigningKey(folder, "second"), SigningKey(folder, "first")
        with Provider() as provider:
            provider.keys = [first]
            oidc = {"enabled": True, "issuer": provider.url, "audiences": ["krake"], "username_claim": "name", "username_prefix": "oidc:"}
            client = self.server({"allow_anonymous": True, "timeout": 1, "strategy": {"oidc": oidc}})
            now = int(time.time())
            claims = {"iss": provider.url, "aud": ["krake", "x"], "sub": "1", "name": "alice", "iat": now, "exp": now + 600}
            good = first.sign(claims)
            self.is_user("OpenID", client, f"Bearer {good}", "oidc:alice")
            self.is_user("OpenID, raw", client, good, "oidc:alice")
            self.rows.equal("OpenID: keys are fetched once", 1, provider.fetched())
            refusals = [
                ("unsigned", first.unsigned(claims), "is signed by an algorithm that is not allowed"),
                ("unsigned, NONE", first.unsigned(claims, "NONE"), "is signed by an algorithm that is not allowed"),
                ("the public key as a secret", first.as_hmac_secret(claims), "is signed by an algorithm that is not allowed"),
                ("no signature", first.unsigned(claims, "RS256"), "has a signature that does not match"),
                ("another key of that name", stranger.sign(claims), "has a signature that does not match"),
                ("a key that is a path", first.sign(claims, kid="../../first"), "is signed by a key that is not known"),
                ("another audience", first.sign({**claims, "aud": "y"}), "is not meant for this API ('aud')"),
                ("expired", first.sign({**claims, "exp": now - 60}), "has expired"),
                ("not yet", first.sign({**claims, "nbf": now + 300}), "is not valid yet"),
                ("no expiry", first.sign({key: claims[key] for key in claims if key != "exp"}), "has no time at which it expires ('exp')"),
                ("a huge expiry", first.sign({**claims, "exp": 10 ** 400}), "has no time at which it expires ('exp')"),
                ("no name", first.sign({**claims, "name": ["alice"]}), "names no user: it has no text in 'name'"),
                ("extensions", first.sign(claims, crit=["b64"]), "needs extensions that are not known here ('crit')"),
            ]
            for label, token, why in refusals:
                self.refused(f"OpenID, {label}", client, token, problem(401, f"401: The token {why}."))
            head, body, signature = good.split(".")
            for label, token in [("another issuer", first.sign({**claims, "iss": "https://else.example"})), ("cut", good[:-200]),
                                 ("changed", f"{head}.{body[:-4]}AAAA.{signature}"), ("opaque", "x"), ("dots", ".." * 50), ("no base64", "a!.b!.c!"),
                                 ("long", "e30." + "A" * 7000 + ".e30")]:
                reply = self.me(client, token)
                self.rows.equal(f"OpenID, {label}", 401, reply.status)
            self.rows.equal("OpenID: keys are not fetched for each", True, provider.fetched() <= 2)
            provider.keys = [second]
            rotated = second.sign({**claims, "name": "bob"})
            self.processes.wait("the new key to be found", lambda: self.me(client, rotated).status == 200, 30)
            self.is_user("OpenID, rotated", client, rotated, "oidc:bob")
            self.refused("OpenID, the old key", client, good, problem(401, "401: The token is signed by a key that is not known."))
        with Provider() as provider:
            provider.keys = [first]
            oidc = {"enabled": True, "issuer": provider.url, "audiences": ["krake"]}
            claims["iss"] = provider.url
            for trouble in ("garbage", "html", "redirect", "large", "silent", 500):
                provider.trouble, provider.elsewhere = trouble, provider.url
                client = self.server({"timeout": 0.5, "strategy": {"oidc": oidc}})
                self.refused(f"OpenID, the provider: {trouble}", client, first.sign(claims), outage("the OpenID provider"))
            provider.trouble = None
            self.processes.wait("the provider to be asked again", lambda: self.me(client, first.sign(claims)).status == 200, 30)

    def signed(self):
        key, other = self.processes.state / "signing.pem", self.processes.state / "other.pem"
        for path in (key, other):
            self.rows.equal("krake token key", (0, b"", b""), self.krake("token", "key", path))
            self.rows.equal("its mode", 0o600, path.stat().st_mode & 0o777)
        code, _, told = self.krake("token", "key", key)
        self.rows.row("krake token key: what is there stays", (1, "File exists"), (code, told), code == 1 and b"File exists" in told)
        for words, why in ((("create", "--key", key), b"--user"), (("create", "--key", key, "--user", "x", "--ttl", "9y"), b"365d"), (("sing",), b"sing"),
                           (("create", "--key", "/nowhere", "--user", "x"), b"/nowhere"), (("create", "--key", key, "--user", "a\nb"), b"--user")):
            code, _, told = self.krake("token", *words)
            self.rows.row(f"krake token {words}", why, (code, told), code in (1, 2) and why in told)
        client = self.server({"allow_anonymous": True, "strategy": {"signed": {"file": str(key)}}})

        def token(path, user="system:scheduler"):
            return self.krake("token", "create", "--key", path, "--user", user, "--ttl", "1h")[1].decode().strip()

        self.is_user("signed", client, f"Bearer {token(key)}", "system:scheduler")
        self.is_user("signed, raw", client, token(key, "anybody"), "anybody")
        self.refused("signed by another key", client, token(other), problem(401, "401: The token is signed by a key that is not known."))
        self.refused("no JWT", client, "x.y.z", problem(401, UNKNOWN_TOKEN))
        # To change the key both are in the file for a while; public halves suffice.
        both = self.processes.state / "both.pem"
        both.write_bytes(subprocess.run(["openssl", "pkey", "-in", key, "-pubout"], capture_output=True, check=True).stdout + other.read_bytes())
        client = self.server({"strategy": {"signed": {"file": str(both)}}})
        for path in (key, other):
            self.is_user("two keys", client, token(path), "system:scheduler")

    def krake(self, *words):
        done = subprocess.run([str(self.processes.bin / "krake"), *map(str, words)], capture_output=True)
        return done.returncode, done.stdout, done.stderr

    # ---- configurations that cannot work

    def refused_configurations(self):
        path = self.processes.state / "bad.yaml"
        for strategy, why in (({"oidc": {"enabled": True, "audiences": ["a"]}}, "oidc.issuer"),
                              ({"oidc": {"enabled": True, "issuer": "https://x.example"}}, "oidc.audiences"),
                              ({"oidc": {"enabled": True, "issuer": "https://x.example", "audiences": ["a"], "algorithms": ["HS256"]}}, "HS256"),
                              ({"oidc": {"enabled": True, "issuer": "x.example", "audiences": ["a"]}}, "x.example"),
                              ({"keystone": {"enabled": True, "endpoint": "keystone:5000"}}, "keystone:5000"),
                              ({"signed": {"file": "/nowhere/key.pem"}}, "/nowhere/key.pem"), ({"signed": {"file": str(path)}}, "no key")):
            path.write_text(json.dumps({"host": "127.0.0.1", "port": kept_port(), "store": {"type": "memory"}, "authorization": "RBAC",
                                        "authentication": {"strategy": strategy}, "log": {"level": "ERROR"}}))
            done = subprocess.run([str(self.processes.bin / "krake"), "api", "-c", str(path)], capture_output=True, timeout=60, text=True)
            self.rows.row(f"configuration {strategy}", why, (done.returncode, done.stderr), done.returncode == 1 and why in done.stderr)

    def no_secret_in_logs(self):
        logs = "".join(path.read_text(errors="replace") for path in self.processes.state.glob("*.log"))
        found = [secret[:20] for secret in self.secrets if len(secret) > 12 and secret in logs]
        self.rows.equal(f"none of {len(self.secrets)} tokens is in {len(logs)} characters of logs", [], found)


def main():
    with Processes(sys.argv[1]) as processes:
        suite = Suite(processes)
        for case in (suite.keystone, suite.keycloak, suite.order, suite.cache, suite.together, suite.troubles, suite.tls, suite.oidc, suite.signed,
                     suite.refused_configurations, suite.no_secret_in_logs):
            case()
        return suite.rows.finish()


if __name__ == "__main__":
    sys.exit(main())
