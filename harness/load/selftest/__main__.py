"""`python -m harness.load.selftest`: run every scene and tell its figures."""

from __future__ import annotations

import os
import signal
import sys
import time

from harness.contract import selftest_spec
from harness.contract.events import Events
from harness.contract.selftest_events import SceneFailed, SceneFigures
from harness.host import namespace
from harness.load.selftest.scenes import SCENES, Cpus

EXIT_USAGE = 2


def main() -> None:
    """Tell the figures of all scenes but those to skip, in their order, as they are known."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    events = Events.take_stdout()
    try:
        task = selftest_spec.read(os.environ.get(selftest_spec.VARIABLE, ""))
    except selftest_spec.SelftestError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_USAGE)
    if task.prepare_namespace:
        namespace.prepare(task.sysctls)
    namespace.raise_nofile()
    cpus = Cpus(task.server_cpus[-1], task.load_cpus[0], asked_to_spin=task.spin)
    for name, scene in SCENES.items():
        if name in task.skip:
            continue
        started_s = time.monotonic()
        try:
            figures = scene(cpus)
        except (OSError, RuntimeError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            events.tell(SceneFailed(id=name, text=str(error)))
            continue
        took_s = time.monotonic() - started_s
        events.tell(SceneFigures(id=name, took_s=took_s, figures=figures.model_dump()))


if __name__ == "__main__":
    main()
