"""Render charts in a separate process.

The renderer contains a JavaScript engine, which takes half a second to start. It starts while this
process reads the campaign and computes its figures. If the other process cannot start or ends
early, this process renders.

Specifications go to its standard input, and images come back, one line of JSON each.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

VEGA_LITE = "6.4"
END_S = 5.0
# Rendering it loads and starts everything that an image needs
SMALLEST: dict[str, Any] = {"data": {"values": [{}]}, "mark": "point"}

Render = Callable[[dict[str, Any]], str]


def here(spec: dict[str, Any]) -> str:
    """Render a specification of Vega-Lite as SVG in this process."""
    import vl_convert

    image: str = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    return image


@contextmanager
def started() -> Iterator[Render]:
    """Start a process that renders; end it with the block."""
    command = [sys.executable, "-P", "-m", __name__]
    try:
        # A session of its own: Ctrl-C in a terminal must reach only this process
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # this process renders again and reports the error
            start_new_session=True,
        )
    except OSError:
        yield here
        return
    assert process.stdin is not None  # noqa: S101 (a pipe)
    assert process.stdout is not None  # noqa: S101
    lines = process.stdin, process.stdout
    try:
        yield lambda spec: _asked(*lines, spec)
    finally:
        for one in lines:
            with contextlib.suppress(OSError):
                one.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _asked(requests: IO[bytes], replies: IO[bytes], spec: dict[str, Any]) -> str:
    try:
        requests.write(json.dumps(spec).encode() + b"\n")
        requests.flush()
        image: str = json.loads(replies.readline())
    except (OSError, ValueError):  # it has ended
        return here(spec)
    return image


def main() -> None:
    """Render every specification of standard input, to its end."""
    here(SMALLEST)
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            sys.stdout.buffer.write(json.dumps(here(json.loads(line))).encode() + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
