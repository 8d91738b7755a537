#!/usr/bin/env python3
"""The documents' test can fail: each row is a document with one mistake, and what must be said about it; the first ones have none."""
import pathlib
import sys
import tempfile

import run

MAKEFILE = 'help:\n\t@echo "help   this list"; echo "test   tests"\ntest:\n\t@true\n'
FENCE = "```"
GOOD = [
    ("a command", "sh\ntrue\n"),
    ("output with a gap", "console\n$ printf 'one\\ntwo\\nthree\\n'\none\n...\nthree\n"),
    ("a gap inside a line", "console\n$ echo at $PWD now\nat ... now\n"),
    ("changing values", "console\n$ echo 2026-01-01 00:00:00 localhost:12345 12ms 3m4s\n2027-12-31 23:59:59 localhost:4444 7ms 5s\n"),
    ("an error that is shown", "console\n$ echo 'Error: no'; false\nError: no\n"),
    ("a session", "sh\nx=1\n" + FENCE + "\n\n" + FENCE + "console\n$ echo $x\n1\n"),
    ("$?", "console\n$ sh -c 'echo \"Error: x\"; exit 3'\nError: x\n$ echo $?\n3\n"),
    ("a here document", "sh\ncat >file <<EOF\n$ not a prompt\nEOF\ngrep -q prompt file\n"),
    ("a server", "console\n$ sh -c 'echo ready; trap \"exit 0\" TERM; while :; do read line; done' &\nready\n"),
    ("a port", "console\n$ test 18080 != 18081 && echo port 18080\nport ...\n"),
]
BAD = [
    ("other output", "console\n$ echo two\none\n", "two"),
    ("a line missing", "console\n$ echo one\none\ntwo\n", "one"),
    ("a line more", "console\n$ printf 'one\\ntwo\\n'\none\n", "two"),
    ("an exit status", "sh\nfalse\n", "exit status 1"),
    ("success with an error shown", "console\n$ echo Error: no\nError: no\n", "exit status 0"),
    ("a make target that is run", "sh\nmake test\n", "not for this test"),
    ("a server without output", "sh\ncat &\n", "is waited for"),
    ("a server that ends badly", "console\n$ sh -c 'echo ready; trap \"exit 7\" TERM; while :; do read line; done' &\nready\n", "exit status 7"),
    ("a block of another language", "bash\ntrue\n", "never run"),
    ("a prompt in a plain block", "\n$ true\n", "never run"),
    ("an endless command", "sh\ncat <<EOF\nfor ever\n", "does not end"),
]
PROSE_GOOD = ["[here](#title)", "[file](Makefile)", "`make test`", "`test/{a,b}.cc`, `test/*.cc`, `test/a`", "[web](https://example.org)"]
PROSE_BAD = [
    ("[there](nowhere.md)", "leads nowhere"),
    ("[there](#nothing)", "no such heading"),
    ("`make nonsense`", "no target nonsense"),
    ("`test/none.cc`", "there is no test/none.cc"),
    ("    krakectl version", "indented"),
    (f"<!-- not run -->\n{FENCE}sh\ntrue\n{FENCE}", "unknown marker"),
    (f"<!-- not run: long -->\n{FENCE}sh\nmake nonsense\n{FENCE}", "nonsense"),
    (f"<!-- not run: long -->\n{FENCE}sh\ntools/none --fast\n{FENCE}", "there is no tools/none"),
]


def findings(root, text):
    path = root / "doc.md"
    path.write_text("# Title\n\n" + text + "\n")
    document = run.Document(path, root / "bin", root)
    document.check()
    return "\n".join(document.findings)


def main():
    failed = []
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        (root / "Makefile").write_text(MAKEFILE)
        for name in ("bin", "test"):
            (root / name).mkdir()
        for name in ("a", "b"):
            (root / f"test/{name}.cc").touch()
        for what, block in GOOD:
            if seen := findings(root, FENCE + block + FENCE):
                failed.append(f"{what}: {seen}")
        for text in PROSE_GOOD:
            if seen := findings(root, text):
                failed.append(f"{text}: {seen}")
        for what, text, wanted in [(w, FENCE + b + FENCE, m) for w, b, m in BAD] + [(t, t, m) for t, m in PROSE_BAD]:
            if wanted not in (seen := findings(root, text)):
                failed.append(f"{what}: '{wanted}' is not said, but: {seen or 'nothing'}")
    for line in failed:
        print(line)
    total = len(GOOD) + len(BAD) + len(PROSE_GOOD) + len(PROSE_BAD)
    print(f"{total - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
