"""Writes the reference pages that are read out of schemas, so that they can't tell anything else than these do.

    docs/generate.py            write docs/reference/kinds.md and docs/reference/chart-values.md
    docs/generate.py --check    write nothing; exit status 1 if a page is not up to date

Reads `crds/`, `charts/mcp/values.schema.json` and `charts/mcp/values.yaml`. Needs PyYAML.
"""
# ruff: noqa: INP001 - a script, no package

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "reference"
Schema = dict[str, Any]

# In the order in which a newcomer meets them.
KINDS = ("mcpjobs", "mcpworkflows", "mcpworkerpools", "mcpschedules")

GENERATED = "<!-- Written by docs/generate.py. Do not edit; edit {source} and run it again. -->\n"


def kinds_page() -> str:
    """The reference of the kinds, from `crds/`."""
    lines = [
        "# Kinds",
        "",
        GENERATED.format(source="crds/"),
        "All are in the group `mastercontrol.dev`, version `v1alpha1`, and `kubectl get mcp` lists them all.",
        "`kubectl explain mcpjobs.spec` says the same as this page.",
        "",
    ]
    for plural in KINDS:
        lines += kind_section(yaml.safe_load((ROOT / "crds" / f"{plural}.yaml").read_text(encoding="utf-8")))
    return "\n".join(lines)


def kind_section(crd: Schema) -> Iterator[str]:
    """One kind: what it is, its fields, and what `kubectl get` shows of it."""
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    yield from (f"## {names['kind']}", "", schema["description"], "")
    short = ", ".join(f"`{name}`" for name in names["shortNames"])
    yield from (f"Resource `{names['plural']}`, short {short}.", "")
    for part in ("spec", "status"):
        yield from (f"### {names['kind']}: {part}", "", schema["properties"][part]["description"], "")
        yield from table(("field", "value", "default", "meaning"), fields(schema["properties"][part], part))
    yield from (f"### {names['kind']}: columns of `kubectl get`", "")
    yield from table(("column", "shown", "meaning"), columns(version["additionalPrinterColumns"]))


def columns(given: list[Schema]) -> Iterator[tuple[str, ...]]:
    """The printer columns of a kind."""
    for column in given:
        shown = "with `-o wide`" if column.get("priority") else "always"
        yield column["name"].upper(), shown, column["description"]


def fields(schema: Schema, path: str) -> Iterator[tuple[str, ...]]:
    """The fields in a schema, outer ones first: path, value, default and description."""
    for name, field in schema.get("properties", {}).items():
        inner = f"{path}.{name}"
        required = "required" if name in schema.get("required", ()) else default(field)
        yield f"`{inner}`", value(field), required, field["description"]
        if field.get("type") == "array":
            inner, field = f"{inner}[]", field["items"]  # noqa: PLW2901 - goes on with the items
        if "properties" in field:
            yield from fields(field, inner)


def default(field: Schema) -> str:
    """The default of a field as code; that of an object is the defaults of its fields."""
    return code(field["default"]) if field.get("default", {}) != {} else ""


def value(field: Schema) -> str:
    """What may be written, in a few words."""
    if "enum" in field:
        return ", ".join(code(choice) for choice in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        rules = [rule["rule"] for rule in field.get("x-kubernetes-validations", ())]
        return "quantity" if any("isQuantity" in rule for rule in rules) else "integer or string"
    kind = field.get("type", "any JSON value")
    if isinstance(kind, list):
        kind = " or ".join(kind)
    if kind == "array":
        return f"list of {field['items'].get('type', 'value')}s"
    if field.get("additionalProperties"):
        return "map"
    if kind in {"integer", "number"} and "maximum" in field:
        return f"{kind}, {field['minimum']} to {field['maximum']}"
    return "time" if field.get("format") == "date-time" else str(kind)


def values_page() -> str:
    """The reference of the chart's values, from its schema and its defaults."""
    chart = ROOT / "charts" / "mcp"
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    lines = [
        "# Values of the chart",
        "",
        GENERATED.format(source="charts/mcp/values.schema.json and charts/mcp/values.yaml"),
        "`helm install mcp ./charts/mcp` works without any. A name that is not listed here is refused.",
        "",
        *table(("value", "what may be written", "default", "meaning"), chart_values(schema, defaults, "")),
    ]
    return "\n".join(lines)


def chart_values(schema: Schema, defaults: Any, path: str) -> Iterator[tuple[str, ...]]:
    """The values that have a default, outer ones first."""
    for name, field in schema["properties"].items():
        if name not in defaults:
            continue  # `global`, which belongs to Helm
        given = defaults[name]
        inner = f"{path}{name}"
        if "properties" in field:
            yield f"**`{inner}`**", "", "", field["description"]
            yield from chart_values(field, given, f"{inner}.")
        else:
            yield f"`{inner}`", value({"type": "object", **field}), code(given), field["description"]


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table, with an empty line after it."""
    escapes = str.maketrans({"|": "\\|", "<": "\\<", "\n": " "})
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.translate(escapes) for cell in row) + " |"
    yield ""


def code(given: object) -> str:
    """A value as one would write it in YAML."""
    return f"`{json.dumps(given)}`" if not isinstance(given, str) or not given else f"`{given}`"


def main(arguments: list[str]) -> int:
    """Write or check the pages; the exit status."""
    stale = []
    for name, text in {"kinds.md": kinds_page(), "chart-values.md": values_page()}.items():
        page = PAGES / name
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if arguments != ["--check"]:
            PAGES.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
            sys.stderr.write(f"wrote docs/reference/{name}\n")
    if stale and arguments == ["--check"]:
        sys.stderr.write(f"not up to date, run docs/generate.py: {', '.join(stale)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
