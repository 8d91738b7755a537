#!/usr/bin/env python3
"""The scan finds what comes out in any form, and nothing else."""
import base64
import pathlib
import tempfile
import urllib.parse

import secret_scan

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    secret = secret_scan.plant("odd + / token")
    assert secret_scan.scan(f"a\nb {secret} c", {secret: "x"}, "f")[0].startswith("f:2: the secret of x (")
    odd = 'p"w + /?%\u00e4\\of-somebody'
    for text in (odd, urllib.parse.quote(odd, safe=""), 'p\\"w + /?%\\u00e4\\\\of-somebody'):
        assert secret_scan.scan(f"<{text}>", {odd: "x"}, "f"), text
    for before in ("", "u:", "user:"):
        text = base64.b64encode(f"{before}{secret}:after".encode()).decode()
        assert secret_scan.scan(f"Basic {text}", {secret: "x"}, "f"), text
    assert not secret_scan.scan("nothing of that kind", {secret: "x", odd: "y"}, "f")

    (folder / "de.kubeconfig").write_text('users:\n- user:\n    token: "of-a-kubeconfig-1"\n    client-key-data: b2YtYS1rZXk=\n')
    (folder / "gc.yaml").write_text('{"api_endpoint": "http://x", "token": "of-a-controller-1", "log": {}}')
    (folder / "tokens").write_text("of-a-tokens-file eve\n")
    (folder / "key.pem").write_text(f"-----BEGIN PRIVATE KEY-----\n{'K' * 64}\n-----END PRIVATE KEY-----\n")
    found = secret_scan.of_folder(folder)
    assert {"of-a-kubeconfig-1", "of-a-controller-1", "of-a-tokens-file", "K" * 64, secret} <= found.keys(), found
    (folder / "gc.log").write_text("all is well\nAuthorization: Bearer of-a-controller-1\n")
    leaks = secret_scan.scan_folder(folder)
    assert len(leaks) == 1 and leaks[0].startswith("gc.log:2: the secret of gc.yaml") and "of-a-controller-1" not in leaks[0], leaks
print("1 passed, 0 failed")
