"""Secrets must not come out. Which ones there are: what a test plants, and what its folder has; where they must not be: what programs write.

A secret is looked for as it is and as it may travel: in base64, percent-encoded, in JSON."""
import base64
import json
import re
import secrets
import urllib.parse

SHORTEST = 12  # what is shorter may stand somewhere by chance
FIELDS = r"token|password|secret|client-key-data|client_key_data|complete_token|shutdown_token|complete_key|shutdown_key|application_credential_secret"
_planted = {}


def plant(what):
    """A value that is found again wherever it comes out; letters and digits only, so that it fits everywhere."""
    value = f"Planted{''.join(word.capitalize() for word in re.split('[^a-z]+', what))}{secrets.token_hex(8)}"
    _planted[value] = what
    return value


def plant_value(what, value):
    """One that something else has made."""
    if len(value) >= SHORTEST:
        _planted[value] = what
    return value


def planted():
    return dict(_planted)


def forms(secret):
    """How it may look in a text."""
    yield secret
    raw = secret.encode()
    for before in range(3):
        # Of base64 only what no neighbour changes.
        text = base64.b64encode(b"x" * before + raw).decode().rstrip("=")
        middle = text[4 if before else 0:len(text) - 2]
        if len(middle) >= SHORTEST:
            yield middle
            yield middle.replace("+", "-").replace("/", "_")
    yield urllib.parse.quote(secret, safe="")
    yield json.dumps(secret)[1:-1]


def of_file(path):
    """The secrets in a file that programs read: kubeconfigs, configurations, tokens, private keys."""
    text = path.read_text(errors="replace")
    if "PRIVATE KEY-----" in text:
        for line in text.splitlines():
            if re.fullmatch(r"[A-Za-z0-9+/]{40,}={0,2}", line):
                yield line
    if path.name == "tokens":
        yield from (line.split()[0] for line in text.splitlines() if line.split())
    if path.suffix in (".yaml", ".kubeconfig", ".json", ".yml"):
        yield from (match[1] for match in re.finditer(rf"\"?(?:{FIELDS})\"?: *[\"']?([^\s\"',}}]+)", text))


def of_folder(folder):
    """{secret: where it is from}: of a test's folder, and what was planted."""
    found = planted()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".yaml", ".yml", ".json", ".kubeconfig", ".pem", "") and path.stat().st_size < 1 << 20:
            for secret in of_file(path):
                # A name of a file, or a word of a test that stands for a token and its user alike.
                if len(secret) >= SHORTEST and not secret.startswith("/") and "token-of-" not in secret:
                    found.setdefault(secret, path.name)
    return found


def scan(text, secrets_, where):
    """Lines for what came out: never the secret itself, which would be the next leak."""
    leaks = []
    for secret, origin in secrets_.items():
        form = next((form for form in forms(secret) if form in text), None)
        if form:
            at = text.index(form)
            line = text.count("\n", 0, at) + 1
            around = text[max(0, text.rfind("\n", 0, at)):at][-160:].strip()
            leaks.append(f"{where}:{line}: the secret of {origin} ({secret[:9]}...) comes out after: {around}")
    return leaks


def outputs(folder):
    """The files that programs wrote for people: logs, whatever they are called."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and ("log" in path.suffix or "audit" in path.name)]


def scan_folder(folder):
    secrets_ = of_folder(folder)
    return [leak for path in outputs(folder) for leak in scan(path.read_text(errors="replace"), secrets_, path.name)]
