"""What a person, or a program, sees while a campaign runs.

One class per way of showing: a live display on a terminal, one line per trial when piped, one JSON
object per event for programs. All of them receive the same events.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.campaign import progress_lines
from harness.contract.statuses import CellStatus, TrialEnd

Event = Mapping[str, Any]
# Lines of the terminal that the rows of the provisional ranking leave free.
ROWS_OTHER = 8


class Progress(Protocol):
    """Receives what happens in a campaign."""

    def __enter__(self) -> Progress: ...

    def __exit__(self, *exception: object) -> None: ...

    def say(self, text: str) -> None:
        """A sentence that stays on the screen."""

    def event(self, name: str, **facts: Any) -> None:
        """Something happened: `trial`, `progress`, `cell` or `outcome`."""

    def confirm(self, question: str) -> bool:
        """Ask a person yes or no. On anything but a terminal the answer is no."""


class Layer:
    """A display on top of another one, which shows what it gets. Subclasses add to that."""

    def __init__(self, display: Progress) -> None:
        self._display = display

    def __enter__(self) -> Self:
        self._display.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._display.__exit__(*exception)

    def say(self, text: str) -> None:
        """Show a sentence."""
        self._display.say(text)

    def confirm(self, question: str) -> bool:
        """Ask a person yes or no."""
        return self._display.confirm(question)

    def event(self, name: str, **facts: Any) -> None:
        """Show what happened."""
        self._display.event(name, **facts)


class Remembering(Layer):
    """Keeps the path of the report that was drawn."""

    report = ""

    def event(self, name: str, **facts: Any) -> None:
        """Note the path, and show what happened."""
        self.report = facts["path"] if name == "report" else self.report
        self._display.event(name, **facts)


class Place:
    """Where the campaign is, counted from its events."""

    def __init__(self) -> None:
        self.trial = ""
        self.left = ""
        self._cells = 0
        self._cells_of: int | None = None
        self._beside = 1

    def see(self, name: str, facts: Event) -> None:
        """Take note of an event.

        Only the load knows how many cells its trial has; it sends the number once a second. Trials
        side by side belong to one block, so they have the same number. Other blocks may have fewer
        cells (`blocks` in a scenario).
        """
        if name == "trial":
            self.trial, self.left = f"{facts['index']}/{facts['of']}", facts["left"]
            self._cells, self._cells_of = 0, None
            self._beside = facts.get("beside", 1)
        elif name == "progress":
            self._cells_of = facts["of"] * self._beside if facts.get("of") else None
        elif name == "cell":
            self._cells += 1

    def cell(self, ahead: int = 0) -> str:
        """`cell 3/9`: the one that ended last, or with `ahead` = 1 the one that is on."""
        number = self._cells + ahead
        return f"cell {number}/{self._cells_of}" if self._cells_of else f"cell {number}"


class Lines:
    """The lines that stay: one per trial; with `verbose` one per cell as well."""

    def __init__(self, *, verbose: bool) -> None:
        self.place = Place()
        self.standings = progress_lines.Standings()
        self._verbose = verbose
        self._block: tuple[int, int] | None = None

    def of(self, name: str, facts: Event) -> str:
        """Return the line of an event; empty if it has none."""
        self.place.see(name, facts)
        if name == "trial":
            self.standings.blocks = facts["blocks"]
            known, self._block = self._block, (facts["block"], facts["wave"])
            if self._verbose:
                return describe(name, facts)
            is_next = facts.get("again") or known != self._block
            return progress_lines.block(facts) if is_next else ""
        if name == "cell":
            self.standings.see(progress_lines.CellSeen.of(facts))
            return f"  {self.place.cell()}:{describe(name, facts)[1:]}" if self._verbose else ""
        if name == "outcome":
            return self.standings.trial(progress_lines.TrialEnded.of(facts))
        return ""


class Plain:
    """Lines with the time since the start, on standard output."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._start = time.monotonic()
        self._lines = Lines(verbose=verbose)

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def say(self, text: str) -> None:
        """Print a sentence."""
        print(text, flush=True)

    def confirm(self, question: str) -> bool:
        """No: standard output is no terminal."""
        return False

    def event(self, name: str, **facts: Any) -> None:
        """Print the line of an event that has one."""
        if text := self._lines.of(name, facts):
            elapsed_s = time.monotonic() - self._start
            print(f"[{elapsed_s:6.1f}s] {text}", flush=True)


class Json:
    """One JSON object per event on standard output; sentences go to standard error."""

    def __enter__(self) -> Json:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def say(self, text: str) -> None:
        """Print a sentence for the human on standard error."""
        print(text, file=sys.stderr, flush=True)

    def confirm(self, question: str) -> bool:
        """No: what reads this is a program."""
        return False

    def event(self, name: str, **facts: Any) -> None:
        """Print the event."""
        print(json.dumps({"schema": 1, "event": name, **facts}), flush=True)


class Terminal:
    """A log of finished trials; under it what happens now, and the provisional ranking."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._start = time.monotonic()
        self._lines = Lines(verbose=verbose)

    def __enter__(self) -> Terminal:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Print a sentence above the live line."""
        self._console.print(Text(text))

    def confirm(self, question: str) -> bool:
        """Ask in place of the live line. The answer is no where standard input is no terminal or
        ends."""
        if not sys.stdin.isatty():
            return False
        self._live.stop()
        try:
            answer = self._console.input(Text(f"{question} [y/N] "))
        except EOFError:
            answer = ""
        finally:
            self._live.start()
        return answer.strip().lower() in ("y", "yes")

    def event(self, name: str, **facts: Any) -> None:
        """Log the line of an event that has one; else update what is under the log."""
        text = self._lines.of(name, facts)
        if text and name != "trial":
            self._console.print(Text(text, style=_style(facts)))
        if name in ("trial", "progress"):
            self._live.update(self._now(describe(name, facts)))

    def _now(self, text: str) -> Group:
        table = Table.grid(padding=(0, 2))
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        place = self._lines.place
        where = f"trial {place.trial}, {place.cell(ahead=1)}, {place.left} left"
        table.add_row(f"{minutes}:{seconds:02}", where, Text(text, style="bold"))
        rows_max = max(1, min(progress_lines.ROWS_MAX, self._console.height - ROWS_OTHER))
        ranking = self._lines.standings.ranking(rows_max)
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in ranking), table)


def choose(*, as_json: bool, verbose: bool = False) -> Progress:
    """The display that fits standard output. `verbose`: it also shows each cell."""
    if as_json:
        return Json()
    return Terminal(verbose=verbose) if sys.stdout.isatty() else Plain(verbose=verbose)


def describe(name: str, facts: Event) -> str:
    """One line of text for an event; empty for events that a person does not need."""
    if name == "trial":
        again = f", measured again: {facts['again']}" if facts.get("again") else ""
        number, beside = facts["index"], facts.get("beside", 1)
        place = f"trial {number}/{facts['of']}: {facts['variant']}"
        if beside > 1:
            numbers = f"trials {number}-{number + beside - 1}/{facts['of']}"
            wave = f", wave {facts['wave']}" if facts.get("wave") else ""
            place = f"{numbers}{wave}, side by side: {facts['variant']}"
        return f"{place}{again}, {facts['left']} left{_others(facts)}"
    if name == "progress":
        return (
            f"{facts['variant']} {facts['scenario']} at {facts['connections']:,}: "
            f"{facts.get('established') or 0:,} established{_rate(facts)}{_others(facts)}"
        )
    if name == "cell":
        return f"  {facts['variant']} {facts['scenario']} at {facts['connections']:,}: " + (
            "; ".join([facts["status"] + _rate(facts), *facts["reasons"]])
        )
    return ""


def _rate(facts: Event) -> str:
    rate, p99 = facts.get("echoes_per_s"), facts.get("latency_p99_us")
    if not rate:
        return ""
    tail = f", p99 {p99 / 1000:,.2f} ms" if p99 is not None else ""
    return f", {rate:,.0f} echoes/s{tail}"


def _others(facts: Event) -> str:
    """Other programs that used the CPUs in the trial before."""
    return f"; beside it: {facts['others']}" if facts.get("others") else ""


def _style(facts: Event) -> str:
    return {CellStatus.VOID: "red", TrialEnd.FAILED: "red", CellStatus.NOISY: "yellow"}.get(
        facts.get("status", facts.get("outcome", "")), ""
    )
