"""YAML files as a user has them: the objects in them, each with its line. For the commands that read files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


class InvalidFile(ValueError):
    """A file cannot be used. `str()` says file, line and what to write."""


class _Loader(yaml.SafeLoader):
    """Reads a time as the text that it is, as kubectl does: JSON has no times."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def documents(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file, and the line that each begins at. Empty documents are passed over.

    :raises InvalidFile: it cannot be read, is no YAML, or holds something else than objects.
    """
    for node, value in composed(path):
        yield node.start_mark.line + 1, value


def composed(path: Path) -> Iterator[tuple[yaml.Node, dict[str, Any]]]:
    """The objects of a file, each with the node of it, which knows where everything in it stands.

    :raises InvalidFile: as `documents`.
    """
    try:
        text = path.read_text(encoding="utf-8")
        nodes = list(yaml.compose_all(text, Loader=_Loader))
        values = list(yaml.load_all(text, Loader=_Loader))
    except OSError as error:
        raise InvalidFile(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise InvalidFile(f"{path}: {error}") from None
    for node, value in zip(nodes, values, strict=True):
        if node is None or value is None:
            continue
        if not isinstance(value, dict):
            raise InvalidFile(f"{path}:{node.start_mark.line + 1}: this is no Kubernetes object")
        yield node, value
