"""`python -m harness.conformance`: run the checks on the server of `C10K_CONFORMANCE`."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import NoReturn

from harness.conformance import suite
from harness.conformance.cpu_turns import Alone, Shared
from harness.contract import suite_spec as specs
from harness.contract.events import Events, ReaderGone
from harness.contract.load_events import GrantedFiles, Hello
from harness.contract.statuses import FailureCode
from harness.contract.suite_events import SuiteFailure
from harness.host import namespace

EXIT_USAGE = 2


def main() -> NoReturn:
    """Run the checks, then wait for the signal that ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    events = Events.take_stdout()
    try:
        spec = specs.read(os.environ.get(specs.VARIABLE, ""))
        _say_hello(spec, events)
        _run(spec, events)
        while True:
            signal.pause()
    except specs.SpecError as error:
        print(error, file=sys.stderr)
        events.tell(SuiteFailure(code=FailureCode.SUITE_ERROR, text=str(error)))
        sys.exit(EXIT_USAGE)
    except ReaderGone:
        sys.exit(0)


def _say_hello(spec: specs.SuiteSpec, events: Events) -> None:
    if spec.prepare_namespace:
        namespace.prepare(spec.sysctls)
    cpus = namespace.pin(spec.cpus)
    events.tell(
        Hello(
            pid=os.getpid(),
            limits=GrantedFiles(nofile=namespace.raise_nofile()),
            sysctls=namespace.read_back(spec.sysctls),
            cpus=tuple(cpus),
            versions={"python": sys.version.split()[0]},
        )
    )


def _run(spec: specs.SuiteSpec, events: Events) -> None:
    try:
        suite.run(spec, events.tell, Shared(events) if spec.shares_cpus else Alone())
    except suite.NotReady as error:
        events.tell(SuiteFailure(code=FailureCode.NOT_READY, text=str(error)))
    except ReaderGone:
        raise
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        events.tell(SuiteFailure(code=FailureCode.SUITE_ERROR, text=text))


if __name__ == "__main__":
    main()
