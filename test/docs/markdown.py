"""What the documents' test needs of Markdown: fenced blocks with their markers, commands, links, headings, code spans."""
import re
import subprocess
from dataclasses import dataclass, field

FENCE = re.compile(r"^ {0,3}(```+|~~~+)\s*([^`]*)$")
COMMENT = re.compile(r"^\s*<!--\s*(.*?)\s*-->\s*$")
HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")


@dataclass
class Block:
    line: int  # of the opening fence, from 1
    info: str
    marker: str  # the HTML comment on the line before, without its brackets
    lines: list = field(default_factory=list)


@dataclass
class Command:
    line: int
    text: str
    output: list = None  # None: the document shows nothing after it


def split(text):
    """The fenced blocks, and the other lines as [(number, line)]."""
    blocks, prose, fence, before = [], [], None, ""
    for number, line in enumerate(text.split("\n"), 1):
        match = FENCE.match(line)
        if fence:
            if match and match.group(1).startswith(fence) and not match.group(2):
                fence = None
            else:
                blocks[-1].lines.append(line)
        elif match:
            fence = match.group(1)
            comment = COMMENT.match(before)
            blocks.append(Block(number, match.group(2).strip(), comment.group(1) if comment else ""))
        else:
            prose.append((number, line))
        before = line
    return blocks, prose


def complete(text):
    """Whether bash would run this now, or wait for more lines."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        match = HEREDOC.search(line)
        if match and match.group(2) not in (rest.strip() for rest in lines[i + 1:]):
            return False
    if text.endswith("\\"):
        return False
    checked = subprocess.run(["bash", "-n"], input=text + "\n", text=True, capture_output=True)
    return checked.returncode == 0 or "unexpected end of file" not in checked.stderr and "unexpected EOF" not in checked.stderr


def commands(block):
    """sh: every line belongs to a command. console: '$ ' begins one, '> ' goes on with it, the rest is what it prints."""
    found, part, begin = [], [], 0
    for offset, line in enumerate(block.lines, 1):
        if part:
            part.append(line.removeprefix("> ") if block.info == "console" else line)
        elif block.info == "console":
            if line.startswith("$ "):
                part, begin = [line[2:]], block.line + offset
            elif found:
                found[-1].output = (found[-1].output or []) + [line]
            elif line.strip():
                raise ValueError(f"line {block.line + offset}: output before the first '$ '")
        elif line.strip() and not line.lstrip().startswith("#"):
            part, begin = [line], block.line + offset
        if part and complete("\n".join(part)):
            found.append(Command(begin, "\n".join(part)))
            part = []
    if part:
        raise ValueError(f"line {begin}: the command does not end")
    for command in found:
        while command.output and not command.output[-1].strip():
            command.output.pop()
    return found


def spans(prose):
    """Code spans of the prose: [(number, text)]."""
    return [(number, span) for number, line in prose for span in re.findall(r"`([^`]+)`", line)]


def links(prose):
    without_code = [(number, re.sub(r"`[^`]*`", "", line)) for number, line in prose]
    return [(number, target) for number, line in without_code for target in re.findall(r"\]\(([^)\s]+)\)", line)]


def anchors(prose):
    """The names by which headings can be linked to, as GitHub makes them."""
    seen = {}
    for _, line in prose:
        match = re.match(r"^#{1,6}\s+(.*?)\s*#*$", line)
        if not match:
            continue
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match.group(1)).lower()
        name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = seen.get(name, -1) + 1
        seen[name] = count
        if count:
            seen[f"{name}-{count}"] = 0
    return set(seen)
