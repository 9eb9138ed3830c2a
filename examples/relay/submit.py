#!/usr/bin/env python3
"""The producer: writes N Jobs of the Workflow `relay` to standard output, for `kubectl create -f -`.

    python examples/relay/submit.py 50 --pause 1 | kubectl create -f -

With --apply it calls kubectl itself. The Jobs have the label example=relay and names that the API server makes up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence


def manifests(count: int, pause: float) -> str:
    """`count` Jobs as a YAML stream (each document is JSON, which is YAML too)."""
    job = {
        "apiVersion": "mastercontrol.dev/v1alpha1",
        "kind": "Job",
        "metadata": {"generateName": "relay-", "labels": {"example": "relay"}},
        "spec": {"workflow": "relay", "input": {"pauseForSeconds": pause}},
    }
    return f"---\n{json.dumps(job)}\n" * count


def positive(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("write a number from 1")
    return count


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Submit relay Jobs.")
    parser.add_argument("count", type=positive, metavar="N", help="how many Jobs")
    parser.add_argument("--pause", type=float, default=0.5, metavar="SECONDS", help="pauseForSeconds of each (0.5)")
    parser.add_argument("--apply", action="store_true", help="call `kubectl create -f -` instead of writing to stdout")
    args = parser.parse_args(argv)
    text = manifests(args.count, args.pause)
    if not args.apply:
        sys.stdout.write(text)
        return 0
    command = ["kubectl", "create", "-f", "-"]
    return subprocess.run(command, input=text, text=True, check=False).returncode  # noqa: S603  the user's own kubectl


if __name__ == "__main__":
    sys.exit(main())
