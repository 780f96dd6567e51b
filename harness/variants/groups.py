"""Choose servers by name or by group: `@python` in place of a list.

A server's group follows from its own `variant.toml`: language, family, workers, limits and
architecture. No list of directories exists, so a server that a user adds has a group at once.

The groups are the rows of the README's table of servers. Every server is in exactly one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.contract.errors import UsageError
from harness.variants import strict_toml
from harness.variants.variant_files import ALL, GROUP_MARK, Survey, Variant, VariantFile

NATIVE = ("C", "C++")
# Workers with one thread for all connections, or one thread for each connection.
MECHANISMS = ("thread-per-connection", "select", "poll", "epoll-lt", "epoll-et")


@dataclass(frozen=True, slots=True)
class Group:
    """A row of the README's table. A server belongs to the first row whose `admits` is true."""

    name: str
    title: str
    admits: Callable[[VariantFile], bool]


def _is_native(file: VariantFile) -> bool:
    return file.language in NATIVE


def _is_one_family(file: VariantFile) -> bool:
    """Whether it differs from others of its language only in the wait mechanism."""
    return (file.family or file.language) == file.language


GROUPS = (
    # A compiled server that prints a runtime's version uses the event loop of a library
    Group("@libraries", "C and C++ libraries", lambda file: _is_native(file) and file.runtime),
    Group(
        "@bounded",
        "C++, bounded and blocking",
        lambda file: _is_native(file) and file.limits is not None and file.limits.beyond == "queue",
    ),
    Group(
        "@per-cpu",
        "C++, one loop per CPU",
        lambda file: _is_native(file) and file.workers == "cpus",
    ),
    Group(
        "@classic",
        "C++, one thread or one per connection",
        lambda file: _is_native(file) and file.architecture in MECHANISMS,
    ),
    Group("@interfaces", "C++, other interfaces", _is_native),
    Group(
        "@python",
        "Python, the same mechanisms",
        lambda file: file.language == "Python" and _is_one_family(file),
    ),
    Group("@python-loops", "Python's event loops", lambda file: file.language == "Python"),
    Group("@runtimes", "other languages and their runtimes", lambda file: True),
)


def of(file: VariantFile) -> Group:
    """The group of a server."""
    return next(group for group in GROUPS if group.admits(file))


def members(variants: Sequence[Variant]) -> dict[str, list[Variant]]:
    """The servers of each group that has one, in the order of `variants`."""
    found = {group.name: [one for one in variants if of(one.file) is group] for group in GROUPS}
    return {name: ones for name, ones in found.items() if ones}


def pick(found: Survey, names: Sequence[str]) -> list[Variant]:
    """Pick servers of a directory in which some may be broken.

    A broken server matters if `names` has it, or asks for all servers. Its group is unknown.

    Raises:
        UsageError: as `select` does, or if one of the servers is broken.
    """
    asks_for_all = not names or ALL in names
    found.require(found.broken if asks_for_all else [n for n in names if n in found.broken])
    return select(list(found.variants), names)


def left_out(found: Survey, names: Sequence[str]) -> list[str]:
    """Say which broken servers a group in `names` may have meant, one sentence each."""
    if not any(name.startswith(GROUP_MARK) for name in names):
        return []
    return [
        f"{name} is in no group: its files have problems; `c10k check {name}` lists them"
        for name in found.broken
    ]


def select(variants: list[Variant], names: Sequence[str]) -> list[Variant]:
    """Pick servers by name and by group, in the order of `variants`; no names: all of them.

    Groups and `all` leave out disabled servers.

    Raises:
        UsageError: a name or a group is unknown, a group has no server, or a server is disabled.
    """
    known = {variant.name: variant for variant in variants}
    enabled = [variant for variant in variants if variant.file.status != "disabled"]
    groups = {ALL: enabled, **members(enabled)}
    chosen: list[Variant] = []
    problems: list[str] = []
    for name in names or (ALL,):
        if name in groups:
            chosen += groups[name]
        elif name.startswith(GROUP_MARK):
            problems.append(_unknown("group", name, list(groups)))
        elif name not in known:
            problems.append(_unknown("variant", name, sorted(known)))
        elif known[name].file.status == "disabled":
            problems.append(f"variant `{name}` is disabled: {known[name].file.reason}")
        else:
            chosen.append(known[name])
    if problems:
        raise UsageError("\n".join(problems), hint="`c10k servers` lists servers and groups.")
    return [variant for variant in variants if variant in chosen]


def _unknown(what: str, name: str, known: list[str]) -> str:
    near = strict_toml.nearest(name, known)
    return f"no {what} `{name}`{near} (known: {', '.join(known)})"


def complete(variants: Sequence[Variant], incomplete: str) -> list[str]:
    """Complete the last name of a list with commas: servers, groups and `all`."""
    before, comma, last = incomplete.rpartition(",")
    known = [ALL, *members(variants), *(one.name for one in variants)]
    taken = before.split(",")
    return [
        f"{before}{comma}{name}"
        for name in sorted(known)
        if name.startswith(last) and name not in taken
    ]
