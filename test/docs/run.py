#!/usr/bin/env python3
"""Documents are product: every command they show is run, every output they show is compared, every link must lead somewhere.

    run.py BINDIR [DOCUMENT...]        (BINDIR has krake, krakectl and kubesim; no DOCUMENT: all of the repository)

```sh and ```console blocks are run in order, those of one document in one bash session, at the root of a mirror of the
repository whose build/release/bin is BINDIR. In console blocks '$ ' begins a command and the rest is its output: a line '...' stands
for any lines, '...' inside a line for any text; times, uids, ports and the like may differ (CHANGING). A command must end with 0, or
with another status when its shown output has an error. An HTML comment on the line before a block says more:

    <!-- not run: why -->    only checked: make targets, scripts and programs must exist
    <!-- background -->      a server; it goes on running, and the test waits for the output that is shown. A command that ends
                             with & is treated so without the comment
    <!-- eventually -->      read again until the output is as shown

Ports 18080 to 18089 stand for free ones. Each document has its own folders for home, temporary files and the working directory.

Each document is one row. Exit 1 when one fails."""
import glob
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import markdown
import shell

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "test"))
from ports import kept_port  # noqa: E402

DEADLINE = 60
DEADLINE_MAKE = 300
PROGRAMS = ("krake", "krakectl", "kubesim")
RUN_BY_MAKE = ("help", "build", "demo")  # the other targets build or take long: their blocks say "not run"
CHANGING = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?", "TIME"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UID"),
    (r":\d{4,5}\b", ":PORT"),
    (r"/tmp/tmp\.\w+", "/tmp/tmp.X"),
    (r"-[0-9a-f]{8,10}-[0-9a-z]{5}\b", "-POD"),
    (r"_ms=\d+(,\d+)*", "_ms=N"),
    (r"\b\d+ (ms|s)\b", r"N \1"),
    (r"\b(\d+(ms|[smhd]))+\b", "AGE"),
    # Widths of tables follow from the above.
    (r"[ \t]+", " "),
    (r"-{3,}", "---"),
    (r"={3,}", "==="),
]


def normal(line):
    for pattern, text in CHANGING:
        line = re.sub(pattern, text, line)
    return line.strip()


def matches(wanted, seen, open_end=False):
    """Whether the lines shown fit the lines that came; open_end: more may have come."""
    pattern = ""
    for line in wanted:
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(normal(part)) if part.strip() else " ?" for part in re.split(r"\.\.\.", normal(line))) + r"\n"
    lines = "".join(normal(line) + "\n" for line in "\n".join(seen).rstrip().split("\n"))
    return re.match(pattern + (r"" if open_end else r"\Z"), lines) is not None


def shows_error(command):
    return any(re.match(r"(Error|.*\berror): ", line) for line in command.output or [])


class Document:
    def __init__(self, path, binaries, root=ROOT):
        self.path, self.binaries, self.root = path, pathlib.Path(binaries).resolve(), root
        self.name = str(path.relative_to(root))
        self.blocks, self.prose = markdown.split(path.read_text())
        self.findings = []
        self.ports = {}
        self.ran = self.not_run = 0

    def fail(self, line, text):
        self.findings.append(f"{self.name}:{line}: {text}")

    def check(self):
        self.check_marks()
        if self.findings:
            return
        self.check_links()
        self.check_paths()
        self.check_make()
        blocks = [b for b in self.blocks if b.info in ("sh", "console")]
        if any(not b.marker.startswith("not run:") for b in blocks) and not self.findings:
            self.run_all(blocks)
        else:
            self.not_run = sum(len(markdown.commands(b)) for b in blocks)
            for block in blocks:
                self.check_exists(block, self.root)

    # ---- what can be seen without running anything

    def check_marks(self):
        """No command hides in a block that is not run."""
        looks = re.compile(r"^(\$ |(krake|krakectl|kubesim|kubectl|make) [-a-z])")
        for block in self.blocks:
            if block.info in ("sh", "console"):
                if block.marker and not re.match(r"(not run: \S|background$|eventually$)", block.marker):
                    self.fail(block.line - 1, f"unknown marker '{block.marker}'")
                try:
                    markdown.commands(block)
                except ValueError as error:
                    self.fail(block.line, str(error))
                continue
            for offset, line in enumerate(block.lines, 1):
                if looks.match(line) or block.info in ("bash", "shell"):
                    self.fail(block.line + offset, f"a command in a '{block.info}' block is never run; say sh or console")
                    break
        for number, line in self.prose:
            if re.match(r"^( {4}|\t)", line) and looks.match(line.strip()):
                self.fail(number, "an indented command is never run; use a sh or console block")

    def check_links(self):
        for number, target in markdown.links(self.prose):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (self.path.parent / path) if path else self.path
            if not file.exists():
                self.fail(number, f"the link {target} leads nowhere")
            elif anchor and anchor not in markdown.anchors(markdown.split(file.read_text())[1]):
                self.fail(number, f"the link {target}: there is no such heading in {file.name}")

    def check_paths(self):
        """Files of the repository named in the text are there."""
        for number, span in markdown.spans(self.prose):
            match = re.match(r"^(src|docs|test|tools|examples|bench)/[\w./*{},-]*$", span)
            if not match:
                continue
            parts = re.split(r"\{([^}]*)\}", span)
            choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
            for names in itertools.product(*choices):
                name = str(self.root / "".join(names))
                if not glob.glob(name) and not glob.glob(name + ".cc"):
                    self.fail(number, f"there is no {''.join(names)}")

    def check_make(self):
        shown = subprocess.run(["make", "--no-print-directory", "help"], cwd=self.root, capture_output=True, text=True, check=True).stdout
        targets = {line.split()[0] for line in shown.splitlines() if line.strip()}
        texts = markdown.spans(self.prose)
        texts = [(number, text, False) for number, text in texts]
        for block in self.blocks:
            if block.info in ("sh", "console"):
                texts += [(command.line, command.text, not block.marker.startswith("not run:")) for command in markdown.commands(block)]
        for number, text, is_run in texts:
            for one in re.split(r"[;&|\n]+", text):
                match = re.match(r"\s*(?:[A-Z_]+=\S* )*make(?: [A-Z_]+=\S*)*(?: ([a-z]+))?(?: |$)", one)
                if match and match.group(1) and match.group(1) not in targets:
                    self.fail(number, f"make help knows no target {match.group(1)}")
                elif match and is_run and match.group(1) not in RUN_BY_MAKE:
                    self.fail(number, f"'{one.strip()}' is not for this test; put <!-- not run: why --> before the block")

    def check_exists(self, block, folder):
        for command in markdown.commands(block):
            words = command.text.split("#")[0].split()
            while words and re.match(r"^[A-Z_]+=", words[0]):
                words.pop(0)
            if not words:
                continue
            if words[0] == "make":
                made = subprocess.run(["make", "-n", *words[1:]], cwd=folder, capture_output=True, text=True)
                if made.returncode:
                    self.fail(command.line, f"{command.text}: {made.stderr.strip()}")
            elif "/" in words[0]:
                if not (folder / words[0]).exists():
                    self.fail(command.line, f"there is no {words[0]}")
            elif not shutil.which(words[0], path=f"{self.binaries}:{os.environ['PATH']}"):
                self.fail(command.line, f"there is no program {words[0]}")

    # ---- running

    def run_all(self, blocks):
        with tempfile.TemporaryDirectory(prefix="krake-docs-") as temporary:
            folder = pathlib.Path(temporary)
            mirror = self.make_mirror(folder / "krake")
            for name in ("home", "tmp", "log"):
                (folder / name).mkdir()
            env = {k: v for k, v in os.environ.items() if not k.startswith(("KRAKE", "XDG_", "MAKE"))}
            env.update(PATH=f"{self.binaries}:{env['PATH']}", HOME=str(folder / "home"), TMPDIR=str(folder / "tmp"), KRAKE_BIN=str(self.binaries),
                       PACE="0", NO_COLOR="1", TERM="dumb", LC_ALL="C.UTF-8")
            session = shell.Shell(mirror, env, DEADLINE)
            self.folder = folder
            try:
                for block in blocks:
                    if block.marker.startswith("not run:"):
                        self.not_run += len(markdown.commands(block))
                        self.check_exists(block, mirror)
                        continue
                    for command in markdown.commands(block):
                        if not self.run_one(session, block, command):
                            return  # what follows builds on it
            except shell.Ended as ended:
                self.fail(command.line, f"$ {command.text}\n{ended}")
            finally:
                for trouble in session.close():
                    self.fail(blocks[-1].line, trouble)
                if self.findings:
                    for log in sorted((folder / "log").iterdir()):
                        self.findings.append(f"--- last lines of a server\n{log.read_text(errors='replace')[-2000:]}")

    def make_mirror(self, mirror):
        """The repository as after `make build`; what commands write into its root stays out of the real one."""
        mirror.mkdir()
        for entry in self.root.iterdir():
            if entry.name not in ("build", ".git"):
                (mirror / entry.name).symlink_to(entry)
        (mirror / "build/release").mkdir(parents=True)
        (mirror / "build/release/bin").symlink_to(self.binaries)
        return mirror

    def run_one(self, session, block, command):
        self.ran += 1
        typed = re.sub(r"\b1808\d\b", lambda match: self.ports.setdefault(match.group(), str(kept_port())), command.text)
        if block.marker == "background" or command.text.rstrip().endswith("&"):
            return self.start(session, command, typed)
        end = time.monotonic() + DEADLINE
        while True:
            deadline = DEADLINE_MAKE if "make " in command.text else DEADLINE
            text, status = session.run(typed, deadline)
            seen = self.lines(text)
            good = (status != 0) == shows_error(command) and (command.output is None or matches(command.output, seen))
            if good or block.marker != "eventually" or time.monotonic() > end:
                break
        if not good:
            self.report(command, seen, f"exit status {status}")
        return good

    def start(self, session, command, typed):
        if not command.output:
            self.fail(command.line, f"$ {command.text}\nshow what it prints when it is ready: it is waited for")
            return False
        log = self.folder / "log" / f"{command.line}.log"
        session.start(typed, log)
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if log.exists() and matches(command.output, self.lines(log.read_text()), open_end=True):
                return True
            time.sleep(0.02)
        self.report(command, self.lines(log.read_text()), f"not within {DEADLINE} s")
        return False

    def lines(self, text):
        return text.replace(str(self.folder / "tmp"), "/tmp").rstrip().split("\n")

    def report(self, command, seen, how):
        wanted = "".join(f"    {line}\n" for line in command.output or ["(exit status 0)"])
        self.fail(command.line, f"$ {command.text}\n  wanted:\n{wanted}  seen ({how}):\n" + "".join(f"    {line}\n" for line in seen))


def documents(root):
    found = [p for p in root.rglob("*.md") if not {"build", "krake-dev"} & set(p.relative_to(root).parts) and not any(
        part.startswith(".") for part in p.relative_to(root).parts)]
    return sorted(found, key=lambda p: (len(p.relative_to(root).parts), p))


def main(arguments):
    if not arguments or not all((pathlib.Path(arguments[0]) / name).exists() for name in PROGRAMS):
        print(__doc__, file=sys.stderr)
        return 2
    chosen = [pathlib.Path(a).resolve() for a in arguments[1:]] or documents(ROOT)
    failed = 0
    for path in chosen:
        begin = time.monotonic()
        document = Document(path, arguments[0])
        document.check()
        failed += bool(document.findings)
        print(f"{'FAILED' if document.findings else 'ok':7}{document.name}: {document.ran} commands run, {document.not_run} only checked, "
              f"{time.monotonic() - begin:.1f} s", flush=True)
        for finding in document.findings:
            print("  " + finding.rstrip().replace("\n", "\n  "), flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
