"""Random valid workflows, as their author would write them: for hypothesis.

Every state is reached and leads to an end; loops are bounded by a variable that counts; nothing depends on dice.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

State = dict[str, Any]

MOST_NESTED = 3
ERRORS = (
    "A",
    "B",
    "Timeout",
    "States.ALL",
    "States.TaskFailed",
    "States.Timeout",
    "States.QueryEvaluationError",
    "States.HeartbeatTimeout",
)
INPUT = {"n": 1, "list": [3, 1, 2], "none": [], "deep": {"a": [{"b": None}]}, "yes": True}


@st.composite
def workflows(draw: st.DrawFn, *, closing: bool = True) -> dict[str, Any]:
    """The spec of a Workflow. `closing`: it may say what undoes its states and what runs at its end."""
    author = _Author(draw)
    spec: dict[str, Any] = {"states": author.block(1, ())}
    if closing and author.chance(3):
        author.undo(spec["states"])
    if closing and author.chance(3):
        spec["onExit"] = {"states": author.clean_up("tidy")}
    return spec


class _Author:
    """Writes one workflow. Names are unique in all of it, so that a failing example is easy to read."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.count = 0

    def block(self, depth: int, outer: tuple[str, ...]) -> list[State]:
        """A main line of states, some of them in a loop, and behind it what their errors and choices lead to."""
        size = self.draw(st.integers(1, 4 if depth == 1 else 3))
        states: list[State] = []
        for _ in range(size):
            before = (*outer, *(s["name"] for s in states))
            states += self.loop(depth, before) if self.chance(8) else [self.state(depth, before)]
        names = tuple(s["name"] for s in states)
        aside = [self.handler((*outer, *names)) for _ in range(self.draw(st.integers(0, 2)))]
        states[-1]["end"] = True
        used = self.lead_aside(states, aside)
        return [*states, *(a for a in aside if a["name"] in used)]

    def lead_aside(self, states: list[State], aside: list[State]) -> set[str]:
        """Let catch rules and choices of the main line lead to states beside it; the names of those that are led to."""
        used = set[str]()
        last = states[-1]["name"]
        for i, state in enumerate(states):
            # Not past the state that counts a loop: it would have no end.
            ahead = [s["name"] for s in states[i + 1 :] if not s["name"].startswith("again")]
            targets = [a["name"] for a in aside] + ahead
            if not targets:
                continue
            if state["type"] in {"Task", "Parallel", "Map", "Signal", "SubJob"} and self.chance(2):
                rules = self.draw(st.integers(1, 2))
                state["catch"] = [self.catch(targets, used) for _ in range(rules)]
            elif state["type"] == "Pass" and state["name"] != last and "assign" not in state and self.chance(2):
                following = states[i + 1]["name"]
                for field in ("output", "input"):
                    state.pop(field, None)
                choice = {"when": self.condition(), "next": self.pick(targets, used)}
                state |= {"type": "Choice", "choices": [choice], "default": following}
        return used

    def catch(self, targets: list[str], used: set[str]) -> State:
        errors = self.draw(st.lists(st.sampled_from(ERRORS), min_size=1, max_size=2, unique=True))
        return {"errors": errors, "next": self.pick(targets, used)}

    def pick(self, targets: list[str], used: set[str]) -> str:
        name = self.draw(st.sampled_from(targets))
        used.add(name)
        return name

    def undo(self, states: list[State]) -> None:
        """Say of some states at the top what undoes them. Their order is the one in which the engine numbers these."""
        number = 0
        for state in states:
            if state["type"] in {"Task", "Pass", "Signal", "Parallel", "Map"} and self.chance(2):
                block: State = {"states": self.clean_up(f"undo{number}")}
                if self.chance(2):
                    block["input"] = self.draw(st.sampled_from(["${result}", {"n": "${job.input.n}"}, "${input}"]))
                state["compensate"] = block
                number += 1

    def clean_up(self, name: str) -> list[State]:
        """A step, and at times a child Job after it."""
        states: list[State] = [{"name": name, "pool": "p", "retry": self.retry()}]
        if self.chance(3):
            states.append({"name": f"{name}-file", "type": "SubJob", "workflow": "other"})
        return states

    def loop(self, depth: int, before: tuple[str, ...]) -> list[State]:
        """Some state, two or three times over."""
        begin: State = {"name": self.name("begin"), "type": "Pass", "assign": {"i": 0}}
        body = self.state(depth, (*before, begin["name"]))
        count = {"name": self.name("count"), "type": "Pass", "assign": {"i": "${vars.i + 1}"}}
        after = {"name": self.name("after"), "type": "Pass"}
        limit = self.draw(st.integers(2, 3))
        again = {"when": f"vars.i < {limit}", "next": body["name"]}
        choice = {"name": self.name("again"), "type": "Choice", "choices": [again], "default": after["name"]}
        return [begin, body, count, choice, after]

    def state(self, depth: int, before: tuple[str, ...]) -> State:
        kinds = ["Task"] * 5 + ["Pass", "Pass", "Wait", "Signal", "SubJob"]
        if depth <= MOST_NESTED:
            kinds += ["Parallel"] * 2 + ["Map"] * 2
        kind = self.draw(st.sampled_from(kinds))
        state: State = {"name": self.name(kind.lower()), "type": kind}
        match kind:
            case "Task":
                state |= self.task()
            case "SubJob":
                state |= self.task() | {"workflow": "other"}
                del state["pool"]
                state.pop("heartbeatSeconds", None)
            case "Wait":
                state["seconds"] = self.draw(st.sampled_from([0, 3, 7, "${1 + 1}", "${-1}", "${vars.nope}"]))
            case "Signal":
                state |= {"signal": self.draw(st.sampled_from(["go", "never"])), "timeoutSeconds": 5}
            case "Parallel":
                state |= self.parallel(depth, before)
            case "Map":
                state |= self.map(depth, before)
            case _:
                pass
        return state | self.data(kind, before)

    def task(self) -> State:
        state: State = {"pool": "p", "retry": self.retry()}
        if self.chance(3):
            state["timeoutSeconds"] = self.draw(st.sampled_from([4, 9]))
        elif self.chance(3):  # not both: which of them comes first depends on when a worker begins
            state["heartbeatSeconds"] = 3
        return state

    def retry(self) -> State:
        policy = st.fixed_dictionaries(
            {
                "limit": st.integers(0, 2),
                "backoffSeconds": st.sampled_from([0, 1, 2.5]),
                "jitter": st.just("none"),
            }
        )
        retry: State = self.draw(policy)
        if self.chance(3):
            errors = st.lists(st.sampled_from(ERRORS), min_size=1, max_size=2, unique=True)
            retry["rules"] = [self.draw(policy) | {"errors": self.draw(errors)}]
        return retry

    def parallel(self, depth: int, before: tuple[str, ...]) -> State:
        branches = [{"states": self.block(depth + 1, before)} for _ in range(self.draw(st.integers(1, 3)))]
        return {"branches": branches} | ({"retry": self.retry()} if self.chance(4) else {})

    def map(self, depth: int, before: tuple[str, ...]) -> State:
        items = [
            "${job.input.list}",
            "${job.input.none}",
            "${[1, 2]}",
            "${['x']}",
            "${input.list}",
            [1, {"n": 2}, None],
        ]
        state: State = {
            "items": self.draw(st.sampled_from(items)),
            "states": self.block(depth + 1, before),
            "maxConcurrency": self.draw(st.sampled_from([0, 0, 1, 2])),
        }
        if self.chance(3):
            state["toleratedFailureCount"] = self.draw(st.integers(0, 2))
        if self.chance(4):
            state["toleratedFailurePercentage"] = self.draw(st.sampled_from([0, 34, 50, 100]))
        return state | ({"retry": self.retry()} if self.chance(4) else {})

    def handler(self, before: tuple[str, ...]) -> State:
        kind = self.draw(st.sampled_from(["Task", "Pass", "Fail", "Succeed"]))
        state: State = {"name": self.name(f"h{kind.lower()}"), "type": kind}
        if kind == "Task":
            state |= self.task()
        if kind == "Fail":
            return state | {"code": self.draw(st.sampled_from(["A", "B", "${error.code}"])), "message": "told to"}
        if kind == "Pass" and self.chance(2):
            state |= {"output": {"caught": "${error.code}", "in": "${error.state}"}}
        return (
            state | ({"end": True} if kind != "Succeed" else {}) | ({} if "output" in state else self.data("", before))
        )

    def data(self, kind: str, before: tuple[str, ...]) -> State:
        data: State = {}
        if self.chance(4):
            data["input"] = self.value(before)
        if kind in {"Task", "Pass", "Parallel", "Map", "SubJob"} and self.chance(4):
            data["output"] = {"r": "${result}"} if self.chance(2) else self.value(before)
        if kind in {"Task", "Pass", "Map"} and self.chance(6):
            data["assign"] = {"v": "${result}"}
        return data

    def value(self, before: tuple[str, ...]) -> Any:
        """A template. Some read what may not be there, in which case it is an error that may be caught."""
        texts = ["${input}", "${job.input.n}", "${item}", "${index}", "fix", "no ${job.input.n}", "${input.nope}"]
        texts += ["${vars.v}"] if self.chance(3) else []
        texts += [f"${{steps.{name}.output}}" for name in before] * 2
        first = self.draw(st.sampled_from(texts))
        return {"x": first, "y": [self.draw(st.sampled_from(texts[:6]))]} if self.chance(3) else first

    def condition(self) -> str:
        return self.draw(st.sampled_from(["true", "false", "input == null", "job.input.n > 0", "input.nope > 1"]))

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def chance(self, one_in: int) -> bool:
        return self.draw(st.integers(0, one_in - 1)) == one_in - 1
