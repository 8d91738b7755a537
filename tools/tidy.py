#!/usr/bin/env python3
"""House rules as a check: formatting, layers, banned calls, file sizes, clang-tidy (cached by content). Exit 1 on any finding."""
import concurrent.futures
import hashlib
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "krake-tidy"
MAX_LINES = 1000
MAX_BEAST_FILES = 10

# Calls that would let nondeterminism in, and where they are allowed.
BANNED = [
    (re.compile(r"std::chrono::(steady|system|high_resolution)_clock::now"), ("src/base/", "src/main/", "src/store/sqlite/", "bench/"), "time comes from Clock"),
    (re.compile(r"\b(random_device|std::rand\b|srand\()"), ("src/base/",), "randomness comes from Random"),
    (re.compile(r"\b(sleep_for|usleep|nanosleep)\s*\((?!.*clock)"), ("src/base/", "src/main/", "bench/", "test/"), "wait on a condition or the Clock"),
    (re.compile(r"\bstd::(thread|jthread|async)\b"), ("src/base/", "src/net/", "src/store/sqlite/", "src/store/etcd/", "src/store/conformance/", "src/main/", "bench/", "test/"), "threads live at the seams"),
    (re.compile(r"\bco_spawn\s*\("), ("src/base/task_group", "src/base/deadlines", "src/base/cancel_scope"), "only TaskGroup starts coroutines"),
    (re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"), (), "finish it, or write it into docs/design/plan.md"),
]


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [p for p in out.split("\n") if p and (ROOT / p).is_file()]


def layers():
    allowed = {}
    for line in (ROOT / "tools/layers.txt").read_text().splitlines():
        if "->" in line and not line.startswith("#"):
            left, right = line.split("->")
            allowed[left.strip()] = set(right.split())
    closed = {}

    def close(name):
        if name not in closed:
            closed[name] = set(allowed[name])
            for other in allowed[name]:
                closed[name] |= close(other)
        return closed[name]

    for name in allowed:
        close(name)
    return closed


def check_text(findings):
    allowed = layers()
    findings.extend(f"tools/layers.txt: there is no src/{name}" for name in allowed if not (ROOT / "src" / name).is_dir())
    beast = []
    for path in tracked("*.h", "*.cc", "*.py", "*.sh", "*.md", "*.txt", "*.yaml", "tools/*"):
        text = (ROOT / path).read_text(errors="replace")
        if re.search(r"^\s*(<{7}|>{7}) ", text, re.MULTILINE):
            findings.append(f"{path}: a merge conflict is in it")
        if path.endswith((".md", ".txt", ".yaml")):
            continue
        lines = text.split("\n")
        if len(lines) > MAX_LINES + 1:
            findings.append(f"{path}: {len(lines)} lines; split it (limit {MAX_LINES})")
        if not path.endswith((".h", ".cc")):
            continue
        if path.endswith(".h") and "#pragma once" not in text:
            findings.append(f"{path}: no #pragma once")
        if re.search(r"#include <boost/(beast|asio/ssl)", text) and path.endswith(".cc"):
            beast.append(path)
        is_test = path.endswith("_test.cc") or path.endswith(("testing.h", "test_bench.h", "test_cluster.h", "test_backend.h")) or "/conformance" in path
        folders = path.split("/")[1:-1] if path.startswith("src/") else []
        layer = "/".join(folders[:2]) if "/".join(folders[:2]) in allowed else folders[0] if folders else None  # a row of its own counts
        if layer and layer not in allowed:
            findings.append(f"{path}: {layer} has no row in tools/layers.txt")
            layer = None
        for number, line in enumerate(lines, 1):
            include = re.match(r'#include "([a-z]+)/', line)
            if include and layer and not is_test:
                other = include.group(1)
                if other in allowed and other != folders[0] and other not in allowed[layer]:
                    findings.append(f"{path}:{number}: arrow {layer} -> {other} is not allowed (tools/layers.txt)")
            for pattern, where, why in BANNED:
                if pattern.search(line.split("//")[0] if "TODO" not in pattern.pattern else line) and not path.startswith(where or ("-",)):
                    findings.append(f"{path}:{number}: {line.strip()[:60]}: {why}")
    if len(beast) > MAX_BEAST_FILES:
        findings.append(f"{len(beast)} files include Beast or Asio's TLS (limit {MAX_BEAST_FILES}): {' '.join(beast)}")


def check_mutants(findings):
    for path in tracked("test/mutants/*.patch"):
        tried = subprocess.run(["patch", "-p1", "--dry-run", "-s", "-i", ROOT / path], cwd=ROOT, capture_output=True, check=False)
        if tried.returncode != 0:
            findings.append(f"{path}: does not apply; take it along with the code it changes")


def check_format(findings):
    files = tracked("*.h", "*.cc")
    result = subprocess.run(["clang-format-19", "--dry-run", "--Werror", *files], cwd=ROOT, capture_output=True, text=True)
    bad = sorted({line.split(":")[0] for line in result.stderr.split("\n") if "-Wclang-format-violations" in line})
    findings.extend(f"{path}: not formatted (make format)" for path in bad)


def check_clang_tidy(findings):
    build = ROOT / "build/dev"
    if not (build / "compile_commands.json").exists():
        subprocess.run(["cmake", "--preset", "dev"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    config = (ROOT / ".clang-tidy").read_bytes()
    headers = hashlib.sha256()
    for path in tracked("*.h"):
        headers.update((ROOT / path).read_bytes())
    CACHE.mkdir(parents=True, exist_ok=True)

    def one(path):
        key = hashlib.sha256(config + headers.digest() + (ROOT / path).read_bytes() + path.encode()).hexdigest()
        mark = CACHE / key
        if mark.exists():
            return None
        result = subprocess.run(["clang-tidy-19", "-p", str(build), "--quiet", path], cwd=ROOT, capture_output=True, text=True)
        problems = [line for line in result.stdout.split("\n") if re.search(r": (warning|error):", line)]
        if result.returncode == 0 and not problems:
            mark.touch()
            return None
        return problems or [f"{path}: clang-tidy failed: {result.stderr.strip()[:300]}"]

    # Sources that decide something; tests and wiring are covered by the compiler's warnings.
    files = [p for p in tracked("src/*.cc") if not p.endswith("_test.cc") and "_impl" not in p and "/beast/" not in p and "/conformance/" not in p]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for problems in pool.map(one, files):
            findings.extend(problems or [])


def main():
    findings = []
    check_text(findings)
    check_mutants(findings)
    check_format(findings)
    if "--fast" not in sys.argv:
        check_clang_tidy(findings)
    for finding in findings:
        print(finding.replace(str(ROOT) + "/", ""))
    print(f"tidy: {len(findings)} findings" if findings else "tidy: clean")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
