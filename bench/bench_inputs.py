"""Feed generated bad inputs to the command line, and check that each ends as documented.

    python bench/bench_inputs.py [--count 500] [--seed 1]

A case is at fault if the command prints a traceback, sends an escape sequence to the terminal,
hangs, or exits with a code that is undocumented or means "bug". `--only NUMBER` repeats one case.
Exit code 1: a case was at fault.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from bad_inputs import KINDS, Case, case
from inprocess import Ended, Hang, c10k

from harness.contract.errors import Exit

DOCUMENTED = {code.value for code in Exit} - {Exit.BUG.value}


def fault(made: Case) -> str | None:
    """Describe what is wrong with the command's end; None if it ended as documented."""
    try:
        with contextlib.chdir(made.directory):
            ended = c10k(*made.arguments, environment=made.environment)
    except Hang:
        return "it did not end: " + traceback.format_exc(limit=-4)
    except BaseException:
        return f"the entry point raised: {traceback.format_exc(limit=-4)}"
    return _told(ended)


def _told(ended: Ended) -> str | None:
    if "Traceback" in ended.err + ended.out or "this is a bug" in ended.err:
        return f"a traceback: {ended.err[-1_500:]}"
    if ended.code not in DOCUMENTED:
        return f"exit code {ended.code}: {ended.err[-500:]}"
    if ended.code and f"exit {ended.code}:" not in ended.err:
        return f"exit code {ended.code} without a message: {ended.err[-500:]}"
    if "\x1b[31mred" in ended.out + ended.err or "\x07" in ended.out + ended.err:
        return f"an escape sequence: {(ended.out + ended.err)[-500:]!r}"
    return None


def main() -> int:
    """Run the cases; print each that is at fault, and how the others ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="NUMBER")
    asked = parser.parse_args()
    faults: Counter[str] = Counter()
    start_s, slowest = time.monotonic(), (0.0, 0)
    numbers = range(asked.count) if asked.only is None else [asked.only]
    for number in numbers:
        with tempfile.TemporaryDirectory(prefix="c10k-bad-") as directory:
            made = case(asked.seed, number, Path(directory))
            began_s = time.monotonic()
            found = fault(made)
            slowest = max(slowest, (time.monotonic() - began_s, number))
        faults[made.kind] += found is not None
        if found is not None:
            shown = " ".join(repr(one)[:80] for one in made.arguments)
            print(
                f"case {number} ({made.kind}): c10k {shown}\n  {made.note}\n  {found}\n", flush=True
            )
    print(
        f"{len(numbers)} bad inputs of seed {asked.seed}: {faults.total()} at fault "
        f"({', '.join(f'{faults[kind]} of {kind}' for kind in KINDS)}); "
        f"{time.monotonic() - start_s:.0f} s, the slowest {slowest[0]:.1f} s (case {slowest[1]})"
    )
    return 1 if faults.total() else 0


if __name__ == "__main__":
    sys.exit(main())
