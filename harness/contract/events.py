"""Write events to the harness: one JSON object per line on stdout, flushed at once.

Rule 1: nothing else ever reaches stdout. The descriptor is taken away from the process at the
start and replaced by stderr, so that a library that prints cannot break the stream.
Rule 2: a reader that went away is not an error worth a traceback: it is the end of the trial.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


class ReaderGone(Exception):
    """The reader of the events has closed its end."""


class Events:
    """The stream of events to one file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take_stdout(cls) -> Events:
        """Keep stdout for events alone; what else is printed goes to stderr from now on."""
        descriptor = os.dup(1)
        os.dup2(2, 1)
        return cls(descriptor)

    def emit(self, event: str, **members: Any) -> None:
        """Write one event. Raises ReaderGone when the other end is closed."""
        self._write({"event": event, **members})

    def tell(self, event: BaseModel) -> None:
        """The same of one that has a model."""
        self._write({"event": None} | event.model_dump())

    def _write(self, event: Mapping[str, Any]) -> None:
        line = json.dumps(event, separators=(",", ":"), allow_nan=False)
        data = memoryview(line.encode() + b"\n")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except BrokenPipeError:
            raise ReaderGone from None
