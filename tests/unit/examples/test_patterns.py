"""The patterns run as a reader runs them, with their own jobs and with such that take the other ways."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from mastercontrol.api.pool import parse_pool
from mastercontrol.pools.podtemplate import pod_template
from mastercontrol_worker import Registry
from unit.examples.loading import PATTERNS

Object = dict[str, Any]
NAMES = ["approval", "basket", "fan-out", "map-failures", "order", "polling", "travel", "trip"]


@dataclass(frozen=True)
class End:
    """How a job of a run ended. `states` are those that were seen, in their order; `text` is all that was printed."""

    phase: str
    output: Any
    error: str
    states: list[str]
    text: str


def ends(stdout: str) -> dict[str, End]:
    """What a run of `mastercontrol dev` printed, by job."""
    found = {}
    for name, phase, rest in re.findall(r"^([\w-]+): (\w+)\n(.*?)(?=^[\w-]+: |\Z)", stdout, re.MULTILINE | re.DOTALL):
        seen = re.findall(rf"^ *[\d.]+s  {name} +(?:InProgress\.)?(\w+)", stdout, re.MULTILINE)
        states = [s for i, s in enumerate(seen) if i == 0 or s != seen[i - 1]]
        output = json.loads(rest) if rest.startswith("{") else None
        found[name] = End(phase, output, "" if output else rest.strip(), states, stdout)
    return found


def dev(*files: Path) -> dict[str, End]:
    run = "import sys; from mastercontrol.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", run, "dev", "--plain", "--timeout", "40", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "not all jobs ended" not in done.stderr, done.stdout
    return ends(done.stdout)


@pytest.fixture(scope="module")
def demo() -> dict[str, End]:
    """All patterns with their own jobs, at once."""
    return dev(*sorted(PATTERNS.glob("*.yaml")))


@pytest.fixture
def other(tmp_path: Path) -> Callable[..., End]:
    """A pattern with another job: other input, other signals, or one of its states changed."""

    def run(name: str, *, signals: list[Object] | None = None, state: Object | None = None, **data: Any) -> End:
        workflow, job = yaml.safe_load_all((PATTERNS / f"{name}.yaml").read_text())
        job["spec"]["input"] |= data
        if signals is not None:
            job["spec"]["signals"] = signals
        for found in workflow["spec"]["states"]:
            if state is not None and found["name"] == state["name"]:
                found.update(state)
        path = tmp_path / "other.yaml"
        path.write_text(yaml.safe_dump_all([workflow, job, *(workflow_of(n) for n in sub_workflows(workflow))]))
        return dev(PATTERNS / "pools.yaml", path)[job["metadata"]["name"]]

    return run


def test_there_are_the_patterns_that_the_readme_lists() -> None:
    files = {path.stem for path in PATTERNS.glob("*.yaml")} - {"pools"}
    listed = set(
        re.findall(r"^\| \[[\w-]+\.yaml\]\(([\w-]+)\.yaml\)", (PATTERNS / "README.md").read_text(), re.MULTILINE)
    )
    assert files == set(NAMES) == listed - {"pools"}


def tasks(states: list[Object]) -> list[Object]:
    """The Task states, those inside of branches and Maps too."""
    return of_type("Task", states)


def of_type(kind: str, states: list[Object]) -> list[Object]:
    """The states of a type, those inside of branches and Maps too."""
    found = []
    for state in states:
        blocks = [*state.get("branches", []), *([state] if state.get("type") == "Map" else [])]
        found += [inner for block in blocks for inner in of_type(kind, block["states"])]
        if state.get("type", "Task") == kind:
            found.append(state)
    return found


def workflow_of(name: str) -> Object:
    """The Workflow of a pattern."""
    workflow: Object = next(iter(yaml.safe_load_all((PATTERNS / f"{name}.yaml").read_text())))
    return workflow


def sub_workflows(workflow: Object) -> set[str]:
    """The names of those whose Jobs a Workflow makes."""
    return {state["workflow"] for state in of_type("SubJob", workflow["spec"]["states"])}


@pytest.mark.parametrize("name", NAMES)
def test_each_step_has_a_pool_and_a_handler(name: str, registry: Registry, patterns: ModuleType) -> None:
    pools = {p["metadata"]["name"]: p for p in yaml.safe_load_all((PATTERNS / "pools.yaml").read_text())}
    workflow, _ = yaml.safe_load_all((PATTERNS / f"{name}.yaml").read_text())
    for task in tasks(workflow["spec"]["states"]):
        assert task["pool"] in pools
        entry = registry.get(task["name"])
        assert entry is not None, f"no handler for {task['name']}"
        assert entry.function.__module__ == patterns.__name__


def test_the_pods_of_each_pool_use_the_image_of_the_example() -> None:
    for raw in yaml.safe_load_all((PATTERNS / "pools.yaml").read_text()):
        (container,) = pod_template(parse_pool(raw), "secret", {}, "amqp://broker")["spec"]["containers"]
        assert container["image"] == "mastercontrol-example-patterns:dev"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_has_a_workflow_and_a_job_that_hack_up_can_tell_by_its_label(name: str) -> None:
    workflow, job = yaml.safe_load_all((PATTERNS / f"{name}.yaml").read_text())
    assert [workflow["kind"], job["kind"]] == ["Workflow", "Job"]
    assert workflow["metadata"] == {"name": name}
    assert job["metadata"] == {"name": f"{name}-1", "labels": {"example": "patterns"}}
    assert job["spec"]["workflow"] == name


@pytest.mark.parametrize("name", NAMES)
def test_each_pattern_ends_well_with_its_own_job(demo: dict[str, End], name: str) -> None:
    assert demo[f"{name}-1"].phase == "Succeeded"


# -- order


def test_a_busy_provider_is_asked_again_and_the_order_is_shipped(demo: dict[str, End]) -> None:
    end = demo["order-1"]
    assert end.output == {"state": "shipped", "receipt": "order-1-38", "parcel": "order-1-lamp"}
    assert end.states == ["Begin", "checkStock", "charge", "ship", "Done"]
    assert "charge is with pool patterns-partners, attempt 3" in end.text


def test_what_is_not_in_stock_is_not_charged(other: Callable[..., End]) -> None:
    end = other("order", sku="desk")
    assert end.output == {"state": "outOfStock", "sku": "desk"}
    assert end.states == ["Begin", "checkStock", "Done"]


def test_a_declined_card_is_not_tried_again(other: Callable[..., End]) -> None:
    end = other("order", card="0000", busyTimes=0)
    assert end.output == {"state": "declined", "why": "card 0000 was declined"}
    assert "attempt 2" not in end.text


def test_a_provider_that_stays_busy_fails_the_order(other: Callable[..., End]) -> None:
    rules = [{"errors": ["ProviderBusy"], "limit": 2, "backoffSeconds": 0}]
    end = other("order", busyTimes=99, state={"name": "charge", "retry": {"rules": rules}})
    assert (end.phase, end.error) == ("Failed", "charge: ProviderBusy: the provider is busy")


def test_an_error_that_no_rule_names_is_not_tried_again(other: Callable[..., End]) -> None:
    end = other("order", busyTimes="often")
    assert end.phase == "Failed"
    assert end.error.startswith("charge: ")
    assert "attempt 2" not in end.text


# -- approval


def test_what_the_manager_approves_is_reimbursed(demo: dict[str, End]) -> None:
    assert demo["approval-1"].output == {"state": "reimbursed", "transfer": "120 to ben", "by": "ana"}


@pytest.mark.parametrize("payload", [{"approved": False, "by": "ana"}, {"by": "ana"}])
def test_what_the_manager_does_not_approve_is_refused(other: Callable[..., End], payload: Object) -> None:
    end = other("approval", signals=[{"name": "approval", "payload": payload}])
    assert end.output == {"state": "refused", "by": "ana"}
    assert "reimburse" not in end.states


@pytest.mark.parametrize("signals", [[], [{"name": "applause", "payload": {"approved": True, "by": "ben"}}]])
def test_an_approval_that_does_not_come_expires(other: Callable[..., End], signals: list[Object]) -> None:
    end = other("approval", signals=signals, state={"name": "approval", "timeoutSeconds": 1})
    assert end.output == {"state": "expired"}
    assert end.states == ["Begin", "askManager", "approval", "Done"]


# -- basket

LAMPS, DESK = {"sku": "lamp", "quantity": 2, "price": 19}, {"sku": "desk", "quantity": 1, "price": 240}


def test_each_line_of_a_basket_is_an_order_of_its_own(demo: dict[str, End]) -> None:
    end = demo["basket-1"]
    assert end.output == {"shipped": 2, "outOfStock": ["desk"], "failed": []}
    assert len(set(re.findall(r"basket-1-order-[0-9a-f]{10}(?= +Done)", end.text))) == 3


def test_an_order_that_fails_is_no_matter_of_the_others(other: Callable[..., End]) -> None:
    end = other("basket", lines=[LAMPS, DESK], card="0000")
    assert end.output == {"shipped": 0, "outOfStock": ["desk"], "failed": ["card 0000 was declined"]}


def test_what_goes_wrong_in_an_order_comes_up_by_its_code(other: Callable[..., End]) -> None:
    end = other("basket", lines=[DESK, LAMPS], busyTimes="often")
    assert end.output == {"shipped": 0, "outOfStock": ["desk"], "failed": ["StepFailed"]}


# -- fan-out


def test_all_checks_that_are_well_make_an_accepted_customer(demo: dict[str, End]) -> None:
    assert demo["fan-out-1"].output == {"accepted": True, "checks": ["identity", "credit", "address"]}


def test_one_check_that_is_not_well_refuses(other: Callable[..., End]) -> None:
    end = other("fan-out", debts=[1200, 1], address="Main Street")
    assert end.output == {"accepted": False, "because": ["credit", "address"]}


def test_a_check_that_fails_ends_the_others_and_a_person_decides(other: Callable[..., End]) -> None:
    end = other("fan-out", customer="")
    assert end.phase == "Succeeded"
    assert end.output == {"accepted": None, "because": "the request names no customer"}


# -- travel


def test_a_trip_is_booked(demo: dict[str, End]) -> None:
    end = demo["travel-1"]
    assert end.output == {"flight": "12A", "hotel": "214", "car": "MCP 7"}
    assert end.states == ["Begin", "bookFlight", "bookHotel", "bookCar", "Done"]


@pytest.mark.parametrize(
    ("sold_out", "way_back"),
    [("bookCar", ["cancelHotel", "cancelFlight"]), ("bookHotel", ["cancelFlight"]), ("bookFlight", [])],
)
def test_what_was_booked_is_cancelled_in_reverse_order(
    other: Callable[..., End], sold_out: str, way_back: list[str]
) -> None:
    end = other("travel", soldOut=[sold_out])
    assert end.phase == "Failed"
    assert end.error == f"notBooked: NotBooked: {sold_out}: there is none left"
    booked = ["bookFlight", "bookHotel", "bookCar"]
    assert end.states == ["Begin", *booked[: booked.index(sold_out) + 1], *way_back, "Failed"]


def test_a_booking_of_which_nobody_knows_is_cancelled_as_well(other: Callable[..., End]) -> None:
    nonsense = {"reference": "${job.name}-car"}  # the handler breaks on it
    end = other("travel", state={"name": "bookCar", "input": nonsense, "retry": {"limit": 0}})
    assert end.states[-4:] == ["cancelCar", "cancelHotel", "cancelFlight", "Failed"]
    assert end.error.startswith("notBooked: NotBooked: bookCar: ")


# -- trip


def test_the_same_trip_is_booked_without_catch_rules(demo: dict[str, End]) -> None:
    end = demo["trip-1"]
    assert end.output == {"flight": "12A", "hotel": "214", "car": "MCP 7"}
    assert end.states == ["Begin", "bookFlight", "bookHotel", "bookCar", "onExit", "Done"]


@pytest.mark.parametrize("sold_out", ["bookCar", "bookHotel", "bookFlight"])
def test_what_was_booked_is_undone_and_the_traveller_is_told(other: Callable[..., End], sold_out: str) -> None:
    end = other("trip", soldOut=[sold_out])
    assert end.phase == "Failed"
    assert end.error == f"{sold_out}: SoldOut: there is none left"
    booked = ["bookFlight", "bookHotel", "bookCar"][: ["bookFlight", "bookHotel", "bookCar"].index(sold_out) + 1]
    assert end.states == ["Begin", *booked, *(["compensate"] if len(booked) > 1 else []), "onExit", "Failed"]


# -- polling


def test_the_loop_ends_when_it_is_done(demo: dict[str, End]) -> None:
    end = demo["polling-1"]
    assert end.output == {"url": "https://exports.example/export-polling-1", "asked": 3}
    assert end.states == ["Begin", "startExport", *["pause", "askExport"] * 3, "Done"]


def test_the_loop_is_bounded(other: Callable[..., End]) -> None:
    end = other("polling", pauseSeconds=0, readyAfter=99, mostAsked=4)
    assert end.phase == "Failed"
    assert end.error == "tooSlow: TooSlow: export-polling-1 was not done after it was asked for 4 times"


# -- map-failures


def test_items_that_fail_are_left_out_as_long_as_they_are_few(demo: dict[str, End]) -> None:
    assert demo["map-failures-1"].output == {
        "converted": ["one.html", "two.html", "four.html", "five.html"],
        "failed": ["three.bin is no text"],
    }


@pytest.mark.parametrize(("bad", "phase"), [(2, "Succeeded"), (3, "Failed")])
def test_too_many_items_that_fail_are_an_error(other: Callable[..., End], bad: int, phase: str) -> None:
    files = ["one.txt", "two.txt", *(f"{number}.bin" for number in range(bad))]
    end = other("map-failures", files=files)
    assert end.phase == phase
    if phase == "Failed":
        assert end.error.startswith("tooMany: TooManyFailed: 3 of 5 items failed")
    else:
        assert end.output == {
            "converted": ["one.html", "two.html"],
            "failed": ["0.bin is no text", "1.bin is no text"],
        }


def test_a_map_of_nothing_gives_nothing(other: Callable[..., End]) -> None:
    assert other("map-failures", files=[]).output == {"converted": [], "failed": []}
