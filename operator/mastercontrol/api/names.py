"""Names: the API group, conditions, reasons, labels, triggers. The docs and the CRDs use the same ones."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

GROUP: Final = "mastercontrol.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

JOBS: Final = "mcpjobs"
WORKFLOWS: Final = "mcpworkflows"
POOLS: Final = "mcpworkerpools"
SCHEDULES: Final = "mcpschedules"

KIND_JOB: Final = "Job"
KIND_WORKFLOW: Final = "Workflow"
KIND_POOL: Final = "WorkerPool"
KIND_SCHEDULE: Final = "Schedule"

FIELD_MANAGER: Final = "mastercontrol"

LABEL_POOL: Final = f"{GROUP}/pool"  # on pods and Deployments of a pool
LABEL_WORKFLOW: Final = f"{GROUP}/workflow"  # on the ControllerRevisions of a Workflow
LABEL_SCHEDULE: Final = f"{GROUP}/schedule"  # on the Jobs of a Schedule
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_NAME: Final = "app.kubernetes.io/name"

ANNOTATION_APPLIED: Final = f"{GROUP}/applied"  # on a Deployment of a pool: digest of the manifest that was applied
ANNOTATION_CREDENTIALS: Final = f"{GROUP}/credentials"  # on its pods: digest of the AMQP URL that they start with
ANNOTATION_SCHEDULED: Final = f"{GROUP}/scheduled-timestamp"  # on a Job of a Schedule: the time of its run
ANNOTATION_DISPATCH: Final = f"{GROUP}/dispatch"  # on a child Job: the dispatch id of its parent that it answers
ANNOTATION_REDRIVE: Final = f"{GROUP}/redrive"  # on a WorkerPool: ids of dead letters whose jobs are to be retried
ANNOTATION_DISCARD: Final = f"{GROUP}/discard"  # on a WorkerPool: ids of dead letters to be removed
ANNOTATION_HANDLED: Final = f"{GROUP}/dead-letters-handled"  # on a WorkerPool: what became of the last of these two
ANNOTATION_DEPTH: Final = f"{GROUP}/depth"  # on a child Job: how many Jobs are above it

LABEL_PARENT: Final = f"{GROUP}/parent"  # on a child Job: the name of its parent
LABEL_STATE: Final = f"{GROUP}/state"  # on a child Job: the state of its parent that waits for it


class Phase(StrEnum):
    """A Job's condition in one word, for people and for `kubectl wait --for=jsonpath`."""

    PENDING = "Pending"  # not started: something it needs is missing
    RUNNING = "Running"  # a step is with its pool, or waits for its next attempt
    SUSPENDED = "Suspended"  # spec.suspend holds it
    SUCCEEDED = "Succeeded"  # ended: the last state is done
    FAILED = "Failed"  # ended: a step failed for good, or the job ran out of time
    CANCELLED = "Cancelled"  # ended: spec.cancel asked for it


ENDED: Final = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})


class ConditionType(StrEnum):
    """Types of conditions. The first three are those of batch/v1."""

    COMPLETE = "Complete"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    WAITING = "Waiting"
    READY = "Ready"
    SCALING_ACTIVE = "ScalingActive"  # of a pool: its number of workers follows its queue
    SCALING_LIMITED = "ScalingLimited"  # of a pool: its steps call for more workers than it may have
    PODS_SCHEDULED = "PodsScheduled"  # of a pool: the scheduler has a node for each of its pods
    OPERATED = "Operated"  # of a job: what became of the last of spec.operations
    INVALID = "Invalid"  # of a Workflow: no Job can run it, and why


class Reason(StrEnum):
    """Reasons of conditions, history entries, errors and Kubernetes Events."""

    STARTED = "Started"
    STEP_SUCCEEDED = "StepSucceeded"
    STEP_FAILED = "StepFailed"
    JOB_FAILED = "JobFailed"
    STEP_TIMEOUT = "Timeout"
    RESULT_TOO_LARGE = "ResultTooLarge"
    STATUS_TOO_LARGE = "StatusTooLarge"
    DELIVERY_LIMIT = "DeliveryLimitExceeded"
    DEADLINE_EXCEEDED = "DeadlineExceeded"  # of the job: spec.activeDeadlineSeconds, as batch/v1 calls it
    BACK_OFF = "BackOff"
    WAIT = "Wait"
    SIGNAL = "Signal"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    CANCELLED = "Cancelled"
    COMPLETED = "Completed"
    UNKNOWN_WORKFLOW = "UnknownWorkflow"
    INVALID_WORKFLOW = "InvalidWorkflow"
    UNKNOWN_POOL = "UnknownPool"
    INVALID_SPEC = "InvalidSpec"
    WRITE_REJECTED = "WriteRejected"
    RESULTS_SET_ASIDE = "ResultsSetAside"
    MACHINE_REFUSED = "MachineRefused"
    READY = "Ready"
    NOT_READY = "NotReady"
    APPLY_FAILED = "ApplyFailed"
    BROKER_UNAVAILABLE = "BrokerUnavailable"
    QUEUE_CONFLICT = "QueueConflict"  # a queue of the pool exists with other arguments; it is used as it is
    PAUSED = "Paused"
    DEPTH_UNKNOWN = "DepthUnknown"
    FOLLOWS_BACKLOG = "FollowsBacklog"
    SCALING_DISABLED = "ScalingDisabled"
    # Of ScalingLimited; the first three as the HorizontalPodAutoscaler calls them.
    DESIRED_WITHIN_RANGE = "DesiredWithinRange"
    TOO_MANY_REPLICAS = "TooManyReplicas"
    SCALE_UP_LIMIT = "ScaleUpLimit"
    NAMESPACE_QUOTA = "NamespaceQuota"
    SCHEDULED = "Scheduled"
    UNSCHEDULABLE = "Unschedulable"  # as the scheduler calls it
    INTERNAL_ERROR = "InternalError"
    # Of a Schedule, as the CronJob controller calls them.
    MISS_SCHEDULE = "MissSchedule"
    TOO_MANY_MISSED_TIMES = "TooManyMissedTimes"
    JOB_ALREADY_ACTIVE = "JobAlreadyActive"
    FAILED_CREATE = "FailedCreate"
    NO_WORKER = "NoWorker"  # a step is with a pool of which no worker is ready
    CLEAN_UP_FAILED = "CleanUpFailed"  # a compensation or onExit; the rest of it goes on
    # Of spec.operations.
    RETRIED = "Retried"
    RESTARTED = "Restarted"
    SKIPPED = "Skipped"
    OPERATION_REFUSED = "OperationRefused"
    # Of the dead letters of a pool.
    DEAD_LETTER = "DeadLetter"
    REDRIVEN = "Redriven"
    DISCARDED = "Discarded"
    REDRIVE_REFUSED = "RedriveRefused"
    DISCARD_REFUSED = "DiscardRefused"
    # Of a Workflow's limit on jobs at once.
    CONCURRENCY_LIMIT = "ConcurrencyLimit"
    REPLACED = "Replaced"
    # Of a SubJob.
    SUB_JOB = "SubJob"  # it waits for a child Job
    SUB_JOB_FAILED = "SubJobFailed"  # of a child that failed for what nothing catches in the child itself
    SUB_JOB_DELETED = "SubJobDeleted"
    SUB_JOB_CONFLICT = "SubJobConflict"  # the name of the child is another Job's
    SUB_JOB_REJECTED = "SubJobRejected"  # the API server will not take the child
    SUB_JOB_TOO_DEEP = "SubJobTooDeep"


class LimitPolicy(StrEnum):
    """What becomes of a Job that would be one too many: `spec.concurrency.policy` of a Workflow."""

    QUEUE = "Queue"  # it waits for its turn
    REJECT = "Reject"  # it fails at once, never begun
    REPLACE = "Replace"  # it takes the place of the oldest one, which is cancelled


class ResultReason(StrEnum):
    """What became of a result message; the label `reason` of the metric mcp_results_total."""

    APPLIED = "applied"  # it moved its job
    REPUBLISHED = "republished"  # stale, but the cause of the current dispatch, which was sent again
    STALE = "stale"  # of a dispatch that is no longer active
    FOREIGN = "foreign"  # of a dispatch that was never made, or a namespace that is not watched
    JOB_GONE = "job_gone"  # its job is deleted, or another one has its name now
    MALFORMED = "malformed"  # no message of the contract
    OVERSIZED = "oversized"  # larger than the limit: its step failed with ResultTooLarge
    SET_ASIDE = "set_aside"  # no turn gets through with it: it went to the dead letters, so that others may come
    DEAD_LETTERED = "dead_lettered"  # a step that reached its delivery limit: its step failed


class HeartbeatReason(StrEnum):
    """What became of a heartbeat; the label `reason` of the metric mcp_heartbeats_total."""

    TAKEN = "taken"  # of a step that its job waits for
    STALE = "stale"  # of a dispatch that is no longer active
    UNKNOWN_JOB = "unknown_job"  # its job ended, is deleted, or is not known yet
    FOREIGN = "foreign"  # of a namespace that is not watched
    MALFORMED = "malformed"  # no message of the contract
