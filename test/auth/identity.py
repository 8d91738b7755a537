"""Identity services as far as an API server meets them: Keystone v3, Keycloak, any OpenID provider. Real HTTP(S) servers on free ports,
written from their public API descriptions; each can be told to misbehave."""
import base64
import hashlib
import hmac
import http.server
import json
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
import uuid

GARBAGE = b"SSH-2.0-OpenSSH_9.2p1\r\n"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.owner.met(self, body)

    do_GET = do_POST = do_DELETE = do_HEAD = serve

    def reply(self, status, body=b"", headers=(), reason=None):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status, reason)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        if "content-type" not in names:
            self.send_header("Content-Type", "application/json")
        if "content-length" not in names:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.connections = []

    def process_request(self, request, client_address):
        self.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, *_):
        pass  # those who misbehave break connections

    def die(self):
        """As a process does: connections end with it."""
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already


class IdentityServer:
    """`trouble` is what it does instead of its work: None, "silent", "garbage", "closes", "half", "redirect", "large", "html", or a status."""

    def __init__(self, certificate=None):
        self.listener = Listener(("127.0.0.1", 0), Handler)
        self.listener.owner = self
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.listener.socket = context.wrap_socket(self.listener.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.listener.server_address[1]
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        self.trouble, self.delay = None, 0
        self.asked = []  # (method, path, headers, body)
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.thread = threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.released.set()
        self.listener.die()

    def met(self, handler, body):
        with self.lock:
            self.asked.append((handler.command, handler.path, dict(handler.headers), body))
        if self.delay:
            self.released.wait(self.delay)
        if self.trouble is None:
            return self.work(handler, body)
        if isinstance(self.trouble, int):
            return handler.reply(self.trouble, {"error": "trouble"})
        return getattr(self, f"be_{self.trouble}")(handler)

    def work(self, handler, body):
        raise NotImplementedError

    def be_silent(self, handler):
        self.released.wait(60)
        handler.close_connection = True

    def be_garbage(self, handler):
        handler.wfile.write(GARBAGE * 3)
        handler.close_connection = True

    def be_closes(self, handler):
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    def be_half(self, handler):
        handler.reply(200, b'{"token": {"user": {"na', [("Content-Length", "1000")])
        handler.close_connection = True

    def be_redirect(self, handler):
        handler.reply(307, b"", [("Location", self.elsewhere + handler.path)])

    def be_large(self, handler):
        handler.reply(200, b'{"a": "' + b"x" * 3_000_000 + b'"}')

    def be_html(self, handler):
        handler.reply(200, b"<html><body>It works!</body></html>", [("Content-Type", "text/html")])


class Keystone(IdentityServer):
    """Identity API v3: POST /v3/auth/tokens (password), GET and DELETE with X-Auth-Token and X-Subject-Token."""

    def __init__(self, certificate=None):
        super().__init__(certificate)
        self.endpoint = self.url + "/v3"
        self.tokens = {}  # token: (user, expires)

    def issue(self, user, seconds=3600):
        token = "gAAAAA" + uuid.uuid4().hex + uuid.uuid4().hex
        self.tokens[token] = (user, time.time() + seconds)
        return token

    def questions(self):
        return [entry for entry in self.asked if entry[0] == "GET"]

    def valid(self, token):
        return token in self.tokens and time.time() < self.tokens[token][1]

    def work(self, handler, body):
        def error(status, title):
            handler.reply(status, {"error": {"code": status, "message": "The request you have made requires authentication.", "title": title}},
                          [("WWW-Authenticate", f'Keystone uri="{self.endpoint}"')], title.upper())

        if handler.path != "/v3/auth/tokens":
            return error(404, "Not Found")
        if handler.command == "POST":
            password = json.loads(body)["auth"]["identity"]["password"]["user"]
            if password["password"] != "secret":
                return error(401, "Unauthorized")
            token = self.issue(password["name"])
            return handler.reply(201, self.document(token), [("X-Subject-Token", token)])
        caller, subject = handler.headers.get("X-Auth-Token"), handler.headers.get("X-Subject-Token")
        if not caller or not self.valid(caller):
            return error(401, "Unauthorized")
        if not subject or not self.valid(subject):
            return error(404, "Not Found")
        if handler.command == "DELETE":
            del self.tokens[subject]
            return handler.reply(204)
        return handler.reply(200, self.document(subject), [("X-Subject-Token", subject)])

    def document(self, token):
        user, expires = self.tokens[token]
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(expires))
        domain = {"id": "default", "name": "Default"}
        return {"token": {"methods": ["password"], "user": {"domain": domain, "id": uuid.uuid4().hex, "name": user, "password_expires_at": None},
                          "audit_ids": ["3T2dc1CGQxyJsHdDu1xkcw"], "expires_at": stamp, "issued_at": "2026-01-01T00:00:00.000000Z",
                          "project": {"domain": domain, "id": uuid.uuid4().hex, "name": "admin"}, "is_domain": False,
                          "roles": [{"id": uuid.uuid4().hex, "name": "member"}], "catalog": []}}


class Keycloak(IdentityServer):
    """Below /auth, as its releases before 17: the token and userinfo endpoints of one realm."""

    def __init__(self, realm="krake", certificate=None):
        super().__init__(certificate)
        self.realm = realm
        self.tokens = {}

    def issue(self, user):
        # Not signed by anybody: userinfo alone knows whether it is good. Characters that a form must escape are among it.
        token = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "RS256"}, {"preferred_username": user, "jti": uuid.uuid4().hex})) + ".+/&="
        self.tokens[token] = user
        return token

    def questions(self):
        return [entry for entry in self.asked if entry[1].endswith("/userinfo")]

    def work(self, handler, body):
        base = f"/auth/realms/{urllib.parse.quote(self.realm)}/protocol/openid-connect"
        if handler.path != base + "/userinfo" or handler.command != "POST":
            return handler.reply(404, {"error": "Realm does not exist"})
        form = urllib.parse.parse_qs(body.decode(), keep_blank_values=True)
        if handler.headers.get("Content-Type") != "application/x-www-form-urlencoded" or len(form.get("access_token", [])) != 1:
            return handler.reply(400, {"error": "invalid_request", "error_description": "Token not provided"})
        user = self.tokens.get(form["access_token"][0])
        if not user:
            return handler.reply(401, {"error": "invalid_token", "error_description": "Token verification failed"},
                                 [("WWW-Authenticate", f'Bearer realm="{self.realm}", error="invalid_token"')])
        return handler.reply(200, {"sub": str(uuid.uuid5(uuid.NAMESPACE_DNS, user)), "email_verified": False, "preferred_username": user})


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class SigningKey:
    """RSA by openssl, so that nothing but it is needed."""

    def __init__(self, folder, kid):
        self.kid, self.path = kid, folder / f"{kid}-{uuid.uuid4().hex[:8]}.pem"
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.path)
        self.public_pem = openssl("pkey", "-in", self.path, "-pubout")
        modulus = openssl("rsa", "-in", self.path, "-noout", "-modulus").decode().strip().split("=")[1]
        self.jwk = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": b64(bytes.fromhex(modulus)), "e": "AQAB"}

    def sign(self, claims, **header):
        text = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT", "kid": self.kid, **header}, claims))
        return f"{text}.{b64(openssl('dgst', '-sha256', '-sign', self.path, stdin=text.encode()))}"

    def as_hmac_secret(self, claims):
        """What one may try who has the public key alone."""
        text = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": self.kid}, claims))
        return f"{text}.{b64(hmac.new(self.public_pem, text.encode(), hashlib.sha256).digest())}"

    def unsigned(self, claims, algorithm="none"):
        return ".".join(b64(json.dumps(part).encode()) for part in ({"alg": algorithm, "kid": self.kid}, claims)) + "."


class Provider(IdentityServer):
    """An OpenID provider: its discovery document and its keys."""

    def __init__(self, certificate=None):
        super().__init__(certificate)
        self.keys = []

    def work(self, handler, body):
        if handler.path == "/.well-known/openid-configuration":
            return handler.reply(200, {"issuer": self.url, "jwks_uri": self.url + "/keys", "response_types_supported": ["code"],
                                       "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"]})
        if handler.path == "/keys":
            return handler.reply(200, {"keys": [key.jwk for key in self.keys]})
        return handler.reply(404)

    def fetched(self):
        return len([entry for entry in self.asked if entry[1] == "/keys"])


def openssl(*words, stdin=None):
    done = subprocess.run(["openssl", *map(str, words)], input=stdin, capture_output=True)
    assert done.returncode == 0, f"openssl {words}: {done.stderr.decode()}"
    return done.stdout


class Authority:
    """A CA of its own and what it issues, as files."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.cert, self.key = folder / f"{name}.pem", folder / f"{name}-key.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                "-keyout", self.key, "-out", self.cert)

    def issue(self, common_name, alternative="IP:127.0.0.1"):
        stem = re.sub(r"\W", "_", common_name + alternative)
        cert, key, request, extension = (self.folder / f"{self.name}-{stem}{end}" for end in (".pem", "-key.pem", ".csr", ".ext"))
        extension.write_text(f"subjectAltName={alternative}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={common_name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", "30", "-extfile", extension, "-out", cert)
        return cert, key
