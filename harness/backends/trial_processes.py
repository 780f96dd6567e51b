"""Start the processes of one trial. The roster lists each as soon as it runs; none survives."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from harness.backends import cpu_time, sweeping
from harness.backends.cpu_time import CpuGroup
from harness.backends.load_forks import ForkServer, LoadProcess
from harness.backends.roster import TOKEN_VARIABLE, Roster, group_name


class Recorded:
    """Start processes of a trial.

    Raises:
        HostNotFit: no roster is writable (from here and from every method that starts something).
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._token = roster.begin()

    def start(
        self, command: Sequence[str], *, variables: Mapping[str, str], **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own; `options` are those of `Popen`."""
        process = subprocess.Popen(
            command, env=self._environment(variables), start_new_session=True, **options
        )
        try:
            self._roster.add_process(self._token, process.pid)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process

    def fork(
        self,
        server: ForkServer,
        module: str,
        *,
        variables: Mapping[str, str],
        log: int,
        has_network: bool,
    ) -> LoadProcess:
        """Have the fork server start a process of the load, in a session of its own."""
        process = server.fork(module, self._environment(variables), log, has_network=has_network)
        try:
            self._roster.add_process(self._token, process.pid)
        except BaseException:
            process.stop(0)
            process.close()
            raise
        return process

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, **variables, TOKEN_VARIABLE: self._token}

    def group(self, name: str) -> CpuGroup | None:
        """Make a control group that counts CPU time; None if this user may not."""
        group = cpu_time.make(group_name(self._token, name))
        if group is not None:
            try:
                self._roster.add_group(self._token, group.directory)
            except BaseException:
                group.remove()
                raise
        return group

    def end(self) -> None:
        """Kill every process left, whatever its session; then mark the trial as ended."""
        sweeping.sweep(self._roster, self._token)
