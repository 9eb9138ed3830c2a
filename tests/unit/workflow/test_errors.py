"""Which rule is for which error."""

from __future__ import annotations

import pytest

from mastercontrol.workflow.errors import matches

SILENT, LATE = "States.HeartbeatTimeout", "Timeout"


@pytest.mark.parametrize(
    ("name", "code", "does"),
    [
        (SILENT, SILENT, True),
        ("States.Timeout", SILENT, True),  # the language's general name for a step that takes too long
        ("States.Timeout", LATE, True),
        (SILENT, LATE, False),
        ("Timeout", SILENT, False),  # a word of workers, for the deadline alone
        ("States.TaskFailed", SILENT, False),
        ("States.TaskFailed", LATE, False),
        ("States.TaskFailed", "Broken", True),
        ("States.ALL", SILENT, True),
    ],
)
def test_silence_is_a_kind_of_timeout_and_not_the_other_way_round(name: str, code: str, *, does: bool) -> None:
    assert matches([name], code, of_task=True) is does
