#!/usr/bin/env python3
"""Writes docs/reference/*.md, a page for each API group, from the OpenAPI document that the program prints.

    reference.py KRAKE [--check]        (KRAKE: the program, or a file with its document; --check: write nothing, exit 1 when a page differs)
"""
import difflib
import json
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "docs" / "reference"
NOTE = "Made by `make reference` from what `krake openapi` prints."
MARKS = [("x-krake-required", "required"), ("readOnly", "read-only"), ("x-krake-immutable", "immutable"), ("x-krake-secret", "secret"),
         ("x-krake-additive", "**+**"), ("x-krake-subresource", "sub-resource")]
METHODS = ["get", "post", "put", "patch", "delete"]


def name_of(reference):
    return reference["$ref"].rpartition("/")[2]


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


class Reference:
    def __init__(self, document):
        self.document = document
        self.schemas = document["components"]["schemas"]
        self.kinds = {name: schema["x-krake-kind"] for name, schema in self.schemas.items() if "x-krake-kind" in schema}
        self.groups = [tag for tag in document["tags"] if any(kind["group"] == tag["name"] for kind in self.kinds.values())]
        self.descriptions = [operation["description"] for item in document["paths"].values() for operation in item.values()
                             if "description" in operation]
        self.home = {}  # the page of each type: that of its group, or of all
        for kind, about in self.kinds.items():
            for name in self.types_within(kind):
                page = about["group"]
                self.home[name] = page if self.home.get(name, page) == page else "common"

    # ---- what there is

    def not_null(self, schema):
        """What is meant by "this or null"."""
        choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
        return choices[0] if len(choices) == 1 else schema

    def referred(self, schema):
        """Names of the described structs a schema speaks of; those of alternatives are behind one more reference."""
        schema = self.not_null(schema)
        if "$ref" in schema:
            return [name_of(schema)]
        if "oneOf" in schema:
            return [name for choice in schema["oneOf"] for name in self.choice(choice).values()]
        return [name for inner in ("items", "additionalProperties") if isinstance(schema.get(inner), dict) for name in self.referred(schema[inner])]

    def choice(self, reference):
        """{tag: struct} of one alternative."""
        properties = self.schemas[name_of(reference)]["properties"]
        return {tag: name_of(schema) for tag, schema in properties.items() if tag != "type"}

    def types_within(self, name, found=None):
        found = [] if found is None else found
        if name not in found:
            found.append(name)
            for schema in self.schemas[name].get("properties", {}).values():
                for inner in self.referred(schema):
                    self.types_within(inner, found)
        return found

    # ---- how it is shown

    def link(self, name, page):
        return f"[{name}]({'' if self.home[name] == page else self.home[name] + '.md'}#{name.lower()})"

    def type_text(self, schema, page):
        schema = self.not_null(schema)
        if "$ref" in schema:
            return self.link(name_of(schema), page)
        if "oneOf" in schema:
            return "one of " + ", ".join(f"`{tag}`: {self.link(name, page)}" for choice in schema["oneOf"] for tag, name in self.choice(choice).items())
        kinds = schema.get("type", "object")
        kinds = [kinds] if isinstance(kinds, str) else [kind for kind in kinds if kind != "null"]
        if kinds == ["array"]:
            return "list of " + self.type_text(schema["items"], page)
        if kinds == ["object"] and isinstance(schema.get("additionalProperties"), dict):
            return "map to " + self.type_text(schema["additionalProperties"], page)
        formats = {"date-time": "time", "krake-label-constraint": "label constraint", "krake-metric-constraint": "metric constraint"}
        return formats.get(schema.get("format"), " or ".join(kinds))

    def field_row(self, name, schema, page):
        marks = [text for mark, text in MARKS if schema.get(mark) is True]
        if "default" in schema:
            marks.append(f"default `{json.dumps(schema['default'])}`")
        text = schema.get("description", "")
        if "enum" in schema:
            text += " One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + "."
        return f"| `{name}` | {self.type_text(schema, page)} | {', '.join(marks)} | {cell(text).strip()} |"

    def type_section(self, name, page, level):
        schema = self.schemas[name]
        lines = [f"{'#' * level} {name}", "", schema.get("description", ""), ""]
        rows = [self.field_row(field, inner, page) for field, inner in schema["properties"].items() if "const" not in inner]
        return lines + (["| Field | Type | | |", "|---|---|---|---|", *rows, ""] if rows else [])

    def routes_section(self, operations):
        rows = []
        for path, method, operation in operations:
            right = operation.get("x-krake-right")
            wanted = f"{right['verb']} `{right['resource']}`" if right else ""
            text = operation["summary"] + "."
            if self.descriptions.count(operation.get("description")) == 1:  # what is said of every kind is in docs/api.md
                text += " " + operation["description"]
            rows.append(f"| {method.upper()} | `{path}` | {wanted} | {cell(text)} |")
        return ["| | Path | Right | |", "|---|---|---|---|", *rows, ""]

    def operations_of(self, group, plural=None):
        for path, item in self.document["paths"].items():
            parts = path.strip("/").split("/")  # GROUP/PLURAL..., GROUP/namespaces/NAMESPACE/PLURAL...
            found = parts[3:4] if parts[1:2] == ["namespaces"] else parts[1:2]
            for method in METHODS:
                operation = item.get(method)
                if operation and operation["tags"] == [group] and (plural is None or found == [plural]):
                    yield path, method, operation

    # ---- pages

    def group_page(self, tag):
        group = tag["name"]
        lines = [f"# {group}", "", f"{tag.get('description', '')} {NOTE} **+** marks what upstream does not have.", ""]
        shown = set()
        for name, about in self.kinds.items():
            if about["group"] != group:
                continue
            lines += self.type_section(name, group, 2)
            lines += self.routes_section(self.operations_of(group, about["plural"]))
            for inner in self.types_within(name)[1:]:
                if self.home[inner] == group and inner not in shown:
                    shown.add(inner)
                    lines += self.type_section(inner, group, 3)
        return lines

    def common_page(self):
        lines = ["# Types of several groups", "", NOTE, ""]
        for name, page in self.home.items():
            if page == "common":
                lines += self.type_section(name, "common", 2)
        return lines

    def server_page(self):
        return ["# The server", "", NOTE, "", *self.routes_section(self.operations_of("server"))]

    def index_page(self):
        lines = ["# Reference", "", f"{NOTE} [The API](../api.md) says how it all works together; `krakectl explain` shows the same in a terminal.", "",
                 "| Kind | Group | |", "|---|---|---|"]
        for name, about in self.kinds.items():
            lines.append(f"| [{name}]({about['group']}.md#{name.lower()}) | {about['group']} | {cell(self.schemas[name].get('description', ''))} |")
        return [*lines, "", "[Types of several groups](common.md) · [the server](server.md)", ""]

    def pages(self):
        pages = {"README": self.index_page(), "common": self.common_page(), "server": self.server_page()}
        pages.update({tag["name"]: self.group_page(tag) for tag in self.groups})
        return {f"{name}.md": "\n".join(lines).rstrip() + "\n" for name, lines in pages.items()}


def document_of(source):
    text = source.read_text() if source.suffix == ".json" else subprocess.run([source, "openapi"], check=True, capture_output=True, text=True).stdout
    return json.loads(text)


def main():
    arguments = [word for word in sys.argv[1:] if word != "--check"]
    pages = Reference(document_of(pathlib.Path(arguments[0]).resolve())).pages()
    if "--check" not in sys.argv:
        FOLDER.mkdir(exist_ok=True)
        for old in FOLDER.glob("*.md"):
            old.unlink()
        for name, text in pages.items():
            (FOLDER / name).write_text(text)
        return 0
    present = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    for name in sorted(pages.keys() | present.keys()):
        if pages.get(name) != present.get(name):
            print(f"docs/reference/{name} is not what `make reference` makes:")
            print("\n".join(list(difflib.unified_diff(present.get(name, "").splitlines(), pages.get(name, "").splitlines(), lineterm=""))[:20]))
    return int(pages != present)


if __name__ == "__main__":
    sys.exit(main())
