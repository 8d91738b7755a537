"""Every answer against the server's own OpenAPI document: is the status documented, the content type, and is the body what its schema says?
And what a server has taken, its document must take.

`CONTRACT` collects what does not fit; rows (support.Rows) fail with it."""
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
URI = "urn:krake"
# Of a request whose path or method nobody describes.
UNROUTED = {400, 401, 404, 405, 429, 431, 500, 503}


def use_packages():
    """Makes what requirements.txt names importable here."""
    cache = os.environ.get("KRAKE_API_TEST_CACHE", pathlib.Path.home() / ".cache" / "krake-api-test")
    python = subprocess.run([ROOT / "tools" / "python-env", ROOT / "test" / "api" / "requirements.txt", str(cache)], check=True, text=True,
                            capture_output=True, env={**os.environ, "PYTHON": sys.executable}).stdout.strip()
    packages = pathlib.Path(python).parent.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    if str(packages) not in sys.path:
        sys.path.append(str(packages))


def media_type(header):
    return (header or "").partition(";")[0].strip().lower()


class Document:
    """An OpenAPI document, with what is needed to look answers up in it."""

    def __init__(self, document):
        use_packages()
        import referencing
        import referencing.jsonschema
        self.document = document
        resource = referencing.Resource(contents=document, specification=referencing.jsonschema.DRAFT202012)
        self.registry = referencing.Registry().with_resource(URI, resource)
        self.validators, self.good = {}, set()
        self.paths = [(self.pattern(template), template, item) for template, item in document["paths"].items()]

    @staticmethod
    def pattern(template):
        return re.compile("/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in template.split("/")))

    def find(self, method, path):
        """(template, operation); either may be None."""
        for pattern, template, item in self.paths:
            if pattern.fullmatch(path):
                known = {name.upper(): operation for name, operation in item.items()}
                return template, known.get("GET" if method == "HEAD" else method)
        return None, None

    def resolve(self, node):
        while "$ref" in node:
            target = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    # ---- values

    def validator(self, schema):
        import jsonschema
        key = json.dumps(schema, sort_keys=True)
        if key not in self.validators:
            whole = json.loads(key.replace('"#/', f'"{URI}#/'))
            self.validators[key] = jsonschema.Draft202012Validator(whole, registry=self.registry)
        return key, self.validators[key]

    def misfits(self, schema, value, limit=3):
        """What of a value its schema does not allow, as texts."""
        if isinstance(value, dict) and value.get("items") and isinstance(value["items"], list):
            inner = self.resolve(schema).get("properties", {}).get("items", {}).get("items")
            if inner:  # one at a time: most of them were there before
                found = [text for item in value["items"] for text in self.misfits(inner, item, limit)]
                return found[:limit] + self.misfits(schema, {**value, "items": []}, limit)
        key, validator = self.validator(schema)
        mark = (key, json.dumps(value))
        if mark in self.good:
            return []
        found = [self.text_of(error) for _, error in zip(range(limit), validator.iter_errors(value))]
        if not found and len(mark[1]) < 65536:
            self.good.add(mark)
        return found

    def text_of(self, error):
        """The innermost of what is wrong: of alternatives, where the value came furthest."""
        while error.context:
            error = max(error.context, key=lambda inner: (len(inner.absolute_path), inner.validator not in ("type", "const", "required")))
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        return f"{place or 'the body'}: {error.message[:300]}"

    # ---- answers

    def check(self, method, target, status, content_type, body, sent=None):
        """What of an answer is not as it is documented."""
        path = urllib.parse.urlsplit(target).path if "://" in target.partition("?")[0] else target.partition("?")[0]
        if not path.startswith("/") or method == "OPTIONS":
            return []
        template, operation = self.find(method, path)
        where = f"{method} {template or 'of an unknown path'}: {status}"
        if not operation:
            if status not in UNROUTED:
                return [f"{where} to what is not documented"]
            response = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}, "text/plain": {}}}
        elif str(status) not in operation["responses"]:
            return [f"{where} is not documented: {body[:200]!r}"]
        else:
            response = self.resolve(operation["responses"][str(status)])
        found = self.check_content(response.get("content"), media_type(content_type), "" if method == "HEAD" else body)
        if operation and status == 200 and sent:
            found += [f"was taken, although the document does not allow {text}" for text in self.check_sent(operation, sent)]
        return [f"{where}: {text}" for text in found]

    def check_content(self, content, kind, body):
        if not content:
            return [f"a body of {len(body)} bytes where none is documented"] if body else []
        if kind not in content:
            return [f"content type {kind!r}, documented are {sorted(content)}"]
        if not body or kind == "text/plain":
            return []
        media = content[kind]
        try:
            values = [json.loads(line) for line in body.splitlines()] if media.get("x-krake-lines") else [json.loads(body)]
        except ValueError as error:
            return [f"no JSON: {error}"]
        return [text for value in values for text in self.misfits(media["schema"], value)]

    def check_sent(self, operation, sent):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        return self.misfits(content["schema"], json.loads(sent)) if content else []

    def check_line(self, target, line):
        """Of a line of a watch; heartbeats are empty."""
        if not line.strip():
            return [] if line in (b"\n", b"") else [f"GET {target}: a heartbeat {line!r}"]
        template, operation = self.find("GET", target.partition("?")[0])
        media = operation["responses"]["200"]["content"]["application/x-ndjson"]
        return [f"watch of {template}: {text}: {line[:300]!r}" for text in self.misfits(media["schema"], json.loads(line))]


class Contract:
    """The document of the program under test; what is asked of other servers is not looked at."""

    def __init__(self):
        self.document, self.ports, self.found, self.checked = None, set(), {}, 0

    def add_server(self, krake, port):
        if not self.document:
            printed = subprocess.run([krake, "openapi"], check=True, capture_output=True).stdout
            self.document = Document(json.loads(printed))
        self.ports.add(port)

    def note(self, texts):
        self.checked += 1
        for text in texts:
            self.found.setdefault(text[:400])

    def answer(self, port, method, target, sent, reply):
        if port in self.ports:
            self.note(self.document.check(method, target, reply.status, reply.type, reply.body, sent))

    def line(self, port, target, status, line):
        if port in self.ports and status == 200:
            self.note(self.document.check_line(target, line))


CONTRACT = Contract()
