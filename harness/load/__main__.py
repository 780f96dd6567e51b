"""`python -m harness.load`: conduct the trial in `C10K_TRIAL`, or be one of its workers.

The end is always the same: SIGTERM, which ends it at once. The connections are the kernel's to
close and no greenlet has anything to save, because every finished cell was told when it finished.
Only an x-ray has something to take away: its tool, and the files of it. It ends by the signal that
it got, and by the one that ended a worker, so that the harness sees what ended it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import traceback
from importlib.metadata import version
from typing import NoReturn

from harness.contract import trial_spec
from harness.contract.events import Events, ReaderGone
from harness.contract.load_events import GrantedFiles, Hello, TrialFailure
from harness.contract.statuses import FailureCode
from harness.host import namespace
from harness.load.tracing import tracer

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
WORKER_END_S = 1.0
EXIT_USAGE = 2

# Processes to end with this one. They would notice anyway (PR_SET_PDEATHSIG); this does not wait.
_workers: list[subprocess.Popen[bytes]] = []


def main() -> None:
    """Conduct a trial, or work for one."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: _leave(number))
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)
    # Locust warns of every spawn rate above 100 per second, and a storm is what is wanted
    logging.getLogger("locust").setLevel(logging.ERROR)
    arguments = _arguments()
    if arguments.parent is not None:
        _die_with(arguments.parent)
    if arguments.worker is not None:
        _work(arguments)
    else:
        _conduct(Events.take_stdout())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harness.load", description=__doc__)
    parser.add_argument("--worker", type=int, help="be this worker (started by the load itself)")
    parser.add_argument("--master-port", type=int, help="where the worker finds its master")
    parser.add_argument("--parent", type=int, help="the process not to be outlived")
    return parser.parse_args()


def _conduct(events: Events) -> NoReturn:
    try:
        plan = trial_spec.parse(os.environ.get(trial_spec.VARIABLE, ""))
    except trial_spec.TrialError as error:
        print(error, file=sys.stderr)
        events.tell(TrialFailure(code=FailureCode.LOAD_ERROR, text=str(error)))
        sys.exit(EXIT_USAGE)
    try:
        _run(plan, events)
        while True:
            signal.pause()
    except ReaderGone:
        _leave()


def _run(plan: trial_spec.TrialSpec, events: Events) -> None:
    """Conduct the trial to its last event. Raises ReaderGone."""
    _say_hello(plan, events)
    # Only now, since Locust takes half a second to import: the server starts meanwhile
    from harness.contract.killed import from_outside
    from harness.load import cell_records, conductor
    from harness.load.locust.fleet import FleetFault
    from harness.load.problems import TrialFailed

    try:
        conductor.run(plan, events, _workers)
    except TrialFailed as failed:
        waited = cell_records.wait_member(failed.spent)
        events.tell(TrialFailure(code=failed.code, text=failed.text, **waited))
    except FleetFault as fault:
        for code in [worker.poll() for worker in _workers]:
            if code is not None and (number := from_outside(code)):
                print(fault, file=sys.stderr)
                _leave(number)
        events.tell(TrialFailure(code=FailureCode.LOAD_ERROR, text=str(fault)))
    except ReaderGone:
        raise
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        events.tell(TrialFailure(code=FailureCode.LOAD_ERROR, text=text))


def _say_hello(plan: trial_spec.TrialSpec, events: Events) -> None:
    if plan.prepare_namespace:
        namespace.prepare(plan.sysctls)
    cpus = namespace.pin(plan.load_cpus)
    nofile = namespace.raise_nofile()
    versions = {name: version(name) for name in ("locust", "gevent")}
    events.tell(
        Hello(
            pid=os.getpid(),
            limits=GrantedFiles(nofile=nofile),
            sysctls=namespace.read_back(plan.sysctls),
            cpus=tuple(cpus),
            versions={"python": sys.version.split()[0], **versions},
        )
    )


def _work(arguments: argparse.Namespace) -> None:
    plan = trial_spec.parse(os.environ[trial_spec.VARIABLE])
    namespace.pin([plan.load_cpus[arguments.worker % len(plan.load_cpus)]])
    namespace.raise_nofile()
    from harness.load.locust.runners import run_worker

    run_worker(plan, arguments.worker, arguments.master_port)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone, however that came about."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before the kernel was told
        os._exit(0)


def _leave(number: int = 0) -> NoReturn:
    """End at once: by this signal, or with exit code 0."""
    try:
        for worker in _workers:
            worker.kill()
        tracer.close_all()
        for worker in _workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(WORKER_END_S)
        if number:
            with contextlib.suppress(OSError):  # SIGKILL, which has no handler
                signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
    finally:  # whatever was interrupted, this process does not go on
        # Init of a PID namespace survives a signal that it does not handle
        os._exit(128 + number if number else 0)


if __name__ == "__main__":
    main()
