"""Which jobs flow: those of every example, and chains of five steps for volume. Pure, but for reading the examples.

Job number n of a run is always of the same Workflow, with the same input and the same output to come.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

import example_outputs

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
API: Final = "mastercontrol.dev/v1alpha1"

Object = dict[str, Any]

CHAIN: Final = "chaos-chain"
STEPS: Final = ("one", "two", "three", "four", "five")
"""Steps of `tests/e2e/image/handlers.py`, which print the dispatch that they execute."""

WEIGHTS: Final = {"relay": 3}
"""How many of these come for each job of another Workflow; of the chain as many as a run wants."""
CHAINS: Final = 8


@dataclass(frozen=True)
class Sort:
    """Jobs of one kind: the spec of all of them, what their output must have, and how many there are beside others.

    Where `output` has the text `example` (the name that the example's own job has), a job has its own name.
    """

    workflow: str
    spec: Object
    output: Object
    example: str
    weight: int = 1


@dataclass(frozen=True)
class Wanted:
    """A job to be created, and what must come of it: `output` is to be in its own."""

    name: str
    workflow: str
    spec: Object
    output: Object

    def manifest(self) -> Object:
        """The Job."""
        return {"apiVersion": API, "kind": "Job", "metadata": {"name": self.name}, "spec": self.spec}


def documents(file: Path) -> list[Object]:
    """The objects of a YAML file."""
    return [document for document in yaml.safe_load_all(file.read_text()) if document]


def sorts(chains: int = CHAINS) -> list[Sort]:
    """All sorts of jobs: the chain's, `chains` for each job of another Workflow, and the examples' as they are."""
    pause = {"sleepSeconds": 0.3}
    chain_output = {**pause, "path": list(STEPS)}
    found = [Sort(CHAIN, {"workflow": CHAIN, "input": pause}, chain_output, CHAIN, chains)]
    for file in sorted(EXAMPLES.glob("*/*.yaml")):
        for job in documents(file):
            if job["kind"] == "Job":
                spec, name = job["spec"], job["spec"]["workflow"]
                output = example_outputs.ALL[name]
                found.append(Sort(name, spec, output, job["metadata"]["name"], WEIGHTS.get(name, 1)))
    return found


def setup() -> list[Object]:
    """All that the jobs need: the examples' pools, Workflows and claims, and the chain's own."""
    found = [o for file in sorted(EXAMPLES.glob("*/*.yaml")) for o in documents(file)]
    wanted = ("PersistentVolumeClaim", "WorkerPool", "Workflow")
    template = {
        "image": "mastercontrol-e2e:dev",
        "handlers": "handlers",
        "concurrency": 4,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    }
    # A worker that dies gives its steps back, and here they die all the time.
    spec = {"maxReplicas": 3, "deliveryLimit": 1000, "template": template}
    return [
        *(o for o in found if o["kind"] in wanted),
        {"apiVersion": API, "kind": "WorkerPool", "metadata": {"name": CHAIN}, "spec": spec},
        {
            "apiVersion": API,
            "kind": "Workflow",
            "metadata": {"name": CHAIN},
            "spec": {"states": [{"name": step, "pool": CHAIN} for step in STEPS]},
        },
    ]


def jobs(all_sorts: Sequence[Sort], count: int, run: str) -> Iterator[Wanted]:
    """The jobs of a run in the order of their creation; `run` is in their names."""
    around = cycle(all_sorts)
    for n in range(count):
        sort = around[n % len(around)]
        name = f"{sort.workflow}-{run}-{n}"
        output = json.loads(json.dumps(sort.output).replace(sort.example, name))
        yield Wanted(name, sort.workflow, sort.spec, output)


def cycle(all_sorts: Sequence[Sort]) -> list[Sort]:
    """One round: each sort as often as it weighs, evenly spread."""
    share = len(all_sorts) + 1
    # Each begins at a place of its own: those that come once would all come in the middle.
    places = [((i + (n + 1) / share) / s.weight, n) for n, s in enumerate(all_sorts) for i in range(s.weight)]
    return [all_sorts[n] for _, n in sorted(places)]


def due(created: int, count: int, elapsed: float, seconds: float) -> int:
    """How many more jobs are to be created now, so that `count` come evenly over `seconds`."""
    return max(0, min(count, int(count * elapsed / seconds) + 1) - created)
