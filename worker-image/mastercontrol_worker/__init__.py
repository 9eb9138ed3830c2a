"""The worker runtime of Master Control Program.

A module of handlers needs no more than this package: `import mastercontrol_worker as worker`, then
`@worker.step("name")` above each function.
"""

from mastercontrol_worker.context import Context
from mastercontrol_worker.contract import JobRef
from mastercontrol_worker.steps import GiveBack, Registry, StepFailure, registry, step

__version__ = "0.1.0"
__all__ = ["Context", "GiveBack", "JobRef", "Registry", "StepFailure", "registry", "step"]
