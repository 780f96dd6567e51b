"""Generate bad inputs for the command line: case N of a seed is the same each time.

Four kinds alternate: options and variables, profiles, `variant.toml` files, and campaigns with
damaged files.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "tests" / "data" / "kept"
SERVERS = ROOT / "servers"
KINDS = ("options", "profile", "variant", "campaign")

TEXTS = (
    *("", " ", "-", "--", ",", ",,", "@", "@nothing", "all", "poll", "nothing", "poll\npoll"),
    *("-1", "0", "1", "3", "1e300", "nan", "inf", "-inf", "٣", "0x10", "9" * 400, "9" * 5_000),
    *("a" * 300, "a" * 5_000, "\x1b[31mred\x1b[0m", "\x07", "\u202e", "🙂", "\udcff", "%s%n", "{}"),
    *("..", "../..", "/", "/dev/null", "/dev/full", "/proc/self/mem", "no/such/x"),
    *("x.toml", "/dev/null.toml", "30m", "1h30m", "+4", "smoke"),
)
# Where a command may write: devices, and files below the directory of the case
PLACES = tuple(text for text in TEXTS if not text.startswith("/") or text.startswith("/dev/"))
WRITING = {"--servers-dir", "--reports", "C10K_LOCK", "C10K_REPORTS"}
VALUES: tuple[Any, ...] = (
    *TEXTS,
    *(-1, 0, 1, 2, 3, 10, 65_537, 1_000_001, 2**31, 2**63, 2**64, 10**30, -(2**63)),
    *(0.0, -0.5, 0.5, 1e-300, 1e300, float("nan"), float("inf"), float("-inf"), True, False),
    *([], [[]], [0], [""], ["poll", "poll"], list(range(1, 1_200)), {}, {"a": 1}, [{}]),
)
ADDRESSES = (
    *("127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:٣", "127.0.0.1:65536", ":7000"),
    *("[::1]", "[::1:7000", "[::g]:7000", "[fe80::1%lo]:7000", "unix://", "unix:///", "unix://x"),
    *(f"unix:///{'a' * 200}", "udp://127.0.0.1:7000", "8.8.8.8:53", "no.such.host.invalid:7000"),
    *(
        "tcp://:7000",
        f"{'a' * 300}:80",
        "127.0.0.1:7000/x",
        "http://127.0.0.1:80",
        "1:2:3",
        "a b:1",
    ),
    "unix:///no/such/socket",
)
OPTIONS: dict[str, tuple[str, ...]] = {
    "doctor": ("--connections", "--backend", "--reports", "--list-checks", "--json"),
    "run": (
        *("--profile", "--servers", "--backend", "--seed", "--workers", "--budget", "--resume"),
        *("--blocks", "--servers-dir", "--reports", "--json", "--include-nonconforming"),
    ),
    "drive": ("--profile", "--seed", "--json", "--i-own-this-host"),
    "servers": ("--servers-dir", "--json"),
    "check": ("--quick", "--times", "--servers-dir", "--reports", "--json"),
    "new": ("--from", "--servers-dir", "--reports"),
    "explain": ("--json",),
    "report": ("--format", "--reports"),
    "compare": ("--force", "--format", "--fail-on-regression", "--reports"),
    "clean": ("--reports",),
    "selftest": ("--json",),
}
FLAGS = {"--list-checks", "--json", "--include-nonconforming", "--i-own-this-host"}
FLAGS |= {"--quick", "--force"}
OPERANDS = {"doctor": 1, "drive": 1, "check": 1, "new": 1, "explain": 1, "report": 1, "compare": 2}
VARIABLES = (
    *("C10K_SEED", "C10K_WORKERS", "C10K_BUDGET", "C10K_PROFILE", "C10K_SERVERS", "C10K_REPORTS"),
    *("C10K_LOCK", "C10K_BASE", "C10K_HARNESS_IMAGE", "C10K_CPU_SOURCE"),
)
PROFILE: dict[str, Any] = {
    "summary": "All keys.",
    "trials": 4,
    "trials_max": 8,
    "budget_s": 3_600,
    "servers": ["poll", "select"],
    "ranked": True,
    "selftest": True,
    "conformance": "quick",
    "server_cpus": 1,
    "repeats_max": 1,
    "same_twice": "poll",
    "side_by_side": True,
    "xray": True,
    "timing": {"warmup_s": 0.1, "window_s": 1},
    "timeouts": {"build_s": 60, "ready_s": 3, "connect_s": 3, "settle_s": 3, "stop_s": 3},
    "traffic": {"payload_bytes": 64, "depth": 1, "spin": True},
    "scenarios": [
        {"name": "ramp", "connections": [10, 20]},
        {"name": "idle", "connections": [20], "active": 5, "turns": 10, "blocks": 2},
        {"name": "paced", "connections": [20], "rate_per_s": [100], "rate_share": [0.5]},
        {"name": "churn", "connections": [20], "closing": ["fin", "rst"], "window_s": 0.5},
        {"name": "depth", "connections": [20], "depth": [1, 2], "payload_bytes": [64, 128]},
    ],
}
VARIANT: dict[str, Any] = {
    "title": "mine",
    "architecture": "epoll-lt",
    "language": "C",
    "summary": "One thread.",
    "family": "C",
    "workers": 1,
    "counters": True,
    "runtime": False,
    "status": "stable",
    "reason": "none",
    "docker": {"context": "."},
    "process": {"build": ["make"], "command": ["./server"], "requires": {"sh": "dash"}},
    "limits": {"connections_max": 5, "beyond": "queue", "reason": "a table"},
}


@dataclass
class Case:
    """A command with its files in `directory`."""

    kind: str
    dice: random.Random
    directory: Path
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    note: str = ""


def case(seed: int, number: int, directory: Path) -> Case:
    """Make the case `number` for `directory`, which is empty; it also has `..` and `../..`."""
    kind = KINDS[number % len(KINDS)]
    directory = directory / "a" / "b"
    directory.mkdir(parents=True)
    if kind != "variant":
        (directory / "servers").symlink_to(SERVERS)
    made = Case(kind, random.Random(f"{seed}-{number}"), directory)  # noqa: S311 (to repeat it)
    # No engine answers, so no case builds or measures anything
    made.environment = {
        "C10K_LOCK": str(directory / "lock"),
        "C10K_BACKEND": "docker",
        "C10K_REPORTS": str(directory / "reports"),
        "DOCKER_HOST": f"unix://{directory}/no.sock",
    }
    MAKERS[kind](made)
    return made


def _options(made: Case) -> None:
    dice = made.dice
    command = dice.choice(list(OPTIONS))
    made.arguments = [command]
    if command == "run":
        made.arguments.append("--dry-run")
    if command == "new":
        made.arguments.append("--no-check")
        made.arguments += ["--servers-dir", str(made.directory)]
    for option in dice.sample(OPTIONS[command], k=dice.randint(0, min(3, len(OPTIONS[command])))):
        made.arguments += [option] if option in FLAGS else [option, _value(dice, option)]
    if command == "new" and dice.random() < 0.5:
        made.arguments += ["--from", dice.choice(("asyncio", "empty", "poll"))]
    if command == "drive":
        made.arguments.append(dice.choice(ADDRESSES))
    else:
        made.arguments += [dice.choice(TEXTS) for _ in range(OPERANDS.get(command, 0))]
    for name in dice.sample(VARIABLES, k=dice.randint(0, 2)):
        made.environment[name] = _value(dice, name)


def _value(dice: random.Random, name: str) -> str:
    return dice.choice(PLACES if name in WRITING else TEXTS)


def _profile(made: Case) -> None:
    path = made.directory / "mine.toml"
    path.write_bytes(_damaged_toml(made, PROFILE))
    made.arguments = ["run", "--dry-run", "--profile", str(path)]
    if made.dice.random() < 0.2:
        made.arguments = ["drive", "unix:///no/such/socket", "--profile", str(path)]
    elif made.dice.random() < 0.3:
        made.arguments.remove("--dry-run")


def _variant(made: Case) -> None:
    dice, mine = made.dice, made.directory / "servers" / "mine"
    mine.mkdir(parents=True)
    (mine / "variant.toml").write_bytes(_damaged_toml(made, VARIANT))
    if dice.random() < 0.9:
        (mine / "Dockerfile").write_bytes(dice.choice((b"FROM scratch\n", b"\xff\xfe", b"")))
    commands = (
        *(["servers"], ["servers", "--json"], ["check", "mine"], ["check"]),
        *(["run", "--dry-run"], ["run", "--servers", "mine"], ["run", "--dry-run", "--json"]),
    )
    made.arguments = [*dice.choice(commands), "--servers-dir", str(mine.parent)]


def _campaign(made: Case) -> None:
    dice, reports = made.dice, made.directory / "reports"
    for name in ("one", "two"):
        shutil.copytree(KEPT, reports / name)
    if dice.random() < 0.3:
        _divide(reports / "one" / "campaign.json")
    files = ("campaign.json", "campaign.json", "trials.jsonl", "outcomes.jsonl", "xray.jsonl")
    for _ in range(dice.randint(1, 2)):
        _damage_json(made, reports / "one" / dice.choice(files))
    servers = ["--servers-dir", str(SERVERS)]
    commands = (
        *([["report", "one", "--format", dice.choice(("md", "csv", "json"))]] * 3),
        *(
            ["report", "one"],
            ["compare", "two", "one"],
            ["compare", "one", "two", "--format", "md"],
        ),
        *([["run", "--resume", "one", "--dry-run", *servers]] * 2),
        *(["run", "--resume", "one", *servers], ["run", "--resume", "one", "--blocks", "+4"]),
        ["clean"],
    )
    made.arguments = dice.choice(commands)


def _divide(path: Path) -> None:
    """Divide the servers into waves, as on a host that cannot hold all at once."""
    head = json.loads(path.read_text())
    members = [["select"], ["select-fdset"]]
    head["waves"] = {"anchor": "poll", "members": members, "because": ["memory"]}
    path.write_text(json.dumps(head))


def _damaged_toml(made: Case, document: dict[str, Any]) -> bytes:
    changed = copy.deepcopy(document)
    for _ in range(made.dice.randint(1, 3)):
        made.note += _mutate(made.dice, changed) + "; "
    content = _toml(changed).encode("utf-8", errors="surrogatepass")
    return _torn(made, content) if made.dice.random() < 0.25 else content


def _damage_json(made: Case, path: Path) -> None:
    if not path.is_file():
        return  # an earlier change damaged it
    if made.dice.random() < 0.15:
        _replace(made, path)
        return
    content = path.read_bytes()
    if made.dice.random() < 0.2:
        path.write_bytes(_torn(made, content))
        return
    if not content:
        return
    is_lines = path.suffix == ".jsonl"
    lines = content.splitlines() if is_lines else [content]
    for _ in range(made.dice.randint(1, 3)):
        place = made.dice.randrange(len(lines))
        try:
            document = json.loads(lines[place])
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict):
            made.note += f"{path.name}:{place} {_mutate(made.dice, document)}; "
        lines[place] = json.dumps(document).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")


def _replace(made: Case, path: Path) -> None:
    """Replace a file by something else."""
    contents = (b"", b"[]", b"{}", b"null", b"1", b'"x"', b"[" * 3_000, b"9" * 5_000, b"\xff\xfe{}")
    path.unlink(missing_ok=True)
    kind = made.dice.choice(("content", "content", "directory", "gone"))
    made.note += f"{path.name} is {kind}; "
    if kind == "content":
        path.write_bytes(made.dice.choice(contents))
    elif kind == "directory":
        path.mkdir()


def _torn(made: Case, content: bytes) -> bytes:
    dice = made.dice
    place = dice.randrange(len(content) + 1)
    made.note += f"torn at byte {place}; "
    rubbish = bytes(dice.randrange(256) for _ in range(dice.randint(1, 8)))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: content[:place],
        lambda: content[:place] + rubbish + content[place:],
        lambda: content[:place] + rubbish + content[place + len(rubbish) :],
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content.decode("utf-8", "replace").encode("utf-16"),
        lambda: content + b"\na = " + b"[" * 3_000 + b"]" * 3_000,
        lambda: content + b"\nb = " + b"9" * 5_000,
    )
    return dice.choice(ways)()


def _mutate(dice: random.Random, document: dict[str, Any]) -> str:
    """Change a random place of the document; return a description of the place."""
    place: Any = document
    path: list[str] = []
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = dice.choice(keys)
        path.append(str(key))
        inner = place[key]
        if isinstance(inner, dict | list) and inner and dice.random() < 0.8:
            place = inner
            continue
        _change(dice, place, key)
        break
    return ".".join(path)


def _change(dice: random.Random, place: Any, key: Any) -> None:
    way = dice.random()
    if way < 0.15:
        del place[key]
    elif way < 0.25 and isinstance(place, dict):
        place[f"{key}{dice.choice(('x', '', ' ', 'ß'))}"] = place.pop(key)
    elif way < 0.35 and isinstance(place, list):
        place.append(copy.deepcopy(place[key]))
    else:
        place[key] = copy.deepcopy(dice.choice(VALUES))


def _toml(value: Any, *, is_top: bool = True) -> str:
    if isinstance(value, dict):
        pairs = [f"{_text(str(key))} = {_toml(one, is_top=False)}" for key, one in value.items()]
        return "\n".join(pairs) + "\n" if is_top else "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one, is_top=False) for one in value) + "]"
    if isinstance(value, str):
        return _text(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


MAKERS: dict[str, Callable[[Case], None]] = {
    "options": _options,
    "profile": _profile,
    "variant": _variant,
    "campaign": _campaign,
}
