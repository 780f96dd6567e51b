"""Make a new server from an existing one or from a template: render all files, then write them.

Rule 1: no file is overwritten. The directory appears with all its files, or not at all.
Rule 2: only files of the directory change; the build finds new servers by itself.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from harness.contract.errors import HostNotFit, UsageError
from harness.host.ownership import hand_over
from harness.variants import variant_files
from harness.variants.sources import NOT_SOURCE
from harness.variants.strict_toml import nearest

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".template"
# Servers that ship with c10k, which share `common/` and the Makefile next to them, are copied.
COPIED = ("epoll-lt", "poll")
SOURCES = (*COPIED, "asyncio", "empty")

Files = dict[str, tuple[bytes, int]]


def render(name: str, source: str, servers: Path) -> Files:
    """Render the files of a new server: name → content and mode. Writes nothing.

    Raises:
        UsageError: the name is invalid or exists already, or the source is unknown.
    """
    if (problem := variant_files.name_problem(name)) is not None:
        raise UsageError(problem, hint="`c10k explain C101` explains it.")
    if (servers / name).exists():
        raise UsageError(
            f"{servers / name}: already exists; c10k overwrites nothing",
            hint="Choose another name, or remove the directory first.",
        )
    if source in COPIED:
        return _copied(name, source, servers)
    found = {
        str(path.relative_to(TEMPLATES / source)).removesuffix(SUFFIX): (path.read_bytes(), 0o644)
        for path in sorted((TEMPLATES / source).rglob(f"*{SUFFIX}"))
    }
    if not found:
        raise UsageError(f"no template `{source}`{nearest(source, list(SOURCES))}")
    return {file: (_titled(file, content, name), mode) for file, (content, mode) in found.items()}


def write(name: str, files: Files, servers: Path) -> Path:
    """Write the files into a new directory, which belongs to the owner of `servers`; return it.

    Raises:
        HostNotFit: it is not writable; no part of it remains.
    """
    # The dot hides an incomplete directory from every command that looks for servers
    partial, directory = servers / f".{name}.partial", servers / name
    try:
        shutil.rmtree(partial, ignore_errors=True)
        for file, (content, mode) in files.items():
            path = partial / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)
        for path in (partial, *partial.rglob("*")):
            hand_over(path, like=servers)
        # Unlike os.replace of a file, this fails if the name was taken in the meantime
        partial.rename(directory)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise HostNotFit(
            f"{directory}: cannot be written: {os.strerror(error.errno or 0)}"
        ) from None
    return directory


def _copied(name: str, source: str, servers: Path) -> Files:
    directory = servers / source
    if not (directory / variant_files.VARIANT_FILE).is_file():
        raise UsageError(
            f"{directory}: no such directory to copy",
            hint="`--from asyncio` and `--from empty` need no other directory.",
        )
    files = {}
    for path in sorted(directory.rglob("*")):
        file = str(path.relative_to(directory))
        if path.is_file() and not NOT_SOURCE.intersection(Path(file).parts):
            content = _renamed(file, path.read_bytes(), source, name)
            files[file] = (_titled(file, content, name), path.stat().st_mode & 0o777)
    return files


def _renamed(file: str, content: bytes, source: str, name: str) -> bytes:
    """Replace the old name where it identifies what is built; words of the mechanism stay."""
    if file not in (variant_files.VARIANT_FILE, "Dockerfile"):
        return content
    whole = re.compile(rf"(?<![a-z0-9-]){re.escape(source)}(?![a-z0-9-])")
    lines = content.decode().splitlines(keepends=True)
    return "".join(
        line if line.startswith("architecture") else whole.sub(name, line) for line in lines
    ).encode()


def _titled(file: str, content: bytes, name: str) -> bytes:
    if file != variant_files.VARIANT_FILE:
        return content
    return re.sub(r"(?m)^title = .*$", f'title = "{name}"', content.decode()).encode()
