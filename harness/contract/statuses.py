"""The words that campaigns store and programs compare: statuses, ends, states and failure codes.

Each is a text, so that it is stored and printed as it stands. Exit codes are in errors.py; the
codes of gates and of checks stand in the tables that define these.
"""

from __future__ import annotations

from enum import StrEnum


class CellStatus(StrEnum):
    """What a cell is worth, in the order in which reports count them.

    Gates give a record *valid*, *noisy*, *void* or *capped*. *Unproven* is a cell without a passed
    self-test next to it, *missing* one that was planned and not measured.
    """

    VALID = "valid"
    NOISY = "noisy"
    UNPROVEN = "unproven"
    VOID = "void"
    CAPPED = "capped"
    MISSING = "missing"


class TrialEnd(StrEnum):
    """How a trial ended: `outcome` in `outcomes.jsonl`."""

    DONE = "done"
    FAILED = "failed"


class CampaignState(StrEnum):
    """Where a campaign is: `state` in `campaign.json`."""

    RUNNING = "running"
    DONE = "done"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    FAILED = "failed"


class FailureCode(StrEnum):
    """Why a trial, a cell or the conformance suite has no result, or a bad one."""

    # Before the server is measured
    NONCONFORMING = "nonconforming"
    BUILD_FAILED = "build-failed"
    NO_PROCESS = "no-process"
    NOT_AVAILABLE = "not-available"
    NOT_STARTED = "not-started"
    NOT_READY = "not-ready"
    NO_CAPACITY = "no-capacity"
    # What the server did
    SERVER_DIED = "server-died"
    WRONG_ECHO = "wrong-echo"
    HELD_FEWER = "held-fewer"
    CAPPED = "capped"
    CORRUPT = "corrupt"
    LOST = "lost"
    OUTSIDE_CPUS = "outside-cpus"
    ESCAPED = "escaped"
    UNANSWERED = "unanswered"
    NO_EXIT = "no-exit"
    BAD_EXIT = "bad-exit"
    MISCOUNTED = "miscounted"
    # What a cell shows
    NOT_SETTLED = "not-settled"
    NOT_REACHED = "not-reached"
    # Others, or the load, or the suite
    DISTURBED = "disturbed"
    OVERSLEPT = "overslept"
    LOAD_ERROR = "load-error"
    LOAD_DIED = "load-died"
    LOAD_SILENT = "load-silent"
    LOAD_SUITE = "load-suite"
    SUITE_ERROR = "suite-error"
