"""Store a campaign on disk: append-only, crash-safe, resumable.

    reports/<campaign>/campaign.json    the plan, the host, the servers; and the campaign's state
    reports/<campaign>/trials.jsonl     one line per finished cell
    reports/<campaign>/outcomes.jsonl   one line per finished trial
    reports/<campaign>/xray.jsonl       one line per cell whose system calls were counted

Rule 1: an appended line never changes; it is on the disk before the next cell starts.
Rule 2: `campaign.json` is replaced as a whole (rename), so a reader sees the old or the new one.
Rule 3: readers ignore a last line that a crash cut short; the next append repairs the file.
Rule 4: files belong to the owner of the `reports` directory, whichever user writes them.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.contract import printable, text_files
from harness.contract.campaign_head import CampaignHead
from harness.contract.errors import HostNotFit, UsageError
from harness.host.ownership import hand_over
from harness.store import stored_shapes

SCHEMA = 1
# Number of campaigns that the error of an unknown campaign lists.
SHOWN_MAX = 5
HEAD_BYTES_MAX = 1 << 28
CAMPAIGN_FILE = "campaign.json"
TRIALS_FILE = "trials.jsonl"
OUTCOMES_FILE = "outcomes.jsonl"
XRAY_FILE = "xray.jsonl"
REPORT_FILE = "report.html"
# The name that stands for the campaign that started last.
LATEST = "latest"
_TIMED = re.compile(r"\d{8}-\d{6}-")
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Record = dict[str, Any]
# First step of the remedy for an unwritable file, by whether its disk is full
_FIRST = {
    True: "Make room (`df -h`, `df -i`)",
    False: "Make its directory writable for this user",
}


class Campaign:
    """One campaign's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = directory.name

    @classmethod
    def create(cls, reports: Path, name: str, head: CampaignHead) -> Campaign:
        """Make the directory and write `campaign.json`.

        Raises:
            UsageError: the name exists already, or `reports` is no directory.
            HostNotFit: the directory is not writable.
        """
        campaign = cls(reports / name)
        require_no_file(reports)
        try:
            reports.mkdir(parents=True, exist_ok=True)
            campaign.directory.mkdir()
        except FileExistsError:
            raise UsageError(f"{campaign.directory}: already exists") from None
        except OSError as error:
            raise HostNotFit(
                f"{campaign.directory}: cannot be made: {error.strerror}", hint=_hint_of(error)
            ) from error
        hand_over(campaign.directory)
        path = campaign.directory / CAMPAIGN_FILE
        try:
            replace(path, _as_text(head.changed(schema=SCHEMA, campaign=head.campaign or name)))
        except OSError as error:
            with suppress(OSError):
                campaign.directory.rmdir()
            raise HostNotFit(
                f"{path}: cannot be written: {error.strerror}", hint=_hint_of(error)
            ) from error
        return campaign

    @classmethod
    def open(cls, reports: Path, name: str) -> Campaign:
        """Open an existing campaign by its path, by its name, or by a path that ends in its name.

        `latest` is the one that started last, by the time in its name.

        Raises:
            UsageError: it does not exist, or `reports` is no directory.
        """
        require_no_file(reports)
        for directory in _places(reports, name):
            if NAME_PATTERN.fullmatch(directory.name) and _is_campaign(directory):
                return cls(directory)
        if name == LATEST and (known := campaigns(reports)):
            return latest_first(known)[0]
        raise UsageError(f"no campaign `{name}` in {reports}", hint=_known_hint(reports, name))

    def head(self) -> CampaignHead:
        """Read `campaign.json`.

        Raises:
            UsageError: this version did not write it, or it is damaged.
        """
        path = self.directory / CAMPAIGN_FILE
        try:
            head = stored_shapes.parse(text_files.text(path, HEAD_BYTES_MAX))
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file") from None
        except text_files.Unreadable as error:
            raise UsageError(f"{path}: {error}") from None
        except ValueError as error:
            raise UsageError(f"{path}: is damaged: {error}") from None
        if not isinstance(head, dict):
            raise UsageError(f"{path}: expected a table, got a {type(head).__name__}")
        if head.get("schema") != SCHEMA:
            raise UsageError(
                f"{path}: schema {head.get('schema')!r}, but this c10k reads schema {SCHEMA}"
            )
        try:
            return CampaignHead.of(printable.plain_document(head))
        except ValidationError as error:
            raise UsageError(f"{path}: is damaged: {stored_shapes.fault(error)}") from None

    def write_head(self, head: CampaignHead) -> None:
        """Replace `campaign.json` as a whole."""
        self.write(CAMPAIGN_FILE, _as_text(head))

    def write(self, name: str, text: str) -> Path:
        """Replace the file `name` of the campaign as a whole; return its path.

        Raises:
            HostNotFit: it is not writable; the old file remains.
        """
        again = "run --resume" if name == CAMPAIGN_FILE else "report"
        return written(self.directory / name, text, f"c10k {again} {self.name}")

    def append_cell(self, record: Record) -> None:
        """Append one finished cell to `trials.jsonl`; it is on the disk when this returns."""
        self._append(TRIALS_FILE, record)

    def append_outcome(self, record: Record) -> None:
        """Append one finished trial to `outcomes.jsonl`; it is on the disk when this returns."""
        self._append(OUTCOMES_FILE, record)

    def append_xray(self, record: Record) -> None:
        """Append one cell with counted system calls to `xray.jsonl`."""
        self._append(XRAY_FILE, record)

    def cells(self, shape: type[BaseModel] = stored_shapes.Cell) -> list[Record]:
        """Read all finished cells, in the order in which they were measured.

        Raises:
            UsageError: a cell does not have the shape.
        """
        return _lines(self.directory / TRIALS_FILE, shape)

    def outcomes(self, shape: type[BaseModel] = stored_shapes.Outcome) -> list[Record]:
        """Read all finished trials, in the order in which they ended.

        Raises:
            UsageError: a trial does not have the shape.
        """
        path = self.directory / OUTCOMES_FILE
        return [printable.plain_document(line) for line in _lines(path, shape)]

    def xrays(self) -> list[Record]:
        """Read the results of all x-rays, failed ones included."""
        path = self.directory / XRAY_FILE
        return [printable.plain_document(line) for line in _lines(path, stored_shapes.Xray)]

    def _append(self, name: str, record: Record) -> None:
        path = self.directory / name
        line = json.dumps({"schema": SCHEMA, **record}, ensure_ascii=False, allow_nan=False)
        try:
            _append_line(path, line.encode(errors="backslashreplace"))
        except OSError as error:
            raise HostNotFit(
                f"{path}: cannot be appended to: {error.strerror}",
                hint=f"All earlier cells are safe. Make room, then: "
                f"`c10k run --resume {self.name}`.",
            ) from error


def _as_text(head: CampaignHead) -> str:
    return json.dumps(head.as_json(), indent=2, ensure_ascii=False) + "\n"


def campaigns(reports: Path) -> list[Campaign]:
    """List all campaigns in `reports`, by name."""
    found = sorted(path.parent for path in reports.glob(f"*/{CAMPAIGN_FILE}"))
    return [Campaign(directory) for directory in found if _is_campaign(directory)]


def latest_first(known: Iterable[Campaign]) -> list[Campaign]:
    """Order campaigns by the time in their names; those without a time come last."""
    return sorted(known, key=lambda one: (bool(_TIMED.match(one.name)), one.name), reverse=True)


def _places(reports: Path, name: str) -> list[Path]:
    """Possible places of a campaign: its path may be from another host or a container."""
    path = Path(name)
    if name and path.name in ("", ".."):  # `.`, in the campaign's own directory
        return [path.resolve()]
    named = reports / path.name
    return [path, named] if len(path.parts) > 1 else [named]


def _is_campaign(directory: Path) -> bool:
    try:
        return (directory / CAMPAIGN_FILE).is_file()
    except OSError:  # the name is too long for a file
        return False


def require_no_file(reports: Path) -> None:
    """Raise UsageError if something other than a directory has the directory's name."""
    try:
        kind = text_files.kind_of(reports.stat().st_mode) or "a file"
    except FileNotFoundError:
        return  # the first campaign creates it
    except OSError as error:
        raise UsageError(
            f"{reports}: the directory of the campaigns is not usable: {error.strerror}",
            hint="Set `--reports` to a directory.",
        ) from None
    if kind != "a directory":
        raise UsageError(
            f"{reports}: is {kind}, expected the directory of the campaigns",
            hint="Set `--reports` to a directory.",
        )


def _known_hint(reports: Path, name: str) -> str:
    """List the nearest and the latest campaigns: a directory may have thousands."""
    known = [campaign.name for campaign in campaigns(reports)]
    near = difflib.get_close_matches(Path(name).name, known, n=1)
    shown = list(dict.fromkeys([*near, *reversed(known[-SHOWN_MAX:])]))
    if not shown:
        return "The directory has no campaigns."
    more = len(known) - len(shown)
    return f"Known campaigns: {', '.join(shown)}{f' and {more:,} more' if more else ''}."


def replace(path: Path, text: str) -> Path:
    """Write `text` to `path` so that readers, even after a crash, find the old file or the new one.

    A byte of a name that is not UTF-8 becomes its escape in JSON (`\\udcff`).

    Raises:
        UsageError: a directory has the file's name.
        OSError: it is not writable; the old state remains.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        hand_over(partial, like=path.parent)
        partial.replace(path)
    except IsADirectoryError:
        in_the_way = partial if partial.is_dir() else path
        if in_the_way is path:
            partial.unlink()
        raise UsageError(
            f"{in_the_way}: is a directory, expected a file",
            hint="Move or remove the directory.",
        ) from None
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise
    return path


def written(path: Path, text: str, again: str) -> Path:
    """Write as `replace` does. `again` is the command that continues after the remedy.

    Raises:
        HostNotFit: the file is not writable.
    """
    try:
        return replace(path, text)
    except OSError as error:
        raise HostNotFit(
            f"{path}: cannot be written: {error.strerror}",
            hint=f"All measured cells are safe. {_FIRST[_is_full(error)]}, then: `{again}`.",
        ) from error


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _hint_of(error: OSError) -> str:
    """The remedy where a campaign cannot begin."""
    again = "run the same command again" if _is_full(error) else "or set `--reports` to another"
    return f"{_FIRST[_is_full(error)]}, {again}."


def _append_line(path: Path, line: bytes) -> None:
    is_new = not path.exists()
    with path.open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
            line = b"\n" + line
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        hand_over(path)


@dataclass(frozen=True, slots=True)
class _Parsed:
    """The complete lines at the start of a file, checked and parsed."""

    size: int = 0
    digest: bytes = b""
    count: int = 0
    records: tuple[Record, ...] = ()


# A campaign reads its files again after each trial; the cache leaves only new lines to parse.
_known: dict[tuple[Path, type[BaseModel]], _Parsed] = {}
KNOWN_MAX = 16


def _lines(path: Path, shape: type[BaseModel]) -> list[Record]:
    """Read the lines of a file, without those that a crash cut short (Rule 3).

    Raises:
        UsageError: no version writes such a line.
    """
    try:
        kind = text_files.kind_of(path.stat().st_mode)
        content = b"" if kind else path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if kind:
        raise UsageError(f"{path}: is {kind}, expected a regular file")
    known = _known.get((path, shape), _Parsed())
    if _digest(content[: known.size]) != known.digest:
        known = _Parsed()
    end = content.rfind(b"\n") + 1
    appended = content[known.size : end]
    records = (*known.records, *_parsed(path, appended, known.count, shape))
    count = known.count + appended.count(b"\n")
    while len(_known) >= KNOWN_MAX:
        del _known[next(iter(_known))]
    _known[path, shape] = _Parsed(end, _digest(content[:end]), count, records)
    return [dict(one) for one in (*records, *_parsed(path, content[end:], count, shape))]


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content).digest() if content else b""


def _parsed(path: Path, content: bytes, before: int, shape: type[BaseModel]) -> Iterator[Record]:
    """Yield the records of some lines; `before` lines come before them in the file."""
    for number, line in enumerate(content.split(b"\n"), start=before + 1):
        try:
            record = stored_shapes.parse(line)
            problem = stored_shapes.problem(record, shape)
        except stored_shapes.OutOfRange as error:
            problem = str(error)
        except ValueError:
            continue  # empty, or cut short by a crash
        if problem is not None:
            raise UsageError(
                f"{path}: line {number} is damaged: {problem}",
                hint="Remove the line: `c10k run --resume` measures its cell again.",
            )
        yield record
