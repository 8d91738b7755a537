"""One connection to one API server, and what its answers say about a write: done, not done, or unknown."""
import http.client
import json
import ssl
import urllib.parse


class NotSent(Exception):
    """The request has not left: it did nothing."""


class Unknown(Exception):
    """Sent, but no answer that says what became of it."""


class Api:
    """`identity`: None, ("token", T) or ("tls", ca, cert, key). Not for several threads at once."""

    def __init__(self, url, identity=None, timeout=5.0):
        self.url = url
        parts = urllib.parse.urlsplit(url)
        self.address = (parts.hostname, parts.port)
        self.timeout = timeout
        self.headers = {"Content-Type": "application/json"}
        self.context = None
        self.connection = None
        if identity and identity[0] == "token":
            self.headers["Authorization"] = f"Bearer {identity[1]}"
        if parts.scheme == "https":
            self.context = ssl.create_default_context(cafile=str(identity[1]))
            self.context.load_cert_chain(str(identity[2]), str(identity[3]))

    def connect(self):
        if self.connection is None:
            if self.context:
                connection = http.client.HTTPSConnection(*self.address, timeout=self.timeout, context=self.context)
            else:
                connection = http.client.HTTPConnection(*self.address, timeout=self.timeout)
            try:
                connection.connect()
            except OSError as error:
                connection.close()
                raise NotSent(str(error)) from error
            self.connection = connection
        return self.connection

    def call(self, method, path, body=None, headers=None):
        """(status, headers, JSON). A connection that failed is not used again; nothing is tried twice."""
        connection = self.connect()
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, self.headers | (headers or {}))
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unknown(f"{type(error).__name__}: {error}") from error
        try:
            value = json.loads(text) if text else None
        except ValueError:
            value = {"detail": text.decode(errors="replace")}
        return answer.status, answer.headers, value

    def get(self, path):
        """The JSON of a 200, None for a 404; anything else raises."""
        status, _, value = self.call("GET", path)
        if status == 404:
            return None
        if status != 200:
            raise Unknown(f"GET {path}: {status} {value}")
        return value

    def stream(self, path):
        """The open answer to a GET, to read lines from."""
        connection = self.connect()
        try:
            connection.request("GET", path, headers=self.headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unknown(f"{type(error).__name__}: {error}") from error

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None
