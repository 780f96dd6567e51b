"""What every server does around its mechanism: options, limits, signals, and the last line."""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from c10k.options import EXIT_RUNTIME, EXIT_USAGE, Fault, Options, options_from_environment

# One read per wake-up takes at most this much: the same for every server.
BUFFER_BYTES = 16 * 1024

# How long a listener rests when there is no room for another connection and none of ours closes:
# the shortage may be the whole system's, so waiting for our own close alone could be for ever.
REST_S = 0.1

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
REPORT_SIGNAL = signal.SIGUSR1
SIGNALS = (*STOP_SIGNALS, REPORT_SIGNAL)


class Counters:
    """Plain integers, owned by one thread: keeping them costs an addition."""

    __slots__ = ("accepted", "bytes_in", "bytes_out", "closed", "events", "waits")

    def __init__(self) -> None:
        self.accepted = 0  # connections taken from the kernel, refused ones included
        self.closed = 0  # of these, ended before the signal that ended the server
        self.bytes_in = 0  # bytes read from sockets
        self.bytes_out = 0  # bytes that sockets took
        self.waits = 0  # calls that only wait
        self.events = 0  # descriptors that these calls reported

    def report(self) -> None:
        """Write them as one line of JSON on stderr."""
        names = ("accepted", "closed", "bytes_in", "bytes_out", "waits", "events")
        counters = {name: getattr(self, name) for name in names}
        line = json.dumps({"counters": counters}, separators=(",", ":"))
        with suppress(OSError):  # stderr may be a broken pipe
            os.write(2, f"{line}\n".encode())


class SignalPipe:
    """The signals as input of an event loop: a descriptor that is readable when there is one.

    Python runs a signal's handler between two instructions of the main thread, and repeats the wait
    that it interrupted (PEP 475). What ends a wait is the byte that the interpreter writes here.
    """

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)  # only a signal with a handler is written
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._read_end

    def is_stop(self, counters: Counters) -> bool:
        """Read the signals: report the counters as asked, and tell whether to stop."""
        numbers = os.read(self._read_end, 4096)
        if REPORT_SIGNAL in numbers:
            counters.report()
        return any(number in numbers for number in STOP_SIGNALS)


def run_server(serve: Callable[[Options], Counters | None], *packages: str) -> int:
    """Be the body of a server: read the environment, serve until a signal, print the counters.

    Raises the soft limit of open files to the hard one. With the argument `--version` it prints its
    runtime instead: the interpreter and `packages`, each a name with its version. Returns the exit
    code; a Fault is one line on stderr.
    """
    # Blocked from the first line on, so none is lost before a mechanism is ready for it
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        if sys.argv[1:] == ["--version"]:
            python = f"{platform.python_implementation()} {platform.python_version()}"
            print(python, *packages, sep=", ", flush=True)  # a server may end by os._exit()
            return 0
        if len(sys.argv) > 1:
            raise Fault(EXIT_USAGE, "takes no arguments; set LISTEN and BACKLOG")
        options = options_from_environment()
        _raise_open_files_limit()
        counters = serve(options)
    except Fault as fault:
        return _give_up(str(fault), fault.exit_code)
    except (OSError, MemoryError) as error:
        return _give_up(f"{type(error).__name__}: {error}", EXIT_RUNTIME)
    if counters is not None:
        counters.report()
    return 0


def _raise_open_files_limit() -> None:
    """Ten thousand connections need ten thousand descriptors; the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # refused: EMFILE is handled where it happens
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _give_up(message: str, exit_code: int) -> int:
    with suppress(OSError):
        os.write(2, f"{Path(sys.argv[0]).resolve().parent.name}: {message}\n".encode())
    return exit_code
