"""The manifests of the how-to about scaling, as they stand there."""

from __future__ import annotations

import re

import yaml

from e2e.harness import ROOT, Object

HOW_TO = ROOT / "docs" / "how-to" / "scale-workers.md"


def manifest(mark: str, namespace: str = "shop") -> Object:
    """The manifest after a mark, for another namespace than that of the how-to's queries."""
    found = re.search(rf"<!-- {mark} -->\n```yaml\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert found is not None, mark
    return dict(yaml.safe_load(found[1].replace('namespace="shop"', f'namespace="{namespace}"')))
