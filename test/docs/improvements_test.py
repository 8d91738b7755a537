"""The table of docs/design/010-improvements.md: complete, and each test it names is there."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NUMBERS = [f"W{n}" for n in range(1, 44)]
WHY_NOT = "not done because "


def tests_in(root):
    """W-number to the names of its tests: TEST(W1, Name) or TEST(Suite, W1_Name) in C++, w1_name in Python."""
    found = {}
    for path in sorted(root.glob("src/**/*_test.cc")):
        for number, name in re.findall(r"^TEST(?:_F|_P)?\((W\d+), (\w+)\)", path.read_text(), re.M):
            found.setdefault(number, set()).add(name)
        for name, number in re.findall(r"^TEST(?:_F|_P)?\(\w+, ((W\d+)_\w+)\)", path.read_text(), re.M):
            found.setdefault(number, set()).add(name)
    for path in sorted(root.glob("test/**/*.py")):
        if path.resolve() == pathlib.Path(__file__).resolve():
            continue
        for number, name in re.findall(r"\bw(\d+)_(\w+)", path.read_text()):
            found.setdefault(f"W{number}", set()).add(f"w{number}_{name}")
    return found


def problems(table, tests):
    rows = re.findall(r"^\| (W\d+) \| (.+) \| (.+) \|$", table, re.M)
    said = [number for number, _, _ in rows]
    yield from (f"{number}: in the table {said.count(number)} times, want once" for number in NUMBERS if said.count(number) != 1)
    yield from (f"{number}: there is no such improvement" for number in {*said, *tests} if number not in NUMBERS)
    for number, _, proof in rows:
        named = re.findall(r"`(?:(W\d+)\.)?(\w+)`", proof)
        if not named and not (proof.startswith(WHY_NOT) and len(proof) > len(WHY_NOT)):
            yield f"{number}: names no test, and does not say '{WHY_NOT}...'"
        for of, name in named:
            if (of or number) != number:
                yield f"{number}: {of}.{name} is the test of another"
            elif name not in tests.get(number, ()):
                yield f"{number}: there is no test {name}"
        if not named and tests.get(number):
            yield f"{number}: said not to be done, and yet has the tests {sorted(tests[number])}"


def check_the_checker():
    """It finds each kind of mistake."""
    good = "\n".join(f"| W{n} | x | `W{n}.A` |" for n in range(1, 44))
    tests = {number: {"A"} for number in NUMBERS}
    assert not list(problems(good, tests))
    for bad, have in [(good.replace("| W7 |", "| W8 |"), tests), (good.replace("`W9.A`", "`W9.B`"), tests), (good.replace("`W3.A`", "none"), tests),
                      (good.replace("`W3.A`", "`W4.A`"), tests), (good, {**tests, "W44": {"A"}}), (good.replace("`W5.A`", WHY_NOT + "x"), tests)]:
        assert list(problems(bad, have)), bad


def main():
    check_the_checker()
    found = list(problems((ROOT / "docs/design/010-improvements.md").read_text(), tests_in(ROOT)))
    print("\n".join(found) or f"{len(NUMBERS)} improvements, each with its test or the reason why not")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
