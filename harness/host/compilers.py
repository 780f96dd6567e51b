"""Read from a binary which compiler made it, and with which flags."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path

# DW_AT_producer (DWARF 5, 3.1.1). GCC adds its switches (-grecord-gcc-switches, on by default)
# when it gets -g, and our builds pass -g.
# A stripped binary still has its .comment, without the switches.
COMMENT = re.compile(rb"(?:GCC: \(|(?:Debian )?clang version )[^\0\n]{1,100}")
# One pattern each: a pattern that begins with fixed letters matches a hundred times as fast.
PRODUCERS = [
    re.compile(begin + rb"[^\0\n]{0,400}")
    for begin in (
        # C++ first: a C++ program may contain C libraries
        rb"GNU C\+\+\d+ \d+\.\d+",
        rb"GNU C\d+ \d+\.\d+",
        rb"Debian clang version \d+",
        rb"clang version \d+",
    )
]
ELF = b"\x7fELF"
ENGINE = "harness.engine._engine"
SOURCES = {".py", ".toml", ".j2", ".html", ".css", ".js"}  # what an installed package consists of
DIGEST_LETTERS = 12


def producer(path: Path) -> str | None:
    """Compiler and flags of a binary; None if the file has no such record or is no binary."""
    try:
        return producer_in(path.read_bytes())
    except OSError:
        return None


def producer_in(content: bytes) -> str | None:
    """Compiler and flags in the content of a binary."""
    if not content.startswith(ELF):
        return None
    for pattern in (*PRODUCERS, COMMENT):
        if found := pattern.search(content):
            return found[0].decode(errors="replace")
    return None


def harness_digest() -> str:
    """Digest of the harness's files and engine: an image has no Git commit to identify it."""
    package, engine = Path(__file__).parents[1], _engine()
    files = sorted(path for path in package.rglob("*") if path.suffix in SOURCES)
    if engine:
        files.append(engine)
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:DIGEST_LETTERS]


def engine_producer() -> str | None:
    """Compiler and flags of the load engine."""
    engine = _engine()
    return producer(engine) if engine else None


def _engine() -> Path | None:
    spec = importlib.util.find_spec(ENGINE)
    return Path(spec.origin) if spec and spec.origin else None
